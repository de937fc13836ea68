//! Live verdicts on a terminal: a reading of the journal's lines, seven panels, one table of keys.
//!
//! Lines fold into a [`Screen`]; a [`Snapshot`] is a plain value made of it and of what the board says; [`App`] is where the operator
//! stands; [`draw`](draw::draw) puts both on a frame. [`run`](run::run) goes round: snapshot → draw → one key → again. The dashboard
//! performs nothing: keys that act on a run come back as [`Action`]s.
//!
//! | to add | do |
//! |---|---|
//! | a panel | its file in `panels/`, one line in the table of `panels/mod.rs` |
//! | a key | one line in the table of `keys.rs`; the help and the footer follow |
//! | a colour | the table of `look.rs`, with what stands for it where there is none |

pub mod app;
mod describe;
pub mod draw;
pub mod findings;
pub mod keys;
pub mod look;
pub mod panels;
pub mod run;
pub mod screen;
pub mod snapshot;
mod table;
mod words;

pub use app::{Action, App};
pub use findings::{Findings, Judge};
pub use look::{Look, Mark};
pub use panels::Panel;
pub use run::{Source, columns, run, run_with};
pub use screen::Screen;
pub use snapshot::{Snapshot, State};
