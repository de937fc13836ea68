//! How fast whole messages are taken apart: `cargo bench -p overhear-analyzers --bench peel [NAME]`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a bench prints its result")]

use std::hint::black_box;
use std::time::Instant;

use analyzers::leak::{Budget, Engine, Found};

fn main() {
    let mut state = 7u64;
    let persona = policies::persona::synthetic(&mut |out| out.iter_mut().for_each(|b| *b = next(&mut state) as u8));
    let persona = policies::Persona::parse("made up", &persona).unwrap();
    let engine = Engine::for_persona(&persona, &[1; 32]);
    let started = Instant::now();
    println!("{} values, {} needles {:?}", persona.values.len(), engine.needles(), engine.tiers());
    println!("{:>24} {:>8} {:>10} {:>8} {:>7} {:>6}", "message", "bytes", "ns", "MB/s", "layers", "finds");
    let only = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    for (name, message) in messages(&mut state) {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let times = (60_000_000 / (message.len() as u64 * 30 + 1000)).max(3);
        let (mut finds, mut layers) = (0, 0);
        let best = (0..5)
            .map(|_| {
                let started = busy();
                for _ in 0..times {
                    finds = 0;
                    layers = engine.peel(black_box(&message), None, Budget::MESSAGE, &mut |_: Found| finds += 1).layers;
                }
                (busy() - started) / times as f64
            })
            .fold(f64::MAX, f64::min);
        println!("{name:>24} {:>8} {:>10.0} {:>8.0} {layers:>7} {finds:>6}", message.len(), best * 1e9, message.len() as f64 / best / 1e6);
    }
    println!("in {:.1} s", started.elapsed().as_secs_f64());
}

fn messages(state: &mut u64) -> Vec<(&'static str, Vec<u8>)> {
    let head = |line: &str| {
        format!(
            "{line} HTTP/1.1\r\nHost: www.metrics7.example.com\r\nUser-Agent: Dalvik/2.1.0 (Linux; U; Android 13; SM-G991B Build/TP1A.220624.014)\r\n\
             Accept-Encoding: gzip\r\nContent-Type: application/json; charset=utf-8\r\nAccept-Language: de-CH,de;q=0.9,en;q=0.8\r\n\
             Cookie: sid=d41d8cd98f00b204e9800998ecf8427e; theme=dark\r\nConnection: Keep-Alive\r\n\r\n"
        )
    };
    let json = "{\"event\":\"screen_view\",\"ts\":1700012345,\"session\":\"d41d8cd98f00b204e9800998ecf8427e\",\"user\":\"u7181\",\"locale\":\"de_CH\",\
                \"props\":{\"screen\":\"home\",\"previous\":\"settings\",\"battery\":0.71,\"network\":\"wifi\",\"sdk\":\"4.12.1\",\"url\":\"https:\\/\\/a.example\\/x\"}}";
    let words = ["the", "device", "asks", "of", "its", "server", "what", "nobody", "knows", "again", "network", "and", "href", "value"];
    let mut page = String::new();
    while page.len() < 256 << 10 {
        page += "<p class=\"x\">";
        for _ in 0..next(state) % 60 {
            page += words[(next(state) % 14) as usize];
            page += [" ", " ", " ", ", ", "&nbsp;"][(next(state) % 5) as usize];
        }
        page += "</p><a href=\"/static/js/Main.7f3a.js?v=12&amp;x=%20\">\n";
    }
    let mut script = String::new();
    while script.len() < 256 << 10 {
        script += "function(e,t){var n=e.";
        script += words[(next(state) % 14) as usize];
        script += "(\"";
        script += words[(next(state) % 14) as usize];
        script += if next(state).is_multiple_of(9) { "\\n" } else { "" };
        script += "\");return n&&t+1}";
    }
    vec![
        ("name", b"www.metrics7.example.com".to_vec()),
        ("head", head("GET /v1/collect?tid=UA-1&ul=en-us&sr=1080x1920").into_bytes()),
        ("head, coded", head("GET /v1/collect?tid=UA-1&mail=nobody%40example.net&u=https%3A%2F%2Fa.example%2Fx&z=1").into_bytes()),
        ("json", json.as_bytes().to_vec()),
        ("datagram", (0..1200).map(|_| next(state) as u8).collect()),
        ("page", page.into_bytes()),
        ("script", script.into_bytes()),
    ]
}

/// Seconds this thread has run: other work on the machine does not count.
fn busy() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same messages each time.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
