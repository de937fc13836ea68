//! Every end point contacted is declared
//!
//! # What it does
//! Compares each peer the device contacted with the maker's declaration.
//!
//! # Why it matters
//! ETSI TS 103 701 compares what is stated with what is seen: an end point nobody stated is one nobody has assessed.
//!
//! # How it is judged
//! *Pass*: a channel, update, telemetry entry or resolver of the declaration covers the peer. *Fail*: none does, and the
//! declaration says it is complete (`channels_complete = true`). If it does not say so, the answer stays undecided, as it does where a
//! connection was counted under its address before it said the server's name. Peers on the local link are left out; a private
//! address of another block than the device's (RFC 1918) is not on it. A peer of which a file of actors says, flow by flow, that only the
//! user's own apps and browsers talk to it is none of the maker's: not applicable.
//!
//! # Evidence
//! The `bound` and `flow` lines of the peer, and its `hello` where that named it late.
//!
//! # References
//! ETSI TS 103 701 test group 5.5-1, NIAP FDP_NET_EXT.1.

use policies::Severity;

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Mode, Rule, host_and_port, settle};
use crate::observation::{Flow, FlowFact, Hello, Request, RequestFact};
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Peer, severity: Severity::Medium, mode: Mode::Passive, needs: &["declared:channels"], judge, examples: EXAMPLES };

const EXPECTED: &str = "the peer stands in the declaration";

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let flows = case.seen::<Flow>();
    let Some(declaration) = cx.declaration else { return Outcome::NotTested(Reason::NoDeclaration) };
    // Whoever scans a device is no peer it chose.
    let chosen = |f: &FlowFact| !f.local && !f.uninvited;
    let Some(proof) = flows.proof(|f| chosen(f) && !f.users) else {
        // A fact that was folded away may be the maker's.
        if flows.proof(chosen).is_some() && !flows.overflowed() {
            return Outcome::NotApplicable(Reason::UsersApp);
        }
        return if flows.is_empty() { Outcome::NotTested(Reason::NotExercised) } else { Outcome::NotApplicable(Reason::NotInThisRun) };
    };
    let (host, port) = host_and_port(cx.subject);
    if declaration.covers(&host, port) {
        // A connection that is kept open may ask for more than one host.
        let elsewhere = |r: &RequestFact| {
            r.host.as_ref().is_some_and(|h| !r.by_peer && h.as_str().parse::<std::net::IpAddr>().is_err() && !declaration.covers(h.as_str(), port))
        };
        if let Some(proof) = case.seen::<Request>().proof(elsewhere) {
            let observed = "requests name a host that is not declared";
            return if declaration.channels_complete {
                Outcome::fail(proof, EXPECTED, observed)
            } else {
                Outcome::inconclusive(Reason::NoDeclaration, proof, EXPECTED, format!("{observed}, and the declaration does not say that it is complete"))
            };
        }
        return settle(cx, &flows, case, Concern::Trials, proof, EXPECTED, "declared");
    }
    // `STARTTLS` behind something that was worth a line: the name came when the peer had its address for a name.
    let unnamed = cx.subject.peer.as_ref().is_some_and(|peer| peer.name.is_none());
    if let Some(named) = case.seen::<Hello>().proof(|hello| hello.named && !hello.by_peer).filter(|_| unnamed) {
        return Outcome::inconclusive(Reason::NamedLate, named, EXPECTED, "the server's name came late, and its address is not declared");
    }
    if declaration.channels_complete {
        return Outcome::fail(proof, EXPECTED, "the peer is not declared");
    }
    Outcome::inconclusive(Reason::NoDeclaration, proof, EXPECTED, "the peer is not declared, and the declaration does not say that it is complete")
}

const DECLARED: &str = "schema = \"overhear/declaration/1\"\nchannels_complete = true\n[[channels]]\nname = \"shop\"\npeers = [\"shop.test\"]\nprotocol = \"https\"\npurpose = \"orders\"\n";
const OTHER: &str = "schema = \"overhear/declaration/1\"\nchannels_complete = true\n[[channels]]\nname = \"mail\"\npeers = [\"mail.test\"]\nprotocol = \"https\"\npurpose = \"mail\"\n";
const PARTIAL: &str = "schema = \"overhear/declaration/1\"\n[[channels]]\nname = \"mail\"\npeers = [\"mail.test\"]\nprotocol = \"https\"\npurpose = \"mail\"\n";

const SHOP_AMONG_OTHERS: &str = "schema = \"overhear/declaration/1\"\n[[channels]]\nname = \"shop\"\npeers = [\"shop.test\"]\nprotocol = \"https\"\npurpose = \"orders\"\n";

const EXAMPLES: &[Example] = &[
    Example::new("declared", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "pass").declared(DECLARED),
    Example::new("not declared", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "fail").declared(OTHER),
    Example::new("the declaration is not complete", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "inconclusive no-declaration").declared(PARTIAL),
    Example::new("not declared, and private beyond a router", r#"{"flow":{"transport":"tcp","a":"192.168.1.50:5000","b":"10.200.3.3:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "fail").declared(OTHER),
    Example::new("not declared, and beside the device", r#"{"flow":{"transport":"tcp","a":"192.168.1.50:5000","b":"192.168.1.60:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "not-applicable not-in-this-run").declared(OTHER),
    Example::new("scanned by somebody who is not declared", r#"{"flow":{"transport":"tcp","a":"192.0.2.1:5000","b":"10.0.0.2:80","community_id":"","app":"empty","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[1,1],"bytes":[0,0],"missing":[0,0]},"coverage":{"analysed":0,"encrypted":0,"unparsed":0},"end":"reset","from_start":true,"called":true}}"#, "not-applicable not-in-this-run").declared(OTHER),
    Example::new(
        "declared, and another host on the same connection",
        r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}
           {"request":{"layer":"decrypted","dir":"out","method":"GET","url":"https://tracker.test/a","host":"tracker.test","path":"/a","status":200,"request_bytes":0,"response_bytes":1000,"query":false,"body":false}}"#,
        "fail",
    )
    .declared(DECLARED),
    Example::new(
        "declared, and another host on the same connection, where the declaration is not complete",
        r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}
           {"request":{"layer":"decrypted","dir":"out","method":"GET","url":"https://tracker.test/a","host":"tracker.test","path":"/a","status":200,"request_bytes":0,"response_bytes":1000,"query":false,"body":false}}"#,
        "inconclusive no-declaration",
    )
    .declared(SHOP_AMONG_OTHERS),
    Example::new("not declared, and only the user's app talks to it", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true,"users":true}}"#, "not-applicable users-app").declared(OTHER),
    Example::new(
        "not declared, and the device's own software talks to it too",
        r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true,"users":true}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "fail",
    )
    .declared(OTHER),
    Example::new("no declaration", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "not-tested no-declaration"),
];
