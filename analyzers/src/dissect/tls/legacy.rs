//! Records of TLS 1.0 to 1.2 that are not sealed by an AEAD: AES in CBC mode, before or after the MAC, RC4, and no cipher at all.
//!
//! Nobody is protected by how this is done: the secrets were handed in, and nobody is told why a record did not open.

use std::fmt;

use aws_lc_rs::cipher::{AES_128, AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use md5::{Digest, Md5};

use crate::dissect::tls::suites::{Bulk, Hash, Mac};

const BLOCK: usize = 16;

/// What the key block is made of, and for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session<'a> {
    pub(crate) version: u16,
    pub(crate) bulk: Bulk,
    /// Of the PRF, from TLS 1.2 on.
    pub(crate) hash: Hash,
    /// RFC 7366: the MAC is of the ciphertext.
    pub(crate) encrypt_then_mac: bool,
    pub(crate) master: &'a [u8],
    /// The client's and the server's.
    pub(crate) randoms: (&'a [u8; 32], &'a [u8; 32]),
    /// The direction is the client's.
    pub(crate) client: bool,
}

/// One direction's cipher and MAC.
pub(crate) struct Records {
    cipher: Cipher,
    mac: Mac,
    mac_key: Vec<u8>,
    encrypt_then_mac: bool,
}

enum Cipher {
    Cbc {
        key: Box<DecryptingKey>,
        /// TLS 1.0: the last block of ciphertext before. Later versions send one with each record.
        chained: Option<[u8; BLOCK]>,
    },
    Rc4(Box<Rc4>),
    /// Whoever sees the record can read it; the MAC is not checked, for that would take the secrets.
    Null,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("mac", &self.mac).field("encrypt_then_mac", &self.encrypt_then_mac).finish_non_exhaustive()
    }
}

impl Records {
    pub(crate) fn new(of: &Session<'_>) -> Option<Records> {
        let (key_len, iv_len, mac) = match of.bulk {
            Bulk::Cbc(key_len, mac) => (key_len, if of.version < 0x0302 { BLOCK } else { 0 }, mac),
            Bulk::Rc4(mac) => (16, 0, mac),
            Bulk::Null(_) | Bulk::Aead(_) => return None,
        };
        let mac_len = mac.size();
        let block = key_block(of, 2 * (mac_len + key_len + iv_len))?;
        // Both MAC keys, both keys, both first blocks; the client's first (RFC 5246 §6.3).
        let mine = |start: usize, len: usize| {
            let at = start + if of.client { 0 } else { len };
            block.get(at..at + len)
        };
        let mac_key = mine(0, mac_len)?.to_vec();
        let key = mine(2 * mac_len, key_len)?;
        let cipher = if let Bulk::Rc4(_) = of.bulk {
            Cipher::Rc4(Box::new(Rc4::new(key)))
        } else {
            let unbound = UnboundCipherKey::new(if key_len == 16 { &AES_128 } else { &AES_256 }, key).ok()?;
            let chained = mine(2 * (mac_len + key_len), iv_len)?.first_chunk().copied();
            Cipher::Cbc { key: Box::new(DecryptingKey::cbc(unbound).ok()?), chained }
        };
        Some(Records { cipher, mac, mac_key, encrypt_then_mac: of.encrypt_then_mac })
    }

    /// Records that were never encrypted.
    pub(crate) fn null(mac: Mac) -> Records {
        Records { cipher: Cipher::Null, mac, mac_key: Vec::new(), encrypt_then_mac: false }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.cipher, Cipher::Null)
    }

    /// Opens record number `seq` into `out`. Nothing has happened if it does not open.
    pub(crate) fn open(&mut self, seq: u64, header: [u8; 5], body: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let [kind, major, minor, ..] = header;
        let mac_of = |key: &[u8], mac: Mac, text: &[u8]| {
            let mut head = [0; 13];
            head[..8].copy_from_slice(&seq.to_be_bytes());
            head[8..11].copy_from_slice(&[kind, major, minor]);
            head[11..].copy_from_slice(&(text.len() as u16).to_be_bytes());
            mac.of(key, &[&head, text])
        };
        let mac_len = self.mac.size();
        out.clear();
        match &mut self.cipher {
            Cipher::Null => {
                out.extend_from_slice(body.get(..body.len().checked_sub(mac_len)?)?);
                Some(())
            }
            Cipher::Rc4(state) => {
                let mut after = state.clone();
                out.extend_from_slice(body);
                after.apply(out);
                let (text, mac) = out.split_at_checked(out.len().checked_sub(mac_len)?)?;
                (mac_of(&self.mac_key, self.mac, text) == mac).then_some(())?;
                let len = text.len();
                out.truncate(len);
                *state = after;
                Some(())
            }
            Cipher::Cbc { key, chained } => {
                let sealed = if self.encrypt_then_mac {
                    let (sealed, mac) = body.split_at_checked(body.len().checked_sub(mac_len)?)?;
                    (mac_of(&self.mac_key, self.mac, sealed) == mac).then_some(())?;
                    sealed
                } else {
                    body
                };
                let (iv, text) = match *chained {
                    Some(iv) => (iv, sealed),
                    None => sealed.split_first_chunk().map(|(iv, text)| (*iv, text))?,
                };
                let last = *text.last_chunk::<BLOCK>()?;
                out.extend_from_slice(text);
                key.decrypt(out, DecryptionContext::Iv128(FixedLength::from(iv))).ok()?;
                let padding = usize::from(*out.last()?);
                let end = out.len().checked_sub(padding + 1)?;
                out.get(end..)?.iter().all(|b| usize::from(*b) == padding).then_some(())?;
                out.truncate(end);
                if !self.encrypt_then_mac {
                    let (text, mac) = out.split_at_checked(out.len().checked_sub(mac_len)?)?;
                    (mac_of(&self.mac_key, self.mac, text) == mac).then_some(())?;
                    let len = text.len();
                    out.truncate(len);
                }
                if chained.is_some() {
                    *chained = Some(last);
                }
                Some(())
            }
        }
    }
}

impl Mac {
    fn of(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        let algorithm = match self {
            Mac::Md5 => return hmac_md5(key, parts),
            Mac::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Mac::Sha256 => hmac::HMAC_SHA256,
            Mac::Sha384 => hmac::HMAC_SHA384,
        };
        let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
        for part in parts {
            context.update(part);
        }
        context.sign().as_ref().to_vec()
    }
}

/// RFC 2104.
fn hmac_md5(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..16].copy_from_slice(&Md5::digest(key));
    } else {
        block.iter_mut().zip(key).for_each(|(b, k)| *b = *k);
    }
    let mut inner = Md5::new_with_prefix(block.map(|b| b ^ 0x36));
    for part in parts {
        inner.update(part);
    }
    Md5::new_with_prefix(block.map(|b| b ^ 0x5c)).chain_update(inner.finalize()).finalize().to_vec()
}

/// RFC 5246 §6.3; before TLS 1.2 with the PRF of RFC 2246 §5.
fn key_block(of: &Session<'_>, len: usize) -> Option<Vec<u8>> {
    let (client, server) = of.randoms;
    let seed = [&b"key expansion"[..], server, client].concat();
    if of.version >= 0x0303 {
        let mac = if of.hash == Hash::Sha384 { Mac::Sha384 } else { Mac::Sha256 };
        return Some(expand(mac, of.master, &seed, len));
    }
    let half = of.master.len().div_ceil(2);
    let (first, second) = (of.master.get(..half)?, of.master.get(of.master.len() - half..)?);
    let mut out = expand(Mac::Md5, first, &seed, len);
    out.iter_mut().zip(expand(Mac::Sha1, second, &seed, len)).for_each(|(a, b)| *a ^= b);
    Some(out)
}

/// P_hash (RFC 5246 §5).
fn expand(mac: Mac, secret: &[u8], seed: &[u8], len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + 48);
    let mut a = mac.of(secret, &[seed]);
    while out.len() < len {
        out.extend_from_slice(&mac.of(secret, &[&a, seed]));
        a = mac.of(secret, &[&a]);
    }
    out.truncate(len);
    out
}

/// RC4, for captures of the days when it was in use.
#[derive(Clone)]
struct Rc4 {
    state: [u8; 256],
    i: u8,
    j: u8,
}

impl Rc4 {
    fn new(key: &[u8]) -> Rc4 {
        let mut state = std::array::from_fn(|i| i as u8);
        let mut j = 0_u8;
        for (i, k) in (0..256).zip(key.iter().cycle()) {
            j = j.wrapping_add(state[i]).wrapping_add(*k);
            state.swap(i, usize::from(j));
        }
        Rc4 { state, i: 0, j: 0 }
    }

    fn apply(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.i = self.i.wrapping_add(1);
            self.j = self.j.wrapping_add(self.state[usize::from(self.i)]);
            self.state.swap(usize::from(self.i), usize::from(self.j));
            let at = self.state[usize::from(self.i)].wrapping_add(self.state[usize::from(self.j)]);
            *byte ^= self.state[usize::from(at)];
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn published_vectors() {
        // RFC 2202, test case 2.
        assert_eq!(hex(&hmac_md5(b"Jefe", &[b"what do ya want ", b"for nothing?"])), "750c783e6ab0b503eaa86e310a5db738");
        assert_eq!(hex(&Mac::Sha1.of(b"Jefe", &[b"what do ya want for nothing?"])), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        // RFC 6229, 40 bits.
        let mut stream = [0; 16];
        Rc4::new(&[1, 2, 3, 4, 5]).apply(&mut stream);
        assert_eq!(hex(&stream), "b2396305f03dc027ccc3524a0a1118a8");
    }

    /// What OpenSSL and others agreed on for P_SHA256.
    #[test]
    fn expands() {
        let secret = [0x9b, 0xbe, 0x43, 0x6b, 0xa9, 0x40, 0xf0, 0x17, 0xb1, 0x76, 0x52, 0x84, 0x9a, 0x71, 0xdb, 0x35];
        let seed = [0xa0, 0xba, 0x9f, 0x93, 0x6c, 0xda, 0x31, 0x18, 0x27, 0xa6, 0xf7, 0x96, 0xff, 0xd5, 0x19, 0x8c];
        let out = expand(Mac::Sha256, &secret, &[&b"test label"[..], &seed].concat(), 16);
        assert_eq!(hex(&out), "e3f229ba727be17b8d122620557cd453");
    }
}
