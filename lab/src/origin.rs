//! The services of the lab's Internet: one honest web server (and MQTT broker) that answers to every name, on any stream.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::crypto::CryptoProvider;
use rustls::server::{Acceptor, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ProtocolVersion, ServerConfig, SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::LazyConfigAcceptor;

use crate::Fault;
use crate::authority::{Authority, Leaf};
use crate::broker;
use crate::names::Names;

/// How an origin speaks TLS. The default is a server of today.
#[derive(Clone, Debug)]
pub struct Manner {
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// In order of preference; empty: no ALPN at all.
    pub alpn: Vec<Vec<u8>>,
    pub provider: Arc<CryptoProvider>,
    /// For a client that has none of those suites.
    pub old: Option<Arc<CryptoProvider>>,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            versions: vec![&rustls::version::TLS13, &rustls::version::TLS12],
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            old: None,
        }
    }
}

/// One request that reached an origin: what the gateway let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// As the client named it: SNI, else Host, else the address.
    pub name: String,
    pub tls: Option<ProtocolVersion>,
    pub alpn: Option<Vec<u8>>,
    pub version: Version,
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// Headers in order; values that are not text are left out.
    pub headers: Vec<(String, String)>,
    /// The first bytes of the body ([`BODY_KEPT`] at most).
    pub body: Vec<u8>,
}

/// Numbers since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub connections: u64,
    pub handshakes: u64,
    /// Handshakes begun but not completed, whoever ended them.
    pub broken: u64,
    pub requests: u64,
}

/// Every name's honest server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Origin(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    authority: Arc<Authority>,
    manner: Manner,
    /// Names whose files come from a folder.
    folders: HashMap<String, PathBuf>,
    /// Which name an address was given out for.
    names: Option<Names>,
    /// By name, and whether for old clients.
    configs: Mutex<HashMap<(String, bool), Arc<ServerConfig>>>,
    seen: Mutex<VecDeque<Seen>>,
    connections: AtomicU64,
    handshakes: AtomicU64,
    broken: AtomicU64,
    requests: AtomicU64,
}

impl Origin {
    pub fn new(authority: Arc<Authority>, manner: Manner) -> Self {
        Self::serving(authority, manner, [], None)
    }

    /// The same, with names whose files come from a folder each, and `names` that tell what a client wants that sends no SNI.
    pub fn serving(
        authority: Arc<Authority>,
        manner: Manner,
        folders: impl IntoIterator<Item = (String, PathBuf)>,
        names: Option<Names>,
    ) -> Self {
        Self(Arc::new(Inner {
            authority,
            manner,
            folders: folders.into_iter().map(|(name, folder)| (name.to_ascii_lowercase(), folder)).collect(),
            names,
            configs: Mutex::default(),
            seen: Mutex::default(),
            connections: AtomicU64::new(0),
            handshakes: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        }))
    }

    pub fn authority(&self) -> &Arc<Authority> {
        &self.0.authority
    }

    /// Serves one TLS connection to its end. `address` is the one the client called; where no SNI does, the name it was given out for names the
    /// server, else the address itself.
    pub async fn serve_tls<S>(&self, io: S, address: IpAddr) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.serve_sealed(io, address, false).await
    }

    /// The same for a port of which it is not known who speaks first under TLS: who says nothing is greeted ([`BANNER`]).
    pub async fn serve_any_tls<S>(&self, io: S, address: IpAddr) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.serve_sealed(io, address, true).await
    }

    async fn serve_sealed<S>(&self, io: S, address: IpAddr, greets: bool) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        let begun = tokio::time::timeout(HANDSHAKE, self.handshake(io, address)).await;
        let (name, stream) = match begun {
            Ok(Ok(done)) => done,
            failed => {
                self.0.broken.fetch_add(1, Ordering::Relaxed);
                return failed.map_or_else(|late| Err(late.into()), |result| result.map(|_| ()));
            }
        };
        self.0.handshakes.fetch_add(1, Ordering::Relaxed);
        let tls = stream.get_ref().1.protocol_version();
        let alpn = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        self.converse(stream, Link { name: Some(name), address, tls, alpn, greets }).await
    }

    /// Serves one cleartext HTTP connection to its end.
    pub async fn serve_http<S>(&self, io: S, address: IpAddr) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        self.converse(io, Link { name: None, address, tls: None, alpn: None, greets: false }).await
    }

    /// A service that speaks first, in clear, and then answers each line with itself.
    pub async fn serve_banner<S>(&self, io: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        greet(io).await
    }

    /// The last [`LOG`] requests, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub fn tally(&self) -> Tally {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let inner = &self.0;
        Tally {
            connections: read(&inner.connections),
            handshakes: read(&inner.handshakes),
            broken: read(&inner.broken),
            requests: read(&inner.requests),
        }
    }

    async fn handshake<S>(&self, io: S, address: IpAddr) -> io::Result<(String, tokio_rustls::server::TlsStream<S>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let start = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
        let meant = || self.0.names.as_ref().and_then(|names| names.name_of(address)).unwrap_or_else(|| address.to_string());
        let name = start.client_hello().server_name().map_or_else(meant, str::to_owned);
        let offered = start.client_hello().alpn().map(|offered| offered.map(<[u8]>::to_vec).collect::<Vec<_>>());
        let has = |suites: &[SupportedCipherSuite]| {
            start.client_hello().cipher_suites().iter().any(|offered| suites.iter().any(|suite| suite.suite() == *offered))
        };
        let old = self.0.manner.old.as_ref().filter(|_| !has(&self.0.manner.provider.cipher_suites));
        let mut config = self.config(&name, old).map_err(io::Error::other)?;
        // Who offers only what this server does not have (http/1.0, a broker's own protocol) is served without, as by one that knows no ALPN.
        if offered.is_some_and(|offered| !offered.iter().any(|protocol| config.alpn_protocols.contains(protocol))) {
            Arc::make_mut(&mut config).alpn_protocols.clear();
        }
        Ok((name, start.into_stream(config).await?))
    }

    fn config(&self, name: &str, old: Option<&Arc<CryptoProvider>>) -> Result<Arc<ServerConfig>, Fault> {
        let mut configs = self.0.configs.lock().unwrap_or_else(PoisonError::into_inner);
        let known = (name.to_owned(), old.is_some());
        if let Some(config) = configs.get(&known) {
            return Ok(Arc::clone(config));
        }
        let leaf = self.0.authority.leaf(name)?;
        let provider = Arc::clone(old.unwrap_or(&self.0.manner.provider));
        let tls12 = [&rustls::version::TLS12];
        let fitting = Fitting::new(name, leaf, Arc::clone(&self.0.authority), &provider);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(if old.is_some() { &tls12 } else { self.0.manner.versions.as_slice() })
            .map_err(Fault::odd("choosing the origin's TLS versions"))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(fitting));
        config.alpn_protocols.clone_from(&self.0.manner.alpn);
        // Tickets left unread turn a client's FIN into a RST, and resumption would hide certificates.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let config = Arc::new(config);
        if configs.len() < CONFIGS {
            configs.insert(known, Arc::clone(&config));
        }
        Ok(config)
    }

    async fn converse<S>(&self, mut io: S, context: Link) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut head = BytesMut::with_capacity(HEAD);
        let patience = if context.greets { PATIENCE } else { IDLE };
        let read = match tokio::time::timeout(patience, io.read_buf(&mut head)).await {
            Err(_) if context.greets => return greet(io).await,
            read => read??,
        };
        if read == 0 {
            return Ok(());
        }
        let talks_mqtt = broker::begins(&head);
        let (read, write) = tokio::io::split(io);
        let io = tokio::io::join(AsyncReadExt::chain(io::Cursor::new(head.freeze()), read), write);
        if talks_mqtt {
            return broker::serve(io).await;
        }
        let context = Arc::new(context);
        let service = service_fn(move |request| {
            let (origin, context) = (self.clone(), Arc::clone(&context));
            async move { Ok::<_, Infallible>(origin.answer(request, &context).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(IDLE));
        builder.serve_connection(TokioIo::new(io), service).await.map_err(io::Error::other)
    }

    async fn answer(&self, request: Request<Incoming>, context: &Link) -> Response<Reply> {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        let (parts, body) = request.into_parts();
        let host = parts.uri.authority().map(ToString::to_string).or_else(|| text(parts.headers.get(HOST)?));
        let name = context.name.clone().or(host).unwrap_or_else(|| context.address.to_string());
        let target = parts.uri.path_and_query().map_or_else(|| parts.uri.path().to_owned(), ToString::to_string);
        let body = match Limited::new(body, BODY_TAKEN).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return plain(StatusCode::PAYLOAD_TOO_LARGE, "body over 16 MiB\n"),
        };
        self.note(Seen {
            name: name.clone(),
            tls: context.tls,
            alpn: context.alpn.clone(),
            version: parts.version,
            method: parts.method.clone(),
            target,
            headers: parts.headers.iter().filter_map(|(key, value)| Some((key.as_str().to_owned(), text(value)?))).collect(),
            body: body.slice(..body.len().min(BODY_KEPT)).to_vec(),
        });
        let content_type = parts.headers.get(CONTENT_TYPE).cloned();
        let bare =
            name.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(name.as_str(), |(bare, _)| bare);
        let mut response = match self.0.folders.get(&bare.to_ascii_lowercase()) {
            Some(folder) => file(folder, &parts.method, parts.uri.path()),
            None => page(&parts.method, parts.uri.path(), parts.uri.query().unwrap_or_default(), &name, content_type, body),
        };
        if let Ok(value) = HeaderValue::from_str(&name) {
            response.headers_mut().insert(NAME, value);
        }
        response
    }

    fn note(&self, seen: Seen) {
        let mut log = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() >= LOG {
            log.pop_front();
        }
        log.push_back(seen);
    }
}

/// What is known of a connection before its first request.
struct Link {
    name: Option<String>,
    address: IpAddr,
    tls: Option<ProtocolVersion>,
    alpn: Option<Vec<u8>>,
    /// Who says nothing waits for a greeting.
    greets: bool,
}

fn page(method: &Method, path: &str, query: &str, name: &str, content_type: Option<HeaderValue>, body: Bytes) -> Response<Reply> {
    if let Some(count) = path.strip_prefix("/bytes/") {
        return match count.parse::<u64>() {
            Ok(count) => Response::new(Reply::Pattern(count)),
            Err(_) => plain(StatusCode::BAD_REQUEST, "/bytes/N wants a number\n"),
        };
    }
    match path {
        "/" | "/index.html" => plain(StatusCode::OK, &format!("the honest origin of {name}\n")),
        "/echo" => {
            let mut response = Response::new(Reply::Once(Some(body)));
            response.headers_mut().insert(CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static("application/octet-stream")));
            response
        }
        "/redirect" => redirect(query),
        // What a device that looks for updates is told: there is one, a little newer than any.
        "/update/manifest.json" => {
            let manifest = format!(
                "{{\"version\":\"9.9.9\",\"url\":\"http://{name}/bytes/65536\",\"sha256\":\"\",\"size\":65536,\"changes\":\"lab\"}}\n"
            );
            let mut response = plain(StatusCode::OK, &manifest);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        // Android's and Chromium's connectivity checks want exactly this.
        "/generate_204" => {
            let mut response = Response::new(Reply::Once(None));
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        _ if method == Method::POST || method == Method::PUT => plain(StatusCode::OK, "taken\n"),
        _ => plain(StatusCode::NOT_FOUND, "no such page in the lab\n"),
    }
}

/// A file below a folder, or a folder's `index.html`. What the path would reach outside is not there.
fn file(folder: &Path, method: &Method, path: &str) -> Response<Reply> {
    let missing = || plain(StatusCode::NOT_FOUND, "no such file in the folder\n");
    if method != Method::GET && method != Method::HEAD {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "a folder is only read\n");
    }
    let Ok(path) = String::from_utf8(percent_decoded(path)) else { return missing() };
    let open = || {
        let root = folder.canonicalize()?;
        let mut found = root.join(path.trim_start_matches('/')).canonicalize()?;
        if found.is_dir() {
            found = found.join("index.html").canonicalize()?;
        }
        if !found.starts_with(&root) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = File::open(&found)?;
        let left = file.metadata()?.len();
        Ok::<_, io::Error>((found, Reply::File { file, left }))
    };
    let Ok((found, reply)) = open() else { return missing() };
    let kind = found.extension().and_then(|e| e.to_str()).and_then(|e| KINDS.iter().find(|(end, _)| e.eq_ignore_ascii_case(end)));
    let mut response = Response::new(reply);
    let kind = kind.map_or("application/octet-stream", |(_, kind)| kind);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn redirect(query: &str) -> Response<Reply> {
    let to = query.split('&').find_map(|pair| pair.strip_prefix("to=")).map(percent_decoded);
    match to.and_then(|to| HeaderValue::from_bytes(&to).ok()) {
        Some(to) => {
            let mut response = plain(StatusCode::FOUND, "elsewhere\n");
            response.headers_mut().insert(LOCATION, to);
            response
        }
        None => plain(StatusCode::BAD_REQUEST, "/redirect?to=URL\n"),
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        if let (b'%', Some(value)) = (byte, hex) {
            out.push(value);
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    out
}

fn plain(status: StatusCode, text: &str) -> Response<Reply> {
    let mut response = Response::new(Reply::Once(Some(Bytes::copy_from_slice(text.as_bytes()))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn text(value: &HeaderValue) -> Option<String> {
    value.to_str().ok().map(str::to_owned)
}

/// A body: a few bytes, as many of a fixed pattern as wanted, or a file, without holding them.
#[derive(Debug)]
pub enum Reply {
    Once(Option<Bytes>),
    Pattern(u64),
    File { file: File, left: u64 },
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = match self.get_mut() {
            Self::Once(bytes) => bytes.take(),
            Self::Pattern(0) | Self::File { left: 0, .. } => None,
            Self::File { file, left } => {
                let mut piece = vec![0; (*left).min(PATTERN.len() as u64) as usize];
                // A file that shrinks meanwhile breaks its answer off, as a server's would.
                if let Err(error) = file.read_exact(&mut piece) {
                    return Poll::Ready(Some(Err(error)));
                }
                *left -= piece.len() as u64;
                Some(piece.into())
            }
            Self::Pattern(left) => {
                let take = (*left).min(PATTERN.len() as u64);
                *left -= take;
                Some(Bytes::from_static(PATTERN.get(..take as usize).unwrap_or(PATTERN)))
            }
        };
        Poll::Ready(frame.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Once(None) | Self::Pattern(0) | Self::File { left: 0, .. })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Once(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Self::Pattern(left) | Self::File { left, .. } => *left,
        })
    }
}

async fn greet<S: AsyncRead + AsyncWrite + Unpin>(mut io: S) -> io::Result<()> {
    io.write_all(BANNER).await?;
    io.flush().await?;
    let (mut read, mut write) = tokio::io::split(io);
    tokio::io::copy(&mut read, &mut write).await.map(|_| ())
}

/// A server with a key of each kind: P-256, and RSA for a client that takes no other.
#[derive(Debug)]
struct Fitting {
    name: String,
    leaf: Arc<Leaf>,
    authority: Arc<Authority>,
    /// Suites that go with an ECDSA key: those of TLS 1.3 go with any.
    ecdsa: Vec<CipherSuite>,
}

impl Fitting {
    fn new(name: &str, leaf: Arc<Leaf>, authority: Arc<Authority>, provider: &CryptoProvider) -> Self {
        let goes = |suite: &&SupportedCipherSuite| match suite {
            SupportedCipherSuite::Tls13(_) => true,
            SupportedCipherSuite::Tls12(suite) => suite.sign.contains(&SignatureScheme::ECDSA_NISTP256_SHA256),
        };
        let ecdsa = provider.cipher_suites.iter().filter(goes).map(SupportedCipherSuite::suite).collect();
        Self { name: name.to_owned(), leaf, authority, ecdsa }
    }
}

impl ResolvesServerCert for Fitting {
    fn resolve(&self, hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let signs = self.leaf.certified.key.choose_scheme(hello.signature_schemes()).is_some();
        let suite = hello.cipher_suites().iter().any(|suite| self.ecdsa.contains(suite));
        if signs && suite {
            return Some(Arc::clone(&self.leaf.certified));
        }
        self.authority.rsa(&self.name, &self.leaf).ok()
    }
}

/// Content types by the end of a file's name; the rest are bytes.
const KINDS: [(&str, &str); 6] = [
    ("html", "text/html; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("json", "application/json"),
    ("js", "text/javascript"),
    ("css", "text/css"),
    ("png", "image/png"),
];
/// Says which name the server answered for.
const NAME: HeaderName = HeaderName::from_static("x-lab-origin");
/// What the server-first port says.
pub const BANNER: &[u8] = b"220 overhear-lab ready\r\n";
/// Not compressible, not valid text, the same every time.
static PATTERN: &[u8] = &pattern();
/// Requests remembered; a soak test must not grow.
pub const LOG: usize = 10_000;
/// Bytes of a request's body remembered.
pub const BODY_KEPT: usize = 4096;
/// Bytes of a request's body accepted.
const BODY_TAKEN: usize = 16 << 20;
const CONFIGS: usize = 4096;
/// Of a client's first bytes, which say what it speaks.
const HEAD: usize = 1024;
const HANDSHAKE: Duration = Duration::from_secs(30);
/// Who has said nothing for so long waits for the server.
pub(crate) const PATIENCE: Duration = Duration::from_millis(700);
const IDLE: Duration = Duration::from_secs(60);

const fn pattern() -> [u8; 16 * 1024] {
    let mut bytes = [0; 16 * 1024];
    let mut state = 0x2545_f491_u32;
    let mut at = 0;
    while at < bytes.len() {
        // xorshift32 (Marsaglia 2003)
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes[at] = (state >> 24) as u8;
        at += 1;
    }
    bytes
}
