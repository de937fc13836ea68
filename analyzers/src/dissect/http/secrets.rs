//! What in an HTTP message is a secret by its place: credentials, form fields, query values; and how a URL is shown without them.

use policies::IdentifierType;

use crate::dissect::accounts;
use crate::leak::{is_button, is_stand_in};
use crate::observation::Authorization;

/// A credential in a message: what it is and where its bytes stand in the bytes given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    pub kind: IdentifierType,
    pub value: Vec<u8>,
    pub at: usize,
    pub len: usize,
    /// How it was coded there.
    pub chain: &'static [&'static str],
}

/// How a request proves who asks, by the scheme of its `Authorization` value.
pub fn scheme(value: &[u8]) -> Authorization {
    let word = value.split(|b| *b == b' ').next().unwrap_or_default();
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    if is("basic") {
        Authorization::Basic
    } else if is("bearer") {
        Authorization::Bearer
    } else if is("digest") {
        Authorization::Digest
    } else if is("negotiate") || is("ntlm") {
        Authorization::Negotiate
    } else {
        Authorization::Other
    }
}

/// Says in the chain of a find that nobody knows whether the scheme shows a credential or a proof of one.
pub(crate) const UNKNOWN_SCHEME: &str = "scheme:unknown";
/// Says in the chain of a find that the words in front of it make a credential of it, as an `Authorization` field does.
pub(crate) const KNOWN_SCHEME: &str = "scheme:bearer";

/// Schemes that prove without telling, beside Digest and those of Windows: signatures and challenges. What has `hmac` in its name is one, too.
const PROVING: [&str; 13] = [
    "signature",
    "aws",
    "hawk",
    "hoba",
    "mutual",
    "sharedkey",
    "sharedkeylite",
    "scram-sha-1",
    "scram-sha-256",
    "aws4-ecdsa-p256-sha256",
    "kerberos",
    "oss",
    "qiniu",
];
/// Schemes whose value is what is asked for, as vendors have them.
const TELLING: [&str; 16] = [
    "token",
    "apikey",
    "api-key",
    "api_key",
    "x-api-key",
    "key",
    "jwt",
    "oauth",
    "googlelogin",
    "ssws",
    "geniekey",
    "bot",
    "splunk",
    "accesstoken",
    "dpop",
    "secret",
];
/// What parameters that hold it are called: `GoogleLogin auth=…`, `Token token="…"`.
const PARAMETERS: [&str; 8] = ["auth", "token", "key", "apikey", "api_key", "api-key", "access_token", "oauth_token"];
/// A shorter value without a scheme may say anything.
const SHORTEST_BARE: usize = 8;

/// The secrets of an `Authorization` or `Proxy-Authorization` value. Digest shows none, and NTLM the user's name: they prove without telling.
pub fn authorization(value: &[u8], out: &mut Vec<Secret>) {
    let end = value.iter().position(|b| *b == b' ').unwrap_or(value.len());
    let rest = value.get(end..).unwrap_or_default().trim_ascii();
    let at = value.len() - rest.len();
    match scheme(value) {
        Authorization::Basic => {
            let Some(pair) = base64(rest) else { return };
            let colon = pair.iter().position(|b| *b == b':').unwrap_or(pair.len());
            let (user, password) = (&pair[..colon], pair.get(colon + 1..).unwrap_or_default());
            for (kind, value) in [(IdentifierType::UserName, user), (IdentifierType::Password, password)] {
                if !value.is_empty() {
                    out.push(Secret { kind, value: value.to_vec(), at, len: rest.len(), chain: &["base64"] });
                }
            }
        }
        Authorization::Bearer if !rest.is_empty() && !is_stand_in(rest) => {
            out.push(Secret { kind: IdentifierType::Token, value: rest.to_vec(), at, len: rest.len(), chain: &[] });
        }
        Authorization::Negotiate => accounts::in_token(rest, at, out),
        Authorization::Other => other_scheme(&value[..end], rest, at, out),
        _ => {}
    }
}

/// A scheme that no standard of HTTP's own has, or a value without one.
fn other_scheme(scheme: &[u8], rest: &[u8], at: usize, out: &mut Vec<Secret>) {
    let among = |words: &[&str]| words.iter().any(|word| scheme.eq_ignore_ascii_case(word.as_bytes()));
    let known = among(&TELLING);
    let (value, from, chain): (&[u8], usize, &'static [&'static str]) = if rest.is_empty() {
        (scheme, 0, if is_token(scheme) { &[] } else { &[UNKNOWN_SCHEME] })
    } else {
        let (value, from) = parameter(rest).unwrap_or((rest, 0));
        (value, at + from, if known && !contains(rest, "signature=") { &[] } else { &[UNKNOWN_SCHEME] })
    };
    // OAuth 1 signs (RFC 5849 §3.1), if it does not show its keys instead of a signature.
    let signs = contains(scheme, "hmac") || contains(rest, "oauth_signature=") && !contains(rest, "PLAINTEXT");
    let says_nothing = value.is_empty() || is_stand_in(value) || rest.is_empty() && known;
    if !says_nothing && !among(&PROVING) && !signs {
        out.push(Secret { kind: IdentifierType::Token, value: value.to_vec(), at: from, len: value.len(), chain });
    }
}

/// Whether a value without a scheme is no word and no pair of a name and a proof: `token68` (RFC 9110 §11.2) with a digit.
fn is_token(value: &[u8]) -> bool {
    let digits = value.iter().filter(|b| b.is_ascii_digit()).count();
    let end = value.iter().rposition(|b| *b != b'=').map_or(0, |n| n + 1);
    let all = value.iter().take(end).all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(b));
    value.len() >= SHORTEST_BARE && digits > 0 && all
}

/// The value of the parameter that holds a credential, and where it begins.
fn parameter(rest: &[u8]) -> Option<(&[u8], usize)> {
    let mut at = 0;
    for part in rest.split(|b| matches!(b, b',' | b' ' | b';')) {
        let start = at;
        at += part.len() + 1;
        let Some((name, value)) = memchr::memchr(b'=', part).and_then(|equals| Some((part.get(..equals)?, part.get(equals + 1..)?))) else {
            continue;
        };
        if PARAMETERS.iter().any(|word| name.eq_ignore_ascii_case(word.as_bytes())) {
            let quote = usize::from(value.starts_with(b"\""));
            let value = value.get(quote..).unwrap_or_default();
            return Some((value.strip_suffix(b"\"").unwrap_or(value), start + name.len() + 1 + quote));
        }
    }
    None
}

/// The secrets of the user part of a URL's authority (RFC 3986 §3.2.1), which says itself that passwords should not stand there.
pub fn user_info(authority: &[u8], out: &mut Vec<Secret>) {
    let Some(end) = authority.iter().rposition(|b| *b == b'@') else { return };
    let info = &authority[..end];
    let colon = info.iter().position(|b| *b == b':').unwrap_or(end);
    let password = info.get(colon + 1..).unwrap_or_default();
    for (kind, raw, at) in [(IdentifierType::UserName, &info[..colon], 0), (IdentifierType::Password, password, colon + 1)] {
        // A name alone is no credential.
        if !raw.is_empty() && !password.is_empty() && raw.len() <= LONGEST_VALUE {
            // A `+` is itself here: only forms write blanks so.
            let escaped: Vec<u8> =
                raw.iter().flat_map(|b| if *b == b'+' { &b"%2B"[..] } else { std::slice::from_ref(b) }).copied().collect();
            let value = unescape(&escaped);
            let chain: &[&str] = if value == raw { &[] } else { &["percent"] };
            out.push(Secret { kind, value, at, len: raw.len(), chain });
        }
    }
}

/// Field names whose value is written as that of `Authorization`.
pub fn is_authorization(name: &[u8]) -> bool {
    const NAMES: [&str; 4] = ["authorization", "proxy-authorization", "x-authorization", "x-forwarded-authorization"];
    NAMES.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()))
}

/// Field names whose header value is a secret as a whole.
pub fn is_secret_header(name: &[u8]) -> bool {
    const NAMES: [&str; 16] = [
        "x-api-key",
        "x-auth-token",
        "x-access-token",
        "x-csrf-token",
        "apikey",
        "x-amz-security-token",
        "api-key",
        "x-api-token",
        "x-authentication-token",
        "x-session-token",
        "x-vault-token",
        "x-plex-token",
        "x-emby-token",
        "x-mediabrowser-token",
        "x-ha-access",
        "private-token",
    ];
    NAMES.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()))
}

/// Ends of names that mean a password, and words that may.
const STRONG: &[&str] = &["password", "passwd", "passphrase", "passcode", "userpwd", "loginpwd", "login_pwd", "user_pwd"];
const WEAK: &[&str] = &["pass", "pwd", "pin", "otp", "secret", "pw"];

/// What the name of a form field or query parameter says of its value.
fn named(name: &[u8]) -> Option<IdentifierType> {
    // `user[password]`, `login.passwd`, `j_password`, `txtPwd`: the last word counts.
    let lower: Vec<u8> = name.iter().take(64).map(u8::to_ascii_lowercase).collect();
    let trimmed = lower.strip_suffix(b"]").or_else(|| lower.strip_suffix(b"%5d")).unwrap_or(&lower);
    let ends = |words: &[&str]| words.iter().any(|w| trimmed.ends_with(w.as_bytes()));
    let last = trimmed.rsplit(|b| !b.is_ascii_alphanumeric()).next().unwrap_or_default();
    let is = |words: &[&str]| words.iter().any(|w| last == w.as_bytes());
    if ends(STRONG) || ends(&["pwd"]) || is(WEAK) {
        Some(IdentifierType::Password)
    } else if ends(&["token", "api_key", "apikey", "client_secret", "sessionid", "session_id"]) || is(&["jwt", "jsessionid", "phpsessid"]) {
        Some(IdentifierType::Token)
    } else if ends(&["username", "user_name", "userid", "user_id"]) || is(&["user", "login", "uname", "userid", "email", "account", "log"])
    {
        Some(IdentifierType::UserName)
    } else {
        None
    }
}

/// The secrets among `name=value` pairs joined by `&`. A user name counts only beside a password.
pub fn pairs(bytes: &[u8], out: &mut Vec<Secret>) {
    let from = out.len();
    let mut at = 0;
    let mut password = false;
    let mut weak = Vec::new();
    for pair in bytes.split(|b| *b == b'&').take(MOST_PAIRS) {
        let start = at;
        at += pair.len() + 1;
        let Some(equals) = memchr::memchr(b'=', pair) else { continue };
        let (name, raw) = (&pair[..equals], pair.get(equals + 1..).unwrap_or_default());
        let Some(kind) = named(name) else { continue };
        let value = unescape(raw);
        // Longer values are data, not something a person or an SDK signs in with.
        if value.trim_ascii().is_empty() || raw.len() > LONGEST_VALUE || is_stand_in(&value) || is_button(name, &value) {
            continue;
        }
        password |= kind == IdentifierType::Password;
        let chain: &[&str] = if value == raw { &[] } else { &["percent"] };
        if kind == IdentifierType::Password && !STRONG.iter().any(|word| contains(name, word)) {
            weak.push(out.len());
        }
        out.push(Secret { kind, value, at: start + equals + 1, len: raw.len(), chain });
    }
    // A pass may be a season's and a pin one of a map: beside a user's name they are what they seem.
    if !out[from..].iter().any(|s| s.kind == IdentifierType::UserName) {
        for n in weak {
            out[n].kind = IdentifierType::Token;
        }
    }
    if !password {
        let mut n = 0;
        out.retain(|s| {
            n += 1;
            n <= from || s.kind != IdentifierType::UserName
        });
    }
}

fn contains(name: &[u8], word: &str) -> bool {
    name.windows(word.len()).any(|w| w.eq_ignore_ascii_case(word.as_bytes()))
}

const MOST_PAIRS: usize = 1024;
const LONGEST_VALUE: usize = 4096;

/// `application/x-www-form-urlencoded`: `+` is a blank, `%hh` a byte; what is no escape stays.
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [a, b, after @ ..]) => {
                if let (Some(a), Some(b)) = (crate::encode::nibble(*a), crate::encode::nibble(*b)) {
                    out.push(a << 4 | b);
                    rest = after;
                } else {
                    out.push(b'%');
                }
            }
            (byte, _) => out.push(*byte),
        }
    }
    out
}

/// Either alphabet of RFC 4648, padded or not.
pub(crate) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"=").unwrap_or(text);
    let text = text.strip_suffix(b"=").unwrap_or(text);
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut have) = (0u32, 0);
    for byte in text {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
        }
    }
    Some(out)
}

/// A URL's parts as bytes of the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Url<'a> {
    pub scheme: &'a [u8],
    /// With user part and port.
    pub authority: &'a [u8],
    pub path: &'a [u8],
    /// After the question mark.
    pub query: Option<&'a [u8]>,
}

impl<'a> Url<'a> {
    /// A request target or a `Location` value.
    pub fn read(target: &'a [u8]) -> Url<'a> {
        let target = target.split(|b| *b == b'#').next().unwrap_or_default();
        let mut url = Url::default();
        let mut rest = target;
        let scheme = target.iter().position(|b| !b.is_ascii_alphanumeric() && !b"+-.".contains(b)).unwrap_or(0);
        if scheme > 0
            && let Some(after) = target.get(scheme..).and_then(|t| t.strip_prefix(b"://"))
        {
            url.scheme = &target[..scheme];
            let end = after.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(after.len());
            (url.authority, rest) = after.split_at(end);
        }
        match memchr::memchr(b'?', rest) {
            Some(at) => (url.path, url.query) = (&rest[..at], rest.get(at + 1..)),
            None => url.path = rest,
        }
        url
    }

    /// The host's name or address, without user part, port and closing dot.
    pub fn host(&self) -> &'a [u8] {
        host(self.authority)
    }

    /// Without the values of the query and of path parameters, and without the user part: those are always masked.
    pub fn masked(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.authority.len() + self.path.len() + 64);
        if !self.authority.is_empty() {
            if !self.scheme.is_empty() {
                out.extend_from_slice(self.scheme);
                out.extend_from_slice(b"://");
            }
            let at = self.authority.iter().rposition(|b| *b == b'@');
            if let Some(at) = at {
                mask(at, &mut out);
                out.push(b'@');
            }
            out.extend(self.authority[at.map_or(0, |at| at + 1)..].iter().map(u8::to_ascii_lowercase));
            // What is no path stands apart from the host all the same.
            if self.path.first().is_some_and(|b| !matches!(b, b'/' | b'*')) {
                out.push(b'/');
            }
        }
        self.masked_path(&mut out);
        if let Some(query) = self.query {
            out.push(b'?');
            for (n, pair) in query.split(|b| *b == b'&').enumerate() {
                if n > 0 {
                    out.push(b'&');
                }
                if n >= SHOWN_PAIRS {
                    out.extend_from_slice("…".as_bytes());
                    break;
                }
                match memchr::memchr(b'=', pair) {
                    Some(at) => {
                        out.extend_from_slice(&pair[..=at]);
                        mask(pair.len() - at - 1, &mut out);
                    }
                    None => mask(pair.len(), &mut out),
                }
            }
        }
        out
    }

    /// The path, the values of its `;name=value` parameters masked.
    pub fn masked_path(&self, out: &mut Vec<u8>) {
        if !self.path.contains(&b';') {
            out.extend_from_slice(self.path);
            return;
        }
        for (n, segment) in self.path.split(|b| *b == b'/').enumerate() {
            if n > 0 {
                out.push(b'/');
            }
            for (m, part) in segment.split(|b| *b == b';').enumerate() {
                if m > 0 {
                    out.push(b';');
                }
                match memchr::memchr(b'=', part) {
                    Some(at) if m > 0 => {
                        out.extend_from_slice(&part[..=at]);
                        mask(part.len() - at - 1, out);
                    }
                    _ => out.extend_from_slice(part),
                }
            }
        }
    }
}

/// A URL names its parameters so far; the length limit of a text would cut them soon after.
const SHOWN_PAIRS: usize = 24;

/// Stands for `len` bytes that are not shown.
fn mask(len: usize, out: &mut Vec<u8>) {
    if len > 0 {
        out.extend_from_slice(format!("‹{len}›").as_bytes());
    }
}

/// The name or address in an authority or `Host` value.
pub fn host(authority: &[u8]) -> &[u8] {
    let rest = authority.rsplit(|b| *b == b'@').next().unwrap_or_default().trim_ascii();
    let end = match rest {
        [b'[', inner @ ..] => return inner.split(|b| *b == b']').next().unwrap_or_default(),
        _ => memchr::memchr(b':', rest).unwrap_or(rest.len()),
    };
    let name = &rest[..end];
    name.strip_suffix(b".").unwrap_or(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use IdentifierType::{Password, Token, UserName};

    #[track_caller]
    fn url(target: &str, masked: &str, host: &str) {
        let url = Url::read(target.as_bytes());
        assert_eq!(String::from_utf8(url.masked()).unwrap(), masked);
        assert_eq!(url.host(), host.as_bytes());
    }

    #[test]
    fn urls_show_no_values() {
        url("/a/b?x=secret&y=&z", "/a/b?x=‹6›&y=&‹1›", "");
        url("http://anna:pw@Shop.Test:80/a?q=1#frag", "http://‹7›@shop.test:80/a?q=‹1›", "Shop.Test");
        url("http://shop.test.?a=b", "http://shop.test.?a=‹1›", "shop.test");
        url("http://[2001:db8::1]:80/", "http://[2001:db8::1]:80/", "2001:db8::1");
        url("/a;jsessionid=ABC/b;c", "/a;jsessionid=‹3›/b;c", "");
        url("*", "*", "");
        url("/x?a@b.org", "/x?‹7›", "");
    }

    #[track_caller]
    fn found(secrets: &[Secret], expect: &[(IdentifierType, &str)]) {
        let have: Vec<_> = secrets.iter().map(|s| (s.kind, String::from_utf8_lossy(&s.value).into_owned())).collect();
        let have: Vec<_> = have.iter().map(|(k, v)| (*k, v.as_str())).collect();
        assert_eq!(have, expect);
    }

    #[test]
    fn user_parts_of_urls() {
        let told = |url: &str, expect: &[(IdentifierType, &str)]| {
            let mut out = Vec::new();
            user_info(Url::read(url.as_bytes()).authority, &mut out);
            found(&out, expect);
        };
        told("http://anna:hunter2@a.test/", &[(UserName, "anna"), (Password, "hunter2")]);
        told("ftp://:p%40ss@a.test", &[(Password, "p@ss")]);
        told("http://a:b@c@a.test/", &[(UserName, "a"), (Password, "b@c")]);
        told("http://a:b+c@a.test/", &[(UserName, "a"), (Password, "b+c")]);
        for none in ["http://anna@a.test/", "http://anna:@a.test/", "http://a.test/x:y@z", "/x:y@z"] {
            told(none, &[]);
        }
    }

    #[track_caller]
    fn form(body: &str, expect: &[(IdentifierType, &str)]) {
        let mut out = Vec::new();
        pairs(body.as_bytes(), &mut out);
        found(&out, expect);
        for secret in &out {
            assert_eq!(unescape(&body.as_bytes()[secret.at..secret.at + secret.len]), secret.value);
        }
    }

    #[test]
    fn forms() {
        form("user=anna&password=s%20e+cret&x=1", &[(UserName, "anna"), (Password, "s e cret")]);
        form("user=anna&x=1", &[]);
        form("user%5Bpassword%5D=abc&log=me", &[(Password, "abc"), (UserName, "me")]);
        form("login_pwd=1", &[(Password, "1")]);
        form("password=&pwd=+", &[]);
        form("spinner=5&bypass=1&secretary=x", &[]);
        form("access_token=abc&api_key=k", &[(Token, "abc"), (Token, "k")]);
        form("pass=season", &[(Token, "season")]);
        form("user=anna&pass=1", &[(UserName, "anna"), (Password, "1")]);
        form("user=ada&password=x1&Login=Login", &[(UserName, "ada"), (Password, "x1")]);
        form("pwd=null&password=********", &[]);
        form("%=%zz&pin=%zz", &[(Token, "%zz")]);
    }

    #[test]
    fn fields_of_vendors() {
        for name in ["X-Vault-Token", "X-Plex-Token", "PRIVATE-TOKEN", "Api-Key", "X-Emby-Token", "X-HA-Access", "X-Api-Token"] {
            assert!(is_secret_header(name.as_bytes()), "{name}");
        }
        for name in ["X-Authentication-Token", "X-Session-Token", "x-api-key"] {
            assert!(is_secret_header(name.as_bytes()), "{name}");
        }
        assert!(!is_secret_header(b"X-Token-Type") && !is_secret_header(b"Authorization"));
        assert!(is_authorization(b"X-Authorization") && !is_authorization(b"X-Authorized"));
    }

    #[track_caller]
    fn auth(value: &str, scheme_is: Authorization, expect: &[(IdentifierType, &str)]) {
        let mut out = Vec::new();
        authorization(value.as_bytes(), &mut out);
        assert_eq!(scheme(value.as_bytes()), scheme_is);
        found(&out, expect);
    }

    #[test]
    fn authorizations() {
        // RFC 7617 §2.
        auth("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Authorization::Basic, &[(UserName, "Aladdin"), (Password, "open sesame")]);
        auth("basic   OnB3", Authorization::Basic, &[(Password, "pw")]);
        auth("Basic ???", Authorization::Basic, &[]);
        auth("Bearer mF_9.B5f-4.1JqM", Authorization::Bearer, &[(Token, "mF_9.B5f-4.1JqM")]);
        auth("Digest username=\"x\"", Authorization::Digest, &[]);
        auth("NTLM TlRMTVNTUAAB", Authorization::Negotiate, &[]);
        auth("AWS4-HMAC-SHA256 Credential=x", Authorization::Other, &[]);
        auth("", Authorization::Other, &[]);
    }

    /// Of each: the value, and whether the scheme is known.
    #[test]
    fn schemes_of_vendors() {
        #[track_caller]
        fn check(value: &str, expect: Option<(&str, bool)>) {
            let mut out = Vec::new();
            authorization(value.as_bytes(), &mut out);
            let got: Vec<_> = out.iter().map(|s| (String::from_utf8_lossy(&s.value), s.chain.is_empty())).collect();
            assert_eq!(got.iter().map(|(value, known)| (&value[..], *known)).collect::<Vec<_>>(), Vec::from_iter(expect), "{value}");
            assert!(out.iter().all(|s| s.kind == Token && value.as_bytes().get(s.at..s.at + s.len) == Some(&s.value[..])), "{value}");
        }
        for (value, secret) in [
            ("Token 9944b09199c62bcf", "9944b09199c62bcf"),
            ("token token=\"9944b09\", email=a@b.test", "9944b09"),
            ("ApiKey hunter2", "hunter2"),
            ("GoogleLogin auth=DQAAAGgA", "DQAAAGgA"),
            ("OAuth ya29.a0Af", "ya29.a0Af"),
            ("9944b09199c62bcf", "9944b09199c62bcf"),
        ] {
            check(value, Some((secret, true)));
        }
        for (value, secret) in [
            ("Wibble wobble", "wobble"),
            ("Wibble id=1, key=wobble", "wobble"),
            ("Wibble id=1, n=2", "id=1, n=2"),
            ("hunter2", "hunter2"),
            ("OAuth oauth_signature_method=PLAINTEXT,oauth_signature=a%26b", "oauth_signature_method=PLAINTEXT,oauth_signature=a%26b"),
            ("ApiKey id=1,signature=4f5a", "id=1,signature=4f5a"),
            ("anonymous", "anonymous"),
            ("AKIA1234:c2lnbmF0dXJl", "AKIA1234:c2lnbmF0dXJl"),
        ] {
            check(value, Some((secret, false)));
        }
        for none in [
            "Signature keyId=\"k\",signature=\"x\"",
            "AWS AKIA:sig",
            "hmac username=\"x\"",
            "Hawk id=\"x\"",
            "OAuth oauth_token=\"x\",oauth_signature_method=\"HMAC-SHA1\",oauth_signature=\"x\"",
            "Token",
            "Token null",
            "Bearer ",
            "undefined",
            "Digest",
            "NTLM",
            " ",
        ] {
            check(none, None);
        }
    }
}
