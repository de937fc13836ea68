//! HTTP/1.x: requests joined with their answers, bodies searched, whatever the segmentation, the gaps and the manners of the senders.
//!
//! Long, for it is one machine of few states, and every state says what a gap, an end and the other direction do to it.

pub mod body;
pub mod coding;
pub mod exchange;
pub mod head;
pub mod prior;
pub mod secrets;
mod sniff;
pub mod websocket;

use std::collections::VecDeque;

use crate::chunk::{Chunk, Gap, Layer, Unit, Want};
use crate::dissect::marks::Marks;
use crate::dissect::search::{Place, Trail};
use crate::dissect::{Cx, DEEPEST, Dissector, Talk};
use crate::flow::{Counts, Dir, FlowEnd};
use crate::observation::{App, NotParsed, OddKind};

use body::{Body, Took};
use exchange::Exchange;
use head::{Begins, Head, Side};
use websocket::Socket;

pub use sniff::{looks_like, surely_begins};

/// Requests that wait for an answer; a sender that pipelines more has the oldest written without one.
const MOST_WAITING: usize = 512;
/// Of so many of those it is known that their answers come first.
const MOST_OWED: usize = 1 << 16;

/// The number of an exchange that is over.
const NOBODYS: u64 = 0;
/// The server waited in vain (RFC 9110 §15.5.9): whatever came before, it was no request.
const REQUEST_TIMEOUT: u16 = 408;
/// What came was no request that it could read (RFC 9110 §15.5.1).
const BAD_REQUEST: u16 = 400;

const STREAM: Place<'static> = Place::Of("tcp.stream");

/// Blank lines in front of a message that are passed over (RFC 9112 §2.2).
const fn is_line_end(byte: u8) -> bool {
    byte == b'\r' || byte == b'\n'
}

#[derive(Debug)]
pub struct Http {
    layer: Layer,
    halves: [Half; 2],
    /// The direction requests run in.
    client: Option<Dir>,
    exchanges: VecDeque<Exchange>,
    /// Number of the first of `exchanges`.
    first: u64,
    /// What runs after CONNECT or an upgrade; and whether that may be TLS, once its first byte has come.
    inner: Option<Box<Talk>>,
    sealed: Option<bool>,
    socket: Option<Box<Socket>>,
    /// Bytes after an upgrade to something else that nobody reads.
    unread: u64,
    /// Bytes between messages that are none, of each direction.
    lost: [u64; 2],
    /// What was said before: of it, nothing read, and anything at all.
    before: Option<Before>,
    /// Answers that nobody was seen to ask for, until it is known whether bytes of the client are missing.
    unasked: Vec<Exchange>,
    /// Requests that were written before their answer came: whether each was a HEAD, whose answer has no body.
    owed: VecDeque<bool>,
}

/// What a flow said before its first byte of HTTP.
#[derive(Clone, Copy, Debug)]
struct Before {
    unread: bool,
    heard: bool,
}

#[derive(Debug, Default)]
struct Half {
    stage: Stage,
    /// A head that is not whole yet, or the last bytes of a stream in which the next head is sought.
    kept: Vec<u8>,
    marks: Marks,
    looked: usize,
    /// Messages may have been lost since the last head.
    torn: bool,
    /// Bytes are missing.
    holed: bool,
    trail: Trail,
}

#[derive(Debug, Default)]
enum Stage {
    /// Between messages, or in a head.
    #[default]
    Head,
    Body(Box<Body>),
    /// After CONNECT or an upgrade request: what comes next, the answer decides.
    Asked,
    /// The framing is lost: the next first line is sought.
    Lost,
    /// CONNECT or an upgrade was granted.
    Through,
}

impl Dissector for Http {
    fn app(&self) -> App {
        App::Http
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Want {
        let Unit::Stream { mut offset } = chunk.unit else { return Want::All };
        self.before.get_or_insert_with(|| Before {
            unread: cx.known.coverage.unparsed > 0 || cx.known.unknown > 0,
            heard: cx.known.delivered > offset + chunk.bytes.len() as u64,
        });
        let joined;
        let mut bytes = chunk.bytes;
        // Bytes of a lost stream are kept from one chunk to the next: a first line may stand across them.
        if let Some((all, start)) = self.rejoin(chunk.dir, bytes, offset) {
            (joined, offset) = (all, start);
            bytes = &joined;
        }
        let mut turns = 0;
        while !bytes.is_empty() {
            let mut n = self.step(bytes, offset, chunk, cx).min(bytes.len());
            // A step that takes nothing has changed the stage; more than a few in a row would be a circle.
            turns = if n == 0 { turns + 1 } else { 0 };
            if turns > 4 {
                account(chunk, 1, cx);
                (n, turns) = (1, 0);
            }
            bytes = &bytes[n..];
            offset += n as u64;
        }
        Want::All
    }

    fn gap(&mut self, gap: &Gap, cx: &mut Cx<'_>) -> Want {
        let half = &mut self.halves[gap.dir.index()];
        half.holed = true;
        match std::mem::take(&mut half.stage) {
            Stage::Body(mut body) => {
                if body.gap(gap.len, cx) {
                    half.stage = Stage::Body(body);
                    self.settle(gap.dir, cx);
                } else {
                    self.over(*body, gap.offset, cx);
                    self.halves[gap.dir.index()].stage = Stage::Lost;
                }
            }
            Stage::Through => {
                half.stage = Stage::Through;
                if let Some(socket) = &mut self.socket {
                    socket.gap(gap.dir, gap.len, cx);
                } else if let Some(inner) = &mut self.inner {
                    return inner.gap(gap, cx);
                }
            }
            Stage::Head => {
                self.cut_head(gap.dir, cx);
                self.lose(gap.dir, gap.offset, cx);
            }
            Stage::Asked | Stage::Lost => self.lose(gap.dir, gap.offset, cx),
        }
        Want::All
    }

    fn rest(&mut self, cx: &mut Cx<'_>) {
        for dir in Dir::BOTH {
            let half = &mut self.halves[dir.index()];
            cx.search_pause(&mut half.trail, STREAM, dir, self.layer);
            half.kept.shrink_to_fit();
            half.marks.shrink_to_fit();
        }
        self.exchanges.shrink_to_fit();
        if let Some(inner) = &mut self.inner {
            inner.rest(cx);
        }
    }

    fn close(&mut self, end: FlowEnd, counts: &Counts, cx: &mut Cx<'_>) {
        for dir in Dir::BOTH {
            let half = &mut self.halves[dir.index()];
            match std::mem::take(&mut half.stage) {
                Stage::Body(body) => {
                    if !body.ends_at_close()
                        && !body.has_holes()
                        && matches!(end, FlowEnd::Fin | FlowEnd::Reset)
                        && counts.missing == [0, 0]
                    {
                        cx.odd(OddKind::BrokenBody, "the connection ended inside a body", None);
                    }
                    self.over(*body, 0, cx);
                }
                Stage::Head => {
                    self.cut_head(dir, cx);
                    self.lose(dir, 0, cx);
                }
                Stage::Lost => self.lose(dir, 0, cx),
                Stage::Asked | Stage::Through => {}
            }
        }
        for dir in Dir::BOTH {
            let mut trail = std::mem::take(&mut self.halves[dir.index()].trail);
            cx.search_end(&mut trail, STREAM, dir, self.layer);
        }
        if let Some(inner) = &mut self.inner {
            inner.close(end, counts, cx);
        }
        if let Some(socket) = &mut self.socket {
            socket.close(cx);
        }
        while let Some(exchange) = self.exchanges.pop_front() {
            self.tell(exchange, cx);
        }
        for exchange in std::mem::take(&mut self.unasked) {
            let missing = self.client.is_some_and(|client| counts.missing[client.index()] > 0);
            if self.implies_request(&exchange, missing, cx) {
                exchange.say(cx);
            }
        }
        if self.unread > 0 {
            cx.not_parsed_on(self.layer, App::Http, NotParsed::NotBuilt, self.unread);
        }
        let lost = self.lost.iter().sum();
        if lost > 0 {
            cx.not_parsed_on(self.layer, App::Http, NotParsed::Broken, lost);
        }
    }
}

impl Http {
    pub(crate) fn new(layer: Layer) -> Http {
        Http {
            layer,
            halves: Default::default(),
            client: None,
            exchanges: VecDeque::new(),
            first: 0,
            inner: None,
            sealed: None,
            socket: None,
            unread: 0,
            lost: [0; 2],
            before: None,
            unasked: Vec::new(),
            owed: VecDeque::new(),
        }
    }

    /// Takes some of `bytes`, which stand at `offset`; at least one unless the stage changed.
    fn step(&mut self, bytes: &[u8], offset: u64, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> usize {
        let dir = chunk.dir;
        let half = &mut self.halves[dir.index()];
        match &mut half.stage {
            Stage::Head => self.head(bytes, offset, chunk, cx),
            Stage::Body(body) => {
                let took = body.take(bytes, offset, chunk, cx);
                let (Took::Part(n) | Took::End(n) | Took::Broken(n)) = took;
                if chunk.layer == Layer::Wire {
                    cx.analysed(n);
                }
                match took {
                    Took::Part(_) => {}
                    Took::End(_) => self.settle_at(dir, offset + n as u64, cx),
                    Took::Broken(_) => {
                        cx.odd(OddKind::BrokenHttp, "chunked framing is broken", Some(offset + n as u64));
                        if let Stage::Body(body) = std::mem::replace(&mut half.stage, Stage::Lost) {
                            self.over(*body, offset + n as u64, cx);
                        }
                    }
                }
                n
            }
            Stage::Asked => {
                // Who does not wait for the answer either pipelines or takes the tunnel for granted.
                if head::begins(bytes) == Begins::No {
                    half.stage = Stage::Through;
                    if self.exchanges.back().is_some_and(Exchange::is_connect) {
                        self.tunnel(cx);
                    }
                } else {
                    half.stage = Stage::Head;
                }
                0
            }
            Stage::Lost => self.seek(bytes, offset, chunk, cx),
            Stage::Through => {
                self.through(bytes, offset, chunk, cx);
                bytes.len()
            }
        }
    }

    /// Bytes of a head, or between messages.
    fn head(&mut self, bytes: &[u8], offset: u64, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> usize {
        let dir = chunk.dir;
        let half = &mut self.halves[dir.index()];
        if half.kept.is_empty() {
            let blank = bytes.iter().take_while(|b| is_line_end(**b)).count();
            if blank > 0 {
                account(chunk, blank, cx);
                return blank;
            }
            let begins = head::begins(bytes);
            if begins == Begins::No && self.bare(bytes, offset, chunk, cx) {
                return bytes.len();
            }
            if begins == Begins::No || matches!(begins, Begins::Yes(side) if self.side_of(dir).is_some_and(|s| s != side)) {
                cx.odd(OddKind::BrokenHttp, "bytes between messages are no head", Some(offset));
                self.halves[dir.index()].stage = Stage::Lost;
                return 0;
            }
            if let Some(end) = head::end_of_head(bytes, 0) {
                // The common case: a whole head in one piece, read where it lies.
                account(chunk, end, cx);
                let mut marks = Marks::default();
                marks.push(0, offset, chunk);
                self.message(&bytes[..end], &marks, offset + end as u64, chunk, cx);
                return end;
            }
        }
        let side = self.side_of(dir);
        let half = &mut self.halves[dir.index()];
        half.marks.push(half.kept.len() as u64, offset, chunk);
        let before = half.kept.len();
        half.kept.extend_from_slice(bytes);
        let begins = head::begins(&half.kept);
        let wrong = begins == Begins::No || matches!(begins, Begins::Yes(s) if side.is_some_and(|side| s != side));
        if begins == Begins::No {
            let kept = std::mem::take(&mut half.kept);
            let start = offset.saturating_sub(before as u64);
            if self.bare(&kept, start, chunk, cx) {
                return bytes.len();
            }
            self.halves[dir.index()].kept = kept;
        }
        let half = &mut self.halves[dir.index()];
        let end = if wrong { None } else { head::end_of_head(&half.kept, half.looked) };
        if wrong || end.is_none() && half.kept.len() > cx.tools.limits.message {
            let what = if wrong { "bytes between messages are no head" } else { "a head is longer than the limit" };
            cx.odd(OddKind::BrokenHttp, what, Some(offset));
            half.stage = Stage::Lost;
            return bytes.len();
        }
        let Some(end) = end else {
            half.looked = half.kept.len().saturating_sub(3);
            return bytes.len();
        };
        let (kept, marks) = (std::mem::take(&mut half.kept), std::mem::take(&mut half.marks));
        half.looked = 0;
        account(chunk, end, cx);
        let used = end.saturating_sub(before);
        self.message(kept.get(..end).unwrap_or_default(), &marks, offset + used as u64, chunk, cx);
        used
    }

    /// A request of HTTP/0.9 at the start of a connection: one line. The answer has no head and lasts until the end.
    fn bare(&mut self, bytes: &[u8], offset: u64, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> bool {
        let Some(target) = head::bare_target(bytes).filter(|_| self.client.is_none() && offset == 0 && cx.known.ends.from_start) else {
            return false;
        };
        let mut marks = Marks::default();
        marks.push(0, offset, chunk);
        let head = Head { start: head::Start::Request { method: b"GET", target }, fields: smallvec::SmallVec::new(), bent: true };
        self.client = Some(chunk.dir);
        account(chunk, bytes.len(), cx);
        self.exchanges.push_back(Exchange::asked(&head, bytes, &marks, bytes.len() as u64, chunk, cx));
        for half in &mut self.halves {
            half.stage = Stage::Lost;
            half.marks.clear();
            half.looked = 0;
        }
        true
    }

    fn side_of(&self, dir: Dir) -> Option<Side> {
        self.client.map(|client| if client == dir { Side::Request } else { Side::Response })
    }

    /// A whole head. The body begins at `after`.
    fn message(&mut self, bytes: &[u8], marks: &Marks, after: u64, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        let dir = chunk.dir;
        let Begins::Yes(side) = head::begins(bytes) else { return };
        let Some(head) = Head::read(bytes, side) else {
            cx.odd(OddKind::BrokenHttp, "a head that is none", Some(after - bytes.len() as u64));
            self.halves[dir.index()].stage = Stage::Lost;
            return;
        };
        if self.client.is_none() {
            self.client = Some(if side == Side::Request { dir } else { dir.other() });
        }
        if head.bent {
            cx.odd(OddKind::BrokenHttp, "a head bends the grammar", Some(after - bytes.len() as u64));
        }
        let stage = match side {
            Side::Request => self.request(&head, bytes, marks, after, chunk, cx),
            Side::Response => self.response(&head, bytes, marks, after, chunk, cx),
        };
        self.halves[dir.index()].stage = stage;
        self.settle_at(dir, after, cx);
    }

    fn request(&mut self, head: &Head<'_>, bytes: &[u8], marks: &Marks, after: u64, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Stage {
        let exchange = Exchange::asked(head, bytes, marks, after, chunk, cx);
        let tunnel = exchange.is_connect() || exchange.upgrades();
        if self.exchanges.len() >= MOST_WAITING
            && let Some(oldest) = self.exchanges.pop_front()
        {
            self.first += 1;
            cx.odd(OddKind::BrokenHttp, "too many requests wait for an answer", None);
            if !oldest.is_answered() && self.owed.len() < MOST_OWED {
                self.owed.push_back(oldest.is_head());
            }
            self.tell(oldest, cx);
        }
        let shape = head::Shape::read(head, Side::Request);
        if let Some(conflict) = shape.conflict {
            cx.odd(OddKind::BrokenHttp, conflict, Some(after));
        }
        let number = self.first + self.exchanges.len() as u64;
        let bare = exchange.is_connect() || shape.length == head::Length::None;
        self.exchanges.push_back(exchange);
        if bare {
            self.asked(number, after);
            return if tunnel { Stage::Asked } else { Stage::Head };
        }
        let media = exchange::media_type(head);
        Stage::Body(Box::new(Body::new(shape, Side::Request, number, media, chunk, cx.tools.limits.body)))
    }

    fn response(&mut self, head: &Head<'_>, bytes: &[u8], marks: &Marks, after: u64, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> Stage {
        let head::Start::Response { status } = head.start else { return Stage::Lost };
        if (100..200).contains(&status) && status != 101 {
            // 1xx comes before the answer (RFC 9110 §15.2).
            return Stage::Head;
        }
        if std::mem::take(&mut self.halves[chunk.dir.index()].torn) {
            // Answers may be among what was lost. Who does not pipeline asks again only after an answer: this one is the last request's.
            let waiting = self.exchanges.iter().filter(|e| !e.is_answered()).count();
            for missed in self.exchanges.iter_mut().filter(|e| !e.is_answered()).take(waiting.saturating_sub(1)) {
                missed.over_in(0, None, cx);
            }
            self.owed.clear();
            self.say_done(cx);
        }
        if let Some(head_only) = self.owed.pop_front() {
            // Its request is written: what it says is searched, and belongs to no other.
            Exchange::unasked(chunk).answer(head, status, bytes, marks, chunk, cx);
            let mut shape = head::Shape::read(head, Side::Response);
            if head_only || matches!(status, 204 | 304) {
                shape.length = head::Length::None;
            }
            if shape.length == head::Length::None {
                return Stage::Head;
            }
            let media = exchange::media_type(head);
            return Stage::Body(Box::new(Body::new(shape, Side::Response, NOBODYS, media, chunk, cx.tools.limits.body)));
        }
        let at = self.exchanges.iter().position(|e| !e.is_answered()).unwrap_or_else(|| {
            self.exchanges.push_back(Exchange::unasked(chunk));
            self.exchanges.len() - 1
        });
        let number = self.first + at as u64;
        let Some(exchange) = self.exchanges.get_mut(at) else { return Stage::Lost };
        exchange.answer(head, status, bytes, marks, chunk, cx);
        let granted = exchange.is_connect() && (200..300).contains(&status) || status == 101;
        let empty = exchange.is_head() || matches!(status, 101 | 204 | 304) || granted;
        let mut shape = head::Shape::read(head, Side::Response);
        if let Some(conflict) = shape.conflict {
            cx.odd(OddKind::BrokenHttp, conflict, Some(after));
        }
        if empty {
            shape.length = head::Length::None;
        }
        if granted {
            let connect = exchange.is_connect();
            exchange.over_in(after, None, cx);
            let client = &mut self.halves[chunk.dir.other().index()];
            if matches!(client.stage, Stage::Asked | Stage::Head) && client.kept.is_empty() {
                client.stage = Stage::Through;
            }
            if connect {
                self.tunnel(cx);
            } else {
                self.socket = Socket::granted(head, chunk.dir.other(), self.layer, cx.tools.limits.body).map(Box::new);
            }
            self.say_done(cx);
            return Stage::Through;
        }
        if shape.length == head::Length::None {
            exchange.over_in(after, None, cx);
            self.refused(chunk.dir.other());
            self.say_done(cx);
            return Stage::Head;
        }
        self.refused(chunk.dir.other());
        let media = exchange::media_type(head);
        Stage::Body(Box::new(Body::new(shape, Side::Response, number, media, chunk, cx.tools.limits.body)))
    }

    /// An answer that is no grant: the client goes on with requests.
    fn refused(&mut self, client: Dir) {
        let half = &mut self.halves[client.index()];
        if matches!(half.stage, Stage::Asked) {
            half.stage = Stage::Head;
        }
    }

    /// What comes through a tunnel is a conversation of its own.
    fn tunnel(&mut self, cx: &mut Cx<'_>) {
        if self.inner.is_none() && cx.known.nested < DEEPEST {
            cx.known.nested += 1;
            self.inner = Some(Box::default());
        }
    }

    /// A request without a body is over with its head.
    fn asked(&mut self, number: u64, after: u64) {
        if let Some(exchange) = number.checked_sub(self.first).and_then(|n| self.exchanges.get_mut(n as usize)) {
            exchange.over_out(after, None);
        }
    }

    /// Ends the body of `dir` if its framing says it is over.
    fn settle_at(&mut self, dir: Dir, offset: u64, cx: &mut Cx<'_>) {
        let half = &mut self.halves[dir.index()];
        if let Stage::Body(body) = &half.stage
            && body.is_done()
            && let Stage::Body(body) = std::mem::take(&mut half.stage)
        {
            self.over(*body, offset, cx);
        }
    }

    fn settle(&mut self, dir: Dir, cx: &mut Cx<'_>) {
        self.settle_at(dir, 0, cx);
    }

    /// A body is over, at `offset` of its stream (0 = not known).
    fn over(&mut self, mut body: Body, offset: u64, cx: &mut Cx<'_>) {
        let over = body.end(cx);
        let at = body.exchange.checked_sub(self.first).map(|n| n as usize);
        if let Some(exchange) = at.and_then(|at| self.exchanges.get_mut(at)) {
            match body.side() {
                Side::Request => {
                    exchange.over_out(offset, Some(over));
                    if exchange.upgrades() {
                        self.halves[body.dir().index()].stage = Stage::Asked;
                    }
                }
                Side::Response => exchange.over_in(offset, Some(over), cx),
            }
        }
        self.say_done(cx);
    }

    /// Writes exchanges that are over, in the order they were asked.
    fn say_done(&mut self, cx: &mut Cx<'_>) {
        while let Some(front) = self.exchanges.front()
            && front.is_over()
            // A flow is told of once: the TLS client in a tunnel is known when it has said its hello.
            && (!front.is_connect() || self.inner.is_none() || cx.is_bound() || self.sealed == Some(false))
            && let Some(exchange) = self.exchanges.pop_front()
        {
            self.first += 1;
            self.tell(exchange, cx);
        }
    }

    /// Writes an exchange, unless nothing says that it was one.
    fn tell(&mut self, exchange: Exchange, cx: &mut Cx<'_>) {
        if exchange.is_asked() || self.implies_request(&exchange, false, cx) {
            exchange.say(cx);
        } else if exchange.status() != Some(REQUEST_TIMEOUT) && self.unasked.len() < MOST_WAITING {
            self.unasked.push(exchange);
        }
    }

    /// Whether an answer whose request was not read tells of one: the client said what is missing here or was not understood. Servers also
    /// speak unasked: to who says nothing, and to who speaks TLS to them.
    fn implies_request(&self, exchange: &Exchange, missing: bool, cx: &Cx<'_>) -> bool {
        let before = self.before.unwrap_or(Before { unread: false, heard: false });
        let half = self.client.map(|client| (&self.halves[client.index()], self.lost[client.index()]));
        let torn = half.is_some_and(|(half, _)| half.holed);
        let unread =
            before.unread || half.is_some_and(|(half, lost)| lost > 0 || matches!(half.stage, Stage::Lost) && !half.kept.is_empty());
        match exchange.status() {
            Some(REQUEST_TIMEOUT) => false,
            // What is sealed on one side only is not missing to whoever counts.
            _ if self.layer != Layer::Wire => true,
            Some(BAD_REQUEST) if before.heard || unread => false,
            _ => missing || torn || unread || !cx.known.ends.from_start,
        }
    }

    /// The rest of a head will not come: what its whole lines say is told.
    fn cut_head(&mut self, dir: Dir, cx: &mut Cx<'_>) {
        let half = &mut self.halves[dir.index()];
        let Some(end) = memchr::memrchr(b'\n', &half.kept).map(|at| at + 1) else { return };
        if head::begins(&half.kept) == Begins::No {
            return;
        }
        let marks = std::mem::take(&mut half.marks);
        let origin = marks.origin(0, end as u64);
        let rest = half.kept.split_off(end);
        let mut lines = std::mem::replace(&mut half.kept, rest);
        half.looked = 0;
        lines.extend_from_slice(b"\r\n");
        let unit = Unit::Stream { offset: origin.offset };
        let chunk = Chunk { flow: cx.flow, dir, unit, layer: self.layer, time: origin.time, frame: origin.frame, bytes: &[] };
        account(&chunk, end, cx);
        cx.odd(OddKind::BrokenHttp, "a head whose end is missing", Some(origin.offset));
        self.message(&lines, &marks, origin.offset + lines.len() as u64, &chunk, cx);
        // The end that was put in its place was not sent.
        if let Some(asked) = self.exchanges.back_mut().filter(|_| self.client == Some(dir)) {
            asked.shorten(lines.len() - end);
        }
        self.halves[dir.index()].stage = Stage::Lost;
    }

    /// What was kept of a head is no head, or its rest will not come.
    fn lose(&mut self, dir: Dir, offset: u64, cx: &mut Cx<'_>) {
        let half = &mut self.halves[dir.index()];
        let kept = std::mem::take(&mut half.kept);
        half.marks.clear();
        half.looked = 0;
        half.stage = Stage::Lost;
        if !kept.is_empty() {
            self.lost[dir.index()] += kept.len() as u64;
            if self.layer == Layer::Wire {
                cx.unparsed(kept.len());
            }
            let start = offset.saturating_sub(kept.len() as u64);
            cx.search_stream(&mut half.trail, STREAM, dir, self.layer, start, &kept);
            cx.search_end(&mut half.trail, STREAM, dir, self.layer);
        }
    }

    /// The bytes kept of a lost stream with those that came now, and where they begin.
    fn rejoin(&mut self, dir: Dir, bytes: &[u8], offset: u64) -> Option<(Vec<u8>, u64)> {
        let half = &mut self.halves[dir.index()];
        if half.kept.is_empty() || !matches!(half.stage, Stage::Lost) {
            return None;
        }
        let mut all = std::mem::take(&mut half.kept);
        let start = offset.saturating_sub(all.len() as u64);
        all.extend_from_slice(bytes);
        Some((all, start))
    }

    /// Looks for the next first line of this direction: passes over what is before it, or keeps what may begin one.
    fn seek(&mut self, bytes: &[u8], offset: u64, chunk: &Chunk<'_>, cx: &mut Cx<'_>) -> usize {
        let side = self.side_of(chunk.dir).unwrap_or(Side::Request);
        let half = &mut self.halves[chunk.dir.index()];
        let found = head::find(bytes, side);
        // Without a find the last bytes may still begin a first line.
        let gone = found.unwrap_or_else(|| bytes.len().saturating_sub(head::LONGEST_LINE));
        if gone > 0 {
            self.lost[chunk.dir.index()] += gone as u64;
            if chunk.layer == Layer::Wire {
                cx.unparsed(gone);
            }
            cx.search_stream(&mut half.trail, STREAM, chunk.dir, chunk.layer, offset, &bytes[..gone]);
        }
        if found.is_none() {
            half.kept = bytes[gone..].to_vec();
            return bytes.len();
        }
        cx.search_end(&mut half.trail, STREAM, chunk.dir, chunk.layer);
        half.stage = Stage::Head;
        half.torn = true;
        half.marks.clear();
        half.looked = 0;
        gone
    }

    /// Bytes of a tunnel or an upgraded connection.
    fn through(&mut self, bytes: &[u8], offset: u64, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        if let Some(socket) = &mut self.socket {
            socket.take(bytes, offset, chunk, cx);
            return;
        }
        let piece = Chunk { unit: Unit::Stream { offset }, bytes, ..*chunk };
        if self.inner.is_some() && self.sealed.is_none() {
            // A handshake record, or a hello of SSL 2.0.
            self.sealed = Some(matches!(bytes, [0x16 | 0x80 | 0x81, ..]));
            self.say_done(cx);
        }
        if let Some(inner) = &mut self.inner {
            inner.chunk(&piece, cx);
            if inner.is_opaque() {
                self.unread += bytes.len() as u64;
                account_unread(chunk, bytes.len(), cx);
            }
            self.say_done(cx);
            return;
        }
        self.unread += bytes.len() as u64;
        account_unread(chunk, bytes.len(), cx);
        // It may pack what it carries (HTTP/2 does), whatever its beginning looks like.
        cx.streamed(chunk.dir, chunk.layer, bytes.len() as u64);
        let half = &mut self.halves[chunk.dir.index()];
        cx.pass_stream(&mut half.trail, STREAM, chunk.dir, chunk.layer, offset, bytes);
    }
}

fn account(chunk: &Chunk<'_>, n: usize, cx: &mut Cx<'_>) {
    if chunk.layer == Layer::Wire {
        cx.analysed(n);
    }
}

fn account_unread(chunk: &Chunk<'_>, n: usize, cx: &mut Cx<'_>) {
    if chunk.layer == Layer::Wire {
        cx.unparsed(n);
    }
}

#[cfg(test)]
mod tests;
