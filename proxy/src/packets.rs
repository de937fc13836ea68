//! Real packets of one interface, from the kernel (AF_PACKET), with its own time stamps and its count of what it dropped.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike as _, SockaddrStorage, bind,
    recvmsg, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeSpec, TimeVal};
use policies::Time;

use crate::batch::{BUSY, NAP};
use crate::error::Error;

/// The largest frame that is kept whole: 64 KiB of IP (segmentation offload makes such frames on virtual links) and a link header.
const LARGEST: usize = 65_536 + 64;
/// The kernel's buffer for us: a second at 32 MB/s.
const KERNEL_BUFFER: usize = 32 << 20;
/// How often a silent interface lets the reader look around.
const GLANCE: Duration = Duration::from_millis(200);

/// Packets passed over while the count of dropped ones is brought up to date.
const MOST_LATE: usize = 1024;

/// A frame as the kernel saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub time: Time,
    pub bytes: &'a [u8],
    /// Its length on the wire.
    pub len: usize,
    /// This machine sent it.
    pub ours: bool,
}

/// An open capture of one interface. Needs CAP_NET_RAW in its network namespace.
#[derive(Debug)]
pub struct Packets {
    socket: OwnedFd,
    index: usize,
    buffer: Vec<u8>,
    control: Vec<u8>,
    /// Packets the kernel could not hand over since the start.
    dropped: u32,
    /// When the last packet came.
    busy: Option<Instant>,
}

impl Packets {
    pub fn open(interface: &str) -> Result<Packets, Error> {
        let open = || -> io::Result<Packets> {
            let index = if_nametoindex(interface)? as usize;
            let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
            // The privileged form may pass the system's limit; without the privilege the limit holds.
            if setsockopt(&socket, sockopt::RcvBufForce, &KERNEL_BUFFER).is_err() {
                let _ = setsockopt(&socket, sockopt::RcvBuf, &KERNEL_BUFFER);
            }
            setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
            setsockopt(&socket, sockopt::RxqOvfl, &1)?;
            setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, GLANCE.as_micros() as i64))?;
            let control = nix::cmsg_space!(TimeSpec, u32);
            let packets = Packets { socket, index, buffer: vec![0; LARGEST], control, dropped: 0, busy: None };
            packets.narrow(interface)?;
            Ok(packets)
        };
        open().map_err(Error::io("the packet socket (needs CAP_NET_RAW)"))
    }

    /// Asks the kernel for this interface alone: what passes the others need not be copied. The address of an interface names no protocol, and
    /// so leaves that of the socket as it is (packet(7)).
    fn narrow(&self, interface: &str) -> io::Result<()> {
        let link = |address: &SockaddrStorage| address.family() == Some(AddressFamily::Packet);
        let mine = getifaddrs()?.find(|a| a.interface_name == interface && a.address.as_ref().is_some_and(link));
        if let Some(address) = mine.and_then(|a| a.address) {
            bind(self.socket.as_raw_fd(), &address)?;
        }
        Ok(())
    }

    /// The next packet of the interface; `None` when none came for a while.
    pub fn take(&mut self) -> Result<Option<Packet<'_>>, Error> {
        loop {
            // While packets keep coming the thread naps between them: to be woken by each costs more than to take it. What comes in a nap
            // fits the kernel's buffer many times over.
            let napping = self.busy.is_some_and(|at| at.elapsed() < BUSY);
            let flags = if napping { MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT } else { MsgFlags::MSG_TRUNC };
            let mut parts = [IoSliceMut::new(&mut self.buffer)];
            let got = match recvmsg::<LinkAddr>(self.socket.as_raw_fd(), &mut parts, Some(&mut self.control), flags) {
                Ok(got) => got,
                Err(nix::errno::Errno::EAGAIN) if napping => {
                    std::thread::sleep(NAP);
                    continue;
                }
                Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return Ok(None),
                // The interface is down for a moment.
                Err(nix::errno::Errno::ENETDOWN) => {
                    std::thread::sleep(GLANCE);
                    return Ok(None);
                }
                Err(e) => return Err(Error::Io { what: "the packet socket", source: e.into() }),
            };
            let mine = got.address.is_some_and(|a| a.ifindex() == self.index);
            let ours = got.address.is_some_and(|a| a.pkttype() == nix::libc::PACKET_OUTGOING);
            let len = got.bytes;
            let mut time = Time::default();
            if let Ok(all) = got.cmsgs() {
                for message in all {
                    match message {
                        ControlMessageOwned::ScmTimestampns(t) => time = Time(t.tv_sec() * 1_000_000_000 + t.tv_nsec()),
                        ControlMessageOwned::RxqOvfl(n) => self.dropped = n,
                        _ => {}
                    }
                }
            }
            if mine {
                self.busy = Some(Instant::now());
                let bytes = self.buffer.get(..len.min(LARGEST)).unwrap_or_default();
                return Ok(Some(Packet { time, bytes, len, ours }));
            }
        }
    }

    /// Brings [`dropped`](Self::dropped) up to now: the kernel tells what it dropped only beside a packet that came later, so a burst at the very
    /// end would stay unsaid. The socket turns to the loopback, where one packet is sent; what else comes meanwhile is passed over. The last
    /// thing that is done with it.
    pub fn settle(&mut self) -> io::Result<()> {
        self.narrow("lo")?;
        let knock = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        knock.send_to(b"overhear", knock.local_addr()?)?;
        for _ in 0..MOST_LATE {
            if self.take().map_err(io::Error::other)?.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }

    pub fn dropped(&self) -> u32 {
        self.dropped
    }
}
