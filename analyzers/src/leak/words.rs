//! Encoded words of mail heads (RFC 2047 §2): undone in both encodings, and joined where only blanks stand between them.

use super::undo::{self, Undone, Writer};
use crate::encode::nibble;

/// The longest charset with its language (RFC 2231 §5) that is believed.
const LONGEST_CHARSET: usize = 60;

/// Whether a text begins as an encoded word does.
pub(super) fn begins(text: &[u8]) -> bool {
    head(text).is_some()
}

/// A text with its encoded words undone, each in its own character set.
pub(super) fn undo(text: &[u8]) -> Option<Undone> {
    let mut out = Writer::default();
    let mut behind_word = false;
    while let Some(rest) = text.get(out.at()..).filter(|rest| !rest.is_empty()) {
        if let Some(word) = Word::read(rest) {
            word.write(&mut out);
            behind_word = true;
            continue;
        }
        // Blanks between two words are not shown (RFC 2047 §6.2).
        let blanks = rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
        if behind_word && blanks > 0 && rest.get(blanks..).is_some_and(begins) {
            out.decoded(b"", blanks);
        } else {
            let next = memchr::memchr(b'=', rest.get(1..).unwrap_or_default()).map_or(rest.len(), |at| at + 1);
            // Up to the next that may be a word or parts two.
            let next = rest.iter().take(next).skip(1).position(u8::is_ascii_whitespace).map_or(next, |at| at + 1);
            for b in rest.iter().take(next) {
                out.copy(*b);
            }
        }
        behind_word = false;
    }
    out.done()
}

/// Whether `=?charset?Q?` begins a text, and how long that is.
fn head(text: &[u8]) -> Option<(bool, usize)> {
    let charset = text.strip_prefix(b"=?")?;
    let len = charset.iter().take(LONGEST_CHARSET).take_while(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'=')).count();
    match charset.get(len..) {
        Some([b'?', b'Q' | b'q', b'?', ..]) if len > 0 => Some((true, len + 5)),
        Some([b'?', b'B' | b'b', b'?', ..]) if len > 0 => Some((false, len + 5)),
        _ => None,
    }
}

struct Word<'a> {
    quoted: bool,
    head: usize,
    text: &'a [u8],
}

impl<'a> Word<'a> {
    fn read(text: &'a [u8]) -> Option<Word<'a>> {
        let (quoted, head) = head(text)?;
        let rest = text.get(head..)?;
        let len = rest.iter().position(|b| matches!(b, b'?' | b'\r' | b'\n'))?;
        rest.get(len..)?.starts_with(b"?=").then_some(Word { quoted, head, text: rest.get(..len)? })
    }

    fn write(&self, out: &mut Writer) {
        out.decoded(b"", self.head);
        if self.quoted {
            let mut rest = self.text;
            while let [first, tail @ ..] = rest {
                rest = match (first, tail) {
                    // A blank, whatever it is in the character set (RFC 2047 §4.2).
                    (b'_', _) => {
                        out.decoded(b" ", 1);
                        tail
                    }
                    (b'=', [high, low, after @ ..]) if let (Some(high), Some(low)) = (nibble(*high), nibble(*low)) => {
                        out.decoded(&[high << 4 | low], 3);
                        after
                    }
                    _ => {
                        out.copy(*first);
                        tail
                    }
                };
            }
        } else {
            out.decoded(&undo::base64(self.text).bytes, self.text.len());
        }
        out.decoded(b"", 2);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn words_and_what_stands_between() {
        for (text, expect) in [
            ("Subject: =?utf-8?q?Tell_Bob_=E2=80=93_now?= (x)", "Subject: Tell Bob \u{2013} now (x)"),
            ("=?UTF-8?Q?Tell_?=\r\n =?UTF-8?Q?Bob?=", "Tell Bob"),
            ("=?utf-8*en?B?VGVsbCBC?= =?utf-8?B?b2I=?=", "Tell Bob"),
            ("=?utf-8?Q?Tell?= Bob =?utf-8?Q?now=?=", "Tell Bob now="),
            ("=?utf-8?Q?a?==?utf-8?Q?b?=", "ab"),
        ] {
            assert_eq!(String::from_utf8(undo(text.as_bytes()).unwrap().bytes).unwrap(), expect, "{text}");
        }
        for none in ["a_b=40c", "=?utf-8?Q?open", "=?utf-8?Q?open\r\n?=", "=?utf-8?X?a_b?=", "=??Q?a_b?=", "?q=?a=b", ""] {
            assert_eq!(undo(none.as_bytes()), None, "{none}");
        }
        let text = b"x =?utf-8?q?Tell_B=6Fb?= y";
        let undone = undo(text).unwrap();
        assert_eq!(undone.map.back(&(2..10)), 12..22);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in "([=?_ QbB\r\na-z4]|=\\?utf-8\\?[QB]\\?){0,60}") {
            if let Some(undone) = undo(text.as_bytes()) {
                for at in 0..undone.bytes.len() {
                    let back = undone.map.back(&(at..at + 1));
                    proptest::prop_assert!(back.end <= text.len());
                }
            }
        }
    }
}
