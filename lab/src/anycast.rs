//! A datagram socket that answers from whatever address it was called at (IP_PKTINFO): in the lab's Internet that is any.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::libc;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::Fault;

/// Opens one on the unspecified address of a family, in the network namespace of this thread.
pub(crate) fn open(address: SocketAddr) -> Result<std::net::UdpSocket, Fault> {
    use socket2::{Domain, Protocol, Socket, Type};
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        socket.bind(&address.into())?;
        Ok::<_, io::Error>(socket.into())
    };
    open().map_err(Fault::odd(format!("opening {address} for datagrams in the lab")))
}

/// Answers every datagram by `answer(message, from)`, until the task is dropped.
pub(crate) async fn serve(socket: Arc<UdpSocket>, answer: impl Fn(&[u8], IpAddr) -> Option<Vec<u8>>) {
    let mut buffer = vec![0; 4096];
    loop {
        // An error belongs to one peer (port unreachable), not to the socket.
        let Ok((length, from, at)) = socket.async_io(Interest::READABLE, || receive(&socket, &mut buffer)).await else { continue };
        let Some(peer) = address_of(&from) else { continue };
        if let Some(reply) = buffer.get(..length).and_then(|message| answer(message, peer)) {
            let _ = socket.async_io(Interest::WRITABLE, || send(&socket, &reply, &from, at)).await;
        }
    }
}

/// Where a datagram arrived.
#[derive(Clone, Copy)]
enum At {
    V4(libc::in_addr),
    V6(libc::in6_addr),
    Unknown,
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SockaddrStorage, At)> {
    let mut space = nix::cmsg_space!(libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty())?;
    let at = message.cmsgs()?.fold(At::Unknown, |at, control| match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => At::V4(info.ipi_addr),
        ControlMessageOwned::Ipv6PacketInfo(info) => At::V6(info.ipi6_addr),
        _ => at,
    });
    let from = message.address.ok_or(io::ErrorKind::InvalidData)?;
    Ok((message.bytes, from, at))
}

fn send(socket: &UdpSocket, bytes: &[u8], to: &SockaddrStorage, from: At) -> io::Result<usize> {
    let parts = [IoSlice::new(bytes)];
    let send = |control: &[ControlMessage<'_>]| sendmsg(socket.as_raw_fd(), &parts, control, MsgFlags::empty(), Some(to));
    let sent = match from {
        At::V4(address) => {
            let none = libc::in_addr { s_addr: u32::from(Ipv4Addr::UNSPECIFIED) };
            send(&[ControlMessage::Ipv4PacketInfo(&libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: none })])
        }
        At::V6(address) => send(&[ControlMessage::Ipv6PacketInfo(&libc::in6_pktinfo { ipi6_addr: address, ipi6_ifindex: 0 })]),
        At::Unknown => send(&[]),
    };
    Ok(sent?)
}

fn address_of(storage: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}
