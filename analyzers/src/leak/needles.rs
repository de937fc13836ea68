//! From planted values to needles: every form of a value, in every coding that is cheaper to seek than to undo.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::code;
use super::forms::{Form, forms, lead};
use super::names::Name;
use super::table::{CORE, Edge, Needle, SHORTEST};
use crate::ebcdic::{self, Page};
use crate::encode::{base64, hex};
use crate::text::Text;
use policies::IdentifierType as Kind;

/// Fewer characters of base64 stand in any long run of it.
const SHORTEST_BASE64: usize = 8;
/// Characters of base32 for six bytes.
const SHORTEST_BASE32: usize = 9;
/// Fewer bytes that are no text are found in anything.
const SHORTEST_EBCDIC: usize = 6;

/// What it means that a needle was found.
#[derive(Clone, Debug)]
pub(super) struct Meaning {
    pub(super) seed: u32,
    /// How the value was coded, outermost first.
    pub(super) chain: Arc<[Text]>,
    /// Only part of a value: no proof by itself.
    pub(super) partial: bool,
    /// What follows the first [`CORE`] bytes of the needle, and whether its case matters.
    pub(super) rest: Option<(Box<[u8]>, bool)>,
    /// Base64 without the characters that its neighbours also determine: the occurrence reaches one further on either side.
    pub(super) ragged: Option<Ragged>,
    /// The name that may stand around it.
    pub(super) name: Option<u32>,
    /// It says nothing by itself.
    pub(super) mute: bool,
}

/// What the characters of base64 in front of a needle and behind it say of the value: some bits each, under a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ragged {
    pub(super) before: (u8, u8),
    pub(super) after: (u8, u8),
}

impl Ragged {
    /// What it says together with another for the same characters: only what both say.
    fn common(self, other: Ragged) -> Ragged {
        let common = |(a, x): (u8, u8), (b, y): (u8, u8)| (a & b & !(x ^ y), x);
        Ragged { before: common(self.before, other.before), after: common(self.after, other.after) }
    }
}

impl Meaning {
    /// How far an occurrence reaches in a text that is there as a whole.
    pub(super) fn reach(&self, text: &[u8], span: Range<usize>) -> Range<usize> {
        let mut span = span;
        if let Some((rest, fold)) = &self.rest {
            let follows = text.get(span.end..).unwrap_or_default().iter().zip(rest);
            span.end += follows.take_while(|(a, b)| if *fold { a.eq_ignore_ascii_case(b) } else { a == b }).count();
        }
        if self.ragged.is_some() {
            let sextet = |b: Option<&u8>| b.is_some_and(|b| super::undo::SEXTET[usize::from(*b)] != 0xff);
            span.start -= usize::from(sextet(span.start.checked_sub(1).and_then(|i| text.get(i))));
            span.end += usize::from(sextet(text.get(span.end)));
        }
        span
    }

    /// Whether the characters beside an occurrence belong to the value too. Where they are cut off or escaped, it is not known, and the
    /// occurrence counts. Looks at six bytes in front and one behind.
    pub(super) fn agrees(&self, text: &[u8], span: &Range<usize>) -> bool {
        let Some(Ragged { before, after }) = self.ragged else { return true };
        let says = |b: Option<&u8>, (mask, bits): (u8, u8)| {
            let sextet = b.map_or(0xff, |b| super::undo::SEXTET[usize::from(*b)]);
            sextet == 0xff || (sextet ^ bits) & mask == 0
        };
        let head = text.get(..span.start).unwrap_or_default();
        let back = |n: usize| head.len().checked_sub(n).and_then(|at| head.get(at));
        // `\n`, `%2B`, `%252B`, `\u002b`.
        let escaped = back(2) == Some(&b'\\') || back(3) == Some(&b'%') || back(5) == Some(&b'%') || back(6) == Some(&b'\\');
        (escaped || says(back(1), before)) && (self.rest.is_some() || says(text.get(span.end), after))
    }
}

/// Collects needles and what they mean.
#[derive(Debug, Default)]
pub(super) struct Needles {
    pub(super) sought: Vec<Needle>,
    pub(super) meanings: Vec<Meaning>,
    chains: HashMap<Vec<&'static str>, Arc<[Text]>>,
    pub(super) names: Vec<Name>,
    /// The meaning of a needle, and whether its case does not matter.
    known: HashMap<(u32, Vec<u8>), (u32, bool)>,
}

impl Needles {
    /// Adds all needles of one value; says how many.
    pub(super) fn add(&mut self, seed: u32, kind: Kind, value: &str) -> usize {
        let before = self.sought.len();
        // Plain forms of all before codings of any: what a text equals in the plain is not called coded.
        let forms = forms(kind, value);
        for form in &forms {
            let steps: Vec<&'static str> = form.step.into_iter().collect();
            self.push(seed, form.bytes.clone(), form, form.fold, form.edge, &steps);
        }
        for form in &forms {
            self.coded(seed, form);
            if form.hashed && form.bytes.len() >= SHORTEST {
                self.hashed(seed, form);
            }
        }
        let count = self.sought.len() - before;
        self.named(seed, kind, value);
        count
    }

    /// Words of a name, or numbers of a position, that lead to the whole of it.
    fn named(&mut self, seed: u32, kind: Kind, value: &str) {
        if kind == Kind::Position {
            for pair in Name::numbers(seed, value) {
                self.leads(seed, pair, |bytes| Form::raw(bytes, "number"));
            }
        } else if kind == Kind::CellId {
            if let Some(cell) = Name::cell(seed, value) {
                self.leads(seed, cell, |bytes| Form::raw(bytes, "number"));
            }
        } else if let Some(name) = Name::parse(seed, kind, value) {
            self.leads(seed, name, lead);
        }
    }

    fn leads(&mut self, seed: u32, name: Name, form: impl Fn(Vec<u8>) -> Form) {
        let id = self.names.len() as u32;
        for (word, fold) in name.leads() {
            let form = form(word);
            match self.push(seed, form.bytes.clone(), &form, fold, form.edge, &[]) {
                Pushed::New(meaning) => (meaning.name, meaning.mute, meaning.partial) = (Some(id), true, true),
                Pushed::Known(meaning) => meaning.name = Some(id),
                Pushed::Not => {}
            }
        }
        self.names.push(name);
    }

    fn coded(&mut self, seed: u32, form: &Form) {
        let steps = |coding: &[&'static str]| coding.iter().copied().chain(form.step).collect::<Vec<_>>();
        let bytes = &form.bytes;
        if form.text {
            // The neighbours of a percent-coded value are still text, except that a coded one ends in a hex digit.
            let (first, last) = (bytes.first().copied().unwrap_or(b' '), bytes.last().copied().unwrap_or(b' '));
            let edge = if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() { form.edge } else { Edge::None };
            let once = code::percent(bytes);
            if once != *bytes {
                self.push(seed, code::percent(&once), form, true, edge, &steps(&["percent", "percent"]));
                self.push(seed, once, form, true, edge, &steps(&["percent"]));
                self.push(seed, code::form(bytes), form, true, edge, &steps(&["percent"]));
            }
            // A form that begins a longer one begins it in most codings too: only the longer one is sought coded.
            if form.partial || form.plain || matches!(form.edge, Edge::Local | Edge::Imei(_) | Edge::Number) {
                return;
            }
            self.push(seed, code::percent_all(bytes), form, true, Edge::None, &steps(&["percent"]));
            if let Ok(text) = std::str::from_utf8(bytes) {
                let json = code::json_ascii(text);
                if json != *bytes {
                    self.push(seed, json, form, true, edge, &steps(&["json"]));
                }
                for (big, name) in [(false, "utf-16le"), (true, "utf-16be")] {
                    self.push(seed, code::utf16(text, big), form, form.fold, Edge::None, &steps(&[name]));
                }
                self.ebcdic(seed, form);
            }
        } else if form.partial || form.plain {
            return;
        }
        let edge = if bytes.len() < 8 { Edge::Word } else { Edge::None };
        if bytes.len() >= 6 || !form.fold {
            for variant in cases(form) {
                self.push(seed, hex(&variant).into_bytes(), form, true, edge, &steps(&["hex"]));
                for phase in 0..3 {
                    self.base64(seed, &variant, phase, form, &steps(&["base64"]));
                }
                let base32 = code::base32_core(&variant);
                if base32.len() >= SHORTEST_BASE32 {
                    self.push(seed, base32, form, true, Edge::None, &steps(&["base32"]));
                }
            }
        }
    }

    /// A text as mainframes write it; in capitals too, as they have names. Its letters are no letters of ASCII, whose case could be left aside.
    fn ebcdic(&mut self, seed: u32, form: &Form) {
        let edge = if form.edge == Edge::None { Edge::None } else { Edge::Ebcdic };
        for text in cases(form).iter().filter_map(|bytes| std::str::from_utf8(bytes).ok()) {
            for bytes in Page::ALL.iter().filter_map(|page| ebcdic::encode(text, *page)).filter(|bytes| bytes.len() >= SHORTEST_EBCDIC) {
                self.push(seed, bytes, form, false, edge, &["ebcdic"]);
            }
        }
    }

    fn hashed(&mut self, seed: u32, form: &Form) {
        let mut inputs: Vec<(Vec<u8>, Option<&'static str>)> = cases(form).into_iter().map(|bytes| (bytes, form.step)).collect();
        if form.text {
            for variant in cases(form) {
                inputs.push((base64(&variant).into_bytes(), Some("base64")));
                inputs.push((code::percent(&variant), Some("percent")));
                inputs.push((code::form(&variant), Some("percent")));
            }
        }
        for (input, inner) in inputs {
            for name in code::HASHES {
                let digest = code::digest(name, &input);
                let steps = |coding: &[&'static str]| coding.iter().copied().chain(inner).collect::<Vec<_>>();
                self.push(seed, hex(&digest).into_bytes(), form, true, Edge::None, &steps(&["hex", name]));
                self.base64(seed, &digest, 0, form, &steps(&["base64", name]));
                if name == "md5" {
                    // Half an MD5, a habit of several advertising kits; and java.util.UUID.nameUUIDFromBytes (RFC 9562, 5.3 without a name space).
                    self.push(seed, hex(&digest).as_bytes()[8..24].to_vec(), form, true, Edge::Word, &steps(&["hex", "md5-16"]));
                    let dashed = |bytes: &[u8]| {
                        let text = hex(bytes);
                        [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-").into_bytes()
                    };
                    let mut uuid = digest.clone();
                    uuid[6] = uuid[6] & 0x0f | 0x30;
                    uuid[8] = uuid[8] & 0x3f | 0x80;
                    self.push(seed, dashed(&uuid), form, true, Edge::None, &steps(&["uuid", "md5"]));
                    // All of an MD5 in the shape of a UUID, of what is not coded: it is the rarer habit.
                    if inner == form.step {
                        self.push(seed, dashed(&digest), form, true, Edge::None, &steps(&["uuid", "md5"]));
                    }
                }
                self.push(seed, digest, form, false, Edge::None, &steps(&[name]));
            }
        }
    }

    /// Bytes in base64 of both alphabets, where `phase` bytes modulo 3 go before them.
    fn base64(&mut self, seed: u32, bytes: &[u8], phase: usize, form: &Form, steps: &[&'static str]) {
        let ragged = code::base64_edges(bytes, phase, form.fold);
        for url in [false, true] {
            let core = code::base64_core(bytes, phase, url);
            if core.len() < SHORTEST_BASE64 {
                continue;
            }
            match self.push(seed, core, form, false, Edge::None, steps) {
                Pushed::New(meaning) => meaning.ragged = Some(ragged),
                Pushed::Known(meaning) => meaning.ragged = meaning.ragged.map(|known| known.common(ragged)),
                Pushed::Not => {}
            }
        }
    }

    fn push(&mut self, seed: u32, bytes: Vec<u8>, form: &Form, fold: bool, edge: Edge, steps: &[&'static str]) -> Pushed<'_> {
        if bytes.len() < SHORTEST {
            return Pushed::Not;
        }
        // An exact needle is already there if the same is sought without regard to case.
        let folded = (seed, bytes.to_ascii_lowercase());
        let known = self.known.get(&folded).filter(|(_, fold)| *fold);
        let known = if fold { known } else { known.or_else(|| self.known.get(&(seed, bytes.clone()))) };
        if let Some((id, _)) = known {
            return self.meanings.get_mut(*id as usize).map_or(Pushed::Not, Pushed::Known);
        }
        let id = self.meanings.len() as u32;
        self.known.insert(if fold { folded } else { (seed, bytes.clone()) }, (id, fold));
        let chain = self.chains.entry(steps.to_vec()).or_insert_with_key(|steps| steps.iter().map(Text::ours).collect()).clone();
        let bytes = code::cut(bytes);
        let rest = bytes.get(CORE..).filter(|rest| !rest.is_empty()).map(|rest| (rest.into(), fold));
        // Behind a part of a value stands the rest of it.
        let edge = if rest.is_some() { Edge::None } else { edge };
        self.meanings.push(Meaning { seed, chain, partial: form.partial, rest, ragged: None, name: None, mute: false });
        self.sought.push(Needle { bytes, fold, edge, id });
        self.meanings.last_mut().map_or(Pushed::Not, Pushed::New)
    }
}

/// What became of a needle: it is there now, or was before.
enum Pushed<'a> {
    New(&'a mut Meaning),
    Known(&'a mut Meaning),
    Not,
}

/// A form as it is and, where case does not matter, in lower and upper case.
fn cases(form: &Form) -> Vec<Vec<u8>> {
    let mut out = vec![form.bytes.clone()];
    if form.fold {
        for other in [form.bytes.to_ascii_lowercase(), form.bytes.to_ascii_uppercase()] {
            if !out.contains(&other) {
                out.push(other);
            }
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::{Carry, Engine, Seed};
    use super::*;
    use crate::scramble;

    /// What of a planted value is found in bytes, in a message and in a stream: the chain.
    #[track_caller]
    fn check(kind: Kind, value: &str, bytes: &[u8], expect: Option<&str>) {
        let engine = Engine::new([Seed { name: "it".into(), kind, value: value.into() }], &[7; 32]);
        let mut told = Vec::new();
        let chain = |f: &super::super::Found| f.chain.iter().map(Text::as_str).collect::<Vec<_>>().join(",");
        engine.peel_once(bytes, &mut |f: super::super::Found| told.extend(f.seed.is_some().then(|| chain(&f))));
        let mut streamed = Vec::new();
        let mut carry = Carry::default();
        engine.scan(&mut carry, bytes, &mut |f| streamed.push(chain(&f)));
        engine.finish(&mut carry, &mut |f| streamed.push(chain(&f)));
        for told in [told, streamed] {
            assert_eq!(told.first().map(String::as_str), expect, "{value} in {}", bytes.escape_ascii());
        }
    }

    #[test]
    fn ebcdic_of_planted_values() {
        let ebcdic = |text: &str, page| ebcdic::encode(text, page).unwrap();
        for page in Page::ALL {
            let within = |before: &[u8], text: &str, behind: &[u8]| [before, &ebcdic(text, page), behind].concat();
            let found = Some("ebcdic");
            check(Kind::Password, "Zk84![qP]w2x", &within(b"\0\x10\x11\xa1", "Zk84![qP]w2x", b"\0\x06"), found);
            check(Kind::Password, "Zk84qP", &within(b"\0\x0a\x11\xa1", "Zk84qP", b"\0\x06"), found);
            // A name as it is, and in capitals.
            check(Kind::UserName, "mallory7", &within(b"\x11\xa0", "mallory7", b"\0"), found);
            check(Kind::UserName, "mallory7", &within(b"\x11\xa0", "MALLORY7", b"\x40\x40"), found);
            check(Kind::Email, "ada@example.org", &within(b"\0", "Ada@Example.org", b"\0").to_ascii_lowercase(), None);
            check(Kind::Email, "ada@example.org", &within(b"\0", "ada@example.org", b"\0"), found);
            check(Kind::Imei, "490154203237518", &within(b"\0", "490154203237518", b"\x40"), found);
            // Part of a longer word, another word, a password in other letters, and what is too short.
            check(Kind::UserName, "mallory7", &within(&[0xa8], "mallory7", b"\0"), None);
            check(Kind::UserName, "mallory7", &within(b"\0", "mallory7", &[0xf7]), None);
            check(Kind::UserName, "mallory7", &within(b"\0", "mallory8", b"\0"), None);
            check(Kind::Email, "ada@example.org", &within(&[0x84], "ada@example.org", b"\0"), None);
            check(Kind::Password, "Zk84qPw2x", &within(b"\0", "ZK84QPW2X", b"\0"), None);
            check(Kind::Password, "Zk84q", &within(b"\0", "Zk84q", b"\0"), None);
        }
    }

    #[test]
    fn scrambled_passwords() {
        let (tds, roast) = (scramble::tds("Zk84qPw2x"), scramble::roast(b"Zk84qPw2x"));
        check(Kind::Password, "Zk84qPw2x", &[b"\x01\x02", &tds[..], b"\0"].concat(), Some("tds"));
        check(Kind::Password, "Zk84qPw2x", &[b"\0\x02\0\x09", &roast[..], b"\0"].concat(), Some("roast"));
        // Another password, what is no password, and what is too short.
        check(Kind::Password, "Zk84qPw2y", &tds, None);
        check(Kind::Password, "Zk84qPw2y", &roast, None);
        check(Kind::UserName, "Zk84qPw2x", &tds, None);
        check(Kind::Password, "Zk84q", &scramble::roast(b"Zk84q"), None);
        check(Kind::Password, "Zk84qP", &scramble::roast(b"Zk84qP"), Some("roast"));
    }
}
