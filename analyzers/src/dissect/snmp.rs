//! SNMP (RFC 1157, RFC 3416): the community of its first two versions, which is a password that every datagram carries.

use policies::IdentifierType;
use x509_parser::asn1_rs::{Any, FromBer as _, Tag};

use crate::chunk::{Chunk, Gap, Layer, Unit, Want};
use crate::dissect::marks::Origin;
use crate::dissect::search::{From, Place, Spot};
use crate::dissect::sniff::Guess;
use crate::dissect::{Cx, Dissector, Hint};
use crate::flow::{Counts, Ends, FlowEnd};
use crate::observation::{App, NotParsed, OddKind};

/// Ports of agents, and of those that notifications go to (RFC 3417 §3.1).
const AGENT: u16 = 161;
const NOTIFIED: u16 = 162;

/// Whether a datagram is SNMP: it goes to or from its ports, and is a message of a known version.
pub fn looks_like(ends: &Ends, chunk: &Chunk<'_>, bytes: &[u8]) -> Guess {
    let home = |port| matches!(port, AGENT | NOTIFIED);
    if chunk.unit == Unit::Datagram && (home(ends.a.port()) || home(ends.b.port())) && read(bytes).is_some() {
        Guess::Is(Box::new(Snmp { layer: chunk.layer, unread: 0 }))
    } else {
        Guess::No
    }
}

#[derive(Debug)]
struct Snmp {
    layer: Layer,
    unread: u64,
}

impl Dissector for Snmp {
    fn app(&self) -> App {
        App::Snmp
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Want {
        let bytes = chunk.bytes;
        let origin = Origin { offset: 0, len: bytes.len() as u64, frame: chunk.frame, time: chunk.time };
        let spot = Spot { place: Place::Of("snmp.message"), dir: chunk.dir, layer: self.layer, from: From::Decoded(origin), chain: &[] };
        match read(bytes) {
            Some(message) => {
                if self.layer == Layer::Wire {
                    cx.analysed(bytes.len());
                }
                // What an agent tells unasked goes to a port of its own; where the kind does not show, the port says who answers.
                let from_agent = || cx.known.ends.addr(chunk.dir).port() == AGENT;
                let answers = message.pdu.map_or_else(from_agent, |pdu| pdu == RESPONSE);
                cx.hint(Hint { client: Some(if answers { chunk.dir.other() } else { chunk.dir }), ..Hint::default() });
                cx.search_whole(&spot, bytes);
                if let Some(community) = message.community
                    && is_secret(community)
                {
                    let at = community.as_ptr().addr() - bytes.as_ptr().addr();
                    cx.told(
                        IdentifierType::Password,
                        community,
                        &Spot { place: Place::Of("snmp.community"), ..spot },
                        at as u64,
                        community.len() as u64,
                    );
                }
            }
            None => {
                cx.odd(OddKind::BrokenSnmp, "a datagram among SNMP's that is none", None);
                self.unread += bytes.len() as u64;
                if self.layer == Layer::Wire {
                    cx.unparsed(bytes.len());
                }
                cx.search_whole(&spot, bytes);
            }
        }
        Want::All
    }

    fn gap(&mut self, _: &Gap, _: &mut Cx<'_>) -> Want {
        Want::All
    }

    fn close(&mut self, _: FlowEnd, _: &Counts, cx: &mut Cx<'_>) {
        if self.unread > 0 {
            cx.not_parsed(App::Snmp, NotParsed::Broken, self.unread);
        }
    }
}

/// Whether a community keeps anybody out. Agents are delivered with `public` for reading, which programs that look for printers try everywhere.
fn is_secret(community: &[u8]) -> bool {
    !community.is_empty() && community != b"public"
}

/// Versions as they are written (RFC 1157 §4, RFC 3416 §3, RFC 3412 §6).
const V1: u8 = 0;
const V2C: u8 = 1;
const V3: u8 = 3;
/// A PDU that answers (RFC 3416 §3).
const RESPONSE: u32 = 2;

struct Message<'a> {
    community: Option<&'a [u8]>,
    /// The number of the PDU's tag; in version 3 it stands deeper, and may be sealed.
    pdu: Option<u32>,
}

fn read(bytes: &[u8]) -> Option<Message<'_>> {
    let (_, whole) = Any::from_ber(bytes).ok().filter(|(_, whole)| whole.tag() == Tag::Sequence)?;
    let (rest, version) = Any::from_ber(whole.data).ok().filter(|(_, version)| version.tag() == Tag::Integer)?;
    let (rest, next) = Any::from_ber(rest).ok()?;
    match (version.data, next.tag()) {
        (&[V1 | V2C], Tag::OctetString) => {
            let (_, pdu) = Any::from_ber(rest).ok()?;
            Some(Message { community: Some(next.data), pdu: Some(pdu.tag().0) })
        }
        (&[V3], Tag::Sequence) => Some(Message { community: None, pdu: None }),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dissect::testing::{datagram, seeking, told};
    use crate::flow::Dir;
    use crate::observation::Observation;
    use crate::pipeline::Tools;

    const ENDS: (&str, &str) = ("10.0.0.2:50000", "192.0.2.1:161");

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, content.len() as u8], content].concat()
    }

    /// A question for the system's name (1.3.6.1.2.1.1.5.0), or what is said of it.
    fn message(version: u8, community: &[u8], pdu: u8, name: &[u8]) -> Vec<u8> {
        let value = if name.is_empty() { vec![5, 0] } else { tlv(4, name) };
        let bound = tlv(0x30, &tlv(0x30, &[tlv(6, &[0x2b, 6, 1, 2, 1, 1, 5, 0]), value].concat()));
        let pdu = tlv(pdu, &[tlv(2, &[1]), tlv(2, &[0]), tlv(2, &[0]), bound].concat());
        tlv(0x30, &[tlv(2, &[version]), tlv(4, community), pdu].concat())
    }

    #[track_caller]
    fn check(ends: (&str, &str), bytes: &[u8], app: &str, expect: &[&str]) {
        let seen = datagram(seeking(&[(IdentifierType::PersonName, "Anna Quist")]), ends, bytes);
        assert_eq!(told(&seen), expect, "{}", bytes.escape_ascii());
        let apps = |seen: &Observation| if let Observation::Flow(flow) = seen { Some(flow.app.word()) } else { None };
        assert_eq!(seen.iter().find_map(apps), Some(app));
    }

    #[test]
    fn communities() {
        check(ENDS, &message(V1, b"s3cret", 0xa0, b""), "snmp", &["snmp.community ?"]);
        check(ENDS, &message(V2C, b"s3cret", 0xa1, b""), "snmp", &["snmp.community ?"]);
        check(ENDS, &message(V2C, b"public", 0xa0, b""), "snmp", &[]);
        check(ENDS, &message(V2C, b"", 0xa0, b""), "snmp", &[]);
        check((ENDS.1, ENDS.0), &message(V2C, b"public", 0xa2, b"Anna Quist's Box"), "snmp", &["snmp.message"]);
        check(("10.0.0.2:162", "192.0.2.1:9"), &message(V2C, b"public", 0xa7, b"x"), "snmp", &[]);
        // At home elsewhere, of no version there is, or no message at all.
        check(("10.0.0.2:50000", "192.0.2.1:1610"), &message(V1, b"s3cret", 0xa0, b""), "unknown", &[]);
        check(ENDS, &message(7, b"s3cret", 0xa0, b""), "unknown", &[]);
        check(ENDS, b"hello", "unknown", &[]);
        // Version 3 tells a user's name in its own envelope; nothing of it is taken for a community.
        let usm = tlv(0x30, &[tlv(2, &[V3]), tlv(0x30, &tlv(2, &[1])), tlv(4, b"s3cret"), tlv(4, b"sealed")].concat());
        check(ENDS, &usm, "snmp", &[]);
    }

    #[test]
    fn who_asks_is_the_client() {
        for (ends, pdu, client) in [(ENDS, 0xa0, Dir::Out), ((ENDS.1, ENDS.0), 0xa2, Dir::Back), (ENDS, 0xa7, Dir::Out)] {
            let seen = datagram(Tools::default(), ends, &message(V1, b"public", pdu, b""));
            let side = |seen: &Observation| if let Observation::Bound(bound) = seen { bound.side } else { None };
            assert_eq!(seen.iter().find_map(side), Some(client), "{pdu:x}");
        }
        let usm = tlv(0x30, &[tlv(2, &[V3]), tlv(0x30, &tlv(2, &[1])), tlv(4, b"s3cret"), tlv(4, b"sealed")].concat());
        for (ends, client) in [(ENDS, Dir::Out), ((ENDS.1, ENDS.0), Dir::Back)] {
            let seen = datagram(Tools::default(), ends, &usm);
            let side = |seen: &Observation| if let Observation::Bound(bound) = seen { bound.side } else { None };
            assert_eq!(seen.iter().find_map(side), Some(client), "version 3");
        }
    }

    proptest! {
        #[test]
        fn hostile(cut in 0usize..40, tail in prop::collection::vec(any::<u8>(), 0..60)) {
            let whole = message(V1, b"s3cret", 0xa0, b"x");
            let bytes = [&whole[..cut.min(whole.len())], &tail[..]].concat();
            datagram(Tools::default(), ENDS, &bytes);
        }
    }
}
