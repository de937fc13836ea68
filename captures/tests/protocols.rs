//! HTTP requests, names and hits of every real capture, against what tshark read and what people found by hand.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods, reason = "tests read files and say what they skip")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use analyzers::chunk::Layer;
use analyzers::leak::{Engine, Seed};
use analyzers::observation::{Grade, Hit, NameSource, Observation, Question, Request};
use analyzers::pipeline::{Out, Pipeline, Tools};
use analyzers::text::Text;
use captures::{Options, analyse};
use policies::IdentifierType;
use serde_json::Value;

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

/// Where we and tshark 4.0 differ, and why.
const EXPLAINED_REQUESTS: &[(&str, &str)] = &[
    ("arkime__80211http.pcap", "link type out of scope: 802.11"),
    ("arkime__nflog.pcap", "link type out of scope: NFLOG"),
    ("libpcap__arcnet-rfc1051-arp-icmp-http.pcap", "link type out of scope: ARCNET"),
    ("tcpdump__arcnet-rfc1051-arp-icmp-http.pcap", "link type out of scope: ARCNET"),
    ("ja4__gre-erspan-vxlan.pcap", "a request without Host: tshark gives it no URI, we give the path"),
    ("libpcap__AH-IPcomp-IPv4.pcap", "IPComp out of scope"),
    (
        "ndpi__WebattackRCE.pcap",
        "requests without Host: tshark gives them no URI, we give the path; one target holds blanks and tshark cuts it",
    ),
    ("ndpi__http-manipulated.pcap", "a bent first line: tshark's URI is its host only, ours has the path"),
    ("pcapdroid__http_proxy.pcap", "CONNECT: tshark shows the Host field, we show the target that counts (RFC 9110 9.3.6)"),
    ("pcapfs__all_ciphers.pcap", "inside TLS; this test has no keys"),
    ("pcapfs__feature_test.pcap", "inside TLS; this test has no keys"),
    ("pcapfs__system-tests.pcap", "inside TLS; this test has no keys"),
    ("pcapfs__system-tests.pcapng", "inside TLS; this test has no keys"),
    ("tls-decryption__tls2-dsb-dump.pcapng", "inside TLS; this test has no keys"),
    (
        "suricata__detect-absent-negated-content-no_referer.pcap",
        "the head is whole, the body is not: tshark waits for it and counts nothing",
    ),
    ("zeek__putty-upload.pcap", "the head is whole, the body is not: tshark waits for it and counts nothing"),
    ("suricata__output-eve-anomaly-02.pcap", "HTTP on port 22: tshark goes by port"),
    ("suricata__http-evader-http-evader-212.pcap", "the values of path parameters are masked"),
    ("suricata__http-evader-http-evader-213.pcap", "the values of path parameters are masked"),
];

#[test]
fn http_requests_agree() {
    let Some(dir) = support::corpus() else { return };
    let tools = Arc::new(Tools::default());
    let (mut same, mut explained, mut wrong) = (0, BTreeMap::<&str, i64>::new(), Vec::new());
    for file in files(&dir) {
        let truth = truth(&dir, &file);
        let seen = read(&dir.join("pcap").join(&file), &tools);
        let (mine, other) = (ours(&seen), theirs(&truth));
        for key in mine.keys().chain(other.keys()).collect::<BTreeSet<_>>() {
            let (a, b) = (mine.get(key).copied().unwrap_or(0), other.get(key).copied().unwrap_or(0));
            same += a.min(b);
            match EXPLAINED_REQUESTS.iter().find(|(name, _)| *name == file) {
                _ if a == b => {}
                Some((_, why)) => *explained.entry(why).or_default() += (a - b).abs(),
                None => wrong.push(format!("{file}: {} {}{} ours {a} tshark {b}", key.0, key.1, key.2)),
            }
        }
    }
    eprintln!("requests: {same} agree, {} explained, {} wrong", explained.values().sum::<i64>(), wrong.len());
    for (why, n) in &explained {
        eprintln!("  {n}: {why}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(same > 1400);
}

/// Names tshark has and we have not, and why.
const EXPLAINED_NAMES: &[(&str, &str)] = &[
    ("libpcap__arcnet-rfc1051-arp-icmp-http.pcap", "link type out of scope: ARCNET"),
    ("tcpdump__arcnet-rfc1051-arp-icmp-http.pcap", "link type out of scope: ARCNET"),
    ("zeek__radiotap.pcap", "link type out of scope: radiotap"),
    ("zeek__icmp-destunreach-udp.pcap", "inside the packet an ICMP error quotes"),
    ("ja4__dtls-udp.notest.cap", "the root: tshark writes <root>, we write nothing"),
    ("tcpdump__dns-badlabel.pcap", "tshark writes <name too long>, we write that the message is broken"),
];

#[test]
fn names_agree() {
    let Some(dir) = support::corpus() else { return };
    let tools = Arc::new(Tools::default());
    let (mut same, mut explained, mut wrong) = (0, 0, Vec::new());
    for file in files(&dir) {
        let truth = truth(&dir, &file);
        let seen = read(&dir.join("pcap").join(&file), &tools);
        let lower = |n: &Text| n.as_str().to_lowercase();
        let of = |source| seen.questions.iter().filter(move |q| q.source == source).map(|q| lower(&q.name));
        // tshark keeps LLMNR's names with mDNS's, and has no list of what is announced.
        let dns: BTreeSet<String> = of(NameSource::Dns).collect();
        let link: BTreeSet<String> =
            of(NameSource::Mdns).chain(of(NameSource::Llmnr)).chain(seen.names.iter().map(|n| n.to_lowercase())).collect();
        for (list, mine) in [("dns_names", &dns), ("mdns_names", &link)] {
            let other: BTreeSet<String> =
                truth[list].as_array().into_iter().flatten().filter_map(|n| n.as_str()).map(str::to_lowercase).collect();
            same += mine.intersection(&other).count();
            let missed = other.difference(mine).map(|n| format!("{file}: {list} missed {n:?}"));
            let extra = mine.difference(&other).filter(|_| list == "dns_names").map(|n| format!("{file}: {list} extra {n:?}"));
            let differing: Vec<String> = missed.chain(extra).collect();
            if EXPLAINED_NAMES.iter().any(|(name, _)| *name == file) {
                explained += differing.len();
            } else {
                wrong.extend(differing);
            }
        }
    }
    eprintln!("names: {same} agree, {explained} explained, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(same > 1100);
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

/// Leaks of the hand-checked list that are not found, and why.
const EXPLAINED_LEAKS: &[(&str, &str)] = &[
    ("arkime__imap.pcap", "credentials of IMAP: a protocol that is not read yet"),
    ("ndpi__imap.pcap", "credentials of IMAP: a protocol that is not read yet"),
    ("arkime__ldap-simpleauth.pcap", "credentials of LDAP: a protocol that is not read yet"),
    ("ndpi__pop3.pcap", "credentials of POP3: a protocol that is not read yet"),
    ("zeek__pop3.pcap", "credentials of POP3: a protocol that is not read yet"),
    ("suricata__bug-3616-smtp.pcap", "credentials of SMTP: a protocol that is not read yet"),
    ("suricata__mqtt31-pub-userpass.pcap", "credentials of MQTT: a protocol that is not read yet"),
    ("tcpdump__eapon1.pcap", "802.1X: frames of no IP flow are not read yet"),
    ("ndpi__gtp_c.pcap", "an IMEISV in swapped digits; the list gives it without its last digit"),
    ("arkime__80211http.pcap", "link type out of scope: 802.11"),
    ("ndpi__starcraft_battle.pcap", "a name in two fields of a binary protocol"),
    ("nfstream__aimini-http.pcap", "a date in three form fields"),
];

/// The list writes some credentials as `user:password`, which nobody sends so.
fn parts(value: &str) -> Vec<String> {
    value.split([':', '/', ' ']).filter(|p| !p.is_empty()).map(str::to_owned).collect()
}

#[test]
fn leaks_are_found() {
    let Some(dir) = support::corpus() else { return };
    let list: toml::Table = std::fs::read_to_string(dir.join("leaks.toml")).unwrap().parse().unwrap();
    let text = |t: &toml::Value, name: &str| t.get(name).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let mut by_file: BTreeMap<String, Vec<toml::Value>> = BTreeMap::new();
    for leak in list["leak"].as_array().unwrap() {
        by_file.entry(text(leak, "file")).or_default().push(leak.clone());
    }
    let (mut missed, mut wrong) = (0, Vec::new());
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
            // A value that stands in the list twice is planted once.
            let first = leaks.iter().position(|l| text(l, "value") == text(leak, "value")).unwrap_or(n);
            let name = format!("seed-{first}");
            let coded = text(leak, "encoding") == "base64" && first != n;
            let value = text(leak, "value").to_lowercase();
            let hits: Vec<_> = with
                .hits
                .iter()
                .filter(|(_, h)| h.field.as_ref().is_some_and(|f| f == name.as_str()) && (!coded || h.chain.iter().any(|c| c == "base64")))
                .collect();
            let frames: Vec<u64> = leak
                .get("frames")
                .and_then(|f| f.as_array())
                .into_iter()
                .flatten()
                .filter_map(toml::Value::as_integer)
                .map(|f| f as u64)
                .collect();
            let shape = without.values.iter().any(|(_, v)| {
                let v = String::from_utf8_lossy(v).to_lowercase();
                v == value || (v.len() > 6 && value.contains(&v))
            });
            let found =
                !hits.is_empty() || parts(&text(leak, "value")).iter().all(|p| without.values.iter().any(|(_, v)| v == p.as_bytes()));
            let row = recall.entry(text(leak, "type")).or_default();
            row.0 += 1;
            row.1 += u32::from(found);
            row.2 += u32::from(shape);
            if !found {
                missed += 1;
                if !EXPLAINED_LEAKS.iter().any(|(name, _)| name == file) {
                    wrong.push(format!("{file}: {}", text(leak, "where")));
                }
                eprintln!(
                    "{file}: not found: {} {} {} ({})",
                    text(leak, "type"),
                    text(leak, "encoding"),
                    text(leak, "where"),
                    text(leak, "value").len()
                );
            } else if !hits.is_empty() && !hits.iter().any(|(f, _)| frames.contains(f)) {
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
    eprintln!("leaks: {missed} not found, of which {} without a reason", wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    let bare = Arc::new(Tools { engine: Some(Arc::new(Engine::bare(&[7; 32]))), ..Tools::default() });
    for trap in list["false_positive"].as_array().unwrap() {
        let file = text(trap, "file");
        let value = text(trap, "value");
        let seen = read(&dir.join("pcap").join(&file), &bare);
        for (token, found) in &seen.values {
            let found = String::from_utf8_lossy(found).into_owned();
            if value.contains(&found) && found.len() > 3 {
                let token = analyzers::encode::hex(token);
                for (frame, hit) in seen.hits.iter().filter(|(_, h)| h.token == token.as_str()) {
                    eprintln!(
                        "{file}: {} told as {} ({:?}) at frame {frame}, {}",
                        text(trap, "looks_like"),
                        hit.kind,
                        hit.grade,
                        hit.place
                    );
                    assert!(hit.grade != Grade::Proof);
                }
            }
        }
    }
}
