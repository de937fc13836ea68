//! Where a layer is coded: finds the stretches that show a coding's signs, and undoes them.

use std::ops::Range;

use super::fields::Fields;
use super::undo::{self, Packed, SEXTET, Undone};
use crate::encode::nibble;

/// What a layer was coded by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// The message itself.
    None,
    Percent,
    Json,
    Html,
    QuotedPrintable,
    Utf16(bool),
    Base64,
    Hex,
    Decimals,
    Packed(Packed),
}

impl Coding {
    /// What a chain calls it.
    pub(super) fn word(self) -> Option<&'static str> {
        Some(match self {
            Coding::None => return None,
            Coding::Percent => "percent",
            Coding::Json => "json",
            Coding::Html => "html",
            Coding::QuotedPrintable => "quoted-printable",
            Coding::Utf16(false) => "utf-16le",
            Coding::Utf16(true) => "utf-16be",
            Coding::Base64 => "base64",
            Coding::Hex => "hex",
            Coding::Decimals => "decimals",
            Coding::Packed(packed) => packed.as_str(),
        })
    }
}

/// Twelve bytes: shorter runs of base64 are words, and what they could hide is sought in its coded forms.
const SHORTEST_BASE64: usize = 16;
const SHORTEST_HEX: usize = 16;
/// Wrapped base64 comes in lines of 60 characters and more (60 in PHP, 64 in PEM, 76 in MIME).
const SHORTEST_LINE: usize = 60;
/// Longer runs of base64 are taken to begin where they begin.
const LONGEST_UNALIGNED: usize = 64 << 10;
/// A printable stretch this long stands by accident in one of 3 000 places of random bytes.
const READABLE: usize = 8;
/// So many compressed streams are looked for inside one layer.
const MOST_PACKED: usize = 4;
/// What has no signature is tried in pieces no larger than this.
const LONGEST_UNSIGNED: usize = 64 << 10;

/// Hands each undone stretch of `text` to `accept`, until that says stop.
///
/// `inner`: the layer came out of a coding that carries arbitrary bytes, so compression without a signature is tried as well.
pub(super) fn find(
    text: &[u8],
    declared: Option<Packed>,
    inner: bool,
    ratio: usize,
    room: usize,
    accept: &mut dyn FnMut(Range<usize>, Coding, Undone) -> bool,
) {
    let mut go = true;
    let mut give = |region: Range<usize>, coding: Coding, undone: Undone| {
        if go {
            go = accept(region, coding, undone);
        }
        go
    };
    let limit = |len: usize| room.min(len.saturating_mul(ratio)).max(1);
    compressed(text, declared, inner, &limit, &mut give);
    let binary = binary(text);
    if !binary {
        textual(text, &mut give);
    }
    wide(text, &mut give);
    runs(text, &mut give);
    if !binary {
        arrays(text, &mut give);
    }
}

/// The codings of text in text.
fn textual(text: &[u8], mut give: &mut dyn FnMut(Range<usize>, Coding, Undone) -> bool) {
    if memchr::memchr3(b'%', b'\\', b'+', text).is_some() {
        let fields = Fields::read(text);
        for field in fields.fields.iter().filter(|field| field.coded) {
            let value = &text[field.value.clone()];
            if field.form {
                percent(value, field.value.start, &mut give);
            } else if let Some(undone) = undo::json(value) {
                give(field.value.clone(), Coding::Json, undone);
            }
        }
    }
    around(text, b'%', |rest| matches!(rest, [_, a, b, ..] if nibble(*a).is_some() && nibble(*b).is_some()), ends_percent, &mut |region| {
        percent(&text[region.clone()], region.start, &mut give)
    });
    around(
        text,
        b'\\',
        |rest| matches!(rest.get(1), Some(b'u' | b'/' | b'"' | b'x' | b'n' | b'r' | b't' | b'\\')),
        ends_line,
        &mut |region| undo::json(&text[region.clone()]).is_none_or(|undone| give(region, Coding::Json, undone)),
    );
    around(
        text,
        b'&',
        |rest| rest.get(1).is_some_and(|b| *b == b'#' || b.is_ascii_alphabetic()) && rest.iter().take(12).any(|b| *b == b';'),
        ends_markup,
        &mut |region| undo::html(&text[region.clone()]).is_none_or(|undone| give(region, Coding::Html, undone)),
    );
    if quoted_printable(text)
        && let Some(undone) = undo::quoted_printable(text)
    {
        give(0..text.len(), Coding::QuotedPrintable, undone);
    }
}

/// Whether it is compressed, encrypted or a picture: of random bytes one in nine is a control and half have the upper bit, which
/// text in any script, and messages made of text, do not have together. Looks at a few hundred bytes.
fn binary(text: &[u8]) -> bool {
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

fn compressed(
    text: &[u8],
    declared: Option<Packed>,
    inner: bool,
    limit: &dyn Fn(usize) -> usize,
    give: &mut dyn FnMut(Range<usize>, Coding, Undone) -> bool,
) {
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
    if inner && sniffed.is_none() && (16..=LONGEST_UNSIGNED).contains(&text.len()) && !readable_share(text) {
        unpack(Packed::Deflate, 0, false);
        if undo::may_be_brotli(text, limit(text.len())) {
            unpack(Packed::Brotli, 0, false);
        }
    }
    for (signature, packed) in [(&b"\x1f\x8b\x08"[..], Packed::Gzip), (&b"\x28\xb5\x2f\xfd"[..], Packed::Zstd)] {
        for at in memchr::memmem::find_iter(text, signature).filter(|at| *at > 0).take(MOST_PACKED) {
            if Packed::sniff(&text[at..]) == Some(packed) && !unpack(packed, at, true) {
                return;
            }
        }
    }
    // zlib has only a weak signature: inside a layer it is tried where it is most often written.
    for at in memchr::memchr_iter(0x78, text)
        .filter(|at| *at > 0 && matches!(text.get(at + 1), Some(0x01 | 0x5e | 0x9c | 0xda)))
        .take(MOST_PACKED)
    {
        if !unpack(Packed::Zlib, at, false) {
            return;
        }
    }
}

/// Whether nearly all of it is text.
fn readable_share(bytes: &[u8]) -> bool {
    let readable = bytes.iter().filter(|b| matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n' | 0xc2..=0xf4)).count();
    readable * 10 >= bytes.len() * 9
}

/// Calls `take` for each stretch between delimiters that holds a sign, until that says stop.
fn around(text: &[u8], sign: u8, real: impl Fn(&[u8]) -> bool, ends: impl Fn(u8) -> bool, take: &mut dyn FnMut(Range<usize>) -> bool) {
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| memchr::memchr(sign, rest)).map(|at| from + at) {
        if !real(&text[at..]) {
            from = at + 1;
            continue;
        }
        let start = text[..at].iter().rposition(|b| ends(*b)).map_or(0, |before| before + 1);
        let end = text[at..].iter().position(|b| ends(*b)).map_or(text.len(), |after| at + after);
        if !take(start.min(at)..end) {
            return;
        }
        from = end.max(at + 1);
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
fn quoted_printable(text: &[u8]) -> bool {
    memchr::memchr(b'=', text).is_some()
        && (memchr::memmem::find(text, b"=\r\n").is_some()
            || memchr::memmem::find(text, b"=\n").is_some()
            || memchr::memmem::find(text, b"=3D").is_some()
            || memchr::memmem::find(text, b"=40").is_some())
}

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
fn runs(text: &[u8], give: &mut dyn FnMut(Range<usize>, Coding, Undone) -> bool) {
    let mut at = 0;
    while at < text.len() {
        // A run of sixteen has one of its bytes at every sixteenth place.
        let probe = at + SHORTEST_BASE64 - 1;
        let Some(b) = text.get(probe) else { break };
        if SEXTET[usize::from(*b)] == 0xff {
            at = probe + 1;
            continue;
        }
        let start = text[at..probe].iter().rposition(|b| SEXTET[usize::from(*b)] == 0xff).map_or(at, |before| at + before + 1);
        let end = run_end(text, start);
        at = end + 1;
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
    parted(text, give);
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

/// Whether there is more to it than to random bytes.
fn telling(bytes: &[u8]) -> bool {
    let mut readable = 0;
    for b in bytes {
        readable = if matches!(b, b' '..=b'~') { readable + 1 } else { 0 };
        if readable >= READABLE {
            return true;
        }
    }
    Packed::sniff(bytes).is_some()
        || memchr::memmem::find(bytes, b"\x1f\x8b\x08").is_some()
        || memchr::memmem::find(bytes, b"\x78\x9c").is_some()
}

/// Hex pairs with one and the same character between, eight and more.
fn parted(text: &[u8], give: &mut dyn FnMut(Range<usize>, Coding, Undone) -> bool) {
    let mut at = 0;
    while let Some(sign) = text.get(at..).and_then(|rest| memchr::memchr3(b':', b'-', b' ', rest)).map(|sign| at + sign) {
        at = sign + 1;
        let (Some(start), by) = (sign.checked_sub(2), text[sign]) else { continue };
        let pair = |at: usize| text.get(at..at + 2).is_some_and(|p| p.iter().all(u8::is_ascii_hexdigit));
        if !pair(start) || text.get(sign + 3) != Some(&by) {
            continue;
        }
        let mut end = start + 2;
        while text.get(end) == Some(&by) && pair(end + 1) {
            end += 3;
        }
        at = at.max(end);
        if end - start >= 8 * 3 - 1 && !give(start..end, Coding::Hex, undo::parted_hex(&text[start..end])) {
            return;
        }
    }
}

/// Arrays of numbers that are bytes.
fn arrays(text: &[u8], give: &mut dyn FnMut(Range<usize>, Coding, Undone) -> bool) {
    for open in memchr::memchr_iter(b'[', text) {
        let len = text[open + 1..].iter().take_while(|b| matches!(b, b'0'..=b'9' | b',' | b' ' | b'\n')).count();
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
