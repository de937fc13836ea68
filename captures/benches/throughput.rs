//! Framing, flows and reassembly, without any dissector: `cargo bench -p overhear-captures [-- FILE...]`; without a file on a made-up one.
//!
//! Prints MB of file per CPU second and per second of wall time, for each way of serving.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a bench reads files and the clock, and prints")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use analyzers::chunk::{Chunk, Gap, Want};
use analyzers::flow::{Counts, Dir, Ends, FlowEnd, FlowKey};
use analyzers::keys::Secret;
use analyzers::observation::{Neighbour, OddKind};
use captures::{Block, Drive, Options, Outs, Reader, analyse};
use policies::Time;

/// Wants what it is told to want, and touches nothing.
struct Counter(Want, u64);

impl Drive for Counter {
    type Out = u64;

    fn open(&mut self, _: FlowKey, _: &Ends, _: Time, _: u64, _: &mut Outs<u64>) {}
    fn chunk(&mut self, chunk: Chunk<'_>, _: &mut Outs<u64>) -> Want {
        self.1 += chunk.bytes.len() as u64;
        self.0
    }
    fn passed(&mut self, _: FlowKey, _: Dir, len: u64, _: Time) {
        self.1 += len;
    }
    fn gap(&mut self, _: Gap, _: &mut Outs<u64>) -> Want {
        self.0
    }
    fn close(&mut self, _: FlowKey, _: FlowEnd, _: &Counts, _: Time, _: u64, _: &mut Outs<u64>) {}
    fn link(&mut self, _: Neighbour, _: Time, _: u64, _: &mut Outs<u64>) {}
    fn odd(&mut self, _: Option<FlowKey>, _: OddKind, _: &str, _: Time, _: u64, _: &mut Outs<u64>) {}
    fn key(&mut self, _: &Secret) {}
    fn tick(&mut self, _: Time, _: u64, _: &mut Outs<u64>) {}
    fn finish(&mut self, _: Time, _: u64, out: &mut Outs<u64>) {
        out.push(self.1);
    }
}

fn main() {
    let files: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    if files.is_empty() {
        measure("made up", &made_up());
    }
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        measure(&file, &bytes);
    }
}

fn measure(name: &str, bytes: &[u8]) {
    println!("{name}: {} MB", bytes.len() / 1_000_000);
    row("framing only", bytes, |bytes| {
        let mut reader = Reader::open(bytes).unwrap();
        let mut block = Block::new();
        let mut packets = 0;
        while reader.fill(&mut block).unwrap() {
            packets += block.len();
        }
        format!("{packets} packets")
    });
    for (what, want, jobs) in [
        ("flows, nothing wanted", Want::Nothing, 1),
        ("flows, all wanted", Want::All, 1),
        ("the same, 2 jobs", Want::All, 2),
        ("the same, 4 jobs", Want::All, 4),
    ] {
        row(what, bytes, |bytes| {
            let mut delivered = 0;
            let options = Options { jobs, ..Options::default() };
            let report = analyse(bytes, &options, |_| Counter(want, 0), &mut |n| delivered += n, &mut |_| {}).unwrap();
            format!("{} flows, {delivered} payload bytes, {} evicted", report.flows, report.evicted)
        });
    }
}

/// The best of five.
fn row(what: &str, bytes: &[u8], run: impl Fn(&[u8]) -> String) {
    let mut best = (f64::MAX, f64::MAX);
    let mut said = String::new();
    for _ in 0..5 {
        let (cpu, wall) = (cpu_seconds(), Instant::now());
        said = run(bytes);
        best = (best.0.min(cpu_seconds() - cpu), best.1.min(wall.elapsed().as_secs_f64()));
    }
    let mb = bytes.len() as f64 / 1e6;
    println!("  {what:24} {:7.0} MB per CPU second {:7.0} MB/s  ({said})", mb / best.0.max(0.01), mb / best.1);
}

/// User and system time of this process, from /proc (hundredths of a second).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// 200 MB: 2000 connections side by side, segments of many sizes, some repeated, some out of order.
fn made_up() -> Vec<u8> {
    let mut capture = support::Pcap::new(1);
    let payload = [b'x'; 1400];
    let mut seqs = vec![1_u32; 2000];
    let mut state = 7_u64;
    let mut nanos = 1_700_000_000_000_000_000;
    while capture.0.len() < 200_000_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let i = (state >> 40) as usize % seqs.len();
        let len = [0, 60, 300, 1400][(state >> 33) as usize % 4];
        let seq = seqs[i];
        nanos += 10_000;
        capture.frame(nanos, &support::tcp(true, (10_000 + i as u16, 443), seq, 1, support::ACK, &payload[..len]));
        if (state >> 20) & 0x3f != 0 {
            seqs[i] = seq.wrapping_add(len as u32);
        }
    }
    capture.0
}
