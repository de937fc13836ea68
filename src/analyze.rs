//! `overhear analyze`: captures in, one run folder each, a summary out.

use std::cell::Cell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use analyzers::board::Board;
use analyzers::chunk::Lost;
use analyzers::encode::Digest;
use analyzers::keys::{Keys, Secret};
use analyzers::observation::{self, Asked, Ledger, Missed, Observation, RunKind, RunMode, Standing};
use analyzers::pipeline::{Pipeline, Told, Tools, Window};
use analyzers::scribe::{Briefing, Desk, Masks, Scribe};
use analyzers::text::{Text, Veil};
use captures::Known;
use captures::read::OpenError;
use policies::{ActorRow, Policy, Time};
use reports::gates::Gates;
use reports::tables::Limits;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{self, Hash, SummaryFormat};
use crate::desk::RunDesk;
use crate::fault::Fault;
use crate::inputs::{inputs, out_folder};
use crate::knowledge::{self, Knowledge};
use crate::progress::Progress;
use crate::render::{self, Rendered};
use crate::run::{Folder, RUN_SCHEMA, RunFile, RunInput};
use crate::source::{Counted, Source, Until, Walk};
use crate::urge::Urge;

/// Runs the command; the exit code of the worst input.
pub(crate) fn analyze(args: &cli::Analyze, quiet: bool) -> Result<u8, Fault> {
    let known = Knowledge::read(&args.knowledge, Policy::default_analyze, DEFAULT_POLICY)?;
    let gates = render::gates(&args.gates, &reports::catalogue::Catalogue::of(&known.demands))?;
    let rows = render::rows(&args.rows)?;
    knowledge::told(&args.device)?;
    let inputs = inputs(&args.files)?;
    let batch = inputs.len() > 1;
    let mut worst = 0;
    let mut failed = Vec::new();
    let mut used = HashSet::new();
    let stop = heed();
    let printer = Printer { format: args.format, several: batch, printed: Cell::new(0) };
    for (n, input) in inputs.iter().enumerate() {
        if stop.load(Ordering::SeqCst) {
            eprint_line(&format!("overhear: stopped: {} of {} inputs were not read", inputs.len() - n, inputs.len()));
            worst = worse(worst, 2);
            break;
        }
        let mut out = out_folder(args.out.as_deref(), input, batch);
        // Two of one name in different folders have a folder each.
        if !used.insert(out.clone()) {
            out = (2..=u32::MAX).map(|n| PathBuf::from(format!("{}-{n}", out.display()))).find(|p| !used.contains(p)).unwrap_or(out);
            used.insert(out.clone());
        }
        let job = Job { args, known: &known, gates: &gates, rows, quiet, stop: &stop, printer: &printer };
        match job.run(input, &out) {
            Ok(code) => worst = worse(worst, code),
            Err(fault) if batch => {
                let (text, path) = (fault.to_string(), input.display().to_string());
                let text = if text.contains(&path) { text } else { format!("{path}: {text}") };
                eprint_line(&format!("overhear: {text}"));
                failed.push(input.display().to_string());
                worst = worse(worst, crate::fault::exit::FAULT);
            }
            Err(fault) => return Err(fault),
        }
    }
    printer.end()?;
    if batch && !failed.is_empty() {
        eprint_line(&format!("overhear: {} of {} inputs could not be read", failed.len(), inputs.len()));
    }
    Ok(worst)
}

/// The policy file of a run without one: it names what was in force.
pub(crate) const DEFAULT_POLICY: &str = "schema = \"overhear/policy/1\"\nprofile = \"default\"\n";

/// 1 (failed) outweighs 2 (undecided); 3 (our fault) outweighs both.
pub(crate) fn worse(a: u8, b: u8) -> u8 {
    let rank = |c: u8| match c {
        0 => 0,
        2 => 1,
        1 => 2,
        _ => 3,
    };
    if rank(b) > rank(a) { b } else { a }
}

/// One line to the operator, beside results. Whoever has closed standard error does not want to hear it.
pub(crate) fn eprint_line(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "{text}");
}

struct Job<'a> {
    args: &'a cli::Analyze,
    known: &'a Knowledge,
    gates: &'a Gates,
    rows: usize,
    quiet: bool,
    /// The operator wants an end.
    stop: &'a AtomicBool,
    printer: &'a Printer,
}

/// Prints the summaries of all inputs: where a program reads them, as one document.
struct Printer {
    format: SummaryFormat,
    several: bool,
    printed: Cell<usize>,
}

impl Printer {
    fn print(&self, rendered: &Rendered, folder: &Folder) -> Result<(), Fault> {
        if !self.several || self.format == SummaryFormat::Text {
            return show(self.format, rendered, folder);
        }
        let nth = self.printed.replace(self.printed.get() + 1);
        let mut out = Vec::new();
        let written = if self.format == SummaryFormat::Json {
            out.extend_from_slice(if nth == 0 { b"[\n" } else { b",\n" });
            rendered.report.write(&mut out)
        } else {
            out.extend_from_slice(if nth == 0 { reports::junit::HEAD.as_bytes() } else { b"" });
            reports::junit::write_suites(&rendered.report, &mut out)
        };
        written.map_err(|e| Fault::new(format!("cannot render: {e}"), ""))?;
        render::print(&out)
    }

    fn end(&self) -> Result<(), Fault> {
        let none = self.printed.get() == 0;
        let (head, foot) = match self.format {
            _ if !self.several => return Ok(()),
            SummaryFormat::Text => return Ok(()),
            SummaryFormat::Json => ("[\n", "]\n"),
            SummaryFormat::Junit => (reports::junit::HEAD, reports::junit::FOOT),
        };
        render::print(format!("{}{foot}", if none { head } else { "" }).as_bytes())
    }
}

impl Job<'_> {
    /// Reads the capture once. Only where secrets come after packets they are all collected first, and the run begins anew.
    fn run(&self, input: &Path, out: &Path) -> Result<u8, Fault> {
        let done = match self.read(input, out, Walk::Leading) {
            Err(Stopped::LateSecrets) => self.read(input, out, Walk::Whole),
            done => done,
        };
        Ok(done?)
    }

    fn read(&self, input: &Path, out: &Path, walk: Walk) -> Result<u8, Stopped> {
        let mut source = Source::open(input)?;
        let mut secrets = match &self.args.keylog {
            Some(path) => {
                let file = File::open(path).map_err(|e| Fault::io("read", path, &e))?;
                let log = captures::keylog::read(file).map_err(|e| Fault::io("read", path, &e))?;
                // Secrets of kinds that open nothing here are secrets all the same.
                if log.secrets.is_empty() && log.unknown == 0 {
                    let what = match log.broken {
                        0 => format!("{} holds no secret", path.display()),
                        lines => format!("{}: none of its {lines} lines is a secret", path.display()),
                    };
                    return Err(Fault::new(what, "--keylog takes the NSS key log format (what SSLKEYLOGFILE makes)").into());
                }
                if log.broken > 0 && !self.quiet {
                    eprint_line(&format!("overhear: {}: {} lines are no secret and were passed over", path.display(), log.broken));
                }
                log.secrets
            }
            None => Vec::new(),
        };
        let (in_file, secrets_known) = source.secrets(input, walk)?;
        secrets.extend(in_file);
        let jobs = self.args.jobs.map_or_else(default_jobs, usize::from);
        let same = crate::source::aliases(input, &self.args.device, jobs, limits(self.known.policy()))?;
        let frame_times = self.frame_times(input)?;
        let (events, windows) = match &self.args.events {
            Some(path) => knowledge::events(path, &self.known.engine, &|n| frame_times.get(&n).copied())?,
            None => Default::default(),
        };
        let actors = self.args.actors.as_deref().map(|path| knowledge::actors(path, &self.known.engine)).transpose()?.unwrap_or_default();
        let force = self.args.force || walk == Walk::Whole;
        Folder::may_be(out, force)?;
        look_at(input, out)?;
        source.look()?;
        let folder = Folder::make(out, force)?;
        self.known.store(&folder)?;
        let secrets_given = secrets.len() as u64;
        let limits = Limits { rows: self.rows, stream_all: self.args.tables };
        let analysis = Analysis {
            known: self.known,
            devices: &self.args.device,
            same,
            kind: RunKind::Capture,
            label: None,
            secrets,
            secrets_known,
            events: events.into_iter().map(Observation::from).collect(),
            windows,
            actors,
            jobs,
            limits,
            asked: Asked { keylog: self.args.keylog.is_some(), actors: self.args.actors.is_some(), ..render::asked(self.gates, limits) },
        };
        let mut progress = Progress::new(self.quiet, source.size);
        let hash = (self.args.hash == Hash::Sha256).then(|| aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256));
        let mut until = Until { inner: &mut source.bytes, stop: self.stop };
        let mut counted = Counted { inner: &mut until, bytes: 0, hash };
        let mut desk = analysis.desk(&folder)?;
        let (report, ledger) = analysis.read(&mut counted, &mut desk, &mut |n| progress.at(n))?;
        let stopped = self.stop.load(Ordering::SeqCst);
        if stopped {
            eprint_line("overhear: stopped: the capture was not read to its end, and nothing passes for what was not seen");
            // Whatever was not read may have held anything.
            desk.say(Missed { why: Lost::Dropped, dir: None, offset: 0, len: 0, repeats: 1 });
            desk.say(Standing {
                what: Text::ours("reading"),
                state: Text::ours(format!("stopped by the operator after {} bytes", counted.bytes)),
            });
        }
        if self.args.hash == Hash::Sha256 {
            counted.drain();
        }
        progress.done();
        let (bytes, sha256) = (counted.bytes, counted.digest().filter(|_| !self.stop.load(Ordering::SeqCst)));
        // The name only: where it stood is the operator's business.
        let name = input.file_name().map_or_else(|| input.display().to_string(), |n| n.to_string_lossy().into_owned());
        let mut line = report.line(self.known.veiled(&name), sha256, secrets_given);
        line.bytes = bytes.max(line.bytes);
        if stopped && std::mem::take(&mut line.truncated) {
            // Where we broke off is no damage of the file.
            line.damage.pop();
        }
        desk.say(line);
        desk.say(ledger);
        let finished = desk.finish()?;
        let rendered = render::render(&finished.board, analyzers::reading::Reading::end(finished.tables), self.gates);
        drop(finished.board);
        render::write(&folder, &rendered)?;
        folder.finish(&RunFile {
            schema: RUN_SCHEMA.to_owned(),
            tool: "overhear".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            inputs: vec![RunInput { path: std::path::absolute(input).unwrap_or_else(|_| input.to_owned()), sha256 }],
            lines: finished.lines,
            head: finished.head,
            devices: self.args.device.clone(),
            persona: self.known.persona.is_some(),
        })?;
        drop(finished.held);
        if self.args.reveal {
            // In what is printed, and nowhere else.
            crate::runs::note_revealed(&folder, "summary")?;
            let back = crate::runs::read_back(&folder, limits, self.gates, crate::runs::Reach::Revealed)?;
            self.printer.print(&back.rendered, &folder)?;
        } else {
            self.printer.print(&rendered, &folder)?;
        }
        Ok(rendered.exit.code)
    }

    /// Times of the frames that events name: one light pass over the file, only when needed.
    fn frame_times(&self, input: &Path) -> Result<std::collections::HashMap<u64, Time>, Fault> {
        let mut out = std::collections::HashMap::new();
        let Some(path) = &self.args.events else { return Ok(out) };
        let rows = policies::events::parse(&path.display().to_string(), &knowledge::read(path)?)?;
        let wanted: std::collections::HashSet<u64> = rows
            .iter()
            .filter_map(|r| match r.when {
                policies::When::Frame(n) => Some(n),
                policies::When::Time(_) => None,
            })
            .collect();
        if wanted.is_empty() {
            return Ok(out);
        }
        let file = File::open(input).map_err(|e| Fault::io("read", input, &e))?;
        let mut reader = captures::read::Reader::open(file).map_err(|e| Fault::new(format!("{}: {e}", input.display()), ""))?;
        let mut block = captures::block::Block::new();
        while reader.fill(&mut block).map_err(|e| Fault::io("read", input, &e))? {
            for frame in block.frames().filter(|f| wanted.contains(&f.number)) {
                out.insert(frame.number, frame.time);
            }
        }
        Ok(out)
    }
}

/// What is printed when a run is done.
pub(crate) fn show(format: SummaryFormat, rendered: &Rendered, folder: &Folder) -> Result<(), Fault> {
    let mut out = Vec::new();
    let written = match format {
        SummaryFormat::Text => render::summary(&rendered.report, folder, render::colour(), &mut out),
        SummaryFormat::Json => rendered.report.write(&mut out),
        SummaryFormat::Junit => reports::junit::write(&rendered.report, &mut out),
    };
    written.map_err(|e| Fault::new(format!("cannot render: {e}"), ""))?;
    render::print(&out)
}

fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(64)
}

/// A capture on its way through pipelines to a desk.
pub(crate) struct Analysis<'a> {
    pub(crate) known: &'a Knowledge,
    pub(crate) devices: &'a [String],
    /// Addresses of one device each.
    pub(crate) same: Vec<Vec<IpAddr>>,
    pub(crate) kind: RunKind,
    pub(crate) label: Option<Text>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) secrets_known: Known,
    pub(crate) events: Vec<Observation>,
    pub(crate) windows: Vec<Window>,
    pub(crate) actors: Vec<ActorRow>,
    pub(crate) jobs: usize,
    pub(crate) limits: Limits,
    pub(crate) asked: Asked,
}

impl Analysis<'_> {
    /// The desk with the lines that open the journal.
    pub(crate) fn desk(&self, folder: &Folder) -> Result<RunDesk, Fault> {
        let run = run_line(self.known, self.kind, None, self.label.clone(), Vec::new());
        let mut opening: Vec<Observation> = vec![observation::Run { asked: self.asked.clone(), ..run }.into()];
        opening.extend(self.known.planted());
        opening.extend(self.events.iter().cloned());
        let board = Board::new(Arc::clone(&self.known.demands));
        RunDesk::new(folder, board, self.limits, opening)
    }

    /// Reads the capture to its end; what the reader counted, and the run's ledger.
    pub(crate) fn read(
        &self,
        input: impl Read,
        desk: &mut impl Desk,
        progress: &mut impl FnMut(u64),
    ) -> Result<(captures::run::Report, Ledger), Stopped> {
        let mut keys = Keys::default();
        for secret in &self.secrets {
            keys.insert(secret.clone());
        }
        let mut told = knowledge::told(self.devices)?;
        for ip in self.same.iter().flatten().copied().map(Told::Ip) {
            if !told.contains(&ip) {
                told.push(ip);
            }
        }
        let tools = Arc::new(Tools {
            veil: Arc::clone(&self.known.engine) as Arc<dyn Veil>,
            keys: Arc::new(keys),
            told: told.clone(),
            windows: self.windows.clone(),
            engine: Some(Arc::clone(&self.known.engine)),
            ..Tools::default()
        });
        let mut scribe = Scribe::new(Briefing {
            told,
            label: self.label.clone(),
            same: self.same.clone(),
            actors: self.actors.clone(),
            masks: Masks(Some(tools.veil.clone())),
            ..Briefing::default()
        });
        let options = captures::run::Options { jobs: self.jobs, secrets: self.secrets_known, limits: limits(self.known.policy()) };
        let report =
            captures::run::analyse(input, &options, |_| Pipeline::new(Arc::clone(&tools)), &mut |out| scribe.take(out, desk), progress);
        let report = report.map_err(|e| match e {
            OpenError::LateSecrets => Stopped::LateSecrets,
            e => Stopped::Fault(Fault::new(e.to_string(), FORMATS)),
        })?;
        Ok((report, scribe.ledger()))
    }
}

/// How long the policy remembers silent flows.
pub(crate) fn limits(policy: &Policy) -> captures::Limits {
    let thresholds = policy.thresholds;
    captures::Limits { tcp_idle: thresholds.tcp_idle_s, datagram_idle: thresholds.udp_idle_s, ..captures::Limits::default() }
}

/// The first line of a journal.
pub(crate) fn run_line(
    known: &Knowledge,
    kind: RunKind,
    mode: Option<RunMode>,
    label: Option<Text>,
    attacks: Vec<Text>,
) -> observation::Run {
    observation::Run {
        schema: Text::ours("overhear/journal/1"),
        tool: Text::ours("overhear"),
        version: Text::ours(env!("CARGO_PKG_VERSION")),
        kind,
        mode,
        label,
        policy_sha256: known.policy_sha256(),
        catalogue_sha256: knowledge::catalogue_sha256(&known.demands),
        project: Some(known.project()),
        declaration_sha256: known.declaration_text.as_ref().map(|text| Digest::of(text.as_bytes())),
        attacks,
        asked: Asked::default(),
    }
}

/// Why a capture was not read to its end.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// It has secrets behind packets, and only those before them were known.
    LateSecrets,
    Fault(Fault),
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Stopped {
        Stopped::Fault(fault)
    }
}

impl From<Stopped> for Fault {
    fn from(stopped: Stopped) -> Fault {
        match stopped {
            Stopped::LateSecrets => {
                Fault::new("the capture has secrets that come after packets", "this is a fault of ours; please report it")
            }
            Stopped::Fault(fault) => fault,
        }
    }
}

/// Whether the operator wants an end: from then on inputs end where they are. The second signal ends the program at once.
fn heed() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let wait = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            crate::urge::survive_file_limits();
            let of = |kind| signal(kind).ok();
            let (mut int, mut term, mut hup) = (of(SignalKind::interrupt()), of(SignalKind::terminate()), of(SignalKind::hangup()));
            let mut urge = Urge::default();
            loop {
                tokio::select! {
                    () = next(&mut int) => {}
                    () = next(&mut term) => {}
                    () = next(&mut hup) => {}
                }
                told.store(true, Ordering::SeqCst);
                if urge.again(std::time::Instant::now()) {
                    crate::urge::leave();
                }
            }
        });
    };
    // Without it a signal ends the program as it ends any.
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(wait);
    stop
}

/// The next signal of a kind; never, where it cannot be listened to.
pub(crate) async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Refuses to make or clear a folder for the sake of an input that is no capture, or that stands in the folder.
fn look_at(input: &Path, out: &Path) -> Result<(), Fault> {
    // What is read as it comes cannot be looked at twice.
    if input == Path::new("-") || !input.is_file() {
        return Ok(());
    }
    if let (Ok(input), Ok(out)) = (input.canonicalize(), out.canonicalize())
        && input.starts_with(&out)
    {
        return Err(Fault::new(
            format!("{} stands in the folder that --force would clear", input.display()),
            "choose another folder with --out",
        ));
    }
    let file = File::open(input).map_err(|e| Fault::io("read", input, &e))?;
    captures::Reader::open(file).map(drop).map_err(|e| Fault::new(format!("{}: {e}", input.display()), FORMATS))
}

pub(crate) const FORMATS: &str = "pcap and pcapng are read, also gzip- or zstd-compressed";
