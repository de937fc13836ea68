//! Handshake defects that need no chain: a signature over the wrong bytes, and a random that cries *downgrade*.

use std::sync::Arc;

use rustls::crypto::{GetRandomFailed, SecureRandom};
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

/// A key whose handshake signatures are well formed but made over altered bytes: one zero byte is appended to what should be signed.
///
/// In TLS 1.2 rustls signs the ServerKeyExchange with it, in TLS 1.3 the CertificateVerify, and nothing else.
#[derive(Debug)]
pub struct Astray(pub Arc<dyn SigningKey>);

impl SigningKey for Astray {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(AstraySigner(self.0.choose_scheme(offered)?)))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

#[derive(Debug)]
struct AstraySigner(Box<dyn Signer>);

impl Signer for AstraySigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let mut altered = message.to_vec();
        altered.push(0);
        self.0.sign(&altered)
    }

    fn scheme(&self) -> SignatureScheme {
        self.0.scheme()
    }
}

/// The last eight bytes of a ServerHello random by which a server that knows TLS 1.3 marks a TLS 1.2 answer (RFC 8446 §4.1.3).
pub const MARKER_12: [u8; 8] = *b"DOWNGRD\x01";

/// Real randomness, with the marker written over the end of every 32-byte draw.
///
/// For a TLS 1.2-only server without session store and tickets the one 32-byte draw is the ServerHello random; a test holds this.
#[derive(Debug)]
pub struct Marked;

impl SecureRandom for Marked {
    fn fill(&self, buf: &mut [u8]) -> Result<(), GetRandomFailed> {
        aws_lc_rs::rand::fill(buf).map_err(|_| GetRandomFailed)?;
        if buf.len() == 32
            && let Some(end) = buf.last_chunk_mut::<8>()
        {
            *end = MARKER_12;
        }
        Ok(())
    }
}

/// The only instance: rustls wants a static one.
pub static MARKED: Marked = Marked;
