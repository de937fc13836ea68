//! Lease requests name neither owner nor device
//!
//! # What it does
//! Reads the host name, full name and client identifier a device sends when it joins a network.
//!
//! # Why it matters
//! Everyone on the network hears a lease request. A name such as “Anna's phone”, or one with a serial number, identifies its user
//! at once.
//!
//! # How it is judged
//! *Fail*: the name holds a planted value, or a long unique part (8 or more hexadecimal digits), and no declaration names it.
//! *Pass*: no name, a declared one, or one that holds no planted value while an owner's name was planted. Part of a planted value (a
//! given name), or what only looks like an identifier, leaves it undecided, and so does a planted value that only the server says: it may have
//! it from an earlier request, or from whoever set it up. A name with no persona to compare it to stays undecided.
//!
//! # Evidence
//! The `lease` and `hit` lines.
//!
//! # References
//! RFC 8117, RFC 7844 §3.7.

use policies::Severity;

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Mode, Rule, is_identifier, is_unique, settle};
use crate::observation::{App, Grade, Hit, HitDirection, HitFact, Lease, Planted, Unparsed};
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Device, severity: Severity::Low, mode: Mode::Passive, needs: &[], judge, examples: EXAMPLES };

const EXPECTED: &str = "no owner's name and no unique name in lease requests";

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let leases = case.seen::<Lease>();
    let hits = case.seen::<Hit>();
    let names = |l: &Lease| -> Vec<String> { l.host_name.iter().chain(&l.fqdn).map(|n| n.as_str().to_owned()).collect() };
    let declared = |name: &str| cx.declaration.is_some_and(|d| d.states_dhcp_name(name));
    let in_lease = |h: &HitFact| h.place.as_str().starts_with("dhcp.");
    let answered = |h: &HitFact| in_lease(h) && h.direction == HitDirection::In;
    let planted_hit = |h: &HitFact| in_lease(h) && h.direction != HitDirection::In && h.grade == Grade::Proof;
    if let Some(proof) = hits.proof(planted_hit) {
        return Outcome::fail(proof, EXPECTED, "a planted value stands in a lease request");
    }
    let unique = |l: &Lease| names(l).iter().any(|n| is_unique(n) && !declared(n));
    if let Some(proof) = leases.proof(unique) {
        return Outcome::fail(proof, EXPECTED, "the name has a unique part");
    }
    // A server may have it from a request before the capture, or from whoever set it up.
    if let Some(proof) = hits.proof(|h| answered(h) && h.grade == Grade::Proof) {
        return Outcome::inconclusive(Reason::PeersWord, proof, EXPECTED, "a planted value stands in what a DHCP server says");
    }
    let Some(proof) = leases.proof(|_| true) else { return Outcome::NotTested(Reason::NotExercised) };
    let open = |l: &Lease| names(l).iter().any(|n| !n.is_empty() && !declared(n));
    let shape = |h: &HitFact| in_lease(h) && !answered(h);
    if let Some(proof) = hits.proof(shape) {
        return Outcome::inconclusive(Reason::StructuralOnly, proof, EXPECTED, "part of a planted value, or the shape of one, stands in a lease request");
    }
    if cx.run.any::<Planted>(|p| is_identifier(p.kind)).is_none() && let Some(named) = leases.proof(open) {
        return Outcome::inconclusive(Reason::NoPersona, named, EXPECTED, "a name was sent, and no persona says whose it is");
    }
    if let Some(broken) = case.seen::<Unparsed>().proof(|u| u.what == App::Dhcp) {
        return Outcome::inconclusive(Reason::Unparsed, broken, EXPECTED, "lease requests that could not be read");
    }
    if hits.overflowed() {
        return Outcome::inconclusive(Reason::Overflowed, proof, EXPECTED, "more finds than are kept");
    }
    settle(cx, &leases, case, Concern::Clear, proof, EXPECTED, "no planted value and no unique part in any name")
}

const EXAMPLES: &[Example] = &[
    Example::new(
        "what only the server says",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"lease":{"message":1,"client_id":"hardware-address","mac":"02:00:00:00:00:01"}}
           {"hit":{"kind":"imei","field":"imei-1","grade":"proof","masked":"‹m›","token":"aa","layer":"wire","direction":"in","where":"dhcp.option:43","chain":[],"exposure":"local-link","dir":"back","offset":1,"len":9}}"#,
        "inconclusive peers-word",
    ),
    Example::new(
        "what only looks like something to the server",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"lease":{"message":1,"client_id":"hardware-address","mac":"02:00:00:00:00:01"}}
           {"hit":{"kind":"mac","grade":"structural","masked":"‹m›","token":"aa","layer":"wire","direction":"in","where":"dhcp.client-id","chain":[],"exposure":"local-link","dir":"back","offset":1,"len":9}}"#,
        "pass",
    ),
    Example::new("no name", r#"{"lease":{"message":1,"client_id":"hardware-address","mac":"02:00:00:00:00:01"}}"#, "pass"),
    Example::new(
        "the owner's name",
        r#"{"lease":{"message":1,"host_name":"‹owner›s-phone","client_id":"hardware-address","mac":"02:00:00:00:00:01"}}
           {"hit":{"kind":"person-name","field":"imei-1","grade":"proof","masked":"‹m›","token":"aa","layer":"wire","direction":"out","where":"dhcp.host-name","chain":[],"exposure":"local-link","dir":"out","offset":1,"len":9}}"#,
        "fail",
    ),
    Example::new(
        "the owner's given name",
        r#"{"lease":{"message":1,"host_name":"‹owner›s-phone","client_id":"hardware-address","mac":"02:00:00:00:00:01"}}
           {"planted":{"name":"owner","kind":"person-name","token":"aa"}}
           {"hit":{"kind":"person-name","field":"owner","grade":"structural","masked":"‹m›","token":"aa","layer":"wire","direction":"local","where":"dhcp.host-name","chain":[],"exposure":"local-link","dir":"out","offset":1,"len":9}}"#,
        "inconclusive structural-only",
    ),
    Example::new("a serial number", r#"{"lease":{"message":1,"host_name":"android-3f9a1c2e77d01b45","client_id":"hardware-address","mac":"02:00:00:00:00:01"}}"#, "fail"),
    Example::new("a name without a persona", r#"{"lease":{"message":1,"host_name":"Pixel-8","client_id":"hardware-address","mac":"02:00:00:00:00:01"}}"#, "inconclusive no-persona"),
    Example::new(
        "a model's name, with a persona",
        r#"{"lease":{"message":1,"host_name":"Pixel-8","client_id":"hardware-address","mac":"02:00:00:00:00:01"}}
           {"planted":{"name":"owner","kind":"person-name","token":"aa"}}"#,
        "pass",
    ),
    Example::new("no lease request", "", "not-tested not-exercised"),
    Example::new(
        "a model's name, and only a password planted",
        r#"{"lease":{"message":1,"host_name":"Pixel-8","client_id":"hardware-address","mac":"02:00:00:00:00:01"}}
           {"planted":{"name":"login","kind":"password","token":"aa"}}"#,
        "inconclusive no-persona",
    ),
    Example::new(
        "requests that could not be read",
        r#"{"lease":{"message":1,"host_name":"Pixel-8","client_id":"hardware-address","mac":"02:00:00:00:00:01"}}
           {"planted":{"name":"owner","kind":"person-name","token":"aa"}}
           {"unparsed":{"what":"dhcp","reason":"broken","bytes":40}}"#,
        "inconclusive unparsed",
    ),
    Example::new(
        "packets of nobody",
        r#"{"lease":{"message":1,"host_name":"Pixel-8","client_id":"hardware-address","mac":"02:00:00:00:00:01"}}
           {"planted":{"name":"owner","kind":"person-name","token":"aa"}}
           {"ledger":{"flows":3,"analysed":1000,"encrypted":0,"unparsed":0,"missed":0,"unattributed":1,"by_app":[],"folded":[]}}"#,
        "inconclusive not-attributed",
    ),
];
