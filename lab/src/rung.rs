//! How much of a lab this machine allows, and what keeps it from allowing more.

use std::process::Stdio;
use std::time::Duration;

use crate::{Fault, stage, tool};

/// From the real thing down to what nearly always works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// A toy device in the process itself, for want of any network.
    Memory,
    /// Programs on this machine, told of an explicit proxy on the loopback.
    Loopback,
    /// Namespaces and a transparent gateway.
    Namespaces,
}

impl Rung {
    pub fn text(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces with a transparent gateway",
            Self::Loopback => "loopback with the explicit proxy",
            Self::Memory => "toy devices in memory",
        }
    }
}

/// The highest rung, and why not a higher one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Best {
    pub rung: Rung,
    pub why_not: Vec<Fault>,
}

/// Tries, in children; takes some ten milliseconds and leaves nothing behind.
pub fn best() -> Best {
    let runs = |name: &str, package: &str| {
        let found = tool::command(name).arg("-V").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        found
            .map(|_| ())
            .map_err(|error| Fault::new(format!("looking for `{name}`"), error, format!("install it (Debian: apt install {package})")))
    };
    let namespaces = [stage::move_in_possible(), runs("ip", "iproute2"), runs("nft", "nftables")];
    let why_not: Vec<Fault> = namespaces.into_iter().filter_map(Result::err).collect();
    if why_not.is_empty() {
        return Best { rung: Rung::Namespaces, why_not };
    }
    match loopback() {
        Ok(()) => Best { rung: Rung::Loopback, why_not },
        Err(fault) => Best { rung: Rung::Memory, why_not: why_not.into_iter().chain([fault]).collect() },
    }
}

/// Whether a connection can be made to this machine itself.
fn loopback() -> Result<(), Fault> {
    let connect = || {
        let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
        std::net::TcpStream::connect_timeout(&listener.local_addr()?, PATIENCE).map(drop)
    };
    connect().map_err(|error| Fault::new("connecting to 127.0.0.1", error, "allow sockets of the Internet protocols here"))
}

/// The loopback answers at once.
const PATIENCE: Duration = Duration::from_secs(1);
