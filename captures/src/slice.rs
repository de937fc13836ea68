//! From a frame to its innermost packet: link layers, tunnels, IP headers, transport; by offsets only, nothing is copied.

use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use analyzers::flow::{Mac, Transport};
use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice, TcpHeaderSlice, UdpHeaderSlice};
use foldhash::fast::FixedState;

use crate::link::Link;

/// Logical shards: fixed, so that output does not depend on the number of threads.
pub const SHARDS: u16 = 64;

/// Encapsulations (VLAN tags, labels, tunnels, extension headers) that are taken off one frame before it is left as it is.
const DEEPEST: u32 = 32;

/// Both ends of a conversation, the same for either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) hash: u64,
    lo: u128,
    hi: u128,
    lo_port: u16,
    hi_port: u16,
    /// IP protocol number.
    proto: u8,
    v6: bool,
}

/// A packet's header fields and where its payload lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) key: Key,
    /// The sender is the key's higher end.
    pub(crate) from_hi: bool,
    /// Payload lies in the block's reassembled datagrams, not in its frames.
    pub(crate) whole: bool,
    /// Index of the frame in its block.
    pub(crate) frame: u32,
    /// Payload above the transport.
    pub(crate) at: u32,
    pub(crate) len: u32,
    /// Payload bytes that were sent and not captured.
    pub(crate) cut: u32,
    pub(crate) tcp: TcpFields,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpFields {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    /// The flags byte: FIN 1, SYN 2, RST 4, PSH 8, ACK 16.
    pub(crate) flags: u8,
}

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// A fragment of an IP datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment {
    pub(crate) frame: u32,
    pub(crate) key: FragmentKey,
    pub(crate) offset: u32,
    pub(crate) more: bool,
    pub(crate) at: u32,
    pub(crate) len: u32,
    pub(crate) cut: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FragmentKey {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) id: u32,
    pub(crate) proto: u8,
}

/// What a frame held.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sliced {
    Packet(Packet),
    Fragment(Fragment),
    /// A link address bound to an IP address (ARP).
    Arp {
        mac: Mac,
        ip: IpAddr,
    },
    /// Not followed further.
    Other(Other),
}

/// Why a frame is only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Other {
    /// A link type that is not read; counted by name with the frames.
    Link,
    EtherType(u16),
    /// IEEE 802.2 without an EtherType (spanning tree, …).
    Llc,
    PppProtocol(u16),
    GreProtocol(u16),
    /// The frame ends inside a header: cut by the capture, or sent so.
    CutHeader,
    /// A header that contradicts itself.
    BrokenIp,
    BrokenTcp,
    BrokenUdp,
    /// More encapsulations than are taken off.
    Deep,
}

impl Key {
    fn new(proto: u8, a: (IpAddr, u16), b: (IpAddr, u16)) -> (Key, bool) {
        let (ia, ib) = (number(a.0), number(b.0));
        let from_hi = (ia, a.1) > (ib, b.1);
        let ((lo, lo_port), (hi, hi_port)) = if from_hi { ((ib, b.1), (ia, a.1)) } else { ((ia, a.1), (ib, b.1)) };
        let v6 = a.0.is_ipv6();
        // A fixed seed: which shard a flow is in decides the order of lines. Collisions cost at most a walk over one shard's capped table.
        let mut h = FixedState::with_seed(0x6f76_6572_6865_6172).build_hasher();
        if v6 {
            h.write_u128(lo);
            h.write_u128(hi);
        } else {
            h.write_u64((lo as u64) << 32 | hi as u64 & 0xffff_ffff);
        }
        h.write_u64(u64::from(lo_port) << 32 | u64::from(hi_port) << 16 | u64::from(proto) << 1 | u64::from(v6));
        (Key { hash: h.finish(), lo, hi, lo_port, hi_port, proto, v6 }, from_hi)
    }

    /// The shard this conversation belongs to. Bits the hash table uses least.
    pub(crate) fn shard(&self) -> u16 {
        (self.hash >> 40) as u16 % SHARDS
    }

    /// The address of the lower or the higher end.
    pub(crate) fn end(&self, hi: bool) -> SocketAddr {
        let (ip, port) = if hi { (self.hi, self.hi_port) } else { (self.lo, self.lo_port) };
        let ip = if self.v6 { IpAddr::V6(Ipv6Addr::from(ip)) } else { IpAddr::V4(Ipv4Addr::from(ip as u32)) };
        SocketAddr::new(ip, port)
    }

    pub(crate) fn is_tcp(&self) -> bool {
        self.proto == 6
    }

    pub(crate) fn is_icmp6(&self) -> bool {
        self.proto == 58
    }

    pub(crate) fn transport(&self) -> Transport {
        match self.proto {
            6 => Transport::Tcp,
            17 => Transport::Udp,
            1 | 58 => Transport::Icmp,
            132 => Transport::Sctp,
            n => Transport::Other(u16::from(n)),
        }
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

impl Other {
    pub(crate) fn name(self) -> String {
        match self {
            Other::Link => "link type".to_owned(),
            Other::EtherType(t) => match ether_type_name(t) {
                Some(name) => name.to_owned(),
                None => format!("EtherType {t:#06x}"),
            },
            Other::Llc => "802.2 LLC".to_owned(),
            Other::PppProtocol(p) => format!("PPP protocol {p:#06x}"),
            Other::GreProtocol(p) => format!("GRE protocol {p:#06x}"),
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

/// The link addresses of a frame, source first, where its link layer has them.
pub(crate) fn macs(link: Link, bytes: &[u8]) -> (Option<Mac>, Option<Mac>) {
    let mac = |at: usize| bytes.get(at..at + 6)?.first_chunk().copied().map(Mac);
    match link {
        Link::ETHERNET => (mac(6), mac(0)),
        // Only the sender's, if it is six bytes long.
        Link::LINUX_SLL if half(bytes, 4) == Some(6) => (mac(6), None),
        Link::LINUX_SLL2 if bytes.get(11) == Some(&6) => (mac(12), None),
        _ => (None, None),
    }
}

#[inline]
fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.first_chunk().copied().map(u16::from_be_bytes)
}

#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.first_chunk().copied().map(u32::from_be_bytes)
}

/// What comes next at an offset.
enum Next {
    Ethernet,
    Type(u16),
    Ppp,
    /// IPv4 or IPv6, by its first nibble.
    Ip,
}

/// Takes off everything around the innermost packet of a frame. Offsets are those in `bytes`.
#[inline]
pub(crate) fn slice(link: Link, bytes: &[u8]) -> Sliced {
    let (next, at) = match link.0 {
        1 => (Next::Ethernet, 0),
        113 => match half(bytes, 14) {
            Some(t) if t >= 0x600 => (Next::Type(t), 16),
            Some(_) => return Sliced::Other(Other::Llc),
            None => return Sliced::Other(Other::CutHeader),
        },
        276 => match half(bytes, 0) {
            Some(t) if t >= 0x600 => (Next::Type(t), 20),
            Some(_) => return Sliced::Other(Other::Llc),
            None => return Sliced::Other(Other::CutHeader),
        },
        // An address family in the byte order of the machine that captured; the IP version says the same, and more surely.
        0 | 108 => (Next::Ip, 4),
        12 | 14 | 101 | 228 | 229 => (Next::Ip, 0),
        9 | 50 => (Next::Ppp, 0),
        // Cisco HDLC: address, control, EtherType.
        104 => match half(bytes, 2) {
            Some(t) => (Next::Type(t), 4),
            None => return Sliced::Other(Other::CutHeader),
        },
        _ => return Sliced::Other(Other::Link),
    };
    layers(next, bytes, at)
}

fn layers(mut next: Next, bytes: &[u8], mut at: usize) -> Sliced {
    for _ in 0..DEEPEST {
        match next {
            Next::Ethernet => match half(bytes, at + 12) {
                Some(t) if t >= 0x600 => {
                    next = Next::Type(t);
                    at += 14;
                }
                Some(_) => {
                    // A length: 802.2. SNAP with a zero organisation carries an EtherType (RFC 1042).
                    if bytes.get(at + 14..at + 20) != Some(&[0xaa, 0xaa, 3, 0, 0, 0]) {
                        return Sliced::Other(Other::Llc);
                    }
                    let Some(t) = half(bytes, at + 20) else { return Sliced::Other(Other::CutHeader) };
                    next = Next::Type(t);
                    at += 22;
                }
                None => return Sliced::Other(Other::CutHeader),
            },
            Next::Type(0x0800 | 0x86dd) => next = Next::Ip,
            Next::Type(0x8100 | 0x88a8 | 0x9100 | 0x9200) => {
                let Some(t) = half(bytes, at + 2) else { return Sliced::Other(Other::CutHeader) };
                if t < 0x600 {
                    return Sliced::Other(Other::Llc);
                }
                next = Next::Type(t);
                at += 4;
            }
            Next::Type(0x8847 | 0x8848) => {
                // MPLS: labels up to the bottom of the stack (RFC 3032 §2.1); then an IP version, or a control word before Ethernet.
                let Some(label) = word(bytes, at) else { return Sliced::Other(Other::CutHeader) };
                at += 4;
                if label & 0x100 != 0 {
                    next = match bytes.get(at).map(|b| b >> 4) {
                        Some(4 | 6) => Next::Ip,
                        Some(0) => {
                            at += 4;
                            Next::Ethernet
                        }
                        Some(_) => return Sliced::Other(Other::EtherType(0x8847)),
                        None => return Sliced::Other(Other::CutHeader),
                    };
                }
            }
            Next::Type(0x8864) => {
                // PPPoE session: six bytes of header (RFC 2516 §4).
                at += 6;
                next = Next::Ppp;
            }
            Next::Type(0x0806) => return arp(bytes, at),
            Next::Type(t) => return Sliced::Other(Other::EtherType(t)),
            Next::Ppp => {
                if bytes.get(at..at + 2) == Some(&[0xff, 3]) {
                    at += 2;
                }
                let Some(first) = bytes.get(at).copied() else { return Sliced::Other(Other::CutHeader) };
                // RFC 1661 §2: an odd first byte is a compressed protocol field.
                let proto = if first & 1 == 1 {
                    at += 1;
                    u16::from(first)
                } else {
                    at += 2;
                    half(bytes, at - 2).unwrap_or_default()
                };
                match proto {
                    0x21 | 0x57 => next = Next::Ip,
                    _ => return Sliced::Other(Other::PppProtocol(proto)),
                }
            }
            Next::Ip => match ip(bytes, at) {
                Ok(done) => return done,
                Err((inner, to)) => {
                    next = inner;
                    at = to;
                }
            },
        }
    }
    Sliced::Other(Other::Deep)
}

/// An IP packet; `Err` is a tunnel: what comes next, and where.
#[inline]
fn ip(bytes: &[u8], at: usize) -> Result<Sliced, (Next, usize)> {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first().map(|b| b >> 4) {
        Some(4) => {
            let Ok(head) = Ipv4HeaderSlice::from_slice(rest) else {
                return Ok(Sliced::Other(if rest.len() < 60 { Other::CutHeader } else { Other::BrokenIp }));
            };
            let head_len = head.slice().len();
            // 0 = filled in by the network card (segmentation offload): the frame says how long it is.
            let total = match head.total_len() {
                0 => rest.len(),
                n if (n as usize) < head_len => return Ok(Sliced::Other(Other::BrokenIp)),
                n => n as usize,
            };
            let (src, dst) = (IpAddr::V4(head.source_addr()), IpAddr::V4(head.destination_addr()));
            let proto = head.protocol().0;
            let (start, stop) = (at + head_len, at + total);
            if head.is_fragmenting_payload() {
                let key = FragmentKey { src, dst, id: u32::from(head.identification()), proto };
                let offset = u32::from(head.fragments_offset().value()) * 8;
                return Ok(fragment(key, offset, head.more_fragments(), bytes, start, stop));
            }
            transport(proto, src, dst, bytes, start, stop)
        }
        Some(6) => {
            let Ok(head) = Ipv6HeaderSlice::from_slice(rest) else { return Ok(Sliced::Other(Other::CutHeader)) };
            let total = match head.payload_length() {
                0 => rest.len(),
                n => n as usize + 40,
            };
            let (src, dst) = (IpAddr::V6(head.source_addr()), IpAddr::V6(head.destination_addr()));
            extensions(head.next_header().0, src, dst, bytes, at + 40, at + total)
        }
        Some(_) => Ok(Sliced::Other(Other::BrokenIp)),
        None => Ok(Sliced::Other(Other::CutHeader)),
    }
}

/// IPv6 extension headers (RFC 8200 §4; AH: RFC 4302 §2.2).
#[inline]
fn extensions(mut proto: u8, src: IpAddr, dst: IpAddr, bytes: &[u8], mut at: usize, stop: usize) -> Result<Sliced, (Next, usize)> {
    for _ in 0..DEEPEST {
        let len = match proto {
            0 | 43 | 60 | 135 | 139 | 140 => bytes.get(at + 1).map(|n| (*n as usize + 1) * 8),
            51 => bytes.get(at + 1).map(|n| (*n as usize + 2) * 4),
            44 => {
                let (Some(inner), Some(field), Some(id)) = (bytes.get(at), half(bytes, at + 2), word(bytes, at + 4)) else {
                    return Ok(Sliced::Other(Other::CutHeader));
                };
                if field & 0xfff9 != 0 {
                    let key = FragmentKey { src, dst, id, proto: *inner };
                    return Ok(fragment(key, u32::from(field & 0xfff8), field & 1 == 1, bytes, at + 8, stop));
                }
                // An atomic fragment (RFC 6946): whole in itself.
                Some(8)
            }
            _ => return transport(proto, src, dst, bytes, at, stop),
        };
        let (Some(len), Some(inner)) = (len, bytes.get(at)) else { return Ok(Sliced::Other(Other::CutHeader)) };
        proto = *inner;
        at += len;
        if at > stop {
            return Ok(Sliced::Other(Other::BrokenIp));
        }
    }
    Ok(Sliced::Other(Other::Deep))
}

fn fragment(key: FragmentKey, offset: u32, more: bool, bytes: &[u8], at: usize, stop: usize) -> Sliced {
    let got = stop.min(bytes.len()).saturating_sub(at);
    let cut = stop.saturating_sub(bytes.len().max(at));
    Sliced::Fragment(Fragment { frame: 0, key, offset, more, at: at as u32, len: got as u32, cut: cut as u32 })
}

/// The payload of a whole IP packet: `at..stop`, of which `bytes` may hold less.
#[inline]
fn transport(proto: u8, src: IpAddr, dst: IpAddr, bytes: &[u8], at: usize, stop: usize) -> Result<Sliced, (Next, usize)> {
    let rest = bytes.get(at..stop.min(bytes.len())).unwrap_or_default();
    let is_cut = stop > bytes.len();
    let broken = |what| Ok(Sliced::Other(if is_cut { Other::CutHeader } else { what }));
    let mut tcp = TcpFields::default();
    // Payload starts here; `claimed` is its length on the wire.
    let (ports, start, claimed) = match proto {
        6 => {
            let Ok(head) = TcpHeaderSlice::from_slice(rest) else { return broken(Other::BrokenTcp) };
            tcp = TcpFields {
                seq: head.sequence_number(),
                ack: head.acknowledgment_number(),
                flags: head.slice().get(13).copied().unwrap_or_default(),
            };
            let len = head.slice().len();
            ((head.source_port(), head.destination_port()), len, (stop - at) - len)
        }
        17 => {
            let Ok(head) = UdpHeaderSlice::from_slice(rest) else { return broken(Other::BrokenUdp) };
            let claimed = match head.length() {
                // Jumbograms and offloaded datagrams say 0 (RFC 2675 §4).
                0 => stop - at - 8,
                n if n < 8 => return broken(Other::BrokenUdp),
                n => (n as usize - 8).min(stop - at - 8),
            };
            ((head.source_port(), head.destination_port()), 8, claimed)
        }
        132 => match (half(rest, 0), half(rest, 2)) {
            (Some(a), Some(b)) if rest.len() >= 12 => ((a, b), 12, stop - at - 12),
            _ => return broken(Other::BrokenIp),
        },
        4 | 41 => return Err((Next::Ip, at)),
        47 => return gre(bytes, at),
        // No next header (RFC 8200 §4.7): what follows means nothing.
        59 => ((0, 0), 0, 0),
        _ => ((0, 0), 0, stop.saturating_sub(at)),
    };
    let got = rest.len().saturating_sub(start).min(claimed);
    let (key, from_hi) = Key::new(proto, (src, ports.0), (dst, ports.1));
    Ok(Sliced::Packet(Packet {
        key,
        from_hi,
        whole: false,
        frame: 0,
        at: (at + start) as u32,
        len: got as u32,
        cut: (claimed - got) as u32,
        tcp,
    }))
}

/// A datagram put together from fragments: `bytes` is its whole payload.
pub(crate) fn slice_whole(key: &FragmentKey, bytes: &[u8]) -> Sliced {
    let inner = if key.src.is_ipv6() {
        extensions(key.proto, key.src, key.dst, bytes, 0, bytes.len())
    } else {
        transport(key.proto, key.src, key.dst, bytes, 0, bytes.len())
    };
    inner.unwrap_or_else(|(next, at)| layers(next, bytes, at))
}

/// RFC 2784, RFC 2890; version 1: RFC 2637 §4.1.
fn gre(bytes: &[u8], at: usize) -> Result<Sliced, (Next, usize)> {
    let (Some(flags), Some(proto)) = (half(bytes, at), half(bytes, at + 2)) else { return Ok(Sliced::Other(Other::CutHeader)) };
    let words = [0x8000, 0x2000, 0x1000].iter().filter(|bit| flags & **bit != 0).count();
    let words = words + usize::from(flags & 7 == 1 && flags & 0x80 != 0);
    let at = at + 4 + words * 4;
    match proto {
        0x0800 | 0x86dd => Err((Next::Ip, at)),
        0x6558 => Err((Next::Ethernet, at)),
        0x880b => Err((Next::Ppp, at)),
        _ => Ok(Sliced::Other(Other::GreProtocol(proto))),
    }
}

/// Ethernet and IPv4 only (RFC 826). The sender says its own addresses, in requests as in replies.
fn arp(bytes: &[u8], at: usize) -> Sliced {
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.len() < 28 {
        return Sliced::Other(Other::CutHeader);
    }
    if !rest.starts_with(&[0, 1, 8, 0, 6, 4]) {
        return Sliced::Other(Other::EtherType(0x0806));
    }
    let mac = rest.get(8..14).and_then(|m| m.first_chunk()).copied().map_or(Mac([0; 6]), Mac);
    Sliced::Arp { mac, ip: IpAddr::V4(Ipv4Addr::from(word(rest, 14).unwrap_or_default())) }
}

/// What a neighbour discovery message binds: `payload` is an ICMPv6 message from `src` (RFC 4861 §4).
pub(crate) fn neighbour(src: IpAddr, payload: &[u8]) -> Option<(Mac, IpAddr)> {
    let kind = *payload.first()?;
    let (ip, wanted, options) = match kind {
        // Router solicitation, router advertisement, neighbour solicitation: the sender's own address.
        133 => (src, 1, 8),
        134 => (src, 1, 16),
        135 => (src, 1, 24),
        // Neighbour advertisement: the target's.
        136 => (IpAddr::V6(Ipv6Addr::from(*payload.get(8..24)?.first_chunk::<16>()?)), 2, 24),
        _ => return None,
    };
    if ip.is_unspecified() || ip.is_multicast() {
        return None;
    }
    let mut options = payload.get(options..)?;
    while let [kind, words, ..] = options {
        let len = *words as usize * 8;
        if *kind == wanted && len == 8 {
            return Some((Mac(*options.get(2..8)?.first_chunk()?), ip));
        }
        if len == 0 {
            return None;
        }
        options = options.get(len..).unwrap_or_default();
    }
    None
}
