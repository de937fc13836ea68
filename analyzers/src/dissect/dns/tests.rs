//! Tables for the DNS family: real shapes of messages, and hostile ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;

use crate::chunk::{Chunk, Layer, Unit};
use crate::dissect::testing::{seeking, told as hits};
use crate::flow::{Counts, Dir, Ends, FlowEnd, FlowKey, Transport};
use crate::observation::{App, Observation};
use crate::pipeline::{Out, Pipeline, Tools};
use policies::Time;

const KEY: FlowKey = FlowKey::new(0, 1);

fn run(port: u16, stream: bool, messages: &[(Dir, Vec<u8>)]) -> Vec<Observation> {
    run_with(Tools::default(), port, stream, messages)
}

fn run_with(tools: Tools, port: u16, stream: bool, messages: &[(Dir, Vec<u8>)]) -> Vec<Observation> {
    run_to(tools, &format!("192.168.1.1:{port}"), stream, messages)
}

fn run_to(tools: Tools, server: &str, stream: bool, messages: &[(Dir, Vec<u8>)]) -> Vec<Observation> {
    let transport = if stream { Transport::Tcp } else { Transport::Udp };
    let b = server.parse().unwrap();
    let ends = Ends { transport, a: "192.168.1.7:40000".parse().unwrap(), b, a_mac: None, b_mac: None, from_start: true };
    let mut pipeline = Pipeline::new(Arc::new(tools));
    let mut out: Vec<Out> = Vec::new();
    pipeline.open(KEY, &ends, Time(0), 1, &mut out);
    let mut offsets = [0; 2];
    for (n, (dir, bytes)) in messages.iter().enumerate() {
        let unit = if stream { Unit::Stream { offset: offsets[dir.index()] } } else { Unit::Datagram };
        offsets[dir.index()] += bytes.len() as u64;
        pipeline
            .chunk(Chunk { flow: KEY, dir: *dir, unit, layer: Layer::Wire, time: Time(n as i64), frame: n as u64 + 1, bytes }, &mut out);
    }
    pipeline.close(KEY, FlowEnd::Idle, &Counts::default(), Time(99), 99, &mut out);
    out.into_iter().filter_map(|o| if let Out::Seen(draft) = o { Some(draft.seen) } else { None }).collect()
}

fn told(seen: &[Observation]) -> String {
    let mut text = String::new();
    for fact in seen {
        let _ = match fact {
            Observation::Question(q) => {
                let _ = write!(text, "{}/{} {}", q.name, q.qtype, q.rcode.map_or("-".into(), |r| r.to_string()));
                let addresses: Vec<_> = q.addresses.iter().map(ToString::to_string).collect();
                let _ = write!(text, " [{}]", addresses.join(" "));
                if !q.aliases.is_empty() {
                    let _ = write!(text, " aka {:?}", q.aliases);
                }
                let flags = [(q.ech, "ech"), (q.answer_only, "answer only"), (q.repeats > 0, "again")];
                flags.iter().filter(|f| f.0).for_each(|f| _ = write!(text, " {}", f.1));
                writeln!(text)
            }
            Observation::Announcement(a) => {
                writeln!(text, "{} {} {:?}", a.record, a.name, a.service.as_ref().map_or("", |s| s.as_str()))
            }
            Observation::Odd(o) => writeln!(text, "odd: {}", o.detail),
            Observation::Unparsed(u) if u.what != App::Unknown => writeln!(text, "unparsed {} {}", u.what.word(), u.bytes),
            Observation::Flow(f) => writeln!(text, "{}", f.app.word()),
            _ => Ok(()),
        };
    }
    text
}

#[track_caller]
fn check(port: u16, messages: &[(Dir, Vec<u8>)], expect: &str) {
    let expect: String = expect.lines().map(str::trim).filter(|l| !l.is_empty()).fold(String::new(), |s, l| s + l + "\n");
    assert_eq!(told(&run(port, false, messages)), expect);
}

fn name(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in text.split('.').filter(|l| !l.is_empty()) {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}

fn message(id: u16, flags: u16, counts: [u16; 4], body: &[Vec<u8>]) -> Vec<u8> {
    let mut out = [id, flags].iter().chain(&counts).flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>();
    out.extend(body.iter().flatten());
    out
}

fn question(text: &str, qtype: u16) -> Vec<u8> {
    [name(text), qtype.to_be_bytes().to_vec(), vec![0, 1]].concat()
}

fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    [owner, &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 60], &(data.len() as u16).to_be_bytes(), data].concat()
}

const ASK: u16 = 0x0100;
const ANSWER: u16 = 0x8180;

fn ask(id: u16, text: &str, qtype: u16) -> (Dir, Vec<u8>) {
    (Dir::Out, message(id, ASK, [1, 0, 0, 0], &[question(text, qtype)]))
}

const IMEI: &str = "490154203237518";

/// Where a planted value, or a part of one, was found.
fn finds(port: u16, messages: &[(Dir, Vec<u8>)]) -> Vec<String> {
    use policies::IdentifierType::{Imei, PersonName, Token};
    let planted = [(Imei, IMEI), (PersonName, "Zacharias Silanese"), (Token, "s3ss.9fKq2LxW8vB4nYtR7pZc")];
    hits(&run_with(seeking(&planted), port, false, messages))
}

#[test]
fn names_are_searched_as_labels_and_joined() {
    use crate::encode::{base64, hex, sha256};
    let named = |text: &str, expect: &[&str]| assert_eq!(finds(53, &[ask(1, text, 1)]), expect, "{text}");
    let cut = |text: &str, at: usize| format!("{}.{}", &text[..at], &text[at..]);
    named(&format!("{IMEI}.t.test"), &["dns.qname"]);
    named(&format!("{}.t.test", cut(IMEI, 6)), &["dns.qname"]);
    named(&format!("1.{}.9.t.test", cut(IMEI, 6)), &["dns.qname"]);
    named(&format!("{}.example.com", cut(&hex(IMEI.as_bytes()), 11)), &["dns.qname hex"]);
    let coded = base64(b"id=490154203237518");
    named(&format!("{coded}.t.test"), &["dns.qname base64"]);
    named(&format!("x.{}.t.test", cut(&coded, 10)), &["dns.qname base64"]);
    named(&format!("{}.t.test", cut(&hex(&sha256(IMEI.as_bytes())), 40)), &["dns.qname hex sha256"]);
    // More labels than are joined in every way.
    named("4.9.0.1.5.4.2.0.3.2.3.7.5.1.8.test", &["dns.qname"]);
    // Base32, which a name keeps in either case: `id=490154203237518` and the number alone, over two labels, in the other alphabet.
    named("NFSD2NBZGAYTKNBSGAZTEMZXGUYTQ.t.test", &["dns.qname base32"]);
    named("gq4tamjvgqzdamz.sgm3tkmjy.t.test", &["dns.qname base32"]);
    named("6gsj0c9l6gp30cp.i6crjac9o.t.test", &["dns.qname base32"]);
    // Nothing there, and nothing that joining makes of it.
    named("www.google.co.uk", &[]);
    named("7.1.168.192.in-addr.arpa", &[]);
    named("4901542.0323751.8.test", &["dns.qname"]);
    named("59015420.3237518.t.test", &[]);
    // A label with a dot in it.
    let dotted = [&[25][..], b"s3ss.9fKq2LxW8vB4nYtR7pZc", &name("t.test"), &[0, 1, 0, 1]].concat();
    assert_eq!(finds(53, &[(Dir::Out, message(1, ASK, [1, 0, 0, 0], &[dotted]))]), ["dns.qname"]);
}

/// Numbers that names carry from the last digit to the first.
#[test]
fn names_are_read_backwards() {
    use policies::IdentifierType::{Mac, Msisdn};
    #[track_caller]
    fn check(text: &str, expect: &[&str]) {
        let planted = [(Msisdn, "+447700900570"), (Mac, "3c:07:54:aa:be:cd")];
        assert_eq!(hits(&run_with(seeking(&planted), 53, false, &[ask(1, text, 12)])), expect, "{text}");
    }
    check("0.7.5.0.0.9.0.0.7.7.4.4.e164.arpa", &["dns.qname reversed"]);
    check("0.7.5.0.0.9.0.0.7.7.4.4.numbers.test", &["dns.qname reversed"]);
    check("1.7.5.0.0.9.0.0.7.7.4.4.e164.arpa", &[]);
    check("70.5.0.0.9.0.0.7.7.4.4.e164.arpa", &[]);
    let address = |end: &str| format!("{end}.{}ip6.arpa", "0.".repeat(8) + "8.b.d.0.1.0.0.2.");
    check(&address("d.c.e.b.a.a.e.f.f.f.4.5.7.0.e.3"), &["dns.qname reversed eui-64"]);
    check(&address("D.C.E.B.A.A.E.F.F.F.4.5.7.0.E.3"), &["dns.qname reversed eui-64"]);
    check(&address("e.c.e.b.a.a.e.f.f.f.4.5.7.0.e.3"), &[]);
}

#[test]
fn all_that_a_question_carries_is_searched() {
    let whole = |tail: &[u8], counts: [u16; 4]| {
        let bytes = message(1, ASK, counts, &[question("a.test", 1), tail.to_vec()]);
        finds(53, &[(Dir::Out, bytes)])
    };
    // An EDNS option (RFC 6891 §6.1.2) for local use, behind one that says nothing.
    let options = [&[0, 10, 0, 2, 1, 2, 0xfd, 0xe9, 0, 15][..], IMEI.as_bytes()].concat();
    let opt = [&[0, 0, 41, 16, 0, 0, 0, 0, 0, 0, options.len() as u8][..], &options].concat();
    assert_eq!(whole(&opt, [1, 0, 0, 1]), ["dns.edns"]);
    assert_eq!(whole(&record(&[0], 16, &[&[15][..], IMEI.as_bytes()].concat()), [1, 0, 0, 1]), ["dns.record"]);
    let parted = [&[6][..], &IMEI.as_bytes()[..6], &[9], &IMEI.as_bytes()[6..]].concat();
    assert_eq!(whole(&record(&[0], 16, &parted), [1, 0, 0, 1]), ["dns.record"]);
    assert_eq!(whole(IMEI.as_bytes(), [1, 0, 0, 0]), ["dns.tail"]);
    assert_eq!(whole(&[0; 9], [1, 0, 0, 0]), [""; 0]);
    let answer = message(1, ANSWER, [1, 1, 0, 0], &[question("a.test", 16), record(&[0xc0, 12], 16, &[&[15], IMEI.as_bytes()].concat())]);
    assert_eq!(finds(53, &[ask(1, "a.test", 16), (Dir::Back, answer)]), ["dns.record"]);
}

/// Whose a record is, is the sender's word too: updates and notifications (RFC 2136, RFC 1996), a record beside a question.
#[test]
fn owners_of_records_that_are_asked_with_are_searched() {
    let owned = record(&name("490154203237518.t.test"), 1, &[10, 7, 0, 5]);
    for (flags, counts) in [(0x2800, [1, 0, 1, 0]), (0x2000, [1, 1, 0, 0]), (ASK, [1, 0, 0, 1])] {
        let update = message(1, flags, counts, &[question("t.test", 6), owned.clone()]);
        assert_eq!(finds(53, &[(Dir::Out, update)]), ["dns.qname"], "{flags:x}");
    }
    // What is answered repeats what was asked.
    let answer = message(1, ANSWER, [1, 1, 0, 0], &[question("t.test", 1), owned]);
    assert_eq!(finds(53, &[ask(1, "t.test", 1), (Dir::Back, answer)]), [""; 0]);
    // A text alone, of which only the owner says something; and the names of a node's status.
    let text = message(0, 0x8400, [0, 1, 0, 0], &[record(&name("490154203237518._a._tcp.local"), 16, b"\x03a=b")]);
    assert_eq!(finds(5353, &[(Dir::Out, text)]), ["mdns.name"]);
    let entry = [format!("{IMEI:15}").as_bytes(), &[0, 4, 0]].concat();
    let status = [&[1][..], &entry, &[0; 46]].concat();
    let node = format!("\x20CK{}", "A".repeat(30));
    let answer = message(7, 0x8400, [0, 1, 0, 0], &[record(&[node.as_bytes(), &[0]].concat(), 33, &status)]);
    assert_eq!(finds(137, &[(Dir::Back, answer)]), ["nbns.name"]);
}

/// A question of which only the answer was caught was asked all the same, and a name in an answer is read by whoever reads the answer.
#[test]
fn what_only_an_answer_tells_is_searched() {
    let asked = format!("{IMEI}.t.test");
    let answer = |rcode: u16| message(1, ANSWER | rcode, [1, 0, 0, 0], &[question(&asked, 1)]);
    for messages in [
        vec![(Dir::Back, answer(0))],
        vec![(Dir::Back, answer(3)), (Dir::Back, answer(3))],
        vec![(Dir::Back, answer(0)), ask(2, "a.test", 1)],
    ] {
        assert_eq!(finds(53, &messages), ["dns.qname"]);
    }
    let named = |kind: u16, data: &[u8]| {
        let answer = message(1, ANSWER, [1, 1, 0, 0], &[question("7.1.168.192.in-addr.arpa", 12), record(&[0xc0, 12], kind, data)]);
        finds(53, &[ask(1, "7.1.168.192.in-addr.arpa", 12), (Dir::Back, answer)])
    };
    assert_eq!(named(12, &name(&asked)), ["dns.record"]);
    assert_eq!(named(33, &[&[0; 6][..], &name(&asked)].concat()), ["dns.record"]);
    assert_eq!(named(12, &name("tv.lan")), [""; 0]);
}

/// Who answers for a zone, and what is told beside an answer.
#[test]
fn what_stands_beside_an_answer_is_searched() {
    use policies::IdentifierType::{Email, Imei};
    let beside = |counts: [u16; 4], record: Vec<u8>| {
        let answer = message(1, ANSWER, counts, &[question("a.t.test", 1), record]);
        let planted = [(Imei, IMEI), (Email, "z.ia@silanese.test")];
        hits(&run_with(seeking(&planted), 53, false, &[ask(1, "a.t.test", 1), (Dir::Back, answer)]))
    };
    let (authority, additional) = ([1, 0, 1, 0], [1, 0, 0, 1]);
    let asked = format!("{IMEI}.t.test");
    // Its end is that of the question.
    let compressed = [&[15][..], IMEI.as_bytes(), &[0xc0, 14]].concat();
    let soa = |server: &[u8], mail: &[u8]| record(&[0xc0, 14], 6, &[server, mail, &[0; 20]].concat());
    for counts in [authority, additional] {
        for found in [
            record(&name(&asked), 1, &[10, 7, 0, 5]),
            record(&name(&asked), 28, &[1; 16]),
            record(&[0xc0, 14], 2, &compressed),
            record(&[0xc0, 14], 15, &[&[0, 5][..], &compressed].concat()),
            record(&[0xc0, 14], 33, &[&[0; 6][..], &compressed].concat()),
            soa(&compressed, &[0]),
            soa(&[0], &name(&asked)),
            soa(&[0xc0, 14], b"\x04z.ia\x08silanese\x04test\0"),
        ] {
            assert_eq!(beside(counts, found.clone()), ["dns.record"], "{}", found.escape_ascii());
        }
        for other in
            [soa(&[0xc0, 14], &[0xc0, 14]), soa(&[0xff], &[]), record(&[0xc0, 14], 15, &[0]), record(&[0xc0, 14], 2, &name("ns.t.test"))]
        {
            assert_eq!(beside(counts, other.clone()), [""; 0], "{}", other.escape_ascii());
        }
    }
}

/// A dot in a label is one of the value, whatever escape the written name has for it; and the escape hides no value from the mask.
#[test]
fn dots_in_labels() {
    const TOKEN: &[u8] = b"s3ss.9fKq2LxW8vB4nYtR7pZc";
    let label = [&[25][..], TOKEN, &name("_a._tcp.local")].concat();
    for (kind, owner, data) in [
        (12, name("_a._tcp.local"), label.clone()),
        (33, label.clone(), [&[0; 6][..], &name("a.local")].concat()),
        (1, label.clone(), vec![10, 0, 0, 1]),
    ] {
        let said = |counts, flags| (Dir::Out, message(0, flags, counts, &[record(&owner, kind, &data)]));
        assert_eq!(finds(5353, &[said([0, 1, 0, 0], 0x8400)]), ["mdns.name"], "{kind}");
        let tools = seeking(&[(policies::IdentifierType::Token, "s3ss.9fKq2LxW8vB4nYtR7pZc")]);
        let engine = tools.engine.clone().unwrap();
        let seen = run_with(Tools { veil: engine, ..tools }, 5353, false, &[said([0, 1, 0, 0], 0x8400)]);
        let shown = told(&seen);
        assert!(shown.contains('‹') && !shown.contains("9fKq2LxW8vB4nYtR7pZc"), "{shown}");
    }
    let known = message(0, 0, [1, 1, 0, 0], &[question("_a._tcp.local", 12), record(&name("_a._tcp.local"), 12, &label)]);
    assert_eq!(finds(5353, &[(Dir::Out, known)]), ["mdns.record"]);
}

#[test]
fn all_that_is_said_on_the_link_is_searched() {
    let asked = |records: u16, tail: Vec<u8>| message(0, 0, [1, records, 0, 0], &[question("_a._tcp.local", 12), tail]);
    let known = record(&name("_a._tcp.local"), 12, &name("490154203237518._a._tcp.local"));
    let seen = run(5353, false, &[(Dir::Out, asked(1, known.clone()))]);
    assert!(!seen.iter().any(|o| matches!(o, Observation::Announcement(_))), "what it knows of others, it does not announce");
    assert_eq!(finds(5353, &[(Dir::Out, asked(1, known))]), ["mdns.record"]);
    assert_eq!(finds(5353, &[(Dir::Out, asked(0, IMEI.into()))]), ["mdns.tail"]);
    // A record of a kind that is not read.
    let other = message(0, 0x8400, [0, 1, 0, 0], &[record(&name("_a._tcp.local"), 0xff42, IMEI.as_bytes())]);
    assert_eq!(finds(5353, &[(Dir::Out, other)]), ["mdns.record"]);
    let says = |text: &str| (Dir::Out, message(0, 0x8400, [0, 1, 0, 0], &[record(&name("_a._tcp.local"), 12, &name(text))]));
    assert_eq!(finds(5353, &[says("Zacharias-Phone._a._tcp.local")]), ["mdns.name given-name ?"]);
}

/// NetBIOS writes the nibbles of a name's 15 characters and of its kind as letters (RFC 1001 §14.1).
fn netbios(text: &str) -> String {
    let padded = format!("{text:<15}\0");
    padded.bytes().flat_map(|b| [b >> 4, b & 15]).map(|nibble| char::from(b'A' + nibble)).collect()
}

#[test]
fn names_that_are_claimed_are_searched_for_parts() {
    let claim = |text: &str, opcode: u16| {
        let record = record(b"\xc0\x0c", 32, &[0, 0, 192, 168, 1, 7]);
        (Dir::Out, message(1, opcode << 11 | 0x110, [1, 0, 0, 1], &[question(&netbios(text), 32), record]))
    };
    for (text, expect) in
        [("SILANESE-PC", &["nbns.name family-name ?"][..]), ("SILANESES-PC", &["nbns.name part-of-name ?"]), ("SILK-PC", &[])]
    {
        assert_eq!(finds(137, &[claim(text, 5)]), expect, "{text}");
        assert_eq!(finds(137, &[claim(text, 8)]), expect, "{text}");
    }
    assert_eq!(finds(137, &[claim("SILANESES-PC", 0)]), [""; 0], "a question is about others");
}

#[test]
fn questions_and_answers() {
    let answer = message(
        7,
        ANSWER,
        [1, 2, 0, 0],
        &[question("Shop.Test", 1), record(&[0xc0, 12], 5, &name("cdn.test")), record(&name("cdn.test"), 1, &[203, 0, 113, 9])],
    );
    check(53, &[ask(7, "shop.test", 1), (Dir::Back, answer.clone())], "shop.test/1 0 [203.0.113.9] aka [\"cdn.test\"]\n dns");
    // Sent again before its answer; answered twice.
    check(
        53,
        &[ask(7, "shop.test", 1), ask(7, "shop.test", 1), (Dir::Back, answer.clone()), (Dir::Back, answer.clone())],
        "shop.test/1 0 [203.0.113.9] aka [\"cdn.test\"] again\n dns",
    );
    check(53, &[(Dir::Back, answer)], "shop.test/1 0 [203.0.113.9] aka [\"cdn.test\"] answer only\n dns");
    check(
        53,
        &[ask(8, "none.test", 28), (Dir::Back, message(8, 0x8183, [1, 0, 0, 0], &[question("none.test", 28)]))],
        "none.test/28 3 []\n dns",
    );
    check(53, &[ask(9, "lost.test", 65)], "lost.test/65 - []\n dns");
    let https = record(&[0xc0, 12], 65, b"\0\x01\0\0\x05\0\x02ab");
    check(
        53,
        &[ask(9, "e.test", 65), (Dir::Back, message(9, ANSWER, [1, 1, 0, 0], &[question("e.test", 65), https]))],
        "e.test/65 0 [] ech\n dns",
    );
    // Another name under the same number is another question.
    check(
        53,
        &[ask(7, "a.test", 1), (Dir::Back, message(7, ANSWER, [1, 0, 0, 0], &[question("b.test", 1)]))],
        "b.test/1 0 [] answer only\n a.test/1 - []\n dns",
    );
}

#[test]
fn by_bytes_on_any_port() {
    check(5300, &[ask(7, "shop.test", 1)], "shop.test/1 - []\n dns");
    check(5300, &[(Dir::Out, [ask(7, "shop.test", 1).1, vec![0]].concat())], "unknown");
    check(5300, &[(Dir::Out, b"GET / HTTP/1.1\r\n\r\n".to_vec())], "unknown");
    check(53, &[(Dir::Out, vec![0xff; 40])], "unknown");
    // Behind a datagram nobody knows.
    for port in [53, 5300] {
        check(port, &[(Dir::Out, vec![0xff; 40]), ask(7, "shop.test", 1)], "shop.test/1 - []\n dns");
    }
    // Ports of the link, asked of a host beyond it.
    for (server, app) in [("203.0.113.9", "dns"), ("192.168.1.1", "")] {
        for (port, here) in [(5353, "mdns"), (5355, "llmnr"), (137, "nbns")] {
            let expect = format!("shop.test/1 - []\n{}\n", if app.is_empty() { here } else { app });
            assert_eq!(told(&run_to(Tools::default(), &format!("{server}:{port}"), false, &[ask(7, "shop.test", 1)])), expect);
        }
    }
    // One that breaks off as well.
    let cut = ask(7, "shop.test", 1).1[..20].to_vec();
    assert!(told(&run_to(Tools::default(), "203.0.113.9:5353", false, &[(Dir::Out, cut)])).ends_with("unparsed dns 20\ndns\n"));
    let fred = format!("\x20{}", "EGFCEFEECACACACACACACACACACACACA");
    let status = message(7, 0, [1, 0, 0, 0], &[[fred.as_bytes(), &[0, 0, 0x21, 0, 1]].concat()]);
    assert!(told(&run_to(Tools::default(), "203.0.113.9:137", false, &[(Dir::Out, status)])).ends_with("nbns\n"));
    let announced = message(0, 0x8400, [0, 1, 0, 0], &[record(&name("a.local"), 1, &[192, 0, 2, 1])]);
    assert!(told(&run_to(Tools::default(), "[2001:db8::9]:5353", false, &[(Dir::Out, announced)])).ends_with("mdns\n"));
}

#[test]
fn broken_messages() {
    let mut cut = ask(7, "shop.test", 1).1;
    cut.truncate(20);
    check(53, &[(Dir::Out, cut)], "odd: a message breaks off or lies about its lengths\n unparsed dns 20\n dns");
    check(53, &[ask(1, "a.test", 1), (Dir::Out, vec![1, 2, 3])], "odd: a message that is none\n a.test/1 - []\n unparsed dns 3\n dns");
    let looped = message(1, ASK, [1, 0, 0, 0], &[vec![0xc0, 12, 0, 1, 0, 1]]);
    check(53, &[(Dir::Out, looped)], "odd: a message breaks off or lies about its lengths\n unparsed dns 18\n dns");
}

/// What the capture cut off: the counts are those of the whole.
#[test]
fn answers_cut_by_a_snap_length() {
    let owner = [vec![5], b"login".to_vec(), vec![0xc0, 12]].concat();
    let records = vec![record(&owner, 1, &[192, 0, 2, 1]); 8];
    let whole = message(7, ANSWER, [1, 8, 0, 0], &[vec![question("login.bank.test", 1)], records].concat());
    let behind = 12 + 21;
    let said = "odd: a message breaks off or lies about its lengths\n login.bank.test/1 0";
    for (cut, addresses) in [(0, ""), (1, ""), (5, ""), (7, ""), (15, ""), (20, ""), (22, "192.0.2.1"), (30, "192.0.2.1")] {
        let cut = whole[..behind + cut].to_vec();
        for asked in [true, false] {
            let answer = (Dir::Back, cut.clone());
            let steps = if asked { vec![ask(7, "login.bank.test", 1), answer] } else { vec![answer] };
            let got = told(&run(53, false, &steps));
            let only = if asked { "" } else { " answer only" };
            let expect = format!("{}{}", said.lines().last().unwrap().trim(), format_args!(" [{addresses}]{only}\n"));
            assert!(got.contains(&expect) && got.ends_with("dns\n"), "{asked} {}: {got}", cut.len());
            assert!(!got.contains("none"), "{got}");
        }
    }
    // Without the whole question nothing is known; what is no record behind it, and what nobody answers, is no such message.
    check(53, &[(Dir::Back, whole[..behind - 1].to_vec())], "unknown");
    let other = [&whole[..behind], &[0x80, 1, 2, 3]].concat();
    check(53, &[(Dir::Back, other)], "unknown");
    let query = message(7, ASK, [1, 0xffff, 0xffff, 0xffff], &[question("login.bank.test", 1)]);
    check(53, &[(Dir::Out, query)], "unknown");
    // As many as can be said, of which none came.
    let most = message(7, ANSWER, [1, 0xffff, 0xffff, 0xffff], &[question("login.bank.test", 1)]);
    assert!(told(&run(53, false, &[(Dir::Back, most)])).ends_with("dns\n"));
    check(5300, &[(Dir::Back, whole[..behind + 7].to_vec())], "unknown");
    // An announcement.
    let said = message(0, 0x8400, [0, 9, 0, 0], &[record(&name("a.local"), 1, &[192, 0, 2, 1]), name("b.local")]);
    assert!(told(&run(5353, false, &[(Dir::Out, said)])).contains(" a.local"));
}

#[test]
fn over_tcp() {
    let one = |m: Vec<u8>| [(m.len() as u16).to_be_bytes().to_vec(), m].concat();
    let all = [one(ask(1, "a.test", 1).1), one(ask(2, "b.test", 28).1)].concat();
    let answer = one(message(2, ANSWER, [1, 1, 0, 0], &[question("b.test", 28), record(&[0xc0, 12], 28, &[1; 16])]));
    for size in [1, 3, 13, 200] {
        let cut = |dir: Dir, bytes: &[u8]| bytes.chunks(size).map(|b| (dir, b.to_vec())).collect::<Vec<_>>();
        let steps = [cut(Dir::Out, &all), cut(Dir::Back, &answer)].concat();
        for port in [53, 5300] {
            let told = told(&run(port, true, &steps));
            assert_eq!(told, "b.test/28 0 [101:101:101:101:101:101:101:101]\na.test/1 - []\ndns\n", "{size} {port}");
        }
    }
    // Joined midway: the rest of a question that nobody can read, and a whole answer.
    let midway = [(Dir::Out, vec![0xff; 40]), (Dir::Back, answer.clone())];
    assert_eq!(told(&run(53, true, &midway)), "b.test/28 0 [101:101:101:101:101:101:101:101] answer only\ndns\n");
    for other in [&[0, 30][..], &[0, 30, 1, 2, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a'], b"\0\x1e\0\0\0\0\0\x01\0\0\0\0\0\0\x01 "] {
        assert_eq!(told(&run(5300, true, &[(Dir::Out, other.to_vec())])), "unknown\n", "{other:?}");
    }
}

#[test]
fn mdns() {
    let instance = [&[13][..], b"Anna's iPhone", &name("_airplay._tcp.local")].concat();
    let body = [
        record(&name("_airplay._tcp.local"), 12, &instance),
        record(&instance, 33, &[vec![0; 6], name("Annas-iPhone.local")].concat()),
        record(&instance, 16, b"\x0bmodel=X14,1\0\x03a=b"),
        record(&name("Annas-iPhone.local"), 1, &[192, 168, 1, 7]),
    ];
    let announced = message(0, 0x8400, [0, 2, 0, 2], &body);
    check(
        5353,
        &[
            (Dir::Out, announced.clone()),
            (Dir::Out, announced),
            (Dir::Out, message(0, 0, [1, 0, 0, 0], &[question("_companion-link._tcp.local", 12)])),
        ],
        "PTR Anna's iPhone._airplay._tcp.local \"_airplay._tcp\"
         SRV Anna's iPhone._airplay._tcp.local \"_airplay._tcp\"
         SRV target Annas-iPhone.local \"_airplay._tcp\"
         TXT model=X14,1 \"_airplay._tcp\"
         TXT a=b \"_airplay._tcp\"
         A Annas-iPhone.local \"\"
         _companion-link._tcp.local/12 - []
         mdns",
    );
    // A probe carries the name its sender is about to take.
    let probe = message(0, 0, [1, 0, 1, 0], &[question("Annas-iPhone.local", 255), record(&name("Annas-iPhone.local"), 28, &[1; 16])]);
    check(5353, &[(Dir::Out, probe)], "Annas-iPhone.local/255 - []\n AAAA Annas-iPhone.local \"\"\n mdns");
}

/// An announced address that is made of the planted link address, and one that is not.
#[test]
fn announced_addresses() {
    let address = |tail: [u8; 8]| [[0xfe, 0x80, 0, 0, 0, 0, 0, 0], tail].concat();
    for (tail, expect) in [([0x3e, 7, 0x54, 0xff, 0xfe, 0xaa, 0xbe, 0xcd], 1), ([0x3e, 7, 0x54, 0xff, 0xfe, 0xaa, 0xbe, 0xce], 0)] {
        let said = message(0, 0x8400, [0, 1, 0, 0], &[record(&name("x.local"), 28, &address(tail))]);
        let planted = [(policies::IdentifierType::Mac, "3c:07:54:aa:be:cd")];
        assert_eq!(hits(&run_with(seeking(&planted), 5353, false, &[(Dir::Out, said)])).len(), expect, "{tail:x?}");
    }
}

#[test]
fn link_names() {
    check(5355, &[ask(1, "wpad", 1)], "wpad/1 - []\n llmnr");
    let fred = "EGFCEFEECACACACACACACACACACACACA";
    check(137, &[(Dir::Out, message(1, 0x2910, [1, 0, 0, 0], &[question(fred, 32)]))], "registration FRED \"\"\n nbns");
    check(137, &[(Dir::Out, message(1, 0x0110, [1, 0, 0, 0], &[question(fred, 32)]))], "FRED/32 - []\n nbns");
}

proptest! {
    /// Mutated messages: no panic, and every byte is counted once.
    #[test]
    fn hostile(port in prop::sample::select(vec![53u16, 5353, 5355, 137, 9999]), stream: bool, flips in prop::collection::vec((0usize..200, any::<u8>()), 0..10), cut in 0usize..200) {
        let body = [question("shop.test", 1), record(&[0xc0, 12], 5, &name("cdn.test")), record(&[0xc0, 40], 16, b"\x03abc\x02de"), record(&[0xc0, 12], 33, &[0, 0, 0, 0, 0, 0, 0xc0, 12])];
        let mut bytes = message(7, ANSWER, [1, 1, 1, 1], &body);
        if stream {
            bytes = [(bytes.len() as u16).to_be_bytes().to_vec(), bytes].concat();
        }
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(cut.max(1));
        let total = 2 * bytes.len() as u64;
        let seen = run(port, stream, &[(Dir::Out, bytes.clone()), (Dir::Back, bytes)]);
        let Some(Observation::Flow(flow)) = seen.last() else { panic!("no flow line") };
        prop_assert_eq!(flow.coverage.analysed + flow.coverage.unparsed, total);
    }
}
