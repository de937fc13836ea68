//! Messages that datagrams of no known protocol carry in pieces: chunks of GELF and blocks of CoAP. They are joined to be searched; what is not
//! whole was not searched.

use super::Cx;
use super::search::{From, Place, Spot};
use crate::chunk::Layer;
use crate::flow::{Dir, Ends};

/// So much is kept of a flow's messages that are not whole.
const MOST_KEPT: usize = 64 << 10;
/// So many messages may be open at once.
const MOST_OPEN: usize = 8;
/// The port of CoAP (RFC 7252 §12.6). Nothing else in a datagram tells it for certain.
const COAP: u16 = 5683;
/// The port of GELF over UDP that Graylog's documentation names. Elsewhere one chunk alone may be anything.
const GELF: u16 = 12201;
/// A message has no more chunks (GELF, "Chunking").
const MOST_CHUNKS: u8 = 128;

/// Messages that are not whole.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    dir: Dir,
    layer: Layer,
    of: Of,
    /// By their number, each with what tells it from a new one that says the same; those that have not come are none.
    pieces: Vec<Option<(u16, Box<[u8]>)>>,
    /// How many there will be, where that is known.
    count: Option<usize>,
    /// They were joined and searched; what comes again is known by them.
    done: bool,
}

/// What pieces of one message have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Gelf([u8; 8], u8),
    /// An option and how large its blocks are.
    Coap(u32, u8),
}

struct Piece<'a> {
    of: Of,
    number: usize,
    count: Option<usize>,
    /// The number of the message: one that is sent again has the same (RFC 7252 §4.2).
    id: u16,
    bytes: &'a [u8],
}

impl Pieces {
    /// Takes a datagram that was searched by itself.
    pub(super) fn take(&mut self, spot: &Spot<'_>, bytes: &[u8], cx: &mut Cx<'_>) {
        let Some(piece) = gelf(bytes).or_else(|| is_to(&cx.known.ends, COAP).then(|| block(bytes))?) else { return };
        let is_same = |open: &Open| (open.dir, open.layer, open.of) == (spot.dir, spot.layer, piece.of);
        let same = |(id, bytes): &(u16, Box<[u8]>)| *id == piece.id && **bytes == *piece.bytes;
        let has = |open: &Open| open.pieces.get(piece.number).and_then(Option::as_ref).is_some_and(same);
        let mut at = self.open.iter().position(is_same);
        if let Some(open) = at.and_then(|n| self.open.get(n)) {
            if has(open) {
                return;
            }
            // Numbers of blocks begin anew with each body.
            if open.done || matches!(piece.of, Of::Coap(..)) && piece.number == 0 {
                at.take().map(|n| self.open.remove(n)).into_iter().for_each(|open| open.give_up(cx));
            }
        }
        let n = at.unwrap_or_else(|| {
            self.open.push(Open { dir: spot.dir, layer: spot.layer, of: piece.of, pieces: Vec::new(), count: None, done: false });
            self.open.len() - 1
        });
        let Some(open) = self.open.get_mut(n) else { return };
        // A hole as large as what is kept leaves nothing to join.
        if piece.number < MOST_KEPT / SMALLEST {
            if open.pieces.len() <= piece.number {
                open.pieces.resize(piece.number + 1, None);
            }
            if let Some(place) = open.pieces.get_mut(piece.number) {
                *place = Some((piece.id, piece.bytes.into()));
            }
            open.count = open.count.or(piece.count);
        } else {
            cx.unsearched(spot.dir, spot.layer, bytes.len() as u64);
        }
        if let Some(whole) = open.whole() {
            open.done = true;
            cx.search_again(spot, &whole);
        }
        while self.open.len() > MOST_OPEN || self.open.iter().map(Open::kept).sum::<usize>() > MOST_KEPT {
            self.open.remove(0).give_up(cx);
        }
    }

    /// No more will come.
    pub(super) fn give_up(&mut self, cx: &mut Cx<'_>) {
        for open in std::mem::take(&mut self.open) {
            open.give_up(cx);
        }
    }
}

/// The smallest block has 16 bytes (RFC 7959 §2.2).
const SMALLEST: usize = 16;
/// What keeps the place of a piece takes so much.
const PLACE: usize = size_of::<Option<(u16, Box<[u8]>)>>();

impl Open {
    fn whole(&self) -> Option<Vec<u8>> {
        let count = self.count?;
        let all = self.pieces.len() == count && self.pieces.iter().all(Option::is_some);
        all.then(|| self.pieces.iter().flatten().flat_map(|(_, piece)| piece.iter().copied()).collect())
    }

    fn kept(&self) -> usize {
        self.pieces.iter().flatten().map(|(_, piece)| piece.len()).sum::<usize>() + self.pieces.len() * PLACE
    }

    fn give_up(self, cx: &mut Cx<'_>) {
        if self.done {
            return;
        }
        let alone = self.pieces.iter().flatten().count() < 2;
        if alone && matches!(self.of, Of::Gelf(..)) && !is_to(&cx.known.ends, GELF) {
            return;
        }
        let kept: usize = self.pieces.iter().flatten().map(|(_, piece)| piece.len()).sum();
        cx.unsearched(self.dir, self.layer, kept.max(1) as u64);
    }
}

fn is_to(ends: &Ends, port: u16) -> bool {
    ends.a.port() == port || ends.b.port() == port
}

/// A chunk: two bytes that say so, the message's number, its own and how many there are.
fn gelf(bytes: &[u8]) -> Option<Piece<'_>> {
    let (head, rest) = bytes.split_first_chunk::<12>()?;
    let [0x1e, 0x0f, id @ .., number, count] = *head else { return None };
    let fits = (2..=MOST_CHUNKS).contains(&count) && number < count && !rest.is_empty();
    fits.then_some(Piece { of: Of::Gelf(id, count), number: usize::from(number), count: Some(usize::from(count)), id: 0, bytes: rest })
}

/// A block of a body that has more than one: a message of CoAP (RFC 7252 §3) with an option that numbers its payload (RFC 7959 §2.1, RFC 9177 §4.1).
fn block(bytes: &[u8]) -> Option<Piece<'_>> {
    const OPTIONS: [u32; 4] = [19, 23, 27, 31];
    let (&[head, code, high, low], rest) = bytes.split_first_chunk::<4>()?;
    let id = u16::from_be_bytes([high, low]);
    let token = usize::from(head & 15);
    if head >> 6 != 1 || token > 8 || !matches!(code >> 5, 0 | 2 | 4 | 5) || code == 0 {
        return None;
    }
    let (mut rest, mut number, mut found) = (rest.get(token..)?, 0u32, None);
    loop {
        let (first, tail) = rest.split_first()?;
        if *first == 0xff {
            let (option, number, more, size) = found?;
            // Alone it is the whole.
            let part = !tail.is_empty() && (more || number > 0);
            return part.then_some(Piece { of: Of::Coap(option, size), number, count: (!more).then_some(number + 1), id, bytes: tail });
        }
        let (delta, tail) = extended(first >> 4, tail)?;
        let (len, tail) = extended(first & 15, tail)?;
        let (value, after) = tail.split_at_checked(len as usize)?;
        number = number.checked_add(delta)?;
        if OPTIONS.contains(&number) {
            let value = value.iter().try_fold(0u32, |all, b| (all >> 24 == 0).then_some(all << 8 | u32::from(*b)))?;
            let (more, size) = (value & 8 != 0, (value & 7) as u8);
            if size == 7 || value >> 24 != 0 {
                return None;
            }
            // A request names the block it wants of the answer, too: what numbers a payload is numbered or goes on.
            if found.is_none() || more || value >> 4 > 0 {
                found = Some((number, (value >> 4) as usize, more, size));
            }
        }
        rest = after;
    }
}

/// A delta or length and what follows it (RFC 7252 §3.1).
fn extended(nibble: u8, rest: &[u8]) -> Option<(u32, &[u8])> {
    match (nibble, rest) {
        (13, [more, rest @ ..]) => Some((u32::from(*more) + 13, rest)),
        (14, [high, low, rest @ ..]) => Some((u32::from(u16::from_be_bytes([*high, *low])) + 269, rest)),
        (0..=12, rest) => Some((u32::from(nibble), rest)),
        _ => None,
    }
}

/// The spot of what is joined: where the last piece stands.
pub(super) fn spot(dir: Dir, layer: Layer, origin: super::marks::Origin) -> Spot<'static> {
    Spot { place: Place::Of("udp.datagram"), dir, layer, from: From::Decoded(origin), chain: &[] }
}
