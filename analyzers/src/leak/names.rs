//! Names whose words stand in fields beside each other: `<first>Anna</first><last>Quist</last>`, `{"fn":"Anna","ln":"Quist"}`; and addresses, by
//! the line of the street and the town.
//!
//! One word of a name, a needle like others, leads here; the other word is looked for around it.

use std::ops::Range;

use policies::IdentifierType as Kind;

use super::forms::spelled;
use super::table::{Edge, SHORTEST};

/// So far apart two fields stand with nothing but their names between them.
const NEAR: usize = 64;
/// The same for parts of a multipart form (RFC 7578), which have a boundary and a header each.
const PART: usize = 256;
/// A word of fewer letters is one of many languages and proves little.
const DISTINCT: usize = 3;

/// A planted name of two words or more, or an address.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) seed: u32,
    /// The longer one of the given name and the family name, or the street with its number, in its spellings.
    lead: Vec<Vec<u8>>,
    other: Vec<Vec<u8>>,
    /// Words that may stand between the two.
    middle: Vec<Vec<u8>>,
    distinct: bool,
    /// Of an address: the number of the house, which stands beside the street where that is found without.
    number: Option<Vec<u8>>,
}

/// What stands between two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    /// Signs, tags and names of fields.
    Markup,
    /// The same, and it leads from one record to the next.
    Records,
    /// Other values too.
    Values,
    Sentence,
}

impl Name {
    pub(super) fn parse(seed: u32, kind: Kind, value: &str) -> Option<Name> {
        if kind == Kind::PostalAddress {
            return Name::address(seed, value);
        }
        if !matches!(kind, Kind::PersonName | Kind::Contact) || value.contains('@') {
            return None;
        }
        let words: Vec<&str> = value
            .split_whitespace()
            .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
            .filter(|word| word.chars().any(char::is_alphabetic))
            .collect();
        let [first, middle @ .., last] = words.as_slice() else { return None };
        let (lead, other) = if first.len() > last.len() { (first, last) } else { (last, first) };
        let distinct = other.chars().count() >= DISTINCT;
        let middle = middle.iter().flat_map(|word| spelled(word)).collect();
        // Names of contacts are many, and short needles are dear.
        let least = if kind == Kind::Contact { SHORTEST + 2 } else { SHORTEST };
        (lead.len() >= least && lead != other).then(|| Name {
            seed,
            lead: spelled(lead),
            other: spelled(other),
            middle,
            distinct,
            number: None,
        })
    }

    /// An address: a line with the number of a house, then a town, whatever code stands before or behind it.
    fn address(seed: u32, value: &str) -> Option<Name> {
        let mut lines = value.split([',', '\n']).map(str::trim).filter(|line| !line.is_empty());
        let has_digit = |word: &str| word.bytes().any(|b| b.is_ascii_digit());
        let street = lines.next().filter(|line| has_digit(line) && line.chars().filter(|c| c.is_alphabetic()).count() >= DISTINCT)?;
        let (mut town, mut middle) = (String::new(), Vec::new());
        for line in lines {
            let (codes, words): (Vec<&str>, Vec<&str>) = line.split_whitespace().partition(|word| has_digit(word));
            middle.extend(codes);
            if town.is_empty() {
                town = words.join(" ");
            } else {
                middle.extend(words);
            }
        }
        let (numbers, road): (Vec<&str>, Vec<&str>) = street.split_whitespace().partition(|word| has_digit(word));
        let (number, road) = (numbers.join(" "), road.join(" "));
        middle.extend(&numbers);
        let middle = middle.into_iter().flat_map(spelled).collect();
        let whole = town.chars().count() >= DISTINCT && street.len() >= SHORTEST + 2;
        // Values of a form, whose blanks are signs, are undone one by one, and no two then stand beside each other.
        let of_form = |text: &str| {
            let mut out = spelled(text);
            out.extend(text.contains(' ').then(|| spelled(&text.replace(' ', "+"))).into_iter().flatten());
            out
        };
        let mut lead = of_form(street);
        if road.len() >= SHORTEST + 2 && numbers.len() == 1 {
            lead.extend(of_form(&road));
        }
        whole.then(|| Name { seed, lead, other: of_form(&town), middle, distinct: true, number: Some(number.into_bytes()) })
    }

    /// What is sought, and whether without regard to case: a short needle is cheap only where its case matters.
    pub(super) fn leads(&self) -> Vec<(Vec<u8>, bool)> {
        let mut out = Vec::new();
        for word in &self.lead {
            if word.len() >= SHORTEST + 2 {
                out.push((word.clone(), true));
            } else {
                out.extend([word.clone(), word.to_ascii_lowercase(), word.to_ascii_uppercase()].map(|word| (word, false)));
            }
        }
        out
    }

    /// Where the whole name stands around one of its words, and whether that is sure.
    pub(super) fn around(&self, text: &[u8], lead: &Range<usize>) -> Option<(Range<usize>, bool)> {
        if !is_whole(text, lead) || !self.is_numbered(text, lead) {
            return None;
        }
        let behind = (lead.end..=(lead.end + PART).min(text.len())).flat_map(|at| self.others().map(move |len| at..at + len));
        let before = (lead.start.saturating_sub(PART)..=lead.start).rev();
        let before = before.flat_map(|end| self.others().filter_map(move |len| end.checked_sub(len)).map(move |at| at..end));
        let found = |other: Range<usize>| {
            let (span, gap) = (other.start.min(lead.start)..other.end.max(lead.end), other.end.min(lead.end)..other.start.max(lead.start));
            let gap = text.get(gap)?;
            let sure = match self.gap(gap)? {
                Gap::Markup => self.distinct && (is_blank(gap) || !is_between(text, &span)),
                Gap::Records => false,
                Gap::Values if is_value(text, lead) && is_value(text, &other) => false,
                Gap::Values | Gap::Sentence => return None,
            };
            Some((span, sure))
        };
        let mut unsure = None;
        for other in behind.chain(before).filter(|other| self.is_other(text, other)) {
            match found(other) {
                Some((span, true)) => return Some((span, true)),
                other => unsure = unsure.or(other),
            }
        }
        unsure
    }

    /// Whether the number of the house stands in a street, or in the field beside it.
    fn is_numbered(&self, text: &[u8], street: &Range<usize>) -> bool {
        let Some(number) = &self.number else { return true };
        if text.get(street.clone()).is_some_and(|street| street.iter().any(u8::is_ascii_digit)) {
            return true;
        }
        let is_beside = |at: usize| {
            let span = at..at + number.len();
            let gap = span.end.min(street.end)..span.start.max(street.start);
            let is_number = text.get(span.clone()).is_some_and(|word| word.eq_ignore_ascii_case(number)) && is_whole(text, &span);
            // Another number between would be the house's.
            is_number && text.get(gap).is_some_and(|gap| !gap.iter().any(u8::is_ascii_digit) && self.gap(gap) == Some(Gap::Markup))
        };
        (street.end..(street.end + NEAR).min(text.len())).any(is_beside)
            || (street.start.saturating_sub(NEAR)..street.start.saturating_sub(number.len())).any(is_beside)
    }

    fn others(&self) -> impl Iterator<Item = usize> {
        self.other.iter().map(Vec::len)
    }

    fn is_other(&self, text: &[u8], span: &Range<usize>) -> bool {
        let Some(word) = text.get(span.clone()) else { return false };
        self.other.iter().any(|other| other.eq_ignore_ascii_case(word)) && is_whole(text, span)
    }

    /// What stands between the two words.
    fn gap(&self, gap: &[u8]) -> Option<Gap> {
        if gap.starts_with(b"\r\n--") && memchr::memmem::find(gap, b"\r\n\r\n").is_some_and(|head| head + 4 == gap.len()) {
            return Some(Gap::Markup);
        }
        if gap.len() > NEAR {
            return None;
        }
        let mut out = Gap::Markup;
        // Elements open since the first word: fields of one record are no deeper than each other.
        let mut depth = 0i32;
        let (mut at, mut closed) = (0, false);
        while let Some(rest) = gap.get(at..).filter(|rest| !rest.is_empty()) {
            let tag = rest.strip_prefix(b"<").and_then(|tag| memchr::memchr(b'>', tag).and_then(|end| tag.get(..end)));
            let word = letter(rest);
            if let Some(tag) = tag {
                depth += match tag {
                    [b'/', ..] => -1,
                    [.., b'/'] | [b'b' | b'B', b'r' | b'R', ..] => 0,
                    _ => 1,
                };
                if depth < -1 {
                    out = out.max(Gap::Records);
                }
                at += tag.len() + 2;
            } else if word > 0 {
                let len = word_len(rest);
                let after = rest.get(len..).unwrap_or_default();
                let named = is_named(after)
                    || [&b"</key>"[..], b"</name>"].iter().any(|end| after.starts_with(end))
                    || gap.get(..at).is_some_and(|before| before.ends_with(b"<") || before.ends_with(b"</"));
                let middle = || rest.get(..len).is_some_and(|word| self.middle.iter().any(|middle| middle.eq_ignore_ascii_case(word)));
                if !named && !middle() {
                    out = out.max(Gap::Values);
                }
                at += len;
            } else {
                closed |= rest.starts_with(b"}");
                let item = || rest.strip_prefix(b"\n").is_some_and(|line| line.trim_ascii_start().starts_with(b"- "));
                if closed && rest.starts_with(b"{") || item() {
                    out = out.max(Gap::Records);
                }
                if matches!(rest, [b'.' | b'!' | b'?', b' ' | b'\r' | b'\n', ..]) {
                    return Some(Gap::Sentence);
                }
                at += 1;
            }
        }
        Some(out)
    }
}

/// Whether a word with this behind it is the name of a field.
fn is_named(after: &[u8]) -> bool {
    let blank = after.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'"' | b'\'' | b'\\' | b']')).count();
    matches!(after.get(blank), Some(b':' | b'=' | b'>'))
}

/// Whether two words are parted by no more than blanks, or the end of a line on a page.
fn is_blank(gap: &[u8]) -> bool {
    !gap.iter().any(|b| matches!(b, b'"' | b'\'' | b'=' | b':' | b',' | b';' | b'|' | b'&' | b'\n'))
        && (!gap.contains(&b'<') || gap.starts_with(b"<br"))
}

/// Whether other words stand before or behind these in their fields: `"Bob Quist","Anna Miller"` names no Anna Quist.
fn is_between(text: &[u8], span: &Range<usize>) -> bool {
    let before = text.get(..span.start).and_then(|head| head.strip_suffix(b" ")).and_then(<[u8]>::last);
    let behind = text.get(span.end..).and_then(|tail| tail.strip_prefix(b" ")).filter(|rest| letter(rest) > 0);
    before.is_some_and(|b| b.is_ascii_alphanumeric() || !b.is_ascii())
        || behind.is_some_and(|rest| !rest.get(word_len(rest)..).is_some_and(is_named))
}

/// Whether no letter or digit of any script stands beside a word.
fn is_whole(text: &[u8], span: &Range<usize>) -> bool {
    let (head, tail) = (text.get(..span.start).unwrap_or_default(), text.get(span.end..).unwrap_or_default());
    let before = (2..=4).filter_map(|n| head.get(head.len().checked_sub(n)?..)).any(|last| letter(last) == last.len());
    Edge::Word.allows(text, span, true) && !before && (letter(tail) < 2)
}

/// Whether a word is all there is in a field.
fn is_value(text: &[u8], span: &Range<usize>) -> bool {
    let ends = |b: Option<&u8>| {
        b.is_none_or(|b| matches!(b, b'"' | b'\'' | b',' | b';' | b'|' | b'\t' | b'\r' | b'\n' | b'<' | b'>' | b'=' | b'&'))
    };
    ends(span.start.checked_sub(1).and_then(|at| text.get(at))) && ends(text.get(span.end))
}

/// How many bytes the letter or digit takes that a text begins with; none if there is none.
fn letter(text: &[u8]) -> usize {
    match text {
        [b, ..] if b.is_ascii() => usize::from(b.is_ascii_alphanumeric()),
        _ => {
            let char = (2..=4).find_map(|n| std::str::from_utf8(text.get(..n)?).ok()?.chars().next());
            // A combining mark belongs to the letter before it.
            char.filter(|c| c.is_alphanumeric() || matches!(c, '\u{300}'..='\u{36f}')).map_or(0, char::len_utf8)
        }
    }
}

/// How long the word is that a text begins with: the name of a field has dots and the like in it.
fn word_len(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        let sign = usize::from(
            matches!(rest, [b'_' | b'-' | b'.' | b'$' | b'[', next, ..] if *next == b'_' || letter(rest.get(1..).unwrap_or_default()) > 0),
        );
        match letter(rest).max(sign) {
            0 => break,
            len => at += len,
        }
    }
    at
}
