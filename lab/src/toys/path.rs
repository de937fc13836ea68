//! A path verifier that goes on after the first problem and names all of them, so that a toy can forgive exactly one.
//!
//! Written for chains of the shapes that attacks have. Path lengths, name constraints and revocation are not looked at:
//! no flaw here turns on them, and toys without a flaw in this field use webpki.

use std::net::IpAddr;

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use rustls::SignatureScheme;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

/// Where a chain's issuers lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Public,
    Added,
}

/// One thing that is wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The leaf signed itself and came alone.
    SelfSigned,
    /// No known authority at the end.
    UnknownIssuer,
    /// The same, and the leaf came alone.
    LeafAlone,
    /// The same, and a root that nobody knows was sent along.
    UnknownRoot,
    /// The leaf's signature is not its issuer's; where the names of the issuers lead all the same.
    BadLeafSignature(Option<Anchor>),
    BadIssuerSignature,
    /// An issuer that may not issue; `server`: because it is an ordinary server's certificate.
    NotCa {
        server: bool,
    },
    WrongName,
    /// No subjectAltName at all, but the common name fits.
    NameInCommonNameOnly,
    Expired,
    NotYetValid,
    /// An issuer outside of its life.
    IssuerLife,
    WrongPurpose,
    UnknownCritical,
    Unreadable,
}

/// What a client knows of the world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchors<'a> {
    pub(crate) public: &'a [CertificateDer<'static>],
    pub(crate) added: &'a [CertificateDer<'static>],
}

/// All problems of `chain` (leaf first) for `host` at `now` (seconds since 1970).
pub(crate) fn problems(chain: &[CertificateDer<'_>], anchors: Anchors<'_>, host: &str, now: i64) -> Vec<Problem> {
    let mut found = Vec::new();
    let Some(parsed) = chain.iter().map(|der| X509Certificate::from_der(der).ok().map(|(_, cert)| cert)).collect::<Option<Vec<_>>>() else {
        return vec![Problem::Unreadable];
    };
    let Some(leaf) = parsed.first() else { return vec![Problem::Unreadable] };
    name(leaf, host, &mut found);
    if now < leaf.validity().not_before.timestamp() {
        found.push(Problem::NotYetValid);
    }
    if now > leaf.validity().not_after.timestamp() {
        found.push(Problem::Expired);
    }
    let purposes = leaf.extended_key_usage().ok().flatten();
    if purposes.is_some_and(|purposes| !purposes.value.server_auth && !purposes.value.any) {
        found.push(Problem::WrongPurpose);
    }
    if parsed.iter().any(unknown_critical) {
        found.push(Problem::UnknownCritical);
    }
    walk(&parsed, anchors, now, &mut found);
    found
}

fn walk(chain: &[X509Certificate<'_>], anchors: Anchors<'_>, now: i64, found: &mut Vec<Problem>) {
    let roots: Vec<(Anchor, X509Certificate<'_>)> = (anchors.public.iter().map(|der| (Anchor::Public, der)))
        .chain(anchors.added.iter().map(|der| (Anchor::Added, der)))
        .filter_map(|(anchor, der)| Some((anchor, X509Certificate::from_der(der).ok()?.1)))
        .collect();
    let mut leaf_signed = None;
    let mut at = 0;
    let mut steps = 0;
    let end = loop {
        let Some(cert) = chain.get(at) else { break None };
        let named: Vec<&(Anchor, X509Certificate<'_>)> = roots.iter().filter(|(_, root)| root.subject() == cert.issuer()).collect();
        if let Some(first) = named.first() {
            let signer = named.iter().find(|(_, root)| signed_by(cert, root.public_key()));
            signed(at, signer.is_some(), &mut leaf_signed, found);
            break Some(signer.unwrap_or(first).0);
        }
        let above = chain.iter().enumerate().skip(1).find(|(place, issuer)| *place != at && issuer.subject() == cert.issuer());
        let Some((place, issuer)) = above else { break None };
        steps += 1;
        if steps > chain.len() {
            break None;
        }
        signed(at, signed_by(cert, issuer.public_key()), &mut leaf_signed, found);
        let life = issuer.validity();
        if now < life.not_before.timestamp() || now > life.not_after.timestamp() {
            found.push(Problem::IssuerLife);
        }
        let may = issuer.basic_constraints().ok().flatten().is_some_and(|constraints| constraints.value.ca)
            && issuer.key_usage().ok().flatten().is_none_or(|usage| usage.value.key_cert_sign());
        if !may {
            let server = issuer.subject_alternative_name().ok().flatten().is_some();
            found.push(Problem::NotCa { server });
        }
        at = place;
    };
    if leaf_signed == Some(false) {
        found.push(Problem::BadLeafSignature(end));
    }
    if end.is_none() {
        let by_itself = |cert: &X509Certificate<'_>| cert.issuer() == cert.subject() && signed_by(cert, cert.public_key());
        found.push(match chain {
            [leaf] if by_itself(leaf) => Problem::SelfSigned,
            [_] => Problem::LeafAlone,
            chain if chain.get(at).is_some_and(by_itself) => Problem::UnknownRoot,
            _ => Problem::UnknownIssuer,
        });
    }
}

fn signed(at: usize, good: bool, leaf_signed: &mut Option<bool>, found: &mut Vec<Problem>) {
    if at == 0 {
        *leaf_signed = Some(good);
    } else if !good {
        found.push(Problem::BadIssuerSignature);
    }
}

fn name(leaf: &X509Certificate<'_>, host: &str, found: &mut Vec<Problem>) {
    let Ok(alternative) = leaf.subject_alternative_name() else {
        found.push(Problem::Unreadable);
        return;
    };
    let Some(alternative) = alternative else {
        let common = leaf.subject().iter_common_name().filter_map(|name| name.as_str().ok()).any(|name| covers(name, host));
        found.push(if common { Problem::NameInCommonNameOnly } else { Problem::WrongName });
        return;
    };
    let address = host.parse::<IpAddr>().ok();
    let fits = alternative.value.general_names.iter().any(|name| match (name, address) {
        (GeneralName::DNSName(pattern), None) => covers(pattern, host),
        (GeneralName::IPAddress(bytes), Some(IpAddr::V4(v4))) => *bytes == v4.octets(),
        (GeneralName::IPAddress(bytes), Some(IpAddr::V6(v6))) => *bytes == v6.octets(),
        _ => false,
    });
    if !fits {
        found.push(Problem::WrongName);
    }
}

/// RFC 6125 §6.4.3: a wildcard stands for one whole left-most label.
fn covers(pattern: &str, host: &str) -> bool {
    let host = host.trim_end_matches('.');
    pattern.eq_ignore_ascii_case(host)
        || pattern
            .strip_prefix("*.")
            .is_some_and(|parent| host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)))
}

fn unknown_critical(cert: &X509Certificate<'_>) -> bool {
    cert.extensions().iter().any(|extension| {
        extension.critical
            && matches!(extension.parsed_extension(), ParsedExtension::UnsupportedExtension { .. } | ParsedExtension::Unparsed)
    })
}

fn signed_by(cert: &X509Certificate<'_>, key: &SubjectPublicKeyInfo<'_>) -> bool {
    let kind = cert.signature_algorithm.algorithm.to_id_string();
    let algorithm: &dyn VerificationAlgorithm = match (kind.as_str(), curve(key)) {
        ("1.2.840.10045.4.3.2", Some(P256)) => &signature::ECDSA_P256_SHA256_ASN1,
        ("1.2.840.10045.4.3.3", Some(P256)) => &signature::ECDSA_P256_SHA384_ASN1,
        ("1.2.840.10045.4.3.2", Some(P384)) => &signature::ECDSA_P384_SHA256_ASN1,
        ("1.2.840.10045.4.3.3", Some(P384)) => &signature::ECDSA_P384_SHA384_ASN1,
        ("1.2.840.113549.1.1.11", None) => &signature::RSA_PKCS1_2048_8192_SHA256,
        ("1.2.840.113549.1.1.12", None) => &signature::RSA_PKCS1_2048_8192_SHA384,
        ("1.2.840.113549.1.1.13", None) => &signature::RSA_PKCS1_2048_8192_SHA512,
        ("1.3.101.112", None) => &signature::ED25519,
        _ => return false,
    };
    verify(algorithm, key, cert.tbs_certificate.as_ref(), &cert.signature_value.data)
}

/// Does `signature` of a handshake fit? `leaf` is the certificate whose key must have made it.
pub(crate) fn handshake_signed(leaf: &CertificateDer<'_>, scheme: SignatureScheme, message: &[u8], signed: &[u8]) -> bool {
    let Ok((_, cert)) = X509Certificate::from_der(leaf) else { return false };
    let key = cert.public_key();
    let algorithm: &dyn VerificationAlgorithm = match (scheme, curve(key)) {
        (SignatureScheme::ECDSA_NISTP256_SHA256, Some(P256)) => &signature::ECDSA_P256_SHA256_ASN1,
        (SignatureScheme::ECDSA_NISTP384_SHA384, Some(P384)) => &signature::ECDSA_P384_SHA384_ASN1,
        // TLS 1.2 binds no curve to a hash (RFC 8446 §4.2.3).
        (SignatureScheme::ECDSA_NISTP384_SHA384, Some(P256)) => &signature::ECDSA_P256_SHA384_ASN1,
        (SignatureScheme::ECDSA_NISTP256_SHA256, Some(P384)) => &signature::ECDSA_P384_SHA256_ASN1,
        (SignatureScheme::RSA_PSS_SHA256, None) => &signature::RSA_PSS_2048_8192_SHA256,
        (SignatureScheme::RSA_PSS_SHA384, None) => &signature::RSA_PSS_2048_8192_SHA384,
        (SignatureScheme::RSA_PSS_SHA512, None) => &signature::RSA_PSS_2048_8192_SHA512,
        (SignatureScheme::RSA_PKCS1_SHA256, None) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (SignatureScheme::RSA_PKCS1_SHA384, None) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (SignatureScheme::RSA_PKCS1_SHA512, None) => &signature::RSA_PKCS1_2048_8192_SHA512,
        (SignatureScheme::ED25519, None) => &signature::ED25519,
        _ => return false,
    };
    verify(algorithm, key, message, signed)
}

/// The pin of a certificate's key; empty for what is none.
pub(crate) fn pin_of(der: &CertificateDer<'_>) -> String {
    X509Certificate::from_der(der).map_or_else(|_| String::new(), |(_, cert)| crate::pem::pin(cert.public_key().raw))
}

fn verify(algorithm: &'static dyn VerificationAlgorithm, key: &SubjectPublicKeyInfo<'_>, message: &[u8], signed: &[u8]) -> bool {
    UnparsedPublicKey::new(algorithm, key.subject_public_key.data.as_ref()).verify(message, signed).is_ok()
}

/// The named curve of an EC key.
fn curve(key: &SubjectPublicKeyInfo<'_>) -> Option<&'static str> {
    let named = key.algorithm.parameters.as_ref()?.as_oid().ok()?.to_id_string();
    [P256, P384].into_iter().find(|known| *known == named)
}

const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
