//! The lab's DHCP server (RFC 2131), for devices that boot on the lab's wire: offers, acknowledges, remembers names.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UdpSocket;

use crate::Fault;

/// The server. Cheap to clone; all clones share their memory.
#[derive(Clone, Debug)]
pub struct Leases(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    gateway: Ipv4Addr,
    resolver: Ipv4Addr,
    last: RangeInclusive<u8>,
    leases: Mutex<HashMap<[u8; 6], Lease>>,
}

/// What one device was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub mac: [u8; 6],
    pub address: Ipv4Addr,
    /// Option 12, as sent.
    pub host_name: Option<Vec<u8>>,
    /// Acknowledged, not only offered.
    pub bound: bool,
}

impl Leases {
    /// `gateway` is router and server; addresses are its /24 with a last byte from `last`.
    pub fn new(gateway: Ipv4Addr, resolver: Ipv4Addr, last: RangeInclusive<u8>) -> Self {
        Self(Arc::new(Inner { gateway, resolver, last, leases: Mutex::default() }))
    }

    pub fn all(&self) -> Vec<Lease> {
        let mut all: Vec<Lease> = self.0.leases.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.sort_by_key(|lease| lease.address);
        all
    }

    /// The reply to one message; `None` where the standard says to be silent.
    pub fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        let head = message.get(..236)?;
        // BOOTREQUEST, Ethernet, six bytes of address, the magic cookie
        if head.get(..3)? != [1, 1, 6] || message.get(236..240)? != COOKIE {
            return None;
        }
        let mac: [u8; 6] = head.get(28..34)?.try_into().ok()?;
        let options = Options::read(message.get(240..)?);
        let kind = *options.get(53)?.first()?;
        let mine = |option: u8| options.get(option).is_none_or(|server| server == self.0.gateway.octets());
        let (kind, lease) = match kind {
            DISCOVER => (OFFER, Some(self.lease(mac, options.get(12), false)?)),
            REQUEST if mine(54) => {
                let wanted = options.get(50).or_else(|| head.get(12..16).filter(|address| *address != [0; 4]));
                let lease = self.lease(mac, options.get(12), true)?;
                if wanted.is_some_and(|wanted| wanted != lease.address.octets()) { (NAK, None) } else { (ACK, Some(lease)) }
            }
            INFORM => (ACK, None),
            RELEASE | DECLINE => {
                self.0.leases.lock().unwrap_or_else(PoisonError::into_inner).remove(&mac);
                return None;
            }
            _ => return None,
        };
        Some(self.reply(head, kind, lease.as_ref()))
    }

    fn reply(&self, head: &[u8], kind: u8, lease: Option<&Lease>) -> Vec<u8> {
        let server = self.0.gateway.octets();
        let mut out = vec![0; 236];
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(place) = out.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        put(0, &[2, 1, 6, 0]);
        put(4, head.get(4..8).unwrap_or_default()); // xid
        put(10, head.get(10..12).unwrap_or_default()); // flags
        if kind != NAK {
            put(12, head.get(12..16).unwrap_or_default()); // ciaddr
        }
        if let Some(lease) = lease {
            put(16, &lease.address.octets());
        }
        put(20, &server);
        put(28, head.get(28..44).unwrap_or_default()); // chaddr
        out.extend(COOKIE);
        out.extend([53, 1, kind, 54, 4]);
        out.extend(server);
        if kind != NAK {
            if lease.is_some() {
                out.extend([51, 4]);
                out.extend(LEASE_SECONDS.to_be_bytes());
            }
            out.extend([1, 4, 255, 255, 255, 0, 3, 4]);
            out.extend(server);
            out.extend([6, 4]);
            out.extend(self.0.resolver.octets());
        }
        out.push(255);
        out.resize(out.len().max(300), 0); // RFC 1542 §2.1: some clients drop what is shorter than BOOTP's 300 bytes
        out
    }

    fn lease(&self, mac: [u8; 6], host_name: Option<&[u8]>, bound: bool) -> Option<Lease> {
        let mut leases = self.0.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let net = self.0.gateway.octets();
        let address = match leases.get(&mac) {
            Some(lease) => lease.address,
            None => self
                .0
                .last
                .clone()
                .map(|last| Ipv4Addr::new(net[0], net[1], net[2], last))
                .find(|address| leases.values().all(|lease| lease.address != *address))?,
        };
        let before = leases.get(&mac);
        let lease = Lease {
            mac,
            address,
            host_name: host_name.map(<[u8]>::to_vec).or_else(|| before?.host_name.clone()),
            bound: bound || before.is_some_and(|lease| lease.bound),
        };
        leases.insert(mac, lease.clone());
        Some(lease)
    }

    /// The server's socket on one interface of the namespace this thread is in.
    pub(crate) fn socket(interface: &str) -> Result<std::net::UdpSocket, Fault> {
        use socket2::{Domain, Protocol, Socket, Type};
        let open = || {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_reuse_address(true)?;
            socket.set_broadcast(true)?;
            socket.bind_device(Some(interface.as_bytes()))?;
            socket.bind(&SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 67).into())?;
            Ok::<_, std::io::Error>(socket.into())
        };
        open().map_err(Fault::odd("opening the DHCP server's socket"))
    }

    /// Serves until the task is dropped. Replies are broadcast: a client without address hears nothing else.
    pub(crate) async fn serve(self, socket: Arc<UdpSocket>) {
        let mut buffer = vec![0; 2048];
        loop {
            let Ok((length, _)) = socket.recv_from(&mut buffer).await else {
                tokio::time::sleep(crate::world::BREATH).await;
                continue;
            };
            if let Some(reply) = buffer.get(..length).and_then(|message| self.answer(message)) {
                let _ = socket.send_to(&reply, (Ipv4Addr::BROADCAST, 68)).await;
            }
        }
    }
}

/// Options by number; the first of a kind counts.
struct Options<'a>(HashMap<u8, &'a [u8]>);

impl<'a> Options<'a> {
    fn read(mut rest: &'a [u8]) -> Self {
        let mut map = HashMap::new();
        while let [code, tail @ ..] = rest {
            match (code, tail) {
                (0, _) => rest = tail,
                (255, _) => break,
                (code, [length, tail @ ..]) if tail.len() >= usize::from(*length) => {
                    let (value, after) = tail.split_at(usize::from(*length));
                    map.entry(*code).or_insert(value);
                    rest = after;
                }
                _ => break,
            }
        }
        Self(map)
    }

    fn get(&self, code: u8) -> Option<&'a [u8]> {
        self.0.get(&code).copied()
    }
}

const COOKIE: [u8; 4] = [99, 130, 83, 99];
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const DECLINE: u8 = 4;
const ACK: u8 = 5;
const NAK: u8 = 6;
const RELEASE: u8 = 7;
const INFORM: u8 = 8;
const LEASE_SECONDS: u32 = 3600;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

    fn message(mac: u8, kind: u8, options: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 236];
        out[..3].copy_from_slice(&[1, 1, 6]);
        out[4..8].copy_from_slice(&[1, 2, 3, 4]);
        out[28..34].copy_from_slice(&[2, 0, 0, 0, 0, mac]);
        out.extend(COOKIE);
        out.extend([53, 1, kind]);
        out.extend(options);
        out.push(255);
        out
    }

    /// Kind of the reply and yiaddr; `None` = silence.
    fn check(leases: &Leases, request: &[u8], expect: Option<(u8, [u8; 4])>) {
        let reply = leases.answer(request);
        let got = reply.as_ref().map(|reply| {
            assert_eq!(reply[4..8], [1, 2, 3, 4], "xid");
            (Options::read(&reply[240..]).get(53).unwrap()[0], reply[16..20].try_into().unwrap())
        });
        assert_eq!(got, expect);
    }

    #[test]
    fn a_device_gets_its_address_and_keeps_it() {
        let leases = Leases::new(SERVER, Ipv4Addr::new(192, 0, 2, 53), 128..=129);
        let first = [10, 77, 0, 128];
        check(&leases, &message(1, DISCOVER, &[12, 3, b'a', b'n', b'n']), Some((OFFER, first)));
        check(&leases, &message(1, REQUEST, &[50, 4, 10, 77, 0, 128, 54, 4, 10, 77, 0, 1]), Some((ACK, first)));
        assert_eq!(
            leases.all()[0],
            Lease { mac: [2, 0, 0, 0, 0, 1], address: first.into(), host_name: Some(b"ann".to_vec()), bound: true }
        );
        check(&leases, &message(2, DISCOVER, &[]), Some((OFFER, [10, 77, 0, 129])));
        check(&leases, &message(3, DISCOVER, &[]), None); // none left
        check(&leases, &message(1, DISCOVER, &[]), Some((OFFER, first)));
        check(&leases, &message(1, REQUEST, &[50, 4, 10, 77, 0, 5]), Some((NAK, [0; 4])));
        check(&leases, &message(1, REQUEST, &[54, 4, 9, 9, 9, 9]), None); // another server's offer
        check(&leases, &message(2, RELEASE, &[]), None);
        check(&leases, &message(3, DISCOVER, &[]), Some((OFFER, [10, 77, 0, 129])));
        check(&leases, &message(9, INFORM, &[]), Some((ACK, [0; 4])));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_do_no_harm(tail in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let leases = Leases::new(SERVER, SERVER, 128..=250);
            let _ = leases.answer(&tail);
            let mut framed = message(1, DISCOVER, &[]);
            framed.truncate(240);
            framed.extend(tail);
            let _ = leases.answer(&framed);
        }
    }
}
