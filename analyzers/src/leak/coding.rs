//! What a layer of a message was coded by.

use super::undo::Packed;

/// What a layer was coded by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// The message itself.
    None,
    Percent,
    Json,
    Html,
    Typography,
    Folded,
    QuotedPrintable,
    Word,
    Utf16(bool),
    Base64,
    Hex,
    Decimals,
    Packed(Packed),
    Punycode,
    Charset(&'static encoding_rs::Encoding),
}

impl Coding {
    /// What a chain calls it.
    pub(super) fn word(self) -> Option<&'static str> {
        Some(match self {
            // Nobody who reads it sees a coding.
            Coding::None | Coding::Typography | Coding::Folded => return None,
            Coding::Percent => "percent",
            Coding::Json => "json",
            Coding::Html => "html",
            Coding::QuotedPrintable => "quoted-printable",
            Coding::Word => "encoded-word",
            Coding::Utf16(false) => "utf-16le",
            Coding::Utf16(true) => "utf-16be",
            Coding::Base64 => "base64",
            Coding::Hex => "hex",
            Coding::Decimals => "decimals",
            Coding::Packed(packed) => packed.as_str(),
            Coding::Punycode => "punycode",
            Coding::Charset(charset) => charset.name(),
        })
    }
}

/// Which compression without a signature is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsigned {
    /// None: the layer is text that another layer wrote.
    None,
    /// In a message: what clients send packed without saying so.
    Deflate,
    /// In what came out of a coding that carries arbitrary bytes.
    All,
}

impl Unsigned {
    /// What is tried in what this coding gives.
    pub(super) fn of(coding: Coding) -> Unsigned {
        match coding {
            Coding::None => Unsigned::Deflate,
            Coding::Percent
            | Coding::Json
            | Coding::Html
            | Coding::Typography
            | Coding::Folded
            | Coding::Word
            | Coding::Punycode
            | Coding::Charset(_) => Unsigned::None,
            _ => Unsigned::All,
        }
    }
}
