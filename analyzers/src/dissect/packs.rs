//! A conversation that goes on as one deflate stream, without a head, once a command agrees on it (IMAP: RFC 4978, NNTP: RFC 8054).
//!
//! What is kept of the stream from before the command on is unpacked where it is taken apart; what comes after that has no beginning, and nobody
//! can.

use crate::leak::SWITCHES;

/// The command is no longer.
const SWITCH: usize = 18;
/// Nothing else than a greeting and a login comes before it.
const LOOKED_AT: u64 = 64 << 10;

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Packs {
    /// The last bytes, while they may begin the command.
    last: Vec<u8>,
    next: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Plain,
    Packed,
    /// The beginning was taken apart without this.
    Torn,
}

impl Packs {
    /// Takes the bytes that stand at `offset`; says how many of them nobody can unpack.
    pub(crate) fn take(&mut self, offset: u64, bytes: &[u8]) -> usize {
        let whole = offset == self.next;
        self.next = offset + bytes.len() as u64;
        match self.state {
            State::Plain if offset > LOOKED_AT => 0,
            State::Plain => {
                if !whole {
                    self.last.clear();
                }
                let has = |text: &[u8]| SWITCHES.iter().any(|switch| switch.find(text).is_some());
                self.last.extend_from_slice(bytes.get(..SWITCH).unwrap_or(bytes));
                if has(&self.last) || has(bytes) {
                    *self = Packs { last: Vec::new(), next: self.next, state: State::Packed };
                } else if bytes.len() > SWITCH {
                    self.last.clear();
                    self.last.extend_from_slice(&bytes[bytes.len() - SWITCH..]);
                } else {
                    self.last.drain(..self.last.len().saturating_sub(SWITCH));
                }
                0
            }
            State::Packed if whole => 0,
            State::Packed | State::Torn => {
                self.state = State::Torn;
                bytes.len()
            }
        }
    }

    /// What is kept of the stream is taken apart now.
    pub(crate) fn pause(&mut self) {
        self.last.shrink_to_fit();
        if self.state == State::Packed {
            self.state = State::Torn;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes of what follows the words nobody can unpack, in whatever pieces, `pause`: after a silence.
    #[track_caller]
    fn check(words: &[u8], pause: bool, gap: u64, expect: usize) {
        for size in [1, 7, 4096] {
            let (mut packs, mut at, mut got) = (Packs::default(), 0, 0);
            for piece in words.chunks(size) {
                got += packs.take(at, piece);
                at += piece.len() as u64;
            }
            got += packs.take(at, b"\x4a\x4c");
            if pause {
                packs.pause();
            }
            got += packs.take(at + 2 + gap, b"\x4a\x4c\x52");
            assert_eq!(got, expect, "{} by {size}", words.escape_ascii());
        }
    }

    #[test]
    fn what_has_no_beginning() {
        check(b"a COMPRESS DEFLATE\r\n", false, 0, 0);
        check(b"a login x y\r\nb compress deflate\r\n", true, 0, 3);
        check(b"COMPRESS DEFLATE\r\n", false, 9, 3);
        check(b"COMPRESS DEFLATE x\r\n", true, 9, 0);
        check(b"COMPRESS GZIP\r\n", true, 9, 0);
        check(b"", true, 9, 0);
    }
}
