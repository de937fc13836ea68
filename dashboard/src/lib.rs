//! Live verdicts on a terminal.
