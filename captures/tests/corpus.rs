//! Every real capture reads without panic, gives as many packets as the truth says, and survives being cut and flipped.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods, reason = "tests read files and say what they skip")]

mod support;

use std::path::{Path, PathBuf};

use captures::{Block, Options, Reader, Summary, analyse};
use support::Recorder;

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir.join("pcap")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

/// The whole of `bytes`, or why it is not read.
fn read(bytes: &[u8]) -> Result<Summary, String> {
    let mut reader = Reader::open(bytes).map_err(|e| e.to_string())?;
    let mut block = Block::new();
    let mut seen = 0;
    while reader.fill(&mut block).map_err(|e| e.to_string())? {
        for frame in block.frames() {
            seen += 1;
            assert_eq!(frame.number, seen);
            assert!(frame.len as usize >= frame.bytes.len());
        }
    }
    assert_eq!(seen, reader.summary().packets);
    assert_eq!(seen, reader.summary().links.values().sum::<u64>());
    Ok(reader.summary().clone())
}

/// Where we and tshark 4.0 count differently, and who is right.
const EXPLAINED: &[(&str, &str)] = &[
    ("gopacket__test901.pcapng", "tshark stops at a section of version 2.0; we skip it and read the sound section behind it"),
    ("gopacket__2_test901.pcapng", "tshark stops at a section of version 2.0; we skip it and read the sound section behind it"),
    ("libpcap__brcm-tag.pcap", "tshark 4.0 does not know link type 281 and gives up; we count its frames by name"),
    ("libpcap__dsa.pcap", "tshark 4.0 does not know link type 284 and gives up; we count its frames by name"),
];

/// Cut anywhere, or with any bit flipped, a capture still reads to its end.
#[test]
fn cut_and_flipped_files_read_too() {
    let Some(dir) = support::corpus() else { return };
    // A fixed sequence (Knuth's MMIX multiplier), so that a failure comes again.
    let mut state = 1_u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n.max(1)
    };
    for file in files(&dir) {
        let whole = std::fs::read(&file).unwrap();
        if whole.len() > 2 << 20 {
            continue;
        }
        let _ = read(&whole[..below(whole.len())]);
        let _ = read(&whole[..whole.len() - 1]);
        for _ in 0..4 {
            let mut flipped = whole.clone();
            for _ in 0..=below(8) {
                let at = below(flipped.len());
                if let Some(byte) = flipped.get_mut(at) {
                    *byte ^= 1 << below(8);
                }
            }
            let _ = read(&flipped);
        }
        // A head that is damaged often, where the headers are.
        let mut flipped = whole;
        for _ in 0..4 {
            let at = below(flipped.len().min(200));
            if let Some(byte) = flipped.get_mut(at) {
                *byte = below(256) as u8;
            }
        }
        let _ = read(&flipped);
    }
}

#[test]
fn packets_are_those_of_the_truth() {
    let Some(dir) = support::corpus() else { return };
    let mut wrong = Vec::new();
    let (mut agreed, mut explained) = (0, 0);
    for file in files(&dir) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let got = read(&std::fs::read(&file).unwrap());
        let truth = std::fs::read(dir.join("truth").join(format!("{name}.json"))).ok();
        let truth: serde_json::Value = truth.map(|t| serde_json::from_slice(&t).unwrap()).unwrap_or_default();
        let expect = truth["packets"].as_u64();
        let packets = got.as_ref().map(|s| s.packets).ok();
        if packets.unwrap_or(0) == expect.unwrap_or(0) {
            agreed += 1;
        } else if EXPLAINED.iter().any(|(n, _)| *n == name) {
            explained += 1;
        } else {
            wrong.push(format!(
                "{name}: {expect:?} in the truth (stderr {}), read {:?}",
                truth["stderr"],
                got.map(|s| (s.packets, s.damage))
            ));
        }
    }
    eprintln!("agreed {agreed}, explained {explained}, wrong {}", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// TCP and UDP flows as tshark counts them: it ends none for silence, so only captures without long silences can agree.
#[test]
fn flows_are_near_those_of_the_truth() {
    let Some(dir) = support::corpus() else { return };
    let (mut same, mut other) = (0, Vec::new());
    for file in files(&dir) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let Ok(truth) = std::fs::read(dir.join("truth").join(format!("{name}.json"))) else { continue };
        let truth: serde_json::Value = serde_json::from_slice(&truth).unwrap();
        let (Some(tcp), Some(udp)) = (truth["tcp_flows"].as_u64(), truth["udp_flows"].as_u64()) else { continue };
        let bytes = std::fs::read(&file).unwrap();
        let mut got = (0, 0);
        let mut count = |line: String| {
            got.0 += u64::from(line.starts_with("open tcp") || line.starts_with("join tcp"));
            got.1 += u64::from(line.starts_with("open udp"));
        };
        let Ok(report) = analyse(&bytes[..], &Options::default(), |_| Recorder::default(), &mut count, &mut |_| {}) else { continue };
        if got == (tcp, udp) {
            same += 1;
        } else {
            other.push(format!("{name}: tcp {tcp} udp {udp}, here {got:?}, unread {:?} links {:?}", report.unread, report.input.links));
        }
    }
    eprintln!("same {same}, other {}\n{}", other.len(), other.join("\n"));
    assert!(same > 500);
}

/// The output must not know how many threads made it.
#[test]
fn any_number_of_jobs_says_the_same() {
    let Some(dir) = support::corpus() else { return };
    for file in files(&dir) {
        let bytes = std::fs::read(&file).unwrap();
        let say = |jobs| {
            let mut lines = Vec::new();
            let options = Options { jobs, ..Options::default() };
            let report = analyse(&bytes[..], &options, |_| Recorder::default(), &mut |l| lines.push(l), &mut |_| {});
            (lines, report.ok().map(|r| format!("{r:?}")))
        };
        let one = say(1);
        assert!(one == say(2), "{}", file.display());
        assert!(one == say(5), "{}", file.display());
    }
}
