//! The pipeline: a plain synchronous struct that turns chunks into drafts of lines. It borrows, never stores its input, knows no channel.
//!
//! A source (a logical shard of `captures`, a live lane of `proxy`) drives one pipeline with flows of its own; the
//! [`Scribe`](crate::scribe::Scribe) joins what all pipelines put out into one journal.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use policies::Time;

use crate::chunk::{Chunk, Gap, Want};
use crate::dissect::search::WINDOWS;
use crate::dissect::{Cx, Known, Rest, Talk};
use crate::flow::{Counts, Dir, Ends, FlowEnd, FlowId, FlowKey, Mac};
use crate::keys::{Keys, Secret};
use crate::leak::Engine;
use crate::observation::{Activity, App, Event, Exposure, Flow, Neighbour, NotParsed, Observation, Odd, OddKind, Phase};
use crate::subject::{ClientClass, Peer};
use crate::text::{Text, Veil};

/// Where drafts go.
pub trait Sink {
    fn put(&mut self, out: Out);
}

impl Sink for Vec<Out> {
    fn put(&mut self, out: Out) {
        self.push(out);
    }
}

/// What a pipeline puts out.
#[derive(Debug)]
pub enum Out {
    /// A flow begins: the scribe numbers it.
    Opened {
        flow: FlowKey,
        ends: Ends,
        at: Time,
        frame: u64,
    },
    Seen(Box<Draft>),
    /// A trial (live), whose `flows` the scribe fills in: a group of flows is judged after some of them have closed.
    Tried {
        draft: Box<Draft>,
        flows: Vec<FlowKey>,
    },
    /// A personal value for sealed storage; its token is in the `Hit` line.
    Sealed(crate::sealed::Value),
    /// These addresses are one device's (live): the operator named it, and its link says so.
    Joined {
        mac: Option<Mac>,
        ips: Vec<IpAddr>,
        at: Time,
    },
    /// This address was given out for this name (live): whoever goes there without saying a name means it.
    Named {
        address: IpAddr,
        name: Text,
    },
}

/// A line before the scribe has numbered it.
#[derive(Debug)]
pub struct Draft {
    pub at: Time,
    /// 0 = none.
    pub frame: u64,
    pub flow: Option<FlowKey>,
    /// For facts of no one flow.
    pub about: Option<About>,
    pub seen: Observation,
}

/// A subject before the scribe has numbered its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    pub device: Option<IpAddr>,
    pub peer: Option<Peer>,
    pub client: Option<ClientClass>,
}

/// How the operator named a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Mac(Mac),
    Ip(IpAddr),
}

impl Told {
    pub fn is(&self, ip: IpAddr, mac: Option<Mac>) -> bool {
        match self {
            Told::Mac(m) => mac == Some(*m),
            Told::Ip(i) => ip == *i,
        }
    }

    pub fn parse(text: &str) -> Option<Told> {
        text.parse().map(Told::Ip).ok().or_else(|| Mac::parse(text).map(Told::Mac))
    }
}

/// One window of a stimulus, for counting what flows carried inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub kind: Text,
    /// Number among windows of its kind, from 1.
    pub n: u32,
    pub start: Time,
    pub end: Time,
    pub confirmed: bool,
}

impl Window {
    /// Pairs each start with the next end of its kind; a start without an end runs to the end of time.
    pub fn pair<'e>(events: impl IntoIterator<Item = &'e Event>) -> Vec<Window> {
        let mut sorted: Vec<&Event> = events.into_iter().collect();
        sorted.sort_by_key(|e| e.at);
        let mut out: Vec<Window> = Vec::new();
        for event in sorted {
            match event.phase {
                Phase::Start => {
                    let n = out.iter().filter(|w| w.kind == event.kind).count() as u32 + 1;
                    out.push(Window { kind: event.kind.clone(), n, start: event.at, end: Time::MAX, confirmed: event.confirmed });
                }
                Phase::End => {
                    if let Some(open) = out.iter_mut().rev().find(|w| w.kind == event.kind && w.end == Time::MAX) {
                        open.end = event.at;
                        open.confirmed &= event.confirmed;
                    }
                }
                Phase::At => {}
            }
        }
        out
    }
}

/// What all pipelines of a run share; immutable while it runs.
pub struct Tools {
    pub veil: Arc<dyn Veil>,
    /// Secrets known before the first packet.
    pub keys: Arc<Keys>,
    pub told: Vec<Told>,
    pub windows: Vec<Window>,
    pub limits: Limits,
    /// Seeks planted values and shapes; without it nothing is found.
    pub engine: Option<Arc<Engine>>,
    /// What a gateway saw of the flows before they are read (a second reading).
    pub met: Met,
}

/// Flows that a gateway met: by Community ID, when each began there, and whether its server was an attacker's. A device may use a port again.
#[derive(Clone, Debug, Default)]
pub struct Met(HashMap<String, Vec<MetFlow>>);

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetFlow {
    pub flow: FlowId,
    pub began: Time,
    pub attacked: bool,
}

impl Met {
    pub fn add(&mut self, community_id: &str, flow: MetFlow) {
        self.0.entry(community_id.to_owned()).or_default().push(flow);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// It, if a flow of these ends was met at all. The gateway begins a flow when its first words have come, which is later
    /// than it began on the wire, and before the next one of the same ends; one whose first packets were lost begins later in a capture.
    pub fn find(&self, community_id: &str, began: Time) -> Option<MetFlow> {
        let all = self.0.get(community_id)?;
        let next = all.iter().filter(|met| met.began >= began).min_by_key(|met| met.began);
        next.or_else(|| all.iter().max_by_key(|met| met.began)).copied()
    }
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tools").field("told", &self.told).field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Default for Tools {
    fn default() -> Tools {
        Tools {
            veil: Arc::new(crate::text::Bare),
            keys: Arc::default(),
            told: Vec::new(),
            windows: Vec::new(),
            limits: Limits::default(),
            engine: None,
            met: Met::default(),
        }
    }
}

/// Bounds on what a hostile flow can make us hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A decoded HTTP body is looked at up to here.
    pub body: usize,
    /// A header section, a handshake message, is buffered up to here.
    pub message: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { body: 4 << 20, message: 256 << 10 }
    }
}

/// Bytes of a flow inside one window.
#[derive(Clone, Copy, Debug)]
pub struct Active {
    window: u32,
    bytes: [u64; 2],
}

#[derive(Debug)]
struct Live {
    known: Known,
    talk: Talk,
    /// For bytes nobody knows: the search carries over chunk borders.
    unknown: u64,
}

/// Tens of thousands of flows are open at once; a size class more would cost each a quarter.
const _: () = assert!(size_of::<Live>() <= 256);

/// Turns one source's chunks into drafts.
#[derive(Debug)]
pub struct Pipeline {
    tools: Arc<Tools>,
    /// Boxed, for the map has room for twice as many as there are.
    flows: HashMap<FlowKey, Box<Live>, foldhash::fast::FixedState>,
    keys: Keys,
    /// Bytes that may still be kept of the beginnings of streams.
    room: u32,
}

impl Pipeline {
    pub fn new(tools: Arc<Tools>) -> Pipeline {
        Pipeline { tools, flows: HashMap::default(), keys: Keys::default(), room: WINDOWS }
    }

    /// A flow begins. Must come before anything else of it.
    pub fn open(&mut self, flow: FlowKey, ends: &Ends, time: Time, frame: u64, out: &mut impl Sink) {
        out.put(Out::Opened { flow, ends: *ends, at: time, frame });
        let mut known = Known::new(*ends, time, frame);
        if !self.tools.met.is_empty() && self.tools.met.find(&ends.community_id(), time).is_some_and(|met| met.attacked) {
            known.exposure = Exposure::Interceptor;
        }
        self.flows.insert(flow, Box::new(Live { known, talk: Talk::default(), unknown: 0 }));
    }

    /// The flow's server is an attacker's: what is decrypted of it can be read by anybody who does the same.
    pub fn intercepted(&mut self, flow: FlowKey) {
        if let Some(live) = self.flows.get_mut(&flow) {
            live.known.exposure = Exposure::Interceptor;
        }
    }

    /// Bytes of an open flow, in order. Says what is still wanted of this direction.
    pub fn chunk(&mut self, chunk: Chunk<'_>, out: &mut impl Sink) -> Want {
        let Some(live) = self.flows.get_mut(&chunk.flow) else { return Want::Nothing };
        live.known.last = live.known.last.max(chunk.time);
        live.known.delivered += chunk.bytes.len() as u64;
        live.known.room = self.room;
        count_active(&self.tools.windows, &mut live.known, chunk.dir, chunk.bytes.len() as u64, chunk.time);
        let mut cx = Cx {
            at: chunk.time,
            frame: chunk.frame,
            flow: chunk.flow,
            known: &mut live.known,
            tools: &self.tools,
            late_keys: &self.keys,
            out,
        };
        let want = live.talk.chunk(&chunk, &mut cx);
        self.room = live.known.room;
        if live.talk.is_opaque() {
            live.unknown += chunk.bytes.len() as u64;
        }
        want
    }

    /// Bytes that nobody wanted any more, counted so that coverage adds up.
    pub fn passed(&mut self, flow: FlowKey, dir: Dir, len: u64, time: Time) {
        let Some(live) = self.flows.get_mut(&flow) else { return };
        live.known.last = live.known.last.max(time);
        live.known.delivered += len;
        count_active(&self.tools.windows, &mut live.known, dir, len, time);
    }

    /// Bytes of a stream that will not come.
    pub fn gap(&mut self, gap: Gap, out: &mut impl Sink) -> Want {
        let Some(live) = self.flows.get_mut(&gap.flow) else { return Want::Nothing };
        let mut cx =
            Cx { at: gap.time, frame: gap.frame, flow: gap.flow, known: &mut live.known, tools: &self.tools, late_keys: &self.keys, out };
        cx.known.room = self.room;
        let want = live.talk.gap(&gap, &mut cx);
        cx.missed(&gap);
        self.room = live.known.room;
        want
    }

    /// Nothing was heard of the flow for long: what is kept of it takes no more room than it must.
    pub fn rest(&mut self, flow: FlowKey, time: Time, frame: u64, out: &mut impl Sink) {
        let Some(live) = self.flows.get_mut(&flow) else { return };
        live.known.room = self.room;
        let mut cx = Cx { at: time, frame, flow, known: &mut live.known, tools: &self.tools, late_keys: &self.keys, out };
        live.talk.rest(&mut cx);
        self.room = live.known.room;
    }

    /// A flow has ended; `counts` are its source's.
    pub fn close(&mut self, flow: FlowKey, end: FlowEnd, counts: &Counts, time: Time, frame: u64, out: &mut impl Sink) {
        let Some(mut live) = self.flows.remove(&flow) else { return };
        let mut cx = Cx { at: time, frame, flow, known: &mut live.known, tools: &self.tools, late_keys: &self.keys, out };
        cx.known.room = self.room;
        live.talk.close(end, counts, &mut cx);
        // What was kept of streams that went in pieces is given back here.
        self.room = cx.known.room + cx.known.kept;
        let app = live.talk.app();
        let unknown = live.unknown.saturating_add_signed(cx.known.unknown);
        if unknown > 0 {
            cx.not_parsed(App::Unknown, NotParsed::Unknown, unknown);
        }
        cx.bind();
        cx.close_hits(app);
        for active in std::mem::take(&mut cx.known.active) {
            let window = &self.tools.windows[active.window as usize];
            let local = crate::observation::is_local(cx.known.ends.a.ip()) && crate::observation::is_local(cx.known.ends.b.ip());
            cx.see(Activity {
                kind: window.kind.clone(),
                window: window.n,
                confirmed: window.confirmed,
                out: active.bytes[0],
                back: active.bytes[1],
                encrypted: cx.known.coverage.encrypted > 0 || cx.known.rest == Rest::Encrypted,
                local,
                users: false,
            });
        }
        let known = &*cx.known;
        let mut coverage = known.coverage;
        let counted = coverage.analysed + coverage.encrypted + coverage.unparsed;
        let rest = known.delivered.saturating_sub(counted);
        match known.rest {
            Rest::Analysed => coverage.analysed += rest,
            Rest::Encrypted => coverage.encrypted += rest,
            Rest::Unparsed => coverage.unparsed += rest,
        }
        let seen = Flow {
            transport: known.ends.transport,
            a: known.ends.a,
            b: known.ends.b,
            community_id: Text::ours(known.ends.community_id()),
            app: if app == App::Empty && known.delivered > 0 { App::Unknown } else { app },
            first: known.first,
            last: known.last,
            first_frame: known.first_frame,
            counts: *counts,
            coverage,
            end,
            from_start: known.ends.from_start,
            called: known.side == Some(Dir::Back) || known.answers,
            users: false,
        };
        cx.see(seen);
    }

    /// A link address was bound to an IP address.
    pub fn link(&mut self, fact: Neighbour, time: Time, frame: u64, out: &mut impl Sink) {
        out.put(Out::Seen(Box::new(Draft { at: time, frame, flow: None, about: None, seen: fact.into() })));
    }

    /// Something odd below the flows, or about a flow's transport.
    pub fn odd(&mut self, flow: Option<FlowKey>, what: OddKind, detail: &str, time: Time, frame: u64, out: &mut impl Sink) {
        if let Some(key) = flow
            && let Some(live) = self.flows.get_mut(&key)
        {
            let mut cx = Cx { at: time, frame, flow: key, known: &mut live.known, tools: &self.tools, late_keys: &self.keys, out };
            cx.odd(what, detail, None);
            return;
        }
        let seen = Odd { what, detail: Text::ours(detail), offset: None }.into();
        out.put(Out::Seen(Box::new(Draft { at: time, frame, flow: None, about: None, seen })));
    }

    /// A secret that became known while running (a DSB in a pipe, the proxy's own).
    pub fn key(&mut self, secret: Secret) {
        self.keys.insert(secret);
    }

    /// Time has passed without bytes.
    pub fn tick(&mut self, _time: Time, _frame: u64, _out: &mut impl Sink) {}

    /// The input has ended; flows still open are closed by the source first.
    pub fn finish(&mut self, time: Time, frame: u64, out: &mut impl Sink) {
        let mut left: Vec<FlowKey> = self.flows.keys().copied().collect();
        left.sort_unstable();
        for flow in left {
            self.close(flow, FlowEnd::EndOfRun, &Counts::default(), time, frame, out);
        }
    }
}

fn count_active(windows: &[Window], known: &mut Known, dir: Dir, len: u64, time: Time) {
    for (i, window) in windows.iter().enumerate() {
        if window.start <= time && time <= window.end {
            match known.active.iter_mut().find(|a| a.window == i as u32) {
                Some(active) => active.bytes[dir.index()] += len,
                None => {
                    let mut bytes = [0; 2];
                    bytes[dir.index()] = len;
                    known.active.push(Active { window: i as u32, bytes });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_used_again() {
        let at = Time::from_secs;
        let mut met = Met::default();
        for (n, began, attacked) in [(1, 20, true), (2, 10, false)] {
            met.add("1:a", MetFlow { flow: FlowId(n), began: at(began), attacked });
        }
        for (id, began, expect) in [
            ("1:a", 9, Some((2, false))),
            ("1:a", 10, Some((2, false))),
            ("1:a", 19, Some((1, true))),
            ("1:a", 21, Some((1, true))),
            ("1:b", 9, None),
        ] {
            assert_eq!(met.find(id, at(began)).map(|met| (met.flow.0, met.attacked)), expect, "{id} {began}");
        }
    }
}
