//! Forged server identities: one authority per campaign, a flawless chain per host, and per defect its twin with one flaw.

pub mod ca;
pub mod cert;
pub mod der;
pub mod key;
pub mod mint;
pub mod prober;
pub mod signer;
pub mod suites;

#[cfg(test)]
pub(crate) mod tests;

pub use ca::Authority;
pub use key::{Key, KeyKind};
pub use mint::{Chain, Leaf, Mint, Mirror};
