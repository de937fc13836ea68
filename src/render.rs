//! From a board and tables to what people and tools read. The same lines give the same bytes, live and from disk.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write};

use analyzers::board::Board;
use analyzers::observation::Asked;
use analyzers::text::Text;
use policies::Severity;
use reports::catalogue::Catalogue;
use reports::gates::{self, Baseline, Exit, Gates, Selection, Undecided};
use reports::json::Report;
use reports::paint::Paint;
use reports::summary::View;
use reports::tables::{Limits, Tabled};

use crate::cli;
use crate::fault::Fault;
use crate::run::{Folder, SealedLine};

/// Everything a run comes to.
pub(crate) struct Rendered {
    pub(crate) report: Report,
    pub(crate) catalogue: Catalogue,
    pub(crate) exit: Exit,
}

/// Judges and joins.
pub(crate) fn render(board: &Board, tabled: Tabled, gates: &Gates) -> Rendered {
    let demands = board.demands();
    let catalogue = Catalogue::of(demands);
    let findings = if tabled.unfinished { board.findings_of_unfinished() } else { board.findings() };
    let rolled = board.roll_up(&findings);
    let selection = Selection::of(demands, board.run());
    let exit = gates::exit_code(&findings, &rolled, &selection, gates);
    let exit = if tabled.unfinished { exit.of_unfinished(gates) } else { exit };
    let report = Report::new(demands, &catalogue, &findings, &rolled, &exit, tabled);
    Rendered { report, catalogue, exit }
}

/// Writes report.json and report.html into the run.
pub(crate) fn write(folder: &Folder, rendered: &Rendered) -> Result<(), Fault> {
    folder.write_by("report.json", |out| rendered.report.write(out))?;
    folder.write_by("report.html", |out| reports::html::write(&rendered.report, &rendered.catalogue, out))
}

/// The gates as the command line gives them.
pub(crate) fn gates(args: &cli::Gates, catalogue: &Catalogue) -> Result<Gates, Fault> {
    let baseline = match &args.baseline {
        None => None,
        Some(path) => {
            let file = if path.is_dir() { path.join("report.json") } else { path.clone() };
            let text = crate::knowledge::read(&file)?;
            let read = Baseline::parse(&text);
            Some(read.map_err(|e| Fault::new(format!("{}: {e}", file.display()), "name a run folder or a report.json of overhear"))?)
        }
    };
    let gates = Gates {
        require: args.require.clone(),
        fail_on: args.fail_on.map(severity),
        undecided: match args.undecided {
            cli::Undecided::Fail => Undecided::Fail,
            cli::Undecided::Warn => Undecided::Warn,
        },
        baseline,
    };
    let unknown = gates.unknown(catalogue);
    if unknown.is_empty() {
        Ok(gates)
    } else {
        Err(Fault::new(
            format!("--require names nothing known: {}", unknown.join(", ")),
            "see `overhear checks`, `attacks`, `requirements`",
        ))
    }
}

/// What of the gates and of the length of lists the journal keeps, so that the report can be made again.
pub(crate) fn asked(gates: &Gates, limits: Limits) -> Asked {
    Asked {
        require: gates.require.iter().map(Text::ours).collect(),
        fail_on: gates.fail_on,
        warn: gates.undecided == Undecided::Warn,
        baseline: gates.baseline.is_some(),
        rows: (limits.rows != Limits::default().rows).then_some(limits.rows as u64),
        ..Asked::default()
    }
}

/// The gates and limits again, but for the baseline.
pub(crate) fn as_asked(asked: &Asked) -> (Gates, Limits) {
    let gates = Gates {
        require: asked.require.iter().map(|id| id.as_str().to_owned()).collect(),
        fail_on: asked.fail_on,
        undecided: if asked.warn { Undecided::Warn } else { Undecided::Fail },
        baseline: None,
    };
    let usual = Limits::default();
    (gates, Limits { rows: asked.rows.map_or(usual.rows, |rows| usize::try_from(rows).unwrap_or(usize::MAX)), ..usual })
}

fn severity(word: cli::SeverityWord) -> Severity {
    match word {
        cli::SeverityWord::Info => Severity::Info,
        cli::SeverityWord::Low => Severity::Low,
        cli::SeverityWord::Medium => Severity::Medium,
        cli::SeverityWord::High => Severity::High,
        cli::SeverityWord::Critical => Severity::Critical,
    }
}

/// Rows per list: `all`, or a number.
pub(crate) fn rows(word: &str) -> Result<usize, Fault> {
    if word == "all" {
        return Ok(usize::MAX);
    }
    word.parse().map_err(|_| Fault::new(format!("--rows '{word}' is neither a number nor `all`"), "e.g. --rows 1000"))
}

/// Sealed values by token, for `--reveal`.
pub(crate) fn revealed(folder: &Folder) -> Result<BTreeMap<String, Text>, Fault> {
    let path = folder.file("sealed/values.jsonl");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(e) => return Err(Fault::io("read", &path, &e)),
    };
    let lines = text.lines().filter_map(|l| serde_json::from_str::<SealedLine>(l).ok());
    let value = |l: &SealedLine| analyzers::encode::unhex(&l.value).map(|v| Text::veiled(&v, &analyzers::text::Bare));
    Ok(lines.filter_map(|l| Some((l.token.clone(), value(&l)?))).collect())
}

/// The summary for people.
pub(crate) fn summary(report: &Report, folder: &Folder, colour: bool, out: &mut impl Write) -> io::Result<()> {
    let page = folder.file("report.html");
    let page = page.is_file().then(|| page.display().to_string());
    let paint = if colour { Paint::Colour } else { Paint::Plain };
    let told = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    let width = told.or_else(|| io::stdout().is_terminal().then(dashboard::columns).flatten()).unwrap_or(100);
    reports::summary::write(report, &View { paint, width, report: page.as_deref() }, out)
}

/// Standard output that ends quietly when its reader has gone.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Fault> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Fault::new(format!("cannot write to standard output: {e}"), "")),
        _ => Ok(()),
    }
}

/// Colour and width of what is printed.
pub(crate) fn colour() -> bool {
    std::env::var_os("NO_COLOR").is_none() && io::stdout().is_terminal()
}
