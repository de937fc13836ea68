//! One conversation: its counts, what its directions still want, and for TCP how its segments become bytes.

use analyzers::chunk::{Chunk, Gap, Layer, Lost, Unit, Want};
use analyzers::dissect::sniff::is_plain;
use analyzers::flow::{Counts, Dir, FlowEnd, FlowKey};
use analyzers::observation::OddKind;
use policies::Time;

use crate::drive::{Drive, Outs};
use crate::key::Key;
use crate::link::Link;
use crate::reassembly::{Half, Origin, Place, Segment, Take, Was};
use crate::slice::{ACK, FIN, Packet, RST, SYN};

/// A packet with where it came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'b> {
    pub(crate) packet: &'b Packet,
    pub(crate) origin: Origin,
    pub(crate) clock: Time,
    pub(crate) link: Link,
    pub(crate) bytes: &'b [u8],
    /// The frame, for its link addresses.
    pub(crate) frame: &'b [u8],
    /// The block's number, modulo 2³².
    pub(crate) block: u32,
    /// The block's bytes, and its reassembled datagrams: for comparing retransmissions.
    pub(crate) at_hand: (&'b [u8], &'b [u8]),
}

#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) key: Key,
    pub(crate) id: FlowKey,
    /// The opener is the key's higher end.
    pub(crate) a_is_hi: bool,
    /// Which flow of its shard this is, from 1.
    pub(crate) serial: u64,
    pub(crate) list: u8,
    pub(crate) prev: u32,
    pub(crate) next: u32,
    pub(crate) clock: Time,
    pub(crate) last: Origin,
    pub(crate) counts: Counts,
    pub(crate) want: [Want; 2],
    /// Bytes nobody wanted, not yet told.
    pub(crate) passed: [u64; 2],
    pub(crate) passed_at: Time,
    pub(crate) tcp: Option<Box<Tcp>>,
}

#[derive(Debug, Default)]
pub(crate) struct Tcp {
    pub(crate) halves: [Half; 2],
    /// A SYN amid a live connection: a new one, if it is answered (RFC 9293 §3.10.7.4 lets the peer refuse it).
    pub(crate) pending: Option<(Dir, u32)>,
}

/// The list a flow waits in: open TCP, ended TCP, everything else.
pub(crate) const OPEN: u8 = 0;
pub(crate) const CLOSED: u8 = 1;
pub(crate) const DATAGRAM: u8 = 2;
/// Open TCP that was silent for long.
pub(crate) const RESTING: u8 = 3;

/// What a flow needs of its shard.
pub(crate) struct Run<'s, P: Drive> {
    pub(crate) drive: &'s mut P,
    pub(crate) outs: &'s mut Outs<P::Out>,
    pub(crate) budget: &'s mut usize,
}

/// Delivers one direction's bytes to the pipeline.
struct Deliver<'s, 'b, P: Drive> {
    run: &'s mut Run<'b, P>,
    id: FlowKey,
    dir: Dir,
    want: &'s mut Want,
    counts: &'s mut Counts,
    passed: &'s mut u64,
    now: Origin,
    at_hand: (&'s [u8], &'s [u8]),
}

/// What a flow keeps of both directions, of which a delivery needs one.
struct Ways<'s> {
    want: &'s mut [Want; 2],
    counts: &'s mut Counts,
    passed: &'s mut [u64; 2],
}

impl<'s, 'b, P: Drive> Deliver<'s, 'b, P> {
    fn to(run: &'s mut Run<'b, P>, id: FlowKey, dir: Dir, ways: Ways<'s>, seen: &Seen<'s>) -> Deliver<'s, 'b, P> {
        let n = dir.index();
        let Ways { want, counts, passed } = ways;
        Deliver { run, id, dir, want: &mut want[n], counts, passed: &mut passed[n], now: seen.origin, at_hand: seen.at_hand }
    }
}

impl<P: Drive> Take for Deliver<'_, '_, P> {
    fn bytes(&mut self, offset: u64, bytes: &[u8], origin: Origin) -> Want {
        if *self.want == Want::Nothing {
            *self.passed += bytes.len() as u64;
            return Want::Nothing;
        }
        let chunk = Chunk {
            flow: self.id,
            dir: self.dir,
            unit: Unit::Stream { offset },
            layer: Layer::Wire,
            time: origin.time,
            frame: origin.frame,
            bytes,
        };
        *self.want = self.run.drive.chunk(chunk, self.run.outs);
        *self.want
    }

    fn gap(&mut self, offset: u64, len: u64, why: Lost) -> Want {
        self.counts.missing[self.dir.index()] += len;
        let gap = Gap { flow: self.id, dir: self.dir, offset, len, why, time: self.now.time, frame: self.now.frame };
        *self.want = self.run.drive.gap(gap, self.run.outs);
        *self.want
    }

    fn conflict(&mut self, offset: u64) {
        self.counts.conflicting = self.counts.conflicting.saturating_add(1);
        let side = if self.dir == Dir::Out { "opener" } else { "responder" };
        let detail = format!("bytes from the {side} at stream offset {offset} came twice and differ");
        self.run.drive.odd(Some(self.id), OddKind::ConflictingSegment, &detail, self.now.time, self.now.frame, self.run.outs);
    }

    fn unchecked(&mut self, len: u64) {
        self.counts.unchecked = self.counts.unchecked.saturating_add(len);
    }

    fn at_hand(&self, place: Place, len: u32) -> Option<&[u8]> {
        let bytes = if place.whole { self.at_hand.1 } else { self.at_hand.0 };
        bytes.get(place.at as usize..place.at as usize + len as usize)
    }
}

impl Flow {
    pub(crate) fn dir(&self, from_hi: bool) -> Dir {
        if from_hi == self.a_is_hi { Dir::Out } else { Dir::Back }
    }

    /// How its own packets ended it, if they did.
    pub(crate) fn ended(&self) -> Option<FlowEnd> {
        let tcp = self.tcp.as_deref()?;
        if self.counts.rst != [false; 2] {
            return Some(FlowEnd::Reset);
        }
        tcp.halves.iter().all(Half::is_finished).then_some(FlowEnd::Fin)
    }

    pub(crate) fn class(&self) -> u8 {
        match self.tcp.as_deref() {
            Some(_) if self.ended().is_some() => CLOSED,
            Some(tcp) if tcp.halves.iter().all(Half::is_heard) => OPEN,
            _ => DATAGRAM,
        }
    }

    fn count(&mut self, dir: Dir, p: &Packet) {
        self.counts.packets[dir.index()] += 1;
        self.counts.bytes[dir.index()] += u64::from(p.len) + u64::from(p.cut);
        self.counts.cut = self.counts.cut.saturating_add(u32::from(p.cut > 0 || p.beyond > 0));
        self.counts.conflicting = self.counts.conflicting.saturating_add(u32::from(p.conflict));
    }

    /// A header that claims more than its frame has room for: a receiver drops the packet, and a tool that strips payloads leaves such.
    #[cold]
    fn claims_too_much<P: Drive>(&self, seen: &Seen<'_>, run: &mut Run<'_, P>) {
        let detail = format!("the IP header claims {} bytes more than the frame has", seen.packet.beyond);
        run.drive.odd(Some(self.id), OddKind::BrokenFrame, &detail, seen.origin.time, seen.origin.frame, run.outs);
    }

    pub(crate) fn datagram<P: Drive>(&mut self, seen: &Seen<'_>, run: &mut Run<'_, P>) -> Was {
        let p = seen.packet;
        let dir = self.dir(p.from_hi);
        let d = dir.index();
        self.count(dir, p);
        if p.beyond > 0 {
            self.claims_too_much(seen, run);
        }
        // Nothing follows in its place: what is not there is missing, whoever cut it.
        let cut = p.cut + p.beyond;
        if p.len == 0 && cut == 0 {
            return Was::Fine;
        }
        if self.want[d] == Want::Nothing {
            self.passed[d] += u64::from(p.len);
            self.tell_passed(seen.origin.time, run);
        } else if p.len > 0 {
            let chunk = Chunk {
                flow: self.id,
                dir,
                unit: Unit::Datagram,
                layer: Layer::Wire,
                time: seen.origin.time,
                frame: seen.origin.frame,
                bytes: seen.bytes,
            };
            self.want[d] = run.drive.chunk(chunk, run.outs);
        }
        if cut > 0 {
            self.counts.missing[d] += u64::from(cut);
            let (time, frame) = (seen.origin.time, seen.origin.frame);
            let gap = Gap { flow: self.id, dir, offset: u64::from(p.len), len: u64::from(cut), why: Lost::SnapLength, time, frame };
            let want = run.drive.gap(gap, run.outs);
            if self.want[d] != Want::Nothing {
                self.want[d] = want;
            }
        }
        Was::Fine
    }

    pub(crate) fn segment<P: Drive>(&mut self, seen: &Seen<'_>, run: &mut Run<'_, P>) -> Was {
        let p = seen.packet;
        let f = p.tcp;
        let dir = self.dir(p.from_hi);
        if p.beyond > 0 {
            self.claims_too_much(seen, run);
        }
        let (d, o) = (dir.index(), dir.other().index());
        let Some(tcp) = self.tcp.as_deref_mut() else { return Was::Fine };
        let mut seq = f.seq;
        let mut again = false;
        if f.flags & SYN != 0 {
            again = tcp.halves[d].isn == Some(f.seq);
            if f.flags & RST == 0 {
                tcp.halves[d].syn(f.seq);
                if f.flags & ACK != 0 {
                    // What is acknowledged here can only be the other side's SYN.
                    tcp.halves[o].syn(f.ack.wrapping_sub(1));
                }
            }
            seq = seq.wrapping_add(1);
        } else if dir == Dir::Out
            && f.flags & (ACK | RST) == ACK
            && !tcp.halves[o].is_started()
            && tcp.halves[d].isn == Some(f.seq.wrapping_sub(1))
        {
            // The third step of the handshake; the second was not captured.
            tcp.halves[o].syn(f.ack.wrapping_sub(1));
        }
        // A bare FIN from a side that has not answered the SYN says nothing of where its stream begins.
        let early = p.len == 0 && p.cut == 0 && f.flags & SYN == 0 && !tcp.halves[d].is_heard() && tcp.halves[o].isn.is_some();
        let wants = self.want;
        if f.flags & (ACK | SYN | RST) == ACK && tcp.halves[o].waits() {
            let ways = Ways { want: &mut self.want, counts: &mut self.counts, passed: &mut self.passed };
            let mut take = Deliver::to(run, self.id, dir.other(), ways, seen);
            let mut budget = *take.run.budget;
            tcp.halves[o].answered(f.ack, &mut budget, &mut take);
            *run.budget = budget;
        }
        let mut was = Was::Fine;
        if f.flags & RST == 0 && (p.len > 0 || p.cut > 0 || f.flags & FIN != 0) && !(again && p.len == 0) && !early {
            let fin = f.flags & FIN != 0;
            if wants[d] == Want::Nothing {
                let (how, new) = tcp.halves[d].count(seq, p.len + p.cut, fin);
                let cut = u64::from(p.cut).min(new);
                self.counts.missing[d] += cut;
                was = how;
                if new == u64::from(p.len) && new > 0 && is_plain(seen.bytes) {
                    let unit = Unit::Stream { offset: tcp.halves[d].offset - new };
                    let (time, frame) = (seen.origin.time, seen.origin.frame);
                    let chunk = Chunk { flow: self.id, dir, unit, layer: Layer::Wire, time, frame, bytes: seen.bytes };
                    self.want[d] = run.drive.chunk(chunk, run.outs);
                } else {
                    self.passed[d] += new - cut;
                }
            } else {
                let place = Place { block: seen.block, whole: p.whole, at: p.at };
                let segment = Segment { seq, bytes: seen.bytes, cut: p.cut, fin, origin: seen.origin, place };
                let ways = Ways { want: &mut self.want, counts: &mut self.counts, passed: &mut self.passed };
                let mut take = Deliver::to(run, self.id, dir, ways, seen);
                let mut budget = *take.run.budget;
                was = tcp.halves[d].segment(segment, &mut budget, &mut take);
                if *take.want == Want::Nothing {
                    tcp.halves[d].forget(&mut budget);
                }
                *run.budget = budget;
            }
        }
        if was == Was::Restarted {
            return was;
        }
        if f.flags & (ACK | SYN | RST) == ACK && wants[o] != Want::Nothing {
            let ways = Ways { want: &mut self.want, counts: &mut self.counts, passed: &mut self.passed };
            let mut take = Deliver::to(run, self.id, dir.other(), ways, seen);
            let mut budget = *take.run.budget;
            tcp.halves[o].acked(f.ack, &mut budget, &mut take);
            *run.budget = budget;
        }
        if f.flags & RST != 0 && !self.counts.rst[d] {
            tcp.halves[d].reset(seq);
        }
        if f.flags & RST != 0 && wants[d] != Want::Nothing {
            self.counts.unchecked = self.counts.unchecked.saturating_add(u64::from(p.len));
        }
        self.counts.fin[d] |= f.flags & FIN != 0;
        self.counts.rst[d] |= f.flags & RST != 0;
        self.count(dir, p);
        match was {
            Was::Retransmitted => self.counts.retransmitted[d] = self.counts.retransmitted[d].saturating_add(1),
            Was::Fine if again => self.counts.retransmitted[d] = self.counts.retransmitted[d].saturating_add(1),
            Was::Reordered => self.counts.reordered = self.counts.reordered.saturating_add(1),
            _ => {}
        }
        self.tell_passed(seen.origin.time, run);
        was
    }

    /// Hands over what passed, at most once a second: windows of a stimulus are no finer.
    fn tell_passed<P: Drive>(&mut self, time: Time, run: &mut Run<'_, P>) {
        if self.passed == [0; 2] || time.0.abs_diff(self.passed_at.0) < 1_000_000_000 {
            return;
        }
        self.passed_at = time;
        self.flush_passed(time, run);
    }

    fn flush_passed<P: Drive>(&mut self, time: Time, run: &mut Run<'_, P>) {
        for dir in Dir::BOTH {
            let len = std::mem::take(&mut self.passed[dir.index()]);
            if len > 0 {
                run.drive.passed(self.id, dir, len, time);
            }
        }
    }

    /// Nothing that is missing will come any more.
    pub(crate) fn rest<P: Drive>(&mut self, run: &mut Run<'_, P>) {
        self.settle(run, false);
    }

    pub(crate) fn finish<P: Drive>(&mut self, run: &mut Run<'_, P>) {
        self.settle(run, true);
        self.flush_passed(self.last.time, run);
    }

    /// Delivers what waits in both directions, holes or not.
    fn settle<P: Drive>(&mut self, run: &mut Run<'_, P>, over: bool) {
        if let Some(tcp) = self.tcp.as_deref_mut() {
            for dir in Dir::BOTH {
                let d = dir.index();
                if self.want[d] == Want::Nothing {
                    self.counts.missing[d] += if over { tcp.halves[d].skipped() } else { 0 };
                    continue;
                }
                let mut take = Deliver {
                    run,
                    id: self.id,
                    dir,
                    want: &mut self.want[d],
                    counts: &mut self.counts,
                    passed: &mut self.passed[d],
                    now: self.last,
                    at_hand: (&[], &[]),
                };
                let mut budget = *take.run.budget;
                if over {
                    tcp.halves[d].finish(&mut budget, &mut take);
                } else {
                    tcp.halves[d].rest(&mut budget, &mut take);
                }
                if over || *take.want == Want::Nothing {
                    tcp.halves[d].forget(&mut budget);
                }
                *run.budget = budget;
            }
        }
    }
}
