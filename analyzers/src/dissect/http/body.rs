//! Follows one HTTP body through its framing, and sees that its content is searched: kept whole when small, piece by piece when not.

use policies::IdentifierType;
use smallvec::SmallVec;

use super::coding::{self, Coding, Codings, Trouble};
use super::head::{Length, Shape, Side};
use super::secrets::{self, Secret};
use crate::chunk::{Chunk, Layer};
use crate::dissect::Cx;
use crate::dissect::marks::{Marks, Origin};
use crate::dissect::search::{From, Place, Spot, Trail};
use crate::flow::Dir;
use crate::leak::Charset;
use crate::observation::OddKind;

/// A response in clear is taken apart up to here and only searched for planted values beyond: what a server sends is bulk, and what a
/// device sends is what leaks.
const RESPONSE_PEELED: usize = 256 << 10;

/// Bytes kept of a body's start and end, for telling what it is: a zip's first file name, a whole-file signature's footer.
pub const FIRST: usize = 128;
pub const LAST: usize = 8;

/// A chunk-size line or a trailer section longer than this is nobody's (RFC 9112 §7.1.1 leaves the limit to the reader).
const LONGEST_SIZE_LINE: u32 = 4096;
const LONGEST_TRAILER: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Close,
    /// In a chunk-size line: the number so far, whether a digit was seen, whether the number is over, and the line's length.
    Size {
        size: u64,
        digits: bool,
        over: bool,
        line: u32,
    },
    Data(u64),
    /// The line end after a chunk.
    AfterData,
    Trailer,
    Done,
}

/// A line of chunk framing begins.
const SIZE: Framing = Framing::Size { size: 0, digits: false, over: false, line: 0 };

/// What is done with content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    /// Kept up to a limit, then taken apart as a whole.
    Whole(usize),
    /// Searched as it comes.
    Pieces,
    /// Coded, and its start is lost or the limit passed: counted only.
    Nothing,
}

/// What a body was, once it is over.
#[derive(Clone, Debug, Default)]
pub struct Over {
    /// Content bytes seen, without framing.
    pub content: u64,
    pub undecoded: u64,
    /// Fields came behind the content.
    pub trailer: bool,
    /// First and last bytes of the content, decoded where it was coded.
    pub first: SmallVec<[u8; FIRST]>,
    pub last: [u8; LAST],
}

/// How much of the given bytes a body took, and whether it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    Part(usize),
    End(usize),
    /// The framing is broken here.
    Broken(usize),
}

#[derive(Debug)]
pub struct Body {
    /// Number of its exchange.
    pub exchange: u64,
    side: Side,
    dir: Dir,
    layer: Layer,
    framing: Framing,
    /// What follows the size of the chunk that begins (RFC 9112 §7.1.1).
    extension: Vec<u8>,
    codings: Codings,
    form: bool,
    charset: Charset,
    /// Its parts have heads of their own.
    parts: bool,
    keep: Keep,
    kept: Vec<u8>,
    marks: Marks,
    trail: Trail,
    trailer: Vec<u8>,
    over: Over,
    holes: bool,
}

impl Body {
    pub fn new(shape: Shape, side: Side, exchange: u64, (media, charset): (&[u8], Charset), chunk: &Chunk<'_>, limit: usize) -> Body {
        let coded = !shape.codings.is_empty();
        let keep = match side {
            Side::Request => Keep::Whole(limit),
            Side::Response if coded => Keep::Whole(limit),
            Side::Response if is_text(media) => Keep::Whole(RESPONSE_PEELED.min(limit)),
            Side::Response => Keep::Pieces,
        };
        Body {
            exchange,
            side,
            dir: chunk.dir,
            layer: chunk.layer,
            framing: match shape.length {
                Length::None => Framing::Done,
                Length::Known(n) => Framing::Length(n),
                Length::Chunked => SIZE,
                Length::Close => Framing::Close,
            },
            extension: Vec::new(),
            codings: shape.codings,
            form: media.eq_ignore_ascii_case(b"application/x-www-form-urlencoded"),
            charset,
            parts: media.get(..10).is_some_and(|media| media.eq_ignore_ascii_case(b"multipart/")),
            keep,
            kept: Vec::new(),
            marks: Marks::default(),
            // What a server sends is bulk here.
            trail: if side == Side::Request { Trail::default() } else { Trail::passing() },
            trailer: Vec::new(),
            over: Over::default(),
            holes: false,
        }
    }

    fn place(&self) -> Place<'static> {
        match self.side {
            Side::Request => Place::RequestBody,
            Side::Response => Place::ResponseBody,
        }
    }

    /// Takes what of `bytes`, which stand at `offset`, belongs to this body.
    pub fn take(&mut self, bytes: &[u8], offset: u64, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Took {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|r| !r.is_empty()) {
            match self.framing {
                Framing::Length(left) => {
                    let n = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let last = n as u64 == left;
                    self.data(&rest[..n], offset + at as u64, last, chunk, cx);
                    at += n;
                    self.framing = if last { Framing::Done } else { Framing::Length(left - n as u64) };
                }
                Framing::Close => {
                    self.data(rest, offset + at as u64, false, chunk, cx);
                    at = bytes.len();
                }
                Framing::Data(left) => {
                    let n = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.data(&rest[..n], offset + at as u64, false, chunk, cx);
                    at += n;
                    self.framing = if n as u64 == left { Framing::AfterData } else { Framing::Data(left - n as u64) };
                }
                Framing::Size { .. } => match self.size(rest[0]) {
                    Some(next) => {
                        match next {
                            Framing::Size { over: true, .. } => self.extension.push(rest[0]),
                            _ => self.extended(offset + at as u64, chunk, cx),
                        }
                        self.framing = next;
                        at += 1;
                    }
                    None => return Took::Broken(at),
                },
                Framing::AfterData => match rest[0] {
                    b'\r' => at += 1,
                    b'\n' => {
                        self.framing = SIZE;
                        at += 1;
                    }
                    _ => return Took::Broken(at),
                },
                Framing::Trailer => {
                    let line = memchr::memchr(b'\n', rest).map_or(rest.len(), |n| n + 1);
                    self.trailer.extend_from_slice(&rest[..line]);
                    at += line;
                    if self.trailer == b"\r\n"
                        || self.trailer == b"\n"
                        || self.trailer.ends_with(b"\n\r\n")
                        || self.trailer.ends_with(b"\n\n")
                    {
                        self.trailers(offset + at as u64, chunk, cx);
                        self.framing = Framing::Done;
                    } else if self.trailer.len() > LONGEST_TRAILER {
                        return Took::Broken(at);
                    }
                }
                Framing::Done => return Took::End(at),
            }
        }
        if self.framing == Framing::Done { Took::End(at) } else { Took::Part(at) }
    }

    /// Searches what stood behind a chunk's size, up to `end` of the stream.
    fn extended(&mut self, end: u64, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        let said = self.extension.trim_ascii();
        if !said.is_empty() {
            let len = self.extension.len() as u64;
            let origin = Origin { offset: end.saturating_sub(len), len, frame: chunk.frame, time: chunk.time };
            let place = Place::Of("http.chunk-extension");
            cx.search_whole(&Spot { place, dir: self.dir, layer: self.layer, from: From::Decoded(origin), chain: &[] }, said);
        }
        self.extension.clear();
    }

    /// The next byte of a chunk-size line (RFC 9112 §7.1): hex digits, then anything up to the line's end.
    fn size(&self, byte: u8) -> Option<Framing> {
        let Framing::Size { size, digits, over, line } = self.framing else { return None };
        match byte {
            b'\n' if digits => Some(if size == 0 { Framing::Trailer } else { Framing::Data(size) }),
            b'\n' => None,
            _ if line >= LONGEST_SIZE_LINE => None,
            _ if over => Some(Framing::Size { size, digits, over, line: line + 1 }),
            _ => match crate::encode::nibble(byte) {
                Some(n) => {
                    let size = size.checked_mul(16)?.checked_add(u64::from(n))?;
                    Some(Framing::Size { size, digits: true, over, line: line + 1 })
                }
                None if digits && matches!(byte, b'\r' | b';' | b' ' | b'\t') => {
                    Some(Framing::Size { size, digits, over: true, line: line + 1 })
                }
                None => None,
            },
        }
    }

    /// Bytes are missing. False when the framing is lost with them.
    pub fn gap(&mut self, len: u64, cx: &mut Cx<'_>) -> bool {
        self.holes = true;
        let missing = match self.framing {
            Framing::Length(left) if len <= left => {
                self.framing = if len == left { Framing::Done } else { Framing::Length(left - len) };
                len
            }
            Framing::Data(left) if len <= left => {
                self.framing = if len == left { Framing::AfterData } else { Framing::Data(left - len) };
                len
            }
            Framing::Close => len,
            _ => return false,
        };
        // What was kept is taken apart now: nothing may be found across the hole.
        self.flush(cx);
        if self.codings.is_empty() {
            self.search_end(cx);
            self.over.content += missing;
        } else {
            self.keep = Keep::Nothing;
        }
        true
    }

    pub fn is_done(&self) -> bool {
        self.framing == Framing::Done
    }

    /// Whether the connection's close is the end the framing foresees.
    pub fn ends_at_close(&self) -> bool {
        self.framing == Framing::Close
    }

    fn data(&mut self, bytes: &[u8], offset: u64, last: bool, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        if bytes.is_empty() {
            return;
        }
        self.over.content += bytes.len() as u64;
        if self.codings.is_empty() {
            self.over.see(bytes);
        }
        match self.keep {
            Keep::Whole(limit) => {
                if last && self.kept.is_empty() && bytes.len() <= limit {
                    // The whole body in one piece: nothing is copied.
                    self.marks.push(0, offset, chunk);
                    self.content(bytes, cx);
                    self.marks.clear();
                    return;
                }
                let n = bytes.len().min(limit.saturating_sub(self.kept.len()));
                self.marks.push(self.kept.len() as u64, offset, chunk);
                self.kept.extend_from_slice(&bytes[..n]);
                if n == bytes.len() {
                    return;
                }
                // The limit is passed: what is kept is taken apart, and the rest searched as it comes.
                let coded = !self.codings.is_empty();
                let tail: SmallVec<[u8; 512]> = self.kept[self.kept.len().saturating_sub(512)..].into();
                self.flush(cx);
                if coded {
                    self.keep = Keep::Nothing;
                    self.over.undecoded += (bytes.len() - n) as u64;
                    cx.unsearched(self.dir, self.layer, (bytes.len() - n) as u64);
                    cx.odd(OddKind::BrokenBody, "the coded body is longer than the limit", Some(offset));
                } else {
                    self.keep = Keep::Pieces;
                    cx.search_resume(&mut self.trail, &tail, offset + n as u64);
                    self.piece(&bytes[n..], offset + n as u64, cx);
                }
            }
            Keep::Pieces => self.piece(bytes, offset, cx),
            Keep::Nothing => {
                self.over.undecoded += bytes.len() as u64;
                cx.unsearched(self.dir, self.layer, bytes.len() as u64);
            }
        }
    }

    fn piece(&mut self, bytes: &[u8], offset: u64, cx: &mut Cx<'_>) {
        let place = self.place();
        cx.search_stream(&mut self.trail, place, self.dir, self.layer, offset, bytes);
    }

    fn search_end(&mut self, cx: &mut Cx<'_>) {
        let place = self.place();
        cx.search_end(&mut self.trail, place, self.dir, self.layer);
        if self.side == Side::Response {
            self.trail = Trail::passing();
        }
    }

    /// Takes apart what is kept.
    fn flush(&mut self, cx: &mut Cx<'_>) {
        if !self.kept.is_empty() {
            let kept = std::mem::take(&mut self.kept);
            self.content(&kept, cx);
        }
        self.marks.clear();
    }

    /// Content, whole or as far as it was kept: decoded, then searched.
    fn content(&mut self, bytes: &[u8], cx: &mut Cx<'_>) {
        let whole = self.marks.origin(0, bytes.len() as u64);
        if self.codings.is_empty() {
            self.search(bytes, None, cx);
            return;
        }
        let out = coding::decode(&self.codings, bytes, cx.tools.limits.body);
        self.over.undecoded += out.left;
        if let Some(trouble) = out.trouble {
            cx.odd(OddKind::BrokenBody, trouble.words(), Some(whole.offset));
            if trouble == Trouble::NotCoded {
                self.over.undecoded -= out.left;
            } else {
                // Of a coding inside another what was left is not known in wire bytes.
                cx.unsearched(self.dir, self.layer, out.left.max(1));
            }
        }
        if out.bytes.is_empty() {
            self.over.see(bytes);
            self.search(bytes, None, cx);
        } else {
            self.over.see(&out.bytes);
            self.search(&out.bytes, Some(whole), cx);
            if self.side == Side::Request {
                // What a sender may put beside what it compresses: a file's name, a comment, bytes behind the end.
                let from = From::Kept(&self.marks, 0);
                cx.search_rest(&Spot { place: self.place(), dir: self.dir, layer: self.layer, from, chain: &[] }, bytes, 0);
            }
        }
    }

    fn search(&mut self, bytes: &[u8], decoded: Option<Origin>, cx: &mut Cx<'_>) {
        let chain: SmallVec<[&'static str; 4]> =
            if decoded.is_some() { self.codings.iter().rev().map(|c: &Coding| c.word()).collect() } else { SmallVec::new() };
        let marks = &self.marks;
        let from = decoded.map_or(From::Kept(marks, 0), From::Decoded);
        let spot = Spot { place: self.place(), dir: self.dir, layer: self.layer, from, chain: &chain };
        let peeled = match self.side {
            Side::Request => bytes.len(),
            Side::Response => bytes.len().min(RESPONSE_PEELED),
        };
        cx.search_whole(&spot, &bytes[..peeled]);
        cx.search_charset(&spot, &bytes[..peeled], if self.parts { Charset::of_parts(bytes) } else { self.charset });
        if peeled < bytes.len() {
            cx.search_rest(&spot, bytes, peeled);
        }
        if self.side == Side::Request && self.form {
            let mut found: Vec<Secret> = Vec::new();
            secrets::pairs(bytes, &mut found);
            for secret in found {
                cx.told_secret(&secret, &spot);
            }
        }
    }

    /// A trailer section (RFC 9112 §7.1.2) is searched like the head's fields.
    fn trailers(&mut self, end: u64, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        let trailer = std::mem::take(&mut self.trailer);
        let mut at = end.saturating_sub(trailer.len() as u64);
        for line in trailer.split_inclusive(|b| *b == b'\n') {
            if let Some(colon) = memchr::memchr(b':', line) {
                self.over.trailer = true;
                let (name, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default().trim_ascii());
                let place = if self.side == Side::Request { Place::RequestHeader(name) } else { Place::ResponseHeader(name) };
                let origin = Origin { offset: at, len: line.len() as u64, frame: chunk.frame, time: chunk.time };
                cx.search_whole(&Spot { place, dir: self.dir, layer: self.layer, from: From::Decoded(origin), chain: &[] }, value);
            }
            at += line.len() as u64;
        }
    }

    /// The body is over, or nothing more of it will come.
    pub fn end(&mut self, cx: &mut Cx<'_>) -> Over {
        self.flush(cx);
        self.search_end(cx);
        std::mem::take(&mut self.over)
    }

    pub fn has_holes(&self) -> bool {
        self.holes
    }
}

impl Over {
    /// Notes the first and last bytes.
    fn see(&mut self, bytes: &[u8]) {
        let want = FIRST - self.first.len().min(FIRST);
        self.first.extend_from_slice(&bytes[..want.min(bytes.len())]);
        if bytes.len() >= LAST {
            self.last.copy_from_slice(&bytes[bytes.len() - LAST..]);
        } else {
            self.last.rotate_left(bytes.len());
            self.last[LAST - bytes.len()..].copy_from_slice(bytes);
        }
    }
}

/// Whether a response of this media type may hold words about somebody; the others are pictures, films, programs and archives.
fn is_text(media: &[u8]) -> bool {
    const BULK: [&str; 8] =
        ["image/", "video/", "audio/", "font/", "application/octet-stream", "application/zip", "application/vnd.android", "application/x-"];
    let starts = |prefix: &str| media.get(..prefix.len()).is_some_and(|m| m.eq_ignore_ascii_case(prefix.as_bytes()));
    let words = ["javascript", "json", "xml", "form", "svg", "protobuf"];
    let has = |word: &str| media.windows(word.len()).any(|w| w.eq_ignore_ascii_case(word.as_bytes()));
    !BULK.iter().any(|b| starts(b)) || words.iter().any(|w| has(w))
}

/// A credential found by grammar, before it becomes a hit.
impl Cx<'_> {
    pub(super) fn told_secret(&mut self, secret: &Secret, spot: &Spot<'_>) {
        let mut chain: SmallVec<[&'static str; 4]> = spot.chain.into();
        chain.extend_from_slice(secret.chain);
        let kind: IdentifierType = secret.kind;
        self.told(kind, &secret.value, &Spot { chain: &chain, ..*spot }, secret.at as u64, secret.len as u64);
    }
}

impl Body {
    pub fn side(&self) -> Side {
        self.side
    }

    pub fn dir(&self) -> Dir {
        self.dir
    }
}
