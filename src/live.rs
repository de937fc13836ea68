//! The live side: a gateway between a device and the Internet (or the lab's), its journal, and what starts and ends it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use analyzers::board::Board;
use analyzers::observation::{Event, Observation, RunKind, RunMode};
use analyzers::pipeline::{Out, Tools};
use analyzers::scribe::{Briefing, Scribe};
use analyzers::text::{Text, Veil};
use policies::{Attack, Policy};
use proxy::feed::Feed;
use proxy::forge::ca::Authority;
use proxy::forge::mint::Mint;
use proxy::gateway::{Gateway, Rules, Setup, Veiled};
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
    pub(crate) secrets: Receiver<analyzers::keys::Secret>,
}

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
        let desk = RunDesk::new(folder.journal()?, board, tables(Limits::default(), &folder), Sealed::new(&folder), opening);
        let desk = Arc::new(Mutex::new(desk));
        lock(&desk).open(now());
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
        Ok(Live { gateway, desk, folder, feed, journal, broken, secrets })
    }

    /// Ends the run: the last lines, the ledger, the last seal.
    pub(crate) fn stop(self) -> Result<(Finished, Folder), Fault> {
        self.feed.drain();
        drop(self.gateway);
        drop(self.feed);
        let scribe =
            self.journal.join().map_err(|_| Fault::new("the journal's thread died", "this is a fault of ours; please report it"))?;
        let desk = Arc::try_unwrap(self.desk)
            .map_err(|_| Fault::new("the journal is still in use", "this is a fault of ours; please report it"))?;
        let mut desk = desk.into_inner().unwrap_or_else(PoisonError::into_inner);
        desk.say_at(now(), scribe.ledger());
        let path = self.folder.file("journal.jsonl");
        let finished = desk.finish().map_err(|e| Fault::io("write", &path, &e))?;
        Ok((finished, self.folder))
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
