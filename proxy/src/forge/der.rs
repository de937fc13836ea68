//! Just enough DER to write any certificate, sound or unsound, and to cut one into its parts.

/// Tags used here (X.690).
pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const NULL: u8 = 0x05;
pub const OID: u8 = 0x06;
pub const UTF8_STRING: u8 = 0x0c;
pub const PRINTABLE_STRING: u8 = 0x13;
pub const UTC_TIME: u8 = 0x17;
pub const GENERALIZED_TIME: u8 = 0x18;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;

/// One element: tag, definite length in its shortest form, content.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    out.push(tag);
    let len = content.len();
    if len < 0x80 {
        out.push(len as u8);
    } else {
        let bytes = len.to_be_bytes();
        let skip = bytes.iter().take_while(|b| **b == 0).count();
        out.push(0x80 | (bytes.len() - skip) as u8);
        out.extend(bytes.iter().skip(skip));
    }
    out.extend_from_slice(content);
    out
}

/// A constructed element of `parts`.
pub fn of(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    tlv(tag, &parts.concat())
}

pub fn seq(parts: &[&[u8]]) -> Vec<u8> {
    of(SEQUENCE, parts)
}

/// An OBJECT IDENTIFIER from its arcs.
pub fn oid(arcs: &[u128]) -> Vec<u8> {
    let mut content = Vec::new();
    let (first, rest) = match arcs {
        [a, b, rest @ ..] => (a * 40 + b, rest),
        _ => (0, arcs),
    };
    for arc in std::iter::once(first).chain(rest.iter().copied()) {
        let mut groups = [0u8; 19];
        let mut n = arc;
        let mut used = 0;
        for slot in groups.iter_mut().rev() {
            *slot = (n & 0x7f) as u8 | if used == 0 { 0 } else { 0x80 };
            used += 1;
            n >>= 7;
            if n == 0 {
                break;
            }
        }
        content.extend(groups.iter().skip(groups.len() - used));
    }
    tlv(OID, &content)
}

/// A non-negative INTEGER from big-endian bytes.
pub fn uint(bytes: &[u8]) -> Vec<u8> {
    let skip = bytes.iter().take_while(|b| **b == 0).count();
    let body: Vec<u8> = bytes.iter().skip(skip).copied().collect();
    match body.first() {
        None => tlv(INTEGER, &[0]),
        Some(b) if b & 0x80 != 0 => tlv(INTEGER, &[&[0], body.as_slice()].concat()),
        Some(_) => tlv(INTEGER, &body),
    }
}

/// A BIT STRING of whole bytes.
pub fn bits(bytes: &[u8]) -> Vec<u8> {
    of(BIT_STRING, &[&[0], bytes])
}

/// The first element of `bytes` and what follows it.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    pub tag: u8,
    /// Tag, length and content.
    pub raw: &'a [u8],
    pub content: &'a [u8],
    pub rest: &'a [u8],
}

/// Reads one element; `None` if it is not whole or its length is not definite.
pub fn read(bytes: &[u8]) -> Option<Element<'_>> {
    let (&tag, after) = bytes.split_first()?;
    let (&first, after) = after.split_first()?;
    let (len, head) = if first < 0x80 {
        (usize::from(first), 2)
    } else {
        let n = usize::from(first & 0x7f);
        if n == 0 || n > 4 {
            return None;
        }
        let len = after.get(..n)?.iter().fold(0usize, |len, b| len << 8 | usize::from(*b));
        (len, 2 + n)
    };
    let end = head.checked_add(len)?;
    Some(Element { tag, raw: bytes.get(..end)?, content: bytes.get(head..end)?, rest: bytes.get(end..)? })
}

/// The elements standing one after the other in `bytes`, as far as they are whole.
pub fn elements(mut bytes: &[u8]) -> Vec<Element<'_>> {
    let mut out = Vec::new();
    while let Some(e) = read(bytes) {
        bytes = e.rest;
        out.push(e);
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn known_encodings() {
        for (got, expect) in [
            (oid(&[1, 2, 840, 10045, 4, 3, 2]), "06082a8648ce3d040302"),
            (oid(&[2, 5, 29, 17]), "0603551d11"),
            (uint(&[0x80]), "02020080"),
            (uint(&[0, 0, 5]), "020105"),
            (uint(&[]), "020100"),
            (bits(&[1, 2]), "0303000102"),
        ] {
            assert_eq!(analyzers::encode::hex(&got), expect);
        }
        assert_eq!(tlv(OCTET_STRING, &[7; 200])[..3], [4, 0x81, 200]);
        assert_eq!(tlv(OCTET_STRING, &[7; 300])[..4], [4, 0x82, 1, 44]);
    }

    #[test]
    fn reads_what_it_writes_and_nothing_broken() {
        let whole = seq(&[&uint(&[9]), &oid(&[1, 3, 6])]);
        let e = read(&whole).unwrap();
        assert_eq!((e.tag, elements(e.content).len()), (SEQUENCE, 2));
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_none());
        }
        assert!(read(&[0x30, 0x80, 0, 0]).is_none());
        assert!(read(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).is_none());
    }
}
