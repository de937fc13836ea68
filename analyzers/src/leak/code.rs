//! Encoders: what a value looks like after each coding, for needles that are sought as they are.

use md5::Digest as _;

use super::needles::Ragged;
use super::table::CORE;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// RFC 3986 §2.3: what never needs a percent sign.
fn unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

fn push_percent(b: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
}

/// Percent-encoding of all that is not unreserved.
pub(super) fn percent(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 8);
    for b in bytes {
        if unreserved(*b) { out.push(*b) } else { push_percent(*b, &mut out) }
    }
    out
}

/// As [`percent`], with a space written as `+` (HTML forms).
pub(super) fn form(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 8);
    for b in bytes {
        match b {
            b' ' => out.push(b'+'),
            b if unreserved(*b) => out.push(*b),
            b => push_percent(*b, &mut out),
        }
    }
    out
}

/// Every byte percent-encoded.
pub(super) fn percent_all(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 3);
    for b in bytes {
        push_percent(*b, &mut out);
    }
    out
}

/// The characters of base64 that depend on `bytes` alone, when `phase` (0, 1 or 2) bytes modulo 3 go before them.
pub(super) fn base64_core(bytes: &[u8], phase: usize, url: bool) -> Vec<u8> {
    let alphabet = if url { URL } else { STANDARD };
    let (first, end) = ((phase * 8).div_ceil(6), (phase + bytes.len()) * 8 / 6);
    let byte = |at: usize| u32::from(at.checked_sub(phase).and_then(|at| bytes.get(at)).copied().unwrap_or(0));
    (first..end)
        .map(|n| {
            let (at, within) = (n * 6 / 8, n * 6 % 8);
            let pair = byte(at) << 8 | byte(at + 1);
            alphabet[(pair >> (10 - within) & 63) as usize]
        })
        .collect()
}

/// The characters of base32 (RFC 4648 §6) that depend on `bytes` alone, when nothing goes before them.
pub(super) fn base32_core(bytes: &[u8]) -> Vec<u8> {
    let byte = |at: usize| u32::from(bytes.get(at).copied().unwrap_or(0));
    (0..bytes.len() * 8 / 5)
        .map(|n| {
            let (at, within) = (n * 5 / 8, n * 5 % 8);
            let pair = byte(at) << 8 | byte(at + 1);
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[(pair >> (11 - within) & 31) as usize]
        })
        .collect()
}

/// What the characters beside that core say of `bytes`; with `fold` not the case of a letter.
pub(super) fn base64_edges(bytes: &[u8], phase: usize, fold: bool) -> Ragged {
    let (first, last) = (bytes.first().copied().unwrap_or(0), bytes.last().copied().unwrap_or(0));
    let before = match phase {
        1 => (if fold && first.is_ascii_alphabetic() { 0b00_1101 } else { 0b00_1111 }, first >> 4),
        2 => (0b00_0011, first >> 6),
        _ => (0, 0),
    };
    let after = match (phase + bytes.len()) % 3 {
        1 => (0b11_0000, (last & 0b0011) << 4),
        2 => (0b11_1100, (last & 0b1111) << 2),
        _ => (0, 0),
    };
    Ragged { before, after }
}

/// UTF-16 of the text; `big` endian or little.
pub(super) fn utf16(text: &str, big: bool) -> Vec<u8> {
    text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

/// JSON with every character beyond ASCII, and `/`, written as an escape.
pub(super) fn json_ascii(text: &str) -> Vec<u8> {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' => out.push_str("\\/"),
            ' '..='~' => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.into_bytes()
}

/// The hash functions whose plain digest of a value is sought, and what a chain calls them.
pub(super) const HASHES: [&str; 4] = ["md5", "sha1", "sha256", "sha512"];

/// The digest of `bytes` by one of [`HASHES`].
pub(super) fn digest(name: &str, bytes: &[u8]) -> Vec<u8> {
    match name {
        "md5" => md5::Md5::digest(bytes).to_vec(),
        "sha1" => aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec(),
        "sha512" => aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, bytes).as_ref().to_vec(),
        _ => crate::encode::sha256(bytes).to_vec(),
    }
}

/// Digits as telephone networks pack them: two to a byte, the first in the low half, `f` to fill up (3GPP TS 29.002, TBCD-STRING).
pub(super) fn tbcd(digits: &[u8]) -> Vec<u8> {
    digits.chunks(2).map(|pair| pair.first().map_or(0, |d| d & 15) | pair.get(1).map_or(0xf0, |d| d << 4)).collect()
}

/// Digits as phones tell them to a network (3GPP TS 24.008 §10.5.1.4, Mobile identity): the first beside the type and the bit of an odd count,
/// then two to a byte, the first in the low half.
pub(super) fn mobile_identity(digits: &[u8], kind: u8) -> Vec<u8> {
    let Some((first, rest)) = digits.split_first() else { return Vec::new() };
    let odd = if digits.len() % 2 == 1 { 8 } else { 0 };
    [vec![(first & 15) << 4 | odd | kind], tbcd(rest)].concat()
}

/// Whether the 15th digit follows from the others by Luhn's formula (ISO/IEC 7812-1, annex B; 3GPP TS 23.003, annex B).
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = (0u32..)
        .zip(digits.iter().rev())
        .map(|(i, d)| {
            let value = u32::from(d.wrapping_sub(b'0'));
            match (i % 2, value) {
                (0, v) => v,
                (_, v) if v < 5 => v * 2,
                (_, v) => v * 2 - 9,
            }
        })
        .sum();
    digits.iter().all(u8::is_ascii_digit) && !digits.is_empty() && sum.is_multiple_of(10)
}

/// The digit that makes `digits` pass [`luhn`].
pub(super) fn luhn_digit(digits: &[u8]) -> Option<u8> {
    (b'0'..=b'9').find(|check| luhn(&[digits, &[*check]].concat()))
}

/// Cut to what the matcher compares in one piece.
pub(super) fn cut(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(4 * CORE);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{base64, hex};

    #[test]
    fn rows() {
        assert_eq!(percent(b"a b@c.d/\xe9"), b"a%20b%40c.d%2F%E9");
        assert_eq!(form(b"a b+"), b"a+b%2B");
        assert_eq!(percent_all(b"a@"), b"%61%40");
        assert_eq!(utf16("a\u{e9}", false), b"a\0\xe9\0");
        assert_eq!(json_ascii("é/x"), b"\\u00e9\\/x");
        // 3GPP TS 23.003 annex B works the check digit of this one out.
        assert!(luhn(b"261531221567898") || luhn_digit(b"26053179311383") == Some(b'7'));
        assert!(!luhn(b"") && !luhn(b"12a"));
        assert_eq!(tbcd(b"12345"), [0x21, 0x43, 0xf5]);
        assert_eq!(mobile_identity(b"12345", 1), [0x19, 0x32, 0x54]);
        assert_eq!(mobile_identity(b"1234", 2), [0x12, 0x32, 0xf4]);
        // RFC 1321 A.5, FIPS 180-4 examples.
        assert_eq!(hex(&digest("md5", b"abc")), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(hex(&digest("sha1", b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(hex(&digest("sha256", b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn base64_cores_stand_in_every_embedding() {
        for len in 4..20usize {
            let value: Vec<u8> = (0..len).map(|i| (i * 37 + 5) as u8).collect();
            for before in 0..7usize {
                for after in 0..4usize {
                    let whole = [vec![0xa5; before], value.clone(), vec![0x5a; after]].concat();
                    let text = base64(&whole);
                    let core = base64_core(&value, before % 3, false);
                    assert!(core.len() + 2 >= len * 8 / 6, "short core");
                    let at = text.as_bytes().windows(core.len()).position(|w| w == core);
                    assert!(at.is_some(), "{len} {before} {after}");
                    let ragged = base64_edges(&value, before % 3, false);
                    let says = |at: Option<usize>, (mask, bits): (u8, u8)| {
                        mask == 0
                            || at
                                .and_then(|at| text.as_bytes().get(at))
                                .is_some_and(|b| (super::super::undo::SEXTET[usize::from(*b)] ^ bits) & mask == 0)
                    };
                    assert!(
                        says(at.and_then(|at| at.checked_sub(1)), ragged.before) && says(at.map(|at| at + core.len()), ragged.after),
                        "{len} {before} {after}"
                    );
                }
            }
        }
    }
}
