//! Whether a client's plaintext is only the opening of its protocol: HTTP/2's preface and settings, which a client sends before it asks
//! for anything, and which therefore prove no acceptance.

/// RFC 9113 §3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER: usize = 9;

/// Reads a client's plaintext in pieces.
#[derive(Clone, Debug, Default)]
pub(crate) enum Preamble {
    #[default]
    Empty,
    /// So many bytes of the preface have been seen.
    Preface(usize),
    /// Frames of settings, window, priority and ping: so many body bytes to skip, and a header in the making.
    Frames { skip: usize, header: [u8; FRAME_HEADER], have: usize },
    /// More than a preamble.
    Content,
}

impl Preamble {
    /// Whether something came, and nothing but a preamble.
    pub(crate) fn only(&self) -> bool {
        matches!(self, Preamble::Preface(_) | Preamble::Frames { .. })
    }

    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self {
                Preamble::Empty => *self = Preamble::Preface(0),
                Preamble::Preface(seen) => {
                    let n = bytes.len().min(PREFACE.len() - *seen);
                    let (head, tail) = bytes.split_at(n);
                    if head != &PREFACE[*seen..*seen + n] {
                        *self = Preamble::Content;
                        return;
                    }
                    *seen += n;
                    bytes = tail;
                    if *seen == PREFACE.len() {
                        *self = Preamble::Frames { skip: 0, header: [0; FRAME_HEADER], have: 0 };
                    }
                }
                Preamble::Frames { skip, header, have } => {
                    let n = bytes.len().min(*skip);
                    *skip -= n;
                    bytes = &bytes[n..];
                    let n = bytes.len().min(FRAME_HEADER - *have);
                    header[*have..*have + n].copy_from_slice(&bytes[..n]);
                    *have += n;
                    bytes = &bytes[n..];
                    if *have == FRAME_HEADER {
                        // PRIORITY, SETTINGS, PING, WINDOW_UPDATE, PRIORITY_UPDATE (RFC 9218).
                        if !matches!(header[3], 2 | 4 | 6 | 8 | 16) {
                            *self = Preamble::Content;
                            return;
                        }
                        *skip = usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
                        *have = 0;
                    }
                }
                Preamble::Content => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, len: usize) -> Vec<u8> {
        let mut out = vec![0, 0, len as u8, kind, 0, 0, 0, 0, 0];
        out.resize(FRAME_HEADER + len, 7);
        out
    }

    #[track_caller]
    fn check(parts: &[&[u8]], only: bool) {
        let all = parts.concat();
        for size in [1, 2, 7, 24, all.len().max(1)] {
            let mut it = Preamble::default();
            all.chunks(size).for_each(|c| it.feed(c));
            assert_eq!(it.only(), only, "in pieces of {size}");
        }
    }

    #[test]
    fn rows() {
        check(&[], false);
        check(&[PREFACE], true);
        check(&[PREFACE, &frame(4, 18), &frame(8, 4)], true);
        check(&[PREFACE, &frame(4, 18), &frame(1, 30)], false);
        check(&[PREFACE, &frame(0, 3)], false);
        check(&[b"GET / HTTP/1.1\r\n"], false);
        check(&[b"PRI * HTTP/1.1"], false);
    }
}
