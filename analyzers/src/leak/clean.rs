//! Messages that were searched and held nothing: the same bytes need no second search.
//!
//! Devices repeat themselves (polls, beacons, the same file again), and to know a message again is cheaper than to search it
//! through every coding. It is known by its GMAC (NIST SP 800-38D, 6.4) under a key that is derived from the project's and never
//! leaves this place. GHASH is a universal hash: two different messages of n bytes, chosen by somebody who knows neither key nor
//! marks, have the same mark with a probability of n/16 in 2^128 at most.

use std::sync::{Mutex, PoisonError};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Marks kept: 16 bytes each. A newer one takes the place of an older.
const MOST: usize = 1 << 16;
/// So many threads may look at once without waiting for each other.
const STRIPES: usize = 16;

/// What a message was searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// What is personal; or of the shapes those in decoded layers only.
    All,
    Coded,
    /// What must not be shown; or of that what may be planted.
    Hide,
    HidePlanted,
    /// Planted values; or those in decoded layers only.
    Planted,
    Decoded,
    /// Parts of planted values.
    Parts,
}

/// What a message is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u128);

/// Marks of messages in which nothing was found.
pub(super) struct Clean {
    key: Option<LessSafeKey>,
    stripes: [Mutex<Box<[u128]>>; STRIPES],
}

impl Clean {
    pub(super) fn new(key: &[u8; 16]) -> Clean {
        let key = UnboundKey::new(&AES_128_GCM, key).ok().map(LessSafeKey::new);
        Clean { key, stripes: Default::default() }
    }

    /// The mark of a message that was searched for `purpose`.
    pub(super) fn mark(&self, purpose: Purpose, message: &[u8]) -> Option<Mark> {
        // One nonce for many messages: the marks stay here, so nobody can learn the key from two of them.
        let nonce = Nonce::assume_unique_for_key([purpose as u8; 12]);
        let tag = self.key.as_ref()?.seal_in_place_separate_tag(nonce, Aad::from(message), &mut []).ok()?;
        tag.as_ref().first_chunk::<16>().map(|tag| Mark(u128::from_le_bytes(*tag)))
    }

    pub(super) fn has(&self, mark: Mark) -> bool {
        let (stripe, at) = self.place(mark);
        stripe.lock().unwrap_or_else(PoisonError::into_inner).get(at) == Some(&mark.0)
    }

    pub(super) fn keep(&self, mark: Mark) {
        let (stripe, at) = self.place(mark);
        let mut marks = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        if marks.is_empty() {
            *marks = vec![0; MOST / STRIPES].into();
        }
        if let Some(place) = marks.get_mut(at) {
            *place = mark.0;
        }
    }

    fn place(&self, mark: Mark) -> (&Mutex<Box<[u128]>>, usize) {
        let n = mark.0 as usize;
        (&self.stripes[n % STRIPES], n / STRIPES % (MOST / STRIPES))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_known_and_nothing_else() {
        let clean = Clean::new(&[3; 16]);
        let message = |n: u32| format!("GET /poll?n={n} HTTP/1.1\r\n\r\n").into_bytes();
        for n in 0..100 {
            let mark = clean.mark(Purpose::All, &message(n)).unwrap();
            assert!(!clean.has(mark));
            clean.keep(mark);
            assert!(clean.has(mark) && clean.has(clean.mark(Purpose::All, &message(n)).unwrap()));
            assert!(!clean.has(clean.mark(Purpose::Hide, &message(n)).unwrap()), "searched for something else");
        }
        let other = Clean::new(&[4; 16]);
        assert_ne!(other.mark(Purpose::All, b"x"), clean.mark(Purpose::All, b"x"));
    }

    #[test]
    fn memory_is_bounded() {
        let clean = Clean::new(&[3; 16]);
        for n in 0u32..3 * MOST as u32 {
            clean.keep(clean.mark(Purpose::All, &n.to_le_bytes()).unwrap());
        }
        assert!(clean.stripes.iter().all(|stripe| stripe.lock().unwrap().len() == MOST / STRIPES));
    }
}
