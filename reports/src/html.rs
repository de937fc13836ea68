//! One-file HTML.
