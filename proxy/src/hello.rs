//! The first bytes of a connection: read without losing one, told apart as TLS or not, and the ClientHello read.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, timeout_at};

use crate::forge::{KeyKind, suites};

/// A ClientHello larger than this (a Kyber hello has about 2 KiB) is not waited for; the connection is relayed.
pub const LONGEST: usize = 64 * 1024;

/// What a connection began with. `seen` holds every byte that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    Tls {
        hello: Box<Hello>,
        seen: Bytes,
    },
    /// Bytes that are not TLS, or TLS that does not hold a readable hello.
    Other {
        seen: Bytes,
    },
    /// Nothing came in time: the server speaks first, or nobody does.
    Silent {
        seen: Bytes,
    },
    /// The device closed before saying enough.
    Gone {
        seen: Bytes,
        reset: bool,
    },
}

impl Start {
    /// Every byte that was read.
    pub fn seen(&self) -> &Bytes {
        match self {
            Start::Tls { seen, .. } | Start::Other { seen } | Start::Silent { seen } | Start::Gone { seen, .. } => seen,
        }
    }

    pub fn hello(&self) -> Option<&Hello> {
        match self {
            Start::Tls { hello, .. } => Some(hello),
            _ => None,
        }
    }
}

/// What an interceptor needs to know of a ClientHello. GREASE values are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    pub sni: Option<String>,
    pub alpn: Vec<Vec<u8>>,
    /// `supported_versions`, else what the legacy field implies.
    pub versions: Vec<u16>,
    pub suites: Vec<u16>,
    pub groups: Vec<u16>,
    pub schemes: Vec<u16>,
    pub random: [u8; 32],
    pub session_id: Vec<u8>,
    pub ech: bool,
    pub psk: bool,
    pub early_data: bool,
    /// Knows secure renegotiation: the extension, or the suite value that stands for it (RFC 5746 §3.4).
    pub renegotiation: bool,
    /// Offers the extended master secret (RFC 7627).
    pub extended_master_secret: bool,
    /// The handshake message, header included.
    pub message: Bytes,
}

impl Hello {
    pub fn offers(&self, version: u16) -> bool {
        self.versions.contains(&version)
    }

    /// Whether a server with such a key can prove itself to this client as we do in `version`: a signature it takes (RFC 8446 §4.2.3), and in
    /// TLS 1.2 a suite with that key's authentication too (RFC 5246 §7.4.1.4.1).
    pub fn takes(&self, key: KeyKind, version: u16) -> bool {
        let (schemes, [aead, cbc]): (&[u16], [&[u16]; 2]) = match key {
            KeyKind::P256 => (&[0x0403], [&suites::AEAD_ECDSA, &suites::CBC_ECDSA]),
            KeyKind::Rsa2048 if version == 0x0304 => (&[0x0804, 0x0805, 0x0806], [&[]; 2]),
            KeyKind::Rsa2048 => (&[0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601], [&suites::AEAD_RSA, &suites::CBC_RSA]),
        };
        let suites = if self.is_old() { cbc } else { aead };
        any(schemes, &self.schemes) && (version == 0x0304 || any(suites, &self.suites))
    }

    /// Whether it has no suite of TLS 1.2 with an AEAD, but one in CBC mode, that we have.
    pub fn is_old(&self) -> bool {
        let offers = |ours: &[u16]| any(ours, &self.suites);
        !offers(&suites::AEAD_ECDSA) && !offers(&suites::AEAD_RSA) && (offers(&suites::CBC_ECDSA) || offers(&suites::CBC_RSA))
    }
}

fn any(ours: &[u16], offered: &[u16]) -> bool {
    ours.iter().any(|it| offered.contains(it))
}

/// Reads until the start is decided, `wait` is over, or [`LONGEST`] bytes came.
pub async fn read<S: AsyncRead + Unpin>(stream: &mut S, wait: Duration) -> Start {
    let until = Instant::now() + wait;
    let mut seen = BytesMut::with_capacity(2048);
    loop {
        match look(&seen) {
            Look::Hello(hello) => return Start::Tls { hello, seen: seen.freeze() },
            Look::No => return Start::Other { seen: seen.freeze() },
            Look::More => {}
        }
        if seen.len() >= LONGEST {
            return Start::Other { seen: seen.freeze() };
        }
        seen.reserve(2048);
        match timeout_at(until, stream.read_buf(&mut seen)).await {
            Ok(Ok(0)) => return Start::Gone { seen: seen.freeze(), reset: false },
            Ok(Ok(_)) => {}
            Ok(Err(e)) => return Start::Gone { seen: seen.freeze(), reset: e.kind() == io::ErrorKind::ConnectionReset },
            // Half a hello is no hello: what came is passed on as it is.
            Err(_) if seen.is_empty() => return Start::Silent { seen: Bytes::new() },
            Err(_) => return Start::Other { seen: seen.freeze() },
        }
    }
}

enum Look {
    Hello(Box<Hello>),
    More,
    No,
}

/// Joins the handshake fragments of the records in `seen` and reads the hello when it is whole.
fn look(seen: &[u8]) -> Look {
    let mut message = Vec::new();
    let mut at = seen;
    loop {
        let (kind, major) = (at.first(), at.get(1));
        if kind.is_some_and(|k| *k != 22) || major.is_some_and(|m| *m != 3) {
            return Look::No;
        }
        let Some((header, rest)) = at.split_first_chunk::<5>() else { return Look::More };
        let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if len == 0 || len > (1 << 14) + 256 {
            return Look::No;
        }
        let Some(fragment) = rest.get(..len) else {
            // The record is not whole; but its first byte already tells a hello from another message.
            return if message.is_empty() && rest.first().is_some_and(|b| *b != 1) { Look::No } else { Look::More };
        };
        message.extend_from_slice(fragment);
        if message.first() != Some(&1) {
            return Look::No;
        }
        if let Some((header, body)) = message.split_first_chunk::<4>() {
            let need = usize::from(header[1]) << 16 | usize::from(header[2]) << 8 | usize::from(header[3]);
            if need > LONGEST {
                return Look::No;
            }
            if let Some(body) = body.get(..need) {
                let Some(mut hello) = parse(body) else { return Look::No };
                message.truncate(4 + need);
                hello.message = message.into();
                return Look::Hello(Box::new(hello));
            }
        }
        at = rest.get(len..).unwrap_or_default();
    }
}

/// A cursor over bytes; every read may fail.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (now, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(now)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |n, b| n << 8 | usize::from(*b)))
    }

    /// A vector whose length stands in `bytes` bytes.
    fn vector(&mut self, bytes: usize) -> Option<Cursor<'a>> {
        let n = self.number(bytes)?;
        self.take(n).map(Cursor)
    }

    /// Two-byte numbers to the end, GREASE (RFC 8701) left out.
    fn numbers(mut self) -> Vec<u16> {
        let mut out = Vec::new();
        while let Some(n) = self.number(2) {
            let n = n as u16;
            if n & 0x0f0f != 0x0a0a || n >> 8 != n & 0xff {
                out.push(n);
            }
        }
        out
    }
}

/// The body of a ClientHello (RFC 8446 §4.1.2).
fn parse(body: &[u8]) -> Option<Hello> {
    let mut c = Cursor(body);
    let legacy = c.number(2)? as u16;
    let mut hello = Hello { random: c.take(32)?.try_into().ok()?, ..Hello::default() };
    hello.session_id = c.vector(1)?.0.to_vec();
    hello.suites = c.vector(2)?.numbers();
    hello.renegotiation = hello.suites.contains(&0x00ff);
    c.vector(1)?;
    let mut extensions = if c.0.is_empty() { Cursor(&[]) } else { c.vector(2)? };
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let mut e = extensions.vector(2)?;
        match kind {
            0 => {
                let mut list = e.vector(2)?;
                while !list.0.is_empty() {
                    let kind = list.number(1)?;
                    let name = list.vector(2)?.0;
                    if kind == 0 && hello.sni.is_none() {
                        hello.sni = host_name(name);
                    }
                }
            }
            23 => hello.extended_master_secret = true,
            0xff01 => hello.renegotiation = true,
            10 => hello.groups = e.vector(2)?.numbers(),
            13 => hello.schemes = e.vector(2)?.numbers(),
            16 => {
                let mut list = e.vector(2)?;
                while !list.0.is_empty() {
                    hello.alpn.push(list.vector(1)?.0.to_vec());
                }
            }
            41 => hello.psk = true,
            42 => hello.early_data = true,
            43 => hello.versions = e.vector(1)?.numbers(),
            0xfe0d => hello.ech = true,
            _ => {}
        }
    }
    if hello.versions.is_empty() {
        // Without the extension a client offers everything up to the legacy version; SSL 3.0 is the oldest there is.
        hello.versions = (0x0300..=legacy.min(0x0303)).rev().collect();
    }
    Some(hello)
}

/// A name that may stand in a certificate and a log: letters, digits, `-`, `_` and `.`; anything else is no host name.
fn host_name(bytes: &[u8]) -> Option<String> {
    let good = !bytes.is_empty() && bytes.len() <= 255 && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b));
    good.then(|| String::from_utf8_lossy(bytes).trim_end_matches('.').to_ascii_lowercase())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
pub(crate) mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::io::AsyncWriteExt as _;

    /// A real hello, made by rustls.
    pub(crate) fn hello_bytes(host: &str, alpn: &[&[u8]]) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        let mut client = rustls::ClientConnection::new(Arc::new(config), host.to_owned().try_into().unwrap()).unwrap();
        let mut out = Vec::new();
        client.write_tls(&mut out).unwrap();
        out
    }

    /// The same hello cut into records of `size` bytes of payload.
    fn in_records(bytes: &[u8], size: usize) -> Vec<u8> {
        let payload = &bytes[5..];
        payload.chunks(size).flat_map(|c| [&[22, 3, 1], &(c.len() as u16).to_be_bytes()[..], c].concat()).collect()
    }

    async fn check(bytes: &[u8], step: usize, close: bool) -> Start {
        let (mut device, mut gateway) = tokio::io::duplex(1 << 20);
        for piece in bytes.chunks(step.max(1)) {
            device.write_all(piece).await.unwrap();
        }
        if close {
            device.shutdown().await.unwrap();
        }
        let start = read(&mut gateway, Duration::from_millis(50)).await;
        let seen = start.seen().clone();
        // Not one byte is lost: what was seen and what is left is what was sent.
        drop(device);
        let mut rest = seen.to_vec();
        gateway.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, bytes);
        start
    }

    #[tokio::test(start_paused = true)]
    async fn a_hello_in_any_pieces() {
        let bytes = hello_bytes("shop.test", &[b"h2", b"http/1.1"]);
        for size in [1, 7, 100, 16_000] {
            for step in [1, 13, 100_000] {
                let Start::Tls { hello, .. } = check(&in_records(&bytes, size), step, false).await else { panic!("{size} {step}") };
                assert_eq!(hello.sni.as_deref(), Some("shop.test"));
                assert_eq!(hello.alpn, [b"h2".to_vec(), b"http/1.1".to_vec()]);
                assert_eq!(hello.versions, [0x0304, 0x0303]);
                assert!(!hello.suites.is_empty() && hello.groups.contains(&29) && hello.schemes.contains(&0x0403));
                assert_eq!(hello.message[..], bytes[5..]);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_hello() {
        assert!(matches!(check(b"GET / HTTP/1.1\r\n\r\n", 1, false).await, Start::Other { .. }));
        assert!(matches!(check(b"", 1, false).await, Start::Silent { .. }));
        assert!(matches!(check(b"", 1, true).await, Start::Gone { reset: false, .. }));
        assert!(matches!(check(&[22, 3, 1, 0, 5, 2, 0, 0, 1, 0], 1, false).await, Start::Other { .. }));
        let bytes = hello_bytes("shop.test", &[]);
        assert!(matches!(check(&bytes[..50], 1, false).await, Start::Other { .. }));
        assert!(matches!(check(&bytes[..50], 1, true).await, Start::Gone { .. }));
        // Empty records for ever are not waited for.
        assert!(matches!(check(&[22, 3, 1, 0, 0].repeat(3), 1, false).await, Start::Other { .. }));
        // A hello that claims 16 MiB.
        assert!(matches!(check(&[22, 3, 1, 0, 4, 1, 255, 255, 255], 1, false).await, Start::Other { .. }));
    }

    #[test]
    fn broken_bytes_do_no_harm() {
        let bytes = hello_bytes("shop.test", &[b"h2"]);
        for i in 0..bytes.len() {
            for flip in [1u8, 0x80, 0xff] {
                let mut b = bytes.clone();
                b[i] ^= flip;
                let _ = look(&b);
            }
            let _ = look(&bytes[..i]);
        }
        assert_eq!(host_name(b"a\0b"), None);
        assert_eq!(host_name(b"Shop.Test."), Some("shop.test".to_owned()));
    }

    #[test]
    fn old_versions_are_implied() {
        let mut body = vec![3, 2];
        body.extend([0; 32]);
        body.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
        assert_eq!(parse(&body).unwrap().versions, [0x0302, 0x0301, 0x0300]);
    }
}
