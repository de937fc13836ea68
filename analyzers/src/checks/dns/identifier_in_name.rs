//! No identifier in the names that are asked for
//!
//! # What it does
//! Searches every DNS name, as it is and behind codings, for planted values and for identifiers by their shape.
//!
//! # Why it matters
//! A name is read by resolver and network alike, and logged; an identifier in it follows the user everywhere.
//!
//! # How it is judged
//! *Fail*: a planted value (any type) was found. *Pass*: values were planted, names were asked for, none held a value, no byte that
//! could hold one was lost, and every flow belongs to a known device. A value that only looks like one (format and checksum) leaves it
//! undecided, and so do closed flows of DNS over TLS or QUIC, and of HTTPS to public resolvers, beside names that were asked for in clear, and questions over HTTP that was read; without a persona, absence proves nothing and the check is not tested.
//!
//! # Evidence
//! The `hit` lines: flow, frame, place, coding and byte range; the value only as its keyed digest.
//!
//! # References
//! RFC 9076 §6, EN 303 645 provision 5.8-1.

use policies::declaration::DnsClaim;
use policies::{IdentifierType, Severity};

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Leak, Mode, Rule, judge_leak};
use crate::observation::{Flow, Hello, HitDirection, HitFact, NameSource, Question, Request};
use crate::outcome::{Outcome, Proof, Reason, Verdict};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Device, severity: Severity::High, mode: Mode::Passive, needs: &["canary"], judge, examples: EXAMPLES };

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let outcome = judge_leak(
        case,
        cx,
        &Leak { expected: "no planted value in any name", concern: Concern::Clear, speaks: &speaks, planted: &planted, certain: &|_| false },
    );
    let asked = case.seen::<Question>().proof(|q| q.source == NameSource::Dns);
    // Questions in messages of HTTP are searched with these, and not known as names.
    let over_http = case.seen::<Request>().proof(|r| r.asks_dns.is_some() && !r.by_peer);
    match (&outcome, asked) {
        (Outcome::Judged(judged), _) if judged.verdict == Verdict::Pass && over_http.is_some() => {
            let proof = over_http.map_or_else(|| judged.evidence.clone(), |proof| judged.evidence.clone().and(&proof));
            Outcome::inconclusive(Reason::Unparsed, proof, judged.expected.clone(), "none in the names that were read; others were asked for over HTTP")
        }
        (Outcome::Judged(judged), None) if judged.verdict == Verdict::Pass => Outcome::NotTested(Reason::NotExercised),
        // DNS over TLS, QUIC or, where it is declared, HTTPS: names were asked for out of sight.
        (Outcome::Judged(judged), Some(_)) if judged.verdict == Verdict::Pass => {
            let hides = cx.declaration.is_some_and(|d| matches!(d.dns.claim, DnsClaim::Strict | DnsClaim::Opportunistic));
            let closed = case.any::<Flow>(|f| f.encrypted && (f.port == 853 || hides && f.port == 443));
            let offered = || case.any::<Hello>(|h| h.dns && !h.by_peer).filter(|_| case.any::<Flow>(|f| f.encrypted).is_some());
            match closed.or_else(offered) {
                Some(closed) => {
                    let proof = judged.evidence.clone().and(&Proof::line(closed.first));
                    Outcome::inconclusive(Reason::Undecrypted, proof, judged.expected.clone(), "none in the names that were seen")
                }
                None => outcome,
            }
        }
        _ => outcome,
    }
}

fn speaks(hit: &HitFact) -> bool {
    let place = hit.place.as_str();
    // What a resolver answers is no name that was asked for.
    place.starts_with("dns.") && (hit.direction != HitDirection::In || place == "dns.qname")
}

fn planted(_: IdentifierType) -> bool {
    true
}

const EXAMPLES: &[Example] = &[
    Example::new(
        "planted and found",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"hit":{"kind":"imei","field":"imei-1","grade":"proof","masked":"‹m›","token":"aa","layer":"wire","direction":"out","where":"dns.qname","chain":[],"exposure":"cleartext","dir":"out","offset":1,"len":9}}"#,
        "fail",
    ),
    Example::new(
        "planted and not found",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"question":{"name":"shop.test","source":"dns","qtype":1,"dir":"out","transport":"udp"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "pass",
    ),
    Example::new("only its shape", r#"{"hit":{"kind":"imei","grade":"structural","masked":"‹m›","token":"aa","layer":"wire","direction":"out","where":"dns.qname","chain":[],"exposure":"cleartext","dir":"out","offset":1,"len":9}}"#, "inconclusive structural-only"),
    Example::new(
        "found elsewhere",
        r#"{"question":{"name":"shop.test","source":"dns","qtype":1,"dir":"out","transport":"udp"}}
           {"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
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
    Example::new("nothing planted", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "not-tested no-persona"),
    Example::new(
        "nothing was asked",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "not-tested not-exercised",
    ),
    Example::new(
        "asked over HTTP that was opened, and in clear",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"question":{"name":"shop.test","source":"dns","qtype":1,"dir":"out","transport":"udp"}}
           {"request":{"layer":"decrypted","dir":"out","method":"POST","url":"https://dns.shop.test/dns-query","host":"dns.shop.test","path":"/dns-query","status":200,"request_bytes":40,"response_bytes":100,"query":false,"body":true,"request_type":"application/dns-message","response_type":"application/dns-message"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":100,"encrypted":100,"unparsed":0},"end":"fin","from_start":true}}"#,
        "inconclusive unparsed",
    ),
    Example::new(
        "asked over TLS, and in clear",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"question":{"name":"shop.test","source":"dns","qtype":1,"dir":"out","transport":"udp"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:853","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":0,"encrypted":200,"unparsed":0},"end":"fin","from_start":true}}"#,
        "inconclusive undecrypted",
    ),
    Example::new(
        "asked over TLS on another port, by its ALPN",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"question":{"name":"shop.test","source":"dns","qtype":1,"dir":"out","transport":"udp"}}
           {"hello":{"transport":"tcp","dir":"out","versions":[772],"suites":[4865],"alpn":["dot"],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:8853","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":0,"encrypted":200,"unparsed":0},"end":"fin","from_start":true}}"#,
        "inconclusive undecrypted",
    ),
    Example::new(
        "a public resolver was asked over HTTPS",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"question":{"name":"dns.google","source":"dns","qtype":1,"dir":"out","transport":"udp"}}
           {"hello":{"transport":"tcp","dir":"out","sni":"dns.google","versions":[772],"suites":[4865],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":0,"encrypted":200,"unparsed":0},"end":"fin","from_start":true}}"#,
        "inconclusive undecrypted",
    ),
    Example::new(
        "a flow of nobody",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"question":{"name":"shop.test","source":"dns","qtype":1,"dir":"out","transport":"udp"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}
           {"ledger":{"flows":3,"analysed":1000,"encrypted":0,"unparsed":0,"missed":0,"unattributed":1,"by_app":[],"folded":[]}}"#,
        "inconclusive not-attributed",
    ),
    Example::new(
        "frames that could not be followed",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"question":{"name":"shop.test","source":"dns","qtype":1,"dir":"out","transport":"udp"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}
           {"input":{"path":"a.pcap","bytes":1000,"packets":1000,"link_types":[],"truncated":false,"unfollowed":20}}"#,
        "inconclusive missed-bytes",
    ),
    Example::new(
        "packets dropped by the capture",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"question":{"name":"shop.test","source":"dns","qtype":1,"dir":"out","transport":"udp"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}
           {"input":{"path":"a.pcap","bytes":1000,"packets":1000,"link_types":[],"truncated":false,"dropped":20}}"#,
        "inconclusive missed-bytes",
    ),
    Example::new(
        "a file damaged in its middle",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"question":{"name":"shop.test","source":"dns","qtype":1,"dir":"out","transport":"udp"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}
           {"input":{"path":"a.pcap","bytes":1000,"packets":1000,"link_types":[],"truncated":false,"damage":[{"offset":500,"what":"no block"}]}}"#,
        "inconclusive missed-bytes",
    ),
    Example::new(
        "a file cut at its end",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"question":{"name":"shop.test","source":"dns","qtype":1,"dir":"out","transport":"udp"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}
           {"input":{"path":"a.pcap","bytes":1000,"packets":1000,"link_types":[],"truncated":true,"damage":[{"offset":999,"what":"cut"}]}}"#,
        "pass",
    ),
    Example::new(
        "bytes that came twice and differ",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"question":{"name":"shop.test","source":"dns","qtype":1,"dir":"out","transport":"udp"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0],"conflicting":1},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "inconclusive ambiguous",
    ),
    Example::new(
        "bytes that nobody could compare",
        r#"{"planted":{"name":"imei-1","kind":"imei","token":"aa"}}
           {"question":{"name":"shop.test","source":"dns","qtype":1,"dir":"out","transport":"udp"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0],"unchecked":9},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "inconclusive ambiguous",
    ),
];
