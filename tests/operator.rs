//! What the operator writes: rules that could never hold are refused, and names that say something planted are masked.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;

use support::overhear;

mod support;

/// A rule for a check that nobody knows would never hold, and nobody would hear of it.
#[test]
fn rules_for_unknown_checks_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.toml");
    let exception = |check: &str| {
        format!("[[exceptions]]\nrule = \"a\"\nchecks = [\"{check}\"]\npeers = [\"shop.test\"]\ncontent = \"any\"\nreason = \"b\"\n")
    };
    for (rule, expect) in [(exception("tls.*"), Some(0)), (exception("no.such-check"), Some(3))] {
        fs::write(&path, format!("schema = \"overhear/policy/1\"\n{rule}")).unwrap();
        let done = overhear().args(["policy", "check"]).arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == expect && said.contains("no.such-check") == (expect == Some(3)), "{rule}: {said}");
    }
}

/// What the operator calls a capture, and who causes its flows, may say a planted value: only `run.json` keeps the way to the file.
#[test]
fn names_of_captures_and_packages_are_masked() {
    let dir = tempfile::tempdir().unwrap();
    let imei = "490154203237518";
    let (input, out) = (dir.path().join(format!("phone-{imei}.pcap")), dir.path().join("run"));
    fs::write(&input, support::capture(&[0, 10])).unwrap();
    let persona =
        format!("schema = \"overhear/persona/1\"\nlabel = \"a\"\n[[value]]\nname = \"imei-1\"\ntype = \"imei\"\nvalue = \"{imei}\"\n");
    fs::write(dir.path().join("persona.toml"), persona).unwrap();
    let actors = format!("flow,package,class\nudp 192.168.7.2:20000>203.0.113.9:20001,org.example.p{imei},user-app\n");
    fs::write(dir.path().join("actors.csv"), actors).unwrap();
    let done = overhear()
        .args(["analyze", "--tables", "--persona", "persona.toml", "--actors", "actors.csv", "--project-key", "key", "--out"])
        .args([&out, &input])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(matches!(done.status.code(), Some(0..=2)), "{}", String::from_utf8_lossy(&done.stderr));
    let mut said = vec![("stdout".to_owned(), done.stdout)];
    for name in ["journal.jsonl", "report.json", "report.html", "tables/flows.jsonl"] {
        said.push((name.to_owned(), fs::read(out.join(name)).unwrap()));
    }
    for (name, bytes) in said {
        assert!(memchr::memmem::find(&bytes, imei.as_bytes()).is_none(), "{name}");
        assert!(
            memchr::memmem::find(&bytes, b"org.example.p").is_some() || name == "stdout" || name == "report.html",
            "{name} knows the package"
        );
    }
}
