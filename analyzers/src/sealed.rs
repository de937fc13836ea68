//! Personal values on their way to sealed storage: the only place where a value leaves the engine unmasked.

use crate::flow::FlowKey;

/// A value that was found. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    /// The HMAC printed in the `Hit` line.
    pub token: [u8; 16],
    pub flow: FlowKey,
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Value").field("token", &crate::encode::hex(&self.token)).finish_non_exhaustive()
    }
}
