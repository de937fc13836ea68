//! No hello offers anything under TLS 1.2
//!
//! # What it does
//! Looks at the versions each ClientHello offers: its `supported_versions` extension, or the legacy version field where there is
//! none.
//!
//! # Why it matters
//! What is offered can be chosen by whoever answers. A client that offers TLS 1.0 or 1.1 (deprecated by RFC 8996) lets the network
//! pick them.
//!
//! # How it is judged
//! *Fail*: a hello of this client to this peer offers less than TLS 1.2. *Pass*: none does, and no hello of the subject was hidden
//! by lost or unreadable bytes. DTLS 1.0 is TLS 1.1 over datagrams and counts as such. A TLS 1.2 hello without the extension offers TLS 1.2; whether an older answer would be taken is
//! what the attack `tls.version-tls11` asks.
//!
//! # Evidence
//! The `hello` lines; each names its flow and frame.
//!
//! # References
//! RFC 8996, RFC 9325 §3.1.1, RFC 8446 §4.2.1.

use policies::Severity;

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Mode, Rule, counted, settle};
use crate::observation::{Hello, HelloFact, is_outdated};
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Client, severity: Severity::High, mode: Mode::Passive, needs: &[], judge, examples: EXAMPLES };

const EXPECTED: &str = "nothing under TLS 1.2 in any ClientHello";

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let hellos = case.seen::<Hello>();
    let old = |h: &HelloFact| !h.by_peer && h.versions.iter().any(|v| is_outdated(*v));
    if let Some(proof) = hellos.proof(old) {
        let n = hellos.count(old);
        return Outcome::fail(proof, EXPECTED, format!("{} with a version older than TLS 1.2", counted(n, "hello")));
    }
    let Some(proof) = hellos.proof(|h| !h.by_peer) else { return Outcome::NotTested(Reason::NotExercised) };
    let observed = format!("{}, none offers less than TLS 1.2", counted(hellos.count(|h| !h.by_peer), "hello"));
    settle(cx, &hellos, case, Concern::Handshakes, proof, EXPECTED, observed)
}

const EXAMPLES: &[Example] = &[
    Example::new("TLS 1.3 and 1.2", r#"{"hello":{"transport":"tcp","dir":"out","versions":[772,771],"suites":[4865],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}"#, "pass"),
    Example::new("TLS 1.0 offered too", r#"{"hello":{"transport":"tcp","dir":"out","versions":[772,771,770,769],"suites":[4865],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}"#, "fail"),
    Example::new("DTLS 1.2", r#"{"hello":{"transport":"udp","dir":"out","versions":[65277],"suites":[4865],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}"#, "pass"),
    Example::new("DTLS 1.0", r#"{"hello":{"transport":"udp","dir":"out","versions":[65279],"suites":[4865],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}"#, "fail"),
    Example::new(
        "a hello that could not be read",
        r#"{"hello":{"transport":"tcp","dir":"out","versions":[772,771],"suites":[4865],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}
           {"unparsed":{"what":"tls","reason":"broken","bytes":99}}"#,
        "inconclusive unparsed",
    ),
    Example::new("no hello", "", "not-tested not-exercised"),
    Example::new("TLS 1.0 offered to the device", r#"{"hello":{"transport":"tcp","dir":"out","by_peer":true,"versions":[769],"suites":[4865],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}"#, "not-tested not-exercised"),
    Example::new(
        "packets dropped by the capture",
        r#"{"hello":{"transport":"tcp","dir":"out","versions":[772,771],"suites":[4865],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}
           {"input":{"path":"a.pcap","bytes":1000,"packets":1000,"link_types":[],"truncated":false,"dropped":20}}"#,
        "inconclusive missed-bytes",
    ),
    Example::new(
        "pieces that found no place among made packets",
        r#"{"hello":{"transport":"tcp","dir":"out","versions":[772,771],"suites":[4865],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}
           {"missed":{"why":"dropped","offset":0,"len":905,"repeats":905}}"#,
        "inconclusive missed-bytes",
    ),
];
