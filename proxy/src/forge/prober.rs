//! The plaintext-flight prober: a hand-written server flight up to ServerHelloDone, for versions rustls does not speak.
//!
//! No channel is ever made. The device's next record tells: a ClientKeyExchange means that it goes along with what the flight
//! insists on, an alert or a close that it does not.

use md5::{Digest as _, Md5};
use num_bigint::BigUint;

use super::der;
use super::key::{Key, KeyKind};
use super::mint::Chain;
use crate::error::Error;
use crate::hello::Hello;

/// TLS 1.1 and 1.2 as they stand in records.
pub const TLS11: u16 = 0x0302;
pub const TLS12: u16 = 0x0303;

/// A suite, the kind of key it is authenticated with, and whether it has a ServerKeyExchange.
type Suite = (u16, KeyKind, bool);
use KeyKind::{P256 as Ec, Rsa2048 as Rsa};

/// Suites that exist in TLS 1.1, in the order they are chosen. Those without ServerKeyExchange come first: a client may refuse the MD5 and
/// SHA-1 signature of TLS 1.1 and still speak TLS 1.1 without one.
const SUITES_11: [Suite; 9] = [
    (0x002f, Rsa, false),
    (0x0035, Rsa, false),
    (0x000a, Rsa, false),
    (0xc013, Rsa, true),
    (0xc014, Rsa, true),
    (0xc012, Rsa, true),
    (0xc009, Ec, true),
    (0xc00a, Ec, true),
    (0xc008, Ec, true),
];
/// For TLS 1.2, after those (so that the twin of a TLS 1.1 flight has its suite), also AEAD suites.
const SUITES_12: [Suite; 6] =
    [(0xc02f, Rsa, true), (0xc030, Rsa, true), (0xcca8, Rsa, true), (0xc02b, Ec, true), (0xc02c, Ec, true), (0xcca9, Ec, true)];

/// `secp256r1` and `x25519` of the group registry.
const P256: u16 = 23;
const X25519: u16 = 29;
/// `rsa_pkcs1_sha256`, `ecdsa_secp256r1_sha256`.
const PKCS1_SHA256: u16 = 0x0401;
const ECDSA_SHA256: u16 = 0x0403;

/// A flight ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    pub bytes: Vec<u8>,
    pub version: u16,
    pub suite: u16,
}

/// What the device did after the flight, from its first records alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A ClientKeyExchange: it goes along.
    KeyExchange,
    /// Alert (level, description).
    Alert(u8, u8),
    /// Something that belongs to neither.
    Other,
    /// Not decided yet.
    More,
}

/// The suite that a flight of `version` answers this hello with.
fn suite_for(hello: &Hello, version: u16) -> Option<Suite> {
    let more = if version == TLS12 { &SUITES_12[..] } else { &[] };
    let fits = |(suite, _, exchange): &&Suite| hello.suites.contains(suite) && (!exchange || group_for(hello).is_some());
    SUITES_11.iter().chain(more).find(fits).copied()
}

fn group_for(hello: &Hello) -> Option<u16> {
    [X25519, P256].into_iter().find(|g| hello.groups.contains(g)).or(hello.groups.is_empty().then_some(P256))
}

/// The kind of key that the leaf of such a flight must have.
pub fn key_for(hello: &Hello, version: u16) -> KeyKind {
    suite_for(hello, version).map_or(Rsa, |(_, key, _)| key)
}

/// Writes the flight: ServerHello of `version`, `chain` (a leaf of the kind that [`key_for`] says), ServerKeyExchange if the suite has one,
/// ServerHelloDone.
///
/// `random` is the whole ServerHello random; it carries no downgrade marker, so that the version is the only question.
pub fn flight(hello: &Hello, version: u16, chain: &Chain, random: [u8; 32]) -> Result<Flight, Error> {
    let refuse = |why| Error::NotForgeable { defect: format!("a flight of version {version:#06x}"), why };
    let Some((suite, key, exchange)) = suite_for(hello, version) else {
        return Err(refuse("the client offered no suite that this version has and we can write"));
    };
    if chain.key.kind() != key {
        return Err(refuse("its leaf has a key of another kind than the suite"));
    }

    let mut body = Vec::new();
    let mut server_hello = version.to_be_bytes().to_vec();
    server_hello.extend(random);
    server_hello.push(0);
    server_hello.extend(suite.to_be_bytes());
    // Null compression.
    server_hello.push(0);
    // What was offered is answered as servers do, for some clients refuse without (RFC 5746 §3.6, RFC 7627 §5.3); what was not offered may
    // not be (RFC 5246 §7.4.1.4), and an alert about it would read as a refusal of the version.
    let mut extensions: Vec<u8> = Vec::new();
    if hello.renegotiation {
        extensions.extend([0xff, 0x01, 0, 1, 0]);
    }
    if hello.extended_master_secret {
        extensions.extend([0, 23, 0, 0]);
    }
    if !extensions.is_empty() {
        server_hello.extend(with_length(2, &extensions));
    }
    body.extend(message(2, &server_hello));

    let certificates: Vec<u8> = chain.certificates.iter().flat_map(|c| with_length(3, c)).collect();
    body.extend(message(11, &with_length(3, &certificates)));

    if exchange {
        let group = group_for(hello).unwrap_or(P256);
        let mut params = vec![3];
        params.extend(group.to_be_bytes());
        params.extend(with_length(1, &share(group)?));
        let signed = [&hello.random[..], &random, &params].concat();
        let signature = match (version, key) {
            (TLS12, _) => {
                let scheme = if key == Rsa { PKCS1_SHA256 } else { ECDSA_SHA256 };
                if !hello.schemes.is_empty() && !hello.schemes.contains(&scheme) {
                    return Err(refuse("the client takes no signature that we can write"));
                }
                params.extend(scheme.to_be_bytes());
                chain.key.sign(&signed)?
            }
            (_, Rsa) => sign_md5_sha1(&chain.key, &signed)?,
            (_, Ec) => chain.key.sign_sha1(&signed)?,
        };
        params.extend(with_length(2, &signature));
        body.extend(message(12, &params));
    }
    body.extend(message(14, &[]));

    let mut bytes = Vec::with_capacity(body.len() + 16);
    // A record holds 2^14 bytes at most (RFC 5246 §6.2.1).
    for part in body.chunks(1 << 14) {
        bytes.push(22);
        bytes.extend(version.to_be_bytes());
        bytes.extend(with_length(2, part));
    }
    Ok(Flight { bytes, version, suite })
}

/// Reads the device's bytes that followed the flight.
pub fn reply(bytes: &[u8]) -> Reply {
    match bytes {
        [22, 3, _, _, _, 16, ..] => Reply::KeyExchange,
        [22, 3, _, _, _, _, ..] => Reply::Other,
        [21, 3, _, 0, 2, level, code, ..] => Reply::Alert(*level, *code),
        [21, 3, _, rest @ ..] if rest.len() < 4 => Reply::More,
        [22, 3, ..] if bytes.len() < 6 => Reply::More,
        [] | [21 | 22] | [21 | 22, 3] => Reply::More,
        _ => Reply::Other,
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], with_length(3, body).as_slice()].concat()
}

/// `body` with its length before it in `bytes` bytes.
fn with_length(bytes: usize, body: &[u8]) -> Vec<u8> {
    let len = body.len().to_be_bytes();
    let mut out: Vec<u8> = len.iter().skip(len.len() - bytes).copied().collect();
    out.extend_from_slice(body);
    out
}

/// A fresh public share of `group`; its private half is thrown away, since no secret will be computed.
fn share(group: u16) -> Result<Vec<u8>, Error> {
    use aws_lc_rs::agreement::{ECDH_P256, EphemeralPrivateKey, X25519 as X};
    let algorithm = if group == X25519 { &X } else { &ECDH_P256 };
    let key = EphemeralPrivateKey::generate(algorithm, &aws_lc_rs::rand::SystemRandom::new()).map_err(|_| Error::Crypto("key share"))?;
    Ok(key.compute_public_key().map_err(|_| Error::Crypto("key share"))?.as_ref().to_vec())
}

/// The signature of TLS 1.0 and 1.1: PKCS#1 block type 1 over MD5 and SHA-1 side by side, without DigestInfo (RFC 4346 §7.4.3).
fn sign_md5_sha1(key: &Key, message: &[u8]) -> Result<Vec<u8>, Error> {
    let sha1 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, message);
    let hashes = [Md5::digest(message).as_slice(), sha1.as_ref()].concat();
    let (n, d) = modulus_and_exponent(key.pkcs8()).ok_or(Error::Key("not an RSA key in PKCS#8"))?;
    let size = n.bits().div_ceil(8) as usize;
    let mut block = vec![0, 1];
    block.resize(size.saturating_sub(hashes.len() + 1), 0xff);
    block.push(0);
    block.extend(hashes);
    let out = BigUint::from_bytes_be(&block).modpow(&d, &n).to_bytes_be();
    Ok([vec![0; size.saturating_sub(out.len())], out].concat())
}

/// n and d of an RSA key: PrivateKeyInfo { version, algorithm, OCTET STRING { RSAPrivateKey { version, n, e, d, … } } }.
fn modulus_and_exponent(pkcs8: &[u8]) -> Option<(BigUint, BigUint)> {
    let info = der::elements(der::read(pkcs8)?.content);
    let key = der::elements(der::read(info.get(2)?.content)?.content);
    Some((BigUint::from_bytes_be(key.get(1)?.content), BigUint::from_bytes_be(key.get(3)?.content)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::forge::Leaf;
    use crate::forge::tests::{NOW, world};

    fn hello() -> Hello {
        Hello { suites: vec![0x1301, 0xc02f, 0xc013], groups: vec![29, 23], random: [7; 32], ..Hello::default() }
    }

    /// The flight's handshake messages: (type, body).
    fn messages(flight: &Flight) -> Vec<(u8, Vec<u8>)> {
        let mut body = Vec::new();
        let mut at = &flight.bytes[..];
        while let [22, a, b, hi, lo, rest @ ..] = at {
            assert_eq!(u16::from_be_bytes([*a, *b]), flight.version);
            let (now, next) = rest.split_at(usize::from(u16::from_be_bytes([*hi, *lo])));
            body.extend_from_slice(now);
            at = next;
        }
        assert!(at.is_empty());
        let mut out = Vec::new();
        let mut at = &body[..];
        while let [kind, a, b, c, rest @ ..] = at {
            let (now, next) = rest.split_at(usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c));
            out.push((*kind, now.to_vec()));
            at = next;
        }
        out
    }

    /// The extensions of the ServerHello that answers a hello with these.
    #[track_caller]
    fn answered(renegotiation: bool, extended_master_secret: bool, expect: &[u8]) {
        let w = world(KeyKind::Rsa2048);
        let chain = w.mint.control(&w.mirror, Leaf::First, NOW).unwrap();
        let hello = Hello { renegotiation, extended_master_secret, ..hello() };
        let flight = flight(&hello, TLS11, &chain, [5; 32]).unwrap();
        // Version, random, empty session, suite, compression.
        assert_eq!(&messages(&flight)[0].1[38..], expect);
    }

    #[test]
    fn nothing_is_answered_that_was_not_offered() {
        answered(false, false, &[]);
        answered(true, false, &[0, 5, 0xff, 1, 0, 1, 0]);
        answered(true, true, &[0, 9, 0xff, 1, 0, 1, 0, 0, 23, 0, 0]);
    }

    #[test]
    fn a_flight_in_order_and_its_signature_fits() {
        let w = world(KeyKind::Rsa2048);
        let chain = w.mint.control(&w.mirror, Leaf::First, NOW).unwrap();
        let flight = flight(&hello(), TLS11, &chain, [9; 32]).unwrap();
        assert_eq!(flight.suite, 0xc013);
        let m = messages(&flight);
        assert_eq!(m.iter().map(|(k, _)| *k).collect::<Vec<_>>(), [2, 11, 12, 14]);
        assert_eq!(m[0].1[..2], [3, 2]);
        // params: curve type 3, group, share of 32 bytes; then the signature.
        let (params, signature) = m[2].1.split_at(4 + 32);
        let signature = BigUint::from_bytes_be(&signature[2..]);
        let (n, _) = modulus_and_exponent(chain.key.pkcs8()).unwrap();
        let block = signature.modpow(&BigUint::from(65_537u32), &n).to_bytes_be();
        let message = [&[7; 32][..], &[9; 32], params].concat();
        let sha1 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &message);
        assert_eq!(block[block.len() - 20..], *sha1.as_ref());
        assert_eq!(block[block.len() - 36..block.len() - 20], *Md5::digest(&message));
        assert_eq!(block[0], 1);
    }

    #[test]
    fn suites_follow_the_offer() {
        let w = world(KeyKind::Rsa2048);
        let chain = w.mint.control(&w.mirror, Leaf::First, NOW).unwrap();
        let check = |suites: &[u16], groups: &[u16], version: u16, expect: Option<u16>| {
            let hello = Hello { suites: suites.to_vec(), groups: groups.to_vec(), ..hello() };
            assert_eq!(flight(&hello, version, &chain, [0; 32]).ok().map(|f| f.suite), expect, "{suites:x?}");
        };
        check(&[0xc02f, 0xc014], &[23], TLS11, Some(0xc014));
        check(&[0xc02f, 0xc014], &[23], TLS12, Some(0xc014));
        check(&[0xc02f], &[23], TLS12, Some(0xc02f));
        check(&[0xc013, 0x0035], &[23], TLS11, Some(0x0035));
        check(&[0xc02f, 0x002f], &[0x11ec], TLS11, Some(0x002f));
        check(&[0xc02f, 0xc02b], &[29], TLS11, None);
        check(&[0x1301], &[29], TLS12, None);
        check(&[0xc009], &[23], TLS11, None);
        let w = world(KeyKind::P256);
        let chain = w.mint.control(&w.mirror, Leaf::First, NOW).unwrap();
        assert!(flight(&hello(), TLS11, &chain, [0; 32]).is_err());
        for (version, suites, expect) in [
            (TLS11, &[0xc02b, 0xc009][..], Some(0xc009)),
            (TLS12, &[0xc02b, 0xc009], Some(0xc009)),
            (TLS12, &[0xc02b], Some(0xc02b)),
            (TLS11, &[0xc02b], None),
        ] {
            let hello = Hello { suites: suites.to_vec(), ..hello() };
            assert_eq!(flight(&hello, version, &chain, [0; 32]).ok().map(|f| f.suite), expect, "{suites:x?}");
        }
        assert_eq!(key_for(&Hello { suites: vec![0xc009, 0xc013], ..hello() }, TLS11), KeyKind::Rsa2048);
        assert_eq!(key_for(&Hello { suites: vec![0xc009, 0xc02f], ..hello() }, TLS11), KeyKind::P256);
    }

    #[test]
    fn replies() {
        for (bytes, expect) in [
            (&[22, 3, 2, 0, 70, 16, 0][..], Reply::KeyExchange),
            (&[21, 3, 2, 0, 2, 2, 70], Reply::Alert(2, 70)),
            (&[21, 3, 2, 0, 2, 2], Reply::More),
            (&[22, 3, 2, 0, 70], Reply::More),
            (&[], Reply::More),
            (&[22, 3, 1, 0, 70, 1], Reply::Other),
            (&[20, 3, 3, 0, 1, 1], Reply::Other),
            (&[72], Reply::Other),
        ] {
            assert_eq!(reply(bytes), expect, "{bytes:?}");
        }
    }
}
