//! What is wrong with a file that a user wrote: what, where (line and column), what to do.

use std::fmt;

/// One clear message about a user's file. Lines and columns are 1-based; 0 means the whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub what: String,
    pub help: String,
}

impl Problem {
    pub fn whole(file: &str, what: impl Into<String>, help: impl Into<String>) -> Problem {
        Problem { file: file.to_owned(), line: 0, column: 0, what: what.into(), help: help.into() }
    }

    /// A problem at byte `offset` of `text`.
    pub fn at(file: &str, text: &str, offset: usize, what: impl Into<String>, help: impl Into<String>) -> Problem {
        let before = &text[..floor_char_boundary(text, offset)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        Problem { file: file.to_owned(), line, column, what: what.into(), help: help.into() }
    }

    /// A TOML error, with the place the parser names.
    pub fn toml(file: &str, text: &str, error: &toml::de::Error, help: impl Into<String>) -> Problem {
        let offset = error.span().map_or(0, |s| s.start);
        Problem::at(file, text, offset, error.message().to_owned(), help)
    }
}

fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.what)?;
        if !self.help.is_empty() {
            write!(f, " ({})", self.help)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}
