//! How much is undone for one message, and what bounded it.

/// How much may be undone for one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Decoded bytes in all.
    pub output: usize,
    /// Codings one inside the other.
    pub depth: u8,
    pub layers: usize,
    /// Decompressed bytes for one compressed.
    pub ratio: usize,
}

impl Budget {
    /// For a message of a capture.
    pub const MESSAGE: Budget = Budget { output: 4 << 20, depth: 12, layers: 4096, ratio: 200 };
    /// For an archive that is worth the time: the most the engine undoes.
    pub const DEEP: Budget = Budget { output: 64 << 20, depth: 12, layers: 65_536, ratio: 200 };
    /// For a text about to be shown.
    pub(super) const TEXT: Budget = Budget { output: 1 << 20, depth: 12, layers: 1024, ratio: 200 };
}

/// What bounded a search before everything was undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stop {
    Output,
    Depth,
    Layers,
    Ratio,
    /// There were too many finds to list.
    Finds,
}

/// A small message may be decoded to this much, however little it is: room for what a few codings make of a short text.
pub(super) const FLOOR: usize = 64 << 10;
