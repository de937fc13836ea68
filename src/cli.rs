//! The command line. Names, flags and their words are a contract (`docs/interface.md`); help, completions and man page come from here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Stands between a device and the Internet, or reads a capture of it, and answers with verdicts and evidence.
#[derive(Debug, Parser)]
#[command(name = "overhear", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Cli {
    /// Say nothing but results and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read captures and judge what they show: one run folder each, a summary on standard output
    Analyze(Analyze),
    /// The live gateway: between real devices and the Internet; only devices that are named are touched
    Intercept(Intercept),
    /// An Internet in a box: test a program, or the built-in toy devices, without root, phone or network
    Lab(Lab),
    /// What can be decided in a given time, and what the operator has to do
    Plan(Plan),
    /// Write a stimulus event into a running or finished run
    Mark(Mark),
    /// A run in the dashboard; without a terminal: judge it again and print
    Replay(Replay),
    /// Render a run from its journal, the same bytes each time
    Report(Report),
    /// Check a run's chain and recompute every verdict from journal and capture
    Verify(Verify),
    /// Erase personal values, packets or keys of a run; the chain stays verifiable
    Purge(Purge),
    /// List the passive checks, or explain one
    Checks(List),
    /// List the attacks (which are the active checks), or explain one
    Attacks(List),
    /// List the requirements, or explain one
    Requirements(List),
    /// Work with policy files
    #[command(subcommand)]
    Policy(Policy),
    /// Work with personas: the identity planted on the device under test
    #[command(subcommand)]
    Persona(Persona),
    /// The campaign's certificate authority: make, show, export
    Ca(Ca),
    /// What this machine lacks for each mode, and how to get it
    Doctor(Doctor),
    /// Print shell completions
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
}

/// What the operator knows about the device and demands of it.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Knowledge {
    /// Policy: profile, scope, thresholds, exceptions, waivers (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Persona: the planted identity to look for (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) persona: Option<PathBuf>,
    /// The maker's declaration, ETSI's IXIT (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) declaration: Option<PathBuf>,
    /// The file with the project key that masks are made with (made when missing)
    #[arg(long, value_name = "FILE", env = "OVERHEAR_PROJECT_KEY")]
    pub(crate) project_key: Option<PathBuf>,
}

/// What makes a command fail.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Gates {
    /// Only what is new or worse than in this run or report.json fails
    #[arg(long, value_name = "RUN|FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Requirements or checks that must not fail and must be decided
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    pub(crate) require: Vec<String>,
    /// Only failures of at least this severity fail
    #[arg(long, value_name = "SEVERITY")]
    pub(crate) fail_on: Option<SeverityWord>,
    /// What an undecided needed check does
    #[arg(long, value_name = "fail|warn", default_value = "fail")]
    pub(crate) undecided: Undecided,
}

impl Gates {
    pub(crate) fn are_given(&self) -> bool {
        self.baseline.is_some() || !self.require.is_empty() || self.fail_on.is_some() || self.undecided != Undecided::Fail
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Undecided {
    #[default]
    Fail,
    Warn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SeverityWord {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Hash {
    #[default]
    Sha256,
    None,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SummaryFormat {
    #[default]
    Text,
    Json,
    Junit,
}

#[derive(Debug, Args)]
pub(crate) struct Analyze {
    /// Captures: pcap or pcapng, also gzip or zstd; `-` is standard input; folders are walked
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) knowledge: Knowledge,
    /// TLS secrets in the NSS key log format
    #[arg(long, value_name = "FILE")]
    pub(crate) keylog: Option<PathBuf>,
    /// Stimulus events (CSV or TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,
    /// Who on the device caused which flow (CSV)
    #[arg(long, value_name = "FILE")]
    pub(crate) actors: Option<PathBuf>,
    /// The device under test, by MAC or IP address; `auto` takes the side that opens each flow
    #[arg(long, value_name = "MAC|IP|auto")]
    pub(crate) device: Vec<String>,
    /// The run folder (with several inputs: the folder of run folders)
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Write into a folder that is not empty
    #[arg(long)]
    pub(crate) force: bool,
    /// Threads; the output is the same for any number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Digest of the input file
    #[arg(long, value_name = "sha256|none", default_value = "sha256")]
    pub(crate) hash: Hash,
    /// Rows per list in report.json; 0 for none, `all` for all
    #[arg(long, value_name = "N|all", default_value = "50000")]
    pub(crate) rows: String,
    /// Write complete tables as JSON lines under tables/
    #[arg(long)]
    pub(crate) tables: bool,
    /// What is printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: SummaryFormat,
    /// Show personal values in what is printed (journalled)
    #[arg(long)]
    pub(crate) reveal: bool,
    #[command(flatten)]
    pub(crate) gates: Gates,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Anchor {
    None,
    #[default]
    User,
    System,
    Mdm,
    TestBuild,
}

impl Anchor {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Anchor::None => "none",
            Anchor::User => "user",
            Anchor::System => "system",
            Anchor::Mdm => "mdm",
            Anchor::TestBuild => "test-build",
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Redirect {
    /// nftables sends connections of the named devices to the gateway
    #[default]
    Redirect,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Quic {
    /// Forwarded and counted
    #[default]
    Observe,
    /// Refused, so that clients come back over TCP, where they can be tested
    Block,
}

/// What is asked of every live run.
#[derive(Debug, Args)]
pub(crate) struct Terms {
    /// Attacks: core, all, or ids
    #[arg(long, value_name = "core|all|ID,…", value_delimiter = ',', default_value = "core")]
    pub(crate) attacks: Vec<String>,
    /// Further authorities the gateway trusts upstream (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) upstream_ca: Option<PathBuf>,
    /// Plain lines, no dashboard
    #[arg(long)]
    pub(crate) headless: bool,
    /// The run folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Write into a folder that is not empty
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) knowledge: Knowledge,
    #[command(flatten)]
    pub(crate) gates: Gates,
}

#[derive(Debug, Args)]
#[command(mut_arg("attacks", |arg| arg.help("Attacks: core, all, or ids; none is made unless the policy says who authorised them")))]
#[command(mut_arg("upstream_ca", |arg| arg.help("Authorities the gateway trusts upstream beside the system's (PEM)")))]
pub(crate) struct Intercept {
    /// The interface on the devices' side; needs root, or CAP_NET_ADMIN and CAP_NET_RAW
    #[arg(long, value_name = "IF", required_unless_present = "listen")]
    pub(crate) interface: Option<String>,
    /// How connections are taken from that interface
    #[arg(long, value_name = "redirect", default_value = "redirect", conflicts_with = "listen")]
    pub(crate) mode: Redirect,
    /// Be an HTTP proxy (CONNECT) here instead, which needs no privilege; packets are then made from what its sockets carry
    #[arg(long, value_name = "ADDR:PORT", conflicts_with = "interface")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// A device under test; others are forwarded and only counted (repeat it for several)
    #[arg(long, value_name = "MAC|IP")]
    pub(crate) device: Vec<String>,
    /// Where the devices trust the authority of --ca
    #[arg(long, value_name = "WHERE", default_value = "none")]
    pub(crate) anchor: Anchor,
    /// What happens to QUIC of the devices
    #[arg(long, value_name = "observe|block", default_value = "observe", conflicts_with = "listen")]
    pub(crate) quic: Quic,
    /// The folder with ca.pem and ca.key of the campaign's authority (made when missing)
    #[arg(long, value_name = "DIR", default_value = "overhear-ca")]
    pub(crate) ca: PathBuf,
    /// How long: 90s, 30m, 4h, 2d; without it until Ctrl-C or the dashboard's quit
    #[arg(long, value_name = "TIME")]
    pub(crate) duration: Option<String>,
    #[command(flatten)]
    pub(crate) terms: Terms,
}

/// A host name (RFC 1123 §2.1), with the underscores that DNS allows besides.
fn host_name(word: &str) -> Result<String, String> {
    let label = |label: &str| {
        let inside = label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        inside && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    if word.len() <= 253 && word.split('.').all(label) { Ok(word.to_owned()) } else { Err("not a host name, e.g. shop.test".to_owned()) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rung {
    /// Network namespaces with a transparent gateway
    Namespaces,
    /// The program runs on this machine and is told of a proxy on the loopback; what does not ask the proxy is not seen
    Loopback,
    /// A built-in toy device inside this program, without any network; its datagrams are lost
    Memory,
}

#[derive(Debug, Args)]
pub(crate) struct Lab {
    /// The program under test and its arguments; re-run until every planned attack is decided
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    /// A built-in toy device: careless-phone, strict-phone, pinned-app
    #[arg(long, value_name = "NAME", default_value = "careless-phone", conflicts_with = "command")]
    pub(crate) device: String,
    /// Where the device trusts Overhear's authority
    #[arg(long, value_name = "WHERE", default_value = "user")]
    pub(crate) anchor: Anchor,
    /// The host name offered to the program
    #[arg(long, value_name = "NAME", default_value = "shop.test", value_parser = host_name)]
    pub(crate) host: String,
    /// A name that leads to a given address, or whose files come from a folder
    #[arg(long, value_name = "NAME=ADDR|DIR")]
    pub(crate) origin: Vec<String>,
    /// How the lab is made; without it the best way this machine allows
    #[arg(long, value_name = "WAY")]
    pub(crate) rung: Option<Rung>,
    /// Copies of the program run at once; they share the attacks, and this machine's files
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) parallel: u8,
    /// Seconds one run of the program may take
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) run_timeout: u64,
    /// Seconds for everything
    #[arg(long, value_name = "S", default_value_t = 600)]
    pub(crate) budget: u64,
    /// Write report.json here too
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) terms: Terms,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Policy that selects attacks, peers and repeats (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// A run whose rates the plan is made from
    #[arg(long, value_name = "RUN")]
    pub(crate) from: Option<PathBuf>,
    /// Attacks: core, all, or ids
    #[arg(long, value_name = "core|all|ID,…", value_delimiter = ',', default_value = "core")]
    pub(crate) attacks: Vec<String>,
    /// Time there is: 90s, 30m, 4h, 2d
    #[arg(long, value_name = "TIME", default_value = "4h")]
    pub(crate) duration: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PhaseWord {
    Start,
    End,
    At,
}

#[derive(Debug, Args)]
pub(crate) struct Mark {
    /// The run folder
    pub(crate) run: PathBuf,
    /// What was done: factory-start, consent, enrol, verify, sham, update-start, app:NAME, idle, …
    pub(crate) kind: String,
    /// Whether it begins or ends now; without it, it is a moment
    #[arg(default_value = "at")]
    pub(crate) phase: PhaseWord,
    /// Who did it
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// A note
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// The persona of the run, so that words that say something of it are masked; a running gateway knows it
    #[arg(long, value_name = "FILE")]
    pub(crate) persona: Option<PathBuf>,
    /// The project key the run was made with
    #[arg(long, value_name = "FILE", env = "OVERHEAR_PROJECT_KEY")]
    pub(crate) project_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The run folder
    pub(crate) run: PathBuf,
    /// How many times faster than it happened
    #[arg(long, value_name = "X", default_value_t = 10.0)]
    pub(crate) speed: f64,
    /// No dashboard: judge again and print
    #[arg(long)]
    pub(crate) headless: bool,
    #[command(flatten)]
    pub(crate) gates: Gates,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    #[default]
    Text,
    Html,
    Json,
    Junit,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The run folder
    pub(crate) run: PathBuf,
    /// What to render
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: ReportFormat,
    /// Where to; standard output without it
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Rows per list in report.json; 0 for none, `all` for all
    #[arg(long, value_name = "N|all", default_value = "50000")]
    pub(crate) rows: String,
    /// Show personal values (journalled)
    #[arg(long)]
    pub(crate) reveal: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The run folder
    pub(crate) run: PathBuf,
    /// The project key the run was made with, to recompute it from its capture
    #[arg(long, value_name = "FILE", env = "OVERHEAR_PROJECT_KEY")]
    pub(crate) project_key: Option<PathBuf>,
    /// The persona the run was made with
    #[arg(long, value_name = "FILE")]
    pub(crate) persona: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Purge {
    /// The run folder
    pub(crate) run: PathBuf,
    /// Erase the packets of the run's own capture
    #[arg(long)]
    pub(crate) raw: bool,
    /// Erase the decryption secrets in it
    #[arg(long)]
    pub(crate) keys: bool,
    /// Erase sealed values of one flow only (`f12`)
    #[arg(long, value_name = "ID")]
    pub(crate) flow: Option<String>,
    /// Only if the run ended longer ago than this: 30d, 12h
    #[arg(long, value_name = "TIME")]
    pub(crate) older_than: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    #[default]
    Text,
    Json,
    Markdown,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Explain this one
    pub(crate) id: Option<String>,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: ListFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Check a policy, persona, declaration, events or actors file; errors carry line and column
    Check {
        /// The file
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Persona {
    /// Make a distinctive synthetic persona
    New {
        /// Where to (mode 0600); standard output without it
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// A label for reports
        #[arg(long, value_name = "TEXT", default_value = "synthetic persona")]
        label: String,
    },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CaFormat {
    #[default]
    Pem,
    Der,
}

#[derive(Debug, Args)]
pub(crate) struct Ca {
    /// What to do
    #[arg(value_enum, default_value = "show")]
    pub(crate) action: CaAction,
    /// The folder with ca.pem and ca.key
    #[arg(long, value_name = "DIR", default_value = "overhear-ca")]
    pub(crate) dir: PathBuf,
    /// Days a new authority lives
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) days: u32,
    /// Export format
    #[arg(long, value_name = "FORMAT", default_value = "pem")]
    pub(crate) format: CaFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CaAction {
    /// Make a new authority
    Make,
    /// Print subject, validity, fingerprints and the Android file name
    Show,
    /// Print the certificate
    Export,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
