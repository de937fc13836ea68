//! Whether first bytes are DNS.

use super::message::{HEADER, Header, Reader, Section};
use super::{Dns, Flavour};
use crate::chunk::{Chunk, Unit};
use crate::dissect::hits;
use crate::dissect::sniff::Guess;
use crate::flow::Ends;

/// Whether bytes are a DNS message: by its format, the more strictly the less the port says so.
pub fn looks_like(ends: &Ends, chunk: &Chunk<'_>, bytes: &[u8]) -> Guess {
    let (flavour, at_home) = Flavour::of(ends);
    let whole = match chunk.unit {
        Unit::Datagram => true,
        Unit::Stream { .. } => false,
        Unit::Frame => return Guess::No,
    };
    let message = if whole { bytes } else { bytes.get(2..).unwrap_or_default() };
    let Some(header) = Header::read(message) else {
        return if !whole && (at_home || may_be_length(bytes)) { Guess::More } else { Guess::No };
    };
    let announced = if whole { bytes.len() } else { usize::from(u16::from_be_bytes([bytes[0], bytes[1]])) };
    let flavour = if is_on_link(flavour, ends, message, header) { flavour } else { Flavour::Dns };
    let fits =
        if at_home { header.plausible(announced) && !(header.reserved && flavour == Flavour::Dns && header.questions != 1) } else { false };
    // The capture may have cut it: its question stands in front.
    let fits = fits || whole && at_home && !header.reserved && is_cut(message, header);
    // Away from its ports a datagram must be whole, ask one question of the Internet class, and have nothing after its end.
    let strict = !at_home && header.plausible(announced) && !header.reserved;
    let strict = strict && if whole { is_whole(message, header) } else { asks(message, header) };
    if fits || strict { Guess::Is(Box::new(Dns::new(flavour, chunk.layer))) } else { Guess::No }
}

/// Whether what the port says is so: what is asked of a host beyond the link is asked of a resolver, on whatever port.
fn is_on_link(flavour: Flavour, ends: &Ends, message: &[u8], header: Header) -> bool {
    let question = if header.questions > 0 { Reader::new(message).question() } else { None };
    match flavour {
        Flavour::Dns => true,
        // RFC 1002 §4.2.1.2: NB and NBSTAT, of which the second is asked of any host.
        Flavour::Nbns if question.is_some_and(|q| matches!(q.qtype, 0x20 | 0x21)) => true,
        // Announcements ask nothing.
        _ => header.questions == 0 || hits::on_link(ends),
    }
}

/// Whether an answer begins with a question that can be read, or announces a first record without one, and breaks off in a record behind it: its
/// counts are those of what was sent, not of what was captured. Reads no more records than there are bytes for.
pub(super) fn is_cut(message: &[u8], header: Header) -> bool {
    let mut reader = Reader::new(message);
    let asked = header.questions == 1 && reader.question().is_some_and(|q| matches!(q.class & 0x7fff, 1 | 255) && q.end > q.at + 2);
    let records = u32::from(header.answers) + u32::from(header.authorities) + u32::from(header.additional);
    let read = (0..records).take_while(|_| reader.record(Section::Answer).is_some()).count();
    let begins = asked || header.questions == 0 && read > 0;
    begins && header.response && header.opcode == 0 && (read as u32) < records && reader.breaks_off()
}

fn is_whole(message: &[u8], header: Header) -> bool {
    let mut reader = Reader::new(message);
    let one = header.questions == 1 && reader.question().is_some_and(|q| q.class == 1 && q.end > q.at + 2 && (1..=260).contains(&q.qtype));
    let records = u32::from(header.answers) + u32::from(header.authorities) + u32::from(header.additional);
    one && header.opcode == 0
        && (header.response || header.answers == 0)
        && (0..records).all(|_| reader.record(Section::Answer).is_some())
        && reader.at() == message.len()
}

/// Whether a stream begins with a question: ten bytes of the header are as every resolver's client sends them, and its first label is one.
fn asks(message: &[u8], header: Header) -> bool {
    let plain = !header.response && header.opcode == 0 && header.answers == 0 && header.authorities == 0 && header.additional <= 1;
    let label = match message.get(HEADER..) {
        None | Some([]) => true,
        Some([len, label @ ..]) => {
            (1..64).contains(len) && label.iter().take(usize::from(*len)).all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        }
    };
    plain && header.questions == 1 && label
}

/// Whether few first bytes may be the length in front of a question (RFC 1035 §4.2.2), and the start of its header.
fn may_be_length(bytes: &[u8]) -> bool {
    match *bytes {
        [0 | 1] => true,
        [high, low] | [high, low, _] | [high, low, _, _, 0..=7, ..] | [high, low, _, _] => {
            (HEADER as u16 + 5..=512).contains(&u16::from_be_bytes([high, low]))
        }
        _ => false,
    }
}
