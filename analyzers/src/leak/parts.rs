//! Parts of planted values that say in the name of a device whose it is: an owner's given or family name, the end of a link address.
//!
//! In other texts they would be noise; in what a device calls itself they are more than nothing and less than proof.

use std::ops::Range;

use memchr::memmem::Finder;
use policies::IdentifierType as Kind;

use super::forms::nibbles;
use super::{Engine, Found};
use crate::observation::Grade;
use crate::text::{Text, Veil, Veiled};

/// A name of fewer letters is a word like any other.
const SHORTEST: usize = 3;
/// From so many letters on it counts inside a word too: `thaddeusphone`.
const DISTINCT: usize = 5;

/// Part of one planted value.
#[derive(Debug)]
pub(super) struct Part {
    seed: u32,
    /// Seeks it, in lower case.
    word: Finder<'static>,
    /// It counts inside a longer word.
    inside: bool,
    step: &'static str,
}

/// The parts of a value.
pub(super) fn parts(seed: u32, kind: Kind, value: &str) -> Vec<Part> {
    match kind {
        Kind::PersonName => value
            .split(|c: char| !c.is_alphabetic())
            .filter(|word| word.chars().count() >= SHORTEST)
            .map(|word| Part { seed, word: finder(&word.to_lowercase()), inside: word.chars().count() >= DISTINCT, step: "part-of-name" })
            .collect(),
        Kind::Mac | Kind::BluetoothMac => {
            let hex = nibbles(value);
            // The half that the device's maker gives out one by one.
            let end = hex.get(6..).filter(|end| end.len() == 6).map(finder);
            end.into_iter().map(|word| Part { seed, word, inside: false, step: "part-of-address" }).collect()
        }
        _ => Vec::new(),
    }
}

fn finder(word: &str) -> Finder<'static> {
    Finder::new(word).into_owned()
}

impl Engine {
    /// Parts of planted values in what a device calls itself. Bytes beyond ASCII match as they are written in lower case.
    pub fn parts_in(&self, name: &[u8], sink: &mut dyn FnMut(Found)) {
        if self.parts.is_empty() {
            return;
        }
        let lower = name.to_ascii_lowercase();
        let letter = |at: Option<usize>| at.and_then(|at| lower.get(at)).is_some_and(|b| b.is_ascii_alphanumeric() || *b >= 0x80);
        for part in &self.parts {
            let Some(planted) = self.planted(part.seed) else { continue };
            let is_whole = |at: usize| !letter(at.checked_sub(1)) && !letter(Some(at + part.word.needle().len()));
            let Some(at) = part.word.find_iter(&lower).find(|at| part.inside || is_whole(*at)) else { continue };
            sink(Found {
                kind: planted.kind,
                seed: Some(planted.name.clone()),
                grade: Grade::Structural,
                chain: [Text::ours(part.step)].into(),
                span: at as u64..(at + part.word.needle().len()) as u64,
                key: None,
                mask: planted.mask.clone(),
                token: planted.token,
                detail: None,
                value: planted.value.clone(),
            });
        }
    }
}

/// Hides parts of planted values beside what another veil hides.
pub(crate) struct Names<'a> {
    pub(crate) engine: Option<&'a Engine>,
    pub(crate) veil: &'a dyn Veil,
}

impl Veil for Names<'_> {
    fn spans(&self, bytes: &[u8], out: &mut Vec<Veiled>) {
        self.veil.spans(bytes, out);
        let Some(engine) = self.engine else { return };
        let mut more = Vec::new();
        engine.parts_in(bytes, &mut |f| {
            let span: Range<usize> = f.span.start as usize..f.span.end as usize;
            more.push(Veiled { span, mask: f.mask.to_string() });
        });
        more.retain(|m| !out.iter().any(|o| o.span.start < m.span.end && m.span.start < o.span.end));
        out.extend(more);
        out.sort_by_key(|v| v.span.start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leak::Seed;

    #[track_caller]
    fn check(name: &str, expect: &[&str], shown: &str) {
        let seed = |name: &str, kind, value: &str| Seed { name: name.into(), kind, value: value.into() };
        let seeds = [
            seed("owner", Kind::PersonName, "Thaddeus Ann Lee-Tudukoda"),
            seed("wifi", Kind::Mac, "02:00:5e:c1:02:9b"),
            seed("mail", Kind::Email, "ann@shop.test"),
        ];
        let engine = Engine::new(seeds, &[7; 32]);
        let mut got = Vec::new();
        engine.parts_in(name.as_bytes(), &mut |f| got.push(format!("{} {}", f.seed.unwrap_or_default(), f.grade == Grade::Structural)));
        let expect: Vec<String> = expect.iter().map(|e| format!("{e} true")).collect();
        assert_eq!(got, expect, "{name}");
        let text = Text::veiled(name.as_bytes(), &Names { engine: Some(&engine), veil: &engine });
        assert_eq!(text.as_str(), shown);
    }

    #[test]
    fn names_of_devices() {
        check("iPhone-Thaddeus", &["owner"], "iPhone-‹owner›");
        check("tudukoda-laptop", &["owner"], "‹owner›-laptop");
        check("ThaddeusPhone", &["owner"], "‹owner›Phone");
        check("ann's box", &["owner"], "‹owner›'s box");
        check("planner", &[], "planner");
        check("Phone-C1029B", &["wifi"], "Phone-‹wifi›");
        check("Phone-AC1029B", &[], "Phone-AC1029B");
        check("Living Room", &[], "Living Room");
    }
}
