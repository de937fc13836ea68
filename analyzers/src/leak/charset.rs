//! Character sets that a message declares for its text: what is neither UTF-8 nor Latin-1 is searched as UTF-8 too.

use std::sync::LazyLock;

use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use memchr::memmem::Finder;
use smallvec::SmallVec;

use super::coding::Coding;
use super::signs::Signs;
use super::undo::{Map, Undone, Writer};

/// What a label says of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charset {
    /// Nothing, or one of those in which values are sought anyway.
    #[default]
    Sought,
    Other(&'static Encoding),
    /// One that nobody here reads.
    Unknown,
}

/// Those of a layer and of what it was coded in.
pub(super) type Charsets = SmallVec<[&'static Encoding; 2]>;

/// Parts of one message are not written in more.
const MOST: usize = 4;
/// So many declarations are read: a page has one, a mail one for each part and word.
const MOST_READ: usize = 64;
/// The longest label of the WHATWG standard has 19 letters.
const LONGEST_LABEL: usize = 40;
/// The declaration of XML stands in its first line.
const XML_LINE: usize = 160;

impl Charset {
    /// What a label means (WHATWG Encoding §4.2), in the spellings of other libraries too.
    pub fn of(label: &[u8]) -> Charset {
        let mut name = label.trim_ascii().to_ascii_lowercase();
        if name.is_empty() || name.len() > LONGEST_LABEL || name == b"binary" {
            return Charset::Sought;
        }
        name.iter_mut().filter(|b| **b == b'_').for_each(|b| *b = b'-');
        let known = Encoding::for_label(label).or_else(|| Encoding::for_label(&name)).or_else(|| {
            let other = OTHERS.iter().find(|(other, _)| *other == name)?;
            Encoding::for_label(other.1)
        });
        match known {
            Some(known) if known == UTF_8 || known == WINDOWS_1252 => Charset::Sought,
            Some(known) if known == REPLACEMENT => Charset::Unknown,
            Some(known) => Charset::Other(known),
            // UTF-32 is undone by its zeros.
            None if name.starts_with(b"utf") || name.starts_with(b"ucs") => Charset::Sought,
            None => Charset::Unknown,
        }
    }

    /// What the parameters of a media type say (RFC 2046 §4.1.2).
    pub fn of_media_type(value: &[u8]) -> Charset {
        labels(value).next().map_or(Charset::Sought, Charset::of)
    }

    /// Whether one of the parts of a body declares what nobody reads (RFC 2046 §5.1).
    pub fn of_parts(body: &[u8]) -> Charset {
        if labels(body).any(|label| Charset::of(label) == Charset::Unknown) { Charset::Unknown } else { Charset::Sought }
    }

    /// Whether nobody can say what stands in this text.
    pub fn hides(self, text: &[u8]) -> bool {
        // Those of seven bits shift by a control, or by a tilde (RFC 1842).
        self == Charset::Unknown && text.iter().any(|b| *b >= 0x80 || matches!(b, 0x0e | 0x1b | b'~'))
    }
}

/// Labels that the standard has not, and what they are there.
const OTHERS: [(&[u8], &[u8]); 12] = [
    (b"iso2022-jp", b"iso-2022-jp"),
    (b"iso-2022-jp-1", b"iso-2022-jp"),
    (b"mac-roman", b"macintosh"),
    (b"macroman", b"macintosh"),
    (b"mac-cyrillic", b"x-mac-cyrillic"),
    (b"maccyrillic", b"x-mac-cyrillic"),
    (b"cp932", b"shift_jis"),
    (b"cp936", b"gbk"),
    (b"cp949", b"euc-kr"),
    (b"cp950", b"big5"),
    (b"cp874", b"windows-874"),
    (b"ansi-1251", b"windows-1251"),
];

static CHARSET: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"harset="));
static WORD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"=?"));

/// The labels behind `charset=`, in a head, a part's head or a page.
fn labels(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let of_name = |at: &usize| at.checked_sub(1).is_some_and(|before| matches!(text.get(before), Some(b'c' | b'C')));
    CHARSET.find_iter(text).filter(of_name).take(MOST_READ).filter_map(|at| label(text.get(at + 7..)?))
}

/// The label that a text begins with, in quotes or not.
fn label(text: &[u8]) -> Option<&[u8]> {
    let quotes = text.iter().take(2).take_while(|b| matches!(b, b'"' | b'\'' | b'\\')).count();
    let text = text.get(quotes..)?;
    let len =
        text.iter().take(LONGEST_LABEL + 1).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':')).count();
    text.get(..len).filter(|label| !label.is_empty())
}

/// The character sets that a text declares for itself or its parts: as a media type does, in the first line of XML, and in the words of a
/// mail's head (RFC 2047 §2).
fn declared(text: &[u8], signs: Signs, out: &mut Charsets) {
    if !signs.has(Signs::EQUALS) {
        return;
    }
    let xml = text.get(..XML_LINE).unwrap_or(text);
    let xml = xml.strip_prefix(b"\xef\xbb\xbf").unwrap_or(xml).starts_with(b"<?xml").then_some(xml);
    let xml = xml.and_then(|line| label(line.get(memchr::memmem::find(line, b"encoding=")? + 9..)?));
    let words = if signs.has(Signs::QUESTION) { text } else { &[] };
    let words = WORD.find_iter(words).take(MOST_READ).filter_map(|at| {
        let label = label(text.get(at + 2..)?)?;
        matches!(text.get(at + 2 + label.len()..), Some([b'?', b'B' | b'b' | b'Q' | b'q', b'?', ..])).then_some(label)
    });
    for label in labels(text).chain(xml).chain(words) {
        if let Charset::Other(charset) = Charset::of(label)
            && out.len() < MOST
            && !out.contains(&charset)
        {
            out.push(charset);
        }
    }
}

/// The character sets that a layer may be written in, and what is coded in it.
pub(super) fn of_layer(coding: Coding, outer: &Charsets, text: &[u8], signs: Signs) -> Charsets {
    // What was read in one is in no other.
    if matches!(coding, Coding::Charset(_)) {
        return Charsets::new();
    }
    let mut out = outer.clone();
    declared(text, signs, &mut out);
    out
}

/// A text as UTF-8; nothing where it is the same.
pub(super) fn undo(charset: &'static Encoding, text: &[u8], signs: Signs) -> Option<Undone> {
    let wide = charset == UTF_16LE || charset == UTF_16BE;
    if !wide && !signs.has(Signs::UPPER) {
        return None;
    }
    if charset.is_single_byte() {
        let mut out = Writer::default();
        let upper: Vec<String> = (0x80..=0xff).map(|b: u8| charset.decode_without_bom_handling(&[b]).0.into_owned()).collect();
        for b in text {
            match b.checked_sub(0x80).and_then(|n| upper.get(usize::from(n))) {
                Some(letter) => out.decoded(letter.as_bytes(), 1),
                None => out.copy(*b),
            }
        }
        return out.done();
    }
    let bytes = charset.decode(text).0.into_owned().into_bytes();
    let map = Map::whole(bytes.len(), text.len());
    (bytes != text).then_some(Undone { bytes, map, cut: false })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[track_caller]
    fn check(label: &str, expect: &str) {
        let got = match Charset::of(label.as_bytes()) {
            Charset::Sought => "sought",
            Charset::Unknown => "unknown",
            Charset::Other(charset) => charset.name(),
        };
        assert_eq!(got, expect, "{label}");
    }

    #[test]
    fn labels_of_many_libraries() {
        for (label, expect) in [
            ("UTF-8", "sought"),
            ("utf8", "sought"),
            ("utf8mb4", "sought"),
            ("us-ascii", "sought"),
            ("ISO-8859-1", "sought"),
            ("cp1252", "sought"),
            ("binary", "sought"),
            ("utf-32le", "sought"),
            ("", "sought"),
            ("windows-1251", "windows-1251"),
            ("cp1251", "windows-1251"),
            ("koi8_r", "KOI8-R"),
            ("iso8859-2", "ISO-8859-2"),
            ("iso8859_7", "ISO-8859-7"),
            ("euc_jp", "EUC-JP"),
            ("iso2022_jp", "ISO-2022-JP"),
            ("GB18030", "gb18030"),
            ("mac_roman", "macintosh"),
            ("cp932", "Shift_JIS"),
            ("utf-16le", "UTF-16LE"),
            ("cp850", "unknown"),
            ("hz-gb-2312", "unknown"),
            ("x-own", "unknown"),
        ] {
            check(label, expect);
        }
    }

    #[test]
    fn declarations() {
        let of = |text: &str| {
            let mut out = Charsets::new();
            declared(text.as_bytes(), Signs::of(text.as_bytes()), &mut out);
            out.iter().map(|charset| charset.name()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of("Content-Type: text/plain; charset=\"koi8-r\"\r\n\r\n"), "KOI8-R");
        assert_eq!(of("a; Charset=windows-1250\r\nb; charset=utf-8\r\nc; charset=EUC-JP"), "windows-1250 EUC-JP");
        assert_eq!(of("<meta charset='shift_jis'>"), "Shift_JIS");
        assert_eq!(of("<?xml version=\"1.0\" encoding=\"windows-1251\"?>"), "windows-1251");
        assert_eq!(of("<x encoding=\"windows-1251\"/>"), "");
        assert_eq!(of("Subject: =?iso-2022-jp?B?GyRC?="), "ISO-2022-JP");
        assert_eq!(of("/a?b=?koi8-r&c=1"), "");
        assert_eq!(of("charset=utf-8, charset=iso-8859-1, charset="), "");
        let parts = |label: &str| Charset::of_parts(format!("--b\r\nContent-Type: text/plain; charset={label}\r\n\r\nx").as_bytes());
        assert_eq!((parts("cp850"), parts("koi8-r"), parts("utf-8")), (Charset::Unknown, Charset::Sought, Charset::Sought));
        assert!(!Charset::Sought.hides(b"\xff") && Charset::Unknown.hides(b"\xff") && !Charset::Unknown.hides(b"{\"a\":1}"));
    }

    #[test]
    fn single_bytes_know_their_places() {
        let koi8 = Encoding::for_label(b"koi8-r").unwrap();
        let text = [b"{\"n\":\"", &koi8.encode("Иван").0[..], b"\"}"].concat();
        let undone = undo(koi8, &text, Signs::of(&text)).unwrap();
        assert_eq!(undone.bytes, "{\"n\":\"Иван\"}".as_bytes());
        assert_eq!(undone.map.back(&(6..14)), 6..10);
        assert_eq!(undo(koi8, b"{}", Signs::of(b"{}")), None);
    }
}
