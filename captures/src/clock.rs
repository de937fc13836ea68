//! The run's clock: the running maximum of frame times, which a lone frame from the future does not move.

use policies::Time;

/// A frame this far ahead of its neighbours (nanoseconds: one hour) does not move the clock.
const STEP: i64 = 3_600 * 1_000_000_000;

/// Before this (2000-01-01) nothing was captured that is read today: it is what a machine without a clock says until it hears the time.
const WITHOUT_CLOCK: i64 = 946_684_800 * 1_000_000_000;

/// Told every frame's time, in file order.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    now: Option<Time>,
    first: u64,
    /// A second frame agreed with the first.
    confirmed: bool,
    /// A frame far ahead of the one before it; the next frame says whether it was alone.
    suspect: Option<(u64, Time)>,
    /// The latest frame stood far behind the clock, at this time: one that follows it there makes no new step.
    behind: Option<Time>,
    /// The frame before the latest was a suspect and has been believed: its clock is this.
    pub(crate) believed: Option<Time>,
}

impl Clock {
    /// The clock when frame `number` came. `step` hears of frames that stood alone ahead, and of those where time went back: number, and
    /// seconds ahead of the clock.
    #[inline]
    pub(crate) fn see(&mut self, number: u64, time: Time, step: &mut impl FnMut(u64, i64)) -> Time {
        let now = match self.now {
            Some(now) if self.is_calm() && now.0.abs_diff(time.0) <= STEP as u64 => now.max(time),
            Some(now) => self.doubtful(now, number, time, step),
            None => {
                self.first = number;
                time
            }
        };
        self.now = Some(now);
        now
    }

    /// Whether nothing but the next frame's distance is to be looked at.
    fn is_calm(&self) -> bool {
        self.confirmed && self.suspect.is_none() && self.behind.is_none()
    }

    #[cold]
    fn doubtful(&mut self, mut now: Time, number: u64, time: Time, step: &mut impl FnMut(u64, i64)) -> Time {
        if let Some((which, ahead)) = self.suspect.take() {
            if time.0 >= ahead.0.saturating_sub(STEP) {
                // The next frame is there too: the capture paused, or a clock that had started at 1970 was set.
                if now.0 < WITHOUT_CLOCK && ahead.0 >= WITHOUT_CLOCK {
                    step(which, ahead.since(now).as_secs() as i64);
                }
                now = now.max(ahead);
                self.believed = Some(now);
            } else {
                step(which, ahead.since(now).as_secs() as i64);
            }
        }
        if !self.confirmed {
            self.confirmed = true;
            if time.0 < now.0.saturating_sub(STEP) {
                step(self.first, now.since(time).as_secs() as i64);
                return time;
            }
        }
        if time.0 > now.0.saturating_add(STEP) {
            self.suspect = Some((number, time));
            return now;
        }
        let far = |from: Time| time.0 < from.0.saturating_sub(STEP);
        if !far(now) {
            self.behind = None;
        } else if self.behind.replace(time).is_none_or(far) {
            step(number, -(now.since(time).as_secs() as i64));
        }
        now.max(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times in seconds → the clock after each, and the numbers of the frames that made a step.
    #[track_caller]
    fn check(times: &[i64], clocks: &[i64], steps_at: &[u64]) {
        let mut clock = Clock::default();
        let mut steps = Vec::new();
        let got: Vec<i64> =
            (1..).zip(times).map(|(n, t)| clock.see(n, Time::from_secs(*t), &mut |n, _| steps.push(n)).0 / 1_000_000_000).collect();
        assert_eq!((got.as_slice(), steps.as_slice()), (clocks, steps_at));
    }

    #[test]
    fn runs_forward() {
        check(&[10, 11, 10, 12], &[10, 11, 11, 12], &[]);
        check(&[10, 11, 9000, 12], &[10, 11, 11, 12], &[3]);
        check(&[10, 11, 9000, 9001, 9002], &[10, 11, 11, 9001, 9002], &[]);
        check(&[10, 9000, 18_000, 27_000], &[10, 10, 9000, 18_000], &[]);
        check(&[9000, 10, 11], &[9000, 10, 11], &[1]);
        check(&[9000, 9001, 10, 11], &[9000, 9001, 9001, 9001], &[3]);
        check(&[90_000, 90_001, 9000, 9001, 10, 90_002, 9002], &[90_000, 90_001, 90_001, 90_001, 90_001, 90_002, 90_002], &[3, 5, 7]);
        check(&[10, 11, 9000, 9001, 12], &[10, 11, 11, 9001, 9001], &[5]);
        check(&[10, 11, 9000, 12, 9000, 13], &[10, 11, 11, 12, 12, 13], &[3, 5]);
        check(&[100, 101, 1_400_000_000, 1_400_000_001], &[100, 101, 101, 1_400_000_001], &[3]);
        check(
            &[1_300_000_000, 1_300_000_001, 1_400_000_000, 1_400_000_001],
            &[1_300_000_000, 1_300_000_001, 1_300_000_001, 1_400_000_001],
            &[],
        );
        check(&[i64::MAX / 2_000_000_000, 5, 6], &[i64::MAX / 2_000_000_000, 5, 6], &[1]);
    }
}
