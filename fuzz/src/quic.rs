//! Seals bytes as the frames of QUIC Initial packets, so that a fuzzer gets behind the cipher that everybody can open.

use analyzers::flow::Dir;
use aws_lc_rs::aead::quic::{AES_128, HeaderProtectionKey};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

/// RFC 9001 §5.2.
const SALT: [u8; 20] =
    [0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a];
/// The destination of the client's first packet.
const ID: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand<const N: usize>(secret: &Prk, label: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let (len, label_len) = ((N as u16).to_be_bytes(), [6 + label.len() as u8]);
    let info: [&[u8]; 5] = [&len, &label_len, b"tls13 ", label, &[0]];
    secret.expand(&info, Len(N)).and_then(|okm| okm.fill(&mut out)).expect("short output");
    out
}

/// An Initial packet of version 1 that holds these frames.
pub fn initial(dir: Dir, number: u32, frames: &[u8]) -> Vec<u8> {
    let secret = Salt::new(HKDF_SHA256, &SALT).extract(&ID);
    let side: [u8; 32] = expand(&secret, if dir == Dir::Out { b"client in" } else { b"server in" });
    let side = Prk::new_less_safe(HKDF_SHA256, &side);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &expand::<16>(&side, b"quic key")).expect("16 bytes"));
    let mut nonce: [u8; 12] = expand(&side, b"quic iv");
    nonce.iter_mut().rev().zip(number.to_be_bytes().iter().rev()).for_each(|(n, p)| *n ^= p);
    let mut packet = vec![0xc3, 0, 0, 0, 1, 8];
    packet.extend_from_slice(&ID);
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(&(0x4000 | (frames.len() + 20) as u16).to_be_bytes());
    let at = packet.len();
    packet.extend_from_slice(&number.to_be_bytes());
    let mut sealed = frames.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&packet), &mut sealed).expect("short input");
    packet.extend_from_slice(&sealed);
    let header = HeaderProtectionKey::new(&AES_128, &expand::<16>(&side, b"quic hp")).expect("16 bytes");
    // At least as long as the sample: a frame of no bytes has a tag of sixteen.
    let mask = header.new_mask(&packet[at + 4..at + 20]).expect("16 bytes");
    packet[0] ^= mask[0] & 0x0f;
    packet[at..at + 4].iter_mut().zip(&mask[1..]).for_each(|(b, m)| *b ^= m);
    packet
}
