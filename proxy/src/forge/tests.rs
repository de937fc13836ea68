//! Every chain defect: differs from the control in exactly the named fields; OpenSSL and rustls see just that flaw.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use policies::{Defect, Time};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::ca::{Authority, LIFETIME, pem_text};
use super::cert::San;
use super::key::KeyKind;
use super::mint::{Chain, Leaf, Mint, Mirror, covers};

/// Close to the real date, because the openssl command compares with the machine's clock unless told otherwise.
pub(crate) const NOW: Time = Time(1_790_000_000_000_000_000);
pub(crate) const HOST: &str = "shop.test";

/// An origin's authority, its chain for HOST, and a mint that mirrors it.
pub(crate) struct World {
    pub(crate) origin: Authority,
    pub(crate) mint: Mint,
    pub(crate) mirror: Mirror,
}

pub(crate) fn world(key: KeyKind) -> World {
    let origin = Authority::make("origin", NOW, LIFETIME).unwrap();
    let real = Mint::new(origin, NOW).unwrap();
    let names = vec![San::Dns("www.shop.test".to_owned()), San::Dns(HOST.to_owned())];
    let chain = real.control(&Mirror { key, names: names.clone(), ..Mirror::bare(HOST) }, Leaf::First, NOW).unwrap();
    let mint = Mint::new(Authority::make("lab", NOW, LIFETIME).unwrap(), NOW).unwrap();
    let mirror = Mirror { host: HOST.to_owned(), key, names, chain: chain.certificates.clone() };
    World { origin: real.into_authority(), mint, mirror }
}

/// A certificate as field → value, one entry for each thing that a verifier could look at.
fn fields(certificate: &CertificateDer<'_>) -> BTreeMap<String, String> {
    let (rest, x) = X509Certificate::from_der(certificate).unwrap();
    assert!(rest.is_empty());
    let mut out = BTreeMap::new();
    let mut put = |k: &str, v: String| assert!(out.insert(k.to_owned(), v).is_none(), "{k} twice");
    put("version", format!("{:?}", x.version()));
    put("serial", x.raw_serial_as_string());
    put("algorithm", format!("{:?} {:?}", x.signature_algorithm, x.tbs_certificate.signature));
    put("issuer", x.issuer().to_string());
    put("subject", x.subject().to_string());
    put("not_before", x.validity().not_before.to_string());
    put("not_after", x.validity().not_after.to_string());
    put("key", analyzers::encode::hex(x.public_key().raw));
    put("signature", analyzers::encode::hex(&x.signature_value.data));
    for e in x.extensions() {
        put(&format!("ext {}", e.oid.to_id_string()), format!("{} {}", e.critical, analyzers::encode::hex(e.value)));
    }
    out
}

/// The names of the fields in which two certificates differ.
fn differ(a: &CertificateDer<'_>, b: &CertificateDer<'_>) -> Vec<String> {
    let (a, b) = (fields(a), fields(b));
    let mut out: Vec<String> = a.keys().chain(b.keys()).filter(|k| a.get(*k) != b.get(*k)).cloned().collect();
    out.sort();
    out.dedup();
    out
}

const SAN: &str = "ext 2.5.29.17";
const EKU: &str = "ext 2.5.29.37";
const BASIC: &str = "ext 2.5.29.19";
const SKI: &str = "ext 2.5.29.14";
const AKI: &str = "ext 2.5.29.35";
const UNKNOWN: &str = "ext 1.3.6.1.4.1.32473.1";

/// What is wrong with a chain, and what that must come to.
struct Row {
    defect: Defect,
    /// The leaf's fields that differ from the control's; serial and signature always may. `None`: it is compared with another leaf.
    differs: Option<&'static [&'static str]>,
    /// Why webpki refuses it.
    webpki: fn(&CertificateError) -> bool,
    /// Numbers of X509_V_ERR_* (openssl/x509_vfy.h), one of which `openssl verify` gives; 0 where it accepts.
    openssl: &'static [u32],
}

/// One row for each defect that lies in a chain.
fn rows() -> Vec<Row> {
    use CertificateError as E;
    let row = |defect, differs, webpki, openssl| Row { defect, differs: Some(differs), webpki, openssl };
    // 24: invalid CA, 79: invalid CA certificate, 32: key usage does not include signing.
    vec![
        row(Defect::SelfSigned, &["issuer", "key", SKI, AKI], |e| matches!(e, E::UnknownIssuer), &[18]),
        // 19: self-signed in chain, 20: no local issuer.
        row(Defect::UntrustedCa, &["issuer", AKI], |e| matches!(e, E::UnknownIssuer), &[20]),
        row(Defect::UntrustedCaWithRoot, &["issuer", AKI], |e| matches!(e, E::UnknownIssuer), &[19]),
        row(Defect::UntrustedCaLeafAlone, &["issuer", AKI], |e| matches!(e, E::UnknownIssuer), &[20, 21]),
        row(Defect::UntrustedCaLookalike, &["issuer", AKI], |e| matches!(e, E::BadSignature | E::UnknownIssuer), &[7, 20]),
        Row { defect: Defect::ReplacedKey, differs: None, webpki: |e| matches!(e, E::BadSignature), openssl: &[7] },
        row(Defect::SignatureCorrupt, &[], |e| matches!(e, E::BadSignature), &[7]),
        row(Defect::HostnameMismatch, &["subject", SAN], |e| matches!(e, E::NotValidForNameContext { .. }), &[62]),
        // OpenSSL falls back to the common name when no subjectAltName is there: it accepts, which is what the attack asks about.
        row(Defect::HostnameCnOnly, &[SAN], |e| matches!(e, E::NotValidForNameContext { .. }), &[0]),
        row(Defect::Expired, &["not_before", "not_after"], |e| matches!(e, E::ExpiredContext { .. }), &[10]),
        row(Defect::NotYetValid, &["not_before", "not_after"], |e| matches!(e, E::NotValidYetContext { .. }), &[9]),
        row(Defect::EkuClientOnly, &[EKU], |e| matches!(e, E::InvalidPurposeContext { .. }), &[26]),
        row(Defect::IntermediateCaFalse, &["issuer", AKI], |e| format!("{e:?}").contains("EndEntityUsedAsCa"), &[24, 79]),
        row(Defect::LeafAsIssuer, &["issuer", AKI], |e| format!("{e:?}").contains("EndEntityUsedAsCa"), &[24, 79, 32, 20]),
        row(
            Defect::UnknownCriticalExtension,
            &[UNKNOWN],
            |e| matches!(e, E::UnhandledCriticalExtension) || format!("{e:?}").contains("UnsupportedCriticalExtension"),
            &[34],
        ),
    ]
}

#[test]
fn one_difference_each() {
    for key in [KeyKind::P256, KeyKind::Rsa2048] {
        let w = world(key);
        let control = w.mint.control(&w.mirror, Leaf::First, NOW).unwrap();
        assert_eq!(control.certificates.len(), 2);
        for (defect, expect) in rows().into_iter().filter_map(|row| Some((row.defect, row.differs?))) {
            let forged = w.mint.forged(&w.mirror, &defect, NOW).unwrap();
            let mut got = differ(&control.certificates[0], &forged.certificates[0]);
            got.retain(|f| f != "serial" && f != "signature");
            let mut expect: Vec<String> = expect.iter().map(|s| (*s).to_owned()).collect();
            if defect == Defect::SelfSigned && key == KeyKind::Rsa2048 {
                expect.push("algorithm".to_owned());
            }
            expect.sort();
            assert_eq!(got, expect, "{key:?} {defect:?}");
        }
    }
}

#[test]
fn what_differs_can_be_read() {
    let w = world(KeyKind::P256);
    let read = |chain: &Chain| {
        let leaf = analyzers::dissect::tls::certificate::read(&chain.certificates[0], &analyzers::text::Bare);
        [leaf.purposes, leaf.critical].map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    };
    let forged = |defect| read(&w.mint.forged(&w.mirror, &defect, NOW).unwrap());
    assert_eq!(read(&w.mint.control(&w.mirror, Leaf::First, NOW).unwrap()), ["server", ""]);
    assert_eq!(forged(Defect::EkuClientOnly), ["client", ""]);
    assert_eq!(forged(Defect::UnknownCriticalExtension), ["server", "1.3.6.1.4.1.32473.1"]);
}

#[test]
fn issuers_differ_in_name_key_and_flaw_only() {
    let w = world(KeyKind::P256);
    let control = w.mint.control(&w.mirror, Leaf::First, NOW).unwrap();
    let check = |defect: Defect, expect: &[&str]| {
        let forged = w.mint.forged(&w.mirror, &defect, NOW).unwrap();
        let mut got = differ(&control.certificates[1], &forged.certificates[1]);
        got.retain(|f| !["serial", "signature", "subject", "key", SKI].contains(&f.as_str()));
        assert_eq!(got, expect, "{defect:?}");
    };
    check(Defect::IntermediateCaFalse, &[BASIC]);
    check(Defect::UntrustedCa, &[AKI, "issuer"]);
    // Not under the lab's root, but in the name of the origin's.
    check(Defect::UntrustedCaLookalike, &[AKI, "issuer"]);
    let forged = w.mint.forged(&w.mirror, &Defect::UntrustedCaLookalike, NOW).unwrap();
    let mut got = differ(&w.origin.intermediate.certificate, &forged.certificates[1]);
    got.retain(|f| !["serial", "signature", "subject", "key", SKI].contains(&f.as_str()));
    assert_eq!(got, [""; 0], "its issuer's name and key identifier are the origin's");
    // The issuing server certificate is an ordinary leaf: compared with a leaf, it differs in name alone.
    let chain = w.mint.forged(&w.mirror, &Defect::LeafAsIssuer, NOW).unwrap();
    assert_eq!(chain.certificates.len(), 3);
    let mut got = differ(&control.certificates[0], &chain.certificates[1]);
    got.retain(|f| f != "serial" && f != "signature");
    assert_eq!(got, [SKI, SAN, "key", "subject"]);
    assert_eq!(chain.certificates[2], control.certificates[1]);
}

#[test]
fn replaced_key_differs_from_the_real_leaf_in_its_key_alone() {
    for key in [KeyKind::P256, KeyKind::Rsa2048] {
        let w = world(key);
        let forged = w.mint.forged(&w.mirror, &Defect::ReplacedKey, NOW).unwrap();
        assert_eq!(differ(&w.mirror.chain[0], &forged.certificates[0]), ["key"]);
        assert_eq!(forged.certificates[1..], w.mirror.chain[1..]);
        let (_, leaf) = X509Certificate::from_der(&forged.certificates[0]).unwrap();
        assert_eq!(leaf.public_key().raw, forged.key.spki());
    }
    let bare = Mirror::bare(HOST);
    assert!(world(KeyKind::P256).mint.forged(&bare, &Defect::ReplacedKey, NOW).is_err());
}

#[test]
fn corrupt_signature_is_one_bit_off() {
    let w = world(KeyKind::P256);
    let forged = w.mint.forged(&w.mirror, &Defect::SignatureCorrupt, NOW).unwrap();
    let mut certificates = forged.certificates.clone();
    certificates[0] = super::cert::with_bit_turned(forged.certificates[0].to_vec()).into();
    webpki(&w, &Chain::new(certificates, forged.key.clone())).unwrap();
    assert!(webpki(&w, &forged).is_err());
}

#[test]
fn every_variant_is_placed() {
    let mint = world(KeyKind::P256).mint;
    for defect in [Defect::KxSignatureCorrupt, Defect::VerifySignatureCorrupt, Defect::UserAnchor, Defect::TlsBlocked] {
        assert!(!super::mint::in_chain(&defect));
        let mirror = Mirror::bare(HOST);
        assert_eq!(mint.forged(&mirror, &defect, NOW).unwrap().certificates, mint.control(&mirror, Leaf::First, NOW).unwrap().certificates);
    }
    let named = |defects: Vec<Defect>| defects.into_iter().map(|d| format!("{d:?}")).collect::<std::collections::BTreeSet<_>>();
    let shipped = policies::attack::catalogue().into_iter().map(|a| a.defect).filter(super::mint::in_chain).collect();
    assert_eq!(named(rows().into_iter().map(|row| row.defect).collect()), named(shipped), "each defect of a chain has its row");
}

/// What rustls (webpki) makes of a chain when the lab's root and the origin's are trusted.
fn webpki(w: &World, chain: &Chain) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(w.mint.authority().root.certificate.clone()).unwrap();
    roots.add(w.origin.root.certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_nanos(NOW.0.unsigned_abs()));
    let (leaf, rest) = chain.certificates.split_first().unwrap();
    verifier.verify_server_cert(leaf, rest, &ServerName::try_from(HOST).unwrap(), &[], now).map(|_| ())
}

#[test]
fn rustls_refuses_each_for_its_reason() {
    for key in [KeyKind::P256, KeyKind::Rsa2048] {
        let w = world(key);
        webpki(&w, &w.mint.control(&w.mirror, Leaf::First, NOW).unwrap()).unwrap();
        for Row { defect, webpki: refused, .. } in rows() {
            match webpki(&w, &w.mint.forged(&w.mirror, &defect, NOW).unwrap()) {
                Err(rustls::Error::InvalidCertificate(e)) if refused(&e) => {}
                other => panic!("{key:?} {defect:?}: {other:?}"),
            }
        }
    }
}

/// `openssl verify` over a chain at NOW; its error number, 0 when it agrees.
fn openssl(w: &World, chain: &Chain) -> Option<u32> {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("roots"), w.mint.authority().pem() + &w.origin.pem()).unwrap();
    std::fs::write(at("leaf"), pem_text("CERTIFICATE", &chain.certificates[0])).unwrap();
    let rest: String = chain.certificates[1..].iter().map(|c| pem_text("CERTIFICATE", c)).collect();
    std::fs::write(at("rest"), rest).unwrap();
    let mut command = Command::new("openssl");
    command.args(["verify", "-purpose", "sslserver", "-verify_hostname", HOST, "-attime", &(NOW.0 / 1_000_000_000).to_string()]);
    command.arg("-CAfile").arg(at("roots"));
    if chain.certificates.len() > 1 {
        command.arg("-untrusted").arg(at("rest"));
    }
    let said = command.arg(at("leaf")).output().ok()?;
    let text = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    if said.status.success() {
        return Some(0);
    }
    let number = text.split("error ").nth(1).and_then(|t| t.split(' ').next()).and_then(|n| n.trim_end_matches(':').parse().ok());
    Some(number.unwrap_or_else(|| panic!("{text}")))
}

#[test]
fn openssl_agrees() {
    for key in [KeyKind::P256, KeyKind::Rsa2048] {
        let w = world(key);
        let Some(control) = openssl(&w, &w.mint.control(&w.mirror, Leaf::First, NOW).unwrap()) else {
            println!("skipped: no openssl");
            return;
        };
        assert_eq!(control, 0);
        for Row { defect, openssl: expect, .. } in rows() {
            let got = openssl(&w, &w.mint.forged(&w.mirror, &defect, NOW).unwrap()).unwrap();
            assert!(expect.contains(&got), "{key:?} {defect:?}: error {got}, expected one of {expect:?}");
        }
    }
}

#[test]
fn names_cover() {
    for (name, host, expect) in [
        (San::of("shop.test"), "SHOP.test", true),
        (San::of("*.shop.test"), "a.shop.test", true),
        (San::of("*.shop.test"), "a.b.shop.test", false),
        (San::of("*.shop.test"), "shop.test", false),
        (San::of("192.0.2.1"), "192.0.2.1", true),
        (San::of("::1"), "0:0:0:0:0:0:0:1", true),
        (San::of("192.0.2.1"), "192.0.2.2", false),
    ] {
        assert_eq!(covers(&name, host), expect, "{name:?} {host}");
    }
}

#[test]
fn leaves_stay_the_same_over_a_run_and_short_lived() {
    let w = world(KeyKind::P256);
    let first = w.mint.control(&w.mirror, Leaf::First, NOW).unwrap();
    let later = w.mint.control(&w.mirror, Leaf::First, NOW.plus(std::time::Duration::from_secs(3600))).unwrap();
    assert_eq!(first.certificates, later.certificates);
    let (_, leaf) = X509Certificate::from_der(&first.certificates[0]).unwrap();
    let days = (leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp()) / 86_400;
    assert!(days <= 90, "{days}");
    assert!(leaf.validity().not_after.timestamp() <= w.mint.authority().not_after.0 / 1_000_000_000);
}

#[test]
fn odd_hosts() {
    let mint = world(KeyKind::P256).mint;
    let long = "a".repeat(60) + "." + &"b".repeat(60) + ".test";
    for host in ["192.0.2.7", "2001:db8::7", "", long.as_str(), "xn--bcher-kva.test"] {
        let mirror = Mirror::bare(host);
        let chain = mint.control(&mirror, Leaf::First, NOW).unwrap();
        assert!(X509Certificate::from_der(&chain.certificates[0]).is_ok(), "{host}");
    }
    assert!(mint.forged(&Mirror::bare(&long), &Defect::HostnameCnOnly, NOW).is_err());
}
