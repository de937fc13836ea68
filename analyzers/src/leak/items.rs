//! Values as items of binary formats: what stands in front says how long they are, what stands behind begins the next item. Either may be letters.

use std::ops::Range;

use smallvec::SmallVec;

use super::edge::{self, BEHIND, FRONT};

/// In a message that is there as a whole, bytes that no text has count this far in front of a value.
const FAR: usize = 64;
/// Half as far in front of a length that is a letter, with nothing else to say that it is one.
const HALF: usize = FAR / 2;
/// And so far where the length may be the end of a line.
const NEAR: usize = 3;
/// Longer names of parameters stand in front of no value.
const NAME: usize = 64;
/// The mark of a property list or of Smile stands so far in front, at most: most messages are shorter, and each value looks back.
const MARK: usize = 4096;
/// So many fields of a message in Protocol Buffers are read, and so many are inside each other.
const FIELDS: usize = 256;
const DEEP: usize = 16;
/// Datagrams are hardly longer, and CoAP is sent in these (RFC 7252 §4.6).
const DATAGRAM: usize = 1500;

/// Whether the value at `span` is an item of its own. `whole`: the text is a whole message; in a stream no more than [`FRONT`] and [`BEHIND`] bytes count.
pub(super) fn is_item(text: &[u8], span: &Range<usize>, whole: bool) -> bool {
    let (Some(head), Some(tail)) = (text.get(..span.start), text.get(span.end..)) else { return false };
    let len = span.len();
    // Nearly no hit gets here, and of these nearly none has its length in front.
    is_marked(head, len, whole)
        || is_packed(head, len)
        || is_cbor(head, tail, len, whole)
        || is_protobuf(text, span, whole)
        || whole && is_option(text, span)
}

/// Whether kind and length of a word stand in one byte in front of it, however short it is: CBOR (RFC 8949 §3), MessagePack, property lists.
pub(super) fn is_short_item(text: &[u8], span: &Range<usize>, whole: bool) -> bool {
    let Some((last, head)) = text.get(..span.start).and_then(<[u8]>::split_last) else { return false };
    let tail = text.get(span.end..).unwrap_or_default();
    let len = span.len() as u8;
    let said = span.len() < 0x18 && (*last == 0x60 | len || *last == 0x40 | len) && begins_cbor(tail)
        || span.len() < 0x0f && *last == 0x50 | len
        || span.len() < 0x20 && *last == 0xa0 | len;
    said && (is_far(head, tail, whole) || edge::is_behind_a_key(head))
}

/// Whether bytes that no text has stand near. Escape is none: terminals have it.
pub(super) fn is_far(head: &[u8], tail: &[u8], whole: bool) -> bool {
    let front = if whole { HALF } else { FRONT - 2 };
    is_near(head, tail, front)
}

fn is_near(head: &[u8], tail: &[u8], front: usize) -> bool {
    let is_binary = |text: &[u8], at: usize| edge::is_binary(text, at) && text.get(at) != Some(&0x1b);
    (head.len().saturating_sub(front)..head.len()).any(|at| is_binary(head, at)) || (1..BEHIND).any(|at| is_binary(tail, at))
}

/// Whether the value stands behind a name of CGI (RFC 3875 §4.1) in front of which stand the lengths of both, as FastCGI writes parameters (FastCGI 1.0,
/// §3.4): in a byte each, that of the value also in four. `ends`: what is behind it may follow its last word, and the parameter may go on.
pub(super) fn is_parameter(text: &[u8], span: &Range<usize>, ends: bool, whole: bool) -> bool {
    let most = if whole { NAME + 5 } else { FRONT };
    let head = text.get(span.start.saturating_sub(most)..span.start).unwrap_or_default();
    let tail = text.get(span.end..).unwrap_or_default();
    let is_said = |len: usize| len == span.len() || ends && len > span.len();
    let name = head.iter().rev().take(NAME).take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || **b == b'_').count();
    // The length of the value may itself be a byte that a name has.
    (2..=name).any(|len| {
        let Some(front) = head.get(..head.len() - len) else { return false };
        match front {
            [.., of_name, high @ 0x80..=0xff, a, b, c] if usize::from(*of_name) == len => {
                is_said(u32::from_be_bytes([high & 0x7f, *a, *b, *c]) as usize)
            }
            // Two lines, or the end of one, may look so in a text.
            [before @ .., of_name, of_value @ 0..0x80] if usize::from(*of_name) == len && is_said(usize::from(*of_value)) => {
                (before.len()..before.len() + 2).any(|at| edge::is_binary(front, at)) || is_near(before, tail, NEAR)
            }
            _ => false,
        }
    })
}

/// A string of a binary property list (`0101nnnn`, `bplist00`), or of Smile (short ASCII from 0x40 and 0x60 on, `:)\n`).
fn is_marked(head: &[u8], len: usize, whole: bool) -> bool {
    let Some((last, front)) = head.split_last().filter(|_| whole) else { return false };
    let last = usize::from(*last);
    let is_in = |mark: &[u8]| memchr::memmem::rfind(front.get(front.len().saturating_sub(MARK)..).unwrap_or_default(), mark).is_some();
    len < 0x0f && last == 0x50 + len && is_in(b"bplist0")
        || (1..=32).contains(&len) && last == 0x3f + len && is_in(b":)\n")
        || (33..=64).contains(&len) && last == 0x3f + len && is_in(b":)\n")
}

/// `str 8` and `bin 8` of MessagePack; a string of AMF 3, with its length in front of a bit that says it is written out (AMF 3, 3.8).
fn is_packed(head: &[u8], len: usize) -> bool {
    let (long, short) = (len * 2 + 1, |n: usize| u8::try_from(n).ok());
    match head {
        [.., 0xd9 | 0xc4, said] if usize::from(*said) == len => true,
        [.., 6, said] if *said < 0x80 && usize::from(*said) == long => true,
        [.., 6, high, low] => long >= 0x80 && short(long >> 7 | 0x80) == Some(*high) && usize::from(*low) == long & 0x7f,
        _ => false,
    }
}

/// A string of CBOR whose length takes a byte of its own (RFC 8949 §3), behind its key, another string, or near bytes that no text has.
fn is_cbor(head: &[u8], tail: &[u8], len: usize, whole: bool) -> bool {
    let Some((front, [b'x' | b'X', said])) = head.split_last_chunk() else { return false };
    let long = |before: usize| {
        let at = front.len().checked_sub(before + 2)?;
        front.get(at..at + 2)?.try_into().ok().map(|[kind, said]: [u8; 2]| matches!(kind, b'x' | b'X') && usize::from(said) == before)
    };
    usize::from(*said) == len
        && len >= 0x18
        && begins_cbor(tail)
        && (edge::is_behind_a_key(front) || is_far(front, tail, whole) || whole && (0x18..=0xff).any(|before| long(before) == Some(true)))
}

/// Whether an item of CBOR may begin here: no reserved kind, a text ends in the message, and a text has no control characters, as far as it is looked at.
fn begins_cbor(tail: &[u8]) -> bool {
    let Some((first, rest)) = tail.split_first() else { return true };
    let (kind, more) = (first >> 5, first & 0x1f);
    let is_text = |from: usize, len: usize| rest.iter().take(BEHIND - 1).skip(from).take(len).all(|b| *b >= b' ' && *b != 0x7f);
    match (kind, more) {
        (_, 0x1c..=0x1e) | (7, 0x18) => false,
        (3, 0..0x18) => {
            (tail.len() >= BEHIND || rest.len() >= usize::from(more))
                && is_text(0, usize::from(more))
                && rest.iter().take(usize::from(more.min(7))).all(is_of_a_key)
        }
        (3, 0x18) => rest.first().is_none_or(|len| *len >= 0x18) && is_text(1, BEHIND),
        (2, 0x18) => rest.first().is_none_or(|len| *len >= 0x18),
        _ => true,
    }
}

fn is_of_a_key(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || *b >= 0x80 || matches!(b, b'_' | b'-' | b'.' | b' ' | b':' | b'/' | b'@' | b'$')
}

/// A field of Protocol Buffers ("Encoding"): its key and length in front, the key of another behind. All of these may be characters of a text; so the
/// message is read from its start to its end, or bytes that no text has stand near.
fn is_protobuf(text: &[u8], span: &Range<usize>, whole: bool) -> bool {
    let (Some(head), Some(tail)) = (text.get(..span.start), text.get(span.end..)) else { return false };
    let key = match head {
        [.., first, then @ 1..0x80, len] if *first >= 0x80 && usize::from(*len) == span.len() && first & 7 == 2 => {
            Some((3, u64::from(*then) << 4))
        }
        [.., key @ 8..0x80, len] if usize::from(*len) == span.len() && key & 7 == 2 => Some((2, u64::from(key >> 3))),
        _ => None,
    };
    let Some((before, number)) = key else { return false };
    let at = span.start - before;
    let front = head.get(..at).unwrap_or_default();
    let distance = match span.len() {
        // Lines and cells of texts end in these.
        9 | 10 | 13 => NEAR,
        _ if whole => FAR,
        _ => FRONT - 3,
    };
    let near = || is_near(front, tail, distance) && follows(tail, number, whole);
    // Behind nothing, or the length of the message: gRPC has a byte and four, others one, two or four.
    let read = || whole && [0, 5, 4, 1, 2].into_iter().any(|from| from <= at && is_message(text, from, at));
    near() || read()
}

/// A field: its number, and how many bytes it takes; the part of them that is its content, if that may be a message.
fn field(text: &[u8]) -> Option<(u64, usize, Option<Range<usize>>)> {
    let (key, start) = varint(text)?;
    let number = key >> 3;
    let (len, body) = match key & 7 {
        0 => (varint(text.get(start..)?)?.1, None),
        1 => (8, None),
        2 => {
            let (len, more) = varint(text.get(start..)?)?;
            let len = usize::try_from(len).ok()?;
            (more.checked_add(len)?, Some(start + more..start.checked_add(more)?.checked_add(len)?))
        }
        5 => (4, None),
        _ => return None,
    };
    // Numbers of fields have 29 bits.
    ((1..1 << 29).contains(&number)).then_some((number, start.checked_add(len)?, body))
}

fn varint(text: &[u8]) -> Option<(u64, usize)> {
    let len = text.iter().take(10).position(|b| *b < 0x80)? + 1;
    Some((text.iter().take(len).rev().fold(0u64, |sum, b| sum << 7 | u64::from(b & 0x7f)), len))
}

/// Whether fields in their order begin here, or the message ends. What is no field any more has to be no text either: it belongs to the next message.
fn follows(tail: &[u8], number: u64, whole: bool) -> bool {
    let tail = if whole { tail } else { tail.get(..BEHIND).unwrap_or(tail) };
    let (mut at, mut last) = (0, number);
    for n in 0..3 {
        let Some(rest) = tail.get(at..).filter(|rest| !rest.is_empty()) else { return true };
        // What is inside another field ends before it, and then the numbers begin anew: that is only taken for so where no text has the byte.
        let binary = n > 0 && rest.first().is_some_and(|b| *b < b' ' && !matches!(b, b'\t' | b'\n' | b'\r') || *b >= 0x80);
        match field(rest) {
            Some((next, len, _)) if next >= last && len <= rest.len() => (at, last) = (at + len, next),
            // Of a stream the next bytes are not there yet.
            Some((next, ..)) if next >= last && !whole && tail.len() == BEHIND => return true,
            _ => return binary,
        }
    }
    true
}

/// Whether a text is a message from `from` to its end, in which a field begins at `at`.
fn is_message(text: &[u8], from: usize, at: usize) -> bool {
    let mut ends: SmallVec<[usize; DEEP]> = SmallVec::new();
    ends.push(text.len());
    let (mut place, mut met) = (from, false);
    for _ in 0..FIELDS {
        while ends.last() == Some(&place) {
            ends.pop();
        }
        let Some(end) = ends.last() else { return met };
        met |= place == at;
        let Some((_, len, body)) = text.get(place..*end).and_then(field) else { return false };
        let next = place.saturating_add(len);
        let inside = body.map(|body| place + body.start..place.saturating_add(body.end)).filter(|body| body.contains(&at));
        match inside {
            Some(body) if body.end <= *end && ends.len() < DEEP => {
                place = body.start;
                ends.push(body.end);
            }
            _ if next <= *end => place = next,
            _ => return false,
        }
    }
    false
}

/// Whether the value is an option of CoAP (RFC 7252 §3): read from the start of the datagram.
fn is_option(text: &[u8], span: &Range<usize>) -> bool {
    // Version 1 and a token of up to eight bytes; the code of a request, and the number of the message.
    let [first @ 0x40..0x80, 1..=7, ..] = text else { return false };
    if first & 0x0f > 8 || span.start > DATAGRAM {
        return false;
    }
    let mut at = 4 + usize::from(first & 0x0f);
    while at < span.start {
        let Some((head, more)) = text.get(at).zip(text.get(at + 1..)) else { return false };
        let Some((_, delta)) = nibble(head >> 4, more) else { return false };
        let Some((len, extended)) = more.get(delta..).and_then(|more| nibble(head & 0x0f, more)) else { return false };
        let start = at + 1 + delta + extended;
        if start == span.start {
            return len == span.len();
        }
        at = start.saturating_add(len);
    }
    false
}

/// A number of the head of an option, and how many bytes it takes behind that.
fn nibble(nibble: u8, more: &[u8]) -> Option<(usize, usize)> {
    match nibble {
        13 => Some((13 + usize::from(*more.first()?), 1)),
        14 => Some((269 + usize::from(u16::from_be_bytes(*more.first_chunk()?)), 2)),
        15 => None,
        short => Some((usize::from(short), 0)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::table::Edge;

    /// Addresses of 36 and of 34 characters, and values of the lengths of a tab, a line feed and a carriage return.
    const MAIL: &str = "leontine.habersack@funkturm8.example";
    const OTHER: &str = "leontine.habersack@funkturm.exampl";
    const NINE: &str = "Bo Kaspar";
    const TEN: &str = "Ida Kaspar";
    const PHONE: &str = "+491519988776";

    #[track_caller]
    fn check(edge: Edge, value: &str, head: &[u8], tail: &[u8], expect: [bool; 2]) {
        let text = [head, value.as_bytes(), tail].concat();
        let span = head.len()..head.len() + value.len();
        for (whole, expect) in [true, false].into_iter().zip(expect) {
            assert_eq!(edge.allows(&text, &span, whole), expect, "{} whole {whole}", text.escape_ascii());
        }
    }

    #[track_caller]
    fn is_found(edge: Edge, value: &str, head: &[u8], tail: &[u8]) {
        let text = [head, value.as_bytes(), tail].concat();
        assert!(edge.allows(&text, &(head.len()..head.len() + value.len()), true), "{}", text.escape_ascii());
    }

    fn proto(number: u8, value: &str) -> Vec<u8> {
        [&[number << 3 | 2, value.len() as u8], value.as_bytes()].concat()
    }

    #[test]
    fn fields_whose_heads_are_letters() {
        let id = "3f6c1b77-21d4-4e0a-9a57-0c4be55f3a90";
        for (edge, value) in [(Edge::Mailbox, MAIL), (Edge::Word, NINE), (Edge::Word, TEN), (Edge::Digit, PHONE)] {
            for number in [6, 7, 8, 11] {
                let head = [number << 3 | 2, value.len() as u8];
                for tail in [proto(number + 1, id), vec![(number + 1) << 3, 55]] {
                    let all = (head.len() + value.len() + tail.len()) as u8;
                    // Alone; behind another field, the length of the message, both; inside another field.
                    is_found(edge, value, &head, &tail);
                    check(edge, value, &[&proto(1, "x")[..], &head].concat(), &tail, [true, true]);
                    check(edge, value, &[&[0, 0, 0, 0, all], &head[..]].concat(), &tail, [true, true]);
                    is_found(edge, value, &[&[0, 0, 0, 0, all + 38], &proto(4, id)[..], &head].concat(), &tail);
                    is_found(edge, value, &[b'"', all, head[0], head[1]], &[&tail[..], b":xabc".as_slice(), &[b'd'; 117]].concat());
                }
            }
        }
    }

    #[test]
    fn items_whose_heads_are_letters() {
        let keyed = |key: &str, head: &[u8]| [&[0x60 | key.len() as u8], key.as_bytes(), head].concat();
        let said = |value: &str| value.len() as u8;
        // A text and a string of bytes of CBOR: behind a key, behind another text, near the head of a map.
        for (key, head, tail) in [("mail", b'x', &b"cage\x07"[..]), ("mail", b'X', b"x\x20other"), ("m", b'x', b"")] {
            check(Edge::Mailbox, MAIL, &keyed(key, &[head, said(MAIL)]), tail, [true, true]);
            check(
                Edge::Mailbox,
                MAIL,
                &[&[0xa2][..], &keyed("k", b"av")[..], &keyed(key, &[head, said(MAIL)])].concat(),
                tail,
                [true, true],
            );
        }
        let uuid = b"x$3f6c1b77-21d4-4e0a-9a57-0c4be55f3a90";
        check(Edge::Mailbox, MAIL, &[&uuid[..], &[b'x', said(MAIL)]].concat(), b"x$3f6c", [true, false]);
        check(Edge::Mailbox, MAIL, &[0x82, b'x', said(MAIL)], b"\x18\x62", [true, true]);
        // MessagePack: the next item is the number 98.
        check(Edge::Mailbox, MAIL, &[0x92, 0xd9, said(MAIL)], b"b", [true, true]);
        check(Edge::Mailbox, MAIL, &[0x92, 0xc4, said(MAIL)], b"b", [true, true]);
        check(Edge::Mailbox, MAIL, &[0x92, 0xd9, said(MAIL) + 1], b"b", [false, false]);
        for value in ["anselm77", "Wolkenweg 24", "tilda.wolkenweg.77", "Zum Wolkenhaus Gast", "Wolkenweg Garten"] {
            // Strings of bytes of CBOR.
            check(
                Edge::Word,
                value,
                &[&[0xa2, 0x61, b'a', 1][..], &keyed("name", &[0x40 | said(value)])].concat(),
                b"azCend",
                [true, true],
            );
            // AMF 3.
            check(Edge::Word, value, &[b"\x0a\x0b\x01\x09name\x06", &[said(value) * 2 + 1][..]].concat(), b"z", [true, true]);
            // Smile and property lists have a mark at their start.
            check(Edge::Word, value, &[b":)\n\x01\xfa\x83name", &[0x3f + said(value)][..]].concat(), b"x", [true, false]);
        }
        for value in ["Wolf", "Anselm Wolf", "Anselm Wolff", "Anselm Wolffs", "Anselm Wolffen"] {
            let list =
                [&b"bplist00\xd2\x01\x02\x03\x04TnameRosUmodelZiPhone15,2_\x10\x12Europe/Somewhere/on"[..], &[0x50 | said(value)]].concat();
            check(Edge::Word, value, &list, b"SiOSVmobile", [true, false]);
        }
        // CoAP: a path of thirteen characters and more, and a query behind it.
        for value in ["wolkenweg_1234", "wolkenweg.anselm.x.1234", "leontine_habersack_at_funkturm8_example_and_more"] {
            let front = [&b"\x42\x02\x12\x34ab"[..], b"\x37gateway", b"\x8d", &[said(value) - 13]].concat();
            check(Edge::Word, value, &front, b"Jname=value", [true, false]);
            let third = [&b"\x42\x02\x12\x34ab\xb1x\x0d"[..], &[said(value) - 13]].concat();
            assert!(Edge::Word.allows(
                &[&third, value.as_bytes(), b"Jname=value"].concat(),
                &(third.len()..third.len() + value.len()),
                true
            ));
        }
    }

    /// Parameters of FastCGI, with another behind them or the end of the record; where the name is too long for a stream, only in a message.
    #[test]
    fn parameters_of_fastcgi() {
        let user = "anselm.wolkenweg";
        let named = |name: &str, len: usize| [&[name.len() as u8, len as u8], name.as_bytes()].concat();
        for (edge, value) in [(Edge::Mailbox, MAIL), (Edge::Word, user), (Edge::Local, user), (Edge::Word, NINE), (Edge::Word, TEN)] {
            let len = value.len();
            for (name, expect) in [("REMOTE_USER", [true, true]), ("USER_7", [true, true]), ("HTTP_X_DEVICE_NAME", [true, false])] {
                let head = [&b"\x0c\x00QUERY_STRING"[..], &named(name, len)].concat();
                for tail in [&b"\x0e\x03REQUEST_METHODGET"[..], b"", b"0ABC", b"\0\0\0"] {
                    check(edge, value, &head, tail, expect);
                }
                let long = [&[name.len() as u8, 0x80, 0, 0, len as u8], name.as_bytes()].concat();
                is_found(edge, value, &long, b"\x0e\x03REQUEST_METHODGET");
                // The value goes on: behind a word, and inside of it.
                check(edge, value, &[&b"\0"[..], &named(name, len + 4)].concat(), b"; x=", expect);
                check(edge, value, &[&b"\0"[..], &named(name, len + 4)].concat(), b"xyz1", [false, false]);
                // Less than the value, and another name.
                for (n, v) in [(0, -1), (1, 0), (-1, 0)] {
                    let mut other = named(name, len);
                    (other[0], other[1]) = (other[0].wrapping_add_signed(n), other[1].wrapping_add_signed(v));
                    check(edge, value, &[&b"\x01"[..], &other].concat(), b"0ABC", [false, false]);
                }
            }
        }
        for (value, head) in [(TEN, &b"and so\n\nREMOTEUSER"[..]), (NINE, b"and so\r\n\tREMOTEUSR"), (MAIL, b"and so\n$REMOTEUSER")] {
            check(Edge::Word, value, head, b"x and so on", [false, false]);
        }
        assert!(!Edge::Word.allows(b"\x02\x10xxanselm.wolkenwegA", &(4..20), true), "no name of CGI");
    }

    /// What is a head by chance is none in a text, or inside a longer value.
    #[test]
    fn texts_that_look_like_heads() {
        assert_eq!((OTHER.len(), TEN.len(), NINE.len(), PHONE.len()), (34, 10, 9, 13));
        let short = &MAIL[4..];
        for (edge, value, head, tail) in [
            (Edge::Word, TEN, &b":\n"[..], &b"i"[..]),
            (Edge::Word, TEN, b"Attendees:\n", b"i and others"),
            (Edge::Word, TEN, b"\x01Attendees:\n", b"i and others"),
            (Edge::Word, TEN, b"\x01Dear\n", b"zu, and others\0"),
            (Edge::Word, TEN, b"Dear\n", b"house\n"),
            (Edge::Word, TEN, b"*\n", b"ski\n*\nJon Kasparski\n"),
            (Edge::Word, NINE, b"Name:\t", b"ian\t"),
            (Edge::Digit, PHONE, b"tel:\r", b"55 now\r"),
            (Edge::Mailbox, OTHER, b"{\"mail\":\"", b"e\"}"),
            (Edge::Mailbox, OTHER, b"0\x40\0\x04a/b/{\"mail\":\"", b"e\"}"),
            (Edge::Mailbox, OTHER, b"0\x40\0\x04a/b/{\"mail\":\"", b"e\",\"n\":1}"),
            (Edge::Mailbox, short, b"inbox ", b"s> and more"),
            (Edge::Mailbox, short, b"mailbox ", b"s, and more"),
            (Edge::Mailbox, short, b"bmx ", b"s and more"),
            (Edge::Word, "wolkenweg.anselm.x.1234", b"\r\n", b"5\r\n"),
            (Edge::Word, "wolkenweg.anselm.x.1234", b"M\n", b"5\r\n"),
            (Edge::Word, "Anselm Wolf", b"see [", b"gang]"),
            (Edge::Word, "Anselm Wolf", b"see bplist [", b"gang]"),
            (Edge::Word, "Anselm Wolf", b"\x12\x20see [", b"gang]"),
            (Edge::Word, "Anselm Wolff", b"C:\\", b"en"),
        ] {
            check(edge, value, head, tail, [false, false]);
        }
    }

    /// The user part of an address whose own length in front may be read as that of the whole.
    #[test]
    fn user_parts() {
        let user = "anselm.wolff77";
        for (head, tail, expect) in [
            (&b"\x0e"[..], &b"@mailbox.example"[..], false),
            (b"\0\x1e", b"@mailbox.example", false),
            (b"N", b"@mailbox.example\0", false),
            (b"\x8e", b"%40mailbox.example", false),
            (b"\x0e", b"%2540mailbox.example", false),
            (b"\x2a\x0e", b"@\x05", true),
            (b"\x0e", b"", true),
            (b"\x0e", b"x", true),
        ] {
            check(Edge::Local, user, head, tail, [expect, expect]);
        }
    }
}
