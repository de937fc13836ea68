//! No location leaves in the clear
//!
//! # What it does
//! Searches clear bytes for planted coordinates, both in one piece of text and written with three decimals (100 m) or more, and for names and
//! addresses of networks and cells around the device. Coordinates that everybody on the local link hears count too.
//!
//! # Why it matters
//! Where a device is tells where its user is; network names and cell numbers are positions for anyone with a map of them.
//!
//! # How it is judged
//! *Fail*: a planted value (a position, network name, access point or cell) was found. *Pass*: values were planted, none was found,
//! and no byte that could hold one was lost. A value that only looks like one (format and checksum) leaves it undecided; without a
//! persona, absence proves nothing and the check is not tested.
//!
//! # Evidence
//! The `hit` lines: flow, frame, place, coding and byte range; the value only as its keyed digest.
//!
//! # References
//! EN 303 645 provision 5.8-1, GDPR Art. 4(1).

use policies::{IdentifierType, Severity};

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Leak, Mode, Rule, is_clear, is_on_link, is_place, judge_leak};
use crate::observation::HitFact;
use crate::outcome::Outcome;
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Peer, severity: Severity::High, mode: Mode::Passive, needs: &["canary"], judge, examples: EXAMPLES };

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    judge_leak(
        case,
        cx,
        &Leak { expected: "no planted place in clear bytes", concern: Concern::Coded, speaks: &speaks, planted: &planted, certain: &|_| false },
    )
}

fn speaks(hit: &HitFact) -> bool {
    (is_clear(hit) || is_on_link(hit) && hit.kind == IdentifierType::Position) && is_place(hit.kind)
}

/// A network's name or a cell may be planted too; without a position nothing is known of positions.
fn planted(kind: IdentifierType) -> bool {
    kind == IdentifierType::Position
}

const EXAMPLES: &[Example] = &[
    Example::new(
        "planted and found",
        r#"{"planted":{"name":"home","kind":"position","token":"aa"}}
           {"hit":{"kind":"position","field":"imei-1","grade":"proof","masked":"‹m›","token":"aa","layer":"wire","direction":"out","where":"http.request.uri","chain":[],"exposure":"cleartext","dir":"out","offset":1,"len":9}}"#,
        "fail",
    ),
    Example::new(
        "told to everybody on the link",
        r#"{"planted":{"name":"home","kind":"position","token":"aa"}}
           {"flow":{"transport":"udp","a":"10.0.0.2:5000","b":"255.255.255.255:17500","community_id":"","app":"unknown","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"idle","from_start":true}}
           {"hit":{"kind":"position","field":"home","grade":"proof","masked":"‹m›","token":"aa","layer":"wire","direction":"local","where":"udp.datagram","chain":[],"exposure":"local-link","dir":"out","offset":1,"len":9}}"#,
        "fail",
    ),
    Example::new(
        "planted and not found",
        r#"{"planted":{"name":"home","kind":"position","token":"aa"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "pass",
    ),
    Example::new("only its shape", r#"{"hit":{"kind":"position","grade":"structural","masked":"‹m›","token":"aa","layer":"wire","direction":"out","where":"http.request.uri","chain":[],"exposure":"cleartext","dir":"out","offset":1,"len":9}}"#, "inconclusive structural-only"),
    Example::new(
        "found elsewhere",
        r#"{"planted":{"name":"home","kind":"position","token":"aa"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}
           {"hit":{"kind":"imei","field":"imei-1","grade":"proof","masked":"‹m›","token":"aa","layer":"wire","direction":"out","where":"http.request.uri","chain":[],"exposure":"cleartext","dir":"out","offset":1,"len":9}}"#,
        "pass",
    ),
    Example::new(
        "bytes are missing",
        r#"{"planted":{"name":"home","kind":"position","token":"aa"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[9,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "inconclusive missed-bytes",
    ),
    Example::new("nothing planted", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "not-tested no-persona"),
];
