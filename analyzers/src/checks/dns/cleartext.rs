//! No name is asked in clear where encrypted DNS is claimed
//!
//! # What it does
//! Looks for DNS questions that anybody on the path could read.
//!
//! # Why it matters
//! Names tell what a device does and whom it talks to, even where everything else is encrypted.
//!
//! # How it is judged
//! Only where the declaration claims encrypted DNS (`[dns] claim = "strict"` or `"opportunistic"`). *Fail*: strict is claimed and a
//! question was seen in clear, other than for the resolver's own name. With an opportunistic claim a question in clear is allowed
//! and stays undecided. *Pass*: none was seen, no clear bytes of the device were lost, and what went to port 53 could be read.
//!
//! # Evidence
//! The `question` lines.
//!
//! # References
//! RFC 7858, RFC 8310 §5, RFC 9076.

use policies::Severity;
use policies::declaration::DnsClaim;

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Mode, Rule, counted, settle};
use crate::chunk::Layer;
use crate::observation::{App, Flow, NameSource, Question, QuestionFact, Request, Unparsed};
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Device, severity: Severity::Low, mode: Mode::Passive, needs: &["declared:dns"], judge, examples: EXAMPLES };

const EXPECTED: &str = "no DNS question in clear";

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let Some(declaration) = cx.declaration else { return Outcome::NotTested(Reason::NoDeclaration) };
    let strict = match declaration.dns.claim {
        DnsClaim::NotStated => return Outcome::NotTested(Reason::NoDeclaration),
        DnsClaim::Clear => return Outcome::NotApplicable(Reason::NothingDeclared),
        DnsClaim::Opportunistic => false,
        DnsClaim::Strict => true,
    };
    let questions = case.seen::<Question>();
    let resolver = |name: &str| declaration.dns.resolvers.iter().any(|h| h.matches(name));
    let clear = |q: &QuestionFact| q.layer == Layer::Wire && q.source == NameSource::Dns && !q.by_peer && !resolver(q.name.as_str());
    if let Some(proof) = questions.proof(clear) {
        let observed = format!("{} in clear", counted(questions.count(clear), "question"));
        return if strict {
            Outcome::fail(proof, EXPECTED, observed)
        } else {
            Outcome::inconclusive(Reason::PolicyException, proof, EXPECTED, format!("{observed}, which an opportunistic claim allows"))
        };
    }
    // DNS over HTTP that nothing protects (RFC 8484 §4.1 asks for HTTPS).
    let over_http = |certain: bool| case.seen::<Request>().proof(|r| r.layer == Layer::Wire && !r.by_peer && r.asks_dns == Some(certain));
    if let Some(proof) = over_http(true) {
        return if strict {
            Outcome::fail(proof, EXPECTED, "questions in HTTP in clear")
        } else {
            Outcome::inconclusive(Reason::PolicyException, proof, EXPECTED, "questions in HTTP in clear, which an opportunistic claim allows")
        };
    }
    if let Some(proof) = over_http(false) {
        return Outcome::inconclusive(Reason::Unparsed, proof, EXPECTED, "requests in clear that look like DNS over HTTP");
    }
    if let Some(broken) = case.seen::<Unparsed>().proof(|u| u.what == App::Dns) {
        return Outcome::inconclusive(Reason::Unparsed, broken, EXPECTED, "DNS in clear that could not be read");
    }
    // Whatever it is, it went to where names are asked.
    if let Some(unread) = case.seen::<Flow>().proof(|f| !f.empty && f.app == App::Unknown && f.port == 53) {
        return Outcome::inconclusive(Reason::Unparsed, unread, EXPECTED, "bytes on the port of DNS that could not be read");
    }
    let Some(proof) = case.seen::<Flow>().proof(|f| !f.empty) else { return Outcome::NotTested(Reason::NotExercised) };
    settle(cx, &questions, case, Concern::Clear, proof, EXPECTED, "no question in clear")
}

const STRICT: &str = "schema = \"overhear/declaration/1\"\n[dns]\nclaim = \"strict\"\nresolvers = [\"dns.test\"]\n";
const OPPORTUNISTIC: &str = "schema = \"overhear/declaration/1\"\n[dns]\nclaim = \"opportunistic\"\n";

const EXAMPLES: &[Example] = &[
    Example::new("strict, and silent", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "pass").declared(STRICT),
    Example::new("strict, and bytes on port 53 that nobody knows", r#"{"flow":{"transport":"udp","a":"10.0.0.2:5000","b":"192.0.2.1:53","community_id":"","app":"unknown","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":0,"encrypted":0,"unparsed":200},"end":"idle","from_start":true}}"#, "inconclusive unparsed").declared(STRICT),
    Example::new(
        "strict, only the resolver is asked for",
        r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}
           {"question":{"name":"dns.test","source":"dns","qtype":1,"dir":"out","transport":"udp"}}"#,
        "pass",
    )
    .declared(STRICT),
    Example::new("strict, and a name in clear", r#"{"question":{"name":"shop.test","source":"dns","qtype":1,"dir":"out","transport":"udp"}}"#, "fail").declared(STRICT),
    Example::new("strict, and DNS over HTTP in clear", r#"{"request":{"layer":"wire","dir":"out","method":"POST","url":"http://dns.test/dns-query","host":"dns.test","path":"/dns-query","status":200,"request_bytes":0,"response_bytes":1000,"response_type":"application/dns-message","query":false,"body":true}}"#, "fail").declared(STRICT),
    Example::new("strict, and DNS over HTTP in clear that is not answered", r#"{"request":{"layer":"wire","dir":"out","method":"GET","url":"http://dns.test/dns-query?dns=‹value:1›","host":"dns.test","path":"/dns-query","status":503,"request_bytes":0,"response_bytes":10,"query":true,"body":false}}"#, "fail").declared(STRICT),
    Example::new("strict, and a request like an HTTP resolver's", r#"{"request":{"layer":"wire","dir":"out","method":"GET","url":"http://192.0.2.9/d?dn=‹value:1›","host":"192.0.2.9","path":"/d","status":200,"request_bytes":0,"response_bytes":10,"query":true,"body":false}}"#, "inconclusive unparsed").declared(STRICT),
    Example::new("strict, and the device is asked", r#"{"question":{"name":"shop.test","source":"dns","qtype":1,"dir":"out","transport":"udp","by_peer":true}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "pass").declared(STRICT),
    Example::new("opportunistic, and a name in clear", r#"{"question":{"name":"shop.test","source":"dns","qtype":1,"dir":"out","transport":"udp"}}"#, "inconclusive policy-exception").declared(OPPORTUNISTIC),
    Example::new("nothing claimed", r#"{"question":{"name":"shop.test","source":"dns","qtype":1,"dir":"out","transport":"udp"}}"#, "not-tested no-declaration"),
    Example::new(
        "strict, and asked under TLS",
        r#"{"question":{"name":"shop.test","source":"dns","qtype":1,"layer":"decrypted","dir":"out","transport":"udp"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:853","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "pass",
    )
    .declared(STRICT),
    Example::new(
        "strict, and DNS that could not be read",
        r#"{"unparsed":{"what":"dns","reason":"broken","bytes":40}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:53","community_id":"","app":"dns","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "inconclusive unparsed",
    )
    .declared(STRICT),
    Example::new(
        "strict, and only what asked the explicit proxy was seen",
        r#"{"run":{"schema":"overhear/journal/1","tool":"overhear","version":"0","kind":"lab","mode":"explicit","policy_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","catalogue_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "inconclusive proxy-only",
    )
    .declared(STRICT),
    Example::new(
        "strict, and a flow of nobody",
        r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}
           {"ledger":{"flows":3,"analysed":1000,"encrypted":0,"unparsed":0,"missed":0,"unattributed":2,"by_app":[],"folded":[]}}"#,
        "inconclusive not-attributed",
    )
    .declared(STRICT),
    Example::new(
        "strict, and somebody sends under the gateway's link address",
        r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}
           {"ledger":{"flows":3,"analysed":1000,"encrypted":0,"unparsed":0,"missed":0,"unattributed":0,"disguised":[{"name":"10.0.0.9","count":2}],"by_app":[],"folded":[]}}"#,
        "inconclusive not-attributed",
    )
    .declared(STRICT),
];
