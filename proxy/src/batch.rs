//! A channel's receiver that is not woken for every item.
//!
//! Waking a sleeping thread costs the sender a system call and the machine a switch, more than most items cost to work off. So while items
//! keep coming the receiver naps, and takes at once what came meanwhile; when nothing has come for a while it sleeps until it is woken.

use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

/// How long after an item the next is waited for in naps, and how long one lasts.
pub(crate) const BUSY: Duration = Duration::from_millis(20);
pub(crate) const NAP: Duration = Duration::from_millis(1);

/// Takes items in batches. An item waits for at most a nap.
#[derive(Debug)]
pub struct Batched<T> {
    inbox: Receiver<T>,
    /// When the inbox was last found empty after an item.
    last: Option<Instant>,
    /// An item came since it was found empty.
    busy: bool,
}

impl<T> Batched<T> {
    pub fn new(inbox: Receiver<T>) -> Batched<T> {
        Batched { inbox, last: None, busy: false }
    }

    /// The next item; an error once all senders are gone and nothing is left.
    pub fn recv(&mut self) -> Result<T, RecvError> {
        loop {
            match self.soon() {
                Ok(Some(item)) => return Ok(item),
                Ok(None) => {}
                Err(e) => return Err(e),
            }
            if !self.nap() {
                let item = self.inbox.recv()?;
                self.busy = true;
                return Ok(item);
            }
        }
    }

    /// The same, for at most `wait` (and a nap).
    pub fn recv_timeout(&mut self, wait: Duration) -> Result<T, RecvTimeoutError> {
        let until = Instant::now() + wait;
        loop {
            match self.soon() {
                Ok(Some(item)) => return Ok(item),
                Ok(None) => {}
                Err(RecvError) => return Err(RecvTimeoutError::Disconnected),
            }
            let now = Instant::now();
            if now >= until {
                return Err(RecvTimeoutError::Timeout);
            }
            if !self.nap() {
                let item = self.inbox.recv_timeout(until - now)?;
                self.busy = true;
                return Ok(item);
            }
        }
    }

    /// An item that is there now.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let item = self.inbox.try_recv();
        self.busy |= item.is_ok();
        item
    }

    fn soon(&mut self) -> Result<Option<T>, RecvError> {
        match self.try_recv() {
            Ok(item) => Ok(Some(item)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(RecvError),
        }
    }

    /// Naps if an item came not long ago; whether it did.
    fn nap(&mut self) -> bool {
        if std::mem::take(&mut self.busy) {
            self.last = Some(Instant::now());
        }
        let soon = self.last.is_some_and(|at| at.elapsed() < BUSY);
        if soon {
            std::thread::sleep(NAP);
        }
        soon
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// Quick ones, slow ones, a pause longer than any nap, and the end: all come, in order.
    #[test]
    fn every_item_in_order_and_the_end() {
        let (to, inbox) = channel();
        let sender = std::thread::spawn(move || {
            for i in 0..300u32 {
                to.send(i).unwrap();
                match i {
                    100..110 => std::thread::sleep(Duration::from_millis(2)),
                    200 => std::thread::sleep(BUSY * 3),
                    _ => {}
                }
            }
        });
        let mut inbox = Batched::new(inbox);
        let mut got = Vec::new();
        while let Ok(i) = inbox.recv() {
            got.push(i);
        }
        sender.join().unwrap();
        assert!(got == (0..300).collect::<Vec<u32>>(), "{got:?}");
        assert_eq!(inbox.recv_timeout(Duration::from_secs(5)), Err(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn a_wait_ends() {
        let (to, inbox) = channel();
        let mut inbox = Batched::new(inbox);
        assert_eq!(inbox.recv_timeout(Duration::from_millis(5)), Err(RecvTimeoutError::Timeout));
        to.send(1).unwrap();
        assert_eq!(inbox.recv_timeout(Duration::ZERO), Ok(1));
        assert_eq!(inbox.recv_timeout(Duration::from_millis(30)), Err(RecvTimeoutError::Timeout));
        assert_eq!(inbox.try_recv(), Err(TryRecvError::Empty));
    }
}
