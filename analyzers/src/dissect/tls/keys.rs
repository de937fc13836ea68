//! Which key opens a direction, and when it changes.

use super::crypt::{self, Opener};
use super::legacy::Session;
use super::reaction::Generation;
use super::side::{Epoch, HANDSHAKE, HEADER, Header, Lock};
use super::suites::{self, Aead, Bulk, Mac};
use super::{LOOKED, Tls};
use crate::dissect::Cx;
use crate::flow::Dir;
use crate::keys::SecretLabel;
use crate::observation::NotOpened;

/// A key is tried on so many records in vain. Where a client sent 0-RTT that we have no key for, on so many more.
const TRIED: u32 = 32;
const TRIED_EARLY: u32 = 4096;

/// So many records may lie between the start of a key and the moment it became known.
const LATE: u32 = 16;

/// A sealed Finished of TLS 1.2 is 16 bytes of message, 16 of tag, and at most 8 of nonce (RFC 5288, RFC 7905); with CBC and SHA-384 16 of
/// first block, 48 of MAC and up to 16 of padding.
const FINISHED: usize = 96;

impl Tls {
    /// Whether this direction can be opened; looks for a key where there is none yet.
    pub(super) fn has_key(&mut self, dir: Dir, cx: &mut Cx<'_>) -> bool {
        let side = &self.sides[dir.index()];
        match side.lock {
            Lock::Open { .. } => return true,
            Lock::Dead => return false,
            Lock::Closed if side.sealed > LOOKED => return false,
            Lock::Closed => {}
        }
        match self.find_key(dir, side.sealed, side.finished, cx) {
            Ok(Some((opener, epoch, secret))) => {
                let trial = epoch == Epoch::Traffic;
                let side = &mut self.sides[dir.index()];
                side.lock = Lock::Open { opener: Box::new(opener), epoch, trial };
                side.secret = secret;
                self.open_held(dir, cx);
                true
            }
            Ok(None) => false,
            Err(why) => {
                self.why.get_or_insert(why);
                self.sides[dir.index()].lock = Lock::Dead;
                false
            }
        }
    }

    /// Whether this is the Finished of TLS 1.2, whose key may be on its way.
    pub(super) fn may_hold(&self, dir: Dir, head: Header) -> bool {
        let side = &self.sides[dir.index()];
        self.generation == Some(Generation::Legacy)
            && side.ccs
            && side.sealed == 0
            && matches!(side.lock, Lock::Closed)
            && head.kind() == HANDSHAKE
            && head.len() <= FINISHED
    }

    /// Keeps such a record until there is a key.
    pub(super) fn hold(&mut self, dir: Dir, head: Header, body: &[u8]) {
        if self.may_hold(dir, head) {
            let side = &mut self.sides[dir.index()];
            side.held = [&head.0, body].concat();
            side.sealed = 1;
        }
    }

    /// Opens it, now that there is one.
    fn open_held(&mut self, dir: Dir, cx: &mut Cx<'_>) {
        let side = &mut self.sides[dir.index()];
        let held = std::mem::take(&mut side.held);
        let (Some(head), Some(body), Lock::Open { opener, .. }) = (Header::read(&held), held.get(HEADER..), &mut side.lock) else { return };
        let now = std::mem::replace(&mut opener.next, 0);
        let mut plain = Vec::new();
        let kind = opener.open(head.0, body, &mut plain);
        opener.next = now;
        if kind.is_some() {
            side.opened = true;
            self.closed = self.closed.saturating_sub(held.len() as u64);
            cx.analysed(held.len());
            self.handshake(dir, &plain, cx);
        }
    }

    fn find_key(&self, dir: Dir, sealed: u32, finished: bool, cx: &Cx<'_>) -> Result<Option<(Opener, Epoch, Vec<u8>)>, NotOpened> {
        let offer = self.offer.as_ref().ok_or(NotOpened::NoHandshake)?;
        let from_client = self.client == Some(dir);
        let none = Vec::new();
        match (self.generation, &self.answer) {
            (Some(Generation::Legacy), Some(answer)) => {
                let version = answer.served.version;
                let known = suites::bulk(answer.served.suite).filter(|(bulk, _)| match bulk {
                    Bulk::Aead(_) | Bulk::Cbc(_, Mac::Sha256 | Mac::Sha384) => version == 0x0303,
                    Bulk::Cbc(..) | Bulk::Rc4(_) => (0x0301..=0x0303).contains(&version),
                    Bulk::Null(_) => true,
                });
                let (bulk, hash) = known.ok_or(NotOpened::Unsupported)?;
                let mut opener = if let Bulk::Null(mac) = bulk {
                    Opener::null(mac)
                } else {
                    let Some(master) = cx.secret(SecretLabel::Master, &offer.random) else { return Ok(None) };
                    let (randoms, encrypt_then_mac) = ((&offer.random, &answer.random), answer.encrypt_then_mac);
                    let session = Session { version, bulk, hash, encrypt_then_mac, master, randoms, client: from_client };
                    Opener::legacy(&session).ok_or(NotOpened::WrongKey)?
                };
                match answer.compression {
                    0 => {}
                    1 => opener = opener.inflating(),
                    _ => return Err(NotOpened::Unsupported),
                }
                opener.next = u64::from(sealed);
                Ok(Some((opener, Epoch::Legacy, none)))
            }
            (Some(Generation::Modern { .. }), Some(answer)) => {
                // Drafts before 25 sealed records differently.
                let version = answer.served.version;
                let known = version == 0x0304 || version == 0xfb1a || (0x7f19..0x7f80).contains(&version);
                let aead = suites::aead13(answer.served.suite).filter(|_| known).ok_or(NotOpened::Unsupported)?;
                let hash = suites::hash13(answer.served.suite);
                let (first, later) = if from_client {
                    (SecretLabel::ClientHandshake, SecretLabel::ClientTraffic(0))
                } else {
                    (SecretLabel::ServerHandshake, SecretLabel::ServerTraffic(0))
                };
                if sealed == 0
                    && !finished
                    && let Some(secret) = cx.secret(first, &offer.random)
                {
                    return Ok(Some((Opener::modern(aead, hash, secret).ok_or(NotOpened::WrongKey)?, Epoch::Handshake, none)));
                }
                let Some(secret) = cx.secret(later, &offer.random) else { return Ok(None) };
                Ok(Some((Opener::modern(aead, hash, secret).ok_or(NotOpened::WrongKey)?, Epoch::Traffic, secret.to_vec())))
            }
            (None, _) if from_client && offer.early => {
                let Some(secret) = cx.secret(SecretLabel::ClientEarly, &offer.random) else { return Ok(None) };
                Ok(early_opener(secret, Aead::Aes128Gcm).map(|opener| (opener, Epoch::Early, none)))
            }
            _ => Ok(None),
        }
    }

    /// Opens a record, changing to the key it was really sealed with where the wire does not say which that is.
    pub(super) fn open(&mut self, dir: Dir, head: Header, body: &[u8], plain: &mut Vec<u8>, cx: &mut Cx<'_>) -> Option<u8> {
        for _ in 0..3 {
            let late = self.sides[dir.index()].sealed.min(LATE);
            let Lock::Open { opener, epoch, trial } = &mut self.sides[dir.index()].lock else { return None };
            if *trial {
                for next in 0..=u64::from(late) {
                    opener.next = next;
                    if let Some(kind) = opener.open(head.0, body, plain) {
                        *trial = false;
                        if self.client == Some(dir) {
                            self.opened.finished = true;
                        }
                        return Some(kind);
                    }
                }
                return self.in_vain(dir, TRIED, NotOpened::WrongKey);
            }
            if let Some(kind) = opener.open(head.0, body, plain) {
                return Some(kind);
            }
            let first = opener.next == 0;
            let epoch = *epoch;
            let offer_early = self.offer.as_ref().is_some_and(|o| o.early) && self.client == Some(dir);
            match epoch {
                // The suite of 0-RTT is that of an earlier session, which the wire does not name.
                Epoch::Early if first && self.sides[dir.index()].tries == 0 => {
                    self.sides[dir.index()].tries = 1;
                    let random = self.offer.as_ref()?.random;
                    let other = cx.secret(SecretLabel::ClientEarly, &random).and_then(|s| early_opener(s, Aead::ChaCha20Poly1305));
                    if let (Some(other), Lock::Open { opener, .. }) = (other, &mut self.sides[dir.index()].lock) {
                        **opener = other;
                    }
                }
                // 0-RTT was refused.
                Epoch::Early if matches!(self.generation, Some(Generation::Modern { .. })) => self.rekey(dir, Epoch::Handshake, cx),
                Epoch::Early => return self.in_vain(dir, TRIED, NotOpened::WrongKey),
                // 0-RTT that nobody gave us the key for comes first.
                Epoch::Handshake if first && offer_early => return self.in_vain(dir, TRIED_EARLY, NotOpened::NoKey),
                _ => return self.in_vain(dir, 0, NotOpened::WrongKey),
            }
        }
        None
    }

    /// A record did not open. After `allowed` of them the direction is given up.
    fn in_vain(&mut self, dir: Dir, allowed: u32, why: NotOpened) -> Option<u8> {
        self.why.get_or_insert(why);
        let side = &mut self.sides[dir.index()];
        side.sealed = side.sealed.saturating_add(1);
        side.tries += 1;
        if side.tries > allowed {
            side.lock = Lock::Dead;
        }
        None
    }

    /// The next key of a TLS 1.3 direction begins.
    pub(super) fn rekey(&mut self, dir: Dir, epoch: Epoch, cx: &Cx<'_>) {
        let side = &mut self.sides[dir.index()];
        if !side.is_open() {
            return;
        }
        // A client that is asked for its certificate later says Finished again, under the key it uses (RFC 8446 §4.6.2).
        if epoch == Epoch::Traffic && matches!(side.lock, Lock::Open { epoch: Epoch::Traffic, .. }) {
            return;
        }
        side.tries = 0;
        side.sealed = 0;
        side.finished = epoch == Epoch::Traffic;
        side.lock = Lock::Closed;
        let (Some(offer), Some(answer)) = (&self.offer, &self.answer) else { return };
        let from_client = self.client == Some(dir);
        let label = match (epoch, from_client) {
            (Epoch::Handshake, true) => SecretLabel::ClientHandshake,
            (Epoch::Handshake, false) => SecretLabel::ServerHandshake,
            (_, true) => SecretLabel::ClientTraffic(0),
            (_, false) => SecretLabel::ServerTraffic(0),
        };
        let secret = cx.secret(label, &offer.random);
        let suite = answer.served.suite;
        let opener = secret.zip(suites::aead13(suite)).and_then(|(secret, aead)| Opener::modern(aead, suites::hash13(suite), secret));
        if let (Some(opener), Some(secret)) = (opener, secret) {
            side.lock = Lock::Open { opener: Box::new(opener), epoch, trial: false };
            side.secret = secret.to_vec();
        }
    }

    /// KeyUpdate (RFC 8446 §4.6.3).
    pub(super) fn update_key(&mut self, dir: Dir) {
        let Some(answer) = &self.answer else { return };
        let suite = answer.served.suite;
        let hash = suites::hash13(suite);
        let side = &mut self.sides[dir.index()];
        if !matches!(side.lock, Lock::Open { epoch: Epoch::Traffic, .. }) {
            return;
        }
        let next = crypt::next_secret(hash, &side.secret);
        let opener = next.as_deref().zip(suites::aead13(suite)).and_then(|(secret, aead)| Opener::modern(aead, hash, secret));
        if let (Some(opener), Some(next)) = (opener, next) {
            side.lock = Lock::Open { opener: Box::new(opener), epoch: Epoch::Traffic, trial: false };
            side.secret = next;
        }
    }
}

/// 0-RTT keys: the length of the secret tells the hash, and that all but one of the AEADs.
fn early_opener(secret: &[u8], of_32: Aead) -> Option<Opener> {
    match secret.len() {
        48 => Opener::modern(Aead::Aes256Gcm, suites::Hash::Sha384, secret),
        _ => Opener::modern(of_32, suites::Hash::Sha256, secret),
    }
}
