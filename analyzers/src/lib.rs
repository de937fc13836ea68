//! What was seen, and what it means: dissectors, journal, cases, checks, board.
//!
//! Pure: no clock, network, async or chance. Time, bytes and keys are arguments; broken input is an observation, never an error.

pub mod board;
mod brotli;
pub mod case;
pub mod checks;
pub mod chunk;
pub mod dissect;
mod ebcdic;
pub mod encode;
pub mod flow;
pub mod journal;
pub mod keys;
pub mod leak;
pub mod links;
pub mod observation;
pub mod outcome;
pub mod pipeline;
pub mod reading;
mod scramble;
pub mod scribe;
pub mod sealed;
pub mod subject;
pub mod text;
pub mod trial;
