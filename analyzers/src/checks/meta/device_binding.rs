//! Every flow belongs to one device
//!
//! # What it does
//! Counts flows that could not be tied to a device by address, lease or by who opened them; and, live, frames that somebody else sent under
//! a link address of the machine that watches.
//!
//! # Why it matters
//! A flow of an unknown device says nothing about the one under test, and what it says is lost for it. Who takes the gateway's link address
//! may be the device under test.
//!
//! # How it is judged
//! *Pass*: every flow is tied to a device, some to one that was asked for, and nobody took the gateway's link address. Else it is undecided, and so is every pass about a
//! device as a whole; unbound flows are left out of verdicts and counted. It never fails.
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
    if ledger.flows == 0 {
        return Outcome::NotTested(Reason::NotExercised);
    }
    let expected = "every flow tied to one device";
    let mut observed = format!("{} of {} flows tied to no device", ledger.unattributed, ledger.flows);
    if !ledger.disguised.is_empty() {
        let who: Vec<&str> = ledger.disguised.iter().map(|t| t.name.as_str()).collect();
        observed = format!("{observed}; the gateway's link address taken by {}", who.join(", "));
    }
    if ledger.elsewhere >= ledger.flows {
        observed = format!("none of {} flows is of a device that was asked for", ledger.flows);
        return Outcome::inconclusive(Reason::NotAttributed, proof, expected, observed);
    }
    if ledger.unattributed > 0 || !ledger.disguised.is_empty() {
        return Outcome::inconclusive(Reason::NotAttributed, proof, expected, observed);
    }
    settle(cx, &seen, case, Concern::Trials, proof, expected, observed)
}

const EXAMPLES: &[Example] = &[
    Example::new("all bound", r#"{"ledger":{"flows":3,"analysed":1000,"encrypted":0,"unparsed":0,"missed":0,"unattributed":0,"by_app":[],"folded":[]}}"#, "pass"),
    Example::new("one unbound", r#"{"ledger":{"flows":3,"analysed":1000,"encrypted":0,"unparsed":0,"missed":0,"unattributed":1,"by_app":[],"folded":[]}}"#, "inconclusive not-attributed"),
    Example::new(
        "somebody sends under the gateway's link address",
        r#"{"ledger":{"flows":3,"analysed":1000,"encrypted":0,"unparsed":0,"missed":0,"unattributed":0,"disguised":[{"name":"10.0.0.9","count":2}],"by_app":[],"folded":[]}}"#,
        "inconclusive not-attributed",
    ),
    Example::new("the device that was named is not there", r#"{"ledger":{"flows":3,"analysed":1000,"encrypted":0,"unparsed":0,"missed":0,"unattributed":0,"elsewhere":3,"by_app":[],"folded":[]}}"#, "inconclusive not-attributed"),
    Example::new("no flows", "", "not-tested not-exercised"),
];
