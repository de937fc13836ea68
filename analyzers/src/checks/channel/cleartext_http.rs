//! No HTTP without TLS
//!
//! # What it does
//! Lists HTTP requests that anybody on the path could read and change, by peer. HTTP/2 without TLS is told by its preface (RFC 9113
//! §3.4); its requests are not read one by one.
//!
//! # Why it matters
//! Cleartext HTTP can be read, altered and answered by anyone in between; a response can carry anything from tracking to code.
//!
//! # How it is judged
//! *Fail*: a request or an HTTP/2 connection in clear that no exception of the policy covers. Exceptions have a content condition: a
//! connectivity probe must carry no data (no header fields of its own either), a revocation fetch must ask for that and nothing else, a signed update must be fetched without data, seen
//! signed each time, and that part of it declared as checked. *Pass*: none,
//! or only excused ones, and no bytes of the subject's clear flows were lost.
//!
//! # Evidence
//! The `request` lines of layer `wire`.
//!
//! # References
//! EN 303 645 provision 5.5-1, OWASP MASVS-NETWORK-1, RFC 9325 §3.2.

use policies::Severity;
use policies::declaration::{Signature, Transport};
use policies::policy::Content;

use crate::case::{Case, Concern};
use crate::chunk::Layer;
use crate::checks::{Context, Example, Mode, Rule, counted, host_and_port, settle};
use crate::observation::{Flow, Request, RequestFact, Unparsed, UnparsedFact, Update, UpdatePart};
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Peer, severity: Severity::High, mode: Mode::Passive, needs: &[], judge, examples: EXAMPLES };

const EXPECTED: &str = "no HTTP in clear, beside what the policy excuses";

fn in_clear(n: u64) -> String {
    format!("{} in clear", counted(n, "request"))
}

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let requests = case.seen::<Request>();
    // A CONNECT asks a proxy for a tunnel; what runs inside is judged as itself.
    // What somebody else asks a device that does not answer is not the device's.
    let clear = |r: &RequestFact| r.layer == Layer::Wire && r.method != "CONNECT" && !(r.by_peer && r.status.is_none());
    let open = |r: &RequestFact| clear(r) && excuse(r, case, cx).is_none();
    if let Some(proof) = requests.proof(open) {
        let n = requests.count(open);
        // Of a connection seen from its middle there may be answers alone.
        let first = requests.iter().find(|(r, _)| open(r) && !r.method.is_empty());
        let first = first.map_or_else(|| ", none with its request line captured whole".to_owned(), |(r, _)| format!(", first {} {}", r.method, r.path));
        return Outcome::fail(proof, EXPECTED, format!("{}{first}", in_clear(n)));
    }
    if let Some(proof) = case.seen::<Unparsed>().proof(UnparsedFact::is_clear_http2)
        && !is_unread_excused(cx)
    {
        return Outcome::fail(proof, EXPECTED, "HTTP/2 in clear");
    }
    let excused = requests.proof(clear);
    let n = requests.count(clear);
    let rule = requests.iter().find_map(|(r, _)| if clear(r) { excuse(r, case, cx) } else { None });
    let Some(proof) = excused.or_else(|| case.seen::<Flow>().proof(|f| !f.empty)) else { return Outcome::NotTested(Reason::NotExercised) };
    let observed = match rule {
        Some(rule) => format!("{}, excused by the rule {rule}", in_clear(n)),
        None => "no HTTP in clear".to_owned(),
    };
    settle(cx, &requests, case, Concern::Clear, proof, EXPECTED, observed)
}

/// The rule that covers a request, with its content condition met.
pub(crate) fn excuse<'p>(request: &RequestFact, case: &Case, cx: &Context<'p>) -> Option<&'p str> {
    let (host, port) = host_and_port(cx.subject);
    let named = request.host.as_ref().map_or(host.as_str(), |h| h.as_str()).to_owned();
    let mut exceptions = cx.policy.exceptions.iter().filter(|e| e.covers("channel.cleartext-http", &named, port));
    let rule = exceptions.find(|e| {
        e.covers_path(request.path.as_str())
            && match e.content {
                Content::ConnectivityProbe => !request.carries_data && (request.status == Some(204) || request.small_answer),
                Content::RevocationFetch => is_revocation(request),
                Content::SignedUpdate => !request.carries_data && is_signed_update(request, case, cx.declaration.and_then(|d| d.update_for(&named))),
                Content::Any => true,
                Content::OpportunisticDot => false,
            }
    })?;
    Some(rule.rule.as_str())
}

/// Whether what was fetched is part of an update, seen signed each time, and the declaration says that the device checks what is signed of that
/// part.
fn is_signed_update(request: &RequestFact, case: &Case, declared: Option<&policies::declaration::Update>) -> bool {
    let Some(declared) = declared else { return false };
    let checked = |part: UpdatePart| match declared.signature {
        Signature::Both => true,
        Signature::Payload => part == UpdatePart::Payload,
        Signature::Manifest => part != UpdatePart::Payload,
        Signature::None => false,
    };
    // What was declared as going over TLS is not excused elsewhere.
    let carried = |part: UpdatePart| match declared.transport {
        Transport::Clear => true,
        Transport::TlsManifest => part == UpdatePart::Payload,
        Transport::Tls => false,
    };
    let updates = case.seen::<Update>();
    let mut fetched = updates.iter().filter(|(u, _)| u.layer == Layer::Wire && u.path == request.path).peekable();
    let all = fetched.peek().is_some() && fetched.all(|(u, _)| u.signature.is_some() && checked(u.part) && carried(u.part));
    all && !updates.overflowed() && is_update_each_time(request, case)
}

/// Whether each answer under the path of `request` was known as part of an update: the same place may give something else the next time. Parts
/// of a file are those of the one that begins with what was known.
pub(crate) fn is_update_each_time(request: &RequestFact, case: &Case) -> bool {
    let requests = case.seen::<Request>();
    let whole = |r: &RequestFact| {
        r.layer == Layer::Wire && r.path == request.path && r.host == request.host && r.status == Some(200) && r.method == "GET"
    };
    let known = case.seen::<Update>().count(|u| u.layer == Layer::Wire && u.path == request.path);
    !requests.overflowed() && requests.count(whole) <= known
}

/// Whether a rule covers requests that were not read: one that asks nothing of their content.
fn is_unread_excused(cx: &Context<'_>) -> bool {
    let (host, port) = host_and_port(cx.subject);
    cx.policy.exceptions.iter().any(|e| e.covers("channel.cleartext-http", &host, port) && e.content == Content::Any && e.paths.is_empty())
}

/// OCSP, a CRL or an issuer's certificate, told by the media types (RFC 6960 §A, RFC 2585 §4, RFC 5280 §4.2.2.1), or by the ending of the path
/// where an answer without a body has none. What the device asks must be that and nothing else.
fn is_revocation(request: &RequestFact) -> bool {
    let kind = request.response_type.as_ref().map_or("", |t| t.as_str());
    if request.telling {
        return false;
    }
    if request.carries_data {
        return request.asks_ocsp && (kind == "application/ocsp-response" || request.status.is_none());
    }
    let path = request.path.as_str().to_ascii_lowercase();
    let named = [".crl", ".crt", ".cer", ".der", ".p7c", ".p7b"].iter().any(|ending| path.ends_with(ending));
    let told = matches!(
        kind,
        "application/ocsp-response" | "application/pkix-crl" | "application/x-pkcs7-crl" | "application/pkix-cert" | "application/x-x509-ca-cert"
    );
    let issuers = matches!(kind, "application/pkcs7-mime" | "application/x-pkcs7-certificates") && named;
    // The question of OCSP stands in the path, in base64 (RFC 6960 §A.1).
    let asks = kind != "application/ocsp-response" || request.path.as_str().split('/').any(is_der);
    request.method == "GET" && ((told && asks || issuers) && request.status == Some(200) || named && request.status == Some(304))
}

/// Whether a segment of a path may be a sequence of DER in base64, which begins with the byte 0x30. What is masked may be one.
fn is_der(segment: &str) -> bool {
    let of_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '=' | '%' | '-' | '_' | '…');
    segment.starts_with('M') && segment.len() >= 24 && segment.chars().all(of_base64)
}

const CHECKED: &str = "schema = \"overhear/declaration/1\"\n[[updates]]\nname = \"os\"\nhosts = [\"shop.test\"]\ntransport = \"clear\"\nsignature = \"payload\"\n";
const MANIFEST_CHECKED: &str = "schema = \"overhear/declaration/1\"\n[[updates]]\nname = \"os\"\nhosts = [\"shop.test\"]\ntransport = \"clear\"\nsignature = \"manifest\"\n";
const OVER_TLS: &str = "schema = \"overhear/declaration/1\"\n[[updates]]\nname = \"os\"\nhosts = [\"shop.test\"]\ntransport = \"tls\"\nsignature = \"payload\"\n";
const SIGNED_IMAGE: &str = r#"{"update":{"part":"payload","system":"android-ota","layer":"wire","by":"magic","host":"shop.test","path":"/u.zip","signature":"pkcs7-footer"}}
           {"request":{"layer":"wire","dir":"out","method":"GET","url":"http://shop.test/u.zip","host":"shop.test","path":"/u.zip","status":200,"request_bytes":0,"response_bytes":1000,"query":false,"body":false}}"#;

const EXAMPLES: &[Example] = &[
    Example::new("a request in clear", r#"{"request":{"layer":"wire","dir":"out","method":"GET","url":"http://shop.test/a","host":"shop.test","path":"/a","status":200,"request_bytes":0,"response_bytes":1000,"query":false,"body":false}}"#, "fail"),
    Example::new("the same under TLS", r#"{"request":{"layer":"decrypted","dir":"out","method":"GET","url":"http://shop.test/a","host":"shop.test","path":"/a","status":200,"request_bytes":0,"response_bytes":1000,"query":false,"body":false}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "pass"),
    Example::new("an OCSP request", r#"{"request":{"layer":"wire","dir":"out","method":"POST","url":"http://shop.test/ocsp","host":"shop.test","path":"/ocsp","status":200,"request_bytes":0,"response_bytes":1000,"query":false,"body":true,"request_type":"application/ocsp-request","response_type":"application/ocsp-response"}}"#, "pass"),
    Example::new("an OCSP request in the path", r#"{"request":{"layer":"wire","dir":"out","method":"GET","url":"http://shop.test/ocsp/MFEwTzBNMEswSTAJBgUrDgMCGgUABBTBL0V27RVZ7LBduom%2FnYB45SPUEwQU5Z1ZMIJHWMys%2BghUNoZ7OrUETfACEA==","host":"shop.test","path":"/ocsp/MFEwTzBNMEswSTAJBgUrDgMCGgUABBTBL0V27RVZ7LBduom%2FnYB45SPUEwQU5Z1ZMIJHWMys%2BghUNoZ7OrUETfACEA==","status":200,"request_bytes":0,"response_bytes":471,"query":false,"body":false,"response_type":"application/ocsp-response"}}"#, "pass"),
    Example::new("the same without an answer of that kind", r#"{"request":{"layer":"wire","dir":"out","method":"GET","url":"http://shop.test/ocsp/MFEwTzBNMEswSTAJBgUrDgMCGgUABBTBL0V27RVZ7LBduom%2FnYB45SPUEwQU5Z1ZMIJHWMys%2BghUNoZ7OrUETfACEA==","host":"shop.test","path":"/ocsp/MFEwTzBNMEswSTAJBgUrDgMCGgUABBTBL0V27RVZ7LBduom%2FnYB45SPUEwQU5Z1ZMIJHWMys%2BghUNoZ7OrUETfACEA==","status":404,"request_bytes":0,"response_bytes":471,"query":false,"body":false,"response_type":"application/ocsp-response"}}"#, "fail"),
    Example::new("a path that asks nothing, answered as if it were OCSP", r#"{"request":{"layer":"wire","dir":"out","method":"GET","url":"http://shop.test/user/joe/visited/example.org","host":"shop.test","path":"/user/joe/visited/example.org","status":200,"request_bytes":0,"response_bytes":471,"query":false,"body":false,"response_type":"application/ocsp-response"}}"#, "fail"),
    Example::new("data that is answered as if it were OCSP", r#"{"request":{"layer":"wire","dir":"out","method":"POST","url":"http://shop.test/ocsp","host":"shop.test","path":"/ocsp","status":200,"request_bytes":0,"response_bytes":1000,"query":false,"body":true,"request_type":"application/json","response_type":"application/ocsp-response"}}"#, "fail"),
    Example::new("an issuer's certificate that was known", r#"{"request":{"layer":"wire","dir":"out","method":"GET","url":"http://shop.test/ca.p7c","host":"shop.test","path":"/ca.p7c","status":304,"request_bytes":0,"response_bytes":90,"query":false,"body":false,"telling":false,"response_body":0}}"#, "pass"),
    Example::new("the same, asked with a header field of its own", r#"{"request":{"layer":"wire","dir":"out","method":"GET","url":"http://shop.test/ca.p7c","host":"shop.test","path":"/ca.p7c","status":304,"request_bytes":0,"response_bytes":90,"query":false,"body":false,"telling":true,"response_body":0}}"#, "fail"),
    Example::new("a signed image, declared as checked", SIGNED_IMAGE, "pass").declared(CHECKED),
    Example::new("the same, and only the manifest is checked", SIGNED_IMAGE, "fail").declared(MANIFEST_CHECKED),
    Example::new(
        "data sent to where a signed image is fetched",
        r#"{"update":{"part":"payload","system":"android-ota","layer":"wire","by":"magic","host":"shop.test","path":"/u.zip","signature":"pkcs7-footer"}}
           {"request":{"layer":"wire","dir":"out","method":"POST","url":"http://shop.test/u.zip","host":"shop.test","path":"/u.zip","status":200,"request_bytes":0,"response_bytes":1000,"query":false,"body":true}}"#,
        "fail",
    )
    .declared(CHECKED),
    Example::new(
        "a second image under the same path, without a signature",
        r#"{"update":{"part":"payload","system":"android-ota","layer":"wire","by":"magic","host":"shop.test","path":"/u.zip","signature":"pkcs7-footer"}}
           {"update":{"part":"payload","system":"android-ota","layer":"wire","by":"magic","host":"shop.test","path":"/u.zip"}}
           {"request":{"layer":"wire","dir":"out","method":"GET","url":"http://shop.test/u.zip","host":"shop.test","path":"/u.zip","status":200,"request_bytes":0,"response_bytes":1000,"query":false,"body":false}}"#,
        "fail",
    )
    .declared(CHECKED),
    Example::new("the same, where TLS is declared", SIGNED_IMAGE, "fail").declared(OVER_TLS),
    Example::new(
        "something else under the same path",
        r#"{"update":{"part":"payload","system":"android-ota","layer":"wire","by":"magic","host":"shop.test","path":"/u.zip","signature":"pkcs7-footer"}}
           {"request":{"layer":"wire","dir":"out","method":"GET","url":"http://shop.test/u.zip","host":"shop.test","path":"/u.zip","status":200,"request_bytes":0,"response_bytes":1000,"query":false,"body":false}}
           {"request":{"layer":"wire","dir":"out","method":"GET","url":"http://shop.test/u.zip","host":"shop.test","path":"/u.zip","status":200,"request_bytes":0,"response_bytes":50,"query":false,"body":false}}"#,
        "fail",
    )
    .declared(CHECKED),
    Example::new(
        "a part of the image",
        r#"{"update":{"part":"payload","system":"android-ota","layer":"wire","by":"magic","host":"shop.test","path":"/u.zip","signature":"pkcs7-footer"}}
           {"request":{"layer":"wire","dir":"out","method":"GET","url":"http://shop.test/u.zip","host":"shop.test","path":"/u.zip","status":200,"request_bytes":0,"response_bytes":1000,"query":false,"body":false}}
           {"request":{"layer":"wire","dir":"out","method":"GET","url":"http://shop.test/u.zip","host":"shop.test","path":"/u.zip","status":206,"request_bytes":0,"response_bytes":500,"query":false,"body":false}}"#,
        "pass",
    )
    .declared(CHECKED),
    Example::new("only TLS", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":0,"encrypted":200,"unparsed":0},"end":"fin","from_start":true}}"#, "pass"),
    Example::new(
        "bytes are missing",
        r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[50,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#,
        "inconclusive missed-bytes",
    ),
    Example::new(
        "bytes that TLS gave up on",
        r#"{"unparsed":{"what":"tls","reason":"broken","bytes":40}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":100,"encrypted":60,"unparsed":40},"end":"fin","from_start":true}}"#,
        "inconclusive unparsed",
    ),
    Example::new(
        "bytes nobody knows, searched as they are",
        r#"{"unparsed":{"what":"unknown","reason":"unknown","bytes":40}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":100,"encrypted":60,"unparsed":40},"end":"fin","from_start":true}}"#,
        "pass",
    ),
    Example::new(
        "HTTP/2 in clear",
        r#"{"unparsed":{"what":"http2","reason":"not-built","bytes":40}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:80","community_id":"","app":"http2","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":0,"encrypted":0,"unparsed":200},"end":"fin","from_start":true}}"#,
        "fail",
    ),
    Example::new(
        "HTTP/2 under TLS that was opened",
        r#"{"unparsed":{"what":"http2","reason":"not-built","bytes":40,"layer":"decrypted"}}
           {"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":100,"encrypted":60,"unparsed":40},"end":"fin","from_start":true}}"#,
        "pass",
    ),
    Example::new("no traffic", "", "not-tested not-exercised"),
];
