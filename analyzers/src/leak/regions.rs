//! Where a layer is coded: finds the stretches that show a coding's signs, and undoes them.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::coding::{Coding, Unsigned};
use super::fields::{self, Fields};
use super::heads;
use super::paths::{is_path, segments, telling};
use super::puny;
use super::rows;
use super::signs::Signs;
use super::undo::{self, Packed, SEXTET, Undone};
use super::words;
use crate::encode::{self, nibble};

/// Twelve bytes: shorter runs of base64 are words, and what they could hide is sought in its coded forms.
pub(super) const SHORTEST_BASE64: usize = 16;
const SHORTEST_HEX: usize = 16;
/// Wrapped base64 comes in lines of 60 characters and more (60 in PHP, 64 in PEM, 76 in MIME).
const SHORTEST_LINE: usize = 60;
/// Longer runs of base64 are taken to begin where they begin.
const LONGEST_UNALIGNED: usize = 64 << 10;
/// So many compressed streams are looked for inside one layer, and one more for so many of its bytes: chance begins zlib in one of 16 384.
const MOST_PACKED: usize = 64;
const PACKED_APART: usize = 4096;
/// The heads of an archive's members are long enough to be no accident.
const MOST_MEMBERS: usize = 1024;
/// So many bytes do not come out of chance and read well.
const LONG: usize = 32;
/// Fewer bytes of a message begin as deflate and end well by chance.
const LONG_MESSAGE: usize = 32;
/// What has no signature is tried in pieces no larger than this.
const LONGEST_UNSIGNED: usize = 64 << 10;

/// Hands each undone stretch of `text` to `accept`, until that says stop.
///
pub(super) fn find(
    text: &[u8],
    signs: Signs,
    declared: Option<Packed>,
    unsigned: Unsigned,
    ratio: usize,
    room: usize,
    accept: &mut dyn FnMut(Range<usize>, Coding, Undone) -> bool,
) -> bool {
    let mut go = true;
    let mut give = |region: Range<usize>, coding: Coding, undone: Undone| {
        if go {
            go = accept(region, coding, undone);
        }
        go
    };
    let limit = |len: usize| room.min(len.saturating_mul(ratio)).max(1);
    let all = compressed(text, signs, declared, unsigned, &limit, &mut give);
    let binary = binary(text);
    if !binary {
        textual(text, signs, &mut give);
    }
    if signs.has(Signs::ZERO) {
        wide(text, &mut give);
    }
    runs(text, signs, &mut give);
    if !binary && signs.has(Signs::BRACKET) {
        arrays(text, &mut give);
    }
    all
}

/// The codings of text in text.
fn textual(text: &[u8], signs: Signs, mut give: &mut dyn FnMut(Range<usize>, Coding, Undone) -> bool) {
    if Fields::is_json(text) {
        if signs.has(Signs::BACKSLASH) {
            for field in Fields::read(text).fields.iter().filter(|field| field.coded) {
                if let Some(undone) = undo::json(&text[field.value.clone()]) {
                    give(field.value.clone(), Coding::Json, undone);
                }
            }
        }
    } else if signs.has(Signs::PERCENT.or(Signs::PLUS)) {
        fields::coded_values(text, |value| {
            percent(&text[value.clone()], value.start, &mut give);
        });
    }
    if signs.has(Signs::PERCENT) {
        let real = |rest: &[u8]| matches!(rest, [_, a, b, ..] if nibble(*a).is_some() && nibble(*b).is_some());
        around(text, b'%', real, ends_percent, &mut |region| percent(&text[region.clone()], region.start, &mut give));
    }
    if signs.has(Signs::BACKSLASH) {
        let real = |rest: &[u8]| matches!(rest.get(1), Some(b'u' | b'/' | b'"' | b'x' | b'n' | b'r' | b't' | b'\\'));
        around(text, b'\\', real, ends_line, &mut |region| {
            undo::json(&text[region.clone()]).is_none_or(|undone| give(region, Coding::Json, undone))
        });
    }
    if signs.has(Signs::AMPERSAND) {
        let real =
            |rest: &[u8]| rest.get(1).is_some_and(|b| *b == b'#' || b.is_ascii_alphabetic()) && rest.iter().take(12).any(|b| *b == b';');
        around(text, b'&', real, ends_markup, &mut |region| {
            undo::html(&text[region.clone()]).is_none_or(|undone| give(region, Coding::Html, undone))
        });
    }
    if signs.has(Signs::WIDE) {
        for first in [0xc2, 0xe2] {
            // Before punctuation it parts no value.
            let real = |rest: &[u8]| {
                undo::typographic(rest)
                    .is_some_and(|(_, len)| rest.get(len).is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'(' | 0xc3..=0xdf)))
            };
            around(text, first, real, |_| false, &mut |region| {
                undo::typography(&text[region.clone()]).is_none_or(|undone| give(region, Coding::Typography, undone))
            });
        }
    }
    if signs.has(Signs::HYPHEN) {
        names(text, give);
    }
    if signs.has(Signs::CARD) && CARD.find(text).is_some() {
        let real = |rest: &[u8]| matches!(rest, [_, b' ' | b'\t', ..]);
        around(text, b'\n', real, |_| false, &mut |region| {
            undo::folded(&text[region.clone()]).is_none_or(|undone| give(region, Coding::Folded, undone))
        });
    }
    if signs.has(Signs::EQUALS) && quoted_printable(text, signs) {
        let real = |rest: &[u8]| match rest {
            [_, b'\n', ..] | [_, b'\r', b'\n', ..] => true,
            [_, a, b, ..] => nibble(*a).is_some() && nibble(*b).is_some(),
            _ => false,
        };
        around(text, b'=', real, |_| false, &mut |region| {
            undo::quoted_printable(&text[region.clone()]).is_none_or(|undone| give(region, Coding::QuotedPrintable, undone))
        });
    }
    if signs.has(Signs::EQUALS) && signs.has(Signs::QUESTION) && WORD.find(text).is_some() {
        around(text, b'=', words::begins, |_| false, &mut |region| {
            words::undo(&text[region.clone()]).is_none_or(|undone| give(region, Coding::Word, undone))
        });
    }
}

/// Names of DNS with labels in Punycode.
fn names(text: &[u8], give: &mut dyn FnMut(Range<usize>, Coding, Undone) -> bool) {
    let part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'@');
    let mut from = 0;
    for at in HYPHENS.find_iter(text).filter_map(|at| at.checked_sub(2)) {
        if at < from || !puny::is_label(&text[at..]) {
            continue;
        }
        let start = at - text[from..at].iter().rev().take(LONGEST_NAME).take_while(|b| part(b)).count();
        let end = at + text[at..].iter().take(LONGEST_NAME).take_while(|b| part(b)).count();
        from = end;
        if let Some(undone) = puny::undo(&text[start..end])
            && !give(start..end, Coding::Punycode, undone)
        {
            return;
        }
    }
}

/// How calendars and cards begin, whose lines are folded (RFC 5545 §3.1, RFC 6350 §3.2).
static CARD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"BEGIN:V"));
/// How encoded words of mails begin (RFC 2047 §2).
static WORD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"=?"));
static HYPHENS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"--"));
/// RFC 1035 §2.3.4.
const LONGEST_NAME: usize = 255;

/// Whether it is compressed, encrypted or a picture: of random bytes one in nine is a control and half have the upper bit, which
/// text in any script, and messages made of text, do not have together. Looks at a few hundred bytes.
pub(super) fn binary(text: &[u8]) -> bool {
    const LEAST: usize = 256;
    if text.len() < LEAST {
        return false;
    }
    let (mut control, mut upper) = (0, 0);
    for b in text.iter().step_by(text.len() / LEAST).take(LEAST) {
        control += usize::from(*b < b' ' && !matches!(b, b'\t' | b'\r' | b'\n') || *b == 0x7f);
        upper += usize::from(*b >= 0x80);
    }
    control * 16 > LEAST && upper * 4 > LEAST
}

fn percent(value: &[u8], start: usize, give: &mut dyn FnMut(Range<usize>, Coding, Undone) -> bool) -> bool {
    let region = start..start + value.len();
    let mut go = true;
    // In a query a `+` is a space; elsewhere it is itself.
    for plus in [true, false] {
        if (plus || memchr::memchr(b'+', value).is_some())
            && let Some(undone) = undo::percent(value, plus)
        {
            go = give(region.clone(), Coding::Percent, undone);
        }
    }
    go
}

/// Signatures strong enough to look for inside a layer.
static SIGNATURES: LazyLock<[(Signs, Finder<'static>, Packed); 2]> = LazyLock::new(|| {
    [(Signs::GZIP, Finder::new(b"\x1f\x8b\x08"), Packed::Gzip), (Signs::ZSTD, Finder::new(b"\x28\xb5\x2f\xfd"), Packed::Zstd)]
});

fn compressed(
    text: &[u8],
    signs: Signs,
    declared: Option<Packed>,
    unsigned: Unsigned,
    limit: &dyn Fn(usize) -> usize,
    give: &mut dyn FnMut(Range<usize>, Coding, Undone) -> bool,
) -> bool {
    let mut unpack = |packed: Packed, at: usize, sure: bool| -> bool {
        let body = &text[at..];
        match undo::unpack(packed, body, limit(body.len())) {
            // Without a signature nearly anything begins to decompress; only what ends well and reads well was compressed.
            Some((undone, whole)) if sure || (whole.0 && readable_share(&undone.bytes)) => {
                give(at..text.len(), Coding::Packed(packed), undone)
            }
            _ => true,
        }
    };
    let sniffed = Packed::sniff(text);
    for packed in declared.into_iter().chain(sniffed.filter(|s| Some(*s) != declared)) {
        // "deflate" in HTTP is either form (RFC 9110 §8.4.1.2 and its note).
        match packed {
            Packed::Deflate if Packed::sniff(text) == Some(Packed::Zlib) => {}
            packed => {
                unpack(packed, 0, true);
            }
        }
    }
    let least = match unsigned {
        Unsigned::None => usize::MAX,
        Unsigned::Deflate => LONG_MESSAGE,
        Unsigned::All => 16,
    };
    // Whatever is packed has bytes beyond ASCII.
    let packed = signs.has(Signs::UPPER);
    if packed && sniffed.is_none() && (least..=LONGEST_UNSIGNED).contains(&text.len()) {
        let deflate = heads::may_be_deflate(text);
        let brotli = unsigned == Unsigned::All && heads::may_be_brotli(text, limit(text.len()));
        if (deflate || brotli) && !readable_share(text) {
            if deflate {
                unpack(Packed::Deflate, 0, false);
            }
            if brotli {
                unpack(Packed::Brotli, 0, false);
            }
        }
    }
    if packed
        && unsigned == Unsigned::Deflate
        && let Some(at) = switched(text)
        && let Some((undone, _, taken)) = undo::unpack_first(Packed::Deflate, &text[at..], limit(text.len() - at))
        && readable_share(&undone.bytes)
    {
        give(at..at + taken, Coding::Packed(Packed::Deflate), undone);
    }
    within(text, signs, limit, give)
}

/// Where a stream goes on as deflate without a head, after the command that agrees on it (IMAP: RFC 4978 §3, NNTP: RFC 8054 §2.2).
fn switched(text: &[u8]) -> Option<usize> {
    // Nothing else than a greeting and a login comes before.
    let start = text.get(..LONGEST_UNSIGNED).unwrap_or(text);
    SWITCHES.iter().find_map(|switch| switch.find(start).map(|at| at + switch.needle().len())).filter(|at| *at < text.len())
}

/// That command.
pub(crate) static SWITCHES: LazyLock<[Finder<'static>; 2]> =
    LazyLock::new(|| [Finder::new(b"COMPRESS DEFLATE\r\n"), Finder::new(b"compress deflate\r\n")]);

/// What is compressed behind other bytes: in a part of a multipart body, an archive, a protocol nobody knows. False: there was more than was
/// tried.
fn within(text: &[u8], signs: Signs, limit: &dyn Fn(usize) -> usize, give: &mut dyn FnMut(Range<usize>, Coding, Undone) -> bool) -> bool {
    let mut unpack = |packed: Packed, at: usize, sure: bool| -> Option<usize> {
        let body = &text[at..];
        match undo::unpack_first(packed, body, limit(body.len())) {
            // The sum at the end of zlib leaves no doubt; before it, only what reads well was compressed.
            Some((undone, whole, taken)) if sure || whole.0 || undone.bytes.len() >= LONG && readable_share(&undone.bytes) => {
                give(at..at + taken, Coding::Packed(packed), undone).then_some(taken)
            }
            _ => Some(0),
        }
    };
    // Hostile bytes may begin a stream everywhere.
    let tries = MOST_PACKED + text.len() / PACKED_APART;
    for (_, signature, packed) in SIGNATURES.iter().filter(|(sign, ..)| signs.has(*sign)) {
        let mut places = signature.find_iter(text).filter(|at| *at > 0 && Packed::sniff(&text[*at..]) == Some(*packed));
        for at in places.by_ref().take(tries) {
            if unpack(*packed, at, true).is_none() {
                return true;
            }
        }
        if places.next().is_some() {
            return false;
        }
    }
    if signs.has(Signs::ZIP) {
        let mut members = ZIP_MEMBER.find_iter(text).filter_map(|at| deflated_member(&text[at..]).map(|data| at + data));
        for data in members.by_ref().take(MOST_MEMBERS) {
            if unpack(Packed::Deflate, data, true).is_none() {
                return true;
            }
        }
        if members.next().is_some() {
            return false;
        }
    }
    // zlib has only a weak signature: it is tried where it is most often written.
    let weak = if signs.has(Signs::ZLIB) { text } else { &[] };
    let mut after = 1;
    let mut places = memchr::memchr_iter(0x78, weak).filter(|at| matches!(text.get(at + 1), Some(0x01 | 0x5e | 0x9c | 0xda)));
    let mut tried = 0;
    for at in places.by_ref() {
        if at >= after {
            let Some(taken) = unpack(Packed::Zlib, at, false) else { return true };
            after = at + taken.max(1);
            // What comes out whole is no chance, and costs what it is long.
            tried += usize::from(taken == 0);
            if tried >= tries {
                break;
            }
        }
    }
    places.next().is_none()
}

/// The head of a file in a ZIP archive (APPNOTE 4.3.7).
static ZIP_MEMBER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"PK\x03\x04"));

/// Where the data of a ZIP member begins, if it is deflated and not encrypted. Stored members are searched as they are.
fn deflated_member(member: &[u8]) -> Option<usize> {
    let head = member.first_chunk::<30>()?;
    let number = |at: usize| usize::from(u16::from_le_bytes([head[at], head[at + 1]]));
    let (flags, method, name, extra) = (number(6), number(8), number(26), number(28));
    let data = 30 + name + extra;
    (flags & 1 == 0 && method == 8 && data < member.len()).then_some(data)
}

/// Whether nearly all of it is text.
fn readable_share(bytes: &[u8]) -> bool {
    let readable = encode::count(bytes, |b| matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n' | 0xc2..=0xf4));
    readable * 10 >= bytes.len() * 9
}

/// What lies further from a coded place than this is the same decoded or not, and has been searched: longer than any needle, and than a value
/// with its name.
const REACH: usize = 1024;

/// Calls `take` for each stretch with signs in it, as far as delimiters let it and a sign is near, until that says stop.
fn around(text: &[u8], sign: u8, real: impl Fn(&[u8]) -> bool, ends: impl Fn(u8) -> bool, take: &mut dyn FnMut(Range<usize>) -> bool) {
    let next = |from: usize, until: usize| {
        let within = text.get(from..until.min(text.len())).unwrap_or_default();
        memchr::memchr_iter(sign, within).map(|at| from + at).find(|at| real(&text[*at..]))
    };
    let mut from = 0;
    while let Some(first) = next(from, text.len()) {
        let near = first.saturating_sub(REACH).max(from);
        let near = near - text[from..near].iter().rev().take(LONGEST_UNALIGNED).take_while(|b| SEXTET[usize::from(**b)] != 0xff).count();
        let start = text[near..first].iter().rposition(|b| ends(*b)).map_or(near, |before| near + before + 1);
        let mut last = first;
        let end = loop {
            let following = next(last + 1, last + 2 * REACH);
            let until = following.unwrap_or((last + REACH).min(text.len()));
            if let Some(stop) = text[last + 1..until].iter().position(|b| ends(*b)) {
                break last + 1 + stop;
            }
            let Some(following) = following else {
                let rest = text[until..].iter().take(LONGEST_UNALIGNED);
                break until + rest.take_while(|b| SEXTET[usize::from(**b)] != 0xff && !ends(**b)).count();
            };
            last = following;
        };
        if !take(start..end) {
            return;
        }
        from = end.max(first + 1);
    }
}

fn ends_percent(b: u8) -> bool {
    b <= b' ' || matches!(b, b'"' | b'<' | b'>' | 0x7f)
}

fn ends_line(b: u8) -> bool {
    b < b' '
}

fn ends_markup(b: u8) -> bool {
    b < b' ' && !b.is_ascii_whitespace() || matches!(b, b'<' | b'>')
}

/// Signs of quoted-printable that forms and base64 do not have.
fn quoted_printable(text: &[u8], signs: Signs) -> bool {
    let told = memchr::memchr_iter(b'=', text).any(|at| match &text[at + 1..] {
        [b'\r', b'\n', ..] | [b'\n', ..] | [b'3', b'D', ..] | [b'4', b'0', ..] => true,
        // A word of a mail's head (RFC 2047 §2).
        [b'?', word @ ..] => {
            let len = word.iter().take(40).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).count();
            matches!(word.get(len..), Some([b'?', b'Q' | b'q', b'?', ..]))
        }
        // A letter beyond ASCII in UTF-8.
        [b'C'..=b'F', low, b'=', b'8' | b'9' | b'A' | b'B', next, ..] => low.is_ascii_hexdigit() && next.is_ascii_hexdigit(),
        _ => false,
    });
    // Or a part's head says it (RFC 2045 §6.1).
    told || signs.has(Signs::HYPHEN) && QUOTED.find(text).is_some_and(|head| memchr::memchr(b'=', &text[head..]).is_some())
}

static QUOTED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"uoted-printable"));

/// UTF-16: printable characters and zeros by turns, six and more.
fn wide(text: &[u8], give: &mut dyn FnMut(Range<usize>, Coding, Undone) -> bool) {
    let mut at = 0;
    while let Some(zero) = text.get(at..).and_then(|rest| memchr::memchr(0, rest)).map(|zero| at + zero) {
        at = zero + 1;
        for (big, start) in [(false, zero.checked_sub(1)), (true, Some(zero))] {
            let Some(start) = start else { continue };
            // UTF-32 is UTF-16 with another pair of zeros, and becomes that here.
            if !big && text.get(start..start + 4).is_some_and(|unit| unit[1..] == [0; 3]) {
                let units = text[start..].chunks_exact(4).take_while(|unit| unit[1..] == [0; 3] && unit[0] >= b' ').count();
                if units >= 6 {
                    let region = start..start + units * 4;
                    at = at.max(region.end);
                    if !give(region.clone(), Coding::Utf16(false), undo::utf32(&text[region])) {
                        return;
                    }
                    break;
                }
            }
            let plain = |unit: &&[u8]| matches!((big, *unit), (false, [c, 0]) | (true, [0, c]) if (b' '..=0xff).contains(c) || matches!(c, b'\t' | b'\n' | b'\r'));
            let units = text[start..].chunks_exact(2).take_while(plain).count();
            if units >= 6 {
                let region = start..start + units * 2;
                at = at.max(region.end);
                if !give(region.clone(), Coding::Utf16(big), undo::utf16(&text[region], big)) {
                    return;
                }
                break;
            }
        }
    }
}

/// Runs of base64 and of hex.
fn runs(text: &[u8], signs: Signs, give: &mut dyn FnMut(Range<usize>, Coding, Undone) -> bool) {
    let mut at = 0;
    // A run of sixteen holds eight bytes in a row that begin at a multiple of eight; and those are no delimiters.
    let (blocks, _) = text.as_chunks::<8>();
    for (n, block) in blocks.iter().enumerate() {
        let probe = n * 8;
        if probe < at || !may_be_run(*block) || block.iter().any(|b| SEXTET[usize::from(*b)] == 0xff) {
            continue;
        }
        let start = text[at..probe].iter().rposition(|b| SEXTET[usize::from(*b)] == 0xff).map_or(at, |before| at + before + 1);
        let end = run_end(text, probe);
        at = end;
        if end - start < SHORTEST_BASE64 {
            continue;
        }
        if !run(text, start..end, give) {
            return;
        }
        // Lines of a wrapped text (RFC 2045 §6.8: at most 76 characters) are one run.
        let whole = wrapped(text, start, end);
        if whole > end {
            at = whole;
            if !give(start..whole, Coding::Base64, undo::base64(&text[start..whole])) {
                return;
            }
        }
    }
    if signs.has(Signs::PART) {
        rows::find(text, &mut |_, row| row.len() < 8 * 3 - 1 || give(row.clone(), Coding::Hex, undo::parted_hex(&text[row])));
    }
}

/// Whether none of these bytes comes before the first of the base64 alphabets, or is beyond ASCII.
fn may_be_run(block: [u8; 8]) -> bool {
    const UPPER: u64 = 0x8080_8080_8080_8080;
    let block = u64::from_le_bytes(block);
    (block | (block | UPPER).wrapping_sub(0x2b2b_2b2b_2b2b_2b2b) ^ UPPER) & UPPER == 0
}

fn run_end(text: &[u8], start: usize) -> usize {
    text[start..].iter().position(|b| SEXTET[usize::from(*b)] == 0xff).map_or(text.len(), |len| start + len)
}

fn wrapped(text: &[u8], start: usize, end: usize) -> usize {
    let line = end - start;
    let (mut from, mut until) = (end, end);
    if line < SHORTEST_LINE {
        return end;
    }
    loop {
        let next = match text.get(from..) {
            Some([b'\r', b'\n', ..]) => from + 2,
            Some([b'\n', ..]) => from + 1,
            _ => break,
        };
        let stop = run_end(text, next);
        if stop == next {
            break;
        }
        until = stop;
        from = stop;
        if stop - next < line {
            break;
        }
    }
    until
}

fn run(text: &[u8], region: Range<usize>, give: &mut dyn FnMut(Range<usize>, Coding, Undone) -> bool) -> bool {
    let run = &text[region.clone()];
    let mut go = true;
    let mut cursor = 0;
    while cursor < run.len() {
        let len = run[cursor..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
        if len >= SHORTEST_HEX {
            for skip in 0..=len % 2 {
                let part = region.start + cursor + skip..region.start + cursor + len;
                go = give(part.clone(), Coding::Hex, undo::hex(&text[part]));
            }
            if len == run.len() {
                return go;
            }
        }
        cursor += len + 1;
    }
    // Sixteen characters of base64 without a capital, or without a small letter, are one run in 4 000: words, paths and numbers.
    if !run.iter().any(u8::is_ascii_uppercase) || !run.iter().any(u8::is_ascii_lowercase) {
        return go;
    }
    go = give(region.clone(), Coding::Base64, undo::base64(run)) && go;
    if is_path(text, &region) {
        go = segments(run, region.start, give) && go;
    }
    // Something may stand in front of it without a delimiter.
    if run.len() <= LONGEST_UNALIGNED {
        for skip in 1..4 {
            let undone = undo::base64(&run[skip..]);
            if telling(&undone.bytes) {
                go = give(region.start + skip..region.end, Coding::Base64, undone);
            }
        }
    }
    go
}

/// Arrays of numbers that are bytes.
fn arrays(text: &[u8], give: &mut dyn FnMut(Range<usize>, Coding, Undone) -> bool) {
    for open in memchr::memchr_iter(b'[', text) {
        let len = text[open + 1..].iter().take_while(|b| matches!(b, b'0'..=b'9' | b'-' | b',' | b' ' | b'\t' | b'\r' | b'\n')).count();
        let region = open + 1..open + 1 + len;
        if text.get(region.end) == Some(&b']')
            && memchr::memchr_iter(b',', &text[region.clone()]).count() >= 5
            && let Some(undone) = undo::decimals(&text[region.clone()])
            && !give(region, Coding::Decimals, undone)
        {
            return;
        }
    }
}
