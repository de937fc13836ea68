//! HTTP requests, names and hits of every real capture, against what tshark read and what people found by hand.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods, reason = "tests read files and say what they skip")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use analyzers::chunk::Layer;
use analyzers::leak::{Engine, Seed};
use analyzers::observation::{Hit, NameSource, Observation, Question, Request};
use analyzers::pipeline::{Out, Pipeline, Tools};
use captures::{Options, analyse};
use policies::IdentifierType;
use serde_json::Value;

/// `../shared/captures` beside the workspace; these files are not ours to commit.
fn corpus() -> Option<PathBuf> {
    let dirs = ["../../shared/captures", "../../../shared/captures"].map(|d| Path::new(env!("CARGO_MANIFEST_DIR")).join(d));
    let found = dirs.into_iter().find(|d| d.is_dir());
    if found.is_none() {
        eprintln!("skipped: no ../shared/captures beside the workspace");
    }
    found
}

#[derive(Default)]
struct Seen {
    requests: Vec<(u64, Request)>,
    questions: Vec<Question>,
    hits: Vec<(u64, Hit)>,
    values: Vec<([u8; 16], Vec<u8>)>,
    names: BTreeSet<String>,
}

fn read(file: &Path, tools: &Arc<Tools>) -> Seen {
    let mut seen = Seen::default();
    let mut deliver = |out: Out| match out {
        Out::Seen(draft) => match draft.seen {
            Observation::Request(r) => seen.requests.push((draft.frame, r)),
            Observation::Hit(h) => seen.hits.push((draft.frame, h)),
            Observation::Announcement(a) => {
                seen.names.insert(a.name.to_string());
                seen.names.extend(a.service.map(|s| s.to_string()));
            }
            Observation::Question(q) => seen.questions.push(q),
            _ => {}
        },
        Out::Sealed(value) => seen.values.push((value.token, value.bytes)),
        _ => {}
    };
    let input = std::fs::File::open(file).unwrap();
    let _ = analyse(input, &Options::default(), |_| Pipeline::new(tools.clone()), &mut deliver, &mut |_| {});
    seen
}

fn truth(dir: &Path, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join("truth").join(format!("{file}.json"))).unwrap()).unwrap()
}

fn files(dir: &Path) -> Vec<String> {
    let mut files: Vec<String> =
        std::fs::read_dir(dir.join("pcap")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    files
}

/// Requests as (method, host with port, path without query), and how often.
type Asked = BTreeMap<(String, String, String), i64>;

fn ours(seen: &Seen) -> Asked {
    let mut out = Asked::new();
    for (_, r) in seen.requests.iter().filter(|(_, r)| r.layer == Layer::Wire && !r.method.is_empty()) {
        *out.entry((r.method.to_string(), r.host.as_ref().map_or(String::new(), ToString::to_string), r.path.to_string())).or_default() +=
            1;
    }
    out
}

fn theirs(truth: &Value) -> Asked {
    let mut out = Asked::new();
    for r in truth["http"].as_array().into_iter().flatten() {
        let text = |name: &str| r[name].as_str().unwrap_or_default().to_owned();
        if !text("flow").starts_with("tcp") || text("method").is_empty() {
            continue;
        }
        let (host, uri) = (text("host"), text("uri"));
        let rest = uri.strip_prefix("http://").unwrap_or(&uri);
        let rest = if text("method") == "CONNECT" { "" } else { rest.find('/').map_or("*", |n| &rest[n..]) };
        let path = rest.split(['?', '#']).next().unwrap_or_default().to_owned();
        let host = host.to_lowercase();
        let host = if host.starts_with('[') {
            host.trim_start_matches('[').split(']').next().unwrap().to_owned()
        } else {
            host.split(':').next().unwrap().to_owned()
        };
        *out.entry((text("method"), host, path)).or_default() += 1;
    }
    out
}

#[test]
fn http_requests_and_names_agree() {
    let Some(dir) = corpus() else { return };
    let tools = Arc::new(Tools::default());
    let (mut same, mut wrong) = (0, 0);
    for file in files(&dir) {
        let truth = truth(&dir, &file);
        let seen = read(&dir.join("pcap").join(&file), &tools);
        let (mine, other) = (ours(&seen), theirs(&truth));
        let keys: BTreeSet<_> = mine.keys().chain(other.keys()).collect();
        for key in keys {
            let (a, b) = (mine.get(key).copied().unwrap_or(0), other.get(key).copied().unwrap_or(0));
            same += a.min(b);
            if a != b {
                wrong += (a - b).abs();
                eprintln!("{file}: {} {}{} ours {a} tshark {b}", key.0, key.1, key.2);
            }
        }
    }
    eprintln!("requests: {same} agree, {wrong} differ");
    let _ = NameSource::Dns;
}

#[test]
fn names_agree() {
    let Some(dir) = corpus() else { return };
    let tools = Arc::new(Tools::default());
    let (mut same, mut missed, mut extra) = (0, 0, 0);
    for file in files(&dir) {
        let truth = truth(&dir, &file);
        let seen = read(&dir.join("pcap").join(&file), &tools);
        for (list, source) in [("dns_names", NameSource::Dns), ("mdns_names", NameSource::Mdns)] {
            let other: BTreeSet<String> =
                truth[list].as_array().into_iter().flatten().filter_map(|n| n.as_str()).map(str::to_lowercase).collect();
            let mut mine: BTreeSet<String> =
                seen.questions.iter().filter(|q| q.source == source).map(|q| q.name.as_str().to_lowercase()).collect();
            if source == NameSource::Dns {
                mine.extend(
                    seen.questions.iter().filter(|q| q.source == source).flat_map(|q| &q.aliases).map(|a| a.as_str().to_lowercase()),
                );
            } else {
                mine.extend(seen.names.iter().map(|n| n.to_lowercase()));
            }
            same += mine.intersection(&other).count();
            for name in other.difference(&mine) {
                missed += 1;
                eprintln!("{file}: {list} missed {name:?}");
            }
            if source == NameSource::Dns {
                for name in mine.difference(&other) {
                    extra += 1;
                    eprintln!("{file}: {list} extra {name:?}");
                }
            }
        }
    }
    eprintln!("names: {same} agree, {missed} missed, {extra} extra");
}

/// Identifier types of the hand-checked list in the words of this house.
fn kind(word: &str) -> IdentifierType {
    match word {
        "email" => IdentifierType::Email,
        "mac" | "mac_address" | "wifi_mac" => IdentifierType::Mac,
        "imei" => IdentifierType::Imei,
        "imsi" => IdentifierType::Imsi,
        "phone" | "phone_number" | "msisdn" => IdentifierType::Msisdn,
        "person_name" => IdentifierType::PersonName,
        "password" => IdentifierType::Password,
        "username" | "user_name" => IdentifierType::UserName,
        "android_id" => IdentifierType::AndroidId,
        "advertising_id" | "ad_id" => IdentifierType::AdId,
        _ => IdentifierType::Text,
    }
}

#[test]
fn leaks_are_found() {
    let Some(dir) = corpus() else { return };
    let list: toml::Table = std::fs::read_to_string(dir.join("leaks.toml")).unwrap().parse().unwrap();
    let text = |t: &toml::Value, name: &str| t.get(name).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let mut by_file: BTreeMap<String, Vec<toml::Value>> = BTreeMap::new();
    for leak in list["leak"].as_array().unwrap() {
        by_file.entry(text(leak, "file")).or_default().push(leak.clone());
    }
    let mut recall: BTreeMap<String, (u32, u32, u32)> = BTreeMap::new();
    for (file, leaks) in &by_file {
        let seeds = leaks.iter().enumerate().map(|(n, leak)| Seed {
            name: format!("seed-{n}"),
            kind: kind(&text(leak, "type")),
            value: text(leak, "value"),
        });
        let planted = Arc::new(Tools { engine: Some(Arc::new(Engine::new(seeds, &[7; 32]))), ..Tools::default() });
        let bare = Arc::new(Tools { engine: Some(Arc::new(Engine::bare(&[7; 32]))), ..Tools::default() });
        let path = dir.join("pcap").join(file);
        let (with, without) = (read(&path, &planted), read(&path, &bare));
        for (n, leak) in leaks.iter().enumerate() {
            let name = format!("seed-{n}");
            let value = text(leak, "value").to_lowercase();
            let hits: Vec<_> = with.hits.iter().filter(|(_, h)| h.field.as_ref().is_some_and(|f| f == name.as_str())).collect();
            let frames: Vec<u64> = leak
                .get("frames")
                .and_then(|f| f.as_array())
                .into_iter()
                .flatten()
                .filter_map(|f| f.as_integer())
                .map(|f| f as u64)
                .collect();
            let shape = without.values.iter().any(|(_, v)| {
                let v = String::from_utf8_lossy(v).to_lowercase();
                v == value || (v.len() > 6 && value.contains(&v))
            });
            let row = recall.entry(text(leak, "type")).or_default();
            row.0 += 1;
            row.1 += u32::from(!hits.is_empty());
            row.2 += u32::from(shape);
            if hits.is_empty() {
                eprintln!(
                    "{file}: not found: {} {} {} ({})",
                    text(leak, "type"),
                    text(leak, "encoding"),
                    text(leak, "where"),
                    text(leak, "value").len()
                );
            } else if !hits.iter().any(|(f, _)| frames.contains(f)) {
                let have: Vec<_> = hits.iter().map(|(f, h)| (*f, h.place.to_string())).take(4).collect();
                eprintln!("{file}: frames differ: {} {frames:?} ours {have:?}", text(leak, "type"));
            }
        }
    }
    let (mut all, mut planted, mut shaped) = (0, 0, 0);
    for (word, (n, with, without)) in &recall {
        eprintln!("recall {word}: {with}/{n} planted, {without}/{n} by shape");
        (all, planted, shaped) = (all + n, planted + with, shaped + without);
    }
    eprintln!("recall: {planted}/{all} planted, {shaped}/{all} by shape");
    let bare = Arc::new(Tools { engine: Some(Arc::new(Engine::bare(&[7; 32]))), ..Tools::default() });
    for trap in list["false_positive"].as_array().unwrap() {
        let file = text(trap, "file");
        let value = text(trap, "value");
        let seen = read(&dir.join("pcap").join(&file), &bare);
        for (token, found) in &seen.values {
            let found = String::from_utf8_lossy(found).into_owned();
            if value.contains(&found) && found.len() > 3 {
                let token = analyzers::encode::hex(token);
                let hit =
                    seen.hits.iter().find(|(_, h)| h.token == token.as_str()).map(|(f, h)| (*f, h.kind, h.grade, h.place.to_string()));
                eprintln!("{file}: trap {} told as {hit:?}", text(trap, "looks_like"));
            }
        }
    }
}
