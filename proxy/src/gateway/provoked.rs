//! What a device says in clear because of an attack, wherever it goes: which trials it came beside. What it means is judged when all are known.

use super::shape;
use super::subjects::{Clear, MOST_PLACES, MOST_SHAPES, Subjects};
use crate::plan::Mode;
use policies::Time;

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
