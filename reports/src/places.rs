//! Where each journal line stands in the capture (frame) and in the run (flow): a few bytes a line, so that evidence can be cited.

use analyzers::flow::FlowId;
use analyzers::journal::{Line, LineNo};
use analyzers::observation::Observation;
use indexmap::IndexMap;

/// A line's frame and flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub frame: Option<u64>,
    pub flow: Option<FlowId>,
}

/// Lines in one block: a look-up decodes at most so many.
const BLOCK: u64 = 32;
/// 16 MiB hold about five million lines (measured: 3 bytes a line), which is some 20 GB of mixed capture at 250 lines a MB.
const BYTES_KEPT: usize = 16 << 20;

/// Line number → place, delta-coded in blocks. Lines past the bound are looked up by a second pass over the journal.
#[derive(Debug, Default)]
pub struct Places {
    bytes: Vec<u8>,
    /// Of each block: where it begins in `bytes`, and the values its first deltas are against.
    blocks: Vec<(u32, Last)>,
    last: Last,
    lines: u64,
    full: bool,
    late: IndexMap<LineNo, Place>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Last {
    frame: u64,
    flow: u64,
}

impl Places {
    /// Notes a line; lines come in order, and numbers left out (seals) have no place.
    pub fn note(&mut self, line: &Line) {
        while self.lines + 1 < line.n && !self.full {
            self.push(Place::default());
        }
        if self.lines + 1 == line.n && !self.full {
            self.push(place(line));
        }
    }

    fn push(&mut self, place: Place) {
        if self.bytes.len() >= BYTES_KEPT {
            self.full = true;
            return;
        }
        if self.lines.is_multiple_of(BLOCK) {
            self.blocks.push((self.bytes.len() as u32, self.last));
        }
        encode(&mut self.bytes, place.frame, &mut self.last.frame);
        encode(&mut self.bytes, place.flow.map(|f| f.0), &mut self.last.flow);
        self.lines += 1;
    }

    /// Where a line stands; nothing for a line that is not known (any more).
    pub fn of(&self, line: LineNo) -> Option<Place> {
        if line == 0 || line > self.lines {
            return self.late.get(&line).copied();
        }
        let index = line - 1;
        let (start, mut last) = *self.blocks.get((index / BLOCK) as usize)?;
        let mut at = start as usize;
        let mut place = Place::default();
        for _ in 0..=index % BLOCK {
            let frame = decode(&self.bytes, &mut at, &mut last.frame)?;
            let flow = decode(&self.bytes, &mut at, &mut last.flow)?;
            place = Place { frame, flow: flow.map(FlowId) };
        }
        Some(place)
    }

    /// Those of `lines` whose place is not known, in order: to be noted by [`Places::late`] in a second pass.
    pub fn unknown(&self, lines: impl IntoIterator<Item = LineNo>) -> Vec<LineNo> {
        let mut out: Vec<LineNo> = lines.into_iter().filter(|n| self.of(*n).is_none()).collect();
        out.sort_unstable();
        out.dedup();
        out
    }

    /// Notes a line of a second pass.
    pub fn late(&mut self, line: &Line) {
        self.late.insert(line.n, place(line));
    }
}

/// A trial stands over several flows; the first of them leads to the others.
fn place(line: &Line) -> Place {
    let flow = match &line.seen {
        Observation::Trial(trial) => line.flow.or(trial.flows.first().copied()),
        _ => line.flow,
    };
    Place { frame: line.frame, flow }
}

/// Nothing is 0; a value is its zigzag distance from the last one, plus one, in base 128.
fn encode(out: &mut Vec<u8>, value: Option<u64>, last: &mut u64) {
    let Some(value) = value else {
        out.push(0);
        return;
    };
    let delta = value.wrapping_sub(*last) as i64;
    *last = value;
    let zigzag = ((delta << 1) ^ (delta >> 63)) as u64;
    let mut code = u128::from(zigzag) + 1;
    while code >= 0x80 {
        out.push(code as u8 | 0x80);
        code >>= 7;
    }
    out.push(code as u8);
}

#[expect(clippy::option_option, reason = "outside: the bytes ended; inside: the line had no such value")]
fn decode(bytes: &[u8], at: &mut usize, last: &mut u64) -> Option<Option<u64>> {
    // Most distances are short.
    if let Some(byte) = bytes.get(*at).filter(|byte| **byte < 0x80) {
        *at += 1;
        return Some(byte.checked_sub(1).map(|zigzag| step(last, u64::from(zigzag))));
    }
    let mut code: u128 = 0;
    for shift in (0..).step_by(7).take(10) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        code |= u128::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(code.checked_sub(1).map(|zigzag| step(last, zigzag as u64)))
}

fn step(last: &mut u64, zigzag: u64) -> u64 {
    let delta = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
    *last = last.wrapping_add(delta as u64);
    *last
}

#[cfg(test)]
mod tests {
    use super::*;
    use analyzers::observation::{Odd, OddKind};
    use analyzers::text::Text;
    use policies::Time;
    use proptest::prelude::*;

    fn line(n: u64, frame: Option<u64>, flow: Option<u64>) -> Line {
        let seen = Odd { what: OddKind::BrokenTls, detail: Text::ours(""), offset: None };
        Line { n, at: Time(0), frame, flow: flow.map(FlowId), subject: None, seen: seen.into() }
    }

    proptest! {
        #[test]
        fn gives_back_what_was_noted(rows in proptest::collection::vec((1..4_u64, any::<Option<u64>>(), any::<Option<u64>>()), 0..300)) {
            let mut places = Places::default();
            let mut n = 0;
            let lines: Vec<Line> = rows.iter().map(|(skip, frame, flow)| { n += skip; line(n, *frame, *flow) }).collect();
            for line in &lines {
                places.note(line);
            }
            for line in &lines {
                prop_assert_eq!(places.of(line.n), Some(Place { frame: line.frame, flow: line.flow }));
            }
            prop_assert_eq!(places.of(n + 1), None);
        }
    }

    #[test]
    fn a_second_pass_fills_what_is_unknown() {
        let mut places = Places { full: true, ..Places::default() };
        places.note(&line(1, Some(4), None));
        assert_eq!(places.unknown([1, 1]), [1]);
        places.late(&line(1, Some(4), None));
        assert!(places.unknown([1]).is_empty());
        assert_eq!(places.of(1), Some(Place { frame: Some(4), flow: None }));
    }

    #[test]
    fn a_line_costs_few_bytes() {
        let mut places = Places::default();
        for n in 1..=10_000 {
            places.note(&line(n, Some(n * 40), Some(n * 7 % 900)));
        }
        assert!(places.bytes.len() < 40_000, "{}", places.bytes.len());
    }
}
