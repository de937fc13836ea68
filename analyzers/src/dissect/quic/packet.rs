//! QUIC packets as the invariants show them (RFC 8999), and the long headers of the versions we know.

use crate::dissect::tls::cursor::Cursor;

/// The kinds of long-header packets; their numbers differ by version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
}

/// A long header, and what follows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Long<'a> {
    pub(crate) version: u32,
    pub(crate) destination: &'a [u8],
    /// Everything after the source connection id.
    pub(crate) rest: &'a [u8],
}

/// Version of a Version Negotiation packet.
pub(crate) const NEGOTIATION: u32 = 0;

/// Connection ids are at most this long in all versions we know (RFC 9000 §17.2).
const LONGEST_ID: usize = 20;

impl<'a> Long<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Long<'a>> {
        let mut it = Cursor::new(bytes);
        if it.u8()? & 0x80 == 0 {
            return None;
        }
        let version = it.u32()?;
        let (destination, source) = if has_one_length(version) {
            // Four bits each: nothing, or three bytes more than they say.
            let lengths = usize::from(it.u8()?);
            let long = |n: usize| if n == 0 { 0 } else { n + 3 };
            (it.take(long(lengths >> 4))?, it.take(long(lengths & 15))?)
        } else {
            (it.vec8()?, it.vec8()?)
        };
        if destination.len() > LONGEST_ID || source.len() > LONGEST_ID {
            return None;
        }
        Some(Long { version, destination, rest: it.rest() })
    }

    /// What kind of packet a first byte says, for a version whose numbers we know.
    pub(crate) fn kind(version: &Version, first: u8) -> Kind {
        let number = first >> 4 & 3;
        // RFC 9369 §3.2 turns the numbers by one.
        match if version.second { number.wrapping_sub(1) & 3 } else { number } {
            0 => Kind::Initial,
            1 => Kind::ZeroRtt,
            2 => Kind::Handshake,
            _ => Kind::Retry,
        }
    }
}

/// Where a packet that carries its length lies in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The packet number, still protected, begins here.
    pub(crate) number: usize,
    /// The packet ends here.
    pub(crate) end: usize,
}

impl Span {
    /// Of the packet at the start of `bytes`.
    pub(crate) fn of(bytes: &[u8], long: &Long<'_>, kind: Kind) -> Option<Span> {
        let mut it = Cursor::new(long.rest);
        if kind == Kind::Initial {
            let token = usize::try_from(it.varint()?).ok()?;
            it.take(token)?;
        }
        let len = usize::try_from(it.varint()?).ok()?;
        let number = bytes.len() - it.rest().len();
        it.take(len)?;
        Some(Span { number, end: number + len })
    }
}

/// What differs between versions before any secret is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version {
    pub(crate) salt: [u8; 20],
    /// Version 2: other labels, other numbers.
    pub(crate) second: bool,
}

/// The versions whose Initial packets we open.
pub(crate) fn version(number: u32) -> Option<Version> {
    let first = |salt| Some(Version { salt, second: false });
    match number {
        // RFC 9001 §5.2; drafts 33 and 34 already had it.
        0x0000_0001 | 0xff00_0021 | 0xff00_0022 => first(V1),
        // RFC 9369 §3.3.1, and the number its drafts used.
        0x6b33_43cf => Some(Version { salt: V2, second: true }),
        0x709a_50c4 => Some(Version { salt: V2_DRAFT, second: true }),
        // draft-ietf-quic-tls-29; MsQuic's own number for it.
        0xff00_001d..=0xff00_0020 | 0xabcd_0000 => first(DRAFT_29),
        // draft-ietf-quic-tls-23; Facebook's mvfst on draft 27, and its experiments.
        0xff00_0017..=0xff00_001c | 0xface_b002 | 0xface_b00e | 0xface_b011 | 0xface_b013 => first(DRAFT_23),
        // draft-ietf-quic-tls-21; mvfst on draft 22.
        0xff00_0015 | 0xff00_0016 | 0xface_b001 => first(DRAFT_21),
        // Google's "T050" and "T051".
        0x5430_3530 => first(T050),
        0x5430_3531 => first(T051),
        _ => None,
    }
}

/// The versions whose keys an Initial packet with this number may have. A reserved number (RFC 9000 §15) stands for whichever its sender took;
/// the packet's tag tells.
pub(crate) fn candidates(number: u32) -> impl Iterator<Item = Version> {
    let reserved: &[[u8; 20]] = if number & 0x0f0f_0f0f == 0x0a0a_0a0a { &[V1, DRAFT_29, DRAFT_23] } else { &[] };
    version(number).into_iter().chain(reserved.iter().map(|salt| Version { salt: *salt, second: false }))
}

/// Whether this is a number some QUIC uses: one we open, a reserved one (RFC 9000 §15), a draft, Google's or Facebook's.
pub(crate) fn is_known(number: u32) -> bool {
    version(number).is_some()
        || number & 0x0f0f_0f0f == 0x0a0a_0a0a
        || number >> 8 == 0x00ff_0000
        || number >> 8 == 0x00fa_ceb0
        || is_google(number.to_be_bytes())
}

/// Whether one byte says how long both connection ids are: up to draft 21 (draft-ietf-quic-transport-21 §17.2), and in Google's Q044 to Q047.
fn has_one_length(number: u32) -> bool {
    (0xff00_0001..=0xff00_0015).contains(&number) || (0x5130_3434..=0x5130_3437).contains(&number)
}

/// `Q043`, `T051`: a letter and three digits.
pub(crate) fn is_google(number: [u8; 4]) -> bool {
    let [letter, digits @ ..] = number;
    matches!(letter, b'Q' | b'T') && digits.iter().all(u8::is_ascii_digit)
}

const V1: [u8; 20] =
    [0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a];
const V2: [u8; 20] =
    [0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9];
const V2_DRAFT: [u8; 20] =
    [0xa7, 0x07, 0xc2, 0x03, 0xa5, 0x9b, 0x47, 0x18, 0x4a, 0x1d, 0x62, 0xca, 0x57, 0x04, 0x06, 0xea, 0x7a, 0xe3, 0xe5, 0xd3];
const DRAFT_29: [u8; 20] =
    [0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43, 0x90, 0xa8, 0x99];
const DRAFT_23: [u8; 20] =
    [0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7, 0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65, 0xbe, 0xf9, 0xf5, 0x02];
const DRAFT_21: [u8; 20] =
    [0x7f, 0xbc, 0xdb, 0x0e, 0x7c, 0x66, 0xbb, 0xe9, 0x19, 0x3a, 0x96, 0xcd, 0x21, 0x51, 0x9e, 0xbd, 0x7a, 0x02, 0x64, 0x4a];
const T050: [u8; 20] =
    [0x7f, 0xf5, 0x79, 0xe5, 0xac, 0xd0, 0x72, 0x91, 0x55, 0x80, 0x30, 0x4c, 0x43, 0xa2, 0x36, 0x7c, 0x60, 0x48, 0x83, 0x10];
const T051: [u8; 20] =
    [0x7a, 0x4e, 0xde, 0xf4, 0xe7, 0xcc, 0xee, 0x5f, 0xa4, 0x50, 0x6c, 0x19, 0x12, 0x4f, 0xc8, 0xcc, 0xda, 0x6e, 0x03, 0x3d];
