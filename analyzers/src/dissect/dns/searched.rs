//! What of a message is searched beside the names as they are written: labels joined, records, options, and what stands behind the end.

use smallvec::SmallVec;

use super::message::{self, Record, rr};
use super::{Dns, Flavour, hash};
use crate::dissect::Cx;
use crate::dissect::marks::Origin;
use crate::dissect::search::{From, Place, Spot};
use crate::flow::Dir;
use crate::leak::labels::Labels;
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
        search_joined(&labels(bytes, question.at), &spot, cx);
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
                let mut labels: SmallVec<[&[u8]; 8]> = SmallVec::new();
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

/// Searches the labels of a name that was written with dots, as those of a question are.
pub(crate) fn search_labels(spot: &Spot<'_>, name: &[u8], cx: &mut Cx<'_>) {
    search_joined(&Labels::of(name), spot, cx);
}

/// The labels of the name at `at`, or none if it breaks off.
fn labels(bytes: &[u8], at: usize) -> Labels<'_> {
    let mut it = Labels::default();
    if message::labels(bytes, at, |label| it.push(label)).is_none() {
        it = Labels::default();
    }
    it
}

/// Searches what labels are together, in base32, and read from the last to the first.
fn search_joined(labels: &Labels<'_>, spot: &Spot<'_>, cx: &mut Cx<'_>) {
    for joined in labels.joined() {
        cx.search_again(&Spot { chain: joined.chain(), ..*spot }, &joined.bytes);
    }
}
