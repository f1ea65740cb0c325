//! Recovery: the newest right meta, the log replayed over it, a checkpoint of its own (L6).
//!
//! - Nothing that the chosen snapshot or an accepted record needs is stored to before recovery's checkpoint is durable.
//! - What is chosen is stored again, for it may be in the page cache only; what is not chosen is erased, also where
//!   zeros are read, for these may be in the page cache only.
//! - No handle is let in before the checkpoint is durable, and log sequence numbers go on above all that may lie in any
//!   ring (L5). The checkpoint may name another ring.

use crate::disk::{Barrier, Change, Content, LONG, Meta, Tree, ZEROS};
use crate::explore::Steps;
use crate::model::{Model, forget_unpublished, opened_words};
use crate::options::LeftOut;
use crate::state::{
    DATA_PAGES, Description, Failure, Id, LENGTH, Lsn, Phase, SLOTS, Snapshot, Snapshots, State,
};

/// A meta and the accepted records of the log that follows it.
struct Replay {
    meta: Meta,
    accepted: u8,
    id: Id,
    tree: Tree,
    is_leaf_changed: bool,
    log_end: Lsn,
    chain: u16,
}

impl Model {
    fn replay(&mut self, state: &State, slot: u8) -> Option<Replay> {
        let meta = self.meta_in(state, slot)?;
        let mut replay = Replay {
            meta,
            accepted: 0,
            id: meta.id,
            tree: meta.tree,
            is_leaf_changed: false,
            log_end: meta.log_start,
            chain: meta.chain,
        };
        let most = self.ring_length(meta.ring);
        while replay.accepted < most && self.accept_record(state, &mut replay) {}
        Some(replay)
    }

    /// Goes on by one record, if there is one that continues the log.
    fn accept_record(&mut self, state: &State, replay: &mut Replay) -> bool {
        let content = self.log_content(state, replay.log_end, replay.meta.ring);
        let Some(record) = self.disk.record(content) else { return false };
        if !self.continues(&record, replay.log_end, replay.chain) {
            return false;
        }
        if record.leaf_value != 0 {
            replay.tree.leaf_value = record.leaf_value;
            replay.is_leaf_changed = true;
        }
        if record.root_value != 0 {
            replay.tree.history = self.history(replay.tree, record.root_value);
            replay.tree.root_value = record.root_value;
        }
        replay.id = record.id;
        replay.chain = content;
        replay.log_end = self.end_of(&record, replay.log_end);
        replay.accepted += 1;
        true
    }

    pub(crate) fn recovery_steps(&mut self, state: &State, steps: &mut Steps) {
        match state.phase {
            Phase::Open => {}
            Phase::Closed => self.choose(state, steps),
            Phase::Chosen { slot } => self.store_chosen_again(state, slot, steps),
            Phase::StoredAgain { slot } => self.replay_into_pages(state, slot, steps),
            Phase::Replayed { slot, snapshot } => {
                let mut next = *state;
                if !self.finish_recovery_barrier(&mut next) {
                    return steps.add(next, || "opening fails: the barrier over the replay".into());
                }
                let replayed = self.get(snapshot);
                let meta = self.meta_of(&replayed);
                self.store(&mut next, SLOTS + 1 - usize::from(slot), meta);
                next.snapshots.push(snapshot);
                self.change_all(&mut next, Change::StartBarrier(Barrier::Checkpoint));
                next.phase = Phase::MetaStored { slot: 1 - slot, snapshot };
                steps.add(next, || format!("recovery stores its meta {}, barrier begins", replayed.id));
            }
            Phase::MetaStored { slot, snapshot } => {
                let mut next = *state;
                if !self.finish_recovery_barrier(&mut next) {
                    return steps.add(next, || "opening fails: the barrier over the meta".into());
                }
                let snapshot = self.get(snapshot);
                self.open(&mut next, &snapshot, slot, snapshot.log_end, snapshot.id);
                steps.add(next, || format!("recovery's checkpoint is durable: open at {}", snapshot.id));
            }
        }
    }

    fn finish_recovery_barrier(&mut self, state: &mut State) -> bool {
        if state.checkpoint_description == Description::Sound {
            self.change_all(state, Change::FinishBarrier(Barrier::Checkpoint));
            return true;
        }
        state.failure = Failure::None;
        state.checkpoint_description = Description::Sound;
        self.abandon_barriers(state);
        state.phase = Phase::Closed;
        false
    }

    /// The newest right meta. What it and its log say must be what happened: that is checked here.
    fn choose(&mut self, state: &State, steps: &mut Steps) {
        let newest = (0..2).filter_map(|slot| Some((self.meta_in(state, slot)?.id, slot))).max();
        let Some((_, slot)) = newest else {
            return steps.fail("recovery", "no meta is right".into());
        };
        let replay = self.replay(state, slot).expect("it has a record");
        let Replay { meta, accepted, id, tree, .. } = replay;
        let found = format!("checkpoint {} and {accepted} records: {id}, {tree:?}", meta.id);
        let title = format!("recovery chooses {found}");
        let pages = [(meta.root, meta.root_content), (meta.leaf, meta.leaf_content)];
        if pages.iter().any(|&(page, content)| self.cache(state, usize::from(page)) != content) {
            return steps.fail(&title, format!("pages of the checkpointed snapshot {} are damaged", meta.id));
        }
        let promised = state.acknowledged.max(state.kept);
        if id < promised {
            return steps
                .fail(&title, format!("recovery finds {id}, but {promised} was acknowledged or kept"));
        }
        if meta.ring.area == 1 && self.cache(state, LENGTH) != LONG {
            return steps.fail(&title, "the ring lies beyond the end of the file".into());
        }
        let has_happened = self.all_snapshots(state).any(|s| s.id == id && s.tree == tree);
        let is_unpublished = state.unpublished.contains(&(id, tree.history));
        if !has_happened && !is_unpublished {
            return steps.fail(&title, format!("recovery finds {found}, which never was"));
        }
        let mut next = *state;
        next.phase = Phase::Chosen { slot };
        if state.failure == Failure::Untold {
            next.checkpoint_description = Description::WillBeTold;
        }
        steps.add(next, || title);
    }

    fn store_chosen_again(&mut self, state: &State, slot: u8, steps: &mut Steps) {
        let mut next = *state;
        let other = SLOTS + 1 - usize::from(slot);
        if self.keeps(LeftOut::MetaStoredAgain) {
            self.redirty(&mut next, SLOTS + usize::from(slot));
        }
        let is_record = self.meta_in(state, 1 - slot).is_some();
        let reads_zeros = self.cache(state, other) == ZEROS;
        let erases = !is_record && (!reads_zeros || self.keeps(LeftOut::ZerosErasedToo));
        if erases && self.keeps(LeftOut::OtherSlotErased) {
            self.store(&mut next, other, ZEROS);
        }
        if self.keeps(LeftOut::BarrierBeforeReplay) {
            self.change_all(&mut next, Change::StartBarrier(Barrier::Checkpoint));
        }
        next.phase = Phase::StoredAgain { slot };
        steps.add(next, || "recovery stores again what it has chosen; barrier begins".into());
    }

    fn replay_into_pages(&mut self, state: &State, slot: u8, steps: &mut Steps) {
        let mut next = *state;
        if !self.finish_recovery_barrier(&mut next) {
            return steps.add(next, || "opening fails: the barrier before the replay".into());
        }
        let replay = self.replay(state, slot).expect("it was chosen");
        let mut snapshot = self.replayed_snapshot(&replay);
        if replay.accepted > 0 {
            self.store_replayed_tree(&mut next, &replay, &mut snapshot);
        }
        if !self.keeps(LeftOut::CheckpointBeforeAppending) {
            return self.open_without_checkpoint(next, slot, &replay, snapshot, steps);
        }
        if self.may_grow(state) {
            let mut grown = next;
            let ring = self.take_new_ring(&mut grown, snapshot.ring, snapshot.log_end);
            self.begin_barrier_over_replay(grown, slot, Snapshot { ring, ..snapshot }, steps);
        }
        self.begin_barrier_over_replay(next, slot, snapshot, steps);
    }

    fn begin_barrier_over_replay(
        &mut self,
        mut state: State,
        slot: u8,
        snapshot: Snapshot,
        steps: &mut Steps,
    ) {
        self.change_all(&mut state, Change::StartBarrier(Barrier::Checkpoint));
        state.phase = Phase::Replayed { slot, snapshot: self.snapshots.number(snapshot) };
        steps.add(state, || {
            let Snapshot { id, root, ring, .. } = snapshot;
            format!("recovery replays, as {id} at root {root}, with {ring:?}; barrier begins")
        });
    }

    fn replayed_snapshot(&self, replay: &Replay) -> Snapshot {
        let meta = &replay.meta;
        let id = replay.id + 1;
        Snapshot {
            id,
            wants_durable: true,
            is_logged: true,
            root: meta.root,
            leaf: meta.leaf,
            root_content: meta.root_content,
            leaf_content: meta.leaf_content,
            root_birth: id,
            leaf_birth: id,
            tree: replay.tree,
            log_end: self.log_end_after(replay),
            chain: replay.chain,
            sealed: id,
            ring: meta.ring,
            ..Snapshot::default()
        }
    }

    /// L5: above every log sequence number that can have been stored since the log start.
    fn log_end_after(&self, replay: &Replay) -> Lsn {
        let jump = replay.meta.log_start + self.ring_length(replay.meta.ring);
        self.page_ceiling(if self.keeps(LeftOut::Jump) { jump } else { replay.log_end })
    }

    fn store_replayed_tree(&mut self, state: &mut State, replay: &Replay, snapshot: &mut Snapshot) {
        let birth = snapshot.id;
        let used = 1 << snapshot.root | 1 << snapshot.leaf;
        let mut free = (0..DATA_PAGES as u8).filter(|page| used >> page & 1 == 0);
        if replay.is_leaf_changed {
            snapshot.leaf = free.next().expect("a free page");
            let value = replay.tree.leaf_value;
            snapshot.leaf_content = self.disk.content_id(Content::Leaf { birth, value });
            self.store(state, usize::from(snapshot.leaf), snapshot.leaf_content);
        }
        snapshot.root = free.next().expect("a free page");
        let value = replay.tree.root_value;
        let content = Content::Root { birth, value, leaf: snapshot.leaf };
        snapshot.root_content = self.disk.content_id(content);
        self.store(state, usize::from(snapshot.root), snapshot.root_content);
    }

    /// Without L5: goes on where the log ends.
    fn open_without_checkpoint(
        &mut self,
        mut state: State,
        slot: u8,
        replay: &Replay,
        replayed: Snapshot,
        steps: &mut Steps,
    ) {
        let meta = &replay.meta;
        let checkpointed = Snapshot {
            id: meta.id,
            tree: meta.tree,
            root: meta.root,
            leaf: meta.leaf,
            root_content: meta.root_content,
            leaf_content: meta.leaf_content,
            log_end: meta.log_start,
            chain: meta.chain,
            ..replayed
        };
        let log_end = self.page_ceiling(replay.log_end);
        let newest = Snapshot { id: replay.id, log_end, sealed: replay.id, ..replayed };
        self.open(&mut state, &newest, slot, meta.log_start, meta.id);
        if replay.accepted > 0 {
            state.snapshots = Snapshots::default();
            state.snapshots.push(self.snapshots.number(checkpointed));
            state.snapshots.push(self.snapshots.number(newest));
        }
        steps.add(state, || format!("recovery opens at {} without a checkpoint", newest.id));
    }

    fn open(&mut self, state: &mut State, newest: &Snapshot, slot: u8, log_start: Lsn, checkpointed: Id) {
        state.snapshots = Snapshots::default();
        state.snapshots.push(self.snapshots.number(*newest));
        forget_unpublished(state, Id::MAX);
        state.phase = Phase::Open;
        state.words = opened_words(newest, slot, log_start, checkpointed);
        state.checkpoint_description = Description::Sound;
        state.acknowledged = newest.id;
        state.kept = 0;
        state.life = (state.life + 1).min(3);
        state.is_other_area_used = false;
    }
}
