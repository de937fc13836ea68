//! What the name of a field promises about its value.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use policies::IdentifierType as Kind;

/// The longest name looked at; longer ones say nothing.
const LONGEST: usize = 64;

/// The word in front of a value: the name in `name=`, `"name": "`, `<name>`, `name: `.
pub(super) fn before(text: &[u8], at: usize) -> Option<Range<usize>> {
    let mut end = at;
    // Quotes, signs and spaces between name and value; at least one sign.
    let mut signs = 0;
    while let Some(b) = end.checked_sub(1).and_then(|i| text.get(i)) {
        match b {
            b'=' | b':' | b'>' => signs += 1,
            b' ' | b'"' | b'\'' | b'\\' | b'[' | b'(' | b'<' | b'\t' => {}
            _ => break,
        }
        if signs > 2 || at - end > 8 {
            return None;
        }
        end -= 1;
    }
    if signs == 0 {
        return None;
    }
    let len = text[..end]
        .iter()
        .rev()
        .take(LONGEST + 1)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'[' | b']' | b'$'))
        .count();
    (len > 0 && len <= LONGEST).then_some(end - len..end)
}

/// What a name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    Kind(Kind),
    /// A token, if it looks like one.
    Token,
    /// A number that stands for a user.
    UserNumber,
    /// An identifier of the device of whatever form.
    Device,
    Latitude,
    Longitude,
    /// Both, in one value.
    Place,
    /// A header whose value only looks like an address of a person.
    NotPersonal,
}

/// Reads a name without regard to case and punctuation.
pub(super) fn promise(name: &[u8]) -> Option<Promise> {
    let mut folded = [0u8; LONGEST];
    let mut len = 0;
    for b in name.iter().filter(|b| b.is_ascii_alphanumeric()) {
        *folded.get_mut(len)? = b.to_ascii_lowercase();
        len += 1;
    }
    let name = folded.get(..len)?;
    let promise = WORDS.promise(name)?;
    // Tokens and certificates have numbers too.
    let other = || [&b"token"[..], b"cert"].iter().any(|word| memchr::memmem::find(name, word).is_some());
    (promise != Promise::Kind(Kind::Serial) || !other()).then_some(promise)
}

/// Words that promise something: anywhere in a name, at its end, or as the whole of it.
struct Rule {
    promise: Promise,
    inside: &'static [&'static str],
    ends: &'static [&'static str],
    whole: &'static [&'static str],
}

const fn rule(promise: Promise, inside: &'static [&'static str], ends: &'static [&'static str], whole: &'static [&'static str]) -> Rule {
    Rule { promise, inside, ends, whole }
}

/// In order: the first that holds is what a name promises.
#[rustfmt::skip]
const RULES: [Rule; 26] = [
    rule(Promise::Kind(Kind::Imei), &["imei"], &[], &["meid"]),
    rule(Promise::Kind(Kind::Imsi), &["imsi"], &[], &["subscriberid", "simsubscriberid"]),
    rule(Promise::Kind(Kind::Iccid), &["iccid"], &[], &["simserial", "simserialnumber"]),
    rule(Promise::Kind(Kind::Eid), &[], &[], &["eid", "euiccid"]),
    rule(Promise::Kind(Kind::Msisdn), &["msisdn"], &["phone", "phonenumber", "phoneno", "mobile", "mobilenumber", "callinglineid"], &["tel", "msid"]),
    rule(Promise::Kind(Kind::AndroidId), &[], &["androidid"], &["ssaid", "aid", "andid"]),
    rule(Promise::Kind(Kind::AdId), &[], &["advertisingid", "adid"], &[
        "idfa", "gaid", "aaid", "ifa", "rdid", "oaid", "googleaid", "advertiserid", "advertisingidentifier", "deviceifa",
    ]),
    rule(Promise::Kind(Kind::Bssid), &[], &["bssid"], &["apmac", "apmacaddress"]),
    rule(Promise::Kind(Kind::BluetoothMac), &[], &[], &["btmac", "bluetoothmac", "bluetoothaddress", "btaddress", "btaddr"]),
    rule(Promise::Kind(Kind::Mac), &[], &["macaddress", "macaddr", "wifimac"], &["mac", "wlanmac", "ethmac", "hwaddr", "macid", "devicemac"]),
    rule(Promise::Kind(Kind::Ssid), &[], &[], &["ssid", "wifissid", "wifiname"]),
    rule(Promise::Kind(Kind::Serial), &[], &["serialnumber"], &["serial", "serialno", "deviceserial", "hwserial", "sernum"]),
    rule(Promise::Kind(Kind::Password), &[], &["password", "passwd"], &[
        "pwd", "passphrase", "userpass", "userpwd", "psk", "presharedkey", "wpakey", "wifikey", "wpapsk", "passwort", "kennwort", "motdepasse",
    ]),
    rule(Promise::Kind(Kind::Token), &[], &[], &[
        "accesstoken", "refreshtoken", "authtoken", "apikey", "clientsecret", "sessiontoken", "idtoken", "oauthtoken", "secretkey",
    ]),
    rule(Promise::Token, &[], &[], &["token", "jwt", "sessionid", "jsessionid", "phpsessid"]),
    rule(Promise::Kind(Kind::PushToken), &[], &[], &[
        "pushtoken", "fcmtoken", "gcmtoken", "registrationid", "devicetoken", "apnstoken", "regid",
    ]),
    rule(Promise::Kind(Kind::UserName), &[], &[], &["username", "userlogin", "loginname", "uname", "login", "screenname", "nickname"]),
    rule(Promise::UserNumber, &[], &[], &["userid"]),
    rule(Promise::Kind(Kind::PersonName), &[], &[], &[
        "fullname", "firstname", "lastname", "surname", "givenname", "familyname", "realname",
    ]),
    rule(Promise::Kind(Kind::BirthDate), &[], &[], &["birthday", "birthdate", "dateofbirth", "dob", "bday"]),
    rule(Promise::Kind(Kind::PaymentCard), &[], &[], &["cardnumber", "ccnumber", "pan", "creditcard", "cardno"]),
    rule(Promise::Device, &[], &["deviceid"], &[
        "devid", "did", "udid", "duid", "uniqueid", "hwid", "hardwareid", "openudid", "deviceuuid", "deviceuid", "idfv", "installationid",
        "installid",
    ]),
    rule(Promise::Latitude, &[], &[], &["lat", "latitude", "geolat", "userlat", "loclat", "gpslat"]),
    rule(Promise::Longitude, &[], &[], &[
        "lon", "lng", "long", "longitude", "geolon", "geolng", "userlon", "userlng", "loclng", "loclon", "gpslon", "gpslng",
    ]),
    rule(Promise::Place, &[], &[], &[
        "ll", "latlng", "latlon", "lnglat", "lonlat", "geo", "loc", "location", "coords", "coordinates", "position", "gps", "geolocation",
    ]),
    rule(Promise::NotPersonal, &[], &[], &[
        "messageid", "inreplyto", "references", "contentid", "cid", "listid", "xmessageid", "returnpath", "kexalgorithms", "distinctid", "callid", "replaces",
        "targetdialog",
    ]),
];

/// The rules by what is looked up: names stand in front of every value of a message, and nearly none of them promises anything.
struct Words {
    whole: HashMap<&'static [u8], u8, foldhash::fast::FixedState>,
    /// By their last letter.
    ends: [Vec<(&'static [u8], u8)>; 256],
    inside: Vec<(&'static [u8], u8)>,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let mut out = Words { whole: HashMap::default(), ends: std::array::from_fn(|_| Vec::new()), inside: Vec::new() };
    for (n, rule) in (0u8..).zip(&RULES) {
        out.inside.extend(rule.inside.iter().map(|word| (word.as_bytes(), n)));
        for word in rule.ends {
            if let Some(list) = word.bytes().last().and_then(|last| out.ends.get_mut(usize::from(last))) {
                list.push((word.as_bytes(), n));
            }
        }
        for word in rule.whole {
            out.whole.entry(word.as_bytes()).or_insert(n);
        }
    }
    out
});

impl Words {
    fn promise(&self, word: &[u8]) -> Option<Promise> {
        let mut first = self.whole.get(word).copied();
        let mut take = |n: u8| first = Some(first.map_or(n, |known| known.min(n)));
        let ends = word.last().and_then(|last| self.ends.get(usize::from(*last)));
        for (end, n) in ends.into_iter().flatten() {
            if word.ends_with(end) {
                take(*n);
            }
        }
        for window in word.windows(4) {
            // All begin with an `i` or an `m`, and go on with an `m`, a `c` or an `s`.
            if matches!(window, [b'i', b'm' | b'c', ..] | [b'm', b's', ..]) {
                for (inside, n) in &self.inside {
                    if inside.starts_with(window) && memchr::memmem::find(word, inside).is_some() {
                        take(*n);
                    }
                }
            }
        }
        RULES.get(usize::from(first?)).map(|rule| rule.promise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<&str>) {
        let at = text.find('|').unwrap_or(0);
        let text = text.replace('|', "");
        assert_eq!(before(text.as_bytes(), at).map(|r| &text[r]), expect, "{text}");
    }

    #[test]
    fn names_in_front() {
        check("imei=|1", Some("imei"));
        check(r#"{"device.IMEI" : "|1"}"#, Some("device.IMEI"));
        check("<imei>|1</imei>", Some("imei"));
        check("X-IMEI: |1", Some("X-IMEI"));
        check("urn:gsma:imei:|1", Some("imei"));
        check(r#"{\"imei\":\"|1"#, Some("imei"));
        check("imei |1", None);
        check("|1", None);
        check("=|1", None);
        assert_eq!(promise(b"device_IMEI-1"), Some(Promise::Kind(Kind::Imei)));
        assert_eq!(promise(b"X-WAP-Network-Client-IMSI"), Some(Promise::Kind(Kind::Imsi)));
        assert_eq!(promise(b"$.device[0].macAddress"), Some(Promise::Kind(Kind::Mac)));
        assert_eq!(promise(b"X-Loc"), None);
        assert_eq!(promise(b"colour"), None);
        assert_eq!(promise(&[b'a'; 500]), None);
    }

    /// What the tables say is what the rules say, read one after the other.
    fn by_the_rules(word: &str) -> Option<Promise> {
        let holds = |rule: &&Rule| {
            rule.inside.iter().any(|w| word.contains(w)) || rule.ends.iter().any(|w| word.ends_with(w)) || rule.whole.contains(&word)
        };
        RULES.iter().find(holds).map(|rule| rule.promise)
    }

    #[test]
    fn every_word_is_looked_up() {
        for rule in &RULES {
            for word in [rule.inside, rule.ends, rule.whole].into_iter().flatten() {
                assert!(word.bytes().all(|b| b.is_ascii_lowercase()), "{word} can never be in a folded name");
                for word in [(*word).to_owned(), format!("x{word}"), format!("{word}x"), format!("imei{word}"), format!("{word}adid")] {
                    assert_eq!(promise(word.as_bytes()), by_the_rules(&word), "{word}");
                }
            }
            assert!(rule.inside.iter().all(|w| matches!(w.as_bytes(), [b'i', b'm' | b'c', _, _, ..] | [b'm', b's', _, _, ..])));
        }
    }

    proptest::proptest! {
        #[test]
        fn tables_and_rules_agree(parts in proptest::collection::vec("imei|imsi|iccid|msisdn|mac|address|adid|phone|device|id|[a-z]{0,3}", 0..5)) {
            let word = parts.concat();
            proptest::prop_assert_eq!(promise(word.as_bytes()), by_the_rules(&word));
        }
    }
}
