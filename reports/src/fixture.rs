//! A small lab run and hand-made findings, for the tests of all renderings.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use analyzers::board::{Demands, Finding, RequirementVerdict, Rolled};
use analyzers::flow::Transport;
use analyzers::journal::{self, Line};
use analyzers::outcome::{Fault, Judged, Outcome, Proof, Reason, Verdict};
use analyzers::reading::Reading;
use analyzers::subject::{Actor, ActorClass, ClientClass, DeviceId, Peer, Subject};
use analyzers::text::{Bare, Text};
use policies::{Attack, Class, Defect, Policy, Profile, Severity};

use crate::catalogue::Catalogue;
use crate::gates::{Gates, Selection, exit_code};
use crate::json::Report;
use crate::tables::{Tabled, Tables};

/// What a lab run would write: a toy phone that takes a self-signed certificate and talks in the clear.
pub(crate) fn story() -> Vec<Line> {
    let mut lines = Vec::new();
    let (_, broken) = journal::read(include_str!("fixture/story.jsonl").as_bytes(), |line| lines.push(line)).unwrap();
    assert_eq!(broken, []);
    lines
}

pub(crate) fn tabled(lines: &[Line]) -> Tabled {
    let mut tables = Tables::new();
    for line in lines {
        tables.line(line);
    }
    tables.end()
}

pub(crate) fn demands() -> Demands {
    let profile = r#"
        schema = "overhear/profile/1"
        title = "Test"
        about = "For tests."
        checks = ["tls.p", "channel.cleartext-http"]
        attacks = ["cert.*", "pin.absent"]
    "#;
    let requirements = r#"
        schema = "overhear/requirements/1"
        standard = "ETSI EN 000 001"
        version = "V1"
        [[requirement]]
        id = "en1/5-1"
        clause = "5.1"
        title = "Peers are authenticated before data is sent"
        observable = "active"
        level = "shall"
        verified = "seen"
        needs = ["cert.self-signed", "cert.expired"]
        strength = "decides"
        [[requirement]]
        id = "en1/5-2"
        clause = "5.2"
        title = "Personal data is encrypted in transit"
        observable = "both"
        level = "shall"
        verified = "seen"
        needs = ["channel.cleartext-http"]
        supports = ["tls.p"]
        strength = "refutes-only"
        [[requirement]]
        id = "en1/9-9"
        clause = "9.9"
        title = "The maker publishes a support period"
        observable = "declared"
        level = "shall"
        verified = "seen"
        strength = "refutes-only"
    "#;
    let hidden = r#"
        schema = "overhear/requirements/1"
        standard = "ETSI TS 000 002"
        version = "V1 - text not seen"
        identifiers = "unverified"
        [[requirement]]
        id = "ts2/FTP"
        clause = "class FTP (trusted channels)"
        title = "Channels to trusted products are protected"
        observable = "active"
        level = "shall"
        verified = "class-level"
        needs = ["pin.absent"]
        strength = "refutes-only"
    "#;
    let attack = |id: &str, title: &str, defect: Defect, severity: Severity| Attack {
        id: id.to_owned(),
        title: title.to_owned(),
        page: PAGE.to_owned(),
        defect,
        expect: "a sound device sends nothing".to_owned(),
        class: Class::Critical,
        severity,
        brick_risk: 0,
        needs: Vec::new(),
    };
    let mut all = policies::requirement::parse("en.toml", requirements).unwrap();
    all.extend(policies::requirement::parse("ts.toml", hidden).unwrap());
    let mut policy = Policy { profile: Profile::parse("test.toml", profile).unwrap(), ..Policy::default_lab() };
    policy.item.maker = "Example Maker".to_owned();
    policy.item.model = "Toy 1".to_owned();
    policy.lab.report_id = "R-1".to_owned();
    Demands {
        policy,
        declaration: None,
        requirements: all,
        attacks: vec![
            attack("cert.self-signed", "A certificate signed by its own key is refused", Defect::SelfSigned, Severity::Critical),
            attack("cert.expired", "An expired certificate is refused", Defect::Expired, Severity::High),
            attack("pin.absent", "Pinned peers refuse an added anchor", Defect::AddedAnchor, Severity::High),
        ],
    }
}

const PAGE: &str = "# What it does\nPresents a chain with *one* defect to the `client`.\n\n# Why it matters\nAnybody on the path could read & alter \
                    what follows <here>.\n\n# How it is judged\n- *Fail*: application data followed.\n- *Pass*: refused between good controls.\n\n# \
                    Evidence\nThe `trial` lines.\n\n# References\nRFC 5280 §6.\n";

/// Findings of one subject from rows `check verdict`, as `gates` explains them.
pub(crate) fn findings(rows: &str) -> Vec<Finding> {
    rows.split(',').map(str::trim).filter(|r| !r.is_empty()).map(row).collect()
}

fn row(row: &str) -> Finding {
    let (check, word) = row.split_once(' ').unwrap();
    let (word, severity) = word.split_once('@').unwrap_or((word, "high"));
    let (word, waived) = word.strip_suffix('!').map_or((word, None), |w| (w, Some("known and accepted".to_owned())));
    let severity = Severity::ALL.into_iter().find(|s| s.word() == severity).unwrap();
    let proof = Proof::line(3);
    let outcome = match word {
        "pass" => judged(Verdict::Pass, None, &[3], "all is well", "all was well"),
        "fail" => Outcome::fail(proof, "all is well", "all was not well"),
        "inconclusive" => Outcome::inconclusive(Reason::MissedBytes, proof, "all is well", "who knows"),
        "not-applicable" => Outcome::NotApplicable(Reason::NotOffered),
        "error" => Outcome::Error(Fault { what: "our own fault".to_owned() }),
        reason => Outcome::NotTested(*Reason::ALL.iter().find(|r| r.word() == reason).unwrap_or_else(|| panic!("{reason}"))),
    };
    finding(check, Subject::default(), outcome, severity, waived)
}

fn judged(verdict: Verdict, reason: Option<Reason>, lines: &[u64], expected: &str, observed: &str) -> Outcome {
    let evidence = Proof::of(lines.iter().copied()).unwrap();
    let (expected, observed) = (expected.to_owned(), observed.to_owned());
    Outcome::Judged(Box::new(Judged { verdict, reason, evidence, expected, observed, severity: None }))
}

fn finding(check: &str, subject: Subject, outcome: Outcome, severity: Severity, waived: Option<String>) -> Finding {
    let active = check.starts_with("cert.") || check.starts_with("pin.") || check == "x.a";
    let transport = subject.peer.as_ref().map(|p| p.transport);
    let fingerprint = format!("{check}-{}", subject.peer.as_ref().and_then(|p| p.name.as_ref()).map_or("-", |n| n.as_str()));
    let actor = Actor { class: ActorClass::Os, ..Actor::default() };
    Finding { check: check.into(), subject: Arc::new(subject), outcome, severity, transport, actor, waived, fingerprint, active }
}

pub(crate) fn subject(name: &str, port: u16, client: bool) -> Subject {
    let peer = Peer { name: Some(Text::veiled(name.as_bytes(), &Bare)), addr: None, port, transport: Transport::Tcp, name_hidden: false };
    Subject { device: Some(DeviceId(1)), peer: Some(peer), client: client.then_some(ClientClass([0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6])) }
}

/// What checks would say of the story.
pub(crate) fn told() -> Vec<Finding> {
    let api = || subject("api.shop.test", 443, true);
    let expect = "a sound device sends nothing";
    let mut out = vec![
        finding(
            "cert.self-signed",
            api(),
            judged(
                Verdict::Fail,
                None,
                &[33],
                expect,
                "the device sent application data in 1 of 1 attempt, grade E6: GET /v1/sync?user=‹email-main›",
            ),
            Severity::Critical,
            None,
        ),
        finding(
            "cert.expired",
            api(),
            judged(Verdict::Inconclusive, Some(Reason::TooFewAttempts), &[42, 49, 58], expect, "1 of 3 refusals between good controls"),
            Severity::High,
            None,
        ),
        finding("pin.absent", api(), Outcome::NotApplicable(Reason::NothingDeclared), Severity::High, None),
        finding(
            "channel.cleartext-http",
            subject("cdn.shop.test", 80, false),
            judged(Verdict::Fail, None, &[60], "no request in clear", "1 request with credentials and a body over http"),
            Severity::High,
            None,
        ),
        finding(
            "channel.cleartext-http",
            subject("old.shop.test", 80, false),
            judged(Verdict::Fail, None, &[68], "no request in clear", "1 request in clear"),
            Severity::Medium,
            Some("a connectivity probe, agreed with the maker".to_owned()),
        ),
        finding(
            "leak.p",
            Subject { device: Some(DeviceId(1)), ..Subject::default() },
            Outcome::NotTested(Reason::NoPersona),
            Severity::High,
            None,
        ),
        finding("meta.p", Subject::default(), Outcome::Error(Fault { what: "a rule of ours broke".to_owned() }), Severity::Low, None),
    ];
    for name in ["api.shop.test", "cdn.shop.test", "video.shop.test"] {
        let outcome = judged(Verdict::Pass, None, &[20, 28], "TLS 1.2 or 1.3 in every handshake", "none older than TLS 1.2");
        out.push(finding("tls.p", subject(name, 443, true), outcome, Severity::High, None));
    }
    out
}

fn rolled() -> Vec<Rolled> {
    let row = |index, id: &str, verdict, checks: &[(&str, &'static str)]| Rolled {
        index,
        id: id.to_owned(),
        verdict,
        checks: checks.iter().map(|(c, w)| ((*c).to_owned(), *w)).collect(),
    };
    vec![
        row(0, "en1/5-1", RequirementVerdict::Fail, &[("cert.self-signed", "fail"), ("cert.expired", "inconclusive")]),
        row(1, "en1/5-2", RequirementVerdict::Fail, &[("channel.cleartext-http", "fail"), ("tls.p", "pass")]),
        row(2, "en1/9-9", RequirementVerdict::NotTested, &[]),
        row(3, "ts2/FTP", RequirementVerdict::NotApplicable, &[("pin.absent", "not-applicable")]),
    ]
}

pub(crate) fn catalogue(demands: &Demands) -> Catalogue {
    Catalogue::new(&[], &demands.attacks, demands.requirements.clone())
}

pub(crate) fn report_of(lines: &[Line], findings: &[Finding]) -> Report {
    let demands = demands();
    let tabled = tabled(lines);
    let rolled = rolled();
    let selection = Selection::of(&demands, tabled.run.as_ref());
    let exit = exit_code(findings, &rolled, &selection, &Gates::default());
    Report::new(&demands, &catalogue(&demands), findings, &rolled, &exit, tabled)
}

pub(crate) fn report() -> Report {
    report_of(&story(), &told())
}

/// Compares with a committed file; `UPDATE=1` rewrites it.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "golden files of tests are read and rewritten on disk")]
pub(crate) fn golden(path: &str, got: &str) {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE").is_some_and(|v| !v.is_empty()) {
        std::fs::write(&path, got).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(known == got, "{path} is stale: UPDATE=1 rewrites it, then review the diff\n{}", first_difference(&known, got));
}

fn first_difference(a: &str, b: &str) -> String {
    let (mut a, mut b) = (a.lines(), b.lines());
    for n in 1.. {
        match (a.next(), b.next()) {
            (None, None) => break,
            (x, y) if x != y => return format!("line {n}:\n- {}\n+ {}", x.unwrap_or("(end)"), y.unwrap_or("(end)")),
            _ => {}
        }
    }
    "(line ends differ)".to_owned()
}

/// Names that try to act on whatever shows them.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script>\"'&\x1b[31m\u{202e}=cmd|'/c calc'!A1]]><!--${7*7}{{7*7}}\r\n.evil.test";

/// The story with the peer's name, paths and values hostile everywhere.
pub(crate) fn hostile() -> Report {
    let hostile = Text::veiled(HOSTILE.as_bytes(), &Bare);
    let quoted = serde_json::to_string(hostile.as_str()).unwrap();
    let inside = &quoted[1..quoted.len() - 1];
    let mut lines = Vec::new();
    let text = include_str!("fixture/story.jsonl");
    let text =
        text.replace("api.shop.test", inside).replace("cdn.shop.test", inside).replace("factory-start", inside).replace("operator", inside);
    let text = text
        .replace("toy phone", inside)
        .replace("capture.pcapng", inside)
        .replace("ToyPhone/1.0", inside)
        .replace("http.request.body", inside);
    let (_, broken) = journal::read(text.as_bytes(), |line| lines.push(line)).unwrap();
    assert_eq!(broken, []);
    let mut findings = told();
    for finding in &mut findings {
        finding.subject = Arc::new(subject(HOSTILE, 443, true));
        finding.waived = finding.waived.as_ref().map(|_| HOSTILE.to_owned());
        finding.fingerprint = "f".to_owned();
        if let Outcome::Judged(j) = &mut finding.outcome {
            j.observed = HOSTILE.to_owned();
            j.expected = HOSTILE.to_owned();
        }
    }
    let mut demands = demands();
    demands.policy.item.maker = HOSTILE.to_owned();
    demands.policy.lab.deviations = HOSTILE.to_owned();
    let tabled = tabled(&lines);
    let exit = exit_code(&findings, &rolled(), &Selection::of(&demands, tabled.run.as_ref()), &Gates::default());
    Report::new(&demands, &catalogue(&demands), &findings, &rolled(), &exit, tabled)
}
