//! Programs of the system that the gateway starts.

use std::path::PathBuf;
use std::process::Command;

/// A program by its name, sought where the path leads and where Debian keeps programs for administrators: a user's path does not lead there.
pub(crate) fn command(name: &str) -> Command {
    let told = std::env::var_os("PATH").unwrap_or_default();
    let all = std::env::split_paths(&told).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let mut command = Command::new(name);
    command.env("PATH", std::env::join_paths(all).unwrap_or(told));
    command
}
