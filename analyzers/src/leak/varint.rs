//! Numbers as Protocol Buffers write them: seven bits to a byte, the lowest first (Protocol Buffers, "Encoding").

use super::forms::Form;
use super::table::Edge;

/// Of shorter ones, which are less than 42 bits, the key of their field says that they are numbers.
const DISTINCT: usize = 7;
/// Less than 28 bits say nothing.
const SHORTEST: usize = 5;
/// The field of a longitude is the one behind that of the latitude, or in front; up to 15 its key is one byte.
const FIELDS: std::ops::Range<u8> = 2..16;

/// The wire types of a number, of eight bytes and of four.
const NUMBER: u8 = 0;
pub(super) const EIGHT: u8 = 1;
pub(super) const FOUR: u8 = 5;

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(10);
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

/// A number that is a whole value.
pub(super) fn number(number: u64, out: &mut Vec<Form>) {
    let bytes = varint(number);
    if bytes.len() >= SHORTEST {
        let edge = if bytes.len() < DISTINCT { Edge::Key } else { Edge::None };
        out.push(Form::raw(bytes, "varint").edge(edge).plain());
    }
}

/// Digits that are a whole value.
pub(super) fn digits(digits: &[u8], out: &mut Vec<Form>) {
    if let Some(whole) = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()) {
        number(whole, out);
    }
}

/// A pair of angles in parts of a degree, in fields behind each other: `int32`, `sint32`, `sfixed32`.
pub(super) fn angles(angles: [i32; 2], [number, four]: [&'static str; 2], out: &mut Vec<Form>) {
    let zigzag = |n: i32| varint(u64::from((n << 1 ^ n >> 31) as u32));
    pair(angles.map(|n| varint(i64::from(n) as u64)), NUMBER, number, out);
    pair(angles.map(zigzag), NUMBER, number, out);
    pair(angles.map(|n| n.to_le_bytes().to_vec()), FOUR, four, out);
}

/// A pair of numbers in fields behind each other, of this wire type.
pub(super) fn pair([first, then]: [Vec<u8>; 2], wire: u8, step: &'static str, out: &mut Vec<Form>) {
    out.extend(FIELDS.map(|field| Form::raw([&first[..], &[field << 3 | wire], &then].concat(), step).plain()));
}

/// Whether a number stands there alone: behind the key of its field (of one or two bytes), and in front of another's or of nothing.
pub(super) fn is_field(head: &[u8], tail: &[u8]) -> bool {
    let number = |b: u8| b & 7 == NUMBER;
    let long = matches!(head, [.., first, 1..0x80] if *first >= 0x80 && number(*first));
    let keyed = long || head.last().is_some_and(|key| (8..0x80).contains(key) && number(*key));
    keyed && tail.first().is_none_or(|next| *next >= 8 && matches!(next & 7, NUMBER | EIGHT | 2 | FOUR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (value, expect) in
            [(0, &[0][..]), (1, &[1]), (150, &[0x96, 1]), (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1])]
        {
            assert_eq!(varint(value), expect);
        }
    }

    #[test]
    fn fields() {
        for (head, tail, expect) in [
            (&[0x08][..], &[][..], true),
            (&[0x12, 0x02, 0x78], &[0x12], true),
            (&[0x80, 0x01], &[0x0d], true),
            (&[0xc3, 0xbc, 0x08], &[], true),
            (&[0x82, 0x01], &[], false),
            (&[], &[], false),
            (&[0x09], &[], false),
            (&[0x88], &[], false),
            (&[0x00], &[], false),
            (&[0x08], &[0x07], false),
            (&[0x08], &[0x0b], false),
        ] {
            assert_eq!(is_field(head, tail), expect, "{head:?} {tail:?}");
        }
    }
}
