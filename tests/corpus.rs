//! Every real capture, read as the binary reads it, against what tshark read, what other projects expect, and what people found by hand.
//!
//! The captures are not ours to commit: they lie in `../shared/captures` beside the workspace, or where `OVERHEAR_CAPTURES` says. Where they
//! do not, the tests say so and pass. An unoptimised build reads a fixed sample only, unless `OVERHEAR_CORPUS=all`.
//!
//! `ONLY=part-of-a-name` reads the files so named; `VALUES=1` prints what differs, not only how much.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::disallowed_methods, reason = "tests read files and print")]

#[path = "corpus/compare.rs"]
mod compare;
#[path = "corpus/leaks.rs"]
mod leaks;
#[path = "corpus/ours.rs"]
mod ours;
#[path = "corpus/tally.rs"]
mod tally;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ours::Capture;
use tally::{Explained, Tally};

/// Every how many files one is read without optimisation: about forty of six hundred.
const SAMPLE: usize = 15;
/// The machine may be small; more threads would not help two cores.
const THREADS: usize = 2;
/// The largest capture is 3 MB and is read in well under a second; ten of that, unoptimised on a busy machine, is still no hang.
const HANG: Duration = Duration::from_secs(120);

/// Where the captures lie.
fn corpus() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = match std::env::var_os("OVERHEAR_CAPTURES") {
        Some(named) => root.join(named),
        // A worktree may lie one folder deeper.
        None => {
            let near = ["../shared/captures", "../../shared/captures"].map(|d| root.join(d));
            near.iter().find(|d| d.join("MANIFEST.toml").is_file()).cloned().unwrap_or_else(|| root.join("../shared/captures"))
        }
    };
    if dir.join("MANIFEST.toml").is_file() {
        return Some(dir);
    }
    eprintln!("skipped: no captures in {}; OVERHEAR_CAPTURES names another folder", dir.display());
    None
}

/// The captures of this build: all, or a sample that is always the same; and whether it is all.
fn chosen(dir: &Path) -> (Vec<Capture>, bool) {
    let all = ours::manifest(dir);
    if let Ok(only) = std::env::var("ONLY") {
        return (all.into_iter().filter(|c| c.name.contains(&only)).collect(), false);
    }
    let whole = !cfg!(debug_assertions) || std::env::var_os("OVERHEAR_CORPUS").is_some_and(|v| v == "all");
    (all.into_iter().step_by(if whole { 1 } else { SAMPLE }).collect(), whole)
}

/// Does `job` with every capture on a few threads; a job that takes too long ends the process, for nothing else can end it.
fn each<T: Send>(captures: &[Capture], job: impl Fn(&Capture) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let left = AtomicUsize::new(captures.len());
    let busy: Mutex<Vec<Option<(usize, Instant)>>> = Mutex::new(vec![None; THREADS]);
    let out: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (next, left, busy, out, job) = (&next, &left, &busy, &out, &job);
            scope.spawn(move || {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(capture) = captures.get(n) else { return };
                    busy.lock().unwrap()[thread] = Some((n, Instant::now()));
                    let done = job(capture);
                    busy.lock().unwrap()[thread] = None;
                    out.lock().unwrap().push((n, done));
                    left.fetch_sub(1, Ordering::Relaxed);
                }
            });
        }
        while left.load(Ordering::Relaxed) > 0 && next.load(Ordering::Relaxed) < captures.len() + THREADS {
            std::thread::sleep(Duration::from_millis(100));
            for (n, since) in busy.lock().unwrap().iter().flatten() {
                if since.elapsed() > HANG {
                    eprintln!("{}: not read after {} s: a hang", captures[*n].name, HANG.as_secs());
                    std::process::abort();
                }
            }
        }
    });
    let mut out = out.into_inner().unwrap();
    out.sort_by_key(|(n, _)| *n);
    out.into_iter().map(|(_, done)| done).collect()
}

#[test]
fn agrees_with_truth() {
    let Some(dir) = corpus() else { return };
    let started = Instant::now();
    let (captures, whole) = chosen(&dir);
    let explained = Explained::read();
    let found = leaks::List::read(&dir);
    let tallies = each(&captures, |capture| {
        let mut tally = Tally::new(&explained, &capture.name);
        match std::panic::catch_unwind(|| ours::read(&dir, capture, &ours::bare())) {
            Ok(Ok(seen)) => {
                compare::all(&dir, capture, &seen, &mut tally);
                leaks::all(&dir, capture, &seen, &found, &mut tally);
            }
            Ok(Err(why)) => compare::unread(&dir, capture, &why, &mut tally),
            Err(_) => tally.wrong("panic", "reading panicked"),
        }
        tally.done()
    });
    let sum = tally::sum(tallies);
    eprintln!("{} captures in {:.1} s", captures.len(), started.elapsed().as_secs_f64());
    sum.print();
    if whole {
        let stale = explained.unused(&sum);
        assert!(stale.is_empty(), "nothing differs there any more, remove from tests/corpus/explained.toml:\n{}", stale.join("\n"));
        assert!(sum.agreed() > 10_000, "hardly anything was compared");
    }
    assert_eq!(sum.wrong.len(), 0, "differences that nobody has explained");
}

/// Cut or with a bit flipped, a capture is still read to its end.
#[test]
fn damage_is_survived() {
    let Some(dir) = corpus() else { return };
    let started = Instant::now();
    let (captures, _) = chosen(&dir);
    let read = each(&captures, |capture| {
        let whole = std::fs::read(dir.join("pcap").join(&capture.name)).unwrap();
        let keys = ours::keys(&dir, capture);
        let mut failed = Vec::new();
        let damaged = damaged(&capture.name, &whole);
        for (what, bytes) in &damaged {
            let result = std::panic::catch_unwind(|| ours::read_bytes(bytes, keys.clone(), &ours::bare()).map(|seen| seen.packets));
            if result.is_err() {
                failed.push(format!("{} {what}: panicked", capture.name));
            }
        }
        (damaged.len(), failed)
    });
    let failed: Vec<&String> = read.iter().flat_map(|(_, f)| f).collect();
    let n: usize = read.iter().map(|(n, _)| n).sum();
    eprintln!("{n} damaged captures in {:.1} s, {} failed", started.elapsed().as_secs_f64(), failed.len());
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Three cuts and three flipped bits, always the same for one name.
fn damaged(name: &str, whole: &[u8]) -> Vec<(String, Vec<u8>)> {
    // FNV-1a for a start, then Knuth's MMIX multiplier.
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n.max(1)
    };
    let mut out = Vec::new();
    // Anywhere, near the end, and within the first packets.
    for at in [below(whole.len()), whole.len().saturating_sub(1 + below(64)), below(whole.len().min(512))] {
        out.push((format!("cut at {at}"), whole[..at].to_vec()));
    }
    // Anywhere, and twice where headers are.
    for reach in [whole.len(), whole.len().min(4096), whole.len().min(512)] {
        let (at, bit) = (below(reach), below(8));
        let mut bytes = whole.to_vec();
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << bit;
        }
        out.push((format!("bit {bit} of byte {at} flipped"), bytes));
    }
    out
}
