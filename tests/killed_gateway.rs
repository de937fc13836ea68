//! A gateway is killed between two devices and the Internet: the device that was not enrolled does not notice, the other is cut off
//! rather than let through unseen, and the next gateway finds nothing in its way.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::IpAddr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use analyzers::pipeline::Tools;
use analyzers::text::Bare;
use lab::dut::{Dut, Exit, Order};
use lab::stage::{self, Place};
use lab::world::{DUT, Spec, World};
use policies::Time;
use policies::policy::Repeats;
use proxy::feed::Feed;
use proxy::forge::Mint;
use proxy::forge::ca::{Authority, LIFETIME};
use proxy::gateway::nft::{self, Installed, Quic, TABLE};
use proxy::gateway::{Gateway, Rules, Setup, Veiled, entrance};
use proxy::plan::Mode;
use proxy::serve::{Server, Waits};
use proxy::upstream::Upstream;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Not a harness's: namespaces are entered before there is a thread.
fn main() -> ExitCode {
    let stage = stage::enter();
    let args: Vec<&str> = stage.args.iter().skip(1).filter_map(|arg| arg.to_str()).collect();
    match (stage.place, args.as_slice()) {
        (Place::Gateway, ["--inside"]) => inside(),
        (Place::Outside, ["--serve", root, devices @ ..]) => serve(root, devices),
        (_, ["--list", ..]) => {}
        (Place::Outside, ["--move-in"]) => panic!("{}", stage::move_in(&[stage.args[0].clone(), "--inside".into()])),
        _ => {
            if let Err(fault) = stage::move_in_possible() {
                println!("skipped: no namespaces here: {fault}");
                return ExitCode::SUCCESS;
            }
            let status = Command::new("/proc/self/exe").arg("--move-in").status().unwrap();
            println!("test a_killed_gateway ... {}", if status.success() { "ok" } else { "FAILED" });
            return ExitCode::from(u8::from(!status.success()));
        }
    }
    ExitCode::SUCCESS
}

/// Twenty words to a service that says each again, over two seconds, on one connection.
const SESSION: &str = "exec 3<>/dev/tcp/shop.test/2525 || exit 1
read -t 3 banner <&3 || exit 2
for n in $(seq 20); do echo word $n >&3; read -t 3 word <&3 || exit 3; [ \"$word\" = \"word $n\" ] || exit 4; sleep 0.1; done";
const VISIT: &str = "exec curl -sk -m 5 -o /dev/null https://shop.test/";

fn inside() {
    let world = World::raise(Spec { parallel: 2, ..Spec::default() }).unwrap();
    let root = std::env::temp_dir().join(format!("killed-gateway-{}.pem", std::process::id()));
    std::fs::write(&root, pem(world.authority().root())).unwrap();
    let [enrolled, other] = world.duts() else { panic!() };
    let start = || start(root.to_str().unwrap(), enrolled);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut gateway, first) = start();
        assert_eq!(run(enrolled, VISIT).await, Exit::Code(0));
        let session = run(other, SESSION);
        let killed = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            gateway.kill().unwrap();
            gateway.wait().unwrap();
            // 7: refused. The table still leads to a port on which nobody listens: attacked or not, nothing of it goes on unseen.
            assert_eq!(run(enrolled, VISIT).await, Exit::Code(7));
            assert_eq!(run(other, VISIT).await, Exit::Code(0));
        };
        let (session, ()) = tokio::join!(session, killed);
        assert_eq!(session, Exit::Code(0), "the other device's connection");
        assert!(rules().contains(&format!("redirect to :{first}")));

        let (mut gateway, second) = start();
        let now = rules();
        assert!(first != second && !now.contains(&format!(":{first}")) && now.contains(&format!("redirect to :{second}")), "{now}");
        assert_eq!(run(enrolled, VISIT).await, Exit::Code(0));
        assert_eq!(run(other, VISIT).await, Exit::Code(0));
        drop(gateway.stdin.take());
        assert!(gateway.wait().unwrap().success());
        assert_eq!(rules(), "", "a gateway that ends takes its table along");
        assert_eq!(run(enrolled, VISIT).await, Exit::Code(0));
    });
    let _ = std::fs::remove_file(root);
}

async fn run(device: &Dut, script: &str) -> Exit {
    device.run(Order::new(["bash", "-c", script], Duration::from_secs(15))).await.unwrap().exit
}

/// Our table as the kernel has it; empty if there is none.
fn rules() -> String {
    let listed = Command::new("nft").args(["list", "table", "inet", TABLE]).output().unwrap();
    String::from_utf8_lossy(&listed.stdout).into_owned()
}

/// A gateway in a process of its own, and the port of its listener. It ends when its standard input does.
fn start(root: &str, device: &Dut) -> (Child, u16) {
    let addresses = std::iter::once(IpAddr::V4(device.v4)).chain(device.v6.map(IpAddr::V6)).map(|ip| ip.to_string());
    let mut command = Command::new("/proc/self/exe");
    let mut child = command.args(["--serve", root]).args(addresses).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim().parse().unwrap())
}

#[derive(Debug)]
struct These(Vec<IpAddr>);

impl Rules for These {
    fn may_attack(&self, _: &str, _: u16, _: &[IpAddr]) -> bool {
        true
    }
    fn enrolled(&self, device: IpAddr) -> bool {
        self.0.contains(&device)
    }
}

fn serve(root: &str, devices: &[&str]) {
    let devices: Vec<IpAddr> = devices.iter().map(|ip| ip.parse().unwrap()).collect();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(root).unwrap()).unwrap();
    let mint = Mint::new(Authority::make("killed", now(), LIFETIME).unwrap(), now()).unwrap();
    let upstream = Upstream::new(roots, Duration::from_secs(5)).unwrap();
    let (feed, outs, _) = Feed::start(1, &Arc::new(Tools::default()), now, None).unwrap();
    std::thread::spawn(move || outs.iter().for_each(drop));
    let gateway = Gateway::new(Setup {
        server: Arc::new(Server::new(mint, upstream, Waits::default()).unwrap()),
        feed,
        attacks: Vec::new(),
        required: Repeats { critical: 1, high: 1, medium: 1, low: 1, info: 1 },
        thresholds: policies::policy::Thresholds::default(),
        mode: Mode::Live,
        chance: None,
        rules: Arc::new(These(devices.clone())),
        veil: Arc::new(Veiled(Arc::new(Bare))),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _guard = runtime.enter();
    let listener = entrance::transparent(0).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(async move { gateway.serve_transparent(listener).await });
    let table = Installed::install(&nft::Rules { interface: DUT.to_owned(), devices, port, quic: Quic::Observe }).unwrap();
    println!("{port}");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    drop(table);
}

fn now() -> Time {
    Time(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64)
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", analyzers::encode::base64(der))
}
