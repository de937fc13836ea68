//! Network namespaces that a test makes for itself, with a server in one of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use policies::Time;
use proxy::forge::ca::{LIFETIME, pem_text};
use proxy::forge::{Authority, KeyKind, Leaf, Mint, Mirror};

const INSIDE: &str = "OVERHEAR_TEST_INSIDE";

/// Runs this program's test `inside` in namespaces of its own, where these tools work; it must say `last` in the end.
pub(crate) fn inside(tools: &[&[&str]], last: &str) {
    for tool in [&["unshare", "-rnm", "true"][..], &["nft", "--version"], &["ip", "-V"], &["curl", "-V"], &["openssl", "version"]]
        .iter()
        .chain(tools)
    {
        if !works(tool) {
            println!("skipped: {} does not work here", tool.join(" "));
            return;
        }
    }
    let exe = std::env::current_exe().unwrap();
    let done =
        Command::new("unshare").args(["-rnm", "--"]).arg(exe).args(["--exact", "inside", "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains(last), "{said}");
}

/// Whether this is the process in the namespaces.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// A process that is ended with the test; as a namespace, one that holds it.
pub(crate) struct Space(pub(crate) Child);

impl Space {
    pub(crate) fn new() -> Space {
        let child = Command::new("unshare").args(["-n", "sleep", "300"]).spawn().unwrap();
        let mine = fs::read_link("/proc/self/ns/net").unwrap();
        within(Duration::from_secs(5), || fs::read_link(format!("/proc/{}/ns/net", child.id())).is_ok_and(|ns| ns != mine));
        Space(child)
    }

    pub(crate) fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.0.id().to_string(), "-n", "--"]).args(line);
        command
    }

    #[track_caller]
    pub(crate) fn run(&self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(self.command(&words).status().unwrap().success(), "{line}");
    }

    /// Gives its `eth0` two addresses and their routers.
    pub(crate) fn settle(&self, [v4, v6]: [&str; 2], routers: [&str; 2]) {
        self.run("ip link set lo up");
        self.run(&format!("ip addr add {v4} dev eth0"));
        self.run(&format!("ip addr add {v6} dev eth0 nodad"));
        self.run("ip link set eth0 up");
        self.run(&format!("ip route add default via {}", routers[0]));
        self.run(&format!("ip -6 route add default via {}", routers[1]));
    }

    /// Whether it gets an answer from there within ten seconds.
    #[track_caller]
    pub(crate) fn reaches(&self, url: &str) {
        let get = ["curl", "-gsk", "--max-time", "2", "-o", "/dev/null", url];
        let answers = || self.command(&get).status().is_ok_and(|s| s.success());
        assert!(within(Duration::from_secs(10), answers), "{url} does not answer");
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes this process the router of these links, each with its addresses.
pub(crate) fn route(links: &[(&str, [&str; 2])]) {
    for (link, [v4, v6]) in links {
        run(&format!("ip addr add {v4} dev {link}"));
        run(&format!("ip addr add {v6} dev {link} nodad"));
        run(&format!("ip link set {link} up"));
    }
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
}

/// A server with a certificate of an authority of its own.
pub(crate) struct Origin {
    leaf: PathBuf,
    issuer: PathBuf,
    key: PathBuf,
}

impl Origin {
    /// Its files go to `dir`, its authority to `authority` there.
    pub(crate) fn new(dir: &Path, host: &str) -> Origin {
        let mint = Mint::new(Authority::make("origin", now(), LIFETIME).unwrap(), now()).unwrap();
        let chain = mint.control(&Mirror { key: KeyKind::P256, ..Mirror::bare(host) }, Leaf::First, now()).unwrap();
        let write = |name: &str, text: String| {
            let path = dir.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        write("authority", mint.authority().pem());
        let leaf = write("leaf", pem_text("CERTIFICATE", &chain.certificates[0]));
        let issuer = write("issuer", pem_text("CERTIFICATE", &chain.certificates[1]));
        let key = write("server-key", pem_text("PRIVATE KEY", chain.key.pkcs8()));
        Origin { leaf, issuer, key }
    }

    /// `openssl` is how to start that program where the server shall stand.
    pub(crate) fn serve(&self, mut openssl: Command, host: &str, port: u16) -> Space {
        openssl.args(["s_server", "-accept", &format!("{host}:{port}"), "-www", "-quiet", "-cert"]).arg(&self.leaf);
        openssl.arg("-cert_chain").arg(&self.issuer).arg("-key").arg(&self.key);
        Space(openssl.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

pub(crate) fn works(line: &[&str]) -> bool {
    let done = Command::new(line[0]).args(&line[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    done.is_ok_and(|s| s.success())
}

#[track_caller]
pub(crate) fn run(line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success(), "{line}");
}

pub(crate) fn within(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + limit;
    while !done() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

pub(crate) fn now() -> Time {
    Time(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64)
}
