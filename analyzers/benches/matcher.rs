//! How fast the stream search goes over HTTP-like text: `cargo bench -p overhear-analyzers --bench matcher`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a bench prints its result")]

use std::hint::black_box;
use std::time::Instant;

use analyzers::leak::{Carry, Engine, Kind, Seed};

const SIZE: usize = 192 << 20;
/// What a stream delivers at a time: a few full TCP segments.
const PIECE: usize = 16 << 10;

fn main() {
    let mut chance = Chance(1);
    let text = corpus(&mut chance, SIZE, false);
    let mixed = corpus(&mut chance, SIZE, true);
    println!("{:>8} {:>8} {:>8} {:>10} {:>10} {:>10}", "seeds", "needles", "build ms", "text GB/s", "mix GB/s", "found");
    for seeds in [0, 1, 5, 14, 40, 400] {
        let started = Instant::now();
        let engine = Engine::new((0..seeds).map(|n| seed(n, &mut chance)), &[1; 32]);
        let built = started.elapsed().as_millis();
        let planted = plant(&engine, &text, seeds);
        println!(
            "{seeds:>8} {:>8} {built:>8} {:>10.2} {:>10.2} {planted:>10} {:?}",
            engine.needles(),
            speed(&engine, &text),
            speed(&engine, &mixed),
            engine.tiers(),
        );
    }
}

/// Best of three.
fn speed(engine: &Engine, text: &[u8]) -> f64 {
    (0..3)
        .map(|_| {
            let started = busy();
            let (mut carry, mut found) = (Carry::default(), 0u64);
            for piece in text.chunks(PIECE) {
                engine.scan(&mut carry, piece, &mut |_| found += 1);
            }
            black_box(found);
            text.len() as f64 / (busy() - started).max(1e-9) / 1e9
        })
        .fold(0.0, f64::max)
}

/// Seconds this thread has run: other work on the machine does not count.
fn busy() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// Proof that the fast search is a search: one value in a hundred places, all found.
fn plant(engine: &Engine, text: &[u8], seeds: u32) -> String {
    let mut chance = Chance(7);
    let mut text = text[..8 << 20].to_vec();
    let value = seed(0, &mut Chance(0)).value;
    for n in 0..100 {
        let at = 1000 + n * 80_000 + chance.below(60_000);
        text[at..at + value.len()].copy_from_slice(value.as_bytes());
    }
    let (mut carry, mut found) = (Carry::default(), 0);
    for piece in text.chunks(1460) {
        engine.scan(&mut carry, piece, &mut |f| found += u32::from(f.chain.is_empty() && f.seed.as_ref().is_some_and(|s| *s == "value-0")));
    }
    if seeds == 0 { String::new() } else { format!("{found}/100") }
}

fn seed(n: u32, chance: &mut Chance) -> Seed {
    let hex = |chance: &mut Chance, len: usize| (0..len).map(|_| char::from(b"0123456789abcdef"[chance.below(16)])).collect::<String>();
    let digits = |chance: &mut Chance, len: usize| (0..len).map(|_| char::from(b'0' + chance.below(10) as u8)).collect::<String>();
    let word = |chance: &mut Chance, len: usize| (0..len).map(|_| char::from(b'a' + chance.below(26) as u8)).collect::<String>();
    if n == 0 {
        return Seed { name: "value-0".into(), kind: Kind::Email, value: "anna.quist.7181@example.org".into() };
    }
    let (kind, value) = match n % 8 {
        0 => (Kind::Email, format!("{}.{}@{}.org", word(chance, 6), word(chance, 7), word(chance, 9))),
        1 => (Kind::Imei, format!("35{}", digits(chance, 13))),
        2 => (Kind::Mac, hex(chance, 12)),
        3 => (Kind::AdId, hex(chance, 32)),
        4 => (Kind::AndroidId, hex(chance, 16)),
        5 => (Kind::Msisdn, format!("+41{}", digits(chance, 9))),
        6 => (Kind::PersonName, format!("{} {}", word(chance, 5), word(chance, 8))),
        _ => (Kind::Serial, word(chance, 11).to_uppercase()),
    };
    Seed { name: format!("value-{n}"), kind, value }
}

fn corpus(chance: &mut Chance, size: usize, binary: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(size + 4096);
    while out.len() < size {
        if binary && chance.below(10) < 4 {
            let len = 200 + chance.below(1200);
            out.extend((0..len).map(|_| chance.next() as u8));
            continue;
        }
        let id = chance.next();
        let line = format!(
            "POST /v{}/collect?tid=UA-{}-1&cid={:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}&ul=en-us&sr=1080x1920&z={} HTTP/1.1\r\nHost: www.metrics{}.example.com\r\n\
             User-Agent: Dalvik/2.1.0 (Linux; U; Android 13; SM-G99{}B Build/TP1A.220624.014)\r\nAccept-Encoding: gzip\r\nContent-Type: application/json; charset=utf-8\r\n\
             Cookie: sid={:016x}{:016x}; theme=dark\r\nContent-Length: {}\r\n\r\n{{\"event\":\"screen_view\",\"ts\":{},\"session\":\"{:032x}\",\"user\":\"u{}@mail{}.test\",\"locale\":\"de_CH\",\
             \"props\":{{\"screen\":\"home\",\"previous\":\"settings\",\"battery\":0.{},\"network\":\"wifi\",\"sdk\":\"4.{}.1\"}}}}\r\n",
            id % 9,
            id % 99_999_999,
            id as u32,
            id as u16,
            id % 4096,
            (id >> 9) % 4096,
            id % (1 << 48),
            id % 1_000_000_007,
            id % 40,
            id % 10,
            id.rotate_left(7),
            id.rotate_left(31),
            id % 900,
            1_700_000_000 + id % 99_999_999,
            u128::from(id) * 0x9e37_79b9_7f4a_7c15,
            id % 100_000,
            id % 50,
            id % 100,
            id % 30,
        );
        out.extend_from_slice(line.as_bytes());
    }
    out.truncate(size);
    out
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same text each time.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
