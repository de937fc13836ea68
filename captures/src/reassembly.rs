//! One direction of a TCP stream: segments in any order in, bytes in order and gaps out.
//!
//! Bytes that come in order are passed on where they lie; only those ahead of a hole are copied, within a budget.
//! Where segments overlap, the bytes that came first count, and later ones are compared with them: byte by byte while both are in memory, by
//! a digest after that. What can be compared in neither way is counted.
//!
//! Long, for what becomes of a segment in any place and state is one story.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use analyzers::chunk::{Lost, Want};
use foldhash::fast::FixedState;
use policies::Time;

/// Sequence numbers further away than this are not of the window, but of something else: 16 MiB is beyond any receive window in use
/// and far below half the sequence space.
const WINDOW: i64 = 16 << 20;
/// A RST stands no further ahead than what may be on its way unanswered.
const NEAR: i64 = 1 << 20;
/// Bytes one direction may hold ahead of a hole.
const MOST_HELD: usize = 1 << 20;
/// What a held segment costs besides its bytes.
const SEGMENT: usize = 64;
/// After the peer has acknowledged bytes that were not seen, so many more packets of the flow may bring them out of order.
const REORDER: u16 = 32;
/// Consecutive segments far outside the window before the stream follows them.
const STRAYS: u8 = 3;
/// So many segments at most wait at the start of a stream whose SYN was not seen: it may come late, or the segment before them.
const OPENING: usize = 3;
/// Delivered segments that are remembered for comparison with retransmissions: a round trip of an ordinary connection, at 40 bytes each.
const RECENT: usize = 64;

/// Takes what a direction delivers.
pub(crate) trait Take {
    fn bytes(&mut self, offset: u64, bytes: &[u8], origin: Origin) -> Want;
    fn gap(&mut self, offset: u64, len: u64, why: Lost) -> Want;
    /// Bytes at `offset` differ from those delivered or held before.
    fn conflict(&mut self, offset: u64);
    /// So many bytes were neither delivered nor compared with those that were.
    fn unchecked(&mut self, len: u64);
    /// Bytes of the block being worked on.
    fn at_hand(&self, place: Place, len: u32) -> Option<&[u8]>;
}

/// Which frame brought bytes, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) time: Time,
    pub(crate) frame: u64,
}

/// Where in which block a payload lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The block's number, modulo 2³².
    pub(crate) block: u32,
    pub(crate) whole: bool,
    pub(crate) at: u32,
}

/// One segment's payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) seq: u32,
    pub(crate) bytes: &'a [u8],
    /// Sent, but not captured.
    pub(crate) cut: u32,
    pub(crate) fin: bool,
    pub(crate) origin: Origin,
    pub(crate) place: Place,
}

/// What a segment was, for the flow's counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Was {
    /// No payload, or payload in order.
    Fine,
    Retransmitted,
    Reordered,
    /// Outside any window; not followed (yet).
    Stray,
    /// The sequence numbers have started afresh far behind: another connection on the same ports.
    Restarted,
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Half {
    /// Sequence number of the byte at `offset`.
    next: u32,
    pub(crate) offset: u64,
    started: bool,
    /// The initial sequence number, when the SYN was seen or is certain.
    pub(crate) isn: Option<u32>,
    /// Stream offset the FIN stands at.
    fin: Option<u64>,
    /// How far the peer has acknowledged.
    acked: u64,
    stray: (u32, u8),
    /// Segments that wait for others; few directions have any.
    aside: Option<Box<Aside>>,
    /// Delivered pieces, in order of their offsets.
    recent: VecDeque<Sent>,
    /// Bytes skipped while nothing was wanted, that a late segment may still bring.
    skipped: u64,
}

/// What cannot be delivered yet.
#[derive(Debug, Default)]
struct Aside {
    /// The first segments of a stream whose beginning is not known, one behind the other, until it is.
    opening: Vec<Waiting>,
    /// Segments ahead of a hole, in order of their offsets.
    held: VecDeque<Held>,
    held_bytes: usize,
    /// Packets since the peer acknowledged past the hole.
    overdue: u16,
}

/// A segment that waits for the beginning of its stream.
#[derive(Debug)]
struct Waiting {
    seq: u32,
    bytes: Vec<u8>,
    cut: u32,
    origin: Origin,
}

impl Waiting {
    fn end(&self) -> u32 {
        self.seq.wrapping_add(self.bytes.len() as u32).wrapping_add(self.cut)
    }
}

#[derive(Debug)]
struct Held {
    offset: u64,
    bytes: Vec<u8>,
    cut: u32,
    origin: Origin,
}

impl Held {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64 + u64::from(self.cut)
    }
}

/// A piece that was delivered.
#[derive(Debug)]
struct Sent {
    offset: u64,
    len: u32,
    /// Where it lay; `None` if it was held in a copy of its own.
    place: Option<Place>,
    digest: u64,
}

impl Sent {
    fn end(&self) -> u64 {
        self.offset + u64::from(self.len)
    }
}

/// A fixed seed, for the same input must give the same output. Somebody who knows it could make two segments of one digest, a block and more
/// apart.
fn digest(bytes: &[u8]) -> u64 {
    FixedState::with_seed(0x6f76_6572_6c61_7073).hash_one(bytes)
}

impl Half {
    /// The SYN's place is known: the stream begins after it.
    pub(crate) fn syn(&mut self, isn: u32) {
        if self.started && self.is_missing_syn(isn) {
            self.isn = Some(isn);
        }
        if !self.started {
            self.isn = Some(isn);
            self.next = isn.wrapping_add(1);
            self.started = true;
        }
    }

    pub(crate) fn is_started(&self) -> bool {
        self.started
    }

    /// Whether bytes of it were seen, or where they begin.
    pub(crate) fn is_heard(&self) -> bool {
        self.started || self.waits()
    }

    /// Whether segments wait for its beginning.
    pub(crate) fn waits(&self) -> bool {
        self.first_waiting().is_some()
    }

    fn first_waiting(&self) -> Option<&Waiting> {
        self.aside.as_ref()?.opening.first()
    }

    /// The first segment ahead of a hole.
    fn first_held(&self) -> Option<&Held> {
        self.aside.as_ref()?.held.front()
    }

    /// Whether a SYN with this number is the one that was not seen: what was delivered begins right after it, or what waits soon after.
    pub(crate) fn is_missing_syn(&self, isn: u32) -> bool {
        let delivered = self.next.wrapping_sub(self.offset as u32);
        let first = self.first_waiting().map_or(delivered, |first| first.seq);
        let ahead = first.wrapping_sub(isn.wrapping_add(1)) as usize;
        self.is_heard() && self.isn.is_none() && (ahead == 0 || !self.started && ahead <= MOST_HELD)
    }

    /// The peer acknowledges up to `ack` before it goes on: what waits and it has was sent in order, and comes first.
    pub(crate) fn answered(&mut self, ack: u32, budget: &mut usize, take: &mut impl Take) {
        if self.first_waiting().is_some_and(|first| self.started || ack.wrapping_sub(first.seq) as i32 > 0) {
            self.begin(budget, take);
        }
    }

    /// All bytes up to the FIN were delivered or skipped.
    pub(crate) fn is_finished(&self) -> bool {
        self.fin.is_some_and(|fin| self.offset >= fin)
    }

    /// Takes a segment; `budget` is what the shard may still hold.
    pub(crate) fn segment(&mut self, mut s: Segment<'_>, budget: &mut usize, take: &mut impl Take) -> Was {
        let len = s.bytes.len() as u64 + u64::from(s.cut);
        if len == 0 && !s.fin {
            return Was::Fine;
        }
        let mut early = false;
        if !self.started {
            if self.wait(&s, budget) {
                return Was::Fine;
            }
            // What ends where the first one begins comes before it.
            early = len > 0 && self.first_waiting().is_some_and(|first| first.seq == s.seq.wrapping_add(len as u32));
            if early || !self.waits() {
                self.next = s.seq;
                self.started = true;
            }
        }
        if self.waits() {
            self.begin(budget, take);
        }
        let mut rel = i64::from(s.seq.wrapping_sub(self.next) as i32);
        if rel.abs() > WINDOW && rel != -1 {
            self.stray = if self.stray.0 == s.seq { (s.seq, self.stray.1.saturating_add(1)) } else { (s.seq, 1) };
            self.stray.0 = s.seq.wrapping_add(len as u32);
            if self.stray.1 < STRAYS {
                take.unchecked(s.bytes.len() as u64);
                return Was::Stray;
            }
            if rel < 0 {
                return Was::Restarted;
            }
            self.flush(budget, take);
            rel = i64::from(s.seq.wrapping_sub(self.next) as i32);
            self.skip(rel.max(0) as u64, Lost::Sequence, take);
            rel = 0;
        }
        self.stray.1 = 0;
        let end = self.offset as i64 + rel + len as i64;
        if s.fin && end >= 0 {
            self.fin.get_or_insert(end as u64);
        }
        if len == 0 {
            return Was::Fine;
        }
        if end <= self.offset as i64 {
            // RFC 9293 §3.8.4: a keep-alive repeats the last byte, whatever it holds.
            if len == 1 && rel == -1 && !s.fin {
                return Was::Fine;
            }
            self.compare(&s, rel, take);
            return Was::Retransmitted;
        }
        let mut was = Was::Fine;
        if rel < 0 {
            self.compare(&s, rel, take);
            let old = (-rel) as usize;
            s.cut -= (old.saturating_sub(s.bytes.len()) as u32).min(s.cut);
            let old = old.min(s.bytes.len());
            s.bytes = s.bytes.get(old..).unwrap_or_default();
            s.place.at += old as u32;
            rel = 0;
            if len > 1 {
                was = Was::Retransmitted;
            }
        }
        if rel > 0 {
            self.hold(self.offset + rel as u64, &s, budget, take);
            return Was::Reordered;
        }
        self.in_order(s, budget, take);
        if early { Was::Reordered } else { was }
    }

    /// The peer has acknowledged up to `ack`.
    pub(crate) fn acked(&mut self, ack: u32, budget: &mut usize, take: &mut impl Take) {
        if !self.started {
            return;
        }
        let rel = i64::from(ack.wrapping_sub(self.next) as i32);
        if rel > 0 && rel <= WINDOW {
            self.acked = self.acked.max(self.offset + rel as u64);
        }
        if self.first_held().is_some_and(|first| self.acked >= first.offset)
            && let Some(aside) = &mut self.aside
        {
            aside.overdue += 1;
            if aside.overdue > REORDER {
                self.skip_hole(Lost::Sequence, budget, take);
            }
        }
    }

    /// The sender broke off at `seq`: so much it had sent, if that is no guess of somebody else's.
    pub(crate) fn reset(&mut self, seq: u32) {
        let rel = i64::from(seq.wrapping_sub(self.next) as i32);
        if self.started && rel > 0 && rel <= NEAR {
            self.acked = self.acked.max(self.offset + rel as u64);
        }
    }

    /// Nothing of this direction is wanted any more: what is held goes.
    pub(crate) fn forget(&mut self, budget: &mut usize) {
        self.recent = VecDeque::new();
        let Some(aside) = self.aside.take() else { return };
        *budget += aside.opening.iter().map(|w| w.bytes.len() + SEGMENT).sum::<usize>();
        *budget += aside.held_bytes;
        if let Some(last) = aside.held.back() {
            let end = last.end();
            self.skipped += (end - self.offset).saturating_sub(aside.held.iter().map(|h| h.bytes.len() as u64).sum());
            self.next = self.next.wrapping_add((end - self.offset) as u32);
            self.offset = end;
        }
    }

    /// Follows the numbers only. Says what the segment was, and how many bytes of it are new.
    pub(crate) fn count(&mut self, seq: u32, len: u32, fin: bool) -> (Was, u64) {
        if !self.started {
            self.next = seq;
            self.started = true;
        }
        let rel = i64::from(seq.wrapping_sub(self.next) as i32);
        let end = rel + i64::from(len);
        if rel.abs() > WINDOW {
            self.stray = if self.stray.0 == seq { (seq, self.stray.1.saturating_add(1)) } else { (seq, 1) };
            self.stray.0 = seq.wrapping_add(len);
            if self.stray.1 < STRAYS {
                return (Was::Stray, 0);
            }
            if rel < 0 {
                return (Was::Restarted, 0);
            }
        }
        if fin && self.offset as i64 + end >= 0 {
            self.fin.get_or_insert((self.offset as i64 + end) as u64);
        }
        if len == 0 {
            return (Was::Fine, 0);
        }
        if end <= 0 {
            if len == 1 && rel == -1 && !fin {
                return (Was::Fine, 0);
            }
            let late = self.skipped.min(u64::from(len));
            self.skipped -= late;
            return if late > 0 { (Was::Reordered, late) } else { (Was::Retransmitted, 0) };
        }
        self.skipped += rel.max(0) as u64;
        self.next = seq.wrapping_add(len);
        self.offset += end as u64;
        if rel < 0 { (Was::Retransmitted, end as u64) } else { (Was::Fine, u64::from(len)) }
    }

    /// Bytes that were skipped while only counting.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The flow is over: holes will not be filled. `closed` says that the sender's last byte was acknowledged or finished.
    pub(crate) fn finish(&mut self, budget: &mut usize, take: &mut impl Take) {
        self.begin(budget, take);
        self.flush(budget, take);
        // An acknowledged FIN counts one; where no FIN was seen, one byte more may be it.
        let end = match self.fin {
            Some(fin) => fin.max(self.acked.saturating_sub(1)),
            None => self.acked.saturating_sub(1),
        };
        if end > self.offset {
            let len = if self.fin.is_some() { end - self.offset } else { self.acked - self.offset };
            self.skip(len, Lost::Sequence, take);
        }
        self.recent = VecDeque::new();
    }

    /// Holes will not be filled; what was delivered is still remembered, in no more room than it takes.
    pub(crate) fn rest(&mut self, budget: &mut usize, take: &mut impl Take) {
        self.begin(budget, take);
        self.flush(budget, take);
        self.aside = None;
        self.recent.shrink_to_fit();
    }

    /// Keeps a segment at the start of a stream whose beginning is not known, if it follows what is kept.
    fn wait(&mut self, s: &Segment<'_>, budget: &mut usize) -> bool {
        let cost = s.bytes.len() + SEGMENT;
        let opening = self.aside.as_ref().map_or(&[][..], |aside| &aside.opening);
        let follows = opening.last().is_none_or(|last| last.end() == s.seq);
        if s.fin || !follows || opening.len() >= OPENING || cost > *budget {
            return false;
        }
        *budget -= cost;
        self.aside.get_or_insert_default().opening.push(Waiting { seq: s.seq, bytes: s.bytes.to_vec(), cut: s.cut, origin: s.origin });
        true
    }

    /// Goes on with the segments that waited for the beginning; without a better one it is theirs.
    #[cold]
    fn begin(&mut self, budget: &mut usize, take: &mut impl Take) {
        let opening = self.aside.as_mut().map(|aside| std::mem::take(&mut aside.opening)).unwrap_or_default();
        if let Some(first) = opening.first().filter(|_| !self.started) {
            self.next = first.seq;
            self.started = true;
        }
        for Waiting { seq, bytes, cut, origin } in opening {
            *budget += bytes.len() + SEGMENT;
            self.segment(Segment { seq, bytes: &bytes, cut, fin: false, origin, place: Place::default() }, budget, take);
        }
    }

    fn in_order(&mut self, mut s: Segment<'_>, budget: &mut usize, take: &mut impl Take) {
        // What is held came first: it stands, and the segment fills in around it.
        while let Some(first) = self.first_held() {
            let room = (first.offset - self.offset) as usize;
            if s.bytes.len() + (s.cut as usize) < room {
                break;
            }
            let fill = room.min(s.bytes.len());
            let (before, after) = s.bytes.split_at(fill);
            self.deliver(before, s.origin, Some(s.place), take);
            let cut = ((room - fill) as u32).min(s.cut);
            self.skip(u64::from(cut), Lost::SnapLength, take);
            s.cut -= cut;
            s.place.at += fill as u32;
            let Some(first) = self.pop(budget) else { break };
            let both = after.len().min(first.bytes.len());
            if after.get(..both) != first.bytes.get(..both) {
                take.conflict(first.offset);
            }
            let len = (first.end() - first.offset) as usize;
            self.deliver(&first.bytes, first.origin, None, take);
            self.skip(u64::from(first.cut), Lost::SnapLength, take);
            s.cut -= (len.saturating_sub(after.len()) as u32).min(s.cut);
            let used = len.min(after.len());
            s.bytes = after.get(used..).unwrap_or_default();
            s.place.at += used as u32;
        }
        self.deliver(s.bytes, s.origin, Some(s.place), take);
        self.skip(u64::from(s.cut), Lost::SnapLength, take);
    }

    #[inline]
    fn deliver(&mut self, bytes: &[u8], origin: Origin, place: Option<Place>, take: &mut impl Take) {
        if bytes.is_empty() {
            return;
        }
        let want = take.bytes(self.offset, bytes, origin);
        if want != Want::Nothing {
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(Sent { offset: self.offset, len: bytes.len() as u32, place, digest: digest(bytes) });
        }
        self.advance(bytes.len() as u64);
    }

    fn skip(&mut self, len: u64, why: Lost, take: &mut impl Take) {
        if len > 0 {
            take.gap(self.offset, len, why);
            self.advance(len);
        }
    }

    fn advance(&mut self, len: u64) {
        self.offset += len;
        self.next = self.next.wrapping_add(len as u32);
        if let Some(aside) = &mut self.aside {
            aside.overdue = 0;
        }
    }

    fn pop(&mut self, budget: &mut usize) -> Option<Held> {
        let aside = self.aside.as_mut()?;
        let first = aside.held.pop_front()?;
        let cost = first.bytes.len() + SEGMENT;
        aside.held_bytes -= cost.min(aside.held_bytes);
        *budget += cost;
        Some(first)
    }

    /// Gives up the bytes before the first held segment, and goes on with it and what follows without a hole.
    fn skip_hole(&mut self, why: Lost, budget: &mut usize, take: &mut impl Take) {
        let Some(first) = self.first_held() else { return };
        self.skip(first.offset - self.offset, why, take);
        while self.first_held().is_some_and(|h| h.offset <= self.offset) {
            let Some(first) = self.pop(budget) else { return };
            self.deliver(&first.bytes, first.origin, None, take);
            self.skip(u64::from(first.cut), Lost::SnapLength, take);
        }
    }

    fn flush(&mut self, budget: &mut usize, take: &mut impl Take) {
        while self.first_held().is_some() {
            self.skip_hole(Lost::Sequence, budget, take);
        }
    }

    /// Keeps what is new of a segment ahead of a hole. Held segments never overlap.
    fn hold(&mut self, offset: u64, s: &Segment<'_>, budget: &mut usize, take: &mut impl Take) {
        let mut at = offset;
        let end = offset + s.bytes.len() as u64;
        let mut i = self.aside.as_ref().map_or(0, |aside| aside.held.partition_point(|h| h.end() <= at));
        loop {
            let aside = self.aside.get_or_insert_default();
            let (start, stop) = aside.held.get(i).map_or((u64::MAX, u64::MAX), |h| (h.offset, h.end()));
            if at < start {
                let upto = end.min(start);
                let piece = s.bytes.get((at - offset) as usize..(upto - offset) as usize).unwrap_or_default();
                let cut = if upto == end { u64::from(s.cut).min(start - end) as u32 } else { 0 };
                if piece.len() + cut as usize > 0 {
                    let cost = piece.len() + SEGMENT;
                    if aside.held_bytes + cost > MOST_HELD || cost > *budget {
                        self.overflow(Segment { bytes: piece, cut, ..*s }, at, budget, take);
                        return;
                    }
                    *budget -= cost;
                    aside.held_bytes += cost;
                    aside.held.insert(i, Held { offset: at, bytes: piece.to_vec(), cut, origin: s.origin });
                    i += 1;
                }
            }
            if start >= end {
                return;
            }
            // Overlap with a held one: it came first.
            if let Some(h) = aside.held.get(i) {
                let from = at.max(start);
                let upto = end.min(start + h.bytes.len() as u64);
                if from < upto
                    && h.bytes.get((from - start) as usize..(upto - start) as usize)
                        != s.bytes.get((from - offset) as usize..(upto - offset) as usize)
                {
                    take.conflict(from);
                }
            }
            at = stop;
            i += 1;
            if at >= end {
                return;
            }
        }
    }

    /// No room: the oldest hole is given up, so that the stream goes on.
    fn overflow(&mut self, s: Segment<'_>, offset: u64, budget: &mut usize, take: &mut impl Take) {
        while self.first_held().is_some_and(|h| h.offset < offset) {
            self.skip_hole(Lost::Memory, budget, take);
            let cost = s.bytes.len() + SEGMENT;
            let held = self.aside.as_ref().map_or(0, |aside| aside.held_bytes);
            if self.offset < offset && held + cost <= MOST_HELD && cost <= *budget {
                self.hold(offset, &s, budget, take);
                return;
            }
        }
        if self.offset < offset {
            self.skip(offset - self.offset, Lost::Memory, take);
        }
        // The hole may have been given up past the beginning of this segment.
        let old = ((self.offset - offset) as usize).min(s.bytes.len());
        let rest = Segment { bytes: s.bytes.get(old..).unwrap_or_default(), ..s };
        self.in_order(rest, budget, take);
    }

    /// Compares a retransmission with the bytes that were delivered where it stands; what follows them is not looked at.
    #[cold]
    fn compare(&self, s: &Segment<'_>, rel: i64, take: &mut impl Take) {
        let start = self.offset as i64 + rel;
        // Bytes from before the stream's beginning were delivered to nobody.
        let mut at = start.max(0) as u64;
        if start < 0 {
            take.unchecked(start.unsigned_abs().min(s.bytes.len() as u64));
        }
        let end = ((start + s.bytes.len() as i64).max(0) as u64).min(self.offset);
        let new = |from: u64, upto: u64| s.bytes.get((from as i64 - start) as usize..(upto as i64 - start) as usize).unwrap_or_default();
        let first = self.recent.partition_point(|sent| sent.end() <= at);
        for sent in self.recent.iter().skip(first) {
            if at >= end || sent.offset >= end {
                break;
            }
            // What lies between was given up, or is forgotten.
            take.unchecked(sent.offset.saturating_sub(at));
            at = at.max(sent.offset);
            let upto = sent.end().min(end);
            let old = sent.place.filter(|place| place.block == s.place.block).and_then(|place| {
                let there = Place { at: place.at + (at - sent.offset) as u32, ..place };
                take.at_hand(there, (upto - at) as u32)
            });
            match old {
                Some(old) if old == new(at, upto) => {}
                None if at > sent.offset || upto < sent.end() => take.unchecked(upto - at),
                None if sent.digest == digest(new(at, upto)) => {}
                _ => {
                    take.conflict(at);
                    return;
                }
            }
            at = upto;
        }
        take.unchecked(end.saturating_sub(at));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
