//! Commands on a run that exists: report, replay, mark, purge. The journal is the truth; they read it, and append to it.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use analyzers::board::{Board, Demands};
use analyzers::encode::{Digest, hex};
use analyzers::flow::FlowId;
use analyzers::journal::{Broken, Line};
use analyzers::leak::Engine;
use analyzers::observation::{Event, Observation, Purged, Revealed, Run, RunKind};
use analyzers::reading::Reading;
use analyzers::text::Text;
use policies::{Declaration, Persona, Phase, Policy, Time};
use reports::gates::Gates;
use reports::tables::{Limits, Tables};

use crate::cli::{self, ReportFormat};
use crate::fault::Fault;
use crate::knowledge::{self};
use crate::render::{self, Rendered};
use crate::run::{Folder, SealedLine};

/// The time now: the rim is the only place with a clock.
pub(crate) fn now() -> Time {
    time(SystemTime::now())
}

fn time(at: SystemTime) -> Time {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
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
    pub(crate) broken: Vec<Broken>,
    pub(crate) run: Option<Run>,
}

/// How much of a journal is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// What was written while the run lasted.
    Run,
    /// Later marks too, up to this line.
    Until(u64),
    /// All of them.
    All,
    /// The same, with values revealed.
    Revealed,
}

/// A run whose journal says what it is.
fn told(back: ReadBack, folder: &Folder) -> Result<ReadBack, Fault> {
    if back.run.is_some() {
        return Ok(back);
    }
    let path = folder.file("journal.jsonl");
    Err(Fault::new(format!("{} does not say what the run is", path.display()), "it is empty or damaged; see `overhear verify`"))
}

/// Judges a run again from its journal.
pub(crate) fn read_back(folder: &Folder, limits: Limits, gates: &Gates, reach: Reach) -> Result<ReadBack, Fault> {
    let demands = Arc::new(demands(folder)?);
    let mut tables = Tables::streaming(limits, |_, _| {});
    if reach == Reach::Revealed {
        tables = tables.revealing(render::revealed(folder)?);
    }
    let mut both = (Board::new(demands), tables);
    let mut over = false;
    let (_, broken) = folder.read(|line| {
        over |= matches!(reach, Reach::Until(last) if line.n > last);
        if !over {
            both.line(&line);
        }
        over |= reach == Reach::Run && matches!(line.seen, Observation::Ledger(_));
    })?;
    let (board, tabled) = both.end();
    let run = board.run().cloned();
    Ok(ReadBack { rendered: render::render(&board, tabled, gates), broken, run })
}

pub(crate) fn report(args: &cli::Report) -> Result<u8, Fault> {
    let folder = Folder::open(&args.run)?;
    if let Some(path) = args.output.as_deref().filter(|path| folder.owns(path)) {
        return Err(Fault::new(format!("{} is a file of the run itself", path.display()), "write to another name"));
    }
    if args.reveal {
        if let Some(path) = args.output.as_deref().filter(|path| folder.holds(path)) {
            return Err(Fault::new(
                format!("{} is in the run's folder: `purge` would not find the values there", path.display()),
                "write what is revealed elsewhere",
            ));
        }
        drop(folder.alone()?);
        told(read_back(&folder, Limits::default(), &asked(&folder)?, Reach::Run)?, &folder)?;
        note_revealed(&folder, "report")?;
    }
    let limits = Limits { rows: render::rows(&args.rows)?, ..Limits::default() };
    let gates = asked(&folder)?;
    let back = told(read_back(&folder, limits, &gates, if args.reveal { Reach::Revealed } else { Reach::All })?, &folder)?;
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

/// The gates the run was made with, but for a baseline.
fn asked(folder: &Folder) -> Result<Gates, Fault> {
    let mut asked = None;
    folder.read(|line| {
        if let Observation::Run(run) = line.seen {
            asked.get_or_insert(run.asked);
        }
    })?;
    Ok(render::as_asked(&asked.unwrap_or_default()).0)
}

/// Who runs this program, as the system knows the user.
fn user() -> String {
    let id = nix::unistd::getuid();
    nix::unistd::User::from_uid(id).ok().flatten().map_or_else(|| format!("user {id}"), |user| user.name)
}

/// Writes down that values were shown, and to whom.
pub(crate) fn note_revealed(folder: &Folder, what: &str) -> Result<(), Fault> {
    folder.append(&mut [line_now(Revealed { what: Text::ours(what), by: Text::ours(user()) })])
}

fn line_now(seen: impl Into<Observation>) -> Line {
    Line { n: 0, at: now(), frame: None, flow: None, subject: None, seen: seen.into() }
}

pub(crate) fn replay(args: &cli::Replay) -> Result<u8, Fault> {
    let folder = Folder::open(&args.run)?;
    let watched = !args.headless && crate::eyes::terminal();
    if watched {
        // What a later command added is of another time.
        let (mut lines, mut over) = (Vec::new(), false);
        folder.read(|line| {
            let last = matches!(line.seen, Observation::Ledger(_));
            if !over {
                lines.push(line);
            }
            over |= last;
        })?;
        let board = Board::new(Arc::new(demands(&folder)?));
        crate::eyes::watch(&mut crate::eyes::ReplayEyes::new(lines, board, args.speed))?;
    }
    let catalogue = reports::catalogue::Catalogue::of(&demands(&folder)?);
    let gates = if args.gates.are_given() { render::gates(&args.gates, &catalogue)? } else { asked(&folder)? };
    let back = told(read_back(&folder, Limits::default(), &gates, Reach::All)?, &folder)?;
    if let Some(first) = back.broken.first() {
        crate::analyze::eprint_line(&format!("overhear: the journal is damaged: {first} (see `overhear verify`)"));
    }
    if !watched {
        crate::analyze::show(cli::SummaryFormat::Text, &back.rendered, &folder)?;
    }
    Ok(back.rendered.exit.code)
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
    let until = Instant::now() + ENDING;
    loop {
        if folder.is_whole() {
            let event = masked(&folder, args, event)?;
            folder.append(&mut [line_now(event)])?;
            render::print(b"marked in the finished run\n")?;
            return Ok(0);
        }
        // It may have ended meanwhile.
        if !folder.goes_on()? && !folder.is_whole() {
            return Err(Fault::new(format!("the run in {} was cut off", folder.path.display()), "it stays as it is"));
        }
        if leave(&folder, &event)? {
            render::print(b"marked; the running gateway takes it up\n")?;
            return Ok(0);
        }
        if Instant::now() > until {
            return Err(Fault::new(
                format!("the run in {} takes no marks at this moment", folder.path.display()),
                "mark it when it is over; an analysis takes them from --events",
            ));
        }
        std::thread::sleep(GLANCE);
    }
}

/// How long the end of a live run is waited for, which takes no more marks.
const ENDING: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(50);

/// Leaves a mark where a running gateway takes it, which writes the journal alone. Says whether it takes any: then the file is there.
fn leave(folder: &Folder, event: &Event) -> Result<bool, Fault> {
    let path = folder.file(MARKS);
    let failed = |e: std::io::Error| Fault::io("write", &path, &e);
    let mut file = match std::fs::OpenOptions::new().append(true).open(&path).and_then(crate::private::alone) {
        Ok(file) if path.is_file() => file,
        Ok(_) => return Ok(false),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(failed(e)),
    };
    let mut text = serde_json::to_vec(event).map_err(|e| Fault::new(e.to_string(), ""))?;
    text.push(b'\n');
    file.write_all(&text).map_err(failed)?;
    Ok(true)
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
        // What a later command added is younger than the run.
        let (mut last, mut ended, mut live) = (Time::MIN, false, false);
        folder.read(|line| {
            if !ended {
                last = last.max(line.at);
            }
            ended |= matches!(line.seen, Observation::Ledger(_));
            live |= matches!(&line.seen, Observation::Run(run) if run.kind != RunKind::Capture);
        })?;
        // A capture's packets may be years older than the run over them.
        let written = folder.file("run.json").metadata().and_then(|meta| meta.modified()).ok();
        if let Some(written) = written.filter(|_| !live) {
            last = last.max(time(written));
        }
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
    let _held = folder.alone()?;
    let end = match folder.end() {
        Err(fault) if folder.is_whole() => return Err(fault),
        // A run that was cut off can hold personal data too; it may be that nothing can be written behind it.
        end => end,
    };
    for name in ["sealed/values.jsonl", "capture.pcapng"] {
        in_place(&folder.file(name))?;
    }
    if end.is_ok() {
        // Nothing is erased that cannot be written down.
        let path = folder.file("journal.jsonl");
        crate::private::append(&path).map_err(|e| Fault::io("write", &path, &e))?;
    }
    let mut said = Vec::new();
    let only_packets = (args.raw || args.keys) && flow.is_none();
    if !only_packets {
        let count = erase_values(&folder, flow)?;
        said.push((flow.map_or_else(|| "values".to_owned(), |f| format!("values of {f}")), count, None));
    }
    if args.raw {
        said.push(("packets".to_owned(), erase_file(&folder.file("capture.pcapng"))?, None));
    } else if args.keys {
        let (count, left) = erase_keys(&folder.file("capture.pcapng"))?;
        said.push(("keys".to_owned(), count, left));
    }
    let by = user();
    let line = |(what, count, left): &(String, u64, Option<Digest>)| {
        line_now(Purged { what: Text::ours(what), count: *count, by: Text::ours(&by), left_sha256: *left })
    };
    let mut lines: Vec<Line> = said.iter().map(line).collect();
    let unwritten = match &end {
        Ok(tail) => {
            folder.add(tail, &mut lines)?;
            String::new()
        }
        Err(fault) => format!("not written down: {fault}\n"),
    };
    let text: String = said.iter().map(|(what, n, _)| format!("erased {n} {what}\n")).chain([unwritten]).collect();
    render::print(text.as_bytes())?;
    Ok(0)
}

/// Refuses what is no file of the run's own: a link leads to somebody else's, and a pipe nowhere.
fn in_place(path: &Path) -> Result<(), Fault> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => {
            let folder = path.parent().unwrap_or(path);
            let may =
                nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK).and(nix::unistd::access(path, nix::unistd::AccessFlags::W_OK));
            may.map_err(|e| Fault::io("erase", path, &e.into()))
        }
        Ok(_) => Err(Fault::new(format!("{} is no file of this run", path.display()), "remove what stands there by hand")),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Fault::io("read", path, &e)),
    }
}

/// Rewrites the sealed values without those asked for.
fn erase_values(folder: &Folder, flow: Option<FlowId>) -> Result<u64, Fault> {
    let path = folder.file("sealed/values.jsonl");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(Fault::io("read", &path, &e)),
    };
    // A line that cannot be read may be of any flow.
    let text = String::from_utf8_lossy(&bytes);
    let parsed = text.lines().map(|l| (l, serde_json::from_str::<SealedLine>(l).ok()));
    let (gone, kept): (Vec<_>, Vec<_>) = parsed.partition(|(_, l)| flow.is_none() || l.as_ref().is_none_or(|l| l.flow == flow));
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
    let packets = packets_in(path);
    overwrite(path)?;
    std::fs::remove_file(path).map_err(|e| Fault::io("remove", path, &e))?;
    Ok(packets)
}

/// How many packets a capture has, as far as it can be read.
fn packets_in(path: &Path) -> u64 {
    let Some(mut reader) = std::fs::File::open(path).ok().and_then(|file| captures::Reader::open(file).ok()) else { return 0 };
    let mut block = captures::Block::new();
    while matches!(reader.fill(&mut block), Ok(true)) {}
    reader.summary().packets
}

/// Overwrites the secrets of a pcapng's Decryption Secrets Blocks in place; the packets stay readable, and closed.
fn erase_keys(path: &Path) -> Result<(u64, Option<Digest>), Fault> {
    let Ok(mut bytes) = std::fs::read(path) else { return Ok((0, None)) };
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
    Ok((erased, Some(Digest::of(&bytes))))
}
