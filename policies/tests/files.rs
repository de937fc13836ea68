//! Sample files parse and fit their schemas; broken ones are refused with exact words; tables name every file of their folders.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test reads the folders of its own crate"
)]

use std::path::PathBuf;

use policies::{Attack, Declaration, Persona, Policy, Problem, Profile, actors, attack, events, profile, requirement, schema};

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Every file below a folder, as `a/b.toml`, sorted.
fn files(name: &str) -> Vec<String> {
    let root = folder(name);
    let mut open = vec![root.clone()];
    let mut out = Vec::new();
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                out.push(path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/"));
            }
        }
    }
    out.sort();
    out
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[track_caller]
fn same_files(folder: &str, table: Vec<&str>) {
    let mut table = table;
    table.sort_unstable();
    // requirements/known-checks.txt is a list of ids, held by the house test.
    let there: Vec<String> =
        files(folder).into_iter().filter(|f| std::path::Path::new(f.as_str()).extension().is_none_or(|e| e != "txt")).collect();
    assert_eq!(there, table, "the folder policies/{folder} and its table in the source differ");
}

#[test]
fn tables_name_every_file() {
    same_files("attacks", attack::sources().map(|(path, _)| path).collect());
    same_files("requirements", requirement::sources().map(|(path, _)| path).collect());
    same_files("profiles", profile::sources().map(|(path, _)| path).collect());
    same_files("schemas", schema::all().iter().map(|(path, _)| *path).collect());
}

/// `UPDATE=1 cargo test -p overhear-policies` rewrites them.
#[test]
fn schemas_are_those_of_the_types() {
    for (name, text) in schema::all() {
        let path = folder("schemas").join(name);
        if std::env::var_os("UPDATE").is_some_and(|v| !v.is_empty()) {
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text, "policies/schemas/{name} is stale: UPDATE=1 cargo test -p overhear-policies");
    }
}

#[track_caller]
fn fits(schema_name: &str, file: &str, text: &str) {
    let schema = schema::all().into_iter().find(|(name, _)| *name == schema_name).unwrap().1;
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let value: toml::Value = toml::from_str(text).unwrap();
    let value = serde_json::to_value(plain_dates(value)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{file} does not fit {schema_name}: {errors:?}");
}

/// JSON has no dates: a bare TOML date is its text.
fn plain_dates(value: toml::Value) -> toml::Value {
    match value {
        toml::Value::Datetime(d) => toml::Value::String(d.to_string()),
        toml::Value::Array(items) => toml::Value::Array(items.into_iter().map(plain_dates).collect()),
        toml::Value::Table(table) => toml::Value::Table(table.into_iter().map(|(k, v)| (k, plain_dates(v))).collect()),
        other => other,
    }
}

#[test]
fn samples_parse_and_fit() {
    let (persona, declaration, policy) = (read("samples/persona.toml"), read("samples/declaration.toml"), read("samples/policy.toml"));
    Persona::parse("persona.toml", &persona).unwrap();
    Declaration::parse("declaration.toml", &declaration).unwrap();
    let parsed = Policy::parse("policy.toml", &policy).unwrap();
    assert_eq!((parsed.n.critical, parsed.profile.name.as_str()), (5, "en303645"));
    for name in ["samples/events.csv", "samples/events.toml"] {
        assert!(!events::parse(name, &read(name)).unwrap().is_empty());
    }
    for name in ["samples/actors.csv", "samples/actors.toml"] {
        assert!(!actors::parse(name, &read(name)).unwrap().is_empty());
    }
    fits("persona.json", "samples/persona.toml", &persona);
    fits("declaration.json", "samples/declaration.toml", &declaration);
    fits("policy.json", "samples/policy.toml", &policy);
    fits("events.json", "samples/events.toml", &read("samples/events.toml"));
    fits("actors.json", "samples/actors.toml", &read("samples/actors.toml"));
    for (path, text) in attack::sources() {
        fits("attack.json", path, text);
    }
    for (path, text) in requirement::sources() {
        fits("requirements.json", path, text);
    }
    for (path, text) in profile::sources() {
        fits("profile.json", path, text);
    }
}

/// A schema that accepts anything would pass the test above.
#[test]
fn schemas_refuse_too() {
    for (name, text) in schema::all() {
        let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        assert!(!validator.is_valid(&serde_json::json!({ "colour": 1 })), "{name}");
        assert!(!validator.is_valid(&serde_json::json!([])), "{name}");
    }
}

fn words(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

type Parse = fn(&str, &str) -> Result<(), Vec<Problem>>;

const PERSONA: Parse = |f, t| Persona::parse(f, t).map(drop);
const DECLARATION: Parse = |f, t| Declaration::parse(f, t).map(drop);
const POLICY: Parse = |f, t| Policy::parse(f, t).map(drop);
const PROFILE: Parse = |f, t| Profile::parse(f, t).map(drop);
const ATTACK: Parse = |f, t| Attack::parse(f, t).map(drop);

/// Compares the whole answer; a row that ends in `…` gives its beginning only (the rest lists what would have been right).
#[track_caller]
fn broken(parse: Parse, file: &str, text: &str, expect: &[&str]) {
    let got = words(&parse(file, text).expect_err("this file is broken"));
    let same = |(got, expect): (&String, &&str)| expect.strip_suffix('…').map_or(got == expect, |start| got.starts_with(start));
    let all = got.len() == expect.len() && got.iter().zip(expect).all(same);
    assert!(all, "{got:#?}\nexpected\n{expect:#?}");
}

#[test]
fn broken_files() {
    const P: &str = "schema = \"overhear/policy/1\"\n";
    broken(PERSONA, "p.toml", "", &["p.toml:1:1: missing field `schema`"]);
    broken(
        PERSONA,
        "p.toml",
        "schema = \"overhear/persona/2\"\nvalue = []\n",
        &["p.toml:1:10: unknown variant `overhear/persona/2`, expected `overhear/persona/1`"],
    );
    broken(
        PERSONA,
        "p.toml",
        "schema = \"overhear/persona/1\"\n[[value]]\nname = \"x\"\ntype = \"imeI\"\n",
        &["p.toml:4:8: unknown variant `imeI`, expected one of `imei`, …"],
    );
    broken(
        POLICY,
        "p.toml",
        "schema = overhear\nlabel = [1,\n",
        &["p.toml:1:10: string values must be quoted, expected literal string", "p.toml:2:12: unclosed array, expected `]`"],
    );
    broken(
        POLICY,
        "p.toml",
        &format!("{P}store = \"headers\"\n"),
        &["p.toml:2:9: only \"full\" is built yet (leave it out; `overhear purge --raw` erases the packets of a run that is over)"],
    );
    broken(
        POLICY,
        "p.toml",
        &format!("{P}profile = \"gold\"\n"),
        &["p.toml:2:11: there is no profile 'gold' (built in are default, en18031, en303645, niap-tls, ts103732)"],
    );
    broken(
        POLICY,
        "p.toml",
        &format!("{P}[authorisation]\nowner = \"o\"\nreference = \" \"\nby = \"b\"\n"),
        &["p.toml:4:13: 'reference' is empty (an authorisation names owner, reference and who gave it)"],
    );
    broken(POLICY, "p.toml", &format!("{P}[authorisation]\nowner = \"o\"\n"), &["p.toml:2:1: missing field `reference`"]);
    broken(
        POLICY,
        "p.toml",
        &format!("{P}[thresholds]\nloss_percent = 101.0\nspeed = 1\n"),
        &["p.toml:4:1: unknown field `speed`, expected one of `loss_percent`, …"],
    );
    broken(
        POLICY,
        "p.toml",
        &format!("{P}[thresholds]\nloss_percent = 101.0\n[n]\nhigh = 0\n"),
        &["p.toml:3:16: 101 is out of range: 0.0 to 100.0", "p.toml:5:8: 0 trials is out of range: 1 to 100"],
    );
    broken(
        POLICY,
        "p.toml",
        &format!("{P}[scope]\npeers = [\"a b\"]\n"),
        &["p.toml:3:9: 'a b' is not a host name, *.suffix, address or address/bits"],
    );
    broken(
        POLICY,
        "p.toml",
        &format!("{P}own = [\"*.com\"]\n"),
        &["p.toml:2:8: '*.com' is wider than anything one operator owns (name the hosts that are yours)"],
    );
    broken(
        POLICY,
        "p.toml",
        &format!("{P}accounts = {{ volunteer = \"\" }}\n"),
        &["p.toml:2:12: the volunteer's agreement has no reference (accounts = { volunteer = \"reference\" })"],
    );
    broken(
        POLICY,
        "p.toml",
        &format!("{P}[[waivers]]\ncheck = \"*\"\nsubject = \"*\"\nreason = \"\"\nuntil = \"soon\"\n"),
        &["p.toml:6:9: 'soon' is not a day such as 2026-12-31, nor an RFC 3339 time"],
    );
    broken(
        POLICY,
        "p.toml",
        &format!("{P}[[waivers]]\ncheck = \"*\"\nsubject = \"*\"\nreason = \"\"\nuntil = 2026-12-31\n"),
        &[
            "p.toml:5:10: the reason is empty (a waiver is somebody's answer for a failure)",
            "p.toml:3:9: a waiver of every check waives the test (name the check or its family)",
        ],
    );
    broken(
        POLICY,
        "p.toml",
        &format!("{P}[[exceptions]]\nrule = \"all\"\nchecks = [\"*\"]\ncontent = \"any\"\nreason = \"r\"\n"),
        &[
            "p.toml:4:10: an exception from every check excuses everything (name the checks)",
            "p.toml:5:11: any content with any peer excuses everything (name the peers, or condition the content)",
        ],
    );
    broken(
        POLICY,
        "p.toml",
        &format!("{P}[tls]\nsuites = [\"TLS_NULL\"]\n"),
        &["p.toml:3:10: 'TLS_NULL' is not a suite known by name: write its IANA number, for example 0x1301"],
    );
    broken(
        PROFILE,
        "x.toml",
        "schema = \"overhear/profile/1\"\ntitle = \"t\"\nabout = \"a\"\n",
        &["x.toml:1:1: the profile needs nothing (requirements, checks or attacks)"],
    );
    broken(
        DECLARATION,
        "d.toml",
        "schema = \"overhear/declaration/1\"\nchannels = 1\n",
        &["d.toml:2:12: invalid type: integer `1`, expected a sequence"],
    );
    broken(ATTACK, "attacks/cert/x.toml", "title = \"t\"\ntitle = \"u\"\n", &["attacks/cert/x.toml:2:1: duplicate key"]);
}

/// Any text at all gets an answer.
#[test]
fn nothing_panics() {
    let seeds = [
        read("samples/persona.toml"),
        read("samples/policy.toml"),
        read("samples/declaration.toml"),
        read("samples/events.csv"),
        read("samples/actors.csv"),
    ];
    let mut state = 1_u64;
    for round in 0..600 {
        let seed = &seeds[round % seeds.len()];
        let mut bytes = seed.clone().into_bytes();
        for _ in 0..3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % bytes.len();
            match state >> 61 {
                0..=2 => bytes[at] = (state >> 20) as u8,
                3 | 4 => bytes.truncate(at.max(1)),
                _ => {
                    bytes.remove(at);
                }
            }
            if bytes.is_empty() {
                bytes.push(b'=');
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        for parse in [PERSONA, DECLARATION, POLICY, PROFILE, ATTACK] {
            for problem in parse("f.toml", &text).err().unwrap_or_default() {
                let _ = problem.to_string();
            }
        }
        for name in ["f.csv", "f.toml"] {
            let _ = events::parse(name, &text);
            let _ = actors::parse(name, &text);
        }
    }
}
