//! The one clear message when the tool could not do its job: what, where, what to do. Exit code 3.

use std::fmt;
use std::path::Path;

use policies::Problem;

/// Exit codes (`docs/interface.md`).
pub(crate) mod exit {
    pub(crate) const FAULT: u8 = 3;
}

/// Why a command could not do its job.
#[derive(Debug)]
pub(crate) enum Fault {
    /// One message: what, and what to do.
    Said { what: String, help: String },
    /// A user's file is wrong, in these places.
    File(Vec<Problem>),
}

impl Fault {
    pub(crate) fn new(what: impl Into<String>, help: impl Into<String>) -> Fault {
        Fault::Said { what: what.into(), help: help.into() }
    }

    /// A file or folder could not be read or written.
    pub(crate) fn io(doing: &str, path: &Path, error: &std::io::Error) -> Fault {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => "check the path",
            std::io::ErrorKind::PermissionDenied if doing == "read" => "check who may read it",
            std::io::ErrorKind::PermissionDenied => "check who owns it, or choose another place",
            std::io::ErrorKind::FileTooLarge => "raise the limit of `ulimit -f`; what was written so far is kept",
            std::io::ErrorKind::StorageFull => "free some space; what was written so far is kept",
            _ => "",
        };
        Fault::new(format!("cannot {doing} {}: {error}", path.display()), help)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Said { what, help } if help.is_empty() => f.write_str(what),
            Fault::Said { what, help } => write!(f, "{what} ({help})"),
            Fault::File(problems) => {
                for (i, problem) in problems.iter().enumerate() {
                    if i > 0 {
                        f.write_str("\n")?;
                    }
                    write!(f, "{problem}")?;
                }
                Ok(())
            }
        }
    }
}

impl From<Vec<Problem>> for Fault {
    fn from(problems: Vec<Problem>) -> Fault {
        Fault::File(problems)
    }
}
