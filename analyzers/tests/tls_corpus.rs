//! TLS and QUIC against captures with truth, where they are at hand: names, versions, suites, fingerprints, certificates.

#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use analyzers::observation::Observation;
use analyzers::pipeline::Out;
use serde_json::Value;

/// What was seen of one flow, by end points.
#[derive(Default, Debug)]
struct Seen {
    sni: BTreeSet<String>,
    alpn: BTreeSet<String>,
    version: BTreeSet<String>,
    suite: BTreeSet<String>,
    ja3: BTreeSet<String>,
    ja4: BTreeSet<String>,
    certs: BTreeSet<String>,
}

fn words(v: &Value) -> BTreeSet<String> {
    v.as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned)).collect()
}

fn version(v: u16) -> String {
    match v {
        0x0300 => "SSL3.0".to_owned(),
        0x0301 => "TLS1.0".to_owned(),
        0x0302 => "TLS1.1".to_owned(),
        0x0303 => "TLS1.2".to_owned(),
        0x0304 => "TLS1.3".to_owned(),
        other => format!("0x{other:04x}"),
    }
}

#[test]
fn agrees_with_truth() {
    let Some(root) = support::captures() else {
        eprintln!("skipped: no captures beside the workspace");
        return;
    };
    let mut tally: BTreeMap<String, [u64; 3]> = BTreeMap::new();
    let mut names: Vec<_> = std::fs::read_dir(root.join("pcap")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let only = std::env::var("ONLY").ok();
    for name in names.iter().filter(|n| only.as_ref().is_none_or(|o| n.contains(o.as_str()))) {
        let keylog = std::fs::read(root.join(format!("keys/{name}.keys"))).unwrap_or_default();
        let out = support::run(&root.join("pcap").join(name), &keylog, None);
        let Ok(truth) = std::fs::read(root.join(format!("truth/{name}.json"))) else { continue };
        let Ok(truth) = serde_json::from_slice::<Value>(&truth) else { continue };
        let mut flows: BTreeMap<u64, String> = BTreeMap::new();
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        let mut content: BTreeMap<String, analyzers::observation::Certificate> = BTreeMap::new();
        let mut keys = Vec::new();
        for one in out {
            match one {
                Out::Opened { flow, ends, .. } => {
                    keys.push(flow);
                    flows.insert(keys.len() as u64, format!("{}>{}", ends.a, ends.b));
                }
                Out::Seen(draft) => {
                    let Some(flow) = draft.flow else { continue };
                    let at = keys.iter().position(|k| *k == flow).unwrap() as u64 + 1;
                    let ends = flows[&at].replace(['[', ']'], "");
                    if only.is_some()
                        && matches!(draft.seen.word(), "hello" | "served" | "reaction" | "odd" | "undecrypted" | "unparsed" | "flow")
                    {
                        eprintln!("{ends} {} {}", draft.frame, serde_json::to_string(&draft.seen).unwrap());
                    }
                    let it = seen.entry(ends).or_default();
                    match draft.seen {
                        Observation::Hello(h) => {
                            it.sni.extend(h.sni.map(|s| s.as_str().to_owned()));
                            it.alpn.extend(h.alpn.iter().map(|s| s.as_str().to_owned()));
                            it.ja3.insert(h.ja3.as_str().to_owned());
                            it.ja4.insert(h.ja4.as_str().to_owned());
                        }
                        Observation::Served(s) => {
                            it.version.insert(version(s.version));
                            it.suite.insert(format!("0x{:04x}", s.suite));
                            it.alpn.extend(s.alpn.map(|s| s.as_str().to_owned()));
                        }
                        Observation::Certificate(c) => {
                            it.certs.insert(c.sha256.to_string());
                            content.insert(c.sha256.to_string(), c);
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        let reverse = |e: &str| e.split_once('>').map(|(a, b)| format!("{b}>{a}")).unwrap_or_default();
        let mut compare = |what: &str, ends: &str, ours: &BTreeSet<String>, theirs: &BTreeSet<String>| {
            let entry = tally.entry(what.to_owned()).or_default();
            if ours == theirs {
                entry[0] += 1;
            } else if EXPLAINED.iter().any(|(file, fact, _)| name.starts_with(file) && (*fact == "*" || *fact == what))
                || known(what, ours, theirs)
            {
                entry[1] += 1;
            } else {
                entry[2] += 1;
                eprintln!("{name} {ends} {what}: ours {ours:?} theirs {theirs:?}");
            }
        };
        // One entry of ours may be several of theirs (ports used again): compare what is told of the end points together.
        let mut theirs: BTreeMap<String, Seen> = BTreeMap::new();
        let mut their_certs: BTreeMap<String, Value> = BTreeMap::new();
        for t in truth["tls"].as_array().into_iter().flatten() {
            let ends = t["endpoints"].as_str().unwrap_or_default().to_owned();
            let ends = if seen.contains_key(&reverse(&ends)) { reverse(&ends) } else { ends };
            let it = theirs.entry(ends).or_default();
            it.sni.extend(words(&t["sni"]));
            it.alpn.extend(words(&t["alpn"]));
            it.version.extend(words(&t["versions"]));
            it.suite.extend(words(&t["ciphers"]));
            it.ja3.extend(words(&t["ja3"]));
            for c in t["certs"].as_array().into_iter().flatten() {
                let sha = c["sha256"].as_str().unwrap_or_default().to_owned();
                it.certs.insert(sha.clone());
                their_certs.insert(sha, c.clone());
            }
        }
        let none = Seen::default();
        for (ends, t) in &theirs {
            let o = seen.get(ends).unwrap_or(&none);
            compare("sni", ends, &o.sni, &t.sni);
            compare("alpn", ends, &o.alpn, &t.alpn);
            compare("version", ends, &o.version, &t.version);
            compare("suite", ends, &o.suite, &t.suite);
            compare("ja3", ends, &o.ja3, &t.ja3);
            compare("certs", ends, &o.certs, &t.certs);
        }
        for (ends, o) in &seen {
            if !theirs.contains_key(ends) && (!o.sni.is_empty() || !o.ja3.is_empty() || !o.version.is_empty()) {
                compare("flow", ends, &[format!("{o:?}")].into(), &BTreeSet::new());
            }
        }
        for (sha, t) in &their_certs {
            let Some(c) = content.get(sha) else { continue };
            let one = |s: &str| BTreeSet::from([s.to_owned()]);
            let field = |k: &str| one(t[k].as_str().unwrap_or_default());
            compare("subject", sha, &one(c.subject.as_str()), &field("subject"));
            compare("issuer", sha, &one(c.issuer.as_str()), &field("issuer"));
            compare("len", sha, &one(&c.len.to_string()), &one(&t["len"].to_string()));
            let date = |d: Option<policies::Time>| one(&d.map_or(String::new(), |d| d.to_string().replace(".000000000Z", "+00:00")));
            compare("not_before", sha, &date(c.not_before), &field("not_before"));
            compare("not_after", sha, &date(c.not_after), &field("not_after"));
            let names: BTreeSet<String> = c.names.iter().map(|n| n.as_str().to_owned()).collect();
            let theirs = words(&t["san"]).iter().map(|n| n.trim_start_matches("<Name(").trim_end_matches(")>").to_owned()).collect();
            compare("san", sha, &names, &theirs);
        }
        // JA4 as its own project wrote it: the values of a file, whatever the flow.
        if let Ok(theirs) = std::fs::read(root.join(format!("expected/{name}.ja4-python.json"))) {
            let theirs: Value = serde_json::from_slice(&theirs).unwrap();
            let theirs: BTreeSet<String> = theirs
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|f| (1..9).filter_map(|n| f[format!("JA4.{n}")].as_str().map(str::to_owned)).collect::<Vec<_>>())
                .collect();
            let ours: BTreeSet<String> = seen.values().flat_map(|s| s.ja4.iter().cloned()).collect();
            compare("ja4", "python", &ours, &theirs);
        }
        if let Ok(theirs) = std::fs::read_to_string(root.join(format!("expected/{name}.ja4-rust.snap"))) {
            let theirs: BTreeSet<String> = theirs.lines().filter_map(|l| l.trim().strip_prefix("ja4: ").map(str::to_owned)).collect();
            let ours: BTreeSet<String> = seen.values().flat_map(|s| s.ja4.iter().cloned()).collect();
            compare("ja4", "rust", &ours, &theirs);
        }
    }
    for (what, [same, explained, other]) in &tally {
        eprintln!("{what}: {same} agree, {explained} explained, {other} differ");
    }
    assert!(only.is_some() || tally.values().all(|[_, _, other]| *other == 0), "differences that nobody has explained");
}

/// Where truth and we differ, and who is right.
const EXPLAINED: &[(&str, &str, &str)] = &[
    ("arkime__https2-301-get", "ja3", "SSL 2.0 form: JA3 is not defined, tshark and we give none"),
    ("mercury__openvpn_tcp", "*", "TLS inside OpenVPN's framing, which is not read"),
    ("ndpi__openvpn_nohmac", "*", "TLS inside OpenVPN's framing, which is not read"),
    ("ndpi__dlt_ppp", "*", "a link this test's small reader does not read"),
    ("ndpi__tls_invalid_reads", "*", "hellos cut inside: odd here; one in GTP, which this test's small reader does not read"),
    ("ndpi__KakaoTalk_talk", "flow", "tshark takes port 8080 for HTTP"),
    ("ndpi__gnutella", "flow", "tshark takes the port for BitTorrent"),
    ("ndpi__rdp", "flow", "tshark does not follow RDP into TLS"),
    ("ndpi__tls_port_80", "flow", "tshark takes port 80 for HTTP"),
    ("ja4__chrome-cloudflare", "certs", "QUIC handshake packets with keys are not opened"),
    ("ndpi__quic-v2", "certs", "QUIC handshake packets with keys are not opened"),
    ("zeek__ssl-v2", "certs", "the certificate of an SSL 2.0 server"),
    ("suricata__tcp-fastopen-10", "*", "data in the SYN, ignored by the server and sent again"),
    ("ja4__tls-non-ascii-alpn", "ja4", "the published text says first and last hex digit, these outputs are of an older rule"),
    ("ja4__tls-non-ascii-alpn", "alpn", "bytes that are no text are escaped"),
    ("ndpi__tls-rdn-extract", "subject", "longer than a text may be"),
    ("ja4__tls-handshake", "ja4", "the Rust tool leaves out second hellos"),
    ("ja4__tls-sni", "ja4", "the Rust tool leaves out second hellos"),
];

/// Differences by kind.
fn known(what: &str, ours: &BTreeSet<String>, theirs: &BTreeSet<String>) -> bool {
    match what {
        // SSL 2.0 form has none.
        "ja3" => ours.iter().all(String::is_empty) && theirs.is_empty(),
        // The truth stops at 40 names.
        "san" => theirs.len() >= 38 && theirs.iter().filter(|n| !ours.contains(*n)).count() <= 1 || theirs.is_subset(ours),
        // The Python tool does not read QUIC.
        "ja4" => theirs.is_subset(ours) && ours.difference(theirs).all(|j| j.starts_with('q')),
        // Ours also holds what a server chose whose client's hello is not in the capture.
        "alpn" => theirs.is_empty() && ours.len() == 1,
        // DTLS is not in the truth.
        "flow" => ours.iter().all(|f| f.contains("ja4: {\"d")),
        // Our times end in 2262.
        "not_after" => ours.iter().all(|t| t.starts_with("2262-04-11")),
        _ => false,
    }
}
