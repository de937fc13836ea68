//! The lab's toy devices through the binary: what the careless one gives away is found, what the sound ones do is not held against
//! them, and a run that is killed leaves nothing behind but a journal that is whole as far as it goes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

#[test]
fn the_careless_phone_is_found_out() {
    let Some((code, report)) = run("careless-phone") else { return };
    assert_eq!(code, 1);
    let fails = fails(&report);
    let has = |check: &str, peer: &str| fails.contains(&(check.to_owned(), peer.to_owned()));
    for check in ["cert.untrusted-ca", "cert.self-signed", "cert.hostname-mismatch", "cert.expired", "cert.replaced-key"] {
        assert!(has(check, "app.shop.test"), "{check}: {fails:?}");
    }
    // Its other peer is asked by sound code.
    assert!(!fails.iter().any(|(check, peer)| check.starts_with("cert.") && peer != "app.shop.test"), "{fails:?}");
    assert!(has("channel.cleartext-http", "telemetry.shop.test"), "{fails:?}");
    assert!(has("leak.identifier-cleartext", "telemetry.shop.test"), "{fails:?}");
    // Base64 inside of JSON is still the number.
    assert!(has("leak.identifier-encoded", "telemetry.shop.test"), "{fails:?}");
    let leaks = report["leaks"].as_array().unwrap();
    for (datum, layer, peer) in
        [("imei-1", "wire", "telemetry.shop.test"), ("serial", "wire", "update.shop.test"), ("email-main", "decrypted", "app.shop.test")]
    {
        let found = leaks.iter().any(|l| {
            l["persona_field"] == datum && l["layer"] == layer && l["peer"] == peer && l["grade"] == "proof" && l["direction"] == "out"
        });
        assert!(found, "{datum} to {peer}: {leaks:?}");
    }
    // The tool does not repeat what it found.
    let text = report.to_string();
    for value in ["490154203237518", "LABZ9Q7K41XW", "anna.quist"] {
        assert!(!text.contains(value), "{value} stands in the report");
    }
}

#[test]
fn sound_devices_fail_nothing() {
    for device in ["strict-phone", "pinned-app"] {
        let Some((code, report)) = run(device) else { return };
        assert!(matches!(code, 0 | 2), "{device}: {code}");
        assert_eq!(fails(&report), BTreeSet::new(), "{device}");
        assert_eq!(report["summary"]["fail"], 0, "{device}");
        // It was really attacked, and refused.
        let refused = report["trials"].as_array().unwrap().iter().filter(|t| t["attack"] == "cert.untrusted-ca");
        let reactions: BTreeSet<&str> = refused.filter_map(|t| t["reaction"].as_str()).collect();
        assert_eq!(reactions, BTreeSet::from(["rejected"]), "{device}");
    }
}

#[test]
fn a_killed_run_leaves_nothing_but_its_journal() {
    if let Some(why) = no_namespaces() {
        println!("skipped: {why}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (out, temporary) = (dir.path().join("run"), dir.path().join("tmp"));
    fs::create_dir(&temporary).unwrap();
    // The name reaches the command line of every process of the lab, by which they are known here.
    let host = format!("killed-{}.test", std::process::id());
    let tables = tables();
    let mut lab = overhear()
        .args(["lab", "--quiet", "--headless", "--device", "strict-phone", "--host", &host, "--out"])
        .arg(&out)
        .env("TMPDIR", &temporary)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let journal = out.join("journal.jsonl");
    let written = || fs::metadata(&journal).map_or(0, |m| m.len());
    let busy = within(Duration::from_secs(60), || written() > 20_000);
    let ours = fs::read_link("/proc/self/ns/net").unwrap();
    let inside: BTreeSet<PathBuf> = processes(&host).iter().filter_map(|p| network(p)).filter(|ns| *ns != ours).collect();
    lab.kill().unwrap();
    lab.wait().unwrap();
    assert!(busy, "the run did not get going");
    assert!(!inside.is_empty(), "no process of the lab was seen in a namespace of its own");

    // The kernel takes the rest along, which takes it a moment.
    let gone = within(Duration::from_secs(10), || processes(&host).is_empty());
    assert!(gone, "still there: {:?}", processes(&host));
    let users: Vec<PathBuf> = all_processes().filter(|p| network(p).is_some_and(|ns| inside.contains(&ns))).collect();
    assert_eq!(users, Vec::<PathBuf>::new(), "processes in the lab's namespaces");
    assert_eq!(self::tables(), tables, "tables of nftables");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "temporary files");

    let bytes = fs::read(&journal).unwrap();
    let torn = bytes.rsplit(|b| *b == b'\n').next().unwrap().len();
    for line in bytes[..bytes.len() - torn].split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        serde_json::from_slice::<Value>(line).unwrap();
    }
    let verify = overhear().arg("verify").arg(&out).output().unwrap();
    let said = String::from_utf8_lossy(&verify.stdout);
    assert!(said.contains("under") && said.contains("seals"), "{said}");
    assert!(said.lines().any(|l| l.starts_with("open") && l.contains("run.json")), "{said}");
    assert!(!said.lines().any(|l| l.starts_with("WRONG")), "{said}");
    assert_eq!(verify.status.code(), Some(0), "{said}");
}

/// Exit code and report of a toy device's run; `None` where the lab cannot be raised.
fn run(device: &str) -> Option<(i32, Value)> {
    if let Some(why) = no_namespaces() {
        println!("skipped {device}: {why}");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let done = overhear()
        .args(["lab", "--quiet", "--headless", "--budget", "120", "--device", device, "--out"])
        .arg(&out)
        .stdout(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    let report = fs::read(out.join("report.json")).unwrap_or_else(|e| panic!("{device}: no report.json ({e}): {said}"));
    Some((done.status.code().unwrap(), serde_json::from_slice(&report).unwrap()))
}

/// (check, peer) of all that failed.
fn fails(report: &Value) -> BTreeSet<(String, String)> {
    let failed = report["findings"].as_array().unwrap().iter().filter(|f| f["verdict"] == "fail");
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    failed.map(|f| (text(&f["check"]), text(&f["subject"]["peer"]))).collect()
}

fn within(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + limit;
    while !done() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

fn all_processes() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries.filter(|e| e.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit())).map(|e| e.path())
}

/// Processes with `word` in their command line.
fn processes(word: &str) -> Vec<PathBuf> {
    let has = |p: &PathBuf| fs::read(p.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(word));
    all_processes().filter(has).collect()
}

fn network(process: &Path) -> Option<PathBuf> {
    fs::read_link(process.join("ns/net")).ok()
}

/// The machine's own tables; empty where they may not be read.
fn tables() -> Vec<u8> {
    Command::new("nft").args(["list", "tables"]).output().map(|o| o.stdout).unwrap_or_default()
}

fn overhear() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_overhear"));
    command.stdin(Stdio::null());
    command
}

/// Why this machine cannot raise the lab, if so.
fn no_namespaces() -> Option<String> {
    let doctor = overhear().args(["doctor", "--json"]).output().unwrap();
    let told: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let rung = told["rung"].as_str().unwrap();
    (!rung.starts_with("namespaces")).then(|| format!("the lab would run as '{rung}'"))
}
