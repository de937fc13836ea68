//! A block: a stretch of a capture file in memory, with the frames found in it.

use analyzers::keys::Secret;
use policies::Time;

use crate::link::Link;
use crate::reassembly::Origin;

/// How many bytes a block holds; a single larger record makes its block grow. 256 KiB are still in the second-level cache when the next block is
/// read into the same memory (measured: nearly all TLS 6 to 14 % faster than with 1 MiB, the rest equal or better).
pub const BLOCK: usize = 1 << 18;

/// One captured frame, borrowed from its block.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'b> {
    /// 1-based, as Wireshark numbers them.
    pub number: u64,
    pub time: Time,
    pub link: Link,
    /// Length on the wire; at least `bytes.len()`.
    pub len: u32,
    pub bytes: &'b [u8],
}

/// Where a frame lies in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameRef {
    pub(crate) at: u32,
    pub(crate) caplen: u32,
    pub(crate) len: u32,
    pub(crate) link: Link,
    pub(crate) time: Time,
    /// The run's clock when this frame came: the running maximum of the times before and of this one.
    pub(crate) clock: Time,
}

/// Something a block says besides its frames, in file order.
#[derive(Clone, Debug)]
pub enum Note {
    /// A Decryption Secrets Block: secrets for what follows.
    Secrets(Vec<Secret>),
    /// The frame stood an hour or more ahead of its neighbours or behind the clock, which did not follow it. Seconds ahead.
    ClockStep(i64),
    /// A packet comment.
    Comment(String),
}

/// Recycled buffer plus what was found in it.
#[derive(Debug, Default)]
pub struct Block {
    /// Only `..used` is of the file.
    pub(crate) bytes: Vec<u8>,
    pub(crate) used: usize,
    /// Offset of the first byte in the (decompressed) input.
    pub(crate) offset: u64,
    /// Number of the first frame.
    pub(crate) first: u64,
    pub(crate) frames: Vec<FrameRef>,
    /// The last frame of the input so far: its time and number.
    pub(crate) last: (Time, u64),
    /// Notes with the number of the frame they follow (for a comment: belong to).
    pub(crate) notes: Vec<(u64, Note)>,
}

impl Block {
    pub fn new() -> Block {
        Block::default()
    }

    /// The frames, in file order.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        self.frames.iter().zip(self.first..).map(|(f, number)| Frame {
            number,
            time: f.time,
            link: f.link,
            len: f.len,
            bytes: self.slice(f.at, f.caplen),
        })
    }

    /// What was said besides, each with the number of the frame before it (for a comment: its own frame).
    pub fn notes(&self) -> &[(u64, Note)] {
        &self.notes
    }

    /// How many frames are in this block.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn slice(&self, at: u32, len: u32) -> &[u8] {
        self.bytes.get(at as usize..at as usize + len as usize).unwrap_or_default()
    }

    pub(crate) fn last_origin(&self) -> Origin {
        Origin { time: self.last.0, frame: self.last.1 }
    }

    /// How many secrets the notes hold.
    pub(crate) fn secrets(&self) -> u64 {
        self.notes.iter().map(|(_, n)| if let Note::Secrets(s) = n { s.len() as u64 } else { 0 }).sum()
    }

    /// How many secrets stand before the first packet of the capture, and behind it.
    pub(crate) fn secrets_by_place(&self) -> (u64, u64) {
        let mut places = (0, 0);
        for (frame, note) in &self.notes {
            if let Note::Secrets(secrets) = note {
                *(if *frame == 0 { &mut places.0 } else { &mut places.1 }) += secrets.len() as u64;
            }
        }
        places
    }

    pub(crate) fn drop_secrets(&mut self) {
        self.notes.retain(|(_, n)| !matches!(n, Note::Secrets(_)));
    }

    pub(crate) fn clear(&mut self) {
        self.used = 0;
        self.frames.clear();
        self.notes.clear();
    }
}
