//! Every handshake has a fresh key exchange
//!
//! # What it does
//! Looks at how keys were agreed in each handshake: (EC)DHE, or a static key or shared secret without it.
//!
//! # Why it matters
//! Without forward secrecy, whoever records today and gets the server's key later reads everything.
//!
//! # How it is judged
//! *Fail*: static RSA, static (EC)DH, anonymous, null, or a pre-shared key without (EC)DHE. *Pass*: (EC)DHE everywhere, and no
//! handshake hidden. A handshake whose key exchange the wire does not show leaves it undecided, and so does a connection that goes on
//! under a choice that was not seen; one that the device broke off over the server's choice does not count. A session that is resumed in TLS 1.2
//! and older has the keys of an earlier handshake of the same suite (RFC 5246 §7.3): it is judged by that suite, and the observed text says
//! how many were.
//!
//! # Evidence
//! The `served` lines.
//!
//! # References
//! RFC 9325 §4.1, RFC 8446 §2.2.

use policies::Severity;

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Mode, Rule, counted, settle, unseen, unseen_choice};
use crate::observation::{KeyExchange, Served, ServedFact};
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Client, severity: Severity::Medium, mode: Mode::Passive, needs: &[], judge, examples: EXAMPLES };

const EXPECTED: &str = "a fresh (EC)DHE exchange in every handshake";

fn is_static(kx: KeyExchange) -> bool {
    matches!(kx, KeyExchange::Rsa | KeyExchange::StaticDh | KeyExchange::Psk | KeyExchange::Anonymous | KeyExchange::Null)
}

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let served = case.seen::<Served>();
    let bad = |s: &ServedFact| s.is_taken() && is_static(s.key_exchange);
    if let Some(proof) = served.proof(bad) {
        let n = served.count(bad);
        return Outcome::fail(proof, EXPECTED, format!("{} without a fresh key exchange", counted(n, "handshake")));
    }
    let open = |s: &ServedFact| s.unsettled && is_static(s.key_exchange);
    if let Some(proof) = served.proof(open) {
        let observed = format!("{} begun without a fresh key exchange", counted(served.count(open), "handshake"));
        return Outcome::inconclusive(Reason::NotSettled, proof, EXPECTED, observed);
    }
    if let Some(unseen) = unseen_choice(case, EXPECTED) {
        return unseen;
    }
    if let Some(unknown) = served.proof(|s| s.is_taken() && s.key_exchange == KeyExchange::Unknown) {
        return Outcome::inconclusive(Reason::Unparsed, unknown, EXPECTED, "the key exchange of some handshakes does not show on the wire");
    }
    let Some(proof) = served.proof(ServedFact::is_taken) else { return unseen(&served, Reason::NotExercised, EXPECTED) };
    let mut observed = format!("{}, all with (EC)DHE", counted(served.count(ServedFact::is_taken), "handshake"));
    let resumed = served.count(|s| s.is_taken() && s.resumed && s.version != 0x0304);
    if resumed > 0 {
        observed = format!("{observed}; {resumed} of them under keys of an earlier one (resumed)");
    }
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
    Example::new("static RSA chosen, and refused", r#"{"served":{"version":771,"suite":47,"key_exchange":"rsa","resumed":false,"refused":true}}"#, "not-tested not-exercised"),
    Example::new("ECDHE", r#"{"served":{"version":772,"suite":4865,"key_exchange":"ecdhe","resumed":false}}"#, "pass"),
    Example::new("a session of TLS 1.2, resumed", r#"{"served":{"version":771,"suite":49199,"key_exchange":"ecdhe","resumed":true}}"#, "pass"),
    Example::new("static RSA", r#"{"served":{"version":771,"suite":47,"key_exchange":"rsa","resumed":false}}"#, "fail"),
    Example::new("a private suite", r#"{"served":{"version":771,"suite":65000,"key_exchange":"unknown","resumed":false}}"#, "inconclusive unparsed"),
    Example::new("no handshake", "", "not-tested not-exercised"),
];
