//! The lab's map, raised and torn down: devices – gateway – Internet.
//!
//! ```text
//!  dut0: eth0 10.77.0.10, fd77::10 ─┐ dut0
//!  dut1: eth0 10.77.0.11, fd77::11 ─┤ dut1   bridge `dut`              veth `wan`                    veth `isp`
//!  …                                ├─────── 10.77.0.1, fd77::1 ═ GW ═ 10.78.0.1, fd78::1 ────────── 10.78.0.2, fd78::2
//!  a tap, if asked for             ─┘                                                                every other address
//! ```
//! The gateway is the process itself; it forwards and does nothing else: what happens to the packets between `dut` and
//! `wan` is the proxy's business. On the Internet side *every* address is local (AnyIP), so that one set of listeners
//! answers for whatever address a device calls, and every port that has no service of its own leads to one that answers in what it hears.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;

use crate::Fault;
use crate::anycast;
use crate::authority::Authority;
use crate::doors::{Doors, Service, accept, services};
use crate::dut::{self, Dut, Home};
use crate::elsewhere;
use crate::leases::Leases;
use crate::names::Names;
use crate::netns::Netns;
use crate::origin::{Manner, Origin};
use crate::store::Store;
use crate::toys::Trust;

/// What world to raise.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Devices that can run at the same time, each with its own addresses ([`MOST`] at most).
    pub parallel: u8,
    /// What `OVERHEAR_HOST` says; every other name resolves as well.
    pub host: String,
    /// Names with an address of the user's choice.
    pub overrides: Vec<(String, IpAddr)>,
    /// Names whose files come from a folder.
    pub folders: Vec<(String, PathBuf)>,
    /// Authorities the device trusts beside the lab's public root.
    pub anchors: Vec<CertificateDer<'static>>,
    /// TLS ports beside 443.
    pub tls_ports: Vec<u16>,
    /// TCP ports of the lab's Internet that are left to listeners of one's own ([`World::internet`]).
    pub own_ports: Vec<u16>,
    pub manner: Manner,
    /// A tap interface of this name on the devices' bridge, for an emulator or a board.
    pub tap: Option<String>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            parallel: 1,
            host: "shop.test".into(),
            overrides: Vec::new(),
            folders: Vec::new(),
            anchors: Vec::new(),
            tls_ports: Vec::new(),
            own_ports: Vec::new(),
            manner: Manner::default(),
            tap: None,
        }
    }
}

/// A raised world. Dropping it takes everything down.
#[derive(Debug)]
pub struct World {
    spec: Spec,
    authority: Arc<Authority>,
    origin: Origin,
    names: Names,
    leases: Leases,
    duts: Vec<Dut>,
    home: Arc<Home>,
    stores: AtomicU64,
    ports: Ports,
    gateway: Option<Netns>,
    internet: Option<Netns>,
    runtime: Option<Runtime>,
    temporary: Option<PathBuf>,
}

/// Where the origins listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// In the lab's Internet, on every address.
    Internet,
    /// On the loopback of the machine: (port on the Internet, where it really is).
    Loopback(Vec<(u16, SocketAddr)>),
    /// Nowhere: they answer on pipes ([`World::doors`]).
    Memory,
}

impl World {
    /// Raises a world around this process, which must stand in [`crate::stage::Place::Gateway`].
    /// Blocks for some ten milliseconds; has its own threads for origins and resolver.
    pub fn raise(spec: Spec) -> Result<Self, Fault> {
        if spec.parallel == 0 || spec.parallel > MOST {
            return Err(Fault::new("raising the lab", format!("{} devices at once", spec.parallel), format!("choose 1 to {MOST}")));
        }
        let gateway = Netns::here("gateway")?;
        let internet = Netns::create("internet")?;
        let duts = (0..spec.parallel).map(|n| Netns::create(&format!("dut{n}")).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        wire(&spec, &gateway, &internet, &duts)?;
        let duts = |home: &Arc<Home>| {
            let dut = |(number, netns)| {
                let number = number as u8;
                Dut { number, v4: dut_v4(number), v6: Some(dut_v6(number)), home: Arc::clone(home), netns: Some(netns) }
            };
            duts.into_iter().enumerate().map(dut).collect()
        };
        let mut world = Self::furnish(spec, PathBuf::from(HOME), duts)?;
        world.open_internet(&internet)?;
        world.serve_leases(&gateway)?;
        world.lay_files()?;
        world.gateway = Some(gateway);
        world.internet = Some(internet);
        Ok(world)
    }

    /// The middle rung: origins on the machine's loopback, devices are ordinary programs that are told of a proxy.
    pub fn loopback(spec: Spec) -> Result<Self, Fault> {
        let dir = temporary()?;
        let parallel = spec.parallel.max(1);
        let duts = |home: &Arc<Home>| {
            (0..parallel).map(|number| Dut { number, v4: Ipv4Addr::LOCALHOST, v6: None, home: Arc::clone(home), netns: None }).collect()
        };
        let mut world = Self::furnish(spec, dir.clone(), duts)?;
        world.temporary = Some(dir);
        world.open_loopback()?;
        Ok(world)
    }

    /// The lowest rung: origins and a toy device in this process, and pipes between them.
    pub fn memory(spec: Spec) -> Result<Self, Fault> {
        let dir = temporary()?;
        let dut = |home: &Arc<Home>| vec![Dut { number: 0, v4: dut_v4(0), v6: None, home: Arc::clone(home), netns: None }];
        let mut world = Self::furnish(spec, dir.clone(), dut)?;
        world.temporary = Some(dir);
        world.ports = Ports::Memory;
        Ok(world)
    }

    fn furnish(spec: Spec, dir: PathBuf, duts: impl FnOnce(&Arc<Home>) -> Vec<Dut>) -> Result<Self, Fault> {
        let authority = Arc::new(Authority::new(OffsetDateTime::now_utc())?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("lab")
            .enable_all()
            .build()
            .map_err(Fault::odd("starting the lab's threads"))?;
        let home = Arc::new(Home { dir, binds: Mutex::default(), env: Mutex::default(), runs: AtomicU64::new(0) });
        let names = Names::new(spec.overrides.iter().cloned());
        let world = Self {
            origin: Origin::serving(Arc::clone(&authority), spec.manner.clone(), spec.folders.iter().cloned(), Some(names.clone())),
            names,
            leases: Leases::new(GATEWAY_V4, RESOLVER_V4, LEASED),
            duts: duts(&home),
            stores: AtomicU64::new(0),
            ports: Ports::Internet,
            gateway: None,
            internet: None,
            runtime: Some(runtime),
            temporary: None,
            spec,
            authority,
            home,
        };
        world.trust(&world.spec.anchors)?;
        Ok(world)
    }

    /// From the next run on the devices trust the lab's public root and exactly these.
    pub fn trust(&self, anchors: &[CertificateDer<'_>]) -> Result<(), Fault> {
        let dir = self.home.dir.join(format!("trust-{}", self.stores.fetch_add(1, Ordering::Relaxed)));
        let all: Vec<CertificateDer<'_>> = std::iter::once(self.authority.root().clone()).chain(anchors.iter().cloned()).collect();
        let store = Store::write(&dir, &all)?;
        let mut binds: Vec<(PathBuf, PathBuf)> = vec![(store.dir.clone(), "/etc/ssl/certs".into())];
        binds.extend(BUNDLES.iter().map(|over| (store.bundle.clone(), PathBuf::from(over))));
        binds.extend(java_stores().into_iter().map(|over| (store.java.clone(), over)));
        for file in ["resolv.conf", "hosts", "nsswitch.conf"] {
            binds.push((self.home.dir.join(file), Path::new("/etc").join(file)));
        }
        let mut env: Vec<(String, OsString)> = BUNDLE_NAMES.iter().map(|name| ((*name).to_owned(), store.bundle.clone().into())).collect();
        env.push(("SSL_CERT_DIR".into(), store.dir.clone().into()));
        env.push(("OVERHEAR_HOST".into(), self.spec.host.clone().into()));
        env.push(("OVERHEAR_ORIGIN_SPKI".into(), self.authority.leaf(&self.spec.host)?.pin.clone().into()));
        *self.home.binds.lock().unwrap_or_else(PoisonError::into_inner) = binds;
        *self.home.env.lock().unwrap_or_else(PoisonError::into_inner) = env;
        Ok(())
    }

    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The devices, `spec.parallel` of them.
    pub fn duts(&self) -> &[Dut] {
        &self.duts
    }

    /// The lab's public authority; a gateway verifies upstream against its root.
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    pub fn names(&self) -> &Names {
        &self.names
    }

    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// The Internet's namespace, where there is one: for listeners of one's own, on [`Spec::own_ports`].
    pub fn internet(&self) -> Option<&Netns> {
        self.internet.as_ref()
    }

    /// The gateway's namespace, where there is one. It is the one this process is in.
    pub fn gateway(&self) -> Option<&Netns> {
        self.gateway.as_ref()
    }

    /// Where to connect to reach `host:port` from the gateway, on either rung.
    pub fn upstream(&self, host: &str, port: u16) -> Vec<SocketAddr> {
        match &self.ports {
            Ports::Internet => {
                let addresses = host.trim_matches(['[', ']']).parse().map_or_else(|_| self.names.addresses(host), |address| vec![address]);
                addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()
            }
            Ports::Memory => Vec::new(),
            Ports::Loopback(ports) => ports.iter().filter(|(outside, _)| *outside == port).map(|(_, inside)| *inside).collect(),
        }
    }

    /// The origins, for who calls them from this process.
    pub fn doors(&self) -> Doors {
        let runtime = self.runtime.as_ref().map(|runtime| runtime.handle().clone());
        Doors::new(self.origin.clone(), services(&self.spec), runtime)
    }

    /// What a toy in this process trusts and knows.
    pub fn toy_trust(&self) -> Result<Trust, Fault> {
        let pin = self.authority.leaf(&self.spec.host)?.pin.clone();
        Ok(Trust { public: vec![self.authority.root().clone()], added: self.spec.anchors.clone(), pin: Some(pin) })
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(task);
        }
    }

    /// Registers a std listener made elsewhere with our runtime.
    fn listener(&self, listener: std::net::TcpListener) -> Result<TcpListener, Fault> {
        let what = "listening in the lab";
        listener.set_nonblocking(true).map_err(Fault::odd(what))?;
        let _guard = self.runtime.as_ref().map(Runtime::enter);
        TcpListener::from_std(listener).map_err(Fault::odd(what))
    }

    fn datagrams(&self, socket: std::net::UdpSocket) -> Result<Arc<UdpSocket>, Fault> {
        let what = "listening in the lab";
        socket.set_nonblocking(true).map_err(Fault::odd(what))?;
        let _guard = self.runtime.as_ref().map(Runtime::enter);
        UdpSocket::from_std(socket).map(Arc::new).map_err(Fault::odd(what))
    }

    fn open_internet(&self, internet: &Netns) -> Result<(), Fault> {
        for (port, service) in services(&self.spec) {
            let listener = internet.within(|| listen(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)))?;
            self.spawn(accept(self.listener(listener)?, self.origin.clone(), service));
        }
        let mut own: Vec<u16> = services(&self.spec).iter().map(|(port, _)| *port).collect();
        own.push(53);
        own.extend(&self.spec.own_ports);
        let listener = internet.within(|| {
            elsewhere::lead(&own)?;
            listen(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), elsewhere::PORT))
        })?;
        self.spawn(accept(self.listener(listener)?, self.origin.clone(), Service::Elsewhere));
        // Every address is a resolver, for devices that bring their own.
        for any in [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)] {
            let socket = internet.within(|| anycast::open(SocketAddr::new(any, 53)))?;
            let names = self.names.clone();
            let socket = self.datagrams(socket)?;
            self.spawn(async move { anycast::serve(socket, |message, from| names.answer(message, from, false)).await });
        }
        let listener = internet.within(|| listen(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 53)))?;
        self.spawn(self.names.clone().serve_tcp(self.listener(listener)?));
        Ok(())
    }

    fn open_loopback(&mut self) -> Result<(), Fault> {
        let mut ports = Vec::new();
        for (port, service) in services(&self.spec) {
            let listener = listen(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0))?;
            ports.push((port, listener.local_addr().map_err(Fault::odd("listening in the lab"))?));
            self.spawn(accept(self.listener(listener)?, self.origin.clone(), service));
        }
        self.ports = Ports::Loopback(ports);
        Ok(())
    }

    fn serve_leases(&self, gateway: &Netns) -> Result<(), Fault> {
        let socket = gateway.within(|| Leases::socket(DUT))?;
        self.spawn(self.leases.clone().serve(self.datagrams(socket)?));
        Ok(())
    }

    /// What /etc says in the lab, for the devices and for the gateway's own look-ups.
    fn lay_files(&self) -> Result<(), Fault> {
        let what = "writing the lab's files";
        let write = |name: &str, text: &str| {
            let path = self.home.dir.join(name);
            fs::write(&path, text).map(|()| (path, Path::new("/etc").join(name))).map_err(Fault::odd(what))
        };
        let switch = fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
        let switch: String =
            switch.lines().filter(|line| !line.trim_start().starts_with("hosts:")).fold(String::new(), |mut text, line| {
                let _ = writeln!(text, "{line}");
                text
            });
        let binds = [
            write("resolv.conf", &format!("nameserver {RESOLVER_V4}\nnameserver {RESOLVER_V6}\noptions timeout:2 attempts:2\n"))?,
            write("hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")?,
            write("nsswitch.conf", &format!("{switch}hosts: files dns\n"))?,
        ];
        dut::lay_here(&binds)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        if let Some(gateway) = &self.gateway {
            // The kernel takes down a namespace's links some time after the namespace; a next world wants the names now.
            for link in
                self.duts.iter().filter_map(|dut| Some(dut.netns.as_ref()?.name())).chain([WAN, DUT]).chain(self.spec.tap.as_deref())
            {
                let _ = gateway.ip(&format!("link delete {link}\n"));
            }
        }
        if let Some(dir) = self.temporary.take() {
            let _ = fs::remove_dir_all(dir);
        }
    }
}

/// A folder for the files of a world without namespaces.
fn temporary() -> Result<PathBuf, Fault> {
    let dir = std::env::temp_dir().join(format!("overhear-lab-{}-{}", std::process::id(), WORLDS.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&dir).map_err(|error| Fault::new(format!("making {}", dir.display()), error, "point TMPDIR at a writable directory"))?;
    Ok(dir)
}

/// Both families when the address is `::`.
fn listen(address: SocketAddr) -> Result<std::net::TcpListener, Fault> {
    use socket2::{Domain, Protocol, Socket, Type};
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED) {
            socket.set_only_v6(false)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok::<_, std::io::Error>(socket.into())
    };
    open().map_err(Fault::odd(format!("listening on {address} in the lab")))
}

/// Lays the cables and switches the kernels' knobs.
fn wire(spec: &Spec, gateway: &Netns, internet: &Netns, duts: &[Arc<Netns>]) -> Result<(), Fault> {
    // Duplicate address detection would keep every address waiting for a second or two.
    let quick = [("ipv6/conf/all/accept_dad", "0"), ("ipv6/conf/default/accept_dad", "0"), ("ipv6/conf/default/accept_ra", "0")];
    for netns in duts.iter().map(Arc::as_ref).chain([gateway, internet]) {
        netns.switch(&quick)?;
    }
    // Where the kernel filters bridged packets too, the redirect would be seen by a capture of the bridge: it must see what the devices sent.
    gateway.switch(&[
        ("bridge/bridge-nf-call-iptables", "0"),
        ("bridge/bridge-nf-call-ip6tables", "0"),
        ("bridge/bridge-nf-call-arptables", "0"),
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        // A gateway that tells devices to go elsewhere is out of the path.
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/default/send_redirects", "0"),
        // Nor does it tell them of its own groups, at a random moment of the first seconds: it would look like one more device.
        ("ipv4/igmp_link_local_mcast_reports", "0"),
    ])?;
    // AnyIP makes every IPv6 address local to arriving packets; this lets sockets use them as sources, too.
    internet.switch(&[("ipv6/ip_nonlocal_bind", "1"), ("ipv4/ip_nonlocal_bind", "1")])?;
    let mut batch = format!(
        "link set lo up\n\
         link add {DUT} type bridge\n\
         link set {DUT} type bridge stp_state 0\n\
         link set {DUT} up\n\
         address add {GATEWAY_V4}/24 dev {DUT}\n\
         address add {GATEWAY_V6}/64 dev {DUT} nodad\n\
         link add {WAN} type veth peer name {ISP} netns {}\n\
         link set {WAN} up\n\
         address add {WAN_V4}/30 dev {WAN}\n\
         address add {WAN_V6}/64 dev {WAN} nodad\n",
        internet.path().display()
    );
    for netns in duts {
        let port = netns.name();
        let _ = write!(
            batch,
            "link add {port} type veth peer name {ETH} netns {}\n\
             link set {port} master {DUT}\n\
             link set {port} type bridge_slave isolated on\n\
             link set {port} up\n",
            netns.path().display()
        );
    }
    gateway.ip(&batch)?;
    if let Some(tap) = &spec.tap {
        let batch = format!("tuntap add dev {tap} mode tap\nlink set {tap} master {DUT}\nlink set {tap} up\n");
        gateway.ip(&batch).map_err(|fault| {
            Fault::new(format!("making the tap {tap}"), fault.why, "give this user access to /dev/net/tun, or run as root")
        })?;
    }
    internet.ip(&format!(
        "link set {ISP} up\n\
         address add {ISP_V4}/30 dev {ISP}\n\
         address add {ISP_V6}/64 dev {ISP} nodad\n\
         route add 10.78.0.0/30 dev {ISP} scope link table local\n\
         route add {DUTS_V4} via {WAN_V4} dev {ISP} table local\n\
         route add local 0.0.0.0/0 dev lo table local\n\
         route add fe80::/64 dev {ISP} table local\n\
         route add fd78::/64 dev {ISP} table local\n\
         route add {DUTS_V6} via {WAN_V6} dev {ISP} table local\n\
         route add local ::/0 dev lo table local\n"
    ))?;
    gateway.ip(&format!("route add default via {ISP_V4} dev {WAN}\nroute add default via {ISP_V6} dev {WAN}\n"))?;
    for (number, netns) in duts.iter().enumerate() {
        netns.ip(&format!(
            "link set {ETH} up\n\
             address add {}/24 dev {ETH}\n\
             address add {}/64 dev {ETH} nodad\n\
             route add default via {GATEWAY_V4} dev {ETH}\n\
             route add default via {GATEWAY_V6} dev {ETH}\n",
            dut_v4(number as u8),
            dut_v6(number as u8)
        ))?;
    }
    Ok(())
}

fn dut_v4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 10 + number)
}

/// fd77::10 for 10.77.0.10: the same digits, read as hexadecimal.
fn dut_v6(number: u8) -> Ipv6Addr {
    let digits = u16::from(10 + number);
    Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, ((digits / 100) << 8) | ((digits / 10 % 10) << 4) | (digits % 10))
}

/// The gateway's interface towards the devices: capture and redirect here.
pub const DUT: &str = "dut";
/// The gateway's interface towards the Internet.
pub const WAN: &str = "wan";
const ISP: &str = "isp";
const ETH: &str = "eth0";
/// The gateway, as the devices see it.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
/// The networks of the devices.
pub const DUTS_V4: &str = "10.77.0.0/24";
pub const DUTS_V6: &str = "fd77::/64";
/// The gateway, as the Internet sees it.
pub const WAN_V4: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
pub const WAN_V6: Ipv6Addr = Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, 1);
const ISP_V4: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);
const ISP_V6: Ipv6Addr = Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, 2);
/// The resolver that devices are told of, out on the Internet (TEST-NET-1, documentation prefix), so that questions pass the gateway.
pub const RESOLVER_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
pub const RESOLVER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x53, 0, 0, 0, 0, 0x53);
/// Where a device gets a banner before it has said anything, in clear.
pub const BANNER_PORT: u16 = 2525;
/// Devices at once: 10.77.0.10 … .99; the bridge and /run bear far more than a test needs.
pub const MOST: u8 = 64;
/// Leases for what boots on the tap, clear of the devices' own addresses.
const LEASED: std::ops::RangeInclusive<u8> = 128..=250;
/// Files of the running world, in the lab's own /run.
pub(crate) const HOME: &str = "/run/overhear";
/// Where the families of Linux keep their bundle, beside /etc/ssl/certs (Go's crypto/x509 lists the same).
const BUNDLES: [&str; 5] = [
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];
/// Key stores of Javas that bring their own, beside that of Debian's below /etc/ssl/certs.
fn java_stores() -> Vec<PathBuf> {
    let homes = std::fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten().map(|entry| entry.path());
    let homes = homes.chain(std::env::var_os("JAVA_HOME").map(PathBuf::from));
    let mut stores: Vec<PathBuf> = homes
        .map(|home| home.join("lib/security/cacerts"))
        // What leads to Debian's is covered by it.
        .filter_map(|store| std::fs::canonicalize(store).ok())
        .filter(|store| store.is_file() && !store.starts_with("/etc/ssl/certs"))
        .collect();
    stores.push("/etc/pki/java/cacerts".into());
    stores.sort();
    stores.dedup();
    stores
}

/// How programs are told of a bundle.
const BUNDLE_NAMES: [&str; 10] = [
    "OVERHEAR_CA_FILE",
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "AWS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "DENO_CERT",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
];
/// A pause after a failed accept (out of descriptors, most likely).
pub(crate) const BREATH: Duration = Duration::from_millis(50);
const BACKLOG: i32 = 4096;
static WORLDS: AtomicU64 = AtomicU64::new(0);
