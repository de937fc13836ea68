//! Moving house without root: the binary starts itself again, single-threaded, inside fresh namespaces.
//!
//! ```text
//! overhear lab …            outside; `move_in` replaces this process by
//!  └─ door                  unshares (user,) mount, network and pid namespaces; passes signals in and the exit code out
//!      └─ init              pid 1 in there: private mounts, a fresh /proc and /run; reaps; its end is everybody's end
//!          └─ overhear lab …    `enter` returns `Place::Gateway`; threads may start from here on
//!              └─ run → run-init → COMMAND     one per run of a device (see `dut`)
//! ```
//! Whoever of these dies takes all below along: the kernel kills a pid namespace with its init, and `init` follows
//! `door` by its parent-death signal. Namespaces, links and mounts live only as long as a process that uses them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getegid, geteuid, getpid, pipe2};

use crate::{Fault, dut, toys};

/// Where this process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where the user started it: no namespace of ours.
    Outside,
    /// In the gateway's namespaces, single-threaded still; a [`crate::World`] may be raised.
    Gateway,
}

/// What [`enter`] found: where we are, and the arguments as the user typed them (`args[0]` is the program).
#[derive(Clone, Debug)]
pub struct Stage {
    pub place: Place,
    pub args: Vec<OsString>,
}

/// Must be the first call in `main`, before any thread exists. Hidden roles never return from it.
pub fn enter() -> Stage {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    if args.get(1).map(OsString::as_os_str) != Some(OsStr::new(WORD)) {
        return Stage { place: Place::Outside, args };
    }
    let role = args.get(2).and_then(|role| role.to_str()).unwrap_or_default().to_owned();
    let rest: Vec<OsString> = args.drain(1..).skip(2).collect();
    let ended = match role.as_str() {
        "door" => door(&rest),
        "init" => init(&rest),
        "gateway" => match arrive(rest.first()) {
            Ok(()) => {
                args.extend(rest.into_iter().skip(1));
                return Stage { place: Place::Gateway, args };
            }
            Err(fault) => Err(fault),
        },
        "probe" => probe(&rest),
        "leave" => leave(false).map(|()| 0),
        "run" => dut::run(&rest),
        "run-init" => dut::run_init(&rest),
        "toy" => toys::visit_from_args(&rest),
        _ => Err(Fault::new("lab", format!("unknown role {role:?}"), "this word is internal; call the program without it")),
    };
    match ended {
        Ok(code) => std::process::exit(code),
        Err(fault) => {
            #[expect(clippy::print_stderr, reason = "a role has nobody else to tell; its parent passes this on")]
            {
                eprintln!("overhear lab: {fault}");
            }
            std::process::exit(FAULT)
        }
    }
}

/// Replaces this process by one that stands in the gateway. Returns only when that failed before it began.
/// `args` is the whole command line as [`Stage::args`] gave it.
pub fn move_in(args: &[OsString]) -> Fault {
    let mut command = role("door");
    command.args(args.get(1..).unwrap_or_default());
    if let Some(name) = args.first() {
        command.arg0(name);
    }
    let error = command.exec();
    Fault::new("starting the lab's own process", error, "check that /proc is mounted")
}

/// This very binary in one of its hidden roles.
pub(crate) fn role(name: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(WORD).arg(name);
    command
}

/// Leaves the namespaces the process came in, root or not.
fn leave(own_pids: bool) -> Result<(), Fault> {
    let mut ours = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET;
    ours.set(CloneFlags::CLONE_NEWPID, own_pids);
    if geteuid().is_root() {
        match unshare(ours) {
            Ok(()) => return Ok(()),
            Err(Errno::EPERM) => {} // root in a container without CAP_SYS_ADMIN: an ordinary user in all that matters
            Err(error) => return Err(Fault::odd("making namespaces as root")(error)),
        }
    }
    let (uid, gid) = (geteuid(), getegid());
    unshare(ours | CloneFlags::CLONE_NEWUSER).map_err(|error| Fault::new("making namespaces as an ordinary user", error, userns_hint()))?;
    let write =
        |path: &str, text: String| fs::write(path, text).map_err(|error| Fault::new(format!("writing {path}"), error, userns_hint()));
    write("/proc/self/setgroups", "deny".into())?;
    write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", format!("0 {gid} 1"))
}

/// Which of the known switches forbids user namespaces, as far as this machine tells.
fn userns_hint() -> String {
    let off = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    if off("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "run as root, or `sysctl kernel.unprivileged_userns_clone=1`".into()
    } else if off("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "run as root, or `sysctl kernel.apparmor_restrict_unprivileged_userns=0`".into()
    } else if off("/proc/sys/user/max_user_namespaces", "0") {
        "run as root, or `sysctl user.max_user_namespaces=1000`".into()
    } else {
        "run as root, or allow unprivileged user namespaces (in a container: a seccomp profile that permits unshare)".into()
    }
}

/// The process the user sees: makes the namespaces, stays outside of the pid namespace, and waits.
fn door(rest: &[OsString]) -> Result<i32, Fault> {
    // A container that hides parts of /proc lets nobody mount a fresh one; then do without a pid namespace.
    // Found out by a child, because there is no way back out of one.
    let own_pids = role("probe").status().is_ok_and(|status| status.success());
    leave(own_pids)?;
    let signals = Signals::block()?;
    serve(spawn_init(rest, own_pids)?, &signals)
}

/// Can a pid namespace with its own /proc be made here? Ends with 0 when it can.
fn probe(args: &[OsString]) -> Result<i32, Fault> {
    if args.first().is_some_and(|word| word == "proc") {
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            .map_err(Fault::odd("making mounts private"))?;
        return Ok(if fresh_proc().is_ok() { 0 } else { NO_PROC });
    }
    if leave(true).is_err() {
        return Ok(NO_NAMESPACE);
    }
    let status = role("probe").arg("proc").status().map_err(Fault::odd("starting a probe"))?;
    Ok(status.code().unwrap_or(NO_PROC))
}

/// Whether [`move_in`] would work here; asked before anything is promised to the user.
pub fn move_in_possible() -> Result<(), Fault> {
    let output = role("leave").output().map_err(Fault::odd("starting a probe"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().trim_start_matches("overhear lab: ");
    let mut parts = said.rsplitn(2, "; ");
    let todo = parts.next().unwrap_or_default();
    Err(Fault::new("making namespaces", parts.next().unwrap_or("refused").trim_start_matches("making namespaces "), todo))
}

fn spawn_init(rest: &[OsString], own_pids: bool) -> Result<(Child, Leash), Fault> {
    let leash = Leash::new()?;
    let mut command = role("init");
    command.arg(if own_pids { PIDS } else { "no-pids" }).arg(leash.name()).args(rest);
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    let child = command.spawn().map_err(Fault::odd("starting the lab's first process"))?;
    Ok((child, leash))
}

/// Waits for the one child, reaps everything else, passes on signals that were sent to us alone.
fn serve((child, _leash): (Child, Leash), signals: &Signals) -> Result<i32, Fault> {
    let child = Pid::from_raw(child.id() as i32);
    loop {
        while let Ok(status) = waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            match status {
                WaitStatus::Exited(pid, code) if pid == child => return Ok(code),
                WaitStatus::Signaled(pid, signal, _) if pid == child => return Ok(128 + signal as i32),
                WaitStatus::StillAlive => break,
                _ => {}
            }
        }
        if let Some(signal) = signals.next()? {
            let _ = kill(child, signal);
        }
    }
}

/// Pid 1 of the lab.
fn init(args: &[OsString]) -> Result<i32, Fault> {
    let own_pids = args.first().is_some_and(|word| word == PIDS);
    follow_parent(args.get(1))?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(Fault::odd("making mounts private"))?;
    if own_pids {
        fresh_proc().map_err(Fault::odd("mounting /proc"))?;
    } else {
        prctl::set_child_subreaper(true).map_err(Fault::odd("becoming the reaper"))?;
    }
    fresh_run()?;
    let signals = Signals::block()?;
    let mut command = role("gateway");
    let me = std::process::id().to_string();
    command.arg(if own_pids { PIDS } else { &me }).args(args.get(2..).unwrap_or_default());
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    let leash = Leash::new()?;
    let child = command.spawn().map_err(Fault::odd("starting the gateway's process"))?;
    let ended = serve((child, leash), &signals);
    if !own_pids {
        kill_descendants();
    }
    ended
}

/// The gateway's process, before any thread: no signal blocked, bound to the life of `init`.
fn arrive(pids: Option<&OsString>) -> Result<(), Fault> {
    let _ = OWN_PIDS.set(pids.is_some_and(|word| word == PIDS));
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(Fault::odd("binding the gateway to its parent"))?;
    // Without pids of our own the word is the parent's: who died before we were bound to it tells nobody.
    let parent = pids.and_then(|word| word.to_str()?.parse::<u32>().ok());
    if parent.is_some_and(|pid| pid != std::os::unix::process::parent_id()) {
        std::process::exit(FAULT);
    }
    SigSet::all().thread_unblock().map_err(Fault::odd("unblocking signals"))
}

/// Whether we stand in a pid namespace of our own.
pub(crate) fn own_pids() -> bool {
    OWN_PIDS.get().copied().unwrap_or_default()
}

/// Dies with the parent; exits at once if that is dead already (`leash` is a pipe only the parent can write to).
pub(crate) fn follow_parent(leash: Option<&OsString>) -> Result<(), Fault> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(Fault::odd("binding a process to its parent"))?;
    let Some(mut pipe) = leash.and_then(|name| Leash::take(name).ok()) else { return Ok(()) };
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(Fault::odd("looking for the parent"))?;
    let read = pipe.read(&mut [0; 1]);
    match read {
        Ok(0) => std::process::exit(FAULT),
        _ => Ok(()), // would block: the parent lives
    }
}

/// A /proc that shows the pid namespace we are in.
pub(crate) fn fresh_proc() -> nix::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)
}

/// An empty /run of our own (with the user's /run/user kept): room for the lab's files that vanishes with the mounts,
/// and no way around the lab through sockets of resolvers, caches or buses of the host.
fn fresh_run() -> Result<(), Fault> {
    let what = "making a private /run";
    let user = fs::OpenOptions::new().read(true).custom_flags((OFlag::O_PATH | OFlag::O_DIRECTORY).bits()).open("/run/user").ok();
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("overhear"), "/run", Some("tmpfs"), flags, Some("mode=755,size=64m")).map_err(Fault::odd(what))?;
    fs::create_dir_all(crate::netns::NAMES).map_err(Fault::odd(what))?;
    fs::create_dir_all(crate::world::HOME).map_err(Fault::odd(what))?;
    if let Some(user) = user {
        fs::create_dir_all("/run/user").map_err(Fault::odd(what))?;
        let source = format!("/proc/self/fd/{}", user.as_raw_fd());
        // Only some programs with windows miss it; never a reason to stop.
        let _ = mount(Some(source.as_str()), "/run/user", None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>);
    }
    Ok(())
}

/// Without a pid namespace: everything that descends from us, whatever session or group it made for itself.
pub(crate) fn kill_descendants() {
    // Each round kills what it sees; children of the killed come to us, the reaper, and fall in the next.
    for _ in 0..64 {
        let children = children_of(getpid());
        if children.is_empty() {
            return;
        }
        for pid in children {
            let _ = kill(pid, Signal::SIGKILL);
        }
        while matches!(waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive) {}
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn children_of(parent: Pid) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            // proc(5): the fields after the command's closing parenthesis are state and parent.
            fs::read_to_string(format!("/proc/{pid}/stat"))
                .ok()
                .and_then(|stat| stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<i32>().ok())
                == Some(parent.as_raw())
        })
        .map(Pid::from_raw)
        .collect()
}

/// The signals that end us, taken as events, beside the ends of children.
pub(crate) struct Signals(SignalFd);

impl Signals {
    pub(crate) fn block() -> Result<Self, Fault> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
            set.add(signal);
        }
        set.thread_block().map_err(Fault::odd("blocking signals"))?;
        SignalFd::new(&set).map(Self).map_err(Fault::odd("opening a signal descriptor"))
    }

    /// Blocks. `Some` is a signal a process sent to us; what the terminal sends reaches the whole group without our help.
    pub(crate) fn next(&self) -> Result<Option<Signal>, Fault> {
        let read = match self.0.read_signal() {
            Ok(read) => read,
            Err(Errno::EINTR) => None,
            Err(error) => return Err(Fault::odd("reading signals")(error)),
        };
        let signal = read.filter(|info| info.ssi_code <= 0).and_then(|info| Signal::try_from(info.ssi_signo as i32).ok());
        Ok(signal.filter(|signal| *signal != Signal::SIGCHLD))
    }
}

/// A pipe whose end of file tells the child that its parent is gone, even when that happened before it looked.
#[derive(Debug)]
pub(crate) struct Leash {
    hand: OwnedFd,
    collar: OwnedFd,
}

impl Leash {
    pub(crate) fn new() -> Result<Self, Fault> {
        let (collar, hand) = pipe2(OFlag::O_CLOEXEC).map_err(Fault::odd("opening a pipe"))?;
        fcntl(collar.as_fd(), FcntlArg::F_SETFD(FdFlag::empty())).map_err(Fault::odd("passing a pipe on"))?;
        Ok(Self { hand, collar })
    }

    /// What the child is given as an argument.
    pub(crate) fn name(&self) -> OsString {
        self.collar.as_raw_fd().to_string().into()
    }

    /// Lets go: the child reads the end of file.
    pub(crate) fn hand(self) -> OwnedFd {
        self.hand
    }

    /// The child's side, taken over so that nobody inherits it from us.
    pub(crate) fn take(name: &OsStr) -> std::io::Result<File> {
        let pipe = File::open(std::path::Path::new("/proc/self/fd").join(name))?;
        if let Some(number) = name.to_str().and_then(|name| name.parse::<i32>().ok()) {
            let _ = nix::unistd::close(number);
        }
        Ok(pipe)
    }
}

/// First argument of a hidden role. Long enough that nobody types it.
const WORD: &str = "__overhear-lab";
/// Exit code of a role that could not do its job (interface: 3).
pub(crate) const FAULT: i32 = 3;
/// Argument of `init` and `gateway`: there is a pid namespace.
const PIDS: &str = "pids";
static OWN_PIDS: OnceLock<bool> = OnceLock::new();
/// Exit codes of `probe`.
const NO_NAMESPACE: i32 = 1;
const NO_PROC: i32 = 2;
