//! Brotli streams with a window no larger than what is decoded of them.

/// So much may be decoded beyond what is asked for, before that is noticed.
const AHEAD: usize = 4096;

/// So much of a stream is decoded at most: what a window of 4 MiB decodes without being filled.
pub(crate) const WIDEST: usize = (4 << 20) - 16 - AHEAD;

/// The first byte of a brotli stream, with a window no larger than `limit` bytes of output can make use of.
///
/// A decoder makes room for the whole window that a stream names, up to 16 MiB, however short it is. Before a window is full, a distance reaches
/// back to the beginning whatever the window (RFC 7932 §4), so a smaller one that stays unfilled decodes to the same.
pub(crate) fn narrowed(first: u8, limit: usize) -> u8 {
    // RFC 7932 §9.1: a set bit and three that are not all zero say 17 bits and so many more; the window is 16 bytes short of that power of two.
    let (code, said) = (first & 15, (first >> 1) & 7);
    let needed = (limit + AHEAD + 16).next_power_of_two().trailing_zeros().max(18) as u8;
    if code & 1 == 1 && said > 0 && 17 + said > needed { first & 0xf0 | 1 | (needed - 17) << 1 } else { first }
}
