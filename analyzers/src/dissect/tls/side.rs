//! One direction of a TLS connection: records out of chunks, messages out of records, and the key that opens them.

use crate::dissect::tls::crypt::Opener;

/// A record's five bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header(pub(crate) [u8; HEADER]);

pub(crate) const HEADER: usize = 5;

/// RFC 5246 §6.2.3: 2^14 bytes and 2048 of sealing.
pub(crate) const LONGEST: usize = (1 << 14) + 2048;

pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const APPLICATION: u8 = 23;
pub(crate) const HEARTBEAT: u8 = 24;

impl Header {
    pub(crate) fn read(bytes: &[u8]) -> Option<Header> {
        bytes.first_chunk::<HEADER>().map(|h| Header(*h))
    }

    pub(crate) fn kind(self) -> u8 {
        self.0[0]
    }

    pub(crate) fn len(self) -> usize {
        usize::from(u16::from_be_bytes([self.0[3], self.0[4]]))
    }

    /// Whether this can head a record at all: a known type, SSL 3.0 to TLS 1.3. Length is judged apart. Servers that have read no hello say
    /// good-bye without a version.
    pub(crate) fn plausible(self) -> bool {
        matches!(self.0[0], 20..=24) && self.0[1] == 3 && self.0[2] <= 4 || self.0 == [ALERT, 0, 0, 0, 2]
    }
}

/// What opens a direction's sealed records.
#[derive(Debug, Default)]
pub(crate) enum Lock {
    /// Nothing yet.
    #[default]
    Closed,
    Open {
        opener: Box<Opener>,
        epoch: Epoch,
        /// Not known which record is the key's first: it is tried.
        trial: bool,
    },
    /// Given up.
    Dead,
}

/// Which of a handshake's keys is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Epoch {
    /// TLS 1.2.
    Legacy,
    Early,
    Handshake,
    Traffic,
}

#[derive(Debug, Default)]
pub(crate) struct Side {
    /// A record that is not whole yet: its header and what came of its body.
    pub(crate) partial: Vec<u8>,
    /// Bytes of an unopened record's body still to come.
    pub(crate) skip: usize,
    /// The bytes to skip are of a record too long to be one: not read, rather than closed.
    pub(crate) skip_unread: bool,
    /// Framing is lost after a gap; a chunk that begins like a record finds it again.
    pub(crate) lost: bool,
    /// The first bytes of what may be such a record, too few to tell.
    pub(crate) short: Vec<u8>,
    /// What came is no TLS any more.
    pub(crate) broken: bool,
    /// ChangeCipherSpec was sent.
    pub(crate) ccs: bool,
    /// Where the next byte should stand in the stream.
    pub(crate) next: u64,
    /// A handshake message that is not whole yet.
    pub(crate) message: Vec<u8>,
    /// Bytes of a message over the limit still to come.
    pub(crate) message_skip: usize,
    pub(crate) lock: Lock,
    /// The TLS 1.3 traffic secret in use, for the next KeyUpdate.
    pub(crate) secret: Vec<u8>,
    /// Its Finished was read: the handshake's keys are over.
    pub(crate) finished: bool,
    /// Sealed records that stayed closed under the present key or the lack of one.
    pub(crate) sealed: u32,
    /// The Finished of TLS 1.2, header and body, that came before its key: a live server learns the key from the same bytes.
    pub(crate) held: Vec<u8>,
    /// Records a key was tried on in vain.
    pub(crate) tries: u32,
    /// At least one record was opened under a key of the handshake or later.
    pub(crate) opened: bool,
}

impl Side {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.lock, Lock::Open { .. })
    }

    /// Bytes are missing: what was being joined will not be whole.
    pub(crate) fn lose(&mut self) {
        self.partial = Vec::new();
        self.message = Vec::new();
        self.message_skip = 0;
        self.skip = 0;
        self.held = Vec::new();
        self.lost = true;
        self.lock = Lock::Dead;
    }
}
