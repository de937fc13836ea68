//! Logins on the link itself, before there is an address: PAP, CHAP and EAP, over PPP or 802.1X.

use policies::IdentifierType::{self, Password, UserName};

use super::http::secrets::Secret;
use crate::flow::Transport;

/// Protocols of PPP (RFC 1334 §2, RFC 1994 §3, RFC 3748 §7), and the EtherType of EAP over LAN.
pub const PAP: u16 = 0xc023;
pub const CHAP: u16 = 0xc223;
pub const EAP: u16 = 0xc227;
pub const EAPOL: u16 = 0x888e;

/// Who a message says to be, and his password where that is in it.
pub(crate) fn read(transport: Transport, message: &[u8]) -> Vec<Secret> {
    let Transport::Other(kind) = transport else { return Vec::new() };
    let Some((&[code, _, high, low], rest)) = message.split_first_chunk() else { return Vec::new() };
    let len = usize::from(u16::from_be_bytes([high, low])).saturating_sub(4);
    let body = rest.get(..len).unwrap_or(rest);
    match (kind, code) {
        (PAP, 1) => request(body),
        (CHAP, 2) => behind_value(body, 4),
        (EAP | EAPOL, 2) => response(body),
        _ => Vec::new(),
    }
}

fn secret(kind: IdentifierType, value: &[u8], at: usize) -> Option<Secret> {
    (!value.is_empty()).then(|| Secret { kind, value: value.to_vec(), at, len: value.len(), chain: &[] })
}

/// PAP: name and password, each behind its length (RFC 1334 §2.2.1).
fn request(body: &[u8]) -> Vec<Secret> {
    let part = |at: usize| body.get(at).and_then(|len| body.get(at + 1..at + 1 + usize::from(*len)));
    let Some(name) = part(0) else { return Vec::new() };
    let password = part(1 + name.len());
    let password = password.and_then(|password| secret(Password, password, 4 + 2 + name.len()));
    secret(UserName, name, 4 + 1).into_iter().chain(password).collect()
}

/// CHAP and EAP-MD5: an answer behind its length, then the name (RFC 1994 §4.1, RFC 3748 §5.4). `from`: where that stands in the message.
fn behind_value(body: &[u8], from: usize) -> Vec<Secret> {
    let Some((len, rest)) = body.split_first() else { return Vec::new() };
    let name = rest.get(usize::from(*len)..).unwrap_or_default();
    secret(UserName, name, from + 1 + usize::from(*len)).into_iter().collect()
}

/// EAP: an identity, or what one of its methods sends in clear (RFC 3748 §5.1, §5.4, §5.6).
fn response(body: &[u8]) -> Vec<Secret> {
    match body {
        // What follows a zero byte is for machines (§5.1).
        [1, identity @ ..] => secret(UserName, identity.split(|b| *b == 0).next().unwrap_or_default(), 5).into_iter().collect(),
        [4, rest @ ..] => behind_value(rest, 5),
        [6, token @ ..] => secret(Password, token, 5).into_iter().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn logins_of_the_link() {
        for (kind, message, expect) in [
            (0xc023, &b"\x01\x01\0\x0e\x03ada\x05petal"[..], &[(UserName, "ada", 5), (Password, "petal", 9)][..]),
            (0xc023, b"\x01\x01\0\x09\x03ada\0", &[(UserName, "ada", 5)]),
            (0xc023, b"\x01\x01\0\x0e\x03ada\x05pe", &[(UserName, "ada", 5)]),
            // Padding of short frames is nobody's.
            (0xc023, b"\x01\x01\0\x0e\x03ada\x05petal\0\0\0\0", &[(UserName, "ada", 5), (Password, "petal", 9)]),
            (0xc023, b"\x02\x01\0\x07\x02ok", &[]),
            (0xc223, b"\x02\x01\0\x0c\x04\x01\x02\x03\x04ada", &[(UserName, "ada", 9)]),
            (0xc227, b"\x02\x01\0\x08\x01ada", &[(UserName, "ada", 5)]),
            (0x888e, b"\x02\x01\0\x0d\x01ada\0wlan", &[(UserName, "ada", 5)]),
            (0x888e, b"\x02\x01\0\x0d\x04\x04\x01\x02\x03\x04ada", &[(UserName, "ada", 10)]),
            (0x888e, b"\x02\x01\0\x0a\x06petal", &[(Password, "petal", 5)]),
            // TLS inside, a refusal, and the rest of something.
            (0x888e, b"\x02\x01\0\x0a\x0d\x00ada12", &[]),
            (0x888e, b"\x02\x01\0\x06\x03\x15", &[]),
            (0x888e, b"\x02\x01", &[]),
            (50, b"\x02\x01\0\x08\x01ada", &[]),
        ] {
            let found = read(Transport::Other(kind), message);
            let found: Vec<_> = found.iter().map(|s| (s.kind, std::str::from_utf8(&s.value).unwrap(), s.at)).collect();
            assert_eq!(found, expect, "{kind:#x} {}", message.escape_ascii());
            for secret in read(Transport::Other(kind), message) {
                assert_eq!(message[secret.at..secret.at + secret.len], secret.value);
            }
        }
    }
}
