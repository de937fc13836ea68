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
            // MACsec; MPLS that begins neither like IP nor like Ethernet.
            Other::EtherType(t) => matches!(t, 0x88e5 | 0x8847 | 0x8848),
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
