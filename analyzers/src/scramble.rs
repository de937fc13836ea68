//! Passwords as two protocols write them so that they are not seen at a glance: without a key, so that everybody reads them.

/// A password in the login of TDS: UTF-16, the halves of each byte exchanged, then turned by 0xa5 (MS-TDS §2.2.6.4).
pub(crate) fn tds(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).map(|b| b.rotate_left(4) ^ 0xa5).collect()
}

/// What such bytes say.
pub(crate) fn from_tds(bytes: &[u8]) -> Option<String> {
    utf16(bytes.iter().map(|b| (b ^ 0xa5).rotate_left(4)))
}

/// Two bytes to a unit, the lower first.
pub(crate) fn utf16(bytes: impl IntoIterator<Item = u8>) -> Option<String> {
    let bytes: Vec<u8> = bytes.into_iter().collect();
    let (units, rest) = bytes.as_chunks::<2>();
    let text = String::from_utf16(&units.iter().map(|unit| u16::from_le_bytes(*unit)).collect::<Vec<_>>()).ok()?;
    rest.is_empty().then_some(text)
}

/// A password as the login of OSCAR (AIM, ICQ) "roasts" it: each byte turned by that of a table everybody knows. The same turns it back.
pub(crate) fn roast(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().zip(ROAST.iter().cycle()).map(|(b, key)| b ^ key).collect()
}

/// The table for a login by TLVs, as free clients have it (libpurple, `encode_password`).
const ROAST: [u8; 16] = [0xf3, 0x26, 0x81, 0xc4, 0x39, 0x86, 0xdb, 0x92, 0x71, 0xa3, 0xb9, 0xe6, 0x53, 0x7a, 0x95, 0x7c];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        // `a` is 0x61 0x00.
        assert_eq!(tds("a"), [0xb3, 0xa5]);
        assert_eq!(from_tds(&tds("Se c\u{fc}t")).as_deref(), Some("Se c\u{fc}t"));
        assert_eq!(from_tds(&[0xb3]), None);
        // A lone surrogate.
        assert_eq!(from_tds(&[0xa5, 0x28]), None);
        assert_eq!(roast(b"ab"), [0x92, 0x44]);
        assert_eq!(roast(&roast(b"longer than sixteen")), b"longer than sixteen");
    }
}
