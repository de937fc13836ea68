//! What the device trusts: the same certificates as a PEM bundle, as the directory OpenSSL looks into, and as the key store of Java.

use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{Fault, pem};

/// A trust store on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Takes the place of /etc/ssl/certs.
    pub dir: PathBuf,
    /// All certificates in one file, the lab's public root first.
    pub bundle: PathBuf,
    /// The same for Java, where Debian's JDKs look for it below `dir`.
    pub java: PathBuf,
}

impl Store {
    /// Writes a new store into `dir`, which must not exist yet.
    pub fn write(dir: &Path, anchors: &[CertificateDer<'_>]) -> Result<Self, Fault> {
        let what = || format!("writing the trust store {}", dir.display());
        fs::create_dir_all(dir).map_err(Fault::odd(what()))?;
        let bundle = dir.join("ca-certificates.crt");
        let text: String = anchors.iter().map(|anchor| pem::certificate(anchor)).collect();
        fs::write(&bundle, text).map_err(Fault::odd(what()))?;
        for anchor in anchors {
            let Some(hash) = subject_hash(anchor) else { continue };
            for number in 0..16 {
                let path = dir.join(format!("{hash:08x}.{number}"));
                if !path.exists() {
                    fs::write(path, pem::certificate(anchor)).map_err(Fault::odd(what()))?;
                    break;
                }
            }
        }
        let java = dir.join("java/cacerts");
        fs::create_dir_all(dir.join("java")).and_then(|()| fs::write(&java, java_key_store(anchors))).map_err(Fault::odd(what()))?;
        Ok(Self { dir: dir.to_owned(), bundle, java })
    }
}

/// Java's own format of a trust store, which every Java reads (sun.security.provider.JavaKeyStore): a head, then of each certificate a tag,
/// a name, a date and the certificate, and at the end a SHA-1 over the password, a well-known phrase and all that precedes.
fn java_key_store(anchors: &[CertificateDer<'_>]) -> Vec<u8> {
    let mut out = Vec::from(0xfeed_feed_u32.to_be_bytes());
    out.extend(2u32.to_be_bytes());
    out.extend((anchors.len() as u32).to_be_bytes());
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend((text.len() as u16).to_be_bytes());
        out.extend(text.as_bytes());
    };
    for (number, anchor) in anchors.iter().enumerate() {
        out.extend(2u32.to_be_bytes());
        text(&mut out, &format!("anchor-{number}"));
        out.extend(0u64.to_be_bytes());
        text(&mut out, "X.509");
        out.extend((anchor.len() as u32).to_be_bytes());
        out.extend(anchor.as_ref());
    }
    let mut sealed: Vec<u8> = JAVA_PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect();
    sealed.extend(b"Mighty Aphrodite");
    sealed.extend(&out);
    out.extend(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &sealed).as_ref());
    out
}

/// What the key stores of all Javas are sealed with.
const JAVA_PASSWORD: &str = "changeit";

/// The file name `openssl rehash` gives a certificate: the first four bytes, little endian, of the SHA-1 of the subject's
/// canonical form (x_name.c of OpenSSL: every text as UTF8String, lower case, spaces collapsed; the RDNs without the outer SEQUENCE).
fn subject_hash(der: &[u8]) -> Option<u32> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let mut canonical = Vec::new();
    for rdn in certificate.subject().iter() {
        let mut set = Vec::new();
        for attribute in rdn.iter() {
            let value = match attribute.as_str() {
                Ok(text) => tlv(0x0c, text.split_ascii_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase().as_bytes())?,
                Err(_) => return None,
            };
            let mut pair = tlv(0x06, attribute.attr_type().as_bytes())?;
            pair.extend(value);
            set.extend(tlv(0x30, &pair)?);
        }
        canonical.extend(tlv(0x31, &set)?);
    }
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &canonical);
    let &[a, b, c, d, ..] = digest.as_ref() else { return None };
    Some(u32::from_le_bytes([a, b, c, d]))
}

fn tlv(tag: u8, content: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![tag];
    match content.len() {
        length @ 0..128 => out.push(length as u8),
        length @ 128..256 => out.extend([0x81, length as u8]),
        length => {
            out.push(0x82);
            out.extend(u16::try_from(length).ok()?.to_be_bytes());
        }
    }
    out.extend(content);
    Some(out)
}
