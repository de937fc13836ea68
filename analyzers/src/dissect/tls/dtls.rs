//! DTLS: its hellos, which are in the clear up to version 1.2; nothing of it is opened.

use policies::Time;

use crate::chunk::{Chunk, Gap, Layer, Want};
use crate::dissect::marks::Origin;
use crate::dissect::search::{From, Place, Spot};
use crate::dissect::tls::cursor::Cursor;
use crate::dissect::tls::hello::{self, Carrier};
use crate::dissect::tls::reaction::refuses;
use crate::dissect::tls::server::ServerHello;
use crate::dissect::tls::side::{ALERT, APPLICATION, CHANGE_CIPHER_SPEC, HANDSHAKE};
use crate::dissect::{Cx, Dissector, Hint, Rest};
use crate::flow::{Counts, Dir, FlowEnd};
use crate::observation::{App, NameSource, NotOpened, OddKind, Served};

/// The DTLS associations of a pair of ports, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Dtls {
    client: Option<Dir>,
    /// The message being joined of each direction: its number, and its bytes so far. Fragments come in order or are waited for again.
    parts: [(u16, Vec<u8>); 2],
    /// The random of the hello at hand: it comes again with a cookie, or for want of an answer.
    offered: Option<[u8; 32]>,
    /// What the server chose, and where, until the client goes on with it.
    served: Option<(Time, u64, Served)>,
    answered: bool,
    /// The client broke off in the clear.
    refused: bool,
    /// The client's half of the handshake in the clear is over: what follows may be media beside it (RFC 5764 §5.1.2).
    sealed: bool,
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
            let before = it.rest().len();
            let Some((kind, epoch, body)) = record(&mut it) else {
                if self.sealed {
                    break;
                }
                cx.odd(OddKind::BrokenTls, "no DTLS record where one should begin", None);
                cx.unparsed(before);
                break;
            };
            let from_client = self.client == Some(chunk.dir);
            if epoch > 0 {
                if from_client {
                    self.sealed = true;
                    self.serve(false, cx);
                }
                continue;
            }
            cx.analysed(before - it.rest().len());
            match kind {
                HANDSHAKE if self.fragments(chunk.dir, body, cx).is_none() => {
                    cx.odd(OddKind::BrokenTls, "a DTLS fragment that does not fit", None);
                }
                CHANGE_CIPHER_SPEC if from_client => self.serve(false, cx),
                ALERT if from_client => self.refused |= matches!(*body, [level, code] if refuses(level, code)),
                _ => {}
            }
        }
        // A hello may come again at any time: one association may follow another.
        Want::All
    }

    fn gap(&mut self, _: &Gap, _: &mut Cx<'_>) -> Want {
        Want::All
    }

    fn close(&mut self, _: FlowEnd, _: &Counts, cx: &mut Cx<'_>) {
        self.serve(self.refused, cx);
        let read = cx.known.coverage.analysed + cx.known.coverage.unparsed;
        let left = cx.known.delivered.saturating_sub(read);
        if left > 0 {
            let why = if self.offered.is_some() { NotOpened::Unsupported } else { NotOpened::NoHandshake };
            cx.undecrypted(App::Tls, why, left);
        }
    }
}

impl Dtls {
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
            let (joined, bytes) = &mut self.parts[dir.index()];
            if *joined != number || offset == 0 {
                *joined = number;
                bytes.clear();
            }
            if bytes.len() == offset && len <= LONGEST {
                bytes.extend_from_slice(piece);
                if bytes.len() == len {
                    let whole = std::mem::take(bytes);
                    self.message(dir, kind, &whole, cx);
                }
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
                    *self = Dtls { client: Some(dir), offered: Some(hello.random), ..Dtls::default() };
                    let seen = hello.seen(Carrier::Dtls, dir, false, None, &*cx.tools.veil);
                    let name = seen.sni.clone().map(|name| (name, NameSource::Sni));
                    cx.hint(Hint { client: Some(dir), name, class: Some(seen.class), hidden: seen.ech && seen.sni.is_some(), ..Hint::default() });
                    cx.see(seen);
                    cx.search_planted(&spot(dir, Place::Of("tls.hello"), body, cx), body, |at| hello.place(body, at));
                }
                Err(error) => cx.odd(OddKind::BrokenTls, error.to_string(), None),
            },
            // In the clear up to version 1.2, as what names a pre-shared key.
            11 | 16 if self.client == Some(dir) => {
                if kind == 16 {
                    self.serve(false, cx);
                }
                let place = Place::Of(if kind == 11 { "tls.certificate" } else { "tls.client-key-exchange" });
                cx.search_planted(&spot(dir, place, body, cx), body, |_| place);
            }
            2 if !self.answered && self.client != Some(dir) => match ServerHello::parse(body) {
                Ok(hello) => {
                    self.answered = true;
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
                    };
                    self.served = Some((cx.at, cx.frame, served));
                }
                Err(part) => cx.odd(OddKind::BrokenTls, format!("ServerHello ends inside its {part}"), None),
            },
            _ => {}
        }
    }
}
