//! The transparent gateway in network namespaces of its own: device – gateway – origin, IPv4 and IPv6, real nftables.
//!
//! Runs without privilege where user namespaces are allowed; says why it is skipped elsewhere.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use analyzers::observation::{Arm, Observation, Trial, TrialResult};
use analyzers::pipeline::{Out, Tools};
use analyzers::text::Bare;
use policies::{Attack, Class, Defect, Severity};
use proxy::feed::Feed;
use proxy::forge::ca::LIFETIME;
use proxy::forge::{Authority, Mint};
use proxy::gateway::nft::{Installed, Quic, Rules as Table};
use proxy::gateway::{Gateway, Rules, Setup, Veiled, entrance, nft};
use proxy::packets::Packets;
use proxy::plan::Mode;
use proxy::serve::{Server, Waits};
use proxy::upstream::Upstream;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use space::{Origin, Space, now, run};

mod space;

#[test]
fn in_namespaces() {
    space::inside(&[], "all told apart");
}

#[derive(Debug)]
struct One;

impl Rules for One {
    fn may_attack(&self, _: &str, _: u16, _: &[IpAddr]) -> bool {
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
    if !space::is_inside() {
        return;
    }
    let (dut, net) = (Space::new(), Space::new());
    run("ip link set lo up");
    a_burst_at_the_end_is_counted();
    run(&format!("ip link add dut type veth peer name eth0 netns {}", dut.0.id()));
    run(&format!("ip link add wan type veth peer name eth0 netns {}", net.0.id()));
    let (lan, wan) = (["10.9.0.1/24", "fd09::1/64"], ["203.0.113.1/24", "2001:db8:9::1/64"]);
    space::route(&[("dut", lan), ("wan", wan)]);
    dut.settle(["10.9.0.2/24", "fd09::2/64"], ["10.9.0.1", "fd09::1"]);
    net.settle(["203.0.113.5/24", "2001:db8:9::5/64"], ["203.0.113.1", "2001:db8:9::1"]);

    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let origin = Origin::new(dir.path(), "shop.test");
    let hosts = ["203.0.113.5", "[2001:db8:9::5]"];
    let _servers = hosts.map(|host| origin.serve(net.command(&["openssl"]), host, 443));
    for host in hosts {
        net.reaches(&format!("https://{host}/"));
    }

    let mint = Mint::new(Authority::make("lab", now(), LIFETIME).unwrap(), now()).unwrap();
    std::fs::write(at("bundle"), mint.authority().pem() + &std::fs::read_to_string(at("authority")).unwrap()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(at("authority")).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (feed, outs, _) = Feed::start(1, &Arc::new(Tools::default()), now, None).unwrap();
    let server = Arc::new(Server::new(mint, Upstream::new(roots, Duration::from_secs(5)).unwrap(), Waits::default()).unwrap());
    let gateway = Gateway::new(Setup {
        server,
        feed: feed.clone(),
        attacks: vec![untrusted()],
        required: policies::policy::Repeats { critical: 1, high: 1, medium: 1, low: 1, info: 1 },
        thresholds: policies::policy::Thresholds::default(),
        mode: Mode::Runs,
        chance: None,
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
    packets.settle().unwrap();
    assert_eq!(packets.dropped(), 0);

    drop(installed);
    let left = Command::new("nft").args(["list", "tables"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&left.stdout).contains("overhear"));
    nft::remove().unwrap();
    assert_eq!(gateway.counted().stray, 0);
    println!("all told apart");
}

/// More than the kernel keeps, and nothing after it.
fn a_burst_at_the_end_is_counted() {
    let mut packets = Packets::open("lo").unwrap();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = socket.local_addr().unwrap();
    for _ in 0..3000 {
        socket.send_to(&vec![7; 60_000], to).unwrap();
    }
    while packets.take().unwrap().is_some() {}
    assert_eq!(packets.dropped(), 0, "what was handed over came before what was dropped");
    packets.settle().unwrap();
    assert!(packets.dropped() > 0);
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
        runtime.block_on(gateway.end_run(device, false));
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
