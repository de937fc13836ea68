//! rustls with a flaw: the full verification, minus exactly one thing.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::flaw::Flaw;
use super::path::{self, Anchor, Anchors, Problem};
use super::{Pin, Trust};
use crate::Fault;

#[derive(Debug)]
pub(crate) struct Verifier {
    flaw: Flaw,
    trust: Trust,
    added: bool,
    pin: Pin,
    /// The real thing, for all that this toy does right.
    webpki: Arc<WebPkiServerVerifier>,
}

impl Verifier {
    pub(crate) fn new(flaw: Flaw, trust: &Trust, added: bool, pin: Pin) -> Result<Self, Fault> {
        let mut roots = RootCertStore::empty();
        for anchor in trust.public.iter().chain(trust.added.iter().filter(|_| added)) {
            roots.add(anchor.clone()).map_err(Fault::odd("reading a toy's anchor"))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(Fault::odd("making a toy's verifier"))?;
        Ok(Self { flaw, trust: trust.clone(), added, pin, webpki })
    }

    /// Checks a chain as this toy does; also for the toys that speak TLS by hand.
    pub(crate) fn check(&self, chain: &[CertificateDer<'_>], host: &str, now: UnixTime) -> Result<(), Error> {
        let (leaf, rest) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        if self.by_hand() {
            let added = if self.added { self.trust.added.as_slice() } else { &[] };
            let anchors = Anchors { public: &self.trust.public, added };
            let found = path::problems(chain, anchors, host, now.as_secs() as i64);
            if let Some(problem) = found.into_iter().find(|problem| !self.forgives(*problem)) {
                return Err(Error::InvalidCertificate(problem.error()));
            }
        } else {
            let name = ServerName::try_from(host).map_err(|_| Error::General("not a name".into()))?;
            self.webpki.verify_server_cert(leaf, rest, &name, &[], now)?;
        }
        match &self.pin {
            Pin::Key(pin) if path::pin_of(leaf) != *pin => {
                Err(Error::InvalidCertificate(CertificateError::Other(rustls::OtherError(Arc::new(PinError)))))
            }
            _ => Ok(()),
        }
    }

    /// Does the flaw lie in judging the chain?
    fn by_hand(&self) -> bool {
        !matches!(
            self.flaw,
            Flaw::None
                | Flaw::KxSignatureCorrupt
                | Flaw::VerifySignatureCorrupt
                | Flaw::DowngradeMarker12
                | Flaw::VersionTls11
                | Flaw::CleartextFallback
                | Flaw::UserCaTrusted
                | Flaw::NoPin
                | Flaw::PinScope
        )
    }

    fn forgives(&self, problem: Problem) -> bool {
        let one = match self.flaw {
            Flaw::AcceptsAnything => return true,
            Flaw::SelfSigned => Problem::SelfSigned,
            Flaw::UntrustedCa => Problem::UnknownIssuer,
            Flaw::UntrustedCaWithRoot => Problem::UnknownRoot,
            Flaw::UntrustedCaLeafAlone => Problem::LeafAlone,
            Flaw::UntrustedCaLookalike => Problem::BadIssuerSignature,
            Flaw::ReplacedKey => Problem::BadLeafSignature(Some(Anchor::Public)),
            Flaw::SignatureCorrupt => Problem::BadLeafSignature(Some(Anchor::Added)),
            Flaw::HostnameMismatch => Problem::WrongName,
            Flaw::HostnameCnOnly => Problem::NameInCommonNameOnly,
            Flaw::Expired => Problem::Expired,
            Flaw::NotYetValid => Problem::NotYetValid,
            Flaw::EkuClientOnly => Problem::WrongPurpose,
            Flaw::IntermediateCaFalse => Problem::NotCa { server: false },
            Flaw::LeafAsIssuer => Problem::NotCa { server: true },
            Flaw::UnknownCriticalExtension => Problem::UnknownCritical,
            _ => return false,
        };
        one == problem
    }

    fn handshake(
        &self,
        forgiven: Flaw,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.flaw == forgiven || path::handshake_signed(leaf, signed.scheme, message, signed.signature()) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::BadSignature))
        }
    }
}

impl Problem {
    fn error(self) -> CertificateError {
        match self {
            Self::SelfSigned | Self::UnknownIssuer | Self::UnknownRoot | Self::LeafAlone => CertificateError::UnknownIssuer,
            Self::BadLeafSignature(_) | Self::BadIssuerSignature => CertificateError::BadSignature,
            Self::WrongName | Self::NameInCommonNameOnly => CertificateError::NotValidForName,
            Self::Expired | Self::IssuerLife => CertificateError::Expired,
            Self::NotYetValid => CertificateError::NotValidYet,
            Self::WrongPurpose => CertificateError::InvalidPurpose,
            Self::UnknownCritical => CertificateError::UnhandledCriticalExtension,
            Self::NotCa { .. } | Self::Unreadable => CertificateError::BadEncoding,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain: Vec<CertificateDer<'_>> = std::iter::once(leaf).chain(rest).cloned().collect();
        self.check(&chain, &name.to_str(), now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.handshake(Flaw::KxSignatureCorrupt, message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.handshake(Flaw::VerifySignatureCorrupt, message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the key is not the pinned one")]
struct PinError;
