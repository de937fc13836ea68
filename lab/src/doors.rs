//! The ports of the lab's servers: on sockets, or as pipes in this process.

use std::net::SocketAddr;

use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::elsewhere;
use crate::origin::Origin;
use crate::world::{BANNER_PORT, BREATH, Spec};

/// What a pipe holds until it is read: a socket's usual send buffer.
pub const PIPE: usize = 64 << 10;

/// What is served on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Tls,
    Http,
    Banner,
    /// Whatever the caller speaks.
    Elsewhere,
}

/// The ports of a world's servers.
pub(crate) fn services(spec: &Spec) -> Vec<(u16, Service)> {
    let mut all = vec![(80, Service::Http), (443, Service::Tls), (BANNER_PORT, Service::Banner)];
    for port in &spec.tls_ports {
        if all.iter().all(|(taken, _)| taken != port) {
            all.push((*port, Service::Tls));
        }
    }
    all
}

pub(crate) async fn accept(listener: TcpListener, origin: Origin, service: Service) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let origin = origin.clone();
        tokio::spawn(async move {
            let Ok(local) = stream.local_addr() else { return };
            // What a device or a gateway does to a connection shows in the origin's tally; nobody waits for this result.
            let _ = match service {
                Service::Tls => origin.serve_tls(stream, local.ip().to_canonical()).await,
                Service::Http => origin.serve_http(stream, local.ip().to_canonical()).await,
                Service::Banner => origin.serve_banner(stream).await,
                Service::Elsewhere => elsewhere::serve(stream, origin).await,
            };
        });
    }
}

/// The origins' ports without a network.
#[derive(Clone, Debug)]
pub struct Doors {
    origin: Origin,
    services: Vec<(u16, Service)>,
    runtime: Option<Handle>,
}

impl Doors {
    pub(crate) fn new(origin: Origin, services: Vec<(u16, Service)>, runtime: Option<Handle>) -> Self {
        Self { origin, services, runtime }
    }

    /// A connection to this port of this address; refused where no origin serves it.
    pub fn open(&self, to: SocketAddr) -> std::io::Result<DuplexStream> {
        let refused = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let (_, service) = self.services.iter().find(|(port, _)| *port == to.port()).ok_or_else(refused)?;
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let (origin, service, address) = (self.origin.clone(), *service, to.ip().to_canonical());
        let serve = async move {
            // As above: the tally tells.
            let _ = match service {
                Service::Tls => origin.serve_tls(theirs, address).await,
                Service::Http => origin.serve_http(theirs, address).await,
                Service::Banner | Service::Elsewhere => origin.serve_banner(theirs).await,
            };
        };
        self.runtime.as_ref().ok_or_else(refused)?.spawn(serve);
        Ok(ours)
    }
}
