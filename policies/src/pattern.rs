//! Which hosts, peers and devices a line of a policy or declaration means.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Hosts: one name, everything below a name, one address, a range of addresses, or any.
///
/// `shop.test` is that name only; `*.shop.test` is every name below it, at any depth, but not `shop.test` itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    Any,
    /// Lower case, without a dot at the end.
    Name(String),
    /// What stands after `*.`.
    Below(String),
    Addr(IpAddr),
    Net(IpAddr, u8),
}

impl Host {
    /// Whether a name or an address in text form, as seen on the wire, is meant. Case and one dot at the end do not matter.
    pub fn matches(&self, host: &str) -> bool {
        if *self == Host::Any {
            return true;
        }
        match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(addr) => self.matches_addr(addr),
            Err(_) => self.matches_name(host),
        }
    }

    pub fn matches_name(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        match self {
            Host::Any => true,
            Host::Name(own) => own.eq_ignore_ascii_case(name),
            Host::Below(suffix) => {
                let cut = name.len().checked_sub(suffix.len() + 1);
                cut.is_some_and(|cut| {
                    cut > 0
                        && name.as_bytes().get(cut) == Some(&b'.')
                        && name.get(cut + 1..).is_some_and(|s| s.eq_ignore_ascii_case(suffix))
                })
            }
            Host::Addr(_) | Host::Net(..) => false,
        }
    }

    pub fn matches_addr(&self, addr: IpAddr) -> bool {
        let addr = within(addr.to_canonical());
        match self {
            Host::Any => true,
            Host::Name(_) | Host::Below(_) => false,
            Host::Addr(own) => within(own.to_canonical()) == addr,
            Host::Net(net, bits) => prefix(*net, *bits) == prefix(addr, *bits) && net.is_ipv4() == addr.is_ipv4(),
        }
    }

    /// Covers so much that a declaration with it says nothing: any host, or a whole top-level domain in public use.
    pub fn is_too_wide(&self) -> bool {
        match self {
            Host::Any => true,
            Host::Below(suffix) => !suffix.contains('.') && !PRIVATE_TOPS.contains(&suffix.as_str()),
            Host::Net(_, bits) => *bits < 8,
            Host::Name(_) | Host::Addr(_) => false,
        }
    }
}

/// Top-level names that no registry gives out (RFC 2606, RFC 6762, RFC 8375's parent is two labels, ICANN's `internal`) and the customary `lan`.
const PRIVATE_TOPS: &[&str] = &["test", "example", "invalid", "localhost", "local", "internal", "lan"];

/// The IPv4 address a translator reaches under this one (RFC 6052 §2.1, the well-known prefix), or the address itself.
fn within(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V6(v6) if v6.to_bits() >> 32 == 0x0064_ff9b << 64 => IpAddr::V4((v6.to_bits() as u32).into()),
        other => other,
    }
}

/// The leading `bits` of an address as a number.
fn prefix(addr: IpAddr, bits: u8) -> u128 {
    let (whole, size) = match addr {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    whole.checked_shr(u32::from(size - bits.min(size))).unwrap_or(0)
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Host, String> {
        if text == "*" {
            return Ok(Host::Any);
        }
        if let Ok(addr) = text.parse::<IpAddr>() {
            return Ok(Host::Addr(addr));
        }
        if let Some((net, bits)) = text.split_once('/') {
            let most = if net.contains(':') { 128 } else { 32 };
            return match (net.parse::<IpAddr>(), bits.parse::<u8>()) {
                (Ok(net), Ok(bits)) if bits <= most => Ok(Host::Net(net, bits)),
                _ => Err(format!("'{}' is not a range of addresses such as 192.0.2.0/24", text.escape_debug())),
            };
        }
        let (name, below) = text.strip_prefix("*.").map_or((text, false), |rest| (rest, true));
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if !name.is_ascii() {
            return Err(format!("'{}' is not in the form that stands on the wire: write the xn-- form", text.escape_debug()));
        }
        let label = |l: &str| !l.is_empty() && l.len() < 64 && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if name.len() > 253 || !name.split('.').all(label) {
            return Err(format!("'{}' is not a host name, *.suffix, address or address/bits", text.escape_debug()));
        }
        Ok(if below { Host::Below(name) } else { Host::Name(name) })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Any => f.write_str("*"),
            Host::Name(name) => f.write_str(name),
            Host::Below(suffix) => write!(f, "*.{suffix}"),
            Host::Addr(addr) => write!(f, "{addr}"),
            Host::Net(net, bits) => write!(f, "{net}/{bits}"),
        }
    }
}

/// Hosts, and one port or all: `shop.test`, `*.shop.test:8883`, `[2001:db8::1]:443`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerPattern {
    pub host: Host,
    pub port: Option<u16>,
}

impl PeerPattern {
    pub fn matches(&self, host: &str, port: u16) -> bool {
        self.port.is_none_or(|own| own == port) && self.host.matches(host)
    }
}

impl FromStr for PeerPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<PeerPattern, String> {
        if text.parse::<IpAddr>().is_ok() {
            return Ok(PeerPattern { host: text.parse()?, port: None });
        }
        if let Some((host, rest)) = text.strip_prefix('[').and_then(|t| t.split_once(']')) {
            let port = match rest.strip_prefix(':') {
                Some(port) => Some(parse_port(port)?),
                None if rest.is_empty() => None,
                None => return Err(format!("'{}' has something after the ]", text.escape_debug())),
            };
            return Ok(PeerPattern { host: host.parse()?, port });
        }
        match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => Ok(PeerPattern { host: host.parse()?, port: Some(parse_port(port)?) }),
            _ => Ok(PeerPattern { host: text.parse()?, port: None }),
        }
    }
}

fn parse_port(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("'{}' is not a port between 1 and 65535", text.escape_debug())),
    }
}

impl fmt::Display for PeerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.port) {
            (Host::Addr(IpAddr::V6(addr)), Some(port)) => write!(f, "[{addr}]:{port}"),
            (host, Some(port)) => write!(f, "{host}:{port}"),
            (host, None) => write!(f, "{host}"),
        }
    }
}

/// A device as the operator names it: by link address, address or range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DevicePattern {
    Mac([u8; 6]),
    Ip(IpAddr),
    Net(IpAddr, u8),
}

impl DevicePattern {
    pub fn matches(&self, mac: Option<[u8; 6]>, addr: Option<IpAddr>) -> bool {
        match self {
            DevicePattern::Mac(own) => mac == Some(*own),
            DevicePattern::Ip(own) => addr.is_some_and(|a| Host::Addr(*own).matches_addr(a)),
            DevicePattern::Net(net, bits) => addr.is_some_and(|a| Host::Net(*net, *bits).matches_addr(a)),
        }
    }
}

impl FromStr for DevicePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<DevicePattern, String> {
        match text.parse::<Host>() {
            Ok(Host::Addr(addr)) => return Ok(DevicePattern::Ip(addr)),
            Ok(Host::Net(net, bits)) => return Ok(DevicePattern::Net(net, bits)),
            _ => {}
        }
        let parts: Vec<&str> = text.split([':', '-']).collect();
        let bytes: Vec<u8> = parts
            .iter()
            .filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
            .filter_map(|p| u8::from_str_radix(p, 16).ok())
            .collect();
        match <[u8; 6]>::try_from(bytes) {
            Ok(mac) if parts.len() == 6 => Ok(DevicePattern::Mac(mac)),
            _ => Err(format!("'{}' is not a MAC address, IP address or address/bits", text.escape_debug())),
        }
    }
}

impl fmt::Display for DevicePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DevicePattern::Mac(bytes) => {
                bytes.iter().enumerate().try_for_each(|(i, b)| write!(f, "{}{b:02x}", if i == 0 { "" } else { ":" }))
            }
            DevicePattern::Ip(addr) => write!(f, "{addr}"),
            DevicePattern::Net(net, bits) => write!(f, "{net}/{bits}"),
        }
    }
}

/// Ids of checks, attacks or requirements: one, or all that begin alike (`cert.*`, `en18031/*`, `*`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdPattern {
    One(String),
    Begins(String),
}

impl IdPattern {
    pub fn matches(&self, id: &str) -> bool {
        match self {
            IdPattern::One(own) => own == id,
            IdPattern::Begins(start) => id.starts_with(start.as_str()),
        }
    }
}

impl FromStr for IdPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<IdPattern, String> {
        let (plain, begins) = text.strip_suffix('*').map_or((text, false), |t| (t, true));
        if plain.bytes().any(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'/' | b'_'))) || (plain.is_empty() && !begins) {
            return Err(format!("'{}' is not an id such as cert.expired, nor a start of ids such as cert.*", text.escape_debug()));
        }
        if begins && !(plain.is_empty() || plain.ends_with(['.', '/', '-'])) {
            return Err(format!("'{}': the star stands for whole words: after '.', '/' or '-'", text.escape_debug()));
        }
        Ok(if begins { IdPattern::Begins(plain.to_owned()) } else { IdPattern::One(plain.to_owned()) })
    }
}

impl fmt::Display for IdPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdPattern::One(id) => f.write_str(id),
            IdPattern::Begins(start) => write!(f, "{start}*"),
        }
    }
}

/// These types stand in files as one quoted word each.
macro_rules! as_text {
    ($($type:ident $describe:literal),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<$type, D::Error> {
                <std::borrow::Cow<'de, str>>::deserialize(d)?.parse().map_err(D::Error::custom)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "minLength": 1, "description": $describe })
            }
        }
    )*};
}

as_text!(
    Host "a host name, *.suffix, an address, address/bits, or *",
    PeerPattern "a host name, *.suffix, an address, address/bits, or *; with :port for one port",
    DevicePattern "a MAC address, an IP address, or address/bits",
    IdPattern "an id (cert.expired) or a start of ids (cert.*)"
);

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, host: &str, port: u16, expect: bool) {
        let p: PeerPattern = pattern.parse().unwrap();
        assert_eq!(p.matches(host, port), expect, "{pattern} on {host}:{port}");
        assert_eq!(p.to_string().parse::<PeerPattern>(), Ok(p.clone()), "{pattern} is written as {p}");
    }

    #[test]
    fn peers() {
        check("shop.test", "shop.test", 443, true);
        check("shop.test", "SHOP.test.", 443, true);
        check("shop.test", "a.shop.test", 443, false);
        check("*.shop.test", "a.shop.test", 443, true);
        check("*.shop.test", "a.b.Shop.Test", 443, true);
        check("*.shop.test", "shop.test", 443, false);
        check("*.shop.test", "evilshop.test", 443, false);
        check("*.shop.test", ".shop.test", 443, false);
        check("*.shop.test", "é.shop.test", 443, true);
        check("*.shop.test", "xéshop.test", 443, false);
        check("shop.test:8883", "shop.test", 8883, true);
        check("shop.test:8883", "shop.test", 443, false);
        check("192.0.2.7", "192.0.2.7", 1, true);
        check("192.0.2.7", "::ffff:192.0.2.7", 1, true);
        check("192.0.2.0/24", "192.0.2.200", 1, true);
        check("192.0.2.0/24", "192.0.3.1", 1, false);
        check("192.0.2.0/24", "shop.test", 1, false);
        check("0.0.0.0/0", "203.0.113.9", 1, true);
        check("0.0.0.0/0", "2001:db8::1", 1, false);
        check("2001:db8::/32", "2001:db8:1::1", 1, true);
        check("[2001:db8::1]:443", "2001:db8::1", 443, true);
        check("[2001:db8::1]:443", "[2001:db8::1]", 443, true);
        check("2001:db8::1", "2001:db8::1", 9, true);
        check("*", "anything at all", 1, true);
        check("*:80", "x", 443, false);
    }

    #[test]
    fn refused() {
        for bad in [
            "",
            "a b",
            "*.",
            "*shop.test",
            "a..b",
            "shop.test:0",
            "shop.test:x",
            "192.0.2.0/33",
            "[::1]x",
            "bücher.example",
            "http://a.test/",
        ] {
            assert!(bad.parse::<PeerPattern>().is_err(), "{bad}");
        }
        for bad in ["", "c*rt", "cert*", "a b"] {
            assert!(bad.parse::<IdPattern>().is_err(), "{bad}");
        }
        for bad in ["", "02:00:00:00:00", "phone", "02:00:00:00:00:0g", "*"] {
            assert!(bad.parse::<DevicePattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn too_wide() {
        for (pattern, expect) in
            [("*", true), ("*.com", true), ("*.test", false), ("*.shop.com", false), ("10.0.0.0/8", false), ("0.0.0.0/0", true)]
        {
            assert_eq!(pattern.parse::<Host>().unwrap().is_too_wide(), expect, "{pattern}");
        }
    }

    #[test]
    fn devices() {
        let mac = Some([2, 0, 0, 0, 0, 1]);
        let ip = "192.0.2.7".parse().ok();
        for (pattern, expect) in [
            ("02:00:00:00:00:01", true),
            ("02-00-00-00-00-02", false),
            ("192.0.2.7", true),
            ("192.0.2.0/24", true),
            ("2001:db8::/32", false),
        ] {
            assert_eq!(pattern.parse::<DevicePattern>().unwrap().matches(mac, ip), expect, "{pattern}");
        }
    }

    #[test]
    fn ids() {
        for (pattern, id, expect) in [
            ("cert.*", "cert.expired", true),
            ("cert.*", "certs.x", false),
            ("cert.expired", "cert.expired", true),
            ("*", "x", true),
            ("cert.expired", "cert.expired2", false),
        ] {
            assert_eq!(pattern.parse::<IdPattern>().unwrap().matches(id), expect, "{pattern} {id}");
        }
    }
}
