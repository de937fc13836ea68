//! Names of accounts where protocols of whole networks have their place: NTLM, Kerberos, RADIUS. They prove nothing, and say who it is.

use policies::IdentifierType;

use super::http::secrets::{Secret, base64};
use crate::leak::is_stand_in;

/// What of a stream's beginning names accounts.
pub(super) fn in_stream(bytes: &[u8]) -> Vec<Secret> {
    const MOST: usize = 16;
    let mut out = Vec::new();
    for at in memchr::memmem::find_iter(bytes, NTLM).take(MOST) {
        let found = ntlm(bytes.get(at..).unwrap_or_default());
        out.extend(found.into_iter().map(|name| Secret { at: name.at + at, ..name }));
    }
    // RFC 4120 §7.2.2: the length stands in front of each message.
    let mut at = 0;
    for _ in 0..MOST {
        let Some(head) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) else { break };
        let len = u32::from_be_bytes(*head) as usize;
        let Some(message) = bytes.get(at + 4..).and_then(|rest| rest.get(..len)).filter(|message| !message.is_empty()) else { break };
        let Some(is_request) = kerberos_kind(message) else { break };
        out.extend(principal(message, is_request).map(|name| Secret { at: name.at + at + 4, ..name }));
        at += 4 + len;
    }
    out
}

/// What a datagram names.
pub(super) fn in_datagram(bytes: &[u8]) -> Option<Secret> {
    match kerberos_kind(bytes) {
        Some(is_request) => principal(bytes, is_request),
        None => radius(bytes),
    }
}

/// What the value of an HTTP authorization behind `NTLM` or `Negotiate` names (RFC 4559 §4.2), itself at `at` of the field.
pub(super) fn in_token(token: &[u8], at: usize, out: &mut Vec<Secret>) {
    let Some(message) = base64(token) else { return };
    let Some(start) = memchr::memmem::find(&message, NTLM) else { return };
    let found = ntlm(message.get(start..).unwrap_or_default());
    out.extend(found.into_iter().map(|name| Secret {
        at,
        len: token.len(),
        chain: if name.chain.is_empty() { &["base64"] } else { &["base64", "utf-16le"] },
        ..name
    }));
}

/// Longer names are none.
const LONGEST: usize = 256;

/// Accounts that every system has: the administrator's by the name that Windows gives it in its languages.
const NOBODY: [&str; 12] = [
    "anonymous",
    "guest",
    "root",
    "admin",
    "sysadmin",
    "administrator",
    "administrateur",
    "administrador",
    "amministratore",
    "rendszergazda",
    "Administratör",
    "Администратор",
];

/// Whether a name may be of a person: not nobody's, not of a machine (`$`, `host/`), not a realm alone.
fn is_account(name: &[u8]) -> bool {
    let local = name.split(|b| *b == b'@').next().unwrap_or_default();
    let nobody = is_stand_in(local) || NOBODY.iter().any(|word| local.eq_ignore_ascii_case(word.as_bytes()));
    let machine = local.ends_with(b"$") || name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"host/"));
    let written = name.iter().all(|b| *b >= b' ' && *b != 0x7f) && name.iter().any(|b| b.is_ascii_alphanumeric() || *b >= 0x80);
    !local.is_empty() && name.len() <= LONGEST && written && !nobody && !machine
}

/// How an AUTHENTICATE message begins ([MS-NLMP] §2.2.1.3).
const NTLM: &[u8] = b"NTLMSSP\0\x03\0\0\0";

/// The user of an AUTHENTICATE message, and the name of the machine.
fn ntlm(message: &[u8]) -> Vec<Secret> {
    const USER: usize = 36;
    const WORKSTATION: usize = 44;
    const FLAGS: usize = 60;
    const UNICODE: u8 = 1;
    // Version and sum may follow the flags, or the names.
    const HEAD: usize = 64;
    let mut out = Vec::new();
    let Some(flags) = message.get(FLAGS) else { return out };
    let unicode = flags & UNICODE != 0;
    let name = |kind, field: usize| -> Option<Secret> {
        let [a, b, _, _, offset @ ..] = message.get(field..)?.first_chunk::<8>()?;
        let (len, at) = (usize::from(u16::from_le_bytes([*a, *b])), u32::from_le_bytes(*offset) as usize);
        let raw = message.get(at..)?.get(..len).filter(|raw| at >= HEAD && !raw.is_empty() && raw.len() <= 2 * LONGEST)?;
        let value = if unicode {
            let (units, rest) = raw.as_chunks::<2>();
            let text = String::from_utf16(&units.iter().map(|unit| u16::from_le_bytes(*unit)).collect::<Vec<_>>()).ok()?;
            rest.is_empty().then_some(text.into_bytes())?
        } else {
            raw.to_vec()
        };
        is_account(&value).then_some(Secret { kind, value, at, len, chain: if unicode { &["utf-16le"] } else { &[] } })
    };
    if let Some(user) = name(IdentifierType::UserName, USER) {
        out.push(user);
        out.extend(name(IdentifierType::HostName, WORKSTATION));
    }
    out
}

/// A value of DER (X.690 §8.1): its tag, its content and what follows it.
fn der(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, first, rest @ ..] = bytes else { return None };
    let (len, rest) = match first {
        _ if *first < 0x80 => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (len, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (len.iter().fold(0usize, |sum, b| sum << 8 | usize::from(*b)), rest)
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(len)?;
    Some((*tag, content, after))
}

/// The content of a value with this tag.
fn inside(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    der(bytes).and_then(|(found, content, _)| (found == tag).then_some(content))
}

const SEQUENCE: u8 = 0x30;

/// A field of a sequence by its number, as Kerberos tags them.
fn member(mut sequence: &[u8], number: u8) -> Option<&[u8]> {
    while let Some((tag, content, after)) = der(sequence) {
        if tag == 0xa0 | number {
            return Some(content);
        }
        sequence = after;
    }
    None
}

/// Whether these bytes are a request of Kerberos (true) or its answer (RFC 4120 §5.4.1, §5.4.2): by their tag, their version and kind.
fn kerberos_kind(message: &[u8]) -> Option<bool> {
    let (is_request, kind) = match message.first()? {
        tag @ (0x6a | 0x6c) => (true, tag & 0x1f),
        tag @ (0x6b | 0x6d) => (false, tag & 0x1f),
        _ => return None,
    };
    let (_, content, after) = der(message)?;
    let sequence = inside(content, SEQUENCE).filter(|_| after.is_empty())?;
    let from = u8::from(is_request);
    (member(sequence, from)? == [2, 1, 5] && member(sequence, from + 1)? == [2, 1, kind]).then_some(is_request)
}

/// The client's name, if it is one of a person: of one part.
fn principal(message: &[u8], is_request: bool) -> Option<Secret> {
    let sequence = inside(der(message)?.1, SEQUENCE)?;
    let name = if is_request { member(inside(member(sequence, 4)?, SEQUENCE)?, 1)? } else { member(sequence, 4)? };
    let parts = inside(member(inside(name, SEQUENCE)?, 1)?, SEQUENCE)?;
    let (0x1b, value, []) = der(parts)? else { return None };
    is_account(value).then(|| placed(message, value))
}

/// The user's name in what asks a server of RADIUS (RFC 2865 §4.1, RFC 2866 §4.1), which names the one who asks, too.
fn radius(bytes: &[u8]) -> Option<Secret> {
    let ([1 | 4, _, high, low], rest) = bytes.split_first_chunk::<4>()? else { return None };
    if usize::from(u16::from_be_bytes([*high, *low])) != bytes.len() {
        return None;
    }
    let (mut user, mut asks) = (None, false);
    let mut attributes = rest.get(16..)?;
    while let [kind, len, ..] = attributes {
        let (attribute, after) = attributes.split_at_checked(usize::from(*len)).filter(|(attribute, _)| attribute.len() > 2)?;
        match kind {
            1 => user = attribute.get(2..),
            // NAS-IP-Address, NAS-Identifier, NAS-IPv6-Address.
            4 | 32 | 95 => asks = true,
            _ => {}
        }
        attributes = after;
    }
    let user = user.filter(|user| asks && attributes.is_empty() && is_account(user))?;
    Some(placed(bytes, user))
}

/// A user's name that is part of a message.
fn placed(message: &[u8], value: &[u8]) -> Secret {
    let at = value.as_ptr().addr() - message.as_ptr().addr();
    Secret { kind: IdentifierType::UserName, value: value.to_vec(), at, len: value.len(), chain: &[] }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dissect::testing::{datagram, seeking, stream, told};

    /// As [`in_stream`] and the like tell, with what stands at the place that is named.
    fn named(bytes: &[u8], found: impl IntoIterator<Item = Secret>) -> Vec<(IdentifierType, String)> {
        let plain = |secret: &Secret| bytes[secret.at..secret.at + secret.len].iter().copied().filter(|b| *b != 0).collect::<Vec<_>>();
        found
            .into_iter()
            .inspect(|secret| assert_eq!(plain(secret), secret.value))
            .map(|secret| (secret.kind, String::from_utf8(secret.value).unwrap()))
            .collect()
    }

    fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let len =
            if content.len() < 0x80 { vec![content.len() as u8] } else { vec![0x82, (content.len() >> 8) as u8, content.len() as u8] };
        [&[tag][..], &len, &content].concat()
    }

    fn principal_name(parts: &[&str]) -> Vec<u8> {
        let parts: Vec<Vec<u8>> = parts.iter().map(|part| value(0x1b, &[part.as_bytes()])).collect();
        let strings = value(0x30, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        value(0x30, &[&value(0xa0, &[&[2, 1, 1]]), &value(0xa1, &[&strings])])
    }

    fn request(name: &[u8]) -> Vec<u8> {
        let body = value(
            0x30,
            &[
                &value(0xa0, &[&[3, 5, 0, 0x40, 0x81, 0, 0x10]]),
                &value(0xa1, &[name]),
                &value(0xa2, &[&value(0x1b, &[b"VERSO.EXAMPLE"])]),
                &[0xa7, 0x82, 0, 120],
                &[7; 120],
            ],
        );
        let fields = [value(0xa1, &[&[2, 1, 5]]), value(0xa2, &[&[2, 1, 10]]), value(0xa4, &[&body])];
        value(0x6a, &[&value(0x30, &[&fields[0], &fields[1], &fields[2]])])
    }

    fn answer(name: &[u8]) -> Vec<u8> {
        let fields = [
            value(0xa0, &[&[2, 1, 5]]),
            value(0xa1, &[&[2, 1, 13]]),
            value(0xa3, &[&value(0x1b, &[b"VERSO.EXAMPLE"])]),
            value(0xa4, &[name]),
            value(0xa5, &[&[0; 40]]),
        ];
        value(0x6d, &[&value(0x30, &fields.iter().map(Vec::as_slice).collect::<Vec<_>>())])
    }

    const USER: IdentifierType = IdentifierType::UserName;

    #[test]
    fn kerberos() {
        let framed = |message: &[u8]| [&(message.len() as u32).to_be_bytes()[..], message].concat();
        for message in [request, answer] {
            let ada = message(&principal_name(&["ada.l"]));
            assert_eq!(named(&ada, in_datagram(&ada)), [(USER, "ada.l".to_owned())]);
            let twice = [framed(&ada), framed(&ada)].concat();
            assert_eq!(named(&twice, in_stream(&twice)).len(), 2);
            for other in [&["PC-7$"][..], &["host", "pc7.verso.example"], &["anonymous"], &[""], &[]] {
                let other = message(&principal_name(other));
                assert_eq!((in_datagram(&other), in_stream(&framed(&other))), (None, vec![]));
            }
            for cut in 0..ada.len() {
                assert_eq!(in_datagram(&ada[..cut]), None);
            }
        }
    }

    fn asks(attributes: &[(u8, &[u8])]) -> Vec<u8> {
        let attributes: Vec<u8> =
            attributes.iter().flat_map(|(kind, value)| [&[*kind, value.len() as u8 + 2][..], value].concat()).collect();
        [&[1, 7][..], &(attributes.len() as u16 + 20).to_be_bytes(), &[9; 16], &attributes].concat()
    }

    #[test]
    fn radius_names() {
        let nas = (4, &[192, 0, 2, 1][..]);
        let ada = asks(&[(1, b"ada.l"), (2, &[5; 16]), nas]);
        assert_eq!(named(&ada, in_datagram(&ada)), [(USER, "ada.l".to_owned())]);
        for name in [&b"anonymous@verso.example"[..], b"host/pc7.verso.example", b"@verso.example", b"PC-7$", b"\x01\x02", b"xxxxxxxxx"] {
            assert_eq!(in_datagram(&asks(&[(1, name), nas])), None);
        }
        assert_eq!(in_datagram(&asks(&[(1, b"ada.l")])), None, "who asks says so");
        assert_eq!(in_datagram(&[&ada[..], b"x"].concat()), None);
        assert_eq!(told(&datagram(seeking(&[]), ("192.168.1.7:50000", "203.0.113.9:1812"), &ada)), ["udp.datagram ?"]);
    }

    fn authenticates(user: &str, machine: &str, unicode: bool) -> Vec<u8> {
        let coded = |text: &str| if unicode { text.encode_utf16().flat_map(u16::to_le_bytes).collect() } else { text.as_bytes().to_vec() };
        let names = [coded("VERSO"), coded(user), coded(machine)];
        let mut head = [&b"NTLMSSP\0\x03\0\0\0"[..], &[0; 16]].concat();
        let mut at = 72u32;
        for name in &names {
            let len = (name.len() as u16).to_le_bytes();
            head.extend([&len[..], &len, &at.to_le_bytes()].concat());
            at += name.len() as u32;
        }
        head.extend([&[0; 8][..], &[u8::from(unicode), 0x82, 8, 0xa2], &[0; 8]].concat());
        [head, names.concat()].concat()
    }

    #[test]
    fn ntlm_names() {
        let expect = [(USER, "ada.l".to_owned()), (IdentifierType::HostName, "PC-7".to_owned())];
        for unicode in [true, false] {
            let bytes = [&b"\0\0\x01\x02\xfeSMB\x40\0"[..], &authenticates("ada.l", "PC-7", unicode)].concat();
            assert_eq!(named(&bytes, in_stream(&bytes)), expect);
            for user in ["admina", "administratorin", "xaver", "rooth"] {
                assert_eq!(in_stream(&authenticates(user, "PC-7", unicode)).len(), 2, "{user}");
            }
            for nobody in ["", "PC-7$", "ANONYMOUS", "Guest", "Administrator", "administrateur", "ADMIN", "root", "xxxxxxxxx"] {
                assert_eq!(in_stream(&authenticates(nobody, "PC-7", unicode)), []);
            }
        }
        let token = crate::encode::base64(&authenticates("ada.l", "PC-7", true));
        let mut out = Vec::new();
        in_token(token.as_bytes(), 5, &mut out);
        let found: Vec<_> = out.iter().map(|secret| (secret.at, secret.len, secret.value.as_slice(), secret.chain)).collect();
        let chain = &["base64", "utf-16le"][..];
        assert_eq!(found, [(5, token.len(), &b"ada.l"[..], chain), (5, token.len(), b"PC-7", chain)]);
        let bytes = [&b"\0\0\x01\x02\xfeSMB\x40\0"[..], &authenticates("ada.l", "PC-7", true), &[0; 90]].concat();
        assert_eq!(told(&stream(seeking(&[]), ("192.168.1.7:50000", "203.0.113.9:445"), &bytes)), ["tcp.stream utf-16le ?"]);
    }

    proptest! {
        #[test]
        fn hostile(bytes in prop::collection::vec(any::<u8>(), 0..120), cut in 0usize..300) {
            let whole = |secret: &Secret, len: usize| secret.at + secret.len <= len;
            for head in [&b""[..], NTLM, b"\x6a\x30", b"\0\0\0\x20\x6d\x20", b"\x01\x01\0\x40"] {
                let bytes = [head, &bytes].concat();
                prop_assert!(in_stream(&bytes).iter().chain(&in_datagram(&bytes)).all(|secret| whole(secret, bytes.len())));
            }
            let mut message = request(&principal_name(&["ada.l"]));
            let at = cut % message.len();
            message[at] ^= bytes.first().copied().unwrap_or(1);
            prop_assert!(in_datagram(&message).is_none_or(|secret| whole(&secret, message.len())));
        }
    }
}
