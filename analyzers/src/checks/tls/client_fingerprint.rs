//! Each client stack was put to the test itself
//!
//! # What it does
//! Tells client stacks apart by their ClientHello (without name, GREASE, padding, tickets and keys) and asks whether this one was
//! under attack at all.
//!
//! # Why it matters
//! A phone has many TLS stacks: system, browser, WebView, each app, the updater. One good stack must not vouch for a bad one.
//!
//! # How it is judged
//! *Pass*: attacks were tried on this stack with this peer. Otherwise it is listed as not tested; it never fails.
//!
//! # Evidence
//! The `hello` and `trial` lines.
//!
//! # References
//! JA4 (BSD 3-Clause part), RFC 8701 (GREASE).

use policies::Severity;

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Mode, Rule, settle};
use crate::observation::{Arm, Hello, Run, RunKind, Trial};
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Client, severity: Severity::Info, mode: Mode::Passive, needs: &[], judge, examples: EXAMPLES };

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    if case.seen::<Hello>().is_empty() && case.seen::<Trial>().is_empty() {
        return Outcome::NotTested(Reason::NotExercised);
    }
    if cx.run.any::<Run>(|r| r.kind == RunKind::Capture).is_some() {
        return Outcome::NotTested(Reason::PassiveOnly);
    }
    let trials = case.seen::<Trial>();
    let Some(proof) = trials.proof(|t| t.arm == Arm::Attack) else { return Outcome::NotTested(Reason::NoAttacks) };
    let observed = format!("{} attempts under attack", trials.count(|t| t.arm == Arm::Attack));
    settle(cx, &trials, case, Concern::Trials, proof, "attacks were tried on this stack", observed)
}

const EXAMPLES: &[Example] = &[
    Example::new("an attacked stack", r#"{"trial":{"n":1,"arm":"attack","attack":"cert.expired","result":"rejected","grade":"E2","end":"fin","flows":[1]}}"#, "pass"),
    Example::new("only passed through", r#"{"trial":{"n":1,"arm":"pass","result":"accepted","grade":"E5","end":"fin","flows":[1]}}"#, "not-tested no-attacks"),
    Example::new(
        "a capture",
        r#"{"run":{"schema":"overhear/journal/1","tool":"overhear","version":"0","kind":"capture","policy_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","catalogue_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}
           {"hello":{"transport":"tcp","dir":"out","versions":[772],"suites":[4865],"ja3":"x","ja4":"a","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}"#,
        "not-tested passive-only",
    ),
];
