//! The pcapng format (draft-ietf-opsawg-pcapng): sections, interfaces, packets, secrets, statistics; the rest is counted.

use pcap_parser::pcapng::{
    parse_decryptionsecretsblock_be, parse_decryptionsecretsblock_le, parse_interfacedescriptionblock_be,
    parse_interfacedescriptionblock_le, parse_interfacestatisticsblock_be, parse_interfacestatisticsblock_le,
};
use pcap_parser::{InterfaceStatisticsBlock, SecretsType};
use policies::Time;

use crate::block::Note;
use crate::keylog;
use crate::link::Link;
use crate::pcap::LONGEST_FRAME;
use crate::read::{Found, Step};

pub(crate) const SECTION: u32 = 0x0a0d_0d0a;
pub(crate) const BYTE_ORDER: u32 = 0x1a2b_3c4d;
pub(crate) const INTERFACE: u32 = 1;
pub(crate) const PACKET: u32 = 2;
pub(crate) const SIMPLE: u32 = 3;
const NAMES: u32 = 4;
pub(crate) const STATISTICS: u32 = 5;
pub(crate) const ENHANCED: u32 = 6;
pub(crate) const SECRETS: u32 = 10;

/// The largest block that is taken into memory; larger ones are damage. Ordinary ones end at a few hundred kB (name tables, secrets).
pub(crate) const LONGEST_BLOCK: u32 = 16 << 20;
/// Interfaces of one section that are remembered.
const MOST_INTERFACES: usize = 4096;

/// Reads the blocks of one pcapng file.
#[derive(Debug, Default)]
pub(crate) struct Pcapng {
    big: bool,
    interfaces: Vec<Interface>,
    /// The section is of a version nobody has defined: its blocks mean nothing we know.
    foreign: bool,
    lost: Option<(u64, &'static str)>,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: Link,
    snaplen: u32,
    /// Units per second.
    units: u64,
    offset: i64,
    dropped: u64,
}

impl Pcapng {
    pub(crate) fn walk(&mut self, buf: &[u8], offset: u64, end: bool, found: &mut Found<'_>) -> Step {
        let mut at = 0;
        loop {
            if let Some((start, what)) = self.lost {
                let next = (at..buf.len().saturating_sub(11)).find(|p| self.is_block(buf, *p));
                match next {
                    Some(p) => {
                        found.damage(start, format!("{what}; {} bytes skipped to the next block", offset + p as u64 - start));
                        self.lost = None;
                        at = p;
                    }
                    None if end => {
                        found.damage(start, format!("{what}; nothing readable after it"));
                        return Step { consumed: buf.len(), need: 0 };
                    }
                    // A block that begins here and ends beyond the buffer must stay in it; those after a longer one are lost too.
                    None => {
                        let keep = LONGEST_FRAME as usize + 64;
                        let at = at.max(buf.len().saturating_sub(keep));
                        return Step { consumed: at, need: keep * 2 };
                    }
                }
            }
            let rest = buf.get(at..).unwrap_or_default();
            let Some((kind, len)) = self.head(rest) else {
                if end && !rest.is_empty() {
                    found.truncated(offset + at as u64, "the file ends inside a block header");
                    at = buf.len();
                }
                return Step { consumed: at, need: 12 };
            };
            let what = if len < 12 || len % 4 != 0 {
                Some("a block has an impossible length")
            } else if len > LONGEST_BLOCK {
                Some("a block is too long to be read")
            } else {
                None
            };
            if let Some(what) = what {
                self.lost = Some((offset + at as u64, what));
                at += 1;
                continue;
            }
            let Some(block) = rest.get(..len as usize) else {
                if !end {
                    return Step { consumed: at, need: len as usize };
                }
                if (at + 1..buf.len().saturating_sub(11)).any(|p| self.is_block(buf, p)) {
                    self.lost = Some((offset + at as u64, "a block is longer than the file, and others follow inside it"));
                    at += 1;
                    continue;
                }
                found.truncated(offset + at as u64, "the file ends inside a block");
                return Step { consumed: buf.len(), need: 0 };
            };
            if self.word(block, len as usize - 4) != Some(len) {
                self.lost = Some((offset + at as u64, "the two lengths of a block differ"));
                at += 1;
                continue;
            }
            self.block(kind, block, at, offset + at as u64, found);
            at += len as usize;
        }
    }

    /// Kind and length of the block that starts here. A section header also sets the byte order.
    #[inline]
    fn head(&mut self, rest: &[u8]) -> Option<(u32, u32)> {
        let kind = self.word(rest, 0)?;
        if kind == SECTION {
            let magic = rest.get(8..12)?;
            if magic == BYTE_ORDER.to_le_bytes() {
                self.big = false;
            } else if magic == BYTE_ORDER.to_be_bytes() {
                self.big = true;
            }
        }
        Some((kind, self.word(rest, 4)?))
    }

    #[inline]
    fn word(&self, of: &[u8], at: usize) -> Option<u32> {
        let four = *of.get(at..at + 4)?.first_chunk()?;
        Some(if self.big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    }

    #[inline]
    fn half(&self, of: &[u8], at: usize) -> Option<u16> {
        let two = *of.get(at..at + 2)?.first_chunk()?;
        Some(if self.big { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
    }

    /// Whether a whole block of a known kind stands at `at`: both its lengths agree.
    fn is_block(&self, buf: &[u8], at: usize) -> bool {
        let rest = buf.get(at..).unwrap_or_default();
        let big = rest.get(8..12) == Some(&BYTE_ORDER.to_be_bytes());
        let there = |big: bool| {
            let order = Pcapng { big, ..Pcapng::default() };
            let (Some(kind), Some(len)) = (order.word(rest, 0), order.word(rest, 4)) else { return false };
            (kind == SECTION || matches!(kind, INTERFACE | PACKET | SIMPLE | NAMES | STATISTICS | ENHANCED | SECRETS))
                && (12..=LONGEST_BLOCK).contains(&len)
                && len % 4 == 0
                && order.word(rest, len as usize - 4) == Some(len)
        };
        there(if rest.starts_with(&SECTION.to_be_bytes()) { big } else { self.big })
    }

    #[inline]
    fn block(&mut self, kind: u32, block: &[u8], at: usize, offset: u64, found: &mut Found<'_>) {
        if self.foreign && kind != SECTION {
            found.other_block(kind);
            return;
        }
        let done = match kind {
            ENHANCED => self.enhanced(block, at, found),
            INTERFACE => self.interface(block),
            SECTION => {
                self.interfaces.clear();
                found.section();
                // Draft §4.1: 1.0, and 1.2, which some writers put there, is to be read like it.
                let version = (self.half(block, 12), self.half(block, 14));
                self.foreign = !matches!(version, (Some(1), Some(0 | 2)));
                if self.foreign {
                    let (major, minor) = (version.0.unwrap_or(0), version.1.unwrap_or(0));
                    found.damage(offset, format!("a section of version {major}.{minor} is not read"));
                }
                Some(())
            }
            SIMPLE => self.simple(block, at, found),
            PACKET => self.old_packet(block, at, found),
            SECRETS => self.secrets(block, found),
            STATISTICS => {
                self.statistics(block, found);
                Some(())
            }
            _ => {
                found.other_block(kind);
                Some(())
            }
        };
        if done.is_none() {
            let what = match kind {
                INTERFACE => "an interface description that cannot be read",
                SECRETS => "a secrets block that cannot be read",
                _ => "a packet block whose lengths or interface are wrong",
            };
            found.damage(offset, what.to_owned());
        }
    }

    #[inline]
    fn enhanced(&mut self, block: &[u8], at: usize, found: &mut Found<'_>) -> Option<()> {
        let which = self.word(block, 8)? as usize;
        let interface = self.interfaces.get(which)?;
        let units = u64::from(self.word(block, 12)?) << 32 | u64::from(self.word(block, 16)?);
        let (caplen, len) = (self.word(block, 20)?, self.word(block, 24)?);
        let padded = caplen.checked_add(3)? & !3;
        if padded as usize > block.len() - 32 {
            return None;
        }
        if caplen > len {
            found.odd_length();
        }
        found.frame((at + 28) as u32, caplen, len.max(caplen), interface.link, interface.time(units));
        let options = block.get(28 + padded as usize..block.len() - 4)?;
        if !options.is_empty() {
            let dropped = self.options(options, found);
            if let Some(interface) = self.interfaces.get_mut(which).filter(|_| dropped > 0) {
                // The statistics at the end count them again.
                interface.dropped = interface.dropped.saturating_add(dropped);
                found.dropped(dropped);
            }
        }
        Some(())
    }

    /// The options of a packet: 1 is a comment, 4 how many were lost since the one before. Others are not read.
    fn options(&self, mut options: &[u8], found: &mut Found<'_>) -> u64 {
        let mut dropped = 0;
        while let (Some(code), Some(len)) = (self.half(options, 0), self.half(options, 2)) {
            if code == 0 {
                break;
            }
            let Some(value) = options.get(4..4 + len as usize) else { break };
            if code == 1 {
                found.comment(value);
            }
            if code == 4
                && let Ok(eight) = <[u8; 8]>::try_from(value)
            {
                dropped = if self.big { u64::from_be_bytes(eight) } else { u64::from_le_bytes(eight) };
            }
            options = options.get(4 + (len as usize).next_multiple_of(4)..).unwrap_or_default();
        }
        dropped
    }

    fn simple(&self, block: &[u8], at: usize, found: &mut Found<'_>) -> Option<()> {
        let interface = self.interfaces.first()?;
        let len = self.word(block, 8)?;
        let room = (block.len() - 16) as u32;
        let limit = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
        let time = found.last_time();
        found.frame((at + 12) as u32, len.min(limit).min(room), len, interface.link, time);
        Some(())
    }

    fn old_packet(&mut self, block: &[u8], at: usize, found: &mut Found<'_>) -> Option<()> {
        let which = self.half(block, 8)? as usize;
        // All ones: not known.
        let dropped = u64::from(self.half(block, 10)?.checked_add(1).map_or(0, |n| n - 1));
        if let Some(interface) = self.interfaces.get_mut(which).filter(|_| dropped > 0) {
            interface.dropped = interface.dropped.saturating_add(dropped);
            found.dropped(dropped);
        }
        let interface = self.interfaces.get(which)?;
        let units = u64::from(self.word(block, 12)?) << 32 | u64::from(self.word(block, 16)?);
        let (caplen, len) = (self.word(block, 20)?, self.word(block, 24)?);
        if caplen as usize > block.len() - 32 {
            return None;
        }
        found.frame((at + 28) as u32, caplen, len.max(caplen), interface.link, interface.time(units));
        Some(())
    }

    fn interface(&mut self, block: &[u8]) -> Option<()> {
        if self.interfaces.len() >= MOST_INTERFACES {
            return None;
        }
        let parse = if self.big { parse_interfacedescriptionblock_be } else { parse_interfacedescriptionblock_le };
        let interface = match parse(block) {
            Ok((_, idb)) => Interface {
                link: Link(idb.linktype.0 as u16),
                snaplen: idb.snaplen,
                units: units_per_second(idb.if_tsresol),
                offset: self.eight(idb.ts_offset().cast_unsigned()).cast_signed(),
                dropped: 0,
            },
            // Broken options: the fixed part still says what the packets are.
            Err(_) => {
                Interface { link: Link(self.half(block, 8)?), snaplen: self.word(block, 12)?, units: 1_000_000, offset: 0, dropped: 0 }
            }
        };
        self.interfaces.push(interface);
        Some(())
    }

    /// An option of eight bytes, which the parser takes for little-endian in every section.
    fn eight(&self, value: u64) -> u64 {
        if self.big { value.swap_bytes() } else { value }
    }

    fn secrets(&self, block: &[u8], found: &mut Found<'_>) -> Option<()> {
        let parse = if self.big { parse_decryptionsecretsblock_be } else { parse_decryptionsecretsblock_le };
        let (_, dsb) = parse(block).ok()?;
        let data = dsb.data.get(..dsb.secrets_len as usize)?;
        if dsb.secrets_type == SecretsType::TlsKeyLog {
            found.secrets(keylog::parse(data));
        } else {
            found.other_secrets();
        }
        Some(())
    }

    /// The last statistics of an interface hold its totals.
    fn statistics(&mut self, block: &[u8], found: &mut Found<'_>) {
        let parse = if self.big { parse_interfacestatisticsblock_be } else { parse_interfacestatisticsblock_le };
        let Ok((_, isb)) = parse(block) else { return };
        let count = |value: Option<Result<u64, _>>| value.and_then(Result::ok).map(|value| self.eight(value));
        let (interface, os) = (count(InterfaceStatisticsBlock::isb_ifdrop(&isb)), count(isb.isb_osdrop()));
        if interface.is_none() && os.is_none() {
            return;
        }
        let total = interface.unwrap_or(0).saturating_add(os.unwrap_or(0));
        if let Some(known) = self.interfaces.get_mut(isb.if_id as usize) {
            found.dropped(total.saturating_sub(known.dropped));
            known.dropped = known.dropped.max(total);
        }
    }
}

impl Interface {
    #[inline]
    fn time(&self, units: u64) -> Time {
        let nanos = match self.units {
            1_000_000 => i128::from(units) * 1000,
            1_000_000_000 => i128::from(units),
            per_second => i128::from(units) * 1_000_000_000 / i128::from(per_second),
        };
        let nanos = nanos + i128::from(self.offset) * 1_000_000_000;
        Time(nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    }
}

/// What `if_tsresol` says (draft-ietf-opsawg-pcapng §4.2): a power of ten, or of two where the highest bit is set. Microseconds where that is
/// more than can be counted.
fn units_per_second(resolution: u8) -> u64 {
    let (base, power) = (if resolution & 0x80 == 0 { 10_u64 } else { 2 }, u32::from(resolution & 0x7f));
    base.checked_pow(power).unwrap_or(1_000_000)
}

/// The name other block types are counted under.
pub(crate) fn block_name(kind: u32) -> Option<&'static str> {
    Some(match kind {
        NAMES => "name resolution block",
        7 => "IRIG timestamp block",
        8 => "ARINC 429 block",
        9 => "systemd journal export block",
        11 => "hone project machine info block",
        12 => "hone project connection event block",
        0x201..=0x21f => "sysdig block",
        0x0bad | 0x4000_0bad => "custom block",
        _ => return None,
    })
}

/// Keeps what a note costs bounded: the longest comment that is passed on.
pub(crate) const LONGEST_COMMENT: usize = 4096;

pub(crate) fn comment_note(value: &[u8]) -> Note {
    Note::Comment(String::from_utf8_lossy(value.get(..LONGEST_COMMENT).unwrap_or(value)).into_owned())
}
