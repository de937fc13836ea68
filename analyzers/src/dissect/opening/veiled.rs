//! Logins whose password nobody reads at a glance, and everybody reads: TDS and OSCAR scramble it without a key, DRDA writes EBCDIC.

use policies::IdentifierType;

use super::{Bytes, Read, Stop, tell};
use crate::dissect::http::secrets::Secret;
use crate::ebcdic::{self, Page};
use crate::scramble;

/// A login of Microsoft SQL Server, TDS 7 (MS-TDS §2.2.6.4), maybe behind a pre-login (§2.2.6.5). Where the two agreed on encryption, none stands there.
pub(super) fn tds(it: &mut Bytes<'_>, out: &mut Vec<Secret>) -> Read<()> {
    const PRELOGIN: u8 = 0x12;
    const LOGIN: u8 = 0x10;
    // Each packet of the message: where it stands in the login, and in the stream.
    let (mut login, mut parts) = (Vec::new(), Vec::new());
    let mut kind = it.byte()?;
    if kind == PRELOGIN {
        if !packet(it)?.0 {
            return Err(Stop::No);
        }
        kind = it.byte()?;
    }
    loop {
        if kind != LOGIN {
            return Err(Stop::No);
        }
        let (last, from, part) = packet(it)?;
        parts.push((login.len(), from));
        login.extend_from_slice(part);
        if last {
            break;
        }
        if part.is_empty() {
            return Err(Stop::No);
        }
        kind = it.byte()?;
    }
    let stands = |at: usize| parts.iter().rev().find(|(start, _)| *start <= at).map_or(at, |(start, from)| from + at - start);
    let two = |at: usize| login.get(at..at + 2).and_then(|b| b.first_chunk()).map(|b| usize::from(u16::from_le_bytes(*b)));
    let whole = login.first_chunk().is_some_and(|len| u32::from_le_bytes(*len) as usize == login.len());
    let version = login.get(7).copied().unwrap_or_default();
    if !whole || !(0x70..=0x74).contains(&version) {
        return Err(Stop::No);
    }
    // Where each value stands, and how many units of UTF-16 it has. The fixed part grew with TDS 7.2, and has a new password at its end.
    let (fixed, passwords) = if version < 0x72 { (86, &[44][..]) } else { (94, &[44, 86][..]) };
    let value = |at: usize| {
        let (start, units) = (two(at)?, two(at + 2)?);
        let bytes = login.get(start..start.checked_add(units * 2)?)?;
        let from = stands(start);
        // The head of a packet may stand in it.
        let len = bytes.len().checked_sub(1).map_or(0, |last| stands(start + last) + 1 - from);
        (start >= fixed).then_some((bytes, (from, len)))
    };
    if let Some((bytes, place)) = value(40)
        && let Some(user) = scramble::utf16(bytes.iter().copied()).filter(|text| is_said(text))
    {
        tell(IdentifierType::UserName, user.as_bytes(), place, &["utf-16le"], out);
    }
    for (bytes, place) in passwords.iter().filter_map(|at| value(*at)) {
        if let Some(password) = scramble::from_tds(bytes).filter(|text| is_said(text)) {
            tell(IdentifierType::Password, password.as_bytes(), place, &["tds"], out);
        }
    }
    Ok(())
}

/// What a packet of TDS holds behind the byte that says its kind (MS-TDS §2.2.3.1); whether it is the last of its message, and where it begins.
fn packet<'a>(it: &mut Bytes<'a>) -> Read<(bool, usize, &'a [u8])> {
    let last = match it.byte()? {
        0 => false,
        1 => true,
        _ => return Err(Stop::No),
    };
    let len = it.number(2)?.checked_sub(8).ok_or(Stop::No)?;
    // Process, number and window, of which nobody makes use.
    it.take(3)?;
    it.expect(&[0])?;
    let from = it.at;
    Ok((last, from, it.take(len)?))
}

/// The first frame of OSCAR (AIM, ICQ), where it has the login in it: FLAP on channel 1, then a version and type-length-values to its end.
pub(super) fn oscar(it: &mut Bytes<'_>, out: &mut Vec<Secret>) -> Read<()> {
    it.expect(&[0x2a, 1])?;
    it.take(2)?;
    let len = it.number(2)?;
    let end = it.at + len;
    it.expect(&[0, 0, 0, 1])?;
    let mut found = [None, None];
    while it.at < end {
        let (kind, len) = (it.number(2)?, it.number(2)?);
        let place = (it.at, len);
        let value = it.take(len)?;
        match kind {
            1 => found[0] = Some((value.to_vec(), place)),
            2 => found[1] = Some((scramble::roast(value), place)),
            _ => {}
        }
    }
    if it.at != end {
        return Err(Stop::No);
    }
    if let [Some((user, at)), Some((password, place))] = found
        && [&user, &password].iter().all(|value| std::str::from_utf8(value).is_ok_and(is_said))
    {
        tell(IdentifierType::UserName, &user, at, &[], out);
        tell(IdentifierType::Password, &password, place, &["roast"], out);
    }
    Ok(())
}

/// Objects of DRDA that come before the one with the password: attributes of the server, and the access to its security.
const MOST_OBJECTS: usize = 8;

/// The commands with which a client of DB2, Informix or Derby begins (DRDA, DDM reference: DSS, EXCSAT, ACCSEC, SECCHK), up to the check of a user and
/// a password.
pub(super) fn drda(it: &mut Bytes<'_>, out: &mut Vec<Secret>) -> Read<()> {
    const EXCSAT: usize = 0x1041;
    const SECCHK: usize = 0x106e;
    const SECMEC: usize = 0x11a2;
    const USRID: usize = 0x11a0;
    const PASSWORD: usize = 0x11a1;
    const NEWPASSWORD: usize = 0x11de;
    for number in 0..MOST_OBJECTS {
        let len = it.number(2)?;
        if !(10..=super::LONGEST).contains(&len) {
            return Err(Stop::No);
        }
        it.expect(&[0xd0])?;
        it.take(3)?;
        let (inner, command) = (it.number(2)?, it.number(2)?);
        if inner + 6 != len || number == 0 && command != EXCSAT {
            return Err(Stop::No);
        }
        let end = it.at + len - 10;
        if command != SECCHK {
            it.take(len - 10)?;
            continue;
        }
        let (mut mechanism, mut found) = (0, Vec::new());
        while it.at < end {
            let (len, name) = (it.number(2)?.checked_sub(4).ok_or(Stop::No)?, it.number(2)?);
            let place = (it.at, len);
            let value = it.take(len)?;
            match name {
                SECMEC => mechanism = value.first_chunk().map_or(0, |two| u16::from_be_bytes(*two)),
                USRID => found.push((IdentifierType::UserName, value, place)),
                PASSWORD | NEWPASSWORD => found.push((IdentifierType::Password, value, place)),
                _ => {}
            }
        }
        // A user and a password, and maybe a new one; the others encrypt them or send what stands for them.
        if it.at == end && matches!(mechanism, 3 | 5) {
            for (kind, value, place) in found {
                if let Some((text, chain)) = said(value) {
                    tell(kind, text.trim_end_matches(' ').as_bytes(), place, chain, out);
                }
            }
        }
        return Ok(());
    }
    Err(Stop::No)
}

/// What a text of DRDA says: UTF-8 where the two agreed on it, EBCDIC before. Letters and digits of the one are controls or signs of the other.
fn said(bytes: &[u8]) -> Option<(String, &'static [&'static str])> {
    // Blanks of EBCDIC alone.
    if bytes.iter().all(|b| *b == 0x40) {
        return None;
    }
    if bytes.iter().all(|b| (b' '..=b'~').contains(b)) {
        return Some((String::from_utf8_lossy(bytes).into_owned(), &[]));
    }
    let text = ebcdic::decode(bytes, Page::Cp500)?;
    Some((text, &["ebcdic"]))
}

/// Whether this is what somebody typed.
fn is_said(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::tests::{check, none};
    use super::*;
    use IdentifierType::{Password, UserName};

    /// A packet of TDS.
    fn packet_of(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 1], &(body.len() as u16 + 8).to_be_bytes()[..], &[0, 0, 1, 0], body].concat()
    }

    /// A login of a version, whose values begin at `fixed`.
    fn login(version: u8, fixed: u16, user: &str, password: &[u8], new: &[u8]) -> Vec<u8> {
        let user: Vec<u8> = user.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut head = vec![0; usize::from(fixed)];
        head[7] = version;
        let mut at = fixed;
        for (place, value) in [(40, &user[..]), (44, password), (86, new)] {
            if place + 4 <= usize::from(fixed) {
                head[place..place + 2].copy_from_slice(&at.to_le_bytes());
                head[place + 2..place + 4].copy_from_slice(&(value.len() as u16 / 2).to_le_bytes());
                at += value.len() as u16;
            }
        }
        let mut all = [&head[..], &user, password, new].concat();
        let len = all.len() as u32;
        all[..4].copy_from_slice(&len.to_le_bytes());
        all
    }

    #[test]
    fn logins_of_tds() {
        let password = scramble::tds("se cret");
        let body = login(0x74, 94, "ada", &password, b"");
        let at = 8 + 94;
        check(&packet_of(0x10, &body), &[(UserName, "ada", at), (Password, "se cret", at + 6)]);
        let old = login(0x71, 86, "ada", &password, b"");
        check(&packet_of(0x10, &old), &[(UserName, "ada", at - 8), (Password, "se cret", at - 2)]);
        let new = login(0x73, 94, "ada", &password, &scramble::tds("other"));
        check(&packet_of(0x10, &new), &[(UserName, "ada", at), (Password, "se cret", at + 6), (Password, "other", at + 20)]);
        let behind = [packet_of(0x12, b"\0\0\x06\0\x06\xff\x0b\0\x0c\x38\0\0"), packet_of(0x10, &body)].concat();
        check(&behind, &[(UserName, "ada", at + 20), (Password, "se cret", at + 26)]);
        // In packets: before the user, within the password, and with a pre-login.
        for cut in [40, 94, 104] {
            let mut first = packet_of(0x10, &body[..cut]);
            first[1] = 0;
            let (user, before) = (at + if cut <= 94 { 8 } else { 0 }, at + 6 + if cut <= 94 { 8 } else { 0 });
            let packets = [first, packet_of(0x10, &body[cut..])].concat();
            check(&packets, &[(UserName, "ada", user), (Password, "se cret", before)]);
        }
        let mut open = packet_of(0x10, &body[..40]);
        open[1] = 0;
        none(&[&open[..], &packet_of(0x11, &body[40..])].concat());
        none(&open.repeat(9));
        // Without a password, as Windows logs in; and one that was masked.
        check(&packet_of(0x10, &login(0x74, 94, "", b"", b"")), &[]);
        check(&packet_of(0x10, &login(0x74, 94, "ada", &scramble::tds("********"), b"")), &[(UserName, "ada", at)]);
        // What is not written so, another version, another length, and a value beyond the end or in the fixed part.
        check(&packet_of(0x10, &login(0x74, 94, "ada", b"\xa5\x28\xa5\x28", b"")), &[(UserName, "ada", at)]);
        none(&packet_of(0x10, &login(0x02, 94, "ada", &password, b"")));
        none(&packet_of(0x10, &[&body[..], b"\0"].concat()));
        let mut beyond = body.clone();
        beyond[46] = 0xff;
        check(&packet_of(0x10, &beyond), &[(UserName, "ada", at)]);
        let mut within = body;
        within[44..46].copy_from_slice(&[8, 0]);
        check(&packet_of(0x10, &within), &[(UserName, "ada", at)]);
        none(&packet_of(0x12, &[0x16; 40]).into_iter().chain(packet_of(0x12, &[0x16; 40])).collect::<Vec<_>>());
    }

    #[test]
    fn logins_of_oscar() {
        let tlv = |kind: u8, value: &[u8]| [&[0, kind, 0, value.len() as u8], value].concat();
        let frame = |body: &[u8]| [&[0x2a, 1, 0, 1, 0, body.len() as u8], body].concat();
        let (user, password) = (tlv(1, b"ada"), tlv(2, &scramble::roast(b"se cret")));
        check(&frame(&[b"\0\0\0\x01", &user[..], &password].concat()), &[(UserName, "ada", 14), (Password, "se cret", 21)]);
        // A digest instead of a password, or a cookie, or nothing yet.
        check(&frame(&[b"\0\0\0\x01", &user[..], &tlv(0x25, &[0x81; 16])].concat()), &[]);
        check(&frame(&[b"\0\0\0\x01", &user[..], &tlv(2, &[0x81; 16])].concat()), &[]);
        check(&frame(b"\0\0\0\x01\0\x06\0\x02\x01\x02"), &[]);
        check(&frame(b"\0\0\0\x01"), &[]);
        // A length that does not agree, and another channel.
        none(&frame(&[b"\0\0\0\x01", &user[..], &password[..9]].concat()).into_iter().chain([0; 20]).collect::<Vec<_>>());
        none(b"\x2a\x02\0\x01\0\x04\0\0\0\x01");
    }

    #[test]
    fn logins_of_drda() {
        let part = |name: u16, value: &[u8]| [&(value.len() as u16 + 4).to_be_bytes()[..], &name.to_be_bytes(), value].concat();
        let dss =
            |name: u16, value: &[u8]| [&(value.len() as u16 + 10).to_be_bytes()[..], &[0xd0, 0x41, 0, 1], &part(name, value)].concat();
        let ebcdic = |text: &str| ebcdic::encode(text, Page::Cp500).unwrap();
        let begin = [dss(0x1041, &part(0x115e, &ebcdic("db2jcc"))), dss(0x106d, &part(0x11a2, &[0, 3]))].concat();
        let at = begin.len() + 10;
        let login = |mechanism: u8, user: &[u8], password: &[u8]| {
            let parts = [part(0x11a2, &[0, mechanism]), part(0x2110, &ebcdic("DB")), part(0x11a0, user), part(0x11a1, password)].concat();
            [&begin[..], &dss(0x106e, &parts)].concat()
        };
        let expect = [(UserName, "ADA", at + 16), (Password, "se!cret", at + 23)];
        check(&login(3, &ebcdic("ADA"), &ebcdic("se!cret")), &expect);
        check(&login(3, b"ADA", b"se!cret"), &expect);
        // Padded with blanks.
        check(&login(3, &ebcdic("ADA     "), &ebcdic("se!cret ")), &[(UserName, "ADA", at + 16), (Password, "se!cret", at + 28)]);
        // A substitute, what is encrypted, and what is no text.
        check(&login(6, &ebcdic("ADA"), &ebcdic("se!cret")), &[]);
        check(&login(9, &ebcdic("ADA"), &ebcdic("se!cret")), &[]);
        check(&login(3, &ebcdic("ADA"), &[0x81, 0x02, 0x93]), &[(UserName, "ADA", at + 16)]);
        // Lengths that do not agree.
        let mut other = login(3, b"ADA", b"se!cret");
        other[at + 12 + 1] = 9;
        none(&other.iter().copied().chain([0; 40]).collect::<Vec<_>>());
        none(&dss(0x2001, &part(0x11a2, &[0, 3])));
    }
}
