//! What can be wrong with a toy: one thing each, named like the attack that finds it.

use policies::Defect;

macro_rules! flaws {
    ($( $(#[$doc:meta])* $variant:ident = $word:literal, $defect:expr; )*) => {
        /// The one thing a toy does wrong. Everything else it does right.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Flaw { $( $(#[$doc])* $variant, )* }

        impl Flaw {
            pub const ALL: &'static [Flaw] = &[$( Flaw::$variant, )*];

            /// Stable: command lines and tables use it.
            pub fn word(self) -> &'static str {
                match self { $( Flaw::$variant => $word, )* }
            }

            /// The attack that finds this flaw; none for `None` and for `AcceptsAnything`, which many find.
            pub fn defect(self) -> Option<Defect> {
                match self { $( Flaw::$variant => $defect, )* }
            }
        }
    };
}

flaws! {
    /// Nothing: webpki against all anchors it is given, current TLS, no way back to cleartext.
    None = "none", None;
    /// Every chain and every name will do (handshake signatures are checked). Not part of the diagonal.
    AcceptsAnything = "accepts-anything", None;
    /// Accepts a certificate that signed itself and came alone.
    SelfSigned = "self-signed", Some(Defect::SelfSigned);
    /// Accepts authorities it does not know.
    UntrustedCa = "untrusted-ca", Some(Defect::UntrustedCa);
    /// Takes a root that a server sent for one it knows.
    UntrustedCaWithRoot = "untrusted-ca-with-root", Some(Defect::UntrustedCaWithRoot);
    /// Asks for no issuer where none was sent.
    UntrustedCaLeafAlone = "untrusted-ca-leaf-alone", Some(Defect::UntrustedCaLeafAlone);
    /// Looks an authority up by its name, and does not check that it is that one's key which signed.
    UntrustedCaLookalike = "untrusted-ca-lookalike", Some(Defect::UntrustedCaLookalike);
    /// Does not check who signed a leaf that names its built-in (public) authority: its key can be anybody's.
    ReplacedKey = "replaced-key", Some(Defect::ReplacedKey);
    /// Does not check a leaf's signature under an authority that was added to its store.
    SignatureCorrupt = "signature-corrupt", Some(Defect::SignatureCorrupt);
    /// Accepts subjectAltNames for anybody else.
    HostnameMismatch = "hostname-mismatch", Some(Defect::HostnameMismatch);
    /// Without subjectAltName, the common name will do.
    HostnameCnOnly = "hostname-cn-only", Some(Defect::HostnameCnOnly);
    /// Accepts an expired leaf.
    Expired = "expired", Some(Defect::Expired);
    /// Accepts a leaf from the future.
    NotYetValid = "not-yet-valid", Some(Defect::NotYetValid);
    /// Accepts a leaf that is not for servers.
    EkuClientOnly = "eku-client-only", Some(Defect::EkuClientOnly);
    /// Accepts an intermediate that says it is no authority.
    IntermediateCaFalse = "intermediate-ca-false", Some(Defect::IntermediateCaFalse);
    /// Accepts an ordinary server's certificate as an issuer.
    LeafAsIssuer = "leaf-as-issuer", Some(Defect::LeafAsIssuer);
    /// Passes over critical extensions it does not know.
    UnknownCriticalExtension = "unknown-critical-extension", Some(Defect::UnknownCriticalExtension);
    /// Does not check the signature of a TLS 1.2 ServerKeyExchange.
    KxSignatureCorrupt = "kx-signature-corrupt", Some(Defect::KxSignatureCorrupt);
    /// Does not check the signature of a TLS 1.3 CertificateVerify.
    VerifySignatureCorrupt = "verify-signature-corrupt", Some(Defect::VerifySignatureCorrupt);
    /// Offers TLS 1.3 and overlooks the mark of a downgrade to 1.2.
    DowngradeMarker12 = "downgrade-marker12", Some(Defect::DowngradeMarker12);
    /// Goes along with TLS 1.1.
    VersionTls11 = "version-tls11", Some(Defect::VersionTls11);
    /// Sends in clear on port 80 what it could not send over TLS.
    CleartextFallback = "tls-blocked", Some(Defect::TlsBlocked);
    /// Trusts an authority that its user added; the toys without this flaw can be told not to ([`super::Toy::ignoring_added`]).
    UserCaTrusted = "user-anchor", Some(Defect::UserAnchor);
    /// Is said to pin, and does not.
    NoPin = "added-anchor", Some(Defect::AddedAnchor);
    /// Pins its host, but not the sibling (`api.` before the name), which it visits too.
    PinScope = "added-anchor-sibling", Some(Defect::AddedAnchorSibling);
}

impl Flaw {
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|flaw| flaw.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_attacks() {
        for flaw in Flaw::ALL {
            assert_eq!(Flaw::from_word(flaw.word()), Some(*flaw));
            if let Some(defect) = flaw.defect() {
                let word = serde_json::to_string(&defect).unwrap_or_default();
                assert_eq!(word.trim_matches('"'), flaw.word());
            }
        }
    }
}
