//! A run is a folder: `journal.jsonl` is the truth, everything else is rendered from it. It is whole when `run.json` exists.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use analyzers::encode::{Digest, hex};
use analyzers::flow::FlowId;
use analyzers::journal::{self, Broken, Line, Tail, Writer};
use analyzers::observation::Observation;
use analyzers::sealed::Value;
use nix::fcntl::Flock;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::private;

/// `run.json`: written last, by rename.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunFile {
    pub(crate) schema: String,
    pub(crate) tool: String,
    pub(crate) version: String,
    pub(crate) inputs: Vec<RunInput>,
    /// Lines and seals of the journal, and the digest of its last seal line.
    pub(crate) lines: u64,
    pub(crate) head: Digest,
    /// What was given beside the policy, so that the run can be made again.
    pub(crate) devices: Vec<String>,
    pub(crate) persona: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunInput {
    /// A name that is no UTF-8 is written as near as can be.
    #[serde(serialize_with = "as_near")]
    pub(crate) path: PathBuf,
    pub(crate) sha256: Option<Digest>,
}

fn as_near<S: serde::Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

pub(crate) const RUN_SCHEMA: &str = "overhear/run/1";

/// What a run is made of and cannot be made again.
const RECORDS: [&str; 5] = ["run.json", "journal.jsonl", "policy.toml", "declaration.toml", "capture.pcapng"];
/// What is rendered from it.
const RENDERED: [&str; 2] = ["report.html", "report.json"];
const FOLDERS: [&str; 3] = ["sealed", "tables", "evidence"];

/// Whether this is what commands write into a run that is over.
pub(crate) fn is_later(seen: &Observation) -> bool {
    matches!(seen, Observation::Event(_) | Observation::Revealed(_) | Observation::Purged(_))
}

/// The hold on a run that nobody else may touch meanwhile.
pub(crate) type Held = Flock<File>;

/// A run's folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
}

impl Folder {
    /// Whether a run may be made there: not in a folder that is not empty, without `force`. Changes nothing.
    pub(crate) fn may_be(path: &Path, force: bool) -> Result<bool, Fault> {
        let full = std::fs::read_dir(path).is_ok_and(|mut d| d.next().is_some());
        if full && !force {
            return Err(Fault::new(format!("{} is not empty", path.display()), "choose another folder with --out, or add --force"));
        }
        Ok(full)
    }

    /// A new run folder; one that is not empty is refused without `force`, and what a run wrote there is then removed: to be made when all that
    /// was given is known to be good.
    pub(crate) fn make(path: &Path, force: bool) -> Result<Folder, Fault> {
        let full = Folder::may_be(path, force)?;
        private::folder(path).map_err(|e| Fault::io("make", path, &e))?;
        let folder = Folder { path: path.to_owned() };
        let _held = folder.alone()?;
        if full {
            for name in RECORDS.iter().chain(&RENDERED).chain(&[crate::runs::MARKS]) {
                let _ = std::fs::remove_file(folder.file(name));
            }
            for name in FOLDERS {
                let _ = std::fs::remove_dir_all(folder.file(name));
            }
        }
        Ok(folder)
    }

    /// An existing run.
    pub(crate) fn open(path: &Path) -> Result<Folder, Fault> {
        let folder = Folder { path: path.to_owned() };
        let within = FOLDERS.iter().map(|name| folder.file(name));
        if let Some(special) = within.chain([path.to_owned()]).find_map(|dir| private::special_in(&dir)) {
            return Err(Fault::new(
                format!("{} is no file: reading it may never end", special.display()),
                "a run holds files and folders alone; take it away",
            ));
        }
        if folder.file("journal.jsonl").is_file() {
            Ok(folder)
        } else {
            Err(Fault::new(
                format!("{} is not a run folder: it has no journal.jsonl", path.display()),
                "name a folder that analyze, lab or intercept made",
            ))
        }
    }

    /// Whether `path` is one of the run's own records, which nothing rendered may take the place of.
    pub(crate) fn owns(&self, path: &Path) -> bool {
        let same = |record: &PathBuf| {
            let (Ok(a), Ok(b)) = (std::fs::metadata(path), std::fs::metadata(record)) else { return false };
            (a.dev(), a.ino()) == (b.dev(), b.ino())
        };
        // By whatever name or link.
        if RECORDS.iter().map(|record| self.file(record)).any(|record| same(&record)) {
            return true;
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let (Ok(parent), Ok(own), Some(name)) = (parent.canonicalize(), self.path.canonicalize(), path.file_name()) else { return false };
        let within = |folder: &str| parent.starts_with(own.join(folder));
        (parent == own && RECORDS.iter().chain(&[crate::runs::MARKS]).any(|record| name == *record)) || FOLDERS.into_iter().any(within)
    }

    /// Whether a file there would be part of the run's folder, whatever it is called.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let (Ok(parent), Ok(own)) = (parent.canonicalize(), self.path.canonicalize()) else { return false };
        let target = path.canonicalize().is_ok_and(|path| path.starts_with(&own));
        target || parent.starts_with(own)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.file("run.json").is_file()
    }

    /// Writes a file whole or not at all: a run that is cut off has no half of one.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        let path = self.file(name);
        private::whole(&path, bytes).map_err(|e| Fault::io("write", &path, &e))
    }

    /// The same for what is too long to hold.
    pub(crate) fn write_by(&self, name: &str, say: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), Fault> {
        let path = self.file(name);
        private::whole_by(&path, say).map_err(|e| Fault::io("write", &path, &e))
    }

    /// Writes `run.json` by rename: from then on the run is whole.
    pub(crate) fn finish(&self, run: &RunFile) -> Result<(), Fault> {
        let text = serde_json::to_vec_pretty(run).map_err(|e| Fault::new(format!("run.json: {e}"), ""))?;
        self.write("run.json", &text)
    }

    pub(crate) fn run_file(&self) -> Result<RunFile, Fault> {
        let path = self.file("run.json");
        let text = std::fs::read(&path).map_err(|e| Fault::io("read", &path, &e))?;
        serde_json::from_slice(&text)
            .map_err(|e| Fault::new(format!("{}: {e}", path.display()), "the run was made by another version, or damaged"))
    }

    /// A new journal, and the hold on it: while somebody has that, the run goes on.
    pub(crate) fn journal(&self) -> Result<(Writer<BufWriter<File>>, Held), Fault> {
        let path = self.file("journal.jsonl");
        let failed = |e| Fault::io("write", &path, &e);
        // Nothing is cut before it is known that nobody else writes there.
        let file = private::append(&path).map_err(failed)?;
        let held = self.hold(file.try_clone().map_err(failed)?)?;
        file.set_len(0).map_err(failed)?;
        Ok((Writer::new(BufWriter::with_capacity(1 << 20, file)), held))
    }

    /// Refuses while the run goes on, and keeps others from it as long as what is returned lives; `None` where there is no journal. A command that
    /// has a run that is over is waited for.
    pub(crate) fn alone(&self) -> Result<Option<Held>, Fault> {
        let path = self.file("journal.jsonl");
        match File::open(&path) {
            Ok(file) if self.is_whole() => private::alone(file).map(Some).map_err(|e| Fault::io("lock", &path, &e)),
            Ok(file) => self.hold(file).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Fault::io("read", &path, &e)),
        }
    }

    /// Whether somebody writes the run at this moment.
    pub(crate) fn goes_on(&self) -> Result<bool, Fault> {
        let path = self.file("journal.jsonl");
        let file = File::open(&path).map_err(|e| Fault::io("read", &path, &e))?;
        match private::now_alone(file) {
            Ok(_) => Ok(false),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(e) => Err(Fault::io("lock", &path, &e)),
        }
    }

    fn hold(&self, file: File) -> Result<Held, Fault> {
        private::try_alone(file).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => {
                Fault::new(format!("the run in {} goes on", self.path.display()), "wait for its end, or name another folder")
            }
            _ => Fault::io("lock", &self.file("journal.jsonl"), &e),
        })
    }

    /// Reads the journal from disk.
    pub(crate) fn read(&self, each: impl FnMut(Line)) -> Result<(Tail, Vec<Broken>), Fault> {
        let path = self.file("journal.jsonl");
        let file = File::open(&path).map_err(|e| Fault::io("read", &path, &e))?;
        journal::read(BufReader::with_capacity(1 << 20, file), each).map_err(|e| Fault::io("read", &path, &e))
    }

    /// Where the journal ends, if lines may be added to it: not to one that is damaged or cut off, nor to another than `run.json` names, which would
    /// then name that.
    pub(crate) fn end(&self) -> Result<Tail, Fault> {
        let path = self.file("journal.jsonl");
        let named = self.is_whole().then(|| self.run_file()).transpose()?;
        // Behind the end that run.json names there may be what a later command wrote that was broken off before it said so there.
        let mut strange = false;
        let (tail, broken) = self.read(|line| {
            strange |= named.as_ref().is_some_and(|run| line.n > run.lines) && !is_later(&line.seen);
        })?;
        let refused = |what: String, help: &str| Err(Fault::new(format!("{}{what}", path.display()), help));
        if let Some(first) = broken.first() {
            return refused(format!(": {first}"), "a broken journal is not written to; see `overhear verify`");
        }
        if tail.torn > 0 || tail.unsealed > 0 {
            return refused(" has an unsealed tail".to_owned(), "the run was cut off; it stays as it is");
        }
        if let Some(run) = named
            && (strange || !tail.recent.contains(&(run.lines, run.head)))
        {
            return refused(
                " does not end where run.json says".to_owned(),
                "a run that was changed is not written to; see `overhear verify`",
            );
        }
        Ok(tail)
    }

    /// Adds lines to the end of a journal and seals them; the chain goes on.
    pub(crate) fn append(&self, lines: &mut [Line]) -> Result<(), Fault> {
        let _held = self.alone()?;
        self.add(&self.end()?, lines)
    }

    /// The same for who holds the run and has seen its [`end`](Self::end).
    pub(crate) fn add(&self, tail: &Tail, lines: &mut [Line]) -> Result<(), Fault> {
        let path = self.file("journal.jsonl");
        let file = private::append(&path).map_err(|e| Fault::io("write", &path, &e))?;
        let mut writer = Writer::resume(BufWriter::new(file), tail);
        let written = lines.iter_mut().try_for_each(|l| writer.write(l)).and_then(|()| writer.finish());
        let (_, head) = written.map_err(|e| Fault::io("write", &path, &e))?;
        if self.is_whole() {
            let mut run = self.run_file()?;
            run.lines = tail.lines + lines.len() as u64 + 1;
            run.head = head;
            self.finish(&run)?;
        }
        Ok(())
    }
}

/// Sealed values: one JSON line each, mode 0600, each token once per flow.
pub(crate) struct Sealed {
    path: PathBuf,
    out: Option<BufWriter<File>>,
    known: HashSet<([u8; 16], Option<FlowId>)>,
    bytes: u64,
    error: Option<io::Error>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SealedLine {
    pub(crate) token: String,
    pub(crate) flow: Option<FlowId>,
    /// Hex, for values need not be text.
    pub(crate) value: String,
}

/// No run needs more: values are short, and each is kept once per flow.
const SEALED_KEPT: u64 = 64 << 20;

impl Sealed {
    pub(crate) fn new(folder: &Folder) -> Sealed {
        Sealed { path: folder.file("sealed"), out: None, known: HashSet::new(), bytes: 0, error: None }
    }

    pub(crate) fn put(&mut self, flow: Option<FlowId>, value: &Value) {
        if self.error.is_some() || self.bytes > SEALED_KEPT || !self.known.insert((value.token, flow)) {
            return;
        }
        self.bytes += value.bytes.len() as u64 + 80;
        if let Err(e) = self.write(flow, value) {
            self.error = Some(e);
        }
    }

    fn write(&mut self, flow: Option<FlowId>, value: &Value) -> io::Result<()> {
        if self.out.is_none() {
            private::folder(&self.path)?;
            self.out = Some(BufWriter::new(private::create(&self.path.join("values.jsonl"))?));
        }
        let line = SealedLine { token: hex(&value.token), flow, value: hex(&value.bytes) };
        if let Some(out) = &mut self.out {
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<(), Fault> {
        let flushed = self.out.as_mut().map_or(Ok(()), Write::flush);
        self.error.map_or(flushed, Err).map_err(|e| Fault::io("write", &self.path, &e))
    }
}
