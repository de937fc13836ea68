//! The desk of a run: every line goes to the journal on disk and, the same value, to the readings.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use analyzers::board::Board;
use analyzers::flow::FlowId;
use analyzers::journal::{Line, Writer};
use analyzers::observation::{InCapture, Observation};
use analyzers::reading::Reading;
use analyzers::scribe::Desk;
use analyzers::sealed::Value;
use dashboard::Screen;
use policies::Time;
use reports::rows::{Row, Table};
use reports::tables::{Limits, Tables};

use crate::fault::Fault;
use crate::private;
use crate::run::{Folder, Held, Sealed};
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
    spill: Spill,
    sealed: Sealed,
    folder: Folder,
    /// What the dashboard shows, when there is one.
    pub(crate) screen: Option<Screen>,
    /// What a second reading of the run's own capture is compared with (live runs).
    pub(crate) twice: Option<Facts>,
    /// Lines that open the journal, until the first fact gives them a time.
    opening: Vec<Observation>,
    last: Time,
    /// The first error of the disk: nothing is written after it.
    error: Option<io::Error>,
    held: Held,
}

impl RunDesk {
    /// A desk for a new run in `folder`. Rows beyond `limits` go to its `tables/*.jsonl`.
    pub(crate) fn new(folder: &Folder, board: Board, limits: Limits, opening: Vec<Observation>) -> Result<RunDesk, Fault> {
        let spill = Spill::new(folder.file("tables"));
        let hook = {
            let spill = spill.clone();
            Box::new(move |table: Table, row: Row<'_>| spill.put(table, row)) as Hook
        };
        let (writer, held) = folder.journal()?;
        Ok(RunDesk {
            writer,
            board,
            tables: Tables::streaming(limits, hook),
            spill,
            sealed: Sealed::new(folder),
            folder: folder.clone(),
            screen: None,
            twice: None,
            opening,
            last: Time(0),
            error: None,
            held,
        })
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

    /// Where a flow that was read live begins in the run's own capture.
    pub(crate) fn say_in_capture(&mut self, flow: FlowId, frame: Option<u64>, seen: InCapture) {
        let at = self.last;
        self.write(Line { n: 0, at, frame, flow: Some(flow), subject: None, seen: seen.into() });
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
    pub(crate) fn finish(mut self) -> Result<Finished, Fault> {
        self.open(self.last);
        let journal = self.folder.file("journal.jsonl");
        let failed = |e: io::Error| Fault::io("write", &journal, &e);
        if let Some(error) = self.error {
            return Err(failed(error));
        }
        self.writer.seal().map_err(failed)?;
        let lines = self.writer.lines();
        let (_, head) = self.writer.finish().map_err(failed)?;
        self.sealed.finish()?;
        self.spill.finish()?;
        Ok(Finished { board: self.board, tables: self.tables, lines, head, held: self.held })
    }
}

/// Rows that overflow their tables, on their way to files. Shared, for the tables keep the hook that fills it.
#[derive(Clone)]
struct Spill(Arc<Mutex<Spilt>>);

struct Spilt {
    dir: PathBuf,
    files: HashMap<&'static str, (PathBuf, BufWriter<File>)>,
    /// The first error: nothing is written after it, and it is told at the end.
    error: Option<Fault>,
}

impl Spill {
    fn new(dir: PathBuf) -> Spill {
        Spill(Arc::new(Mutex::new(Spilt { dir, files: HashMap::new(), error: None })))
    }

    fn put(&self, table: Table, row: Row<'_>) {
        let mut spilt = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spilt.error.is_none() {
            spilt.error = spilt.write(table, row).err();
        }
    }

    fn finish(&self) -> Result<(), Fault> {
        let mut spilt = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = spilt.error.take() {
            return Err(error);
        }
        spilt.files.values_mut().try_for_each(|(path, file)| file.flush().map_err(|e| Fault::io("write", path, &e)))
    }
}

impl Spilt {
    fn write(&mut self, table: Table, row: Row<'_>) -> Result<(), Fault> {
        let name = table.name();
        if !self.files.contains_key(name) {
            let path = self.dir.join(format!("{name}.jsonl"));
            let made = private::folder(&self.dir).and_then(|()| private::create(&path)).map_err(|e| Fault::io("write", &path, &e))?;
            self.files.insert(name, (path, BufWriter::new(made)));
        }
        let Some((path, file)) = self.files.get_mut(name) else { return Ok(()) };
        let written = serde_json::to_writer(&mut *file, &row).map_err(io::Error::from).and_then(|()| file.write_all(b"\n"));
        written.map_err(|e| Fault::io("write", path, &e))
    }
}

/// What a finished journal leaves.
pub(crate) struct Finished {
    pub(crate) board: Board,
    pub(crate) tables: RunTables,
    pub(crate) lines: u64,
    pub(crate) head: analyzers::encode::Digest,
    /// Until `run.json` is written nobody else touches the run.
    pub(crate) held: Held,
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
