//! Little enough is missing from the capture
//!
//! # What it does
//! Adds up sequence gaps, packets cut short or dropped, frames that could not be followed, damage in the file, and steps of the clock.
//!
//! # Why it matters
//! What is not in the capture cannot be judged; a little loss can hold the one packet that matters.
//!
//! # How it is judged
//! *Pass*: missing bytes are at most the policy's `loss_percent` of all, and so are frames of unread link types or with broken headers
//! of all frames; nothing was reported dropped, the file is not damaged before its end and the clock made no step. More leaves it
//! undecided, and so does a capture without any flow. It never fails.
//!
//! # Evidence
//! The `ledger` line, written at the end of the run from all flows.
//!
//! # References
//! ISO/IEC 15408-3 ATE_IND.2.

use policies::Severity;

use crate::case::{Case, Concern};
use crate::checks::{Context, Example, Mode, Rule, settle};
use crate::observation::{Input, Ledger, Odd, OddKind};
use crate::outcome::{Outcome, Reason};
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Run, severity: Severity::Info, mode: Mode::Passive, needs: &[], judge, examples: EXAMPLES };

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let seen = case.seen::<Ledger>();
    let Some((ledger, _)) = seen.iter().last() else { return Outcome::NotTested(Reason::NotExercised) };
    let Some(proof) = seen.proof(|l| l == ledger) else { return Outcome::NotTested(Reason::NotExercised) };
    let all = ledger.analysed + ledger.unparsed + ledger.encrypted + ledger.missed;
    let lost = if all == 0 { 0.0 } else { ledger.missed as f64 * 100.0 / all as f64 };
    let inputs = case.seen::<Input>();
    let dropped: u64 = inputs.iter().filter_map(|(i, _)| i.dropped).sum();
    let unfollowed: u64 = inputs.iter().map(|(i, _)| i.unfollowed).sum();
    let damaged = inputs.iter().filter(|(i, _)| i.is_damaged()).count();
    let step = case.any::<Odd>(|kind| *kind == OddKind::ClockStep);
    let limit = cx.policy.thresholds.loss_percent;
    let expected = format!("at most {limit} % of bytes missing, nothing dropped, no clock step");
    let observed = format!("{lost:.2} % of bytes missing, {dropped} packets dropped, {unfollowed} not followed{}{}", if damaged > 0 { ", the file is damaged" } else { "" }, if step.is_some() { ", clock steps" } else { "" });
    if lost > limit || dropped > 0 || step.is_some() || inputs.iter().any(|(i, _)| i.loses_more_than(limit)) {
        return Outcome::inconclusive(Reason::LossOverLimit, proof, expected, observed);
    }
    // A capture of nothing answers nothing; a recorder that broke must not look well.
    if ledger.flows == 0 && !inputs.is_empty() {
        return Outcome::inconclusive(Reason::NotExercised, proof, expected, "the capture holds no flow of anybody");
    }
    if all == 0 {
        return Outcome::NotTested(Reason::NotExercised);
    }
    settle(cx, &seen, case, Concern::Trials, proof, &expected, observed)
}

const EXAMPLES: &[Example] = &[
    Example::new("nothing missing", r#"{"ledger":{"flows":3,"analysed":1000,"encrypted":0,"unparsed":0,"missed":0,"unattributed":0,"by_app":[],"folded":[]}}"#, "pass"),
    Example::new("a tenth missing", r#"{"ledger":{"flows":3,"analysed":900,"encrypted":0,"unparsed":0,"missed":100,"unattributed":0,"by_app":[],"folded":[]}}"#, "inconclusive loss-over-limit"),
    Example::new(
        "a clock step",
        r#"{"ledger":{"flows":3,"analysed":1000,"encrypted":0,"unparsed":0,"missed":0,"unattributed":0,"by_app":[],"folded":[]}}
           {"odd":{"what":"clock-step","detail":"3 h"}}"#,
        "inconclusive loss-over-limit",
    ),
    Example::new("no bytes", "", "not-tested not-exercised"),
    Example::new(
        "a capture without a flow",
        r#"{"ledger":{"flows":0,"analysed":0,"encrypted":0,"unparsed":0,"missed":0,"unattributed":0,"by_app":[],"folded":[]}}
           {"input":{"path":"a.pcap","bytes":24,"packets":0,"link_types":[],"truncated":false}}"#,
        "inconclusive not-exercised",
    ),
    Example::new(
        "a damaged file",
        r#"{"ledger":{"flows":3,"analysed":1000,"encrypted":0,"unparsed":0,"missed":0,"unattributed":0,"by_app":[],"folded":[]}}
           {"input":{"path":"a.pcap","bytes":1000,"packets":1000,"link_types":[],"truncated":false,"damage":[{"offset":500,"what":"no block"}]}}"#,
        "inconclusive loss-over-limit",
    ),
    Example::new(
        "frames of a link type that is not read",
        r#"{"ledger":{"flows":3,"analysed":1000,"encrypted":0,"unparsed":0,"missed":0,"unattributed":0,"by_app":[],"folded":[]}}
           {"input":{"path":"a.pcap","bytes":1000,"packets":1000,"link_types":[],"truncated":false,"unfollowed":20}}"#,
        "inconclusive loss-over-limit",
    ),
    Example::new(
        "nothing but frames of a link type that is not read",
        r#"{"ledger":{"flows":0,"analysed":0,"encrypted":0,"unparsed":0,"missed":0,"unattributed":0,"by_app":[],"folded":[]}}
           {"input":{"path":"a.pcap","bytes":1000,"packets":20,"link_types":[],"truncated":false,"unfollowed":20}}"#,
        "inconclusive loss-over-limit",
    ),
];
