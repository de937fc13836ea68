//! Logins in frames whose lengths and numbers say what they are: AMQP, memcached, Cassandra, MySQL, ZooKeeper, ClickHouse, rexec, Dahua's recorders.

use policies::IdentifierType::{Password, UserName};

use super::{Bytes, MOST_MESSAGES, Read, Stop, tell, varint};
use crate::dissect::http::secrets::Secret;
use crate::dissect::login::plain_message;

/// Whether a value is what somebody typed: text without controls.
fn is_said(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// The mechanism AMQPLAIN of AMQP 0-8 and 0-9: a table with user and password in the answer to the start (RabbitMQ, "Access Control"; 0-9-1 §4.2.5.5).
pub(super) fn amqp(it: &mut Bytes<'_>, out: &mut Vec<Secret>) -> Read<()> {
    it.expect(b"AMQP")?;
    let version = it.number(4)?;
    if !matches!(version, 0x0000_0901 | 0x0101_0009 | 0x0101_0800) {
        return Err(Stop::No);
    }
    // A method on channel 0: connection.start-ok.
    it.expect(&[1, 0, 0])?;
    it.take(4)?;
    it.expect(&[0, 10, 0, 11])?;
    let client = it.number(4)?;
    it.take(client)?;
    it.expect(b"\x08AMQPLAIN")?;
    let len = it.number(4)?;
    if len > super::LONGEST {
        return Err(Stop::No);
    }
    let end = it.at + len;
    let mut found = Vec::new();
    while it.at < end {
        let name = it.number(1)?;
        let name = it.take(name)?;
        // Texts alone.
        it.expect(b"S")?;
        let len = it.number(4)?;
        let at = it.at;
        let value = it.take(len)?;
        match name {
            b"LOGIN" => found.push((UserName, value, at)),
            b"PASSWORD" => found.push((Password, value, at)),
            _ => {}
        }
    }
    if it.at != end {
        return Err(Stop::No);
    }
    for (kind, value, at) in found.into_iter().filter(|(_, value, _)| is_said(value)) {
        tell(kind, value, (at, value.len()), &[], out);
    }
    Ok(())
}

/// The binary protocol of memcached: a request to authenticate by SASL PLAIN, maybe behind others (memcached `SASLAuthProtocol`).
pub(super) fn memcached(it: &mut Bytes<'_>, out: &mut Vec<Secret>) -> Read<()> {
    const AUTHENTICATE: u8 = 0x21;
    for _ in 0..MOST_MESSAGES {
        it.expect(&[0x80])?;
        let command = it.byte()?;
        let (key, extras) = (it.number(2)?, it.number(1)?);
        it.expect(&[0])?;
        it.take(2)?;
        let body = it.number(4)?;
        it.take(12)?;
        if key + extras > body {
            return Err(Stop::No);
        }
        it.take(extras)?;
        let name = it.take(key)?;
        let at = it.at;
        let value = it.take(body - key - extras)?;
        if command == AUTHENTICATE {
            if name == b"PLAIN" {
                plain_message(value, at, out);
            }
            return Ok(());
        }
    }
    Err(Stop::No)
}

/// The native protocol of Cassandra, versions 3 to 5: after the start an answer to its `PasswordAuthenticator`, which is as in SASL PLAIN (native_protocol_v4.spec
/// §4.1.2, v5 §2.3.1).
pub(super) fn cassandra(it: &mut Bytes<'_>, out: &mut Vec<Secret>) -> Read<()> {
    const STARTUP: u8 = 1;
    const OPTIONS: u8 = 5;
    const REGISTER: u8 = 0x0b;
    const AUTH_RESPONSE: u8 = 0x0f;
    let version = it.byte()?;
    if !(3..=5).contains(&version) {
        return Err(Stop::No);
    }
    let mut started = false;
    for number in 0..MOST_MESSAGES {
        // Behind the start version 5 has segments, with a head of six bytes and a sum of four at their end.
        let segment = version == 5 && started;
        if segment {
            it.take(6)?;
        }
        if number > 0 {
            it.expect(&[version])?;
        }
        // Nothing is compressed before the start is answered; a trial version says so in its flags.
        if !matches!(it.byte()?, 0 | 0x10) {
            return Err(Stop::No);
        }
        it.take(2)?;
        let (kind, len) = (it.byte()?, it.number(4)?);
        let known = matches!((kind, started), (STARTUP | OPTIONS, false) | (REGISTER | AUTH_RESPONSE, true));
        if !known || len > super::LONGEST {
            return Err(Stop::No);
        }
        if kind == AUTH_RESPONSE {
            let said = it.number(4)?;
            if said + 4 != len {
                return Err(Stop::No);
            }
            let at = it.at;
            plain_message(it.take(said)?, at, out);
            return Ok(());
        }
        it.take(len)?;
        if segment {
            it.take(4)?;
        }
        started |= kind == STARTUP;
    }
    Err(Stop::No)
}

/// A login of MySQL or MariaDB (protocol 4.1, HandshakeResponse41) whose password is shown: by the plugin that says so, and in the answer to a server that changed to it. The
/// other plugins answer a challenge.
pub(super) fn mysql(it: &mut Bytes<'_>, out: &mut Vec<Secret>) -> Read<()> {
    const WITH_DATABASE: usize = 0x8;
    const PROTOCOL_41: usize = 0x200;
    const SECURE: usize = 0x8000;
    const PLUGIN: usize = 0x8_0000;
    const LENGTH_CODED: usize = 0x20_0000;
    const CLEAR: [&[u8]; 2] = [b"mysql_clear_password", b"dialog"];
    let little = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, b| sum << 8 | usize::from(*b));
    let len = little(it.take(3)?);
    if !(36..=1024).contains(&len) {
        return Err(Stop::No);
    }
    it.expect(&[1])?;
    let end = it.at + len;
    let abilities = little(it.take(4)?);
    if abilities & PROTOCOL_41 == 0 || abilities & (SECURE | LENGTH_CODED) == 0 {
        return Err(Stop::No);
    }
    it.take(5)?;
    // MariaDB has abilities of its own in the last four of these.
    it.expect(&[0; 19])?;
    it.take(4)?;
    let (user, user_at) = it.text(80)?;
    let proof = it.number(1)?;
    if proof > 250 {
        return Err(Stop::No);
    }
    let proof_at = it.at;
    let proof = it.take(proof)?;
    if abilities & WITH_DATABASE != 0 {
        it.text(256)?;
    }
    let plugin = if abilities & PLUGIN != 0 { it.text(64)?.0 } else { b"" };
    // What else it says of itself.
    it.take(end.checked_sub(it.at).ok_or(Stop::No)?)?;
    let shown = |value: &[u8]| {
        let said = value.strip_suffix(&[0]).unwrap_or(value);
        (!said.is_empty() && is_said(said)).then(|| said.to_vec())
    };
    let (password, at) = if CLEAR.contains(&plugin) && !matches!(proof, [] | [0]) {
        (shown(proof), proof_at)
    } else {
        // The next packet of the client, behind one of the server, is the answer to a change.
        let len = little(it.take(3)?);
        if !(2..=256).contains(&len) {
            return Err(Stop::No);
        }
        it.expect(&[3])?;
        let at = it.at;
        let answer = it.take(len)?;
        // The proof of the oldest plugin has eight letters (`scramble_323`).
        let old = len == 9 && answer.iter().take(8).all(|b| (0x40..0x60).contains(b));
        (shown(answer).filter(|_| answer.ends_with(&[0]) && !old), at)
    };
    if let Some(password) = password {
        tell(UserName, user, (user_at, user.len()), &[], out);
        tell(Password, &password, (at, password.len()), &[], out);
    }
    Ok(())
}

/// A session of ZooKeeper: the request to connect, then one to authenticate by `digest`, which is user and password (ZooKeeper `AuthPacket`, zookeeper.jute).
pub(super) fn zookeeper(it: &mut Bytes<'_>, out: &mut Vec<Secret>) -> Read<()> {
    let len = it.number(4)?;
    if !matches!(len, 44 | 45) {
        return Err(Stop::No);
    }
    // The version, and behind what was seen, the time-out and the session a password of sixteen bytes.
    it.expect(&[0; 4])?;
    it.take(20)?;
    it.expect(&[0, 0, 0, 16])?;
    it.take(len - 28)?;
    for _ in 0..MOST_MESSAGES {
        let len = it.number(4)?;
        if !(8..=super::LONGEST).contains(&len) {
            return Err(Stop::No);
        }
        let end = it.at + len;
        let (number, kind) = (it.number(4)?, it.number(4)?);
        if (number, kind) != (0xffff_fffc, 100) {
            it.take(len - 8)?;
            continue;
        }
        it.take(4)?;
        let scheme = it.number(4)?;
        let scheme = it.take(scheme)?;
        let said = it.number(4)?;
        let at = it.at;
        let said = it.take(said)?;
        if it.at != end {
            return Err(Stop::No);
        }
        if scheme == b"digest"
            && is_said(said)
            && let Some(colon) = memchr::memchr(b':', said)
        {
            let (user, password) = (&said[..colon], &said[colon + 1..]);
            tell(UserName, user, (at, colon), &[], out);
            tell(Password, password, (at + colon + 1, password.len()), &[], out);
        }
        return Ok(());
    }
    Err(Stop::No)
}

/// The hello of ClickHouse's own protocol: the client's name and version, then database, user and password (ClickHouse, "Native protocol: client").
pub(super) fn clickhouse(it: &mut Bytes<'_>, out: &mut Vec<Secret>) -> Read<()> {
    it.expect(&[0])?;
    let (name, _) = counted(it)?;
    let (major, minor, revision) = (varint(it)?, varint(it)?, varint(it)?);
    // Revisions count from 54000 on since it is published.
    if name.is_empty() || major > 99 || minor > 99 || !(50_000..60_000).contains(&revision) {
        return Err(Stop::No);
    }
    counted(it)?;
    let (user, password) = (counted(it)?, counted(it)?);
    // Keys, tokens and other servers have a mark that begins with a blank.
    if !user.0.starts_with(b" ") {
        tell(UserName, user.0, (user.1, user.0.len()), &[], out);
        tell(Password, password.0, (password.1, password.0.len()), &[], out);
    }
    Ok(())
}

/// A text with its length in front, and where it stands.
fn counted<'a>(it: &mut Bytes<'a>) -> Read<(&'a [u8], usize)> {
    let len = varint(it)?;
    if len > 255 {
        return Err(Stop::No);
    }
    let at = it.at;
    let here = it.all.get(at..).unwrap_or_default();
    if here.iter().take(len).any(|b| *b < b' ' || *b == 0x7f) {
        return Err(Stop::No);
    }
    Ok((it.take(len)?, at))
}

/// A command to rexec: a port in digits, then user, password and command, each up to a zero (rexecd(8)). On the port of rsh the same would be two names.
pub(super) fn rexec(it: &mut Bytes<'_>, out: &mut Vec<Secret>) -> Read<()> {
    const REXEC: u16 = 512;
    if it.port != REXEC {
        return Err(Stop::No);
    }
    let (port, _) = it.text(5)?;
    if !port.iter().all(u8::is_ascii_digit) {
        return Err(Stop::No);
    }
    let (user, password, command) = (it.text(64)?, it.text(128)?, it.text(4096)?);
    if !user.0.is_empty() && !command.0.is_empty() {
        tell(UserName, user.0, (user.1, user.0.len()), &[], out);
        tell(Password, password.0, (password.1, password.0.len()), &[], out);
    }
    Ok(())
}

/// A login to a recorder of Dahua (DVRIP): a head of 32 bytes with the length of what follows, which is `user&&password`. Newer ones have digests there.
pub(super) fn dvrip(it: &mut Bytes<'_>, out: &mut Vec<Secret>) -> Read<()> {
    it.expect(&[0xa0])?;
    it.take(2)?;
    it.expect(&[0x60])?;
    let len = it.take(4)?.iter().rev().fold(0, |sum, b| sum << 8 | usize::from(*b));
    if !(4..=512).contains(&len) {
        return Err(Stop::No);
    }
    it.take(24)?;
    let from = it.at;
    let said = it.take(len)?;
    let said = said.trim_ascii_end();
    let Some(user) = memchr::memmem::find(said, b"&&").filter(|user| *user > 0 && is_said(said)) else { return Ok(()) };
    let (user, password) = (&said[..user], &said[user + 2..]);
    // Digests in hexadecimal, of 32 digits each.
    if password.len() >= 32 && password.len().is_multiple_of(32) && password.iter().all(u8::is_ascii_hexdigit) {
        return Ok(());
    }
    tell(UserName, user, (from, user.len()), &[], out);
    tell(Password, password, (from + user.len() + 2, password.len()), &[], out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, check_at, none};
    use super::*;

    #[test]
    fn logins_of_amqp() {
        let long = |text: &[u8]| [&[0, 0, 0, text.len() as u8], text].concat();
        let start = |head: &[u8], mechanism: &[u8], said: &[u8]| {
            let client = long(b"\x07productS\0\0\0\x01x");
            let body = [b"\0\x0a\0\x0b", &client[..], &[mechanism.len() as u8], mechanism, &long(said), b"\x05en_US"].concat();
            [head, &[1, 0, 0], &long(&body), b"\xce"].concat()
        };
        let said = b"\x05LOGINS\0\0\0\x03ada\x08PASSWORDS\0\0\0\x06secret";
        for head in [b"AMQP\0\0\x09\x01", b"AMQP\x01\x01\0\x09", b"AMQP\x01\x01\x08\0"] {
            // What stands behind the answer is not waited for.
            let all = start(head, b"AMQPLAIN", said);
            check(&all[..all.len() - 7], &[(UserName, "ada", 61), (Password, "secret", 78)]);
        }
        let head = b"AMQP\0\0\x09\x01";
        none(&start(head, b"PLAIN", said));
        none(&start(b"AMQP\x03\x01\0\0", b"AMQPLAIN", said));
        none(&start(head, b"AMQPLAIN", b"\x05LOGINS\0\0\0\x03ada\x08PASSWORDI\0\0\0\x06secret"));
        none(&start(head, b"AMQPLAIN", b"\x08PASSWORDS\0\0\0\x0dsecret"));
        let hidden = start(head, b"AMQPLAIN", b"\x05LOGINS\0\0\0\x03ada\x08PASSWORDS\0\0\0\x06******");
        check(&hidden[..hidden.len() - 7], &[(UserName, "ada", 61)]);
    }

    #[test]
    fn requests_of_memcached() {
        let request = |command: u8, key: &[u8], value: &[u8]| {
            let head = [&[0x80, command, 0, key.len() as u8, 0, 0, 0, 0, 0, 0, 0, (key.len() + value.len()) as u8][..], &[0; 12]].concat();
            [&head[..], key, value].concat()
        };
        let expect = |at: usize| [(UserName, "ada", at), (Password, "secret", at + 4)];
        check(&request(0x21, b"PLAIN", b"\0ada\0secret"), &expect(30));
        check(&[request(0x20, b"", b""), request(0x21, b"PLAIN", b"\0ada\0secret")].concat(), &expect(54));
        check(&request(0x21, b"SCRAM-SHA-1", b"n,,n=ada,r=x"), &[]);
        check(&request(0x21, b"PLAIN", b"\0ada\0"), &[]);
        none(&[request(0, b"key", b""), vec![0; 24]].concat());
        none(&request(0x21, b"PLAIN", b"\0ada\0secret").into_iter().take(39).collect::<Vec<_>>());
    }

    #[test]
    fn sessions_of_cassandra() {
        let frame = |version: u8, kind: u8, body: &[u8]| [&[version, 0, 0, 1, kind, 0, 0, 0, body.len() as u8][..], body].concat();
        let start = |version| frame(version, 1, b"\0\x01\0\x0bCQL_VERSION\0\x053.0.0");
        let answer = b"\0\0\0\x0b\0ada\0secret";
        let expect = |at: usize| [(UserName, "ada", at), (Password, "secret", at + 4)];
        for version in [3, 4] {
            check(&[start(version), frame(version, 0x0f, answer)].concat(), &expect(45));
            let asked = [frame(version, 5, b""), start(version), frame(version, 0x0f, answer)].concat();
            check(&asked, &expect(54));
        }
        check(&[start(5), b"segmen".to_vec(), frame(5, 0x0f, answer), b"sums".to_vec()].concat()[..61], &expect(51));
        check(&[start(4), frame(4, 0x0f, b"\0\0\0\x0b\x01ada\x02secret")].concat(), &[]);
        none(&frame(4, 0x0f, answer));
        none(&[start(4), frame(4, 7, answer)].concat());
        none(&[start(4), frame(4, 0x0f, b"\0\0\0\x0a\0ada\0secret")].concat());
        none(&[start(4), frame(3, 0x0f, answer)].concat());
    }

    #[test]
    fn logins_of_mysql() {
        let packet = |number: u8, body: &[u8]| [&[body.len() as u8, 0, 0, number], body].concat();
        let login = |proof: &[u8], plugin: &str| {
            let head = [&[0x85, 0xa6, 0x0a, 0, 0, 0, 0, 1, 45][..], &[0; 23], b"ada\0", &[proof.len() as u8], proof].concat();
            packet(1, &[&head[..], plugin.as_bytes(), b"\0"].concat())
        };
        let native = login(&[0x91; 20], "mysql_native_password");
        let behind = native.len() + 4;
        check(&[&native[..], &packet(3, b"secret\0")].concat(), &[(UserName, "ada", 36), (Password, "secret", behind)]);
        let clear = login(b"", "mysql_clear_password");
        check(&[&clear[..], &packet(3, b"secret\0")].concat(), &[(UserName, "ada", 36), (Password, "secret", clear.len() + 4)]);
        check(&login(b"secret\0", "mysql_clear_password"), &[(UserName, "ada", 36), (Password, "secret", 41)]);
        check(&login(b"secret\0", "dialog"), &[(UserName, "ada", 36), (Password, "secret", 41)]);
        // Proofs: of the usual plugin, of the oldest, of the newest, which asks for a key; and a command.
        for answer in [&[0x91; 20][..], b"ABCDWXYZ\0", b"secret", &[2]] {
            none(&[&native[..], &packet(3, answer)].concat());
        }
        none(&[&native[..], &packet(0, b"\x03SELECT 1\0")].concat());
        none(&packet(1, &[7; 60]));
        none(b"\x20\0\0\x01\x85\xae\x0a\0");
    }

    #[test]
    fn sessions_of_zookeeper() {
        let start = [&[0, 0, 0, 44, 0, 0, 0, 0][..], &[0; 20], &[0, 0, 0, 16], &[0; 16]].concat();
        let packet = |body: &[u8]| [&[0, 0, 0, body.len() as u8], body].concat();
        let text = |text: &[u8]| [&[0, 0, 0, text.len() as u8], text].concat();
        let auth = |scheme: &[u8], said: &[u8]| {
            packet(&[&[0xff, 0xff, 0xff, 0xfc, 0, 0, 0, 100, 0, 0, 0, 0][..], &text(scheme), &text(said)].concat())
        };
        let at = 48 + 16 + 10 + 4;
        check(&[&start[..], &auth(b"digest", b"ada:se:cret")].concat(), &[(UserName, "ada", at), (Password, "se:cret", at + 4)]);
        let other = packet(&[0, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0, 1, b'/', 0]);
        let behind = at + other.len();
        check(
            &[&start[..], &other, &auth(b"digest", b"ada:secret")].concat(),
            &[(UserName, "ada", behind), (Password, "secret", behind + 4)],
        );
        check(&[&start[..], &auth(b"ip", b"ada:secret")].concat(), &[]);
        check(&[&start[..], &auth(b"digest", b"secret")].concat(), &[]);
        none(&auth(b"digest", b"ada:secret"));
        let mut wrong = [&start[..], &auth(b"digest", b"ada:secret"), &[0; 9]].concat();
        wrong[51] += 1;
        none(&wrong);
    }

    #[test]
    fn hellos_of_clickhouse() {
        check(
            b"\0\x11ClickHouse client\x15\x08\xa5\xa9\x03\x07default\x03ada\x06secret",
            &[(UserName, "ada", 33), (Password, "secret", 37)],
        );
        check(b"\0\x11ClickHouse client\x15\x08\xa5\xa9\x03\x07default\x03ada\0", &[(UserName, "ada", 33)]);
        check(b"\0\x11ClickHouse client\x15\x08\xa5\xa9\x03\x07default\x04 KEY\x06secret", &[]);
        none(b"\0\x11ClickHouse client\x15\x08\x05\x07default\x03ada\x06secret");
        none(b"\0\x03abc\xff\xff\x03\x08\xa5\xa9\x03\x07default\x03ada\x06secret");
        none(b"\0\x11ClickHouse\x01client\x15\x08\xa5\xa9\x03\x07default\x03ada\x06secret");
    }

    #[test]
    fn commands_of_rexec() {
        check_at(512, b"1022\0ada\0se cret\0id\0", &[(UserName, "ada", 5), (Password, "se cret", 9)]);
        check_at(512, b"0\0ada\0\0id\0", &[(UserName, "ada", 2)]);
        none(b"1022\0ada\0secret\0id\0");
        assert!(matches!(super::super::read(b"10a2\0ada\0secret\0id\0", 512), super::super::Opening::No));
    }

    #[test]
    fn logins_of_recorders() {
        let login = |said: &[u8]| [&[0xa0, 5, 0, 0x60, said.len() as u8, 0, 0, 0][..], &[0; 24], said].concat();
        check(&login(b"ada&&secret"), &[(UserName, "ada", 32), (Password, "secret", 37)]);
        check(&login(b"ada&&se&cret\r\n"), &[(UserName, "ada", 32), (Password, "se&cret", 37)]);
        check(&login(format!("ada&&{}", "0123456789ABCDEF".repeat(4)).as_bytes()), &[]);
        check(&login(b"&&secret"), &[]);
        check(&login(b"ada&secret"), &[]);
        none(&login(b"ada&&secret")[..40]);
        none(&[0xa0, 5, 0, 0x61, 11, 0, 0, 0]);
    }
}
