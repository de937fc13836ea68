//! Who speaks in SIP (RFC 3261): addresses of record, telephone numbers and display names. Contacts, routes and calls have addresses of
//! machines, which are nobody's.

use std::ops::Range;

use policies::IdentifierType as Kind;

use super::shapes::{ROLES, Shape, domain_like};

/// Whether a URI of SIP begins in front of a user part.
pub(super) fn begins(front: &[u8]) -> bool {
    [&b"sip:"[..], b"sips:"]
        .iter()
        .any(|scheme| front.get(front.len().saturating_sub(scheme.len())..).is_some_and(|s| s.eq_ignore_ascii_case(scheme)))
}

/// Fields that name those who speak (RFC 3261 §20.20, §20.39, RFC 3325, RFC 5806, RFC 7044, RFC 3892), and their compact forms.
const PARTIES: [&str; 12] = [
    "from",
    "f",
    "to",
    "t",
    "p-asserted-identity",
    "p-preferred-identity",
    "remote-party-id",
    "diversion",
    "history-info",
    "reply-to",
    "referred-by",
    "b",
];
/// No line of a head is looked at further.
const LONGEST: usize = 256;
/// With what names of lines and services begin that no person has.
const SERVICES: [&str; 26] = [
    "conf",
    "conference",
    "service",
    "ivr",
    "voicemail",
    "vm",
    "unavailable",
    "unknown",
    "sip",
    "sipp",
    "asterisk",
    "freeswitch",
    "ping",
    "test",
    "monitor",
    "nobody",
    "gateway",
    "gw",
    "pbx",
    "trunk",
    "user",
    "echo",
    "moh",
    "park",
    "queue",
    "sipvicious",
];
/// Words of what telephones and rooms are called.
const NO_PERSONS: [&str; 30] = [
    "anonymous",
    "conference",
    "caller",
    "call",
    "unknown",
    "service",
    "support",
    "center",
    "centre",
    "voice",
    "voicemail",
    "mail",
    "room",
    "desk",
    "office",
    "reception",
    "phone",
    "telephone",
    "user",
    "test",
    "server",
    "gateway",
    "asterisk",
    "unavailable",
    "private",
    "restricted",
    "withheld",
    "line",
    "sip",
    "extension",
];

/// Tells whom the URI with this user part and host is of.
pub(super) fn party(text: &[u8], user: &Range<usize>, host: &Range<usize>, sink: &mut dyn FnMut(Shape)) {
    let (Some(said), Some(domain)) = (text.get(user.clone()), text.get(host.clone())) else { return };
    let digits = said.iter().all(u8::is_ascii_digit);
    // RFC 3261 §19.1.1: the user part is a telephone number. Behind a `+` it is told as any.
    if digits && (7..=15).contains(&said.len()) && is_phone(text.get(host.end..).unwrap_or_default()) {
        sink(Shape { kind: Kind::Msisdn, span: user.clone(), key: None, detail: None });
    }
    let Some((name, value)) = field(text, user.start) else { return };
    if let Some(span) = display(text, value..user.start) {
        sink(Shape { kind: Kind::PersonName, span, key: Some(name.clone()), detail: None });
    }
    if digits || said.starts_with(b"+") || is_nobody(said, domain) {
        return;
    }
    let (kind, span) = if domain_like(domain) { (Kind::Email, user.start..host.end) } else { (Kind::UserName, user.clone()) };
    sink(Shape { kind, span, key: Some(name), detail: None });
}

fn is_phone(tail: &[u8]) -> bool {
    let tail = tail.get(..LONGEST).unwrap_or(tail);
    let end = tail.iter().position(|b| *b <= b' ' || matches!(b, b'>' | b'"' | b',')).unwrap_or(tail.len());
    tail.get(..end).is_some_and(|tail| tail.split(|b| *b == b';').any(|parameter| parameter.eq_ignore_ascii_case(b"user=phone")))
}

/// The name of the field of a party that `at` stands in, and where its value begins.
fn field(text: &[u8], at: usize) -> Option<(Range<usize>, usize)> {
    let from = at.saturating_sub(LONGEST);
    let start = match memchr::memrchr(b'\n', text.get(from..at)?) {
        Some(end) => from + end + 1,
        None if from == 0 => 0,
        None => return None,
    };
    let line = text.get(start..at)?;
    let name = line.get(..memchr::memchr(b':', line)?)?.trim_ascii_end();
    PARTIES.iter().any(|party| name.eq_ignore_ascii_case(party.as_bytes())).then_some((start..start + name.len(), start + name.len() + 1))
}

/// The display name in front of `<sip:`, in quotes or without, if it is one of a person: two words, or one in a script without blanks.
fn display(text: &[u8], front: Range<usize>) -> Option<Range<usize>> {
    let open = front.start + memchr::memrchr(b'<', text.get(front.clone())?)?;
    let mut span = front.start..open;
    let outer = |b: u8| b.is_ascii_whitespace() || matches!(b, b'"' | b':');
    while text.get(span.start).is_some_and(|b| span.start < span.end && outer(*b)) {
        span.start += 1;
    }
    while span.end.checked_sub(1).and_then(|last| text.get(last)).is_some_and(|b| span.start < span.end && outer(*b)) {
        span.end -= 1;
    }
    let name = text.get(span.clone()).filter(|name| name.len() <= 64)?;
    if !name.iter().all(|b| b.is_ascii_alphabetic() || matches!(b, b' ' | b'-' | b'\'' | b'.' | b',' | 0x80..)) {
        return None;
    }
    let words = || name.split(|b| matches!(b, b' ' | b'-' | b'.' | b',')).filter(|word| word.len() >= 2);
    let no_person = words().any(|word| NO_PERSONS.iter().any(|other| word.eq_ignore_ascii_case(other.as_bytes())));
    (!no_person && (words().count() >= 2 || name.iter().any(|b| *b >= 0xe3))).then_some(span)
}

fn is_nobody(user: &[u8], domain: &[u8]) -> bool {
    let letters = user.iter().take_while(|b| b.is_ascii_alphabetic()).count();
    let word = user.get(..letters).unwrap_or_default();
    let among = |words: &[&str], said: &[u8]| words.iter().any(|word| said.eq_ignore_ascii_case(word.as_bytes()));
    // RFC 3323 §4.1.1.3, RFC 2606 §2.
    let invalid = domain.rsplit(|b| *b == b'.').next().is_some_and(|top| top.eq_ignore_ascii_case(b"invalid"));
    invalid || among(&ROLES, user) || among(&SERVICES, word) || user.len() < 2
}

/// Whether a field is a call's number in its compact form (RFC 3261 §20.8).
pub(super) fn is_call_id(text: &[u8], key: &Range<usize>) -> bool {
    const FAR: usize = 4096;
    let (Some(name), Some(before)) = (text.get(key.clone()), text.get(key.start.saturating_sub(FAR)..key.start)) else { return false };
    name.eq_ignore_ascii_case(b"i") && before.ends_with(b"\n") && memchr::memmem::find(before, b"SIP/2.0").is_some()
}

#[cfg(test)]
mod tests {
    use super::super::shapes::find;
    use super::super::signs::Signs;

    #[track_caller]
    fn check(text: &str, expect: &[&str]) {
        let mut out = Vec::new();
        find(text.as_bytes(), Signs::of(text.as_bytes()), false, &mut |shape| out.push(format!("{}={}", shape.kind, &text[shape.span])));
        assert_eq!(out, expect, "{text}");
    }

    #[test]
    fn parties() {
        check(
            "From: \"Tilda Habersack\" <sip:tilda@verso.example>;tag=1\r\n",
            &["person-name=Tilda Habersack", "email=tilda@verso.example"],
        );
        check(
            "INVITE sip:b@x.example SIP/2.0\r\nf: Tilda Habersack <sips:tilda@verso.example>\r\n",
            &["person-name=Tilda Habersack", "email=tilda@verso.example"],
        );
        check("To: <sip:tilda@192.0.2.7:5060>\r\n", &["user-name=tilda"]);
        check("P-Asserted-Identity: \"Habersack, Tilda\" <sip:1001@192.0.2.7>\r\n", &["person-name=Habersack, Tilda"]);
        check("To: \"田中花子\" <sip:1001@192.0.2.7>\r\n", &["person-name=田中花子"]);
        check("INVITE sip:5550104002@192.0.2.7;user=phone SIP/2.0\r\n", &["msisdn=5550104002"]);
        check("To: <sip:5550104002@gw.example:5060;transport=udp;User=Phone>\r\n", &["msisdn=5550104002"]);
        check("From: <sip:+41790000001@gw.example;user=phone>\r\n", &["msisdn=+41790000001"]);
        check("From: <sip:310410010001002@ims.mnc410.mcc310.3gppnetwork.org>\r\n", &["imsi=310410010001002"]);
        check("From: <sip:testa@verso.example>\r\n", &["email=testa@verso.example"]);
    }

    #[test]
    fn nobodys() {
        for text in [
            "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1\r\n",
            "From: <sip:h5kd93k2@a1b2.invalid>\r\n",
            "Contact: <sip:h5kd93k2@192.0.2.4:5060>\r\n",
            "Route: <sip:proxy.verso.example;lr>\r\n",
            "REGISTER sip:verso.example SIP/2.0\r\n",
            "From: \"Conference Room\" <sip:conf-17@verso.example>\r\n",
            "From: sipp <sip:sipp@192.0.2.4:5060>;tag=1\r\n",
            "To: \"1001\" <sip:1001@verso.example>\r\n",
            "From: <sip:test1@verso.example>\r\n",
            "To: <sip:5550104002@192.0.2.7>\r\n",
            "To: <sip:12@192.0.2.7;user=phone>\r\n",
            "Call-ID: a84b4c76e66710@pc33.verso.example\r\n",
            "OPTIONS sip:b SIP/2.0\r\ni: a84b4c76e66710@pc33.verso.example\r\n",
            "Refer-To: <sip:pc33.verso.example?Replaces=a84b4c76e66710@pc33.verso.example>\r\n",
        ] {
            check(text, &[]);
        }
        // Elsewhere the letter names anything.
        check("x\r\ni: tilda@verso.example\r\n", &["email=tilda@verso.example"]);
    }

    proptest::proptest! {
        #[test]
        fn any_text(text in "(from|To|i): ?[\"<a-z ]{0,9}(sip:|<)[a-z+0-9]{1,9}@[a-z0-9.]{1,12}[;>=a-z\\r\\n]{0,9}") {
            find(text.as_bytes(), Signs::of(text.as_bytes()), false, &mut |shape| assert!(shape.span.end <= text.len()));
        }
    }
}
