//! What a run of base64 may be beside one value from its first character on: a path whose segments are values, or a value with something written
//! in front of it.

use std::ops::Range;

use super::coding::Coding;
use super::regions::SHORTEST_BASE64;
use super::undo::{self, Packed, Undone};

/// Longer paths are turned away by most servers.
const LONGEST_PATH: usize = 8192;
/// So many segments of a path are undone by themselves: few paths have more that are long enough to hold something.
const MOST_SEGMENTS: usize = 64;
/// A printable stretch this long stands by accident in one of 3 000 places of random bytes.
const READABLE: usize = 8;
/// Six characters of UTF-16, from the first byte to the last.
const WIDE: usize = 11;

/// Whether a run is, or ends, the path of a URL, as far as its characters tell: `/` is one of base64's too (RFC 4648 §4). A path begins with it,
/// or behind a host.
pub(super) fn is_path(text: &[u8], region: &Range<usize>) -> bool {
    let run = &text[region.clone()];
    let before = region.start.checked_sub(1).and_then(|at| text.get(at));
    let begins = run.first() == Some(&b'/') || matches!(before, Some(b'.' | b':'));
    // Where characters of the alphabet for URLs stand (RFC 4648 §5), `/` is none of base64's.
    run.len() <= LONGEST_PATH && (begins || memchr::memchr2(b'-', b'_', run).is_some()) && memchr::memchr(b'/', run).is_some()
}

/// The segments of a path by themselves. What is packed without a signature is known only where it begins.
pub(super) fn segments(path: &[u8], start: usize, give: &mut dyn FnMut(Range<usize>, Coding, Undone) -> bool) -> bool {
    let mut at = start;
    let mut tried = 0;
    for segment in path.split(|b| *b == b'/') {
        let region = at..at + segment.len();
        at = region.end + 1;
        let mixed = || segment.iter().any(u8::is_ascii_uppercase) && segment.iter().any(u8::is_ascii_lowercase);
        if segment.len() >= SHORTEST_BASE64 && segment.len() < path.len() && tried < MOST_SEGMENTS && mixed() {
            tried += 1;
            if !give(region, Coding::Base64, undo::base64(segment)) {
                return false;
            }
        }
    }
    true
}

/// Whether there is more to it than to random bytes.
pub(super) fn telling(bytes: &[u8]) -> bool {
    let (mut readable, mut wide, mut before) = (0, 0, b'\xff');
    for b in bytes {
        let plain = matches!(b, b' '..=b'~');
        readable = if plain { readable + 1 } else { 0 };
        // UTF-16: characters and zeros by turns, six and more.
        wide = if plain && before == 0 || *b == 0 && matches!(before, b' '..=b'~') { wide + 1 } else { 0 };
        if readable >= READABLE || wide >= WIDE {
            return true;
        }
        before = *b;
    }
    Packed::sniff(bytes).is_some()
        || memchr::memmem::find(bytes, b"\x1f\x8b\x08").is_some()
        || memchr::memmem::find(bytes, b"\x78\x9c").is_some()
}
