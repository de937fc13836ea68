//! One clause of a standard in our own words: which checks decide it, which only support, and how far a test from the network can go.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::Problem;
use crate::document::{Document, place};

/// A requirement of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// `family/clause`, for example `en18031/SUM-2`; stable.
    pub id: String,
    pub standard: String,
    pub version: String,
    pub clause: String,
    /// In our own words, never those of the standard.
    pub title: String,
    pub observable: Observable,
    pub level: Level,
    pub verified: Verified,
    pub identifiers: Identifiers,
    pub note: String,
    /// What must be decided for the requirement to be decided.
    pub needs: Needs,
    /// Checks whose failure speaks against it, and whose absence does not matter.
    pub supports: Vec<String>,
    pub strength: Strength,
}

impl Requirement {
    /// Every check that speaks to it, each once, in the order of the file.
    pub fn checks(&self) -> Vec<&str> {
        let mut out: Vec<&str> = Vec::new();
        for id in self.needs.checks().into_iter().chain(self.supports.iter().map(String::as_str)) {
            if !out.contains(&id) {
                out.push(id);
            }
        }
        out
    }

    /// No test on the network speaks to it: shown as *not observable*, never as fulfilled.
    pub fn is_out_of_sight(&self) -> bool {
        self.needs.is_empty() && self.supports.is_empty()
    }

    /// The clause as it may be printed: with a warning where identifiers of the standard were never read.
    pub fn clause_shown(&self) -> String {
        match self.identifiers {
            Identifiers::Stated => self.clause.clone(),
            Identifiers::Unverified => format!("{} (identifiers unverified)", self.clause),
        }
    }
}

/// How a requirement can be seen from the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Observable {
    Active,
    Passive,
    Both,
    /// By the maker's or tester's word only; a test can at most contradict it.
    Declared,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Shall,
    Should,
    /// A test that a standard prescribes.
    Test,
    Law,
}

/// Whether the project has read the text it speaks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verified {
    Seen,
    /// Known by area only; the clause was not read.
    ClassLevel,
    Memory,
}

/// Whether the identifiers of a standard's own elements are known to be right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Identifiers {
    #[default]
    Stated,
    /// Never read: none is printed; a laboratory fills them in from its own copy.
    Unverified,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// When all it needs is decided, the requirement is.
    Decides,
    /// A failure refutes; without one there is *no indication of failure*, never a pass.
    RefutesOnly,
}

/// What must be decided: a check, all of several, alternatives, or tests of the same thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    Check(String),
    /// Every part must hold.
    AllOf(Vec<Needs>),
    /// The standard allows alternatives (a channel, a signature or a hash): one that holds is enough, whatever becomes of the others.
    AnyOf(Vec<Needs>),
    /// Tests of the same thing, told apart by what they require of the lab: one that was decided is enough, and any that fails refutes.
    SomeOf(Vec<Needs>),
}

impl Default for Needs {
    fn default() -> Needs {
        Needs::AllOf(Vec::new())
    }
}

impl Needs {
    /// Every check named, in order; one named in two branches comes twice.
    pub fn checks(&self) -> Vec<&str> {
        match self {
            Needs::Check(id) => vec![id],
            Needs::AllOf(parts) | Needs::AnyOf(parts) | Needs::SomeOf(parts) => parts.iter().flat_map(Needs::checks).collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.checks().is_empty()
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, word) = match self {
            Needs::Check(id) => return f.write_str(id),
            Needs::AllOf(parts) => (parts, " and "),
            Needs::AnyOf(parts) => (parts, " or "),
            Needs::SomeOf(parts) => (parts, " or else "),
        };
        for (i, part) in parts.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { word })?;
            match part {
                Needs::Check(id) => f.write_str(id)?,
                group => write!(f, "({group})")?,
            }
        }
        Ok(())
    }
}

/// A check's id, `{ all_of = […] }`, `{ any_of = […] }`, `{ some_of = […] }`, or a list, which is *all of*.
impl<'de> Deserialize<'de> for Needs {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Needs, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Needs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a check's id, a list, or { all_of, any_of or some_of = [...] }")
            }

            fn visit_str<E: serde::de::Error>(self, id: &str) -> Result<Needs, E> {
                Ok(Needs::Check(id.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Needs, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = seq.next_element()? {
                    parts.push(part);
                }
                Ok(Needs::AllOf(parts))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Needs, A::Error> {
                let Some(key) = map.next_key::<String>()? else { return Err(A::Error::custom("expected all_of, any_of or some_of")) };
                let out = match key.as_str() {
                    "all_of" => Needs::AllOf(map.next_value()?),
                    "any_of" => Needs::AnyOf(map.next_value()?),
                    "some_of" => Needs::SomeOf(map.next_value()?),
                    other => return Err(A::Error::unknown_field(other, &["all_of", "any_of", "some_of"])),
                };
                match map.next_key::<String>()? {
                    None => Ok(out),
                    Some(_) => Err(A::Error::custom("all_of, any_of and some_of do not stand side by side: put one inside the other")),
                }
            }
        }
        d.deserialize_any(Either)
    }
}

impl JsonSchema for Needs {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Needs".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let list = serde_json::json!({ "type": "array", "items": generator.subschema_for::<Needs>() });
        schemars::json_schema!({ "oneOf": [
            { "type": "string", "pattern": "^[a-z]+\\.[a-z0-9-]+$" },
            list,
            { "type": "object", "properties": { "all_of": list }, "required": ["all_of"], "additionalProperties": false },
            { "type": "object", "properties": { "any_of": list }, "required": ["any_of"], "additionalProperties": false },
            { "type": "object", "properties": { "some_of": list }, "required": ["some_of"], "additionalProperties": false },
        ] })
    }
}

/// A file of the catalogue: one family of standards.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Requirements", title = "Overhear requirements of one standard")]
pub(crate) struct File {
    #[expect(dead_code, reason = "its reading is its check")]
    schema: Schema,
    standard: String,
    version: String,
    #[serde(default)]
    identifiers: Identifiers,
    requirement: Vec<Row>,
}

#[derive(Debug, Deserialize, JsonSchema)]
enum Schema {
    #[serde(rename = "overhear/requirements/1")]
    V1,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    /// Where it differs from the head of the file.
    standard: Option<String>,
    version: Option<String>,
    clause: String,
    title: String,
    observable: Observable,
    level: Level,
    verified: Verified,
    #[serde(default)]
    note: String,
    #[serde(default)]
    needs: Needs,
    #[serde(default)]
    supports: Vec<String>,
    strength: Strength,
}

/// Reads one file of the catalogue.
pub fn parse(file: &str, text: &str) -> Result<Vec<Requirement>, Vec<Problem>> {
    let (mut doc, read) = Document::read::<File>(file, text)?;
    let File { standard, version, identifiers, requirement: rows, .. } = read;
    let mut out: Vec<Requirement> = Vec::with_capacity(rows.len());
    for (i, row) in rows.into_iter().enumerate() {
        let here = |key| [crate::document::Step::Key("requirement"), i.into(), crate::document::Step::Key(key)];
        if out.iter().any(|r| r.id == row.id) {
            doc.problem(&here("id"), format!("'{}' stands twice", row.id.escape_debug()), "");
        }
        if row.strength == Strength::Decides && row.verified != Verified::Seen {
            doc.problem(&here("strength"), "a requirement whose text was not read cannot be decided", "strength = \"refutes-only\"");
        }
        if row.strength == Strength::Decides && row.needs.is_empty() {
            doc.problem(&here("strength"), "nothing is needed, so nothing decides", "strength = \"refutes-only\", or needs");
        }
        for id in row.needs.checks().into_iter().chain(row.supports.iter().map(String::as_str)) {
            if !is_check_id(id) {
                doc.problem(&here("id"), format!("'{}' is not the id of a check", id.escape_debug()), "family.name");
            }
        }
        for id in &row.supports {
            if row.needs.checks().contains(&id.as_str()) {
                doc.problem(&here("supports"), format!("'{id}' is needed already"), "needed or supporting, not both");
            }
        }
        out.push(Requirement {
            id: row.id,
            standard: row.standard.unwrap_or_else(|| standard.clone()),
            version: row.version.unwrap_or_else(|| version.clone()),
            clause: row.clause,
            title: row.title,
            observable: row.observable,
            level: row.level,
            verified: row.verified,
            identifiers,
            note: row.note,
            needs: row.needs,
            supports: row.supports,
            strength: row.strength,
        });
    }
    if out.is_empty() {
        doc.problem(place![], "the file has no requirement", "");
    }
    doc.end(out)
}

/// `family.name`, both of small letters, digits and hyphens.
pub(crate) fn is_check_id(id: &str) -> bool {
    let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    id.split_once('.').is_some_and(|(family, name)| word(family) && word(name))
}

/// The files of the catalogue, by name. A test holds this against the folder.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("cc.toml", include_str!("../requirements/cc.toml")),
    ("cra.toml", include_str!("../requirements/cra.toml")),
    ("en18031.toml", include_str!("../requirements/en18031.toml")),
    ("en303645.toml", include_str!("../requirements/en303645.toml")),
    ("en304626.toml", include_str!("../requirements/en304626.toml")),
    ("ioxt.toml", include_str!("../requirements/ioxt.toml")),
    ("masa.toml", include_str!("../requirements/masa.toml")),
    ("mastg.toml", include_str!("../requirements/mastg.toml")),
    ("masvs.toml", include_str!("../requirements/masvs.toml")),
    ("mdscert.toml", include_str!("../requirements/mdscert.toml")),
    ("niap-app.toml", include_str!("../requirements/niap-app.toml")),
    ("niap-mdf.toml", include_str!("../requirements/niap-mdf.toml")),
    ("niap-tls.toml", include_str!("../requirements/niap-tls.toml")),
    ("rfc.toml", include_str!("../requirements/rfc.toml")),
    ("ts103701.toml", include_str!("../requirements/ts103701.toml")),
    ("ts103732.toml", include_str!("../requirements/ts103732.toml")),
];

/// The whole catalogue, ordered by file and by place in it.
#[expect(clippy::expect_used, reason = "embedded data, read by a test")]
pub fn catalogue() -> Vec<Requirement> {
    FILES.iter().flat_map(|(file, text)| parse(file, text).expect("a shipped requirement reads")).collect()
}

/// The files' names and texts: what the digest of the catalogue covers.
pub fn sources() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().copied()
}

/// The other direction: each check with the ids of the requirements it speaks to, in the catalogue's order.
pub fn by_check(catalogue: &[Requirement]) -> BTreeMap<&str, Vec<&str>> {
    let mut out: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for requirement in catalogue {
        for check in requirement.checks() {
            out.entry(check).or_default().push(&requirement.id);
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[track_caller]
    fn shape(needs: &str, expect: &str) {
        #[derive(Deserialize)]
        struct Holder {
            needs: Needs,
        }
        assert_eq!(toml::from_str::<Holder>(&format!("needs = {needs}")).unwrap().needs.to_string(), expect);
    }

    #[test]
    fn shapes() {
        shape("[]", "");
        shape("'a.a'", "a.a");
        shape("['a.a', { some_of = ['b.b', 'c.c'] }]", "a.a and (b.b or else c.c)");
        shape("{ any_of = ['c.c', ['s.a', 's.b'], { all_of = ['h.a'] }] }", "c.c or (s.a and s.b) or (h.a)");
    }

    #[test]
    fn the_catalogue_is_whole() {
        let all = catalogue();
        assert_eq!(all.len(), 225);
        let mut ids: Vec<&str> = all.iter().map(|r| r.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 225, "an id stands in two files");
        let hidden: Vec<&str> = all.iter().filter(|r| r.is_out_of_sight()).map(|r| r.id.as_str()).collect();
        assert_eq!(hidden, ["cra/I.I.2.l", "en18031/UNM-1", "en303645/6-6"]);
        for r in &all {
            assert!(!r.title.is_empty() && !r.clause.is_empty() && r.id.contains('/'), "{}", r.id);
        }
    }

    /// No element of TS 103 732 has been read, so none may be named: not as `XXX_YYY.1`, and not as decided.
    #[test]
    fn what_was_not_read_is_not_named() {
        let family = |r: &&Requirement| r.standard.contains("103 732") || r.standard.contains("103 932");
        let all = catalogue();
        assert_eq!(all.iter().filter(family).count(), 12);
        for r in all.iter().filter(family) {
            assert_eq!((r.identifiers, r.strength), (Identifiers::Unverified, Strength::RefutesOnly), "{}", r.id);
            let printed = format!("{} {} {} {}", r.id, r.clause_shown(), r.title, r.note);
            let element = printed.as_bytes().windows(7).any(|w| w[3] == b'_' && w[..3].iter().chain(&w[4..]).all(u8::is_ascii_uppercase));
            assert!(!element && printed.contains("unverified"), "{printed}");
        }
    }

    #[test]
    fn strength_follows_what_was_read() {
        for r in catalogue() {
            if r.strength == Strength::Decides {
                assert!(r.verified == Verified::Seen && r.observable != Observable::Declared && !r.needs.is_empty(), "{}", r.id);
            }
        }
    }

    #[test]
    fn the_other_direction() {
        let all = catalogue();
        let map = by_check(&all);
        assert_eq!(map.get("cert.header-corrupt").map(Vec::len), Some(5));
        assert!(map.keys().all(|id| is_check_id(id)));
    }

    #[track_caller]
    fn bad(body: &str, expect: &str) {
        let text = format!(
            "schema = \"overhear/requirements/1\"\nstandard = \"S\"\nversion = \"1\"\n[[requirement]]\nid = \"s/1\"\nclause = \"1\"\ntitle = \"T\"\nobservable = \"both\"\nlevel = \"shall\"\n{body}"
        );
        let got: Vec<String> = parse("s.toml", &text).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(got, [expect]);
    }

    #[test]
    fn broken_files() {
        bad(
            "verified = \"memory\"\nstrength = \"decides\"\nneeds = [\"a.b\"]",
            "s.toml:11:12: a requirement whose text was not read cannot be decided (strength = \"refutes-only\")",
        );
        bad(
            "verified = \"seen\"\nstrength = \"decides\"",
            "s.toml:11:12: nothing is needed, so nothing decides (strength = \"refutes-only\", or needs)",
        );
        bad(
            "verified = \"seen\"\nstrength = \"refutes-only\"\nneeds = [\"a.b\"]\nsupports = [\"a.b\"]",
            "s.toml:13:12: 'a.b' is needed already (needed or supporting, not both)",
        );
        bad(
            "verified = \"seen\"\nstrength = \"refutes-only\"\nneeds = { any_of = [\"a.b\"], all_of = [\"c.d\"] }",
            "s.toml:12:9: all_of, any_of and some_of do not stand side by side: put one inside the other",
        );
        bad(
            "verified = \"seen\"\nstrength = \"refutes-only\"\nneeds = { none_of = [\"a.b\"] }",
            "s.toml:12:9: unknown field `none_of`, expected one of `all_of`, `any_of`, `some_of`",
        );
        bad(
            "verified = \"seen\"\nstrength = \"refutes-only\"\nneeds = [\"Cert Expired\"]",
            "s.toml:5:6: 'Cert Expired' is not the id of a check (family.name)",
        );
    }
}
