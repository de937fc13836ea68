//! Update checks carry no more identifiers than declared
//!
//! # What it does
//! Searches the traffic with peers that serve updates for planted identifiers, in clear and where it could be decrypted.
//!
//! # Why it matters
//! An update check comes from every device, every day, from wherever it is: with a unique identifier it is a tracker nobody can
//! switch off.
//!
//! # How it is judged
//! *Fail*: a planted identifier the declaration does not state was found with an update peer. *Pass*: none, values were planted,
//! and everything of that peer was readable. Undecided where bytes stayed closed, or only a shape was seen.
//!
//! # Evidence
//! The `update` and `hit` lines of the peer.
//!
//! # References
//! EN 303 645 provision 5.8-1, CRA Annex I part I (2)(g).

use policies::Severity;

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Mode, Rule, host_and_port, is_identifier, settle};
use crate::observation::{Grade, Hit, HitDirection, HitFact, Planted, Update};
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Peer, severity: Severity::Medium, mode: Mode::Passive, needs: &["canary"], judge, examples: EXAMPLES };

const EXPECTED: &str = "no undeclared identifier towards an update peer";

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let Some(update) = case.seen::<Update>().proof(|_| true) else { return Outcome::NotTested(Reason::NotExercised) };
    let (host, _) = host_and_port(cx.subject);
    let stated = |h: &HitFact| cx.declaration.and_then(|d| d.update_for(&host)).is_some_and(|u| u.identifiers.contains(&h.kind));
    let speaks = |h: &HitFact| h.direction != HitDirection::In && is_identifier(h.kind) && !stated(h);
    let hits = case.seen::<Hit>();
    if let Some(proof) = hits.proof(|h| speaks(h) && h.grade == Grade::Proof) {
        let kinds: Vec<&str> = hits.iter().filter(|(h, _)| speaks(h) && h.grade == Grade::Proof).map(|(h, _)| h.kind.word()).collect();
        return Outcome::fail(proof.and(&update), EXPECTED, format!("found: {}", kinds.join(", ")));
    }
    if let Some(proof) = hits.proof(|h| speaks(h) && h.grade == Grade::Structural) {
        return Outcome::inconclusive(Reason::StructuralOnly, proof, EXPECTED, "values that look like identifiers");
    }
    if cx.run.any::<Planted>(|p| is_identifier(p.kind)).is_none() {
        return Outcome::NotTested(Reason::NoPersona);
    }
    settle(cx, &hits, case, Concern::Everything, update, EXPECTED, "none found")
}

const EXAMPLES: &[Example] = &[
    Example::new(
        "none, all readable",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"update":{"part":"check","system":"android-ota","layer":"decrypted","by":"path","host":"ota.test","path":"/u"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "pass",
    ),
    Example::new(
        "the IMEI in the check",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"update":{"part":"check","system":"android-ota","layer":"decrypted","by":"path","host":"ota.test","path":"/u"}}
           {"hit":{"kind":"imei","field":"imei-1","grade":"proof","masked":"‹m›","token":"aa","layer":"decrypted","direction":"out","where":"http.request.uri","chain":[],"exposure":"peer","dir":"out","offset":1,"len":9}}"#,
        "fail",
    ),
    Example::new(
        "closed bytes",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"update":{"part":"check","system":"android-ota","layer":"decrypted","by":"path","host":"ota.test","path":"/u"}}
           {"undecrypted":{"protocol":"tls","reason":"no-key","bytes":900}}"#,
        "inconclusive undecrypted",
    ),
    Example::new("nothing planted", r#"{"update":{"part":"check","system":"android-ota","layer":"wire","by":"path","host":"ota.test","path":"/u"}}"#, "not-tested no-persona"),
    Example::new("no update traffic", "", "not-tested not-exercised"),
    Example::new(
        "only a password planted",
        r#"{"planted":{"name":"login","kind":"password","token":"aa"}}
           {"update":{"part":"check","system":"android-ota","layer":"decrypted","by":"path","host":"ota.test","path":"/u"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "not-tested no-persona",
    ),
];
