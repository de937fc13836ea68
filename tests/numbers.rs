//! A policy's numbers are used: how long a silent flow is remembered.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;

use serde_json::Value;
use support::{capture, overhear};

mod support;

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
