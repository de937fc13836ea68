//! How much of a lab this machine allows, and what keeps it from allowing more.

use std::process::{Command, Stdio};

use crate::{Fault, stage};

/// From the real thing down to what always works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Toy devices and origins over streams in memory.
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
            Self::Memory => "in memory",
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
    let tool = |name: &str, package: &str| {
        let found = Command::new(name).arg("-V").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        found
            .map(|_| ())
            .map_err(|error| Fault::new(format!("looking for `{name}`"), error, format!("install it (Debian: apt install {package})")))
    };
    let namespaces = [stage::move_in_possible(), tool("ip", "iproute2"), tool("nft", "nftables")];
    let why_not: Vec<Fault> = namespaces.into_iter().filter_map(Result::err).collect();
    if why_not.is_empty() {
        return Best { rung: Rung::Namespaces, why_not };
    }
    match std::net::TcpListener::bind("127.0.0.1:0") {
        Ok(_) => Best { rung: Rung::Loopback, why_not },
        Err(error) => {
            let fault = Fault::new("listening on the loopback", error, "allow sockets on 127.0.0.1");
            Best { rung: Rung::Memory, why_not: why_not.into_iter().chain([fault]).collect() }
        }
    }
}
