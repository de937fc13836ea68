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
        shown(&self.file, f)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(": ")?;
        shown(&self.what, f)?;
        if !self.help.is_empty() {
            f.write_str(" (")?;
            shown(&self.help, f)?;
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// Parsers quote what they found, and a declaration may come from a stranger: nothing in it may act on a terminal.
fn shown(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use fmt::Write as _;
    text.chars().try_for_each(|c| {
        let acts = c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if acts { write!(f, "{}", c.escape_unicode()) } else { f.write_char(c) }
    })
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::Problem;

    #[track_caller]
    fn check(text: &str, offset: usize, expect: &str) {
        assert_eq!(Problem::at("f", text, offset, "w", "").to_string(), expect);
    }

    #[test]
    fn places() {
        check("", 0, "f:1:1: w");
        check("ab\ncé d", 3, "f:2:1: w");
        check("ab\ncé d", 7, "f:2:4: w");
        check("é", 1, "f:1:1: w");
        check("ab", 99, "f:1:3: w");
    }

    #[test]
    fn acts_on_no_terminal() {
        let problem = Problem::whole("f\u{1b}[31m", "a\u{202e}b\nc", "h\u{7}");
        assert_eq!(problem.to_string(), "f\\u{1b}[31m: a\\u{202e}b\\u{a}c (h\\u{7})");
    }
}
