//! What each fuzz target does with bytes: nothing may panic, and what is promised of any input must hold.
//!
//! The targets call these functions, and so does `tests/fuzz.rs`, which replays the committed corpora without any fuzzer.

mod quic;
mod reassembly;
pub mod seeds;

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use analyzers::board::{Board, Demands};
use analyzers::chunk::{Chunk, Gap, Layer, Lost, Unit, Want};
use analyzers::flow::{Counts, Dir, Ends, FlowEnd, FlowKey, Transport};
use analyzers::leak::Engine;
use analyzers::observation::Observation;
use analyzers::pipeline::{Limits, Out, Pipeline, Tools};
use analyzers::reading::Reading;
use captures::{Options, Reader};
use policies::{Declaration, Persona, Policy, Time, actors, events};

/// Takes any bytes, and panics if a promise is broken.
pub type Target = fn(&[u8]);

/// Every target by name: the names of the folders in `corpus/` and of the binaries.
pub const TARGETS: &[(&str, Target)] = &[
    ("reader", reader),
    ("reassembly", reassembly::target),
    ("tls", tls),
    ("http", http),
    ("dns", dns),
    ("quic", quic),
    ("dhcp", dhcp),
    ("local", local),
    ("snmp", snmp),
    ("keylog", keylog),
    ("policies", policies),
    ("journal", journal),
];

/// A capture file: pcap, pcapng, wrapped or not, and everything in it up to the pipeline.
pub fn reader(data: &[u8]) {
    let Ok(mut reader) = Reader::open(data) else { return };
    let mut block = captures::Block::new();
    while let Ok(true) = reader.fill(&mut block) {
        for frame in block.frames() {
            assert!(frame.len as usize >= frame.bytes.len(), "a frame is no shorter on the wire than in the file");
        }
    }
    let _ = captures::scan::secrets(&mut std::io::Cursor::new(data));
    let tools = tools();
    let said = |jobs| {
        let mut said = Vec::new();
        let options = Options { jobs, ..Options::default() };
        let make = |_| Pipeline::new(Arc::clone(&tools));
        let report = captures::analyse(data, &options, make, &mut |out: Out| said.push(format!("{out:?}")), &mut |_| {});
        (said, report.is_ok())
    };
    let (alone, ok) = said(1);
    assert!(ok, "what opens is read to its end");
    // Threads cost more than the rest of it: only where there is something to divide.
    if data.len().is_multiple_of(16) {
        assert_eq!(alone, said(2).0, "any number of jobs says the same");
    }
}

pub fn tls(data: &[u8]) {
    conversation(data, Transport::Tcp, &[443, 853, 8443, 80]);
}

pub fn http(data: &[u8]) {
    conversation(data, Transport::Tcp, &[80, 8080, 443, 3128]);
}

pub fn dns(data: &[u8]) {
    let transport = if data.first().is_some_and(|b| b & 0x40 != 0) { Transport::Tcp } else { Transport::Udp };
    conversation(data, transport, &[53, 5353, 5355, 137]);
}

/// Datagrams as they are, or as the frames of Initial packets.
pub fn quic(data: &[u8]) {
    conversation(data, Transport::Udp, &[443, 80, 4433, 784]);
}

pub fn dhcp(data: &[u8]) {
    conversation(data, Transport::Udp, &[67, 68, 547, 546]);
}

pub fn local(data: &[u8]) {
    conversation(data, Transport::Udp, &[1900, 5353, 137, 123]);
}

pub fn snmp(data: &[u8]) {
    conversation(data, Transport::Udp, &[161, 162, 161, 162]);
}

pub fn keylog(data: &[u8]) {
    let log = captures::keylog::parse(data);
    assert!(log.secrets.iter().all(|s| !s.secret.is_empty()), "a secret has bytes");
}

/// All text formats of the operator; the first byte says which.
pub fn policies(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    // An error must be printable, at a place that exists.
    let problems = match which % 5 {
        0 => Policy::parse("f.toml", &text).err(),
        1 => Persona::parse("f.toml", &text).err(),
        2 => Declaration::parse("f.toml", &text).err(),
        3 => events::parse("f.toml", &text).err(),
        _ => actors::parse("f.csv", &text).err(),
    };
    for problem in problems.iter().flatten() {
        assert!(!problem.to_string().is_empty());
    }
}

/// A journal of anybody's: whole lines count, and whatever they say can be judged.
pub fn journal(data: &[u8]) {
    let demands =
        Demands { policy: Policy::default_analyze(), declaration: None, requirements: Vec::new(), attacks: policies::attack::catalogue() };
    let mut board = Board::new(Arc::new(demands));
    if analyzers::journal::read(data, |line| board.line(&line)).is_ok() {
        let findings = board.findings();
        board.roll_up(&findings);
    }
}

fn tools() -> Arc<Tools> {
    static TOOLS: OnceLock<Arc<Tools>> = OnceLock::new();
    Arc::clone(TOOLS.get_or_init(|| {
        let persona = Persona::parse("synthetic", &policies::persona::synthetic(&mut random())).expect("our own persona");
        let engine = Arc::new(Engine::for_persona(&persona, &[7; 32]));
        Arc::new(Tools {
            veil: Arc::clone(&engine) as _,
            engine: Some(engine),
            limits: Limits { body: 1 << 16, message: 1 << 14 },
            ..Tools::default()
        })
    }))
}

/// Bytes that look random and are the same each time (Knuth's MMIX generator).
fn random() -> impl FnMut(&mut [u8]) {
    let mut state = 1_u64;
    move |bytes| {
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
    }
}

/// A conversation out of bytes: the first one picks a port, then pieces follow, each with a head of two bytes: direction, whether it is a gap,
/// and a length of 14 bits.
fn conversation(data: &[u8], transport: Transport, ports: &[u16; 4]) {
    let Some((pick, mut rest)) = data.split_first() else { return };
    let port = ports[usize::from(pick % 4)];
    let a = std::net::SocketAddr::from(([192, 168, 1, 2], 40_000));
    let b = if port == 5353 || port == 1900 { [224, 0, 0, 251] } else { [203, 0, 113, 7] };
    let ends = Ends { transport, a, b: (b, port).into(), a_mac: None, b_mac: None, from_start: pick & 0x80 == 0 };
    let (flow, mut out) = (FlowKey::new(0, 1), Vec::new());
    let mut pipeline = Pipeline::new(tools());
    pipeline.open(flow, &ends, Time(0), 1, &mut out);
    let (mut frame, mut delivered, mut offsets, mut missing) = (1_u64, 0_u64, [0_u64; 2], [0_u64; 2]);
    while let Some((head, tail)) = rest.split_first_chunk::<2>() {
        let head = u16::from_be_bytes(*head);
        let dir = if head & 0x8000 == 0 { Dir::Out } else { Dir::Back };
        let len = usize::from(head & 0x3fff);
        frame += 1;
        let time = Time(frame as i64 * 1_000_000);
        let offset = &mut offsets[dir.index()];
        if head & 0x4000 != 0 && transport == Transport::Tcp {
            let gap = Gap { flow, dir, offset: *offset, len: len as u64 + 1, why: Lost::Sequence, time, frame };
            *offset += len as u64 + 1;
            missing[dir.index()] += len as u64 + 1;
            pipeline.gap(gap, &mut out);
            rest = tail;
            continue;
        }
        let (bytes, tail) = tail.split_at(len.min(tail.len()));
        rest = tail;
        let sealed;
        let bytes = if pick & 0x40 != 0 && transport == Transport::Udp && port == 443 {
            sealed = quic::initial(dir, frame as u32, bytes);
            &sealed
        } else {
            bytes
        };
        if bytes.is_empty() {
            continue;
        }
        let unit = if transport == Transport::Tcp { Unit::Stream { offset: *offset } } else { Unit::Datagram };
        let _: Want = pipeline.chunk(Chunk { flow, dir, unit, layer: Layer::Wire, time, frame, bytes }, &mut out);
        *offset += bytes.len() as u64;
        delivered += bytes.len() as u64;
    }
    let counts = Counts { missing, ..Counts::default() };
    pipeline.close(flow, FlowEnd::Fin, &counts, Time(frame as i64 * 1_000_000), frame, &mut out);
    pipeline.finish(Time(frame as i64 * 1_000_000), frame, &mut out);
    let mut text = String::new();
    for said in &out {
        let Out::Seen(draft) = said else { continue };
        text.clear();
        write!(text, "{}", serde_json::to_string(&draft.seen).expect("every fact can be written")).expect("a string takes all");
        assert!(text.len() < 4 << 20, "a line is never too long to be read again");
        let again: Observation = serde_json::from_str(&text).expect("what was written can be read");
        assert_eq!(again, draft.seen, "and says the same");
        if let Observation::Flow(f) = &draft.seen {
            let sum = f.coverage.analysed + f.coverage.encrypted + f.coverage.unparsed;
            assert_eq!(sum, delivered, "every byte is counted once: {:?}", f.coverage);
        }
    }
}

/// Runs the target of that name.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(n, _)| *n == name).expect("a target of that name");
    target(data);
}
