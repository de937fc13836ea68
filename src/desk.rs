//! The desk of a run: every line goes to the journal on disk and, the same value, to the readings.

use std::fs::File;
use std::io::{self, BufWriter};

use analyzers::board::Board;
use analyzers::flow::FlowId;
use analyzers::journal::{Line, Writer};
use analyzers::observation::Observation;
use analyzers::reading::Reading;
use analyzers::scribe::Desk;
use analyzers::sealed::Value;
use dashboard::Screen;
use policies::Time;
use reports::rows::{Row, Table};
use reports::tables::Tables;

use crate::run::Sealed;
use crate::twice::Facts;

/// Writes overflowing rows to the run's tables.
pub(crate) type Hook = Box<dyn FnMut(Table, Row<'_>) + Send>;

/// The tables of a run on disk.
pub(crate) type RunTables = Tables<Hook>;

/// Writes and folds lines as they come.
pub(crate) struct RunDesk {
    writer: Writer<BufWriter<File>>,
    pub(crate) board: Board,
    pub(crate) tables: RunTables,
    sealed: Sealed,
    /// What the dashboard shows, when there is one.
    pub(crate) screen: Option<Screen>,
    /// What a second reading of the run's own capture is compared with (live runs).
    pub(crate) twice: Option<Facts>,
    /// Lines that open the journal, until the first fact gives them a time.
    opening: Vec<Observation>,
    last: Time,
    /// The first error of the disk: nothing is written after it.
    error: Option<io::Error>,
}

impl RunDesk {
    pub(crate) fn new(
        writer: Writer<BufWriter<File>>,
        board: Board,
        tables: RunTables,
        sealed: Sealed,
        opening: Vec<Observation>,
    ) -> RunDesk {
        RunDesk { writer, board, tables, sealed, screen: None, twice: None, opening, last: Time(0), error: None }
    }

    fn write(&mut self, mut line: Line) {
        if self.error.is_some() {
            return;
        }
        if let Err(e) = self.writer.write(&mut line) {
            self.error = Some(e);
            return;
        }
        self.last = self.last.max(line.at);
        self.board.line(&line);
        self.tables.line(&line);
        if let Some(screen) = &mut self.screen {
            screen.line(&line);
        }
        if let Some(twice) = &mut self.twice {
            twice.line(&line);
        }
    }

    /// Writes the opening lines, at the time of the first fact or as given.
    pub(crate) fn open(&mut self, at: Time) {
        for seen in std::mem::take(&mut self.opening) {
            self.write(Line { n: 0, at, frame: None, flow: None, subject: None, seen });
        }
    }

    /// A fact of the run itself, at the time of the last line.
    pub(crate) fn say(&mut self, seen: impl Into<Observation>) {
        let at = self.last;
        self.say_at(at, seen);
    }

    pub(crate) fn say_at(&mut self, at: Time, seen: impl Into<Observation>) {
        self.open(at);
        self.write(Line { n: 0, at, frame: None, flow: None, subject: None, seen: seen.into() });
    }

    /// Seals now.
    pub(crate) fn seal(&mut self) {
        if self.error.is_none() {
            self.error = self.writer.seal().err();
        }
    }

    pub(crate) fn failed(&self) -> bool {
        self.error.is_some()
    }

    /// Seals and closes; the readings, the number of lines and the head of the chain.
    pub(crate) fn finish(mut self) -> io::Result<Finished> {
        self.open(self.last);
        if let Some(error) = self.error {
            return Err(error);
        }
        self.writer.seal()?;
        let lines = self.writer.lines();
        let (_, head) = self.writer.finish()?;
        self.sealed.finish()?;
        Ok(Finished { board: self.board, tables: self.tables, lines, head })
    }
}

/// What a finished journal leaves.
pub(crate) struct Finished {
    pub(crate) board: Board,
    pub(crate) tables: RunTables,
    pub(crate) lines: u64,
    pub(crate) head: analyzers::encode::Digest,
}

impl Desk for RunDesk {
    fn line(&mut self, line: Line) {
        self.open(line.at);
        self.write(line);
    }

    fn sealed(&mut self, flow: Option<FlowId>, value: Value) {
        self.sealed.put(flow, &value);
    }
}
