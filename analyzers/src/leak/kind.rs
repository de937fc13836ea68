//! The types of identifier and personal value the engine tells apart.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a value is. Printed and written in kebab-case, the words of a persona file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// 15 digits, the last a Luhn check digit (3GPP TS 23.003, 6.2.1 and annex B).
    Imei,
    /// 14 digits of an IMEI and two of the software version (3GPP TS 23.003, 6.2.2).
    Imeisv,
    /// 14 or 15 digits, the first three a mobile country code (3GPP TS 23.003, 2.2).
    Imsi,
    Iccid,
    Eid,
    Meid,
    /// A telephone number (ITU-T E.164).
    Msisdn,
    /// A Wi-Fi or Ethernet address, 48 bits.
    Mac,
    BluetoothAddress,
    /// Address of an access point: locates whoever hears it.
    Bssid,
    /// Android's SSAID, 64 bits in hex.
    AndroidId,
    /// Advertising identifier (AAID, IDFA and the like), a UUID.
    AdId,
    /// Another identifier of the device, told by the name of its field.
    DeviceId,
    Serial,
    PushToken,
    Email,
    PersonName,
    Address,
    BirthDate,
    Username,
    Password,
    /// A secret in a form, a header or a token, not planted by a persona.
    Credential,
    /// A JSON Web Token.
    Jwt,
    /// Latitude and longitude, degrees.
    Position,
    Ssid,
    Card,
    HostName,
    Text,
}

impl Kind {
    pub const ALL: [Kind; 28] = [
        Kind::Imei,
        Kind::Imeisv,
        Kind::Imsi,
        Kind::Iccid,
        Kind::Eid,
        Kind::Meid,
        Kind::Msisdn,
        Kind::Mac,
        Kind::BluetoothAddress,
        Kind::Bssid,
        Kind::AndroidId,
        Kind::AdId,
        Kind::DeviceId,
        Kind::Serial,
        Kind::PushToken,
        Kind::Email,
        Kind::PersonName,
        Kind::Address,
        Kind::BirthDate,
        Kind::Username,
        Kind::Password,
        Kind::Credential,
        Kind::Jwt,
        Kind::Position,
        Kind::Ssid,
        Kind::Card,
        Kind::HostName,
        Kind::Text,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Imei => "imei",
            Kind::Imeisv => "imeisv",
            Kind::Imsi => "imsi",
            Kind::Iccid => "iccid",
            Kind::Eid => "eid",
            Kind::Meid => "meid",
            Kind::Msisdn => "msisdn",
            Kind::Mac => "mac",
            Kind::BluetoothAddress => "bluetooth-address",
            Kind::Bssid => "bssid",
            Kind::AndroidId => "android-id",
            Kind::AdId => "ad-id",
            Kind::DeviceId => "device-id",
            Kind::Serial => "serial",
            Kind::PushToken => "push-token",
            Kind::Email => "email",
            Kind::PersonName => "person-name",
            Kind::Address => "address",
            Kind::BirthDate => "birth-date",
            Kind::Username => "username",
            Kind::Password => "password",
            Kind::Credential => "credential",
            Kind::Jwt => "jwt",
            Kind::Position => "position",
            Kind::Ssid => "ssid",
            Kind::Card => "card",
            Kind::HostName => "host-name",
            Kind::Text => "text",
        }
    }

    pub fn parse(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Secrets are never compared without regard to case, and never named in part.
    pub fn is_secret(self) -> bool {
        matches!(self, Kind::Password | Kind::Credential | Kind::Jwt | Kind::PushToken)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_there_and_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).ok(), Some(serde_json::Value::from(kind.as_str())));
        }
        assert_eq!(Kind::parse("IMEI"), None);
    }
}
