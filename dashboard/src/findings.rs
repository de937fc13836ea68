//! What the board says, in the order and the shape the panels show it; judged again only when there is something new.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use analyzers::board::{Board, Finding, RequirementVerdict};
use analyzers::journal::LineNo;
use analyzers::outcome::{Outcome, Reason};
use analyzers::subject::{Scope, Subject};
use policies::Severity;

use crate::look::Mark;
use crate::words::inert;

/// Findings kept as rows, worst first; the counts are over all. A row is some 300 bytes.
const ROWS_KEPT: usize = 20_000;

/// Subjects of the matrix, those with the worst answers first.
const SUBJECTS_KEPT: usize = 8192;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingRow {
    /// The same in every snapshot: check and subject.
    pub key: u64,
    pub check: String,
    pub subject: Subject,
    pub mark: Mark,
    pub severity: Severity,
    pub reason: Option<Reason>,
    pub expected: String,
    pub observed: String,
    pub evidence: Vec<LineNo>,
    pub evidence_total: u64,
    pub waived: Option<String>,
    pub actor: String,
    pub active: bool,
}

/// A subject's answers: one cell per column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixRow {
    pub label: String,
    pub worst: Mark,
    pub cells: Vec<Option<Cell>>,
}

/// The worst answer of a peer's clients to one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub mark: Mark,
    /// Key of the finding.
    pub key: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Worst first; not tested and not applicable ones last.
    pub rows: Vec<Arc<FindingRow>>,
    /// Rows that found no place; they are counted.
    pub left_out: usize,
    /// By [`Mark`].
    pub counts: [usize; Mark::COUNT],
    /// Columns of the matrix: checks and attacks that were answered for at least one subject.
    pub columns: Vec<String>,
    /// Checks that were answered for nobody, and so have no column.
    pub unanswered: usize,
    pub matrix: Vec<MatrixRow>,
    pub subjects_left_out: usize,
    /// Requirements by verdict, as far as there are any.
    pub requirements: BTreeMap<RequirementVerdict, usize>,
}

impl Findings {
    pub fn of(board: &Board) -> Findings {
        let all = board.findings();
        let mut out = Findings::sorted(&all);
        for rolled in board.roll_up(&all) {
            *out.requirements.entry(rolled.verdict).or_default() += 1;
        }
        out
    }

    /// From findings alone, without requirements.
    pub fn sorted(all: &[Finding]) -> Findings {
        let mut out = Findings::default();
        let mut order: Vec<(Mark, std::cmp::Reverse<Severity>, usize)> = all
            .iter()
            .enumerate()
            .map(|(i, f)| {
                let mark = Mark::of(f);
                out.counts[mark as usize] += 1;
                (mark, std::cmp::Reverse(f.severity), i)
            })
            .collect();
        // The board's own order, by check and subject, decides the rest.
        order.sort_unstable();
        out.left_out = order.len().saturating_sub(ROWS_KEPT);
        out.rows = order.iter().take(ROWS_KEPT).filter_map(|(mark, _, i)| Some(Arc::new(row(*mark, all.get(*i)?)))).collect();
        out.fill_matrix(all);
        out
    }

    pub fn find(&self, key: u64) -> Option<&Arc<FindingRow>> {
        self.rows.iter().find(|row| row.key == key)
    }

    pub fn count(&self, mark: Mark) -> usize {
        self.counts[mark as usize]
    }

    /// Findings that say something: everything but not tested and not applicable.
    pub fn answered(&self) -> impl Iterator<Item = &Arc<FindingRow>> {
        self.rows.iter().filter(|row| row.mark < Mark::NotTested)
    }

    fn fill_matrix(&mut self, all: &[Finding]) {
        let mut columns: BTreeMap<&str, bool> = BTreeMap::new();
        for finding in all {
            *columns.entry(&finding.check).or_default() |= Mark::of(finding) < Mark::NotTested;
        }
        self.unanswered = columns.values().filter(|answered| !**answered).count();
        columns.retain(|_, answered| *answered);
        let places: HashMap<&str, usize> = columns.keys().enumerate().map(|(i, id)| (*id, i)).collect();
        // One device needs no telling.
        let devices: BTreeSet<_> = all.iter().filter_map(|f| f.subject.device).collect();
        let told = devices.len() > 1;
        let mut rows: BTreeMap<Subject, MatrixRow> = BTreeMap::new();
        for finding in all {
            let Some(place) = places.get(&*finding.check) else { continue };
            let wide = Subject { client: None, ..(*finding.subject).clone() };
            let cell = Cell { mark: Mark::of(finding), key: key(finding) };
            let row = rows.entry(wide).or_insert_with_key(|subject| MatrixRow {
                label: label(subject, told),
                worst: Mark::NotApplicable,
                cells: vec![None; places.len()],
            });
            row.worst = row.worst.min(cell.mark);
            if let Some(at) = row.cells.get_mut(*place)
                && at.is_none_or(|known| cell.mark < known.mark)
            {
                *at = Some(cell);
            }
        }
        let mut rows: Vec<(Scope, Subject, MatrixRow)> = rows.into_iter().map(|(s, r)| (s.scope(), s, r)).collect();
        rows.sort_by(|(sa, a, ra), (sb, b, rb)| (sa, ra.worst, a).cmp(&(sb, rb.worst, b)));
        self.subjects_left_out = rows.len().saturating_sub(SUBJECTS_KEPT);
        self.matrix = rows.into_iter().take(SUBJECTS_KEPT).map(|(.., row)| row).collect();
        self.columns = columns.into_keys().map(str::to_owned).collect();
    }
}

fn row(mark: Mark, finding: &Finding) -> FindingRow {
    let (expected, observed, evidence, evidence_total) = match &finding.outcome {
        Outcome::Judged(j) => (inert(&j.expected), inert(&j.observed), j.evidence.lines().to_vec(), j.evidence.total()),
        Outcome::Error(fault) => (String::new(), inert(&fault.what), Vec::new(), 0),
        Outcome::NotTested(_) | Outcome::NotApplicable(_) => (String::new(), String::new(), Vec::new(), 0),
    };
    let package = finding.actor.package.as_ref().map(|p| format!(" {p}")).unwrap_or_default();
    FindingRow {
        key: key(finding),
        check: finding.check.to_string(),
        subject: (*finding.subject).clone(),
        mark,
        severity: finding.severity,
        reason: finding.outcome.reason(),
        expected,
        observed,
        evidence,
        evidence_total,
        waived: finding.waived.as_deref().map(inert),
        actor: format!("{}{package}", finding.actor.class.word()),
        active: finding.active,
    }
}

fn key(finding: &Finding) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&finding.check, &finding.subject).hash(&mut hasher);
    hasher.finish()
}

/// A row's name: the peer, with its device where there are several.
fn label(subject: &Subject, told: bool) -> String {
    match (&subject.peer, subject.device) {
        (Some(peer), Some(device)) if told => format!("{peer} {device}"),
        (Some(peer), _) => peer.to_string(),
        (None, Some(device)) => format!("device {device}"),
        (None, None) => "the whole run".to_owned(),
    }
}

/// Keeps the last judgement: a board is judged again when lines were added, and not more often than it has time for.
#[derive(Debug, Default)]
pub struct Judge {
    last: Option<Judged>,
}

#[derive(Debug)]
struct Judged {
    lines: u64,
    at: Instant,
    took: Duration,
    findings: Arc<Findings>,
}

/// Judging may take this part of the time: one second in every eight.
const SHARE: u32 = 8;

impl Judge {
    pub fn findings(&mut self, board: &Board) -> Arc<Findings> {
        if let Some(last) = &self.last
            && (last.lines == board.lines() || last.at.elapsed() < last.took * SHARE)
        {
            return Arc::clone(&last.findings);
        }
        self.judge(board)
    }

    /// Judges what is there now: for the end of a run.
    pub fn judge(&mut self, board: &Board) -> Arc<Findings> {
        let start = Instant::now();
        let findings = Arc::new(Findings::of(board));
        self.last = Some(Judged { lines: board.lines(), at: Instant::now(), took: start.elapsed(), findings: Arc::clone(&findings) });
        findings
    }
}
