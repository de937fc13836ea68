//! What a certificate says: names, dates, keys. Nothing here checks a signature or a date.

use std::net::IpAddr;

use policies::Time;
use x509_parser::extensions::ExtendedKeyUsage;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate, X509Name};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::encode::{Digest, base64, hex, sha256};
use crate::observation::Certificate;
use crate::text::{Text, Veil};

/// More names than this are counted, not listed: the largest certificate of a content network seen holds about 100.
const NAMES: usize = 256;
/// So many purposes and extensions that nobody knows are listed.
const FEW: usize = 16;

/// Reads one DER certificate. Never fails: what cannot be read stands in `odd`.
pub fn read(der: &[u8], veil: &dyn Veil) -> Certificate {
    let mut out = Certificate {
        sha256: Digest::of(der),
        len: der.len() as u32,
        subject: Text::default(),
        issuer: Text::default(),
        names: Vec::new(),
        not_before: None,
        not_after: None,
        serial: Text::default(),
        key: Text::default(),
        signature: Text::default(),
        ca: false,
        self_issued: false,
        purposes: Vec::new(),
        critical: Vec::new(),
        spki: Text::default(),
        odd: Vec::new(),
    };
    let (rest, cert) = match X509Certificate::from_der(der) {
        Ok(read) => read,
        Err(error) => {
            let detail = format!("unreadable: {error}");
            out.odd.push(Text::ours(detail));
            return out;
        }
    };
    if !rest.is_empty() {
        out.odd.push(Text::ours(format!("{} bytes after the certificate", rest.len())));
    }
    out.subject = Text::veiled(name(cert.subject()).as_bytes(), veil);
    out.issuer = Text::veiled(name(cert.issuer()).as_bytes(), veil);
    out.self_issued = cert.subject().as_raw() == cert.issuer().as_raw();
    out.serial = Text::ours(hex(cert.raw_serial()));
    out.not_before = Some(time(cert.validity().not_before.timestamp(), "not before", &mut out.odd));
    out.not_after = Some(time(cert.validity().not_after.timestamp(), "not after", &mut out.odd));
    out.key = Text::ours(key(cert.public_key()));
    out.spki = Text::ours(base64(&sha256(cert.public_key().raw)));
    out.signature = Text::ours(signature(&cert));
    match cert.basic_constraints() {
        Ok(found) => out.ca = found.is_some_and(|e| e.value.ca),
        Err(_) => out.odd.push(Text::ours("basic constraints twice")),
    }
    let mut more = 0;
    for ext in cert.extensions() {
        // All that RFC 5280 §4.2 defines and more stands below this arc.
        if ext.critical && out.critical.len() < FEW && !ext.oid.to_id_string().starts_with("2.5.29.") {
            out.critical.push(Text::ours(ext.oid.to_id_string()));
        }
        match ext.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(san) => {
                for general in &san.general_names {
                    if out.names.len() < NAMES {
                        out.names.extend(alternative(general, veil));
                    } else {
                        more += 1;
                    }
                }
            }
            ParsedExtension::ExtendedKeyUsage(usage) => out.purposes = purposes(usage),
            ParsedExtension::ParseError { .. } => out.odd.push(Text::ours(format!("extension {} unreadable", ext.oid))),
            _ => {}
        }
        if out.odd.len() > 16 {
            break;
        }
    }
    if more > 0 {
        out.odd.push(Text::ours(format!("{more} names more")));
    }
    out
}

/// RFC 5280 §4.2.1.12.
fn purposes(usage: &ExtendedKeyUsage<'_>) -> Vec<Text> {
    let known = [
        (usage.any, "any"),
        (usage.server_auth, "server"),
        (usage.client_auth, "client"),
        (usage.code_signing, "code-signing"),
        (usage.email_protection, "email"),
        (usage.time_stamping, "time-stamping"),
        (usage.ocsp_signing, "ocsp-signing"),
    ];
    let known = known.into_iter().filter(|(has, _)| *has).map(|(_, word)| Text::ours(word));
    known.chain(usage.other.iter().map(|oid| Text::ours(oid.to_id_string()))).take(FEW).collect()
}

fn time(secs: i64, which: &str, odd: &mut Vec<Text>) -> Time {
    let time = Time::from_secs(secs);
    if time == Time::MAX || time == Time::MIN {
        // Our times are nanoseconds in 64 bits: 1677 to 2262.
        odd.push(Text::ours(format!("{which} is {secs} seconds from 1970, beyond what is kept")));
    }
    time
}

fn alternative(general: &GeneralName<'_>, veil: &dyn Veil) -> Option<Text> {
    Some(match general {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => Text::veiled(name.as_bytes(), veil),
        GeneralName::IPAddress(bytes) => {
            let addr = match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(IpAddr::from),
                16 => <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from),
                _ => None,
            };
            addr.map_or_else(|| Text::ours(format!("ip:{}", hex(bytes))), |addr| Text::ours(addr.to_string()))
        }
        GeneralName::DirectoryName(name) => Text::veiled(self::name(name).as_bytes(), veil),
        _ => return None,
    })
}

/// A distinguished name as RFC 4514 writes it: last RDN first, `+` inside an RDN, short words for its table of attributes, else the OID.
fn name(name: &X509Name<'_>) -> String {
    let mut rdns: Vec<_> = name.iter().collect();
    rdns.reverse();
    let mut out = String::new();
    for (i, rdn) in rdns.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        for (j, attribute) in rdn.iter().enumerate() {
            if j > 0 {
                out.push('+');
            }
            let oid = attribute.attr_type().to_id_string();
            out.push_str(SHORT.iter().find(|(id, _)| *id == oid).map_or(oid.as_str(), |(_, short)| short));
            out.push('=');
            value(attribute, &mut out);
        }
    }
    out
}

/// RFC 4514 §3.
const SHORT: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

fn value(attribute: &x509_parser::x509::AttributeTypeAndValue<'_>, out: &mut String) {
    let any = attribute.attr_value();
    let bytes = any.data;
    let text: std::borrow::Cow<'_, str> = match any.tag().0 {
        // BMPString and UniversalString: two and four bytes a character.
        30 => char::decode_utf16(bytes.chunks_exact(2).map(|c| u16::from_be_bytes([c[0], c[1]])))
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect::<String>()
            .into(),
        28 => bytes
            .chunks_exact(4)
            .map(|c| char::from_u32(u32::from_be_bytes([c[0], c[1], c[2], c[3]])).unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect::<String>()
            .into(),
        // Bit strings and what is no string at all.
        3 | 4 | 16 | 17 => format!("#{}", hex(bytes)).into(),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            // TeletexString, in practice Latin-1.
            Err(_) => bytes.iter().map(|b| char::from(*b)).collect::<String>().into(),
        },
    };
    let last = text.chars().count().saturating_sub(1);
    for (i, c) in text.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.push('\\'),
            '#' | ' ' if i == 0 => out.push('\\'),
            ' ' if i == last => out.push('\\'),
            '\0' => {
                out.push_str("\\00");
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
}

fn key(spki: &SubjectPublicKeyInfo<'_>) -> String {
    let oid = spki.algorithm.algorithm.to_id_string();
    match oid.as_str() {
        "1.3.101.112" => return "ed25519".to_owned(),
        "1.3.101.113" => return "ed448".to_owned(),
        _ => {}
    }
    match spki.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("rsa-{}", bits(rsa.modulus)),
        Ok(PublicKey::EC(_)) => {
            let curve = spki.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok()).map(|o| o.to_id_string());
            match curve.as_deref() {
                Some("1.2.840.10045.3.1.1") => "ec-p192".to_owned(),
                Some("1.3.132.0.33") => "ec-p224".to_owned(),
                Some("1.2.840.10045.3.1.7") => "ec-p256".to_owned(),
                Some("1.3.132.0.34") => "ec-p384".to_owned(),
                Some("1.3.132.0.35") => "ec-p521".to_owned(),
                Some("1.3.132.0.10") => "ec-secp256k1".to_owned(),
                Some(other) => format!("ec-{other}"),
                None => "ec-explicit".to_owned(),
            }
        }
        // The length of y is within a byte of the prime's.
        Ok(PublicKey::DSA(y)) => format!("dsa-{}", bits(y).div_ceil(64) * 64),
        _ => oid,
    }
}

/// Bits of a big-endian number.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|b| **b == 0).count();
    let number = &number[zeros..];
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn signature(cert: &X509Certificate<'_>) -> String {
    let oid = cert.signature_algorithm.algorithm.to_id_string();
    SIGNATURES.iter().find(|(id, _)| *id == oid).map_or(oid, |(_, word)| (*word).to_owned())
}

/// RFC 8017, 5758, 8410, 3279.
const SIGNATURES: [(&str, &str); 19] = [
    ("1.2.840.113549.1.1.2", "rsa-md2"),
    ("1.2.840.113549.1.1.4", "rsa-md5"),
    ("1.2.840.113549.1.1.5", "rsa-sha1"),
    ("1.3.14.3.2.29", "rsa-sha1"),
    ("1.2.840.113549.1.1.14", "rsa-sha224"),
    ("1.2.840.113549.1.1.11", "rsa-sha256"),
    ("1.2.840.113549.1.1.12", "rsa-sha384"),
    ("1.2.840.113549.1.1.13", "rsa-sha512"),
    ("1.2.840.113549.1.1.10", "rsa-pss"),
    ("1.2.840.10045.4.1", "ecdsa-sha1"),
    ("1.2.840.10045.4.3.1", "ecdsa-sha224"),
    ("1.2.840.10045.4.3.2", "ecdsa-sha256"),
    ("1.2.840.10045.4.3.3", "ecdsa-sha384"),
    ("1.2.840.10045.4.3.4", "ecdsa-sha512"),
    ("1.3.101.112", "ed25519"),
    ("1.3.101.113", "ed448"),
    ("1.2.840.10040.4.3", "dsa-sha1"),
    ("2.16.840.1.101.3.4.3.1", "dsa-sha224"),
    ("2.16.840.1.101.3.4.3.2", "dsa-sha256"),
];
