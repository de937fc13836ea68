//! One block on its way from frames to shards: sliced by any thread, then put in order, then served by each shard.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use analyzers::flow::Mac;
use analyzers::observation::{Neighbour, NeighbourSource, OddKind};
use foldhash::fast::FixedState;
use policies::Time;

use crate::block::{Block, Note};
use crate::defrag::{Datagram, Defrag};
use crate::drive::Drive;
use crate::flow::Seen;
use crate::link::Link;
use crate::other::Other;
use crate::reassembly::Origin;
use crate::shard::Shard;
use crate::slice::{Fragment, Packet, SHARDS, Sliced, macs, neighbour, slice, slice_lost, slice_whole};

/// A block and what was found in its frames. Recycled.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) block: Block,
    number: u64,
    shards: Vec<Vec<Packet>>,
    /// Datagrams put together from fragments, one after the other.
    whole: Vec<u8>,
    fragments: Vec<Fragment>,
    /// Where datagrams that never became whole belong; their packets' frames count on from those of the block.
    late: Vec<(Origin, Time, Link)>,
    facts: Vec<(u32, Mac, IpAddr, NeighbourSource)>,
    others: Vec<(u32, Other)>,
    events: Vec<Event>,
    /// The input ends with this round.
    last: bool,
}

/// What shards hear besides packets, before the packets of the same frame.
#[derive(Debug)]
struct Event {
    at: Origin,
    what: What,
}

#[derive(Debug)]
enum What {
    /// For all shards.
    Tick(Time),
    /// For all shards: index into the block's notes.
    Secrets(usize),
    /// For the first shard.
    Link(Neighbour),
    /// For the first shard.
    Odd(OddKind, String),
}

/// The clock is announced when it enters another ten seconds: finer than any idle limit.
const TICK: i64 = 10 * 1_000_000_000;
/// Bindings that are remembered so as to be said once.
const MOST_BINDINGS: usize = 8192;
/// Broken frames of one kind that are said one by one.
const MOST_ODD: u64 = 32;

impl Default for Round {
    fn default() -> Round {
        Round {
            block: Block::new(),
            number: 0,
            shards: (0..SHARDS).map(|_| Vec::new()).collect(),
            whole: Vec::new(),
            fragments: Vec::new(),
            late: Vec::new(),
            facts: Vec::new(),
            others: Vec::new(),
            events: Vec::new(),
            last: false,
        }
    }
}

impl Round {
    /// Ready for another block.
    pub(crate) fn begin(&mut self, number: u64, last: bool) {
        self.number = number;
        self.last = last;
        self.shards.iter_mut().for_each(Vec::clear);
        self.whole.clear();
        self.fragments.clear();
        self.late.clear();
        self.facts.clear();
        self.others.clear();
        self.events.clear();
    }

    /// Takes off what is around each packet. Needs nothing but the block.
    pub(crate) fn slice(&mut self) {
        for (i, frame) in (0_u32..).zip(&self.block.frames) {
            let bytes = self.block.slice(frame.at, frame.caplen);
            match slice(frame.link, bytes, frame.len as usize) {
                Sliced::Packet(mut p) => {
                    if p.key.is_icmp6()
                        && let Some(payload) = bytes.get(p.at as usize..(p.at + p.len) as usize)
                        && let Some((mac, ip)) = neighbour(p.key.end(p.from_hi).ip(), payload)
                    {
                        self.facts.push((i, mac, ip, NeighbourSource::Nd));
                    }
                    if p.key.is_homeless()
                        && let (Some(mac), _) = macs(frame.link, p.ether, bytes)
                    {
                        p.key = p.key.of(mac);
                    }
                    p.frame = i;
                    p.at += frame.at;
                    if let Some(list) = self.shards.get_mut(p.key.shard() as usize) {
                        list.push(p);
                    }
                }
                Sliced::Fragment(f) => self.fragments.push(Fragment { frame: i, at: f.at + frame.at, ..f }),
                Sliced::Arp { mac, ip } => self.facts.push((i, mac, ip, NeighbourSource::Arp)),
                Sliced::Other(other) => self.others.push((i, other)),
            }
        }
    }

    /// A datagram out of fragments, or what there is of one, becomes a packet of `frame`.
    fn datagram(&mut self, of: &Datagram, frame: u32) {
        let sliced = match slice_whole(&of.key, &of.bytes, of.wire) {
            Sliced::Other(Other::CutHeader) => Sliced::Packet(slice_lost(&of.key, of.wire)),
            // A fragment within a fragment is not put together again.
            Sliced::Fragment(_) => Sliced::Other(Other::Deep),
            other => other,
        };
        match sliced {
            Sliced::Packet(mut p) => {
                p.frame = frame;
                p.whole = true;
                p.conflict = of.conflict;
                p.at += self.whole.len() as u32;
                self.whole.extend_from_slice(&of.bytes);
                if let Some(list) = self.shards.get_mut(p.key.shard() as usize) {
                    let i = list.partition_point(|q| q.frame < p.frame);
                    list.insert(i, p);
                }
            }
            Sliced::Other(other) => self.others.push((frame, other)),
            Sliced::Arp { .. } | Sliced::Fragment(_) => {}
        }
    }

    fn origin(&self, i: u32) -> (Origin, Time) {
        if let Some((origin, clock, _)) = (i as usize).checked_sub(self.block.frames.len()).and_then(|k| self.late.get(k)) {
            return (*origin, *clock);
        }
        let frame = self.block.frames.get(i as usize);
        let frame_number = self.block.first + u64::from(i);
        (Origin { time: frame.map_or(Time(0), |f| f.time), frame: frame_number }, frame.map_or(Time(0), |f| f.clock))
    }
}

/// What must be done in file order and by one thread at a time; little, so that it is nobody's bottleneck.
#[derive(Debug, Default)]
pub(crate) struct Sequencer {
    defrag: Defrag,
    clock: Option<Time>,
    last: Option<Origin>,
    bindings: HashSet<(Mac, IpAddr, u8), FixedState>,
    others: BTreeMap<Other, u64>,
    pub(crate) fragment_conflicts: u64,
    /// Bindings past those remembered: not said.
    pub(crate) bindings_over: u64,
}

impl Sequencer {
    pub(crate) fn run(&mut self, round: &mut Round) {
        self.ticks(round);
        self.fragments(round);
        self.facts(round);
        self.others(round);
        self.notes(round);
        round.events.sort_by_key(|e| e.at.frame);
        if let Some(i) = (round.block.len() as u32).checked_sub(1) {
            self.last = Some(round.origin(i).0);
        }
    }

    fn ticks(&mut self, round: &mut Round) {
        for (frame, number) in round.block.frames.iter().zip(round.block.first..) {
            let before = self.clock.replace(frame.clock);
            if before.is_some_and(|b| b != frame.clock && b.0.div_euclid(TICK) != frame.clock.0.div_euclid(TICK)) {
                round.events.push(Event { at: Origin { time: frame.time, frame: number }, what: What::Tick(frame.clock) });
            }
        }
    }

    fn fragments(&mut self, round: &mut Round) {
        for f in std::mem::take(&mut round.fragments) {
            let (at, clock) = round.origin(f.frame);
            let link = round.block.frames.get(f.frame as usize).map_or(Link::RAW, |frame| frame.link);
            let fit = self.defrag.put(&f, round.block.slice(f.at, f.len), (at, link), clock);
            if fit.conflict {
                self.fragment_conflicts += 1;
                if self.fragment_conflicts <= MOST_ODD {
                    let detail = "fragments overlap with different bytes, or reach beyond the largest datagram".to_owned();
                    round.events.push(Event { at, what: What::Odd(OddKind::FragmentOverlap, detail) });
                }
            }
            if let Some(whole) = fit.whole {
                round.datagram(&whole, f.frame);
            }
        }
        if round.last {
            self.defrag.finish();
        }
        for lost in self.defrag.given_up() {
            let frame = (round.block.frames.len() + round.late.len()) as u32;
            round.late.push((lost.origin, self.clock.unwrap_or(lost.origin.time), lost.link));
            round.datagram(&lost, frame);
        }
    }

    fn facts(&mut self, round: &mut Round) {
        for (i, mac, ip, source) in std::mem::take(&mut round.facts) {
            if ip.is_unspecified() || mac.is_multicast() || mac.0 == [0; 6] {
                continue;
            }
            if self.bindings.len() >= MOST_BINDINGS && !self.bindings.contains(&(mac, ip, source as u8)) {
                self.bindings_over += 1;
            } else if self.bindings.insert((mac, ip, source as u8)) {
                let at = round.origin(i).0;
                round.events.push(Event { at, what: What::Link(Neighbour { mac: mac.into(), ip, source }) });
            }
        }
    }

    fn others(&mut self, round: &mut Round) {
        for (i, other) in std::mem::take(&mut round.others) {
            let n = self.others.entry(other).or_insert(0);
            *n += 1;
            let what = match other {
                Other::BrokenIp | Other::BrokenUdp | Other::Deep => OddKind::BrokenFrame,
                Other::BrokenTcp => OddKind::BrokenTcp,
                _ => continue,
            };
            if *n <= MOST_ODD {
                let at = round.origin(i).0;
                round.events.push(Event { at, what: What::Odd(what, other.name()) });
            }
        }
    }

    fn notes(&mut self, round: &mut Round) {
        for (i, (frame, note)) in round.block.notes.iter().enumerate() {
            // A note before the first frame of a block is heard with it; the frame it speaks of may be of an earlier block.
            let at = frame.saturating_sub(round.block.first).min(round.block.len().saturating_sub(1) as u64) as u32;
            let (mut at, _) = round.origin(at);
            if round.block.is_empty() {
                at = self.last.unwrap_or(Origin { time: Time(0), frame: 0 });
            }
            match note {
                Note::Secrets(_) => {
                    // They open what follows: before the next frame.
                    at.frame = at.frame.max(frame + 1).min(round.block.first + round.block.len() as u64);
                    round.events.push(Event { at, what: What::Secrets(i) });
                }
                Note::ClockStep(ahead) => {
                    let detail = if *ahead < 0 {
                        format!("frame {frame} is {} s before one that came earlier; the clock did not go back", ahead.unsigned_abs())
                    } else {
                        format!("frame {frame} is {ahead} s ahead of its neighbours; the clock did not follow it")
                    };
                    round.events.push(Event { at, what: What::Odd(OddKind::ClockStep, detail) });
                }
                Note::Comment(_) => {}
            }
        }
    }

    /// What was not followed, by name, once the input has ended; and how many frames of it may have held packets.
    pub(crate) fn unread(&mut self) -> (BTreeMap<String, u64>, u64) {
        let by_name = self.others.iter().filter(|(other, _)| **other != Other::Link).map(|(other, n)| (other.name(), *n)).collect();
        (by_name, self.others.iter().filter(|(other, _)| other.may_hold_packets()).map(|(_, n)| n).sum())
    }

    pub(crate) fn fragments_lost(&self) -> u64 {
        self.defrag.lost
    }
}

impl<P: Drive> Shard<P> {
    /// Serves one round: its packets of this shard and the events of all, by frame.
    pub(crate) fn serve(&mut self, number: u16, round: &Round) {
        let block = &round.block;
        let mut events = round.events.iter().peekable();
        let packets = round.shards.get(number as usize).map(Vec::as_slice).unwrap_or_default();
        for packet in packets {
            let (origin, clock) = round.origin(packet.frame);
            while let Some(event) = events.next_if(|e| e.at.frame <= origin.frame) {
                self.hear(number, event, block);
            }
            let (link, frame) = match block.frames.get(packet.frame as usize) {
                Some(frame) => (frame.link, block.slice(frame.at, frame.caplen)),
                None => (Link::RAW, &[][..]),
            };
            let from = if packet.whole { round.whole.as_slice() } else { block.bytes.as_slice() };
            self.packet(&Seen {
                packet,
                origin,
                clock,
                link,
                bytes: from.get(packet.at as usize..packet.at as usize + packet.len as usize).unwrap_or_default(),
                frame,
                block: round.number as u32,
                at_hand: (&block.bytes, &round.whole),
            });
        }
        for event in events {
            self.hear(number, event, block);
        }
        if round.last {
            self.finish(round.block.last_origin());
        }
    }

    fn hear(&mut self, number: u16, event: &Event, block: &Block) {
        match &event.what {
            What::Tick(clock) => self.tick(*clock, event.at),
            What::Secrets(i) => {
                if let Some((_, Note::Secrets(secrets))) = block.notes.get(*i) {
                    self.secrets(secrets);
                }
            }
            What::Link(fact) if number == 0 => self.link(fact.clone(), event.at),
            What::Odd(what, detail) if number == 0 => self.odd(*what, detail, event.at),
            What::Link(_) | What::Odd(..) => {}
        }
    }
}
