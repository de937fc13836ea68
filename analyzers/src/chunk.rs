//! What a source hands to the pipeline: bytes of a flow, and the bytes that are missing.

use policies::Time;
use serde::{Deserialize, Serialize};

use crate::flow::{Dir, FlowKey};

/// Where a chunk's bytes stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// Bytes of a stream, in order; `offset` counts from the first byte this direction delivered (gaps included).
    Stream { offset: u64 },
    /// One whole datagram's payload.
    Datagram,
    /// A link-layer frame that belongs to no IP flow (ARP, EAPOL).
    Frame,
}

/// Whether bytes were on the wire as they are, or came out of a decryption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    #[default]
    Wire,
    Decrypted,
}

/// Bytes of a flow. Borrowed: whoever keeps them copies them.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    pub flow: FlowKey,
    pub dir: Dir,
    pub unit: Unit,
    pub layer: Layer,
    pub time: Time,
    /// The frame that completed these bytes, 1-based as in Wireshark; 0 where there is no capture (live tap).
    pub frame: u64,
    pub bytes: &'a [u8],
}

/// Why bytes are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lost {
    /// A hole in the TCP sequence that nothing filled.
    Sequence,
    /// Cut off by the snap length.
    SnapLength,
    /// The reassembly arena was full.
    Memory,
    /// The flow was picked up after its start.
    MidStream,
    /// The kernel or the capture dropped packets.
    Dropped,
    /// The byte lane was full (live).
    Overflow,
    /// Fragments that never became whole.
    Fragments,
}

/// Bytes that will not come. For streams `offset..offset + len` will be skipped.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    pub flow: FlowKey,
    pub dir: Dir,
    pub offset: u64,
    pub len: u64,
    pub why: Lost,
    pub time: Time,
    pub frame: u64,
}

/// What a dissector still wants of a direction; the source may stop working on the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Want {
    /// Nothing more: count bytes only.
    Nothing,
    /// Record lengths and types: the bytes, in order, but no retention of out-of-order payload beyond the normal cap.
    HeadersOnly,
    All,
}
