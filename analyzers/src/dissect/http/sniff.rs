//! Whether first bytes are HTTP/1.

use super::Http;
use super::head::{self, Begins};
use crate::chunk::{Chunk, Unit};
use crate::dissect::sniff::Guess;
use crate::flow::{Dir, Ends};

/// Whether bytes begin an HTTP/1.x message.
pub fn looks_like(ends: &Ends, chunk: &Chunk<'_>, bytes: &[u8]) -> Guess {
    let Unit::Stream { offset } = chunk.unit else { return Guess::No };
    // HTTP/0.9 has no more than this to tell it, so it must be the first that was said.
    let first = ends.from_start && chunk.dir == Dir::Out && offset + chunk.bytes.len() as u64 == bytes.len() as u64;
    if first && head::bare_target(bytes).is_some() {
        return Guess::Is(Box::new(Http::new(chunk.layer)));
    }
    match head::begins(bytes) {
        Begins::Yes(_) => Guess::Is(Box::new(Http::new(chunk.layer))),
        Begins::Perhaps if bytes.len() < head::ENOUGH => Guess::More,
        _ => Guess::No,
    }
}

/// Whether bytes inside a stream nobody knew begin an HTTP/1.x message beyond doubt: its first line is whole.
pub fn surely_begins(bytes: &[u8]) -> bool {
    matches!(head::begins(bytes), Begins::Yes(_))
        && memchr::memchr(b'\n', bytes).is_some_and(|end| memchr::memmem::find(&bytes[..end], b"HTTP/1.").is_some())
}
