//! What makes requests in clear alike.

use crate::preamble;

/// So much of a kind is kept.
const LONGEST_SHAPE: usize = 96;
/// Longer segments of a path with a digit in them are identifiers, and longer first words are none.
const LONGEST_NAME: usize = 12;
const LONGEST_WORD: usize = 16;

/// The same of what begins a connection: what is no request is told by its port too.
pub(super) fn of(bytes: &[u8], port: u16) -> String {
    let shape = shape(bytes);
    if preamble::request_line(bytes).is_some() { shape } else { format!("port {port} {shape}") }
}

/// Whether a request says nothing but its path.
pub(super) fn is_bare(bytes: &[u8]) -> bool {
    preamble::request_line(bytes).is_some_and(|(_, target)| !target.contains(&b'?'))
        && signs(bytes).is_empty()
        && !has_field(bytes, "cookie")
}

/// What makes requests in clear alike: method and path, the names of its parameters, whether it shows credentials or has a body, and with a
/// sign for what changes; of other text its first word.
pub(super) fn shape(bytes: &[u8]) -> String {
    let Some((method, target)) = preamble::request_line(bytes) else {
        let word = bytes.iter().take(LONGEST_WORD).take_while(|b| b.is_ascii_alphabetic()).count();
        let ends = bytes.get(word).is_none_or(|b| b.is_ascii_whitespace() || matches!(b, b':' | b'=' | b',' | b';'));
        let word = bytes.get(..word).filter(|word| word.len() > 1 && ends).unwrap_or_default();
        return format!("bytes {}", String::from_utf8_lossy(word)).trim_end().to_owned();
    };
    let path = target.split(|b| matches!(b, b'?' | b'#')).next().unwrap_or_default();
    let parts: Vec<String> = path.split(|b| *b == b'/').map(constant).collect();
    let mut out = format!("{} {}", String::from_utf8_lossy(method), parts.join("/"));
    if let Some((_, query)) = target.split_at_checked(path.len() + 1).filter(|_| target.get(path.len()) == Some(&b'?')) {
        let names: std::collections::BTreeSet<String> = query.split(|b| *b == b'&').take(MOST_NAMES).map(name).collect();
        out = format!("{out}?{}", Vec::from_iter(names).join("&"));
    }
    out.push_str(signs(bytes));
    if let Some((at, _)) = out.char_indices().nth(LONGEST_SHAPE) {
        out.truncate(at);
    }
    out
}

/// Parameters whose names are told.
const MOST_NAMES: usize = 8;

/// The name of a parameter.
fn name(pair: &[u8]) -> String {
    constant(pair.split(|b| *b == b'=').next().unwrap_or_default())
}

/// A question to a resolver that is a peer.
pub(super) const DNS: &str = "udp 53 question";

/// Whether requests of this shape say more than a path that is always the same: a question whether the network is there says no more.
pub(super) fn tells(shape: &str) -> bool {
    let bare = shape.strip_prefix("GET ").or_else(|| shape.strip_prefix("HEAD "));
    bare.is_none_or(|rest| rest.contains(['?', ' ']))
}

/// What a head says beside its first line.
fn signs(bytes: &[u8]) -> &'static str {
    let body = has_field(bytes, "transfer-encoding") || field(bytes, "content-length").is_some_and(|value| value.trim_ascii() != b"0");
    match (has_field(bytes, "authorization") || has_field(bytes, "proxy-authorization"), body) {
        (true, true) => " with credentials and a body",
        (true, false) => " with credentials",
        (false, true) => " with a body",
        (false, false) => "",
    }
}

fn has_field(bytes: &[u8], name: &str) -> bool {
    field(bytes, name).is_some()
}

/// The value of a field of the head.
fn field<'b>(bytes: &'b [u8], name: &str) -> Option<&'b [u8]> {
    let mut lines = bytes.split(|b| *b == b'\n').skip(1).take_while(|line| !line.trim_ascii().is_empty());
    lines.find_map(|line| {
        let (field, value) = line.split_at_checked(name.len())?;
        field.eq_ignore_ascii_case(name.as_bytes()).then_some(())?;
        value.strip_prefix(b":")
    })
}

/// What stays of a segment of a path: all but a number in a short one, nothing of one that mixes letters and digits or is long.
fn constant(part: &[u8]) -> String {
    let mut out = String::new();
    let mut numbers = 0;
    for run in part.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()) {
        if run.first().is_some_and(u8::is_ascii_digit) {
            numbers += 1;
            out.push('#');
        } else {
            out.push_str(&String::from_utf8_lossy(run));
        }
    }
    if numbers > 1 || numbers == 1 && part.len() > LONGEST_NAME { "#".to_owned() } else { out }
}
