//! Capture files in and out: frames, link layers, flows, reassembly, shards.

pub mod block;
mod clock;
mod defrag;
pub mod drive;
mod flow;
mod key;
pub mod keylog;
pub mod link;
mod links;
mod nflog;
mod other;
mod pcap;
mod pcapng;
pub mod read;
mod reassembly;
mod round;
pub mod run;
pub mod scan;
mod shard;
mod slice;
mod supplicant;
mod tag;
mod tunnel;
mod wrapped;
pub mod write;

pub use block::{Block, Frame, Note};
pub use drive::{Drive, Outs};
pub use link::Link;
pub use links::links;
pub use read::{Damage, Format, OpenError, Reader, Summary};
pub use run::{Known, Options, Report, analyse};
pub use shard::Limits;
pub use slice::SHARDS;
pub use wrapped::Wrapping;
pub use write::Writer;
