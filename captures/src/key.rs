//! What tells one conversation from another, and which shard it is in.

use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use analyzers::flow::{Mac, Transport};
use foldhash::fast::FixedState;

use crate::slice::SHARDS;

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

/// The number that no protocol over IP has (IANA): what is not over IP has it here.
const RESERVED: u8 = 255;

impl Key {
    pub(crate) fn new(proto: u8, a: (IpAddr, u16), b: (IpAddr, u16)) -> (Key, bool) {
        let (ia, ib) = (number(a.0), number(b.0));
        let from_hi = (ia, a.1) > (ib, b.1);
        let ((lo, lo_port), (hi, hi_port)) = if from_hi { ((ib, b.1), (ia, a.1)) } else { ((ia, a.1), (ib, b.1)) };
        let key = Key { hash: 0, lo, hi, lo_port, hi_port, proto, v6: a.0.is_ipv6() };
        (key.hashed(), from_hi)
    }

    fn hashed(self) -> Key {
        let Key { lo, hi, .. } = self;
        // A fixed seed: which shard a flow is in decides the order of lines. Collisions cost at most a walk over one shard's capped table.
        let mut h = FixedState::with_seed(0x6f76_6572_6865_6172).build_hasher();
        if self.v6 {
            h.write_u128(lo);
            h.write_u128(hi);
        } else {
            h.write_u64(((lo as u64) << 32 | hi as u64 & 0xffff_ffff) ^ (lo >> 32) as u64);
        }
        h.write_u64(u64::from(self.lo_port) << 32 | u64::from(self.hi_port) << 16 | u64::from(self.proto) << 1 | u64::from(self.v6));
        Key { hash: h.finish(), ..self }
    }

    /// What is said on the link itself, in frames of this type, by somebody who has no address yet.
    pub(crate) fn of_link(kind: u16) -> Key {
        let all = number(IpAddr::V4(Ipv4Addr::BROADCAST));
        Key { hash: 0, lo: 0, hi: all, lo_port: 0, hi_port: kind, proto: RESERVED, v6: false }.hashed()
    }

    /// The type of those frames. IP's protocol of this number has no ports.
    fn link(&self) -> Option<u16> {
        (self.proto == RESERVED && self.hi_port > 0).then_some(self.hi_port)
    }

    /// Whether one end has no address yet: all who ask for a lease speak from the same.
    pub(crate) fn is_homeless(&self) -> bool {
        self.lo == 0 && (self.proto == 17 || self.link().is_some()) && !self.v6
    }

    /// The conversation of one of them alone. Above its 32 bits an IPv4 address has room.
    pub(crate) fn of(self, mac: Mac) -> Key {
        let [a, b, c, d, e, f] = mac.0;
        Key { lo: u128::from(u64::from_be_bytes([0, 0, a, b, c, d, e, f])) << 32, ..self }.hashed()
    }

    /// The shard this conversation belongs to. Bits the hash table uses least.
    pub(crate) fn shard(&self) -> u16 {
        (self.hash >> 40) as u16 % SHARDS
    }

    /// The address of the lower or the higher end.
    pub(crate) fn end(&self, hi: bool) -> SocketAddr {
        let (ip, port) = if hi { (self.hi, self.hi_port) } else { (self.lo, self.lo_port) };
        let ip = if self.v6 { IpAddr::V6(Ipv6Addr::from(ip)) } else { IpAddr::V4(Ipv4Addr::from(ip as u32)) };
        SocketAddr::new(ip, if self.link().is_some() { 0 } else { port })
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
            n => Transport::Other(self.link().unwrap_or(u16::from(n))),
        }
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}
