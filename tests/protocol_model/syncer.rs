//! The syncer: `Database::sync_head` and `Shared::finish_sync`.

use crate::disk::{Content, ContentId};
use crate::explore::{Model, Steps};
use crate::options::LeftOut;
use crate::state::{DATA_PAGES, Snapshot, State, Syncer, bit};

impl Model {
    pub(crate) fn syncer_steps(&mut self, state: &State, steps: &mut Steps) {
        let mut next = state.clone();
        match state.syncer {
            Syncer::Idle => self.start_sync(state, steps),
            Syncer::FirstBarrier { target } => {
                next.places.iter_mut().for_each(|place| place.finish_barrier());
                self.store_record(&mut next, target, Vec::new());
                next.places.iter_mut().for_each(|place| place.start_barrier());
                next.syncer = Syncer::LastBarrier { target };
                steps.add("first barrier done, record stored, second barrier starts for", target, next);
            }
            Syncer::LastBarrier { target } => {
                next.places.iter_mut().for_each(|place| place.finish_barrier());
                next.syncer = Syncer::BarrierDone { target };
                if !self.options.keeps(LeftOut::TargetClearedLast) {
                    next.target = 0;
                }
                steps.add("barrier done for", target, next);
            }
            Syncer::BarrierDone { target } => {
                next.durable_slot = self.slot_to_write(state) as u8;
                next.durable = target;
                next.syncer = Syncer::DurableSet { target };
                steps.add("durable :=", target, next);
            }
            Syncer::DurableSet { target } => {
                next.syncer = Syncer::HeadRead { target, head: state.head };
                steps.add("syncer reads head", state.head, next);
            }
            Syncer::HeadRead { target, head } => {
                if self.options.keeps(LeftOut::HeadInProtectedWord) {
                    next.hazard = head;
                }
                next.syncer = Syncer::HazardSet { target, head };
                steps.add("hazard :=", head, next);
            }
            Syncer::HazardSet { target, head } => {
                let is_same = state.head == head || !self.options.keeps(LeftOut::HeadInProtectedWord);
                next.syncer = if is_same {
                    Syncer::HeadConfirmed { target, head }
                } else {
                    Syncer::DurableSet { target }
                };
                steps.add("syncer reads head again", state.head, next);
            }
            Syncer::HeadConfirmed { target, head } => {
                let visible = self.what_to_show(state, target, head);
                next.syncer = Syncer::VisibleKnown { target, visible };
                steps.add("syncer reads pending", state.pending, next);
            }
            Syncer::VisibleKnown { target, visible } => {
                next.show(visible);
                next.syncer = Syncer::VisibleSet { target };
                steps.add("syncer raises visible to", visible, next);
            }
            Syncer::VisibleSet { target } => {
                next.hazard = 0;
                next.syncer = Syncer::HazardCleared { target };
                steps.add("hazard cleared, after", target, next);
            }
            Syncer::HazardCleared { target } => {
                next.target = 0;
                next.acknowledged = next.acknowledged.max(target);
                next.syncer = Syncer::Idle;
                steps.add("target cleared, commits return up to", target, next);
            }
        }
    }

    fn start_sync(&mut self, state: &State, steps: &mut Steps) {
        // The next syncer makes visible what a dead one has left invisible.
        if state.kills > 0
            && state.visible < state.head
            && !state.wants_durable_between(state.durable, state.head)
        {
            let mut next = state.clone();
            next.show(state.head);
            steps.add("visible repaired to", state.head, next);
        }
        if state.head <= state.durable {
            return;
        }
        let mut next = state.clone();
        self.adopt_dead_targets(&mut next);
        let target = next.head;
        next.target = target;
        self.store_inherited_again(&mut next, target);
        if next.durable >= target {
            next.syncer = Syncer::DurableSet { target };
            steps.add("target of a dead syncer adopted:", target, next);
            return;
        }
        if self.options.bounds.two_barriers {
            let mut next = next.clone();
            next.places.iter_mut().for_each(|place| place.start_barrier());
            next.syncer = Syncer::FirstBarrier { target };
            steps.add("target set, first barrier starts for", target, next);
        }
        let listed = self.listed_pages(&next, target);
        self.store_record(&mut next, target, listed);
        next.places.iter_mut().for_each(|place| place.start_barrier());
        next.syncer = Syncer::LastBarrier { target };
        steps.add("target set, record stored, barrier starts for", target, next);
    }

    /// R4: if the slot that is not durable has the record of a dead target, it is stored again with the pages that it
    /// lists, and after a barrier is durable.
    fn adopt_dead_targets(&self, state: &mut State) {
        if state.dead_targets == 0 {
            return;
        }
        let slot = 1 - state.durable_slot;
        let at = DATA_PAGES + usize::from(slot);
        let there = self.contents.get(state.places[at].cache);
        if let Content::Record { id, ref listed, .. } = *there
            && state.dead_targets & bit(id) != 0
            && id > state.durable
        {
            if self.options.keeps(LeftOut::DeadTargetStoredAgain) {
                listed.iter().for_each(|&(page, content)| state.places[usize::from(page)].store(content));
                let record = state.places[at].cache;
                state.places[at].store(record);
            }
            for place in &mut state.places {
                place.start_barrier();
                place.finish_barrier();
            }
            state.durable = id;
            state.durable_slot = slot;
        }
        state.dead_targets = 0;
    }

    /// R10: of the target's pages that are not durable, those that the barriers of the syncer's handle do not cover.
    fn store_inherited_again(&self, state: &mut State, target: u8) {
        let Snapshot { id, root, leaf, root_content, leaf_content, leaf_birth, .. } =
            *state.snapshot(target).expect("the target is kept");
        for (page, content, birth) in [(root, root_content, id), (leaf, leaf_content, leaf_birth)] {
            let is_doubtful = birth > state.durable && birth <= state.inherited;
            if is_doubtful && self.options.keeps(LeftOut::InheritedStoredAgain) {
                state.places[usize::from(page)].store(content);
            }
        }
    }

    /// R2, R3: the head, if no durable commit above the target is pending; else the target.
    fn what_to_show(&self, state: &State, target: u8, head: u8) -> u8 {
        if state.pending <= target {
            return head;
        }
        if self.options.keeps(LeftOut::VisibleOnlyToProtected) {
            return target;
        }
        let above = |id: &u8| *id > target;
        let first_pending = state.snapshots.iter().filter(|s| s.wants_durable).map(|s| s.id).find(above);
        let between = state.snapshots.iter().map(|s| s.id).filter(|&id| first_pending.is_none_or(|p| id < p));
        between.max().unwrap_or(target)
    }

    pub(crate) fn slot_to_write(&self, state: &State) -> usize {
        let durable = usize::from(state.durable_slot);
        if self.options.keeps(LeftOut::OtherSlot) { 1 - durable } else { durable }
    }

    fn store_record(&mut self, state: &mut State, target: u8, listed: Vec<(u8, ContentId)>) {
        let root = state.snapshot(target).expect("the target is kept").root;
        let record = self.contents.id(Content::Record { id: target, root, listed });
        state.places[DATA_PAGES + self.slot_to_write(state)].store(record);
    }

    /// R6: the pages of the target's snapshot born after the last durable record.
    fn listed_pages(&self, state: &State, target: u8) -> Vec<(u8, ContentId)> {
        let snapshot = state.snapshot(target).expect("the target is kept");
        let since = if self.options.keeps(LeftOut::ListSinceDurable) { state.durable } else { target - 1 };
        let mut listed = Vec::new();
        if snapshot.id > since {
            listed.push((snapshot.root, snapshot.root_content));
        }
        if snapshot.leaf_birth > since {
            listed.push((snapshot.leaf, snapshot.leaf_content));
        }
        if !self.options.keeps(LeftOut::ListOfLivePages) {
            for dead in state.snapshots.iter().filter(|dead| dead.id > since && dead.id < target) {
                for (page, content) in [(dead.root, dead.root_content), (dead.leaf, dead.leaf_content)] {
                    let is_there = state.places[usize::from(page)].cache == content;
                    let is_its_own = page == dead.root || dead.leaf_birth == dead.id;
                    if is_there && is_its_own && !listed.contains(&(page, content)) {
                        listed.push((page, content));
                    }
                }
            }
        }
        listed.sort_unstable();
        listed
    }
}
