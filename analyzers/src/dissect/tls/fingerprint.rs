//! Names for a client's stack, made from its ClientHello: JA3, JA4 (the client value only) and the client class.

use aws_lc_rs::digest;
use md5::Digest as _;
use smallvec::SmallVec;

use crate::dissect::tls::hello::{Carrier, ClientHello, extension};
use crate::dissect::tls::suites::is_grease;
use crate::subject::ClientClass;

impl ClientHello<'_> {
    /// JA3: MD5 over version, suites, extensions, groups and point formats in decimal, GREASE left out.
    pub fn ja3(&self) -> String {
        let mut out = Vec::with_capacity(512);
        decimal(&mut out, self.legacy_version);
        out.push(b',');
        decimals(&mut out, self.suites.iter().copied());
        out.push(b',');
        decimals(&mut out, self.extensions.iter().map(|(kind, _)| *kind));
        out.push(b',');
        decimals(&mut out, self.groups.iter().copied());
        out.push(b',');
        decimals(&mut out, self.point_formats.iter().map(|f| u16::from(*f)));
        crate::encode::hex(&md5::Md5::digest(&out))
    }

    /// JA4 as FoxIO's BSD-licensed specification of the TLS client value says.
    pub fn ja4(&self, carrier: Carrier) -> String {
        let mut out = Vec::with_capacity(36);
        let mut suites: SmallVec<[u16; 64]> = self.suites.iter().copied().filter(|s| !is_grease(*s)).collect();
        let kinds: SmallVec<[u16; 32]> = self.extensions.iter().map(|(kind, _)| *kind).filter(|k| !is_grease(*k)).collect();

        out.push(match carrier {
            Carrier::Tcp => b't',
            Carrier::Quic => b'q',
            Carrier::Dtls => b'd',
        });
        out.extend_from_slice(self.newest());
        out.push(if self.has(extension::SERVER_NAME) { b'd' } else { b'i' });
        two_digits(&mut out, suites.len());
        two_digits(&mut out, kinds.len());
        out.extend_from_slice(&first_and_last(self.alpn.first().copied().unwrap_or_default()));
        out.push(b'_');

        let mut list = Vec::with_capacity(512);
        suites.sort_unstable();
        hexes(&mut list, suites.iter().copied());
        short_hash(&mut out, &list);
        out.push(b'_');

        list.clear();
        let mut sorted: SmallVec<[u16; 32]> =
            kinds.iter().copied().filter(|k| *k != extension::SERVER_NAME && *k != extension::ALPN).collect();
        sorted.sort_unstable();
        hexes(&mut list, sorted.iter().copied());
        let mut signatures = self.signatures.iter().copied().filter(|s| !is_grease(*s)).peekable();
        if signatures.peek().is_some() {
            list.push(b'_');
            hexes(&mut list, signatures);
        }
        short_hash(&mut out, &list);
        String::from_utf8(out).unwrap_or_default()
    }

    /// The newest version offered, in JA4's two characters.
    fn newest(&self) -> &'static [u8; 2] {
        let named = |v: u16| NAMED_VERSIONS.iter().find(|(n, _)| *n == v);
        if self.supported_versions.is_empty() {
            return named(self.legacy_version).map_or(b"00", |(_, name)| name);
        }
        let offered = self.supported_versions.iter().copied().filter(|v| !is_grease(*v));
        // DTLS counts its versions downwards.
        let newest = offered.max_by_key(|v| if v >> 8 == 0xfe { u32::from(!*v) } else { u32::from(*v) });
        newest.and_then(named).map_or(b"00", |(_, name)| name)
    }

    /// The client class (architecture): what a stack offers, without what resumption and chance change.
    ///
    /// Left out: server_name, GREASE, padding, session_ticket, pre_shared_key, early_data, cookie, what is inside ECH and key_share, and
    /// the order of extensions, which some browsers shuffle.
    pub fn class(&self, carrier: Carrier) -> ClientClass {
        let mut out = Vec::with_capacity(512);
        out.push(match carrier {
            Carrier::Tcp => b't',
            Carrier::Quic => b'q',
            Carrier::Dtls => b'd',
        });
        out.push(u8::from(self.sslv2));
        out.extend_from_slice(&self.legacy_version.to_be_bytes());
        part(&mut out, self.suites.iter().copied());
        part(&mut out, self.compressions.iter().map(|c| u16::from(*c)));
        let mut kinds: SmallVec<[u16; 32]> =
            self.extensions.iter().map(|(kind, _)| *kind).filter(|k| !is_grease(*k) && !PASSING.contains(k)).collect();
        kinds.sort_unstable();
        part(&mut out, kinds.iter().copied());
        part(&mut out, self.supported_versions.iter().copied());
        part(&mut out, self.groups.iter().copied());
        part(&mut out, self.point_formats.iter().map(|f| u16::from(*f)));
        part(&mut out, self.signatures.iter().copied());
        let mut steady: SmallVec<[(u16, &[u8]); 4]> =
            self.extensions.iter().map(|(kind, body)| (*kind, &**body)).filter(|(kind, _)| STEADY.contains(kind)).collect();
        steady.sort_unstable();
        for (kind, body) in steady {
            out.extend_from_slice(&kind.to_be_bytes());
            part(&mut out, body.iter().map(|b| u16::from(*b)));
        }
        for name in &self.alpn {
            // A GREASE protocol name is two equal bytes that end in `a`.
            if !matches!(name, [a, b] if is_grease(u16::from_be_bytes([*a, *b]))) {
                part(&mut out, name.iter().map(|b| u16::from(*b)));
            }
        }
        let sum = digest::digest(&digest::SHA256, &out);
        let mut class = [0; 6];
        class.iter_mut().zip(sum.as_ref()).for_each(|(to, from)| *to = *from);
        ClientClass(class)
    }
}

/// Extensions that come and go with the server's name, with resumption or with the length of the message.
const PASSING: [u16; 6] = [
    extension::SERVER_NAME,
    extension::PADDING,
    extension::SESSION_TICKET,
    extension::PRE_SHARED_KEY,
    extension::EARLY_DATA,
    extension::COOKIE,
];

/// Extensions whose content is the stack's own and the same each time.
const STEADY: [u16; 4] = [extension::PSK_MODES, extension::COMPRESS_CERTIFICATE, extension::RECORD_SIZE_LIMIT, extension::SIGNATURES_CERT];

const NAMED_VERSIONS: [(u16, &[u8; 2]); 9] = [
    (0x0304, b"13"),
    (0x0303, b"12"),
    (0x0302, b"11"),
    (0x0301, b"10"),
    (0x0300, b"s3"),
    (0x0002, b"s2"),
    (0xfeff, b"d1"),
    (0xfefd, b"d2"),
    (0xfefc, b"d3"),
];

/// First and last character of the first protocol name, or of its hex when one of them is no letter or digit.
fn first_and_last(name: &[u8]) -> [u8; 2] {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return *b"00" };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        [*first, *last]
    } else {
        [hex_digit(first >> 4), hex_digit(last & 15)]
    }
}

fn hex_digit(n: u8) -> u8 {
    if n < 10 { b'0' + n } else { b'a' + n - 10 }
}

fn two_digits(out: &mut Vec<u8>, n: usize) {
    let n = n.min(99) as u8;
    out.extend_from_slice(&[b'0' + n / 10, b'0' + n % 10]);
}

/// The first twelve hex digits of SHA-256; twelve zeros for an empty list.
fn short_hash(out: &mut Vec<u8>, list: &[u8]) {
    if list.is_empty() {
        out.extend_from_slice(b"000000000000");
        return;
    }
    for b in digest::digest(&digest::SHA256, list).as_ref().iter().take(6) {
        out.extend_from_slice(&[hex_digit(b >> 4), hex_digit(b & 15)]);
    }
}

fn hexes(out: &mut Vec<u8>, values: impl Iterator<Item = u16>) {
    for (i, v) in values.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let [hi, lo] = v.to_be_bytes();
        out.extend_from_slice(&[hex_digit(hi >> 4), hex_digit(hi & 15), hex_digit(lo >> 4), hex_digit(lo & 15)]);
    }
}

fn decimals(out: &mut Vec<u8>, values: impl Iterator<Item = u16>) {
    let mut first = true;
    for v in values.filter(|v| !is_grease(*v)) {
        if !first {
            out.push(b'-');
        }
        first = false;
        decimal(out, v);
    }
}

fn decimal(out: &mut Vec<u8>, mut v: u16) {
    let mut digits = [0; 5];
    let mut n = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (v % 10) as u8;
        n += 1;
        v /= 10;
        if v == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[5 - n..]);
}

/// A list with its length, so that two lists never run into each other.
fn part(out: &mut Vec<u8>, values: impl Iterator<Item = u16>) {
    let at = out.len();
    out.extend_from_slice(&[0, 0]);
    let mut n = 0u16;
    for v in values.filter(|v| !is_grease(*v)) {
        out.extend_from_slice(&v.to_be_bytes());
        n = n.saturating_add(1);
    }
    out[at..at + 2].copy_from_slice(&n.to_be_bytes());
}
