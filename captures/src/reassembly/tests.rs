use proptest::prelude::*;

use super::*;

/// Delivers into memory; has only one block at hand.
#[derive(Default)]
struct Model {
    /// Per place of the stream what was delivered there.
    delivered: Vec<Option<u8>>,
    block: Vec<u8>,
    conflicts: u32,
    unchecked: u64,
}

impl Take for Model {
    fn bytes(&mut self, offset: u64, bytes: &[u8], _: Origin) -> Want {
        assert_eq!(offset, self.delivered.len() as u64);
        self.delivered.extend(bytes.iter().copied().map(Some));
        Want::All
    }

    fn gap(&mut self, offset: u64, len: u64, _: Lost) -> Want {
        assert_eq!(offset, self.delivered.len() as u64);
        self.delivered.resize((offset + len) as usize, None);
        Want::All
    }

    fn conflict(&mut self, _: u64) {
        self.conflicts += 1;
    }

    fn unchecked(&mut self, len: u64) {
        self.unchecked += len;
    }

    fn at_hand(&self, place: Place, len: u32) -> Option<&[u8]> {
        self.block.get(place.at as usize..(place.at + len) as usize)
    }
}

/// A segment: where it begins, how long it is, which of its bytes is altered, and whether another block has begun before it.
type Row = (u16, u8, Option<u8>, bool);

fn byte(at: u64) -> u8 {
    (at * 7 % 251) as u8
}

/// What was sent for each place, as a set of two, and what came of it.
fn run(rows: &[Row]) -> (Vec<u8>, Model) {
    let (mut half, mut take, mut budget) = (Half::default(), Model::default(), 1 << 20);
    let mut sent = vec![0_u8; 1 << 10];
    let mut block = 1;
    half.syn(1000);
    for (frame, (at, len, altered, next)) in (1..).zip(rows) {
        if *next {
            block += 1;
            take.block.clear();
        }
        let altered = altered.map(|i| usize::from(i) % usize::from(*len).max(1));
        let bytes: Vec<u8> = (u64::from(*at)..).take(usize::from(*len)).map(byte).collect();
        let bytes: Vec<u8> = bytes.iter().enumerate().map(|(i, b)| if altered == Some(i) { !b } else { *b }).collect();
        for i in 0..bytes.len() {
            sent[usize::from(*at) + i] |= if altered == Some(i) { 2 } else { 1 };
        }
        let place = Place { block, whole: false, at: take.block.len() as u32 };
        take.block.extend_from_slice(&bytes);
        let origin = Origin { time: Time(frame), frame: frame as u64 };
        let segment = Segment { seq: 1001 + u32::from(*at), bytes: &bytes, cut: 0, fin: false, origin, place };
        half.segment(segment, &mut budget, &mut take);
    }
    half.finish(&mut budget, &mut take);
    (sent, take)
}

/// The rows of a conflict, told or counted as not comparable.
#[track_caller]
fn check(rows: &[Row], conflicts: u32, unchecked: u64) {
    let (_, take) = run(rows);
    assert_eq!((take.conflicts, take.unchecked), (conflicts, unchecked), "{rows:?}");
}

#[test]
fn wherever_they_stand() {
    let plain = (0..100).map(|i| (i * 4, 4, None, false)).collect::<Vec<Row>>();
    // In the same block, long after.
    check(&[&plain[..], &[(360, 4, Some(1), false)]].concat(), 1, 0);
    // In another block: whole segments by their digest, also several at once.
    check(&[&plain[..], &[(360, 4, Some(1), true)]].concat(), 1, 0);
    check(&[&plain[..], &[(360, 4, None, true)]].concat(), 0, 0);
    check(&[&plain[..], &[(352, 12, Some(9), true)]].concat(), 1, 0);
    // Parts of segments, and what is forgotten, cannot be compared.
    check(&[&plain[..], &[(361, 2, Some(1), true)]].concat(), 0, 2);
    check(&[&plain[..], &[(0, 4, Some(1), false)]].concat(), 0, 4);
    // What was held and is delivered is compared like any other.
    check(&[(4, 4, None, false), (0, 4, None, false), (4, 4, Some(2), true)], 1, 0);
    check(&[(4, 4, None, false), (0, 4, None, false), (4, 4, None, true)], 0, 0);
    // What was given up was never delivered.
    check(&[(0, 4, None, false)], 0, 0);
}

proptest! {
    /// Bytes that were sent in two versions are told, or counted as not comparable; and nothing else is called a conflict.
    #[test]
    fn nothing_differs_in_silence(rows in prop::collection::vec((0_u16..600, 2_u8..40, prop::option::weighted(0.2, any::<u8>()), prop::bool::weighted(0.2)), 0..120)) {
        let (sent, take) = run(&rows);
        let mut differs = false;
        for (place, got) in take.delivered.iter().enumerate() {
            if let Some(got) = got {
                let version = if *got == byte(place as u64) { 1 } else { 2 };
                prop_assert!(sent[place] & version != 0);
                differs |= sent[place] & !version != 0;
            }
        }
        prop_assert!(!differs || take.conflicts > 0 || take.unchecked > 0, "{rows:?}");
        prop_assert!(take.conflicts == 0 || sent.contains(&3));
    }
}
