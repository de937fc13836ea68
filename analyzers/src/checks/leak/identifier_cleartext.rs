//! No identifier leaves in the clear
//!
//! # What it does
//! Searches all bytes that anybody on the path could read for identifiers of the device and its user, written as people write them. What the
//! device says in the clear of a handshake is among them: name, protocols, identity of a shared key, its own certificate. What it tells
//! everybody on the local link counts too, but for the protocols by which devices find each other (`leak.local-discovery`, `leak.dhcp-identity`).
//!
//! # Why it matters
//! An identifier in the clear lets anyone on the path recognise the device and its user, and follow them from network to network.
//!
//! # How it is judged
//! *Fail*: a planted value (an identifier or other personal value that is neither credential nor place) was found. *Pass*: values
//! were planted, none was found, and no byte that could hold one was lost. A value that only looks like one (format and checksum)
//! leaves it undecided; without a persona, absence proves nothing and the check is not tested.
//!
//! # Evidence
//! The `hit` lines: flow, frame, place, coding and byte range; the value only as its keyed digest.
//!
//! # References
//! EN 303 645 provisions 5.8-1 and 5.8-2, OWASP MASTG-TEST-0206.

use policies::{IdentifierType, Severity};

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Leak, Mode, Rule, is_beside_discovery, is_clear, is_credential, is_encoded, is_place, judge_leak};
use crate::observation::HitFact;
use crate::outcome::Outcome;
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Peer, severity: Severity::High, mode: Mode::Passive, needs: &["canary"], judge, examples: EXAMPLES };

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    judge_leak(
        case,
        cx,
        &Leak { expected: "no planted identifier in clear bytes", concern: Concern::Clear, speaks: &speaks, planted: &planted, certain: &|_| false },
    )
}

fn speaks(hit: &HitFact) -> bool {
    (is_clear(hit) || is_beside_discovery(hit)) && planted(hit.kind) && !is_encoded(hit)
}

/// Identifiers: credentials and places have checks of their own.
fn planted(kind: IdentifierType) -> bool {
    !is_credential(kind) && !is_place(kind)
}

const EXAMPLES: &[Example] = &[
    Example::new(
        "planted and found",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"hit":{"kind":"imei","field":"imei-1","grade":"proof","masked":"‹m›","token":"aa","layer":"wire","direction":"out","where":"http.request.uri","chain":[],"exposure":"cleartext","dir":"out","offset":1,"len":9}}"#,
        "fail",
    ),
    Example::new(
        "told to everybody on the link",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"flow":{"transport":"udp","a":"10.0.0.2:5000","b":"255.255.255.255:17500","community_id":"","app":"unknown","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"idle","from_start":true}}
           {"hit":{"kind":"imei","field":"imei-1","grade":"proof","masked":"‹m›","token":"aa","layer":"wire","direction":"local","where":"udp.datagram","chain":[],"exposure":"local-link","dir":"out","offset":1,"len":9}}"#,
        "fail",
    ),
    Example::new(
        "announced, which another check asks",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"flow":{"transport":"udp","a":"10.0.0.2:5000","b":"255.255.255.255:17500","community_id":"","app":"unknown","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"idle","from_start":true}}
           {"hit":{"kind":"imei","field":"imei-1","grade":"proof","masked":"‹m›","token":"aa","layer":"wire","direction":"local","where":"mdns.name","chain":[],"exposure":"local-link","dir":"out","offset":1,"len":9}}"#,
        "pass",
    ),
    Example::new(
        "planted and not found",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "pass",
    ),
    Example::new(
        "planted and sent back",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"hit":{"kind":"imei","field":"imei-1","grade":"proof","masked":"‹m›","token":"aa","layer":"wire","direction":"in","where":"http.response.body","chain":[],"exposure":"cleartext","dir":"back","offset":1,"len":9}}"#,
        "fail",
    ),
    Example::new("the peer's word of that shape", r#"{"hit":{"kind":"imei","grade":"structural","masked":"‹m›","token":"aa","layer":"wire","direction":"in","where":"http.response.body","chain":[],"exposure":"cleartext","dir":"back","offset":1,"len":9}}"#, "not-tested not-exercised"),
    Example::new("only its shape", r#"{"hit":{"kind":"imei","grade":"structural","masked":"‹m›","token":"aa","layer":"wire","direction":"out","where":"http.request.uri","chain":[],"exposure":"cleartext","dir":"out","offset":1,"len":9}}"#, "inconclusive structural-only"),
    Example::new(
        "found elsewhere",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}
           {"hit":{"kind":"imei","field":"imei-1","grade":"proof","masked":"‹m›","token":"aa","layer":"wire","direction":"out","where":"http.request.uri","chain":["base64"],"exposure":"cleartext","dir":"out","offset":1,"len":9}}"#,
        "pass",
    ),
    Example::new(
        "bytes are missing",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[9,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "inconclusive missed-bytes",
    ),
    Example::new("nothing planted", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "not-tested no-persona"),
];
