//! What makes a planted value of each type good enough to prove a leak: its shape, its check digits, its rarity.

use crate::IdentifierType;

/// Why a value will not do, and what would. Neither ever repeats the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub what: String,
    pub help: &'static str,
}

fn fault(what: impl Into<String>, help: &'static str) -> Result<(), Fault> {
    Err(Fault { what: what.into(), help })
}

/// Whether `value` has the shape of its type and is rare enough that meeting it by chance is out of the question.
pub fn check(kind: IdentifierType, value: &str) -> Result<(), Fault> {
    if value.trim() != value || value.chars().any(char::is_control) {
        return fault("the value has blanks at its ends or control characters", "write it exactly as the device shows it");
    }
    if value.is_empty() {
        return fault("the value is empty", "");
    }
    match kind {
        IdentifierType::Imei => imei(value),
        IdentifierType::Imsi => digits(value, 14..=15, "an IMSI has 14 or 15 digits: country, network, subscriber"),
        IdentifierType::Iccid => iccid(value),
        IdentifierType::Eid => eid(value),
        IdentifierType::Meid => meid(value),
        IdentifierType::Msisdn => msisdn(value),
        IdentifierType::Mac | IdentifierType::BluetoothMac | IdentifierType::Bssid => link_address(value),
        IdentifierType::AndroidId => hex(value, &[16], "an Android id has 16 hex digits"),
        IdentifierType::AdId => uuid(value),
        IdentifierType::DeviceId => long_enough(value, 12, 5),
        IdentifierType::PushToken => long_enough(value, 32, 8),
        IdentifierType::Serial => serial(value),
        IdentifierType::Email => email(value),
        IdentifierType::BirthDate => date(value),
        IdentifierType::PostalAddress => postal_address(value),
        IdentifierType::UserName | IdentifierType::HostName | IdentifierType::DeviceModel => long_enough(value, 6, 4),
        IdentifierType::Ssid => ssid(value),
        IdentifierType::Token => long_enough(value, 16, 6),
        IdentifierType::Position => position(value),
        IdentifierType::PaymentCard => payment_card(value),
        IdentifierType::Iban => iban(value),
        IdentifierType::NationalId => long_enough(value, 8, 3),
        IdentifierType::CellId => cell_id(value),
        IdentifierType::Contact if value.contains('@') => email(value),
        IdentifierType::Contact if value.starts_with('+') => msisdn(value),
        IdentifierType::Contact | IdentifierType::PersonName => person_name(value),
        IdentifierType::Password | IdentifierType::Build | IdentifierType::Biometric | IdentifierType::Text => long_enough(value, 8, 5),
    }
}

/// The Luhn sum (ISO/IEC 7812-1 annex B) over ASCII digits, the last one being the check digit.
pub fn luhn(digits: &str) -> bool {
    let mut sum = 0;
    for (place, b) in digits.bytes().rev().enumerate() {
        if !b.is_ascii_digit() {
            return false;
        }
        let d = u32::from(b - b'0');
        sum += match (place % 2, d) {
            (0, d) => d,
            (_, d) if d < 5 => d * 2,
            (_, d) => d * 2 - 9,
        };
    }
    !digits.is_empty() && sum % 10 == 0
}

/// The check digit that completes `body`, or `None` if it is not all digits.
pub fn luhn_digit(body: &str) -> Option<char> {
    ('0'..='9').find(|d| luhn(&format!("{body}{d}")))
}

/// Remainder by 97 of a number written in digits and letters, A = 10 … Z = 35 (ISO 7064 MOD 97-10 as used by IBAN and EID).
fn mod_97(mut text: impl Iterator<Item = char>) -> Option<u32> {
    text.try_fold(0, |rest, c| {
        let d = c.to_digit(36)?;
        Some((rest * if d > 9 { 100 } else { 10 } + d) % 97)
    })
}

fn imei(value: &str) -> Result<(), Fault> {
    let plain: String = value.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    digits(&plain, 15..=15, "an IMEI has 15 digits; dial *#06# to see it")?;
    if !luhn(&plain) {
        return fault("the last digit is not the check digit of this IMEI", "compare with *#06#; a digit is mistyped");
    }
    distinct(&plain, 3)
}

fn iccid(value: &str) -> Result<(), Fault> {
    let plain = value.strip_suffix(['F', 'f']).unwrap_or(value);
    digits(plain, 19..=20, "an ICCID has 19 or 20 digits and begins with 89")?;
    if !plain.starts_with("89") {
        return fault("an ICCID begins with 89", "the number printed on the card");
    }
    if !luhn(plain) {
        return fault("the last digit is not the check digit of this ICCID", "compare with the card; a digit is mistyped");
    }
    Ok(())
}

fn eid(value: &str) -> Result<(), Fault> {
    digits(value, 32..=32, "an EID has 32 digits and begins with 89")?;
    if mod_97(value.chars()) != Some(1) {
        return fault("the last two digits are not the check digits of this EID", "compare with the settings page; a digit is mistyped");
    }
    Ok(())
}

fn meid(value: &str) -> Result<(), Fault> {
    if value.len() == 18 && value.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(());
    }
    hex(value, &[14], "a MEID has 14 hex digits or 18 decimal digits")
}

fn msisdn(value: &str) -> Result<(), Fault> {
    let plain: String = value.chars().filter(|c| !matches!(c, '-' | ' ' | '(' | ')')).collect();
    let Some(number) = plain.strip_prefix('+') else {
        return fault("a telephone number must be in international form", "for example +491711234567; national forms are derived from it");
    };
    digits(number, 8..=15, "an international number has 8 to 15 digits (ITU-T E.164)")?;
    if number.starts_with('0') {
        return fault("no country code begins with 0", "leave out the 0 after the +");
    }
    distinct(number, 3)
}

fn link_address(value: &str) -> Result<(), Fault> {
    let plain: String = match value.len() {
        17 if value.bytes().skip(2).step_by(3).all(|b| b == b':' || b == b'-') => {
            value.chars().filter(|c| !matches!(c, ':' | '-')).collect()
        }
        _ => value.to_owned(),
    };
    hex(&plain, &[12], "six bytes in hex, for example 3c:07:54:12:34:56")?;
    if plain.chars().nth(1).and_then(|c| c.to_digit(16)).is_some_and(|d| d & 1 == 1) {
        return fault("this is a group address", "a device's own address has an even second digit");
    }
    Ok(())
}

fn uuid(value: &str) -> Result<(), Fault> {
    let parts: Vec<&str> = value.split('-').collect();
    if parts.iter().map(|p| p.len()).ne([8, 4, 4, 4, 12]) {
        return fault("this is not a UUID", "8-4-4-4-12 hex digits; all zero means that the user opted out, which is no identifier");
    }
    hex(&parts.concat(), &[32], "8-4-4-4-12 hex digits")
}

fn serial(value: &str) -> Result<(), Fault> {
    if !value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return fault("a serial number has letters, digits and hyphens only", "");
    }
    long_enough(value, 8, 4)
}

fn email(value: &str) -> Result<(), Fault> {
    const HELP: &str = "for example anna.quist@example.org";
    let Some((local, domain)) = value.rsplit_once('@') else { return fault("an e-mail address has an @", HELP) };
    let label = |l: &str| {
        !l.is_empty() && l.len() < 64 && !l.starts_with('-') && !l.ends_with('-') && l.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    if local.is_empty() || local.len() > 64 || local.contains(['@', ' ', '"', ',', ';', '<', '>']) {
        return fault("the part before the @ is not that of an e-mail address", HELP);
    }
    if !domain.contains('.') || !domain.split('.').all(label) {
        return fault("the part after the @ is not a domain name", HELP);
    }
    if local.chars().count() < 4 {
        return fault(
            "the part before the @ is too short to be told from others",
            "at least 4 characters; use an address made for this test",
        );
    }
    Ok(())
}

fn person_name(value: &str) -> Result<(), Fault> {
    let letters = value.chars().filter(|c| c.is_alphabetic()).count();
    if value.chars().any(|c| c.is_ascii_digit() || c == '@') {
        return fault("a name has no digits and no @", "use type \"user-name\" or \"email\"");
    }
    if letters < 7 {
        return fault(
            format!("{letters} letters are too few to prove anything: such a name turns up by chance"),
            "at least 7: first and last name together, and a rare one",
        );
    }
    common(value)
}

fn date(value: &str) -> Result<(), Fault> {
    const HELP: &str = "for example 1987-03-02; other orders are derived";
    let parts: Vec<&str> = value.split('-').collect();
    let [y, m, d] = parts.as_slice() else { return fault("a date is written year-month-day", HELP) };
    if y.len() != 4 || m.len() != 2 || d.len() != 2 {
        return fault("a date is written year-month-day", HELP);
    }
    let month = m.parse::<u8>().ok().and_then(|m| time::Month::try_from(m).ok());
    let date = match (y.parse(), month, d.parse()) {
        (Ok(y), Some(m), Ok(d)) => time::Date::from_calendar_date(y, m, d).ok(),
        _ => None,
    };
    match date {
        Some(date) if (1900..=2100).contains(&date.year()) => Ok(()),
        _ => fault("there is no such day", HELP),
    }
}

/// Country, network, area and cell as in a cell's global identity (3GPP TS 23.003 §4.3.1): a single number is met by chance.
fn cell_id(value: &str) -> Result<(), Fault> {
    const HELP: &str = "country-network-area-cell, for example 001-01-4711-1234567";
    let parts: Vec<&str> = value.split('-').collect();
    if parts.len() != 4 || !parts.iter().all(|p| !p.is_empty() && p.len() <= 10 && p.bytes().all(|b| b.is_ascii_digit())) {
        return fault("a cell is four numbers with hyphens between", HELP);
    }
    distinct(value, 4)
}

fn postal_address(value: &str) -> Result<(), Fault> {
    if !value.chars().any(|c| c.is_ascii_digit()) || !value.chars().any(char::is_alphabetic) {
        return fault("an address has a name and a number", "street and house number, or postcode and town");
    }
    long_enough(value, 10, 6)
}

fn ssid(value: &str) -> Result<(), Fault> {
    if value.len() > 32 {
        return fault("a network name has at most 32 bytes (IEEE 802.11)", "");
    }
    long_enough(value, 6, 4)
}

fn position(value: &str) -> Result<(), Fault> {
    const HELP: &str = "latitude,longitude in decimal degrees with at least 3 decimals, for example 47.39774,8.54551";
    let Some((lat, lon)) = value.split_once(',') else { return fault("a position is two numbers with a comma between", HELP) };
    for (part, limit, what) in [(lat.trim(), 90.0, "latitude"), (lon.trim(), 180.0, "longitude")] {
        let plain = part.strip_prefix('-').unwrap_or(part);
        let Some((whole, fraction)) = plain.split_once('.') else { return fault(format!("the {what} has no decimals"), HELP) };
        let number = (!whole.is_empty() && whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()))
            .then(|| plain.parse::<f64>().ok())
            .flatten();
        if !number.is_some_and(|n| n <= limit) {
            return fault(format!("the {what} is not a number between -{limit} and {limit}"), HELP);
        }
        if fraction.len() < 3 || fraction.bytes().all(|b| b == b'0') {
            return fault(format!("the {what} has too few decimals: 3 are about 100 m, fewer turn up by chance"), HELP);
        }
    }
    Ok(())
}

fn payment_card(value: &str) -> Result<(), Fault> {
    let plain: String = value.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    digits(&plain, 13..=19, "a card number has 13 to 19 digits")?;
    if !luhn(&plain) {
        return fault("the last digit is not the check digit of this card number", "a digit is mistyped");
    }
    distinct(&plain, 3)
}

fn iban(value: &str) -> Result<(), Fault> {
    let plain: String = value.chars().filter(|c| *c != ' ').collect();
    let shape = (15..=34).contains(&plain.len()) && plain.is_ascii() && plain.bytes().take(2).all(|b| b.is_ascii_uppercase());
    if !shape || mod_97(plain.chars().skip(4).chain(plain.chars().take(4))) != Some(1) {
        return fault("this is not an IBAN, or its check digits are wrong", "country, two check digits, account; as printed on the card");
    }
    Ok(())
}

fn digits(value: &str, length: std::ops::RangeInclusive<usize>, help: &'static str) -> Result<(), Fault> {
    if !value.bytes().all(|b| b.is_ascii_digit()) {
        return fault("the value has other characters than digits", help);
    }
    if !length.contains(&value.len()) {
        return fault(format!("the value has {} digits", value.len()), help);
    }
    distinct(value, 2)
}

fn hex(value: &str, lengths: &[usize], help: &'static str) -> Result<(), Fault> {
    if !value.bytes().all(|b| b.is_ascii_hexdigit()) {
        return fault("the value has other characters than hex digits", help);
    }
    if !lengths.contains(&value.len()) {
        return fault(format!("the value has {} hex digits", value.len()), help);
    }
    distinct(value, 3)
}

fn long_enough(value: &str, least: usize, different: usize) -> Result<(), Fault> {
    let length = value.chars().count();
    if length < least {
        return fault(
            format!("{length} characters are too few to prove anything: such a value turns up by chance (at least {least})"),
            "plant a longer one, made for this test",
        );
    }
    common(value)?;
    distinct(value, different)
}

fn distinct(value: &str, least: usize) -> Result<(), Fault> {
    let mut seen: Vec<char> = value.chars().collect();
    seen.sort_unstable();
    seen.dedup();
    if seen.len() < least {
        return fault("the value repeats the same characters: it turns up by chance", "use a real or a random one");
    }
    Ok(())
}

/// Words that stand in the traffic of any device. Compared as a whole, in lower case.
const COMMON: &[&str] = &[
    "password",
    "passwort",
    "password1",
    "12345678",
    "123456789",
    "1234567890",
    "qwertyui",
    "testtest",
    "test1234",
    "username",
    "unknown",
    "default",
    "localhost",
    "android",
    "iphone",
    "samsung",
    "galaxy",
    "huawei",
    "xiaomi",
    "router",
    "internet",
    "administrator",
    "anonymous",
    "john doe",
    "jane doe",
    "application",
    "undefined",
    "keep-alive",
    "gzip, deflate",
];

fn common(value: &str) -> Result<(), Fault> {
    if COMMON.contains(&value.to_lowercase().as_str()) {
        return fault("this word stands in anybody's traffic", "plant something rare, made for this test");
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::IdentifierType::*;
    use super::*;

    #[track_caller]
    fn good(kind: IdentifierType, value: &str) {
        assert_eq!(check(kind, value), Ok(()), "{kind} {value}");
    }

    #[track_caller]
    fn bad(kind: IdentifierType, value: &str, part: &str) {
        let fault = check(kind, value).unwrap_err();
        assert!(fault.what.contains(part), "{kind} {value}: {}", fault.what);
        assert!(value.len() < 6 || !format!("{fault:?}").contains(value), "repeats the value: {fault:?}");
    }

    #[test]
    fn rows() {
        // GSMA's sample IMEI and EID, the usual sample IBAN; the others have computed check digits.
        good(Imei, "490154203237518");
        good(Imei, "49-015420-323751-8");
        bad(Imei, "490154203237519", "check digit");
        bad(Imei, "49015420323751", "14 digits");
        bad(Imei, "000000000000000", "turns up by chance");
        good(Imsi, "001010123456789");
        bad(Imsi, "0010", "4 digits");
        good(Iccid, "8991101200003204514");
        bad(Iccid, "8991101200003204515", "check digit");
        good(Eid, "89049032123451234512345678901235");
        bad(Eid, "89049032123451234512345678901236", "check digits");
        good(Meid, "A10000009296F2");
        good(Msisdn, "+44 7700 900123");
        bad(Msisdn, "07700900123", "international form");
        good(Mac, "3c:07:54:12:34:56");
        good(Mac, "3c0754123456");
        bad(Mac, "01:00:5e:00:00:fb", "group address");
        bad(Mac, "00:00:00:00:00:00", "turns up by chance");
        bad(Mac, "3e:07:54:99:34", "other characters");
        good(AndroidId, "a375db57ef62d1c5");
        good(AdId, "38400000-8cf0-11bd-b23e-10b96e40000d");
        bad(AdId, "00000000-0000-0000-0000-000000000000", "turns up by chance");
        bad(AdId, "38400000-8cf0-11bd-b23e", "not a UUID");
        good(Email, "anna.quist@example.org");
        bad(Email, "anna.quist@localhost", "not a domain");
        bad(Email, "a@example.org", "too short");
        bad(Email, "anna.quist.example.org", "has an @");
        good(PersonName, "Anna Quist");
        bad(PersonName, "Anna", "too few");
        bad(PersonName, "John Doe", "anybody's traffic");
        good(Contact, "+447700900123");
        bad(Contact, "x@y", "not a domain");
        good(BirthDate, "1987-02-28");
        bad(BirthDate, "1987-02-29", "no such day");
        bad(BirthDate, "28.02.1987", "year-month-day");
        good(PostalAddress, "17 Brevikota Lane");
        bad(PostalAddress, "Brevikota Lane", "a number");
        good(Password, "kV7-tulip-09");
        bad(Password, "short", "too few");
        bad(Password, "password", "anybody's traffic");
        bad(Password, "aaaaaaaaaaaa", "repeats");
        good(Position, "47.39774,8.54551");
        good(Position, "-33.85678, 151.21530");
        bad(Position, "47.3,8.5", "too few decimals");
        bad(Position, "48.39774", "comma");
        bad(Position, "97.39774,8.54551", "latitude");
        bad(Position, "47.39774,1e2.123", "longitude");
        good(Ssid, "quist-attic");
        bad(Ssid, "home", "too few");
        good(PaymentCard, "4111 1111 1110 0015");
        good(Iban, "GB82 WEST 1234 5698 7654 32");
        bad(Iban, "GB83 WEST 1234 5698 7654 32", "check digits");
        good(CellId, "001-01-4711-1234567");
        bad(CellId, "7654321", "four numbers");
        good(Text, "canary in the clipboard 7Q");
        bad(Text, " padded ", "blanks");
        bad(Text, "", "empty");
    }

    #[test]
    fn check_digits() {
        assert_eq!(luhn_digit("49015420323751"), Some('8'));
        assert_eq!(luhn_digit("x"), None);
        assert!(!luhn(""));
    }
}
