//! A conversation that goes on as one deflate stream, without a head, once a command agrees on it (IMAP: RFC 4978, NNTP: RFC 8054).
//!
//! What is kept of its beginning is unpacked where it is taken apart, and planted values are sought in it. Nobody reads the logins in it, nor what
//! comes after it was taken apart.

use crate::flow::Dir;
use crate::leak::SWITCHES;

/// The command is no longer.
const SWITCH: usize = 18;
/// Nothing else than a greeting and a login comes before it.
const LOOKED_AT: u64 = 64 << 10;
/// Nor is the line that answers it.
const ANSWER: usize = 512;

#[derive(Debug, Default)]
pub(crate) struct Packs {
    /// The last bytes of each direction, while they may begin the command or the answer.
    last: [Vec<u8>; 2],
    next: [u64; 2],
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Plain,
    /// By this direction.
    Asked(Dir),
    Packed,
}

impl Packs {
    /// Takes the bytes that stand at `offset`; says how many of them are packed.
    pub(crate) fn take(&mut self, dir: Dir, offset: u64, bytes: &[u8]) -> usize {
        let (last, next) = (&mut self.last[dir.index()], &mut self.next[dir.index()]);
        if *next != offset {
            last.clear();
        }
        *next = offset + bytes.len() as u64;
        match self.state {
            State::Plain if offset > LOOKED_AT => 0,
            State::Plain => {
                let has = |text: &[u8]| SWITCHES.iter().any(|switch| switch.find(text).is_some());
                last.extend_from_slice(bytes.get(..SWITCH).unwrap_or(bytes));
                if has(last) || has(bytes) {
                    self.last = Default::default();
                    self.state = State::Asked(dir);
                } else if bytes.len() > SWITCH {
                    last.clear();
                    last.extend_from_slice(&bytes[bytes.len() - SWITCH..]);
                } else {
                    last.drain(..last.len().saturating_sub(SWITCH));
                }
                0
            }
            // Who asks waits for the answer: no text is one that was not seen.
            State::Asked(asker) if asker == dir => {
                let is_text = |b: &u8| matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n');
                if bytes.iter().all(is_text) {
                    return 0;
                }
                self.state = State::Packed;
                bytes.len()
            }
            State::Asked(_) => {
                let before = last.len();
                last.extend_from_slice(bytes);
                let mut end = 0;
                let answer = last.split_inclusive(|b| *b == b'\n').find(|line| {
                    end += line.len();
                    // Untagged lines of IMAP come in front.
                    !line.starts_with(b"* ")
                });
                let Some(line) = answer.filter(|line| line.ends_with(b"\n") || line.len() > ANSWER) else { return 0 };
                let refused = matches!(line.first(), Some(b'4' | b'5'))
                    || line.split(|b| *b == b' ').nth(1).is_some_and(|word| word == b"NO" || word == b"BAD");
                self.state = if refused { State::Plain } else { State::Packed };
                let packed = if refused { 0 } else { last.len() - end.max(before).min(last.len()) };
                self.last = Default::default();
                packed
            }
            State::Packed => bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes are packed of what two say by turns, in whatever pieces.
    #[track_caller]
    fn check(said: &[(Dir, &[u8])], expect: usize) {
        for size in [1, 7, 4096] {
            let (mut packs, mut at, mut got) = (Packs::default(), [0; 2], 0);
            for (dir, bytes) in said {
                for piece in bytes.chunks(size) {
                    got += packs.take(*dir, at[dir.index()], piece);
                    at[dir.index()] += piece.len() as u64;
                }
            }
            assert_eq!(got, expect, "{said:?} by {size}");
        }
    }

    #[test]
    fn packed_streams() {
        use Dir::{Back, Out};
        let ask = (Out, &b"a COMPRESS DEFLATE\r\n"[..]);
        let packed = (Out, &b"\x4a\x4c\x52"[..]);
        check(&[ask, (Back, b"a OK active\r\n"), packed], 3);
        check(&[ask, (Back, b"* OK still here\r\na OK active\r\n\x4a\x4c"), packed, (Back, b"\x4a")], 6);
        check(&[(Out, b"a login x y\r\nb compress deflate\r\n"), (Back, b"b OK\r\n"), packed], 3);
        check(&[(Out, b"COMPRESS DEFLATE\r\n"), (Back, b"206 active\r\n"), packed, (Back, b"xx")], 5);
        for refused in [&b"a NO no\r\n"[..], b"a BAD what\r\n", b"502 no\r\n"] {
            check(&[ask, (Back, refused), (Out, b"b LOGIN x y\r\n"), (Back, b"b OK\r\n")], 0);
        }
        check(&[ask, (Out, b"\xf0\x9f")], 2);
        check(&[ask, (Out, b"b NOOP\r\n")], 0);
        check(&[(Out, b"a COMPRESS GZIP\r\n"), (Back, b"a OK\r\n"), packed], 0);
        check(&[(Out, b"COMPRESS DEFLATE, he said\r\n"), (Back, b"ok\r\n"), packed], 0);
    }
}
