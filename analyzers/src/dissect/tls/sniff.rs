//! Whether first bytes are TLS.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::chunk::{Chunk, Unit};
use crate::dissect::sniff::Guess;
use crate::dissect::tls::{Tls, dtls, hello, side};
use crate::flow::Ends;

/// A record header whose type, version, length and first bytes agree; or an SSL 2.0 hello.
pub fn looks_like(ends: &Ends, chunk: &Chunk<'_>, bytes: &[u8]) -> Guess {
    if chunk.unit == Unit::Datagram && dtls::is_dtls(bytes) {
        return Guess::Is(Box::new(dtls::Dtls::default()));
    }
    if !matches!(chunk.unit, Unit::Stream { .. }) {
        return Guess::No;
    }
    match record(ends.from_start, bytes) {
        Some(true) => Guess::Is(Box::new(Tls::default())),
        None => Guess::More,
        Some(false) if bytes.first().is_some_and(|b| b & 0x80 != 0) => sslv2(bytes),
        Some(false) => Guess::No,
    }
}

/// Whether a chunk begins with a ClientHello or ServerHello beyond doubt: TLS that starts inside a conversation nobody knew (STARTTLS, SOCKS, an upgrade).
pub fn begins_hello(bytes: &[u8]) -> bool {
    let Some((head, body)) = side::Header::read(bytes).zip(bytes.get(side::HEADER..)) else { return false };
    let [kind @ (1 | 2), a, b, c, 3, minor, ..] = *body else { return false };
    let message = 4 + (usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c));
    let fits = if kind == 1 {
        // Alone in its record, or longer than one.
        head.len() == message || (message > head.len() && message < 1 << 16 && head.len() >= 64)
    } else {
        // Version, random, session id, suite and compression at least; others may follow in its record.
        (4 + 38..=head.len().min(1024)).contains(&message)
    };
    let reads = body.len() < message || kind == 2 || hello::parse(body).is_ok();
    head.kind() == side::HANDSHAKE && head.plausible() && minor <= 3 && fits && reads
}

/// Where such a hello begins in the last bytes of a stream, of which those before `old` were looked at before.
pub fn find_hello(bytes: &[u8], old: usize) -> Option<usize> {
    static SIGN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(&[side::HANDSHAKE, 3]));
    let from = old.saturating_sub(TOLD);
    SIGN.find_iter(bytes.get(from..)?).map(|at| from + at).find(|at| bytes.get(*at..).is_some_and(begins_hello))
}

/// So many bytes at least tell a hello: the header, and the message's type, length and version.
const TOLD: usize = side::HEADER + 6;

/// `None`: too few bytes to tell.
fn record(from_start: bool, bytes: &[u8]) -> Option<bool> {
    let Some(head) = side::Header::read(bytes) else {
        let fits = match bytes {
            [] => true,
            [kind] => (20..=23).contains(kind),
            [kind, major, minor @ ..] => {
                (20..=23).contains(kind) && *major == 3 || [*kind, *major] == [side::ALERT, 0] && matches!(minor, [] | [0, ..])
            }
        };
        return if fits { None } else { Some(false) };
    };
    let len = head.len();
    if !head.plausible() || len == 0 || len > side::LONGEST {
        return Some(false);
    }
    let body = &bytes[side::HEADER..bytes.len().min(side::HEADER + len)];
    Some(match head.kind() {
        side::CHANGE_CIPHER_SPEC => len == 1 && body.first().is_none_or(|b| *b == 1),
        // Two bytes in the clear, or sealed.
        side::ALERT => len == 2 && body.first().is_none_or(|b| matches!(b, 1 | 2)) || (18..=256).contains(&len),
        side::HANDSHAKE => match body {
            [] => return None,
            // A hello, which may be cut over as small records as its sender likes; or mid-stream anything.
            [1 | 2, rest @ ..] => rest.first().is_none_or(|b| *b <= 1),
            [kind, ..] => !from_start || super::messages::known_message(*kind),
        },
        side::APPLICATION => !from_start || head.0[2] >= 1,
        _ => false,
    })
}

/// At least as much as tells an SSL 2.0 hello from chance: lengths that add up.
fn sslv2(bytes: &[u8]) -> Guess {
    let [hi, lo, kind, major, minor, rest @ ..] = bytes else {
        let kind_fits = bytes.get(2).is_none_or(|kind| *kind == 1);
        return if kind_fits && bytes.len() < 5 { Guess::More } else { Guess::No };
    };
    if *kind != 1 || !matches!((major, minor), (0, 2) | (3, 0..=3)) {
        return Guess::No;
    }
    let [s1, s2, i1, i2, c1, c2, ..] = *rest else { return Guess::More };
    let len = usize::from(u16::from_be_bytes([hi & 0x7f, *lo]));
    let sum = |a, b| usize::from(u16::from_be_bytes([a, b]));
    let fits = sum(s1, s2) % 3 == 0 && (16..=32).contains(&sum(c1, c2)) && 9 + sum(s1, s2) + sum(i1, i2) + sum(c1, c2) == len;
    if fits && waits(bytes) {
        return Guess::More;
    }
    if fits && hello::parse_sslv2(bytes).is_ok() { Guess::Is(Box::new(Tls::default())) } else { Guess::No }
}

/// Whether first bytes may be an SSL 2.0 hello whose rest is still to come.
pub fn waits(bytes: &[u8]) -> bool {
    matches!(*bytes, [hi @ 0x80..=0x81, lo, 1, ..] if bytes.len() < 2 + usize::from(u16::from_be_bytes([hi & 0x7f, lo])))
}
