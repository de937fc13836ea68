//! What is demanded: requirements, attacks, personas, declarations and policies, as data and types.
//!
//! This crate knows no traffic. It has no clock, network, chance or async: files come as `&str` from the binary.

pub mod actors;
pub mod attack;
mod csv;
pub mod declaration;
mod document;
pub mod events;
pub mod identifier;
pub mod pattern;
pub mod persona;
pub mod policy;
pub mod problem;
pub mod profile;
pub mod requirement;
pub mod secret;
pub mod severity;
pub mod suites;
pub mod time;

pub use actors::{ActorClass, ActorOf, ActorRow};
pub use attack::{Attack, Class, Defect, Need};
pub use declaration::Declaration;
pub use document::MOST_PROBLEMS;
pub use events::{EventKind, EventRow, Phase, When};
pub use identifier::IdentifierType;
pub use pattern::{DevicePattern, Host, IdPattern, PeerPattern};
pub use persona::{Persona, PersonaValue};
pub use policy::{Exception, Policy};
pub use problem::Problem;
pub use profile::Profile;
pub use requirement::{Needs, Requirement, Strength};
pub use secret::Secret;
pub use severity::Severity;
pub use suites::{Suite, TlsTerms, TlsVersion};
pub use time::Time;
