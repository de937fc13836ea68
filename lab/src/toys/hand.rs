//! TLS by hand, for flaws that rustls cannot be talked into: a small client of TLS 1.3, 1.2 and the first flight of 1.1.
//!
//! Its hello offers all versions at once, so a server's choice is a choice and not the only way. Speaks
//! TLS_AES_128_GCM_SHA256 (1.3) and ECDHE with AES_128_GCM_SHA256 (1.2) to the end; other suites it offers only so that a
//! server can insist on TLS 1.1 or its twin, and goes along up to its key exchange.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::{digest, hmac, rand};
use rustls::SignatureScheme;
use rustls::pki_types::{CertificateDer, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::flaw::Flaw;
use super::path;
use super::verifier::Verifier;
use super::{End, status};

/// One request to `host`; every flaw but `flaw` would be refused.
pub(crate) async fn visit<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &str,
    request: &[u8],
    verifier: &Verifier,
    flaw: Flaw,
) -> End {
    let mut wire = Wire { stream, read: None, write: None, messages: Vec::new(), transcript: Vec::new() };
    let end = match converse(&mut wire, host, request, verifier, flaw).await {
        Ok(end) => end,
        Err(Stop::Refuse(alert, why)) => {
            let _ = wire.send(ALERT, &[2, alert]).await;
            End::Refused(why)
        }
        Err(Stop::Fail(why)) => End::Failed(why),
    };
    let _ = wire.stream.shutdown().await;
    end
}

enum Stop {
    /// We will not have it: alert to send, and why.
    Refuse(u8, String),
    /// It did not work.
    Fail(String),
}

type Step<T> = Result<T, Stop>;

fn fail<E: ToString>(why: E) -> Stop {
    Stop::Fail(why.to_string())
}

fn broken() -> Stop {
    Stop::Refuse(DECODE_ERROR, "a message that cannot be read".into())
}

async fn converse<S>(wire: &mut Wire<S>, host: &str, request: &[u8], verifier: &Verifier, flaw: Flaw) -> Step<End>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let share = Share::fresh(X25519_GROUP)?;
    let mut random = [0; 32];
    rand::fill(&mut random).map_err(fail)?;
    let hello = client_hello(host, &random, &share.public, flaw == Flaw::VersionTls11);
    wire.transcript.extend(&hello);
    wire.send(HANDSHAKE, &hello).await?;
    let (kind, body) = wire.message().await?;
    if kind != SERVER_HELLO {
        return Err(Stop::Refuse(UNEXPECTED, format!("message {kind} where a ServerHello belongs")));
    }
    let server = ServerHello::read(&body).ok_or_else(broken)?;
    if server.selected == Some(TLS13) {
        return modern(wire, host, request, verifier, &server, share).await;
    }
    let old = Old { host, request, verifier, random, server: &server };
    match server.version {
        TLS12 if server.random.ends_with(&MARKER) && flaw != Flaw::DowngradeMarker12 => {
            Err(Stop::Refuse(ILLEGAL_PARAMETER, "marked as a downgrade from TLS 1.3".into()))
        }
        TLS12 => old.go(wire).await,
        TLS11 if flaw == Flaw::VersionTls11 => old.go(wire).await,
        version => Err(Stop::Refuse(PROTOCOL_VERSION, format!("version {version:#06x}"))),
    }
}

fn client_hello(host: &str, random: &[u8; 32], share: &[u8], tls11: bool) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(TLS12.to_be_bytes());
    body.extend(random);
    body.push(0); // no session
    let suites: Vec<u8> = SUITES.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    body.extend(counted(2, &suites));
    body.extend([1, 0]); // null compression
    let mut extensions = Vec::new();
    let mut add = |kind: u16, value: &[u8]| {
        extensions.extend(kind.to_be_bytes());
        extensions.extend(counted(2, value));
    };
    if host.parse::<std::net::IpAddr>().is_err() {
        add(0, &counted(2, &[&[0], counted(2, host.as_bytes()).as_slice()].concat()));
    }
    let groups: Vec<u8> = [X25519_GROUP, P256_GROUP].iter().flat_map(|group| group.to_be_bytes()).collect();
    add(10, &counted(2, &groups));
    add(11, &[1, 0]); // uncompressed points
    let schemes: Vec<u8> = SCHEMES.iter().flat_map(|scheme| u16::from(*scheme).to_be_bytes()).collect();
    add(13, &counted(2, &schemes));
    add(16, &counted(2, &counted(1, b"http/1.1")));
    let mut versions = [TLS13, TLS12].map(u16::to_be_bytes).concat();
    if tls11 {
        versions.extend(TLS11.to_be_bytes());
    }
    add(43, &counted(1, &versions));
    add(51, &counted(2, &[X25519_GROUP.to_be_bytes().as_slice(), &counted(2, share)].concat()));
    add(0xff01, &[0]); // renegotiation_info (RFC 5746)
    body.extend(counted(2, &extensions));
    message(CLIENT_HELLO, &body)
}

struct ServerHello {
    version: u16,
    random: [u8; 32],
    suite: u16,
    selected: Option<u16>,
    share: Option<(u16, Vec<u8>)>,
}

impl ServerHello {
    fn read(body: &[u8]) -> Option<Self> {
        let mut at = Cursor(body);
        let version = at.u16()?;
        let random = at.take(32)?.try_into().ok()?;
        at.counted(1)?;
        let suite = at.u16()?;
        at.take(1)?;
        let mut hello = Self { version, random, suite, selected: None, share: None };
        let mut extensions = Cursor(if at.0.is_empty() { &[] } else { at.counted(2)? });
        while !extensions.0.is_empty() {
            let kind = extensions.u16()?;
            let mut value = Cursor(extensions.counted(2)?);
            match kind {
                43 => hello.selected = Some(value.u16()?),
                51 => hello.share = Some((value.u16()?, value.counted(2).unwrap_or_default().to_vec())),
                _ => {}
            }
        }
        Some(hello)
    }
}

/// TLS 1.3 (RFC 8446), from the ServerHello on.
async fn modern<S>(wire: &mut Wire<S>, host: &str, request: &[u8], verifier: &Verifier, server: &ServerHello, share: Share) -> Step<End>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (X25519_GROUP, theirs) = server.share.as_ref().ok_or_else(broken)? else { return Err(fail("another group is wanted")) };
    if server.suite != 0x1301 {
        return Err(Stop::Refuse(ILLEGAL_PARAMETER, format!("suite {:#06x}", server.suite)));
    }
    let secret = share.agree(theirs)?;
    let early = hmac_sha256(&[0; 32], &[&[0; 32]]);
    let handshake = hmac_sha256(&derived(&early), &[&secret]);
    let seen = sha256(&wire.transcript);
    let (ours, theirs) = (label(&handshake, "c hs traffic", &seen, 32), label(&handshake, "s hs traffic", &seen, 32));
    wire.read = Some(Keys::modern(&theirs)?);
    wire.write = Some(Keys::modern(&ours)?);
    let mut chain = Vec::new();
    let mut proven = false;
    loop {
        let before = sha256(&wire.transcript);
        let (kind, body) = wire.message().await?;
        match kind {
            8 | 13 => {}
            CERTIFICATE => {
                let mut at = Cursor(&body);
                at.counted(1).ok_or_else(broken)?;
                let mut list = Cursor(at.counted(3).ok_or_else(broken)?);
                while !list.0.is_empty() {
                    chain.push(CertificateDer::from(list.counted(3).ok_or_else(broken)?.to_vec()));
                    list.counted(2).ok_or_else(broken)?;
                }
                check(verifier, &chain, host)?;
            }
            15 => {
                let mut at = Cursor(&body);
                let scheme = SignatureScheme::from(at.u16().ok_or_else(broken)?);
                let signature = at.counted(2).ok_or_else(broken)?;
                let signed = [[b' '; 64].as_slice(), b"TLS 1.3, server CertificateVerify\0", &before].concat();
                let leaf = chain.first().ok_or_else(broken)?;
                if !path::handshake_signed(leaf, scheme, &signed, signature) {
                    return Err(Stop::Refuse(DECRYPT_ERROR, "the handshake's signature does not fit".into()));
                }
                proven = true;
            }
            FINISHED => {
                if !proven || body != hmac_sha256(&label(&theirs, "finished", &[], 32), &[&before]) {
                    return Err(Stop::Refuse(DECRYPT_ERROR, "the handshake does not finish well".into()));
                }
                break;
            }
            other => return Err(Stop::Refuse(UNEXPECTED, format!("message {other}"))),
        }
    }
    let seen = sha256(&wire.transcript);
    let finished = message(FINISHED, &hmac_sha256(&label(&ours, "finished", &[], 32), &[&seen]));
    wire.send(HANDSHAKE, &finished).await?;
    let master = hmac_sha256(&derived(&handshake), &[&[0; 32]]);
    wire.write = Some(Keys::modern(&label(&master, "c ap traffic", &seen, 32))?);
    wire.read = Some(Keys::modern(&label(&master, "s ap traffic", &seen, 32))?);
    wire.talk(request).await
}

/// TLS 1.2 (RFC 5246) and the flight of 1.1, from the ServerHello on.
struct Old<'a> {
    host: &'a str,
    request: &'a [u8],
    verifier: &'a Verifier,
    random: [u8; 32],
    server: &'a ServerHello,
}

impl Old<'_> {
    async fn go<S: AsyncRead + AsyncWrite + Unpin>(&self, wire: &mut Wire<S>) -> Step<End> {
        let mut chain = Vec::new();
        let mut point = None;
        loop {
            let (kind, body) = wire.message().await?;
            match kind {
                CERTIFICATE => {
                    let mut list = Cursor(Cursor(&body).counted(3).ok_or_else(broken)?);
                    while !list.0.is_empty() {
                        chain.push(CertificateDer::from(list.counted(3).ok_or_else(broken)?.to_vec()));
                    }
                    check(self.verifier, &chain, self.host)?;
                }
                12 => point = Some(self.exchange(&body, chain.first().ok_or_else(broken)?)?),
                13 => {}
                14 => break,
                other => return Err(Stop::Refuse(UNEXPECTED, format!("message {other}"))),
            }
        }
        if chain.is_empty() || !SUITES.contains(&self.server.suite) {
            return Err(broken());
        }
        let Some((group, theirs)) = point else {
            // RSA key transport: a premaster secret under the server's key. Nobody will open it.
            let mut sealed = [0; 256];
            rand::fill(&mut sealed).map_err(fail)?;
            return wire.go_along(self.server.version, &counted(2, &sealed)).await;
        };
        let share = Share::fresh(group)?;
        let key_exchange = counted(1, &share.public);
        if self.server.version != TLS12 || ![0xc02b, 0xc02f].contains(&self.server.suite) {
            return wire.go_along(self.server.version, &key_exchange).await;
        }
        let premaster = share.agree(&theirs)?;
        let master = prf(&premaster, b"master secret", &[&self.random, &self.server.random], 48);
        let block = prf(&master, b"key expansion", &[&self.server.random, &self.random], 40);
        let mut keys = Cursor(&block);
        let mut next = |length| keys.take(length).ok_or_else(broken);
        let (our_key, their_key, our_iv, their_iv) = (next(16)?, next(16)?, next(4)?, next(4)?);
        let exchange = message(16, &key_exchange);
        wire.transcript.extend(&exchange);
        wire.send(HANDSHAKE, &exchange).await?;
        wire.send(CHANGE_CIPHER, &[1]).await?;
        wire.write = Some(Keys::old(our_key, our_iv)?);
        let finished = message(FINISHED, &prf(&master, b"client finished", &[&sha256(&wire.transcript)], 12));
        wire.transcript.extend(&finished);
        wire.send(HANDSHAKE, &finished).await?;
        let expect = prf(&master, b"server finished", &[&sha256(&wire.transcript)], 12);
        match wire.record().await? {
            (CHANGE_CIPHER, _) => wire.read = Some(Keys::old(their_key, their_iv)?),
            (kind, _) => return Err(Stop::Refuse(UNEXPECTED, format!("record {kind}"))),
        }
        let (kind, body) = wire.message().await?;
        if kind != FINISHED || body != expect {
            return Err(Stop::Refuse(DECRYPT_ERROR, "the handshake does not finish well".into()));
        }
        wire.talk(self.request).await
    }

    /// Reads a ServerKeyExchange and checks its signature: (group, point). TLS 1.1 signs MD5 and SHA-1 side by side, which
    /// we cannot check; nothing secret will ever be sent under it.
    fn exchange(&self, body: &[u8], leaf: &CertificateDer<'_>) -> Step<(u16, Vec<u8>)> {
        let mut at = Cursor(body);
        let (curve_type, group) = (at.take(1).ok_or_else(broken)?, at.u16().ok_or_else(broken)?);
        let point = at.counted(1).ok_or_else(broken)?.to_vec();
        if curve_type != [3] || ![X25519_GROUP, P256_GROUP].contains(&group) {
            return Err(Stop::Refuse(ILLEGAL_PARAMETER, format!("group {group}")));
        }
        if self.server.version == TLS12 {
            let params = body.get(..body.len() - at.0.len()).ok_or_else(broken)?;
            let scheme = SignatureScheme::from(at.u16().ok_or_else(broken)?);
            let signature = at.counted(2).ok_or_else(broken)?;
            let signed = [self.random.as_slice(), &self.server.random, params].concat();
            if !SCHEMES.contains(&scheme) || !path::handshake_signed(leaf, scheme, &signed, signature) {
                return Err(Stop::Refuse(DECRYPT_ERROR, "the key exchange's signature does not fit".into()));
            }
        }
        Ok((group, point))
    }
}

fn check(verifier: &Verifier, chain: &[CertificateDer<'_>], host: &str) -> Step<()> {
    verifier.check(chain, host, UnixTime::now()).map_err(|error| Stop::Refuse(BAD_CERTIFICATE, error.to_string()))
}

/// A stream with records, keys and a transcript.
struct Wire<S> {
    stream: S,
    read: Option<Keys>,
    write: Option<Keys>,
    /// Handshake bytes not yet taken as messages.
    messages: Vec<u8>,
    transcript: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    async fn send(&mut self, kind: u8, body: &[u8]) -> Step<()> {
        for part in body.chunks(1 << 14) {
            let record = match &mut self.write {
                None => [&[kind, 3, if kind == HANDSHAKE { 1 } else { 3 }], counted(2, part).as_slice()].concat(),
                Some(keys) => keys.seal(kind, part)?,
            };
            self.stream.write_all(&record).await.map_err(fail)?;
        }
        self.stream.flush().await.map_err(fail)
    }

    /// The next record, opened: (type, content). An alert ends the conversation.
    async fn record(&mut self) -> Step<(u8, Vec<u8>)> {
        loop {
            let mut head = [0; 5];
            self.stream.read_exact(&mut head).await.map_err(fail)?;
            let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
            if length > (1 << 14) + 256 {
                return Err(broken());
            }
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).await.map_err(fail)?;
            let (kind, body) = match &mut self.read {
                // TLS 1.3's change of cipher is for old middle boxes only.
                Some(keys) if keys.modern && head[0] == CHANGE_CIPHER => continue,
                Some(keys) => keys.open(head, body)?,
                None => (head[0], body),
            };
            if kind == ALERT {
                return Err(fail(format!("alert {}", body.get(1).copied().unwrap_or_default())));
            }
            return Ok((kind, body));
        }
    }

    /// The next handshake message: (type, body), already in the transcript.
    async fn message(&mut self) -> Step<(u8, Vec<u8>)> {
        loop {
            if let [kind, a, b, c, rest @ ..] = self.messages.as_slice() {
                let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
                if let Some(body) = rest.get(..length) {
                    let (kind, body) = (*kind, body.to_vec());
                    let whole: Vec<u8> = self.messages.drain(..4 + length).collect();
                    self.transcript.extend(whole);
                    return Ok((kind, body));
                }
            }
            if self.messages.len() > MOST {
                return Err(broken());
            }
            match self.record().await? {
                (HANDSHAKE, bytes) => self.messages.extend(bytes),
                (kind, _) => return Err(Stop::Refuse(UNEXPECTED, format!("record {kind}"))),
            }
        }
    }

    /// ClientKeyExchange and change of cipher: the sign that we accept. There is no way on from here.
    async fn go_along(&mut self, version: u16, key_exchange: &[u8]) -> Step<End> {
        let exchange = message(16, key_exchange);
        let head = |kind: u8, body: &[u8]| [&[kind], version.to_be_bytes().as_slice(), &counted(2, body)].concat();
        let mut flight = head(HANDSHAKE, &exchange);
        flight.extend(head(CHANGE_CIPHER, &[1]));
        self.stream.write_all(&flight).await.map_err(fail)?;
        self.stream.flush().await.map_err(fail)?;
        Ok(End::WentAlong)
    }

    async fn talk(&mut self, request: &[u8]) -> Step<End> {
        self.send(DATA, request).await?;
        let mut answer = Vec::new();
        while answer.len() < MOST {
            match self.record().await {
                Ok((DATA, bytes)) => answer.extend(bytes),
                Ok(_) => {} // tickets
                Err(_) => break,
            }
        }
        let _ = self.send(ALERT, &[1, 0]).await;
        Ok(End::Sent { status: status(&answer), clear: false })
    }
}

/// One direction's AES-128-GCM.
struct Keys {
    key: LessSafeKey,
    iv: [u8; 12],
    count: u64,
    modern: bool,
}

impl Keys {
    fn modern(secret: &[u8]) -> Step<Self> {
        Self::new(&label(secret, "key", &[], 16), &label(secret, "iv", &[], 12), true)
    }

    fn old(key: &[u8], salt: &[u8]) -> Step<Self> {
        Self::new(key, salt, false)
    }

    fn new(key: &[u8], iv: &[u8], modern: bool) -> Step<Self> {
        let key = UnboundKey::new(&AES_128_GCM, key).map_err(fail)?;
        let mut whole = [0; 12];
        whole.iter_mut().zip(iv).for_each(|(place, byte)| *place = *byte);
        Ok(Self { key: LessSafeKey::new(key), iv: whole, count: 0, modern })
    }

    /// TLS 1.3: the counter folded into the IV (RFC 8446 §5.3); TLS 1.2: behind the salt (RFC 5288 §3).
    fn nonce(&self, explicit: [u8; 8]) -> Nonce {
        let mut nonce = self.iv;
        nonce.iter_mut().skip(4).zip(explicit).for_each(|(place, byte)| *place ^= byte);
        Nonce::assume_unique_for_key(nonce)
    }

    fn seal(&mut self, kind: u8, body: &[u8]) -> Step<Vec<u8>> {
        let count = self.count.to_be_bytes();
        self.count += 1;
        let mut sealed = body.to_vec();
        if self.modern {
            sealed.push(kind);
            let mut head = vec![DATA, 3, 3];
            head.extend(((sealed.len() + 16) as u16).to_be_bytes());
            self.key.seal_in_place_append_tag(self.nonce(count), Aad::from(&head), &mut sealed).map_err(fail)?;
            return Ok([head, sealed].concat());
        }
        let aad = [count.as_slice(), &[kind, 3, 3], &(body.len() as u16).to_be_bytes()].concat();
        self.key.seal_in_place_append_tag(self.nonce(count), Aad::from(&aad), &mut sealed).map_err(fail)?;
        Ok([&[kind, 3, 3], counted(2, &[count.as_slice(), &sealed].concat()).as_slice()].concat())
    }

    fn open(&mut self, head: [u8; 5], mut body: Vec<u8>) -> Step<(u8, Vec<u8>)> {
        let count = self.count.to_be_bytes();
        self.count += 1;
        let bad = |_| Stop::Refuse(20, "a record that does not open".into());
        if self.modern {
            let plain = self.key.open_in_place(self.nonce(count), Aad::from(&head), &mut body).map_err(bad)?;
            let end = plain.iter().rposition(|byte| *byte != 0).ok_or_else(broken)?;
            return Ok((*plain.get(end).ok_or_else(broken)?, plain.get(..end).ok_or_else(broken)?.to_vec()));
        }
        let explicit: [u8; 8] = body.get(..8).and_then(|bytes| bytes.try_into().ok()).ok_or_else(broken)?;
        let length = body.len().checked_sub(24).ok_or_else(broken)? as u16;
        let aad = [count.as_slice(), &[head[0], 3, 3], &length.to_be_bytes()].concat();
        let sealed = body.get_mut(8..).ok_or_else(broken)?;
        let plain = self.key.open_in_place(self.nonce(explicit), Aad::from(&aad), sealed).map_err(bad)?;
        Ok((head[0], plain.to_vec()))
    }
}

/// A fresh half of a Diffie-Hellman exchange.
struct Share {
    key: EphemeralPrivateKey,
    public: Vec<u8>,
    group: u16,
}

impl Share {
    fn fresh(group: u16) -> Step<Self> {
        let algorithm = if group == X25519_GROUP { &X25519 } else { &ECDH_P256 };
        let key = EphemeralPrivateKey::generate(algorithm, &SystemRandom::new()).map_err(fail)?;
        let public = key.compute_public_key().map_err(fail)?.as_ref().to_vec();
        Ok(Self { key, public, group })
    }

    fn agree(self, theirs: &[u8]) -> Step<Vec<u8>> {
        let algorithm = if self.group == X25519_GROUP { &X25519 } else { &ECDH_P256 };
        let bad = Stop::Refuse(ILLEGAL_PARAMETER, "a key share that does not agree".into());
        agree_ephemeral(self.key, UnparsedPublicKey::new(algorithm, theirs), bad, |secret| Ok(secret.to_vec()))
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// What follows its length, which has `bytes` bytes.
    fn counted(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let length = self.take(bytes)?.iter().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
        self.take(length)
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], counted(3, body).as_slice()].concat()
}

fn counted(bytes: usize, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [length.get(4 - bytes..).unwrap_or_default(), body].concat()
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    context.sign().as_ref().to_vec()
}

/// HKDF-Expand-Label (RFC 8446 §7.1) for at most one block.
fn label(secret: &[u8], name: &str, context: &[u8], length: u16) -> Vec<u8> {
    let info = [length.to_be_bytes().as_slice(), &counted(1, format!("tls13 {name}").as_bytes()), &counted(1, context)].concat();
    let mut out = hmac_sha256(secret, &[&info, &[1]]);
    out.truncate(usize::from(length));
    out
}

fn derived(secret: &[u8]) -> Vec<u8> {
    label(secret, "derived", &sha256(&[]), 32)
}

/// The PRF of TLS 1.2 (RFC 5246 §5).
fn prf(secret: &[u8], name: &[u8], seed: &[&[u8]], length: usize) -> Vec<u8> {
    let seed = [name, &seed.concat()].concat();
    let mut out = Vec::new();
    let mut link = hmac_sha256(secret, &[&seed]);
    while out.len() < length {
        out.extend(hmac_sha256(secret, &[&link, &seed]));
        link = hmac_sha256(secret, &[&link]);
    }
    out.truncate(length);
    out
}

const TLS13: u16 = 0x0304;
const TLS12: u16 = 0x0303;
const TLS11: u16 = 0x0302;
const X25519_GROUP: u16 = 29;
const P256_GROUP: u16 = 23;
/// RFC 8446 §4.1.3: the end of a random that says *I could have spoken TLS 1.3*.
const MARKER: [u8; 8] = *b"DOWNGRD\x01";
/// What is spoken first; then RSA suites of TLS 1.1, for servers that insist.
const SUITES: [u16; 6] = [0x1301, 0xc02b, 0xc02f, 0xc013, 0xc014, 0x002f];
const SCHEMES: [SignatureScheme; 5] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::RSA_PKCS1_SHA384,
];
const CHANGE_CIPHER: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
const FINISHED: u8 = 20;
const UNEXPECTED: u8 = 10;
const BAD_CERTIFICATE: u8 = 42;
const ILLEGAL_PARAMETER: u8 = 47;
const DECODE_ERROR: u8 = 50;
const DECRYPT_ERROR: u8 = 51;
const PROTOCOL_VERSION: u8 = 70;
/// Bytes of a flight or an answer.
const MOST: usize = 256 * 1024;
