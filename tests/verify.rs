//! `verify` finds what was changed in a run, and nothing in one that was not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use support::{capture, overhear};

mod support;

/// A policy under which the run's one peer may be silent, and a declaration that does not know it.
const POLICY: &str = "schema = \"overhear/policy/1\"\n";
const DECLARATION: &str = "schema = \"overhear/declaration/1\"\nchannels_complete = true\n[[channels]]\nname = \"shop\"\npeers = [\"shop.test\"]\nprotocol = \"https\"\npurpose = \"orders\"\n";

struct Run(tempfile::TempDir);

impl Run {
    /// Analyses a small capture; `more` are further words of the command line.
    fn new(more: &[&str]) -> Run {
        let run = Run(tempfile::tempdir().unwrap());
        fs::write(run.at("in.pcap"), capture(&[0, 10])).unwrap();
        fs::write(run.at("policy.toml"), POLICY).unwrap();
        fs::write(run.at("declaration.toml"), DECLARATION).unwrap();
        fs::write(run.at("keys.log"), format!("CLIENT_RANDOM {} {}\n", "5a".repeat(32), "a5".repeat(48))).unwrap();
        let words: Vec<String> =
            more.iter().map(|w| w.strip_prefix('@').map_or((*w).to_owned(), |f| run.at(f).display().to_string())).collect();
        let mut command = overhear();
        command.arg("analyze").arg(run.at("in.pcap")).arg("--out").arg(run.folder());
        for (word, file) in [("--policy", "policy.toml"), ("--declaration", "declaration.toml"), ("--project-key", "key")] {
            command.arg(word).arg(run.at(file));
        }
        let done = command.args(words).output().unwrap();
        assert!(run.folder().join("run.json").exists(), "{}", String::from_utf8_lossy(&done.stderr));
        run
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn folder(&self) -> PathBuf {
        self.at("run")
    }

    /// Whether the run is verified, and what is said.
    fn verify(&self) -> (bool, String) {
        let done = overhear().arg("verify").arg(self.folder()).arg("--project-key").arg(self.at("key")).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert_eq!(said.contains("NOT verified"), done.status.code() == Some(1), "{said}{}", String::from_utf8_lossy(&done.stderr));
        (done.status.code() == Some(0), said)
    }

    #[track_caller]
    fn holds(&self, words: &str) {
        let (verified, said) = self.verify();
        assert!(verified && said.contains(words), "{said}");
    }

    /// What `change` does to a file of the run is found, and told in these words.
    #[track_caller]
    fn bites(&self, file: &str, change: impl Fn(&str) -> String, words: &str) {
        let path = self.folder().join(file);
        let text = fs::read_to_string(&path).unwrap();
        let changed = change(&text);
        assert_ne!(text, changed, "{file}");
        fs::write(&path, changed).unwrap();
        let (verified, said) = self.verify();
        assert!(!verified && said.contains(words), "{file}: {said}");
        fs::write(&path, text).unwrap();
    }

    fn command(&self, words: &[&str]) {
        let kind = words.contains(&"mark").then_some("note");
        let done = overhear().args(words).arg(self.folder()).args(kind).output().unwrap();
        assert_eq!(done.status.code(), Some(0), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
fn an_honest_run_is_verified() {
    for more in [
        &[][..],
        &["--rows", "1"],
        &["--fail-on", "critical", "--undecided", "warn"],
        &["--require", "channel.undeclared-endpoint"],
        &["--hash", "none"],
        &["--jobs", "2"],
        &["--tables"],
        &["--reveal"],
    ] {
        let run = Run::new(more);
        run.holds("lines recomputed from the capture, all equal");
    }
    Run::new(&["--keylog", "@keys.log"]).holds("the run had a key log");
}

#[test]
fn what_was_changed_is_found() {
    let run = Run::new(&[]);
    run.holds("report.html is equal");
    // A line after the last seal; a forged first line behind it.
    let first = |text: &str| text.lines().next().unwrap().to_owned();
    run.bites("journal.jsonl", |text| format!("{text}{}\n", first(text)), "after the last seal");
    run.bites("journal.jsonl", |text| format!("{text}{{\"at\""), "was never finished");
    run.bites("journal.jsonl", |text| text.replacen("192.168.7.2", "192.168.7.3", 1), "chain:");
    run.bites("policy.toml", |text| format!("{text}# other\n"), "policy.toml is not");
    run.bites("declaration.toml", |text| text.replace("shop.test", "203.0.113.9"), "declaration.toml is not");
    run.bites("report.json", |text| text.replacen("\"fail\"", "\"pass\"", 1), "report.json differs");
    run.bites("report.html", |text| format!("{text}<!-- -->"), "report.html differs");
    let other = |text: &str, key: &str| {
        let mut run: serde_json::Value = serde_json::from_str(text).unwrap();
        match key {
            "head" => run["head"] = "00".repeat(32).into(),
            _ => run["inputs"][0]["sha256"] = "00".repeat(32).into(),
        }
        run.to_string()
    };
    run.bites("run.json", |text| other(text, "head"), "another last seal");
    run.bites("run.json", |text| other(text, "sha256"), "another digest of the capture");
    for (key, value, words) in [
        ("inputs", serde_json::json!([]), "other captures than the journal"),
        ("lines", 3.into(), "another last seal"),
        ("version", "9.9.9".into(), "another tool or version"),
    ] {
        let with = |text: &str| {
            let mut run: serde_json::Value = serde_json::from_str(text).unwrap();
            run[key] = value.clone();
            run.to_string()
        };
        run.bites("run.json", with, words);
    }
    run.bites("policy.toml", |_| "schema = \"overhear/policy/1\"\nprofile = 3\n".to_owned(), "cannot be read");
    fs::remove_file(run.folder().join("declaration.toml")).unwrap();
    let (verified, said) = run.verify();
    assert!(!verified && said.contains("declaration.toml is not"), "{said}");
    let run = Run::new(&["--tables"]);
    run.holds("tables/ are equal");
    run.bites(
        "tables/flows.jsonl",
        |text| text.replacen("192.168.7.2", "192.168.7.3", 1),
        "tables/ differ from what the journal gives: flows",
    );
    let run = Run::new(&[]);
    fs::write(run.at("in.pcap"), capture(&[0, 11])).unwrap();
    let (verified, said) = run.verify();
    assert!(!verified && said.contains("is not the one that was read"), "{said}");
}

/// A baseline that is not there any more leaves the exit code open, and nothing else.
#[test]
fn a_baseline_hides_nothing() {
    let known = Run::new(&[]);
    let report = known.folder().join("report.json").display().to_string();
    let run = Run::new(&["--baseline", &report]);
    run.holds("compared with a baseline");
    run.bites("report.json", |text| text.replacen("\"fail\"", "\"pass\"", 1), "not in its summary alone");
}

/// Commands that add to a finished run leave it as verified as it was; nobody's key is made by looking.
/// The packets are of 2023, the run over them is new.
#[test]
fn the_age_of_a_run_is_not_that_of_its_packets() {
    let run = Run::new(&[]);
    let said = overhear().args(["purge", "--older-than", "30d"]).arg(run.folder()).output().unwrap();
    assert!(String::from_utf8_lossy(&said.stdout).contains("younger than that"), "{said:?}");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(40 * 86_400);
    fs::File::options().append(true).open(run.folder().join("run.json")).unwrap().set_modified(old).unwrap();
    let said = overhear().args(["purge", "--older-than", "30d"]).arg(run.folder()).output().unwrap();
    assert!(said.status.success() && !String::from_utf8_lossy(&said.stdout).contains("younger than that"), "{said:?}");
}

#[test]
fn a_later_command_breaks_nothing() {
    for words in [&["purge"][..], &["report", "--reveal"], &["mark"]] {
        let run = Run::new(&[]);
        run.command(words);
        run.holds("verified: no difference");
    }
    let run = Run::new(&[]);
    run.command(&["mark"]);
    // Neither a mark nor a purge of something else lets anything pass.
    run.bites("report.json", |text| text.replacen("\"fail\"", "\"pass\"", 1), "report.json differs");
    let run = Run::new(&[]);
    let elsewhere = run.at("other/key");
    let done = overhear().arg("verify").arg(run.folder()).arg("--project-key").arg(&elsewhere).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.code() == Some(0) && said.contains("project's key is not here"), "{said}");
    assert!(!Path::new(&elsewhere).exists());
}

/// A journal that was cut back to an earlier seal stays one that was cut: no later command makes it whole again.
#[test]
fn a_journal_that_was_cut_is_not_written_to() {
    let run = Run::new(&[]);
    let path = run.folder().join("journal.jsonl");
    run.command(&["mark"]);
    let text = fs::read_to_string(&path).unwrap();
    let seals: Vec<usize> = text.match_indices("\"seal\"").map(|(at, _)| at).collect();
    assert!(seals.len() > 1);
    let end = seals[seals.len() - 2] + text[seals[seals.len() - 2]..].find('\n').unwrap() + 1;
    fs::write(&path, &text[..end]).unwrap();
    for words in [&["purge"][..], &["report", "--reveal"], &["mark"]] {
        let kind = words.contains(&"mark").then_some("note");
        let done = overhear().args(words).arg(run.folder()).args(kind).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == Some(3) && said.contains("does not end where run.json says"), "{words:?}: {said}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text[..end]);
    let (verified, said) = run.verify();
    assert!(!verified && said.contains("another last seal"), "{said}");
    // Without its end, and with a run.json that fits.
    let lines: Vec<&str> = text.lines().collect();
    let ledger = lines.iter().position(|line| line.contains("\"ledger\"")).unwrap();
    fs::write(&path, lines[..ledger].join("\n") + "\n").unwrap();
    let (verified, said) = run.verify();
    assert!(!verified && said.contains("the journal has no end"), "{said}");
    // Nothing is left: nothing to render.
    fs::write(&path, "").unwrap();
    for words in [&["report"][..], &["replay"]] {
        let done = overhear().args(words).arg(run.folder()).output().unwrap();
        assert_eq!(done.status.code(), Some(3), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// What a mark changes in a report that is rendered again is no tampering; nor does a mark stop the comparison with the capture.
#[test]
fn a_mark_hides_nothing() {
    let run = Run::new(&[]);
    run.command(&["mark"]);
    run.holds("lines recomputed from the capture, all equal");
    run.command(&["report", "--format", "json", "--output", &run.folder().join("report.json").display().to_string()]);
    run.holds("equal to what it gives with the later marks");
    run.command(&["report", "--format", "html", "--output", &run.folder().join("report.html").display().to_string()]);
    run.holds("report.html is equal to what the journal gives with the later marks");
    // Nor does one that came after the report.
    run.command(&["mark"]);
    run.holds("report.html is equal to what the journal gives with the later marks");
    run.holds("equal to what it gives with the later marks");
    run.bites("report.json", |text| text.replacen("\"fail\"", "\"pass\"", 1), "report.json differs");
}

/// A command that was broken off between the journal and `run.json` has changed nothing that was there, and the next one puts it right.
#[test]
fn a_command_that_was_broken_off_is_no_tampering() {
    let run = Run::new(&[]);
    let path = run.folder().join("run.json");
    let before = fs::read(&path).unwrap();
    run.command(&["mark"]);
    fs::write(&path, &before).unwrap();
    run.holds("run.json names an earlier seal");
    run.command(&["purge"]);
    run.holds("run.json names the journal's last seal");
    // Not so where it would hide lines of the run itself.
    let text = fs::read_to_string(run.folder().join("journal.jsonl")).unwrap();
    let first = text.lines().position(|line| line.starts_with("{\"seal\"")).unwrap();
    assert!(text.lines().take(first).any(|line| line.contains("\"ledger\"")), "the ledger is under the first seal");
}

/// What `--reveal` shows is what was sealed when its token was made.
#[test]
fn sealed_values_are_those_of_their_tokens() {
    let run = Run(tempfile::tempdir().unwrap());
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0];
    let said = b"{\"password\":\"corr3ct-horse\",\"user\":\"anna\"}";
    frame.extend_from_slice(&[192, 168, 7, 2, 203, 0, 113, 9, 0x4e, 0x20, 0x4e, 0x21, 0, 8 + said.len() as u8, 0, 0]);
    frame.extend_from_slice(said);
    frame[17] = (frame.len() - 14) as u8;
    let mut bytes = capture(&[]);
    for word in [1_700_000_000, 0, frame.len() as u32, frame.len() as u32] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(&frame);
    fs::write(run.at("in.pcap"), bytes).unwrap();
    let done =
        overhear().arg("analyze").arg(run.at("in.pcap")).arg("--out").arg(run.folder()).arg("--project-key").arg(run.at("key")).output();
    assert!(matches!(done.unwrap().status.code(), Some(0..=2)));
    run.holds("sealed values are those whose tokens the journal has");
    // Who looks at somebody else's run has a key of his own.
    let others = run.at("others.key");
    fs::write(&others, "ab".repeat(32)).unwrap();
    fs::set_permissions(&others, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let done = overhear().arg("verify").arg(run.folder()).arg("--project-key").arg(&others).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.code() == Some(0) && said.contains("another project's: the sealed values"), "{said}");
    let forged = |text: &str| {
        let at = text.find("\"value\":\"").unwrap() + 9;
        format!("{}{}{}", &text[..at], if &text[at..=at] == "6" { "7" } else { "6" }, &text[at + 1..])
    };
    run.bites("sealed/values.jsonl", forged, "1 sealed values are not those");
    run.bites(
        "sealed/values.jsonl",
        |text| format!("{text}{{\"token\":\"00\",\"flow\":null,\"value\":\"61\"}}\n"),
        "1 sealed values are not those",
    );
    // What is revealed stays out of the run, and a purge follows no link.
    let inside = run.folder().join("report.html").display().to_string();
    let refused = |words: &[&str], why: &str| {
        let done = overhear().args(words).arg(run.folder()).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == Some(3) && said.contains(why), "{words:?}: {said}");
    };
    refused(&["report", "--reveal", "--format", "html", "--output", &inside], "is in the run's folder");
    let link = run.at("link");
    std::os::unix::fs::symlink(run.folder().join("journal.jsonl"), &link).unwrap();
    refused(&["report", "--output", &link.display().to_string()], "is a file of the run itself");
    let (values, victim) = (run.folder().join("sealed/values.jsonl"), run.at("victim"));
    fs::rename(&values, &victim).unwrap();
    std::os::unix::fs::symlink(&victim, &values).unwrap();
    let before = fs::read(&victim).unwrap();
    refused(&["purge"], "is no file of this run");
    assert_eq!(fs::read(&victim).unwrap(), before);
    fs::remove_file(&values).unwrap();
    fs::rename(&victim, &values).unwrap();
    run.command(&["purge"]);
    run.holds("values were purged");
}

/// Erased is erased: it is said, and nothing comes back.
#[test]
fn what_was_purged_stays_away() {
    let run = Run::new(&[]);
    let values = run.folder().join("sealed/values.jsonl");
    fs::create_dir_all(values.parent().unwrap()).unwrap();
    run.command(&["purge"]);
    run.holds("values were purged");
    fs::write(&values, "{\"token\":\"00\",\"flow\":null,\"value\":\"61\"}\n").unwrap();
    let (verified, said) = run.verify();
    assert!(!verified && said.contains("values were purged, and are there"), "{said}");
}

/// A run that somebody still writes is left alone, by those who would change it and by those who would take its place.
#[test]
fn a_run_that_goes_on_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let mut going = overhear()
        .args(["analyze", "-", "--project-key"])
        .arg(dir.path().join("key"))
        .arg("--out")
        .arg(&out)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut input = going.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, &capture(&[0])).unwrap();
    std::io::Write::flush(&mut input).unwrap();
    for _ in 0..200 {
        if out.join("journal.jsonl").exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    fs::write(dir.path().join("in.pcap"), capture(&[0])).unwrap();
    let run = out.display().to_string();
    let input_file = dir.path().join("in.pcap").display().to_string();
    for words in [
        &["purge", &run][..],
        &["report", "--reveal", &run],
        &["verify", &run],
        &["analyze", &input_file, "--force", "--out", &run],
        &["lab", "--force", "--headless", "--out", &run, "--", "true"],
    ] {
        let done = overhear().args(words).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == Some(3) && said.contains("goes on"), "{words:?}: {said}");
    }
    let done = overhear().args(["mark", &run, "note"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.code() == Some(3) && said.contains("takes no marks"), "{said}");
    assert!(!out.join("marks.jsonl").exists());
    drop(input);
    assert!(matches!(going.wait().unwrap().code(), Some(0..=2)));
    let done = overhear().args(["verify", &run]).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stdout));
}

/// What cannot become a run takes no run's place.
#[test]
fn a_run_outlives_wrong_words() {
    let run = Run::new(&[]);
    let folder = run.folder().display().to_string();
    let input = run.at("in.pcap").display().to_string();
    for words in [
        &["analyze", &input, "--device", "zz", "--force", "--out", &folder][..],
        &["analyze", "/dev/null", "--force", "--out", &folder],
        &["lab", "--headless", "--force", "--out", &folder, "--", "/nonexistent"],
    ] {
        let done = overhear().args(words).output().unwrap();
        assert_eq!(done.status.code(), Some(3), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        run.holds("verified: no difference");
    }
}

/// A reading that was stopped is told as such.
#[test]
fn a_stopped_reading_is_no_tampering() {
    use nix::sys::signal::{Signal, kill};
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("in.pcap");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let out = dir.path().join("run");
        let mut going = overhear()
            .arg("analyze")
            .arg(&pipe)
            .arg("--project-key")
            .arg(dir.path().join("key"))
            .arg("--out")
            .arg(&out)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut input = fs::File::create(&pipe).unwrap();
        std::io::Write::write_all(&mut input, &capture(&[0, 10])).unwrap();
        for _ in 0..200 {
            if out.join("journal.jsonl").exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        kill(nix::unistd::Pid::from_raw(going.id().cast_signed()), signal).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(300));
        let _ = std::io::Write::write_all(&mut input, &capture(&[0])[24..]);
        drop(input);
        assert!(going.wait().unwrap().code().is_some(), "{signal}");
        fs::remove_file(&pipe).unwrap();
        fs::write(&pipe, capture(&[0, 10])).unwrap();
        let done = overhear().arg("verify").arg(&out).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.code() == Some(0) && said.contains("the reading was stopped"), "{signal}: {said}");
    }
}

/// A run that breaks off before its end vouches for nothing, whatever was seen until then.
#[test]
fn a_run_that_breaks_off_is_never_green() {
    let run = Run::new(&[]);
    let journal = run.folder().join("journal.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    let replay = |more: &[&str]| {
        let done = overhear().arg("replay").arg("--headless").arg(run.folder()).args(more).output().unwrap();
        (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
    };
    let report = || {
        let done = overhear().args(["report", "--format", "json"]).arg(run.folder()).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        let of = |verdict: &str| report["findings"].as_array().unwrap().iter().filter(|f| f["verdict"] == verdict).count();
        (of("pass"), of("fail"), report["run"]["unfinished"] == true)
    };
    let whole = report();
    assert!(whole.0 > 0 && whole.1 > 0 && !whole.2, "{whole:?}");
    assert_eq!(replay(&["--fail-on", "critical", "--undecided", "warn"]).0, Some(0));
    let ledger = text.lines().position(|line| line.contains("\"seen\":{\"ledger\"")).unwrap();
    let cut: String = text.split_inclusive('\n').take(ledger).collect();
    fs::write(&journal, cut).unwrap();
    fs::remove_file(run.folder().join("run.json")).unwrap();
    fs::remove_file(run.folder().join("report.html")).unwrap();
    assert_eq!(report(), (0, whole.1, true), "fails stay");
    let (code, said) = replay(&["--fail-on", "critical"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("breaks off") && !said.contains("report.html"), "{said}");
}

/// A pipe in the place of a record is said to be one, and not waited for.
#[test]
fn a_pipe_is_no_record() {
    for name in ["policy.toml", "report.json", "report.html", "run.json", "sealed/values.jsonl"] {
        let run = Run::new(&[]);
        let path = run.folder().join(name);
        let _ = fs::remove_file(&path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let done = overhear().arg("verify").arg(run.folder()).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == Some(3) && said.contains(&format!("{name} is no file")), "{name}: {said}");
    }
}

/// A rendered report takes the place of no record of the run.
#[test]
fn a_report_is_not_written_over_the_run() {
    let run = Run::new(&[]);
    for record in ["journal.jsonl", "policy.toml", "run.json"] {
        let done =
            overhear().args(["report", "--format", "json", "--output"]).arg(run.folder().join(record)).arg(run.folder()).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == Some(3) && said.contains("is a file of the run itself"), "{record}: {said}");
    }
    run.command(&["report", "--format", "html", "--output", &run.folder().join("again.html").display().to_string()]);
    run.holds("verified");
}
