//! A string that came from the wire, made harmless: bounded, printable, and with personal values veiled.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest text an observation carries, in bytes; longer ones end in `…`.
pub const LONGEST: usize = 1024;

/// Text from a device, a server or a file that may stand in a journal, on a terminal or in a page.
///
/// Holds no control characters, no bidirectional overrides and no undecodable bytes (they are written `\xNN`), and personal
/// values have been replaced by a [`Veil`]. There is no way to make one from wire bytes without a veil.
///
/// Cheap to clone: a name stands in many facts, and in many rows.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Arc<str>);

impl Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

/// A journal may come from anywhere: what is read is made as harmless as what was written.
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Text, D::Error> {
        Ok(Text::ours(<std::borrow::Cow<'de, str>>::deserialize(d)?))
    }
}

/// A span of wire bytes that must not be shown, and what stands in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veiled {
    pub span: Range<usize>,
    /// Printable; names the planted value or the type and a keyed digest, never the value.
    pub mask: String,
}

/// Finds what must not be shown. Implemented by the leak engine, which knows the persona and the formats.
pub trait Veil: Send + Sync {
    /// Pushes the spans of `bytes` to hide, in order and without overlap.
    fn spans(&self, bytes: &[u8], out: &mut Vec<Veiled>);
}

/// Hides nothing: for words of our own, and for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bare;

impl Veil for Bare {
    fn spans(&self, _: &[u8], _: &mut Vec<Veiled>) {}
}

impl Text {
    /// Wire bytes, veiled and escaped, cut at [`LONGEST`].
    pub fn veiled(bytes: &[u8], veil: &dyn Veil) -> Text {
        let mut spans = Vec::new();
        veil.spans(bytes, &mut spans);
        let mut out = String::with_capacity(bytes.len().min(LONGEST) + 8);
        let mut at = 0;
        for Veiled { span, mask } in &spans {
            if span.start >= at && span.end <= bytes.len() {
                escape(&bytes[at..span.start], &mut out);
                out.push_str(mask);
                at = span.end;
            }
        }
        escape(&bytes[at..], &mut out);
        cut(&mut out);
        Text(out.into())
    }

    /// Words of our own (a constant, a file name the operator gave, a number): escaped, never veiled.
    pub fn ours(words: impl AsRef<str>) -> Text {
        let mut out = String::with_capacity(words.as_ref().len());
        escape(words.as_ref().as_bytes(), &mut out);
        cut(&mut out);
        Text(out.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn cut(out: &mut String) {
    if out.len() > LONGEST {
        let mut at = LONGEST - '…'.len_utf8();
        while !out.is_char_boundary(at) {
            at -= 1;
        }
        out.truncate(at);
        out.push('…');
    }
}

/// Appends `bytes` with everything that could act on a terminal or reorder a line written as `\xNN` or `\u{…}`.
fn escape(bytes: &[u8], out: &mut String) {
    use std::fmt::Write as _;
    if bytes.iter().all(|b| (0x20..0x7f).contains(b)) {
        out.push_str(std::str::from_utf8(bytes).unwrap_or_default());
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || is_format(c) {
                let _ = if c.is_ascii() { write!(out, "\\x{:02x}", c as u32) } else { write!(out, "\\u{{{:x}}}", c as u32) };
            } else {
                out.push(c);
            }
        }
        for b in chunk.invalid() {
            let _ = write!(out, "\\x{b:02x}");
        }
    }
}

/// Characters that change how the rest of a line reads: bidirectional controls, zero-width characters, line separators, tags.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expect: &str) {
        assert_eq!(Text::veiled(bytes, &Bare).as_str(), expect);
    }

    #[test]
    fn escapes_what_acts() {
        check(b"shop.test", "shop.test");
        check(b"a\x1b[31mb", "a\\x1b[31mb");
        check("caf\u{e9}".as_bytes(), "café");
        check("x\u{202e}y".as_bytes(), "x\\u{202e}y");
        check(b"\xff\x00", "\\xff\\x00");
        check("\u{9b}31m".as_bytes(), "\\u{9b}31m");
    }

    struct Hide(Range<usize>);
    impl Veil for Hide {
        fn spans(&self, _: &[u8], out: &mut Vec<Veiled>) {
            out.push(Veiled { span: self.0.clone(), mask: "‹email-main›".to_owned() });
        }
    }

    #[test]
    fn veils_a_span() {
        assert_eq!(Text::veiled(b"q=anna@x.org&z", &Hide(2..12)).as_str(), "q=‹email-main›&z");
        assert_eq!(Text::veiled(b"short", &Hide(2..99)).as_str(), "short");
    }

    #[test]
    fn is_harmless_when_read() {
        let text: Text = serde_json::from_str(r#""a\u001b[31m\u202eb\\x1b‹email-main›""#).unwrap_or_default();
        assert_eq!(text.as_str(), "a\\x1b[31m\\u{202e}b\\x1b‹email-main›");
        let again: Text = serde_json::to_string(&text).and_then(|s| serde_json::from_str(&s)).unwrap_or_default();
        assert_eq!(again, text);
    }

    #[test]
    fn stays_short() {
        let text = Text::veiled(&[b'a'; 5000], &Bare);
        assert!(text.as_str().len() <= LONGEST && text.as_str().ends_with('…'));
    }
}
