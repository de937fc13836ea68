//! Replays what fuzzing found and what it starts from, through the functions the fuzz targets call. No fuzzer is needed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests read files")]

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, dead_code, reason = "another crate's library")]
mod targets;

use std::path::{Path, PathBuf};
use std::sync::Once;

/// `UPDATE=1 cargo test --test fuzz` writes the seeds, before any test looks at them.
fn corpus(name: &str) -> PathBuf {
    static WRITTEN: Once = Once::new();
    WRITTEN.call_once(|| {
        if std::env::var_os("UPDATE").is_some_and(|v| !v.is_empty()) {
            for (target, name, bytes) in targets::seeds::all() {
                std::fs::create_dir_all(folder(target)).unwrap();
                std::fs::write(folder(target).join(format!("seed-{name}")), &bytes).unwrap();
            }
        }
    });
    folder(name)
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}

fn files(name: &str) -> Vec<PathBuf> {
    let dir = corpus(name);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())).map(|f| f.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn seeds_are_in_the_corpora() {
    for (target, name, bytes) in targets::seeds::all() {
        let file = corpus(target).join(format!("seed-{name}"));
        assert_eq!(std::fs::read(&file).unwrap_or_default(), bytes, "{} is stale: UPDATE=1 cargo test --test fuzz", file.display());
    }
}

#[test]
fn corpora_replay() {
    for (name, target) in targets::TARGETS {
        let files = files(name);
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            let data = std::fs::read(&file).unwrap();
            let done = std::panic::catch_unwind(|| target(&data));
            assert!(done.is_ok(), "{}", file.display());
        }
    }
}

/// Every folder has its target and its binary, and all together stay small.
#[test]
fn every_target_has_its_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut names: Vec<&str> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let listed = |dir: &str| {
        let mut out: Vec<String> = std::fs::read_dir(root.join(dir))
            .unwrap()
            .map(|f| f.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        out.sort();
        out
    };
    corpus("");
    assert_eq!(listed("corpus"), names);
    assert_eq!(listed("fuzz_targets"), names);
    let manifest: toml::Table = std::fs::read_to_string(root.join("Cargo.toml")).unwrap().parse().unwrap();
    let mut built: Vec<&str> = manifest["bin"].as_array().unwrap().iter().filter_map(|bin| bin["name"].as_str()).collect();
    built.sort_unstable();
    assert_eq!(built, names, "`[[bin]]` of fuzz/Cargo.toml");
    let size: u64 = names.iter().flat_map(|n| files(n)).map(|f| f.metadata().unwrap().len()).sum();
    assert!(size < 1 << 20, "{size} bytes of corpora: minimise them");
}
