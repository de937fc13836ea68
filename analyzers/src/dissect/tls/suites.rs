//! What a cipher suite's number says: how keys are exchanged, which AEAD seals records, which hash drives the key schedule.

use crate::observation::KeyExchange::{self, Anonymous, Dhe, Ecdhe, Null, Psk, PskDhe, Rsa, StaticDh};

/// TLS_FALLBACK_SCSV (RFC 7507).
pub const FALLBACK_SCSV: u16 = 0x5600;

/// Whether the value is reserved for GREASE (RFC 8701): `0x?A?A` with both bytes equal.
pub fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// Whether this is TLS 1.3, one of its drafts, a vendor's experiment with it, or DTLS 1.3 (RFC 9147).
pub fn is_modern(version: u16) -> bool {
    matches!(version, 0x0304 | 0xfefc) || matches!(version >> 8, 0x7f | 0x7e | 0xfb)
}

/// Whether a version before TLS 1.2 has this suite: no AEAD, and no hash but MD5 and SHA-1 (the registry's *TLS Cipher Suites*).
pub fn before_12(suite: u16) -> bool {
    matches!(suite, 0x0001..=0x003a | 0x0041..=0x0046 | 0x0084..=0x009b | 0xc001..=0xc022 | 0xc033..=0xc036)
}

/// The key exchange of a suite of SSL 3.0 to TLS 1.2; TLS 1.3 suites say nothing about it.
pub fn key_exchange(suite: u16) -> KeyExchange {
    let at = SUITES.partition_point(|(_, last, _)| *last < suite);
    match SUITES.get(at) {
        Some((first, _, kx)) if *first <= suite => *kx,
        _ => KeyExchange::Unknown,
    }
}

/// What a suite of SSL 3.0 to TLS 1.2 leaves out or does with an algorithm that is broken (the registry's *TLS Cipher Suites*; RFC 7465 for RC4,
/// RFC 7525 §4.1 for the others), the gravest word of several.
pub fn weakness(suite: u16) -> Option<&'static str> {
    Some(match suite {
        _ if key_exchange(suite) == Anonymous => "anonymous",
        0x0000..=0x0002
        | 0x002c..=0x002e
        | 0x003b
        | 0x00b0
        | 0x00b1
        | 0x00b4
        | 0x00b5
        | 0x00b8
        | 0x00b9
        | 0xc001
        | 0xc006
        | 0xc00b
        | 0xc010
        | 0xc039..=0xc03b
        | 0xc0b4
        | 0xc0b5
        // Fortezza's of SSL 3.0 and those of GOST (IANA: reserved, unassigned, private use).
        | 0x001c
        | 0x0082
        | 0x0083
        | 0xff87 => "NULL",
        0x0003 | 0x0006 | 0x0008 | 0x000b | 0x000e | 0x0011 | 0x0014 | 0x0026..=0x002b | 0x0060..=0x0065 => "export",
        0x0004 | 0x0005 | 0x0020 | 0x0024 | 0x0066 | 0x008a | 0x008e | 0x0092 | 0xc002 | 0xc007 | 0xc00c | 0xc011 | 0xc033 => "RC4",
        // The last two are Netscape's, of FIPS mode, as are 0xfeff and 0xffe0 below (IANA: private use).
        0x0009 | 0x000c | 0x000f | 0x0012 | 0x0015 | 0x001e | 0x0022 | 0xfefe | 0xffe1 => "DES",
        0x000a
        | 0x000d
        | 0x0010
        | 0x0013
        | 0x0016
        | 0x001f
        | 0x0023
        | 0x008b
        | 0x008f
        | 0x0093
        | 0xc003
        | 0xc008
        | 0xc00d
        | 0xc012
        | 0xc01a..=0xc01c
        | 0xc034
        | 0xfeff | 0xffe0 => "3DES",
        0x0025 => "MD5",
        _ => return None,
    })
}

/// An AEAD we can open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aead {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl Aead {
    pub(crate) fn algorithm(self) -> &'static aws_lc_rs::aead::Algorithm {
        match self {
            Aead::Aes128Gcm => &aws_lc_rs::aead::AES_128_GCM,
            Aead::Aes256Gcm => &aws_lc_rs::aead::AES_256_GCM,
            Aead::ChaCha20Poly1305 => &aws_lc_rs::aead::CHACHA20_POLY1305,
        }
    }
}

/// The hash of the key schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Sha256,
    Sha384,
}

impl Hash {
    /// Bytes of its output.
    pub fn size(self) -> usize {
        match self {
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
        }
    }

    pub(crate) fn hkdf(self) -> aws_lc_rs::hkdf::Algorithm {
        match self {
            Hash::Sha256 => aws_lc_rs::hkdf::HKDF_SHA256,
            Hash::Sha384 => aws_lc_rs::hkdf::HKDF_SHA384,
        }
    }
}

/// The hash of a TLS 1.3 suite. (The two SM3 suites hash to 32 bytes too.)
pub fn hash13(suite: u16) -> Hash {
    if suite == 0x1302 { Hash::Sha384 } else { Hash::Sha256 }
}

/// The AEAD of a TLS 1.3 suite, if we open it.
pub fn aead13(suite: u16) -> Option<Aead> {
    match suite {
        0x1301 => Some(Aead::Aes128Gcm),
        0x1302 => Some(Aead::Aes256Gcm),
        0x1303 => Some(Aead::ChaCha20Poly1305),
        _ => None,
    }
}

/// The keyed hash of a suite without AEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mac {
    Md5,
    Sha1,
    Sha256,
    Sha384,
}

impl Mac {
    /// Bytes of its output, and of its key.
    pub fn size(self) -> usize {
        match self {
            Mac::Md5 => 16,
            Mac::Sha1 => 20,
            Mac::Sha256 => 32,
            Mac::Sha384 => 48,
        }
    }
}

/// How a suite of TLS 1.0 to 1.2 protects records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bulk {
    Aead(Aead),
    /// AES with a key of so many bytes.
    Cbc(usize, Mac),
    Rc4(Mac),
    /// Not at all: the bytes stand in the record as they are, with a MAC behind them.
    Null(Mac),
}

/// Whether records under a suite show what they hold: a MAC and no cipher. RFC 9150 has such for TLS 1.3.
pub fn is_bare(suite: u16) -> bool {
    matches!(suite, 0xc0b4 | 0xc0b5) || matches!(bulk(suite), Some((Bulk::Null(_), _)))
}

/// What protects records under a suite before TLS 1.3, and the hash of its PRF in TLS 1.2, if we open it.
pub fn bulk(suite: u16) -> Option<(Bulk, Hash)> {
    if let Some((aead, hash)) = aead12(suite) {
        return Some((Bulk::Aead(aead), hash));
    }
    let bulk = match suite {
        0x0001 => Bulk::Null(Mac::Md5),
        0x0002 | 0x002c..=0x002e | 0xc001 | 0xc006 | 0xc00b | 0xc010 | 0xc015 | 0xc039 => Bulk::Null(Mac::Sha1),
        0x003b | 0x00b0 | 0x00b4 | 0x00b8 | 0xc03a => Bulk::Null(Mac::Sha256),
        0x00b1 | 0x00b5 | 0x00b9 | 0xc03b => Bulk::Null(Mac::Sha384),
        0x0004 | 0x0018 => Bulk::Rc4(Mac::Md5),
        0x0005 | 0x008a | 0x008e | 0x0092 | 0xc002 | 0xc007 | 0xc00c | 0xc011 | 0xc016 | 0xc033 => Bulk::Rc4(Mac::Sha1),
        // RFC 3268, 4279, 8422, 5489.
        0x002f..=0x0034 | 0x008c | 0x0090 | 0x0094 | 0xc004 | 0xc009 | 0xc00e | 0xc013 | 0xc018 | 0xc035 => Bulk::Cbc(16, Mac::Sha1),
        0x0035..=0x003a | 0x008d | 0x0091 | 0x0095 | 0xc005 | 0xc00a | 0xc00f | 0xc014 | 0xc019 | 0xc036 => Bulk::Cbc(32, Mac::Sha1),
        // RFC 5246, 5289, 5487, 5489.
        0x003c | 0x003e..=0x0040 | 0x0067 | 0x006c | 0x00ae | 0x00b2 | 0x00b6 | 0xc023 | 0xc025 | 0xc027 | 0xc029 | 0xc037 => {
            Bulk::Cbc(16, Mac::Sha256)
        }
        0x003d | 0x0068..=0x006b | 0x006d => Bulk::Cbc(32, Mac::Sha256),
        0x00af | 0x00b3 | 0x00b7 | 0xc024 | 0xc026 | 0xc028 | 0xc02a | 0xc038 => Bulk::Cbc(32, Mac::Sha384),
        _ => return None,
    };
    let hash = match bulk {
        Bulk::Cbc(_, Mac::Sha384) | Bulk::Null(Mac::Sha384) => Hash::Sha384,
        _ => Hash::Sha256,
    };
    Some((bulk, hash))
}

/// The AEAD and PRF hash of a TLS 1.2 suite, if we open it.
fn aead12(suite: u16) -> Option<(Aead, Hash)> {
    let small = (Aead::Aes128Gcm, Hash::Sha256);
    let large = (Aead::Aes256Gcm, Hash::Sha384);
    match suite {
        // RFC 5288 and RFC 5487: AES-128 at even numbers.
        0x009c..=0x00ad => Some(if suite.is_multiple_of(2) { small } else { large }),
        // RFC 5289: AES-128 at odd numbers.
        0xc02b..=0xc032 => Some(if suite % 2 == 1 { small } else { large }),
        // RFC 8442.
        0xd001 => Some(small),
        0xd002 => Some(large),
        // RFC 7905.
        0xcca8..=0xccae => Some((Aead::ChaCha20Poly1305, Hash::Sha256)),
        _ => None,
    }
}

/// Runs of suite numbers with one key exchange, in order: the IANA registry of TLS cipher suites (2026), with the vendors' numbers that
/// Wireshark knows. RSA_PSK transports a secret under the server's static RSA key, hence stands with plain PSK: no forward secrecy.
const SUITES: &[(u16, u16, KeyExchange)] = &[
    (0x0000, 0x0000, Null),
    (0x0001, 0x000a, Rsa),
    (0x000b, 0x0010, StaticDh),
    (0x0011, 0x0016, Dhe),
    (0x0017, 0x001b, Anonymous),
    (0x002c, 0x002c, Psk),
    (0x002d, 0x002d, PskDhe),
    (0x002e, 0x002e, Psk),
    (0x002f, 0x002f, Rsa),
    (0x0030, 0x0031, StaticDh),
    (0x0032, 0x0033, Dhe),
    (0x0034, 0x0034, Anonymous),
    (0x0035, 0x0035, Rsa),
    (0x0036, 0x0037, StaticDh),
    (0x0038, 0x0039, Dhe),
    (0x003a, 0x003a, Anonymous),
    (0x003b, 0x003d, Rsa),
    (0x003e, 0x003f, StaticDh),
    (0x0040, 0x0040, Dhe),
    (0x0041, 0x0041, Rsa),
    (0x0042, 0x0043, StaticDh),
    (0x0044, 0x0045, Dhe),
    (0x0046, 0x0046, Anonymous),
    (0x0060, 0x0062, Rsa),
    (0x0063, 0x0063, Dhe),
    (0x0064, 0x0064, Rsa),
    (0x0065, 0x0067, Dhe),
    (0x0068, 0x0069, StaticDh),
    (0x006a, 0x006b, Dhe),
    (0x006c, 0x006d, Anonymous),
    (0x0084, 0x0084, Rsa),
    (0x0085, 0x0086, StaticDh),
    (0x0087, 0x0088, Dhe),
    (0x0089, 0x0089, Anonymous),
    (0x008a, 0x008d, Psk),
    (0x008e, 0x0091, PskDhe),
    (0x0092, 0x0095, Psk),
    (0x0096, 0x0096, Rsa),
    (0x0097, 0x0098, StaticDh),
    (0x0099, 0x009a, Dhe),
    (0x009b, 0x009b, Anonymous),
    (0x009c, 0x009d, Rsa),
    (0x009e, 0x009f, Dhe),
    (0x00a0, 0x00a1, StaticDh),
    (0x00a2, 0x00a3, Dhe),
    (0x00a4, 0x00a5, StaticDh),
    (0x00a6, 0x00a7, Anonymous),
    (0x00a8, 0x00a9, Psk),
    (0x00aa, 0x00ab, PskDhe),
    (0x00ac, 0x00b1, Psk),
    (0x00b2, 0x00b5, PskDhe),
    (0x00b6, 0x00b9, Psk),
    (0x00ba, 0x00ba, Rsa),
    (0x00bb, 0x00bc, StaticDh),
    (0x00bd, 0x00be, Dhe),
    (0x00bf, 0x00bf, Anonymous),
    (0x00c0, 0x00c0, Rsa),
    (0x00c1, 0x00c2, StaticDh),
    (0x00c3, 0x00c4, Dhe),
    (0x00c5, 0x00c5, Anonymous),
    (0xc001, 0xc005, StaticDh),
    (0xc006, 0xc00a, Ecdhe),
    (0xc00b, 0xc00f, StaticDh),
    (0xc010, 0xc014, Ecdhe),
    (0xc015, 0xc019, Anonymous),
    (0xc023, 0xc024, Ecdhe),
    (0xc025, 0xc026, StaticDh),
    (0xc027, 0xc028, Ecdhe),
    (0xc029, 0xc02a, StaticDh),
    (0xc02b, 0xc02c, Ecdhe),
    (0xc02d, 0xc02e, StaticDh),
    (0xc02f, 0xc030, Ecdhe),
    (0xc031, 0xc032, StaticDh),
    (0xc033, 0xc03b, PskDhe),
    (0xc03c, 0xc03d, Rsa),
    (0xc03e, 0xc041, StaticDh),
    (0xc042, 0xc045, Dhe),
    (0xc046, 0xc047, Anonymous),
    (0xc048, 0xc049, Ecdhe),
    (0xc04a, 0xc04b, StaticDh),
    (0xc04c, 0xc04d, Ecdhe),
    (0xc04e, 0xc04f, StaticDh),
    (0xc050, 0xc051, Rsa),
    (0xc052, 0xc053, Dhe),
    (0xc054, 0xc055, StaticDh),
    (0xc056, 0xc057, Dhe),
    (0xc058, 0xc059, StaticDh),
    (0xc05a, 0xc05b, Anonymous),
    (0xc05c, 0xc05d, Ecdhe),
    (0xc05e, 0xc05f, StaticDh),
    (0xc060, 0xc061, Ecdhe),
    (0xc062, 0xc063, StaticDh),
    (0xc064, 0xc065, Psk),
    (0xc066, 0xc067, PskDhe),
    (0xc068, 0xc06b, Psk),
    (0xc06c, 0xc06d, PskDhe),
    (0xc06e, 0xc06f, Psk),
    (0xc070, 0xc071, PskDhe),
    (0xc072, 0xc073, Ecdhe),
    (0xc074, 0xc075, StaticDh),
    (0xc076, 0xc077, Ecdhe),
    (0xc078, 0xc079, StaticDh),
    (0xc07a, 0xc07b, Rsa),
    (0xc07c, 0xc07d, Dhe),
    (0xc07e, 0xc07f, StaticDh),
    (0xc080, 0xc081, Dhe),
    (0xc082, 0xc083, StaticDh),
    (0xc084, 0xc085, Anonymous),
    (0xc086, 0xc087, Ecdhe),
    (0xc088, 0xc089, StaticDh),
    (0xc08a, 0xc08b, Ecdhe),
    (0xc08c, 0xc08d, StaticDh),
    (0xc08e, 0xc08f, Psk),
    (0xc090, 0xc091, PskDhe),
    (0xc092, 0xc095, Psk),
    (0xc096, 0xc097, PskDhe),
    (0xc098, 0xc099, Psk),
    (0xc09a, 0xc09b, PskDhe),
    (0xc09c, 0xc09d, Rsa),
    (0xc09e, 0xc09f, Dhe),
    (0xc0a0, 0xc0a1, Rsa),
    (0xc0a2, 0xc0a3, Dhe),
    (0xc0a4, 0xc0a5, Psk),
    (0xc0a6, 0xc0a7, PskDhe),
    (0xc0a8, 0xc0a9, Psk),
    (0xc0aa, 0xc0ab, PskDhe),
    (0xc0ac, 0xc0af, Ecdhe),
    (0xcc13, 0xcc14, Ecdhe),
    (0xcc15, 0xcc15, Dhe),
    (0xcca8, 0xcca9, Ecdhe),
    (0xccaa, 0xccaa, Dhe),
    (0xccab, 0xccab, Psk),
    (0xccac, 0xccad, PskDhe),
    (0xccae, 0xccae, Psk),
    (0xd001, 0xd003, PskDhe),
    (0xd005, 0xd005, PskDhe),
    (0xe001, 0xe001, Ecdhe),
    (0xe009, 0xe00a, Rsa),
    (0xe011, 0xe011, Ecdhe),
    (0xe019, 0xe01a, Rsa),
    (0xe01c, 0xe01c, Rsa),
    (0xe051, 0xe051, Ecdhe),
    (0xe059, 0xe05a, Rsa),
    (0xe410, 0xe411, Rsa),
    (0xe412, 0xe415, Ecdhe),
    (0xe416, 0xe417, Psk),
    (0xe418, 0xe419, PskDhe),
    (0xe41a, 0xe41b, Psk),
    (0xe41c, 0xe41d, PskDhe),
    (0xe41e, 0xe41f, Dhe),
    (0xfefe, 0xfeff, Rsa),
    (0xffe0, 0xffe1, Rsa),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weaknesses() {
        for (suite, expect) in [
            (0x0034, Some("anonymous")),
            (0x00a6, Some("anonymous")),
            (0xc015, Some("anonymous")),
            (0xc018, Some("anonymous")),
            (0x0000, Some("NULL")),
            (0x003b, Some("NULL")),
            (0xc006, Some("NULL")),
            (0x0082, Some("NULL")),
            (0xff87, Some("NULL")),
            (0x001c, Some("NULL")),
            (0x0061, Some("export")),
            (0xffe0, Some("3DES")),
            (0xffe1, Some("DES")),
            (0x0003, Some("export")),
            (0x0005, Some("RC4")),
            (0xc011, Some("RC4")),
            (0x0009, Some("DES")),
            (0xc012, Some("3DES")),
            (0x0025, Some("MD5")),
            (0xfefe, Some("DES")),
            (0xfeff, Some("3DES")),
            (0x002f, None),
            (0x00ff, None),
            (0x1301, None),
            (0x5600, None),
            (0xc02b, None),
            (0xcca8, None),
        ] {
            assert_eq!(weakness(suite), expect, "{suite:04x}");
        }
    }

    #[test]
    fn suites_of_old_versions() {
        // RSA with RC4, AES-CBC, ECDHE with AES-CBC and SHA-1.
        for old in [0x0005, 0x002f, 0xc013, 0xc00a] {
            assert!(before_12(old), "{old:#06x}");
        }
        // CBC with SHA-256, GCM, CCM, ChaCha20, TLS 1.3, the values that only signal.
        for new in [0x003c, 0x009c, 0xc023, 0xc02f, 0xc09c, 0xcca8, 0x1301, 0x00ff, 0x5600] {
            assert!(!before_12(new), "{new:#06x}");
        }
    }

    #[test]
    fn rows() {
        for (suite, expect) in [
            (0x0000, Null),
            (0x0005, Rsa),
            (0x002f, Rsa),
            (0x0033, Dhe),
            (0x001b, Anonymous),
            (0x008c, Psk),
            (0x009e, Dhe),
            (0x00ad, Psk),
            (0xc004, StaticDh),
            (0xc013, Ecdhe),
            (0xc02f, Ecdhe),
            (0xc018, Anonymous),
            (0xc035, PskDhe),
            (0xcca8, Ecdhe),
            (0xccaa, Dhe),
            (0x1301, KeyExchange::Unknown),
            (0x00ff, KeyExchange::Unknown),
            (0xffff, KeyExchange::Unknown),
        ] {
            assert_eq!(key_exchange(suite), expect, "{suite:04x}");
        }
        assert!(SUITES.windows(2).all(|w| w[0].1 < w[1].0), "in order and apart");
    }

    /// Whatever has a cipher here has a key exchange in the registry.
    #[test]
    fn bulks() {
        for suite in (0..=u16::MAX).filter(|s| bulk(*s).is_some()) {
            assert_ne!(key_exchange(suite), KeyExchange::Unknown, "{suite:04x}");
        }
        assert_eq!(bulk(0x002f), Some((Bulk::Cbc(16, Mac::Sha1), Hash::Sha256)));
        assert_eq!(bulk(0xc028), Some((Bulk::Cbc(32, Mac::Sha384), Hash::Sha384)));
        assert_eq!(bulk(0x000a), None);
    }

    #[test]
    fn grease() {
        assert!(is_grease(0x0a0a) && is_grease(0xfafa));
        assert!(!is_grease(0x0a1a) && !is_grease(0x1301));
    }
}
