//! `overhear intercept`: the gateway between real devices and the Internet. Only devices that were named are touched, and attacked only
//! where the policy carries an authorisation.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use analyzers::flow::Mac;
use analyzers::observation::{Asked, RunKind, RunMode};
use analyzers::pipeline::Told;
use analyzers::text::Text;
use policies::Policy;
use proxy::capture::Look;
use proxy::enrolment::{self, Enrolled, Enrolment, News};
use proxy::feed::Feed;
use proxy::forge::ca::{Authority, LIFETIME};
use proxy::gateway::{entrance, nft};
use proxy::plan::Mode;
use reports::tables::Limits;
use rustls::RootCertStore;

use crate::analyze::{DEFAULT_POLICY, eprint_line};
use crate::cli;
use crate::conduct::{self, Reins, Table};
use crate::fault::Fault;
use crate::inputs::unused;
use crate::knowledge::{self, Knowledge};
use crate::live::{Kept, Live, Plan, PolicyRules, Who, select};
use crate::render;
use crate::run::Folder;
use crate::setup;

pub(crate) fn intercept(args: &cli::Intercept, quiet: bool) -> Result<u8, Fault> {
    let known = Knowledge::read(&args.terms.knowledge, Policy::default_analyze, DEFAULT_POLICY)?;
    let gates = render::gates(&args.terms.gates, &reports::catalogue::Catalogue::of(&known.demands))?;
    let selected = select(&args.terms.attacks, &known.demands.attacks)?;
    let duration = args.duration.as_deref().map(setup::duration).transpose()?;
    let authorised = known.policy().authorisation.is_some();
    let way = Way::of(args)?;
    let enrolment = Arc::new(way.enrolment(&knowledge::told(&args.device)?)?);
    let roots = roots(args.terms.upstream_ca.as_deref())?;
    let authority = Authority::load_or_make(&args.ca, crate::runs::now(), LIFETIME).map_err(|e| Fault::new(e.to_string(), ""))?;
    let _alone = way.alone()?;
    let out = args.terms.out.clone().unwrap_or_else(|| unused(Path::new("overhear-runs/intercept")));
    let folder = Folder::make(&out, args.terms.force)?;
    if !authorised {
        eprint_line(
            "overhear intercept: the policy has no [authorisation]: nothing is attacked or decrypted, and no packets are kept (passive only)",
        );
    }
    let mut live = Live::start(
        Plan {
            known: &known,
            kind: RunKind::Live,
            mode: if matches!(way, Way::Redirect(_)) { RunMode::Transparent } else { RunMode::Explicit },
            pace: Mode::Live,
            attacks: if authorised { selected } else { Vec::new() },
            rules: PolicyRules {
                names: None,
                policy: known.policy().clone(),
                pins: known.demands.declaration.clone(),
                who: Who::Enrolled(enrolment.clone()),
            },
            authority,
            roots,
            beyond: None,
            label: Some(Text::ours(args.device.join(" "))),
            anchor: args.anchor.word(),
            watched: conduct::is_shown(args.terms.headless),
            asked: Asked { named: conduct::named(&args.terms.attacks), ..render::asked(&gates, Limits::default()) },
        },
        folder,
    )?;
    if !authorised {
        live.gateway.standing("attacks", "off: no authorisation");
    }
    for Enrolled { mac, ips } in enrolment.devices() {
        live.feed.join(mac, ips);
    }
    let table = Table::default();
    let kept = if authorised { Kept::InRun } else { Kept::Nowhere };
    match &way {
        Way::Redirect(interface) => {
            let look = look(enrolment.clone(), live.feed.clone(), table.clone());
            live.capture(interface, look, kept)?;
        }
        Way::Listen(_) => live.synthesise(kept)?,
    }
    let watch = Watch { way: &way, enrolment: &enrolment, quic: args.quic, duration };
    let told = conduct::conduct(&live, &table, args.terms.headless, quiet, async |reins| watch.run(reins).await)?;
    conduct::close(live, &known, &gates, None, told.as_deref())
}

/// How connections come in.
enum Way {
    /// Devices behind this interface are redirected.
    Redirect(String),
    /// Devices, or programs, are told of a proxy.
    Listen(SocketAddr),
}

impl Way {
    fn of(args: &cli::Intercept) -> Result<Way, Fault> {
        if let Some(addr) = args.listen {
            return Ok(Way::Listen(addr));
        }
        let interface = args.interface.clone().unwrap_or_default();
        match enrolment::hardware(&interface) {
            Some(enrolment::ETHERNET) if is_filtered_bridge(&interface) => Err(Fault::new(
                format!("the firewall handles the frames of the bridge {}: each connection would be seen twice", interface.escape_debug()),
                "sysctl -w net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0, for as long as the run lasts",
            )),
            Some(enrolment::ETHERNET) => Ok(Way::Redirect(interface)),
            Some(other) => Err(Fault::new(
                format!("{} is no Ethernet-like interface (type {other})", interface.escape_debug()),
                "name the one on the devices' side, such as the access point's or a bridge",
            )),
            None => Err(Fault::new(format!("there is no interface '{}'", interface.escape_debug()), "`ip link` lists them")),
        }
    }

    /// Who is named, with what the link knows of them.
    fn enrolment(&self, named: &[Told]) -> Result<Enrolment, Fault> {
        match self {
            Way::Redirect(interface) => {
                let neighbours = enrolment::neighbours(interface);
                if named.is_empty() {
                    return Err(Fault::new("no device is named: nothing would be looked at", hint(&neighbours)));
                }
                let on_link = enrolment::networks(interface).map_err(|e| Fault::new(e.to_string(), ""))?;
                let all = Enrolment::new(named, on_link);
                for (mac, ip) in neighbours {
                    all.learn(mac, ip);
                }
                Ok(all)
            }
            Way::Listen(addr) => {
                if let Some(Told::Mac(mac)) = named.iter().find(|t| matches!(t, Told::Mac(_))) {
                    return Err(Fault::new(format!("--device {mac}: with --listen a device is known by its IP address only"), ""));
                }
                match named {
                    // Only programs of this machine reach it, and only those that were told of it.
                    [] if addr.ip().is_loopback() => Ok(Enrolment::new(&[Told::Ip(addr.ip())], Vec::new())),
                    [] => Err(Fault::new(
                        format!("{addr} can be reached by others: name the device with --device IP"),
                        "connections of others are passed on and not looked at",
                    )),
                    named => Ok(Enrolment::new(named, Vec::new())),
                }
            }
        }
    }

    /// A second gateway here would take the first one's table away. The kernel forgets this name with the process.
    fn alone(&self) -> Result<Option<UnixListener>, Fault> {
        let Way::Redirect(_) = self else { return Ok(None) };
        let name = UnixAddr::from_abstract_name("overhear-intercept");
        match name.and_then(|name| UnixListener::bind_addr(&name)) {
            Ok(held) => Ok(Some(held)),
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
                Err(Fault::new("another `overhear intercept --interface` runs here", "end it first; its nftables table would be replaced"))
            }
            Err(_) => Ok(None),
        }
    }
}

/// What an operator who named nobody may have meant.
fn hint(neighbours: &[(Mac, IpAddr)]) -> String {
    /// More would hide the message.
    const LISTED: usize = 8;
    if neighbours.is_empty() {
        return "give its MAC or IP address with --device".to_owned();
    }
    let seen: Vec<String> = neighbours.iter().take(LISTED).map(|(mac, ip)| format!("{mac} {ip}")).collect();
    format!("give one with --device; on this link were seen lately: {}", seen.join(", "))
}

/// What the gateway itself trusts: the system's authorities and those the operator adds.
fn roots(added: Option<&Path>) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = added {
        conduct::trust(&mut roots, path)?;
    }
    if roots.is_empty() {
        return Err(Fault::new(
            "this machine trusts no authority: no server could be verified",
            "apt install ca-certificates, or name some with --upstream-ca",
        ));
    }
    Ok(roots)
}

/// Looks at each frame of the link: who uses which address, and whether it may be written at all.
fn look(enrolment: Arc<Enrolment>, feed: Feed, table: Table) -> Look {
    Box::new(move |frame| {
        for news in enrolment.look(frame) {
            // A table that does not change leaves the device alone, or its address redirected to a gateway that relays it untouched.
            match news {
                News::Came { device, ip } => {
                    feed.join(device.mac, device.ips);
                    let _ = table.add(ip);
                }
                News::Left { ip } => {
                    let _ = table.remove(ip);
                    eprint_line(&format!(
                        "overhear intercept: {ip} is used by another device now, which is not enrolled; it is left alone"
                    ));
                }
            }
        }
        enrolment.concerns(frame)
    })
}

/// A run of the gateway.
struct Watch<'a> {
    way: &'a Way,
    enrolment: &'a Arc<Enrolment>,
    quic: cli::Quic,
    duration: Option<Duration>,
}

/// Without a terminal a line at most this often, and only when there is something new to say.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// How long attacks that still listen are waited for at the end: a device that takes the bait has mostly done so by then.
const LAST_WORDS: Duration = Duration::from_millis(1500);

impl Watch<'_> {
    /// Takes connections until the time is up or the operator ends it.
    async fn run(&self, reins: &Reins) -> Result<Option<String>, Fault> {
        let failed = |e: &dyn std::fmt::Display| Fault::new(e.to_string(), "");
        let mut tasks = tokio::task::JoinSet::new();
        let gateway = reins.gateway.clone();
        match self.way {
            Way::Redirect(interface) => {
                let listener = entrance::transparent(0).map_err(|e| failed(&e))?;
                let port = listener.local_addr().map_err(|e| failed(&e))?.port();
                let quic = match self.quic {
                    cli::Quic::Observe => nft::Quic::Observe,
                    cli::Quic::Block => nft::Quic::Block,
                };
                reins.table.install(|| nft::Rules { interface: interface.clone(), devices: self.enrolment.addresses(), port, quic })?;
                gateway.standing("quic", if quic == nft::Quic::Block { "block" } else { "observe" });
                if !forwards() {
                    eprint_line(
                        "overhear intercept: this machine forwards no packets, so devices reach nothing but TCP (sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1)",
                    );
                }
                tasks.spawn(async move { gateway.serve_transparent(listener).await });
            }
            Way::Listen(addr) => {
                let listener = tokio::net::TcpListener::bind(addr)
                    .await
                    .map_err(|e| Fault::new(format!("cannot listen on {addr}: {e}"), "choose another address or port"))?;
                if !reins.quiet {
                    let addr = listener.local_addr().map_err(|e| failed(&e))?;
                    eprint_line(&format!("overhear intercept: set the device's HTTPS proxy to {addr}"));
                }
                let resolve = |host: String, port| async move { entrance::resolve(&host, port).await };
                tasks.spawn(async move { gateway.serve_explicit(listener, resolve).await });
            }
        }
        let gateway = reins.gateway.clone();
        tasks.spawn(async move { gateway.housekeep().await });
        let told = self.wait(reins).await;
        reins.gateway.pause(true);
        reins.gateway.conclude(LAST_WORDS).await;
        if let Some((packets, bytes)) = reins.table.others().filter(|(packets, _)| *packets > 0) {
            reins.gateway.standing("other-devices", &format!("{packets} packets, {bytes} bytes forwarded and not looked at"));
        }
        let relayed = reins.gateway.counted().others;
        if relayed > 0 {
            reins.gateway.standing("other-connections", &format!("{relayed} relayed and not looked at"));
        }
        reins.table.drop_now();
        tasks.shutdown().await;
        Ok(told)
    }

    async fn wait(&self, reins: &Reins) -> Option<String> {
        let began = Instant::now();
        let mut said = String::new();
        loop {
            let left = self.duration.map(|d| d.saturating_sub(began.elapsed()));
            tokio::select! {
                () = reins.let_go() => {}
                () = tokio::time::sleep(left.map_or(SAY_EVERY, |left| left.min(SAY_EVERY))) => {}
            }
            if reins.broken() {
                return Some("overhear intercept: the journal cannot be written any more; what was written is kept".to_owned());
            }
            let open = open(reins);
            if reins.stopped() {
                reins.gateway.standing("operator", "ended the run");
                return Some(format!("overhear intercept: ended by the operator; {open} answers stay open"));
            }
            if self.duration.is_some_and(|d| began.elapsed() >= d) {
                return (open > 0).then(|| format!("overhear intercept: the time is up; {open} answers stay open"));
            }
            let now = state(reins, open);
            if !reins.quiet && now != said {
                eprint_line(&format!("{:>5} s: {now}", began.elapsed().as_secs()));
                said = now;
            }
        }
    }
}

/// Answers that another attempt could still give.
fn open(reins: &Reins) -> usize {
    let gateway = &reins.gateway;
    gateway.devices_seen().into_iter().flat_map(|d| gateway.undecided(d)).map(|(_, _, attacks)| attacks.len()).sum()
}

fn state(reins: &Reins, open: usize) -> String {
    let gateway = &reins.gateway;
    let devices = gateway.devices_seen();
    let peers: BTreeSet<(String, u16)> = devices.iter().flat_map(|d| gateway.peers_seen(*d)).collect();
    let connections = gateway.counted().accepted - gateway.counted().others;
    format!("{} devices, {} TLS peers, {connections} connections, {open} answers open", devices.len(), peers.len())
}

fn forwards() -> bool {
    is_on("/proc/sys/net/ipv4/ip_forward") || is_on("/proc/sys/net/ipv6/conf/all/forwarding")
}

fn is_on(path: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.trim() != "0")
}

/// Whether the firewall handles a bridge's frames before the bridge has them: then each connection is seen as it was and as it was redirected.
fn is_filtered_bridge(interface: &str) -> bool {
    let filtered = |family| is_on(&format!("/proc/sys/net/bridge/bridge-nf-call-{family}"));
    Path::new("/sys/class/net").join(interface).join("bridge").is_dir() && (filtered("iptables") || filtered("ip6tables"))
}
