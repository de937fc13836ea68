//! Which protocol bytes are: by their first bytes, and only where those say nothing by port.

use crate::chunk::{Chunk, Layer};
use crate::dissect::{Dissector, dhcp, dhcp6, dns, http, local, quic, snmp, tls};
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

pub type Sniffer = fn(&Ends, &Chunk<'_>, &[u8]) -> Guess;

/// The dissectors' own tests, the strictest first.
const SNIFFERS: &[Sniffer] = &[
    tls::looks_like,
    http::prior::looks_like,
    http::looks_like,
    local::looks_like,
    dhcp::looks_like,
    dhcp6::looks_like,
    snmp::looks_like,
    quic::looks_like,
    dns::looks_like,
];

/// So many bytes of what is sealed are all printable once in 10^13 times.
const NO_CHANCE: usize = 32;

/// Whether bytes that come where only sealed ones were expected are none: text, or a hello of another connection. For whoever passes bytes by
/// that nobody wants any more ([`Want::Nothing`](crate::chunk::Want)): these are wanted.
pub fn is_plain(bytes: &[u8]) -> bool {
    let text = |b: &u8| matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n');
    bytes.get(..NO_CHANCE).is_some_and(|some| some.iter().all(text)) || tls::begins_hello(bytes)
}

/// What begins inside a stream nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// TLS beyond doubt: after a STARTTLS, a proxy's greeting, an upgrade.
    Hello,
    /// TLS by the look of a message's start.
    Tls,
    Http,
    Http2,
}

/// Where in a stream nobody knows something begins that we know beyond doubt. `bytes` are the last of a direction; those before `old` were
/// looked at before, for what they hold alone.
pub fn find(bytes: &[u8], old: usize, layer: Layer) -> Option<(usize, Start)> {
    let written = bytes.get(old..).unwrap_or_default();
    // Where the sender wrote: less is asked of what stands there.
    let here = match written {
        _ if tls::begins_hello(written) => Some(Start::Hello),
        // A handshake record (RFC 8446 §5.1) whose first message is a ClientHello shorter than 64 KiB.
        [0x16, 3, 0..=3, _, _, 1, 0, _, _, 3, 0..=3, ..] => Some(Start::Tls),
        _ if http::surely_begins(written) => Some(Start::Http),
        _ => None,
    };
    let hello = tls::find_hello(bytes, old).map(|at| (at, Start::Hello));
    let http = http::head::find_new(bytes, old).map(|at| (at, Start::Http));
    // Under TLS the preface says nothing that ALPN has not said.
    let prior = if layer == Layer::Wire { http::prior::find(bytes, old).map(|at| (at, Start::Http2)) } else { None };
    let here = here.map(|start| (old, start));
    [here, hello, http, prior].into_iter().flatten().min_by_key(|(at, _)| *at)
}
