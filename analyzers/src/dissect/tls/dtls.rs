//! DTLS: its hellos, which are in the clear up to version 1.2; nothing of it is opened.

use policies::Time;

use crate::chunk::{Chunk, Gap, Layer, Want};
use crate::dissect::marks::Origin;
use crate::dissect::search::{From, Place, Spot};
use crate::dissect::sniff::is_plain;
use crate::dissect::tls::cursor::Cursor;
use crate::dissect::tls::hello::{self, Carrier};
use crate::dissect::tls::reaction::refuses;
use crate::dissect::tls::server::ServerHello;
use crate::dissect::tls::side::{ALERT, APPLICATION, CHANGE_CIPHER_SPEC, HANDSHAKE, HEARTBEAT};
use crate::dissect::tls::suites;
use crate::dissect::{Cx, Dissector, Hint, Rest, search_opaque};
use crate::flow::{Counts, Dir, FlowEnd};
use crate::observation::{App, NameSource, NotOpened, NotParsed, OddKind, Served, Undecrypted};

/// The DTLS associations of a pair of ports, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Dtls {
    client: Option<Dir>,
    /// The messages being joined of each direction.
    parts: [Vec<Parts>; 2],
    /// The last ones that became whole, by number: their fragments may come again.
    whole: [Vec<(u16, Vec<u8>)>; 2],
    /// The random of the hello at hand: it comes again with a cookie, or for want of an answer.
    offered: Option<[u8; 32]>,
    /// What the server chose, and where, until the client goes on with it.
    served: Option<(Time, u64, Served)>,
    answered: bool,
    /// Records were sealed under keys.
    keyed: bool,
    /// So they were in an association whose choice was not seen.
    choice_unseen: bool,
    /// The client broke off in the clear.
    refused: bool,
    /// The client's half of the handshake in the clear is over: what follows may be media beside it (RFC 5764 §5.1.2).
    sealed: bool,
    /// The suite leaves what it protects readable.
    bare: bool,
    /// Bytes of other protocols on the same ports.
    others: u64,
}

/// A message of which fragments came, in any order and perhaps again.
#[derive(Debug)]
struct Parts {
    number: u16,
    bytes: Vec<u8>,
    /// What of `bytes` is there: from, to.
    have: Vec<(usize, usize)>,
}

/// Messages that are joined at once in one direction, and fragments of one: senders have a flight on its way.
const MOST_PARTS: usize = 8;
const MOST_FRAGMENTS: usize = 256;

impl Parts {
    /// Puts a fragment in its place. Whether the message is whole.
    fn put(&mut self, offset: usize, piece: &[u8]) -> bool {
        let Some(place) = self.bytes.get_mut(offset..offset + piece.len()) else { return false };
        if self.have.len() < MOST_FRAGMENTS {
            place.copy_from_slice(piece);
            self.have.push((offset, offset + piece.len()));
        }
        self.have.sort_unstable();
        let reached = self.have.iter().fold(0, |to, (from, until)| if *from <= to { to.max(*until) } else { to });
        reached == self.bytes.len()
    }
}

/// Where a message stands: offsets of DTLS are of no stream, so they count in the message.
fn spot<'p>(dir: Dir, place: Place<'p>, body: &[u8], cx: &Cx<'_>) -> Spot<'p> {
    let origin = Origin { offset: 0, len: body.len() as u64, frame: cx.frame, time: cx.at };
    Spot { place, dir, layer: Layer::Wire, from: From::Decoded(origin), chain: &[] }
}

/// A message is joined up to here.
const LONGEST: usize = 64 << 10;

/// DTLS 1.0 or 1.2 (RFC 6347 §4.1), a whole record at least, of the first epoch if it is a handshake's.
pub(crate) fn is_dtls(bytes: &[u8]) -> bool {
    let Some((kind, epoch, body)) = record(&mut Cursor::new(bytes)) else { return false };
    match kind {
        HANDSHAKE => epoch > 0 || body.len() >= 12 && matches!(body[0], 1..=4 | 11..=16 | 20),
        ALERT => epoch > 0 || body.len() == 2,
        CHANGE_CIPHER_SPEC => body == [1],
        APPLICATION => epoch > 0,
        _ => false,
    }
}

/// A record: type, epoch, body.
fn record<'a>(it: &mut Cursor<'a>) -> Option<(u8, u16, &'a [u8])> {
    let kind = it.u8()?;
    if !matches!(it.u16()?, 0xfeff | 0xfefd | 0x0100) {
        return None;
    }
    let epoch = it.u16()?;
    it.take(6)?;
    Some((kind, epoch, it.vec16()?))
}

impl Dissector for Dtls {
    fn app(&self) -> App {
        App::Tls
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Want {
        cx.rest(Rest::Encrypted);
        let mut it = Cursor::new(chunk.bytes);
        while !it.is_empty() {
            let rest = it.rest();
            let Some((kind, epoch, body)) = record(&mut it) else {
                self.no_record(rest, chunk, cx);
                break;
            };
            let from_client = self.client == Some(chunk.dir);
            if epoch > 0 {
                self.keyed = true;
                if from_client {
                    self.seal(cx);
                }
                if self.bare {
                    search_opaque(&mut <_>::default(), chunk.dir, chunk.unit, chunk, body, cx);
                }
                continue;
            }
            let whole = rest.len() - it.rest().len();
            match kind {
                APPLICATION | HEARTBEAT => {
                    // Before any key there is nothing to seal it with.
                    search_opaque(&mut <_>::default(), chunk.dir, chunk.unit, chunk, body, cx);
                    self.stray(whole, cx);
                    continue;
                }
                HANDSHAKE if self.fragments(chunk.dir, body, cx).is_none() => {
                    cx.odd(OddKind::BrokenTls, "a DTLS fragment that does not fit", None);
                }
                CHANGE_CIPHER_SPEC if from_client => self.serve(false, cx),
                ALERT if from_client => self.refused |= matches!(*body, [level, code] if refuses(level, code)),
                _ => {}
            }
            cx.analysed(whole);
        }
        // A hello may come again at any time: one association may follow another.
        Want::All
    }

    fn gap(&mut self, _: &Gap, _: &mut Cx<'_>) -> Want {
        Want::All
    }

    fn close(&mut self, _: FlowEnd, _: &Counts, cx: &mut Cx<'_>) {
        self.serve(self.refused, cx);
        let unfinished: usize = self.parts.iter().flatten().map(|p| p.bytes.len()).sum();
        if unfinished > 0 {
            cx.not_parsed(App::Tls, NotParsed::Broken, unfinished as u64);
        }
        if self.others > 0 {
            cx.not_parsed(App::Unknown, NotParsed::NotBuilt, self.others);
        }
        let read = cx.known.coverage.analysed + cx.known.coverage.unparsed;
        let left = cx.known.delivered.saturating_sub(read);
        if left > 0 {
            let why = if self.offered.is_some() { NotOpened::Unsupported } else { NotOpened::NoHandshake };
            cx.see(Undecrypted { protocol: App::Tls, reason: why, bytes: left, choice_unseen: self.is_choice_unseen() });
        }
    }
}

impl Dtls {
    fn is_choice_unseen(&self) -> bool {
        self.choice_unseen || self.keyed && !self.answered
    }

    /// The client has keys: it goes on with what the server chose.
    fn seal(&mut self, cx: &mut Cx<'_>) {
        self.sealed = true;
        self.serve(false, cx);
    }

    /// Bytes of something else on the same ports.
    fn stray(&mut self, bytes: usize, cx: &mut Cx<'_>) {
        cx.unparsed(bytes);
        self.others += bytes as u64;
    }

    /// No record of DTLS 1.0 or 1.2 begins here.
    fn no_record(&mut self, rest: &[u8], chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        let first = rest.first().copied().unwrap_or_default();
        let is_whole = rest.len() == chunk.bytes.len();
        search_opaque(&mut <_>::default(), chunk.dir, chunk.unit, chunk, rest, cx);
        // The header of sealed records of DTLS 1.3 (RFC 9147 §4), which digits and some signs look like; behind a ServerHello in the same datagram too.
        if (is_whole || self.answered) && (32..=63).contains(&first) && self.offered.is_some() && !is_plain(rest) {
            if self.client == Some(chunk.dir) {
                self.seal(cx);
            }
            return;
        }
        // RFC 7983: other protocols share the ports, and the first byte tells them apart. Media whose keys were agreed on here are sealed
        // (RFC 5764 §5.1.2).
        if is_whole && self.sealed && (128..=191).contains(&first) {
            return;
        }
        if !is_whole || (20..=31).contains(&first) {
            cx.odd(OddKind::BrokenTls, "no DTLS record where one should begin", None);
        }
        self.stray(rest.len(), cx);
    }

    fn fragments(&mut self, dir: Dir, body: &[u8], cx: &mut Cx<'_>) -> Option<()> {
        let mut it = Cursor::new(body);
        while !it.is_empty() {
            let (kind, len, number) = (it.u8()?, it.u24()?, it.u16()?);
            let offset = it.u24()?;
            let piece = it.vec24()?;
            if offset == 0 && piece.len() == len {
                self.message(dir, kind, piece, cx);
                continue;
            }
            if len > LONGEST || offset + piece.len() > len {
                return None;
            }
            let joined = &mut self.parts[dir.index()];
            let is_open = joined.iter().any(|p| p.number == number);
            let repeats =
                |(n, bytes): &(u16, Vec<u8>)| *n == number && bytes.len() == len && bytes.get(offset..offset + piece.len()) == Some(piece);
            if !is_open && self.whole[dir.index()].iter().any(repeats) {
                continue;
            }
            let at = joined.iter().position(|p| p.number == number && p.bytes.len() == len).unwrap_or_else(|| {
                if joined.len() >= MOST_PARTS {
                    joined.remove(0);
                }
                joined.push(Parts { number, bytes: vec![0; len], have: Vec::new() });
                joined.len() - 1
            });
            if joined[at].put(offset, piece) {
                let whole = joined.remove(at).bytes;
                self.message(dir, kind, &whole, cx);
                // Behind it, for a hello begins everything anew.
                let done = &mut self.whole[dir.index()];
                if done.len() >= MOST_PARTS {
                    done.remove(0);
                }
                done.push((number, whole));
            }
        }
        Some(())
    }

    /// Says what the server chose, once.
    fn serve(&mut self, refused: bool, cx: &mut Cx<'_>) {
        if let Some((at, frame, served)) = self.served.take() {
            cx.see_at(at, frame, Served { refused, ..served });
        }
    }

    fn message(&mut self, dir: Dir, kind: u8, body: &[u8], cx: &mut Cx<'_>) {
        match kind {
            1 if self.client != Some(dir.other()) => match hello::parse_body(body, true) {
                Ok(hello) => {
                    // After the handshake it is no repetition, whatever it says.
                    if self.offered == Some(hello.random) && !self.sealed {
                        return;
                    }
                    self.serve(self.refused, cx);
                    let choice_unseen = self.is_choice_unseen();
                    *self = Dtls { client: Some(dir), offered: Some(hello.random), others: self.others, choice_unseen, ..Dtls::default() };
                    let mut seen = hello.seen(Carrier::Dtls, dir, false, None, &*cx.tools.veil);
                    let name = seen.sni.clone().map(|name| (name, NameSource::Sni));
                    cx.hint(Hint {
                        client: Some(dir),
                        name,
                        class: Some(seen.class),
                        hidden: seen.ech && seen.sni.is_some(),
                        ..Hint::default()
                    });
                    seen.by_peer = cx.is_peers(dir);
                    cx.see(seen);
                    cx.search_planted(&spot(dir, Place::Of("tls.hello"), body, cx), body, |at| hello.place(body, at));
                }
                Err(error) => cx.odd(OddKind::BrokenTls, error.to_string(), None),
            },
            // In the clear up to version 1.2, as what names a pre-shared key.
            11 if cx.known.side.or(self.client) == Some(dir) => {
                let place = Place::Of("tls.certificate");
                cx.search_planted(&spot(dir, place, body, cx), body, |_| place);
            }
            16 if self.client == Some(dir) => {
                self.serve(false, cx);
                let place = Place::Of("tls.client-key-exchange");
                cx.search_planted(&spot(dir, place, body, cx), body, |_| place);
            }
            2 if !self.answered && self.client != Some(dir) => match ServerHello::parse(body) {
                Ok(hello) => {
                    self.answered = true;
                    self.bare = suites::is_bare(hello.suite);
                    let served = Served {
                        version: hello.version,
                        suite: hello.suite,
                        key_exchange: hello.key_exchange(),
                        group: hello.group,
                        alpn: hello.alpn.map(|name| cx.text(name)),
                        retry: false,
                        resumed: false,
                        chain: Vec::new(),
                        // The certificates that follow are not read.
                        chain_hidden: true,
                        without_hello: self.offered.is_none(),
                        refused: false,
                        unsettled: false,
                    };
                    self.served = Some((cx.at, cx.frame, served));
                }
                Err(part) => cx.odd(OddKind::BrokenTls, format!("ServerHello ends inside its {part}"), None),
            },
            // Whatever else a client says in the clear, but for signatures and Finished.
            0..=14 | 17..=19 | 21..=23 | 25.. if self.client == Some(dir) => {
                let place = Place::Of("tls.handshake");
                cx.search_planted(&spot(dir, place, body, cx), body, |_| place);
            }
            _ => {}
        }
    }
}
