//! From a frame to its innermost packet: link layers, tunnels, IP headers, transport; by offsets only, nothing is copied.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use analyzers::flow::Mac;
use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice, TcpHeaderSlice, UdpHeaderSlice};

use crate::key::Key;
use crate::link::Link;
use crate::other::Other;
use crate::{nflog, supplicant, tag, tunnel};

/// Logical shards: fixed, so that output does not depend on the number of threads.
pub const SHARDS: u16 = 64;

/// Encapsulations (VLAN tags, labels, tunnels, extension headers) that are taken off one frame before it is left as it is.
const DEEPEST: u32 = 32;

/// A packet's header fields and where its payload lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) key: Key,
    /// The sender is the key's higher end.
    pub(crate) from_hi: bool,
    /// Payload lies in the block's reassembled datagrams, not in its frames.
    pub(crate) whole: bool,
    /// Fragments of it overlapped and did not agree.
    pub(crate) conflict: bool,
    /// Index of the frame in its block.
    pub(crate) frame: u32,
    /// Payload above the transport.
    pub(crate) at: u32,
    pub(crate) len: u32,
    /// Payload bytes that were sent and not captured.
    pub(crate) cut: u32,
    /// Payload bytes that the IP header claims and the frame, captured or not, has no room for.
    pub(crate) beyond: u32,
    pub(crate) ether: Ether,
    pub(crate) tcp: TcpFields,
}

/// Where the link addresses of the innermost packet are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ether {
    /// In the frame's own link layer.
    Frame,
    /// In a tunnelled Ethernet header at this offset of the frame.
    At(u32),
    /// Nowhere: the ends of an IP tunnel are not those of the packet in it.
    None,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpFields {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    /// The flags byte: FIN 1, SYN 2, RST 4, PSH 8, ACK 16.
    pub(crate) flags: u8,
    /// A SYN that adds a subflow to a connection of MPTCP: what it carries begins and goes on elsewhere.
    pub(crate) joins: bool,
}

/// Whether the options of a SYN join it to a connection of MPTCP (RFC 8684 §3.2: kind 30, subtype 1).
fn joins(mut options: &[u8]) -> bool {
    loop {
        match options {
            [0, ..] | [] => return false,
            [1, rest @ ..] => options = rest,
            [30, 3..=255, kind, ..] if kind >> 4 == 1 => return true,
            [_, len @ 2..=255, ..] => options = options.get(usize::from(*len)..).unwrap_or_default(),
            _ => return false,
        }
    }
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

/// The link addresses of a packet, source first, where the link layer around it has them.
pub(crate) fn macs(link: Link, ether: Ether, frame: &[u8]) -> (Option<Mac>, Option<Mac>) {
    let (link, bytes) = match ether {
        Ether::Frame => (link, frame),
        Ether::At(at) => (Link::ETHERNET, frame.get(at as usize..).unwrap_or_default()),
        Ether::None => return (None, None),
    };
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
pub(crate) fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.first_chunk().copied().map(u16::from_be_bytes)
}

#[inline]
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.first_chunk().copied().map(u32::from_be_bytes)
}

/// What comes next at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Ethernet,
    Type(u16),
    Ppp,
    /// IPv4 or IPv6, by its first nibble.
    Ip,
}

/// The bytes of the enclosing layer, from the start of the frame: what was captured of them, and where they ended on the wire.
#[derive(Clone, Copy)]
struct Inside<'b> {
    bytes: &'b [u8],
    wire: usize,
}

impl<'b> Inside<'b> {
    /// A layer within this one that ends at `stop`.
    fn upto(self, stop: usize) -> Inside<'b> {
        Inside { bytes: self.bytes.get(..stop).unwrap_or(self.bytes), wire: self.wire.min(stop) }
    }
}

/// A packet that carries another.
struct Tunnel<'b> {
    next: Next,
    at: usize,
    inside: Inside<'b>,
    /// What it is if the content makes no sense.
    outer: Packet,
}

/// Takes off everything around the innermost packet of a frame. Offsets are those in `bytes`; `wire` is how long the frame was before the
/// capture cut it.
#[inline]
pub(crate) fn slice(link: Link, bytes: &[u8], wire: usize) -> Sliced {
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
        239 => match nflog::packet(bytes) {
            Some(at) => (Next::Ip, at),
            None => return Sliced::Other(Other::CutHeader),
        },
        // Cisco HDLC: address, control, EtherType.
        104 => match half(bytes, 2) {
            Some(t) => (Next::Type(t), 4),
            None => return Sliced::Other(Other::CutHeader),
        },
        _ => return Sliced::Other(Other::Link),
    };
    match layers(next, Inside { bytes, wire: wire.max(bytes.len()) }, at) {
        Ok(sliced) => sliced,
        Err(tunnel) => innermost(*tunnel),
    }
}

/// Goes down a tunnel and those within it. One whose content is no packet stays a packet itself: its bytes must not be lost.
#[cold]
fn innermost(mut tunnel: Tunnel<'_>) -> Sliced {
    for _ in 0..DEEPEST {
        let ether = if tunnel.next == Next::Ethernet { Ether::At(tunnel.at as u32) } else { Ether::None };
        match layers(tunnel.next, tunnel.inside, tunnel.at) {
            Ok(Sliced::Packet(p)) => return Sliced::Packet(Packet { ether, ..p }),
            Ok(Sliced::Other(_)) => break,
            Ok(other) => return other,
            Err(inner) => tunnel = *inner,
        }
    }
    Sliced::Packet(tunnel.outer)
}

/// Link layers down to an IP packet; `Err` is one that carries another.
#[inline]
fn layers(mut next: Next, inside: Inside<'_>, mut at: usize) -> Result<Sliced, Box<Tunnel<'_>>> {
    let bytes = inside.bytes;
    let cut = Ok(Sliced::Other(Other::CutHeader));
    for _ in 0..DEEPEST {
        match next {
            Next::Ethernet => match half(bytes, at + 12) {
                Some(t) if t >= 0x600 => {
                    next = Next::Type(t);
                    at += 14;
                }
                Some(_) => {
                    // A length: 802.2. SNAP with a zero organisation carries an EtherType (RFC 1042); so does the bridge tunnel (IEEE 802.1H).
                    if !matches!(bytes.get(at + 14..at + 20), Some([0xaa, 0xaa, 3, 0, 0, 0 | 0xf8])) {
                        return Ok(Sliced::Other(Other::Llc));
                    }
                    let Some(t) = half(bytes, at + 20) else { return cut };
                    next = Next::Type(t);
                    at += 22;
                }
                None => return cut,
            },
            Next::Type(0x8100 | 0x88a8 | 0x9100 | 0x9200) => {
                let Some(t) = half(bytes, at + 2) else { return cut };
                if t < 0x600 {
                    return Ok(Sliced::Other(Other::Llc));
                }
                next = Next::Type(t);
                at += 4;
            }
            Next::Type(0x0800 | 0x86dd) => next = Next::Ip,
            Next::Type(0x0806) => return Ok(arp(bytes, at)),
            Next::Type(t) => match tag::behind(t, bytes, at) {
                Ok(behind) => (next, at) = behind,
                Err(other) => return Ok(said(t, inside, at).unwrap_or(Sliced::Other(other))),
            },
            Next::Ppp => {
                // Cisco HDLC under the same link type: its addresses are no protocol of PPP's.
                if let (Some([0x0f | 0x8f, 0]), Some(t)) = (bytes.get(at..at + 2), half(bytes, at + 2)) {
                    next = Next::Type(t);
                    at += 4;
                    continue;
                }
                if bytes.get(at..at + 2) == Some(&[0xff, 3]) {
                    at += 2;
                }
                let Some(first) = bytes.get(at).copied() else { return cut };
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
                    // RFC 3032 §4.
                    0x281 => next = Next::Type(0x8847),
                    0x283 => next = Next::Type(0x8848),
                    _ => return Ok(said(proto, inside, at).unwrap_or(Sliced::Other(Other::PppProtocol(proto)))),
                }
            }
            Next::Ip => return ip(inside, at),
        }
    }
    Ok(Sliced::Other(Other::Deep))
}

/// Somebody says who he is before he has an address; `at` is where the frame of this type, or PPP's of this protocol, begins.
#[cold]
fn said(kind: u16, inside: Inside<'_>, at: usize) -> Option<Sliced> {
    let rest = inside.bytes.get(at..)?;
    let words = supplicant::words(kind, rest)?;
    let got = words.end.min(rest.len()).saturating_sub(words.start);
    let room = (words.len()).min(inside.wire.saturating_sub(at + words.start)).max(got);
    Some(Sliced::Packet(Packet {
        key: Key::of_link(kind),
        from_hi: false,
        whole: false,
        conflict: false,
        frame: 0,
        at: (at + words.start) as u32,
        len: got as u32,
        cut: (room - got) as u32,
        beyond: (words.len() - room) as u32,
        ether: Ether::Frame,
        tcp: TcpFields::default(),
    }))
}

/// An IP packet; `Err` is a tunnel: what comes next, and where.
#[inline]
fn ip(inside: Inside<'_>, at: usize) -> Result<Sliced, Box<Tunnel<'_>>> {
    let bytes = inside.bytes;
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first().map(|b| b >> 4) {
        Some(4) => {
            let Ok(head) = Ipv4HeaderSlice::from_slice(rest) else {
                return Ok(Sliced::Other(if rest.len() < 60 { Other::CutHeader } else { Other::BrokenIp }));
            };
            let head_len = head.slice().len();
            // 0 = filled in by the network card (segmentation offload): the frame says how long it is.
            let total = match head.total_len() {
                0 => inside.wire.saturating_sub(at),
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
            // Authentication stands in front of the payload here too.
            if proto == AH {
                return extensions(proto, src, dst, inside, start, stop);
            }
            transport(proto, src, dst, inside, start, stop)
        }
        Some(6) => {
            let Ok(head) = Ipv6HeaderSlice::from_slice(rest) else { return Ok(Sliced::Other(Other::CutHeader)) };
            let total = match head.payload_length() {
                0 => inside.wire.saturating_sub(at),
                n => n as usize + 40,
            };
            let (src, dst) = (IpAddr::V6(head.source_addr()), IpAddr::V6(head.destination_addr()));
            extensions(head.next_header().0, src, dst, inside, at + 40, at + total)
        }
        Some(_) => Ok(Sliced::Other(Other::BrokenIp)),
        None => Ok(Sliced::Other(Other::CutHeader)),
    }
}

/// The protocol number of an authentication header.
const AH: u8 = 51;

/// IPv6 extension headers (RFC 8200 §4; AH: RFC 4302 §2.2).
#[inline]
fn extensions(mut proto: u8, src: IpAddr, dst: IpAddr, inside: Inside<'_>, mut at: usize, stop: usize) -> Result<Sliced, Box<Tunnel<'_>>> {
    let bytes = inside.bytes;
    for _ in 0..DEEPEST {
        let len = match proto {
            0 | 43 | 60 | 135 | 139 | 140 => bytes.get(at + 1).map(|n| (*n as usize + 1) * 8),
            AH => bytes.get(at + 1).map(|n| (*n as usize + 2) * 4),
            FRAGMENT => {
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
            _ => return transport(proto, src, dst, inside, at, stop),
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

/// The payload of a whole IP packet: `at..stop`, of which the frame may hold less.
#[inline]
fn transport(proto: u8, src: IpAddr, dst: IpAddr, inside: Inside<'_>, at: usize, stop: usize) -> Result<Sliced, Box<Tunnel<'_>>> {
    let inner = inside.upto(stop);
    let rest = inner.bytes.get(at..).unwrap_or_default();
    let is_cut = inner.wire > inner.bytes.len();
    let broken = |what| Ok(Sliced::Other(if is_cut { Other::CutHeader } else { what }));
    let mut tcp = TcpFields::default();
    // Payload starts here; `claimed` is its length by the headers.
    let (ports, start, claimed) = match proto {
        6 => {
            let Ok(head) = TcpHeaderSlice::from_slice(rest) else { return broken(Other::BrokenTcp) };
            tcp = TcpFields {
                seq: head.sequence_number(),
                ack: head.acknowledgment_number(),
                flags: head.slice().get(13).copied().unwrap_or_default(),
                joins: head.syn() && joins(head.options()),
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
        // No next header (RFC 8200 §4.7): what follows means nothing.
        59 => ((0, 0), 0, 0),
        _ => ((0, 0), 0, stop.saturating_sub(at)),
    };
    let got = rest.len().saturating_sub(start).min(claimed);
    // What the frame had room for and the capture has not, and what no frame of this length can have held.
    let room = claimed.min(inner.wire.saturating_sub(at + start)).max(got);
    let (key, from_hi) = Key::new(proto, (src, ports.0), (dst, ports.1));
    let packet = Packet {
        key,
        from_hi,
        whole: false,
        conflict: false,
        frame: 0,
        at: (at + start) as u32,
        len: got as u32,
        cut: (room - got) as u32,
        beyond: (claimed - room) as u32,
        ether: Ether::Frame,
        tcp,
    };
    if proto != 6
        && let Some((next, skip)) = tunnel::inside(proto, ports, rest.get(start..start + got).unwrap_or_default(), room)
    {
        return Err(Box::new(Tunnel { next, at: at + start + skip, inside: inner.upto(at + start + room), outer: packet }));
    }
    Ok(Sliced::Packet(packet))
}

/// The number of fragment headers in IPv6 (RFC 8200 §4.5).
const FRAGMENT: u8 = 44;

/// A datagram whose first fragment is not there: whose it is, and how long it was at least. Of which connection nobody can tell: it is one of
/// fragments.
pub(crate) fn slice_lost(key: &FragmentKey, len: usize) -> Packet {
    let (at, (key, from_hi)) = (0, Key::new(FRAGMENT, (key.src, 0), (key.dst, 0)));
    let tcp = TcpFields::default();
    Packet { key, from_hi, whole: true, conflict: false, frame: 0, at, len: 0, cut: len as u32, beyond: 0, ether: Ether::None, tcp }
}

/// A datagram put together from fragments: `bytes` is its whole payload. The link addresses of a tunnelled frame are not kept.
pub(crate) fn slice_whole(key: &FragmentKey, bytes: &[u8], wire: usize) -> Sliced {
    let inside = Inside { bytes, wire };
    let done = if key.src.is_ipv6() {
        extensions(key.proto, key.src, key.dst, inside, 0, wire)
    } else {
        transport(key.proto, key.src, key.dst, inside, 0, wire)
    };
    match done {
        Ok(sliced) => sliced,
        Err(tunnel) => match innermost(*tunnel) {
            Sliced::Packet(p) if matches!(p.ether, Ether::At(_)) => Sliced::Packet(Packet { ether: Ether::None, ..p }),
            other => other,
        },
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
