//! Which protocol bytes are: by their first bytes, and only where those say nothing by port.

use crate::chunk::Chunk;
use crate::dissect::{Dissector, http};
use crate::flow::Ends;

/// What first bytes say.
#[derive(Debug)]
pub enum Guess {
    Is(Box<dyn Dissector>),
    /// Could still become something we know.
    More,
    No,
}

/// Looks at the first bytes of a direction (for datagrams: one whole datagram). Each dissector's module says what its first bytes are.
pub fn sniff(_ends: &Ends, chunk: &Chunk<'_>, bytes: &[u8]) -> Guess {
    if bytes.is_empty() {
        return Guess::More;
    }
    http::looks_like(chunk, bytes)
}
