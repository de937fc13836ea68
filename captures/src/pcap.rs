//! The classic pcap format: header, records, and finding the next record after damage.

use pcap_parser::PcapHeader;
use policies::Time;

use crate::link::Link;
use crate::read::{Found, Step};

/// libpcap's `MAXIMUM_SNAPLEN` and Wireshark's `WTAP_MAX_PACKET_SIZE_STANDARD`: no ordinary link has larger frames.
pub(crate) const LONGEST_FRAME: u32 = 262_144;

/// Kuznetzov's modified format, as written by old Linux distributions.
const MODIFIED: u32 = 0xa1b2_cd34;

/// How far two neighbouring frames may stand apart while the reader is looking for its place, in seconds.
const NEAR: u32 = 86_400;

/// Reads the records of one pcap file.
#[derive(Debug)]
pub(crate) struct Pcap {
    big: bool,
    nanos: bool,
    /// Bytes of a record header: 16, or 24 in Kuznetzov's modified format (magic a1b2cd34).
    head: usize,
    limit: u32,
    link: Link,
    /// Which of the two lengths comes first in old files (version 2.3 and before).
    swapped: Swapped,
    last: Option<u32>,
    /// Where the reader lost its place.
    lost: Option<(u64, &'static str)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swapped {
    No,
    IfLonger,
    Always,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    sec: u32,
    frac: u32,
    caplen: u32,
    len: u32,
}

impl Pcap {
    /// Reads the file's header.
    pub(crate) fn open(head: &[u8]) -> Option<Pcap> {
        // The parser knows the modified format in one byte order only; but for the magic its header is that of the other.
        if let Some(rest) = head.strip_prefix(&MODIFIED.to_be_bytes()) {
            let usual = [&0xa1b2_c3d4_u32.to_be_bytes(), rest].concat();
            let (_, header) = pcap_parser::pcap::parse_pcap_header(&usual).ok()?;
            return Some(Pcap { head: 24, ..Pcap::new(&header) });
        }
        let (_, header) = pcap_parser::pcap::parse_pcap_header(head).ok()?;
        Some(Pcap::new(&header))
    }

    fn new(header: &PcapHeader) -> Pcap {
        let swapped = match (header.version_major, header.version_minor) {
            (2, 0..=2) => Swapped::Always,
            // 543: written by DG/UX tcpdump, which has them swapped (libpcap sf-pcap.c knows it).
            (2, 3) | (543, 0) => Swapped::IfLonger,
            _ => Swapped::No,
        };
        Pcap {
            big: header.is_bigendian(),
            nanos: header.is_nanosecond_precision(),
            head: if header.is_modified_format() { 24 } else { 16 },
            limit: LONGEST_FRAME.max(header.snaplen.min(1 << 20)),
            // The upper half of the field holds FCS length and the class bits.
            link: Link(header.network.0 as u16),
            swapped,
            last: None,
            lost: None,
        }
    }

    /// Finds the records of `buf`, which begins at `offset` of the input.
    pub(crate) fn walk(&mut self, buf: &[u8], offset: u64, end: bool, found: &mut Found<'_>) -> Step {
        let mut at = 0;
        loop {
            if let Some((start, what)) = self.lost {
                match self.place(buf, at, end) {
                    Place::Here(p) => {
                        found.damage(start, format!("{what}; {} bytes skipped to the next record", offset + p as u64 - start));
                        self.lost = None;
                        at = p;
                    }
                    Place::NeedMore(p) => return Step { consumed: p, need: self.head * 2 + self.limit as usize },
                    Place::Nowhere => {
                        found.damage(start, format!("{what}; nothing readable after it"));
                        return Step { consumed: buf.len(), need: 0 };
                    }
                }
            }
            let Some(rec) = self.record(buf, at) else {
                if end && at < buf.len() {
                    found.truncated(offset + at as u64, "the file ends inside a record header");
                    at = buf.len();
                }
                return Step { consumed: at, need: self.head };
            };
            let stop = at + self.head + rec.caplen as usize;
            if rec.caplen > self.limit {
                self.lost = Some((offset + at as u64, "a record claims an impossible length"));
                at += 1;
                continue;
            }
            if stop > buf.len() {
                if !end {
                    return Step { consumed: at, need: self.head * 2 + rec.caplen as usize };
                }
                if let Place::Here(_) = self.place(buf, at + 1, true) {
                    self.lost = Some((offset + at as u64, "a record is longer than the file, and others follow inside it"));
                    at += 1;
                    continue;
                }
                found.truncated(offset + at as u64, "the file ends inside a packet");
                return Step { consumed: buf.len(), need: 0 };
            }
            if self.is_suspicious(&rec) {
                // Believed only if a sound record follows.
                let next = self.record(buf, stop);
                if next.is_none() && !end {
                    return Step { consumed: at, need: self.head * 2 + rec.caplen as usize };
                }
                if !(stop == buf.len() || next.is_some_and(|next| self.is_sound(&next) || next.caplen <= self.limit && rec.caplen > 0)) {
                    self.lost = Some((offset + at as u64, "a record header is not one"));
                    at += 1;
                    continue;
                }
                if rec.caplen > rec.len {
                    found.odd_length();
                }
            } else {
                self.last = Some(rec.sec);
            }
            found.frame((at + self.head) as u32, rec.caplen, rec.len.max(rec.caplen), self.link, self.time(&rec));
            at = stop;
        }
    }

    #[inline]
    fn record(&self, buf: &[u8], at: usize) -> Option<Record> {
        let head: &[u8; 16] = buf.get(at..at + self.head)?.first_chunk()?;
        let word = |i: usize| {
            let four = [head[i], head[i + 1], head[i + 2], head[i + 3]];
            if self.big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
        };
        let (mut caplen, mut len) = (word(8), word(12));
        if self.swapped == Swapped::Always || self.swapped == Swapped::IfLonger && caplen > len {
            std::mem::swap(&mut caplen, &mut len);
        }
        Some(Record { sec: word(0), frac: word(4), caplen, len })
    }

    fn time(&self, rec: &Record) -> Time {
        let nanos = if self.nanos { i64::from(rec.frac) } else { i64::from(rec.frac) * 1000 };
        Time(i64::from(rec.sec) * 1_000_000_000 + nanos)
    }

    /// Whether a header has something ordinary writers do not produce.
    #[inline]
    fn is_suspicious(&self, rec: &Record) -> bool {
        rec.caplen > rec.len || rec.len == 0 || rec.len > 1 << 20 || rec.frac >= if self.nanos { 1_000_000_000 } else { 1_000_000 }
    }

    /// Whether a header may be believed without having come to it by the one before.
    fn is_sound(&self, rec: &Record) -> bool {
        !self.is_suspicious(rec)
            && rec.caplen > 0
            && rec.caplen <= self.limit
            && self.last.is_none_or(|last| last.abs_diff(rec.sec) <= NEAR)
    }

    /// The first position from `from` where a sound record stands, followed by another or by the end.
    fn place(&self, buf: &[u8], from: usize, end: bool) -> Place {
        let mut at = from;
        while let Some(rec) = self.record(buf, at) {
            if self.is_sound(&rec) {
                let stop = at + self.head + rec.caplen as usize;
                match self.record(buf, stop) {
                    Some(next) if self.is_sound(&next) => return Place::Here(at),
                    None if !end => return Place::NeedMore(at),
                    None if stop == buf.len() => return Place::Here(at),
                    _ => {}
                }
            }
            at += 1;
        }
        if end { Place::Nowhere } else { Place::NeedMore(at.min(buf.len())) }
    }
}

enum Place {
    Here(usize),
    /// Undecided from here on.
    NeedMore(usize),
    Nowhere,
}
