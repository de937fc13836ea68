//! The planted identity: values whose appearance in traffic proves that they left the device (`overhear/persona/1`).

mod synthetic;

use schemars::JsonSchema;
use serde::Deserialize;

pub use synthetic::synthetic;

use crate::document::{Document, place};
use crate::identifier;
use crate::{IdentifierType, Problem, Secret};

/// Everything that was planted on one device for one campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Persona {
    /// The operator's words for it; printed.
    pub label: String,
    pub values: Vec<PersonaValue>,
}

/// One planted value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonaValue {
    /// Unique in its file; what reports print instead of the value.
    pub name: String,
    #[serde(rename = "type")]
    pub kind: IdentifierType,
    pub value: Secret,
    /// Whose value it is: the owner's own, or that of somebody in the address book.
    #[serde(default)]
    pub whose: Whose,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    #[default]
    Owner,
    Contact,
}

/// As the file has it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Persona", title = "Overhear persona")]
pub(crate) struct File {
    #[expect(dead_code, reason = "its reading is its check")]
    schema: Schema,
    /// Free words for this identity; reports print them.
    #[serde(default)]
    label: String,
    /// The planted values.
    value: Vec<PersonaValue>,
}

#[derive(Debug, Deserialize, JsonSchema)]
enum Schema {
    #[serde(rename = "overhear/persona/1")]
    V1,
}

/// A persona is typed by hand or made by `persona new`; the matcher is built for some thousand values.
pub const MOST_VALUES: usize = 5_000;

/// Longest name of a value, in characters.
const LONGEST_NAME: usize = 64;

impl Persona {
    /// Reads a persona file. No message repeats a value.
    pub fn parse(file: &str, text: &str) -> Result<Persona, Vec<Problem>> {
        let (mut doc, read) = Document::read::<File>(file, text)?;
        let File { label, value: values, .. } = read;
        if values.is_empty() {
            doc.problem(place![], "the persona has no value", "add at least one [[value]]");
        }
        if values.len() > MOST_VALUES {
            doc.problem(place!["value", MOST_VALUES], format!("more than {MOST_VALUES} values"), "");
        }
        for (i, v) in values.iter().enumerate() {
            if !named_well(&v.name) {
                doc.problem(
                    place!["value", i, "name"],
                    "a name has letters, digits, '.', '_' and '-' only, at most 64",
                    "reports print it instead of the value",
                );
            }
            if let Err(fault) = identifier::check(v.kind, v.value.reveal()) {
                doc.problem(place!["value", i, "value"], format!("'{}' ({}): {}", v.name.escape_debug(), v.kind, fault.what), fault.help);
            }
            if holds(&v.name, v.value.reveal()) || holds(&label, v.value.reveal()) {
                doc.problem(
                    place!["value", i, "name"],
                    "the name or the label repeats the value",
                    "names and labels are printed; values never are",
                );
            }
            let earlier = values.get(..i).unwrap_or_default();
            if earlier.iter().any(|e| e.name == v.name) {
                doc.problem(
                    place!["value", i, "name"],
                    format!("'{}' is named twice", v.name.escape_debug()),
                    "a name must tell which value leaked",
                );
            }
            if let Some(e) = earlier.iter().find(|e| e.value == v.value && e.kind == v.kind) {
                doc.problem(
                    place!["value", i, "value"],
                    format!("the same value as '{}'", e.name.escape_debug()),
                    "a hit could not tell them apart",
                );
            }
        }
        doc.end(Persona { label, values })
    }

    pub fn value(&self, name: &str) -> Option<&PersonaValue> {
        self.values.iter().find(|v| v.name == name)
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

fn named_well(name: &str) -> bool {
    !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn holds(shown: &str, value: &str) -> bool {
    !value.is_empty() && shown.to_lowercase().contains(&value.to_lowercase())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    const HEAD: &str = "schema = \"overhear/persona/1\"\n";

    #[track_caller]
    fn problems(body: &str, expect: &[&str]) {
        let got = Persona::parse("p.toml", &format!("{HEAD}{body}")).unwrap_err();
        let got: Vec<String> = got.iter().map(ToString::to_string).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn reads_the_page_of_the_interface() {
        let text = format!(
            "{HEAD}label = \"phone 7, run of May\"\n[[value]]\nname  = \"email-main\"   # unique\ntype  = \"email\"\nvalue = \"anna.quist@example.org\"\n"
        );
        let persona = Persona::parse("p.toml", &text).unwrap();
        assert_eq!(persona.label, "phone 7, run of May");
        let value = persona.value("email-main").unwrap();
        assert_eq!((value.kind, value.value.reveal(), value.whose), (IdentifierType::Email, "anna.quist@example.org", Whose::Owner));
        assert!(!format!("{persona:?}").contains("quist"));
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        problems("", &["p.toml:1:1: missing field `value`"]);
        problems("value = []", &["p.toml:1:1: the persona has no value (add at least one [[value]])"]);
        problems(
            "[[value]]\nname = \"imei-1\"\ntype = \"imei\"\nvalue = \"490154203237519\"\n",
            &["p.toml:5:9: 'imei-1' (imei): the last digit is not the check digit of this IMEI (compare with *#06#; a digit is mistyped)"],
        );
        problems(
            "[[value]]\nname = \"imei-1\"\ntype = \"imei\"\nvalue = 490154203237518\n",
            &["p.toml:5:9: the value must stand in quotes"],
        );
        problems(
            "[[value]]\nname = \"x\"\ntype = \"imei\"\nvalue = \"490154203237518\"\n[[value]]\nname = \"x\"\ntype = \"imei\"\nvalue = \"490154203237518\"\n",
            &[
                "p.toml:7:8: 'x' is named twice (a name must tell which value leaked)",
                "p.toml:9:9: the same value as 'x' (a hit could not tell them apart)",
            ],
        );
        problems(
            "[[value]]\nname = \"kV7-tulip-09\"\ntype = \"password\"\nvalue = \"kV7-tulip-09\"\n",
            &["p.toml:3:8: the name or the label repeats the value (names and labels are printed; values never are)"],
        );
        problems(
            "[[value]]\nname = \"a b\"\ntype = \"text\"\nvalue = \"long enough text\"\n",
            &["p.toml:3:8: a name has letters, digits, '.', '_' and '-' only, at most 64 (reports print it instead of the value)"],
        );
    }
}
