//! Puts IP fragments together, in file order, bounded; overlaps are reported, the first bytes win.

use std::collections::{HashMap, VecDeque};

use analyzers::encode::Digest;
use foldhash::fast::FixedState;
use policies::Time;

use crate::link::Link;
use crate::reassembly::Origin;
use crate::slice::{Fragment, FragmentKey};

/// Datagrams that may be incomplete at once, and the bytes of their fragments.
const MOST_DATAGRAMS: usize = 2048;
const MOST_BYTES: usize = 8 << 20;
/// RFC 8200 §4.5: sixty seconds after the first fragment the rest will not be waited for.
const PATIENCE: i64 = 60 * 1_000_000_000;
/// The largest IP payload.
const LARGEST: u32 = 65_535;

#[derive(Debug, Default)]
pub(crate) struct Defrag {
    partial: HashMap<FragmentKey, Partial, FixedState>,
    /// Oldest first; entries of datagrams that are gone stay until they come to the front.
    order: VecDeque<(FragmentKey, u64)>,
    /// Datagrams that became whole a moment ago, and when, oldest first.
    done: HashMap<FragmentKey, Vec<Piece>, FixedState>,
    done_at: VecDeque<(FragmentKey, Time)>,
    bytes: usize,
    next: u64,
    given_up: Vec<Datagram>,
    /// Datagrams given up: never whole in time, or pushed out.
    pub(crate) lost: u64,
}

/// A fragment as it came: offset, whether more follow, SHA-256 of its bytes. What is taken for a copy is not read: nobody may be able to make
/// another that looks the same.
type Piece = (u32, bool, Digest);

/// A capture of both sides of a switch has every fragment twice, a moment apart; so soon no sender uses an identification again.
const REPEAT: i64 = 1_000_000_000;
/// Fragments of a datagram that are remembered: as many as 64 KiB have on a link of 576 bytes.
const MOST_PIECES: usize = 120;

#[derive(Debug)]
struct Partial {
    serial: u64,
    since: Time,
    origin: Origin,
    link: Link,
    conflict: bool,
    /// The furthest byte that any fragment spoke of.
    reach: u32,
    /// Sorted, not overlapping.
    pieces: Vec<(u32, Vec<u8>)>,
    total: Option<u32>,
    cut: bool,
    came: Vec<Piece>,
}

/// What fragments became.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    pub(crate) key: FragmentKey,
    /// The payload, or its beginning as far as there is no hole.
    pub(crate) bytes: Vec<u8>,
    /// The payload's length as sent, at least.
    pub(crate) wire: usize,
    pub(crate) conflict: bool,
    /// The first fragment that came.
    pub(crate) origin: Origin,
    pub(crate) link: Link,
}

/// What a fragment led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fit {
    /// The datagram, now whole.
    pub(crate) whole: Option<Datagram>,
    /// The fragment says other bytes than were there, or does not fit in a datagram.
    pub(crate) conflict: bool,
}

impl Defrag {
    /// Takes a fragment that came as `from` says.
    pub(crate) fn put(&mut self, fragment: &Fragment, bytes: &[u8], from: (Origin, Link), clock: Time) -> Fit {
        self.forget(clock);
        let piece = (fragment.offset, fragment.more, Digest::of(bytes));
        if self.repeats(&fragment.key, piece, clock) {
            return Fit::default();
        }
        let end = fragment.offset.saturating_add(fragment.len);
        let next = &mut self.next;
        let order = &mut self.order;
        let partial = self.partial.entry(fragment.key).or_insert_with(|| {
            *next += 1;
            order.push_back((fragment.key, *next));
            let (origin, link) = from;
            let (serial, since, pieces) = (*next, clock, Vec::new());
            Partial { serial, since, origin, link, conflict: false, reach: 0, pieces, total: None, cut: false, came: Vec::new() }
        });
        if partial.came.len() < MOST_PIECES {
            partial.came.push(piece);
        }
        partial.reach = partial.reach.max(end.saturating_add(fragment.cut));
        partial.cut |= fragment.cut > 0;
        if partial.reach > LARGEST {
            partial.reach = LARGEST;
            partial.cut = true;
            partial.conflict = true;
            return Fit { whole: None, conflict: true };
        }
        let mut conflict = false;
        if !fragment.more {
            conflict |= partial.total.is_some_and(|t| t != end);
            partial.total.get_or_insert(end);
        }
        let (added, differs) = partial.insert(fragment.offset, bytes);
        self.bytes += added;
        conflict |= differs;
        partial.conflict |= conflict;
        let mut whole = None;
        if partial.is_whole()
            && let Some(mut done) = self.partial.remove(&fragment.key)
        {
            self.bytes -= done.held().min(self.bytes);
            self.done.insert(fragment.key, std::mem::take(&mut done.came));
            self.done_at.push_back((fragment.key, clock));
            whole = Some(done.datagram(fragment.key));
        }
        Fit { whole, conflict }
    }

    /// Whether a fragment came before as it is, with a datagram that became whole a moment ago.
    fn repeats(&mut self, key: &FragmentKey, piece: Piece, clock: Time) -> bool {
        while let Some((old, at)) = self.done_at.front().copied()
            && (at.0.saturating_add(REPEAT) < clock.0 || self.done_at.len() > MOST_DATAGRAMS)
        {
            self.done_at.pop_front();
            if !self.done_at.iter().any(|(key, _)| *key == old) {
                self.done.remove(&old);
            }
        }
        !self.partial.contains_key(key) && self.done.get(key).is_some_and(|came| came.contains(&piece))
    }

    /// Datagrams that will not become whole any more: what there is of them.
    pub(crate) fn given_up(&mut self) -> Vec<Datagram> {
        std::mem::take(&mut self.given_up)
    }

    /// Gives up what is too old or too much.
    fn forget(&mut self, clock: Time) {
        while let Some((key, serial)) = self.order.front().copied() {
            let old = match self.partial.get(&key) {
                Some(p) if p.serial == serial => {
                    p.since.0.saturating_add(PATIENCE) < clock.0 || self.partial.len() > MOST_DATAGRAMS || self.bytes > MOST_BYTES
                }
                _ => {
                    self.order.pop_front();
                    continue;
                }
            };
            if !old {
                return;
            }
            self.order.pop_front();
            if let Some(p) = self.partial.remove(&key) {
                self.bytes -= p.held().min(self.bytes);
                self.lost += 1;
                self.given_up.push(p.datagram(key));
            }
        }
    }

    /// The input has ended.
    pub(crate) fn finish(&mut self) {
        for (key, serial) in std::mem::take(&mut self.order) {
            if self.partial.get(&key).is_some_and(|p| p.serial == serial)
                && let Some(p) = self.partial.remove(&key)
            {
                self.lost += 1;
                self.given_up.push(p.datagram(key));
            }
        }
        self.bytes = 0;
    }
}

/// What a piece costs besides its bytes.
const PIECE: usize = 64;

impl Partial {
    /// As far as there is no hole; a byte more than is there, if nobody said how many there were.
    fn datagram(self, key: FragmentKey) -> Datagram {
        let whole = self.is_whole();
        let mut bytes = Vec::new();
        for (start, piece) in self.pieces {
            if start as usize != bytes.len() {
                break;
            }
            bytes.extend_from_slice(&piece);
        }
        let wire = if whole { bytes.len() } else { (self.total.unwrap_or(0).max(self.reach) as usize).max(bytes.len() + 1) };
        Datagram { key, bytes, wire, conflict: self.conflict, origin: self.origin, link: self.link }
    }

    fn held(&self) -> usize {
        self.pieces.iter().map(|(_, b)| b.len() + PIECE).sum()
    }

    /// Adds what is new of `bytes`; says how much was held for it, and whether the rest differs from what was there.
    fn insert(&mut self, offset: u32, bytes: &[u8]) -> (usize, bool) {
        let mut differs = false;
        let mut added = 0;
        let mut at = offset;
        let end = offset + bytes.len() as u32;
        let mut fresh = Vec::new();
        for (start, piece) in &self.pieces {
            let stop = start + piece.len() as u32;
            if stop <= at {
                continue;
            }
            if *start >= end {
                break;
            }
            if *start > at {
                fresh.push((at, *start));
                at = *start;
            }
            let upto = stop.min(end);
            let old = piece.get((at - start) as usize..(upto - start) as usize);
            let new = bytes.get((at - offset) as usize..(upto - offset) as usize);
            differs |= old != new;
            at = upto;
        }
        if at < end {
            fresh.push((at, end));
        }
        for (start, stop) in fresh {
            let piece = bytes.get((start - offset) as usize..(stop - offset) as usize).unwrap_or_default().to_vec();
            added += piece.len() + PIECE;
            let i = self.pieces.partition_point(|(s, _)| *s < start);
            self.pieces.insert(i, (start, piece));
        }
        (added, differs)
    }

    fn is_whole(&self) -> bool {
        let mut at = 0;
        for (start, piece) in &self.pieces {
            if *start != at {
                return false;
            }
            at += piece.len() as u32;
        }
        !self.cut && self.total == Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    const FROM: (Origin, Link) = (Origin { time: Time(0), frame: 1 }, Link::RAW);

    fn fragment(id: u32, offset: u32, len: usize, more: bool) -> Fragment {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Fragment { frame: 0, key: FragmentKey { src: ip, dst: ip, id, proto: 17 }, offset, more, at: 0, len: len as u32, cut: 0 }
    }

    /// Fragments as (offset, bytes, more) → what the last one led to.
    #[track_caller]
    fn check(rows: &[(u32, &str, bool)], whole: Option<&str>, conflict: bool) {
        let mut defrag = Defrag::default();
        let mut last = Fit::default();
        for (offset, bytes, more) in rows {
            last = defrag.put(&fragment(1, *offset, bytes.len(), *more), bytes.as_bytes(), FROM, Time(0));
        }
        let got = last.whole.as_ref().map(|d| String::from_utf8_lossy(&d.bytes).into_owned());
        assert_eq!((got.as_deref(), last.conflict), (whole, conflict), "{rows:?}");
    }

    #[test]
    fn joins() {
        let whole = Some("abcdefghijklmnopqrst");
        check(&[(0, "abcdefgh", true), (8, "ijklmnop", true), (16, "qrst", false)], whole, false);
        check(&[(16, "qrst", false), (0, "abcdefgh", true), (8, "ijklmnop", true)], whole, false);
        check(&[(0, "abcdefgh", true), (0, "abcdefgh", true), (8, "ijklmnopqrst", false)], whole, false);
        check(&[(0, "abcdefghijkl", true), (8, "ijklmnopqrst", false)], whole, false);
        check(&[(8, "ijklmnopqrst", false), (0, "abcdefghijklmnopqrst", true)], whole, false);
        check(&[(0, "abcdefgh", true), (16, "qrst", false)], None, false);
        check(&[(0, "abcdefgh", true), (0, "abcdEFgh", true)], None, true);
        check(&[(16, "qrst", false), (8, "ijklmnopQRST", true), (0, "abcdefgh", true)], whole, false);
        check(&[(16, "qrst", false), (8, "xy", false)], None, true);
        check(&[(65_528, "abcdefghij", false)], None, true);
    }

    /// Every fragment twice in a row is one datagram; a later one of the same number, or with other bytes, is another.
    #[test]
    fn what_came_twice_is_dropped() {
        let mut defrag = Defrag::default();
        let mut whole = 0;
        for (second, rest, expect) in [(0, "ij", 1), (0, "kl", 1), (5, "ij", 2)] {
            for (offset, bytes, more) in [(0, "abcdefgh", true), (8, rest, false)] {
                for _ in 0..2 {
                    let fit = defrag.put(&fragment(1, offset, bytes.len(), more), bytes.as_bytes(), FROM, Time::from_secs(second));
                    whole += u32::from(fit.whole.is_some());
                }
            }
            // What follows a moment later with other bytes waits for its own first fragment.
            assert_eq!((whole, defrag.partial.len()), (expect, usize::from(rest == "kl")), "{second} {rest}");
            defrag.partial.clear();
        }
        for id in 0..10_000 {
            defrag.put(&fragment(id, 0, 8, true), b"abcdefgh", FROM, Time::from_secs(9));
            defrag.put(&fragment(id, 8, 2, false), b"ij", FROM, Time::from_secs(9));
        }
        assert!(defrag.done.len() <= MOST_DATAGRAMS + 1);
    }

    #[test]
    fn gives_up() {
        let mut defrag = Defrag::default();
        defrag.put(&fragment(1, 0, 8, true), b"abcdefgh", FROM, Time(0));
        assert_eq!(defrag.put(&fragment(1, 8, 2, false), b"ij", FROM, Time::from_secs(61)), Fit::default());
        assert_eq!(defrag.lost, 1);
        // What was there is handed on, with what is known of the rest.
        let lost = defrag.given_up();
        assert_eq!(lost.iter().map(|d| (&d.bytes[..], d.wire)).collect::<Vec<_>>(), [(&b"abcdefgh"[..], 9)]);
        defrag.finish();
        assert_eq!(defrag.given_up().iter().map(|d| (&d.bytes[..], d.wire)).collect::<Vec<_>>(), [(&b""[..], 10)]);
        for id in 0..10_000 {
            defrag.put(&fragment(id, 0, 8000, true), &[0; 8000], FROM, Time::from_secs(61));
            defrag.given_up();
        }
        assert!(defrag.bytes < MOST_BYTES + 10_000 && defrag.partial.len() <= MOST_DATAGRAMS + 1);
    }
}
