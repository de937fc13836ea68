//! Tables for HTTP/1.x, and the promise that segmentation changes nothing. Long, for it is rows.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use proptest::prelude::*;

use crate::chunk::{Chunk, Gap, Layer, Lost, Unit};
use crate::dissect::testing::{seeking, told as hits};
use crate::flow::{Counts, Dir, Ends, FlowEnd, FlowKey, Transport};
use crate::observation::{NotParsed, Observation};
use crate::pipeline::{Limits, Out, Pipeline, Tools};
use policies::Time;

use Dir::{Back, Out as Sent};

const KEY: FlowKey = FlowKey::new(0, 1);

fn ends() -> Ends {
    Ends {
        transport: Transport::Tcp,
        a: "192.168.1.7:50000".parse().unwrap(),
        b: "203.0.113.9:80".parse().unwrap(),
        a_mac: None,
        b_mac: None,
        from_start: true,
    }
}

/// What happens to a flow, in order.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Bytes(Dir, Vec<u8>),
    Hole(Dir, u64),
}

fn run(steps: &[Step], layer: Layer) -> Vec<Observation> {
    run_with(Tools::default(), steps, layer)
}

fn run_with(tools: Tools, steps: &[Step], layer: Layer) -> Vec<Observation> {
    run_flow(tools, steps, layer, &ends(), &Counts::default())
}

fn run_flow(tools: Tools, steps: &[Step], layer: Layer, ends: &Ends, counts: &Counts) -> Vec<Observation> {
    let tools = Tools { limits: Limits { body: 1 << 16, message: 1 << 14 }, ..tools };
    let mut pipeline = Pipeline::new(Arc::new(tools));
    let mut out: Vec<Out> = Vec::new();
    pipeline.open(KEY, ends, Time(0), 1, &mut out);
    let mut offsets = [0; 2];
    for (n, step) in steps.iter().enumerate() {
        let (frame, time) = (n as u64 + 2, Time(n as i64));
        match step {
            Step::Bytes(dir, bytes) => {
                let unit = Unit::Stream { offset: offsets[dir.index()] };
                offsets[dir.index()] += bytes.len() as u64;
                pipeline.chunk(Chunk { flow: KEY, dir: *dir, unit, layer, time, frame, bytes }, &mut out);
            }
            Step::Hole(dir, len) => {
                let offset = offsets[dir.index()];
                offsets[dir.index()] += len;
                pipeline.gap(Gap { flow: KEY, dir: *dir, offset, len: *len, why: Lost::Sequence, time, frame }, &mut out);
            }
        }
    }
    pipeline.close(KEY, FlowEnd::Fin, counts, Time(99), 99, &mut out);
    out.into_iter()
        .filter_map(|o| match o {
            Out::Seen(draft) => Some(draft.seen),
            _ => None,
        })
        .collect()
}

/// Where and how a planted IMEI was found, each once, and what was left unparsed of a protocol that is known or of a stream.
pub(super) fn finds(imei: &str, steps: &[Step]) -> Vec<String> {
    finds_of(&[(policies::IdentifierType::Imei, imei)], steps)
}

pub(super) fn finds_of(planted: &[(policies::IdentifierType, &str)], steps: &[Step]) -> Vec<String> {
    let seen = run_with(seeking(planted), steps, Layer::Wire);
    let mut out = hits(&seen);
    out.retain(|line| !line.ends_with('?'));
    for unparsed in &seen {
        if let Observation::Unparsed(unparsed) = unparsed
            && unparsed.reason != NotParsed::Unknown
        {
            out.push(format!("unparsed {}", serde_json::to_value(unparsed.reason).unwrap().as_str().unwrap()));
        }
    }
    out
}

/// A value that is folded over lines (RFC 9112 §5.2), with and without the blank, and one that is not.
#[test]
fn folded_fields() {
    let imei = "490154203237518";
    let one = |field: &str| finds(imei, &[sent(format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n")), back("HTTP/1.1 204 No\r\n\r\n")]);
    assert_eq!(one("X-Id: 4901542\r\n 03237518"), ["http.request.header:x-id"]);
    assert_eq!(one("X-Id: 4901542\n\t03\n   237518\r\nX-B: c"), ["http.request.header:x-id"]);
    assert_eq!(one("X-Id:\r\n 490154203237518"), ["http.request.header:x-id"]);
    assert_eq!(one("X-Id: 4901542\r\nX-Id: 03237518"), [""; 0]);
    let name = [(policies::IdentifierType::PostalAddress, "12 Example Street, Bern")];
    let folded = sent("GET / HTTP/1.1\r\nHost: a\r\nX-At: 12 Example\r\n Street, Bern\r\n\r\n");
    assert_eq!(finds_of(&name, &[folded]), ["http.request.header:x-at"]);
    // A credential, and what the framing needs.
    let password = [(policies::IdentifierType::Password, "hunter22")];
    let basic = |fold: &str| {
        sent(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic{fold}YW5uYTpodW50ZXIyMg==\r\nTransfer-Encoding:\r\n chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
        ))
    };
    for fold in [" ", "\r\n ", "\r\n\t  "] {
        let seen = run_with(seeking(&password), &[basic(fold), sent("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")], Layer::Wire);
        let secrets: Vec<_> = seen
            .iter()
            .filter_map(|o| if let Observation::Hit(hit) = o { Some((hit.kind, hit.place.to_string())) } else { None })
            .collect();
        assert!(
            secrets.contains(&(policies::IdentifierType::Password, "http.request.header:authorization".to_owned())),
            "{fold:?}: {secrets:?}"
        );
        assert!(told(&seen).contains("GET http://a/next"), "{}", told(&seen));
    }
}

/// A target of no form, as scanners send it, in whatever pieces and wherever it begins.
#[test]
fn strange_targets() {
    for (target, url) in
        [("index.html?i=1", "index.html?i=‹1›"), (".", "."), ("%2e", "%2e"), ("averylongnamewithoutanypath", "averylongnamewithoutanypath")]
    {
        let text = format!("GET {target} HTTP/1.0\r\nHost: a.test\r\n\r\n");
        for size in [1, 5, 23, 200] {
            for before in ["", "what nobody knows, long enough to be nothing\n"] {
                let text = format!("{before}{text}");
                let mut steps: Vec<Step> = text.as_bytes().chunks(size).map(|c| Step::Bytes(Sent, c.to_vec())).collect();
                steps.push(back("HTTP/1.0 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
                let told = told(&run(&steps, Layer::Wire));
                assert!(told.contains(&format!("GET http://a.test/{url} 400")), "{before}{target} by {size}: {told}");
            }
        }
    }
}

/// The same bytes, found by the name of their field and as a parameter of a form, are one find; in a second request they are there again.
#[test]
fn one_value_found_in_two_ways() {
    let found = |requests: &[&str]| {
        let steps: Vec<Step> = requests.iter().map(|target| sent(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))).collect();
        let seen = run_with(seeking(&[]), &steps, Layer::Wire);
        let password = |o: &&Observation| matches!(o, Observation::Hit(hit) if hit.kind == policies::IdentifierType::Password);
        seen.iter().filter(password).count()
    };
    assert_eq!(found(&["/x?user=joe&password=hunter2-Xy9"]), 1);
    assert_eq!(found(&["/x?user=joe&pass=hunter2-Xy9"]), 1);
    assert_eq!(found(&["/x?user=joe&password=hunter2-Xy9", "/y?password=hunter2-Xy9"]), 2);
}

/// What a reader sees: a line per request, oddity, missing piece, and the flow's coverage.
fn told(seen: &[Observation]) -> String {
    let mut text = String::new();
    for fact in seen {
        match fact {
            Observation::Request(r) => {
                let asked = if r.method.is_empty() { String::new() } else { format!("{} {} ", r.method, r.url) };
                let _ = write!(text, "{asked}{}", r.status.map_or("-".into(), |s| s.to_string()));
                let _ = write!(text, " {}+{}", r.request_bytes, r.response_bytes);
                if r.undecoded > 0 {
                    let _ = write!(text, " undecoded={}", r.undecoded);
                }
                if r.cookies + r.set_cookies > 0 {
                    let _ = write!(text, " cookies={}/{}", r.cookies, r.set_cookies);
                }
                if let Some(a) = r.authorization {
                    let _ = write!(text, " {a:?}");
                }
                text.push('\n');
            }
            Observation::Odd(o) => {
                let _ = writeln!(text, "odd: {}", o.detail);
            }
            Observation::Update(u) => {
                let _ = writeln!(text, "update: {:?} {} by {}", u.part, u.system, u.by);
            }
            Observation::Unparsed(u) => {
                let _ = writeln!(text, "unparsed: {}", u.bytes);
            }
            Observation::Flow(f) => {
                let _ = writeln!(text, "{} analysed={} unparsed={}", f.app.word(), f.coverage.analysed, f.coverage.unparsed);
            }
            _ => {}
        }
    }
    text
}

pub(super) fn sent(bytes: impl AsRef<[u8]>) -> Step {
    Step::Bytes(Sent, bytes.as_ref().to_vec())
}

pub(super) fn back(bytes: impl AsRef<[u8]>) -> Step {
    Step::Bytes(Back, bytes.as_ref().to_vec())
}

#[track_caller]
fn check(steps: &[Step], expect: &str) {
    let expect: String = expect.lines().map(str::trim).filter(|l| !l.is_empty()).fold(String::new(), |s, l| s + l + "\n");
    assert_eq!(told(&run(steps, Layer::Wire)), expect, "whole");
    for size in [1, 2, 7] {
        let cut: Vec<Step> = steps
            .iter()
            .flat_map(|step| match step {
                Step::Bytes(dir, bytes) => bytes.chunks(size).map(|b| Step::Bytes(*dir, b.to_vec())).collect(),
                hole @ Step::Hole(..) => vec![hole.clone()],
            })
            .collect();
        assert_eq!(told(&run(&cut, Layer::Wire)), expect, "in pieces of {size}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    e.write_all(bytes).unwrap();
    e.finish().unwrap()
}

#[test]
fn requests_and_answers() {
    check(
        &[
            sent("GET /a?x=1 HTTP/1.1\r\nHost: Shop.test:80\r\nCookie: a=1; b=2\r\n\r\n"),
            back("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: s=1\r\n\r\nhello"),
        ],
        "GET http://shop.test:80/a?x=‹1› 200 61+60 cookies=2/1
         http analysed=121 unparsed=0",
    );
    check(
        &[
            sent("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nAuthorization: Basic YTpi\r\n\r\nabc"),
            back("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\nLocation: http://b/?t=1\r\nContent-Length: 0\r\n\r\n"),
            sent("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
            back("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
            sent("GET /n HTTP/1.1\r\nHost: a\r\n\r\n"),
            back("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
        ],
        "POST http://a/p 302 78+66 Basic
         HEAD http://a/ 200 28+40
         GET http://a/n 304 28+48
         http analysed=313 unparsed=0",
    );
}

#[test]
fn pipelined_and_chunked() {
    check(
        &[
            sent("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n"),
            back("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\nHTTP/1.1 204 No\r\n\r\n"),
            back("HTTP/1.1 200 OK\r\n\r\nuntil the end"),
        ],
        "GET http://a/1 200 28+76
         GET http://a/2 204 28+19
         GET http://a/3 200 28+32
         http analysed=213 unparsed=0",
    );
}

/// Every request has its own answer, however many wait; beyond what is kept the oldest have none.
#[test]
fn long_pipelines() {
    let run_of = |n: usize| {
        let ask: String = (0..n).map(|i| format!("{} /{i} HTTP/1.1\r\nHost: a\r\n\r\n", if i % 7 == 3 { "HEAD" } else { "GET" })).collect();
        let answer = |i: usize| {
            let body = if i % 7 == 3 { "" } else { "x" };
            format!("HTTP/1.1 {} X\r\nContent-Length: 1\r\n\r\n{body}", 500 + i % 10 / 2)
        };
        let steps = [sent(ask), back((0..n).map(answer).collect::<String>())];
        let rows = run(&steps, Layer::Wire).into_iter().filter_map(|o| if let Observation::Request(r) = o { Some(r) } else { None });
        rows.map(|r| (r.path.to_string(), r.status)).collect::<Vec<_>>()
    };
    for n in [300, 700] {
        let rows = run_of(n);
        assert_eq!(rows.len(), n);
        for (i, (path, status)) in rows.iter().enumerate() {
            let expect = (i + 512 >= n).then_some((500 + i % 10 / 2) as u16);
            assert_eq!((path, *status), (&format!("/{i}"), expect));
        }
    }
}

/// A password or a token is one wherever a client writes it: kind and place of each.
#[test]
fn credentials_by_their_names() {
    let kinds = |steps: &[Step]| {
        let seen = run_with(seeking(&[]), steps, Layer::Wire);
        let hit = |o: Observation| if let Observation::Hit(hit) = o { Some(format!("{} {}", hit.kind, hit.place)) } else { None };
        seen.into_iter().filter_map(hit).filter(|hit| !hit.starts_with("user-name")).collect::<Vec<_>>()
    };
    let password = ["password http.request.body"];
    assert_eq!(kinds(&[upload("Content-Type: application/json\r\n", br#"{"user":"joe","pass":"hunter2-Xy9"}"#)]), password);
    assert_eq!(kinds(&[upload("Content-Type: text/xml\r\n", b"<a><user>joe</user><pass>hunter2-Xy9</pass></a>")]), password);
    assert_eq!(kinds(&[upload("", br#"{"access_token":"abc123"}"#)]), ["token http.request.body"]);
    assert_eq!(kinds(&[sent("{\"user\":\"joe\",\"pass\":\"hunter2-Xy9\"}\n")]), ["password tcp.stream"]);
    let ask = |field: &str| kinds(&[sent(format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n"))]);
    assert_eq!(ask("X-Authorization: Basic am9lOmh1bnRlcjJ4"), ["password http.request.header:x-authorization"]);
    assert_eq!(ask("X-Vault-Token: s.abc"), ["token http.request.header:x-vault-token"]);
    assert_eq!(ask("X-Vault-Token: [REDACTED]"), [""; 0]);
}

#[test]
fn oddities_are_told() {
    check(
        &[
            sent("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            back("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"),
        ],
        "odd: both content-length and transfer-encoding
         odd: the connection ended inside a body
         POST http://a/ 200 80+43
         http analysed=123 unparsed=0",
    );
    check(
        &[sent("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), back("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx")],
        "odd: chunked framing is broken
         GET http://a/ 200 27+47
         unparsed: 5
         http analysed=74 unparsed=5",
    );
    // A question without its answer.
    check(&[sent("GET http://b/x HTTP/1.0\r\n\r\n")], "GET http://b/x - 27+0\n http analysed=27 unparsed=0");
}

/// An answer tells of a request only where something of the client is missing or was not understood.
#[test]
fn answers_nobody_asked_for() {
    let answer = |status: u16| back(format!("HTTP/1.1 {status} X\r\nContent-Length: 1\r\n\r\nx"));
    let ask = || sent("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    // An idle connection, and one that was kept.
    check(&[answer(200)], "http analysed=38 unparsed=0");
    check(&[answer(408)], "http analysed=38 unparsed=0");
    check(&[ask(), answer(200), answer(408)], "GET http://a/ 200 27+38\n http analysed=103 unparsed=0");
    // A hello to a port of plain HTTP.
    let hello = [&b"\x16\x03\x01\0\x2d\x01\0\0\x29\x03\x03"[..], &[7; 32], b"\0\0\x02\x13\x01\x01\0"].concat();
    for status in [400, 200] {
        let seen = run(&[sent(&hello), answer(status)], Layer::Wire);
        assert!(!seen.iter().any(|fact| matches!(fact, Observation::Request(_))), "{}", told(&seen));
        assert!(told(&seen).contains("unparsed=0"), "{}", told(&seen));
    }
    // Bytes that are no request to anybody, and such as somebody answered to.
    let noise = || sent(b"\x01\x02what is this, a request of a kind?\n");
    let requests = |steps: &[Step]| told(&run(steps, Layer::Wire)).lines().filter(|line| line.ends_with("0+38")).count();
    assert_eq!(requests(&[noise(), answer(400)]), 0);
    assert_eq!(requests(&[noise(), answer(200)]), 1);
    assert_eq!(requests(&[ask(), answer(200), noise(), answer(200)]), 1);
    // A hole, a capture that began later, and a client of which nothing was captured.
    assert_eq!(requests(&[ask(), answer(200), Step::Hole(Sent, 40), answer(200), answer(408)]), 1);
    let late = Ends { from_start: false, ..ends() };
    let missing = Counts { missing: [40, 0], ..Counts::default() };
    for (ends, counts) in [(late, Counts::default()), (ends(), missing)] {
        for (status, expect) in [(200, 1), (400, 1), (408, 0)] {
            let seen = run_flow(Tools::default(), &[answer(status)], Layer::Wire, &ends, &counts);
            assert_eq!(told(&seen).lines().filter(|line| line.ends_with("0+38")).count(), expect, "{status}");
        }
    }
}

#[test]
fn shoutcast() {
    check(
        &[sent("GET /s HTTP/1.0\r\nHost: a\r\nIcy-MetaData: 1\r\n\r\n"), back("ICY 200 OK\r\nicy-name: x\r\n\r\nmp3data")],
        "odd: a head bends the grammar
         GET http://a/s 200 45+34
         http analysed=79 unparsed=0",
    );
}

#[test]
fn coded_bodies() {
    let body = gzip(b"{\"id\":1}");
    let head = |n: usize| format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {n}\r\n\r\n");
    let ask = sent("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let length = head(body.len()).len() + body.len();
    check(
        &[ask.clone(), back([head(body.len()).as_bytes(), &body].concat())],
        &format!("GET http://a/ 200 27+{length}\n http analysed={} unparsed=0", length + 27),
    );
    let length = head(5).len() + 5;
    check(
        &[ask, back([head(5).as_bytes(), b"plain"].concat())],
        &format!(
            "odd: the body is not coded as its header says\n GET http://a/ 200 27+{length}\n http analysed={} unparsed=0",
            length + 27
        ),
    );
}

/// A request that carries `body`, with these fields.
fn upload(fields: &str, body: &[u8]) -> Step {
    sent([format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat())
}

const IMEI: &str = "490154203237518";

#[test]
fn what_stands_behind_a_chunk_size_is_searched() {
    let chunked = |body: &str| sent(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
    assert_eq!(finds(IMEI, &[chunked(&format!("5;id={IMEI}\r\nhello\r\n0\r\n\r\n"))]), ["http.chunk-extension"]);
    assert_eq!(finds(IMEI, &[chunked(&format!("5\r\nhello\r\n0;id={IMEI}\r\n\r\n"))]), ["http.chunk-extension"]);
    assert_eq!(finds(IMEI, &[chunked("5;a=b\r\nhello\r\n0\r\n\r\n")]), [""; 0]);
}

#[test]
fn what_was_not_decoded_is_told() {
    // Content that gzip makes little of, and the value behind the limit.
    let mut state = 7u64;
    let mut noise = Vec::new();
    for _ in 0..100_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise.push((state >> 56) as u8);
    }
    noise.extend_from_slice(format!(" {IMEI} ").as_bytes());
    let coded = gzip(&noise);
    assert!(coded.len() > 1 << 16);
    assert_eq!(finds(IMEI, &[upload("Content-Encoding: gzip\r\n", &coded)]), ["unparsed limit"]);
    // Small on the wire, large behind its coding, or behind two.
    let long = [vec![b' '; 100_000].as_slice(), IMEI.as_bytes()].concat();
    assert_eq!(finds(IMEI, &[upload("Content-Encoding: gzip\r\n", &gzip(&long))]), ["unparsed limit"]);
    assert_eq!(finds(IMEI, &[upload("Content-Encoding: gzip, gzip\r\n", &gzip(&gzip(&long)))]), ["unparsed limit"]);
    for coding in ["compress", "aes128gcm", "gzip, x-own"] {
        assert_eq!(finds(IMEI, &[upload(&format!("Content-Encoding: {coding}\r\n"), b"\x1f\x9d\x90\x34")]), ["unparsed limit"], "{coding}");
    }
    assert_eq!(finds(IMEI, &[upload("Content-Encoding: gzip\r\n", &gzip(b"nothing"))]), [""; 0]);
    // Beside what is compressed: the file's name (RFC 1952 §2.3.1), bytes behind the end.
    let mut named = flate2::GzBuilder::new().filename(IMEI).write(Vec::new(), flate2::Compression::fast());
    named.write_all(b"nothing").unwrap();
    assert_eq!(finds(IMEI, &[upload("Content-Encoding: gzip\r\n", &named.finish().unwrap())]), ["http.request.body"]);
    let behind = [&gzip(b"nothing")[..], IMEI.as_bytes()].concat();
    assert_eq!(finds(IMEI, &[upload("Content-Encoding: gzip\r\n", &behind)]), ["http.request.body"]);
    assert_eq!(finds(IMEI, &[upload("Content-Encoding: gzip\r\n", b"plain")]), [""; 0]);
    // What a server sends is not the device's.
    let answer = [&b"HTTP/1.1 200 OK\r\nContent-Encoding: compress\r\nContent-Length: 4\r\n\r\n"[..], b"\x1f\x9d\x90\x34"].concat();
    assert_eq!(finds(IMEI, &[sent("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), back(answer)]), [""; 0]);
}

/// A body in the character set it declares: as it is, as the values of a form, behind a coding; and one that nobody reads.
#[test]
fn declared_character_sets() {
    use policies::IdentifierType::PersonName;
    let name =
        [(PersonName, "\u{418}\u{432}\u{430}\u{43d} \u{421}\u{43a}\u{432}\u{43e}\u{440}\u{446}\u{43e}\u{432}\u{441}\u{43a}\u{438}\u{439}")];
    let coded = |label: &str| encoding_rs::Encoding::for_label(label.as_bytes()).unwrap().encode(name[0].1).0.into_owned();
    let json = |label: &str| [b"{\"name\":\"", &coded(label)[..], b"\"}"].concat();
    for (label, chain) in [("koi8-r", "KOI8-R"), ("windows-1251", "windows-1251"), ("iso-8859-5", "ISO-8859-5"), ("gb18030", "gb18030")] {
        let fields = format!("Content-Type: application/json; charset={label}\r\n");
        let expect = format!("http.request.body {chain} json:$.name");
        assert_eq!(finds_of(&name, &[upload(&fields, &json(label))]), [expect], "{label}");
        let form = format!("Content-Type: application/x-www-form-urlencoded;charset=\"{label}\"\r\n");
        let value: String = coded(label).iter().map(|b| if *b == b' ' { "+".into() } else { format!("%{b:02X}") }).collect();
        let expect = format!("http.request.body percent {chain}");
        assert_eq!(finds_of(&name, &[upload(&form, format!("name={value}&x=1").as_bytes())]), [expect], "{label}");
        let packed = gzip(&json(label));
        let expect = format!("http.request.body gzip {chain} json:$.name");
        assert_eq!(finds_of(&name, &[upload(&format!("{fields}Content-Encoding: gzip\r\n"), &packed)]), [expect], "{label}");
        // A part of a body, a page, a mail in base64.
        let part = [format!("--b\r\nContent-Type: text/plain; charset={label}\r\n\r\n").as_bytes(), &coded(label), b"\r\n--b--"].concat();
        assert_eq!(finds_of(&name, &[upload("", &part)]), [format!("http.request.body {chain}")], "{label}");
        let mail = format!("Content-Type: text/plain; charset={label}\r\n\r\n{}\r\n", crate::encode::base64(&coded(label)));
        assert_eq!(finds_of(&name, &[sent(format!("DATA\r\n{mail}"))]), [format!("tcp.stream base64 {chain}")], "{label}");
    }
    let typed = |label: &str| format!("Content-Type: application/json; charset={label}\r\n");
    // Another character set than it is in, none, or one of those sought anyway.
    for fields in [typed("windows-1251"), typed("utf-8"), String::new()] {
        assert_eq!(finds_of(&name, &[upload(&fields, &json("koi8-r"))]), [""; 0], "{fields}");
    }
    assert_eq!(finds_of(&name, &[upload(&typed("utf-8"), &json("utf-8"))]), ["http.request.body json:$.name"]);
    // A letter's head in quoted-printable, whose blanks are other signs there.
    let word = |text: &[u8]| text.iter().map(|b| if *b == b' ' { "_".into() } else { format!("={b:02X}") }).collect::<String>();
    let mail = format!("DATA\r\nFrom: =?koi8-r?Q?{}?= <a@b.example>\r\n\r\n", word(&coded("koi8-r")));
    assert_eq!(finds_of(&name, &[sent(mail)]), ["tcp.stream quoted-printable KOI8-R"]);
    let mail = format!(
        "Content-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{}\r\n",
        word(&coded("koi8-r"))
    );
    assert_eq!(finds_of(&name, &[sent(mail)]), ["tcp.stream quoted-printable KOI8-R"]);
    for (label, charset, person) in [
        ("iso8859-2", "ISO-8859-2", "\u{141}ukasz \u{17b}\u{f3}\u{142}ci\u{144}ski"),
        ("cp1250", "windows-1250", "\u{141}ukasz \u{17b}\u{f3}\u{142}ci\u{144}ski"),
        ("shift_jis", "Shift_JIS", "\u{963f}\u{90e8}\u{9032}\u{4e4b}\u{4ecb}\u{5c71}\u{7530}\u{592a}\u{90ce}"),
        ("euc_jp", "EUC-JP", "\u{963f}\u{90e8}\u{9032}\u{4e4b}\u{4ecb}\u{5c71}\u{7530}\u{592a}\u{90ce}"),
        ("iso2022_jp", "ISO-2022-JP", "\u{963f}\u{90e8}\u{9032}\u{4e4b}\u{4ecb}\u{5c71}\u{7530}\u{592a}\u{90ce}"),
        ("iso8859-9", "windows-1254", "Ay\u{15f}e G\u{fc}lerdo\u{11f}an"),
        (
            "iso8859-7",
            "ISO-8859-7",
            "\u{393}\u{3b9}\u{3ce}\u{3c1}\u{3b3}\u{3bf}\u{3c2} \u{3a0}\u{3b1}\u{3c0}\u{3b1}\u{3b4}\u{3cc}\u{3c0}\u{3bf}\u{3c5}\u{3bb}\u{3bf}\u{3c2}",
        ),
        ("mac_roman", "macintosh", "J\u{fc}rgen Gro\u{df}mann"),
    ] {
        let planted = [(PersonName, person)];
        let coder = encoding_rs::Encoding::for_label(charset.as_bytes()).unwrap();
        let bytes = coder.encode(person).0.into_owned();
        let body = [b"{\"name\":\"", &bytes[..], b"\"}"].concat();
        assert_eq!(finds_of(&planted, &[upload(&typed(label), &body)]), [format!("http.request.body {charset} json:$.name")], "{label}");
        let value: String =
            bytes.iter().map(|b| if b.is_ascii_alphanumeric() { char::from(*b).to_string() } else { format!("%{b:02X}") }).collect();
        let form = format!("Content-Type: application/x-www-form-urlencoded; charset={label}\r\n");
        let told = finds_of(&planted, &[upload(&form, format!("name={value}&x=1").as_bytes())]);
        assert_eq!(told, [format!("http.request.body percent {charset}")], "{label}");
    }
    // What nobody reads, unless it is ASCII.
    let part = [b"--b\r\nContent-Type: text/plain; charset=cp866-own\r\n\r\n", &coded("koi8-r")[..], b"\r\n--b--"].concat();
    assert_eq!(finds_of(&name, &[upload("Content-Type: multipart/mixed; boundary=b\r\n", &part)]), ["unparsed limit"]);
    assert_eq!(finds_of(&name, &[upload(&typed("cp866-own"), &json("koi8-r"))]), ["unparsed limit"]);
    assert_eq!(finds_of(&name, &[upload(&typed("cp866-own"), b"{\"a\":1}")]), [""; 0]);
    assert_eq!(finds_of(&name, &[upload("Content-Type: application/octet-stream; charset=binary\r\n", b"\xff\xfe\xfd")]), [""; 0]);
}

#[test]
fn streams_are_taken_apart_at_their_beginning() {
    use crate::encode::base64;
    let twice = base64(base64(IMEI.as_bytes()).as_bytes());
    for (said, expect) in [
        ([b"\x01\x02login ", &gzip(format!("{{\"id\":{IMEI}}}").as_bytes())[..]].concat(), "tcp.stream gzip json:$.id"),
        (format!("LOGIN {twice}\n").into_bytes(), "tcp.stream base64 base64"),
        (format!("\x01{IMEI}\x02").into_bytes(), "tcp.stream"),
    ] {
        assert_eq!(finds(IMEI, &[sent(&said)]), [expect]);
        let pieces: Vec<Step> = said.chunks(5).map(sent).collect();
        assert_eq!(finds(IMEI, &pieces), [expect], "in pieces");
    }
    // Deflate without a head: once a command agrees on it, and as all of a body.
    let raw = |bytes: &[u8], flush| {
        let (mut packer, mut out) = (flate2::Compress::new(flate2::Compression::best(), false), Vec::with_capacity(4096));
        packer.compress_vec(bytes, &mut out, flush).unwrap();
        out
    };
    let login = raw(format!("b LOGIN {IMEI} correcthorse\r\nc LIST \"\" \"*\"\r\n").as_bytes(), flate2::FlushCompress::Sync);
    for command in ["a COMPRESS DEFLATE\r\n", "MODE READER\r\nCOMPRESS DEFLATE\r\n", "b2 compress deflate\r\n"] {
        assert_eq!(finds(IMEI, &[sent(command), back("a OK\r\n"), sent(&login)]), ["tcp.stream deflate", "unparsed limit"], "{command}");
    }
    assert_eq!(finds(IMEI, &[sent("a COMPRESS GZIP\r\n"), sent(&login)]), [""; 0]);
    let body = raw(format!("{{\"q\":1,\"w\":22,\"id\":\"{IMEI}\",\"more\":\"a word\"}}").as_bytes(), flate2::FlushCompress::Finish);
    let octets = "Content-Type: application/octet-stream\r\n";
    assert_eq!(finds(IMEI, &[upload(octets, &body)]), ["http.request.body deflate json:$.id"]);
    assert_eq!(finds(IMEI, &[upload(octets, &body[..body.len() - 3])]), [""; 0], "not to its end");
    // What is beyond was searched as it passed: its absence in codings is not known.
    let dull = vec![b'.'; 70_000];
    assert_eq!(finds(IMEI, &[sent(&dull), sent(&twice)]), ["unparsed streamed"]);
    assert_eq!(finds(IMEI, &[sent(&dull), sent(IMEI)]), ["tcp.stream", "unparsed streamed"]);
    assert_eq!(finds(IMEI, &[sent("??"), back(&dull), back(&twice)]), [""; 0], "of the other side's");
    // A request's body behind what is kept of it.
    assert_eq!(finds(IMEI, &[upload("", &[&dull[..], twice.as_bytes()].concat())]), ["unparsed streamed"]);
}

#[test]
fn gaps_cost_what_they_cost() {
    let ask = sent("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    // Inside a body of known length: the next message is found by counting.
    check(
        &[
            ask.clone(),
            back("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
            Step::Hole(Back, 7),
            ask.clone(),
            back("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
        ],
        "GET http://a/ 200 27+49
         GET http://a/ 404 27+38
         http analysed=134 unparsed=0",
    );
    // In a head: the next first line is sought.
    check(
        &[
            ask.clone(),
            back("HTTP/1.1 200 OK\r\nConte"),
            Step::Hole(Back, 50),
            back("unknown bytes"),
            ask.clone(),
            back("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
        ],
        "odd: a head whose end is missing
         GET http://a/ 200 27+19
         GET http://a/ 404 27+38
         unparsed: 18
         http analysed=109 unparsed=18",
    );
    // Of a request's head the whole lines are told.
    check(
        &[sent("GET /b HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YWRhOnNlY3JldA==\r\nUser-Ag"), Step::Hole(Dir::Out, 50)],
        "odd: a head whose end is missing
         GET http://a/b - 65+0 Basic
         unparsed: 7
         http analysed=65 unparsed=7",
    );
    check(&[sent("GET /b HTT"), Step::Hole(Dir::Out, 50)], "unparsed: 10\nhttp analysed=0 unparsed=10");
}

#[test]
fn tunnels_and_upgrades() {
    check(
        &[
            sent("CONNECT b.test:80 HTTP/1.1\r\nHost: b.test:80\r\n\r\n"),
            back("HTTP/1.1 200 Connection established\r\n\r\n"),
            sent("GET /in HTTP/1.1\r\nHost: b.test\r\n\r\n"),
            back("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ],
        "CONNECT b.test:80 200 47+39
         GET http://b.test/in 200 34+38
         http analysed=158 unparsed=0",
    );
    check(
        &[
            sent("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
            back("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
            sent(b"\x81\x85abcdefghi"),
        ],
        "GET http://a/ws 101 70+56
         http analysed=137 unparsed=0",
    );
    check(
        &[
            sent("GET /o HTTP/1.1\r\nHost: a\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n"),
            back("HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n\r\n"),
            sent(b"\x81\x85abcdefghi"),
        ],
        "GET http://a/o 101 65+52
         unparsed: 11
         unparsed: 11
         http analysed=117 unparsed=11",
    );
    // Refused: the client goes on.
    check(
        &[
            sent("CONNECT b:1 HTTP/1.1\r\n\r\n"),
            back("HTTP/1.1 407 Auth\r\nContent-Length: 2\r\n\r\nno"),
            sent("CONNECT b:1 HTTP/1.1\r\nProxy-Authorization: Bearer x\r\n\r\n"),
            back("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"),
        ],
        "CONNECT b:1 407 24+42
         CONNECT b:1 403 55+38 Bearer
         http analysed=159 unparsed=0",
    );
}

/// What a request says beside its body, and how large the body of its answer is: exceptions from the rule against cleartext ask for both.
#[test]
fn what_a_request_says_of_its_own() {
    let read = |target: &str, fields: &str| {
        let agent = if fields.contains("User-Agent") { "" } else { "User-Agent: x\r\n" };
        let request = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n{agent}Accept: */*\r\n{fields}\r\n");
        let answer = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\nContent-Length: 3\r\n\r\nyes", "x".repeat(300));
        let seen = run(&[sent(request), back(answer)], Layer::Wire);
        let request =
            seen.into_iter().find_map(|seen| if let Observation::Request(request) = seen { Some(request) } else { None }).unwrap();
        assert_eq!(request.response_body, Some(3));
        request.telling
    };
    for (target, fields, expect) in [
        ("/generate_204", "", false),
        ("/success.txt?ipv4", "connection: close\r\nIf-None-Match: \"x\"\r\n", false),
        ("/generate_204", "User-Agent: Dalvik/2.1.0 (Linux; U; Android 13; SM-G991B Build/TP1A.220624.014)\r\n", false),
        ("/generate_204?", "", false),
        ("/generate_204?id", "", true),
        ("/generate_204", "User-Agent: acme/1.0 (id=7f3a9b0c1d2e4f58)\r\n", true),
        ("/generate_204", "User-Agent: acme 6ba7b810-9dad-11d1-80b4-00c04fd430c8\r\n", true),
        ("/generate_204", "X-Device: 1\r\n", true),
        ("/generate_204", "Cookie: a=b\r\n", true),
        ("/generate_204", "Referer: http://b.test/\r\n", true),
        ("http://user@a.test/generate_204", "", true),
    ] {
        assert_eq!(read(target, fields), Some(expect), "{target} {fields}");
    }
}

#[test]
fn update_channels_are_seen() {
    check(
        &[
            sent("GET /packages/ota-api/1.zip HTTP/1.1\r\nHost: ota.googlezip.net\r\n\r\n"),
            back("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nCrAU"),
        ],
        "update: Payload android-ota by magic
         GET http://ota.googlezip.net/packages/ota-api/1.zip 200 65+42
         http analysed=107 unparsed=0",
    );
}

/// No value may reach a line: only its length.
#[test]
fn query_values_and_user_parts_never_show() {
    let steps = [
        sent(
            "GET http://anna:hunter2@a.test/x;sid=SECRETSID?token=SECRETTOKEN&SECRETNAME HTTP/1.1\r\nAuthorization: Bearer SECRETBEARER\r\n\r\n",
        ),
        back("HTTP/1.1 302 F\r\nLocation: /y?k=SECRETLOC\r\n\r\n"),
    ];
    let text = format!("{:?}", run(&steps, Layer::Wire));
    assert!(!text.contains("SECRET") && !text.contains("hunter2"), "{text}");
}

#[test]
fn deep_tunnels_end() {
    let mut steps = Vec::new();
    for _ in 0..500 {
        steps.push(sent("CONNECT b:1 HTTP/1.1\r\n\r\n"));
        steps.push(back("HTTP/1.1 200 OK\r\n\r\n"));
    }
    let seen = run(&steps, Layer::Wire);
    assert!(seen.iter().filter(|o| matches!(o, Observation::Request(_))).count() <= 4);
}

fn conversation() -> impl Strategy<Value = Vec<Step>> {
    let pieces = prop::sample::select(vec![
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /f HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 19\r\n\r\nuser=a&password=bbb",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip, br\r\nContent-Length: 4\r\n\r\n\x1f\u{b}xx",
        // No CONNECT: what a tunnel carries is sniffed by chunk, in a tunnel nobody knows also later on.
        "HTTP/1.1 100 Continue\r\n\r\n",
        "\r\n",
        "garbage \u{0}\u{1}",
    ]);
    prop::collection::vec((any::<bool>(), pieces), 1..8)
        .prop_map(|v| v.into_iter().map(|(out, text)| Step::Bytes(if out { Sent } else { Back }, text.as_bytes().to_vec())).collect())
}

proptest! {
    /// However a direction's bytes are cut, the same is said.
    #[test]
    fn segmentation_changes_nothing(steps in conversation(), cuts in prop::collection::vec(1usize..40, 1..30)) {
        // A first piece too short to tell a protocol is a matter of the sniffing talk, not of HTTP.
        let mut whole = vec![sent("GET /first HTTP/1.1\r\nHost: a\r\n\r\n")];
        whole.extend(steps);
        let mut cuts = cuts.iter().cycle();
        let mut cut = vec![whole[0].clone()];
        for step in &whole[1..] {
            if let Step::Bytes(dir, bytes) = step {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let n = rest.len().min(*cuts.next().unwrap());
                    cut.push(Step::Bytes(*dir, rest[..n].to_vec()));
                    rest = &rest[n..];
                }
            }
        }
        prop_assert_eq!(told(&run(&whole, Layer::Wire)), told(&run(&cut, Layer::Wire)));
    }

    /// Any bytes, any holes: no panic, and every byte is in exactly one class.
    #[test]
    fn hostile_bytes(steps in conversation(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..12), holes in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), 1u64..2000), 0..3)) {
        let mut steps = steps;
        for (step, at, value) in flips {
            if let Step::Bytes(_, bytes) = step.get_mut::<Step>(&mut steps) {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
        }
        for (at, out, len) in holes {
            let at = at.index(steps.len());
            steps.insert(at, Step::Hole(if out { Sent } else { Back }, len));
        }
        let total: usize = steps.iter().map(|s| if let Step::Bytes(_, b) = s { b.len() } else { 0 }).sum();
        let seen = run(&steps, Layer::Wire);
        let Some(Observation::Flow(flow)) = seen.last() else { panic!("no flow line") };
        prop_assert_eq!(flow.coverage.analysed + flow.coverage.unparsed, total as u64);
    }
}
