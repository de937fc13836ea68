//! Local discovery tells neither owner nor device
//!
//! # What it does
//! Reads what the device announces on the local link: mDNS, SSDP, LLMNR and NetBIOS names and their details.
//!
//! # Why it matters
//! Everyone in the café hears them. Field studies found a real name in more than half of the names announced (see RFC 8117).
//!
//! # How it is judged
//! *Fail*: an announcement holds a planted value, or a long unique part that the declaration does not state. *Pass*: announcements
//! without either, with values planted. Part of a planted value (a given name), or what only looks like an identifier, leaves it
//! undecided. Without a persona a name stays undecided. What another host answers to the device it says of itself, and does not count.
//!
//! # Evidence
//! The `announcement` and `hit` lines.
//!
//! # References
//! RFC 8117, RFC 6762 §21.

use policies::Severity;

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Mode, Rule, is_identifier, is_unique, settle, unseen};
use crate::observation::{Announcement, Exposure, Grade, Hit, HitDirection, HitFact, Planted};
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Device, severity: Severity::Low, mode: Mode::Passive, needs: &[], judge, examples: EXAMPLES };

const EXPECTED: &str = "no owner's name and no unique identifier on the local link";

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let said = case.seen::<Announcement>();
    let hits = case.seen::<Hit>();
    let allowed = |h: &HitFact| cx.declaration.is_some_and(|d| d.local.identifiers.contains(&h.kind));
    let local = |h: &HitFact| h.exposure == Exposure::LocalLink && h.direction != HitDirection::In && !h.place.as_str().starts_with("dhcp.");
    if let Some(proof) = hits.proof(|h| local(h) && h.grade == Grade::Proof && !allowed(h)) {
        return Outcome::fail(proof, EXPECTED, "a planted value is announced on the local link");
    }
    let services = || cx.declaration.iter().flat_map(|d| &d.local.discovery);
    let stated = |name: &str| services().any(|s| name.contains(s.as_str()));
    // A service that is declared may be announced; not every name under it.
    let unique = |name: &str| is_unique(&services().fold(name.to_owned(), |name, s| if s.is_empty() { name } else { name.replace(s.as_str(), "") }));
    if let Some(proof) = said.proof(|a| !a.by_peer && unique(a.name.as_str())) {
        return Outcome::fail(proof, EXPECTED, "an announced name has a unique part");
    }
    let Some(proof) = said.proof(|a| !a.by_peer) else { return unseen(&said, Reason::NotExercised, EXPECTED) };
    if let Some(proof) = hits.proof(|h| local(h) && !allowed(h)) {
        return Outcome::inconclusive(Reason::StructuralOnly, proof, EXPECTED, "part of a planted value, or the shape of one, is announced");
    }
    if cx.run.any::<Planted>(|p| is_identifier(p.kind)).is_none() && let Some(open) = said.proof(|a| !a.by_peer && !stated(a.name.as_str())) {
        return Outcome::inconclusive(Reason::NoPersona, open, EXPECTED, "names are announced, and no persona says whose they are");
    }
    if hits.overflowed() {
        return Outcome::inconclusive(Reason::Overflowed, proof, EXPECTED, "more finds than are kept");
    }
    settle(cx, &said, case, Concern::Clear, proof, EXPECTED, "announcements hold no planted value and no unique part")
}

const EXAMPLES: &[Example] = &[
    Example::new(
        "a service name, with a persona",
        r#"{"announcement":{"source":"mdns","name":"_airplay._tcp.local","record":"PTR"}}
           {"planted":{"name":"owner","kind":"person-name","token":"aa"}}"#,
        "pass",
    ),
    Example::new("a unique name of another, who answers", r#"{"announcement":{"source":"mdns","name":"tv-00a1b2c3d4e5f6.local","record":"PTR","by_peer":true}}"#, "not-tested not-exercised"),
    Example::new("a unique name", r#"{"announcement":{"source":"mdns","name":"tv-00a1b2c3d4e5f6.local","record":"PTR"}}"#, "fail"),
    Example::new(
        "the owner's name",
        r#"{"announcement":{"source":"mdns","name":"‹owner›s phone","record":"PTR"}}
           {"hit":{"kind":"person-name","field":"imei-1","grade":"proof","masked":"‹m›","token":"aa","layer":"wire","direction":"out","where":"mdns.name","chain":[],"exposure":"local-link","dir":"out","offset":1,"len":9}}"#,
        "fail",
    ),
    Example::new(
        "the owner's given name",
        r#"{"announcement":{"source":"mdns","name":"‹owner›s phone","record":"PTR"}}
           {"planted":{"name":"owner","kind":"person-name","token":"aa"}}
           {"hit":{"kind":"person-name","field":"owner","grade":"structural","masked":"‹m›","token":"aa","layer":"wire","direction":"local","where":"mdns.name","chain":[],"exposure":"local-link","dir":"out","offset":1,"len":9}}"#,
        "inconclusive structural-only",
    ),
    Example::new("a name without a persona", r#"{"announcement":{"source":"mdns","name":"Living Room","record":"PTR"}}"#, "inconclusive no-persona"),
    Example::new("nothing announced", "", "not-tested not-exercised"),
];
