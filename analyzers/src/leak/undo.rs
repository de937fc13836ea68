//! Decoders: each gives the bytes that were coded and remembers where every one of them came from.
//! Long, for it is one decoder beside the other, each with its rows.

use std::io::Read;
use std::ops::Range;

use crate::brotli;
use crate::encode::nibble;

/// Decoded bytes and the way back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Undone {
    pub(super) bytes: Vec<u8>,
    pub(super) map: Map,
    /// The decoder stopped at its limit; there was more.
    pub(super) cut: bool,
}

/// Takes a span of decoded bytes to the span of coded bytes that holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Map {
    /// Where a stretch begins, decoded and coded; the last point is the end of both.
    points: Vec<(u32, u32)>,
    /// So many decoded bytes stand in so many coded ones, wherever a stretch is not simply copied.
    unit: Option<(u32, u32)>,
}

impl Map {
    pub(super) fn whole(decoded: usize, coded: usize) -> Map {
        Map { points: vec![(0, 0), (decoded as u32, coded as u32)], unit: None }
    }

    pub(super) fn back(&self, span: &Range<usize>) -> Range<usize> {
        let (start, end) = (span.start as u32, (span.end as u32).max(span.start as u32 + 1));
        let low = self.stretch(start).map_or(0, |(from, to)| self.within(from, to, start).start);
        let high = self.stretch(end - 1).map_or(low, |(from, to)| self.within(from, to, end - 1).end);
        low as usize..high as usize
    }

    /// The stretch that holds a decoded offset.
    fn stretch(&self, at: u32) -> Option<((u32, u32), (u32, u32))> {
        let next = self.points.partition_point(|(decoded, _)| *decoded <= at).min(self.points.len().checked_sub(1)?);
        Some((*self.points.get(next.checked_sub(1)?)?, *self.points.get(next)?))
    }

    fn within(&self, from: (u32, u32), to: (u32, u32), at: u32) -> Range<u32> {
        let (decoded, coded) = (to.0 - from.0, to.1 - from.1);
        let (unit, width) = match self.unit {
            Some(unit) => unit,
            None if decoded == coded => (1, 1),
            None => return from.1..to.1,
        };
        let start = from.1 + (at - from.0) / unit * width;
        start.min(to.1)..(start + width).min(to.1)
    }
}

/// Writes decoded bytes down together with their origin.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    points: Vec<(u32, u32)>,
    /// Coded bytes used so far.
    at: u32,
    copying: bool,
    changed: bool,
}

impl Writer {
    /// For a text of so many bytes of which no byte becomes more than one.
    fn with_room(len: usize) -> Writer {
        Writer { bytes: Vec::with_capacity(len), ..Writer::default() }
    }

    pub(super) fn copy(&mut self, byte: u8) {
        self.copying();
        self.bytes.push(byte);
        self.at += 1;
    }

    fn copy_all(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.copying();
        self.bytes.extend_from_slice(bytes);
        self.at += bytes.len() as u32;
    }

    /// Coded bytes used so far.
    pub(super) fn at(&self) -> usize {
        self.at as usize
    }

    fn copying(&mut self) {
        if !self.copying {
            self.points.push((self.bytes.len() as u32, self.at));
            self.copying = true;
        }
    }

    pub(super) fn decoded(&mut self, bytes: &[u8], coded: usize) {
        // Also where nothing comes out (a soft line break): what was copied before it ends here.
        self.points.push((self.bytes.len() as u32, self.at));
        self.copying = false;
        self.changed = true;
        self.bytes.extend_from_slice(bytes);
        self.at += coded as u32;
    }

    /// Nothing, if nothing was coded.
    pub(super) fn done(mut self) -> Option<Undone> {
        self.points.push((self.bytes.len() as u32, self.at));
        self.changed.then_some(Undone { bytes: self.bytes, map: Map { points: self.points, unit: None }, cut: false })
    }
}

fn pair(bytes: &[u8]) -> Option<u8> {
    Some(nibble(*bytes.first()?)? << 4 | nibble(*bytes.get(1)?)?)
}

/// Percent-encoding (RFC 3986 §2.1), and `%uNNNN` as the old `escape` of scripts has it; with `plus` a `+` is a space (HTML forms).
pub(super) fn percent(text: &[u8], plus: bool) -> Option<Undone> {
    let mut out = Writer::with_room(text.len());
    while let Some(rest) = text.get(out.at()..) {
        let sign = if plus { memchr::memchr2(b'%', b'+', rest) } else { memchr::memchr(b'%', rest) };
        let (plain, coded) = rest.split_at(sign.unwrap_or(rest.len()));
        out.copy_all(plain);
        match coded {
            [b'%', code @ ..] if let Some(byte) = pair(code) => out.decoded(&[byte], 3),
            [b'%', code @ ..] if let Some(c) = escaped(code) => out.decoded(c.encode_utf8(&mut [0; 4]).as_bytes(), 6),
            [b'%', ..] => out.copy(b'%'),
            [_, ..] => out.decoded(b" ", 1),
            [] => break,
        }
    }
    out.done()
}

/// `uNNNN`: one of the units that make no pair (ECMAScript, annex B.2.1.1).
fn escaped(text: &[u8]) -> Option<char> {
    let digits = text.strip_prefix(b"u")?.first_chunk::<4>()?;
    char::from_u32(digits.iter().try_fold(0, |sum, d| Some(sum << 4 | u32::from(nibble(*d)?)))?)
}

/// Blanks and hyphens of typography as ASCII has them.
pub(super) fn typography(text: &[u8]) -> Option<Undone> {
    let mut out = Writer::default();
    while let Some(rest) = text.get(out.at as usize..).filter(|rest| !rest.is_empty()) {
        if let Some((plain, len)) = typographic(rest) {
            out.decoded(&[plain], len);
        } else {
            let tail = rest.get(1..).unwrap_or_default();
            out.copy_all(rest.get(..=memchr::memchr2(0xc2, 0xe2, tail).unwrap_or(tail.len())).unwrap_or(rest));
        }
    }
    out.done()
}

/// The blank or hyphen a text begins with, if it is one beyond ASCII: what in Unicode is a space separator or a dash, and no wider than one.
pub(super) fn typographic(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [0xc2, 0xa0, ..] => Some((b' ', 2)),
        [0xe2, 0x80, 0x80..=0x8a | 0xaf, ..] | [0xe2, 0x81, 0x9f, ..] => Some((b' ', 3)),
        [0xe2, 0x80, 0x90..=0x93, ..] => Some((b'-', 3)),
        _ => None,
    }
}

/// The escapes of a JSON string (RFC 8259 §7), and `\xNN` and `\'` as scripts have them.
pub(super) fn json(text: &[u8]) -> Option<Undone> {
    let mut out = Writer::with_room(text.len());
    let unit = |code: &[u8]| -> Option<u32> {
        let hex = code.strip_prefix(b"\\u")?.get(..4)?;
        hex.iter().try_fold(0, |sum, d| Some(sum << 4 | u32::from(nibble(*d)?)))
    };
    while let Some(rest) = text.get(out.at()..) {
        let (plain, code) = rest.split_at(memchr::memchr(b'\\', rest).unwrap_or(rest.len()));
        out.copy_all(plain);
        if code.is_empty() {
            break;
        }
        let (decoded, len): (char, usize) = match code.get(1) {
            Some(b'u') => match (unit(code), code.get(6..).and_then(unit)) {
                (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000)) => {
                    (char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).unwrap_or('\u{fffd}'), 12)
                }
                (Some(unit), _) => (char::from_u32(unit).unwrap_or('\u{fffd}'), 6),
                (None, _) => {
                    out.copy(b'\\');
                    continue;
                }
            },
            Some(b'x') if let Some(byte) = code.get(2..).and_then(pair) => {
                out.decoded(&[byte], 4);
                continue;
            }
            Some(b'n') => ('\n', 2),
            Some(b't') => ('\t', 2),
            Some(b'r') => ('\r', 2),
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(c @ (b'"' | b'\\' | b'/' | b'\'')) => (char::from(*c), 2),
            _ => {
                out.copy(b'\\');
                continue;
            }
        };
        out.decoded(decoded.encode_utf8(&mut [0; 4]).as_bytes(), len);
    }
    out.done()
}

/// Character references of HTML and XML: numeric ones, and the named ones that stand for ASCII or letters of Latin-1.
pub(super) fn html(text: &[u8]) -> Option<Undone> {
    let mut out = Writer::with_room(text.len());
    while let Some(rest) = text.get(out.at()..) {
        let (plain, code) = rest.split_at(memchr::memchr(b'&', rest).unwrap_or(rest.len()));
        out.copy_all(plain);
        match reference(code) {
            Some((c, len)) => out.decoded(c.encode_utf8(&mut [0; 4]).as_bytes(), len),
            None if code.is_empty() => break,
            None => out.copy(b'&'),
        }
    }
    out.done()
}

/// The reference a text begins with.
fn reference(text: &[u8]) -> Option<(char, usize)> {
    let body = text.strip_prefix(b"&")?;
    let end = body.iter().take(10).position(|b| *b == b';')?;
    let name = std::str::from_utf8(body.get(..end)?).ok()?;
    let c = if let Some(number) = name.strip_prefix('#') {
        let value = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        char::from_u32(value.ok()?)?
    } else {
        NAMED.iter().find(|(known, _)| *known == name)?.1
    };
    Some((c, end + 2))
}

/// HTML, "Named character references": those of ASCII punctuation, the space, the degree, and the letters of Latin-1.
#[rustfmt::skip]
const NAMED: [(&str, char); 94] = [
    ("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"'), ("apos", '\''), ("commat", '@'), ("period", '.'), ("plus", '+'), ("nbsp", ' '), ("colon", ':'),
    ("comma", ','), ("semi", ';'), ("sol", '/'), ("bsol", '\\'), ("lowbar", '_'), ("num", '#'), ("equals", '='), ("quest", '?'), ("percnt", '%'),
    ("dollar", '$'), ("excl", '!'), ("ast", '*'), ("lpar", '('), ("rpar", ')'), ("lsqb", '['), ("rsqb", ']'), ("lcub", '{'), ("rcub", '}'), ("verbar", '|'),
    ("hyphen", '-'), ("Tab", '\t'), ("deg", '°'),
    ("Agrave", 'À'), ("Aacute", 'Á'), ("Acirc", 'Â'), ("Atilde", 'Ã'), ("Auml", 'Ä'), ("Aring", 'Å'), ("AElig", 'Æ'), ("Ccedil", 'Ç'),
    ("Egrave", 'È'), ("Eacute", 'É'), ("Ecirc", 'Ê'), ("Euml", 'Ë'), ("Igrave", 'Ì'), ("Iacute", 'Í'), ("Icirc", 'Î'), ("Iuml", 'Ï'), ("ETH", 'Ð'),
    ("Ntilde", 'Ñ'), ("Ograve", 'Ò'), ("Oacute", 'Ó'), ("Ocirc", 'Ô'), ("Otilde", 'Õ'), ("Ouml", 'Ö'), ("Oslash", 'Ø'), ("Ugrave", 'Ù'),
    ("Uacute", 'Ú'), ("Ucirc", 'Û'), ("Uuml", 'Ü'), ("Yacute", 'Ý'), ("THORN", 'Þ'), ("szlig", 'ß'), ("agrave", 'à'), ("aacute", 'á'), ("acirc", 'â'),
    ("atilde", 'ã'), ("auml", 'ä'), ("aring", 'å'), ("aelig", 'æ'), ("ccedil", 'ç'), ("egrave", 'è'), ("eacute", 'é'), ("ecirc", 'ê'), ("euml", 'ë'),
    ("igrave", 'ì'), ("iacute", 'í'), ("icirc", 'î'), ("iuml", 'ï'), ("eth", 'ð'), ("ntilde", 'ñ'), ("ograve", 'ò'), ("oacute", 'ó'), ("ocirc", 'ô'),
    ("otilde", 'õ'), ("ouml", 'ö'), ("oslash", 'ø'), ("ugrave", 'ù'), ("uacute", 'ú'), ("ucirc", 'û'), ("uuml", 'ü'), ("yacute", 'ý'), ("thorn", 'þ'),
    ("yuml", 'ÿ'),
];

/// Quoted-printable (RFC 2045 §6.7), soft line breaks included.
pub(super) fn quoted_printable(text: &[u8]) -> Option<Undone> {
    let mut out = Writer::with_room(text.len());
    while let Some(rest) = text.get(out.at()..) {
        let (plain, code) = rest.split_at(memchr::memchr(b'=', rest).unwrap_or(rest.len()));
        out.copy_all(plain);
        match code {
            [b'=', rest @ ..] if let Some(byte) = pair(rest) => out.decoded(&[byte], 3),
            [b'=', b'\r', b'\n', ..] => out.decoded(b"", 3),
            [b'=', b'\n', ..] => out.decoded(b"", 2),
            [b, ..] => out.copy(*b),
            [] => break,
        }
    }
    out.done()
}

/// Lines that go on in the next, which begins with a blank (RFC 5545 §3.1).
pub(super) fn folded(text: &[u8]) -> Option<Undone> {
    let mut out = Writer::default();
    while let Some(rest) = text.get(out.at()..).filter(|rest| !rest.is_empty()) {
        match rest {
            [b'\r', b'\n', b' ' | b'\t', ..] => out.decoded(b"", 3),
            [b'\n', b' ' | b'\t', ..] => out.decoded(b"", 2),
            [first, tail @ ..] => {
                out.copy(*first);
                out.copy_all(tail.get(..memchr::memchr2(b'\r', b'\n', tail).unwrap_or(tail.len())).unwrap_or_default());
            }
            [] => break,
        }
    }
    out.done()
}

/// The value of a base64 character of either alphabet.
pub(super) const SEXTET: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut i = 0;
    while i < 26 {
        table[b'A' as usize + i] = i as u8;
        table[b'a' as usize + i] = 26 + i as u8;
        i += 1;
    }
    i = 0;
    while i < 10 {
        table[b'0' as usize + i] = 52 + i as u8;
        i += 1;
    }
    table[b'+' as usize] = 62;
    table[b'-' as usize] = 62;
    table[b'/' as usize] = 63;
    table[b'_' as usize] = 63;
    table
};

/// Base64 of either alphabet (RFC 4648 §4 and §5), padded or not; line breaks are skipped, anything else ends it.
pub(super) fn base64(text: &[u8]) -> Undone {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let mut points = vec![(0, 0)];
    let (mut bits, mut held, mut broken) = (0u32, 0u32, false);
    let (mut at, mut used) = (0, 0);
    while let Some(b) = text.get(at) {
        // After a line break the next whole group starts a stretch of its own.
        if held == 0 {
            let (groups, _) = text.get(at..).unwrap_or_default().as_chunks::<4>();
            let begins = bytes.len() as u32;
            let from = at;
            for group in groups {
                let [a, b, c, d] = group.map(|b| u32::from(SEXTET[usize::from(b)]));
                if (a | b | c | d) > 63 {
                    break;
                }
                let bits = a << 18 | b << 12 | c << 6 | d;
                bytes.extend_from_slice(&[(bits >> 16) as u8, (bits >> 8) as u8, bits as u8]);
                at += 4;
            }
            if at > from {
                if broken {
                    points.push((begins, from as u32));
                    broken = false;
                }
                used = at;
                continue;
            }
        }
        let value = SEXTET[usize::from(*b)];
        at += 1;
        if value == 0xff {
            if matches!(b, b'\r' | b'\n') {
                broken = true;
                continue;
            }
            break;
        }
        if broken && held == 0 {
            points.push((bytes.len() as u32, at as u32 - 1));
            broken = false;
        }
        bits = bits << 6 | u32::from(value);
        held += 1;
        used = at;
        if held == 4 {
            bytes.extend_from_slice(&[(bits >> 16) as u8, (bits >> 8) as u8, bits as u8]);
            (bits, held) = (0, 0);
        }
    }
    match held {
        2 => bytes.push((bits >> 4) as u8),
        3 => bytes.extend_from_slice(&[(bits >> 10) as u8, (bits >> 2) as u8]),
        _ => {}
    }
    points.push((bytes.len() as u32, used as u32));
    Undone { bytes, map: Map { points, unit: Some((3, 4)) }, cut: false }
}

/// Hex of either case, up to the first byte that is none.
pub(super) fn hex(text: &[u8]) -> Undone {
    let bytes: Vec<u8> = text.chunks_exact(2).map_while(pair).collect();
    let ends = (bytes.len() as u32, bytes.len() as u32 * 2);
    Undone { bytes, map: Map { points: vec![(0, 0), ends], unit: Some((1, 2)) }, cut: false }
}

/// Hex whose pairs are parted by one character each: `61:6e`, `61 6e`, `61-6e`.
pub(super) fn parted_hex(text: &[u8]) -> Undone {
    let bytes: Vec<u8> = text.chunks(3).map_while(pair).collect();
    let ends = (bytes.len() as u32, (bytes.len() * 3).saturating_sub(1) as u32);
    Undone { bytes, map: Map { points: vec![(0, 0), ends], unit: Some((1, 3)) }, cut: false }
}

/// Numbers from 0 to 255, or from -128 as Java has bytes, with a comma (and spaces) between, as programs write arrays of bytes.
pub(super) fn decimals(text: &[u8]) -> Option<Undone> {
    let mut out = Writer::default();
    for piece in text.split_inclusive(|b| *b == b',') {
        let number = std::str::from_utf8(piece.strip_suffix(b",").unwrap_or(piece)).ok()?.trim_ascii();
        let value: i16 = number.parse().ok().filter(|n| (-128..=255).contains(n))?;
        out.decoded(&[value as u8], piece.len());
    }
    out.done()
}

/// UTF-16 whose characters are Latin-1, one byte of each pair being zero.
pub(super) fn utf16(text: &[u8], big: bool) -> Undone {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut points = Vec::new();
    for (n, unit) in (0u32..).zip(text.chunks_exact(2)) {
        let value = if let [a, b] = *unit { u16::from_be_bytes(if big { [a, b] } else { [b, a] }) } else { 0 };
        points.push((bytes.len() as u32, n * 2));
        let c = char::from_u32(u32::from(value)).unwrap_or('\u{fffd}');
        bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    points.push((bytes.len() as u32, text.len() as u32 / 2 * 2));
    Undone { bytes, map: Map { points, unit: None }, cut: false }
}

/// UTF-32, little-endian, whose characters are Latin-1.
pub(super) fn utf32(text: &[u8]) -> Undone {
    let mut out = Writer::default();
    for unit in text.chunks(4) {
        let c = char::from(unit.first().copied().unwrap_or(b'?'));
        out.decoded(c.encode_utf8(&mut [0; 2]).as_bytes(), unit.len());
    }
    out.done().unwrap_or_default()
}

/// A compressed format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Packed {
    /// RFC 1952.
    Gzip,
    /// RFC 1950.
    Zlib,
    /// RFC 1951 without a frame.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

impl Packed {
    pub fn as_str(self) -> &'static str {
        match self {
            Packed::Gzip => "gzip",
            Packed::Zlib => "zlib",
            Packed::Deflate => "deflate",
            Packed::Brotli => "br",
            Packed::Zstd => "zstd",
        }
    }

    /// What these bytes say they are; raw deflate and brotli say nothing.
    pub(super) fn sniff(bytes: &[u8]) -> Option<Packed> {
        match bytes {
            // The third byte is the method, always deflate; of the flags the upper three bits are reserved.
            [0x1f, 0x8b, 8, flags, ..] if *flags < 0x20 => Some(Packed::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Packed::Zstd),
            // Method 8, window up to 32 KiB, no dictionary, and the check of the two bytes.
            [head, flags, ..]
                if head & 15 == 8 && head >> 4 <= 7 && flags & 0x20 == 0 && (u16::from(*head) << 8 | u16::from(*flags)) % 31 == 0 =>
            {
                Some(Packed::Zlib)
            }
            _ => None,
        }
    }
}

/// Whether these bytes say that they are packed in a way that is not undone: xz, bzip2, 7z, RAR, frames of LZ4.
pub(crate) fn stays_packed(bytes: &[u8]) -> bool {
    match bytes {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..]
        | [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..]
        | [b'R', b'a', b'r', b'!', 0x1a, 7, ..]
        | [4, 0x22, 0x4d, 0x18, ..] => true,
        [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..] => rest.starts_with(b"1AY&SY"),
        _ => false,
    }
}

/// Decompresses at most `limit` bytes; what was readable before damage counts. `None`: nothing was.
pub(super) fn unpack(packed: Packed, bytes: &[u8], limit: usize) -> Option<(Undone, Whole)> {
    let (out, ended, cut, taken) = unpacked(packed, bytes, limit)?;
    let whole = Whole(ended && !cut && taken == bytes.len());
    let map = Map::whole(out.len(), taken);
    (!out.is_empty()).then_some((Undone { bytes: out, map, cut }, whole))
}

/// The same for a stream with other bytes behind it: whether it came to its proper end, and how long it was.
pub(super) fn unpack_first(packed: Packed, bytes: &[u8], limit: usize) -> Option<(Undone, Whole, usize)> {
    let (out, ended, cut, taken) = unpacked(packed, bytes, limit)?;
    let map = Map::whole(out.len(), taken);
    (!out.is_empty()).then_some((Undone { bytes: out, map, cut }, Whole(ended && !cut), taken))
}

fn unpacked(packed: Packed, bytes: &[u8], limit: usize) -> Option<(Vec<u8>, bool, bool, usize)> {
    let mut source = Counted { bytes, at: 0 };
    let (out, ended, cut) = match packed {
        Packed::Gzip => drain(flate2::bufread::MultiGzDecoder::new(&mut source), limit),
        Packed::Zlib => return Some(inflate(bytes, true, limit)),
        Packed::Deflate => return Some(inflate(bytes, false, limit)),
        Packed::Brotli => {
            let first = [brotli::narrowed(*bytes.first()?, limit)];
            source.at = 1;
            let limit = limit.min(brotli::WIDEST);
            drain(brotli_decompressor::Decompressor::new(first.as_slice().chain(&mut source), 4096), limit)
        }
        Packed::Zstd => drain(zstd_reader(&mut source)?, limit),
    };
    Some((out, ended, cut, source.at))
}

/// Bytes are drained by so many.
const BUFFER: usize = 4096;

/// Whether a stream came to its proper end with its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole(pub(super) bool);

fn zstd_reader<'a>(source: &'a mut Counted<'_>) -> Option<impl Read + 'a> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(source).ok()?;
    // 8 MiB, what RFC 8878 §3.1.1.1.2 asks every decoder to support; a larger window only costs memory.
    decoder.window_log_max(23).ok()?;
    Some(decoder)
}

fn drain(mut from: impl Read, limit: usize) -> (Vec<u8>, bool, bool) {
    let mut out = Vec::new();
    let mut buffer = [0; BUFFER];
    loop {
        if out.len() >= limit {
            out.truncate(limit);
            return (out, false, true);
        }
        match from.read(&mut buffer) {
            Ok(0) => return (out, true, false),
            Ok(n) => out.extend_from_slice(&buffer[..n.min(buffer.len())]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return (out, false, false),
        }
    }
}

/// As [`drain`], and keeps what came out of the very piece that is damaged.
fn inflate(bytes: &[u8], zlib: bool, limit: usize) -> (Vec<u8>, bool, bool, usize) {
    let mut stream = flate2::Decompress::new(zlib);
    let mut out = Vec::new();
    let mut buffer = [0; BUFFER];
    loop {
        let (taken, made) = (stream.total_in() as usize, stream.total_out());
        let status = stream.decompress(bytes.get(taken..).unwrap_or_default(), &mut buffer, flate2::FlushDecompress::None);
        let n = (stream.total_out() - made) as usize;
        out.extend_from_slice(buffer.get(..n).unwrap_or_default());
        if out.len() > limit {
            out.truncate(limit);
            return (out, false, true, stream.total_in() as usize);
        }
        let ended = matches!(status, Ok(flate2::Status::StreamEnd));
        let stuck = n == 0 && stream.total_in() as usize == taken;
        if ended || stuck || status.is_err() {
            return (out, ended, false, stream.total_in() as usize);
        }
    }
}

/// A slice that counts what was taken of it.
struct Counted<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let n = rest.len().min(into.len());
        into[..n].copy_from_slice(&rest[..n]);
        self.at += n;
        Ok(n)
    }
}

impl std::io::BufRead for Counted<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        Ok(self.bytes.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, n: usize) {
        self.at += n;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// What comes out, and for a needle in it, the coded bytes it is taken back to.
    #[track_caller]
    fn check(coded: &[u8], undone: Option<Undone>, expect: &str, needle: &str, origin: &str) {
        let undone = undone.unwrap();
        assert_eq!(String::from_utf8_lossy(&undone.bytes), expect);
        let at = expect.find(needle).unwrap();
        let span = undone.map.back(&(at..at + needle.len()));
        assert_eq!(String::from_utf8_lossy(&coded[span]), origin);
    }

    #[test]
    fn a_narrower_window_decodes_to_the_same() {
        // Made with the reference encoder: 64 bytes, 3 MB of zeros, the bytes again; quality 11, a window of 24 bits.
        let far = &*hex(b"\
            9f3fc72df82f8fb771d88becc0d874b83f0e35a2066fce47ebd2c0c25961130f\
            28ac194cc7bd87e97bf61be7676954bbbc14166baa42c87aad80a9692e63f4fe\
            dbe08611541df36221f0d8cff36d7109e427c9857dc33058d8443cd1e8c1b825\
            0965f3a26929fed9e1d026ceeeb37c69004d8d1b")
        .bytes;
        assert_eq!(far[0] & 15, 15);
        let limit = 4 << 20;
        assert_eq!((brotli::narrowed(far[0], brotli::WIDEST) & 15, brotli::narrowed(far[0], 100_000) & 15), (11, 3));
        let (undone, whole) = unpack(Packed::Brotli, far, limit).unwrap();
        assert_eq!((undone.bytes.len(), whole), (3_000_128, Whole(true)));
        assert_eq!(undone.bytes[..64], undone.bytes[3_000_064..]);
        assert!(undone.bytes[64..3_000_064].iter().all(|b| *b == 0));
        // What is cut is cut at the same place.
        for limit in [1, 63, 100_000, 262_128, 262_129, 3_000_100] {
            let (short, whole) = unpack(Packed::Brotli, far, limit).unwrap();
            assert_eq!((short.bytes == undone.bytes[..limit], short.cut, whole), (true, true, Whole(false)), "{limit}");
        }
        // Other codes of windows stay: 16 bits, 10 to 15 and 17, the reserved one.
        for first in [0b0, 0b010_0001, 0b000_0001, 0b001_0001, 0b111_0001] {
            assert_eq!(brotli::narrowed(first, 1), first);
        }
    }

    #[test]
    fn decoders_and_their_way_back() {
        let rows = |text: &'static str| text.as_bytes();
        let t = rows("q=a%40b.c+d");
        check(t, percent(t, true), "q=a@b.c d", "a@b", "a%40b");
        check(t, percent(t, true), "q=a@b.c d", "c d", "c+d");
        check(t, percent(t, false), "q=a@b.c+d", "@", "%40");
        let t = rows(r"x\u0040y\/z\ud83d\ude00!");
        check(t, json(t), "x@y/z😀!", "@y/", r"\u0040y\/");
        check(t, json(t), "x@y/z😀!", "😀", r"\ud83d\ude00");
        let t = rows("a&#64;b&#x2E;c&commat;&bogus;");
        check(t, html(t), "a@b.c@&bogus;", "@b.", "&#64;b&#x2E;");
        let t = rows("an=\r\nna=40x=3D");
        check(t, quoted_printable(t), "anna@x=", "nna@", "n=\r\nna=40");
        let t = rows("YW5uYUB4Lm9yZw==");
        check(t, Some(base64(t)), "anna@x.org", "anna", "YW5uYUB4");
        let t = rows("YW5u\r\nYUB4\r\nLm9yZw");
        check(t, Some(base64(t)), "anna@x.org", "x.", "YUB4\r\nLm9y");
        let t = rows("616e6E61");
        check(t, Some(hex(t)), "anna", "nn", "6e6E");
        let t = rows("61:6e:6e:61");
        check(t, Some(parted_hex(t)), "anna", "na", "6e:61");
        let t = rows("97, 110,110,97");
        check(t, decimals(t), "anna", "nn", " 110,110,");
        let t = rows("a\0n\0n\0a\0");
        check(t, Some(utf16(t, false)), "anna", "nn", "n\0n\0");
        assert_eq!(percent(b"100%", true), None);
        assert_eq!(json(b"plain"), None);
    }

    #[test]
    fn packed_streams() {
        let text = b"anna.quist@example.org anna.quist@example.org".repeat(20);
        let gzip = {
            let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            to.write_all(&text).unwrap();
            to.finish().unwrap()
        };
        assert_eq!(Packed::sniff(&gzip), Some(Packed::Gzip));
        let (undone, whole) = unpack(Packed::Gzip, &gzip, 1 << 20).unwrap();
        assert_eq!((&undone.bytes, whole), (&text, Whole(true)));
        assert_eq!(undone.map.back(&(5..9)), 0..gzip.len());
        // Cut in the middle: what came through counts.
        let (half, whole) = unpack(Packed::Gzip, &gzip[..gzip.len() - 9], 1 << 20).unwrap();
        assert!(text.starts_with(&half.bytes) && !half.bytes.is_empty() && whole == Whole(false));
        let (capped, _) = unpack(Packed::Gzip, &gzip, 100).unwrap();
        assert!(capped.cut && capped.bytes.len() == 100);
        let zstd = zstd::encode_all(&text[..], 3).unwrap();
        assert_eq!(Packed::sniff(&zstd), Some(Packed::Zstd));
        assert_eq!(unpack(Packed::Zstd, &zstd, 1 << 20).unwrap().0.bytes, text);
        assert_eq!(unpack(Packed::Brotli, b"\x0b\x02\x80hello\x03", 100).unwrap().0.bytes, b"hello");
        assert!(unpack(Packed::Zlib, b"\x78\x9cgarbage", 100).is_none_or(|(u, w)| u.bytes.len() < 100 && w == Whole(false)));
    }
}
