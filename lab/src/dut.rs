//! The device under test as a program: run in its own network and mount namespace, watched, and ended with all its children.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::Fault;
use crate::netns::Netns;
use crate::stage::{self, Leash, Signals};

/// One device under test: an address pair of its own, and what it trusts and asks.
#[derive(Clone, Debug)]
pub struct Dut {
    /// 0 … parallel-1.
    pub number: u8,
    /// Where its packets come from; loopback where the lab has no namespaces.
    pub v4: Ipv4Addr,
    pub v6: Option<Ipv6Addr>,
    pub(crate) home: Arc<Home>,
    pub(crate) netns: Option<Arc<Netns>>,
}

/// What all devices of a world share.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) dir: PathBuf,
    /// Files and directories laid over the system's, in this order.
    pub(crate) binds: Mutex<Vec<(PathBuf, PathBuf)>>,
    pub(crate) env: Mutex<Vec<(String, OsString)>>,
    pub(crate) runs: AtomicU64,
}

/// A program to run on a device.
#[derive(Clone, Debug)]
pub struct Order {
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// Beside (and over) what the device gives anyway.
    pub env: Vec<(String, OsString)>,
    /// After this the run is ended with all its children.
    pub timeout: Duration,
}

impl Order {
    pub fn new<I, S>(command: I, timeout: Duration) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        Self { command: command.into_iter().map(Into::into).collect(), env: Vec::new(), timeout }
    }

    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// We ended it at its timeout.
    TimedOut,
    /// The program could not be started; why.
    NotStarted(String),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exited with {code}"),
            Exit::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Exit::TimedOut => f.write_str("was ended at its timeout"),
            Exit::NotStarted(why) => write!(f, "could not be started: {why}"),
        }
    }
}

/// One finished run.
#[derive(Clone, Debug)]
pub struct Run {
    pub exit: Exit,
    /// Something of it still ran when it was ended: at its timeout, or [`LINGER`] after the program's own end.
    pub left_running: bool,
    pub stdout: Tail,
    pub stderr: Tail,
    pub started: SystemTime,
    pub ended: SystemTime,
}

/// What `run-init` reports.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    exit: Exit,
    left_running: bool,
}

/// The last [`TAIL`] bytes of an output, and how many there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    pub bytes: Vec<u8>,
    pub total: u64,
}

impl Tail {
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

impl Dut {
    /// Runs a program to its end or its timeout. Dropping the future ends the run.
    pub async fn run(&self, order: Order) -> Result<Run, Fault> {
        let env = self.home.env.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(netns) = &self.netns else { return plain(order, env).await };
        let number = self.home.runs.fetch_add(1, Ordering::Relaxed);
        let report = self.home.dir.join(format!("run-{number}"));
        let script = Script {
            netns: netns.path().to_owned(),
            own_pids: stage::own_pids(),
            binds: self.home.binds.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            report: report.clone(),
        };
        let what = "starting a run of the device";
        let leash = Leash::new()?;
        let mut command = stage::role("run");
        command.arg(serde_json::to_string(&script).map_err(Fault::odd(what))?).arg(leash.name()).args(&order.command);
        dress(&mut command, &env, &order);
        let started = SystemTime::now();
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().map_err(Fault::odd(what))?;
        let hand = leash.hand();
        let (stdout, stderr) = (tail(child.stdout.take()), tail(child.stderr.take()));
        let timed_out = tokio::time::timeout(order.timeout, child.wait()).await.is_err();
        drop(hand);
        if timed_out && tokio::time::timeout(GRACE, child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
        let ended = SystemTime::now();
        let (stdout, stderr) = (stdout.end().await, stderr.end().await);
        let told = fs::read(&report).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let _ = fs::remove_file(&report);
        let (exit, left_running) = match told {
            _ if timed_out => (Exit::TimedOut, true),
            Some(Report { exit, left_running }) => (exit, left_running),
            None => return Err(Fault::odd("running the device")(stderr.text().trim().to_owned())),
        };
        Ok(Run { exit, left_running, stdout, stderr, started, ended })
    }

    /// The network namespace, where there is one.
    pub fn netns(&self) -> Option<&Arc<Netns>> {
        self.netns.as_ref()
    }
}

/// Without namespaces: an ordinary child in a process group of its own.
async fn plain(order: Order, env: Vec<(String, OsString)>) -> Result<Run, Fault> {
    let mut words = order.command.iter();
    let mut command = Command::new(words.next().map_or_else(OsString::new, Clone::clone));
    command.args(words);
    dress(&mut command, &env, &order);
    let started = SystemTime::now();
    let mut child = match tokio::process::Command::from(command).kill_on_drop(true).spawn() {
        Ok(child) => child,
        Err(error) => {
            let exit = Exit::NotStarted(error.to_string());
            return Ok(Run {
                exit,
                left_running: false,
                stdout: Tail::default(),
                stderr: Tail::default(),
                started,
                ended: SystemTime::now(),
            });
        }
    };
    let group = Group(child.id().map(|id| Pid::from_raw(id as i32)));
    let (stdout, stderr) = (tail(child.stdout.take()), tail(child.stderr.take()));
    let status = tokio::time::timeout(order.timeout, child.wait()).await;
    let exit = match status {
        Ok(status) => exit_of(status.map_err(Fault::odd("waiting for a run"))?),
        Err(_) => Exit::TimedOut,
    };
    let mut left_running = group.lives();
    let until = tokio::time::Instant::now() + LINGER;
    while exit != Exit::TimedOut && left_running && tokio::time::Instant::now() < until {
        tokio::time::sleep(GLANCE).await;
        left_running = group.lives();
    }
    drop(group);
    let ended = SystemTime::now();
    Ok(Run { exit, left_running, stdout: stdout.end().await, stderr: stderr.end().await, started, ended })
}

/// Kills a process group when dropped, so also when a run is given up.
struct Group(Option<Pid>);

impl Group {
    fn lives(&self) -> bool {
        self.0.is_some_and(|group| killpg(group, None).is_ok())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

fn dress(command: &mut Command, env: &[(String, OsString)], order: &Order) {
    for name in PROXIES {
        command.env_remove(name).env_remove(name.to_ascii_uppercase());
    }
    // Where the operator's key lies is none of the program's business.
    command.env_remove("OVERHEAR_PROJECT_KEY");
    command.envs(env.iter().map(|(name, value)| (name, value))).envs(order.env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
}

fn exit_of(status: ExitStatus) -> Exit {
    status.code().map_or_else(|| Exit::Signal(status.signal().unwrap_or_default()), Exit::Code)
}

struct Reader {
    task: tokio::task::JoinHandle<()>,
    tail: Arc<Mutex<(VecDeque<u8>, u64)>>,
}

fn tail<R: AsyncRead + Unpin + Send + 'static>(from: Option<R>) -> Reader {
    let tail = Arc::new(Mutex::new((VecDeque::new(), 0u64)));
    let shared = Arc::clone(&tail);
    let task = tokio::spawn(async move {
        let Some(mut from) = from else { return };
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let mut tail = shared.lock().unwrap_or_else(PoisonError::into_inner);
            tail.0.extend(buffer.iter().take(count));
            tail.1 += count as u64;
            let over = tail.0.len().saturating_sub(TAIL);
            tail.0.drain(..over);
        }
    });
    Reader { task, tail }
}

impl Reader {
    /// A left-over process could hold the pipe open for ever; what came until now counts.
    async fn end(mut self) -> Tail {
        if tokio::time::timeout(GRACE, &mut self.task).await.is_err() {
            self.task.abort();
        }
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        Tail { bytes: tail.0.iter().copied().collect(), total: tail.1 }
    }
}

/// What the roles `run` and `run-init` are told.
#[derive(Debug, Serialize, Deserialize)]
struct Script {
    netns: PathBuf,
    own_pids: bool,
    binds: Vec<(PathBuf, PathBuf)>,
    report: PathBuf,
}

fn script(args: &[OsString]) -> Result<Script, Fault> {
    let text = args.first().and_then(|arg| arg.to_str()).unwrap_or_default();
    serde_json::from_str(text).map_err(Fault::odd("reading the orders of a run"))
}

/// Role `run`: enters the device's network, makes its mount and pid namespaces, waits.
pub(crate) fn run(args: &[OsString]) -> Result<i32, Fault> {
    let script = script(args)?;
    let netns = fs::File::open(&script.netns).map_err(Fault::odd("opening the device's network namespace"))?;
    setns(netns, CloneFlags::CLONE_NEWNET).map_err(Fault::odd("entering the device's network namespace"))?;
    let mut flags = CloneFlags::CLONE_NEWNS;
    flags.set(CloneFlags::CLONE_NEWPID, script.own_pids);
    unshare(flags).map_err(Fault::odd("making the device's namespaces"))?;
    let status = stage::role("run-init").args(args).status().map_err(Fault::odd("starting the device's first process"))?;
    Ok(status.code().unwrap_or(stage::FAULT))
}

/// Role `run-init`: lays the lab's files over the system's, starts the program, reaps, and leaves nothing behind.
pub(crate) fn run_init(args: &[OsString]) -> Result<i32, Fault> {
    let script = script(args)?;
    let what = "preparing the device";
    if script.own_pids {
        prctl::set_pdeathsig(Signal::SIGKILL).map_err(Fault::odd(what))?;
    } else {
        prctl::set_child_subreaper(true).map_err(Fault::odd(what))?;
    }
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).map_err(Fault::odd(what))?;
    if script.own_pids {
        stage::fresh_proc().map_err(Fault::odd(what))?;
    }
    for (from, over) in &script.binds {
        lay(from, over)?;
    }
    // Opened anew, so that the program does not inherit it.
    let leash = args.get(1).and_then(|name| stage::Leash::take(name).ok());
    let mut words = args.iter().skip(2);
    let Some(program) = words.next() else {
        return Err(Fault::new("running the device", "no program was given", "name one after `--`"));
    };
    let mut left_running = false;
    let spawned = Command::new(program).args(words).process_group(0).spawn();
    let exit = match spawned {
        Err(error) => Exit::NotStarted(format!("{}: {error}", Path::new(program).display())),
        Ok(child) => {
            let signals = Signals::block()?;
            if let Some(leash) = leash {
                std::thread::spawn(move || follow(leash, script.own_pids));
            }
            let exit = serve(Pid::from_raw(child.id() as i32), &signals)?;
            left_running = linger();
            exit
        }
    };
    if !script.own_pids {
        stage::kill_descendants();
    }
    let report = Report { exit, left_running };
    fs::write(&script.report, serde_json::to_vec(&report).map_err(Fault::odd("reporting a run"))?)
        .map_err(Fault::odd("reporting a run"))?;
    Ok(0)
}

fn serve(child: Pid, signals: &Signals) -> Result<Exit, Fault> {
    loop {
        while let Ok(status) = waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            match status {
                WaitStatus::Exited(pid, code) if pid == child => return Ok(Exit::Code(code)),
                WaitStatus::Signaled(pid, signal, _) if pid == child => return Ok(Exit::Signal(signal as i32)),
                WaitStatus::StillAlive => break,
                _ => {}
            }
        }
        signals.next()?;
    }
}

/// What the program left behind may still do something of its own: waits for its end, but not for ever. Whether something still runs.
fn linger() -> bool {
    let until = Instant::now() + LINGER;
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) if Instant::now() >= until => return true,
            Ok(WaitStatus::StillAlive) => std::thread::sleep(GLANCE),
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// The gateway let go (timeout, given up, dead): everything here ends. Ending pid 1 is enough where there is one.
fn follow(mut leash: fs::File, own_pids: bool) {
    let _ = SigSet::all().thread_block();
    while matches!(leash.read(&mut [0; 1]), Err(error) if error.kind() == io::ErrorKind::Interrupted) {}
    if !own_pids {
        stage::kill_descendants();
    }
    std::process::exit(0);
}

/// Binds `from` over `over`. What the system does not have, nobody reads.
fn lay(from: &Path, over: &Path) -> Result<(), Fault> {
    let target = match fs::canonicalize(over) {
        Ok(target) => target,
        // A link into the host's /run (resolv.conf of systemd-resolved), which is ours and empty here.
        Err(_) => match fs::read_link(over) {
            Ok(link) => {
                let link = over.parent().unwrap_or(Path::new("/")).join(link);
                let made = link.parent().map(fs::create_dir_all).transpose().and_then(|_| fs::File::create(&link));
                match made.and_then(|_| fs::canonicalize(over)) {
                    Ok(target) => target,
                    Err(error) => return Err(Fault::odd(format!("replacing {}", over.display()))(error)),
                }
            }
            Err(_) => return Ok(()),
        },
    };
    mount(Some(from), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(Fault::odd(format!("replacing {}", over.display())))
}

/// Lays files over the system's for this process and all later ones (the gateway itself asks the lab's resolver, too).
pub(crate) fn lay_here(binds: &[(PathBuf, PathBuf)]) -> Result<(), Fault> {
    binds.iter().try_for_each(|(from, over)| lay(from, over))
}

/// Bytes of each output that are kept.
pub const TAIL: usize = 64 * 1024;
/// How long what a program leaves behind may go on after its end.
pub const LINGER: Duration = Duration::from_secs(3);
const GLANCE: Duration = Duration::from_millis(10);
/// Time a killed run and its pipes have to disappear.
const GRACE: Duration = Duration::from_secs(2);
/// A host's proxies do not exist in the lab.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy"];

#[cfg(test)]
mod tests {
    use super::*;

    /// A program sees nothing of how the operator is set up.
    #[test]
    fn what_a_program_does_not_inherit() {
        let mut command = Command::new("true");
        dress(&mut command, &[], &Order::new(["true"], GRACE));
        for name in ["OVERHEAR_PROJECT_KEY", "https_proxy", "HTTPS_PROXY"] {
            assert!(command.get_envs().any(|(key, value)| key == name && value.is_none()), "{name}");
        }
    }
}
