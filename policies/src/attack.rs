//! An attack: a server handshake with exactly one defect, which is also the active check of that id.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::{Document, place};
use crate::requirement::is_check_id;
use crate::{Problem, Severity};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// The flawless lab chain reached application data for the same device, peer and client.
    LabCaTrusted,
    /// The lab's authority stands in the device's *user* store.
    UserCaInstalled,
    /// A declaration, or the policy, that says what is pinned.
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
    /// The same with the authority's root in the message.
    UntrustedCaWithRoot,
    /// The first with the leaf alone in the message.
    UntrustedCaLeafAlone,
    /// The first again, and the authority has the name and the key identifier of the one that the real chain leads to.
    UntrustedCaLookalike,
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

/// One attack; its file is `policies/attacks/<family>/<name>.toml`, and its id is where it stands.
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

/// As the file has it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Attack", title = "Overhear attack")]
pub(crate) struct File {
    title: String,
    /// What is wrong: exactly one thing.
    defect: Defect,
    /// What a sound device does, in one sentence.
    expect: String,
    class: Class,
    severity: Severity,
    /// 0 none, 1 low, 2 can change flash if the device is broken.
    #[schemars(range(max = 2))]
    brick_risk: u8,
    #[serde(default)]
    needs: Vec<Need>,
    /// Markdown under the fixed headings.
    page: String,
}

/// The headings of every page, in this order; checks have the same.
pub const HEADINGS: [&str; 5] = ["What it does", "Why it matters", "How it is judged", "Evidence", "References"];

/// The longest title; lists print it on one line.
const LONGEST_TITLE: usize = 100;

impl Attack {
    /// Reads one attack file; `path` ends in `<family>/<name>.toml`, which is the id.
    pub fn parse(path: &str, text: &str) -> Result<Attack, Vec<Problem>> {
        let (mut doc, it) = Document::read::<File>(path, text)?;
        let mut parts = path.rsplit('/');
        let name = parts.next().and_then(|n| n.strip_suffix(".toml")).unwrap_or_default();
        let id = format!("{}.{name}", parts.next().unwrap_or_default());
        if !is_check_id(&id) {
            doc.problem(
                place![],
                format!("'{}' gives no id", path.escape_debug()),
                "an attack stands in FAMILY/NAME.toml, both of small letters, digits and hyphens",
            );
        }
        if it.title.is_empty() || it.title.chars().count() > LONGEST_TITLE || it.title.contains('\n') {
            doc.problem(place!["title"], "a title is one line of at most 100 characters", "");
        }
        if it.expect.is_empty() {
            doc.problem(place!["expect"], "it is not said what a sound device does", "printed as *expected* beside what was observed");
        }
        if it.brick_risk > 2 {
            doc.problem(place!["brick-risk"], format!("{} is no brick risk", it.brick_risk), "0 none, 1 low, 2 can change flash");
        }
        for (i, need) in it.needs.iter().enumerate() {
            if it.needs.iter().take(i).any(|n| n == need) {
                doc.problem(place!["needs", i], "this need stands twice", "");
            }
        }
        if let Some((what, help)) = fault_of_page(&it.page) {
            doc.problem(place!["page"], what, help);
        }
        doc.end(Attack {
            id,
            title: it.title,
            page: it.page,
            defect: it.defect,
            expect: it.expect,
            class: it.class,
            severity: it.severity,
            brick_risk: it.brick_risk,
            needs: it.needs,
        })
    }

    /// The text under one of the [`HEADINGS`].
    pub fn section(&self, heading: &str) -> &str {
        let Some((_, after)) = self.page.split_once(&format!("# {heading}\n")) else { return "" };
        after.split("\n# ").next().unwrap_or_default().trim()
    }
}

fn fault_of_page(page: &str) -> Option<(String, &'static str)> {
    const HELP: &str =
        "What it does, Why it matters, How it is judged, Evidence, References: each as a line '# …', in this order, with text under it";
    let found: Vec<&str> = page.lines().filter_map(|l| l.strip_prefix("# ")).collect();
    if let Some(missing) = HEADINGS.iter().find(|h| !found.contains(*h)) {
        return Some((format!("the page lacks the heading '{missing}'"), HELP));
    }
    if found != HEADINGS {
        return Some(("the page's headings are not the five, in their order".to_owned(), HELP));
    }
    let empty = format!("\n{page}").split("\n# ").skip(1).any(|s| s.split_once('\n').is_none_or(|(_, text)| text.trim().is_empty()));
    empty.then(|| ("a heading has no text under it".to_owned(), HELP))
}

/// One row per attack: where it stands below `policies/attacks/`, and its text. A test holds this against the folder.
macro_rules! attacks {
    ($($path:literal)*) => {
        pub(crate) const FILES: &[(&str, &str)] = &[ $(($path, include_str!(concat!("../attacks/", $path)))),* ];
    };
}

attacks! {
    "cert/self-signed.toml"
    "cert/untrusted-ca.toml"
    "cert/untrusted-ca-with-root.toml"
    "cert/untrusted-ca-leaf-alone.toml"
    "cert/untrusted-ca-lookalike.toml"
    "cert/replaced-key.toml"
    "cert/signature-corrupt.toml"
    "cert/hostname-mismatch.toml"
    "cert/hostname-cn-only.toml"
    "cert/expired.toml"
    "cert/not-yet-valid.toml"
    "cert/eku-not-server.toml"
    "cert/intermediate-ca-false.toml"
    "cert/leaf-as-issuer.toml"
    "cert/unknown-critical-extension.toml"
    "cert/user-ca-trusted.toml"
    "tls/kx-signature-corrupt.toml"
    "tls/verify-signature-corrupt.toml"
    "tls/downgrade-marker-12.toml"
    "tls/version-tls11.toml"
    "channel/tls-block-fallback.toml"
    "pin/absent.toml"
    "pin/scope.toml"
}

/// Every shipped attack, in the order in which a campaign tries them by default: what discriminates most comes first.
#[expect(clippy::expect_used, reason = "embedded data, read by a test")]
pub fn catalogue() -> Vec<Attack> {
    FILES.iter().map(|(path, text)| Attack::parse(path, text).expect("a shipped attack reads")).collect()
}

/// The files' places and texts: what the digest of the catalogue covers.
pub fn sources() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    const PAGE: &str =
        "page = \"\"\"\n# What it does\na\n# Why it matters\na\n# How it is judged\na\n# Evidence\na\n# References\na\n\"\"\"\n";
    const HEAD: &str = "title = \"T\"\nexpect = \"E\"\nclass = \"critical\"\nseverity = \"high\"\nbrick-risk = 0\n";

    #[track_caller]
    fn bad(path: &str, text: &str, expect: &str) {
        let got: Vec<String> = Attack::parse(path, text).unwrap_err().iter().map(ToString::to_string).collect();
        assert!(got.len() == 1 && got.first().is_some_and(|g| g.starts_with(expect)), "{got:?}");
    }

    #[test]
    fn broken_files() {
        let path = "attacks/cert/x.toml";
        let good = format!("{HEAD}defect = \"expired\"\n{PAGE}");
        assert_eq!(Attack::parse(path, &good).unwrap().id, "cert.x");
        bad(path, &format!("{HEAD}defect = \"expired\"\ndefect = \"self-signed\"\n{PAGE}"), "attacks/cert/x.toml:7:1: duplicate key");
        bad(path, &format!("{HEAD}defect = [\"expired\", \"self-signed\"]\n{PAGE}"), "attacks/cert/x.toml:6:10: ");
        bad(path, &format!("{HEAD}defect = {{ expired = {{}}, self-signed = {{}} }}\n{PAGE}"), "attacks/cert/x.toml:6:10: ");
        bad(
            path,
            &format!("{HEAD}defect = \"rotten\"\n{PAGE}"),
            "attacks/cert/x.toml:6:10: unknown variant `rotten`, expected one of `self-signed`",
        );
        bad(path, &format!("{HEAD}defect = \"expired\"\ncolour = 1\n{PAGE}"), "attacks/cert/x.toml:7:1: unknown field `colour`");
        bad(path, &format!("{HEAD}{PAGE}"), "attacks/cert/x.toml:1:1: missing field `defect`");
        bad(path, &good.replace("# Evidence\na\n", ""), "attacks/cert/x.toml:7:8: the page lacks the heading 'Evidence'");
        bad(path, &good.replace("# Evidence\na\n", "# Evidence\n"), "attacks/cert/x.toml:7:8: a heading has no text under it");
        bad(
            path,
            &good.replace("# Evidence\na\n", "# Evidence\na\n# More\na\n"),
            "attacks/cert/x.toml:7:8: the page's headings are not the five",
        );
        bad(path, &good.replace("brick-risk = 0", "brick-risk = 3"), "attacks/cert/x.toml:5:14: 3 is no brick risk");
        bad("x.toml", &good, "x.toml:1:1: 'x.toml' gives no id");
    }

    #[test]
    fn shipped_attacks() {
        let all = catalogue();
        assert_eq!(all.len(), FILES.len());
        for (i, a) in all.iter().enumerate() {
            for heading in HEADINGS {
                assert!(a.section(heading).len() > 60, "{}: '{heading}' says too little", a.id);
            }
            assert!(all.iter().take(i).all(|b| b.defect != a.defect && b.id != a.id), "{} repeats another", a.id);
            assert!(a.page.lines().all(|l| l.len() < 700), "{}", a.id);
        }
    }
}
