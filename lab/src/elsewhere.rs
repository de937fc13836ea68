//! Every port of the lab's Internet that has no service of its own: who calls there is answered in what it speaks.

use std::net::IpAddr;

use nix::sys::socket::{getsockopt, sockopt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Fault;
use crate::netns::fed;
use crate::origin::{Origin, PATIENCE};

/// Where they are all led. Nobody calls it by this number (tcpmux's neighbour, unassigned).
pub(crate) const PORT: u16 = 4;
/// Where nobody listens (discard), for clients whose server is down.
pub(crate) const CLOSED: u16 = 9;

/// Leads every TCP port but these and [`CLOSED`] to [`PORT`], in this thread's network namespace.
pub(crate) fn lead(but: &[u16]) -> Result<(), Fault> {
    let but: Vec<String> = but.iter().chain(&[PORT, CLOSED]).map(u16::to_string).collect();
    let rules = format!(
        "table inet elsewhere {{ chain lead {{ type nat hook prerouting priority dstnat; tcp dport != {{ {} }} redirect to :{PORT}; }}; }}\n",
        but.join(", ")
    );
    fed(&["nft", "-f", "-"], &rules, "nftables", "the kernel needs redirects of nftables (modprobe nft_redir)")
}

/// Serves one connection: TLS, or in clear what its first byte says, or a greeting for who waits for one.
pub(crate) async fn serve(stream: TcpStream, origin: Origin) -> std::io::Result<()> {
    let address = match called(&stream) {
        Some(address) => address,
        None => stream.local_addr()?.ip().to_canonical(),
    };
    let mut first = [0; 1];
    match timeout(PATIENCE, stream.peek(&mut first)).await {
        Err(_) => origin.serve_banner(stream).await,
        Ok(Ok(1..)) if first == [0x16] => origin.serve_any_tls(stream, address).await,
        Ok(Ok(1..)) => origin.serve_http(stream, address).await,
        Ok(Ok(0)) => Ok(()),
        Ok(Err(error)) => Err(error),
    }
}

/// The address that the caller wanted, before it was led here.
fn called(stream: &TcpStream) -> Option<IpAddr> {
    if stream.local_addr().ok()?.ip().to_canonical().is_ipv4() {
        let wanted = getsockopt(stream, sockopt::OriginalDst).ok()?;
        return Some(u32::from_be(wanted.sin_addr.s_addr).to_be_bytes().into());
    }
    getsockopt(stream, sockopt::Ip6tOriginalDst).ok().map(|wanted| wanted.sin6_addr.s6_addr.into())
}
