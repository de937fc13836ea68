//! `overhear verify`: is the run what its journal says, and is its journal what was seen? Long, for it is one list of comparisons.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;

use analyzers::encode::{Digest, hex};
use analyzers::flow::FlowId;
use analyzers::journal::{Broken, Line, Tail};
use analyzers::leak::Engine;
use analyzers::observation::{Asked, Input, Observation, Run, RunKind};
use analyzers::reading::Reading as _;
use analyzers::scribe::Desk;
use analyzers::text::Text;
use aws_lc_rs::digest::{Context, SHA256};
use captures::Known;
use policies::{IdentifierType, Policy};
use reports::rows::{Row, Table};
use reports::tables::{Limits, Tables};

use crate::analyze::Analysis;
use crate::cli;
use crate::fault::Fault;
use crate::knowledge::{self, Knowledge};
use crate::render;
use crate::run::{Folder, RunFile, SealedLine};
use crate::runs::{Reach, ReadBack, demands, read_back};

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
    // Neither while it goes on nor while another command adds to it.
    let _held = folder.alone()?;
    let mut checked = Checked::default();
    let whole = folder.is_whole().then(|| folder.run_file()).transpose()?;
    let told = Told::read(&folder)?;
    chain(whole.as_ref(), &told, &mut checked);
    let asked = told.run.as_ref().map_or_else(Asked::default, |run| run.asked.clone());
    match demands(&folder) {
        // Another policy than the run's; without the rules there are no verdicts.
        Err(fault) => checked.bad(format!("what the run was judged under cannot be read: {fault}")),
        Ok(_) => {
            let (gates, limits) = render::as_asked(&asked);
            let back = read_back(&folder, limits, &gates, Reach::Run)?;
            verdicts(&folder, &back, &told, &mut checked)?;
            if whole.is_some() {
                tables(&folder, limits, &mut checked)?;
            } else if folder.file("tables").is_dir() {
                checked.open("the run was cut off: tables/ are not compared");
            }
            values(&folder, args.project_key.as_deref(), &told, &mut checked)?;
            match &whole {
                None => checked.open("the run was cut off before its end: its capture is not compared"),
                Some(run) => capture(&folder, run, args, &told, &mut checked)?,
            }
        }
    }
    let verdict = match (checked.wrong, &whole) {
        (0, Some(_)) => "verified: no difference",
        (0, None) => "no difference in what is there of a run that is not whole",
        _ => "NOT verified",
    };
    let mut out = checked.said.join("\n");
    out.push_str(&format!("\n{verdict}\n"));
    render::print(out.as_bytes())?;
    Ok(u8::from(checked.wrong > 0))
}

/// What the journal itself says of the run and its inputs.
#[derive(Default)]
struct Told {
    /// The first of these lines; a run has no other.
    run: Option<Run>,
    more_runs: u64,
    inputs: Vec<Input>,
    /// A later command took packets or keys; and what it left of the file.
    purged: bool,
    left: Option<Digest>,
    /// What later commands erased, in words.
    erased: Vec<Text>,
    /// The operator ended the reading of the capture.
    stopped: bool,
    /// What came of the second reading of a live run.
    again: Option<Text>,
    /// The ledger was met: what follows it was said by later commands.
    ended: bool,
    /// Lines behind it that no later command writes; the first.
    stray: Option<u64>,
    /// Later marks: their lines.
    marked: Vec<u64>,
    /// The line of the ledger.
    end: u64,
    tail: Tail,
    broken: Vec<Broken>,
}

impl Told {
    fn read(folder: &Folder) -> Result<Told, Fault> {
        let mut told = Told::default();
        let (tail, broken) = folder.read(|line| match line.seen {
            Observation::Purged(it) => {
                if it.what == "packets" || it.what == "keys" {
                    (told.purged, told.left) = (true, it.left_sha256);
                }
                told.erased.push(it.what);
            }
            Observation::Revealed(_) => {}
            Observation::Event(_) if told.ended => told.marked.push(line.n),
            _ if told.ended => told.stray = told.stray.or(Some(line.n)),
            Observation::Ledger(_) => (told.ended, told.end) = (true, line.n),
            Observation::Run(run) if told.run.is_none() => told.run = Some(run),
            Observation::Run(_) => told.more_runs += 1,
            Observation::Input(input) => told.inputs.push(input),
            Observation::Standing(it) if it.what == "second-reading" => told.again = Some(it.state),
            Observation::Standing(it) => told.stopped |= it.what == "reading" && it.state.as_str().starts_with("stopped"),
            _ => {}
        })?;
        (told.tail, told.broken) = (tail, broken);
        Ok(told)
    }

    fn erased(&self, what: &str) -> bool {
        self.erased.iter().any(|it| it == what)
    }
}

fn chain(whole: Option<&RunFile>, told: &Told, checked: &mut Checked) {
    for broken in told.broken.iter().take(20) {
        checked.bad(format!("chain: {broken}"));
    }
    let tail = &told.tail;
    if told.broken.is_empty() {
        checked.good(format!("chain: {} lines under {} seals", tail.lines, tail.seals));
    }
    // A run that was cut off has such a tail; one that is whole was sealed to its end.
    let cut_off = whole.is_none();
    let mut tail_is = |what: String| if cut_off { checked.open(what) } else { checked.bad(what) };
    if tail.unsealed > 0 {
        tail_is(format!("{} lines after the last seal count and are not proven", tail.unsealed));
    }
    if tail.torn > 0 {
        tail_is(format!("{} bytes of a last line that was never finished", tail.torn));
    }
    if told.run.is_none() {
        checked.bad("the journal does not say what the run is: there is nothing to verify");
    }
    if told.more_runs > 0 {
        checked.bad("the journal says a second time what the run is");
    }
    if let Some(n) = told.stray {
        checked.bad(format!("line {n} stands behind the end of the run, and no later command writes such a line"));
    }
    let Some(run) = whole else {
        return checked.open("there is no run.json: the run is not whole");
    };
    if !told.ended {
        checked.bad("the journal has no end, and run.json says that the run is whole");
    }
    if tail.lines > run.lines && run.lines > told.end && told.ended && tail.recent.contains(&(run.lines, run.head)) {
        checked.open("run.json names an earlier seal: a later command was broken off before it said so there");
    } else if tail.head != Some(run.head) || tail.lines != run.lines {
        checked.bad("run.json names another last seal than the journal has");
    } else {
        checked.good("run.json names the journal's last seal");
    }
    let made_by = told.run.as_ref().map(|run| (run.tool.as_str(), run.version.as_str()));
    if made_by.is_some_and(|made_by| made_by != (&run.tool, &run.version)) {
        checked.bad("run.json names another tool or version than the journal");
    }
}

/// A run that was compared with a baseline, which is not here: everything but what the baseline decided.
fn beside_the_exit(folder: &Folder, again: &[u8], checked: &mut Checked) {
    checked.open("the run was compared with a baseline: its exit code and page are not made again");
    let without = |text: &[u8]| {
        let mut report: serde_json::Value = serde_json::from_slice(text).ok()?;
        report.as_object_mut()?.remove("summary");
        Some(report)
    };
    match std::fs::read(folder.file("report.json")) {
        Err(_) => checked.open("there is no report.json to compare with"),
        Ok(stored) if without(&stored).is_some() && without(&stored) == without(again) => {
            checked.good("every verdict recomputed from the journal; report.json is equal, but for its summary");
        }
        Ok(_) => checked.bad("report.json differs from what the journal gives, not in its summary alone"),
    }
}

/// report.html is what people read: it says what report.json says.
fn page(folder: &Folder, back: &ReadBack, with_marks: bool, same_rules: bool, checked: &mut Checked) {
    let mut again = Vec::new();
    if reports::html::write(&back.rendered.report, &back.rendered.catalogue, &mut again).is_err() {
        return checked.bad("report.html cannot be made again");
    }
    match std::fs::read(folder.file("report.html")) {
        Err(_) => checked.open("there is no report.html to compare with"),
        Ok(stored) if stored == again => checked.good("report.html is equal, byte for byte"),
        Ok(_) if with_marks => {
            checked.good("report.html is equal to what the journal gives with the later marks, byte for byte");
        }
        Ok(_) if same_rules => checked.bad("report.html differs from what the journal gives"),
        Ok(_) => checked.open("report.html differs (other catalogue)"),
    }
}

fn verdicts(folder: &Folder, back: &ReadBack, told: &Told, checked: &mut Checked) -> Result<(), Fault> {
    let mut again = Vec::new();
    if back.rendered.report.write(&mut again).is_err() {
        checked.bad("verdicts: the report cannot be made again");
        return Ok(());
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
        let declaration = std::fs::read(folder.file("declaration.toml")).ok().map(|t| Digest::of(&t));
        match (declaration, run.declaration_sha256) {
            (None, None) => {}
            (Some(_), None) if !same_rules => checked.open("declaration.toml is not named by the journal (another version)"),
            (kept, named) if kept == named => checked.good("declaration.toml is the one the journal names"),
            _ => checked.bad("declaration.toml is not the one the journal names"),
        }
        if run.asked.baseline {
            beside_the_exit(folder, &again, checked);
            return Ok(());
        }
    }
    // What `report` makes of a run that was marked later knows of the mark.
    let stored = |name: &str| std::fs::read(folder.file(name)).ok();
    let (json, html) = (stored("report.json"), stored("report.html"));
    let mut later = Marked::default();
    for upto in told.marked.iter().rev().take(MOST_MARKS) {
        let again = as_marked(folder, told, *upto)?;
        later.json |= json.as_ref() == Some(&again.0);
        later.html |= html.as_ref() == Some(&again.1);
        if later.json && later.html {
            break;
        }
    }
    page(folder, back, later.html, same_rules, checked);
    match std::fs::read(folder.file("report.json")) {
        Err(_) => checked.open("there is no report.json to compare with"),
        Ok(stored) if stored == again => checked.good("every verdict recomputed from the journal; report.json is equal, byte for byte"),
        Ok(_) if later.json => {
            checked.good(
                "every verdict recomputed from the journal; report.json is equal to what it gives with the later marks, byte for byte",
            );
        }
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
    Ok(())
}

/// What was rendered again after marks that came when the run was over.
#[derive(Default)]
struct Marked {
    json: bool,
    html: bool,
}

/// So many later marks are tried, the last ones first.
const MOST_MARKS: usize = 32;

/// What is rendered of a run together with later marks up to that line.
fn as_marked(folder: &Folder, told: &Told, upto: u64) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let asked = told.run.as_ref().map_or_else(Asked::default, |run| run.asked.clone());
    let (gates, limits) = render::as_asked(&asked);
    let back = read_back(folder, limits, &gates, Reach::Until(upto))?;
    let (mut json, mut html) = (Vec::new(), Vec::new());
    let written = back.rendered.report.write(&mut json);
    let written = written.and_then(|()| reports::html::write(&back.rendered.report, &back.rendered.catalogue, &mut html));
    written.map_err(|e| Fault::new(format!("cannot render: {e}"), ""))?;
    Ok((json, html))
}

/// The tables that report.json is too short for: the same rows again.
fn tables(folder: &Folder, limits: Limits, checked: &mut Checked) -> Result<(), Fault> {
    let kept = |name: &str| std::fs::read(folder.file("tables").join(format!("{name}.jsonl"))).ok().map(|text| Digest::of(&text));
    let differ = |again: &Digests| {
        let differs = |table: &&Table| kept(table.name()) != again.get(table.name()).copied();
        Table::ALL.iter().filter(differs).map(|table| table.name()).collect::<Vec<_>>()
    };
    let mut wrong = differ(&rows(folder, limits)?);
    if !wrong.is_empty() {
        // Perhaps all were asked for.
        let all = differ(&rows(folder, Limits { stream_all: true, ..limits })?);
        wrong = if all.len() < wrong.len() { all } else { wrong };
    }
    if !wrong.is_empty() {
        checked.bad(format!("tables/ differ from what the journal gives: {}", wrong.join(", ")));
    } else if folder.file("tables").is_dir() {
        checked.good("tables/ are equal, row for row");
    }
    Ok(())
}

/// Digests of tables by their names.
type Digests = HashMap<&'static str, Digest>;

fn rows(folder: &Folder, limits: Limits) -> Result<Digests, Fault> {
    let made: RefCell<HashMap<&'static str, Context>> = RefCell::default();
    let mut over = false;
    let mut tables = Tables::streaming(limits, |table: Table, row: Row<'_>| {
        let mut made = made.borrow_mut();
        let context = made.entry(table.name()).or_insert_with(|| Context::new(&SHA256));
        context.update(&serde_json::to_vec(&row).unwrap_or_default());
        context.update(b"\n");
    });
    folder.read(|line| {
        if !over {
            tables.line(&line);
        }
        over |= matches!(line.seen, Observation::Ledger(_));
    })?;
    tables.end();
    let digest = |context: Context| <[u8; 32]>::try_from(context.finish().as_ref()).map_or(Digest([0; 32]), Digest);
    Ok(made.into_inner().into_iter().map(|(name, context)| (name, digest(context))).collect())
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

/// The packets of a live run: their digest was taken when they were read again.
fn packets(folder: &Folder, told: &Told, checked: &mut Checked) -> Result<(), Fault> {
    match told.again.as_ref().map(Text::as_str) {
        Some(state) => checked.open(format!("a live run: its capture was read again when it ended, with this result: {state}")),
        None => checked.open("a live run: its capture was not read again, for the run broke off or kept no packets"),
    }
    let path = folder.file("capture.pcapng");
    let first = told.inputs.iter().find(|input| input.path == "capture.pcapng").and_then(|input| input.sha256);
    let kept = if told.purged { told.left } else { first };
    if told.erased("keys") {
        checked.open("the keys were purged: what they opened cannot be read again");
    }
    if told.erased("packets") && path.exists() {
        checked.bad("the packets were purged, and capture.pcapng is there");
        return Ok(());
    }
    match (File::open(&path), kept) {
        (Err(e), _) if e.kind() == std::io::ErrorKind::NotFound => {
            if told.purged {
                checked.open("the packets were purged");
            } else if kept.is_some() {
                checked.open("capture.pcapng is not there");
            }
        }
        (Err(e), _) => return Err(Fault::io("read", &path, &e)),
        (Ok(_), None) => checked.open("the journal names no digest of capture.pcapng"),
        (Ok(mut file), Some(digest)) => {
            let mut hashed = crate::source::Counted::hashing(&mut file);
            hashed.drain();
            if hashed.digest() == Some(digest) {
                checked.good("capture.pcapng is the one the journal names");
            } else {
                checked.bad("capture.pcapng is not the one the journal names");
            }
        }
    }
    Ok(())
}

/// The sealed values are those whose tokens the journal has: what `--reveal` shows beside them.
fn tokens(folder: &Folder, key: Option<&Path>, told: &Told, checked: &mut Checked) -> Result<(), Fault> {
    let Ok(text) = std::fs::read_to_string(folder.file("sealed/values.jsonl")) else { return Ok(()) };
    if !crate::private::has_project_key(key) {
        checked.open("the project's key is not here: the sealed values are not compared with their tokens");
        return Ok(());
    }
    let engine = Engine::new(std::iter::empty(), &crate::private::project_key(key)?);
    if told.run.as_ref().and_then(|r| r.project.as_ref()).is_some_and(|project| *project != crate::knowledge::project(&engine)) {
        checked.open("the key here is another project's: the sealed values are not compared with their tokens");
        return Ok(());
    }
    let mut kinds: HashMap<String, IdentifierType> = HashMap::new();
    folder.read(|line| {
        if let Observation::Hit(hit) = line.seen {
            kinds.insert(hit.token.as_str().to_owned(), hit.kind);
        }
    })?;
    let (mut good, mut wrong) = (0, 0);
    for line in text.lines() {
        let sealed = serde_json::from_str::<SealedLine>(line).ok();
        let known = sealed.and_then(|line| Some((kinds.get(&line.token)?, analyzers::encode::unhex(&line.value)?, line.token)));
        let fits = known.is_some_and(|(kind, value, token)| hex(&engine.token(*kind, &String::from_utf8_lossy(&value))) == token);
        *(if fits { &mut good } else { &mut wrong }) += 1;
    }
    if wrong > 0 {
        checked.bad(format!("{wrong} sealed values are not those whose tokens the journal has"));
    } else if good > 0 {
        checked.good(format!("{good} sealed values are those whose tokens the journal has"));
    }
    Ok(())
}

/// The sealed values: which of them a later command erased, and that they are gone.
fn values(folder: &Folder, key: Option<&Path>, told: &Told, checked: &mut Checked) -> Result<(), Fault> {
    tokens(folder, key, told, checked)?;
    let erased: Vec<&str> = told.erased.iter().map(Text::as_str).filter(|what| what.starts_with("values")).collect();
    let (Some(last), path) = (erased.last(), folder.file("sealed/values.jsonl")) else { return Ok(()) };
    checked.open(format!("{last} were purged: they cannot be shown again"));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Fault::io("read", &path, &e)),
    };
    let is_back = |line: &str| {
        let flow = serde_json::from_str::<SealedLine>(line).ok().and_then(|line| line.flow).map(|flow| format!("values of {flow}"));
        erased.contains(&"values") || flow.is_some_and(|flow| erased.contains(&flow.as_str()))
    };
    if text.lines().any(is_back) {
        checked.bad("values were purged, and are there");
    }
    Ok(())
}

fn capture(folder: &Folder, run: &RunFile, args: &cli::Verify, told: &Told, checked: &mut Checked) -> Result<(), Fault> {
    if told.run.as_ref().is_some_and(|r| r.kind != RunKind::Capture) {
        return packets(folder, told, checked);
    }
    if run.inputs.len() != told.inputs.len() {
        checked.bad("run.json names other captures than the journal");
    }
    let Some(input) = run.inputs.first() else {
        checked.open("the run names no capture");
        return Ok(());
    };
    let sha256 = told.inputs.first().and_then(|input| input.sha256);
    if input.sha256 != sha256 {
        checked.bad("run.json names another digest of the capture than the journal");
    }
    let path = &input.path;
    if path.file_name().is_some_and(|name| name == "-") {
        checked.open("the capture came from standard input: its lines are not recomputed");
        return Ok(());
    }
    // A pipe would be waited for, and gives its bytes once.
    let file = std::fs::metadata(path).is_ok_and(|at| at.is_file()).then(|| File::open(path).ok()).flatten();
    let Some(mut file) = file else {
        checked.open(format!("the capture {} is not there: its lines are not recomputed", path.display()));
        return Ok(());
    };
    let mut hashed = crate::source::Counted::hashing(&mut file);
    hashed.drain();
    let digest = hashed.digest();
    match sha256 {
        Some(named) if digest != Some(named) => {
            checked.bad(format!("the capture {} is not the one that was read", path.display()));
            return Ok(());
        }
        Some(_) => checked.good(format!("the capture {} is the one that was read", path.display())),
        None if told.stopped => {}
        None => checked.open("the capture's digest was not taken (--hash none)"),
    }
    if told.stopped {
        checked
            .open("the reading was stopped before the end of the capture: its digest was not taken, and lines are not recomputed from it");
        return Ok(());
    }
    if told.run.as_ref().is_some_and(|r| r.asked.keylog || r.asked.actors) {
        checked.open("the run had a key log or a file of actors: lines are not recomputed from the capture");
        return Ok(());
    }
    let foreign = "the project's key is not here: lines are not recomputed from the capture (name it with --project-key)";
    if !crate::private::has_project_key(args.project_key.as_deref()) {
        checked.open(foreign);
        return Ok(());
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
    if told.run.as_ref().and_then(|r| r.project.as_ref()).is_some_and(|project| *project != known.project()) {
        checked.open(foreign);
        return Ok(());
    }
    let again = |file: &mut File| file.rewind().map_err(|e| Fault::io("read", path, &e));
    again(&mut file)?;
    let mut magic = [0; 4];
    let is_pcapng = file.read_exact(&mut magic).is_ok() && magic == crate::source::PCAPNG_MAGIC;
    again(&mut file)?;
    let secrets = captures::scan::secrets(&mut file).unwrap_or_default();
    again(&mut file)?;
    let analysis = Analysis {
        known: &known,
        devices: &run.devices,
        same: crate::source::aliases(path, &run.devices, 1, crate::analyze::limits(known.policy()))?,
        kind: RunKind::Capture,
        label: None,
        secrets_known: if is_pcapng { Known::All } else { Known::None },
        secrets,
        events: Vec::new(),
        windows: Vec::new(),
        actors: Vec::new(),
        jobs: 1,
        limits: Limits::default(),
        asked: Asked::default(),
    };
    let mut compare = Compare { expect: kept, at: 0, first: None };
    analysis.read(&file, &mut compare, &mut |_| {})?;
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
    let (mut events, mut over) = (false, false);
    folder.read(|line| {
        if over {
            return;
        }
        over = matches!(line.seen, Observation::Ledger(_));
        events |= matches!(line.seen, Observation::Event(_) | Observation::Activity(_));
        if comes_from_capture(&line.seen) && !matches!(line.seen, Observation::Ledger(_)) {
            out.push((line.n, line_digest(&line)));
        }
    })?;
    Ok((out, events))
}
