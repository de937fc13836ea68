//! Reads big-endian fields off a slice; running out is `None`, never a panic.

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u24(&mut self) -> Option<usize> {
        self.array::<3>().map(|[a, b, c]| usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// A vector with a length of one, two or three bytes (RFC 8446 §3.4).
    pub(crate) fn vec8(&mut self) -> Option<&'a [u8]> {
        let n = self.u8()?;
        self.take(usize::from(n))
    }

    pub(crate) fn vec16(&mut self) -> Option<&'a [u8]> {
        let n = self.u16()?;
        self.take(usize::from(n))
    }

    pub(crate) fn vec24(&mut self) -> Option<&'a [u8]> {
        let n = self.u24()?;
        self.take(n)
    }

    /// A QUIC variable-length integer (RFC 9000 §16).
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let first = *self.0.first()?;
        let len = 1 << (first >> 6);
        let bytes = self.take(len)?;
        Some(bytes.iter().skip(1).fold(u64::from(first & 0x3f), |n, b| n << 8 | u64::from(*b)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// RFC 9000 Appendix A.1.
    #[test]
    fn varints() {
        for (bytes, expect) in [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..], Some(151_288_809_941_952_652)),
            (&[0x9d, 0x7f, 0x3e, 0x7d], Some(494_878_333)),
            (&[0x7b, 0xbd], Some(15_293)),
            (&[0x25], Some(37)),
            (&[0x40, 0x25], Some(37)),
            (&[0x40], None),
            (&[], None),
        ] {
            assert_eq!(Cursor::new(bytes).varint(), expect);
        }
    }

    #[test]
    fn vectors_do_not_overrun() {
        let mut it = Cursor::new(&[2, 7, 8, 0, 3, 1]);
        assert_eq!(it.vec8(), Some(&[7, 8][..]));
        assert_eq!(it.vec16(), None);
    }
}
