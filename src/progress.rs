//! How far a long operation is: a bar on a terminal, a line every few seconds elsewhere, nothing with `--quiet`.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Where there is no terminal, a line that often.
const EVERY: Duration = Duration::from_secs(5);

pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    lines: bool,
    began: Instant,
    said: Instant,
    size: Option<u64>,
}

impl Progress {
    /// `size` in bytes, when known.
    pub(crate) fn new(quiet: bool, size: Option<u64>) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let bar = (!quiet && terminal).then(|| {
            let style = if size.is_some() {
                "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left"
            } else {
                "{spinner} {bytes} {bytes_per_sec}"
            };
            let bar = size.map_or_else(ProgressBar::no_length, ProgressBar::new);
            bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        let now = Instant::now();
        Progress { bar, lines: !quiet && !terminal, began: now, said: now, size }
    }

    pub(crate) fn at(&mut self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
        } else if self.lines && self.said.elapsed() >= EVERY {
            self.said = Instant::now();
            let rate = bytes as f64 / 1e6 / self.began.elapsed().as_secs_f64().max(0.001);
            let of = self.size.map_or(String::new(), |s| format!(" of {} MB", s / 1_000_000));
            crate::analyze::eprint_line(&format!("read {} MB{of}, {rate:.0} MB/s", bytes / 1_000_000));
        }
    }

    pub(crate) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
