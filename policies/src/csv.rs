//! Comma-separated values (RFC 4180) with the line and column of every cell, blank lines and `#` comments left out.

use crate::Problem;
use crate::document::MOST_PROBLEMS;

/// One cell: its text, and where it begins (1-based, columns in characters).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// The records of `text`. A quote that is not closed, or has something after it, is a problem; reading goes on at the next line.
pub(crate) fn records(file: &str, text: &str, problems: &mut Vec<Problem>) -> Vec<Vec<Cell>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut records = Vec::new();
    let mut at = Cursor { rest: text, line: 1, column: 1 };
    while !at.rest.is_empty() {
        let line = at.rest.split('\n').next().unwrap_or_default();
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            at.skip_line();
            continue;
        }
        let mut record = Vec::new();
        loop {
            match at.cell() {
                Ok(cell) => record.push(cell),
                Err((line, column, what)) => {
                    if problems.len() < MOST_PROBLEMS {
                        problems.push(Problem {
                            file: file.to_owned(),
                            line,
                            column,
                            what: what.to_owned(),
                            help: "a quote inside quotes is written twice".to_owned(),
                        });
                    }
                    record.clear();
                    at.skip_line();
                    break;
                }
            }
            match at.next() {
                Some(',') => {}
                Some('\r') => {
                    at.skip_line();
                    break;
                }
                _ => break,
            }
        }
        if !record.is_empty() {
            records.push(record);
        }
    }
    records
}

struct Cursor<'t> {
    rest: &'t str,
    line: usize,
    column: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn skip_line(&mut self) {
        while let Some(c) = self.next() {
            if c == '\n' {
                break;
            }
        }
    }

    /// One cell, up to but without the comma or the end of the line. Blanks around a cell do not count.
    fn cell(&mut self) -> Result<Cell, (usize, usize, &'static str)> {
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.next();
        }
        let (line, column) = (self.line, self.column);
        let mut text = String::new();
        if self.peek() == Some('"') {
            self.next();
            loop {
                match self.next() {
                    None => return Err((line, column, "this quote is never closed")),
                    Some('"') if self.peek() == Some('"') => {
                        self.next();
                        text.push('"');
                    }
                    Some('"') => break,
                    Some(c) => text.push(c),
                }
            }
            while matches!(self.peek(), Some(' ' | '\t')) {
                self.next();
            }
            if !matches!(self.peek(), None | Some(',' | '\r' | '\n')) {
                return Err((self.line, self.column, "something stands after the closing quote"));
            }
        } else {
            while let Some(c) = self.peek() {
                if matches!(c, ',' | '\r' | '\n') {
                    break;
                }
                text.push(c);
                self.next();
            }
            text.truncate(text.trim_end().len());
        }
        Ok(Cell { text, line, column })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &[&[(&str, usize, usize)]], wrong: &[&str]) {
        let mut problems = Vec::new();
        let got: Vec<Vec<(String, usize, usize)>> =
            records("f", text, &mut problems).into_iter().map(|r| r.into_iter().map(|c| (c.text, c.line, c.column)).collect()).collect();
        let expect: Vec<Vec<(String, usize, usize)>> =
            expect.iter().map(|r| r.iter().map(|(t, l, c)| ((*t).to_owned(), *l, *c)).collect()).collect();
        assert_eq!(got, expect, "{text:?}");
        assert_eq!(problems.iter().map(|p| format!("{}:{}: {}", p.line, p.column, p.what)).collect::<Vec<_>>(), wrong, "{text:?}");
    }

    #[test]
    fn rows() {
        check("", &[], &[]);
        check("a,b\nc", &[&[("a", 1, 1), ("b", 1, 3)], &[("c", 2, 1)]], &[]);
        check("\u{feff}a, b ,\r\n\r\n# no\n d", &[&[("a", 1, 1), ("b", 1, 4), ("", 1, 7)], &[("d", 4, 2)]], &[]);
        check("\"a,\"\"b\"\"\nc\",d\ne", &[&[("a,\"b\"\nc", 1, 1), ("d", 2, 4)], &[("e", 3, 1)]], &[]);
        check("é,b\n\"x\"y,z\nok", &[&[("é", 1, 1), ("b", 1, 3)], &[("ok", 3, 1)]], &["2:4: something stands after the closing quote"]);
        check("a,\"b\nc", &[], &["1:3: this quote is never closed"]);
    }
}
