//! Faults around a run: it is killed, its disk is full, its device floods it or breaks off, the real servers are not there. The journal
//! is whole to its last line, nothing stays behind, the device's own traffic goes on, and nothing of it is taken for evidence. Long, for all
//! faults are of one kind of run, and share what starts it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use lab::toys::{Dial, Dialling, End, Flaw, Stream, Toy, Trust};
use serde_json::Value;
use support::{no_namespaces, overhear};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Barrier;

mod support;

// ---- killed ----

/// How often, and the longest a run is left alone before.
const KILLS: u64 = 20;
const LATEST: Duration = Duration::from_millis(2500);

#[test]
fn a_killed_run_leaves_nothing_but_its_journal() {
    if let Some(why) = no_namespaces() {
        println!("skipped: {why}");
        return;
    }
    let seed = std::env::var("OVERHEAR_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed} (OVERHEAR_SEED={seed} repeats the moments)");
    let dir = tempfile::tempdir().unwrap();
    let tables = tables();
    let (mut lines, mut sealed) = (0, 0);
    for n in 0..KILLS {
        // From the first instruction to the middle of the campaign.
        let moment = LATEST.mul_f64(chance(seed, n) as f64 / u64::MAX as f64);
        let place = dir.path().join(format!("{n}"));
        let told = kill_at(&place, moment);
        assert_eq!(self::tables(), tables, "tables of nftables, killed after {moment:?}");
        lines += told[0];
        sealed += told[1];
    }
    // Some of them were under way, or the moments say nothing.
    assert!(lines > 500 && sealed > 3, "{lines} lines, {sealed} seals");
    // The next run is not in the way of what was left.
    let out = dir.path().join("0").join("run");
    let after = overhear()
        .args(["lab", "--quiet", "--headless", "--force", "--attacks", "cert.expired", "--out"])
        .arg(&out)
        .args(["--", "true"])
        .output()
        .unwrap();
    assert!(out.join("run.json").is_file(), "{after:?}");
}

/// Kills a run after `moment` and looks at what is left: whole lines and seals.
fn kill_at(place: &Path, moment: Duration) -> [usize; 2] {
    let (out, temporary, home) = (place.join("run"), place.join("tmp"), place.join("home"));
    for folder in [&temporary, &home] {
        fs::create_dir_all(folder).unwrap();
    }
    // The name reaches the command line of every process of the lab, by which they are known here.
    let host = format!("killed-{}-{}.test", std::process::id(), moment.as_nanos());
    let mut lab = overhear()
        .args(["lab", "--quiet", "--headless", "--device", "strict-phone", "--host", &host, "--out"])
        .arg(&out)
        .env("TMPDIR", &temporary)
        .env("HOME", &home)
        .env_remove("XDG_CONFIG_HOME")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(moment);
    let ours = fs::read_link("/proc/self/ns/net").unwrap();
    let inside: BTreeSet<PathBuf> = processes(&host).iter().filter_map(|p| network(p)).filter(|ns| *ns != ours).collect();
    lab.kill().unwrap();
    lab.wait().unwrap();
    // The kernel takes the rest along, which takes it a moment.
    let gone = within(Duration::from_secs(10), || processes(&host).is_empty());
    assert!(gone, "still there, killed after {moment:?}: {:?}", processes(&host));
    let users = || -> Vec<PathBuf> { all_processes().filter(|p| network(p).is_some_and(|ns| inside.contains(&ns))).collect() };
    let left = within(Duration::from_secs(10), || users().is_empty());
    assert!(left, "processes in the lab's namespaces, killed after {moment:?}: {:?}", users());
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "temporary files, killed after {moment:?}");
    // The project key is made with the first run; half a key would stop all later ones.
    let key = home.join(".config/overhear/project.key");
    assert!(!key.exists() || fs::read_to_string(&key).unwrap().trim().len() == 64, "killed after {moment:?}");
    if !out.join("journal.jsonl").is_file() {
        return [0, 0];
    }
    whole(&out)
}

/// Every line that is there parses, and `verify` finds nothing wrong: lines and seals.
#[track_caller]
fn whole(run: &Path) -> [usize; 2] {
    let bytes = fs::read(run.join("journal.jsonl")).unwrap();
    let torn = bytes.rsplit(|b| *b == b'\n').next().unwrap().len();
    let mut found = [0, 0];
    for line in bytes[..bytes.len() - torn].split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        let line: Value = serde_json::from_slice(line).unwrap();
        found[usize::from(line.get("seal").is_some())] += 1;
    }
    if found == [0, 0] {
        return found;
    }
    let verify = overhear().arg("verify").arg(run).output().unwrap();
    let said = String::from_utf8_lossy(&verify.stdout);
    assert_eq!(verify.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&verify.stderr));
    assert!(said.contains(&format!("under {} seals", found[1])), "{said}");
    assert!(said.lines().any(|l| l.starts_with("open") && l.contains("run.json")), "{said}");
    assert!(!said.lines().any(|l| l.starts_with("WRONG")), "{said}");
    found
}

/// SplitMix64 of the seed's n-th step.
fn chance(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add((n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

// ---- the disk is full ----

/// What a command on a small disk left: its end, what it said, and its run as far as it was written.
struct Small {
    code: i32,
    said: String,
    /// Copied from the disk before that was gone; nothing if there was none.
    run: PathBuf,
    _dir: tempfile::TempDir,
}

/// Runs a command with its run folder (the argument `RUN`) on a disk of its own of `size`. `None` where no such disk can be made.
fn on_a_small_disk(size: &str, args: &[&str]) -> Option<Small> {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let script = r#"
        mount -t tmpfs -o "size=$1,mode=700" small "$2/disk" || exit 77
        dir=$2; shift 2
        "$@" >"$dir/stdout" 2>"$dir/stderr"
        code=$?
        cp -r "$dir/disk/run" "$dir/kept" 2>/dev/null
        exit $code"#;
    let mut command = Command::new("unshare");
    if nix::unistd::geteuid().is_root() {
        command.arg("--mount");
    } else {
        command.args(["--map-root-user", "--mount"]);
    }
    let run = disk.join("run").display().to_string();
    let args = args.iter().map(|a| if *a == "RUN" { run.as_str() } else { a });
    command.args(["sh", "-c", script, "sh", size]).arg(dir.path()).arg(env!("CARGO_BIN_EXE_overhear")).args(args).env("HOME", dir.path());
    let status: ExitStatus = command.stdin(Stdio::null()).stdout(Stdio::null()).status().ok()?;
    let code = status.code()?;
    if code == 77 {
        return None;
    }
    let said = fs::read_to_string(dir.path().join("stderr")).unwrap_or_default();
    Some(Small { code, said, run: dir.path().join("kept"), _dir: dir })
}

/// One message, which names what was full, and exit code 3.
#[track_caller]
fn ended_for_want_of_space(small: &Small, size: &str) {
    let said: Vec<&str> = small.said.lines().filter(|l| !l.trim().is_empty()).collect();
    assert_eq!(small.code, 3, "{size}: {said:?}");
    let [one] = said.as_slice() else { panic!("{size}: not one message: {said:?}") };
    assert!(
        one.starts_with("overhear: cannot write ") && one.contains("No space left") && one.contains("free some space"),
        "{size}: {one}"
    );
    assert!(!small.run.join("run.json").exists(), "{size}: the run counts as whole");
    if small.run.join("journal.jsonl").is_file() {
        whole(&small.run);
    }
}

#[test]
fn a_full_disk_ends_an_analysis() {
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("names.pcap");
    fs::write(&capture, questions(12_000)).unwrap();
    for size in ["8k", "64k", "1500k", "3500k"] {
        let args = ["--quiet", "analyze", "--hash", "none", "--tables", "--out", "RUN", capture.to_str().unwrap()];
        let Some(small) = on_a_small_disk(size, &args) else {
            println!("skipped: no disk of one's own here");
            return;
        };
        ended_for_want_of_space(&small, size);
    }
    // With room enough the same capture is read to its end.
    let small = on_a_small_disk("100m", &["--quiet", "analyze", "--hash", "none", "--out", "RUN", capture.to_str().unwrap()]).unwrap();
    assert!(small.code != 3 && small.run.join("run.json").is_file(), "{} {}", small.code, small.said);
}

/// A capture of DNS questions, each for another name: nothing makes more lines of fewer bytes.
fn questions(count: u32) -> Vec<u8> {
    let mut out = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1].iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    for n in 0..count {
        let name = format!("host{n:06}");
        let mut dns = [&n.to_be_bytes()[2..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.len() as u8], name.as_bytes()].concat();
        dns.extend(b"\x04test\x00\x00\x01\x00\x01");
        let udp = [&(20_000 + (n % 40_000) as u16).to_be_bytes()[..], &[0, 53], &(8 + dns.len() as u16).to_be_bytes(), &[0, 0]].concat();
        let len = (28 + dns.len()) as u16;
        let mut ip = [&[0x45, 0][..], &len.to_be_bytes(), &[0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 10, 192, 0, 2, 53]].concat();
        let sum: u32 = ip.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
        let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        let frame = [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0][..], &ip, &udp, &dns].concat();
        for n in [1_700_000_000 + n / 1000, n % 1000, frame.len() as u32, frame.len() as u32] {
            out.extend(n.to_le_bytes());
        }
        out.extend(frame);
    }
    out
}

#[test]
fn a_full_disk_ends_a_live_run() {
    if let Some(why) = no_namespaces() {
        println!("skipped: {why}");
        return;
    }
    for size in ["8k", "100k", "600k"] {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        // What is not attacked must work in every run, whatever becomes of our disk. The download makes the capture grow.
        let program = format!(
            "curl -s -m 15 -o /dev/null -w '%{{http_code}}\\n' http://plain.shop.test/ >>{0}; curl -s -m 15 -o /dev/null https://shop.test/; true",
            log.display()
        );
        let args = ["--quiet", "lab", "--headless", "--budget", "60", "--out", "RUN", "--", "sh", "-c", &program];
        let Some(small) = on_a_small_disk(size, &args) else {
            println!("skipped: no disk of one's own here");
            return;
        };
        ended_for_want_of_space(&small, size);
        let runs = fs::read_to_string(&log).unwrap_or_default();
        assert!(runs.lines().all(|code| code == "200"), "{size}: {runs}");
        if size != "8k" {
            assert!(runs.lines().count() >= 2, "{size}: the run did not get going: {runs}");
        }
    }
}

// ---- what devices and servers do ----

/// This program again, as the program under test: its work, and a file for what it has to tell.
const ROLE: &str = "OVERHEAR_FAULTS_DEVICE";
const ROLE_LOG: &str = "OVERHEAR_FAULTS_LOG";
/// Connections at once in a flood, and how many runs of the device are one.
const FLOOD: usize = 2000;
const FLOODS: usize = 2;

/// A run of a role of this program; its journal, its report and what the role told.
struct Run {
    code: i32,
    journal: Vec<Value>,
    report: Value,
    told: String,
    /// The most memory that a process of the lab had at once, in KiB.
    peak: u64,
}

fn lab_with(role: &str, attacks: &str, before: &str) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let (out, log) = (dir.path().join("run"), dir.path().join("log"));
    let host = format!("{role}-{}.test", std::process::id());
    let me = std::env::current_exe().unwrap();
    let script = format!("{before} exec \"$0\" \"$@\"");
    let mut lab = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_overhear")])
        .args(["lab", "--quiet", "--headless", "--budget", "90", "--run-timeout", "40", "--attacks", attacks, "--host", &host, "--out"])
        .arg(&out)
        .arg("--")
        .arg(me)
        .args(["device", "--exact", "--nocapture"])
        .env(ROLE, role)
        .env(ROLE_LOG, &log)
        .env("TMPDIR", dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut peak = 0;
    while lab.try_wait().unwrap().is_none() {
        // Of the lab's own processes the gateway has the most; a role's name is not on its command line.
        peak = processes(&host).iter().filter_map(|p| peak_memory(p)).fold(peak, u64::max);
        std::thread::sleep(Duration::from_millis(100));
    }
    let Output { status, stderr, .. } = lab.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&stderr);
    let text = fs::read_to_string(out.join("journal.jsonl")).unwrap_or_else(|e| panic!("no journal: {e}: {said}"));
    let journal = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let report = fs::read(out.join("report.json")).unwrap_or_else(|e| panic!("no report: {e}: {said}"));
    let verify = overhear().arg("verify").arg(&out).output().unwrap();
    assert_eq!(verify.status.code(), Some(0), "{}", String::from_utf8_lossy(&verify.stdout));
    Run {
        code: status.code().unwrap(),
        journal,
        report: serde_json::from_slice(&report).unwrap(),
        told: fs::read_to_string(&log).unwrap(),
        peak,
    }
}

/// `VmHWM` of a process, in KiB.
fn peak_memory(process: &Path) -> Option<u64> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse().ok()
}

impl Run {
    /// Lines of one kind of fact.
    fn seen<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.journal.iter().filter_map(move |line| line.get("seen")?.get(kind))
    }

    /// Verdicts of a check.
    fn verdicts(&self, check: &str) -> BTreeSet<String> {
        let findings = self.report["findings"].as_array().unwrap().iter().filter(|f| f["check"] == check);
        findings.map(|f| f["verdict"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// Two thousand connections at once, twice (a control and an attack), from a device without a flaw and from one that takes anything.
#[test]
fn two_thousand_connections_at_once() {
    if let Some(why) = no_namespaces() {
        println!("skipped: {why}");
        return;
    }
    for (role, verdict) in [("flood-none", "pass"), ("flood-accepts-anything", "fail")] {
        // As most systems have it: far fewer descriptors than the gateway needs for this.
        let run = lab_with(role, "cert.expired", "ulimit -Sn 1024;");
        let told: Vec<Vec<usize>> = run.told.lines().map(|l| l.split(' ').map(|n| n.parse().unwrap()).collect()).collect();
        println!(
            "{role}: {} runs, peak {} MiB, [opened, sent, refused, failed]: {:?}",
            told.len(),
            run.peak >> 10,
            told.iter().take(4).collect::<Vec<_>>()
        );
        let opened: usize = told.iter().map(|run| run[0]).sum();
        assert!(opened >= FLOOD * FLOODS, "{told:?}");
        // Each is a flow of the journal, and none was lost on the way.
        let flows = run.seen("flow").filter(|f| f["b"].as_str().unwrap().ends_with(":443")).count();
        assert_eq!(flows, opened, "{role}");
        // The control was served to all; nothing of this device fails for our want of room.
        assert_eq!(told[0][1..], [FLOOD, 0, 0], "{role}: {told:?}");
        assert_eq!(told[1][3], 0, "{role}: {told:?}");
        assert_eq!(run.verdicts("cert.expired"), BTreeSet::from([verdict.to_owned()]), "{role}");
        assert_eq!(run.code == 1, verdict == "fail", "{role}");
        assert!(run.peak < 512 << 10, "{role}: {} MiB", run.peak >> 10);
    }
}

/// Every connection breaks off somewhere in its handshake, on either side: no attack is answered, and every flow is told.
#[test]
fn a_device_that_always_breaks_off_proves_nothing() {
    if let Some(why) = no_namespaces() {
        println!("skipped: {why}");
        return;
    }
    let run = lab_with("cut", "core", "");
    let opened: usize = run.told.lines().map(|l| l.parse::<usize>().unwrap()).sum();
    let flows = run.seen("flow").filter(|f| f["b"].as_str().unwrap().ends_with(":443")).count();
    assert!(opened > 50 && flows == opened, "{flows} of {opened}");
    nothing_decided(&run);
    assert!(run.seen("trial").all(|t| t["result"] != "accepted"));
}

/// No attack has an answer that is a pass or a fail.
#[track_caller]
fn nothing_decided(run: &Run) {
    let attacks: BTreeSet<&str> = run.journal[0]["seen"]["run"]["attacks"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(!attacks.is_empty());
    for attack in attacks {
        let verdicts = run.verdicts(attack);
        assert!(!verdicts.contains("pass") && !verdicts.contains("fail"), "{attack}: {verdicts:?}");
    }
}

/// Ports of the lab's Internet on which nobody listens, or nobody speaks TLS.
#[test]
fn servers_that_do_not_answer_prove_nothing() {
    if let Some(why) = no_namespaces() {
        println!("skipped: {why}");
        return;
    }
    for role in ["down-9", "down-80", "down-2525"] {
        let run = lab_with(role, "cert.expired,cert.untrusted-ca,tls.version-tls11,channel.tls-block-fallback", "");
        // The device's connections were ended, none by its own patience.
        assert!(run.told.lines().count() >= 3 && run.told.lines().all(|l| l == "ended"), "{role}: {}", run.told);
        nothing_decided(&run);
        assert!(run.seen("trial").count() > 0, "{role}");
        assert!(run.seen("trial").all(|t| t["result"] != "accepted"), "{role}: {:?}", run.seen("trial").collect::<Vec<_>>());
    }
}

/// The program under test, when this program is started as one.
#[test]
fn device() {
    let (Ok(role), Some(log)) = (std::env::var(ROLE), std::env::var_os(ROLE_LOG)) else { return };
    let host = std::env::var("OVERHEAR_HOST").unwrap();
    let log = PathBuf::from(log);
    let before = fs::read_to_string(&log).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = runtime.block_on(async {
        match role.split_once('-') {
            Some(("flood", flaw)) => flood(flaw, &host, if before.lines().count() < FLOODS { FLOOD } else { 1 }).await,
            Some(("down", port)) => call(&host, port.parse().unwrap()).await,
            _ => break_off(&host, before.lines().count() as u64).await,
        }
    });
    fs::write(&log, before + &told + "\n").unwrap();
}

/// Visits at once, each of which begins when all are connected: how many were opened, sent their request, were refused, failed.
async fn flood(flaw: &str, host: &str, many: usize) -> String {
    let (_, most) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, most.min(8192), most).unwrap();
    let flaw = Flaw::from_word(flaw).unwrap_or_else(|| panic!("no flaw is called {flaw}"));
    let toy = Arc::new(Toy::new(flaw, Trust::from_env().unwrap()));
    let dial = Arc::new(Together {
        to: (host, 443).to_socket_addrs().unwrap().next().unwrap(),
        opened: AtomicUsize::new(0),
        all: Barrier::new(many),
    });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..many {
        let (toy, dial, host) = (toy.clone(), dial.clone(), host.to_owned());
        tasks.spawn(async move { toy.visit(&*dial, &host).await.remove(0).end });
    }
    let mut ends = [0, 0, 0];
    let mut why = String::new();
    while let Some(end) = tasks.join_next().await {
        match end.unwrap() {
            End::Refused(_) => ends[1] += 1,
            // An attack takes the request and does not answer.
            End::Sent { .. } => ends[0] += 1,
            End::Failed(said) => {
                ends[2] += 1;
                why = said;
            }
            End::WentAlong => panic!("no toy here goes along"),
        }
    }
    if ends[2] > 0 {
        println!("last failure: {why}");
    }
    format!("{} {} {} {}", dial.opened.load(Ordering::SeqCst), ends[0], ends[1], ends[2])
}

struct Together {
    to: SocketAddr,
    opened: AtomicUsize,
    all: Barrier,
}

impl Dial for Together {
    fn dial<'a>(&'a self, _: &'a str, _: u16) -> Dialling<'a> {
        Box::pin(async move {
            let stream = TcpStream::connect(self.to).await?;
            self.opened.fetch_add(1, Ordering::SeqCst);
            self.all.wait().await;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

/// Sound visits, each broken off by reset after some bytes of one direction, before the device could have said anything but its handshake.
async fn break_off(host: &str, run: u64) -> String {
    const VISITS: u64 = 12;
    let toy = Toy::new(Flaw::None, Trust::from_env().unwrap());
    let to = (host, 443).to_socket_addrs().unwrap().next().unwrap();
    for n in 0..VISITS {
        let moment = chance(run, n);
        // A hello with its Finished has some 300 bytes, the lab's flight over 1 000.
        let left = if moment & 1 == 0 { [(moment >> 8) as usize % 300, usize::MAX] } else { [usize::MAX, (moment >> 8) as usize % 1000] };
        let end = toy.visit(&Breaking { to, left }, host).await.remove(0).end;
        assert!(matches!(end, End::Failed(_)), "{left:?}: {end:?}");
    }
    VISITS.to_string()
}

struct Breaking {
    to: SocketAddr,
    /// Bytes that may still be sent and read.
    left: [usize; 2],
}

impl Dial for Breaking {
    fn dial<'a>(&'a self, _: &'a str, _: u16) -> Dialling<'a> {
        Box::pin(async move {
            let stream = TcpStream::connect(self.to).await?;
            // Closing is a reset.
            nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 })?;
            Ok(Box::new(Broken { stream, left: self.left }) as Box<dyn Stream>)
        })
    }
}

struct Broken {
    stream: TcpStream,
    left: [usize; 2],
}

impl AsyncRead for Broken {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left[1] == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let mut part = buf.take(self.left[1]);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let n = part.filled().len();
        // The part's bytes are the buffer's.
        buf.initialize_unfilled_to(n);
        buf.advance(n);
        self.left[1] -= n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Broken {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.left[0] == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let part = &bytes[..bytes.len().min(self.left[0])];
        let n = ready!(Pin::new(&mut self.stream).poll_write(cx, part))?;
        self.left[0] -= n;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// One sound visit to another port, and whether somebody else ended it before the toy lost its patience (10 s).
async fn call(host: &str, port: u16) -> String {
    let toy = Toy::new(Flaw::None, Trust::from_env().unwrap());
    match toy.visit(&Elsewhere(port), host).await.remove(0).end {
        End::Failed(why) if why == "no answer in time" => why,
        End::Failed(_) => "ended".to_owned(),
        other => format!("{other:?}"),
    }
}

struct Elsewhere(u16);

impl Dial for Elsewhere {
    fn dial<'a>(&'a self, host: &'a str, _: u16) -> Dialling<'a> {
        Box::pin(async move { Ok(Box::new(TcpStream::connect((host, self.0)).await?) as Box<dyn Stream>) })
    }
}

// ---- the machine ----

fn within(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + limit;
    while !done() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
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
