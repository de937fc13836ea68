//! The live side under load: origins, a load generator, the gateway as a live run has it, and a bare relay of two TLS legs to compare with.
//! `benches/proxy.sh` puts them into namespaces and prints the table; each role can be started alone:
//!
//! ```text
//! proxy origin DIR                 HTTPS on 443: GET /N answers N bytes
//! proxy overhear DIR INTERFACE     the gateway under a held control, with tap, feed, pipelines, journal and capture
//! proxy bare DIR                   terminate, verify upstream, copy; nothing else
//! proxy load DIR MODE PID          conns | names | keep | bulk1 | bulk4 | idle, with the CPU and memory of process PID
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "a bench")]

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use analyzers::board::{Board, Demands};
use analyzers::flow::FlowId;
use analyzers::journal::{Line, Writer};
use analyzers::pipeline::Tools;
use analyzers::reading::Reading as _;
use analyzers::scribe::{Briefing, Desk, Scribe};
use analyzers::text::Bare;
use policies::policy::Repeats;
use policies::{Policy, Time};
use proxy::batch::Batched;
use proxy::capture::Source;
use proxy::feed::Feed;
use proxy::forge::ca::{Authority, LIFETIME};
use proxy::forge::cert::San;
use proxy::forge::{Leaf, Mint, Mirror};
use proxy::gateway::{Gateway, Rules, Setup, Veiled, entrance};
use proxy::packets::Packets;
use proxy::plan::Mode;
use proxy::serve::{Server, Waits};
use proxy::upstream::Upstream;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor, TlsConnector};

/// Where transparent contenders listen; the script redirects to it.
/// As the program has it.
#[global_allocator]
static MEMORY: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const PORT: u16 = 5000;
const HOST: &str = "a.bench.test";
/// Of a load.
const WORKERS: usize = 32;
const SECONDS: Duration = Duration::from_secs(5);
const SMALL: usize = 1024;
const BULK: usize = 400 << 20;
const IDLE: usize = 1000;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match words.as_slice() {
        ["origin", dir] => runtime.block_on(origin(Path::new(dir))),
        ["overhear", dir, interface] => overhear(&runtime, Path::new(dir), interface),
        ["bare", dir] => runtime.block_on(bare(Path::new(dir))),
        ["load", dir, mode, pid] => runtime.block_on(load(Path::new(dir), mode, pid.parse().unwrap())),
        _ => panic!("see the head of examples/proxy.rs"),
    }
}

fn now() -> Time {
    Time(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64)
}

/// An authority that all roles find in the folder.
fn authority(dir: &Path, name: &str) -> Authority {
    Authority::load_or_make(&dir.join(name), now(), LIFETIME).unwrap()
}

/// Every `*.pem` root in the folder, or one of them.
fn roots(dir: &Path, only: Option<&str>) -> RootCertStore {
    let mut store = RootCertStore::empty();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let fits = only.is_none_or(|name| path.file_name().unwrap() == name);
        let Ok(der) = CertificateDer::from_pem_file(path.join("ca.pem")) else { continue };
        if fits {
            store.add(der).unwrap();
        }
    }
    store
}

/// A server's configuration with a leaf for every name under `bench.test`.
fn serving(mint: &Mint, host: &str, alpn: &[&[u8]]) -> Arc<ServerConfig> {
    let mirror = Mirror { names: vec![San::Dns("*.bench.test".to_owned())], ..Mirror::bare(host) };
    let chain = mint.control(&mirror, Leaf::First, now()).unwrap();
    let key = PrivateKeyDer::Pkcs8(chain.key.pkcs8().to_vec().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(chain.certificates.clone(), key).unwrap();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

fn asking(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config
}

// ---- origin ----

async fn origin(dir: &Path) {
    let mint = Mint::new(authority(dir, "origin"), now()).unwrap();
    let acceptor = TlsAcceptor::from(serving(&mint, HOST, &[b"http/1.1"]));
    let listener = entrance::transparent(443).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(mut tls) = acceptor.accept(stream).await else { return };
            let body = vec![b'.'; 64 << 10];
            let mut head = Vec::with_capacity(1024);
            loop {
                head.clear();
                while !head.ends_with(b"\r\n\r\n") {
                    if !matches!(tls.read_buf(&mut head).await, Ok(n) if n > 0) {
                        return;
                    }
                }
                let path = head.split(|b| *b == b' ').nth(1).unwrap_or_default();
                let mut left: usize = std::str::from_utf8(path).ok().and_then(|p| p.trim_start_matches('/').parse().ok()).unwrap_or(0);
                let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {left}\r\n\r\n").into_bytes();
                let first = left.min(body.len());
                answer.extend_from_slice(&body[..first]);
                left -= first;
                if tls.write_all(&answer).await.is_err() {
                    return;
                }
                while left > 0 {
                    let n = left.min(body.len());
                    if tls.write_all(&body[..n]).await.is_err() {
                        return;
                    }
                    left -= n;
                }
                let _ = tls.flush().await;
            }
        });
    }
}

// ---- the gateway, as src/live.rs starts it ----

#[derive(Debug)]
struct All;

impl Rules for All {
    fn may_attack(&self, _: &str, _: u16, _: &[IpAddr]) -> bool {
        true
    }
    fn enrolled(&self, _: IpAddr) -> bool {
        true
    }
}

struct BenchDesk {
    writer: Writer<BufWriter<File>>,
    board: Board,
    tables: reports::tables::Tables<fn(reports::rows::Table, reports::rows::Row<'_>)>,
}

impl Desk for BenchDesk {
    fn line(&mut self, mut line: Line) {
        self.writer.write(&mut line).unwrap();
        self.board.line(&line);
        self.tables.line(&line);
    }

    fn sealed(&mut self, _: Option<FlowId>, _: analyzers::sealed::Value) {}
}

fn overhear(runtime: &tokio::runtime::Runtime, dir: &Path, interface: &str) {
    let run = dir.join("run");
    let _ = fs::remove_dir_all(&run);
    fs::create_dir_all(&run).unwrap();
    let demands = Demands {
        policy: Policy::default_lab(),
        declaration: None,
        requirements: policies::requirement::catalogue(),
        attacks: policies::attack::catalogue(),
    };
    let attacks: Vec<_> = demands.attacks.iter().filter(|a| a.id == "cert.expired").cloned().collect();
    let engine = Arc::new(analyzers::leak::Engine::new(Vec::new(), &[7; 32]));
    let tools = Arc::new(Tools { veil: engine.clone(), engine: Some(engine), ..Tools::default() });
    let (aside, asides) = std::sync::mpsc::channel();
    let (feed, outs, _lanes) = Feed::start(2, &tools, now, Some(aside)).unwrap();
    let mut desk = BenchDesk {
        writer: Writer::new(BufWriter::with_capacity(1 << 20, File::create(run.join("journal.jsonl")).unwrap())),
        board: Board::new(Arc::new(demands)),
        tables: reports::tables::Tables::streaming(reports::tables::Limits::default(), |_, _| {}),
    };
    std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || {
            let mut scribe = Scribe::new(Briefing::default());
            let mut sealed = Instant::now();
            let mut outs = Batched::new(outs);
            loop {
                match outs.recv_timeout(Duration::from_millis(250)) {
                    Ok(out) => scribe.take(out, &mut desk),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                if sealed.elapsed() >= Duration::from_secs(1) {
                    sealed = Instant::now();
                    desk.writer.seal().unwrap();
                }
            }
        })
        .unwrap();
    let source = Source::Interface(Packets::open(interface).unwrap(), Box::new(|_| true), proxy::enrolment::Disguised::default());
    let (file, name) = (BufWriter::new(File::create(run.join("capture.pcapng")).unwrap()), interface.to_owned());
    std::thread::Builder::new()
        .name("capture".to_owned())
        .spawn(move || {
            static NEVER: AtomicBool = AtomicBool::new(false);
            let dropped = proxy::capture::record(source, &asides, file, &name, &NEVER, now);
            eprintln!("the capture ended: {dropped:?}");
        })
        .unwrap();
    let mint = Mint::new(authority(dir, "lab"), now()).unwrap();
    let upstream = Upstream::new(roots(dir, Some("origin")), Duration::from_secs(10)).unwrap();
    let server = Arc::new(Server::new(mint, upstream, Waits::default()).unwrap());
    let gateway = Gateway::new(Setup {
        server,
        feed,
        attacks,
        required: Repeats { critical: 2, high: 2, medium: 2, low: 2, info: 2 },
        thresholds: policies::policy::Thresholds::default(),
        // One process run that never ends is one attempt, and an attempt keeps its treatment: its first is the control.
        mode: Mode::Runs,
        chance: None,
        rules: Arc::new(All),
        veil: Arc::new(Veiled(Arc::new(Bare))),
    });
    for device in ["10.91.0.2", "fd91::2"] {
        gateway.begin_run(device.parse().unwrap(), 1);
    }
    runtime.block_on(async {
        let listener = entrance::transparent(PORT).unwrap();
        gateway.serve_transparent(listener).await;
    });
}

// ---- the baseline ----

async fn bare(dir: &Path) {
    let mint = Arc::new(Mint::new(authority(dir, "lab"), now()).unwrap());
    let client = Arc::new(asking(roots(dir, Some("origin"))));
    let configs: Arc<Mutex<HashMap<String, Arc<ServerConfig>>>> = Arc::default();
    let listener = entrance::transparent(PORT).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (mint, client, configs) = (mint.clone(), client.clone(), configs.clone());
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let server = entrance::original(&stream)?;
            let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await.ok()?;
            let name = start.client_hello().server_name()?.to_owned();
            let upstream = TcpStream::connect(server).await.ok()?;
            let _ = upstream.set_nodelay(true);
            let mut upstream = TlsConnector::from(client).connect(ServerName::try_from(name.clone()).ok()?, upstream).await.ok()?;
            let config = configs.lock().unwrap().entry(name.clone()).or_insert_with(|| serving(&mint, &name, &[b"http/1.1"])).clone();
            let mut down = start.into_stream(config).await.ok()?;
            let _ = tokio::io::copy_bidirectional_with_sizes(&mut down, &mut upstream, 64 << 10, 64 << 10).await;
            Some(())
        });
    }
}

// ---- load ----

/// CPU seconds and resident KiB of a process and its children: of sslsplit a child does the work.
fn used(pid: u32) -> (f64, u64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
    let ticks: f64 = fields.get(11..13).into_iter().flatten().filter_map(|f| f.parse::<f64>().ok()).sum();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let rss: Option<u64> =
        status.lines().find_map(|l| l.strip_prefix("VmRSS:")).and_then(|l| l.trim().trim_end_matches(" kB").parse().ok());
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    // USER_HZ is 100 on every Linux that Rust runs on.
    children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .map(used)
        .fold((ticks / 100.0, rss.unwrap_or(0)), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

#[derive(Clone)]
struct Load {
    connector: TlsConnector,
    to: SocketAddr,
}

impl Load {
    async fn open(&self, host: &str) -> Option<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.to).await.ok()?;
        let _ = stream.set_nodelay(true);
        self.connector.connect(ServerName::try_from(host.to_owned()).unwrap(), stream).await.ok()
    }

    /// One request; the bytes of its body.
    async fn ask(&self, tls: &mut TlsStream<TcpStream>, size: usize, buffer: &mut [u8]) -> Option<usize> {
        tls.write_all(format!("GET /{size} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await.ok()?;
        let (mut got, mut head) = (0, None);
        loop {
            let n = tls.read(buffer).await.ok().filter(|n| *n > 0)?;
            got += n;
            // The head comes whole in the first record: the origin writes it with the first bytes of the body.
            let begin = *head.get_or_insert_with(|| buffer[..n].windows(4).position(|w| w == b"\r\n\r\n").map_or(n, |at| at + 4));
            if got >= begin + size {
                return Some(got - begin);
            }
        }
    }
}

async fn load(dir: &Path, mode: &str, pid: u32) {
    let mut config = asking(roots(dir, None));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let load = Load {
        connector: TlsConnector::from(Arc::new(config)),
        to: (HOST, 443).to_socket_addrs().unwrap().find(SocketAddr::is_ipv4).unwrap(),
    };
    // What is done once per run is not what is asked.
    for _ in 0..20 {
        let mut tls = load.open(HOST).await.expect("no connection");
        load.ask(&mut tls, SMALL, &mut vec![0; 64 << 10]).await.expect("no answer");
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (cpu, resident) = used(pid);
    let began = Instant::now();
    let done = Arc::new(AtomicU64::new(0));
    let failed = Arc::new(AtomicU64::new(0));
    let workers = match mode {
        "bulk1" => 1,
        "bulk4" => 4,
        "idle" => 16,
        _ => WORKERS,
    };
    let mut tasks = tokio::task::JoinSet::new();
    let mut held = Vec::new();
    for worker in 0..workers {
        let (load, done, failed, mode) = (load.clone(), done.clone(), failed.clone(), mode.to_owned());
        tasks.spawn(async move {
            let mut buffer = vec![0; 256 << 10];
            let mut kept = Vec::new();
            let mut n = 0;
            match mode.as_str() {
                "conns" | "names" => {
                    while began.elapsed() < SECONDS {
                        n += 1;
                        let host = if mode == "conns" { HOST.to_owned() } else { format!("h{worker}-{n}.bench.test") };
                        let asked = async { load.ask(&mut load.open(&host).await?, SMALL, &mut buffer).await };
                        if asked.await.is_some() { &done } else { &failed }.fetch_add(1, Ordering::Relaxed);
                    }
                }
                "keep" => {
                    let mut tls = load.open(HOST).await.unwrap();
                    while began.elapsed() < SECONDS {
                        load.ask(&mut tls, SMALL, &mut buffer).await.unwrap();
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
                "idle" => {
                    for _ in 0..IDLE / workers {
                        let mut tls = load.open(HOST).await.unwrap();
                        load.ask(&mut tls, SMALL, &mut buffer).await.unwrap();
                        kept.push(tls);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
                _ => {
                    let mut tls = load.open(HOST).await.unwrap();
                    let got = load.ask(&mut tls, BULK, &mut buffer).await.unwrap();
                    done.fetch_add(got as u64, Ordering::Relaxed);
                }
            }
            kept
        });
    }
    while let Some(kept) = tasks.join_next().await {
        held.extend(kept.unwrap());
    }
    let wall = began.elapsed().as_secs_f64();
    // What is still under way in the contender is part of its work.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (after, with_idle) = used(pid);
    let (done, cpu) = (done.load(Ordering::Relaxed) as f64, after - cpu);
    let failed = failed.load(Ordering::Relaxed);
    let (rate, each) = match mode {
        "conns" | "names" => (done / wall, cpu * 1e3 / done),
        "keep" => (done / wall, cpu * 1e6 / done),
        "idle" => (with_idle.saturating_sub(resident) as f64 / done, resident as f64 / 1024.0),
        _ => (done / wall / 1e6, cpu / (done / 1e9)),
    };
    // mode, rate, per unit, failed: conns conn/s ms, keep req/s µs, bulk MB/s s/GB, idle KiB/conn and MiB before.
    println!("{mode} {rate:.2} {each:.3} {failed}");
    drop(held);
}
