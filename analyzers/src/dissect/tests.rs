//! What is said of conversations that are not what they seem: clear bytes where something sealed is expected, starts in odd places.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use policies::{IdentifierType, Time};

use crate::chunk::{Chunk, Layer, Unit};
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
        let unit = if self.transport == Transport::Udp { Unit::Datagram } else { Unit::Stream { offset } };
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
                Some(format!("served {:x} chain {} group {:?} without hello {}", s.version, s.chain.len(), s.group, s.without_hello))
            }
            Observation::Bound(b) => b.peer.name.map(|name| format!("bound {name}")),
            Observation::Unparsed(u) => Some(format!("unparsed {} {:?} {}", u.what.word(), u.reason, u.bytes)),
            Observation::Undecrypted(u) => Some(format!("undecrypted {} {:?} {}", u.protocol.word(), u.reason, u.bytes)),
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
