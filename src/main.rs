//! The binary: wiring, disk, clock. Everything that judges is in the crates beside it.

mod analyze;
mod cli;
mod command;
mod conduct;
mod desk;
mod eyes;
mod fault;
mod inputs;
mod intercept;
mod knowledge;
mod lab_run;
mod listing;
mod live;
mod plan;
mod private;
mod progress;
mod render;
mod run;
mod runs;
mod setup;
mod source;
mod twice;
mod urge;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use reports::listing::Subject;

use crate::cli::{Cli, Command};
use crate::fault::Fault;

/// Shards make what the scribe lets go, on other threads: the C library's allocator takes a lock for each, this one does not. Two threads
/// take a quarter less time with it, one takes a tenth less.
#[global_allocator]
static MEMORY: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Before anything else, and before any thread: a re-executed self may be a role of the lab.
    let stage = lab::stage::enter();
    let cli = match Cli::try_parse_from(&stage.args) {
        Ok(cli) => cli,
        Err(told) => {
            let _ = told.print();
            // clap would say 2, which here means that something is undecided.
            return ExitCode::from(if told.use_stderr() { fault::exit::FAULT } else { 0 });
        }
    };
    match run(cli, &stage) {
        Ok(code) => ExitCode::from(code),
        Err(fault) => {
            for line in fault.to_string().lines() {
                analyze::eprint_line(&format!("overhear: {line}"));
            }
            ExitCode::from(fault::exit::FAULT)
        }
    }
}

fn run(cli: Cli, stage: &lab::stage::Stage) -> Result<u8, Fault> {
    let quiet = cli.quiet;
    match cli.command {
        Command::Analyze(args) => analyze::analyze(&args, quiet),
        Command::Report(args) => runs::report(&args),
        Command::Verify(args) => verify::verify(&args),
        Command::Mark(args) => runs::mark(&args),
        Command::Purge(args) => runs::purge(&args),
        Command::Checks(args) => listing::list(&args, Subject::Checks),
        Command::Attacks(args) => listing::list(&args, Subject::Attacks),
        Command::Requirements(args) => listing::list(&args, Subject::Requirements),
        Command::Policy(cli::Policy::Check { file }) => setup::check_file(&file),
        Command::Persona(cli::Persona::New { output, label }) => setup::new_persona(output.as_deref(), &label),
        Command::Ca(args) => setup::ca(&args),
        Command::Doctor(args) => setup::doctor(&args),
        Command::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "overhear", &mut out);
            render::print(&out).map(|()| 0)
        }
        Command::Man => {
            let mut all = Cli::command().disable_help_subcommand(true);
            all.build();
            let mut out = Vec::new();
            pages(&all, &mut out).map_err(|e| Fault::new(e.to_string(), ""))?;
            render::print(&out).map(|()| 0)
        }
        Command::Intercept(args) => intercept::intercept(&args, quiet),
        Command::Lab(args) => lab_run::lab(&args, quiet, stage),
        Command::Plan(args) => plan::plan(&args),
        Command::Replay(args) => runs::replay(&args),
    }
}

/// The manual: a page for the command, and one for each below it.
fn pages(command: &clap::Command, out: &mut Vec<u8>) -> std::io::Result<()> {
    clap_mangen::Man::new(command.clone()).render(out)?;
    command.get_subcommands().try_for_each(|below| pages(below, out))
}
