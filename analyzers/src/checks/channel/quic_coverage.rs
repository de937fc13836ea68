//! What ran over QUIC is testable another way
//!
//! # What it does
//! Counts QUIC flows of the device to each peer, and looks whether it goes on over TLS to the same peer when the gateway blocks QUIC.
//!
//! # Why it matters
//! QUIC hides even the handshake from a tester on the path. What runs only there is untested, and must be said to be.
//!
//! # How it is judged
//! *Pass*: QUIC was blocked, hellos over QUIC were seen, and the device went on over TLS to the same name, or where QUIC named none to
//! the same address. Undecided: QUIC was seen and stayed closed. Not applicable: the device never spoke QUIC to that peer. It never fails.
//!
//! # Evidence
//! The `hello` and `flow` lines, and the `standing` line that says what the gateway did to QUIC.
//!
//! # References
//! RFC 9000, RFC 9114 §3.1.

use policies::Severity;

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Mode, Rule, counted, settle};
use crate::flow::Transport;
use crate::observation::{App, Flow, Hello, HelloFact, Standing};
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Peer, severity: Severity::Info, mode: Mode::Both, needs: &[], judge, examples: EXAMPLES };

const EXPECTED: &str = "with QUIC blocked, the device goes on over TLS";

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let (hellos, flows) = (case.seen::<Hello>(), case.seen::<Flow>());
    let quic = flows.proof(|f| f.app == App::Quic).or_else(|| hellos.proof(HelloFact::is_quic));
    let Some(quic) = quic else {
        return if flows.is_empty() { Outcome::NotTested(Reason::NotExercised) } else { Outcome::NotApplicable(Reason::NotOffered) };
    };
    let n = flows.count(|f| f.app == App::Quic);
    let blocked = cx.run.any::<Standing>(|s| s.what == "quic" && s.state == "block").is_some();
    // What was said over TLS before is no answer to the blocking.
    let first = hellos.iter().filter(|(h, _)| h.is_quic()).map(|(_, span)| span.first).min();
    let followed = hellos.iter().any(|(h, span)| h.transport == Transport::Tcp && !h.by_peer && first.is_none_or(|first| span.last > first));
    match hellos.proof(|h| h.transport == Transport::Tcp && !h.by_peer).filter(|_| followed) {
        Some(tls) if blocked => settle(cx, &hellos, case, Concern::Trials, quic.and(&tls), EXPECTED, format!("{} blocked, TLS followed", counted(n, "QUIC flow"))),
        _ => Outcome::inconclusive(Reason::Undecrypted, quic, EXPECTED, format!("{} stayed closed", counted(n, "QUIC flow"))),
    }
}

const EXAMPLES: &[Example] = &[
    Example::new(
        "blocked, and TLS followed",
        r#"{"standing":{"what":"quic","state":"block"}}
           {"flow":{"transport":"udp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"quic","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":0,"encrypted":200,"unparsed":0},"end":"fin","from_start":true}}
           {"hello":{"transport":"tcp","dir":"out","versions":[772],"suites":[4865],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}"#,
        "pass",
    ),
    Example::new("seen and closed", r#"{"flow":{"transport":"udp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"quic","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":0,"encrypted":200,"unparsed":0},"end":"fin","from_start":true}}"#, "inconclusive undecrypted"),
    Example::new(
        "blocked, and TLS only before",
        r#"{"standing":{"what":"quic","state":"block"}}
           {"hello":{"transport":"tcp","dir":"out","versions":[772],"suites":[4865],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}
           {"hello":{"transport":"udp","dir":"out","versions":[772],"suites":[4865],"ja3":"x","ja4":"q13d","class":"c-020202020202","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}"#,
        "inconclusive undecrypted",
    ),
    Example::new("no QUIC", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "not-applicable not-offered"),
];
