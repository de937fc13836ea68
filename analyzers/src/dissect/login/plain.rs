//! SASL PLAIN (RFC 4616) in protocols that are no text: behind the name of the mechanism with its length in front, a message with its own. So have it
//! AMQP, Kafka, MongoDB, LDAP, Thrift, VNC, SPICE and others.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use policies::IdentifierType;

use super::LOOKED_AT;
use crate::dissect::http::secrets::Secret;
use crate::leak::is_stand_in;

/// The first bytes of one direction.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    /// From behind the name of the mechanism on, where one was said; else the last bytes, in which it may begin.
    kept: Vec<u8>,
    /// Where they begin in the stream, and where the next byte should stand.
    start: u64,
    next: u64,
    named: bool,
    /// So far behind the name nothing begins that is such a message, but for what may become one: where, and how much must be kept to tell.
    tried: usize,
    waits: Vec<(usize, usize)>,
    over: bool,
}

/// So far behind the name of the mechanism a message may begin: in between stand the answer's envelope and who the client is.
const FAR: usize = 512;
/// The name with the longest length in front.
const NAMED: usize = 9;
/// A length of one byte, and a message with a user and a password of one letter each.
const SHORTEST: usize = 5;
/// RFC 4616 §2 allows 255 characters for each part; nobody has so long ones.
const LONGEST: usize = 512;

impl Plain {
    /// Takes the bytes that stand at `offset`; hands over each secret with the place in the stream that its own counts from.
    pub(crate) fn take(&mut self, offset: u64, bytes: &[u8], told: &mut dyn FnMut(Secret, u64)) {
        if self.over {
            return;
        }
        if offset != self.next {
            *self = Plain { start: offset, ..Plain::default() };
        }
        self.next = offset + bytes.len() as u64;
        let near = LOOKED_AT.saturating_sub(offset).min(bytes.len() as u64) as usize;
        self.kept.extend_from_slice(bytes.get(..near).unwrap_or_default());
        self.over = self.read(told) || self.next > LOOKED_AT;
        if self.over {
            self.kept = Vec::new();
        }
    }

    /// Whether a message was told.
    fn read(&mut self, told: &mut dyn FnMut(Secret, u64)) -> bool {
        loop {
            if !self.named {
                let Some(behind) = mechanism(&self.kept) else {
                    self.forget(self.kept.len().saturating_sub(NAMED));
                    return false;
                };
                self.forget(behind);
                (self.named, self.tried) = (true, 0);
            }
            // What waits for more does not hold up what stands behind it: a tag (of AMQP 1.0) may pass for a length.
            let mut waits = std::mem::take(&mut self.waits);
            let mut message = None;
            waits.retain_mut(|(at, need)| {
                if message.is_some() || self.kept.len() < *need {
                    return true;
                }
                match self.message(*at) {
                    Is::Message(place) => message = Some(place),
                    Is::More(more) => *need = more,
                    Is::No => return false,
                }
                true
            });
            while message.is_none() && self.tried < FAR && self.kept.len() >= self.tried + SHORTEST {
                match self.message(self.tried) {
                    Is::Message(place) => message = Some(place),
                    Is::More(need) => waits.push((self.tried, need)),
                    Is::No => {}
                }
                self.tried += 1;
            }
            if let Some(place) = message {
                let mut out = Vec::new();
                secrets(self.kept.get(place.clone()).unwrap_or_default(), place.start, &mut out);
                for secret in out {
                    told(secret, self.start);
                }
                return true;
            }
            if !waits.is_empty() || self.tried < FAR {
                self.waits = waits;
                return false;
            }
            self.named = false;
        }
    }

    /// Whether a message begins at a place of what is kept.
    fn message(&self, at: usize) -> Is {
        match message(self.kept.get(at..).unwrap_or_default()) {
            Is::Message(place) => Is::Message(place.start + at..place.end + at),
            Is::More(need) => Is::More(need + at),
            Is::No => Is::No,
        }
    }

    fn forget(&mut self, bytes: usize) {
        self.kept.drain(..bytes);
        self.start += bytes as u64;
    }
}

/// Where the name of the mechanism ends, its length in front: one byte, the last of two or four, or the first; and of BSON with its zero.
fn mechanism(bytes: &[u8]) -> Option<usize> {
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"PLAIN"));
    NAME.find_iter(bytes).find_map(|at| {
        let end = at + NAME.needle().len();
        let said = matches!(bytes.get(..at)?, [.., 5] | [.., 5, 0] | [.., 5 | 6, 0, 0, 0]);
        said.then_some(end)
    })
}

enum Is {
    Message(Range<usize>),
    /// So many bytes tell.
    More(usize),
    No,
}

/// Whether a length stands here, and a message of that length. There are [`SHORTEST`] bytes at least.
fn message(here: &[u8]) -> Is {
    let number = |bytes: Option<&[u8]>, big: bool| {
        let fold = |sum: usize, b: &u8| sum << 8 | usize::from(*b);
        bytes.map(|bytes| if big { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) })
    };
    // Of one byte, also that of one more (Kafka's compact bytes, KIP-482). BSON says the kind of its bytes behind their number (0).
    let (mut need, mut waits) = (usize::MAX, false);
    for (width, skip, big, more) in [(4, 4, true, 0), (4, 5, false, 0), (4, 4, false, 0), (2, 2, true, 0), (1, 1, true, 0), (1, 1, true, 1)]
    {
        let Some(len) = number(here.get(..width), big) else { continue };
        // The same bytes but for the last are none while those may be one.
        if more > 0 && waits {
            break;
        }
        let len = len.wrapping_sub(more);
        // A user and a password, each behind a zero.
        if !(4..=LONGEST).contains(&len) || skip > width && here.get(width).is_some_and(|kind| *kind != 0) {
            continue;
        }
        let end = skip + len;
        let so_far = here.get(skip..end.min(here.len())).unwrap_or_default();
        match parts(so_far, end <= here.len()) {
            Some(_) if end <= here.len() => return Is::Message(skip..end),
            Some(_) => (need, waits) = (need.min(end), width == 1),
            None => {}
        }
    }
    if need == usize::MAX { Is::No } else { Is::More(need) }
}

/// Where user and password stand in a message, or in the beginning of one: who they act for, a zero, the user, a zero, the password (RFC 4616 §2).
fn parts(message: &[u8], whole: bool) -> Option<[Range<usize>; 2]> {
    let text = match std::str::from_utf8(message) {
        Ok(_) => message,
        Err(e) if !whole && e.error_len().is_none() => message.get(..e.valid_up_to())?,
        Err(_) => return None,
    };
    let mut zeros = text.iter().enumerate().filter(|(_, b)| **b < b' ' || **b == 0x7f);
    let (first, second) = (zeros.next(), zeros.next());
    let is_zero = |at: Option<(usize, &u8)>| at.is_none_or(|(_, b)| *b == 0);
    if !is_zero(first) || !is_zero(second) || zeros.next().is_some() {
        return None;
    }
    let end = message.len();
    let (first, second) = (first.map(|(at, _)| at), second.map(|(at, _)| at));
    let (user, password) = (first.map_or(end, |at| at + 1), second.map_or(end, |at| at + 1));
    // No part but the first is empty.
    let empty = second.is_some_and(|at| at == user) || whole && (second.is_none() || password == end);
    (!empty).then(|| [user..password.saturating_sub(1).max(user), password..end])
}

/// What a message of the mechanism says, if it is one; it stands at `at`.
pub(crate) fn secrets(message: &[u8], at: usize, out: &mut Vec<Secret>) {
    let Some([user, password]) = parts(message, true) else { return };
    let value = |place: &Range<usize>| message.get(place.clone()).unwrap_or_default().to_vec();
    for (kind, place) in [(IdentifierType::UserName, user), (IdentifierType::Password, password)] {
        let value = value(&place);
        if kind == IdentifierType::UserName || !is_stand_in(&value) {
            out.push(Secret { kind, value, at: at + place.start, len: place.len(), chain: &[] });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use IdentifierType::{Password, UserName};

    /// What is told of a stream, whole and byte by byte.
    #[track_caller]
    fn check(stream: &[u8], expect: &[(IdentifierType, &str)]) {
        for size in [stream.len(), 1, 7] {
            let mut plain = Plain::default();
            let mut got = Vec::new();
            let mut offset = 0;
            for piece in stream.chunks(size) {
                plain.take(offset, piece, &mut |s, from| {
                    let at = from as usize + s.at;
                    assert_eq!(&stream[at..at + s.len], s.value, "{}", stream.escape_ascii());
                    got.push((s.kind, String::from_utf8_lossy(&s.value).into_owned()));
                });
                offset += piece.len() as u64;
            }
            let got: Vec<_> = got.iter().map(|(kind, value)| (*kind, value.as_str())).collect();
            assert_eq!(got, expect, "{size} of {}", stream.escape_ascii());
        }
    }

    const ADA: [(IdentifierType, &str); 2] = [(UserName, "ada"), (Password, "secret")];

    #[test]
    fn protocols() {
        // AMQP 0-9-1 (§1.4.2.4 connection.start-ok), and 1.0 (part 5.3.3.2 sasl-init).
        check(b"AMQP\0\0\x09\x01\x01\0\0\0\0\0\x25\0\x0a\0\x0b\0\0\0\0\x05PLAIN\0\0\0\x0b\0ada\0secret\x05en_US\xce", &ADA);
        check(b"AMQP\x03\x01\0\0\0\0\0\x25\x02\x01\0\0\0\x53\x41\xc0\x18\x03\xa3\x05PLAIN\xa0\x0b\0ada\0secret\xa1\x04host", &ADA);
        // A length of 32 is a letter to who takes the tag for a length.
        let long = b"AMQP\x03\x01\0\0\0\0\0\x33\x02\x01\0\0\0\x53\x41\xc0\x26\x02\xa3\x05PLAIN\xa0\x20\0ada\0secret.secret.secret.secret";
        check(long, &[(UserName, "ada"), (Password, "secret.secret.secret.secret")]);
        // Kafka: SaslHandshake and SaslAuthenticate; in the compact form of version 2, with its tags; and as brokers before 1.0 took it.
        let kafka = b"\0\0\0\x13\0\x11\0\x01\0\0\0\x01\0\x02cl\0\x05PLAIN";
        check(&[&kafka[..], b"\0\0\0\x1b\0\x24\0\0\0\0\0\x02\0\x02cl\0\0\0\x0b\0ada\0secret"].concat(), &ADA);
        check(&[&kafka[..], b"\0\0\0\x1a\0\x24\0\x02\0\0\0\x02\0\x02cl\0\x0c\0ada\0secret\0"].concat(), &ADA);
        check(&[&kafka[..], b"\0\0\0\x0b\0ada\0secret"].concat(), &ADA);
        // MongoDB.
        check(
            b"\x10saslStart\0\x01\0\0\0\x02mechanism\0\x06\0\0\0PLAIN\0\x05payload\0\x0b\0\0\0\0\0ada\0secret\x02$db\0\x0a\0\0\0$external\0\0",
            &ADA,
        );
        // LDAP (RFC 4511 §4.2), Thrift, and with somebody to act for.
        check(b"\x30\x23\x02\x01\x01\x60\x1e\x02\x01\x03\x04\0\xa3\x17\x04\x05PLAIN\x04\x0b\0ada\0secret", &ADA);
        check(b"\x01\0\0\0\x05PLAIN\x02\0\0\0\x0b\0ada\0secret", &ADA);
        check(b"\x01\0\0\0\x05PLAIN\x02\0\0\0\x0f\x72oot\0ada\0secret", &ADA);
        check("\x01\0\0\0\x05PLAIN\x02\0\0\0\x0c\0ada\0s\u{e9}cret".as_bytes(), &[(UserName, "ada"), (Password, "s\u{e9}cret")]);
        check(b"\x01\0\0\0\x05PLAIN\x02\0\0\0\x0b\0ada\0******", &[(UserName, "ada")]);
    }

    #[test]
    fn what_is_no_such_message() {
        for stream in [
            // Another mechanism, none, and the word in a text.
            &b"\0\0\0\x0dSCRAM-SHA-256\0\0\0\x0b\0ada\0secret"[..],
            b"\0\0\0\x0b\0ada\0secret",
            b"it is PLAIN\0\0\0\x0b\0ada\0secret",
            b"AUTH PLAIN\r\n\0\0\0\x0b\0ada\0secret",
            // Lengths that do not agree, and an end that is missing.
            b"\0\0\0\x05PLAIN\0\0\0\x0d\0ada\0secret\0\0\0\0\0\0",
            b"\0\0\0\x05PLAIN\0\0\0\x0b\0ada\0secre",
            // Empty parts, controls, a third zero, other bytes; and what a client of SCRAM says first.
            b"\0\0\0\x05PLAIN\0\0\0\x05\0ada\0........",
            b"\0\0\0\x05PLAIN\0\0\0\x08\0\0secret........",
            b"\0\0\0\x05PLAIN\0\0\0\x0b\0ada\0se\x01ret",
            b"\0\0\0\x05PLAIN\0\0\0\x0b\0ada\0sec\0et",
            b"\0\0\0\x05PLAIN\0\0\0\x0b\0ada\0se\xffret",
            b"\0\0\0\x05PLAIN\0\0\0\x16n,,n=ada,r=fyko+d2lbbFgO",
        ] {
            check(stream, &[]);
        }
        // Too far behind.
        let far = [&b"\0\0\0\x05PLAIN"[..], &[b'.'; FAR], b"\0\0\0\x0b\0ada\0secret"].concat();
        check(&far, &[]);
        let late = [&[b'.'; LOOKED_AT as usize - 12][..], b"\0\0\0\x05PLAIN\0\0\0\x0b\0ada\0secret"].concat();
        check(&late, &[]);
        // After a hole the name is not known any more.
        let mut plain = Plain::default();
        let mut told = 0;
        plain.take(0, b"\0\0\0\x05PLAIN", &mut |_, _| told += 1);
        plain.take(20, b"\0\0\0\x0b\0ada\0secret", &mut |_, _| told += 1);
        assert_eq!(told, 0);
    }

    proptest! {
        #[test]
        fn hostile(bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(5), Just(11), any::<u8>()], 1..300), cut in 1usize..50) {
            let all = [&b"\0\0\0\x05PLAIN"[..], &bytes].concat();
            let mut told = [0, 0];
            for (n, size) in [cut, all.len()].into_iter().enumerate() {
                let (mut plain, mut offset) = (Plain::default(), 0);
                for piece in all.chunks(size) {
                    plain.take(offset, piece, &mut |s, from| {
                        assert!(from as usize + s.at + s.len <= all.len());
                        told[n] += 1;
                    });
                    offset += piece.len() as u64;
                }
            }
            // In pieces the message that is whole first is told, which may be another one.
            prop_assert_eq!(told[0] > 0, told[1] > 0);
        }
    }
}
