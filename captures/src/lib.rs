//! Capture files in and out: frames, link layers, flows, reassembly, shards.

pub mod block;
mod clock;
pub mod keylog;
pub mod link;
mod pcap;
mod pcapng;
pub mod read;
pub mod scan;
mod wrapped;

pub use block::{Block, Frame, Note};
pub use link::Link;
pub use read::{Damage, Format, OpenError, Reader, Summary};
pub use wrapped::Wrapping;
