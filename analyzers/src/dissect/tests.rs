//! What is said of conversations that are not what they seem: clear bytes where something sealed is expected, starts in odd places.
//!
//! Long, for every protocol is talked through the same conversation, told in one way.
#![allow(clippy::unwrap_used, clippy::needless_for_each, reason = "tests")]

use std::sync::Arc;

use policies::{IdentifierType, Time};

use crate::chunk::{Chunk, Layer, Unit};
use crate::dissect::quic;
use crate::dissect::search::WINDOWS;
use crate::dissect::testing::{connection, seeking};
use crate::encode::unhex;
use crate::flow::{Counts, Dir, Ends, FlowEnd, FlowKey, Transport};
use crate::leak::{Engine, Seed};
use crate::observation::Observation;
use crate::pipeline::{Out, Pipeline, Tools};

use Dir::{Back, Out as Sent};

const KEY: FlowKey = FlowKey::new(0, 1);
/// What is planted in all of these.
const SERIAL: &str = "R58M12ABCDE";

struct Talked {
    pipeline: Pipeline,
    out: Vec<Out>,
    offset: [u64; 2],
    transport: Transport,
    frame: u64,
}

impl Talked {
    fn new(transport: Transport, port: u16) -> Talked {
        let seed = Seed { name: "serial".into(), kind: IdentifierType::Serial, value: SERIAL.into() };
        let tools = Tools { engine: Some(Arc::new(Engine::new([seed], &[7; 32]))), ..Tools::default() };
        let mut pipeline = Pipeline::new(Arc::new(tools));
        let mut out = Vec::new();
        let (a, b) = ("192.168.1.7:50000".parse().unwrap(), std::net::SocketAddr::new("203.0.113.9".parse().unwrap(), port));
        pipeline.open(KEY, &Ends { transport, a, b, a_mac: None, b_mac: None, from_start: true }, Time(0), 1, &mut out);
        Talked { pipeline, out, offset: [0; 2], transport, frame: 1 }
    }

    fn says(&mut self, dir: Dir, bytes: &[u8]) {
        let offset = self.offset[dir.index()];
        let unit = if matches!(self.transport, Transport::Udp | Transport::Icmp) { Unit::Datagram } else { Unit::Stream { offset } };
        self.offset[dir.index()] += bytes.len() as u64;
        self.frame += 1;
        let (time, frame) = (Time(self.frame as i64), self.frame);
        self.pipeline.chunk(Chunk { flow: KEY, dir, unit, layer: Layer::Wire, time, frame, bytes }, &mut self.out);
    }

    /// A line for every hit, request, handshake, and for what was not read.
    fn close(mut self) -> Vec<String> {
        let counts = Counts { fin: [true, true], ..Counts::default() };
        self.pipeline.close(KEY, FlowEnd::Fin, &counts, Time(99), 99, &mut self.out);
        let told = |seen| match seen {
            Observation::Hit(h) => Some(format!("hit {} {:?} {:?}", h.place, h.layer, h.direction)),
            Observation::Request(r) => Some(format!("{} {} {:?}", r.method, r.url, r.status)),
            Observation::Hello(h) => Some(format!("hello {}", h.sni.as_ref().map_or("-", |s| s.as_str()))),
            Observation::Served(s) => {
                let refused = if s.refused { " refused" } else { "" };
                let (version, chain, group) = (s.version, s.chain.len(), s.group);
                Some(format!("served {version:x} chain {chain} group {group:?} without hello {}{refused}", s.without_hello))
            }
            Observation::Bound(b) => b.peer.name.map(|name| format!("bound {name}")),
            Observation::Unparsed(u) => Some(format!("unparsed {} {:?} {}", u.what.word(), u.reason, u.bytes)),
            Observation::Undecrypted(u) => {
                let unseen = if u.choice_unseen { " choice unseen" } else { "" };
                Some(format!("undecrypted {} {:?} {}{unseen}", u.protocol.word(), u.reason, u.bytes))
            }
            Observation::Flow(f) => {
                let c = f.coverage;
                Some(format!("{} {}+{}+{}", f.app.word(), c.analysed, c.encrypted, c.unparsed))
            }
            _ => None,
        };
        self.out.into_iter().filter_map(|o| if let Out::Seen(draft) = o { told(draft.seen) } else { None }).collect()
    }
}

#[track_caller]
fn check(transport: Transport, port: u16, said: &[(Dir, &[u8])], expect: &[&str]) {
    let mut talked = Talked::new(transport, port);
    said.iter().for_each(|(dir, bytes)| talked.says(*dir, bytes));
    assert_eq!(talked.close(), expect);
}

/// Bytes that look sealed.
fn sealed(first: u8, len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::once(first).chain(std::iter::repeat_with(&mut next).take(len - 1)).collect()
}

/// The port alone makes nothing QUIC: text is not, and what may be is searched until a header says so.
#[test]
fn clear_datagrams_on_quics_port() {
    let text = format!("ID serial={SERIAL} and more");
    let hit = "hit udp.datagram Wire Out";
    check(Transport::Udp, 443, &[(Sent, text.as_bytes())], &[hit, "unparsed unknown Unknown 30", "unknown 0+0+30"]);
    let short = sealed(0x51, 40);
    check(Transport::Udp, 443, &[(Sent, &short)], &["undecrypted quic NoHandshake 40", "quic 0+40+0"]);
    check(
        Transport::Udp,
        443,
        &[(Sent, &short), (Sent, text.as_bytes()), (Back, &short)],
        &[hit, "unparsed unknown Unknown 30", "undecrypted quic NoHandshake 80", "quic 0+80+30"],
    );
    // Not text, and not sealed either: found all the same.
    let mut mixed = sealed(0x42, 60);
    mixed.extend_from_slice(SERIAL.as_bytes());
    check(Transport::Udp, 443, &[(Sent, &mixed)], &[hit, "undecrypted quic NoHandshake 71", "quic 0+71+0"]);
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3], &(body.len() as u16).to_be_bytes()[..], body].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32).to_be_bytes()[1..], body].concat()
}

fn vec16(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u16).to_be_bytes()[..], body].concat()
}

/// A ClientHello's body with a name and one more extension.
fn hello_body(name: &str, kind: u16, more: &[u8]) -> Vec<u8> {
    let sni = vec16(&[&[0][..], &vec16(name.as_bytes())].concat());
    let extensions = [&[0, 0][..], &vec16(&sni), &kind.to_be_bytes(), &vec16(more)].concat();
    [&[3, 3][..], &[7; 32], &[0, 0, 2, 0xc0, 0x2f, 1, 0], &vec16(&extensions)].concat()
}

fn hello(name: &str) -> Vec<u8> {
    record(22, &message(1, &hello_body(name, 23, &[])))
}

/// The flight of a server that speaks TLS 1.2: its hello, a certificate, the key exchange in group 29, and the end.
fn flight(certificate: &[u8]) -> Vec<u8> {
    let vec24 = |body: &[u8]| message(0, body)[1..].to_vec();
    let hello = [&[3, 3][..], &[8; 32], &[0, 0xc0, 0x2f, 0]].concat();
    let exchange = [&[3, 0, 29, 32][..], &[9; 32], &[4, 1, 0, 0]].concat();
    [
        record(22, &message(2, &hello)),
        record(22, &message(11, &vec24(&vec24(certificate)))),
        record(22, &message(12, &exchange)),
        record(22, &message(14, &[])),
    ]
    .concat()
}

/// What follows on a connection that has stopped to be TLS is read as any other, or at least searched.
#[test]
fn tls_that_turns_clear() {
    let hello = hello("a.test");
    let alert = record(21, &[2, 40]);
    let get = format!("GET /x?id={SERIAL} HTTP/1.1\r\nHost: b.test\r\n\r\n");
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let clear = ["bound a.test", "hello a.test", "hit http.request.uri Wire Out", "GET http://b.test/x?id=‹11› ", "tls"];
    let said: &[&[(Dir, &[u8])]] = &[
        &[(Sent, &hello), (Back, &alert), (Sent, get.as_bytes()), (Back, ok)],
        // In the same segment, and cut anywhere.
        &[(Sent, &[&hello, get.as_bytes()].concat()), (Back, ok)],
        &[(Sent, &hello), (Sent, &get.as_bytes()[..3]), (Sent, &get.as_bytes()[3..]), (Back, ok)],
    ];
    for said in said {
        let mut talked = Talked::new(Transport::Tcp, 443);
        said.iter().for_each(|(dir, bytes)| talked.says(*dir, bytes));
        let told = talked.close();
        for line in clear {
            assert!(told.iter().any(|l| l.starts_with(line)), "{line} in {told:?}");
        }
        assert!(!told.iter().any(|l| l.contains("unparsed")), "{told:?}");
    }
    // Not HTTP: searched, and counted as broken.
    let text = format!("plain id={SERIAL} bye");
    let told = ["bound a.test", "hello a.test", "hit tcp.stream Wire Out", "unparsed tls Broken 24"];
    check(Transport::Tcp, 443, &[(Sent, &hello), (Sent, text.as_bytes())], &[&told[..], &["tls 71+0+24"]].concat());
    // In a record of application data that nothing can have sealed yet.
    let early = record(23, text.as_bytes());
    let told = ["bound a.test", "hello a.test", "hit tcp.stream Wire Out", "undecrypted tls NoKey 29 choice unseen", "tls 71+29+0"];
    check(Transport::Tcp, 443, &[(Sent, &hello), (Sent, &early)], &told);
    // What is sent early rests on nothing that the server chose now.
    let resuming = record(22, &message(1, &hello_body("a.test", 42, &[])));
    let told = ["bound a.test", "hello a.test", "undecrypted tls NoKey 29", "tls 71+29+0"];
    check(Transport::Tcp, 443, &[(Sent, &resuming), (Sent, &record(23, &sealed(9, 24)))], &told);
    let told = ["hit tcp.stream Wire Out", "undecrypted tls NoHandshake 29", "tls 0+29+0"];
    check(Transport::Tcp, 443, &[(Sent, &early)], &told);
    // In messages nobody knows, or a hello that breaks off.
    for odd in [message(99, text.as_bytes()), message(1, &[&[3, 3][..], &[7; 32], &[40], text.as_bytes()].concat())] {
        let mut talked = Talked::new(Transport::Tcp, 443);
        [&hello, &record(22, &odd)].iter().for_each(|bytes| talked.says(Sent, bytes));
        let told = talked.close();
        assert!(told.iter().any(|l| l.starts_with("hit tls.h")), "{told:?}");
    }
    // In a record that is too long to be one.
    let mut long = record(22, &vec![0; 20_000]);
    long.extend_from_slice(&[0; 50]);
    long[12_000..12_000 + SERIAL.len()].copy_from_slice(SERIAL.as_bytes());
    let mut talked = Talked::new(Transport::Tcp, 443);
    talked.says(Sent, &hello);
    talked.says(Sent, &long);
    assert!(talked.close().contains(&"hit tcp.stream Wire Out".to_owned()));
}

/// Few bytes of which nobody could tell what they begin are searched too.
#[test]
fn first_bytes_alone() {
    let text = format!("GET {SERIAL}");
    check(Transport::Tcp, 80, &[(Sent, text.as_bytes())], &["hit tcp.stream Wire Out", "unparsed unknown Unknown 15", "unknown 0+0+15"]);
}

/// What a device says in the clear of a handshake is searched; whose name a server's certificate bears is not the device's word.
#[test]
fn handshakes_are_searched() {
    let named = |body: &[u8]| record(22, &message(1, body));
    let place = |said: &[(Dir, &[u8])]| {
        let mut talked = Talked::new(Transport::Tcp, 443);
        said.iter().for_each(|(dir, bytes)| talked.says(*dir, bytes));
        talked.close().into_iter().filter(|l| l.starts_with("hit")).collect::<Vec<_>>()
    };
    let serial = SERIAL.as_bytes();
    let alpn = vec16(&[&[serial.len() as u8][..], serial].concat());
    assert_eq!(place(&[(Sent, &named(&hello_body(&format!("{SERIAL}.a.test"), 23, &[])))]), ["hit tls.sni Wire Out"]);
    assert_eq!(place(&[(Sent, &named(&hello_body("a.test", 16, &alpn)))]), ["hit tls.alpn Wire Out"]);
    assert_eq!(place(&[(Sent, &named(&hello_body("a.test", 41, &vec16(&vec16(serial)))))]), ["hit tls.psk-identity Wire Out"]);
    assert_eq!(place(&[(Sent, &named(&hello_body("a.test", 0x1234, serial)))]), ["hit tls.hello Wire Out"]);
    let own = record(22, &message(11, &[&[0, 0, 14, 0, 0, 11][..], serial].concat()));
    assert_eq!(place(&[(Sent, &hello("a.test")), (Back, &flight(&[5; 40])), (Sent, &own)]), ["hit tls.certificate Wire Out"]);
    let exchange = record(22, &message(16, &vec16(serial)));
    assert_eq!(place(&[(Sent, &hello("a.test")), (Back, &flight(&[5; 40])), (Sent, &exchange)]), ["hit tls.client-key-exchange Wire Out"]);
    // The server's certificate.
    assert_eq!(place(&[(Sent, &hello("a.test")), (Back, &flight(serial))]), <[&str; 0]>::default());
}

/// The directions of a connection in another order than they were sent in.
#[test]
fn an_answer_before_its_hello() {
    let trace = include_str!("../../tests/data/tls12-lab.txt");
    let pieces = trace.lines().filter_map(|line| line.split_once(' ')).filter(|(side, _)| matches!(*side, "c" | "s"));
    let pieces: Vec<(Dir, Vec<u8>)> = pieces.map(|(side, hex)| (if side == "c" { Sent } else { Back }, unhex(hex).unwrap())).collect();
    let told = |order: &[usize]| {
        let mut talked = Talked::new(Transport::Tcp, 443);
        order.iter().map(|n| &pieces[*n]).for_each(|(dir, bytes)| talked.says(*dir, bytes));
        talked.close()
    };
    let in_order: Vec<usize> = (0..pieces.len()).collect();
    let mut swapped = in_order.clone();
    swapped.swap(0, 1);
    assert_eq!((pieces[0].0, pieces[1].0), (Sent, Back));
    assert_eq!(told(&swapped), told(&in_order));
    assert!(told(&in_order).iter().any(|l| l.ends_with("chain 2 group Some(29) without hello false")), "{:?}", told(&in_order));
    // The flight in two, the hello between them.
    let (hello, flight) = (hello("a.test"), flight(&[5; 40]));
    let (first, rest) = flight.split_at(60);
    let served = "served 303 chain 1 group Some(29) without hello false refused";
    check(Transport::Tcp, 443, &[(Back, first), (Sent, &hello), (Back, rest)], &["bound a.test", "hello a.test", served, "tls 231+0+0"]);
    // None ever.
    check(Transport::Tcp, 443, &[(Back, &flight)], &["served 303 chain 1 group Some(29) without hello true refused", "tls 160+0+0"]);
}

/// TLS in a proxy's tunnel has a client, as it has anywhere; what is no TLS is told by the name that was asked for.
#[test]
fn tls_in_a_tunnel() {
    let connect = b"CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test:443\r\n\r\n";
    let bound = |inside: &[u8]| {
        let mut talked = Talked::new(Transport::Tcp, 3128);
        talked.says(Sent, connect);
        talked.says(Back, b"HTTP/1.1 200 Connection established\r\n\r\n");
        inside.chunks(9).for_each(|piece| talked.says(Sent, piece));
        let counts = Counts::default();
        talked.pipeline.close(KEY, FlowEnd::Fin, &counts, Time(99), 99, &mut talked.out);
        let seen = || talked.out.iter().filter_map(|o| if let Out::Seen(draft) = o { Some(&draft.seen) } else { None });
        let asked = seen().filter(|seen| matches!(seen, Observation::Request(r) if r.method == "CONNECT" && r.status == Some(200))).count();
        let bound = seen().find_map(|seen| if let Observation::Bound(bound) = seen { Some(bound) } else { None }).unwrap();
        (bound.peer.name.as_ref().unwrap().to_string(), bound.client.is_some(), asked)
    };
    assert_eq!(bound(&hello("a.test")), ("a.test".to_owned(), true, 1));
    assert_eq!(bound(b"\x01 nobody knows what this is, and it goes on for a while"), ("shop.test".to_owned(), false, 1));
    assert_eq!(bound(b""), ("shop.test".to_owned(), false, 1));
}

/// What a server chose is what a handshake ended on only where the client went on with it.
#[test]
fn an_answer_that_the_client_refuses() {
    let (hello, flight) = (hello("a.test"), flight(&[5; 40]));
    let served = |after: &[Vec<u8>]| {
        let mut talked = Talked::new(Transport::Tcp, 443);
        talked.says(Sent, &hello);
        talked.says(Back, &flight);
        after.iter().for_each(|bytes| talked.says(Sent, bytes));
        talked.close().into_iter().filter(|l| l.starts_with("served")).collect::<Vec<_>>()
    };
    let (alert, exchange, change) = (record(21, &[2, 70]), record(22, &message(16, &[7; 66])), record(20, &[1]));
    let (taken, refused) =
        ("served 303 chain 1 group Some(29) without hello false", "served 303 chain 1 group Some(29) without hello false refused");
    assert_eq!(served(&[]), [refused]);
    assert_eq!(served(std::slice::from_ref(&alert)), [refused]);
    // A farewell after nothing is no more than a close.
    assert_eq!(served(&[record(21, &[1, 0])]), [refused]);
    assert_eq!(served(std::slice::from_ref(&exchange)), [taken]);
    assert_eq!(served(std::slice::from_ref(&change)), [taken]);
    assert_eq!(served(&[exchange.clone(), change, alert.clone()]), [taken]);
    assert_eq!(served(&[exchange, alert]), [taken]);
}

/// What text of a protocol nobody knows calls a password is one, also behind bytes that are no text.
#[test]
fn passwords_in_text_of_unknown_protocols() {
    let hits = |bytes: &[u8]| {
        let mut talked = Talked::new(Transport::Tcp, 3333);
        talked.says(Sent, bytes);
        talked.close().iter().filter(|line| line.starts_with("hit ")).count()
    };
    let json = br#"{"id":1,"method":"login","params":{"login":"4AfUxE9sW","pass":"hunter2-Xy9","agent":"miner"}}"#;
    assert!(hits(json) > 0);
    assert!(hits(b"CONNECT {\"verbose\":false,\"user\":\"bob\",\"password\":\"hunter2-Xy9\"}\r\nPING\r\n") > 0);
    assert_eq!(hits(b"there is nothing to see in here, whatever one looks for\r\n"), 0);
    assert_eq!(hits(&[&[0u8, 1, 2, 3, 4, 5, 6, 7].repeat(8)[..], json].concat()), hits(json));
}

/// What rsync packs nobody takes apart; what it does not, is searched as it is.
#[test]
fn what_rsync_packs_is_not_searched() {
    let greeting = &b"@RSYNCD: 32.0 md5\n"[..];
    for (options, expect) in [
        (&b"-logDtprze.iLs"[..], &["unparsed unknown Unknown 75", "unparsed unknown Limit 7", "unknown 0+0+75"][..]),
        (b"-logDtpr0e.iLs", &["unparsed unknown Unknown 75", "unknown 0+0+75"]),
    ] {
        let asks = [&b"m\n--server\0"[..], options, b"\0.\0m/\0\0"].concat();
        check(Transport::Tcp, 873, &[(Sent, greeting), (Back, greeting), (Sent, &asks), (Sent, b"\x28\xb5\x2f\xfd\0\0\0")], expect);
    }
}

/// What lines of datagrams on a port say of hits and of bytes that were not searched.
fn hits_and_holes(port: u16, said: &[Vec<u8>]) -> (usize, bool) {
    let mut talked = Talked::new(Transport::Udp, port);
    said.iter().for_each(|bytes| talked.says(Sent, bytes));
    let lines = talked.close();
    (lines.iter().filter(|line| line.starts_with("hit ")).count(), lines.iter().any(|line| line.contains("Limit")))
}

/// An error of ICMP answers what somebody else sent; an echo is the device's own.
#[test]
fn errors_answer_somebody() {
    for (bytes, called) in [(&[3u8, 3, 0, 0, 0, 0, 0, 0][..], true), (&[11, 0, 0, 0, 0, 0, 0, 0], true), (&[8, 0, 0, 0, 0, 0, 0, 0], false)]
    {
        let mut talked = Talked::new(Transport::Icmp, 0);
        talked.says(Sent, bytes);
        talked.says(Sent, &[8, 0, 0, 0, 0, 0, 0, 0]);
        talked.pipeline.close(KEY, FlowEnd::Idle, &Counts::default(), Time(99), 99, &mut talked.out);
        let flow = talked.out.iter().find_map(|out| match out {
            Out::Seen(draft) => {
                if let Observation::Flow(flow) = &draft.seen {
                    Some(flow.called)
                } else {
                    None
                }
            }
            _ => None,
        });
        assert_eq!(flow, Some(called), "{bytes:?}");
    }
}

/// What is packed in a way that nobody undoes was not searched.
#[test]
fn what_stays_packed_is_a_hole() {
    for (bytes, hole) in
        [(&b"\xfd7zXZ\0\0\x04rest"[..], true), (b"BZh91AY&SYrest", true), (b"7z\xbc\xaf\x27\x1crest", true), (b"BZh9 is a word", false)]
    {
        assert_eq!(hits_and_holes(5000, &[bytes.to_vec()]), (0, hole), "{}", bytes.escape_ascii());
    }
}

/// GELF in chunks is joined, in whatever order they come; what is not whole was not searched.
#[test]
fn chunks_of_a_log_message() {
    use std::io::Write as _;
    let noise: String = sealed(7, 400).iter().map(|b| char::from(b'a' + b % 16)).collect();
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    to.write_all(format!(r#"{{"version":"1.1","short_message":"{noise}","_serial":"{SERIAL}"}}"#).as_bytes()).unwrap();
    let packed = to.finish().unwrap();
    let chunks = |id: &[u8; 8]| -> Vec<Vec<u8>> {
        let parts: Vec<&[u8]> = packed.chunks(80).collect();
        (0u8..).zip(&parts).map(|(n, part)| [&[0x1e, 0x0f][..], id, &[n, parts.len() as u8], part].concat()).collect()
    };
    let one = chunks(b"ABCDEFGH");
    assert!(one.len() >= 4);
    let turned: Vec<Vec<u8>> = one.iter().rev().cloned().collect();
    let mixed: Vec<Vec<u8>> = one.iter().zip(&chunks(b"IJKLMNOP")).flat_map(|(a, b)| [a.clone(), b.clone(), a.clone()]).collect();
    for port in [12201, 40000] {
        assert_eq!(hits_and_holes(port, &one), (1, false));
        assert_eq!(hits_and_holes(port, &turned), (1, false));
        assert_eq!(hits_and_holes(port, &mixed), (1, false));
        assert_eq!(hits_and_holes(port, &one[..one.len() - 1]), (0, true));
        assert_eq!(hits_and_holes(port, &one[1..]), (0, true));
    }
    // One alone may be anything where nobody expects it.
    assert_eq!((hits_and_holes(12201, &one[1..2]), hits_and_holes(40000, &one[1..2])), ((0, true), (0, false)));
    let many: Vec<Vec<u8>> = (0u64..200).flat_map(|n| chunks(&n.to_be_bytes()).into_iter().take(2)).collect();
    assert_eq!(hits_and_holes(40000, &many), (0, true));
    for other in [&b"\x1e\x0fABCDEFGH\x03\x02more"[..], b"\x1e\x0fABCDEFGH\0\x01more", b"\x1e\x0fABCDEFGH\0\x02"] {
        assert_eq!(hits_and_holes(12201, &[other.to_vec()]), (0, false), "{}", other.escape_ascii());
    }
}

/// CoAP with a body in blocks (RFC 7959) is joined; what is not whole was not searched.
#[test]
fn blocks_of_a_body() {
    let message = |id: u8, block: Option<u16>, payload: &[u8]| {
        let block = block.map_or(Vec::new(), |value| [&[0xd2, 0x03][..], &value.to_be_bytes()].concat());
        let body = if payload.is_empty() { Vec::new() } else { [&[0xff], payload].concat() };
        [&[0x41, 3, 0, id, id, 0xb1, b'x'][..], &block, &body].concat()
    };
    let body = format!(r#"{{"sn":"cam-1","serial":"{SERIAL}","more":"words"}}"#);
    let blocks = |first: u8, body: &str| -> Vec<Vec<u8>> {
        let parts: Vec<&[u8]> = body.as_bytes().chunks(16).collect();
        let more = |n: usize| if n + 1 < parts.len() { 8 } else { 0 };
        parts.iter().enumerate().map(|(n, part)| message(first + n as u8, Some((n << 4 | more(n)) as u16), part)).collect()
    };
    let all = blocks(1, &body);
    assert!(all.len() > 2 && all.iter().all(|block| !block.windows(SERIAL.len()).any(|w| w == SERIAL.as_bytes())));
    assert_eq!(hits_and_holes(5683, &all), (1, false));
    // Each sent twice, and the last once more; another body before.
    let twice: Vec<Vec<u8>> = all.iter().flat_map(|block| [block.clone(), block.clone()]).chain(all.last().cloned()).collect();
    assert_eq!(hits_and_holes(5683, &twice), (1, false));
    // Its first block says the same.
    let other = blocks(101, r#"{"sn":"cam-1","state":"all is as it should be here"}"#);
    assert_eq!(hits_and_holes(5683, &[other.clone(), all.clone()].concat()), (1, false));
    assert_eq!(hits_and_holes(5683, &other), (0, false));
    // The end is missing, the beginning, one between; and one begun anew.
    assert_eq!(hits_and_holes(5683, &all[..all.len() - 1]), (0, true));
    assert_eq!(hits_and_holes(5683, &all[1..]), (0, true));
    assert_eq!(hits_and_holes(5683, &[&all[..1], &all[2..]].concat()), (0, true));
    assert_eq!(hits_and_holes(5683, &[other[..2].to_vec(), all.clone()].concat()), (1, true));
    // Without blocks, or where one is all; blocks that are asked for; and what is no CoAP.
    for whole in [message(1, None, b"hello"), message(1, Some(0), b"hello"), message(1, Some(5 << 4), b""), sealed(0x41, 60)] {
        assert_eq!(hits_and_holes(5683, &[whole]), (0, false));
    }
    assert_eq!(hits_and_holes(40000, &all[1..2]), (0, false));
    // A number beyond all that is kept.
    assert_eq!(hits_and_holes(5683, &[message(1, Some(0xfff8), b"0123456789abcdef")]), (0, true));
}

/// However many values have a shape, they take no room from what is planted and from what is called a password; and what is not told is
/// counted.
#[test]
fn shapes_crowd_out_nothing_that_is_sure() {
    use crate::observation::Rank;
    let post = |body: &str| format!("POST /c HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let list = |what: &dyn Fn(u32) -> String, n: u32| (0..n).map(|n| what(n) + "\n").collect::<String>();
    let told = |said: &[String]| {
        let mut talked = Talked::new(Transport::Tcp, 80);
        said.iter().for_each(|text| talked.says(Sent, text.as_bytes()));
        talked.pipeline.close(KEY, FlowEnd::Fin, &Counts { fin: [true, true], ..Counts::default() }, Time(99), 99, &mut talked.out);
        let (mut ranks, mut limit) = ([0; Rank::COUNT], false);
        for out in talked.out {
            let Out::Seen(draft) = out else { continue };
            match draft.seen {
                Observation::Hit(hit) if hit.repeats == 0 => ranks[crate::observation::Kind::key(&hit).rank() as usize] += 1,
                Observation::Unparsed(u) => limit |= u.reason == crate::observation::NotParsed::Limit,
                _ => {}
            }
        }
        (ranks, limit)
    };
    let book = list(&|n| format!("user{n}@host{n}.example"), 300);
    let sure = format!("GET /x?serial={SERIAL} HTTP/1.1\r\nHost: shop.test\r\nAuthorization: Basic Ym9iOmh1bnRlcjItWHk5\r\n\r\n");
    assert_eq!(told(&[post(&list(&|n| format!("user{n}@host{n}.example"), 100)), sure.clone()]), ([101, 1, 1], false));
    assert_eq!(told(&[post(&format!("{book}{SERIAL}"))]), ([256, 0, 1], true));
    assert_eq!(told(&[post(&book), sure.clone()]), ([256, 1, 1], true));
    // Nor do passwords take the room of planted values; and a value that is planted at many places takes no other's.
    let words = list(&|n| format!("{{\"password\":\"hunter{n}-Xy9\"}}"), 300);
    assert_eq!(told(&[post(&words), sure.clone()]), ([1, 256, 1], true));
    let fields = list(&|n| format!("X-N{n}: {SERIAL}\r"), 300);
    let (ranks, limit) = told(&[format!("GET / HTTP/1.1\r\nHost: shop.test\r\n{fields}\r\n"), sure]);
    assert_eq!((ranks[1], ranks[2], limit), (1, 256, true));
}

/// However many values have a shape in what a peer packs into a protocol nobody knows, nothing is open about the device; in what the device packs,
/// it is.
#[test]
fn shapes_of_the_peer_leave_nothing_open() {
    use std::io::Write;
    let places: String = (0..900).map(|n| format!("<node lat=\"-31.{:07}\" lon=\"-64.{:07}\"/>\n", n * 7919, n * 6007)).collect();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(places.as_bytes()).unwrap();
    let answer = [&b"\x01\x06\0\x01"[..], &packed.finish().unwrap()].concat();
    let asks = &b"\x01\x01\0\x01\0\x08\0\0get tile 7 please\0\0"[..];
    for (packs, expect) in [(Back, false), (Sent, true)] {
        let other = if packs == Back { Sent } else { Back };
        let seen = connection(seeking(&[(IdentifierType::Serial, SERIAL)]), 9000, &[(other, asks), (packs, &answer)]);
        assert!(seen.iter().any(|o| matches!(o, Observation::Hit(hit) if hit.kind == IdentifierType::Position)), "they are found");
        let limit = seen.iter().any(|o| matches!(o, Observation::Unparsed(u) if u.reason == crate::observation::NotParsed::Limit));
        assert_eq!(limit, expect, "{packs:?}");
    }
}

/// A stream that is silent for long is taken apart as far as it came; what comes after it is kept afresh.
#[test]
fn a_stream_that_rests_is_taken_apart() {
    // Behind two codings, which only a whole message shows.
    let coded = crate::encode::hex(crate::encode::base64(format!("serial={SERIAL}").as_bytes()).as_bytes());
    let text = format!("hello there\r\nid {coded}\r\n");
    let hits = |talked: &Talked| talked.out.iter().filter(|o| matches!(o, Out::Sealed(_))).count();
    let mut talked = Talked::new(Transport::Tcp, 3333);
    talked.says(Sent, text.as_bytes());
    assert_eq!(hits(&talked), 0);
    for n in 1..3 {
        talked.pipeline.rest(KEY, Time(50), 2, &mut talked.out);
        assert_eq!(hits(&talked), 1, "{n}");
    }
    let other = crate::encode::hex(crate::encode::base64(format!("{SERIAL} again").as_bytes()).as_bytes());
    talked.says(Back, format!("hello there\r\nid {other}\r\n").as_bytes());
    talked.says(Sent, b"bye\r\n");
    let told = talked.close();
    assert_eq!(told.iter().filter(|line| line.starts_with("hit ")).count(), 2, "{told:?}");
    assert!(!told.iter().any(|line| line.contains("Streamed")), "{told:?}");
}

/// However many streams there are, no more of their beginnings is kept than a pipeline may; what is not taken apart is counted.
#[test]
fn beginnings_of_many_streams_are_bounded() {
    let mut talked = Talked::new(Transport::Tcp, 3333);
    let bytes = sealed(1, 60_000);
    let flow = |n: u64| FlowKey::new(0, n);
    let ends = |port: u16| {
        let (a, b) = (std::net::SocketAddr::new("192.168.1.7".parse().unwrap(), port), "203.0.113.9:3333".parse().unwrap());
        Ends { transport: Transport::Tcp, a, b, a_mac: None, b_mac: None, from_start: true }
    };
    let streamed = |talked: &Talked| {
        let unparsed = |o: &Out| match o {
            Out::Seen(draft) => match &draft.seen {
                Observation::Unparsed(u) if u.reason == crate::observation::NotParsed::Streamed => u.bytes,
                _ => 0,
            },
            _ => 0,
        };
        talked.out.iter().map(unparsed).sum::<u64>()
    };
    let many = 2..40;
    for n in many.clone() {
        talked.pipeline.open(flow(n), &ends(n as u16), Time(0), 1, &mut talked.out);
        let unit = Unit::Stream { offset: 0 };
        let chunk = Chunk { flow: flow(n), dir: Sent, unit, layer: Layer::Wire, time: Time(1), frame: 1, bytes: &bytes };
        talked.pipeline.chunk(chunk, &mut talked.out);
    }
    for n in many {
        talked.pipeline.close(flow(n), FlowEnd::Idle, &Counts::default(), Time(9), 9, &mut talked.out);
    }
    let kept = u64::from(WINDOWS) / 60_000;
    let told = streamed(&talked);
    assert!(told > 0 && told <= (38 - kept) * 60_000, "{told}");
    // All is given back.
    talked.says(Sent, &bytes);
    let before = streamed(&talked);
    talked.pipeline.close(KEY, FlowEnd::Idle, &Counts::default(), Time(9), 9, &mut talked.out);
    assert_eq!(streamed(&talked), before);
}

/// Hellos in as small records as one may send, and servers that leave before they were greeted.
#[test]
fn small_records() {
    let whole = message(1, &hello_body("a.test", 23, &[]));
    for first in [1, 2, 3, 5] {
        let (head, rest) = whole.split_at(first);
        for size in [1, 6, 7, 400] {
            let bytes = [record(22, head), record(22, rest)].concat();
            let mut talked = Talked::new(Transport::Tcp, 443);
            bytes.chunks(size).for_each(|piece| talked.says(Sent, piece));
            assert!(talked.close().contains(&"hello a.test".to_owned()), "{first} by {size}");
        }
    }
    for size in [1, 2, 7] {
        let mut talked = Talked::new(Transport::Tcp, 443);
        [21, 0, 0, 0, 2, 1, 0].chunks(size).for_each(|piece| talked.says(Back, piece));
        assert_eq!(talked.close(), ["tls 7+0+0"], "{size}");
    }
    check(Transport::Tcp, 443, &[(Back, &[21, 0, 0, 0, 9, 1, 0, 0])], &["unparsed unknown Unknown 8", "unknown 0+0+8"]);
}

/// DTLS: what it counts downwards, one association after the other between the same ports, and media beside it.
#[test]
fn dtls_associations() {
    let record = |version: u16, epoch: u16, kind: u8, body: &[u8]| {
        [&[kind][..], &version.to_be_bytes(), &epoch.to_be_bytes(), &[0; 6], &vec16(body)].concat()
    };
    let handshake = |version: u16, kind: u8, body: &[u8]| {
        let len = &(body.len() as u32).to_be_bytes()[1..];
        record(version, 0, 22, &[&[kind], len, &[0, 0], &[0; 3], len, body].concat())
    };
    let hello = |name: &str, random: u8, cookie: &[u8]| {
        let body = hello_body(name, 23, &[]);
        let cookie = [&[cookie.len() as u8][..], cookie].concat();
        handshake(0xfeff, 1, &[&[0xfe, 0xfd][..], &[random; 32], &[0], &cookie, &body[35..]].concat())
    };
    let server = |version: u16| handshake(version, 2, &[&version.to_be_bytes()[..], &[8; 32], &[0, 0xc0, 0x2f, 0]].concat());
    let (exchange, sealed) = (handshake(0xfefd, 16, &[7; 40]), record(0xfefd, 1, 23, &[3; 50]));
    let told = |said: &[(Dir, &[u8])]| {
        let mut talked = Talked::new(Transport::Udp, 4433);
        said.iter().for_each(|(dir, bytes)| talked.says(*dir, bytes));
        let mut told = talked.close();
        told.retain(|l| l.starts_with("hello") || l.starts_with("served") || l.starts_with("unparsed"));
        told
    };
    let (new, old) = ("served fefd chain 0 group None without hello false", "served feff chain 0 group None without hello false");
    let first = hello("a.test", 1, &[]);
    assert_eq!(
        told(&[(Sent, &first), (Sent, &hello("a.test", 1, b"cookie")), (Back, &server(0xfefd)), (Sent, &exchange)]),
        ["hello a.test", new]
    );
    let media = [0x80, 96, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9];
    let mut two: Vec<(Dir, &[u8])> = vec![(Sent, &first)];
    let (served, second, older) = (server(0xfefd), hello("b.test", 2, &[]), server(0xfeff));
    two.extend([(Back, &served[..]), (Sent, &exchange), (Sent, &sealed)]);
    two.extend(std::iter::repeat_n((Back, &media[..]), 100));
    two.extend([(Sent, &second[..]), (Back, &older), (Sent, &exchange)]);
    assert_eq!(told(&two), ["hello a.test", new, "hello b.test", old]);
    // Also with the same random.
    let again =
        [(Sent, &first[..]), (Back, &served), (Sent, &exchange), (Sent, &sealed), (Sent, &first), (Back, &older), (Sent, &exchange)];
    assert_eq!(told(&again), ["hello a.test", new, "hello a.test", old]);
    // Sealed records of an association whose answer was not seen, whatever comes after it between the same ports.
    let unseen = |said: &[(Dir, &[u8])]| {
        let mut talked = Talked::new(Transport::Udp, 4433);
        said.iter().for_each(|(dir, bytes)| talked.says(*dir, bytes));
        talked.close().iter().filter(|l| l.starts_with("undecrypted tls") && l.ends_with("choice unseen")).count()
    };
    assert_eq!((unseen(&two), unseen(&again), unseen(&[(Sent, &first)])), (0, 0, 0));
    assert_eq!((unseen(&[(Sent, &sealed)]), unseen(&[(Sent, &first), (Sent, &sealed)])), (1, 1));
    assert_eq!(unseen(&[&[(Sent, &sealed[..])], &again[..]].concat()), 1);
    let alert = record(0xfeff, 0, 21, &[2, 70]);
    let refused = format!("{old} refused");
    assert_eq!(told(&[(Sent, &first), (Back, &older), (Sent, &alert)]), ["hello a.test", &refused]);
    // Behind a datagram of a protocol that is known.
    let notice = b"NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nNT: upnp:rootdevice\r\n\r\n";
    let discover = [&[1, 1, 6][..], &[0; 25], &[2, 0, 0, 0, 0, 7], &[0; 202], &[0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255]].concat();
    for before in [&notice[..], &discover] {
        assert_eq!(told(&[(Sent, before), (Sent, &first), (Back, &older), (Sent, &exchange)]), ["hello a.test", old], "{before:?}");
    }
    // DTLS 1.3: the rest of the server's flight is sealed, and begins right behind its hello.
    let modern = |group: u16| {
        let share = [&[0, 51, 0, 36][..], &group.to_be_bytes(), &[0, 32], &[4; 32]].concat();
        let extensions = [&[0, 43, 0, 2, 0xfe, 0xfc][..], &share].concat();
        handshake(0xfefd, 2, &[&[0xfe, 0xfd][..], &[8; 32], &[0, 0x13, 0x01, 0], &vec16(&extensions)].concat())
    };
    let unified = [&[0x2e, 9, 9, 0, 40][..], &[0xa7; 40]].concat();
    let flight = [&modern(29)[..], &unified].concat();
    let mut talked = Talked::new(Transport::Udp, 4433);
    [(Sent, &first), (Back, &flight), (Sent, &unified)].iter().for_each(|(dir, bytes)| talked.says(*dir, bytes));
    let lines = talked.close();
    assert!(lines.contains(&"served fefc chain 0 group Some(29) without hello false".to_owned()), "{lines:?}");
    assert!(!lines.iter().any(|l| l.starts_with("odd") || l.starts_with("unparsed")), "{lines:?}");
    // Fragments in any order.
    let whole = &first[13..];
    let piece = |range: std::ops::Range<usize>| {
        let (at, len) = ((range.start as u32).to_be_bytes(), (range.len() as u32).to_be_bytes());
        record(0xfeff, 0, 22, &[&whole[..4], &[0, 0], &at[1..], &len[1..], &whole[12..][range]].concat())
    };
    let len = whole.len() - 12;
    let (head, tail) = (piece(0..40), piece(40..len));
    assert_eq!(told(&[(Sent, &tail), (Sent, &head), (Back, &older), (Sent, &exchange)]), ["hello a.test", old]);
    assert_eq!(told(&[(Sent, &tail), (Sent, &tail)]), [format!("unparsed tls Broken {len}")]);
    // A capture of both sides of a switch has every datagram twice.
    let twice = [(Sent, &head[..]), (Sent, &head), (Sent, &tail), (Sent, &tail), (Back, &older), (Back, &older), (Sent, &exchange)];
    assert_eq!(told(&twice), ["hello a.test", old]);
    // What no key can have sealed yet, what a suite leaves readable, and what is no record: all of it is searched.
    let bare = handshake(0xfefd, 2, &[&[0xfe, 0xfd][..], &[8; 32], &[0, 0xc0, 0x06, 0]].concat());
    let hits = |before: &[(Dir, &[u8])], words: &[u8]| {
        let mut talked = Talked::new(Transport::Udp, 4433);
        before.iter().for_each(|(dir, bytes)| talked.says(*dir, bytes));
        talked.says(Sent, words);
        talked.close().iter().filter(|l| l.starts_with("hit ")).count()
    };
    let agreed: [(Dir, &[u8]); 4] = [(Sent, &first), (Back, &served), (Sent, &exchange), (Sent, &sealed)];
    assert_eq!(hits(&agreed, &record(0xfefd, 1, 23, SERIAL.as_bytes())), 0, "sealed");
    assert_eq!(hits(&[(Sent, &first), (Back, &bare), (Sent, &exchange)], &record(0xfefd, 1, 23, SERIAL.as_bytes())), 1);
    assert_eq!(hits(&[(Sent, &first)], &record(0xfefd, 0, 23, SERIAL.as_bytes())), 1);
    assert_eq!(hits(&agreed, format!("{{\"serial\":\"{SERIAL}\"}}").as_bytes()), 1);
    assert_eq!(hits(&agreed, format!("<serial>{SERIAL}</serial>").as_bytes()), 1, "as a record of DTLS 1.3 begins");
    assert_eq!(hits(&agreed[..2], &handshake(0xfefd, 23, SERIAL.as_bytes())), 1);
    // RFC 7983: what finds the way through comes first, and goes on beside it.
    let stun = [&[0, 1, 0, 16, 0x21, 0x12, 0xa4, 0x42][..], &[5; 12], &[0, 6, 0, 11], SERIAL.as_bytes(), &[0]].concat();
    let mut talked = Talked::new(Transport::Udp, 3478);
    let said = [(Sent, &stun), (Back, &stun), (Sent, &first), (Back, &older), (Sent, &exchange), (Sent, &sealed), (Sent, &stun)];
    said.iter().for_each(|(dir, bytes)| talked.says(*dir, bytes));
    let lines = talked.close();
    assert_eq!(lines.iter().filter(|l| l.starts_with("hit udp.datagram Wire Out")).count(), 2, "{lines:?}");
    for line in ["hello a.test", old, "unparsed unknown NotBuilt 36"] {
        assert!(lines.iter().any(|l| l == line), "{line} in {lines:?}");
    }
}

/// Words of a client that no key can have sealed.
#[test]
fn readable_in_tls() {
    let record = |kind: u8, body: &[u8]| [&[kind, 3, 3][..], &(body.len() as u16).to_be_bytes(), body].concat();
    let message = |kind: u8, body: &[u8]| record(22, &[&[kind][..], &(body.len() as u32).to_be_bytes()[1..], body].concat());
    let server = |suite: u16, tail: &[u8]| message(2, &[&[3, 3][..], &[8; 32], &[0], &suite.to_be_bytes(), &[0], tail].concat());
    let modern = [0, 6, 0, 43, 0, 2, 3, 4];
    let (hello, ccs, words) = (hello("a.test"), record(20, &[1]), record(23, SERIAL.as_bytes()));
    let hits = |server: &[u8], client: &[&[u8]]| {
        let mut talked = Talked::new(Transport::Tcp, 443);
        talked.says(Sent, &hello);
        talked.says(Back, server);
        client.iter().for_each(|bytes| talked.says(Sent, bytes));
        talked.close().iter().filter(|l| l.starts_with("hit ")).count()
    };
    let old = server(0xc02f, &[]);
    assert_eq!(hits(&old, &[&words]), 1);
    assert_eq!(hits(&old, &[&record(24, SERIAL.as_bytes())]), 1, "a heartbeat (RFC 6520)");
    assert_eq!(hits(&old, &[&ccs, &words]), 0);
    assert_eq!(hits(&server(0x1301, &modern), &[&words]), 0);
    assert_eq!(hits(&server(0xc0b4, &modern), &[&words]), 1, "RFC 9150: signed and not sealed");
    assert_eq!(hits(&old, &[&message(23, SERIAL.as_bytes())]), 1, "SupplementalData (RFC 4680)");
    assert_eq!(hits(&old, &[&message(21, SERIAL.as_bytes())]), 1, "CertificateURL (RFC 6066)");
    // After much that nobody wanted: text, a request, another hello.
    let text = format!("{{\"serial\":\"{SERIAL}\",\"more\":\"words\"}}");
    let request = format!("GET /{SERIAL} HTTP/1.1\r\nHost: b.test\r\n\r\n");
    for (late, line) in [(text.as_bytes(), "hit tcp.stream Wire Out"), (request.as_bytes(), "GET http://b.test/"), (&hello, "hello a.test")]
    {
        let mut talked = Talked::new(Transport::Tcp, 443);
        for (dir, bytes) in [(Sent, &hello), (Back, &old), (Sent, &ccs), (Sent, &words)] {
            talked.says(dir, bytes);
        }
        talked.offset[0] += 100_000;
        assert!(crate::dissect::sniff::is_plain(late));
        talked.says(Sent, late);
        let lines = talked.close();
        assert!(lines.iter().skip(2).any(|l| l.starts_with(line)), "{line} in {lines:?}");
    }
    assert!(!crate::dissect::sniff::is_plain(&words) && !crate::dissect::sniff::is_plain(&[b'a'; 31]));
}

/// What we know is found inside what we do not, wherever and in whatever pieces it begins.
#[test]
fn starts_in_odd_places() {
    let get = b"GET /x HTTP/1.1\r\nHost: b.test\r\n\r\n";
    let long = [b"GET /".as_slice(), &[b'a'; 3000], b" HTTP/1.1\r\nHost: b.test\r\n\r\n"].concat();
    let tls = hello("a.test");
    let before: [&[u8]; 5] = [
        b"hello server.\n",
        b"\x05\x01\0\x05\x01\0\x01\xc6\x12\0\x01\0P",
        b"a001 STARTTLS\r\n",
        b"",
        b"PROXY TCP4 10.9.0.2 198.18.0.1 1 443\r\n",
    ];
    let rows: [(&[u8], &str); 4] = [
        (get, "GET http://b.test/x None"),
        (&long, "GET http://b.test/"),
        (&tls, "hello a.test"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "unparsed http2 NotBuilt 24"),
    ];
    for (bytes, expect) in rows {
        for before in before {
            let whole = [before, bytes].concat();
            for size in [7, 8, 11, 64, 1400, whole.len()] {
                let mut talked = Talked::new(Transport::Tcp, 8080);
                // A server that greets, so that nobody knows the conversation.
                talked.says(Back, b"\x01 welcome");
                whole.chunks(size).for_each(|piece| talked.says(Sent, piece));
                let told = talked.close();
                assert!(told.iter().any(|l| l.starts_with(expect)), "{expect} behind {} bytes by {size}: {told:?}", before.len());
                let total: u64 = told.last().unwrap().split([' ', '+']).skip(1).map(|n| n.parse::<u64>().unwrap()).sum();
                assert_eq!(total, whole.len() as u64 + 9, "{told:?}");
            }
        }
    }
    // The server's side of it, in whatever pieces it comes behind its last words.
    let body = [&[3, 3][..], &[8; 32], &[0, 0xc0, 0x2f, 0]].concat();
    let answer = [&[22, 3, 3][..], &vec16(&[&[2, 0, 0, body.len() as u8][..], &body].concat())].concat();
    for size in 1..8 {
        let mut talked = Talked::new(Transport::Tcp, 143);
        talked.says(Back, b"* OK ready\r\n");
        talked.says(Sent, b"a001 STARTTLS\r\n");
        talked.says(Back, b"a001 OK go on\r\n");
        talked.says(Sent, &tls);
        answer.chunks(size).for_each(|piece| talked.says(Back, piece));
        let told = talked.close();
        assert!(told.iter().any(|l| l.starts_with("served 303")), "by {size}: {told:?}");
    }
    // What a text quotes is no start.
    for text in ["said \"GET /x HTTP/1.1\r\nHost: b.test\r\n", "log:\r\nGET /x HTTP/1.1\r\nwas refused\r\n"] {
        let mut talked = Talked::new(Transport::Tcp, 25);
        talked.says(Back, b"220 ready\r\n");
        talked.says(Sent, text.as_bytes());
        assert!(!talked.close().iter().any(|l| l.starts_with("GET")), "{text}");
    }
}

/// HTTP that has no head of HTTP/1, in clear.
#[test]
fn other_http_in_clear() {
    for size in [1, 3, 9] {
        let mut talked = Talked::new(Transport::Tcp, 80);
        b"GET /x\r\n".chunks(size).for_each(|piece| talked.says(Sent, piece));
        talked.says(Back, b"<html>");
        let told = talked.close();
        assert!(told.contains(&"GET /x None".to_owned()), "{size}: {told:?}");
    }
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for size in [1, 10, 24] {
        let mut talked = Talked::new(Transport::Tcp, 80);
        preface.chunks(size).for_each(|piece| talked.says(Sent, piece));
        talked.says(Back, &[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        assert_eq!(talked.close(), ["unparsed http2 NotBuilt 33", "http2 0+0+33"]);
    }
}

/// An SSL 2.0 hello in pieces.
#[test]
fn ssl2_in_pieces() {
    let body = [&[1, 3, 1, 0, 6, 0, 0, 0, 16, 0, 0, 0x2f, 0, 0, 0x35][..], &[9; 16]].concat();
    let record = [&[0x80, body.len() as u8][..], &body].concat();
    for size in [1, 7, 30, record.len()] {
        let mut talked = Talked::new(Transport::Tcp, 443);
        record.chunks(size).for_each(|piece| talked.says(Sent, piece));
        let told = talked.close();
        assert_eq!(told, ["hello -", "tls 33+0+0"], "{size}");
    }
}

/// QUIC that changes its version in the handshake, begins anew between the same ports, or comes in another order.
#[test]
fn quic_connections() {
    const V1: u32 = 1;
    const V2: u32 = 0x6b33_43cf;
    let client = |name: &str, random: u8, version: u32, id: &[u8]| {
        let mut body = hello_body(name, 23, &[]);
        body[2..34].fill(random);
        quic::seal(version, id, id, false, &message(1, &body)).unwrap()
    };
    let server = |version: u32, id: &[u8]| {
        let share = [&[0, 29][..], &vec16(&[5; 32])].concat();
        let extensions = [&[0, 43, 0, 2, 3, 4, 0, 51][..], &vec16(&share)].concat();
        let body = [&[3, 3][..], &[8; 32], &[0, 0x13, 1, 0], &vec16(&extensions)].concat();
        quic::seal(version, id, b"", true, &message(2, &body)).unwrap()
    };
    let told = |said: &[(Dir, Vec<u8>)]| {
        let mut talked = Talked::new(Transport::Udp, 443);
        said.iter().for_each(|(dir, bytes)| talked.says(*dir, bytes));
        let mut told = talked.close();
        told.retain(|l| l.starts_with("hello") || l.starts_with("served"));
        told
    };
    let (one, two) = (b"first id", b"second id");
    let served = "served 304 chain 0 group Some(29) without hello false";
    assert_eq!(told(&[(Sent, client("a.test", 1, V1, one)), (Back, server(V1, one))]), ["hello a.test", served]);
    assert_eq!(told(&[(Sent, client("a.test", 1, V1, one)), (Back, server(V2, one))]), ["hello a.test", served]);
    assert_eq!(told(&[(Back, server(V1, one)), (Sent, client("a.test", 1, V1, one))]), ["hello a.test", served]);
    let mut both = vec![(Sent, client("a.test", 1, V1, one)), (Back, server(V1, one))];
    both.extend(std::iter::repeat_n((Sent, sealed(0x51, 40)), 100));
    both.extend([(Sent, client("b.test", 2, V1, two)), (Back, server(V1, two))]);
    assert_eq!(told(&both), ["hello a.test", served, "hello b.test", served]);
    // The same hello after a Retry is the same connection's.
    assert_eq!(
        told(&[(Sent, client("a.test", 1, V1, one)), (Sent, client("a.test", 1, V1, two)), (Back, server(V1, two))]),
        ["hello a.test", served]
    );
}

/// The address a device takes from its link address (RFC 4291, appendix A) tells it to its peers; so do words behind QUIC's.
#[test]
fn beside_what_is_sealed() {
    let seed = Seed { name: "mac".into(), kind: IdentifierType::Mac, value: "02:00:5e:c1:02:9b".into() };
    let hits = |address: &str| {
        let tools = Tools { engine: Some(Arc::new(Engine::new([seed.clone()], &[7; 32]))), ..Tools::default() };
        let mut pipeline = Pipeline::new(Arc::new(tools));
        let mut out = Vec::new();
        let (a, b) = (std::net::SocketAddr::new(address.parse().unwrap(), 5000), "[2001:db8:1::1]:443".parse().unwrap());
        pipeline.open(KEY, &Ends { transport: Transport::Tcp, a, b, a_mac: None, b_mac: None, from_start: true }, Time(0), 1, &mut out);
        pipeline.close(KEY, FlowEnd::Fin, &Counts::default(), Time(9), 9, &mut out);
        out.iter().filter(|o| matches!(o, Out::Seen(d) if matches!(&d.seen, Observation::Hit(h) if h.place == "ipv6.source"))).count()
    };
    assert_eq!(hits("2001:db8::5eff:fec1:29b"), 1);
    assert_eq!(hits("2001:db8::5eff:fec1:29c"), 0);
    assert_eq!(hits("fe80::5eff:fec1:29b"), 0, "the link knows it anyway");
    let negotiation = [&[0x80, 0, 0, 0, 0, 8][..], &[1; 8], &[8], &[2; 8], &[0, 0, 0, 1]].concat();
    let mut talked = Talked::new(Transport::Udp, 443);
    talked.says(Back, &negotiation);
    talked.says(Sent, format!("{{\"serial\":\"{SERIAL}\",\"n\":1}}").as_bytes());
    let lines = talked.close();
    assert!(lines.iter().any(|l| l.starts_with("hit udp.datagram Wire Out")), "{lines:?}");
}

/// Who is inside is the device, whoever spoke first.
#[test]
fn the_device_is_inside() {
    use crate::dissect::device_side;
    let side = |a: &str, b: &str, from_start, client| {
        let (a, b) = (a.parse().unwrap(), b.parse().unwrap());
        device_side(&Ends { transport: Transport::Tcp, a, b, a_mac: None, b_mac: None, from_start }, client, &[]).0
    };
    assert_eq!(side("203.0.113.9:20", "10.0.0.2:5000", true, None), Some(Back), "a server that opens a data connection");
    assert_eq!(side("203.0.113.9:5000", "10.0.0.2:443", true, Some(Sent)), Some(Back), "a stranger who asks");
    assert_eq!(side("10.0.0.2:5000", "203.0.113.9:443", true, None), Some(Sent));
    assert_eq!(side("10.0.0.2:5000", "10.0.0.3:443", true, None), Some(Sent));
    assert_eq!(side("198.51.100.1:5000", "203.0.113.9:443", false, Some(Back)), Some(Back));
    assert_eq!(side("198.51.100.1:5000", "203.0.113.9:443", false, None), None);
    assert_eq!(side("[2001:db8::5]:5353", "[ff02::fb]:5353", true, None), Some(Sent), "a group is no device");
    assert_eq!(side("203.0.113.9:68", "255.255.255.255:67", true, None), Some(Sent));
}
