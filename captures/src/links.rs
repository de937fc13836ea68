//! Which IP addresses stand behind which link addresses: one light pass over a capture, that reads no payload.

use std::io::Read;

use analyzers::chunk::{Chunk, Gap, Want};
use analyzers::flow::{Counts, Dir, Ends, FlowEnd, FlowKey};
use analyzers::keys::Secret;
use analyzers::links::Links;
use analyzers::observation::{Neighbour, OddKind};
use policies::Time;

use crate::drive::{Drive, Outs};
use crate::read::OpenError;
use crate::run::{Options, analyse};

/// Who speaks in a capture from behind which link address. Damage ends it silently: the reading proper reports it.
pub fn links(input: impl Read, options: &Options) -> Result<Links, OpenError> {
    let mut links = Links::default();
    let mut deliver = |heard| match heard {
        Heard::Flow(ends) => links.flow(&ends),
        Heard::Bound(fact) => links.neighbour(&fact),
    };
    analyse(input, options, |_| Listener, &mut deliver, &mut |_| {})?;
    Ok(links)
}

#[derive(Debug)]
enum Heard {
    Flow(Box<Ends>),
    Bound(Neighbour),
}

#[derive(Debug)]
struct Listener;

impl Drive for Listener {
    type Out = Heard;

    fn open(&mut self, _: FlowKey, ends: &Ends, _: Time, _: u64, out: &mut Outs<Heard>) {
        out.push(Heard::Flow(Box::new(*ends)));
    }

    fn chunk(&mut self, _: Chunk<'_>, _: &mut Outs<Heard>) -> Want {
        Want::Nothing
    }

    fn passed(&mut self, _: FlowKey, _: Dir, _: u64, _: Time) {}

    fn gap(&mut self, _: Gap, _: &mut Outs<Heard>) -> Want {
        Want::Nothing
    }

    fn close(&mut self, _: FlowKey, _: FlowEnd, _: &Counts, _: Time, _: u64, _: &mut Outs<Heard>) {}

    fn link(&mut self, fact: Neighbour, _: Time, _: u64, out: &mut Outs<Heard>) {
        out.push(Heard::Bound(fact));
    }

    fn odd(&mut self, _: Option<FlowKey>, _: OddKind, _: &str, _: Time, _: u64, _: &mut Outs<Heard>) {}

    fn key(&mut self, _: &Secret) {}

    fn tick(&mut self, _: Time, _: u64, _: &mut Outs<Heard>) {}

    fn finish(&mut self, _: Time, _: u64, _: &mut Outs<Heard>) {}
}
