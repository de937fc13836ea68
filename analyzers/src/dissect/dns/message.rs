//! Reads DNS messages (RFC 1035 §4) in place.
//!
//! Why our own reader and not a library's: names stay the bytes they were (a device's name is not always UTF-8 and the search wants it
//! raw), a question costs no allocation, and a message that breaks off still gives what stands before the break.

/// The longest name on the wire (RFC 1035 §2.3.4).
const LONGEST_NAME: usize = 255;

/// Every jump of a compressed name must go back; so many jumps no honest name makes.
const MOST_JUMPS: u8 = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub id: u16,
    pub response: bool,
    pub opcode: u8,
    pub rcode: u8,
    /// The bit that must be zero (RFC 1035 §4.1.1, RFC 2535 left one).
    pub reserved: bool,
    pub questions: u16,
    pub answers: u16,
    pub authorities: u16,
    pub additional: u16,
}

pub const HEADER: usize = 12;

impl Header {
    pub fn read(message: &[u8]) -> Option<Header> {
        let [i, d, a, b, q0, q1, n0, n1, s0, s1, r0, r1] = *message.first_chunk::<HEADER>()?;
        let two = |a, b| u16::from_be_bytes([a, b]);
        Some(Header {
            id: two(i, d),
            response: a & 0x80 != 0,
            opcode: a >> 3 & 15,
            rcode: b & 15,
            reserved: b & 0x40 != 0,
            questions: two(q0, q1),
            answers: two(n0, n1),
            authorities: two(s0, s1),
            additional: two(r0, r1),
        })
    }

    /// Whether the counts fit into `len` bytes and the rest is as DNS has it.
    pub fn plausible(&self, len: usize) -> bool {
        let records = usize::from(self.answers) + usize::from(self.authorities) + usize::from(self.additional);
        // A question takes 5 bytes at least, a record 11.
        let least = usize::from(self.questions) * 5 + records * 11;
        self.opcode != 3
            && self.opcode <= 8
            && usize::from(self.questions) + records > 0
            && HEADER + least <= len
            && (self.response || self.rcode == 0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where its name begins and ends in the message.
    pub at: usize,
    pub end: usize,
    pub qtype: u16,
    pub class: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub name: usize,
    pub kind: u16,
    /// Where its data stand in the message: names in them may point back.
    pub at: usize,
    pub data: &'a [u8],
    pub section: Section,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Answer,
    Authority,
    Additional,
}

/// A message being read from front to back.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(message: &'a [u8]) -> Reader<'a> {
        Reader { message, at: HEADER }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    /// Whether what stands here is the beginning of a record whose end is missing, and no name that cannot be one.
    pub fn breaks_off(&self) -> bool {
        let mut at = self.at;
        loop {
            match self.message.get(at) {
                Some(n @ 1..=63) => at += 1 + usize::from(*n),
                Some(n) => return *n == 0 || n & 0xc0 == 0xc0,
                None => return at - self.at <= LONGEST_NAME,
            }
        }
    }

    pub fn question(&mut self) -> Option<Question> {
        let at = self.at;
        let end = skip_name(self.message, at)?;
        let [a, b, c, d] = *self.message.get(end..)?.first_chunk::<4>()?;
        self.at = end + 4;
        Some(Question { at, end, qtype: u16::from_be_bytes([a, b]), class: u16::from_be_bytes([c, d]) })
    }

    pub fn record(&mut self, section: Section) -> Option<Record<'a>> {
        let name = self.at;
        let end = skip_name(self.message, name)?;
        let [a, b, _, _, _, _, _, _, l, m] = *self.message.get(end..)?.first_chunk::<10>()?;
        let at = end + 10;
        let data = self.message.get(at..at + usize::from(u16::from_be_bytes([l, m])))?;
        self.at = at + data.len();
        Some(Record { name, kind: u16::from_be_bytes([a, b]), at, data, section })
    }
}

/// Where the name at `at` ends where it stands.
pub fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    let start = at;
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            n @ 1..=63 => at += 1 + usize::from(n),
            n if n & 0xc0 == 0xc0 => return message.get(at + 1).map(|_| at + 2),
            _ => return None,
        }
        if at - start > LONGEST_NAME {
            return None;
        }
    }
}

/// Appends the name at `at`, its labels joined by dots; a dot or backslash inside a label gets a backslash. The root is nothing.
pub fn name(message: &[u8], at: usize, out: &mut Vec<u8>) -> Option<()> {
    labels(message, at, |label| {
        if !out.is_empty() {
            out.push(b'.');
        }
        for byte in label {
            if matches!(byte, b'.' | b'\\') {
                out.push(b'\\');
            }
            out.push(*byte);
        }
    })
}

/// A name as its labels are, where [`name`] had to escape what stands in one.
pub fn unescaped(name: &[u8]) -> Option<Vec<u8>> {
    if !name.contains(&b'\\') {
        return None;
    }
    let mut out = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        out.push(if *byte == b'\\' { *bytes.next().unwrap_or(byte) } else { *byte });
    }
    Some(out)
}

/// Calls `each` for every label of the name at `at`.
pub fn labels<'a>(message: &'a [u8], mut at: usize, mut each: impl FnMut(&'a [u8])) -> Option<()> {
    let mut jumps = 0;
    let mut length = 0;
    let mut lowest = at;
    loop {
        match *message.get(at)? {
            0 => return Some(()),
            n @ 1..=63 => {
                let label = message.get(at + 1..at + 1 + usize::from(n))?;
                length += label.len() + 1;
                if length > LONGEST_NAME {
                    return None;
                }
                each(label);
                at += 1 + label.len();
            }
            high if high & 0xc0 == 0xc0 => {
                let to = usize::from(u16::from_be_bytes([high & 0x3f, *message.get(at + 1)?]));
                jumps += 1;
                if to >= lowest || jumps > MOST_JUMPS {
                    return None;
                }
                (at, lowest) = (to, to);
            }
            _ => return None,
        }
    }
}

/// A NetBIOS name's first-level coding (RFC 1001 §14.1): 32 letters A–P are the nibbles of 15 characters and a type.
pub fn netbios(label: &[u8]) -> Option<(Vec<u8>, u8)> {
    if label.len() != 32 || !label.iter().all(|b| (b'A'..=b'P').contains(b)) {
        return None;
    }
    let mut plain: Vec<u8> = label.chunks_exact(2).map(|p| (p[0] - b'A') << 4 | (p[1] - b'A')).collect();
    let kind = plain.pop()?;
    let end = plain.iter().rposition(|b| *b != b' ' && *b != 0).map_or(0, |n| n + 1);
    plain.truncate(end);
    Some((plain, kind))
}

/// RR types this house reads (IANA DNS parameters).
pub mod rr {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const NULL: u16 = 10;
    pub const PTR: u16 = 12;
    pub const HINFO: u16 = 13;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const NB: u16 = 32;
    pub const SRV: u16 = 33;
    pub const OPT: u16 = 41;
    pub const SVCB: u16 = 64;
    pub const HTTPS: u16 = 65;
}

/// Whether the data of an SVCB or HTTPS record carry an ECH configuration (RFC 9460 §2.2; key 5, RFC 9848).
pub fn has_ech(data: &[u8]) -> bool {
    let Some(target) = data.get(2..).and_then(|_| skip_name(data, 2)) else { return false };
    let mut rest = data.get(target..).unwrap_or_default();
    while let Some([k0, k1, l0, l1]) = rest.first_chunk::<4>().copied() {
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        if (k0, k1) == (0, 5) {
            return len > 0;
        }
        rest = rest.get(4 + len..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &[u8], at: usize, expect: Option<&str>) {
        let mut out = Vec::new();
        let read = name(message, at, &mut out).map(|()| String::from_utf8_lossy(&out).into_owned());
        assert_eq!(read.as_deref(), expect);
    }

    #[test]
    fn names() {
        check(b"\x04shop\x04test\0", 0, Some("shop.test"));
        check(b"\0", 0, Some(""));
        check(b"\x01a\0\x01b\xc0\0", 3, Some("b.a"));
        check(b"\x03a.b\x02\\x\0", 0, Some("a\\.b.\\\\x"));
        check(b"\x02\xffx\0", 0, Some("\u{fffd}x"));
        // Loops, forward jumps, cuts, unknown label types.
        check(b"\xc0\0", 0, None);
        check(b"\x01a\xc0\0", 0, None);
        check(b"\xc0\x02\xc0\0", 0, None);
        check(b"\xc0\x02\x01a\0", 0, None);
        check(b"\x05ab", 0, None);
        check(b"\x80a\0", 0, None);
        check(&[[63].as_slice(), &[b'a'; 63]].concat().repeat(5), 0, None);
    }

    #[test]
    fn netbios_names() {
        // RFC 1001 §14.1's own example.
        let (name, kind) = netbios(b"EGFCEFEECACACACACACACACACACACACA").unwrap();
        assert_eq!((name.as_slice(), kind), (&b"FRED"[..], b' '));
        assert_eq!(netbios(b"EGFC"), None);
        assert_eq!(netbios(b"egfcefeecacacacacacacacacacacaca"), None);
    }

    #[test]
    fn ech_flag() {
        assert!(has_ech(b"\0\x01\0\0\x01\0\x03\x02h2\0\x05\0\x01x"));
        assert!(!has_ech(b"\0\x01\0\0\x01\0\x03\x02h2"));
        assert!(!has_ech(b"\0\x01\0\0\x05\0\0"));
        assert!(!has_ech(b"\0"));
    }
}
