//! The matcher: many byte strings sought in one pass, by a filter over sampled windows and a check at what passes it.
//!
//! A needle of length `n` holds, wherever it stands, exactly one window of `Q` bytes that begins at a multiple of `STRIDE` within
//! its first `STRIDE` bytes, if `n >= Q + STRIDE - 1`. So the text is probed only at multiples of `STRIDE`; each needle is entered
//! under its first `STRIDE` windows. The probe is one load from a Bloom filter (two bits in one word) small enough for the
//! second-level cache; its cost does not depend on the number of needles until the filter outgrows the cache. Needles fall into
//! tiers by length; a tier without needles costs nothing.

use std::ops::Range;

use aho_corasick::packed::Searcher;

pub(super) use super::edge::Edge;

/// A byte string to seek, and when its occurrence counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Needle {
    pub(super) bytes: Vec<u8>,
    /// Letters A–Z match without regard to case.
    pub(super) fold: bool,
    pub(super) edge: Edge,
    /// What the owner knows this needle by.
    pub(super) id: u32,
}

/// Bytes of a needle that are sought; the rest of a longer one is compared afterwards, where it is at hand.
pub(super) const CORE: usize = 128;
/// Shorter needles are not sought: three bytes are found in anything.
pub(super) const SHORTEST: usize = 4;
/// Needles up to here are dear to seek; the longer ones are nearly all.
pub(super) const SHORT: usize = 14;

/// Every needle, in tiers.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    long: Tier<8, 8>,
    middle: Tier<4, 5>,
    short: Tier<4, 3>,
    tiny: Tier<4, 1>,
    few: Few,
}

/// How a text is searched.
#[derive(Clone, Copy, Debug)]
struct How {
    any_case: bool,
    /// It is a whole message, not a piece of a stream.
    whole: bool,
}

/// An occurrence: which needle, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) id: u32,
    pub(super) span: Range<usize>,
}

impl Table {
    pub(super) fn new(needles: Vec<Needle>) -> Table {
        let (mut long, mut middle, mut short, mut tiny, mut few) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for mut needle in needles {
            needle.bytes.truncate(CORE);
            match needle.bytes.len() {
                0..SHORTEST => {}
                4..8 if !needle.fold && few.len() < Few::MOST => few.push(needle),
                4..6 => tiny.push(needle),
                6..8 => short.push(needle),
                8..=SHORT => middle.push(needle),
                _ => long.push(needle),
            }
        }
        let few = Few::new(few).unwrap_or_else(|few| {
            let (four, six): (Vec<Needle>, Vec<Needle>) = few.into_iter().partition(|needle| needle.bytes.len() < 6);
            tiny.extend(four);
            short.extend(six);
            Few::default()
        });
        Table { long: Tier::new(&long), middle: Tier::new(&middle), short: Tier::new(&short), tiny: Tier::new(&tiny), few }
    }

    /// Calls `sink` for every occurrence in `text`, in no particular order.
    ///
    /// What an occurrence at the very end is followed by is taken to be nothing.
    #[inline]
    pub(super) fn find(&self, text: &[u8], sink: &mut dyn FnMut(Hit)) {
        self.search(text, 0..text.len(), How { any_case: false, whole: true }, sink);
    }

    /// The same for a piece of a stream, but of the needles up to [`SHORT`] bytes only those that begin within `short`, and perhaps some others.
    #[inline]
    pub(super) fn find_some(&self, text: &[u8], short: Range<usize>, sink: &mut dyn FnMut(Hit)) {
        self.search(text, short, How { any_case: false, whole: false }, sink);
    }

    /// The same without regard to case, also of those whose case matters: for what must not be shown, for a password in other letters still
    /// tells most of it.
    pub(super) fn find_in_any_case(&self, text: &[u8], sink: &mut dyn FnMut(Hit)) {
        self.search(text, 0..text.len(), How { any_case: true, whole: true }, sink);
    }

    #[inline]
    fn search(&self, text: &[u8], short: Range<usize>, how: How, sink: &mut dyn FnMut(Hit)) {
        self.long.find(text, 0..text.len(), how, sink);
        self.middle.find(text, short.clone(), how, sink);
        self.short.find(text, short.clone(), how, sink);
        self.tiny.find(text, short.clone(), how, sink);
        if how.any_case {
            self.few.find_in_any_case(text, sink);
        } else {
            self.few.find(text, short, how, sink);
        }
    }

    /// How many needles each tier holds, longest first; then the few short ones whose case matters.
    pub(super) fn tiers(&self) -> [usize; 5] {
        [self.long.needles.len(), self.middle.needles.len(), self.short.needles.len(), self.tiny.needles.len(), self.few.needles.len()]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.tiers().iter().sum()
    }
}

/// Short needles whose case matters, as long as they are few: a vector search (Teddy) passes over text ten times faster than probes.
#[derive(Clone, Debug, Default)]
struct Few {
    search: Option<Searcher>,
    needles: Vec<Needle>,
    /// The needles in small letters.
    small: Option<Searcher>,
}

impl Few {
    /// From 64 patterns on Teddy's buckets fill and it slows down (measured; at 100 it refuses).
    const MOST: usize = 48;

    fn new(needles: Vec<Needle>) -> Result<Few, Vec<Needle>> {
        if needles.is_empty() {
            return Ok(Few::default());
        }
        let search = Searcher::new(needles.iter().map(|needle| &needle.bytes));
        let small = Searcher::new(needles.iter().map(|needle| needle.bytes.to_ascii_lowercase()));
        if search.is_some() && small.is_some() { Ok(Few { search, needles, small }) } else { Err(needles) }
    }

    fn find_in_any_case(&self, text: &[u8], sink: &mut dyn FnMut(Hit)) {
        let Some(search) = &self.small else { return };
        let text = text.to_ascii_lowercase();
        let mut from = 0;
        while let Some(start) = search.find_in(&text, aho_corasick::Span { start: from, end: text.len() }).map(|found| found.start()) {
            for needle in &self.needles {
                let span = start..start + needle.bytes.len();
                let same = text.get(span.clone()).is_some_and(|found| found.eq_ignore_ascii_case(&needle.bytes));
                if same && needle.edge.allows(&text, &span, true) {
                    sink(Hit { id: needle.id, span });
                }
            }
            from = start + 1;
        }
    }

    fn find(&self, text: &[u8], starts: Range<usize>, how: How, sink: &mut dyn FnMut(Hit)) {
        let Some(search) = &self.search else { return };
        let end = starts.end.saturating_add(SHORT).min(text.len());
        let mut from = starts.start;
        // The search names one needle per place: the others are compared there, and it goes on one byte later.
        while let Some(start) = search.find_in(text, aho_corasick::Span { start: from.min(end), end }).map(|found| found.start()) {
            for needle in &self.needles {
                let span = start..start + needle.bytes.len();
                if text.get(span.clone()) == Some(&needle.bytes[..]) && needle.edge.allows(text, &span, how.whole) {
                    sink(Hit { id: needle.id, span });
                }
            }
            from = start + 1;
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Tier<const Q: usize, const STRIDE: usize> {
    filter: Filter,
    slots: Box<[Slot]>,
    /// Grouped by window.
    entries: Box<[Entry]>,
    needles: Box<[Kept]>,
    bytes: Box<[u8]>,
}

/// The needles that share a window; `count` 0 is an empty slot.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    tag: u64,
    first: u32,
    count: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    needle: u32,
    /// Where in the needle the window begins.
    offset: u8,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    at: u32,
    len: u8,
    fold: bool,
    edge: Edge,
    id: u32,
}

impl<const Q: usize, const STRIDE: usize> Tier<Q, STRIDE> {
    fn new(wanted: &[Needle]) -> Self {
        if wanted.is_empty() {
            return Self::default();
        }
        let mut needles = Vec::with_capacity(wanted.len());
        let mut bytes = Vec::new();
        let mut windows: Vec<(u64, Entry)> = Vec::with_capacity(wanted.len() * STRIDE);
        for (n, needle) in (0u32..).zip(wanted) {
            needles.push(Kept {
                at: bytes.len() as u32,
                len: needle.bytes.len() as u8,
                fold: needle.fold,
                edge: needle.edge,
                id: needle.id,
            });
            bytes.extend_from_slice(&needle.bytes);
            for offset in 0..STRIDE {
                if let Some(window) = needle.bytes.get(offset..offset + Q) {
                    windows.push((hash(gather(window)), Entry { needle: n, offset: offset as u8 }));
                }
            }
        }
        windows.sort_unstable_by_key(|(hash, entry)| (*hash, entry.needle, entry.offset));
        let mut filter = Filter::with_room_for(windows.len());
        let mut slots = vec![Slot::default(); (windows.len() * 2).next_power_of_two()].into_boxed_slice();
        let mask = slots.len() - 1;
        let mut at = 0;
        while let Some(&(hash, _)) = windows.get(at) {
            let count = windows[at..].iter().take_while(|(other, _)| *other == hash).count();
            filter.insert(hash);
            let mut slot = (hash >> 20) as usize & mask;
            while slots[slot].count > 0 {
                slot = (slot + 1) & mask;
            }
            slots[slot] = Slot { tag: hash, first: at as u32, count: count as u32 };
            at += count;
        }
        let entries = windows.into_iter().map(|(_, entry)| entry).collect();
        Tier { filter, slots, entries, needles: needles.into(), bytes: bytes.into() }
    }

    fn find(&self, text: &[u8], starts: Range<usize>, how: How, sink: &mut dyn FnMut(Hit)) {
        match &self.filter {
            Filter::Empty => {}
            Filter::Small(words) => self.sweep(words, text, starts, how, sink),
            Filter::Medium(words) => self.sweep(words, text, starts, how, sink),
            Filter::Large(words) => self.sweep(words, text, starts, how, sink),
            Filter::Huge(words) => self.sweep(words, text, starts, how, sink),
        }
    }

    /// Probes blocks of windows without a branch between them; only in a block with a window that passes are they told apart.
    fn sweep<const N: usize>(&self, words: &[u64; N], text: &[u8], starts: Range<usize>, how: How, sink: &mut dyn FnMut(Hit)) {
        // The window of a needle begins within its first bytes.
        let end = starts.end.saturating_add(STRIDE);
        let mut at = starts.start;
        while at < end
            && let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>)
        {
            let mut any = 0;
            let mut offset = 0;
            while offset < Self::STEP {
                any |= passes(words, hash(load(block, offset) & Self::KEEP));
                offset += STRIDE;
            }
            if any != 0 {
                for offset in (0..Self::STEP).step_by(STRIDE) {
                    let hash = hash(load(block, offset) & Self::KEEP);
                    if passes(words, hash) != 0 {
                        self.verify(text, how, at + offset, hash, sink);
                    }
                }
            }
            at += Self::STEP;
        }
        while at < end
            && let Some(window) = text.get(at..at + Q)
        {
            let hash = hash(gather(window));
            if passes(words, hash) != 0 {
                self.verify(text, how, at, hash, sink);
            }
            at += STRIDE;
        }
    }

    const KEEP: u64 = if Q == 8 { u64::MAX } else { (1 << (8 * Q)) - 1 };
    /// How far a block of windows reaches: a multiple of the stride that leaves room for the last load.
    const STEP: usize = (BLOCK - 8) / STRIDE * STRIDE;

    #[cold]
    fn verify(&self, text: &[u8], how: How, at: usize, hash: u64, sink: &mut dyn FnMut(Hit)) {
        let mask = self.slots.len() - 1;
        let mut place = (hash >> 20) as usize & mask;
        let slot = loop {
            let slot = self.slots[place];
            if slot.count == 0 {
                return;
            }
            if slot.tag == hash {
                break slot;
            }
            place = (place + 1) & mask;
        };
        let first = slot.first as usize;
        for entry in &self.entries[first..first + slot.count as usize] {
            let Kept { at: from, len, fold, edge, id } = self.needles[entry.needle as usize];
            let needle = &self.bytes[from as usize..from as usize + usize::from(len)];
            let Some(start) = at.checked_sub(usize::from(entry.offset)) else { continue };
            let span = start..start + needle.len();
            let Some(found) = text.get(span.clone()) else { continue };
            let same = if fold || how.any_case { found.eq_ignore_ascii_case(needle) } else { found == needle };
            if same && edge.allows(text, &span, how.whole) {
                sink(Hit { id, span });
            }
        }
    }
}

/// Up to eight bytes as a little-endian number.
fn gather(window: &[u8]) -> u64 {
    if let Some(eight) = window.first_chunk::<8>() {
        u64::from_le_bytes(*eight)
    } else if let Some(four) = window.first_chunk::<4>() {
        u64::from(u32::from_le_bytes(*four))
    } else {
        window.iter().rev().fold(0, |sum, b| sum << 8 | u64::from(*b))
    }
}

/// Eight bytes of a block as a little-endian number.
#[inline(always)]
#[expect(clippy::inline_always, reason = "with a constant offset this is one load")]
fn load(block: &[u8; BLOCK], offset: usize) -> u64 {
    block.get(offset..).and_then(<[u8]>::first_chunk::<8>).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// A hash of a window in which letters count the same in either case (so do a few other characters: the check sorts them out).
/// Its upper bits are the good ones.
#[inline(always)]
#[expect(clippy::inline_always, reason = "two instructions in the innermost loop")]
fn hash(window: u64) -> u64 {
    (window | 0x2020_2020_2020_2020).wrapping_mul(ODD)
}

/// One if the filter may hold the window with this hash: the top bits choose a word, the next twelve two bits of it.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the innermost loop")]
fn passes<const N: usize>(words: &[u64; N], hash: u64) -> u64 {
    let log = N.trailing_zeros();
    let word = words[(hash >> (64 - log)) as usize & (N - 1)];
    word >> (hash >> (58 - log) & 63) & word >> (hash >> (52 - log) & 63) & 1
}

/// A Bloom filter of a size known to the compiler.
#[derive(Clone, Debug, Default)]
enum Filter {
    #[default]
    Empty,
    /// 32 KiB: stays in the first-level cache.
    Small(Box<[u64; 1 << 12]>),
    /// 128 KiB.
    Medium(Box<[u64; 1 << 14]>),
    /// 512 KiB: with the text, fills a second-level cache of 1 MiB.
    Large(Box<[u64; 1 << 16]>),
    /// 8 MiB: for hundreds of thousands of needles; a larger one would live in main memory and be slower, not better.
    Huge(Box<[u64; 1 << 20]>),
}

impl Filter {
    fn with_room_for(windows: usize) -> Filter {
        #[expect(clippy::unnecessary_box_returns, reason = "up to 8 MiB, too large for a stack")]
        fn zeros<const N: usize>() -> Box<[u64; N]> {
            vec![0; N].into_boxed_slice().try_into().unwrap_or_else(|_| Box::new([0; N]))
        }
        // A large filter may be three times as full: it is still better than one that leaves the cache.
        match windows * BITS_PER_WINDOW / 64 {
            words if words <= 1 << 12 => Filter::Small(zeros()),
            words if words <= 1 << 14 => Filter::Medium(zeros()),
            words if words <= 3 << 16 => Filter::Large(zeros()),
            _ => Filter::Huge(zeros()),
        }
    }

    fn insert(&mut self, hash: u64) {
        let words: &mut [u64] = match self {
            Filter::Empty => return,
            Filter::Small(words) => &mut words[..],
            Filter::Medium(words) => &mut words[..],
            Filter::Large(words) => &mut words[..],
            Filter::Huge(words) => &mut words[..],
        };
        let log = words.len().trailing_zeros();
        words[(hash >> (64 - log)) as usize] |= 1 << (hash >> (58 - log) & 63) | 1 << (hash >> (52 - log) & 63);
    }
}

/// 2^64 divided by the golden ratio, the multiplier of Fibonacci hashing (Knuth, TAOCP 3, 6.4).
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
/// With two bits set per window, 32 let about one window in 250 pass by accident, so that most blocks pass no window.
const BITS_PER_WINDOW: usize = 32;
/// Windows of one block are probed together.
const BLOCK: usize = 72;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn needle(bytes: &[u8], fold: bool, edge: Edge, id: u32) -> Needle {
        Needle { bytes: bytes.to_vec(), fold, edge, id }
    }

    fn hits(table: &Table, text: &[u8]) -> Vec<(u32, usize)> {
        let mut out = Vec::new();
        table.find(text, &mut |hit| out.push((hit.id, hit.span.start)));
        out.sort_unstable();
        out
    }

    #[test]
    fn every_length_at_every_place() {
        for len in SHORTEST..=CORE {
            let value: Vec<u8> = (0..len).map(|i| b'a' + (i * 7 % 23) as u8).collect();
            let table = Table::new(vec![needle(&value, false, Edge::None, 7)]);
            for at in 0..24 {
                let mut text = vec![b'-'; at];
                text.extend_from_slice(&value);
                assert_eq!(hits(&table, &text), [(7, at)], "length {len} at {at}, at the end");
                text.extend_from_slice(b"-----------");
                assert_eq!(hits(&table, &text), [(7, at)], "length {len} at {at}");
            }
        }
    }

    #[test]
    fn edges() {
        #[track_caller]
        fn check(edge: Edge, text: &[u8], expect: usize) {
            let table = Table::new(vec![needle(b"35442706", false, edge, 0)]);
            assert_eq!(hits(&table, text).len(), expect, "{edge:?} {}", text.escape_ascii());
        }
        check(Edge::None, b"1354427061", 1);
        check(Edge::Digit, b"x35442706x", 1);
        check(Edge::Digit, b"135442706", 0);
        check(Edge::Digit, b"354427061", 0);
        check(Edge::Digit, b"35442706", 1);
        check(Edge::Word, b"x35442706", 0);
        check(Edge::Word, b"=35442706&", 1);
        check(Edge::Local, b"=35442706@x", 0);
        for (text, expect) in [
            (&b"35442706"[..], 1),
            (b"35442706,1", 1),
            (b"354427069", 0),
            (b"354427068", 0),
            (b"354427060", 1),
            (b"3544270601", 1),
            (b"3544270691", 0),
            (b"35442706123", 0),
        ] {
            check(Edge::Imei(b'9'), text, expect);
        }
        // Its length stands before it: what is beside it belongs to something else.
        for framed in [
            &b"\n\x0835442706B"[..],
            b"\0\0\x0935442706\0",
            b"\x01\x0a35442706P",
            b"X\x08\x00\x00\x0035442706q",
            b"\x1b[1m35442706\x1b[0m",
            b"\x1b[38;5;2m35442706x",
            b"\x030435442706",
        ] {
            check(Edge::Word, framed, 1);
        }
        // Behind a topic of MQTT, which ends where it says.
        let long = b"0\x31\0\x27home/kitchen/sensors/temperature/inside35442706z";
        for topic in [&b"0\x0f\0\x05hallo35442706"[..], b"0\x0f\0\x05hallo354427060\x02", b"2\x11\0\x05hallo\0A35442706", long] {
            check(Edge::Word, topic, 1);
        }
        for other in
            [&b"0\x0f\0\x06hallo35442706"[..], b"0\x10\0\x05hallo354427060\x02", b"\x05hallo35442706", b"2\x12\0\x05hallo\0A35442706"]
        {
            check(Edge::Word, other, 0);
        }
        for other in [
            &b"\n\x0735442706B"[..],
            b"[1m35442706",
            b"z35442706",
            b"0435442706",
            b"\x0a35442706B",
            b"0x35442706",
            b"x\r\n35442706B",
            b"\n\n35442706B",
        ] {
            check(Edge::Word, other, 0);
        }
        let table = Table::new(vec![needle(b"Anna Quist", true, Edge::Word, 0)]);
        for (text, expect) in [
            ("dnamejAnna Quiste", 1),
            ("renamejAnna Quiste", 0),
            ("\x07jAnna Quiste", 1),
            (":Anna Quiste", 0),
            ("\x0e:Anna Quiste", 1),
            ("{\"name\":Anna Quiste", 0),
            ("\x12\x15n:Anna Quiste", 0),
            ("í:Anna Quiste", 0),
            ("ªAnna Quiste", 0),
            ("ZAnna Quist_", 1),
            ("nameiAnna Quist", 0),
            ("jAnna Quist", 1),
            ("Hanna Quist", 0),
            ("Dear\nAnna Quistgaard", 0),
            ("J\nAnna QuistB\x05", 1),
            ("\x12\nAnna Quistz", 1),
        ] {
            assert_eq!(hits(&table, text.as_bytes()).len(), expect, "{text}");
        }
    }

    #[test]
    fn case() {
        let table = Table::new(vec![
            needle(b"Anna.Quist@example.org", true, Edge::None, 1),
            needle(b"S3cretPassphrase", false, Edge::None, 2),
            needle(b"Korb7", false, Edge::None, 3),
        ]);
        assert_eq!(hits(&table, b"ANNA.quist@EXAMPLE.org"), [(1, 0)]);
        assert_eq!(hits(&table, b"s3cretpassphrase"), []);
        assert_eq!(hits(&table, b"S3cretPassphrase"), [(2, 0)]);
        for (text, id) in [("s3cretPASSPHRASE", 2), ("anna.quist@example.ORG", 1), ("kOrB7", 3)] {
            let mut found = Vec::new();
            table.find_in_any_case(text.as_bytes(), &mut |hit| found.push((hit.id, hit.span)));
            assert_eq!(found, [(id, 0..text.len())], "for hiding");
        }
        assert_eq!(hits(&table, b"korb7"), []);
        // '@' and '`' differ only in the bit that separates cases: the check tells them apart.
        assert_eq!(hits(&table, b"anna.quist`example.org"), []);
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_search(
            needles in proptest::collection::vec("[ab]{4,20}", 1..12),
            text in "[abAB]{0,200}",
            fold in any::<bool>(),
        ) {
            let table = Table::new((0u32..).zip(&needles).map(|(id, n)| needle(n.as_bytes(), fold, Edge::None, id)).collect());
            let mut expect = Vec::new();
            for (id, n) in (0u32..).zip(&needles) {
                for at in 0..text.len().saturating_sub(n.len() - 1) {
                    let found = &text[at..at + n.len()];
                    if found == n || (fold && found.eq_ignore_ascii_case(n)) {
                        expect.push((id, at));
                    }
                }
            }
            expect.sort_unstable();
            prop_assert_eq!(hits(&table, text.as_bytes()), expect);
        }
    }
}
