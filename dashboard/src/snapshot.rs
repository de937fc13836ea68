//! A run at one moment, as a plain value: all that a frame shows comes from here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use analyzers::board::Board;
use analyzers::encode::Digest;
use analyzers::flow::FlowId;
use analyzers::journal::LineNo;
use analyzers::observation::{Arm, Certificate, Exposure, Run};
use policies::Time;

use crate::findings::{FindingRow, Findings};
use crate::screen::{Chains, Counters, Covered, JournalRow, LeakRow, Page, RATE_SECONDS, Screen, TrialRow};
use crate::words::inert;

/// What only the one who runs the run knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// No treatment is applied for the moment; traffic is relayed.
    pub paused: bool,
    /// The kill key was used: everything is relayed untouched from then on.
    pub killed: bool,
    pub ended: bool,
    pub elapsed: Duration,
    /// The clock of a live run; a finished or replayed one has its last line's.
    pub now: Option<Time>,
    /// One sentence of the caller's: where the report is, how fast the replay goes.
    pub note: String,
}

#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub state: State,
    pub findings: Arc<Findings>,
    pub run: Option<Arc<Run>>,
    /// One line of words per device.
    pub devices: Vec<Arc<str>>,
    /// What the set-up changed for all traffic: `(quic, blocked)`.
    pub standing: Vec<(String, String)>,
    pub present: Option<bool>,
    pub counters: Counters,
    pub covered: Covered,
    /// The journal's last lines, in order.
    pub journal: Vec<Arc<JournalRow>>,
    pub trials: Vec<Arc<TrialRow>>,
    pub leaks: Vec<Arc<LeakRow>>,
    /// Leaks that found no place; they are counted.
    pub leaks_left_out: u64,
    /// Lines in each of the last 60 seconds, the newest last.
    pub rate: Vec<u64>,
    pub last: Option<Time>,
    early: Vec<Arc<JournalRow>>,
    chains: Arc<HashMap<FlowId, Arc<Chains>>>,
    certificates: Arc<HashMap<Digest, Arc<Certificate>>>,
    pages: Arc<BTreeMap<String, Page>>,
}

impl Snapshot {
    /// Judges the board as it is now. Callers that do so several times a second keep a [`Judge`](crate::Judge) and use [`Snapshot::with`].
    pub fn of(board: &Board, screen: &Screen, state: State) -> Snapshot {
        Snapshot::with(Arc::new(Findings::of(board)), screen, state)
    }

    pub fn with(findings: Arc<Findings>, screen: &Screen, mut state: State) -> Snapshot {
        state.note = inert(&state.note);
        let now = state.now.or(screen.last);
        let mut leaks = screen.leaks.clone();
        leaks.sort_by_key(|row| (std::cmp::Reverse(row.hit.grade), exposed(row.hit.exposure), row.line));
        Snapshot {
            findings,
            run: screen.run.clone(),
            devices: screen.devices.values().cloned().collect(),
            standing: screen.standing.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            present: screen.present,
            counters: screen.counters,
            covered: screen.covered,
            journal: screen.tail.iter().cloned().collect(),
            trials: screen.trials.iter().cloned().collect(),
            leaks,
            leaks_left_out: screen.leaks_left_out,
            rate: rate(screen, now),
            last: screen.last,
            early: screen.early.clone(),
            chains: Arc::clone(&screen.chains),
            certificates: Arc::clone(&screen.certificates),
            pages: Arc::clone(&screen.pages),
            state,
        }
    }

    /// A line by its number, if it is among those kept.
    pub fn line(&self, n: LineNo) -> Option<&Arc<JournalRow>> {
        let search = |rows: &'_ [Arc<JournalRow>]| rows.binary_search_by_key(&n, |row| row.n).ok();
        match search(&self.journal) {
            Some(i) => self.journal.get(i),
            None => self.early.get(search(&self.early)?),
        }
    }

    pub fn page(&self, check: &str) -> Option<&Page> {
        self.pages.get(check)
    }

    pub fn title<'a>(&'a self, check: &'a str) -> &'a str {
        self.page(check).map_or(check, |p| &p.title)
    }

    pub fn certificate(&self, digest: &Digest) -> Option<&Arc<Certificate>> {
        self.certificates.get(digest)
    }

    /// The flawless chain that the controls of an attack showed: of the same server, and as long.
    pub fn control_of(&self, chains: &Chains) -> Option<&[Digest]> {
        let of_same = |c: &&Arc<Chains>| c.arm == Arm::Control && !c.presented.is_empty() && c.honest == chains.honest;
        let alike = |c: &&Arc<Chains>| {
            let same = c.presented.iter().filter(|d| chains.presented.contains(d)).count();
            (c.presented.len() == chains.presented.len(), same, std::cmp::Reverse(c.presented.clone()))
        };
        self.chains.values().filter(of_same).max_by_key(alike).map(|c| &c.presented[..])
    }

    /// The chains of the attempt that a finding of an attack rests on: of the first cited trial of that attack.
    pub fn chains(&self, finding: &FindingRow) -> Option<(&Arc<TrialRow>, &Arc<Chains>)> {
        let cited = |row: &&Arc<TrialRow>| {
            finding.evidence.contains(&row.line) && row.trial.attack.as_ref().is_some_and(|a| a.as_str() == finding.check)
        };
        let trial = self.trials.iter().find(cited)?;
        let chains = trial.trial.flows.iter().find_map(|f| self.chains.get(f).filter(|c| !c.presented.is_empty()))?;
        Some((trial, chains))
    }

    /// Findings that cite a line, worst first.
    pub fn citing(&self, line: LineNo) -> impl Iterator<Item = &Arc<FindingRow>> {
        self.findings.answered().filter(move |row| row.evidence.contains(&line))
    }
}

/// Whoever can read it, the widest circle first.
fn exposed(exposure: Exposure) -> u8 {
    match exposure {
        Exposure::Cleartext => 0,
        Exposure::LocalLink => 1,
        Exposure::Interceptor => 2,
        Exposure::Peer => 3,
    }
}

/// The last seconds up to now, silent ones included.
fn rate(screen: &Screen, now: Option<Time>) -> Vec<u64> {
    let Some(now) = now else { return Vec::new() };
    let mut out = vec![0; RATE_SECONDS];
    let now = now.0.div_euclid(1_000_000_000);
    for (second, n) in &screen.rate {
        let ago = now.saturating_sub(*second).max(0) as usize;
        if let Some(slot) = RATE_SECONDS.checked_sub(ago + 1).and_then(|i| out.get_mut(i)) {
            *slot += n;
        }
    }
    out
}
