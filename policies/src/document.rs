//! A TOML file a user wrote: read into a type, with every later complaint put at its line and column.

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::Problem;

/// More complaints than this about one file help nobody.
pub const MOST_PROBLEMS: usize = 20;

/// Files that people write are small; a larger one is the wrong file.
const LONGEST_FILE: usize = 8 << 20;

/// One step into a document: a key of a table, or the index of an array's item.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'s> {
    Key(&'s str),
    Item(usize),
}

impl<'s> From<&'s str> for Step<'s> {
    fn from(key: &'s str) -> Step<'s> {
        Step::Key(key)
    }
}

impl From<usize> for Step<'_> {
    fn from(index: usize) -> Self {
        Step::Item(index)
    }
}

/// `place!["value", 3, "name"]`: where in a document something stands.
macro_rules! place {
    ($($step:expr),* $(,)?) => { &[$($crate::document::Step::from($step)),*] };
}
pub(crate) use place;

/// A parsed file with its spans, and what was found wrong with it so far.
pub(crate) struct Document<'t> {
    file: &'t str,
    text: &'t str,
    tree: Spanned<DeTable<'t>>,
    problems: Vec<Problem>,
}

impl<'t> Document<'t> {
    /// Reads `text` as a `T`. Syntax errors are reported together; an error of shape comes alone, as serde stops there.
    pub(crate) fn read<T: DeserializeOwned>(file: &'t str, text: &'t str) -> Result<(Document<'t>, T), Vec<Problem>> {
        if text.len() > LONGEST_FILE {
            return Err(vec![Problem::whole(file, format!("the file has {} bytes", text.len()), "files of this kind stay under 8 MiB")]);
        }
        let (tree, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let mut problems: Vec<Problem> = errors.iter().map(|e| Problem::toml(file, text, e, "")).collect();
            problems.sort_by_key(|p| (p.line, p.column));
            problems.dedup();
            problems.truncate(MOST_PROBLEMS);
            return Err(problems);
        }
        let value = toml::from_str::<T>(text).map_err(|e| vec![Problem::toml(file, text, &e, "")])?;
        Ok((Document { file, text, tree, problems: Vec::new() }, value))
    }

    /// Notes a problem at `path`, or at the deepest part of it that the file has.
    pub(crate) fn problem(&mut self, path: &[Step<'_>], what: impl Into<String>, help: impl Into<String>) {
        if self.problems.len() < MOST_PROBLEMS {
            let offset = self.offset(path);
            self.problems.push(Problem::at(self.file, self.text, offset, what, help));
        }
    }

    /// The value, if nothing was wrong.
    pub(crate) fn end<T>(self, value: T) -> Result<T, Vec<Problem>> {
        if self.problems.is_empty() { Ok(value) } else { Err(self.problems) }
    }

    /// The line, from 1, on which `path` stands.
    pub(crate) fn line(&self, path: &[Step<'_>]) -> usize {
        Problem::at(self.file, self.text, self.offset(path), "", "").line
    }

    fn offset(&self, path: &[Step<'_>]) -> usize {
        let mut at = self.tree.span().start;
        let Some((Step::Key(first), rest)) = path.split_first() else { return at };
        let Some(mut here) = self.tree.get_ref().get(*first) else { return at };
        at = here.span().start;
        for step in rest {
            let next = match (here.get_ref(), step) {
                (DeValue::Table(table), Step::Key(key)) => table.get(*key),
                (DeValue::Array(array), Step::Item(index)) => array.get(*index),
                _ => None,
            };
            let Some(next) = next else { break };
            here = next;
            at = here.span().start;
        }
        at
    }
}
