//! Values told by their shape: format, check digits and the name of the field, precision before recall.
//!
//! Every search starts from a rare byte or a sampled class of bytes and looks closer only there. With `eager` (to hide, not to
//! report) a shape needs less context.
//!
//! Long, for every shape has its grammar here, beside its exceptions.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use policies::IdentifierType as Kind;
use smallvec::SmallVec;

use super::beside::{self, Beside, Word};
use super::code::luhn;
use super::keys::{self, Promise};
use super::rows;
use super::signs::Signs;
use super::sip;
use super::stand_ins::{self, is_button, is_label, placeholder};

/// A value told by its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
    /// Where its name stands.
    pub(super) key: Option<Range<usize>>,
    pub(super) detail: Option<&'static str>,
}

pub(super) fn find(text: &[u8], signs: Signs, eager: bool, sink: &mut dyn FnMut(Shape)) {
    if text.len() < 4 {
        return;
    }
    if signs.has(Signs::AT) {
        addresses(text, eager, sink);
    }
    if signs.has(Signs::DIGIT) {
        numbers(text, eager, sink);
    }
    if signs.has(Signs::PLUS) {
        phones(text, eager, sink);
    }
    if signs.has(Signs::PART) {
        hardware(text, sink);
    }
    if signs.has(Signs::TOKEN) {
        tokens(text, sink);
    }
    if text.len() >= PUSH_TOKEN {
        push_tokens(text, sink);
    }
    if signs.has(Signs::QUOTE) && signs.has(Signs::HYPHEN) {
        parts(text, sink);
    }
    if signs.has(Signs::NAME) {
        named(text, sink);
    }
    if signs.has(Signs::TAG) {
        members(text, sink);
    }
}

fn at(text: &[u8], index: Option<usize>) -> Option<u8> {
    index.and_then(|i| text.get(i)).copied()
}

fn alnum(b: Option<u8>) -> bool {
    b.is_some_and(|b| b.is_ascii_alphanumeric())
}

/// E-mail addresses (RFC 5321 §4.1.2, without quoted strings and address literals), and IMSIs written as network access identifiers.
fn addresses(text: &[u8], eager: bool, sink: &mut dyn FnMut(Shape)) {
    for sign in memchr::memchr_iter(b'@', text) {
        let left =
            text[..sign].iter().rev().take(65).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+')).count();
        let right = text[sign + 1..].iter().take(254).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')).count();
        if left == 0 || left > 64 || right < 4 {
            continue;
        }
        let mut start = sign - left;
        // `%22anna@`: the two digits belong to the sign in front of them.
        if at(text, start.checked_sub(1)) == Some(b'%') && text[start..sign].iter().take(2).filter(|b| b.is_ascii_hexdigit()).count() == 2 {
            start += 2;
        }
        let trimmed = text[start..sign].iter().take_while(|b| matches!(b, b'.' | b'-' | b'+')).count();
        start += trimmed;
        let domain = &text[sign + 1..sign + 1 + right];
        let spoken = sip::begins(&text[..sign - left]);
        if spoken {
            let end = sign + 1 + right - domain.iter().rev().take_while(|b| matches!(b, b'.' | b'-')).count();
            sip::party(text, &(sign - left..sign), &(sign + 1..end), sink);
        }
        let dots = domain.iter().rev().take_while(|b| matches!(b, b'.' | b'-')).count();
        let domain = &domain[..domain.len() - dots];
        let local = &text[start..sign];
        if local.is_empty() || !domain_like(domain) {
            continue;
        }
        let span = start..sign + 1 + domain.len();
        let lower = domain.to_ascii_lowercase();
        let front = &text[start.saturating_sub(80)..start];
        let key = keys::before(text, start);
        let named = key.clone().and_then(|key| keys::promise(&text[key]));
        if local.iter().all(u8::is_ascii_digit) && (lower.ends_with(b"3gppnetwork.org") || memchr::memmem::find(&lower, b"mnc").is_some()) {
            if let Some(digits) = network_identity(local, &lower) {
                sink(Shape { kind: Kind::Imsi, span: start + digits.start..start + digits.end, key, detail: None });
            }
            continue;
        }
        if !eager {
            let scheme = |name: &[u8]| front.len() >= name.len() && front[front.len() - name.len()..].eq_ignore_ascii_case(name);
            let service = spoken || [&b"xmpp:"[..], b"im:", b"ssh:", b"git+"].iter().any(|s| scheme(s)) || in_authority(front);
            let call = key.as_ref().is_some_and(|key| sip::is_call_id(text, key));
            let role = ROLES.iter().any(|role| local.eq_ignore_ascii_case(role.as_bytes()));
            // `celery@host.example`: what works on a host has its name.
            let host = key.as_ref().is_some_and(|key| text[key.clone()].to_ascii_lowercase().ends_with(b"hostname"));
            let vendor = NOT_MAIL.iter().any(|other| lower == other.as_bytes());
            if service || call || role || host || vendor || named == Some(Promise::NotPersonal) || local.starts_with(b"aes") {
                continue;
            }
        }
        sink(Shape { kind: Kind::Email, span, key, detail: None });
    }
}

/// Whether what follows `front` is the user part of a URL's authority.
fn in_authority(front: &[u8]) -> bool {
    let tail = front.iter().rposition(|b| matches!(b, b'/' | b' ' | b'"' | b'<' | b'\r' | b'\n' | b'?' | b'&' | b'='));
    tail.is_some_and(|slash| front[..=slash].ends_with(b"://"))
}

/// Labels of letters and digits, at least two, the last one of letters and not the ending of a file.
pub(super) fn domain_like(domain: &[u8]) -> bool {
    let mut labels = 0;
    let mut last: &[u8] = b"";
    for label in domain.split(|b| *b == b'.') {
        if label.is_empty() || label.len() > 63 || label.starts_with(b"-") || label.ends_with(b"-") {
            return false;
        }
        labels += 1;
        last = label;
    }
    let top = last.to_ascii_lowercase();
    labels >= 2
        && (2..=24).contains(&top.len())
        && (top.iter().all(u8::is_ascii_alphabetic) || top.starts_with(b"xn--"))
        && !FILES.iter().any(|f| top == f.as_bytes())
}

/// The IMSI in the user part of a network access identifier (3GPP TS 23.003, 19.3.2 and 14.3): it begins with the realm's country
/// code, after one digit that names the method.
fn network_identity(local: &[u8], realm: &[u8]) -> Option<Range<usize>> {
    let mcc = memchr::memmem::find(realm, b"mcc").and_then(|at| realm.get(at + 3..at + 6))?;
    (0..=1)
        .find(|skip| local.get(*skip..).is_some_and(|rest| rest.starts_with(mcc) && (14..=15).contains(&rest.len())))
        .map(|skip| skip..local.len())
}

/// Mailboxes of functions, not of people (RFC 2142, and what shops and services use).
#[rustfmt::skip]
pub(super) const ROLES: [&str; 37] = [
    "info", "support", "admin", "webmaster", "postmaster", "hostmaster", "noreply", "no-reply", "donotreply", "do-not-reply", "contact", "help", "sales", "abuse", "root", "security",
    "privacy", "feedback", "service", "press", "office", "team", "hello", "billing", "marketing", "jobs", "careers", "legal", "dmca", "news", "newsletter", "git", "support-team", "anonymous",
    "sysadmin", "administrator", "celery",
];
/// Names in SSH algorithm lists (RFC 4251 §6) are not mailboxes.
const NOT_MAIL: [&str; 6] = ["openssh.com", "libssh.org", "lysator.liu.se", "ssh.com", "putty.projects.tartarus.org", "tinyssh.org"];
/// Endings of files that stand behind an `@` in names of pictures and packages.
#[rustfmt::skip]
const FILES: [&str; 30] = [
    "png", "jpg", "jpeg", "gif", "webp", "svg", "ico", "css", "js", "mjs", "json", "html", "htm", "php", "so", "dll", "exe", "apk", "xml", "txt", "map", "min", "ts", "tsx", "jsx", "mp4",
    "mp3", "woff", "ttf", "local",
];

/// Identifiers of digits: IMEI, IMSI, ICCID, EID, card numbers, telephone numbers under their names.
fn numbers(text: &[u8], eager: bool, sink: &mut dyn FnMut(Shape)) {
    // A run of eight digits has one at every seventh place.
    let mut next = 0;
    while next < text.len() {
        if !text[next].is_ascii_digit() {
            next += 7;
            continue;
        }
        let start = text[..next].iter().rposition(|b| !b.is_ascii_digit()).map_or(0, |before| before + 1);
        let end = text[next..].iter().position(|b| !b.is_ascii_digit()).map_or(text.len(), |after| next + after);
        next = end + 1;
        if end - start < 8 || end - start > 40 {
            continue;
        }
        if let Some(shape) = number(text, start..end, eager) {
            sink(shape);
        }
    }
}

fn number(text: &[u8], run: Range<usize>, eager: bool) -> Option<Shape> {
    let (before, after) = (at(text, run.start.checked_sub(1)), at(text, Some(run.end)));
    let digits = &text[run.clone()];
    let decimal = (before == Some(b'.') && at(text, run.start.checked_sub(2)).is_some_and(|b| b.is_ascii_digit()))
        || (after == Some(b'.') && at(text, Some(run.end + 1)).is_some_and(|b| b.is_ascii_digit()));
    if alnum(before) || alnum(after) || matches!(before, Some(b'_' | b'%')) || decimal {
        return None;
    }
    let key = keys::before(text, run.start);
    let named = key.clone().and_then(|key| keys::promise(&text[key]));
    let shape = |kind, span| Some(Shape { kind, span, key: key.clone(), detail: None });
    // `35442706-323347-9`, as TS 23.003 writes it and SIP carries it (RFC 7254).
    if digits.len() == 8 && after == Some(b'-') {
        let whole = run.start..run.start + 17;
        let grouped = text.get(whole.clone())?;
        let plain: Vec<u8> = grouped.iter().copied().filter(u8::is_ascii_digit).collect();
        if plain.len() == 15 && grouped.get(15) == Some(&b'-') && !at(text, Some(whole.end)).is_some_and(|b| b.is_ascii_digit()) {
            let sure = named == Some(Promise::Kind(Kind::Imei)) || (eager && luhn(&plain));
            return if sure { shape(Kind::Imei, whole) } else { None };
        }
    }
    match (named, digits.len()) {
        (Some(Promise::Kind(Kind::Imei)), 14..=16) if digits.len() != 15 || luhn(digits) || digits.ends_with(b"0") => {
            shape(Kind::Imei, run)
        }
        (Some(Promise::Device), 15) if luhn(digits) && reporting_body(digits) => shape(Kind::Imei, run),
        // Under such a name any such number names the device, whatever it is.
        (Some(Promise::Device), 14..=17) => shape(Kind::DeviceId, run),
        (Some(Promise::Kind(Kind::Imsi)), 14..=15) if matches!(digits[0], b'2'..=b'7') => shape(Kind::Imsi, run),
        (Some(Promise::Kind(Kind::Iccid)), 18..=20) if digits.starts_with(b"89") => shape(Kind::Iccid, run),
        (Some(Promise::Kind(Kind::Eid)), 32) if digits.starts_with(b"89") => shape(Kind::Eid, run),
        (_, 32) if digits.starts_with(b"89") && remainder_97(digits) == 1 => shape(Kind::Eid, run),
        (Some(Promise::Kind(Kind::PaymentCard)), 13..=19) if luhn(digits) => shape(Kind::PaymentCard, run),
        (Some(Promise::Kind(Kind::Msisdn)), 8..=15) => shape(Kind::Msisdn, run),
        (_, 15) if eager && luhn(digits) && reporting_body(digits) => shape(Kind::Imei, run),
        (_, 15)
            if eager
                && matches!(named, None | Some(Promise::Device))
                && matches!(digits[0], b'2'..=b'7')
                && at_sign_follows(text, run.end) =>
        {
            shape(Kind::Imsi, run)
        }
        (_, 16)
            if eager
                && luhn(digits)
                && matches!(digits, [b'4', ..] | [b'5', b'1'..=b'5', ..] | [b'2', b'2'..=b'7', ..] | [b'6', b'0' | b'5', ..]) =>
        {
            shape(Kind::PaymentCard, run)
        }
        (_, 15) if eager && luhn(digits) && matches!(digits, [b'3', b'4' | b'7', ..]) => shape(Kind::PaymentCard, run),
        (_, 18..=20) if eager && digits.starts_with(b"89") && luhn(digits) => shape(Kind::Iccid, run),
        _ => None,
    }
}

fn at_sign_follows(text: &[u8], end: usize) -> bool {
    text.get(end) == Some(&b'@')
}

/// The first two digits name the body that allocated the type (GSMA TS.06: those that have allocated for handsets).
fn reporting_body(digits: &[u8]) -> bool {
    matches!(
        digits,
        [b'0', b'1', ..]
            | [b'3', b'3' | b'5', ..]
            | [b'4', b'4' | b'5' | b'9', ..]
            | [b'5', b'0'..=b'4', ..]
            | [b'8', b'6', ..]
            | [b'9', b'1' | b'8' | b'9', ..]
    )
}

/// ISO/IEC 7064, MOD 97-10 (GSMA SGP.02 for the EID).
fn remainder_97(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |sum, d| (sum * 10 + u32::from(d.wrapping_sub(b'0'))) % 97)
}

/// Telephone numbers with their `+` (E.164), where something says that they are one.
fn phones(text: &[u8], eager: bool, sink: &mut dyn FnMut(Shape)) {
    for sign in memchr::memchr_iter(b'+', text) {
        let digits = text[sign + 1..].iter().take(16).take_while(|b| b.is_ascii_digit()).count();
        let end = sign + 1 + digits;
        if !(8..=15).contains(&digits) || text[sign + 1] == b'0' || alnum(at(text, Some(end))) || alnum(at(text, sign.checked_sub(1))) {
            continue;
        }
        let key = keys::before(text, sign);
        let named = key.clone().and_then(|key| keys::promise(&text[key])) == Some(Promise::Kind(Kind::Msisdn));
        let front = &text[sign.saturating_sub(5)..sign];
        let scheme = [&b"tel:"[..], b"sip:", b"sips:", b"sms:"].iter().any(|s| front.ends_with(s));
        let quoted =
            matches!(at(text, sign.checked_sub(1)), Some(b'"' | b'>')) && matches!(at(text, Some(end)), Some(b'"' | b'<')) && digits >= 10;
        if named || scheme || quoted || eager {
            sink(Shape { kind: Kind::Msisdn, span: sign..end, key, detail: None });
        }
    }
}

/// Hardware addresses with their separators.
fn hardware(text: &[u8], sink: &mut dyn FnMut(Shape)) {
    rows::find(text, &mut |by, row| {
        let (before, after) = (at(text, row.start.checked_sub(1)), at(text, Some(row.end)));
        // Longer rows of pairs are digests and keys.
        let longer = before == Some(by) || (after == Some(by) && alnum(at(text, Some(row.end + 1))));
        let mac = if by == b' ' || longer || alnum(before) || alnum(after) { None } else { spelled(&text[row.clone()]) };
        if let Some(detail) = mac.and_then(address_class) {
            let key = keys::before(text, row.start);
            let kind = match key.clone().and_then(|key| keys::promise(&text[key])) {
                Some(Promise::Kind(kind @ (Kind::Bssid | Kind::BluetoothMac))) => kind,
                _ => Kind::Mac,
            };
            sink(Shape { kind, span: row, key, detail: Some(detail) });
        }
        true
    });
}

fn spelled(text: &[u8]) -> Option<[u8; 6]> {
    let mut out = [0; 6];
    if text.len() != 17 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.chunks(3)) {
        *byte = crate::encode::nibble(pair[0])? << 4 | crate::encode::nibble(*pair.get(1)?)?;
    }
    Some(out)
}

/// IEEE 802, 8.2: the second bit of the first byte says whether the address was assigned locally, which phones do at random.
/// None for groups, and for what stands where an address is hidden (Android writes 02:00:00:00:00:00).
fn address_class(mac: [u8; 6]) -> Option<&'static str> {
    let [first, rest @ ..] = mac;
    if first & 1 == 1 || rest == [0; 5] || mac == [0xfe; 6] {
        return None;
    }
    Some(if first & 2 == 2 { "randomised" } else { "permanent" })
}

/// Tokens told by how they begin.
fn tokens(text: &[u8], sink: &mut dyn FnMut(Shape)) {
    for start in memchr::memchr_iter(b'J', text).filter_map(|at| at.checked_sub(2)) {
        if text[start..start + 2] != *b"ey" || alnum(at(text, start.checked_sub(1))) {
            continue;
        }
        let token = &text[start..start + word(text, start)];
        let mut parts = token.split(|b| *b == b'.');
        let header = parts.next().map(|p| super::undo::base64(p).bytes).unwrap_or_default();
        let body = parts.next().map(|p| super::undo::base64(p).bytes).unwrap_or_default();
        // RFC 7519 §7.2: the header is a JSON object with `alg`, what follows is base64 too.
        if header.starts_with(b"{") && memchr::memmem::find(&header, b"\"alg\"").is_some() && body.starts_with(b"{") {
            sink(Shape { kind: Kind::Token, span: start..start + token.len(), key: keys::before(text, start), detail: Some("jwt") });
        }
    }
}

/// How far a token reaches.
fn word(text: &[u8], from: usize) -> usize {
    text[from..].iter().take(4096).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':')).count()
}

/// Registration tokens of Firebase Cloud Messaging are no shorter.
const PUSH_TOKEN: usize = 100;

fn push_tokens(text: &[u8], sink: &mut dyn FnMut(Shape)) {
    static SIGN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"APA91b"));
    for sign in SIGN.find_iter(text) {
        let end = sign + word(text, sign);
        if end - sign >= PUSH_TOKEN {
            sink(Shape { kind: Kind::PushToken, span: sign..end, key: keys::before(text, sign), detail: None });
        }
    }
}

/// Values of a multipart form (RFC 7578): the name stands in the part's header.
fn parts(text: &[u8], sink: &mut dyn FnMut(Shape)) {
    const NAME: &[u8] = b"form-data; name=\"";
    const BLANK: &[u8] = b"\r\n\r\n";
    static SIGN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(NAME));
    let mut near = Beside::default();
    for sign in SIGN.find_iter(text) {
        let from = sign + NAME.len();
        let head = &text[from..(from + 512).min(text.len())];
        let (Some(quote), Some(blank)) = (memchr::memchr(b'"', head), memchr::memmem::find(head, BLANK)) else { continue };
        let start = from + blank + BLANK.len();
        let body = text.get(start..(start + 512).min(text.len())).unwrap_or_default();
        let end = start + memchr::memmem::find(body, b"\r\n").unwrap_or(body.len());
        let key = from..from + quote;
        let promise = keys::promise(&text[key.clone()]);
        if let Some(word) = last_word(promise, &text[key.clone()])
            && start < end
        {
            near.field(text, word, key.clone(), start..end, sink);
        }
        if let Some((kind, detail)) = promise.and_then(|promise| keyed(promise, &text[start..end], true)) {
            sink(Shape { kind, span: start..end, key: Some(key), detail });
        }
    }
    near.end(text, sink);
}

/// What the last word of a name says, where the name promises nothing more.
fn last_word(promise: Option<Promise>, name: &[u8]) -> Option<Word> {
    match promise {
        None => beside::word(name),
        Some(Promise::Kind(Kind::UserName) | Promise::UserNumber) => Some(Word::User),
        Some(_) => None,
    }
}

/// Values whose names stand in an element of their own in front of them: `<key>password</key><string>…` (property lists),
/// `<name>password</name><value><string>…` (XML-RPC, Hadoop).
fn members(text: &[u8], sink: &mut dyn FnMut(Shape)) {
    static KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"</key>"));
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"</name>"));
    for (finder, values) in [(&*KEY, &[&b"<string>"[..]][..]), (&*NAME, &[&b"<value><string>"[..], b"<value>"][..])] {
        let mut near = Beside::default();
        for sign in finder.find_iter(text) {
            let from = sign.saturating_sub(64);
            let Some(start) = memchr::memrchr(b'>', &text[from..sign]).map(|before| from + before + 1) else { continue };
            let promise = keys::promise(&text[start..sign]);
            let word = last_word(promise, &text[start..sign]);
            if promise.is_none() && word.is_none() {
                continue;
            }
            let behind = sign + finder.needle().len();
            let blank = text[behind..].iter().take(64).take_while(|b| b.is_ascii_whitespace()).count();
            let rest = &text[behind + blank..];
            let Some(tag) = values.iter().find(|tag| rest.starts_with(tag)) else { continue };
            let at = behind + blank + tag.len();
            let Some(len) = memchr::memchr(b'<', &text[at..(at + 512).min(text.len())]) else { continue };
            if let Some(word) = word.filter(|_| len > 0) {
                near.field(text, word, start..sign, at..at + len, sink);
            }
            if let Some((kind, detail)) = promise.and_then(|promise| keyed(promise, &text[at..at + len], true)) {
                sink(Shape { kind, span: at..at + len, key: Some(start..sign), detail });
            }
        }
        near.end(text, sink);
    }
}

/// Values that only their field's name tells.
fn named(text: &[u8], sink: &mut dyn FnMut(Shape)) {
    let mut latitude: Option<(Range<usize>, Range<usize>)> = None;
    let mut longitude: Option<(Range<usize>, Range<usize>)> = None;
    let mut near = Beside::default();
    for sign in memchr::memchr3_iter(b'=', b':', b'>', text) {
        let is_quoted = text[sign] == b'>' && text[sign + 1..].starts_with(CDATA);
        // `==`, `!=`, `=>`, `::` belong to a script.
        if text.get(sign + 1).is_none_or(|b| matches!(b, b'/' | b'\r' | b'\n' | b'<' | b'=' | b'>')) && !is_quoted
            || text[sign] == b':' && text.get(sign + 1) == Some(&b':')
            || matches!(at(text, sign.checked_sub(1)), Some(b'=' | b'!'))
        {
            continue;
        }
        let with_attributes = || matches!(at(text, sign.checked_sub(1)), Some(b'"' | b'\'')).then(|| element(text, sign)).flatten();
        let key = if text[sign] == b'>' { with_attributes() } else { None };
        let is_element = key.is_some();
        let Some(key) = key.or_else(|| keys::before(text, sign + 1)) else { continue };
        // An element's name stands in its tag, not in an attribute's value; and a tag is no value that is still to be filled in.
        let tag = || matches!(at(text, key.start.checked_sub(1)), Some(b'<' | b':')) && at(text, key.start.checked_sub(2)) != Some(b'=');
        if text[sign] == b'>' && !is_element && !tag() {
            continue;
        }
        let promise = keys::promise(&text[key.clone()]);
        let word = last_word(promise, &text[key.clone()]);
        // What ends in a bracket that is not its own is the end of a selector: `input[type=password]:focus`.
        if promise.is_none() && word.is_none() || text[key.clone()].ends_with(b"]") && !text[key.clone()].contains(&b'[') {
            continue;
        }
        let value = if is_quoted { cdata(text, sign + 1 + CDATA.len()) } else { value(text, sign + 1) };
        // Prose between tags is no value; the end of an element is.
        if is_element && !text[value.end..].starts_with(if is_quoted { b"]]></" } else { b"</" }) {
            continue;
        }
        let said = &text[value.clone()];
        if said.is_empty() || is_beside(text, &key, sign, &value) {
            continue;
        }
        let sure = is_written(text, &key, sign, &value);
        if let Some(word) = word.filter(|word| sure || matches!(word, Word::User | Word::Contact)) {
            near.field(text, word, key.clone(), value.clone(), sink);
        }
        let Some(promise) = promise else { continue };
        // A proof of a password (WS-Security UsernameToken Profile §3.1) tells none.
        if is_element && memchr::memmem::find(&text[key.end..sign], b"#PasswordDigest").is_some() {
            continue;
        }
        // A rule of a style sheet, a call, a button with its own name: nobody's.
        if promise == Promise::Kind(Kind::UserName)
            && (said.iter().any(|b| b"{}()<>".contains(b))
                || said.eq_ignore_ascii_case(&text[key.clone()])
                || is_button(&text[key.clone()], said))
        {
            continue;
        }
        // A dictionary of what a page says.
        let quoted = || matches!(at(text, value.start.checked_sub(1)), Some(b'"' | b'\''));
        if promise == Promise::Kind(Kind::Password) && quoted() && is_label(said) {
            continue;
        }
        if !sure && matches!(promise, Promise::Kind(Kind::Password | Kind::UserName)) && stand_ins::is_source(text, &key, sign, &value) {
            continue;
        }
        match promise {
            Promise::Latitude if coordinate(said, 90.0).is_some() => latitude = Some((key.clone(), value.clone())),
            Promise::Longitude if coordinate(said, 180.0).is_some() => longitude = Some((key.clone(), value.clone())),
            Promise::Place => {
                let line = text[value.start..]
                    .iter()
                    .take(64)
                    .take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b',' | b'-' | b' ' | b'+'))
                    .count();
                let both = &text[value.start..value.start + line];
                let mut parts = both.split(|b| *b == b',');
                if let (Some(a), Some(b)) = (parts.next(), parts.next())
                    && let (Some(a), Some(b)) = (coordinate(a.trim_ascii(), 90.0), coordinate(b.trim_ascii(), 180.0))
                {
                    sink(Shape {
                        kind: Kind::Position,
                        span: value.start..value.start + both.trim_ascii_end().len(),
                        key: Some(key.clone()),
                        detail: Some(precision(a.1.min(b.1))),
                    });
                }
            }
            // What is percent-coded is told in its decoded layer.
            _ if said.windows(3).any(|w| w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit()) => {}
            _ => {
                if let Some((kind, detail)) = keyed(promise, said, sure) {
                    sink(Shape { kind, span: value.clone(), key: Some(key.clone()), detail });
                }
            }
        }
        if let (Some((lat_key, lat)), Some((_, lon))) = (&latitude, &longitude) {
            let span = lat.start.min(lon.start)..lat.end.max(lon.end);
            let (a, b) = (coordinate(&text[lat.clone()], 90.0), coordinate(&text[lon.clone()], 180.0));
            // Far apart they belong to different things.
            if let (Some(a), Some(b)) = (a, b)
                && span.len() <= 200
                && (a.0, b.0) != (0.0, 0.0)
            {
                sink(Shape { kind: Kind::Position, span, key: Some(lat_key.clone()), detail: Some(precision(a.1.min(b.1))) });
            }
            (latitude, longitude) = (None, None);
        }
    }
    near.end(text, sink);
}

/// Whether what stands behind a sign is a value as data has them, not the name of one in a script: in quotes, an element's content, one of a
/// query's pairs, or the rest of a line.
fn is_written(text: &[u8], key: &Range<usize>, sign: usize, value: &Range<usize>) -> bool {
    let (before, after) = (at(text, key.start.checked_sub(1)), at(text, Some(value.end)));
    let ends = |b: Option<u8>| matches!(b, None | Some(b'\r' | b'\n'));
    let quoted = matches!(at(text, value.start.checked_sub(1)), Some(b'"' | b'\''));
    let pair = text[sign] == b'=' && (matches!(before, Some(b'&' | b'?')) || after == Some(b'&'));
    let line = ends(before) && ends(after) && text[value.clone()].iter().any(u8::is_ascii_digit);
    quoted || text[sign] == b'>' || pair || line
}

/// How a section begins in which XML needs no escapes (XML 1.0 §2.7).
const CDATA: &[u8] = b"<![CDATA[";

fn cdata(text: &[u8], from: usize) -> Range<usize> {
    let within = text.get(from..(from + 512).min(text.len())).unwrap_or_default();
    from..from + memchr::memmem::find(within, b"]]>").unwrap_or(0)
}

/// The name of an element, without its name space, whose start tag has attributes and ends at `sign`.
fn element(text: &[u8], sign: usize) -> Option<Range<usize>> {
    const LONGEST: usize = 256;
    let from = sign.saturating_sub(LONGEST);
    let start = from + memchr::memrchr(b'<', text.get(from..sign)?)? + 1;
    let tag = text.get(start..sign)?;
    let end = tag.iter().position(u8::is_ascii_whitespace)?;
    let local = tag.get(..end)?.iter().rposition(|b| *b == b':').map_or(0, |at| at + 1);
    (local < end && tag.get(..end)?.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'-' | b'.')))
        .then_some(start + local..start + end)
}

/// Whether what was taken for a value stands behind an empty one: behind the end of a query or a pair of quotes, or is the next pair.
fn is_beside(text: &[u8], key: &Range<usize>, sign: usize, value: &Range<usize>) -> bool {
    let lead = &text[sign + 1..value.start];
    let (said, quotes) = (&text[value.clone()], lead.iter().filter(|b| matches!(b, b'"' | b'\'')).count());
    let blank = lead.last() == Some(&b' ');
    // `port=5432`, and not the padding of base64.
    let pair = said.iter().position(|b| *b == b'=').is_some_and(|sign| said.get(sign + 1).is_some_and(|b| *b != b'='));
    let query = pair || matches!(at(text, key.start.checked_sub(1)), Some(b'?' | b'&'));
    blank && (quotes > 1 || said.starts_with(b"HTTP/") || text[sign] == b'=' && key.end == sign && query)
}

/// The value behind a sign: in its quotes, or up to a delimiter.
fn value(text: &[u8], from: usize) -> Range<usize> {
    let lead = text[from..].iter().take(6).take_while(|b| matches!(b, b' ' | b'"' | b'\'' | b'\\')).count();
    let start = from + lead;
    let quote = text[from..start].iter().rev().find(|b| matches!(b, b'"' | b'\'')).copied();
    let escaped = quote.is_some() && text[from..start].contains(&b'\\');
    let len = text[start..]
        .iter()
        .take(512)
        .take_while(|b| match quote {
            Some(_) if escaped && **b == b'\\' => false,
            Some(quote) => **b != quote && **b >= b' ',
            None => !matches!(b, b'&' | b';' | b'<' | b'>' | b'"' | b'\'' | b',' | b'}' | b']' | b')' | 0..=b' ' | 0x7f),
        })
        .count();
    start..start + len
}

/// A number of degrees and its decimals, of which there are at least two.
fn coordinate(text: &[u8], most: f64) -> Option<(f64, usize)> {
    let text = std::str::from_utf8(text).ok()?;
    let decimals = text.split_once('.').map(|(_, d)| d.len()).filter(|d| (2..=17).contains(d))?;
    let value: f64 = text.parse().ok()?;
    (text.len() <= 24 && value.abs() <= most && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+')))
        .then_some((value, decimals))
}

/// How closely so many decimals of a degree of latitude (111 km) tell a place.
pub(super) fn precision(decimals: usize) -> &'static str {
    match decimals {
        0 => "to 100 km",
        1 => "to 10 km",
        2 => "to 1 km",
        3 => "to 100 m",
        4 => "to 10 m",
        _ => "to 1 m",
    }
}

/// `sure`: nothing but data stands so.
fn keyed(promise: Promise, said: &[u8], sure: bool) -> Option<(Kind, Option<&'static str>)> {
    let hex = said.iter().filter(|b| b.is_ascii_hexdigit()).count();
    let uuid = said.len() == 36 && hex == 32 && [8, 13, 18, 23].iter().all(|i| said.get(*i) == Some(&b'-'));
    let bare_hex = hex == said.len();
    let varied = distinct(said) >= 4;
    let printable = said.iter().all(|b| (0x21..0x7f).contains(b));
    let kind = match promise {
        Promise::Kind(kind @ (Kind::Mac | Kind::Bssid | Kind::BluetoothMac)) if bare_hex && said.len() == 12 => {
            let bytes: [u8; 6] = crate::encode::unhex(std::str::from_utf8(said).ok()?)?.try_into().ok()?;
            return address_class(bytes).map(|detail| (kind, Some(detail)));
        }
        Promise::Kind(kind @ Kind::AndroidId) if bare_hex && (15..=16).contains(&said.len()) && varied => kind,
        // All zeros: the user has opted out, and that was respected.
        Promise::Kind(kind @ Kind::AdId) if uuid && varied => kind,
        Promise::Device if varied && (uuid || (bare_hex && matches!(said.len(), 16 | 32 | 40 | 64))) => Kind::DeviceId,
        Promise::Kind(kind @ Kind::Serial)
            if (6..=24).contains(&said.len())
                && said.iter().all(u8::is_ascii_alphanumeric)
                && said.iter().any(u8::is_ascii_digit)
                && varied =>
        {
            kind
        }
        Promise::Kind(kind @ Kind::Password) if secret(said) => kind,
        Promise::Kind(kind @ Kind::Token) if said.len() >= 16 && printable && varied => kind,
        Promise::Kind(kind @ Kind::Token) if sure && secret(said) && distinct(said) > 2 => kind,
        // A word that others use too: of a currency, of a page.
        Promise::Token if sure && said.len() >= 6 && said.iter().any(u8::is_ascii_digit) && varied && secret(said) => Kind::Token,
        Promise::Kind(kind @ Kind::PushToken) if said.len() >= 32 && printable && varied => kind,
        Promise::UserNumber if sure && (5..=20).contains(&said.len()) && said.iter().all(u8::is_ascii_digit) && distinct(said) >= 3 => {
            Kind::UserName
        }
        Promise::Kind(kind @ Kind::UserName)
            if (2..=64).contains(&said.len())
                && !placeholder(said)
                && said.iter().any(u8::is_ascii_alphanumeric)
                && !said.starts_with(b"/") =>
        {
            kind
        }
        Promise::Kind(kind @ Kind::Ssid) if said.len() <= 64 && said.len() >= 2 && !placeholder(said) && said != b"<unknown ssid>" => kind,
        Promise::Kind(kind @ Kind::PersonName)
            if (2..=64).contains(&said.len())
                && !placeholder(said)
                && said.iter().all(|b| b.is_ascii_alphabetic() || matches!(b, b' ' | b'-' | b'\'' | b'+' | b'.' | 0x80..)) =>
        {
            kind
        }
        Promise::Kind(kind @ Kind::BirthDate)
            if said.len() >= 8
                && said.len() <= 10
                && said.iter().filter(|b| b.is_ascii_digit()).count() >= 6
                && said.iter().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'/' | b'.')) =>
        {
            kind
        }
        _ => return None,
    };
    Some((kind, None))
}

pub(super) fn distinct(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    bytes.iter().filter(|b| !std::mem::replace(&mut seen[usize::from(**b)], true)).count()
}

/// Whether a value under the name of a password is one: not a sentence, not a command, not a stand-in.
pub(super) fn secret(said: &[u8]) -> bool {
    let command = memchr::memmem::find(said, b"/etc/").is_some()
        || said.iter().any(|b| matches!(b, b' ' | b';' | b'|' | b'`' | b'(' | b'<' | 0..0x20));
    (3..=128).contains(&said.len()) && !command && !placeholder(said) && !said.starts_with(b"%20")
}

/// A position planted on the device.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) seed: u32,
    /// Each with the decimals that it was planted with.
    pub(super) latitude: Angle,
    pub(super) longitude: Angle,
}

/// Degrees, and to how many decimals they are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Angle {
    degrees: f64,
    decimals: usize,
}

impl Angle {
    fn parse(text: &str) -> Option<Angle> {
        let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        Some(Angle { degrees: text.parse().ok()?, decimals })
    }

    /// Whether degrees that are told in steps, so many to a degree, are this angle: rounded or cut to what is coarser of the two; beyond six
    /// decimals (10 cm) any receiver differs.
    pub(super) fn is_in_steps(self, degrees: f64, scale: f64) -> bool {
        let known = self.decimals.max(3);
        if scale > 10f64.powi(known.min(6) as i32) {
            return is_shortened(self.degrees, degrees, known) || known >= 6 && (degrees - self.degrees).abs() <= 1.01e-6;
        }
        let (told, steps) = ((degrees * scale).round(), self.degrees * scale);
        [steps.round(), steps.trunc()].iter().any(|steps| (told - steps).abs() < 0.5)
    }
}

impl Place {
    pub(super) fn parse(seed: u32, value: &str) -> Option<Place> {
        let mut parts = value.split([',', ';', ' ']).filter(|p| !p.is_empty());
        let (latitude, longitude) = (Angle::parse(parts.next()?.trim())?, Angle::parse(parts.next()?.trim())?);
        Some(Place { seed, latitude, longitude })
    }
}

/// How far apart the two numbers of a position may stand, and where each has four decimals (10 m).
const NEAR: usize = 64;
pub(super) const FAR: usize = 2048;

/// Where a number stands, and to how many decimals.
type Seen = Option<(Range<usize>, usize)>;

/// Two numbers that are a planted position to the precision they are written with, at least three decimals (100 m) and beside each other, or at
/// least four in one piece of text.
pub(super) fn positions(text: &[u8], places: &[Place], sink: &mut dyn FnMut(u32, Range<usize>, &'static str)) {
    if places.is_empty() {
        return;
    }
    // Of each place, the last number that was its latitude and the last that was its longitude.
    let mut known: SmallVec<[[Seen; 2]; 4]> = SmallVec::from_elem([None, None], places.len());
    let mut next = 0;
    let part = |b: &u8| b.is_ascii_digit() || *b == b'.';
    // Degrees are no shorter than `1.234`: a run of five has one of its bytes at every fifth place.
    let mut probe = 4;
    while let Some(b) = text.get(probe) {
        if !part(b) {
            probe += 5;
            continue;
        }
        next = text[next..probe].iter().rposition(|b| !part(b)).map_or(next, |before| next + before + 1);
        let end = text[probe..].iter().position(|b| !part(b)).map_or(text.len(), |after| probe + after);
        while let Some(found) = text[next..end].iter().position(u8::is_ascii_digit) {
            let start = next + found;
            let len = (end - start).min(24);
            next = start + len;
            // Some languages write the decimals behind a comma.
            let (start, len, value) = if let Some((whole, value)) = with_comma(text, start..start + len) {
                (whole, len + start - whole, value)
            } else {
                let Some(value) = degrees(&text[start..start + len]) else { continue };
                let (value, power) = if start + len == end { value.with_power(&text[end..]) } else { (value, 0) };
                (start, len + power, value)
            };
            let minus = at(text, start.checked_sub(1)) == Some(b'-');
            let span = start - usize::from(minus)..start + len;
            let minus = hemisphere(text, &span).unwrap_or(minus);
            for ((n, place), seen) in (0u32..).zip(places).zip(&mut known) {
                let mut pair = |mine: usize, angle: Angle| {
                    if !value.near(minus, angle) {
                        return;
                    }
                    if let Some((before, other)) = &seen[1 - mine] {
                        let decimals = value.decimals().min(*other);
                        let apart = span.start.saturating_sub(before.end);
                        if apart <= if decimals >= 4 { FAR } else { NEAR } && before.end <= span.start {
                            sink(n, before.start..span.end, precision(decimals));
                        }
                    }
                    seen[mine] = Some((span.clone(), value.decimals()));
                };
                pair(0, place.latitude);
                pair(1, place.longitude);
            }
        }
        next = end;
        probe = end + 5;
    }
}

/// Degrees whose decimals, at `span`, stand behind a comma; where the whole begins. Fewer than five decimals may as well be the next number of a list.
fn with_comma(text: &[u8], span: Range<usize>) -> Option<(usize, Degrees)> {
    let decimals = text.get(span.clone()).filter(|d| (5..=10).contains(&d.len()) && d.iter().all(u8::is_ascii_digit))?;
    let head = text.get(..span.start)?.strip_suffix(b",")?;
    let whole = head.iter().rev().take(4).take_while(|b| b.is_ascii_digit()).count();
    let start = head.len() - whole;
    let part = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_digit() || matches!(b, b'.' | b','));
    if !(1..=3).contains(&whole) || part(at(text, start.checked_sub(1))) || part(at(text, Some(span.end))) {
        return None;
    }
    let number = [head.get(start..)?, b".", decimals].concat();
    let value = std::str::from_utf8(&number).ok()?.parse().ok()?;
    Some((start, Degrees::Decimal(value, decimals.len())))
}

/// Whether the letter of a hemisphere beside a number says that it is negative: `33.861 S`, `S33.861`, `33.861° S`. Nothing, where none does.
fn hemisphere(text: &[u8], span: &Range<usize>) -> Option<bool> {
    let letter = |b: u8| match b {
        b'N' | b'E' => Some(false),
        b'S' | b'W' => Some(true),
        _ => None,
    };
    let mut tail = text.get(span.end..)?;
    tail = tail.strip_prefix("°".as_bytes()).unwrap_or(tail);
    tail = tail.strip_prefix(b" ").unwrap_or(tail);
    let behind = tail.first().and_then(|b| letter(*b)).filter(|_| !alnum(at(tail, Some(1))));
    let head = text.get(..span.start)?;
    let head = head.strip_suffix(b" ").unwrap_or(head);
    let ahead = || head.split_last().and_then(|(last, before)| letter(*last).filter(|_| !alnum(before.last().copied())));
    behind.or_else(ahead)
}

/// A number that may be degrees.
#[derive(Clone, Copy, Debug)]
enum Degrees {
    /// With so many decimals.
    Decimal(f64, usize),
    /// Whole: ten millionths or millionths (E7, E6).
    Scaled(f64),
}

impl Degrees {
    /// Whether it is this angle, rounded or cut to the decimals of the one that has fewer; beyond six of both (10 cm) any receiver differs, and
    /// a number that went through 32 bits of floating point may have half a step of them more.
    fn near(self, minus: bool, angle: Angle) -> bool {
        let signed = |value: f64| if minus { -value } else { value };
        let within = |value: f64, most: f64| (value - angle.degrees).abs() <= most;
        match self {
            Degrees::Decimal(value, decimals) => {
                let (value, known) = (signed(value), angle.decimals.max(3));
                let single = angle.degrees.abs() * f64::from(f32::EPSILON) / 2.0;
                if decimals.min(known) > 6 {
                    within(value, single.max(1.01e-6))
                } else if decimals > known {
                    is_shortened(angle.degrees, value, known) || decimals > 6 && within(value, single)
                } else {
                    [angle.degrees, f64::from(angle.degrees as f32)].iter().any(|long| is_shortened(value, *long, decimals))
                }
            }
            // From whatever was whole before: a metre.
            Degrees::Scaled(number) => within(signed(number / 1e7), 1.01e-5) || within(signed(number / 1e6), 1.01e-5),
        }
    }

    /// The same with what stands behind it as a power of ten (`5.2520008e1`), and how long that is.
    fn with_power(self, tail: &[u8]) -> (Degrees, usize) {
        let power = match tail {
            [b'e' | b'E', b'+', b'0', n @ b'0'..=b'2', rest @ ..] => Some((*n, 4, rest)),
            [b'e' | b'E', b'+' | b'0', n @ b'0'..=b'2', rest @ ..] => Some((*n, 3, rest)),
            [b'e' | b'E', n @ b'0'..=b'2', rest @ ..] => Some((*n, 2, rest)),
            _ => None,
        };
        match (self, power) {
            (Degrees::Decimal(value, decimals), Some((n, len, rest))) if !rest.first().is_some_and(u8::is_ascii_alphanumeric) => {
                let power = usize::from(n - b'0');
                (Degrees::Decimal(value * 10f64.powi(power as i32), decimals.saturating_sub(power)), len)
            }
            _ => (self, 0),
        }
    }

    fn decimals(self) -> usize {
        if let Degrees::Decimal(_, decimals) = self { decimals } else { 6 }
    }
}

/// Whether `short` is `long` rounded or cut to so many decimals, as programs do both: by numbers that are multiplied first.
fn is_shortened(short: f64, long: f64, decimals: usize) -> bool {
    let scale = 10f64.powi(decimals as i32);
    let (short, long) = ((short * scale).round(), long * scale);
    [long.round(), long.trunc(), long.floor()].iter().any(|long| (long - short).abs() < 0.5)
}

fn degrees(digits: &[u8]) -> Option<Degrees> {
    let text = std::str::from_utf8(digits).ok()?;
    if let Some((_, decimals)) = text.split_once('.') {
        return text.parse().ok().filter(|_| decimals.len() >= 3).map(|value| Degrees::Decimal(value, decimals.len()));
    }
    // A whole number of less than six digits is less than a degree in either.
    if (6..=10).contains(&text.len()) { text.parse().ok().map(Degrees::Scaled) } else { None }
}
