//! Handles: what the kernel tells them of failed writes, how they die, and how the next one opens the database.
//!
//! - A description is told of a failed write if it was open when the write failed, or if no process had been told when
//!   it was opened; then its next barrier fails, whatever range that is for. One that is opened later is not told. Its
//!   handle inherits: it stores again what may have been stored before (L3).
//! - A handle has two descriptions, so that its syncer and its checkpointer are both told (L12).
//! - A process that is told poisons the database, or dies before that.
//! - A death takes whatever the process was doing: any of writing, syncing and checkpointing.
//! - With no handle left the lock file is not believed (L13): the next one recovers.

use crate::disk::{Barrier, Change, TORN};
use crate::explore::Steps;
use crate::model::Model;
use crate::options::{LeftOut, LockFile};
use crate::state::{Checkpointer, Description, Failure, Id, Reader, SLOTS, State, Syncer, Writer};
use crate::syncer::is_missing;

/// What a process that is killed was doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Work {
    writes: bool,
    syncs: bool,
    checkpoints: bool,
}

impl Work {
    fn of(state: &State) -> Work {
        Work {
            writes: state.writer != Writer::Idle,
            syncs: state.syncer != Syncer::Idle,
            checkpoints: state.checkpointer != Checkpointer::Idle,
        }
    }

    /// All work that one process may have had of this.
    fn parts(self, state: &State) -> impl Iterator<Item = Work> + use<> {
        let is_lent = state.checkpointer == Checkpointer::Lent;
        let all = (1..8u8).map(|bits| Work {
            writes: bits & 1 != 0,
            syncs: bits & 2 != 0,
            checkpoints: bits & 4 != 0,
        });
        all.filter(move |work| {
            let is_part = work.writes <= self.writes
                && work.syncs <= self.syncs
                && work.checkpoints <= self.checkpoints;
            is_part && (!is_lent || work.writes == work.checkpoints)
        })
    }
}

impl Model {
    // ---- what the kernel tells ----

    /// The descriptions that a handle may have which now takes a turn.
    pub(crate) fn descriptions(&self, state: &State) -> Vec<Description> {
        match state.failure {
            Failure::None if self.options.bounds.has_newcomers => {
                vec![Description::Sound, Description::Newcomer]
            }
            Failure::None => vec![Description::Sound],
            Failure::Untold => vec![Description::WillBeTold],
            Failure::StepOutcome { .. } => vec![Description::WillBeTold, Description::Newcomer],
        }
    }

    /// L3: the newest transaction whose bytes the handle may have to store again; 0: none.
    pub(crate) fn inherited(&self, state: &State, description: Description) -> Id {
        match (description, state.failure) {
            (Description::Newcomer, Failure::StepOutcome { inherited }) => inherited,
            (Description::Newcomer, Failure::None) if self.options.bounds.has_newcomers => Id::MAX,
            _ => 0,
        }
    }

    /// Ends a barrier, unless the kernel tells of a failed write: then returns false.
    pub(crate) fn finish_barrier(&mut self, state: &mut State, kind: Barrier) -> bool {
        let description = match kind {
            Barrier::Log => state.log_description,
            Barrier::Checkpoint => state.checkpoint_description,
        };
        if description != Description::WillBeTold {
            self.change_all(state, Change::FinishBarrier(kind));
            return true;
        }
        self.change_all(state, Change::AbandonBarrier(kind));
        if state.failure == Failure::Untold {
            let in_progress = u8::from(self.keeps(LeftOut::InheritedInProgress));
            state.failure = Failure::StepOutcome { inherited: state.words.newest + in_progress };
        }
        if !self.keeps(LeftOut::TwoDescriptions) {
            // The other turn is the same handle's.
            state.log_description = Description::Sound;
            state.checkpoint_description = Description::Sound;
        }
        if !self.keeps(LeftOut::Poison) {
            state.failure = Failure::None;
        }
        !self.keeps(LeftOut::Poison)
    }

    // ---- deaths ----

    pub(crate) fn deaths(&mut self, state: &State, steps: &mut Steps) {
        let mut after = *state;
        after.kills += 1;
        let all = Work::of(state);
        for work in all.parts(state) {
            let mut next = after;
            self.kill(&mut next, work);
            steps.add(next, || format!("KILLED: {work:?}"));
        }
        if all.writes {
            self.death_in_the_record(&after, steps);
        }
        if all.checkpoints {
            self.death_in_the_meta_record(&after, steps);
        }
        self.kill(&mut after, all);
        self.death_of_all(after, steps);
    }

    /// The writer has stored part of its record.
    fn death_in_the_record(&mut self, state: &State, steps: &mut Steps) {
        let Writer::Stored(snapshot) = state.writer else { return };
        let newest = self.newest(state);
        if self.get(snapshot).is_logged && self.has_room(state, &newest) {
            let mut next = *state;
            self.store_in_log(&mut next, newest.log_end, newest.ring, TORN);
            self.kill(&mut next, Work { writes: true, syncs: false, checkpoints: false });
            steps.add(next, || "KILLED: the writer, while it stores its record".into());
        }
    }

    /// The checkpointer has stored part of its record, or of the zeros.
    fn death_in_the_meta_record(&mut self, state: &State, steps: &mut Steps) {
        let is_storing = matches!(state.checkpointer, Checkpointer::FirstBarrier(_) | Checkpointer::Erasing);
        if is_storing && state.checkpoint_description != Description::WillBeTold {
            let mut next = *state;
            self.change_all(&mut next, Change::FinishBarrier(Barrier::Checkpoint));
            self.store(&mut next, SLOTS + 1 - usize::from(state.words.slot), TORN);
            self.kill(&mut next, Work { writes: false, syncs: false, checkpoints: true });
            steps.add(next, || "KILLED: the checkpointer, while it stores its record".into());
        }
    }

    fn kill(&mut self, state: &mut State, work: Work) {
        if work.writes {
            self.note_unpublished(state);
            state.life = (state.life + 1).min(3);
            state.writer = Writer::Idle;
            if !self.keeps(LeftOut::NewestKept) {
                self.roll_back(state);
            }
        }
        if work.syncs {
            self.change_all(state, Change::AbandonBarrier(Barrier::Log));
            state.syncer = Syncer::Idle;
        }
        if work.checkpoints {
            self.change_all(state, Change::AbandonBarrier(Barrier::Checkpoint));
            state.checkpointer = Checkpointer::Idle;
        }
    }

    /// Without R8.
    fn roll_back(&mut self, state: &mut State) {
        if state.syncer == Syncer::Idle && state.checkpointer == Checkpointer::Idle {
            state.words.newest = state.words.visible;
            let newest = state.words.newest;
            state.snapshots.retain(|id| self.snapshots.get(id).id <= newest);
            state.words.target = 0;
            state.words.checkpoint_target = 0;
        }
    }

    fn death_of_all(&mut self, mut state: State, steps: &mut Steps) {
        // A killed process loses nothing but an unlogged transaction whose commit has not returned.
        let kept = self.all_snapshots(&state).filter(|snapshot| !is_missing(&state, snapshot));
        state.kept = kept.map(|snapshot| snapshot.id).max().unwrap_or(0);
        state.reader = Reader::None;
        if self.options.bounds.lock_file == LockFile::Checked {
            self.open_by_lock_file(&state, steps);
        }
        self.close(&mut state);
        state.lock_file_copy = 0;
        steps.add(state, || "ALL ARE KILLED, the lock file is not believed".into());
    }

    // ---- a lock file that is believed ----

    /// The lock file is copied, and the copy may be put back later.
    pub(crate) fn copy_lock_file(&mut self, state: &State, steps: &mut Steps) {
        let is_of_use = self.options.bounds.lock_file == LockFile::Checked;
        if is_of_use && state.lock_file_copy == 0 && state.kills < self.options.bounds.kills {
            let mut next = *state;
            next.lock_file_copy = self.lock_files.number((state.words, state.snapshots));
            steps.add(next, || "A COPY OF THE LOCK FILE is made".into());
        }
    }

    /// A handle opens the database alone, with the lock file as it was left, or with an older copy of it.
    fn open_by_lock_file(&mut self, state: &State, steps: &mut Steps) {
        let left = self.lock_files.number((state.words, state.snapshots));
        let copy = state.lock_file_copy;
        for number in [left].into_iter().chain((copy != 0 && copy != left).then_some(copy)) {
            let mut next = *state;
            (next.words, next.snapshots) = *self.lock_files.get(number);
            next.lock_file_copy = 0;
            if !self.is_believed(&next) {
                continue;
            }
            let words = next.words;
            let age = if number == left { "as left" } else { "OLD" };
            let title = format!("ALL ARE KILLED, a lock file that is {age} is believed");
            let promised = state.acknowledged.max(state.kept);
            if words.newest < promised {
                let problem =
                    format!("the newest transaction is {}, but {promised} has happened", words.newest);
                steps.fail(&title, problem);
                continue;
            }
            if let Failure::StepOutcome { inherited } = &mut next.failure {
                *inherited = words.newest;
            }
            next.kept = 0;
            steps.add(next, || title);
        }
    }

    /// Nothing in the file is newer than what the lock file says, and what it says is there.
    fn is_believed(&self, state: &State) -> bool {
        let newest = self.newest(state);
        let words = state.words;
        let newest_meta = (0..2).filter_map(|slot| self.meta_in(state, slot)).map(|meta| meta.id).max();
        let has_newer = newest_meta != Some(words.checkpointed) || self.orphan(state, &newest).is_some();
        let visible = self.snapshot(state, words.visible);
        let is_there = self.is_intact(state, &newest) && self.is_intact(state, &visible);
        (!has_newer || !self.keeps(LeftOut::NothingNewerInTheFile)) && is_there
    }
}

/// Without `LeftOut::NotOnlyFirst`: a newcomer's second barrier stores nothing again.
pub(crate) fn forget_inherited(state: &mut State, description: Description) {
    if description == Description::Newcomer && matches!(state.failure, Failure::StepOutcome { .. }) {
        state.failure = Failure::None;
    }
}
