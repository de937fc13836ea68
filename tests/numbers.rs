//! A policy's numbers are used: how long a silent flow is remembered.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;

use serde_json::Value;
use support::overhear;

mod support;

/// A capture of datagrams of one conversation, at these seconds.
fn capture(at: &[u32]) -> Vec<u8> {
    let mut out = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
    out.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]);
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 29, 0, 0, 0x40, 0, 64, 17, 0, 0];
    frame.extend_from_slice(&[192, 168, 7, 2, 203, 0, 113, 9, 0x4e, 0x20, 0x4e, 0x21, 0, 9, 0, 0, b'x']);
    for second in at {
        let len = frame.len() as u32;
        for word in [1_700_000_000 + second, 0, len, len] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&frame);
    }
    out
}

#[test]
fn silence_ends_a_flow_when_the_policy_says() {
    for (thresholds, flows) in [("", 2), ("udp_idle_s = 50\n", 3), ("udp_idle_s = 3000\n", 1)] {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("in.pcap"), capture(&[0, 10, 100, 1000])).unwrap();
        fs::write(at("policy.toml"), format!("schema = \"overhear/policy/1\"\n[thresholds]\n{thresholds}")).unwrap();
        let done = overhear()
            .arg("analyze")
            .args([at("in.pcap"), "--policy".into(), at("policy.toml"), "--out".into(), at("run"), "--project-key".into(), at("key")])
            .output()
            .unwrap();
        let report = fs::read(at("run").join("report.json")).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&done.stderr)));
        let report: Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(report["coverage"]["flows"], flows, "{thresholds}");
    }
}
