//! Takes off gzip and zstd, told by their magic bytes; concatenated members are one stream.

use std::io::{self, BufReader, Chain, Cursor, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use flate2::read::MultiGzDecoder;

/// How a capture was wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapping {
    Gzip,
    Zstd,
}

/// What happened at the operator's end of the input, seen from beyond the decompressor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tap {
    /// Bytes read, before any decompression.
    bytes: Arc<AtomicU64>,
    /// An error of the disk or pipe itself, as opposed to a broken archive.
    error: Arc<Mutex<Option<io::Error>>>,
}

impl Tap {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.error.lock().ok()?.take()
    }
}

pub(crate) struct Counted<R> {
    inner: R,
    tap: Tap,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buf) {
            Ok(n) => {
                self.tap.bytes.fetch_add(n as u64, Ordering::Relaxed);
                Ok(n)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            Err(e) => {
                if let Ok(mut slot) = self.tap.error.lock() {
                    *slot = Some(io::Error::new(e.kind(), e.to_string()));
                }
                Err(e)
            }
        }
    }
}

type Raw<R> = Chain<Cursor<Vec<u8>>, Counted<R>>;

/// The bytes of a capture, unwrapped.
pub(crate) enum Source<R: Read> {
    Plain(Raw<R>),
    Gzip(Box<MultiGzDecoder<BufReader<Raw<R>>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<Raw<R>>>>),
}

/// What a decompressor reads at once.
const GULP: usize = 256 << 10;

impl<R: Read> Source<R> {
    /// Looks at the first bytes. Errors are the input's own.
    pub(crate) fn open(inner: R) -> io::Result<(Source<R>, Option<Wrapping>, Tap)> {
        let tap = Tap::default();
        let mut counted = Counted { inner, tap: tap.clone() };
        let mut head = vec![0; 4];
        let (n, error) = read_full(&mut counted, &mut head);
        if let Some(e) = error {
            return Err(e);
        }
        head.truncate(n);
        // RFC 1952 §2.3.1: 1f 8b, method 8. RFC 8878 §3.1.1: frame magic, or a skippable frame first (§3.1.2).
        let gzip = head.starts_with(&[0x1f, 0x8b, 0x08]);
        let zstd = head == [0x28, 0xb5, 0x2f, 0xfd] || (head.len() == 4 && head.ends_with(&[0x2a, 0x4d, 0x18]) && head[0] & 0xf0 == 0x50);
        let raw = Cursor::new(head).chain(counted);
        Ok(if gzip {
            (Source::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(GULP, raw)))), Some(Wrapping::Gzip), tap)
        } else if zstd {
            let decoder = zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(GULP, raw))?;
            (Source::Zstd(Box::new(decoder)), Some(Wrapping::Zstd), tap)
        } else {
            (Source::Plain(raw), None, tap)
        })
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::Plain(r) => r.read(buf),
            Source::Gzip(r) => r.read(buf),
            Source::Zstd(r) => r.read(buf),
        }
    }
}

/// Reads until `buf` is full or the input ends: block borders must not depend on how a pipe hands over its bytes.
/// An error comes beside the bytes read before it.
pub(crate) fn read_full(from: &mut impl Read, buf: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut at = 0;
    while let Some(rest) = buf.get_mut(at..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(n) => at += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return (at.min(buf.len()), Some(e)),
        }
    }
    (at.min(buf.len()), None)
}
