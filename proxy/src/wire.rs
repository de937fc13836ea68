//! The raw side of a device's connection: bytes pass unchanged, are shown to the tap, and their record headers are noted.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use analyzers::flow::{Close, Dir};
use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Sees what passes. Called on the connection's task: must not block.
pub trait Tap: Send + Sync + fmt::Debug {
    /// Bytes as they are on the wire.
    fn wire(&self, dir: Dir, bytes: &[u8]);
    /// Bytes inside a channel that we terminate.
    fn plain(&self, dir: Dir, bytes: &[u8]);
    /// A secret of the device's side of the connection, in the words of the NSS key log.
    fn secret(&self, label: &str, client_random: &[u8], secret: &[u8]);
}

/// Nobody listens.
#[derive(Debug)]
pub struct NoTap;

impl Tap for NoTap {
    fn wire(&self, _: Dir, _: &[u8]) {}
    fn plain(&self, _: Dir, _: &[u8]) {}
    fn secret(&self, _: &str, _: &[u8], _: &[u8]) {}
}

/// A byte stream from a device, real or in memory.
pub trait Link: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Bytes of ours that have reached the device's TCP.
    fn acked(&self) -> Option<u64>;
    /// Closing will send RST, not FIN.
    fn abort(&mut self);
    /// What has come is acknowledged now, not when something is said or 40 ms have passed.
    fn acknowledge(&self);
}

impl Link for TcpStream {
    fn acked(&self) -> Option<u64> {
        use std::os::fd::AsFd as _;
        crate::acked::bytes_acked(self.as_fd())
    }

    fn abort(&mut self) {
        let _ = socket2::SockRef::from(&*self).set_linger(Some(std::time::Duration::ZERO));
    }

    fn acknowledge(&self) {
        // Holds until the kernel thinks better of it, so it is asked again each time (tcp(7), TCP_QUICKACK).
        let _ = self.set_quickack(true);
    }
}

impl Link for DuplexStream {
    /// In memory what is written has arrived.
    fn acked(&self) -> Option<u64> {
        Some(u64::MAX)
    }

    fn abort(&mut self) {}

    fn acknowledge(&self) {}
}

/// So many bytes of a device are acknowledged at once: its handshake and first request.
///
/// A request that is written right behind Finished stays in the device until Finished is acknowledged (RFC 9293 §3.7.4, Nagle). Who looks
/// at the certificate only then, and leaves with a reset, takes it along: it would seem not to have sent what any server that answers gets.
const AT_ONCE: u64 = 64 << 10;

/// The header of a TLS record of the device, and of an alert in clear its two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub kind: u8,
    pub len: u16,
    pub alert: Option<(u8, u8)>,
}

/// How many record headers are kept: more than any handshake has, enough for the rule of record lengths.
const MOST_RECORDS: usize = 64;

/// What passed so far.
#[derive(Debug, Default)]
pub struct Log {
    pub records: Vec<Record>,
    scan: Scan,
    /// Bytes from the device, and to it.
    pub received: u64,
    pub sent: u64,
    /// The suite of the ServerHello that was sent first.
    pub suite: Option<u16>,
    /// How much had been sent to it when its last bytes came.
    pub sent_before_last: u64,
    pub last_sent: Option<Instant>,
    pub last_received: Option<Instant>,
    /// How the device's side closed.
    pub closed: Option<Close>,
}

#[derive(Debug, Default)]
struct Scan {
    header: [u8; 5],
    have: usize,
    skip: usize,
    alert: Vec<u8>,
    not_tls: bool,
}

impl Log {
    fn scan(&mut self, mut bytes: &[u8]) {
        let s = &mut self.scan;
        while !bytes.is_empty() && !s.not_tls && self.records.len() < MOST_RECORDS {
            if s.skip > 0 {
                let n = s.skip.min(bytes.len());
                let (now, rest) = bytes.split_at(n);
                if let Some(last) = self.records.last_mut().filter(|r| r.kind == 21 && r.len == 2) {
                    s.alert.extend_from_slice(now);
                    if let [level, code] = s.alert.as_slice() {
                        last.alert = Some((*level, *code));
                    }
                }
                s.skip -= n;
                bytes = rest;
                continue;
            }
            let Some((first, rest)) = bytes.split_first() else { break };
            if let Some(slot) = s.header.get_mut(s.have) {
                *slot = *first;
            }
            s.have += 1;
            bytes = rest;
            if s.have == s.header.len() {
                s.have = 0;
                let [kind, major, _, hi, lo] = s.header;
                if !(20..=24).contains(&kind) || major != 3 {
                    s.not_tls = true;
                    break;
                }
                let len = u16::from_be_bytes([hi, lo]);
                s.skip = usize::from(len);
                s.alert.clear();
                self.records.push(Record { kind, len, alert: None });
            }
        }
    }

    /// The last alert that came in clear.
    pub fn plain_alert(&self) -> Option<(u8, u8)> {
        self.records.iter().rev().find_map(|r| r.alert)
    }
}

/// The suite that a ServerHello at the start of `bytes` chose (RFC 8446 §4.1.3): behind the record's and the message's header, the version, the
/// random and the session's id.
fn server_suite(bytes: &[u8]) -> Option<u16> {
    let [0x16, 3, _, _, _, 2, _, _, _, 3, _, rest @ ..] = bytes else { return None };
    let id = usize::from(*rest.get(32)?);
    rest.get(33 + id..)?.first_chunk().copied().map(u16::from_be_bytes)
}

/// The log of a connection, shared with whoever judges it.
#[derive(Clone, Debug, Default)]
pub struct SharedLog(Arc<Mutex<Log>>);

impl SharedLog {
    pub fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A [`Link`] with its first bytes put back, a log and a tap. The device is `Dir::Out`. Whoever read the first bytes has shown them to the
/// tap already, so that a treatment can be written down between the ClientHello and what answers it.
#[derive(Debug)]
pub struct Wire<S> {
    inner: S,
    prefix: Bytes,
    log: SharedLog,
    tap: Arc<dyn Tap>,
}

impl<S: Link> Wire<S> {
    pub fn new(inner: S, prefix: Bytes, tap: Arc<dyn Tap>) -> Wire<S> {
        Wire { inner, prefix, log: SharedLog::default(), tap }
    }

    pub fn log(&self) -> SharedLog {
        self.log.clone()
    }

    pub fn link(&self) -> &S {
        &self.inner
    }

    pub fn link_mut(&mut self) -> &mut S {
        &mut self.inner
    }
}

impl<S: Link> Wire<S> {
    fn received(&self, bytes: &[u8], show: bool) {
        let mut log = self.log.lock();
        log.received += bytes.len() as u64;
        log.sent_before_last = log.sent;
        log.last_received = Some(Instant::now());
        log.scan(bytes);
        let early = log.received < AT_ONCE;
        drop(log);
        if early {
            self.inner.acknowledge();
        }
        if show {
            self.tap.wire(Dir::Out, bytes);
        }
    }

    fn sent(&self, bytes: &[u8]) {
        let mut log = self.log.lock();
        if log.sent == 0 {
            log.suite = server_suite(bytes);
        }
        log.sent += bytes.len() as u64;
        log.last_sent = Some(Instant::now());
        drop(log);
        self.tap.wire(Dir::Back, bytes);
    }

    fn closed(&self, how: Close) {
        self.log.lock().closed.get_or_insert(how);
    }
}

/// Whether an error of a socket means that the other side reset the connection.
pub fn is_reset(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted)
}

impl<S: Link> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.prefix.is_empty() {
            let n = self.prefix.len().min(buf.remaining());
            let now = self.prefix.slice(..n);
            self.prefix.advance(n);
            if self.prefix.is_empty() {
                // An empty rest would keep the whole alive.
                self.prefix = Bytes::new();
            }
            buf.put_slice(&now);
            self.received(&now, false);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match ready!(Pin::new(&mut self.inner).poll_read(cx, buf)) {
            Ok(()) => {
                let new = buf.filled().get(before..).unwrap_or_default();
                if new.is_empty() && buf.remaining() > 0 {
                    self.closed(Close::Fin);
                } else {
                    self.received(new, true);
                }
                Poll::Ready(Ok(()))
            }
            Err(e) => {
                if is_reset(&e) {
                    self.closed(Close::Rst);
                }
                Poll::Ready(Err(e))
            }
        }
    }
}

impl<S: Link> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(Pin::new(&mut self.inner).poll_write(cx, buf)) {
            Ok(n) => {
                self.sent(buf.get(..n).unwrap_or_default());
                Poll::Ready(Ok(n))
            }
            Err(e) => {
                if is_reset(&e) {
                    self.closed(Close::Rst);
                }
                Poll::Ready(Err(e))
            }
        }
    }

    /// All records of a flight in one call: a device that leaves at the first of them has the others, and their acknowledgement tells so.
    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)) {
            Ok(n) => {
                let mut left = n;
                for buf in bufs {
                    let now = left.min(buf.len());
                    if now == 0 && left == 0 {
                        break;
                    }
                    self.sent(buf.get(..now).unwrap_or_default());
                    left -= now;
                }
                Poll::Ready(Ok(n))
            }
            Err(e) => {
                if is_reset(&e) {
                    self.closed(Close::Rst);
                }
                Poll::Ready(Err(e))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any cutting of the stream gives the same records.
    #[test]
    fn records_are_read_in_any_pieces() {
        let bytes = [&[22, 3, 1, 0, 3, 1, 2, 3][..], &[20, 3, 3, 0, 1, 1], &[21, 3, 3, 0, 2, 2, 48], &[23, 3, 3, 0, 1, 9]].concat();
        for step in 1..=bytes.len() {
            let mut log = Log::default();
            bytes.chunks(step).for_each(|piece| log.scan(piece));
            let kinds: Vec<(u8, u16)> = log.records.iter().map(|r| (r.kind, r.len)).collect();
            assert_eq!(kinds, [(22, 3), (20, 1), (21, 2), (23, 1)], "{step}");
            assert_eq!(log.plain_alert(), Some((2, 48)), "{step}");
        }
        let mut log = Log::default();
        log.scan(b"GET / HTTP/1.1\r\n");
        assert!(log.records.is_empty());
    }
}
