//! Private keys: made, kept as PKCS#8, and used to sign certificates.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;

use super::der;
use crate::error::Error;

/// What a leaf's key is: the upstream server's kind is mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    P256,
    Rsa2048,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// A key pair of ours.
pub struct Key {
    kind: KeyKind,
    pkcs8: Vec<u8>,
    spki: Vec<u8>,
    pair: Pair,
    rustls: OnceLock<Arc<dyn SigningKey>>,
}

impl Key {
    /// A fresh key. P-256 takes some 15 µs, RSA-2048 some 70 ms.
    pub fn fresh(kind: KeyKind) -> Result<Key, Error> {
        let pkcs8 = match kind {
            KeyKind::P256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| Error::Crypto("P-256 key"))?;
                pair.to_pkcs8v1().map_err(|_| Error::Crypto("P-256 key"))?.as_ref().to_vec()
            }
            KeyKind::Rsa2048 => {
                let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).map_err(|_| Error::Crypto("RSA key"))?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| Error::Crypto("RSA key"))?;
                der.as_ref().to_vec()
            }
        };
        Key::from_pkcs8(pkcs8)
    }

    /// Reads an unencrypted PKCS#8 key: P-256 or RSA.
    pub fn from_pkcs8(pkcs8: Vec<u8>) -> Result<Key, Error> {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8) {
            let algorithm = der::seq(&[&der::oid(&[1, 2, 840, 10045, 2, 1]), &der::oid(&[1, 2, 840, 10045, 3, 1, 7])]);
            let spki = der::seq(&[&algorithm, &der::bits(pair.public_key().as_ref())]);
            return Ok(Key { kind: KeyKind::P256, pkcs8, spki, pair: Pair::Ec(pair), rustls: OnceLock::new() });
        }
        let pair = RsaKeyPair::from_pkcs8(&pkcs8).map_err(|_| Error::Key("neither a P-256 nor an RSA key in PKCS#8"))?;
        let algorithm = der::seq(&[&der::oid(&[1, 2, 840, 113_549, 1, 1, 1]), &der::tlv(der::NULL, &[])]);
        let spki = der::seq(&[&algorithm, &der::bits(pair.public_key().as_ref())]);
        Ok(Key { kind: KeyKind::Rsa2048, pkcs8, spki, pair: Pair::Rsa(pair), rustls: OnceLock::new() })
    }

    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The unencrypted private key. Secret.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// SubjectPublicKeyInfo, DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// `base64(SHA-256(SPKI))`, the form pins are written in (RFC 7469 §2.4).
    pub fn pin(&self) -> String {
        analyzers::encode::base64(&analyzers::encode::sha256(&self.spki))
    }

    /// SHA-1 of the public key bits: method 1 of RFC 5280 §4.2.1.2.
    pub fn key_id(&self) -> Vec<u8> {
        let public: &[u8] = match &self.pair {
            Pair::Ec(pair) => pair.public_key().as_ref(),
            Pair::Rsa(pair) => pair.public_key().as_ref(),
        };
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, public).as_ref().to_vec()
    }

    /// The AlgorithmIdentifier that [`Key::sign`] signs with, DER.
    pub fn algorithm(&self) -> Vec<u8> {
        match self.kind {
            KeyKind::P256 => der::seq(&[&der::oid(&[1, 2, 840, 10045, 4, 3, 2])]),
            KeyKind::Rsa2048 => der::seq(&[&der::oid(&[1, 2, 840, 113_549, 1, 1, 11]), &der::tlv(der::NULL, &[])]),
        }
    }

    /// ECDSA or RSA PKCS#1 v1.5, both with SHA-256.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let rng = SystemRandom::new();
        match &self.pair {
            Pair::Ec(pair) => pair.sign(&rng, message).map(|s| s.as_ref().to_vec()).map_err(|_| Error::Crypto("ECDSA signature")),
            Pair::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &rng, message, &mut out).map_err(|_| Error::Crypto("RSA signature"))?;
                Ok(out)
            }
        }
    }

    /// ECDSA with SHA-1, as TLS before 1.2 has it (RFC 8422 §5.4): 160 bits are signed as a number, so zeros before them change nothing.
    pub fn sign_sha1(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        use aws_lc_rs::digest::{Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
        let Pair::Ec(pair) = &self.pair else { return Err(Error::Key("no P-256 key")) };
        let broken = |_| Error::Crypto("ECDSA signature");
        let mut padded = vec![0; 12];
        padded.extend_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, message).as_ref());
        let digest = Digest::import_less_safe(&padded, &SHA256).map_err(broken)?;
        Ok(pair.sign_digest(&digest).map_err(broken)?.as_ref().to_vec())
    }

    /// The same key for rustls, read once.
    pub fn for_rustls(&self) -> Result<Arc<dyn SigningKey>, Error> {
        if let Some(key) = self.rustls.get() {
            return Ok(key.clone());
        }
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.clone()));
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).map_err(Error::Tls)?;
        Ok(self.rustls.get_or_init(|| key).clone())
    }
}

impl fmt::Debug for Key {
    /// Never shows the private half.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?}, pin {})", self.kind, self.pin())
    }
}
