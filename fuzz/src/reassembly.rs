//! Segments of one stream in any order, cut, repeated and altered, against a model that knows the stream.

use analyzers::chunk::{Chunk, Gap, Unit, Want};
use analyzers::flow::{Counts, Dir, Ends, FlowEnd, FlowKey};
use analyzers::keys::Secret;
use analyzers::observation::{Neighbour, OddKind};
use captures::{Drive, Options, Outs};
use policies::Time;

/// The stream's byte at a place.
fn byte(at: u32) -> u8 {
    (at.wrapping_mul(31) ^ at >> 5) as u8
}

/// What the pipeline would hear.
enum Heard {
    Bytes(Dir, u64, Vec<u8>),
    Gap(Dir, u64, u64),
    Close(Counts),
}

#[derive(Default)]
struct Recorder;

impl Drive for Recorder {
    type Out = Heard;

    fn open(&mut self, _: FlowKey, _: &Ends, _: Time, _: u64, _: &mut Outs<Heard>) {}

    fn chunk(&mut self, chunk: Chunk<'_>, out: &mut Outs<Heard>) -> Want {
        if let Unit::Stream { offset } = chunk.unit {
            out.push(Heard::Bytes(chunk.dir, offset, chunk.bytes.to_vec()));
        }
        Want::All
    }

    fn passed(&mut self, _: FlowKey, _: Dir, _: u64, _: Time) {}

    fn gap(&mut self, gap: Gap, out: &mut Outs<Heard>) -> Want {
        out.push(Heard::Gap(gap.dir, gap.offset, gap.len));
        Want::All
    }

    fn close(&mut self, _: FlowKey, _: FlowEnd, counts: &Counts, _: Time, _: u64, out: &mut Outs<Heard>) {
        out.push(Heard::Close(*counts));
    }

    fn link(&mut self, _: Neighbour, _: Time, _: u64, _: &mut Outs<Heard>) {}

    fn odd(&mut self, _: Option<FlowKey>, _: OddKind, _: &str, _: Time, _: u64, _: &mut Outs<Heard>) {}

    fn key(&mut self, _: &Secret) {}

    fn tick(&mut self, _: Time, _: u64, _: &mut Outs<Heard>) {}

    fn finish(&mut self, _: Time, _: u64, _: &mut Outs<Heard>) {}
}

/// Four bytes of initial sequence number, then five per segment: direction, whether one byte is altered, whether the capture cut it; where it
/// begins (16 bits); its length; how far the sender acknowledges (in 256 bytes).
pub fn target(data: &[u8]) {
    let Some((isn, rest)) = data.split_first_chunk::<4>() else { return };
    let isn = u32::from_be_bytes(*isn);
    let mut capture = pcap();
    let mut time = 1;
    push(&mut capture, time, Dir::Out, isn, 0, 2, &[], 0);
    push(&mut capture, time, Dir::Back, isn ^ 0x5555, isn.wrapping_add(1), 18, &[], 0);
    // Which of its two values each place was sent with.
    let mut sent = [vec![0_u8; 1 << 17], vec![0_u8; 1 << 17]];
    for [how, high, low, len, ack] in rest.as_chunks::<5>().0 {
        time += 1;
        let dir = if how & 1 == 0 { Dir::Out } else { Dir::Back };
        let (at, len) = (u32::from(u16::from_be_bytes([*high, *low])), usize::from(*len));
        // A keep-alive repeats one byte, whatever it holds: such are not sent here.
        if len == 1 {
            continue;
        }
        let mut bytes: Vec<u8> = (at..).map(byte).take(len).collect();
        let altered = (how & 2 != 0 && len > 0).then(|| usize::from(how >> 3) % len);
        if let Some(i) = altered {
            bytes[i] ^= 0xff;
        }
        let cut = if how & 4 != 0 { len / 2 } else { 0 };
        for (i, place) in (at..).take(len - cut).enumerate() {
            sent[dir.index()][place as usize] |= if altered == Some(i) { 2 } else { 1 };
        }
        let mine = if dir == Dir::Out { isn } else { isn ^ 0x5555 };
        let theirs = if dir == Dir::Out { isn ^ 0x5555 } else { isn };
        let seq = mine.wrapping_add(1).wrapping_add(at);
        let ack = theirs.wrapping_add(1).wrapping_add(u32::from(*ack) * 256);
        push(&mut capture, time, dir, seq, ack, 16, &bytes, cut);
    }
    let mut heard = Vec::new();
    let report = captures::analyse(&capture[..], &Options::default(), |_| Recorder, &mut |h| heard.push(h), &mut |_| {});
    assert!(report.is_ok());
    let mut next = [0_u64; 2];
    let mut delivered = [vec![0_u8; 1 << 17], vec![0_u8; 1 << 17]];
    for h in heard {
        match h {
            Heard::Bytes(dir, offset, bytes) => {
                assert_eq!(offset, next[dir.index()], "in order and without holes");
                next[dir.index()] += bytes.len() as u64;
                for (place, b) in (offset as u32..).zip(bytes) {
                    let version = if b == byte(place) { 1 } else { 2 };
                    assert!(sent[dir.index()][place as usize] & version != 0, "what is delivered was sent");
                    delivered[dir.index()][place as usize] = version;
                }
            }
            Heard::Gap(dir, offset, len) => {
                assert_eq!(offset, next[dir.index()], "a gap stands where bytes would");
                next[dir.index()] += len;
            }
            Heard::Close(counts) => {
                let differs = (0..2).any(|d| delivered[d].iter().zip(&sent[d]).any(|(got, sent)| *got != 0 && *sent & !got != 0));
                assert!(!differs || counts.conflicting > 0 || counts.unchecked > 0, "bytes that came twice and differ are told");
                let twice = (0..2).any(|d| sent[d].contains(&3));
                assert!(twice || counts.conflicting == 0, "and only those");
            }
        }
    }
}

fn pcap() -> Vec<u8> {
    let mut bytes = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
    bytes.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 101, 0, 0, 0]);
    bytes
}

/// A frame of raw IPv4, of which the last `cut` bytes were not captured.
#[expect(clippy::too_many_arguments, reason = "the fields of a segment")]
fn push(out: &mut Vec<u8>, time: u32, dir: Dir, seq: u32, ack: u32, flags: u8, payload: &[u8], cut: usize) {
    let len = 40 + payload.len();
    for word in [time, 0, (len - cut) as u32, len as u32] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    let ends: [u8; 2] = if dir == Dir::Out { [1, 2] } else { [2, 1] };
    out.extend_from_slice(&[0x45, 0, (len >> 8) as u8, len as u8, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, ends[0], 192, 0, 2, ends[1]]);
    let ports: [u16; 2] = if dir == Dir::Out { [40_000, 80] } else { [80, 40_000] };
    for port in ports {
        out.extend_from_slice(&port.to_be_bytes());
    }
    out.extend_from_slice(&seq.to_be_bytes());
    out.extend_from_slice(&ack.to_be_bytes());
    out.extend_from_slice(&[0x50, flags, 255, 255, 0, 0, 0, 0]);
    out.extend_from_slice(&payload[..payload.len() - cut]);
}
