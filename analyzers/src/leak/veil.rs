//! The engine as a veil: what must not be written down, and what stands there instead.

use super::Engine;
use super::table::Hit;
use crate::text::{Veil, Veiled};

impl Veil for Engine {
    fn spans(&self, bytes: &[u8], out: &mut Vec<Veiled>) {
        let first = out.len();
        self.table.find(bytes, None, &mut |Hit { id, span }| {
            if let Some(meaning) = self.meanings.get(id as usize)
                && let Some(planted) = self.planted(meaning.seed)
            {
                out.push(Veiled { span, mask: planted.mask.to_string() });
            }
        });
        join(out, first);
    }
}

/// Puts spans in order and makes one of those that overlap; the longer lends its mask.
fn join(out: &mut Vec<Veiled>, first: usize) {
    let mut spans = out.split_off(first);
    spans.sort_by(|a, b| (a.span.start, b.span.end, &a.mask).cmp(&(b.span.start, a.span.end, &b.mask)));
    for next in spans {
        match out.last_mut().filter(|last| out_of_order(last, &next)) {
            Some(last) => {
                if next.span.len() > last.span.len() {
                    last.mask = next.mask;
                }
                last.span.end = last.span.end.max(next.span.end);
            }
            None => out.push(next),
        }
    }
}

fn out_of_order(last: &Veiled, next: &Veiled) -> bool {
    next.span.start < last.span.end
}
