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
