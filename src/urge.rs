//! The first signal asks for an end in good order, a second one for an end at once.

use std::time::{Duration, Instant};

use tokio::signal::unix::SignalKind;

/// Who ends a whole process group (`timeout`, a CI runner) signals the process and then the group: within this it is the same wish.
const ONE_WISH: Duration = Duration::from_millis(300);

/// Counts wishes.
#[derive(Debug, Default)]
pub(crate) struct Urge(Option<Instant>);

impl Urge {
    /// A signal came now; whether it wants an end at once.
    pub(crate) fn again(&mut self, now: Instant) -> bool {
        match self.0 {
            None => {
                self.0 = Some(now);
                false
            }
            Some(first) => now.duration_since(first) > ONE_WISH,
        }
    }
}

/// A file that may not grow (`ulimit -f`) is from now on a write that fails, which is told, and not a signal that kills without a word.
/// Wants a runtime that takes signals.
pub(crate) fn survive_file_limits() {
    // Whoever listened once has replaced the default for good.
    let _ = tokio::signal::unix::signal(SignalKind::from_raw(nix::sys::signal::Signal::SIGXFSZ as i32));
}

/// Ends the program at once.
pub(crate) fn leave() -> ! {
    crate::analyze::eprint_line("overhear: ended at once by a second signal: there is no report");
    std::process::exit(i32::from(crate::fault::exit::FAULT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_signals_of_one_wish() {
        let start = Instant::now();
        let mut urge = Urge::default();
        for (ms, expect) in [(0, false), (1, false), (300, false), (301, true)] {
            assert_eq!(urge.again(start + Duration::from_millis(ms)), expect, "{ms}");
        }
    }
}
