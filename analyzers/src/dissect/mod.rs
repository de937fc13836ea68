//! Dissectors: from chunks to observations. By bytes first, port second; broken input is `Odd`, never an error, never a verdict.

use policies::Time;

use crate::chunk::{Chunk, Gap, Layer, Unit, Want};
use crate::flow::{Counts, Dir, Ends, FlowEnd, FlowKey};
use crate::keys::Keys;
use crate::observation::{
    App, Attribution, Bound, Coverage, Exposure, Missed, NameSource, Neighbour, NotOpened, NotParsed, Observation, Odd, OddKind,
    Undecrypted, Unparsed, is_local,
};
use crate::pipeline::{Active, Draft, Out, Sink, Told, Tools};
use crate::subject::{Actor, ClientClass, Peer};
use crate::text::Text;

pub mod dhcp;
pub mod dns;
pub mod http;
pub mod local;
mod login;
pub mod marks;
pub mod quic;
pub mod search;
pub mod sniff;
pub mod tls;
pub mod update;

/// Reads one protocol in one flow. Both directions come to the same dissector.
pub trait Dissector: Send + std::fmt::Debug {
    fn app(&self) -> App;

    /// Bytes in order. Says what it still wants of this direction.
    fn chunk(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Want;

    /// Bytes that will not come. The next chunk of this direction starts after them.
    fn gap(&mut self, gap: &Gap, cx: &mut Cx<'_>) -> Want;

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
    hint: Hint,
    odd: u32,
    missed: u32,
    /// Which side is the device, once the flow is bound.
    pub(crate) side: Option<Dir>,
    /// Who can read what was decrypted: whoever drives the pipeline knows whether a certificate was interposed.
    pub exposure: Exposure,
    pub(crate) hits: search::Hits,
    /// How many tunnels were opened inside one another.
    pub(crate) nested: u8,
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
            hint: Hint::default(),
            odd: 0,
            missed: 0,
            side: None,
            exposure: Exposure::Peer,
            hits: search::Hits::default(),
            nested: 0,
            active: Vec::new(),
        }
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

    /// Tells who the flow is about, before anything is said of it. Changes nothing once the flow is bound; a name that is known stays until
    /// another is.
    pub fn hint(&mut self, hint: Hint) {
        if !self.known.bound {
            let before = std::mem::replace(&mut self.known.hint, hint);
            if self.known.hint.name.is_none() {
                self.known.hint.name = before.name;
            }
            self.known.hint.class = self.known.hint.class.or(before.class);
            self.known.hint.device = self.known.hint.device.or(before.device);
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
        self.out.put(Out::Seen(Draft { at, frame, flow: Some(self.flow), about: None, seen }));
    }

    /// Writes the flow's `Bound` line if it has none.
    pub(crate) fn bind(&mut self) {
        if self.known.bound {
            return;
        }
        self.known.bound = true;
        let hint = std::mem::take(&mut self.known.hint);
        let ends = &self.known.ends;
        let (mut side, mut attribution) = device_side(ends, hint.client, &self.tools.told);
        if side.is_none() && hint.device.is_some() {
            (side, attribution) = (hint.device, Attribution::Told);
        }
        self.known.side = side;
        let peer_dir = side.map_or(Dir::Back, Dir::other);
        let at = ends.addr(peer_dir);
        let (name, named_by) = hint.name.map_or((None, None), |(n, by)| (Some(n), Some(by)));
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
        self.out.put(Out::Seen(Draft { at: self.at, frame: self.frame, flow: None, about: None, seen: fact.into() }));
    }

    /// Encrypted bytes stayed closed.
    pub fn undecrypted(&mut self, protocol: App, reason: NotOpened, bytes: u64) {
        self.see(Undecrypted { protocol, reason, bytes });
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
    let inside = match (is_local(ends.a.ip()), is_local(ends.b.ip())) {
        (true, false) => Some(Dir::Out),
        (false, true) => Some(Dir::Back),
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

/// A conversation at one layer: sniffs the protocol from the first bytes, then hands everything to its dissector.
///
/// The pipeline holds one for the wire; a decrypting dissector holds another for what it opened.
#[derive(Debug)]
pub struct Talk {
    state: State,
    layer: Layer,
}

impl Default for Talk {
    fn default() -> Talk {
        Talk { state: State::New, layer: Layer::Wire }
    }
}

#[derive(Debug, Default)]
enum State {
    #[default]
    New,
    /// Too few bytes to tell, per direction.
    Sniffing(Box<[Early; 2]>),
    Known(Box<dyn Dissector>),
    /// Nobody knows these bytes: they are searched as they are.
    Opaque(Box<Opaque>),
}

#[derive(Debug, Default)]
struct Opaque {
    trails: [search::Trail; 2],
    tails: [Tail; 2],
    logins: [login::Logins; 2],
    /// Bytes of both directions so far.
    seen: u64,
}

impl Opaque {
    /// Credentials that the words before them tell.
    fn read_logins(&mut self, dir: Dir, offset: u64, chunk: &Chunk<'_>, bytes: &[u8], cx: &mut Cx<'_>) {
        if chunk.layer != Layer::Wire {
            return;
        }
        self.logins[dir.index()].take(offset, bytes, &mut |secret, line| {
            let (at, len) = (line + secret.at as u64, secret.len as u64);
            let from = search::From::Decoded(marks::Origin { offset: at, len, frame: chunk.frame, time: chunk.time });
            cx.told(
                secret.kind,
                &secret.value,
                &search::Spot { place: OPAQUE, dir, layer: chunk.layer, from, chain: secret.chain },
                0,
                len,
            );
        });
    }
}

/// The last bytes of a direction: what we know may begin in them, whatever pieces it comes in.
#[derive(Debug, Default)]
struct Tail {
    bytes: Vec<u8>,
    /// Where the next byte stands in the stream.
    next: u64,
}

/// A header of TLS with the start of its hello, or of an HTTP/2 preface, is shorter.
const SHORT_TAIL: usize = 64;

impl Tail {
    /// Puts `bytes`, which stand at `offset`, behind what is kept. Says how much that was; where it is nothing, nothing is copied.
    fn join(&mut self, offset: u64, bytes: &[u8]) -> usize {
        if self.next != offset {
            self.bytes.clear();
        }
        self.next = offset + bytes.len() as u64;
        let old = self.bytes.len();
        if old > 0 {
            self.bytes.extend_from_slice(bytes);
        }
        old
    }

    /// Keeps what may begin something of what was joined: a line of text that is not over, which may be a request's, and the last bytes.
    fn keep(&mut self, new: &[u8], old: usize) {
        if old == 0 {
            self.bytes.clear();
        }
        let skipped = if old == 0 { 0 } else { old };
        let len = if old == 0 { new.len() } else { self.bytes.len() };
        // What begins further back than any line is long is cut below.
        let near = new.len().saturating_sub(2 * http::head::LONGEST_LINE);
        let line = last_control(&new[near..]).map_or(0, |end| skipped + near + end + 1);
        let mut from = line.min(len.saturating_sub(SHORT_TAIL));
        if len - from > 2 * http::head::LONGEST_LINE {
            from = len - http::head::LONGEST_LINE;
        }
        if old == 0 {
            self.bytes.extend_from_slice(new.get(from..).unwrap_or_default());
        } else {
            self.bytes.drain(..from);
        }
    }
}

/// Where the last control stands in `bytes`. Looks at blocks first: text without any is long.
fn last_control(bytes: &[u8]) -> Option<usize> {
    let (rest, blocks) = bytes.as_rchunks::<32>();
    let has = |block: &[u8; 32]| block.iter().fold(0, |least, b| least | u8::from(*b < b' ')) > 0;
    let in_blocks = blocks.iter().rposition(has).map(|n| (rest.len() + n * 32, &blocks[n][..]));
    let (from, block) = in_blocks.unwrap_or((0, rest));
    block.iter().rposition(|b| *b < b' ').map(|at| from + at)
}

/// First bytes of a direction that were not enough to tell the protocol.
#[derive(Debug, Default)]
struct Early {
    offset: u64,
    bytes: Vec<u8>,
    frame: u64,
    time: Time,
}

/// So many first bytes of a direction are enough to tell every protocol we know, but for the hello of SSL 2.0.
const SNIFFED: usize = 24;

impl Talk {
    pub fn app(&self) -> App {
        match &self.state {
            State::Known(d) => d.app(),
            State::New => App::Empty,
            State::Sniffing(_) | State::Opaque(_) => App::Unknown,
        }
    }

    /// Whether nobody knows the protocol. The bytes are searched all the same.
    pub fn is_opaque(&self) -> bool {
        matches!(self.state, State::Opaque(_))
    }

    pub fn chunk(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Want {
        self.layer = chunk.layer;
        match &mut self.state {
            State::Known(dissector) => dissector.chunk(chunk, cx),
            State::Opaque(_) => self.opaque(chunk, chunk.unit, chunk.bytes, cx),
            State::New | State::Sniffing(_) => self.sniff(chunk, cx),
        }
    }

    /// Bytes in a conversation nobody knows: they are searched, up to where something begins that we know.
    fn opaque(&mut self, chunk: &Chunk<'_>, unit: Unit, bytes: &[u8], cx: &mut Cx<'_>) -> Want {
        let State::Opaque(it) = &mut self.state else { return Want::All };
        let dir = chunk.dir;
        let Unit::Stream { offset } = unit else {
            // What we know may come after what we do not.
            let is_dns = || matches!(dns::looks_like(&cx.known.ends, chunk, bytes), sniff::Guess::Is(_));
            let known = || quic::is_certain(bytes) || tls::dtls::is_dtls(bytes) || is_dns();
            if unit == Unit::Datagram && known() {
                self.leave(chunk.layer, cx);
                self.state = State::New;
                return self.sniff(chunk, cx);
            }
            it.seen += bytes.len() as u64;
            if !is_neighbourly(&cx.known.ends, bytes) {
                search_opaque(&mut it.trails, dir, unit, chunk, bytes, cx);
            }
            return Want::All;
        };
        let tail = &mut it.tails[dir.index()];
        let old = tail.join(offset, bytes);
        let all = if old == 0 { bytes } else { &tail.bytes };
        let Some((at, start)) = sniff::find(all, old, chunk.layer) else {
            tail.keep(bytes, old);
            it.seen += bytes.len() as u64;
            search_opaque(&mut it.trails, dir, unit, chunk, bytes, cx);
            it.read_logins(dir, offset, chunk, bytes, cx);
            return Want::All;
        };
        let whole = all.get(at..).unwrap_or_default().to_vec();
        let before = bytes.get(..at.saturating_sub(old)).unwrap_or_default();
        it.seen = (it.seen + before.len() as u64).saturating_sub(old.saturating_sub(at) as u64);
        search_opaque(&mut it.trails, dir, unit, chunk, before, cx);
        it.read_logins(dir, offset, chunk, before, cx);
        if chunk.layer == Layer::Wire {
            cx.known.unknown += at as i64 - old as i64;
        }
        let from = (offset + bytes.len() as u64).saturating_sub(whole.len() as u64);
        self.leave(chunk.layer, cx);
        let mut late: Box<dyn Dissector> = match start {
            sniff::Start::Hello => Box::new(tls::Tls::inside_another()),
            sniff::Start::Tls => Box::new(tls::Tls::default()),
            sniff::Start::Http => Box::new(http::Http::new(chunk.layer)),
            sniff::Start::Http2 => Box::new(http::prior::Prior::default()),
        };
        let want = late.chunk(&Chunk { unit: Unit::Stream { offset: from }, bytes: &whole, ..*chunk }, cx);
        self.state = State::Known(late);
        want
    }

    /// The conversation nobody knew is over: another one begins in it.
    fn leave(&mut self, layer: Layer, cx: &mut Cx<'_>) {
        self.give_up(cx, layer);
        // Whoever holds a conversation inside another counts for it.
        if let State::Opaque(it) = &self.state
            && layer == Layer::Wire
            && cx.known.nested == 0
        {
            cx.unparsed(it.seen as usize);
        }
    }

    /// Ends the search of bytes nobody knew.
    fn give_up(&mut self, cx: &mut Cx<'_>, layer: Layer) {
        if let State::Opaque(it) = &mut self.state {
            for dir in Dir::BOTH {
                cx.search_end(&mut it.trails[dir.index()], OPAQUE, dir, layer);
            }
        }
    }

    fn sniff(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Want {
        let mut joined = Vec::new();
        let (unit, bytes) = match (&self.state, chunk.unit) {
            (State::Sniffing(early), Unit::Stream { .. }) if !early[chunk.dir.index()].bytes.is_empty() => {
                let mine = &early[chunk.dir.index()];
                joined.extend_from_slice(&mine.bytes);
                joined.extend_from_slice(chunk.bytes);
                (Unit::Stream { offset: mine.offset }, &joined[..])
            }
            (_, unit) => (unit, chunk.bytes),
        };
        match sniff::sniff(&cx.known.ends, chunk, bytes) {
            sniff::Guess::Is(mut dissector) => {
                let other = match std::mem::take(&mut self.state) {
                    State::Sniffing(mut early) => std::mem::take(&mut early[chunk.dir.other().index()]),
                    _ => Early::default(),
                };
                // What the other direction said while nobody knew the protocol came first.
                if !other.bytes.is_empty() {
                    let unit = Unit::Stream { offset: other.offset };
                    dissector.chunk(
                        &Chunk { dir: chunk.dir.other(), unit, bytes: &other.bytes, time: other.time, frame: other.frame, ..*chunk },
                        cx,
                    );
                }
                let want = dissector.chunk(&Chunk { unit, bytes, ..*chunk }, cx);
                self.state = State::Known(dissector);
                want
            }
            sniff::Guess::More if (bytes.len() < SNIFFED || tls::waits(bytes)) && matches!(unit, Unit::Stream { .. }) => {
                let Unit::Stream { offset } = unit else { return Want::All };
                let kept = Early { offset, bytes: bytes.to_vec(), frame: chunk.frame, time: chunk.time };
                if !matches!(self.state, State::Sniffing(_)) {
                    self.state = State::Sniffing(Box::default());
                }
                if let State::Sniffing(early) = &mut self.state {
                    early[chunk.dir.index()] = kept;
                }
                Want::All
            }
            _ => {
                if let State::Sniffing(early) = &mut self.state {
                    // Of this direction they are in front of `bytes` by now.
                    early[chunk.dir.index()] = Early::default();
                }
                if chunk.layer == Layer::Wire {
                    cx.known.unknown += bytes.len() as i64 - chunk.bytes.len() as i64;
                }
                self.settle(cx);
                self.opaque(chunk, unit, bytes, cx)
            }
        }
    }

    pub fn gap(&mut self, gap: &Gap, cx: &mut Cx<'_>) -> Want {
        match &mut self.state {
            State::Known(dissector) => dissector.gap(gap, cx),
            State::Sniffing(_) => {
                self.settle(cx);
                Want::All
            }
            State::New | State::Opaque(_) => Want::All,
        }
    }

    pub fn close(&mut self, end: FlowEnd, counts: &Counts, cx: &mut Cx<'_>) {
        if let State::Known(dissector) = &mut self.state {
            dissector.close(end, counts, cx);
        }
        self.settle(cx);
        self.give_up(cx, self.layer);
    }

    /// First bytes that told no protocol are nobody's.
    fn settle(&mut self, cx: &mut Cx<'_>) {
        let early = match std::mem::take(&mut self.state) {
            State::New => Box::default(),
            State::Sniffing(early) => early,
            other => {
                self.state = other;
                return;
            }
        };
        let mut it = Box::<Opaque>::default();
        for dir in Dir::BOTH {
            let Early { offset, bytes, frame, time } = &early[dir.index()];
            if bytes.is_empty() {
                continue;
            }
            it.seen += bytes.len() as u64;
            it.tails[dir.index()].join(*offset, bytes);
            it.tails[dir.index()].keep(bytes, 0);
            if self.layer == Layer::Wire {
                cx.known.unknown += bytes.len() as i64;
            }
            let mut cx = cx.then(*time, *frame);
            cx.search_stream(&mut it.trails[dir.index()], OPAQUE, dir, self.layer, *offset, bytes);
            let unit = Unit::Stream { offset: *offset };
            let chunk = Chunk { flow: cx.flow, dir, unit, layer: self.layer, time: *time, frame: *frame, bytes };
            it.read_logins(dir, *offset, &chunk, bytes, &mut cx);
        }
        self.state = State::Opaque(it);
    }
}

/// Whether a datagram is one in which every host must name its link address, and says nothing else: router and neighbour discovery
/// (RFC 4861 §4).
fn is_neighbourly(ends: &Ends, bytes: &[u8]) -> bool {
    ends.transport == crate::flow::Transport::Icmp && ends.a.is_ipv6() && matches!(bytes, [133..=136, 0, ..])
}

/// The place of finds in a stream nobody knows.
const OPAQUE: search::Place<'static> = search::Place::Of("tcp.stream");

fn search_opaque(trails: &mut [search::Trail; 2], dir: Dir, unit: Unit, chunk: &Chunk<'_>, bytes: &[u8], cx: &mut Cx<'_>) {
    if let Unit::Stream { offset } = unit {
        cx.search_stream(&mut trails[dir.index()], OPAQUE, dir, chunk.layer, offset, bytes);
        return;
    }
    let origin = marks::Origin { offset: 0, len: bytes.len() as u64, frame: chunk.frame, time: chunk.time };
    let place = search::Place::Of(if unit == Unit::Datagram { "udp.datagram" } else { "frame" });
    cx.search_datagram(&search::Spot { place, dir, layer: chunk.layer, from: search::From::Decoded(origin), chain: &[] }, bytes);
}

#[cfg(test)]
mod tests;
