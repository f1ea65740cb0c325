//! What may go wrong: loss of power, deaths of processes, barriers that fail.

use crate::disk::{KeyPosition, TORN};
use crate::explore::{Model, Steps};
use crate::options::LeftOut;
use crate::state::{DATA_PAGES, Phase, Reader, State, Syncer, Writer, bit};

impl Model {
    pub(crate) fn crash_steps(&mut self, state: &State, steps: &mut Steps) {
        let bounds = self.options.bounds;
        if state.power_losses < bounds.power_losses {
            self.power_loss(state, steps);
        }
        if state.kills < bounds.kills {
            self.deaths(state, steps);
        }
        let has_barrier = matches!(state.syncer, Syncer::FirstBarrier { .. } | Syncer::LastBarrier { .. });
        let is_recovering = matches!(state.phase, Phase::Erased { .. });
        if state.failed_syncs < bounds.failed_syncs && (has_barrier || is_recovering) {
            self.failed_sync(state, steps);
        }
        // Another program that syncs the file may get the error that pages could not be written. One moment will do.
        let syncs_elsewhere = matches!(state.writer, Writer::Scanning { .. });
        let may_fail_unsaid = state.failed_syncs < bounds.failed_syncs && state.kills < bounds.kills;
        if may_fail_unsaid && state.phase == Phase::Open && (has_barrier || syncs_elsewhere) {
            self.failed_sync_unsaid(state, has_barrier, steps);
        }
    }

    /// Every place has something that the disk may have held, independently of all others.
    fn power_loss(&mut self, state: &State, steps: &mut Steps) {
        let mut closed = state.clone();
        closed.power_losses += 1;
        close(&mut closed);
        let outcomes = |index: usize, place: &KeyPosition| -> Vec<KeyPosition> {
            let may_tear = index >= DATA_PAGES || self.options.bounds.torn_pages;
            place.after_power_loss(may_tear).collect()
        };
        for next in every_outcome(closed, &state.places, outcomes) {
            steps.add("LOSS OF POWER, the", state.power_losses, next);
        }
    }

    /// The kernel forgets that pages are dirty, whether they have been written or not. The library poisons
    /// the database; nothing goes on but another opening.
    fn failed_sync(&mut self, state: &State, steps: &mut Steps) {
        let mut closed = state.clone();
        closed.failed_syncs += 1;
        close(&mut closed);
        for next in every_outcome(closed, &state.places, |_, place| place.after_failed_barrier()) {
            steps.add("A BARRIER FAILS, all close the database, the", state.failed_syncs, next);
        }
    }

    /// As a failed sync, but the process that gets the error is killed before the database is poisoned. Others go on,
    /// one of which has opened the file after that: the kernel does not report the error to it.
    fn failed_sync_unsaid(&mut self, state: &State, has_barrier: bool, steps: &mut Steps) {
        let mut after = state.clone();
        after.failed_syncs += 1;
        after.kills += 1;
        self.kill_syncer(&mut after);
        let mut all_killed = after.clone();
        all_killed.writer = Writer::Idle;
        all_killed.inherited = all_killed.head;
        for next in every_outcome(all_killed, &state.places, |_, place| place.after_failed_barrier()) {
            steps.add("A SYNC FAILS, writer and syncer are killed at once, the", state.failed_syncs, next);
        }
        if has_barrier {
            after.inherited = match state.writer {
                Writer::Stored(snapshot) | Writer::Announced(snapshot) => snapshot.id,
                _ => state.head,
            };
            for next in every_outcome(after, &state.places, |_, place| place.after_failed_barrier()) {
                steps.add("A BARRIER FAILS, the syncer is killed at once, the", state.failed_syncs, next);
            }
        }
    }

    fn deaths(&mut self, state: &State, steps: &mut Steps) {
        let mut after = state.clone();
        after.kills += 1;
        if state.phase != Phase::Open {
            after.phase = Phase::Closed;
            steps.add("KILLED in recovery, the", state.kills, after);
            return;
        }
        let mut without_writer = after.clone();
        without_writer.writer = Writer::Idle;
        self.roll_back(&mut without_writer);
        if state.writer != Writer::Idle {
            steps.add("WRITER KILLED, the", state.kills, without_writer);
        }
        let mut without_syncer = after.clone();
        self.kill_syncer(&mut without_syncer);
        if state.syncer != Syncer::Idle {
            steps.add("SYNCER KILLED, the", state.kills, without_syncer.clone());
        } else if state.head > state.durable {
            let mut next = after;
            next.target = next.head;
            let slot = DATA_PAGES + self.slot_to_write(&next);
            next.places[slot].store(TORN);
            self.kill_syncer(&mut next);
            steps.add("SYNCER KILLED while storing a record, the", state.kills, next);
        }
        let mut without_all = without_syncer;
        without_all.writer = Writer::Idle;
        without_all.reader = Reader::None;
        self.roll_back(&mut without_all);
        steps.add("ALL KILLED, the shared words stay, the", state.kills, without_all.clone());
        close(&mut without_all);
        steps.add("ALL KILLED, the shared words are lost, the", state.kills, without_all);
    }

    /// The barrier in flight may finish or not; the target stays protected (R4).
    fn kill_syncer(&self, state: &mut State) {
        state.places.iter_mut().for_each(KeyPosition::abandon_barrier);
        state.syncer = Syncer::Idle;
        state.dead_targets |= bit(state.target);
        state.target = 0;
        if !self.options.keeps(LeftOut::DeadTargetKept) {
            state.dead_targets = 0;
        }
    }

    fn roll_back(&self, state: &mut State) {
        if !self.options.keeps(LeftOut::HeadKept) && state.syncer == Syncer::Idle {
            state.head = state.visible;
            let head = state.head;
            state.snapshots.retain(|snapshot| snapshot.id <= head);
            state.dead_targets &= (bit(head) << 1).wrapping_sub(1);
        }
    }
}

/// No process has the database open any more, and nothing is known except what is in the file.
fn close(state: &mut State) {
    state.places.iter_mut().for_each(KeyPosition::abandon_barrier);
    state.phase = Phase::Closed;
    state.writer = Writer::Idle;
    state.syncer = Syncer::Idle;
    state.reader = Reader::None;
    state.target = 0;
    state.hazard = 0;
    state.pending = 0;
    state.dead_targets = 0;
    state.inherited = 0;
    state.durable = state.acknowledged;
    state.visible = state.acknowledged;
    state.durable_slot = 0;
    state.next_id = 0;
}

/// All combinations of what may become of each place.
fn every_outcome(
    closed: State,
    places: &[KeyPosition],
    outcomes: impl Fn(usize, &KeyPosition) -> Vec<KeyPosition>,
) -> Vec<State> {
    let mut states = vec![closed];
    for (index, place) in places.iter().enumerate() {
        let outcomes = outcomes(index, place);
        states = states
            .into_iter()
            .flat_map(|state| {
                outcomes.iter().map(move |&outcome| {
                    let mut next = state.clone();
                    next.places[index] = outcome;
                    next
                })
            })
            .collect();
    }
    states
}
