//! No hello offers a suite without authentication, without encryption or with a broken cipher
//!
//! # What it does
//! Looks at the suites each ClientHello offers under TLS 1.2 and older: anonymous (no certificate at all), NULL (no encryption), export, RC4, DES,
//! 3DES and MD5.
//!
//! # Why it matters
//! What is offered can be chosen by whoever answers. With an anonymous suite no certificate is ever shown, so that a client which checks
//! certificates without a flaw goes along with anybody on the path; it is what OpenSSL's cipher string `ALL` asks for. The others leave the
//! content readable, at once or with some work.
//!
//! # How it is judged
//! *Fail*: a hello of this client to this peer offers one; critical where it is anonymous or NULL, medium where it is 3DES alone, high otherwise.
//! *Pass*: none does, and no hello of the subject was hidden by lost or unreadable bytes. Whether the client would really go along is not
//! asked here.
//!
//! # Evidence
//! The `hello` lines; each names its flow and frame.
//!
//! # References
//! RFC 9325 §4.1, RFC 7465 (RC4), RFC 5246 appendix F.1.1.1 (anonymous exchange). NIAP FCS_TLSC_EXT.1.

use policies::Severity;

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Mode, Rule, counted, settle};
use crate::dissect::tls::suites::weakness;
use crate::observation::{Hello, HelloFact};
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Client, severity: Severity::High, mode: Mode::Passive, needs: &[], judge, examples: EXAMPLES };

const EXPECTED: &str = "no anonymous, NULL, export, RC4, DES, 3DES or MD5 suite in any ClientHello";

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let hellos = case.seen::<Hello>();
    let weak = |h: &HelloFact| !h.by_peer && h.suites.iter().any(|suite| weakness(*suite).is_some());
    if let Some(proof) = hellos.proof(weak) {
        let mut words: Vec<&str> =
            hellos.iter().filter(|(h, _)| !h.by_peer).flat_map(|(h, _)| h.suites.iter().filter_map(|suite| weakness(*suite))).collect();
        words.sort_unstable();
        words.dedup();
        let severity = match words.as_slice() {
            ["3DES"] => Severity::Medium,
            words if words.contains(&"anonymous") || words.contains(&"NULL") => Severity::Critical,
            _ => Severity::High,
        };
        let observed = format!("{} with suites that are {}", counted(hellos.count(weak), "hello"), words.join(", "));
        return Outcome::fail(proof, EXPECTED, observed).graded(severity);
    }
    let Some(proof) = hellos.proof(|h| !h.by_peer) else { return Outcome::NotTested(Reason::NotExercised) };
    let observed = format!("{}, none offers such a suite", counted(hellos.count(|h| !h.by_peer), "hello"));
    settle(cx, &hellos, case, Concern::Handshakes, proof, EXPECTED, observed)
}

const EXAMPLES: &[Example] = &[
    Example::new("suites of today", r#"{"hello":{"transport":"tcp","dir":"out","versions":[772,771],"suites":[4865,49195,255],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}"#, "pass"),
    Example::new("CBC with SHA-1 is old, and none of these", r#"{"hello":{"transport":"tcp","dir":"out","versions":[772,771],"suites":[49171,47],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}"#, "pass"),
    Example::new("an anonymous suite behind others", r#"{"hello":{"transport":"tcp","dir":"out","versions":[772,771],"suites":[4865,49199,52],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}"#, "fail"),
    Example::new("3DES", r#"{"hello":{"transport":"tcp","dir":"out","versions":[772,771],"suites":[49199,10],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}"#, "fail"),
    Example::new("RC4 with MD5", r#"{"hello":{"transport":"tcp","dir":"out","versions":[772,771],"suites":[4],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}"#, "fail"),
    Example::new(
        "a hello that could not be read",
        r#"{"hello":{"transport":"tcp","dir":"out","versions":[772,771],"suites":[4865],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}
           {"unparsed":{"what":"tls","reason":"broken","bytes":99}}"#,
        "inconclusive unparsed",
    ),
    Example::new("no hello", "", "not-tested not-exercised"),
    Example::new("offered to the device", r#"{"hello":{"transport":"tcp","dir":"out","by_peer":true,"versions":[772,771],"suites":[52],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}"#, "not-tested not-exercised"),
];
