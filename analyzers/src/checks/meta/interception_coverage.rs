//! Enough of the clear bytes was understood
//!
//! # What it does
//! Adds up what became of every byte: read, encrypted and left closed, clear and not understood, missing.
//!
//! # Why it matters
//! An absence is worth as much as the share of bytes that was looked at.
//!
//! # How it is judged
//! *Pass*: of what was readable, at least the policy's `coverage_percent` was understood. Less leaves it undecided. Encrypted bytes
//! are shown beside it. It never fails.
//!
//! # Evidence
//! The `ledger` line, written at the end of the run from all flows.
//!
//! # References
//! ISO/IEC 15408-3 ATE_IND.2.

use policies::Severity;

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Mode, Rule, settle};
use crate::observation::Ledger;
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Run, severity: Severity::Info, mode: Mode::Passive, needs: &[], judge, examples: EXAMPLES };

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let seen = case.seen::<Ledger>();
    let Some((ledger, _)) = seen.iter().last() else { return Outcome::NotTested(Reason::NotExercised) };
    let Some(proof) = seen.proof(|l| l == ledger) else { return Outcome::NotTested(Reason::NotExercised) };
    let readable = ledger.analysed + ledger.unparsed;
    let all = readable + ledger.encrypted + ledger.missed;
    if all == 0 {
        return Outcome::NotTested(Reason::NotExercised);
    }
    let share = |n: u64, of: u64| if of == 0 { 100.0 } else { n as f64 * 100.0 / of as f64 };
    let understood = share(ledger.analysed, readable);
    let level = cx.policy.thresholds.coverage_percent;
    let expected = format!("at least {level} % of readable bytes understood");
    let observed = format!("{understood:.1} % of readable bytes understood; {:.1} % of all bytes encrypted", share(ledger.encrypted, all));
    if understood + 1e-9 < level {
        return Outcome::inconclusive(Reason::CoverageUnderLevel, proof, expected, observed);
    }
    settle(cx, &seen, case, Concern::Trials, proof, &expected, observed)
}

const EXAMPLES: &[Example] = &[
    Example::new("all understood", r#"{"ledger":{"flows":3,"analysed":1000,"encrypted":5000,"unparsed":0,"missed":0,"unattributed":0,"by_app":[],"folded":[]}}"#, "pass"),
    Example::new("half unknown", r#"{"ledger":{"flows":3,"analysed":500,"encrypted":0,"unparsed":500,"missed":0,"unattributed":0,"by_app":[],"folded":[]}}"#, "inconclusive coverage-under-level"),
    Example::new("no bytes", "", "not-tested not-exercised"),
];
