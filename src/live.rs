//! The live side: a gateway between a device and the Internet (or the lab's), its journal, and what starts and ends it.

use std::fs::File;
use std::io::{BufWriter, Read as _};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use analyzers::board::Board;
use analyzers::observation::{Asked, Event, Ledger, Observation, Run, RunKind, RunMode, Standing};
use analyzers::pipeline::{Out, Tools};
use analyzers::scribe::{Briefing, Masks, Scribe};
use analyzers::text::{Text, Veil};
use policies::policy::Content;
use policies::{Attack, Policy};
use proxy::batch::Batched;
use proxy::capture::{self, Aside, Look, Recorded, Source};
use proxy::enrolment::{Disguised, Enrolment};
use proxy::feed::Feed;
use proxy::forge::ca::Authority;
use proxy::forge::mint::Mint;
use proxy::gateway::{Gateway, Rules, Setup, Veiled};
use proxy::packets::Packets;
use proxy::plan::Mode;
use proxy::serve::{Server, Waits};
use proxy::synthesis::{Synthesis, synthesis};
use proxy::upstream::{Beyond, Upstream};
use reports::tables::Limits;
use rustls::RootCertStore;

use crate::analyze::run_line;
use crate::desk::{Finished, RunDesk};
use crate::fault::Fault;
use crate::knowledge::{self, Knowledge};
use crate::run::Folder;
use crate::runs::{MARKS, now};
use crate::twice::{self, Facts};

/// Attacks by the operator's words: `core` (all that are built, none that can harm), `all`, or ids.
pub(crate) fn select(words: &[String], attacks: &[Attack]) -> Result<Vec<Attack>, Fault> {
    let mut out: Vec<Attack> = Vec::new();
    for word in words {
        let before = out.len();
        let fits = |a: &&Attack| match word.as_str() {
            "all" => true,
            "core" => a.brick_risk == 0,
            id => a.id == id || (id.ends_with(".*") && a.id.starts_with(id.trim_end_matches('*'))),
        };
        let found: Vec<&Attack> = attacks.iter().filter(fits).collect();
        if found.is_empty() {
            return Err(Fault::new(format!("--attacks names nothing known: '{}'", word.escape_debug()), "`overhear attacks` lists them"));
        }
        for attack in found {
            if !out.iter().any(|a| a.id == attack.id) {
                out.push(attack.clone());
            }
        }
        debug_assert!(out.len() >= before, "attacks are only added");
    }
    Ok(out)
}

/// What the gateway asks the policy.
#[derive(Debug)]
pub(crate) struct PolicyRules {
    pub(crate) policy: Policy,
    pub(crate) pins: Option<policies::Declaration>,
    pub(crate) who: Who,
    /// Which name each address of a lab was given out for.
    pub(crate) names: Option<lab::names::Names>,
}

/// Whose traffic may be touched.
#[derive(Debug)]
pub(crate) enum Who {
    /// The lab gave out these addresses; each group is one of the copies of its device.
    Given(Vec<Vec<IpAddr>>),
    /// The lab has no namespaces: whoever asks its explicit proxy is its device.
    Everybody,
    /// The devices the operator named.
    Enrolled(Arc<Enrolment>),
}

impl Rules for PolicyRules {
    fn may_attack(&self, host: &str, port: u16, servers: &[IpAddr]) -> bool {
        self.policy.may_attack(host, port, servers).is_ok()
    }

    fn names_of(&self, server: IpAddr) -> Vec<String> {
        self.names.as_ref().map_or_else(Vec::new, |names| names.names_of(server))
    }

    fn is_probe(&self, host: &str, port: u16, path: &str) -> bool {
        let excused = |e: &policies::policy::Exception| {
            e.content == Content::ConnectivityProbe && e.covers("channel.cleartext-http", host, port) && e.covers_path(path)
        };
        self.policy.exceptions.iter().any(excused)
    }

    fn pin_near(&self, host: &str) -> bool {
        self.pins.as_ref().is_some_and(|d| d.pinned(host) || d.beside_pin(host))
    }

    fn enrolled(&self, device: IpAddr) -> bool {
        match &self.who {
            Who::Given(devices) => devices.iter().flatten().any(|ip| *ip == device),
            Who::Everybody => true,
            Who::Enrolled(enrolment) => enrolment.has(device),
        }
    }

    fn device(&self, ip: IpAddr) -> IpAddr {
        match &self.who {
            Who::Given(devices) => devices.iter().find(|group| group.contains(&ip)).and_then(|group| group.first()).copied().unwrap_or(ip),
            Who::Everybody => ip,
            Who::Enrolled(enrolment) => enrolment.first(ip),
        }
    }

    fn lanes(&self) -> u8 {
        match &self.who {
            Who::Given(copies) => u8::try_from(copies.len()).unwrap_or(u8::MAX),
            Who::Everybody | Who::Enrolled(_) => 1,
        }
    }

    fn lane(&self, device: IpAddr) -> u8 {
        match &self.who {
            Who::Given(copies) => copies.iter().position(|copy| copy.contains(&device)).and_then(|n| u8::try_from(n).ok()).unwrap_or(0),
            Who::Everybody | Who::Enrolled(_) => 0,
        }
    }
}

/// What makes a live run.
pub(crate) struct Plan<'a> {
    pub(crate) known: &'a Knowledge,
    pub(crate) kind: RunKind,
    pub(crate) mode: RunMode,
    pub(crate) pace: Mode,
    pub(crate) attacks: Vec<Attack>,
    pub(crate) rules: PolicyRules,
    pub(crate) authority: Authority,
    pub(crate) roots: RootCertStore,
    /// Servers that are no further than this process.
    pub(crate) beyond: Option<Arc<dyn Beyond>>,
    pub(crate) label: Option<Text>,
    /// Where the device trusts the authority.
    pub(crate) anchor: &'static str,
    /// Whether a dashboard will look on.
    pub(crate) watched: bool,
    pub(crate) asked: Asked,
}

/// A gateway that runs, with its journal.
pub(crate) struct Live {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) desk: Arc<Mutex<RunDesk>>,
    /// Hides what was planted.
    pub(crate) veil: Arc<dyn Veil>,
    pub(crate) folder: Folder,
    pub(crate) feed: Feed,
    journal: std::thread::JoinHandle<Scribe>,
    /// Set when the disk failed: nothing more can be proven.
    pub(crate) broken: Arc<AtomicBool>,
    asides: Option<Receiver<Aside>>,
    synthesis: Option<Synthesis>,
    capture: Option<Capture>,
}

/// The thread that writes the devices' side as packets, with the secrets that open them.
struct Capture {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<std::io::Result<Recorded>>,
    /// What was written, to be read again.
    file: File,
    kept: Kept,
}

/// What becomes of the packets of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// They stay in the run as `capture.pcapng`.
    InRun,
    /// They are read again when the run ends, and are nowhere afterwards: nobody has authorised more.
    Nowhere,
}

/// Pipelines beside the gateway's own threads.
const LANES: u16 = 2;
/// A live journal is sealed at least this often (architecture: *The journal*).
const SEAL_EVERY: Duration = Duration::from_secs(1);

/// Descriptors for some thousand connections, two each (and in a lab their origins'). Above it programs under test that close all they could
/// have would be slow.
const DESCRIPTORS: u64 = 1 << 15;

/// Takes as many descriptors as the system lets us have: the usual 1 024 serve 500 connections.
fn more_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < DESCRIPTORS
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(DESCRIPTORS), hard);
    }
}

impl Live {
    /// Starts pipelines, journal and gateway; no connection is taken yet.
    pub(crate) fn start(plan: Plan<'_>, folder: Folder) -> Result<Live, Fault> {
        more_descriptors();
        let said = |e: proxy::Error| Fault::new(e.to_string(), "");
        let known = plan.known;
        known.store(&folder)?;
        let attacks: Vec<Text> = plan.attacks.iter().map(|a| Text::ours(&a.id)).collect();
        let mut opening: Vec<Observation> =
            vec![Run { asked: plan.asked, ..run_line(known, plan.kind, Some(plan.mode), plan.label.clone(), attacks) }.into()];
        opening.extend(known.planted());
        // Marks are taken while this file is there.
        crate::private::create(&folder.file(MARKS)).map_err(|e| Fault::io("write", &folder.file(MARKS), &e))?;
        let board = Board::new(Arc::clone(&known.demands));
        let mut desk = RunDesk::new(&folder, board, Limits::default(), opening)?;
        // Before the first line, so that the dashboard knows what run it shows.
        desk.screen = plan.watched.then(|| dashboard::Screen::new(&known.demands));
        desk.open(now());
        let desk = Arc::new(Mutex::new(desk));
        let veil: Arc<dyn Veil> = known.engine.clone();
        let tools = Arc::new(Tools { veil: veil.clone(), engine: Some(known.engine.clone()), ..Tools::default() });
        let (aside, asides) = std::sync::mpsc::channel();
        let (feed, outs, _lanes) = Feed::start(LANES, &tools, now, Some(aside)).map_err(said)?;
        let (feed, synthesis) = if plan.mode == RunMode::Transparent {
            (feed, None)
        } else {
            let (pieces, synthesis) = synthesis();
            (feed.copying(pieces), Some(synthesis))
        };
        let same = match &plan.rules.who {
            // All runs are of one device, whichever address they come from.
            Who::Given(copies) => vec![copies.concat()],
            Who::Everybody | Who::Enrolled(_) => Vec::new(),
        };
        let scribe = Scribe::new(Briefing {
            same,
            own: proxy::enrolment::own(),
            here: proxy::enrolment::here(),
            label: plan.label,
            masks: Masks(Some(veil.clone())),
            ..Briefing::default()
        });
        let broken = Arc::new(AtomicBool::new(false));
        let journal = {
            let (desk, folder, veil, broken) = (desk.clone(), folder.clone(), veil.clone(), broken.clone());
            let thread = std::thread::Builder::new().name("journal".to_owned());
            let run = move || keep(scribe, Batched::new(outs), &desk, &folder, &*veil, &broken);
            thread.spawn(run).map_err(|e| Fault::new(format!("cannot start a thread: {e}"), ""))?
        };
        let mint = Mint::new(plan.authority, now()).map_err(said)?;
        let upstream = Upstream::new(plan.roots, Duration::from_secs(10)).map_err(said)?;
        let upstream = match plan.beyond {
            Some(beyond) => upstream.leading(beyond),
            None => upstream,
        };
        let server = Arc::new(Server::new(mint, upstream, Waits::of(&known.policy().thresholds)).map_err(said)?);
        let mut chance = [0; 8];
        crate::private::random(&mut chance)?;
        let gateway = Gateway::new(Setup {
            server,
            feed: feed.clone(),
            attacks: plan.attacks,
            required: known.policy().n,
            thresholds: known.policy().thresholds,
            mode: plan.pace,
            chance: Some(u64::from_le_bytes(chance)),
            rules: Arc::new(plan.rules),
            veil: Arc::new(Veiled(veil.clone())),
        });
        gateway.standing("anchor", plan.anchor);
        lock(&desk).twice = Some(Facts::default());
        Ok(Live { gateway, desk, veil, folder, feed, journal, broken, asides: Some(asides), synthesis, capture: None })
    }

    /// Captures what passes an interface and pleases `look`, from now on.
    pub(crate) fn capture(&mut self, interface: &str, mut look: Look, kept: Kept) -> Result<(), Fault> {
        let gateway = self.gateway.clone();
        let look = Box::new(move |frame: &[u8]| {
            gateway.passes(frame);
            look(frame)
        });
        let packets = Packets::open(interface).map_err(|e| Fault::new(e.to_string(), "capturing needs CAP_NET_RAW"))?;
        self.record(Source::Interface(packets, look, Disguised::new(proxy::enrolment::own())), interface, kept)
    }

    /// Makes packets from what the sockets carry, for want of the privilege to capture.
    pub(crate) fn synthesise(&mut self, kept: Kept) -> Result<(), Fault> {
        match self.synthesis.take() {
            Some(synthesis) => self.record(Source::Sockets(synthesis), "synthesised from socket bytes", kept),
            None => Ok(()),
        }
    }

    fn record(&mut self, source: Source, name: &str, kept: Kept) -> Result<(), Fault> {
        let Some(asides) = self.asides.take() else { return Ok(()) };
        let path = self.folder.file(CAPTURE);
        let written = |e: std::io::Error| Fault::io("write", &path, &e);
        let out = crate::private::create(&path).map_err(written)?;
        let file = File::open(&path).map_err(written)?;
        if kept == Kept::Nowhere {
            // A file without a name ends with the process that holds it, however that ends.
            std::fs::remove_file(&path).map_err(written)?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (name, told) = (name.to_owned(), stop.clone());
        let thread = std::thread::Builder::new().name("capture".to_owned());
        let broken = self.broken.clone();
        let run = move || {
            let done = capture::record(source, &asides, BufWriter::new(out), &name, &told, now);
            if done.is_err() {
                broken.store(true, Ordering::Relaxed);
            }
            done
        };
        let thread = thread.spawn(run).map_err(|e| Fault::new(format!("cannot start a thread: {e}"), ""))?;
        self.capture = Some(Capture { stop, thread, file, kept });
        Ok(())
    }

    /// Ends the run: the capture is read again, the last lines, the ledger, the last seal.
    pub(crate) fn stop(self, known: &Knowledge) -> Result<(Finished, Folder), Fault> {
        let ended = now();
        self.feed.drain();
        drop(self.gateway);
        drop(self.feed);
        // Without it no more pieces come, and the thread below need not wait for them.
        drop(self.synthesis);
        let captured = self.capture.map(|capture| {
            capture.stop.store(true, Ordering::Relaxed);
            let written = capture.thread.join().unwrap_or_else(|_| Err(std::io::Error::other("the capturing thread died")));
            written.map(|recorded| (recorded, capture.file, capture.kept))
        });
        let mut scribe =
            self.journal.join().map_err(|_| Fault::new("the journal's thread died", "this is a fault of ours; please report it"))?;
        let desk = Arc::try_unwrap(self.desk)
            .map_err(|_| Fault::new("the journal is still in use", "this is a fault of ours; please report it"))?;
        let mut desk = desk.into_inner().unwrap_or_else(PoisonError::into_inner);
        desk.open(now());
        take_marks(&self.folder, &*self.veil, &mut desk, true);
        let mut lost = None;
        let mut disguised = Vec::new();
        match captured {
            None => {}
            // Told after the journal's own end: that one matters more.
            Some(Err(e)) => lost = Some(e),
            Some(Ok((recorded, file, kept))) => {
                if kept == Kept::Nowhere {
                    desk.say(Standing { what: Text::ours("packets"), state: Text::ours("not-kept") });
                }
                if let Some(missed) = recorded.dropped.missed() {
                    desk.say(missed);
                }
                disguised = recorded.disguised;
                scribe.also_here(proxy::enrolment::here());
                let live = desk.twice.take().unwrap_or_default();
                let compared = twice::read_again(file, known, &mut scribe, &mut desk, &live)?;
                for difference in compared.differs.iter().take(5) {
                    crate::analyze::eprint_line(&format!("overhear: second reading differs: {difference}"));
                }
                if live.cut {
                    crate::analyze::eprint_line(&format!(
                        "overhear: only the first {} facts were compared with the capture",
                        compared.facts
                    ));
                }
                desk.say(Standing { what: Text::ours("second-reading"), state: compared.state() });
            }
        }
        // The run lasted until now, however long nothing happened; what is read again is of before.
        desk.say_at(ended, Ledger { disguised, ..scribe.ledger() });
        let finished = desk.finish()?;
        match lost {
            None => Ok((finished, self.folder)),
            Some(e) => Err(Fault::io("write", &self.folder.file(CAPTURE), &e)),
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The live capture's file in a run.
const CAPTURE: &str = "capture.pcapng";

/// The journal's thread: takes drafts, seals every second, takes up marks.
fn keep(
    mut scribe: Scribe,
    mut outs: Batched<Out>,
    desk: &Mutex<RunDesk>,
    folder: &Folder,
    veil: &dyn Veil,
    broken: &AtomicBool,
) -> Scribe {
    let mut sealed = Instant::now();
    loop {
        match outs.recv_timeout(SEAL_EVERY / 4) {
            Ok(first) => {
                let mut desk = lock(desk);
                scribe.take(first, &mut *desk);
                while let Ok(next) = outs.try_recv() {
                    scribe.take(next, &mut *desk);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return scribe;
            }
        }
        if sealed.elapsed() >= SEAL_EVERY {
            sealed = Instant::now();
            let mut desk = lock(desk);
            take_marks(folder, veil, &mut desk, false);
            desk.seal();
            if desk.failed() {
                broken.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// Takes up the marks that `overhear mark` left. Their words are masked here, and nothing of them stays behind. `last`: no more are taken.
fn take_marks(folder: &Folder, veil: &dyn Veil, desk: &mut RunDesk, last: bool) {
    let path = folder.file(MARKS);
    let opened = std::fs::OpenOptions::new().read(true).write(true).open(&path);
    let Ok(mut file) = opened.and_then(crate::private::alone) else { return };
    if last {
        // Who waits for the file sees that it is gone.
        let _ = std::fs::remove_file(path);
    }
    let mut text = String::new();
    if file.read_to_string(&mut text).is_err() || text.is_empty() || file.set_len(0).is_err() {
        return;
    }
    for line in text.lines() {
        if let Ok(event) = serde_json::from_str::<Event>(line) {
            desk.say_at(now(), knowledge::veil(event, veil));
        }
    }
}
