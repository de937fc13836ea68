//! Writes pcapng: sections, interfaces with nanoseconds, packets with comments, secrets before their use, drops.

use std::io::{self, Write};

use analyzers::keys::Secret;
use policies::Time;

use crate::link::Link;
use crate::pcapng::{BYTE_ORDER, ENHANCED, INTERFACE, SECRETS, SECTION, STATISTICS};

/// The secrets type of a TLS key log (`TLSK`).
const TLS_KEY_LOG: u32 = 0x544c_534b;

/// Options by their code (draft-ietf-opsawg-pcapng §3.5, §4).
const COMMENT: u16 = 1;
const USER_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const TIME_RESOLUTION: u16 = 9;
const RECEIVED: u16 = 4;
const DROPPED: u16 = 5;

/// Writes one pcapng, block by block. Every block is handed to the output whole, so that a run that is cut off leaves at most the last
/// block unfinished.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    block: Vec<u8>,
    interfaces: u32,
    bytes: u64,
}

/// One packet to write.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// As [`Writer::interface`] numbered it.
    pub interface: u32,
    pub time: Time,
    /// Length on the wire; raised to what was captured if it is less.
    pub len: u32,
    pub bytes: &'a [u8],
    /// For people and for joining lines with packets: check ids, treatments.
    pub comments: &'a [&'a str],
}

impl<W: Write> Writer<W> {
    /// Begins a section. `application` names the writing program.
    pub fn new(out: W, application: &str) -> io::Result<Writer<W>> {
        let mut writer = Writer { out, block: Vec::with_capacity(4096), interfaces: 0, bytes: 0 };
        writer.begin(SECTION);
        writer.word(BYTE_ORDER);
        // Version 1.0, section length not known beforehand.
        writer.block.extend_from_slice(&[1, 0, 0, 0]);
        writer.block.extend_from_slice(&[0xff; 8]);
        writer.option(USER_APPLICATION, application.as_bytes());
        writer.end_options();
        writer.end()?;
        Ok(writer)
    }

    /// Describes an interface; times are in nanoseconds. Returns its number.
    pub fn interface(&mut self, link: Link, snaplen: u32, name: &str) -> io::Result<u32> {
        self.begin(INTERFACE);
        self.word(u32::from(link.0));
        self.word(snaplen);
        if !name.is_empty() {
            self.option(INTERFACE_NAME, name.as_bytes());
        }
        self.option(TIME_RESOLUTION, &[9]);
        self.end_options();
        self.end()?;
        self.interfaces += 1;
        Ok(self.interfaces - 1)
    }

    /// Secrets that open packets to come. Must be written before the first packet they open.
    pub fn secrets(&mut self, secrets: &[Secret]) -> io::Result<()> {
        let mut log = Vec::new();
        for secret in secrets {
            write!(log, "{} ", secret.label)?;
            hex(&secret.client_random, &mut log);
            log.push(b' ');
            hex(&secret.secret, &mut log);
            log.push(b'\n');
        }
        self.begin(SECRETS);
        self.word(TLS_KEY_LOG);
        self.word(log.len() as u32);
        self.block.extend_from_slice(&log);
        self.pad();
        self.end()
    }

    /// Writes a packet.
    pub fn packet(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let mut block = std::mem::take(&mut self.block);
        block.clear();
        let written = self.encode(packet, &mut block).and_then(|()| self.blocks(&block));
        self.block = block;
        written
    }

    /// Puts a packet's block behind what `into` holds: such blocks, for [`blocks`](Self::blocks) to write later.
    pub fn encode(&self, packet: &Packet<'_>, into: &mut Vec<u8>) -> io::Result<()> {
        if packet.interface >= self.interfaces {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a packet of an interface that was not described"));
        }
        let from = into.len();
        begin(into, ENHANCED);
        word(into, packet.interface);
        time(into, packet.time);
        word(into, packet.bytes.len() as u32);
        word(into, packet.len.max(packet.bytes.len() as u32));
        into.extend_from_slice(packet.bytes);
        pad(into);
        if !packet.comments.is_empty() {
            for comment in packet.comments {
                option(into, COMMENT, comment.as_bytes());
            }
            word(into, 0);
        }
        end(into, from);
        Ok(())
    }

    /// Writes blocks that were made before.
    pub fn blocks(&mut self, blocks: &[u8]) -> io::Result<()> {
        self.out.write_all(blocks)?;
        self.bytes += blocks.len() as u64;
        Ok(())
    }

    /// What the capturing side counted on an interface so far: packets seen, and of these not captured.
    pub fn statistics(&mut self, interface: u32, time: Time, received: u64, dropped: u64) -> io::Result<()> {
        self.begin(STATISTICS);
        self.word(interface);
        self.time(time);
        self.option(RECEIVED, &received.to_le_bytes());
        self.option(DROPPED, &dropped.to_le_bytes());
        self.end_options();
        self.end()
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.bytes
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The output, flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        begin(&mut self.block, kind);
    }

    fn end(&mut self) -> io::Result<()> {
        end(&mut self.block, 0);
        self.out.write_all(&self.block)?;
        self.bytes += self.block.len() as u64;
        Ok(())
    }

    fn word(&mut self, value: u32) {
        word(&mut self.block, value);
    }

    fn time(&mut self, at: Time) {
        time(&mut self.block, at);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        option(&mut self.block, code, value);
    }

    fn end_options(&mut self) {
        self.word(0);
    }

    fn pad(&mut self) {
        pad(&mut self.block);
    }
}

fn begin(block: &mut Vec<u8>, kind: u32) {
    word(block, kind);
    // The length, once it is known.
    word(block, 0);
}

/// The block that began at `from` is over. What stands before it are whole blocks, whose lengths are multiples of four.
fn end(block: &mut Vec<u8>, from: usize) {
    let len = (block.len() - from + 4) as u32;
    if let Some(place) = block.get_mut(from + 4..from + 8) {
        place.copy_from_slice(&len.to_le_bytes());
    }
    word(block, len);
}

fn word(block: &mut Vec<u8>, word: u32) {
    block.extend_from_slice(&word.to_le_bytes());
}

/// Nanoseconds in two halves, the upper first. There is no time before 1970 in this format.
fn time(block: &mut Vec<u8>, time: Time) {
    let nanos = time.0.max(0).unsigned_abs();
    word(block, (nanos >> 32) as u32);
    word(block, nanos as u32);
}

/// An option; a value longer than the format allows is cut at a character.
fn option(block: &mut Vec<u8>, code: u16, value: &[u8]) {
    let mut len = value.len().min(u16::MAX as usize);
    while len < value.len() && len > 0 && value.get(len).is_some_and(|b| b & 0xc0 == 0x80) {
        len -= 1;
    }
    block.extend_from_slice(&code.to_le_bytes());
    block.extend_from_slice(&(len as u16).to_le_bytes());
    block.extend_from_slice(value.get(..len).unwrap_or(value));
    pad(block);
}

fn pad(block: &mut Vec<u8>) {
    block.resize(block.len().next_multiple_of(4), 0);
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
        }
    }
}
