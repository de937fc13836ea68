//! Normal forms: the ways one value is written, by what it is.
//!
//! Long, for every identifier type has its forms here, beside the rows that test them.

use super::code;
use super::puny::punycode;
use super::table::Edge;
use super::varint;
use crate::scramble;
use policies::IdentifierType as Kind;

/// One way to write a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) bytes: Vec<u8>,
    /// Case does not matter.
    pub(super) fold: bool,
    pub(super) edge: Edge,
    /// Readable text, of which there are further encodings; otherwise bytes as a binary protocol carries them.
    pub(super) text: bool,
    /// Whether digests of this form are sought.
    pub(super) hashed: bool,
    /// Says who it is only together with what stands around it.
    pub(super) partial: bool,
    /// One of many ways to write or group the same digits: sought as it is, and in no coding of streams.
    pub(super) plain: bool,
    /// A word for the chain, where the form is not how people write the value.
    pub(super) step: Option<&'static str>,
}

impl Form {
    fn text(text: impl Into<Vec<u8>>) -> Form {
        Form { bytes: text.into(), fold: true, edge: Edge::None, text: true, hashed: true, partial: false, plain: false, step: None }
    }

    pub(super) fn raw(bytes: Vec<u8>, step: &'static str) -> Form {
        Form { bytes, fold: false, edge: Edge::None, text: false, hashed: true, partial: false, plain: false, step: Some(step) }
    }

    fn exact(self) -> Form {
        Form { fold: false, ..self }
    }

    pub(super) fn edge(self, edge: Edge) -> Form {
        Form { edge, ..self }
    }

    fn unhashed(self) -> Form {
        Form { hashed: false, ..self }
    }

    pub(super) fn plain(self) -> Form {
        Form { plain: true, hashed: false, ..self }
    }

    fn partial(self) -> Form {
        Form { partial: true, hashed: false, ..self }
    }
}

/// The digits of a value.
pub(super) fn digits(value: &str) -> Vec<u8> {
    value.bytes().filter(u8::is_ascii_digit).collect()
}

/// The hex digits of a value, lower-case.
pub(super) fn nibbles(value: &str) -> String {
    value.chars().filter(char::is_ascii_hexdigit).map(|c| c.to_ascii_lowercase()).collect()
}

/// The one form of a value that its token is made of, so that the same value gives the same token however it was written.
pub(super) fn canonical(kind: Kind, value: &str) -> Vec<u8> {
    let value = value.trim();
    match kind {
        Kind::Imei => digits(value).into_iter().take(14).collect(),
        Kind::Imsi | Kind::Iccid | Kind::Eid | Kind::PaymentCard => digits(value),
        Kind::Msisdn => {
            let digits = digits(value);
            digits.strip_prefix(b"00").map_or_else(|| digits.clone(), <[u8]>::to_vec)
        }
        Kind::Mac | Kind::BluetoothMac | Kind::Bssid => nibbles(value).into_bytes(),
        Kind::AdId | Kind::AndroidId | Kind::Meid if nibbles(value).len() * 10 >= value.len() * 8 => nibbles(value).into_bytes(),
        Kind::Password | Kind::Token | Kind::PushToken | Kind::Text | Kind::DeviceId => value.as_bytes().to_vec(),
        _ => value.to_lowercase().into_bytes(),
    }
}

/// Every form of `value`, the value itself first. Forms too short to mean anything are left out.
pub(super) fn forms(kind: Kind, value: &str) -> Vec<Form> {
    let value = value.trim();
    if value.is_empty() {
        return Vec::new();
    }
    let mut out = Vec::new();
    match kind {
        Kind::Imei => imei(value, &mut out),
        Kind::Imsi | Kind::Iccid | Kind::Eid | Kind::PaymentCard => {
            let digits = digits(value);
            out.push(Form::text(value).edge(guard(Kind::Imsi, value)));
            out.push(Form::text(digits.clone()).edge(if digits.len() < DISTINCT_DIGITS { Edge::Digit } else { Edge::None }));
            if digits.len() >= 14 {
                out.push(Form::raw(code::tbcd(&digits), "tbcd").unhashed());
                if kind == Kind::Imsi {
                    out.push(Form::raw(code::mobile_identity(&digits, 1), "mobile-identity").unhashed());
                }
                let groups: Vec<String> = digits.chunks(4).map(|c| String::from_utf8_lossy(c).into_owned()).collect();
                out.push(Form::text(groups.join(" ")).unhashed());
                out.push(Form::text(groups.join("-")).unhashed());
                varint::digits(&digits, &mut out);
            }
        }
        Kind::Msisdn => msisdn(value, &mut out),
        Kind::Mac | Kind::BluetoothMac | Kind::Bssid => mac(value, &mut out),
        Kind::AdId => uuid(value, &mut out),
        Kind::AndroidId | Kind::Meid => hexadecimal(value, &mut out),
        Kind::DeviceId | Kind::Serial if is_uuid(value) => uuid(value, &mut out),
        Kind::Email => email(value, &mut out),
        Kind::BirthDate => birth(value, &mut out),
        Kind::Position => position(value, &mut out),
        Kind::PostalAddress => {
            // No other number of the same street.
            out.push(Form::text(value).edge(Edge::Digit));
            out.push(Form::text(value.split_whitespace().collect::<Vec<_>>().join(" ")).edge(Edge::Digit));
            out.push(Form::text(value.replace(", ", ",")).edge(Edge::Digit));
            out.push(Form::text(value.replace([',', '\n'], " ").split_whitespace().collect::<Vec<_>>().join(" ")).edge(Edge::Digit));
        }
        Kind::Password | Kind::Token | Kind::PushToken => {
            out.push(Form::text(value).exact().edge(guard(kind, value)));
            if kind == Kind::Password {
                scrambled(value, &mut out);
            }
        }
        Kind::Contact if value.contains('@') => email(value, &mut out),
        Kind::Contact if value.starts_with('+') => msisdn(value, &mut out),
        Kind::Contact | Kind::PersonName => person(value, &mut out),
        Kind::Iban => {
            let compact: String = value.split_whitespace().collect();
            let groups: Vec<&str> = compact.as_bytes().chunks(4).filter_map(|c| std::str::from_utf8(c).ok()).collect();
            out.push(Form::text(compact.as_str()));
            out.push(Form::text(groups.join(" ")));
            out.push(Form::text(groups.join("-")).plain());
        }
        Kind::HostName => {
            out.push(Form::text(value).edge(guard(kind, value)));
            named(value, &mut out);
        }
        Kind::CellId => cell(value, &mut out),
        Kind::Ssid
        | Kind::UserName
        | Kind::Serial
        | Kind::DeviceId
        | Kind::DeviceModel
        | Kind::Build
        | Kind::NationalId
        | Kind::Biometric
        | Kind::Text => {
            out.push(Form::text(value).edge(guard(kind, value)));
            if matches!(kind, Kind::Serial | Kind::DeviceId) {
                separated(value, &mut out);
            }
        }
    }
    if matches!(kind, Kind::PersonName | Kind::Contact | Kind::PostalAddress) {
        let others: Vec<Form> = out.iter().filter(|f| f.text).flat_map(apostrophes).collect();
        out.extend(others);
    }
    let others: Vec<Form> = out.iter().filter(|f| f.text).flat_map(|f| spellings(f).into_iter().chain(number(f))).collect();
    out.extend(others);
    // Of two equal forms the first stays: forms are listed from the plainest to the oddest.
    let mut seen: Vec<Form> = Vec::with_capacity(out.len());
    for form in out {
        let same = |other: &Form| {
            other.text == form.text
                && (other.bytes == form.bytes || (other.fold && form.fold && other.bytes.eq_ignore_ascii_case(&form.bytes)))
        };
        if form.bytes.len() >= super::table::SHORTEST && !seen.iter().any(same) {
            seen.push(form);
        }
    }
    seen
}

/// Twelve digits are 40 bits: fewer are found by accident in longer numbers.
const DISTINCT_DIGITS: usize = 12;
/// Eight letters and digits taken at random are about 40 bits.
const DISTINCT_TEXT: usize = 8;

/// Seven digits between others that are none, beside nothing else.
const DISTINCT_CELL: usize = 7;
/// Fewer bytes that are no text are found in anything.
const SHORTEST_SCRAMBLED: usize = 6;
/// Shorter family names are words of many languages.
const DISTINCT_NAME: usize = 6;

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2019}')
}

/// The same with the other of the two apostrophes: keyboards have the one, what corrects their texts writes the other, and many have none.
fn apostrophes(form: &Form) -> Vec<Form> {
    let Ok(text) = std::str::from_utf8(&form.bytes) else { return Vec::new() };
    let told = |other: char| text.chars().map(|c| if is_apostrophe(c) { other } else { c }).collect::<String>();
    // A possessive without one is another word.
    let bare = (!form.partial).then(|| text.chars().filter(|c| !is_apostrophe(*c)).collect::<String>());
    let others = ['\'', '\u{2019}'].into_iter().map(told).chain(bare).filter(|other| other != text);
    others.map(|other| Form { bytes: other.into_bytes(), hashed: false, ..form.clone() }).collect()
}

/// A cell's four numbers, written beside each other; the last alone says something where it is long (an E-UTRAN or NR cell, 3GPP TS 23.003 §19.6).
fn cell(value: &str, out: &mut Vec<Form>) {
    out.push(Form::text(value).edge(Edge::Digit));
    let parts: Vec<&str> = value.split('-').collect();
    let [country, network, area, cell] = parts.as_slice() else { return };
    let short = network.trim_start_matches('0');
    for joined in ["-", ",", ":", "/", "_", " ", ".", ";", "|"] {
        for network in [*network, if short.is_empty() { "0" } else { short }] {
            out.push(Form::text([country, network, area, cell].join(joined)).edge(Edge::Digit).unhashed());
        }
        out.push(Form::text(format!("{country}{network}{joined}{area}{joined}{cell}")).edge(Edge::Digit).unhashed());
    }
    if cell.len() >= DISTINCT_CELL {
        out.push(Form { step: Some("cell"), ..Form::text(*cell).edge(Edge::Digit).partial() });
    }
}

/// A device's name as its settings show it, and as devices make a host name of it (RFC 952 has letters, digits and hyphens): without
/// apostrophes, its blanks as hyphens, underscores or nothing; and with the other of the two apostrophes.
fn named(name: &str, out: &mut Vec<Form>) {
    let bare: String = name.chars().filter(|c| !is_apostrophe(*c)).collect();
    let told = |other: char| name.chars().map(|c| if is_apostrophe(c) { other } else { c }).collect::<String>();
    for text in [told('\''), told('\u{2019}'), bare.clone(), name.replace(is_apostrophe, "-")] {
        for blank in [" ", "-", "_", ""] {
            let text = text.split_whitespace().collect::<Vec<_>>().join(blank);
            out.push(Form::text(text.as_str()).edge(guard(Kind::HostName, &text)).plain());
        }
    }
}

/// A password as protocols hide it from who looks in passing. One that is not ASCII was not written so in OSCAR.
fn scrambled(value: &str, out: &mut Vec<Form>) {
    out.push(Form::raw(scramble::tds(value), "tds").plain());
    if value.is_ascii() {
        out.push(Form::raw(scramble::roast(value.as_bytes()), "roast").plain());
    }
    out.retain(|form| form.text || form.bytes.len() >= SHORTEST_SCRAMBLED);
}

/// A number of a device with other separators between its groups, or with none; and one without, in groups of four. Not one of letters alone,
/// which are words, nor of few digits, which are parts of dates and telephone numbers.
fn separated(value: &str, out: &mut Vec<Form>) {
    let parts: Vec<&str> = value.split(['-', ' ']).filter(|part| !part.is_empty()).collect();
    let compact = parts.concat();
    let digits = compact.bytes().filter(u8::is_ascii_digit).count();
    let least = if digits == compact.len() { DISTINCT_DIGITS } else { DISTINCT_TEXT };
    if digits == 0 || compact.len() < least || !compact.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return;
    }
    let parts = if parts.len() > 1 { parts } else { compact.as_bytes().chunks(4).filter_map(|c| std::str::from_utf8(c).ok()).collect() };
    for separator in ["", "-", " "] {
        out.push(Form::text(parts.join(separator)).edge(Edge::Word).plain());
    }
}

/// What may not stand beside a text of this length.
fn guard(kind: Kind, value: &str) -> Edge {
    let digits_only = value.bytes().all(|b| b.is_ascii_digit());
    if digits_only && value.len() < DISTINCT_DIGITS {
        if value.len() < DISTINCT_TEXT { Edge::Word } else { Edge::Digit }
    } else if value.len() < DISTINCT_TEXT
        || (!digits_only && matches!(kind, Kind::PersonName | Kind::UserName | Kind::Ssid | Kind::HostName))
    {
        Edge::Word
    } else {
        Edge::None
    }
}

fn imei(value: &str, out: &mut Vec<Form>) {
    let all = digits(value);
    let Some(body) = all.get(..14) else {
        out.push(Form::text(value).edge(Edge::Word));
        return;
    };
    let check = code::luhn_digit(body).unwrap_or(b'0');
    let whole = [body, &[check]].concat();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (tac, serial) = (text(&body[..8]), text(&body[8..]));
    let cd = char::from(check);
    out.push(Form::text(whole.clone()));
    out.push(Form::text(body.to_vec()).edge(Edge::Imei(check)));
    if all.len() == 16 {
        out.push(Form::text(all.clone()));
    }
    // TS 23.003 groups them TAC, serial number, check digit; labels and `*#06#` also split the TAC.
    out.push(Form::text(format!("{tac}-{serial}-{cd}")));
    out.push(Form::text(format!("{}-{}-{serial}-{cd}", &tac[..2], &tac[2..])));
    out.push(Form::text(format!("{}-{}-{serial}-{cd}", &tac[..6], &tac[6..])));
    // Sent over the air it has the spare digit 0 in place of the check digit (TS 23.003, 6.2.1), and so in a URN (RFC 7254 §4.2).
    for tac in [tac.clone(), format!("{}-{}", &tac[..2], &tac[2..]), format!("{}-{}", &tac[..6], &tac[6..])] {
        out.push(Form::text(format!("{tac}-{serial}-0")).plain());
    }
    out.push(Form::text(format!("{} {} {serial} {cd}", &tac[..2], &tac[2..])).unhashed());
    out.push(Form::text(format!("{} {} {serial} {cd}", &tac[..6], &tac[6..])).unhashed());
    out.push(Form::text(format!("{tac} {serial} {cd}")).unhashed());
    out.push(Form::text(format!("{}/{}/{serial}/{cd}", &tac[..6], &tac[6..])).unhashed());
    let fours: Vec<String> = whole.chunks(4).map(text).collect();
    out.push(Form::text(fours.join(" ")).plain());
    out.push(Form::text(fours.join("-")).plain());
    // Seven bytes hold fourteen digits, whatever fills the eighth.
    out.push(Form::raw(code::tbcd(body), "tbcd").unhashed());
    out.push(Form::raw(crate::encode::unhex(&text(body)).unwrap_or_default(), "bcd").unhashed());
    // Fifteen digits fill eight bytes from the right, too, as trackers log in with them.
    out.push(Form::raw(crate::encode::unhex(&format!("0{}", text(&whole))).unwrap_or_default(), "bcd").unhashed());
    out.push(Form::raw(code::mobile_identity(&whole, 2), "mobile-identity").unhashed());
    if let Ok(number) = text(&whole).parse::<u64>() {
        out.push(Form::raw(number.to_be_bytes().to_vec(), "u64-be").unhashed());
        out.push(Form::raw(number.to_le_bytes().to_vec(), "u64-le").unhashed());
        varint::number(number, out);
        out.push(Form::text(format!("{number:x}")).edge(Edge::Word));
        out.push(Form::text(format!("0x{number:x}")).edge(Edge::Word).plain());
    }
}

fn msisdn(value: &str, out: &mut Vec<Form>) {
    let all = digits(value);
    let bare = all.strip_prefix(b"00").unwrap_or(&all);
    let text = String::from_utf8_lossy(bare).into_owned();
    out.push(Form::text(format!("+{text}")).edge(Edge::Digit));
    out.push(Form::text(text.clone()).edge(Edge::Number));
    out.push(Form::text(format!("00{text}")).edge(Edge::Digit));
    out.push(Form::text(value).edge(Edge::Digit));
    if value.starts_with('+') || value.starts_with("00") {
        let code = country_code(bare);
        if let (Some(cc), Some(national)) = (text.get(..code), text.get(code..)) {
            // Most plans put a 0 before national calls; some of the largest (US, ES, IT, PL …) nothing.
            if national.len() >= 7 {
                out.push(Form::text(format!("0{national}")).edge(Edge::Digit));
                out.push(Form::text(national).edge(Edge::Digit));
                out.push(Form::text(format!("+{cc} {national}")).edge(Edge::Digit));
                out.push(Form::text(format!("+{cc}-{national}")).edge(Edge::Digit));
                out.push(Form::text(format!("+{cc}(0){national}")).edge(Edge::Digit));
                for (sep, cuts) in [(' ', [2, 3]), ('-', [3, 3]), (' ', [3, 3]), ('-', [2, 3])] {
                    let (a, rest) = national.split_at(cuts[0]);
                    let (b, c) = rest.split_at(cuts[1].min(rest.len()));
                    out.push(Form::text(format!("{a}{sep}{b}{sep}{c}")).edge(Edge::Digit).unhashed());
                    out.push(Form::text(format!("0{a}{sep}{b}{sep}{c}")).edge(Edge::Digit).unhashed());
                    if c.len() == 4 {
                        let (c, d) = c.split_at(2);
                        out.push(Form::text(format!("{a}{sep}{b}{sep}{c}{sep}{d}")).edge(Edge::Digit).unhashed());
                        out.push(Form::text(format!("0{a}{sep}{b}{sep}{c}{sep}{d}")).edge(Edge::Digit).unhashed());
                    }
                }
                let (a, rest) = national.split_at(3);
                let (b, c) = rest.split_at(3.min(rest.len()));
                out.push(Form::text(format!("({a}) {b}-{c}")).edge(Edge::Digit).unhashed());
                grouped(national, out);
                // The area code in brackets, or close to the country's (ITU-T E.123 §6).
                for (area, rest) in (2..=5).filter_map(|n| national.split_at_checked(n)).filter(|(_, rest)| rest.len() >= 3) {
                    for written in [
                        format!("({area}) {rest}"),
                        format!("(0{area}) {rest}"),
                        format!("+{cc} ({area}) {rest}"),
                        format!("+{cc} (0){area} {rest}"),
                        format!("+{cc} (0{area}) {rest}"),
                        format!("+{cc}{area} {rest}"),
                        format!("+{cc}{area}-{rest}"),
                    ] {
                        out.push(Form::text(written).edge(Edge::Digit).plain());
                    }
                }
            }
        }
    }
    if bare.len() >= 11 {
        varint::digits(bare, out);
        out.push(Form::raw(code::tbcd(bare), "tbcd").unhashed());
    }
}

/// A national number as people group it (ITU-T E.123 leaves the groups to each country): after the area code, in threes and fours, in pairs.
fn grouped(national: &str, out: &mut Vec<Form>) {
    const GROUPS: [&[usize]; 9] = [&[2], &[3], &[4], &[5], &[3, 3], &[2, 4], &[4, 3], &[1, 2, 2, 2], &[2, 2, 2, 2]];
    for groups in GROUPS {
        let mut rest = national;
        let mut parts = Vec::new();
        for len in groups {
            let Some((part, tail)) = rest.split_at_checked(*len).filter(|(_, tail)| tail.len() >= 2) else { break };
            parts.push(part);
            rest = tail;
        }
        if parts.len() < groups.len() || rest.len() > 8 {
            continue;
        }
        parts.push(rest);
        for sep in [" ", "-", ".", "/"] {
            let joined = parts.join(sep);
            out.push(Form::text(format!("0{joined}")).edge(Edge::Digit).plain());
            out.push(Form::text(joined).edge(Edge::Digit).plain());
        }
    }
}

/// How many digits the country code takes (ITU-T E.164 list of assigned codes: one for zones 1 and 7, two for those below, else three).
pub(super) fn country_code(digits: &[u8]) -> usize {
    match digits {
        [b'1' | b'7', ..] => 1,
        [b'2', b'0' | b'7', ..]
        | [b'3', b'0'..=b'4' | b'6' | b'9', ..]
        | [b'4', b'0' | b'1' | b'3'..=b'9', ..]
        | [b'5', b'1'..=b'8', ..]
        | [b'6', b'0'..=b'6', ..]
        | [b'8', b'1' | b'2' | b'4' | b'6', ..]
        | [b'9', b'0'..=b'5' | b'8', ..] => 2,
        _ => 3,
    }
}

fn mac(value: &str, out: &mut Vec<Form>) {
    let hex = nibbles(value);
    let Some(bytes) = crate::encode::unhex(&hex).and_then(|b| <[u8; 6]>::try_from(b).ok()) else {
        out.push(Form::text(value).edge(Edge::Word));
        return;
    };
    let pairs: Vec<&str> = hex.as_bytes().chunks(2).filter_map(|c| std::str::from_utf8(c).ok()).collect();
    out.push(Form::text(pairs.join(":")));
    out.push(Form::text(pairs.join("-")));
    out.push(Form::text(hex.clone()));
    out.push(Form::text(format!("{}.{}.{}", &hex[..4], &hex[4..8], &hex[8..])));
    out.push(Form::text(pairs.join("_")).unhashed());
    out.push(Form::text(pairs.join(" ")).unhashed());
    out.push(Form::text(pairs.join(".")).unhashed());
    // As switches print it: in threes of two bytes, in halves.
    let fours = [&hex[..4], &hex[4..8], &hex[8..]];
    out.push(Form::text(fours.join("-")).plain());
    out.push(Form::text(fours.join(":")).plain());
    out.push(Form::text(format!("{}-{}", &hex[..6], &hex[6..])).plain());
    out.push(Form::text(format!("{}:{}", &hex[..6], &hex[6..])).plain());
    // As `ether_ntoa` prints it: without leading zeros.
    let short = bytes.map(|b| format!("{b:x}")).join(":");
    if short.len() < 17 {
        out.push(Form::text(short).edge(Edge::Word).plain());
    }
    eui_64(bytes, out);
    // As one number (Python `uuid.getnode()`, some databases).
    let whole = bytes.iter().fold(0u64, |sum, b| sum << 8 | u64::from(*b));
    let number = whole.to_string();
    if number.len() >= DISTINCT_DIGITS - 1 {
        out.push(Form { step: Some("number"), ..Form::text(number).edge(Edge::Digit).plain() });
    }
    // Six bytes that are mostly the same occur in anything.
    let mut distinct = bytes;
    distinct.sort_unstable();
    if distinct.chunk_by(|x, y| x == y).count() >= 4 {
        out.push(Form::raw(bytes.to_vec(), "raw"));
        varint::number(whole, out);
        out.push(Form::raw(bytes.iter().rev().copied().collect(), "raw-reversed").unhashed());
    }
}

/// The EUI-64 of a link address: as the lower half of an IPv6 address, its universal/local bit turned (RFC 4291 appendix A), and as it is (IEEE
/// guidelines for EUI-64), which radios of sensors have and programs print.
fn eui_64(mac: [u8; 6], out: &mut Vec<Form>) {
    let [a, b, c, d, e, f] = mac;
    let mut push = |form: Form| out.push(Form { step: Some("eui-64"), ..form.unhashed() });
    for (first, plain) in [(a ^ 2, false), (a, true)] {
        let eui = [first, b, c, 0xff, 0xfe, d, e, f];
        let hex = crate::encode::hex(&eui);
        let pairs = eui.map(|b| format!("{b:02x}"));
        let groups: Vec<&str> = (0..4).filter_map(|n| hex.get(4 * n..4 * n + 4)).collect();
        if !plain {
            let short: Vec<&str> =
                groups.iter().map(|group| group.trim_start_matches('0')).map(|g| if g.is_empty() { "0" } else { g }).collect();
            push(Form::text(short.join(":")).edge(Edge::Word));
        }
        push(Form { plain, ..Form::text(hex.as_str()) });
        push(Form { plain, ..Form::raw(eui.to_vec(), "eui-64") });
        push(Form::text(groups.join(":")).edge(Edge::Word).plain());
        for separator in ["-", ":"] {
            push(Form::text(pairs.join(separator)).plain());
        }
    }
}

fn is_uuid(value: &str) -> bool {
    nibbles(value).len() == 32 && value.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b'-' | b'{' | b'}'))
}

fn uuid(value: &str, out: &mut Vec<Form>) {
    let hex = nibbles(value);
    let bytes = crate::encode::unhex(&hex).filter(|b| b.len() == 16 && is_uuid(value));
    let Some(bytes) = bytes else {
        out.push(Form::text(value).edge(guard(Kind::Text, value)));
        return;
    };
    out.push(Form::text(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])));
    out.push(Form::text(hex.clone()));
    out.push(Form::raw(bytes.clone(), "raw"));
    // As Windows lays a GUID out in memory.
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    out.push(Form::raw(order.iter().filter_map(|i| bytes.get(*i).copied()).collect(), "guid").unhashed());
}

fn hexadecimal(value: &str, out: &mut Vec<Form>) {
    out.push(Form::text(value).edge(guard(Kind::Text, value)));
    let hex = nibbles(value);
    if hex.len() != value.len() || hex.len() < 12 {
        return;
    }
    let short = hex.trim_start_matches('0');
    if short.len() >= 12 {
        out.push(Form::text(short).edge(Edge::Word));
    }
    if let Ok(number) = u64::from_str_radix(&hex, 16)
        && short.len() >= 12
    {
        varint::number(number, out);
        out.push(Form::raw(number.to_be_bytes().to_vec(), "u64-be"));
        out.push(Form::raw(number.to_le_bytes().to_vec(), "u64-le").unhashed());
        out.push(Form::text(number.to_string()).edge(Edge::Digit));
        out.push(Form::text((number as i64).to_string()).edge(Edge::Digit));
    }
}

fn email(value: &str, out: &mut Vec<Form>) {
    let value = value.strip_prefix("mailto:").unwrap_or(value);
    let Some((local, domain)) = value.rsplit_once('@') else {
        out.push(Form::text(value));
        return;
    };
    let mailbox = |local: &str, domain: &str| Form::text(format!("{local}@{domain}")).edge(Edge::Mailbox);
    out.push(mailbox(local, domain));
    let untagged = local.split('+').next().unwrap_or(local);
    if untagged != local {
        out.push(mailbox(untagged, domain));
    }
    if domain.eq_ignore_ascii_case("gmail.com") || domain.eq_ignore_ascii_case("googlemail.com") {
        let plain = untagged.replace('.', "");
        out.push(mailbox(&plain, domain));
        for other in ["gmail.com", "googlemail.com"] {
            out.push(mailbox(untagged, other));
        }
    }
    if let Some(ascii) = punycode(domain) {
        out.push(mailbox(local, &ascii));
    }
    if local.len() >= DISTINCT_TEXT {
        out.push(Form { step: Some("user-part"), ..Form::text(local).edge(Edge::Local) });
    }
}

fn person(value: &str, out: &mut Vec<Form>) {
    let words: Vec<&str> = value.split_whitespace().collect();
    out.push(Form::text(value).edge(Edge::Word));
    let (Some(first), Some(last)) = (words.first(), words.last()) else { return };
    if words.len() >= 2 {
        for joined in [" ", ".", "_", "-", "", "+", "\n"] {
            out.push(Form::text(words.join(joined)).edge(Edge::Word));
            out.push(Form::text(format!("{last}{joined}{first}")).edge(Edge::Word));
            out.push(Form::text(format!("{first}{joined}{last}")).edge(Edge::Word));
        }
        out.push(Form::text(format!("{last}, {first}")).edge(Edge::Word));
        out.push(Form::text(format!("{last},{first}")).edge(Edge::Word));
        // HL7 v2 separates the parts of a name by a caret (chapter 2A, XPN); vCard by a semicolon (RFC 6350, 6.2.2).
        out.push(Form::text(format!("{last}^{first}")).edge(Edge::Word).unhashed());
        out.push(Form::text(format!("{last};{first}")).edge(Edge::Word).unhashed());
    }
    // A family name alone says something where it is no everyday word.
    if words.len() >= 2 && last.len() >= DISTINCT_NAME {
        out.push(Form { step: Some("family-name"), ..Form::text(*last).edge(Edge::Lead).partial() });
    }
    // What phones call themselves after their owner: the first name in the possessive of common languages.
    if first.len() >= super::table::SHORTEST {
        for pattern in [
            format!("{first}'s"),
            format!("{first}\u{2019}s"),
            format!("{first}s-"),
            format!("von {first}"),
            format!("de {first}"),
            format!("von-{first}"),
            format!("de-{first}"),
            format!("di {first}"),
            format!("{first}-iphone"),
            format!("{first}-phone"),
            format!("{first}-pixel"),
            format!("{first}-galaxy"),
        ] {
            out.push(Form {
                step: Some("given-name"),
                ..Form::text(pattern).edge(if first.len() < 6 { Edge::Word } else { Edge::None }).partial()
            });
        }
    }
}

fn birth(value: &str, out: &mut Vec<Form>) {
    out.push(Form::text(value).edge(Edge::Digit).partial());
    let parts: Vec<&str> = value.split(|c: char| !c.is_ascii_digit()).filter(|p| !p.is_empty()).collect();
    let (y, m, d) = match parts.as_slice() {
        [y, m, d] if y.len() == 4 => (*y, *m, *d),
        [d, m, y] if y.len() == 4 => (*y, *m, *d),
        _ => return,
    };
    let short = |part: &str| part.trim_start_matches('0').to_owned();
    for sep in ["-", "/", ".", ""] {
        for order in [[y, m, d], [d, m, y], [m, d, y]] {
            out.push(Form::text(order.join(sep)).edge(Edge::Digit).partial());
            if !sep.is_empty() {
                out.push(Form::text(order.map(short).join(sep)).edge(Edge::Digit).partial());
            }
        }
    }
    if let Some(seconds) = since_1970(y, m, d) {
        // What programs keep a day as: midnight of UTC.
        out.push(Form::text(seconds.to_string()).edge(Edge::Digit).partial());
        out.push(Form::text(format!("{seconds}000")).edge(Edge::Digit).partial());
    }
    let month = m.parse::<usize>().ok().and_then(|m| MONTHS.get(m.checked_sub(1)?));
    for name in month.into_iter().flat_map(|name| [*name, name.get(..3).unwrap_or(name)]) {
        for day in [d.to_owned(), short(d)] {
            for written in
                [format!("{day} {name} {y}"), format!("{day}-{name}-{y}"), format!("{name} {day}, {y}"), format!("{name} {day} {y}")]
            {
                out.push(Form::text(written).edge(Edge::Digit).partial());
            }
        }
    }
}

/// Seconds from 1970 to a day of the Gregorian calendar (POSIX.1-2017 §4.16), where they are more than few digits.
fn since_1970(year: &str, month: &str, day: &str) -> Option<i64> {
    let (y, m, d): (i64, i64, i64) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    if !(1000..=9999).contains(&y) || !(1..=12).contains(&m) || !(1..=31).contains(&d) {
        return None;
    }
    // Years begin in March, so that the leap day is a year's last.
    let (y, m) = if m > 2 { (y, m - 3) } else { (y - 1, m + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + d - 1 - 719_468;
    let seconds = days * 86_400;
    (seconds.abs() >= 10_000_000).then_some(seconds)
}

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

fn position(value: &str, out: &mut Vec<Form>) {
    // Written numbers are compared as numbers elsewhere; here only the pair as planted, for streams.
    let parts: Vec<&str> = value.split([',', ' ', ';']).filter(|p| !p.is_empty()).collect();
    let [lat, lon] = parts.as_slice() else { return };
    for joined in [",", ", ", ";", " ", "/", "%2C"] {
        out.push(Form::text(format!("{lat}{joined}{lon}")).edge(Edge::Digit).unhashed());
        out.push(Form::text(format!("{lon}{joined}{lat}")).edge(Edge::Digit).unhashed());
    }
    angles(lat, lon, out);
}

/// A position whose numbers are told to ten metres at least, and how many decimals they have.
fn degrees(lat: &str, lon: &str) -> Option<(f64, f64, usize)> {
    let decimals = |text: &str| text.split_once('.').map_or(0, |(_, decimals)| decimals.trim_end_matches('0').len());
    let (y, x) = (lat.parse::<f64>().ok()?, lon.parse::<f64>().ok()?);
    let least = decimals(lat).min(decimals(lon));
    (least >= 4 && y.abs() <= 90.0 && x.abs() <= 180.0).then_some((y, x, least))
}

/// A position as the numbers in memory: doubles (IEEE 754 binary64) one by one, where they are told to a metre; the two beside each other, or with
/// the tag of a second field between them (protobuf), as doubles, as 32 bits of floating point, and in whole hundred thousandths of a degree, tenths
/// and hundredths of these.
fn angles(lat: &str, lon: &str, out: &mut Vec<Form>) {
    let Some((y, x, least)) = degrees(lat, lon) else { return };
    // In a list of a town's places with four decimals (10 m) one of a hundred or two has the same latitude.
    if least >= 5 {
        for degrees in [y, x] {
            out.push(Form::raw(degrees.to_le_bytes().to_vec(), "f64-le").plain());
            out.push(Form::raw(degrees.to_be_bytes().to_vec(), "f64-be").plain());
        }
    }
    for (first, then) in [(y, x), (x, y)] {
        let mut pair = |first: &[u8], then: &[u8], step| out.push(Form::raw([first, then].concat(), step).plain());
        if least < 5 {
            pair(&first.to_le_bytes(), &then.to_le_bytes(), "f64-le");
            pair(&first.to_be_bytes(), &then.to_be_bytes(), "f64-be");
        }
        let single = [first, then].map(|degrees| degrees as f32);
        pair(&single[0].to_le_bytes(), &single[1].to_le_bytes(), "f32-le");
        pair(&single[0].to_be_bytes(), &single[1].to_be_bytes(), "f32-be");
        for (scale, little, big) in [(1e7, "e7-le", "e7-be"), (1e6, "e6-le", "e6-be"), (1e5, "e5-le", "e5-be")] {
            for whole in [f64::round, f64::trunc] {
                let whole = [first, then].map(|degrees| whole(degrees * scale) as i32);
                pair(&whole[0].to_le_bytes(), &whole[1].to_le_bytes(), little);
                pair(&whole[0].to_be_bytes(), &whole[1].to_be_bytes(), big);
            }
        }
        if least < 5 {
            varint::pair([first, then].map(|degrees| degrees.to_le_bytes().to_vec()), varint::EIGHT, "f64-le", out);
        }
        varint::pair(single.map(|degrees| degrees.to_le_bytes().to_vec()), varint::FOUR, "f32-le", out);
        for whole in [f64::round, f64::trunc] {
            varint::angles([first, then].map(|degrees| whole(degrees * 1e7) as i32), ["e7-varint", "e7-le"], out);
            varint::angles([first, then].map(|degrees| whole(degrees * 1e6) as i32), ["e6-varint", "e6-le"], out);
        }
    }
}

/// The two numbers of a position as formats write them that say the kind of each in a byte in front, or the name of its field: doubles, and 32 bits
/// of floating point of CBOR (0xfa, RFC 8949 §3.3) and MessagePack (0xca).
pub(super) fn floats(value: &str) -> Vec<[Vec<u8>; 2]> {
    let parts: Vec<&str> = value.trim().split([',', ' ', ';']).filter(|part| !part.is_empty()).collect();
    let [lat, lon] = parts.as_slice() else { return Vec::new() };
    let Some((y, x, least)) = degrees(lat, lon) else { return Vec::new() };
    let single = |kind: u8| [y, x].map(|degrees| [&[kind][..], &(degrees as f32).to_be_bytes()].concat());
    let mut out = vec![single(0xfa), single(0xca)];
    if least < 5 {
        out.extend([[y, x].map(|degrees| degrees.to_le_bytes().to_vec()), [y, x].map(|degrees| degrees.to_be_bytes().to_vec())]);
    }
    out
}

/// Digits that were written as a number, which has no leading zeros. Ten are left: 33 bits, and they stand alone.
fn number(form: &Form) -> Option<Form> {
    let short = form.bytes.trim_ascii_start();
    let zeros = short.iter().take_while(|b| **b == b'0').count();
    let rest = short.get(zeros..)?;
    let is_number = zeros > 0 && rest.len() >= 10 && rest.iter().all(u8::is_ascii_digit);
    is_number.then(|| Form { bytes: rest.to_vec(), edge: Edge::Digit, step: Some("number"), ..form.clone() })
}

/// A word that says who it is only with what stands around it.
pub(super) fn lead(word: Vec<u8>) -> Form {
    Form::text(word).edge(Edge::Lead).partial()
}

/// A word in each of its spellings.
pub(super) fn spelled(word: &str) -> Vec<Vec<u8>> {
    let form = Form::text(word);
    let mut out: Vec<Vec<u8>> = spellings(&form).into_iter().map(|form| form.bytes).collect();
    out.push(form.bytes);
    out.sort_unstable();
    out.dedup();
    out
}

/// Other spellings of a text that is not ASCII: composed and decomposed, without marks, in either case.
fn spellings(form: &Form) -> Vec<Form> {
    let Ok(text) = std::str::from_utf8(&form.bytes) else { return Vec::new() };
    if text.is_ascii() {
        return Vec::new();
    }
    let mut out: Vec<String> = vec![text.to_lowercase(), text.to_uppercase()];
    let apart: Vec<String> = out.iter().map(|t| decompose(t, true)).chain([decompose(text, true), decompose(text, false)]).collect();
    out.extend(apart);
    // Only the letter that names of hosts had not before 2010 (IDNA 2003), and the Swiss have not at all.
    if text.contains('ß') {
        out.extend([text.to_owned(), text.to_lowercase()].map(|text| text.replace('ß', "ss")));
    }
    out.push(german(text));
    out.push(decompose(&german(text), false));
    out.push(german(&decompose(text, false)));
    let latin = [text.to_owned(), text.to_lowercase(), text.to_uppercase()].into_iter().filter_map(|text| latin_1(&text));
    let latin: Vec<Form> = latin.map(|bytes| Form { bytes, step: Some("latin-1"), hashed: false, ..form.clone() }).collect();
    // UTF-8 taken for Latin-1 and coded again, a common accident.
    out.push(text.bytes().map(char::from).collect());
    out.into_iter().map(|text| Form { bytes: text.into_bytes(), ..form.clone() }).chain(latin).collect()
}

/// A text in ISO 8859-1, whose letters Windows-1252 and ISO 8859-15 share.
fn latin_1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// Letters of the Latin blocks as base letter and combining mark (Unicode canonical decomposition), or the base letter alone.
fn decompose(text: &str, marks: bool) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    for c in text.chars() {
        match DECOMPOSED.iter().find(|(whole, _, _)| *whole == c) {
            Some((_, base, mark)) => {
                out.push(*base);
                if marks {
                    out.push(*mark);
                }
            }
            None => out.push(c),
        }
    }
    out
}

/// Umlauts as two letters.
fn german(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    for c in text.chars() {
        match c {
            'ä' | 'æ' => out.push_str("ae"),
            'ö' | 'ø' | 'œ' => out.push_str("oe"),
            'ü' => out.push_str("ue"),
            'Ä' | 'Æ' => out.push_str("Ae"),
            'Ö' | 'Ø' => out.push_str("Oe"),
            'Ü' => out.push_str("Ue"),
            'ß' => out.push_str("ss"),
            'å' => out.push_str("aa"),
            'Å' => out.push_str("Aa"),
            c => out.push(c),
        }
    }
    out
}

#[rustfmt::skip]
const DECOMPOSED: &[(char, char, char)] = &[
    ('À','A','\u{300}'),('Á','A','\u{301}'),('Â','A','\u{302}'),('Ã','A','\u{303}'),('Ä','A','\u{308}'),('Å','A','\u{30a}'),('Ç','C','\u{327}'),('È','E','\u{300}'),
    ('É','E','\u{301}'),('Ê','E','\u{302}'),('Ë','E','\u{308}'),('Ì','I','\u{300}'),('Í','I','\u{301}'),('Î','I','\u{302}'),('Ï','I','\u{308}'),('Ñ','N','\u{303}'),
    ('Ò','O','\u{300}'),('Ó','O','\u{301}'),('Ô','O','\u{302}'),('Õ','O','\u{303}'),('Ö','O','\u{308}'),('Ù','U','\u{300}'),('Ú','U','\u{301}'),('Û','U','\u{302}'),
    ('Ü','U','\u{308}'),('Ý','Y','\u{301}'),('à','a','\u{300}'),('á','a','\u{301}'),('â','a','\u{302}'),('ã','a','\u{303}'),('ä','a','\u{308}'),('å','a','\u{30a}'),
    ('ç','c','\u{327}'),('è','e','\u{300}'),('é','e','\u{301}'),('ê','e','\u{302}'),('ë','e','\u{308}'),('ì','i','\u{300}'),('í','i','\u{301}'),('î','i','\u{302}'),
    ('ï','i','\u{308}'),('ñ','n','\u{303}'),('ò','o','\u{300}'),('ó','o','\u{301}'),('ô','o','\u{302}'),('õ','o','\u{303}'),('ö','o','\u{308}'),('ù','u','\u{300}'),
    ('ú','u','\u{301}'),('û','u','\u{302}'),('ü','u','\u{308}'),('ý','y','\u{301}'),('ÿ','y','\u{308}'),('Ā','A','\u{304}'),('ā','a','\u{304}'),('Ă','A','\u{306}'),
    ('ă','a','\u{306}'),('Ą','A','\u{328}'),('ą','a','\u{328}'),('Ć','C','\u{301}'),('ć','c','\u{301}'),('Č','C','\u{30c}'),('č','c','\u{30c}'),('Ď','D','\u{30c}'),
    ('ď','d','\u{30c}'),('Ē','E','\u{304}'),('ē','e','\u{304}'),('Ė','E','\u{307}'),('ė','e','\u{307}'),('Ę','E','\u{328}'),('ę','e','\u{328}'),('Ě','E','\u{30c}'),
    ('ě','e','\u{30c}'),('Ğ','G','\u{306}'),('ğ','g','\u{306}'),('Ī','I','\u{304}'),('ī','i','\u{304}'),('İ','I','\u{307}'),('Ķ','K','\u{327}'),('ķ','k','\u{327}'),
    ('Ń','N','\u{301}'),('ń','n','\u{301}'),('Ň','N','\u{30c}'),('ň','n','\u{30c}'),('Ō','O','\u{304}'),('ō','o','\u{304}'),('Ő','O','\u{30b}'),('ő','o','\u{30b}'),
    ('Ŕ','R','\u{301}'),('ŕ','r','\u{301}'),('Ř','R','\u{30c}'),('ř','r','\u{30c}'),('Ś','S','\u{301}'),('ś','s','\u{301}'),('Ş','S','\u{327}'),('ş','s','\u{327}'),
    ('Š','S','\u{30c}'),('š','s','\u{30c}'),('Ť','T','\u{30c}'),('ť','t','\u{30c}'),('Ū','U','\u{304}'),('ū','u','\u{304}'),('Ů','U','\u{30a}'),('ů','u','\u{30a}'),
    ('Ű','U','\u{30b}'),('ű','u','\u{30b}'),('Ź','Z','\u{301}'),('ź','z','\u{301}'),('Ż','Z','\u{307}'),('ż','z','\u{307}'),('Ž','Z','\u{30c}'),('ž','z','\u{30c}'),
    ('Ș','S','\u{326}'),('ș','s','\u{326}'),('Ț','T','\u{326}'),('ț','t','\u{326}'),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::hex;

    /// A readable list of forms; raw ones in hex.
    fn written(kind: Kind, value: &str) -> Vec<String> {
        forms(kind, value)
            .into_iter()
            .map(|f| if f.text { String::from_utf8_lossy(&f.bytes).into_owned() } else { format!("0x{}", hex(&f.bytes)) })
            .collect()
    }

    #[track_caller]
    fn check(kind: Kind, value: &str, expect: &[&str]) {
        let found = written(kind, value);
        for form in expect {
            assert!(found.iter().any(|f| f == form), "{kind} {value}: {form} is not among {found:?}");
        }
    }

    #[test]
    fn each_type_in_its_forms() {
        check(
            Kind::Imei,
            "490154203237518",
            &[
                "490154203237518",
                "49015420323751",
                "49015420-323751-8",
                "49015420-323751-0",
                "49-015420-323751-8",
                "490154-20-323751-8",
                "0x94104502237315",
            ],
        );
        check(Kind::Imei, "49-015420-323751-8", &["490154203237518"]);
        // Of fifteen digits in eight bytes: from the right, and as TS 24.008 has an identity.
        check(Kind::Imei, "490154203237518", &["0x0490154203237518", "0x4a09512430325781", "0x1bdcaeb2b4c8e"]);
        check(
            Kind::HostName,
            "Anna\u{2019}s Phone",
            &["Anna\u{2019}s Phone", "Annas-Phone", "Anna's Phone", "AnnasPhone", "Anna-s-Phone", "Annas_Phone"],
        );
        check(Kind::Imei, "49015420323751", &["490154203237518"]);
        check(Kind::Imei, "4901542032375101", &["4901542032375101", "49015420323751"]);
        check(Kind::Imei, "008532368353037", &["8532368353037"]);
        check(Kind::Serial, "0012345678901", &["12345678901"]);
        check(Kind::Imsi, "310410010001002", &["310410010001002", "0x13400110001000f2", "3104 1001 0001 002"]);
        check(
            Kind::Mac,
            "00:1B:44:11:3A:B7",
            &[
                "00:1b:44:11:3a:b7",
                "00-1b-44-11-3a-b7",
                "001b44113ab7",
                "001b.4411.3ab7",
                "0x001b44113ab7",
                "21b:44ff:fe11:3ab7",
                "021b:44ff:fe11:3ab7",
                "0x021b44fffe113ab7",
                "02-1b-44-ff-fe-11-3a-b7",
                "001b44fffe113ab7",
                "00-1b-44-ff-fe-11-3a-b7",
                "00:1b:44:ff:fe:11:3a:b7",
                "0x001b44fffe113ab7",
                "117106096823",
            ],
        );
        check(
            Kind::AdId,
            "38400000-8CF0-11BD-B23E-10B96E40000D",
            &[
                "38400000-8cf0-11bd-b23e-10b96e40000d",
                "384000008cf011bdb23e10b96e40000d",
                "0x384000008cf011bdb23e10b96e40000d",
                "0x00004038f08cbd11b23e10b96e40000d",
            ],
        );
        check(
            Kind::AndroidId,
            "0123456789abcdef",
            &["0123456789abcdef", "123456789abcdef", "0x0123456789abcdef", "0xefcdab8967452301", "81985529216486895"],
        );
        check(
            Kind::Msisdn,
            "+41 79 123 45 67",
            &["+41791234567", "41791234567", "0041791234567", "0791234567", "791234567", "+41 79 123 45 67", "79 123 45 67"],
        );
        check(
            Kind::Email,
            "Anna.Quist+shop@gmail.com",
            &["Anna.Quist+shop@gmail.com", "Anna.Quist@gmail.com", "AnnaQuist@gmail.com", "Anna.Quist@googlemail.com", "Anna.Quist+shop"],
        );
        check(Kind::Email, "anna@bücher.example", &["anna@xn--bcher-kva.example"]);
        check(
            Kind::PersonName,
            "Anna Quist",
            &["Anna Quist", "Quist Anna", "Quist, Anna", "Anna.Quist", "QuistAnna", "Quist^Anna", "Anna's"],
        );
        assert!(forms(Kind::PersonName, "Zoë Müller").iter().any(|f| f.bytes == b"Zo\xeb M\xfcller"));
        check(Kind::PersonName, "Zoë Weiß", &["Zoe Weiss"]);
        check(Kind::Imei, "490154203237518", &["4901 5420 3237 518"]);
        check(Kind::Mac, "00:1B:44:11:3A:B7", &["001b-4411-3ab7", "001b44-113ab7"]);
        check(Kind::Msisdn, "+447700900815", &["(07700) 900815", "+44 (7700) 900815", "+447700 900815"]);
        check(Kind::PersonName, "Zoë Müller", &["zoe\u{308} mu\u{308}ller", "Zoe Muller", "ZOË MÜLLER", "Zoe Mueller", "Zoë Mueller"]);
        check(Kind::BirthDate, "1987-03-09", &["9 March 1987", "09-Mar-1987", "March 9, 1987", "542246400", "542246400000"]);
        check(Kind::BirthDate, "2000-02-29", &["951782400"]);
        check(Kind::BirthDate, "1969-01-01", &["-31536000"]);
        check(Kind::PersonName, "Fiona O\u{2019}Brienson", &["Fiona O'Brienson", "O'Brienson, Fiona", "Fiona OBrienson"]);
        check(Kind::PostalAddress, "12 Rue de l'Abbesse", &["12 Rue de l\u{2019}Abbesse"]);
        check(
            Kind::CellId,
            "262-01-12345-67890123",
            &["262,1,12345,67890123", "262:01:12345:67890123", "26201-12345-67890123", "67890123"],
        );
        check(Kind::BirthDate, "1985-12-05", &["1985-12-05", "05.12.1985", "12/05/1985", "19851205", "5/12/1985", "12/5/1985"]);
        check(Kind::Position, "47.39770,8.54050", &["47.39770,8.54050", "8.54050,47.39770", "47.39770, 8.54050"]);
        check(Kind::Serial, "R58M12ABCDE", &["R58M12ABCDE", "R58M-12AB-CDE", "R58M 12AB CDE"]);
        check(Kind::Serial, "R5-8M-41ZQ-77K", &["R5-8M-41ZQ-77K", "R58M41ZQ77K", "R5 8M 41ZQ 77K"]);
        check(Kind::DeviceId, "a1b2 c3d4 e5f6", &["a1b2c3d4e5f6", "a1b2-c3d4-e5f6"]);
        for words in ["R5-8M-41", "LIVING-ROOM", "1234-5678"] {
            assert_eq!(written(Kind::Serial, words), [words]);
        }
    }

    #[test]
    fn one_token_form_for_all() {
        assert_eq!(canonical(Kind::Imei, "49-015420-323751-8"), canonical(Kind::Imei, "490154203237518"));
        assert_eq!(canonical(Kind::Mac, "00-1B-44-11-3A-B7"), canonical(Kind::Mac, "001b.4411.3ab7"));
        assert_eq!(canonical(Kind::Msisdn, "+41 79 123 45 67"), canonical(Kind::Msisdn, "0041791234567"));
        assert_eq!(canonical(Kind::Email, "A@X.org"), canonical(Kind::Email, "a@x.org"));
    }

    #[test]
    fn nothing_too_short() {
        for (kind, value) in [(Kind::Text, "abc"), (Kind::Password, "x"), (Kind::Email, ""), (Kind::Mac, "00:1")] {
            for form in forms(kind, value) {
                assert!(form.bytes.len() >= super::super::table::SHORTEST);
            }
        }
        for &kind in Kind::ALL {
            for value in [
                "",
                " ",
                "1",
                "a@",
                "@",
                "12345678901234",
                "é",
                "\u{10ffff}",
                "--",
                "1,2",
                "aa:bb:cc:dd:ee",
                "+1",
                "+12",
                "0000000000000000000000",
            ] {
                let _ = (forms(kind, value), canonical(kind, value));
            }
        }
    }
}
