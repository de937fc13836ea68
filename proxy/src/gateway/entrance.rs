//! The two ways in: a transparent listener that asks the kernel where a connection was going, and an explicit HTTP CONNECT proxy.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
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
    /// A request in clear for that host (RFC 9112 §3.2.2); else a tunnel, which has been granted.
    pub request: Option<Request>,
}

/// The head of a request to a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As the client sent it.
    pub head: Bytes,
    /// As its server is asked: path alone, nothing that was meant for the proxy, and one request per connection, since the client may want to
    /// ask another host with the next.
    pub onward: Bytes,
}

/// Reads a request to a proxy. A CONNECT is answered. `None`: it was something else, or the name is not known; the client has been told.
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
    let (host, port, request) = if let Some((host, port)) = authority(&head) {
        (host, port, None)
    } else if let Some((host, port, onward)) = in_clear(&head) {
        (host, port, Some(Request { head: head.into(), onward: onward.into() }))
    } else {
        let _ = stream.write_all(answer("405 Only CONNECT and http://").as_bytes()).await;
        return None;
    };
    let Some(server) = timeout(PATIENCE, resolve(&host, port)).await.ok().flatten() else {
        let _ = stream.write_all(answer("502 Name not known").as_bytes()).await;
        return None;
    };
    if request.is_none() {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    }
    Some(Asked { host, server, request })
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
    place_of(place, None)
}

/// Host, port and the request that goes on, of `GET http://host/path HTTP/1.x`.
fn in_clear(head: &[u8]) -> Option<(String, u16, Vec<u8>)> {
    let text = head.iter().map(|b| char::from(*b)).collect::<String>();
    let (line, fields) = text.split_once("\r\n")?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version @ ("HTTP/1.1" | "HTTP/1.0")), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return None;
    };
    let rest = target.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://")).and_then(|_| target.get(7..))?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (place, path) = rest.split_at_checked(at)?;
    let (host, port) = place_of(place.rsplit_once('@').map_or(place, |(_, place)| place), Some(80))?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut onward = format!("{method} {slash}{path} {version}\r\n");
    for field in fields.split("\r\n").take_while(|field| !field.is_empty()) {
        let name = field.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if !matches!(name.as_str(), "proxy-connection" | "proxy-authorization" | "connection" | "keep-alive") {
            onward.extend([field, "\r\n"]);
        }
    }
    onward.push_str("Connection: close\r\n\r\n");
    Some((host, port, onward.chars().map(|c| c as u8).collect()))
}

fn place_of(place: &str, default: Option<u16>) -> Option<(String, u16)> {
    let bare = place.ends_with(']') || !place.contains(':');
    let (host, port) = match default {
        Some(port) if bare => (place, port),
        _ => place.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)))?,
    };
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let good = !host.is_empty() && host.len() <= 255 && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
    Some((good.then(|| host.to_ascii_lowercase())?, port))
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

    #[test]
    fn requests_in_clear_go_on_as_to_a_server() {
        let asked = |head: &str| in_clear(head.as_bytes()).map(|(host, port, onward)| (host, port, String::from_utf8(onward).unwrap()));
        let head = "GET http://Shop.test/a?b HTTP/1.1\r\nHost: shop.test\r\nProxy-Connection: keep-alive\r\nX: \u{e9}\r\n\r\n";
        let head: Vec<u8> = head.chars().map(|c| c as u8).collect();
        let (host, port, onward) = in_clear(&head).unwrap();
        assert_eq!((host.as_str(), port), ("shop.test", 80));
        assert_eq!(onward, b"GET /a?b HTTP/1.1\r\nHost: shop.test\r\nX: \xe9\r\nConnection: close\r\n\r\n");
        let onward = |head| asked(head).map(|(host, port, onward)| (host, port, onward.lines().next().unwrap().to_owned()));
        for (head, expect) in [
            ("POST http://a.test:8080 HTTP/1.0\r\n\r\n", Some(("a.test", 8080, "POST / HTTP/1.0"))),
            ("GET http://a.test?x HTTP/1.1\r\n\r\n", Some(("a.test", 80, "GET /?x HTTP/1.1"))),
            ("GET HTTP://u:p@[2001:db8::1]/ HTTP/1.1\r\n\r\n", Some(("2001:db8::1", 80, "GET / HTTP/1.1"))),
            ("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", None),
            ("GET https://a.test/ HTTP/1.1\r\n\r\n", None),
            ("GET http:///x HTTP/1.1\r\n\r\n", None),
        ] {
            assert_eq!(onward(head), expect.map(|(host, port, line)| (host.to_owned(), port, line.to_owned())), "{head}");
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
