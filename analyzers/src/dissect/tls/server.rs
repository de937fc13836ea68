//! The server's half of a handshake: ServerHello, HelloRetryRequest, certificate lists, encrypted extensions, the group of a key exchange.

use smallvec::SmallVec;

use crate::dissect::tls::cursor::Cursor;
use crate::dissect::tls::hello::extension;
use crate::dissect::tls::suites::{is_modern, key_exchange};
use crate::observation::KeyExchange;

/// A ServerHello, borrowed from its bytes.
#[derive(Clone, Debug)]
pub(crate) struct ServerHello<'a> {
    pub(crate) version: u16,
    pub(crate) random: [u8; 32],
    pub(crate) session_id: &'a [u8],
    pub(crate) suite: u16,
    pub(crate) alpn: Option<&'a [u8]>,
    pub(crate) group: Option<u16>,
    pub(crate) psk: bool,
    /// How records are compressed (RFC 3749); 0 = not.
    pub(crate) compression: u8,
    pub(crate) encrypt_then_mac: bool,
    /// It is a HelloRetryRequest.
    pub(crate) retry: bool,
}

/// RFC 8446 §4.1.3: the random of a HelloRetryRequest, SHA-256 of its name.
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
    0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

impl<'a> ServerHello<'a> {
    /// Reads the body of the message. An error names the part it ends in.
    pub(crate) fn parse(body: &'a [u8]) -> Result<ServerHello<'a>, &'static str> {
        let mut it = Cursor::new(body);
        let legacy = it.u16().ok_or("version")?;
        let random = it.array::<32>().ok_or("random")?;
        // Drafts 18 to 21 of TLS 1.3 had neither session id nor compression here.
        let early_draft = legacy >> 8 == 0x7f;
        let session_id = if early_draft { &[][..] } else { it.vec8().ok_or("session id")? };
        let suite = it.u16().ok_or("cipher suite")?;
        let compression = if early_draft { 0 } else { it.u8().ok_or("compression method")? };
        let retry = random == RETRY_RANDOM;
        let (alpn, group, psk, encrypt_then_mac) = (None, None, false, false);
        let mut hello = ServerHello { version: legacy, random, session_id, suite, alpn, group, psk, compression, encrypt_then_mac, retry };
        if it.is_empty() {
            return Ok(hello);
        }
        let mut it = Cursor::new(it.vec16().ok_or("extensions")?);
        while !it.is_empty() {
            let kind = it.u16().ok_or("extensions")?;
            let mut body = Cursor::new(it.vec16().ok_or("extensions")?);
            match kind {
                extension::SUPPORTED_VERSIONS => hello.version = body.u16().unwrap_or(legacy),
                extension::ALPN => hello.alpn = one_alpn(body),
                extension::KEY_SHARE => hello.group = body.u16(),
                extension::PRE_SHARED_KEY => hello.psk = true,
                extension::ENCRYPT_THEN_MAC => hello.encrypt_then_mac = true,
                _ => {}
            }
        }
        Ok(hello)
    }

    pub(crate) fn modern(&self) -> bool {
        is_modern(self.version)
    }

    /// How keys are exchanged, as far as the ServerHello tells.
    pub(crate) fn key_exchange(&self) -> KeyExchange {
        if !self.modern() {
            return key_exchange(self.suite);
        }
        match (self.psk, self.group) {
            (true, None) => KeyExchange::Psk,
            (true, Some(_)) => KeyExchange::PskDhe,
            // RFC 7919: the finite-field groups.
            (false, Some(0x0100..=0x01ff)) => KeyExchange::Dhe,
            (false, _) => KeyExchange::Ecdhe,
        }
    }
}

fn one_alpn(mut body: Cursor<'_>) -> Option<&[u8]> {
    Cursor::new(body.vec16()?).vec8()
}

/// The protocol named in EncryptedExtensions.
pub(crate) fn encrypted_extensions(body: &[u8]) -> Option<&[u8]> {
    let mut it = Cursor::new(body);
    let mut it = Cursor::new(it.vec16()?);
    while let (Some(kind), Some(body)) = (it.u16(), it.vec16()) {
        if kind == extension::ALPN {
            return one_alpn(Cursor::new(body));
        }
    }
    None
}

/// The named group of an ECDHE ServerKeyExchange (RFC 8422 §5.4).
pub(crate) fn key_exchange_group(body: &[u8]) -> Option<u16> {
    let mut it = Cursor::new(body);
    (it.u8()? == 3).then(|| it.u16()).flatten()
}

/// Longer chains are cut here: the longest one seen in captures has six certificates.
pub(crate) const CHAIN: usize = 32;

/// The certificates of a Certificate message, leaf first; false when it ends early.
pub(crate) fn certificates(body: &[u8], modern: bool) -> (SmallVec<[&[u8]; 4]>, bool) {
    let mut out = SmallVec::new();
    let whole = certificates_into(body, modern, &mut out).is_some();
    (out, whole)
}

fn certificates_into<'a>(body: &'a [u8], modern: bool, out: &mut SmallVec<[&'a [u8]; 4]>) -> Option<()> {
    let mut it = Cursor::new(body);
    if modern {
        it.vec8()?;
    }
    let mut it = Cursor::new(it.vec24()?);
    while !it.is_empty() && out.len() < CHAIN {
        out.push(it.vec24()?);
        if modern {
            it.vec16()?;
        }
    }
    Some(())
}

/// A CompressedCertificate (RFC 8879) made plain; `None` when it does not decompress to exactly what it claims, within `limit`.
pub(crate) fn decompress(body: &[u8], limit: usize) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut it = Cursor::new(body);
    let (algorithm, len, packed) = (it.u16()?, it.u24()?, it.vec24()?);
    if len > limit {
        return None;
    }
    let mut out = Vec::with_capacity(len);
    let bound = len as u64 + 1;
    match algorithm {
        1 => flate2::read::ZlibDecoder::new(packed).take(bound).read_to_end(&mut out).ok()?,
        2 => {
            let (first, rest) = packed.split_first()?;
            let first = [crate::brotli::narrowed(*first, len)];
            brotli_decompressor::Decompressor::new(first.chain(rest), 4096).take(bound).read_to_end(&mut out).ok()?
        }
        3 => zstd::stream::read::Decoder::new(packed).ok()?.take(bound).read_to_end(&mut out).ok()?,
        _ => return None,
    };
    (out.len() == len).then_some(out)
}
