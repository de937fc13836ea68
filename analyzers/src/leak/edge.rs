//! Where a value ends: what may not stand beside it, and what says that it may.

use std::ops::Range;

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
    /// As `Word`, and not followed by `@` or `%`: the user part of an address, when the whole address is sought too.
    Local,
    /// Not followed by this digit: a value without its check digit, when the one with it is sought too.
    Before(u8),
}

impl Edge {
    /// Whether an occurrence at `span` of `text` counts.
    pub(super) fn allows(self, text: &[u8], span: &Range<usize>) -> bool {
        let left = span.start.checked_sub(1).and_then(|i| text.get(i).copied());
        self.allows_between(left, text.get(span.end).copied()) || !matches!(self, Edge::Before(_)) && is_framed(text, span)
    }

    fn allows_between(self, before: Option<u8>, after: Option<u8>) -> bool {
        let digit = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_digit());
        let word = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        match self {
            Edge::None => true,
            Edge::Digit => !digit(before) && !digit(after),
            Edge::Number => !digit(before) && !digit(after) && before != Some(b'+'),
            Edge::Word => !word(before) && !word(after),
            Edge::Local => !word(before) && !word(after) && !matches!(after, Some(b'@' | b'%')),
            Edge::Before(check) => after != Some(check),
        }
    }
}

/// Values of this length stand in no longer word by chance.
const UNLIKELY: usize = 8;

/// Whether the bytes in front say that a value of just this length follows, so that it matters little which bytes stand beside it.
fn is_framed(text: &[u8], span: &Range<usize>) -> bool {
    let Some((head, last)) = text.get(..span.start).and_then(|head| head.split_last().map(|(last, head)| (head, *last))) else {
        return false;
    };
    let (len, last_is) = (span.len(), |n: usize| usize::from(last) == n);
    // The end of a line is ten, too: a length only among bytes that no text has.
    let binary = |b: Option<&u8>| b.is_some_and(|b| *b < b' ' && !matches!(b, b'\t' | b'\r' | b'\n'));
    if matches!(last, b'\t' | b'\r' | b'\n') && !binary(head.last()) && !binary(text.get(span.end + 1)) {
        return false;
    }
    // One byte, or the last of two or four: protobuf, BER, DNS, MySQL, Java, Erlang; with the zero behind a string: D-Bus; type, length and value
    // together, as RADIUS and PPP have it.
    if last_is(len)
        || last_is(len + 1) && text.get(span.end) == Some(&0)
        || last_is(len + 2) && head.last().is_some_and(|kind| *kind < b' ')
    {
        return true;
    }
    // A number with its sign in the lowest bit: Avro. Kind and length in one byte, which may be a letter: CBOR, property lists, CoAP. Only for
    // values that no other word ends in by chance; hex digits stand behind an `x`.
    let nibbles = || {
        let (four, five) = (usize::from(last & 0x0f), usize::from(last & 0x1f));
        let said = four == len && four < 0x0f || last >> 5 == 3 && five == len && five < 0x18;
        said && !last.is_ascii_digit() && text.get(span.clone()).is_some_and(|value| !value.iter().all(u8::is_ascii_hexdigit))
    };
    len >= UNLIKELY && (last_is(len * 2) || nibbles())
        // Four bytes, the lowest first: pickle, BSON.
        || head.last_chunk::<3>().is_some_and(|[a, b, c]| u32::from_le_bytes([*a, *b, *c, last]) as usize == len)
        || is_behind_a_colour(head, last)
}

/// Whether these bytes end in a control sequence of a terminal (ECMA-48 §5.4) or a colour of IRC: the letter or digit before the value is no
/// part of its word.
fn is_behind_a_colour(head: &[u8], last: u8) -> bool {
    let sign = |of: &[u8]| of.iter().rev().take(12).copied().find(|b| !matches!(b, b'0'..=b'9' | b';' | b','));
    let before = || head.iter().rev().take(12).position(|b| *b == b'[').and_then(|at| head.iter().rev().nth(at + 1));
    last.is_ascii_alphabetic() && sign(head) == Some(b'[') && before() == Some(&0x1b)
        || last.is_ascii_digit() && matches!(sign(head), Some(0x03))
}
