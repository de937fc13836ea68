//! Compares what was read with `truth/*.json` (tshark 4.0) and with the JA4 values other projects expect.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use analyzers::observation::{Certificate, NameSource, Observation};
use serde_json::Value;

use crate::ours::{Capture, Seen};
use crate::tally::Tally;

/// TLS of one pair of end points: ports may be used again, so that one pair may be several flows.
#[derive(Default)]
struct Tls {
    sni: BTreeSet<String>,
    alpn: BTreeSet<String>,
    version: BTreeSet<String>,
    suite: BTreeSet<String>,
    ja3: BTreeSet<String>,
    certs: BTreeSet<String>,
    /// All hellos are DTLS, which the truth does not list.
    dtls: bool,
}

fn truth(dir: &Path, capture: &Capture) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join(&capture.truth)).unwrap()).unwrap()
}

pub(crate) fn all(dir: &Path, capture: &Capture, seen: &Seen, tally: &mut Tally<'_>) {
    let truth = truth(dir, capture);
    packets(seen.packets, &truth, tally);
    tls(seen, &truth, tally);
    ja4(dir, capture, seen, tally);
    requests(seen, &truth, tally);
    names(seen, &truth, tally);
    tables(seen, tally);
}

/// What is no capture for us is none for tshark.
pub(crate) fn unread(dir: &Path, capture: &Capture, why: &str, tally: &mut Tally<'_>) {
    match truth(dir, capture)["packets"].as_u64().unwrap_or(0) {
        0 => tally.agree("packets", 1),
        n => tally.differ("packets", &format!("not read ({why}), {n} in the truth")),
    }
}

fn packets(ours: u64, truth: &Value, tally: &mut Tally<'_>) {
    let theirs = truth["packets"].as_u64().unwrap_or(0);
    if ours == theirs { tally.agree("packets", 1) } else { tally.differ("packets", &format!("ours {ours}, in the truth {theirs}")) }
}

fn words(v: &Value) -> BTreeSet<String> {
    v.as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned)).collect()
}

fn version(v: u16) -> String {
    match v {
        0x0002 => "SSL2.0".to_owned(),
        0x0300 => "SSL3.0".to_owned(),
        0x0301 => "TLS1.0".to_owned(),
        0x0302 => "TLS1.1".to_owned(),
        0x0303 => "TLS1.2".to_owned(),
        0x0304 => "TLS1.3".to_owned(),
        other => format!("0x{other:04x}"),
    }
}

fn reverse(ends: &str) -> String {
    ends.split_once('>').map(|(a, b)| format!("{b}>{a}")).unwrap_or_default()
}

fn tls(seen: &Seen, truth: &Value, tally: &mut Tally<'_>) {
    let mut ours: BTreeMap<String, Tls> = BTreeMap::new();
    let mut content: BTreeMap<String, &Certificate> = BTreeMap::new();
    for (_, flow, fact) in &seen.facts {
        if let Observation::Certificate(c) = fact {
            content.insert(c.sha256.to_string(), c);
        }
        let Some(ends) = seen.of(*flow) else { continue };
        match fact {
            Observation::Hello(h) => {
                let it = ours.entry(ends.to_owned()).or_default();
                it.sni.extend(h.sni.iter().map(|s| s.as_str().to_owned()));
                it.alpn.extend(h.alpn.iter().map(|s| s.as_str().to_owned()));
                it.ja3.insert(h.ja3.as_str().to_owned());
                it.dtls |= h.ja4.as_str().starts_with('d');
            }
            Observation::Served(s) => {
                let it = ours.entry(ends.to_owned()).or_default();
                it.version.insert(version(s.version));
                it.suite.insert(format!("0x{:04x}", s.suite));
                it.alpn.extend(s.alpn.iter().map(|s| s.as_str().to_owned()));
                it.certs.extend(s.chain.iter().map(ToString::to_string));
            }
            Observation::Reaction(r) if !r.client_chain.is_empty() => {
                ours.entry(ends.to_owned()).or_default().certs.extend(r.client_chain.iter().map(ToString::to_string));
            }
            _ => {}
        }
    }
    let mut theirs: BTreeMap<String, Tls> = BTreeMap::new();
    let mut certs: BTreeMap<String, Value> = BTreeMap::new();
    for t in truth["tls"].as_array().into_iter().flatten() {
        let ends = t["endpoints"].as_str().unwrap_or_default().to_owned();
        let ends = if ours.contains_key(&reverse(&ends)) { reverse(&ends) } else { ends };
        let it = theirs.entry(ends).or_default();
        it.sni.extend(words(&t["sni"]));
        it.alpn.extend(words(&t["alpn"]));
        it.version.extend(words(&t["versions"]));
        it.suite.extend(words(&t["ciphers"]));
        it.ja3.extend(words(&t["ja3"]));
        for c in t["certs"].as_array().into_iter().flatten() {
            let sha = c["sha256"].as_str().unwrap_or_default().to_owned();
            it.certs.insert(sha.clone());
            certs.insert(sha, c.clone());
        }
    }
    let none = Tls::default();
    for (ends, t) in &theirs {
        let o = ours.get(ends).unwrap_or(&none);
        tally.sets("sni", ends, &o.sni, &t.sni);
        tally.sets("version", ends, &o.version, &t.version);
        tally.sets("suite", ends, &o.suite, &t.suite);
        if t.alpn.is_empty() && o.alpn.len() == 1 {
            tally.known("alpn", "the server chose a protocol, and the client's hello is not in the capture: the truth lists none");
        } else {
            tally.sets("alpn", ends, &o.alpn, &t.alpn);
        }
        if t.ja3.is_empty() && o.ja3.iter().all(String::is_empty) {
            tally.agree("ja3", 1);
        } else {
            tally.sets("ja3", ends, &o.ja3, &t.ja3);
        }
        tally.sets("certs", ends, &o.certs, &t.certs);
    }
    for (ends, o) in ours.iter().filter(|(ends, _)| !theirs.contains_key(*ends)) {
        if o.dtls {
            tally.known("flow", "DTLS is read here, and not listed in the truth");
        } else {
            tally.differ("flow", &format!("{ends} is TLS for us only"));
        }
    }
    for (sha, t) in &certs {
        if let Some(ours) = content.get(sha) {
            certificate(sha, ours, t, tally);
        } else {
            tally.differ("certs", &format!("{sha} was not told"));
        }
    }
}

fn certificate(sha: &str, ours: &Certificate, theirs: &Value, tally: &mut Tally<'_>) {
    let one = |s: &str| BTreeSet::from([s.to_owned()]);
    let field = |k: &str| one(theirs[k].as_str().unwrap_or_default());
    tally.sets("cert subject", sha, &one(ours.subject.as_str()), &field("subject"));
    tally.sets("cert issuer", sha, &one(ours.issuer.as_str()), &field("issuer"));
    tally.sets("cert length", sha, &one(&ours.len.to_string()), &one(&theirs["len"].to_string()));
    let date = |d: Option<policies::Time>| one(&d.map_or(String::new(), |d| d.to_string().replace(".000000000Z", "+00:00")));
    tally.sets("cert dates", sha, &date(ours.not_before), &field("not_before"));
    let end = date(ours.not_after);
    if end != field("not_after") && end.iter().all(|t| t.starts_with("2262-04-11")) {
        tally.known("cert dates", "times end in 2262 here");
    } else {
        tally.sets("cert dates", sha, &end, &field("not_after"));
    }
    let names: BTreeSet<String> = ours.names.iter().map(|n| n.as_str().to_owned()).collect();
    let theirs: BTreeSet<String> =
        words(&theirs["san"]).iter().map(|n| n.trim_start_matches("<Name(").trim_end_matches(")>").to_owned()).collect();
    if names != theirs && theirs.len() >= 38 && theirs.difference(&names).count() <= 1 {
        tally.known("cert names", "the truth stops at 40 names");
    } else if names != theirs && theirs.is_subset(&names) {
        tally.known("cert names", "the truth leaves out names that are no DNS names");
    } else {
        tally.sets("cert names", sha, &names, &theirs);
    }
}

/// The client's values of a file, whatever the flow.
fn ja4(dir: &Path, capture: &Capture, seen: &Seen, tally: &mut Tally<'_>) {
    let hellos = || seen.facts.iter().filter_map(|(_, _, f)| if let Observation::Hello(h) = f { Some(h) } else { None });
    let ours: BTreeSet<String> = hellos().map(|h| h.ja4.as_str().to_owned()).collect();
    for path in &capture.expected {
        let text = || std::fs::read_to_string(dir.join(path)).unwrap();
        let (who, theirs) = if path.ends_with(".ja4-python.json") {
            let rows: Value = serde_json::from_str(&text()).unwrap();
            let of = |f: &Value| (1..9).filter_map(|n| f[format!("JA4.{n}")].as_str().map(str::to_owned)).collect::<Vec<_>>();
            ("python", rows.as_array().into_iter().flatten().flat_map(of).collect())
        } else if path.ends_with(".ja4-rust.snap") {
            ("rust", text().lines().filter_map(|l| l.trim().strip_prefix("ja4: ").map(str::to_owned)).collect())
        } else {
            // The Wireshark plugin's outputs hold no client value.
            continue;
        };
        let theirs: BTreeSet<String> = theirs;
        let quic_only = theirs.is_subset(&ours) && ours.difference(&theirs).all(|j| j.starts_with('q'));
        if who == "python" && ours != theirs && quic_only {
            tally.known("ja4", "the Python tool does not read QUIC");
        } else {
            tally.sets("ja4", who, &ours, &theirs);
        }
    }
}

/// Requests as (method, host, path without query), and how often.
type Asked = BTreeMap<(String, String, String), u64>;

fn requests(seen: &Seen, truth: &Value, tally: &mut Tally<'_>) {
    let mut ours = Asked::new();
    for (_, _, fact) in &seen.facts {
        let Observation::Request(r) = fact else { continue };
        if !r.method.is_empty() {
            let host = r.host.as_ref().map_or(String::new(), ToString::to_string);
            *ours.entry((r.method.to_string(), host, r.path.to_string())).or_default() += 1;
        }
    }
    let mut theirs = Asked::new();
    for r in truth["http"].as_array().into_iter().flatten() {
        let text = |name: &str| r[name].as_str().unwrap_or_default().to_owned();
        if !text("flow").starts_with("tcp") {
            tally.beyond("requests", "SSDP: read as announcements, not as requests", 1);
            continue;
        }
        let (method, host, uri) = (text("method"), text("host").to_lowercase(), text("uri"));
        if method.is_empty() {
            continue;
        }
        let rest = uri.strip_prefix("http://").or(uri.strip_prefix("https://")).unwrap_or(&uri);
        let rest = if method == "CONNECT" { "" } else { rest.find('/').map_or("*", |n| &rest[n..]) };
        let path = rest.split(['?', '#']).next().unwrap_or_default().to_owned();
        let host = match host.strip_prefix('[') {
            Some(six) => six.split(']').next().unwrap_or_default().to_owned(),
            None => host.split(':').next().unwrap_or_default().to_owned(),
        };
        *theirs.entry((method, host, path)).or_default() += 1;
    }
    let http2 = truth["http2"].as_array().map_or(0, Vec::len) as u64;
    if http2 > 0 {
        tally.beyond("requests", "HTTP/2 is not read yet", http2);
    }
    for key in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        let (a, b) = (ours.get(key).copied().unwrap_or(0), theirs.get(key).copied().unwrap_or(0));
        tally.agree("requests", a.min(b));
        let named = if std::env::var_os("VALUES").is_some() { format!("{} {}{}", key.0, key.1, key.2) } else { key.0.clone() };
        for _ in 0..a.abs_diff(b) {
            tally.differ("requests", &format!("{named}: ours {a}, in the truth {b}"));
        }
    }
}

fn names(seen: &Seen, truth: &Value, tally: &mut Tally<'_>) {
    let (mut dns, mut local) = (BTreeSet::new(), BTreeSet::new());
    for (_, _, fact) in &seen.facts {
        match fact {
            Observation::Question(q) if q.source == NameSource::Dns => {
                dns.insert(q.name.as_str().to_lowercase());
            }
            // tshark keeps LLMNR's names with those of mDNS, and has no list of what is announced.
            Observation::Question(q) if matches!(q.source, NameSource::Mdns | NameSource::Llmnr) => {
                local.insert(q.name.as_str().to_lowercase());
            }
            Observation::Announcement(a) => {
                local.insert(a.name.as_str().to_lowercase());
                local.extend(a.service.iter().map(|s| s.as_str().to_lowercase()));
            }
            _ => {}
        }
    }
    for (list, what, ours) in [("dns_names", "dns names", &dns), ("mdns_names", "mdns names", &local)] {
        let theirs: BTreeSet<String> = words(&truth[list]).iter().map(|n| n.to_lowercase()).collect();
        tally.agree(what, ours.intersection(&theirs).count() as u64);
        let one = |name: &String| BTreeSet::from([name.clone()]);
        for missed in theirs.difference(ours) {
            tally.differ(what, &crate::tally::difference(&BTreeSet::new(), &one(missed)));
        }
        for extra in ours.difference(&theirs).filter(|_| list == "dns_names") {
            tally.differ(what, &crate::tally::difference(&one(extra), &BTreeSet::new()));
        }
    }
}

/// What the report's tables say must be what the journal's lines say.
fn tables(seen: &Seen, tally: &mut Tally<'_>) {
    let count = |is: fn(&Observation) -> bool| seen.facts.iter().filter(|(_, _, f)| is(f)).count();
    let rows = &seen.tabled;
    let requests = (rows.requests.len(), count(|f| matches!(f, Observation::Request(_))));
    let leaks = (rows.leaks.len(), count(|f| matches!(f, Observation::Hit(_))));
    let packets = (rows.inputs.iter().map(|i| i.packets).sum::<u64>() as usize, seen.packets as usize);
    let flows = (rows.flows.len(), seen.ends.len());
    let suites = |pick: &mut dyn Iterator<Item = String>| pick.collect::<BTreeSet<String>>().len();
    let served = seen.facts.iter().filter_map(|(_, _, f)| if let Observation::Served(s) = f { Some(s.suite) } else { None });
    let chosen = (
        suites(&mut rows.tls.iter().filter_map(|r| r.cipher.map(|suite| suite.to_string()))),
        suites(&mut served.map(|s| format!("0x{s:04x}"))),
    );
    for (what, (row, line)) in [("requests", requests), ("leaks", leaks), ("packets", packets), ("flows", flows), ("suites", chosen)] {
        if row == line {
            tally.agree("tables", 1);
        } else {
            tally.differ("tables", &format!("{row} rows of {what}, {line} lines"));
        }
    }
}
