//! What was done to the device is on record and confirmed
//!
//! # What it does
//! Looks at the stimulus events of the run: whether there are any, and whether each was confirmed.
//!
//! # Why it matters
//! A verdict about enrolment, consent or updates holds only for what the device was really made to do.
//!
//! # How it is judged
//! *Pass*: events are there and all are confirmed. Undecided: some are not. Not tested: none were recorded. It never fails.
//!
//! # Evidence
//! The `event` lines.
//!
//! # References
//! ISO/IEC 15408-3 ATE_IND.2, EN 18031 SCM-1.

use policies::Severity;

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Mode, Rule, settle};
use crate::observation::Event;
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Run, severity: Severity::Info, mode: Mode::Declared, needs: &[], judge, examples: EXAMPLES };

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let events = case.seen::<Event>();
    let Some(proof) = events.proof(|_| true) else { return Outcome::NotTested(Reason::NoEvents) };
    let expected = "every stimulus confirmed";
    if let Some(open) = events.proof(|e| !e.confirmed) {
        return Outcome::inconclusive(Reason::WindowsNotConfirmed, open, expected, format!("{} events are not confirmed", events.count(|e| !e.confirmed)));
    }
    settle(cx, &events, case, Concern::Trials, proof, expected, format!("{} events, all confirmed", events.count(|_| true)))
}

const EXAMPLES: &[Example] = &[
    Example::new("confirmed", r#"{"event":{"at":"2026-01-01T00:00:01Z","kind":"enrol","phase":"start","confirmed":true}}"#, "pass"),
    Example::new("not confirmed", r#"{"event":{"at":"2026-01-01T00:00:01Z","kind":"enrol","phase":"start","confirmed":false}}"#, "inconclusive windows-not-confirmed"),
    Example::new("none", "", "not-tested no-events"),
];
