//! What happened when, in a bounded number of equal steps of time, whatever the span.

use std::collections::BTreeMap;

use policies::Time;

/// What is counted over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    Flows,
    Requests,
    Leaks,
    Trials,
}

impl Lane {
    pub const ALL: [Lane; 4] = [Lane::Flows, Lane::Requests, Lane::Leaks, Lane::Trials];

    pub fn word(self) -> &'static str {
        match self {
            Lane::Flows => "flows",
            Lane::Requests => "requests",
            Lane::Leaks => "leaks",
            Lane::Trials => "trials",
        }
    }
}

/// More steps than this are joined two by two: as many bars as a page has room for.
const STEPS: i64 = 160;

/// Counts per step. The width is 2^n ms on absolute multiples, so the result does not depend on the order of arrival.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Nanoseconds per step.
    width: i64,
    steps: BTreeMap<i64, [u64; Lane::ALL.len()]>,
}

impl Default for Timeline {
    fn default() -> Timeline {
        Timeline { width: 1_000_000, steps: BTreeMap::new() }
    }
}

impl Timeline {
    pub fn count(&mut self, at: Time, lane: Lane) {
        let step = at.0.div_euclid(self.width);
        if let Some(slot) = self.steps.entry(step).or_default().get_mut(lane as usize) {
            *slot += 1;
        }
        while let (Some((first, _)), Some((last, _))) = (self.steps.first_key_value(), self.steps.last_key_value())
            && last.saturating_sub(*first) >= STEPS
        {
            self.widen();
        }
    }

    fn widen(&mut self) {
        self.width = self.width.saturating_mul(2);
        for (step, counts) in std::mem::take(&mut self.steps) {
            let into = self.steps.entry(step.div_euclid(2)).or_default();
            for (sum, n) in into.iter_mut().zip(counts) {
                *sum += n;
            }
        }
    }

    /// Nanoseconds that one step stands for.
    pub fn width(&self) -> i64 {
        self.width
    }

    /// Start of the first step and end of the last.
    pub fn span(&self) -> Option<(Time, Time)> {
        let (first, _) = self.steps.first_key_value()?;
        let (last, _) = self.steps.last_key_value()?;
        Some((Time(first.saturating_mul(self.width)), Time(last.saturating_add(1).saturating_mul(self.width))))
    }

    /// Steps in which something of that lane happened: (index from the first step, count).
    pub fn lane(&self, lane: Lane) -> impl Iterator<Item = (u64, u64)> + '_ {
        let first = self.steps.first_key_value().map_or(0, |(f, _)| *f);
        self.steps.iter().filter_map(move |(step, counts)| {
            let n = counts.get(lane as usize).copied().unwrap_or(0);
            (n > 0).then_some(((step - first) as u64, n))
        })
    }

    /// How many steps the span has.
    pub fn steps(&self) -> u64 {
        match (self.steps.first_key_value(), self.steps.last_key_value()) {
            (Some((first, _)), Some((last, _))) => (last - first) as u64 + 1,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn order_does_not_matter_and_nothing_is_lost(mut times in proptest::collection::vec(any::<i64>(), 1..200)) {
            let fill = |times: &[i64]| {
                let mut timeline = Timeline::default();
                for t in times {
                    timeline.count(Time(*t), Lane::Requests);
                }
                timeline
            };
            let one = fill(&times);
            times.reverse();
            let two = fill(&times);
            prop_assert_eq!(&one.steps, &two.steps);
            prop_assert!(one.steps() as i64 <= STEPS);
            prop_assert_eq!(one.lane(Lane::Requests).map(|(_, n)| n).sum::<u64>(), times.len() as u64);
        }
    }
}
