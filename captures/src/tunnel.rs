//! What carries packets inside packets: told by protocol or port and by a header that is sound, for a port alone proves nothing.

use crate::slice::{Next, half, word};

/// What begins inside the payload of an IP packet, and how many bytes further on. `payload` is what was captured of it, `len` its length
/// on the wire.
#[inline]
pub(crate) fn inside(proto: u8, ports: (u16, u16), payload: &[u8], len: usize) -> Option<(Next, usize)> {
    match proto {
        17 => over_udp(ports, payload, len),
        // IP in IP (RFC 2003), IPv6 in IP (RFC 4213 §3).
        4 | 41 => Some((Next::Ip, 0)),
        47 => gre(payload),
        // EtherIP (RFC 3378 §3).
        97 => payload.starts_with(&[0x30, 0]).then_some((Next::Ethernet, 2)),
        // L2TP version 3 over IP (RFC 3931 §4.1.1): a session, a cookie of 0, 4 or 8 bytes that only its ends know, perhaps a sublayer.
        115 => [4, 8, 12, 16].into_iter().find(|at| is_ethernet(payload, *at, len)).map(|at| (Next::Ethernet, at)),
        _ => None,
    }
}

#[inline]
fn over_udp((from, to): (u16, u16), payload: &[u8], len: usize) -> Option<(Next, usize)> {
    // Mobile cores use other ports too, and the header leaves little to chance.
    if let [0x30..=0x37, 0xff, ..] = payload {
        return gtp(payload, len);
    }
    match (from, to) {
        // 8472: Linux before the port was assigned.
        (_, 4789 | 8472) => vxlan(payload).or_else(|| vxlan_gpe(payload)),
        (_, 4790) => vxlan_gpe(payload),
        (_, 6081) => geneve(payload),
        (3544, _) | (_, 3544) => teredo(payload, len),
        (1701, _) | (_, 1701) => l2tp(payload),
        // GRE in UDP (RFC 8086 §3).
        (_, 4754) => gre(payload),
        (_, 6080) => gue(payload, len),
        // LISP (RFC 9300 §5.1).
        (_, 4341) => whole_ip(payload, 8, len).then_some((Next::Ip, 8)),
        (5247, _) | (_, 5247) => capwap(payload),
        (_, 37008) => tzsp(payload),
        _ => None,
    }
}

/// RFC 7348 §5; the group policy extension sets more flags and fills the first reserved field.
fn vxlan(p: &[u8]) -> Option<(Next, usize)> {
    let [flags, more, .., last] = p.get(..8)? else { return None };
    let plain = flags & 0x77 == 0 && more & 0xb7 == 0 && (flags & 0x80 != 0 || p.get(1..4) == Some(&[0; 3]));
    (flags & 8 != 0 && plain && *last == 0).then_some((Next::Ethernet, 8))
}

/// draft-ietf-nvo3-vxlan-gpe §3.1: flags Ver, I, P, B, O.
fn vxlan_gpe(p: &[u8]) -> Option<(Next, usize)> {
    let [flags, 0, 0, next, .., 0] = p.get(..8)? else { return None };
    let next = match (flags & 0xfe, next) {
        (0x0c, 1 | 2) => Next::Ip,
        (0x0c, 3) | (8, 0) => Next::Ethernet,
        _ => return None,
    };
    Some((next, 8))
}

/// RFC 8926 §3.4.
fn geneve(p: &[u8]) -> Option<(Next, usize)> {
    let [first, flags, .., 0] = p.get(..8)? else { return None };
    if first >> 6 != 0 || flags & 0x3f != 0 {
        return None;
    }
    let at = 8 + (first & 0x3f) as usize * 4;
    Some((ether_type(half(p, 2)?)?, at))
}

/// The user plane of GTP, version 1 (3GPP TS 29.281 §5): a G-PDU, with its extension headers.
fn gtp(p: &[u8], len: usize) -> Option<(Next, usize)> {
    let first = *p.first()?;
    if half(p, 2)? as usize + 8 != len {
        return None;
    }
    let mut at = 8;
    if first & 7 != 0 {
        let mut next = *p.get(11)?;
        at = 12;
        // As many as a datagram can hold; each is at least four bytes long.
        while first & 4 != 0 && next != 0 {
            let words = *p.get(at)? as usize;
            if words == 0 {
                return None;
            }
            at += words * 4;
            next = *p.get(at - 1)?;
        }
    }
    whole_ip(p, at, len).then_some((Next::Ip, at))
}

/// RFC 4380 §5.1.1: authentication and origin indication may come before the IPv6 packet.
fn teredo(p: &[u8], len: usize) -> Option<(Next, usize)> {
    let mut at = 0;
    if half(p, at)? == 1 {
        at += 13 + *p.get(2)? as usize + *p.get(3)? as usize;
    }
    if half(p, at)? == 0 {
        at += 8;
    }
    (p.get(at)? >> 4 == 6 && whole_ip(p, at, len)).then_some((Next::Ip, at))
}

/// A data message of version 2 (RFC 2661 §3.1).
fn l2tp(p: &[u8]) -> Option<(Next, usize)> {
    let flags = half(p, 0)?;
    if flags & 0x800f != 2 {
        return None;
    }
    let mut at = 2 + if flags & 0x4000 != 0 { 2 } else { 0 } + 4 + if flags & 0x0800 != 0 { 4 } else { 0 };
    if flags & 0x0200 != 0 {
        at += 2 + half(p, at)? as usize;
    }
    Some((Next::Ppp, at))
}

/// draft-ietf-intarea-gue-09 §3: version 0 has a header and names a protocol, version 1 begins with the packet.
fn gue(p: &[u8], len: usize) -> Option<(Next, usize)> {
    let (first, proto) = (*p.first()?, *p.get(1)?);
    match first >> 6 {
        0 if first & 0x20 == 0 && matches!(proto, 4 | 41) => {
            let at = 4 + (first & 0x1f) as usize * 4;
            whole_ip(p, at, len).then_some((Next::Ip, at))
        }
        1 => whole_ip(p, 0, len).then_some((Next::Ip, 0)),
        _ => None,
    }
}

/// The data channel of CAPWAP (RFC 5415 §4.3), not encrypted, with whole frames of 802.3.
fn capwap(p: &[u8]) -> Option<(Next, usize)> {
    let [0, a, _, b, ..] = *p.get(..8)? else { return None };
    // T: the frame is 802.11's own. F: a fragment.
    if b & 1 == 1 || p.get(3)? & 0x80 != 0 {
        return None;
    }
    let at = (a >> 3) as usize * 4;
    (at >= 8).then_some((Next::Ethernet, at))
}

/// What sniffers send home (TaZmen Sniffer Protocol, version 1): tags up to the end tag, then a frame of Ethernet.
fn tzsp(p: &[u8]) -> Option<(Next, usize)> {
    let [1, 0 | 1, 0, 1] = *p.first_chunk::<4>()? else { return None };
    let mut at = 4;
    loop {
        match p.get(at)? {
            0 => at += 1,
            1 => return Some((Next::Ethernet, at + 1)),
            _ => at += 2 + *p.get(at + 1)? as usize,
        }
    }
}

/// A frame of Ethernet around a packet that ends where its carrier ends.
fn is_ethernet(p: &[u8], at: usize, len: usize) -> bool {
    matches!(half(p, at + 12), Some(0x0800 | 0x86dd)) && whole_ip(p, at + 14, len)
}

/// An IP packet that ends where its carrier ends.
fn whole_ip(p: &[u8], at: usize, len: usize) -> bool {
    let said = match p.get(at).map(|b| b >> 4) {
        Some(4) => half(p, at + 2),
        Some(6) => half(p, at + 4).and_then(|n| n.checked_add(40)),
        _ => None,
    };
    said.is_some_and(|n| at + n as usize == len)
}

/// RFC 2784, RFC 2890; version 1: RFC 2637 §4.1.
fn gre(p: &[u8]) -> Option<(Next, usize)> {
    let (flags, proto) = (half(p, 0)?, half(p, 2)?);
    // A checksum or routing bit brings checksum and offset; routing itself is obsolete and left as it is.
    if flags & 0x4000 != 0 {
        return None;
    }
    let words = [0x8000, 0x2000, 0x1000].iter().filter(|bit| flags & **bit != 0).count();
    let words = words + usize::from(flags & 7 == 1 && flags & 0x80 != 0);
    let at = 4 + words * 4;
    match proto {
        0x880b => Some((Next::Ppp, at)),
        // ERSPAN (draft-foschiano-erspan-03 §4): type I has no header, type II one of eight bytes and a sequence number.
        0x88be => Some((Next::Ethernet, at + if flags & 0x1000 != 0 { 8 } else { 0 })),
        0x22eb => {
            let last = word(p, at + 8)?;
            let at = at + if last & 1 == 1 { 20 } else { 12 };
            match last >> 10 & 0x1f {
                0 => Some((Next::Ethernet, at)),
                2 => Some((Next::Ip, at)),
                _ => None,
            }
        }
        // EoIP: its own length and tunnel where PPTP has them.
        0x6400 if flags == 0x2001 => Some((Next::Ethernet, 8)),
        // WCCP puts four bytes of its own first in its second version.
        0x883e => Some((Next::Ip, at + if p.get(at)? >> 4 == 4 { 0 } else { 4 })),
        other => Some((ether_type(other)?, at)),
    }
}

/// An EtherType that leads to packets.
fn ether_type(t: u16) -> Option<Next> {
    match t {
        0x6558 => Some(Next::Ethernet),
        0x0800 | 0x86dd | 0x8847 | 0x8848 | 0x8100 | 0x88a8 => Some(Next::Type(t)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::type_complexity, reason = "tests")]
mod tests {
    use crate::link::Link;
    use crate::slice::{Ether, Sliced, slice};

    /// A whole IPv4 packet of UDP.
    fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
        let len = 8 + payload.len() as u16;
        let head = [ports.0.to_be_bytes(), ports.1.to_be_bytes(), len.to_be_bytes(), [0; 2]].concat();
        ipv4(17, &[&head, payload].concat())
    }

    fn ipv4(proto: u8, payload: &[u8]) -> Vec<u8> {
        let len = 20 + payload.len() as u16;
        let mut out = vec![0x45, 0];
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&[0, 0, 0, 0, 64, proto, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        out.extend_from_slice(payload);
        out
    }

    fn ethernet(packet: &[u8]) -> Vec<u8> {
        [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0][..], packet].concat()
    }

    /// What is found in the packet: payload, whether the other end is port 9, where link addresses are.
    #[track_caller]
    fn check(what: &str, packet: &[u8], inner: bool, ether: Ether) {
        let Sliced::Packet(p) = slice(Link::RAW, packet, packet.len()) else { panic!("{what}: no packet") };
        let payload = &packet[p.at as usize..(p.at + p.len) as usize];
        assert_eq!(payload == b"inside", inner, "{what}: {payload:x?}");
        assert_eq!((p.ether, p.cut, p.beyond), (ether, 0, 0), "{what}");
    }

    #[test]
    fn carriers() {
        let inner = udp((5000, 9), b"inside");
        let frame = ethernet(&inner);
        let at = |head: &[u8], rest: &[u8]| [head, rest].concat();
        let gtp = |first: u8, head: &[u8]| {
            let len = (head.len() + inner.len()) as u16;
            [&[first, 0xff][..], &len.to_be_bytes(), &[0, 0, 0, 1], head, &inner].concat()
        };
        let (none, outer) = (Ether::None, Ether::Frame);
        let carriers: &[(&str, (u16, u16), Vec<u8>, bool, Ether)] = &[
            ("vxlan", (1, 4789), at(&[8, 0, 0, 0, 0, 0, 1, 0], &frame), true, Ether::At(36)),
            ("vxlan without its flag", (1, 4789), at(&[0, 0, 0, 0, 0, 0, 1, 0], &frame), false, outer),
            ("vxlan-gpe to IP", (1, 4790), at(&[0x0c, 0, 0, 1, 0, 0, 1, 0], &inner), true, none),
            ("geneve with an option", (1, 6081), at(&[1, 0, 0x65, 0x58, 0, 0, 1, 0, 0, 0, 0, 0], &frame), true, Ether::At(40)),
            ("gtp", (2152, 2152), gtp(0x30, &[]), true, none),
            ("gtp with a sequence number, anywhere", (7, 7), gtp(0x32, &[0, 1, 0, 0]), true, none),
            ("gtp with an extension", (2152, 2152), gtp(0x34, &[0, 0, 0, 0x85, 1, 0, 0, 0]), true, none),
            ("gtp with an extension of no length", (2152, 2152), gtp(0x34, &[0, 0, 0, 0x85, 0, 0, 0, 0]), false, outer),
            ("gtp with a length that is not", (2152, 2152), at(&[0x30, 0xff, 0, 1, 0, 0, 0, 1], &inner), false, outer),
            ("l2tp", (1701, 1701), at(&[0, 2, 0, 1, 0, 1, 0xff, 3, 0, 0x21], &inner), true, none),
            ("l2tp control", (1701, 1701), at(&[0xc8, 2, 0, 1, 0, 1, 0, 0, 0, 0], &inner), false, outer),
            ("gre in udp", (1, 4754), at(&[0, 0, 8, 0], &inner), true, none),
            ("gue", (1, 6080), at(&[1, 4, 0, 0, 9, 9, 9, 9], &inner), true, none),
            ("gue control", (1, 6080), at(&[0x21, 4, 0, 0, 9, 9, 9, 9], &inner), false, outer),
            ("gue without a header", (1, 6080), inner.clone(), true, none),
            ("lisp", (1, 4341), at(&[0x80, 0, 0, 1, 0, 0, 0, 0], &inner), true, none),
            ("capwap", (5247, 1), at(&[0, 0x10, 2, 0, 0, 0, 0, 0], &frame), true, Ether::At(36)),
            ("capwap with its own frames", (5247, 1), at(&[0, 0x10, 3, 1, 0, 0, 0, 0], &frame), false, outer),
            ("tzsp", (1, 37008), at(&[1, 0, 0, 1, 10, 1, 5, 0, 1], &frame), true, Ether::At(37)),
            ("no tunnel", (5000, 9), b"inside".to_vec(), true, outer),
        ];
        for (what, ports, payload, found, ether) in carriers {
            check(what, &udp(*ports, payload), *found, *ether);
        }
        check("ip in ip", &ipv4(4, &inner), true, none);
        check("gre", &ipv4(47, &at(&[0, 0, 8, 0], &inner)), true, none);
        check("gre with a key", &ipv4(47, &at(&[0x20, 0, 0x65, 0x58, 0, 0, 0, 1], &frame)), true, Ether::At(28));
        check("erspan", &ipv4(47, &at(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 0, 0, 0, 0, 0], &frame)), true, Ether::At(36));
        check("eoip", &ipv4(47, &at(&[0x20, 1, 0x64, 0, 0, 48, 1, 0], &frame)), true, Ether::At(28));
        check("etherip", &ipv4(97, &at(&[0x30, 0], &frame)), true, Ether::At(22));
        check("l2tp 3", &ipv4(115, &at(&[0, 0, 0, 1], &frame)), true, Ether::At(24));
        check("l2tp 3 with a cookie", &ipv4(115, &at(&[0, 0, 0, 1, 7, 7, 7, 7, 8, 8, 8, 8], &frame)), true, Ether::At(32));
        check(
            "authenticated",
            &ipv4(51, &at(&[17, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], &inner[20..])),
            true,
            outer,
        );
        check("gre of something else", &ipv4(47, &at(&[0, 0, 0x12, 0x34], &inner)), false, outer);
    }

    /// Tags between the link addresses and the packet.
    #[test]
    fn tags() {
        let inner = udp((5000, 9), b"inside");
        let frame = ethernet(&inner);
        let tagged = |tag: &[u8]| [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], tag].concat();
        let rows: [(&str, Vec<u8>); 6] = [
            ("trustsec", [&tagged(&[0x89, 9, 1, 1, 0, 1, 0, 7, 8, 0])[..], &inner].concat()),
            ("nsh", [&tagged(&[0x89, 0x4f, 0x0f, 0xc2, 2, 1, 0, 0, 1, 0xff])[..], &inner].concat()),
            ("nsh around a frame", [&tagged(&[0x89, 0x4f, 0x0f, 0xc2, 2, 3, 0, 0, 1, 0xff])[..], &frame].concat()),
            ("fabricpath", [&tagged(&[0x89, 3, 0, 0x60])[..], &frame].concat()),
            ("batman", [&tagged(&[0x43, 5, 0x40, 15, 50, 1, 2, 0, 0, 0, 0, 9])[..], &frame].concat()),
            ("bridge tunnel", [&tagged(&[0, 48, 0xaa, 0xaa, 3, 0, 0, 0xf8, 8, 0])[..], &inner].concat()),
        ];
        for (what, bytes) in rows {
            let Sliced::Packet(p) = slice(Link::ETHERNET, &bytes, bytes.len()) else { panic!("{what}") };
            assert_eq!(&bytes[p.at as usize..(p.at + p.len) as usize], b"inside", "{what}");
        }
    }

    /// What is deeper than is followed stays a packet, and its bytes are there.
    #[test]
    fn deep() {
        let mut packet = udp((5000, 9), b"inside");
        for _ in 0..40 {
            packet = ipv4(4, &packet);
        }
        let Sliced::Packet(p) = slice(Link::RAW, &packet, packet.len()) else { panic!("no packet") };
        assert!(p.len > 100 && p.at as usize + p.len as usize == packet.len());
    }

    /// Lengths that the frame has no room for, and frames that the capture cut.
    #[test]
    fn claims() {
        for (claimed, wire, len, cut, beyond) in
            [(34, 34, 6, 0, 0), (534, 34, 6, 0, 500), (34, 34, 6, 0, 0), (134, 134, 6, 100, 0), (134, 84, 6, 50, 50)]
        {
            let mut packet = udp((5000, 9), b"inside");
            packet[2..4].copy_from_slice(&(claimed as u16).to_be_bytes());
            packet[24..26].copy_from_slice(&(claimed as u16 - 20).to_be_bytes());
            let Sliced::Packet(p) = slice(Link::RAW, &packet, wire) else { panic!("no packet") };
            assert_eq!((p.len, p.cut, p.beyond), (len, cut, beyond), "{claimed} claimed, {wire} on the wire");
        }
    }
}
