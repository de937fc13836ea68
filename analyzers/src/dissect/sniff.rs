//! Which protocol bytes are: by their first bytes, and only where those say nothing by port.

use crate::chunk::{Chunk, Unit};
use crate::dissect::{Dissector, dhcp, dns, http, local, quic, tls};
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
const SNIFFERS: &[Sniffer] = &[tls::looks_like, http::looks_like, local::looks_like, dhcp::looks_like, quic::looks_like, dns::looks_like];

/// Whether a chunk of a stream nobody knows begins something we know beyond doubt: what follows a proxy's greeting, a STARTTLS or a
/// start that was not captured. Chunks are where senders wrote; a start in the middle of one is not seen.
pub fn again(chunk: &Chunk<'_>) -> bool {
    // A handshake record (RFC 8446 §5.1) whose first message is a ClientHello shorter than 64 KiB.
    let hello = matches!(chunk.bytes, [0x16, 3, 0..=3, _, _, 1, 0, _, _, 3, 0..=3, ..]);
    matches!(chunk.unit, Unit::Stream { .. }) && (hello || http::surely_begins(chunk.bytes))
}
