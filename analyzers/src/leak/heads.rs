//! Whether bytes can be a compressed stream that has no signature, by the first head of it: cheaper than a decoder, which sets up its
//! tables and its window before it finds out. Nothing that decodes to a proper end is turned away.

/// Whether it can be a brotli stream of at most `limit` bytes (RFC 7932 §9.1 and §9.2).
pub(super) fn may_be_brotli(bytes: &[u8], limit: usize) -> bool {
    Bits { bytes, at: 0 }.brotli(limit).unwrap_or(false)
}

/// Whether it can be a deflate stream (RFC 1951 §3.2.3 to §3.2.7).
pub(super) fn may_be_deflate(bytes: &[u8]) -> bool {
    Bits { bytes, at: 0 }.deflate().unwrap_or(false)
}

/// Reads bits, the least significant of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<usize> {
        let mut value = 0;
        for n in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value |= usize::from(byte >> (self.at % 8) & 1) << n;
            self.at += 1;
        }
        Some(value)
    }

    /// What is left of a byte must be zero; the whole bytes after it.
    fn aligned(&mut self) -> Option<usize> {
        let rest = self.at.next_multiple_of(8) - self.at;
        (self.take(rest)? == 0).then(|| self.bytes.len() - self.at / 8)
    }

    fn brotli(&mut self, limit: usize) -> Option<bool> {
        // A window of 16 bits, of 18 to 24, or of 10 to 17; one code is reserved.
        if self.take(1)? == 1 && self.take(3)? == 0 && self.take(3)? == 1 {
            return Some(false);
        }
        let last = self.take(1)? == 1;
        if last && self.take(1)? == 1 {
            // An empty stream.
            return Some(false);
        }
        let nibbles = match self.take(2)? {
            3 => {
                // Metadata, which the last block cannot be: its reserved bit, and how much of it there is.
                if last || self.take(1)? == 1 {
                    return Some(false);
                }
                let count = self.take(2)?;
                let len = if count == 0 { 0 } else { self.take(8 * count)? + 1 };
                return Some(self.aligned()? >= len);
            }
            n => 4 + n,
        };
        let len = self.take(4 * nibbles)? + 1;
        // The upper nibble is there to be used.
        if len > limit || (nibbles > 4 && (len - 1) >> (4 * (nibbles - 1)) == 0) {
            return Some(false);
        }
        let stored = !last && self.take(1)? == 1;
        Some(!stored || self.aligned()? >= len)
    }

    fn deflate(&mut self) -> Option<bool> {
        let last = self.take(1)? == 1;
        Some(match self.take(2)? {
            0 => {
                self.at = self.at.next_multiple_of(8);
                let (len, check) = (self.take(16)?, self.take(16)?);
                let rest = self.bytes.len() - self.at / 8;
                len ^ check == 0xffff && if last { len == rest } else { len < rest }
            }
            // The end of a block is coded as seven zeros, and less than a byte is left behind the last one's.
            1 if last => {
                let tail = self.bytes.iter().rev().take(2).fold(0u32, |sum, b| sum << 8 | u32::from(*b));
                (2..=9).any(|at| (tail >> at).trailing_zeros() >= 7)
            }
            1 => true,
            2 => {
                let (literals, distances, lengths) = (self.take(5)? + 257, self.take(5)? + 1, self.take(4)? + 4);
                // How much of the code space the lengths of code lengths take, in units of 1/128: it must be all (or one code alone).
                let (mut space, mut codes) = (0, 0);
                for _ in 0..lengths {
                    let len = self.take(3)?;
                    space += if len == 0 { 0 } else { 128 >> len };
                    codes += usize::from(len > 0);
                }
                literals <= 286 && distances <= 30 && (space == 128 || codes == 1)
            }
            _ => false,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::undo::{Packed, Whole, unpack};
    use super::*;
    use std::io::Write as _;

    proptest::proptest! {
        /// Nothing that decodes to a proper end is turned away by its head, whatever is wrong with it.
        #[test]
        fn a_brotli_head_rules_out_only_what_is_none(
            text in proptest::collection::vec(proptest::num::u8::ANY, 1..300),
            at in 0..400usize,
            byte in proptest::num::u8::ANY,
            limit in 2..400usize,
        ) {
            let mut coded = brotli_of(&text);
            if let Some(b) = coded.get_mut(at) {
                *b = byte;
            }
            if !may_be_brotli(&coded, limit) {
                let whole = unpack(Packed::Brotli, &coded, limit).is_some_and(|(_, whole)| whole == Whole(true));
                proptest::prop_assert!(!whole);
            }
        }
    }

    #[test]
    fn brotli_heads() {
        // Of the RFC's own kind: window of 16 bits and a last block; one stored; metadata before the text; and what none can be.
        assert!(may_be_brotli(b"\x0b\x02\x80hello\x03", 100));
        assert!(!may_be_brotli(b"\x0b\x02\x80hello\x03", 4), "longer than may be");
        assert!(!may_be_brotli(b"\x0b\x02\x80hell", 100), "a stored block of five bytes");
        assert!(!may_be_brotli(b"\x11random", 100), "the reserved window");
        assert!(!may_be_brotli(b"\x06", 100), "empty");
        for len in [1, 20, 300, 5000] {
            let text: Vec<u8> = (0..len).map(|n: usize| (n * n % 251) as u8).collect();
            let coded = brotli_of(&text);
            assert_eq!(unpack(Packed::Brotli, &coded, 10_000).unwrap().0.bytes, text);
            assert!(may_be_brotli(&coded, text.len()), "{len}");
            assert!(!may_be_brotli(&coded, text.len() - 1), "{len}");
        }
    }

    /// Stored blocks: a window of 16 bits, each block with its length, and an empty last one.
    fn brotli_of(text: &[u8]) -> Vec<u8> {
        let head = (text.len() as u32 - 1) << 4 | 1 << 20;
        [&head.to_le_bytes()[..3], text, &[3]].concat()
    }

    fn deflate_of(text: &[u8], level: u32) -> Vec<u8> {
        let mut to = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(level));
        to.write_all(text).unwrap();
        to.finish().unwrap()
    }

    #[test]
    fn deflate_heads() {
        let text = b"to be or not to be, that is the question".repeat(9);
        // Stored, with the fixed code, with one of its own; and several blocks.
        for (text, level) in [(&text[..], 0), (b"hello hello", 6), (&text[..], 9), (&vec![7; 300_000], 1)] {
            let coded = deflate_of(text, level);
            assert_eq!(unpack(Packed::Deflate, &coded, 1 << 20).unwrap().0.bytes, text);
            assert!(may_be_deflate(&coded), "{level}");
        }
        assert!(!may_be_deflate(b"\x07random"), "the reserved kind");
        assert!(!may_be_deflate(b"\x01\x05\x00\xfa\xfehello"), "a length without its complement");
        assert!(may_be_deflate(b"\x01\x05\x00\xfa\xffhello") && !may_be_deflate(b"\x01\x05\x00\xfa\xffhell"));
        assert!(!may_be_deflate(b"\xff\xff\xff\xff\xff\xff"), "more literals than there are");
        assert!(!may_be_deflate(b""));
    }

    proptest::proptest! {
        #[test]
        fn a_deflate_head_rules_out_only_what_is_none(
            text in proptest::collection::vec(0..9u8, 0..400),
            random in proptest::collection::vec(proptest::num::u8::ANY, 1..60),
            level in 0..10u32,
            at in 0..400usize,
            byte in proptest::num::u8::ANY,
        ) {
            let mut coded = deflate_of(&text, level);
            if let Some(b) = coded.get_mut(at) {
                *b = byte;
            }
            for coded in [coded, random] {
                if !may_be_deflate(&coded) {
                    let whole = unpack(Packed::Deflate, &coded, 4096).is_some_and(|(_, whole)| whole == Whole(true));
                    proptest::prop_assert!(!whole, "{coded:02x?}");
                }
            }
        }
    }
}
