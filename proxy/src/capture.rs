//! Writes what passes an interface, or what the sockets carried, as pcapng, with the secrets before the packets they open and a comment
//! where a connection is treated.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use analyzers::chunk::Lost;
use analyzers::keys::Secret;
use analyzers::observation::{Missed, Tally};
use captures::link::Link;
use captures::write::{Packet, Writer};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use foldhash::HashMap;
use policies::Time;

use crate::enrolment::Disguised;
use crate::feed::Clock;
use crate::packets::Packets;
use crate::synthesis::Synthesis;

/// What the gateway says of a connection beside its bytes.
#[derive(Clone, Debug)]
pub enum Aside {
    /// Opens its packets.
    Secret(Secret),
    Treated(Treated),
}

impl Aside {
    fn secret(self) -> Option<Secret> {
        match self {
            Aside::Secret(secret) => Some(secret),
            Aside::Treated(_) => None,
        }
    }
}

/// What is done to a connection from `at` on, in words for a comment on the first packet that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Treated {
    pub device: SocketAddr,
    pub server: SocketAddr,
    pub at: Time,
    pub words: String,
}

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

/// Treatments whose first packet is awaited. One that sends none waits for ever: past the bound all are let go.
const AWAITED: usize = 1 << 12;

/// Comments that wait for their packet, by device and server.
#[derive(Default)]
struct Comments(HashMap<(SocketAddr, SocketAddr), Treated>);

impl Comments {
    fn await_packet(&mut self, treated: Treated) {
        if self.0.len() >= AWAITED {
            self.0.clear();
        }
        self.0.insert((treated.device, treated.server), treated);
    }

    /// The comment of this packet, if it is the first that goes to the device since then and says something, or ends the connection.
    fn of(&mut self, packet: &[u8], link: Link, time: Time) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let (from, to) = speaks(packet, link)?;
        self.0.get(&(to, from)).filter(|treated| treated.at <= time)?;
        self.0.remove(&(to, from)).map(|treated| treated.words)
    }
}

/// From where to where a TCP segment goes that holds bytes or ends the connection.
fn speaks(packet: &[u8], link: Link) -> Option<(SocketAddr, SocketAddr)> {
    let packet = if link == Link::RAW { SlicedPacket::from_ip(packet) } else { SlicedPacket::from_ethernet(packet) }.ok()?;
    let (from, to): (IpAddr, IpAddr) = match packet.net? {
        NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Arp(_) => return None,
    };
    let Some(TransportSlice::Tcp(tcp)) = packet.transport else { return None };
    let says = !tcp.payload().is_empty() || tcp.rst() || tcp.fin();
    says.then(|| (SocketAddr::new(from, tcp.source_port()), SocketAddr::new(to, tcp.destination_port())))
}

/// Writes packets, secrets and comments until told to stop; what they cannot show.
pub fn record(
    mut source: Source,
    asides: &Receiver<Aside>,
    out: impl Write,
    name: &str,
    stop: &AtomicBool,
    clock: Clock,
) -> io::Result<Recorded> {
    let mut writer = Writer::new(out, concat!("overhear ", env!("CARGO_PKG_VERSION")))?;
    let link = source.link();
    let number = writer.interface(link, 0, name)?;
    let mut comments = Comments::default();
    let mut known: Vec<Secret> = Vec::new();
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
        let taken = source.take()?;
        // What is done to a connection is said before it shows in a packet.
        for aside in asides.try_iter() {
            match aside {
                Aside::Secret(secret) => known.push(secret),
                Aside::Treated(treated) => comments.await_packet(treated),
            }
        }
        match taken {
            Some((time, len, packet)) if !packet.is_empty() => {
                received += 1;
                newest = time;
                let comment = comments.of(packet, link, time);
                let words = comment.as_deref();
                let batch = open.get_or_insert_with(|| Batch::new(spare.pop()));
                let before = batch.blocks.len();
                writer.encode(&Packet { interface: number, time, len, bytes: packet, comments: words.as_slice() }, &mut batch.blocks)?;
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
        if !known.is_empty() {
            writer.secrets(&std::mem::take(&mut known))?;
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
    known.extend(asides.try_iter().filter_map(Aside::secret));
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
        let (_to, asides) = std::sync::mpsc::channel();
        let mut file = Vec::new();
        let said = record(Source::Sockets(made), &asides, &mut file, "test", &AtomicBool::new(true), || Time::from_secs(9)).unwrap();
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
    fn a_treatment_is_a_comment_on_the_first_packet_that_shows_it() {
        let (device, server): (SocketAddr, SocketAddr) = ("10.0.0.2:4000".parse().unwrap(), "203.0.113.5:443".parse().unwrap());
        let (pieces, mut made) = synthesis();
        let (flow, at) = (FlowKey::new(1, 1), Time::from_secs(7));
        pieces.put(Piece::Open { flow, device, server, at });
        for (dir, at) in [(Dir::Out, at), (Dir::Back, Time::from_secs(6)), (Dir::Back, at), (Dir::Back, at)] {
            pieces.put(Piece::Bytes { flow, dir, offset: 0, at, bytes: Bytes::from_static(b"x") });
        }
        let mut comments = Comments::default();
        let mut run = |words: Option<&str>| {
            if let Some(words) = words {
                comments.await_packet(Treated { device, server, at, words: words.to_owned() });
            }
            let mut seen = Vec::new();
            while let Some((time, packet)) = made.take() {
                seen.push(comments.of(packet, Link::RAW, time));
            }
            seen
        };
        let told = Some("overhear: control".to_owned());
        // Three packets of the opening, the hello, one from before the treatment, and two of the answer.
        assert_eq!(run(Some("overhear: control")), [None, None, None, None, None, told, None]);
        pieces.put(Piece::Close { flow, end: analyzers::flow::FlowEnd::Fin, at });
        let told = Some("overhear: attack channel.tls-block-fallback".to_owned());
        assert_eq!(run(told.as_deref()), [None, told, None], "a connection that is cut has no other packet");
        assert_eq!(run(None), []);
    }

    #[test]
    fn comments_are_in_the_file() {
        let (pieces, made) = synthesis();
        let (flow, at) = (FlowKey::new(1, 1), Time::from_secs(7));
        let (device, server) = ("10.0.0.2:4000".parse().unwrap(), "203.0.113.5:443".parse().unwrap());
        pieces.put(Piece::Open { flow, device, server, at });
        pieces.put(Piece::Bytes { flow, dir: Dir::Back, offset: 0, at, bytes: Bytes::from_static(b"x") });
        drop(pieces);
        let (to, asides) = std::sync::mpsc::channel();
        to.send(Aside::Treated(Treated { device, server, at, words: "overhear: attack cert.expired".to_owned() })).unwrap();
        let mut file = Vec::new();
        record(Source::Sockets(made), &asides, &mut file, "test", &AtomicBool::new(true), || Time::from_secs(9)).unwrap();
        assert_eq!(memchr::memmem::find_iter(&file, "overhear: attack cert.expired").count(), 1);
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
        let (_to, asides) = std::sync::mpsc::channel();
        let mut file = Vec::new();
        record(Source::Sockets(made), &asides, &mut file, "test", &AtomicBool::new(true), || Time::from_secs(9)).unwrap();
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
