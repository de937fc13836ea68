//! QUIC: the hello inside its Initial packets, which anybody can open; everything later stays sealed and is counted.

mod crypto;
mod initial;
mod packet;

use policies::Time;

use crate::chunk::{Chunk, Gap, Layer, Unit, Want};
use crate::dissect::marks::Origin;
use crate::dissect::search::{From, Place, Spot};
use crate::dissect::sniff::Guess;
use crate::dissect::tls::cursor::Cursor;
use crate::dissect::tls::hello::{self, Carrier, extension};
use crate::dissect::tls::server::ServerHello;
use crate::dissect::{Cx, Dissector, Hint, Rest, search_opaque};
use crate::flow::{Close, Counts, Dir, Ends, FlowEnd};
use crate::observation::{App, NameSource, NotOpened, NotParsed, OddKind, Reaction, ReactionKind, Served};

use crypto::Crypto;
use initial::Initial;
#[cfg(test)]
pub(crate) use initial::seal;
use packet::{Kind, Long, NEGOTIATION, Span};

/// One QUIC connection, as far as its first flight.
#[derive(Debug, Default)]
pub struct Quic {
    client: Option<Dir>,
    version: u32,
    keys: Option<Box<Keys>>,
    /// Datagrams with Initial packets that came before the client's, whose keys open them.
    early: Vec<Early>,
    /// The random of the last hello: another one's is another connection's.
    random: Option<[u8; 32]>,
    streams: [Crypto; 2],
    plain: Vec<u8>,
    datagrams: u32,
    derived: u32,
    offered: bool,
    served: bool,
    retry: bool,
    /// A packet of a version whose first flight we cannot open.
    unsupported: bool,
    /// A header that only QUIC has was seen. Until then the port alone says what this is, and all bytes are searched.
    certain: bool,
    /// Bytes of datagrams that are not QUIC's.
    clear: u64,
    /// TLS alerts in CONNECTION_CLOSE, from the client and from the server.
    alerts: [Option<u8>; 2],
    done: bool,
}

/// The Initial keys of a connection.
#[derive(Debug)]
struct Keys {
    /// The version they are of, and the connection id they follow from.
    version: u32,
    id: Box<[u8]>,
    first: Initial,
    /// Of the version that was changed to.
    second: Option<(u32, Initial)>,
    changes: u8,
}

impl Keys {
    fn open(
        &mut self,
        number: u32,
        version: &packet::Version,
        from_server: bool,
        bytes: &[u8],
        span: Span,
        plain: &mut Vec<u8>,
    ) -> Option<()> {
        let half = |keys: &mut Initial, plain: &mut Vec<u8>| {
            if from_server { keys.server.open(bytes, span, plain) } else { keys.client.open(bytes, span, plain) }
        };
        if number == self.version {
            return half(&mut self.first, plain);
        }
        if let Some((_, keys)) = self.second.as_mut().filter(|(n, _)| *n == number) {
            return half(keys, plain);
        }
        // RFC 9369 §4.1: after a change of the version inside the handshake (RFC 9368 §2.3) keys still follow from the client's first id.
        self.changes = self.changes.checked_add(1).filter(|n| *n <= CHANGES)?;
        let mut keys = Initial::derive(version, &self.id)?;
        half(&mut keys, plain)?;
        self.second = Some((number, keys));
        Some(())
    }
}

/// A version changes once; so many tries allow for damaged packets.
const CHANGES: u8 = 8;

#[derive(Debug)]
struct Early {
    dir: Dir,
    time: Time,
    frame: u64,
    bytes: Vec<u8>,
}

/// A server's first flight is two or three datagrams.
const EARLY: usize = 4;

/// So many datagrams may pass until the handshake's first flight is whole: retransmissions, probes, a Retry.
const PATIENCE: u32 = 64;

/// Keys are derived anew (after a Retry, for a new version) at most so often until a hello of another connection comes.
const DERIVED: u32 = 16;

/// Whether a datagram is QUIC's.
pub fn looks_like(ends: &Ends, chunk: &Chunk<'_>, bytes: &[u8]) -> Guess {
    if chunk.unit == Unit::Datagram && is_quic(ends, chunk, bytes) { Guess::Is(Box::new(Quic::default())) } else { Guess::No }
}

fn is_quic(ends: &Ends, chunk: &Chunk<'_>, bytes: &[u8]) -> bool {
    if is_certain(bytes) {
        return true;
    }
    // Picked up later: a short header, and nothing but the port and what sealed bytes look like to tell.
    let at_443 = ends.a.port() == 443 || ends.b.port() == 443;
    at_443 && is_short(bytes) && !matches!(super::dns::looks_like(ends, chunk, bytes), Guess::Is(_))
}

/// Whether a datagram has a header that only QUIC has.
pub fn is_certain(bytes: &[u8]) -> bool {
    let Some(first) = bytes.first() else { return false };
    if let Some(long) = Long::read(bytes) {
        if long.version == NEGOTIATION {
            return !long.rest.is_empty()
                && long.rest.chunks(4).all(|v| v.try_into().is_ok_and(|v| packet::is_known(u32::from_be_bytes(v))));
        }
        return packet::is_known(long.version) && (first & 0x40 != 0 || packet::is_google(long.version.to_be_bytes()));
    }
    // Google's QUIC up to Q043: flags with version and an eight-byte connection id, then the version.
    let google = bytes.get(9..13).and_then(|v| <[u8; 4]>::try_from(v).ok());
    first & 0xc9 == 0x09 && google.is_some_and(packet::is_google)
}

/// Whether a datagram may be a packet with a short header: what follows the first byte looks sealed, which text does not.
fn is_short(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & 0xc0 == 0x40) && bytes.len() >= SHORTEST && !is_text(bytes) && !repeats(bytes)
}

/// Whether one value stands more often than sealed bytes have any: numbers with leading zeros, padding, lengths. Of 22 sealed bytes five are the
/// same once in a hundred thousand times, of 256 twenty never.
fn repeats(bytes: &[u8]) -> bool {
    let some = &bytes[..bytes.len().min(LOOKED_AT)];
    let mut counts = [0u16; 256];
    for b in some {
        counts[usize::from(*b)] += 1;
    }
    counts.iter().any(|n| usize::from(*n) >= 4 + some.len() / 16)
}

fn is_text(bytes: &[u8]) -> bool {
    let some = &bytes[..bytes.len().min(LOOKED_AT)];
    let printable = some.iter().filter(|b| matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n')).count();
    printable * 4 >= some.len() * 3
}

/// Of sealed bytes 98 in 256 are printable: that three quarters are has a chance of one in ten thousand for the shortest packet, and none
/// worth naming for this many bytes.
const LOOKED_AT: usize = 256;

/// RFC 9000 §10.3: a short-header packet that could be answered with a stateless reset.
const SHORTEST: usize = 22;

impl Dissector for Quic {
    fn app(&self) -> App {
        App::Quic
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Want {
        cx.rest(Rest::Encrypted);
        self.certain |= is_certain(chunk.bytes);
        if !self.certain {
            self.search(chunk, cx);
            return Want::All;
        }
        let first = chunk.bytes.first().copied().unwrap_or_default();
        let google = !self.done && memchr::memmem::find(chunk.bytes, b"CHLO").is_some();
        if first & 0x80 == 0 && !is_short(chunk.bytes) || google {
            // No packet of today's; what Google's first versions said in their hello was in the clear.
            if is_text(chunk.bytes) && !google {
                self.search(chunk, cx);
                return Want::All;
            }
            search_opaque(&mut <_>::default(), chunk.dir, chunk.unit, chunk, chunk.bytes, cx);
        }
        // Once all is seen only what may begin another connection is looked at: a long header.
        if !self.done || first & 0x80 != 0 {
            self.datagrams = self.datagrams.saturating_add(1);
            self.datagram(chunk.dir, chunk.bytes, cx);
            self.done =
                self.served && self.offered || self.datagrams >= PATIENCE || self.unsupported && !self.offered && self.datagrams > 2;
        }
        Want::All
    }

    fn gap(&mut self, _: &Gap, _: &mut Cx<'_>) -> Want {
        Want::All
    }

    fn close(&mut self, _: FlowEnd, _: &Counts, cx: &mut Cx<'_>) {
        if let Some(client) = self.client
            && let Some(alert) = self.alerts[client.index()]
        {
            cx.see(Reaction {
                reaction: ReactionKind::Refused,
                alert: Some(alert),
                alert_encrypted: false,
                server_alert: self.alerts[client.other().index()],
                close: Close::None,
                finished: false,
                client_bytes: 0,
                preamble: false,
                decrypted: true,
                client_chain: Vec::new(),
            });
        }
        if !self.offered && self.streams.iter().any(Crypto::waits) {
            cx.odd(OddKind::BrokenQuic, "a hello that never became whole", None);
        }
        if self.clear > 0 {
            cx.not_parsed(App::Unknown, NotParsed::Unknown, self.clear);
        }
        let read = cx.known.coverage.analysed + cx.known.coverage.unparsed;
        let left = cx.known.delivered.saturating_sub(read);
        if left > 0 {
            let reason = match (self.offered || self.served, self.unsupported) {
                (true, _) => NotOpened::NoKey,
                (false, true) => NotOpened::Unsupported,
                (false, false) => NotOpened::NoHandshake,
            };
            cx.undecrypted(App::Quic, reason, left);
        }
    }
}

impl Quic {
    /// A datagram that nothing but the port says to be QUIC's is searched as one that nobody knows.
    fn search(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        let len = chunk.bytes.len();
        if !is_short(chunk.bytes) {
            cx.unparsed(len);
            self.clear += len as u64;
        }
        let origin = Origin { offset: 0, len: len as u64, frame: chunk.frame, time: chunk.time };
        let place = Place::Of("udp.datagram");
        cx.search_datagram(&Spot { place, dir: chunk.dir, layer: chunk.layer, from: From::Decoded(origin), chain: &[] }, chunk.bytes);
    }

    /// The packets of a datagram, one behind the other.
    fn datagram(&mut self, dir: Dir, bytes: &[u8], cx: &mut Cx<'_>) {
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            // A short header's packet reaches to the end, and is sealed.
            let Some(long) = Long::read(rest) else {
                self.unsupported |= first & 0xc9 == 0x09 && self.version == 0;
                return;
            };
            if long.version == NEGOTIATION {
                cx.analysed(rest.len());
                return;
            }
            let Some(version) = packet::candidates(long.version).next() else {
                self.unsupported = true;
                return;
            };
            let kind = Long::kind(&version, *first);
            if kind == Kind::Retry {
                // RFC 9001 §5.2: the client's next Initial has another connection id, and other keys follow from it; see `open`. A second
                // Retry changes nothing.
                cx.analysed(rest.len());
                return;
            }
            let Some(span) = Span::of(rest, &long, kind) else {
                cx.odd(OddKind::BrokenQuic, "a packet longer than its datagram", None);
                return;
            };
            if kind == Kind::Initial {
                let mut plain = std::mem::take(&mut self.plain);
                if packet::candidates(long.version).any(|version| self.open(dir, &version, &long, &rest[..span.end], span, &mut plain)) {
                    self.version = long.version;
                    cx.analysed(span.end);
                    if self.frames(dir, &plain, cx).is_none() {
                        cx.odd(OddKind::BrokenQuic, "an Initial packet with broken frames", None);
                    }
                    self.messages(dir, cx);
                } else if self.keys.is_none() && self.early.len() < EARLY {
                    let bytes = rest[..span.end].to_vec();
                    self.early.push(Early { dir, time: cx.at, frame: cx.frame, bytes });
                }
                self.plain = plain;
                self.replay(cx);
            }
            rest = &rest[span.end..];
        }
    }

    /// Reads what came before the keys that open it.
    fn replay(&mut self, cx: &mut Cx<'_>) {
        if self.keys.is_none() {
            return;
        }
        for Early { dir, time, frame, bytes } in std::mem::take(&mut self.early) {
            if self.client == Some(dir.other()) {
                self.datagram(
                    dir,
                    &bytes,
                    &mut Cx { at: time, frame, flow: cx.flow, known: cx.known, tools: cx.tools, late_keys: cx.late_keys, out: cx.out },
                );
            }
        }
    }

    fn open(&mut self, dir: Dir, version: &packet::Version, long: &Long<'_>, bytes: &[u8], span: Span, plain: &mut Vec<u8>) -> bool {
        if let Some(keys) = &mut self.keys {
            let from_server = self.client == Some(dir.other());
            if keys.open(long.version, version, from_server, bytes, span, plain).is_some() {
                return true;
            }
            if from_server {
                return false;
            }
        }
        if self.client == Some(dir.other()) || self.derived >= DERIVED {
            return false;
        }
        self.derived += 1;
        let Some(mut first) = Initial::derive(version, long.destination) else { return false };
        if first.client.open(bytes, span, plain).is_none() {
            return false;
        }
        // A new connection id means a new start, except after a Retry, where the hello comes again as it was.
        self.client = Some(dir);
        self.streams.iter_mut().for_each(Crypto::clear);
        self.keys = Some(Box::new(Keys { version: long.version, id: long.destination.into(), first, second: None, changes: 0 }));
        true
    }

    fn frames(&mut self, dir: Dir, payload: &[u8], cx: &mut Cx<'_>) -> Option<()> {
        let mut it = Cursor::new(payload);
        while !it.is_empty() {
            match it.varint()? {
                // PADDING: most of an Initial; PING.
                0 => {
                    let zeros = it.rest().iter().take_while(|b| **b == 0).count();
                    it.take(zeros)?;
                }
                1 => {}
                kind @ (2 | 3) => {
                    it.varint()?;
                    it.varint()?;
                    let ranges = it.varint()?;
                    it.varint()?;
                    let counts = if kind == 3 { 3 } else { 0 };
                    // Each takes at least a byte, so a lying count ends with the payload.
                    for _ in 0..ranges.checked_mul(2)?.checked_add(counts)? {
                        it.varint()?;
                    }
                }
                // Google's own versions number CRYPTO differently.
                6 | 8 => {
                    let offset = it.varint()?;
                    let len = usize::try_from(it.varint()?).ok()?;
                    if !self.streams[dir.index()].add(offset, it.take(len)?) {
                        cx.odd(OddKind::BrokenQuic, "a handshake further on or more scattered than is kept", None);
                    }
                }
                0x1c => {
                    let code = it.varint()?;
                    it.varint()?;
                    let reason = usize::try_from(it.varint()?).ok()?;
                    it.take(reason)?;
                    // RFC 9001 §4.8: 0x0100 and the TLS alert.
                    if code >> 8 == 1 {
                        self.alerts[dir.index()] = Some(code as u8);
                    }
                }
                _ => return None,
            }
        }
        Some(())
    }

    fn messages(&mut self, dir: Dir, cx: &mut Cx<'_>) {
        let mut stream = std::mem::take(&mut self.streams[dir.index()]);
        while let Some((kind, body)) = stream.next() {
            match kind {
                1 if self.client == Some(dir) => self.hello(dir, body, cx),
                2 if self.client == Some(dir.other()) => self.answer(body, cx),
                _ => {}
            }
        }
        self.streams[dir.index()] = stream;
    }

    fn hello(&mut self, dir: Dir, body: &[u8], cx: &mut Cx<'_>) {
        match hello::parse_body(body, false) {
            // The same hello comes again after a Retry.
            Ok(hello) if self.random == Some(hello.random) && !self.retry => {}
            Ok(hello) => {
                if self.random.replace(hello.random).is_some_and(|last| last != hello.random) {
                    // Another connection between the same ports.
                    (self.served, self.retry, self.derived) = (false, false, 0);
                }
                let mut seen = hello.seen(Carrier::Quic, dir, self.retry, Some(self.version), &*cx.tools.veil);
                cx.hint(Hint {
                    client: Some(dir),
                    name: seen.sni.clone().map(|name| (name, NameSource::QuicSni)),
                    class: Some(seen.class),
                    hidden: hello.has(extension::ECH) && seen.sni.is_some(),
                    ..Hint::default()
                });
                seen.by_peer = cx.is_peers(dir);
                cx.see(seen);
                // Anybody can open an Initial packet.
                let origin = Origin { offset: 0, len: body.len() as u64, frame: cx.frame, time: cx.at };
                let spot = Spot { place: Place::Of("tls.hello"), dir, layer: Layer::Wire, from: From::Decoded(origin), chain: &[] };
                cx.search_planted(&spot, body, |at| hello.place(body, at));
                self.offered = true;
            }
            Err(error) => cx.odd(OddKind::BrokenQuic, error.to_string(), None),
        }
    }

    fn answer(&mut self, body: &[u8], cx: &mut Cx<'_>) {
        match ServerHello::parse(body) {
            Ok(hello) if hello.retry => self.retry = true,
            Ok(_) if self.served => {}
            Ok(hello) => {
                self.served = true;
                cx.see(Served {
                    version: hello.version,
                    suite: hello.suite,
                    key_exchange: hello.key_exchange(),
                    group: hello.group,
                    alpn: None,
                    retry: self.retry,
                    resumed: hello.psk,
                    chain: Vec::new(),
                    chain_hidden: !hello.psk,
                    without_hello: !self.offered,
                    refused: false,
                    unsettled: false,
                });
            }
            Err(part) => cx.odd(OddKind::BrokenQuic, format!("ServerHello ends inside its {part}"), None),
        }
    }
}
