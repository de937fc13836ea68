//! What the labels of a name say together: a value, its base64 or a hash that is longer than a label stands across several.

use std::net::Ipv6Addr;
use std::ops::Range;

use smallvec::SmallVec;

/// Every run of the first labels is joined; of a name with more also all of them: a name has 253 characters, and who spreads a value fills its
/// labels.
const MOST_JOINED: usize = 8;
/// What is shorter than this holds no value that is proof (forms of planted values).
pub(super) const SHORTEST_JOIN: usize = 8;
/// Shorter runs of base32 are words: 80 bits.
const SHORTEST_BASE32: usize = 16;

/// The labels of a name.
#[derive(Debug, Default)]
pub(crate) struct Labels<'a> {
    labels: SmallVec<[&'a [u8]; MOST_JOINED]>,
    /// One holds what the written name would not show as itself.
    odd: bool,
}

/// How labels are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    AsItIs,
    Base32,
    Reversed,
}

/// Labels in one reading.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    pub(crate) bytes: Vec<u8>,
    reading: Reading,
    /// Where a run of labels begins in these bytes, and which it is.
    runs: Vec<(usize, Range<usize>)>,
}

impl Joined {
    /// The decoder that is undone.
    pub(crate) fn chain(&self) -> &'static [&'static str] {
        match self.reading {
            Reading::AsItIs => &[],
            Reading::Base32 => &["base32"],
            Reading::Reversed => &["reversed"],
        }
    }

    fn add(&mut self, run: Range<usize>, bytes: impl IntoIterator<Item = u8>) {
        self.runs.push((self.bytes.len(), run));
        self.bytes.extend(bytes);
        // Runs are parted by a byte that belongs to no coding.
        self.bytes.push(b'|');
    }

    /// The labels that a span of these bytes came from. Not told of one label as it is, which shows by itself.
    pub(super) fn labels_of(&self, labels: &Labels<'_>, span: &Range<usize>) -> Option<Range<usize>> {
        let next = self.runs.partition_point(|(start, _)| *start <= span.start);
        let (start, run) = self.runs.get(next.checked_sub(1)?)?;
        let within = span.start - start..span.end.saturating_sub(*start);
        let told = match self.reading {
            Reading::AsItIs => within,
            // Five bits in each character.
            Reading::Base32 => within.start * 8 / 5..(within.end * 8).div_ceil(5),
            Reading::Reversed => return Some(run.clone()),
        };
        let (mut at, mut first, mut end) = (0, None, run.start);
        for (n, label) in run.clone().zip(labels.run(run)) {
            if at < told.end && told.start < at + label.len() {
                first.get_or_insert(n);
                end = n + 1;
            }
            at += label.len();
        }
        first.filter(|first| *first + 1 < end || self.reading != Reading::AsItIs).map(|first| first..end)
    }
}

impl<'a> Labels<'a> {
    /// Those of a name that is written with dots.
    pub(crate) fn of(name: &'a [u8]) -> Labels<'a> {
        Labels { labels: name.split(|b| *b == b'.').collect(), odd: false }
    }

    /// One more, as it stands in a message.
    pub(crate) fn push(&mut self, label: &'a [u8]) {
        self.odd |= label.iter().any(|b| matches!(b, b'.' | b'\\'));
        self.labels.push(label);
    }

    /// Where labels stand in the name that was written with dots.
    pub(super) fn span(&self, run: &Range<usize>) -> Range<usize> {
        let until = |n: usize| self.labels.iter().take(n).map(|label| label.len() + 1).sum::<usize>();
        until(run.start)..until(run.end).saturating_sub(1)
    }

    /// What they are together, in base32, and read from the last to the first; what says nothing is left out.
    pub(crate) fn joined(&self) -> impl Iterator<Item = Joined> {
        [self.as_they_are(), self.base32(), self.reversed()].into_iter().filter(|joined| !joined.bytes.is_empty())
    }

    /// Runs of two labels and more. The last label is the registry's, except of names that are none.
    fn runs(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let last = self.labels.len().saturating_sub(1);
        let first = last.min(MOST_JOINED);
        let short = (0..first).flat_map(move |from| (from + 2..=first).map(move |to| from..to));
        short.chain((last > first).then_some(0..last))
    }

    fn run(&self, run: &Range<usize>) -> &[&'a [u8]] {
        self.labels.get(run.clone()).unwrap_or_default()
    }

    /// The labels by themselves where dots could not show them, and every run of them without its dots.
    fn as_they_are(&self) -> Joined {
        let mut out = Joined::default();
        let odd = (0..self.labels.len()).map(|n| n..n + 1).filter(|_| self.odd);
        for run in odd.chain(self.runs()) {
            let labels = self.run(&run);
            if labels.iter().map(|l| l.len()).sum::<usize>() >= SHORTEST_JOIN {
                out.add(run.clone(), labels.iter().copied().flatten().copied());
            }
        }
        out
    }

    /// The number that a name of single digits is made of: a phone's (RFC 6116 §3.2), or an address (RFC 3596 §2.5), of which one may be made
    /// of a link address.
    fn reversed(&self) -> Joined {
        let mut out = Joined { reading: Reading::Reversed, ..Joined::default() };
        let digits = |is: fn(&u8) -> bool| -> Vec<u8> {
            let digit = |label: &&[u8]| if let [b] = label { Some(*b).filter(is) } else { None };
            let mut out: Vec<u8> = self.labels.iter().map_while(digit).collect();
            out.reverse();
            out
        };
        let hex = digits(u8::is_ascii_hexdigit);
        if hex.len() == 32 {
            let nibbles = hex.iter().filter_map(|b| crate::encode::nibble(*b));
            let address = Ipv6Addr::from(nibbles.fold(0u128, |all, nibble| all << 4 | u128::from(nibble)));
            out.add(0..32, address.to_string().into_bytes());
            return out;
        }
        let number = digits(u8::is_ascii_digit);
        if number.len() >= SHORTEST_JOIN {
            out.add(0..number.len(), std::iter::once(b'+').chain(number.iter().copied()));
        }
        out
    }

    /// What labels and runs of them are in base32 (RFC 4648 §6 and §7), which is made for names: upper and lower case are the same.
    fn base32(&self) -> Joined {
        let mut out = Joined { reading: Reading::Base32, ..Joined::default() };
        for run in (0..self.labels.len()).map(|n| n..n + 1).chain(self.runs()) {
            let labels = self.run(&run);
            if labels.iter().map(|l| l.len()).sum::<usize>() >= SHORTEST_BASE32 {
                let text = labels.concat();
                for first in [b"A2", b"0A"] {
                    if let Some(bytes) = base32(&text, *first) {
                        out.add(run.clone(), bytes);
                    }
                }
            }
        }
        out
    }
}

/// The bytes of base32. The alphabet is what its values 0 and 26 (`A` and `2`) or 0 and 10 (`0` and `A`) are written as, and what follows each.
fn base32(text: &[u8], [zero, next]: [u8; 2]) -> Option<Vec<u8>> {
    let (low, high) = if zero == b'A' { (26, 6) } else { (10, 22) };
    let (mut bits, mut have, mut out) = (0u32, 0, Vec::with_capacity(text.len() * 5 / 8));
    for b in text {
        let b = b.to_ascii_uppercase();
        let value = match (b.wrapping_sub(zero), b.wrapping_sub(next)) {
            (value, _) if value < low => value,
            (_, value) if value < high => value + low,
            _ => return None,
        };
        bits = bits << 5 | u32::from(value);
        have += 5;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
        }
    }
    Some(out)
}
