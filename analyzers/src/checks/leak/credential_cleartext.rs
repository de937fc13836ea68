//! No credential leaves in the clear
//!
//! # What it does
//! Searches clear bytes for planted user names and passwords, and for what HTTP itself marks as a credential: an authorization that
//! shows one (Basic, Bearer, a token), user and password in a URL (RFC 3986 §3.2.1), form fields named as one, and a community of SNMP that is not the `public` of delivery. What everybody on the local link hears counts
//! too.
//!
//! # Why it matters
//! A credential in the clear is the account, for anyone on the path.
//!
//! # How it is judged
//! *Fail*: a planted value (a password, token or user name) was found, or the protocol marks a value as password or authorization.
//! *Pass*: a password or token was planted, nothing of the kind was found, and no byte that could hold one was lost. A value that only looks like one (format
//! and checksum) leaves it undecided, and so does an authorization of a scheme that is not known; without a persona, absence proves nothing and the check is not tested.
//!
//! # Evidence
//! The `hit` lines: flow, frame, place, coding and byte range; the value only as its keyed digest.
//!
//! # References
//! NIAP App PP FTP_DIT_EXT.1, RFC 7617 §4, RFC 6750 §5.3.

use policies::{IdentifierType, Severity};

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Leak, Mode, Rule, is_beside_discovery, is_clear, is_credential, is_on_link, judge_leak};
use crate::observation::{HitFact, Rank};
use crate::outcome::Outcome;
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Peer, severity: Severity::Critical, mode: Mode::Passive, needs: &["canary"], judge, examples: EXAMPLES };

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    judge_leak(
        case,
        cx,
        &Leak { expected: "no credential in clear bytes", concern: Concern::Coded, speaks: &speaks, planted: &planted, certain: &certain },
    )
}

fn speaks(hit: &HitFact) -> bool {
    let on_link = is_on_link(hit) && (hit.kind != IdentifierType::UserName || is_beside_discovery(hit));
    (is_clear(hit) || on_link) && is_credential(hit.kind)
}

/// A user name alone is no credential: that it was not found says nothing of what was not planted.
fn planted(kind: IdentifierType) -> bool {
    matches!(kind, IdentifierType::Password | IdentifierType::Token)
}

/// The protocol itself says that this is a credential; no planted value is needed to know it.
fn certain(hit: &HitFact) -> bool {
    hit.rank() >= Rank::Credential
}

const EXAMPLES: &[Example] = &[
    Example::new(
        "planted and found",
        r#"{"planted":{"name":"pw","kind":"password","token":"aa"}}
           {"hit":{"kind":"password","grade":"structural","masked":"‹m›","token":"aa","layer":"wire","direction":"out","where":"http.request.header:authorization","chain":[],"exposure":"cleartext","dir":"out","offset":1,"len":9}}"#,
        "fail",
    ),
    Example::new(
        "an authorization of a scheme that is not known",
        r#"{"planted":{"name":"pw","kind":"password","token":"aa"}}
           {"hit":{"kind":"token","grade":"structural","masked":"‹m›","token":"aa","layer":"wire","direction":"out","where":"http.request.header:authorization","chain":["scheme:unknown"],"exposure":"cleartext","dir":"out","offset":1,"len":9}}"#,
        "inconclusive structural-only",
    ),
    Example::new(
        "a mail login by token",
        r#"{"hit":{"kind":"token","grade":"structural","masked":"‹m›","token":"aa","layer":"wire","direction":"out","where":"tcp.stream","chain":["base64","scheme:bearer"],"exposure":"cleartext","dir":"out","offset":1,"len":9}}"#,
        "fail",
    ),
    Example::new(
        "told to everybody on the link",
        r#"{"planted":{"name":"pw","kind":"password","token":"aa"}}
           {"flow":{"transport":"udp","a":"10.0.0.2:5000","b":"255.255.255.255:17500","community_id":"","app":"unknown","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"idle","from_start":true}}
           {"hit":{"kind":"password","field":"pw","grade":"proof","masked":"‹m›","token":"aa","layer":"wire","direction":"local","where":"udp.datagram","chain":[],"exposure":"local-link","dir":"out","offset":1,"len":9}}"#,
        "fail",
    ),
    Example::new(
        "planted and not found",
        r#"{"planted":{"name":"pw","kind":"password","token":"aa"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "pass",
    ),
    Example::new(
        "only a user name planted",
        r#"{"planted":{"name":"login","kind":"user-name","token":"aa"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "not-tested no-persona",
    ),
    Example::new("only its shape", r#"{"hit":{"kind":"token","grade":"structural","masked":"‹m›","token":"aa","layer":"wire","direction":"out","where":"http.request.uri","chain":[],"exposure":"cleartext","dir":"out","offset":1,"len":9}}"#, "inconclusive structural-only"),
    Example::new(
        "found elsewhere",
        r#"{"planted":{"name":"pw","kind":"password","token":"aa"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}
           {"hit":{"kind":"password","field":"imei-1","grade":"proof","masked":"‹m›","token":"aa","layer":"decrypted","direction":"out","where":"http.request.uri","chain":[],"exposure":"peer","dir":"out","offset":1,"len":9}}"#,
        "pass",
    ),
    Example::new(
        "bytes are missing",
        r#"{"planted":{"name":"pw","kind":"password","token":"aa"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[9,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "inconclusive missed-bytes",
    ),
    Example::new("nothing planted", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "not-tested no-persona"),
];
