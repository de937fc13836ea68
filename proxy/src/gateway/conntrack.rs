//! Asks the kernel which port a redirected device really used.
//!
//! A device may use one port towards two servers at once. At our one listener both would be the same connection, so the kernel gives the
//! later one another port, and that is what `accept` tells. The wire, and so the capture, has the device's own; conntrack knows both.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket};

/// A way to the connection tracker of this network namespace. Needs CAP_NET_ADMIN there.
#[derive(Debug)]
pub struct Conntrack(OwnedFd);

impl Conntrack {
    pub fn open() -> io::Result<Conntrack> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        Ok(Conntrack(socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)?))
    }

    /// The device's own address and port of the TCP connection that was accepted at `local` from `from`. `None`: the kernel does not say.
    pub fn device(&self, local: SocketAddr, from: SocketAddr) -> Option<SocketAddr> {
        let asked = question(local, from)?;
        let mut answer = [0; LONGEST];
        let fd = self.0.as_raw_fd();
        // What an earlier question left unread is not the answer to this one.
        while recv(fd, &mut answer, MsgFlags::MSG_DONTWAIT).is_ok() {}
        sendto(fd, &asked, &NetlinkAddr::new(0, 0), MsgFlags::empty()).ok()?;
        // The kernel answers within the call that asks.
        let len = recv(fd, &mut answer, MsgFlags::MSG_DONTWAIT).ok()?;
        source(answer.get(..len)?)
    }
}

/// One tracked connection with all its attributes is some 400 bytes.
const LONGEST: usize = 8192;

// linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h.
const SUBSYSTEM: u16 = 1 << 8;
const NEW: u16 = SUBSYSTEM;
const GET: u16 = SUBSYSTEM | 1;
const REQUEST: u16 = 1;
const NESTED: u16 = 0x8000;
const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const PROTO_NUM: u16 = 1;
const PROTO_SRC_PORT: u16 = 2;
const PROTO_DST_PORT: u16 = 3;
const TCP: u8 = 6;
/// `nlmsghdr` and `nfgenmsg`.
const HEAD: usize = 16 + 4;

/// The connection whose answers go from `local` to `from`.
fn question(local: SocketAddr, from: SocketAddr) -> Option<Vec<u8>> {
    let (family, ip) = match (local.ip(), from.ip()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (2, [attribute(1, &a.octets()), attribute(2, &b.octets())].concat()),
        (IpAddr::V6(a), IpAddr::V6(b)) => (10, [attribute(3, &a.octets()), attribute(4, &b.octets())].concat()),
        _ => return None,
    };
    let proto = [
        attribute(PROTO_NUM, &[TCP]),
        attribute(PROTO_SRC_PORT, &local.port().to_be_bytes()),
        attribute(PROTO_DST_PORT, &from.port().to_be_bytes()),
    ]
    .concat();
    let tuple = [attribute(TUPLE_IP | NESTED, &ip), attribute(TUPLE_PROTO | NESTED, &proto)].concat();
    let tuple = attribute(TUPLE_REPLY | NESTED, &tuple);
    let mut out = ((HEAD + tuple.len()) as u32).to_ne_bytes().to_vec();
    out.extend(GET.to_ne_bytes());
    out.extend(REQUEST.to_ne_bytes());
    out.extend([0; 8]);
    out.extend([family, 0, 0, 0]);
    out.extend(tuple);
    Some(out)
}

/// Length, type, value, and filling to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut out = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// Who opened the connection that an answer is about.
fn source(answer: &[u8]) -> Option<SocketAddr> {
    let len = u32::from_ne_bytes(*answer.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let tuple = find(answer.get(HEAD..len)?, TUPLE_ORIG).filter(|_| kind == NEW)?;
    let ip = find(tuple, TUPLE_IP)?;
    let ip = match (find(ip, 1), find(ip, 3)) {
        (Some(v4), _) => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(v4).ok()?)),
        (None, v6) => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(v6?).ok()?)),
    };
    let port = find(find(tuple, TUPLE_PROTO)?, PROTO_SRC_PORT)?;
    Some(SocketAddr::new(ip, u16::from_be_bytes(port.try_into().ok()?)))
}

/// The value of the first attribute of a type.
fn find(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    while let Some(([a, b, c, d], _)) = attributes.split_first_chunk::<4>() {
        let len = usize::from(u16::from_ne_bytes([*a, *b]));
        let value = attributes.get(4..len)?;
        if u16::from_ne_bytes([*c, *d]) & !NESTED == kind {
            return Some(value);
        }
        attributes = attributes.get(len.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// An answer as the kernel's: the tuple of who opened, then that of who answers.
    fn answer(kind: u16, device: SocketAddr, server: SocketAddr, listener: SocketAddr) -> Vec<u8> {
        let mut out = question(device, server).unwrap();
        let reply = question(listener, device).unwrap().split_off(HEAD);
        out[HEAD + 2..HEAD + 4].copy_from_slice(&(TUPLE_ORIG | NESTED).to_ne_bytes());
        out.extend(reply);
        let len = out.len() as u32;
        out[..4].copy_from_slice(&len.to_ne_bytes());
        out[4..6].copy_from_slice(&kind.to_ne_bytes());
        out
    }

    #[test]
    fn who_opened() {
        let rows = [
            (NEW, "10.77.0.10:40000", "198.18.0.1:443", "10.77.0.1:5000", true),
            (NEW, "[fd00::10]:40000", "[2001:db8::1]:443", "[fd00::1]:5000", true),
            // NLMSG_ERROR, as for a connection that is not known.
            (2, "10.77.0.10:40000", "198.18.0.1:443", "10.77.0.1:5000", false),
        ];
        for (kind, device, server, listener, known) in rows {
            let device: SocketAddr = device.parse().unwrap();
            let whole = answer(kind, device, server.parse().unwrap(), listener.parse().unwrap());
            assert_eq!(source(&whole), known.then_some(device));
            for cut in 0..whole.len() {
                assert_eq!(source(&whole[..cut]), None, "{cut}");
            }
        }
        assert_eq!(find(&[0, 0, 1, 0, 0, 0, 1, 0], 1), None);
        assert_eq!(question("10.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap()), None);
    }
}
