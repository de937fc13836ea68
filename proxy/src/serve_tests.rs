//! Clients of known virtue under each treatment, over loopback: what is reported is what they did, and attacks end here.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use analyzers::flow::{Close, Dir};
use analyzers::observation::{Evidence, TrialEnd};
use policies::{Defect, Time};
use rustls::RootCertStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::face::{Face, Faces};
use crate::forge::ca::LIFETIME;
use crate::forge::cert::San;
use crate::forge::{Authority, KeyKind, Leaf, Mint, Mirror};
use crate::hello;
use crate::serve::{Conduct, Hindrance, Progress, Server, Visit, Waits};
use crate::treatment::Treatment;
use crate::upstream::Upstream;
use crate::wire::{NoTap, Tap};

pub(crate) const HOST: &str = "shop.test";

pub(crate) fn now() -> Time {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Time(now.as_nanos() as i64)
}

/// An honest origin on loopback, a server in front of it, and what a device could trust.
pub(crate) struct Scene {
    pub(crate) origin: SocketAddr,
    pub(crate) origin_root: String,
    pub(crate) roots: RootCertStore,
    pub(crate) server: Arc<Server>,
    /// Connections, and application bytes, that reached the origin.
    pub(crate) reached: Arc<AtomicUsize>,
    pub(crate) heard: Arc<AtomicUsize>,
}

pub(crate) async fn scene(key: KeyKind, version: u16) -> Scene {
    scene_with(key, version, Waits { data: Duration::from_millis(600), ..Waits::default() }).await
}

pub(crate) async fn scene_with(key: KeyKind, version: u16, waits: Waits) -> Scene {
    let t = now();
    let origin_mint = Mint::new(Authority::make("origin", t, LIFETIME).unwrap(), t).unwrap();
    let mint = Mint::new(Authority::make("lab", t, LIFETIME).unwrap(), t).unwrap();
    let chain = origin_mint.control(&Mirror { key, names: vec![San::Dns(HOST.to_owned())], ..Mirror::bare(HOST) }, Leaf::First, t).unwrap();
    let face = Face { certified: chain.certified().unwrap(), version, alpn: Some(b"http/1.1".to_vec()), marked: false, old: false };
    let acceptor = TlsAcceptor::from(Faces::new().unwrap().config(face, Arc::new(NoTap)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = listener.local_addr().unwrap();
    let (reached, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (r, h) = (reached.clone(), heard.clone());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            r.fetch_add(1, Ordering::SeqCst);
            let (acceptor, h) = (acceptor.clone(), h.clone());
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(stream).await else { return };
                let mut buffer = vec![0; 4096];
                while let Ok(n @ 1..) = tls.read(&mut buffer).await {
                    h.fetch_add(n, Ordering::SeqCst);
                    if buffer[..n].ends_with(b"\r\n\r\n") {
                        let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
                        let _ = tls.shutdown().await;
                    }
                }
            });
        }
    });
    let mut gateway_roots = RootCertStore::empty();
    gateway_roots.add(origin_mint.authority().root.certificate.clone()).unwrap();
    let mut roots = gateway_roots.clone();
    roots.add(mint.authority().root.certificate.clone()).unwrap();
    let upstream = Upstream::new(gateway_roots, Duration::from_secs(5)).unwrap();
    let server = Arc::new(Server::new(mint, upstream, waits).unwrap());
    let origin_root = origin_mint.authority().pem();
    Scene { origin, origin_root, roots, server, reached, heard }
}

impl Scene {
    /// A gateway address that treats one connection and gives its conduct.
    async fn gateway(&self, treatment: Treatment, tap: Arc<dyn Tap>) -> (SocketAddr, tokio::task::JoinHandle<Conduct>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (server, origin) = (self.server.clone(), self.origin);
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let start = hello::read(&mut stream, Duration::from_secs(5)).await;
            tap.wire(Dir::Out, start.seen());
            let visit = Box::new(Visit {
                stream,
                start,
                onward: None,
                server: origin,
                there: None,
                host: HOST.to_owned(),
                tap,
                progress: Progress::default(),
                now: now(),
            });
            let prepared = server.prepare(&visit, treatment, Leaf::First).await;
            server.run(visit, prepared).await
        });
        (addr, task)
    }

    async fn meet(&self, treatment: &Treatment, client: Client) -> Conduct {
        let (addr, task) = self.gateway(treatment.clone(), Arc::new(NoTap)).await;
        client.visit(addr, &self.roots).await;
        task.await.unwrap()
    }
}

/// A device's program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Client {
    /// Verifies everything, then sends a request.
    Strict,
    /// Verifies nothing, then sends a request.
    Careless,
    /// Verifies everything but handshake signatures.
    NoProof,
    /// Completes any handshake, looks, and leaves without a word.
    LateRefusal,
    /// Completes any handshake and says nothing.
    Quiet,
    /// Verifies everything and offers no application protocol: another stack than the rest.
    Plain,
    /// Completes any handshake, writes its request, and then looks: it leaves with a reset that takes along what was not sent.
    Hasty,
    /// Verifies everything, and takes TLS 1.2 with RSA keys alone.
    Old,
}

#[derive(Debug)]
struct Lax {
    inner: Arc<rustls::client::WebPkiServerVerifier>,
    chain: bool,
}

impl rustls::client::danger::ServerCertVerifier for Lax {
    fn verify_server_cert(
        &self,
        leaf: &rustls::pki_types::CertificateDer<'_>,
        rest: &[rustls::pki_types::CertificateDer<'_>],
        name: &rustls::pki_types::ServerName<'_>,
        ocsp: &[u8],
        t: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        if self.chain {
            return self.inner.verify_server_cert(leaf, rest, name, ocsp, t);
        }
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Looks at a chain after the handshake.
struct WebPki(Arc<rustls::client::WebPkiServerVerifier>);

impl WebPki {
    fn of(roots: &RootCertStore) -> WebPki {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        WebPki(rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots.clone()), provider).build().unwrap())
    }

    fn refuses(&self, chain: &[rustls::pki_types::CertificateDer<'_>]) -> bool {
        use rustls::client::danger::ServerCertVerifier as _;
        let (leaf, rest) = chain.split_first().unwrap();
        self.0.verify_server_cert(leaf, rest, &HOST.try_into().unwrap(), &[], rustls::pki_types::UnixTime::now()).is_err()
    }
}

impl Client {
    pub(crate) fn config(self, roots: &RootCertStore) -> Arc<rustls::ClientConfig> {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        if self == Client::Old {
            provider.cipher_suites.retain(|s| matches!(u16::from(s.suite()), 0xc02f | 0xc030 | 0xcca8));
        }
        let provider = Arc::new(provider);
        let verifier =
            rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots.clone()), provider.clone()).build().unwrap();
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = if self == Client::Old {
            builder.with_protocol_versions(&[&rustls::version::TLS12])
        } else {
            builder.with_safe_default_protocol_versions()
        };
        let mut config = builder.unwrap().with_webpki_verifier(verifier.clone()).with_no_client_auth();
        if !matches!(self, Client::Strict | Client::Plain | Client::Old) {
            let lax = Lax { inner: verifier, chain: self == Client::NoProof };
            config.dangerous().set_certificate_verifier(Arc::new(lax));
        }
        if self != Client::Plain {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        Arc::new(config)
    }

    async fn visit(self, addr: SocketAddr, roots: &RootCertStore) -> Option<String> {
        self.talk(TcpStream::connect(addr).await.unwrap(), roots).await
    }

    pub(crate) async fn talk(self, stream: TcpStream, roots: &RootCertStore) -> Option<String> {
        let mut tls = TlsConnector::from(self.config(roots)).connect(HOST.try_into().unwrap(), stream).await.ok()?;
        match self {
            Client::LateRefusal => {
                let _ = tls.shutdown().await;
                return None;
            }
            Client::Hasty => {
                tls.write_all(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await.ok()?;
                tls.flush().await.ok()?;
                tokio::time::sleep(Duration::from_millis(5)).await;
                if tls.get_ref().1.peer_certificates().is_some_and(|c| WebPki::of(roots).refuses(c)) {
                    let _ = socket2::SockRef::from(tls.get_ref().0).set_linger(Some(Duration::ZERO));
                    return None;
                }
            }
            Client::Quiet => tokio::time::sleep(Duration::from_secs(2)).await,
            _ => tls.write_all(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await.ok()?,
        }
        let mut answer = String::new();
        let _ = tls.read_to_string(&mut answer).await;
        Some(answer)
    }
}

pub(crate) fn attack(defect: Defect) -> Treatment {
    Treatment::Attack { id: format!("{defect:?}"), defect, after: 0 }
}

/// Every shipped defect that lies in the chain.
fn chain_defects() -> Vec<Defect> {
    policies::attack::catalogue().into_iter().map(|a| a.defect).filter(crate::forge::mint::in_chain).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn controls_and_passes_reach_the_origin() {
    for (key, version) in [(KeyKind::P256, 0x0304), (KeyKind::Rsa2048, 0x0303)] {
        let scene = scene(key, version).await;
        for treatment in [
            Treatment::Pass,
            Treatment::Control { twin: None, after: 0 },
            Treatment::Control { twin: Some(Defect::KxSignatureCorrupt), after: 0 },
            Treatment::Control { twin: Some(Defect::VerifySignatureCorrupt), after: 0 },
        ] {
            let (addr, task) = scene.gateway(treatment.clone(), Arc::new(NoTap)).await;
            let answer = Client::Strict.visit(addr, &scene.roots).await.unwrap();
            assert!(answer.ends_with("ok"), "{treatment:?}");
            let conduct = task.await.unwrap();
            assert_eq!(conduct.hindrance, None, "{treatment:?}");
            if treatment == Treatment::Pass {
                assert!(conduct.bytes[0] > 300 && conduct.bytes[1] > 300);
            } else {
                assert_eq!((conduct.grade, conduct.handshake), (Evidence::E5, true), "{treatment:?}");
                assert!(conduct.data.starts_with(b"GET / "));
                assert_eq!(conduct.alpn.as_deref(), Some(&b"http/1.1"[..]));
                let expect = match &treatment {
                    Treatment::Control { twin: Some(Defect::KxSignatureCorrupt), .. } => 0x0303,
                    Treatment::Control { twin: Some(_), .. } => 0x0304,
                    _ => version,
                };
                assert_eq!(conduct.version, Some(expect), "{treatment:?}");
            }
        }
    }
}

/// A device that takes RSA alone is shown an RSA key, though the real server's leaf, as we were given it, has a P-256 one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_shown_a_key_that_it_takes() {
    let scene = scene(KeyKind::P256, 0x0303).await;
    let control = Treatment::Control { twin: None, after: 0 };
    let conduct = scene.meet(&control, Client::Old).await;
    assert_eq!((conduct.hindrance, conduct.grade, conduct.version), (None, Evidence::E5, Some(0x0303)));
    for defect in chain_defects() {
        let conduct = scene.meet(&attack(defect.clone()), Client::Old).await;
        assert_eq!((conduct.hindrance, conduct.grade, conduct.end), (None, Evidence::E2, TrialEnd::Alert), "{defect:?}");
    }
    // What suits both is what the server has.
    let conduct = scene.meet(&control, Client::Strict).await;
    assert!(conduct.hindrance.is_none() && conduct.suite.is_some_and(|s| matches!(s, 0xc02b | 0xc02c | 0xcca9)), "{conduct:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_clients_refuse_and_careless_ones_talk() {
    for (key, version) in [(KeyKind::P256, 0x0304), (KeyKind::Rsa2048, 0x0303)] {
        let scene = scene(key, version).await;
        // One visit, so that the origin is learned; then nothing more of a device may arrive there.
        scene.meet(&Treatment::Control { twin: None, after: 0 }, Client::Strict).await;
        let (connections, heard) = (scene.reached.load(Ordering::SeqCst), scene.heard.load(Ordering::SeqCst));
        for defect in chain_defects() {
            let conduct = scene.meet(&attack(defect.clone()), Client::Strict).await;
            assert_eq!(conduct.hindrance, None, "{defect:?}");
            assert_eq!((conduct.grade, conduct.end), (Evidence::E2, TrialEnd::Alert), "{defect:?}");
            assert!(conduct.alert.is_some() && !conduct.handshake && conduct.data.is_empty(), "{defect:?}");
            let conduct = scene.meet(&attack(defect.clone()), Client::Careless).await;
            assert_eq!((conduct.grade, conduct.handshake, conduct.alert), (Evidence::E5, true, None), "{defect:?}");
            assert!(conduct.data.starts_with(b"GET / "), "{defect:?}");
        }
        assert_eq!(scene.reached.load(Ordering::SeqCst), connections, "attacks opened connections to the origin");
        assert_eq!(scene.heard.load(Ordering::SeqCst), heard, "attacks carried bytes to the origin");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_in_clear_after_tls_has_failed() {
    let scene = scene(KeyKind::P256, 0x0304).await;
    let request = b"GET /login?u=anna HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    for (words, expect) in
        [(&request[..], true), (b"\x17\x03\x03\0\x20 what is sealed, to the end of it", false), (b"bye", false), (b"", false)]
    {
        let (addr, task) = scene.gateway(attack(Defect::UntrustedCa), Arc::new(NoTap)).await;
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let mut tls = rustls::ClientConnection::new(Client::Strict.config(&scene.roots), HOST.try_into().unwrap()).unwrap();
        let mut buffer = [0; 16384];
        let mut failed = false;
        loop {
            let mut out = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut out).unwrap();
            }
            stream.write_all(&out).await.unwrap();
            if failed {
                break;
            }
            let n = stream.read(&mut buffer).await.unwrap();
            tls.read_tls(&mut &buffer[..n]).unwrap();
            failed = tls.process_new_packets().is_err();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.write_all(words).await.unwrap();
        stream.shutdown().await.unwrap();
        let conduct = task.await.unwrap();
        assert_eq!((conduct.grade, conduct.end), (Evidence::E2, TrialEnd::Alert));
        assert_eq!(conduct.in_clear == words && !words.is_empty(), expect, "{}", words.escape_ascii());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshake_defects() {
    let scene = scene(KeyKind::P256, 0x0304).await;
    for (defect, version) in [(Defect::KxSignatureCorrupt, 0x0303), (Defect::VerifySignatureCorrupt, 0x0304)] {
        let conduct = scene.meet(&attack(defect.clone()), Client::Strict).await;
        assert_eq!(conduct.grade, Evidence::E2, "{defect:?}");
        assert_eq!(conduct.alert.map(|a| a.code), Some(51), "{defect:?}");
        let conduct = scene.meet(&attack(defect.clone()), Client::NoProof).await;
        assert_eq!((conduct.grade, conduct.version), (Evidence::E5, Some(version)), "{defect:?}");
    }
    // rustls checks this marker: illegal_parameter.
    let conduct = scene.meet(&attack(Defect::DowngradeMarker12), Client::Careless).await;
    assert_eq!((conduct.grade, conduct.alert.map(|a| a.code)), (Evidence::E2, Some(47)));
    // The same server without the marker is accepted.
    let conduct = scene.meet(&Treatment::Control { twin: Some(Defect::DowngradeMarker12), after: 0 }, Client::Strict).await;
    assert_eq!((conduct.grade, conduct.version), (Evidence::E5, Some(0x0303)));
    let conduct = scene.meet(&attack(Defect::TlsBlocked), Client::Careless).await;
    assert_eq!((conduct.grade, conduct.end), (Evidence::E1, TrialEnd::Us));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_handshake_is_not_acceptance() {
    let scene = scene(KeyKind::P256, 0x0304).await;
    let conduct = scene.meet(&attack(Defect::UntrustedCa), Client::LateRefusal).await;
    assert_eq!((conduct.grade, conduct.end, conduct.close), (Evidence::E3, TrialEnd::CloseNotify, Close::Fin));
    let conduct = scene.meet(&attack(Defect::UntrustedCa), Client::Quiet).await;
    assert_eq!((conduct.grade, conduct.end), (Evidence::E3, TrialEnd::Timeout));
    assert!(conduct.waited >= Duration::from_millis(500), "{:?}", conduct.waited);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hindrances_relay_instead() {
    let scene = scene(KeyKind::P256, 0x0304).await;
    // The flight prober needs an RSA suite: rustls offers some for 1.2 but none that TLS 1.1 has.
    let (addr, task) = scene.gateway(attack(Defect::VersionTls11), Arc::new(NoTap)).await;
    let answer = Client::Strict.visit(addr, &scene.roots).await;
    assert_eq!(task.await.unwrap().hindrance, Some(Hindrance::NotForgeable));
    assert!(answer.unwrap().ends_with("ok"));
    let (addr, task) = scene.gateway(Treatment::Control { twin: None, after: 0 }, Arc::new(NoTap)).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(b"hello, no TLS here").await.unwrap();
    drop(stream);
    assert_eq!(task.await.unwrap().hindrance, Some(Hindrance::NotTls));
}

/// The real server dies between the learning and the control: the device is not shown anything half.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstream_down() {
    let mut scene = scene(KeyKind::P256, 0x0304).await;
    scene.origin = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let conduct = scene.meet(&Treatment::Control { twin: None, after: 0 }, Client::Strict).await;
    assert_eq!(conduct.hindrance, Some(Hindrance::UpstreamDown));
    let conduct = scene.meet(&attack(Defect::UntrustedCa), Client::Careless).await;
    assert_eq!(conduct.grade, Evidence::E5);
}

#[derive(Debug, Default)]
struct Recorder {
    wire: [std::sync::Mutex<Vec<u8>>; 2],
    plain: [std::sync::Mutex<Vec<u8>>; 2],
    secrets: std::sync::Mutex<Vec<String>>,
}

impl Tap for Recorder {
    fn wire(&self, dir: Dir, bytes: &[u8]) {
        self.wire[dir.index()].lock().unwrap().extend_from_slice(bytes);
    }
    fn plain(&self, dir: Dir, bytes: &[u8]) {
        self.plain[dir.index()].lock().unwrap().extend_from_slice(bytes);
    }
    fn secret(&self, label: &str, _: &[u8], _: &[u8]) {
        self.secrets.lock().unwrap().push(label.to_owned());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tap_sees_everything() {
    let scene = scene(KeyKind::P256, 0x0304).await;
    let tap = Arc::new(Recorder::default());
    let (addr, task) = scene.gateway(Treatment::Control { twin: None, after: 0 }, tap.clone()).await;
    Client::Strict.visit(addr, &scene.roots).await.unwrap();
    let conduct = task.await.unwrap();
    assert_eq!(tap.wire[0].lock().unwrap()[..3], [22, 3, 1]);
    assert_eq!(tap.wire[1].lock().unwrap()[..3], [22, 3, 3]);
    assert!(tap.plain[0].lock().unwrap().starts_with(b"GET / "));
    assert!(tap.plain[1].lock().unwrap().ends_with(b"ok"));
    assert!(tap.secrets.lock().unwrap().iter().any(|l| l == "CLIENT_TRAFFIC_SECRET_0"));
    assert!(conduct.handshake);
}

/// Runs a program against the gateway; `{}` is the port, `CA` the bundle. `None` without the program.
async fn program(scene: &Scene, treatment: Treatment, line: &[&str]) -> Option<Conduct> {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("bundle.pem");
    std::fs::write(&bundle, scene.server.mint.authority().pem() + &scene.origin_root).unwrap();
    let (addr, task) = scene.gateway(treatment, Arc::new(NoTap)).await;
    let words: Vec<String> = line
        .iter()
        .map(|w| if *w == "CA" { bundle.to_str().unwrap().to_owned() } else { w.replace("{}", &addr.port().to_string()) })
        .collect();
    let mut child = tokio::process::Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let conduct = tokio::time::timeout(Duration::from_secs(10), task).await.unwrap().unwrap();
    let _ = child.wait().await;
    Some(conduct)
}

/// curl and s_client behave as measured elsewhere: the same library refuses in clear, or only after the handshake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_clients() {
    let scene = scene(KeyKind::P256, 0x0304).await;
    let curl = |extra: &'static str| {
        ["curl", "-s", "--max-time", "5", "--cacert", "CA", "--resolve", "shop.test:{}:127.0.0.1", extra, "https://shop.test:{}/"].to_vec()
    };
    let Some(conduct) = program(&scene, Treatment::Control { twin: None, after: 0 }, &curl("--http1.1")).await else {
        println!("skipped: no curl");
        return;
    };
    assert_eq!((conduct.grade, conduct.hindrance), (Evidence::E5, None));
    for defect in chain_defects() {
        let strict = program(&scene, attack(defect.clone()), &curl("-S")).await.unwrap();
        match defect {
            // curl looks at the name after the handshake.
            Defect::HostnameMismatch => assert_eq!((strict.grade, strict.data.len()), (Evidence::E3, 0), "{strict:?}"),
            // curl 7.88 on OpenSSL takes the common name when there is no subjectAltName (since then it may not).
            Defect::HostnameCnOnly => assert!(strict.grade != Evidence::E2, "{strict:?}"),
            _ => {
                assert_eq!((strict.grade, strict.end), (Evidence::E2, TrialEnd::Alert), "{defect:?} {strict:?}");
                assert!(strict.alert.is_some_and(|a| !a.encrypted && a.level == Some(2)), "{defect:?}");
            }
        }
        let careless = program(&scene, attack(defect.clone()), &curl("-k")).await.unwrap();
        assert_eq!(careless.grade, Evidence::E5, "{defect:?} {careless:?}");
    }
    // The plaintext flight: TLS 1.2 goes on to ClientKeyExchange, TLS 1.1 is refused where the least version is 1.2 and taken at security level 0.
    let twin = Treatment::Control { twin: Some(Defect::VersionTls11), after: 0 };
    let conduct = program(&scene, twin, &curl("-S")).await.unwrap();
    assert!(conduct.key_exchange, "{conduct:?}");
    let conduct = program(&scene, attack(Defect::VersionTls11), &curl("--tlsv1.2")).await.unwrap();
    assert_eq!((conduct.key_exchange, conduct.alert.map(|a| a.code)), (false, Some(70)), "{conduct:?}");
    let old =
        ["openssl", "s_client", "-connect", "127.0.0.1:{}", "-servername", "shop.test", "-cipher", "ALL:@SECLEVEL=0", "-CAfile", "CA"];
    let conduct = program(&scene, attack(Defect::VersionTls11), &old).await.unwrap();
    assert!(conduct.key_exchange, "{conduct:?}");
    // A suite with ECDSA alone: the client goes on only where the signature in ECDSA with SHA-1 is right.
    let ecdsa = old.map(|word| if word.starts_with("ALL:") { "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0" } else { word });
    for treatment in [attack(Defect::VersionTls11), Treatment::Control { twin: Some(Defect::VersionTls11), after: 0 }] {
        let conduct = program(&scene, treatment, &ecdsa).await.unwrap();
        assert!(conduct.key_exchange, "{conduct:?}");
    }
    let mut wrong_marker = old.to_vec();
    wrong_marker.push("-ign_eof");
    let conduct = program(&scene, attack(Defect::DowngradeMarker12), &wrong_marker).await.unwrap();
    assert_eq!(conduct.alert.map(|a| a.code), Some(47), "{conduct:?}");
}
