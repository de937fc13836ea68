//! DHCPv6 (RFC 8415): what a client says of itself. It has no cookie: port and shape tell it.

use crate::chunk::{Chunk, Gap, Layer, Unit, Want};
use crate::dissect::dhcp::{MOST_LEASES, labels};
use crate::dissect::marks::Origin;
use crate::dissect::search::{From, Place, Spot};
use crate::dissect::sniff::Guess;
use crate::dissect::{Cx, Dissector, Hint};
use crate::flow::{Counts, Ends, FlowEnd, Mac};
use crate::observation::{App, ClientId, Lease, NotParsed, OddKind};

/// Message type and transaction (RFC 8415 §8).
const HEADER: usize = 4;
/// Between relays: type, hops, link and peer address (RFC 8415 §9).
const RELAYED: usize = 34;

/// Option codes (IANA).
mod option {
    pub(super) const CLIENT_ID: u16 = 1;
    pub(super) const RELAY_MESSAGE: u16 = 9;
    pub(super) const VENDOR_CLASS: u16 = 16;
    pub(super) const FQDN: u16 = 39;
}

/// Message types (RFC 8415 §7.3).
const ADVERTISE: u8 = 2;
const REPLY: u8 = 7;
const RECONFIGURE: u8 = 10;
const RELAY_FORWARD: u8 = 12;
const RELAY_REPLY: u8 = 13;

/// Ports of clients, and of servers and relays (RFC 8415 §7.2).
const CLIENT: u16 = 546;
const SERVER: u16 = 547;

/// Relays in front of one another.
const DEEPEST: usize = 8;

/// Whether a datagram is DHCPv6: it goes to its ports, and options fill it.
pub fn looks_like(ends: &Ends, chunk: &Chunk<'_>, bytes: &[u8]) -> Guess {
    let to = ends.addr(chunk.dir.other()).port();
    let is = |kind: u8, options: &Options<'_>| {
        let fits = if is_answer(kind) { matches!(to, CLIENT | SERVER) } else { to == SERVER };
        fits && options.whole && !options.list.is_empty()
    };
    if chunk.unit == Unit::Datagram && matches!(to, CLIENT | SERVER) && read(bytes).is_some_and(|(kind, options)| is(kind, &options)) {
        Guess::Is(Box::new(Dhcp6 { layer: chunk.layer, said: Vec::new(), unread: 0 }))
    } else {
        Guess::No
    }
}

/// Whether servers send messages of this type.
fn is_answer(kind: u8) -> bool {
    matches!(kind, ADVERTISE | REPLY | RECONFIGURE | RELAY_REPLY)
}

#[derive(Debug)]
struct Dhcp6 {
    layer: Layer,
    said: Vec<Lease>,
    unread: u64,
}

impl Dissector for Dhcp6 {
    fn app(&self) -> App {
        App::Dhcp
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Want {
        let bytes = chunk.bytes;
        let origin = Origin { offset: 0, len: bytes.len() as u64, frame: chunk.frame, time: chunk.time };
        let spot = Spot { place: Place::Of("dhcp6.message"), dir: chunk.dir, layer: self.layer, from: From::Decoded(origin), chain: &[] };
        match read(bytes) {
            Some((kind, options)) => {
                if self.layer == Layer::Wire {
                    cx.analysed(bytes.len());
                }
                if !options.whole {
                    cx.odd(OddKind::BrokenDhcp, "options break off", None);
                }
                let client = if is_answer(kind) { chunk.dir.other() } else { chunk.dir };
                cx.hint(Hint { client: Some(client), ..Hint::default() });
                let lease = searched(kind, &options, &spot, cx);
                if !is_answer(kind) && self.said.len() < MOST_LEASES && !self.said.contains(&lease) {
                    self.said.push(lease.clone());
                    cx.see(lease);
                }
            }
            None => {
                cx.odd(OddKind::BrokenDhcp, "a message without a known type", None);
                self.unread += bytes.len() as u64;
                if self.layer == Layer::Wire {
                    cx.unparsed(bytes.len());
                }
                cx.search_whole(&spot, bytes);
            }
        }
        Want::All
    }

    fn gap(&mut self, _: &Gap, _: &mut Cx<'_>) -> Want {
        Want::All
    }

    fn close(&mut self, _: FlowEnd, _: &Counts, cx: &mut Cx<'_>) {
        if self.unread > 0 {
            cx.not_parsed(App::Dhcp, NotParsed::Broken, self.unread);
        }
    }
}

/// Searches all of a message; hands back what it says of the client.
fn searched(kind: u8, options: &Options<'_>, spot: &Spot<'_>, cx: &mut Cx<'_>) -> Lease {
    let fqdn = options.first(option::FQDN).and_then(|data| labels(data.get(1..)?));
    let vendor_class = options.first(option::VENDOR_CLASS).and_then(|data| strings(data.get(4..)?));
    let id = options.first(option::CLIENT_ID);
    let mac = id.and_then(hardware);
    let said = [("dhcp.fqdn", fqdn.as_deref()), ("dhcp.vendor-class", vendor_class.as_deref()), ("dhcp.client-id", id)];
    for (place, value) in said {
        if let Some(value) = value {
            cx.search_name(&Spot { place: Place::Of(place), ..*spot }, value);
        }
    }
    // What was searched above: the first of its code, and of a name no more than its labels (flags, and a byte before each and at the end).
    let done = |code: u16, data: &[u8]| match code {
        option::FQDN => fqdn.as_ref().is_some_and(|name| data.len() <= name.len() + 3),
        option::VENDOR_CLASS => vendor_class.is_some(),
        option::CLIENT_ID => true,
        _ => false,
    };
    let first = |code: u16, data: &[u8]| options.first(code).is_some_and(|first| std::ptr::eq(first, data));
    for (code, data) in options.around.iter().chain(&options.list) {
        if first(*code, data) && done(*code, data) {
            continue;
        }
        let code = code.to_string();
        cx.search_whole(&Spot { place: Place::Field("dhcp.option:", code.as_bytes()), ..*spot }, data);
    }
    if !options.tail.is_empty() {
        cx.search_whole(&Spot { place: Place::Of("dhcp.tail"), ..*spot }, options.tail);
    }
    Lease {
        message: kind,
        host_name: None,
        fqdn: fqdn.map(|n| cx.name(&n)),
        vendor_class: vendor_class.map(|n| cx.text(&n)),
        client_id: match (id, mac) {
            (None, _) => ClientId::None,
            (_, Some(_)) => ClientId::HardwareAddress,
            (Some(_), None) => ClientId::Other,
        },
        mac: mac.unwrap_or(Mac([0; 6])).into(),
        parameters: Vec::new(),
    }
}

/// Type and options of a message; of one that relays hand on, those of the client's, with the relays' own around them. None for a type nobody
/// knows.
fn read(mut bytes: &[u8]) -> Option<(u8, Options<'_>)> {
    let mut around = Vec::new();
    for _ in 0..DEEPEST {
        let kind = *bytes.first().filter(|kind| (1..=RELAY_REPLY).contains(*kind))?;
        if !matches!(kind, RELAY_FORWARD | RELAY_REPLY) {
            return Some((kind, Options { around, ..Options::read(bytes.get(HEADER..)?) }));
        }
        let mut options = Options::read(bytes.get(RELAYED..)?);
        let inner = options.list.iter().position(|(code, _)| *code == option::RELAY_MESSAGE).filter(|_| options.whole);
        let Some(inner) = inner else { return Some((kind, Options { around, ..options })) };
        bytes = options.list.swap_remove(inner).1;
        around.append(&mut options.list);
    }
    None
}

/// The link address in a DUID (RFC 8415 §11.2, §11.4) of an Ethernet interface.
fn hardware(id: &[u8]) -> Option<Mac> {
    let ([0, 1, 0, 1, _, _, _, _, address @ ..] | [0, 3, 0, 1, address @ ..]) = id else { return None };
    address.try_into().ok().map(Mac)
}

/// Strings with their lengths in two bytes before them (RFC 8415 §21.16), joined by blanks.
fn strings(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while let [hi, lo, tail @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*hi, *lo])).min(tail.len());
        let (string, after) = tail.split_at(len);
        if !out.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(string);
        rest = after;
    }
    Some(out).filter(|o| !o.is_empty())
}

/// The options of a message, in order.
struct Options<'a> {
    list: Vec<(u16, &'a [u8])>,
    /// Those that relays put around it.
    around: Vec<(u16, &'a [u8])>,
    /// They fill the message.
    whole: bool,
    /// What is left where one breaks off.
    tail: &'a [u8],
}

impl<'a> Options<'a> {
    fn read(mut rest: &'a [u8]) -> Options<'a> {
        let mut list = Vec::new();
        while let [c1, c2, l1, l2, tail @ ..] = rest {
            let len = usize::from(u16::from_be_bytes([*l1, *l2]));
            let Some((data, after)) = tail.split_at_checked(len) else { break };
            list.push((u16::from_be_bytes([*c1, *c2]), data));
            rest = after;
        }
        Options { list, around: Vec::new(), whole: rest.is_empty(), tail: rest }
    }

    fn first(&self, code: u16) -> Option<&'a [u8]> {
        self.list.iter().find(|(c, _)| *c == code).map(|(_, data)| *data)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use policies::IdentifierType;
    use proptest::prelude::*;

    use super::*;
    use crate::dissect::testing::{datagram, seeking, told};
    use crate::observation::Observation;
    use crate::pipeline::Tools;

    const LINK: &[u8] = &[0, 3, 0, 1, 0x3c, 7, 0x54, 1, 2, 3];
    const LINK_AND_TIME: &[u8] = &[0, 1, 0, 1, 9, 9, 9, 9, 0x3c, 7, 0x54, 1, 2, 3];
    const NUMBER: &[u8] = &[0, 2, 0, 0, 1, 0x37, 1, 2, 3, 4, 5, 6];

    fn option(code: u16, data: &[u8]) -> Vec<u8> {
        [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat()
    }

    fn message(kind: u8, options: &[Vec<u8>]) -> Vec<u8> {
        [&[kind, 1, 2, 3][..], &options.concat()].concat()
    }

    fn relayed(inner: &[u8]) -> Vec<u8> {
        [&[RELAY_FORWARD, 0][..], &[0xfe; 32], &option(option::RELAY_MESSAGE, inner)].concat()
    }

    fn run(tools: Tools, ports: (u16, u16), bytes: &[u8]) -> Vec<Observation> {
        let ends = (format!("[fe80::3e07:54ff:fe01:203]:{}", ports.0), format!("[ff02::1:2]:{}", ports.1));
        datagram(tools, (&ends.0, &ends.1), bytes)
    }

    #[track_caller]
    fn check(bytes: &[u8], expect: Option<(u8, &str, ClientId, [u8; 6])>) {
        let seen = run(Tools::default(), (CLIENT, SERVER), bytes);
        let leases: Vec<_> = seen.iter().filter_map(|o| if let Observation::Lease(l) = o { Some(l) } else { None }).collect();
        let text = |t: &Option<crate::text::Text>| t.as_ref().map(|t| t.as_str().to_owned()).unwrap_or_default();
        match (&leases[..], expect) {
            ([], None) => {}
            ([lease], Some((kind, fqdn, id, mac))) => {
                assert_eq!((lease.message, text(&lease.fqdn), lease.client_id), (kind, fqdn.to_owned(), id));
                assert_eq!(lease.mac, Mac(mac).into());
            }
            (leases, expect) => panic!("{leases:?}, not {expect:?}"),
        }
    }

    #[test]
    fn clients() {
        let mac = [0x3c, 7, 0x54, 1, 2, 3];
        let name = option(option::FQDN, b"\x01\x0bannas-phone\x03lan\0");
        for id in [LINK, LINK_AND_TIME] {
            let solicit = message(1, &[option(option::CLIENT_ID, id), name.clone()]);
            check(&solicit, Some((1, "annas-phone.lan", ClientId::HardwareAddress, mac)));
            check(&relayed(&solicit), Some((1, "annas-phone.lan", ClientId::HardwareAddress, mac)));
        }
        check(&message(11, &[option(option::CLIENT_ID, NUMBER)]), Some((11, "", ClientId::Other, [0; 6])));
        check(&message(3, &[option(option::FQDN, b"\0\x05annas")]), Some((3, "annas", ClientId::None, [0; 6])));
        check(&message(7, &[option(option::CLIENT_ID, LINK), name.clone()]), None);
        let leases = |ports, kind| {
            run(Tools::default(), ports, &message(kind, std::slice::from_ref(&name)))
                .iter()
                .filter(|o| matches!(o, Observation::Lease(_)))
                .count()
        };
        assert_eq!((leases((40_000, SERVER), 1), leases((CLIENT, 5000), 1), leases((SERVER, CLIENT), 1)), (1, 0, 0), "by port");
    }

    #[test]
    fn every_part_of_a_message_is_searched() {
        let value: &[u8] = b"490154203237518";
        let found = |bytes: &[u8]| told(&run(seeking(&[(IdentifierType::Imei, "490154203237518")]), (CLIENT, SERVER), bytes));
        for (code, place) in [(1, "dhcp.client-id"), (15, "dhcp.option:15"), (17, "dhcp.option:17"), (4711, "dhcp.option:4711")] {
            assert_eq!(found(&message(1, &[option(code, value)])), [place]);
        }
        let class = [&[0, 0, 1, 0x37, 0, 15][..], value].concat();
        assert_eq!(found(&message(1, &[option(option::VENDOR_CLASS, &class)])), ["dhcp.vendor-class"]);
        assert_eq!(found(&message(7, &[option(15, value)])), ["dhcp.option:15"], "what a server says");
        // What comes again, what is no name, what stands behind one, what relays add.
        for (code, one) in [(option::CLIENT_ID, LINK), (option::VENDOR_CLASS, b"\0\0\x01\x37\0\x01a"), (option::FQDN, b"\0\x05annas")] {
            let told = found(&message(1, &[option(code, one), option(code, value)]));
            assert_eq!(told, [format!("dhcp.option:{code}")], "the second one");
        }
        assert_eq!(found(&message(1, &[option(option::FQDN, &[&[0, 0][..], value].concat())])), ["dhcp.option:39"]);
        assert_eq!(found(&message(1, &[option(option::FQDN, &[b"\0\x01a\0", value].concat())])), ["dhcp.option:39"]);
        let relayed = [relayed(&message(1, &[option(option::CLIENT_ID, LINK)])), option(37, value)].concat();
        assert_eq!(found(&relayed), ["dhcp.option:37"]);
    }

    proptest! {
        #[test]
        fn hostile(kind in 0u8..16, tail in prop::collection::vec(any::<u8>(), 0..200)) {
            run(Tools::default(), (CLIENT, SERVER), &[&[kind][..], &tail].concat());
        }
    }
}
