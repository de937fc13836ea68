//! The transparent gateway in network namespaces of its own: device – gateway – origin, IPv4 and IPv6, real nftables.
//!
//! Runs without privilege where user namespaces are allowed; says why it is skipped elsewhere.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use analyzers::observation::{Arm, Observation, Trial, TrialResult};
use analyzers::pipeline::{Out, Tools};
use analyzers::text::Bare;
use policies::{Attack, Class, Defect, Severity, Time};
use proxy::feed::Feed;
use proxy::forge::ca::{LIFETIME, pem_text};
use proxy::forge::cert::San;
use proxy::forge::{Authority, KeyKind, Mint, Mirror};
use proxy::gateway::nft::{Installed, Quic, Rules as Table};
use proxy::gateway::{Gateway, Rules, Setup, Veiled, entrance, nft};
use proxy::packets::Packets;
use proxy::plan::Mode;
use proxy::serve::{Server, Waits};
use proxy::upstream::Upstream;

const INSIDE: &str = "OVERHEAR_TEST_INSIDE";

fn now() -> Time {
    Time(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64)
}

fn works(line: &[&str]) -> bool {
    let done = Command::new(line[0]).args(&line[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    done.is_ok_and(|s| s.success())
}

#[test]
fn in_namespaces() {
    for tool in [&["unshare", "-rnm", "true"][..], &["nft", "--version"], &["ip", "-V"], &["curl", "-V"], &["openssl", "version"]] {
        if !works(tool) {
            println!("skipped: {} does not work here", tool.join(" "));
            return;
        }
    }
    let exe = std::env::current_exe().unwrap();
    let done =
        Command::new("unshare").args(["-rnm", "--"]).arg(exe).args(["--exact", "inside", "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains("all told apart"), "{said}");
}

/// A process that holds a network namespace; ends with the test.
struct Space(Child);

impl Space {
    fn new() -> Space {
        let child = Command::new("unshare").args(["-n", "sleep", "120"]).spawn().unwrap();
        let mine = std::fs::read_link("/proc/self/ns/net").unwrap();
        for _ in 0..200 {
            if std::fs::read_link(format!("/proc/{}/ns/net", child.id())).is_ok_and(|ns| ns != mine) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Space(child)
    }

    fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.0.id().to_string(), "-n", "--"]).args(line);
        command
    }

    fn run(&self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(self.command(&words).status().unwrap().success(), "{line}");
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success(), "{line}");
}

#[derive(Debug)]
struct One;

impl Rules for One {
    fn may_attack(&self, _: &str, _: u16) -> bool {
        true
    }
    fn enrolled(&self, device: IpAddr) -> bool {
        ["10.9.0.2", "fd09::2"].iter().any(|ip| ip.parse() == Ok(device))
    }
}

fn untrusted() -> Attack {
    Attack {
        id: "cert.untrusted-ca".to_owned(),
        title: String::new(),
        page: String::new(),
        defect: Defect::UntrustedCa,
        expect: String::new(),
        class: Class::Critical,
        severity: Severity::High,
        brick_risk: 0,
        needs: Vec::new(),
    }
}

#[test]
fn inside() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let (dut, net) = (Space::new(), Space::new());
    run("ip link set lo up");
    run(&format!("ip link add dut type veth peer name eth0 netns {}", dut.0.id()));
    run(&format!("ip link add wan type veth peer name eth0 netns {}", net.0.id()));
    for (link, v4, v6) in [("dut", "10.9.0.1/24", "fd09::1/64"), ("wan", "203.0.113.1/24", "2001:db8:9::1/64")] {
        run(&format!("ip addr add {v4} dev {link}"));
        run(&format!("ip addr add {v6} dev {link} nodad"));
        run(&format!("ip link set {link} up"));
    }
    for (space, v4, v6, gw4, gw6) in [
        (&dut, "10.9.0.2/24", "fd09::2/64", "10.9.0.1", "fd09::1"),
        (&net, "203.0.113.5/24", "2001:db8:9::5/64", "203.0.113.1", "2001:db8:9::1"),
    ] {
        space.run("ip link set lo up");
        space.run(&format!("ip addr add {v4} dev eth0"));
        space.run(&format!("ip addr add {v6} dev eth0 nodad"));
        space.run("ip link set eth0 up");
        space.run(&format!("ip route add default via {gw4}"));
        space.run(&format!("ip -6 route add default via {gw6}"));
    }
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();

    // The origin: openssl's server with a certificate of an authority of its own.
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let origin = Mint::new(Authority::make("origin", now(), LIFETIME).unwrap(), now()).unwrap();
    let mirror = Mirror { names: vec![San::Dns("shop.test".to_owned())], ..Mirror::bare("shop.test") };
    let chain = origin.control(&Mirror { key: KeyKind::P256, ..mirror }, now()).unwrap();
    std::fs::write(at("leaf"), pem_text("CERTIFICATE", &chain.certificates[0])).unwrap();
    std::fs::write(at("issuer"), pem_text("CERTIFICATE", &chain.certificates[1])).unwrap();
    std::fs::write(at("key"), pem_text("PRIVATE KEY", chain.key.pkcs8())).unwrap();
    let (leaf, issuer, key) = (at("leaf"), at("issuer"), at("key"));
    let _servers: Vec<Space> = ["-4", "-6"]
        .iter()
        .map(|family| {
            let line =
                ["openssl", "s_server", "-accept", "443", family, "-cert", &leaf, "-cert_chain", &issuer, "-key", &key, "-www", "-quiet"];
            Space(net.command(&line).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
        })
        .collect();

    for url in ["https://203.0.113.5/", "https://[2001:db8:9::5]/"] {
        let answers = || net.command(&["curl", "-gsk", "--max-time", "2", url]).stdout(Stdio::null()).status().is_ok_and(|s| s.success());
        assert!(
            (0..200).any(|_| answers() || {
                std::thread::sleep(Duration::from_millis(50));
                false
            }),
            "{url} does not answer"
        );
    }

    let mint = Mint::new(Authority::make("lab", now(), LIFETIME).unwrap(), now()).unwrap();
    std::fs::write(at("bundle"), mint.authority().pem() + &origin.authority().pem()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(origin.authority().root.certificate.clone()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (feed, outs, _) = Feed::start(1, &Arc::new(Tools::default()), now, None).unwrap();
    let server = Arc::new(Server::new(mint, Upstream::new(roots, Duration::from_secs(5)).unwrap(), Waits::default()).unwrap());
    let gateway = Gateway::new(Setup {
        server,
        feed: feed.clone(),
        attacks: vec![untrusted()],
        required: policies::policy::Repeats { critical: 1, high: 1, medium: 1, low: 1, info: 1 },
        mode: Mode::Runs,
        rules: Arc::new(One),
        veil: Arc::new(Veiled(Arc::new(Bare))),
    });
    let listener = runtime.block_on(async { entrance::transparent(0) }).unwrap();
    let port = listener.local_addr().unwrap().port();
    let devices = vec!["10.9.0.2".parse().unwrap(), "fd09::2".parse().unwrap()];
    let table = Table { interface: "dut".to_owned(), devices, port, quic: Quic::Block };
    // As after a kill: a table is there already.
    std::mem::forget(Installed::install(&table).unwrap());
    let installed = Installed::install(&table).unwrap();
    let g = gateway.clone();
    runtime.spawn(async move { g.serve_transparent(listener).await });
    let mut packets = Packets::open("dut").unwrap();

    for (device, target) in [("10.9.0.2", "203.0.113.5"), ("fd09::2", "[2001:db8:9::5]")] {
        for (careless, expect) in [(false, TrialResult::Rejected), (true, TrialResult::Accepted)] {
            let trials = campaign(&runtime, &gateway, &feed, &outs, &dut, device, target, careless.then_some("-k"), &at("bundle"));
            let attack: Vec<&Trial> = trials.iter().filter(|t| t.arm == Arm::Attack).collect();
            assert!(!attack.is_empty() && attack.iter().all(|t| t.result == expect), "{device} {careless}: {trials:#?}");
            let controls: Vec<&Trial> = trials.iter().filter(|t| t.arm == Arm::Control).collect();
            assert!(controls.iter().all(|t| t.result == TrialResult::Accepted), "{device} {careless}: {trials:#?}");
        }
    }
    let mut frames = 0;
    while let Some(packet) = packets.take().unwrap() {
        assert!(packet.time.0 > 0 && packet.bytes.len() == packet.len);
        frames += 1;
    }
    assert!(frames > 50, "{frames} frames");
    assert_eq!(packets.dropped(), 0);

    drop(installed);
    let left = Command::new("nft").args(["list", "tables"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&left.stdout).contains("overhear"));
    nft::remove().unwrap();
    assert_eq!(gateway.counted().stray, 0);
    println!("all told apart");
}

/// Runs curl in the device's namespace until nothing is undecided. `-k` makes another client class, since its hello differs by nothing
/// but is judged anew: the history of the subject is what an earlier client left, so each flavour asks for its own HTTP version.
#[expect(clippy::too_many_arguments, reason = "one test's parts")]
fn campaign(
    runtime: &tokio::runtime::Runtime,
    gateway: &Arc<Gateway>,
    feed: &Feed,
    outs: &Receiver<Out>,
    dut: &Space,
    device: &str,
    target: &str,
    careless: Option<&str>,
    bundle: &str,
) -> Vec<Trial> {
    let device: IpAddr = device.parse().unwrap();
    for n in 1..20 {
        gateway.begin_run(device, n);
        let resolve = format!("shop.test:443:{target}");
        let version = if careless.is_some() { "--http1.1" } else { "--http2" };
        let mut line = vec!["curl", "-s", "--max-time", "5", version, "--cacert", bundle, "--resolve", &resolve, "https://shop.test/"];
        line.extend(careless);
        let _ = dut.command(&line).stdout(Stdio::null()).status();
        runtime.block_on(gateway.end_run(device));
        if gateway.undecided(device).is_empty() {
            break;
        }
    }
    feed.drain();
    let mut out = Vec::new();
    while let Ok(it) = outs.try_recv() {
        if let Out::Tried { draft, .. } = it {
            let Observation::Trial(trial) = draft.seen else { panic!() };
            out.push(trial);
        }
    }
    out
}
