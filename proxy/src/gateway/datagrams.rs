//! Datagrams that pass the gateway: what stands in for TLS need not be TCP.

use std::net::{IpAddr, SocketAddr};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

/// One, as a frame holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datagram<'f> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) payload: &'f [u8],
}

/// The datagram in a frame of Ethernet, if it holds a whole one.
pub(super) fn read(frame: &[u8]) -> Option<Datagram<'_>> {
    const UDP: u8 = 17;
    // Most frames are none, and this is asked of every frame.
    let udp = match frame.get(12..14)? {
        [0x08, 0x00] => frame.get(23) == Some(&UDP),
        [0x86, 0xdd] => frame.get(20) == Some(&UDP),
        _ => false,
    };
    if !udp {
        return None;
    }
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (from, to) = match packet.net? {
        NetSlice::Ipv4(ip) => (IpAddr::V4(ip.header().source_addr()), IpAddr::V4(ip.header().destination_addr())),
        NetSlice::Ipv6(ip) => (IpAddr::V6(ip.header().source_addr()), IpAddr::V6(ip.header().destination_addr())),
        NetSlice::Arp(_) => return None,
    };
    let Some(TransportSlice::Udp(udp)) = packet.transport else { return None };
    let (from, to) = (SocketAddr::new(from, udp.source_port()), SocketAddr::new(to, udp.destination_port()));
    Some(Datagram { from, to, payload: udp.payload() })
}

/// Whether a datagram to this port may say in clear what TLS would have carried: names, addresses and neighbours are asked for in any case.
/// Where QUIC, the time and the hops of a way (traceroute, from 33434 on) have their ports, only text may: none of them is.
pub(super) fn may_stand_in(port: u16, payload: &[u8]) -> bool {
    match port {
        53 | 67 | 68 | 137 | 138 | 546 | 547 | 853 | 1900 | 5353 | 5355 => false,
        123 | 443 => crate::preamble::is_text(payload, LEAST_ELSEWHERE),
        // Some fill their probes with letters in a row.
        33434..=33534 => crate::preamble::is_text(payload, LEAST_ELSEWHERE) && payload.windows(2).any(|w| w[1].abs_diff(w[0]) > 1),
        _ => true,
    }
}

/// What is as long as this in text is not so by chance.
const LEAST_ELSEWHERE: usize = 16;

/// Shorter ones say too little to be told from what is coded otherwise.
pub(super) const LEAST_TEXT: usize = 4;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    #[test]
    fn frames() {
        let ethernet = || PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let mut four = Vec::new();
        ethernet().ipv4([10, 0, 0, 2], [192, 0, 2, 5], 64).udp(4000, 9999).write(&mut four, b"login anna").unwrap();
        let mut six = Vec::new();
        ethernet().ipv6([0x20; 16], [0x21; 16], 64).udp(4000, 5683).write(&mut six, &[0x40, 1]).unwrap();
        let mut tcp = Vec::new();
        ethernet().ipv4([10, 0, 0, 2], [192, 0, 2, 5], 64).tcp(4000, 80, 1, 100).write(&mut tcp, b"GET / HTTP/1.1").unwrap();
        let datagram = read(&four).unwrap();
        assert_eq!((datagram.from, datagram.to), ("10.0.0.2:4000".parse().unwrap(), "192.0.2.5:9999".parse().unwrap()));
        assert_eq!(datagram.payload, b"login anna");
        assert_eq!(read(&six).map(|d| (d.to.port(), d.payload.len())), Some((5683, 2)));
        assert_eq!((read(&tcp), read(&four[..30]), read(b"")), (None, None, None));
        let is_text = |bytes: &[u8]| crate::preamble::is_text(bytes, LEAST_TEXT);
        assert!(is_text(b"login anna") && !is_text(&[0x40, 1, 0, 1, 9]) && !is_text(b"x"));
        let login = br#"{"user":"anna","password":"hunter2"}"#;
        for (port, payload, expect) in [
            (9999, &[0x40, 1][..], true),
            (53, login, false),
            (443, login, true),
            (443, &[0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x44], false),
            (123, login, true),
            (123, &[0x23, 0, 6, 0xec, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], false),
            (33_440, login, true),
            (33_440, b"@ABCDEFGHIJKLMNOPQRSTUVWXYZ[", false),
        ] {
            assert_eq!(may_stand_in(port, payload), expect, "{port} {payload:?}");
        }
    }
}
