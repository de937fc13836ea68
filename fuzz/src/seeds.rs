//! Where fuzzing starts: small inputs made here, none from anybody's traffic. `UPDATE=1 cargo test --test fuzz` writes them to `corpus/`.

use analyzers::flow::Dir;
use analyzers::keys::{Secret, SecretLabel};
use captures::write::Packet;
use captures::{Link, Writer};
use policies::Time;

/// Target, name and bytes.
pub fn all() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let client = client_hello();
    let (pcap, pcapng) = (pcap(), pcapng());
    vec![
        ("reader", "pcap", pcap.clone()),
        ("reader", "pcapng", pcapng.clone()),
        ("reader", "gzip", gzip(&pcap)),
        ("reader", "zstd", zstd(&pcap[..200])),
        ("reassembly", "in-order", segments(&[(0, 0, 20, 0), (0, 20, 20, 0), (1, 0, 30, 0), (0, 40, 9, 0)])),
        ("reassembly", "holes", segments(&[(0, 0, 20, 0), (0, 40, 20, 0), (0, 20, 20, 0), (4, 80, 40, 0), (0, 200, 5, 1)])),
        ("reassembly", "conflict", segments(&[(0, 0, 20, 0), (10, 5, 20, 0), (0, 60, 20, 0), (18, 60, 20, 0), (0, 10, 60, 0)])),
        ("tls", "hello", pieces(0, &[(Dir::Out, &client)])),
        ("tls", "handshake", pieces(0, &[(Dir::Out, &client), (Dir::Back, &server_hello(0xc02f, 0)), (Dir::Back, CCS), (Dir::Out, CCS)])),
        ("tls", "null-cipher", pieces(0, &[(Dir::Out, &client), (Dir::Back, &server_hello(2, 0)), (Dir::Out, CCS), (Dir::Out, NULL_DATA)])),
        ("tls", "split", pieces(0, &[(Dir::Out, &client[..7]), (Dir::Out, &client[7..40]), (Dir::Out, &client[40..])])),
        ("http", "exchange", pieces(0, &[(Dir::Out, GET), (Dir::Back, b"HTTP/1.1 204 No Content\r\n\r\n")])),
        ("http", "chunked", pieces(0, &[(Dir::Out, POST), (Dir::Back, CHUNKED)])),
        ("http", "tunnel", pieces(3, &[(Dir::Out, CONNECT), (Dir::Back, b"HTTP/1.1 200 OK\r\n\r\n"), (Dir::Out, &client)])),
        ("http", "upgrade", pieces(0, &[(Dir::Out, UPGRADE), (Dir::Back, SWITCH), (Dir::Out, b"\x81\x05hello")])),
        ("dns", "udp", pieces(0, &[(Dir::Out, &question(b"\x04shop\x04test\0")), (Dir::Back, &answer())])),
        ("dns", "tcp", pieces(0x40, &[(Dir::Out, &prefixed(&question(b"\x04shop\x04test\0"))), (Dir::Back, &prefixed(&answer()))])),
        ("dns", "mdns", pieces(1, &[(Dir::Out, &question(b"\x05_http\x04_tcp\x05local\0"))])),
        ("quic", "sealed", pieces(0x40, &[(Dir::Out, &crypto_frame(&client[5..]))])),
        ("quic", "raw", pieces(0, &[(Dir::Out, &super::quic::initial(Dir::Out, 0, &crypto_frame(&client[5..])))])),
        ("dhcp", "discover", pieces(0, &[(Dir::Out, &discover())])),
        ("dhcp", "solicit", pieces(2, &[(Dir::Out, &solicit())])),
        ("local", "ssdp", pieces(0, &[(Dir::Out, b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nST: ssdp:all\r\n\r\n")])),
        ("snmp", "get", pieces(0, &[(Dir::Out, SNMP)])),
        ("keylog", "lines", format!("# c\nCLIENT_RANDOM {0} {0}{0}\nCLIENT_TRAFFIC_SECRET_0 {0} {0}\n", "0a".repeat(32)).into_bytes()),
        ("policies", "policy", text(0, POLICY)),
        ("policies", "persona", text(1, &policies::persona::synthetic(&mut super::random()))),
        ("policies", "declaration", text(2, DECLARATION)),
        ("policies", "events", text(3, EVENTS)),
        ("policies", "actors", text(4, ACTORS)),
        ("journal", "lines", JOURNAL.as_bytes().to_vec()),
    ]
}

const CCS: &[u8] = &[20, 3, 3, 0, 1, 1];
const NULL_DATA: &[u8] = b"\x17\x03\x03\0\x2eGET / HTTP/1.1\r\n\r\n........(HMAC-SHA1, 20)........";
const GET: &[u8] = b"GET /a?b=c HTTP/1.1\r\nHost: shop.test\r\nCookie: a=b\r\n\r\n";
const POST: &[u8] =
    b"POST /form HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 13\r\n\r\nuser=a&pass=b";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n8\r\n{\"a\":\"b\"\r\n1\r\n}\r\n0\r\nX-T: 1\r\n\r\n";
const CONNECT: &[u8] = b"CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test:443\r\n\r\n";
const UPGRADE: &[u8] = b"GET /chat HTTP/1.1\r\nHost: shop.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
const SNMP: &[u8] =
    b"\x30\x29\x02\x01\x01\x04\x06s3cret\xa0\x1c\x02\x01\x01\x02\x01\0\x02\x01\0\x30\x11\x30\x0f\x06\x08\x2b\x06\x01\x02\x01\x01\x05\0\x04\x03abc";
const POLICY: &str = "schema = \"overhear/policy/1\"\n[thresholds]\nloss_percent = 0.5\n[[exceptions]]\nrule = \"a\"\nchecks = [\"tls.*\"]\npeers = [\"shop.test\"]\ncontent = \"any\"\nreason = \"b\"\n";
const DECLARATION: &str = "schema = \"overhear/declaration/1\"\nchannels_complete = true\n[dns]\nclaim = \"strict\"\nresolvers = [\"dns.test\"]\n[[channels]]\nname = \"shop\"\npeers = [\"shop.test\"]\nprotocol = \"https\"\npurpose = \"orders\"\n";
const EVENTS: &str = "{\"at\":\"2026-01-01T00:00:00Z\",\"kind\":\"enrol\",\"phase\":\"start\"}\n{\"at\":\"2026-01-01T00:00:09Z\",\"kind\":\"enrol\",\"phase\":\"end\"}\n";
const ACTORS: &str = "proto,src,sport,dst,dport,class,package\ntcp,192.168.1.2,40000,203.0.113.7,443,user-app,com.example\n";
const JOURNAL: &str = "{\"n\":1,\"at\":\"2026-01-01T00:00:00Z\",\"seen\":{\"planted\":{\"name\":\"imei-1\",\"kind\":\"imei\",\"token\":\"aa\"}}}\n{\"n\":2,\"at\":\"2026-01-01T00:00:00Z\",\"seen\":{\"ledger\":{\"flows\":3,\"analysed\":1000,\"encrypted\":0,\"unparsed\":0,\"missed\":0,\"unattributed\":0,\"by_app\":[],\"folded\":[]}}}\n";

fn text(which: u8, text: &str) -> Vec<u8> {
    [&[which], text.as_bytes()].concat()
}

fn pieces(pick: u8, all: &[(Dir, &[u8])]) -> Vec<u8> {
    let mut out = vec![pick];
    for (dir, bytes) in all {
        let head = bytes.len() as u16 | if *dir == Dir::Back { 0x8000 } else { 0 };
        out.extend_from_slice(&head.to_be_bytes());
        out.extend_from_slice(bytes);
    }
    out
}

fn segments(all: &[(u8, u16, u8, u8)]) -> Vec<u8> {
    let mut out = vec![0xff, 0xff, 0xff, 0xf0];
    for (how, at, len, ack) in all {
        out.push(*how);
        out.extend_from_slice(&at.to_be_bytes());
        out.extend_from_slice(&[*len, *ack]);
    }
    out
}

fn prefixed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

fn record(message: &[u8]) -> Vec<u8> {
    [&[22, 3, 1][..], &prefixed(message)].concat()
}

/// A handshake message.
fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0][..], &prefixed(body)].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &prefixed(body)].concat()
}

fn client_hello() -> Vec<u8> {
    let name = [&[0, 12, 0][..], &prefixed(b"shop.test")].concat();
    let extensions = [
        extension(0, &name),
        extension(16, &[0, 12, 2, b'h', b'2', 8, b'h', b't', b't', b'p', b'/', b'1', b'.', b'1']),
        extension(43, &[4, 3, 4, 3, 3]),
        extension(10, &[0, 4, 0, 29, 0, 23]),
        extension(0x0a0a, &[]),
        extension(51, &[0, 6, 0, 29, 0, 2, 1, 2]),
    ]
    .concat();
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&[0, 0, 6, 0x13, 1, 0xc0, 0x2f, 0, 2, 1, 0]);
    body.extend_from_slice(&prefixed(&extensions));
    record(&handshake(1, &body))
}

fn server_hello(suite: u16, compression: u8) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[9; 32]);
    body.push(0);
    body.extend_from_slice(&suite.to_be_bytes());
    body.push(compression);
    record(&handshake(2, &body))
}

fn question(name: &[u8]) -> Vec<u8> {
    [&[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], name, &[0, 1, 0, 1]].concat()
}

fn answer() -> Vec<u8> {
    let mut out = question(b"\x04shop\x04test\0");
    out[2] = 0x81;
    out[3] = 0x80;
    out[7] = 1;
    out.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 7]);
    out
}

fn crypto_frame(message: &[u8]) -> Vec<u8> {
    let mut out = vec![6, 0];
    out.extend_from_slice(&(0x4000 | message.len() as u16).to_be_bytes());
    out.extend_from_slice(message);
    out.resize(out.len().max(1162), 0);
    out
}

fn discover() -> Vec<u8> {
    let mut out = vec![1, 1, 6, 0, 1, 2, 3, 4];
    out.resize(28, 0);
    out.extend_from_slice(&[2, 0, 0, 0, 0, 1]);
    out.resize(236, 0);
    out.extend_from_slice(&[0x63, 0x82, 0x53, 0x63, 53, 1, 1, 12, 5, b'p', b'h', b'o', b'n', b'e', 55, 2, 1, 3, 255]);
    out
}

fn solicit() -> Vec<u8> {
    let duid = [0, 1, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 0, 1];
    [&[1, 1, 2, 3][..], &duid, &[0, 39, 0, 7, 1, 5], b"phone", &[0, 6, 0, 2, 0, 23]].concat()
}

/// An Ethernet frame with a datagram in it.
fn frame(port: u16, payload: &[u8]) -> Vec<u8> {
    let len = (28 + payload.len()) as u16;
    let mut out = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&[0, 1, 0, 0, 64, 17, 0, 0, 192, 168, 1, 2, 203, 0, 113, 7, 0x9c, 0x40]);
    out.extend_from_slice(&port.to_be_bytes());
    out.extend_from_slice(&(len - 20).to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(payload);
    out
}

fn pcap() -> Vec<u8> {
    let mut out = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
    out.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]);
    let inner = frame(53, &question(b"\x04shop\x04test\0"));
    let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &inner].concat();
    let gtp = [&[0x30, 0xff][..], &((inner.len() - 14) as u16).to_be_bytes(), &[0, 0, 0, 1], &inner[14..]].concat();
    for (n, bytes) in (1_u32..).zip([inner.clone(), frame(4789, &vxlan), frame(2152, &gtp)]) {
        for word in [n, 0, bytes.len() as u32, bytes.len() as u32] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&bytes);
    }
    out
}

fn pcapng() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), "seed").expect("memory");
    let interface = writer.interface(Link::ETHERNET, 65_535, "eth0").expect("memory");
    let secret = Secret { label: SecretLabel::Master, client_random: [7; 32], secret: vec![5; 48] };
    writer.secrets(&[secret]).expect("memory");
    let bytes = frame(53, &question(b"\x04shop\x04test\0"));
    let packet = Packet { interface, time: Time(1_000_000_000), len: bytes.len() as u32, bytes: &bytes, comments: &["a comment"] };
    writer.packet(&packet).expect("memory");
    writer.statistics(interface, Time(2_000_000_000), 1, 0).expect("memory");
    writer.finish().expect("memory")
}

/// Stored, not compressed (RFC 1951 §3.2.4, RFC 1952).
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len() as u16;
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&(!len).to_le_bytes());
    out.extend_from_slice(bytes);
    let crc = !bytes.iter().fold(!0_u32, |crc, b| (0..8).fold(crc ^ u32::from(*b), |c, _| (c >> 1) ^ (0xedb8_8320 * (c & 1))));
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&u32::from(len).to_le_bytes());
    out
}

/// One raw block in one segment (RFC 8878 §3.1.1).
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len() as u8;
    let head = u32::from(len) << 3 | 1;
    [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, len][..], &head.to_le_bytes()[..3], bytes].concat()
}
