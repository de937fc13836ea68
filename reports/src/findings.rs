//! Findings as rows: fails one by one and first, equal answers over many subjects folded, what was not answered grouped by its reason.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use analyzers::board::Finding;
use analyzers::flow::{FlowId, Transport};
use analyzers::journal::LineNo;
use analyzers::outcome::{Outcome, Proof, Reason, Verdict};
use analyzers::text::Text;
use indexmap::IndexMap;
use policies::Severity;

use crate::catalogue::Catalogue;
use crate::json::{EvidenceRow, FindingRow, FindingVerdict, Unanswered};
use crate::rows::{SubjectRow, actor_word};
use crate::tables::Tabled;

/// Subjects listed of a folded answer (interface: `subjects: [≤16]`).
const SUBJECTS_LISTED: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) findings: Vec<FindingRow>,
    pub(crate) not_tested: Vec<Unanswered>,
    pub(crate) not_applicable: Vec<Unanswered>,
}

/// What answers must share to be told as one.
#[derive(PartialEq, Eq, Hash)]
struct Same {
    check: Arc<str>,
    verdict: FindingVerdict,
    reason: Option<Reason>,
    severity: Severity,
    expected: String,
    observed: String,
    actor: Option<String>,
}

pub(crate) fn rows(findings: &[Finding], catalogue: &Catalogue, tabled: &Tabled) -> Rows {
    let mut out = Rows::default();
    let mut not_tested = Groups::default();
    let mut not_applicable = Groups::default();
    let mut folded: IndexMap<Same, FindingRow, foldhash::fast::FixedState> = IndexMap::default();
    for finding in findings {
        let (verdict, reason, expected, observed, evidence) = match &finding.outcome {
            Outcome::NotTested(reason) => {
                not_tested.add(&finding.check, *reason);
                continue;
            }
            Outcome::NotApplicable(reason) => {
                not_applicable.add(&finding.check, *reason);
                continue;
            }
            Outcome::Error(fault) => (FindingVerdict::Error, None, "", fault.what.as_str(), None),
            Outcome::Judged(j) => {
                let verdict = match j.verdict {
                    Verdict::Pass => FindingVerdict::Pass,
                    Verdict::Inconclusive => FindingVerdict::Inconclusive,
                    Verdict::Fail => FindingVerdict::Fail,
                };
                (verdict, j.reason, j.expected.as_str(), j.observed.as_str(), Some(&j.evidence))
            }
        };
        let row = |same: &Same| {
            let subject = SubjectRow::from(&*finding.subject);
            FindingRow {
                check: same.check.to_string(),
                title: catalogue.title(&finding.check).to_owned(),
                active: finding.active,
                subjects: vec![subject.clone()],
                subject,
                subjects_total: 1,
                transport: transport(finding),
                verdict,
                severity: finding.severity,
                reason,
                expected: same.expected.clone(),
                observed: same.observed.clone(),
                evidence: evidence.map_or_else(Vec::new, |proof| cited(proof, tabled)),
                evidence_total: evidence.map_or(0, Proof::total),
                requirements: catalogue.unit(&finding.check).map(|u| u.requirements.clone()).unwrap_or_default(),
                waived: finding.waived.as_deref().map(inert),
                actor: same.actor.clone(),
                fingerprint: finding.fingerprint.clone(),
            }
        };
        let same = Same {
            check: Arc::clone(&finding.check),
            verdict,
            reason,
            severity: finding.severity,
            expected: inert(expected),
            observed: inert(observed),
            actor: actor_word(&finding.actor),
        };
        if verdict == FindingVerdict::Fail {
            out.findings.push(row(&same));
            continue;
        }
        match folded.get_mut(&same) {
            None => {
                let row = row(&same);
                folded.insert(same, row);
            }
            Some(known) => fold(known, finding, evidence, tabled),
        }
    }
    out.findings.extend(folded.into_values());
    out.findings.sort_by(|a, b| order(a).cmp(&order(b)));
    out.not_tested = grouped(not_tested);
    out.not_applicable = grouped(not_applicable);
    out
}

/// Fails first, the worst of them first; waived ones after those that are not. Equal ones stay in the board's order.
fn order(row: &FindingRow) -> (FindingVerdict, bool, std::cmp::Reverse<Severity>, &str) {
    (row.verdict, row.waived.is_some(), std::cmp::Reverse(row.severity), &row.check)
}

fn fold(known: &mut FindingRow, finding: &Finding, evidence: Option<&Proof>, tabled: &Tabled) {
    known.subjects_total += 1;
    if known.subjects.len() < SUBJECTS_LISTED {
        known.subjects.push(SubjectRow::from(&*finding.subject));
    }
    known.evidence_total += evidence.map_or(0, Proof::total);
    // The first lines are kept: what comes after the last of them is not looked up.
    let last = known.evidence.last().filter(|_| known.evidence.len() >= Proof::KEPT).map(|e| e.line);
    let more = evidence.map_or(&[][..], Proof::lines).iter().filter(|line| last.is_none_or(|last| **line < last));
    known.evidence.extend(more.map(|line| cite(*line, tabled)));
    known.evidence.sort_by_key(|e| e.line);
    known.evidence.dedup_by_key(|e| e.line);
    known.evidence.truncate(Proof::KEPT);
    if known.transport.is_some() && known.transport != transport(finding) {
        known.transport = None;
    }
}

fn cited(proof: &Proof, tabled: &Tabled) -> Vec<EvidenceRow> {
    proof.lines().iter().map(|line| cite(*line, tabled)).collect()
}

fn cite(line: LineNo, tabled: &Tabled) -> EvidenceRow {
    let place = tabled.places.of(line).unwrap_or_default();
    let frame = place.frame.or_else(|| tabled.frames.get(&line).copied());
    EvidenceRow { line, frame: frame.or_else(|| place.flow.and_then(|f| first_frame(tabled, f))), flow: place.flow }
}

/// Of a line without a frame (a trial's), the frame of its flow's handshake, or the flow's first.
fn first_frame(tabled: &Tabled, flow: FlowId) -> Option<u64> {
    let tls = tabled.tls.binary_search_by_key(&flow, |row| row.flow).ok().and_then(|i| tabled.tls.get(i)).and_then(|row| row.frame);
    tls.or_else(|| tabled.flows.binary_search_by_key(&flow, |row| row.id).ok().and_then(|i| tabled.flows.get(i)).and_then(|row| row.frame))
}

fn transport(finding: &Finding) -> Option<String> {
    match finding.transport? {
        Transport::Udp if finding.subject.client.is_some() => Some("quic".to_owned()),
        other => Some(other.to_string()),
    }
}

/// How many subjects a check left unanswered, by the reason.
#[derive(Default)]
struct Groups<'a>(HashMap<(&'a str, Reason), u64, foldhash::fast::FixedState>);

impl<'a> Groups<'a> {
    fn add(&mut self, check: &'a str, reason: Reason) {
        *self.0.entry((check, reason)).or_default() += 1;
    }
}

fn grouped(groups: Groups<'_>) -> Vec<Unanswered> {
    let sorted: BTreeMap<(&str, Reason), u64> = groups.0.into_iter().collect();
    sorted.into_iter().map(|((check, reason), subjects)| Unanswered { check: check.to_owned(), reason, subjects }).collect()
}

/// Sentences of checks quote what is inert already; this holds should one forget.
fn inert(words: &str) -> String {
    Text::ours(words).to_string()
}
