//! What the tests that start the binary share.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::process::{Command, Stdio};

use serde_json::Value;

/// The program under test.
pub(crate) fn overhear() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_overhear"));
    command.stdin(Stdio::null());
    command
}

/// Why this machine cannot raise the lab, if so.
pub(crate) fn no_namespaces() -> Option<String> {
    let doctor = overhear().args(["doctor", "--json"]).output().unwrap();
    let told: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let rung = told["rung"].as_str().unwrap();
    (!rung.starts_with("namespaces")).then(|| format!("the lab would run as '{rung}'"))
}

/// A capture of datagrams of one conversation, at these seconds.
pub(crate) fn capture(at: &[u32]) -> Vec<u8> {
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
