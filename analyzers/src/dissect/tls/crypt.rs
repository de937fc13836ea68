//! Opens records with secrets the operator handed in: AES-GCM and ChaCha20-Poly1305 here, what came before AEADs in `legacy`.

use std::fmt;

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{KeyType, Prk};
use aws_lc_rs::tls_prf;

use flate2::{Decompress, FlushDecompress};

use crate::dissect::tls::legacy::{Records, Session};
use crate::dissect::tls::suites::{Aead, Bulk, Hash, Mac};

const TAG: usize = 16;

/// One direction's key and the number of the next record.
#[derive(Debug)]
pub(crate) struct Opener {
    pub(crate) next: u64,
    seal: Seal,
    /// Records are compressed before they are sealed (RFC 3749), all of a direction as one stream.
    inflate: Option<Decompress>,
}

#[derive(Debug)]
enum Seal {
    Aead(Box<Keyed>),
    Legacy(Box<Records>),
}

struct Keyed {
    key: LessSafeKey,
    iv: [u8; 12],
    form: Form,
}

/// RFC 3749 §2: what a record holds uncompressed.
const PLAIN: usize = 1 << 14;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// RFC 8446 §5.2: the true type at the end of the plaintext.
    Modern,
    /// RFC 5288: eight bytes of the nonce stand before the ciphertext.
    ExplicitNonce,
    /// RFC 7905.
    ImplicitNonce,
}

impl fmt::Debug for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("form", &self.form).finish_non_exhaustive()
    }
}

impl Opener {
    /// TLS 1.3 (RFC 8446 §7.3).
    pub(crate) fn modern(aead: Aead, hash: Hash, secret: &[u8]) -> Option<Opener> {
        let mut iv = [0; 12];
        expand(hash, secret, b"iv", &mut iv)?;
        let mut key = [0; 32];
        let key = key.get_mut(..aead.algorithm().key_len())?;
        expand(hash, secret, b"key", key)?;
        Some(Opener::of(Seal::Aead(Box::new(Keyed { key: unbound(aead, key)?, iv, form: Form::Modern }))))
    }

    fn of(seal: Seal) -> Opener {
        Opener { next: 0, seal, inflate: None }
    }

    /// TLS 1.0 to 1.2.
    pub(crate) fn legacy(of: &Session<'_>) -> Option<Opener> {
        match of.bulk {
            Bulk::Aead(aead) => Opener::aead12(aead, of.hash, of.master, of.randoms, of.client),
            _ => Records::new(of).map(|records| Opener::of(Seal::Legacy(Box::new(records)))),
        }
    }

    /// For records that only carry a MAC.
    pub(crate) fn null(mac: Mac) -> Opener {
        Opener::of(Seal::Legacy(Box::new(Records::null(mac))))
    }

    /// Anybody can do what this does.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.seal, Seal::Legacy(records) if records.is_null())
    }

    /// Undoes the compression of records too.
    pub(crate) fn inflating(self) -> Opener {
        Opener { inflate: Some(Decompress::new(true)), ..self }
    }

    /// TLS 1.2 (RFC 5246 §6.3): the client's, or the server's, half of the key block.
    fn aead12(aead: Aead, hash: Hash, master: &[u8], randoms: (&[u8; 32], &[u8; 32]), client: bool) -> Option<Opener> {
        let form = if aead == Aead::ChaCha20Poly1305 { Form::ImplicitNonce } else { Form::ExplicitNonce };
        let key_len = aead.algorithm().key_len();
        let iv_len = if form == Form::ImplicitNonce { 12 } else { 4 };
        let prf = match hash {
            Hash::Sha256 => &tls_prf::P_SHA256,
            Hash::Sha384 => &tls_prf::P_SHA384,
        };
        let (client_random, server_random) = randoms;
        let secret = tls_prf::Secret::new(prf, master).ok()?;
        let block = secret.derive_with_seed_concatination(b"key expansion", server_random, client_random, 2 * (key_len + iv_len)).ok()?;
        let (keys, ivs) = block.as_ref().split_at_checked(2 * key_len)?;
        let (key, fixed) = if client { (keys.get(..key_len)?, ivs.get(..iv_len)?) } else { (keys.get(key_len..)?, ivs.get(iv_len..)?) };
        let mut iv = [0; 12];
        iv.get_mut(..iv_len)?.copy_from_slice(fixed);
        Some(Opener::of(Seal::Aead(Box::new(Keyed { key: unbound(aead, key)?, iv, form }))))
    }

    /// Opens a record's body into `out`, replacing what was there. Gives the true content type; counts the record only when it opened.
    pub(crate) fn open(&mut self, header: [u8; 5], body: &[u8], out: &mut Vec<u8>) -> Option<u8> {
        let kind = match &mut self.seal {
            Seal::Aead(keyed) => keyed.open(self.next, header, body, out)?,
            Seal::Legacy(records) => {
                records.open(self.next, header, body, out)?;
                header[0]
            }
        };
        self.next += 1;
        if let Some(stream) = &mut self.inflate {
            let mut plain = Vec::with_capacity(PLAIN);
            stream.decompress_vec(out, &mut plain, FlushDecompress::Sync).ok()?;
            *out = plain;
        }
        Some(kind)
    }
}

impl Keyed {
    fn open(&self, seq: u64, header: [u8; 5], body: &[u8], out: &mut Vec<u8>) -> Option<u8> {
        let [kind, major, minor, ..] = header;
        let mut nonce = self.iv;
        let sealed = if self.form == Form::ExplicitNonce {
            let (explicit, sealed) = body.split_first_chunk::<8>()?;
            nonce.last_chunk_mut::<8>()?.copy_from_slice(explicit);
            sealed
        } else {
            nonce.iter_mut().rev().zip(seq.to_be_bytes().iter().rev()).for_each(|(n, s)| *n ^= s);
            body
        };
        let (text, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG)?)?;
        out.clear();
        out.resize(text.len(), 0);
        let nonce = Nonce::assume_unique_for_key(nonce);
        if self.form == Form::Modern {
            self.key.open_separate_gather(nonce, Aad::from(header), text, tag, out).ok()?;
            // The type is the last byte that is not padding.
            let end = out.iter().rposition(|b| *b != 0)?;
            let kind = *out.get(end)?;
            out.truncate(end);
            return Some(kind);
        }
        let mut aad = [0; 13];
        aad[..8].copy_from_slice(&seq.to_be_bytes());
        aad[8..11].copy_from_slice(&[kind, major, minor]);
        aad[11..].copy_from_slice(&(text.len() as u16).to_be_bytes());
        self.key.open_separate_gather(nonce, Aad::from(aad), text, tag, out).ok()?;
        Some(kind)
    }
}

fn unbound(aead: Aead, key: &[u8]) -> Option<LessSafeKey> {
    UnboundKey::new(aead.algorithm(), key).ok().map(LessSafeKey::new)
}

/// The secret after a KeyUpdate (RFC 8446 §7.2).
pub(crate) fn next_secret(hash: Hash, secret: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; hash.size()];
    expand(hash, secret, b"traffic upd", &mut out)?;
    Some(out)
}

/// HKDF-Expand-Label with an empty context (RFC 8446 §7.1).
pub(crate) fn expand(hash: Hash, secret: &[u8], label: &[u8], out: &mut [u8]) -> Option<()> {
    // The keying material of another hash would give a key that opens nothing.
    (secret.len() == hash.size()).then_some(())?;
    expand_label(&Prk::new_less_safe(hash.hkdf(), secret), label, out)
}

/// The same from a secret that is already a pseudorandom key.
pub(crate) fn expand_label(secret: &Prk, label: &[u8], out: &mut [u8]) -> Option<()> {
    let len = (out.len() as u16).to_be_bytes();
    let label_len = [6 + u8::try_from(label.len()).ok()?];
    let info: [&[u8]; 5] = [&len, &label_len, b"tls13 ", label, &[0]];
    secret.expand(&info, Len(out.len())).ok()?.fill(out).ok()
}

struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}
