//! Reads a capture from any `Read`, block by block: pcap and pcapng, plain or wrapped, whole, cut or damaged.

use std::collections::BTreeMap;
use std::io::{self, Read};

use policies::Time;

use crate::block::{BLOCK, Block, FrameRef, Note};
use crate::clock::Clock;
use crate::keylog::KeyLog;
use crate::link::Link;
use crate::pcap::Pcap;
use crate::pcapng::{self, Pcapng};
use crate::wrapped::{Source, Tap, Wrapping, read_full};

/// Why an input is not read at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the input is empty")]
    Empty,
    #[error("not a capture: neither a pcap nor a pcapng header at its start ({0})")]
    NotACapture(&'static str),
    /// Only secrets before the first packet were known ([`crate::run::Known::Leading`]), and there are others.
    #[error("the capture has secrets that come after packets")]
    LateSecrets,
    #[error("{0}")]
    Io(#[from] io::Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Pcap,
    Pcapng,
}

/// Where the input is not as its format says, and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Byte offset in the (decompressed) input.
    pub offset: u64,
    pub what: String,
}

/// Damage that is written out; further places are counted.
const MOST_DAMAGE: usize = 100;
/// Clock steps that are noted; further ones are counted.
const MOST_STEPS: u64 = 1000;
/// Comments that are passed on; further ones are counted.
const MOST_COMMENTS: u64 = 10_000;
/// Kinds of block that are counted by name.
const MOST_KINDS: usize = 64;

/// What was read so far; whole when the input ends.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub format: Option<Format>,
    pub wrapping: Option<Wrapping>,
    /// Bytes after decompression.
    pub bytes: u64,
    pub packets: u64,
    /// Bytes of the packets as they were on the wire.
    pub wire_bytes: u64,
    /// Frames of which the capture holds only the beginning.
    pub cut: u64,
    pub first: Option<Time>,
    pub last: Option<Time>,
    /// Frames per link type.
    pub links: BTreeMap<Link, u64>,
    /// The link type of the latest frames, and how many of them are not yet in `links`.
    link_run: Option<(Link, u64)>,
    /// The input ends inside a packet or block.
    pub truncated: bool,
    pub damage: Vec<Damage>,
    /// Places of damage past those listed.
    pub more_damage: u64,
    /// Frames that claim more captured than sent bytes.
    pub odd_lengths: u64,
    /// What the capturing side said it dropped, when the file says.
    pub dropped: Option<u64>,
    pub secrets: u64,
    /// Lines of secrets blocks that are none, secrets past the cap, secrets of other kinds than TLS.
    pub unread_secrets: u64,
    pub comments: u64,
    pub clock_steps: u64,
    /// pcapng sections.
    pub sections: u64,
    /// pcapng blocks that are not read, by name.
    pub other_blocks: BTreeMap<String, u64>,
}

/// Reads one capture.
pub struct Reader<R: Read> {
    source: Source<R>,
    tap: Tap,
    walker: Walker,
    /// Read, but not yet part of a block.
    carry: Vec<u8>,
    /// Offset of `carry` in the input.
    offset: u64,
    /// The walker needs this much to go on.
    need: usize,
    done: bool,
    clock: Clock,
    summary: Summary,
}

enum Walker {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

impl<R: Read> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("offset", &self.offset).field("summary", &self.summary).finish_non_exhaustive()
    }
}

impl<R: Read> Reader<R> {
    /// Takes off the wrapping and reads the header.
    pub fn open(input: R) -> Result<Reader<R>, OpenError> {
        let (mut source, wrapping, tap) = Source::open(input)?;
        let mut carry = vec![0; PCAP_HEADER];
        let (n, error) = read_full(&mut source, &mut carry);
        if let Some(e) = tap.take_error() {
            return Err(e.into());
        }
        carry.truncate(n);
        let mut summary = Summary { wrapping, ..Summary::default() };
        let (walker, head) = if let Some(pcap) = Pcap::open(&carry) {
            summary.format = Some(Format::Pcap);
            (Walker::Pcap(pcap), PCAP_HEADER)
        } else if is_section(&carry) {
            summary.format = Some(Format::Pcapng);
            (Walker::Pcapng(Pcapng::default()), 0)
        } else if let Some(e) = error.filter(|_| carry.is_empty()) {
            return Err(io::Error::new(e.kind(), format!("the wrapped capture cannot be unpacked: {e}")).into());
        } else if carry.is_empty() {
            return Err(OpenError::Empty);
        } else {
            return Err(OpenError::NotACapture(guess(&carry)));
        };
        carry.drain(..head);
        summary.bytes = n as u64;
        Ok(Reader { source, tap, walker, carry, offset: head as u64, need: 0, done: false, clock: Clock::default(), summary })
    }

    /// Fills `block` with the next frames. False when the input is at its end and `block` holds nothing more.
    ///
    /// Errors are of the disk or pipe; damage in the capture is in the [`Summary`].
    pub fn fill(&mut self, block: &mut Block) -> io::Result<bool> {
        block.clear();
        while !self.done {
            self.more(block)?;
            if !block.frames.is_empty() || !block.notes.is_empty() {
                return Ok(true);
            }
        }
        block.last = (self.summary.last.unwrap_or_default(), self.summary.packets);
        Ok(false)
    }

    /// What was read so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Bytes taken from the input, before any decompression: for a progress display.
    pub fn bytes_read(&self) -> u64 {
        self.tap.bytes()
    }

    fn more(&mut self, block: &mut Block) -> io::Result<()> {
        let want = BLOCK.max(self.need).max(self.carry.len() + 1);
        if block.bytes.len() < want {
            block.bytes.resize(want, 0);
        }
        let (old, new) = block.bytes.split_at_mut(self.carry.len());
        old.copy_from_slice(&self.carry);
        let wanted = (want - old.len()).min(new.len());
        let (n, error) = read_full(&mut self.source, new.get_mut(..wanted).unwrap_or_default());
        if let Some(e) = self.tap.take_error() {
            return Err(e);
        }
        let end = n < wanted;
        self.summary.bytes += n as u64;
        block.used = self.carry.len() + n;
        block.offset = self.offset;
        block.first = self.summary.packets + 1;
        let buf = block.bytes.get(..block.used).unwrap_or_default();
        let mut found = Found { frames: &mut block.frames, notes: &mut block.notes, summary: &mut self.summary, clock: &mut self.clock };
        let step = match &mut self.walker {
            Walker::Pcap(w) => w.walk(buf, self.offset, end, &mut found),
            Walker::Pcapng(w) => w.walk(buf, self.offset, end, &mut found),
        };
        self.carry.clear();
        self.carry.extend_from_slice(buf.get(step.consumed..).unwrap_or_default());
        self.offset += step.consumed as u64;
        self.need = step.need;
        self.done = end;
        found.settle();
        if let Some(e) = error {
            found.truncated(self.offset, &format!("the wrapped capture cannot be unpacked further: {e}"));
            self.done = true;
        }
        Ok(())
    }
}

const PCAP_HEADER: usize = 24;

fn is_section(head: &[u8]) -> bool {
    let order = head.get(8..12);
    head.starts_with(&pcapng::SECTION.to_be_bytes())
        && (order == Some(&pcapng::BYTE_ORDER.to_be_bytes()) || order == Some(&pcapng::BYTE_ORDER.to_le_bytes()))
}

/// What a file may be that is no capture we read.
fn guess(head: &[u8]) -> &'static str {
    const KNOWN: &[(&[u8], &str)] = &[
        (b"snoop\0\0\0", "it is a snoop file; editcap -F pcapng converts it"),
        (b"btsnoop\0", "it is a Bluetooth snoop file; editcap -F pcapng converts it"),
        (b"RTSS", "it is a Network Monitor file; editcap -F pcapng converts it"),
        (b"GMBU", "it is a Network Monitor file; editcap -F pcapng converts it"),
        (b"TRSNIFF data", "it is a Sniffer file; editcap -F pcapng converts it"),
        (b"XCP\0", "it is a NetXRay file; editcap -F pcapng converts it"),
        (b"iptrace", "it is an iptrace file; editcap -F pcapng converts it"),
        (b"PK\x03\x04", "it is a ZIP archive; unpack it first"),
        (b"7z\xbc\xaf", "it is a 7-Zip archive; unpack it first"),
        (b"BZh", "it is bzip2; unpack it first"),
        (b"\xfd7zXZ", "it is xz; unpack it first"),
        (b"\x04\x22\x4d\x18", "it is LZ4; unpack it first"),
        (b"\x1f\x8b", "it is gzip within a wrapping; unpack it once"),
        (b"{", "it looks like JSON"),
    ];
    let known = KNOWN.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, what)| *what);
    known.unwrap_or(if head.len() < PCAP_HEADER { "it is shorter than a header" } else { "its first bytes are unknown" })
}

/// How far a walker came.
pub(crate) struct Step {
    pub(crate) consumed: usize,
    /// Bytes that must be there next time; no promise that they suffice.
    pub(crate) need: usize,
}

/// Takes what a walker finds.
pub(crate) struct Found<'a> {
    frames: &'a mut Vec<FrameRef>,
    notes: &'a mut Vec<(u64, Note)>,
    summary: &'a mut Summary,
    clock: &'a mut Clock,
}

impl Found<'_> {
    #[inline]
    pub(crate) fn frame(&mut self, at: u32, caplen: u32, len: u32, link: Link, time: Time) {
        let s = &mut *self.summary;
        s.packets += 1;
        s.wire_bytes += u64::from(len);
        s.cut += u64::from(caplen < len);
        s.first.get_or_insert(time);
        s.last = Some(time);
        let number = s.packets;
        match &mut s.link_run {
            Some((run, n)) if *run == link => *n += 1,
            run => {
                if let Some((old, n)) = run.replace((link, 1)) {
                    *s.links.entry(old).or_insert(0) += n;
                }
            }
        }
        let notes = &mut *self.notes;
        let steps = &mut s.clock_steps;
        let clock = self.clock.see(number, time, &mut |n, ahead| {
            *steps += 1;
            if *steps <= MOST_STEPS {
                notes.push((n, Note::ClockStep(ahead)));
            }
        });
        if let Some(believed) = self.clock.believed.take()
            && let Some(before) = self.frames.last_mut()
        {
            before.clock = believed;
        }
        self.frames.push(FrameRef { at, caplen, len, link, time, clock });
    }

    /// Makes the tallies whole: called at the end of each block.
    fn settle(&mut self) {
        if let Some((link, n)) = self.summary.link_run.take() {
            *self.summary.links.entry(link).or_insert(0) += n;
        }
    }

    pub(crate) fn last_time(&self) -> Time {
        self.summary.last.unwrap_or_default()
    }

    pub(crate) fn damage(&mut self, offset: u64, what: String) {
        if self.summary.damage.len() < MOST_DAMAGE {
            self.summary.damage.push(Damage { offset, what });
        } else {
            self.summary.more_damage += 1;
        }
    }

    pub(crate) fn truncated(&mut self, offset: u64, what: &str) {
        self.summary.truncated = true;
        self.damage(offset, what.to_owned());
    }

    pub(crate) fn odd_length(&mut self) {
        self.summary.odd_lengths += 1;
    }

    pub(crate) fn section(&mut self) {
        self.summary.sections += 1;
    }

    pub(crate) fn dropped(&mut self, more: u64) {
        let dropped = self.summary.dropped.get_or_insert(0);
        *dropped = dropped.saturating_add(more);
    }

    pub(crate) fn comment(&mut self, value: &[u8]) {
        self.summary.comments += 1;
        if self.summary.comments <= MOST_COMMENTS {
            self.notes.push((self.summary.packets, pcapng::comment_note(value)));
        }
    }

    pub(crate) fn secrets(&mut self, log: KeyLog) {
        self.summary.secrets += log.secrets.len() as u64;
        self.summary.unread_secrets += log.broken + log.over;
        if !log.secrets.is_empty() {
            self.notes.push((self.summary.packets, Note::Secrets(log.secrets)));
        }
    }

    pub(crate) fn other_secrets(&mut self) {
        self.summary.unread_secrets += 1;
    }

    pub(crate) fn other_block(&mut self, kind: u32) {
        let name = pcapng::block_name(kind).map_or_else(|| format!("block type {kind:#x}"), str::to_owned);
        let room = self.summary.other_blocks.len() < MOST_KINDS;
        match self.summary.other_blocks.get_mut(&name) {
            Some(n) => *n += 1,
            None if room => {
                self.summary.other_blocks.insert(name, 1);
            }
            None => *self.summary.other_blocks.entry("other blocks".to_owned()).or_insert(0) += 1,
        }
    }
}
