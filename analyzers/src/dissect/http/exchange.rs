//! One HTTP request with its answer, as far as either was seen, on its way to a line of the journal.

use policies::Time;

use super::body::Over;
use super::head::{self, Head, Start};
use super::secrets::{self, Secret, Url, scheme};
use crate::chunk::{Chunk, Layer};
use crate::dissect::marks::Marks;
use crate::dissect::search::{From, Place, Spot};
use crate::dissect::update;
use crate::dissect::{Cx, Hint};
use crate::flow::Dir;
use crate::leak::Charset;
use crate::observation::{Authorization, NameSource, Request};
use crate::text::Text;

#[derive(Debug)]
pub struct Exchange {
    at: Time,
    frame: u64,
    layer: Layer,
    dir: Dir,
    method: Text,
    url: Text,
    host: Option<Text>,
    path: Text,
    agent: Option<Text>,
    request_type: Option<Text>,
    authorization: Option<Authorization>,
    cookies: u16,
    query: bool,
    telling: bool,
    connect: bool,
    head_only: bool,
    upgrade: bool,
    /// Where the request and the response begin and end in their streams.
    out: (u64, u64),
    back: (u64, u64),
    out_over: Option<Over>,
    back_over: Option<Over>,
    done: [bool; 2],
    status: Option<u16>,
    response_type: Option<Text>,
    set_cookies: u16,
    location: Option<Text>,
    response_frame: Option<u64>,
    update: Option<update::Asked>,
}

impl Exchange {
    /// A request was read: `bytes` are its head, its body begins at `after`.
    pub fn asked(head: &Head<'_>, bytes: &[u8], marks: &Marks, after: u64, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Exchange {
        let Start::Request { method, target } = head.start else { return Exchange::unasked(chunk) };
        let connect = method == b"CONNECT";
        let named = head.field("host").unwrap_or_default();
        let mut url = Url::read(target);
        if connect {
            url = Url { authority: target, ..Url::default() };
        } else if url.authority.is_empty() {
            url.authority = named;
            if !named.is_empty() {
                url.scheme = if chunk.layer == Layer::Wire { b"http" } else { b"https" };
            }
        }
        let name = url.host().to_ascii_lowercase();
        let host = (!name.is_empty()).then(|| cx.text(&name));
        bind(host.as_ref(), &name, connect, chunk.dir, cx);
        let mut path = Vec::new();
        url.masked_path(&mut path);
        let mut it = Exchange {
            method: cx.text(method),
            url: cx.text(&url.masked()),
            path: cx.text(&path),
            connect,
            head_only: method == b"HEAD",
            query: url.query.is_some_and(|q| !q.is_empty()),
            out: (after - bytes.len() as u64, after),
            ..Exchange::unasked(chunk)
        };
        let origin = marks.origin(0, bytes.len() as u64);
        (it.at, it.frame) = (origin.time, origin.frame);
        it.dir = chunk.dir;
        it.done = [false, false];
        it.update = update::asked(&name, url.path, url.query.unwrap_or_default());
        it.host = host;
        it.telling = url.query.is_some_and(|q| !matches!(q, b"" | b"ipv4" | b"ipv6"))
            || url.authority.contains(&b'@')
            || target.contains(&b'#')
            || !matches!(method, b"GET" | b"HEAD" | b"POST" | b"OPTIONS" | b"CONNECT")
            || head.fields.iter().any(|field| !is_ordinary(field.name))
            || head.field("user-agent").is_some_and(numbers_its_sender);
        let place = |part: &[u8]| offset_in(bytes, part);
        search_head(head, bytes, Place::RequestUri, Place::RequestHeader, marks, chunk, cx);
        let mut found: Vec<Secret> = Vec::new();
        if !connect {
            secrets::user_info(url.authority, &mut found);
            say_secrets(&mut found, Place::RequestUri, place(url.authority), marks, chunk, cx);
        }
        if let Some(query) = url.query.filter(|q| !q.is_empty()) {
            secrets::pairs(query, &mut found);
            say_secrets(&mut found, Place::RequestUri, place(query), marks, chunk, cx);
        }
        for field in &head.fields {
            let value = field.value;
            if field.is("user-agent") {
                it.agent = Some(cx.text(value));
            } else if field.is("content-type") {
                it.request_type = media_text(value, cx);
            } else if field.is("cookie") {
                it.cookies = it.cookies.saturating_add(value.split(|b| *b == b';').filter(|c| !c.trim_ascii().is_empty()).count() as u16);
            } else if secrets::is_authorization(field.name) {
                it.authorization.get_or_insert(scheme(value));
                let from = found.len();
                if value.contains(&b'\n') {
                    secrets::authorization(&head::unfolded(value, b" "), &mut found);
                    // Where they stand in the folded value is not told nearer.
                    for secret in &mut found[from..] {
                        (secret.at, secret.len) = (0, value.len());
                    }
                } else {
                    secrets::authorization(value, &mut found);
                }
            } else if field.is("upgrade") {
                it.upgrade = true;
            } else if field.is("referer") {
                let authority = Url::read(value).authority;
                secrets::user_info(authority, &mut found);
                for secret in &mut found {
                    secret.at += offset_in(value, authority);
                }
            } else if secrets::is_secret_header(field.name) && !value.is_empty() && !crate::leak::is_stand_in(value) {
                let kind = policies::IdentifierType::Token;
                found.push(Secret { kind, value: value.to_vec(), at: 0, len: value.len(), chain: &[] });
            }
            let spot = Place::RequestHeader(field.name);
            say_secrets(&mut found, spot, place(value), marks, chunk, cx);
        }
        it
    }

    /// So many bytes at the end of its head were not sent.
    pub fn shorten(&mut self, len: usize) {
        self.out.1 = self.out.1.saturating_sub(len as u64);
    }

    /// An answer came whose request was not seen.
    pub fn unasked(chunk: &Chunk<'_>) -> Exchange {
        Exchange {
            at: chunk.time,
            frame: chunk.frame,
            layer: chunk.layer,
            dir: chunk.dir.other(),
            method: Text::default(),
            url: Text::default(),
            host: None,
            path: Text::default(),
            agent: None,
            request_type: None,
            authorization: None,
            cookies: 0,
            query: false,
            telling: false,
            connect: false,
            head_only: false,
            upgrade: false,
            out: (0, 0),
            back: (0, 0),
            out_over: None,
            back_over: None,
            done: [true, false],
            status: None,
            response_type: None,
            set_cookies: 0,
            location: None,
            response_frame: None,
            update: None,
        }
    }

    /// The head of the final answer was read.
    pub fn answer(&mut self, head: &Head<'_>, status: u16, bytes: &[u8], marks: &Marks, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        let origin = marks.origin(0, bytes.len() as u64);
        cx.hint(Hint { client: Some(self.dir), ..Hint::default() });
        self.status = Some(status);
        self.response_frame = Some(origin.frame);
        self.back = (origin.offset, origin.offset + bytes.len() as u64);
        for field in &head.fields {
            if field.is("content-type") {
                self.response_type = media_text(field.value, cx);
            } else if field.is("set-cookie") {
                self.set_cookies = self.set_cookies.saturating_add(1);
            } else if field.is("location") {
                self.location = Some(cx.text(&Url::read(field.value).masked()));
            }
        }
        search_head(head, bytes, Place::Of("http.response.line"), Place::ResponseHeader, marks, chunk, cx);
    }

    /// The request is over, at `offset` of its stream (0 = not known).
    pub fn over_out(&mut self, offset: u64, over: Option<Over>) {
        self.out.1 = self.end_of(self.out, offset, over.as_ref());
        self.out_over = over;
        self.done[0] = true;
    }

    /// The response is over.
    pub fn over_in(&mut self, offset: u64, over: Option<Over>, _cx: &mut Cx<'_>) {
        self.back.1 = self.end_of(self.back, offset, over.as_ref());
        self.back_over = over;
        self.done[1] = true;
    }

    #[expect(clippy::unused_self, reason = "reads as a property of the exchange")]
    fn end_of(&self, (_, head): (u64, u64), offset: u64, over: Option<&Over>) -> u64 {
        if offset > 0 { offset } else { head + over.map_or(0, |o| o.content) }
    }

    pub fn is_connect(&self) -> bool {
        self.connect
    }

    pub fn is_head(&self) -> bool {
        self.head_only
    }

    pub fn upgrades(&self) -> bool {
        self.upgrade
    }

    /// Whether its request was read.
    pub fn is_asked(&self) -> bool {
        self.out.1 > 0
    }

    pub fn status(&self) -> Option<u16> {
        self.status
    }

    pub fn is_answered(&self) -> bool {
        self.status.is_some() || self.done[1]
    }

    pub fn is_over(&self) -> bool {
        self.done == [true, true]
    }

    /// Whether what is said is of the type that the other fields claim, where certificates and their revocation are asked for: DER
    /// (RFC 6960 §A, RFC 5280 §4.2) or PEM.
    fn is_what_it_claims(&self) -> bool {
        const ANSWERS: [&str; 5] = [
            "application/ocsp-response",
            "application/pkix-crl",
            "application/x-pkcs7-crl",
            "application/pkix-cert",
            "application/x-x509-ca-cert",
        ];
        let reads = |over: &Option<Over>| {
            over.as_ref().is_none_or(|o| o.content == 0 || is_der(&o.first, o.content) || o.first.starts_with(b"-----BEGIN "))
        };
        let asks = self.request_type.as_ref().is_some_and(|t| t == "application/ocsp-request");
        let told = self.response_type.as_ref().is_some_and(|t| ANSWERS.iter().any(|a| t == a));
        (!asks || reads(&self.out_over)) && (!told || self.status != Some(200) || reads(&self.back_over))
    }

    /// Writes the line, and what it says of an update channel.
    pub fn say(mut self, cx: &mut Cx<'_>) {
        self.telling |= self.out_over.as_ref().is_some_and(|o| o.trailer) || !self.is_what_it_claims();
        let content = |over: &Option<Over>| over.as_ref().map_or(0, |o| o.content);
        let undecoded = |over: &Option<Over>| over.as_ref().map_or(0, |o| o.undecoded);
        let said = |media, over| update::Content { media, ends: Option::as_ref(over).map(|o: &Over| (&o.first[..], &o.last[..])) };
        let seen = update::seen(
            self.update.as_ref(),
            said(self.request_type.as_ref(), &self.out_over),
            said(self.response_type.as_ref(), &self.back_over),
            self.status,
        );
        if let Some(seen) = seen {
            cx.see_at(self.at, self.frame, seen.observation(self.layer, self.host.clone(), self.path.clone()));
        }
        let by_peer = cx.is_peers(self.dir);
        cx.see_at(
            self.at,
            self.frame,
            Request {
                by_peer,
                layer: self.layer,
                dir: self.dir,
                method: self.method,
                url: self.url,
                host: self.host,
                path: self.path,
                status: self.status,
                request_bytes: self.out.1.saturating_sub(self.out.0),
                response_bytes: self.back.1.saturating_sub(self.back.0),
                user_agent: self.agent,
                request_type: self.request_type,
                response_type: self.response_type,
                authorization: self.authorization,
                cookies: self.cookies,
                set_cookies: self.set_cookies,
                location: self.location,
                query: self.query,
                body: content(&self.out_over) > 0,
                telling: Some(self.telling),
                response_body: self.status.map(|_| content(&self.back_over)),
                undecoded: undecoded(&self.out_over) + undecoded(&self.back_over),
                response_frame: self.response_frame,
            },
        );
    }
}

/// Whether content of so many bytes that begins so may be one DER sequence (X.690 §8.1): its length fits, where the whole was seen.
fn is_der(first: &[u8], content: u64) -> bool {
    let (head, len) = match *first {
        [0x30, n @ 0..=0x7f, ..] => (2, u64::from(n)),
        [0x30, 0x81, n, ..] => (3, u64::from(n)),
        [0x30, 0x82, a, b, ..] => (4, u64::from(a) << 8 | u64::from(b)),
        [0x30, 0x83, a, b, c, ..] => (5, u64::from(a) << 16 | u64::from(b) << 8 | u64::from(c)),
        [0x30, 0x84, a, b, c, d, ..] => (6, u64::from(u32::from_be_bytes([a, b, c, d]))),
        _ => return false,
    };
    head + len >= content
}

/// Whether a client's name for itself says which one it is: sixteen hex digits and more in one piece, or a UUID (RFC 9562 §4).
fn numbers_its_sender(agent: &[u8]) -> bool {
    let told = |word: &[u8]| {
        let digits = word.iter().filter(|b| b.is_ascii_digit()).count();
        let uuid = word.len() == 36 && [8, 13, 18, 23].iter().all(|at| word.get(*at) == Some(&b'-'));
        (uuid || !word.contains(&b'-')) && word.len() >= 16 && digits > 0 && digits < word.len()
    };
    agent.split(|b| !b.is_ascii_hexdigit() && *b != b'-').any(told)
}

/// Whether nearly every client sends a header field of this name, so that it says nothing about the one that does.
fn is_ordinary(name: &[u8]) -> bool {
    const NAMES: [&str; 29] = [
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "accept-language",
        "accept-charset",
        "cache-control",
        "pragma",
        "connection",
        "keep-alive",
        "proxy-connection",
        "content-type",
        "content-length",
        "transfer-encoding",
        "expect",
        "te",
        "range",
        "if-none-match",
        "if-modified-since",
        "if-range",
        "if-match",
        "if-unmodified-since",
        "upgrade",
        "http2-settings",
        "upgrade-insecure-requests",
        "dnt",
        "sec-gpc",
        "priority",
        "date",
    ];
    NAMES.iter().any(|ordinary| name.eq_ignore_ascii_case(ordinary.as_bytes()))
}

/// Tells who the flow is about, from its first request.
fn bind(host: Option<&Text>, name: &[u8], connect: bool, dir: Dir, cx: &mut Cx<'_>) {
    // An address is no name: the peer keeps its own.
    let literal = std::str::from_utf8(name).is_ok_and(|n| n.parse::<std::net::IpAddr>().is_ok());
    let by = if connect { NameSource::Connect } else { NameSource::HttpHost };
    let name = host.filter(|_| !literal).map(|h| (h.clone(), by));
    cx.hint(Hint { client: Some(dir), name, ..Hint::default() });
}

/// Searches a head as a whole, so that a value stands beside its field's name; a find's place is the field it begins in.
fn search_head<'h>(
    head: &Head<'h>,
    bytes: &[u8],
    line: Place<'h>,
    named: fn(&'h [u8]) -> Place<'h>,
    marks: &Marks,
    chunk: &Chunk<'_>,
    cx: &mut Cx<'_>,
) {
    cx.search_parts(&in_head(line, 0, marks, chunk), bytes, |at| {
        let field = head.fields.iter().take_while(|f| offset_in(bytes, f.name) as u64 <= at).last();
        field.map_or(line, |f| named(f.name))
    });
    // What is folded over lines is read with a blank for each fold (RFC 9112 §5.2), or with nothing.
    for field in head.fields.iter().filter(|f| f.value.contains(&b'\n')) {
        let origin = marks.origin(offset_in(bytes, field.value) as u64, field.value.len() as u64);
        let spot = Spot { place: named(field.name), dir: chunk.dir, layer: chunk.layer, from: From::Decoded(origin), chain: &[] };
        for joint in [&b" "[..], b""] {
            cx.search_again(&spot, &head::unfolded(field.value, joint));
        }
    }
}

/// The searched spot of a piece of a head.
fn in_head<'a>(place: Place<'a>, at: usize, marks: &'a Marks, chunk: &Chunk<'_>) -> Spot<'a> {
    Spot { place, dir: chunk.dir, layer: chunk.layer, from: From::Kept(marks, at as u64), chain: &[] }
}

fn say_secrets(found: &mut Vec<Secret>, place: Place<'_>, at: usize, marks: &Marks, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
    for secret in found.drain(..) {
        cx.told_secret(&secret, &in_head(place, at, marks, chunk));
    }
}

/// The media type of a message, without parameters, and the character set that these declare.
pub fn media_type<'a>(head: &Head<'a>) -> (&'a [u8], Charset) {
    let value = head.field("content-type").unwrap_or_default();
    (value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii(), Charset::of_media_type(value))
}

fn media_text(value: &[u8], cx: &Cx<'_>) -> Option<Text> {
    let media = value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    (!media.is_empty()).then(|| cx.text(&media))
}

/// Where `part`, a slice of `whole`, begins in it.
fn offset_in(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize).filter(|at| *at <= whole.len()).unwrap_or(0)
}
