//! What is kept of a long run is bounded, and what is left out is counted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod fixture;

use analyzers::observation::Grade;
use analyzers::reading::Reading;
use dashboard::screen::Kept;
use dashboard::{Findings, Screen, Snapshot, State};
use fixture::Story;

fn told(kept: Kept, times: usize) -> Snapshot {
    let story = Story::whole();
    let mut screen = Screen::with_kept(&fixture::demands(), kept);
    let mut n = 0;
    for line in (0..times).flat_map(|_| &story.lines) {
        n += 1;
        let mut line = line.clone();
        line.n = n;
        screen.line(&line);
    }
    Snapshot::with(Findings::default().into(), &screen, State::default())
}

#[test]
fn what_is_kept_is_bounded() {
    let few = Kept { early: 10, tail: 20, trials: 5, leaks: 2, parts: 3 };
    let (once, often) = (told(few, 1), told(few, 9));
    for snapshot in [&once, &often] {
        assert_eq!((snapshot.journal.len(), snapshot.trials.len(), snapshot.leaks.len()), (20, 5, 2));
    }
    assert_eq!(often.counters.lines, 9 * once.counters.lines);
    assert_eq!(often.counters.trials, 9 * once.counters.trials);
    assert_eq!(often.counters.flows_closed, 9 * once.counters.flows_closed);
    assert!(often.leaks_left_out > 0);
    assert_eq!(often.covered.analysed, 9 * once.covered.analysed);
}

#[test]
fn proof_never_gives_way_to_guesses() {
    let leaks = told(Kept { leaks: 1, ..Kept::default() }, 3).leaks;
    assert!(leaks.iter().all(|l| l.hit.grade == Grade::Proof), "{leaks:?}");
}

#[test]
fn lines_are_found_at_both_ends() {
    let snapshot = told(Kept { early: 10, tail: 20, ..Kept::default() }, 1);
    let last = snapshot.counters.lines;
    for (n, found) in
        [(0, false), (1, true), (10, true), (11, false), (last - 20, false), (last - 19, true), (last, true), (last + 1, false)]
    {
        assert_eq!(snapshot.line(n).is_some_and(|row| row.n == n), found, "line {n} of {last}");
    }
}
