//! The syncer's turn: one barrier over the log's new bytes, then durable and visible.
//!
//! - The target is set before anything else, newest is read again after it, and it is cleared last (R5).
//! - A handle's barrier counts for what was stored after the handle opened the file. What is older it stores again,
//!   exactly these bytes (L3).
//! - Durable and visible are raised here and nowhere else but by a writer over nothing pending: there is one hazard.

use crate::disk::{Barrier, Change, ContentId};
use crate::explore::Steps;
use crate::handles::forget_inherited;
use crate::model::Model;
use crate::options::LeftOut;
use crate::state::{Id, Lsn, Ring, Snapshot, State, Syncer, Words};

/// Whether the transaction is neither in the log nor checkpointed.
pub(crate) fn is_missing(state: &State, snapshot: &Snapshot) -> bool {
    !snapshot.is_logged && snapshot.id > state.words.checkpointed
}

impl Model {
    pub(crate) fn syncer_steps(&mut self, state: &State, steps: &mut Steps) {
        let mut next = *state;
        match state.syncer {
            Syncer::Idle => self.start_sync(state, steps),
            Syncer::NewestRead(target) => {
                next.words.target = target;
                next.syncer = Syncer::TargetSet(target);
                steps.add(next, || format!("target := {target}"));
            }
            Syncer::TargetSet(target) => {
                let now = self.target_of(&self.newest(state));
                if now != target && self.keeps(LeftOut::SyncerLooksAgain) {
                    next.syncer = Syncer::NewestRead(now);
                    steps.add(next, || format!("the syncer reads newest again: it has moved, to {now}"));
                } else {
                    self.begin_barrier(state, target, steps);
                }
            }
            Syncer::BytesRead { target, copy } => {
                let bytes = self.copies.get(copy).clone();
                self.store_bytes_again(&mut next, target, &bytes);
                self.start_log_barrier(&mut next, target);
                steps.add(next, || "the newcomer stores them again; barrier over the log begins".into());
            }
            Syncer::Barrier(target) => {
                next.syncer = if self.finish_barrier(&mut next, Barrier::Log) {
                    if !self.keeps(LeftOut::TargetClearedLast) {
                        next.words.target = 0;
                    }
                    Syncer::BarrierDone(target)
                } else {
                    Syncer::StepOutcome
                };
                steps.add(next, || format!("barrier over the log up to {target}: {:?}", next.syncer));
            }
            Syncer::StepOutcome => self.poison(state, steps),
            Syncer::BarrierDone(target) => self.raise_durable(state, target, steps),
            _ => self.raise_visible(state, steps),
        }
    }

    fn start_sync(&mut self, state: &State, steps: &mut Steps) {
        let words = state.words;
        if state.kills > 0
            && words.visible < words.newest
            && !self.is_durable_commit_above(state, words.durable)
        {
            let mut next = *state;
            self.raise_visible_to(&mut next, words.newest);
            steps.add(next, || format!("visible is repaired to {}", words.newest));
        }
        let newest = self.newest(state);
        let target = self.target_of(&newest);
        if self.promised(state, &newest) <= words.durable {
            return;
        }
        if self.needs_checkpoint(state, &newest) && self.keeps(LeftOut::UnloggedNeedsCheckpoint) {
            return;
        }
        for description in self.descriptions(state) {
            let mut next = *state;
            next.log_description = description;
            if self.options.bounds.every_word_alone {
                next.syncer = Syncer::NewestRead(target);
                steps.add(next, || format!("a syncer, {description:?}, reads newest: {target}"));
            } else {
                next.words.target = target;
                self.begin_barrier(&next, target, steps);
            }
        }
    }

    /// What a sync protects meanwhile, and makes visible at least (R5).
    fn target_of(&self, newest: &Snapshot) -> Id {
        if self.keeps(LeftOut::TargetIsNewest) { newest.id } else { newest.sealed }
    }

    /// Whether the log does not lead to this snapshot: a transaction up to it is neither there nor checkpointed (L9).
    pub(crate) fn needs_checkpoint(&self, state: &State, snapshot: &Snapshot) -> bool {
        let is_missing = |other: Snapshot| other.id <= snapshot.id && is_missing(state, &other);
        self.all_snapshots(state).any(is_missing)
    }

    /// What a sync of this target makes durable: the newest transaction whose record is the last of its page (L14),
    /// or all of it, if that is checkpointed (L8).
    fn promised(&self, state: &State, target: &Snapshot) -> Id {
        let is_checkpointed = target.id <= state.words.checkpointed;
        if is_checkpointed || !self.keeps(LeftOut::DurableSealed) { target.id } else { target.sealed }
    }

    /// L3: where the bytes begin that the sync makes durable.
    fn first_byte(&self, state: &State, ring: Ring) -> Lsn {
        let Words { synced, log_start, .. } = state.words;
        let first = if self.keeps(LeftOut::NotBelowLogStart) { synced.max(log_start) } else { synced };
        first.max(ring.base)
    }

    fn begin_barrier(&mut self, state: &State, target: Id, steps: &mut Steps) {
        let mut next = *state;
        let inherited = self.inherited(state, state.log_description);
        if !self.keeps(LeftOut::NotOnlyFirst) {
            forget_inherited(&mut next, state.log_description);
        }
        if target <= state.words.checkpointed {
            next.syncer = Syncer::BarrierDone(target);
            return steps
                .add(next, || format!("the syncer: target {target} is checkpointed, no barrier is needed"));
        }
        let snapshot = self.snapshot(state, target);
        if self.needs_checkpoint(state, &snapshot) && self.keeps(LeftOut::UnloggedNeedsCheckpoint) {
            next.words.target = 0;
            next.syncer = Syncer::Idle;
            return steps.add(next, || format!("the syncer gives up: {target} is unlogged"));
        }
        let from = self.first_byte(state, snapshot.ring);
        let end = snapshot.log_end;
        if inherited <= state.words.durable || end <= from || !self.keeps(LeftOut::LogStoredAgain) {
            self.start_log_barrier(&mut next, target);
            return steps.add(next, || format!("the syncer, target {target}: barrier over the log begins"));
        }
        let bytes: Vec<ContentId> =
            (from..end).map(|lsn| self.log_content(state, lsn, snapshot.ring)).collect();
        let copy = self.copies.number([vec![ContentId::from(from)], bytes].concat());
        next.syncer = Syncer::BytesRead { target, copy };
        steps.add(next, || {
            format!("the syncer, a newcomer, target {target}: reads log bytes from {from} to {end}")
        });
    }

    fn store_bytes_again(&mut self, state: &mut State, target: Id, copy: &[ContentId]) {
        let ring = self.snapshot(state, target).ring;
        for (lsn, &content) in (copy[0] as Lsn..).zip(&copy[1..]) {
            self.store_in_log(state, lsn, ring, content);
        }
    }

    fn start_log_barrier(&mut self, state: &mut State, target: Id) {
        let snapshot = self.snapshot(state, target);
        let from = self.first_byte(state, snapshot.ring);
        let start = Change::StartBarrier(Barrier::Log);
        self.change_log(state, from, snapshot.log_end, snapshot.ring, start);
        state.syncer = Syncer::Barrier(target);
    }

    fn raise_durable(&mut self, state: &State, target: Id, steps: &mut Steps) {
        let mut next = *state;
        let snapshot = self.snapshot(state, target);
        let promised = self.promised(state, &snapshot);
        let end = if promised == target { snapshot.log_end } else { snapshot.sealed_end };
        next.words.synced = state.words.synced.max(end);
        next.words.durable = state.words.durable.max(promised);
        next.acknowledged = state.acknowledged.max(promised);
        next.syncer = Syncer::DurableSet(target);
        steps.add(next, || format!("durable := {promised}, commits return"));
    }

    /// R2, R3: newest, if no durable commit above the target is pending; else the target.
    fn raise_visible(&mut self, state: &State, steps: &mut Steps) {
        let mut next = *state;
        let newest = state.words.newest;
        let pending = state.words.pending;
        match state.syncer {
            Syncer::DurableSet(target) if self.options.bounds.every_word_alone => {
                next.syncer = Syncer::NewestReadAgain { target, newest };
                steps.add(next, || format!("the syncer reads newest: {newest}"));
            }
            Syncer::DurableSet(target) => {
                self.raise_visible_to(&mut next, if pending > target { target } else { newest });
                next.syncer = Syncer::VisibleSet(target);
                steps.add(next, || format!("visible := {}", next.words.visible));
            }
            Syncer::NewestReadAgain { target, newest } => {
                if self.keeps(LeftOut::HazardSet) {
                    next.words.hazard = newest;
                }
                next.syncer = Syncer::HazardSet { target, newest };
                steps.add(next, || format!("hazard := {newest}"));
            }
            Syncer::HazardSet { target, newest: read } => {
                let is_same = newest == read || !self.keeps(LeftOut::HazardSet);
                next.syncer = if is_same {
                    Syncer::NewestConfirmed { target, newest: read }
                } else {
                    Syncer::DurableSet(target)
                };
                steps.add(next, || format!("the syncer reads newest again: {newest}"));
            }
            Syncer::NewestConfirmed { target, newest } => {
                let visible = self.what_to_show(state, target, newest);
                next.syncer = Syncer::VisibleKnown { target, visible };
                steps.add(next, || format!("the syncer reads pending: {pending}"));
            }
            Syncer::VisibleKnown { target, visible } => {
                self.raise_visible_to(&mut next, visible);
                next.syncer = Syncer::VisibleSet(target);
                steps.add(next, || format!("visible := {visible}"));
            }
            _ => {
                next.words.hazard = 0;
                next.words.target = 0;
                next.syncer = Syncer::Idle;
                steps.add(next, || "hazard and target are cleared".into());
            }
        }
    }

    fn what_to_show(&self, state: &State, target: Id, newest: Id) -> Id {
        if state.words.pending <= target {
            return newest;
        }
        if self.keeps(LeftOut::VisibleOnlyToProtected) {
            return target;
        }
        let durable = self.all_snapshots(state).filter(|s| s.wants_durable && s.id > target).map(|s| s.id);
        newest.min(durable.min().unwrap_or(newest + 1) - 1)
    }
}
