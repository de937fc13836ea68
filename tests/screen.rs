//! The dashboard through the binary, on a real terminal: tmux is the terminal, keys are pressed, what is drawn is read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

#[test]
fn a_lab_run_is_watched_and_ended_with_keys() {
    if !Command::new("tmux").arg("-V").stdout(Stdio::null()).status().is_ok_and(|s| s.success()) {
        println!("skipped: there is no tmux");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let tmux = Tmux::new(dir.path(), 120, 40);
    let out = dir.path().join("run");
    tmux.type_line("stty -a >before; echo rea''dy");
    tmux.wait("ready");
    tmux.type_line(&format!("{} lab --out {}; echo \"ov\"\"er with $?\"; stty -a >after", env!("CARGO_BIN_EXE_overhear"), out.display()));

    // The overview, filling while the toy phone runs.
    let first = tmux.wait("[1 Overview]");
    assert!(first.contains("RUNNING") && first.contains("careless-phone"), "{first}");
    tmux.wait("cert.untrusted-ca");
    for (key, title) in
        [("2", "[2 Matrix]"), ("3", "[3 Trials]"), ("4", "[4 Leaks]"), ("5", "[5 Journal]"), ("?", "[7 Help]"), ("1", "[1 Overview]")]
    {
        tmux.press(key);
        tmux.wait(title);
    }
    tmux.press("Enter");
    let detail = tmux.wait("[6 Detail]");
    assert!(detail.contains("expected"), "{detail}");
    // Personal values stay masked here, too.
    tmux.press("4");
    let leaks = tmux.wait("[4 Leaks]");
    assert!(!leaks.contains("490154203237518") && !leaks.contains("anna.quist"), "{leaks}");
    tmux.press("p");
    tmux.wait("PAUSED");
    tmux.press("p");
    tmux.wait("RUNNING");
    tmux.press("q");
    tmux.wait("End it and quit?");
    tmux.press("y");

    // The screen is what it was, the summary stands below, the run is whole.
    let last = tmux.wait("over with ");
    assert!(last.contains("over with 1") && last.contains("ended by the operator"), "{last}");
    assert!(!last.contains("[1 Overview]"), "the alternate screen is left: {last}");
    let after = || fs::read_to_string(dir.path().join("after")).unwrap_or_default();
    assert!(within(|| !after().is_empty()));
    assert_eq!(after(), fs::read_to_string(dir.path().join("before")).unwrap(), "the terminal's modes");
    assert!(out.join("run.json").is_file());
    let report: Value = serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["run"]["kind"], "lab");
}

/// A server of its own, which ends with the test.
struct Tmux {
    socket: String,
}

impl Tmux {
    fn new(dir: &Path, width: u16, height: u16) -> Tmux {
        let tmux = Tmux { socket: dir.join("tmux").to_str().unwrap().to_owned() };
        let (width, height) = (width.to_string(), height.to_string());
        let started = tmux
            .command(&["-f", "/dev/null", "new-session", "-d", "-x", &width, "-y", &height, "-c", dir.to_str().unwrap(), "sh"])
            .env("PS1", "$ ")
            .env_remove("TMUX")
            .status()
            .unwrap();
        assert!(started.success());
        tmux
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-S", &self.socket]).args(words);
        command
    }

    fn press(&self, key: &str) {
        assert!(self.command(&["send-keys", key]).status().unwrap().success());
    }

    fn type_line(&self, line: &str) {
        assert!(self.command(&["send-keys", "-l", line]).status().unwrap().success());
        self.press("Enter");
    }

    /// What stands on the screen once it has these words.
    #[track_caller]
    fn wait(&self, words: &str) -> String {
        let mut screen = String::new();
        let there = within(|| {
            screen = String::from_utf8_lossy(&self.command(&["capture-pane", "-p"]).output().unwrap().stdout).into_owned();
            screen.contains(words)
        });
        assert!(there, "no '{words}' on the screen:\n{screen}");
        screen
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.command(&["kill-server"]).status();
    }
}

fn within(mut done: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + Duration::from_secs(60);
    while !done() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    true
}
