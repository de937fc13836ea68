//! What rustls lacks and some devices have nothing but: AES in CBC mode with an HMAC under TLS 1.2 (RFC 5246 §6.2.3.2, RFC 8422 §6), and the
//! curve P-521. Enough to converse with such a device; nobody is protected by it.
//!
//! A suite whose MAC is SHA-384 is missing: its MAC key is longer than a key of rustls may be. So is the exchange of keys by RSA.

use std::sync::LazyLock;

use aws_lc_rs::agreement::{self, ECDH_P521, EphemeralPrivateKey, UnparsedPublicKey};
use aws_lc_rs::cipher::{AES_128, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::{constant_time, hmac};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, KeyBlockShape, MessageDecrypter, MessageEncrypter, OutboundOpaqueMessage,
    OutboundPlainMessage, PrefixedPayload, Tls12AeadAlgorithm, UnsupportedOperationError,
};
use rustls::crypto::{ActiveKeyExchange, CryptoProvider, GetRandomFailed, SharedSecret, SupportedKxGroup};
use rustls::{CipherSuite, ConnectionTrafficSecrets, Error, NamedGroup, SupportedCipherSuite, Tls12CipherSuite};

/// Suites with AEAD and ECDSA, and with AEAD and RSA, that a server of rustls has under TLS 1.2; then those with CBC.
pub const AEAD_ECDSA: [u16; 3] = [0xc02b, 0xc02c, 0xcca9];
pub const AEAD_RSA: [u16; 3] = [0xc02f, 0xc030, 0xcca8];
pub const CBC_ECDSA: [u16; 3] = [0xc023, 0xc009, 0xc00a];
pub const CBC_RSA: [u16; 3] = [0xc027, 0xc013, 0xc014];

/// What rustls has, then P-521.
pub fn usual() -> CryptoProvider {
    let mut provider = default_provider();
    provider.kx_groups.push(&P521);
    provider
}

/// The same, with suites of TLS 1.2 in CBC mode behind all others.
pub fn all() -> CryptoProvider {
    let mut provider = usual();
    provider.cipher_suites.extend(&*CBC);
    provider
}

/// Those suites alone under TLS 1.2: for a client that has no other.
pub fn old() -> CryptoProvider {
    CryptoProvider { cipher_suites: CBC.to_vec(), ..usual() }
}

static CBC: LazyLock<Vec<SupportedCipherSuite>> = LazyLock::new(|| {
    let suite = |like: &SupportedCipherSuite, suite, aead_alg: &'static Mode| {
        let SupportedCipherSuite::Tls12(like) = like else { return None };
        let mut made = Tls12CipherSuite {
            common: rustls::crypto::CipherSuiteCommon { suite, ..like.common },
            prf_provider: like.prf_provider,
            kx: like.kx,
            sign: like.sign,
            aead_alg,
        };
        made.common.confidentiality_limit = u64::MAX;
        Some(SupportedCipherSuite::Tls12(Box::leak(Box::new(made))))
    };
    // Their PRF is that of SHA-256, whatever the MAC (RFC 5246 §5).
    let (ecdsa, rsa) = (&cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, &cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
    [
        suite(ecdsa, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, &AES_128_SHA256),
        suite(rsa, CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, &AES_128_SHA256),
        suite(ecdsa, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, &AES_128_SHA),
        suite(ecdsa, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, &AES_256_SHA),
        suite(rsa, CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, &AES_128_SHA),
        suite(rsa, CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, &AES_256_SHA),
    ]
    .into_iter()
    .flatten()
    .collect()
});

/// A cipher and a MAC.
struct Mode {
    key_len: usize,
    mac: fn() -> hmac::Algorithm,
    mac_len: usize,
}

static AES_128_SHA: Mode = Mode { key_len: 16, mac: sha1, mac_len: 20 };
static AES_256_SHA: Mode = Mode { key_len: 32, mac: sha1, mac_len: 20 };
static AES_128_SHA256: Mode = Mode { key_len: 16, mac: || hmac::HMAC_SHA256, mac_len: 32 };

fn sha1() -> hmac::Algorithm {
    hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY
}

impl Mode {
    fn cipher_key(&self, key: &[u8]) -> Option<UnboundCipherKey> {
        UnboundCipherKey::new(if self.key_len == 16 { &AES_128 } else { &AES_256 }, key).ok()
    }

    fn mac_key(&self, key: &AeadKey) -> hmac::Key {
        hmac::Key::new((self.mac)(), key.as_ref())
    }
}

impl Tls12AeadAlgorithm for Mode {
    fn encrypter(&self, key: AeadKey, iv: &[u8], _: &[u8]) -> Box<dyn MessageEncrypter> {
        Box::new(Sealing {
            key: self.cipher_key(iv).and_then(|key| EncryptingKey::cbc(key).ok()),
            mac: self.mac_key(&key),
            mac_len: self.mac_len,
        })
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        Box::new(Opening {
            key: self.cipher_key(iv).and_then(|key| DecryptingKey::cbc(key).ok()),
            mac: self.mac_key(&key),
            mac_len: self.mac_len,
        })
    }

    /// The key block holds both MAC keys, then both keys of the cipher (RFC 5246 §6.3); rustls takes both keys, then both fixed parts of nonces. So
    /// the MAC key comes as the one and the cipher's as the other.
    fn key_block_shape(&self) -> KeyBlockShape {
        KeyBlockShape { enc_key_len: self.mac_len, fixed_iv_len: self.key_len, explicit_nonce_len: 0 }
    }

    fn extract_keys(&self, _: AeadKey, _: &[u8], _: &[u8]) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

const BLOCK: usize = 16;
/// RFC 5246 §6.2.1.
const LONGEST: usize = 1 << 14;

/// What the MAC is of: the record's number, type, version and length, then its text (RFC 5246 §6.2.3.1).
fn head(seq: u64, kind: u8, version: u16, len: usize) -> [u8; 13] {
    let mut head = [0; 13];
    head[..8].copy_from_slice(&seq.to_be_bytes());
    head[8] = kind;
    head[9..11].copy_from_slice(&version.to_be_bytes());
    head[11..].copy_from_slice(&(len as u16).to_be_bytes());
    head
}

struct Sealing {
    key: Option<EncryptingKey>,
    mac: hmac::Key,
    mac_len: usize,
}

impl MessageEncrypter for Sealing {
    fn encrypt(&mut self, message: OutboundPlainMessage<'_>, seq: u64) -> Result<OutboundOpaqueMessage, Error> {
        let key = self.key.as_ref().ok_or(Error::EncryptError)?;
        let mut text = Vec::with_capacity(self.encrypted_payload_len(message.payload.len()));
        message.payload.copy_to_vec(&mut text);
        let mut mac = hmac::Context::with_key(&self.mac);
        mac.update(&head(seq, message.typ.into(), message.version.into(), text.len()));
        mac.update(&text);
        text.extend_from_slice(mac.sign().as_ref());
        let padding = BLOCK - 1 - text.len() % BLOCK;
        text.resize(text.len() + padding + 1, padding as u8);
        let mut iv = [0; BLOCK];
        aws_lc_rs::rand::fill(&mut iv).map_err(|_| Error::FailedToGetRandomBytes)?;
        key.less_safe_encrypt(&mut text, EncryptionContext::Iv128(FixedLength::from(iv))).map_err(|_| Error::EncryptError)?;
        let mut payload = PrefixedPayload::with_capacity(BLOCK + text.len());
        payload.extend_from_slice(&iv);
        payload.extend_from_slice(&text);
        Ok(OutboundOpaqueMessage::new(message.typ, message.version, payload))
    }

    fn encrypted_payload_len(&self, len: usize) -> usize {
        BLOCK + (len + self.mac_len + BLOCK) / BLOCK * BLOCK
    }
}

struct Opening {
    key: Option<DecryptingKey>,
    mac: hmac::Key,
    mac_len: usize,
}

impl Opening {
    /// Where the text stands in `record`, which is decrypted in its place.
    fn open(&self, record: &mut [u8], seq: u64, kind: u8, version: u16) -> Option<std::ops::Range<usize>> {
        let (iv, sealed) = record.split_first_chunk_mut::<BLOCK>()?;
        self.key.as_ref()?.decrypt(sealed, DecryptionContext::Iv128(FixedLength::from(*iv))).ok()?;
        let padding = usize::from(*sealed.last()?);
        let end = sealed.len().checked_sub(padding + 1)?;
        sealed.get(end..)?.iter().all(|b| usize::from(*b) == padding).then_some(())?;
        let len = end.checked_sub(self.mac_len)?;
        let mut mac = hmac::Context::with_key(&self.mac);
        mac.update(&head(seq, kind, version, len));
        mac.update(sealed.get(..len)?);
        constant_time::verify_slices_are_equal(mac.sign().as_ref(), sealed.get(len..end)?).ok()?;
        Some(BLOCK..BLOCK + len)
    }
}

impl MessageDecrypter for Opening {
    fn decrypt<'a>(&mut self, mut message: InboundOpaqueMessage<'a>, seq: u64) -> Result<InboundPlainMessage<'a>, Error> {
        let (kind, version) = (message.typ.into(), message.version.into());
        let text = self.open(&mut message.payload, seq, kind, version).ok_or(Error::DecryptError)?;
        if text.len() > LONGEST {
            return Err(Error::PeerSentOversizedRecord);
        }
        Ok(message.into_plain_message_range(text))
    }
}

/// ECDH on P-521 (RFC 8422 §5.1.1, RFC 8446 §4.2.7).
#[derive(Debug)]
struct P521;

impl SupportedKxGroup for P521 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let key = EphemeralPrivateKey::generate(&ECDH_P521, &SystemRandom::new()).map_err(|_| GetRandomFailed)?;
        let public = key.compute_public_key().map_err(|_| GetRandomFailed)?.as_ref().to_vec();
        Ok(Box::new(Exchange { key, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

struct Exchange {
    key: EphemeralPrivateKey,
    public: Vec<u8>,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let wrong = Error::PeerMisbehaved(rustls::PeerMisbehaved::InvalidKeyShare);
        let peer = UnparsedPublicKey::new(&ECDH_P521, peer);
        agreement::agree_ephemeral(self.key, peer, wrong, |secret| Ok(SharedSecret::from(secret)))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

    use super::*;
    use crate::face::{Face, Faces};
    use crate::forge::tests::{HOST, NOW, world};
    use crate::forge::{KeyKind, Leaf};
    use crate::wire::NoTap;

    struct Today;

    impl rustls::time_provider::TimeProvider for Today {
        fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
            Some(rustls::pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_nanos(NOW.0.unsigned_abs())))
        }
    }

    impl std::fmt::Debug for Today {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Today")
        }
    }

    /// A client of this provider and our face, until the handshake is over or one of them ends it.
    fn meet(provider: CryptoProvider, key: KeyKind, old: bool) -> Result<(ClientConnection, ServerConnection), Error> {
        let w = world(key);
        let chain = w.mint.control(&w.mirror, Leaf::First, NOW).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(w.mint.authority().root.certificate.clone()).unwrap();
        let config = ClientConfig::builder_with_details(Arc::new(provider), Arc::new(Today))
            .with_protocol_versions(&[&rustls::version::TLS12])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let face = Face { certified: chain.certified().unwrap(), version: 0x0303, alpn: None, marked: false, old };
        let mut client = ClientConnection::new(Arc::new(config), HOST.try_into().unwrap())?;
        let mut server = ServerConnection::new(Faces::new().unwrap().config(face, Arc::new(NoTap)))?;
        while client.is_handshaking() || server.is_handshaking() {
            pass(&mut client, &mut server)?;
            pass(&mut server, &mut client)?;
        }
        Ok((client, server))
    }

    fn pass<A, B>(from: &mut rustls::ConnectionCommon<A>, to: &mut rustls::ConnectionCommon<B>) -> Result<(), Error> {
        let mut wire = Vec::new();
        while from.wants_write() {
            from.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            to.read_tls(&mut wire).unwrap();
            to.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn each_suite_carries_bytes_both_ways() {
        use std::io::{Read as _, Write as _};
        for (suites, key) in [(CBC_ECDSA, KeyKind::P256), (CBC_RSA, KeyKind::Rsa2048)] {
            for suite in suites {
                let mut provider = old();
                provider.cipher_suites.retain(|s| u16::from(s.suite()) == suite);
                assert_eq!(provider.cipher_suites.len(), 1, "{suite:04x}");
                let (mut client, mut server) = meet(provider, key, true).unwrap();
                assert_eq!(server.negotiated_cipher_suite().map(|s| u16::from(s.suite())), Some(suite));
                // Every rest of a block, and the longest record.
                for len in (0..40).chain([16_384]) {
                    let said: Vec<u8> = (0..len).map(|n| n as u8).collect();
                    client.writer().write_all(&said).unwrap();
                    pass(&mut client, &mut server).unwrap();
                    let mut heard = vec![0; len];
                    server.reader().read_exact(&mut heard).unwrap();
                    assert!(heard == said, "{suite:04x} {len}");
                    server.writer().write_all(&said).unwrap();
                    pass(&mut server, &mut client).unwrap();
                    client.reader().read_exact(&mut heard).unwrap();
                    assert!(heard == said, "{suite:04x} {len}");
                }
            }
        }
    }

    #[test]
    fn an_altered_record_is_refused() {
        use std::io::Write as _;
        for place in [5, 5 + BLOCK, 40, 60] {
            let (mut client, mut server) = meet(old(), KeyKind::P256, true).unwrap();
            client.writer().write_all(b"some words of a request").unwrap();
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            wire[place] ^= 1;
            server.read_tls(&mut wire.as_slice()).unwrap();
            assert!(matches!(server.process_new_packets(), Err(Error::DecryptError)), "{place}");
        }
    }

    #[test]
    fn a_client_of_one_curve_and_one_of_today() {
        let provider = CryptoProvider { kx_groups: vec![&P521], ..usual() };
        let (client, _) = meet(provider, KeyKind::P256, false).unwrap();
        assert_eq!(client.negotiated_key_exchange_group().map(SupportedKxGroup::name), Some(NamedGroup::secp521r1));
        // Who has better is not shown the old suites.
        assert!(meet(default_provider(), KeyKind::P256, true).is_err());
        let (client, _) = meet(all(), KeyKind::P256, false).unwrap();
        assert!(client.negotiated_cipher_suite().is_some_and(|suite| AEAD_ECDSA.contains(&u16::from(suite.suite()))));
    }
}
