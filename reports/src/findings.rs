//! Findings as rows: fails one by one and first, equal answers over many subjects folded, what was not answered grouped by its reason.

use std::collections::BTreeMap;

use analyzers::board::Finding;
use analyzers::flow::{FlowId, Transport};
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
    check: String,
    verdict: FindingVerdict,
    reason: Option<Reason>,
    severity: Severity,
    expected: String,
    observed: String,
    actor: Option<String>,
}

pub(crate) fn rows(findings: &[Finding], catalogue: &Catalogue, tabled: &Tabled) -> Rows {
    let mut out = Rows::default();
    let mut not_tested: BTreeMap<(&str, Reason), u64> = BTreeMap::new();
    let mut not_applicable: BTreeMap<(&str, Reason), u64> = BTreeMap::new();
    let mut folded: IndexMap<Same, FindingRow> = IndexMap::new();
    for finding in findings {
        let (verdict, reason, expected, observed, evidence) = match &finding.outcome {
            Outcome::NotTested(reason) => {
                *not_tested.entry((&finding.check, *reason)).or_default() += 1;
                continue;
            }
            Outcome::NotApplicable(reason) => {
                *not_applicable.entry((&finding.check, *reason)).or_default() += 1;
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
        let subject = SubjectRow::from(&*finding.subject);
        let row = FindingRow {
            check: finding.check.to_string(),
            title: catalogue.title(&finding.check).to_owned(),
            active: finding.active,
            subjects: vec![subject.clone()],
            subject,
            subjects_total: 1,
            transport: transport(finding),
            verdict,
            severity: finding.severity,
            reason,
            expected: inert(expected),
            observed: inert(observed),
            evidence: evidence.map_or_else(Vec::new, |proof| cited(proof, tabled)),
            evidence_total: evidence.map_or(0, Proof::total),
            requirements: catalogue.unit(&finding.check).map(|u| u.requirements.clone()).unwrap_or_default(),
            waived: finding.waived.as_deref().map(inert),
            actor: actor_word(&finding.actor),
            fingerprint: finding.fingerprint.clone(),
        };
        if verdict == FindingVerdict::Fail {
            out.findings.push(row);
            continue;
        }
        let same = Same {
            check: row.check.clone(),
            verdict,
            reason,
            severity: row.severity,
            expected: row.expected.clone(),
            observed: row.observed.clone(),
            actor: row.actor.clone(),
        };
        match folded.get_mut(&same) {
            None => {
                folded.insert(same, row);
            }
            Some(known) => fold(known, row),
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

fn fold(known: &mut FindingRow, row: FindingRow) {
    known.subjects_total += 1;
    if known.subjects.len() < SUBJECTS_LISTED {
        known.subjects.push(row.subject);
    }
    known.evidence_total += row.evidence_total;
    known.evidence.extend(row.evidence);
    known.evidence.sort_by_key(|e| e.line);
    known.evidence.dedup_by_key(|e| e.line);
    known.evidence.truncate(Proof::KEPT);
    if known.transport != row.transport {
        known.transport = None;
    }
}

fn cited(proof: &Proof, tabled: &Tabled) -> Vec<EvidenceRow> {
    let place = |line: &u64| {
        let place = tabled.places.of(*line).unwrap_or_default();
        EvidenceRow { line: *line, frame: place.frame.or_else(|| place.flow.and_then(|f| first_frame(tabled, f))), flow: place.flow }
    };
    proof.lines().iter().map(place).collect()
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

fn grouped(groups: BTreeMap<(&str, Reason), u64>) -> Vec<Unanswered> {
    groups.into_iter().map(|((check, reason), subjects)| Unanswered { check: check.to_owned(), reason, subjects }).collect()
}

/// Sentences of checks quote what is inert already; this holds should one forget.
fn inert(words: &str) -> String {
    Text::ours(words).to_string()
}
