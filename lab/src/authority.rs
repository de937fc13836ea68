//! The lab's "public" authority: root, intermediate, and a leaf for every name on demand.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_RSA_SHA256, PublicKeyData, RsaKeySize, SanType,
};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use time::{Duration, OffsetDateTime};

use crate::{Fault, pem};

/// What a leaf is for one name; the same for the life of the authority.
#[derive(Debug)]
pub struct Leaf {
    /// Leaf, then intermediate; the root stays at home, as on the Internet.
    pub certified: Arc<CertifiedKey>,
    /// The same for who takes RSA alone; made when the first such client comes.
    rsa: OnceLock<Arc<CertifiedKey>>,
    /// Base64 SHA-256 of the leaf's key.
    pub pin: String,
}

/// Issues P-256 leaves like a public authority of today: DNS or address in the SAN, serverAuth, well under 90 days.
#[derive(Debug)]
pub struct Authority {
    root: CertificateDer<'static>,
    intermediate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    made: OffsetDateTime,
    leaves: Mutex<HashMap<String, Arc<Leaf>>>,
    /// One RSA key for all names, for such a key takes some 70 ms to make.
    rsa: OnceLock<Vec<u8>>,
}

impl Authority {
    /// `now` bounds what is issued; a run longer than the leaves' validity needs a new authority.
    pub fn new(now: OffsetDateTime) -> Result<Self, Fault> {
        let what = "making the lab's authority";
        // UTCTime knows no fraction of a second, and yasna insists.
        let made = now.replace_nanosecond(0).unwrap_or(now);
        let root_key = KeyPair::generate().map_err(Fault::odd(what))?;
        let root_params = ca_params("Overhear Lab Public Root", made, 3650, BasicConstraints::Unconstrained)?;
        let root = root_params.self_signed(&root_key).map_err(Fault::odd(what))?;
        let root_issuer = Issuer::new(root_params, root_key);
        let key = KeyPair::generate().map_err(Fault::odd(what))?;
        let params = ca_params("Overhear Lab Public Intermediate", made, 1825, BasicConstraints::Constrained(0))?;
        let intermediate = params.signed_by(&key, &root_issuer).map_err(Fault::odd(what))?;
        Ok(Self {
            root: root.der().clone(),
            intermediate: intermediate.der().clone(),
            issuer: Issuer::new(params, key),
            made,
            leaves: Mutex::default(),
            rsa: OnceLock::new(),
        })
    }

    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    pub fn root_pem(&self) -> String {
        pem::certificate(&self.root)
    }

    /// The leaf of `name` (a host name or an address literal).
    pub fn leaf(&self, name: &str) -> Result<Arc<Leaf>, Fault> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leaf) = leaves.get(&name) {
            return Ok(Arc::clone(leaf));
        }
        let leaf = Arc::new(self.issue(&name)?);
        if leaves.len() < NAMES {
            leaves.insert(name, Arc::clone(&leaf));
        }
        Ok(leaf)
    }

    /// The leaf of `name` with an RSA key, as servers have it beside the other for old clients.
    pub fn rsa(&self, name: &str, leaf: &Leaf) -> Result<Arc<CertifiedKey>, Fault> {
        if let Some(made) = leaf.rsa.get() {
            return Ok(Arc::clone(made));
        }
        let what = "making an RSA key";
        let pkcs8 = match self.rsa.get() {
            Some(pkcs8) => pkcs8,
            None => {
                let fresh = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(Fault::odd(what))?;
                self.rsa.get_or_init(|| fresh.serialize_der())
            }
        };
        let key = KeyPair::try_from(pkcs8.as_slice()).map_err(Fault::odd(what))?;
        let made = Arc::new(self.certified(name, &key)?);
        Ok(Arc::clone(leaf.rsa.get_or_init(|| made)))
    }

    fn issue(&self, name: &str) -> Result<Leaf, Fault> {
        let key = KeyPair::generate().map_err(Fault::odd("issuing a lab leaf"))?;
        let pin = pem::pin(&key.subject_public_key_info());
        Ok(Leaf { certified: Arc::new(self.certified(name, &key)?), rsa: OnceLock::new(), pin })
    }

    fn certified(&self, name: &str, key: &KeyPair) -> Result<CertifiedKey, Fault> {
        let what = "issuing a lab leaf";
        let mut params = CertificateParams::default();
        let san = match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.try_into().map_err(Fault::odd(what))?),
        };
        params.subject_alt_names = vec![san];
        params.distinguished_name = DistinguishedName::new();
        if name.len() <= COMMON_NAME {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.not_before = self.made - Duration::days(1);
        params.not_after = self.made + Duration::days(LEAF_DAYS);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let cert = params.signed_by(key, &self.issuer).map_err(Fault::odd(what))?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signer = any_supported_type(&private).map_err(Fault::odd(what))?;
        Ok(CertifiedKey::new(vec![cert.der().clone(), self.intermediate.clone()], signer))
    }
}

fn ca_params(name: &str, made: OffsetDateTime, days: i64, constraints: BasicConstraints) -> Result<CertificateParams, Fault> {
    let mut params = CertificateParams::new(Vec::<String>::new()).map_err(Fault::odd("making the lab's authority"))?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, "Overhear Lab");
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.not_before = made - Duration::days(30);
    params.not_after = made + Duration::days(days);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Names whose keys are remembered. A device that asks for more gets fresh keys for the rest.
const NAMES: usize = 4096;
/// X.520 upper bound of a common name.
const COMMON_NAME: usize = 64;
/// Below every limit a client could know of (398, 200, 100, 90 days); long enough for any run.
const LEAF_DAYS: i64 = 60;
