//! Where found values enter the journal: dissectors say where bytes stand, the leak engine says what is in them.

use std::fmt;

use policies::{IdentifierType, Time};
use smallvec::SmallVec;

use crate::chunk::Layer;
use crate::dissect::hits::{Find, again_key};
use crate::dissect::http::secrets::Secret;
use crate::dissect::marks::{Mark, Marks, Origin};
use crate::dissect::{Cx, accounts, login, stretches};
use crate::encode::count;
use crate::flow::Dir;
use crate::leak::{Carry, Charset, Engine, Finds, Found, Glance, Names, Peeled};
use crate::observation::Grade;
use crate::text::Text;

/// The part of a message that bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// A fixed place: `dns.qname`, `dhcp.host-name`, `tcp.stream`, …
    Of(&'static str),
    RequestUri,
    RequestHeader(&'a [u8]),
    RequestBody,
    ResponseHeader(&'a [u8]),
    ResponseBody,
    /// A field of another protocol's head: `ssdp.header:` and its name.
    Field(&'static str, &'a [u8]),
}

impl<'a> Place<'a> {
    /// What the sender calls it.
    pub(super) fn name(self) -> Option<&'a [u8]> {
        match self {
            Place::RequestHeader(name) | Place::ResponseHeader(name) | Place::Field(_, name) => Some(name),
            _ => None,
        }
    }

    /// The same without that name: `?` is no token.
    pub(super) fn unnamed(self) -> Place<'a> {
        match self {
            Place::RequestHeader(_) => Place::RequestHeader(b"?"),
            Place::ResponseHeader(_) => Place::ResponseHeader(b"?"),
            Place::Field(before, _) => Place::Field(before, b"?"),
            other => other,
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, name) = match self {
            Place::Of(place) => return f.write_str(place),
            Place::RequestUri => return f.write_str("http.request.uri"),
            Place::RequestBody => return f.write_str("http.request.body"),
            Place::ResponseBody => return f.write_str("http.response.body"),
            Place::Field(before, name) => (*before, name),
            Place::RequestHeader(name) => ("http.request.header:", name),
            Place::ResponseHeader(name) => ("http.response.header:", name),
        };
        f.write_str(before)?;
        // A name that is no token (RFC 9110 §5.6.2) or is absurdly long is the sender's invention and is not repeated.
        if name.len() <= 64 && name.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b)) {
            name.iter().try_for_each(|b| write!(f, "{}", char::from(b.to_ascii_lowercase())))
        } else {
            f.write_str("?")
        }
    }
}

/// Where searched bytes came from, so that a find ends in a range of the stream and a frame.
#[derive(Clone, Copy, Debug)]
pub enum From<'a> {
    /// They are what they were on their layer, kept together from pieces; the first stands at this position of the kept bytes.
    Kept(&'a Marks, u64),
    /// They were decoded from these.
    Decoded(Origin),
}

/// Bytes to be searched.
#[derive(Clone, Copy, Debug)]
pub struct Spot<'a> {
    pub place: Place<'a>,
    pub dir: Dir,
    pub layer: Layer,
    pub from: From<'a>,
    /// Decoders already undone, outermost first.
    pub chain: &'a [&'static str],
}

impl Spot<'_> {
    /// The range of the stream, and the frame, that `at..at + len` of the searched bytes came from.
    pub fn origin(&self, at: u64, len: u64) -> Origin {
        match self.from {
            From::Kept(marks, base) => marks.origin(base + at, len),
            From::Decoded(whole) => whole,
        }
    }
}

/// A stream that is searched piece by piece as it comes, values split over pieces included.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    carry: Carry,
    /// Where the first searched byte stands in the stream, and where the next should.
    start: Option<u64>,
    next: u64,
    /// Where the last piece begins in the stream, and the frame and time of the piece before it: a find may end there and be told late.
    piece: u64,
    before: (u64, Time),
    now: (u64, Time),
    window: Window,
}

/// The first bytes of a stream: kept until they are taken apart as a message is, which finds what stands behind several codings or packed.
#[derive(Clone, Debug, Default)]
enum Window {
    #[default]
    Untouched,
    Open(Vec<u8>, Marks),
    /// Taken apart; what comes now is searched as it passes.
    Done,
}

/// So much of each direction of an unknown stream is taken apart: logins and the first messages of most protocols stand there, and what is
/// kept of a flow stays small.
const WINDOW: usize = 64 << 10;

/// So much is kept of the beginnings of all streams of a pipeline: where it is used up, a stream is taken apart as far as it is kept.
pub(crate) const WINDOWS: u32 = 1 << 20;

/// Finds of one message on their way: those that were told before are only counted.
struct Telling<'a, 'c, F> {
    cx: &'a mut Cx<'c>,
    /// The spot and origin of a find, by its place in the searched bytes and its length.
    at: F,
}

impl<'s, F: Fn(u64, u64) -> (Spot<'s>, Origin)> Finds for Telling<'_, '_, F> {
    fn again(&mut self, glance: &Glance) -> bool {
        let (spot, origin) = (self.at)(glance.span.start, glance.span.end - glance.span.start);
        self.cx.known.hits().again(again_key(&glance.token, glance.coding, &spot), glance.grade, origin)
    }

    fn found(&mut self, found: Found) {
        let (spot, origin) = (self.at)(found.span.start, found.span.end - found.span.start);
        self.cx.found(&found, &spot, origin);
    }
}

/// Finds of bytes that were searched before in another way: proof that this flow has not told at such a place, and where asked for what has a
/// shape.
struct New<'a, 'c, F> {
    telling: Telling<'a, 'c, F>,
    shapes: bool,
}

impl<'s, F: Fn(u64, u64) -> (Spot<'s>, Origin)> Finds for New<'_, '_, F> {
    fn again(&mut self, glance: &Glance) -> bool {
        let (spot, _) = (self.telling.at)(glance.span.start, glance.span.end - glance.span.start);
        let known = self.telling.cx.known.hits().proven(again_key(&glance.token, glance.coding, &spot));
        known || if self.shapes { self.telling.again(glance) } else { glance.grade != Grade::Proof }
    }

    fn found(&mut self, found: Found) {
        self.telling.found(found);
    }
}

/// Whether bytes are what people write or programs write as people do: at most one byte in 32 is a control or no UTF-8 of ours to know.
fn is_text(bytes: &[u8]) -> bool {
    let odd = count(bytes, |b| !matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n' | 0x80..));
    odd <= bytes.len() / 32 && (bytes.is_ascii() || std::str::from_utf8(bytes).map_or_else(|e| e.valid_up_to() + 4 > bytes.len(), |_| true))
}

impl Trail {
    /// For a stream of which nothing is taken apart.
    pub fn passing() -> Trail {
        Trail { window: Window::Done, ..Trail::default() }
    }
}

impl Cx<'_> {
    /// Searches a whole message, undoing what codes it.
    pub fn search_whole(&mut self, spot: &Spot<'_>, bytes: &[u8]) {
        self.search_parts(spot, bytes, |_| spot.place);
    }

    /// Searches a whole message whose parts have places of their own, by where a find begins.
    pub fn search_parts<'p>(&mut self, spot: &Spot<'_>, bytes: &[u8], place: impl Fn(u64) -> Place<'p>) {
        self.peel(bytes, |at, len| (Spot { place: place(at), ..*spot }, spot.origin(at, len)));
    }

    /// Searches bytes once more in another shape: what was joined from pieces, or only passed by. Says what is proof and new; shapes that
    /// come of joining are nobody's.
    pub fn search_again(&mut self, spot: &Spot<'_>, bytes: &[u8]) {
        self.anew(spot, bytes, false, |engine, sink| engine.peel_planted(bytes, sink));
    }

    /// Text of a protocol nobody here knows: what it calls a password is one, whatever the protocol.
    fn search_text(&mut self, spot: &Spot<'_>, bytes: &[u8]) {
        self.anew(spot, bytes, true, |engine, sink| engine.peel_once(bytes, sink));
        self.told_all(spot, login::in_elements(bytes));
    }

    fn told_all(&mut self, spot: &Spot<'_>, secrets: Vec<Secret>) {
        for secret in secrets {
            let spot = Spot { chain: secret.chain, ..*spot };
            self.told(secret.kind, &secret.value, &spot, secret.at as u64, secret.len as u64);
        }
    }

    /// Bytes of a protocol nobody here knows that are no text as a whole: the text in them, and what is coded in them. Planted values were
    /// sought in them as they are.
    fn search_mixed(&mut self, spot: &Spot<'_>, marks: &Marks, bytes: &[u8]) {
        for stretch in stretches::of_text(bytes) {
            let text = bytes.get(stretch.clone()).unwrap_or_default();
            self.search_text(&Spot { from: From::Kept(marks, stretch.start as u64), ..*spot }, text);
        }
        self.told_all(spot, accounts::in_stream(bytes));
        self.anew(spot, bytes, true, |engine, sink| engine.peel_coded(bytes, sink));
    }

    /// Text in the character set that its sender declares, beside the search of its bytes.
    pub fn search_charset(&mut self, spot: &Spot<'_>, bytes: &[u8], charset: Charset) {
        if charset.hides(bytes) {
            self.unsearched(spot.dir, spot.layer, bytes.len() as u64);
        } else if let Charset::Other(charset) = charset {
            self.anew(spot, bytes, false, |engine, sink| engine.peel_in(bytes, charset, sink));
        }
    }

    fn anew(&mut self, spot: &Spot<'_>, bytes: &[u8], shapes: bool, search: impl FnOnce(&Engine, &mut dyn Finds) -> Peeled) {
        let Some(engine) = self.tools.engine.clone() else { return };
        let at = |at, len| (*spot, spot.origin(at, len));
        let peeled = search(&engine, &mut New { telling: Telling { cx: self, at }, shapes });
        if peeled.stopped.is_some() {
            self.streamed(spot.dir, spot.layer, bytes.len() as u64);
        }
    }

    /// Bytes that somebody else may understand, and that could not be searched.
    pub fn unsearched(&mut self, dir: Dir, layer: Layer, bytes: u64) {
        let hits = self.known.hits();
        let counts = if layer == Layer::Wire { &mut hits.unsearched } else { &mut hits.unsearched_inside };
        counts[dir.index()] += bytes;
    }

    /// Bytes that were searched only as they passed: what stands behind several codings, or packed, was not found in them.
    pub fn streamed(&mut self, dir: Dir, layer: Layer, bytes: u64) {
        if layer == Layer::Wire {
            self.known.hits().streamed[dir.index()] += bytes;
        }
    }

    fn peel<'s>(&mut self, bytes: &[u8], at: impl Fn(u64, u64) -> (Spot<'s>, Origin)) {
        let Some(engine) = self.tools.engine.clone() else { return };
        if crate::leak::stays_packed(bytes) {
            let (spot, _) = at(0, 0);
            self.unsearched(spot.dir, spot.layer, bytes.len() as u64);
        }
        let peeled = engine.peel_once(bytes, &mut Telling { cx: self, at });
        if peeled.stopped.is_some() {
            self.known.hits().unpeeled += bytes.len() as u64;
        }
    }

    /// Searches a datagram nobody knows; finds stand where they are in it.
    pub fn search_datagram(&mut self, spot: &Spot<'_>, bytes: &[u8]) {
        let from = spot.origin(0, 0);
        self.peel(bytes, |at, len| (*spot, Origin { offset: at, len, ..from }));
        if let Some(name) = accounts::in_datagram(bytes) {
            let from = From::Decoded(Origin { offset: name.at as u64, len: name.len as u64, ..from });
            self.told(name.kind, &name.value, &Spot { from, chain: name.chain, ..*spot }, 0, name.len as u64);
        }
    }

    /// Searches parts of a message that is no text, whose parts have places of their own, for planted values only.
    pub fn search_planted<'p>(&mut self, spot: &Spot<'_>, bytes: &[u8], place: impl Fn(usize) -> Place<'p>) {
        let Some(engine) = self.tools.engine.clone() else { return };
        let mut found: SmallVec<[Found; 2]> = SmallVec::new();
        let mut carry = Carry::default();
        engine.scan(&mut carry, bytes, &mut |f| found.push(f));
        engine.finish(&mut carry, &mut |f| found.push(f));
        for f in found {
            let origin = spot.origin(f.span.start, f.span.end - f.span.start);
            self.found(&f, &Spot { place: place(f.span.start as usize), ..*spot }, origin);
        }
    }

    /// Searches what of a message lies behind `from` for planted values only.
    pub fn search_rest(&mut self, spot: &Spot<'_>, bytes: &[u8], from: usize) {
        let Some(engine) = self.tools.engine.clone() else { return };
        // A value may stand across the border: the search begins a longest form earlier, and what it finds twice is counted.
        let from = from.saturating_sub(BORDER).min(bytes.len());
        let mut found: SmallVec<[Found; 2]> = SmallVec::new();
        let mut carry = Carry::default();
        engine.scan(&mut carry, &bytes[from..], &mut |f| found.push(f));
        engine.finish(&mut carry, &mut |f| found.push(f));
        for f in found {
            let origin = spot.origin(from as u64 + f.span.start, f.span.end - f.span.start);
            self.found(&f, spot, origin);
        }
    }

    /// Searches the next piece of a stream for planted values. `offset` is the piece's in the stream of its layer.
    pub fn search_stream(&mut self, trail: &mut Trail, place: Place<'_>, dir: Dir, layer: Layer, offset: u64, bytes: &[u8]) {
        let beyond = self.pass_stream(trail, place, dir, layer, offset, bytes);
        self.streamed(dir, layer, beyond);
    }

    /// The same, and says how many of the bytes will not be taken apart.
    pub fn pass_stream(&mut self, trail: &mut Trail, place: Place<'_>, dir: Dir, layer: Layer, offset: u64, bytes: &[u8]) -> u64 {
        let Some(engine) = self.tools.engine.clone() else { return 0 };
        if trail.start.is_some() && trail.next != offset {
            self.search_end(trail, place, dir, layer);
        }
        let start = *trail.start.get_or_insert(offset);
        (trail.before, trail.now) = (trail.now, (self.frame, self.at));
        (trail.piece, trail.next) = (offset, offset + bytes.len() as u64);
        let mut found: SmallVec<[Found; 2]> = SmallVec::new();
        engine.scan(&mut trail.carry, bytes, &mut |f| found.push(f));
        self.found_on(trail, start, &found, place, dir, layer);
        let mut beyond = bytes.len();
        if let Window::Untouched = trail.window {
            trail.window = Window::Open(Vec::new(), Marks::default());
        }
        if let Window::Open(kept, marks) = &mut trail.window {
            let wanted = bytes.len().min(WINDOW - kept.len());
            let n = wanted.min(self.known.room as usize);
            self.known.room -= n as u32;
            self.known.kept += n as u32;
            marks.note(Mark { at: kept.len() as u64, offset, frame: self.frame, time: self.at });
            // Doubled, half of it would often stay unused.
            if kept.capacity() - kept.len() < n {
                kept.reserve_exact(n.max(kept.len() / 4));
            }
            kept.extend_from_slice(&bytes[..n]);
            beyond -= n;
            if kept.len() >= WINDOW || n < wanted {
                self.take_apart(trail, place, dir, layer);
            }
        }
        beyond as u64
    }

    /// Takes apart what was kept of a stream's beginning.
    fn take_apart(&mut self, trail: &mut Trail, place: Place<'_>, dir: Dir, layer: Layer) {
        if let Window::Open(kept, marks) = std::mem::replace(&mut trail.window, Window::Done) {
            self.known.room += kept.len() as u32;
            self.known.kept = self.known.kept.saturating_sub(kept.len() as u32);
            let spot = Spot { place, dir, layer, from: From::Kept(&marks, 0), chain: &[] };
            if is_text(&kept) {
                self.search_text(&spot, &kept);
            } else {
                self.search_mixed(&spot, &marks, &kept);
            }
        }
    }

    /// Nothing is heard of a stream for long: what is kept of it is taken apart. What comes later is kept as if it began there.
    pub fn search_pause(&mut self, trail: &mut Trail, place: Place<'_>, dir: Dir, layer: Layer) {
        trail.carry.shrink_to_fit();
        if let Window::Open(..) = trail.window {
            self.take_apart(trail, place, dir, layer);
            trail.window = Window::Untouched;
        }
    }

    /// The first part of a stream was searched as a whole; its last bytes are `tail`, and the next piece stands at `offset`.
    pub fn search_resume(&mut self, trail: &mut Trail, tail: &[u8], offset: u64) {
        let Some(engine) = &self.tools.engine else { return };
        let start = Some(offset - (tail.len() as u64).min(offset));
        *trail = Trail { start, next: offset, now: (self.frame, self.at), window: Window::Done, ..Trail::default() };
        // What is found in the tail alone has been told.
        engine.scan(&mut trail.carry, tail, &mut |_| {});
    }

    /// A stream that was searched piece by piece has ended, or breaks off.
    pub fn search_end(&mut self, trail: &mut Trail, place: Place<'_>, dir: Dir, layer: Layer) {
        let (Some(engine), Some(start)) = (self.tools.engine.clone(), trail.start) else { return };
        let mut found: SmallVec<[Found; 2]> = SmallVec::new();
        engine.finish(&mut trail.carry, &mut |f| found.push(f));
        (trail.before, trail.piece) = (trail.now, trail.next);
        self.found_on(trail, start, &found, place, dir, layer);
        self.take_apart(trail, place, dir, layer);
        *trail = Trail::default();
    }

    fn found_on(&mut self, trail: &Trail, start: u64, found: &[Found], place: Place<'_>, dir: Dir, layer: Layer) {
        for f in found {
            let (offset, len) = (start + f.span.start, f.span.end - f.span.start);
            let (frame, time) = if offset + len <= trail.piece { trail.before } else { trail.now };
            let origin = Origin { offset, len, frame, time };
            self.found(f, &Spot { place, dir, layer, from: From::Decoded(origin), chain: &[] }, origin);
        }
    }

    /// A value told by the grammar it stands in: a credential. `at..at + len` of the spot's bytes hold it, as coded there.
    pub fn told(&mut self, kind: IdentifierType, value: &[u8], spot: &Spot<'_>, at: u64, len: u64) {
        let Some(engine) = self.tools.engine.clone() else { return };
        let origin = spot.origin(at, len);
        // A planted value is proof; that it is a credential too is then the lesser fact and only counted.
        self.search_whole(&Spot { from: From::Decoded(origin), ..*spot }, value);
        let text = String::from_utf8_lossy(value);
        let find = Find {
            kind,
            field: None,
            grade: Grade::Structural,
            mask: engine.mask(kind, &text),
            token: engine.token(kind, &text),
            chain: &[],
            value,
        };
        self.hit(&find, spot, origin);
    }

    /// Searches what a device calls itself, also for parts of planted values.
    pub fn search_name(&mut self, spot: &Spot<'_>, name: &[u8]) {
        self.search_whole(spot, name);
        self.search_again_as_name(spot, name);
    }

    /// The same for a name that was searched as a whole.
    pub fn search_again_as_name(&mut self, spot: &Spot<'_>, name: &[u8]) {
        let Some(engine) = self.tools.engine.clone() else { return };
        let mut parts: SmallVec<[Found; 2]> = SmallVec::new();
        engine.parts_in(name, &mut |f| parts.push(f));
        for f in parts {
            let origin = spot.origin(f.span.start, f.span.end - f.span.start);
            // The whole value was told, or will be.
            if !self.known.hits().again(again_key(&f.token, crate::leak::coding(f.chain.iter().map(Text::as_str)), spot), f.grade, origin) {
                self.found(&f, spot, origin);
            }
        }
    }

    /// What a device calls itself as a text that may be shown: without parts of planted values too.
    pub fn name(&self, name: &[u8]) -> Text {
        Text::veiled(name, &Names { engine: self.tools.engine.as_deref(), veil: &*self.tools.veil })
    }
}

/// No form of a planted value that a stream is searched for is longer.
const BORDER: usize = 512;
