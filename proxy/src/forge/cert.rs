//! A certificate as a list of fields, each of which can be set alone; written as DER and signed.

use std::net::IpAddr;

use policies::Time;
use time::OffsetDateTime;

use super::der;
use super::key::Key;
use crate::error::Error;

/// A subject or issuer: attribute OID's last arc under 2.5.4, and its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(pub Vec<(u8, String)>);

/// X.520 attribute types.
pub const COMMON_NAME: u8 = 3;
pub const ORGANIZATION: u8 = 10;

impl Name {
    pub fn common(cn: &str) -> Name {
        Name(vec![(COMMON_NAME, cn.to_owned())])
    }

    pub fn der(&self) -> Vec<u8> {
        let rdns: Vec<Vec<u8>> = self
            .0
            .iter()
            .map(|(attribute, text)| {
                let tag = if text.bytes().all(|b| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b)) {
                    der::PRINTABLE_STRING
                } else {
                    der::UTF8_STRING
                };
                let pair = der::seq(&[&der::oid(&[2, 5, 4, u128::from(*attribute)]), &der::tlv(tag, text.as_bytes())]);
                der::of(der::SET, &[&pair])
            })
            .collect();
        der::tlv(der::SEQUENCE, &rdns.concat())
    }
}

/// A subjectAltName.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum San {
    Dns(String),
    Ip(IpAddr),
}

impl San {
    /// An address if `host` is one, else a DNS name.
    pub fn of(host: &str) -> San {
        host.parse().map_or_else(|_| San::Dns(host.to_owned()), San::Ip)
    }
}

/// An extension: DER of its OID, criticality, DER of its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    pub oid: Vec<u8>,
    pub critical: bool,
    pub value: Vec<u8>,
}

/// What the certificate may do: KeyUsage bits (RFC 5280 §4.2.1.3), first bit = most significant.
pub const DIGITAL_SIGNATURE: u16 = 0x8000;
pub const KEY_ENCIPHERMENT: u16 = 0x2000;
pub const KEY_CERT_SIGN: u16 = 0x0400;
pub const CRL_SIGN: u16 = 0x0200;

/// id-kp arcs (RFC 5280 §4.2.1.12).
pub const SERVER_AUTH: u128 = 1;
pub const CLIENT_AUTH: u128 = 2;

/// An extension no software knows: under the enterprise number kept for examples (RFC 5612). Every arc fits 31 bits, since some
/// parsers refuse longer ones, and that would be a second defect.
const UNKNOWN: [u128; 8] = [1, 3, 6, 1, 4, 1, 32_473, 1];

/// The fields of a certificate to be made. Extensions stand in the order they are written.
#[derive(Clone, Debug)]
pub struct Template {
    pub serial: Vec<u8>,
    /// A Name, DER.
    pub subject: Vec<u8>,
    pub not_before: Time,
    pub not_after: Time,
    /// `None` leaves basicConstraints out.
    pub ca: Option<bool>,
    pub key_usage: u16,
    /// Empty leaves extendedKeyUsage out.
    pub purposes: Vec<u128>,
    /// Empty leaves subjectAltName out.
    pub names: Vec<San>,
    pub unknown_critical: bool,
    /// The key identifier said to be the issuer's; `None` for the one it has.
    pub issuer_id: Option<Vec<u8>>,
}

impl Template {
    /// Writes it for `subject_key` and signs it as `issuer` (a Name, DER).
    pub fn signed(&self, subject_key: &Key, issuer: &[u8], issuer_key: &Key) -> Result<Vec<u8>, Error> {
        let algorithm = issuer_key.algorithm();
        let tbs = der::seq(&[
            &der::of(0xa0, &[&der::uint(&[2])]),
            &der::uint(&self.serial),
            &algorithm,
            issuer,
            &der::seq(&[&moment(self.not_before), &moment(self.not_after)]),
            &self.subject,
            subject_key.spki(),
            &der::of(0xa3, &[&self.extensions(subject_key, issuer_key)]),
        ]);
        let signature = issuer_key.sign(&tbs)?;
        Ok(der::seq(&[&tbs, &algorithm, &der::bits(&signature)]))
    }

    fn extensions(&self, subject_key: &Key, issuer_key: &Key) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(ca) = self.ca {
            let value = if ca { der::seq(&[&der::tlv(der::BOOLEAN, &[0xff])]) } else { der::seq(&[]) };
            out.extend(extension(&[2, 5, 29, 19], true, &value));
        }
        if self.key_usage != 0 {
            let unused = self.key_usage.trailing_zeros().min(15);
            let bytes = self.key_usage.to_be_bytes();
            let len = if unused >= 8 { 1 } else { 2 };
            let mut content = vec![(unused % 8) as u8];
            content.extend(bytes.iter().take(len));
            out.extend(extension(&[2, 5, 29, 15], true, &der::tlv(der::BIT_STRING, &content)));
        }
        if !self.purposes.is_empty() {
            let purposes: Vec<u8> = self.purposes.iter().flat_map(|p| der::oid(&[1, 3, 6, 1, 5, 5, 7, 3, *p])).collect();
            out.extend(extension(&[2, 5, 29, 37], false, &der::tlv(der::SEQUENCE, &purposes)));
        }
        out.extend(extension(&[2, 5, 29, 14], false, &der::tlv(der::OCTET_STRING, &subject_key.key_id())));
        let issuer_id = self.issuer_id.clone().unwrap_or_else(|| issuer_key.key_id());
        out.extend(extension(&[2, 5, 29, 35], false, &der::seq(&[&der::tlv(0x80, &issuer_id)])));
        if !self.names.is_empty() {
            let names: Vec<u8> = self
                .names
                .iter()
                .flat_map(|name| match name {
                    San::Dns(name) => der::tlv(0x82, name.as_bytes()),
                    San::Ip(IpAddr::V4(ip)) => der::tlv(0x87, &ip.octets()),
                    San::Ip(IpAddr::V6(ip)) => der::tlv(0x87, &ip.octets()),
                })
                .collect();
            out.extend(extension(&[2, 5, 29, 17], false, &der::tlv(der::SEQUENCE, &names)));
        }
        if self.unknown_critical {
            out.extend(extension(&UNKNOWN, true, &der::tlv(der::NULL, &[])));
        }
        der::tlv(der::SEQUENCE, &out)
    }
}

/// An existing certificate with another public key in it and everything else, the signature too, as it was.
pub fn with_key(certificate: &[u8], key: &Key) -> Result<Vec<u8>, Error> {
    let broken = Error::Upstream("the server's certificate is not DER");
    let Some(whole) = der::read(certificate) else { return Err(broken) };
    let parts = der::elements(whole.content);
    let [tbs, algorithm, signature] = parts.as_slice() else { return Err(broken) };
    let fields = der::elements(tbs.content);
    // [0] version is absent in v1; the SPKI is the sixth field after it (RFC 5280 §4.1).
    let spki_at = if fields.first().is_some_and(|f| f.tag == 0xa0) { 6 } else { 5 };
    let mut out = Vec::with_capacity(tbs.content.len() + 64);
    for (i, field) in fields.iter().enumerate() {
        out.extend_from_slice(if i == spki_at { key.spki() } else { field.raw });
    }
    if fields.len() <= spki_at {
        return Err(broken);
    }
    Ok(der::seq(&[&der::tlv(der::SEQUENCE, &out), algorithm.raw, signature.raw]))
}

/// `certificate` with the lowest bit of the signature's last byte turned: the signature stays well formed and no longer fits.
pub fn with_bit_turned(mut certificate: Vec<u8>) -> Vec<u8> {
    if let Some(last) = certificate.last_mut() {
        *last ^= 1;
    }
    certificate
}

fn extension(arcs: &[u128], critical: bool, value: &[u8]) -> Vec<u8> {
    let oid = der::oid(arcs);
    let value = der::tlv(der::OCTET_STRING, value);
    if critical { der::seq(&[&oid, &der::tlv(der::BOOLEAN, &[0xff]), &value]) } else { der::seq(&[&oid, &value]) }
}

/// UTCTime up to 2049, GeneralizedTime after it (RFC 5280 §4.1.2.5).
fn moment(t: Time) -> Vec<u8> {
    let t = OffsetDateTime::from_unix_timestamp(t.0.div_euclid(1_000_000_000)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = (t.year(), u8::from(t.month()), t.day());
    let clock = format!("{:02}{:02}{:02}Z", t.hour(), t.minute(), t.second());
    if (1950..2050).contains(&year) {
        der::tlv(der::UTC_TIME, format!("{:02}{month:02}{day:02}{clock}", year.rem_euclid(100)).as_bytes())
    } else {
        der::tlv(der::GENERALIZED_TIME, format!("{year:04}{month:02}{day:02}{clock}").as_bytes())
    }
}
