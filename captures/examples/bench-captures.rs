//! Makes the captures that `benches/run.sh` measures on: `bench-captures persona OUT`, `bench-captures http|bulk|tls OUT MEGABYTES`.
//! Long, for each kind of content is made here.
//!
//! The same arguments give the same bytes. Everything is Ethernet, IPv4 and TCP with a maximum segment of 1460 bytes, an acknowledgement for
//! every second segment, sixteen connections interleaved, no loss.
//!
//! **`http`**: keep-alive HTTP/1.1 in clear. Each connection asks 1 to 40 small things; on average about 155 small exchanges come with one
//! download of about 1 MB, so that about a fifth of the bytes, but nearly all messages, are small. Every small request has nine to
//! eleven header fields and carries planted values: half are GET with the e-mail address percent-coded and the advertising id in the query
//! beside eight other parameters, three in ten are POST of nested JSON (IMEI, hardware address, advertising id, session times, a base64
//! blob), two in ten are POST of a form. One answer in four is empty (204), one in eight is a gzip-coded JSON, the others are JSON of
//! 100 to 600 bytes. Downloads by count: 40 % like JPEG (incompressible), 25 % like a packed program (`application/octet-stream`, three
//! quarters incompressible, one quarter sparse), 12 % HTML, 8 % JSON, 10 % JavaScript, each of about 1 MB, and 5 % HTML of 1 MB that
//! crosses the wire gzip-coded. Text is made of words of uneven frequency, with links, percent signs, entities, escapes, UUIDs,
//! hex digests and times as such files have them.
//!
//! **`bulk`**: nothing but those downloads, one to four on a connection.
//!
//! **`tls`**: 93 % of the bytes are application data of TLS records up to 16 KiB (random bytes) in connections of 20 KB to 6 MB, whose
//! `ClientHello` and `ServerHello` are well formed (TLS 1.3 with key shares, SNI, ALPN; each name asked by DNS before). The rest is headers
//! of packets, acknowledgements, and a small clear HTTP exchange for one connection in eight. No QUIC.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "makes files for a bench: who starts it sees it fail"
)]

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};

use captures::link::Link;
use captures::write::{Packet, Writer};
use policies::{IdentifierType, Persona, Time};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["persona", out] => std::fs::write(out, persona()).unwrap(),
        [kind @ ("http" | "bulk" | "tls"), out, megabytes] => capture(kind, out, megabytes.parse().unwrap()),
        _ => {
            eprintln!("bench-captures persona OUT | http OUT MEGABYTES | bulk OUT MEGABYTES | tls OUT MEGABYTES");
            std::process::exit(3);
        }
    }
}

/// A made-up identity, the same each time, with a hardware address, which made-up ones leave to the device.
fn persona() -> String {
    let mut dice = Dice(11);
    let text = policies::persona::synthetic(&mut |out| out.iter_mut().for_each(|b| *b = dice.below(256) as u8));
    text + "\n[[value]]\nname  = \"wifi-mac\"\ntype  = \"mac\"\nvalue = \"a4:5e:60:c1:22:9b\"\n"
}

fn capture(kind: &str, out: &str, megabytes: u64) {
    let planted = Planted::read();
    let mut writer = Writer::new(BufWriter::with_capacity(1 << 20, File::create(out).unwrap()), "bench-captures").unwrap();
    let interface = writer.interface(Link::ETHERNET, 262_144, "bench0").unwrap();
    let mut dice = Dice(if kind == "tls" { 6 } else { 5 });
    let words = Words::new(&mut dice);
    let mut open: Vec<Connection> = Vec::new();
    let mut made = 0;
    let mut nanos = 1_700_000_000_000_000_000_i64;
    while writer.written() < megabytes * 1_000_000 || !open.is_empty() {
        while open.len() < 16 && writer.written() < megabytes * 1_000_000 {
            made += 1;
            let mut connection = Connection::new(made, if kind == "tls" { 443 } else { 80 });
            match kind {
                "http" => clear(&mut connection, &mut dice, &words, &planted),
                "bulk" => {
                    for _ in 0..=dice.below(4) {
                        download(&mut connection, &mut dice, &words);
                    }
                    connection.end();
                }
                _ => closed(&mut connection, &mut dice, &words, &planted),
            }
            open.push(connection);
        }
        let at = dice.below(open.len() as u64) as usize;
        // A burst of a connection's packets: that is how they come.
        for _ in 0..=dice.below(8) {
            let connection = &mut open[at];
            let Some(range) = connection.packets.get(connection.sent).cloned() else { break };
            connection.sent += 1;
            nanos += 2_000 + dice.below(40_000) as i64;
            let bytes = &connection.bytes[range];
            writer.packet(&Packet { interface, time: Time(nanos), len: bytes.len() as u32, bytes, comments: &[] }).unwrap();
        }
        if open[at].sent == open[at].packets.len() {
            open.swap_remove(at);
        }
    }
    writer.finish().unwrap();
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn noise(&mut self, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len + 8);
        while out.len() < len {
            out.extend_from_slice(&self.next().to_le_bytes());
        }
        out.truncate(len);
        out
    }

    fn hex(&mut self, len: usize) -> String {
        (0..len).map(|_| char::from_digit(self.below(16) as u32, 16).unwrap()).collect()
    }

    fn uuid(&mut self) -> String {
        format!("{}-{}-4{}-a{}-{}", self.hex(8), self.hex(4), self.hex(3), self.hex(3), self.hex(12))
    }

    fn base64(&mut self, len: usize) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        (0..len).map(|_| char::from(ALPHABET[self.below(64) as usize])).collect()
    }
}

/// What the requests carry.
struct Planted {
    email: String,
    imei: String,
    mac: String,
    ad_id: String,
}

impl Planted {
    fn read() -> Planted {
        let persona = Persona::parse("persona.toml", &persona()).unwrap();
        let value = |kind| persona.values.iter().find(|v| v.kind == kind).unwrap().value.reveal().to_owned();
        Planted {
            email: value(IdentifierType::Email).replace('@', "%40"),
            imei: value(IdentifierType::Imei),
            mac: value(IdentifierType::Mac),
            ad_id: value(IdentifierType::AdId),
        }
    }
}

/// Two thousand made-up words; the first are frequent, as in any language (Zipf).
struct Words(Vec<String>);

impl Words {
    fn new(dice: &mut Dice) -> Words {
        let word = |dice: &mut Dice| {
            (0..=dice.below(3))
                .map(|_| {
                    let mut s = String::new();
                    s.push(char::from(b"bcdfghklmnprstvw"[dice.below(16) as usize]));
                    s.push(char::from(b"aeiou"[dice.below(5) as usize]));
                    s
                })
                .collect::<String>()
        };
        Words((0..2000).map(|_| word(dice)).collect())
    }

    fn pick(&self, dice: &mut Dice) -> &str {
        let (a, b) = (dice.below(2000), dice.below(2000));
        &self.0[(a * b / 2000) as usize]
    }

    fn some(&self, dice: &mut Dice, n: u64) -> String {
        let mut out = String::new();
        for i in 0..n {
            if i > 0 {
                out.push(' ');
            }
            out.push_str(self.pick(dice));
        }
        out
    }
}

/// The packets of one connection, made before the first of them is written.
struct Connection {
    bytes: Vec<u8>,
    packets: Vec<std::ops::Range<usize>>,
    sent: usize,
    ends: [[u8; 6]; 2],
    seq: [u32; 2],
    unacked: u32,
    name: usize,
}

const SEGMENT: usize = 1460;
const FIN: u8 = 1;
const SYN: u8 = 2;
const PUSH: u8 = 8;
const ACK: u8 = 16;

impl Connection {
    fn new(number: u64, port: u16) -> Connection {
        let name = (number * 7 % 60) as usize;
        let device = [10, 0, 0, 2 + (number % 3) as u8];
        let peer = [198, 51, 100, 1 + name as u8];
        let end = |ip: [u8; 4], port: u16| {
            let mut end = [0; 6];
            end[..4].copy_from_slice(&ip);
            end[4..].copy_from_slice(&port.to_be_bytes());
            end
        };
        let ends = [end(device, 20_000 + (number % 40_000) as u16), end(peer, port)];
        let seq = [(number * 2_654_435_761) as u32, (number * 40_503) as u32];
        let mut new = Connection { bytes: Vec::new(), packets: Vec::new(), sent: 0, ends, seq, unacked: 0, name };
        new.segment(0, SYN, &[]);
        new.segment(1, SYN | ACK, &[]);
        new.segment(0, ACK, &[]);
        new
    }

    fn host(&self) -> String {
        format!("{}{}.example.com", ["api", "cdn", "ads", "img", "metrics"][self.name % 5], self.name)
    }

    /// A segment from side `from`: 0 is the device.
    fn segment(&mut self, from: usize, flags: u8, payload: &[u8]) {
        let mut tcp = Vec::with_capacity(20 + payload.len());
        tcp.extend_from_slice(&self.ends[from][4..]);
        tcp.extend_from_slice(&self.ends[1 - from][4..]);
        tcp.extend_from_slice(&self.seq[from].to_be_bytes());
        let ack = if flags & ACK == 0 { 0 } else { self.seq[1 - from] };
        tcp.extend_from_slice(&ack.to_be_bytes());
        tcp.extend_from_slice(&[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend_from_slice(payload);
        self.datagram(from, 6, &mut tcp, 16);
        self.seq[from] = self.seq[from].wrapping_add(payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0));
    }

    fn datagram(&mut self, from: usize, proto: u8, payload: &mut [u8], sum_at: usize) {
        let (source, target) = (self.ends[from], self.ends[1 - from]);
        let mut pseudo = Vec::from([0, proto]);
        pseudo.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        let sum = checksum(&[&source[..4], &target[..4], &pseudo, payload]);
        payload[sum_at..sum_at + 2].copy_from_slice(&sum.to_be_bytes());
        let start = self.bytes.len();
        let mac = |ip: &[u8]| [2, 0, ip[0], ip[1], ip[2], ip[3]];
        self.bytes.extend_from_slice(&mac(&target));
        self.bytes.extend_from_slice(&mac(&source));
        self.bytes.extend_from_slice(&[8, 0]);
        let mut ip = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, proto, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        ip[2..4].copy_from_slice(&((20 + payload.len()) as u16).to_be_bytes());
        ip[12..16].copy_from_slice(&source[..4]);
        ip[16..20].copy_from_slice(&target[..4]);
        let sum = checksum(&[&ip]);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        self.bytes.extend_from_slice(&ip);
        self.bytes.extend_from_slice(payload);
        self.packets.push(start..self.bytes.len());
    }

    fn say(&mut self, from: usize, bytes: &[u8]) {
        let mut parts = bytes.chunks(SEGMENT).peekable();
        while let Some(part) = parts.next() {
            self.segment(from, if parts.peek().is_none() { ACK | PUSH } else { ACK }, part);
            self.unacked += 1;
            if self.unacked == 2 {
                self.segment(1 - from, ACK, &[]);
                self.unacked = 0;
            }
        }
        self.unacked = 0;
    }

    fn end(&mut self) {
        self.segment(0, FIN | ACK, &[]);
        self.segment(1, FIN | ACK, &[]);
        self.segment(0, ACK, &[]);
    }
}

/// The internet checksum (RFC 1071).
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn clear(connection: &mut Connection, dice: &mut Dice, words: &Words, planted: &Planted) {
    for _ in 0..=dice.below(40) {
        small(connection, dice, words, planted);
    }
    if dice.below(100) < 13 {
        download(connection, dice, words);
    }
    connection.end();
}

/// A small exchange that carries planted values.
fn small(connection: &mut Connection, dice: &mut Dice, words: &Words, planted: &Planted) {
    let host = connection.host();
    let form = format!(
        "email={}&gaid={}&v=3.{}.1&lang=en_GB&tz=Europe%2FZurich&screen=1080x2400&net=wifi&ts={}&sid={}&ev={}",
        planted.email,
        planted.ad_id,
        dice.below(40),
        1_700_000_000_000 + dice.below(100_000_000),
        dice.hex(16),
        words.pick(dice)
    );
    let (line, body, media) = match dice.below(10) {
        0..5 => (format!("GET /v1/{}/{}?{form}", words.pick(dice), words.pick(dice)), String::new(), ""),
        5..8 => {
            let body = format!(
                concat!(
                    r#"{{"device":{{"imei":"{}","mac":"{}","model":"PX-{}","os":"14","ids":["{}","{}"]}},"session":{{"start":{},"#,
                    r#""length":{},"path":"\/{}\/{}","note":"{}"}},"events":[{{"name":"{}","n":{}}},{{"name":"{}","n":{}}}],"token":"{}"}}"#
                ),
                planted.imei,
                planted.mac,
                dice.below(10),
                planted.ad_id,
                dice.uuid(),
                1_700_000_000_000 + dice.below(100_000_000),
                dice.below(100_000),
                words.pick(dice),
                words.pick(dice),
                words.some(dice, 8),
                words.pick(dice),
                dice.below(100),
                words.pick(dice),
                dice.below(100),
                dice.base64(88)
            );
            (format!("POST /collect/{}", words.pick(dice)), body, "application/json")
        }
        _ => (format!("POST /f/{}", words.pick(dice)), form, "application/x-www-form-urlencoded"),
    };
    let mut request = format!(
        "{line} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Dalvik/2.1.0 (Linux; U; Android 14; PX-7 Build/UP1A.231005.007)\r\n\
         Accept: application/json, text/plain, */*\r\nAccept-Language: en-GB,en;q=0.9\r\nAccept-Encoding: gzip\r\nConnection: Keep-Alive\r\n\
         X-Request-Id: {}\r\nCookie: sid={}; v={}\r\nCache-Control: no-cache\r\n",
        dice.uuid(),
        dice.hex(32),
        dice.below(100),
    );
    if !media.is_empty() {
        write!(request, "Content-Type: {media}\r\nContent-Length: {}\r\n", body.len()).unwrap();
    }
    request.push_str("\r\n");
    request.push_str(&body);
    connection.say(0, request.as_bytes());
    let date = "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nServer: nginx\r\nConnection: keep-alive\r\n";
    match dice.below(8) {
        0 | 1 => connection.say(1, format!("HTTP/1.1 204 No Content\r\n{date}\r\n").as_bytes()),
        2 => {
            let body = gzip(object(dice, words, 30).as_bytes());
            let head = format!(
                "HTTP/1.1 200 OK\r\n{date}Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            connection.say(1, &[head.as_bytes(), &body].concat());
        }
        _ => {
            let fields = 2 + dice.below(10);
            let body = object(dice, words, fields);
            let head =
                format!("HTTP/1.1 200 OK\r\n{date}Content-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\r\n", body.len());
            connection.say(1, &[head.as_bytes(), body.as_bytes()].concat());
        }
    }
}

fn object(dice: &mut Dice, words: &Words, fields: u64) -> String {
    let mut out = String::from("{\"status\":\"ok\"");
    for n in 0..fields {
        let name = words.pick(dice);
        match dice.below(5) {
            0 => write!(out, ",\"{name}{n}\":{}", dice.below(1_000_000)),
            1 => write!(out, ",\"{name}{n}\":\"{}\"", dice.uuid()),
            2 => write!(out, ",\"{name}{n}\":[{},{},{}]", dice.below(90), dice.below(900), dice.below(9000)),
            3 => write!(out, ",\"{name}{n}\":\"https:\\/\\/{}.example.net\\/{}\"", words.pick(dice), words.pick(dice)),
            _ => write!(out, ",\"{name}{n}\":\"{}\"", words.some(dice, 4)),
        }
        .unwrap();
    }
    out.push('}');
    out
}

fn download(connection: &mut Connection, dice: &mut Dice, words: &Words) {
    let host = connection.host();
    let name = dice.hex(12);
    let size = 900_000 + dice.below(200_000) as usize;
    let (body, ending, media, coded): (Vec<u8>, _, _, _) = match dice.below(100) {
        0..40 => ([&b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01"[..], &dice.noise(size)].concat(), "jpg", "image/jpeg", false),
        40..65 => {
            let mut body = dice.noise(size);
            for part in body.chunks_mut(64 << 10).skip(1).step_by(4) {
                part.iter_mut().enumerate().filter(|(i, _)| i % 16 > 4).for_each(|(_, b)| *b = 0);
            }
            (body, "bin", "application/octet-stream", false)
        }
        65..77 => (html(dice, words, size).into_bytes(), "html", "text/html; charset=utf-8", false),
        77..85 => (json(dice, words, size).into_bytes(), "json", "application/json", false),
        85..95 => (script(dice, words, size).into_bytes(), "js", "application/javascript", false),
        _ => (gzip(html(dice, words, size * 4).as_bytes()), "html", "text/html", true),
    };
    let request =
        format!("GET /static/{name}.{ending} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: okhttp/4.12.0\r\nAccept-Encoding: gzip\r\n\r\n");
    connection.say(0, request.as_bytes());
    let coding = if coded { "Content-Encoding: gzip\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: {media}\r\n{coding}Content-Length: {}\r\nETag: \"{name}\"\r\n\r\n",
        body.len()
    );
    connection.say(1, &[head.as_bytes(), &body].concat());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    coder.write_all(bytes).unwrap();
    coder.finish().unwrap()
}

fn html(dice: &mut Dice, words: &Words, size: usize) -> String {
    let mut out = String::from("<!doctype html>\n<html><head><meta charset=\"utf-8\"></head><body>\n");
    while out.len() < size {
        let (a, b) = (words.pick(dice).to_owned(), words.pick(dice).to_owned());
        match dice.below(8) {
            0 => writeln!(out, "<div class=\"{a} {b}\" id=\"{a}-{}\">", dice.below(1000)),
            1 => writeln!(
                out,
                "<a href=\"https://www.example.org/{a}/{b}?q={a}%20{b}&amp;p={}\">{}</a>",
                dice.below(50),
                words.some(dice, 3)
            ),
            2 => writeln!(out, "<img src=\"/img/{}.jpg\" alt=\"{}\" width=\"{}\">", dice.hex(32), words.some(dice, 2), dice.below(900)),
            3 => writeln!(out, "<time datetime=\"2023-11-{:02}T12:{:02}:00+01:00\">{a}</time></div>", 1 + dice.below(28), dice.below(60)),
            _ => writeln!(out, "<p>{} &mdash; {}.</p>", words.some(dice, 20), words.some(dice, 12)),
        }
        .unwrap();
    }
    out
}

fn json(dice: &mut Dice, words: &Words, size: usize) -> String {
    let mut out = String::from("{\"items\":[");
    while out.len() < size {
        out.push_str(&object(dice, words, 12));
        out.push(',');
    }
    out.push_str("{}]}");
    out
}

fn script(dice: &mut Dice, words: &Words, size: usize) -> String {
    let mut out = String::from("!function(e,t){\"use strict\";");
    while out.len() < size {
        let (a, b) = (words.pick(dice).to_owned(), words.pick(dice).to_owned());
        match dice.below(6) {
            0 => write!(out, "function {a}{}(e,t,n){{return e===t?{b}(n):void 0}}", dice.below(99)),
            1 => write!(out, "var {a}=[{},{},{}];", dice.below(9), dice.below(99), dice.below(999)),
            2 => write!(out, "t.{a}=\"{}\\n\\u00e4\";", words.some(dice, 5)),
            3 => write!(out, "if(!e.{a}&&n.{b}>={}){{e.{a}=/^[a-z]+\\.{b}$/.test(t)}}", dice.below(1000)),
            4 => write!(out, "o({{key:\"{a}\",value:function(){{return this.{b}+\"{}\"}}}});", dice.hex(8)),
            _ => write!(out, "for(var i=0;i<{a}.length;i++){b}.push({a}[i]*{});", dice.below(100)),
        }
        .unwrap();
    }
    out.push_str("}(window);");
    out
}

fn closed(connection: &mut Connection, dice: &mut Dice, words: &Words, planted: &Planted) {
    let host = connection.host();
    connection.say(0, &client_hello(&host, dice));
    let mut answer = server_hello(dice);
    record(0x14, &[1], &mut answer);
    record(0x17, &dice.noise(3200), &mut answer);
    connection.say(1, &answer);
    let mut finished = Vec::new();
    record(0x14, &[1], &mut finished);
    record(0x17, &dice.noise(53), &mut finished);
    connection.say(0, &finished);
    // Most connections are small, most bytes are in the large ones.
    let size = [20_000, 60_000, 200_000, 600_000, 2_000_000, 6_000_000][dice.below(6) as usize];
    let mut left = size;
    while left > 0 {
        let mut asked = Vec::new();
        record(0x17, &dice.noise(200 + dice.0 as usize % 800), &mut asked);
        connection.say(0, &asked);
        let burst = left.min(256 << 10);
        let mut answer = Vec::new();
        let noise = dice.noise(burst);
        noise.chunks(16_401).for_each(|part| record(0x17, part, &mut answer));
        connection.say(1, &answer);
        left -= burst;
    }
    connection.end();
    if dice.below(8) == 0 {
        connection.ends[1][4..].copy_from_slice(&80_u16.to_be_bytes());
        connection.segment(0, SYN, &[]);
        connection.segment(1, SYN | ACK, &[]);
        small(connection, dice, words, planted);
        connection.end();
    }
    name_asked(connection, &host, dice);
}

/// A question and its answer in front of the connection's packets.
fn name_asked(connection: &mut Connection, host: &str, dice: &mut Dice) {
    let mut message = Vec::from((dice.below(1 << 16) as u16).to_be_bytes());
    message.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in host.split('.') {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    let mut answer = message.clone();
    (answer[2], answer[3], answer[7]) = (0x81, 0x80, 1);
    answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0x2c, 0, 4]);
    answer.extend_from_slice(&connection.ends[1][..4]);
    let ends = connection.ends;
    connection.ends[1] = [10, 0, 0, 1, 0, 53];
    for (from, message) in [(0, message), (1, answer)] {
        let mut udp = Vec::new();
        udp.extend_from_slice(&connection.ends[from][4..]);
        udp.extend_from_slice(&connection.ends[1 - from][4..]);
        udp.extend_from_slice(&((8 + message.len()) as u16).to_be_bytes());
        udp.extend_from_slice(&[0, 0]);
        udp.extend_from_slice(&message);
        connection.datagram(from, 17, &mut udp, 6);
    }
    connection.ends = ends;
    connection.packets.rotate_right(2);
}

/// RFC 8446 §5.1.
fn record(kind: u8, fragment: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[kind, 3, 3]);
    out.extend_from_slice(&(fragment.len() as u16).to_be_bytes());
    out.extend_from_slice(fragment);
}

fn with_length<const N: usize>(bytes: &[u8]) -> Vec<u8> {
    let len = (bytes.len() as u32).to_be_bytes();
    [&len[4 - N..], bytes].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &with_length::<2>(data)].concat()
}

/// RFC 8446 §4.1.2, with the extensions a phone sends.
fn client_hello(host: &str, dice: &mut Dice) -> Vec<u8> {
    let name = [&[0][..], &with_length::<2>(host.as_bytes())].concat();
    let share = [&[0, 29][..], &with_length::<2>(&dice.noise(32))].concat();
    let extensions = [
        extension(0, &with_length::<2>(&name)),
        extension(10, &with_length::<2>(&[0, 29, 0, 23, 0, 24])),
        extension(13, &with_length::<2>(&[4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1, 8, 6, 6, 1])),
        extension(16, &with_length::<2>(b"\x02h2\x08http/1.1")),
        extension(23, &[]),
        extension(43, &with_length::<1>(&[3, 4, 3, 3])),
        extension(45, &with_length::<1>(&[1])),
        extension(51, &with_length::<2>(&share)),
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &dice.noise(32),
        &with_length::<1>(&dice.noise(32)),
        &with_length::<2>(&[0x13, 1, 0x13, 2, 0x13, 3, 0xc0, 0x2b, 0xc0, 0x2f]),
        &with_length::<1>(&[0]),
        &with_length::<2>(&extensions),
    ]
    .concat();
    let mut out = Vec::new();
    record(0x16, &[&[1][..], &with_length::<3>(&body)].concat(), &mut out);
    out
}

/// RFC 8446 §4.1.3.
fn server_hello(dice: &mut Dice) -> Vec<u8> {
    let share = [&[0, 29][..], &with_length::<2>(&dice.noise(32))].concat();
    let extensions = [extension(43, &[3, 4]), extension(51, &share)].concat();
    let body = [&[3, 3][..], &dice.noise(32), &with_length::<1>(&dice.noise(32)), &[0x13, 1, 0], &with_length::<2>(&extensions)].concat();
    let mut out = Vec::new();
    record(0x16, &[&[2][..], &with_length::<3>(&body)].concat(), &mut out);
    out
}
