//! The live gateway: transparent interception, forged chains, tap, scheduling.

mod acked;
pub mod batch;
pub mod capture;
pub mod enrolment;
pub mod error;
pub mod face;
pub mod feed;
pub mod forge;
pub mod gateway;
pub mod hello;
pub mod packets;
pub mod plan;
pub mod preamble;
pub mod relay;
pub mod serve;
#[cfg(test)]
mod serve_tests;
pub mod socket;
pub mod synthesis;
mod tool;
pub mod treatment;
pub mod upstream;
pub mod wire;

pub use error::Error;
