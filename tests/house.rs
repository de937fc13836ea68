//! The house rules that a machine can hold: arrows between crates, ids and places, generated documents, help, schema, text, licences.
//!
//! `UPDATE=1 cargo test --test house` rewrites what is generated; the difference is reviewed like code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::items_after_statements,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use policies::Policy;
use reports::catalogue::Catalogue;
use reports::listing::{self, Form, Subject};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Two sets of names that must be one; says only where they differ.
#[track_caller]
fn same(left: &BTreeSet<String>, right: &BTreeSet<String>, what: &str) {
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
    let (in_left, in_right) = (only(left, right), only(right, left));
    assert!(in_left.is_empty() && in_right.is_empty(), "{what}\n  only in the first: {in_left:?}\n  only in the second: {in_right:?}");
}

fn toml(name: &str) -> toml::Table {
    read(name).parse().unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Compares with a committed file; `UPDATE=1` rewrites it.
#[track_caller]
fn committed(name: &str, expect: &str) {
    let path = root().join(name);
    if std::env::var_os("UPDATE").is_some_and(|v| !v.is_empty()) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, expect).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    let at = known.lines().zip(expect.lines()).position(|(a, b)| a != b).map_or(known.lines().count(), |n| n) + 1;
    assert!(
        known == expect,
        "{name} is stale from line {at} on: `UPDATE=1 cargo test --test house` rewrites it; then review the difference"
    );
}

/// Files below a folder, as `a/b.rs`, sorted.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let base = root().join(folder);
    let mut open = vec![base.clone()];
    let mut out = Vec::new();
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                out.push(path.strip_prefix(&base).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    out.sort();
    out
}

/// Text files that belong to the project: what git tracks or would, else everything but build output.
fn tracked() -> Vec<String> {
    let git = Command::new("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root()).output();
    let names: Vec<String> = match git {
        Ok(out) if out.status.success() && !out.stdout.is_empty() => {
            String::from_utf8_lossy(&out.stdout).split('\0').filter(|n| !n.is_empty()).map(str::to_owned).collect()
        }
        _ => files("", "")
            .into_iter()
            .filter(|n| !n.starts_with("target/") && !n.starts_with("overhear-runs/") && !n.starts_with(".git/"))
            .collect(),
    };
    names.into_iter().filter(|n| root().join(n).is_file()).collect()
}

// ---- arrows ----

/// Crate, and the crates of the house it may use (ARCHITECTURE.md, *Crates and arrows*).
const ARROWS: [(&str, &[&str]); 8] = [
    ("policies", &[]),
    ("analyzers", &["policies"]),
    ("captures", &["policies", "analyzers"]),
    ("reports", &["policies", "analyzers"]),
    ("dashboard", &["policies", "analyzers"]),
    ("proxy", &["policies", "analyzers", "captures"]),
    ("lab", &["policies"]),
    (".", &["policies", "analyzers", "captures", "reports", "proxy", "dashboard", "lab"]),
];

/// No clock, network, async or chance, and no file of their own.
const PURE: [&str; 4] = ["policies", "analyzers", "captures", "reports"];

const ASYNC: [&str; 6] = ["tokio", "tokio-rustls", "hyper", "hyper-util", "http-body-util", "async-trait"];
const WORLD: [&str; 8] = ["socket2", "nix", "libc", "rand", "getrandom", "crossterm", "rustls", "tempfile"];

fn dependencies(krate: &str, table: &str) -> Vec<String> {
    let manifest = toml(&format!("{krate}/Cargo.toml"));
    manifest.get(table).and_then(toml::Value::as_table).map(|t| t.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn arrows_between_crates() {
    let ours: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).filter(|n| *n != ".").collect();
    let members = toml("Cargo.toml")["workspace"]["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m.as_str().unwrap().to_owned())
        .collect::<BTreeSet<_>>();
    assert_eq!(
        members,
        ours.iter().map(|n| (*n).to_owned()).collect(),
        "a crate came or went: say in ARCHITECTURE.md and here what it may use"
    );
    for (krate, may) in ARROWS {
        for used in dependencies(krate, "dependencies").iter().chain(&dependencies(krate, "build-dependencies")) {
            let name = used.strip_prefix("overhear-").unwrap_or(used);
            assert!(
                !ours.contains(&name) || may.contains(&name),
                "{krate} uses {name}: that arrow is not in ARCHITECTURE.md; move the code, or change the plan first"
            );
            let live = matches!(krate, "proxy" | "lab" | ".");
            assert!(live || !ASYNC.contains(&used.as_str()), "{krate} uses {used}: async belongs in proxy, lab and the binary");
            let pure = PURE.contains(&krate);
            assert!(!pure || !WORLD.contains(&used.as_str()), "{krate} is pure and uses {used}: hand the world in as an argument");
        }
    }
}

#[test]
fn pure_crates_forbid_the_world() {
    for krate in PURE {
        let text = std::fs::read_to_string(root().join(krate).join("clippy.toml")).unwrap_or_default();
        for forbidden in ["std::time::SystemTime::now", "std::time::Instant::now", "std::fs::File::open"] {
            assert!(text.contains(forbidden), "{krate}/clippy.toml does not forbid {forbidden}: copy the list of policies/clippy.toml");
        }
    }
}

// ---- ids are places ----

#[test]
fn every_check_file_is_in_the_registry() {
    let base = "analyzers/src/checks";
    let on_disk: BTreeSet<String> = files(base, ".rs")
        .into_iter()
        .filter_map(|f| f.strip_suffix(".rs")?.split_once('/').map(|(family, name)| format!("{family}.{name}").replace('_', "-")))
        .collect();
    let known: BTreeSet<String> = analyzers::checks::all().iter().map(|c| c.id.clone()).collect();
    same(&on_disk, &known, &format!("files of {base} and `families!` in {base}/mod.rs differ"));
}

#[test]
fn every_attack_file_is_in_the_table() {
    let on_disk: BTreeSet<String> =
        files("policies/attacks", "").iter().map(|f| f.strip_suffix(".toml").unwrap_or(f).replace('/', ".")).collect();
    let known: BTreeSet<String> = policies::attack::catalogue().into_iter().map(|a| a.id).collect();
    same(&on_disk, &known, "files of policies/attacks and `attacks!` in policies/src/attack.rs differ");
    let checks: BTreeSet<String> = analyzers::checks::all().iter().map(|c| c.id.clone()).collect();
    assert!(checks.is_disjoint(&known), "a check and an attack share an id: {:?}", checks.intersection(&known).collect::<Vec<_>>());
}

const KNOWN: &str = "policies/requirements/known-checks.txt";

/// Requirements may name checks that are planned and not built; a typing error is none of them.
#[test]
fn requirements_name_known_checks_generated() {
    let built = analyzers::checks::all().iter().map(|c| c.id.clone()).chain(policies::attack::catalogue().into_iter().map(|a| a.id));
    let mut known: BTreeSet<String> = read(KNOWN).lines().map(str::to_owned).collect();
    known.extend(built);
    let text: String = known.iter().map(|id| format!("{id}\n")).collect();
    committed(KNOWN, &text);
    for requirement in policies::requirement::catalogue() {
        for id in requirement.checks() {
            assert!(known.contains(id), "requirement {} names '{id}', which is neither built nor in {KNOWN}", requirement.id);
        }
    }
}

// ---- generated documents ----

#[test]
fn listings_are_generated() {
    let demands = analyzers::board::Demands {
        policy: Policy::default_analyze(),
        declaration: None,
        requirements: policies::requirement::catalogue(),
        attacks: policies::attack::catalogue(),
    };
    let catalogue = Catalogue::of(&demands);
    for (name, subject) in [("checks", Subject::Checks), ("attacks", Subject::Attacks), ("requirements", Subject::Requirements)] {
        let mut text = Vec::new();
        listing::list(&catalogue, subject, Form::Markdown, &mut text).unwrap();
        committed(&format!("docs/{name}.md"), &String::from_utf8(text).unwrap());
    }
}

#[test]
fn the_report_schema_is_generated() {
    committed("reports/schema/report-1.json", &reports::json::schema());
}

// ---- help ----

fn help(words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_overhear"));
    // What would change the text: a terminal's width, and variables that help shows with their values.
    let out =
        command.args(words).arg("--help").env_remove("COLUMNS").env_remove("OVERHEAR_PROJECT_KEY").env("NO_COLOR", "1").output().unwrap();
    assert!(out.status.success(), "overhear {} --help: {}", words.join(" "), String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// The commands a help text lists.
fn listed(help: &str) -> Vec<String> {
    let from = help.lines().skip_while(|l| *l != "Commands:").skip(1);
    let rows = from.take_while(|l| !l.is_empty()).filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    rows.filter_map(|l| l.split_whitespace().next()).filter(|w| *w != "help").map(str::to_owned).collect()
}

#[test]
fn help_is_generated() {
    let top = help(&[]);
    committed("tests/help/overhear.txt", &top);
    let mut expect = BTreeSet::from(["overhear.txt".to_owned()]);
    for name in listed(&top) {
        let text = help(&[&name]);
        let below = listed(&text);
        let mut all = vec![(name.clone(), text)];
        all.extend(below.iter().map(|sub| (format!("{name}-{sub}"), help(&[&name, sub]))));
        for (file, text) in all {
            committed(&format!("tests/help/{file}.txt"), &text);
            expect.insert(format!("{file}.txt"));
        }
    }
    let there: BTreeSet<String> = files("tests/help", ".txt").into_iter().collect();
    same(&there, &expect, "files of tests/help and commands differ: remove those of commands that are gone");
}

/// Options that several commands share are named once, for all of them.
const SHARED: [&str; 11] =
    ["format", "policy", "persona", "declaration", "project-key", "baseline", "require", "fail-on", "undecided", "attacks", "anchor"];

/// Every command and its long options stand in the table of docs/interface.md, and every row there is a command.
#[test]
fn the_interface_names_every_command() {
    let page = read("docs/interface.md");
    let rows: BTreeMap<&str, &str> = page
        .lines()
        .filter_map(|l| l.strip_prefix("| `overhear "))
        .filter_map(|l| Some((l.split(|c: char| !c.is_ascii_lowercase()).next()?, l)))
        .collect();
    let commands: BTreeSet<String> = listed(&help(&[])).into_iter().collect();
    let named: BTreeSet<String> = rows.keys().map(|k| (*k).to_owned()).collect();
    same(&named, &commands, "rows of docs/interface.md and commands of --help differ");
    for (command, row) in rows {
        for line in help(&[command]).lines() {
            let Some(option) = line.trim_start().split(|c: char| c.is_whitespace() || c == ',').find_map(|w| w.strip_prefix("--")) else {
                continue;
            };
            let everywhere = matches!(option, "help" | "version" | "quiet");
            let shared = everywhere || SHARED.contains(&option) && page.contains(&format!("--{option}"));
            assert!(
                !line.trim_start().starts_with('-') || shared || row.contains(&format!("--{option}")),
                "`overhear {command}` has --{option}, which its row in docs/interface.md does not name"
            );
        }
    }
}

// ---- text ----

/// The longest Rust file that needs no excuse.
const LINES: usize = 600;

#[test]
fn files_keep_to_the_rules() {
    // Put together here, so that this file does not contain them.
    let machine = ["home", "root", "work", "Users"].map(|dir| format!("/{dir}/"));
    let unfinished = ["todo", "unimplemented"].map(|name| format!("{name}!"));
    let ignored = format!("#[{}]", "ignore");
    let key = format!("PRIVATE {}-----", "KEY");
    let mut wrong = Vec::new();
    for name in tracked() {
        let Ok(text) = std::fs::read_to_string(root().join(&name)) else { continue };
        let rust = Path::new(&name).extension().is_some_and(|e| e == "rs");
        for (n, line) in (1..).zip(text.lines()) {
            if machine.iter().any(|path| names_path(line, path)) {
                wrong.push(format!("{name}:{n}: names a path of one machine"));
            }
            if line.contains(&key) {
                wrong.push(format!("{name}:{n}: is a private key; tests make theirs"));
            }
            if !rust {
                continue;
            }
            if unfinished.iter().any(|m| line.contains(m.as_str())) {
                wrong.push(format!("{name}:{n}: is unfinished"));
            }
            if line.trim() == ignored {
                wrong.push(format!("{name}:{n}: a test is ignored without a reason: #[ignore = \"…\"]"));
            }
        }
        let lines = text.lines().count();
        let excused = text.lines().take(12).any(|l| l.split(|c: char| !c.is_alphabetic()).any(|w| w.eq_ignore_ascii_case("long")));
        if rust && lines > LINES && !excused {
            wrong.push(format!("{name}: has {lines} lines: divide it, or say in its first lines why it is long"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// An absolute path, not the middle of a relative one or of a URL.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '}' | '~' | ')' | '>')))
}

#[test]
fn licence_texts_are_there() {
    assert!(read("LICENSE-MIT").contains("Permission is hereby granted, free of charge"));
    assert!(read("LICENSE-APACHE").contains("Apache License"));
    assert_eq!(toml("Cargo.toml")["workspace"]["package"]["license"].as_str(), Some("MIT OR Apache-2.0"));
    for (krate, _) in ARROWS {
        let manifest = toml(&format!("{krate}/Cargo.toml"));
        assert!(manifest["package"]["license"]["workspace"].as_bool().unwrap_or(false), "{krate}/Cargo.toml: license.workspace = true");
    }
}

// ---- what is linked in ----

struct Linked {
    name: String,
    version: String,
    licence: String,
}

/// Crates that this machine's build uses, tests included. `cargo tree` and not `cargo metadata`: the latter also lists optional crates that no
/// feature asks for, and asks the network for those of other systems.
fn linked() -> Vec<Linked> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let out = Command::new(cargo)
        .args(["tree", "--locked", "--offline", "--workspace", "-e", "normal,build,dev", "--prefix", "none", "--format", "{p}|{l}"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "cargo tree: {}\nis Cargo.lock up to date?", String::from_utf8_lossy(&out.stderr));
    let mut all: BTreeMap<(String, String), String> = BTreeMap::new();
    for line in String::from_utf8(out.stdout).unwrap().lines() {
        let Some((package, licence)) = line.split_once('|') else { continue };
        let mut words = package.split_whitespace();
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        let licence = licence.trim_end_matches("(*)").trim();
        all.insert((name.to_owned(), version.trim_start_matches('v').to_owned()), licence.to_owned());
    }
    all.into_iter().map(|((name, version), licence)| Linked { name, version, licence }).collect()
}

#[test]
fn licences_are_allowed() {
    let deny = toml("deny.toml");
    let allowed: Vec<&str> = deny["licenses"]["allow"].as_array().unwrap().iter().filter_map(toml::Value::as_str).collect();
    let packages = linked();
    assert!(packages.len() > 50, "cargo tree named only {} crates", packages.len());
    let bad: Vec<String> = packages
        .iter()
        .filter(|p| !Licence::fits(&p.licence, &allowed))
        .map(|p| format!("{} {}: '{}'", p.name, p.version, p.licence))
        .collect();
    assert!(
        bad.is_empty(),
        "not allowed by deny.toml [licenses]; use another crate, or add the licence there after reading it:\n{}",
        bad.join("\n")
    );
}

#[test]
fn duplicates_have_reasons() {
    let deny = toml("deny.toml");
    let skip: Vec<(String, String, String)> = deny["bans"]
        .get("skip")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
        .map(|entry| {
            let of = |key: &str| entry.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
            let krate = of("crate");
            let (name, version) = krate.split_once('@').unwrap_or((&krate, ""));
            (name.to_owned(), version.to_owned(), of("reason"))
        })
        .collect();
    for (name, version, reason) in &skip {
        assert!(!reason.trim().is_empty(), "deny.toml: {name}@{version} is skipped without a reason");
    }
    let excused = |p: &Linked| skip.iter().any(|(name, version, _)| *name == p.name && covers(version, &p.version));
    let packages = linked();
    let mut by_name: BTreeMap<&str, Vec<&Linked>> = BTreeMap::new();
    for package in &packages {
        by_name.entry(&package.name).or_default().push(package);
    }
    let twice = by_name.values().filter(|v| v.len() > 1);
    let open: Vec<String> = twice
        .filter(|versions| versions.iter().filter(|p| !excused(p)).count() > 1)
        .map(|v| format!("{}: {}", v[0].name, v.iter().map(|p| p.version.as_str()).collect::<Vec<_>>().join(", ")))
        .collect();
    assert!(
        open.is_empty(),
        "linked in more than once; update what asks for the older one (`cargo tree -i NAME@VERSION`), or add {{ crate = \"NAME@VERSION\", reason = \"…\" }} to [bans] skip in deny.toml:\n{}",
        open.join("\n")
    );
    let stale: Vec<String> = skip
        .iter()
        .filter(|(name, version, _)| {
            !by_name.get(name.as_str()).is_some_and(|v| v.len() > 1 && v.iter().any(|p| covers(version, &p.version)))
        })
        .map(|(name, version, _)| format!("{name}@{version}"))
        .collect();
    assert!(stale.is_empty(), "deny.toml [bans] skip names what is not there twice any more: remove {}", stale.join(", "));
}

/// `1.2` covers `1.2` and `1.2.9`.
fn covers(short: &str, version: &str) -> bool {
    !short.is_empty() && (version == short || version.strip_prefix(short).is_some_and(|rest| rest.starts_with('.')))
}

/// Reads an SPDX expression as Cargo has them: `AND`, `OR` (also `/`), `WITH`, parentheses.
struct Licence<'a> {
    words: Vec<String>,
    at: usize,
    allowed: &'a [&'a str],
}

impl Licence<'_> {
    fn fits(text: &str, allowed: &[&str]) -> bool {
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let mut licence = Licence { words: spaced.split_whitespace().map(str::to_owned).collect(), at: 0, allowed };
        let fits = licence.any();
        fits && licence.at == licence.words.len()
    }

    fn next_is(&mut self, word: &str) -> bool {
        let is = self.words.get(self.at).is_some_and(|w| w == word);
        self.at += usize::from(is);
        is
    }

    fn any(&mut self) -> bool {
        let mut fits = self.all();
        while self.next_is("OR") {
            fits |= self.all();
        }
        fits
    }

    fn all(&mut self) -> bool {
        let mut fits = self.one();
        while self.next_is("AND") {
            fits &= self.one();
        }
        fits
    }

    fn one(&mut self) -> bool {
        if self.next_is("(") {
            let fits = self.any();
            return self.next_is(")") && fits;
        }
        let Some(mut name) = self.words.get(self.at).cloned() else { return false };
        self.at += 1;
        if self.next_is("WITH") {
            name = format!("{name} WITH {}", self.words.get(self.at).cloned().unwrap_or_default());
            self.at += 1;
        }
        self.allowed.contains(&name.as_str())
    }
}

#[test]
fn licence_expressions() {
    for (text, expect) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("", false),
        ("MIT OR GPL-3.0", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND Zlib", true),
        ("MIT OR GPL-3.0 AND GPL-2.0", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0 WITH Other-exception", false),
        ("MIT OR", true),
        ("(MIT", false),
        ("MIT MIT", false),
    ] {
        let allowed = ["MIT", "Zlib", "Apache-2.0 WITH LLVM-exception"];
        assert_eq!(Licence::fits(text, &allowed), expect, "{text}");
    }
}

#[test]
fn short_versions_cover_long_ones() {
    for (short, version, expect) in
        [("1", "1.2.3", true), ("1.2", "1.20.0", false), ("1.2.3", "1.2.3", true), ("", "1.0.0", false), ("2", "1.2.0", false)]
    {
        assert_eq!(covers(short, version), expect, "{short} {version}");
    }
}

#[test]
fn documents_link_to_what_is_there() {
    for name in tracked().into_iter().filter(|n| Path::new(n).extension().is_some_and(|e| e == "md")) {
        let text = read(&name);
        let here = Path::new(&name).parent().map(Path::to_path_buf).unwrap_or_default();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.contains(char::is_whitespace) {
                continue;
            }
            assert!(root().join(&here).join(target).exists(), "{name} links to {target}, which is not there");
        }
    }
}
