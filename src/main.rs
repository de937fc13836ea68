//! The overhear binary.
fn main() {}
