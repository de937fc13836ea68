//! What is known about one subject, as distinct facts; and the token without which nothing passes.

use std::any::Any;
use std::hash::Hash;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::chunk::Layer;
use crate::journal::{Line, LineNo};
use crate::observation::{self, App, FlowFact, Kind, Observation, Rank};
use crate::outcome::{Proof, Reason};
use crate::subject::Subject;

/// How many distinct facts of a kind and rank a case keeps; past it the case is overflowed and can no longer pass.
pub const FACTS_KEPT: usize = 512;
/// Trials are facts one by one, and all of them count.
pub const TRIALS_KEPT: usize = 8192;

/// How often and where a fact was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub count: u64,
    pub first: LineNo,
    pub last: LineNo,
}

/// Facts in the order they were first seen. Most cases have few of a kind, and there are many cases.
#[derive(Debug)]
pub enum Map<K> {
    Few(Vec<(Arc<K>, Span)>),
    Many(IndexMap<Arc<K>, Span, foldhash::fast::FixedState>),
}

/// So many are looked through one by one.
const FEW: usize = 8;

impl<K: Eq + Hash> Map<K> {
    fn get_mut(&mut self, key: &Arc<K>) -> Option<&mut Span> {
        match self {
            Map::Few(list) => list.iter_mut().find(|(known, _)| known == key).map(|(_, span)| span),
            Map::Many(map) => map.get_mut(key),
        }
    }

    /// Adds a fact that is not there yet.
    fn insert(&mut self, key: Arc<K>, span: Span) {
        if let Map::Few(list) = self {
            if list.len() < FEW {
                list.reserve_exact(if list.is_empty() { 1 } else { list.len() });
                list.push((key, span));
                return;
            }
            let mut map = IndexMap::with_hasher(foldhash::fast::FixedState::with_seed(7));
            map.extend(list.drain(..));
            *self = Map::Many(map);
        }
        if let Map::Many(map) = self {
            map.insert(key, span);
        }
    }

    fn iter(&self) -> impl Iterator<Item = (&K, &Span)> {
        let (few, many) = match self {
            Map::Few(list) => (Some(list), None),
            Map::Many(map) => (None, Some(map)),
        };
        let few = few.into_iter().flatten().map(|(k, s)| (&**k, s));
        few.chain(many.into_iter().flatten().map(|(k, s)| (&**k, s)))
    }
}

/// The distinct facts of one kind.
#[derive(Debug)]
struct Facts<K: Kind> {
    map: Map<K::Key>,
    /// How many of them are of each rank.
    ranks: [u32; Rank::COUNT],
    overflowed: bool,
}

trait AnyFacts: Any + Send + std::fmt::Debug {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<K: Kind + 'static> AnyFacts for Facts<K>
where
    K::Key: Send + Sync,
{
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// Kinds that no check asks a case for: they tell whose a flow is, or stand in the journal for people. Of some nearly each is another fact.
const UNKEPT: [usize; 9] = [
    <observation::Bound as Kind>::INDEX,
    <observation::Device as Kind>::INDEX,
    <observation::Neighbour as Kind>::INDEX,
    <observation::Certificate as Kind>::INDEX,
    <observation::Reaction as Kind>::INDEX,
    <observation::Treatment as Kind>::INDEX,
    <observation::InCapture as Kind>::INDEX,
    <observation::Revealed as Kind>::INDEX,
    <observation::Purged as Kind>::INDEX,
];

/// Whether cases hold facts of this kind.
pub(crate) const fn is_kept(index: usize) -> bool {
    let mut n = 0;
    while n < UNKEPT.len() {
        if UNKEPT[n] == index {
            return false;
        }
        n += 1;
    }
    true
}

/// All that is known about one subject.
#[derive(Debug)]
pub struct Case {
    pub subject: Subject,
    /// By the number of their kind, which few cases have many of.
    facts: Vec<(u8, Box<dyn AnyFacts>)>,
    caps: Caps,
    /// Lines folded in from subjects past the cap: overflowed by definition.
    folded: bool,
    lines: u64,
    last: LineNo,
}

/// Limits of a case; arguments so that tests can show that no setting turns a fail into a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    pub facts: usize,
    pub trials: usize,
}

impl Default for Caps {
    fn default() -> Caps {
        Caps { facts: FACTS_KEPT, trials: TRIALS_KEPT }
    }
}

impl Case {
    pub fn new(subject: Subject, caps: Caps) -> Case {
        Case { subject, facts: Vec::new(), caps, folded: false, lines: 0, last: 0 }
    }

    /// A case that stands for many subjects: always overflowed.
    pub fn folded(subject: Subject, caps: Caps) -> Case {
        Case { folded: true, ..Case::new(subject, caps) }
    }

    /// Whether this case stands for subjects past the cap.
    pub fn is_folded(&self) -> bool {
        self.folded
    }

    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The last line that was added: tells whether a judgement is stale.
    pub fn last(&self) -> LineNo {
        self.last
    }

    /// Adds a line's fact.
    pub fn add(&mut self, line: &Line) {
        macro_rules! put {
            ($($variant:ident),*) => {
                match &line.seen { $( Observation::$variant(it) => self.put::<observation::$variant>(&Arc::new(it.key()), line.n), )* }
            };
        }
        observation::for_each_kind!(put);
    }

    /// Counts a line whose fact is not kept.
    pub(crate) fn note(&mut self, n: LineNo) {
        self.lines += 1;
        self.last = n;
    }

    /// Adds a fact whose key is shared with other cases.
    pub(crate) fn put<K: Kind + 'static>(&mut self, key: &Arc<K::Key>, n: LineNo)
    where
        K::Key: Send + Sync,
    {
        self.note(n);
        let cap = if K::INDEX == <observation::Trial as Kind>::INDEX { self.caps.trials } else { self.caps.facts };
        let at = self.facts.iter().position(|(kind, _)| usize::from(*kind) == K::INDEX);
        let at = at.unwrap_or_else(|| {
            self.facts
                .push((K::INDEX as u8, Box::new(Facts::<K> { map: Map::Few(Vec::new()), ranks: [0; Rank::COUNT], overflowed: false })));
            self.facts.len() - 1
        });
        let Some(facts) = self.facts.get_mut(at).and_then(|(_, f)| f.as_any_mut().downcast_mut::<Facts<K>>()) else { return };
        if let Some(span) = facts.map.get_mut(key) {
            span.count += 1;
            span.last = n;
            return;
        }
        match facts.ranks.get_mut(K::rank(key) as usize).filter(|kept| (**kept as usize) < cap) {
            Some(kept) => {
                *kept += 1;
                facts.map.insert(Arc::clone(key), Span { count: 1, first: n, last: n });
            }
            None => facts.overflowed = true,
        }
    }

    /// The distinct facts of kind `K`, which must be one that is kept.
    pub fn seen<K: Kind + 'static>(&self) -> Seen<'_, K>
    where
        K::Key: Send + Sync,
    {
        const { assert!(is_kept(K::INDEX), "no board puts this kind into cases: take it out of UNKEPT") };
        let of_kind = self.facts.iter().find(|(kind, _)| usize::from(*kind) == K::INDEX);
        let facts = of_kind.and_then(|(_, f)| f.as_any().downcast_ref::<Facts<K>>());
        if self.folded || facts.is_some_and(|f| f.overflowed) {
            Seen::Overflowed(facts.map(|f| &f.map))
        } else {
            Seen::All(facts.map(|f| &f.map))
        }
    }

    /// Whether any fact of kind `K` satisfies `is`.
    pub fn any<K: Kind + 'static>(&self, is: impl Fn(&K::Key) -> bool) -> Option<Span>
    where
        K::Key: Send + Sync,
    {
        self.seen::<K>().iter().find(|(key, _)| is(key)).map(|(_, span)| *span)
    }

    /// What of this subject's traffic was not seen and could matter for `concern`, with the lines that say so.
    fn hole(&self, concern: Concern) -> Option<(Reason, Span)> {
        let flows = |is: &dyn Fn(&FlowFact) -> bool| self.any::<observation::Flow>(|f| !f.empty && is(f));
        let unparsed = |is: &dyn Fn(&observation::UnparsedFact) -> bool| self.any::<observation::Unparsed>(is);
        // Bytes that differ may be anything to the end that got them, also what this flow does not look like.
        if concern != Concern::Trials
            && let Some(span) = flows(&|f| f.ambiguous)
        {
            return Some((Reason::Ambiguous, span));
        }
        let bulk_missing = || self.any::<observation::Missed>(|m| m.why != crate::chunk::Lost::MidStream);
        match concern {
            // A hole anywhere in a TLS flow may have held its handshake, also in a proxy's tunnel.
            Concern::Handshakes => flows(&|f| f.incomplete && (f.encrypted || matches!(f.app, App::Unknown | App::Tls | App::Quic)))
                .map(|s| (Reason::MissedBytes, s))
                .or_else(|| {
                    unparsed(&|u| matches!(u.what, App::Tls | App::Quic) && u.reason != observation::NotParsed::NotBuilt)
                        .map(|s| (Reason::Unparsed, s))
                }),
            Concern::Clear => bulk_missing()
                .or_else(|| flows(&|f| f.incomplete && !f.encrypted))
                .map(|s| (Reason::MissedBytes, s))
                .or_else(|| unparsed(&is_half_searched).map(|s| (Reason::Unparsed, s))),
            Concern::Coded => self
                .hole(Concern::Clear)
                .or_else(|| unparsed(&|u| u.reason == observation::NotParsed::Streamed).map(|s| (Reason::Unparsed, s))),
            Concern::Everything => bulk_missing()
                .or_else(|| flows(&|f| f.incomplete))
                .map(|s| (Reason::MissedBytes, s))
                .or_else(|| self.any::<observation::Undecrypted>(|_| true).map(|s| (Reason::Undecrypted, s)))
                .or_else(|| unparsed(&|_| true).map(|s| (Reason::Unparsed, s))),
            Concern::Trials => None,
        }
    }

    /// Why this case cannot answer for all of its subject's traffic, if so: for checks whose table itself is complete.
    fn complete(&self, concern: Concern) -> Result<Complete, Hole> {
        if self.folded {
            return Err(Hole { reason: Reason::Overflowed, line: None });
        }
        if self.seen::<observation::Flow>().overflowed() && concern != Concern::Trials {
            return Err(Hole { reason: Reason::Overflowed, line: None });
        }
        // A hole that found no place in its own table must not be taken for none.
        let holes_kept = !self.seen::<observation::Missed>().overflowed()
            && !self.seen::<observation::Undecrypted>().overflowed()
            && !self.seen::<observation::Unparsed>().overflowed();
        if !holes_kept && concern != Concern::Trials {
            return Err(Hole { reason: Reason::Overflowed, line: None });
        }
        match self.hole(concern) {
            Some((reason, span)) => Err(Hole { reason, line: Some(span.first) }),
            None => {
                let covers: Vec<LineNo> = self.seen::<observation::Flow>().iter().map(|(_, s)| s.first).take(Proof::KEPT).collect();
                Ok(Complete { covers })
            }
        }
    }
}

/// Bytes of the wire in which something may stand that the search of bytes as they are does not show: what a dissector gave up on, what a
/// protocol codes that is not read (HPACK), what lies beyond a limit. Bytes nobody knows are searched as they are, and
/// what they code as far as it is known, and stand against nothing.
fn is_half_searched(unparsed: &observation::UnparsedFact) -> bool {
    use observation::NotParsed::{Broken, Limit, NotBuilt, Streamed, Unknown};
    match unparsed.reason {
        Limit => true,
        Broken | NotBuilt => unparsed.layer == Layer::Wire,
        Streamed | Unknown => false,
    }
}

/// Which unseen bytes could change an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// Facts of TLS and QUIC handshakes.
    Handshakes,
    /// Facts in bytes that were readable on the wire.
    Clear,
    /// The same, also behind codings: bytes that were searched only as they passed may hold one.
    Coded,
    /// Facts anywhere, also under encryption.
    Everything,
    /// Trials: each carries its own evidence; only dropped trials matter.
    Trials,
}

/// Proof that nothing that could matter was missed. Only [`Seen::complete`] makes one.
#[derive(Debug)]
pub struct Complete {
    covers: Vec<LineNo>,
}

impl Complete {
    pub(crate) fn proof(&self) -> Option<Proof> {
        Proof::of(self.covers.iter().copied())
    }
}

/// What stands between a case and a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    pub reason: Reason,
    /// A line that shows it.
    pub line: Option<LineNo>,
}

/// The facts of one kind: all there were, or those that were kept.
#[derive(Debug)]
pub enum Seen<'c, K: Kind> {
    All(Option<&'c Map<K::Key>>),
    Overflowed(Option<&'c Map<K::Key>>),
}

impl<'c, K: Kind> Seen<'c, K> {
    pub fn iter(&self) -> impl Iterator<Item = (&'c K::Key, &'c Span)> + use<'c, K> {
        let (Seen::All(map) | Seen::Overflowed(map)) = *self;
        map.into_iter().flat_map(Map::iter)
    }

    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub fn overflowed(&self) -> bool {
        matches!(self, Seen::Overflowed(_))
    }

    /// The token for a pass: only when all facts were kept and nothing that could matter was missed on this subject.
    pub fn complete(&self, case: &Case, concern: Concern) -> Result<Complete, Hole> {
        match self {
            Seen::Overflowed(_) => Err(Hole { reason: Reason::Overflowed, line: self.iter().next().map(|(_, s)| s.first) }),
            Seen::All(_) => case.complete(concern),
        }
    }

    /// The first line of each fact that satisfies `is`: evidence.
    pub fn proof(&self, is: impl Fn(&K::Key) -> bool) -> Option<Proof> {
        Proof::of(self.iter().filter(|(k, _)| is(k)).map(|(_, s)| s.first))
    }

    /// How many lines the facts that satisfy `is` stand for.
    pub fn count(&self, is: impl Fn(&K::Key) -> bool) -> u64 {
        self.iter().filter(|(k, _)| is(k)).map(|(_, s)| s.count).sum()
    }
}
