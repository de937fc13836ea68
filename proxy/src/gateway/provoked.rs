//! Clear connections and datagrams of a device, and what it says in them because of an attack: which trials that came beside. What it means is judged when all are known.

use std::net::IpAddr;
use std::sync::Arc;

use policies::Time;

use super::shape;
use super::subjects::{Key, MOST_PLACES, MOST_SHAPES, State, Subjects};
use crate::feed::FlowTap;
use crate::plan::Mode;

/// A connection in clear.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clear<'a> {
    pub(super) device: IpAddr,
    pub(super) server: IpAddr,
    /// The name it was meant for, or those its address was given out for; none where nothing is known.
    pub(super) names: &'a [String],
    /// What kind of request it is ([`super::shape`]); `None` of what is no text.
    pub(super) shape: Option<&'a str>,
    /// Something was said. Else the device waits for the server to speak, and what it says then is not known yet.
    pub(super) speaks: bool,
    /// The connection it came on; a datagram has none.
    pub(super) tap: Option<&'a Arc<FlowTap>>,
}

impl Clear<'_> {
    /// Whether it goes to the subject's own peer.
    pub(super) fn same(&self, key: &Key, state: &State) -> bool {
        let there = || state.servers.contains(&self.server);
        key.device == self.device
            && match (key.host.parse::<IpAddr>(), self.names) {
                // The peer was met by its address alone: that, or a name both were given out for.
                (Ok(ip), names) => ip == self.server || there() || names.iter().any(|name| state.names.contains(name)),
                (Err(_), []) => there(),
                // Many names share an address: what names another host is another peer's.
                (Err(_), names) => names.contains(&key.host),
            }
    }

    pub(super) fn place(&self) -> String {
        self.names.first().map_or_else(|| self.server.to_string(), Clone::clone)
    }
}

impl Subjects {
    /// A datagram in clear to a peer.
    pub(super) fn datagram(&mut self, clear: Clear<'_>, now: Time, mode: Mode) {
        self.same_peer(clear, now, mode);
        // Names are asked in every run; which ones, their shape does not say.
        if clear.shape != Some(shape::DNS) {
            self.provoked(clear, mode);
        }
    }

    /// Keeps something in clear that tells more than that the network is there: with what is attacked at that moment, or as what comes anyway.
    pub(super) fn provoked(&mut self, clear: Clear<'_>, mode: Mode) {
        if mode != Mode::Runs || !clear.speaks || clear.shape.is_some_and(|shape| !shape::tells(shape)) {
            return;
        }
        let place = format!("{} {}", clear.shape.unwrap_or("bytes"), clear.place());
        let groups = self.all.iter_mut().filter(|(key, _)| key.device == clear.device).filter_map(|(_, state)| state.group.as_mut());
        let mut quiet = true;
        for group in groups.filter(|group| group.treatment.defect().is_some()) {
            quiet = false;
            if group.elsewhere.len() < MOST_SHAPES {
                group.elsewhere.insert(place.clone());
            }
        }
        let place = (clear.device, place);
        if quiet && self.quiet.len() < MOST_PLACES && !self.quiet.contains(&place) {
            self.quiet.push(place);
        }
    }
}
