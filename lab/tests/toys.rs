//! Toys in memory: each flaw accepts its own defect and nothing else, and everything honest.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use lab::authority::Authority;
use lab::origin::{Manner, Origin};
use lab::toys::{Device, Dial, Dialling, End, Flaw, Stream, Toy, Trust, Visit};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose as Purpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{ServerConfig, SignatureAlgorithm, SignatureScheme};
use time::{Duration, OffsetDateTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const HOST: &str = "shop.test";
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 18, 0, 1));

/// Every dial ends in one honest origin; datagrams are kept.
struct Honest {
    origin: Origin,
    datagrams: Mutex<Vec<(SocketAddr, Vec<u8>)>>,
}

impl Honest {
    fn new(manner: Manner) -> Self {
        let authority = Arc::new(Authority::new(OffsetDateTime::now_utc()).unwrap());
        Self { origin: Origin::new(authority, manner), datagrams: Mutex::default() }
    }

    fn trust(&self) -> Trust {
        let pin = self.origin.authority().leaf(HOST).unwrap().pin.clone();
        Trust { public: vec![self.origin.authority().root().clone()], added: Vec::new(), pin: Some(pin) }
    }
}

impl Dial for Honest {
    fn dial<'a>(&'a self, _: &'a str, port: u16) -> Dialling<'a> {
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            let origin = self.origin.clone();
            tokio::spawn(
                async move { if port == 443 { origin.serve_tls(theirs, HERE).await } else { origin.serve_http(theirs, HERE).await } },
            );
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }

    fn datagram(&self, _: u16, to: SocketAddr, bytes: &[u8]) {
        self.datagrams.lock().unwrap().push((to, bytes.to_vec()));
    }
}

#[tokio::test]
async fn every_toy_talks_to_an_honest_server() {
    for (name, versions) in [
        ("both", vec![&rustls::version::TLS13, &rustls::version::TLS12]),
        ("1.3", vec![&rustls::version::TLS13]),
        // A server of only TLS 1.2 marks nothing.
        ("1.2", vec![&rustls::version::TLS12]),
    ] {
        let world = Honest::new(Manner { versions, ..Manner::default() });
        for flaw in Flaw::ALL {
            for visit in Toy::new(*flaw, world.trust()).visit(&world, HOST).await {
                assert_eq!(visit.end, End::Sent { status: Some(404), clear: false }, "{} against {name}", flaw.word());
            }
        }
    }
}

#[tokio::test]
async fn devices_do_what_they_are_known_for() {
    let world = Honest::new(Manner::default());
    let ports = |visits: &[Visit]| visits.iter().map(|visit| visit.port).collect::<Vec<_>>();
    for (device, expect) in
        [(Device::StrictPhone, vec![443; 3]), (Device::PinnedApp, vec![443; 2]), (Device::CarelessPhone, vec![443, 443, 80, 80])]
    {
        let visits = device.live(&world, &world.trust(), HOST).await;
        assert_eq!(ports(&visits), expect, "{visits:?}");
        assert!(visits.iter().all(Visit::accepted), "{visits:?}");
    }
    let datagrams = world.datagrams.lock().unwrap();
    assert!(datagrams.iter().all(|(_, bytes)| bytes.windows(17).any(|window| window == b"Anna-Quists-Phone")));
    assert_eq!(datagrams.len(), 2);
    let seen = world.origin.seen();
    let told = |target: &str| seen.iter().find(|seen| seen.target.starts_with(target)).unwrap_or_else(|| panic!("{target} in {seen:?}"));
    assert!(told("/v1/report?imei=490154203237518").body.windows(20).any(|window| window == b"NDkwMTU0MjAzMjM3NTE4"));
    assert!(told("/update/manifest.json?model").tls.is_none());
    let persona = policies::Persona::parse("persona.toml", &lab::toys::persona()).unwrap();
    assert_eq!(persona.values.len(), 4);
}

/// A server with one defect, as an attacker on the path would be; the tester's authority is in the toys' store.
struct Attacker {
    public: Authority,
    added: Ca,
    stranger: Ca,
    /// Bears the names of the added one.
    lookalike: Ca,
    bad: Option<Flaw>,
}

struct Ca {
    root: CertificateDer<'static>,
    root_issuer: Issuer<'static, KeyPair>,
    intermediate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn ca(name: &str) -> Ca {
    let make = |suffix: &str| {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("{name} {suffix}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        (params, KeyPair::generate().unwrap())
    };
    let (params, key) = make("root");
    let root = params.self_signed(&key).unwrap().der().clone();
    let root_issuer = Issuer::new(params, key);
    let (params, key) = make("intermediate");
    let intermediate = params.signed_by(&key, &root_issuer).unwrap().der().clone();
    Ca { root, root_issuer, intermediate, issuer: Issuer::new(params, key) }
}

impl Attacker {
    fn new(bad: Option<Flaw>) -> Self {
        Self {
            public: Authority::new(OffsetDateTime::now_utc()).unwrap(),
            added: ca("Tester"),
            stranger: ca("Stranger"),
            lookalike: ca("Tester"),
            bad,
        }
    }

    fn trust(&self) -> Trust {
        let pin = self.public.leaf(HOST).unwrap().pin.clone();
        Trust { public: vec![self.public.root().clone()], added: vec![self.added.root.clone()], pin: Some(pin) }
    }

    fn config(&self, host: &str) -> (ServerConfig, Vec<CertificateDer<'static>>) {
        let now = OffsetDateTime::now_utc();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, host);
        params.not_before = now - Duration::days(1);
        params.not_after = now + Duration::days(60);
        params.extended_key_usages = vec![Purpose::ServerAuth];
        params.is_ca = IsCa::ExplicitNoCa;
        let key = KeyPair::generate().unwrap();
        let mut above = vec![self.added.intermediate.clone()];
        let mut issuer = &self.added.issuer;
        let odd;
        match self.bad {
            Some(Flaw::HostnameMismatch) => {
                params.subject_alt_names = CertificateParams::new(vec!["other.test".into()]).unwrap().subject_alt_names;
            }
            Some(Flaw::HostnameCnOnly) => params.subject_alt_names.clear(),
            Some(Flaw::Expired) => (params.not_before, params.not_after) = (now - Duration::days(90), now - Duration::days(7)),
            Some(Flaw::NotYetValid) => (params.not_before, params.not_after) = (now + Duration::days(7), now + Duration::days(90)),
            Some(Flaw::EkuClientOnly) => params.extended_key_usages = vec![Purpose::ClientAuth],
            Some(Flaw::UnknownCriticalExtension) => {
                let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 32473, 1], vec![5, 0]);
                extension.set_criticality(true);
                params.custom_extensions.push(extension);
            }
            Some(Flaw::UntrustedCa) => {
                above = vec![self.stranger.intermediate.clone()];
                issuer = &self.stranger.issuer;
            }
            Some(Flaw::UntrustedCaWithRoot) => {
                above = vec![self.stranger.intermediate.clone(), self.stranger.root.clone()];
                issuer = &self.stranger.issuer;
            }
            Some(Flaw::UntrustedCaLeafAlone) => {
                above = Vec::new();
                issuer = &self.stranger.issuer;
            }
            Some(Flaw::UntrustedCaLookalike) => {
                above = vec![self.lookalike.intermediate.clone()];
                issuer = &self.lookalike.issuer;
            }
            Some(Flaw::IntermediateCaFalse | Flaw::LeafAsIssuer) => {
                let server = self.bad == Some(Flaw::LeafAsIssuer);
                let names = if server { vec!["some.test".to_owned()] } else { Vec::new() };
                let mut above_params = CertificateParams::new(names).unwrap();
                above_params.distinguished_name.push(DnType::CommonName, "not an authority");
                above_params.is_ca = IsCa::ExplicitNoCa;
                let above_key = KeyPair::generate().unwrap();
                let signer = if server { &self.added.issuer } else { &self.added.root_issuer };
                let certificate = above_params.signed_by(&above_key, signer).unwrap().der().clone();
                above = if server { vec![certificate, self.added.intermediate.clone()] } else { vec![certificate] };
                odd = Issuer::new(above_params, above_key);
                issuer = &odd;
            }
            _ => {}
        }
        let mut chain = vec![params.signed_by(&key, issuer).unwrap().der().clone()];
        chain.extend(above);
        match self.bad {
            Some(Flaw::SelfSigned) => chain = vec![params.self_signed(&key).unwrap().der().clone()],
            Some(Flaw::SignatureCorrupt) => {
                let mut der = chain[0].to_vec();
                *der.last_mut().unwrap() ^= 1;
                chain[0] = der.into();
            }
            Some(Flaw::ReplacedKey) => {
                let honest = self.public.leaf(host).unwrap();
                chain.clone_from(&honest.certified.cert);
                let mut der = chain[0].to_vec();
                // Both keys are P-256 and stand behind the same algorithm identifier.
                let head = [0x03, 0x42, 0x00, 0x04];
                let at = der.windows(4).position(|window| window == head).unwrap() + 3;
                der[at..at + 65].copy_from_slice(key.public_key_raw());
                chain[0] = der.into();
            }
            _ => {}
        }
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private).unwrap();
        if matches!(self.bad, Some(Flaw::KxSignatureCorrupt | Flaw::VerifySignatureCorrupt)) {
            signer = Arc::new(Astray(signer));
        }
        let versions: &[_] = match self.bad {
            Some(Flaw::KxSignatureCorrupt | Flaw::DowngradeMarker12) => &[&rustls::version::TLS12],
            Some(Flaw::VerifySignatureCorrupt) => &[&rustls::version::TLS13],
            _ => &[&rustls::version::TLS13, &rustls::version::TLS12],
        };
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        if self.bad == Some(Flaw::DowngradeMarker12) {
            provider.secure_random = &Marked;
        }
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Always(Arc::new(CertifiedKey::new(chain.clone(), signer)))));
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        (config, chain)
    }
}

impl Dial for Attacker {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialling<'a> {
        Box::pin(async move {
            if self.bad == Some(Flaw::CleartextFallback) && port == 443 {
                return Err(std::io::ErrorKind::ConnectionReset.into());
            }
            let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
            if port == 80 {
                tokio::spawn(async move {
                    let _ = theirs.read(&mut [0; 4096]).await;
                    let _ = theirs.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                });
                return Ok(Box::new(ours) as Box<dyn Stream>);
            }
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(self.config(host).0));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(theirs).await else { return };
                let mut request = [0; 4096];
                if stream.read(&mut request).await.is_ok_and(|count| count > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                    let _ = stream.shutdown().await;
                }
            });
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

/// Flaw × defect: accepted exactly on the diagonal, and everywhere without defect.
#[tokio::test]
async fn a_flaw_accepts_its_own_defect_and_no_other() {
    // TLS 1.1 and the pins have tests of their own.
    let defects = Flaw::ALL
        .iter()
        .copied()
        .filter(|flaw| flaw.defect().is_some() && !matches!(flaw, Flaw::VersionTls11 | Flaw::UserCaTrusted | Flaw::NoPin | Flaw::PinScope));
    for bad in defects.map(Some).chain([None]) {
        let attacker = Attacker::new(bad);
        for flaw in Flaw::ALL.iter().copied().filter(|flaw| !matches!(flaw, Flaw::AcceptsAnything | Flaw::PinScope)) {
            let visits = Toy::new(flaw, attacker.trust()).visit(&attacker, HOST).await;
            let expect = bad.is_none() || bad == Some(flaw);
            assert_eq!(visits[0].accepted(), expect, "toy {} against {:?}: {:?}", flaw.word(), bad.map(Flaw::word), visits[0].end);
            if !expect && bad != Some(Flaw::CleartextFallback) {
                assert!(
                    matches!(visits[0].end, End::Refused(_)),
                    "toy {} against {:?}: {:?}",
                    flaw.word(),
                    bad.map(Flaw::word),
                    visits[0].end
                );
            }
        }
    }
}

#[tokio::test]
async fn pins_and_stores() {
    let attacker = Attacker::new(None);
    let toy = |flaw| Toy::new(flaw, attacker.trust());
    for (toy, expect) in [
        (toy(Flaw::None), vec![true]),
        (toy(Flaw::None).ignoring_added(), vec![false]),
        (toy(Flaw::None).pinned(), vec![false]),
        (toy(Flaw::Expired).ignoring_added(), vec![false]),
        (toy(Flaw::UserCaTrusted).ignoring_added(), vec![true]),
        (toy(Flaw::NoPin).pinned(), vec![true]),
        (toy(Flaw::PinScope), vec![false, true]),
    ] {
        let got: Vec<bool> = toy.visit(&attacker, HOST).await.iter().map(Visit::accepted).collect();
        assert_eq!(got, expect, "{toy:?}");
    }
}

/// A ServerHello of TLS 1.1, a chain and the end of the flight, then silence: who goes on?
#[tokio::test]
async fn only_one_toy_goes_along_with_tls_1_1() {
    for (version, suite) in [(0x0302u16, 0x002fu16), (0x0303, 0x002f)] {
        let attacker = Attacker::new(None);
        for flaw in [Flaw::None, Flaw::Expired, Flaw::DowngradeMarker12, Flaw::VersionTls11] {
            let flight = Flight { chain: attacker.config(HOST).1, version, suite };
            let visits = Toy::new(flaw, attacker.trust()).visit(&flight, HOST).await;
            let by_hand = matches!(flaw, Flaw::DowngradeMarker12 | Flaw::VersionTls11);
            let expect = if version == 0x0302 { flaw == Flaw::VersionTls11 } else { by_hand };
            assert_eq!(visits[0].end == End::WentAlong, expect, "{} {version:#x}: {:?}", flaw.word(), visits[0].end);
        }
    }
}

struct Flight {
    chain: Vec<CertificateDer<'static>>,
    version: u16,
    suite: u16,
}

impl Dial for Flight {
    fn dial<'a>(&'a self, _: &'a str, _: u16) -> Dialling<'a> {
        Box::pin(async move {
            let sized = |bytes: usize, body: &[u8]| [&(body.len() as u32).to_be_bytes()[4 - bytes..], body].concat();
            let message = |kind: u8, body: &[u8]| [&[kind], sized(3, body).as_slice()].concat();
            let hello = [&self.version.to_be_bytes()[..], &[7; 32], &[0], &self.suite.to_be_bytes(), &[0, 0, 5, 0xff, 1, 0, 1, 0]].concat();
            let certificates: Vec<u8> = self.chain.iter().flat_map(|cert| sized(3, cert)).collect();
            let body = [message(2, &hello), message(11, &sized(3, &certificates)), message(14, &[])].concat();
            let record = [&[22], &self.version.to_be_bytes()[..], &sized(2, &body)].concat();
            let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
            tokio::spawn(async move {
                let _ = theirs.write_all(&record).await;
                let mut rest = Vec::new();
                let _ = theirs.read_to_end(&mut rest).await;
            });
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Signs one byte more than it should.
#[derive(Debug)]
struct Astray(Arc<dyn SigningKey>);

impl SigningKey for Astray {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(AstraySigner(self.0.choose_scheme(offered)?)))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

#[derive(Debug)]
struct AstraySigner(Box<dyn Signer>);

impl Signer for AstraySigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.0.sign(&[message, &[0]].concat())
    }

    fn scheme(&self) -> SignatureScheme {
        self.0.scheme()
    }
}

/// Randomness whose 32-byte draws end in the mark of a downgrade.
#[derive(Debug)]
struct Marked;

impl rustls::crypto::SecureRandom for Marked {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), rustls::crypto::GetRandomFailed> {
        aws_lc_rs::rand::fill(bytes).map_err(|_| rustls::crypto::GetRandomFailed)?;
        if bytes.len() == 32 {
            bytes[24..].copy_from_slice(b"DOWNGRD\x01");
        }
        Ok(())
    }
}
