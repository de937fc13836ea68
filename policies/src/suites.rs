//! The TLS versions and suites a policy agrees to.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A cipher suite by its number in IANA's registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suite(pub u16);

impl Suite {
    /// IANA's name, for the suites a policy may sensibly agree to.
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(id, _)| *id == self.0).map(|(_, name)| *name)
    }
}

/// Forward secrecy and authenticated encryption, full-length tags: what BCP 195 (RFC 9325 §4.2) recommends for TLS 1.2, TLS 1.3's own
/// (RFC 8446 §B.4) and the ChaCha20 suites (RFC 7905). A scheme that wants AES only, as SOG-IS's agreed mechanisms, lists its own.
const NAMES: &[(u16, &str)] = &[
    (0x1301, "TLS_AES_128_GCM_SHA256"),
    (0x1302, "TLS_AES_256_GCM_SHA384"),
    (0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
    (0x1304, "TLS_AES_128_CCM_SHA256"),
    (0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    (0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    (0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0xc0ac, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM"),
    (0xc0ad, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM"),
    (0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
];

impl FromStr for Suite {
    type Err = String;

    /// IANA's name, or the number as `0x1301`.
    fn from_str(text: &str) -> Result<Suite, String> {
        if let Some((id, _)) = NAMES.iter().find(|(_, name)| *name == text) {
            return Ok(Suite(*id));
        }
        let number = text.strip_prefix("0x").filter(|h| h.len() == 4).and_then(|h| u16::from_str_radix(h, 16).ok());
        number
            .map(Suite)
            .ok_or_else(|| format!("'{}' is not a suite known by name: write its IANA number, for example 0x1301", text.escape_debug()))
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "{:#06x}", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Suite {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Suite, D::Error> {
        <std::borrow::Cow<'de, str>>::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Suite {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl JsonSchema for Suite {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Suite".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "IANA's name, or the number as 0x1301" })
    }
}

/// A version of TLS by its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    #[serde(rename = "tls1.2")]
    Tls12,
    #[serde(rename = "tls1.3")]
    Tls13,
}

impl TlsVersion {
    pub fn wire(self) -> u16 {
        match self {
            TlsVersion::Tls12 => 0x0303,
            TlsVersion::Tls13 => 0x0304,
        }
    }
}

/// What a policy agrees to on TLS channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsTerms {
    /// The oldest version allowed; RFC 8996 forbids what is older than TLS 1.2.
    pub oldest: TlsVersion,
    pub suites: Vec<Suite>,
}

impl Default for TlsTerms {
    fn default() -> TlsTerms {
        TlsTerms { oldest: TlsVersion::Tls12, suites: NAMES.iter().map(|(id, _)| Suite(*id)).collect() }
    }
}

impl TlsTerms {
    pub fn allows_suite(&self, id: u16) -> bool {
        self.suites.contains(&Suite(id))
    }

    /// `wire` is the version's number, 0x0303 for TLS 1.2; drafts and GREASE are not versions and must not come here.
    pub fn allows_version(&self, wire: u16) -> bool {
        matches!(wire, 0x0303 | 0x0304) && wire >= self.oldest.wire()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn suites() {
        for (text, id) in [("TLS_AES_128_GCM_SHA256", 0x1301), ("0xc02f", 0xc02f), ("0x00ff", 0xff)] {
            assert_eq!(text.parse::<Suite>(), Ok(Suite(id)));
        }
        assert!("TLS_NULL".parse::<Suite>().is_err() && "0x1".parse::<Suite>().is_err());
        for suite in TlsTerms::default().suites {
            assert_eq!(suite.to_string().parse(), Ok(suite));
        }
        assert_eq!(Suite(0x0005).to_string(), "0x0005");
    }

    #[test]
    fn terms() {
        let terms = TlsTerms::default();
        // RC4, CBC with static RSA, CBC with ECDHE, null; then the truncated tag of CCM_8.
        for id in [0x0005, 0x002f, 0xc013, 0x0000, 0xc0ae] {
            assert!(!terms.allows_suite(id), "{id:#x}");
        }
        for (version, expect) in [(0x0300, false), (0x0302, false), (0x0303, true), (0x0304, true), (0x7f1c, false), (0xfeff, false)] {
            assert_eq!(terms.allows_version(version), expect, "{version:#x}");
        }
        assert!(!TlsTerms { oldest: TlsVersion::Tls13, ..terms }.allows_version(0x0303));
    }
}
