//! Every handshake ends on TLS 1.2 or 1.3
//!
//! # What it does
//! Looks at the version that each server chose (`ServerHello`, or its `supported_versions` extension) and the device went on with.
//!
//! # Why it matters
//! TLS 1.0 and 1.1 are deprecated (RFC 8996); SSL 3.0 is broken (RFC 7568). A device that still talks them can be read or altered.
//!
//! # How it is judged
//! *Fail*: a handshake of this client with this peer ended on an older version. *Pass*: all were 1.2 or newer, and no handshake of the
//! subject was hidden by lost or unreadable bytes. A handshake that was seen only in part leaves it undecided, and so does a
//! connection that goes on under a choice that was not seen, as where the capture begins in its middle. One that the device broke off
//! over the server's choice did not end on it and does not count. DTLS 1.0 is TLS 1.1 over datagrams and counts as such.
//!
//! # Evidence
//! The `served` lines; each names its flow and frame.
//!
//! # References
//! RFC 8996, RFC 9325 §3.1.1.

use policies::Severity;

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Mode, Rule, counted, settle, unseen, unseen_choice};
use crate::observation::{Served, ServedFact, is_outdated};
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Client, severity: Severity::High, mode: Mode::Passive, needs: &[], judge, examples: EXAMPLES };

const EXPECTED: &str = "TLS 1.2 or 1.3 in every handshake";

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let served = case.seen::<Served>();
    let old = |s: &ServedFact| s.is_taken() && is_outdated(s.version);
    if let Some(proof) = served.proof(old) {
        let n = served.count(old);
        return Outcome::fail(proof, EXPECTED, format!("{} ended on a version older than TLS 1.2", counted(n, "handshake")));
    }
    let open = |s: &ServedFact| s.unsettled && is_outdated(s.version);
    if let Some(proof) = served.proof(open) {
        let observed = format!("{} begun on a version older than TLS 1.2", counted(served.count(open), "handshake"));
        return Outcome::inconclusive(Reason::NotSettled, proof, EXPECTED, observed);
    }
    if let Some(unseen) = unseen_choice(case, EXPECTED) {
        return unseen;
    }
    let Some(proof) = served.proof(ServedFact::is_taken) else { return unseen(&served, Reason::NotExercised, EXPECTED) };
    let observed = format!("{}, none older than TLS 1.2", counted(served.count(ServedFact::is_taken), "handshake"));
    settle(cx, &served, case, Concern::Handshakes, proof, EXPECTED, observed)
}

const EXAMPLES: &[Example] = &[
    Example::new("TLS 1.0 with static RSA begun, and no more seen of the client", r#"{"served":{"version":769,"suite":47,"key_exchange":"rsa","resumed":false,"unsettled":true}}"#, "inconclusive not-settled"),
    Example::new("a connection whose handshake was not seen", r#"{"undecrypted":{"protocol":"tls","reason":"no-handshake","bytes":69,"choice_unseen":true}}"#, "inconclusive missed-bytes"),
    Example::new(
        "the same beside a good handshake",
        r#"{"served":{"version":772,"suite":4865,"key_exchange":"ecdhe","resumed":false}}
           {"undecrypted":{"protocol":"tls","reason":"gap","bytes":9000,"choice_unseen":true}}"#,
        "inconclusive missed-bytes",
    ),
    Example::new("early data that nobody answered", r#"{"undecrypted":{"protocol":"tls","reason":"no-key","bytes":69}}"#, "not-tested not-exercised"),
    Example::new("TLS 1.3 only", r#"{"served":{"version":772,"suite":4865,"key_exchange":"ecdhe","resumed":false}}"#, "pass"),
    Example::new(
        "one handshake on TLS 1.0",
        r#"{"served":{"version":772,"suite":4865,"key_exchange":"ecdhe","resumed":false}}
           {"served":{"version":769,"suite":47,"key_exchange":"rsa","resumed":false}}"#,
        "fail",
    ),
    Example::new(
        "TLS 1.0 chosen, and refused",
        r#"{"served":{"version":772,"suite":4865,"key_exchange":"ecdhe","resumed":false}}
           {"served":{"version":769,"suite":47,"key_exchange":"rsa","resumed":false,"refused":true}}"#,
        "pass",
    ),
    Example::new("nothing but a refusal", r#"{"served":{"version":769,"suite":47,"key_exchange":"rsa","resumed":false,"refused":true}}"#, "not-tested not-exercised"),
    Example::new("DTLS 1.0", r#"{"served":{"version":65279,"suite":49171,"key_exchange":"ecdhe","resumed":false}}"#, "fail"),
    Example::new(
        "a handshake that could not be read",
        r#"{"served":{"version":772,"suite":4865,"key_exchange":"ecdhe","resumed":false}}
           {"unparsed":{"what":"tls","reason":"broken","bytes":120}}"#,
        "inconclusive unparsed",
    ),
    Example::new("no handshake", "", "not-tested not-exercised"),
    Example::new(
        "a hole in a TLS flow",
        r#"{"served":{"version":772,"suite":4865,"key_exchange":"ecdhe","resumed":false}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[9,0]},"coverage":{"analysed":100,"encrypted":100,"unparsed":0},"end":"fin","from_start":true}}"#,
        "inconclusive missed-bytes",
    ),
    Example::new(
        "a hole in a tunnel through a proxy",
        r#"{"served":{"version":772,"suite":4865,"key_exchange":"ecdhe","resumed":false}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:3128","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[9,0]},"coverage":{"analysed":100,"encrypted":100,"unparsed":0},"end":"fin","from_start":true}}"#,
        "inconclusive missed-bytes",
    ),
    Example::new(
        "a handshake that came twice and differs",
        r#"{"served":{"version":772,"suite":4865,"key_exchange":"ecdhe","resumed":false}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0],"conflicting":1},"coverage":{"analysed":100,"encrypted":100,"unparsed":0},"end":"fin","from_start":true}}"#,
        "inconclusive ambiguous",
    ),
];
