//! The journal: one JSON line per fact, chained by seals. A line's number is its position, from 1.

use std::io::{self, BufRead, Write};

use aws_lc_rs::digest;
use policies::Time;
use serde::{Deserialize, Serialize};

use crate::encode::Digest;
use crate::flow::FlowId;
use crate::observation::Observation;
use crate::subject::Subject;

/// A line's position in its journal, from 1; seals count.
pub type LineNo = u64;

/// One fact in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    #[serde(skip)]
    pub n: LineNo,
    pub at: Time,
    /// The frame that caused it, 1-based as in Wireshark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<FlowId>,
    /// For facts that belong to no one flow (a trial over several, a device's presence).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    pub seen: Observation,
}

/// A seal over all bytes since the last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    pub seal: u64,
    /// Lines before this seal, seals included.
    pub lines: u64,
    /// Of the bytes since the previous seal line (or the start), newlines included.
    pub sha256: Digest,
    /// Of the previous seal line without its newline; of nothing for the first.
    pub prev: Digest,
}

/// A seal is due after so many bytes (architecture: *The journal*).
pub const SEAL_EVERY: u64 = 1 << 20;

/// Writes lines and seals.
pub struct Writer<W: Write> {
    out: W,
    buffer: Vec<u8>,
    hash: digest::Context,
    since_seal: u64,
    lines: u64,
    seals: u64,
    prev: Digest,
    seal_every: u64,
}

impl<W: Write> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("lines", &self.lines).field("seals", &self.seals).finish_non_exhaustive()
    }
}

impl<W: Write> Writer<W> {
    pub fn new(out: W) -> Writer<W> {
        Writer {
            out,
            buffer: Vec::with_capacity(1024),
            hash: digest::Context::new(&digest::SHA256),
            since_seal: 0,
            lines: 0,
            seals: 0,
            prev: Digest::of(b""),
            seal_every: SEAL_EVERY,
        }
    }

    /// Goes on where a journal that was read to its end stopped; `out` must append to it.
    pub fn resume(out: W, tail: &Tail) -> Writer<W> {
        Writer { lines: tail.lines, seals: tail.seals, prev: tail.head.unwrap_or(Digest::of(b"")), ..Writer::new(out) }
    }

    /// Writes a line, giving it its number; seals first when one is due.
    pub fn write(&mut self, line: &mut Line) -> io::Result<()> {
        if self.since_seal >= self.seal_every {
            self.seal()?;
        }
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, line).map_err(io::Error::other)?;
        self.buffer.push(b'\n');
        self.out.write_all(&self.buffer)?;
        self.hash.update(&self.buffer);
        self.since_seal += self.buffer.len() as u64;
        self.lines += 1;
        line.n = self.lines;
        Ok(())
    }

    /// Seals what was written since the last seal; nothing if nothing was.
    pub fn seal(&mut self) -> io::Result<()> {
        if self.since_seal == 0 {
            return Ok(());
        }
        let hash = std::mem::replace(&mut self.hash, digest::Context::new(&digest::SHA256));
        let seal = Seal { seal: self.seals + 1, lines: self.lines, sha256: finish(hash), prev: self.prev };
        let mut text = serde_json::to_vec(&seal).map_err(io::Error::other)?;
        self.prev = Digest::of(&text);
        text.push(b'\n');
        self.out.write_all(&text)?;
        self.out.flush()?;
        self.seals += 1;
        self.lines += 1;
        self.since_seal = 0;
        Ok(())
    }

    /// Seals, flushes, and gives back the sink with the digest of the last seal line.
    pub fn finish(mut self) -> io::Result<(W, Digest)> {
        self.seal()?;
        self.out.flush()?;
        Ok((self.out, self.prev))
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The digest of the last seal line.
    pub fn head(&self) -> Digest {
        self.prev
    }
}

fn finish(hash: digest::Context) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(hash.finish().as_ref());
    Digest(out)
}

/// What reading one journal line gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Line(Box<Line>),
    Seal(Seal),
}

/// What is wrong with a journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("line {line}: {what}")]
    Line { line: LineNo, what: String },
    #[error("seal {seal} (line {line}): the bytes before it are not those that were sealed")]
    Bytes { seal: u64, line: LineNo },
    #[error("seal {seal} (line {line}): it does not follow the seal before it")]
    Chain { seal: u64, line: LineNo },
}

/// How a journal ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    pub lines: u64,
    pub seals: u64,
    /// Whole lines after the last seal: they count, and are not proven.
    pub unsealed: u64,
    /// Bytes of a last line that was never finished.
    pub torn: u64,
    pub head: Option<Digest>,
    /// The last [`RECENT`] seal lines: their place and their digest.
    pub recent: Vec<(LineNo, Digest)>,
}

/// So many later commands may have added to a run since something else named its end.
pub const RECENT: usize = 64;

/// Reads a journal, hands each line to `each`, and checks the chain as it goes. A torn last line is reported, not an error.
pub fn read(mut input: impl BufRead, mut each: impl FnMut(Line)) -> io::Result<(Tail, Vec<Broken>)> {
    let mut tail = Tail::default();
    let mut broken = Vec::new();
    let mut prev = Digest::of(b"");
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut text = Vec::new();
    loop {
        text.clear();
        let n = input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut text)?;
        if n == 0 {
            break;
        }
        if text.last() != Some(&b'\n') {
            tail.torn = n as u64;
            break;
        }
        tail.lines += 1;
        let line = tail.lines;
        match parse(&text[..n - 1]) {
            Ok(Entry::Seal(seal)) => {
                let sealed = finish(std::mem::replace(&mut hash, digest::Context::new(&digest::SHA256)));
                if sealed != seal.sha256 {
                    broken.push(Broken::Bytes { seal: seal.seal, line });
                }
                if seal.prev != prev || seal.seal != tail.seals + 1 || seal.lines + 1 != line {
                    broken.push(Broken::Chain { seal: seal.seal, line });
                }
                prev = Digest::of(&text[..n - 1]);
                if tail.recent.len() >= RECENT {
                    tail.recent.remove(0);
                }
                tail.recent.push((line, prev));
                tail.seals += 1;
                tail.unsealed = 0;
            }
            Ok(Entry::Line(mut parsed)) => {
                hash.update(&text);
                tail.unsealed += 1;
                parsed.n = line;
                each(*parsed);
            }
            Err(what) => {
                hash.update(&text);
                tail.unsealed += 1;
                broken.push(Broken::Line { line, what });
            }
        }
    }
    tail.head = (tail.seals > 0).then_some(prev);
    Ok((tail, broken))
}

/// No line of ours is longer; a longer one is cut and reported as unreadable.
const LONGEST_LINE: u64 = 4 << 20;

fn parse(text: &[u8]) -> Result<Entry, String> {
    if text.starts_with(b"{\"seal\":") {
        serde_json::from_slice(text).map(Entry::Seal).map_err(|e| e.to_string())
    } else {
        serde_json::from_slice(text).map(|l| Entry::Line(Box::new(l))).map_err(|e| e.to_string())
    }
}

use std::io::Read as _;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::observation::{Odd, OddKind};
    use crate::text::Text;

    fn journal(lines: u64, seal_every: u64) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        writer.seal_every = seal_every;
        for i in 0..lines {
            let seen = Odd { what: OddKind::BrokenTls, detail: Text::ours(format!("row {i}")), offset: None };
            let mut line = Line { n: 0, at: Time(i as i64), frame: Some(i), flow: None, subject: None, seen: seen.into() };
            writer.write(&mut line).unwrap();
        }
        writer.finish().unwrap().0
    }

    fn verify(bytes: &[u8]) -> (u64, Tail, Vec<Broken>) {
        let mut n = 0;
        let (tail, broken) = read(bytes, |_| n += 1).unwrap();
        (n, tail, broken)
    }

    #[test]
    fn reads_what_it_wrote() {
        let bytes = journal(20, 300);
        let (n, tail, broken) = verify(&bytes);
        assert_eq!((n, tail.unsealed, tail.torn), (20, 0, 0));
        assert!(tail.seals > 2, "{tail:?}");
        assert_eq!(broken, []);
    }

    #[test]
    fn sees_every_changed_byte() {
        let bytes = journal(6, 200);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let (_, tail, broken) = verify(&changed);
            assert!(!broken.is_empty() || tail.unsealed > 0 || tail.torn > 0, "byte {at} changed unseen");
        }
    }

    #[test]
    fn sees_a_removed_line_and_a_removed_seal() {
        let text = String::from_utf8(journal(12, 300)).unwrap();
        for skip in 0..text.lines().count() - 1 {
            let cut: String = text.lines().enumerate().filter(|(i, _)| *i != skip).map(|(_, l)| format!("{l}\n")).collect();
            assert!(!verify(cut.as_bytes()).2.is_empty(), "line {skip} removed unseen");
        }
    }

    #[test]
    fn keeps_whole_lines_of_a_torn_tail() {
        let bytes = journal(20, 300);
        let (n, tail, broken) = verify(&bytes[..bytes.len() - 30]);
        assert!(n >= 18 && tail.torn > 0 && broken.is_empty(), "{n} {tail:?} {broken:?}");
    }
}
