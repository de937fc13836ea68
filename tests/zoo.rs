//! The zoo: real clients against every attack, each verdict compared with what that client is known to accept.
//!
//! The truth of a row was not read off this tool. What `curl`, `wget`, `openssl`, `gnutls-cli`, Python, Node and busybox do with a good
//! chain, a common name alone, a client's certificate, an unknown critical extension and TLS 1.1 (with and without ephemeral keys) was
//! established with `openssl s_server` on the loopback (Debian 12: OpenSSL 3.0, GnuTLS 3.7, Python 3.11, Node 20), what they do with the
//! mark of a downgrade with the same server behind a relay that hides the client's newest version. The rest is documented conduct: with
//! checks switched off a client takes any chain and any name, and none of them can be told to skip the handshake's signatures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;
use support::{no_namespaces, overhear};

mod support;

/// What a client without any check of chain and name takes.
const ANY_CHAIN: &[&str] = &[
    "cert.eku-not-server",
    "cert.expired",
    "cert.hostname-cn-only",
    "cert.hostname-mismatch",
    "cert.intermediate-ca-false",
    "cert.leaf-as-issuer",
    "cert.not-yet-valid",
    "cert.replaced-key",
    "cert.self-signed",
    "cert.signature-corrupt",
    "cert.unknown-critical-extension",
    "cert.untrusted-ca",
    "cert.untrusted-ca-leaf-alone",
    "cert.untrusted-ca-lookalike",
    "cert.untrusted-ca-with-root",
];

const CN_ONLY: &[&str] = &["cert.hostname-cn-only"];
const EKU: &[&str] = &["cert.eku-not-server"];
/// A TLS 1.1 handshake without ephemeral keys has no SHA-1 signature, which is all that OpenSSL's security level 2 objects to.
const TLS11: &[&str] = &["tls.version-tls11"];

/// Questions that need a declaration, a policy or a claim, which no client of the zoo has.
const NOT_ASKED: [&str; 3] = ["pin.absent", "pin.scope", "cert.user-ca-trusted"];

/// What takes the lab's own chain as an answer needs a client that does.
const LAB_CHAIN: &[&str] = &[
    "cert.eku-not-server",
    "cert.expired",
    "cert.hostname-cn-only",
    "cert.hostname-mismatch",
    "cert.intermediate-ca-false",
    "cert.leaf-as-issuer",
    "cert.not-yet-valid",
    "cert.signature-corrupt",
    "cert.unknown-critical-extension",
    "tls.downgrade-marker-12",
    "tls.kx-signature-corrupt",
    "tls.verify-signature-corrupt",
    "tls.version-tls11",
];
const OTHERS: &[&str] = &[
    "cert.replaced-key",
    "cert.self-signed",
    "cert.untrusted-ca",
    "cert.untrusted-ca-leaf-alone",
    "cert.untrusted-ca-lookalike",
    "cert.untrusted-ca-with-root",
    "channel.tls-block-fallback",
];

/// Answers that may stay open: these attacks, this word of the report, and why that is right.
type Open = (&'static [&'static str], &'static str, &'static str);

const OWN_PIN: Open = (LAB_CHAIN, "not-tested lab-ca-not-trusted", "it pins the origin's key, so the lab's flawless chain is no control");
const NO_PIN_FITS: Open = (LAB_CHAIN, "not-tested nothing-worked", "it pins a key that nobody has, so that nothing works for it");
const DEAD: Open = (OTHERS, "not-tested not-exercised", "it refuses its own server too: no attempt would prove anything");
const NO_OLD_SUITE: Open = (TLS11, "not-tested not-exercised", "it offers no suite that TLS 1.1 has: the attack cannot be shown to it");

const NO_CURVE: Open = (TLS11, "not-tested not-exercised", "the flight of TLS 1.1 is made with X25519 or P-256, which it does not offer");

struct Client {
    name: &'static str,
    needs: &'static [&'static str],
    /// Empty: the toy device of this name.
    command: &'static [&'static str],
    /// The truth: attacks under which it gives its request away (or, for TLS 1.1, goes on with the key exchange). It refuses the others.
    accepts: &'static [&'static [&'static str]],
    open: &'static [Open],
    /// Builds of it differ in whether they offer TLS 1.1 and its suites: this, asked without the lab, succeeds where they do.
    offers_tls11: &'static [&'static str],
}

/// As Python is built upstream, its contexts offer neither; built for Debian, they offer what the system's OpenSSL does.
const PYTHON_TLS11: &[&str] = &[
    "python3",
    "-c",
    "import ssl; c = ssl.create_default_context(); \
     exit(c.minimum_version > ssl.TLSVersion.TLSv1_1 or not any(s['protocol'] in ('SSLv3', 'TLSv1.0') for s in c.get_ciphers()))",
];

const ZOO: &[Client] = &[
    Client {
        name: "node",
        needs: &["node"],
        command: &["node", "-e", "require('https').get('https://shop.test/', r => r.resume()).on('error', () => process.exit(1))"],
        accepts: &[CN_ONLY],
        open: &[],
        offers_tls11: &[],
    },
    Client {
        name: "node, no checks",
        needs: &["node"],
        command: &[
            "node",
            "-e",
            "require('https').get('https://shop.test/', { rejectUnauthorized: false }, r => r.resume()).on('error', () => process.exit(1))",
        ],
        accepts: &[ANY_CHAIN],
        open: &[],
        offers_tls11: &[],
    },
    Client {
        name: "python",
        needs: &["python3"],
        command: &["python3", "-c", "import urllib.request as u; u.urlopen('https://shop.test/').read()"],
        accepts: &[CN_ONLY],
        open: &[NO_OLD_SUITE],
        offers_tls11: PYTHON_TLS11,
    },
    Client {
        name: "python, no checks",
        needs: &["python3"],
        command: &[
            "python3",
            "-c",
            "import ssl, urllib.request as u; u.urlopen('https://shop.test/', context=ssl._create_unverified_context()).read()",
        ],
        accepts: &[ANY_CHAIN],
        open: &[NO_OLD_SUITE],
        offers_tls11: PYTHON_TLS11,
    },
    Client { name: "strict-phone", needs: &[], command: &[], accepts: &[], open: &[NO_OLD_SUITE], offers_tls11: &[] },
    Client {
        name: "gnutls-cli",
        needs: &["gnutls-cli"],
        command: &["sh", "-c", "printf 'GET / HTTP/1.0\\r\\nHost: shop.test\\r\\n\\r\\n' | gnutls-cli shop.test"],
        accepts: &[CN_ONLY, TLS11],
        open: &[],
        offers_tls11: &[],
    },
    Client {
        name: "gnutls-cli --insecure",
        needs: &["gnutls-cli"],
        command: &["sh", "-c", "printf 'GET / HTTP/1.0\\r\\nHost: shop.test\\r\\n\\r\\n' | gnutls-cli --insecure shop.test"],
        accepts: &[ANY_CHAIN, TLS11],
        open: &[],
        offers_tls11: &[],
    },
    Client {
        // GnuTLS programs have to ask for the purpose to be checked, and this one does not.
        name: "wget",
        needs: &["wget"],
        command: &["wget", "-q", "-O", "/dev/null", "--tries=1", "https://shop.test/"],
        accepts: &[CN_ONLY, EKU, TLS11],
        open: &[],
        offers_tls11: &[],
    },
    Client {
        name: "wget, no checks",
        needs: &["wget"],
        command: &["wget", "-q", "-O", "/dev/null", "--tries=1", "--no-check-certificate", "https://shop.test/"],
        accepts: &[ANY_CHAIN, TLS11],
        open: &[],
        offers_tls11: &[],
    },
    Client {
        name: "openssl s_client",
        needs: &["openssl"],
        command: &[
            "sh",
            "-c",
            "printf 'GET / HTTP/1.0\\r\\nHost: shop.test\\r\\n\\r\\n' | openssl s_client -quiet -connect shop.test:443 -servername shop.test",
        ],
        accepts: &[ANY_CHAIN, TLS11],
        open: &[],
        offers_tls11: &[],
    },
    Client {
        name: "openssl s_client, checks",
        needs: &["openssl"],
        command: &[
            "sh",
            "-c",
            "printf 'GET / HTTP/1.0\\r\\nHost: shop.test\\r\\n\\r\\n' | openssl s_client -quiet -connect shop.test:443 \
             -servername shop.test -verify_return_error -verify_hostname shop.test",
        ],
        accepts: &[CN_ONLY, TLS11],
        open: &[],
        offers_tls11: &[],
    },
    Client {
        name: "curl",
        needs: &["curl"],
        command: &["curl", "-s", "-o", "/dev/null", "https://shop.test/"],
        accepts: &[CN_ONLY, TLS11],
        open: &[],
        offers_tls11: &[],
    },
    Client {
        name: "curl -k",
        needs: &["curl"],
        command: &["curl", "-k", "-s", "-o", "/dev/null", "https://shop.test/"],
        accepts: &[ANY_CHAIN, TLS11],
        open: &[],
        offers_tls11: &[],
    },
    Client {
        // The oldest that many devices still have. Its suite is one of TLS 1.1 too, but with a signature over SHA-1, which OpenSSL refuses.
        name: "curl, CBC alone",
        needs: &["curl"],
        command: &["curl", "-s", "-o", "/dev/null", "--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-SHA", "https://shop.test/"],
        accepts: &[CN_ONLY],
        open: &[],
        offers_tls11: &[],
    },
    Client {
        name: "curl -k, CBC and P-521 alone",
        needs: &["curl"],
        command: &[
            "curl",
            "-k",
            "-s",
            "-o",
            "/dev/null",
            "--tls-max",
            "1.2",
            "--ciphers",
            "ECDHE-RSA-AES256-SHA",
            "--curves",
            "P-521",
            "https://shop.test/",
        ],
        accepts: &[ANY_CHAIN],
        open: &[NO_CURVE],
        offers_tls11: &[],
    },
    Client {
        // The pin is looked at after the handshake: the TLS 1.1 flight itself would be gone along with.
        name: "curl, pinned right",
        needs: &["curl"],
        command: &["sh", "-c", "exec curl -s -o /dev/null --pinnedpubkey \"sha256//$OVERHEAR_ORIGIN_SPKI\" https://shop.test/"],
        accepts: &[TLS11],
        open: &[OWN_PIN],
        offers_tls11: &[],
    },
    Client {
        name: "curl, pinned wrong",
        needs: &["curl"],
        command: &[
            "curl",
            "-s",
            "-o",
            "/dev/null",
            "--pinnedpubkey",
            "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "https://shop.test/",
        ],
        accepts: &[TLS11],
        open: &[NO_PIN_FITS, DEAD],
        offers_tls11: &[],
    },
    Client {
        // It lets `openssl s_client` do its TLS, and asks it to verify.
        name: "busybox wget",
        needs: &["busybox", "openssl"],
        command: &["busybox", "wget", "-q", "-O", "/dev/null", "https://shop.test/"],
        accepts: &[CN_ONLY, TLS11],
        open: &[],
        offers_tls11: &[],
    },
    Client {
        name: "busybox wget, no checks",
        needs: &["busybox", "openssl"],
        command: &["busybox", "wget", "-q", "-O", "/dev/null", "--no-check-certificate", "https://shop.test/"],
        accepts: &[ANY_CHAIN, TLS11],
        open: &[],
        offers_tls11: &[],
    },
];

/// What the report says of each attack: words such as `pass`, `fail` or `inconclusive silent`, of all peers.
type Answers = BTreeMap<String, BTreeSet<String>>;

#[test]
fn zoo_core() {
    if let Some(why) = no_namespaces() {
        println!("skipped: {why}");
        return;
    }
    let queue: Mutex<Vec<&Client>> = Mutex::new(ZOO.iter().rev().collect());
    let done: Mutex<BTreeMap<&str, Result<Answers, String>>> = Mutex::default();
    // Two at a time: the lab's waits leave half of a processor idle, and more would make them run out.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(client) = queue.lock().unwrap().pop() else { break };
                    if let Some(missing) = client.needs.iter().find(|p| !installed(p)) {
                        println!("skipped {}: there is no {missing}", client.name);
                        continue;
                    }
                    let met = meet(client);
                    done.lock().unwrap().insert(client.name, met);
                }
            });
        }
    });
    let done = done.into_inner().unwrap();
    assert!(!done.is_empty(), "no client met");
    let mut wrong = Vec::new();
    for client in ZOO {
        match done.get(client.name) {
            None => {}
            Some(Err(why)) => wrong.push(format!("{}: {why}", client.name)),
            Some(Ok(answers)) => judge(client, answers, &mut wrong),
        }
    }
    matrix(&done);
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn judge(client: &Client, answers: &Answers, wrong: &mut Vec<String>) {
    let mut pins = 0;
    let offers_tls11 = match client.offers_tls11 {
        [] => false,
        [program, args @ ..] => std::process::Command::new(program).args(args).status().is_ok_and(|status| status.success()),
    };
    for (attack, words) in answers {
        let attack = attack.as_str();
        let accepts = client.accepts.iter().any(|some| some.contains(&attack)) || offers_tls11 && TLS11.contains(&attack);
        let mut say = |what: String| wrong.push(format!("{}: {attack}: {what}", client.name));
        if words.is_empty() {
            say("no answer at all".to_owned());
        }
        if NOT_ASKED.contains(&attack) {
            pins += 1;
            for word in words.iter().filter(|w| matches!(w.as_str(), "pass" | "fail")) {
                say(format!("{word}, and nobody claimed anything"));
            }
            continue;
        }
        for word in words {
            match (word.as_str(), accepts) {
                ("pass", false) | ("fail", true) => {}
                ("pass", true) => say("FALSE PASS: it accepts this".to_owned()),
                ("fail", false) => say("FALSE FAIL: it refuses this".to_owned()),
                (word, _) => match client.open.iter().find(|(attacks, open, _)| attacks.contains(&attack) && *open == word) {
                    Some((_, _, why)) => println!("open: {}: {attack}: {word} ({why})", client.name),
                    // The client never offered the version in question: then there is nothing to refuse.
                    None if word == "not-applicable not-offered" && !accepts => {}
                    None => say(format!("open without a reason that is known: {word}")),
                },
            }
        }
    }
    assert_eq!(pins, NOT_ASKED.len(), "{}: the core attacks have changed", client.name);
}

/// Runs the lab around one client.
fn meet(client: &Client) -> Result<Answers, String> {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let mut lab = overhear();
    lab.args(["lab", "--quiet", "--headless", "--run-timeout", "8", "--budget", "80", "--out"]).arg(&out);
    if client.command.is_empty() {
        lab.args(["--device", client.name]);
    } else {
        lab.arg("--").args(client.command);
    }
    let done = lab.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    if !matches!(done.status.code(), Some(0..=2)) {
        return Err(format!("{}: {said}", done.status));
    }
    answers(&out).ok_or(said)
}

fn answers(run: &Path) -> Option<Answers> {
    let report: Value = serde_json::from_slice(&std::fs::read(run.join("report.json")).ok()?).ok()?;
    let mut all: Answers = BTreeMap::new();
    for attack in report["run"]["attacks"].as_array()? {
        all.insert(attack.as_str()?.to_owned(), BTreeSet::new());
    }
    let mut add = |row: &Value, word: &str| {
        let Some(words) = row["check"].as_str().and_then(|id| all.get_mut(id)) else { return };
        words.insert(row["reason"].as_str().map_or(word.to_owned(), |reason| format!("{word} {reason}")));
    };
    for row in report["findings"].as_array()? {
        add(row, row["verdict"].as_str()?);
    }
    for (list, word) in [("not_tested", "not-tested"), ("not_applicable", "not-applicable")] {
        for row in report[list].as_array()? {
            add(row, word);
        }
    }
    Some(all)
}

/// `+` passes, `F` fails, `·` is open: one line per attack, one column per client.
fn matrix(done: &BTreeMap<&str, Result<Answers, String>>) {
    let met: Vec<(&str, &Answers)> = ZOO.iter().filter_map(|c| Some((c.name, done.get(c.name)?.as_ref().ok()?))).collect();
    for (n, (name, _)) in met.iter().enumerate() {
        println!("{:33}{}{name}", "", "│ ".repeat(n));
    }
    let attacks: BTreeSet<&String> = met.iter().flat_map(|(_, answers)| answers.keys()).collect();
    for attack in attacks {
        print!("{attack:33}");
        for (_, answers) in &met {
            let words: Vec<&str> = answers.get(attack).into_iter().flatten().map(String::as_str).collect();
            let sign = match words.as_slice() {
                ["pass"] => "+",
                words if words.contains(&"fail") => "F",
                _ => "·",
            };
            print!("{sign} ");
        }
        println!();
    }
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
