//! Packets that netfilter logged (LINKTYPE_NFLOG): what Android and Linux firewalls write.

/// Where the packet begins: in the attribute of its payload, behind family, version and group. Lengths and types are in the byte order of
/// the machine that captured (<https://www.tcpdump.org/linktypes/LINKTYPE_NFLOG.html>).
pub(crate) fn packet(bytes: &[u8]) -> Option<usize> {
    const PAYLOAD: u16 = 9;
    if !matches!(bytes, [2 | 10, 0, ..]) {
        return None;
    }
    [u16::from_le_bytes, u16::from_be_bytes].into_iter().find_map(|number| {
        let read = |at: usize| bytes.get(at..at + 2)?.first_chunk().copied().map(number);
        let mut at = 4;
        loop {
            let len = usize::from(read(at)?);
            if read(at + 2)? & 0x7fff == PAYLOAD {
                return matches!(bytes.get(at + 4)?, 0x40..=0x4f | 0x60..=0x6f).then_some(at + 4);
            }
            // Padded to four bytes; none is shorter than its own head.
            at += len.max(4).next_multiple_of(4);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_behind_other_attributes() {
        let little = b"\x02\0\0\x1e\x08\0\x01\0\x08\0\x01\0\x05\0\x0a\0\0\0\0\0\x18\0\x09\0\x45\0\0\x14";
        let big = b"\x0a\0\0\x1e\0\x08\0\x01\0\0\0\x01\0\x2c\0\x09\x60\0\0\0";
        for (bytes, expect) in [
            (&little[..], Some(24)),
            (big, Some(16)),
            // Cut, no packet in it, a bridge's frame, nothing but zeros.
            (&little[..20], None),
            (&little[..12], None),
            (b"\x07\0\0\x1e\x18\0\x09\0\x45\0\0\x14", None),
            (b"\x02\0\0\x1e\x18\0\x09\0\x15\0\0\x14", None),
            (&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], None),
        ] {
            assert_eq!(packet(bytes), expect, "{}", bytes.escape_ascii());
        }
    }
}
