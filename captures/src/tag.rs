//! Tags between a frame's addresses and its packet, each told by its EtherType.

use crate::other::Other;
use crate::slice::{Next, half, word};

/// What comes behind the tag of this EtherType, whose first byte is at `at`, and where.
pub(crate) fn behind(ether_type: u16, bytes: &[u8], at: usize) -> Result<(Next, usize), Other> {
    let cut = Other::CutHeader;
    match ether_type {
        // MPLS: labels up to the bottom of the stack (RFC 3032 §2.1); then an IP version, or a control word before Ethernet.
        0x8847 | 0x8848 => {
            let label = word(bytes, at).ok_or(cut)?;
            let at = at + 4;
            if label & 0x100 == 0 {
                return Ok((Next::Type(ether_type), at));
            }
            match bytes.get(at).ok_or(cut)? >> 4 {
                4 | 6 => Ok((Next::Ip, at)),
                0 => Ok((Next::Ethernet, at + 4)),
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
        other => Err(Other::EtherType(other)),
    }
}
