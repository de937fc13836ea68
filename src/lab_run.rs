//! `overhear lab`: an Internet in a box around a program or a toy device, which is run until every planned attack is decided.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use analyzers::observation::{Asked, RunKind, RunMode};
use lab::doors::Doors;
use lab::dut::{Dut, Exit, Order};
use lab::names::Names;
use lab::origin::Manner;
use lab::rung::Rung;
use lab::stage::{Place, Stage};
use lab::toys::{Dial, Dialling, Stream, Trust};
use lab::world::World;
use policies::Policy;
use proxy::forge::ca::Authority;
use proxy::forge::suites;
use proxy::gateway::nft::{self, Quic};
use proxy::gateway::{Gateway, entrance};
use proxy::plan::Mode;
use proxy::upstream::Beyond;
use reports::tables::Limits;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tokio::io::DuplexStream;

use crate::analyze::eprint_line;
use crate::cli::{self, Anchor};
use crate::conduct::{self, Reins, Table};
use crate::fault::Fault;
use crate::inputs::unused;
use crate::knowledge::Knowledge;
use crate::live::{Kept, Live, Plan, PolicyRules, Who, lock, select};
use crate::render;
use crate::run::Folder;

/// The policy of a lab run without one: its own world needs no authorisation but the operator's.
const LAB_POLICY: &str = "schema = \"overhear/policy/1\"\nprofile = \"default\"\n\n[authorisation]\nowner = \"the operator\"\nreference = \"closed lab\"\nby = \"overhear lab\"\n";

/// The authority of a lab lives as long as its run; 30 days cover a run that is looked at later.
const LIFETIME: Duration = Duration::from_secs(30 * 86_400);

fn said(fault: lab::Fault) -> Fault {
    Fault::new(fault.to_string(), "")
}

pub(crate) fn lab(args: &cli::Lab, quiet: bool, stage: &Stage) -> Result<u8, Fault> {
    let rung = rung(args, quiet, stage)?;
    if !args.command.is_empty() && rung == Rung::Memory {
        return Err(Fault::new(
            "in memory there are only toy devices: a program needs a network",
            "leave the program out, or see `overhear doctor`",
        ));
    }
    if args.parallel > 1 && rung != Rung::Namespaces {
        return Err(Fault::new(
            "--parallel needs namespaces: without them the copies of a program cannot be told apart",
            "leave --parallel out, or see `overhear doctor`",
        ));
    }
    if args.command.is_empty() && !lab::toys::is_known(&args.device) {
        return Err(Fault::new(
            format!("there is no toy device '{}'", args.device.escape_debug()),
            "careless-phone, strict-phone or pinned-app",
        ));
    }
    // The careless phone carries an identity of its own, which is what its leaks are told by.
    let planted = (args.command.is_empty() && args.terms.knowledge.persona.is_none()).then(lab::toys::persona);
    let known = Knowledge::with(&args.terms.knowledge, Policy::default_lab, LAB_POLICY, planted.as_deref())?;
    let catalogue = reports::catalogue::Catalogue::of(&known.demands);
    let gates = render::gates(&args.terms.gates, &catalogue)?;
    let selected = select(&args.terms.attacks, &known.demands.attacks)?;
    let authorised = known.policy().authorisation.is_some();
    let authority = Authority::make("lab", crate::runs::now(), LIFETIME).map_err(|e| Fault::new(e.to_string(), ""))?;
    let world = world(args, rung, &authority)?;
    let out = args.terms.out.clone().unwrap_or_else(|| unused(Path::new("overhear-runs/lab")));
    Folder::may_be(&out, args.terms.force)?;
    let mut roots = RootCertStore::empty();
    roots.add(world.authority().root().clone()).map_err(|e| Fault::new(format!("the lab's authority cannot be used: {e}"), ""))?;
    if let Some(path) = &args.terms.upstream_ca {
        conduct::trust(&mut roots, path)?;
    }
    let devices: Vec<Vec<IpAddr>> =
        world.duts().iter().map(|d| std::iter::once(IpAddr::V4(d.v4)).chain(d.v6.map(IpAddr::V6)).collect()).collect();
    let transparent = rung == Rung::Namespaces;
    let rules = PolicyRules {
        policy: known.policy().clone(),
        pins: known.demands.declaration.clone(),
        who: if transparent { Who::Given(devices) } else { Who::Everybody },
        names: (rung != Rung::Loopback).then(|| world.names().clone()),
    };
    is_there(&args.command)?;
    let label = if args.command.is_empty() { args.device.clone() } else { crate::command::shown(&args.command) };
    let folder = Folder::make(&out, args.terms.force)?;
    if !authorised {
        eprint_line(
            "overhear lab: the policy has no [authorisation]: nothing is attacked (leave --policy out, or write who authorises the tests)",
        );
    }
    let mut live = Live::start(
        Plan {
            known: &known,
            kind: RunKind::Lab,
            mode: match rung {
                Rung::Namespaces => RunMode::Transparent,
                Rung::Loopback => RunMode::Explicit,
                Rung::Memory => RunMode::Memory,
            },
            pace: Mode::Runs,
            attacks: if authorised { selected } else { Vec::new() },
            rules,
            authority,
            roots,
            beyond: (rung == Rung::Memory).then(|| Arc::new(Origins(world.doors())) as Arc<dyn Beyond>),
            label: Some(known.veiled(&label)),
            anchor: args.anchor.word(),
            watched: conduct::is_shown(args.terms.headless),
            asked: Asked { named: conduct::named(&args.terms.attacks), ..render::asked(&gates, Limits::default()) },
        },
        folder,
    )?;
    if !authorised {
        live.gateway.standing("attacks", "off: no authorisation");
    }
    if transparent {
        live.capture(lab::world::DUT, Box::new(|_| true), Kept::InRun)?;
    } else {
        live.synthesise(Kept::InRun)?;
    }
    let told = conduct::conduct(&live, &Table::default(), args.terms.headless, quiet, async |reins| campaign(args, &world, reins).await)?;
    drop(world);
    conduct::close(live, &known, &gates, args.json.as_deref(), told.as_deref())
}

/// Refuses a program that cannot be found, before a folder is made or cleared for its sake.
fn is_there(command: &[String]) -> Result<(), Fault> {
    let Some(program) = command.first() else { return Ok(()) };
    let found = if program.contains('/') {
        Path::new(program).is_file()
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        path.is_empty() || std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
    };
    if found {
        Ok(())
    } else {
        Err(Fault::new(format!("there is no program {}", program.escape_debug()), "check its name, or give its path"))
    }
}

/// The best rung this machine allows, or the one that was asked for. On the highest one this process is replaced by one inside.
fn rung(args: &cli::Lab, quiet: bool, stage: &Stage) -> Result<Rung, Fault> {
    let say = |rung: Rung| {
        if !quiet {
            eprint_line(&format!("overhear lab: running as {}", rung.text()));
        }
    };
    if stage.place == Place::Gateway {
        say(Rung::Namespaces);
        return Ok(Rung::Namespaces);
    }
    let lower = match args.rung {
        Some(cli::Rung::Loopback) => Some(Rung::Loopback),
        Some(cli::Rung::Memory) => Some(Rung::Memory),
        Some(cli::Rung::Namespaces) | None => None,
    };
    if let Some(rung) = lower {
        say(rung);
        return Ok(rung);
    }
    let best = lab::rung::best();
    if best.rung == Rung::Namespaces {
        return Err(said(lab::stage::move_in(&stage.args)));
    }
    let why: Vec<String> = best.why_not.iter().map(ToString::to_string).collect();
    if args.rung.is_some() {
        return Err(Fault::new(
            format!("no namespaces can be made here: {}", why.join("; ")),
            "leave --rung out, or see `overhear doctor`",
        ));
    }
    say(best.rung);
    if !quiet {
        for why in why {
            eprint_line(&format!("  not higher because: {why}"));
        }
    }
    Ok(best.rung)
}

fn world(args: &cli::Lab, rung: Rung, authority: &Authority) -> Result<World, Fault> {
    let (mut overrides, mut folders) = (Vec::new(), Vec::new());
    for word in &args.origin {
        let wrong =
            |what: &str| Fault::new(format!("--origin '{word}' {what}"), "e.g. --origin api.test=192.0.2.7 or --origin cdn.test=site/");
        let (name, place) = word.split_once('=').ok_or_else(|| wrong("is not NAME=ADDRESS or NAME=FOLDER"))?;
        match (place.parse::<IpAddr>(), Path::new(place)) {
            (Ok(addr), _) => overrides.push((name.to_owned(), addr)),
            // What a run's servers said cannot be served again yet, and its files are not for others.
            (_, folder) if folder.join("journal.jsonl").exists() => return Err(wrong("is a run; its servers cannot be played again")),
            (_, folder) if folder.is_dir() => folders.push((name.to_owned(), folder.to_owned())),
            _ => return Err(wrong("leads neither to an address nor to a folder")),
        }
    }
    let anchors = if args.anchor == Anchor::None { Vec::new() } else { vec![CertificateDer::from(authority.der().to_vec())] };
    let manner = Manner { provider: Arc::new(suites::usual()), old: Some(Arc::new(suites::old())), ..Manner::default() };
    let spec = lab::Spec { parallel: args.parallel, host: args.host.clone(), overrides, folders, anchors, manner, ..lab::Spec::default() };
    match rung {
        Rung::Namespaces => World::raise(spec),
        Rung::Loopback => World::loopback(spec),
        Rung::Memory => World::memory(spec),
    }
    .map_err(said)
}

/// Attempts without anything new decided or asked, after which the rest is left undecided. One attack with its controls at one connection takes
/// about half as many.
const STUCK: u32 = 24;

/// A line of progress at most this often.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// Takes connections and runs the device until all is decided, the budget is used up, or nothing moves any more.
async fn campaign(args: &cli::Lab, world: &World, reins: &Reins) -> Result<Option<String>, Fault> {
    let gateway = reins.gateway.clone();
    let mut proxy_env: Vec<(&str, OsString)> = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    if world.gateway().is_some() {
        let listener = entrance::transparent(0).map_err(|e| Fault::new(e.to_string(), ""))?;
        let port = listener.local_addr().map_err(|e| Fault::new(e.to_string(), ""))?.port();
        let devices = world.duts().iter().flat_map(|d| std::iter::once(IpAddr::V4(d.v4)).chain(d.v6.map(IpAddr::V6))).collect();
        reins.table.install(|| nft::Rules { interface: lab::world::DUT.to_owned(), devices, port, quic: Quic::Observe })?;
        let gateway = gateway.clone();
        tasks.spawn(async move { gateway.serve_transparent(listener).await });
    } else if *world.ports() == lab::world::Ports::Memory {
        gateway.standing("quic", "observe");
        let toy = Toy { name: args.device.clone(), host: args.host.clone(), trust: world.toy_trust().map_err(said)? };
        let order = Order::new([""; 0], Duration::from_secs(args.run_timeout));
        return drive(args, world, reins, order, Some(toy)).await;
    } else {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(|e| Fault::new(format!("cannot listen: {e}"), ""))?;
        let addr = listener.local_addr().map_err(|e| Fault::new(e.to_string(), ""))?;
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
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
    let told = drive(args, world, reins, order, None).await?;
    reins.table.drop_now();
    tasks.shutdown().await;
    Ok(told)
}

/// Runs all copies of the device until each has its share of the answers.
async fn drive(args: &cli::Lab, world: &World, reins: &Reins, order: Order, toy: Option<Toy>) -> Result<Option<String>, Fault> {
    let campaign = Arc::new(Campaign {
        reins: reins.clone(),
        devices: world.duts().iter().map(|dut| IpAddr::V4(dut.v4)).collect(),
        order,
        toy: toy.map(|toy| (toy, world.names().clone())),
        began: Instant::now(),
        budget: Duration::from_secs(args.budget),
        attempts: AtomicU64::new(0),
        spoke: Mutex::new(None),
        left_running: AtomicU64::new(0),
    });
    let mut copies = tokio::task::JoinSet::new();
    for dut in world.duts() {
        let (campaign, dut) = (campaign.clone(), dut.clone());
        copies.spawn(async move { campaign.copy(&dut).await });
    }
    let mut worst: Option<Ended> = None;
    while let Some(ended) = copies.join_next().await {
        let ended =
            ended.map_err(|e| Fault::new(format!("a copy of the device was lost: {e}"), "this is a fault of ours; please report it"))??;
        if worst.as_ref().is_none_or(|known| ended.rank() > known.rank()) {
            worst = Some(ended);
        }
    }
    let left = campaign.left();
    let unfinished = campaign.left_running.load(Ordering::Relaxed);
    if unfinished > 0 && !reins.quiet {
        let seconds = lab::dut::LINGER.as_secs();
        eprint_line(&format!("overhear lab: in {unfinished} runs the program left processes behind that were ended after {seconds} s"));
    }
    match worst {
        Some(Ended::Operator) => reins.gateway.standing("operator", "ended the run"),
        Some(Ended::Budget) => reins.gateway.standing("budget", "used up"),
        _ => {}
    }
    Ok(match worst {
        None | Some(Ended::Decided) => None,
        Some(Ended::Stuck) => Some(format!("overhear lab: {left} answers stay open: {STUCK} runs in a row decided nothing more")),
        Some(Ended::Budget) => Some(format!("overhear lab: the budget of {} s is used up; {left} answers stay open", args.budget)),
        Some(Ended::Mute(exit)) => Some(format!("overhear lab: the program opened no TLS connection in {MUTE} runs (the last {exit})")),
        Some(Ended::Operator) => Some(format!("overhear lab: ended by the operator; {left} answers stay open")),
        Some(Ended::Broken) => Some("overhear lab: the journal cannot be written any more; what was written is kept".to_owned()),
    })
}

/// What all copies of the device share.
struct Campaign {
    reins: Reins,
    devices: Vec<IpAddr>,
    order: Order,
    /// What runs instead of a program, in memory; and its world's names.
    toy: Option<(Toy, Names)>,
    began: Instant,
    budget: Duration,
    attempts: AtomicU64,
    spoke: Mutex<Option<Instant>>,
    /// Runs whose leftovers had to be ended.
    left_running: AtomicU64,
}

/// Why a copy of the device is not run again.
enum Ended {
    Decided,
    Stuck,
    Budget,
    /// It opens no TLS connection.
    Mute(Exit),
    Operator,
    Broken,
}

impl Ended {
    /// The higher says more about the whole campaign.
    fn rank(&self) -> u8 {
        match self {
            Ended::Decided => 0,
            Ended::Stuck => 1,
            Ended::Budget => 2,
            Ended::Mute(_) => 3,
            Ended::Operator => 4,
            Ended::Broken => 5,
        }
    }
}

/// How one run of the device ended.
struct Ran {
    exit: Exit,
    /// Something of it still ran when it was ended.
    left_running: bool,
}

/// A device inside this process.
struct Toy {
    name: String,
    host: String,
    trust: Trust,
}

/// A toy's connections, which are handed to the gateway as pipes. Its datagrams are lost.
struct Wires {
    gateway: Arc<Gateway>,
    names: Names,
    device: Ipv4Addr,
    port: AtomicU16,
}

/// Of the ports that a device opens connections from (RFC 6335 §6); one run opens a few.
const FIRST_PORT: u16 = 49_152;

impl Dial for Wires {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialling<'a> {
        Box::pin(async move {
            let ip = self.names.addresses(host).into_iter().next().ok_or(std::io::ErrorKind::NotFound)?;
            let device = SocketAddr::from((self.device, self.port.fetch_add(1, Ordering::Relaxed)));
            let (ours, theirs) = tokio::io::duplex(lab::doors::PIPE);
            self.gateway.serve_pipe(theirs, device, SocketAddr::new(ip, port)).await;
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

/// The lab's origins, as the gateway's servers.
struct Origins(Doors);

impl Beyond for Origins {
    fn connect(&self, addr: SocketAddr) -> std::io::Result<DuplexStream> {
        self.0.open(addr)
    }
}

/// How often a paused lab looks whether it goes on.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a program may go on after it has accepted an attack: some try the same again until their time is up.
const GRACE: Duration = Duration::from_secs(5);

/// Runs without a TLS connection, after which a program is given up.
const MUTE: u64 = 3;

impl Campaign {
    /// Answers still open on all copies.
    fn left(&self) -> usize {
        self.devices.iter().map(|d| self.left_on(*d)).sum()
    }

    fn left_on(&self, device: IpAddr) -> usize {
        self.reins.gateway.undecided(device).iter().map(|(_, _, attacks)| attacks.len()).sum()
    }

    fn seen(&self) -> usize {
        self.devices.iter().map(|d| self.reins.gateway.subjects_seen(*d)).max().unwrap_or(0)
    }

    async fn copy(&self, dut: &Dut) -> Result<Ended, Fault> {
        let gateway = &self.reins.gateway;
        let device = IpAddr::V4(dut.v4);
        let (mut left_before, mut asked_before) = (usize::MAX, 0);
        let mut still = 0;
        for own in 1.. {
            // What is paused decides nothing: the program rests too.
            while gateway.paused() {
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = self.reins.let_go() => return Ok(Ended::Operator),
                }
            }
            let attempt = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
            gateway.begin_run(device, attempt);
            // Letting go of a run ends it with all its children.
            let (ran, answered) = tokio::select! {
                ran = self.run(dut) => (Some(ran?), false),
                () = gateway.answered(device, GRACE) => (None, true),
                () = self.reins.let_go() => (None, false),
            };
            let cut_short = ran.as_ref().is_none_or(|run| run.left_running);
            gateway.end_run(device, cut_short).await;
            if self.reins.broken() {
                return Ok(Ended::Broken);
            }
            if ran.is_none() && !answered {
                return Ok(Ended::Operator);
            }
            if let Some(Exit::NotStarted(why)) = ran.as_ref().map(|run| &run.exit) {
                return Err(Fault::new(
                    format!("the program could not be started: {why}"),
                    "check its name; it runs with this machine's files",
                ));
            }
            let left_running = ran.as_ref().is_some_and(|run| run.left_running && run.exit != Exit::TimedOut);
            self.left_running.fetch_add(u64::from(left_running), Ordering::Relaxed);
            let left = self.left_on(device);
            self.say(attempt);
            let seen = self.seen();
            if let Some(run) = ran
                && seen == 0
                && own >= MUTE
            {
                return Ok(Ended::Mute(run.exit));
            }
            if left == 0 && seen > 0 {
                return Ok(Ended::Decided);
            }
            // More may be left than before: a peer or a stack that was not met until now.
            let asked = gateway.asked(device);
            still = if left < left_before || asked > asked_before { 0 } else { still + 1 };
            (left_before, asked_before) = (left, asked);
            if still >= STUCK {
                return Ok(Ended::Stuck);
            }
            if self.began.elapsed() > self.budget {
                return Ok(Ended::Budget);
            }
        }
        Ok(Ended::Decided)
    }

    /// Runs the device once.
    async fn run(&self, dut: &Dut) -> Result<Ran, Fault> {
        let Some((toy, names)) = &self.toy else {
            let run = dut.run(self.order.clone()).await.map_err(said)?;
            return Ok(Ran { exit: run.exit, left_running: run.left_running });
        };
        let wires = Wires { gateway: self.reins.gateway.clone(), names: names.clone(), device: dut.v4, port: AtomicU16::new(FIRST_PORT) };
        let live = lab::toys::live(&toy.name, &wires, toy.trust.clone(), &toy.host);
        let visits = tokio::time::timeout(self.order.timeout, live).await;
        let exit = visits.map_or(Exit::TimedOut, |visits| Exit::Code(i32::from(!visits.iter().all(lab::toys::Visit::accepted))));
        Ok(Ran { left_running: exit == Exit::TimedOut, exit })
    }

    /// A line of progress, now and then.
    fn say(&self, attempt: u64) {
        let left = self.left();
        let mut spoke = lock(&self.spoke);
        if self.reins.quiet || left > 0 && spoke.is_some_and(|at| at.elapsed() < SAY_EVERY) {
            return;
        }
        *spoke = Some(Instant::now());
        eprint_line(&format!("run {attempt}: {} peers, {left} answers still open", self.seen()));
    }
}
