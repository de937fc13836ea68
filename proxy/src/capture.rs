//! Writes what passes an interface, or what the sockets carried, as pcapng, with the secrets before the packets they open.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use analyzers::chunk::Lost;
use analyzers::keys::Secret;
use analyzers::observation::{Missed, Tally};
use captures::link::Link;
use captures::write::{Packet, Writer};
use policies::Time;

use crate::enrolment::Disguised;
use crate::feed::Clock;
use crate::packets::Packets;
use crate::synthesis::Synthesis;

/// Says of a frame whether it is written at all; may learn from it.
pub type Look = Box<dyn FnMut(&[u8]) -> bool + Send>;

/// Where packets come from.
pub enum Source {
    Interface(Packets, Look, Disguised),
    Sockets(Synthesis),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Source::Interface(..) => "Interface",
            Source::Sockets(_) => "Sockets",
        })
    }
}

impl Source {
    fn link(&self) -> Link {
        match self {
            Source::Interface(..) => Link::ETHERNET,
            Source::Sockets(_) => Link::RAW,
        }
    }

    /// The next packet with its length on the wire; `None` when none came for a while. An empty one is not to be written.
    fn take(&mut self) -> io::Result<Option<(Time, u32, &[u8])>> {
        match self {
            Source::Interface(packets, look, disguised) => {
                let Some(packet) = packets.take().map_err(io::Error::other)? else { return Ok(None) };
                if !packet.ours {
                    disguised.look(packet.bytes);
                }
                let bytes = if look(packet.bytes) { packet.bytes } else { &[] };
                Ok(Some((packet.time, packet.len as u32, bytes)))
            }
            Source::Sockets(synthesis) => Ok(synthesis.take().map(|(time, bytes)| (time, bytes.len() as u32, bytes))),
        }
    }

    fn dropped(&self) -> Dropped {
        match self {
            Source::Interface(packets, ..) => Dropped { packets: u64::from(packets.dropped()), bytes: 0 },
            Source::Sockets(synthesis) => {
                let (packets, bytes) = synthesis.dropped();
                Dropped { packets, bytes }
            }
        }
    }
}

/// What a capture cannot show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    pub dropped: Dropped,
    /// Frames that somebody else sent under a link address of this machine, by the address they gave as their source.
    pub disguised: Vec<Tally>,
}

/// What came by and was not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    pub packets: u64,
    /// As far as known: the kernel does not say it.
    pub bytes: u64,
}

impl Dropped {
    /// The line that holds back every pass of the run, if anything was dropped.
    pub fn missed(self) -> Option<Missed> {
        let Dropped { packets, bytes } = self;
        (packets > 0).then_some(Missed { why: Lost::Dropped, dir: None, offset: 0, len: bytes, repeats: packets })
    }
}

/// How long a packet waits for the secrets that open it: they come from another thread.
const HELD: Duration = Duration::from_millis(150);
/// Packets that may wait; past it the oldest go out at once.
const HELD_BYTES: usize = 32 << 20;
/// How long packets are still taken after the end was asked for.
const LAST: Duration = Duration::from_secs(3);

/// How long packets are gathered to be written together, and up to how much.
const BATCH: Duration = Duration::from_millis(20);
const BATCH_BYTES: usize = 256 << 10;

/// Packets that wait together, as the blocks that will be written: each is copied once on its way.
struct Batch {
    began: Instant,
    blocks: Vec<u8>,
}

impl Batch {
    fn new(room: Option<Vec<u8>>) -> Batch {
        // The last packet may be as large as they get.
        let mut blocks = room.unwrap_or_else(|| Vec::with_capacity(BATCH_BYTES + (72 << 10)));
        blocks.clear();
        Batch { began: Instant::now(), blocks }
    }

    fn is_full(&self) -> bool {
        self.blocks.len() >= BATCH_BYTES || self.began.elapsed() >= BATCH
    }
}

/// Writes packets and secrets until told to stop; what they cannot show.
pub fn record(
    mut source: Source,
    secrets: &Receiver<Secret>,
    out: impl Write,
    name: &str,
    stop: &AtomicBool,
    clock: Clock,
) -> io::Result<Recorded> {
    let mut writer = Writer::new(out, concat!("overhear ", env!("CARGO_PKG_VERSION")))?;
    let number = writer.interface(source.link(), 0, name)?;
    let mut held: VecDeque<Batch> = VecDeque::new();
    let mut open: Option<Batch> = None;
    // Room that was written out of, while packets keep coming.
    let mut spare: Vec<Vec<u8>> = Vec::new();
    let mut bytes = 0;
    let mut received = 0;
    let mut ending: Option<Instant> = None;
    let mut asked = Time::default();
    let mut newest = Time::default();
    let mut unread = false;
    loop {
        match source.take()? {
            Some((time, len, packet)) if !packet.is_empty() => {
                received += 1;
                newest = time;
                let batch = open.get_or_insert_with(|| Batch::new(spare.pop()));
                let before = batch.blocks.len();
                writer.encode(&Packet { interface: number, time, len, bytes: packet, comments: &[] }, &mut batch.blocks)?;
                bytes += batch.blocks.len() - before;
            }
            None if ending.is_some_and(|since| since.elapsed() >= HELD * 2) => break,
            Some((time, ..)) => newest = time,
            None => spare = Vec::new(),
        }
        if stop.load(Ordering::Relaxed) && ending.is_none() {
            ending = Some(Instant::now());
            asked = clock();
        }
        if ending.is_some_and(|since| since.elapsed() >= LAST) {
            // Cut off while still behind: how much waits in the kernel is not known.
            unread = newest < asked && matches!(source, Source::Interface(..));
            break;
        }
        let known: Vec<Secret> = secrets.try_iter().collect();
        if !known.is_empty() {
            writer.secrets(&known)?;
        }
        if open.as_ref().is_some_and(Batch::is_full) {
            held.extend(open.take());
        }
        while held.front().is_some_and(|batch| batch.began.elapsed() >= HELD + BATCH || bytes > HELD_BYTES) {
            let Some(batch) = held.pop_front() else { break };
            bytes -= batch.blocks.len();
            writer.blocks(&batch.blocks)?;
            spare.push(batch.blocks);
        }
    }
    let known: Vec<Secret> = secrets.try_iter().collect();
    if !known.is_empty() {
        writer.secrets(&known)?;
    }
    for batch in held.into_iter().chain(open) {
        writer.blocks(&batch.blocks)?;
    }
    if let Source::Interface(packets, ..) = &mut source {
        unread |= packets.settle().is_err();
    }
    let mut dropped = source.dropped();
    dropped.packets += u64::from(unread);
    writer.statistics(number, clock(), received, dropped.packets)?;
    writer.finish()?.flush()?;
    let disguised = match &source {
        Source::Interface(_, _, disguised) => disguised.tallies(),
        Source::Sockets(_) => Vec::new(),
    };
    Ok(Recorded { dropped, disguised })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use analyzers::flow::{Dir, FlowKey};
    use bytes::Bytes;

    use super::*;
    use crate::synthesis::{Piece, synthesis};

    /// Hands in one flow of so many one-byte pieces at once; what the writer says, and what a reader of its file finds.
    #[track_caller]
    fn check(pieces: u64, expect: Dropped) {
        let (to, made) = synthesis();
        let (flow, at) = (FlowKey::new(1, 1), Time::from_secs(7));
        to.put(Piece::Open { flow, device: "10.0.0.2:4000".parse().unwrap(), server: "203.0.113.5:80".parse().unwrap(), at });
        for offset in 0..pieces {
            to.put(Piece::Bytes { flow, dir: Dir::Out, offset, at, bytes: Bytes::from_static(b"x") });
        }
        drop(to);
        let (_to, secrets) = std::sync::mpsc::channel();
        let mut file = Vec::new();
        let said = record(Source::Sockets(made), &secrets, &mut file, "test", &AtomicBool::new(true), || Time::from_secs(9)).unwrap();
        let said = said.dropped;
        assert_eq!(said, expect);
        let missed = said.missed().map(|m| (m.why, m.len, m.repeats));
        assert_eq!(missed, (expect.packets > 0).then_some((Lost::Dropped, expect.bytes, expect.packets)));
        let options = captures::run::Options::default();
        let report = captures::run::analyse(
            std::io::Cursor::new(file),
            &options,
            |_| analyzers::pipeline::Pipeline::new(std::sync::Arc::default()),
            &mut |_| {},
            &mut |_| {},
        );
        let input = report.unwrap().line(analyzers::text::Text::ours("a"), None, 0);
        assert_eq!(input.dropped.unwrap_or_default(), expect.packets);
    }

    #[test]
    fn what_did_not_fit_is_told() {
        check(10, Dropped::default());
        // The queue holds 4 096, of which the opening is one.
        check(5000, Dropped { packets: 905, bytes: 905 });
    }

    #[test]
    fn ports_used_again_are_another_connection() {
        let (to, made) = synthesis();
        let at = Time::from_secs(7);
        for n in 1..=2 {
            let flow = FlowKey::new(0x100, n);
            to.put(Piece::Open { flow, device: "10.0.0.2:4000".parse().unwrap(), server: "203.0.113.5:80".parse().unwrap(), at });
            to.put(Piece::Bytes {
                flow,
                dir: Dir::Out,
                offset: 0,
                at,
                bytes: Bytes::from(format!("GET /{n} HTTP/1.1\r\nhost: a\r\n\r\n")),
            });
            to.put(Piece::Close { flow, end: analyzers::flow::FlowEnd::Fin, at });
        }
        drop(to);
        let (_to, secrets) = std::sync::mpsc::channel();
        let mut file = Vec::new();
        record(Source::Sockets(made), &secrets, &mut file, "test", &AtomicBool::new(true), || Time::from_secs(9)).unwrap();
        let mut paths = Vec::new();
        let _ = captures::run::analyse(
            std::io::Cursor::new(file),
            &captures::run::Options::default(),
            |_| analyzers::pipeline::Pipeline::new(std::sync::Arc::default()),
            &mut |out: analyzers::pipeline::Out| {
                if let analyzers::pipeline::Out::Seen(draft) = out
                    && let analyzers::observation::Observation::Request(request) = draft.seen
                {
                    paths.push(request.path.as_str().to_owned());
                }
            },
            &mut |_| {},
        )
        .unwrap();
        assert_eq!(paths, ["/1", "/2"]);
    }
}
