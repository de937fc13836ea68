//! What the link tells of a device that was named by an IP address: its other addresses, and which flows may be its own.
//!
//! A phone that is named by its IPv4 address speaks IPv6 as well. Its frames bear one link address, but so do those of all hosts behind a
//! router: only a link address that is no router's says anything.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::flow::{Dir, Ends, Mac};
use crate::observation::{LinkAddress, Neighbour, NeighbourSource, is_local};
use crate::pipeline::Told;

/// Link addresses that are remembered.
const LINKS_KEPT: usize = 1 << 14;
/// IP addresses behind one link address: a phone has an IPv4 and a handful of IPv6 addresses. More is a router.
const ADDRESSES: usize = 32;
/// Global IPv6 prefixes of one host: what its network gives it, and the one before.
const PREFIXES: usize = 2;

/// Link addresses with the IP addresses seen behind them.
#[derive(Debug, Default)]
pub struct Links {
    behind: HashMap<Mac, Link, foldhash::fast::FixedState>,
}

#[derive(Debug, Default)]
struct Link {
    addresses: Vec<Address>,
    /// There were more than are kept.
    over: bool,
    /// Flows of nobody who was named.
    elsewhere: u64,
}

#[derive(Debug)]
struct Address {
    ip: IpAddr,
    /// Somebody at it opened a flow.
    opened: bool,
    /// Bound to the link address by DHCP, or for IPv6 by neighbour discovery.
    bound: bool,
}

impl Links {
    /// A flow was seen between these ends.
    pub fn flow(&mut self, ends: &Ends) {
        for dir in Dir::BOTH {
            let ip = ends.addr(dir).ip();
            if let Some(address) = ends.mac(dir).and_then(|mac| self.address(mac, ip)) {
                address.opened |= dir == Dir::Out && ends.from_start;
            }
        }
    }

    /// It is of nobody who was named.
    pub fn elsewhere(&mut self, ends: &Ends) {
        for dir in Dir::BOTH {
            if let Some(link) = ends.mac(dir).and_then(|mac| self.behind.get_mut(&mac)) {
                link.elsewhere += 1;
            }
        }
    }

    /// A binding the link told of.
    pub fn neighbour(&mut self, fact: &Neighbour) {
        let LinkAddress::Plain(mac) = fact.mac else { return };
        // A repeater answers ARP for those behind it.
        let binds = fact.ip.is_ipv6() || fact.source == NeighbourSource::Dhcp;
        if let Some(address) = self.address(mac, fact.ip) {
            address.bound |= binds;
        }
    }

    fn address(&mut self, mac: Mac, ip: IpAddr) -> Option<&mut Address> {
        if mac.is_multicast() || mac.0 == [0; 6] || ip.is_unspecified() || ip.is_multicast() || ip == std::net::Ipv4Addr::BROADCAST {
            return None;
        }
        if self.behind.len() >= LINKS_KEPT && !self.behind.contains_key(&mac) {
            return None;
        }
        let link = self.behind.entry(mac).or_default();
        let at = match link.addresses.iter().position(|a| a.ip == ip) {
            Some(at) => at,
            None if link.addresses.len() < ADDRESSES => {
                link.addresses.push(Address { ip, opened: false, bound: false });
                link.addresses.len() - 1
            }
            None => {
                link.over = true;
                return None;
            }
        };
        link.addresses.get_mut(at)
    }

    /// For each device that was named by an address, that one and what else is its own, where there is more.
    pub fn groups(&self, told: &[Told]) -> Vec<Vec<IpAddr>> {
        let mut groups: Vec<Vec<IpAddr>> = self
            .behind
            .values()
            .filter(|link| link.is_of(told))
            .map(|link| link.addresses.iter().filter(|a| a.is(told) || a.is_sure()).map(|a| a.ip).collect())
            .filter(|group: &Vec<IpAddr>| group.len() > 1)
            .collect();
        for group in &mut groups {
            group.sort();
        }
        groups.sort();
        groups
    }

    /// Flows that were of nobody who was named, and came from a named device's link address all the same.
    pub fn doubtful(&self, told: &[Told]) -> u64 {
        self.behind.values().filter(|link| link.is_of(told)).map(|link| link.elsewhere).sum()
    }
}

impl Link {
    /// Whether a named address is behind it, and it is no router's.
    fn is_of(&self, told: &[Told]) -> bool {
        let others = || self.addresses.iter().filter(|a| !a.is(told) && !a.is_sure()).map(|a| a.ip);
        let mut prefixes: Vec<[u8; 8]> = self.addresses.iter().filter_map(Address::prefix).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        let v4 = || others().filter(IpAddr::is_ipv4);
        self.addresses.iter().any(|a| a.is(told))
            && !self.over
            && prefixes.len() <= PREFIXES
            // One other may be the one it had before.
            && v4().count() <= 1
            && v4().all(is_local)
    }
}

impl Address {
    fn is(&self, told: &[Told]) -> bool {
        told.contains(&Told::Ip(self.ip))
    }

    /// Nobody else's: on the link, or bound to it, or one from which flows were opened, as remote servers open none.
    fn is_sure(&self) -> bool {
        match self.ip {
            IpAddr::V4(v4) => v4.is_link_local() || self.bound,
            IpAddr::V6(_) => is_local(self.ip) || self.bound || self.opened,
        }
    }

    /// The prefix of a global IPv6 address.
    fn prefix(&self) -> Option<[u8; 8]> {
        match self.ip {
            IpAddr::V6(v6) if !is_local(self.ip) => v6.octets().first_chunk().copied(),
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::flow::Transport;

    const PHONE: u8 = 1;
    const ROUTER: u8 = 2;

    fn mac(n: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, n])
    }

    /// Flows as `from>to`, the first behind the phone's link address and the second behind the router's; `<` when the router's side opened.
    fn links(flows: &str) -> Links {
        let mut links = Links::default();
        for flow in flows.split(' ').filter(|f| !f.is_empty()) {
            let back = flow.contains('<');
            let (near, far) = flow.split_once(['<', '>']).unwrap();
            let (near, far): (IpAddr, IpAddr) = (near.parse().unwrap(), far.parse().unwrap());
            let (a, b, a_mac, b_mac) = if back { (far, near, ROUTER, PHONE) } else { (near, far, PHONE, ROUTER) };
            let ends = Ends {
                transport: Transport::Tcp,
                a: (a, 40_000).into(),
                b: (b, 443).into(),
                a_mac: Some(mac(a_mac)),
                b_mac: Some(mac(b_mac)),
                from_start: true,
            };
            links.flow(&ends);
            if ![a, b].contains(&"192.168.1.50".parse().unwrap()) {
                links.elsewhere(&ends);
            }
        }
        links
    }

    #[track_caller]
    fn check(flows: &str, group: &[&str], doubtful: u64) {
        let told = [Told::Ip("192.168.1.50".parse().unwrap())];
        let links = links(flows);
        let groups = links.groups(&told);
        let got: Vec<String> = groups.first().into_iter().flatten().map(ToString::to_string).collect();
        assert_eq!((got.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), groups.len() <= 1), (group, true), "{flows}");
        assert_eq!(links.doubtful(&told), doubtful, "{flows}");
    }

    #[test]
    fn a_named_device_has_other_addresses() {
        check("192.168.1.50>198.51.100.9", &[], 0);
        // IPv6 of all kinds, also from before, and what it was before it had a lease.
        check("192.168.1.50>198.51.100.9 2001:db8::50>2001:db8:1::9", &["192.168.1.50", "2001:db8::50"], 1);
        check("fe80::1>fe80::2 192.168.1.50>198.51.100.9", &["192.168.1.50", "fe80::1"], 1);
        check("169.254.9.9>169.254.1.1 192.168.1.50>198.51.100.9", &["169.254.9.9", "192.168.1.50"], 1);
        // An address that never opened anything may be a server's; one more IPv4 address, the one before.
        check("192.168.1.50>198.51.100.9 2001:db8::50<2001:db8:1::9", &[], 1);
        check("192.168.1.60>198.51.100.9 192.168.1.50>198.51.100.9", &[], 1);
        // Others on the link stay others.
        check("192.168.1.50>192.168.1.1 192.168.1.1<192.168.1.60", &[], 1);
    }

    #[test]
    fn behind_a_router_are_others() {
        check("192.168.1.50>10.0.0.1 192.168.1.60>10.0.0.1 192.168.1.70>10.0.0.1", &[], 0);
        check("192.168.1.50>10.0.0.1 198.51.100.9<10.0.0.7", &[], 0);
        check("192.168.1.50>10.0.0.1 2001:db8:1::9<fd00::1 2001:db8:2::9<fd00::1 2001:db8:3::9<fd00::1", &[], 0);
        let many: Vec<String> = (0..40).map(|i| format!("2001:db8::{i:x}>2001:db8:1::9")).collect();
        check(&format!("192.168.1.50>10.0.0.1 {}", many.join(" ")), &[], 0);
    }

    #[test]
    fn a_lease_is_the_devices() {
        let told = [Told::Ip("192.168.1.50".parse().unwrap())];
        let ip: IpAddr = "192.168.1.60".parse().unwrap();
        for (source, expect) in [(NeighbourSource::Dhcp, 1), (NeighbourSource::Arp, 0)] {
            let mut links = links("192.168.1.50>198.51.100.9 192.168.1.60>198.51.100.9");
            links.neighbour(&Neighbour { mac: LinkAddress::Plain(mac(PHONE)), ip, source });
            assert_eq!(links.groups(&told).len(), expect, "{source:?}");
        }
    }
}
