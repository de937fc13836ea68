//! Twice seen, with the real gateway in namespaces: what it says while it runs and what its capture says afterwards are the same.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::process::Command;

/// Three servers from one port of the device at once, which at the gateway's one listener would be the same connection.
const ONE_PORT: &str = "
import os, random, socket, ssl
names = [n + '.' + os.environ['OVERHEAR_HOST'] for n in 'abc']
for _ in range(20):
    port, open = random.randrange(33000, 60000), []
    try:
        for name in names:
            raw = socket.socket()
            raw.settimeout(5)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            raw.bind(('', port))
            raw.connect((name, 443))
            open.append((name, ssl.create_default_context().wrap_socket(raw, server_hostname=name)))
        break
    except OSError as e:
        if e.errno != 98: break
for name, tls in open:
    tls.sendall(b'GET / HTTP/1.1\\r\\nHost: %s\\r\\nConnection: close\\r\\n\\r\\n' % name.encode())
    while tls.recv(4096): pass
    tls.close()
";

/// What a run printed on standard error, and its journal; nothing where there can be no namespaces.
fn lab(words: &[&str]) -> Option<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let fixed = ["lab", "--headless", "--budget", "60", "--out", run.to_str().unwrap()];
    let done = Command::new(env!("CARGO_BIN_EXE_overhear")).args(fixed).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    if !said.contains("namespaces with a transparent gateway") {
        eprintln!("skipped: no namespaces here: {said}");
        return None;
    }
    Some((said, std::fs::read_to_string(run.join("journal.jsonl")).unwrap()))
}

fn check(words: &[&str]) -> Option<String> {
    let (said, journal) = lab(words)?;
    let equal = journal.contains(r#""what":"second-reading","state":"equal""#);
    assert!(equal && !said.contains("second reading differs"), "{words:?}: {said}");
    Some(journal)
}

#[test]
fn a_port_used_towards_several_servers() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: no python3");
        return;
    }
    let Some(journal) = check(&["--attacks", "cert.expired", "--", "python3", "-c", ONE_PORT]) else { return };
    // Unless three servers were talked to, nothing was shown.
    for name in ["a.shop.test", "b.shop.test", "c.shop.test"] {
        assert!(journal.contains(&format!("\"sni\":\"{name}\"")), "{name}");
    }
}

/// TLS 1.2, clear HTTP, everything the toy does.
#[test]
fn the_careless_phone() {
    check(&["--attacks", "cert.expired,cert.self-signed,tls.version-tls11,tls.downgrade-marker-12"]);
}
