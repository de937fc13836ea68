//! rsync's own service, which nobody reads here: only whether what it carries is packed, piece by piece and without a head that would say so.

use crate::flow::Dir;

/// How either side begins.
const GREETING: &[u8] = b"@RSYNCD: ";
/// A client's words up to the end of its arguments are shorter: names of modules, a challenge's answer, options and paths.
const LONGEST_START: usize = 8 << 10;

/// A conversation that may be one of rsync's.
#[derive(Debug, Default)]
pub(crate) struct Rsync {
    sides: [Side; 2],
    /// A client asked for compression.
    packs: bool,
}

#[derive(Debug, Default)]
struct Side {
    start: Vec<u8>,
    over: bool,
}

impl Rsync {
    /// Takes the bytes that stand at `offset`; says how many of them, or of those before, are packed.
    pub(crate) fn take(&mut self, dir: Dir, offset: u64, bytes: &[u8]) -> usize {
        let packs = self.packs;
        let side = &mut self.sides[dir.index()];
        if side.over || side.start.len() as u64 != offset {
            side.over = true;
            return if packs { bytes.len() } else { 0 };
        }
        side.start.extend_from_slice(bytes);
        let len = side.start.len().min(GREETING.len());
        if side.start.get(..len) != GREETING.get(..len) {
            *side = Side { start: Vec::new(), over: true };
            return 0;
        }
        let packed = match arguments(&side.start) {
            Some((end, asks)) => {
                side.over = true;
                self.packs |= asks;
                if asks { side.start.len() - end } else { 0 }
            }
            None if packs => bytes.len(),
            None => 0,
        };
        side.over |= side.start.len() > LONGEST_START;
        if side.over {
            side.start = Vec::new();
        }
        packed
    }
}

/// Where the arguments end with an empty one, and whether they ask for compression. Since version 30 a zero ends each, before it a line did.
fn arguments(start: &[u8]) -> Option<(usize, bool)> {
    let from = memchr::memmem::find(start, b"--server")?;
    let rest = start.get(from..)?;
    let end = rest.windows(2).position(|two| matches!(two, [0, 0] | [b'\n', b'\n']))?;
    let mut arguments = rest.get(..end)?.split(|b| matches!(b, 0 | b'\n'));
    Some((from + end + 2, arguments.any(asks)))
}

/// `-logDtprze.iLsfxCIvu`, where what follows the `e` is a value; or in full, as other sides are told which way to pack.
fn asks(argument: &[u8]) -> bool {
    match argument {
        [b'-', b'-', word @ ..] => {
            let packs = [&b"compress"[..], b"new-compress", b"old-compress", b"zc="].iter().any(|start| word.starts_with(start));
            packs && !word.ends_with(b"=none") && !word.ends_with(b"=0")
        }
        [b'-', letters @ ..] => letters.iter().take_while(|b| **b != b'e').any(|b| *b == b'z'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expect`: bytes that are packed of what the client and then the server says behind the arguments, in whatever pieces.
    #[track_caller]
    fn check(client: &[u8], expect: usize) {
        for size in [1, 7, 4096] {
            let mut rsync = Rsync::default();
            let mut packed = 0;
            let mut say = |dir: Dir, from: usize, bytes: &[u8]| {
                let mut at = from;
                for piece in bytes.chunks(size) {
                    packed += rsync.take(dir, at as u64, piece);
                    at += piece.len();
                }
            };
            say(Dir::Back, 0, b"@RSYNCD: 32.0 md5\n@RSYNCD: OK\n");
            say(Dir::Out, 0, client);
            say(Dir::Out, client.len(), b"\x28\xb5\x2f\xfd");
            say(Dir::Back, 30, b"\x01\x02\x03");
            assert_eq!(packed, expect, "{} by {size}", client.escape_ascii());
        }
    }

    #[test]
    fn packed_streams() {
        check(b"@RSYNCD: 32.0 md5\nm\n--server\0-logDtprze.iLsfxCIvu\0.\0m/\0\0", 7);
        check(b"@RSYNCD: 32.0 md5\nm\n--server\0-logDtprze.iLsfxCIvu\0.\0m/\0\0tail", 11);
        check(b"@RSYNCD: 29\nm\n--server\n-logDtprz\n.\nm/\n\n", 7);
        check(b"@RSYNCD: 32.0 md5\nm\n--server\0-logDtpre.iLsfxCIvu\0--compress-choice=zstd\0.\0m/\0\0", 7);
        for plain in [
            &b"@RSYNCD: 32.0 md5\nm\n--server\0-logDtpre.iLzsfxCIvu\0.\0m/\0\0"[..],
            b"@RSYNCD: 32.0 md5\nm\n--server\0-logDtpre.iLsfxCIvu\0--compress-level=0\0.\0zoo\0\0",
            b"@RSYNCD: 32.0 md5\nm\n",
            b"hello\n--server\0-z\0\0",
        ] {
            check(plain, 0);
        }
    }
}
