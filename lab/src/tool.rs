//! Programs of the system that the lab starts.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// Where Debian keeps `nft` and its like; an ordinary user's path does not lead there.
const USUAL: [&str; 2] = ["/usr/sbin", "/sbin"];

/// A program by its name, sought where the path leads and where programs for administrators stand.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", path());
    command
}

/// Whether there is a program of this name.
pub fn is_there(name: &str) -> bool {
    std::env::split_paths(&path()).any(|dir| dir.join(name).is_file())
}

fn path() -> OsString {
    let told = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::env::split_paths(&told).chain(USUAL.map(PathBuf::from))).unwrap_or(told)
}
