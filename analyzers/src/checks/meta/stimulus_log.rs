//! What was done to the device is on record and confirmed
//!
//! # What it does
//! Looks at the stimulus events of the run: whether there are any, and whether each was confirmed.
//!
//! # Why it matters
//! A verdict about enrolment, consent or updates holds only for what the device was really made to do.
//!
//! # How it is judged
//! *Pass*: events are there, all are confirmed and lie within the capture. Undecided: some are not, or do not. Not tested: none were recorded. It never fails.
//!
//! # Evidence
//! The `event` lines.
//!
//! # References
//! ISO/IEC 15408-3 ATE_IND.2, EN 18031 SCM-1.

use policies::{Severity, Time};

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Mode, Rule, counted, settle};
use crate::observation::{Event, Input, Run, RunKind};
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Run, severity: Severity::Info, mode: Mode::Declared, needs: &[], judge, examples: EXAMPLES };

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let events = case.seen::<Event>();
    let Some(proof) = events.proof(|_| true) else { return Outcome::NotTested(Reason::NoEvents) };
    let expected = "every stimulus confirmed";
    if let Some(open) = events.proof(|e| !e.confirmed) {
        return Outcome::inconclusive(Reason::WindowsNotConfirmed, open, expected, format!("{} not confirmed", counted(events.count(|e| !e.confirmed), "event")));
    }
    if let Some(beside) = events.proof(|e| is_beside(e.at, cx)) {
        let observed = format!("{} not of the time of the capture", counted(events.count(|e| is_beside(e.at, cx)), "event"));
        return Outcome::inconclusive(Reason::WindowsNotConfirmed, beside, expected, observed);
    }
    settle(cx, &events, case, Concern::Trials, proof, expected, format!("{}, all confirmed", counted(events.count(|_| true), "event")))
}

/// How far beside the capture an event may lie: a device that is silent for a while leaves no frames at the edges.
const MARGIN: i64 = 60_000_000_000;

/// Whether a moment lies well before the first frame or after the last one of what was read: nothing of it was seen. A live run is there all
/// the time.
pub(crate) fn is_beside(at: Time, cx: &Context<'_>) -> bool {
    if cx.run.any::<Run>(|run| run.kind != RunKind::Capture).is_some() {
        return false;
    }
    let inputs = cx.run.seen::<Input>();
    let times = || inputs.iter().filter_map(|(input, _)| input.first.zip(input.last));
    times().next().is_some() && !times().any(|(first, last)| (first.0 - MARGIN..=last.0 + MARGIN).contains(&at.0))
}

const EXAMPLES: &[Example] = &[
    Example::new("confirmed", r#"{"event":{"at":"2026-01-01T00:00:01Z","kind":"enrol","phase":"start","confirmed":true}}"#, "pass"),
    Example::new("not confirmed", r#"{"event":{"at":"2026-01-01T00:00:01Z","kind":"enrol","phase":"start","confirmed":false}}"#, "inconclusive windows-not-confirmed"),
    Example::new("after the capture", r#"{"event":{"at":"2026-01-01T02:00:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"input":{"path":"a","bytes":9,"packets":9,"first":"2026-01-01T00:00:00Z","last":"2026-01-01T01:00:00Z","link_types":[],"truncated":false,"damage":[],"unread":[],"secrets":0}}"#, "inconclusive windows-not-confirmed"),
    Example::new("none", "", "not-tested no-events"),
];
