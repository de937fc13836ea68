//! The same capture gives the same lines again
//!
//! # What it does
//! Looks whether the run's own capture, analysed again, gave the lines that were written live (by flow, kind and key).
//!
//! # Why it matters
//! A result that cannot be had twice is an anecdote.
//!
//! # How it is judged
//! *Pass*: the second reading was made and agreed. Undecided: it differed. Not tested: no second reading was made. It never fails.
//!
//! # Evidence
//! The `standing` line that the comparison left.
//!
//! # References
//! ISO/IEC 15408-3 ATE_IND.2.

use policies::Severity;

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Mode, Rule, settle};
use crate::observation::Standing;
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Run, severity: Severity::Info, mode: Mode::Both, needs: &[], judge, examples: EXAMPLES };

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let standing = case.seen::<Standing>();
    let read_again = |s: &Standing| s.what == "second-reading";
    let Some(proof) = standing.proof(read_again) else { return Outcome::NotTested(Reason::OneRunOnly) };
    let expected = "the second reading agrees";
    match standing.proof(|s| read_again(s) && s.state != "equal") {
        Some(differs) => Outcome::inconclusive(Reason::SecondReadingDiffers, differs, expected, "the second reading differs"),
        None => settle(cx, &standing, case, Concern::Trials, proof, expected, "the second reading agrees"),
    }
}

const EXAMPLES: &[Example] = &[
    Example::new("equal", r#"{"standing":{"what":"second-reading","state":"equal"}}"#, "pass"),
    Example::new("different", r#"{"standing":{"what":"second-reading","state":"differs"}}"#, "inconclusive second-reading-differs"),
    Example::new("one reading", "", "not-tested one-run-only"),
];
