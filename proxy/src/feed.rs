//! From connections to pipelines: a flow's bytes, secrets and notes reach one thread in order; bytes are bounded, notes never lost.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use analyzers::chunk::{Chunk, Gap, Layer, Lost, Unit};
use analyzers::flow::{Counts, Dir, Ends, FlowEnd, FlowKey, Mac, Transport};
use analyzers::keys::{Secret, SecretLabel};
use analyzers::observation::{Arm, Observation, Treatment};
use analyzers::pipeline::{About, Draft, Out, Pipeline, Sink, Tools};
use bytes::Bytes;
use policies::Time;

use crate::batch::Batched;
use crate::capture::{Aside, Treated};
use crate::error::Error;
use crate::synthesis::{Piece, Pieces};
use crate::wire::Tap;

/// Bytes waiting for all pipelines together; what comes beyond is counted as missed.
pub const LIMIT: usize = 64 << 20;
/// Sources of live flows are numbered from here, above the 64 shards of a capture.
const FIRST_SOURCE: u16 = 0x100;

/// The wall clock, handed in by whoever starts the gateway.
pub type Clock = fn() -> Time;

enum Note {
    Open {
        flow: FlowKey,
        ends: Ends,
        at: Time,
    },
    Bytes {
        flow: FlowKey,
        dir: Dir,
        offset: u64,
        at: Time,
        bytes: Bytes,
    },
    Gap {
        flow: FlowKey,
        dir: Dir,
        offset: u64,
        len: u64,
        at: Time,
    },
    Secret(Secret),
    /// What the device says in this flow it says to an attacker.
    Intercepted(FlowKey),
    Close {
        flow: FlowKey,
        end: FlowEnd,
        counts: Counts,
        at: Time,
    },
    Put(Box<Out>),
    /// Everything queued before has been worked off.
    Mark(Sender<()>),
}

/// A pipeline's thread and the way to it.
#[derive(Debug)]
struct Lane {
    notes: Sender<Note>,
    flows: AtomicU64,
    source: u16,
}

/// All lanes. Cloning shares them; the threads end when the last clone and all taps are gone.
#[derive(Clone, Debug)]
pub struct Feed {
    lanes: Arc<[Lane]>,
    waiting: Arc<AtomicUsize>,
    limit: usize,
    clock: Clock,
    asides: Asides,
    pieces: Option<Pieces>,
}

/// Where what the capture has to know of a connection goes at once; may be nowhere.
pub type Asides = Option<Sender<Aside>>;

/// A started feed: itself, what its pipelines put out, and their threads.
pub type Started = (Feed, Receiver<Out>, Vec<JoinHandle<()>>);

impl Feed {
    /// Starts `lanes` threads. What their pipelines put out comes from the receiver: one place takes it to the scribe.
    pub fn start(lanes: u16, tools: &Arc<Tools>, clock: Clock, asides: Asides) -> Result<Started, Error> {
        let (out, outs) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let mut all = Vec::new();
        let mut threads = Vec::new();
        for i in 0..lanes.max(1) {
            let (notes, inbox) = channel();
            let (tools, out, waiting) = (tools.clone(), out.clone(), waiting.clone());
            let thread = std::thread::Builder::new().name(format!("pipeline-{i}"));
            threads.push(
                thread
                    .spawn(move || work(Batched::new(inbox), Pipeline::new(tools), &mut ToScribe(out), &waiting, clock))
                    .map_err(Error::io("a thread"))?,
            );
            all.push(Lane { notes, flows: AtomicU64::new(0), source: FIRST_SOURCE + i });
        }
        Ok((Feed { lanes: all.into(), waiting, limit: LIMIT, clock, asides, pieces: None }, outs, threads))
    }

    /// The same feed, from which packets are made too.
    pub fn copying(self, pieces: Pieces) -> Feed {
        Feed { pieces: Some(pieces), ..self }
    }

    pub fn now(&self) -> Time {
        (self.clock)()
    }

    /// A flow from `device` to `server` begins. Flows of one device to one `host` and port share a lane, so that what is said of a group
    /// of them comes after all of them.
    pub fn open(&self, device: SocketAddr, server: SocketAddr, host: &str) -> Arc<FlowTap> {
        let place = hash(&[&ip_bytes(device), host.as_bytes(), &server.port().to_be_bytes()]) as usize % self.lanes.len().max(1);
        let lane = self.lanes.get(place).or(self.lanes.first());
        let (source, n) = lane.map_or((FIRST_SOURCE, 0), |l| (l.source, l.flows.fetch_add(1, Ordering::Relaxed)));
        let flow = FlowKey::new(source, n);
        let at = self.now();
        let ends = Ends { transport: Transport::Tcp, a: device, b: server, a_mac: None, b_mac: None, from_start: true };
        let tap = FlowTap { flow, ends: (device, server), lane: place, feed: self.clone(), offsets: Mutex::new([0, 0]) };
        tap.send(Note::Open { flow, ends, at });
        if let Some(pieces) = &self.pieces {
            pieces.put(Piece::Open { flow, device, server, at });
        }
        Arc::new(tap)
    }

    /// A fact of no flow.
    pub fn put(&self, about: Option<About>, seen: impl Into<Observation>) {
        let draft = Draft { at: self.now(), frame: 0, flow: None, about, seen: seen.into() };
        if let Some(lane) = self.lanes.first() {
            let _ = lane.notes.send(Note::Put(Box::new(Out::Seen(Box::new(draft)))));
        }
    }

    /// These addresses are one device's, whatever flows say.
    pub fn join(&self, mac: Option<Mac>, ips: Vec<IpAddr>) {
        if let Some(lane) = self.lanes.first() {
            let _ = lane.notes.send(Note::Put(Box::new(Out::Joined { mac, ips, at: self.now() })));
        }
    }

    /// Waits until everything queued so far has reached the scribe's receiver. Blocks; not for async tasks.
    pub fn drain(&self) {
        for lane in self.lanes.iter() {
            let (done, wait) = channel();
            if lane.notes.send(Note::Mark(done)).is_ok() {
                let _ = wait.recv();
            }
        }
    }
}

/// One flow's way into its pipeline.
#[derive(Debug)]
pub struct FlowTap {
    flow: FlowKey,
    /// Device and server.
    ends: (SocketAddr, SocketAddr),
    lane: usize,
    feed: Feed,
    offsets: Mutex<[u64; 2]>,
}

impl FlowTap {
    pub fn flow(&self) -> FlowKey {
        self.flow
    }

    /// A fact about this flow.
    pub fn put(&self, seen: impl Into<Observation>) {
        let draft = Draft { at: self.feed.now(), frame: 0, flow: Some(self.flow), about: None, seen: seen.into() };
        self.send(Note::Put(Box::new(Out::Seen(Box::new(draft)))));
    }

    /// What is done to this flow from now on.
    pub fn treated(&self, treatment: Treatment) {
        let words = match (treatment.arm, &treatment.attack) {
            (Arm::Attack, Some(id)) => Some(format!("overhear: attack {id}")),
            (Arm::Control, _) => Some("overhear: control".to_owned()),
            (Arm::Attack | Arm::Pass, _) => None,
        };
        if let (Some(asides), Some(words)) = (&self.feed.asides, words) {
            let (device, server) = self.ends;
            let _ = asides.send(Aside::Treated(Treated { device, server, at: self.feed.now(), words }));
        }
        self.put(treatment);
    }

    /// This address was given out for this name.
    pub fn named(&self, address: IpAddr, name: analyzers::text::Text) {
        self.send(Note::Put(Box::new(Out::Named { address, name })));
    }

    /// What the device says from now on it says to an attacker.
    pub fn intercepted(&self) {
        self.send(Note::Intercepted(self.flow));
    }

    /// A trial of which this flow is the last.
    pub fn tried(&self, trial: analyzers::observation::Trial, flows: Vec<FlowKey>) {
        let draft = Draft { at: self.feed.now(), frame: 0, flow: Some(self.flow), about: None, seen: trial.into() };
        self.send(Note::Put(Box::new(Out::Tried { draft: Box::new(draft), flows })));
    }

    /// The flow has ended.
    pub fn close(&self, end: FlowEnd) {
        let bytes = *self.offsets.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = Counts { bytes, ..Counts::default() };
        let at = self.feed.now();
        if let Some(pieces) = &self.feed.pieces {
            pieces.put(Piece::Close { flow: self.flow, end, at });
        }
        self.send(Note::Close { flow: self.flow, end, counts, at });
    }

    fn send(&self, note: Note) {
        if let Some(lane) = self.feed.lanes.get(self.lane) {
            // The thread lives as long as the feed; if it is gone the run is over.
            let _ = lane.notes.send(note);
        }
    }
}

impl Tap for FlowTap {
    fn wire(&self, dir: Dir, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        let mut offsets = self.offsets.lock().unwrap_or_else(PoisonError::into_inner);
        let [out, back] = &mut *offsets;
        let place = if dir == Dir::Out { out } else { back };
        let offset = *place;
        *place += len as u64;
        let (flow, at) = (self.flow, self.feed.now());
        let copy = Bytes::copy_from_slice(bytes);
        if let Some(pieces) = &self.feed.pieces {
            pieces.put(Piece::Bytes { flow, dir, offset, at, bytes: copy.clone() });
        }
        let full = self.feed.waiting.fetch_add(len, Ordering::Relaxed) + len > self.feed.limit;
        // Sent under the lock: offsets of one direction arrive in order.
        if full {
            self.feed.waiting.fetch_sub(len, Ordering::Relaxed);
            self.send(Note::Gap { flow, dir, offset, len: len as u64, at });
        } else {
            self.send(Note::Bytes { flow, dir, offset, at, bytes: copy });
        }
    }

    /// Not fed: the pipeline opens the wire bytes with the secrets, as it does with a capture, so that both say the same.
    fn plain(&self, _: Dir, _: &[u8]) {}

    fn secret(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let (Some(label), Ok(client_random)) = (SecretLabel::parse(label.as_bytes()), client_random.try_into()) else { return };
        let secret = Secret { label, client_random, secret: secret.to_vec() };
        if let Some(asides) = &self.feed.asides {
            let _ = asides.send(Aside::Secret(secret.clone()));
        }
        self.send(Note::Secret(secret));
    }
}

struct ToScribe(Sender<Out>);

impl Sink for ToScribe {
    fn put(&mut self, out: Out) {
        let _ = self.0.send(out);
    }
}

fn work(mut inbox: Batched<Note>, mut pipeline: Pipeline, out: &mut ToScribe, waiting: &AtomicUsize, clock: Clock) {
    while let Ok(note) = inbox.recv() {
        match note {
            Note::Open { flow, ends, at } => pipeline.open(flow, &ends, at, 0, out),
            Note::Bytes { flow, dir, offset, at, bytes } => {
                waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
                let unit = Unit::Stream { offset };
                pipeline.chunk(Chunk { flow, dir, unit, layer: Layer::Wire, time: at, frame: 0, bytes: &bytes }, out);
            }
            Note::Gap { flow, dir, offset, len, at } => {
                pipeline.gap(Gap { flow, dir, offset, len, why: Lost::Overflow, time: at, frame: 0 }, out);
            }
            Note::Secret(secret) => pipeline.key(secret),
            Note::Intercepted(flow) => pipeline.intercepted(flow),
            Note::Close { flow, end, counts, at } => pipeline.close(flow, end, &counts, at, 0, out),
            Note::Put(it) => out.put(*it),
            Note::Mark(done) => {
                let _ = done.send(());
            }
        }
    }
    pipeline.finish(clock(), 0, out);
}

fn ip_bytes(addr: SocketAddr) -> Vec<u8> {
    match addr.ip() {
        std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
        std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// FNV-1a: the same lane in every run.
fn hash(parts: &[&[u8]]) -> u64 {
    parts
        .iter()
        .flat_map(|p| p.iter().chain(&[0xff]))
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn clock() -> Time {
        Time::from_secs(1)
    }

    #[test]
    fn a_flow_is_said_in_order_and_overflow_is_missed() {
        let (mut feed, outs, threads) = Feed::start(2, &Arc::new(Tools::default()), clock, None).unwrap();
        feed.limit = 10;
        let tap = feed.open("192.0.2.1:1000".parse().unwrap(), "192.0.2.2:80".parse().unwrap(), "192.0.2.2");
        tap.wire(Dir::Out, b"hello");
        feed.drain();
        tap.wire(Dir::Out, &[0; 11]);
        tap.wire(Dir::Back, b"ok");
        tap.close(FlowEnd::Fin);
        feed.drain();
        drop((tap, feed));
        for thread in threads {
            thread.join().unwrap();
        }
        let words: Vec<String> = outs
            .iter()
            .map(|out| match out {
                Out::Opened { .. } => "opened".to_owned(),
                Out::Seen(draft) => draft.seen.word().to_owned(),
                Out::Tried { .. } => "tried".to_owned(),
                Out::Sealed(_) => "sealed".to_owned(),
                Out::Joined { .. } => "joined".to_owned(),
                Out::Named { .. } => "named".to_owned(),
            })
            .collect();
        assert_eq!(words.first().map(String::as_str), Some("opened"));
        assert!(words.contains(&"missed".to_owned()), "{words:?}");
        assert_eq!(words.last().map(String::as_str), Some("flow"));
    }
}
