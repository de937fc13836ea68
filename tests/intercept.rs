//! `overhear intercept` through the binary: in namespaces of the test's own between two devices and an Internet, of which one device is
//! enrolled; and unprivileged, as an explicit proxy on the loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use space::{Origin, Space, run, within, works};
use support::overhear;

/// Paths that the devices ask for in clear: what stands for their payload.
const OURS: &str = "enrolled-device-asks-this";
const OTHERS: &str = "other-device-asks-this";
const OUR_MAC: &str = "02:00:00:00:0a:01";

#[path = "../proxy/tests/space/mod.rs"]
mod space;
mod support;

#[test]
fn only_the_named_device_is_attacked() {
    space::inside(&[&["python3", "-V"]], "all as it should be");
}

#[test]
fn inside() {
    if !space::is_inside() {
        return;
    }
    let scene = Scene::new();
    // What a killed run left: it sends everybody to a port where nobody listens.
    nft("table inet overhear { chain divert { type nat hook prerouting priority dstnat; meta l4proto tcp redirect to :9; }; }");

    let out = scene.dir.path().join("authorised");
    let mut gateway = scene.intercept(&out, &["--policy", scene.policy(true).to_str().unwrap()]);
    let devices = scene.devices();
    let attacked =
        within(Duration::from_secs(60), || trials(&out).iter().any(|t| t["attack"] == "cert.untrusted-ca" && t["result"] == "accepted"));
    let redirected = tables();
    let second = overhear().args(["intercept", "--interface", "lan", "--device", OUR_MAC]).output().unwrap();
    // A connection that is open when the run ends is cut at one place live and at another in the capture.
    drop(devices);
    std::thread::sleep(Duration::from_secs(1));
    let (code, said) = interrupted(&mut gateway);
    assert!(attacked, "{said}\n{}", fs::read_to_string(out.join("journal.jsonl")).unwrap_or_default());
    assert!(redirected.contains("inet overhear"), "{redirected}");
    assert_eq!(second.status.code(), Some(3), "a second gateway is refused: {}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(tables(), "", "the table is gone");
    let report = report(&out);
    let failed: BTreeSet<&str> = rows(&report, "findings").filter(|f| f["verdict"] == "fail").filter_map(|f| f["check"].as_str()).collect();
    assert!(failed.contains("cert.untrusted-ca"), "{failed:?}");
    assert!(rows(&report, "requests").any(|r| r["url"].as_str().is_some_and(|u| u.contains(OURS))));
    // One device, whichever of its addresses it used; and no other.
    assert_eq!(rows(&report, "devices").count(), 1, "{}", report["devices"]);
    let device = report["devices"][0].to_string();
    for known in [OUR_MAC, "10.9.0.2", "fd09::2"] {
        assert!(device.contains(known), "{known}: {device}");
    }
    let journal = fs::read_to_string(out.join("journal.jsonl")).unwrap();
    let capture = fs::read(out.join("capture.pcapng")).unwrap();
    assert!(contains(&capture, OURS.as_bytes()), "the enrolled device is captured");
    assert!(!contains(&capture, OTHERS.as_bytes()), "the other one is not");
    assert!(!journal.contains(OTHERS) && !journal.contains("10.9.0.3"));
    assert!(journal.contains("forwarded and not looked at"), "it was counted");
    assert!(journal.contains("\"presence\""), "the device came");
    let states = |what: &str| rows(&report, "treatments").filter(|t| t["what"] == what).map(|t| t["state"].to_string()).collect::<Vec<_>>();
    assert_eq!(states("second-reading"), ["\"equal\""], "{said}");
    // What the gateway itself says on the link, and forwards, is nobody's disguise.
    assert_eq!((&report["coverage"]["disguised"], &report["coverage"]["unattributed"]), (&serde_json::json!({}), &serde_json::json!(0)));
    let verify = overhear().arg("verify").arg(&out).output().unwrap();
    assert_eq!(verify.status.code(), Some(0), "{}", String::from_utf8_lossy(&verify.stdout));

    let out = scene.dir.path().join("passive");
    let mut gateway = scene.intercept(&out, &["--policy", scene.policy(false).to_str().unwrap()]);
    let _devices = scene.devices();
    let busy = within(Duration::from_secs(30), || trials(&out).len() >= 3);
    scene.disguise();
    let (code, said) = interrupted(&mut gateway);
    assert!(busy, "{said}");
    assert!(said.contains("no [authorisation]"), "{said}");
    assert_eq!(code, Some(1), "clear HTTP fails the passive checks: {said}");
    assert_eq!(tables(), "");
    let report = self::report(&out);
    assert!(rows(&report, "trials").all(|t| t["attack"] == "pass"), "nothing was attacked");
    assert!(rows(&report, "tls").all(|t| t["chain_sha256"].as_array().is_none_or(Vec::is_empty) || t["sni"] == "shop.test"));
    assert!(rows(&report, "findings").any(|f| f["check"] == "channel.cleartext-http" && f["verdict"] == "fail"));
    // A device that takes the gateway's link address is named, and nothing passes for a whole device.
    assert_eq!(report["coverage"]["disguised"], serde_json::json!({"10.9.0.77": 2}));
    let binding = rows(&report, "findings").find(|f| f["check"] == "meta.device-binding").unwrap();
    assert_eq!((&binding["verdict"], &binding["reason"]), (&"inconclusive".into(), &"not-attributed".into()), "{binding}");
    assert!(
        rows(&report, "findings").all(|f| f["verdict"] != "pass" || f["subject"]["device"].is_null() || !f["subject"]["peer"].is_null())
    );
    assert!(said.contains("2 from 10.9.0.77"), "{said}");
    assert!(!out.join("capture.pcapng").exists(), "no packets are kept");
    assert!(out.join("run.json").exists());

    // Nobody named: nothing is done, and the operator is told whom it could be.
    let none = overhear().args(["intercept", "--interface", "lan"]).output().unwrap();
    assert_eq!(none.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&none.stderr).contains(OUR_MAC), "{}", String::from_utf8_lossy(&none.stderr));
    println!("all as it should be");
}

#[test]
fn an_explicit_proxy_needs_no_privilege() {
    for tool in [&["curl", "-V"][..], &["openssl", "version"]] {
        if !works(tool) {
            println!("skipped: {} does not work here", tool.join(" "));
            return;
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::new(dir.path(), "127.0.0.1");
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (there, here) = (free(), free());
    let server = origin.serve(Command::new("openssl"), "127.0.0.1", there);
    let url = format!("https://127.0.0.1:{there}/");
    assert!(
        within(Duration::from_secs(10), || works(&["curl", "-sk", "--max-time", "2", "-o", "/dev/null", &url])),
        "{url} does not answer"
    );
    let out = dir.path().join("run");
    let mut gateway = Gateway(
        overhear()
            .args(["intercept", "--headless", "--listen", &format!("127.0.0.1:{here}"), "--out"])
            .arg(&out)
            .args(["--policy", policy(dir.path(), true).to_str().unwrap(), "--upstream-ca"])
            .arg(dir.path().join("authority"))
            .arg("--ca")
            .arg(dir.path().join("ca"))
            .arg("--project-key")
            .arg(dir.path().join("key"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let proxy = format!("http://127.0.0.1:{here}");
    let attacked = within(Duration::from_secs(60), || {
        let _ = works(&["curl", "-sk", "--max-time", "5", "--proxy", &proxy, "-o", "/dev/null", &url]);
        std::thread::sleep(Duration::from_millis(300));
        trials(&out).iter().any(|t| t["attack"] == "cert.untrusted-ca" && t["result"] == "accepted")
    });
    let (code, said) = interrupted(&mut gateway);
    drop(server);
    assert!(attacked, "{said}\n{:?}", trials(&out));
    assert_eq!(code, Some(1), "{said}");
    let report = report(&out);
    assert_eq!(report["run"]["mode"], "explicit");
    assert!(rows(&report, "findings").any(|f| f["check"] == "cert.untrusted-ca" && f["verdict"] == "fail"));
    // Its packets are made, and read again they say what was seen.
    assert!(contains(&fs::read(out.join("capture.pcapng")).unwrap(), b"synthesised"));
    assert!(rows(&report, "treatments").any(|t| t["what"] == "second-reading" && t["state"] == "equal"), "{said}");
    assert!(rows(&report, "requests").any(|r| r["layer"] == "decrypted"), "{}", report["requests"]);

    let others = overhear().args(["intercept", "--listen", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(others.status.code(), Some(3), "who may use it has to be said");
}

/// Two devices on a bridge, a gateway (this process), an Internet.
struct Scene {
    dir: tempfile::TempDir,
    ours: Space,
    other: Space,
    _net: Space,
    _servers: Vec<Space>,
}

impl Scene {
    fn new() -> Scene {
        let (ours, other, net) = (Space::new(), Space::new(), Space::new());
        run("ip link set lo up");
        run("ip link add lan type bridge");
        for (space, port, mac) in [(&ours, "p1", OUR_MAC), (&other, "p2", "02:00:00:00:0a:02")] {
            run(&format!("ip link add {port} type veth peer name eth0 address {mac} netns {}", space.0.id()));
            run(&format!("ip link set {port} master lan"));
            run(&format!("ip link set {port} up"));
        }
        run(&format!("ip link add wan type veth peer name eth0 netns {}", net.0.id()));
        let (lan, wan) = (["10.9.0.1/24", "fd09::1/64"], ["203.0.113.1/24", "2001:db8:9::1/64"]);
        space::route(&[("lan", lan), ("wan", wan)]);
        ours.settle(["10.9.0.2/24", "fd09::2/64"], ["10.9.0.1", "fd09::1"]);
        other.settle(["10.9.0.3/24", "fd09::3/64"], ["10.9.0.1", "fd09::1"]);
        net.settle(["203.0.113.5/24", "2001:db8:9::5/64"], ["203.0.113.1", "2001:db8:9::1"]);
        // Where the kernel filters bridged packets too, it would redirect before the bridge is passed.
        for family in ["iptables", "ip6tables"] {
            let _ = fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{family}"), "0");
        }
        let dir = tempfile::tempdir().unwrap();
        let origin = Origin::new(dir.path(), "shop.test");
        let mut servers: Vec<Space> =
            ["203.0.113.5", "[2001:db8:9::5]"].iter().map(|host| origin.serve(net.command(&["openssl"]), host, 443)).collect();
        let web = ["python3", "-m", "http.server", "--bind", "203.0.113.5", "80"];
        servers.push(Space(net.command(&web).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()));
        for url in ["https://203.0.113.5/", "https://[2001:db8:9::5]/", "http://203.0.113.5/"] {
            net.reaches(url);
        }
        Scene { dir, ours, other, _net: net, _servers: servers }
    }

    fn policy(&self, authorised: bool) -> PathBuf {
        policy(self.dir.path(), authorised)
    }

    fn intercept(&self, out: &Path, more: &[&str]) -> Gateway {
        let dir = self.dir.path();
        let child = overhear()
            .args(["intercept", "--headless", "--interface", "lan", "--device", OUR_MAC, "--out"])
            .arg(out)
            .arg("--upstream-ca")
            .arg(dir.join("authority"))
            .arg("--ca")
            .arg(dir.join("ca"))
            .arg("--project-key")
            .arg(dir.join("key"))
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut gateway = Gateway(child);
        let up = within(Duration::from_secs(20), || {
            gateway.0.try_wait().unwrap().is_some() || tables_text().contains("redirect to :9 ") || tables_text().contains("devices4")
        });
        assert!(up && gateway.0.try_wait().unwrap().is_none(), "the gateway did not start: {}", output(&mut gateway.0));
        let replaced = within(Duration::from_secs(20), || tables_text().contains("devices4"));
        assert!(replaced, "{}", tables_text());
        gateway
    }

    /// The enrolled device sends two datagrams under the gateway's link address, from an address of its own choice.
    fn disguise(&self) {
        let said = Command::new("ip").args(["-j", "link", "show", "lan"]).output().unwrap();
        let said: Value = serde_json::from_slice(&said.stdout).unwrap();
        let mac = said[0]["address"].as_str().unwrap().replace(':', "");
        let script = format!(
            "import socket\n\
             mac = bytes.fromhex('{mac}')\n\
             udp = bytes([0x13, 0x88, 0, 53, 0, 9, 0, 0, 0x78])\n\
             ip = bytes([0x45, 0, 0, 20 + len(udp), 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 9, 0, 77, 203, 0, 113, 5])\n\
             s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\n\
             s.bind(('eth0', 0))\n\
             for _ in range(2): s.send(mac + mac + bytes([8, 0]) + ip + udp)\n"
        );
        assert!(self.ours.command(&["python3", "-c", &script]).status().unwrap().success());
        std::thread::sleep(Duration::from_millis(500));
    }

    /// Both devices ask without end, over TLS without checks and in clear.
    fn devices(&self) -> [Space; 2] {
        [(&self.ours, OURS), (&self.other, OTHERS)].map(|(space, what)| {
            let script = format!(
                "while :; do \
                 curl -sk --max-time 5 --resolve shop.test:443:203.0.113.5 https://shop.test/{what}; \
                 curl -sk --max-time 5 --resolve shop.test:443:[2001:db8:9::5] https://shop.test/{what}; \
                 curl -s --max-time 5 http://203.0.113.5/{what}; \
                 sleep 0.3; done"
            );
            Space(space.command(&["sh", "-c", &script]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
        })
    }
}

fn policy(dir: &Path, authorised: bool) -> PathBuf {
    let path = dir.join(format!("policy-{authorised}.toml"));
    let more = if authorised { "\n[authorisation]\nowner = \"the test\"\nreference = \"none\"\nby = \"the test\"\n" } else { "" };
    fs::write(&path, format!("schema = \"overhear/policy/1\"\nprofile = \"default\"\n{more}")).unwrap();
    path
}

/// The program under test; ended with the test whatever happens.
struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As Ctrl-C does it: exit code, and what it said.
fn interrupted(gateway: &mut Gateway) -> (Option<i32>, String) {
    run(&format!("kill -INT {}", gateway.0.id()));
    let ended = within(Duration::from_secs(30), || gateway.0.try_wait().unwrap().is_some());
    if !ended {
        let _ = gateway.0.kill();
    }
    let said = output(&mut gateway.0);
    assert!(ended, "it did not end: {said}");
    (gateway.0.wait().unwrap().code(), said)
}

fn output(child: &mut Child) -> String {
    use std::io::Read as _;
    let mut said = String::new();
    if let Some(mut err) = child.stderr.take() {
        let _ = err.read_to_string(&mut said);
    }
    if let Some(mut out) = child.stdout.take() {
        let _ = out.read_to_string(&mut said);
    }
    said
}

/// Trial lines of a run that goes on.
fn trials(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("journal.jsonl")).unwrap_or_default();
    let lines = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
    lines.map(|l| l["seen"]["trial"].clone()).filter(|t| !t.is_null()).collect()
}

fn report(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap()
}

fn rows<'r>(report: &'r Value, list: &str) -> impl Iterator<Item = &'r Value> {
    report[list].as_array().unwrap_or_else(|| panic!("no {list}")).iter()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|w| w == part)
}

fn nft(text: &str) {
    let done: Output = Command::new("nft").arg(text).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn tables() -> String {
    let done = Command::new("nft").args(["list", "tables"]).output().unwrap();
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn tables_text() -> String {
    let done = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    String::from_utf8_lossy(&done.stdout).into_owned()
}
