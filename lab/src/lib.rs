//! An Internet in a box: namespaces, names, leases, origins and toy devices.
//!
//! It judges nothing and knows no proxy. A program that wants a lab calls [`stage::enter`] first thing in `main`, asks
//! [`rung::best`] what the machine allows, moves in with [`stage::move_in`], and raises a [`World`].

mod anycast;
pub mod authority;
pub mod broker;
pub mod doors;
pub mod dut;
mod elsewhere;
mod fault;
pub mod leases;
pub mod names;
pub mod netns;
pub mod origin;
pub mod pem;
pub mod rung;
pub mod stage;
pub mod store;
pub mod tool;
pub mod toys;
pub mod world;

pub use fault::Fault;
pub use world::{Spec, World};
