//! What is demanded: requirements, attacks, personas, declarations and policies, as data and types.
//!
//! This crate knows no traffic and imports no other crate of the house. It has no clock, network, chance or async: files come as `&str` from
//! the binary, random bytes as a function. Every `parse` takes the file's name and text and answers with the value or with a list of
//! [`Problem`]s, each with line, column and what to do; no message about a persona repeats a value.
//!
//! | file or folder | what it is | read by |
//! |---|---|---|
//! | `requirements/<family>.toml` | clauses of standards in our own words: what each needs, what supports it, whether it can be decided | [`requirement::catalogue`], [`requirement::by_check`] |
//! | `attacks/<family>/<name>.toml` | one defect each, with its page | [`attack::catalogue`], [`Attack::parse`] |
//! | `profiles/<name>.toml` | kinds of evaluation: requirements, checks, attacks, thresholds | [`profile::all`], [`profile::built_in`] |
//! | `defaults/*.toml` | peers never to attack, shipped exceptions | [`Policy::default_analyze`], [`Policy::default_lab`] |
//! | `schemas/*.json` | JSON Schemas, generated: `UPDATE=1 cargo test -p overhear-policies` | [`schema::all`] |
//! | `samples/*` | one good file of each kind that users write | tests |
//! | a user's persona | what was planted | [`Persona::parse`]; [`persona::synthetic`] makes one |
//! | a user's declaration | what the maker states (ETSI's IXIT) | [`Declaration::parse`] |
//! | a user's policy | profile, scope, authorisation, thresholds, exceptions, waivers | [`Policy::parse`] |
//! | a user's events and actors | stimuli; who caused which flow | [`events::parse`], [`actors::parse`] |
//!
//! To add an attack: its file, one line in the table of `attack.rs`, and for a new kind of defect one variant of [`Defect`]. To add a requirement:
//! one entry in its family's file. To add a profile: its file and one line in `profile.rs`. Tests hold the tables against the folders.

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
pub mod schema;
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
