//! Where a value ends: what may not stand beside it, and what says that it may.

use std::ops::Range;

use super::items::{is_far, is_item, is_parameter, is_short_item};
use crate::ebcdic;

/// So many bytes in front of an occurrence say whether it counts.
pub(super) const FRONT: usize = 16;
/// And so many behind it.
pub(super) const BEHIND: usize = 8;

/// What may not stand beside an occurrence, so that a short value inside a longer one does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Edge {
    /// Distinctive enough to count anywhere.
    #[default]
    None,
    /// No digit on either side.
    Digit,
    /// As `Digit`, and no `+` in front, when the number with it is sought too.
    Number,
    /// No ASCII letter or digit on either side.
    Word,
    /// As `Word`, or behind its length in the same byte as its kind, however short it is: a word that says who it is only together with another.
    Lead,
    /// As `Word`, and not followed by `@` or `%`: the user part of an address, when the whole address is sought too.
    Local,
    /// No more of a mailbox on either side: a letter or digit, or what joins one.
    Mailbox,
    /// The first 14 digits of an IMEI, of which this is the check digit: the number ends here, in the spare digit 0, or in the two of a software
    /// version (3GPP TS 23.003, 6.2). Not followed by the check digit, for the number with it is sought too.
    Imei(u8),
    /// A number of a field of Protocol Buffers, its key in front.
    Key,
    /// No letter or digit of EBCDIC on either side.
    Ebcdic,
}

impl Edge {
    /// Whether an occurrence at `span` of `text` counts. `whole`: the text is a whole message, not a piece of a stream.
    pub(super) fn allows(self, text: &[u8], span: &Range<usize>, whole: bool) -> bool {
        let head = text.get(span.start.saturating_sub(FRONT)..span.start).unwrap_or_default();
        let tail = text.get(span.end..(span.end + BEHIND).min(text.len())).unwrap_or_default();
        match self {
            Edge::None => true,
            Edge::Key => super::varint::is_field(head, tail),
            Edge::Ebcdic => ![head.last(), tail.first()].into_iter().flatten().any(|b| ebcdic::is_alphanumeric(*b)),
            Edge::Imei(check) => {
                let digits = tail.iter().take_while(|b| b.is_ascii_digit()).count();
                let last = tail.first().copied();
                digits == 0 || last != Some(check) && (digits == 2 || digits == 1 && last == Some(b'0'))
            }
            Edge::Mailbox => {
                let coded = text.get(span.clone()).is_some_and(|found| found.contains(&b'%'));
                let ends = !ends_behind(tail);
                !begins_before(head, coded) && ends
                    || is_framed(text, span, false, whole)
                    || is_behind_a_topic(text, span, ends)
                    || is_parameter(text, span, ends, whole)
                    || is_item(text, span, whole)
            }
            // The length in front may be that of the whole address.
            Edge::Local if goes_on(tail) => false,
            Edge::Digit | Edge::Number | Edge::Word | Edge::Lead | Edge::Local => {
                let right = tail.first().copied();
                let ends = self.allows_between(None, right);
                self.allows_between(head.last().copied(), right)
                    || is_framed(text, span, ends, whole)
                    || is_behind_a_topic(text, span, ends)
                    || is_parameter(text, span, ends, whole)
                    || is_item(text, span, whole)
                    || self == Edge::Lead && is_short_item(text, span, whole)
            }
        }
    }

    fn allows_between(self, before: Option<u8>, after: Option<u8>) -> bool {
        let digit = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_digit());
        let word = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        match self {
            Edge::Digit => !digit(before) && !digit(after),
            Edge::Number => !digit(before) && !digit(after) && before != Some(b'+'),
            Edge::Word | Edge::Lead => !word(before) && !word(after),
            Edge::Local => !word(before) && !word(after) && !matches!(after, Some(b'@' | b'%')),
            Edge::None | Edge::Mailbox | Edge::Imei(_) | Edge::Key | Edge::Ebcdic => true,
        }
    }
}

/// Whether a domain follows, as it is or percent-coded.
fn goes_on(tail: &[u8]) -> bool {
    match tail {
        [b'@', rest @ ..] => rest.first().is_none_or(|b| b.is_ascii_alphanumeric() || matches!(b, b'[' | b'*') || !b.is_ascii()),
        [b'%', b'2', b'5', ..] | [b'%', b'4', b'0', ..] | [b'%'] => true,
        _ => false,
    }
}

/// Whether the user part of an address begins further in front: a letter or digit stands there that is no escape, or what joins one. `_` counts
/// for none: programs join names of fields to values by it (cookies, topics), and mailboxes that differ in a word before it are rarer. `coded`: the
/// address is percent-coded, and a `+` is a blank.
fn begins_before(head: &[u8], coded: bool) -> bool {
    let (front, last, escaped) = match escaped(head) {
        Some((front, b)) => (front, b, true),
        None => match head.split_last() {
            Some((last, front)) => (front, *last, false),
            None => return false,
        },
    };
    match last {
        b'+' if coded && !escaped => false,
        b'.' | b'-' | b'+' => front.last().is_some_and(u8::is_ascii_alphanumeric),
        _ => last.is_ascii_alphanumeric(),
    }
}

/// The character that these bytes end in as an escape, and what stands in front of it: `%22`, `%2522`, `=3D`, `\n`, `\x3c`, `\u003c`, `u003c`, `\026`.
fn escaped(head: &[u8]) -> Option<(&[u8], u8)> {
    if let Some((front, &[b'\\', b'n' | b'r' | b't' | b'f' | b'v' | b'b' | b'0'])) = head.split_last_chunk() {
        return Some((front, b'\n'));
    }
    if let Some((front, &[b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7'])) = head.split_last_chunk() {
        return Some((front, (a - b'0') << 6 | (b - b'0') << 3 | (c - b'0')));
    }
    let (front, pair) = head.split_last_chunk::<2>()?;
    let nibble = |b: u8| char::from(b).to_digit(16).map(|n| n as u8);
    let b = nibble(pair[0])? << 4 | nibble(pair[1])?;
    let mut percent = front;
    while let Some(outer) = percent.strip_suffix(b"25") {
        percent = outer;
    }
    let front = (percent.strip_suffix(b"%"))
        .or_else(|| front.strip_suffix(b"=").filter(|_| b.is_ascii() && !pair.iter().any(u8::is_ascii_lowercase)))
        .or_else(|| front.strip_suffix(b"\\x"))
        .or_else(|| front.strip_suffix(b"u00").map(|front| front.strip_suffix(b"\\").unwrap_or(front)))?;
    Some((front, b))
}

/// Whether a domain ends further behind. What follows may be the ending of a file that is called by the address.
fn ends_behind(tail: &[u8]) -> bool {
    let Some((first, rest)) = tail.split_first() else { return false };
    let word_at = |at: usize| {
        let rest = rest.get(at..).unwrap_or_default();
        rest.get(..rest.iter().take_while(|b| b.is_ascii_alphanumeric()).count()).unwrap_or_default()
    };
    let (ending, is_known) = (word_at(0), |word: &[u8]| ENDINGS.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes())));
    let word = ending.len();
    // A top-level domain has letters alone (RFC 1123 §2.1), or begins with `xn--`.
    let file = || {
        let is_last = match rest.get(word) {
            None => tail.len() < BEHIND,
            Some(b'.') => word_at(word + 1).is_empty() || is_known(word_at(word + 1)),
            Some(b) => *b != b'-',
        };
        is_known(ending) || is_last && ending.iter().any(u8::is_ascii_digit)
    };
    match first {
        b'.' => word > 0 && !file(),
        b'-' => word > 0,
        // `\u003e` that has lost its backslash.
        b'u' => !tail.get(1..5).is_some_and(|code| code.starts_with(b"00") && code.iter().all(u8::is_ascii_hexdigit)),
        b => b.is_ascii_alphanumeric(),
    }
}

/// Endings of files that programs call by an account, at most `BEHIND - 2` long and of letters alone. None of them is a top-level domain but `mov` and
/// `zip`, under which nobody has a mailbox whose name goes on that of another.
const ENDINGS: [&str; 77] = [
    "asc", "avatar", "avi", "bak", "bin", "bmp", "cer", "cfg", "conf", "cookie", "cpp", "crt", "csr", "csv", "dat", "db", "der", "doc",
    "docx", "dump", "eml", "enc", "gif", "gpg", "gpx", "gz", "heic", "htm", "html", "ics", "ini", "jks", "jpeg", "jpg", "js", "json",
    "kdbx", "key", "kml", "ldif", "lock", "log", "mbox", "mov", "msg", "odt", "old", "orig", "ovpn", "pdf", "pem", "pfx", "pgp", "php",
    "plist", "png", "ppt", "pptx", "rar", "rtf", "sig", "sql", "sqlite", "svg", "tar", "tgz", "tmp", "txt", "vcf", "wav", "webp", "xls",
    "xlsx", "xml", "yaml", "yml", "zip",
];

/// Values of this length stand in no longer word by chance.
const UNLIKELY: usize = 8;

/// Whether the bytes in front say that a value of just this length follows, so that it matters little which bytes stand beside it. `ends`: what
/// is behind it may follow its last word.
fn is_framed(text: &[u8], span: &Range<usize>, ends: bool, whole: bool) -> bool {
    let Some((head, last)) = text.get(..span.start).and_then(|head| head.split_last().map(|(last, head)| (head, *last))) else {
        return false;
    };
    let (len, last_is) = (span.len(), |n: usize| usize::from(last) == n);
    // A number with its sign in the lowest bit: Avro. Kind and length in one byte, which may be a letter: CBOR, MessagePack, property lists, CoAP.
    // Only for values that no other word ends in by chance; hex digits stand behind an `x`.
    let five = usize::from(last & 0x1f) == len;
    let in_letter = last >> 5 == 3 && five && len < 0x18;
    let nibbles = || {
        let four = usize::from(last & 0x0f);
        let said = four == len && four < 0x0f || in_letter || last >> 5 == 2 && five && len < 0x18 || last >> 5 == 5 && five;
        said && !last.is_ascii_digit() && text.get(span.clone()).is_some_and(|value| !value.iter().all(u8::is_ascii_hexdigit))
    };
    // Two more letters may be the rest of a longer word, whose length this is.
    let is_word = |more: Option<&[u8]>| more.is_some_and(|more| more.iter().all(u8::is_ascii_alphanumeric));
    // One byte, or the last of two or four: protobuf, BER, DNS, MySQL, Java, Erlang; with the zero behind a string: D-Bus; type, length and value
    // together, as RADIUS and PPP have it.
    let said = last_is(len)
        || last_is(len + 1) && text.get(span.end) == Some(&0)
        || last_is(len + 2) && head.last().is_some_and(|kind| *kind < b' ') && !is_word(text.get(span.end..span.end + 2))
        || len >= UNLIKELY && (last_is(len * 2) || nibbles())
        // Four bytes, the lowest first: pickle, BSON.
        || head.last_chunk::<3>().is_some_and(|[a, b, c]| u32::from_le_bytes([*a, *b, *c, last]) as usize == len);
    // What may be text is a length only among bytes that no text has; a letter, which no text has there, also at some distance from them.
    let among = || {
        let beside = is_binary(head, head.len().wrapping_sub(1)) || is_binary(text, span.end) || is_binary(text, span.end + 1);
        let letter = last.is_ascii_alphabetic() && (ends || in_letter && is_behind_a_key(head));
        let far = || (!last.is_ascii() || last.is_ascii_alphabetic()) && is_far(head, text.get(span.end..).unwrap_or_default(), whole);
        beside || letter || far()
    };
    said && (is_binary(text, span.start - 1) || last >= 0xc0 || among())
        || is_behind_a_number(head, last, len)
        || is_behind_a_colour(head, last)
}

/// Longer names of topics stand in front of no value.
const TOPIC: usize = 250;

/// Whether the value stands behind a text with its length in two bytes in front, as MQTT writes topic and content (MQTT 5.0 §3.3), or behind that
/// and a number of two bytes. `ends`: what is behind it may follow its last word; else, and behind a number, the length of the whole packet has
/// to say that it ends there.
fn is_behind_a_topic(text: &[u8], span: &Range<usize>, ends: bool) -> bool {
    let head = text.get(span.start.saturating_sub(TOPIC + 4)..span.start).unwrap_or_default();
    let is_topic = |b: &u8| *b >= b' ' && *b != 0x7f;
    [0, 2].into_iter().any(|number| {
        let Some(named) = head.len().checked_sub(number).and_then(|at| head.get(..at)) else { return false };
        let run = named.iter().rev().take_while(|b| is_topic(b)).count();
        // The length may itself be a byte that text has.
        (run.saturating_sub(1)..=run).filter(|len| *len > 0).any(|len| {
            let Some((front, [0, said])) = named.get(..named.len() - len).and_then(<[u8]>::split_last_chunk) else { return false };
            let whole = || front.last().is_some_and(|whole| usize::from(*whole) == 2 + len + number + span.len());
            usize::from(*said) == len && (ends && number == 0 || whole())
        })
    })
}

/// Whether these bytes end in the length as a number and a colon: bencode, netstrings.
fn is_behind_a_number(head: &[u8], last: u8, len: usize) -> bool {
    let digits = head.iter().rev().take(4).take_while(|b| b.is_ascii_digit()).count();
    last == b':' && head.get(head.len() - digits..).is_some_and(|digits| digits == len.to_string().as_bytes())
}

/// Whether no text has this byte there: a control character other than those between words and lines, or the second of a character (RFC 3629 §3)
/// without a first.
pub(super) fn is_binary(text: &[u8], at: usize) -> bool {
    let second = || at.checked_sub(1).and_then(|before| text.get(before)).is_none_or(u8::is_ascii);
    text.get(at).is_some_and(|b| match b {
        b'\t' | b'\r' | b'\n' => false,
        0..b' ' | 0x7f => true,
        0x80..0xc0 => second(),
        _ => false,
    })
}

/// Whether these bytes end in a key with its length in front, as CBOR writes both (RFC 8949 §3.1).
pub(super) fn is_behind_a_key(head: &[u8]) -> bool {
    let is_key = |key: &[u8]| key.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    (1..FRONT - 1).any(|len| match head.len().checked_sub(len).and_then(|at| head.split_at_checked(at)) {
        Some((front, key)) => front.last().is_some_and(|b| usize::from(*b) == 0x60 + len) && is_key(key),
        None => false,
    })
}

/// Whether these bytes end in a control sequence of a terminal (ECMA-48 §5.4) or a colour of IRC: the letter or digit before the value is no
/// part of its word.
fn is_behind_a_colour(head: &[u8], last: u8) -> bool {
    let sign = |of: &[u8]| of.iter().rev().take(12).copied().find(|b| !matches!(b, b'0'..=b'9' | b';' | b','));
    let before = || head.iter().rev().take(12).position(|b| *b == b'[').and_then(|at| head.iter().rev().nth(at + 1));
    last.is_ascii_alphabetic() && sign(head) == Some(b'[') && before() == Some(&0x1b)
        || last.is_ascii_digit() && matches!(sign(head), Some(0x03))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that is called by an address, and a longer domain.
    #[test]
    fn endings() {
        for (tail, expect) in [
            (&b".p12"[..], false),
            (b".mp4\r\n", false),
            (b".7z", false),
            (b".1", false),
            (b".1.gz", false),
            (b".2. And", false),
            (b".tar.gz", false),
            (b".zip", false),
            (b".WEBP", false),
            (b".docx?x", false),
            (b".avatar", false),
            (b".co", true),
            (b".br", true),
            (b".museum", true),
            (b".4you.de", true),
            (b".1.de", true),
            (b".cloud9x", true),
            (b".xn--p1a", true),
            (b".a1-b.de", true),
            (b".zipper", true),
        ] {
            assert_eq!(ends_behind(tail), expect, "{}", tail.escape_ascii());
        }
    }

    /// A character that is a length by chance is none in a text.
    #[test]
    fn characters_are_no_lengths() {
        for (value, front, behind) in [
            ("wandergross77", "/x?user=", "8"),
            ("wandergross77", "/xímM", "8"),
            ("wanderroos", "{\"user\":", "evelt}"),
            ("wanderroos", "user:", "evelt"),
            ("anna.quister", "a,", "mann,b"),
            ("Otto Reichmann", "<n>", "ing</n>"),
            ("Leonora Blankmann", "{\"n\":\"", "heim\"}"),
            ("Kuhn Wohnzimmer5", "X-Net: ", "5\r\n"),
            ("kaltwass", "/x?q=Fisch", "erbecken"),
            ("Annas-Kamera1", "\x12\x20host=", "2"),
        ] {
            let found = |front: &[u8], behind: &[u8]| {
                let text = [front, value.as_bytes(), behind].concat();
                usize::from(Edge::Word.allows(&text, &(front.len()..front.len() + value.len()), true))
            };
            assert_eq!(found(front.as_bytes(), behind.as_bytes()), 0, "{front}{value}{behind}");
            assert_eq!(found(b"/", b""), 1, "{value}");
            // Java, MessagePack, CBOR.
            let len = value.len() as u8;
            assert_eq!(found(&[b'x', 0, len], behind.as_bytes()), 1, "{value}");
            assert_eq!(found(&[0x81, 0xa1, b'u', 0xa0 | len], b"x"), 1, "{value}");
            assert_eq!(found(&[0xa2, 0x64, b'u', b's', b'e', b'r', 0x60 | len], b"h"), 1, "{value}");
        }
    }
}
