//! The campaign's authority: made or loaded, kept as `ca.pem` and `ca.key`, exported in the forms devices want.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use md5::{Digest as _, Md5};
use policies::Time;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::cert::{COMMON_NAME, CRL_SIGN, DIGITAL_SIGNATURE, KEY_CERT_SIGN, Name, ORGANIZATION, Template};
use super::key::{Key, KeyKind};
use crate::error::Error;

/// How long a campaign's authority lives unless told otherwise: long enough for a test series, short enough to forget.
pub const LIFETIME: Duration = Duration::from_secs(30 * DAY);
/// Authorities begin this long before they are made, so that an expired leaf can lie wholly inside their life and a device whose
/// clock is behind still accepts them.
pub const BACKDATED: Duration = Duration::from_secs(100 * DAY);
const DAY: u64 = 86_400;

/// A certificate that signs others, and its key.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its subject, DER: the issuer field of what it signs.
    pub subject: Vec<u8>,
    pub key: Arc<Key>,
    pub certificate: CertificateDer<'static>,
}

/// The authority of one campaign: a root that the device may be told to trust, and the intermediate that signs its leaves.
#[derive(Debug)]
pub struct Authority {
    pub root: Issuer,
    pub intermediate: Issuer,
    pub not_before: Time,
    pub not_after: Time,
}

impl Authority {
    /// A new authority. `label` stands in its subject, so that an operator can tell it on a device.
    pub fn make(label: &str, now: Time, lifetime: Duration) -> Result<Authority, Error> {
        let key = Key::fresh(KeyKind::P256)?;
        let (not_before, not_after) = (now.minus(BACKDATED), now.plus(lifetime));
        let subject = Name(vec![(ORGANIZATION, "Overhear test authority".to_owned()), (COMMON_NAME, format!("Overhear root {label}"))]);
        let template = Template { subject: subject.der(), ..authority_template(not_before, not_after)? };
        let certificate = template.signed(&key, &template.subject, &key)?;
        let root = Issuer { subject: template.subject, key: Arc::new(key), certificate: certificate.into() };
        Authority::with_root(root, label, not_before, not_after)
    }

    fn with_root(root: Issuer, label: &str, not_before: Time, not_after: Time) -> Result<Authority, Error> {
        let intermediate = root.authorise(&format!("Overhear issuing {label}"), not_before, not_after, true)?;
        Ok(Authority { root, intermediate, not_before, not_after })
    }

    /// The authority kept in `dir`, or a new one, which is then kept there (`ca.key` readable by its owner only).
    pub fn load_or_make(dir: &Path, now: Time, lifetime: Duration) -> Result<Authority, Error> {
        let (pem, key) = (dir.join("ca.pem"), dir.join("ca.key"));
        if pem.exists() || key.exists() {
            return Authority::load(&pem, &key, now);
        }
        let authority = Authority::make(&short_label()?, now, lifetime)?;
        fs::create_dir_all(dir).map_err(|e| Error::File { path: dir.to_owned(), what: e.to_string() })?;
        write(&key, pem_text("PRIVATE KEY", authority.root.key.pkcs8()).as_bytes(), 0o600)?;
        write(&pem, authority.pem().as_bytes(), 0o644)?;
        Ok(authority)
    }

    /// Reads a root and its key; refuses what could not sign for a device today.
    pub fn load(pem: &Path, key: &Path, now: Time) -> Result<Authority, Error> {
        let bad = |path: &Path, what: &str| Error::File { path: path.to_owned(), what: what.to_owned() };
        let text = fs::read(key).map_err(|e| bad(key, &e.to_string()))?;
        let mode = fs::metadata(key).map_err(|e| bad(key, &e.to_string()))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(bad(key, "readable by others than its owner; make it private first (chmod 600)"));
        }
        let PrivateKeyDer::Pkcs8(pkcs8) = PrivateKeyDer::from_pem_slice(&text).map_err(|_| bad(key, "no private key in PEM"))? else {
            return Err(bad(key, "not PKCS#8 (convert with: openssl pkcs8 -topk8 -nocrypt)"));
        };
        let signing = Key::from_pkcs8(pkcs8.secret_pkcs8_der().to_vec()).map_err(|e| bad(key, &e.to_string()))?;
        let text = fs::read(pem).map_err(|e| bad(pem, &e.to_string()))?;
        let certificate = CertificateDer::from_pem_slice(&text).map_err(|_| bad(pem, "no certificate in PEM"))?;
        let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_| bad(pem, "not an X.509 certificate"))?;
        if parsed.public_key().raw != signing.spki() {
            return Err(bad(pem, "does not belong to ca.key"));
        }
        if !parsed.basic_constraints().ok().flatten().is_some_and(|b| b.value.ca) {
            return Err(bad(pem, "not an authority (basicConstraints lacks cA)"));
        }
        let not_before = Time::from_secs(parsed.validity().not_before.timestamp());
        let not_after = Time::from_secs(parsed.validity().not_after.timestamp());
        if now > not_after || now < not_before {
            return Err(bad(pem, "not valid today; make a new one (remove ca.pem and ca.key, or overhear ca)"));
        }
        let subject = parsed.subject().as_raw().to_vec();
        let root = Issuer { subject, key: Arc::new(signing), certificate: certificate.clone().into_owned() };
        Authority::with_root(root, &short_label()?, not_before, not_after)
    }

    /// The root, PEM.
    pub fn pem(&self) -> String {
        pem_text("CERTIFICATE", &self.root.certificate)
    }

    /// The root, DER.
    pub fn der(&self) -> &[u8] {
        &self.root.certificate
    }

    /// The file name Android's system store wants: OpenSSL's old subject hash, `.0`.
    pub fn android_name(&self) -> String {
        let digest = Md5::digest(&self.root.subject);
        let hash = digest.iter().take(4).rev().fold(0u32, |hash, b| hash << 8 | u32::from(*b));
        format!("{hash:08x}.0")
    }

    /// `base64(SHA-256(SPKI))` of the root.
    pub fn pin(&self) -> String {
        self.root.key.pin()
    }
}

impl Issuer {
    /// An issuer under this one, of its own name and key; `ca` is what its basicConstraints say.
    pub fn authorise(&self, cn: &str, not_before: Time, not_after: Time, ca: bool) -> Result<Issuer, Error> {
        let subject = Name(vec![(ORGANIZATION, "Overhear test authority".to_owned()), (COMMON_NAME, cn.to_owned())]);
        self.issue(Template { subject: subject.der(), ca: Some(ca), ..authority_template(not_before, not_after)? })
    }

    fn issue(&self, template: Template) -> Result<Issuer, Error> {
        let key = Key::fresh(KeyKind::P256)?;
        let certificate = template.signed(&key, &self.subject, &self.key)?;
        Ok(Issuer { subject: template.subject, key: Arc::new(key), certificate: certificate.into() })
    }
}

/// An issuer that says it is `called` so (DER) and stands under the authority of this name (DER) and key identifier, and was signed by nobody known.
pub fn impostor(of: &[u8], issuer_id: Option<Vec<u8>>, called: Vec<u8>, not_before: Time, not_after: Time) -> Result<Issuer, Error> {
    let nobody =
        Issuer { subject: of.to_owned(), key: Arc::new(Key::fresh(KeyKind::P256)?), certificate: CertificateDer::from(Vec::new()) };
    nobody.issue(Template { subject: called, issuer_id, ..authority_template(not_before, not_after)? })
}

/// 16 random bytes, positive and without a leading zero (RFC 5280 §4.1.2.2 allows 20 octets).
pub fn serial() -> Result<Vec<u8>, Error> {
    let mut out = vec![0; 16];
    rand::fill(&mut out).map_err(|_| Error::Crypto("random bytes"))?;
    if let Some(first) = out.first_mut() {
        *first = *first & 0x3f | 0x40;
    }
    Ok(out)
}

fn authority_template(not_before: Time, not_after: Time) -> Result<Template, Error> {
    Ok(Template {
        serial: serial()?,
        subject: Vec::new(),
        not_before,
        not_after,
        ca: Some(true),
        key_usage: DIGITAL_SIGNATURE | KEY_CERT_SIGN | CRL_SIGN,
        purposes: Vec::new(),
        names: Vec::new(),
        unknown_critical: false,
        issuer_id: None,
    })
}

/// Six hex digits: enough to tell campaigns apart on a device's list.
pub fn short_label() -> Result<String, Error> {
    let mut bytes = [0; 3];
    rand::fill(&mut bytes).map_err(|_| Error::Crypto("random bytes"))?;
    Ok(analyzers::encode::hex(&bytes))
}

/// RFC 7468.
pub fn pem_text(label: &str, der: &[u8]) -> String {
    let mut out = format!("-----BEGIN {label}-----\n");
    let text = analyzers::encode::base64(der);
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
    out
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let bad = |e: std::io::Error| Error::File { path: path.to_owned(), what: e.to_string() };
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(bad)?;
    file.write_all(bytes).map_err(bad)?;
    file.sync_all().map_err(bad)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]
mod tests {
    use super::*;

    const NOW: Time = Time(1_790_000_000_000_000_000);

    #[test]
    fn kept_private_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let made = Authority::load_or_make(dir.path(), NOW, LIFETIME).unwrap();
        let found = Authority::load_or_make(dir.path(), NOW.plus(Duration::from_secs(DAY)), LIFETIME).unwrap();
        assert_eq!(made.root.certificate, found.root.certificate);
        assert_eq!(fs::metadata(dir.path().join("ca.key")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(made.pin().len(), 44);
        assert_ne!(made.intermediate.certificate, found.intermediate.certificate);
    }

    #[test]
    fn refuses_what_cannot_serve() {
        let dir = tempfile::tempdir().unwrap();
        Authority::load_or_make(dir.path(), NOW, LIFETIME).unwrap();
        let (pem, key) = (dir.path().join("ca.pem"), dir.path().join("ca.key"));
        let check = |now: Time, expect: &str| match Authority::load(&pem, &key, now) {
            Ok(_) => panic!("loaded, expected: {expect}"),
            Err(e) => assert!(e.to_string().contains(expect), "{e}"),
        };
        check(NOW.plus(LIFETIME * 2), "not valid today");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        check(NOW, "chmod 600");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let other = tempfile::tempdir().unwrap();
        Authority::load_or_make(other.path(), NOW, LIFETIME).unwrap();
        fs::copy(other.path().join("ca.pem"), &pem).unwrap();
        check(NOW, "does not belong");
        fs::write(&pem, "junk").unwrap();
        check(NOW, "no certificate");
    }

    #[test]
    fn android_name_is_the_old_subject_hash() {
        let dir = tempfile::tempdir().unwrap();
        let made = Authority::load_or_make(dir.path(), NOW, LIFETIME).unwrap();
        let said = std::process::Command::new("openssl")
            .args(["x509", "-subject_hash_old", "-noout", "-in"])
            .arg(dir.path().join("ca.pem"))
            .output();
        let Ok(said) = said else {
            println!("skipped: no openssl");
            return;
        };
        assert_eq!(made.android_name(), format!("{}.0", String::from_utf8(said.stdout).unwrap().trim()));
    }
}
