//! Update checks and manifests are not in the clear
//!
//! # What it does
//! Looks for update traffic (checks and manifests) that anybody on the path could read or change.
//!
//! # Why it matters
//! Who can answer an update check can hold a device on an old system, or offer it another one.
//!
//! # How it is judged
//! *Fail*: a check or manifest in clear; graded down to low where a signature in the manifest was seen and the declaration says
//! that the device checks it; also any request in clear to an update host whose transport is declared as TLS, while what another declared
//! update host is asked in clear and has no known form leaves it undecided. *Pass*: update checks or manifests were seen, all under TLS, and no clear bytes of the peer were
//! lost.
//!
//! # Evidence
//! The `update` lines.
//!
//! # References
//! EN 303 645 provision 5.3-10, EN 18031 SUM-2, TUF specification (freeze and rollback attacks).

use policies::Severity;
use policies::declaration::{Signature, Transport, Update as Declared};

use crate::case::{Case, Concern};
use crate::chunk::Layer;
use crate::checks::channel::cleartext_http::{excuse, is_update_each_time};
use crate::checks::{Context, Example, Mode, Rule, host_and_port, settle, unseen};
use crate::observation::{Request, RequestFact, Update, UpdatePart};
use crate::outcome::{Outcome, Proof, Reason};
use crate::subject::Scope;
use crate::text::Text;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Peer, severity: Severity::High, mode: Mode::Passive, needs: &[], judge, examples: EXAMPLES };

const EXPECTED: &str = "update checks and manifests under TLS";

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let updates = case.seen::<Update>();
    let about = |u: &Update| matches!(u.part, UpdatePart::Check | UpdatePart::Manifest);
    let clear = |u: &Update| about(u) && u.layer == Layer::Wire;
    if let Some(proof) = updates.proof(clear) {
        let (host, _) = host_and_port(cx.subject);
        let checked = cx.declaration.and_then(|d| d.update_for(&host)).is_some_and(|u| matches!(u.signature, Signature::Manifest | Signature::Both));
        let all_signed = updates.iter().filter(|(u, _)| clear(u)).all(|(u, _)| u.signature.is_some());
        let n = updates.count(clear);
        let outcome = Outcome::fail(proof, EXPECTED, format!("update checks or manifests in clear: {n}"));
        return if checked && all_signed { outcome.graded(Severity::Low) } else { outcome };
    }
    // What a declared update host is asked in clear is of an update, whether its form is known or not.
    if let Some((declared, proof)) = asked_in_clear(case, cx) {
        return match declared.transport {
            _ if case.seen::<Request>().overflowed() => Outcome::inconclusive(Reason::Overflowed, proof, EXPECTED, "more requests than are kept"),
            Transport::Tls => Outcome::fail(proof, EXPECTED, "requests in clear to an update host whose transport is declared as TLS"),
            Transport::TlsManifest | Transport::Clear => {
                Outcome::inconclusive(Reason::Unparsed, proof, EXPECTED, "requests in clear to a declared update host; what they are does not show")
            }
        };
    }
    let Some(proof) = updates.proof(about) else { return unseen(&updates, Reason::NotExercised, EXPECTED) };
    settle(cx, &updates, case, Concern::Clear, proof, EXPECTED, "update checks and manifests only under TLS")
}

/// Requests in clear to a declared update host that are no part of an update that is known.
pub(crate) fn asked_in_clear<'d>(case: &Case, cx: &Context<'d>) -> Option<(&'d Declared, Proof)> {
    let (host, _) = host_and_port(cx.subject);
    let declared = cx.declaration.and_then(|d| d.update_for(&host))?;
    let updates = case.seen::<Update>();
    let named = |path: &Text| updates.iter().any(|(u, _)| u.layer == Layer::Wire && u.path == *path);
    let known = |r: &RequestFact| named(&r.path) && is_update_each_time(r, case);
    let requests = case.seen::<Request>();
    let asked = |r: &RequestFact| r.layer == Layer::Wire && !r.by_peer && r.method != "CONNECT";
    // A probe of the network or for revocations goes to the same hosts.
    let unknown = requests.proof(|r| asked(r) && !known(r) && excuse(r, case, cx).is_none());
    let proof = unknown.or_else(|| requests.proof(|_| true).filter(|_| requests.overflowed()))?;
    Some((declared, proof))
}

const OVER_TLS: &str = "schema = \"overhear/declaration/1\"\n[[updates]]\nname = \"os\"\nhosts = [\"shop.test\"]\ntransport = \"tls\"\nsignature = \"none\"\n";
const IN_CLEAR: &str = "schema = \"overhear/declaration/1\"\n[[updates]]\nname = \"os\"\nhosts = [\"shop.test\"]\ntransport = \"clear\"\nsignature = \"both\"\n";
const ASKED: &str = r#"{"request":{"layer":"wire","dir":"out","method":"GET","url":"http://shop.test/fw/latest","host":"shop.test","path":"/fw/latest","status":200,"request_bytes":0,"response_bytes":1000,"query":false,"body":false}}"#;

const EXAMPLES: &[Example] = &[
    Example::new("a manifest in clear", r#"{"update":{"part":"manifest","system":"android-ota","layer":"wire","by":"path","host":"ota.test","path":"/u"}}"#, "fail"),
    Example::new(
        "a manifest under TLS",
        r#"{"update":{"part":"manifest","system":"android-ota","layer":"decrypted","by":"path","host":"ota.test","path":"/u"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "pass",
    ),
    Example::new(
        "bytes are missing",
        r#"{"update":{"part":"manifest","system":"android-ota","layer":"decrypted","by":"path","host":"ota.test","path":"/u"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[9,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "inconclusive missed-bytes",
    ),
    Example::new("a declared update host is asked in clear, where TLS is declared", ASKED, "fail").declared(OVER_TLS),
    Example::new("a declared update host is asked for a certificate's revocation", r#"{"request":{"layer":"wire","dir":"out","method":"POST","url":"http://shop.test/ocsp","host":"shop.test","path":"/ocsp","status":200,"request_bytes":0,"response_bytes":1000,"query":false,"body":true,"request_type":"application/ocsp-request","response_type":"application/ocsp-response"}}"#, "not-tested not-exercised").declared(OVER_TLS),
    Example::new("a declared update host is asked in clear, for what is not known", ASKED, "inconclusive unparsed").declared(IN_CLEAR),
    Example::new("no update traffic", "", "not-tested not-exercised"),
];
