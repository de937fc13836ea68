//! Telephone numbers however their digits are grouped: `(07700) 900-570`, `+49(170)12345678`, `0170 / 1234 5678`.
//!
//! The first digits behind the country code, a needle like others, lead here; the rest of them is looked for behind.

use std::ops::Range;

use policies::IdentifierType as Kind;

use super::forms::{country_code, digits};

/// So many signs stand between two digits: ` / `, `) -`.
const APART: usize = 3;
/// Fewer digits stand in any order by chance.
const SHORTEST: usize = 7;

/// A planted number with its country code.
#[derive(Clone, Debug)]
pub(super) struct Phone {
    pub(super) seed: u32,
    code: Vec<u8>,
    national: Vec<u8>,
}

impl Phone {
    pub(super) fn parse(seed: u32, kind: Kind, value: &str) -> Option<Phone> {
        if kind != Kind::Msisdn || !(value.starts_with('+') || value.starts_with("00")) {
            return None;
        }
        let all = digits(value);
        let bare = all.strip_prefix(b"00").unwrap_or(&all);
        let (code, national) = bare.split_at_checked(country_code(bare))?;
        (national.len() >= SHORTEST).then(|| Phone { seed, code: code.to_vec(), national: national.to_vec() })
    }

    /// What is sought: four digits, or an area code of three or two with what stands beside it.
    pub(super) fn leads(&self) -> Vec<Vec<u8>> {
        let first = |n: usize| self.national.get(..n).unwrap_or_default();
        let behind = |sign: &u8| [first(3), &[*sign]].concat();
        let zero = |sign: &u8| [b"0", first(2), &[*sign]].concat();
        let mut out = vec![first(4).to_vec(), [b"(", first(2), b")"].concat()];
        out.extend(b" )-/".iter().map(behind).chain(b" )/".iter().map(zero)));
        out
    }

    /// Where the number stands around its first digits.
    pub(super) fn around(&self, text: &[u8], lead: &Range<usize>) -> Option<Range<usize>> {
        // A bracket or a zero may stand before the digits.
        [lead.start, lead.start + 1].into_iter().find_map(|first| Some(self.start(text, first)?..self.end(text, first)?))
    }

    fn end(&self, text: &[u8], first: usize) -> Option<usize> {
        let mut at = first;
        for digit in &self.national {
            if at > first {
                at += text.get(at..)?.iter().take(APART).take_while(|b| is_sign(b)).count();
            }
            if text.get(at)? != digit {
                return None;
            }
            at += 1;
        }
        text.get(at).is_none_or(|b| !b.is_ascii_digit()).then_some(at)
    }

    /// With the zero of calls inside the country and with the country's code, where they are.
    fn start(&self, text: &[u8], first: usize) -> Option<usize> {
        let head = text.get(..first)?;
        let bare = |head: &'_ [u8]| head.len() - head.iter().rev().take(APART).take_while(|b| is_sign(b)).count();
        let without =
            |end: usize, what: &[u8]| head.get(..bare(head.get(..end)?)).and_then(|head| head.strip_suffix(what)).map(<[u8]>::len);
        let zero = without(first, b"0");
        let code = without(zero.unwrap_or(first), &self.code).or_else(|| without(first, &self.code));
        let code = code.map(|at| {
            let head = head.get(..at).unwrap_or_default();
            head.strip_suffix(b"+").or_else(|| head.strip_suffix(b"00")).map_or(at, <[u8]>::len)
        });
        let alone = |at: usize| head.get(..at).and_then(<[u8]>::last).is_none_or(|b| !b.is_ascii_digit());
        let start = [code, zero, Some(first)].into_iter().flatten().find(|at| alone(*at))?;
        // The same digits in another country.
        let before = head.get(..bare(head.get(..start)?))?;
        let other = before.iter().rev().take(4).take_while(|b| b.is_ascii_digit()).count();
        let abroad = other > 0 && before.get(..before.len() - other).is_some_and(|head| head.ends_with(b"+"));
        (!abroad).then_some(start)
    }
}

fn is_sign(b: &u8) -> bool {
    matches!(b, b' ' | b'(' | b')' | b'-' | b'.' | b'/' | b'\t')
}
