//! What tests of dissectors share.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use policies::{IdentifierType, Time};

use crate::chunk::{Chunk, Layer, Unit};
use crate::flow::{Counts, Dir, Ends, FlowEnd, FlowKey, Transport};
use crate::leak::{Engine, Seed};
use crate::observation::{Grade, Observation};
use crate::pipeline::{Out, Pipeline, Tools};

/// Tools that seek these values.
pub(crate) fn seeking(planted: &[(IdentifierType, &str)]) -> Tools {
    let seeds = planted.iter().map(|(kind, value)| Seed { name: kind.word().into(), kind: *kind, value: (*value).into() });
    Tools { engine: Some(Arc::new(Engine::new(seeds, &[7; 32]))), ..Tools::default() }
}

/// Where and how values were found, each once; those that are no proof with a question mark.
pub(crate) fn told(seen: &[Observation]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for seen in seen {
        let Observation::Hit(hit) = seen else { continue };
        let mut line = hit.place.to_string();
        hit.chain.iter().for_each(|step| line = format!("{line} {step}"));
        if hit.grade != Grade::Proof {
            line.push_str(" ?");
        }
        if !out.contains(&line) {
            out.push(line);
        }
    }
    out
}

/// What is seen of one datagram that `a` sends to `b` twice.
pub(crate) fn datagram(tools: Tools, ends: (&str, &str), bytes: &[u8]) -> Vec<Observation> {
    sent(tools, Transport::Udp, ends, &[(Unit::Datagram, bytes); 2])
}

/// What is seen of a stream that `a` sends to `b` in two segments.
pub(crate) fn stream(tools: Tools, ends: (&str, &str), bytes: &[u8]) -> Vec<Observation> {
    let (first, then) = bytes.split_at(bytes.len() / 2);
    let offset = first.len() as u64;
    sent(tools, Transport::Tcp, ends, &[(Unit::Stream { offset: 0 }, first), (Unit::Stream { offset }, then)])
}

fn sent(tools: Tools, transport: Transport, (a, b): (&str, &str), units: &[(Unit, &[u8])]) -> Vec<Observation> {
    let key = FlowKey::new(0, 1);
    let (a, b) = (a.parse().unwrap(), b.parse().unwrap());
    let ends = Ends { transport, a, b, a_mac: None, b_mac: None, from_start: true };
    let mut pipeline = Pipeline::new(Arc::new(tools));
    let mut out: Vec<Out> = Vec::new();
    pipeline.open(key, &ends, Time(0), 1, &mut out);
    for (frame, (unit, bytes)) in (1..).zip(units) {
        let chunk = Chunk { flow: key, dir: Dir::Out, unit: *unit, layer: Layer::Wire, time: Time(0), frame, bytes };
        pipeline.chunk(chunk, &mut out);
    }
    pipeline.close(key, FlowEnd::Idle, &Counts::default(), Time(9), 9, &mut out);
    out.into_iter().filter_map(|o| if let Out::Seen(draft) = o { Some(draft.seen) } else { None }).collect()
}

/// What is seen of a TCP connection to `port` of somebody beyond the link.
pub(crate) fn connection(tools: Tools, port: u16, turns: &[(Dir, &[u8])]) -> Vec<Observation> {
    let key = FlowKey::new(0, 1);
    let (a, b) = ("192.168.1.7:50000".parse().unwrap(), std::net::SocketAddr::new("203.0.113.9".parse().unwrap(), port));
    let mut pipeline = Pipeline::new(Arc::new(tools));
    let mut out: Vec<Out> = Vec::new();
    pipeline.open(key, &Ends { transport: Transport::Tcp, a, b, a_mac: None, b_mac: None, from_start: true }, Time(0), 1, &mut out);
    let mut offsets = [0; 2];
    for (frame, (dir, bytes)) in (1..).zip(turns) {
        let offset = offsets[dir.index()];
        offsets[dir.index()] += bytes.len() as u64;
        let unit = Unit::Stream { offset };
        pipeline.chunk(Chunk { flow: key, dir: *dir, unit, layer: Layer::Wire, time: Time(frame), frame: frame as u64, bytes }, &mut out);
    }
    pipeline.close(key, FlowEnd::Fin, &Counts::default(), Time(99), 99, &mut out);
    out.into_iter().filter_map(|o| if let Out::Seen(draft) = o { Some(draft.seen) } else { None }).collect()
}
