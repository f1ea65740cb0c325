//! The writer's turn: protected words, pages, record, pending, newest, visible; and the reader.
//!
//! - A writer takes only pages that no protected snapshot needs, and none of a large value that is not checkpointed.
//! - It looks first at newest's log end: the transaction of an orphaned record there has happened (L2).
//! - Pages, then the record, then pending, then newest. Nothing after newest can fail.

use crate::disk::{Content, ContentId, Kind};
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

/// Snapshots, a bit for each, and pages that must not be overwritten.
#[derive(Clone, Copy)]
struct Protected {
    snapshots: u32,
    pages: u16,
}

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

    fn protected_by(&self, state: &State, word: Word) -> Protected {
        let words = &state.words;
        let snapshots = match word {
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
        };
        let pages = match word {
            Word::Checkpointed => self.large_pages(state),
            Word::Readers => self.private_pages(state),
            _ => 0,
        };
        Protected { snapshots, pages }
    }

    /// What a handle reads that has replayed the log for itself.
    fn private_pages(&self, state: &State) -> u16 {
        let is_protected = self.keeps(LeftOut::PrivateReaderProtected);
        let snapshot = state.private_reader.filter(|_| is_protected).map(|id| self.get(id));
        snapshot.map_or(0, |snapshot| 1 << snapshot.root | 1 << snapshot.leaf)
    }

    /// L10: the pages of large values that are not checkpointed, also of such as are removed.
    fn large_pages(&self, state: &State) -> u16 {
        if !self.keeps(LeftOut::LargeProtected) {
            return 0;
        }
        let checkpointed = if self.keeps(LeftOut::LargeProtectedUntilDurable) {
            state.words.checkpointed
        } else {
            state.words.checkpointed.max(state.words.checkpoint_target)
        };
        let above = self.all_snapshots(state).filter(|snapshot| snapshot.id > checkpointed);
        above.filter_map(|snapshot| snapshot.large).fold(0, |pages, (page, _)| pages | 1 << page)
    }

    pub(crate) fn writer_steps(&mut self, state: &State, steps: &mut Steps) {
        let mut next = *state;
        match state.writer {
            Writer::Idle => self.start_writing(state, steps),
            Writer::Scanning { words_read, protected, pages } if words_read < WORDS => {
                let word = self.order_of_words()[usize::from(words_read)];
                let also = self.protected_by(state, word);
                next.writer = Writer::Scanning {
                    words_read: words_read + 1,
                    protected: protected | also.snapshots,
                    pages: pages | also.pages,
                };
                steps.add(next, || format!("the writer reads protected word {words_read}"));
            }
            Writer::Scanning { protected, pages, .. } => {
                self.store_pages(state, Protected { snapshots: protected, pages }, steps);
            }
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
                self.free_old_ring_early(&mut next, &snapshot);
                steps.add(next, || format!("newest := {}", snapshot.id));
            }
            Writer::RecordMissing(id) => {
                let snapshot = self.get(id);
                self.store_in_log(&mut next, snapshot.log_end - 1, snapshot.new_ring, snapshot.chain);
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
        let may_write = state.commits < bounds.commits || self.orphan(state, &newest).is_some();
        if may_write {
            let snapshots = if self.keeps(LeftOut::NewestProtected) { bit(newest.id) } else { 0 };
            if bounds.every_word_alone {
                let mut next = *state;
                next.writer = Writer::Scanning { words_read: 0, protected: snapshots, pages: 0 };
                steps.add(next, || format!("a writer begins on {}", newest.id));
            } else {
                let mut protected = Protected { snapshots, pages: 0 };
                for word in self.order_of_words() {
                    let also = self.protected_by(state, word);
                    protected.snapshots |= also.snapshots;
                    protected.pages |= also.pages;
                }
                self.store_pages(state, protected, steps);
            }
        }
        self.start_switch(state, &newest, steps);
    }

    /// L2: the orphaned record, of a writer that died before newest was raised. A marker is none, it is overwritten.
    pub(crate) fn orphan(&self, state: &State, newest: &Snapshot) -> Option<ContentId> {
        if !self.keeps(LeftOut::OrphanReplayed) {
            return None;
        }
        let content = self.log_content(state, newest.log_end, newest.new_ring);
        let record = self.disk.record(content)?;
        let continues = self.continues(&record, newest.log_end, newest.chain);
        (continues && record.id == newest.id + 1 && record.kind != Kind::Unlogged).then_some(content)
    }

    /// The lowest pages that nothing protected needs, for a root and perhaps a leaf.
    fn free_pages(
        &self,
        state: &State,
        protected: Protected,
        kept_leaf: Option<u8>,
    ) -> impl Iterator<Item = u8> + use<> {
        let mut used = protected.pages;
        if let Some(leaf) = kept_leaf {
            used |= 1 << leaf;
        }
        let is_protected = |snapshot: &Snapshot| protected.snapshots & bit(snapshot.id) != 0;
        for snapshot in self.all_snapshots(state).filter(is_protected) {
            used |= 1 << snapshot.root | 1 << snapshot.leaf;
        }
        (0..crate::state::DATA_PAGES as u8).filter(move |page| used >> page & 1 == 0)
    }

    fn store_pages(&mut self, state: &State, protected: Protected, steps: &mut Steps) {
        let newest = self.newest(state);
        if let Some(record) = self.orphan(state, &newest) {
            if !self.keeps(LeftOut::OrphanKept) && state.checkpointer == Checkpointer::Idle {
                self.erase_orphan(state, &newest, steps);
            }
            return self.replay_orphan(state, protected, &newest, record, steps);
        }
        let bounds = self.options.bounds;
        let mut kinds = vec![(Kind::Changes, false)];
        if bounds.has_unlogged {
            kinds.push((Kind::Unlogged, false));
        }
        if bounds.has_large {
            kinds.push((Kind::Changes, true));
        }
        if bounds.has_empty {
            kinds.push((Kind::Empty, false));
        }
        let versions: &[u8] = match (state.life, bounds.repeats) {
            (0, _) => &[0],
            (_, true) => &[0, state.life],
            (_, false) => &[state.life],
        };
        let durability: &[bool] = if bounds.has_lazy { &[true, false] } else { &[true] };
        for (kind, is_large) in kinds {
            for replaces_leaf in [false, true] {
                let is_meant = match bounds.leaf {
                    Leaf::Kept => replaces_leaf == is_large,
                    Leaf::Replaced => replaces_leaf,
                    Leaf::Either => replaces_leaf || !is_large,
                };
                if kind == Kind::Empty && replaces_leaf || kind != Kind::Empty && !is_meant {
                    continue;
                }
                for &version in versions {
                    for &wants_durable in durability {
                        let plan = Plan { kind, is_large, replaces_leaf, version, wants_durable };
                        self.store_pages_of(state, protected, &newest, plan, steps);
                    }
                    if kind == Kind::Empty {
                        break;
                    }
                }
            }
        }
    }

    fn store_pages_of(
        &mut self,
        state: &State,
        protected: Protected,
        newest: &Snapshot,
        plan: Plan,
        steps: &mut Steps,
    ) {
        let mut next = *state;
        let id = newest.id + 1;
        let is_logged = plan.kind != Kind::Unlogged;
        let mut snapshot =
            Snapshot { id, wants_durable: plan.wants_durable, is_logged, large: None, ..*newest };
        if !is_logged {
            snapshot.unlogged = id;
        }
        if plan.kind != Kind::Empty {
            let kept_leaf = (!plan.replaces_leaf).then_some(newest.leaf);
            let mut free = self.free_pages(state, protected, kept_leaf);
            let Some(root) = free.next() else { return };
            let leaf = if plan.replaces_leaf { free.next() } else { None };
            if plan.replaces_leaf && leaf.is_none() {
                return;
            }
            let value = id * 4 + plan.version;
            self.change_tree(&mut next, &mut snapshot, value, root, leaf.map(|leaf| (leaf, value)));
            if plan.is_large {
                snapshot.large = Some((snapshot.leaf, snapshot.leaf_content));
            }
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
        protected: Protected,
        newest: &Snapshot,
        content: ContentId,
        steps: &mut Steps,
    ) {
        let record = self.disk.record(content).expect("it was found");
        let mut next = *state;
        let mut snapshot =
            Snapshot { id: record.id, wants_durable: true, is_logged: true, large: None, ..*newest };
        if record.kind == Kind::Changes {
            let mut protected = protected;
            let large = record.large.filter(|_| self.keeps(LeftOut::OrphanKeepsLarge));
            if let Some((page, content)) = large {
                protected.pages |= 1 << page;
                snapshot.large = large;
                (snapshot.leaf, snapshot.leaf_content, snapshot.leaf_birth) = (page, content, record.id);
                snapshot.tree.leaf_value = record.leaf_value;
                self.redirty(&mut next, usize::from(page));
            }
            let copies_leaf = record.leaf_value != 0 && large.is_none();
            let kept_leaf = (!copies_leaf).then_some(snapshot.leaf);
            let mut free = self.free_pages(state, protected, kept_leaf);
            let (Some(root), Some(leaf)) = (free.next(), free.next()) else { return };
            let leaf = copies_leaf.then_some((leaf, record.leaf_value));
            self.change_tree(&mut next, &mut snapshot, record.root_value, root, leaf);
        }
        let snapshot = self.after_record(newest, snapshot, content);
        if self.keeps(LeftOut::OrphanStoredAgain) {
            self.store_in_log(&mut next, newest.log_end, newest.new_ring, content);
        }
        next.writer = Writer::Recorded(self.snapshots.number(snapshot));
        steps.add(next, || format!("the writer replays the record {} that a dead one has left", record.id));
    }

    fn append_record(&mut self, state: &State, snapshot: Snapshot, steps: &mut Steps) {
        let mut next = *state;
        let newest = self.newest(state);
        let kind = self.kind_of(&newest, &snapshot);
        let is_missing = kind == Kind::Unlogged && !self.keeps(LeftOut::UnloggedMarker)
            || kind == Kind::Switch && !self.keeps(LeftOut::SwitchInLog);
        if is_missing {
            let new_ring = snapshot.new_ring;
            let log_end = newest.log_end.max(new_ring);
            let (sealed, sealed_end) = (snapshot.id, log_end);
            let chain = newest.chain;
            let snapshot = Snapshot { log_end, chain, sealed, sealed_end, new_ring, ..snapshot };
            next.writer = Writer::Recorded(self.snapshots.number(snapshot));
            return steps.add(next, || format!("the writer: {} leaves nothing in the log", snapshot.id));
        }
        if !self.has_room(state, &newest) {
            return;
        }
        let (snapshot, record) = self.with_record(&newest, snapshot, kind);
        let number = self.snapshots.number(snapshot);
        if self.keeps(LeftOut::RecordFirst) {
            self.store_in_log(&mut next, newest.log_end, newest.new_ring, record);
            next.writer = Writer::Recorded(number);
            steps.add(next, || {
                format!("the writer stores the record of {} at {}", snapshot.id, newest.log_end)
            });
        } else {
            next.writer = Writer::Announced(number);
            steps.add(next, || format!("the writer will store the record of {} later", snapshot.id));
        }
    }

    /// What kind of record a transaction appends.
    fn kind_of(&self, newest: &Snapshot, snapshot: &Snapshot) -> Kind {
        if !snapshot.is_logged {
            Kind::Unlogged
        } else if snapshot.new_ring != newest.new_ring {
            Kind::Switch
        } else if snapshot.root_birth == snapshot.id {
            Kind::Changes
        } else {
            Kind::Empty
        }
    }

    pub(crate) fn reader_steps(&mut self, state: &State, steps: &mut Steps) {
        if state.private_reader.is_some() {
            let mut next = *state;
            next.private_reader = None;
            steps.add(next, || "the handle that has replayed the log for itself ends its transaction".into());
        }
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
    is_large: bool,
    replaces_leaf: bool,
    version: u8,
    wants_durable: bool,
}
