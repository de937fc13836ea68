//! A flow: one conversation between two end points, as the source of traffic counts it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// A flow's number in the run, from 1, by first frame. Printed as `f1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FlowId(pub u64);

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "f{}", self.0)
    }
}

/// A flow as its source knows it before the run has numbered it: unique among all sources of one run.
///
/// Sources (a logical shard, the live tap) count on their own; the [`Scribe`](crate::scribe::Scribe) gives run numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey(u64);

impl FlowKey {
    /// The `n`-th flow of source `source` (a shard's number, or a live lane's).
    pub const fn new(source: u16, n: u64) -> FlowKey {
        FlowKey((source as u64) << 48 | (n & 0xffff_ffff_ffff))
    }

    pub const fn source(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// Its number among the flows of its source.
    pub const fn number(self) -> u64 {
        self.0 & 0xffff_ffff_ffff
    }
}

/// The transport a flow runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    Tcp,
    Udp,
    Icmp,
    Sctp,
    /// Anything else over IP by its number; not over IP, by the frame's EtherType or PPP's protocol (802.1X, PAP).
    Other(u16),
}

impl Transport {
    /// Whether it is said on the link itself: no protocol of IP has such a number.
    pub fn is_link(self) -> bool {
        matches!(self, Transport::Other(0x100..))
    }

    /// The IP protocol number; ICMP stands for both its versions.
    pub fn number(self) -> u8 {
        match self {
            Transport::Icmp => 1,
            Transport::Tcp => 6,
            Transport::Udp => 17,
            Transport::Sctp => 132,
            Transport::Other(n) => n as u8,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Transport::Tcp => f.write_str("tcp"),
            Transport::Udp => f.write_str("udp"),
            Transport::Icmp => f.write_str("icmp"),
            Transport::Sctp => f.write_str("sctp"),
            Transport::Other(n) if self.is_link() => write!(f, "link-{n:04x}"),
            Transport::Other(n) => write!(f, "ip-{n}"),
        }
    }
}

/// A link-layer address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Locally administered (IEEE 802 U/L bit): what phones with a private Wi-Fi address use.
    pub fn is_local(self) -> bool {
        self.0[0] & 0x02 != 0
    }

    pub fn is_multicast(self) -> bool {
        self.0[0] & 0x01 != 0
    }

    pub fn parse(text: &str) -> Option<Mac> {
        let mut out = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut out {
            let part = parts.next()?;
            if part.len() != 2 {
                return None;
            }
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        parts.next().is_none().then_some(Mac(out))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Mac, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        Mac::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("'{text}' is not a MAC address")))
    }
}

/// Which way bytes run in a flow. `Out` is from the side that opened it (`a`) to the other (`b`).
///
/// The opener is the sender of the SYN; without one, the source's best guess (receiver of a SYN-ACK, the higher port, the first sender).
/// Dissectors decide from bytes who is client, and say so; they never trust this alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dir {
    Out,
    Back,
}

impl Dir {
    pub const BOTH: [Dir; 2] = [Dir::Out, Dir::Back];

    pub fn other(self) -> Dir {
        match self {
            Dir::Out => Dir::Back,
            Dir::Back => Dir::Out,
        }
    }

    /// 0 for `Out`, 1 for `Back`: for pairs of per-direction state.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// The two ends of a flow, and what the link layer said of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub transport: Transport,
    /// The side that opened the flow.
    pub a: SocketAddr,
    pub b: SocketAddr,
    pub a_mac: Option<Mac>,
    pub b_mac: Option<Mac>,
    /// Whether the flow was seen from its first packet (a TCP SYN); false = picked up mid-stream. Always true for datagrams.
    pub from_start: bool,
}

impl Ends {
    pub fn addr(&self, dir: Dir) -> SocketAddr {
        match dir {
            Dir::Out => self.a,
            Dir::Back => self.b,
        }
    }

    pub fn mac(&self, dir: Dir) -> Option<Mac> {
        match dir {
            Dir::Out => self.a_mac,
            Dir::Back => self.b_mac,
        }
    }

    /// Community ID v1, seed 0 (the Corelight specification), for joining other tools.
    pub fn community_id(&self) -> String {
        let proto = if self.transport == Transport::Icmp && self.a.is_ipv6() { 58 } else { self.transport.number() };
        let (lo, hi) = if (self.a.ip(), self.a.port()) <= (self.b.ip(), self.b.port()) { (self.a, self.b) } else { (self.b, self.a) };
        let mut bytes = Vec::with_capacity(40);
        bytes.extend_from_slice(&[0, 0]);
        push_ip(&mut bytes, lo.ip());
        push_ip(&mut bytes, hi.ip());
        bytes.extend_from_slice(&[proto, 0]);
        if matches!(self.transport, Transport::Tcp | Transport::Udp | Transport::Sctp) {
            bytes.extend_from_slice(&lo.port().to_be_bytes());
            bytes.extend_from_slice(&hi.port().to_be_bytes());
        }
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &bytes);
        format!("1:{}", crate::encode::base64(digest.as_ref()))
    }
}

fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
        IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
    }
}

/// How a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowEnd {
    Fin,
    Reset,
    /// Nothing more came within the idle limit.
    Idle,
    /// The capture or the run ended first.
    EndOfRun,
    /// Its place was needed (cap on flows): nothing after this was looked at.
    Evicted,
}

/// Who ended a TCP connection and how, told apart by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Close {
    Fin,
    Rst,
    None,
}

/// What the source counted of a flow; handed over when it closes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Packets from `a` and from `b`.
    pub packets: [u64; 2],
    /// Payload bytes above the transport, as sent (retransmissions counted once more).
    pub bytes: [u64; 2],
    /// Retransmitted segments.
    pub retransmitted: [u32; 2],
    /// Retransmissions whose bytes differ from what was delivered first.
    pub conflicting: u32,
    /// Bytes that nobody read and that could not be compared with what was read in their place: repetitions of what is forgotten, segments
    /// outside any window, what a RST carried.
    pub unchecked: u64,
    /// Segments that came out of order.
    pub reordered: u32,
    /// Bytes known to be missing.
    pub missing: [u64; 2],
    /// Frames cut off by the snap length.
    pub cut: u32,
    /// A FIN was seen from `a`, from `b`.
    pub fin: [bool; 2],
    /// A RST was seen from `a`, from `b`.
    pub rst: [bool; 2],
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[track_caller]
    fn community(transport: Transport, a: &str, b: &str, expect: &str) {
        let ends = Ends { transport, a: a.parse().unwrap(), b: b.parse().unwrap(), a_mac: None, b_mac: None, from_start: true };
        assert_eq!(ends.community_id(), expect);
    }

    /// Rows of the specification's own baseline.
    #[test]
    fn community_ids() {
        community(Transport::Tcp, "128.232.110.120:34855", "66.35.250.204:80", "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        community(Transport::Tcp, "66.35.250.204:80", "128.232.110.120:34855", "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        community(Transport::Udp, "192.168.1.52:54585", "8.8.8.8:53", "1:d/FP5EW3wiY1vCndhwleRRKHowQ=");
    }

    #[test]
    fn macs() {
        assert_eq!(Mac::parse("02:00:00:00:00:01").map(Mac::is_local), Some(true));
        assert_eq!(Mac::parse("3c-07-54-00-00-01").map(Mac::is_local), Some(false));
        assert_eq!(Mac::parse("3c:07:54:00:00"), None);
    }
}
