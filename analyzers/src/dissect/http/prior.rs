//! HTTP/2 in clear, begun with prior knowledge (RFC 9113 §3.3): that it is spoken is told as bytes not parsed, its frames are searched and
//! not read. The preface is no request.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::chunk::{Chunk, Gap, Layer, Unit, Want};
use crate::dissect::search::{Place, Trail};
use crate::dissect::sniff::Guess;
use crate::dissect::{Cx, Dissector, Hint};
use crate::flow::{Counts, Dir, Ends, FlowEnd};
use crate::observation::{App, NotParsed};

/// The first line of the client's connection preface (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

const STREAM: Place<'static> = Place::Of("tcp.stream");

/// Whether first bytes are the preface, in clear: under TLS it says nothing that ALPN has not said.
pub fn looks_like(_: &Ends, chunk: &Chunk<'_>, bytes: &[u8]) -> Guess {
    if !matches!(chunk.unit, Unit::Stream { .. }) || chunk.layer != Layer::Wire {
        return Guess::No;
    }
    if bytes.starts_with(PREFACE) {
        return Guess::Is(Box::new(Prior::default()));
    }
    if PREFACE.starts_with(bytes) { Guess::More } else { Guess::No }
}

/// Where a preface begins in the last bytes of a stream, of which those before `old` were looked at before.
pub fn find(bytes: &[u8], old: usize) -> Option<usize> {
    static SIGN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(PREFACE));
    let from = old.saturating_sub(PREFACE.len() - 1);
    SIGN.find(bytes.get(from..)?).map(|at| from + at)
}

/// A connection that speaks HTTP/2 in clear.
#[derive(Debug, Default)]
pub struct Prior {
    said: bool,
    trails: [Trail; 2],
    unread: u64,
    layer: Layer,
}

impl Dissector for Prior {
    fn app(&self) -> App {
        App::Http2
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Want {
        let Unit::Stream { offset } = chunk.unit else { return Want::All };
        self.layer = chunk.layer;
        if !self.said && chunk.bytes.starts_with(PREFACE) {
            self.said = true;
            cx.hint(Hint { client: Some(chunk.dir), ..Hint::default() });
        }
        if chunk.layer == Layer::Wire {
            cx.unparsed(chunk.bytes.len());
        }
        self.unread += chunk.bytes.len() as u64;
        cx.search_stream(&mut self.trails[chunk.dir.index()], STREAM, chunk.dir, chunk.layer, offset, chunk.bytes);
        Want::All
    }

    fn gap(&mut self, _: &Gap, _: &mut Cx<'_>) -> Want {
        Want::All
    }

    fn close(&mut self, _: FlowEnd, _: &Counts, cx: &mut Cx<'_>) {
        for dir in Dir::BOTH {
            cx.search_end(&mut self.trails[dir.index()], STREAM, dir, self.layer);
        }
        cx.not_parsed_on(self.layer, App::Http2, NotParsed::NotBuilt, self.unread);
    }
}
