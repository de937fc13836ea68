//! What SASL mechanisms show of a credential: PLAIN (RFC 4616), OAUTHBEARER (RFC 7628), XOAUTH2; alone, or in an element of XMPP.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use policies::IdentifierType;

use super::is_secret;
use crate::dissect::http::secrets::{KNOWN_SCHEME, Secret, base64};

/// The password of a SASL PLAIN message in base64.
pub(super) fn plain(word: &[u8], at: usize, out: &mut Vec<Secret>) {
    let Some(message) = base64(word) else { return };
    let mut parts = message.splitn(3, |b| *b == 0);
    let (Some(_), Some(user), Some(password)) = (parts.next(), parts.next(), parts.next()) else { return };
    for (kind, value) in [(IdentifierType::UserName, user), (IdentifierType::Password, password)] {
        if !value.is_empty() {
            out.push(Secret { kind, value: value.to_vec(), at, len: word.len(), chain: &["base64"] });
        }
    }
}

/// Mechanisms that say a token of OAuth 2.0.
pub(super) fn is_bearer(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"XOAUTH2") || name.eq_ignore_ascii_case(b"OAUTHBEARER")
}

/// The token of such a message in base64, and whose it is: `user=…`, or `a=…` in the head of GS2 (RFC 5801 §4), then `auth=Bearer …`, each up
/// to a 1.
pub(super) fn bearer(word: &[u8], at: usize, out: &mut Vec<Secret>) {
    let Some(message) = base64(word) else { return };
    let mut user: &[u8] = b"";
    for field in message.split(|b| *b == 1) {
        if let Some(name) = field.strip_prefix(b"user=") {
            user = name;
        } else if let [b'n' | b'y' | b'p', ..] = field
            && user.is_empty()
        {
            user = field.split(|b| *b == b',').find_map(|part| part.strip_prefix(b"a=")).unwrap_or_default();
        } else if let Some((scheme, token)) = field.strip_prefix(b"auth=").and_then(|said| said.split_at_checked(BEARER.len()))
            && scheme.eq_ignore_ascii_case(BEARER)
            && is_secret(token.trim_ascii())
        {
            let secret = |kind, value: &[u8], chain| Secret { kind, value: value.to_vec(), at, len: word.len(), chain };
            if !user.is_empty() {
                out.push(secret(IdentifierType::UserName, user, &["base64"]));
            }
            out.push(secret(IdentifierType::Token, token.trim_ascii(), &["base64", KNOWN_SCHEME]));
        }
    }
}

const BEARER: &[u8] = b"Bearer ";

/// SASL as XMPP says it (RFC 6120 §6.4.2): an attribute names the mechanism, and what the client answers is the element's content.
pub(crate) fn in_elements(text: &[u8]) -> Vec<Secret> {
    static SIGN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"mechanism="));
    let mut out = Vec::new();
    for at in SIGN.find_iter(text).take(MOST_ELEMENTS) {
        let from = at + SIGN.needle().len();
        let rest = text.get(from..).unwrap_or_default();
        let [quote @ (b'"' | b'\''), named @ ..] = rest else { continue };
        let name = named.split(|b| b == quote).next().unwrap_or_default();
        let read: fn(&[u8], usize, &mut Vec<Secret>) = match name {
            b"PLAIN" => plain,
            _ if is_bearer(name) => bearer,
            _ => continue,
        };
        let Some(open) = memchr::memchr(b'>', rest) else { continue };
        let content = rest.get(open + 1..).unwrap_or_default();
        if let Some(end) = memchr::memchr(b'<', content) {
            let content = content[..end].trim_ascii_end();
            let blanks = content.len() - content.trim_ascii_start().len();
            read(&content[blanks..], from + open + 1 + blanks, &mut out);
        }
    }
    out
}

/// Who logs in more often on one stream has long been told.
const MOST_ELEMENTS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements() {
        let told = |text: &[u8]| in_elements(text).into_iter().map(|s| (s.kind, s.value, s.at)).collect::<Vec<_>>();
        let auth = b"<stream:stream to='a.test'><auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFkYQBzZWNyZXQ=</auth>";
        let at = auth.windows(8).position(|w| w == b"AGFkYQBz").unwrap_or(0);
        let expect = [(IdentifierType::UserName, b"ada".to_vec(), at), (IdentifierType::Password, b"secret".to_vec(), at)];
        assert_eq!(told(auth), expect);
        assert_eq!(told(b"<auth mechanism=\"PLAIN\">=</auth>"), []);
        assert_eq!(told(b"<auth mechanism='SCRAM-SHA-1'>AGFkYQBzZWNyZXQ=</auth>"), []);
        assert_eq!(told(b"<auth mechanism='PLAIN"), []);
        let expect = [(IdentifierType::Token, b"vF9df".to_vec(), 31)];
        assert_eq!(told(b"<auth mechanism='OAUTHBEARER'>\nbiwsAWF1dGg9QmVhcmVyIHZGOWRmAQE=</auth>"), expect);
    }
}
