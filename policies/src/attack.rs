//! An attack: a server handshake with exactly one defect, which is also the active check of that id.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Severity;

/// What an attacker needs to do it, which decides how a failure reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Anybody on the path, without any special certificate.
    Critical,
    /// Somebody who gets an odd but authentic certificate from an authority the device trusts.
    CaAbuse,
    /// A question of policy (age, size, transparency), not of an open door.
    Policy,
    /// Robustness only.
    Robust,
}

/// What must hold before the attack says anything about a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// The flawless lab chain reached application data for the same device, peer and client.
    LabCaTrusted,
    /// The lab's authority stands in the device's *user* store.
    UserCaInstalled,
    /// A declaration of pins.
    DeclaredPins,
    /// The client offered TLS 1.3.
    OfferedTls13,
    /// The client offered TLS 1.2.
    OfferedTls12,
}

/// The one thing that is wrong. Everything not named equals the control (the flawless twin).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Defect {
    /// Leaf signed by its own fresh key: issuer = subject, chain of one.
    SelfSigned,
    /// Flawless chain under a fresh authority that the device does not know.
    UntrustedCa,
    /// The upstream chain copied, the leaf's key replaced, so that the issuer's signature no longer fits.
    ReplacedKey,
    /// One bit of the leaf's signature flipped, near its end.
    SignatureCorrupt,
    /// Flawless chain for another name.
    HostnameMismatch,
    /// No subjectAltName; the right name stands only in the common name.
    HostnameCnOnly,
    /// The leaf's notAfter has passed.
    Expired,
    /// The leaf's notBefore lies ahead.
    NotYetValid,
    /// extendedKeyUsage names clientAuth only.
    EkuClientOnly,
    /// The intermediate's basicConstraints say cA = FALSE.
    IntermediateCaFalse,
    /// An ordinary server certificate (no CA flag) issues the leaf.
    LeafAsIssuer,
    /// The leaf carries an unknown extension marked critical.
    UnknownCriticalExtension,
    /// TLS 1.2 ServerKeyExchange signed over altered bytes.
    KxSignatureCorrupt,
    /// TLS 1.3 CertificateVerify signed over an altered transcript.
    VerifySignatureCorrupt,
    /// A TLS 1.2 answer whose random ends with the TLS 1.3 downgrade marker (RFC 8446 §4.1.3).
    DowngradeMarker12,
    /// A hand-written plaintext flight that insists on TLS 1.1.
    VersionTls11,
    /// TLS to the peer is cut: what does the device do next?
    TlsBlocked,
    /// No defect in the chain but its anchor: the lab's authority from the *user* store.
    UserAnchor,
    /// No defect in the chain but its anchor: the lab's authority, which the store trusts (is there a pin?).
    AddedAnchor,
    /// As `AddedAnchor`, for siblings and sub-domains of declared pins.
    AddedAnchorSibling,
}

/// One attack file `policies/attacks/<family>/<name>.toml`; its id is where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attack {
    /// `family.name`, from the file's place.
    pub id: String,
    pub title: String,
    /// Markdown under fixed headings: What it does · Why it matters · How it is judged · Evidence · References.
    pub page: String,
    pub defect: Defect,
    /// What a sound device does, in one sentence: printed as *expected*.
    pub expect: String,
    pub class: Class,
    pub severity: Severity,
    /// 0 none · 1 low · 2 can change flash if the device is broken.
    pub brick_risk: u8,
    pub needs: Vec<Need>,
}
