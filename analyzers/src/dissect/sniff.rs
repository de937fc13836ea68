//! Which protocol bytes are: by their first bytes, and only where those say nothing by port.

use crate::chunk::Chunk;
use crate::dissect::{Dissector, dns, http, quic, tls};
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
pub fn sniff(ends: &Ends, chunk: &Chunk<'_>, bytes: &[u8]) -> Guess {
    if bytes.is_empty() {
        return Guess::More;
    }
    let mut more = false;
    for looks_like in SNIFFERS {
        match looks_like(ends, chunk, bytes) {
            Guess::No => {}
            Guess::More => more = true,
            known @ Guess::Is(_) => return known,
        }
    }
    if more { Guess::More } else { Guess::No }
}

type Sniffer = fn(&Ends, &Chunk<'_>, &[u8]) -> Guess;

/// The dissectors' own tests, the strictest first.
const SNIFFERS: &[Sniffer] = &[tls::looks_like, quic::looks_like, |_, chunk, bytes| http::looks_like(chunk, bytes), dns::looks_like];
