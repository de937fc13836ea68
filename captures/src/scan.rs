//! Collects the Decryption Secrets Blocks of a seekable pcapng before its packets are read.

use std::io::{self, Read, Seek, SeekFrom};

use analyzers::keys::Secret;
use pcap_parser::SecretsType;
use pcap_parser::pcapng::{parse_decryptionsecretsblock_be, parse_decryptionsecretsblock_le};

use crate::keylog::{self, MOST_SECRETS};
use crate::pcapng::{BYTE_ORDER, ENHANCED, LONGEST_BLOCK, PACKET, SECRETS, SECTION, SIMPLE};

/// How much is read at once; block headers within it cost no seek.
const WINDOW: usize = 256 << 10;

/// All secrets of a pcapng, in file order; the input is left where it stood.
///
/// A file that is not pcapng, or is wrapped, gives none: its secrets are met on the way. Stops silently at damage: the reading proper
/// reports it.
pub fn secrets(input: &mut (impl Read + Seek)) -> io::Result<Vec<Secret>> {
    walk(input, false)
}

/// The same of those before the first packet, where most files have all of theirs: the packets are not read.
pub fn leading(input: &mut (impl Read + Seek)) -> io::Result<Vec<Secret>> {
    walk(input, true)
}

fn walk(input: &mut (impl Read + Seek), leading: bool) -> io::Result<Vec<Secret>> {
    let start = input.stream_position()?;
    let found = collect(input, leading);
    input.seek(SeekFrom::Start(start))?;
    found
}

fn collect(input: &mut (impl Read + Seek), leading: bool) -> io::Result<Vec<Secret>> {
    let mut found = Vec::new();
    let mut big = None;
    let mut window = Window { bytes: vec![0; WINDOW], at: 0, end: 0 };
    loop {
        let Some(head) = window.peek(input, 12)? else { return Ok(found) };
        let (kind, len, order) = (word(head, 0, big == Some(true)), word(head, 4, false), word(head, 8, false));
        if kind == SECTION {
            big = match order {
                BYTE_ORDER => Some(false),
                o if o == BYTE_ORDER.swap_bytes() => Some(true),
                _ => return Ok(found),
            };
        }
        let Some(big) = big else { return Ok(found) };
        let len = if big { len.swap_bytes() } else { len };
        if len < 12 || len % 4 != 0 {
            return Ok(found);
        }
        if leading && matches!(kind, ENHANCED | SIMPLE | PACKET) {
            return Ok(found);
        }
        if kind == SECRETS && len <= LONGEST_BLOCK {
            let mut block = vec![0; len as usize];
            if !window.take(input, &mut block)? {
                return Ok(found);
            }
            let parse = if big { parse_decryptionsecretsblock_be } else { parse_decryptionsecretsblock_le };
            if let Ok((_, dsb)) = parse(&block)
                && dsb.secrets_type == SecretsType::TlsKeyLog
                && let Some(data) = dsb.data.get(..dsb.secrets_len as usize)
            {
                let mut log = keylog::parse(data);
                log.secrets.truncate(MOST_SECRETS.saturating_sub(found.len()));
                found.append(&mut log.secrets);
            }
        } else {
            window.skip(input, u64::from(len))?;
        }
    }
}

fn word(of: &[u8], at: usize, big: bool) -> u32 {
    let four = of.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
    if big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
}

/// A window over the input that seeks only past what it does not hold.
struct Window {
    bytes: Vec<u8>,
    at: usize,
    end: usize,
}

impl Window {
    fn peek(&mut self, input: &mut impl Read, n: usize) -> io::Result<Option<&[u8]>> {
        if self.end - self.at < n {
            self.bytes.copy_within(self.at..self.end, 0);
            self.end -= self.at;
            self.at = 0;
            let (got, error) = crate::wrapped::read_full(input, self.bytes.get_mut(self.end..).unwrap_or_default());
            if let Some(e) = error {
                return Err(e);
            }
            self.end += got;
        }
        Ok(self.bytes.get(self.at..self.end).and_then(|b| b.get(..n)))
    }

    fn skip(&mut self, input: &mut impl Seek, n: u64) -> io::Result<()> {
        let held = (self.end - self.at) as u64;
        if n <= held {
            self.at += n as usize;
        } else {
            input.seek_relative((n - held) as i64)?;
            self.at = 0;
            self.end = 0;
        }
        Ok(())
    }

    /// Fills `out`; false when the input ends first.
    fn take(&mut self, input: &mut impl Read, out: &mut [u8]) -> io::Result<bool> {
        let held = (self.end - self.at).min(out.len());
        let (first, rest) = out.split_at_mut(held);
        first.copy_from_slice(self.bytes.get(self.at..self.at + held).unwrap_or_default());
        self.at += held;
        let (got, error) = crate::wrapped::read_full(input, rest);
        match error {
            Some(e) => Err(e),
            None => Ok(got == rest.len()),
        }
    }
}
