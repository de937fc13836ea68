//! Where the bytes of a capture come from: files and pipes, counted, hashed, and ended when the operator says so.

use std::fs::File;
use std::io::{Read, Seek};
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use analyzers::encode::Digest;
use analyzers::keys::Secret;
use analyzers::pipeline::Told;
use captures::Known;

use crate::analyze::FORMATS;
use crate::fault::Fault;

/// Bytes of an input: a file, or standard input.
pub(crate) struct Source {
    pub(crate) bytes: Box<dyn Read>,
    pub(crate) size: Option<u64>,
    seekable: bool,
}

impl Source {
    pub(crate) fn open(path: &Path) -> Result<Source, Fault> {
        if path.as_os_str() == "-" {
            return Ok(Source { bytes: Box::new(std::io::stdin()), size: None, seekable: false });
        }
        let file = File::open(path).map_err(|e| Fault::io("read", path, &e))?;
        let meta = file.metadata().map_err(|e| Fault::io("read", path, &e))?;
        Ok(Source { bytes: Box::new(file), size: meta.is_file().then_some(meta.len()), seekable: meta.is_file() })
    }

    /// Refuses what comes but once and begins as no capture does, before a folder is made or cleared for its sake.
    pub(crate) fn look(&mut self) -> Result<(), Fault> {
        if self.seekable {
            return Ok(());
        }
        let mut head = Vec::new();
        let read = self.bytes.by_ref().take(4).read_to_end(&mut head);
        read.map_err(|e| Fault::new(format!("cannot read the capture: {e}"), "check where it comes from"))?;
        // What begins like one is opened when it is read.
        if !BEGINNINGS.iter().any(|magic| head.starts_with(magic)) {
            captures::Reader::open(&head[..]).map_err(|e| Fault::new(e.to_string(), FORMATS))?;
        }
        let rest = std::mem::replace(&mut self.bytes, Box::new(std::io::empty()));
        self.bytes = Box::new(std::io::Cursor::new(head).chain(rest));
        Ok(())
    }

    /// Secrets of a seekable capture, collected before its packets are read, and which those are; none when it cannot be read twice.
    pub(crate) fn secrets(&self, path: &Path, walk: Walk) -> Result<(Vec<Secret>, Known), Fault> {
        if !self.seekable {
            return Ok((Vec::new(), Known::None));
        }
        let mut file = File::open(path).map_err(|e| Fault::io("read", path, &e))?;
        // A wrapped capture is not walked block by block: its secrets are met on the way, and counted as late.
        let mut magic = [0; 4];
        if file.read_exact(&mut magic).is_err() || magic != PCAPNG_MAGIC {
            return Ok((Vec::new(), Known::None));
        }
        file.rewind().map_err(|e| Fault::io("read", path, &e))?;
        let found = match walk {
            Walk::Leading => captures::scan::leading(&mut file).map(|found| (Known::Leading(found.len() as u64), found)),
            Walk::Whole => captures::scan::secrets(&mut file).map(|found| (Known::All, found)),
        };
        found.map(|(known, found)| (found, known)).map_err(|e| Fault::io("read", path, &e))
    }
}

/// Addresses of one device each, for devices that were named by one of theirs; none where the capture cannot be read twice.
pub(crate) fn aliases(path: &Path, devices: &[String], jobs: usize, limits: captures::Limits) -> Result<Vec<Vec<IpAddr>>, Fault> {
    let told = crate::knowledge::told(devices)?;
    if !path.is_file() || !told.iter().any(|t| matches!(t, Told::Ip(_))) {
        return Ok(Vec::new());
    }
    let file = File::open(path).map_err(|e| Fault::io("read", path, &e))?;
    let options = captures::Options { jobs, limits, secrets: Known::All };
    // What is no capture is told when it is read.
    Ok(captures::links(file, &options).map_or_else(|_| Vec::new(), |links| links.groups(&told)))
}

/// How captures begin: pcap in both byte orders, of microseconds, nanoseconds and with longer heads; pcapng; gzip (RFC 1952) and zstd (RFC 8878).
const BEGINNINGS: [&[u8]; 9] = [
    &[0xa1, 0xb2, 0xc3, 0xd4],
    &[0xd4, 0xc3, 0xb2, 0xa1],
    &[0xa1, 0xb2, 0x3c, 0x4d],
    &[0x4d, 0x3c, 0xb2, 0xa1],
    &[0xa1, 0xb2, 0xcd, 0x34],
    &[0x34, 0xcd, 0xb2, 0xa1],
    &PCAPNG_MAGIC,
    &[0x1f, 0x8b],
    &[0x28, 0xb5, 0x2f, 0xfd],
];

/// How far a capture is walked for its secrets before its packets are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// To the first packet: that costs nothing, and is enough for nearly all.
    Leading,
    Whole,
}

/// A pcapng section header's type, the same in both byte orders (pcapng §4.1).
pub(crate) const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// An input that ends when the operator says so.
pub(crate) struct Until<'a> {
    pub(crate) inner: &'a mut dyn Read,
    pub(crate) stop: &'a AtomicBool,
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.stop.load(Ordering::SeqCst) { Ok(0) } else { self.inner.read(buffer) }
    }
}

/// Counts and hashes what passes.
pub(crate) struct Counted<'a> {
    pub(crate) inner: &'a mut dyn Read,
    pub(crate) bytes: u64,
    pub(crate) hash: Option<aws_lc_rs::digest::Context>,
}

impl Counted<'_> {
    pub(crate) fn hashing(inner: &mut dyn Read) -> Counted<'_> {
        Counted { inner, bytes: 0, hash: Some(aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256)) }
    }

    /// Reads on to the end, for damage may have ended the reading before.
    pub(crate) fn drain(&mut self) {
        let mut buffer = vec![0; 1 << 16];
        while matches!(self.read(&mut buffer), Ok(n) if n > 0) {}
    }

    pub(crate) fn digest(self) -> Option<Digest> {
        let digest = self.hash?.finish();
        <[u8; 32]>::try_from(digest.as_ref()).ok().map(Digest)
    }
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bytes += n as u64;
        if let (Some(hash), Some(read)) = (&mut self.hash, buffer.get(..n)) {
            hash.update(read);
        }
        Ok(n)
    }
}
