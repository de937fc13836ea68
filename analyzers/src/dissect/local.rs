//! SSDP (UPnP Device Architecture 2.0, 1): what devices announce and ask for on the local link, in HTTP-like datagrams.

use std::collections::HashSet;

use crate::chunk::{Chunk, Gap, Layer, Unit, Want};
use crate::dissect::http::head::{Head, Side, end_of_head};
use crate::dissect::http::secrets::Url;
use crate::dissect::marks::Origin;
use crate::dissect::search::{From, Place, Spot};
use crate::dissect::sniff::Guess;
use crate::dissect::{Cx, Dissector, Hint};
use crate::flow::{Counts, Ends, FlowEnd};
use crate::observation::{Announcement, App, NameSource, NotParsed, OddKind};
use crate::text::Text;

/// Distinct announcements of one flow that are written.
const MOST_SAID: usize = 512;

/// Fields that say something about the device that sends them.
const TELLING: [&str; 9] =
    ["usn", "server", "location", "user-agent", "cpfn.upnp.org", "cpuuid.upnp.org", "friendlyname.upnp.org", "myname", "x-user-agent"];

/// The kind of an SSDP datagram, by its first line.
fn kind(bytes: &[u8]) -> Option<Kind> {
    if bytes.starts_with(b"NOTIFY * HTTP/1.") {
        Some(Kind::Notify)
    } else if bytes.starts_with(b"M-SEARCH * HTTP/1.") {
        Some(Kind::Search)
    } else if bytes.starts_with(b"HTTP/1.1 200") {
        Some(Kind::Answer)
    } else {
        None
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Notify,
    Search,
    Answer,
}

/// Whether a datagram is SSDP: by its first line; an answer's is plain HTTP's, so it must be at home or carry SSDP's own field.
pub fn looks_like(ends: &Ends, chunk: &Chunk<'_>, bytes: &[u8]) -> Guess {
    let home = ends.a.port() == 1900 || ends.b.port() == 1900;
    let usn = || bytes.windows(5).any(|w| w.eq_ignore_ascii_case(b"\nusn:"));
    match kind(bytes) {
        Some(kind) if chunk.unit == Unit::Datagram && (kind != Kind::Answer || home || usn()) => {
            Guess::Is(Box::new(Ssdp { layer: chunk.layer, said: HashSet::default(), unread: 0 }))
        }
        _ => Guess::No,
    }
}

#[derive(Debug)]
struct Ssdp {
    layer: Layer,
    said: HashSet<u64, foldhash::fast::FixedState>,
    unread: u64,
}

impl Dissector for Ssdp {
    fn app(&self) -> App {
        App::Ssdp
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Want {
        let bytes = chunk.bytes;
        let side = |kind| if kind == Kind::Answer { Side::Response } else { Side::Request };
        let Some((kind, head)) = kind(bytes).and_then(|k| Some((k, read(bytes, side(k))?))) else {
            cx.odd(OddKind::BrokenHttp, "a datagram among SSDP's that is none", None);
            self.unread += bytes.len() as u64;
            self.search_body(bytes, 0, chunk, cx);
            if self.layer == Layer::Wire {
                cx.unparsed(bytes.len());
            }
            return Want::All;
        };
        if self.layer == Layer::Wire {
            cx.analysed(bytes.len());
        }
        cx.hint(Hint { client: Some(chunk.dir), ..Hint::default() });
        let origin = Origin { offset: 0, len: bytes.len() as u64, frame: chunk.frame, time: chunk.time };
        let field = |name: &str| head.fields.iter().find(|f| f.is(name)).map(|f| f.value);
        let target = field("nt").or_else(|| field("st"));
        if kind == Kind::Search
            && let Some(target) = target
        {
            self.say(target, None, "M-SEARCH", chunk, cx);
        }
        // Method, target and the names of fields are the sender's word as well.
        let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
        let spot = |place| Spot { place: Place::Of(place), dir: chunk.dir, layer: self.layer, from: From::Decoded(origin), chain: &[] };
        cx.search_whole(&spot("ssdp.line"), bytes.get(..end).unwrap_or_default());
        let names: Vec<&[u8]> = head.fields.iter().map(|f| f.name).collect();
        cx.search_again(&spot("ssdp.header"), &names.join(&b'\n'));
        for f in &head.fields {
            let spot = Spot {
                place: Place::Field("ssdp.header:", f.name),
                dir: chunk.dir,
                layer: self.layer,
                from: From::Decoded(origin),
                chain: &[],
            };
            cx.search_name(&spot, f.value);
            if let Some(name) = TELLING.iter().find(|n| f.is(n)) {
                let masked = if *name == "location" { Url::read(f.value).masked() } else { f.value.to_vec() };
                self.say(&masked, target.filter(|_| kind != Kind::Search), &name.to_ascii_uppercase(), chunk, cx);
            }
        }
        if let Some(end) = end_of_head(bytes, 0) {
            self.search_body(bytes, end, chunk, cx);
        }
        Want::All
    }

    fn gap(&mut self, _: &Gap, _: &mut Cx<'_>) -> Want {
        Want::All
    }

    fn close(&mut self, _: FlowEnd, _: &Counts, cx: &mut Cx<'_>) {
        if self.unread > 0 {
            cx.not_parsed(App::Ssdp, NotParsed::Broken, self.unread);
        }
    }
}

/// A head, also one whose empty line the sender forgot.
fn read(bytes: &[u8], side: Side) -> Option<Head<'_>> {
    Head::read(bytes, side)
}

impl Ssdp {
    /// What stands behind the head; none is foreseen, and everybody hears it.
    fn search_body(&self, bytes: &[u8], from: usize, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        let body = bytes.get(from..).unwrap_or_default();
        let origin = Origin { offset: from as u64, len: body.len() as u64, frame: chunk.frame, time: chunk.time };
        let place = Place::Of("ssdp.body");
        cx.search_whole(&Spot { place, dir: chunk.dir, layer: self.layer, from: From::Decoded(origin), chain: &[] }, body);
    }

    fn say(&mut self, name: &[u8], service: Option<&[u8]>, record: &str, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        use std::hash::BuildHasher;
        let key = foldhash::fast::FixedState::default().hash_one((name, service, record, chunk.dir));
        if !name.is_empty() && self.said.len() < MOST_SAID && self.said.insert(key) {
            let by_peer = cx.is_peers(chunk.dir);
            cx.see(Announcement {
                source: NameSource::Ssdp,
                name: cx.name(name),
                service: service.map(|s| cx.text(s)),
                record: Text::ours(record),
                by_peer,
            });
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use policies::Time;
    use proptest::prelude::*;

    use super::*;
    use crate::flow::{Dir, FlowKey, Transport};
    use crate::observation::Observation;
    use crate::pipeline::{Out, Pipeline, Tools};

    fn run(port: u16, datagrams: &[&[u8]]) -> Vec<String> {
        seen(Tools::default(), port, datagrams)
            .into_iter()
            .filter_map(|seen| match seen {
                Observation::Announcement(a) => {
                    Some(format!("{} {} {}", a.record, a.name, a.service.map_or(String::new(), |s| s.to_string())))
                }
                Observation::Odd(o) => Some(format!("odd: {}", o.detail)),
                Observation::Flow(f) => Some(f.app.word().to_owned()),
                _ => None,
            })
            .collect()
    }

    fn seen(tools: Tools, port: u16, datagrams: &[&[u8]]) -> Vec<Observation> {
        let key = FlowKey::new(0, 1);
        let b = format!("239.255.255.250:{port}").parse().unwrap();
        let ends =
            Ends { transport: Transport::Udp, a: "192.168.1.7:50000".parse().unwrap(), b, a_mac: None, b_mac: None, from_start: true };
        let mut pipeline = Pipeline::new(Arc::new(tools));
        let mut out: Vec<Out> = Vec::new();
        pipeline.open(key, &ends, Time(0), 1, &mut out);
        for bytes in datagrams {
            let chunk = Chunk { flow: key, dir: Dir::Out, unit: Unit::Datagram, layer: Layer::Wire, time: Time(0), frame: 1, bytes };
            pipeline.chunk(chunk, &mut out);
        }
        pipeline.close(key, FlowEnd::Idle, &Counts::default(), Time(9), 9, &mut out);
        out.into_iter().filter_map(|o| if let Out::Seen(draft) = o { Some(draft.seen) } else { None }).collect()
    }

    #[test]
    fn what_follows_the_head_is_searched() {
        use crate::dissect::testing::{seeking, told};
        let tools = || seeking(&[(policies::IdentifierType::Imei, "490154203237518")]);
        assert_eq!(told(&seen(tools(), 1900, &[b"NOTIFY * HTTP/1.1\r\nNT: a\r\n\r\n<id>490154203237518</id>"])), ["ssdp.body"]);
        assert_eq!(told(&seen(tools(), 1900, &[b"NOTIFY * HTTP/1.1\r\nNT: a\r\n\r\n", b"\x01 490154203237518"])), ["ssdp.body"]);
    }

    #[test]
    fn announcements() {
        let notify = b"NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nNT: upnp:rootdevice\r\nUSN: uuid:1234::upnp:rootdevice\r\nLOCATION: http://192.168.1.7:80/d.xml?id=77\r\n\r\n";
        assert_eq!(
            run(1900, &[notify, notify]),
            ["USN uuid:1234::upnp:rootdevice upnp:rootdevice", "LOCATION http://192.168.1.7:80/d.xml?id=‹2› upnp:rootdevice", "ssdp"]
        );
        assert_eq!(
            run(1900, &[b"M-SEARCH * HTTP/1.1\r\nMAN: \"ssdp:discover\"\r\nST: ssdp:all\r\nUSER-AGENT: phone/1\r\n\r\n"]),
            ["M-SEARCH ssdp:all ", "USER-AGENT phone/1 ", "ssdp"]
        );
        assert_eq!(run(5000, &[b"HTTP/1.1 200 OK\r\nST: x\r\nUSN: u\r\n\r\n"]), ["USN u x", "ssdp"]);
        assert_eq!(run(5000, &[b"HTTP/1.1 200 OK\r\n\r\n"]), ["unknown"]);
        assert_eq!(run(1900, &[notify, b"\x00\x01"])[2], "odd: a datagram among SSDP's that is none");
    }

    proptest! {
        #[test]
        fn hostile(tail in prop::collection::vec(any::<u8>(), 0..200)) {
            run(1900, &[&[b"NOTIFY * HTTP/1.1\r\n", &tail[..]].concat()]);
        }
    }
}
