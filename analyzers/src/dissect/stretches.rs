//! Stretches of text in bytes that are none: what a protocol nobody knows says in words, behind heads and between lengths.

use std::ops::Range;

/// A character counts for one, up to so many; any other byte takes away [`ODD`]. A stretch begins with the first character that counts and ends
/// where nothing is left: the bytes between two strings are part of one, eight of them end the longest.
const MOST: usize = 32;
const ODD: usize = 4;
/// So much is text. `pwd=hunter2x` is no shorter; of 64 KiB of random bytes one window in three has a stretch by chance, and next to none of
/// these an address or the name of a value in it.
const LEAST: usize = 12;
/// More than any message has that is no attack: what is beyond them is one stretch.
const MOST_STRETCHES: usize = 1024;

/// What a byte is where a character may begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Text,
    Odd,
    /// The first of several bytes, if the right ones follow (RFC 3629 §4).
    Lead,
}

const CLASSES: [Class; 256] = {
    let mut out = [Class::Odd; 256];
    let mut b = 0;
    while b < 256 {
        out[b] = match b as u8 {
            b' '..=b'~' | b'\t' | b'\r' | b'\n' => Class::Text,
            0xc2..=0xf4 => Class::Lead,
            _ => Class::Odd,
        };
        b += 1;
    }
    out
};

/// The stretches of text, in their order.
pub(super) fn of_text(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    let (mut at, mut start, mut score, mut end) = (0, 0, 0, None);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let plain = rest.iter().take_while(|b| CLASSES[usize::from(**b)] == Class::Text).count();
        let (units, len) = match (plain, character(rest)) {
            (0, len) => (usize::from(len > 0), len),
            (plain, _) => (plain, plain),
        };
        if units > 0 {
            if score == 0 {
                start = at;
            }
            score += units;
            if score >= LEAST || end.is_some() {
                end = Some(at + len);
            }
            score = score.min(MOST);
            at += len;
        } else if score > 0 {
            score = score.saturating_sub(ODD);
            if score == 0 {
                put(&mut out, start, end.take());
            }
            at += 1;
        } else {
            at += 1 + rest.iter().skip(1).take_while(|b| CLASSES[usize::from(**b)] == Class::Odd).count();
        }
    }
    put(&mut out, start, end);
    out
}

fn put(out: &mut Vec<Range<usize>>, start: usize, end: Option<usize>) {
    let Some(end) = end else { return };
    match out.get_mut(MOST_STRETCHES - 1) {
        Some(last) => last.end = end,
        None => out.push(start..end),
    }
}

/// How long the character of several bytes is that begins here, in UTF-8 (RFC 3629 §4); none for what is no text.
fn character(rest: &[u8]) -> usize {
    let (first, len) = match rest.first() {
        Some(first @ 0xc2..=0xdf) => (*first, 2),
        Some(first @ 0xe0..=0xef) => (*first, 3),
        Some(first @ 0xf0..=0xf4) => (*first, 4),
        _ => return 0,
    };
    let more = rest.get(1..len).unwrap_or_default();
    let second = match first {
        0xe0 => 0xa0..=0xbf,
        0xed => 0x80..=0x9f,
        0xf0 => 0x90..=0xbf,
        0xf4 => 0x80..=0x8f,
        _ => 0x80..=0xbf,
    };
    let is_whole =
        more.len() == len - 1 && more.iter().all(|b| (0x80..0xc0).contains(b)) && more.first().is_some_and(|b| second.contains(b));
    if is_whole { len } else { 0 }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use policies::IdentifierType as Kind;
    use proptest::prelude::*;

    use super::*;
    use crate::dissect::testing::{seeking, stream};
    use crate::observation::{Grade, Observation};

    #[track_caller]
    fn check(bytes: &[u8], expect: &[&[u8]]) {
        let got: Vec<&[u8]> = of_text(bytes).into_iter().map(|stretch| &bytes[stretch]).collect();
        assert_eq!(got, expect, "{}", bytes.escape_ascii());
    }

    #[test]
    fn stretches() {
        check(b"", &[]);
        check(b"\x01\x02short text\x03", &[]);
        check(b"\x01\x02a longer text\x03", &[b"a longer text"]);
        check(b"user=bob\0pwd=abc123xy\0", &[b"user=bob\0pwd=abc123xy"]);
        check("\x01{\"n\":\"Zoë Müller\"}\x01\x02".as_bytes(), &["{\"n\":\"Zoë Müller\"}".as_bytes()]);
        check(b"\xff\x01\0\0\0\0\x10{\"password\":1}\xff\xff\xff and", &[b"{\"password\":1}\xff\xff\xff and"]);
        check(b"\xff\x01\0\0\0\0\x10{\"password\":1}\xff\xff\xff\xff and", &[b"{\"password\":1}"]);
        let long = [&[b'a'; 40][..], &[1; 8], &[b'b'; 40]].concat();
        check(&long, &[&[b'a'; 40], &[b'b'; 40]]);
        // Text in UTF-16 and characters that are cut off or no shortest form are none.
        check(b"p\0a\0s\0s\0w\0o\0r\0d\0=\0h\0u\0n\0t\0e\0r\0", &[]);
        check(&[0xc0, 0xaf].repeat(40), &[]);
        check(&[0xed, 0xa0, 0x80].repeat(40), &[]);
    }

    #[test]
    fn no_more_than_so_many() {
        let bytes = [&[b'x'; LEAST][..], &[0; 3]].concat().repeat(4000);
        let all = of_text(&bytes);
        assert_eq!((all.len(), all.last().map(|last| last.end)), (MOST_STRETCHES, Some(bytes.len() - 3)));
    }

    /// The same, one character after the other.
    fn slowly(bytes: &[u8]) -> Vec<Range<usize>> {
        let mut out: Vec<Range<usize>> = Vec::new();
        let (mut at, mut start, mut score, mut end) = (0, 0, 0, None);
        while let Some(first) = bytes.get(at) {
            let len = match CLASSES[usize::from(*first)] {
                Class::Text => 1,
                Class::Odd => 0,
                Class::Lead => character(&bytes[at..]),
            };
            if len > 0 {
                start = if score == 0 { at } else { start };
                score = (score + 1).min(MOST);
                end = (score >= LEAST || end.is_some()).then_some(at + len);
            } else if score > 0 {
                score = score.saturating_sub(ODD);
                if score == 0 {
                    put(&mut out, start, end.take());
                }
            }
            at += len.max(1);
        }
        put(&mut out, start, end);
        out
    }

    proptest! {
        #[test]
        fn runs_at_once_are_one_character_after_the_other(
            pieces in prop::collection::vec(prop_oneof!["[a-z ]{1,40}", "\\PC{1,20}", "[\x01-\x08]{1,9}"], 0..30),
            raw in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let bytes = [pieces.concat().into_bytes(), raw, pieces.concat().into_bytes()].concat();
            prop_assert_eq!(of_text(&bytes), slowly(&bytes));
        }

        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut before = 0;
            for stretch in of_text(&bytes) {
                prop_assert!(before <= stretch.start && stretch.start + LEAST <= stretch.end && stretch.end <= bytes.len());
                prop_assert!(CLASSES[usize::from(bytes[stretch.start])] != Class::Odd);
                before = stretch.end + 1;
            }
        }
    }

    /// Bytes as of a cipher.
    fn sealed(seed: u64, len: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    /// What is told of a stream that a device sends, as kind, place in the stream and length.
    fn told(planted: &[(Kind, &str)], bytes: &[u8]) -> Vec<(Kind, Grade, u64, u64)> {
        let seen = stream(seeking(planted), ("192.168.1.7:50000", "203.0.113.9:9999"), bytes);
        let hits = seen.into_iter().filter_map(|seen| if let Observation::Hit(hit) = seen { Some(hit) } else { None });
        hits.map(|hit| (hit.kind, hit.grade, hit.offset, hit.len)).collect()
    }

    const JSON: &str = r#"{"deviceId":"cam-77","username":"ada.l","password":"hunter2-Xy9","imei":"490154203237518","email":"ada@mail.example","lat":47.397741,"lon":8.545512}"#;

    /// What stands behind a head, between fields of fixed lengths or in messages of a protocol for machines is told as in a text.
    #[test]
    fn text_behind_binary_heads() {
        let len = JSON.len() as u8;
        let publish = [&b"\x30\xa6\x01\0\x0bdev/77/data"[..], JSON.as_bytes()].concat();
        for bytes in [
            [&b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02ab"[..], &publish].concat(),
            [&b"AMQP\0\0\x09\x01\x03\0\x01\0\0\0"[..], &[len], JSON.as_bytes(), b"\xce"].concat(),
            [&b"\0\0\x55\xaa\0\0\0\x01\0\0\0\x0a\0\0\0"[..], &[len], JSON.as_bytes(), b"\x01\x02\x03\x04\0\0\xaa\x55"].concat(),
            [&b"\xff\x01\0\0\0\0\0\0\0\0\0\0\0\0\xe8\x03"[..], &[len, 0, 0, 0], JSON.as_bytes()].concat(),
            [&sealed(3, 900)[..], JSON.as_bytes(), &sealed(4, 900)].concat(),
        ] {
            let at = |value: &str| (bytes.windows(value.len()).position(|w| w == value.as_bytes()).unwrap() as u64, value.len() as u64);
            let got = told(&[], &bytes);
            for (kind, value) in [
                (Kind::UserName, "ada.l"),
                (Kind::Password, "hunter2-Xy9"),
                (Kind::Imei, "490154203237518"),
                (Kind::Email, "ada@mail.example"),
                (Kind::Position, "47.397741,\"lon\":8.545512"),
            ] {
                let (offset, len) = at(value);
                let count = got.iter().filter(|hit| **hit == (kind, Grade::Structural, offset, len)).count();
                assert_eq!(count, 1, "{kind} in {got:?}");
            }
        }
    }

    /// Other things that text of protocols for machines may be.
    #[test]
    fn other_texts() {
        let has = |bytes: &[u8], kind: Kind| told(&[], bytes).iter().any(|(found, ..)| *found == kind);
        let head = b"\x5a\x5a\x01\0\0\0\0\x01\0\0\0\x01";
        let behind = |text: &[u8]| [&head[..], text, b"\0\x01\x02\x03\x04"].concat();
        assert!(has(&behind(b"<login><user>ada</user><password>hunter2-Xy9</password></login>"), Kind::Password));
        assert!(has(&behind(b"username=ada\0password=hunter2-Xy9\0"), Kind::Password));
        assert!(has(&behind(b"<auth mechanism='PLAIN'>AGFkYQBzZWNyZXQ=</auth>"), Kind::Password));
        assert!(has(&behind(b"\x0a\x10ada@mail.example\x12\x04abcd"), Kind::Email));
        // In another coding.
        let wide: Vec<u8> = JSON.bytes().flat_map(|b| [b, 0]).collect();
        assert!(has(&behind(&wide), Kind::Password));
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut to, JSON.as_bytes()).unwrap();
        assert!(has(&behind(&to.finish().unwrap()), Kind::Password));
        assert!(!has(&behind(b"there is nothing to see in here, whatever one looks for"), Kind::Password));
    }

    /// A planted name is found in the fields that hold its words.
    #[test]
    fn names_in_fields() {
        let planted = [(Kind::PersonName, "Tilda Habersack")];
        let proof =
            |bytes: &[u8]| told(&planted, bytes).iter().any(|(kind, grade, ..)| (*kind, *grade) == (Kind::PersonName, Grade::Proof));
        let head = b"\x30\xa6\x01\0\x0bdev/77/data";
        assert!(proof(&[&head[..], br#"{"firstName":"Tilda","lastName":"Habersack"}"#].concat()));
        assert!(!proof(&[&head[..], br#"{"firstName":"Tilda","lastName":"Wolkenweg"}"#].concat()));
    }

    /// What chance writes is nothing.
    #[test]
    fn random_bytes() {
        for seed in 1..64 {
            let bytes = sealed(seed, 64 << 10);
            assert!(of_text(&bytes).len() < 8);
            assert_eq!(told(&[], &bytes), []);
        }
    }
}
