//! `overhear lab`: an Internet in a box around a program or a toy device, which is run until every planned attack is decided.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use analyzers::observation::{RunKind, RunMode};
use analyzers::text::Text;
use lab::dut::{Exit, Order};
use lab::rung::Rung;
use lab::stage::{Place, Stage};
use lab::world::World;
use policies::Policy;
use proxy::forge::ca::Authority;
use proxy::gateway::Gateway;
use proxy::gateway::entrance;
use proxy::gateway::nft::{self, Installed, Quic};
use proxy::plan::Mode;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::analyze::{eprint_line, show, unused};
use crate::cli::{self, Anchor, SummaryFormat};
use crate::eyes::{LiveEyes, watch};
use crate::fault::Fault;
use crate::knowledge::{self, Knowledge};
use crate::live::{Live, Plan, PolicyRules, select};
use crate::render;
use crate::run::{Folder, RUN_SCHEMA, RunFile};

/// The policy of a lab run without one: its own world needs no authorisation but the operator's.
const LAB_POLICY: &str = "schema = \"overhear/policy/1\"\nprofile = \"default\"\n\n[authorisation]\nowner = \"the operator\"\nreference = \"closed lab\"\nby = \"overhear lab\"\n";

/// The authority of a lab lives as long as its run; 30 days cover a run that is looked at later.
const LIFETIME: Duration = Duration::from_secs(30 * 86_400);

fn said(fault: lab::Fault) -> Fault {
    Fault::new(fault.to_string(), "")
}

pub(crate) fn lab(args: &cli::Lab, quiet: bool, stage: &Stage) -> Result<u8, Fault> {
    let best = if stage.place == Place::Gateway { None } else { Some(lab::rung::best()) };
    if let Some(best) = &best {
        if best.rung == Rung::Namespaces {
            return Err(said(lab::stage::move_in(&stage.args)));
        }
        if !quiet {
            eprint_line(&format!("overhear lab: running as {}", best.rung.text()));
            for fault in &best.why_not {
                eprint_line(&format!("  not higher because: {fault}"));
            }
        }
    } else if !quiet {
        eprint_line(&format!("overhear lab: running as {}", Rung::Namespaces.text()));
    }
    let rung = best.map_or(Rung::Namespaces, |b| b.rung);
    if args.command.is_empty() && lab::toys::Device::from_word(&args.device).is_none() && lab::toys::Flaw::from_word(&args.device).is_none()
    {
        return Err(Fault::new(
            format!("there is no toy device '{}'", args.device.escape_debug()),
            "careless-phone, strict-phone or pinned-app",
        ));
    }
    // The careless phone carries an identity of its own, which is what its leaks are told by.
    let planted = (args.command.is_empty() && args.knowledge.persona.is_none()).then(lab::toys::persona);
    let known = Knowledge::with(&args.knowledge, Policy::default_lab, LAB_POLICY, planted.as_deref())?;
    let catalogue = reports::catalogue::Catalogue::of(&known.demands);
    let gates = render::gates(&args.gates, &catalogue)?;
    let attacks = select(&args.attacks, &known.demands.attacks)?;
    let authority = Authority::make("lab", crate::runs::now(), LIFETIME).map_err(|e| Fault::new(e.to_string(), ""))?;
    let world = world(args, rung, &authority)?;
    let out = args.out.clone().unwrap_or_else(|| unused(Path::new("overhear-runs/lab")));
    let folder = Folder::make(&out, args.force)?;
    let mut roots = RootCertStore::empty();
    let add = |roots: &mut RootCertStore, der: CertificateDer<'static>| {
        roots.add(der).map_err(|e| Fault::new(format!("an authority cannot be used: {e}"), "--upstream-ca takes PEM certificates"))
    };
    add(&mut roots, world.authority().root().clone())?;
    if let Some(path) = &args.upstream_ca {
        let text = knowledge::read(path)?;
        for der in CertificateDer::pem_slice_iter(text.as_bytes()) {
            add(&mut roots, der.map_err(|e| Fault::new(format!("{}: {e}", path.display()), "PEM certificates are read"))?)?;
        }
    }
    let devices: Vec<Vec<IpAddr>> =
        world.duts().iter().map(|d| std::iter::once(IpAddr::V4(d.v4)).chain(d.v6.map(IpAddr::V6)).collect()).collect();
    // All runs are of one device, whichever address they come from.
    let rules = PolicyRules {
        policy: known.policy().clone(),
        pins: known.demands.declaration.clone(),
        devices: vec![devices.concat()],
        everybody: rung != Rung::Namespaces,
    };
    let mode = if rung == Rung::Namespaces { RunMode::Transparent } else { RunMode::Explicit };
    let label = if args.command.is_empty() { args.device.clone() } else { args.command.join(" ") };
    let named: Vec<String> = args.attacks.iter().filter(|w| *w != "core" && *w != "all").cloned().collect();
    let shown = crate::eyes::terminal() && !args.headless;
    let mut live = Live::start(
        Plan {
            known: &known,
            kind: RunKind::Lab,
            mode,
            pace: Mode::Runs,
            attacks,
            rules,
            authority,
            roots,
            label: Some(Text::ours(label)),
            anchor: args.anchor.word(),
            watched: shown,
        },
        folder,
    )?;
    if rung == Rung::Namespaces {
        live.capture(lab::world::DUT)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Fault::new(format!("cannot start the gateway's threads: {e}"), ""))?;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let reins = Reins { gateway: live.gateway.clone(), broken: live.broken.clone(), stop: stop.clone(), quiet: quiet || shown };
    let told = if shown {
        let (desk, gateway) = (live.desk.clone(), live.gateway.clone());
        let mut eyes =
            LiveEyes { desk, gateway, stop, done: done.clone(), began: Instant::now(), judge: dashboard::Judge::default(), killed: false };
        std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                let told = runtime.block_on(campaign(args, &world, &reins));
                done.store(true, Ordering::SeqCst);
                told
            });
            let seen = watch(&mut eyes);
            reins.stop.store(true, Ordering::SeqCst);
            let told =
                work.join().unwrap_or_else(|_| Err(Fault::new("the campaign's thread died", "this is a fault of ours; please report it")));
            seen.and(told)
        })?
    } else {
        runtime.block_on(campaign(args, &world, &reins))?
    };
    drop(reins);
    runtime.shutdown_timeout(Duration::from_millis(500));
    drop(world);
    let (finished, folder) = live.stop(&known)?;
    let rendered = render::render(&finished.board, analyzers::reading::Reading::end(finished.tables), &gates, &named);
    render::write(&folder, &rendered)?;
    folder.finish(&RunFile {
        schema: RUN_SCHEMA.to_owned(),
        tool: "overhear".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        inputs: Vec::new(),
        lines: finished.lines,
        head: finished.head,
        devices: Vec::new(),
        persona: known.persona.is_some(),
    })?;
    if let Some(path) = &args.json {
        let mut json = Vec::new();
        rendered.report.write(&mut json).map_err(|e| Fault::io("write", path, &e))?;
        std::fs::write(path, json).map_err(|e| Fault::io("write", path, &e))?;
    }
    show(SummaryFormat::Text, &rendered, &folder)?;
    if let Some(told) = told {
        eprint_line(&told);
    }
    Ok(rendered.exit.code)
}

fn world(args: &cli::Lab, rung: Rung, authority: &Authority) -> Result<World, Fault> {
    let mut overrides = Vec::new();
    for word in &args.origin {
        let parsed = word.split_once('=').and_then(|(name, addr)| Some((name.to_owned(), addr.parse::<IpAddr>().ok()?)));
        overrides
            .push(parsed.ok_or_else(|| Fault::new(format!("--origin '{word}' is not NAME=ADDRESS"), "e.g. --origin api.test=192.0.2.7"))?);
    }
    let anchors = if args.anchor == Anchor::None { Vec::new() } else { vec![CertificateDer::from(authority.der().to_vec())] };
    let parallel = u8::try_from(args.parallel).unwrap_or(u8::MAX);
    let spec = lab::Spec { parallel, host: args.host.clone(), overrides, anchors, ..lab::Spec::default() };
    match rung {
        Rung::Namespaces => World::raise(spec),
        Rung::Loopback | Rung::Memory => World::loopback(spec),
    }
    .map_err(said)
}

/// Attempts without anything new decided, after which the rest is left undecided.
const STUCK: u32 = 12;

/// What steers a campaign from outside.
struct Reins {
    gateway: Arc<Gateway>,
    broken: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    quiet: bool,
}

/// A line of progress at most this often.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// Takes connections and runs the device until all is decided, the budget is used up, or nothing moves any more.
async fn campaign(args: &cli::Lab, world: &World, reins: &Reins) -> Result<Option<String>, Fault> {
    let gateway = reins.gateway.clone();
    let mut proxy_env: Vec<(&str, OsString)> = Vec::new();
    let mut table: Option<Installed> = None;
    let mut tasks = tokio::task::JoinSet::new();
    if world.gateway().is_some() {
        let listener = entrance::transparent(0).map_err(|e| Fault::new(e.to_string(), ""))?;
        let port = listener.local_addr().map_err(|e| Fault::new(e.to_string(), ""))?.port();
        let devices = world.duts().iter().flat_map(|d| std::iter::once(IpAddr::V4(d.v4)).chain(d.v6.map(IpAddr::V6))).collect();
        let rules = nft::Rules { interface: lab::world::DUT.to_owned(), devices, port, quic: Quic::Observe };
        table = Some(Installed::install(&rules).map_err(|e| Fault::new(e.to_string(), "apt install nftables"))?);
        let gateway = gateway.clone();
        tasks.spawn(async move { gateway.serve_transparent(listener).await });
    } else {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(|e| Fault::new(format!("cannot listen: {e}"), ""))?;
        let addr = listener.local_addr().map_err(|e| Fault::new(e.to_string(), ""))?;
        for name in ["https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
            proxy_env.push((name, format!("http://{addr}").into()));
        }
        let places: Vec<(u16, std::net::SocketAddr)> =
            [443, 80].iter().filter_map(|p| Some((*p, *world.upstream("", *p).first()?))).collect();
        let places = Arc::new(places);
        let gateway = gateway.clone();
        tasks.spawn(async move {
            let resolve = move |_: String, port: u16| {
                let places = places.clone();
                async move { places.iter().find(|(p, _)| *p == port).map(|(_, at)| *at) }
            };
            gateway.serve_explicit(listener, resolve).await;
        });
    }
    gateway.standing("quic", "observe");
    let command: Vec<OsString> = if args.command.is_empty() {
        lab::toys::command(&args.device, &args.host)
    } else {
        args.command.iter().map(OsString::from).collect()
    };
    let mut order = Order::new(command, Duration::from_secs(args.run_timeout));
    for (name, value) in proxy_env {
        order = order.env(name, value);
    }
    let told = drive(args, world, reins, order).await?;
    drop(table);
    tasks.shutdown().await;
    Ok(told)
}

async fn drive(args: &cli::Lab, world: &World, reins: &Reins, order: Order) -> Result<Option<String>, Fault> {
    let gateway = &reins.gateway;
    let began = Instant::now();
    let budget = Duration::from_secs(args.budget);
    let dut = world.duts().first().ok_or_else(|| Fault::new("the lab has no device", ""))?;
    let device = IpAddr::V4(dut.v4);
    let mut left_before = usize::MAX;
    let mut still = 0;
    let mut attempt: u64 = 0;
    let mut spoke = None;
    loop {
        attempt += 1;
        gateway.begin_run(device, attempt);
        let run = dut.run(order.clone()).await.map_err(said)?;
        gateway.end_run(device).await;
        if let Exit::NotStarted(why) = &run.exit {
            return Err(Fault::new(
                format!("the program could not be started: {why}"),
                "check its name; it runs with this machine's files",
            ));
        }
        let undecided = gateway.undecided(device);
        let left: usize = undecided.iter().map(|(_, _, attacks)| attacks.len()).sum();
        if !reins.quiet && (left == 0 || spoke.is_none_or(|at: Instant| at.elapsed() >= SAY_EVERY)) {
            spoke = Some(Instant::now());
            eprint_line(&format!("run {attempt}: {} peers, {left} answers still open", gateway.subjects_seen(device)));
        }
        if reins.broken.load(Ordering::Relaxed) {
            return Ok(Some("overhear lab: the journal cannot be written any more; what was written is kept".to_owned()));
        }
        if reins.stop.load(Ordering::SeqCst) {
            return Ok(Some(format!("overhear lab: ended by the operator; {left} answers stay open")));
        }
        if gateway.subjects_seen(device) == 0 && attempt >= 3 {
            return Ok(Some(format!("overhear lab: the program opened no TLS connection in {attempt} runs (last: {:?})", run.exit)));
        }
        if left == 0 && gateway.subjects_seen(device) > 0 {
            return Ok(None);
        }
        still = if left < left_before { 0 } else { still + 1 };
        left_before = left_before.min(left);
        if still >= STUCK {
            return Ok(Some(format!("overhear lab: {left} answers stay open: {STUCK} runs in a row decided nothing more")));
        }
        if began.elapsed() > budget {
            return Ok(Some(format!("overhear lab: the budget of {} s is used up; {left} answers stay open", args.budget)));
        }
    }
}
