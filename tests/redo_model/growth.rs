//! Growth of the ring (L4): a new ring is prepared, and a switch record in the old one names it.
//!
//! - The new ring is filled with zeros, and is durable with the file's length, before a word says that it is ready.
//!   That is done in the checkpointer's turn, through its description: so there are never three barriers at once, and
//!   no writer waits.
//! - The writer that finds it ready appends the switch record, as a transaction that changes nothing.
//! - The old ring's pages are free when the log start, not only `checkpointed`, has left it: a newcomer that stores log
//!   bytes again reads from the log start on.

use crate::disk::{Barrier, Change, LONG, USED_AGAIN, ZEROS};
use crate::explore::Steps;
use crate::model::Model;
use crate::options::LeftOut;
use crate::state::{
    Checkpointer, LENGTH, MAX_RING_PAGES, NEW_RING, NEW_RING_PAGES, RING, Snapshot, State, Writer,
};

impl Model {
    pub(crate) fn start_filling(&mut self, state: &State, steps: &mut Steps) {
        let may_grow = state.growths < self.options.bounds.growths && !state.words.is_new_ring_ready;
        if !may_grow || self.newest(state).new_ring != 0 {
            return;
        }
        let mut next = *state;
        next.growths += 1;
        self.store(&mut next, LENGTH, LONG);
        if !self.keeps(LeftOut::NewRingDurable) {
            next.words.is_new_ring_ready = true;
            return steps.add(next, || "the file gets longer for a new ring, without a barrier".into());
        }
        for page in NEW_RING..NEW_RING + NEW_RING_PAGES {
            self.store(&mut next, page, ZEROS);
        }
        self.change_all(&mut next, Change::StartBarrier(Barrier::Checkpoint));
        next.checkpointer = Checkpointer::Filling;
        for description in self.descriptions(state) {
            next.checkpoint_description = description;
            steps.add(next, || {
                format!("a checkpointer, {description:?}, fills a new ring with zeros; barrier begins")
            });
        }
    }

    pub(crate) fn finish_filling(&mut self, state: &State, steps: &mut Steps) {
        let mut next = *state;
        next.checkpointer = if self.finish_barrier(&mut next, Barrier::Checkpoint) {
            next.words.is_new_ring_ready = true;
            Checkpointer::Idle
        } else {
            Checkpointer::StepOutcome
        };
        steps.add(next, || format!("barrier over the new ring, with the length: {:?}", next.checkpointer));
    }

    /// A transaction that changes nothing but the ring.
    pub(crate) fn start_switch(&mut self, state: &State, newest: &Snapshot, steps: &mut Steps) {
        if !state.words.is_new_ring_ready || newest.new_ring != 0 || self.orphan(state, newest).is_some() {
            return;
        }
        let mut next = *state;
        let id = newest.id + 1;
        let new_ring = self.page_ceiling(newest.log_end + 1);
        let snapshot =
            Snapshot { id, wants_durable: false, is_logged: true, large: None, new_ring, ..*newest };
        next.writer = Writer::Stored(self.snapshots.number(snapshot));
        steps.add(next, || "a writer finds the new ring ready, and is to switch".into());
    }

    /// Without `LeftOut::OrphanKept`: zeros over the record that a dead writer has left, and a barrier.
    pub(crate) fn erase_orphan(&mut self, state: &State, newest: &Snapshot, steps: &mut Steps) {
        let mut next = *state;
        self.store_in_log(&mut next, newest.log_end, newest.new_ring, ZEROS);
        self.change_all(&mut next, Change::StartBarrier(Barrier::Checkpoint));
        next.writer = Writer::Erasing;
        next.checkpointer = Checkpointer::Lent;
        steps.add(next, || "the writer erases the record that a dead one has left; barrier begins".into());
    }

    pub(crate) fn finish_erasing_orphan(&mut self, state: &State, steps: &mut Steps) {
        let mut next = *state;
        next.writer = Writer::Idle;
        if self.finish_barrier(&mut next, Barrier::Checkpoint) {
            next.checkpointer = Checkpointer::Idle;
            steps.add(next, || "the writer's barrier is done".into());
        } else {
            next.checkpointer = Checkpointer::StepOutcome;
            steps.add(next, || "the writer is told that the barrier has failed".into());
        }
    }

    /// The log start has left the old ring. Its pages are used for something else at once.
    pub(crate) fn free_old_ring(&mut self, state: &mut State) {
        if state.is_old_ring_free {
            return;
        }
        state.is_old_ring_free = true;
        for page in RING..RING + MAX_RING_PAGES {
            self.store(state, page, USED_AGAIN);
        }
    }

    /// Without `LeftOut::OldRingKept`: newest has switched.
    pub(crate) fn free_old_ring_early(&mut self, state: &mut State, newest: &Snapshot) {
        if newest.new_ring != 0 && !self.keeps(LeftOut::OldRingKept) {
            self.free_old_ring(state);
        }
    }
}
