//! Chains: the flawless one that mirrors the real server's leaf, and for each defect the one that differs from it in that alone.
//!
//! Path builders keep intermediates they have seen, so an issuer with a defect has a name and a key of its own: the flawless
//! issuer, learned from a control, can never stand in for it and turn a sound refusal into an acceptance.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use foldhash::HashMap;
use policies::{Defect, Time};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::ca::{Authority, Issuer, impostor, serial, short_label};
use super::cert::{self, CLIENT_AUTH, DIGITAL_SIGNATURE, KEY_ENCIPHERMENT, Name, SERVER_AUTH, San, Template};
use super::key::{Key, KeyKind};
use crate::error::Error;

/// A leaf lives 60 days at most: under 90, so that no client's limit on age refuses the control.
pub const LEAF_LIFE: Duration = Duration::from_secs(60 * DAY);
/// Leaves begin this long ago, for devices whose clock is behind.
const LEAF_BACKDATED: Duration = Duration::from_secs(DAY);
/// How far outside its life an expired or future leaf is: farther than a careless clock is off.
pub const MARGIN: Duration = Duration::from_secs(7 * DAY);
/// Names copied from the real leaf; beyond this only those that cover the host (certificates of CDNs carry hundreds).
const MOST_NAMES: usize = 100;
/// ub-common-name of RFC 5280, appendix A.1.
const LONGEST_CN: usize = 64;
/// Chains kept for stability over a run (the same host sees the same leaf); beyond it the memory starts over.
const MOST_CHAINS: usize = 4096;
const DAY: u64 = 86_400;

/// What is copied from the real server's leaf.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mirror {
    /// The name or address the device asked for.
    pub host: String,
    pub key: KeyKind,
    /// The real leaf's subjectAltNames.
    pub names: Vec<San>,
    /// The real chain as sent, leaf first; empty if not learned.
    pub chain: Vec<CertificateDer<'static>>,
}

impl Mirror {
    /// Nothing learned: a P-256 leaf for `host` alone.
    pub fn bare(host: &str) -> Mirror {
        Mirror { host: host.to_owned(), key: KeyKind::P256, names: Vec::new(), chain: Vec::new() }
    }
}

/// A chain to serve, leaf first, and the leaf's key.
#[derive(Debug)]
pub struct Chain {
    pub certificates: Vec<CertificateDer<'static>>,
    pub key: Arc<Key>,
    certified: OnceLock<Arc<CertifiedKey>>,
}

impl Chain {
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>, key: Arc<Key>) -> Chain {
        Chain { certificates, key, certified: OnceLock::new() }
    }

    /// The same for rustls, made once for all connections that are shown it.
    pub fn certified(&self) -> Result<Arc<CertifiedKey>, Error> {
        if let Some(certified) = self.certified.get() {
            return Ok(certified.clone());
        }
        let certified = Arc::new(CertifiedKey::new(self.certificates.clone(), self.key.for_rustls()?));
        Ok(self.certified.get_or_init(|| certified).clone())
    }
}

/// A chain with the defect it shows, and when it was made.
type Dated = ((Option<Defect>, Leaf), Time, Arc<Chain>);

/// Which of two flawless leaves, with a key each: a client that has nothing against one and refuses the other knows it by heart, and checks
/// nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leaf {
    #[default]
    First,
    Second,
}

impl Leaf {
    /// They take turns: an attack stands between one control of each.
    pub fn after(controls: usize) -> Leaf {
        if controls.is_multiple_of(2) { Leaf::First } else { Leaf::Second }
    }
}

/// The chains made so far.
#[derive(Debug, Default)]
struct Made {
    of: HashMap<Mirror, Vec<Dated>>,
    count: usize,
}

impl Made {
    /// A leaf is served for a tenth of its life at most, then made anew.
    fn fresh(&self, mirror: &Mirror, (defect, leaf): (Option<&Defect>, Leaf), now: Time) -> Option<Arc<Chain>> {
        let (_, at, chain) = self.of.get(mirror)?.iter().find(|(of, ..)| (of.0.as_ref(), of.1) == (defect, leaf))?;
        (now.since(*at) < LEAF_LIFE / 10).then(|| chain.clone())
    }

    fn keep(&mut self, mirror: &Mirror, (defect, leaf): (Option<&Defect>, Leaf), now: Time, chain: &Arc<Chain>) {
        if self.count >= MOST_CHAINS {
            *self = Made::default();
        }
        let all = self.of.entry(mirror.clone()).or_default();
        let before = all.len();
        all.retain(|(of, ..)| (of.0.as_ref(), of.1) != (defect, leaf));
        all.push(((defect.cloned(), leaf), now, chain.clone()));
        self.count = self.count - before + all.len();
    }
}

/// Makes chains under one campaign's authority.
#[derive(Debug)]
pub struct Mint {
    authority: Authority,
    /// Of the same shape as the authority, known to nobody.
    stranger: Authority,
    /// Another such, whose root is sent along.
    rooted: Authority,
    /// One more, of which only the leaf is sent.
    missing: Authority,
    /// Signed by the root, but its basicConstraints say it may not sign.
    unable: Issuer,
    /// An ordinary server's certificate under the flawless intermediate.
    server: Issuer,
    /// Keys of leaves, in the order of [`Leaf`].
    ec: [Arc<Key>; 2],
    rsa: [OnceLock<Arc<Key>>; 2],
    made: Mutex<Made>,
}

impl Mint {
    pub fn new(authority: Authority, now: Time) -> Result<Mint, Error> {
        let stranger = Authority::make(&short_label()?, now, authority.not_after.since(now))?;
        let rooted = Authority::make(&short_label()?, now, authority.not_after.since(now))?;
        let missing = Authority::make(&short_label()?, now, authority.not_after.since(now))?;
        let unable =
            authority.root.authorise(&format!("Overhear issuing {}", short_label()?), authority.not_before, authority.not_after, false)?;
        let server_key = Arc::new(Key::fresh(KeyKind::P256)?);
        let host = format!("shop-{}.invalid", short_label()?);
        let template =
            Template { subject: Name::common(&host).der(), names: vec![San::Dns(host)], ..leaf_template(&authority, KeyKind::P256, now)? };
        let certificate = template.signed(&server_key, &authority.intermediate.subject, &authority.intermediate.key)?;
        let server = Issuer { subject: template.subject, key: server_key, certificate: certificate.into() };
        Ok(Mint {
            authority,
            stranger,
            rooted,
            missing,
            unable,
            server,
            ec: [Arc::new(Key::fresh(KeyKind::P256)?), Arc::new(Key::fresh(KeyKind::P256)?)],
            rsa: Default::default(),
            made: Mutex::default(),
        })
    }

    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    #[cfg(test)]
    pub(crate) fn into_authority(self) -> Authority {
        self.authority
    }

    /// The flawless chain: leaf and intermediate, root omitted, as servers do.
    pub fn control(&self, mirror: &Mirror, leaf: Leaf, now: Time) -> Result<Arc<Chain>, Error> {
        self.remembered(mirror, (None, leaf), now)
    }

    /// The chain for `defect`. Defects of the handshake, and those of the anchor alone, serve the flawless chain.
    pub fn forged(&self, mirror: &Mirror, defect: &Defect, now: Time) -> Result<Arc<Chain>, Error> {
        self.remembered(mirror, (in_chain(defect).then_some(defect), Leaf::First), now)
    }

    fn remembered(&self, mirror: &Mirror, of: (Option<&Defect>, Leaf), now: Time) -> Result<Arc<Chain>, Error> {
        let made = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chain) = made().fresh(mirror, of, now) {
            return Ok(chain);
        }
        let chain = Arc::new(self.make(mirror, of, now)?);
        made().keep(mirror, of, now, &chain);
        Ok(chain)
    }

    fn make(&self, mirror: &Mirror, (defect, leaf): (Option<&Defect>, Leaf), now: Time) -> Result<Chain, Error> {
        let [first, second] = &self.ec;
        let key = match (mirror.key, leaf) {
            (KeyKind::P256, Leaf::First) => first.clone(),
            (KeyKind::P256, Leaf::Second) => second.clone(),
            (KeyKind::Rsa2048, leaf) => self.rsa(leaf)?,
        };
        let good = &self.authority.intermediate;
        let base = Template {
            subject: Name::common(common_name(&mirror.host)).der(),
            names: names(mirror),
            ..leaf_template(&self.authority, mirror.key, now)?
        };
        let life = base.not_after.since(base.not_before);
        let lookalike;
        let (leaf, issuer) = match defect {
            None => (base, good),
            Some(Defect::SelfSigned) => {
                let own = Arc::new(Key::fresh(mirror.key)?);
                let leaf = base.signed(&own, &base.subject, &own)?;
                return Ok(Chain::new(vec![leaf.into()], own));
            }
            Some(Defect::UntrustedCa) => (base, &self.stranger.intermediate),
            Some(Defect::UntrustedCaWithRoot) => {
                let Authority { root, intermediate, .. } = &self.rooted;
                let leaf = base.signed(&key, &intermediate.subject, &intermediate.key)?;
                return Ok(Chain::new(vec![leaf.into(), intermediate.certificate.clone(), root.certificate.clone()], key));
            }
            Some(Defect::UntrustedCaLeafAlone) => {
                let issuer = &self.missing.intermediate;
                let leaf = base.signed(&key, &issuer.subject, &issuer.key)?;
                return Ok(Chain::new(vec![leaf.into()], key));
            }
            Some(Defect::UntrustedCaLookalike) => {
                lookalike = self.lookalike(mirror)?;
                (base, &lookalike)
            }
            Some(Defect::ReplacedKey) => {
                let Some((real, rest)) = mirror.chain.split_first() else {
                    return Err(not_forgeable(&Defect::ReplacedKey, "the real server's chain was not learned"));
                };
                let mut certificates: Vec<CertificateDer<'static>> = vec![cert::with_key(real, &key)?.into()];
                certificates.extend(rest.iter().cloned());
                return Ok(Chain::new(certificates, key));
            }
            Some(Defect::SignatureCorrupt) => {
                let leaf = cert::with_bit_turned(base.signed(&key, &good.subject, &good.key)?);
                return Ok(Chain::new(vec![leaf.into(), good.certificate.clone()], key));
            }
            Some(Defect::HostnameMismatch) => {
                (Template { subject: Name::common(&other_common(&mirror.host)).der(), names: others(&mirror.host), ..base }, good)
            }
            Some(Defect::HostnameCnOnly) => {
                if mirror.host.len() > LONGEST_CN {
                    return Err(not_forgeable(&Defect::HostnameCnOnly, "the name is longer than a common name may be"));
                }
                (Template { names: Vec::new(), ..base }, good)
            }
            Some(Defect::Expired) => {
                let not_after = now.minus(MARGIN);
                (Template { not_before: not_after.minus(life), not_after, ..base }, good)
            }
            Some(Defect::NotYetValid) => {
                let not_before = now.plus(MARGIN);
                (Template { not_before, not_after: not_before.plus(life), ..base }, good)
            }
            Some(Defect::EkuClientOnly) => (Template { purposes: vec![CLIENT_AUTH], ..base }, good),
            Some(Defect::IntermediateCaFalse) => (base, &self.unable),
            Some(Defect::LeafAsIssuer) => {
                let leaf = base.signed(&key, &self.server.subject, &self.server.key)?;
                let certificates = vec![leaf.into(), self.server.certificate.clone(), good.certificate.clone()];
                return Ok(Chain::new(certificates, key));
            }
            Some(Defect::UnknownCriticalExtension) => (Template { unknown_critical: true, ..base }, good),
            Some(other) => return Err(not_forgeable(other, "its defect is not in the chain")),
        };
        let leaf = leaf.signed(&key, &issuer.subject, &issuer.key)?;
        Ok(Chain::new(vec![leaf.into(), issuer.certificate.clone()], key))
    }

    /// An issuer of the real leaf's issuer's name, under the name and key identifier of the authority that the real chain leads to; of the campaign's
    /// own names if none was learned.
    fn lookalike(&self, mirror: &Mirror) -> Result<Issuer, Error> {
        let own = &self.authority.intermediate;
        let unread = || not_forgeable(&Defect::UntrustedCaLookalike, "the real server's chain cannot be read");
        let (leaf, top) = (mirror.chain.first(), mirror.chain.last().unwrap_or(&own.certificate));
        let (_, top) = X509Certificate::from_der(top).map_err(|_| unread())?;
        let called = match leaf {
            None => own.subject.clone(),
            // A leaf alone: its issuer is the authority.
            Some(_) if mirror.chain.len() == 1 => Name::common(&format!("Overhear issuing {}", short_label()?)).der(),
            Some(leaf) => X509Certificate::from_der(leaf).map_err(|_| unread())?.1.issuer().as_raw().to_vec(),
        };
        let id = top.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0.to_vec()),
            _ => None,
        });
        let Authority { not_before, not_after, .. } = self.authority;
        impostor(top.issuer().as_raw(), id, called, not_before, not_after)
    }

    /// The campaign's RSA key for this leaf: made once, when a server with RSA is first met.
    pub fn rsa(&self, leaf: Leaf) -> Result<Arc<Key>, Error> {
        let [first, second] = &self.rsa;
        let place = if leaf == Leaf::First { first } else { second };
        if let Some(key) = place.get() {
            return Ok(key.clone());
        }
        let key = Arc::new(Key::fresh(KeyKind::Rsa2048)?);
        Ok(place.get_or_init(|| key).clone())
    }
}

/// A name that nobody has (RFC 6761 §6.4).
const OTHER: &str = "not-the-host.overhear.invalid";

/// A common name that is not `host`, begins and ends with it where there is room, and so is taken for it by comparisons of a part: programs that
/// read the common name compare it by the means of their language.
fn other_common(host: &str) -> String {
    let named = [format!("{host}.overhear.invalid.x{host}"), format!("{host}.overhear.invalid"), format!("x{host}")];
    named.into_iter().find(|name| name.len() <= LONGEST_CN).unwrap_or_else(|| OTHER.to_owned())
}

/// Names that are not `host`, of all kinds that a careless comparison takes for it: one with it at the end, one with it in front, its end and
/// its start alone, one that only fits where a dot stands for any character, a child and a star for any child, its neighbour, its parent, and a
/// star for more than one label (RFC 9525 §6.3). A certificate for any of them anybody can have.
fn others(host: &str) -> Vec<San> {
    let mut out = vec![OTHER.to_owned(), format!("x{host}"), format!("{host}.overhear.invalid")];
    if host.parse::<std::net::IpAddr>().is_err() {
        let (mut start, mut end) = (host.chars(), host.chars());
        start.next_back();
        end.next();
        out.extend([start.as_str().to_owned(), end.as_str().to_owned(), host.replacen('.', "-", 1)]);
        out.extend([format!("not-the-host.{host}"), format!("*.{host}")]);
        if let Some((_, parent)) = host.split_once('.').filter(|(_, parent)| parent.contains('.')) {
            out.extend([format!("not-the-host.{parent}"), parent.to_owned()]);
            // A star for two labels and more.
            out.extend(parent.match_indices('.').map(|(dot, _)| format!("*{}", &parent[dot..])));
        }
    }
    // RFC 1035 §2.3.4; an address of IPv6 is part of no name.
    let is_label =
        |label: &str| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-') && !label.contains(':');
    out.retain(|name| name != host && name.len() <= 253 && name.split('.').all(is_label));
    out.into_iter().map(San::Dns).collect()
}

/// Whether the defect lies in the certificates (and not in the handshake, the anchor or the transport).
pub fn in_chain(defect: &Defect) -> bool {
    match defect {
        Defect::SelfSigned
        | Defect::UntrustedCa
        | Defect::UntrustedCaWithRoot
        | Defect::UntrustedCaLeafAlone
        | Defect::UntrustedCaLookalike
        | Defect::ReplacedKey
        | Defect::SignatureCorrupt
        | Defect::HostnameMismatch
        | Defect::HostnameCnOnly
        | Defect::Expired
        | Defect::NotYetValid
        | Defect::EkuClientOnly
        | Defect::IntermediateCaFalse
        | Defect::LeafAsIssuer
        | Defect::UnknownCriticalExtension => true,
        Defect::KxSignatureCorrupt
        | Defect::VerifySignatureCorrupt
        | Defect::DowngradeMarker12
        | Defect::VersionTls11
        | Defect::TlsBlocked
        | Defect::UserAnchor
        | Defect::AddedAnchor
        | Defect::AddedAnchorSibling => false,
    }
}

/// Whether a subjectAltName covers `host` (RFC 6125 §6.4: a wildcard stands for one whole left-most label).
pub fn covers(name: &San, host: &str) -> bool {
    match name {
        San::Ip(ip) => host.parse::<std::net::IpAddr>().is_ok_and(|host| host == *ip),
        San::Dns(pattern) => {
            pattern.eq_ignore_ascii_case(host)
                || pattern.strip_prefix("*.").is_some_and(|parent| {
                    host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent))
                })
        }
    }
}

fn leaf_template(authority: &Authority, key: KeyKind, now: Time) -> Result<Template, Error> {
    Ok(Template {
        serial: serial()?,
        subject: Vec::new(),
        not_before: now.minus(LEAF_BACKDATED).max(authority.not_before),
        not_after: now.plus(LEAF_LIFE).min(authority.not_after),
        ca: Some(false),
        // RSA leaves also serve clients that only know RSA key transport.
        key_usage: if key == KeyKind::Rsa2048 { DIGITAL_SIGNATURE | KEY_ENCIPHERMENT } else { DIGITAL_SIGNATURE },
        purposes: vec![SERVER_AUTH],
        names: Vec::new(),
        unknown_critical: false,
        issuer_id: None,
    })
}

/// The real leaf's names if one of them covers the host, else the host alone.
fn names(mirror: &Mirror) -> Vec<San> {
    let host = &mirror.host;
    if !mirror.names.iter().any(|name| covers(name, host)) {
        return vec![San::of(host)];
    }
    if mirror.names.len() <= MOST_NAMES {
        return mirror.names.clone();
    }
    mirror.names.iter().filter(|name| covers(name, host)).cloned().collect()
}

fn common_name(host: &str) -> &str {
    if host.len() <= LONGEST_CN { host } else { "long-name.overhear.invalid" }
}

fn not_forgeable(defect: &Defect, why: &'static str) -> Error {
    Error::NotForgeable { defect: format!("{defect:?}"), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_names() {
        let check = |host: &str, expect: &[&str]| {
            let got: Vec<String> =
                others(host).into_iter().map(|name| if let San::Dns(name) = name { name } else { String::new() }).collect();
            assert_eq!(got, [&[OTHER], expect].concat(), "{host}");
        };
        check(
            "shop.test",
            &["xshop.test", "shop.test.overhear.invalid", "shop.tes", "hop.test", "shop-test", "not-the-host.shop.test", "*.shop.test"],
        );
        check(
            "a.b.shop.test",
            &[
                "xa.b.shop.test",
                "a.b.shop.test.overhear.invalid",
                "a.b.shop.tes",
                "a-b.shop.test",
                "not-the-host.a.b.shop.test",
                "*.a.b.shop.test",
                "not-the-host.b.shop.test",
                "b.shop.test",
                "*.shop.test",
                "*.test",
            ],
        );
        // One label; what begins with a hyphen; an address.
        check("box", &["xbox", "box.overhear.invalid", "bo", "ox", "not-the-host.box", "*.box"]);
        check("a-b.test", &["xa-b.test", "a-b.test.overhear.invalid", "a-b.tes", "a-b-test", "not-the-host.a-b.test", "*.a-b.test"]);
        check("192.0.2.7", &["x192.0.2.7", "192.0.2.7.overhear.invalid"]);
        check("2001:db8::7", &[]);
    }

    #[test]
    fn other_common_names() {
        let long = "a".repeat(60);
        for (host, expect) in [
            ("shop.test", "shop.test.overhear.invalid.xshop.test"),
            ("a-longer.name.of.a.shop.test", "a-longer.name.of.a.shop.test.overhear.invalid"),
            (long.as_str(), &format!("x{long}")),
            ("a-name-that-is-longer-than-a-common-name-may-be-in-a-certificate.test", OTHER),
        ] {
            assert_eq!(other_common(host), expect);
        }
    }
}
