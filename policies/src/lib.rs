//! What is demanded: requirements, attacks, personas, declarations and policies, as data and types.
//!
//! This crate knows no traffic. It has no clock, network, chance or async: files come as `&str` or `impl Read` from the binary.

pub mod attack;
pub mod identifier;
pub mod problem;
pub mod severity;
pub mod time;

pub use attack::{Attack, Class, Defect, Need};
pub use identifier::IdentifierType;
pub use problem::Problem;
pub use severity::Severity;
pub use time::Time;
