//! What a device says in clear because of an attack, wherever it goes: it comes under attacks again and again, and never else.

use policies::Time;

use super::shape;
use super::subjects::{Clear, MOST_PLACES, Subjects};
use crate::plan::Mode;

/// In so many attacked runs, each beside one that was not, something that comes by chance would have come in one that was not (one in 64 did not).
const OFTEN: u32 = 6;

impl Subjects {
    /// A datagram in clear to a peer.
    pub(super) fn datagram(&mut self, clear: Clear<'_>, now: Time, mode: Mode) {
        self.same_peer(clear, now, mode);
        // Names are asked in every run; which ones, their shape does not say.
        if clear.shape != Some(shape::DNS) {
            self.provoked(clear, mode);
        }
    }

    /// Whether something that tells more than that the network is there came in clear, in the runs of a program that were attacked and in none that
    /// was not. Where it is so often, it is the attack's doing, wherever it goes.
    pub(super) fn provoked(&mut self, clear: Clear<'_>, mode: Mode) {
        if mode != Mode::Runs || !clear.speaks || clear.shape.is_some_and(|shape| !shape::tells(shape)) {
            return;
        }
        let place = (clear.device, format!("{} {}", clear.shape.unwrap_or("bytes"), clear.place()));
        let mut attacked = self.all.iter_mut().filter(|(key, _)| key.device == clear.device).filter_map(|(_, state)| state.group.as_mut());
        let Some(run) = attacked.find(|group| group.treatment.defect().is_some()).map(|group| group.attempt) else {
            self.beside.remove(&place);
            if self.in_clear.len() < MOST_PLACES {
                self.in_clear.insert(place);
            }
            return;
        };
        if self.in_clear.contains(&place) || self.beside.len() >= MOST_PLACES && !self.beside.contains_key(&place) {
            return;
        }
        let (times, last) = self.beside.entry(place).or_default();
        if *times == 0 || *last != run {
            (*times, *last) = (*times + 1, run);
        }
        if *times >= OFTEN {
            let groups = self.all.iter_mut().filter(|(key, _)| key.device == clear.device).filter_map(|(_, state)| state.group.as_mut());
            groups.filter(|group| group.treatment.defect().is_some()).for_each(|group| group.provoked = true);
        }
    }
}
