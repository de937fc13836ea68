//! How much a device's first application bytes say: nothing, a protocol's fixed opening, or content.

use analyzers::observation::Evidence;

/// The connection preface of HTTP/2 (RFC 9113 §3.4).
const H2: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Beyond so many bytes what is content stays content, whatever follows: no opening of a fixed shape is that long.
pub const SETTLED: usize = 512;

/// E3 for nothing, E4 for a good-bye and for bytes that every client of the protocol sends whatever it wants, E5 for anything else.
pub fn grade(data: &[u8], alpn: Option<&[u8]>) -> Evidence {
    if data.is_empty() {
        return Evidence::E3;
    }
    let only_opening = match alpn {
        Some(b"h2") => h2_opening(data),
        // Who only says good-bye has told nothing; whether it has looked, or is tired of waiting for a greeting, cannot be known.
        _ => h2_opening(data) || mqtt_connect(data) || greeting(data) || data.split_inclusive(|b| *b == b'\n').all(farewell),
    };
    if only_opening { Evidence::E4 } else { Evidence::E5 }
}

/// Whether what a device answers to a server that spoke first is content in clear: more than greetings, and no wish to begin TLS.
pub fn talks_in_clear(data: &[u8]) -> bool {
    let begins_tls = |line: &[u8]| {
        let line = line.trim_ascii().to_ascii_uppercase();
        [&b"STARTTLS"[..], b"STLS", b"AUTH TLS", b"AUTH SSL"].iter().any(|word| line.ends_with(word))
    };
    let (data, mut asked) = after_wish(data);
    let mut rest = data;
    while let [first, ..] = rest {
        // TLS has begun: a handshake record.
        if asked && *first == 0x16 {
            return false;
        }
        let (line, after) = rest.split_at(memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1));
        rest = after;
        if begins_tls(line) {
            asked = true;
        } else if !line.trim_ascii().is_empty() && !greeting(line) && !farewell(line) {
            return true;
        }
    }
    false
}

/// Whether a client that speaks first begins with a wish for TLS.
pub fn wishes_tls(data: &[u8]) -> bool {
    after_wish(data).1
}

/// What follows such wishes, and whether there were any: PostgreSQL's SSLRequest and GSSENCRequest (protocol 3, §55.2.11), LDAP's StartTLS
/// (RFC 4511 §4.14).
fn after_wish(mut data: &[u8]) -> (&[u8], bool) {
    const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
    let mut any = false;
    loop {
        data = match data {
            [0, 0, 0, 8, 4, 210, 22, 47 | 48, after @ ..] => after,
            [0x30, len @ 0..=0x7f, after @ ..] => match after.split_at_checked(usize::from(*len)) {
                Some((message, after)) if memchr::memmem::find(message, START_TLS).is_some() => after,
                _ => return (data, any),
            },
            _ => return (data, any),
        };
        any = true;
    }
}

/// Whether a conversation that does not begin with TLS is sealed all the same: SSH (RFC 4253 §4.2).
pub fn is_sealed(data: &[u8]) -> bool {
    data.starts_with(b"SSH-2.0-")
}

/// Method and target of an HTTP/1 request line at the start of `bytes`.
pub fn request_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = bytes.split(|b| matches!(b, b'\r' | b'\n')).next()?;
    let mut words = line.split(|b| *b == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    version.starts_with(b"HTTP/").then_some((method, target))
}

/// Commands by which protocols of lines begin: SMTP, POP3, IMAP, FTP, NNTP, IRC, SIP, RTSP, XMPP apart, Redis.
const COMMANDS: [&[u8]; 28] = [
    b"EHLO",
    b"HELO",
    b"LHLO",
    b"AUTH",
    b"MAIL",
    b"USER",
    b"PASS",
    b"APOP",
    b"CAPA",
    b"STLS",
    b"STARTTLS",
    b"LOGIN",
    b"AUTHENTICATE",
    b"CAPABILITY",
    b"ID",
    b"NOOP",
    b"LOGOUT",
    b"QUIT",
    b"NICK",
    b"CAP",
    b"AUTHINFO",
    b"REGISTER",
    b"INVITE",
    b"OPTIONS",
    b"DESCRIBE",
    b"HELLO",
    b"PING",
    b"CONNECT",
];
/// Of an opening's first line this much is shown.
const SHOWN: usize = 96;

/// A device's first application bytes as they may be shown: the line of an HTTP request; of other protocols no more than its command, for
/// what follows may be a password; of what is no text its beginning and length.
pub fn shown(data: &[u8]) -> Vec<u8> {
    let line = data.split(|b| matches!(b, b'\r' | b'\n')).next().unwrap_or_default();
    let line = line.get(..line.len().min(SHOWN)).unwrap_or_default();
    if request_line(data).is_some() || H2.starts_with(line) {
        return line.to_vec();
    }
    if let [0x10, _, rest @ ..] = data
        && rest.windows(4).take(4).any(|name| name == b"MQTT" || name == b"MQIs")
    {
        return b"MQTT CONNECT".to_vec();
    }
    let known = |word: &&[u8]| COMMANDS.iter().any(|command| word.eq_ignore_ascii_case(command));
    let mut words = line.split(|b| *b == b' ');
    // In IMAP a tag stands before the command.
    let command = words.next().into_iter().chain(words.next()).find(known);
    match command {
        Some(command) => {
            let more = if command.len() < line.len() { " …" } else { "" };
            [command, more.as_bytes()].concat()
        }
        _ if is_text(data, 1) => format!("{} bytes of text", data.len()).into_bytes(),
        _ => {
            let begin: Vec<String> = data.iter().take(4).map(|b| format!("{b:02x}")).collect();
            format!("{} bytes: {} …", data.len(), begin.join(" ")).into_bytes()
        }
    }
}

/// Whether bytes, of which there are at least so many, begin with text: records of TLS begin with no character, and what is sealed does not
/// stay text for sixteen of them.
pub fn is_text(bytes: &[u8], least: usize) -> bool {
    bytes.len() >= least && bytes.iter().take(16).all(|b| matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n'))
}

/// The preface and frames that carry no request: PRIORITY 2, RST_STREAM 3, SETTINGS 4, PING 6, GOAWAY 7, WINDOW_UPDATE 8, PRIORITY_UPDATE 16.
fn h2_opening(data: &[u8]) -> bool {
    let preface = data.len().min(H2.len());
    if data.get(..preface) != H2.get(..preface) {
        return false;
    }
    let mut rest = data.get(H2.len()..).unwrap_or_default();
    while let [a, b, c, kind, after @ ..] = rest {
        if !matches!(kind, 2 | 3 | 4 | 6 | 7 | 8 | 16) {
            return false;
        }
        let len = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        // Five more header bytes: flags and stream.
        rest = after.get(5 + len..).unwrap_or_default();
    }
    true
}

/// A whole MQTT CONNECT without will, user name or password (OASIS MQTT 3.1.1 §3.1.2).
fn mqtt_connect(data: &[u8]) -> bool {
    let [0x10, len, 0, 4, b'M', b'Q', b'T', b'T', _, flags, ..] = data else { return false };
    *len < 128 && data.len() == usize::from(*len) + 2 && flags & 0xc4 == 0
}

const LONGEST_LINE: usize = 255;
const _: () = assert!(LONGEST_LINE + 2 < SETTLED && 128 + 2 < SETTLED, "a greeting and a CONNECT fit");

/// One whole line by which a client leaves.
fn farewell(line: &[u8]) -> bool {
    if line.len() > LONGEST_LINE || !line.ends_with(b"\n") {
        return false;
    }
    let upper = line.trim_ascii().to_ascii_uppercase();
    let words: Vec<&[u8]> = upper.split(|b| *b == b' ').collect();
    matches!(words.as_slice(), [b"QUIT" | b"RSET"] | [_, b"LOGOUT"])
}

/// One line by which a mail client says hello or asks what the server can.
fn greeting(data: &[u8]) -> bool {
    let Some((b"\r\n", line)) = data.split_last_chunk::<2>().map(|(line, end)| (end, line)) else { return false };
    if line.len() > LONGEST_LINE || line.contains(&b'\n') {
        return false;
    }
    let upper = line.to_ascii_uppercase();
    let words: Vec<&[u8]> = upper.split(|b| *b == b' ').collect();
    matches!(words.as_slice(), [b"EHLO" | b"HELO" | b"LHLO", _] | [b"CAPA" | b"NOOP"] | [_, b"CAPABILITY" | b"NOOP"])
}

/// The answer to an opening, for a client that opens with a tag of its own (IMAP, RFC 9051 §2.2.1): the answer must bear it.
pub fn retagged(reply: &bytes::Bytes, opening: &[u8], now: &[u8]) -> bytes::Bytes {
    let tag = |line: &[u8]| greeting(line).then(|| line.split(|b| *b == b' ').next().unwrap_or_default().to_vec());
    let (Some(old), Some(new)) = (tag(opening), tag(now)) else { return reply.clone() };
    let mut out = Vec::with_capacity(reply.len() + new.len());
    for line in reply.split_inclusive(|b| *b == b'\n') {
        match line.strip_prefix(&old[..]).filter(|rest| rest.first() == Some(&b' ')) {
            Some(rest) => out.extend(new.iter().chain(rest)),
            None => out.extend_from_slice(line),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_bear_the_tag_of_who_asks() {
        let reply = bytes::Bytes::from_static(b"* CAPABILITY IMAP4rev1 GEMI0\r\nGEMI0 OK done\r\n");
        let got = retagged(&reply, b"GEMI0 CAPABILITY\r\n", b"JPDF0 CAPABILITY\r\n");
        assert_eq!(got, &b"* CAPABILITY IMAP4rev1 GEMI0\r\nJPDF0 OK done\r\n"[..]);
        // Where there is no tag, or none to be told, the answer stays.
        let reply = bytes::Bytes::from_static(b"250-hello\r\n250 OK\r\n");
        assert_eq!(retagged(&reply, b"EHLO one\r\n", b"EHLO two\r\n"), reply);
        assert_eq!(retagged(&reply, b"", b"JPDF0 CAPABILITY\r\n"), reply);
    }

    #[test]
    fn answers_in_clear() {
        for (data, expect) in [
            (&b""[..], false),
            (b"EHLO phone\r\n", false),
            (b"EHLO phone\r\nSTARTTLS\r\n\x16\x03\x01", false),
            (b"a1 CAPABILITY\r\na2 STARTTLS\r\n", false),
            (b"STLS\r\n", false),
            (b"AUTH TLS\r\n", false),
            (b"a LOGIN anna secret\r\n", true),
            (b"EHLO phone\r\nAUTH PLAIN AGE=\r\n", true),
            (b"USER anna\r\n", true),
            (b"\x00\x01binary", true),
            (b"EHLO phone\r\nSTARTTLS\r\nAUTH PLAIN AGE=\r\n", true),
            (b"EHLO phone\r\nSTARTTLS\r\nQUIT\r\n", false),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", false),
            (b"\0\0\0\x08\x04\xd2\x16\x2f\x16\x03\x01", false),
            (b"\0\0\0\x08\x04\xd2\x16\x2f\0\0\0\x10user", true),
            (b"0\x1d\x02\x01\x01w\x18\x80\x161.3.6.1.4.1.1466.20037\x16\x03\x01", false),
            (b"0\x1d\x02\x01\x01w\x18\x80\x161.3.6.1.4.1.1466.200370\x0c\x02\x01\x02`", true),
        ] {
            assert_eq!(talks_in_clear(data), expect, "{}", String::from_utf8_lossy(data));
        }
    }

    /// No value that the protocol's words lead to is shown.
    #[test]
    fn what_is_shown_of_an_opening() {
        for (data, expect) in [
            (&b"GET /a HTTP/1.1\r\nAuthorization: Basic YTpi\r\n"[..], "GET /a HTTP/1.1"),
            (H2, "PRI * HTTP/2.0"),
            (b"\x10\x18\0\x04MQTT\x04\xc2\0<\0\0\0\x02me\0\x06geheim", "MQTT CONNECT"),
            (b"a1 LOGIN anna geheim\r\n", "LOGIN …"),
            (b"AUTH PLAIN AGE=\r\n", "AUTH …"),
            (b"USER anna\r\n", "USER …"),
            (b"EHLO phone.local\r\n", "EHLO …"),
            (b"QUIT\r\n", "QUIT"),
            (b"{\"user\":\"anna\"}\n", "16 bytes of text"),
            (b"PASS GEHEIM", "PASS …"),
            (b"geheim\n", "7 bytes of text"),
            (b"\0\x01\x02\x03geheim", "10 bytes: 00 01 02 03 …"),
        ] {
            assert_eq!(String::from_utf8_lossy(&shown(data)), expect);
        }
    }

    #[track_caller]
    fn check(data: &[u8], alpn: Option<&[u8]>, expect: Evidence) {
        assert_eq!(grade(data, alpn), expect, "{}", String::from_utf8_lossy(data));
    }

    #[test]
    fn grades() {
        let settings = [&H2[..], &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100], &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0]].concat();
        let headers = [settings.as_slice(), &[0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82, 0x87, 0x84]].concat();
        check(b"", None, Evidence::E3);
        check(H2, Some(b"h2"), Evidence::E4);
        check(&H2[..10], Some(b"h2"), Evidence::E4);
        check(&settings, Some(b"h2"), Evidence::E4);
        check(&settings[..30], Some(b"h2"), Evidence::E4);
        check(&headers, Some(b"h2"), Evidence::E5);
        check(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Some(b"http/1.1"), Evidence::E5);
        check(b"GET / HT", None, Evidence::E5);
        check(b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02ab", None, Evidence::E4);
        check(b"\x10\x12\x00\x04MQTT\x04\x82\x00\x3c\x00\x02ab\x00\x02me", None, Evidence::E5);
        check(b"EHLO phone.local\r\n", None, Evidence::E4);
        check(b"a1 CAPABILITY\r\n", None, Evidence::E4);
        check(b"a1 LOGIN anna secret\r\n", None, Evidence::E5);
        check(b"AUTH PLAIN AGE=\r\n", None, Evidence::E5);
        check(b"x", None, Evidence::E5);
        check(b"QUIT\r\n", None, Evidence::E4);
        check(b"a1 LOGOUT\r\n", None, Evidence::E4);
        check(b"QUIT anna secret\r\n", None, Evidence::E5);
        check(b"QUIT", None, Evidence::E5);
        check(b"USER anna\r\nQUIT\r\n", None, Evidence::E5);
    }
}
