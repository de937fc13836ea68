//! The board: (subject × check) → outcome, requirement → verdict, coverage. It stores what was seen, and derives the rest.
//!
//! The board is a function of journal and policy: fed live or from disk it says the same.
//!
//! Long, for it is one answer read from top to bottom: lines into cases, cases into findings, findings into requirements.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;
use policies::{Attack, Declaration, Needs, Policy, Requirement, Severity, Strength, Time};
use serde::{Deserialize, Serialize};

use crate::case::{Caps, Case, is_kept};
use crate::checks::{self, Check, Context};
use crate::encode;
use crate::flow::{FlowId, Transport};
use crate::journal::Line;
use crate::observation::{self, Bound, Ledger, Observation, Run};
use crate::outcome::{Outcome, Reason, Verdict};
use crate::reading::Reading;
use crate::subject::{Actor, ActorClass, ClientClass, DeviceId, Peer, Scope, Subject};
use crate::text::Text;
use crate::trial::{self, Terms};

/// What the operator demands of a run.
#[derive(Clone, Debug)]
pub struct Demands {
    pub policy: Policy,
    pub declaration: Option<Declaration>,
    pub requirements: Vec<Requirement>,
    pub attacks: Vec<Attack>,
}

/// Subjects with a case of their own; further ones share their device's *other peers*, which can fail and never pass.
pub const SUBJECTS_KEPT: usize = 1 << 13;

type Fixed = foldhash::fast::FixedState;

/// Folds lines into cases and judges them.
#[derive(Debug)]
pub struct Board {
    demands: Arc<Demands>,
    caps: Caps,
    subjects_kept: usize,
    cases: IndexMap<Subject, Case, Fixed>,
    /// For each open flow its subject's cases, widest first.
    flows: HashMap<FlowId, Homes, Fixed>,
    /// Open flows under attack: what was served there is our own doing.
    provoked: HashSet<FlowId, Fixed>,
    /// Who caused what a subject did: the classes seen, by case.
    actors: HashMap<usize, Vec<Actor>, Fixed>,
    run: Option<Run>,
    ledger: Ledger,
    first: Option<Time>,
    last: Time,
    /// The run's ledger was read: its traffic is over.
    ended: bool,
    lines: u64,
    folded: u64,
}

/// The cases a line counts in: run, device, peer, client, as far as the subject goes.
#[derive(Clone, Copy, Debug, Default)]
struct Homes {
    at: [u32; 4],
    len: u8,
}

impl Homes {
    fn push(&mut self, case: usize) {
        if let Some(slot) = self.at.get_mut(usize::from(self.len)) {
            *slot = case as u32;
            self.len += 1;
        }
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        self.at.into_iter().take(usize::from(self.len)).map(|c| c as usize)
    }
}

/// A check's answer for one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub check: Arc<str>,
    pub subject: Arc<Subject>,
    pub outcome: Outcome,
    pub severity: Severity,
    pub transport: Option<Transport>,
    /// The one who caused it, when all flows of the subject agree; `unknown` otherwise.
    pub actor: Actor,
    pub waived: Option<String>,
    /// Stable across runs: check, peer, actor and client, without addresses, times and keys. Empty where nothing was answered.
    pub fingerprint: String,
    pub active: bool,
}

/// What a requirement comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequirementVerdict {
    Pass,
    /// Nothing speaks against it, and nothing seen here could prove it.
    NoIndication,
    NotApplicable,
    NotTested,
    Inconclusive,
    FailWaived,
    Fail,
}

impl RequirementVerdict {
    pub fn word(self) -> &'static str {
        match self {
            RequirementVerdict::Pass => "pass",
            RequirementVerdict::NoIndication => "no-indication",
            RequirementVerdict::NotApplicable => "not-applicable",
            RequirementVerdict::NotTested => "not-tested",
            RequirementVerdict::Inconclusive => "inconclusive",
            RequirementVerdict::FailWaived => "fail-waived",
            RequirementVerdict::Fail => "fail",
        }
    }
}

/// A requirement with its verdict and what its checks said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rolled {
    /// Index in [`Demands::requirements`].
    pub index: usize,
    pub id: String,
    pub verdict: RequirementVerdict,
    /// Word of each check that speaks to it, in the requirement's order.
    pub checks: Vec<(String, &'static str)>,
}

impl Rolled {
    /// Whether this failure is one of those that may have failed the requirement.
    pub fn fails_by(&self, finding: &Finding) -> bool {
        let counts = !excludes_user_apps(&self.id) || matches!(finding.actor.class, ActorClass::Os | ActorClass::Preloaded);
        counts && finding.outcome.is_fail() && finding.waived.is_none() && self.checks.iter().any(|(check, _)| *check == *finding.check)
    }
}

impl Finding {
    /// Its peer is known by its address alone, or stands for many: another run's finding of the same fingerprint may be about another peer.
    pub fn is_of_nameless_peer(&self) -> bool {
        self.subject.peer.as_ref().is_some_and(|peer| peer.name.is_none() || *peer == other_peers())
    }
}

/// How a check did over all its subjects: the worst of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallied {
    pub fail: u32,
    pub waived: u32,
    /// Fails whose actor is not known.
    pub fail_unknown_actor: u32,
    /// Fails caused by apps the user installed, or by a browser.
    pub fail_user_app: u32,
    pub pass: u32,
    pub inconclusive: u32,
    pub not_tested: u32,
    /// Of these, attacks that a client gave no occasion for, or could not be given.
    pub untried: u32,
    pub not_applicable: u32,
    pub error: u32,
}

impl Tallied {
    fn add(&mut self, finding: &Finding) {
        match &finding.outcome {
            Outcome::Judged(j) => match j.verdict {
                Verdict::Fail if finding.waived.is_some() => self.waived += 1,
                Verdict::Fail => {
                    self.fail += 1;
                    match finding.actor.class {
                        ActorClass::Unknown => self.fail_unknown_actor += 1,
                        ActorClass::UserApp | ActorClass::Browser => self.fail_user_app += 1,
                        ActorClass::Os | ActorClass::Preloaded => {}
                    }
                }
                Verdict::Pass => self.pass += 1,
                Verdict::Inconclusive => self.inconclusive += 1,
            },
            outcome @ Outcome::NotTested(_) => {
                self.not_tested += 1;
                let untried = matches!(
                    outcome,
                    Outcome::NotTested(
                        Reason::NotExercised
                            | Reason::OutOfTime
                            | Reason::NotAuthorised
                            | Reason::LabCaNotTrusted
                            | Reason::NothingWorked
                            | Reason::NoCommonGround
                    )
                );
                self.untried += u32::from(finding.active && untried);
            }
            Outcome::NotApplicable(_) => self.not_applicable += 1,
            Outcome::Error(_) => self.error += 1,
        }
    }

    /// An attack that some clients stood and others were not put to: a good one does not vouch for another.
    fn left_open(&self) -> bool {
        self.untried > 0 && self.pass + self.waived > 0
    }

    pub fn word(&self) -> &'static str {
        if self.fail > 0 {
            "fail"
        } else if self.error > 0 {
            "error"
        } else if self.inconclusive > 0 || self.left_open() {
            "inconclusive"
        } else if self.waived > 0 {
            "fail-waived"
        } else if self.pass > 0 {
            "pass"
        } else if self.not_tested > 0 || self.not_applicable == 0 {
            "not-tested"
        } else {
            "not-applicable"
        }
    }
}

impl Board {
    pub fn new(demands: Arc<Demands>) -> Board {
        Board::with_caps(demands, Caps::default(), SUBJECTS_KEPT)
    }

    /// With other caps: for tests that show that no setting turns a fail into a pass.
    pub fn with_caps(demands: Arc<Demands>, caps: Caps, subjects_kept: usize) -> Board {
        let mut cases = IndexMap::with_hasher(Fixed::with_seed(7));
        cases.insert(Subject::default(), Case::new(Subject::default(), caps));
        Board {
            demands,
            caps,
            subjects_kept,
            cases,
            flows: HashMap::default(),
            provoked: std::collections::HashSet::default(),
            actors: HashMap::default(),
            run: None,
            ledger: Ledger::default(),
            first: None,
            last: Time::MIN,
            ended: false,
            lines: 0,
            folded: 0,
        }
    }

    pub fn demands(&self) -> &Demands {
        &self.demands
    }

    /// The case of the whole run.
    pub fn run_case(&self) -> &Case {
        // The first case is made with the board.
        &self.cases[0]
    }

    pub fn run(&self) -> Option<&Run> {
        self.run.as_ref()
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Times of the first and the last line.
    pub fn span(&self) -> Option<(Time, Time)> {
        self.first.map(|f| (f, self.last))
    }

    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.values()
    }

    pub fn case(&self, subject: &Subject) -> Option<&Case> {
        self.cases.get(subject)
    }

    fn home(&mut self, subject: &Subject) -> usize {
        if let Some(i) = self.cases.get_index_of(subject) {
            return i;
        }
        if self.cases.len() >= self.subjects_kept && subject.scope() > Scope::Run {
            self.folded += 1;
            let device = subject.device.filter(|_| self.cases.len() < self.subjects_kept * 2);
            let subject = Subject { device, peer: Some(other_peers()), client: None };
            let caps = self.caps;
            let entry = self.cases.entry(subject.clone());
            let index = entry.index();
            entry.or_insert_with(|| Case::folded(subject, caps));
            return index;
        }
        self.cases.insert_full(subject.clone(), Case::new(subject.clone(), self.caps)).0
    }

    fn homes(&mut self, subject: &Subject) -> Homes {
        let mut homes = Homes::default();
        for scope in Scope::ALL {
            if let Some(prefix) = subject.at(scope) {
                let home = self.home(&prefix);
                if !homes.iter().any(|h| h == home) {
                    homes.push(home);
                }
            }
        }
        homes
    }

    fn bind(&mut self, flow: FlowId, bound: &Bound) -> Homes {
        let whose = Subject { device: bound.device, peer: Some(bound.peer.clone()), client: bound.client };
        let subject = if bound.elsewhere { Subject::default() } else { whose };
        let homes = self.homes(&subject);
        self.flows.insert(flow, homes);
        for home in homes.iter() {
            let known = self.actors.entry(home).or_default();
            if known.len() < 4 && !known.contains(&bound.actor) {
                known.push(bound.actor.clone());
            }
        }
        homes
    }

    /// A flow that was bound before its handshake (behind STARTTLS, a proxy's questions, a gap) has its client from then on.
    fn meet(&mut self, flow: FlowId, client: ClientClass) {
        let Some(homes) = self.flows.get(&flow).copied() else { return };
        let Some(subject) = homes.iter().last().and_then(|home| self.cases.get_index(home)).map(|(subject, _)| subject) else { return };
        if subject.scope() == Scope::Peer {
            let subject = Subject { client: Some(client), ..subject.clone() };
            let peer = homes.iter().last().and_then(|home| self.actors.get(&home)).cloned();
            let homes = self.homes(&subject);
            self.flows.insert(flow, homes);
            if let (Some(home), Some(actors)) = (homes.iter().last(), peer) {
                self.actors.entry(home).or_insert(actors);
            }
        }
    }

    fn put(&mut self, homes: Homes, line: &Line) {
        macro_rules! put {
            ($($variant:ident),*) => {
                match &line.seen { $( Observation::$variant(it) => {
                    if !is_kept(<observation::$variant as observation::Kind>::INDEX) {
                        for home in homes.iter() {
                            if let Some((_, case)) = self.cases.get_index_mut(home) {
                                case.note(line.n);
                            }
                        }
                        return;
                    }
                    let key = Arc::new(observation::Kind::key(it));
                    for home in homes.iter() {
                        if let Some((_, case)) = self.cases.get_index_mut(home) {
                            case.put::<observation::$variant>(&key, line.n);
                        }
                    }
                } )* }
            };
        }
        observation::for_each_kind!(put);
    }

    /// Every check on every subject it speaks of, in a fixed order: by check, then by subject.
    pub fn findings(&self) -> Vec<Finding> {
        self.judge()
    }

    /// The same of a journal that breaks off: what is found once everything was read is not found yet. An attempt is a whole of its own.
    pub fn findings_of_unfinished(&self) -> Vec<Finding> {
        let mut out = self.judge();
        for finding in out.iter_mut().filter(|finding| !finding.active) {
            if let Outcome::Judged(j) = &finding.outcome
                && j.verdict == Verdict::Pass
            {
                finding.outcome = Outcome::inconclusive(Reason::Unfinished, j.evidence.clone(), j.expected.clone(), j.observed.clone());
            }
        }
        out
    }

    fn judge(&self) -> Vec<Finding> {
        let docket = Docket::of(self);
        let selected: Vec<&Text> = self.run.iter().flat_map(|r| &r.attacks).collect();
        let checks = checks::all().iter().map(|check| (check.id.as_str(), Judge::Check(check)));
        let attacks = self.demands.attacks.iter().map(|attack| (attack.id.as_str(), Judge::Attack(attack)));
        let mut judges: Vec<(&str, Judge<'_>)> = checks.chain(attacks).collect();
        judges.sort_by_key(|(id, _)| *id);
        let mut out = Vec::new();
        for (id, judge) in judges {
            let id: Arc<str> = id.into();
            match judge {
                Judge::Check(check) => {
                    for heard in docket.at(check.rule.scope) {
                        let outcome = check.judge(heard.case, &self.context(heard));
                        out.push(self.finding(&id, heard, outcome, check.rule.severity, false));
                    }
                }
                Judge::Attack(attack) => {
                    let selected = selected.iter().any(|s| s.as_str() == attack.id);
                    for heard in docket.at(Scope::Client) {
                        let case = heard.case;
                        if case.seen::<observation::Hello>().is_empty() && case.seen::<observation::Trial>().is_empty() {
                            continue;
                        }
                        let terms = self.terms(attack, case, &docket, selected);
                        let outcome = checks::excuse(&attack.id, case, &self.context(heard), trial::judge(attack, case, &terms));
                        out.push(self.finding(&id, heard, outcome, attack.severity, true));
                    }
                }
            }
        }
        out
    }

    fn context<'a>(&'a self, heard: &'a Heard<'_>) -> Context<'a> {
        let demands = &self.demands;
        let (subject, device) = (&*heard.subject, heard.device);
        Context { subject, run: self.run_case(), device, policy: &demands.policy, declaration: demands.declaration.as_ref() }
    }

    fn finding(&self, check: &Arc<str>, heard: &Heard<'_>, outcome: Outcome, severity: Severity, active: bool) -> Finding {
        let subject = heard.subject.clone();
        let severity = match &outcome {
            Outcome::Judged(j) => j.severity.unwrap_or(severity),
            _ => severity,
        };
        let actor = heard.actor.cloned().unwrap_or_default();
        let waiver = || {
            let (host, port) = checks::host_and_port(&subject);
            let named = (!host.is_empty()).then_some((host.as_str(), port));
            self.demands.policy.waiver(check, named, self.last)
        };
        let waived = outcome.is_fail().then(waiver).flatten().map(|w| w.reason.clone());
        let answered = matches!(outcome, Outcome::Judged(_) | Outcome::Error(_));
        let fingerprint = if answered { fingerprint(check, heard.whose.get_or_init(|| whose(&subject, &actor))) } else { String::new() };
        let transport = subject.peer.as_ref().map(|p| p.transport);
        Finding { check: check.clone(), subject, outcome, severity, transport, actor, waived, fingerprint, active }
    }

    fn terms(&self, attack: &Attack, case: &Case, docket: &Docket<'_>, selected: bool) -> Terms {
        let demands = &self.demands;
        let (name, port) = checks::host_and_port(&case.subject);
        let name = name.as_str();
        let listed = |patterns: &[policies::PeerPattern]| patterns.iter().any(|p| p.matches(name, port));
        Terms {
            user_anchor: docket.user_anchor,
            required: demands.policy.n.of(attack.severity),
            pin_trials: demands.policy.thresholds.pin_trials,
            beside: demands.declaration.as_ref().filter(|d| !d.pins.is_empty()).map_or(trial::Beside::NoPins, |d| {
                match (d.pinned(name), d.beside_pin(name)) {
                    (true, _) => trial::Beside::Declared,
                    (false, true) => trial::Beside::Sibling,
                    (false, false) => trial::Beside::Elsewhere,
                }
            }),
            pin_claimed: listed(&demands.policy.pins_required) || demands.declaration.as_ref().is_some_and(|d| d.pinned(name)),
            strict: listed(&demands.policy.strict),
            anchor_live: docket.anchored.contains(&(case.subject.device, case.subject.client)),
            selected,
            ended: docket.ended,
            proxied_only: docket.proxied_only,
            forbidden: demands.policy.forbids(name, port),
        }
    }

    /// Each check's tally over its findings.
    pub fn tally(findings: &[Finding]) -> HashMap<&str, Tallied> {
        let mut out: HashMap<&str, Tallied> = HashMap::new();
        // They come check by check.
        for of_one in findings.chunk_by(|a, b| a.check == b.check) {
            let Some(first) = of_one.first() else { continue };
            let tallied = out.entry(&first.check).or_default();
            for finding in of_one {
                tallied.add(finding);
            }
        }
        out
    }

    /// Requirements rolled up from findings (architecture: *A false PASS does not compile*).
    pub fn roll_up(&self, findings: &[Finding]) -> Vec<Rolled> {
        let tally = Board::tally(findings);
        self.demands
            .requirements
            .iter()
            .enumerate()
            .map(|(index, requirement)| {
                let verdict = roll_up(requirement, &tally);
                let words = requirement.checks().into_iter().map(|id| (id.to_owned(), tally.get(id).map_or("not-tested", Tallied::word)));
                Rolled { index, id: requirement.id.clone(), verdict, checks: words.collect() }
            })
            .collect()
    }
}

/// What answers for an id.
#[derive(Clone, Copy)]
enum Judge<'a> {
    Check(&'a Check),
    Attack(&'a Attack),
}

/// A case to be judged, and what is the same for every check that judges it.
struct Heard<'a> {
    subject: Arc<Subject>,
    case: &'a Case,
    device: Option<&'a Case>,
    /// The one who caused it, when all flows agree.
    actor: Option<&'a Actor>,
    /// What its fingerprints have in common, once one was asked for.
    whose: OnceCell<String>,
}

/// Every case, by the scopes it is judged at, each in the order of subjects.
struct Docket<'a> {
    cases: Vec<Heard<'a>>,
    at: [Vec<usize>; Scope::ALL.len()],
    /// Clients whose control was accepted somewhere.
    anchored: HashSet<(Option<DeviceId>, Option<ClientClass>), Fixed>,
    /// The set-up, which is said of the run, has the lab's authority in the user store.
    user_anchor: bool,
    /// The operator or the budget ended the run.
    ended: bool,
    /// The gateway was an explicit proxy.
    proxied_only: bool,
}

impl<'a> Docket<'a> {
    fn of(board: &'a Board) -> Docket<'a> {
        let mut order: Vec<usize> = (0..board.cases.len()).collect();
        order.sort_unstable_by(|a, b| board.cases.get_index(*a).map(|(s, _)| s).cmp(&board.cases.get_index(*b).map(|(s, _)| s)));
        let standing = board.cases.get(&Subject::default()).map(|run| run.seen::<observation::Standing>());
        let user_anchor = standing.as_ref().is_some_and(|s| s.iter().any(|(s, _)| s.what == "anchor" && s.state == "user"));
        let ended = standing.is_some_and(|s| {
            s.iter().any(|(s, _)| matches!((s.what.as_str(), s.state.as_str()), ("budget", _) | ("operator", "ended the run")))
        });
        let run = board.cases.get(&Subject::default()).map(|run| run.seen::<observation::Run>());
        let proxied_only = run.is_some_and(|r| r.iter().any(|(r, _)| r.mode.is_some_and(|mode| !mode.sees_all())));
        let accepted = |t: &observation::Trial| t.arm == observation::Arm::Control && t.result == observation::TrialResult::Accepted;
        let mut out = Docket {
            cases: Vec::with_capacity(order.len()),
            at: Default::default(),
            anchored: HashSet::default(),
            user_anchor,
            ended,
            proxied_only,
        };
        for (index, subject, case) in order.into_iter().filter_map(|i| board.cases.get_index(i).map(|(s, c)| (i, s, c))) {
            let device = subject.at(Scope::Device);
            // Folded cases stand in for whatever scope was folded; for a device only if it has no case of its own.
            let no_device = device.as_ref().is_none_or(|d| !board.cases.contains_key(d));
            for (scope, list) in Scope::ALL.into_iter().zip(&mut out.at) {
                let stands_in = case.is_folded() && (scope > Scope::Device || scope == Scope::Device && no_device);
                if subject.scope() == scope || stands_in {
                    list.push(out.cases.len());
                }
            }
            let actor = match board.actors.get(&index).map(Vec::as_slice) {
                Some([one]) => Some(one),
                _ => None,
            };
            let device = device.and_then(|d| board.cases.get(&d));
            if subject.scope() == Scope::Client && case.seen::<observation::Trial>().iter().any(|(t, _)| accepted(t)) {
                out.anchored.insert((subject.device, subject.client));
            }
            out.cases.push(Heard { subject: Arc::new(subject.clone()), case, device, actor, whose: OnceCell::new() });
        }
        out
    }

    fn at(&self, scope: Scope) -> impl Iterator<Item = &Heard<'a>> {
        let list = Scope::ALL.iter().position(|s| *s == scope).and_then(|at| self.at.get(at));
        list.into_iter().flatten().filter_map(|i| self.cases.get(*i))
    }
}

fn other_peers() -> Peer {
    Peer { name: Some(Text::ours("(other peers)")), addr: None, port: 0, transport: Transport::Other(0), name_hidden: false }
}

/// What one branch of a requirement's needs comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Branch {
    Pass,
    NotApplicable,
    NotTested,
    Undecided,
    Waived,
    Fail,
}

fn branch(needs: &Needs, of: &dyn Fn(&str) -> Branch) -> Branch {
    match needs {
        Needs::Check(id) => of(id),
        Needs::AllOf(parts) => {
            let parts: Vec<Branch> = parts.iter().map(|p| branch(p, of)).collect();
            let has = |b| parts.contains(&b);
            if has(Branch::Fail) {
                Branch::Fail
            } else if has(Branch::Undecided) || (has(Branch::NotTested) && (has(Branch::Pass) || has(Branch::Waived))) {
                Branch::Undecided
            } else if has(Branch::NotTested) || parts.is_empty() {
                Branch::NotTested
            } else if has(Branch::Waived) {
                Branch::Waived
            } else if has(Branch::Pass) {
                Branch::Pass
            } else {
                Branch::NotApplicable
            }
        }
        // An alternative that holds is enough; while another is open, a failed one proves nothing.
        Needs::AnyOf(parts) => {
            let parts: Vec<Branch> = parts.iter().map(|p| branch(p, of)).collect();
            let best = [Branch::Pass, Branch::Waived, Branch::Undecided, Branch::NotTested, Branch::Fail, Branch::NotApplicable];
            match best.into_iter().find(|b| parts.contains(b)) {
                Some(Branch::NotTested) if parts.contains(&Branch::Fail) => Branch::Undecided,
                found => found.unwrap_or(Branch::NotTested),
            }
        }
        // Tests of the same thing: any that fails refutes, else one that holds is enough.
        Needs::SomeOf(parts) => {
            let parts: Vec<Branch> = parts.iter().map(|p| branch(p, of)).collect();
            let worst = [Branch::Fail, Branch::Waived, Branch::Pass, Branch::Undecided, Branch::NotTested, Branch::NotApplicable];
            worst.into_iter().find(|b| parts.contains(b)).unwrap_or(Branch::NotTested)
        }
    }
}

fn roll_up(requirement: &Requirement, tally: &HashMap<&str, Tallied>) -> RequirementVerdict {
    let excludes_apps = excludes_user_apps(&requirement.id);
    let of = |id: &str| -> Branch {
        let Some(t) = tally.get(id) else { return Branch::NotTested };
        let (fails, unknown) =
            if excludes_apps { (t.fail - t.fail_user_app - t.fail_unknown_actor, t.fail_unknown_actor) } else { (t.fail, 0) };
        if fails > 0 {
            Branch::Fail
        } else if unknown > 0 || t.inconclusive > 0 || t.error > 0 || t.left_open() {
            Branch::Undecided
        } else if t.waived > 0 {
            Branch::Waived
        } else if t.pass > 0 {
            Branch::Pass
        } else if t.not_tested > 0 || t.not_applicable == 0 {
            Branch::NotTested
        } else {
            Branch::NotApplicable
        }
    };
    let supports: Vec<Branch> = requirement.supports.iter().map(|id| of(id)).collect();
    let whole = branch(&requirement.needs, &of);
    // Who caused the failure of what refutes is not known: whatever else was seen, that stays open.
    let blamed = |id: &String| excludes_apps && tally.get(id.as_str()).is_some_and(|t| t.fail_unknown_actor > 0);
    let open = requirement.supports.iter().any(blamed);
    let holds = if requirement.strength == Strength::Decides { RequirementVerdict::Pass } else { RequirementVerdict::NoIndication };
    match whole {
        Branch::Fail => RequirementVerdict::Fail,
        _ if supports.contains(&Branch::Fail) => RequirementVerdict::Fail,
        Branch::Undecided => RequirementVerdict::Inconclusive,
        _ if open => RequirementVerdict::Inconclusive,
        Branch::Waived => RequirementVerdict::FailWaived,
        _ if supports.contains(&Branch::Waived) => RequirementVerdict::FailWaived,
        // What could refute it was met and stayed open.
        Branch::Pass if requirement.strength == Strength::Decides && supports.contains(&Branch::Undecided) => {
            RequirementVerdict::Inconclusive
        }
        Branch::Pass => holds,
        Branch::NotTested => {
            // What only refutes is helped by every check that did run; what decides is not.
            let spoke = supports.contains(&Branch::Pass);
            let refutes = requirement.strength == Strength::RefutesOnly && requirement.needs.is_empty();
            if spoke && refutes {
                holds
            } else if refutes && supports.contains(&Branch::Undecided) {
                RequirementVerdict::Inconclusive
            } else {
                RequirementVerdict::NotTested
            }
        }
        Branch::NotApplicable => RequirementVerdict::NotApplicable,
    }
}

/// The consumer-mobile-device family leaves out apps that the user installed.
fn excludes_user_apps(requirement: &str) -> bool {
    requirement.starts_with("ts103732") || requirement.starts_with("ts103932")
}

fn fingerprint(check: &str, whose: &str) -> String {
    encode::hex(&encode::sha256(format!("{check}\n{whose}").as_bytes())[..12])
}

fn whose(subject: &Subject, actor: &Actor) -> String {
    let peer = subject.peer.as_ref();
    let name = peer.and_then(|p| p.name.as_ref()).map_or("-", Text::as_str);
    let port = peer.map_or(String::from("-"), |p| format!("{}/{}", p.port, p.transport));
    let client = subject.client.map_or(String::from("-"), |c| c.to_string());
    let package = actor.package.as_ref().map_or("-", Text::as_str);
    format!("{name}\n{port}\n{:?}\n{package}\n{client}", actor.class)
}

impl Reading for Board {
    type End = Board;

    fn line(&mut self, line: &Line) {
        self.lines += 1;
        // What a later command adds is of another time.
        let over = self.ended;
        if !over {
            self.first.get_or_insert(line.at);
            self.last = self.last.max(line.at);
        }
        self.ended |= matches!(line.seen, Observation::Ledger(_));
        match &line.seen {
            // The first line of a journal says what the run is; no later one can change it.
            Observation::Run(run) => {
                self.run.get_or_insert_with(|| run.clone());
            }
            Observation::Ledger(ledger) => self.ledger = ledger.clone(),
            _ => {}
        }
        // What a later command says of a run that is over happened to nothing that was seen.
        if over && matches!(line.seen, Observation::Event(_)) {
            return;
        }
        match (line.flow, &line.seen) {
            (Some(flow), Observation::Hello(hello)) => self.meet(flow, hello.class),
            (Some(flow), Observation::Served(_)) => self.meet(flow, ClientClass::UNSEEN),
            // Of a connection seen from its middle nothing else is told.
            (Some(flow), Observation::Undecrypted(closed)) if closed.choice_unseen => self.meet(flow, ClientClass::UNSEEN),
            _ => {}
        }
        let homes = match (&line.subject, line.flow, &line.seen) {
            (Some(subject), ..) => self.homes(subject),
            (None, Some(flow), Observation::Bound(bound)) => self.bind(flow, bound),
            (None, Some(flow), seen) => {
                let homes = if matches!(seen, Observation::Flow(_)) { self.flows.remove(&flow) } else { self.flows.get(&flow).copied() };
                homes.unwrap_or_else(run_only)
            }
            (None, None, Observation::Device(device)) => self.homes(&Subject { device: Some(device.id), ..Subject::default() }),
            (None, None, _) => run_only(),
        };
        if let Some(flow) = line.flow {
            match &line.seen {
                Observation::Treatment(t) if t.arm == observation::Arm::Attack => {
                    self.provoked.insert(flow);
                }
                Observation::Flow(_) => {
                    self.provoked.remove(&flow);
                }
                seen if is_our_doing(seen) && self.provoked.contains(&flow) => return,
                _ => {}
            }
        }
        self.put(homes, line);
    }

    fn end(self) -> Board {
        self
    }
}

/// Facts that under attack describe what the gateway served and provoked, not what the device does by itself: they stay in the journal
/// and in the trial, and no passive check may read them.
fn is_our_doing(seen: &Observation) -> bool {
    matches!(
        seen,
        Observation::Served(_)
            | Observation::Reaction(_)
            | Observation::Request(_)
            | Observation::Undecrypted(_)
            | Observation::Unparsed(_)
            | Observation::Update(_)
    )
}

fn run_only() -> Homes {
    let mut homes = Homes::default();
    homes.push(0);
    homes
}

/// What the exit code and gates look at: needed findings only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    pub fail: u64,
    pub undecided: u64,
    pub pass: u64,
}

/// Whether a not-tested answer leaves something needed undecided, or only says that its precondition was not met.
pub fn leaves_undecided(outcome: &Outcome, active: bool) -> bool {
    match outcome {
        Outcome::Judged(j) => j.verdict == Verdict::Inconclusive,
        Outcome::NotTested(reason) => active && matches!(reason, Reason::NotExercised | Reason::OutOfTime),
        Outcome::NotApplicable(_) => false,
        Outcome::Error(_) => true,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod roll_up_tests {
    use super::*;

    #[track_caller]
    fn check(id: &str, of: &[(&str, Branch)], expect: Branch) {
        let catalogue = policies::requirement::catalogue();
        let needs = catalogue.into_iter().find(|r| r.id == id).map(|r| r.needs).unwrap_or_default();
        let got = branch(&needs, &|check| of.iter().find(|(i, _)| *i == check).map_or(Branch::NotTested, |(_, b)| *b));
        assert_eq!(got, expect, "{id} with {of:?}");
    }

    #[test]
    fn a_channel_or_a_signature_or_a_hash() {
        let (sum, channel, payload) = ("en18031/SUM-2", "update.channel-certificates", "update.payload-changed");
        check(sum, &[], Branch::NotTested);
        check(sum, &[(channel, Branch::Pass), (payload, Branch::Fail)], Branch::Pass);
        check(sum, &[(channel, Branch::Fail)], Branch::Undecided);
        check(sum, &[(channel, Branch::Fail), (payload, Branch::Fail)], Branch::Fail);
        check(sum, &[(channel, Branch::NotApplicable), (payload, Branch::Fail)], Branch::Fail);
    }

    #[track_caller]
    fn rolled(id: &str, of: &[(&str, Tallied)], expect: RequirementVerdict) {
        let catalogue = policies::requirement::catalogue();
        let requirement = catalogue.iter().find(|r| r.id == id).unwrap();
        let tally: HashMap<&str, Tallied> = of.iter().copied().collect();
        assert_eq!(roll_up(requirement, &tally), expect, "{id} with {of:?}");
    }

    #[test]
    fn a_good_client_does_not_vouch_for_one_that_was_not_attacked() {
        let (id, attack) = ("niap-tls/TLSC.1-T9.1", "cert.eku-not-server");
        let stood = Tallied { pass: 1, ..Tallied::default() };
        rolled(id, &[(attack, stood)], RequirementVerdict::Pass);
        // No occasion, or none that counts (the attack was not selected there).
        rolled(id, &[(attack, Tallied { not_tested: 1, untried: 1, ..stood })], RequirementVerdict::Inconclusive);
        rolled(id, &[(attack, Tallied { not_tested: 1, ..stood })], RequirementVerdict::Pass);
        rolled(id, &[(attack, Tallied { not_tested: 1, untried: 1, ..Tallied::default() })], RequirementVerdict::NotTested);
        assert_eq!(Tallied { not_tested: 1, untried: 1, ..stood }.word(), "inconclusive");
        // Nor for one that the policy lets nobody attack.
        for (reason, untried) in [(Reason::NotAuthorised, 1), (Reason::NotExercised, 1), (Reason::NoAttacks, 0)] {
            let finding = Finding {
                check: attack.into(),
                subject: Arc::default(),
                outcome: Outcome::NotTested(reason),
                severity: Severity::High,
                transport: None,
                actor: Actor::default(),
                waived: None,
                fingerprint: String::new(),
                active: true,
            };
            let mut tallied = stood;
            tallied.add(&finding);
            assert_eq!(tallied.untried, untried, "{reason}");
        }
    }

    #[test]
    fn what_could_refute_and_stayed_open_holds_back_what_decides() {
        let (id, needed, supporting) = ("niap-mdf/FIA_X509_EXT.1-T2", "cert.expired", "cert.time-shift");
        let pass = Tallied { pass: 1, ..Tallied::default() };
        rolled(id, &[(needed, pass)], RequirementVerdict::Pass);
        rolled(id, &[(needed, pass), (supporting, Tallied { not_tested: 1, ..Tallied::default() })], RequirementVerdict::Pass);
        rolled(id, &[(needed, pass), (supporting, Tallied { inconclusive: 1, ..Tallied::default() })], RequirementVerdict::Inconclusive);
        rolled(id, &[(needed, pass), (supporting, Tallied { fail: 1, ..Tallied::default() })], RequirementVerdict::Fail);
    }

    /// A failure that may be an app's is neither the phone's nor nobody's.
    #[test]
    fn a_failure_of_an_unknown_actor_stays_open() {
        let (id, [needed, other], supporting) =
            ("ts103732-1/FPR", ["leak.identifier-cleartext", "dns.identifier-in-name"], "leak.dhcp-identity");
        let pass = Tallied { pass: 1, ..Tallied::default() };
        let absent = Tallied { not_applicable: 1, ..Tallied::default() };
        let unasked = Tallied { not_tested: 1, ..Tallied::default() };
        let unknown = Tallied { fail: 1, fail_unknown_actor: 1, ..Tallied::default() };
        let app = Tallied { fail: 1, fail_user_app: 1, ..Tallied::default() };
        for met in [pass, absent, unasked] {
            rolled(id, &[(needed, met), (other, met), (supporting, unknown)], RequirementVerdict::Inconclusive);
            let own = Tallied { fail: 1, ..Tallied::default() };
            rolled(id, &[(needed, met), (other, met), (supporting, own)], RequirementVerdict::Fail);
        }
        rolled(id, &[(needed, unknown), (other, pass), (supporting, pass)], RequirementVerdict::Inconclusive);
        rolled(id, &[(needed, pass), (other, pass), (supporting, app)], RequirementVerdict::NoIndication);
    }

    /// A test that asks for each type of name is not passed by one.
    #[test]
    fn what_shows_a_part_only_refutes() {
        let (id, attack) = ("niap-tls/TLSC.1-T9.2.2", "cert.hostname-mismatch");
        rolled(id, &[(attack, Tallied { pass: 1, ..Tallied::default() })], RequirementVerdict::NoIndication);
        rolled(id, &[(attack, Tallied { fail: 1, ..Tallied::default() })], RequirementVerdict::Fail);
    }

    /// What a later command adds to a finished journal changes neither when the run ended nor what it is.
    #[test]
    fn a_run_ends_with_its_ledger() {
        let demands = Demands {
            policy: Policy::default_analyze(),
            declaration: None,
            requirements: policies::requirement::catalogue(),
            attacks: policies::attack::catalogue(),
        };
        let mut board = Board::new(Arc::new(demands));
        let run = |kind| Run {
            schema: Text::ours("overhear/journal/1"),
            tool: Text::ours("overhear"),
            version: Text::ours("0"),
            kind,
            mode: None,
            label: None,
            policy_sha256: encode::Digest([0; 32]),
            catalogue_sha256: encode::Digest([0; 32]),
            declaration_sha256: None,
            project: None,
            attacks: Vec::new(),
            asked: observation::Asked::default(),
        };
        let purged = observation::Purged { what: Text::ours("values"), by: Text::ours("x"), count: 1, left_sha256: None };
        let seen: [(i64, Observation); 4] = [
            (1, run(observation::RunKind::Capture).into()),
            (5, Ledger::default().into()),
            (90, purged.into()),
            (91, run(observation::RunKind::Lab).into()),
        ];
        for (at, seen) in seen {
            board.line(&Line { n: 1, at: Time::from_secs(at), frame: None, flow: None, subject: None, seen });
        }
        assert_eq!(board.span(), Some((Time::from_secs(1), Time::from_secs(5))));
        assert_eq!(board.run().unwrap().kind, observation::RunKind::Capture);
    }

    #[test]
    fn tests_of_the_same_thing() {
        let (name, own, public) = ("niap-tls/TLSC.1-T9.2.2", "cert.hostname-mismatch", "cert.hostname-mismatch-public");
        check(name, &[(own, Branch::Pass)], Branch::Pass);
        check(name, &[(own, Branch::Pass), (public, Branch::Fail)], Branch::Fail);
        check(name, &[(own, Branch::Undecided)], Branch::Undecided);
        check(name, &[(public, Branch::NotApplicable)], Branch::NotTested);
    }
}
