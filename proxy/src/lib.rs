//! The live gateway: transparent interception, forged chains, tap, scheduling.

mod acked;
pub mod error;
pub mod forge;
pub mod hello;
pub mod relay;
pub mod wire;

pub use error::Error;
