//! Initial keys: everybody can derive them, so everybody can read a QUIC handshake's first flight (RFC 9001 §5).

use std::fmt;

use aws_lc_rs::aead::quic::{AES_128, HeaderProtectionKey};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};

use crate::dissect::quic::packet::{Span, Version};
use crate::dissect::tls::crypt::expand_label;

/// The keys of both sides, from the destination connection id of the client's first Initial.
#[derive(Debug)]
pub(crate) struct Initial {
    pub(crate) client: Half,
    pub(crate) server: Half,
}

impl Initial {
    pub(crate) fn derive(version: &Version, id: &[u8]) -> Option<Initial> {
        let secret = Salt::new(HKDF_SHA256, &version.salt).extract(id);
        Some(Initial { client: Half::derive(version, &secret, b"client in")?, server: Half::derive(version, &secret, b"server in")? })
    }
}

/// One side's keys.
pub(crate) struct Half {
    key: LessSafeKey,
    iv: [u8; 12],
    header: HeaderProtectionKey,
    /// The number after the largest one opened.
    next: u64,
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Half").field("next", &self.next).finish_non_exhaustive()
    }
}

const SAMPLE: usize = 16;
const TAG: usize = 16;

impl Half {
    fn derive(version: &Version, secret: &Prk, label: &[u8]) -> Option<Half> {
        let mut side = [0; 32];
        expand_label(secret, label, &mut side)?;
        let side = Prk::new_less_safe(HKDF_SHA256, &side);
        let labels: [&[u8]; 3] =
            if version.second { [b"quicv2 key", b"quicv2 iv", b"quicv2 hp"] } else { [b"quic key", b"quic iv", b"quic hp"] };
        let (mut key, mut iv, mut header) = ([0; 16], [0; 12], [0; 16]);
        expand_label(&side, labels[0], &mut key)?;
        expand_label(&side, labels[1], &mut iv)?;
        expand_label(&side, labels[2], &mut header)?;
        Some(Half {
            key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?),
            iv,
            header: HeaderProtectionKey::new(&AES_128, &header).ok()?,
            next: 0,
        })
    }

    /// Opens the packet at the start of `bytes`; its plaintext replaces what `out` held.
    pub(crate) fn open(&mut self, bytes: &[u8], span: Span, out: &mut Vec<u8>) -> Option<()> {
        let packet = bytes.get(..span.end)?;
        // RFC 9001 §5.4.2: the sample stands as if the number were four bytes long.
        let sample = packet.get(span.number + 4..span.number + 4 + SAMPLE)?;
        let mask = self.header.new_mask(sample).ok()?;
        let first = packet.first()? ^ mask[0] & 0x0f;
        let len = usize::from(first & 3) + 1;
        let body = span.number + len;
        let mut header = packet.get(..body)?.to_vec();
        *header.first_mut()? = first;
        let mut short = 0;
        for (byte, mask) in header.get_mut(span.number..)?.iter_mut().zip(&mask[1..]) {
            *byte ^= mask;
            short = short << 8 | u64::from(*byte);
        }
        let number = full_number(self.next, short, len);
        let mut nonce = self.iv;
        nonce.iter_mut().rev().zip(number.to_be_bytes().iter().rev()).for_each(|(n, p)| *n ^= p);
        let sealed = packet.get(body..)?;
        let (text, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG)?)?;
        out.clear();
        out.resize(text.len(), 0);
        self.key.open_separate_gather(Nonce::assume_unique_for_key(nonce), Aad::from(header), text, tag, out).ok()?;
        self.next = self.next.max(number + 1);
        Some(())
    }
}

/// RFC 9000 Appendix A.3: the full number nearest to the expected one whose last `len` bytes are `short`.
fn full_number(expected: u64, short: u64, len: usize) -> u64 {
    let window = 1u64 << (len * 8);
    let candidate = expected & !(window - 1) | short;
    if candidate + window / 2 <= expected && candidate < (1 << 62) - window {
        candidate + window
    } else if candidate > expected + window / 2 && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

/// An Initial packet with one CRYPTO frame, sealed with the keys that follow from `id`.
#[cfg(test)]
pub(crate) fn seal(number: u32, id: &[u8], destination: &[u8], server: bool, message: &[u8]) -> Option<Vec<u8>> {
    let version = super::packet::version(number)?;
    let keys = Initial::derive(&version, id)?;
    let half = if server { keys.server } else { keys.client };
    let mut text = [&[6, 0, 0x40 | (message.len() >> 8) as u8, message.len() as u8], message].concat();
    text.resize(text.len().max(64), 0);
    let len = 4 + text.len() + TAG;
    let mut packet = vec![if version.second { 0xd3 } else { 0xc3 }];
    packet.extend_from_slice(&number.to_be_bytes());
    packet.push(destination.len() as u8);
    packet.extend_from_slice(destination);
    packet.extend_from_slice(&[0, 0, 0x40 | (len >> 8) as u8, len as u8]);
    let at = packet.len();
    packet.extend_from_slice(&[0; 4]);
    half.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(half.iv), Aad::from(&packet), &mut text).ok()?;
    packet.extend_from_slice(&text);
    let mask = half.header.new_mask(packet.get(at + 4..at + 4 + SAMPLE)?).ok()?;
    *packet.first_mut()? ^= mask[0] & 0x0f;
    packet.get_mut(at..at + 4)?.iter_mut().zip(&mask[1..]).for_each(|(byte, mask)| *byte ^= mask);
    Some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9000 Appendix A.3 has the example; the rest follows from the rule.
    #[test]
    fn numbers() {
        assert_eq!(full_number(0xa82f_30eb, 0x9b32, 2), 0xa82f_9b32);
        assert_eq!(full_number(0, 1, 1), 1);
        assert_eq!(full_number(256, 255, 1), 255);
        assert_eq!(full_number(255, 1, 1), 257);
    }
}
