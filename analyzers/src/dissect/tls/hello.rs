//! The ClientHello: read with bounds from its bytes alone, for the dissectors of TLS and QUIC and for the live proxy.

use smallvec::SmallVec;

use crate::dissect::search::Place;
use crate::dissect::tls::cursor::Cursor;
use crate::dissect::tls::suites::{self, is_grease};
use crate::flow::Dir;
use crate::observation::Hello;
use crate::text::{Text, Veil};

/// What a ClientHello travels in; JA4 and the client class tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    Tcp,
    Quic,
    Dtls,
}

/// Why bytes are no ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("no ClientHello")]
    Other,
    #[error("ClientHello ends inside its {0}")]
    Cut(&'static str),
}

/// A ClientHello's fields, borrowed from its bytes and in the client's order, GREASE included.
#[derive(Clone, Debug)]
pub struct ClientHello<'a> {
    /// SSL 2.0 record format (RFC 5246 Appendix E.2): no session to speak of, no extensions.
    pub sslv2: bool,
    /// The version field of the message; since TLS 1.3 only a legacy.
    pub legacy_version: u16,
    pub random: [u8; 32],
    pub session_id: &'a [u8],
    /// The cookie of DTLS; empty elsewhere.
    pub cookie: &'a [u8],
    pub suites: SmallVec<[u16; 32]>,
    pub compressions: &'a [u8],
    pub extensions: SmallVec<[(u16, &'a [u8]); 24]>,
    /// `host_name` of server_name.
    pub sni: Option<&'a [u8]>,
    pub alpn: SmallVec<[&'a [u8]; 4]>,
    /// `supported_versions`; empty when the extension is absent.
    pub supported_versions: SmallVec<[u16; 8]>,
    pub groups: SmallVec<[u16; 12]>,
    pub point_formats: &'a [u8],
    pub signatures: SmallVec<[u16; 24]>,
    /// An extension whose inside could not be read, by number. It still counts as present.
    pub damaged: Option<u16>,
}

/// Extension numbers (IANA TLS ExtensionType registry) that are looked into.
pub mod extension {
    pub const SERVER_NAME: u16 = 0;
    pub const GROUPS: u16 = 10;
    pub const POINT_FORMATS: u16 = 11;
    pub const SIGNATURES: u16 = 13;
    pub const ALPN: u16 = 16;
    pub const PADDING: u16 = 21;
    pub const ENCRYPT_THEN_MAC: u16 = 22;
    pub const COMPRESS_CERTIFICATE: u16 = 27;
    pub const RECORD_SIZE_LIMIT: u16 = 28;
    pub const SESSION_TICKET: u16 = 35;
    pub const PRE_SHARED_KEY: u16 = 41;
    pub const EARLY_DATA: u16 = 42;
    pub const SUPPORTED_VERSIONS: u16 = 43;
    pub const COOKIE: u16 = 44;
    pub const PSK_MODES: u16 = 45;
    pub const SIGNATURES_CERT: u16 = 50;
    pub const KEY_SHARE: u16 = 51;
    pub const ECH: u16 = 0xfe0d;
}

/// Reads a handshake message that is a ClientHello: type 1, three bytes of length, body. Bytes after the message are ignored.
pub fn parse(message: &[u8]) -> Result<ClientHello<'_>, Broken> {
    let mut it = Cursor::new(message);
    if it.u8() != Some(1) {
        return Err(Broken::Other);
    }
    parse_body(it.vec24().ok_or(Broken::Cut("length"))?, false)
}

/// Reads a ClientHello's body; `dtls` bodies carry a cookie.
pub fn parse_body(body: &[u8], dtls: bool) -> Result<ClientHello<'_>, Broken> {
    let mut it = Cursor::new(body);
    let legacy_version = it.u16().ok_or(Broken::Cut("version"))?;
    let random = it.array::<32>().ok_or(Broken::Cut("random"))?;
    let session_id = it.vec8().ok_or(Broken::Cut("session id"))?;
    let cookie = if dtls { it.vec8().ok_or(Broken::Cut("cookie"))? } else { &[] };
    let suites = it.vec16().ok_or(Broken::Cut("cipher suites"))?;
    let compressions = it.vec8().ok_or(Broken::Cut("compression methods"))?;
    let mut hello = ClientHello {
        sslv2: false,
        legacy_version,
        random,
        session_id,
        cookie,
        suites: numbers(suites).collect(),
        compressions,
        extensions: SmallVec::new(),
        sni: None,
        alpn: SmallVec::new(),
        supported_versions: SmallVec::new(),
        groups: SmallVec::new(),
        point_formats: &[],
        signatures: SmallVec::new(),
        damaged: None,
    };
    // SSL 3.0 and TLS 1.0 clients may stop here.
    if it.is_empty() {
        return Ok(hello);
    }
    let mut it = Cursor::new(it.vec16().ok_or(Broken::Cut("extensions"))?);
    while !it.is_empty() {
        let kind = it.u16().ok_or(Broken::Cut("extensions"))?;
        let body = it.vec16().ok_or(Broken::Cut("extensions"))?;
        hello.extensions.push((kind, body));
        if hello.look_into(kind, body).is_none() {
            hello.damaged.get_or_insert(kind);
        }
    }
    Ok(hello)
}

/// Reads an SSL 2.0 record that is a CLIENT-HELLO, as clients that also spoke SSL 2.0 sent it.
pub fn parse_sslv2(record: &[u8]) -> Result<ClientHello<'_>, Broken> {
    let mut it = Cursor::new(record);
    let len = it.u16().filter(|n| n & 0x8000 != 0).ok_or(Broken::Other)? & 0x7fff;
    let mut it = Cursor::new(it.take(usize::from(len)).ok_or(Broken::Cut("record"))?);
    if it.u8() != Some(1) {
        return Err(Broken::Other);
    }
    let legacy_version = it.u16().ok_or(Broken::Cut("version"))?;
    let mut lens = [0; 3];
    for len in &mut lens {
        *len = usize::from(it.u16().ok_or(Broken::Cut("lengths"))?);
    }
    let suites = it.take(lens[0]).ok_or(Broken::Cut("cipher suites"))?;
    let session_id = it.take(lens[1]).ok_or(Broken::Cut("session id"))?;
    let challenge = it.take(lens[2]).ok_or(Broken::Cut("challenge"))?;
    // RFC 5246 E.2: the challenge, right-aligned, is the random.
    let mut random = [0; 32];
    for (to, from) in random.iter_mut().rev().zip(challenge.iter().rev()) {
        *to = *from;
    }
    Ok(ClientHello {
        sslv2: true,
        legacy_version,
        random,
        session_id,
        cookie: &[],
        // Three-byte numbers; those that begin with zero are the suites of SSL 3.0 and later.
        suites: suites.chunks_exact(3).filter(|s| s[0] == 0).map(|s| u16::from_be_bytes([s[1], s[2]])).collect(),
        compressions: &[],
        extensions: SmallVec::new(),
        sni: None,
        alpn: SmallVec::new(),
        supported_versions: SmallVec::new(),
        groups: SmallVec::new(),
        point_formats: &[],
        signatures: SmallVec::new(),
        damaged: None,
    })
}

/// What the first bytes of a connection hold: for a live proxy that must know before it decides.
#[derive(Debug)]
pub enum Peek {
    /// A whole ClientHello message (type, length, body), joined from its records.
    Hello(Vec<u8>),
    /// Could become one.
    More,
    /// Something else.
    Other,
}

/// Joins the records at the start of a connection into one ClientHello message, up to `limit` bytes.
pub fn peek(bytes: &[u8], limit: usize) -> Peek {
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        let Some((head, tail)) = rest.split_first_chunk::<5>() else {
            // What there is of a header must agree with a handshake record of SSL 3.0 or later.
            let fits = rest.iter().zip([0x16, 0x03]).all(|(a, b)| *a == b);
            return if fits { Peek::More } else { Peek::Other };
        };
        let [kind, major, _, hi, lo] = *head;
        let len = usize::from(u16::from_be_bytes([hi, lo]));
        if kind != 22 || major != 3 || len == 0 {
            return Peek::Other;
        }
        let body = &tail[..len.min(tail.len())];
        message.extend_from_slice(body);
        match *message.as_slice() {
            [first, ..] if first != 1 => return Peek::Other,
            [_, a, b, c, ..] => {
                let whole = 4 + (usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c));
                if whole > limit {
                    return Peek::Other;
                }
                if message.len() >= whole {
                    message.truncate(whole);
                    return Peek::Hello(message);
                }
            }
            _ => {}
        }
        if body.len() < len {
            return Peek::More;
        }
        rest = &tail[len..];
    }
}

impl<'a> ClientHello<'a> {
    fn look_into(&mut self, kind: u16, body: &'a [u8]) -> Option<()> {
        let mut it = Cursor::new(body);
        match kind {
            extension::SERVER_NAME => {
                // Some clients send the server's form, which is empty.
                if body.is_empty() {
                    return Some(());
                }
                let mut names = Cursor::new(it.vec16()?);
                while !names.is_empty() {
                    let (kind, name) = (names.u8()?, names.vec16()?);
                    if kind == 0 && self.sni.is_none() {
                        self.sni = Some(name);
                    }
                }
            }
            extension::ALPN => {
                let mut names = Cursor::new(it.vec16()?);
                while !names.is_empty() {
                    self.alpn.push(names.vec8()?);
                }
            }
            extension::SUPPORTED_VERSIONS => self.supported_versions = numbers(it.vec8()?).collect(),
            extension::GROUPS => self.groups = numbers(it.vec16()?).collect(),
            extension::POINT_FORMATS => self.point_formats = it.vec8()?,
            extension::SIGNATURES => self.signatures = numbers(it.vec16()?).collect(),
            _ => {}
        }
        Some(())
    }

    /// What stands at `at` of `message`, the bytes this was read from: the place of a value found there.
    pub(crate) fn place(&self, message: &[u8], at: usize) -> Place<'static> {
        let start = message.as_ptr() as usize;
        let within = |part: &[u8]| (part.as_ptr() as usize).checked_sub(start).is_some_and(|from| (from..from + part.len()).contains(&at));
        Place::Of(match self.extensions.iter().find(|(_, body)| within(body)) {
            Some((extension::SERVER_NAME, _)) => "tls.sni",
            Some((extension::ALPN, _)) => "tls.alpn",
            Some((extension::PRE_SHARED_KEY, _)) => "tls.psk-identity",
            _ => "tls.hello",
        })
    }

    pub fn has(&self, extension: u16) -> bool {
        self.extensions.iter().any(|(kind, _)| *kind == extension)
    }

    /// Whether TLS 1.3 (or a draft of it) is offered.
    pub fn offers_13(&self) -> bool {
        self.supported_versions.iter().any(|v| suites::is_modern(*v))
    }

    /// Versions offered, GREASE removed, in the client's order.
    pub fn versions(&self) -> SmallVec<[u16; 8]> {
        if self.supported_versions.is_empty() {
            return SmallVec::from_slice(&[self.legacy_version]);
        }
        self.supported_versions.iter().copied().filter(|v| !is_grease(*v)).collect()
    }

    /// Whether GREASE (RFC 8701) stands among suites, extensions, groups or versions.
    pub fn grease(&self) -> bool {
        self.suites.iter().chain(&self.groups).chain(&self.supported_versions).any(|v| is_grease(*v))
            || self.extensions.iter().any(|(kind, _)| is_grease(*kind))
    }

    /// The fact, in the words of the journal. Over QUIC `quic_version` is that of the Initial.
    pub fn seen(&self, carrier: Carrier, dir: Dir, retry: bool, quic_version: Option<u32>, veil: &dyn Veil) -> Hello {
        Hello {
            transport: if carrier == Carrier::Tcp { crate::flow::Transport::Tcp } else { crate::flow::Transport::Udp },
            dir,
            sni: self.sni.map(|name| Text::veiled(name, veil)),
            versions: self.versions().to_vec(),
            suites: self.suites.iter().copied().filter(|s| !is_grease(*s)).collect(),
            alpn: self.alpn.iter().map(|name| Text::veiled(name, veil)).collect(),
            // JA3 is not defined for SSL 2.0's form.
            ja3: if self.sslv2 { Text::default() } else { Text::ours(self.ja3()) },
            ja4: Text::ours(self.ja4(carrier)),
            class: self.class(carrier),
            grease: self.grease(),
            ech: self.has(extension::ECH),
            psk: self.has(extension::PRE_SHARED_KEY),
            early_data: self.has(extension::EARLY_DATA),
            session_ticket: self.extensions.iter().any(|(kind, body)| *kind == extension::SESSION_TICKET && !body.is_empty()),
            retry,
            fallback_scsv: self.suites.contains(&suites::FALLBACK_SCSV),
            quic_version,
            by_peer: false,
        }
    }
}

/// Big-endian 16-bit numbers; an odd last byte is left out.
pub(crate) fn numbers(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}
