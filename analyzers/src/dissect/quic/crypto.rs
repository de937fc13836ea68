//! The CRYPTO stream of one side: frames in any order, joined, read message by message.

use smallvec::SmallVec;

/// Handshake bytes further on than this are not kept: the first flight of a server with a long chain is some ten thousand, of a client with
/// post-quantum keys two thousand.
pub(crate) const KEPT: usize = 64 << 10;

/// Islands of bytes beyond this are not kept; an honest sender makes a handful.
const ISLANDS: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Crypto {
    bytes: Vec<u8>,
    /// What of `bytes` is there: ordered, apart from each other.
    have: SmallVec<[(usize, usize); 4]>,
    read: usize,
}

impl Crypto {
    /// Adds a frame. False: too far on, or too scattered.
    pub(crate) fn add(&mut self, offset: u64, data: &[u8]) -> bool {
        let Some((start, end)) = usize::try_from(offset).ok().and_then(|s| Some((s, s.checked_add(data.len())?))) else { return false };
        if end > KEPT || self.have.len() >= ISLANDS {
            return false;
        }
        if data.is_empty() {
            return true;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(data);
        let (mut from, mut to) = (start, end);
        self.have.retain(|(s, e)| {
            let apart = *e < from || *s > to;
            if !apart {
                from = from.min(*s);
                to = to.max(*e);
            }
            apart
        });
        let at = self.have.partition_point(|(s, _)| *s < from);
        self.have.insert(at, (from, to));
        true
    }

    /// The next whole handshake message: type and body.
    pub(crate) fn next(&mut self) -> Option<(u8, &[u8])> {
        let whole = match self.have.first() {
            Some((0, end)) => *end,
            _ => return None,
        };
        let ready = self.bytes.get(self.read..whole)?;
        let ([kind, a, b, c], rest) = ready.split_first_chunk::<4>()?;
        let len = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        let body = rest.get(..len)?;
        self.read += 4 + len;
        Some((*kind, body))
    }

    /// Bytes that wait for others.
    pub(crate) fn waits(&self) -> bool {
        self.have.last().is_some_and(|(_, end)| *end > self.read)
    }

    pub(crate) fn clear(&mut self) {
        *self = Crypto::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(frames: &[(u64, &[u8])], expect: Option<(u8, &[u8])>) {
        let mut it = Crypto::default();
        for (offset, data) in frames {
            it.add(*offset, data);
        }
        assert_eq!(it.next(), expect);
    }

    #[test]
    fn joins_in_any_order() {
        check(&[(0, &[1, 0, 0, 3, 7, 8, 9])], Some((1, &[7, 8, 9])));
        check(&[(4, &[7, 8, 9]), (0, &[1, 0, 0, 3])], Some((1, &[7, 8, 9])));
        check(&[(5, &[8, 9]), (0, &[1, 0]), (1, &[0, 0, 3, 7])], Some((1, &[7, 8, 9])));
        check(&[(6, &[9]), (2, &[0, 3]), (0, &[1, 0, 0]), (4, &[7]), (5, &[8])], Some((1, &[7, 8, 9])));
        check(&[(0, &[1, 0, 0, 3, 7]), (6, &[9])], None);
        check(&[(0, &[1, 0, 0, 0])], Some((1, &[])));
        check(&[], None);
    }

    #[test]
    fn is_bounded() {
        let mut it = Crypto::default();
        assert!(!it.add(u64::MAX, &[1]));
        assert!(!it.add(KEPT as u64, &[1]));
        for i in 0..1000 {
            it.add(i * 3 + 1, &[1]);
        }
        assert!(it.have.len() <= ISLANDS && it.bytes.len() <= KEPT);
    }
}
