//! Parts of planted values that say in the name of a device whose it is: an owner's given or family name, the end of a link address.
//!
//! In other texts they would be noise; in what a device calls itself they are more than nothing and less than proof.

use std::ops::Range;

use memchr::memmem::Finder;
use policies::IdentifierType as Kind;

use super::clean::Purpose;
use super::forms::{forms, nibbles};
use super::{Engine, Found};
use crate::observation::Grade;
use crate::text::{Text, Veil, Veiled};

/// A name of fewer letters is a word like any other.
const SHORTEST: usize = 3;
/// From so many letters on it counts inside a word too: `thaddeusphone`.
const DISTINCT: usize = 5;
/// A whole name of fewer letters is a word like any other where something is written onto it.
const WHOLE: usize = 8;

/// What a device's kind is called, where it is written onto a name: `annaphone`.
const DEVICES: [&str; 17] = [
    "iphone", "ipad", "ipod", "imac", "mac", "mbp", "homepod", "watch", "phone", "handy", "tablet", "pixel", "galaxy", "laptop",
    "notebook", "pc", "desktop",
];
/// What stands between the two: `iphonevonanna`.
const OF: [&str; 9] = ["von", "van", "de", "di", "da", "do", "af", "av", "of"];

/// Part of one planted value.
#[derive(Debug)]
pub(super) struct Part {
    seed: u32,
    /// Seeks it, in lower case.
    word: Finder<'static>,
    kind: Sort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// All of a person's name: with an ending it is no form of the value and still the value.
    Whole,
    /// A word of it that counts by itself.
    Word,
    /// One that counts inside a longer word too.
    Inside,
    /// The end of a link address.
    Address,
}

impl Sort {
    fn grade(self) -> Grade {
        if self == Sort::Whole { Grade::Proof } else { Grade::Structural }
    }

    fn step(self) -> Option<&'static str> {
        match self {
            Sort::Whole => None,
            Sort::Word | Sort::Inside => Some("part-of-name"),
            Sort::Address => Some("part-of-address"),
        }
    }
}

/// The parts of a value; those that hold others come first.
pub(super) fn parts(seed: u32, kind: Kind, value: &str) -> Vec<Part> {
    match kind {
        Kind::PersonName => {
            let words = words(value);
            let whole = if value.split_whitespace().nth(1).is_none() { Vec::new() } else { spellings(value) };
            let whole = whole.into_iter().filter(|name| name.chars().filter(|c| is_letter(*c)).count() >= WHOLE);
            let mut spelt: Vec<String> =
                words.iter().flat_map(|word| spelt(word)).filter(|word| word.chars().count() >= SHORTEST).collect();
            spelt.sort_unstable_by_key(|word| std::cmp::Reverse(word.len()));
            let sort = |word: &str| if word.chars().count() >= DISTINCT { Sort::Inside } else { Sort::Word };
            let whole = whole.map(|name| Part { seed, word: finder(&name), kind: Sort::Whole });
            whole.chain(spelt.into_iter().map(|word| Part { seed, word: finder(&word), kind: sort(&word) })).collect()
        }
        Kind::Mac | Kind::BluetoothMac => {
            let hex = nibbles(value);
            // The half that the device's maker gives out one by one.
            let end = hex.get(6..).filter(|end| end.len() == 6).map(finder);
            end.into_iter().map(|word| Part { seed, word, kind: Sort::Address }).collect()
        }
        _ => Vec::new(),
    }
}

fn finder(word: &str) -> Finder<'static> {
    Finder::new(word).into_owned()
}

/// Letters, and the marks that stand over them.
fn is_letter(c: char) -> bool {
    c.is_alphabetic() || ('\u{300}'..'\u{370}').contains(&c)
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2019}')
}

/// The words of a name; of one with an apostrophe also what is left where devices drop it.
fn words(value: &str) -> Vec<String> {
    let bare: String = value.chars().filter(|c| !is_apostrophe(*c)).collect();
    let mut out: Vec<String> = Vec::new();
    for text in [value, &bare] {
        for word in text.split(|c| !is_letter(c)).filter(|word| !word.is_empty()) {
            if !out.iter().any(|other| other == word) {
                out.push(word.to_owned());
            }
        }
    }
    out
}

/// How a name is spelt, letters of ASCII in lower case.
fn spellings(value: &str) -> Vec<String> {
    let forms = forms(Kind::PersonName, value).into_iter().filter(|f| f.text && !f.partial && !f.plain && f.step.is_none());
    forms.filter_map(|f| String::from_utf8(f.bytes).ok()).map(|text| text.to_ascii_lowercase()).collect()
}

/// How one word of a name is spelt. It is asked for twice in a row, for alone a short one has no form.
fn spelt(word: &str) -> Vec<String> {
    let mut out = vec![word.to_ascii_lowercase()];
    for text in spellings(&format!("{word} {word}")) {
        let Some((one, other)) = text.split_once(' ') else { continue };
        if one == other && one.chars().all(is_letter) && !out.iter().any(|word| word == one) {
            out.push(one.to_owned());
        }
    }
    out
}

/// What a device calls itself, and the same in lower case.
struct Name<'a> {
    told: &'a [u8],
    lower: Vec<u8>,
}

impl Name<'_> {
    fn is_word(&self, at: Option<usize>) -> bool {
        at.and_then(|at| self.told.get(at)).is_some_and(|b| b.is_ascii_alphanumeric() || *b >= 0x80)
    }

    /// Whether nothing that makes it a longer word stands beside a span.
    fn is_alone(&self, span: &Range<usize>) -> bool {
        !self.is_word(span.start.checked_sub(1)) && !self.is_word(Some(span.end))
    }

    /// Whether a person's name may stand at a span: also with the genitive of some languages, a number or a device written onto it.
    fn may_hold(&self, span: &Range<usize>) -> bool {
        let ends = |end: &[u8]| self.after(span.end).starts_with(end) && self.ends(span.end + end.len());
        let vowel = self.lower.get(..span.end).and_then(<[u8]>::last).is_some_and(|b| b"aeiouy".contains(b));
        self.begins(span.start) && (ends(b"") || ends(b"s") || vowel && ends(b"n"))
    }

    fn after(&self, at: usize) -> &[u8] {
        self.lower.get(at..).unwrap_or_default()
    }

    fn begins(&self, at: usize) -> bool {
        let before = self.lower.get(..at).unwrap_or_default();
        let end = before.iter().rposition(|b| !b.is_ascii_digit()).map_or(0, |n| n + 1);
        let device = before.get(..end).unwrap_or_default();
        let is_device = |before: &[u8]| DEVICES.iter().any(|device| before.ends_with(device.as_bytes()));
        let of = || OF.iter().any(|of| device.strip_suffix(of.as_bytes()).is_some_and(is_device));
        !self.is_word(at.checked_sub(1)) || self.is_hump(at) || is_device(device) || of()
    }

    fn ends(&self, at: usize) -> bool {
        let after = self.after(at);
        let number = after.iter().take_while(|b| b.is_ascii_digit()).count();
        let device = || DEVICES.iter().any(|device| after.starts_with(device.as_bytes()));
        !self.is_word(Some(at + number)) || after.starts_with("\u{2019}".as_bytes()) || self.is_hump(at) || device()
    }

    /// A capital behind a small letter begins a word: `AnnaPhone`.
    fn is_hump(&self, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|at| self.told.get(at));
        before.is_some_and(u8::is_ascii_lowercase) && self.told.get(at).is_some_and(u8::is_ascii_uppercase)
    }
}

impl Engine {
    /// Parts of planted values in what a device calls itself. Bytes beyond ASCII match as they are written in lower case.
    pub fn parts_in(&self, name: &[u8], sink: &mut dyn FnMut(Found)) {
        if self.parts.is_empty() {
            return;
        }
        let mark = self.clean.mark(Purpose::Parts, name);
        if mark.is_some_and(|mark| self.clean.has(mark)) {
            return;
        }
        let name = Name { told: name, lower: name.to_ascii_lowercase() };
        let mut told: Vec<(u32, Range<usize>)> = Vec::new();
        for part in &self.parts {
            let Some(planted) = self.planted(part.seed) else { continue };
            let counts = |span: &Range<usize>| match part.kind {
                Sort::Inside => true,
                Sort::Address => name.is_alone(span),
                Sort::Whole | Sort::Word => name.may_hold(span),
            };
            // Most names hold none of them, and the search for all places of one is set up dearer than that for the first.
            let Some(first) = part.word.find(&name.lower) else { continue };
            let rest = part.word.find_iter(name.lower.get(first..).unwrap_or_default()).map(|at| first + at);
            let Some(span) = rest.map(|at| at..at + part.word.needle().len()).find(counts) else { continue };
            if told.iter().any(|(seed, other)| *seed == part.seed && other.start <= span.start && span.end <= other.end) {
                continue;
            }
            told.push((part.seed, span.clone()));
            sink(Found {
                kind: planted.kind,
                seed: Some(planted.name.clone()),
                grade: part.kind.grade(),
                chain: part.kind.step().map(Text::ours).into_iter().collect(),
                span: span.start as u64..span.end as u64,
                key: None,
                mask: planted.mask.clone(),
                token: planted.token,
                detail: None,
                value: planted.value.clone(),
            });
        }
        if let Some(mark) = mark.filter(|_| told.is_empty()) {
            self.clean.keep(mark);
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
        out.sort_by_key(|v| (v.span.start, std::cmp::Reverse(v.span.end)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leak::Seed;

    /// `expect`: the seeds found, each with whether it is proof.
    #[track_caller]
    fn check(name: &str, expect: &[(&str, bool)], shown: &str) {
        let seed = |name: &str, kind, value: &str| Seed { name: name.into(), kind, value: value.into() };
        let seeds = [
            seed("owner", Kind::PersonName, "Thaddeus Ann Lee-Tudukoda"),
            seed("anna", Kind::PersonName, "Anna Quist"),
            seed("zoe", Kind::PersonName, "Zoë Müller"),
            seed("pat", Kind::PersonName, "Pat O'Neill"),
            seed("wifi", Kind::Mac, "02:00:5e:c1:02:9b"),
            seed("mail", Kind::Email, "ann@shop.test"),
        ];
        let engine = Engine::new(seeds, &[7; 32]);
        let mut got = Vec::new();
        engine.parts_in(name.as_bytes(), &mut |f| got.push((f.seed.unwrap_or_default().to_string(), f.grade == Grade::Proof)));
        let expect: Vec<(String, bool)> = expect.iter().map(|(seed, proof)| ((*seed).to_owned(), *proof)).collect();
        assert_eq!(got, expect, "{name}");
        let text = Text::veiled(name.as_bytes(), &Names { engine: Some(&engine), veil: &engine });
        assert_eq!(text.as_str(), shown);
    }

    #[test]
    fn names_of_devices() {
        check("iPhone-Thaddeus", &[("owner", false)], "iPhone-‹owner›");
        check("tudukoda-laptop", &[("owner", false)], "‹owner›-laptop");
        check("ThaddeusPhone", &[("owner", false)], "‹owner›Phone");
        check("ann's box", &[("owner", false)], "‹owner›'s box");
        check("planner", &[], "planner");
        check("Phone-C1029B", &[("wifi", false)], "Phone-‹wifi›");
        check("Phone-AC1029B", &[], "Phone-AC1029B");
        check("Living Room", &[], "Living Room");
    }

    #[test]
    fn names_with_something_written_onto_them() {
        for (name, seed, shown) in [
            ("Annas-iPhone", "anna", "‹anna›s-iPhone"),
            ("Annas-MBP.local", "anna", "‹anna›s-MBP.local"),
            ("ANNAS-PC", "anna", "‹anna›S-PC"),
            ("ANNAPC", "anna", "‹anna›PC"),
            ("Annan-iPad", "anna", "‹anna›n-iPad"),
            ("Anna2", "anna", "‹anna›2"),
            ("iPhonevonAnna", "anna", "iPhonevon‹anna›"),
            ("IPHONEVONANNA", "anna", "IPHONEVON‹anna›"),
            ("iPhone-von-Anna", "anna", "iPhone-‹anna›"),
            ("iphone15anna", "anna", "iphone15‹anna›"),
            ("annasiphone", "anna", "‹anna›siphone"),
            ("AnnaTV", "anna", "‹anna›TV"),
            ("Zoes-iPhone", "zoe", "‹zoe›s-iPhone"),
            ("ZOË-PC", "zoe", "‹zoe›-PC"),
            ("Muellers-PC", "zoe", "‹zoe›s-PC"),
            ("mullerpad", "zoe", "‹zoe›pad"),
            ("Mu\u{308}ller", "zoe", "‹zoe›"),
            ("ONeills-Laptop", "pat", "‹pat›s-Laptop"),
            ("Pat\u{2019}s box", "pat", "‹pat›\u{2019}s box"),
        ] {
            check(name, &[(seed, false)], shown);
        }
        // All of a name is the value, whatever ends it.
        check("Anna-Quists-iPhone", &[("anna", true)], "‹anna›s-iPhone");
        check("AnnaQuists-iPhone", &[("anna", true)], "‹anna›s-iPhone");
        check("annaquist2", &[("anna", true)], "‹anna›2");
        for other in [
            "Annabelle-Phone",
            "Hannah-PC",
            "Joanna",
            "Annabell2",
            "Savanna",
            "annotator",
            "Leeds",
            "Anne-PC",
            "Patio",
            "x-2ann4f",
            "spatn",
        ] {
            check(other, &[], other);
        }
    }
}
