//! The seam between captures and what reads their bytes: a pipeline, or a recording double in tests.

use analyzers::chunk::{Chunk, Gap, Want};
use analyzers::flow::{Counts, Dir, Ends, FlowEnd, FlowKey};
use analyzers::keys::Secret;
use analyzers::observation::{Neighbour, OddKind};
use analyzers::pipeline::{Out, Pipeline, Sink};
use policies::Time;

/// Collects what one shard puts out, each with the frame that caused it.
#[derive(Debug)]
pub struct Outs<T> {
    /// The frame being worked on; at least the one before.
    pub(crate) cause: u64,
    pub(crate) items: Vec<Said<T>>,
}

/// What was said, with the frame it is about, until it is handed over.
pub(crate) type Said<T> = (u64, Option<T>);

impl<T> Outs<T> {
    pub fn push(&mut self, out: T) {
        self.items.push((self.cause, Some(out)));
    }
}

impl<T> Default for Outs<T> {
    fn default() -> Outs<T> {
        Outs { cause: 0, items: Vec::new() }
    }
}

impl Sink for Outs<Out> {
    fn put(&mut self, out: Out) {
        self.push(out);
    }
}

/// What a shard calls, in the order of its frames. [`Pipeline`] says what each call means.
pub trait Drive: Send {
    type Out: Send;

    fn open(&mut self, flow: FlowKey, ends: &Ends, time: Time, frame: u64, out: &mut Outs<Self::Out>);
    fn chunk(&mut self, chunk: Chunk<'_>, out: &mut Outs<Self::Out>) -> Want;
    /// Bytes of a direction that wants nothing more; counted together for up to a second.
    fn passed(&mut self, flow: FlowKey, dir: Dir, len: u64, time: Time);
    fn gap(&mut self, gap: Gap, out: &mut Outs<Self::Out>) -> Want;
    fn close(&mut self, flow: FlowKey, end: FlowEnd, counts: &Counts, time: Time, frame: u64, out: &mut Outs<Self::Out>);
    /// Nothing was heard of a flow for long: what is kept of it may be packed.
    fn rest(&mut self, _flow: FlowKey, _time: Time, _frame: u64, _out: &mut Outs<Self::Out>) {}
    fn link(&mut self, fact: Neighbour, time: Time, frame: u64, out: &mut Outs<Self::Out>);
    fn odd(&mut self, flow: Option<FlowKey>, what: OddKind, detail: &str, time: Time, frame: u64, out: &mut Outs<Self::Out>);
    fn key(&mut self, secret: &Secret);
    fn tick(&mut self, time: Time, frame: u64, out: &mut Outs<Self::Out>);
    fn finish(&mut self, time: Time, frame: u64, out: &mut Outs<Self::Out>);
}

impl Drive for Pipeline {
    type Out = Out;

    fn open(&mut self, flow: FlowKey, ends: &Ends, time: Time, frame: u64, out: &mut Outs<Out>) {
        self.open(flow, ends, time, frame, out);
    }

    fn chunk(&mut self, chunk: Chunk<'_>, out: &mut Outs<Out>) -> Want {
        self.chunk(chunk, out)
    }

    fn passed(&mut self, flow: FlowKey, dir: Dir, len: u64, time: Time) {
        self.passed(flow, dir, len, time);
    }

    fn gap(&mut self, gap: Gap, out: &mut Outs<Out>) -> Want {
        self.gap(gap, out)
    }

    fn close(&mut self, flow: FlowKey, end: FlowEnd, counts: &Counts, time: Time, frame: u64, out: &mut Outs<Out>) {
        self.close(flow, end, counts, time, frame, out);
    }

    fn rest(&mut self, flow: FlowKey, time: Time, frame: u64, out: &mut Outs<Out>) {
        self.rest(flow, time, frame, out);
    }

    fn link(&mut self, fact: Neighbour, time: Time, frame: u64, out: &mut Outs<Out>) {
        self.link(fact, time, frame, out);
    }

    fn odd(&mut self, flow: Option<FlowKey>, what: OddKind, detail: &str, time: Time, frame: u64, out: &mut Outs<Out>) {
        self.odd(flow, what, detail, time, frame, out);
    }

    fn key(&mut self, secret: &Secret) {
        self.key(secret.clone());
    }

    fn tick(&mut self, time: Time, frame: u64, out: &mut Outs<Out>) {
        self.tick(time, frame, out);
    }

    fn finish(&mut self, time: Time, frame: u64, out: &mut Outs<Out>) {
        self.finish(time, frame, out);
    }
}
