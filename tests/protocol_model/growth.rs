//! Growth of the ring (L4): an unlogged transaction takes another ring, and the old one's pages are retired.
//!
//! - The new ring is filled with zeros. No barrier is needed: the checkpoint of the transaction covers them, and the
//!   file's length, and nothing is stored in the ring before that (L9).
//! - The old ring's pages are free by the interval rule, as any others.

use crate::disk::{LONG, USED_AGAIN, ZEROS};
use crate::model::Model;
use crate::options::LeftOut;
use crate::state::{LENGTH, Lsn, Ring, Snapshot, State, bit};

impl Model {
    pub(crate) fn may_grow(&self, state: &State) -> bool {
        state.growths < self.options.bounds.growths
    }

    /// Whether the area that is not newest's ring may be taken: no protected snapshot has it for its ring.
    pub(crate) fn is_other_area_free(&self, state: &State, newest: &Snapshot, protected: u32) -> bool {
        let is_in_the_way = |snapshot: Snapshot| {
            let is_protected = protected & bit(snapshot.id) != 0 && self.keeps(LeftOut::OldRingProtected);
            is_protected && snapshot.ring.area != newest.ring.area
        };
        !self.all_snapshots(state).any(is_in_the_way)
    }

    /// Takes the other area for a ring whose first byte has this number.
    pub(crate) fn take_new_ring(&mut self, state: &mut State, old: Ring, base: Lsn) -> Ring {
        let ring = Ring { area: 1 - old.area, base };
        if ring.area == 1 {
            self.store(state, LENGTH, LONG);
        }
        if self.keeps(LeftOut::NewRingZeros) {
            for page in self.area_pages(ring.area) {
                self.store(state, page, ZEROS);
            }
        }
        state.growths += 1;
        state.is_other_area_used = false;
        ring
    }

    /// The state, and the one in which a writer has used the pages of a ring that was given up for something else.
    pub(crate) fn with_other_area_used(
        &mut self,
        state: &State,
        newest: &Snapshot,
        protected: u32,
    ) -> Vec<State> {
        let mut states = vec![*state];
        let may_be_used = state.growths > 0 && !state.is_other_area_used;
        if may_be_used && self.is_other_area_free(state, newest, protected) {
            let mut used = *state;
            used.is_other_area_used = true;
            for page in self.area_pages(1 - newest.ring.area) {
                self.store(&mut used, page, USED_AGAIN);
            }
            states.push(used);
        }
        states
    }
}
