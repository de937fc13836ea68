//! One logical shard: its table of flows, which flow a packet belongs to, and when a flow is over.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use analyzers::chunk::{Gap, Lost, Want};
use analyzers::flow::{Counts, Dir, Ends, FlowEnd, FlowKey};
use analyzers::keys::Secret;
use analyzers::observation::{Neighbour, OddKind, is_local};
use policies::Time;

use crate::drive::{Drive, Outs};
use crate::flow::{CLOSED, DATAGRAM, Flow, OPEN, RESTING, Run, Seen};
use crate::key::Key;
use crate::reassembly::{Origin, Was};
use crate::slice::{ACK, RST, SYN, macs};

/// Bounds of one shard, and how long a silent flow is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flows open at once in one of the 64 shards; the longest silent goes first.
    pub flows: usize,
    /// Bytes of out-of-order payload one shard may hold.
    pub held: usize,
    /// Silence after which an open TCP connection is taken for dead, in seconds. RFC 9293 knows no limit; RFC 5382 asks translators for
    /// 2 h 4 min, push connections of phones are refreshed within 30 minutes.
    pub tcp_idle: u32,
    /// Silence after which nobody will fill the holes of an open TCP connection, in seconds, and what is kept of it is packed. A sender that
    /// waits for an acknowledgement tries again within two minutes (Linux; RFC 6298 §2.5 asks for one at least).
    pub tcp_rest: u32,
    /// The same as `tcp_idle` for datagrams and for TCP that was never answered. RFC 4787 recommends 5 minutes.
    pub datagram_idle: u32,
    /// After its end a connection's late packets still belong to it for so long.
    pub linger: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { flows: 2048, held: 2 << 20, tcp_idle: 3600, tcp_rest: 300, datagram_idle: 300, linger: 30 }
    }
}

/// What a shard did, for the run's summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShardCounts {
    pub flows: u64,
    pub evicted: u64,
    pub idle: u64,
    /// Segments far outside any window that were not followed.
    pub stray: u64,
    /// Secrets that came while running and found no room.
    pub secrets_over: u64,
}

/// Secrets that one shard accepts while running; those known before it are shared and not counted here.
const MOST_LATE_SECRETS: u64 = 8192;

pub(crate) struct Shard<P: Drive> {
    number: u16,
    pub(crate) drive: P,
    pub(crate) outs: Outs<P::Out>,
    pub(crate) counts: ShardCounts,
    limits: Limits,
    table: HashMap<TableKey, u32, BuildHasherDefault<Ready>>,
    flows: Vec<Flow>,
    free: Vec<u32>,
    /// Open TCP, closed TCP, everything else, open TCP that rests: each in order of last packet.
    lists: [List; 4],
    budget: usize,
    next: u64,
    late_secrets: u64,
}

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TableKey(Key);

impl Hash for TableKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

/// The key carries its hash already.
#[derive(Clone, Copy, Debug, Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

impl<P: Drive> Shard<P> {
    pub(crate) fn new(number: u16, drive: P, limits: Limits) -> Shard<P> {
        Shard {
            number,
            drive,
            outs: Outs::default(),
            counts: ShardCounts::default(),
            limits,
            table: HashMap::default(),
            flows: Vec::new(),
            free: Vec::new(),
            lists: [List { head: NONE, tail: NONE }; 4],
            budget: limits.held,
            next: 0,
            late_secrets: 0,
        }
    }

    /// One packet, in file order.
    pub(crate) fn packet(&mut self, seen: &Seen<'_>) {
        // A datagram that was given up comes after frames that are later than its own.
        self.outs.cause = self.outs.cause.max(seen.origin.frame);
        let mut i = match self.table.get(&TableKey(seen.packet.key)).copied() {
            Some(i) if !self.is_stale(i, seen.clock) => i,
            Some(i) => {
                self.close(i, FlowEnd::Idle);
                self.open(seen)
            }
            None => self.open(seen),
        };
        let tcp = seen.packet.key.is_tcp();
        if tcp && let Some(opener) = self.is_new_connection(i, seen) {
            self.end(i);
            i = self.open_as(seen, opener);
        }
        loop {
            let Some(flow) = self.flows.get_mut(i as usize) else { return };
            let mut run = Run { drive: &mut self.drive, outs: &mut self.outs, budget: &mut self.budget };
            let was = if tcp { flow.segment(seen, &mut run) } else { flow.datagram(seen, &mut run) };
            match was {
                Was::Restarted => {
                    self.end(i);
                    i = self.open(seen);
                }
                Was::Stray => {
                    self.counts.stray += 1;
                    break;
                }
                _ => break,
            }
        }
        self.touch(i, seen);
    }

    /// The clock has moved: silent flows end.
    pub(crate) fn tick(&mut self, clock: Time, at: Origin) {
        self.outs.cause = at.frame;
        for list in [RESTING, OPEN, CLOSED, DATAGRAM] {
            loop {
                let i = self.list(list).head;
                if i == NONE || !self.is_stale(i, clock) {
                    break;
                }
                self.counts.idle += 1;
                self.end(i);
            }
        }
        loop {
            let i = self.list(OPEN).head;
            if i == NONE || !self.is_silent(i, clock, self.limits.tcp_rest) {
                break;
            }
            self.rest(i);
        }
        self.drive.tick(clock, at.frame, &mut self.outs);
    }

    /// Nothing was heard of a connection for long: its holes are given up, and it is packed until it speaks again.
    fn rest(&mut self, i: u32) {
        self.unlink(i);
        self.append(i, RESTING);
        let Some(flow) = self.flows.get_mut(i as usize) else { return };
        let mut run = Run { drive: &mut self.drive, outs: &mut self.outs, budget: &mut self.budget };
        flow.rest(&mut run);
        let (id, last) = (flow.id, flow.last);
        self.drive.rest(id, last.time, last.frame, &mut self.outs);
    }

    pub(crate) fn link(&mut self, fact: Neighbour, at: Origin) {
        self.outs.cause = at.frame;
        self.drive.link(fact, at.time, at.frame, &mut self.outs);
    }

    pub(crate) fn odd(&mut self, what: OddKind, detail: &str, at: Origin) {
        self.outs.cause = self.outs.cause.max(at.frame);
        self.drive.odd(None, what, detail, at.time, at.frame, &mut self.outs);
    }

    pub(crate) fn secrets(&mut self, secrets: &[Secret]) {
        for secret in secrets {
            if self.late_secrets < MOST_LATE_SECRETS {
                self.late_secrets += 1;
                self.drive.key(secret);
            } else {
                self.counts.secrets_over += 1;
            }
        }
    }

    /// The input has ended: every flow still open ends with it, in order of opening.
    pub(crate) fn finish(&mut self, at: Origin) {
        self.outs.cause = at.frame;
        let mut left: Vec<(u64, u32)> = self.table.values().map(|i| (self.flows.get(*i as usize).map_or(0, |f| f.serial), *i)).collect();
        left.sort_unstable();
        for (_, i) in left {
            let end = match self.flows.get(i as usize).and_then(Flow::ended) {
                Some(end) => end,
                None => FlowEnd::EndOfRun,
            };
            self.close(i, end);
        }
        self.drive.finish(at.time, at.frame, &mut self.outs);
    }

    /// Whether this SYN begins another connection than the flow's; says whether its opener is the key's higher end.
    fn is_new_connection(&mut self, i: u32, seen: &Seen<'_>) -> Option<bool> {
        let fields = seen.packet.tcp;
        let flow = self.flows.get_mut(i as usize)?;
        let dir = flow.dir(seen.packet.from_hi);
        let ended = flow.ended().is_some();
        let tcp = flow.tcp.as_deref_mut()?;
        let [mine, other] = [&tcp.halves[dir.index()], &tcp.halves[dir.other().index()]];
        match fields.flags & (SYN | ACK | RST) {
            SYN => {
                let same = mine.isn == Some(fields.seq) || mine.is_missing_syn(fields.seq);
                if same || !mine.is_heard() && (other.isn.is_some() || !other.is_heard()) {
                    // A repetition, the first, or a simultaneous open.
                    return None;
                }
                if ended || !other.is_heard() {
                    return Some(seen.packet.from_hi);
                }
                tcp.pending = Some((dir, fields.seq));
                None
            }
            f if f == SYN | ACK => match tcp.pending {
                Some((from, isn)) if from != dir && fields.ack == isn.wrapping_add(1) => Some(!seen.packet.from_hi),
                // Answers the SYN that is known: the same connection, whatever a reset in between pretended.
                _ if other.isn.is_some_and(|isn| fields.ack == isn.wrapping_add(1)) => None,
                _ if ended && mine.isn != Some(fields.seq) => Some(!seen.packet.from_hi),
                _ => None,
            },
            ACK => match tcp.pending {
                Some((from, isn)) if from == dir && fields.seq == isn.wrapping_add(1) && seen.packet.len > 0 => Some(seen.packet.from_hi),
                _ => None,
            },
            _ => None,
        }
    }

    fn open(&mut self, seen: &Seen<'_>) -> u32 {
        let p = seen.packet;
        let (from, to) = (p.key.end(p.from_hi), p.key.end(!p.from_hi));
        let sender_opens = if p.key.is_tcp() && p.tcp.flags & SYN != 0 {
            p.tcp.flags & ACK == 0
        } else {
            // A service's port is below 1024 and below the other's; else who speaks first opens. A private address that sends datagrams
            // from such a port to the Internet has chosen it: servers stand outside.
            let chosen = !p.key.is_tcp() && is_local(from.ip()) && !is_local(to.ip());
            chosen || !(from.port() < 1024 && from.port() < to.port() || p.key.is_tcp() && from.port() < to.port())
        };
        self.open_as(seen, p.from_hi == sender_opens)
    }

    fn open_as(&mut self, seen: &Seen<'_>, a_is_hi: bool) -> u32 {
        if self.table.len() >= self.limits.flows {
            self.evict();
        }
        self.next += 1;
        self.counts.flows += 1;
        let p = seen.packet;
        let id = FlowKey::new(self.number, self.next);
        let tcp = p.key.is_tcp();
        let from_start = !tcp || p.tcp.flags & SYN != 0 && !p.tcp.joins;
        let (source, target) = macs(seen.link, p.ether, seen.frame);
        let from_a = p.from_hi == a_is_hi;
        let (a_mac, b_mac) = if from_a { (source, target) } else { (target, source) };
        let ends = Ends { transport: p.key.transport(), a: p.key.end(a_is_hi), b: p.key.end(!a_is_hi), a_mac, b_mac, from_start };
        let flow = Flow {
            key: p.key,
            id,
            a_is_hi,
            serial: self.next,
            list: DATAGRAM,
            prev: NONE,
            next: NONE,
            clock: seen.clock,
            last: seen.origin,
            counts: Counts::default(),
            want: [Want::All; 2],
            passed: [0; 2],
            passed_at: seen.origin.time,
            tcp: tcp.then(Box::default),
        };
        let i = self.free.pop().unwrap_or(self.flows.len() as u32);
        match self.flows.get_mut(i as usize) {
            Some(slot) => *slot = flow,
            None => {
                // Doubled, half of the room would often stay unused.
                if self.flows.len() == self.flows.capacity() {
                    self.flows.reserve_exact((self.flows.len() / 4).max(16));
                }
                self.flows.push(flow);
            }
        }
        self.table.insert(TableKey(p.key), i);
        self.append(i, DATAGRAM);
        let (time, frame) = (seen.origin.time, seen.origin.frame);
        self.drive.open(id, &ends, time, frame, &mut self.outs);
        if p.tcp.joins {
            let what = "a subflow of MPTCP: its bytes belong between those of another connection, and are not put there";
            self.drive.odd(Some(id), OddKind::Unread, what, time, frame, &mut self.outs);
            for dir in [Dir::Out, Dir::Back] {
                self.drive.gap(Gap { flow: id, dir, offset: 0, len: 0, why: Lost::Sequence, time, frame }, &mut self.outs);
            }
        }
        i
    }

    /// Ends a flow as its own packets say, or as idle.
    fn end(&mut self, i: u32) {
        let end = self.flows.get(i as usize).and_then(Flow::ended).unwrap_or(FlowEnd::Idle);
        self.close(i, end);
    }

    fn close(&mut self, i: u32, end: FlowEnd) {
        self.unlink(i);
        let Some(flow) = self.flows.get_mut(i as usize) else { return };
        let mut run = Run { drive: &mut self.drive, outs: &mut self.outs, budget: &mut self.budget };
        flow.finish(&mut run);
        let (id, last, counts) = (flow.id, flow.last, flow.counts);
        self.drive.close(id, end, &counts, last.time, last.frame, &mut self.outs);
        flow.tcp = None;
        self.table.remove(&TableKey(flow.key));
        self.free.push(i);
    }

    /// Makes room: a connection that is over, else the flow that has been silent longest.
    fn evict(&mut self) {
        let closed = self.list(CLOSED).head;
        if closed != NONE {
            self.end(closed);
            return;
        }
        let age = |i: u32| self.flows.get(i as usize).map_or(Time::MAX, |f| f.clock);
        // The last of equals.
        let oldest = [RESTING, OPEN, DATAGRAM].into_iter().map(|list| self.list(list).head).rev().min_by_key(|i| age(*i));
        let i = oldest.unwrap_or(NONE);
        self.counts.evicted += 1;
        self.close(i, FlowEnd::Evicted);
    }

    fn is_stale(&self, i: u32, clock: Time) -> bool {
        let limit = self.flows.get(i as usize).map(|f| match f.list {
            OPEN | RESTING => self.limits.tcp_idle,
            CLOSED => self.limits.linger,
            _ => self.limits.datagram_idle,
        });
        limit.is_some_and(|limit| self.is_silent(i, clock, limit))
    }

    /// Whether the flow had no packet for more than `limit` seconds.
    fn is_silent(&self, i: u32, clock: Time, limit: u32) -> bool {
        self.flows.get(i as usize).is_some_and(|f| clock.0.saturating_sub(f.clock.0) > i64::from(limit) * 1_000_000_000)
    }

    /// The flow had a packet: to the end of its list.
    fn touch(&mut self, i: u32, seen: &Seen<'_>) {
        let Some(flow) = self.flows.get_mut(i as usize) else { return };
        flow.clock = seen.clock;
        flow.last = seen.origin;
        let list = flow.class();
        if flow.list == list && flow.next == NONE {
            return;
        }
        self.unlink(i);
        self.append(i, list);
    }

    fn list(&self, list: u8) -> List {
        self.lists.get(list as usize).copied().unwrap_or(List { head: NONE, tail: NONE })
    }

    fn unlink(&mut self, i: u32) {
        let Some((prev, next, list)) = self.flows.get(i as usize).map(|f| (f.prev, f.next, f.list)) else { return };
        if let Some(f) = self.flows.get_mut(prev as usize) {
            f.next = next;
        }
        if let Some(f) = self.flows.get_mut(next as usize) {
            f.prev = prev;
        }
        if let Some(ends) = self.lists.get_mut(list as usize) {
            if ends.head == i {
                ends.head = next;
            }
            if ends.tail == i {
                ends.tail = prev;
            }
        }
    }

    fn append(&mut self, i: u32, list: u8) {
        let Some(ends) = self.lists.get_mut(list as usize) else { return };
        let tail = ends.tail;
        ends.tail = i;
        if ends.head == NONE {
            ends.head = i;
        }
        if let Some(f) = self.flows.get_mut(tail as usize) {
            f.next = i;
        }
        if let Some(f) = self.flows.get_mut(i as usize) {
            (f.prev, f.next, f.list) = (tail, NONE, list);
        }
    }
}
