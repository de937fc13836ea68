//! All that tells a login in the two directions of one conversation.

use super::{Around, Logins, Plain, Prompts};
use crate::dissect::http::secrets::Secret;
use crate::flow::Dir;

#[derive(Debug, Default)]
pub(crate) struct Readers {
    logins: [Logins; 2],
    plain: [Plain; 2],
    prompts: Prompts,
    spoken: [bool; 2],
}

impl Readers {
    /// Takes the bytes that stand at `offset` of a direction, spoken to `port`; hands over each secret with the place in its stream that its own
    /// counts from.
    pub(crate) fn take(&mut self, dir: Dir, offset: u64, bytes: &[u8], port: u16, told: &mut dyn FnMut(Dir, Secret, u64)) {
        if bytes.is_empty() {
            return;
        }
        self.lines(dir, offset, bytes, port, told);
        self.plain[dir.index()].take(offset, bytes, &mut |secret, from| told(dir, secret, from));
        self.prompts.take(dir, offset, bytes, told);
        self.spoken[dir.index()] = true;
    }

    /// A line is over that was said without its end, which would stand at `offset`.
    pub(crate) fn end_line(&mut self, dir: Dir, offset: u64, port: u16, told: &mut dyn FnMut(Dir, Secret, u64)) {
        self.lines(dir, offset, b"\n", port, told);
        self.plain[dir.index()].take(offset, b"\n", &mut |_, _| ());
    }

    fn lines(&mut self, dir: Dir, offset: u64, bytes: &[u8], port: u16, told: &mut dyn FnMut(Dir, Secret, u64)) {
        let (mine, other) = (dir.index(), dir.other().index());
        self.logins[other].answered(bytes, &mut |secret, line| told(dir.other(), secret, line));
        let around = Around { port, greeted: self.logins[other].greeting(), spoken: self.spoken[other] };
        self.logins[mine].take(offset, bytes, around, &mut |secret, line| told(dir, secret, line));
    }
}
