//! The live side: a gateway between a device and the Internet (or the lab's), its journal, and what starts and ends it.

use std::collections::VecDeque;
use std::io::{BufWriter, Write};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use analyzers::board::Board;
use analyzers::chunk::Lost;
use analyzers::keys::Secret;
use analyzers::observation::{Event, Missed, Observation, RunKind, RunMode, Standing};
use analyzers::pipeline::{Out, Tools};
use analyzers::scribe::{Briefing, Scribe};
use analyzers::text::{Text, Veil};
use policies::{Attack, Policy, Time};
use proxy::feed::Feed;
use proxy::forge::ca::Authority;
use proxy::forge::mint::Mint;
use proxy::gateway::{Gateway, Rules, Setup, Veiled};
use proxy::packets::Packets;
use proxy::plan::Mode;
use proxy::serve::{Server, Waits};
use proxy::upstream::Upstream;
use reports::tables::Limits;
use rustls::RootCertStore;

use crate::analyze::{run_line, tables};
use crate::desk::{Finished, RunDesk};
use crate::fault::Fault;
use crate::knowledge::Knowledge;
use crate::run::{Folder, Sealed};
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
    /// Addresses of enrolled devices; each group is one device.
    pub(crate) devices: Vec<Vec<IpAddr>>,
    /// Set when there are no namespaces: whoever asks the explicit proxy is the device.
    pub(crate) everybody: bool,
}

impl Rules for PolicyRules {
    fn may_attack(&self, host: &str, port: u16) -> bool {
        self.policy.may_attack(host, port).is_ok()
    }

    fn pin_claimed(&self, host: &str, port: u16) -> bool {
        self.policy.pins_required.iter().any(|p| p.matches(host, port)) || self.pins.as_ref().is_some_and(|d| d.pinned(host))
    }

    fn enrolled(&self, device: IpAddr) -> bool {
        self.everybody || self.devices.iter().flatten().any(|ip| *ip == device)
    }

    fn device(&self, ip: IpAddr) -> IpAddr {
        self.devices.iter().find(|group| group.contains(&ip)).and_then(|group| group.first()).copied().unwrap_or(ip)
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
    pub(crate) label: Option<Text>,
    /// Where the device trusts the authority.
    pub(crate) anchor: &'static str,
    /// Whether a dashboard will look on.
    pub(crate) watched: bool,
}

/// A gateway that runs, with its journal.
pub(crate) struct Live {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) desk: Arc<Mutex<RunDesk>>,
    pub(crate) folder: Folder,
    feed: Feed,
    journal: std::thread::JoinHandle<Scribe>,
    /// Set when the disk failed: nothing more can be proven.
    pub(crate) broken: Arc<AtomicBool>,
    secrets: Option<Receiver<Secret>>,
    capture: Option<Capture>,
}

/// The thread that writes the devices' side as real packets, with the secrets that open them.
struct Capture {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<std::io::Result<u64>>,
}

/// How long a packet waits for the secrets that open it: they come from another thread.
const HELD: Duration = Duration::from_millis(150);
/// Packets that may wait; past it the oldest go out at once.
const HELD_BYTES: usize = 32 << 20;

/// Pipelines beside the gateway's own threads.
const LANES: u16 = 2;
/// A live journal is sealed at least this often (architecture: *The journal*).
const SEAL_EVERY: Duration = Duration::from_secs(1);

impl Live {
    /// Starts pipelines, journal and gateway; no connection is taken yet.
    pub(crate) fn start(plan: Plan<'_>, folder: Folder) -> Result<Live, Fault> {
        let said = |e: proxy::Error| Fault::new(e.to_string(), "");
        let known = plan.known;
        known.store(&folder)?;
        let attacks: Vec<Text> = plan.attacks.iter().map(|a| Text::ours(&a.id)).collect();
        let mut opening: Vec<Observation> = vec![run_line(known, plan.kind, Some(plan.mode), plan.label.clone(), attacks).into()];
        opening.extend(known.planted());
        let board = Board::new(Arc::clone(&known.demands));
        let mut desk = RunDesk::new(folder.journal()?, board, tables(Limits::default(), &folder), Sealed::new(&folder), opening);
        // Before the first line, so that the dashboard knows what run it shows.
        desk.screen = plan.watched.then(|| dashboard::Screen::new(&known.demands));
        desk.open(now());
        let desk = Arc::new(Mutex::new(desk));
        let veil: Arc<dyn Veil> = known.engine.clone();
        let tools = Arc::new(Tools { veil: veil.clone(), engine: Some(known.engine.clone()), ..Tools::default() });
        let (secret, secrets) = std::sync::mpsc::channel();
        let (feed, outs, _lanes) = Feed::start(LANES, &tools, now, Some(secret)).map_err(said)?;
        let scribe = Scribe::new(Briefing { same: plan.rules.devices.clone(), label: plan.label, ..Briefing::default() });
        let broken = Arc::new(AtomicBool::new(false));
        let journal = {
            let (desk, folder, broken) = (desk.clone(), folder.clone(), broken.clone());
            let thread = std::thread::Builder::new().name("journal".to_owned());
            let run = move || keep(scribe, &outs, &desk, &folder, &broken);
            thread.spawn(run).map_err(|e| Fault::new(format!("cannot start a thread: {e}"), ""))?
        };
        let mint = Mint::new(plan.authority, now()).map_err(said)?;
        let upstream = Upstream::new(plan.roots, Duration::from_secs(10)).map_err(said)?;
        let server = Arc::new(Server::new(mint, upstream, Waits::default()).map_err(said)?);
        let gateway = Gateway::new(Setup {
            server,
            feed: feed.clone(),
            attacks: plan.attacks,
            required: known.policy().n,
            mode: plan.pace,
            rules: Arc::new(plan.rules),
            veil: Arc::new(Veiled(veil)),
        });
        gateway.standing("anchor", plan.anchor);
        lock(&desk).twice = Some(Facts::default());
        Ok(Live { gateway, desk, folder, feed, journal, broken, secrets: Some(secrets), capture: None })
    }

    /// Captures what passes an interface into `capture.pcapng`, from now on.
    pub(crate) fn capture(&mut self, interface: &str) -> Result<(), Fault> {
        let packets = Packets::open(interface).map_err(|e| Fault::new(e.to_string(), "capturing needs CAP_NET_RAW"))?;
        let path = self.folder.file(CAPTURE);
        let file = crate::private::create(&path).map_err(|e| Fault::io("write", &path, &e))?;
        let Some(secrets) = self.secrets.take() else { return Ok(()) };
        let stop = Arc::new(AtomicBool::new(false));
        let (name, told) = (interface.to_owned(), stop.clone());
        let thread = std::thread::Builder::new().name("capture".to_owned());
        let run = move || record(packets, &secrets, BufWriter::new(file), &name, &told);
        let thread = thread.spawn(run).map_err(|e| Fault::new(format!("cannot start a thread: {e}"), ""))?;
        self.capture = Some(Capture { stop, thread });
        Ok(())
    }

    /// Ends the run: the capture is read again, the last lines, the ledger, the last seal.
    pub(crate) fn stop(self, known: &Knowledge) -> Result<(Finished, Folder), Fault> {
        self.feed.drain();
        drop(self.gateway);
        drop(self.feed);
        let captured = self.capture.map(|capture| {
            capture.stop.store(true, Ordering::Relaxed);
            capture.thread.join().unwrap_or_else(|_| Err(std::io::Error::other("the capturing thread died")))
        });
        let mut scribe =
            self.journal.join().map_err(|_| Fault::new("the journal's thread died", "this is a fault of ours; please report it"))?;
        let desk = Arc::try_unwrap(self.desk)
            .map_err(|_| Fault::new("the journal is still in use", "this is a fault of ours; please report it"))?;
        let mut desk = desk.into_inner().unwrap_or_else(PoisonError::into_inner);
        desk.open(now());
        match captured {
            None => {}
            Some(Err(e)) => crate::analyze::eprint_line(&format!("overhear: the capture could not be written to its end: {e}")),
            Some(Ok(dropped)) => {
                if dropped > 0 {
                    desk.say(Missed { why: Lost::Dropped, dir: None, offset: 0, len: 0, repeats: dropped });
                }
                let live = desk.twice.take().unwrap_or_default();
                let compared = twice::read_again(&self.folder.file(CAPTURE), known, &mut scribe, &mut desk, &live)?;
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
        desk.say(scribe.ledger());
        let path = self.folder.file("journal.jsonl");
        let finished = desk.finish().map_err(|e| Fault::io("write", &path, &e))?;
        Ok((finished, self.folder))
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The live capture's file in a run.
const CAPTURE: &str = "capture.pcapng";

/// Writes packets and secrets until told to stop; how many packets the kernel dropped.
fn record(mut packets: Packets, secrets: &Receiver<Secret>, out: impl Write, interface: &str, stop: &AtomicBool) -> std::io::Result<u64> {
    let mut writer = captures::write::Writer::new(out, concat!("overhear ", env!("CARGO_PKG_VERSION")))?;
    let number = writer.interface(captures::link::Link::ETHERNET, 0, interface)?;
    let mut held: VecDeque<(Instant, Time, u32, Vec<u8>)> = VecDeque::new();
    let mut bytes = 0;
    let mut received = 0;
    let mut ending: Option<Instant> = None;
    loop {
        if let Some(packet) = packets.take().map_err(std::io::Error::other)? {
            received += 1;
            bytes += packet.bytes.len();
            held.push_back((Instant::now(), packet.time, packet.len as u32, packet.bytes.to_vec()));
        } else if ending.is_some_and(|since| since.elapsed() >= HELD * 2) {
            break;
        }
        if stop.load(Ordering::Relaxed) && ending.is_none() {
            ending = Some(Instant::now());
        }
        if ending.is_some_and(|since| since.elapsed() >= HELD * 20) {
            break;
        }
        let known: Vec<Secret> = secrets.try_iter().collect();
        if !known.is_empty() {
            writer.secrets(&known)?;
        }
        while held.front().is_some_and(|(since, ..)| since.elapsed() >= HELD || bytes > HELD_BYTES) {
            let Some((_, time, len, packet)) = held.pop_front() else { break };
            bytes -= packet.len();
            writer.packet(&captures::write::Packet { interface: number, time, len, bytes: &packet, comments: &[] })?;
        }
    }
    let known: Vec<Secret> = secrets.try_iter().collect();
    if !known.is_empty() {
        writer.secrets(&known)?;
    }
    for (_, time, len, packet) in held {
        writer.packet(&captures::write::Packet { interface: number, time, len, bytes: &packet, comments: &[] })?;
    }
    let dropped = u64::from(packets.dropped());
    writer.statistics(number, now(), received, dropped)?;
    writer.finish()?.flush()?;
    Ok(dropped)
}

/// The journal's thread: takes drafts, seals every second, takes up marks.
fn keep(mut scribe: Scribe, outs: &Receiver<Out>, desk: &Mutex<RunDesk>, folder: &Folder, broken: &AtomicBool) -> Scribe {
    let mut sealed = Instant::now();
    let mut marks = 0;
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
            Err(RecvTimeoutError::Disconnected) => return scribe,
        }
        if sealed.elapsed() >= SEAL_EVERY {
            sealed = Instant::now();
            let mut desk = lock(desk);
            take_marks(folder, &mut marks, &mut desk);
            desk.seal();
            broken.store(desk.failed(), Ordering::Relaxed);
        }
    }
}

/// Marks that `overhear mark` left since the last look.
fn take_marks(folder: &Folder, taken: &mut usize, desk: &mut RunDesk) {
    let Ok(text) = std::fs::read_to_string(folder.file(MARKS)) else { return };
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    for line in whole.lines().skip(*taken) {
        *taken += 1;
        if let Ok(event) = serde_json::from_str::<Event>(line) {
            desk.say_at(now(), event);
        }
    }
}
