//! What runs on TLS ports is TLS
//!
//! # What it does
//! Looks at what flows to ports where TLS is expected really carry, by their bytes.
//!
//! # Why it matters
//! Firewalls and reviewers take port 443 for encrypted. Something else there hides in plain sight, or has given up on TLS.
//!
//! # How it is judged
//! *Fail*: a flow on such a port carries another protocol, also after it began as TLS, or clear bytes nobody knows, and no declaration
//! names it. *Pass*: TLS or
//! QUIC in all of them. A flow picked up in its middle that shows no TLS there, one whose bytes came twice and differed, or UDP that no dissector knows, leaves it
//! undecided.
//!
//! # Evidence
//! The `flow` lines: what each carried.
//!
//! # References
//! IANA Service Name and Transport Protocol Port Number Registry.

use policies::Severity;

use crate::case::{Case, Concern};
use crate::chunk::Layer;
use crate::checks::{Context, Example, Mode, Rule, counted, host_and_port, settle, unseen};
use crate::flow::Transport;
use crate::observation::{App, Flow, FlowFact, Request, RequestFact, Unparsed, UnparsedFact};
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Peer, severity: Severity::Medium, mode: Mode::Passive, needs: &[], judge, examples: EXAMPLES };

/// HTTPS, SMTPS, NNTPS, DoT, LDAPS and its global catalogue, FTPS, IMAPS, POP3S, SIPS, XMPPS and Apple push, AMQPS, IRCS, alternative HTTPS, secure
/// MQTT (IANA).
const TLS_PORTS: [u16; 17] = [443, 465, 563, 636, 853, 989, 990, 992, 993, 995, 3269, 5061, 5223, 5671, 6697, 8443, 8883];
/// HTTP/3, DNS over DTLS or QUIC, SIPS, CoAPS, alternative HTTP/3.
const DATAGRAM_PORTS: [u16; 5] = [443, 853, 5061, 5684, 8443];
const EXPECTED: &str = "TLS or QUIC on every port where TLS is expected";

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let flows = case.seen::<Flow>();
    let on_port = |f: &FlowFact| {
        let expected = match f.transport {
            Transport::Tcp => TLS_PORTS.contains(&f.port),
            Transport::Udp => DATAGRAM_PORTS.contains(&f.port),
            _ => false,
        };
        expected && !f.empty
    };
    let wrong = |f: &FlowFact| on_port(f) && !matches!(f.app, App::Tls | App::Quic);
    let unclear = |f: &FlowFact| wrong(f) && f.app == App::Unknown && (f.incomplete || f.ambiguous || f.transport == Transport::Udp);
    // Clear bytes around TLS: a protocol that is not TLS from its start, or TLS that could not be read. What was unsealed and not read is none.
    let unparsed = case.seen::<Unparsed>();
    let clear_bytes = unparsed.overflowed() || unparsed.iter().any(|(u, _)| u.layer == Layer::Wire);
    let mixed = |f: &FlowFact| on_port(f) && !wrong(f) && f.unparsed && clear_bytes;
    let (host, port) = host_and_port(cx.subject);
    let declared = cx.declaration.is_some_and(|d| d.channels_for(&host, port).any(|c| !c.protocol.is_protected()));
    if !declared && let Some(proof) = flows.proof(|f| wrong(f) && !unclear(f)) {
        // Where the device is the server, the port is its own.
        let first = flows.iter().find(|(f, _)| wrong(f) && !unclear(f));
        let (app, port) = first.map_or(("something", port), |(f, _)| (f.app.word(), f.port));
        let n = flows.count(|f| wrong(f) && !unclear(f));
        return Outcome::fail(proof, EXPECTED, format!("{} to port {port}, not TLS ({app})", counted(n, "flow")));
    }
    // HTTP on a connection that began as TLS. CONNECT asks for a tunnel, and what runs inside is judged as itself.
    let requests = case.seen::<Request>();
    let clear = |r: &RequestFact| r.layer == Layer::Wire && !r.method.is_empty() && r.method != "CONNECT";
    if !declared && TLS_PORTS.contains(&port) && let Some(proof) = requests.proof(clear) {
        return Outcome::fail(proof, EXPECTED, format!("requests in clear to port {port}"));
    }
    if !declared
        && TLS_PORTS.contains(&port)
        && let Some(proof) = case.seen::<Unparsed>().proof(UnparsedFact::is_clear_http2)
    {
        return Outcome::fail(proof, EXPECTED, format!("HTTP/2 in clear to port {port}"));
    }
    if let Some(proof) = flows.proof(unclear) {
        let any = |is: fn(&FlowFact) -> bool| flows.iter().any(|(f, _)| unclear(f) && is(f));
        let reason = match () {
            () if any(|f| f.incomplete) => Reason::MissedBytes,
            () if any(|f| f.ambiguous) => Reason::Ambiguous,
            () => Reason::Unparsed,
        };
        return Outcome::inconclusive(reason, proof, EXPECTED, "a flow on a TLS port could not be told");
    }
    if !declared && let Some(proof) = flows.proof(mixed) {
        return Outcome::inconclusive(Reason::Unparsed, proof, EXPECTED, "not all bytes of a flow on a TLS port are TLS");
    }
    let kept = requests.proof(|_| true).filter(|_| requests.overflowed() && !declared);
    if let Some(kept) = kept {
        return Outcome::inconclusive(Reason::Overflowed, kept, EXPECTED, "more requests than are kept");
    }
    let Some(proof) = flows.proof(on_port) else { return unseen(&flows, Reason::NotExercised, EXPECTED) };
    let observed = if declared { "another protocol, as declared".to_owned() } else { format!("{}, all TLS or QUIC", counted(flows.count(on_port), "flow")) };
    settle(cx, &flows, case, Concern::Trials, proof, EXPECTED, observed)
}

const EXAMPLES: &[Example] = &[
    Example::new("TLS on 443", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "pass"),
    Example::new("HTTP on 443", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "fail"),
    Example::new("another protocol's datagrams, where TLS is expected over TCP alone", r#"{"flow":{"transport":"udp","a":"10.0.0.2:5000","b":"192.0.2.1:6697","community_id":"","app":"unknown","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":0,"encrypted":0,"unparsed":200},"end":"fin","from_start":true}}"#, "not-tested not-exercised"),
    Example::new("unknown clear bytes on 8883", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:8883","community_id":"","app":"unknown","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":0,"encrypted":0,"unparsed":200},"end":"fin","from_start":true}}"#, "fail"),
    Example::new("picked up in the middle", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"unknown","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":0,"encrypted":0,"unparsed":200},"end":"fin","from_start":false}}"#, "inconclusive missed-bytes"),
    Example::new("bytes that came twice and differ", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"unknown","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0],"conflicting":2},"coverage":{"analysed":0,"encrypted":0,"unparsed":200},"end":"fin","from_start":true}}"#, "inconclusive ambiguous"),
    Example::new("unknown UDP on 443", r#"{"flow":{"transport":"udp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"unknown","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":0,"encrypted":0,"unparsed":200},"end":"fin","from_start":true}}"#, "inconclusive unparsed"),
    Example::new("HTTP after TLS", r#"{"request":{"layer":"wire","dir":"out","method":"GET","url":"http://shop.test/a","host":"shop.test","path":"/a","status":200,"request_bytes":0,"response_bytes":1000,"query":false,"body":false}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "fail"),
    Example::new(
        "HTTP/2 in clear after TLS",
        r#"{"unparsed":{"what":"http2","reason":"not-built","bytes":40}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":0,"encrypted":0,"unparsed":200},"end":"fin","from_start":true}}"#,
        "fail",
    ),
    Example::new("nothing on such a port", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "not-tested not-exercised"),
    Example::new("TLS behind bytes nobody knows", r#"{"unparsed":{"what":"tls","reason":"broken","bytes":40}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":100,"encrypted":60,"unparsed":40},"end":"fin","from_start":true}}"#, "inconclusive unparsed"),
    Example::new("TLS that was opened, and HTTP/2 in it", r#"{"unparsed":{"what":"http2","reason":"not-built","bytes":40,"layer":"decrypted"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":100,"encrypted":60,"unparsed":40},"end":"fin","from_start":true}}"#, "pass"),
];
