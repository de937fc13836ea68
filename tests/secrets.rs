//! Secrets that a capture holds are known before its packets are read, wherever in the file they stand.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;

use analyzers::keys::{Secret, SecretLabel};
use captures::write::Packet;
use captures::{Link, Writer};
use policies::Time;
use serde_json::Value;
use support::overhear;

mod support;

/// Two packets, and secrets before, between and behind them as told.
fn capture(places: [bool; 3]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), "a test").unwrap();
    writer.interface(Link::RAW, 0, "").unwrap();
    for (n, here) in (0..).zip(places) {
        if here {
            let secret = Secret { label: SecretLabel::ClientTraffic(0), client_random: [n; 32], secret: vec![n; 32] };
            writer.secrets(&[secret]).unwrap();
        }
        if n < 2 {
            // A UDP datagram of one byte.
            let packet = [
                [0x45, 0, 0, 29, 0, 0, 0x40, 0, 64, 17, 0, 0].as_slice(),
                &[192, 168, 7, 2, 203, 0, 113, 9],
                &[0x4e, 0x20, 0x4e, 0x21, 0, 9, 0, 0, n],
            ]
            .concat();
            let time = Time::from_secs(1_700_000_000);
            writer.packet(&Packet { interface: 0, time, len: 29, bytes: &packet, comments: &[] }).unwrap();
        }
    }
    writer.finish().unwrap()
}

#[test]
fn wherever_they_stand() {
    for (places, secrets) in [([true, false, false], 1), ([true, true, false], 2), ([false, false, true], 1), ([false; 3], 0)] {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("in.pcapng"), capture(places)).unwrap();
        let done = overhear()
            .arg("analyze")
            .arg(at("in.pcapng"))
            .arg("--out")
            .arg(at("run"))
            .arg("--project-key")
            .arg(at("key"))
            .output()
            .unwrap();
        assert!(at("run/run.json").exists(), "{}", String::from_utf8_lossy(&done.stderr));
        let journal = fs::read_to_string(at("run/journal.jsonl")).unwrap();
        let line = journal.lines().find(|line| line.contains("\"input\"")).unwrap();
        let input = &serde_json::from_str::<Value>(line).unwrap()["seen"]["input"];
        assert_eq!((&input["packets"], &input["secrets"], &input["late_secrets"]), (&2.into(), &secrets.into(), &0.into()), "{places:?}");
    }
}
