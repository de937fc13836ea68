//! What the kernel knows about a connection: how many of our bytes the device's TCP has acknowledged.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::libc;

/// Bytes of ours that the peer's TCP acknowledged, or `None` where the kernel does not say.
///
/// `tcpi_bytes_acked` (Linux 4.1, RFC 4898 tcpEStatsAppHCThruOctetsAcked) lies 120 bytes into `struct tcp_info` of `linux/tcp.h`: 8 one-byte
/// fields, 24 of four bytes, 2 of eight.
pub(crate) fn bytes_acked(socket: BorrowedFd<'_>) -> Option<u64> {
    const AT: usize = 120;
    let mut info = [0u8; 256];
    let mut len = info.len() as libc::socklen_t;
    #[expect(unsafe_code, reason = "no safe wrapper for TCP_INFO exists; the kernel writes at most `len` bytes into a live array")]
    let said = unsafe { libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &raw mut len) };
    if said != 0 || (len as usize) < AT + 8 {
        return None;
    }
    let bytes = info.get(AT..AT + 8)?;
    Some(u64::from_ne_bytes(bytes.try_into().ok()?))
}
