//! Which signs stand in a text at all: a search that begins at a rare byte need not begin where the text has none.

/// The signs that occur in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signs(u32);

impl Signs {
    pub(super) const AT: Signs = Signs(1);
    pub(super) const DIGIT: Signs = Signs(1 << 1);
    pub(super) const PLUS: Signs = Signs(1 << 2);
    /// What parts the pairs of a hardware address or of a dump: `:`, `-` and the space.
    pub(super) const PART: Signs = Signs(1 << 3);
    /// What stands between a name and its value: `=`, `:` and `>`.
    pub(super) const NAME: Signs = Signs(1 << 4);
    pub(super) const EQUALS: Signs = Signs(1 << 5);
    pub(super) const PERCENT: Signs = Signs(1 << 6);
    pub(super) const BACKSLASH: Signs = Signs(1 << 7);
    pub(super) const AMPERSAND: Signs = Signs(1 << 8);
    pub(super) const BRACKET: Signs = Signs(1 << 9);
    pub(super) const ZERO: Signs = Signs(1 << 10);
    /// The first byte of gzip.
    pub(super) const GZIP: Signs = Signs(1 << 11);
    /// The last byte of zstd's four.
    pub(super) const ZSTD: Signs = Signs(1 << 12);
    /// The first byte of zlib as it is mostly written.
    pub(super) const ZLIB: Signs = Signs(1 << 13);
    /// The `J` of `eyJ`, with which a JSON object begins in base64.
    pub(super) const TOKEN: Signs = Signs(1 << 14);
    /// The quotes of a multipart name.
    pub(super) const QUOTE: Signs = Signs(1 << 15);
    /// The third byte of a ZIP member's head.
    pub(super) const ZIP: Signs = Signs(1 << 16);
    /// The first bytes of blanks and hyphens beyond ASCII.
    pub(super) const WIDE: Signs = Signs(1 << 17);
    /// Bytes beyond ASCII, and the escape by which character sets of seven bits shift.
    pub(super) const UPPER: Signs = Signs(1 << 18);
    pub(super) const HYPHEN: Signs = Signs(1 << 19);
    /// The second sign of an encoded word.
    pub(super) const QUESTION: Signs = Signs(1 << 20);
    /// The `V` of `BEGIN:VCARD`.
    pub(super) const CARD: Signs = Signs(1 << 21);
    pub(super) const TAG: Signs = Signs(1 << 22);
    pub(super) const DOLLAR: Signs = Signs(1 << 23);
    /// The `G` of `GPSLatitude`.
    pub(super) const GPS: Signs = Signs(1 << 24);

    pub(super) fn of(text: &[u8]) -> Signs {
        let mut lanes = [0u32; 8];
        let (chunks, rest) = text.as_chunks::<8>();
        for chunk in chunks {
            for (lane, b) in lanes.iter_mut().zip(chunk) {
                *lane |= TABLE[usize::from(*b)];
            }
        }
        let tail = rest.iter().fold(0, |sum, b| sum | TABLE[usize::from(*b)]);
        Signs(lanes.into_iter().fold(tail, |sum, lane| sum | lane))
    }

    /// Whether any of these occurs.
    pub(super) fn has(self, any: Signs) -> bool {
        self.0 & any.0 != 0
    }

    pub(super) const fn or(self, other: Signs) -> Signs {
        Signs(self.0 | other.0)
    }
}

static TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let signs = [
        (b'@', Signs::AT),
        (b'+', Signs::PLUS),
        (b':', Signs::PART.or(Signs::NAME)),
        (b'-', Signs::PART.or(Signs::HYPHEN)),
        (b'?', Signs::QUESTION),
        (b'V', Signs::CARD),
        (b'<', Signs::TAG),
        (b'$', Signs::DOLLAR),
        (b'G', Signs::GPS),
        (b' ', Signs::PART),
        (b'=', Signs::NAME.or(Signs::EQUALS)),
        (b'>', Signs::NAME),
        (b'%', Signs::PERCENT),
        (b'\\', Signs::BACKSLASH),
        (b'&', Signs::AMPERSAND),
        (b'[', Signs::BRACKET),
        (0, Signs::ZERO),
        (3, Signs::ZIP),
        (0x1f, Signs::GZIP),
        (0xfd, Signs::ZSTD),
        (0x78, Signs::ZLIB),
        (b'J', Signs::TOKEN),
        (b'"', Signs::QUOTE),
        (0xc2, Signs::WIDE),
        (0xe2, Signs::WIDE),
    ];
    let mut n = 0;
    while n < signs.len() {
        table[signs[n].0 as usize] = signs[n].1.0;
        n += 1;
    }
    let mut digit = b'0';
    while digit <= b'9' {
        table[digit as usize] = Signs::DIGIT.0;
        digit += 1;
    }
    table[0x1b] = Signs::UPPER.0;
    let mut upper = 0x80;
    while upper < table.len() {
        table[upper] |= Signs::UPPER.0;
        upper += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sign_wherever_it_stands() {
        for (sign, of) in
            [(b'@', Signs::AT), (b'7', Signs::DIGIT), (b'>', Signs::NAME), (0, Signs::ZERO), (0xfd, Signs::ZSTD.or(Signs::UPPER))]
        {
            for len in [1, 7, 8, 9, 30] {
                for at in 0..len {
                    let mut text = vec![b'q'; len];
                    assert!(!Signs::of(&text).has(of));
                    text[at] = sign;
                    assert_eq!(Signs::of(&text), of, "{at} of {len}");
                }
            }
        }
        assert!(Signs::of(b"a:b").has(Signs::PART) && Signs::of(b"a:b").has(Signs::NAME));
    }
}
