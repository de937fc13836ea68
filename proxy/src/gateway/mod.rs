//! The gateway: takes connections in, decides by plan, serves, and reports trials. Only enrolled devices are touched.
//!
//! Long, for it is one path: a connection from its first byte to its trial.

pub mod conntrack;
mod datagrams;
pub mod entrance;
mod look;
pub mod nft;
mod provoked;
mod shape;
mod subjects;

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use analyzers::dissect::tls::certificate;
use analyzers::encode::Digest;
use analyzers::flow::{Close, FlowEnd};
use analyzers::observation::{self, Arm, Presence, Standing, TrialResult};
use analyzers::pipeline::About;
use analyzers::subject::ClientClass;
use analyzers::text::{Text, Veil};
use bytes::Bytes;
use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};
use policies::policy::{Repeats, Thresholds};
use policies::{Attack, Time};
use tokio::io::AsyncWriteExt as _;
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::feed::{Feed, FlowTap};
use crate::forge::Leaf;
use crate::hello::{self, Hello, Start};
use crate::plan::{self, History, Mode, Terms};
use crate::preamble;
use crate::relay::relay;
use crate::serve::{Progress, Server, Visit};
use crate::socket::Socket;
use crate::treatment::Treatment;
use crate::wire::Tap as _;
use conntrack::Conntrack;
use entrance::Request;
use provoked::Clear;
use subjects::{Key, Subjects, Tried};

/// Connections served at once. More wait in the kernel's queue: a flood cannot eat our memory.
const MOST_CONNECTIONS: usize = 8192;
/// How many certificates are remembered as told; beyond it the memory starts over.
const MOST_TOLD: usize = 1 << 14;
/// Requests of one connection in clear that wait to be looked at: more than a task reads before it gives way (tokio lets it go on for 128
/// reads and writes), so that none is lost.
const REQUESTS: usize = 256;
/// Ports on which the client speaks first and speaks TLS: its hello is waited for as long as set. Elsewhere the server may be the one to speak.
const TLS_PORTS: [u16; 12] = [443, 8443, 853, 465, 563, 636, 989, 990, 993, 995, 5061, 8883];
/// How long a possibly server-first connection is held back.
const SERVER_FIRST: Duration = Duration::from_millis(700);
/// A device of which nothing was seen for so long is absent.
const ABSENT: Duration = Duration::from_secs(300);
/// The window of the health guard, and how many attempts it needs.
const HEALTH: Duration = Duration::from_secs(60);
const HEALTH_LEAST: usize = 4;
/// How long the end of a process run waits for attacks that still listen, beyond the time in which a silent connection is watched.
const SETTLE: Duration = Duration::from_secs(2);
/// How often an attack that once made another stack speak is repeated for it in vain.
const VAIN: usize = 6;
/// Refusals of one attack that are progress; a pass needs fewer.
const MOST_ASKED: usize = 16;

/// Questions to the policy, which the binary answers.
pub trait Rules: Send + Sync + std::fmt::Debug {
    /// Authorised, in scope, not spared; by its name or by the addresses where it was met.
    fn may_attack(&self, host: &str, port: u16, servers: &[IpAddr]) -> bool;
    /// The maker declares a pin for this peer, or for one beside or above it.
    fn pin_near(&self, _host: &str) -> bool {
        false
    }
    /// Whether this address belongs to an enrolled device.
    fn enrolled(&self, device: IpAddr) -> bool;
    /// The one address that stands for this address's device (a device has several: IPv4, IPv6).
    fn device(&self, ip: IpAddr) -> IpAddr {
        ip
    }
    /// The names that this address was given out for, where they are known.
    fn names_of(&self, _server: IpAddr) -> Vec<String> {
        Vec::new()
    }
    /// Whether the policy takes a request in clear for this path, which says nothing more, for a probe of the network.
    fn is_probe(&self, _host: &str, _port: u16, _path: &str) -> bool {
        false
    }
    /// How many copies of the device run at once (lab). They share the attacks: each is asked its own, and is its own control.
    fn lanes(&self) -> u8 {
        1
    }
    /// Which copy is at this address.
    fn lane(&self, _device: IpAddr) -> u8 {
        0
    }
}

/// What a gateway is made of.
#[derive(Debug)]
pub struct Setup {
    pub server: Arc<Server>,
    pub feed: Feed,
    pub attacks: Vec<Attack>,
    /// Bracketed refusals that a pass needs, by severity.
    pub required: Repeats,
    /// How close together, how often and how soon again.
    pub thresholds: Thresholds,
    pub mode: Mode,
    /// By which the planner draws further controls between runs of a program; none: no draw.
    pub chance: Option<u64>,
    pub rules: Arc<dyn Rules>,
    pub veil: Arc<Veiled>,
}

/// A veil that can be debugged.
pub struct Veiled(pub Arc<dyn Veil>);

impl std::fmt::Debug for Veiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Veil")
    }
}

/// What was only counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Connections of devices that are not enrolled: relayed, not looked at.
    pub others: u64,
    pub accepted: u64,
    /// Connections to our port that nobody redirected.
    pub stray: u64,
}

#[derive(Debug)]
pub struct Gateway {
    setup: Setup,
    /// The attacks of each lane.
    shares: Vec<Vec<Attack>>,
    subjects: Mutex<Subjects>,
    devices: Mutex<HashMap<IpAddr, Device>>,
    paused: AtomicBool,
    killed: AtomicBool,
    others: AtomicU64,
    accepted: AtomicU64,
    stray: AtomicU64,
    places: Arc<Semaphore>,
    /// Certificates of real servers that were told.
    told: Mutex<HashSet<Digest>>,
}

#[derive(Debug, Default)]
struct Device {
    last_seen: Time,
    present: bool,
    /// The process run under way (lab).
    attempt: Option<u64>,
}

impl Gateway {
    pub fn new(setup: Setup) -> Arc<Gateway> {
        let lanes = usize::from(setup.rules.lanes().max(1));
        let shares = (0..lanes).map(|lane| setup.attacks.iter().skip(lane).step_by(lanes).cloned().collect()).collect();
        Arc::new(Gateway {
            subjects: Mutex::new(Subjects::new(setup.thresholds)),
            setup,
            shares,
            devices: Mutex::new(HashMap::new()),
            paused: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            others: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            stray: AtomicU64::new(0),
            places: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
            told: Mutex::new(HashSet::new()),
        })
    }

    /// Says what holds for all traffic: `quic` observe|block, `anchor` none|user|system, …
    pub fn standing(&self, what: &str, state: &str) {
        self.setup.feed.put(None, Standing { what: Text::ours(what), state: Text::ours(state) });
    }

    /// Takes redirected connections until the task is dropped.
    pub async fn serve_transparent(self: &Arc<Self>, listener: TcpListener) {
        // Without it a port the kernel had to change stays changed in what is said of the flow.
        let conntrack = Conntrack::open().ok();
        loop {
            let Some((stream, device)) = self.accept(&listener).await else { continue };
            let local = stream.local_addr().ok().map(entrance::plain);
            let told = conntrack.as_ref().zip(local).and_then(|(c, local)| c.device(local, device));
            let device = told.filter(|t| t.ip() == device.ip()).unwrap_or(device);
            let Some(server) = entrance::original(&stream) else {
                self.stray.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            self.spawn(async move |gateway: Arc<Gateway>| gateway.handle(stream.into(), device, server, None, None).await).await;
        }
    }

    /// Takes HTTP CONNECT requests until the task is dropped. `resolve` is [`entrance::resolve`], or a lab's own.
    pub async fn serve_explicit<R, F>(self: &Arc<Self>, listener: TcpListener, resolve: R)
    where
        R: Fn(String, u16) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Option<SocketAddr>> + Send,
    {
        loop {
            let Some((mut stream, device)) = self.accept(&listener).await else { continue };
            let resolve = resolve.clone();
            self.spawn(async move |gateway: Arc<Gateway>| {
                let found = entrance::connect(&mut stream, async |host, port| resolve(host.to_owned(), port).await).await;
                if let Some(asked) = found {
                    gateway.handle(stream.into(), device, asked.server, Some(asked.host), asked.request).await;
                }
            })
            .await;
        }
    }

    /// Takes one connection of a device in this process, which went to `server`.
    pub async fn serve_pipe(self: &Arc<Self>, stream: DuplexStream, device: SocketAddr, server: SocketAddr) {
        self.spawn(async move |gateway: Arc<Gateway>| gateway.handle(stream.into(), device, server, None, None).await).await;
    }

    async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
        let Ok((stream, device)) = listener.accept().await else {
            // Out of descriptors, mostly: wait for some to come back instead of spinning.
            tokio::time::sleep(Duration::from_millis(50)).await;
            return None;
        };
        let _ = stream.set_nodelay(true);
        Some((stream, entrance::plain(device)))
    }

    async fn spawn<F, Fut>(self: &Arc<Self>, work: F)
    where
        F: FnOnce(Arc<Gateway>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let Ok(place) = self.places.clone().acquire_owned().await else { return };
        let gateway = self.clone();
        tokio::spawn(async move {
            work(gateway).await;
            drop(place);
        });
    }

    /// Work of every second: groups that are over become trials (live), devices that left are absent.
    pub async fn housekeep(self: &Arc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tick.tick().await;
            let now = self.setup.feed.now();
            if self.setup.mode == Mode::Live {
                let due = self.subjects().finish(now, None, &*self.setup.veil.0);
                Self::write(due);
            }
            let mut gone = Vec::new();
            for (ip, device) in &mut *self.devices() {
                if device.present && now.since(device.last_seen) > ABSENT {
                    device.present = false;
                    gone.push(*ip);
                }
            }
            for ip in gone {
                self.presence(ip, false);
            }
        }
    }

    /// No attacks and no controls until resumed; traffic is relayed and looked at.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::SeqCst);
    }

    pub fn paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// The kill key: from now on every new connection is relayed untouched. The caller drops the nftables table.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
    }

    pub fn counted(&self) -> Counted {
        Counted {
            others: self.others.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            stray: self.stray.load(Ordering::Relaxed),
        }
    }

    /// A process run of the lab begins: what this device opens until [`Gateway::end_run`] is one attempt.
    pub fn begin_run(&self, device: IpAddr, attempt: u64) {
        self.devices().entry(device).or_default().attempt = Some(attempt);
    }

    /// The process has ended: waits for attacks that still listen, then writes the run's trials. `cut_short`: it was ended, and could have
    /// done more.
    pub async fn end_run(&self, device: IpAddr, cut_short: bool) {
        if cut_short {
            self.subjects().cut_short(device, self.setup.feed.now());
        }
        let until = tokio::time::Instant::now() + Duration::from_millis(self.setup.thresholds.trial_idle_ms.into()) + SETTLE;
        while self.subjects().attacks_running(device) > 0 && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let due = self.subjects().finish(self.setup.feed.now(), Some(device), &*self.setup.veil.0);
        Self::write(due);
        if let Some(device) = self.devices().get_mut(&device) {
            device.attempt = None;
        }
    }

    /// Waits until `device` has accepted an attack and `grace` has passed: what it does now is to try the same again and again.
    pub async fn answered(&self, device: IpAddr, grace: Duration) {
        let mut since = None;
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            if self.subjects().accepts(device, &*self.setup.veil.0) {
                let since = since.get_or_insert_with(tokio::time::Instant::now);
                if since.elapsed() >= grace {
                    return;
                }
            }
        }
    }

    /// The run is over: waits at most `wait` for attacks that still listen, then writes the trials of all groups.
    pub async fn conclude(&self, wait: Duration) {
        let until = tokio::time::Instant::now() + wait;
        let devices = |subjects: &Subjects| subjects.all.keys().map(|k| k.device).collect::<std::collections::BTreeSet<_>>();
        let running = || {
            let subjects = self.subjects();
            devices(&subjects).into_iter().any(|d| subjects.attacks_running(d) > 0)
        };
        while running() && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut subjects = self.subjects();
        let now = self.setup.feed.now();
        for device in devices(&subjects) {
            let due = subjects.finish(now, Some(device), &*self.setup.veil.0);
            Self::write(due);
        }
    }

    /// The devices that were seen, by the address that stands for each.
    pub fn devices_seen(&self) -> Vec<IpAddr> {
        let mut out: Vec<IpAddr> = self.devices().keys().copied().collect();
        out.sort();
        out
    }

    /// What another attempt could still decide: (host, port, attack ids) of each subject that was seen. A subject that only another copy of
    /// the device has met is open here too: this copy's share of the attacks was not tried on it.
    pub fn undecided(&self, device: IpAddr) -> Vec<(String, u16, Vec<String>)> {
        let subjects = self.subjects();
        let unmet = History::default();
        let lane = self.setup.rules.lane(device);
        let mut seen: Vec<Key> = subjects.all.keys().filter(|k| k.device == device || k.lane != lane).cloned().collect();
        for key in &mut seen {
            (key.device, key.lane) = (device, lane);
        }
        seen.sort();
        seen.dedup();
        let mut out: Vec<(String, u16, Vec<String>)> = Vec::new();
        for key in seen {
            let history = subjects.all.get(&key).map_or(&unmet, |s| &s.history);
            let servers = subjects.all.get(&key).map_or(&[][..], subjects::State::servers);
            // What is paused is not decided.
            let allowed = self.setup.rules.may_attack(&key.host, key.port, servers);
            let left = plan::undecided(history, &Terms { allowed, ..self.terms(&key, servers, true, None) });
            if !left.is_empty() {
                out.push((key.host, key.port, left.into_iter().map(str::to_owned).collect()));
            }
        }
        out.sort();
        out
    }

    /// How much this device was asked so far: an attack, at the first connection or behind so many, and each refusal up to those that may be needed.
    pub fn asked(&self, device: IpAddr) -> usize {
        let subjects = self.subjects();
        let past = subjects.all.iter().filter(|(k, _)| k.device == device).flat_map(|(_, s)| &s.history.past);
        let mut asked: std::collections::BTreeMap<_, usize> = std::collections::BTreeMap::new();
        for p in past.filter(|p| p.attack.is_some() || p.arm == Arm::Control && p.result == TrialResult::Rejected) {
            *asked.entry((p.attack.as_deref(), p.after)).or_insert(1) += usize::from(p.result == TrialResult::Rejected);
        }
        asked.values().map(|refused| refused.min(&MOST_ASKED)).sum()
    }

    /// Peers that the device was seen to ask over TLS.
    pub fn peers_seen(&self, device: IpAddr) -> Vec<(String, u16)> {
        self.subjects().all.keys().filter(|k| k.device == device).map(|k| (k.host.clone(), k.port)).collect()
    }

    /// How many subjects of this device were seen at all.
    pub fn subjects_seen(&self, device: IpAddr) -> usize {
        self.subjects().all.keys().filter(|k| k.device == device).count()
    }

    /// One connection, from its first byte to its last. `host` and `request` are what a client of a proxy has said.
    async fn handle(
        self: Arc<Self>,
        mut stream: Socket,
        device: SocketAddr,
        server: SocketAddr,
        host: Option<String>,
        request: Option<Request>,
    ) {
        let progress = Progress::default();
        self.accepted.fetch_add(1, Ordering::Relaxed);
        if !self.setup.rules.enrolled(device.ip()) || self.killed.load(Ordering::SeqCst) {
            self.others.fetch_add(1, Ordering::Relaxed);
            if let Ok(mut there) = self.setup.server.upstream.connect(server).await {
                if let Some(request) = &request
                    && there.write_all(&request.onward).await.is_err()
                {
                    return;
                }
                relay(&mut stream, &mut there, |_, _| {}).await;
            }
            return;
        }
        let known = self.setup.rules.device(device.ip());
        self.seen(known);
        let waits = self.setup.server.waits;
        let wait = if TLS_PORTS.contains(&server.port()) { waits.hello } else { waits.hello.min(SERVER_FIRST) };
        let start = match &request {
            Some(request) => Start::Other { seen: request.head.clone() },
            None => hello::read(&mut stream, wait).await,
        };
        // A hello without SNI is meant for the one name that its server's address was given out for, where that is known.
        let given = || match &self.setup.rules.names_of(server.ip())[..] {
            [one] => Some(plain_name(one)),
            _ => None,
        };
        let said = start.hello().and_then(|h| h.sni.clone()).or(host).map(|name| plain_name(&name));
        let name = said.or_else(given).unwrap_or_else(|| server.ip().to_string());
        let tap = self.setup.feed.open(device, server, &name);
        if start.hello().is_some_and(|h| h.sni.is_none() || h.ech)
            && let Some(given) = given()
        {
            tap.named(server.ip(), Text::veiled(given.as_bytes(), &*self.setup.veil.0));
        }
        tap.wire(analyzers::flow::Dir::Out, start.seen());
        let onward = request.map(|r| r.onward);
        let now = self.setup.feed.now();
        let visit = Box::new(Visit { stream, start, onward, server, there: None, host: name, tap: tap.clone(), progress, now });
        let visit = if visit.start.hello().is_some() {
            visit
        } else {
            match self.in_clear(visit, known, &tap).await {
                Ok(end) => return tap.close(end),
                // The decision to attack is made now, and not when the connection began.
                Err(in_tls) if self.killed.load(Ordering::SeqCst) => return tap.close(Box::pin(self.relayed(in_tls)).await),
                Err(in_tls) => in_tls,
            }
        };
        let Some(hello) = visit.start.hello() else { return };
        let key =
            Key { device: known, host: visit.host.clone(), port: server.port(), class: class(hello), lane: self.setup.rules.lane(known) };
        let offered = (hello.offers(0x0304), hello.offers(0x0303));
        let end = self.treat(visit, &key, offered, &tap).await;
        tap.close(end);
    }

    /// A connection on which nothing was said yet becomes what its first word makes it: a client that begins TLS late is one all the same.
    async fn first_word(&self, mut visit: Box<Visit<Socket>>, tap: &Arc<FlowTap>) -> Box<Visit<Socket>> {
        let Ok(mut there) = self.setup.server.upstream.connect(visit.server).await else { return visit };
        let (mut here, mut beyond) = ([0], [0]);
        let device = tokio::select! {
            biased;
            said = visit.stream.peek(&mut here) => matches!(said, Ok(1..)),
            _ = there.peek(&mut beyond) => false,
        };
        visit.there = Some(there);
        if device {
            visit.start = hello::read(&mut visit.stream, self.setup.server.waits.hello).await;
            tap.wire(analyzers::flow::Dir::Out, visit.start.seen());
            if let Some(hello) = visit.start.hello() {
                visit.host = hello.sni.as_deref().map_or(visit.host, plain_name);
                // What is done to it decides whether its server hears of it at all.
                visit.there = None;
            }
            visit.now = self.setup.feed.now();
        }
        visit
    }

    /// A TLS connection: plan, write down, show, note.
    async fn treat(&self, visit: Box<Visit<Socket>>, key: &Key, offered: (bool, bool), tap: &Arc<FlowTap>) -> FlowEnd {
        let (group, treatment, leaf) = self.group(key, offered, visit.server.ip(), visit.now);
        // Boxed, for it is over before the connection lasts.
        let prepared = Box::pin(self.setup.server.prepare(&visit, treatment, leaf)).await;
        if prepared.hindrance().is_some() {
            self.subjects().hindered(key, group);
        }
        // The decision may be old by now (learning a server takes a moment): pause and kill still count.
        let place = self.subjects().join(key, group, tap, &visit.progress, prepared.treatment());
        let digests = |chain: &[rustls::pki_types::CertificateDer<'_>]| chain.iter().map(|c| Digest::of(c)).collect::<Vec<_>>();
        let (arm, attack) = match prepared.treatment() {
            Treatment::Pass => (Arm::Pass, None),
            Treatment::Control { .. } => (Arm::Control, None),
            Treatment::Attack { id, .. } => (Arm::Attack, Some(Text::ours(id))),
        };
        let (chain, honest_chain) =
            if arm == Arm::Pass { (Vec::new(), Vec::new()) } else { (digests(prepared.chain()), digests(prepared.honest())) };
        if arm != Arm::Pass {
            // The good chain never crosses the device's side: say what it holds, so that a report can show it beside the presented one.
            for (certificate, digest) in prepared.honest().iter().zip(&honest_chain) {
                if self.told(digest) {
                    tap.put(certificate::read(certificate, &*self.setup.veil.0));
                }
            }
        }
        if arm == Arm::Attack {
            tap.intercepted();
        }
        tap.treated(observation::Treatment { arm, attack, group, chain, honest_chain, community_id: None });
        let conduct = self.setup.server.run(visit, prepared).await;
        let end = flow_end(conduct.close);
        if let Some(place) = place {
            self.subjects().leave(key, group, place, conduct, &*self.setup.veil.0);
        }
        end
    }

    /// Whether this certificate of a real server is to be told: once is enough.
    fn told(&self, certificate: &Digest) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MOST_TOLD {
            told.clear();
        }
        told.insert(*certificate)
    }

    /// Bytes in clear, or none. What follows an attack goes nowhere: a request that our own doing provoked stays here.
    ///
    /// The connection comes back if it turns out to be TLS.
    async fn in_clear(&self, mut visit: Box<Visit<Socket>>, device: IpAddr, tap: &Arc<FlowTap>) -> Result<FlowEnd, Box<Visit<Socket>>> {
        let (server, port) = (visit.server.ip(), visit.server.port());
        if matches!(visit.start, Start::Silent { .. }) {
            if !TLS_PORTS.contains(&port) {
                let is_name = visit.host.parse::<IpAddr>().is_err();
                let names = if is_name { vec![visit.host.clone()] } else { self.setup.rules.names_of(server) };
                let shape = format!("waits on port {port}");
                let clear = Clear { device, server, names: &names, shape: Some(&shape), speaks: false, tap: Some(tap) };
                if self.subjects().cleartext(clear, visit.now, self.setup.mode) {
                    return Ok(FlowEnd::Reset);
                }
            }
            visit = self.first_word(visit, tap).await;
        }
        if visit.start.hello().is_some() {
            return Err(visit);
        }
        // What it is, and whether it says something. A wish to begin TLS says nothing yet.
        let (shape, speaks) = match &visit.start {
            Start::Other { seen } if preamble::is_sealed(seen) || self.is_probe(&visit, seen) => {
                return Ok(Box::pin(self.relayed(visit)).await);
            }
            Start::Other { seen } if preamble::wishes_tls(seen) => (None, false),
            Start::Other { seen } => (Some(shape::of(seen, port)), true),
            // The server spoke first, and the device may answer in clear.
            Start::Silent { .. } if !TLS_PORTS.contains(&port) => (None, false),
            // Closed without a word.
            _ => return Ok(Box::pin(self.relayed(visit)).await),
        };
        let is_name = |host: &String| host.parse::<IpAddr>().is_err();
        let said = http_host(visit.start.seen()).or_else(|| Some(visit.host.clone())).filter(is_name);
        let names = said.map_or_else(|| self.setup.rules.names_of(server), |name| vec![name]);
        let clear = Clear { device, server, names: &names, shape: shape.as_deref(), speaks, tap: Some(tap) };
        if shape.is_some() && self.subjects().cleartext(clear, visit.now, self.setup.mode) {
            return Ok(FlowEnd::Reset);
        }
        let at = visit.now;
        let (asked, mut requests) = tokio::sync::mpsc::channel::<Bytes>(REQUESTS);
        if speaks {
            visit.progress.tell_requests(asked);
        }
        let again = |request: &[u8]| {
            // It is passed on already: too late to keep it here.
            let shape = shape::of(request, port);
            self.subjects().cleartext(Clear { shape: Some(&shape), ..clear }, self.setup.feed.now(), self.setup.mode);
        };
        let conduct = {
            let mut relay = Box::pin(self.relay(visit));
            loop {
                tokio::select! {
                    biased;
                    Some(request) = requests.recv() => again(&request),
                    conduct = &mut relay => break conduct,
                }
            }
        };
        while let Ok(request) = requests.try_recv() {
            again(&request);
        }
        if !speaks && preamble::talks_in_clear(&conduct.data) {
            // The server spoke first or would not have TLS, and this is what the device answered. It is too late to keep it here.
            self.subjects().cleartext(Clear { shape: Some("an answer in clear"), speaks: true, ..clear }, at, self.setup.mode);
        }
        Ok(flow_end(conduct.close))
    }

    /// Whether a request in clear is one that the policy takes for a probe of the network: nothing but its path is said.
    fn is_probe(&self, visit: &Visit<Socket>, seen: &[u8]) -> bool {
        let Some((b"GET" | b"HEAD", target)) = preamble::request_line(seen) else { return false };
        let host = http_host(seen).unwrap_or_else(|| visit.host.clone());
        let bare = shape::is_bare(seen);
        bare && std::str::from_utf8(target).is_ok_and(|path| self.setup.rules.is_probe(&host, visit.server.port(), path))
    }

    /// A frame on the devices' side. Datagrams are not redirected: those that may stand in for TLS are looked at as they pass.
    pub fn passes(&self, frame: &[u8]) {
        let Some(datagram) = datagrams::read(frame) else { return };
        let (from, to) = (datagram.from.ip(), datagram.to);
        // Names are asked of a resolver; a peer that was asked under TLS is none of the link's.
        let asked_before = || to.port() == DNS && self.subjects().is_peer(to.ip());
        if !self.setup.rules.enrolled(from)
            || self.killed.load(Ordering::SeqCst)
            || !datagrams::may_stand_in(to.port(), datagram.payload) && !asked_before()
        {
            return;
        }
        let shape = if to.port() == DNS {
            Some(shape::DNS.to_owned())
        } else {
            let is_text = preamble::is_text(datagram.payload, datagrams::LEAST_TEXT);
            is_text.then(|| format!("udp {} {}", to.port(), shape::shape(datagram.payload)))
        };
        let names = self.setup.rules.names_of(to.ip());
        let device = self.setup.rules.device(from);
        let clear = Clear { device, server: to.ip(), names: &names, shape: shape.as_deref(), speaks: true, tap: None };
        self.subjects().datagram(clear, self.setup.feed.now(), self.setup.mode);
    }

    async fn relayed(&self, visit: Box<Visit<Socket>>) -> FlowEnd {
        flow_end(self.relay(visit).await.close)
    }

    async fn relay(&self, visit: Box<Visit<Socket>>) -> crate::serve::Conduct {
        let prepared = Box::pin(self.setup.server.prepare(&visit, Treatment::Pass, Leaf::First)).await;
        self.setup.server.run(visit, prepared).await
    }

    /// The group this connection belongs to, its treatment, and the leaf of a control.
    fn group(&self, key: &Key, offered: (bool, bool), server: IpAddr, now: Time) -> (u64, Treatment, Leaf) {
        let attempt = self.devices().get(&key.device).and_then(|d| d.attempt);
        let mut subjects = self.subjects();
        // Devices that go on as they please see the first leaf alone, as at any server.
        let leaf = |subjects: &Subjects| match subjects.all.get(key) {
            Some(state) if self.setup.mode == Mode::Runs => {
                Leaf::after(state.history.past.iter().filter(|p| p.arm == Arm::Control).count())
            }
            _ => Leaf::First,
        };
        if let Some((id, treatment)) = subjects.open_group(key, now, attempt) {
            return (id, if self.paused() { Treatment::Pass } else { treatment }, leaf(&subjects));
        }
        let due: Vec<Tried> = subjects.finish_one(key, &*self.setup.veil.0).into_iter().collect();
        let elsewhere = (self.setup.mode == Mode::Live).then(|| elsewhere(&subjects, key));
        let healthy = self.healthy(&subjects, key.device, now);
        let runs = self.setup.mode == Mode::Runs;
        let (sibling, passing) = if runs { (subjects.sibling(key, attempt), subjects.passing(key)) } else { (None, None) };
        let treatment = match subjects.state(key) {
            None => Treatment::Pass,
            Some(state) => {
                state.history.offered_tls13 |= offered.0;
                state.history.offered_tls12 |= offered.1;
                if let Some((refused, strangers)) = elsewhere {
                    state.history.refused_elsewhere = refused;
                    state.history.strangers_refused_on = strangers;
                }
                let interval = match state.history.past.as_slice() {
                    [.., a, b] => Some(b.at.since(a.at)),
                    _ => None,
                };
                let terms = self.terms(key, &[server], healthy, interval);
                plan::plan(&state.history, &Terms { sibling: sibling.as_deref(), passing: passing.as_deref(), ..terms }, now)
            }
        };
        let woken = (runs && treatment == Treatment::Pass).then(|| self.wakes(&subjects, key, server, attempt)).flatten();
        let treatment = woken.unwrap_or(treatment);
        let names = self.setup.rules.names_of(server);
        let id = subjects.begin(key, treatment.clone(), (server, &names), now, attempt);
        let leaf = leaf(&subjects);
        drop(subjects);
        Self::write(due);
        (id, treatment.of_connection(0), leaf)
    }

    /// The attack that made another stack of the same program speak, to this peer or to one that stands in for it, where that one still has open
    /// questions and does not come by itself: nothing is left to ask this stack, but without its failure the other is not met. It has no such
    /// effect if it had none [`VAIN`] times since.
    fn wakes(&self, subjects: &Subjects, key: &Key, server: IpAddr, attempt: Option<u64>) -> Option<Treatment> {
        let mine = self.terms(key, &[server], true, None);
        if !mine.allowed {
            return None;
        }
        let past = &subjects.all.get(key)?.history.past;
        let open = |k: &Key, state: &subjects::State| {
            // Who has come in this run already comes by itself.
            if state.group.as_ref().is_some_and(|group| group.attempt == attempt) {
                return false;
            }
            let terms = self.terms(k, state.servers(), true, None);
            !plan::undecided(&state.history, &terms).is_empty()
        };
        let id = subjects.others(key).filter(|(k, state)| open(k, state)).find_map(|(_, state)| {
            let last = state.history.past.last()?.at;
            let (made_it, since) = past.split_at(past.partition_point(|p| p.at <= last));
            let made_it = made_it.last().filter(|p| p.arm == analyzers::observation::Arm::Attack && p.result == TrialResult::Rejected)?;
            let in_vain = since.iter().filter(|p| p.attack == made_it.attack).count();
            (in_vain < VAIN && since.iter().any(|p| p.result == TrialResult::Accepted)).then(|| made_it.attack.clone())?
        })?;
        let attack = mine.attacks.iter().find(|a| a.id == id)?;
        Some(Treatment::Attack { id, defect: attack.defect.clone(), after: 0 })
    }

    fn terms(&self, key: &Key, servers: &[IpAddr], healthy: bool, interval: Option<Duration>) -> Terms<'_> {
        Terms {
            attacks: self.shares.get(usize::from(key.lane)).map_or(&[], Vec::as_slice),
            required: self.setup.required,
            thresholds: self.setup.thresholds,
            mode: self.setup.mode,
            allowed: !self.paused() && self.setup.rules.may_attack(&key.host, key.port, servers),
            pin_near: self.setup.rules.pin_near(&key.host),
            healthy,
            interval,
            chance: self.setup.chance,
            sibling: None,
            passing: None,
        }
    }

    /// Live: not more of the device's latest untouched attempts failed than the policy lets pass.
    fn healthy(&self, subjects: &Subjects, device: IpAddr, now: Time) -> bool {
        if self.setup.mode == Mode::Runs {
            return true;
        }
        let mine = subjects.all.iter().filter(|(k, _)| k.device == device).flat_map(|(_, s)| &s.history.past);
        let recent: Vec<bool> =
            mine.filter(|p| p.arm == Arm::Pass && now.since(p.at) <= HEALTH).map(|p| p.result == TrialResult::Accepted).collect();
        works_well_enough(&recent, self.setup.thresholds.health_failing_percent)
    }

    fn write(due: Vec<Tried>) {
        for Tried { trial, flows, tap } in due {
            tap.tried(trial, flows);
        }
    }

    fn seen(&self, ip: IpAddr) {
        let now = self.setup.feed.now();
        let came = {
            let mut devices = self.devices();
            let device = devices.entry(ip).or_default();
            device.last_seen = now;
            !std::mem::replace(&mut device.present, true)
        };
        if came {
            self.presence(ip, true);
        }
    }

    fn presence(&self, ip: IpAddr, present: bool) {
        let about = About { device: Some(ip), peer: None, client: None };
        self.setup.feed.put(Some(about), Presence { device: None, present });
    }

    fn subjects(&self) -> MutexGuard<'_, Subjects> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn devices(&self) -> MutexGuard<'_, HashMap<IpAddr, Device>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether not more than so many percent failed, or there is too little to say.
fn works_well_enough(recent: &[bool], failing_percent: u32) -> bool {
    let failed = recent.iter().filter(|ok| !**ok).count();
    recent.len() < HEALTH_LEAST || failed * 100 <= recent.len() * failing_percent as usize
}

/// What the class of this subject has refused on other peers: (attack, peers), and on how many peers an unknown authority.
fn elsewhere(subjects: &Subjects, key: &Key) -> (Vec<(String, usize)>, usize) {
    let mut refused: HashMap<String, usize> = HashMap::new();
    for (other, state) in &subjects.all {
        if other.device != key.device || other.class != key.class || (other.host == key.host && other.port == key.port) {
            continue;
        }
        let mut ids: Vec<&String> =
            state.history.past.iter().filter(|p| p.result == TrialResult::Rejected).filter_map(|p| p.attack.as_ref()).collect();
        ids.sort();
        ids.dedup();
        for id in ids {
            *refused.entry(id.clone()).or_default() += 1;
        }
    }
    let strangers = refused.get("cert.untrusted-ca").copied().unwrap_or_default();
    (refused.into_iter().collect(), strangers)
}

fn flow_end(close: Close) -> FlowEnd {
    match close {
        Close::Rst => FlowEnd::Reset,
        Close::Fin | Close::None => FlowEnd::Fin,
    }
}

/// The port of DNS.
const DNS: u16 = 53;

/// The Host of an HTTP/1 request.
fn http_host(bytes: &[u8]) -> Option<String> {
    let line =
        bytes.split(|b| *b == b'\n').skip(1).find(|l| l.len() > 5 && l.get(..5).is_some_and(|n| n.eq_ignore_ascii_case(b"host:")))?;
    let text = std::str::from_utf8(line.get(5..)?).ok()?.trim();
    let host = text.rsplit_once(':').filter(|(_, p)| p.bytes().all(|b| b.is_ascii_digit())).map_or(text, |(h, _)| h);
    Some(plain_name(host.trim_matches(['[', ']'])))
}

/// A name as it is compared: in small letters, without the root's dot.
fn plain_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Tells apart the stacks that speak from one device to one peer, as the analysis of the same hello does: what is planned for one subject is
/// judged as one.
fn class(hello: &Hello) -> ClientClass {
    use analyzers::dissect::tls::hello::{Carrier, parse};
    parse(&hello.message).map_or(ClientClass([0; 6]), |hello| hello.class(Carrier::Tcp))
}
