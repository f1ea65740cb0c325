//! Growth of the ring (L4): the writer prepares a new ring, and a switch record in the old one names it.
//!
//! - The new ring is filled with zeros, and is durable with the file's length, before the switch record is stored.
//! - The barrier is had in the checkpointer's turn, through its description: so there are never three barriers at once.
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
    pub(crate) fn start_growth(&mut self, state: &State, steps: &mut Steps) {
        let mut next = *state;
        next.growths += 1;
        self.store(&mut next, LENGTH, LONG);
        if !self.keeps(LeftOut::NewRingDurable) {
            next.writer = self.switched(state);
            return steps
                .add(next, || "the writer makes the file longer for a new ring, without a barrier".into());
        }
        for page in NEW_RING..NEW_RING + NEW_RING_PAGES {
            self.store(&mut next, page, ZEROS);
        }
        self.change_all(&mut next, Change::StartBarrier(Barrier::Checkpoint));
        next.writer = Writer::Growing;
        next.checkpointer = Checkpointer::Lent;
        for description in self.descriptions(state) {
            next.checkpoint_description = description;
            steps.add(next, || {
                format!(
                    "the writer, {description:?}, fills a new ring with zeros; barrier with the length begins"
                )
            });
        }
    }

    /// The writer goes on with a transaction that changes nothing but the ring.
    fn switched(&mut self, state: &State) -> Writer {
        let newest = self.newest(state);
        let id = newest.id + 1;
        let new_ring = self.page_ceiling(newest.log_end + 1);
        let snapshot =
            Snapshot { id, wants_durable: false, is_logged: true, large: None, new_ring, ..newest };
        Writer::Stored(self.snapshots.number(snapshot))
    }

    /// `LeftOut::RecordBehindKept`: zeros over the record that a dead writer has left, and a barrier.
    pub(crate) fn erase_record_behind(&mut self, state: &State, newest: &Snapshot, steps: &mut Steps) {
        let mut next = *state;
        self.store_in_log(&mut next, newest.log_end, newest.new_ring, ZEROS);
        self.change_all(&mut next, Change::StartBarrier(Barrier::Checkpoint));
        next.writer = Writer::Erasing;
        next.checkpointer = Checkpointer::Lent;
        steps.add(next, || "the writer erases the record that a dead one has left; barrier begins".into());
    }

    /// The barrier that a writer has had in the checkpointer's turn.
    pub(crate) fn finish_writers_barrier(&mut self, state: &State, steps: &mut Steps) {
        let mut next = *state;
        if self.finish_barrier(&mut next, Barrier::Checkpoint) {
            next.checkpointer = Checkpointer::Idle;
            next.writer = if state.writer == Writer::Growing { self.switched(state) } else { Writer::Idle };
            steps.add(next, || "the writer's barrier is done".into());
        } else {
            next.checkpointer = Checkpointer::Told;
            next.writer = Writer::Idle;
            steps.add(next, || "the writer is told that the barrier has failed".into());
        }
    }

    /// The log start has left the old ring, whose pages somebody uses at once.
    pub(crate) fn free_old_ring(&mut self, state: &mut State) {
        if state.is_old_ring_free {
            return;
        }
        state.is_old_ring_free = true;
        for page in RING..RING + MAX_RING_PAGES {
            self.store(state, page, USED_AGAIN);
        }
    }

    /// `LeftOut::OldRingKept`: newest has switched.
    pub(crate) fn free_old_ring_early(&mut self, state: &mut State, newest: &Snapshot) {
        if newest.new_ring != 0 && !self.keeps(LeftOut::OldRingKept) {
            self.free_old_ring(state);
        }
    }
}
