//! A conversation whose protocol is to be found out: sniffed from its first bytes, handed to its dissector, or searched as it is when nobody knows it.

use policies::Time;

use super::{Cx, Dissector, dns, http, login, marks, packs, pieces, quic, rsync, search, sniff, supplicant, tls};
use crate::chunk::{Chunk, Gap, Layer, Unit, Want};
use crate::flow::{Counts, Dir, Ends, FlowEnd, Transport};
use crate::observation::App;

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
    logins: login::Readers,
    rsync: rsync::Rsync,
    packs: packs::Packs,
    pieces: pieces::Pieces,
    midway: [tls::Midway; 2],
    /// Bytes of both directions so far.
    seen: u64,
}

impl Opaque {
    /// Credentials that the words before them tell; and what is packed in a way that no search takes apart.
    fn read_logins(&mut self, dir: Dir, offset: u64, chunk: &Chunk<'_>, bytes: &[u8], cx: &mut Cx<'_>) {
        if chunk.layer != Layer::Wire {
            return;
        }
        let port = cx.known.ends.addr(dir.other()).port();
        let mut tell = |dir: Dir, secret: http::secrets::Secret, line: u64| {
            let (at, len) = (line + secret.at as u64, secret.len as u64);
            let from = search::From::Decoded(marks::Origin { offset: at, len, frame: chunk.frame, time: chunk.time });
            cx.told(
                secret.kind,
                &secret.value,
                &search::Spot { place: OPAQUE, dir, layer: chunk.layer, from, chain: secret.chain },
                0,
                len,
            );
        };
        self.logins.take(dir, offset, bytes, port, &mut tell);
        let packed = self.rsync.take(dir, offset, bytes).max(self.packs.take(dir, offset, bytes));
        if packed > 0 {
            cx.unsearched(dir, chunk.layer, packed as u64);
        }
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
            State::Known(dissector) if is_anothers(dissector.app(), chunk, cx) => {
                // Nothing that carries datagrams asks how its flow ended.
                dissector.close(FlowEnd::Idle, &Counts::default(), cx);
                self.state = State::New;
                self.sniff(chunk, cx)
            }
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
            cx.known.answers |= it.seen == 0 && dir == Dir::Out && is_icmp_error(&cx.known.ends, bytes);
            it.seen += bytes.len() as u64;
            if !is_neighbourly(&cx.known.ends, bytes) {
                search_opaque(&mut it.trails, dir, unit, chunk, bytes, cx);
                if unit == Unit::Datagram {
                    read_supplicant(dir, chunk, bytes, cx);
                    let origin = marks::Origin { offset: 0, len: bytes.len() as u64, frame: chunk.frame, time: chunk.time };
                    it.pieces.take(&pieces::spot(dir, chunk.layer, origin), bytes, cx);
                }
            }
            return Want::All;
        };
        let tail = &mut it.tails[dir.index()];
        // Joined midway: what one direction says first may be a message, though the other's bytes were the rest of one.
        let is_message = |looks_like: sniff::Sniffer| matches!(looks_like(&cx.known.ends, chunk, bytes), sniff::Guess::Is(_));
        if tail.next == 0
            && bytes.len() == chunk.bytes.len()
            && (is_message(dns::looks_like) || !cx.known.ends.from_start && is_message(tls::looks_like))
        {
            self.leave(chunk.layer, cx);
            self.state = State::New;
            return self.sniff(chunk, cx);
        }
        let old = tail.join(offset, bytes);
        let all = if old == 0 { bytes } else { &tail.bytes };
        let joined = || chunk.layer == Layer::Wire && cx.known.is_joined();
        let midway = |it: &mut tls::Midway| it.find(offset - old as u64, all, old).map(|at| (at, sniff::Start::Tls));
        let found = sniff::find(all, old, chunk.layer).or_else(|| joined().then(|| midway(&mut it.midway[dir.index()]))?);
        let Some((at, start)) = found else {
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
            let more = at as i64 - old as i64;
            if cx.known.nested == 0 {
                cx.known.unknown += more;
            } else {
                // Whoever holds this conversation has counted what came before this chunk, and does not count this one.
                cx.known.coverage.unparsed = cx.known.coverage.unparsed.saturating_add_signed(more);
            }
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

    /// Nothing was heard for long: what is kept takes no more room than it must.
    pub fn rest(&mut self, cx: &mut Cx<'_>) {
        match &mut self.state {
            State::Known(dissector) => dissector.rest(cx),
            State::Opaque(it) => {
                for dir in Dir::BOTH {
                    cx.search_pause(&mut it.trails[dir.index()], OPAQUE, dir, self.layer);
                    it.tails[dir.index()].bytes.shrink_to_fit();
                }
                it.pieces.give_up(cx);
            }
            State::New | State::Sniffing(_) => {}
        }
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
            it.pieces.give_up(cx);
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

/// Whether a datagram begins DTLS or QUIC, which no datagram of the protocol does that was told from earlier ones: between two ports one may
/// come after the other, and what is said in a handshake must not be hidden by a question before it.
fn is_anothers(app: App, chunk: &Chunk<'_>, cx: &Cx<'_>) -> bool {
    let is_dns = || matches!(dns::looks_like(&cx.known.ends, chunk, chunk.bytes), sniff::Guess::Is(_));
    chunk.unit == Unit::Datagram
        && match app {
            App::Tls => false,
            App::Quic => tls::dtls::is_dtls(chunk.bytes),
            App::Dns | App::Mdns => (quic::is_certain(chunk.bytes) || tls::dtls::is_dtls(chunk.bytes)) && !is_dns(),
            _ => quic::is_certain(chunk.bytes) || tls::dtls::is_dtls(chunk.bytes),
        }
}

/// Whether a datagram is one in which every host must name its link address, and says nothing else: router and neighbour discovery
/// (RFC 4861 §4).
fn is_neighbourly(ends: &Ends, bytes: &[u8]) -> bool {
    ends.transport == Transport::Icmp && ends.a.is_ipv6() && matches!(bytes, [133..=136, 0, ..])
}

/// Whether an ICMP message is an error, about a packet that came (RFC 792; RFC 4443 §2.1).
fn is_icmp_error(ends: &Ends, bytes: &[u8]) -> bool {
    let kind = bytes.first().copied().filter(|_| ends.transport == Transport::Icmp);
    kind.is_some_and(|kind| if ends.a.is_ipv6() { (1..=4).contains(&kind) } else { matches!(kind, 3 | 4 | 11 | 12) })
}

/// The place of finds in what is said on the link itself.
const LINK: &str = "link.login";

/// Credentials of who wants to be let in to the link.
fn read_supplicant(dir: Dir, chunk: &Chunk<'_>, bytes: &[u8], cx: &mut Cx<'_>) {
    for secret in supplicant::read(cx.ends().transport, bytes) {
        let from =
            search::From::Decoded(marks::Origin { offset: secret.at as u64, len: secret.len as u64, frame: chunk.frame, time: chunk.time });
        let spot = search::Spot { place: search::Place::Of(LINK), dir, layer: chunk.layer, from, chain: secret.chain };
        cx.told(secret.kind, &secret.value, &spot, 0, secret.len as u64);
    }
}

/// The place of finds in a stream nobody knows.
const OPAQUE: search::Place<'static> = search::Place::Of("tcp.stream");

pub(crate) fn search_opaque(trails: &mut [search::Trail; 2], dir: Dir, unit: Unit, chunk: &Chunk<'_>, bytes: &[u8], cx: &mut Cx<'_>) {
    if let Unit::Stream { offset } = unit {
        cx.search_stream(&mut trails[dir.index()], OPAQUE, dir, chunk.layer, offset, bytes);
        return;
    }
    let origin = marks::Origin { offset: 0, len: bytes.len() as u64, frame: chunk.frame, time: chunk.time };
    let place = search::Place::Of(match (unit, cx.ends().transport) {
        (Unit::Datagram, Transport::Icmp) => "icmp.message",
        (Unit::Datagram, Transport::Sctp) => "sctp.chunk",
        (Unit::Datagram, transport) if transport.is_link() => LINK,
        (Unit::Datagram, Transport::Other(_)) => "ip.payload",
        (Unit::Datagram, _) => "udp.datagram",
        _ => "frame",
    });
    cx.search_datagram(&search::Spot { place, dir, layer: chunk.layer, from: search::From::Decoded(origin), chain: &[] }, bytes);
}
