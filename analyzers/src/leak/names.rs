//! Names whose words stand in fields beside each other: `<first>Anna</first><last>Quist</last>`, `{"fn":"Anna","ln":"Quist"}`; and addresses, by
//! the line of the street and the town. Also the two numbers of a position in fields of binary formats, and the four of a cell.
//!
//! One word of a name, a needle like others, leads here; the other word is looked for around it.

use std::ops::Range;

use policies::IdentifierType as Kind;

use super::forms::{floats, spelled};
use super::items::is_short_item;
use super::table::{Edge, SHORTEST};

/// So far apart two fields stand with nothing but their names between them.
const NEAR: usize = 64;
/// The same for parts of a multipart form (RFC 7578), which have a boundary and a header each.
const PART: usize = 256;
/// So far apart two numbers stand with nothing but the name and the head of a field between them.
const FIELD: usize = 24;
/// So far apart the four numbers of a cell stand with other fields between them.
const CELL: usize = 160;
/// Two numbers of fewer digits together are anybody's.
const DISTINCT_NUMBERS: usize = 7;
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
    /// The two are numbers of a position, as bytes.
    numbers: bool,
    /// Of an address: the number of the house, which stands beside the street where that is found without.
    number: Option<Vec<u8>>,
    /// Of a cell: its other numbers, each in its spellings, which stand around in any order.
    parts: Vec<Vec<Vec<u8>>>,
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
            numbers: false,
            number: None,
            parts: Vec::new(),
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
        whole.then(|| Name {
            seed,
            lead,
            other: of_form(&town),
            middle,
            distinct: true,
            numbers: false,
            number: Some(number.into_bytes()),
            parts: Vec::new(),
        })
    }

    /// A cell: country, network, area and cell, of which the longest leads to the others.
    pub(super) fn cell(seed: u32, value: &str) -> Option<Name> {
        let parts: Vec<&str> = value.split('-').collect();
        let [country, network, area, cell] = parts.as_slice() else { return None };
        let (lead, other) = if area.len() > cell.len() { (area, cell) } else { (cell, area) };
        let short = network.trim_start_matches('0');
        let bytes = |text: &str| text.as_bytes().to_vec();
        let parts = vec![vec![bytes(other)], vec![bytes(country)], vec![bytes(network), bytes(if short.is_empty() { "0" } else { short })]];
        let distinct = lead.len() >= SHORTEST && lead.len() + other.len() >= DISTINCT_NUMBERS;
        distinct.then(|| Name {
            seed,
            lead: vec![bytes(lead)],
            other: Vec::new(),
            middle: Vec::new(),
            distinct,
            numbers: false,
            number: None,
            parts,
        })
    }

    /// The numbers of a position as floating point of 32 and 64 bits, which stand in fields beside each other: one leads to the other.
    pub(super) fn numbers(seed: u32, value: &str) -> Vec<Name> {
        let pair = |[lead, other]: [Vec<u8>; 2]| Name {
            seed,
            lead: vec![lead],
            other: vec![other],
            middle: Vec::new(),
            distinct: true,
            numbers: true,
            number: None,
            parts: Vec::new(),
        };
        floats(value).into_iter().map(pair).collect()
    }

    /// What is sought, and whether without regard to case: a short needle is cheap only where its case matters.
    pub(super) fn leads(&self) -> Vec<(Vec<u8>, bool)> {
        let mut out = Vec::new();
        for word in &self.lead {
            if self.numbers || !self.parts.is_empty() {
                out.push((word.clone(), false));
            } else if word.len() >= SHORTEST + 2 {
                out.push((word.clone(), true));
            } else {
                out.extend([word.clone(), word.to_ascii_lowercase(), word.to_ascii_uppercase()].map(|word| (word, false)));
            }
        }
        out
    }

    /// Where the whole name stands around one of its words, and whether that is sure.
    pub(super) fn around(&self, text: &[u8], lead: &Range<usize>) -> Option<(Range<usize>, bool)> {
        if self.numbers {
            return self.beside(text, lead).map(|span| (span, true));
        }
        if !self.parts.is_empty() {
            return self.all_around(text, lead).map(|span| (span, true));
        }
        if !is_word(text, lead) || !self.is_numbered(text, lead) {
            return None;
        }
        let behind = (lead.end..=(lead.end + PART).min(text.len())).flat_map(|at| self.others().map(move |len| at..at + len));
        let before = (lead.start.saturating_sub(PART)..=lead.start).rev();
        let before = before.flat_map(|end| self.others().filter_map(move |len| end.checked_sub(len)).map(move |at| at..end));
        let found = |other: Range<usize>| {
            let (span, gap) = (other.start.min(lead.start)..other.end.max(lead.end), other.end.min(lead.end)..other.start.max(lead.start));
            let behind = span.end - gap.end;
            let gap = text.get(gap)?;
            let sure = match if is_head(gap, behind) { Gap::Markup } else { self.gap(gap)? } {
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

    /// All other numbers of a cell, each by itself.
    fn all_around(&self, text: &[u8], lead: &Range<usize>) -> Option<Range<usize>> {
        let from = lead.start.saturating_sub(CELL);
        let near = text.get(from..(lead.end + CELL).min(text.len()))?;
        let mut span = is_number(text, lead).then(|| lead.clone())?;
        for part in &self.parts {
            let all = part.iter().flat_map(|number| memchr::memmem::find_iter(near, number).map(|at| from + at..from + at + number.len()));
            let nearest = all.filter(|at| is_number(text, at)).min_by_key(|at| at.start.abs_diff(lead.start))?;
            span = nearest.start.min(span.start)..nearest.end.max(span.end);
        }
        Some(span)
    }

    /// The other number, with no more than the name and the head of its field between the two.
    fn beside(&self, text: &[u8], lead: &Range<usize>) -> Option<Range<usize>> {
        let other = self.other.first()?;
        let near = lead.start.saturating_sub(FIELD + other.len())..(lead.end + FIELD + other.len()).min(text.len());
        let at = memchr::memmem::find(text.get(near.clone())?, other)? + near.start;
        Some(at.min(lead.start)..(at + other.len()).max(lead.end))
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
        self.other.iter().any(|other| other.eq_ignore_ascii_case(word)) && is_word(text, span)
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

/// Whether a word stands alone: between signs, or as an item of a binary format.
fn is_word(text: &[u8], span: &Range<usize>) -> bool {
    is_whole(text, span) || is_short_item(text, span, true)
}

/// Whether no letter or digit of any script stands beside a word.
fn is_whole(text: &[u8], span: &Range<usize>) -> bool {
    let (head, tail) = (text.get(..span.start).unwrap_or_default(), text.get(span.end..).unwrap_or_default());
    let before = (2..=4).filter_map(|n| head.get(head.len().checked_sub(n)?..)).any(|last| letter(last) == last.len());
    Edge::Word.allows(text, span, true) && !before && (letter(tail) < 2)
}

/// Whether a number is no part of a longer one, or of a word.
fn is_number(text: &[u8], span: &Range<usize>) -> bool {
    let at = |at: Option<usize>| at.and_then(|at| text.get(at)).copied().unwrap_or(b' ');
    let before = (at(span.start.checked_sub(2)), at(span.start.checked_sub(1)));
    let joins = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let point = |b: u8, digit: u8| b == b'.' && digit.is_ascii_digit();
    !joins(before.1) && !point(before.1, before.0) && !joins(at(Some(span.end))) && !point(at(Some(span.end)), at(Some(span.end + 1)))
}

/// Whether a word is all there is in a field.
fn is_value(text: &[u8], span: &Range<usize>) -> bool {
    let ends = |b: Option<&u8>| {
        b.is_none_or(|b| matches!(b, b'"' | b'\'' | b',' | b';' | b'|' | b'\t' | b'\r' | b'\n' | b'<' | b'>' | b'=' | b'&'))
    };
    ends(span.start.checked_sub(1).and_then(|at| text.get(at))) && ends(text.get(span.end))
}

/// Whether nothing but the key and the head of the second stand between two strings of a binary format. `len`: that of the second.
fn is_head(gap: &[u8], len: usize) -> bool {
    let Ok(len) = u8::try_from(len) else { return false };
    let Some((last, front)) = gap.split_last() else { return false };
    let is_one = |kind: u8, most: u8| len < most && *last == kind | len;
    // CBOR, in either of its strings, and MessagePack: a key of letters, a number, or none as in a list.
    let map = |front: &[u8]| matches!(front, [] | [0..0x18]) || is_key(front, 0x60, 0x18) || is_key(front, 0xa0, 0x20);
    // Property lists have all strings behind each other.
    if is_one(0x60, 0x18) || is_one(0x40, 0x18) || is_one(0xa0, 0x20) || is_one(0x50, 0x0f) && front.is_empty() {
        return map(front);
    }
    match gap {
        [rest @ .., 0xd9 | 0xc4 | b'x' | b'X', said] if *said == len && len >= 0x18 => map(rest),
        // Protocol Buffers, the other word in the field in front, and the numbers and strings of ASN.1: nothing else stands between.
        [kind, said] => *said == len && (kind & 7 == 2 && *kind >= 8 || matches!(kind, 0x04 | 0x0c | 0x13 | 0x16)),
        // An attribute of LDAP in a sequence, its values in a set (RFC 4511 §4.7).
        [0x30, _, 0x04, name, rest @ .., 0x31, _, 0x04, said] => {
            *said == len && usize::from(*name) == rest.len() && rest.iter().all(is_of_a_key)
        }
        // BSON.
        [0, 0x02, rest @ .., 0, low, 0, 0, 0] => u8::checked_add(len, 1) == Some(*low) && rest.iter().all(is_of_a_key),
        _ => false,
    }
}

/// Whether these bytes are a key with kind and length in one byte in front.
fn is_key(text: &[u8], kind: u8, most: usize) -> bool {
    let Some((head, key)) = text.split_first() else { return false };
    (1..most).contains(&key.len()) && usize::from(*head) == usize::from(kind) + key.len() && key.iter().all(is_of_a_key)
}

fn is_of_a_key(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':' | b' ')
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
