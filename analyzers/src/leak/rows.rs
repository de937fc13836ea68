//! Rows of hex pairs with one and the same character between them: `a4:5e:60`, `61 6e 6e`, `de-ad-be`.

use std::ops::Range;

/// A row of six pairs, the shortest of interest, is so long.
const SHORTEST: usize = 17;
/// Six bytes in a row hold two of its separators; a row of six pairs holds such six bytes at one of so many places.
const STRIDE: usize = SHORTEST - 5;

/// Calls `take` for each row of at least six pairs, with what stands between them, until that says stop.
pub(super) fn find(text: &[u8], take: &mut dyn FnMut(u8, Range<usize>) -> bool) {
    let pair = |at: Option<usize>| at.and_then(|at| text.get(at..at + 2)).is_some_and(|p| p.iter().all(u8::is_ascii_hexdigit));
    let separator = |at: Option<usize>, by: u8| at.and_then(|at| text.get(at)) == Some(&by);
    // The last row: where it ends, and its separator.
    let (mut done, mut last) = (0, 0);
    for probe in (0..text.len()).step_by(STRIDE) {
        let Some(sample) = text.get(probe..probe + 6) else { return };
        if !repeats(text, probe) {
            continue;
        }
        for k in 0..3 {
            let (mut first, by) = (probe + k, sample[k]);
            if sample[k + 3] != by || !matches!(by, b':' | b'-' | b' ') || (first < done && by == last) {
                continue;
            }
            if !pair(first.checked_sub(2)) || !pair(Some(first + 1)) {
                continue;
            }
            while separator(first.checked_sub(3), by) && pair(first.checked_sub(5)) {
                first -= 3;
            }
            let mut end = first;
            while separator(Some(end), by) && pair(Some(end + 1)) {
                end += 3;
            }
            (done, last) = (end, by);
            if end - (first - 2) >= SHORTEST && !take(by, first - 2..end) {
                return;
            }
        }
    }
}

/// Whether one of the three bytes at `probe` may be the same as the third behind it, looked at together.
fn repeats(text: &[u8], probe: usize) -> bool {
    const ONES: u64 = 0x01_01_01;
    let Some(eight) = text.get(probe..).and_then(<[u8]>::first_chunk::<8>) else { return true };
    let bytes = u64::from_le_bytes(*eight);
    let differ = bytes ^ bytes >> 24;
    // A byte of nothing borrows from above.
    differ.wrapping_sub(ONES) & !differ & ONES << 7 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, one separator after the other.
    fn slowly(text: &[u8]) -> Vec<(u8, Range<usize>)> {
        let pair = |at: usize| text.get(at..at + 2).is_some_and(|p| p.iter().all(u8::is_ascii_hexdigit));
        let mut out = Vec::new();
        for by in [b':', b'-', b' '] {
            let mut at = 0;
            while at < text.len() {
                let mut end = at + 2;
                while pair(at) && text.get(end) == Some(&by) && pair(end + 1) {
                    end += 3;
                }
                if end - at >= SHORTEST {
                    out.push((by, at..end));
                    at = end - 2;
                }
                at += 1;
            }
        }
        out.sort_by_key(|(by, row)| (row.start, *by));
        out
    }

    proptest! {
        #[test]
        fn sampling_misses_none(text in "[a-g0-9:\\- ]{0,20}(([0-9a-f]{2}:){4,30}|([0-9a-f]{2}-){4,9}|([0-9a-f]{2} ){4,9}|[0-9a-f:\\- ]{0,4}){0,6}[a-g0-9:\\- ]{0,20}") {
            let mut found = Vec::new();
            find(text.as_bytes(), &mut |by, row| { found.push((by, row)); true });
            found.sort_by_key(|(by, row)| (row.start, *by));
            prop_assert_eq!(found, slowly(text.as_bytes()));
        }
    }
}
