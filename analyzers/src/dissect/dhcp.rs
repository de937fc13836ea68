//! DHCPv4 (RFC 2131, 2132): what a client says of itself, and which address it was given.

use std::net::{IpAddr, Ipv4Addr};

use policies::Time;

use crate::chunk::{Chunk, Gap, Layer, Unit, Want};
use crate::dissect::marks::Origin;
use crate::dissect::search::{From, Place, Spot};
use crate::dissect::sniff::Guess;
use crate::dissect::{Cx, Dissector, Hint};
use crate::flow::{Counts, Dir, Ends, FlowEnd, Mac};
use crate::observation::{App, ClientId, Lease, Neighbour, NeighbourSource, NotParsed, OddKind};

/// Where the options begin: 236 bytes of BOOTP and the cookie (RFC 2131 §3).
const OPTIONS: usize = 240;
const COOKIE: [u8; 4] = [0x63, 0x82, 0x53, 0x63];

/// Option numbers (IANA).
mod option {
    pub(super) const HOST_NAME: u8 = 12;
    pub(super) const REQUESTED_ADDRESS: u8 = 50;
    pub(super) const OVERLOAD: u8 = 52;
    pub(super) const MESSAGE: u8 = 53;
    pub(super) const PARAMETERS: u8 = 55;
    pub(super) const VENDOR_CLASS: u8 = 60;
    pub(super) const CLIENT_ID: u8 = 61;
    pub(super) const FQDN: u8 = 81;
}

/// DHCPACK.
const ACK: u8 = 5;

/// Requests that are kept until one tells whose they are; a client sends a handful before it has an address.
const MOST_EARLY: usize = 16;

/// Distinct leases of one flow that are written; a client sends the same a few times.
pub(super) const MOST_LEASES: usize = 64;

/// Whether a datagram is DHCP: by its cookie and the shape before it.
pub fn looks_like(_: &Ends, chunk: &Chunk<'_>, bytes: &[u8]) -> Guess {
    let cookie = bytes.get(OPTIONS - 4..OPTIONS) == Some(&COOKIE);
    if chunk.unit == Unit::Datagram && cookie && matches!(bytes.first(), Some(1 | 2)) {
        Guess::Is(Box::new(Dhcp { layer: chunk.layer, said: Vec::new(), given: Vec::new(), unread: 0, early: Some(Vec::new()) }))
    } else {
        Guess::No
    }
}

#[derive(Debug)]
struct Dhcp {
    layer: Layer,
    said: Vec<Lease>,
    given: Vec<Neighbour>,
    unread: u64,
    /// Requests before the one that asks for the address by which the operator named the device; none once they are told.
    early: Option<Vec<Early>>,
}

#[derive(Debug)]
struct Early {
    bytes: Vec<u8>,
    time: Time,
    frame: u64,
}

impl Dissector for Dhcp {
    fn app(&self) -> App {
        App::Dhcp
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Want {
        if self.waits(chunk, cx) {
            return Want::All;
        }
        self.message(chunk, cx);
        Want::All
    }

    fn gap(&mut self, _: &Gap, _: &mut Cx<'_>) -> Want {
        Want::All
    }

    fn close(&mut self, _: FlowEnd, _: &Counts, cx: &mut Cx<'_>) {
        self.tell_early(cx);
        if self.unread > 0 {
            cx.not_parsed(App::Dhcp, NotParsed::Broken, self.unread);
        }
    }
}

impl Dhcp {
    /// Keeps a request of somebody without an address, when the operator named the device by one, until it is known whether it is his.
    fn waits(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> bool {
        let Some(early) = self.early.as_mut().filter(|_| cx.is_nameless(chunk.dir)) else { return false };
        let address = |b: &[u8]| b.first_chunk().map(|b: &[u8; 4]| IpAddr::from(*b));
        let asked = Options::read(chunk.bytes).joined(option::REQUESTED_ADDRESS).and_then(|data| address(&data));
        // `ciaddr`, when it has one.
        let held = chunk.bytes.get(12..16).and_then(address);
        let his = [asked, held].into_iter().flatten().any(|ip| cx.is_told(ip));
        if !his && early.len() < MOST_EARLY && self.layer == Layer::Wire {
            early.push(Early { bytes: chunk.bytes.to_vec(), time: chunk.time, frame: chunk.frame });
            return true;
        }
        if his {
            cx.hint(Hint { client: Some(chunk.dir), device: Some(chunk.dir), ..Hint::default() });
        }
        self.tell_early(cx);
        false
    }

    fn tell_early(&mut self, cx: &mut Cx<'_>) {
        for Early { bytes, time, frame } in self.early.take().unwrap_or_default() {
            let dir = if cx.ends().a.ip().is_unspecified() { Dir::Out } else { Dir::Back };
            let chunk = Chunk { flow: cx.flow, dir, unit: Unit::Datagram, layer: Layer::Wire, time, frame, bytes: &bytes };
            self.message(&chunk, &mut cx.then(time, frame));
        }
    }

    fn message(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        let bytes = chunk.bytes;
        if bytes.get(OPTIONS - 4..OPTIONS) != Some(&COOKIE) {
            cx.odd(OddKind::BrokenDhcp, "a message without its cookie", None);
            self.unread += bytes.len() as u64;
            if self.layer == Layer::Wire {
                cx.unparsed(bytes.len());
            }
            let origin = Origin { offset: 0, len: bytes.len() as u64, frame: chunk.frame, time: chunk.time };
            let place = Place::Of("dhcp.message");
            cx.search_whole(&Spot { place, dir: chunk.dir, layer: self.layer, from: From::Decoded(origin), chain: &[] }, bytes);
            return;
        }
        if self.layer == Layer::Wire {
            cx.analysed(bytes.len());
        }
        let options = Options::read(bytes);
        if options.broken {
            cx.odd(OddKind::BrokenDhcp, "options break off", None);
        }
        if bytes.first() == Some(&1) {
            self.client(bytes, &options, chunk, cx);
        } else {
            cx.hint(Hint { client: Some(chunk.dir.other()), ..Hint::default() });
            self.server(bytes, &options, cx);
            let names = Names::of(&options);
            self.search(bytes, &options, &names, chunk, cx);
        }
    }

    /// A request: the client tells who it is.
    fn client(&mut self, bytes: &[u8], options: &Options<'_>, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        cx.hint(Hint { client: Some(chunk.dir), ..Hint::default() });
        let mac = hardware(bytes);
        let names = Names::of(options);
        self.search(bytes, options, &names, chunk, cx);
        let Names { host_name, fqdn, vendor_class, client_id } = names;
        let lease = Lease {
            message: options.message(),
            host_name: host_name.map(|n| cx.name(&n)),
            fqdn: fqdn.map(|n| cx.name(&n)),
            vendor_class: vendor_class.map(|n| cx.text(&n)),
            client_id: match client_id {
                None => ClientId::None,
                // As it is (type 1), or inside a DUID (type 255, RFC 4361).
                Some(id) if mac.0 != [0; 6] && id.windows(6).any(|w| w == mac.0) => ClientId::HardwareAddress,
                Some(_) => ClientId::Other,
            },
            mac: mac.into(),
            parameters: options.joined(option::PARAMETERS).unwrap_or_default(),
        };
        if self.said.len() < MOST_LEASES && !self.said.contains(&lease) {
            self.said.push(lease.clone());
            cx.see(lease);
        }
    }

    /// Searches what a message says of the client, and what no line tells: the other options, the fields for a server's name and a file, and
    /// what stands behind the end.
    fn search(&self, bytes: &[u8], options: &Options<'_>, names: &Names, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        let origin = Origin { offset: OPTIONS as u64, len: (bytes.len() - OPTIONS) as u64, frame: chunk.frame, time: chunk.time };
        let spot = |place| Spot { place: Place::Of(place), dir: chunk.dir, layer: self.layer, from: From::Decoded(origin), chain: &[] };
        let said = [
            ("dhcp.host-name", &names.host_name),
            ("dhcp.fqdn", &names.fqdn),
            ("dhcp.vendor-class", &names.vendor_class),
            ("dhcp.client-id", &names.client_id),
        ];
        for (place, value) in said {
            if let Some(value) = value {
                cx.search_name(&spot(place), value);
            }
        }
        let mut done: [bool; 256] = [false; 256];
        for code in [option::HOST_NAME, option::FQDN, option::VENDOR_CLASS, option::CLIENT_ID] {
            done[usize::from(code)] = true;
        }
        // What the protocol fixes: lease times, addresses, kinds of messages, codes.
        for code in [option::OVERLOAD, option::MESSAGE, option::PARAMETERS] {
            done[usize::from(code)] = true;
        }
        for (code, _) in &options.list {
            if !std::mem::replace(&mut done[usize::from(*code)], true)
                && let Some(data) = options.joined(*code)
            {
                let code = code.to_string();
                cx.search_whole(&Spot { place: Place::Field("dhcp.option:", code.as_bytes()), ..spot("dhcp.option") }, &data);
            }
        }
        // RFC 2131 §2: both are strings with a zero at their end, if they are no options.
        for (place, range) in [("dhcp.sname", 44..108), ("dhcp.file", 108..236)] {
            let field = bytes.get(range).unwrap_or_default();
            if field.iter().any(|b| *b != 0) {
                cx.search_whole(&spot(place), field);
            }
        }
        if options.tail.iter().any(|b| *b != 0) {
            cx.search_whole(&spot("dhcp.tail"), options.tail);
        }
    }

    /// An answer: an acknowledged address belongs to the hardware address it names.
    fn server(&mut self, bytes: &[u8], options: &Options<'_>, cx: &mut Cx<'_>) {
        let field = |at: usize| bytes.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok()).map(Ipv4Addr::from);
        // `yiaddr`, or `ciaddr` in the answer to an INFORM.
        let given = field(16).filter(|a| !a.is_unspecified()).or_else(|| field(12).filter(|a| !a.is_unspecified()));
        let mac = hardware(bytes);
        if let Some(ip) = given
            && options.message() == ACK
            && mac.0 != [0; 6]
        {
            let fact = Neighbour { mac: mac.into(), ip: IpAddr::V4(ip), source: NeighbourSource::Dhcp };
            if self.given.len() < MOST_LEASES && !self.given.contains(&fact) {
                self.given.push(fact.clone());
                cx.neighbour(fact);
            }
        }
    }
}

/// What a client calls itself, and a server repeats.
struct Names {
    host_name: Option<Vec<u8>>,
    fqdn: Option<Vec<u8>>,
    vendor_class: Option<Vec<u8>>,
    client_id: Option<Vec<u8>>,
}

impl Names {
    fn of(options: &Options<'_>) -> Names {
        Names {
            host_name: options.text(option::HOST_NAME),
            fqdn: options.joined(option::FQDN).and_then(|data| domain(&data)),
            vendor_class: options.text(option::VENDOR_CLASS),
            client_id: options.joined(option::CLIENT_ID),
        }
    }
}

/// `chaddr`, when it is an Ethernet address.
fn hardware(bytes: &[u8]) -> Mac {
    match (bytes.get(1..3), bytes.get(28..34).and_then(|b| <[u8; 6]>::try_from(b).ok())) {
        (Some([_, 6]), Some(mac)) => Mac(mac),
        _ => Mac([0; 6]),
    }
}

/// The options of a message, in order, those in the overloaded fields included (RFC 2132 §9.3).
struct Options<'a> {
    list: Vec<(u8, &'a [u8])>,
    broken: bool,
    /// What stands behind the end of the options.
    tail: &'a [u8],
}

impl<'a> Options<'a> {
    fn read(bytes: &'a [u8]) -> Options<'a> {
        let mut out = Options { list: Vec::new(), broken: false, tail: &[] };
        out.tail = out.area(bytes.get(OPTIONS..).unwrap_or_default());
        let overload = out.first(option::OVERLOAD).and_then(|o| o.first()).copied().unwrap_or(0);
        if overload & 1 != 0 {
            out.area(bytes.get(108..236).unwrap_or_default());
        }
        if overload & 2 != 0 {
            out.area(bytes.get(44..108).unwrap_or_default());
        }
        out
    }

    /// Reads one area; hands back what stands behind its end.
    fn area(&mut self, mut rest: &'a [u8]) -> &'a [u8] {
        while let [code, tail @ ..] = rest {
            match code {
                0 => rest = tail,
                255 => return tail,
                _ => {
                    let Some((len, after)) = tail.split_first() else {
                        self.broken = true;
                        return rest;
                    };
                    let len = usize::from(*len);
                    self.broken |= after.len() < len;
                    let (data, next) = after.split_at(len.min(after.len()));
                    self.list.push((*code, data));
                    rest = next;
                }
            }
        }
        rest
    }

    fn first(&self, code: u8) -> Option<&'a [u8]> {
        self.list.iter().find(|(c, _)| *c == code).map(|(_, data)| *data)
    }

    /// An option, its parts put together (RFC 3396).
    fn joined(&self, code: u8) -> Option<Vec<u8>> {
        let mut parts = self.list.iter().filter(|(c, _)| *c == code).map(|(_, data)| *data);
        let mut out = parts.next()?.to_vec();
        parts.for_each(|p| out.extend_from_slice(p));
        Some(out).filter(|o| !o.is_empty())
    }

    fn text(&self, code: u8) -> Option<Vec<u8>> {
        let mut out = self.joined(code)?;
        while out.last() == Some(&0) {
            out.pop();
        }
        Some(out).filter(|o| !o.is_empty())
    }

    fn message(&self) -> u8 {
        self.first(option::MESSAGE).and_then(|m| m.first()).copied().unwrap_or(0)
    }
}

/// The name in option 81 (RFC 4702 §2): three bytes, then wire labels (flag E) or plain ASCII.
fn domain(data: &[u8]) -> Option<Vec<u8>> {
    let [flags, _, _, name @ ..] = data else { return None };
    if flags & 0x04 == 0 {
        return Some(name.to_vec()).filter(|n| !n.is_empty());
    }
    labels(name)
}

/// The name in wire labels, as far as they go.
pub(super) fn labels(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while let [len @ 1..=63, tail @ ..] = rest {
        let (label, after) = tail.split_at(usize::from(*len).min(tail.len()));
        if !out.is_empty() {
            out.push(b'.');
        }
        out.extend_from_slice(label);
        rest = after;
    }
    Some(out).filter(|o| !o.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use policies::Time;
    use proptest::prelude::*;

    use super::*;
    use crate::flow::{Dir, FlowKey, Transport};
    use crate::observation::Observation;
    use crate::pipeline::{Out, Pipeline, Tools};

    const MAC: [u8; 6] = [0x3c, 0x07, 0x54, 1, 2, 3];

    fn message(op: u8, options: &[&[u8]]) -> Vec<u8> {
        let mut out = vec![0; OPTIONS];
        out[..3].copy_from_slice(&[op, 1, 6]);
        out[16..20].copy_from_slice(&[192, 168, 1, 7]);
        out[28..34].copy_from_slice(&MAC);
        out[236..240].copy_from_slice(&COOKIE);
        for option in options {
            out.extend_from_slice(option);
        }
        out
    }

    fn run(bytes: &[u8]) -> Vec<Observation> {
        run_with(Tools::default(), bytes)
    }

    fn run_with(tools: Tools, bytes: &[u8]) -> Vec<Observation> {
        crate::dissect::testing::datagram(tools, ("0.0.0.0:68", "255.255.255.255:67"), bytes)
    }

    #[track_caller]
    fn lease(options: &[&[u8]], expect: (u8, Option<&str>, Option<&str>, ClientId)) {
        let seen = run(&message(1, options));
        let leases: Vec<_> = seen.iter().filter_map(|o| if let Observation::Lease(l) = o { Some(l) } else { None }).collect();
        let [lease] = leases[..] else { panic!("{} leases", leases.len()) };
        let text = |t: &Option<crate::text::Text>| t.as_ref().map(|t| t.as_str().to_owned());
        assert_eq!((lease.message, text(&lease.host_name).as_deref(), text(&lease.fqdn).as_deref(), lease.client_id), expect);
        assert_eq!(lease.mac, Mac(MAC).into());
    }

    #[test]
    fn clients() {
        let id = [&[61, 7, 1][..], &MAC].concat();
        lease(&[&[53, 1, 3, 12, 5], b"annas", &id, &[255]], (3, Some("annas"), None, ClientId::HardwareAddress));
        lease(&[&[0, 0, 53, 1, 1, 61, 3, 0, 9, 9, 255]], (1, None, None, ClientId::Other));
        // RFC 3396: a long option in parts.
        lease(&[&[12, 2], b"an", &[12, 3], b"nas", &[255]], (0, Some("annas"), None, ClientId::None));
        lease(&[&[81, 8, 0, 0, 0], b"a.lan", &[255]], (0, None, Some("a.lan"), ClientId::None));
        lease(&[&[81, 10, 4, 0, 0, 1], b"a", &[3], b"lan", &[0, 255]], (0, None, Some("a.lan"), ClientId::None));
        // Cut off.
        lease(&[&[12, 9], b"ann"], (0, Some("ann"), None, ClientId::None));
    }

    #[test]
    fn every_part_of_a_message_is_searched() {
        use crate::dissect::testing::{seeking, told};
        let found = |message: &[u8]| told(&run_with(seeking(&[(policies::IdentifierType::Imei, "490154203237518")]), message));
        let value: &[u8] = b"490154203237518";
        for code in [12, 43, 60, 61, 77, 124, 224] {
            let place = match code {
                12 => "dhcp.host-name".to_owned(),
                60 => "dhcp.vendor-class".to_owned(),
                61 => "dhcp.client-id".to_owned(),
                n => format!("dhcp.option:{n}"),
            };
            assert_eq!(found(&message(1, &[&[53, 1, 3, code, 15], value, &[255]])), [place]);
        }
        // RFC 3396: in two parts, with another option between them.
        assert_eq!(found(&message(1, &[&[43, 7], &value[..7], &[53, 1, 3, 43, 8], &value[7..], &[255]])), ["dhcp.option:43"]);
        assert_eq!(found(&message(1, &[&[53, 1, 3, 255, 0, 0], value])), ["dhcp.tail"]);
        for (at, place) in [(44, "dhcp.sname"), (108, "dhcp.file")] {
            let mut bytes = message(1, &[&[53, 1, 3, 255]]);
            bytes[at..at + 15].copy_from_slice(value);
            assert_eq!(found(&bytes), [place]);
        }
        assert_eq!(found(&message(1, &[&[53, 1, 3, 255, 0, 0, 0]])), [""; 0]);
        for (code, place) in [(12, "dhcp.host-name"), (43, "dhcp.option:43"), (61, "dhcp.client-id")] {
            let answer = message(2, &[&[53, 1, 5, code, 15], value, &[255]]);
            assert_eq!(found(&answer), [place], "what a server says");
            let seen = run_with(seeking(&[(policies::IdentifierType::Imei, "490154203237518")]), &answer);
            let mut directions = seen.iter().filter_map(|o| if let Observation::Hit(hit) = o { Some(hit.direction) } else { None });
            assert!(directions.all(|direction| direction == crate::observation::HitDirection::In));
        }
    }

    /// A device named by its address speaks before it has one: what it says first is its own once it asks for that address.
    #[test]
    fn a_device_without_an_address_is_known_by_the_one_it_asks_for() {
        let told = "192.168.1.7".parse().unwrap();
        let side = |requests: &[Vec<u8>]| {
            let key = FlowKey::new(0, 1);
            let (a, b) = ("0.0.0.0:68".parse().unwrap(), "255.255.255.255:67".parse().unwrap());
            let ends = Ends { transport: Transport::Udp, a, b, a_mac: Some(Mac(MAC)), b_mac: None, from_start: true };
            let mut pipeline = Pipeline::new(Arc::new(Tools { told: vec![crate::pipeline::Told::Ip(told)], ..Tools::default() }));
            let mut out: Vec<Out> = Vec::new();
            pipeline.open(key, &ends, Time(0), 1, &mut out);
            for (frame, bytes) in (1..).zip(requests) {
                let chunk = Chunk { flow: key, dir: Dir::Out, unit: Unit::Datagram, layer: Layer::Wire, time: Time(0), frame, bytes };
                pipeline.chunk(chunk, &mut out);
            }
            pipeline.close(key, FlowEnd::Idle, &Counts::default(), Time(9), 9, &mut out);
            let seen = out.into_iter().filter_map(|o| if let Out::Seen(draft) = o { Some((draft.frame, draft.seen)) } else { None });
            let (mut side, mut leases) = (None, Vec::new());
            for (frame, seen) in seen {
                match seen {
                    Observation::Bound(bound) => side = bound.side,
                    Observation::Lease(_) => leases.push(frame),
                    _ => {}
                }
            }
            (side, leases)
        };
        let discover = message(1, &[&[53, 1, 1, 12, 5], b"annas", &[255]]);
        let asks = |last| message(1, &[&[53, 1, 3, 50, 4, 192, 168, 1, last, 12, 5], b"annas", &[255]]);
        assert_eq!(side(&[discover.clone(), asks(7)]), (Some(Dir::Out), vec![1, 2]));
        assert_eq!(side(&[discover.clone(), asks(9)]), (None, vec![1, 2]), "another's");
        assert_eq!(side(std::slice::from_ref(&discover)), (None, vec![1]));
        let mut renews = discover.clone();
        renews[12..16].copy_from_slice(&[192, 168, 1, 7]);
        assert_eq!(side(&[renews]).0, Some(Dir::Out));
        let many: Vec<_> = (0..40).map(|_| discover.clone()).chain([asks(7)]).collect();
        assert_eq!(side(&many).0, None, "no more are kept than a client sends");
    }

    #[test]
    fn an_acknowledged_address_is_bound() {
        let bound = |options: &[&[u8]]| run(&message(2, options)).iter().filter(|o| matches!(o, Observation::Neighbour(_))).count();
        assert_eq!(bound(&[&[53, 1, 5, 255]]), 1);
        assert_eq!(bound(&[&[53, 1, 2, 255]]), 0);
        assert_eq!(bound(&[&[53, 1, 6, 255]]), 0);
    }

    proptest! {
        #[test]
        fn hostile(tail in prop::collection::vec(any::<u8>(), 0..300), op in 0u8..4) {
            run(&message(op, &[&tail]));
        }
    }
}
