//! How people log in to services whose protocol nobody reads here: commands of line protocols, and the first packet of MQTT. A credential is
//! told by the word in front of it, whatever its value.

use policies::IdentifierType;

use super::http::secrets::{self, Secret, Url, base64};

/// A login stands at the start: after so many bytes of a direction nothing more is looked for.
const LOOKED_AT: u64 = 16 << 10;
/// RFC 5321 §4.5.3.1.4 allows 512 bytes for a command; a token in a challenge's answer may be longer (RFC 4954 §4).
const LONGEST_LINE: usize = 2048;

/// The lines of one direction.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    line: Vec<u8>,
    /// Where the line begins in the stream, and where the next byte should stand.
    start: u64,
    next: u64,
    /// What the next line answers.
    asked: Asked,
    /// A user's name was given, in a line that begins there: what comes as `PASS` is its password.
    user: Option<(Secret, u64)>,
    over: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asked {
    #[default]
    Nothing,
    /// SASL PLAIN (RFC 4616): authorisation, user and password, each behind a zero.
    Plain,
    /// The LOGIN mechanism: user, then password.
    User,
    Password,
}

impl Logins {
    /// Takes the bytes that stand at `offset`; hands over each secret with its place in the stream.
    pub(crate) fn take(&mut self, offset: u64, bytes: &[u8], told: &mut dyn FnMut(Secret, u64)) {
        if self.over {
            return;
        }
        if offset == 0 {
            let mut found = Vec::new();
            if connect(bytes, &mut found).is_some() {
                self.over = true;
                for secret in found {
                    told(secret, 0);
                }
                return;
            }
        } else if offset != self.next {
            // What is not there may have been anything.
            *self = Logins::default();
        }
        if self.line.is_empty() {
            self.start = offset;
        }
        self.next = offset + bytes.len() as u64;
        let mut found = Vec::new();
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            self.line.extend_from_slice(line);
            if line.ends_with(b"\n") {
                let whole = std::mem::take(&mut self.line);
                let user = self.user.take();
                self.read(whole.trim_ascii_end(), user.is_some(), &mut found);
                if let Some((user, at)) = user.filter(|_| !found.is_empty()) {
                    told(user, at);
                }
                found.drain(..).for_each(|secret| told(secret, self.start));
                self.start += whole.len() as u64;
            }
        }
        self.over = self.next > LOOKED_AT || self.line.len() > LONGEST_LINE || self.line.contains(&0);
        if self.over {
            *self = Logins { over: true, ..Logins::default() };
        }
    }

    fn read(&mut self, line: &[u8], after_user: bool, out: &mut Vec<Secret>) {
        let asked = std::mem::take(&mut self.asked);
        let secret = |kind, value: &[u8], at| Secret { kind, value: value.to_vec(), at, len: value.len(), chain: &[] };
        let coded = |kind, value: Vec<u8>| Secret { kind, value, at: 0, len: line.len(), chain: &["base64"] };
        match asked {
            Asked::Plain => return plain(line, 0, out),
            Asked::User => {
                self.asked = Asked::Password;
                return;
            }
            Asked::Password => {
                if let Some(value) = base64(line).filter(|v| is_secret(v)) {
                    out.push(coded(IdentifierType::Password, value));
                }
                return;
            }
            Asked::Nothing => {}
        }
        let mut words = Words { line, at: 0 };
        let Some((first, _)) = words.next() else { return };
        let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        // FTP (RFC 959 §4.1.1), POP3 (RFC 1939 §7).
        if is(first, "USER") {
            let name = words.next().filter(|(name, _)| !is(name, "anonymous") && !is(name, "ftp"));
            self.user = name.map(|(name, at)| (secret(IdentifierType::UserName, name, at), self.start));
        } else if is(first, "PASS") {
            let rest = line.get(words.at..).unwrap_or_default().trim_ascii();
            if after_user && is_secret(rest) {
                out.push(secret(IdentifierType::Password, rest, line.len() - rest.len()));
            }
        } else if is(first, "AUTH") {
            // SMTP (RFC 4954), POP3 (RFC 5034).
            self.mechanism(words, out);
        } else if first.ends_with(b":") {
            // A head in the manner of HTTP: RTSP, SIP.
            if is(first, "Authorization:") || is(first, "Proxy-Authorization:") {
                let value = line.get(words.at..).unwrap_or_default().trim_ascii();
                let from = out.len();
                secrets::authorization(value, out);
                out[from..].iter_mut().for_each(|s| s.at += line.len() - value.len());
            }
        } else if let Some((second, at)) = words.next() {
            // IMAP (RFC 9051 §6.2): a tag comes first.
            if is(second, "LOGIN") && first.iter().any(u8::is_ascii_digit) {
                let (Some((user, user_at)), Some((password, at))) = (words.next(), words.next()) else { return };
                if is_secret(password) && words.next().is_none() {
                    out.push(secret(IdentifierType::UserName, user, user_at));
                    out.push(secret(IdentifierType::Password, password, at));
                }
            } else if is(second, "AUTHENTICATE") {
                self.mechanism(words, out);
            } else if line.ends_with(b"RTSP/1.0") || line.ends_with(b"SIP/2.0") {
                let from = out.len();
                let authority = Url::read(second).authority;
                secrets::user_info(authority, out);
                let inside = memchr::memmem::find(second, authority).unwrap_or(0);
                out[from..].iter_mut().for_each(|s| s.at += at + inside);
            }
        }
    }

    /// What follows the name of a SASL mechanism.
    fn mechanism(&mut self, mut words: Words<'_>, out: &mut Vec<Secret>) {
        let Some((name, _)) = words.next() else { return };
        let initial = words.next().filter(|(word, _)| *word != b"=");
        if name.eq_ignore_ascii_case(b"PLAIN") {
            match initial {
                Some((word, at)) => plain(word, at, out),
                None => self.asked = Asked::Plain,
            }
        } else if name.eq_ignore_ascii_case(b"LOGIN") {
            self.asked = if initial.is_some() { Asked::Password } else { Asked::User };
        }
    }
}

/// Words between blanks, with their place; what stands in quotes is one (RFC 9051 §4.3).
struct Words<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Words<'a> {
    type Item = (&'a [u8], usize);

    fn next(&mut self) -> Option<(&'a [u8], usize)> {
        let rest = self.line.get(self.at..)?;
        let start = self.at + rest.iter().position(|b| *b != b' ')?;
        let word = self.line.get(start..)?;
        let (word, start, after) = match word.strip_prefix(b"\"") {
            Some(quoted) => {
                let len = quoted.iter().position(|b| *b == b'"').unwrap_or(quoted.len());
                (&quoted[..len], start + 1, start + 2 + len)
            }
            None => {
                let len = word.iter().position(|b| *b == b' ').unwrap_or(word.len());
                (&word[..len], start, start + len)
            }
        };
        self.at = after;
        Some((word, start))
    }
}

/// The password of a SASL PLAIN message in base64.
fn plain(word: &[u8], at: usize, out: &mut Vec<Secret>) {
    let Some(message) = base64(word) else { return };
    let mut parts = message.splitn(3, |b| *b == 0);
    let (Some(_), Some(user), Some(password)) = (parts.next(), parts.next(), parts.next()) else { return };
    for (kind, value) in [(IdentifierType::UserName, user), (IdentifierType::Password, password)] {
        if !value.is_empty() {
            out.push(Secret { kind, value: value.to_vec(), at, len: word.len(), chain: &["base64"] });
        }
    }
}

fn is_secret(value: &[u8]) -> bool {
    !value.is_empty() && value != b"*" && value.len() <= LONGEST_LINE
}

/// The CONNECT packet of MQTT 3.1, 3.1.1 and 5 (3.1.1 §3.1; 5.0 §3.1): the password at its end.
fn connect(bytes: &[u8], out: &mut Vec<Secret>) -> Option<()> {
    let [0x10, rest @ ..] = bytes else { return None };
    let len = rest.iter().take(4).position(|b| b & 0x80 == 0)? + 1;
    let mut at = 1 + len;
    let string = |at: &mut usize| {
        let len = usize::from(u16::from_be_bytes(*bytes.get(*at..)?.first_chunk::<2>()?));
        let text = bytes.get(*at + 2..*at + 2 + len)?;
        *at += 2 + len;
        Some(text)
    };
    if !matches!(string(&mut at)?, b"MQTT" | b"MQIsdp") {
        return None;
    }
    let (level, flags) = (*bytes.get(at)?, *bytes.get(at + 1)?);
    at += 4;
    let properties = |at: &mut usize| {
        let (mut value, mut shift) = (0usize, 0);
        loop {
            let b = *bytes.get(*at)?;
            *at += 1;
            value |= usize::from(b & 0x7f) << shift;
            shift += 7;
            if b & 0x80 == 0 || shift > 21 {
                *at += value;
                return Some(());
            }
        }
    };
    if level >= 5 {
        properties(&mut at)?;
    }
    string(&mut at)?;
    // A last will: its topic and message.
    if flags & 4 != 0 {
        if level >= 5 {
            properties(&mut at)?;
        }
        string(&mut at)?;
        string(&mut at)?;
    }
    for (flag, kind) in [(0x80, IdentifierType::UserName), (0x40, IdentifierType::Password)] {
        if flags & flag != 0 {
            let value = string(&mut at)?;
            if !value.is_empty() {
                out.push(Secret { kind, value: value.to_vec(), at: at - value.len(), len: value.len(), chain: &[] });
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is told of a stream, whole and byte by byte: kind, value, and the place it stands at.
    #[track_caller]
    fn check(stream: &[u8], expect: &[(IdentifierType, &str, u64)]) {
        for size in [stream.len(), 1] {
            let mut logins = Logins::default();
            let mut got = Vec::new();
            let mut offset = 0;
            // The first packet of MQTT is looked for in one piece only.
            for piece in stream.chunks(if stream[0] == 0x10 { stream.len() } else { size }) {
                logins
                    .take(offset, piece, &mut |s, at| got.push((s.kind, String::from_utf8_lossy(&s.value).into_owned(), at + s.at as u64)));
                offset += piece.len() as u64;
            }
            let got: Vec<_> = got.iter().map(|(kind, value, at)| (*kind, value.as_str(), *at)).collect();
            assert_eq!(got, expect, "{}", String::from_utf8_lossy(stream));
        }
    }

    #[test]
    fn logins() {
        use IdentifierType::{Password, UserName};
        check(b"USER ada\r\nPASS se cret\r\n", &[(UserName, "ada", 5), (Password, "se cret", 15)]);
        check(b"USER anonymous\r\nPASS me@here\r\n", &[]);
        check(b"PASS the salt\r\n", &[]);
        check(b"a1 LOGIN ada secret\r\n", &[(UserName, "ada", 9), (Password, "secret", 13)]);
        check(b"a1 LOGIN \"ada l\" \"se cret\"\r\n", &[(UserName, "ada l", 10), (Password, "se cret", 18)]);
        check(b"EHLO x\r\nAUTH PLAIN AGFkYQBzZWNyZXQ=\r\n", &[(UserName, "ada", 19), (Password, "secret", 19)]);
        check(b"a1 AUTHENTICATE PLAIN\r\nAGFkYQBzZWNyZXQ=\r\n", &[(UserName, "ada", 23), (Password, "secret", 23)]);
        check(b"AUTH LOGIN\r\nYWRh\r\nc2VjcmV0\r\n", &[(Password, "secret", 18)]);
        check(b"AUTH LOGIN YWRh\r\nc2VjcmV0\r\n", &[(Password, "secret", 17)]);
        check(b"AUTH CRAM-MD5\r\nc2VjcmV0\r\n", &[]);
        check(b"DESCRIBE rtsp://ada:secret@cam/1 RTSP/1.0\r\n", &[(UserName, "ada", 16), (Password, "secret", 20)]);
        check(
            b"DESCRIBE rtsp://cam/1 RTSP/1.0\r\nCSeq: 1\r\nAuthorization: Basic YWRhOnNlY3JldA==\r\n",
            &[(UserName, "ada", 62), (Password, "secret", 62)],
        );
        check(b"hello there\r\nI login every day\r\n", &[]);
        let mqtt = b"\x10\x1f\0\x04MQTT\x04\xc2\0\x3c\0\x03dev\0\x03ada\0\x06secret";
        check(mqtt, &[(UserName, "ada", 19), (Password, "secret", 24)]);
        check(b"\x10\x20\0\x04MQTT\x05\xc2\0\x3c\0\0\x03dev\0\x03ada\0\x06secret", &[(UserName, "ada", 20), (Password, "secret", 25)]);
    }

    proptest! {
        #[test]
        fn hostile(bytes in prop::collection::vec(any::<u8>(), 1..200), cut in 1usize..50) {
            let mut logins = Logins::default();
            let mut offset = 0;
            for piece in bytes.chunks(cut) {
                logins.take(offset, piece, &mut |s, _| assert!(s.at + s.len <= bytes.len()));
                offset += piece.len() as u64;
            }
            let packet = [b"\x10\x1f\0\x04MQTT\x05\xff\0\x3c".as_slice(), &bytes].concat();
            connect(&packet, &mut Vec::new());
        }
    }
}
