//! WebSocket (RFC 6455) after an upgrade: frames joined to messages, unmasked, inflated where permessage-deflate was agreed (RFC 7692), and
//! searched like bodies; and read as a stream for logins.

use smallvec::SmallVec;

use super::head::Head;
use super::secrets::Secret;
use crate::chunk::{Chunk, Layer};
use crate::dissect::marks::{Mark, Marks};
use crate::dissect::search::{From, Place, Spot, Trail};
use crate::dissect::{Cx, login};
use crate::flow::Dir;
use crate::observation::OddKind;

const PLACE: Place<'static> = Place::Of("http.websocket");

/// Both directions of an upgraded connection.
#[derive(Debug)]
pub struct Socket {
    layer: Layer,
    sides: [Side; 2],
    said: Said,
    /// So much of a message is kept, and so much comes out of it.
    limit: usize,
}

#[derive(Debug, Default)]
struct Side {
    /// The head of a frame that is not whole yet.
    head: SmallVec<[u8; LONGEST_HEAD]>,
    frame: Option<Frame>,
    message: Option<Message>,
    /// The payload of a control frame; those come between the fragments of a message (RFC 6455 §5.4).
    control: Message,
    /// Where the next frame begins is not known any more.
    lost: bool,
    trail: Trail,
    inflate: Inflate,
}

/// The messages of each direction as a stream, in which somebody may log in: MQTT, XMPP (RFC 7395), IRC and others speak so.
#[derive(Debug, Default)]
struct Said {
    logins: login::Readers,
    /// So long is the stream.
    len: [u64; 2],
}

/// Two bytes, a length of eight and a mask of four (RFC 6455 §5.2).
const LONGEST_HEAD: usize = 14;

#[derive(Clone, Copy, Debug)]
struct Frame {
    left: u64,
    mask: [u8; 4],
    /// How far into the payload, for the mask.
    at: usize,
    control: bool,
    last: bool,
}

#[derive(Debug, Default)]
struct Message {
    packed: bool,
    /// Marked by an extension nobody here knows.
    foreign: bool,
    /// Text, and not bytes (RFC 6455 §5.6).
    text: bool,
    /// What stood before was searched already.
    parted: bool,
    kept: Vec<u8>,
    marks: Marks,
    /// Coded bytes that found no room.
    over: u64,
}

impl Socket {
    /// After the answer `head` that grants it, if what it grants is a WebSocket. Requests run in `client`.
    pub fn granted(head: &Head<'_>, client: Dir, layer: Layer, limit: usize) -> Option<Socket> {
        head.fields.iter().find(|f| f.is("upgrade") && f.value.eq_ignore_ascii_case(b"websocket"))?;
        let mut socket = Socket { layer, sides: Default::default(), said: Said::default(), limit };
        for field in head.fields.iter().filter(|f| f.is("sec-websocket-extensions")) {
            for parameter in field.value.split(|b| *b == b';' || *b == b',') {
                // RFC 7692 §7.1.1: whoever says so begins each message with an empty window.
                let (word, client_says) = (parameter.trim_ascii(), client.index());
                if word.eq_ignore_ascii_case(b"client_no_context_takeover") {
                    socket.sides[client_says].inflate.forgets = true;
                } else if word.eq_ignore_ascii_case(b"server_no_context_takeover") {
                    socket.sides[1 - client_says].inflate.forgets = true;
                }
            }
        }
        Some(socket)
    }

    /// Takes bytes, which stand at `offset` of their direction.
    pub fn take(&mut self, bytes: &[u8], offset: u64, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|r| !r.is_empty()) {
            let here = offset + at as u64;
            let side = &mut self.sides[chunk.dir.index()];
            if side.lost {
                self.unread(rest, here, chunk, cx);
                return;
            }
            let n = match &mut side.frame {
                None => side.begin(rest[0], here, chunk.dir, self.layer, cx),
                Some(frame) => {
                    let n = rest.len().min(usize::try_from(frame.left).unwrap_or(usize::MAX));
                    let (frame_before, control) = (*frame, frame.control);
                    frame.left -= n as u64;
                    frame.at = (frame.at + n) % 4;
                    let message = if control { &mut side.control } else { side.message.get_or_insert_default() };
                    message.push(&rest[..n], frame_before, here, self.limit, chunk, cx);
                    n
                }
            };
            if self.layer == Layer::Wire {
                cx.analysed(n);
            }
            at += n;
            self.sides[chunk.dir.index()].settle(chunk.dir, self.layer, self.limit, &mut self.said, cx);
        }
    }

    /// What stands behind a broken frame: searched as it passes, though it may be masked or packed.
    fn unread(&mut self, bytes: &[u8], offset: u64, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        if self.layer == Layer::Wire {
            cx.unparsed(bytes.len());
        }
        cx.unsearched(chunk.dir, self.layer, bytes.len() as u64);
        cx.search_stream(&mut self.sides[chunk.dir.index()].trail, PLACE, chunk.dir, self.layer, offset, bytes);
    }

    /// Bytes are missing.
    pub fn gap(&mut self, dir: Dir, len: u64, cx: &mut Cx<'_>) {
        let side = &mut self.sides[dir.index()];
        side.flush(dir, self.layer, self.limit, &mut self.said, cx);
        // What is not there may have been anything.
        self.said.len[dir.index()] += len.max(1);
        // Nothing can be inflated across a hole.
        side.inflate.lost = true;
        match &mut side.frame {
            Some(frame) if len <= frame.left => {
                frame.left -= len;
                frame.at = (frame.at + (len % 4) as usize) % 4;
                side.settle(dir, self.layer, self.limit, &mut self.said, cx);
            }
            _ => side.lost = true,
        }
    }

    pub fn close(&mut self, cx: &mut Cx<'_>) {
        for dir in Dir::BOTH {
            let side = &mut self.sides[dir.index()];
            side.flush(dir, self.layer, self.limit, &mut self.said, cx);
            cx.search_end(&mut side.trail, PLACE, dir, self.layer);
        }
    }
}

impl Side {
    /// The next byte of a frame's head. Always takes it.
    fn begin(&mut self, byte: u8, offset: u64, dir: Dir, layer: Layer, cx: &mut Cx<'_>) -> usize {
        self.head.push(byte);
        let [first, second, rest @ ..] = &self.head[..] else { return 1 };
        let (long, masked) = (second & 0x7f, second & 0x80 != 0);
        let long_bytes = match long {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if rest.len() < long_bytes + if masked { 4 } else { 0 } {
            return 1;
        }
        let (length, mask) = rest.split_at(long_bytes);
        let left = if long_bytes == 0 { u64::from(long) } else { length.iter().fold(0, |n, b| n << 8 | u64::from(*b)) };
        let mask = mask.first_chunk::<4>().copied().unwrap_or_default();
        let (last, packed, foreign, opcode) = (first & 0x80 != 0, first & 0x40 != 0, first & 0x30 != 0, first & 0x0f);
        let control = opcode >= 8;
        let broken = match opcode {
            0..=2 => left >> 63 != 0,
            // RFC 6455 §5.5.
            8..=10 => !last || left > 125,
            _ => true,
        };
        self.head.clear();
        if broken {
            cx.odd(OddKind::BrokenHttp, "a websocket frame that is none", Some(offset));
            cx.unsearched(dir, layer, 1);
            self.lost = true;
            return 1;
        }
        if !control {
            let message = self.message.get_or_insert_default();
            message.packed |= packed && opcode != 0;
            message.foreign |= foreign;
            message.text |= opcode == 1;
        }
        self.frame = Some(Frame { left, mask, at: 0, control, last });
        1
    }

    /// Ends a frame that has all of its payload, and the message if it was the last.
    fn settle(&mut self, dir: Dir, layer: Layer, limit: usize, said: &mut Said, cx: &mut Cx<'_>) {
        let Some(frame) = self.frame.filter(|f| f.left == 0) else { return };
        self.frame = None;
        if frame.control {
            std::mem::take(&mut self.control).end(&mut self.inflate, dir, layer, limit, None, cx);
        } else if frame.last {
            self.message.take().unwrap_or_default().end(&mut self.inflate, dir, layer, limit, Some(said), cx);
        }
    }

    /// Searches what was kept of messages that are not over; what comes of them is searched by itself.
    fn flush(&mut self, dir: Dir, layer: Layer, limit: usize, said: &mut Said, cx: &mut Cx<'_>) {
        if let Some(message) = self.message.take() {
            let (packed, foreign, text) = (message.packed, message.foreign, message.text);
            message.end(&mut self.inflate, dir, layer, limit, Some(said), cx);
            self.message = Some(Message { packed, foreign, text, parted: true, ..Message::default() });
        }
        std::mem::take(&mut self.control).end(&mut self.inflate, dir, layer, limit, None, cx);
    }
}

/// So much of a part of a long message is searched again with the part behind it: more than the longest form of a value.
const OVERLAP: usize = 1024;

impl Message {
    /// Adds payload, unmasked.
    fn push(&mut self, payload: &[u8], frame: Frame, offset: u64, limit: usize, chunk: &Chunk<'_>, cx: &mut Cx<'_>) {
        let (mut rest, mut offset, mut at) = (payload, offset, frame.at);
        loop {
            let (now, later) = rest.split_at(limit.saturating_sub(self.kept.len()).min(rest.len()));
            self.marks.push(self.kept.len() as u64, offset, chunk);
            self.kept.extend(now.iter().enumerate().map(|(n, b)| b ^ frame.mask[(at + n) % 4]));
            if later.is_empty() {
                return;
            }
            if self.packed || limit <= OVERLAP {
                self.over += later.len() as u64;
                return;
            }
            // The limit is passed: the message is searched in parts.
            cx.search_whole(&Self::spot(chunk.dir, chunk.layer, From::Kept(&self.marks, 0), &[]), &self.kept);
            cx.streamed(chunk.dir, chunk.layer, later.len() as u64);
            self.parted = true;
            let tail = self.kept.len().saturating_sub(OVERLAP);
            let from = self.marks.origin(tail as u64, 1);
            self.marks.clear();
            self.marks.note(Mark { at: 0, offset: from.offset, frame: from.frame, time: from.time });
            self.kept.drain(..tail);
            (rest, offset, at) = (later, offset + now.len() as u64, (at + now.len()) % 4);
        }
    }

    fn spot<'a>(dir: Dir, layer: Layer, from: From<'a>, chain: &'a [&'static str]) -> Spot<'a> {
        Spot { place: PLACE, dir, layer, from, chain }
    }

    /// The message is over: its content is searched.
    fn end(self, inflate: &mut Inflate, dir: Dir, layer: Layer, limit: usize, said: Option<&mut Said>, cx: &mut Cx<'_>) {
        if self.over > 0 && !self.packed {
            cx.unsearched(dir, layer, self.over);
        }
        if self.kept.is_empty() {
            return;
        }
        if self.foreign {
            cx.unsearched(dir, layer, self.kept.len() as u64);
        }
        if !self.packed {
            cx.search_whole(&Self::spot(dir, layer, From::Kept(&self.marks, 0), &[]), &self.kept);
            self.tell(&self.kept, false, dir, layer, said, cx);
            return;
        }
        let (plain, whole) = inflate.message(&self.kept, limit);
        let left = self.over + if whole { 0 } else { self.kept.len() as u64 };
        if left > 0 {
            inflate.lost = true;
            cx.unsearched(dir, layer, left);
        }
        let origin = self.marks.origin(0, self.kept.len() as u64);
        cx.search_whole(&Self::spot(dir, layer, From::Decoded(origin), &["deflate"]), &plain);
        self.tell(&plain, true, dir, layer, said, cx);
    }

    /// Logins in the message, which may have begun in one before.
    fn tell(&self, content: &[u8], inflated: bool, dir: Dir, layer: Layer, said: Option<&mut Said>, cx: &mut Cx<'_>) {
        let Some(said) = said.filter(|_| layer == Layer::Wire) else { return };
        let start = said.len[dir.index()] + u64::from(self.parted);
        let port = cx.ends().addr(dir.other()).port();
        let whole = self.marks.origin(0, self.kept.len() as u64);
        let mut told = |whose: Dir, secret: Secret, from: u64| {
            let at = (from + secret.at as u64)
                .checked_sub(start)
                .filter(|at| whose == dir && !inflated && at + secret.len as u64 <= content.len() as u64);
            let origin = at.map_or(whole, |at| self.marks.origin(at, secret.len as u64));
            cx.told(secret.kind, &secret.value, &Self::spot(whose, layer, From::Decoded(origin), secret.chain), 0, secret.len as u64);
        };
        if self.text {
            for secret in login::in_elements(content) {
                told(dir, secret, start);
            }
        }
        said.logins.take(dir, start, content, port, &mut told);
        said.len[dir.index()] = start + content.len() as u64;
        // A message is a line, to who says no end of it (IRC does, IRCv3 "WebSocket").
        if self.text && !content.ends_with(b"\n") {
            said.logins.end_line(dir, said.len[dir.index()], port, &mut told);
            said.len[dir.index()] += 1;
        }
    }
}

/// One direction of permessage-deflate.
#[derive(Debug, Default)]
struct Inflate {
    /// Each message begins with an empty window.
    forgets: bool,
    /// The window is not what the sender's is.
    lost: bool,
    state: Option<Box<flate2::Decompress>>,
}

/// Messages come without this, which ends the block of each (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Output grows by this at least.
const STEP: usize = 4 << 10;

impl Inflate {
    /// What a message says, at most `limit` bytes of it; and whether that is all.
    fn message(&mut self, coded: &[u8], limit: usize) -> (Vec<u8>, bool) {
        if self.forgets {
            (self.lost, self.state) = (false, None);
        }
        if self.lost {
            return (Vec::new(), false);
        }
        let state = self.state.get_or_insert_with(|| Box::new(flate2::Decompress::new(false)));
        let mut out = Vec::new();
        for part in [coded, &TAIL] {
            let mut rest = part;
            loop {
                let (have, read) = (out.len(), state.total_in());
                if have >= limit {
                    return (out, false);
                }
                out.resize(limit.min(have + STEP.max(have)), 0);
                let wrote = state.total_out();
                let status = state.decompress(rest, &mut out[have..], flate2::FlushDecompress::Sync);
                let (took, gave) = ((state.total_in() - read) as usize, (state.total_out() - wrote) as usize);
                let full = have + gave == out.len();
                out.truncate(have + gave);
                rest = rest.get(took..).unwrap_or_default();
                match status {
                    Err(_) => return (out, false),
                    // A last block (RFC 7692 §7.2.3.4): what follows begins a stream of its own.
                    Ok(flate2::Status::StreamEnd) => {
                        state.reset(false);
                        if rest.is_empty() || part == TAIL {
                            break;
                        }
                    }
                    Ok(_) if rest.is_empty() && !full => break,
                    Ok(_) if took + gave == 0 => return (out, rest.is_empty()),
                    Ok(_) => {}
                }
            }
        }
        if self.forgets {
            self.state = None;
        }
        (out, true)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::tests::{Step, back, finds, finds_of, sent};
    use super::*;

    const IMEI: &str = "490154203237518";
    const ASK: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

    fn answer(extensions: &str) -> Step {
        let extensions = if extensions.is_empty() { String::new() } else { format!("Sec-WebSocket-Extensions: {extensions}\r\n") };
        back(format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n{extensions}\r\n"))
    }

    /// A client's frame.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let mut out = vec![first];
        match payload.len() {
            n @ 0..126 => out.push(0x80 | n as u8),
            n @ 126..65536 => {
                out.push(0x80 | 0x7e);
                out.extend_from_slice(&(n as u16).to_be_bytes());
            }
            n => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(n as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(&mask);
        out.extend(payload.iter().enumerate().map(|(n, b)| b ^ mask[n % 4]));
        out
    }

    /// What a direction's messages become under permessage-deflate.
    struct Deflater(flate2::Compress);

    impl Deflater {
        fn new() -> Deflater {
            Deflater(flate2::Compress::new(flate2::Compression::default(), false))
        }

        fn message(&mut self, text: &[u8]) -> Vec<u8> {
            let mut out = Vec::with_capacity(text.len() + 100);
            self.0.compress_vec(text, &mut out, flate2::FlushCompress::Sync).unwrap();
            assert!(out.ends_with(&TAIL));
            out.truncate(out.len() - 4);
            out
        }
    }

    #[track_caller]
    fn check(extensions: &str, frames: &[Vec<u8>], expect: &[&str]) {
        let steps = [sent(ASK), answer(extensions), sent(frames.concat())];
        assert_eq!(finds(IMEI, &steps), expect);
        let mut small = vec![sent(ASK), answer(extensions)];
        small.extend(frames.concat().chunks(3).map(sent));
        assert_eq!(finds(IMEI, &small), expect, "in small pieces");
    }

    #[test]
    fn messages() {
        let text = format!("{{\"id\":\"{IMEI}\"}}");
        let (one, two) = text.as_bytes().split_at(14);
        check("", &[frame(0x81, text.as_bytes())], &["http.websocket json:$.id"]);
        check("", &[frame(0x82, text.as_bytes())], &["http.websocket json:$.id"]);
        check("", &[frame(0x01, one), frame(0x80, two)], &["http.websocket json:$.id"]);
        check("", &[frame(0x01, one), frame(0x89, b"ping"), frame(0x00, b""), frame(0x80, two)], &["http.websocket json:$.id"]);
        check("", &[frame(0x89, IMEI.as_bytes())], &["http.websocket"]);
        check("", &[frame(0x81, one), frame(0x81, two)], &[]);
        check("", &[frame(0x81, &[&[b'x'; 300][..], b" ", IMEI.as_bytes()].concat())], &["http.websocket"]);
        // A message longer than is kept, and a value where its parts meet.
        for at in [65_530, 70_000, 200_000] {
            check("", &[frame(0x82, &[&vec![b' '; at][..], IMEI.as_bytes(), b" "].concat())], &["http.websocket", "unparsed streamed"]);
        }
        check("", &[frame(0x83, b"?"), frame(0x81, text.as_bytes())], &["unparsed limit"]);
        check("", &[frame(0xa1, text.as_bytes())], &["http.websocket json:$.id", "unparsed limit"]);
    }

    #[test]
    fn inflated() {
        let text = format!("{{\"id\":\"{IMEI}\"}}");
        let mut deflater = Deflater::new();
        let first = deflater.message(text.as_bytes());
        check("permessage-deflate", &[frame(0xc1, &first)], &["http.websocket deflate json:$.id"]);
        check("permessage-deflate", &[frame(0x41, &first[..5]), frame(0x80, &first[5..])], &["http.websocket deflate json:$.id"]);
        // The window of the message before; and none of it.
        let mut deflater = Deflater::new();
        let (before, then) = (deflater.message(&text.as_bytes()[..15]), deflater.message(text.as_bytes()));
        assert!(then.len() < first.len());
        check("permessage-deflate", &[frame(0xc1, &before), frame(0xc1, &then)], &["http.websocket deflate json:$.id"]);
        let fresh = Deflater::new().message(b"{\"x\":1}");
        let without = "permessage-deflate; client_no_context_takeover; server_max_window_bits=10";
        check(without, &[frame(0xc1, &fresh), frame(0xc1, &first)], &["http.websocket deflate json:$.id"]);
        check(without, &[frame(0xc1, b"\xff\xff"), frame(0xc1, &first)], &["http.websocket deflate json:$.id", "unparsed limit"]);
        // What cannot be inflated, nor what comes after it, is not called empty.
        check("permessage-deflate", &[frame(0xc1, b"\xff\xff"), frame(0xc1, &first)], &["unparsed limit"]);
        // More than is looked at.
        let bomb = Deflater::new().message(&vec![0; 300_000]);
        check("permessage-deflate", &[frame(0xc1, &bomb), frame(0x81, text.as_bytes())], &["http.websocket json:$.id", "unparsed limit"]);
    }

    /// Logins are told by their place whatever the persona, in messages that are cut anywhere; not where only the place is alike.
    #[test]
    fn logins() {
        use crate::dissect::testing::{connection, seeking, told};
        use policies::IdentifierType::Password;
        let granted = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        let mqtt = b"\x10\x22\0\x04MQTT\x04\xc2\0\x3c\0\x03dev\0\x03ada\0\x09Zk84qPw2x";
        let element = b"<auth mechanism=\"PLAIN\">AGFkYQBaazg0cVB3Mng=</auth>";
        let deflated = Deflater::new().message(element);
        for (frames, expect) in [
            (vec![frame(0x82, mqtt)], Some("http.websocket")),
            (vec![frame(0x82, &mqtt[..20]), frame(0x89, b"ping"), frame(0x82, &mqtt[20..])], Some("http.websocket")),
            (vec![frame(0x02, &mqtt[..20]), frame(0x80, &mqtt[20..])], Some("http.websocket")),
            (vec![frame(0x81, b"<open/>"), frame(0x81, element)], Some("http.websocket base64")),
            (vec![frame(0xc1, &deflated)], Some("http.websocket base64")),
            (vec![frame(0x81, b"PASS Zk84qPw2x\r\n"), frame(0x81, b"NICK ada\r\n")], Some("http.websocket")),
            (vec![frame(0x81, b"PASS Zk84qPw2x"), frame(0x81, b"NICK ada")], Some("http.websocket")),
            (vec![frame(0x82, b"\0\0\0\x05PLAIN"), frame(0x82, b"\0\0\0\x0e\0ada\0Zk84qPw2x")], Some("http.websocket")),
            // Something stands before it, or no name follows.
            (vec![frame(0x82, b"\0"), frame(0x82, mqtt)], None),
            (vec![frame(0x89, mqtt)], None),
            (vec![frame(0x81, b"PASS Zk84qPw2x"), frame(0x81, b"hello")], None),
            (vec![frame(0x82, b"PASS Zk84qPw2x"), frame(0x82, b"NICK ada")], None),
        ] {
            let said = frames.concat();
            let find = |planted: &str| {
                told(&connection(seeking(&[(Password, planted)]), 80, &[(Dir::Out, ASK), (Dir::Back, granted), (Dir::Out, &said)]))
            };
            let other = find("an0ther-One");
            match expect {
                Some(place) => assert!(other.contains(&format!("{place} ?")), "{}: {other:?}", said.escape_ascii()),
                None => assert!(!other.iter().any(|t| t.starts_with("http.websocket")), "{}: {other:?}", said.escape_ascii()),
            }
            if expect.is_some() {
                assert!(find("Zk84qPw2x").iter().any(|t| t.starts_with("http.websocket") && !t.ends_with('?')), "{}", said.escape_ascii());
            }
        }
    }

    #[test]
    fn holes() {
        let text = format!("{IMEI} and {IMEI}");
        let bytes = frame(0x81, text.as_bytes());
        let steps = [sent(ASK), answer(""), sent(&bytes[..12]), Step::Hole(Dir::Out, 11), sent(&bytes[23..]), sent(frame(0x81, b"x"))];
        assert_eq!(finds(IMEI, &steps), ["http.websocket"]);
        let steps = [sent(ASK), answer(""), Step::Hole(Dir::Out, 100), sent(&bytes)];
        assert_eq!(finds(IMEI, &steps), ["unparsed limit"]);
    }

    #[test]
    fn another_protocol_is_searched_as_it_is() {
        let granted = back("HTTP/1.1 101 Switching Protocols\r\nUpgrade: other/1\r\n\r\n");
        let ask = sent("GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: other/1\r\n\r\n");
        assert_eq!(
            finds(IMEI, &[ask, granted, sent(format!("\x01 {IMEI} \x02"))]),
            ["tcp.stream", "unparsed not-built", "unparsed streamed"]
        );
    }

    proptest::proptest! {
        #[test]
        fn hostile(pieces in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..40), 0..20)) {
            let mut steps = vec![sent(ASK), answer("permessage-deflate")];
            for (n, piece) in pieces.into_iter().enumerate() {
                steps.push(if n % 5 == 4 { Step::Hole(Dir::Out, 3) } else if n % 3 == 2 { back(piece) } else { sent(piece) });
            }
            finds_of(&[], &steps);
        }
    }
}
