//! Profiles: which requirements, checks and attacks a kind of evaluation needs, with its thresholds (`policies/profiles/*.toml`).

use schemars::JsonSchema;
use serde::Deserialize;

use crate::document::{Document, place};
use crate::policy::thresholds::{Changes, RepeatChanges};
use crate::policy::{Repeats, Thresholds};
use crate::requirement::Requirement;
use crate::{IdPattern, Problem};

/// A kind of evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub name: String,
    pub title: String,
    /// What it is for and what it leaves out; printed by `policy check`.
    pub about: String,
    pub requirements: Vec<IdPattern>,
    /// Passive checks that are needed wherever their precondition is met.
    pub checks: Vec<IdPattern>,
    /// Attacks that are needed on every peer that was exercised.
    pub attacks: Vec<IdPattern>,
    pub thresholds: Thresholds,
    pub n: Repeats,
}

impl Profile {
    pub fn parse(file: &str, text: &str) -> Result<Profile, Vec<Problem>> {
        let (mut doc, it) = Document::read::<File>(file, text)?;
        let thresholds = it.thresholds.over(&Thresholds::default());
        thresholds.problems(&mut |key, what| doc.problem(place!["thresholds", key], what, ""));
        let n = it.n.over(Repeats::default());
        n.problems(&mut |key, what| doc.problem(place!["n", key], what, ""));
        if it.requirements.is_empty() && it.checks.is_empty() && it.attacks.is_empty() {
            doc.problem(place![], "the profile needs nothing", "requirements, checks or attacks");
        }
        let Some(name) = file.rsplit('/').next().and_then(|n| n.strip_suffix(".toml")) else {
            doc.problem(place![], "the file's name is not NAME.toml", "a profile is named by its file");
            return Err(doc.end(()).err().unwrap_or_default());
        };
        let name = name.to_owned();
        doc.end(Profile {
            name,
            title: it.title,
            about: it.about,
            requirements: it.requirements,
            checks: it.checks,
            attacks: it.attacks,
            thresholds,
            n,
        })
    }

    /// Whether a requirement counts in this profile.
    pub fn has_requirement(&self, id: &str) -> bool {
        self.requirements.iter().any(|p| p.matches(id))
    }

    /// Whether a check or attack is needed: named here, or needed by a requirement that counts.
    pub fn needs_check(&self, id: &str, catalogue: &[Requirement]) -> bool {
        self.checks.iter().chain(&self.attacks).any(|p| p.matches(id))
            || catalogue.iter().any(|r| self.has_requirement(&r.id) && r.needs.checks().contains(&id))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Profile", title = "Overhear profile")]
pub(crate) struct File {
    #[expect(dead_code, reason = "its reading is its check")]
    schema: Schema,
    title: String,
    about: String,
    #[serde(default)]
    requirements: Vec<IdPattern>,
    #[serde(default)]
    checks: Vec<IdPattern>,
    #[serde(default)]
    attacks: Vec<IdPattern>,
    #[serde(default)]
    thresholds: Changes,
    #[serde(default)]
    n: RepeatChanges,
}

#[derive(Debug, Deserialize, JsonSchema)]
enum Schema {
    #[serde(rename = "overhear/profile/1")]
    V1,
}

/// The built-in profiles: file name and text. A test holds this against the folder.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("default.toml", include_str!("../profiles/default.toml")),
    ("en18031.toml", include_str!("../profiles/en18031.toml")),
    ("en303645.toml", include_str!("../profiles/en303645.toml")),
    ("niap-tls.toml", include_str!("../profiles/niap-tls.toml")),
    ("ts103732.toml", include_str!("../profiles/ts103732.toml")),
];

/// Every built-in profile, by name.
#[expect(clippy::expect_used, reason = "embedded data, read by a test")]
pub fn all() -> Vec<Profile> {
    FILES.iter().map(|(file, text)| Profile::parse(file, text).expect("a shipped profile reads")).collect()
}

pub fn built_in(name: &str) -> Option<Profile> {
    all().into_iter().find(|p| p.name == name)
}

/// The profile of `analyze` and `lab` without a policy file.
#[expect(clippy::expect_used, reason = "embedded data, read by a test")]
pub fn default() -> Profile {
    built_in("default").expect("the default profile is built in")
}

/// The files' names and texts: what the digest of the catalogue covers.
pub fn sources() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern that matches nothing is a slip of the pen, and would leave something needed out.
    #[test]
    fn patterns_mean_something() {
        let (catalogue, attacks) = (crate::requirement::catalogue(), crate::attack::catalogue());
        let by_check = crate::requirement::by_check(&catalogue);
        for p in all() {
            for r in &p.requirements {
                assert!(catalogue.iter().any(|c| r.matches(&c.id)), "{}: {r}", p.name);
            }
            for a in &p.attacks {
                assert!(attacks.iter().any(|b| a.matches(&b.id)), "{}: {a}", p.name);
            }
            for c in &p.checks {
                assert!(by_check.keys().any(|id| c.matches(id)), "{}: {c}", p.name);
            }
        }
    }
}
