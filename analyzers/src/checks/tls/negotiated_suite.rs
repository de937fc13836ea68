//! Every handshake ends on a suite the policy agrees to
//!
//! # What it does
//! Looks at the cipher suite each server chose and the device went on with.
//!
//! # Why it matters
//! A suite without authenticated encryption or with a broken cipher protects less than it seems to; standards and schemes list what
//! they agree to.
//!
//! # How it is judged
//! *Fail*: a handshake ended on a suite outside the policy's list (`[tls] suites`; shipped: the suites of RFC 9325 and TLS 1.3).
//! *Pass*: all were on it, and no handshake was hidden. A connection that goes on under a choice that was not seen, as where the
//! capture begins in its middle, leaves it undecided. One that the device broke off over the server's choice does not count.
//!
//! # Evidence
//! The `served` lines.
//!
//! # References
//! RFC 9325 §4.2, RFC 8446 §B.4, SOG-IS Agreed Cryptographic Mechanisms.

use policies::{Severity, Suite};

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Mode, Rule, counted, settle, unseen, unseen_choice};
use crate::observation::{Served, ServedFact};
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Client, severity: Severity::High, mode: Mode::Passive, needs: &[], judge, examples: EXAMPLES };

const EXPECTED: &str = "a suite of the policy's list in every handshake";

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let served = case.seen::<Served>();
    let outside = |s: &ServedFact| s.is_taken() && !cx.policy.tls.allows_suite(s.suite);
    if let Some(bad) = served.proof(outside) {
        let mut suites: Vec<u16> = served.iter().filter(|(s, _)| outside(s)).map(|(s, _)| s.suite).collect();
        suites.sort_unstable();
        suites.dedup();
        let names: Vec<String> = suites.into_iter().map(|s| Suite(s).to_string()).collect();
        return Outcome::fail(bad, EXPECTED, format!("chosen outside the list: {}", names.join(", ")));
    }
    let open = |s: &ServedFact| s.unsettled && !cx.policy.tls.allows_suite(s.suite);
    if let Some(proof) = served.proof(open) {
        let observed = format!("{} begun on a suite outside the list", counted(served.count(open), "handshake"));
        return Outcome::inconclusive(Reason::NotSettled, proof, EXPECTED, observed);
    }
    if let Some(unseen) = unseen_choice(case, EXPECTED) {
        return unseen;
    }
    let Some(proof) = served.proof(ServedFact::is_taken) else { return unseen(&served, Reason::NotExercised, EXPECTED) };
    let observed = format!("{}, all on agreed suites", counted(served.count(ServedFact::is_taken), "handshake"));
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
    Example::new("RC4 chosen, and refused", r#"{"served":{"version":771,"suite":5,"key_exchange":"rsa","resumed":false,"refused":true}}"#, "not-tested not-exercised"),
    Example::new("TLS_AES_128_GCM_SHA256", r#"{"served":{"version":772,"suite":4865,"key_exchange":"ecdhe","resumed":false}}"#, "pass"),
    Example::new("TLS_RSA_WITH_AES_128_CBC_SHA", r#"{"served":{"version":771,"suite":47,"key_exchange":"rsa","resumed":false}}"#, "fail"),
    Example::new(
        "a policy with one suite",
        r#"{"served":{"version":772,"suite":4865,"key_exchange":"ecdhe","resumed":false}}"#,
        "fail",
    )
    .under("schema = \"overhear/policy/1\"\n[tls]\nsuites = [\"TLS_AES_256_GCM_SHA384\"]\n"),
    Example::new(
        "a flow picked up in its middle",
        r#"{"served":{"version":772,"suite":4865,"key_exchange":"ecdhe","resumed":false}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"unknown","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[10,10]},"coverage":{"analysed":0,"encrypted":0,"unparsed":20},"end":"idle","from_start":false}}"#,
        "inconclusive missed-bytes",
    ),
    Example::new("no handshake", "", "not-tested not-exercised"),
    Example::new("excused by the policy", r#"{"served":{"version":771,"suite":47,"key_exchange":"rsa","resumed":false}}"#, "inconclusive policy-exception").under("schema = \"overhear/policy/1\"\n[[exceptions]]\nrule = \"old-shop\"\nchecks = [\"tls.*\"]\npeers = [\"shop.test\"]\ncontent = \"any\"\nreason = \"replaced in spring\"\n"),
    Example::new("another peer is excused", r#"{"served":{"version":771,"suite":47,"key_exchange":"rsa","resumed":false}}"#, "fail").under("schema = \"overhear/policy/1\"\n[[exceptions]]\nrule = \"old-shop\"\nchecks = [\"tls.*\"]\npeers = [\"mail.test\"]\ncontent = \"any\"\nreason = \"replaced in spring\"\n"),
];
