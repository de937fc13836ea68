//! Update images are not in the clear, or signed and checked
//!
//! # What it does
//! Looks for update images that anybody on the path could read or change, and for signatures in them.
//!
//! # Why it matters
//! An image in clear that the device does not check is an open door for any code; one that it checks only tells what is being
//! installed.
//!
//! # How it is judged
//! *Pass*: under TLS; or in clear, a signature was seen, and the declaration says that the device checks it. *Fail*: in clear, and
//! the declaration says that nothing is signed, or that images go over TLS. Otherwise undecided, and so where a declared
//! update host is asked in clear for what has no known form: whether the device checks a signature does not show in a
//! capture (the update attacks ask that).
//!
//! # Evidence
//! The `update` lines of part `payload`.
//!
//! # References
//! EN 18031 SUM-2, NIAP FPT_TUD_EXT.2, EN 303 645 provision 5.3-9.

use policies::Severity;
use policies::declaration::{Signature, Transport};

use crate::case::{Case, Concern};
use crate::chunk::Layer;
use crate::checks::update::manifest_cleartext::asked_in_clear;
use crate::checks::{Context, Example, Mode, Rule, host_and_port, settle, unseen};
use crate::observation::{Update, UpdatePart};
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Peer, severity: Severity::Medium, mode: Mode::Passive, needs: &[], judge, examples: EXAMPLES };

const EXPECTED: &str = "images under TLS, or signed and checked";

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let updates = case.seen::<Update>();
    let payload = |u: &Update| u.part == UpdatePart::Payload;
    let clear = |u: &Update| payload(u) && u.layer == Layer::Wire;
    let unknown = || {
        let (_, proof) = asked_in_clear(case, cx)?;
        Some(Outcome::inconclusive(Reason::Unparsed, proof, EXPECTED, "requests in clear to a declared update host; whether they fetch an image does not show"))
    };
    let Some(proof) = updates.proof(payload) else { return unknown().unwrap_or_else(|| unseen(&updates, Reason::NotExercised, EXPECTED)) };
    let Some(open) = updates.proof(clear) else {
        if let Some(undecided) = unknown() {
            return undecided;
        }
        return settle(cx, &updates, case, Concern::Clear, proof, EXPECTED, "images only under TLS");
    };
    let (host, _) = host_and_port(cx.subject);
    let signed = updates.iter().filter(|(u, _)| clear(u)).all(|(u, _)| u.signature.is_some());
    let declared = cx.declaration.and_then(|d| d.update_for(&host));
    if declared.is_some_and(|u| u.transport == Transport::Tls) {
        return Outcome::fail(open, EXPECTED, "images in clear, from a host whose transport is declared as TLS");
    }
    match declared.map(|u| u.signature) {
        Some(Signature::None) => Outcome::fail(open, EXPECTED, "images in clear, declared as not signed"),
        Some(Signature::Payload | Signature::Both) if signed => {
            if let Some(undecided) = unknown() {
                return undecided;
            }
            settle(cx, &updates, case, Concern::Clear, open, EXPECTED, "images in clear, signed, and declared as checked")
        }
        _ => Outcome::inconclusive(Reason::SignedOutOfSight, open, EXPECTED, "images in clear; whether their signature is checked does not show here"),
    }
}

const UNSIGNED: &str = "schema = \"overhear/declaration/1\"\n[[updates]]\nname = \"os\"\nhosts = [\"shop.test\"]\ntransport = \"clear\"\nsignature = \"none\"\n";
const OVER_TLS: &str = "schema = \"overhear/declaration/1\"\n[[updates]]\nname = \"os\"\nhosts = [\"shop.test\"]\ntransport = \"tls\"\nsignature = \"payload\"\n";
const SIGNED: &str = "schema = \"overhear/declaration/1\"\n[[updates]]\nname = \"os\"\nhosts = [\"shop.test\"]\ntransport = \"clear\"\nsignature = \"payload\"\n";

const EXAMPLES: &[Example] = &[
    Example::new("under TLS", r#"{"update":{"part":"payload","system":"android-ota","layer":"decrypted","by":"path","host":"ota.test","path":"/u"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "pass"),
    Example::new("in clear and declared unsigned", r#"{"update":{"part":"payload","system":"android-ota","layer":"wire","by":"path","host":"ota.test","path":"/u"}}"#, "fail").declared(UNSIGNED),
    Example::new("in clear, signed and declared as checked", r#"{"update":{"part":"payload","system":"android-ota","layer":"wire","by":"path","host":"ota.test","path":"/u","signature":"pkcs7-footer"}}"#, "pass").declared(SIGNED),
    Example::new("the same, where TLS is declared", r#"{"update":{"part":"payload","system":"android-ota","layer":"wire","by":"path","host":"ota.test","path":"/u","signature":"pkcs7-footer"}}"#, "fail").declared(OVER_TLS),
    Example::new("in clear, nothing declared", r#"{"update":{"part":"payload","system":"android-ota","layer":"wire","by":"path","host":"ota.test","path":"/u"}}"#, "inconclusive signed-out-of-sight"),
    Example::new(
        "in clear, signed and declared as checked, and something else in clear",
        r#"{"update":{"part":"payload","system":"android-ota","layer":"wire","by":"path","host":"ota.test","path":"/u","signature":"pkcs7-footer"}}
           {"request":{"layer":"wire","dir":"out","method":"GET","url":"http://shop.test/fw/b","host":"shop.test","path":"/fw/b","status":200,"request_bytes":0,"response_bytes":1000,"query":false,"body":false}}"#,
        "inconclusive unparsed",
    )
    .declared(SIGNED),
    Example::new("no image", "", "not-tested not-exercised"),
];
