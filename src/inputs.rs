//! Which captures a command was given, and where their runs go.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::analyze::eprint_line;
use crate::fault::Fault;

/// Files as given, folders walked in name order.
pub(crate) fn inputs(named: &[PathBuf]) -> Result<Vec<PathBuf>, Fault> {
    let mut out = Vec::new();
    let mut walked = HashSet::new();
    for path in named {
        if path.is_dir() {
            walk(path, &mut out, &mut walked, 0)?;
        } else {
            out.push(path.clone());
        }
    }
    if out.is_empty() {
        return Err(Fault::new("there is no capture in what was named", "pcap and pcapng files are read, also gzip or zstd"));
    }
    Ok(out)
}

/// Folders deeper than this are links in a circle.
const DEEPEST: usize = 32;

fn walk(dir: &Path, out: &mut Vec<PathBuf>, walked: &mut HashSet<PathBuf>, depth: usize) -> Result<(), Fault> {
    // A link may lead back to where it came from.
    if depth > DEEPEST || !walked.insert(dir.canonicalize().unwrap_or_else(|_| dir.to_owned())) {
        return Ok(());
    }
    let entries = std::fs::read_dir(dir).map_err(|e| Fault::io("read", dir, &e))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(&path, out, walked, depth + 1)?;
        } else if !path.is_file() {
            // A pipe would be waited for.
            eprint_line(&format!("overhear: {}: not read; it is no file", path.display()));
        } else if is_capture_name(&path) || begins_as_capture(&path) {
            out.push(path);
        } else if ["bz2", "xz", "lz4", "br"].iter().any(|e| path.extension().is_some_and(|have| have == *e))
            && is_capture_name(&path.with_extension(""))
        {
            eprint_line(&format!("overhear: {}: not read; unpack it first", path.display()));
        }
    }
    Ok(())
}

/// Whether a file of another name (`trace`, `x.pcap.1` of a ring) is one all the same.
fn begins_as_capture(path: &Path) -> bool {
    std::fs::File::open(path).is_ok_and(|file| captures::read::Reader::open(file).is_ok())
}

fn is_capture_name(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    let bare = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    [".pcap", ".pcapng", ".cap", ".ntar", ".dmp"].iter().any(|e| bare.ends_with(e))
}

/// Where a run goes: as told, else `overhear-runs/NAME`, numbered when that is taken.
pub(crate) fn out_folder(named: Option<&Path>, input: &Path, batch: bool) -> PathBuf {
    let stem = input.file_name().map_or_else(|| "stdin".to_owned(), |n| n.to_string_lossy().into_owned());
    let stem = if stem == "-" { "stdin".to_owned() } else { stem };
    match named {
        Some(dir) if batch => dir.join(stem),
        Some(dir) => dir.to_owned(),
        None => unused(&Path::new("overhear-runs").join(stem)),
    }
}

/// The path, or the path with the first free number.
pub(crate) fn unused(path: &Path) -> PathBuf {
    let free = |p: &Path| !std::fs::read_dir(p).is_ok_and(|mut d| d.next().is_some());
    if free(path) {
        return path.to_owned();
    }
    let numbered = |n: u32| PathBuf::from(format!("{}-{n}", path.display()));
    (2..=u32::MAX).map(numbered).find(|p| free(p)).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_searched_for_captures_of_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let magic = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0];
        std::fs::create_dir(dir.path().join("b")).unwrap();
        for (name, bytes) in [
            ("b/trace", &magic[..]),
            ("b/x.pcap1", &magic),
            ("named.PCAP.gz", b"not one, and told so when it is read"),
            ("a.txt", b"text"),
            ("empty", b""),
            ("c.pcap.xz", b"packed"),
        ] {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        nix::unistd::mkfifo(&dir.path().join("pipe.pcap"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("b/circle")).unwrap();
        let found = inputs(&[dir.path().to_owned()]).ok().unwrap();
        let names: Vec<&str> = found.iter().map(|p| p.strip_prefix(dir.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["b/trace", "b/x.pcap1", "named.PCAP.gz"]);
        std::fs::remove_dir_all(dir.path().join("b")).unwrap();
        std::fs::remove_file(dir.path().join("named.PCAP.gz")).unwrap();
        assert!(inputs(&[dir.path().to_owned()]).is_err());
        let given = dir.path().join("a.txt");
        assert_eq!(inputs(std::slice::from_ref(&given)).ok().unwrap(), [given], "a file that is named is read whatever it is called");
    }
}
