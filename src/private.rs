//! Files nobody else may read: the project key, sealed values, certificate keys. Made with mode 0600 from the first byte.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use nix::fcntl::{Flock, FlockArg};

use crate::fault::Fault;

/// Opens a new file that only its owner may read.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Writes a file by rename: it is there with all its bytes, or as it was before.
pub(crate) fn whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    whole_by(path, |out| out.write_all(bytes))
}

/// The same for what is too long to hold.
pub(crate) fn whole_by(path: &Path, say: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let new = beside(path);
    let make = || {
        let mut out = BufWriter::new(create(&new)?);
        say(&mut out)?;
        out.flush()?;
        std::fs::rename(&new, path)
    };
    let written = make();
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

/// The name under which a file is made; of this process alone.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    path.with_file_name(name)
}

/// A file that only its owner may read, to add to.
pub(crate) fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// The same file, once no other process holds it so; given back when it is closed.
pub(crate) fn alone(file: File) -> io::Result<Flock<File>> {
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| e.into())
}

/// The same, unless another process holds it for longer than one that was killed needs to end: then [`io::ErrorKind::WouldBlock`].
pub(crate) fn try_alone(mut file: File) -> io::Result<Flock<File>> {
    let until = Instant::now() + PASSING;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Ok(held),
            Err((back, nix::errno::Errno::EWOULDBLOCK)) if Instant::now() < until => file = back,
            Err((_, e)) => return Err(e.into()),
        }
        std::thread::sleep(GLANCE);
    }
}

/// The same at this moment.
pub(crate) fn now_alone(file: File) -> io::Result<Flock<File>> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| e.into())
}

/// What a killed lab leaves ends by itself in less.
const PASSING: Duration = Duration::from_secs(1);
const GLANCE: Duration = Duration::from_millis(20);

/// What stands in a folder and is neither a file nor a folder, whatever link leads there: a pipe, a socket, a device.
pub(crate) fn special_in(dir: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?;
    let mut paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    paths.find(|path| std::fs::metadata(path).is_ok_and(|at| !at.is_file() && !at.is_dir()))
}

/// A folder that only its owner may enter.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Bytes from the system's random source.
pub(crate) fn random(out: &mut [u8]) -> Result<(), Fault> {
    SystemRandom::new().fill(out).map_err(|_| Fault::new("the system gave no random bytes", "check /dev/urandom"))
}

/// Whether the project key is there already.
pub(crate) fn has_project_key(named: Option<&Path>) -> bool {
    named.map_or_else(|| default_key().ok(), |path| Some(path.to_owned())).is_some_and(|path| path.is_file())
}

/// The project key: 32 random bytes that masks and tokens are made with. Same key = comparable runs; never in a run or bundle.
pub(crate) fn project_key(named: Option<&Path>) -> Result<[u8; 32], Fault> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => default_key()?,
    };
    match File::open(&path) {
        Ok(file) => {
            let mode = file.metadata().map_err(|e| Fault::io("read", &path, &e))?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(Fault::new(
                    format!("the project key {} can be read by others (mode {:o})", path.display(), mode & 0o777),
                    "chmod 600 it, or make a new one by removing it",
                ));
            }
            let mut text = String::new();
            file.take(256).read_to_string(&mut text).map_err(|e| Fault::io("read", &path, &e))?;
            let bytes = analyzers::encode::unhex(text.trim()).and_then(|b| <[u8; 32]>::try_from(b.as_slice()).ok());
            bytes
                .ok_or_else(|| Fault::new(format!("{} is not a project key (64 hex digits)", path.display()), "remove it to get a new one"))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let mut key = [0; 32];
            random(&mut key)?;
            if let Some(parent) = path.parent() {
                folder(parent).map_err(|e| Fault::io("make", parent, &e))?;
            }
            let text = format!("{}\n", analyzers::encode::hex(&key));
            whole(&path, text.as_bytes()).map_err(|e| Fault::io("write", &path, &e))?;
            Ok(key)
        }
        Err(e) => Err(Fault::io("read", &path, &e)),
    }
}

fn default_key() -> Result<PathBuf, Fault> {
    let base = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".config")));
    match base {
        Some(base) => Ok(base.join("overhear/project.key")),
        None => Err(Fault::new("there is no home folder for the project key", "name one with --project-key FILE")),
    }
}
