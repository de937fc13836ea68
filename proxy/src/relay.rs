//! Bytes both ways between two streams, unchanged, without a buffer while nothing moves.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use analyzers::flow::Dir;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The knee of throughput against buffer size (measured: 64 KiB 0.74–0.94 CPU s/GB, 8 KiB 1.11, 256 KiB 0.92).
const SCRATCH: usize = 64 * 1024;

thread_local! {
    /// One per worker thread, not per connection: an idle connection owns no copy buffer.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// How a relay ended. The other direction may have been cut off by it.
#[derive(Debug)]
pub enum End {
    /// Both directions were closed in order.
    Done,
    /// The leg that failed (reading from it or writing to it): `Out` is the first stream.
    Failed(Dir, io::Error),
    /// The first stream was closed in order, and then the second failed: whoever was at the first had left.
    Left(io::Error),
}

#[derive(Default)]
struct Way {
    pending: Vec<u8>,
    at: usize,
    eof: bool,
    done: bool,
}

/// Relays until both directions are closed or one leg fails. `seen` is shown each piece before it is passed on; `Out` = from `a` to `b`.
pub async fn relay<A, B>(a: &mut A, b: &mut B, mut seen: impl FnMut(Dir, &[u8])) -> End
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut out, mut back) = (Way::default(), Way::default());
    poll_fn(|cx| {
        BUFFER.with(|buffer| {
            let Ok(mut buffer) = buffer.try_borrow_mut() else {
                // A relay inside a relay's callback, which nobody writes; it would get its turn next time.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            };
            let first = poll_way(cx, a, b, &mut out, &mut buffer, |bytes| seen(Dir::Out, bytes));
            if let Poll::Ready(Err((read, e))) = first {
                return Poll::Ready(failed(&out, if read { Dir::Out } else { Dir::Back }, e));
            }
            let second = poll_way(cx, b, a, &mut back, &mut buffer, |bytes| seen(Dir::Back, bytes));
            if let Poll::Ready(Err((read, e))) = second {
                return Poll::Ready(failed(&out, if read { Dir::Back } else { Dir::Out }, e));
            }
            if out.done && back.done { Poll::Ready(End::Done) } else { Poll::Pending }
        })
    })
    .await
}

fn failed(out: &Way, leg: Dir, e: io::Error) -> End {
    if out.eof && leg == Dir::Back { End::Left(e) } else { End::Failed(leg, e) }
}

/// An error, and whether it came from reading.
type Fault = (bool, io::Error);

fn poll_way<R, W>(
    cx: &mut Context<'_>,
    from: &mut R,
    to: &mut W,
    way: &mut Way,
    buffer: &mut [u8],
    mut seen: impl FnMut(&[u8]),
) -> Poll<Result<(), Fault>>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    if way.done {
        return Poll::Ready(Ok(()));
    }
    loop {
        while way.at < way.pending.len() {
            let rest = way.pending.get(way.at..).unwrap_or_default();
            way.at += ready!(write(cx, to, rest))?;
        }
        way.pending = Vec::new();
        way.at = 0;
        if way.eof {
            ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(|e| (false, e))?;
            way.done = true;
            return Poll::Ready(Ok(()));
        }
        let mut into = ReadBuf::new(buffer);
        match Pin::new(&mut *from).poll_read(cx, &mut into) {
            Poll::Pending => {
                // A failing flush shows at the next write.
                let _ = Pin::new(&mut *to).poll_flush(cx);
                return Poll::Pending;
            }
            Poll::Ready(Err(e)) => return Poll::Ready(Err((true, e))),
            Poll::Ready(Ok(())) => {}
        }
        let bytes = into.filled();
        if bytes.is_empty() {
            way.eof = true;
            continue;
        }
        seen(bytes);
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match write(cx, to, rest) {
                Poll::Ready(Ok(n)) => at += n,
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => {
                    way.pending = rest.to_vec();
                    return Poll::Pending;
                }
            }
        }
    }
}

fn write<W: AsyncWrite + Unpin>(cx: &mut Context<'_>, to: &mut W, bytes: &[u8]) -> Poll<Result<usize, Fault>> {
    match ready!(Pin::new(to).poll_write(cx, bytes)) {
        Ok(0) => Poll::Ready(Err((false, io::ErrorKind::WriteZero.into()))),
        Ok(n) => Poll::Ready(Ok(n)),
        Err(e) => Poll::Ready(Err((false, e))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn every_byte_both_ways_and_half_close() {
        let (mut device, mut left) = tokio::io::duplex(333);
        let (mut server, mut right) = tokio::io::duplex(100);
        let up: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
        let down: Vec<u8> = (0..150_000u32).map(|i| (i * 7) as u8).collect();
        let (want_up, want_down) = (up.clone(), down.clone());
        let relay = tokio::spawn(async move {
            let mut counts = [0usize; 2];
            let end = relay(&mut left, &mut right, |dir, bytes| counts[dir.index()] += bytes.len()).await;
            assert!(matches!(end, End::Done));
            counts
        });
        let origin = tokio::spawn(async move {
            let mut got = Vec::new();
            server.read_to_end(&mut got).await.unwrap();
            // The device has closed its half; the answer still flows.
            server.write_all(&down).await.unwrap();
            server.shutdown().await.unwrap();
            got
        });
        device.write_all(&up).await.unwrap();
        device.shutdown().await.unwrap();
        let mut got = Vec::new();
        device.read_to_end(&mut got).await.unwrap();
        assert!(got == want_down && origin.await.unwrap() == want_up);
        assert_eq!(relay.await.unwrap(), [200_000, 150_000]);
    }

    /// A server that breaks off when its client has said good-bye.
    struct Broken;

    impl AsyncRead for Broken {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
        }
    }

    impl AsyncWrite for Broken {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn who_left_first_had_left() {
        let (mut device, mut left) = tokio::io::duplex(64);
        device.shutdown().await.unwrap();
        assert!(matches!(relay(&mut left, &mut Broken, |_, _| ()).await, End::Left(_)));
        let (_device, mut left) = tokio::io::duplex(64);
        assert!(matches!(relay(&mut left, &mut Broken, |_, _| ()).await, End::Failed(Dir::Back, _)));
    }
}
