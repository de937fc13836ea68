//! The two ways in: a transparent listener that asks the kernel where a connection was going, and an explicit HTTP CONNECT proxy.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::time::timeout;

use crate::error::Error;

/// A CONNECT request with its headers; more is no CONNECT.
const LONGEST_REQUEST: usize = 8 * 1024;
/// For the request to come, and for a name to be resolved.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections the kernel holds for us while we are busy.
const BACKLOG: i32 = 1024;

/// A listener for redirected connections of both IP versions, on any free port unless one is given.
pub fn transparent(port: u16) -> Result<TcpListener, Error> {
    let listen = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_only_v6(false)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    listen().map_err(Error::io("the transparent listener"))
}

/// Where a redirected connection was going. `None` if it was not redirected (somebody called our port): relaying it would loop.
pub fn original(stream: &TcpStream) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    let local = stream.local_addr().ok().map(plain)?;
    let went = match local.ip() {
        IpAddr::V4(_) => socket.original_dst_v4(),
        IpAddr::V6(_) => socket.original_dst_v6(),
    };
    let went = plain(went.ok()?.as_socket()?);
    (went != local).then_some(went)
}

/// An IPv4 address that came through an IPv6 socket, as IPv4.
pub fn plain(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// What an explicit client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub host: String,
    pub server: SocketAddr,
}

/// Reads a CONNECT request and answers it. `None`: it was something else, or the name is not known; the client has been told.
pub async fn connect(stream: &mut TcpStream, resolve: impl AsyncFnOnce(&str, u16) -> Option<SocketAddr>) -> Option<Asked> {
    let mut head = Vec::new();
    let read = async {
        // Byte by byte past the first piece would be slow; but not one byte after the empty line may be taken.
        while !head.ends_with(b"\r\n\r\n") && head.len() < LONGEST_REQUEST {
            head.push(stream.read_u8().await.ok()?);
        }
        Some(())
    };
    timeout(PATIENCE, read).await.ok()??;
    let answer = |words: &'static str| format!("HTTP/1.1 {words}\r\nConnection: close\r\n\r\n");
    let Some((host, port)) = authority(&head) else {
        let _ = stream.write_all(answer("405 Only CONNECT").as_bytes()).await;
        return None;
    };
    let Some(server) = timeout(PATIENCE, resolve(&host, port)).await.ok().flatten() else {
        let _ = stream.write_all(answer("502 Name not known").as_bytes()).await;
        return None;
    };
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    Some(Asked { host, server })
}

/// The system's resolver: the first address that this machine has a way to.
pub async fn resolve(host: &str, port: u16) -> Option<SocketAddr> {
    let found: Vec<SocketAddr> = lookup_host((host, port)).await.ok()?.collect();
    found.iter().find(|addr| is_routed(**addr)).or(found.first()).copied()
}

/// Whether there is a route. Nothing is sent: a datagram socket that is connected only looks its route up.
fn is_routed(addr: SocketAddr) -> bool {
    let any = if addr.is_ipv4() { SocketAddr::from(([0, 0, 0, 0], 0)) } else { SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)) };
    std::net::UdpSocket::bind(any).and_then(|socket| socket.connect(addr)).is_ok()
}

/// Host and port of `CONNECT host:port HTTP/1.x`.
fn authority(head: &[u8]) -> Option<(String, u16)> {
    let line = head.split(|b| *b == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split(' ');
    let (Some("CONNECT"), Some(place), Some("HTTP/1.1" | "HTTP/1.0"), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return None;
    };
    let (host, port) = place.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let good = !host.is_empty() && host.len() <= 255 && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
    Some((good.then(|| host.to_ascii_lowercase())?, port.parse().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for (line, expect) in [
            ("CONNECT shop.test:443 HTTP/1.1\r\nHost: x\r\n\r\n", Some(("shop.test", 443))),
            ("CONNECT [2001:db8::1]:8443 HTTP/1.1\r\n\r\n", Some(("2001:db8::1", 8443))),
            ("GET http://shop.test/ HTTP/1.1\r\n\r\n", None),
            ("CONNECT shop.test HTTP/1.1\r\n\r\n", None),
            ("CONNECT a\x1bb:1 HTTP/1.1\r\n\r\n", None),
            ("CONNECT :1 HTTP/1.1\r\n\r\n", None),
            ("CONNECT a:99999 HTTP/1.1\r\n\r\n", None),
        ] {
            assert_eq!(authority(line.as_bytes()), expect.map(|(h, p)| (h.to_owned(), p)), "{line}");
        }
    }

    #[tokio::test]
    async fn an_unredirected_connection_has_no_original() {
        let listener = transparent(0).unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "::1"] {
            let Ok(_client) = TcpStream::connect((host, port)).await else { continue };
            let (stream, from) = listener.accept().await.unwrap();
            assert_eq!(original(&stream), None);
            assert_eq!(plain(from).ip().to_string(), host);
        }
    }
}
