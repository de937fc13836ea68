//! DNS over UDP and TCP, mDNS, LLMNR and NetBIOS names: questions joined with their answers, and what a device calls itself on the link.

pub mod message;
mod searched;
mod sniff;

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policies::Time;

use crate::chunk::{Chunk, Gap, Layer, Unit, Want};
use crate::dissect::marks::{Marks, Origin};
use crate::dissect::search::{From, Place, Spot, Trail};
use crate::dissect::{Cx, Dissector, Hint};
use crate::flow::{Counts, Dir, Ends, FlowEnd, Transport};
use crate::observation::{Announcement, App, NameSource, NotParsed, OddKind, Question};
use crate::text::Text;

use message::{HEADER, Header, Reader, Record, Section, rr};
pub(crate) use searched::search_labels;
pub use sniff::looks_like;

use searched::{Part, hidden, shown, strings};

/// Which of the protocols that share the message format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flavour {
    Dns,
    Mdns,
    Llmnr,
    Nbns,
}

impl Flavour {
    /// By the registered ports: their messages do not differ.
    fn of(ends: &Ends) -> (Flavour, bool) {
        let has = |port| ends.a.port() == port || ends.b.port() == port;
        // A query sent from 5353 to a resolver is plain DNS.
        if has(53) {
            (Flavour::Dns, true)
        } else if has(5353) {
            (Flavour::Mdns, true)
        } else if has(5355) {
            (Flavour::Llmnr, true)
        } else if has(137) {
            (Flavour::Nbns, true)
        } else {
            (Flavour::Dns, false)
        }
    }

    fn app(self) -> App {
        match self {
            Flavour::Dns => App::Dns,
            Flavour::Mdns => App::Mdns,
            Flavour::Llmnr => App::Llmnr,
            Flavour::Nbns => App::Nbns,
        }
    }

    fn source(self) -> NameSource {
        match self {
            Flavour::Dns => NameSource::Dns,
            Flavour::Mdns => NameSource::Mdns,
            Flavour::Llmnr => NameSource::Llmnr,
            Flavour::Nbns => NameSource::Nbns,
        }
    }

    fn place(self) -> Place<'static> {
        Place::Of(match self {
            Flavour::Dns => "dns.qname",
            Flavour::Mdns => "mdns.name",
            Flavour::Llmnr => "llmnr.name",
            Flavour::Nbns => "nbns.name",
        })
    }
}

/// Questions that wait for an answer; the oldest is written without one when more come.
const MOST_WAITING: usize = 128;

/// A TCP connection in which the messages were lost.
const STREAM: Place<'static> = Place::Of("dns.stream");

/// Distinct announcements of one flow that are written.
const MOST_SAID: usize = 1024;

/// Addresses and aliases that one line carries.
const MOST_ADDRESSES: usize = 64;
const MOST_ALIASES: usize = 16;

#[derive(Debug)]
struct Dns {
    flavour: Flavour,
    layer: Layer,
    waiting: VecDeque<Asked>,
    said: HashSet<u64, foldhash::fast::FixedState>,
    /// Per direction of a TCP connection: what of a message has come.
    streams: [Stream; 2],
    /// A name as it is read; kept to save its allocation.
    name: Vec<u8>,
    unread: u64,
}

#[derive(Debug)]
struct Asked {
    id: u16,
    name: Box<[u8]>,
    qtype: u16,
    dir: Dir,
    at: Time,
    frame: u64,
    repeats: u64,
}

#[derive(Debug, Default)]
struct Stream {
    kept: Vec<u8>,
    marks: Marks,
    lost: bool,
    trail: Trail,
}

impl Dissector for Dns {
    fn app(&self) -> App {
        self.flavour.app()
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Want {
        let Unit::Stream { offset } = chunk.unit else {
            let origin = Origin { offset: 0, len: chunk.bytes.len() as u64, frame: chunk.frame, time: chunk.time };
            self.message(chunk.bytes, chunk.dir, origin, cx);
            return Want::All;
        };
        self.stream(offset, chunk, cx);
        Want::All
    }

    fn gap(&mut self, gap: &Gap, cx: &mut Cx<'_>) -> Want {
        // Where the next message begins is not known any more.
        self.streams[gap.dir.index()].lost = true;
        self.give_up(gap.dir, cx);
        Want::All
    }

    fn close(&mut self, _: FlowEnd, _: &Counts, cx: &mut Cx<'_>) {
        for dir in Dir::BOTH {
            self.give_up(dir, cx);
            cx.search_end(&mut self.streams[dir.index()].trail, STREAM, dir, self.layer);
        }
        while let Some(asked) = self.waiting.pop_front() {
            self.unanswered(asked, cx);
        }
        if self.unread > 0 {
            cx.not_parsed(self.app(), NotParsed::Broken, self.unread);
        }
    }
}

impl Dns {
    fn new(flavour: Flavour, layer: Layer) -> Dns {
        Dns {
            flavour,
            layer,
            waiting: VecDeque::new(),
            said: HashSet::default(),
            streams: [Stream::default(), Stream::default()],
            name: Vec::new(),
            unread: 0,
        }
    }

    /// What was kept of a message whose rest will not come is searched as it is.
    fn give_up(&mut self, dir: Dir, cx: &mut Cx<'_>) {
        let stream = &mut self.streams[dir.index()];
        let (kept, marks) = (std::mem::take(&mut stream.kept), std::mem::take(&mut stream.marks));
        if !kept.is_empty() {
            let spot = Spot { place: STREAM, dir, layer: self.layer, from: From::Kept(&marks, 0), chain: &[] };
            cx.search_whole(&spot, &kept);
            self.unreadable(kept.len(), cx);
        }
    }

    fn unreadable(&mut self, len: usize, cx: &mut Cx<'_>) {
        self.unread += len as u64;
        if self.layer == Layer::Wire && len > 0 {
            cx.unparsed(len);
        }
    }

    /// Messages behind a two-byte length (RFC 1035 §4.2.2).
    fn stream(&mut self, offset: u64, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        let dir = chunk.dir;
        let stream = &mut self.streams[dir.index()];
        if stream.lost {
            cx.search_stream(&mut stream.trail, STREAM, dir, self.layer, offset, chunk.bytes);
            self.unreadable(chunk.bytes.len(), cx);
            return;
        }
        stream.marks.push(stream.kept.len() as u64, offset, chunk);
        stream.kept.extend_from_slice(chunk.bytes);
        let kept = std::mem::take(&mut stream.kept);
        let marks = std::mem::take(&mut stream.marks);
        let mut at = 0;
        while let Some([a, b]) = kept.get(at..).and_then(|k| k.first_chunk::<2>()).copied() {
            let len = usize::from(u16::from_be_bytes([a, b]));
            let Some(message) = kept.get(at + 2..at + 2 + len) else { break };
            if self.layer == Layer::Wire {
                cx.analysed(2);
            }
            let origin = marks.origin(at as u64 + 2, len as u64);
            self.message(message, dir, origin, cx);
            at += 2 + len;
        }
        let rest = kept.get(at..).unwrap_or_default();
        let stream = &mut self.streams[dir.index()];
        if !rest.is_empty() {
            stream.kept.extend_from_slice(rest);
            let origin = marks.origin(at as u64, 1);
            stream.marks.push(0, origin.offset, &Chunk { frame: origin.frame, time: origin.time, ..*chunk });
        }
    }

    fn message(&mut self, bytes: &[u8], dir: Dir, origin: Origin, cx: &mut Cx<'_>) {
        let Some(header) = Header::read(bytes).filter(|h| h.plausible(bytes.len()) || sniff::is_cut(bytes, *h)) else {
            cx.odd(OddKind::BrokenDns, "a message that is none", Some(origin.offset));
            cx.search_whole(
                &Spot { place: Place::Of("udp.datagram"), dir, layer: self.layer, from: From::Decoded(origin), chain: &[] },
                bytes,
            );
            self.unreadable(bytes.len(), cx);
            return;
        };
        if self.layer == Layer::Wire {
            cx.analysed(bytes.len());
        }
        let speaker = if header.response && self.flavour == Flavour::Dns { dir.other() } else { dir };
        cx.hint(Hint { client: Some(speaker), ..Hint::default() });
        let whole = match (self.flavour, header.response) {
            (Flavour::Dns, _) => self.asked_or_answered(bytes, header, dir, origin, cx),
            (_, false) => self.asked_on_link(bytes, header, dir, origin, cx),
            (_, true) => self.announced(bytes, header, dir, origin, cx),
        };
        if whole.is_none() {
            // Where it breaks off, its reading does; its bytes are there for everybody.
            cx.search_again(&self.spot(Part::Tail, dir, 0, bytes, origin), bytes);
            cx.odd(OddKind::BrokenDns, "a message breaks off or lies about its lengths", Some(origin.offset));
            if !header.response {
                // What was asked is not known.
                self.unread += bytes.len() as u64;
            }
        }
    }

    /// Unicast DNS.
    fn asked_or_answered(&mut self, bytes: &[u8], header: Header, dir: Dir, origin: Origin, cx: &mut Cx<'_>) -> Option<()> {
        let mut reader = Reader::new(bytes);
        for n in 0..header.questions {
            let question = reader.question()?;
            let mut name = std::mem::take(&mut self.name);
            name.clear();
            let read = message::name(bytes, question.at, &mut name);
            if read.is_some() {
                // As it was asked: letters of base64 have their case. A question that only its answer tells was asked, too.
                if !header.response {
                    self.search(bytes, &name, question, dir, origin, cx);
                } else if !self.was_asked(header.id, &name, question.qtype, dir) {
                    self.search(bytes, &name, question, dir.other(), origin, cx);
                }
                name.make_ascii_lowercase();
                if header.response {
                    let answer = if n == 0 { answers(bytes, header) } else { Answers { rcode: header.rcode, ..Answers::default() } };
                    self.answered(header.id, &name, question, answer, dir, origin, cx);
                } else {
                    self.asked(header.id, &name, question, dir, origin, cx);
                }
            }
            self.name = name;
            read?;
        }
        let records = u32::from(header.answers) + u32::from(header.authorities) + u32::from(header.additional);
        for n in 0..records {
            let record = reader.record(Section::Answer)?;
            if header.response {
                // The owner of an answer is who was asked for, or an alias told before.
                if n >= u32::from(header.answers) {
                    self.search_owner(bytes, record, self.flavour.part(Part::Record), dir, origin, cx);
                }
                self.search_record(bytes, record, dir, origin, cx);
            } else {
                // What is asked with records says whose they are: updates (RFC 2136), keys of signatures.
                self.known(bytes, record, dir, origin, cx);
            }
        }
        self.search_tail(bytes, reader.at(), dir, origin, cx);
        Some(())
    }

    fn asked(&mut self, id: u16, name: &[u8], question: message::Question, dir: Dir, origin: Origin, cx: &mut Cx<'_>) {
        if let Some(same) = self.waiting.iter_mut().find(|w| w.id == id && w.qtype == question.qtype && w.dir == dir && *w.name == *name) {
            same.repeats += 1;
            return;
        }
        if self.waiting.len() >= MOST_WAITING
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.unanswered(oldest, cx);
        }
        let asked = Asked { id, name: name.into(), qtype: question.qtype, dir, at: origin.time, frame: origin.frame, repeats: 0 };
        self.waiting.push_back(asked);
    }

    /// Whether an answer's question was seen being asked, or told by an answer before.
    fn was_asked(&self, id: u16, name: &[u8], qtype: u16, dir: Dir) -> bool {
        let waits = |w: &Asked| w.id == id && w.qtype == qtype && w.dir != dir && w.name.eq_ignore_ascii_case(name);
        self.waiting.iter().any(waits) || self.said.contains(&hash(&(id, &name.to_ascii_lowercase()[..], qtype)))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one answer")]
    fn answered(&mut self, id: u16, name: &[u8], question: message::Question, answer: Answers, dir: Dir, origin: Origin, cx: &mut Cx<'_>) {
        let at = self.waiting.iter().position(|w| w.id == id && w.qtype == question.qtype && w.dir != dir && *w.name == *name);
        let asked = at.and_then(|at| self.waiting.remove(at));
        let answer_only = asked.is_none();
        if answer_only {
            // A second answer to a question that is done says nothing new; an answer to none says what was asked.
            let key = hash(&(id, name, question.qtype));
            if !self.remember(key) {
                return;
            }
        } else {
            self.remember(hash(&(id, name, question.qtype)));
        }
        let (when, frame, repeats) = asked.map_or((origin.time, origin.frame, 0), |a| (a.at, a.frame, a.repeats));
        let line = Question {
            name: shown(name, cx),
            source: self.flavour.source(),
            qtype: question.qtype,
            layer: self.layer,
            dir: dir.other(),
            transport: cx.ends().transport,
            rcode: Some(answer.rcode),
            addresses: answer.addresses,
            aliases: answer.aliases.iter().map(|a| shown(a, cx)).collect(),
            ech: answer.ech,
            answer_only,
            repeats,
            by_peer: cx.is_peers(dir.other()),
        };
        cx.see_at(when, frame, line);
    }

    fn unanswered(&self, asked: Asked, cx: &mut Cx<'_>) {
        let line = Question {
            name: shown(&asked.name, cx),
            source: self.flavour.source(),
            qtype: asked.qtype,
            layer: self.layer,
            dir: asked.dir,
            transport: cx.ends().transport,
            rcode: None,
            addresses: Vec::new(),
            aliases: Vec::new(),
            ech: false,
            answer_only: false,
            repeats: asked.repeats,
            by_peer: cx.is_peers(asked.dir),
        };
        cx.see_at(asked.at, asked.frame, line);
    }

    /// Whether this was not said before in this flow; false also when the flow has said enough.
    fn remember(&mut self, key: u64) -> bool {
        self.said.len() < MOST_SAID && self.said.insert(key)
    }

    /// A question to everybody on the link. mDNS probes carry the names their sender is about to take (RFC 6762 §8.1), NetBIOS
    /// registrations the name they claim (RFC 1002 §4.2.2).
    fn asked_on_link(&mut self, bytes: &[u8], header: Header, dir: Dir, origin: Origin, cx: &mut Cx<'_>) -> Option<()> {
        let mut reader = Reader::new(bytes);
        let registers = self.flavour == Flavour::Nbns && header.opcode >= 5;
        for _ in 0..header.questions {
            let question = reader.question()?;
            let name = self.read_name(bytes, question.at)?;
            self.search(bytes, &name, question, dir, origin, cx);
            if registers {
                self.announce(&name, None, "registration", dir, origin, false, cx);
            } else if self.remember(hash(&(&name[..], question.qtype, dir))) {
                let line = Question {
                    name: shown(&name, cx),
                    source: self.flavour.source(),
                    qtype: question.qtype,
                    layer: self.layer,
                    dir,
                    transport: Transport::Udp,
                    rcode: None,
                    addresses: Vec::new(),
                    aliases: Vec::new(),
                    ech: false,
                    answer_only: false,
                    repeats: 0,
                    by_peer: cx.is_peers(dir),
                };
                cx.see_at(origin.time, origin.frame, line);
            }
        }
        for _ in 0..header.answers {
            // What the asker knows already (RFC 6762 §7.1): names of others mostly, which are no announcement, and still told.
            let record = reader.record(Section::Answer)?;
            self.known(bytes, record, dir, origin, cx);
        }
        for _ in 0..header.authorities {
            let record = reader.record(Section::Authority)?;
            self.record(bytes, record, dir, origin, cx);
        }
        for _ in 0..header.additional {
            let record = reader.record(Section::Additional)?;
            self.known(bytes, record, dir, origin, cx);
        }
        self.search_tail(bytes, reader.at(), dir, origin, cx);
        Some(())
    }

    /// What a device says of itself.
    fn announced(&mut self, bytes: &[u8], header: Header, dir: Dir, origin: Origin, cx: &mut Cx<'_>) -> Option<()> {
        let mut reader = Reader::new(bytes);
        for _ in 0..header.questions {
            reader.question()?;
        }
        for (section, count) in
            [(Section::Answer, header.answers), (Section::Authority, header.authorities), (Section::Additional, header.additional)]
        {
            for _ in 0..count {
                let record = reader.record(section)?;
                self.record(bytes, record, dir, origin, cx);
            }
        }
        self.search_tail(bytes, reader.at(), dir, origin, cx);
        Some(())
    }

    fn record(&mut self, bytes: &[u8], record: Record<'_>, dir: Dir, origin: Origin, cx: &mut Cx<'_>) -> Option<()> {
        let owner = self.read_name(bytes, record.name)?;
        let service = service(&owner);
        match record.kind {
            rr::PTR => {
                let target = self.read_name(bytes, record.at)?;
                self.announce(&target, service, "PTR", dir, origin, true, cx);
            }
            // A node's status has the number of SRV: its names of 15 characters, each with a kind and flags, then its link address
            // (RFC 1002 §4.2.18).
            rr::SRV if self.flavour == Flavour::Nbns => {
                let (count, rest) = record.data.split_first()?;
                let (names, statistics) = rest.split_at((usize::from(*count) * 18).min(rest.len()));
                for name in names.chunks_exact(18).filter_map(|entry| entry.get(..15)) {
                    self.announce(name.trim_ascii_end(), None, "NBSTAT", dir, origin, true, cx);
                }
                cx.search_whole(&self.spot(Part::Record, dir, record.at + 1 + names.len(), statistics, origin), statistics);
            }
            rr::SRV => {
                self.announce(&owner, service, "SRV", dir, origin, true, cx);
                let target = record.data.get(6..).and_then(|_| self.read_name(bytes, record.at + 6))?;
                self.announce(&target, service, "SRV target", dir, origin, true, cx);
            }
            rr::TXT => {
                // Nearly always the name of a service that is announced beside it.
                if !["PTR", "SRV"].iter().any(|record| self.said.contains(&hash(&(&owner[..], service, *record, dir)))) {
                    self.announce(&owner, service, "TXT owner", dir, origin, true, cx);
                }
                for item in strings(record.data) {
                    self.announce(item, service, "TXT", dir, origin, true, cx);
                }
            }
            rr::A if record.data.len() == 4 => self.announce(&owner, None, "A", dir, origin, true, cx),
            rr::AAAA if record.data.len() == 16 => {
                self.announce(&owner, None, "AAAA", dir, origin, true, cx);
                // An address made of the link address (RFC 4291 appendix A).
                if record.data.get(11..13) == Some(&[0xff, 0xfe]) {
                    let place = self.flavour.place();
                    let spot = Spot { place, dir, layer: self.layer, from: From::Decoded(origin), chain: &[] };
                    cx.search_planted(&spot, record.data, |_| place);
                }
            }
            rr::NB if self.flavour == Flavour::Nbns => self.announce(&owner, None, "NB", dir, origin, true, cx),
            // Which device it is, others do not say; what else they hold is told all the same.
            _ => self.known(bytes, record, dir, origin, cx),
        }
        Some(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one line")]
    fn announce(&mut self, name: &[u8], service: Option<&[u8]>, record: &str, dir: Dir, origin: Origin, search: bool, cx: &mut Cx<'_>) {
        let key = hash(&(name, service, record, dir));
        if name.is_empty() || self.said.contains(&key) {
            return;
        }
        let place = match (self.flavour, record) {
            (Flavour::Mdns, "TXT") => Place::Of("mdns.txt"),
            _ => self.flavour.place(),
        };
        let spot = Spot { place, dir, layer: self.layer, from: From::Decoded(origin), chain: &[] };
        if search {
            cx.search_name(&spot, name);
            if let Some(plain) = message::unescaped(name) {
                cx.search_again(&spot, &plain);
            }
        } else {
            cx.search_again_as_name(&spot, name);
        }
        if !self.remember(key) {
            return;
        }
        let by_peer = cx.is_peers(dir);
        let line = Announcement {
            source: self.flavour.source(),
            name: hidden(name, |plain| cx.name(plain)).unwrap_or_else(|| cx.name(name)),
            service: service.map(|s| cx.text(s)),
            record: Text::ours(record),
            by_peer,
        };
        cx.see_at(origin.time, origin.frame, line);
    }

    /// A name as people read it; NetBIOS names decoded.
    fn read_name(&self, bytes: &[u8], at: usize) -> Option<Vec<u8>> {
        if self.flavour == Flavour::Nbns {
            let mut first = None;
            message::labels(bytes, at, |label| _ = first.get_or_insert(label))?;
            if let Some((plain, _)) = first.and_then(message::netbios) {
                return Some(plain);
            }
        }
        let mut out = Vec::new();
        message::name(bytes, at, &mut out)?;
        Some(out)
    }
}

/// What the records of an answer say.
#[derive(Debug, Default)]
struct Answers {
    rcode: u8,
    addresses: Vec<IpAddr>,
    aliases: Vec<Vec<u8>>,
    ech: bool,
}

fn answers(bytes: &[u8], header: Header) -> Answers {
    let mut out = Answers { rcode: header.rcode, ..Answers::default() };
    let mut reader = Reader::new(bytes);
    for _ in 0..header.questions {
        if reader.question().is_none() {
            return out;
        }
    }
    for _ in 0..header.answers {
        let Some(record) = reader.record(Section::Answer) else { break };
        match (record.kind, record.data) {
            (rr::A, data) if out.addresses.len() < MOST_ADDRESSES => {
                out.addresses.extend(<[u8; 4]>::try_from(data).ok().map(|a| IpAddr::V4(Ipv4Addr::from(a))));
            }
            (rr::AAAA, data) if out.addresses.len() < MOST_ADDRESSES => {
                out.addresses.extend(<[u8; 16]>::try_from(data).ok().map(|a| IpAddr::V6(Ipv6Addr::from(a))));
            }
            (rr::CNAME, _) if out.aliases.len() < MOST_ALIASES => {
                let mut alias = Vec::new();
                if message::name(bytes, record.at, &mut alias).is_some() {
                    alias.make_ascii_lowercase();
                    out.aliases.push(alias);
                }
            }
            (rr::HTTPS | rr::SVCB, data) => out.ech |= message::has_ech(data),
            _ => {}
        }
    }
    out
}

/// `_airplay._tcp` in `Anna's iPhone._airplay._tcp.local`.
fn service(owner: &[u8]) -> Option<&[u8]> {
    let transport = [&b"._tcp"[..], b"._udp"].iter().find_map(|t| memchr::memmem::rfind(owner, t))?;
    let start = owner.get(..transport)?.iter().rposition(|b| *b == b'.').map_or(0, |n| n + 1);
    owner.get(start..transport + 5).filter(|s| s.starts_with(b"_"))
}

fn hash(key: &impl std::hash::Hash) -> u64 {
    use std::hash::BuildHasher;
    foldhash::fast::FixedState::default().hash_one(key)
}

const _: () = assert!(HEADER == 12);

#[cfg(test)]
mod tests;
