//! What a search hands out: where something stands, what it is, how it was coded, and nothing that may be printed but its mask.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use policies::IdentifierType as Kind;

use crate::observation::Grade;
use crate::text::Text;

/// A value found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub kind: Kind,
    /// The planted value it equals.
    pub seed: Option<Text>,
    pub grade: Grade,
    /// How it was coded, outermost first: `gzip`, `json:$.device.id`, `base64`, `sha256`. Empty: as people write it.
    pub chain: Arc<[Text]>,
    /// Where in the bytes given (for a stream: from its first byte) the value, or what it is coded in, stands.
    pub span: Range<u64>,
    /// The name of the field that holds it, where there is one.
    pub key: Option<Text>,
    /// Printable stand-in.
    pub mask: Text,
    /// Keyed digest of the value: equal in all runs of a project, not to be guessed outside.
    pub token: [u8; 16],
    /// More about it, in a word: `randomised`, `permanent`, or how precise a position is.
    pub detail: Option<&'static str>,
    /// The value itself, for sealed storage only.
    pub value: Secret,
}

/// Bytes that do not print.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    pub fn new(bytes: &[u8]) -> Secret {
        Secret(bytes.into())
    }

    /// The value, for sealed storage and for `--reveal`; whoever calls this answers for where it goes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
