//! Where found values enter the journal: dissectors say where bytes stand, the leak engine says what is in them.

use std::fmt;

use crate::chunk::Layer;
use crate::dissect::Cx;
use crate::dissect::marks::{Marks, Origin};
use crate::flow::Dir;

/// The part of a message that bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// A fixed place: `dns.qname`, `dhcp.host-name`, `tcp.stream`, …
    Of(&'static str),
    RequestUri,
    RequestHeader(&'a [u8]),
    RequestBody,
    ResponseHeader(&'a [u8]),
    ResponseBody,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, name) = match self {
            Place::Of(place) => return f.write_str(place),
            Place::RequestUri => return f.write_str("http.request.uri"),
            Place::RequestBody => return f.write_str("http.request.body"),
            Place::ResponseBody => return f.write_str("http.response.body"),
            Place::RequestHeader(name) => ("http.request.header:", name),
            Place::ResponseHeader(name) => ("http.response.header:", name),
        };
        f.write_str(before)?;
        // A name that is no token (RFC 9110 §5.6.2) or is absurdly long is the sender's invention and is not repeated.
        if name.len() <= 64 && name.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b)) {
            name.iter().try_for_each(|b| write!(f, "{}", char::from(b.to_ascii_lowercase())))
        } else {
            f.write_str("?")
        }
    }
}

/// Where searched bytes came from, so that a find ends in a range of the stream and a frame.
#[derive(Clone, Copy, Debug)]
pub enum From<'a> {
    /// They are what they were on their layer, kept together from pieces; the first stands at this position of the kept bytes.
    Kept(&'a Marks, u64),
    /// They were decoded from these.
    Decoded(Origin),
}

/// Bytes to be searched.
#[derive(Clone, Copy, Debug)]
pub struct Spot<'a> {
    pub place: Place<'a>,
    pub dir: Dir,
    pub layer: Layer,
    pub from: From<'a>,
    /// Decoders already undone, outermost first.
    pub chain: &'a [&'static str],
}

impl Spot<'_> {
    /// The range of the stream, and the frame, that `at..at + len` of the searched bytes came from.
    pub fn origin(&self, at: u64, len: u64) -> Origin {
        match self.from {
            From::Kept(marks, base) => marks.origin(base + at, len),
            From::Decoded(whole) => whole,
        }
    }
}

/// A stream that is searched piece by piece as it comes, values split over pieces included.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    offset: u64,
}

impl Cx<'_> {
    /// Searches a whole message, undoing what codes it.
    pub fn search_whole(&mut self, _spot: &Spot<'_>, _bytes: &[u8]) {}

    /// Searches the next piece of a stream for planted values. `offset` is the piece's in the stream of its layer.
    pub fn search_stream(&mut self, trail: &mut Trail, _place: Place<'_>, _dir: Dir, _layer: Layer, offset: u64, bytes: &[u8]) {
        trail.offset = offset + bytes.len() as u64;
    }

    /// The first part of a stream was searched as a whole; its last bytes are `tail`, and the next piece stands at `offset`.
    pub fn search_resume(&mut self, trail: &mut Trail, _tail: &[u8], offset: u64) {
        trail.offset = offset;
    }

    /// Searches what of a message lies behind `from` for planted values only.
    pub fn search_rest(&mut self, _spot: &Spot<'_>, _bytes: &[u8], _from: usize) {}

    /// A stream that was searched piece by piece has ended, or breaks off.
    pub fn search_end(&mut self, _trail: &mut Trail, _place: Place<'_>, _dir: Dir, _layer: Layer) {}

    /// A value told by the grammar it stands in: a credential.
    pub fn told(&mut self, _kind: policies::IdentifierType, _value: &[u8], _spot: &Spot<'_>, _at: u64, _len: u64) {}
}
