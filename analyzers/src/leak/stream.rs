//! The search over a stream: in one pass, with a short tail of what went before.
//!
//! Whether something is found at a place depends on at most [`TAIL`] bytes, the last of them the [`BEHIND`] after it. So a find is
//! reported with the first piece that brings all of these, or at the end of the stream, and how the stream is cut into
//! pieces cannot matter.

use std::cmp::Reverse;
use std::ops::Range;

use super::edge::{BEHIND, FRONT};
use super::found::Found;
use super::table::{CORE, Hit, SHORT};
use super::{Engine, Meaning};
use crate::observation::Grade;

/// The longest needle, what stands in front of it and what behind.
const TAIL: usize = FRONT + CORE + BEHIND;
/// The last of the bytes behind stands so far from the end of an occurrence.
const LAST: usize = BEHIND - 1;
/// A short one that is still to be reported begins so far from the end of what was seen, at most.
const REACH: usize = SHORT + LAST;

/// What one direction of a stream needs to remember between two pieces. Costs nothing until there is something to seek.
#[derive(Clone, Debug, Default)]
pub struct Carry {
    tail: Vec<u8>,
    seen: u64,
}

impl Carry {
    /// Bytes of the stream so far, gaps included.
    pub fn offset(&self) -> u64 {
        self.seen
    }

    pub fn shrink_to_fit(&mut self) {
        self.tail.shrink_to_fit();
    }
}

impl Engine {
    /// Seeks planted values in the next piece of a stream.
    pub fn scan(&self, carry: &mut Carry, bytes: &[u8], sink: &mut dyn FnMut(Found)) {
        if !self.table.is_empty() && !bytes.is_empty() {
            let mut hits = Vec::new();
            let kept = carry.tail.len();
            let base = carry.seen - kept as u64;
            if bytes.len() <= 2 * TAIL {
                carry.tail.extend_from_slice(bytes);
                let short = kept.saturating_sub(REACH)..carry.tail.len();
                self.window(&carry.tail, base, short, |span| (kept..carry.tail.len()).contains(&(span.end + LAST)), &mut hits);
            } else {
                let mut border = [0; 2 * TAIL];
                let border = &mut border[..kept + TAIL];
                border[..kept].copy_from_slice(&carry.tail);
                border[kept..].copy_from_slice(&bytes[..TAIL]);
                let short = kept.saturating_sub(REACH)..kept + FRONT;
                self.window(border, base, short, |span| span.start < kept + FRONT && span.end + LAST >= kept, &mut hits);
                self.window(bytes, carry.seen, FRONT..bytes.len(), |span| span.start >= FRONT && span.end + LAST < bytes.len(), &mut hits);
                carry.tail.clear();
                carry.tail.extend_from_slice(&bytes[bytes.len() - TAIL..]);
            }
            let surplus = carry.tail.len().saturating_sub(TAIL);
            carry.tail.drain(..surplus);
            self.report(hits, sink);
        }
        carry.seen += bytes.len() as u64;
    }

    /// The stream ends here: reports what its last bytes were waiting for.
    pub fn finish(&self, carry: &mut Carry, sink: &mut dyn FnMut(Found)) {
        let mut hits = Vec::new();
        let len = carry.tail.len();
        self.window(&carry.tail, carry.seen - len as u64, len.saturating_sub(REACH)..len, |span| span.end + LAST >= len, &mut hits);
        carry.tail = Vec::new();
        self.report(hits, sink);
    }

    /// `len` bytes of the stream are missing: nothing is found across them.
    pub fn gap(&self, carry: &mut Carry, len: u64, sink: &mut dyn FnMut(Found)) {
        self.finish(carry, sink);
        carry.seen += len;
    }

    /// `short`: where a short needle may begin so that it is `wanted`.
    fn window(
        &self,
        text: &[u8],
        base: u64,
        short: Range<usize>,
        wanted: impl Fn(&Range<usize>) -> bool,
        hits: &mut Vec<(Range<u64>, u32)>,
    ) {
        self.table.find_some(text, short, &mut |Hit { id, span }| {
            if wanted(&span) && self.meanings.get(id as usize).is_some_and(|meaning| !meaning.partial && meaning.agrees(text, &span)) {
                hits.push((base + span.start as u64..base + span.end as u64, id));
            }
        });
    }

    fn report(&self, mut hits: Vec<(Range<u64>, u32)>, sink: &mut dyn FnMut(Found)) {
        // The longest at a place comes first: what is found again there is only counted.
        hits.sort_unstable_by_key(|(span, id)| (span.start, Reverse(span.end), *id));
        for (span, id) in hits {
            if let Some(found) = self.meanings.get(id as usize).and_then(|meaning| self.found(meaning, span)) {
                sink(found);
            }
        }
    }

    /// The find that an occurrence of a needle is.
    pub(super) fn found(&self, meaning: &Meaning, span: Range<u64>) -> Option<Found> {
        let planted = self.planted(meaning.seed)?;
        Some(Found {
            kind: planted.kind,
            seed: Some(planted.name.clone()),
            grade: if meaning.partial { Grade::Structural } else { Grade::Proof },
            chain: if meaning.chain.is_empty() { self.plain.clone() } else { meaning.chain.clone() },
            span,
            key: None,
            mask: planted.mask.clone(),
            token: planted.token,
            detail: None,
            value: planted.value.clone(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::{Kind, Seed};
    use super::*;
    use crate::encode::{base64, hex, sha256};
    use crate::text::Text;
    use proptest::prelude::*;

    fn engine() -> Engine {
        let seed = |name: &str, kind, value: &str| Seed { name: name.into(), kind, value: value.into() };
        Engine::new(
            [
                seed("email-main", Kind::Email, "anna.quist@example.org"),
                seed("imei-1", Kind::Imei, "490154203237518"),
                seed("wifi", Kind::Mac, "a4:5e:60:c1:22:9b"),
                seed("ad", Kind::AdId, "38400000-8cf0-11bd-b23e-10b96e40000d"),
                seed("pin", Kind::Password, "zx81"),
            ],
            &[7; 32],
        )
    }

    fn names(text: &[u8]) -> Vec<String> {
        let (engine, mut carry, mut out) = (engine(), Carry::default(), Vec::new());
        let mut sink = |f: Found| {
            let chain: Vec<&str> = f.chain.iter().map(Text::as_str).collect();
            let seed = f.seed.unwrap();
            out.push(format!("{}@{}", [&[seed.as_str()], &chain[..]].concat().join("/"), f.span.start));
        };
        engine.scan(&mut carry, text, &mut sink);
        engine.finish(&mut carry, &mut sink);
        out
    }

    #[track_caller]
    fn check(text: impl AsRef<[u8]>, expect: &[&str]) {
        assert_eq!(names(text.as_ref()), expect, "{}", text.as_ref().escape_ascii());
    }

    #[test]
    fn codings() {
        check("GET /?q=anna.quist@example.org HTTP/1.1", &["email-main@8"]);
        check("GET /?q=Anna.Quist%40Example.org HTTP/1.1", &["email-main/percent@8"]);
        check("GET /?q=anna.quist%2540example.org", &["email-main/percent/percent@8"]);
        check("u=anna.quist;", &["email-main/user-part@2"]);
        check(format!("x{}", base64(b"..anna.quist@example.org")), &["email-main/base64@4"]);
        check(hex(b"anna.quist@example.org").to_uppercase(), &["email-main/hex@0"]);
        check(hex(&sha256(b"anna.quist@example.org")), &["email-main/hex/sha256@0"]);
        check(hex(&sha256(b"ANNA.QUIST@EXAMPLE.ORG")), &["email-main/hex/sha256@0"]);
        check(base64(&sha256(b"anna.quist@example.org")), &["email-main/base64/sha256@0"]);
        check(sha256(b"anna.quist@example.org"), &["email-main/sha256@0"]);
        check(b"a\0n\0n\0a\0.\0q\0u\0i\0s\0t\0@\0e\0x\0a\0m\0p\0l\0e\0.\0o\0r\0g\0", &["email-main/utf-16le@0"]);
        // The length of the whole address is that of the user part in its lower bits.
        check("\x2aanna.quist@example.org", &["email-main@1"]);
        check("\0\x16anna.quist@example.org\0", &["email-main@2"]);
        check("imei=490154203237518&", &["imei-1@5"]);
        check("imei=49015420323751&", &["imei-1@5"]);
        check("imei=490154203237510&imeisv=4901542032375112", &["imei-1@5", "imei-1@28"]);
        check("order=49015420323751012345&imei=490154203237517", &[]);
        check("<urn:gsma:imei:49015420-323751-8>", &["imei-1@15"]);
        check("<urn:gsma:imei:49015420-323751-0;svn=42>", &["imei-1@15"]);
        check("<urn:gsma:imei:49015420-323751-7>", &[]);
        check([0x94, 0x10, 0x45, 0x02, 0x23, 0x73, 0x15], &["imei-1/tbcd@0"]);
        check("A4-5E-60-C1-22-9B", &["wifi@0"]);
        check([1, 0xa4, 0x5e, 0x60, 0xc1, 0x22, 0x9b], &["wifi/raw@1"]);
        check("fe80::a65e:60ff:fec1:229b", &["wifi/eui-64@6"]);
        check("A45E60FFFEC1229B", &["wifi/eui-64@0"]);
        check("A4-5E-60-FF-FE-C1-22-9B", &["wifi/eui-64@0"]);
        check("{\"node\":180725257151131,\"n\":1807252571511310}", &["wifi/number@8"]);
        check("384000008CF011BDB23E10B96E40000D", &["ad@0"]);
        check("p=zx81&zx812", &["pin@2"]);
        // Another value that differs only in bits which base64 has beside the needle.
        check(base64(b"..anna.quist@example.orc"), &[]);
        check(base64(b"..\x21nna.quist@example.org"), &[]);
        check(base64(b".\xe1nna.quist@example.org"), &[]);
        check(base64(b".ANNA.quist@example.org"), &[]);
        check(base64(b".Anna.quist@example.org"), &["email-main/base64@2"]);
        check("nothing to see here, 490154203337518 anna@example.org", &[]);
    }

    #[test]
    fn gaps_hide_nothing_before_them_and_join_nothing_across() {
        let (engine, mut carry, mut out) = (engine(), Carry::default(), Vec::new());
        let mut sink = |f: Found| out.push(f.span);
        engine.scan(&mut carry, b"imei=490154203237518", &mut sink);
        engine.gap(&mut carry, 100, &mut sink);
        engine.scan(&mut carry, b"anna.quist@", &mut sink);
        engine.gap(&mut carry, 3, &mut sink);
        engine.scan(&mut carry, b"example.org imei=490154203237518", &mut sink);
        engine.finish(&mut carry, &mut sink);
        assert_eq!(out, [5..20, 151..166]);
    }

    /// What stands in front of a value is seen in the piece before, however long the next one is.
    #[test]
    fn a_cut_right_in_front_of_a_value() {
        for (before, value, expect) in [("\x1b[38;5;2m", "zx81", 1), ("\x1bx[38;5;2m", "zx81", 0), ("\x30", "zx81", 0), ("=", "zx81", 1)] {
            let (engine, mut carry, mut found) = (engine(), Carry::default(), 0);
            engine.scan(&mut carry, before.as_bytes(), &mut |_| found += 1);
            engine.scan(&mut carry, format!("{value}{}", "-".repeat(1000)).as_bytes(), &mut |_| found += 1);
            engine.finish(&mut carry, &mut |_| found += 1);
            assert_eq!(found, expect, "{before}{value}");
        }
    }

    #[test]
    fn without_a_persona_nothing_is_kept() {
        let (engine, mut carry) = (Engine::bare(&[0; 32]), Carry::default());
        engine.scan(&mut carry, b"anything", &mut |_| ());
        assert_eq!((carry.tail.capacity(), carry.offset(), engine.needles()), (0, 8, 0));
    }

    proptest! {
        #[test]
        fn any_cut_finds_the_same(
            parts in proptest::collection::vec(prop_oneof![
                Just(b"anna.quist@example.org".to_vec()),
                Just(b"anna.quist".to_vec()),
                Just(b"%2522anna.quist@example.org.jpeg".to_vec()),
                Just(b"u003canna.quist@example.orgu003e".to_vec()),
                Just(b"joanna.quist@example.org.br".to_vec()),
                Just(b"\x02\x64mailvanna.quist@example.orga".to_vec()),
                Just(b"490154203237518".to_vec()),
                Just(b"49015420323751".to_vec()),
                Just(b"4901542032375112".to_vec()),
                Just(b"zx81".to_vec()),
                Just(base64(b"x anna.quist@example.org").into_bytes()),
                Just(base64(b"anna.quist@example.or_").into_bytes()),
                Just(base64(b"x\xe1nna.quist@example.org").into_bytes()),
                Just(b"\x1b[38;5;2mzx81".to_vec()),
                Just(code_all("anna.quist@example.org")),
                Just(hex(&sha256(b"490154203237518")).into_bytes()),
                proptest::collection::vec(any::<u8>(), 0..40),
                "[ =&@0-9a-z]{0,300}".prop_map(String::into_bytes),
            ], 0..12),
            cuts in proptest::collection::vec(0usize..400, 0..40),
        ) {
            let engine = engine();
            let text = parts.concat();
            let whole = {
                let (mut carry, mut out) = (Carry::default(), Vec::new());
                engine.scan(&mut carry, &text, &mut |f| out.push((f.span.start, f.span.end, f.seed, f.chain)));
                engine.finish(&mut carry, &mut |f| out.push((f.span.start, f.span.end, f.seed, f.chain)));
                out.sort();
                out
            };
            let (mut carry, mut out, mut rest) = (Carry::default(), Vec::new(), &text[..]);
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                engine.scan(&mut carry, now, &mut |f| out.push((f.span.start, f.span.end, f.seed, f.chain)));
                prop_assert!(carry.tail.len() <= TAIL);
                rest = later;
            }
            engine.scan(&mut carry, rest, &mut |f| out.push((f.span.start, f.span.end, f.seed, f.chain)));
            engine.finish(&mut carry, &mut |f| out.push((f.span.start, f.span.end, f.seed, f.chain)));
            out.sort();
            prop_assert_eq!(out, whole);
        }
    }

    fn code_all(text: &str) -> Vec<u8> {
        super::super::code::percent_all(text.as_bytes())
    }
}
