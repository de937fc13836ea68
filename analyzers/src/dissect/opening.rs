//! Logins that are no text, in the first bytes a client says: MQTT, SOCKS 5, LDAP, PostgreSQL, SMPP; those of others' frames ([`framed`]); and those
//! that veil what they say ([`veiled`]).

mod framed;
mod veiled;

use policies::IdentifierType;

use super::http::secrets::Secret;
use crate::leak::is_stand_in;

/// What first bytes are.
#[derive(Debug)]
pub(crate) enum Opening {
    /// Such an opening, whole; with what it says, if anything.
    Is(Vec<Secret>),
    /// It may become one.
    More,
    No,
}

/// Where reading stops: there is no more of it yet, or it is something else.
enum Stop {
    More,
    No,
}

type Read<T> = Result<T, Stop>;
const KINDS: [Kind; 16] = [
    mqtt,
    socks,
    ldap,
    postgres,
    smpp,
    veiled::tds,
    veiled::oscar,
    veiled::drda,
    framed::amqp,
    framed::memcached,
    framed::cassandra,
    framed::mysql,
    framed::zookeeper,
    framed::clickhouse,
    framed::rexec,
    framed::dvrip,
];
type Kind = fn(&mut Bytes<'_>, &mut Vec<Secret>) -> Read<()>;

/// Looks at the first bytes of a stream, spoken to `port`.
pub(crate) fn read(bytes: &[u8], port: u16) -> Opening {
    let mut more = false;
    let at = match proxied(&mut Bytes { all: bytes, at: 0, port }) {
        Ok(at) => at,
        Err(Stop::More) => return Opening::More,
        Err(Stop::No) => 0,
    };
    for kind in KINDS {
        let mut found = Vec::new();
        match kind(&mut Bytes { all: bytes, at, port }, &mut found) {
            Ok(()) => return Opening::Is(found),
            Err(Stop::More) => more = true,
            Err(Stop::No) => {}
        }
    }
    if more { Opening::More } else { Opening::No }
}

/// Where a client is heard whose proxy says before who it is: in a line of text or a head of bytes (HAProxy, "The PROXY protocol" §2.1, §2.2).
fn proxied(it: &mut Bytes<'_>) -> Read<usize> {
    const LONGEST_LINE: usize = 107;
    match it.expect(b"PROXY ") {
        Ok(()) => {
            let line = it.all.get(..it.all.len().min(LONGEST_LINE)).unwrap_or_default();
            let end = memchr::memchr(b'\n', line);
            return end.map(|end| end + 1).ok_or(if line.len() < LONGEST_LINE { Stop::More } else { Stop::No });
        }
        Err(Stop::More) => return Err(Stop::More),
        Err(Stop::No) => it.expect(b"\r\n\r\n\0\r\nQUIT\n")?,
    }
    it.take(2)?;
    let len = it.number(2)?;
    it.take(len)?;
    Ok(it.at)
}

struct Bytes<'a> {
    all: &'a [u8],
    at: usize,
    /// The port that is spoken to, for what nothing else tells.
    port: u16,
}

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Read<&'a [u8]> {
        let end = self.at.checked_add(len).filter(|end| *end <= LONGEST).ok_or(Stop::No)?;
        let taken = self.all.get(self.at..end).ok_or(Stop::More)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Read<u8> {
        self.take(1).map(|taken| taken.first().copied().unwrap_or_default())
    }

    /// A number, the highest byte first.
    fn number(&mut self, bytes: usize) -> Read<usize> {
        Ok(self.take(bytes)?.iter().fold(0, |sum, b| sum << 8 | usize::from(*b)))
    }

    /// Exactly these bytes.
    fn expect(&mut self, these: &[u8]) -> Read<()> {
        let here = self.all.get(self.at..).unwrap_or_default();
        let same = here.iter().zip(these).take_while(|(a, b)| a == b).count();
        if same == these.len() {
            self.at += same;
            Ok(())
        } else if same == here.len() {
            Err(Stop::More)
        } else {
            Err(Stop::No)
        }
    }

    /// A tag of BER and the length behind it (X.690 §8.1.3).
    fn element(&mut self, tag: u8) -> Read<usize> {
        self.expect(&[tag])?;
        self.length()
    }

    /// A length of BER.
    fn length(&mut self) -> Read<usize> {
        match self.byte()? {
            len @ 0..=0x7f => Ok(usize::from(len)),
            long @ 0x81..=0x84 => self.number(usize::from(long & 0x7f)),
            _ => Err(Stop::No),
        }
    }

    /// Text of ASCII up to a zero, which is taken too, and where it stands.
    fn text(&mut self, longest: usize) -> Read<(&'a [u8], usize)> {
        let here = self.all.get(self.at..).unwrap_or_default();
        let len = here.iter().take(longest + 1).take_while(|b| (b' '..=b'~').contains(b)).count();
        match here.get(len) {
            Some(0) if len <= longest => {
                let at = self.at;
                self.take(len + 1)?;
                Ok((here.get(..len).unwrap_or_default(), at))
            }
            None if len <= longest => Err(Stop::More),
            _ => Err(Stop::No),
        }
    }

    /// Takes `len` bytes that are a secret, if there are any.
    fn secret(&mut self, kind: IdentifierType, len: usize, out: &mut Vec<Secret>) -> Read<()> {
        let at = self.at;
        let value = self.take(len)?;
        if !value.is_empty() {
            out.push(Secret { kind, value: value.to_vec(), at, len, chain: &[] });
        }
        Ok(())
    }
}

/// Adds what was read at a place: not a password that is none.
fn tell(kind: IdentifierType, value: &[u8], (at, len): (usize, usize), chain: &'static [&'static str], out: &mut Vec<Secret>) {
    let is_none = value.is_empty() || kind == IdentifierType::Password && is_stand_in(value);
    if !is_none {
        out.push(Secret { kind, value: value.to_vec(), at, len, chain });
    }
}

/// Messages that come before the one with the password.
const MOST_MESSAGES: usize = 8;
/// No such opening is longer.
const LONGEST: usize = 16 << 10;

/// The CONNECT packet of MQTT 3.1, 3.1.1 and 5 (3.1.1 §3.1; 5.0 §3.1): the password at its end.
fn mqtt(it: &mut Bytes<'_>, out: &mut Vec<Secret>) -> Read<()> {
    it.expect(&[0x10])?;
    varint(it)?;
    let name = match it.number(2)? {
        4 => &b"MQTT"[..],
        6 => b"MQIsdp",
        _ => return Err(Stop::No),
    };
    it.expect(name)?;
    // Bridges set the highest bit of the level (mosquitto, `try_private`).
    let (level, flags) = (it.byte()? & 0x7f, it.byte()?);
    it.take(2)?;
    let properties = |it: &mut Bytes<'_>| if level >= 5 { varint(it).and_then(|len| it.take(len)).map(drop) } else { Ok(()) };
    let text = |it: &mut Bytes<'_>| it.number(2).and_then(|len| it.take(len)).map(drop);
    properties(it)?;
    text(it)?;
    // A last will: its topic and message.
    if flags & 4 != 0 {
        properties(it)?;
        text(it)?;
        text(it)?;
    }
    for (flag, kind) in [(0x80, IdentifierType::UserName), (0x40, IdentifierType::Password)] {
        if flags & flag != 0 {
            let len = it.number(2)?;
            it.secret(kind, len, out)?;
        }
    }
    Ok(())
}

/// MQTT's numbers of one to four bytes (5.0 §1.5.5).
fn varint(it: &mut Bytes<'_>) -> Read<usize> {
    let mut value = 0;
    for shift in [0, 7, 14, 21] {
        let b = it.byte()?;
        value |= usize::from(b & 0x7f) << shift;
        if b & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Stop::No)
}

/// A client of SOCKS 5 that offers user name and password (RFC 1928 §3) and goes on with them (RFC 1929 §2).
fn socks(it: &mut Bytes<'_>, out: &mut Vec<Secret>) -> Read<()> {
    it.expect(&[5])?;
    let methods = usize::from(it.byte()?);
    if !it.take(methods)?.contains(&2) {
        return Err(Stop::No);
    }
    it.expect(&[1])?;
    for kind in [IdentifierType::UserName, IdentifierType::Password] {
        let len = usize::from(it.byte()?);
        it.secret(kind, len, out)?;
    }
    Ok(())
}

/// A simple bind of LDAP (RFC 4511 §4.2): the name, then the password. An anonymous one, a search or another request may come before it.
fn ldap(it: &mut Bytes<'_>, out: &mut Vec<Secret>) -> Read<()> {
    const BIND: u8 = 0x60;
    for _ in 0..MOST_MESSAGES {
        let len = it.element(0x30)?;
        let end = it.at + len;
        let number = it.element(2)?;
        if !(1..=4).contains(&number) {
            return Err(Stop::No);
        }
        it.take(number)?;
        let request = it.byte()?;
        // The requests of a client (§4.2 to §4.14): of the class for applications.
        if !matches!(request, BIND | 0x42 | 0x4a | 0x50 | 0x63 | 0x66 | 0x68 | 0x6c | 0x6e | 0x77) {
            return Err(Stop::No);
        }
        if request == BIND {
            it.length()?;
            if it.element(2)? != 1 || !(2..=3).contains(&it.byte()?) {
                return Err(Stop::No);
            }
            let user = it.element(4)?;
            let (user_at, user) = (it.at, it.take(user)?);
            let kind = it.byte()?;
            let proof = it.length()?;
            let (proof_at, proof) = (it.at, it.take(proof)?);
            // SASL has a reader of its own.
            if kind == 0x80 && !(user.is_empty() && proof.is_empty()) {
                tell(IdentifierType::UserName, user, (user_at, user.len()), &[], out);
                tell(IdentifierType::Password, proof, (proof_at, proof.len()), &[], out);
                return Ok(());
            }
            if kind != 0x80 && kind != 0xa3 {
                return Err(Stop::No);
            }
        }
        // The rest of it, and controls behind it (§4.1.11).
        it.take(end.checked_sub(it.at).ok_or(Stop::No)?)?;
    }
    Ok(())
}

/// A start-up message of PostgreSQL and the password behind it ("Message Formats"), if that is none of a challenge's answers.
fn postgres(it: &mut Bytes<'_>, out: &mut Vec<Secret>) -> Read<()> {
    // Wishes for TLS and for encryption by GSSAPI that were refused come before it.
    let mut len = it.number(4)?;
    for _ in 0..2 {
        if len != 8 {
            break;
        }
        it.expect(&[4, 210, 22])?;
        if !matches!(it.byte()?, 47 | 48) {
            return Err(Stop::No);
        }
        len = it.number(4)?;
    }
    it.expect(&[0, 3])?;
    // 3.0 and 3.2, and the one that tests whether servers bear others.
    if !matches!(it.number(2)?, 0 | 2 | 9999) {
        return Err(Stop::No);
    }
    it.take(len.checked_sub(8).ok_or(Stop::No)?)?;
    it.expect(b"p")?;
    let len = it.number(4)?.checked_sub(5).ok_or(Stop::No)?;
    it.secret(IdentifierType::Password, len, out)?;
    it.expect(&[0])?;
    let challenged = |s: &Secret| s.value.contains(&0) || s.value.starts_with(b"md5") && s.len == 35;
    out.retain(|s| !challenged(s));
    Ok(())
}

/// A bind of SMPP, or the outbind that asks for one (3.4 §4.1): who it is and the password, each up to a zero. Centres allow more than the eight
/// letters of the standard.
fn smpp(it: &mut Bytes<'_>, out: &mut Vec<Secret>) -> Read<()> {
    const OUTBIND: u8 = 0x0b;
    const LONGEST_FIELD: usize = 64;
    it.expect(&[0, 0])?;
    let end = it.number(2)?;
    it.expect(&[0, 0, 0])?;
    let command = it.byte()?;
    if !matches!(command, 1 | 2 | 9 | OUTBIND) || !(19..=512).contains(&end) {
        return Err(Stop::No);
    }
    // No status, and a number of its own.
    it.expect(&[0; 4])?;
    it.take(4)?;
    let (system, password) = (it.text(LONGEST_FIELD)?, it.text(LONGEST_FIELD)?);
    if command != OUTBIND {
        it.text(LONGEST_FIELD)?;
        it.take(3)?;
        it.text(LONGEST_FIELD)?;
    }
    // Optional parameters (§5.3.1), up to the end that was announced.
    while it.at < end {
        it.take(2)?;
        let len = it.number(2)?;
        it.take(len)?;
    }
    if it.at != end {
        return Err(Stop::No);
    }
    for (kind, (value, at)) in [(IdentifierType::UserName, system), (IdentifierType::Password, password)] {
        tell(kind, value, (at, value.len()), &[], out);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    pub(super) fn check(bytes: &[u8], expect: &[(IdentifierType, &str, usize)]) {
        check_at(0, bytes, expect);
    }

    /// What is found in a whole opening, and that no piece of it is taken for another thing.
    #[track_caller]
    pub(super) fn check_at(port: u16, bytes: &[u8], expect: &[(IdentifierType, &str, usize)]) {
        for cut in 1..bytes.len() {
            let got = read(&bytes[..cut], port);
            assert!(matches!(got, Opening::More), "{cut} bytes of {}: {got:?}", bytes.escape_ascii());
        }
        let found = match read(bytes, port) {
            Opening::Is(found) => found,
            other => unreachable!("{other:?}"),
        };
        let found: Vec<_> = found.iter().map(|s| (s.kind, String::from_utf8_lossy(&s.value).into_owned(), s.at)).collect();
        let expect: Vec<_> = expect.iter().map(|(kind, value, at)| (*kind, (*value).to_owned(), *at)).collect();
        assert_eq!(found, expect, "{}", bytes.escape_ascii());
    }

    /// Nothing is told of what only looks alike, nor of its pieces.
    #[track_caller]
    pub(super) fn none(bytes: &[u8]) {
        for cut in 1..=bytes.len() {
            if let Opening::Is(found) = read(&bytes[..cut], 0) {
                assert_eq!(found, [], "{cut} bytes of {}", bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn binds_of_smpp() {
        use IdentifierType::{Password, UserName};
        let pdu = |command: u8, body: &[u8]| [&[0, 0, 0, 16 + body.len() as u8, 0, 0, 0, command, 0, 0, 0, 0, 0, 0, 0, 7], body].concat();
        let expect = [(UserName, "ada", 16), (Password, "secret", 20)];
        for command in [1, 2, 9] {
            check(&pdu(command, b"ada\0secret\0SMPP\0\x34\0\0\0"), &expect);
        }
        check(&pdu(9, b"ada\0secret\0\0\x34\x01\x01^49\0\x02\x10\0\x01\x34"), &expect);
        check(&pdu(0x0b, b"ada\0secret\0"), &expect);
        check(&pdu(9, b"ada\0\0\0\x34\0\0\0"), &[(UserName, "ada", 16)]);
        check(&pdu(9, b"ada\0********\0\0\x34\0\0\0"), &[(UserName, "ada", 16)]);
        // Another command, an answer, a number of something else, and lengths that do not agree.
        none(&pdu(4, b"ada\0secret\0SMPP\0\x34\0\0\0"));
        none(b"\0\0\0\x15\x80\0\0\x09\0\0\0\0\0\0\0\x01SMSC\0");
        none(&pdu(9, b"ada\0sec\xe9ret\0SMPP\0\x34\0\0\0"));
        none(&pdu(9, b"ada\0secret\0SMPP\0\x34\0\0\0more"));
        none(&pdu(9, b"ada\0secret\0SMPP\0\x34\0\0").into_iter().chain([0; 20]).collect::<Vec<_>>());
    }

    #[test]
    fn openings() {
        use IdentifierType::{Password, UserName};
        check(b"\x10\x1f\0\x04MQTT\x04\xc2\0\x3c\0\x03dev\0\x03ada\0\x06secret", &[(UserName, "ada", 19), (Password, "secret", 24)]);
        check(b"\x10\x20\0\x04MQTT\x05\xc2\0\x3c\0\0\x03dev\0\x03ada\0\x06secret", &[(UserName, "ada", 20), (Password, "secret", 25)]);
        check(b"\x10\x1f\0\x04MQTT\x84\xc2\0\x3c\0\x03dev\0\x03ada\0\x06secret", &[(UserName, "ada", 19), (Password, "secret", 24)]);
        check(b"\x10\x21\0\x06MQIsdp\x83\xc2\0\x3c\0\x03dev\0\x03ada\0\x06secret", &[(UserName, "ada", 21), (Password, "secret", 26)]);
        check(b"\x10\x20\0\x04MQTT\x85\xc2\0\x3c\0\0\x03dev\0\x03ada\0\x06secret", &[(UserName, "ada", 20), (Password, "secret", 25)]);
        check(b"\x05\x02\0\x02\x01\x03ada\x06secret", &[(UserName, "ada", 6), (Password, "secret", 10)]);
        check(
            b"\x30\x18\x02\x01\x01\x60\x13\x02\x01\x03\x04\x06cn=ada\x80\x06secret",
            &[(UserName, "cn=ada", 12), (Password, "secret", 20)],
        );
        let secret = b"\x30\x18\x02\x01\x02\x60\x13\x02\x01\x03\x04\x06cn=ada\x80\x06secret";
        let anonymous = b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\0\x80\0";
        let search = b"\x30\x25\x02\x01\x01\x63\x20\x04\0\x0a\x01\0\x0a\x01\0\x02\x01\0\x02\x01\0\x01\x01\0\x87\x0bobjectclass\x30\0";
        for before in [&anonymous[..], search, &[&search[..], anonymous].concat()] {
            let at = before.len();
            check(&[before, secret].concat(), &[(UserName, "cn=ada", at + 12), (Password, "secret", at + 20)]);
        }
        check(&anonymous.repeat(8), &[]);
        none(anonymous);
        // What no client says, and a length that is none.
        none(&[&b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\0\x04\0\x04\0"[..], secret].concat());
        none(&[&b"\x30\x08\x02\x01\x01\x60\x07\x02\x01\x03\x04\0\x80\0"[..], secret].concat());
        check(b"\0\0\0\x12\0\x03\0\0user\0ada\0\0p\0\0\0\x0bsecret\0", &[(Password, "secret", 23)]);
        let (tls, gss) = (b"\0\0\0\x08\x04\xd2\x16\x2f", b"\0\0\0\x08\x04\xd2\x16\x30");
        for minor in [b"\0\0", b"\0\x02", b"\x27\x0f"] {
            let start = [b"\0\0\0\x12\0\x03", &minor[..], b"user\0ada\0\0p\0\0\0\x0bsecret\0"].concat();
            for before in [&b""[..], tls, gss, &[&gss[..], tls].concat()] {
                check(&[before, &start].concat(), &[(Password, "secret", before.len() + 23)]);
            }
        }
        none(b"\0\0\0\x12\0\x03\0\x01user\0ada\0\0p\0\0\0\x0bsecret\0");
        none(&[&tls[..], tls, tls, b"\0\0\0\x12\0\x03\0\0user\0ada\0\0p\0\0\0\x0bsecret\0"].concat());
        // Behind a proxy.
        let mqtt = b"\x10\x1f\0\x04MQTT\x04\xc2\0\x3c\0\x03dev\0\x03ada\0\x06secret";
        for proxy in [
            &b"PROXY TCP4 192.0.2.1 203.0.113.5 40001 1883\r\n"[..],
            b"PROXY UNKNOWN\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xcb\0\x71\x05\x9c\x41\x07\x5b",
        ] {
            let at = proxy.len();
            check(&[proxy, mqtt].concat(), &[(UserName, "ada", at + 19), (Password, "secret", at + 24)]);
        }
        none(&[&b"PROXY "[..], &[b'x'; 102], b"\r\n", mqtt].concat());
        // Without a password, with a challenge's answer, and what only begins alike.
        check(b"\x10\x12\0\x04MQTT\x04\x02\0\x3c\0\x06device", &[]);
        for other in
            [&b"GET / HTTP/1.1"[..], b"\x05\x01\0\x05\x01\0\x01", b"\x30\x03\x04\x01a", b"AMQP\x03\x01\0\0", b"\x10\x02\0\x05xxxxx"]
        {
            assert!(matches!(read(other, 0), Opening::No), "{}", other.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn hostile(start in 0usize..13, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let starts: [&[u8]; 13] = [
                b"\x10\x1f\0\x04MQTT\x05\xff\0\x3c", b"\x05\x02", b"\x30\x84", b"\0\0\0\x12\0\x03\0\0",
                b"1022\0", b"\0\x11ClickHouse client\x15\x08\xa5\xa9\x03", b"\x04\0\0\x01\x01\0\0\0\0", b"\xa0\x05\0\x60", b"\x80\x21\0\x05\0\0",
                b"\0\0\0\x28\0\0\0\x09\0\0\0\0", b"\x10\x01\0\x68\0\0\x01\0",
                b"\x2a\x01\0\x01\0\x20\0\0\0\x01", b"\0\x0a\xd0\x41\0\x01\0\x04\x10\x41",
            ];
            let all = [starts[start], &bytes].concat();
            if let Opening::Is(found) = read(&all, 512) {
                for secret in found {
                    prop_assert!(secret.at + secret.len <= all.len());
                }
            }
        }
    }
}
