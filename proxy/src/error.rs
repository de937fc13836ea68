//! What can go wrong on our own side; what a device or server does wrong is an observation, not an error.

use std::path::PathBuf;

use thiserror::Error as ThisError;

#[derive(Debug, ThisError)]
pub enum Error {
    #[error("cannot make {0}")]
    Crypto(&'static str),
    #[error("unusable key: {0}")]
    Key(&'static str),
    #[error("{path}: {what}")]
    File { path: PathBuf, what: String },
    #[error("TLS set-up: {0}")]
    Tls(rustls::Error),
    /// The origin erred.
    #[error("upstream: {0}")]
    Upstream(&'static str),
    #[error("upstream: {0}")]
    UpstreamIo(std::io::Error),
    #[error("{what}: {source}")]
    Io { what: &'static str, source: std::io::Error },
    #[error("{command} failed: {said}")]
    Tool { command: &'static str, said: String },
    /// This defect needs something that is not there (an upstream chain, a hand-written flight).
    #[error("cannot forge {defect}: {why}")]
    NotForgeable { defect: String, why: &'static str },
}

impl Error {
    pub fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Io { what, source }
    }
}
