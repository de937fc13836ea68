//! Writes what passes an interface, or what the sockets carried, as pcapng, with the secrets before the packets they open.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use analyzers::keys::Secret;
use captures::link::Link;
use captures::write::{Packet, Writer};
use policies::Time;

use crate::feed::Clock;
use crate::packets::Packets;
use crate::synthesis::Synthesis;

/// Says of a frame whether it is written at all; may learn from it.
pub type Look = Box<dyn FnMut(&[u8]) -> bool + Send>;

/// Where packets come from.
pub enum Source {
    Interface(Packets, Look),
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
    fn take(&mut self) -> io::Result<Option<(Time, u32, Vec<u8>)>> {
        match self {
            Source::Interface(packets, look) => {
                let Some(packet) = packets.take().map_err(io::Error::other)? else { return Ok(None) };
                let bytes = if look(packet.bytes) { packet.bytes.to_vec() } else { Vec::new() };
                Ok(Some((packet.time, packet.len as u32, bytes)))
            }
            Source::Sockets(synthesis) => Ok(synthesis.take().map(|(time, bytes)| (time, bytes.len() as u32, bytes.to_vec()))),
        }
    }

    fn dropped(&self) -> u64 {
        match self {
            Source::Interface(packets, _) => u64::from(packets.dropped()),
            Source::Sockets(_) => 0,
        }
    }
}

/// How long a packet waits for the secrets that open it: they come from another thread.
const HELD: Duration = Duration::from_millis(150);
/// Packets that may wait; past it the oldest go out at once.
const HELD_BYTES: usize = 32 << 20;
/// How long packets are still taken after the end was asked for.
const LAST: Duration = Duration::from_secs(3);

/// Writes packets and secrets until told to stop; how many packets the kernel dropped.
pub fn record(
    mut source: Source,
    secrets: &Receiver<Secret>,
    out: impl Write,
    name: &str,
    stop: &AtomicBool,
    clock: Clock,
) -> io::Result<u64> {
    let mut writer = Writer::new(out, concat!("overhear ", env!("CARGO_PKG_VERSION")))?;
    let number = writer.interface(source.link(), 0, name)?;
    let mut held: VecDeque<(Instant, Time, u32, Vec<u8>)> = VecDeque::new();
    let mut bytes = 0;
    let mut received = 0;
    let mut ending: Option<Instant> = None;
    loop {
        match source.take()? {
            Some((time, len, packet)) if !packet.is_empty() => {
                received += 1;
                bytes += packet.len();
                held.push_back((Instant::now(), time, len, packet));
            }
            None if ending.is_some_and(|since| since.elapsed() >= HELD * 2) => break,
            Some(_) | None => {}
        }
        if stop.load(Ordering::Relaxed) && ending.is_none() {
            ending = Some(Instant::now());
        }
        if ending.is_some_and(|since| since.elapsed() >= LAST) {
            break;
        }
        let known: Vec<Secret> = secrets.try_iter().collect();
        if !known.is_empty() {
            writer.secrets(&known)?;
        }
        while held.front().is_some_and(|(since, ..)| since.elapsed() >= HELD || bytes > HELD_BYTES) {
            let Some((_, time, len, packet)) = held.pop_front() else { break };
            bytes -= packet.len();
            writer.packet(&Packet { interface: number, time, len, bytes: &packet, comments: &[] })?;
        }
    }
    let known: Vec<Secret> = secrets.try_iter().collect();
    if !known.is_empty() {
        writer.secrets(&known)?;
    }
    for (_, time, len, packet) in held {
        writer.packet(&Packet { interface: number, time, len, bytes: &packet, comments: &[] })?;
    }
    let dropped = source.dropped();
    writer.statistics(number, clock(), received, dropped)?;
    writer.finish()?.flush()?;
    Ok(dropped)
}
