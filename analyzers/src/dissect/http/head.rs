//! Reads the head of an HTTP/1.x message, leniently where senders bend the grammar, and finds where heads begin in a torn stream.

use std::sync::LazyLock;

use memchr::memmem;
use smallvec::SmallVec;

use super::coding::{self, Codings};

/// A field line; name and value as sent, the value without surrounding white space.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
}

impl Field<'_> {
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    Request { method: &'a [u8], target: &'a [u8] },
    Response { status: u16 },
}

/// Where one side's messages begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Request,
    Response,
}

#[derive(Debug)]
pub struct Head<'a> {
    pub start: Start<'a>,
    pub fields: SmallVec<[Field<'a>; 24]>,
    /// The head bends the grammar and was read all the same.
    pub bent: bool,
}

/// Real heads have some 20 field lines; servers refuse a few hundred.
const MOST_FIELDS: usize = 1024;

impl<'a> Head<'a> {
    /// Reads a whole head, with its empty line.
    pub fn read(bytes: &'a [u8], side: Side) -> Option<Head<'a>> {
        let mut few = [httparse::EMPTY_HEADER; 48];
        let mut config = httparse::ParserConfig::default();
        config.allow_obsolete_multiline_headers_in_responses(true).allow_spaces_after_header_name_in_responses(true);
        let (start, fields): (_, &[httparse::Header<'_>]) = match side {
            Side::Request => {
                let mut request = httparse::Request::new(&mut few);
                match config.parse_request(&mut request, bytes) {
                    Ok(httparse::Status::Complete(_)) => {
                        let start =
                            Start::Request { method: request.method?.as_bytes(), target: request.path.unwrap_or_default().as_bytes() };
                        (start, request.headers)
                    }
                    _ => return bent(bytes, side),
                }
            }
            Side::Response => {
                let mut response = httparse::Response::new(&mut few);
                match config.parse_response(&mut response, bytes) {
                    Ok(httparse::Status::Complete(_)) => (Start::Response { status: response.code? }, response.headers),
                    _ => return bent(bytes, side),
                }
            }
        };
        let fields = fields.iter().map(|h| Field { name: h.name.as_bytes(), value: h.value.trim_ascii() }).collect();
        Some(Head { start, fields, bent: false })
    }

    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.fields.iter().find(|f| f.is(name)).map(|f| f.value)
    }
}

/// From where the first part of `whole` begins to where the last ends.
fn between<'a>(whole: &'a [u8], first: &[u8], last: &[u8]) -> &'a [u8] {
    let at = |part: &[u8]| (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    whole.get(at(first)..at(last).wrapping_add(last.len())).unwrap_or_default()
}

/// A value without its folds (RFC 9112 §5.2), each of which `joint` stands for.
pub fn unfolded(value: &[u8], joint: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for (n, line) in value.split(|b| *b == b'\n').enumerate() {
        if n > 0 {
            out.extend_from_slice(joint);
        }
        out.extend_from_slice(line.trim_ascii());
    }
    out
}

/// A head that the strict grammar refuses: lines, the first split at its outer blanks, the others at their first colon.
fn bent(bytes: &[u8], side: Side) -> Option<Head<'_>> {
    let mut lines = bytes.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    let first = lines.next()?;
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    let start = match side {
        Side::Request => {
            let (method, rest) = first.split_at(first.iter().position(blank)?);
            let rest = rest.trim_ascii();
            let at = memmem::rfind(rest, b"HTTP/")?;
            if method.is_empty() || !method.iter().all(u8::is_ascii_graphic) {
                return None;
            }
            Start::Request { method, target: rest.get(..at)?.trim_ascii() }
        }
        Side::Response => {
            let rest = first.strip_prefix(b"HTTP/").or_else(|| first.strip_prefix(b"ICY"))?;
            let code = rest.get(rest.iter().position(blank)?..)?.trim_ascii_start().get(..3)?;
            let status = std::str::from_utf8(code).ok()?.parse().ok()?;
            Start::Response { status }
        }
    };
    let mut fields = SmallVec::<[Field<'_>; 24]>::new();
    for line in lines {
        if fields.len() >= MOST_FIELDS {
            break;
        }
        if line.first().is_some_and(blank) {
            // A folded line (RFC 9112 §5.2) goes on with the field above.
            if let Some(field) = fields.last_mut() {
                field.value = between(bytes, field.value, line).trim_ascii();
            }
        } else if let Some(colon) = memchr::memchr(b':', line)
            && let (name, [_, value @ ..]) = line.split_at(colon)
        {
            fields.push(Field { name: name.trim_ascii(), value: value.trim_ascii() });
        }
    }
    Some(Head { start, fields, bent: true })
}

/// Where the head that starts `bytes` ends, its empty line included. Bytes before `from` were looked at before.
pub fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(n) = memchr::memchr(b'\n', bytes.get(at..)?) {
        at += n + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// How the body after a head is delimited (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    None,
    Known(u64),
    Chunked,
    /// Until the connection closes.
    Close,
}

/// What a head says of its body.
#[derive(Debug)]
pub struct Shape {
    pub length: Length,
    pub codings: Codings,
    /// Lengths that contradict each other or are none.
    pub conflict: Option<&'static str>,
}

impl Shape {
    /// The rules for a request, or for a response that may have a body.
    pub fn read(head: &Head<'_>, side: Side) -> Shape {
        let mut codings = Codings::new();
        let mut moved = Codings::new();
        let mut conflict = None;
        let mut length: Option<u64> = None;
        let mut transfer = false;
        let mut chunked = false;
        for field in &head.fields {
            if field.is("content-length") {
                for value in field.value.split(|b| *b == b',') {
                    match number(value.trim_ascii()) {
                        Some(n) if length.is_none_or(|l| l == n) => length = Some(n),
                        Some(_) => conflict = Some("several content-length values that differ"),
                        None => conflict = Some("content-length is not a number"),
                    }
                }
            } else if field.is("transfer-encoding") {
                transfer = true;
                chunked = field.value.rsplit(|b| *b == b',').next().is_some_and(|t| t.trim_ascii().eq_ignore_ascii_case(b"chunked"));
                coding::read_list(field.value, &mut moved);
            } else if field.is("content-encoding") {
                coding::read_list(field.value, &mut codings);
            }
        }
        codings.extend(moved);
        if transfer && length.is_some() {
            conflict = Some("both content-length and transfer-encoding");
        }
        let length = match (transfer, chunked, length, side) {
            (true, true, _, _) => Length::Chunked,
            (true, false, _, Side::Request) => {
                conflict = Some("a request's transfer-encoding does not end in chunked");
                Length::None
            }
            (false, _, Some(0), _) | (false, _, None, Side::Request) => Length::None,
            (false, _, Some(n), _) => Length::Known(n),
            (true, false, _, Side::Response) | (false, _, None, Side::Response) => Length::Close,
        };
        Shape { length, codings, conflict }
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether bytes begin a message, as far as they can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    Yes(Side),
    Perhaps,
    No,
}

/// Registered methods that are in use (IANA HTTP Method Registry, UPnP, WebDAV, PCAPs of the field).
const METHODS: [&str; 40] = [
    "GET",
    "POST",
    "HEAD",
    "PUT",
    "DELETE",
    "OPTIONS",
    "CONNECT",
    "PATCH",
    "TRACE",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "SEARCH",
    "REPORT",
    "MERGE",
    "CHECKOUT",
    "CHECKIN",
    "UNCHECKOUT",
    "VERSION-CONTROL",
    "MKACTIVITY",
    "MKCALENDAR",
    "BIND",
    "UNBIND",
    "REBIND",
    "ACL",
    "ORDERPATCH",
    "LABEL",
    "UPDATE",
    "MKWORKSPACE",
    "BASELINE-CONTROL",
    "NOTIFY",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "M-SEARCH",
    "PURGE",
    "SOURCE",
];

/// Longest method, a blank and the start of a target.
pub const ENOUGH: usize = 20;

/// Whether `bytes` begin an HTTP/1.x message.
pub fn begins(bytes: &[u8]) -> Begins {
    const RESPONSE: &[u8] = b"HTTP/1.";
    /// Servers of Shoutcast answer so to a request of HTTP.
    const SHOUTCAST: &[u8] = b"ICY ";
    if bytes.starts_with(RESPONSE) {
        return match bytes.get(RESPONSE.len()..).unwrap_or_default() {
            [b'0'..=b'9', b' ', b'1'..=b'9', b'0'..=b'9', b'0'..=b'9', ..] => Begins::Yes(Side::Response),
            rest if rest.len() < 5 => Begins::Perhaps,
            _ => Begins::No,
        };
    }
    if RESPONSE.starts_with(bytes) || SHOUTCAST.starts_with(bytes) {
        return Begins::Perhaps;
    }
    if let Some(rest) = bytes.strip_prefix(SHOUTCAST) {
        return match rest {
            [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9', b' ' | b'\r' | b'\n', ..] => Begins::Yes(Side::Response),
            _ if rest.len() < 4 => Begins::Perhaps,
            _ => Begins::No,
        };
    }
    // Most protocols fall here: their first byte begins no method.
    if !bytes.first().is_some_and(u8::is_ascii_alphabetic) {
        return Begins::No;
    }
    for method in METHODS {
        let method = method.as_bytes();
        if method.starts_with(bytes) {
            return Begins::Perhaps;
        }
        let Some([b' ', rest @ ..]) = bytes.strip_prefix(method) else { continue };
        return match rest.trim_ascii_start() {
            [] => Begins::Perhaps,
            target if !target_begins(method, target) => strange_target(target),
            target => match memchr::memchr(b'\n', target) {
                Some(end) if memmem::find(&target[..end], b" HTTP/").is_none() => Begins::No,
                _ => Begins::Yes(Side::Request),
            },
        };
    }
    if is_request_line(bytes) { Begins::Yes(Side::Request) } else { Begins::No }
}

/// Whether the first line is whole and a request with a method of its own (RFC 9110 §9.1: any token), a path and the version.
fn is_request_line(bytes: &[u8]) -> bool {
    let line =
        bytes.iter().take(LONGEST_LINE).position(|b| *b == b'\n').and_then(|end| bytes.get(..end)).unwrap_or_default().trim_ascii_end();
    let mut parts = line.split(|b| *b == b' ');
    let (method, target, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    (2..=24).contains(&method.len())
        && method.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        && target.starts_with(b"/")
        && matches!(version, b"HTTP/1.0" | b"HTTP/1.1")
        && parts.next().is_none()
}

/// What follows a method and is no target of any form (RFC 9112 §3.2), as scanners and faulty clients send it: a request by its version alone.
fn strange_target(rest: &[u8]) -> Begins {
    let line = match memchr::memchr(b'\n', rest) {
        Some(end) => rest.get(..end).unwrap_or_default().trim_ascii_end(),
        None if is_graphic(rest.split(|b| *b == b' ').next().unwrap_or_default()) && rest.len() < LONGEST_LINE => return Begins::Perhaps,
        None => return Begins::No,
    };
    let mut parts = line.split(|b| *b == b' ');
    let (target, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let whole = is_graphic(target) && matches!(version, b"HTTP/1.0" | b"HTTP/1.1") && parts.next().is_none();
    if whole { Begins::Yes(Side::Request) } else { Begins::No }
}

fn is_graphic(target: &[u8]) -> bool {
    !target.is_empty() && target.iter().all(u8::is_ascii_graphic)
}

fn target_begins(method: &[u8], target: &[u8]) -> bool {
    let scheme = |s: &[u8]| target.len() < s.len() && s.starts_with(target) || target.starts_with(s);
    match target {
        [b'/' | b'*', ..] => true,
        [b'h' | b'H', ..] if scheme(b"http") || scheme(b"HTTP") => true,
        [first, ..] => method == b"CONNECT" && (first.is_ascii_alphanumeric() || *first == b'['),
        [] => false,
    }
}

/// So far back from its version a request line is sought; servers refuse longer ones (RFC 9112 §3 asks for 8000).
pub const LONGEST_LINE: usize = 8192;

/// Where the first message of `side` begins in bytes of unknown content; only a whole first line convinces.
pub fn find(bytes: &[u8], side: Side) -> Option<usize> {
    match side {
        Side::Response => memmem::find_iter(bytes, b"HTTP/1.").find(|at| {
            matches!(bytes.get(at + 7..), Some([b'0' | b'1', b' ', b'1'..=b'5', b'0'..=b'9', b'0'..=b'9', b' ' | b'\r' | b'\n', ..]))
        }),
        Side::Request => memmem::find_iter(bytes, VERSION).find_map(|at| request_before(bytes, at)),
    }
}

const VERSION: &[u8] = b" HTTP/1.";

/// Where the request line begins whose version stands at `at`.
fn request_before(bytes: &[u8], at: usize) -> Option<usize> {
    if !matches!(bytes.get(at + 8..), Some([b'0' | b'1', b'\r' | b'\n', ..])) {
        return None;
    }
    let before = bytes.get(at.saturating_sub(LONGEST_LINE)..at)?;
    let target = before.iter().rposition(|b| *b <= b' ')?;
    if before.get(target) != Some(&b' ') {
        return None;
    }
    let methods = before.get(..target)?;
    let method = METHODS.iter().filter(|m| methods.ends_with(m.as_bytes())).max_by_key(|m| m.len())?;
    let told = before.get(target + 1..)?;
    let in_front = methods.len() - method.len();
    // At the beginning of a line any target will do.
    let begins_line = || in_front.checked_sub(1).is_none_or(|last| methods.get(last) == Some(&b'\n'));
    (target_begins(method.as_bytes(), told) || begins_line() && is_graphic(told)).then(|| at - (before.len() - target) - method.len())
}

/// Where a request begins in the last bytes of a stream nobody knows, of which those before `old` were looked at before. What a text only
/// quotes is none: it stands in a line, or another line than a field follows.
pub fn find_new(bytes: &[u8], old: usize) -> Option<usize> {
    static SIGN: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(VERSION));
    // A version and the line's end, cut in front of its last byte.
    let from = old.saturating_sub(VERSION.len() + 2);
    SIGN.find_iter(bytes.get(from..)?).find_map(|at| {
        let at = from + at;
        let start = request_before(bytes, at)?;
        let quoted = start.checked_sub(1).and_then(|before| bytes.get(before)).is_some_and(|b| b" \t\"'`>(=/".contains(b));
        let line = memchr::memchr(b'\n', bytes.get(at..)?).and_then(|end| bytes.get(at + end + 1..)).unwrap_or_default();
        let next = memchr::memchr(b'\n', line).and_then(|end| line.get(..end));
        let field = |line: &[u8]| line.trim_ascii().is_empty() || memchr::memchr(b':', line).is_some_and(|colon| colon > 0);
        (!quoted && next.is_none_or(field)).then_some(start)
    })
}

/// The target of an HTTP/0.9 request, if that is all that `bytes` are: `GET`, a path, the end of the line.
pub fn bare_target(bytes: &[u8]) -> Option<&[u8]> {
    let line = bytes.strip_suffix(b"\n")?;
    let target = line.strip_suffix(b"\r").unwrap_or(line).strip_prefix(b"GET ")?.trim_ascii_end();
    (target.first() == Some(&b'/') && target.iter().all(u8::is_ascii_graphic)).then_some(target)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[track_caller]
    fn start(bytes: &str, expect: Begins) {
        assert_eq!(begins(bytes.as_bytes()), expect, "{bytes}");
    }

    #[test]
    fn tells_a_start() {
        use Begins::{No, Perhaps, Yes};
        start("GET / HTTP/1.1\r\n", Yes(Side::Request));
        start("GET http://a/ HTTP/1.1\r\n", Yes(Side::Request));
        start("CONNECT a.test:443 HTTP/1.1\r\n", Yes(Side::Request));
        start("M-SEARCH * HTTP/1.1\r\n", Yes(Side::Request));
        start("HTTP/1.1 200 OK\r\n", Yes(Side::Response));
        start("HTTP/1.0 404", Yes(Side::Response));
        start("ICY 200 OK\r\n", Yes(Side::Response));
        start("ICY 20", Perhaps);
        start("ICY wind", No);
        start("GE", Perhaps);
        start("HTTP", Perhaps);
        start("HTTP/1.1 2", Perhaps);
        start("GET /x RTSP/1.0\r\n", No);
        start("OPTIONS sip:a@b SIP/2.0\r\n", No);
        start("DESCRIBE rtsp://a RTSP/1.0\r\n", No);
        start("SYNC /x HTTP/1.1\r\nHost: a\r\n", Yes(Side::Request));
        start("get /x HTTP/1.0\r\n", Yes(Side::Request));
        start("GETTER / HTTP/2.0\r\n", No);
        // No target of any form, and a request all the same.
        for target in ["index.html?i=1", ".", "?q=1", "%2e", "x:y", "\\x"] {
            start(&format!("GET {target} HTTP/1.0\r\n"), Yes(Side::Request));
            start(&format!("GET {target}"), Perhaps);
            start(&format!("GET {target}\r\n"), No);
            start(&format!("GET {target} HTTP/2.0\r\n"), No);
        }
        start("GET a b HTTP/1.0\r\n", No);
        start("SYNC /x", No);
        start("SYNC x HTTP/1.1\r\n", No);
        start("a.b /x HTTP/1.1\r\n", No);
        start("said GET /x HTTP/1.1\r\n", No);
        start("\x16\x03\x01", No);
        start("PRI * HTTP/2.0\r\n", No);
        start("SSH-2.0-OpenSSH", No);
    }

    #[track_caller]
    fn shape(head: &str, side: Side, length: Length, conflict: bool) {
        let head = format!("{head}\r\n\r\n");
        let shape = Shape::read(&Head::read(head.as_bytes(), side).unwrap(), side);
        assert_eq!((shape.length, shape.conflict.is_some()), (length, conflict), "{head}");
    }

    #[test]
    fn body_lengths() {
        use Side::{Request, Response};
        shape("GET / HTTP/1.1", Request, Length::None, false);
        shape("POST / HTTP/1.1\r\nContent-Length: 5", Request, Length::Known(5), false);
        shape("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5", Request, Length::Known(5), false);
        shape("POST / HTTP/1.1\r\nContent-Length: 5, 6", Request, Length::Known(5), true);
        shape("POST / HTTP/1.1\r\nContent-Length: +5", Request, Length::None, true);
        shape("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999", Request, Length::None, true);
        shape("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", Request, Length::Chunked, true);
        shape("POST / HTTP/1.1\r\nTransfer-Encoding: gzip", Request, Length::None, true);
        shape("HTTP/1.1 200 OK", Response, Length::Close, false);
        shape("HTTP/1.1 200 OK\r\ncontent-length: 0", Response, Length::None, false);
        shape("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked", Response, Length::Chunked, false);
        shape("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip", Response, Length::Close, false);
    }

    #[test]
    fn bent_heads_are_read() {
        let head = Head::read(b"GET /a b\"c HTTP/1.1\r\nHost : x\r\nBroken\xff line\r\nA: 1\r\n  2\r\n\r\n", Side::Request).unwrap();
        assert!(head.bent);
        assert_eq!(head.start, Start::Request { method: b"GET", target: b"/a b\"c" });
        assert_eq!(head.field("host"), Some(&b"x"[..]));
        assert_eq!(head.fields.len(), 2);
        // Folded, with or without the strict grammar's help.
        assert_eq!(unfolded(head.field("a").unwrap(), b" "), b"1 2");
        let head = Head::read(b"HTTP/1.1 200 OK\r\nA: 1\r\n\t2\r\n 3\r\nB:\r\n 4\r\n\r\n", Side::Response).unwrap();
        assert_eq!(unfolded(head.field("a").unwrap(), b""), b"123");
        assert_eq!(head.field("b"), Some(&b"4"[..]));
        let head = Head::read(b"HTTP/1.1  200\r\nX Y: 1\n\n", Side::Response).unwrap();
        assert_eq!((head.start, head.bent), (Start::Response { status: 200 }, true));
        assert!(Head::read(b"\r\n\r\n", Side::Request).is_none());
    }

    #[test]
    fn heads_end() {
        assert_eq!(end_of_head(b"a\r\nb\r\n\r\nrest", 0), Some(8));
        assert_eq!(end_of_head(b"a\nb\n\nrest", 0), Some(5));
        assert_eq!(end_of_head(b"a\r\nb\r\n\r", 0), None);
    }

    #[test]
    fn finds_starts_in_noise() {
        let noise = b"\x00\x01xx HTTP/1.1\r\njunkGET /a?b=1 HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(find(noise, Side::Request), Some(19));
        assert_eq!(find(b"body..HTTP/1.1 200 OK\r\n", Side::Response), Some(6));
        assert_eq!(find(b"see HTTP/1.1 for more", Side::Response), None);
        assert_eq!(find(b" HTTP/1.1\r\n", Side::Request), None);
    }

    #[test]
    fn finds_requests_in_streams_nobody_knows() {
        let (request, quoted) = (b"\x05\x01\0PGET /a HTTP/1.1\r\nHost: x\r\n\r\n", b"<GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(find_new(request, 0), Some(4));
        // Up to the piece that ends in the last byte needed.
        assert_eq!((0..request.len()).filter(|old| find_new(request, *old) == Some(4)).max(), Some(20));
        assert_eq!(find_new(&request[..20], 0), Some(4));
        assert_eq!(find_new(&request[..19], 0), None);
        assert_eq!(find_new(&[b" ", &quoted[1..]].concat(), 0), None);
        assert_eq!(find_new(b"GET /a HTTP/1.1\r\nis what was sent\r\n", 0), None);
    }

    #[test]
    fn bare_requests() {
        assert_eq!(bare_target(b"GET /a\r\n"), Some(&b"/a"[..]));
        assert_eq!(bare_target(b"GET /\n"), Some(&b"/"[..]));
        for none in ["GET a\r\n", "GET /a b\r\n", "GET /a\r\nHost: x\r\n", "GET /a", "get /a\r\n", "HEAD /a\r\n"] {
            assert_eq!(bare_target(none.as_bytes()), None, "{none}");
        }
    }
}
