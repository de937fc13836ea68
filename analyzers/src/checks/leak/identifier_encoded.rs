//! No identifier leaves in the clear behind a coding
//!
//! # What it does
//! Undoes percent-encoding, base64, hex and compression (also behind other bytes, and in ZIP archives; in DNS names base32 too), and
//! looks for planted values in base32 and for plain hashes, in all bytes that anybody on the path could read.
//!
//! # Why it matters
//! A coding is not protection: whoever reads the bytes undoes it. A plain hash of an identifier identifies just as well.
//!
//! # How it is judged
//! *Fail*: a planted value (an identifier or other personal value that is neither credential nor place, encoded or hashed) was
//! found. *Pass*: values were planted, none was found, and no byte that could hold one was lost. A value that only looks like one
//! (format and checksum) leaves it undecided; without a persona, absence proves nothing and the check is not tested.
//!
//! # Evidence
//! The `hit` lines: flow, frame, place, coding and byte range; the value only as its keyed digest.
//!
//! # References
//! EN 303 645 provision 5.8-1.

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
        &Leak { expected: "no planted identifier behind a coding in clear bytes", concern: Concern::Coded, speaks: &speaks, planted: &planted, certain: &|_| false },
    )
}

fn speaks(hit: &HitFact) -> bool {
    (is_clear(hit) || is_beside_discovery(hit)) && planted(hit.kind) && is_encoded(hit)
}

fn planted(kind: IdentifierType) -> bool {
    !is_credential(kind) && !is_place(kind)
}

const EXAMPLES: &[Example] = &[
    Example::new(
        "planted and found",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"hit":{"kind":"imei","field":"imei-1","grade":"proof","masked":"‹m›","token":"aa","layer":"wire","direction":"out","where":"http.request.uri","chain":["gzip","json:$.id","base64"],"exposure":"cleartext","dir":"out","offset":1,"len":9}}"#,
        "fail",
    ),
    Example::new(
        "told to everybody on the link",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"flow":{"transport":"udp","a":"10.0.0.2:5000","b":"255.255.255.255:17500","community_id":"","app":"unknown","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"idle","from_start":true}}
           {"hit":{"kind":"imei","field":"imei-1","grade":"proof","masked":"‹m›","token":"aa","layer":"wire","direction":"local","where":"udp.datagram","chain":["base64"],"exposure":"local-link","dir":"out","offset":1,"len":9}}"#,
        "fail",
    ),
    Example::new(
        "announced, which another check asks",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"flow":{"transport":"udp","a":"10.0.0.2:5000","b":"255.255.255.255:17500","community_id":"","app":"unknown","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"idle","from_start":true}}
           {"hit":{"kind":"imei","field":"imei-1","grade":"proof","masked":"‹m›","token":"aa","layer":"wire","direction":"local","where":"mdns.name","chain":["base64"],"exposure":"local-link","dir":"out","offset":1,"len":9}}"#,
        "pass",
    ),
    Example::new(
        "planted and not found",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "pass",
    ),
    Example::new("only its shape", r#"{"hit":{"kind":"imei","grade":"structural","masked":"‹m›","token":"aa","layer":"wire","direction":"out","where":"http.request.uri","chain":["base64"],"exposure":"cleartext","dir":"out","offset":1,"len":9}}"#, "inconclusive structural-only"),
    Example::new(
        "found elsewhere",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}
           {"hit":{"kind":"imei","field":"imei-1","grade":"proof","masked":"‹m›","token":"aa","layer":"wire","direction":"out","where":"http.request.uri","chain":[],"exposure":"cleartext","dir":"out","offset":1,"len":9}}"#,
        "pass",
    ),
    Example::new(
        "bytes are missing",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[9,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "inconclusive missed-bytes",
    ),
    Example::new(
        "a stream too long to take apart",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"unknown","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":0,"encrypted":0,"unparsed":200},"end":"fin","from_start":true}}
           {"unparsed":{"what":"unknown","reason":"streamed","bytes":100}}"#,
        "inconclusive unparsed",
    ),
    Example::new("nothing planted", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "not-tested no-persona"),
];
