//! The types of personal data and identifiers the house knows by name (a persona's `type`, a hit's `type`).

mod valid;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use valid::{Fault, check, luhn, luhn_digit};

macro_rules! identifier_types {
    ($( $(#[$doc:meta])* $variant:ident = $word:literal, )*) => {
        /// A type of personal datum or identifier. Its word decides which normal forms and encodings are looked for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum IdentifierType { $( $(#[$doc])* #[serde(rename = $word)] $variant, )* }

        impl IdentifierType {
            pub const ALL: &'static [IdentifierType] = &[ $( IdentifierType::$variant, )* ];

            pub fn word(self) -> &'static str {
                match self { $( IdentifierType::$variant => $word, )* }
            }
        }
    };
}

identifier_types! {
    /// 15 digits with a Luhn check digit (3GPP TS 23.003).
    Imei = "imei",
    Imsi = "imsi",
    Iccid = "iccid",
    /// eSIM identifier, 32 digits.
    Eid = "eid",
    Meid = "meid",
    /// A telephone number in E.164 form.
    Msisdn = "msisdn",
    /// Wi-Fi or Ethernet address.
    Mac = "mac",
    BluetoothMac = "bluetooth-mac",
    /// Android's SSAID, 16 hex digits.
    AndroidId = "android-id",
    /// Advertising identifier (AAID, IDFA), a UUID.
    AdId = "ad-id",
    /// Vendor or app-instance identifier, a UUID or token.
    DeviceId = "device-id",
    PushToken = "push-token",
    Serial = "serial",
    DeviceModel = "device-model",
    Build = "build",
    Email = "email",
    PersonName = "person-name",
    UserName = "user-name",
    Password = "password",
    /// A session cookie, bearer token, API key or the like.
    Token = "token",
    PostalAddress = "postal-address",
    BirthDate = "birth-date",
    /// `latitude,longitude` in decimal degrees.
    Position = "position",
    Ssid = "ssid",
    Bssid = "bssid",
    CellId = "cell-id",
    /// The name a device gives itself on the local network.
    HostName = "hostname",
    /// An entry of the address book: telephone number, e-mail address or name.
    Contact = "contact",
    PaymentCard = "payment-card",
    Iban = "iban",
    NationalId = "national-id",
    Biometric = "biometric",
    /// Any other planted text.
    Text = "text",
}

impl IdentifierType {
    pub fn parse(word: &str) -> Option<IdentifierType> {
        IdentifierType::ALL.iter().copied().find(|t| t.word() == word)
    }
}

impl fmt::Display for IdentifierType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What a value tells about, in the division the leak checks use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// The device, its subscription or its software: links its user over time and places.
    Device,
    Person,
    /// Proof of being somebody: user name and password.
    Credential,
    /// Proof of an open session.
    Session,
    /// Where the device or person is.
    Place,
}

impl IdentifierType {
    pub fn about(self) -> About {
        use IdentifierType as T;
        match self {
            T::Imei
            | T::Imsi
            | T::Iccid
            | T::Eid
            | T::Meid
            | T::Mac
            | T::BluetoothMac
            | T::AndroidId
            | T::AdId
            | T::DeviceId
            | T::PushToken
            | T::Serial
            | T::DeviceModel
            | T::Build
            | T::HostName => About::Device,
            T::Msisdn
            | T::Email
            | T::PersonName
            | T::PostalAddress
            | T::BirthDate
            | T::Contact
            | T::PaymentCard
            | T::Iban
            | T::NationalId
            | T::Biometric
            | T::Text => About::Person,
            T::UserName | T::Password => About::Credential,
            T::Token => About::Session,
            T::Position | T::Ssid | T::Bssid | T::CellId => About::Place,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_files() {
        for kind in IdentifierType::ALL.iter().copied() {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
            assert_eq!(IdentifierType::parse(kind.word()), Some(kind));
        }
        assert_eq!(IdentifierType::parse("IMEI"), None);
    }
}
