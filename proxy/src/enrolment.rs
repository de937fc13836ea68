//! Who is enrolled: the devices the operator named, and what their link teaches of their addresses while a run goes on.
//!
//! A device is its link address where that is known. An address it is seen to use joins it, if that is on the link; one that somebody else
//! is seen to use leaves it at once: the safe error is to leave a device alone.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Stdio;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use analyzers::flow::Mac;
use analyzers::observation::Tally;
use analyzers::pipeline::Told;
use analyzers::text::Text;
use nix::sys::socket::LinkAddr;

use crate::error::Error;
use crate::tool;

/// Addresses of one device that are followed: a phone has one IPv4 and a handful of IPv6 addresses. More is a router in disguise.
const MOST_ADDRESSES: usize = 32;

/// A network that is on the link: an address of it and the length of its prefix.
pub type Network = (IpAddr, u8);

/// One enrolled device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enrolled {
    pub mac: Option<Mac>,
    /// In the order they were learned; the first stands for the device.
    pub ips: Vec<IpAddr>,
}

/// What a frame or the neighbour table taught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The device has another address.
    Came { device: Enrolled, ip: IpAddr },
    /// Somebody else uses the address now.
    Left { ip: IpAddr },
}

#[derive(Debug, Default)]
pub struct Enrolment {
    on_link: Vec<Network>,
    devices: RwLock<Vec<Enrolled>>,
}

impl Enrolment {
    /// The devices named, on a link with these networks.
    pub fn new(named: &[Told], on_link: Vec<Network>) -> Enrolment {
        let mut devices: Vec<Enrolled> = Vec::new();
        for told in named {
            let device = match told {
                Told::Mac(mac) => Enrolled { mac: Some(*mac), ips: Vec::new() },
                Told::Ip(ip) => Enrolled { mac: None, ips: vec![*ip] },
            };
            if !devices.contains(&device) {
                devices.push(device);
            }
        }
        Enrolment { on_link, devices: RwLock::new(devices) }
    }

    pub fn devices(&self) -> Vec<Enrolled> {
        self.read().clone()
    }

    pub fn addresses(&self) -> Vec<IpAddr> {
        self.read().iter().flat_map(|d| d.ips.clone()).collect()
    }

    pub fn has(&self, ip: IpAddr) -> bool {
        self.read().iter().any(|d| d.ips.contains(&ip))
    }

    /// The address that stands for the device at `ip`.
    pub fn first(&self, ip: IpAddr) -> IpAddr {
        self.read().iter().find(|d| d.ips.contains(&ip)).and_then(|d| d.ips.first()).copied().unwrap_or(ip)
    }

    /// `mac` is seen to use `ip`.
    pub fn learn(&self, mac: Mac, ip: IpAddr) -> Vec<News> {
        if mac.is_multicast() || mac.0 == [0; 6] || !self.is_on_link(ip) {
            return Vec::new();
        }
        {
            // Nearly every frame says what is known, or is nobody's: no need to keep the others waiting.
            let devices = self.read();
            let by_ip = devices.iter().find(|d| d.ips.contains(&ip));
            let known = match by_ip {
                Some(device) => device.mac == Some(mac),
                None => !devices.iter().any(|d| d.mac == Some(mac)),
            };
            if known {
                return Vec::new();
            }
        }
        let mut devices = self.write();
        let mut news = Vec::new();
        if let Some(at) = devices.iter().position(|d| d.ips.contains(&ip)) {
            match devices[at].mac {
                Some(known) if known == mac => return news,
                Some(_) => {
                    devices[at].ips.retain(|i| *i != ip);
                    news.push(News::Left { ip });
                }
                // Named by its address; now its link address is known, which may be that of a device named so.
                None => {
                    let Some(same) = devices.iter().position(|d| d.mac == Some(mac)) else {
                        devices[at].mac = Some(mac);
                        return news;
                    };
                    let joined = devices.remove(at);
                    let same = if same > at { same - 1 } else { same };
                    devices[same].ips.extend(joined.ips);
                    return news;
                }
            }
        }
        if let Some(device) = devices.iter_mut().find(|d| d.mac == Some(mac) && d.ips.len() < MOST_ADDRESSES) {
            device.ips.push(ip);
            news.push(News::Came { device: device.clone(), ip });
        }
        news
    }

    /// What a frame says about who uses which address.
    pub fn look(&self, frame: &[u8]) -> Vec<News> {
        let Some(seen) = Ends::of(frame) else { return Vec::new() };
        seen.said.map_or_else(Vec::new, |(mac, ip)| self.learn(mac, ip))
    }

    /// Whether a frame is from or to an enrolled device.
    pub fn concerns(&self, frame: &[u8]) -> bool {
        let Some(seen) = Ends::of(frame) else { return false };
        let devices = self.read();
        devices.iter().any(|d| d.mac.is_some_and(|m| seen.macs.contains(&m)) || seen.ips.iter().flatten().any(|ip| d.ips.contains(ip)))
    }

    fn is_on_link(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(v4) if v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() => false,
            IpAddr::V6(v6) if v6.is_unspecified() || v6.is_multicast() => false,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => true,
            _ => self.on_link.iter().any(|network| within(ip, *network)),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Enrolled>> {
        self.devices.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Enrolled>> {
        self.devices.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn within(ip: IpAddr, (network, prefix): Network) -> bool {
    match (ip, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => prefix <= 32 && (a.to_bits() ^ b.to_bits()).checked_shr(32 - u32::from(prefix)).unwrap_or(0) == 0,
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            prefix <= 128 && (a.to_bits() ^ b.to_bits()).checked_shr(128 - u32::from(prefix)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// Who a frame is from and to.
struct Ends {
    macs: [Mac; 2],
    ips: [Option<IpAddr>; 2],
    /// Who uses which address, by this frame.
    said: Option<(Mac, IpAddr)>,
}

impl Ends {
    fn of(frame: &[u8]) -> Option<Ends> {
        let mac = |at: usize| frame.get(at..at + 6).and_then(|b| b.try_into().ok()).map(Mac);
        let (to, from) = (mac(0)?, mac(6)?);
        let word = |at: usize| frame.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
        // IEEE 802.1Q and 802.1ad tags.
        let mut at = 12;
        while let Some(0x8100 | 0x88a8) = word(at) {
            at += 4;
        }
        let body = frame.get(at + 2..)?;
        let v4 = |at: usize| body.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok()).map(|b| IpAddr::V4(Ipv4Addr::from(b)));
        let v6 = |at: usize| body.get(at..at + 16).and_then(|b| <[u8; 16]>::try_from(b).ok()).map(|b| IpAddr::V6(Ipv6Addr::from(b)));
        let (ips, said) = match word(at)? {
            0x0800 => ([v4(12), v4(16)], v4(12).map(|ip| (from, ip))),
            0x86dd => ([v6(8), v6(24)], v6(8).map(|ip| (from, ip))),
            // ARP over Ethernet: sender at 8 and 14, target at 24.
            0x0806 => {
                let sender = body.get(8..14).and_then(|b| b.try_into().ok()).map(Mac);
                ([v4(14), v4(24)], sender.zip(v4(14)))
            }
            _ => ([None, None], None),
        };
        Some(Ends { macs: [to, from], ips, said })
    }
}

/// Who takes a link address of this machine for its own: frames that came in under one, by the address they give as their source.
#[derive(Debug, Default)]
pub struct Disguised {
    own: Vec<Mac>,
    seen: BTreeMap<Option<IpAddr>, u64>,
    others: u64,
}

impl Disguised {
    pub fn new(own: Vec<Mac>) -> Disguised {
        Disguised { own, ..Disguised::default() }
    }

    /// Looks at a frame that this machine did not send.
    pub fn look(&mut self, frame: &[u8]) {
        let from = frame.get(6..12).and_then(|b| b.try_into().ok()).map(Mac);
        if !from.is_some_and(|mac| self.own.contains(&mac)) {
            return;
        }
        let ip = Ends::of(frame).and_then(|ends| ends.said).map(|(_, ip)| ip);
        if self.seen.len() < MOST_ADDRESSES || self.seen.contains_key(&ip) {
            *self.seen.entry(ip).or_default() += 1;
        } else {
            self.others += 1;
        }
    }

    pub fn tallies(&self) -> Vec<Tally> {
        let named = self.seen.iter().map(|(ip, n)| (ip.map_or_else(|| "no address".to_owned(), |ip| ip.to_string()), *n));
        let all = named.chain((self.others > 0).then(|| ("other addresses".to_owned(), self.others)));
        all.map(|(name, count)| Tally { name: Text::ours(name), count }).collect()
    }
}

/// The hardware type of an interface (ARPHRD, linux/if_arp.h); `None` if there is no such interface.
pub fn hardware(interface: &str) -> Option<u16> {
    let mut all = nix::ifaddrs::getifaddrs().ok()?;
    all.find_map(|a| (a.interface_name == interface).then(|| a.address?.as_link_addr().map(LinkAddr::hatype)).flatten())
}

/// The link addresses of this machine's own interfaces.
pub fn own() -> Vec<Mac> {
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let macs = all.filter_map(|a| a.address?.as_link_addr().and_then(LinkAddr::addr).map(Mac));
    macs.filter(|mac| mac.0 != [0; 6]).collect()
}

/// The IP addresses of this machine's own interfaces.
pub fn here() -> Vec<IpAddr> {
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten().filter_map(|a| a.address);
    all.filter_map(|a| {
        let v4 = a.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        v4.or_else(|| a.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
    })
    .collect()
}

/// ARPHRD_ETHER: Wi-Fi, bridges, VLANs and veth show themselves as Ethernet too.
pub const ETHERNET: u16 = 1;

/// The networks of an interface, as the system has configured it.
pub fn networks(interface: &str) -> Result<Vec<Network>, Error> {
    let all = nix::ifaddrs::getifaddrs().map_err(|e| Error::Io { what: "the interfaces' addresses", source: e.into() })?;
    let mine = all.filter(|a| a.interface_name == interface);
    Ok(mine
        .filter_map(|a| {
            let (address, mask) = (a.address?, a.netmask?);
            if let (Some(ip), Some(mask)) = (address.as_sockaddr_in(), mask.as_sockaddr_in()) {
                return Some((IpAddr::V4(ip.ip()), mask.ip().to_bits().count_ones() as u8));
            }
            let (ip, mask) = (address.as_sockaddr_in6()?, mask.as_sockaddr_in6()?);
            Some((IpAddr::V6(ip.ip()), mask.ip().to_bits().count_ones() as u8))
        })
        .collect())
}

/// The system's neighbour table of an interface: who uses which address there, as far as it was asked lately.
pub fn neighbours(interface: &str) -> Vec<(Mac, IpAddr)> {
    let asked = tool::command("ip").args(["-j", "neigh", "show", "dev", interface]).stdin(Stdio::null()).stderr(Stdio::null()).output();
    let Ok(said) = asked else { return Vec::new() };
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&said.stdout).unwrap_or_default();
    let text = |row: &serde_json::Value, name: &str| row.get(name).and_then(|v| v.as_str()).map(str::to_owned);
    rows.iter().filter_map(|row| Some((Mac::parse(&text(row, "lladdr")?)?, text(row, "dst")?.parse().ok()?))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn mac(n: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, n])
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn link() -> Vec<Network> {
        vec![(ip("10.9.0.1"), 24), (ip("fd09::1"), 64), (ip("2001:db8:9::1"), 64)]
    }

    fn frame(from: u8, to: u8, src: &str, dst: &str) -> Vec<u8> {
        let mut out = [mac(to).0, mac(from).0].concat();
        match (ip(src), ip(dst)) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                out.extend([8, 0]);
                out.extend([0x45; 12]);
                out.extend([a.octets(), b.octets()].concat());
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                // Behind a VLAN tag.
                out.extend([0x81, 0, 0, 7, 0x86, 0xdd]);
                out.extend([0x60; 8]);
                out.extend([a.octets(), b.octets()].concat());
            }
            _ => {}
        }
        out
    }

    #[test]
    fn a_device_named_by_its_link_address_gathers_its_addresses() {
        let all = Enrolment::new(&[Told::Mac(mac(1))], link());
        assert!(!all.has(ip("10.9.0.2")));
        assert_eq!(all.look(&frame(1, 9, "10.9.0.2", "203.0.113.5")).len(), 1);
        assert_eq!(all.look(&frame(1, 9, "10.9.0.2", "203.0.113.5")), []);
        assert_eq!(all.look(&frame(1, 9, "2001:db8:9::7", "2001:db8::1")).len(), 1);
        assert_eq!(all.first(ip("2001:db8:9::7")), ip("10.9.0.2"));
        // What is not on the link comes through a router, and so does its answer.
        assert_eq!(all.look(&frame(1, 9, "198.51.100.1", "10.9.0.2")), []);
        // Others stay others.
        assert_eq!(all.look(&frame(3, 9, "10.9.0.3", "203.0.113.5")), []);
        assert_eq!(all.addresses(), [ip("10.9.0.2"), ip("2001:db8:9::7")]);
    }

    #[test]
    fn an_address_that_somebody_else_uses_is_left_alone() {
        for named in [Told::Mac(mac(1)), Told::Ip(ip("10.9.0.2"))] {
            let all = Enrolment::new(&[named], link());
            all.learn(mac(1), ip("10.9.0.2"));
            assert!(all.has(ip("10.9.0.2")));
            assert_eq!(all.look(&frame(2, 9, "10.9.0.2", "203.0.113.5")), [News::Left { ip: ip("10.9.0.2") }]);
            assert!(!all.has(ip("10.9.0.2")));
        }
    }

    #[test]
    fn a_device_named_by_address_brings_its_others() {
        let all = Enrolment::new(&[Told::Ip(ip("10.9.0.2")), Told::Mac(mac(1))], link());
        assert_eq!(all.learn(mac(1), ip("10.9.0.2")), []);
        assert_eq!(all.devices(), [Enrolled { mac: Some(mac(1)), ips: vec![ip("10.9.0.2")] }], "both words name one device");
        assert_eq!(all.learn(mac(1), ip("fe80::1")).len(), 1);
        assert_eq!(all.first(ip("fe80::1")), ip("10.9.0.2"));
    }

    #[test]
    fn frames_that_concern_a_device() {
        let all = Enrolment::new(&[Told::Ip(ip("10.9.0.2"))], link());
        let rows = [
            (frame(1, 9, "10.9.0.2", "203.0.113.5"), true),
            (frame(9, 1, "203.0.113.5", "10.9.0.2"), true),
            (frame(9, 3, "203.0.113.5", "10.9.0.3"), false),
            (frame(3, 9, "fd09::3", "2001:db8::1"), false),
            (vec![0; 9], false),
        ];
        for (bytes, expect) in &rows {
            assert_eq!(all.concerns(bytes), *expect);
        }
        // Once its link address is known all it sends counts, whatever the protocol.
        all.learn(mac(1), ip("10.9.0.2"));
        assert!(all.concerns(&frame(1, 9, "fd09::2", "2001:db8::1")));
        let mut arp = [[0xff; 6], mac(3).0].concat();
        arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        arp.extend(mac(3).0);
        arp.extend([10, 9, 0, 3, 0, 0, 0, 0, 0, 0, 10, 9, 0, 2]);
        assert!(all.concerns(&arp), "somebody asks for it");
        for cut in 0..arp.len() {
            let _ = (all.concerns(&arp[..cut]), all.look(&arp[..cut]));
        }
    }

    #[test]
    fn who_takes_our_link_address_is_named() {
        let mut who = Disguised::new(vec![mac(9)]);
        for frame in [frame(1, 9, "10.9.0.2", "203.0.113.5"), frame(9, 9, "10.9.0.7", "203.0.113.5"), frame(9, 1, "10.9.0.7", "10.9.0.2")] {
            who.look(&frame);
        }
        who.look(&frame(9, 9, "fd09::7", "2001:db8::1"));
        // No IP at all.
        who.look(&[[0xff; 6].as_slice(), &mac(9).0, &[0x88, 0x8e, 1]].concat());
        let told: Vec<(String, u64)> = who.tallies().into_iter().map(|t| (t.name.to_string(), t.count)).collect();
        let expect = [("no address", 1), ("10.9.0.7", 2), ("fd09::7", 1)].map(|(name, n)| (name.to_owned(), n));
        assert_eq!(told, expect);
        for n in 0..200 {
            who.look(&frame(9, 9, &format!("10.9.1.{n}"), "203.0.113.5"));
        }
        assert_eq!(who.tallies().len(), MOST_ADDRESSES + 1);
        assert_eq!(who.tallies().iter().map(|t| t.count).sum::<u64>(), 204, "none is forgotten");
    }

    #[test]
    fn prefixes() {
        for (a, network, expect) in [
            ("10.9.0.2", ("10.9.0.1", 24), true),
            ("10.9.1.2", ("10.9.0.1", 24), false),
            ("10.9.1.2", ("10.9.0.1", 0), true),
            ("10.9.0.1", ("10.9.0.1", 32), true),
            ("fd09::2", ("fd09::1", 64), true),
            ("fd0a::2", ("fd09::1", 64), false),
            ("fd0a::2", ("10.9.0.1", 0), false),
        ] {
            assert_eq!(within(ip(a), (ip(network.0), network.1)), expect, "{a} {network:?}");
        }
    }
}
