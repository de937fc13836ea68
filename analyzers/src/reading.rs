//! A reading folds lines into something people or tools want: the board, tables, reports, the screen.

use crate::journal::Line;

/// Reads the lines of a run, live as they are written or later from disk; both give the same end.
pub trait Reading {
    type End;

    fn line(&mut self, line: &Line);

    fn end(self) -> Self::End;
}

/// Feeds two readings at once.
impl<A: Reading, B: Reading> Reading for (A, B) {
    type End = (A::End, B::End);

    fn line(&mut self, line: &Line) {
        self.0.line(line);
        self.1.line(line);
    }

    fn end(self) -> Self::End {
        (self.0.end(), self.1.end())
    }
}
