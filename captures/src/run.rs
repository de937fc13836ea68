//! From an input to what its pipelines say: one reader, 64 logical shards, any number of threads, the same output.
//!
//! The calling thread reads and hands over. With one job it does all the work itself; with more, workers slice blocks, put them in
//! order and serve shards, whichever is next to be done. A shard is served by one worker at a time, in the order of the blocks.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use analyzers::encode::Digest;
use analyzers::observation::{Damage, Input, Tally};
use analyzers::text::Text;

use crate::drive::{self, Drive};
use crate::read::{OpenError, Reader, Summary};
use crate::round::{Round, Sequencer};
use crate::shard::{Limits, Shard, ShardCounts};
use crate::slice::SHARDS;

/// How to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Threads that serve the shards; 1 = the calling thread, without any other.
    pub jobs: usize,
    pub limits: Limits,
    pub secrets: Known,
}

/// Which secrets in the capture are known before its packets are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// None: those met on the way are handed on, and may come after what they open.
    #[default]
    None,
    /// So many, that come before the first packet (from [`crate::scan::leading`]): others end the reading with [`OpenError::LateSecrets`].
    Leading(u64),
    /// All (from [`crate::scan::secrets`]): those met on the way are not handed on.
    All,
}

impl Default for Options {
    fn default() -> Options {
        Options { jobs: 1, limits: Limits::default(), secrets: Known::None }
    }
}

/// What was read, and what of it could not be followed.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub input: Summary,
    pub flows: u64,
    /// Flows pushed out by others, and flows that fell silent.
    pub evicted: u64,
    pub idle: u64,
    /// Frames that belong to no flow, by what they are.
    pub unread: BTreeMap<String, u64>,
    /// Of them, those that may have held packets.
    pub unfollowed: u64,
    /// Datagrams whose fragments never became whole.
    pub fragments_lost: u64,
    pub fragment_conflicts: u64,
    /// Segments far outside any window.
    pub stray: u64,
    /// Secrets met on the way: they may have come after what they open.
    pub late_secrets: u64,
    /// Of these, found no room.
    pub secrets_over: u64,
    /// Bindings of link addresses that were not told apart any more.
    pub bindings_over: u64,
}

impl Report {
    /// The journal's line about this input. `known_secrets` are those from a key log or a pre-pass.
    pub fn line(&self, path: Text, sha256: Option<Digest>, known_secrets: u64) -> Input {
        let s = &self.input;
        let tally = |name: String, count: u64| Tally { name: Text::ours(name), count };
        let links = s.links.iter().filter(|(link, _)| !link.is_read()).map(|(link, n)| tally(link.to_string(), *n));
        let mut damage: Vec<Damage> = s.damage.iter().map(|d| Damage { offset: d.offset, what: Text::ours(&d.what) }).collect();
        if s.more_damage > 0 {
            damage.push(Damage { offset: s.bytes, what: Text::ours(format!("and {} more places", s.more_damage)) });
        }
        let extra = [
            ("fragments that never became whole datagrams", self.fragments_lost),
            ("segments outside any window", self.stray),
            ("secrets that found no room", self.secrets_over),
            ("secrets that cannot be read", s.unread_secrets),
        ];
        Input {
            path,
            sha256,
            bytes: s.bytes,
            packets: s.packets,
            first: s.first,
            last: s.last,
            link_types: s.links.keys().map(|link| Text::ours(link.to_string())).collect(),
            truncated: s.truncated,
            damage,
            unread: links
                .chain(self.unread.iter().chain(&s.other_blocks).map(|(name, n)| tally(name.clone(), *n)))
                .chain(extra.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| tally(name.to_owned(), n)))
                .collect(),
            dropped: s.dropped,
            unfollowed: self.unfollowed,
            secrets: known_secrets.saturating_add(self.late_secrets),
            late_secrets: self.late_secrets,
        }
    }
}

/// Reads `input`, drives one pipeline per shard, and delivers what they say in the order of (frame, shard, n).
///
/// `make` is called once per shard, 0 to 63. `progress` hears, now and then, how many bytes of the input were taken.
/// Errors are of the operator's side: not a capture at all, the disk fails, or secrets come late where none were to. Damage is in the
/// [`Report`].
pub fn analyse<P: Drive>(
    input: impl Read,
    options: &Options,
    make: impl Fn(u16) -> P,
    deliver: &mut impl FnMut(P::Out),
    progress: &mut impl FnMut(u64),
) -> Result<Report, OpenError> {
    let reader = Reader::open(input)?;
    let shards: Vec<Shard<P>> = (0..SHARDS).map(|n| Shard::new(n, make(n), options.limits)).collect();
    let mut feed = Feed { reader, number: 0, late_secrets: 0, secrets: options.secrets, done: false };
    let (counts, mut sequencer) = if options.jobs <= 1 {
        alone(&mut feed, shards, deliver, progress)?
    } else {
        together(&mut feed, shards, options.jobs, deliver, progress)?
    };
    let (unread, unfollowed) = sequencer.unread();
    Ok(Report {
        input: feed.reader.summary().clone(),
        flows: counts.flows,
        evicted: counts.evicted,
        idle: counts.idle,
        unread,
        unfollowed,
        fragments_lost: sequencer.fragments_lost(),
        fragment_conflicts: sequencer.fragment_conflicts,
        stray: counts.stray,
        late_secrets: feed.late_secrets,
        secrets_over: counts.secrets_over,
        bindings_over: sequencer.bindings_over,
    })
}

/// Fills rounds from the reader.
struct Feed<R: Read> {
    reader: Reader<R>,
    number: u64,
    late_secrets: u64,
    secrets: Known,
    done: bool,
}

impl<R: Read> Feed<R> {
    /// The next round; the last one is empty. False after it.
    fn next(&mut self, round: &mut Round) -> Result<bool, OpenError> {
        if self.done {
            return Ok(false);
        }
        let more = self.reader.fill(&mut round.block)?;
        self.number += 1;
        self.done = !more;
        round.begin(self.number, !more);
        if let Known::Leading(expected) = &mut self.secrets {
            let (leading, late) = round.block.secrets_by_place();
            *expected = expected.checked_sub(leading).filter(|_| late == 0).ok_or(OpenError::LateSecrets)?;
        }
        if self.secrets != Known::None {
            round.block.drop_secrets();
        }
        self.late_secrets += round.block.secrets();
        Ok(true)
    }
}

fn alone<P: Drive>(
    feed: &mut Feed<impl Read>,
    mut shards: Vec<Shard<P>>,
    deliver: &mut impl FnMut(P::Out),
    progress: &mut impl FnMut(u64),
) -> Result<(ShardCounts, Sequencer), OpenError> {
    let mut sequencer = Sequencer::default();
    let mut round = Round::default();
    let mut outs = Vec::new();
    while feed.next(&mut round)? {
        round.slice();
        sequencer.run(&mut round);
        for (number, shard) in (0..).zip(&mut shards) {
            shard.serve(number, &round);
            outs.append(&mut shard.outs.items);
        }
        hand_over(&mut outs, deliver);
        progress(feed.reader.bytes_read());
    }
    Ok((total(shards.iter().map(|s| s.counts)), sequencer))
}

/// By frame; within a frame by shard and then as said, which is how they come.
fn hand_over<T>(outs: &mut Vec<drive::Said<T>>, deliver: &mut impl FnMut(T)) {
    // What was said is large: its places are sorted, and it is moved once.
    let mut order: Vec<(u64, u32)> = outs.iter().zip(0..).map(|((frame, _), place)| (*frame, place)).collect();
    order.sort_unstable();
    for (_, place) in order {
        if let Some(out) = outs.get_mut(place as usize).and_then(|(_, out)| out.take()) {
            deliver(out);
        }
    }
    outs.clear();
}

fn total(each: impl Iterator<Item = ShardCounts>) -> ShardCounts {
    each.fold(ShardCounts::default(), |a, b| ShardCounts {
        flows: a.flows + b.flows,
        evicted: a.evicted + b.evicted,
        idle: a.idle + b.idle,
        stray: a.stray + b.stray,
        secrets_over: a.secrets_over.max(b.secrets_over),
    })
}

/// Rounds that may be under way at once, beyond one per worker: memory stays bounded, and workers seldom wait for the reader.
const AHEAD: usize = 4;
/// Shards one worker takes at a time.
const TAKE: u32 = 8;

/// The work that is under way, oldest round first.
struct Board<T> {
    slots: VecDeque<Slot<T>>,
    /// How many rounds have left: the number of the first slot.
    gone: u64,
    /// Shards that a worker is serving.
    busy: u64,
    sequencing: bool,
    /// No more rounds will come, or a worker has died.
    closed: bool,
}

/// What shards said, each thing with the frame that caused it.
type Said<T> = Vec<(u16, Vec<drive::Said<T>>)>;

struct Slot<T> {
    stage: Stage,
    /// Per shard, what it said.
    outs: Vec<Vec<drive::Said<T>>>,
    /// Shards that have not begun, and that have not finished.
    todo: u64,
    open: u64,
}

enum Stage {
    Raw(Box<Round>),
    Slicing,
    Sliced(Box<Round>),
    Sequencing,
    Ready(Arc<Round>),
}

enum Task {
    Slice(u64, Box<Round>),
    Sequence(u64, Box<Round>),
    Serve(u64, Arc<Round>, u64),
}

struct Shared<P: Drive> {
    board: Mutex<Board<P::Out>>,
    changed: Condvar,
    shards: Vec<Mutex<Shard<P>>>,
    sequencer: Mutex<Sequencer>,
}

/// A poisoned lock means that a worker has panicked; the scope hands the panic on when it ends.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn together<P: Drive>(
    feed: &mut Feed<impl Read>,
    shards: Vec<Shard<P>>,
    jobs: usize,
    deliver: &mut impl FnMut(P::Out),
    progress: &mut impl FnMut(u64),
) -> Result<(ShardCounts, Sequencer), OpenError> {
    let shared = Shared {
        board: Mutex::new(Board { slots: VecDeque::new(), gone: 0, busy: 0, sequencing: false, closed: false }),
        changed: Condvar::new(),
        shards: shards.into_iter().map(Mutex::new).collect(),
        sequencer: Mutex::default(),
    };
    std::thread::scope(|scope| {
        let closer = Closer(&shared);
        for _ in 0..jobs {
            scope.spawn(|| {
                let _closer = Closer(&shared);
                work(&shared);
            });
        }
        let result = lead(&shared, feed, jobs + AHEAD, deliver, progress);
        drop(closer);
        result
    })?;
    let counts = total(shared.shards.iter().map(|s| lock(s).counts));
    Ok((counts, shared.sequencer.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

/// Whoever goes, for whatever reason, lets the others go too.
struct Closer<'a, P: Drive>(&'a Shared<P>);

impl<P: Drive> Drop for Closer<'_, P> {
    fn drop(&mut self) {
        lock(&self.0.board).closed = true;
        self.0.changed.notify_all();
    }
}

/// The calling thread: reads ahead, delivers what is finished.
fn lead<P: Drive>(
    shared: &Shared<P>,
    feed: &mut Feed<impl Read>,
    depth: usize,
    deliver: &mut impl FnMut(P::Out),
    progress: &mut impl FnMut(u64),
) -> Result<(), OpenError> {
    let mut spare: Vec<Box<Round>> = Vec::new();
    let mut under_way = 0;
    let mut reading = true;
    let mut outs = Vec::new();
    while reading || under_way > 0 {
        if reading && under_way < depth {
            let mut round = spare.pop().unwrap_or_default();
            reading = feed.next(&mut round)?;
            if reading {
                let all = u64::MAX;
                let slot = Slot { stage: Stage::Raw(round), outs: (0..SHARDS).map(|_| Vec::new()).collect(), todo: all, open: all };
                lock(&shared.board).slots.push_back(slot);
                shared.changed.notify_all();
                under_way += 1;
                progress(feed.reader.bytes_read());
            }
        }
        // Nothing to read and nothing under way: there is nobody to wait for.
        let full = under_way > 0 && (!reading || under_way >= depth);
        let mut board = lock(&shared.board);
        loop {
            if board.slots.front().is_some_and(|s| s.open == 0) {
                let Some(slot) = board.slots.pop_front() else { break };
                board.gone += 1;
                drop(board);
                under_way -= 1;
                slot.outs.into_iter().for_each(|mut each| outs.append(&mut each));
                hand_over(&mut outs, deliver);
                if let Stage::Ready(round) = slot.stage
                    && let Some(round) = Arc::into_inner(round)
                {
                    spare.push(Box::new(round));
                }
                break;
            }
            if board.closed {
                // A worker has panicked: the scope will say so.
                return Ok(());
            }
            if !full {
                break;
            }
            board = shared.changed.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
    }
    Ok(())
}

/// A worker: whatever can be done next, the oldest first.
fn work<P: Drive>(shared: &Shared<P>) {
    let mut board = lock(&shared.board);
    loop {
        let Some(task) = board.next() else {
            if board.closed {
                return;
            }
            board = shared.changed.wait(board).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(board);
        board = match task {
            Task::Slice(number, mut round) => {
                round.slice();
                let mut board = lock(&shared.board);
                board.put(number, Stage::Sliced(round));
                board
            }
            Task::Sequence(number, mut round) => {
                lock(&shared.sequencer).run(&mut round);
                let mut board = lock(&shared.board);
                board.sequencing = false;
                board.put(number, Stage::Ready(Arc::from(round)));
                board
            }
            Task::Serve(number, round, mask) => {
                let said: Said<P::Out> = (0..SHARDS)
                    .filter(|n| mask >> n & 1 == 1)
                    .filter_map(|n| shared.shards.get(n as usize).map(|shard| (n, shard)))
                    .map(|(n, shard)| {
                        let mut shard = lock(shard);
                        shard.serve(n, &round);
                        (n, std::mem::take(&mut shard.outs.items))
                    })
                    .collect();
                drop(round);
                let mut board = lock(&shared.board);
                board.busy &= !mask;
                board.served(number, mask, said);
                board
            }
        };
        shared.changed.notify_all();
    }
}

impl<T> Board<T> {
    fn next(&mut self) -> Option<Task> {
        if !self.sequencing
            && let Some((i, slot)) = self.slots.iter_mut().enumerate().find(|(_, s)| !matches!(s.stage, Stage::Ready(_)))
            && matches!(slot.stage, Stage::Sliced(_))
            && let Stage::Sliced(round) = std::mem::replace(&mut slot.stage, Stage::Sequencing)
        {
            self.sequencing = true;
            return Some(Task::Sequence(self.gone + i as u64, round));
        }
        // Shards that an older round still needs must wait for it.
        let mut taken = self.busy;
        for (i, slot) in self.slots.iter_mut().enumerate() {
            let Stage::Ready(round) = &slot.stage else { break };
            let free = slot.todo & !taken;
            if free != 0 {
                let mut mask = free;
                while mask.count_ones() > TAKE {
                    // Drops the highest.
                    mask &= !(1 << mask.ilog2());
                }
                slot.todo &= !mask;
                self.busy |= mask;
                return Some(Task::Serve(self.gone + i as u64, Arc::clone(round), mask));
            }
            taken |= slot.todo;
        }
        let (i, slot) = self.slots.iter_mut().enumerate().find(|(_, s)| matches!(s.stage, Stage::Raw(_)))?;
        match std::mem::replace(&mut slot.stage, Stage::Slicing) {
            Stage::Raw(round) => Some(Task::Slice(self.gone + i as u64, round)),
            _ => None,
        }
    }

    fn put(&mut self, number: u64, stage: Stage) {
        if let Some(slot) = self.slots.get_mut((number - self.gone) as usize) {
            slot.stage = stage;
        }
    }

    fn served(&mut self, number: u64, mask: u64, said: Said<T>) {
        let Some(slot) = self.slots.get_mut((number - self.gone) as usize) else { return };
        for (n, outs) in said {
            if let Some(place) = slot.outs.get_mut(n as usize) {
                *place = outs;
            }
        }
        slot.open &= !mask;
    }
}
