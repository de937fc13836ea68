//! TLS over TCP: hellos, certificates, the client's reaction; opens what there are keys for and hands the plaintext on.
//!
//! Records are read in place from the chunk they came in; only a record that is not whole is copied. A sealed record that nothing opens
//! costs its five header bytes. Long because it is one state machine; its parts live in the files beside it.

pub mod certificate;
pub(crate) mod crypt;
pub(crate) mod cursor;
pub(crate) mod dtls;
mod fingerprint;
pub mod hello;
mod keys;
mod legacy;
mod messages;
mod midway;
mod preamble;
mod reaction;
pub(crate) mod server;
mod side;
mod sniff;
pub mod suites;

use policies::Time;

use crate::chunk::{Chunk, Gap, Layer, Unit, Want};
use crate::dissect::search::{Place, Trail};
use crate::dissect::{Cx, DEEPEST, Dissector, Rest, Talk};
use crate::encode::Digest;
use crate::flow::{Close, Counts, Dir, FlowEnd};
use crate::observation::{App, Certificate, NotOpened, NotParsed, OddKind, Reaction, ReactionKind, Served, Undecrypted};

use preamble::Preamble;
use reaction::{Generation, Watch};
use side::{ALERT, APPLICATION, CHANGE_CIPHER_SPEC, Epoch, HANDSHAKE, HEADER, HEARTBEAT, Header, LONGEST, Lock, Side};

pub use midway::Midway;
pub use sniff::{begins_hello, find_hello, looks_like, waits};

/// One TLS connection.
#[derive(Debug, Default)]
pub struct Tls {
    /// The layer this connection itself runs on: plaintext that a live tap hands in is told from it by this.
    own: Option<Layer>,
    client: Option<Dir>,
    sides: [Side; 2],
    offer: Option<Offer>,
    answer: Option<Answer>,
    /// What a HelloRetryRequest chose, for a client that leaves there.
    asked: Option<Box<Answer>>,
    /// What the first ServerHello chose; stays through renegotiations.
    generation: Option<Generation>,
    /// A HelloRetryRequest is waiting for its second ClientHello and its ServerHello.
    retry: bool,
    /// The client took the server's choice (to TLS 1.2).
    went_on: bool,
    watch: Watch,
    opened: Opened,
    inner: Option<Box<Inner>>,
    /// Plaintext of the record at hand.
    plain: Vec<u8>,
    /// Why bytes stayed closed, the first reason.
    why: Option<NotOpened>,
    /// Bytes of sealed records that stayed closed, as far as they were handed in.
    closed: u64,
    /// Records were sealed after a choice of the server's, which was not seen by then.
    under_choice: bool,
    /// What came before the first bytes of a direction was not seen, or was of another conversation.
    headless: bool,
    unread: u64,
    server_alert: Option<u8>,
    /// The certificates that the client showed.
    client_chain: Vec<Digest>,
    server_spoke: Option<Time>,
    /// The layer of the message at hand, and where its record begins in the stream.
    reading: Layer,
    at: u64,
    after: Option<Box<After>>,
    /// For bytes that are framed as TLS and may all the same be anything.
    trails: Option<Box<[Trail; 2]>>,
}

/// What of the ClientHello the rest of the handshake needs.
#[derive(Debug)]
struct Offer {
    random: [u8; 32],
    session_id: Box<[u8]>,
    early: bool,
}

/// The server's answer while it is being collected.
#[derive(Debug)]
struct Answer {
    served: Served,
    random: [u8; 32],
    /// The method (RFC 3749): 0 none, 1 DEFLATE.
    compression: u8,
    encrypt_then_mac: bool,
    session_id: Box<[u8]>,
    /// Certificates of an answer whose hello was not seen yet.
    certificates: Vec<(Time, u64, Certificate)>,
    /// When it was whole, if its hello was not seen by then.
    due: Option<(Time, u64)>,
    /// ServerHelloDone or Finished: nothing more will come.
    said: bool,
    /// A message only a full handshake has.
    full: bool,
    at: Time,
    frame: u64,
}

/// What was read of the client's sealed side.
#[derive(Debug, Default)]
struct Opened {
    alert: Option<(u8, u8)>,
    finished: bool,
    /// Application bytes after the handshake; 0-RTT is not among them.
    bytes: u64,
    preamble: Preamble,
    /// A live tap hands in the plaintext.
    tapped: bool,
}

/// The conversation inside.
#[derive(Debug, Default)]
struct Inner {
    talk: Talk,
    layer: Layer,
    offset: [u64; 2],
    unknown: u64,
}

/// What comes on a connection that has stopped to be TLS.
#[derive(Debug, Default)]
struct After {
    /// `None` where too many conversations lie inside one another: then the bytes are only searched.
    talk: Option<Talk>,
}

/// While undecided or small, record bytes of a client are counted; past this the number says no more than "much".
const COUNTED: u64 = 16 << 10;

/// A key is looked for at so many sealed records of a direction, for keys that come late (a pipe, the live tap).
const LOOKED: u32 = 64;

/// A client that was silent so long after the server's flight chose to be (the window of one attempt, active-testing C.2).
const SILENT: std::time::Duration = std::time::Duration::from_secs(3);

impl Dissector for Tls {
    fn app(&self) -> App {
        App::Tls
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Want {
        let own = *self.own.get_or_insert(chunk.layer);
        if own == Layer::Wire && chunk.layer == Layer::Decrypted {
            return self.tapped(chunk, cx);
        }
        if let Unit::Stream { offset } = chunk.unit {
            let side = &mut self.sides[chunk.dir.index()];
            // Bytes passed by that nobody wanted, and what comes now is handed in because it is none of them.
            if side.next > 0 && offset > side.next && !side.broken {
                side.lose();
                side.broken = true;
                cx.odd(OddKind::BrokenTls, "bytes behind sealed records that are none", Some(offset));
            }
            let side = &mut self.sides[chunk.dir.index()];
            self.headless |= side.next == 0 && offset > 0;
            side.next = offset + chunk.bytes.len() as u64;
            if side.lost && !side.broken && (chunk.bytes.len() < HEADER || !side.short.is_empty()) {
                side.short.extend_from_slice(chunk.bytes);
                if side.short.len() < HEADER && may_begin(&side.short) {
                    return self.want(chunk.dir, cx);
                }
                let joined = std::mem::take(&mut side.short);
                let before = (joined.len() - chunk.bytes.len()) as u64;
                let unit = Unit::Stream { offset: offset.saturating_sub(before) };
                self.feed(&joined, &Chunk { unit, ..*chunk }, cx);
                return self.want(chunk.dir, cx);
            }
        }
        self.feed(chunk.bytes, chunk, cx);
        self.want(chunk.dir, cx)
    }

    fn gap(&mut self, gap: &Gap, cx: &mut Cx<'_>) -> Want {
        let client = self.client == Some(gap.dir);
        if let Some(talk) = self.after.as_mut().and_then(|after| after.talk.as_mut())
            && self.sides[gap.dir.index()].broken
        {
            return talk.gap(gap, cx);
        }
        let side = &mut self.sides[gap.dir.index()];
        side.next = gap.offset + gap.len;
        // Inside the body of a record nobody opens a hole changes nothing.
        if let Ok(len) = usize::try_from(gap.len)
            && len <= side.skip
        {
            side.skip -= len;
            return self.want(gap.dir, cx);
        }
        let was_open = side.is_open();
        side.lose();
        self.why.get_or_insert(NotOpened::Gap);
        if client || self.client.is_none() {
            self.watch.lost();
        }
        if let Some(inner) = self.inner.as_deref_mut().filter(|_| was_open) {
            // How much plaintext is missing is not known exactly; at most what is missing here.
            let offset = inner.offset[gap.dir.index()];
            inner.offset[gap.dir.index()] += gap.len;
            let saved = (cx.known.coverage, cx.known.rest);
            inner.talk.gap(&Gap { offset, ..*gap }, cx);
            (cx.known.coverage, cx.known.rest) = saved;
        }
        self.want(gap.dir, cx)
    }

    fn rest(&mut self, cx: &mut Cx<'_>) {
        for (dir, trail) in Dir::BOTH.into_iter().zip(self.trails.iter_mut().flat_map(|both| both.iter_mut())) {
            cx.search_pause(trail, CLEAR, dir, self.own.unwrap_or_default());
        }
        if let Some(inner) = self.inner.as_deref_mut() {
            inner.talk.rest(cx);
        }
        if let Some(talk) = self.after.as_mut().and_then(|after| after.talk.as_mut()) {
            talk.rest(cx);
        }
        self.plain = Vec::new();
    }

    fn close(&mut self, end: FlowEnd, counts: &Counts, cx: &mut Cx<'_>) {
        for dir in Dir::BOTH {
            // A record whose end was not seen still shows its type and length.
            if let Some(head) = Header::read(&self.sides[dir.index()].partial).filter(|h| self.is_sealed(dir, h.kind())) {
                self.note_sealed(dir, head);
            }
        }
        if self.answer.is_none() {
            self.answer = self.asked.take().map(|asked| *asked);
        }
        let left = self.client.is_some_and(|client| {
            let at = client.index();
            (counts.fin[at] || counts.rst[at]) && counts.missing[at] == 0 && self.watch.is_silent()
        });
        self.serve_late(left, cx);
        self.react(end, counts, cx);
        if let Some(inner) = self.inner.as_deref_mut() {
            let saved = (cx.known.coverage, cx.known.rest);
            inner.talk.close(end, counts, cx);
            (cx.known.coverage, cx.known.rest) = saved;
            if inner.unknown > 0 {
                let h2 = self.answer.as_ref().is_some_and(|a| a.served.alpn.as_ref().is_some_and(|p| p == "h2"));
                let (what, reason) = if h2 { (App::Http2, NotParsed::NotBuilt) } else { (App::Unknown, NotParsed::Unknown) };
                cx.not_parsed_on(inner.layer, what, reason, inner.unknown);
            }
        }
        if let Some(talk) = self.after.as_mut().and_then(|after| after.talk.as_mut()) {
            talk.close(end, counts, cx);
        }
        for (dir, trail) in Dir::BOTH.into_iter().zip(self.trails.iter_mut().flat_map(|both| both.iter_mut())) {
            cx.search_end(trail, CLEAR, dir, self.own.unwrap_or_default());
        }
        if self.unread > 0 {
            cx.not_parsed_on(self.own.unwrap_or_default(), App::Tls, NotParsed::Broken, self.unread);
        }
        if self.opened.tapped {
            cx.rest(Rest::Analysed);
            return;
        }
        // What nobody asked for after the handshake is sealed as well.
        let left = if self.own == Some(Layer::Wire) && cx.known.rest == Rest::Encrypted {
            let read = cx.known.coverage.analysed + cx.known.coverage.unparsed;
            cx.known.delivered.saturating_sub(read)
        } else {
            self.closed
        };
        if left > 0 {
            let why = self.why.unwrap_or(if self.offer.is_some() { NotOpened::NoKey } else { NotOpened::NoHandshake });
            let choice_unseen = self.under_choice && self.generation.is_none() && self.answer.is_none();
            cx.see(Undecrypted { protocol: App::Tls, reason: why, bytes: left, choice_unseen });
        }
    }
}

impl Tls {
    /// TLS that begins in the middle of another conversation, whose last words may still come.
    pub fn inside_another() -> Tls {
        let mut tls = Tls::default();
        for side in &mut tls.sides {
            side.lost = true;
        }
        tls
    }
}

/// Whether these few bytes may begin a record: its type, then SSL 3.0's or TLS's version.
fn may_begin(bytes: &[u8]) -> bool {
    matches!(bytes, [20..=23] | [20..=23, 3] | [20..=23, 3, 0..=4, ..])
}

/// The place of finds in bytes that came between or after records.
const CLEAR: Place<'static> = Place::Of("tcp.stream");

/// Framing.
impl Tls {
    fn feed(&mut self, bytes: &[u8], chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        let dir = chunk.dir;
        let end = match chunk.unit {
            Unit::Stream { offset } => offset + bytes.len() as u64,
            _ => 0,
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            let side = &mut self.sides[dir.index()];
            let at = end.saturating_sub(rest.len() as u64);
            if side.broken {
                self.go_on(rest, at, chunk, cx);
                return;
            }
            if side.skip > 0 {
                let n = side.skip.min(rest.len());
                side.skip -= n;
                let skipped = &rest[..n];
                rest = &rest[n..];
                if side.skip_unread {
                    cx.unparsed(n);
                    self.unread += n as u64;
                    cx.search_stream(&mut self.trails.get_or_insert_default()[dir.index()], CLEAR, dir, chunk.layer, at, skipped);
                } else {
                    self.closed += n as u64;
                }
                continue;
            }
            if side.lost {
                // Only a whole plausible header at the start of a chunk is taken for a border of records.
                if Header::read(rest).is_some_and(|h| h.plausible() && h.kind() != 24 && (1..=LONGEST).contains(&h.len())) {
                    side.lost = false;
                } else {
                    self.closed += rest.len() as u64;
                    return;
                }
            }
            if !side.partial.is_empty() {
                rest = self.join(rest, at, chunk, cx);
                continue;
            }
            let Some(head) = Header::read(rest) else {
                side.partial.extend_from_slice(rest);
                return;
            };
            if !self.begin(dir, head, cx) {
                if self.offer.is_none() && self.sslv2(dir, rest, cx) {
                    return;
                }
                self.sides[dir.index()].broken = true;
                cx.odd(OddKind::BrokenTls, "no record where one should begin", None);
                continue;
            }
            if self.sides[dir.index()].skip > 0 {
                rest = &rest[HEADER..];
                continue;
            }
            let Some((record, tail)) = rest.split_at_checked(HEADER + head.len()) else {
                self.sides[dir.index()].partial.extend_from_slice(rest);
                return;
            };
            self.at = at + HEADER as u64;
            self.record(head, &record[HEADER..], chunk, cx);
            rest = tail;
        }
    }

    /// Adds to the record that is not whole yet; hands it on when it is.
    fn join<'b>(&mut self, bytes: &'b [u8], at: u64, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> &'b [u8] {
        let dir = chunk.dir;
        let side = &mut self.sides[dir.index()];
        let mut rest = bytes;
        if side.partial.len() < HEADER {
            let (head, tail) = rest.split_at(rest.len().min(HEADER - side.partial.len()));
            side.partial.extend_from_slice(head);
            rest = tail;
            let Some(head) = Header::read(&side.partial) else { return rest };
            let known = self.begin(dir, head, cx);
            let side = &mut self.sides[dir.index()];
            if !known {
                side.broken = true;
                let partial = std::mem::take(&mut side.partial);
                cx.odd(OddKind::BrokenTls, "no record where one should begin", None);
                let start = (at + (bytes.len() - rest.len()) as u64).saturating_sub(partial.len() as u64);
                self.go_on(&partial, start, chunk, cx);
                return rest;
            }
            if side.skip > 0 {
                side.partial.clear();
                return rest;
            }
        }
        let side = &mut self.sides[dir.index()];
        let Some(head) = Header::read(&side.partial) else { return rest };
        let missing = (HEADER + head.len()).saturating_sub(side.partial.len());
        let (more, tail) = rest.split_at(missing.min(rest.len()));
        side.partial.extend_from_slice(more);
        if side.partial.len() == HEADER + head.len() {
            let mut record = std::mem::take(&mut side.partial);
            self.at = (at + (bytes.len() - tail.len()) as u64).saturating_sub((record.len() - HEADER) as u64);
            self.record(head, &record[HEADER..], chunk, cx);
            record.clear();
            // Kept for the next one, but not for the life of an idle flow.
            if record.capacity() <= 2 * LONGEST && self.sides[dir.index()].is_open() {
                self.sides[dir.index()].partial = record;
            }
        }
        tail
    }

    /// Bytes of a side that is no TLS any more: a conversation of its own.
    fn go_on(&mut self, bytes: &[u8], offset: u64, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        let after = self.after.get_or_insert_with(|| {
            let talk = (cx.known.nested < DEEPEST).then(Talk::default);
            cx.known.nested = cx.known.nested.saturating_add(1);
            Box::new(After { talk })
        });
        if let Some(talk) = &mut after.talk {
            talk.chunk(&Chunk { unit: Unit::Stream { offset }, bytes, ..*chunk }, cx);
            if !talk.is_opaque() {
                return;
            }
        } else {
            cx.search_stream(&mut self.trails.get_or_insert_default()[chunk.dir.index()], CLEAR, chunk.dir, chunk.layer, offset, bytes);
        }
        cx.unparsed(bytes.len());
        self.unread += bytes.len() as u64;
    }

    /// Application data, or a heartbeat, before anything was agreed on or under a suite without a cipher: nothing can have sealed it. Of a
    /// connection seen from its start a hello must have come before.
    fn is_readable(&self, dir: Dir, kind: u8, cx: &Cx<'_>) -> bool {
        let agreed = match &self.offer {
            Some(offer) => offer.early,
            None => self.client.is_some() || self.own != Some(Layer::Wire) || !cx.known.ends.from_start,
        };
        let side = &self.sides[dir.index()];
        let clear = match self.generation {
            None => !agreed && !side.ccs,
            // A ChangeCipherSpec comes first, unless it was lost.
            Some(Generation::Legacy) => !side.ccs && !matches!(side.lock, Lock::Dead),
            // Under RFC 9150 nothing is sealed but signed.
            Some(Generation::Modern { .. }) => self.answer.as_ref().is_some_and(|a| suites::is_bare(a.served.suite)),
        };
        matches!(kind, APPLICATION | HEARTBEAT) && clear
    }

    /// Looks at a record's header. False: this is none. Sets `skip` when nobody needs the body.
    fn begin(&mut self, dir: Dir, head: Header, cx: &mut Cx<'_>) -> bool {
        if !head.plausible() {
            return false;
        }
        if head.len() > LONGEST {
            cx.odd(OddKind::BrokenTls, format!("record of {} bytes", head.len()), None);
            let side = &mut self.sides[dir.index()];
            side.skip = head.len();
            side.skip_unread = true;
            side.lock = Lock::Dead;
            cx.unparsed(HEADER);
            self.unread += HEADER as u64;
            return true;
        }
        if self.is_sealed(dir, head.kind())
            && head.len() > 0
            && !self.may_be_hello(dir, head)
            && !self.has_key(dir, cx)
            && !self.may_hold(dir, head)
            && !self.is_readable(dir, head.kind(), cx)
        {
            cx.rest(Rest::Encrypted);
            self.note_sealed(dir, head);
            self.note_choice(dir);
            let side = &mut self.sides[dir.index()];
            side.sealed = side.sealed.saturating_add(1);
            side.skip = head.len();
            side.skip_unread = false;
            self.closed += HEADER as u64;
        }
        true
    }

    /// An SSL 2.0 record with the hello of a client that also spoke later versions.
    fn sslv2(&mut self, dir: Dir, bytes: &[u8], cx: &mut Cx<'_>) -> bool {
        let Ok(hello) = hello::parse_sslv2(bytes) else { return false };
        self.reading = self.own.unwrap_or_default();
        self.offered(dir, &hello, bytes, cx);
        cx.analysed(bytes.len());
        true
    }
}

/// Records.
impl Tls {
    /// Whether records of this type are sealed in this direction by now.
    fn is_sealed(&self, dir: Dir, kind: u8) -> bool {
        let side = &self.sides[dir.index()];
        match (kind, self.generation) {
            (APPLICATION, _) => true,
            // ChangeCipherSpec of TLS 1.3 is for show and in the clear; so may an alert be.
            (CHANGE_CIPHER_SPEC | ALERT | HANDSHAKE, Some(Generation::Modern { .. })) => false,
            (CHANGE_CIPHER_SPEC | ALERT | HANDSHAKE, Some(Generation::Legacy)) => side.ccs,
            // No ServerHello: this direction's own ChangeCipherSpec, unless it belongs to a TLS 1.3 hello.
            (_, None) => side.ccs && !self.retry && !self.offer.as_ref().is_some_and(|o| o.early),
            _ => true,
        }
    }

    /// The server's flight was not seen, and this could be the second ClientHello, which follows a ChangeCipherSpec too. A sealed Finished
    /// of TLS 1.2 is far shorter.
    fn may_be_hello(&self, dir: Dir, head: Header) -> bool {
        self.generation.is_none() && self.client == Some(dir) && head.kind() == HANDSHAKE && head.len() > 128
    }

    /// A sealed record's type and length, opened or not.
    fn note_sealed(&mut self, dir: Dir, head: Header) {
        if self.client != Some(dir) {
            return;
        }
        match head.kind() {
            APPLICATION => self.watch.app(head.len()),
            ALERT => self.watch.sealed_alert = true,
            HANDSHAKE => self.watch.sealed_handshake = true,
            _ => {}
        }
    }

    /// A sealed record comes after the server's choice, unless it is data of a client that goes on with what it knows.
    fn note_choice(&mut self, dir: Dir) {
        let early = self.client == Some(dir) && self.offer.as_ref().is_some_and(|o| o.early);
        self.under_choice |= self.generation.is_none() && !early;
    }

    fn record(&mut self, head: Header, body: &[u8], chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        let dir = chunk.dir;
        let whole = HEADER + body.len();
        if body.is_empty() {
            cx.analysed(whole);
            return;
        }
        let hello = self.may_be_hello(dir, head) && messages::is_one(body, 1);
        if hello || !self.is_sealed(dir, head.kind()) {
            cx.analysed(whole);
            self.reading = chunk.layer;
            match head.kind() {
                CHANGE_CIPHER_SPEC => self.change_cipher_spec(dir, cx),
                ALERT => self.alert(dir, body, false, cx),
                HANDSHAKE => self.handshake(dir, body, cx),
                _ => cx.search_stream(&mut self.trails.get_or_insert_default()[dir.index()], CLEAR, dir, chunk.layer, self.at, body),
            }
            return;
        }
        self.note_sealed(dir, head);
        let readable = self.is_readable(dir, head.kind(), cx);
        if !readable || self.offer.is_some() || self.headless || self.why == Some(NotOpened::Gap) {
            self.note_choice(dir);
        }
        if readable {
            cx.search_stream(&mut self.trails.get_or_insert_default()[dir.index()], CLEAR, dir, chunk.layer, self.at, body);
        }
        let mut plain = std::mem::take(&mut self.plain);
        let early = matches!(&self.sides[dir.index()].lock, Lock::Open { epoch: Epoch::Early, .. });
        if let Some(kind) = self.open(dir, head, body, &mut plain, cx) {
            let side = &mut self.sides[dir.index()];
            // Asked again: 0-RTT keys may have given way to the handshake's while opening.
            let early = early && matches!(&side.lock, Lock::Open { epoch: Epoch::Early, .. });
            side.opened |= !early;
            let null = matches!(&side.lock, Lock::Open { opener, .. } if opener.is_null());
            self.reading = if null { chunk.layer } else { Layer::Decrypted };
            if kind == APPLICATION {
                self.inside(&plain, whole, early, chunk, cx);
            } else {
                cx.analysed(whole);
            }
            match kind {
                CHANGE_CIPHER_SPEC => self.change_cipher_spec(dir, cx),
                ALERT => self.alert(dir, &plain, true, cx),
                HANDSHAKE => self.handshake(dir, &plain, cx),
                _ => {}
            }
        } else {
            self.hold(dir, head, body);
            self.closed += whole as u64;
            cx.rest(Rest::Encrypted);
        }
        self.plain = plain;
    }

    fn change_cipher_spec(&mut self, dir: Dir, cx: &mut Cx<'_>) {
        if matches!(self.generation, Some(Generation::Modern { .. })) || self.retry {
            return;
        }
        let side = &mut self.sides[dir.index()];
        side.ccs = true;
        side.lock = Lock::Closed;
        side.sealed = 0;
        side.held = Vec::new();
        side.message.clear();
        if self.client == Some(dir.other()) {
            self.serve(cx);
        } else {
            self.go_on_with(cx);
        }
    }

    fn alert(&mut self, dir: Dir, body: &[u8], sealed: bool, cx: &mut Cx<'_>) {
        // A record may hold several.
        for pair in body.chunks(2) {
            let [level, code] = *pair else {
                cx.odd(OddKind::BrokenTls, "half an alert", None);
                return;
            };
            if code == 0 {
                continue;
            }
            if self.client == Some(dir) {
                if sealed {
                    self.opened.alert.get_or_insert((level, code));
                } else {
                    self.watch.alert.get_or_insert((level, code));
                }
            } else if self.client == Some(dir.other()) {
                self.server_alert.get_or_insert(code);
            }
        }
    }

    /// Plaintext of application data.
    fn inside(&mut self, plain: &[u8], wire: usize, early: bool, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        if plain.is_empty() {
            cx.analysed(wire);
            return;
        }
        if self.client == Some(chunk.dir) && !early {
            self.opened.bytes += plain.len() as u64;
            self.opened.preamble.feed(plain);
        }
        let inner = self.inner.get_or_insert_default();
        let offset = &mut inner.offset[chunk.dir.index()];
        let unit = Unit::Stream { offset: *offset };
        *offset += plain.len() as u64;
        // What a null cipher carries is as clear as without TLS.
        let null = matches!(&self.sides[chunk.dir.index()].lock, Lock::Open { opener, .. } if opener.is_null());
        let layer = if null { chunk.layer } else { Layer::Decrypted };
        let opaque = inner.hand_in(&Chunk { unit, layer, bytes: plain, ..*chunk }, cx);
        if opaque { cx.unparsed(wire) } else { cx.analysed(wire) }
    }

    /// Plaintext that a live tap read on the other side of our own TLS.
    fn tapped(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Want {
        self.opened.tapped = true;
        if self.client == Some(chunk.dir) {
            self.opened.bytes += chunk.bytes.len() as u64;
            self.opened.preamble.feed(chunk.bytes);
        }
        self.inner.get_or_insert_default().hand_in(chunk, cx);
        Want::All
    }

    fn want(&self, dir: Dir, cx: &Cx<'_>) -> Want {
        let side = &self.sides[dir.index()];
        if self.own == Some(Layer::Decrypted) || side.is_open() || !self.is_sealed(dir, HANDSHAKE) && self.generation.is_none() {
            return Want::All;
        }
        if side.broken {
            return Want::All;
        }
        let modern = matches!(self.generation, Some(Generation::Modern { .. }));
        if !modern && !side.ccs {
            return Want::All;
        }
        // A key is looked for at the first sealed record, which may come in a chunk of its own after the ChangeCipherSpec.
        if side.sealed == 0 && matches!(side.lock, Lock::Closed) {
            return Want::All;
        }
        // A key may still come.
        if !cx.late_keys.is_empty() && side.sealed < LOOKED && !matches!(side.lock, Lock::Dead) {
            return Want::All;
        }
        let judged = self.watch.judge(self.generation);
        let decided = if self.client == Some(dir) { judged.kind == ReactionKind::Data && judged.bytes > COUNTED } else { judged.finished };
        if decided { Want::Nothing } else { Want::HeadersOnly }
    }
}

impl Inner {
    /// Hands plaintext to the conversation inside. True when nobody knows it. Coverage counts wire bytes, so what the inside counts is
    /// taken back.
    fn hand_in(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> bool {
        let saved = (cx.known.coverage, cx.known.rest);
        self.talk.chunk(chunk, cx);
        self.layer = chunk.layer;
        (cx.known.coverage, cx.known.rest) = saved;
        let opaque = self.talk.is_opaque();
        if opaque {
            self.unknown += chunk.bytes.len() as u64;
        }
        opaque
    }
}

/// The reaction.
impl Tls {
    fn react(&mut self, end: FlowEnd, counts: &Counts, cx: &mut Cx<'_>) {
        let Some(client) = self.client else { return };
        if self.offer.is_none() && self.generation.is_none() {
            return;
        }
        let at = client.index();
        // A FIN is followed by RST where the server goes on sending: the first counts.
        let close = if counts.fin[at] {
            Close::Fin
        } else if counts.rst[at] {
            Close::Rst
        } else {
            Close::None
        };
        let judged = self.watch.judge(self.generation);
        let side = &self.sides[at];
        let decrypted = self.opened.tapped || side.opened && side.is_open();
        let modern = matches!(self.generation, Some(Generation::Modern { .. }));
        let mut kind = judged.kind;
        if self.opened.bytes > 0 {
            kind = ReactionKind::Data;
        } else if decrypted && kind != ReactionKind::Refused {
            kind = ReactionKind::None;
        }
        if decrypted
            && self.opened.bytes == 0
            && let Some((level, code)) = self.opened.alert
        {
            // RFC 8446 §6: the level is meaningless, and all but two codes are errors.
            let refused = if modern { code != 90 } else { reaction::refuses(level, code) };
            kind = if refused { ReactionKind::Refused } else { ReactionKind::None };
        }
        if kind == ReactionKind::None {
            // Silence is a choice only where there was time for it, and nobody else ended the talk.
            let silent = self.server_spoke.is_some_and(|spoke| cx.at.since(spoke) >= SILENT);
            let chose = close != Close::None || end == FlowEnd::Idle || silent && self.server_alert.is_none();
            // What was not captured may have held anything.
            let unseen = self.offer.is_none() || counts.missing[at] > 0;
            if !chose || unseen || self.server_spoke.is_none() || self.server_alert.is_some() && !judged.finished && !self.opened.finished {
                kind = ReactionKind::Unknown;
            }
        }
        let alert = self.opened.alert.or(self.watch.alert).map(|(_, code)| code);
        cx.see(Reaction {
            reaction: kind,
            alert,
            alert_encrypted: if decrypted { false } else { judged.alert_sealed },
            server_alert: self.server_alert,
            close,
            finished: judged.finished || self.opened.finished,
            client_bytes: if decrypted { self.opened.bytes } else { judged.bytes },
            preamble: self.opened.preamble.only(),
            decrypted,
            client_chain: std::mem::take(&mut self.client_chain),
        });
    }
}
