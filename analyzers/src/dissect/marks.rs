//! Which frame brought which byte: what a dissector that buffers keeps beside its bytes, so that a find ends in a frame.

use policies::Time;

use crate::chunk::Chunk;

/// From here on the kept bytes stand at `offset` of the stream and came with `frame`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Position in the kept bytes.
    pub at: u64,
    /// Position in the stream.
    pub offset: u64,
    pub frame: u64,
    pub time: Time,
}

/// Marks of kept bytes, in order.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    list: Vec<Mark>,
}

/// Bytes of a stream: where they stand and which frame completed them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub offset: u64,
    pub len: u64,
    pub frame: u64,
    pub time: Time,
}

impl Marks {
    /// The bytes kept from `at` on stand at `offset` of the stream and came with `chunk`.
    pub fn push(&mut self, at: u64, offset: u64, chunk: &Chunk<'_>) {
        self.note(Mark { at, offset, frame: chunk.frame, time: chunk.time });
    }

    /// The same of a mark.
    pub fn note(&mut self, mark: Mark) {
        if let Some(last) = self.list.last()
            && last.frame == mark.frame
            && mark.at.wrapping_sub(last.at) == mark.offset.wrapping_sub(last.offset)
        {
            return;
        }
        self.list.push(mark);
    }

    pub fn shrink_to_fit(&mut self) {
        self.list.shrink_to_fit();
    }

    /// Where `len` kept bytes from `at` came from: their place in the stream and the frame that completed them.
    pub fn origin(&self, at: u64, len: u64) -> Origin {
        let first = self.mark(at);
        let last = self.mark(at + len.saturating_sub(1));
        let offset = first.offset + at.saturating_sub(first.at);
        let end = last.offset + (at + len).saturating_sub(last.at);
        Origin { offset, len: end.saturating_sub(offset), frame: last.frame, time: last.time }
    }

    fn mark(&self, at: u64) -> Mark {
        let after = self.list.partition_point(|m| m.at <= at);
        self.list.get(after.saturating_sub(1)).copied().unwrap_or_default()
    }

    pub fn clear(&mut self) {
        self.list.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{Layer, Unit};
    use crate::flow::{Dir, FlowKey};

    fn chunk(frame: u64) -> Chunk<'static> {
        let unit = Unit::Stream { offset: 0 };
        Chunk { flow: FlowKey::new(0, 1), dir: Dir::Out, unit, layer: Layer::Wire, time: Time::default(), frame, bytes: &[] }
    }

    #[test]
    fn finds_the_frame_of_a_byte() {
        let mut marks = Marks::default();
        marks.push(0, 100, &chunk(7));
        marks.push(10, 110, &chunk(7));
        marks.push(20, 125, &chunk(9));
        assert_eq!(marks.list.len(), 2);
        let at = |at, len| {
            let o = marks.origin(at, len);
            (o.offset, o.len, o.frame)
        };
        assert_eq!(at(0, 5), (100, 5, 7));
        assert_eq!(at(18, 4), (118, 9, 9));
        assert_eq!(at(20, 1), (125, 1, 9));
    }
}
