//! What the tests share: packets in compact notation, captures in memory, and a pipeline that writes down what it hears.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::print_stderr, reason = "tests; not every test uses everything")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use analyzers::chunk::{Chunk, Gap, Unit, Want};
use analyzers::flow::{Counts, Dir, Ends, FlowEnd, FlowKey};
use analyzers::keys::Secret;
use analyzers::observation::{Neighbour, OddKind};
use captures::{Drive, Options, Outs, Report, analyse};
use policies::Time;

/// Captures with truth, which are not ours to commit: where `OVERHEAR_CAPTURES` says (from the workspace's root), or beside the workspace.
pub fn corpus() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let told = std::env::var_os("OVERHEAR_CAPTURES").map(PathBuf::from);
    let places = told.map_or_else(|| vec!["../shared/captures".into(), "../../shared/captures".into()], |dir| vec![dir]);
    let found = places.iter().map(|dir| root.join(dir)).find(|dir| dir.is_dir());
    if found.is_none() {
        eprintln!("skipped: no captures; OVERHEAR_CAPTURES names their folder");
    }
    found
}

/// Says everything it is told as a line of text.
#[derive(Debug, Default)]
pub struct Recorder {
    /// What every direction answers after this many chunks; `All` before.
    pub want: Option<(u32, Want)>,
    chunks: u32,
}

fn arrow(dir: Dir) -> char {
    if dir == Dir::Out { '>' } else { '<' }
}

fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

impl Recorder {
    fn answer(&mut self) -> Want {
        self.chunks += 1;
        match self.want {
            Some((after, want)) if self.chunks >= after => want,
            _ => Want::All,
        }
    }
}

impl Drive for Recorder {
    type Out = String;

    fn open(&mut self, _: FlowKey, ends: &Ends, _: Time, _: u64, out: &mut Outs<String>) {
        let how = if ends.from_start { "open" } else { "join" };
        out.push(format!("{how} {} {}-{}", ends.transport, ends.a.port(), ends.b.port()));
    }

    fn chunk(&mut self, chunk: Chunk<'_>, out: &mut Outs<String>) -> Want {
        let at = match chunk.unit {
            Unit::Stream { offset } => offset.to_string(),
            _ => String::new(),
        };
        out.push(format!("{}{at} {}", arrow(chunk.dir), show(chunk.bytes)));
        self.answer()
    }

    fn passed(&mut self, _: FlowKey, _: Dir, _: u64, _: Time) {}

    fn gap(&mut self, gap: Gap, out: &mut Outs<String>) -> Want {
        out.push(format!("{}{} gap {} {:?}", arrow(gap.dir), gap.offset, gap.len, gap.why));
        Want::All
    }

    fn close(&mut self, _: FlowKey, end: FlowEnd, counts: &Counts, _: Time, frame: u64, out: &mut Outs<String>) {
        let mut line = format!("close {end:?} at {frame}");
        let [again, missing] = [counts.retransmitted.iter().sum::<u32>().into(), counts.missing.iter().sum::<u64>()];
        for (word, n) in
            [("again", again), ("reordered", counts.reordered.into()), ("differ", counts.conflicting.into()), ("missing", missing)]
        {
            if n > 0 {
                write!(line, " {word} {n}").unwrap();
            }
        }
        out.push(line);
    }

    fn link(&mut self, fact: Neighbour, _: Time, _: u64, out: &mut Outs<String>) {
        out.push(format!("{:?} {} is {}", fact.source, fact.ip, fact.mac));
    }

    fn odd(&mut self, _: Option<FlowKey>, what: OddKind, _: &str, _: Time, _: u64, out: &mut Outs<String>) {
        out.push(format!("odd {what:?}"));
    }

    fn key(&mut self, _: &Secret) {}

    fn tick(&mut self, _: Time, _: u64, _: &mut Outs<String>) {}

    fn finish(&mut self, _: Time, _: u64, _: &mut Outs<String>) {}
}

/// Everything the shards said, and the report.
pub fn run(capture: &[u8], options: &Options) -> (Vec<String>, Report) {
    let mut lines = Vec::new();
    let report = analyse(capture, options, |_| Recorder::default(), &mut |line| lines.push(line), &mut |_| {}).unwrap();
    (lines, report)
}

/// A pcap file in memory: frames with times in nanoseconds.
#[derive(Debug)]
pub struct Pcap(pub Vec<u8>);

impl Pcap {
    pub fn new(link: u32) -> Pcap {
        let mut bytes = 0xa1b2_3c4d_u32.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0]);
        bytes.extend_from_slice(&link.to_le_bytes());
        Pcap(bytes)
    }

    pub fn frame(&mut self, nanos: u64, bytes: &[u8]) {
        self.cut_frame(nanos, bytes, bytes.len());
    }

    /// A frame of which only `kept` bytes were captured.
    pub fn cut_frame(&mut self, nanos: u64, bytes: &[u8], kept: usize) {
        for word in [nanos / 1_000_000_000, nanos % 1_000_000_000, kept as u64, bytes.len() as u64] {
            self.0.extend_from_slice(&(word as u32).to_le_bytes());
        }
        self.0.extend_from_slice(&bytes[..kept]);
    }
}

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

/// An Ethernet frame around an IPv4 packet between 192.0.2.1 (out) and 192.0.2.2.
pub fn ipv4(out: bool, proto: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let total = (20 + payload.len()) as u16;
    frame.extend_from_slice(&[0x45, 0]);
    frame.extend_from_slice(&total.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0x40, 0, 64, proto, 0, 0]);
    let (src, dst) = if out { (1, 2) } else { (2, 1) };
    frame.extend_from_slice(&[192, 0, 2, src, 192, 0, 2, dst]);
    frame.extend_from_slice(payload);
    frame
}

pub fn tcp(out: bool, ports: (u16, u16), seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let (from, to) = if out { ports } else { (ports.1, ports.0) };
    let mut segment = Vec::new();
    segment.extend_from_slice(&from.to_be_bytes());
    segment.extend_from_slice(&to.to_be_bytes());
    segment.extend_from_slice(&seq.to_be_bytes());
    segment.extend_from_slice(&ack.to_be_bytes());
    segment.extend_from_slice(&[0x50, flags, 255, 255, 0, 0, 0, 0]);
    segment.extend_from_slice(payload);
    ipv4(out, 6, &segment)
}

pub fn udp(out: bool, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let (from, to) = if out { ports } else { (ports.1, ports.0) };
    let mut datagram = Vec::new();
    datagram.extend_from_slice(&from.to_be_bytes());
    datagram.extend_from_slice(&to.to_be_bytes());
    datagram.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
    datagram.extend_from_slice(&[0, 0]);
    datagram.extend_from_slice(payload);
    ipv4(out, 17, &datagram)
}

/// Packets of one TCP connection, port 40000 to 443, a millisecond apart, separated by spaces:
/// `>` or `<`, flags of `SFRA`, the sequence number, `,ack` (sets A), `:payload`; `wait N` lets N seconds pass; a trailing `!N` keeps only
/// N payload bytes in the capture.
pub fn conversation(text: &str) -> Vec<u8> {
    let mut capture = Pcap::new(1);
    let mut nanos = 1_700_000_000_000_000_000;
    for word in text.split_whitespace() {
        nanos += 1_000_000;
        if let Some(secs) = word.strip_prefix("wait") {
            nanos += secs.parse::<u64>().unwrap() * 1_000_000_000;
            continue;
        }
        let (word, kept) = word.split_once('!').map_or((word, None), |(w, n)| (w, Some(n.parse::<usize>().unwrap())));
        let out = word.starts_with('>');
        let rest = &word[1..];
        let (head, payload) = rest.split_once(':').unwrap_or((rest, ""));
        let (head, ack) = head.split_once(',').unwrap_or((head, ""));
        let digits = head.find(|c: char| c.is_ascii_digit()).unwrap();
        let mut flags = 0;
        for letter in head[..digits].chars() {
            flags |= match letter {
                'S' => SYN,
                'F' => FIN,
                'R' => RST,
                'A' => ACK,
                other => unreachable!("flag {other}"),
            };
        }
        if !ack.is_empty() {
            flags |= ACK;
        }
        let frame = tcp(out, (40_000, 443), head[digits..].parse().unwrap(), ack.parse().unwrap_or(0), flags, payload.as_bytes());
        capture.cut_frame(nanos, &frame, kept.map_or(frame.len(), |n| 54 + n));
    }
    capture.0
}
