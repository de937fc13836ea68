//! Undoes the content and transfer codings of an HTTP body, bounded, and keeps what came out before the damage.

use std::io::Read;

use smallvec::SmallVec;

use crate::brotli;

/// How a body is coded (RFC 9110 §8.4.1, RFC 8878, RFC 7932).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    /// `deflate`: zlib by the letter, raw in the field.
    Deflate,
    Brotli,
    Zstd,
    /// A coding we do not undo (`compress`, dictionaries, inventions).
    Unknown,
}

impl Coding {
    fn parse(token: &[u8]) -> Option<Coding> {
        let is = |name: &str| token.eq_ignore_ascii_case(name.as_bytes());
        if token.is_empty() || is("identity") || is("none") || is("chunked") {
            return None;
        }
        Some(if is("gzip") || is("x-gzip") {
            Coding::Gzip
        } else if is("deflate") {
            Coding::Deflate
        } else if is("br") {
            Coding::Brotli
        } else if is("zstd") {
            Coding::Zstd
        } else {
            Coding::Unknown
        })
    }

    /// The word a hit's chain carries.
    pub fn word(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
            Coding::Unknown => "unknown-coding",
        }
    }
}

/// Codings in the order they were applied.
pub type Codings = SmallVec<[Coding; 2]>;

/// Nobody stacks more; past this the body stays closed.
pub const MOST_CODINGS: usize = 4;

/// Adds the codings that a `Content-Encoding` or `Transfer-Encoding` value lists.
pub fn read_list(value: &[u8], out: &mut Codings) {
    for token in value.split(|b| *b == b',') {
        let name = token.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        if let Some(coding) = Coding::parse(name)
            && out.len() <= MOST_CODINGS
        {
            out.push(coding);
        }
    }
}

/// What came out of a coded body.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    pub bytes: Vec<u8>,
    /// Why it is not the whole.
    pub trouble: Option<Trouble>,
    /// Input bytes that were not decoded.
    pub left: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The body says it is coded and is not.
    NotCoded,
    /// The coded bytes break off.
    Cut,
    /// The coded bytes are broken.
    Damaged,
    /// More came out than we look at.
    TooMuch,
    /// A coding we do not undo, or too many of them.
    Unknown,
}

impl Trouble {
    pub fn words(self) -> &'static str {
        match self {
            Trouble::NotCoded => "the body is not coded as its header says",
            Trouble::Cut => "the coded body breaks off",
            Trouble::Damaged => "the coded body is broken",
            Trouble::TooMuch => "the body decodes to more than the limit",
            Trouble::Unknown => "the body has a coding that is not undone",
        }
    }
}

/// Undoes `codings`, the last first. At most `limit` bytes come out of each.
pub fn decode(codings: &[Coding], input: &[u8], limit: usize) -> Decoded {
    if codings.len() > MOST_CODINGS || codings.contains(&Coding::Unknown) {
        return Decoded { bytes: Vec::new(), trouble: Some(Trouble::Unknown), left: input.len() as u64 };
    }
    let mut out = Decoded::default();
    for (n, coding) in codings.iter().rev().enumerate() {
        let from = if n == 0 { input } else { &out.bytes[..] };
        let mut next = one(*coding, from, limit);
        if n > 0 {
            // Only the outermost layer's rest is wire bytes.
            next.left = out.left;
            next.trouble = out.trouble.or(next.trouble);
        }
        out = next;
    }
    out
}

fn one(coding: Coding, input: &[u8], limit: usize) -> Decoded {
    match coding {
        Coding::Gzip => gzip(input, limit),
        Coding::Deflate => deflate(input, limit),
        Coding::Brotli => brotli(input, limit),
        Coding::Zstd => zstd(input, limit),
        Coding::Unknown => Decoded { bytes: Vec::new(), trouble: Some(Trouble::Unknown), left: input.len() as u64 },
    }
}

/// RFC 1952 members one after the other; what follows the last and is no member is padding of the sender's.
fn gzip(input: &[u8], limit: usize) -> Decoded {
    const MAGIC: [u8; 2] = [0x1f, 0x8b];
    if !input.starts_with(&MAGIC) {
        let cut = MAGIC.starts_with(input);
        return Decoded { bytes: Vec::new(), trouble: Some(if cut { Trouble::Cut } else { Trouble::NotCoded }), left: input.len() as u64 };
    }
    let mut rest = input;
    let mut bytes = Vec::new();
    while rest.starts_with(&MAGIC) {
        let mut member = flate2::bufread::GzDecoder::new(rest);
        let (more, end) = drain(&mut member, limit.saturating_sub(bytes.len()));
        bytes.extend_from_slice(&more);
        rest = member.into_inner();
        if !matches!(end, End::Whole) {
            return settle(bytes, end, rest.len());
        }
    }
    settle(bytes, End::Whole, 0)
}

fn deflate(input: &[u8], limit: usize) -> Decoded {
    // RFC 1950 §2.2: method 8 in the low nibble, and the first two bytes a multiple of 31.
    let zlib = matches!(input, [a, b, ..] if a & 0x0f == 8 && (u16::from(*a) << 8 | u16::from(*b)) % 31 == 0);
    if zlib {
        let mut decoder = flate2::bufread::ZlibDecoder::new(input);
        let (bytes, end) = drain(&mut decoder, limit);
        if !bytes.is_empty() || matches!(end, End::Whole) {
            return settle(bytes, end, decoder.into_inner().len());
        }
    }
    let mut decoder = flate2::bufread::DeflateDecoder::new(input);
    let (bytes, end) = drain(&mut decoder, limit);
    settle(bytes, end, decoder.into_inner().len())
}

/// The crate's reader hides whether its input was cut or broken and drops what came before; its stream tells.
fn brotli(input: &[u8], limit: usize) -> Decoded {
    use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
    let limit = limit.min(brotli::WIDEST);
    let Some((first, rest)) = input.split_first() else { return settle(Vec::new(), End::Cut, 0) };
    let first = [brotli::narrowed(*first, limit)];
    let (mut input, mut rest) = (&first[..], Some(rest));
    let mut state = BrotliState::new(StandardAlloc::default(), StandardAlloc::default(), StandardAlloc::default());
    let (mut left, mut read, mut wrote, mut total) = (input.len(), 0, 0, 0);
    let mut out = vec![0; limit.min(STEP)];
    let end = loop {
        let mut room = out.len() - wrote;
        match BrotliDecompressStream(&mut left, &mut read, input, &mut room, &mut wrote, &mut out, &mut total, &mut state) {
            BrotliResult::ResultSuccess => break End::Whole,
            BrotliResult::NeedsMoreInput => match rest.take() {
                Some(rest) => (input, left, read) = (rest, rest.len(), 0),
                None => break End::Cut,
            },
            BrotliResult::ResultFailure => break End::Damaged,
            BrotliResult::NeedsMoreOutput if out.len() >= limit => break End::TooMuch,
            BrotliResult::NeedsMoreOutput => out.resize(limit.min(out.len() * 2), 0),
        }
    };
    out.truncate(wrote);
    settle(out, end, left + rest.map_or(0, <[u8]>::len))
}

/// RFC 8878 §3.1.1.1.2 asks decoders for windows of 8 MB and advises against more.
const ZSTD_WINDOW_LOG: u32 = 23;

fn zstd(input: &[u8], limit: usize) -> Decoded {
    let mut rest = input;
    let Ok(mut decoder) = zstd::stream::read::Decoder::with_buffer(&mut rest) else {
        return Decoded { bytes: Vec::new(), trouble: Some(Trouble::Damaged), left: input.len() as u64 };
    };
    let (bytes, end) = match decoder.window_log_max(ZSTD_WINDOW_LOG) {
        Ok(()) => drain(&mut decoder, limit),
        Err(_) => (Vec::new(), End::Damaged),
    };
    let left = decoder.finish().len();
    settle(bytes, end, left)
}

#[derive(Clone, Copy)]
enum End {
    Whole,
    Cut,
    Damaged,
    TooMuch,
}

fn settle(bytes: Vec<u8>, end: End, left: usize) -> Decoded {
    let (trouble, left) = match end {
        End::Whole => (None, 0),
        End::Cut => (Some(Trouble::Cut), left),
        // A decoder that fails has taken in some of the bytes it could not use; at least one was not decoded.
        End::Damaged => (Some(Trouble::Damaged), left.max(1)),
        End::TooMuch => (Some(Trouble::TooMuch), left.max(1)),
    };
    Decoded { bytes, trouble, left: left as u64 }
}

/// Output grows by at least this.
const STEP: usize = 16 << 10;

/// Reads until the end, the first error or `limit`, and keeps what came.
fn drain(from: &mut impl Read, limit: usize) -> (Vec<u8>, End) {
    let mut out = Vec::new();
    loop {
        let have = out.len();
        if have >= limit {
            let mut one = [0];
            return match from.read(&mut one) {
                Ok(0) => (out, End::Whole),
                _ => (out, End::TooMuch),
            };
        }
        out.resize(limit.min(have + STEP.max(have)), 0);
        match from.read(&mut out[have..]) {
            Ok(n) => {
                out.truncate(have + n);
                if n == 0 {
                    return (out, End::Whole);
                }
            }
            Err(e) => {
                out.truncate(have);
                let end = if e.kind() == std::io::ErrorKind::UnexpectedEof { End::Cut } else { End::Damaged };
                return (out, end);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::io::Write;

    const PLAIN: &[u8] = b"{\"device\":\"490154203237518\",\"more\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}";

    pub(super) fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        e.write_all(bytes).unwrap();
        e.finish().unwrap()
    }

    fn zl(bytes: &[u8]) -> Vec<u8> {
        let mut e = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        e.write_all(bytes).unwrap();
        e.finish().unwrap()
    }

    fn raw(bytes: &[u8]) -> Vec<u8> {
        let mut e = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        e.write_all(bytes).unwrap();
        e.finish().unwrap()
    }

    fn zs(bytes: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(bytes, 3).unwrap()
    }

    /// `Hello Hello Hello Hello 490154203237518` and a newline, from another encoder.
    const BR: &[u8] = &[
        0x1b, 0x27, 0x00, 0xf8, 0x1d, 0x09, 0x76, 0x2c, 0xe4, 0x37, 0x8e, 0x6c, 0x92, 0x94, 0x6c, 0x48, 0x6f, 0x9e, 0xb2, 0xae, 0x25, 0x86,
        0xf9, 0x0b, 0xa4, 0xac, 0x64, 0x99, 0xa7, 0x0e, 0x50, 0x26, 0xca, 0x90, 0xa7, 0x9a, 0x1e, 0xaf, 0x3a, 0x00,
    ];

    #[track_caller]
    fn check(list: &str, input: &[u8], expect: &[u8], trouble: Option<Trouble>) {
        let mut codings = Codings::new();
        read_list(list.as_bytes(), &mut codings);
        let out = decode(&codings, input, 1 << 20);
        assert_eq!((String::from_utf8_lossy(&out.bytes), out.trouble), (String::from_utf8_lossy(expect), trouble), "{list}");
        assert_eq!(out.left > 0, !matches!(trouble, None | Some(Trouble::Cut)) || (trouble.is_some() && out.left > 0), "{list}");
    }

    #[test]
    fn decodes_every_coding() {
        check("gzip", &gz(PLAIN), PLAIN, None);
        check("X-GZIP", &gz(PLAIN), PLAIN, None);
        check("deflate", &zl(PLAIN), PLAIN, None);
        check("deflate", &raw(PLAIN), PLAIN, None);
        check("zstd", &zs(PLAIN), PLAIN, None);
        check("br", BR, b"Hello Hello Hello Hello 490154203237518\n", None);
        check("br", &BR[..30], b"", Some(Trouble::Cut));
        check("identity, gzip;q=1", &gz(PLAIN), PLAIN, None);
        check("deflate, gzip", &gz(&zl(PLAIN)), PLAIN, None);
        check("gzip, gzip, zstd", &zs(&gz(&gz(PLAIN))), PLAIN, None);
        let two = [gz(b"one "), gz(b"two")].concat();
        check("gzip", &two, b"one two", None);
        check("gzip", &[gz(b"one"), vec![0; 7]].concat(), b"one", None);
    }

    #[test]
    fn keeps_what_came_before_the_damage() {
        let noise: Vec<u8> = (0..60_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for (list, coded) in [("gzip", gz(&noise)), ("deflate", zl(&noise)), ("deflate", raw(&noise)), ("zstd", zs(&noise))] {
            let mut codings = Codings::new();
            read_list(list.as_bytes(), &mut codings);
            let out = decode(&codings, &coded[..coded.len() - 40], 1 << 20);
            assert_eq!(out.trouble, Some(Trouble::Cut), "{list}");
            assert!(noise.starts_with(&out.bytes), "{list}");
            if list != "zstd" {
                assert!(out.bytes.len() > 30_000, "{list} {}", out.bytes.len());
            }
        }
        check("gzip", b"plain words", b"", Some(Trouble::NotCoded));
        check("compress", b"\x1f\x9d..", b"", Some(Trouble::Unknown));
        check("gzip,gzip,gzip,gzip,gzip", b"\x1f\x8b", b"", Some(Trouble::Unknown));
    }

    #[test]
    fn bombs_stay_small() {
        let zeros = vec![0; 64 << 20];
        for (coding, bomb) in
            [(Coding::Gzip, gz(&zeros)), (Coding::Deflate, zl(&zeros)), (Coding::Zstd, zs(&zeros)), (Coding::Gzip, gz(&gz(&zeros)))]
        {
            let out = one(coding, &bomb, 1 << 16);
            assert!(out.bytes.len() <= 1 << 16 && out.bytes.capacity() <= 1 << 17);
        }
        let stacked = decode(&[Coding::Gzip, Coding::Gzip], &gz(&gz(&zeros)), 1 << 16);
        assert_eq!(stacked.trouble, Some(Trouble::TooMuch));
        assert!(stacked.bytes.len() <= 1 << 16);
    }
}
