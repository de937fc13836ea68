//! What was tried with whom: attempt groups, and the history that the planner reads.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use analyzers::flow::FlowKey;
use analyzers::observation::{Arm, Evidence, Trial, TrialResult};
use analyzers::subject::ClientClass;
use analyzers::text::{Text, Veil};
use analyzers::trial::worst;
use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};
use policies::policy::Thresholds;
use policies::{Defect, Time};

use super::look::Look;
use super::provoked::Clear;
use super::shape::shape;
use crate::feed::FlowTap;
use crate::plan::{History, Mode, Past};
use crate::serve::{Conduct, Progress};
use crate::treatment::Treatment;

/// Subjects beyond this are relayed without a plan.
const MOST_SUBJECTS: usize = 1 << 14;
/// Connections of one group that are kept in mind; browsers open eight. Of what comes beyond only the one that tells most is kept.
const MOST_MEMBERS: usize = 256;
/// Addresses of one peer that are kept in mind.
const MOST_ADDRESSES: usize = 16;
/// Places asked in clear that are kept in mind; of what comes beyond it cannot be told whether it comes as ever.
pub(super) const MOST_PLACES: usize = 4096;
/// Kinds of requests in clear to one peer that are kept in mind. Of what comes beyond it cannot be told what it means.
pub(super) const MOST_SHAPES: usize = 64;

/// From so many subjects of one kind on that worked once and never came again, the next is attacked when it comes.
const PASSING: usize = 3;

/// Device, peer, client class.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) device: IpAddr,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) class: ClientClass,
    /// Which of the parallel copies of the device it is (lab).
    pub(super) lane: u8,
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    tap: Arc<FlowTap>,
    pub(super) progress: Progress,
    /// What this connection was really shown: when paused, or when the planned could not be made, not what its group is about.
    pub(super) shown: Treatment,
    pub(super) conduct: Option<Conduct>,
    /// When it was over.
    ended: Option<Instant>,
}

/// Connections that belong to one attempt and get one treatment.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: u64,
    pub(super) treatment: Treatment,
    /// Connections that were given a treatment.
    given: usize,
    started: Time,
    /// The process run that caused it (lab).
    pub(super) attempt: Option<u64>,
    members: Vec<Member>,
    /// Connections beyond [`MOST_MEMBERS`] that still run.
    beyond: usize,
    /// Of those that are over, the one that tells most: an acceptance among them is an acceptance.
    most: Option<Member>,
    pub(super) cleartext_followed: bool,
    /// With TLS cut, clear traffic came of which it cannot be told whether it stands in for TLS: it also comes while TLS works, or it names
    /// another place that was not asked before.
    cleartext_unclear: bool,
    /// What was said in clear while it was attacked, wherever.
    pub(super) elsewhere: BTreeSet<String>,
    /// The device turned to a place where the server speaks first, as it does not while TLS works; what it would say there is not known.
    waited: bool,
    /// The device was ended; under attack, while the group was younger than the time in which it may yet react.
    pub(super) cut_short: bool,
    /// What the device asked the same peer in clear: under attack what followed, else what it does anyway.
    cleartext: BTreeSet<String>,
}

/// A connection's place in its group.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Kept(usize),
    Beyond(Box<Member>),
}

impl Group {
    fn is_over(&self, now: Time, attempt: Option<u64>, thresholds: &Thresholds) -> bool {
        if let (Some(mine), Some(current)) = (self.attempt, attempt) {
            return mine != current;
        }
        let blocked = self.treatment.defect() == Some(&Defect::TlsBlocked);
        now.since(self.started) > millis(if blocked { thresholds.fallback_ms } else { thresholds.attempt_ms })
    }

    /// A connection that was not attacked has carried application data.
    fn works(&self) -> bool {
        let data = |m: &Member| m.conduct.as_ref().map_or_else(|| m.progress.so_far().0, |c| c.grade) >= Evidence::E5;
        self.treatment.defect().is_none() && self.members.iter().any(data)
    }

    pub(super) fn unclear(&self) -> bool {
        self.waited || self.cleartext_unclear && self.treatment.defect() == Some(&Defect::TlsBlocked)
    }

    /// How many of its connections began before any was over or said something, of those that `agree` with the group's result.
    fn together(&self, agree: impl Iterator<Item = bool>) -> usize {
        let first = self.members.iter().filter_map(|m| m.ended.into_iter().chain(m.progress.said_at()).min()).min();
        self.members.iter().zip(agree).filter(|(m, agrees)| *agrees && first.is_none_or(|first| m.progress.began() < first)).count()
    }

    /// Whether the device did nothing but try the same again under an attack on its checks. What it does without TLS it may do after any time.
    pub(super) fn persists(&self) -> bool {
        let asks = self.treatment.defect().is_some_and(|defect| *defect != Defect::TlsBlocked);
        let first = self.members.iter().filter_map(|m| m.ended).min();
        let again = |m: &&Member| m.conduct.is_some() && m.shown == self.treatment && first.is_some_and(|first| m.progress.began() > first);
        asks && self.members.iter().filter(again).count() >= PERSISTENT
    }

    fn running(&self) -> usize {
        self.members.iter().filter(|m| m.conduct.is_none()).count() + self.beyond
    }
}

/// So many failures in a row, with nothing else tried between them: who falls back does so after one or a few.
const PERSISTENT: usize = 16;

/// A group under a cut of TLS stays open as long as what comes in clear counts as its substitute.
fn millis(ms: u32) -> std::time::Duration {
    std::time::Duration::from_millis(ms.into())
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) history: History,
    pub(super) group: Option<Group>,
    /// Where the peer was met.
    pub(super) servers: Vec<IpAddr>,
    /// What those addresses were given out for.
    pub(super) names: Vec<String>,
    /// What the device asks this peer in clear too, while TLS works.
    asks_in_clear: BTreeSet<String>,
    /// How many of [`Subjects::quiet`] its trials have told.
    told: usize,
    /// The attack of the last run of a program, until TLS to this peer is tried again; and through what it was told.
    attacked: Option<(Trial, Arc<FlowTap>)>,
    /// What came in clear in the run after it, in which TLS was not tried yet; and on which flow.
    instead: Option<(String, FlowKey)>,
    /// The same of a run in which TLS was tried after all.
    beside: Option<(Trial, Arc<FlowTap>, String, FlowKey)>,
}

impl State {
    pub(super) fn servers(&self) -> &[IpAddr] {
        &self.servers
    }

    /// TLS to this peer works, and nothing that was done to it in the last `lull` could have made the device try something else. Between runs of
    /// a program nothing lingers.
    fn works(&self, now: Time, mode: Mode, lull: std::time::Duration) -> bool {
        let past = &self.history.past;
        let works = match &self.group {
            Some(group) => group.works(),
            None => past.last().is_some_and(|p| p.arm != Arm::Attack && p.result == TrialResult::Accepted),
        };
        let lately = |p: &Past| p.arm == Arm::Attack && now.since(p.at) <= lull;
        works && (mode == Mode::Runs || !past.iter().any(lately))
    }
}

/// All subjects of the run.
#[derive(Debug)]
pub(super) struct Subjects {
    pub(super) all: HashMap<Key, State>,
    thresholds: Thresholds,
    groups: u64,
    trials: u64,
    /// Where devices were asking in clear while nothing was done to any of their TLS.
    pub(super) in_clear: HashSet<(IpAddr, String)>,
    /// Of those what tells more than that the network is there, in the order in which it came.
    pub(super) quiet: Vec<(IpAddr, String)>,
}

/// A trial ready to be written, with its flows and the tap through which it goes.
pub(super) struct Tried {
    pub(super) trial: Trial,
    pub(super) flows: Vec<FlowKey>,
    pub(super) tap: Arc<FlowTap>,
}

impl Subjects {
    pub(super) fn new(thresholds: Thresholds) -> Subjects {
        Subjects { all: HashMap::new(), thresholds, groups: 0, trials: 0, in_clear: HashSet::new(), quiet: Vec::new() }
    }

    /// The subject's state; `None` when there are too many to remember.
    pub(super) fn state(&mut self, key: &Key) -> Option<&mut State> {
        if self.all.len() >= MOST_SUBJECTS && !self.all.contains_key(key) {
            return None;
        }
        Some(self.all.entry(key.clone()).or_default())
    }

    /// The group of a connection that comes now, if it is not the first of a new one.
    pub(super) fn open_group(&mut self, key: &Key, now: Time, attempt: Option<u64>) -> Option<(u64, Treatment)> {
        let group = self.all.get_mut(key)?.group.as_mut()?;
        if !group.is_over(now, attempt, &self.thresholds) {
            group.given += 1;
            return Some((group.id, group.treatment.clone().of_connection(group.given - 1)));
        }
        if group.treatment.defect().is_none() || group.running() == 0 {
            return None;
        }
        // Its attack still listens, and may yet hear an acceptance. Until then the subject is relayed, in a group that nobody judges.
        self.groups += 1;
        Some((self.groups, Treatment::Pass))
    }

    pub(super) fn begin(&mut self, key: &Key, treatment: Treatment, met: (IpAddr, &[String]), now: Time, attempt: Option<u64>) -> u64 {
        self.groups += 1;
        let id = self.groups;
        if let Some(state) = self.state(key) {
            let (server, names) = met;
            if !state.servers.contains(&server) && state.servers.len() < MOST_ADDRESSES {
                state.servers.push(server);
            }
            for name in names {
                if !state.names.contains(name) && state.names.len() < MOST_ADDRESSES {
                    state.names.push(name.clone());
                }
            }
            if let Some(((trial, tap), (shape, flow))) = state.attacked.take().zip(state.instead.take()) {
                state.beside = Some((trial, tap, shape, flow));
            }
            state.group = Some(Group {
                id,
                treatment,
                given: 1,
                started: now,
                attempt,
                members: Vec::new(),
                beyond: 0,
                most: None,
                cleartext_followed: false,
                cleartext_unclear: false,
                elsewhere: BTreeSet::new(),
                waited: false,
                cut_short: false,
                cleartext: BTreeSet::new(),
            });
        }
        id
    }

    /// A connection takes its place in its group. Returns its place.
    pub(super) fn join(&mut self, key: &Key, group: u64, tap: &Arc<FlowTap>, progress: &Progress, shown: &Treatment) -> Option<Place> {
        let group = self.all.get_mut(key)?.group.as_mut().filter(|g| g.id == group)?;
        let member = Member { tap: tap.clone(), progress: progress.clone(), shown: shown.clone(), conduct: None, ended: None };
        if group.members.len() >= MOST_MEMBERS {
            group.beyond += 1;
            return Some(Place::Beyond(Box::new(member)));
        }
        group.members.push(member);
        Some(Place::Kept(group.members.len() - 1))
    }

    /// What was planned cannot be shown: the group is relayed instead, and the planner learns it.
    pub(super) fn hindered(&mut self, key: &Key, group: u64) {
        let Some(state) = self.all.get_mut(key) else { return };
        let Some(group) = state.group.as_mut().filter(|g| g.id == group) else { return };
        if let Treatment::Attack { id, .. } = &group.treatment {
            state.history.hindered.push(id.clone());
        }
        // A connection that was shown it already keeps its say; the relayed ones say nothing about it.
        if group.members.is_empty() {
            group.treatment = Treatment::Pass;
        }
    }

    pub(super) fn leave(&mut self, key: &Key, group: u64, place: Place, conduct: Conduct, veil: &dyn Veil) {
        let Some(group) = self.all.get_mut(key).and_then(|s| s.group.as_mut()).filter(|g| g.id == group) else { return };
        if !conduct.in_clear.is_empty() && group.treatment.defect().is_some() {
            // On the very connection whose TLS had failed.
            group.cleartext_followed = true;
            if group.cleartext.len() < MOST_SHAPES {
                group.cleartext.insert(format!("{} on the same connection", shape(&conduct.in_clear)));
            }
        }
        match place {
            Place::Kept(at) => {
                if let Some(member) = group.members.get_mut(at) {
                    member.conduct = Some(conduct);
                    member.ended = Some(Instant::now());
                }
            }
            Place::Beyond(member) => {
                group.beyond = group.beyond.saturating_sub(1);
                let member = Member { conduct: Some(conduct), ..*member };
                let told = |m: &Member| m.look(group, veil);
                let more = group.most.as_ref().is_none_or(|most| {
                    let (new, old) = (told(&member), told(most));
                    if new.result == old.result { new.grade > old.grade } else { worst([new.result, old.result]) == new.result }
                });
                if more {
                    group.most = Some(member);
                }
            }
        }
    }

    /// A connection in clear: whether it follows an attack that is open. What the device also does while TLS works does not.
    pub(super) fn cleartext(&mut self, clear: Clear<'_>, now: Time, mode: Mode) -> bool {
        let (follows, attacked) = self.same_peer(clear, now, mode);
        self.provoked(clear, mode);
        if !attacked {
            // It may stand in for a peer of which nothing but its name is known here: that is not excluded.
            let place = (clear.device, clear.place());
            let mut quiet = true;
            for (_, state) in self.all.iter_mut().filter(|(k, _)| k.device == clear.device) {
                let Some(group) = state.group.as_mut().filter(|g| g.treatment.defect().is_some()) else { continue };
                quiet = false;
                group.cleartext_unclear |= !self.in_clear.contains(&place);
            }
            if quiet && self.in_clear.len() < MOST_PLACES {
                self.in_clear.insert(place);
            }
        }
        follows
    }

    /// What comes in clear to a subject's own peer, on a connection or not: whether it follows an attack, and whether one is open.
    pub(super) fn same_peer(&mut self, clear: Clear<'_>, now: Time, mode: Mode) -> (bool, bool) {
        let mut follows = false;
        let is_attacked = |state: &State| state.group.as_ref().is_some_and(|g| g.treatment.defect().is_some());
        // Two stacks may speak to one peer: what comes while either is attacked is not what comes as ever.
        let attacked = self.all.iter().any(|(k, s)| clear.same(k, s) && is_attacked(s));
        // Attacks follow one another faster than a substitute is waited for. What comes between them, long after what they were and while TLS
        // works, may be what the device asks anyway: then it proves nothing beside an attack, and excuses nothing there.
        let (after_any, between) = (millis(self.thresholds.fallback_ms), millis(self.thresholds.attempt_ms) * 2);
        for (_, state) in self.all.iter_mut().filter(|(k, s)| clear.same(k, s)) {
            let works = state.works(now, mode, between);
            let Some(group) = state.group.as_mut() else {
                if let (Mode::Runs, Some(_), Some(shape), Some(tap)) = (mode, &state.attacked, clear.shape, clear.tap)
                    && clear.speaks
                    && !state.asks_in_clear.contains(shape)
                {
                    state.instead.get_or_insert_with(|| (shape.to_owned(), tap.flow()));
                }
                continue;
            };
            let under_attack = group.treatment.defect().is_some();
            match clear.shape {
                Some(shape) if !under_attack => {
                    if works && !attacked && clear.speaks && group.cleartext.len() < MOST_SHAPES {
                        group.cleartext.insert(shape.to_owned());
                    }
                }
                Some(shape) if !clear.speaks => group.waited |= !state.asks_in_clear.contains(shape),
                Some(shape) if !state.asks_in_clear.contains(shape) && state.asks_in_clear.len() < MOST_SHAPES => {
                    group.cleartext_followed = true;
                    follows = true;
                    if group.cleartext.len() < MOST_SHAPES {
                        group.cleartext.insert(shape.to_owned());
                    }
                }
                _ => group.cleartext_unclear |= under_attack,
            }
        }
        if !attacked {
            for (_, state) in self.all.iter_mut().filter(|(k, s)| clear.same(k, s)) {
                let Some(shape) = clear.shape.filter(|_| state.works(now, mode, after_any)) else { continue };
                if state.asks_in_clear.len() < MOST_SHAPES && state.asks_in_clear.insert(shape.to_owned()) {
                    // What was taken for a substitute may have been this.
                    let known = &state.asks_in_clear;
                    let as_ever = |p: &&mut Past| !p.by_clear.is_empty() && p.by_clear.is_subset(known);
                    state.history.past.iter_mut().filter(as_ever).for_each(|p| p.result = TrialResult::None);
                }
            }
        }
        (follows, attacked)
    }

    /// The device was ended before it could show what it does after a failure.
    pub(super) fn cut_short(&mut self, device: IpAddr, now: Time) {
        let window = millis(self.thresholds.fallback_ms);
        for (_, state) in self.all.iter_mut().filter(|(k, _)| k.device == device) {
            if let Some(group) = state.group.as_mut() {
                group.cut_short |= group.treatment.defect().is_none() || now.since(group.started) < window;
            }
        }
    }

    /// Whether `device` has accepted an attack in the run that is going on. A request in clear may be chance, and is none here.
    pub(super) fn accepts(&self, device: IpAddr, veil: &dyn Veil) -> bool {
        let groups = self.all.iter().filter(|(k, _)| k.device == device).filter_map(|(_, s)| s.group.as_ref());
        let mut attacked = groups.filter(|g| g.treatment.defect().is_some_and(|d| *d != Defect::TlsBlocked) && !g.cleartext_followed);
        attacked.any(|g| g.members.iter().any(|m| m.conduct.is_some() && m.look(g, veil).result == TrialResult::Accepted))
    }

    /// Connections of `device` that still run under an attack.
    pub(super) fn attacks_running(&self, device: IpAddr) -> usize {
        let groups = self.all.iter().filter(|(k, _)| k.device == device).filter_map(|(_, s)| s.group.as_ref());
        groups.filter(|g| g.treatment.defect().is_some()).map(Group::running).sum()
    }

    /// All groups that are over at `now` (or `all` of one device): their trials, in the order of their groups.
    pub(super) fn finish(&mut self, now: Time, all_of: Option<IpAddr>, veil: &dyn Veil) -> Vec<Tried> {
        let over = |(key, state): (&Key, &State)| {
            let group = state.group.as_ref()?;
            let due = match all_of {
                Some(device) => key.device == device,
                // An attack that still runs has not said its last word; its own waits bound it.
                None => group.is_over(now, group.attempt, &self.thresholds) && (group.treatment.defect().is_none() || group.running() == 0),
            };
            due.then(|| (group.id, key.clone()))
        };
        let mut due: Vec<(u64, Key)> = self.all.iter().filter_map(over).collect();
        due.sort_by_key(|(id, _)| *id);
        // Before this run's own attacks are remembered: what it did instead of TLS follows the attack of the run before.
        let mut out = all_of.map_or_else(Vec::new, |device| self.fell_back_later(device, veil));
        out.extend(due.into_iter().filter_map(|(_, key)| self.finish_one(&key, veil)));
        out
    }

    /// Subjects of a device that was attacked in its last run, and that in this one asked in clear as it had not before. Without TLS that stands
    /// in for it. Before TLS it may be what could not be sent, or something new: then the attack is not decided by it.
    fn fell_back_later(&mut self, device: IpAddr, veil: &dyn Veil) -> Vec<Tried> {
        let mut out = Vec::new();
        for (_, state) in self.all.iter_mut().filter(|(k, _)| k.device == device) {
            let beside = state.beside.take();
            let unclear = beside.is_some();
            let instead = || {
                let never = state.group.is_none();
                let ((trial, tap), (shape, flow)) = never.then(|| state.attacked.take().zip(state.instead.take()))??;
                Some((trial, tap, shape, flow))
            };
            let Some((trial, tap, shape, flow)) = beside.or_else(instead) else { continue };
            self.trials += 1;
            let trial = Trial {
                n: self.trials,
                result: if unclear { TrialResult::None } else { TrialResult::Accepted },
                cleartext_followed: !unclear,
                cleartext_unclear: unclear,
                cleartext_later: unclear,
                cleartext: vec![Text::veiled(shape.as_bytes(), veil)],
                attempt: trial.attempt.map(|n| n + 1),
                ..trial
            };
            if let Some(past) = state.history.past.iter_mut().rfind(|p| p.arm == Arm::Attack).filter(|_| !unclear) {
                past.result = TrialResult::Accepted;
                past.by_clear = BTreeSet::from([shape]);
            }
            // The subject is the first flow's.
            out.push(Tried { trial, flows: vec![tap.flow(), flow], tap });
        }
        out.sort_by_key(|tried| tried.trial.n);
        out
    }

    /// Whether a TLS peer was met at this address.
    pub(super) fn is_peer(&self, server: IpAddr) -> bool {
        self.all.values().any(|state| state.servers.contains(&server))
    }

    /// The other stacks of the same program that speak to the same peer.
    pub(super) fn others_of_peer<'s>(&'s self, key: &'s Key) -> impl Iterator<Item = (&'s Key, &'s State)> {
        self.others(key).filter(|(k, _)| k.host == key.host && k.port == key.port)
    }

    /// The other subjects of the same program: stacks and peers.
    pub(super) fn others<'s>(&'s self, key: &'s Key) -> impl Iterator<Item = (&'s Key, &'s State)> {
        self.all.iter().filter(move |(k, _)| k.device == key.device && k.lane == key.lane && *k != key)
    }

    /// The attack that another stack of the same program meets at this peer in the same run.
    pub(super) fn sibling(&self, key: &Key, attempt: Option<u64>) -> Option<String> {
        let groups = self.others_of_peer(key).filter_map(|(_, s)| s.group.as_ref());
        let attacks = groups.filter(|g| attempt.is_some() && g.attempt == attempt).filter_map(|g| match &g.treatment {
            Treatment::Attack { id, .. } => Some((g.id, id.clone())),
            _ => None,
        });
        attacks.max().map(|(_, id)| id)
    }

    /// How often each attack was put to subjects of this device that resemble this one (its peer with another hello, its hello at another peer),
    /// where so many of them have worked that the next one will hardly be met twice either.
    pub(super) fn passing(&self, key: &Key) -> Option<Vec<(String, usize)>> {
        let like = |k: &Key| {
            let (peer, class) = ((&k.host, k.port) == (&key.host, key.port), k.class == key.class);
            k.device == key.device && k.lane == key.lane && peer != class
        };
        let works = |p: &Past| p.arm != Arm::Attack && p.result == TrialResult::Accepted;
        let mut asked: HashMap<&str, usize> = HashMap::new();
        let mut once = 0;
        for (_, state) in self.all.iter().filter(|(k, _)| like(k)) {
            let past = &state.history.past;
            once += usize::from(past.len() == 1 && past.iter().any(works));
            for id in past.iter().filter_map(|p| p.attack.as_deref()) {
                *asked.entry(id).or_default() += 1;
            }
        }
        (once >= PASSING).then(|| asked.into_iter().map(|(id, n)| (id.to_owned(), n)).collect())
    }

    /// Ends the subject's open group and says what it showed.
    pub(super) fn finish_one(&mut self, key: &Key, veil: &dyn Veil) -> Option<Tried> {
        self.trials += 1;
        let n = self.trials;
        let state = self.all.get_mut(key)?;
        let group = state.group.take()?;
        let (arm, id) = match &group.treatment {
            Treatment::Pass => (Arm::Pass, None),
            Treatment::Control { .. } => (Arm::Control, None),
            Treatment::Attack { id, .. } => (Arm::Attack, Some(id.clone())),
        };
        let members = || group.members.iter().chain(&group.most);
        let looked: Vec<Look> = members().map(|m| m.look(&group, veil)).collect();
        let result = worst(looked.iter().map(|l| l.result));
        // The decisive connection: of those with the group's result the one that went farthest.
        let together = group.together(looked.iter().map(|l| l.result == result));
        let decisive = looked.iter().filter(|l| l.result == result).max_by_key(|l| l.grade)?;
        let mut cleartext = group.cleartext.clone();
        if arm != Arm::Attack {
            cleartext.extend(state.asks_in_clear.iter().cloned());
        }
        let elsewhere: Vec<&String> = if arm == Arm::Attack {
            group.elsewhere.iter().collect()
        } else {
            let new = self.quiet.get(state.told..).unwrap_or_default();
            let new = new.get(..new.len().min(MOST_SHAPES)).unwrap_or_default();
            state.told += new.len();
            new.iter().filter(|(device, _)| *device == key.device).map(|(_, place)| place).collect()
        };
        let trial = Trial {
            n,
            arm,
            attack: id.as_deref().map(Text::ours),
            result,
            grade: decisive.grade,
            alert: decisive.alert,
            alert_encrypted: decisive.alert_encrypted,
            end: decisive.end,
            flows: Vec::new(),
            version: decisive.version,
            alpn: decisive.alpn.clone(),
            offered_tls13: state.history.offered_tls13,
            offered_tls12: state.history.offered_tls12,
            first_bytes: decisive.first_bytes.clone(),
            attempt: group.attempt,
            cleartext_followed: group.cleartext_followed,
            cleartext_unclear: group.unclear(),
            cut_short: group.cut_short,
            after: group.treatment.after() as u64,
            together: together as u64,
            cleartext_later: false,
            cleartext: cleartext.iter().map(|shape| Text::veiled(shape.as_bytes(), veil)).collect(),
            elsewhere: elsewhere.iter().map(|place| Text::veiled(place.as_bytes(), veil)).collect(),
            waited_ms: decisive.waited_ms,
            lane: key.lane,
        };
        let by_clear = if trial.only_by_clear() { group.cleartext.clone() } else { BTreeSet::new() };
        let as_ever = !by_clear.is_empty() && by_clear.is_subset(&state.asks_in_clear);
        let result = if as_ever { TrialResult::None } else { result };
        let past = Past {
            arm,
            attack: id,
            shape: group.treatment.shape(),
            result,
            at: group.started,
            connections: group.given,
            after: group.treatment.after(),
            late: result == TrialResult::Rejected && trial.grade >= Evidence::E3,
            together,
            by_clear,
        };
        state.history.past.push(past);
        let flows = members().map(|m| m.tap.flow()).collect();
        let tap = members().last()?.tap.clone();
        state.attacked = (arm == Arm::Attack && trial.result != TrialResult::Accepted).then(|| (trial.clone(), tap.clone()));
        Some(Tried { trial, flows, tap })
    }
}
