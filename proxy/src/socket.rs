//! A connection of the gateway: a TCP socket, or a pipe in this process where a lab has no network.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;

use crate::wire::Link;

#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    Memory(Pipe),
}

impl Socket {
    /// Looks at the first bytes without taking them; 0: the other side has closed.
    pub(crate) async fn peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.peek(into).await,
            Socket::Memory(pipe) => pipe.peek(into).await,
        }
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Socket {
        Socket::Tcp(stream)
    }
}

impl From<DuplexStream> for Socket {
    fn from(stream: DuplexStream) -> Socket {
        Socket::Memory(Pipe { stream, peeked: None })
    }
}

impl Link for Socket {
    fn acked(&self) -> Option<u64> {
        match self {
            Socket::Tcp(stream) => stream.acked(),
            Socket::Memory(pipe) => pipe.stream.acked(),
        }
    }

    fn abort(&mut self) {
        match self {
            Socket::Tcp(stream) => stream.abort(),
            Socket::Memory(pipe) => pipe.stream.abort(),
        }
    }

    fn acknowledge(&self) {
        match self {
            Socket::Tcp(stream) => stream.acknowledge(),
            Socket::Memory(pipe) => pipe.stream.acknowledge(),
        }
    }
}

/// A pipe of which one byte may have been looked at.
#[derive(Debug)]
pub struct Pipe {
    stream: DuplexStream,
    peeked: Option<u8>,
}

impl Pipe {
    async fn peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(first) = into.first_mut() else { return Ok(0) };
        if self.peeked.is_none() {
            let mut byte = [0];
            self.peeked = poll_fn(|cx| {
                let mut into = ReadBuf::new(&mut byte);
                ready!(Pin::new(&mut self.stream).poll_read(cx, &mut into))?;
                Poll::Ready(io::Result::Ok(into.filled().first().copied()))
            })
            .await?;
        }
        Ok(self.peeked.map_or(0, |byte| {
            *first = byte;
            1
        }))
    }
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if into.remaining() > 0
            && let Some(byte) = self.peeked.take()
        {
            into.put_slice(&[byte]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

/// Calls the same method of whichever it is.
macro_rules! either {
    ($it:expr, $stream:ident => $call:expr) => {
        match $it.get_mut() {
            Socket::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Socket::Memory(pipe) => {
                let $stream = Pin::new(&mut pipe.stream);
                $call
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, into),
            Socket::Memory(pipe) => Pin::new(pipe).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Socket::Tcp(stream) => stream.is_write_vectored(),
            Socket::Memory(pipe) => pipe.stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_was_looked_at_is_still_there() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut socket = Socket::from(ours);
        let mut byte = [0];
        tokio::select! {
            biased;
            said = socket.peek(&mut byte) => panic!("nothing was said: {said:?}"),
            () = std::future::ready(()) => {}
        }
        theirs.write_all(b"hello").await.unwrap();
        for _ in 0..2 {
            assert_eq!((socket.peek(&mut byte).await.unwrap(), &byte), (1, b"h"));
        }
        drop(theirs);
        let mut all = Vec::new();
        socket.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"hello");
        assert_eq!(socket.peek(&mut byte).await.unwrap(), 0, "it has closed");
    }
}
