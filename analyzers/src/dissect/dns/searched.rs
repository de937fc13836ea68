//! What of a message is searched beside the names as they are written: labels joined, records, options, and what stands behind the end.

use std::net::Ipv6Addr;

use smallvec::SmallVec;

use super::message::{self, Record, rr};
use super::{Dns, Flavour, hash};
use crate::dissect::Cx;
use crate::dissect::marks::Origin;
use crate::dissect::search::{From, Place, Spot};
use crate::flow::Dir;
use crate::text::{Bare, Text};

/// Parts of a message that are no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Record,
    Options,
    Tail,
}

impl Flavour {
    pub(super) fn part(self, part: Part) -> Place<'static> {
        Place::Of(match (self, part) {
            (Flavour::Dns, Part::Record) => "dns.record",
            (Flavour::Dns, Part::Options) => "dns.edns",
            (Flavour::Dns, Part::Tail) => "dns.tail",
            (Flavour::Mdns, Part::Record) => "mdns.record",
            (Flavour::Mdns, Part::Options) => "mdns.edns",
            (Flavour::Mdns, Part::Tail) => "mdns.tail",
            (Flavour::Llmnr, _) => "llmnr.message",
            (Flavour::Nbns, _) => "nbns.message",
        })
    }
}

impl Dns {
    /// Searches a name that is asked for.
    pub(super) fn search(&self, bytes: &[u8], name: &[u8], question: message::Question, dir: Dir, origin: Origin, cx: &mut Cx<'_>) {
        if name.is_empty() {
            return;
        }
        let from = Origin { offset: origin.offset + question.at as u64, len: (question.end - question.at) as u64, ..origin };
        let spot = Spot { place: self.flavour.place(), dir, layer: self.layer, from: From::Decoded(from), chain: &[] };
        cx.search_whole(&spot, name);
        Labels::read(bytes, question.at).search(&spot, cx);
    }

    /// A record that is told and announces nothing.
    pub(super) fn known(&mut self, bytes: &[u8], record: Record<'_>, dir: Dir, origin: Origin, cx: &mut Cx<'_>) {
        let key = hash(&(record.kind, record.data, bytes.get(record.name..record.at), dir));
        if self.said.contains(&key) {
            return;
        }
        self.remember(key);
        self.search_owner(bytes, record, self.flavour.place(), dir, origin, cx);
        self.search_record(bytes, record, dir, origin, cx);
    }

    /// The name that a record is about.
    pub(super) fn search_owner(&self, bytes: &[u8], record: Record<'_>, place: Place<'static>, dir: Dir, origin: Origin, cx: &mut Cx<'_>) {
        if let Some(owner) = self.read_name(bytes, record.name).filter(|owner| !owner.is_empty()) {
            search_name(&Spot { place, ..self.spot(Part::Record, dir, record.name, record.data, origin) }, &owner, cx);
        }
    }

    /// What a record says: the strings of a text, the options of an OPT record (RFC 6891 §6.1.2), names, or its bytes as they are.
    pub(super) fn search_record(&mut self, bytes: &[u8], record: Record<'_>, dir: Dir, origin: Origin, cx: &mut Cx<'_>) {
        let (spot, data) = (
            self.spot(if record.kind == rr::OPT { Part::Options } else { Part::Record }, dir, record.at, record.data, origin),
            record.data,
        );
        match record.kind {
            rr::TXT => {
                let strings = strings(data);
                for string in &strings {
                    cx.search_whole(&spot, string);
                }
                if strings.len() > 1 {
                    cx.search_again(&spot, &strings.concat());
                }
            }
            rr::OPT => {
                let mut rest = data;
                while let Some([_, _, a, b]) = rest.first_chunk::<4>().copied() {
                    let end = (4 + usize::from(u16::from_be_bytes([a, b]))).min(rest.len());
                    let (option, after) = rest.split_at(end);
                    cx.search_whole(&spot, option.get(4..).unwrap_or_default());
                    rest = after;
                }
            }
            rr::PTR | rr::CNAME | rr::NS => {
                if let Some(name) = self.read_name(bytes, record.at) {
                    search_name(&spot, &name, cx);
                }
            }
            // Behind a preference; behind priority, weight and port (RFC 2782).
            rr::MX | rr::SRV if self.flavour != Flavour::Nbns => {
                let before = if record.kind == rr::MX { 2 } else { 6 };
                if let Some(name) = self.read_name(bytes, record.at + before) {
                    search_name(&spot, &name, cx);
                }
            }
            // A server, and the mail address of who answers for it, its first label the user (RFC 1035 §3.3.13).
            rr::SOA => {
                let mail = message::skip_name(bytes, record.at);
                for at in [Some(record.at), mail].into_iter().flatten() {
                    if let Some(name) = self.read_name(bytes, at) {
                        search_name(&spot, &name, cx);
                    }
                }
                let mut labels: SmallVec<[&[u8]; MOST_JOINED]> = SmallVec::new();
                if mail.and_then(|at| message::labels(bytes, at, |label| labels.push(label))).is_some()
                    && let Some((user, host)) = labels.split_first()
                {
                    cx.search_again(&spot, &[user, &b"@"[..], &host.join(&b'.')].concat());
                }
            }
            rr::A | rr::AAAA => {}
            _ => cx.search_whole(&spot, data),
        }
    }

    /// Bytes behind the message, which no resolver reads and everybody sees.
    pub(super) fn search_tail(&self, bytes: &[u8], from: usize, dir: Dir, origin: Origin, cx: &mut Cx<'_>) {
        let tail = bytes.get(from..).unwrap_or_default();
        if tail.iter().any(|b| *b != 0) {
            cx.search_whole(&self.spot(Part::Tail, dir, from, tail, origin), tail);
        }
    }

    pub(super) fn spot(&self, part: Part, dir: Dir, at: usize, data: &[u8], origin: Origin) -> Spot<'static> {
        let from = Origin { offset: origin.offset + at as u64, len: data.len() as u64, ..origin };
        Spot { place: self.flavour.part(part), dir, layer: self.layer, from: From::Decoded(from), chain: &[] }
    }
}

/// Searches a name that is told: as it is written, and as its labels are where that differs.
fn search_name(spot: &Spot<'_>, name: &[u8], cx: &mut Cx<'_>) {
    cx.search_whole(spot, name);
    if let Some(plain) = message::unescaped(name) {
        cx.search_again(spot, &plain);
    }
}

/// A name as it is shown: where an escape would hide a value from the mask, as its labels are.
pub(super) fn shown(name: &[u8], cx: &Cx<'_>) -> Text {
    hidden(name, |plain| cx.text(plain)).unwrap_or_else(|| cx.text(name))
}

/// The text of a name without its escapes, if `veil` hides something in it.
pub(super) fn hidden(name: &[u8], veil: impl Fn(&[u8]) -> Text) -> Option<Text> {
    let plain = message::unescaped(name)?;
    Some(veil(&plain)).filter(|text| *text != Text::veiled(&plain, &Bare))
}

/// The strings of a TXT record that say something.
pub(super) fn strings(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut out = Vec::new();
    while let [len, tail @ ..] = rest {
        let (item, after) = tail.split_at(usize::from(*len).min(tail.len()));
        if !item.is_empty() {
            out.push(item);
        }
        rest = after;
    }
    out
}

/// Every run of the first labels is joined; of a name with more also all of them: a name has 253 characters, and who spreads a value fills its
/// labels.
const MOST_JOINED: usize = 8;
/// What is shorter than this holds no value that is proof (forms of planted values).
const SHORTEST_JOIN: usize = 8;
/// Shorter runs of base32 are words: 80 bits.
const SHORTEST_BASE32: usize = 16;

/// Searches the labels of a name that was written with dots, as those of a question are.
pub(crate) fn search_labels(spot: &Spot<'_>, name: &[u8], cx: &mut Cx<'_>) {
    Labels { labels: name.split(|b| *b == b'.').collect(), odd: false }.search(spot, cx);
}

/// The labels of a name.
struct Labels<'a> {
    labels: SmallVec<[&'a [u8]; MOST_JOINED]>,
    /// One holds what the written name would not show as itself.
    odd: bool,
}

impl<'a> Labels<'a> {
    fn read(bytes: &'a [u8], at: usize) -> Labels<'a> {
        let mut it = Labels { labels: SmallVec::new(), odd: false };
        let read = message::labels(bytes, at, |label| {
            it.odd |= label.iter().any(|b| matches!(b, b'.' | b'\\'));
            it.labels.push(label);
        });
        if read.is_none() {
            it.labels.clear();
        }
        it
    }

    /// Searches what labels are together, in base32, and read from the last to the first.
    fn search(&self, spot: &Spot<'_>, cx: &mut Cx<'_>) {
        for (bytes, chain) in [(self.joined(), &[][..]), (self.base32(), &["base32"]), (self.reversed(), &["reversed"])] {
            if !bytes.is_empty() {
                cx.search_again(&Spot { chain, ..*spot }, &bytes);
            }
        }
    }

    /// Runs of two labels and more. The last label is the registry's, except of names that are none.
    fn runs(&self) -> impl Iterator<Item = &[&'a [u8]]> {
        let last = self.labels.len().saturating_sub(1);
        let first = last.min(MOST_JOINED);
        let short = (0..first).flat_map(move |from| (from + 2..=first).map(move |to| &self.labels[from..to]));
        short.chain((last > first).then(|| &self.labels[..last]))
    }

    /// The labels by themselves where dots could not show them, and every run of them without its dots: a value, its base64 or a hash that
    /// is longer than a label stands across several. Runs are parted by a byte that belongs to no coding.
    fn joined(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut add = |run: &[&[u8]]| {
            if run.iter().map(|l| l.len()).sum::<usize>() >= SHORTEST_JOIN {
                out.extend(run.iter().copied().flatten());
                out.push(b'|');
            }
        };
        if self.odd {
            self.labels.iter().for_each(|label| add(&[label]));
        }
        self.runs().for_each(&mut add);
        out
    }

    /// The number that a name of single digits is made of: a phone's (RFC 6116 §3.2), or an address (RFC 3596 §2.5), of which one may be made
    /// of a link address.
    fn reversed(&self) -> Vec<u8> {
        let digits = |is: fn(&u8) -> bool| -> Vec<u8> {
            let digit = |label: &&[u8]| if let [b] = label { Some(*b).filter(is) } else { None };
            let mut out: Vec<u8> = self.labels.iter().map_while(digit).collect();
            out.reverse();
            out
        };
        let hex = digits(u8::is_ascii_hexdigit);
        if hex.len() == 32 {
            let nibbles = hex.iter().filter_map(|b| crate::encode::nibble(*b));
            return Ipv6Addr::from(nibbles.fold(0u128, |all, nibble| all << 4 | u128::from(nibble))).to_string().into_bytes();
        }
        let number = digits(u8::is_ascii_digit);
        if number.len() < SHORTEST_JOIN { Vec::new() } else { [b"+", &number[..]].concat() }
    }

    /// What labels and runs of them are in base32 (RFC 4648 §6 and §7), which is made for names: upper and lower case are the same.
    fn base32(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut add = |text: &[u8]| {
            if text.len() >= SHORTEST_BASE32 {
                for first in [b"A2", b"0A"] {
                    if let Some(bytes) = base32(text, *first) {
                        out.extend_from_slice(&bytes);
                        out.push(b'|');
                    }
                }
            }
        };
        self.labels.iter().for_each(|label| add(label));
        self.runs().for_each(|run| add(&run.concat()));
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
