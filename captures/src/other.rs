//! Frames that are only counted, by name.

/// Why a frame is only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Other {
    /// A link type that is not read; counted by name with the frames.
    Link,
    EtherType(u16),
    /// IEEE 802.2 without an EtherType (spanning tree, …).
    Llc,
    PppProtocol(u16),
    /// The frame ends inside a header: cut by the capture, or sent so.
    CutHeader,
    /// A header that contradicts itself.
    BrokenIp,
    BrokenTcp,
    BrokenUdp,
    /// More encapsulations than are taken off.
    Deep,
}

impl Other {
    /// Whether there may have been a packet of a device in it; link-layer protocols carry none.
    pub(crate) fn may_hold_packets(self) -> bool {
        match self {
            Other::Link | Other::CutHeader | Other::BrokenIp | Other::BrokenTcp | Other::BrokenUdp | Other::Deep => true,
            Other::EtherType(t) => !is_link_control(t),
            Other::Llc | Other::PppProtocol(_) => false,
        }
    }

    pub(crate) fn name(self) -> String {
        match self {
            Other::Link => "link type".to_owned(),
            Other::EtherType(t) => match ether_type_name(t) {
                Some(name) => name.to_owned(),
                None => format!("EtherType {t:#06x}"),
            },
            Other::Llc => "802.2 LLC".to_owned(),
            Other::PppProtocol(p) => format!("PPP protocol {p:#06x}"),
            Other::CutHeader => "frame ends inside a header".to_owned(),
            Other::BrokenIp => "broken IP header".to_owned(),
            Other::BrokenTcp => "broken TCP header".to_owned(),
            Other::BrokenUdp => "broken UDP header".to_owned(),
            Other::Deep => "too many encapsulations".to_owned(),
        }
    }
}

/// EtherTypes of protocols of the link itself, of other networks than the Internet's, and of machines (IEEE registry): what is not
/// among them may carry packets. MACsec does, and so does MPLS that begins neither like IP nor like Ethernet.
fn is_link_control(t: u16) -> bool {
    #[rustfmt::skip]
    const CONTROL: [u16; 62] = [
        0x0101, 0x0200, 0x0804, 0x0805, 0x0806, 0x0842, 0x2000, 0x6001, 0x6002, 0x6003, 0x6004, 0x8035, 0x809b, 0x80f3, 0x8137, 0x8138, 0x814c, 0x8204, 0x8808, 0x8809, 0x8819, 0x885a,
        0x8863, 0x886c, 0x886d, 0x886f, 0x8870, 0x887b, 0x888e, 0x8892, 0x8899, 0x88a2, 0x88a4, 0x88a7, 0x88ab, 0x88b8, 0x88ba, 0x88bb, 0x88c7, 0x88cc, 0x88cd, 0x88d9, 0x88dc, 0x88e1,
        0x88e3, 0x88f5, 0x88f6, 0x88f7, 0x88fb, 0x8902, 0x8906, 0x890d, 0x8912, 0x8914, 0x8915, 0x892d, 0x893a, 0x8940, 0x8946, 0x894c, 0x9000, 0x9003,
    ];
    CONTROL.contains(&t)
}

fn ether_type_name(t: u16) -> Option<&'static str> {
    Some(match t {
        0x0806 => "ARP without IPv4",
        0x8035 => "RARP",
        0x809b => "AppleTalk",
        0x8137 => "IPX",
        0x8863 => "PPPoE discovery",
        0x888e => "802.1X (EAPOL)",
        0x88a2 => "ATA over Ethernet",
        0x88cc => "LLDP",
        0x88e5 => "MACsec",
        0x88f7 => "PTP",
        0x8915 => "RoCE",
        0x893a => "IEEE 1905.1",
        0x9000 => "Ethernet loopback test",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_may_hold_packets() {
        for (t, expect) in [(0x88cc, false), (0x888e, false), (0x88e5, true), (0x8847, true), (0x1234, true), (0x88b5, true)] {
            assert_eq!(Other::EtherType(t).may_hold_packets(), expect, "{t:#x}");
        }
        assert!(!Other::Llc.may_hold_packets() && Other::CutHeader.may_hold_packets());
    }
}
