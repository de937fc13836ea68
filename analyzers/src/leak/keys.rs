//! What the name of a field promises about its value.

use std::ops::Range;

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
    use Promise::{Device, Latitude, Longitude, NotPersonal, Place};
    let mut folded = [0u8; LONGEST];
    let mut len = 0;
    for b in name.iter().filter(|b| b.is_ascii_alphanumeric()) {
        *folded.get_mut(len)? = b.to_ascii_lowercase();
        len += 1;
    }
    let word = std::str::from_utf8(folded.get(..len)?).ok()?;
    let exact = |words: &[&str]| words.contains(&word);
    let ends = |words: &[&str]| words.iter().any(|w| word.ends_with(w));
    Some(if word.contains("imei") || exact(&["meid"]) {
        Promise::Kind(Kind::Imei)
    } else if word.contains("imsi") || exact(&["subscriberid", "simsubscriberid"]) {
        Promise::Kind(Kind::Imsi)
    } else if word.contains("iccid") || exact(&["simserial", "simserialnumber"]) {
        Promise::Kind(Kind::Iccid)
    } else if exact(&["eid", "euiccid"]) {
        Promise::Kind(Kind::Eid)
    } else if word.contains("msisdn")
        || ends(&["phone", "phonenumber", "phoneno", "mobile", "mobilenumber", "telephone", "cellphone", "callinglineid"])
        || exact(&["tel", "msid"])
    {
        Promise::Kind(Kind::Msisdn)
    } else if exact(&["androidid", "ssaid", "aid", "andid"]) || ends(&["androidid"]) {
        Promise::Kind(Kind::AndroidId)
    } else if exact(&[
        "idfa",
        "gaid",
        "aaid",
        "adid",
        "ifa",
        "rdid",
        "oaid",
        "gpsadid",
        "googleadid",
        "googleaid",
        "advertisingid",
        "advertiserid",
        "advertisingidentifier",
        "deviceifa",
    ]) || ends(&["advertisingid", "adid"])
    {
        Promise::Kind(Kind::AdId)
    } else if exact(&["bssid", "apmac", "apmacaddress"]) || ends(&["bssid"]) {
        Promise::Kind(Kind::Bssid)
    } else if exact(&["btmac", "bluetoothmac", "bluetoothaddress", "btaddress", "btaddr"]) {
        Promise::Kind(Kind::BluetoothMac)
    } else if exact(&["mac", "macaddr", "macaddress", "wifimac", "wlanmac", "ethmac", "hwaddr", "macid", "devicemac", "wifimacaddress"])
        || ends(&["macaddress", "macaddr", "wifimac"])
    {
        Promise::Kind(Kind::Mac)
    } else if exact(&["ssid", "wifissid", "wifiname"]) {
        Promise::Kind(Kind::Ssid)
    } else if exact(&["serial", "serialno", "serialnumber", "deviceserial", "hwserial", "sernum"]) || ends(&["serialnumber"]) {
        Promise::Kind(Kind::Serial)
    } else if exact(&[
        "password",
        "passwd",
        "pwd",
        "pass",
        "passphrase",
        "userpassword",
        "userpass",
        "loginpassword",
        "userpwd",
        "jpassword",
        "txtpassword",
    ]) || ends(&["password", "passwd"])
    {
        Promise::Kind(Kind::Password)
    } else if exact(&[
        "accesstoken",
        "refreshtoken",
        "authtoken",
        "apikey",
        "clientsecret",
        "sessiontoken",
        "idtoken",
        "oauthtoken",
        "secretkey",
    ]) {
        Promise::Kind(Kind::Token)
    } else if exact(&["pushtoken", "fcmtoken", "gcmtoken", "registrationid", "devicetoken", "apnstoken", "regid"]) {
        Promise::Kind(Kind::PushToken)
    } else if exact(&["username", "userlogin", "loginname", "uname", "login", "screenname", "nickname"]) {
        Promise::Kind(Kind::UserName)
    } else if exact(&["fullname", "firstname", "lastname", "surname", "givenname", "familyname", "realname"]) {
        Promise::Kind(Kind::PersonName)
    } else if exact(&["birthday", "birthdate", "dateofbirth", "dob", "bday"]) {
        Promise::Kind(Kind::BirthDate)
    } else if exact(&["cardnumber", "ccnumber", "pan", "creditcard", "cardno"]) {
        Promise::Kind(Kind::PaymentCard)
    } else if exact(&[
        "deviceid",
        "devid",
        "did",
        "udid",
        "duid",
        "uniqueid",
        "hwid",
        "hardwareid",
        "openudid",
        "deviceuuid",
        "deviceuid",
        "idfv",
        "uniquedeviceid",
        "androiddeviceid",
        "installationid",
        "installid",
    ]) || ends(&["deviceid"])
    {
        Device
    } else if exact(&["lat", "latitude", "geolat", "userlat", "loclat", "gpslat"]) {
        Latitude
    } else if exact(&["lon", "lng", "long", "longitude", "geolon", "geolng", "userlon", "userlng", "loclng", "loclon", "gpslon", "gpslng"])
    {
        Longitude
    } else if exact(&[
        "ll",
        "latlng",
        "latlon",
        "lnglat",
        "lonlat",
        "geo",
        "loc",
        "location",
        "coords",
        "coordinates",
        "position",
        "gps",
        "geolocation",
    ]) {
        Place
    } else if exact(&[
        "messageid",
        "inreplyto",
        "references",
        "contentid",
        "cid",
        "listid",
        "xmessageid",
        "returnpath",
        "kexalgorithms",
        "distinctid",
    ]) {
        NotPersonal
    } else {
        return None;
    })
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
        assert_eq!(promise(b"colour"), None);
        assert_eq!(promise(&[b'a'; 500]), None);
    }
}
