//! The engine as a veil: what must not be written down, and what stands there instead.

use std::ops::Range;

use policies::IdentifierType as Kind;

use super::Engine;
use super::clean::Purpose;
use super::labels::{Labels, SHORTEST_JOIN};
use super::table::Hit;
use crate::text::{Text, Veil, Veiled};

impl Veil for Engine {
    fn spans(&self, bytes: &[u8], out: &mut Vec<Veiled>) {
        // Most that is written down was written before.
        let mark = self.clean.mark(Purpose::Hide, bytes);
        if mark.is_some_and(|mark| self.clean.has(mark)) {
            return;
        }
        if let Some(mut hidden) = self.hide(bytes) {
            self.hide_names(bytes, &mut hidden);
            if let Some(mark) = mark.filter(|_| hidden.is_empty()) {
                self.clean.keep(mark);
            }
            join(hidden, out);
        } else {
            // Coded so deeply that it could not be searched to the end: what is not known to be harmless is not shown.
            out.push(Veiled { span: 0..bytes.len(), mask: self.mask_of(bytes).as_str().to_owned() });
        }
    }
}

/// A name has 255 bytes (RFC 1035 §2.3.4); one that is written may have an escape for each.
const LONGEST_NAME: usize = 512;
/// So many names in one text are read label by label. Behind them nothing is shown.
const MOST_NAMES: usize = 128;

impl Engine {
    fn mask_of(&self, bytes: &[u8]) -> Text {
        self.mask(Kind::Text, &String::from_utf8_lossy(bytes))
    }

    /// Hides what the labels of names in a text say together, as the search of names finds it.
    fn hide_names(&self, bytes: &[u8], hidden: &mut Vec<(Range<usize>, Text)>) {
        let parts = |b: u8| matches!(b, b'/' | b'?' | b'&' | b'#' | b'=' | b':' | b';' | b',' | b'@' | b'\'' | b'(' | b')' | b'<' | b'>');
        let may_hold = |name: &[u8]| (SHORTEST_JOIN + 1..=LONGEST_NAME).contains(&name.len()) && name.contains(&b'.');
        let (mut names, mut at) = (0, 0);
        for word in bytes.split(|b| *b <= b' ' || *b == b'"') {
            let start = at;
            at += word.len() + 1;
            // A name as it is told may hold anything; in a URL it stands between other signs.
            let whole = memchr::memmem::find(word, b"://").is_none().then_some((start, word));
            let mut within = start;
            let pieces = word.split(|b| parts(*b)).map(|piece| {
                let from = within;
                within += piece.len() + 1;
                (from, piece)
            });
            for (from, name) in whole.into_iter().chain(pieces.filter(|(_, piece)| piece.len() < word.len())) {
                if !may_hold(name) {
                    continue;
                }
                names += 1;
                if names > MOST_NAMES {
                    hidden.push((from..bytes.len(), self.mask_of(&bytes[from..])));
                    return;
                }
                self.hide_labels(from, name, hidden);
            }
        }
    }

    fn hide_labels(&self, start: usize, name: &[u8], hidden: &mut Vec<(Range<usize>, Text)>) {
        let labels = Labels::of(name);
        for joined in labels.joined() {
            let Some(finds) = self.hide_planted(&joined.bytes) else {
                hidden.push((start..start + name.len(), self.mask_of(name)));
                return;
            };
            for (span, mask) in finds {
                if let Some(run) = joined.labels_of(&labels, &span) {
                    let span = labels.span(&run);
                    hidden.push((start + span.start..start + span.end, mask));
                }
            }
        }
    }

    /// A request target with the values of its query masked: `/v1/ping?imei=‹imei:3fa94c12›&v=‹value:0b77a1d0›`.
    ///
    /// Names and path stay, veiled as any text; planted values show the name of the plant.
    pub fn veil_query(&self, target: &[u8]) -> Text {
        Text::veiled(target, &Query(self))
    }
}

/// Hides planted values and nothing else, without undoing codings: for the names of fields in chains.
pub(super) struct Planted<'a>(pub(super) &'a Engine);

impl Veil for Planted<'_> {
    fn spans(&self, bytes: &[u8], out: &mut Vec<Veiled>) {
        let mut hidden = Vec::new();
        self.0.table.find_in_any_case(bytes, &mut |Hit { id, span }| {
            if let Some(meaning) = self.0.meanings.get(id as usize).filter(|meaning| !meaning.mute)
                && let Some(planted) = self.0.planted(meaning.seed)
            {
                hidden.push((meaning.reach(bytes, span), planted.mask.clone()));
            }
        });
        super::shapes::find(bytes, super::signs::Signs::of(bytes), true, &mut |shape| {
            if let Some(value) = bytes.get(shape.span.clone()) {
                hidden.push((shape.span, self.0.mask(shape.kind, &String::from_utf8_lossy(value))));
            }
        });
        join(hidden, out);
    }
}

/// Hides the values of a query too.
struct Query<'a>(&'a Engine);

impl Veil for Query<'_> {
    fn spans(&self, bytes: &[u8], out: &mut Vec<Veiled>) {
        let mut hidden: Vec<Veiled> = Vec::new();
        self.0.spans(bytes, &mut hidden);
        let Some(query) = memchr::memchr(b'?', bytes).map(|at| at + 1) else {
            out.append(&mut hidden);
            return;
        };
        let mut all: Vec<(Range<usize>, Text)> =
            hidden.iter().filter(|v| v.span.start < query).map(|v| (v.span.clone(), Text::ours(&v.mask))).collect();
        let mut at = query;
        for piece in bytes[query..].split(|b| matches!(b, b'&' | b';')) {
            let start = at + memchr::memchr(b'=', piece).map_or(0, |sign| sign + 1);
            let value = start..at + piece.len();
            at += piece.len() + 1;
            if value.is_empty() {
                continue;
            }
            // A value that is a plant, or has a shape, says so; any other only shows whether it is the same again.
            let inside = hidden.iter().filter(|v| v.span.start < value.end && value.start < v.span.end).max_by_key(|v| v.span.len());
            let mask = if let Some(veiled) = inside {
                Text::ours(&veiled.mask)
            } else {
                let token = self.0.token(Kind::Text, &String::from_utf8_lossy(&bytes[value.clone()]));
                Text::ours(format!("‹value:{}›", crate::encode::hex(&token[..4])))
            };
            all.push((value, mask));
            // The name may hold something too.
            all.extend(
                hidden
                    .iter()
                    .filter(|v| v.span.start >= at - piece.len() - 1 && v.span.end <= start)
                    .map(|v| (v.span.clone(), Text::ours(&v.mask))),
            );
        }
        join(all, out);
    }
}

/// Puts spans in order and makes one of those that overlap; the longer lends its mask.
fn join(mut spans: Vec<(Range<usize>, Text)>, out: &mut Vec<Veiled>) {
    spans.sort_by(|(a, x), (b, y)| (a.start, b.end, x).cmp(&(b.start, a.end, y)));
    let mut joined: Vec<(Range<usize>, Text, usize)> = Vec::with_capacity(spans.len());
    for (span, mask) in spans.into_iter().filter(|(span, _)| !span.is_empty()) {
        if let Some((last, shown, longest)) = joined.last_mut().filter(|(last, _, _)| span.start < last.end) {
            if span.len() > *longest {
                (*shown, *longest) = (mask, span.len());
            }
            last.end = last.end.max(span.end);
        } else {
            let len = span.len();
            joined.push((span, mask, len));
        }
    }
    out.extend(joined.into_iter().map(|(span, mask, _)| Veiled { span, mask: mask.as_str().to_owned() }));
}
