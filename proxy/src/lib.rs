//! The live gateway: transparent interception, forged chains, tap, scheduling.

pub mod error;
pub mod forge;

pub use error::Error;
