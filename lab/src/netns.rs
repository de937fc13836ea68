//! A network namespace held open by a file, and the work done inside of it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use crate::{Fault, tool};

/// Where iproute2 looks for names; `/run` is our own by then, so `ip -n NAME` works inside the lab and nowhere else.
pub(crate) const NAMES: &str = "/run/netns";

/// One namespace. It ends when the last socket, process and handle of it is gone.
#[derive(Debug)]
pub struct Netns {
    name: String,
    path: PathBuf,
    handle: File,
}

impl Netns {
    /// A fresh one with its loopback up.
    pub(crate) fn create(name: &str) -> Result<Self, Fault> {
        let what = || format!("making network namespace {name}");
        let path = Path::new(NAMES).join(name);
        File::create(&path).map_err(Fault::odd(what()))?;
        // Only the thread moves; the process stays where it is.
        scratch(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(Fault::odd(what()))?;
            mount(Some(THREAD), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(Fault::odd(what()))
        })?;
        let handle = File::open(&path).map_err(Fault::odd(what()))?;
        let netns = Self { name: name.to_owned(), path, handle };
        netns.ip("link set lo up\n")?;
        Ok(netns)
    }

    /// The one this thread is in.
    pub(crate) fn here(name: &str) -> Result<Self, Fault> {
        let handle = File::open(THREAD).map_err(Fault::odd("opening the gateway's network namespace"))?;
        let path = Path::new(NAMES).join(name);
        File::create(&path).map_err(Fault::odd("naming the gateway's network namespace"))?;
        mount(Some(THREAD), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(Fault::odd("naming the gateway's network namespace"))?;
        Ok(Self { name: name.to_owned(), path, handle })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A path that `setns` and `ip link … netns` understand.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` on a thread of its own inside the namespace. Sockets made there stay there, wherever they are used.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T, Fault> + Send) -> Result<T, Fault> {
        scratch(|| {
            setns(&self.handle, CloneFlags::CLONE_NEWNET).map_err(Fault::odd(format!("entering network namespace {}", self.name)))?;
            work()
        })
    }

    /// A batch of iproute2 lines, executed inside.
    pub(crate) fn ip(&self, batch: &str) -> Result<(), Fault> {
        self.within(|| ip_here(batch))
    }

    /// Writes switches under /proc/sys/net; `(path below it, value)`. A switch that this kernel lacks is skipped.
    pub(crate) fn switch(&self, switches: &[(&str, &str)]) -> Result<(), Fault> {
        self.within(|| {
            for (name, value) in switches {
                let path = Path::new("/proc/sys/net").join(name);
                let now = fs::read_to_string(&path).unwrap_or_default();
                if !path.exists() || now.trim() == *value {
                    continue;
                }
                fs::write(&path, value).map_err(|error| {
                    Fault::new(
                        format!("setting {}", path.display()),
                        error,
                        "mount /proc/sys writable (containers often make it read-only)",
                    )
                })?;
            }
            Ok(())
        })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.path, nix::mount::MntFlags::MNT_DETACH);
        let _ = fs::remove_file(&self.path);
    }
}

fn ip_here(batch: &str) -> Result<(), Fault> {
    fed(&["ip", "-batch", "-"], batch, "iproute2", "the kernel needs veth and bridge devices (modprobe veth bridge)")
}

/// Runs a tool of Debian's `package` in this thread's network namespace, with `input` as what it reads. `refused` is what to do where it does not
/// do what it was told.
pub(crate) fn fed(command: &[&str], input: &str, package: &str, refused: &str) -> Result<(), Fault> {
    let what = format!("running `{}`", command.join(" "));
    let missing = |error| Fault::new(&what, error, format!("install {package} (Debian: apt install {package})"));
    let (program, args) = command.split_first().unwrap_or((&"false", &[]));
    let child = tool::command(program).args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input.as_bytes()); // what it did not read, it complains about itself
    }
    let output = child.wait_with_output().map_err(missing)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " / ");
    Err(Fault::new(what, said, refused))
}

fn scratch<T: Send>(work: impl FnOnce() -> Result<T, Fault> + Send) -> Result<T, Fault> {
    std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|_| Err(Fault::odd("a thread of the lab")("it panicked")))
}

const THREAD: &str = "/proc/thread-self/ns/net";
