//! The exit code: 0 nothing failed and nothing needed was undecided, 1 a needed check failed, 2 something needed is undecided.

mod baseline;

use std::collections::{BTreeSet, HashMap};

use analyzers::board::{Demands, Finding, Needed, RequirementVerdict, Rolled, leaves_undecided};
use analyzers::observation::{Run, RunKind};
use analyzers::outcome::{Outcome, Reason, Verdict};
use analyzers::text::Text;
use policies::Severity;

pub use baseline::Baseline;

use crate::words;

/// Which findings move the exit code: those of the checks selected by the command ∩ what the policy needs.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    demands: &'a Demands,
    scope: Scope,
}

#[derive(Clone, Debug)]
enum Scope {
    /// `analyze`: passive checks, wherever their precondition is met.
    Passive,
    /// `lab`, `intercept`: these attacks, on the peers that were exercised.
    Attacks { selected: Vec<String>, named: Vec<String> },
}

impl<'a> Selection<'a> {
    /// What a run needs by its kind: a live run the attacks its first line lists; a capture, or a live run without any, its passive checks.
    pub fn of(demands: &'a Demands, run: Option<&Run>) -> Selection<'a> {
        match run {
            Some(run) if run.kind != RunKind::Capture && !run.attacks.is_empty() => {
                let words = |texts: &[Text]| texts.iter().map(|t| t.as_str().to_owned()).collect();
                Selection::attacks(demands, words(&run.attacks), words(&run.asked.named))
            }
            _ => Selection { demands, scope: Scope::Passive },
        }
    }

    /// `selected` are the attacks of the run; those in `named` were asked for one by one and are needed whatever the profile says.
    pub fn attacks(demands: &'a Demands, selected: Vec<String>, named: Vec<String>) -> Selection<'a> {
        Selection { demands, scope: Scope::Attacks { selected, named } }
    }

    fn needs(&self, check: &str, active: bool) -> bool {
        let policy = || self.demands.policy.profile.needs_check(check, &self.demands.requirements);
        let among = |list: &[String]| list.iter().any(|id| id == check);
        match &self.scope {
            Scope::Passive => !active && policy(),
            Scope::Attacks { selected, named } => active && (among(named) || (among(selected) && policy())),
        }
    }

    /// Whether a failure of this check refutes a requirement that the policy counts, or a claim: it counts then, though it is not needed.
    fn refutes(&self, check: &str, active: bool) -> bool {
        let asked = match &self.scope {
            Scope::Passive => !active,
            Scope::Attacks { selected, .. } => active && selected.iter().any(|id| id == check),
        };
        let profile = &self.demands.policy.profile;
        // These fail only against what the maker or the operator has claimed.
        let claimed = matches!(check, "pin.absent" | "pin.scope" | "cert.user-ca-trusted");
        asked
            && (claimed && active
                || self.demands.requirements.iter().any(|r| profile.has_requirement(&r.id) && r.supports.iter().any(|id| id == check)))
    }

    fn is_live(&self) -> bool {
        matches!(self.scope, Scope::Attacks { .. })
    }
}

/// The options `--require`, `--fail-on`, `--undecided`, `--baseline`.
#[derive(Clone, Debug, Default)]
pub struct Gates {
    /// Requirement or check ids that move the exit code besides what is needed.
    pub require: Vec<String>,
    /// Fails below it do not count.
    pub fail_on: Option<Severity>,
    pub undecided: Undecided,
    /// Only fails that are new or worse than in another report count.
    pub baseline: Option<Baseline>,
}

/// What something undecided does to the exit code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Undecided {
    /// It is not green: exit 2.
    #[default]
    Fail,
    /// It is printed and does not count.
    Warn,
}

impl Gates {
    /// Those of `require` that are neither a requirement, a check nor an attack: for an error before any work is done.
    pub fn unknown<'g>(&'g self, catalogue: &crate::catalogue::Catalogue) -> Vec<&'g str> {
        let known = |id: &str| catalogue.unit(id).is_some() || catalogue.requirement(id).is_some();
        self.require.iter().map(String::as_str).filter(|id| !known(id)).collect()
    }
}

/// What becomes of a failure at the gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gated {
    Counts,
    /// Less severe than what counts.
    Below,
    /// In the baseline too.
    Known,
}

/// What becomes of each failure that nobody answers for, by its place in `findings`.
fn gated(findings: &[&Finding], gates: &Gates) -> Vec<Option<Gated>> {
    let mut baseline = gates.baseline.clone();
    let mut at_the_gates = |finding: &Finding| {
        if gates.fail_on.is_some_and(|least| finding.severity < least) {
            Gated::Below
        } else if baseline.as_mut().is_some_and(|b| b.excuses(finding)) {
            Gated::Known
        } else {
            Gated::Counts
        }
    };
    findings.iter().map(|f| (f.outcome.is_fail() && f.waived.is_none()).then(|| at_the_gates(f))).collect()
}

/// Whether a requirement that failed counts: by a finding that does, or where it did not fail in the baseline.
fn requirement_counts(requirement: &Rolled, findings: &[&Finding], gated: &[Option<Gated>], gates: &Gates) -> bool {
    let below = || findings.iter().zip(gated).filter(|(f, _)| requirement.fails_by(f)).filter_map(|(_, gated)| *gated);
    let known = || gates.baseline.as_ref().is_some_and(|b| b.requirements.contains(&requirement.id));
    below().next().is_none() || below().any(|g| g == Gated::Counts) || below().any(|g| g == Gated::Known) && !known()
}

/// The exit code with what it rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    pub code: u8,
    /// Needed findings by what they came to, after the gates.
    pub needed: Needed,
    /// Fails that were seen and do not count: of checks that are not needed, below `--fail-on`, known from the baseline.
    pub uncounted: u64,
    /// Whose they are.
    pub uncounted_of: BTreeSet<String>,
    /// Checks and requirements whose fails count.
    pub failed: BTreeSet<String>,
    /// Fails that somebody answers for.
    pub waived: u64,
    /// Needed attacks that could not be tested because the device does not take the lab's flawless chain: neither green nor undecided.
    pub untested: u64,
    /// The same, for the gateway speaks nothing that the device offers.
    pub strange: u64,
    /// A live run in which no needed attack came to an answer.
    pub nothing_decided: bool,
    /// The journal breaks off before the end of the run.
    pub unfinished: bool,
    /// Ids of `--require` that failed or are undecided.
    pub required: Vec<(String, &'static str)>,
}

impl Exit {
    /// A run that breaks off is never green.
    pub fn of_unfinished(mut self, gates: &Gates) -> Exit {
        self.unfinished = true;
        if self.code == 0 && gates.undecided == Undecided::Fail {
            self.code = 2;
        }
        self
    }

    /// What the code means, in one sentence.
    pub fn sentence(&self) -> String {
        let s = words::count;
        match self.code {
            1 => {
                let checks = s(self.failed.len() as u64, "needed check", "needed checks");
                let of = if self.needed.fail > self.failed.len() as u64 {
                    format!(", for {} in all", s(self.needed.fail, "subject", "subjects"))
                } else {
                    String::new()
                };
                format!("{checks} failed{of}")
            }
            _ if self.nothing_decided => "no needed attack came to an answer".to_owned(),
            2 if self.unfinished && self.needed.undecided == 0 => "nothing needed failed, but the run breaks off before its end".to_owned(),
            2 => format!("nothing needed failed, but {} undecided", s(self.needed.undecided, "needed answer is", "needed answers are")),
            _ if self.needed.undecided > 0 => {
                format!(
                    "nothing needed failed; {} undecided (--undecided warn)",
                    s(self.needed.undecided, "needed answer is", "needed answers are")
                )
            }
            _ if self.needed.pass == 0 => "nothing needed failed, and nothing needed could be decided".to_owned(),
            _ => {
                let mut out = "nothing needed failed and nothing needed is undecided".to_owned();
                let attacks = |n| s(n, "selected attack was not tested", "selected attacks were not tested");
                if self.untested > 0 {
                    out = format!("{out}; {}, for the device does not take the lab's own chain", attacks(self.untested));
                }
                if self.strange > 0 {
                    out = format!("{out}; {}, for the gateway speaks no TLS that the device offers", attacks(self.strange));
                }
                out
            }
        }
    }
}

/// So many checks are named in a sentence.
const NAMED: usize = 4;

impl Exit {
    /// `tls.forward-secrecy, dns.cleartext and 3 more`: whose fails do not count.
    pub fn uncounted_checks(&self) -> String {
        let named: Vec<&str> = self.uncounted_of.iter().take(NAMED).map(String::as_str).collect();
        let more = self.uncounted_of.len().saturating_sub(NAMED);
        if more > 0 { format!("{} and {more} more", named.join(", ")) } else { named.join(", ") }
    }
}

/// The exit code of a command that judges.
pub fn exit_code(findings: &[Finding], rolled: &[Rolled], needed: &Selection<'_>, gates: &Gates) -> Exit {
    let mut exit = Exit::default();
    // Needed answers that are pass or fail, counted or not.
    let mut decided = 0;
    let findings = worst_first(findings);
    let gated = gated(&findings, gates);
    // One check has a finding for each of many subjects.
    let mut needs: HashMap<(&str, bool), bool, foldhash::fast::FixedState> = HashMap::default();
    let mut refuting: HashMap<(&str, bool), bool, foldhash::fast::FixedState> = HashMap::default();
    for (finding, gated) in findings.iter().zip(&gated) {
        let (check, active) = (&*finding.check, finding.active);
        let counts =
            *needs.entry((check, active)).or_insert_with(|| gates.require.iter().any(|id| id == check) || needed.needs(check, active));
        let mut refutes = || *refuting.entry((check, active)).or_insert_with(|| needed.refutes(check, active));
        if !(counts || finding.outcome.is_fail() && refutes()) {
            if finding.outcome.is_fail() && finding.waived.is_none() {
                exit.uncounted += 1;
                exit.uncounted_of.insert(check.to_owned());
            }
            exit.waived += u64::from(finding.waived.is_some());
            continue;
        }
        decided += u64::from(is_decided(finding));
        match &finding.outcome {
            Outcome::Judged(j) if j.verdict == Verdict::Fail => {
                if finding.waived.is_some() {
                    exit.waived += 1;
                } else if *gated != Some(Gated::Counts) {
                    exit.uncounted += 1;
                    exit.uncounted_of.insert(check.to_owned());
                } else {
                    exit.needed.fail += 1;
                    exit.failed.insert(check.to_owned());
                }
            }
            Outcome::Judged(j) if j.verdict == Verdict::Pass => exit.needed.pass += 1,
            outcome => {
                exit.untested += u64::from(*outcome == Outcome::NotTested(Reason::LabCaNotTrusted));
                exit.strange += u64::from(*outcome == Outcome::NotTested(Reason::NoCommonGround));
                exit.needed.undecided += u64::from(leaves_undecided(outcome, finding.active));
            }
        }
    }
    for id in &gates.require {
        if let Some(requirement) = rolled.iter().find(|r| r.id == *id) {
            match requirement.verdict {
                RequirementVerdict::Fail if !requirement_counts(requirement, &findings, &gated, gates) => {
                    decided += 1;
                    exit.uncounted += 1;
                    exit.uncounted_of.insert(id.clone());
                    continue;
                }
                RequirementVerdict::Fail => {
                    exit.needed.fail += 1;
                    exit.failed.insert(id.clone());
                }
                RequirementVerdict::Inconclusive | RequirementVerdict::NotTested => exit.needed.undecided += 1,
                RequirementVerdict::Pass | RequirementVerdict::NoIndication => {
                    exit.needed.pass += 1;
                    continue;
                }
                RequirementVerdict::NotApplicable | RequirementVerdict::FailWaived => continue,
            }
            exit.required.push((id.clone(), requirement.verdict.word()));
        } else if !findings.iter().any(|f| *f.check == **id && is_decided(f)) {
            // A check that was asked for by name and answered nothing at all is undecided, whatever its precondition was.
            let applies = !findings.iter().any(|f| *f.check == **id) || findings.iter().any(|f| *f.check == **id && !is_not_applicable(f));
            let counted = findings.iter().any(|f| *f.check == **id && leaves_undecided(&f.outcome, f.active));
            if applies {
                exit.needed.undecided += u64::from(!counted);
                exit.required.push((id.clone(), "undecided"));
            }
        }
    }
    // A live run in which no selected attack came to an answer has shown nothing: never green.
    if needed.is_live() && decided == 0 && exit.needed == Needed::default() {
        exit.needed.undecided = 1;
        exit.nothing_decided = true;
    }
    exit.code = match (exit.needed.fail, exit.needed.undecided, gates.undecided) {
        (1.., _, _) => 1,
        (0, 1.., Undecided::Fail) => 2,
        _ if exit.nothing_decided => 2,
        _ => 0,
    };
    exit
}

/// So that the baseline's severest known fail excuses the severest of now.
fn worst_first(findings: &[Finding]) -> Vec<&Finding> {
    let (mut out, rest): (Vec<&Finding>, Vec<&Finding>) = findings.iter().partition(|f| f.outcome.is_fail());
    out.sort_by_key(|f| std::cmp::Reverse(f.severity));
    out.extend(rest);
    out
}

fn is_decided(finding: &Finding) -> bool {
    matches!(finding.outcome.verdict(), Some(Verdict::Pass | Verdict::Fail))
}

fn is_not_applicable(finding: &Finding) -> bool {
    matches!(finding.outcome, Outcome::NotApplicable(_))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::fixture;

    /// Rows: `check verdict` per finding (`tls.p` is a needed passive check, `cert.a` a needed attack, `x.p`, `x.a` are not needed;
    /// `!` after the verdict waives it, `@critical` sets its severity).
    #[track_caller]
    fn check(live: bool, rows: &str, gates: &Gates, expect: u8) {
        let demands = fixture::demands();
        let findings = fixture::findings(rows);
        let selection = if live {
            Selection::attacks(&demands, vec!["cert.a".into(), "x.a".into()], Vec::new())
        } else {
            Selection { demands: &demands, scope: Scope::Passive }
        };
        let rolled = vec![
            Rolled { index: 0, id: "std/bad".into(), verdict: RequirementVerdict::Fail, checks: vec![] },
            Rolled { index: 1, id: "std/open".into(), verdict: RequirementVerdict::NotTested, checks: vec![] },
            Rolled { index: 2, id: "std/good".into(), verdict: RequirementVerdict::NoIndication, checks: vec![] },
            Rolled { index: 3, id: "std/waived".into(), verdict: RequirementVerdict::FailWaived, checks: vec![] },
        ];
        let exit = exit_code(&findings, &rolled, &selection, gates);
        assert_eq!(exit.code, expect, "{rows}: {exit:?}");
    }

    fn gates() -> Gates {
        Gates::default()
    }

    #[test]
    fn a_capture_needs_its_passive_checks() {
        for (rows, expect) in [
            ("", 0),
            ("tls.p pass", 0),
            ("tls.p fail", 1),
            ("tls.p fail!", 0),
            ("tls.p inconclusive", 2),
            ("tls.p inconclusive, tls.p fail", 1),
            ("tls.p not-exercised", 0),
            ("tls.p no-persona", 0),
            ("tls.p not-applicable", 0),
            ("tls.p error", 2),
            ("x.p fail", 0),
            ("x.p inconclusive", 0),
            ("cert.a fail", 0),
            ("cert.a no-attacks", 0),
        ] {
            check(false, rows, &gates(), expect);
        }
    }

    /// A check that only supports a requirement of the profile is not needed; its failure refutes the requirement and counts.
    #[test]
    fn what_refutes_a_counted_requirement_counts() {
        let mut demands = fixture::demands();
        demands.policy.profile.requirements = vec!["en1/*".parse().unwrap()];
        let requirement = demands.requirements.iter_mut().find(|r| r.id == "en1/5-2").unwrap();
        requirement.supports = vec!["x.p".into(), "x.a".into()];
        let passive = Selection { demands: &demands, scope: Scope::Passive };
        let live = Selection::attacks(&demands, vec!["cert.a".into(), "x.a".into()], Vec::new());
        for (selection, rows, expect) in [
            (&passive, "tls.p pass, x.p fail", 1),
            (&passive, "tls.p pass, x.p fail!", 0),
            (&passive, "tls.p pass, x.p inconclusive", 0),
            (&passive, "tls.p pass, x.a fail", 0),
            (&live, "cert.a pass, x.a fail", 1),
            (&live, "cert.a pass, x.p fail", 0),
        ] {
            assert_eq!(exit_code(&fixture::findings(rows), &[], selection, &gates()).code, expect, "{rows}");
        }
    }

    #[test]
    fn a_live_run_needs_its_selected_attacks() {
        for (rows, expect) in [
            ("cert.a pass", 0),
            ("cert.a fail", 1),
            ("cert.a inconclusive", 2),
            ("cert.a pass, cert.a not-exercised", 2),
            ("cert.a pass, cert.a lab-ca-not-trusted", 0),
            ("cert.a pass, tls.p fail", 0),
            ("cert.a pass, x.a fail", 0),
            ("cert.a pass, tls.p inconclusive", 0),
            // Nothing was decided at all: not green.
            ("", 2),
            ("cert.a lab-ca-not-trusted", 2),
            ("cert.a not-exercised", 2),
            ("cert.a lab-ca-not-trusted, tls.p fail, tls.p fail!", 2),
            // A waived failure is an answer.
            ("cert.a fail!", 0),
        ] {
            check(true, rows, &gates(), expect);
        }
    }

    /// A pin is asked for by whoever claims it, not by the profile.
    #[test]
    fn a_claim_that_does_not_hold_counts() {
        let demands = fixture::demands();
        let selection = |selected: &str| Selection::attacks(&demands, vec!["cert.a".into(), selected.into()], Vec::new());
        for (selected, rows, expect) in [("pin.absent", "cert.a pass, pin.absent fail", 1), ("x.a", "cert.a pass, x.a fail", 0)] {
            let findings = fixture::findings(rows);
            assert_eq!(exit_code(&findings, &[], &selection(selected), &gates()).code, expect, "{rows}");
        }
    }

    #[test]
    fn what_a_green_run_did_not_test_is_said() {
        let demands = fixture::demands();
        let selection = Selection::attacks(&demands, vec!["cert.a".into()], Vec::new());
        for (rows, says) in [
            (
                "cert.a pass, cert.a lab-ca-not-trusted",
                "is undecided; 1 selected attack was not tested, for the device does not take the lab's own chain",
            ),
            ("cert.a pass", "nothing needed is undecided"),
        ] {
            let exit = exit_code(&fixture::findings(rows), &[], &selection, &gates());
            assert!(exit.code == 0 && exit.sentence().ends_with(says), "{rows}: {}", exit.sentence());
        }
    }

    #[test]
    fn what_was_named_is_needed() {
        let demands = fixture::demands();
        let exit = |named: Vec<String>| {
            let selection = Selection::attacks(&demands, vec!["x.a".into()], named);
            exit_code(&fixture::findings("x.a fail"), &[], &selection, &gates()).code
        };
        // Not needed and not counted; but a live run without any needed answer is not green either.
        assert_eq!((exit(vec![]), exit(vec!["x.a".into()])), (2, 1));
    }

    #[test]
    fn require_moves_the_exit_code() {
        let with = |ids: &[&str]| Gates { require: ids.iter().map(|s| (*s).to_owned()).collect(), ..gates() };
        for (rows, ids, expect) in [
            ("tls.p pass", &["std/bad"][..], 1),
            ("tls.p pass", &["std/open"], 2),
            ("tls.p pass", &["std/good", "std/waived"], 0),
            ("tls.p pass, x.p fail", &["x.p"], 1),
            ("tls.p pass, x.p inconclusive", &["x.p"], 2),
            ("tls.p pass, x.p not-exercised", &["x.p"], 2),
            ("tls.p pass, x.p not-applicable", &["x.p"], 0),
            ("tls.p pass, x.p pass, x.p not-exercised", &["x.p"], 0),
            ("tls.p pass", &["x.p"], 2),
        ] {
            check(false, rows, &with(ids), expect);
        }
    }

    #[test]
    fn fail_on_leaves_out_what_is_below() {
        let high = Gates { fail_on: Some(Severity::High), ..gates() };
        check(false, "tls.p fail@medium", &high, 0);
        check(false, "tls.p fail@high", &high, 1);
        check(false, "tls.p fail@critical", &high, 1);
        // Undecided is not made green by it.
        check(false, "tls.p inconclusive", &high, 2);
    }

    #[test]
    fn undecided_can_warn() {
        let warn = Gates { undecided: Undecided::Warn, ..gates() };
        check(false, "tls.p inconclusive", &warn, 0);
        check(false, "tls.p inconclusive, tls.p fail", &warn, 1);
        check(true, "", &warn, 2);
    }

    fn baseline(rows: &str) -> Gates {
        let findings: Vec<serde_json::Value> = fixture::findings(rows)
            .iter()
            .map(|f| {
                serde_json::json!({ "fingerprint": f.fingerprint, "verdict": f.outcome.word(), "severity": f.severity, "waived": f.waived })
            })
            .collect();
        let text = serde_json::json!({ "schema": crate::json::SCHEMA, "findings": findings }).to_string();
        Gates { baseline: Some(Baseline::parse(&text).unwrap()), ..gates() }
    }

    #[test]
    fn a_baseline_excuses_what_was_there_and_no_worse() {
        for (before, now, expect) in [
            ("tls.p fail@high", "tls.p fail@high", 0),
            ("tls.p fail@high", "tls.p fail@medium", 0),
            ("tls.p fail@medium", "tls.p fail@high", 1),
            ("tls.p fail@high", "tls.p fail@high, tls.p fail@high", 1),
            ("tls.p fail@high, tls.p fail@low", "tls.p fail@low, tls.p fail@high", 0),
            ("tls.p fail!", "tls.p fail", 1),
            ("tls.p inconclusive", "tls.p fail", 1),
            ("tls.p pass", "tls.p inconclusive", 2),
            ("", "tls.p fail", 1),
        ] {
            check(false, now, &baseline(before), expect);
        }
    }

    /// What is known by its address alone may be another server than in the baseline, under the same fingerprint.
    #[test]
    fn a_baseline_excuses_nothing_at_a_peer_without_a_name() {
        let demands = fixture::demands();
        let selection = Selection { demands: &demands, scope: Scope::Passive };
        for (name, expect) in [(Some("shop.test"), 0), (None, 1)] {
            let mut findings = fixture::findings("tls.p fail");
            let mut subject = fixture::subject("shop.test", 443, true);
            subject.peer.as_mut().unwrap().name = name.map(Text::ours);
            findings[0].subject = std::sync::Arc::new(subject);
            assert_eq!(exit_code(&findings, &[], &selection, &baseline("tls.p fail")).code, expect, "{name:?}");
        }
    }

    /// A requirement that was asked for is gated as the checks that fail it.
    #[test]
    fn a_requirement_counts_by_what_fails_it() {
        let demands = fixture::demands();
        let passive = Selection { demands: &demands, scope: Scope::Passive };
        let live = Selection::attacks(&demands, vec!["cert.a".into()], Vec::new());
        let rolled =
            |id: &str, verdict| Rolled { index: 0, id: id.into(), verdict, checks: vec![("x.p".into(), "fail"), ("x.q".into(), "fail")] };
        let with = |known: Option<&str>, failed: bool, least: Option<Severity>| {
            let mut gates = known.map_or_else(gates, baseline);
            if let Some(baseline) = gates.baseline.as_mut().filter(|_| failed) {
                baseline.requirements.insert("std/bad".into());
            }
            Gates { require: vec!["std/bad".into()], fail_on: least, ..gates }
        };
        for (now, gates, expect) in [
            ("x.p fail", with(None, false, None), 1),
            ("x.p fail", with(Some("x.p fail"), true, None), 0),
            // Another finding than before, more of them, or a worse one.
            ("x.p fail, x.q fail", with(Some("x.p fail"), true, None), 1),
            ("x.p fail, x.p fail", with(Some("x.p fail"), true, None), 1),
            ("x.p fail@critical", with(Some("x.p fail"), true, None), 1),
            ("x.p fail, y.p fail", with(Some("x.p fail"), true, None), 0),
            // The same finding did not fail the requirement then.
            ("x.p fail", with(Some("x.p fail"), false, None), 1),
            ("x.p fail@low", with(None, false, Some(Severity::High)), 0),
            ("x.p fail@low, x.q fail", with(None, false, Some(Severity::High)), 1),
            ("x.p fail@low, x.q fail", with(Some("x.q fail"), true, Some(Severity::High)), 0),
            // Nothing that was handed in fails it: it counts.
            ("y.p fail", with(Some("y.p fail"), true, None), 1),
        ] {
            let rolled = [rolled("std/bad", RequirementVerdict::Fail)];
            for selection in [&passive, &live] {
                let exit = exit_code(&fixture::findings(now), &rolled, selection, &gates);
                assert_eq!(exit.code, expect, "{now}: {exit:?}");
                assert_eq!(exit.uncounted_of.contains("std/bad"), expect == 0, "{now}: {exit:?}");
            }
        }
        // Of a device's own requirement what apps of its user do is no part.
        let mut findings = fixture::findings("x.p fail, x.q fail");
        findings[1].actor.class = analyzers::subject::ActorClass::UserApp;
        for (id, expect) in [("ts103732-1/FTP", 0), ("std/bad", 1)] {
            let mut gates = Gates { require: vec![id.into()], ..baseline("x.p fail") };
            gates.baseline.as_mut().unwrap().requirements.insert(id.into());
            assert_eq!(exit_code(&findings, &[rolled(id, RequirementVerdict::Fail)], &passive, &gates).code, expect, "{id}");
        }
    }
}
