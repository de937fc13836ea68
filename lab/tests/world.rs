//! The lab as it is used: raised in fresh namespaces, as root and as an ordinary user, asked from inside, and gone afterwards.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::unnecessary_wraps, reason = "tests")]

use std::ffi::OsString;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use tokio::signal::unix::SignalKind;

use lab::dut::{Exit, Order, Run};
use lab::stage::{self, Place};
use lab::toys::Visit;
use lab::world::{RESOLVER_V4, RESOLVER_V6, Spec, World};

type Test = (&'static str, fn());

const INSIDE: &[Test] = &[
    ("origins_answer_on_both_families", origins_answer_on_both_families),
    ("only_the_labs_root_and_the_anchors_are_trusted", only_the_labs_root_and_the_anchors_are_trusted),
    ("every_port_answers", every_port_answers),
    ("every_name_resolves", every_name_resolves),
    ("a_booting_device_gets_a_lease", a_booting_device_gets_a_lease),
    ("runs_side_by_side_have_their_own_sources", runs_side_by_side_have_their_own_sources),
    ("a_run_ends_with_all_its_children", a_run_ends_with_all_its_children),
    ("outputs_are_bounded", outputs_are_bounded),
    ("toys_live_in_the_lab", toys_live_in_the_lab),
    ("two_worlds_after_another", two_worlds_after_another),
];

const OUTSIDE: &[Test] = &[
    ("exit_code_and_arguments_come_through", exit_code_and_arguments_come_through),
    ("nothing_is_left_behind", nothing_is_left_behind),
    ("the_loopback_rung_serves", the_loopback_rung_serves),
];

fn main() -> ExitCode {
    let stage = stage::enter();
    let args: Vec<&str> = stage.args.iter().skip(1).filter_map(|arg| arg.to_str()).collect();
    match (stage.place, args.as_slice()) {
        (Place::Outside, ["--move-in", rest @ ..]) => {
            let command = std::iter::once(stage.args[0].clone()).chain(rest.iter().map(OsString::from));
            panic!("{}", stage::move_in(&command.collect::<Vec<_>>()));
        }
        (Place::Gateway, ["--test", name]) => {
            INSIDE.iter().find(|(known, _)| known == name).unwrap().1();
            ExitCode::SUCCESS
        }
        (Place::Gateway, ["--hold", token]) => hold(token),
        (Place::Gateway, ["--exit", code, rest @ ..]) => {
            assert_eq!(rest, ["two words", ""]);
            ExitCode::from(code.parse::<u8>().unwrap())
        }
        (Place::Gateway, other) => panic!("{other:?}"),
        (Place::Outside, args) => all(args),
    }
}

/// Filters and flags of `cargo test` are honoured as far as they matter here.
fn all(args: &[&str]) -> ExitCode {
    if args.contains(&"--list") {
        return ExitCode::SUCCESS;
    }
    let wanted = |name: &str| args.iter().filter(|arg| !arg.starts_with('-')).all(|filter| name.contains(filter));
    if let Err(fault) = stage::move_in_possible() {
        println!("skipped: no namespaces here: {fault}");
        return ExitCode::SUCCESS;
    }
    if Command::new("ip").arg("-V").stdout(Stdio::null()).status().is_err() {
        println!("skipped: no `ip` here (Debian: apt install iproute2)");
        return ExitCode::SUCCESS;
    }
    let mut failed = false;
    let mut report = |name: &str, begun: Instant, good: bool| {
        println!("test {name} ... {} ({} ms)", if good { "ok" } else { "FAILED" }, begun.elapsed().as_millis());
        failed |= !good;
    };
    for user in users() {
        for (name, _) in INSIDE.iter().filter(|(name, _)| wanted(name)) {
            let begun = Instant::now();
            let status = user.command().args(["--move-in", "--test", name]).status().unwrap();
            report(&format!("{name} as {}", user.name()), begun, status.success());
        }
    }
    for (name, test) in OUTSIDE.iter().filter(|(name, _)| wanted(name)) {
        let begun = Instant::now();
        report(name, begun, std::panic::catch_unwind(test).is_ok());
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

#[derive(Clone, Copy)]
enum User {
    Me,
    Nobody,
    /// Where parts of /proc are hidden, as in a container: the lab must do without a pid namespace.
    NobodyHalfBlind,
}

/// Root tries both, where setpriv can step down and the ordinary user may make namespaces.
fn users() -> Vec<User> {
    let mut users = vec![User::Me];
    if nix::unistd::geteuid().is_root() {
        for user in [User::Nobody, User::NobodyHalfBlind] {
            let tried = user.command().args(["--move-in", "--exit", "0", "two words", ""]).stderr(Stdio::null()).status();
            if tried.is_ok_and(|status| status.success()) {
                users.push(user);
            } else {
                println!("note: not tried as {}: no namespaces for it here", user.name());
            }
        }
    }
    users
}

impl User {
    fn name(self) -> &'static str {
        match self {
            Self::Me if nix::unistd::geteuid().is_root() => "root",
            Self::Me => "an ordinary user",
            Self::Nobody => "nobody",
            Self::NobodyHalfBlind => "nobody without a whole /proc",
        }
    }

    /// This program, as that user.
    fn command(self) -> Command {
        match self {
            Self::Me => Command::new("/proc/self/exe"),
            Self::Nobody => {
                // By descriptor: the build directory need not be open to nobody.
                let mut command = Command::new("setpriv");
                command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy()).current_dir("/");
                command
            }
            Self::NobodyHalfBlind => {
                let script =
                    "mount -t tmpfs none /proc/driver && cd / && exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$0\" \"$@\"";
                let mut command = Command::new("unshare");
                command.args(["--mount", "sh", "-c", script]).arg(copy());
                command
            }
        }
    }
}

/// A copy of this program that everybody may run.
fn copy() -> OsString {
    let path = std::env::temp_dir().join(format!("overhear-lab-test-{}", std::process::id()));
    if !path.exists() {
        std::fs::copy("/proc/self/exe", &path).unwrap();
    }
    path.into()
}

fn world(parallel: u8) -> World {
    World::raise(Spec { parallel, ..Spec::default() }).unwrap_or_else(|fault| panic!("{fault}"))
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

fn run(world: &World, words: &[&str]) -> Run {
    wait(world.duts()[0].run(Order::new(words, Duration::from_secs(20)))).unwrap_or_else(|fault| panic!("{fault}"))
}

/// Standard output, trimmed; anything but exit code 0 is the test's failure.
fn output(world: &World, words: &[&str]) -> String {
    let run = run(world, words);
    assert_eq!(run.exit, Exit::Code(0), "{words:?}: {} {}", run.stdout.text(), run.stderr.text());
    run.stdout.text().trim().to_owned()
}

fn has(tool: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|dir| dir.join(tool).exists());
    if !found {
        println!("skipped: no {tool} here");
    }
    found
}

fn origins_answer_on_both_families() {
    if !has("curl") {
        return;
    }
    let world = world(1);
    for family in ["-4", "-6"] {
        for (url, version) in [("https://shop.test/", "2"), ("http://shop.test/", "1.1")] {
            let said = output(&world, &["curl", family, "-sS", "-m", "10", url, "-w", "%{http_version} %{local_ip}"]);
            let source = if family == "-4" { "10.77.0.10" } else { "fd77::10" };
            assert_eq!(said, format!("the honest origin of shop.test\n{version} {source}"), "{family} {url}");
        }
        assert_eq!(
            output(
                &world,
                &["curl", family, "-sS", "--http1.1", "https://a.shop.test/bytes/300000", "-o", "/dev/null", "-w", "%{size_download}"]
            ),
            "300000"
        );
    }
    let said = output(&world, &["curl", "-sS", "https://8.8.8.8/"]);
    assert_eq!(said, "the honest origin of 8.8.8.8", "an address has a certificate, too");
    assert_eq!(output(&world, &["curl", "-sS", "-d", "x=1", "https://shop.test/echo"]), "x=1");
    assert_eq!(
        output(&world, &["curl", "-sS", "-o", "/dev/null", "-w", "%{redirect_url}", "http://b.test/redirect?to=https%3A%2F%2Fa.test%2F"]),
        "https://a.test/"
    );
    let banner = run(&world, &["curl", "-sS", "-m", "1", "telnet://b.test:2525"]);
    assert_eq!(banner.stdout.bytes, lab::origin::BANNER, "{}", banner.stderr.text());
    let pin = world.authority().leaf("shop.test").unwrap().pin.clone();
    output(&world, &["curl", "-sS", "--pinnedpubkey", &format!("sha256//{pin}"), "https://shop.test/"]);
    output(&world, &["sh", "-c", "curl -sS --pinnedpubkey sha256//$OVERHEAR_ORIGIN_SPKI https://$OVERHEAR_HOST/"]);
    let seen = world.origin().seen();
    assert!(seen.iter().any(|seen| seen.name == "shop.test" && seen.target == "/echo" && seen.body == b"x=1"), "{seen:?}");
    assert!(world.origin().tally().handshakes >= 6);
}

/// TLS and clear HTTP on ports that nobody set up, and the server is who it was called as.
fn every_port_answers() {
    if !has("curl") {
        return;
    }
    let world = world(1);
    for family in ["-4", "-6"] {
        for (url, name) in [("https://shop.test:8443/", "shop.test"), ("http://shop.test:8080/", "shop.test:8080")] {
            let said = output(&world, &["curl", family, "-sS", "-m", "10", url]);
            assert_eq!(said, format!("the honest origin of {name}"), "{family} {url}");
        }
    }
    // A protocol that this server does not have (RFC 7301) is no reason to send anybody away.
    let said = output(&world, &["curl", "--http1.0", "-sS", "-m", "10", "https://shop.test/"]);
    assert_eq!(said, "the honest origin of shop.test");
    // Without a name in the hello, the address that was called says whose server is meant.
    for address in world.upstream("cloud.test", 9443) {
        let url = format!("https://{address}/");
        assert_eq!(output(&world, &["curl", "-k", "-sS", "-m", "10", &url]), "the honest origin of cloud.test", "{url}");
    }
    // Who waits is greeted.
    let banner = ["curl", "-sS", "-m", "2", "telnet://shop.test:110"];
    assert_eq!(run(&world, &banner).stdout.text().trim(), "220 overhear-lab ready");
    if has("openssl") {
        let waits = "sleep 2 | openssl s_client -quiet -no_ign_eof -connect shop.test:465 2>/dev/null";
        assert_eq!(output(&world, &["sh", "-c", waits]), "220 overhear-lab ready", "under TLS");
    }
}

fn only_the_labs_root_and_the_anchors_are_trusted() {
    if !has("curl") {
        return;
    }
    let world = World::raise(Spec { own_ports: vec![4443], ..Spec::default() }).unwrap_or_else(|fault| panic!("{fault}"));
    let stranger = lab::authority::Authority::new(time::OffsetDateTime::now_utc()).unwrap();
    // A server whose chain leads to somebody unknown, at port 4443 of every address.
    let listener = world.internet().unwrap().within(|| Ok(std::net::TcpListener::bind("[::]:4443").unwrap())).unwrap();
    let root = stranger.root().clone();
    serve_in_background(listener, lab::origin::Origin::new(std::sync::Arc::new(stranger), lab::origin::Manner::default()));
    let ask = |clean: &str, port: u16| run(&world, &["sh", "-c", &format!("{clean} curl -sS https://shop.test:{port}/")]).exit;
    // By environment, and by the system's files alone.
    for clean in ["", "env -u SSL_CERT_FILE -u CURL_CA_BUNDLE"] {
        assert_eq!(ask(clean, 443), Exit::Code(0));
        assert_eq!(ask(clean, 4443), Exit::Code(60), "curl's code for a certificate it does not trust");
    }
    assert_eq!(output(&world, &["sh", "-c", "cat $OVERHEAR_CA_FILE /etc/ssl/certs/ca-certificates.crt | grep -c BEGIN"]), "2");
    world.trust(&[root]).unwrap();
    for clean in ["", "env -u SSL_CERT_FILE -u CURL_CA_BUNDLE"] {
        assert_eq!((ask(clean, 443), ask(clean, 4443)), (Exit::Code(0), Exit::Code(0)));
    }
    assert_eq!(output(&world, &["sh", "-c", "grep -c BEGIN $OVERHEAR_CA_FILE"]), "2");
    if has("openssl") {
        let hash = output(&world, &["sh", "-c", "openssl x509 -in $OVERHEAR_CA_FILE -noout -hash"]);
        let listed = output(&world, &["ls", "/etc/ssl/certs"]);
        assert!(listed.contains(&format!("{hash}.0")) && listed.contains(&format!("{hash}.1")), "{hash} not in {listed}");
        let verified = output(
            &world,
            &[
                "sh",
                "-c",
                "env -u SSL_CERT_FILE openssl s_client -connect shop.test:443 -servername shop.test -verify_return_error -CApath /etc/ssl/certs </dev/null 2>&1",
            ],
        );
        assert!(verified.contains("Verify return code: 0"), "{verified}");
        // Without SNI the name that the address was given out for.
        let unnamed =
            "openssl s_client -connect shop.test:443 -noservername -verify_hostname shop.test -verify_return_error </dev/null 2>&1";
        let unnamed = output(&world, &["sh", "-c", unnamed]);
        assert!(unnamed.contains("Verify return code: 0"), "{unnamed}");
    }
}

fn serve_in_background(listener: std::net::TcpListener, origin: lab::origin::Origin) {
    std::thread::spawn(move || {
        wait(async move {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, from)) = listener.accept().await {
                let origin = origin.clone();
                tokio::spawn(async move { origin.serve_tls(stream, from.ip()).await });
            }
        });
    });
}

fn every_name_resolves() {
    let world = world(1);
    let said = output(&world, &["getent", "ahosts", "quite.unheard-of.example"]);
    for address in world.names().addresses("quite.unheard-of.example") {
        assert!(said.contains(&address.to_string()), "{address} in {said}");
    }
    assert!(world.names().counts().0 >= 2);
    let asked = world.names().asked();
    assert!(asked.iter().any(|asked| asked.name == "quite.unheard-of.example" && asked.from == IpAddr::from([10, 77, 0, 10])), "{asked:?}");
    // Over TCP, on the resolver's IPv6 address, and at resolvers that a device might bring along.
    let question = b"\x00\x18\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x04test\x00\x00\x01\x00\x01".as_slice();
    let others = ["8.8.8.8", "2620:fe::9"].map(|address| address.parse::<IpAddr>().unwrap());
    for resolver in [RESOLVER_V4.into(), RESOLVER_V6.into()].into_iter().chain(others) {
        let answer = world.duts()[0]
            .netns()
            .unwrap()
            .within(|| {
                use std::io::Write;
                let mut stream = std::net::TcpStream::connect(SocketAddr::new(resolver, 53)).unwrap();
                stream.write_all(question).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let mut answer = [0; 14];
                stream.read_exact(&mut answer).unwrap();
                let socket =
                    std::net::UdpSocket::bind(SocketAddr::new(if resolver.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() }, 0))
                        .unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                socket.connect((resolver, 53)).unwrap();
                socket.send(&question[2..]).unwrap();
                let mut datagram = [0; 512];
                let length = socket.recv(&mut datagram).unwrap();
                assert_eq!(datagram[..12], answer[2..]);
                assert!(length > 12);
                Ok(answer)
            })
            .unwrap();
        assert_eq!(answer[2..10], [0, 7, 0x85, 0x80, 0, 1, 0, 1], "{resolver}");
    }
    // The gateway itself asks the same resolver.
    let address = std::net::ToSocketAddrs::to_socket_addrs(&("shop.test", 443)).unwrap().next().unwrap();
    assert!(world.upstream("shop.test", 443).contains(&address), "{address}");
}

fn a_booting_device_gets_a_lease() {
    let world = world(1);
    world.duts()[0]
        .netns()
        .unwrap()
        .within(|| {
            let mut discover = vec![0; 236];
            discover[..8].copy_from_slice(&[1, 1, 6, 0, 9, 9, 9, 9]);
            discover[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 7]);
            discover.extend([99, 130, 83, 99, 53, 1, 1, 12, 4, b'a', b'n', b'n', b'a', 255]);
            let socket = std::net::UdpSocket::bind("0.0.0.0:68").unwrap();
            socket.set_broadcast(true).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            socket.send_to(&discover, "255.255.255.255:67").unwrap();
            let mut offer = [0; 600];
            let (length, from) = socket.recv_from(&mut offer).unwrap();
            assert!(length >= 300);
            assert_eq!((from.ip(), &offer[16..20]), (IpAddr::from([10, 77, 0, 1]), [10, 77, 0, 128].as_slice()));
            Ok(())
        })
        .unwrap();
    assert_eq!(world.leases().all()[0].host_name.as_deref(), Some(b"anna".as_slice()));
}

fn runs_side_by_side_have_their_own_sources() {
    if !has("curl") {
        return;
    }
    let world = world(4);
    let begun = Instant::now();
    let runs = wait(async {
        let runs = world.duts().iter().cloned().map(|dut| {
            let words = ["sh", "-c", "sleep 0.7; curl -4 -sS -o /dev/null -w '%{local_ip} ' https://shop.test/ && curl -6 -sS -o /dev/null -w %{local_ip} https://shop.test/"];
            tokio::spawn(async move { dut.run(Order::new(words, Duration::from_secs(20))).await })
        });
        let mut done = Vec::new();
        for run in runs.collect::<Vec<_>>() {
            done.push(run.await.unwrap().unwrap());
        }
        done
    });
    let said: Vec<_> = runs.iter().map(|run| run.stdout.text().into_owned()).collect();
    assert_eq!(said, ["10.77.0.10 fd77::10", "10.77.0.11 fd77::11", "10.77.0.12 fd77::12", "10.77.0.13 fd77::13"]);
    assert!(begun.elapsed() < Duration::from_millis(2500), "one after the other? {:?}", begun.elapsed());
}

fn a_run_ends_with_all_its_children() {
    let world = world(1);
    for (words, timeout, expect, left_running) in [
        ("exit 7", 5000, Exit::Code(7), false),
        ("kill -TERM $$", 5000, Exit::Signal(15), false),
        ("sleep 777", 300, Exit::TimedOut, true),
        // Left in the background, in a session of its own: what ends soon is waited for.
        ("setsid sleep 0.5 & exit 4", 9000, Exit::Code(4), false),
        // And deaf to signals.
        ("setsid sh -c 'trap \"\" TERM HUP INT; sleep 777' & exit 3", 9000, Exit::Code(3), true),
        ("trap '' TERM INT HUP; setsid sleep 777 & sleep 777", 300, Exit::TimedOut, true),
    ] {
        let begun = Instant::now();
        let run = wait(world.duts()[0].run(Order::new(["sh", "-c", words], Duration::from_millis(timeout)))).unwrap();
        assert_eq!(run.exit, expect, "{words}: {}", run.stderr.text());
        assert_eq!(run.left_running, left_running, "{words}");
        assert!(begun.elapsed() < lab::dut::LINGER + Duration::from_secs(2), "{words} took {:?}", begun.elapsed());
        assert!(run.started <= run.ended);
        assert_eq!(sleepers(), 0, "{words}");
    }
    let missing = wait(world.duts()[0].run(Order::new(["/no/such/program"], Duration::from_secs(5)))).unwrap();
    assert!(matches!(missing.exit, Exit::NotStarted(_)), "{missing:?}");
    // Given up half-way.
    wait(async {
        let run = world.duts()[0].run(Order::new(["sh", "-c", "setsid sleep 777 & sleep 777"], Duration::from_secs(60)));
        assert!(tokio::time::timeout(Duration::from_millis(300), run).await.is_err());
    });
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(sleepers(), 0, "after giving up");
}

/// Processes whose command line has our odd number.
fn sleepers() -> usize {
    let lines = std::fs::read_dir("/proc").unwrap().filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|byte| *byte == 0).any(|word| word == b"777")).count()
}

fn outputs_are_bounded() {
    let world = world(1);
    let run = run(&world, &["sh", "-c", "head -c 3000000 /dev/zero; printf end; printf err >&2"]);
    assert_eq!((run.stdout.total, run.stdout.bytes.len()), (3_000_003, lab::dut::TAIL));
    assert!(run.stdout.bytes.ends_with(b"\0end"));
    assert_eq!(run.stderr.text(), "err");
}

fn toys_live_in_the_lab() {
    let world = world(1);
    for (name, visits) in [("strict-phone", 3), ("careless-phone", 4), ("pinned-app", 2), ("version-tls11", 1), ("added-anchor-sibling", 2)]
    {
        let run = wait(world.duts()[0].run(Order::new(lab::toys::command(name, "shop.test"), Duration::from_secs(20)))).unwrap();
        assert_eq!(run.exit, Exit::Code(0), "{name}: {} {}", run.stdout.text(), run.stderr.text());
        let lines: Vec<Visit> = run.stdout.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), visits, "{name}");
    }
    assert!(world.leases().all().iter().any(|lease| lease.host_name.as_deref() == Some(b"Anna-Quists-Phone".as_slice())));
    assert!(world.origin().seen().iter().any(|seen| seen.target.starts_with("/v1/report?imei=") && seen.tls.is_none()));
}

fn two_worlds_after_another() {
    for _ in 0..2 {
        let world = world(2);
        output(&world, &["getent", "hosts", "a.test"]);
    }
}

fn exit_code_and_arguments_come_through() {
    for code in [0, 7, 3] {
        let status = User::Me.command().args(["--move-in", "--exit", &code.to_string(), "two words", ""]).status().unwrap();
        assert_eq!(status.code(), Some(code));
    }
}

/// A raised world with a stubborn device, until somebody ends it. An interrupt ends it in good order, with code 42.
/// `token` marks all processes of this run.
fn hold(token: &str) -> ExitCode {
    let world = world(2);
    wait(async {
        let run = world.duts()[1].run(Order::new(
            ["sh", "-c", &format!("trap '' TERM INT HUP; setsid sleep {token} & sleep {token}")],
            Duration::from_secs(600),
        ));
        let listen = |kind| tokio::signal::unix::signal(kind).unwrap();
        let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt()), listen(SignalKind::terminate()));
        println!("up");
        tokio::select! {
            _ = run => ExitCode::FAILURE,
            _ = interrupt.recv() => ExitCode::from(42),
            _ = terminate.recv() => ExitCode::from(43),
        }
    })
}

fn nothing_is_left_behind() {
    use nix::sys::signal::{Signal, kill};
    let links = links();
    let token = (700_000 + std::process::id()).to_string();
    for user in users() {
        for (signal, expect) in [(Signal::SIGINT, Some(42)), (Signal::SIGTERM, Some(43)), (Signal::SIGKILL, None)] {
            for pause in [0, 40, 400] {
                let mut child = user.command().args(["--move-in", "--hold", &token]).stdout(Stdio::piped()).spawn().unwrap();
                let mut stdout = child.stdout.take().unwrap();
                // The first round kills at any moment of the start; the others a raised world.
                if signal != Signal::SIGKILL || pause == 400 {
                    stdout.read_exact(&mut [0; 3]).unwrap();
                }
                std::thread::sleep(Duration::from_millis(pause));
                kill(nix::unistd::Pid::from_raw(child.id() as i32), signal).unwrap();
                assert_eq!(child.wait().unwrap().code(), expect, "{signal} after {pause} ms as {}", user.name());
                let until = Instant::now() + Duration::from_secs(5);
                while ours(&token) > 0 && Instant::now() < until {
                    std::thread::sleep(Duration::from_millis(10));
                }
                assert_eq!(ours(&token), 0, "processes left after {signal} after {pause} ms as {}", user.name());
            }
        }
    }
    assert_eq!(links, self::links());
    assert!(!std::path::Path::new("/run/overhear").exists());
    if nix::unistd::geteuid().is_root() {
        let _ = std::fs::remove_file(copy());
    }
}

/// Processes that have the token among their arguments.
fn ours(token: &str) -> usize {
    let lines = std::fs::read_dir("/proc").unwrap().filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|byte| *byte == 0).any(|word| word == token.as_bytes())).count()
}

fn links() -> Vec<OsString> {
    let mut links: Vec<_> = std::fs::read_dir("/sys/class/net").unwrap().filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    links.sort();
    links
}

fn the_loopback_rung_serves() {
    let world = World::loopback(Spec { tls_ports: vec![8443], ..Spec::default() }).unwrap();
    if has("curl") {
        let https = world.upstream("shop.test", 443)[0];
        let resolve = format!("shop.test:{}:127.0.0.1", https.port());
        let said = output(&world, &["curl", "-sS", "--resolve", &resolve, &format!("https://shop.test:{}/", https.port())]);
        assert_eq!(said, "the honest origin of shop.test");
    }
    assert_eq!(world.upstream("shop.test", 8443).len(), 1);
    let begun = Instant::now();
    let run = wait(world.duts()[0].run(Order::new(["sh", "-c", "sleep 779 & sleep 779"], Duration::from_millis(200)))).unwrap();
    assert_eq!(run.exit, Exit::TimedOut);
    assert!(begun.elapsed() < Duration::from_secs(2));
}
