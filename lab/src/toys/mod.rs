//! Toy devices: clients with known behaviour, strict or with one flaw, over any stream.
//!
//! A [`Toy`] makes one HTTPS request and does one thing wrong at most; a [`Device`] is a small phone with several peers.
//! Both reach the world through [`Dial`] only: real sockets as a program in the lab (`Dut::run` of [`command`]), or streams
//! in memory.

mod device;
mod flaw;
mod hand;
mod path;
mod verifier;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin as Pinned;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

pub use device::{Device, persona};
pub use flaw::Flaw;

use crate::Fault;
use verifier::Verifier;

/// A stream of any kind.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// What [`Dial::dial`] promises.
pub type Dialling<'a> = Pinned<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + 'a>>;

/// How a toy reaches the world.
pub trait Dial: Send + Sync {
    /// Opens a connection to a name; finding the address is part of it.
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialling<'a>;

    /// Sends one datagram from a port of ours (0: any). A world without datagrams loses it.
    fn datagram(&self, _from: u16, _to: SocketAddr, _bytes: &[u8]) {}
}

/// What a toy trusts and knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// The maker's store: the lab's public root.
    pub public: Vec<CertificateDer<'static>>,
    /// What was added to it: the tester's authority.
    pub added: Vec<CertificateDer<'static>>,
    /// Base64 SHA-256 of the honest origin's key, for toys that pin.
    pub pin: Option<String>,
}

impl Trust {
    /// As a program in the lab is told: `OVERHEAR_CA_FILE` (the public root first) and `OVERHEAR_ORIGIN_SPKI`.
    pub fn from_env() -> Result<Self, Fault> {
        let todo = "start toys through the lab, which sets it";
        let path =
            std::env::var_os("OVERHEAR_CA_FILE").ok_or_else(|| Fault::new("reading a toy's trust", "OVERHEAR_CA_FILE is not set", todo))?;
        let mut all = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| Fault::new("reading a toy's trust", error, todo))?;
        let added = all.split_off(1.min(all.len()));
        Ok(Self { public: all, added, pin: std::env::var("OVERHEAR_ORIGIN_SPKI").ok() })
    }
}

/// A client with one flaw at most.
#[derive(Clone, Debug)]
pub struct Toy {
    flaw: Flaw,
    trust: Trust,
    added: bool,
    pins: bool,
}

/// How one request went, from the toy's side: the truth that verdicts are compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    pub host: String,
    pub port: u16,
    pub end: End,
}

/// The end of a visit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The request went out; the status of the answer, if one came.
    Sent { status: Option<u16>, clear: bool },
    /// The toy went along with a handshake that cannot be completed (TLS 1.1), and said so with its key exchange.
    WentAlong,
    /// The toy refused the server; why.
    Refused(String),
    /// The connection failed; why.
    Failed(String),
}

impl Visit {
    /// Did the toy give its data, or would it have?
    pub fn accepted(&self) -> bool {
        matches!(self.end, End::Sent { .. } | End::WentAlong)
    }
}

/// Which key a toy wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pin {
    Any,
    Key(String),
}

impl Toy {
    /// Trusts all anchors it is given; pins only where its flaw is about pins.
    pub fn new(flaw: Flaw, trust: Trust) -> Self {
        Self { flaw, trust, added: true, pins: flaw == Flaw::PinScope }
    }

    /// The anchors added to the store mean nothing to it, as on a phone whose apps ignore the user's authorities.
    pub fn ignoring_added(mut self) -> Self {
        self.added = self.flaw == Flaw::UserCaTrusted;
        self
    }

    /// It pins the honest origin's key ([`Trust::pin`]) on top of everything else; `NoPin` only says so.
    pub fn pinned(mut self) -> Self {
        self.pins = self.flaw != Flaw::NoPin;
        self
    }

    pub fn flaw(&self) -> Flaw {
        self.flaw
    }

    /// One request for the state of the account; for `PinScope` a second one to the sibling.
    pub async fn visit(&self, dial: &dyn Dial, host: &str) -> Vec<Visit> {
        let mut visits = vec![self.ask(dial, host, REQUEST).await];
        if self.flaw == Flaw::PinScope {
            visits.push(Self { pins: false, ..self.clone() }.ask(dial, &format!("api.{host}"), REQUEST).await);
        }
        visits
    }

    /// One HTTPS request, `request` being its first line without the version.
    pub(crate) async fn ask(&self, dial: &dyn Dial, host: &str, request: &str) -> Visit {
        let end = match tokio::time::timeout(PATIENCE, self.ask_tls(dial, host, request)).await {
            Ok(end) => end,
            Err(_) => End::Failed("no answer in time".into()),
        };
        if let (End::Failed(_), Flaw::CleartextFallback) = (&end, self.flaw) {
            return clear(dial, host, request, &[]).await;
        }
        Visit { host: host.to_owned(), port: 443, end }
    }

    async fn ask_tls(&self, dial: &dyn Dial, host: &str, request: &str) -> End {
        let pin = match (&self.trust.pin, self.pins) {
            (Some(pin), true) => Pin::Key(pin.clone()),
            // Without knowing the key it cannot be sure of it.
            (None, true) => Pin::Key(String::new()),
            (_, false) => Pin::Any,
        };
        let verifier = match Verifier::new(self.flaw, &self.trust, self.added, pin) {
            Ok(verifier) => verifier,
            Err(fault) => return End::Failed(fault.to_string()),
        };
        let stream = match dial.dial(host, 443).await {
            Ok(stream) => stream,
            Err(error) => return End::Failed(error.to_string()),
        };
        if matches!(self.flaw, Flaw::DowngradeMarker12 | Flaw::VersionTls11) {
            let request = http(host, request, &[]);
            return hand::visit(stream, host, &request, &verifier, self.flaw).await;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map(|builder| builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth());
        let (mut config, name) = match (config, ServerName::try_from(host.to_owned())) {
            (Ok(config), Ok(name)) => (config, name),
            (Err(error), _) => return End::Failed(error.to_string()),
            (_, Err(error)) => return End::Failed(error.to_string()),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
            Ok(stream) => talk(stream, &http(host, request, &[]), false).await,
            Err(error) => failed(&error),
        }
    }
}

/// The toy as a program: what [`crate::dut::Dut::run`] runs. `name` is a device's or a flaw's word.
pub fn command(name: &str, host: &str) -> Vec<OsString> {
    let program = crate::stage::role("toy");
    let mut words = vec![program.get_program().to_owned()];
    words.extend(program.get_args().map(OsString::from));
    words.extend([name.into(), host.into()]);
    words
}

/// Whether there is a toy of this name: a device's or a flaw's word.
pub fn is_known(name: &str) -> bool {
    Device::from_word(name).is_some() || Flaw::from_word(name).is_some()
}

/// What a toy of this name does when it runs once; nothing if there is none.
pub async fn live(name: &str, dial: &dyn Dial, trust: Trust, host: &str) -> Vec<Visit> {
    match (Device::from_word(name), Flaw::from_word(name)) {
        (Some(device), _) => device.live(dial, &trust, host).await,
        (None, Some(flaw)) => Toy::new(flaw, trust).visit(dial, host).await,
        (None, None) => Vec::new(),
    }
}

/// Role `toy`: prints its visits as lines of JSON. Exit code 0: everything was sent; 1: something was not.
pub(crate) fn visit_from_args(args: &[OsString]) -> Result<i32, Fault> {
    let mut words = args.iter().map(|arg| arg.to_string_lossy());
    let (name, host) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let trust = Trust::from_env()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Fault::odd("starting a toy"))?;
    if !is_known(&name) {
        return Err(Fault::new("starting a toy", format!("no toy is called {name:?}"), "name a device or a flaw"));
    }
    let visits = runtime.block_on(live(&name, &Sockets, trust, &host));
    for visit in &visits {
        let line = serde_json::to_string(visit).map_err(Fault::odd("reporting a visit"))?;
        #[expect(clippy::print_stdout, reason = "the toy's output is its report")]
        {
            println!("{line}");
        }
    }
    Ok(i32::from(!visits.iter().all(Visit::accepted)))
}

/// Where the lab's explicit proxy is, if the toy was told of one.
fn proxy() -> Option<String> {
    let told = std::env::var("https_proxy").ok()?;
    Some(told.trim_start_matches("http://").trim_end_matches('/').to_owned())
}

/// A connection through an HTTP proxy (RFC 9110 §9.3.6).
async fn through(proxy: &str, host: &str, port: u16) -> io::Result<tokio::net::TcpStream> {
    let mut stream = tokio::net::TcpStream::connect(proxy).await?;
    stream.write_all(format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n").as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= LONGEST_HEAD {
            return Err(io::Error::other("the proxy's answer does not end"));
        }
        head.push(stream.read_u8().await?);
    }
    match status(&head) {
        Some(200) => Ok(stream),
        other => Err(io::Error::other(format!("the proxy answered {other:?}"))),
    }
}

/// Real sockets, with the system's resolver, or through the proxy the toy was told of.
#[derive(Clone, Copy, Debug)]
pub struct Sockets;

impl Dial for Sockets {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialling<'a> {
        Box::pin(async move {
            let stream = match proxy() {
                None => tokio::net::TcpStream::connect((host, port)).await?,
                Some(proxy) => through(&proxy, host, port).await?,
            };
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn datagram(&self, from: u16, to: SocketAddr, bytes: &[u8]) {
        // Nobody answers these; a port that is taken or barred loses the datagram, like any network.
        if let Ok(socket) = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, from)) {
            let _ = socket.set_broadcast(true);
            let _ = socket.send_to(bytes, to);
        }
    }
}

/// One request in clear on port 80.
pub(crate) async fn clear(dial: &dyn Dial, host: &str, request: &str, body: &[u8]) -> Visit {
    let end = async {
        match dial.dial(host, 80).await {
            Ok(stream) => talk(stream, &http(host, request, body), true).await,
            Err(error) => End::Failed(error.to_string()),
        }
    };
    let end = tokio::time::timeout(PATIENCE, end).await.unwrap_or_else(|_| End::Failed("no answer in time".into()));
    Visit { host: host.to_owned(), port: 80, end }
}

fn http(host: &str, request: &str, body: &[u8]) -> Vec<u8> {
    let mut text = format!("{request} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: lab-toy/1\r\nAccept: */*\r\nConnection: close\r\n");
    if !body.is_empty() {
        let _ = write!(text, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

/// Sends a request and reads the status of the answer.
async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8], clear: bool) -> End {
    if let Err(error) = async { stream.write_all(request).await.and(stream.flush().await) }.await {
        return failed(&error);
    }
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while answer.len() < MOST {
        match stream.read(&mut buffer).await {
            Ok(count @ 1..) => answer.extend(buffer.iter().take(count)),
            _ => break,
        }
    }
    let _ = stream.shutdown().await;
    End::Sent { status: status(&answer), clear }
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// The toy's own refusal is an error of rustls inside of the stream's error; everything else happened to it.
fn failed(error: &io::Error) -> End {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error @ (rustls::Error::AlertReceived(_) | rustls::Error::InvalidMessage(_))) => End::Failed(error.to_string()),
        Some(error) => End::Refused(error.to_string()),
        None => End::Failed(error.to_string()),
    }
}

const REQUEST: &str = "GET /api/state?build=lab-toy";
const PATIENCE: Duration = Duration::from_secs(10);
/// A proxy's answer to CONNECT.
const LONGEST_HEAD: usize = 8 * 1024;
/// Of an answer that is read.
const MOST: usize = 256 * 1024;
