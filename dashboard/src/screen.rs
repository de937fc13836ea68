//! Folds lines into what the panels need, in bounded memory; what is left out is counted.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use analyzers::board::Demands;
use analyzers::checks;
use analyzers::encode::Digest;
use analyzers::flow::FlowId;
use analyzers::journal::{Line, LineNo};
use analyzers::observation::{App, Arm, Certificate, Coverage, Hit, Ledger, Observation, Run, Treatment, Trial};
use analyzers::reading::Reading;
use analyzers::subject::{DeviceId, Subject};
use analyzers::text::Text;
use policies::Time;

use crate::describe::describe;
use crate::words;

/// How much is kept. A row is some 200 bytes: the defaults stay under 16 MiB.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// The first lines of the journal: a proof cites the first line of each fact.
    pub early: usize,
    /// The last lines of the journal.
    pub tail: usize,
    pub trials: usize,
    pub leaks: usize,
    /// Flows whose chains are kept, certificates, open flows, devices.
    pub parts: usize,
}

impl Default for Kept {
    fn default() -> Kept {
        Kept { early: 4096, tail: 4096, trials: 4096, leaks: 2048, parts: 8192 }
    }
}

/// The longest text of a journal row; no terminal shows more in a line, and Detail wraps what is there.
const LONGEST_ROW: usize = 480;

/// Seconds of the rates.
pub(crate) const RATE_SECONDS: usize = 60;

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRow {
    pub n: LineNo,
    pub at: Time,
    pub frame: Option<u64>,
    pub flow: Option<FlowId>,
    pub word: &'static str,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialRow {
    pub line: LineNo,
    pub at: Time,
    pub subject: Option<Subject>,
    pub trial: Trial,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeakRow {
    /// The first line that said so.
    pub line: LineNo,
    pub at: Time,
    pub flow: Option<FlowId>,
    pub frame: Option<u64>,
    pub peer: Arc<str>,
    pub hit: Hit,
    /// How often the same was seen with the same peer.
    pub times: u64,
}

/// What was presented in a flow, and the honest chain it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chains {
    pub arm: Arm,
    pub attack: Option<Text>,
    pub presented: Vec<Digest>,
    pub honest: Vec<Digest>,
}

/// The words of a check or an attack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub title: String,
    pub page: String,
    pub mode: &'static str,
    /// Of attacks: what a sound device does.
    pub expect: Option<String>,
}

/// Counted over the whole run, whatever else is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub lines: u64,
    pub flows_open: u64,
    pub flows_closed: u64,
    pub tls: u64,
    pub requests: u64,
    pub questions: u64,
    pub hits: u64,
    pub trials: u64,
    pub odd: u64,
    pub missed: u64,
}

/// Payload bytes by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    pub analysed: u64,
    pub encrypted: u64,
    pub unparsed: u64,
    pub missing: u64,
    /// The run's own ledger, written at its end, rather than the sum of the flows closed so far.
    pub is_final: bool,
}

/// Folds the lines of a run; [`Snapshot`](crate::Snapshot) takes from it what a frame needs.
#[derive(Debug)]
pub struct Screen {
    kept: Kept,
    pub(crate) run: Option<Arc<Run>>,
    pub(crate) devices: BTreeMap<DeviceId, Arc<str>>,
    pub(crate) standing: BTreeMap<Text, Text>,
    pub(crate) present: Option<bool>,
    pub(crate) counters: Counters,
    pub(crate) covered: Covered,
    pub(crate) early: Vec<Arc<JournalRow>>,
    pub(crate) tail: VecDeque<Arc<JournalRow>>,
    pub(crate) trials: VecDeque<Arc<TrialRow>>,
    pub(crate) leaks: Vec<Arc<LeakRow>>,
    pub(crate) leaks_left_out: u64,
    pub(crate) chains: Arc<HashMap<FlowId, Arc<Chains>>>,
    pub(crate) certificates: Arc<HashMap<Digest, Arc<Certificate>>>,
    pub(crate) pages: Arc<BTreeMap<String, Page>>,
    pub(crate) last: Option<Time>,
    /// Lines by second, the newest last.
    pub(crate) rate: VecDeque<(i64, u64)>,
    peers: HashMap<FlowId, Arc<str>>,
    /// Flows of `chains` in the order they came, for leaving out the oldest.
    chain_order: VecDeque<FlowId>,
}

impl Screen {
    pub fn new(demands: &Demands) -> Screen {
        Screen::with_kept(demands, Kept::default())
    }

    pub fn with_kept(demands: &Demands, kept: Kept) -> Screen {
        Screen {
            kept,
            run: None,
            devices: BTreeMap::new(),
            standing: BTreeMap::new(),
            present: None,
            counters: Counters::default(),
            covered: Covered::default(),
            early: Vec::new(),
            tail: VecDeque::new(),
            trials: VecDeque::new(),
            leaks: Vec::new(),
            leaks_left_out: 0,
            chains: Arc::default(),
            certificates: Arc::default(),
            pages: Arc::new(pages(demands)),
            last: None,
            rate: VecDeque::new(),
            peers: HashMap::new(),
            chain_order: VecDeque::new(),
        }
    }

    fn row(&mut self, line: &Line) {
        let mut text = describe(&line.seen);
        if text.len() > LONGEST_ROW {
            text = words::fit(&text, LONGEST_ROW);
        }
        let row = Arc::new(JournalRow { n: line.n, at: line.at, frame: line.frame, flow: line.flow, word: line.seen.word(), text });
        if self.early.len() < self.kept.early {
            self.early.push(Arc::clone(&row));
        }
        if self.tail.len() >= self.kept.tail {
            self.tail.pop_front();
        }
        self.tail.push_back(row);
    }

    fn tick(&mut self, at: Time) {
        let second = at.0.div_euclid(1_000_000_000);
        if self.rate.back().is_none_or(|(newest, _)| *newest < second) {
            self.rate.push_back((second, 0));
            if self.rate.len() > RATE_SECONDS {
                self.rate.pop_front();
            }
        }
        // Lines of several shards are ordered by frame, so an older second may come again; one that is gone is not counted.
        if let Some((_, n)) = self.rate.iter_mut().rev().find(|(s, _)| *s == second) {
            *n += 1;
        }
    }

    fn flow(&mut self, coverage: &Coverage, missing: u64, app: App) {
        self.counters.flows_closed += 1;
        self.counters.flows_open = self.counters.flows_open.saturating_sub(1);
        self.counters.tls += u64::from(matches!(app, App::Tls | App::Quic));
        if !self.covered.is_final {
            self.covered.analysed += coverage.analysed;
            self.covered.encrypted += coverage.encrypted;
            self.covered.unparsed += coverage.unparsed;
            self.covered.missing += missing;
        }
    }

    fn ledger(&mut self, it: &Ledger) {
        self.covered =
            Covered { analysed: it.analysed, encrypted: it.encrypted, unparsed: it.unparsed, missing: it.missed, is_final: true };
    }

    fn trial(&mut self, line: &Line, it: &Trial) {
        self.counters.trials += 1;
        if self.trials.len() >= self.kept.trials {
            self.trials.pop_front();
        }
        self.trials.push_back(Arc::new(TrialRow { line: line.n, at: line.at, subject: line.subject.clone(), trial: it.clone() }));
    }

    fn leak(&mut self, line: &Line, it: &Hit) {
        self.counters.hits += 1;
        let peer = line.flow.and_then(|f| self.peers.get(&f)).cloned();
        let peer = peer.or_else(|| line.subject.as_ref()?.peer.as_ref().map(|p| p.to_string().into())).unwrap_or_else(|| "?".into());
        if let Some(known) = self.leaks.iter_mut().find(|row| row.peer == peer && same(&row.hit, it)) {
            Arc::make_mut(known).times += it.repeats + 1;
            return;
        }
        if self.leaks.len() >= self.kept.leaks {
            self.leaks_left_out += 1;
            // A weaker one makes room: proof never gives way to guesses.
            let weakest = self.leaks.iter().enumerate().min_by_key(|(_, row)| row.hit.grade).map(|(i, row)| (i, row.hit.grade));
            match weakest {
                Some((i, grade)) if grade < it.grade => {
                    self.leaks.remove(i);
                }
                _ => return,
            }
        }
        let row = LeakRow { line: line.n, at: line.at, flow: line.flow, frame: line.frame, peer, hit: it.clone(), times: it.repeats + 1 };
        self.leaks.push(Arc::new(row));
    }

    fn treatment(&mut self, flow: FlowId, it: &Treatment) {
        let chains = Arc::make_mut(&mut self.chains);
        let known = Chains { arm: it.arm, attack: it.attack.clone(), presented: it.chain.clone(), honest: it.honest_chain.clone() };
        if chains.insert(flow, Arc::new(known)).is_none() {
            self.chain_order.push_back(flow);
        }
        if self.chain_order.len() > self.kept.parts
            && let Some(oldest) = self.chain_order.pop_front()
        {
            chains.remove(&oldest);
        }
    }
}

/// One value at one place in one way, whichever flow it was in.
fn same(a: &Hit, b: &Hit) -> bool {
    a.token == b.token
        && a.place == b.place
        && a.chain == b.chain
        && a.layer == b.layer
        && a.direction == b.direction
        && a.exposure == b.exposure
        && a.grade == b.grade
        && a.kind == b.kind
        && a.field == b.field
}

fn pages(demands: &Demands) -> BTreeMap<String, Page> {
    let passive = checks::all().iter().map(|c| {
        let page = Page { title: c.title.clone(), page: c.page.clone(), mode: c.rule.mode.word(), expect: None };
        (c.id.clone(), page)
    });
    let active = demands.attacks.iter().map(|a| {
        let page = Page { title: a.title.clone(), page: a.page.clone(), mode: "active", expect: Some(a.expect.clone()) };
        (a.id.clone(), page)
    });
    passive.chain(active).collect()
}

impl Reading for Screen {
    type End = Screen;

    fn line(&mut self, line: &Line) {
        self.counters.lines += 1;
        self.last = Some(self.last.map_or(line.at, |t| t.max(line.at)));
        self.tick(line.at);
        self.row(line);
        match &line.seen {
            Observation::Run(it) => self.run = Some(Arc::new(it.clone())),
            Observation::Device(it) if self.devices.len() < self.kept.parts || self.devices.contains_key(&it.id) => {
                self.devices.insert(it.id, describe(&line.seen).into());
            }
            Observation::Standing(it) if self.standing.len() < self.kept.parts => {
                self.standing.insert(it.what.clone(), it.state.clone());
            }
            Observation::Presence(it) => self.present = Some(it.present),
            Observation::Bound(it) => {
                self.counters.flows_open += 1;
                if let Some(flow) = line.flow
                    && self.peers.len() < self.kept.parts
                {
                    self.peers.insert(flow, it.peer.to_string().into());
                }
            }
            Observation::Flow(it) => {
                self.flow(&it.coverage, it.counts.missing.iter().sum(), it.app);
                if let Some(flow) = line.flow {
                    self.peers.remove(&flow);
                }
            }
            Observation::Request(_) => self.counters.requests += 1,
            Observation::Question(_) => self.counters.questions += 1,
            Observation::Odd(_) => self.counters.odd += 1,
            Observation::Missed(it) => self.counters.missed += 1 + it.repeats,
            Observation::Ledger(it) => self.ledger(it),
            Observation::Certificate(it) if self.certificates.len() < self.kept.parts => {
                Arc::make_mut(&mut self.certificates).insert(it.sha256, Arc::new(it.clone()));
            }
            Observation::Treatment(it) => {
                if let Some(flow) = line.flow {
                    self.treatment(flow, it);
                }
            }
            Observation::Trial(it) => self.trial(line, it),
            Observation::Hit(it) => self.leak(line, it),
            _ => {}
        }
    }

    fn end(self) -> Screen {
        self
    }
}
