//! TLS in a stream that was joined inside a record: two headers, the second where the first one's length says (RFC 8446 §5.1).

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::dissect::tls::side;

/// Headers of one direction whose next one is still to come.
///
/// By chance bytes are a header once in 10^8 times, and two of them so far apart once in 10^15.
#[derive(Debug, Default)]
pub struct Midway {
    /// Where in the stream the next header has to stand; 0 = none.
    next: [u64; EXPECTED],
    looked: u64,
}

/// More headers than that do not come by chance in [`LOOKED`] bytes.
const EXPECTED: usize = 4;
/// A header comes after 18 KiB at the latest, its next one after 18 more.
const LOOKED: u64 = 64 << 10;
/// Every version since 1.2 writes so; application data is nearly all of what lies in the middle of a stream.
const SIGN: &[u8] = &[side::APPLICATION, 3, 3];

impl Midway {
    /// Where in the last bytes of a direction a record begins beyond doubt. They stand at `offset` of the stream; those before `old` were looked
    /// at before.
    pub fn find(&mut self, offset: u64, bytes: &[u8], old: usize) -> Option<usize> {
        static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(SIGN));
        if self.looked > LOOKED {
            return None;
        }
        self.looked += (bytes.len() - old) as u64;
        // What was cut off then is whole now.
        let from = (old + 1).saturating_sub(side::HEADER);
        for at in FINDER.find_iter(bytes.get(from..)?).map(|at| from + at) {
            let Some(len) = bytes.get(at..).and_then(side::Header::read).map(side::Header::len) else { break };
            if (1..=side::LONGEST).contains(&len)
                && let Some(free) = self.next.iter_mut().find(|next| **next == 0)
            {
                *free = offset + (at + side::HEADER + len) as u64;
            }
        }
        let mut found = None;
        for next in self.next.iter_mut().filter(|next| **next > 0) {
            let Some(rest) = next.checked_sub(offset).and_then(|at| bytes.get(at as usize..)) else {
                if *next < offset {
                    *next = 0;
                }
                continue;
            };
            if rest.len() < side::HEADER {
                continue;
            }
            let header = side::Header::read(rest).filter(|h| h.plausible() && (1..=side::LONGEST).contains(&h.len()));
            if header.is_some() {
                let at = bytes.len() - rest.len();
                found = Some(found.map_or(at, |first: usize| first.min(at)));
            }
            *next = 0;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn record(len: u8) -> [u8; 5] {
        [23, 3, 3, 0, len]
    }

    fn stream(lens: &[u8]) -> Vec<u8> {
        let mut out = vec![0x55; 30];
        for len in lens {
            out.extend(record(*len));
            out.extend(std::iter::repeat_n(0xaa, usize::from(*len)));
        }
        out
    }

    /// As [`Midway::find`] is called: with the last bytes in front of each piece. Says where in the stream a record begins.
    fn find(bytes: &[u8], piece: usize) -> Option<usize> {
        let mut midway = Midway::default();
        bytes.chunks(piece).enumerate().find_map(|(n, piece_bytes)| {
            let (start, end) = (n * piece, n * piece + piece_bytes.len());
            let from = start.saturating_sub(64);
            midway.find(from as u64, &bytes[from..end], start - from).map(|at| from + at)
        })
    }

    #[test]
    fn the_second_of_two_headers_in_whatever_pieces() {
        let bytes = stream(&[40, 50, 60]);
        for piece in 1..bytes.len() + 9 {
            let at = find(&bytes, piece);
            assert!(at == Some(30 + 45), "{piece}: {at:?}");
        }
    }

    #[test]
    fn one_header_alone_is_chance() {
        for piece in [1, 7, 64, 500] {
            assert_eq!(find(&stream(&[40]), piece), None);
            let mut moved = stream(&[40, 50]);
            moved.insert(40, 0);
            assert_eq!(find(&moved, piece), None, "the next header is not where it should be");
        }
    }

    #[test]
    fn what_comes_late_is_not_looked_for() {
        let mut bytes = vec![0; 200_000];
        bytes.extend(stream(&[40, 50]));
        assert_eq!(find(&bytes, 1000), None);
    }
}
