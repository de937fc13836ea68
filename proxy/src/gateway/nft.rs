//! The nftables table: what is redirected, watched and blocked; installed and removed as one transaction each.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::Stdio;

use crate::error::Error;
use crate::tool;

/// Our table. A table of this name that is found at the start was left by a run that was killed, and goes.
pub const TABLE: &str = "overhear";

/// What happens to QUIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quic {
    /// Forwarded and counted.
    Observe,
    /// Refused with an ICMP error, so that clients fall back to TCP at once.
    Block,
}

/// What the table must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The interface on the devices' side.
    pub interface: String,
    /// Addresses of enrolled devices. No other traffic is touched.
    pub devices: Vec<IpAddr>,
    /// The port of the transparent listener.
    pub port: u16,
    pub quic: Quic,
}

/// The whole transaction: whatever was there goes, the new table comes.
pub fn install_text(rules: &Rules) -> String {
    let mut out = remove_text();
    let interface = escape(&rules.interface);
    let _ = writeln!(out, "table inet {TABLE} {{");
    for (family, pick) in [("ipv4_addr", IpAddr::is_ipv4 as fn(&IpAddr) -> bool), ("ipv6_addr", IpAddr::is_ipv6)] {
        let name = if family == "ipv4_addr" { "devices4" } else { "devices6" };
        let mut list: Vec<String> = rules.devices.iter().filter(|ip| pick(ip)).map(IpAddr::to_string).collect();
        list.sort();
        list.dedup();
        let elements = if list.is_empty() { String::new() } else { format!(" elements = {{ {} }};", list.join(", ")) };
        let _ = writeln!(out, "  set {name} {{ type {family};{elements} }}");
    }
    let _ = writeln!(out, "  counter others {{ }}\n  counter quic {{ }}");
    let _ = writeln!(out, "  chain divert {{");
    let _ = writeln!(out, "    type nat hook prerouting priority dstnat; policy accept;");
    // The gateway's own services (DNS, DHCP, the explicit listener) stay reachable.
    let _ = writeln!(out, "    fib daddr type {{ local, broadcast, multicast }} return");
    for (set, saddr) in [("devices4", "ip saddr"), ("devices6", "ip6 saddr")] {
        let _ = writeln!(out, "    iifname \"{interface}\" {saddr} @{set} meta l4proto tcp redirect to :{}", rules.port);
    }
    let _ = writeln!(out, "  }}\n  chain watch {{");
    let _ = writeln!(out, "    type filter hook forward priority filter; policy accept;");
    for (set, saddr) in [("devices4", "ip saddr"), ("devices6", "ip6 saddr")] {
        let verdict = if rules.quic == Quic::Block { " reject" } else { "" };
        let _ = writeln!(out, "    iifname \"{interface}\" {saddr} @{set} udp dport 443 counter name quic{verdict}");
        let _ = writeln!(out, "    iifname \"{interface}\" {saddr} != @{set} counter name others");
    }
    let _ = writeln!(out, "  }}\n}}");
    out
}

/// Removes the table whether or not it is there.
pub fn remove_text() -> String {
    format!("table inet {TABLE} {{ }}\ndelete table inet {TABLE}\n")
}

/// The installed table; removed when dropped.
#[derive(Debug)]
pub struct Installed(());

impl Installed {
    pub fn install(rules: &Rules) -> Result<Installed, Error> {
        apply(&install_text(rules))?;
        Ok(Installed(()))
    }

    /// An enrolled device has another address: its new connections are redirected from now on.
    pub fn add(&self, device: IpAddr) -> Result<(), Error> {
        apply(&format!("add element inet {TABLE} {} {{ {device} }}\n", set(device)))
    }

    /// The address belongs to no enrolled device any more.
    pub fn remove(&self, device: IpAddr) -> Result<(), Error> {
        apply(&format!("delete element inet {TABLE} {} {{ {device} }}\n", set(device)))
    }

    /// Packets and bytes of other devices that were forwarded; nothing of them was looked at.
    pub fn others(&self) -> Result<(u64, u64), Error> {
        let said = run(&["list", "counter", "inet", TABLE, "others"], "")?;
        counter(&said).ok_or(Error::Tool { command: "nft", said })
    }
}

fn set(device: IpAddr) -> &'static str {
    if device.is_ipv4() { "devices4" } else { "devices6" }
}

/// `… packets 12 bytes 3456 …`
fn counter(said: &str) -> Option<(u64, u64)> {
    let mut words = said.split_whitespace().skip_while(|w| *w != "packets").skip(1);
    let packets = words.next()?.parse().ok()?;
    let bytes = words.nth(1)?.parse().ok()?;
    Some((packets, bytes))
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = apply(&remove_text());
    }
}

/// Removes what a killed run left behind.
pub fn remove() -> Result<(), Error> {
    apply(&remove_text())
}

/// One `nft -f -`: the kernel takes all of it or nothing.
fn apply(text: &str) -> Result<(), Error> {
    run(&["-f", "-"], text).map(|_| ())
}

fn run(args: &[&str], input: &str) -> Result<String, Error> {
    let failed = |said: String| Error::Tool { command: "nft", said };
    let mut child = tool::command("nft")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| failed(format!("{e} (Debian: apt install nftables)")))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(|e| failed(e.to_string()))?;
    }
    let done = child.wait_with_output().map_err(|e| failed(e.to_string()))?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        Err(failed(String::from_utf8_lossy(&done.stderr).trim().to_owned()))
    }
}

/// Interface names hold no quotes; one that does matches nothing.
fn escape(name: &str) -> String {
    name.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\' | '$')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text() {
        let ip = |s: &str| s.parse().unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let rules = Rules {
            interface: "dut\"; flush ruleset".to_owned(),
            devices: vec![ip("10.77.0.10"), ip("fd77::10"), ip("10.77.0.10")],
            port: 4433,
            quic: Quic::Block,
        };
        let text = install_text(&rules);
        assert!(text.starts_with("table inet overhear { }\ndelete table inet overhear\ntable inet overhear {\n"));
        assert!(text.contains("set devices4 { type ipv4_addr; elements = { 10.77.0.10 }; }"), "{text}");
        assert!(text.contains("set devices6 { type ipv6_addr; elements = { fd77::10 }; }"));
        assert!(text.contains("ip saddr @devices4 meta l4proto tcp redirect to :4433"));
        assert!(text.contains("udp dport 443 counter name quic reject"));
        assert_eq!(text.matches('"').count() % 2, 0);
        let none = install_text(&Rules { devices: vec![], quic: Quic::Observe, ..rules });
        assert!(none.contains("set devices4 { type ipv4_addr; }") && !none.contains("reject"));
        assert_eq!(counter("table inet overhear {\n\tcounter others {\n\t\tpackets 12 bytes 3456\n\t}\n}"), Some((12, 3456)));
        assert_eq!(counter("table inet overhear { }"), None);
    }
}
