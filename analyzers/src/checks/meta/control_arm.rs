//! Controls reached application data beside every attack
//!
//! # What it does
//! Looks whether attempts that were passed through, or served the flawless chain, worked for this client and peer.
//!
//! # Why it matters
//! A refused defect proves nothing if the device would have refused anything just then.
//!
//! # How it is judged
//! *Pass*: at least one control reached application data. Undecided: attempts were made and no control did; the paired attacks are
//! then undecided too. Not applicable to a capture.
//!
//! # Evidence
//! The `trial` lines of arm `pass` and `control`.
//!
//! # References
//! ISO/IEC 15408-3 ATE_IND.2.

use policies::Severity;

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Mode, Rule, settle};
use crate::observation::{Arm, Trial, TrialResult};
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Client, severity: Severity::Info, mode: Mode::Active, needs: &[], judge, examples: EXAMPLES };

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let trials = case.seen::<Trial>();
    let Some(all) = trials.proof(|_| true) else { return Outcome::NotApplicable(Reason::NotInThisRun) };
    let good = |t: &Trial| t.arm != Arm::Attack && t.result == TrialResult::Accepted;
    let expected = "controls that reach application data";
    match trials.proof(good) {
        Some(proof) => settle(cx, &trials, case, Concern::Trials, proof, expected, format!("{} controls reached application data", trials.count(good))),
        None => Outcome::inconclusive(Reason::NoControl, all, expected, "no control reached application data"),
    }
}

const EXAMPLES: &[Example] = &[
    Example::new("a control that worked", r#"{"trial":{"n":1,"arm":"control","result":"accepted","grade":"E5","end":"fin","flows":[1]}}"#, "pass"),
    Example::new("none worked", r#"{"trial":{"n":1,"arm":"control","result":"rejected","grade":"E2","end":"fin","flows":[1]}}"#, "inconclusive no-control"),
    Example::new("a capture", "", "not-applicable not-in-this-run"),
];
