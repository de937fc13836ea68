//! The lab's toy devices through the binary: what the careless one gives away is found, and what the sound ones do is not held against them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use serde_json::Value;
use support::{no_namespaces, overhear};

mod support;

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
    // Who accepts anybody's certificate talks to anybody; who was asked with a good one, to its peer.
    let read_by = |exposure: &str| leaks.iter().any(|l| l["peer"] == "app.shop.test" && l["exposure"] == exposure);
    assert!(read_by("interceptor") && read_by("peer"), "{leaks:?}");
    // What was read live has the frames of the run's own capture, and how its client left.
    for table in ["flows", "tls", "requests", "leaks"] {
        let rows = report[table].as_array().unwrap();
        assert!(!rows.is_empty() && rows.iter().all(|row| row["frame"].is_u64()), "{table}: {rows:?}");
    }
    let closes: BTreeSet<&str> = report["tls"].as_array().unwrap().iter().filter_map(|row| row["close"].as_str()).collect();
    assert!(closes.contains("fin"), "{closes:?}");
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

/// What no namespaces are needed for: the careless phone is found out and nothing is held against the strict one, and nobody says of a whole
/// device what only a gateway in its way can know.
#[test]
fn the_lower_rungs() {
    for (rung, mode) in [("loopback", "explicit"), ("memory", "memory")] {
        let (code, report) = ran("careless-phone", &["--rung", rung]);
        assert_eq!((code, report["run"]["mode"].as_str()), (1, Some(mode)));
        let fails = fails(&report);
        for (check, peer) in [
            ("cert.untrusted-ca", "app.shop.test"),
            ("cert.expired", "app.shop.test"),
            ("channel.cleartext-http", "telemetry.shop.test"),
            ("leak.identifier-cleartext", "telemetry.shop.test"),
            ("leak.identifier-encoded", "telemetry.shop.test"),
        ] {
            assert!(fails.contains(&(check.to_owned(), peer.to_owned())), "{rung}: {check}: {fails:?}");
        }
        assert!(!fails.iter().any(|(check, peer)| check.starts_with("cert.") && peer != "app.shop.test"), "{rung}: {fails:?}");
        let treatments = report["treatments"].as_array().unwrap();
        assert!(treatments.iter().any(|t| t["what"] == "second-reading" && t["state"] == "equal"), "{rung}: {treatments:?}");

        let (code, report) = ran("strict-phone", &["--rung", rung]);
        assert!(matches!(code, 0 | 2), "{rung}: {code}");
        assert_eq!(report["summary"]["fail"], 0, "{rung}");
        let trials = report["trials"].as_array().unwrap();
        let refused = trials.iter().filter(|t| t["attack"] == "cert.untrusted-ca").filter_map(|t| t["reaction"].as_str());
        assert_eq!(refused.collect::<BTreeSet<_>>(), BTreeSet::from(["rejected"]), "{rung}");
        let whole = report["findings"].as_array().unwrap().iter().filter(|f| f["subject"]["peer"].is_null() && f["verdict"] == "pass");
        let leaks: Vec<&Value> = whole.filter(|f| f["check"].as_str().is_some_and(|check| check.starts_with("leak."))).collect();
        assert!(leaks.is_empty(), "{rung}: {leaks:?}");
    }
}

/// `nft` stands where the path of an ordinary user of Debian does not lead.
#[test]
fn tools_of_administrators_are_found() {
    let doctor = |path: &str| String::from_utf8(overhear().arg("doctor").env("PATH", path).output().unwrap().stdout).unwrap();
    assert_eq!(doctor("/usr/local/bin:/usr/bin:/bin"), doctor("/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"));
}

/// What is said of one check, by peer: verdict, or the reason there is none.
fn said_of(report: &Value, check: &str) -> BTreeSet<(String, String)> {
    let lists = ["findings", "not_tested", "not_applicable"].into_iter().flat_map(|l| report[l].as_array().unwrap());
    let of = lists.filter(|row| row["check"] == check);
    let words = of.flat_map(|row| {
        let word = |name: &str| row[name].as_str().map(str::to_owned);
        let said = word("verdict").or(word("reason")).unwrap_or_default();
        let peers: Vec<String> = match row["subject"]["peer"].as_str() {
            Some(peer) => vec![peer.to_owned()],
            None => Vec::new(),
        };
        peers.into_iter().map(move |peer| (peer, said.clone()))
    });
    words.collect()
}

#[test]
fn pins_are_looked_for_beside_the_declared_ones() {
    let dir = tempfile::tempdir().unwrap();
    let declare = |name: &str, peers: &str| {
        let path = dir.path().join(name);
        fs::write(&path, format!("schema = \"overhear/declaration/1\"\n[[pins]]\npeers = [{peers}]\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let one = declare("one", "\"shop.test\"");
    let Some((code, report)) = run_with("pinned-app", &["--attacks", "pin.absent,pin.scope", "--declaration", &one]) else { return };
    let pair = |peer: &str, said: &str| (peer.to_owned(), said.to_owned());
    assert_eq!(code, 0, "{report}");
    assert!(said_of(&report, "pin.absent").contains(&pair("shop.test", "pass")), "{:?}", said_of(&report, "pin.absent"));
    assert!(said_of(&report, "pin.scope").contains(&pair("shop.test", "pass")), "{:?}", said_of(&report, "pin.scope"));
    let beside = report["not_applicable"].as_array().unwrap().iter().find(|row| row["check"] == "pin.scope").unwrap();
    assert_eq!(beside["reason"], "sibling-accepts", "{beside}");

    let both = declare("both", "\"shop.test\", \"cdn.shop.test\"");
    let Some((code, report)) = run_with("pinned-app", &["--attacks", "pin.scope", "--declaration", &both]) else { return };
    assert_eq!(code, 1);
    assert_eq!(said_of(&report, "pin.scope"), BTreeSet::from([pair("cdn.shop.test", "fail"), pair("shop.test", "pass")]));
}

#[test]
fn copies_at_once_say_what_one_says() {
    let verdicts = |report: &Value| -> BTreeSet<(String, String, String)> {
        let rows = report["findings"].as_array().unwrap().iter().filter(|f| {
            let check = f["check"].as_str().unwrap();
            ["cert.", "tls.", "pin.", "channel.tls-block"].iter().any(|family| check.starts_with(family))
        });
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let each = |f: &Value| -> Vec<_> {
            let peers = f["subjects"].as_array().unwrap().iter().map(|s| text(&s["peer"]));
            peers.map(|peer| (text(&f["check"]), peer, text(&f["verdict"]))).collect()
        };
        rows.flat_map(each).collect()
    };
    let Some((code, one)) = run("careless-phone") else { return };
    let Some((codes, four)) = run_with("careless-phone", &["--parallel", "4"]) else { return };
    assert_eq!(code, codes);
    assert_eq!(verdicts(&one), verdicts(&four));
    assert_eq!(four["devices"].as_array().unwrap().len(), one["devices"].as_array().unwrap().len(), "{}", four["devices"]);
    let equal =
        |report: &Value| report["treatments"].as_array().unwrap().iter().any(|t| t["what"] == "second-reading" && t["state"] == "equal");
    assert!(equal(&four), "{}", four["treatments"]);
}

/// Exit code and report of a toy device's run; `None` where the lab cannot be raised.
fn run(device: &str) -> Option<(i32, Value)> {
    run_with(device, &[])
}

fn run_with(device: &str, more: &[&str]) -> Option<(i32, Value)> {
    if let Some(why) = no_namespaces() {
        println!("skipped {device}: {why}");
        return None;
    }
    Some(ran(device, more))
}

fn ran(device: &str, more: &[&str]) -> (i32, Value) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let done = overhear()
        .args(["lab", "--quiet", "--headless", "--budget", "120", "--device", device, "--out"])
        .arg(&out)
        .args(more)
        .stdout(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    let report = fs::read(out.join("report.json")).unwrap_or_else(|e| panic!("{device}: no report.json ({e}): {said}"));
    (done.status.code().unwrap(), serde_json::from_slice(&report).unwrap())
}

/// (check, peer) of all that failed.
fn fails(report: &Value) -> BTreeSet<(String, String)> {
    let failed = report["findings"].as_array().unwrap().iter().filter(|f| f["verdict"] == "fail");
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    failed.map(|f| (text(&f["check"]), text(&f["subject"]["peer"]))).collect()
}
