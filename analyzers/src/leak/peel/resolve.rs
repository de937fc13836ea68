//! One find of several that say the same.

use std::ops::Range;

use super::{Coding, Spotted, What, Work};

/// A find, its layers, the steps that led to it, and where it stands in the message.
type Kept = (Spotted, Vec<usize>, usize, Range<usize>);

impl Work<'_> {
    /// One find where several say the same: a shorter form inside a longer one, or one that was reached in two ways.
    pub(super) fn resolve(&mut self) -> Vec<Spotted> {
        let spotted = std::mem::take(&mut self.spotted);
        let mut kept: Vec<Kept> = Vec::new();
        for next in spotted {
            let root = self.root(next.layer, &next.span);
            let root = root.start..root.end.max(root.start + 1);
            let lineage = self.lineage(next.layer);
            let unescaped = lineage.iter().filter(|l| self.layers.get(**l).is_some_and(|l| l.coding == Coding::Json)).count();
            let steps = lineage.len() - 1 - unescaped + self.needle_steps(&next);
            let same = |(other, theirs, their_steps, their_root): &Kept| -> Option<bool> {
                // What lies apart in the message overlaps in no layer.
                if root.end <= their_root.start || their_root.end <= root.start {
                    return None;
                }
                let same_value = match (next.what, other.what) {
                    (What::Planted(a), What::Planted(b)) => self.seed(a) == self.seed(b),
                    (What::Place(a), What::Place(b)) => a == b,
                    (What::Name(..), What::Planted(_) | What::Name(..)) | (What::Planted(_), What::Name(..)) => {
                        self.planted(&next) == self.planted(other)
                    }
                    // What was planted is said once, by its name.
                    (What::Shape, What::Planted(_) | What::Place(_) | What::Name(..)) => true,
                    (What::Planted(_) | What::Place(_) | What::Name(..), What::Shape) => return None,
                    _ => next.kind == other.kind,
                };
                if !same_value {
                    return None;
                }
                // Compared in the innermost layer that both were coded in.
                let common = lineage.iter().zip(theirs).take_while(|(a, b)| a == b).count().checked_sub(1)?;
                let (mine, other_span) = (self.at_level(&lineage, common, &next.span), self.at_level(theirs, common, &other.span));
                let overlap = mine.start < other_span.end && other_span.start < mine.end;
                if !overlap {
                    return None;
                }
                // Whether the new one says it better: in fewer steps, or in as many and reaching further, or naming an inner field.
                let rank = |steps: usize, len: usize, depth: usize| (steps, std::cmp::Reverse((len, depth)));
                Some(rank(steps, mine.len(), lineage.len()) < rank(*their_steps, other_span.len(), theirs.len()))
            };
            match kept.iter().position(|other| same(other).is_some()) {
                Some(at) if same(&kept[at]) == Some(true) => kept[at] = (next, lineage, steps, root),
                Some(_) => {}
                None => kept.push((next, lineage, steps, root)),
            }
        }
        // What stands inside another planted value was not told beside it.
        let inside = |one: &Spotted| {
            kept.iter().any(|(other, ..)| {
                other.layer == one.layer
                    && other.span.len() > one.span.len()
                    && other.span.start <= one.span.start
                    && one.span.end <= other.span.end
                    && matches!(other.what, What::Planted(_))
            })
        };
        let alone: Vec<bool> = kept.iter().map(|(spotted, ..)| !inside(spotted)).collect();
        kept.into_iter().zip(alone).filter(|(_, alone)| *alone).map(|((spotted, ..), _)| spotted).collect()
    }

    fn at_level(&self, lineage: &[usize], level: usize, span: &Range<usize>) -> Range<usize> {
        let mut span = span.clone();
        for layer in lineage.iter().skip(level + 1).rev() {
            if let Some((_, region)) = self.layers.get(*layer).and_then(|l| l.from.as_ref()) {
                let within = self.layers[*layer].map.back(&span);
                span = region.start + within.start..(region.start + within.end).min(region.end);
            }
        }
        span
    }
}
