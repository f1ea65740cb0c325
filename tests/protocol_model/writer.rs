//! The writer's turn: protected words, pages, record, pending, newest, visible; and the reader.
//!
//! - A writer takes only pages that no protected snapshot needs.
//! - It begins on no unlogged transaction that is not checkpointed (L9).
//! - It looks first at newest's log end: the transaction of an orphaned record there has happened (L2).
//! - Pages, then the record, then pending, then newest. Nothing after newest can fail.

use crate::disk::{Barrier, Change, Content, ContentId, Kind, ZEROS};
use crate::explore::Steps;
use crate::model::{Model, forget_unpublished};
use crate::options::{Leaf, LeftOut};
use crate::state::{Checkpointer, Id, Reader, Snapshot, State, Writer, bit};

/// The words that a writer protects.
#[derive(Clone, Copy)]
enum Word {
    Target,
    Hazard,
    CheckpointTarget,
    Checkpointed,
    Visible,
    Readers,
}
const WORDS: u8 = 6;

impl Model {
    fn order_of_words(&self) -> [Word; WORDS as usize] {
        use Word::*;
        if !self.keeps(LeftOut::TargetReadFirst) {
            [CheckpointTarget, Checkpointed, Visible, Target, Hazard, Readers]
        } else if !self.keeps(LeftOut::ReadersReadLast) {
            [Target, Hazard, CheckpointTarget, Checkpointed, Readers, Visible]
        } else if !self.keeps(LeftOut::CheckpointTargetReadFirst) {
            [Target, Hazard, Checkpointed, CheckpointTarget, Visible, Readers]
        } else {
            [Target, Hazard, CheckpointTarget, Checkpointed, Visible, Readers]
        }
    }

    /// The snapshots, a bit for each, that a word protects.
    fn protected_by(&self, state: &State, word: Word) -> u32 {
        let words = &state.words;
        match word {
            Word::Target if self.keeps(LeftOut::TargetProtected) => bit(words.target),
            Word::Hazard => bit(words.hazard),
            Word::CheckpointTarget if self.keeps(LeftOut::CheckpointTargetProtected) => {
                bit(words.checkpoint_target)
            }
            Word::Checkpointed if self.keeps(LeftOut::CheckpointedProtected) => bit(words.checkpointed),
            Word::Visible if self.keeps(LeftOut::VisibleProtected) => bit(words.visible),
            Word::Readers if self.keeps(LeftOut::ReadersProtected) => match state.reader {
                Reader::Published(id) | Reader::Reading(id) => bit(id),
                _ => 0,
            },
            _ => 0,
        }
    }

    pub(crate) fn writer_steps(&mut self, state: &State, steps: &mut Steps) {
        let mut next = *state;
        match state.writer {
            Writer::Idle => self.start_writing(state, steps),
            Writer::Scanning { words_read, protected } if words_read < WORDS => {
                let word = self.order_of_words()[usize::from(words_read)];
                let protected = protected | self.protected_by(state, word);
                next.writer = Writer::Scanning { words_read: words_read + 1, protected };
                steps.add(next, || format!("the writer reads protected word {words_read}"));
            }
            Writer::Scanning { protected, .. } => self.store_pages(state, protected, steps),
            Writer::Erasing => self.finish_erasing_orphan(state, steps),
            Writer::Stored(snapshot) => {
                let snapshot = self.get(snapshot);
                self.append_record(state, snapshot, steps);
            }
            Writer::Recorded(id) => {
                let snapshot = self.get(id);
                if snapshot.wants_durable && self.keeps(LeftOut::PendingFirst) {
                    next.words.pending = snapshot.id;
                }
                next.writer = Writer::Announced(id);
                steps.add(next, || format!("pending := {}", next.words.pending));
            }
            Writer::Announced(id) => {
                let snapshot = self.get(id);
                next.snapshots.push(id);
                next.words.newest = snapshot.id;
                forget_unpublished(&mut next, Id::MAX);
                next.writer = if self.keeps(LeftOut::RecordFirst) {
                    Writer::NewestSet(snapshot.id)
                } else {
                    Writer::RecordMissing(id)
                };
                steps.add(next, || format!("newest := {}", snapshot.id));
            }
            Writer::RecordMissing(id) => {
                let snapshot = self.get(id);
                self.store_in_log(&mut next, snapshot.log_end - 1, snapshot.ring, snapshot.chain);
                next.writer = Writer::NewestSet(snapshot.id);
                steps.add(next, || format!("the writer stores the record of {} at last", snapshot.id));
            }
            Writer::NewestSet(id) => {
                let is_pending = state.words.pending > state.words.durable;
                next.writer = Writer::MayShow(id);
                if is_pending {
                    next.writer = Writer::Idle;
                }
                if !self.keeps(LeftOut::PendingFirst) && self.snapshot(state, id).wants_durable {
                    next.words.pending = id;
                }
                steps.add(next, || {
                    format!("the writer looks whether a durable commit is pending: {is_pending}")
                });
            }
            Writer::MayShow(id) => {
                next.writer = Writer::Idle;
                self.raise_visible_to(&mut next, id);
                steps.add(next, || format!("the writer raises visible to {id}"));
            }
        }
    }

    fn start_writing(&mut self, state: &State, steps: &mut Steps) {
        let bounds = self.options.bounds;
        let newest = self.newest(state);
        if self.needs_checkpoint(state, &newest) && self.keeps(LeftOut::UnloggedCheckpointedFirst) {
            return;
        }
        let may_write = state.commits < bounds.commits || self.orphan(state, &newest).is_some();
        if may_write {
            let mut protected = if self.keeps(LeftOut::NewestProtected) { bit(newest.id) } else { 0 };
            if bounds.every_word_alone {
                let mut next = *state;
                next.writer = Writer::Scanning { words_read: 0, protected };
                steps.add(next, || format!("a writer begins on {}", newest.id));
            } else {
                for word in self.order_of_words() {
                    protected |= self.protected_by(state, word);
                }
                self.store_pages(state, protected, steps);
            }
        }
    }

    /// L2: the orphaned record, of a writer that died before newest was raised.
    pub(crate) fn orphan(&self, state: &State, newest: &Snapshot) -> Option<ContentId> {
        if !self.keeps(LeftOut::OrphanReplayed) {
            return None;
        }
        let content = self.log_content(state, newest.log_end, newest.ring);
        let record = self.disk.record(content)?;
        let continues = self.continues(&record, newest.log_end, newest.chain);
        (continues && record.id == newest.id + 1).then_some(content)
    }

    /// The lowest pages that nothing protected needs, for a root and perhaps a leaf.
    fn free_pages(
        &self,
        state: &State,
        protected: u32,
        kept_leaf: Option<u8>,
    ) -> impl Iterator<Item = u8> + use<> {
        let mut used = kept_leaf.map_or(0u16, |leaf| 1 << leaf);
        let is_protected = |snapshot: &Snapshot| protected & bit(snapshot.id) != 0;
        for snapshot in self.all_snapshots(state).filter(is_protected) {
            used |= 1 << snapshot.root | 1 << snapshot.leaf;
        }
        (0..crate::state::DATA_PAGES as u8).filter(move |page| used >> page & 1 == 0)
    }

    fn store_pages(&mut self, state: &State, protected: u32, steps: &mut Steps) {
        let newest = self.newest(state);
        if let Some(record) = self.orphan(state, &newest) {
            if !self.keeps(LeftOut::OrphanKept) && state.checkpointer == Checkpointer::Idle {
                self.erase_orphan(state, &newest, steps);
            }
            return self.replay_orphan(state, protected, &newest, record, steps);
        }
        for plan in self.plans(state) {
            if plan.grows && !self.is_other_area_free(state, &newest, protected) {
                continue;
            }
            for state in self.with_other_area_used(state, &newest, protected) {
                self.store_pages_of(&state, protected, &newest, plan, steps);
            }
        }
    }

    /// The transactions that a writer may choose to make.
    fn plans(&self, state: &State) -> Vec<Plan> {
        let bounds = self.options.bounds;
        let mut kinds = vec![(Kind::Changes, true, false)];
        if bounds.has_unlogged {
            kinds.push((Kind::Changes, false, false));
        }
        if self.may_grow(state) {
            kinds.push((Kind::Changes, false, true));
        }
        if bounds.has_empty {
            kinds.push((Kind::Empty, true, false));
            if self.may_grow(state) {
                kinds.push((Kind::Empty, false, true));
            }
        }
        let versions: &[u8] = match (state.life, bounds.repeats) {
            (0, _) => &[0],
            (_, true) => &[0, state.life],
            (_, false) => &[state.life],
        };
        let leaves: &[bool] = match bounds.leaf {
            Leaf::Kept => &[false],
            Leaf::Either => &[false, true],
        };
        let durability: &[bool] = if bounds.has_lazy { &[true, false] } else { &[true] };
        let mut plans = Vec::new();
        for (kind, is_logged, grows) in kinds {
            let has_changes = kind == Kind::Changes;
            for &replaces_leaf in if has_changes { leaves } else { &[false] } {
                for &version in if has_changes { versions } else { &versions[..1] } {
                    plans.extend(durability.iter().map(|&wants_durable| Plan {
                        kind,
                        is_logged,
                        grows,
                        replaces_leaf,
                        version,
                        wants_durable,
                    }));
                }
            }
        }
        plans
    }

    fn store_pages_of(
        &mut self,
        state: &State,
        protected: u32,
        newest: &Snapshot,
        plan: Plan,
        steps: &mut Steps,
    ) {
        let mut next = *state;
        let id = newest.id + 1;
        let Plan { is_logged, wants_durable, .. } = plan;
        let mut snapshot = Snapshot { id, wants_durable, is_logged, ..*newest };
        if plan.kind == Kind::Changes {
            let kept_leaf = (!plan.replaces_leaf).then_some(newest.leaf);
            let mut free = self.free_pages(state, protected, kept_leaf);
            let Some(root) = free.next() else { return };
            let leaf = if plan.replaces_leaf { free.next() } else { None };
            if plan.replaces_leaf && leaf.is_none() {
                return;
            }
            let value = id * 4 + plan.version;
            self.change_tree(&mut next, &mut snapshot, value, root, leaf.map(|leaf| (leaf, value)));
        }
        if plan.grows {
            let base = self.page_ceiling(newest.log_end);
            snapshot.ring = self.take_new_ring(&mut next, newest.ring, base);
        }
        next.commits += 1;
        next.writer = Writer::Stored(self.snapshots.number(snapshot));
        steps.add(next, || {
            let Snapshot { root, leaf, .. } = snapshot;
            format!("the writer stores the pages of {id}, root {root}, leaf {leaf}: {plan:?}")
        });
    }

    /// Stores a new root, and a new leaf if there is one.
    pub(crate) fn change_tree(
        &mut self,
        state: &mut State,
        snapshot: &mut Snapshot,
        root_value: u8,
        root: u8,
        leaf: Option<(u8, u8)>,
    ) {
        let birth = snapshot.id;
        if let Some((leaf, value)) = leaf {
            snapshot.tree.leaf_value = value;
            snapshot.leaf = leaf;
            snapshot.leaf_birth = birth;
            snapshot.leaf_content = self.disk.content_id(Content::Leaf { birth, value });
            self.store(state, usize::from(leaf), snapshot.leaf_content);
        }
        snapshot.tree.history = self.history(snapshot.tree, root_value);
        snapshot.tree.root_value = root_value;
        snapshot.root = root;
        snapshot.root_birth = birth;
        let content = Content::Root { birth, value: root_value, leaf: snapshot.leaf };
        snapshot.root_content = self.disk.content_id(content);
        self.store(state, usize::from(root), snapshot.root_content);
    }

    /// L2: the dead writer's transaction has happened. Its record stays where it is.
    fn replay_orphan(
        &mut self,
        state: &State,
        protected: u32,
        newest: &Snapshot,
        content: ContentId,
        steps: &mut Steps,
    ) {
        let record = self.disk.record(content).expect("it was found");
        let mut next = *state;
        let mut snapshot = Snapshot { id: record.id, wants_durable: true, is_logged: true, ..*newest };
        if record.kind == Kind::Changes {
            let copies_leaf = record.leaf_value != 0;
            let kept_leaf = (!copies_leaf).then_some(snapshot.leaf);
            let mut free = self.free_pages(state, protected, kept_leaf);
            let (Some(root), Some(leaf)) = (free.next(), free.next()) else { return };
            let leaf = copies_leaf.then_some((leaf, record.leaf_value));
            self.change_tree(&mut next, &mut snapshot, record.root_value, root, leaf);
        }
        let snapshot = self.after_record(newest, snapshot, content);
        if self.keeps(LeftOut::OrphanStoredAgain) {
            self.store_in_log(&mut next, newest.log_end, newest.ring, content);
        }
        next.writer = Writer::Recorded(self.snapshots.number(snapshot));
        steps.add(next, || format!("the writer replays the record {} that a dead one has left", record.id));
    }

    fn append_record(&mut self, state: &State, snapshot: Snapshot, steps: &mut Steps) {
        let mut next = *state;
        let newest = self.newest(state);
        if !snapshot.is_logged {
            let log_end = newest.log_end.max(snapshot.ring.base);
            let (sealed, sealed_end) = (snapshot.id, log_end);
            let snapshot = Snapshot { log_end, sealed, sealed_end, ..snapshot };
            next.writer = Writer::Recorded(self.snapshots.number(snapshot));
            return steps.add(next, || format!("the writer appends nothing for {}", snapshot.id));
        }
        if !self.has_room(state, &newest) {
            return;
        }
        let (snapshot, record) = self.with_record(&newest, snapshot);
        let number = self.snapshots.number(snapshot);
        if self.keeps(LeftOut::RecordFirst) {
            self.store_in_log(&mut next, newest.log_end, newest.ring, record);
            next.writer = Writer::Recorded(number);
            steps.add(next, || {
                format!("the writer stores the record of {} at {}", snapshot.id, newest.log_end)
            });
        } else {
            next.writer = Writer::Announced(number);
            steps.add(next, || format!("the writer will store the record of {} later", snapshot.id));
        }
    }

    /// Without `LeftOut::OrphanKept`: zeros over the record that a dead writer has left, and a barrier.
    fn erase_orphan(&mut self, state: &State, newest: &Snapshot, steps: &mut Steps) {
        let mut next = *state;
        self.store_in_log(&mut next, newest.log_end, newest.ring, ZEROS);
        self.change_all(&mut next, Change::StartBarrier(Barrier::Checkpoint));
        next.writer = Writer::Erasing;
        next.checkpointer = Checkpointer::Lent;
        steps.add(next, || "the writer erases the record that a dead one has left; barrier begins".into());
    }

    fn finish_erasing_orphan(&mut self, state: &State, steps: &mut Steps) {
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

    pub(crate) fn reader_steps(&mut self, state: &State, steps: &mut Steps) {
        if !self.options.bounds.has_reader {
            return;
        }
        let mut next = *state;
        let visible = state.words.visible;
        let step = match state.reader {
            Reader::None => {
                next.reader = Reader::Looked(visible);
                "a reader looks at visible"
            }
            Reader::Looked(id) => {
                next.reader = Reader::Published(id);
                "the reader publishes what it has seen"
            }
            Reader::Published(id) if visible == id => {
                next.reader = Reader::Reading(id);
                "the reader looks again, and reads"
            }
            Reader::Published(_) => {
                next.reader = Reader::Looked(visible);
                "the reader looks again: visible has moved"
            }
            Reader::Reading(_) => {
                next.reader = Reader::None;
                "the reader ends"
            }
        };
        steps.add(next, || format!("{step}, {visible}"));
    }
}

/// One of the transactions that a writer may choose to make.
#[derive(Clone, Copy, Debug)]
struct Plan {
    kind: Kind,
    is_logged: bool,
    grows: bool,
    replaces_leaf: bool,
    version: u8,
    wants_durable: bool,
}
