//! Commands on a run that exists: report, verify, mark, purge. The journal is the truth; they read it, and append to it.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use analyzers::board::{Board, Demands};
use analyzers::encode::{Digest, hex};
use analyzers::flow::FlowId;
use analyzers::journal::{Broken, Line, Tail};
use analyzers::leak::Engine;
use analyzers::observation::{Event, Observation, Purged, Revealed, Run, RunKind};
use analyzers::reading::Reading;
use analyzers::scribe::Desk;
use analyzers::text::Text;
use captures::Known;
use policies::{Declaration, Persona, Phase, Policy, Time};
use reports::gates::Gates;
use reports::tables::{Limits, Tables};

use crate::analyze::Analysis;
use crate::cli::{self, ReportFormat};
use crate::fault::Fault;
use crate::knowledge::{self, Knowledge};
use crate::render::{self, Rendered};
use crate::run::{Folder, SealedLine};

/// The time now: the rim is the only place with a clock.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// What a run was judged under.
pub(crate) fn demands(folder: &Folder) -> Result<Demands, Fault> {
    let path = folder.file("policy.toml");
    let policy = if path.is_file() { Policy::parse("policy.toml", &knowledge::read(&path)?)? } else { Policy::default_analyze() };
    let path = folder.file("declaration.toml");
    let declaration = if path.is_file() { Some(Declaration::parse("declaration.toml", &knowledge::read(&path)?)?) } else { None };
    Ok(knowledge::demands(policy, declaration))
}

/// A run read back from its journal.
pub(crate) struct ReadBack {
    pub(crate) rendered: Rendered,
    pub(crate) tail: Tail,
    pub(crate) broken: Vec<Broken>,
    pub(crate) run: Option<Run>,
}

/// Judges a run again from its journal.
pub(crate) fn read_back(folder: &Folder, limits: Limits, gates: &Gates, reveal: bool) -> Result<ReadBack, Fault> {
    let demands = Arc::new(demands(folder)?);
    let mut tables = Tables::streaming(limits, |_, _| {});
    if reveal {
        tables = tables.revealing(render::revealed(folder)?);
    }
    let mut both = (Board::new(demands), tables);
    let (tail, broken) = folder.read(|line| both.line(&line))?;
    let (board, tabled) = both.end();
    let run = board.run().cloned();
    Ok(ReadBack { rendered: render::render(&board, tabled, gates, &[]), tail, broken, run })
}

pub(crate) fn report(args: &cli::Report) -> Result<u8, Fault> {
    let folder = Folder::open(&args.run)?;
    if args.reveal {
        let who = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
        let seen = Revealed { what: Text::ours("report"), by: Text::ours(who) };
        folder.append(&mut [line_now(seen)])?;
    }
    let limits = Limits { rows: render::rows(&args.rows)?, ..Limits::default() };
    let back = read_back(&folder, limits, &Gates::default(), args.reveal)?;
    if let Some(first) = back.broken.first() {
        crate::analyze::eprint_line(&format!("overhear: the journal is damaged: {first} (see `overhear verify`)"));
    }
    let Rendered { report, catalogue, .. } = &back.rendered;
    let mut out = Vec::new();
    let written = match args.format {
        ReportFormat::Text => render::summary(report, &folder, render::colour() && args.output.is_none(), &mut out),
        ReportFormat::Json => report.write(&mut out),
        ReportFormat::Html => reports::html::write(report, catalogue, &mut out),
        ReportFormat::Junit => reports::junit::write(report, &mut out),
    };
    written.map_err(|e| Fault::new(format!("cannot render: {e}"), ""))?;
    match &args.output {
        None => render::print(&out)?,
        Some(path) => {
            let mut file = crate::private::create(path).map_err(|e| Fault::io("write", path, &e))?;
            file.write_all(&out).map_err(|e| Fault::io("write", path, &e))?;
        }
    }
    Ok(0)
}

fn line_now(seen: impl Into<Observation>) -> Line {
    Line { n: 0, at: now(), frame: None, flow: None, subject: None, seen: seen.into() }
}

pub(crate) fn replay(args: &cli::Replay) -> Result<u8, Fault> {
    let folder = Folder::open(&args.run)?;
    if !args.headless && crate::eyes::terminal() {
        let mut lines = Vec::new();
        folder.read(|line| lines.push(line))?;
        let board = Board::new(Arc::new(demands(&folder)?));
        crate::eyes::watch(&mut crate::eyes::ReplayEyes::new(lines, board, args.speed))?;
        return Ok(0);
    }
    let catalogue = reports::catalogue::Catalogue::of(&demands(&folder)?);
    let gates = render::gates(&args.gates, &catalogue)?;
    let back = read_back(&folder, Limits::default(), &gates, false)?;
    if let Some(first) = back.broken.first() {
        crate::analyze::eprint_line(&format!("overhear: the journal is damaged: {first} (see `overhear verify`)"));
    }
    crate::analyze::show(cli::SummaryFormat::Text, &back.rendered, &folder)?;
    Ok(back.rendered.exit.code)
}

/// What a verification came to, line by line.
#[derive(Default)]
struct Checked {
    said: Vec<String>,
    wrong: u32,
}

impl Checked {
    fn good(&mut self, what: impl Into<String>) {
        self.said.push(format!("ok     {}", what.into()));
    }

    fn bad(&mut self, what: impl Into<String>) {
        self.wrong += 1;
        self.said.push(format!("WRONG  {}", what.into()));
    }

    fn open(&mut self, what: impl Into<String>) {
        self.said.push(format!("open   {}", what.into()));
    }
}

pub(crate) fn verify(args: &cli::Verify) -> Result<u8, Fault> {
    let folder = Folder::open(&args.run)?;
    let mut checked = Checked::default();
    let whole = folder.is_whole().then(|| folder.run_file()).transpose()?;
    let back = read_back(&folder, Limits::default(), &Gates::default(), false)?;
    chain(&back, whole.as_ref().map(|r| r.head), &mut checked);
    verdicts(&folder, &back, &mut checked);
    match &whole {
        None => checked.open("the run was cut off before its end: its capture is not compared"),
        Some(run) => capture(&folder, run, args, &back, &mut checked)?,
    }
    let mut out = checked.said.join("\n");
    out.push_str(&format!("\n{}\n", if checked.wrong == 0 { "verified: no difference" } else { "NOT verified" }));
    render::print(out.as_bytes())?;
    Ok(u8::from(checked.wrong > 0))
}

fn chain(back: &ReadBack, head: Option<Digest>, checked: &mut Checked) {
    for broken in back.broken.iter().take(20) {
        checked.bad(format!("chain: {broken}"));
    }
    let tail = &back.tail;
    if back.broken.is_empty() {
        checked.good(format!("chain: {} lines under {} seals", tail.lines, tail.seals));
    }
    if tail.unsealed > 0 {
        checked.open(format!("{} lines after the last seal count and are not proven", tail.unsealed));
    }
    if tail.torn > 0 {
        checked.open(format!("{} bytes of a last line that was never finished", tail.torn));
    }
    match head {
        Some(head) if tail.head != Some(head) => checked.bad("run.json names another last seal than the journal has"),
        Some(_) => checked.good("run.json names the journal's last seal"),
        None => checked.open("there is no run.json: the run is not whole"),
    }
}

fn verdicts(folder: &Folder, back: &ReadBack, checked: &mut Checked) {
    let mut again = Vec::new();
    if back.rendered.report.write(&mut again).is_err() {
        return checked.bad("verdicts: the report cannot be made again");
    }
    let same_rules =
        back.run.as_ref().is_some_and(|r| demands(folder).is_ok_and(|d| knowledge::catalogue_sha256(&d) == r.catalogue_sha256));
    if !same_rules {
        checked.open("the run was judged under another catalogue: verdicts may differ for that reason");
    }
    if let Some(run) = &back.run {
        match std::fs::read(folder.file("policy.toml")).map(|t| Digest::of(&t)) {
            Ok(digest) if digest == run.policy_sha256 => checked.good("policy.toml is the one the journal names"),
            _ => checked.bad("policy.toml is not the one the journal names"),
        }
    }
    match std::fs::read(folder.file("report.json")) {
        Err(_) => checked.open("there is no report.json to compare with"),
        Ok(stored) if stored == again => checked.good("every verdict recomputed from the journal; report.json is equal, byte for byte"),
        Ok(stored) => {
            let (stored, again) = (String::from_utf8_lossy(&stored), String::from_utf8_lossy(&again));
            let differs = stored.lines().zip(again.lines()).position(|(a, b)| a != b);
            let at = differs.map_or_else(|| "its length".to_owned(), |n| format!("line {}", n + 1));
            if same_rules {
                checked.bad(format!("report.json differs from what the journal gives, first in {at}"));
            } else {
                checked.open("report.json differs (other catalogue)");
            }
        }
    }
}

/// Lines that a capture gives again: everything but what the operator or a later command said.
fn comes_from_capture(seen: &Observation) -> bool {
    !matches!(
        seen,
        Observation::Run(_)
            | Observation::Planted(_)
            | Observation::Event(_)
            | Observation::Input(_)
            | Observation::Standing(_)
            | Observation::Revealed(_)
            | Observation::Purged(_)
    )
}

fn line_digest(line: &Line) -> u64 {
    let text = serde_json::to_vec(line).unwrap_or_default();
    let digest = analyzers::encode::sha256(&text);
    u64::from_le_bytes([digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]])
}

/// Compares the lines of a second reading with those of the journal, in order.
struct Compare {
    expect: Vec<(u64, u64)>,
    at: usize,
    first: Option<u64>,
}

impl Desk for Compare {
    fn line(&mut self, line: Line) {
        if !comes_from_capture(&line.seen) {
            return;
        }
        let same = self.expect.get(self.at).is_some_and(|(_, d)| *d == line_digest(&line));
        if !same && self.first.is_none() {
            self.first = Some(self.expect.get(self.at).map_or(0, |(n, _)| *n));
        }
        self.at += 1;
    }

    fn sealed(&mut self, _: Option<FlowId>, _: analyzers::sealed::Value) {}
}

fn capture(folder: &Folder, run: &crate::run::RunFile, args: &cli::Verify, back: &ReadBack, checked: &mut Checked) -> Result<(), Fault> {
    let Some(input) = run.inputs.first() else {
        checked.open("the run names no capture");
        return Ok(());
    };
    if back.run.as_ref().is_some_and(|r| r.kind != RunKind::Capture) {
        checked.open("a live run: its capture was compared when it ended (the journal's `second-reading` line)");
        return Ok(());
    }
    let path = &input.path;
    let Ok(bytes) = std::fs::read(path) else {
        checked.open(format!("the capture {} is not there: its lines are not recomputed", path.display()));
        return Ok(());
    };
    match input.sha256 {
        Some(digest) if digest != Digest::of(&bytes) => {
            checked.bad(format!("the capture {} is not the one that was read", path.display()));
            return Ok(());
        }
        Some(_) => checked.good(format!("the capture {} is the one that was read", path.display())),
        None => checked.open("the capture's digest was not taken (--hash none)"),
    }
    if run.persona && args.persona.is_none() {
        checked.open("the run had a persona: name it with --persona to recompute lines from the capture");
        return Ok(());
    }
    let (kept, keylog_or_events) = journal_digests(folder)?;
    if keylog_or_events {
        checked.open("the run had events: lines are not recomputed from the capture");
        return Ok(());
    }
    let given = cli::Knowledge {
        policy: Some(folder.file("policy.toml")),
        persona: args.persona.clone(),
        declaration: None,
        project_key: args.project_key.clone(),
    };
    let known = Knowledge::read(&given, Policy::default_analyze, crate::analyze::DEFAULT_POLICY)?;
    let secrets = captures::scan::secrets(&mut std::io::Cursor::new(&bytes)).unwrap_or_default();
    let analysis = Analysis {
        known: &known,
        devices: &run.devices,
        kind: RunKind::Capture,
        label: None,
        secrets_known: if bytes.starts_with(&crate::analyze::PCAPNG_MAGIC) { Known::All } else { Known::None },
        secrets,
        events: Vec::new(),
        windows: Vec::new(),
        actors: Vec::new(),
        jobs: 1,
        limits: Limits::default(),
    };
    let mut compare = Compare { expect: kept, at: 0, first: None };
    let (_, ledger) = analysis.read(bytes.as_slice(), &mut compare, &mut |_| {})?;
    let _ = ledger;
    match compare.first {
        None if compare.at == compare.expect.len() => {
            checked.good(format!("{} lines recomputed from the capture, all equal", compare.at));
        }
        None => checked.bad(format!("the capture gives {} lines, the journal has {}", compare.at, compare.expect.len())),
        Some(0) => checked.bad("the capture gives more lines than the journal has"),
        Some(n) => checked.bad(format!("line {n} of the journal is not what the capture gives (another project key, key log or persona?)")),
    }
    Ok(())
}

/// Digests of the lines a capture gives, with their numbers; and whether events shaped the run.
fn journal_digests(folder: &Folder) -> Result<(Vec<(u64, u64)>, bool), Fault> {
    let mut out = Vec::new();
    let mut events = false;
    folder.read(|line| {
        events |= matches!(line.seen, Observation::Event(_) | Observation::Activity(_));
        if comes_from_capture(&line.seen) && !matches!(line.seen, Observation::Ledger(_)) {
            out.push((line.n, line_digest(&line)));
        }
    })?;
    Ok((out, events))
}

pub(crate) fn mark(args: &cli::Mark) -> Result<u8, Fault> {
    let folder = Folder::open(&args.run)?;
    let phase = match args.phase {
        cli::PhaseWord::Start => Phase::Start,
        cli::PhaseWord::End => Phase::End,
        cli::PhaseWord::At => Phase::At,
    };
    if policies::EventKind::parse(&args.kind).is_none() {
        return Err(Fault::new(
            format!("'{}' is not a kind of event", args.kind),
            "small letters, digits and hyphens, e.g. enrol, consent, app:mail",
        ));
    }
    let words = |t: &Option<String>| t.as_ref().map(Text::ours);
    let event = Event { at: now(), kind: Text::ours(&args.kind), phase, confirmed: true, by: words(&args.by), note: words(&args.note) };
    if folder.is_whole() {
        let event = masked(&folder, args, event)?;
        folder.append(&mut [line_now(event)])?;
        render::print(b"marked in the finished run\n")?;
    } else {
        // A running gateway takes it from this file; it writes the journal alone.
        let path = folder.file(MARKS);
        let mut file = crate::private::append(&path).and_then(crate::private::alone).map_err(|e| Fault::io("write", &path, &e))?;
        let mut text = serde_json::to_vec(&event).map_err(|e| Fault::new(e.to_string(), ""))?;
        text.push(b'\n');
        file.write_all(&text).map_err(|e| Fault::io("write", &path, &e))?;
        render::print(b"marked; the running gateway takes it up\n")?;
    }
    Ok(0)
}

/// The event with what it says of the planted identity hidden: a run that is over knows of that only tokens.
fn masked(folder: &Folder, args: &cli::Mark, event: Event) -> Result<Event, Fault> {
    let mut planted: Vec<Text> = Vec::new();
    folder.read(|line| {
        if let Observation::Planted(it) = line.seen {
            planted.push(it.token);
        }
    })?;
    let wordless = event.by.is_none() && event.note.is_none() && !event.kind.as_str().contains(':');
    if planted.is_empty() || wordless {
        return Ok(event);
    }
    let Some(path) = &args.persona else {
        return Err(Fault::new(
            "the run had a persona: the words of a mark could say something of it",
            "name it with --persona, or mark without words",
        ));
    };
    let persona = Persona::parse(&path.display().to_string(), &knowledge::read(path)?)?;
    let engine = Engine::for_persona(&persona, &crate::private::project_key(args.project_key.as_deref())?);
    let tokens: Vec<Text> = persona.values.iter().map(|v| Text::ours(hex(&engine.token(v.kind, v.value.reveal())))).collect();
    if planted.iter().any(|token| !tokens.contains(token)) {
        return Err(Fault::new(
            format!("{} is not the persona of this run", path.display()),
            "or it was made with another project key: name that with --project-key",
        ));
    }
    Ok(knowledge::veil(event, &engine))
}

/// Where marks for a running gateway are left.
pub(crate) const MARKS: &str = "marks.jsonl";

pub(crate) fn purge(args: &cli::Purge) -> Result<u8, Fault> {
    let folder = Folder::open(&args.run)?;
    if let Some(age) = &args.older_than {
        let limit = crate::setup::duration(age)?;
        let mut last = Time::MIN;
        folder.read(|line| last = last.max(line.at))?;
        if now().since(last) < limit {
            render::print(b"younger than that: nothing erased\n")?;
            return Ok(0);
        }
    }
    let flow = match &args.flow {
        None => None,
        Some(word) => {
            let n = word.strip_prefix('f').and_then(|n| n.parse().ok());
            Some(FlowId(n.ok_or_else(|| Fault::new(format!("'{word}' is not a flow"), "as reports print it, e.g. f12"))?))
        }
    };
    let mut said = Vec::new();
    let only_packets = (args.raw || args.keys) && flow.is_none();
    if !only_packets {
        let count = erase_values(&folder, flow)?;
        said.push((flow.map_or_else(|| "values".to_owned(), |f| format!("values of {f}")), count));
    }
    if args.raw {
        said.push(("packets".to_owned(), erase_file(&folder.file("capture.pcapng"))?));
    } else if args.keys {
        said.push(("keys".to_owned(), erase_keys(&folder.file("capture.pcapng"))?));
    }
    let by = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    let mut lines: Vec<Line> =
        said.iter().map(|(what, count)| line_now(Purged { what: Text::ours(what), count: *count, by: Text::ours(&by) })).collect();
    folder.append(&mut lines)?;
    let text: String = said.iter().map(|(what, n)| format!("erased {n} {what}\n")).collect();
    render::print(text.as_bytes())?;
    Ok(0)
}

/// Rewrites the sealed values without those asked for.
fn erase_values(folder: &Folder, flow: Option<FlowId>) -> Result<u64, Fault> {
    let path = folder.file("sealed/values.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(0) };
    let parsed = text.lines().map(|l| (l, serde_json::from_str::<SealedLine>(l).ok()));
    let (gone, kept): (Vec<_>, Vec<_>) = parsed.partition(|(_, l)| flow.is_none() || l.as_ref().is_some_and(|l| l.flow == flow));
    overwrite(&path)?;
    if kept.is_empty() {
        std::fs::remove_file(&path).map_err(|e| Fault::io("remove", &path, &e))?;
    } else {
        let mut file = crate::private::create(&path).map_err(|e| Fault::io("write", &path, &e))?;
        for (line, _) in &kept {
            writeln!(file, "{line}").map_err(|e| Fault::io("write", &path, &e))?;
        }
    }
    Ok(gone.len() as u64)
}

/// Writes zeros over a file before it goes: what a file system keeps of it is then empty, where it writes in place.
fn overwrite(path: &Path) -> Result<(), Fault> {
    let Ok(meta) = std::fs::metadata(path) else { return Ok(()) };
    let io = |e: std::io::Error| Fault::io("erase", path, &e);
    let mut file = std::fs::OpenOptions::new().write(true).open(path).map_err(io)?;
    let zeros = vec![0; 1 << 16];
    let mut left = meta.len();
    while left > 0 {
        let n = left.min(zeros.len() as u64) as usize;
        file.write_all(zeros.get(..n).unwrap_or_default()).map_err(io)?;
        left -= n as u64;
    }
    file.sync_all().map_err(io)
}

fn erase_file(path: &Path) -> Result<u64, Fault> {
    if !path.is_file() {
        return Ok(0);
    }
    overwrite(path)?;
    std::fs::remove_file(path).map_err(|e| Fault::io("remove", path, &e))?;
    Ok(1)
}

/// Overwrites the secrets of a pcapng's Decryption Secrets Blocks in place; the packets stay readable, and closed.
fn erase_keys(path: &Path) -> Result<u64, Fault> {
    let Ok(mut bytes) = std::fs::read(path) else { return Ok(0) };
    let mut at = 0;
    let mut erased = 0;
    let word = |bytes: &[u8], at: usize| -> Option<u32> { Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)) };
    while let (Some(kind), Some(len)) = (word(&bytes, at), word(&bytes, at + 4)) {
        let len = len as usize;
        if len < 12 || at + len > bytes.len() {
            break;
        }
        // Our own captures are little-endian; type 0x0a is a DSB, its secrets stand after type and length (pcapng §4.7).
        if kind == 0x0a && len > 20 {
            if let Some(secrets) = bytes.get_mut(at + 16..at + len - 4) {
                secrets.fill(b'#');
            }
            erased += 1;
        }
        at += len;
    }
    overwrite(path)?;
    let mut file = crate::private::create(path).map_err(|e| Fault::io("write", path, &e))?;
    file.write_all(&bytes).map_err(|e| Fault::io("write", path, &e))?;
    Ok(erased)
}
