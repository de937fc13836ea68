//! Passive checks: one file each. A check is a pure function from a case to an outcome that cites the lines proving it.
//!
//! Its id is its file's name (`checks/tls/negotiated_version.rs` is `tls.negotiated-version`), its title the first line of its file, its
//! page the text below that, under fixed headings. Nothing about a check is written twice.

use std::sync::OnceLock;

use policies::declaration::DnsClaim;
use policies::policy::Content;
use policies::{Attack, Declaration, IdentifierType, Policy, Severity};

use crate::case::{Case, Concern, Hole, Seen};
use crate::chunk::{Layer, Lost};
use crate::observation::{
    Exposure, Flow, Grade, Hello, Hit, HitDirection, HitFact, Input, Kind, Ledger, Missed, Planted, Run, Standing, Undecrypted,
};
use crate::outcome::{Outcome, Proof, Reason, Verdict};
use crate::subject::{Scope, Subject};

/// Where a check's answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    Active,
    Passive,
    Both,
    Declared,
}

impl Mode {
    pub fn word(self) -> &'static str {
        match self {
            Mode::Active => "active",
            Mode::Passive => "passive",
            Mode::Both => "both",
            Mode::Declared => "declared",
        }
    }
}

/// What a check's file says of it, beside its words.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub scope: Scope,
    pub severity: Severity,
    pub mode: Mode,
    /// What must have been given or seen, in the catalogue's words; printed by `checks ID`.
    pub needs: &'static [&'static str],
    pub judge: fn(&Case, &Context<'_>) -> Outcome,
    pub examples: &'static [Example],
}

/// What a check may look at beside its own case.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub subject: &'a Subject,
    /// The case of the whole run: what was planted, which events there were.
    pub run: &'a Case,
    /// The case of the subject's device, if the subject has one.
    pub device: Option<&'a Case>,
    pub policy: &'a Policy,
    pub declaration: Option<&'a Declaration>,
}

/// Journal facts with the answer they must give: the check's own test, and part of its page.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    pub name: &'static str,
    /// JSON of one observation per line, as in a journal's `seen`.
    pub facts: &'static str,
    /// TOML of a declaration, if one is given.
    pub declaration: Option<&'static str>,
    /// TOML of a policy, if not the default one.
    pub policy: Option<&'static str>,
    /// `pass`, `fail`, or `inconclusive REASON`, `not-tested REASON`, `not-applicable REASON`.
    pub expect: &'static str,
}

impl Example {
    pub const fn new(name: &'static str, facts: &'static str, expect: &'static str) -> Example {
        Example { name, facts, declaration: None, policy: None, expect }
    }

    pub const fn declared(self, declaration: &'static str) -> Example {
        Example { declaration: Some(declaration), ..self }
    }

    pub const fn under(self, policy: &'static str) -> Example {
        Example { policy: Some(policy), ..self }
    }
}

/// A check with its words.
#[derive(Clone, Debug)]
pub struct Check {
    /// `family.name`.
    pub id: String,
    pub title: String,
    /// Markdown below the title.
    pub page: String,
    pub rule: Rule,
}

impl Check {
    fn read(module: &str, source: &str, rule: Rule) -> Check {
        let place = module.strip_prefix("analyzers::checks::").unwrap_or(module);
        let (family, name) = place.split_once("::").unwrap_or(("", place));
        let id = format!("{}.{}", family.replace('_', "-"), name.replace('_', "-"));
        let mut words = source.lines().map_while(|l| l.strip_prefix("//!")).map(|l| l.strip_prefix(' ').unwrap_or(l));
        let title = words.next().unwrap_or_default().trim_end_matches('.').to_owned();
        let page = words.collect::<Vec<_>>().join("\n").trim().to_owned();
        Check { id, title, page, rule }
    }

    /// What the check says of a case, under the policy's exceptions.
    pub fn judge(&self, case: &Case, cx: &Context<'_>) -> Outcome {
        excuse(&self.id, case, cx, (self.rule.judge)(case, cx))
    }

    pub fn family(&self) -> &str {
        self.id.split_once('.').map_or("", |(f, _)| f)
    }
}

/// Declares families of checks and the table of all of them.
macro_rules! families {
    ($( $family:ident { $( $name:ident, )* } )*) => {
        $( pub mod $family { $( pub mod $name; )* } )*

        fn table() -> Vec<Check> {
            vec![ $( $( Check::read(
                concat!("analyzers::checks::", stringify!($family), "::", stringify!($name)),
                include_str!(concat!(stringify!($family), "/", stringify!($name), ".rs")),
                $family::$name::RULE,
            ), )* )* ]
        }
    };
}

families! {
    biometric { enrolment_silent, }
    channel { cleartext_http, not_tls_on_tls_port, quic_coverage, undeclared_endpoint, }
    dns { cleartext, identifier_in_name, }
    leak { credential_cleartext, dhcp_identity, identifier_cleartext, identifier_encoded, local_discovery, location_cleartext, }
    meta { capture_loss, control_arm, device_binding, interception_coverage, repeatability, stimulus_log, }
    tls { client_fingerprint, forward_secrecy, hello_suites, hello_versions, negotiated_suite, negotiated_version, }
    update { check_identifiers, manifest_cleartext, payload_cleartext, }
}

/// Passes when nothing that could matter for `concern` was missed, else says what stands in the way.
pub(crate) fn settle<K: Kind>(
    cx: &Context<'_>,
    seen: &Seen<'_, K>,
    case: &Case,
    concern: Concern,
    proof: Proof,
    expected: &str,
    observed: impl Into<String>,
) -> Outcome {
    match seen.complete(case, concern).and_then(|complete| hole_of_run(case, cx, concern).map_or(Ok(complete), Err)) {
        Ok(complete) => Outcome::pass(complete, proof, expected, observed),
        Err(hole) => {
            let proof = hole.line.map_or(proof.clone(), |line| proof.and(&Proof::line(line)));
            Outcome::inconclusive(hole.reason, proof, expected, observed)
        }
    }
}

/// So many of them: `1 hello`, `2 hellos`.
pub(crate) fn counted(n: u64, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// The answer where no fact speaks of the question: not tested, unless one that did may have found no place.
pub(crate) fn unseen<K: Kind>(seen: &Seen<'_, K>, reason: Reason, expected: &str) -> Outcome {
    match seen.proof(|_| true) {
        Some(kept) if seen.overflowed() => Outcome::inconclusive(Reason::Overflowed, kept, expected, "more facts than are kept"),
        _ => Outcome::NotTested(reason),
    }
}

/// The answer where a connection went on under a version and suite that the server chose and nobody saw: they may be any.
pub(crate) fn unseen_choice(case: &Case, expected: &str) -> Option<Outcome> {
    let closed = case.seen::<Undecrypted>();
    let Some(proof) = closed.proof(|u| u.choice_unseen) else {
        // One that says so may have found no place.
        let kept = closed.proof(|_| true).filter(|_| closed.overflowed())?;
        return Some(Outcome::inconclusive(Reason::Overflowed, kept, expected, "more facts than are kept"));
    };
    let n = closed.count(|u| u.choice_unseen);
    Some(Outcome::inconclusive(Reason::MissedBytes, proof, expected, format!("{} whose handshake was not seen", counted(n, "connection"))))
}

/// What the whole run did not see and could be of this subject: frames that never reached a flow, and flows that belong to nobody.
pub(crate) fn hole_of_run(case: &Case, cx: &Context<'_>, concern: Concern) -> Option<Hole> {
    let overflowed = Some(Hole { reason: Reason::Overflowed, line: None });
    let (inputs, ledgers) = (cx.run.seen::<Input>(), cx.run.seen::<Ledger>());
    // What kind of run it is, what held in it and what it read decide what is asked at all.
    if inputs.overflowed() || ledgers.overflowed() || cx.run.seen::<Run>().overflowed() || cx.run.seen::<Standing>().overflowed() {
        return overflowed;
    }
    if concern == Concern::Trials {
        return None;
    }
    let limit = cx.policy.thresholds.loss_percent;
    if cx.run.seen::<Missed>().overflowed() {
        return overflowed;
    }
    if let Some((_, span)) = inputs.iter().find(|(input, _)| input.loses_more_than(limit)) {
        return Some(Hole { reason: Reason::MissedBytes, line: Some(span.first) });
    }
    if let Some(span) = cx.run.any::<Missed>(|m| m.why == Lost::Dropped) {
        return Some(Hole { reason: Reason::MissedBytes, line: Some(span.first) });
    }
    // Whose a flow is matters only to what is said of a whole device.
    let of_device = case.subject.device.is_some() && case.subject.peer.is_none();
    if of_device && let Some(span) = cx.run.any::<Run>(|run| run.mode.is_some_and(|mode| !mode.sees_all())) {
        return Some(Hole { reason: Reason::ProxyOnly, line: Some(span.first) });
    }
    let nobodys = ledgers.iter().last().filter(|(ledger, _)| of_device && (ledger.unattributed > 0 || !ledger.disguised.is_empty()));
    nobodys.map(|(_, span)| Hole { reason: Reason::NotAttributed, line: Some(span.first) })
}

/// A failure that a rule of the policy covers is not one: it stays undecided, under the rule's name. Rules with a condition on requests are
/// read where requests are judged.
pub(crate) fn excuse(check: &str, case: &Case, cx: &Context<'_>, outcome: Outcome) -> Outcome {
    let Outcome::Judged(judged) = &outcome else { return outcome };
    if judged.verdict != Verdict::Fail {
        return outcome;
    }
    let (host, port) = host_and_port(cx.subject);
    if host.is_empty() {
        return outcome;
    }
    let met = |content: Content| match content {
        Content::Any => true,
        // RFC 7858 §4.1: no name to check, and no claim of more.
        Content::OpportunisticDot => {
            let strict = cx.declaration.is_some_and(|d| d.dns.claim == DnsClaim::Strict);
            port == 853 && !strict && case.seen::<Hello>().iter().all(|(h, _)| !h.named)
        }
        Content::ConnectivityProbe | Content::RevocationFetch | Content::SignedUpdate => false,
    };
    let mut rules = cx.policy.exceptions.iter().filter(|e| e.paths.is_empty() && e.covers(check, &host, port));
    match rules.find(|e| met(e.content)) {
        Some(rule) => {
            let observed = format!("{}; excused by the rule {}", judged.observed, rule.rule);
            Outcome::inconclusive(Reason::PolicyException, judged.evidence.clone(), judged.expected.clone(), observed)
        }
        None => outcome,
    }
}

/// The subject's peer as policies name it: its name, else its address; and its port.
pub(crate) fn host_and_port(subject: &Subject) -> (String, u16) {
    let Some(peer) = &subject.peer else { return (String::new(), 0) };
    let host = match (&peer.name, peer.addr) {
        (Some(name), _) => name.as_str().to_owned(),
        (None, Some(addr)) => addr.to_string(),
        (None, None) => String::new(),
    };
    (host, peer.port)
}

/// What a leak check looks for.
pub(crate) struct Leak<'a> {
    pub(crate) expected: &'a str,
    pub(crate) concern: Concern,
    /// Which hits this check is about.
    pub(crate) speaks: &'a dyn Fn(&HitFact) -> bool,
    /// Which planted types make its absence mean something.
    pub(crate) planted: &'a dyn Fn(IdentifierType) -> bool,
    /// Hits that need no planted value to be sure.
    pub(crate) certain: &'a dyn Fn(&HitFact) -> bool,
}

/// Proof fails, shape alone is undecided, absence needs planted values and complete bytes.
pub(crate) fn judge_leak(case: &Case, cx: &Context<'_>, leak: &Leak<'_>) -> Outcome {
    let hits = case.seen::<Hit>();
    // What is planted and comes back in clear is read by the same people, whoever said it. What only looks like a value is the peer's word.
    let answered = |h: &HitFact| h.grade == Grade::Proof && h.exposure == Exposure::Cleartext;
    let about = |h: &HitFact| (h.direction != HitDirection::In || answered(h)) && (leak.speaks)(h);
    let sure = |h: &HitFact| about(h) && (h.grade == Grade::Proof || (leak.certain)(h));
    if let Some(proof) = hits.proof(sure) {
        let mut what: Vec<String> = Vec::new();
        for (hit, _) in hits.iter().filter(|(h, _)| sure(h)) {
            let name = hit.field.as_ref().map_or(hit.kind.word().to_owned(), |f| format!("{f} ({})", hit.kind));
            let coded = if hit.chain.is_empty() { String::new() } else { format!(" as {}", words(&hit.chain)) };
            let answer = if hit.direction == HitDirection::In { ", from the peer" } else { "" };
            let line = format!("{name} in {}{coded}{answer}", hit.place);
            if what.len() < 4 && !what.contains(&line) {
                what.push(line);
            }
        }
        return Outcome::fail(proof, leak.expected, what.join("; "));
    }
    if let Some(proof) = hits.proof(about) {
        let n = hits.count(about);
        return Outcome::inconclusive(
            Reason::StructuralOnly,
            proof,
            leak.expected,
            format!("{} with the shape of one", counted(n, "value")),
        );
    }
    let Some(proof) = case.seen::<Flow>().proof(|f| !f.empty) else { return unseen(&hits, Reason::NotExercised, leak.expected) };
    if !cx.run.seen::<Planted>().iter().any(|(p, _)| (leak.planted)(p.kind)) {
        return unseen(&hits, Reason::NoPersona, leak.expected);
    }
    settle(cx, &hits, case, leak.concern, proof, leak.expected, "none found")
}

fn words(chain: &[crate::text::Text]) -> String {
    chain.iter().map(crate::text::Text::as_str).collect::<Vec<_>>().join(" → ")
}

/// Anybody between the device and its peer can read it.
pub(crate) fn is_clear(hit: &HitFact) -> bool {
    hit.layer == Layer::Wire && hit.exposure == Exposure::Cleartext
}

/// A planted value that everybody on the local link can read.
pub(crate) fn is_on_link(hit: &HitFact) -> bool {
    let told = hit.exposure == Exposure::LocalLink && hit.direction != HitDirection::In;
    hit.layer == Layer::Wire && hit.grade == Grade::Proof && told
}

/// The same outside of the protocols by which devices find each other and their network, which have checks of their own.
pub(crate) fn is_beside_discovery(hit: &HitFact) -> bool {
    const DISCOVERY: [&str; 5] = ["mdns.", "llmnr.", "nbns.", "ssdp.", "dhcp."];
    is_on_link(hit) && !DISCOVERY.iter().any(|protocol| hit.place.as_str().starts_with(protocol))
}

/// A coding or hash stands between the bytes and the value; the path to a field does not count as one.
pub(crate) fn is_encoded(hit: &HitFact) -> bool {
    hit.chain.iter().any(|step| !step.as_str().contains(':'))
}

/// Names a device or a person: credentials and places have checks of their own.
pub(crate) fn is_identifier(kind: IdentifierType) -> bool {
    !is_credential(kind) && !is_place(kind)
}

pub(crate) fn is_credential(kind: IdentifierType) -> bool {
    matches!(kind, IdentifierType::Password | IdentifierType::Token | IdentifierType::UserName)
}

pub(crate) fn is_place(kind: IdentifierType) -> bool {
    matches!(kind, IdentifierType::Position | IdentifierType::Ssid | IdentifierType::Bssid | IdentifierType::CellId)
}

/// A name with a part that only one device has: eight or more hexadecimal digits in a row, some of them numbers, and no date. What names a
/// model or a version is left out: properties that say so themselves, words of 32 bits behind `0x`, and browsers' versions.
pub(crate) fn is_unique(name: &str) -> bool {
    const OF_A_MODEL: [&str; 16] = [
        "features",
        "ft",
        "flags",
        "sf",
        "ver",
        "vers",
        "version",
        "srcvers",
        "srcversion",
        "fw",
        "fv",
        "build",
        "model",
        "md",
        "am",
        "os",
    ];
    if name.split_once('=').is_some_and(|(key, _)| OF_A_MODEL.iter().any(|word| key.eq_ignore_ascii_case(word))) {
        return false;
    }
    name.split(|c: char| !c.is_ascii_hexdigit()).any(|run| {
        let before = name.get(..run.as_ptr() as usize - name.as_ptr() as usize).unwrap_or_default();
        let mask = before.ends_with("0x") && run.len() == 8;
        // `120.0.60991234`: a number behind two others.
        let version = run.bytes().all(|b| b.is_ascii_digit()) && is_version(before);
        run.len() >= 8 && run.bytes().any(|b| b.is_ascii_digit()) && !is_date(run) && !mask && !version
    })
}

/// Whether a text ends with two numbers and their dots.
fn is_version(text: &str) -> bool {
    let mut parts = text.rsplit('.');
    parts.next() == Some("")
        && parts.next().is_some_and(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
        && parts.next().is_some_and(|part| part.ends_with(|c: char| c.is_ascii_digit()))
}

/// Year, month and day in eight digits, as builds are named; hour and minute may follow.
fn is_date(run: &str) -> bool {
    let number = |range| run.get(range).and_then(|part: &str| part.parse::<u16>().ok());
    matches!(run.len(), 8 | 12 | 14)
        && run.bytes().all(|b| b.is_ascii_digit())
        && number(0..4).is_some_and(|year| (1990..2050).contains(&year))
        && number(4..6).is_some_and(|month| (1..=12).contains(&month))
        && number(6..8).is_some_and(|day| (1..=31).contains(&day))
}

/// All passive checks, by id.
pub fn all() -> &'static [Check] {
    static ALL: OnceLock<Vec<Check>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all = table();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    })
}

/// The check of that id.
pub fn find(id: &str) -> Option<&'static Check> {
    all().iter().find(|c| c.id == id)
}

/// The severity of a check or attack by id.
pub fn severity(id: &str, attacks: &[Attack]) -> Option<Severity> {
    find(id).map(|c| c.rule.severity).or_else(|| attacks.iter().find(|a| a.id == id).map(|a| a.severity))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::case::Caps;
    use crate::journal::Line;
    use crate::observation::Observation;
    use policies::Time;

    const HEADINGS: [&str; 5] = ["What it does", "Why it matters", "How it is judged", "Evidence", "References"];

    /// Judges an example as the board would: every fact stands in the subject's case and in the run's.
    fn answer(check: &Check, example: &Example) -> String {
        answer_within(check, example, Caps::default())
    }

    fn answer_within(check: &Check, example: &Example, caps: Caps) -> String {
        let policy = example.policy.map_or_else(Policy::default_analyze, |t| Policy::parse("example", t).unwrap());
        let declaration = example.declaration.map(|t| Declaration::parse("example", t).unwrap());
        let mut run = Case::new(Subject::default(), caps);
        let mut facts = Vec::new();
        for (n, text) in (1..).zip(example.facts.lines().map(str::trim).filter(|l| !l.is_empty())) {
            let seen: Observation = serde_json::from_str(text).unwrap_or_else(|e| panic!("{} / {}: line {n}: {e}", check.id, example.name));
            let line = Line { n, at: Time(n as i64), frame: Some(n), flow: None, subject: None, seen };
            run.add(&line);
            facts.push(line);
        }
        let peer = crate::subject::Peer {
            name: Some(crate::text::Text::ours("shop.test")),
            addr: None,
            port: 443,
            transport: crate::flow::Transport::Tcp,
            name_hidden: false,
        };
        let client = crate::subject::ClientClass([1; 6]);
        let whole = Subject { device: Some(crate::subject::DeviceId(1)), peer: Some(peer), client: Some(client) };
        let subject = whole.at(check.rule.scope).unwrap();
        let cx = Context { subject: &subject, run: &run, device: Some(&run), policy: &policy, declaration: declaration.as_ref() };
        let mut case = Case::new(subject.clone(), caps);
        for line in &facts {
            case.add(line);
        }
        let outcome = check.judge(&case, &cx);
        outcome.reason().map_or(outcome.word().to_owned(), |r| format!("{} {r}", outcome.word()))
    }

    #[test]
    fn unique_names() {
        for (name, expect) in [
            ("android-3f9a1c2e77d01b45", true),
            ("cam-20251301", true),
            ("cam-84203117", true),
            ("box-20240131", false),
            ("build.20240131-2", false),
            ("box-202401311", true),
            ("ver=10002005", false),
            ("id=10002005", true),
            ("build 202309151230", false),
            ("features=0x5A7FFFF7,0x1E", false),
            ("x 0x5A7FFFF7", false),
            ("x 0x5A7FFFF7AB", true),
            ("Chrome/120.0.60991234 Windows", false),
            ("cam 1.60991234", true),
            ("Annas-Pixel-8", false),
            ("deadbeefcafe", false),
        ] {
            assert_eq!(is_unique(name), expect, "{name}");
        }
    }

    #[test]
    fn examples_hold() {
        for check in all() {
            for example in check.rule.examples {
                assert_eq!(answer(check, example), example.expect, "{}: {}", check.id, example.name);
            }
        }
    }

    /// Whatever found no place in a table can cost a pass, and never makes one.
    #[test]
    fn no_cap_makes_a_pass() {
        for check in all() {
            for example in check.rule.examples.iter().filter(|e| e.expect != "pass") {
                for facts in 0..4 {
                    let got = answer_within(check, example, Caps { facts, trials: facts });
                    assert_ne!(got, "pass", "{}: {} with room for {facts} facts", check.id, example.name);
                }
            }
        }
    }

    /// What only has a shape takes no room from what is planted, and from what a protocol calls a password.
    #[test]
    fn shapes_leave_room_for_what_is_sure() {
        let hit = |kind: &str, grade: &str, token: usize| {
            format!(
                r#"{{"hit":{{"kind":"{kind}","grade":"{grade}","masked":"‹m›","token":"{token}","layer":"wire","direction":"out","where":"http.request.body","chain":[],"exposure":"cleartext","dir":"out","offset":1,"len":9}}}}"#
            )
        };
        let check = all().iter().find(|check| check.id.as_str() == "leak.credential-cleartext").unwrap();
        for sure in [hit("password", "structural", 9), hit("token", "proof", 9)] {
            let mut lines: Vec<String> = (0..5).map(|token| hit("token", "structural", token)).collect();
            lines.push(sure);
            let lines: &'static str = lines.join("\n").leak();
            let got = answer_within(check, &Example::new("", lines, "fail"), Caps { facts: 2, trials: 2 });
            assert_eq!(got, "fail");
        }
    }

    /// A check that cannot fail, pass or stay undecided is a defect, unless the catalogue says it never fails.
    #[test]
    fn every_check_has_every_answer() {
        for check in all() {
            let has = |word: &str| check.rule.examples.iter().any(|e| e.expect.starts_with(word));
            assert!(has("pass") || NEVER_PASSES.contains(&check.id.as_str()), "{} has no example that passes", check.id);
            assert!(has("fail") || check.rule.severity == Severity::Info, "{} has no example that fails", check.id);
            assert!(has("inconclusive") || has("not-"), "{} has no undecided example", check.id);
        }
    }

    /// Silence is never proven: the best answer is *no indication*, which the catalogue writes as undecided.
    const NEVER_PASSES: [&str; 1] = ["biometric.enrolment-silent"];

    #[test]
    fn every_check_has_a_page() {
        for check in all() {
            assert!(!check.title.is_empty(), "{} has no title", check.id);
            for heading in HEADINGS {
                assert!(check.page.contains(&format!("# {heading}")), "{} lacks the heading {heading}", check.id);
            }
        }
    }
}
