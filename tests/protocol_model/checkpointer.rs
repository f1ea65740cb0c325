//! The checkpointer's turn: a barrier over everything, the meta, a barrier; then `checkpointed` and the log
//! start, together.
//!
//! - The checkpoint's target protects its snapshot from before the first barrier until `checkpointed` does (L1).
//! - The target of a dead checkpointer stays protected until its slot is erased, durably, or its words are set.
//! - Nothing but `checkpointed` and the log start moves here (L8).

use crate::disk::{Barrier, Change, ZEROS};
use crate::explore::Steps;
use crate::handles::forget_inherited;
use crate::model::Model;
use crate::options::LeftOut;
use crate::state::{Checkpointer, Id, SLOTS, State, Syncer, Words};

impl Model {
    pub(crate) fn checkpointer_steps(&mut self, state: &State, steps: &mut Steps) {
        let mut next = *state;
        match state.checkpointer {
            Checkpointer::Idle => self.start_checkpoint(state, steps),
            Checkpointer::Lent => {}
            Checkpointer::Erasing => {
                next.checkpointer = if self.finish_checkpoint_barrier(&mut next) {
                    next.words.checkpoint_target = 0;
                    Checkpointer::Idle
                } else {
                    Checkpointer::StepOutcome
                };
                steps.add(next, || format!("the slot is erased: {:?}", next.checkpointer));
            }
            Checkpointer::NewestRead(target) => {
                next.words.checkpoint_target = target;
                next.checkpointer = Checkpointer::TargetSet(target);
                steps.add(next, || format!("checkpoint's target := {target}"));
            }
            Checkpointer::TargetSet(target) => {
                let newest = state.words.newest;
                if newest != target && self.keeps(LeftOut::CheckpointLooksAgain) {
                    next.checkpointer = Checkpointer::NewestRead(newest);
                    steps.add(next, || {
                        format!("the checkpointer reads newest again: it has moved, to {newest}")
                    });
                } else {
                    self.begin_first_barrier(state, target, steps);
                }
            }
            Checkpointer::FirstBarrier(target) => self.store_meta(state, target, steps),
            Checkpointer::LastBarrier(target) => {
                next.checkpointer = if !self.finish_checkpoint_barrier(&mut next) {
                    Checkpointer::StepOutcome
                } else if self.keeps(LeftOut::WordsLast) {
                    Checkpointer::BarriersDone(target)
                } else {
                    Checkpointer::WordsSet(target)
                };
                if !self.keeps(LeftOut::CheckpointTargetClearedLast) {
                    next.words.checkpoint_target = 0;
                }
                steps.add(next, || format!("barrier over the meta of {target}: {:?}", next.checkpointer));
            }
            Checkpointer::StepOutcome => self.poison(state, steps),
            Checkpointer::BarriersDone(target) => {
                let is_in_use = matches!(state.syncer, Syncer::BytesRead { .. });
                if is_in_use && self.keeps(LeftOut::LogStartWaits) {
                    return;
                }
                next.words.log_start = self.snapshot(state, target).log_end;
                next.checkpointer = if self.keeps(LeftOut::WordsTogether) {
                    self.set_checkpointed(&mut next, target);
                    Checkpointer::WordsSet(target)
                } else {
                    Checkpointer::LogStartSet(target)
                };
                let Words { checkpointed, log_start, .. } = next.words;
                steps.add(next, || format!("checkpointed := {checkpointed}, log start := {log_start}"));
            }
            Checkpointer::LogStartSet(target) => {
                self.set_checkpointed(&mut next, target);
                next.checkpointer = Checkpointer::WordsSet(target);
                steps.add(next, || format!("checkpointed := {target}"));
            }
            Checkpointer::WordsSet(_) => {
                next.words.checkpoint_target = 0;
                next.checkpointer = Checkpointer::Idle;
                steps.add(next, || "the checkpoint's target is cleared".into());
            }
        }
    }

    fn start_checkpoint(&mut self, state: &State, steps: &mut Steps) {
        let words = state.words;
        let has_dead_target = words.checkpoint_target != 0 && self.keeps(LeftOut::DeadCheckpointKept);
        if !has_dead_target && words.newest <= words.checkpointed {
            return;
        }
        for description in self.descriptions(state) {
            let mut next = *state;
            next.checkpoint_description = description;
            if has_dead_target && words.checkpoint_target <= words.checkpointed {
                next.checkpointer = Checkpointer::WordsSet(words.checkpoint_target);
                steps.add(next, || "a checkpointer finds the target of a dead one checkpointed".into());
            } else if has_dead_target {
                let slot = SLOTS + 1 - usize::from(words.slot);
                self.store(&mut next, slot, ZEROS);
                self.change_all(&mut next, Change::StartBarrier(Barrier::Checkpoint));
                next.checkpointer = Checkpointer::Erasing;
                steps.add(next, || {
                    format!("a checkpointer, {description:?}, erases the slot of a dead one's target")
                });
            } else if self.options.bounds.every_word_alone {
                next.checkpointer = Checkpointer::NewestRead(words.newest);
                steps.add(next, || format!("a checkpointer, {description:?}, reads newest"));
            } else {
                next.words.checkpoint_target = words.newest;
                self.begin_first_barrier(&next, words.newest, steps);
            }
        }
    }

    fn finish_checkpoint_barrier(&mut self, state: &mut State) -> bool {
        self.finish_barrier(state, Barrier::Checkpoint)
    }

    fn begin_first_barrier(&mut self, state: &State, target: Id, steps: &mut Steps) {
        let mut next = *state;
        self.store_pages_again(&mut next, target);
        if self.keeps(LeftOut::BarrierBeforeRecord) {
            self.change_all(&mut next, Change::StartBarrier(Barrier::Checkpoint));
        }
        next.checkpointer = Checkpointer::FirstBarrier(target);
        steps.add(next, || format!("checkpoint of {target}: barrier over everything begins"));
    }

    /// L3: the target's pages that are not checkpointed, and may have been stored before the handle opened the file.
    fn store_pages_again(&mut self, state: &mut State, target: Id) {
        let inherited = self.inherited(state, state.checkpoint_description);
        if !self.keeps(LeftOut::NotOnlyFirst) {
            forget_inherited(state, state.checkpoint_description);
        }
        if !self.keeps(LeftOut::PagesStoredAgain) {
            return;
        }
        let snapshot = self.snapshot(state, target);
        let births = [snapshot.root_birth, snapshot.leaf_birth];
        for ((page, content), birth) in snapshot.pages().into_iter().zip(births) {
            let is_doubtful = birth > state.words.checkpointed && birth <= inherited;
            if is_doubtful && self.cache(state, usize::from(page)) == content {
                self.redirty(state, usize::from(page));
            }
        }
    }

    fn store_meta(&mut self, state: &State, target: Id, steps: &mut Steps) {
        let mut next = *state;
        if self.keeps(LeftOut::BarrierBeforeRecord) && !self.finish_checkpoint_barrier(&mut next) {
            next.checkpointer = Checkpointer::StepOutcome;
            return steps.add(next, || "the checkpointer is told that its barrier has failed".into());
        }
        let slot = self.slot_to_write(state);
        let meta = self.meta_of(&self.snapshot(state, target));
        self.store(&mut next, SLOTS + usize::from(slot), meta);
        if !self.keeps(LeftOut::WordsLast) {
            self.set_checkpointed(&mut next, target);
            next.words.log_start = self.snapshot(state, target).log_end;
        }
        if self.keeps(LeftOut::BarrierAfterRecord) {
            self.change(&mut next, SLOTS + usize::from(slot), Change::StartBarrier(Barrier::Checkpoint));
            next.checkpointer = Checkpointer::LastBarrier(target);
        } else {
            next.checkpointer = Checkpointer::BarriersDone(target);
        }
        steps.add(next, || format!("the meta of {target} is stored in slot {slot}"));
    }

    fn slot_to_write(&self, state: &State) -> u8 {
        if self.keeps(LeftOut::OtherSlot) { 1 - state.words.slot } else { state.words.slot }
    }

    fn set_checkpointed(&mut self, state: &mut State, target: Id) {
        state.words.slot = self.slot_to_write(state);
        state.words.checkpointed = target;
    }
}
