//! Renderings of a journal for people and tools: the same lines give the same bytes.
//!
//! Pure: no clock, files, network or chance; bytes leave through `impl Write`. What came from the wire is inert already
//! ([`analyzers::text::Text`]) and is escaped once more for the format it stands in.

pub mod catalogue;
mod findings;
pub mod gates;
pub mod html;
pub mod json;
pub mod junit;
pub mod listing;
mod markdown;
pub mod paint;
pub mod places;
pub mod rows;
pub mod summary;
pub mod tables;
pub mod timeline;
mod words;

#[cfg(test)]
mod fixture;
