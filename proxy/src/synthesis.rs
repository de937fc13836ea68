//! Packets made from what sockets carried, for runs without the privilege to capture real ones: the bytes and their order are real, segments,
//! sequence numbers and acknowledgements are ours.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use analyzers::flow::{Dir, FlowEnd, FlowKey};
use bytes::Bytes;
use foldhash::{HashMap, HashMapExt as _};
use policies::Time;

/// Pieces that may wait for the disk. What comes on top is missing from the packets and counted, as what the kernel drops.
const WAITING: usize = 4096;
/// Payload of one made segment: what Ethernet carries.
const SEGMENT: usize = 1400;
/// How often a silent gateway lets the reader look around.
const GLANCE: Duration = Duration::from_millis(200);

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// Something that happened to a flow.
#[derive(Debug)]
pub(crate) enum Piece {
    Open { flow: FlowKey, device: SocketAddr, server: SocketAddr, at: Time },
    Bytes { flow: FlowKey, dir: Dir, offset: u64, at: Time, bytes: Bytes },
    Close { flow: FlowKey, end: FlowEnd, at: Time },
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Piece::Bytes { bytes, .. } => bytes.len() as u64,
            Piece::Open { .. } | Piece::Close { .. } => 0,
        }
    }
}

/// Where the gateway's feed puts pieces.
#[derive(Clone, Debug)]
pub struct Pieces {
    to: SyncSender<Piece>,
    lost: Arc<Lost>,
}

impl Pieces {
    /// Never blocks: the gateway's tasks must not wait for a disk. What finds no place is counted.
    pub(crate) fn put(&self, piece: Piece) {
        if let Err(TrySendError::Full(piece) | TrySendError::Disconnected(piece)) = self.to.try_send(piece) {
            self.lost.add(&piece);
        }
    }
}

/// What no packets were made of, counted from both ends of the queue.
#[derive(Debug, Default)]
struct Lost {
    pieces: AtomicU64,
    bytes: AtomicU64,
}

impl Lost {
    fn add(&self, piece: &Piece) {
        self.pieces.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(piece.len(), Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Flow {
    device: SocketAddr,
    server: SocketAddr,
    /// The initial sequence number of both directions.
    isn: u64,
    /// Next byte of each direction.
    next: [u64; 2],
}

/// Initial sequence numbers far apart (by the golden ratio of their space): a device's system may use a port again soon, and a SYN with the
/// number of the one before would be its retransmission.
const fn isn(flow: FlowKey) -> u64 {
    let n = flow.number() as u32 ^ (flow.source() as u32).rotate_left(24);
    n.wrapping_mul(0x9e37_79b9) as u64
}

/// Makes packets.
#[derive(Debug)]
pub struct Synthesis {
    pieces: Receiver<Piece>,
    flows: HashMap<FlowKey, Flow>,
    made: std::collections::VecDeque<(Time, Vec<u8>)>,
    packet: Vec<u8>,
    lost: Arc<Lost>,
}

/// A way to hand pieces in, and the packets that come of them.
pub fn synthesis() -> (Pieces, Synthesis) {
    let (to, pieces) = sync_channel(WAITING);
    let made = std::collections::VecDeque::new();
    let lost = Arc::new(Lost::default());
    (Pieces { to, lost: lost.clone() }, Synthesis { pieces, flows: HashMap::new(), made, packet: Vec::new(), lost })
}

impl Synthesis {
    /// The next packet, from its IP header on; `None` when nothing happened for a while.
    pub fn take(&mut self) -> Option<(Time, &[u8])> {
        while self.made.is_empty() {
            match self.pieces.recv_timeout(GLANCE) {
                Ok(piece) => self.make(piece),
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => {
                    // The gateway is gone; whoever reads will stop soon.
                    std::thread::sleep(Duration::from_millis(10));
                    return None;
                }
            }
        }
        let (time, packet) = self.made.pop_front()?;
        self.packet = packet;
        Some((time, &self.packet))
    }

    /// Pieces of which no packets were made, and their bytes. Those still waiting are counted too: ask when no packet will be taken any more.
    pub fn dropped(&self) -> (u64, u64) {
        for piece in self.pieces.try_iter() {
            self.lost.add(&piece);
        }
        let bytes: u64 = self.made.iter().map(|(_, packet)| payload(packet)).sum();
        (self.lost.pieces.load(Ordering::Relaxed) + self.made.len() as u64, self.lost.bytes.load(Ordering::Relaxed) + bytes)
    }

    fn make(&mut self, piece: Piece) {
        match piece {
            Piece::Open { flow, device, server, at } => {
                let isn = isn(flow);
                let first = isn + 1;
                self.made.push_back((at, segment(device, server, [isn, 0], SYN, &[])));
                self.made.push_back((at, segment(server, device, [isn, first], SYN | ACK, &[])));
                self.made.push_back((at, segment(device, server, [first, first], ACK, &[])));
                self.flows.insert(flow, Flow { device, server, isn, next: [first, first] });
            }
            // The piece that would have opened the flow found no place.
            Piece::Bytes { flow, .. } | Piece::Close { flow, .. } if !self.flows.contains_key(&flow) => self.lost.add(&piece),
            Piece::Bytes { flow, dir, offset, at, bytes } => {
                let Some(flow) = self.flows.get_mut(&flow) else { return };
                let (from, to, mine, theirs) = flow.side(dir);
                // The SYN has a number too (RFC 9293 §3.4).
                let mut number = flow.isn + 1 + offset;
                for part in bytes.chunks(SEGMENT) {
                    self.made.push_back((at, segment(from, to, [number, flow.next[theirs]], PSH | ACK, part)));
                    number += part.len() as u64;
                }
                flow.next[mine] = number;
            }
            Piece::Close { flow, end, at } => {
                let Some(flow) = self.flows.remove(&flow) else { return };
                let [out, back] = flow.next;
                let (device, server) = (flow.device, flow.server);
                if end == FlowEnd::Reset {
                    self.made.push_back((at, segment(device, server, [out, back], RST | ACK, &[])));
                } else {
                    self.made.push_back((at, segment(device, server, [out, back], FIN | ACK, &[])));
                    self.made.push_back((at, segment(server, device, [back, out + 1], FIN | ACK, &[])));
                    self.made.push_back((at, segment(device, server, [out + 1, back + 1], ACK, &[])));
                }
            }
        }
    }
}

impl Flow {
    fn side(&self, dir: Dir) -> (SocketAddr, SocketAddr, usize, usize) {
        match dir {
            Dir::Out => (self.device, self.server, 0, 1),
            Dir::Back => (self.server, self.device, 1, 0),
        }
    }
}

/// An IP packet with a TCP segment (RFC 791, 8200, 9293).
fn segment(from: SocketAddr, to: SocketAddr, [number, acknowledged]: [u64; 2], flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut tcp = Vec::with_capacity(20 + payload.len());
    tcp.extend(from.port().to_be_bytes());
    tcp.extend(to.port().to_be_bytes());
    tcp.extend((number as u32).to_be_bytes());
    tcp.extend((acknowledged as u32).to_be_bytes());
    // Five words of header, the widest window without an option, no checksum yet, no urgent data.
    tcp.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    tcp.extend(payload);
    let len = tcp.len() as u32;
    let (pseudo, ip) = match (from.ip(), to.ip()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let mut ip = vec![0x45, 0];
            ip.extend((20 + len as u16).to_be_bytes());
            // Not to be fragmented; 64 hops; TCP.
            ip.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
            ip.extend([a.octets(), b.octets()].concat());
            let sum = checksum(&[&ip]);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
            ([&a.octets()[..], &b.octets()[..], &[0, 6], &(len as u16).to_be_bytes()].concat(), ip)
        }
        (a, b) => {
            let v6 = |ip: IpAddr| match ip {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            let mut ip = vec![0x60, 0, 0, 0];
            ip.extend((len as u16).to_be_bytes());
            ip.extend([6, 64]);
            ip.extend([v6(a), v6(b)].concat());
            ([&v6(a)[..], &v6(b)[..], &len.to_be_bytes(), &[0, 0, 0, 6]].concat(), ip)
        }
    };
    let sum = checksum(&[&pseudo, &tcp]);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    [ip, tcp].concat()
}

/// What a made packet carries: its headers have no options.
fn payload(packet: &[u8]) -> u64 {
    let headers = if packet.first().is_some_and(|b| b >> 4 == 4) { 20 + 20 } else { 40 + 20 };
    packet.len().saturating_sub(headers) as u64
}

/// The Internet checksum (RFC 1071) of parts of which all but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|p| p.chunks(2)).map(|w| u32::from(w[0]) << 8 | w.get(1).map_or(0, |b| u32::from(*b)));
    let mut sum = words.fold(0u64, |sum, w| sum + u64::from(w));
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// The first sequence number of the flow that the tests hand in.
    const ISN: u32 = isn(FlowKey::new(1, 1)) as u32;

    /// (flags, number, acknowledged, payload) of what comes out; numbers from the flow's beginning.
    fn read(packet: &[u8]) -> (u8, u32, u32, Vec<u8>) {
        let head = if packet[0] >> 4 == 4 { 20 } else { 40 };
        let tcp = &packet[head..];
        let word = |at: usize| u32::from_be_bytes(tcp[at..at + 4].try_into().unwrap());
        let from_isn = |number: u32| if number == 0 { 0 } else { number.wrapping_sub(ISN) };
        (tcp[13], from_isn(word(4)), from_isn(word(8)), tcp[20..].to_vec())
    }

    #[test]
    fn a_flow_becomes_a_connection() {
        for (device, server) in [("10.0.0.2:4000", "203.0.113.5:443"), ("[fd00::2]:4000", "[2001:db8::5]:443")] {
            let (pieces, mut synthesis) = synthesis();
            let (flow, at) = (FlowKey::new(1, 1), Time::from_secs(7));
            let (device, server): (SocketAddr, SocketAddr) = (device.parse().unwrap(), server.parse().unwrap());
            pieces.put(Piece::Open { flow, device, server, at });
            pieces.put(Piece::Bytes { flow, dir: Dir::Out, offset: 0, at, bytes: vec![1; SEGMENT + 1].into() });
            pieces.put(Piece::Bytes { flow, dir: Dir::Back, offset: 0, at, bytes: Bytes::from_static(b"ok") });
            pieces.put(Piece::Close { flow, end: FlowEnd::Fin, at });
            let mut seen = Vec::new();
            while let Some((time, packet)) = synthesis.take() {
                assert_eq!(time, at);
                let (flags, number, acknowledged, payload) = read(packet);
                seen.push((flags, number, acknowledged, payload.len()));
                let v4 = packet[0] >> 4 == 4;
                // A sum over all including its checksum is zero.
                let (head, addresses) = if v4 { (20, &packet[12..20]) } else { (40, &packet[8..40]) };
                let tcp = &packet[head..];
                let pseudo = [addresses, &[0, 6], &(tcp.len() as u16).to_be_bytes()].concat();
                assert_eq!(checksum(&[&pseudo, tcp]), 0);
                assert!(!v4 || checksum(&[&packet[..20]]) == 0);
            }
            let len = SEGMENT as u32;
            let expect = [
                (SYN, 0, 0, 0),
                (SYN | ACK, 0, 1, 0),
                (ACK, 1, 1, 0),
                (PSH | ACK, 1, 1, SEGMENT),
                (PSH | ACK, 1 + len, 1, 1),
                (PSH | ACK, 1, 2 + len, 2),
                (FIN | ACK, 2 + len, 3, 0),
                (FIN | ACK, 3, 3 + len, 0),
                (ACK, 3 + len, 4, 0),
            ];
            assert_eq!(seen, expect);
        }
    }

    #[test]
    fn what_did_not_fit_is_a_hole() {
        let (pieces, mut synthesis) = synthesis();
        let (flow, at) = (FlowKey::new(1, 1), Time::from_secs(7));
        let (device, server) = ("10.0.0.2:4000".parse().unwrap(), "203.0.113.5:80".parse().unwrap());
        pieces.put(Piece::Open { flow, device, server, at });
        for offset in 0..2 * WAITING as u64 {
            pieces.put(Piece::Bytes { flow, dir: Dir::Out, offset, at, bytes: Bytes::from_static(b"x") });
        }
        let mut count = 0;
        while synthesis.take().is_some() {
            count += 1;
        }
        assert_eq!(count, 3 + WAITING - 1);
        let lost = WAITING as u64 + 1;
        assert_eq!(synthesis.dropped(), (lost, lost), "what did not fit is counted");
        pieces.put(Piece::Bytes { flow, dir: Dir::Out, offset: 9999, at, bytes: Bytes::from_static(b"x") });
        assert_eq!(read(synthesis.take().unwrap().1).1, 10_000, "later bytes stand where they belong");
        // A flow whose beginning found no place, and what is never taken.
        let other = FlowKey::new(1, 2);
        pieces.put(Piece::Bytes { flow: other, dir: Dir::Out, offset: 0, at, bytes: Bytes::from_static(b"four") });
        pieces.put(Piece::Close { flow: other, end: FlowEnd::Fin, at });
        assert_eq!(synthesis.take(), None);
        assert_eq!(synthesis.dropped(), (lost + 2, lost + 4));
        pieces.put(Piece::Bytes { flow, dir: Dir::Out, offset: 10_000, at, bytes: vec![0; SEGMENT + 7].into() });
        assert!(synthesis.take().is_some());
        pieces.put(Piece::Bytes { flow, dir: Dir::Back, offset: 0, at, bytes: Bytes::from_static(b"x") });
        assert_eq!(synthesis.dropped(), (lost + 4, lost + 4 + 7 + 1));
    }
}
