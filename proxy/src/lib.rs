//! The live gateway: transparent interception, forged chains, tap, scheduling.

mod acked;
pub mod error;
pub mod forge;
pub mod face;
pub mod hello;
pub mod relay;
pub mod treatment;
pub mod upstream;
pub mod wire;

pub use error::Error;
