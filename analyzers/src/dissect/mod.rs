//! Dissectors: from chunks to observations. By bytes first, port second; broken input is `Odd`, never an error, never a verdict.

use policies::Time;

use crate::chunk::{Chunk, Gap, Layer, Want};
use crate::flow::{Counts, Dir, Ends, FlowEnd, FlowKey};
use crate::keys::Keys;
use crate::observation::{
    App, Attribution, Bound, Coverage, Exposure, Missed, NameSource, Neighbour, NotOpened, NotParsed, Observation, Odd, OddKind,
    Undecrypted, Unparsed, is_local,
};
use crate::pipeline::{Active, Draft, Out, Sink, Told, Tools};
use crate::subject::{Actor, ClientClass, Peer};
use crate::text::Text;

mod accounts;
pub mod dhcp;
pub mod dhcp6;
pub mod dns;
mod hits;
pub mod http;
pub mod local;
mod login;
pub mod marks;
mod opening;
mod packs;
mod pieces;
pub mod quic;
mod rsync;
pub mod search;
pub mod sniff;
pub mod snmp;
mod stretches;
pub mod supplicant;
mod talk;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod update;

pub use talk::Talk;
pub(crate) use talk::search_opaque;

/// Reads one protocol in one flow. Both directions come to the same dissector.
pub trait Dissector: Send + std::fmt::Debug {
    fn app(&self) -> App;

    /// Bytes in order. Says what it still wants of this direction.
    fn chunk(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Want;

    /// Bytes that will not come. The next chunk of this direction starts after them.
    fn gap(&mut self, gap: &Gap, cx: &mut Cx<'_>) -> Want;

    /// Nothing was heard for long: what is kept takes no more room than it must.
    fn rest(&mut self, _cx: &mut Cx<'_>) {}

    /// The flow has closed: say what is left to say. `counts` tell who sent FIN or RST.
    fn close(&mut self, end: FlowEnd, counts: &Counts, cx: &mut Cx<'_>);
}

/// Conversations inside one another, CONNECT inside CONNECT: nobody nests deeper, and each level costs stack.
pub(crate) const DEEPEST: u8 = 3;

/// What becomes of bytes that no dissector asked for any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rest {
    Analysed,
    Encrypted,
    #[default]
    Unparsed,
}

/// What is known of a flow beside its dissector's own state.
#[derive(Debug)]
pub struct Known {
    pub ends: Ends,
    pub first: Time,
    pub first_frame: u64,
    pub last: Time,
    pub coverage: Coverage,
    pub rest: Rest,
    pub(crate) bound: bool,
    pub(crate) delivered: u64,
    /// Bytes of the wire nobody knew, beside those of chunks that ended so; less those that turned out to begin something.
    pub(crate) unknown: i64,
    hint: Option<Box<Hint>>,
    odd: u32,
    missed: u32,
    /// Which side is the device, once the flow is bound.
    pub(crate) side: Option<Dir>,
    /// Who can read what was decrypted: whoever drives the pipeline knows whether a certificate was interposed.
    pub exposure: Exposure,
    pub(crate) hits: Option<Box<hits::Hits>>,
    /// Bytes kept of the beginnings of streams, and how many more of all flows may be.
    pub(crate) kept: u32,
    pub(crate) room: u32,
    /// How many tunnels were opened inside one another.
    pub(crate) nested: u8,
    /// It began with an error of ICMP, which answers what somebody else sent.
    pub(crate) answers: bool,
    pub(crate) active: Vec<Active>,
}

/// What a dissector has learned of the flow's subject before the flow is bound.
#[derive(Clone, Debug, Default)]
pub struct Hint {
    /// The direction in which the client speaks.
    pub client: Option<Dir>,
    pub name: Option<(Text, NameSource)>,
    pub class: Option<ClientClass>,
    /// The name is only an ECH outer name.
    pub hidden: bool,
    /// Where the operator's device speaks, when what was said tells it and no address does.
    pub device: Option<Dir>,
}

impl Known {
    pub(crate) fn new(ends: Ends, time: Time, frame: u64) -> Known {
        Known {
            ends,
            first: time,
            first_frame: frame,
            last: time,
            coverage: Coverage::default(),
            rest: Rest::default(),
            bound: false,
            delivered: 0,
            unknown: 0,
            hint: None,
            odd: 0,
            missed: 0,
            side: None,
            exposure: Exposure::Peer,
            hits: None,
            kept: 0,
            room: search::WINDOWS,
            nested: 0,
            answers: false,
            active: Vec::new(),
        }
    }

    /// Whether the flow was joined midway, or what began it may be lost.
    pub(crate) fn is_joined(&self) -> bool {
        !self.ends.from_start || self.missed > 0
    }

    pub(crate) fn hits(&mut self) -> &mut hits::Hits {
        self.hits.get_or_insert_default()
    }
}

/// At most so many `Odd` lines, and so many `Missed` lines, of one flow are written; the flow's closing line counts them all.
const ODD_PER_FLOW: u32 = 8;
const MISSED_PER_FLOW: u32 = 4;

/// What a dissector may do: say facts about its flow at a moment, and ask the run's tools.
pub struct Cx<'a> {
    pub at: Time,
    pub frame: u64,
    pub flow: FlowKey,
    pub known: &'a mut Known,
    pub tools: &'a Tools,
    /// Secrets that became known while running; [`Cx::keys`] asks both.
    pub(crate) late_keys: &'a Keys,
    pub(crate) out: &'a mut dyn Sink,
}

impl std::fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cx").field("at", &self.at).field("frame", &self.frame).field("flow", &self.flow).finish_non_exhaustive()
    }
}

impl Cx<'_> {
    /// Wire bytes as a text that may be shown.
    pub fn text(&self, bytes: &[u8]) -> Text {
        Text::veiled(bytes, &*self.tools.veil)
    }

    /// Tells who the flow is about, before anything is said of it. Changes nothing once the flow is bound; what is known stays until
    /// something else is told.
    pub fn hint(&mut self, hint: Hint) {
        if !self.known.bound {
            let known = self.known.hint.get_or_insert_default();
            let before = std::mem::replace(&mut **known, hint);
            if known.name.is_none() {
                known.name = before.name;
            }
            known.client = known.client.or(before.client);
            known.class = known.class.or(before.class);
            known.device = known.device.or(before.device);
        }
    }

    /// Whether the operator named a device by its address, and who speaks here has none yet.
    pub(crate) fn is_nameless(&self, dir: Dir) -> bool {
        let (ends, told) = (&self.known.ends, &self.tools.told);
        !self.known.bound
            && ends.addr(dir).ip().is_unspecified()
            && told.iter().any(|t| matches!(t, Told::Ip(_)))
            && !told.iter().any(|t| t.is(ends.addr(dir).ip(), ends.mac(dir)))
    }

    /// Whether this is an address by which the operator named a device.
    pub(crate) fn is_told(&self, ip: std::net::IpAddr) -> bool {
        self.tools.told.contains(&Told::Ip(ip))
    }

    /// The same flow at an earlier moment.
    pub(crate) fn then(&mut self, at: Time, frame: u64) -> Cx<'_> {
        Cx { at, frame, flow: self.flow, known: self.known, tools: self.tools, late_keys: self.late_keys, out: self.out }
    }

    pub(crate) fn is_bound(&self) -> bool {
        self.known.bound
    }

    /// The secret of a handshake, if somebody handed it in.
    pub fn secret(&self, label: crate::keys::SecretLabel, client_random: &[u8; 32]) -> Option<&[u8]> {
        self.tools.keys.find(label, client_random).or_else(|| self.late_keys.find(label, client_random))
    }

    /// Says a fact about this flow, now.
    pub fn see(&mut self, seen: impl Into<Observation>) {
        self.see_at(self.at, self.frame, seen);
    }

    /// Says a fact that an earlier frame of this flow caused.
    pub fn see_at(&mut self, at: Time, frame: u64, seen: impl Into<Observation>) {
        self.bind();
        self.put(at, frame, seen.into());
    }

    fn put(&mut self, at: Time, frame: u64, seen: Observation) {
        self.out.put(Out::Seen(Box::new(Draft { at, frame, flow: Some(self.flow), about: None, seen })));
    }

    /// Writes the flow's `Bound` line if it has none.
    pub(crate) fn bind(&mut self) {
        if self.known.bound {
            return;
        }
        self.known.bound = true;
        let hint = self.known.hint.take().map(|hint| *hint).unwrap_or_default();
        let ends = &self.known.ends;
        let (mut side, mut attribution) = device_side(ends, hint.client, &self.tools.told);
        if side.is_none() && hint.device.is_some() {
            (side, attribution) = (hint.device, Attribution::Told);
        }
        self.known.side = side;
        let peer_dir = side.map_or(Dir::Back, Dir::other);
        let at = ends.addr(peer_dir);
        let (name, named_by) = hint.name.map_or((None, None), |(n, by)| (Some(n), Some(by)));
        // Who lets in has no address that such a frame tells.
        let name = name.or_else(|| ends.transport.is_link().then(|| Text::ours("(the link)")));
        let peer = Peer {
            addr: (name.is_none() || hint.hidden).then_some(at.ip()),
            name,
            port: at.port(),
            transport: ends.transport,
            name_hidden: hint.hidden,
        };
        let bound =
            Bound { device: None, attribution, side, peer, named_by, client: hint.class, actor: Actor::default(), elsewhere: false };
        self.put(self.at, self.frame, bound.into());
        self.search_address();
    }

    /// An address made of the link address tells it to every peer (RFC 7721 §4.2, RFC 8064).
    fn search_address(&mut self) {
        let Some(dir) = self.known.side else { return };
        let std::net::IpAddr::V6(ip) = self.known.ends.addr(dir).ip() else { return };
        let bytes = ip.octets();
        if bytes[0] & 0xe0 == 0x20 && bytes[11..13] == [0xff, 0xfe] {
            let origin = marks::Origin { offset: 0, len: 16, frame: self.frame, time: self.at };
            let place = search::Place::Of("ipv6.source");
            let from = search::From::Decoded(origin);
            self.search_planted(&search::Spot { place, dir, layer: Layer::Wire, from, chain: &[] }, &bytes, |_| place);
        }
    }

    /// Whether what runs in this direction is not the device's word.
    pub(crate) fn is_peers(&mut self, dir: Dir) -> bool {
        self.bind();
        self.known.side.is_some_and(|side| side != dir)
    }

    /// Something is not as it should be, at `offset` of the stream.
    pub fn odd(&mut self, what: OddKind, detail: impl AsRef<str>, offset: Option<u64>) {
        self.known.odd += 1;
        if self.known.odd <= ODD_PER_FLOW {
            self.see(Odd { what, detail: Text::ours(detail), offset });
        }
    }

    /// Bytes are missing.
    pub fn missed(&mut self, gap: &Gap) {
        self.known.missed += 1;
        if self.known.missed <= MISSED_PER_FLOW {
            let repeats = u64::from(self.known.missed == MISSED_PER_FLOW);
            self.see(Missed { why: gap.why, dir: Some(gap.dir), offset: gap.offset, len: gap.len, repeats });
        }
    }

    /// Wire bytes a dissector read, left closed, or could not read. Every wire byte is counted once; what is never counted
    /// becomes the flow's [`Rest`] at its close.
    pub fn analysed(&mut self, bytes: usize) {
        self.known.coverage.analysed += bytes as u64;
    }

    pub fn encrypted(&mut self, bytes: usize) {
        self.known.coverage.encrypted += bytes as u64;
    }

    pub fn unparsed(&mut self, bytes: usize) {
        self.known.coverage.unparsed += bytes as u64;
    }

    /// What the bytes are that this dissector asks no more for.
    pub fn rest(&mut self, rest: Rest) {
        self.known.rest = rest;
    }

    /// An address was bound to a link address: a fact of no one flow.
    pub fn neighbour(&mut self, fact: Neighbour) {
        self.out.put(Out::Seen(Box::new(Draft { at: self.at, frame: self.frame, flow: None, about: None, seen: fact.into() })));
    }

    /// Encrypted bytes stayed closed.
    pub fn undecrypted(&mut self, protocol: App, reason: NotOpened, bytes: u64) {
        self.see(Undecrypted { protocol, reason, bytes, choice_unseen: false });
    }

    /// Clear bytes nobody understood.
    pub fn not_parsed(&mut self, what: App, reason: NotParsed, bytes: u64) {
        self.not_parsed_on(Layer::Wire, what, reason, bytes);
    }

    /// The same, where they may have come out of a decryption.
    pub fn not_parsed_on(&mut self, layer: Layer, what: App, reason: NotParsed, bytes: u64) {
        self.see(Unparsed { what, reason, bytes, layer });
    }

    pub fn ends(&self) -> &Ends {
        &self.known.ends
    }
}

/// Which side is the device: as told; else the one with a private or link-local address, when the other has none; else the side that sent
/// SYN, ClientHello, request or question; else nobody.
pub fn device_side(ends: &Ends, client: Option<Dir>, told: &[Told]) -> (Option<Dir>, Attribution) {
    if !told.is_empty() {
        let side = Dir::BOTH.into_iter().find(|d| told.iter().any(|t| t.is(ends.addr(*d).ip(), ends.mac(*d))));
        return (side, if side.is_some() { Attribution::Told } else { Attribution::None });
    }
    // Called from outside: a server that opens a data connection, a push that comes first.
    let one = |ip: std::net::IpAddr| !ip.is_multicast() && ip != std::net::Ipv4Addr::BROADCAST;
    let inside = match (is_local(ends.a.ip()), is_local(ends.b.ip())) {
        (true, false) if one(ends.a.ip()) => Some(Dir::Out),
        (false, true) if one(ends.b.ip()) => Some(Dir::Back),
        _ => None,
    };
    let opener = client.or(ends.from_start.then_some(Dir::Out));
    match (inside, opener) {
        (Some(dir), Some(by)) if dir == by => (inside, Attribution::Opener),
        (Some(_), _) => (inside, Attribution::Private),
        (None, Some(_)) => (opener, Attribution::Opener),
        (None, None) => (None, Attribution::None),
    }
}

#[cfg(test)]
mod tests;
