//! What the lab could not do: where it stopped, why, and what the operator can do about it.

use std::fmt::Display;

/// A failure of the lab itself, never of a device or an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}; {todo}")]
pub struct Fault {
    /// What was being done.
    pub what: String,
    /// What the system answered.
    pub why: String,
    /// What to do now, as a sentence without a full stop.
    pub todo: String,
}

impl Fault {
    pub fn new(what: impl Into<String>, why: impl Display, todo: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.to_string(), todo: todo.into() }
    }

    /// For `map_err`: something that works on every machine on which the lab stands, so its failure is worth a report.
    pub(crate) fn odd<E: Display>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |why| Self::new(what, why, "this should work wherever the lab stands: please report it with the line above")
    }
}
