//! Tags between a frame's addresses and its packet, each told by its EtherType.

use crate::other::Other;
use crate::slice::{Next, half, word};

/// What comes behind the tag of this EtherType, whose first byte is at `at`, and where.
pub(crate) fn behind(ether_type: u16, bytes: &[u8], at: usize) -> Result<(Next, usize), Other> {
    let cut = Other::CutHeader;
    match ether_type {
        // MPLS: labels up to the bottom of the stack (RFC 3032 §2.1); then an IP version, or Ethernet, mostly behind a control word (RFC 4448
        // §4.6), which is not announced: the type of the frame shows whether it is there.
        0x8847 | 0x8848 => {
            let label = word(bytes, at).ok_or(cut)?;
            let at = at + 4;
            if label & 0x100 == 0 {
                return Ok((Next::Type(ether_type), at));
            }
            let first = bytes.get(at).ok_or(cut)? >> 4;
            let is_frame = |at: usize| half(bytes, at + 12).is_some_and(|t| matches!(t, 0x0800 | 0x0806 | 0x86dd | 0x8100 | 0x88a8));
            match first {
                4 | 6 => Ok((Next::Ip, at)),
                0 if is_frame(at + 4) || !is_frame(at) && may_be_frame(bytes, at + 4) => Ok((Next::Ethernet, at + 4)),
                _ if is_frame(at) => Ok((Next::Ethernet, at)),
                _ => Err(Other::EtherType(0x8847)),
            }
        }
        // PPPoE session: six bytes of header (RFC 2516 §4).
        0x8864 => Ok((Next::Ppp, at + 6)),
        // Provider backbone bridging: the service tag, then the customer's frame (IEEE 802.1Q §9.7).
        0x88e7 => Ok((Next::Ethernet, at + 4)),
        // FabricPath: a tree and a hop count, then the frame.
        0x8903 => Ok((Next::Ethernet, at + 2)),
        // Cisco TrustSec: version, length, option and tag, then an EtherType.
        0x8909 => Ok((Next::Type(half(bytes, at + 6).ok_or(cut)?), at + 8)),
        // A service path (RFC 8300 §2.2): its length in words, and what follows.
        0x894f => {
            let (first, follows) = half(bytes, at).zip(bytes.get(at + 3)).ok_or(cut)?;
            let next = match follows {
                1 | 2 => Next::Ip,
                3 => Next::Ethernet,
                5 => Next::Type(0x8847),
                _ => return Err(Other::EtherType(ether_type)),
            };
            Ok((next, at + (first & 0x3f) as usize * 4))
        }
        // B.A.T.M.A.N. advanced, version 15: unicast and broadcast packets carry a frame.
        0x4305 => match bytes.get(at..at + 2).ok_or(cut)? {
            [0x40, 15] => Ok((Next::Ethernet, at + 10)),
            [1, 15] => Ok((Next::Ethernet, at + 14)),
            _ => Err(Other::EtherType(ether_type)),
        },
        // HSR (IEC 62439-3): path and size, a number, then an EtherType.
        0x892f => match half(bytes, at + 4).ok_or(cut)? {
            0..0x600 => Err(Other::Llc),
            t => Ok((Next::Type(t), at + 6)),
        },
        other => Err(Other::EtherType(other)),
    }
}

/// Whether bytes are a frame: with a type, SNAP, or 802.2 to one of the addresses that link protocols have. Other lengths are those of something
/// else, read at the wrong place.
fn may_be_frame(bytes: &[u8], at: usize) -> bool {
    let starts = |at: usize, with: &[u8]| bytes.get(at..).is_some_and(|b| b.starts_with(with));
    half(bytes, at + 12).is_none_or(|t| t >= 0x600)
        || starts(at + 14, &[0xaa, 0xaa, 3])
        || starts(at, &[1, 0x80, 0xc2])
        || starts(at, &[1, 0, 0x0c])
}

#[cfg(test)]
mod tests {
    use crate::link::Link;
    use crate::slice::{Sliced, slice};

    const MACS: [u8; 12] = [0x3c, 7, 0x54, 0xaa, 0xbe, 0xcd, 2, 0, 0x5e, 0xc1, 2, 0x9b];
    /// The same for an address that looks like a control word.
    const ZERO_MACS: [u8; 12] = [0, 0x1b, 0x44, 0x11, 0x3a, 0xb7, 2, 0, 0x5e, 0xc1, 2, 0x9b];
    const LABEL: [u8; 6] = [0x88, 0x47, 0, 1, 1, 64];
    const WORD: [u8; 4] = [0; 4];
    /// UDP with a byte in it.
    const IP: [u8; 31] = [0x45, 0, 0, 29, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 53, 0, 53, 0, 9, 0, 0, 7, 0, 0];

    /// `expect`: a packet, or whether there may be one in what is only counted.
    #[track_caller]
    fn check(parts: &[&[u8]], expect: Result<(), bool>) {
        let frame = [&[&MACS[..]], parts].concat().concat();
        let got = match slice(Link::ETHERNET, &frame, frame.len()) {
            Sliced::Packet(_) => Ok(()),
            Sliced::Other(other) => Err(other.may_hold_packets()),
            other => unreachable!("{other:?}"),
        };
        assert_eq!(got, expect, "{parts:x?}");
    }

    #[test]
    fn hsr() {
        check(&[&[0x89, 0x2f, 0x10, 0x40, 0, 1, 8, 0], &IP], Ok(()));
        check(&[&[0x81, 0, 0, 5, 0x89, 0x2f, 0x10, 0x40, 0, 1, 8, 0], &IP], Ok(()));
        check(&[&[0x89, 0x2f, 0x10, 0x40, 0, 1, 0x88, 0xfb], &[0; 40]], Err(false));
        check(&[&[0x89, 0x2f, 0x10, 0x40, 0, 1, 0, 0x26], &[0x42; 40]], Err(false));
        check(&[&[0x89, 0x2f, 0x10, 0x40, 0]], Err(true));
    }

    #[test]
    fn frames_behind_labels() {
        check(&[&LABEL, &IP], Ok(()));
        for macs in [&MACS, &ZERO_MACS] {
            check(&[&LABEL, &WORD, macs, &[8, 0], &IP], Ok(()));
            check(&[&LABEL, macs, &[8, 0], &IP], Ok(()));
            check(&[&LABEL, macs, &[0x81, 0, 0, 5, 8, 0], &IP], Ok(()));
            // What is no frame of ours may be anything.
            check(&[&LABEL, &WORD, macs, &[0, 31], &IP], Err(true));
            check(&[&LABEL, macs, &[0, 31], &IP], Err(true));
            check(&[&LABEL, &WORD, macs, &[0, 39, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &IP], Ok(()));
        }
        check(&[&LABEL, &WORD, &[1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0x5e, 0xc1, 2, 0x9b, 0, 38, 0x42, 0x42, 3], &[0; 35]], Err(false));
        check(&[&LABEL, &WORD], Err(true));
    }
}
