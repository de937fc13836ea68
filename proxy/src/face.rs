//! The face shown to a device: a rustls server with a chosen chain, version and ALPN, without tickets or resumption.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{KeyLog, ServerConfig, SupportedProtocolVersion};

use crate::error::Error;
use crate::forge::signer::MARKED;
use crate::forge::suites;
use crate::wire::Tap;

/// The base configurations. One connection gets a shallow copy (some hundred bytes) with its own chain, ALPN and key log.
#[derive(Debug)]
pub struct Faces {
    tls13: ServerConfig,
    tls12: ServerConfig,
    marked12: ServerConfig,
    /// For devices whose suites of TLS 1.2 are all in CBC mode.
    old12: ServerConfig,
    old_marked12: ServerConfig,
}

/// What one connection is shown.
#[derive(Debug)]
pub struct Face {
    /// Chain and key.
    pub certified: Arc<CertifiedKey>,
    pub version: u16,
    pub alpn: Option<Vec<u8>>,
    /// Write the downgrade marker into the ServerHello random (TLS 1.2 only).
    pub marked: bool,
    /// The device has nothing but CBC under TLS 1.2.
    pub old: bool,
}

impl Faces {
    pub fn new() -> Result<Faces, Error> {
        let sound = Arc::new(suites::usual());
        let marked = |provider: CryptoProvider| Arc::new(CryptoProvider { secure_random: &MARKED, ..provider });
        Ok(Faces {
            tls13: base(&sound, &rustls::version::TLS13)?,
            tls12: base(&sound, &rustls::version::TLS12)?,
            marked12: base(&marked(suites::usual()), &rustls::version::TLS12)?,
            old12: base(&Arc::new(suites::old()), &rustls::version::TLS12)?,
            old_marked12: base(&marked(suites::old()), &rustls::version::TLS12)?,
        })
    }

    pub fn config(&self, face: Face, tap: Arc<dyn Tap>) -> Arc<ServerConfig> {
        let base = match face {
            Face { marked: true, old: true, .. } => &self.old_marked12,
            Face { marked: true, .. } => &self.marked12,
            Face { version: 0x0304, .. } => &self.tls13,
            Face { old: true, .. } => &self.old12,
            Face { .. } => &self.tls12,
        };
        let mut config = base.clone();
        config.alpn_protocols = face.alpn.into_iter().collect();
        config.cert_resolver = Arc::new(Shown(face.certified));
        config.key_log = Arc::new(ToTap(tap));
        Arc::new(config)
    }
}

fn base(provider: &Arc<CryptoProvider>, version: &'static SupportedProtocolVersion) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .map_err(Error::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Nothing));
    // Tickets would be bytes the device has not read when it closes, which turns its FIN into RST; and a resumed session checks nothing.
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

#[derive(Debug)]
struct Nothing;

impl ResolvesServerCert for Nothing {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

struct ToTap(Arc<dyn Tap>);

impl fmt::Debug for ToTap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ToTap")
    }
}

impl KeyLog for ToTap {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        self.0.secret(label, client_random, secret);
    }
}
