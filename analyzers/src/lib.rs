//! What was seen and what it means.
pub mod chunk;
pub mod encode;
pub mod flow;
pub mod keys;
pub mod observation;
pub mod subject;
pub mod text;
