//! `--baseline`: which failures another run had too.

use std::collections::{BTreeSet, HashMap};

use analyzers::board::Finding;
use policies::Severity;
use serde::Deserialize;

/// The fails of another report.json: findings by fingerprint, requirements by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    known: HashMap<String, Vec<Severity>>,
    pub(super) requirements: BTreeSet<String>,
}

#[derive(Deserialize)]
struct BaselineFile {
    schema: String,
    findings: Vec<BaselineFinding>,
    #[serde(default)]
    requirements: Vec<BaselineRequirement>,
}

#[derive(Deserialize)]
struct BaselineRequirement {
    id: String,
    verdict: String,
}

#[derive(Deserialize)]
struct BaselineFinding {
    fingerprint: String,
    verdict: String,
    severity: Severity,
    #[serde(default)]
    waived: Option<String>,
}

impl Baseline {
    /// Reads a report.json. A waived fail is not part of the baseline: when its waiver ends it counts.
    pub fn parse(text: &str) -> Result<Baseline, String> {
        let file: BaselineFile = serde_json::from_str(text).map_err(|e| format!("not a report.json: {e}"))?;
        if file.schema != crate::json::SCHEMA {
            return Err(format!("its schema is '{}', not '{}'", file.schema.escape_debug(), crate::json::SCHEMA));
        }
        let mut known: HashMap<String, Vec<Severity>> = HashMap::new();
        for finding in file.findings {
            if finding.verdict == "fail" && finding.waived.is_none() {
                known.entry(finding.fingerprint).or_default().push(finding.severity);
            }
        }
        let requirements = file.requirements.into_iter().filter(|r| r.verdict == "fail").map(|r| r.id).collect();
        Ok(Baseline { known, requirements })
    }

    /// Takes one known fail of that fingerprint that was at least as severe. Each excuses one: more fails of a kind than before are new.
    /// Of a peer without a name the fingerprint does not tell which it is: there everything is new.
    pub(super) fn excuses(&mut self, finding: &Finding) -> bool {
        if finding.is_of_nameless_peer() {
            return false;
        }
        let Some(severities) = self.known.get_mut(&finding.fingerprint) else { return false };
        let fit = severities.iter().enumerate().filter(|(_, s)| **s >= finding.severity).min_by_key(|(_, s)| **s).map(|(i, _)| i);
        fit.map(|i| severities.swap_remove(i)).is_some()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_baseline_knows_failed_requirements() {
        let text = serde_json::json!({ "schema": crate::json::SCHEMA, "findings": [], "requirements": [
            { "id": "std/bad", "verdict": "fail" }, { "id": "std/waived", "verdict": "fail-waived" }, { "id": "std/good", "verdict": "pass" },
        ] });
        assert_eq!(Baseline::parse(&text.to_string()).unwrap().requirements, BTreeSet::from(["std/bad".to_owned()]));
    }

    #[test]
    fn a_baseline_is_a_report() {
        assert!(Baseline::parse("{}").is_err());
        assert!(Baseline::parse(r#"{"schema":"other/1","findings":[]}"#).is_err());
        assert!(Baseline::parse("not json").is_err());
    }
}
