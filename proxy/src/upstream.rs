//! The leg to the real server: verified TLS, and what its flight taught us, kept per peer.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foldhash::{HashMap, HashMapExt as _};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WantsClientCert};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::error::Error;
use crate::forge::cert::San;
use crate::forge::{KeyKind, Mirror, suites};
use crate::hello::Hello;
use crate::socket::Socket;

/// How many peers are remembered; beyond it the memory starts over.
const MOST_PEERS: usize = 4096;

/// What a real server's flight said.
#[derive(Clone, Debug)]
pub struct Learned {
    pub mirror: Arc<Mirror>,
    /// 0x0303 or 0x0304; what the device's side is given too.
    pub version: u16,
    pub suite: u16,
    pub alpn: Option<Vec<u8>>,
    /// The chain verified against our roots for this name. An unverified server gets attacks mirrored from its chain, never a control.
    pub verified: bool,
}

/// Opens connections to real servers.
pub struct Upstream {
    tls13: Arc<ClientConfig>,
    tls12: Arc<ClientConfig>,
    verifier: Arc<WebPkiServerVerifier>,
    learned: Mutex<HashMap<(SocketAddr, String), Arc<Learned>>>,
    wait: Duration,
    beyond: Option<Arc<dyn Beyond>>,
}

/// Servers in this process, where a lab has no network.
pub trait Beyond: Send + Sync {
    /// A connection to the server at `addr`.
    fn connect(&self, addr: SocketAddr) -> std::io::Result<DuplexStream>;
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}

impl Upstream {
    /// `roots` are what the gateway itself trusts; `wait` bounds a connect and a handshake each.
    pub fn new(roots: RootCertStore, wait: Duration) -> Result<Upstream, Error> {
        let provider = Arc::new(suites::all());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|_| Error::Upstream("no root certificates to verify servers with"))?;
        let config = |versions: &[&'static rustls::SupportedProtocolVersion]| -> Result<Arc<ClientConfig>, Error> {
            let builder: ConfigBuilder<ClientConfig, WantsClientCert> = ClientConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(versions)
                .map_err(Error::Tls)?
                .with_webpki_verifier(verifier.clone());
            let mut config = builder.with_no_client_auth();
            // One full handshake per connection of the device: nothing is shared between them.
            config.resumption = Resumption::disabled();
            Ok(Arc::new(config))
        };
        Ok(Upstream {
            tls13: config(&[&rustls::version::TLS13, &rustls::version::TLS12])?,
            tls12: config(&[&rustls::version::TLS12])?,
            verifier,
            learned: Mutex::new(HashMap::new()),
            wait,
            beyond: None,
        })
    }

    /// Leads all connections to servers in this process.
    pub fn leading(self, beyond: Arc<dyn Beyond>) -> Upstream {
        Upstream { beyond: Some(beyond), ..self }
    }

    /// What is known of the server, without asking it.
    pub fn known(&self, addr: SocketAddr, host: &str) -> Option<Arc<Learned>> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).get(&(addr, host.to_owned())).cloned()
    }

    /// A connection to `addr`.
    pub async fn connect(&self, addr: SocketAddr) -> Result<Socket, Error> {
        if let Some(beyond) = &self.beyond {
            return beyond.connect(addr).map(Socket::from).map_err(Error::UpstreamIo);
        }
        let timed_out = || std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer to the connection");
        let stream = timeout(self.wait, TcpStream::connect(addr)).await.map_err(|_| Error::UpstreamIo(timed_out()))?;
        let stream = stream.map_err(Error::UpstreamIo)?;
        let _ = stream.set_nodelay(true);
        Ok(stream.into())
    }

    /// A verified channel over `stream`, offering what the device offered, and what it taught.
    pub async fn open<S>(&self, stream: S, addr: SocketAddr, host: &str, offered: &Hello) -> Result<(TlsStream<S>, Arc<Learned>), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (config, recorder) = self.config(offered);
        let name = server_name(host, addr)?;
        let handshake = TlsConnector::from(config).connect(name, stream);
        let timed_out = || std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer to the ClientHello");
        let result = timeout(self.wait, handshake).await.map_err(|_| Error::UpstreamIo(timed_out()))?;
        match result {
            Ok(tls) => {
                let (_, session) = tls.get_ref();
                let chain = session.peer_certificates().unwrap_or_default();
                let version = session.protocol_version().map_or(0x0304, u16::from);
                let suite = session.negotiated_cipher_suite().map_or(0, |s| u16::from(s.suite()));
                let alpn = session.alpn_protocol();
                let same = |l: &Learned| {
                    (l.verified, l.version, l.suite, l.alpn.as_deref()) == (true, version, suite, alpn) && l.mirror.chain == chain
                };
                // Most servers say the same every time: their chain is read, and kept, once.
                let learned = if let Some(known) = self.known(addr, host).filter(|known| same(known)) {
                    known
                } else {
                    let chain = chain.iter().map(|c| c.clone().into_owned()).collect();
                    let alpn = alpn.map(<[u8]>::to_vec);
                    let learned = Arc::new(Learned { mirror: Arc::new(mirror(host, chain)), version, suite, alpn, verified: true });
                    self.remember(addr, host, &learned);
                    learned
                };
                Ok((tls, learned))
            }
            Err(e) => {
                let seen = std::mem::take(&mut *recorder.chain.lock().unwrap_or_else(PoisonError::into_inner));
                if !seen.is_empty() {
                    let version = if offered.offers(0x0304) { 0x0304 } else { 0x0303 };
                    let mirror = Arc::new(mirror(host, seen));
                    self.remember(addr, host, &Arc::new(Learned { mirror, version, suite: 0, alpn: None, verified: false }));
                }
                Err(Error::UpstreamIo(e))
            }
        }
    }

    /// What the server's flight says, asking it once (a handshake and an orderly close) if it is not known yet.
    pub async fn learn(&self, addr: SocketAddr, host: &str, offered: &Hello) -> Result<Arc<Learned>, Error> {
        if let Some(known) = self.known(addr, host) {
            return Ok(known);
        }
        let stream = self.connect(addr).await?;
        match self.open(stream, addr, host, offered).await {
            Ok((mut tls, learned)) => {
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut tls).await;
                Ok(learned)
            }
            Err(e) => self.known(addr, host).ok_or(e),
        }
    }

    fn remember(&self, addr: SocketAddr, host: &str, learned: &Arc<Learned>) {
        let mut all = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_PEERS {
            all.clear();
        }
        all.insert((addr, host.to_owned()), learned.clone());
    }

    fn config(&self, offered: &Hello) -> (Arc<ClientConfig>, Arc<Recorder>) {
        let base = if offered.offers(0x0304) { &self.tls13 } else { &self.tls12 };
        let mut config = ClientConfig::clone(base);
        config.alpn_protocols.clone_from(&offered.alpn);
        let recorder = Arc::new(Recorder { inner: self.verifier.clone(), chain: Mutex::new(Vec::new()) });
        config.dangerous().set_certificate_verifier(recorder.clone());
        (Arc::new(config), recorder)
    }
}

/// Verifies as webpki does, and keeps the chain so that a server that fails can still be mirrored.
#[derive(Debug)]
struct Recorder {
    inner: Arc<WebPkiServerVerifier>,
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.inner.verify_server_cert(leaf, rest, name, ocsp, now);
        if verdict.is_err() {
            let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
            *chain = std::iter::once(leaf).chain(rest).map(|c| c.clone().into_owned()).collect();
        }
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The name to verify: the one the device asked for, else the address it went to.
fn server_name(host: &str, addr: SocketAddr) -> Result<ServerName<'static>, Error> {
    if host.is_empty() {
        return Ok(ServerName::IpAddress(addr.ip().into()));
    }
    ServerName::try_from(host.to_owned()).map_err(|_| Error::Upstream("the device asked for something that is no server name"))
}

/// What is copied from a real chain. A leaf that cannot be read gives a mirror of the host alone.
fn mirror(host: &str, chain: Vec<CertificateDer<'static>>) -> Mirror {
    let mut out = Mirror { chain, ..Mirror::bare(host) };
    let Some((_, leaf)) = out.chain.first().and_then(|leaf| X509Certificate::from_der(leaf).ok()) else { return out };
    // rsaEncryption and RSASSA-PSS keys alike.
    let key = leaf.public_key().algorithm.algorithm.to_id_string();
    let kind = if key.starts_with("1.2.840.113549.1.1.") { KeyKind::Rsa2048 } else { KeyKind::P256 };
    let mut names = Vec::new();
    for e in leaf.extensions() {
        let ParsedExtension::SubjectAlternativeName(san) = e.parsed_extension() else { continue };
        names.extend(san.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) if name.is_ascii() => Some(San::Dns((*name).to_owned())),
            GeneralName::IPAddress(ip) => {
                <[u8; 4]>::try_from(*ip).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(*ip).map(IpAddr::from)).ok().map(San::Ip)
            }
            _ => None,
        }));
    }
    out.key = kind;
    out.names = names;
    out
}
