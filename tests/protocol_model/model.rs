//! The model's tables, and what every part of it asks of a state.

use crate::disk::{Barrier, Change, Content, ContentId, Disk, KeyPosition, Meta, Tearing, Tree, ZEROS};
use crate::explore::Steps;
use crate::intern::Interner;
use crate::options::{LeftOut, OpenOptions, Torn};
use crate::state::{
    Checkpointer, Description, Failure, Id, LENGTH, PLACES, Phase, RINGS, Reader, SLOTS, Snapshot,
    SnapshotId, Snapshots, State, Syncer, Words, Writer,
};

pub(crate) struct Model {
    pub(crate) options: OpenOptions,
    pub(crate) disk: Disk,
    pub(crate) snapshots: Interner<Snapshot>,
    /// A tree's history: the one before, and the value that it then got.
    pub(crate) histories: Interner<(u16, u8)>,
    pub(crate) copies: Interner<Vec<ContentId>>,
    pub(crate) lock_files: Interner<(Words, Snapshots)>,
}

impl Model {
    pub(crate) fn new(options: OpenOptions) -> Model {
        let mut model = Model {
            options,
            disk: Disk::new(),
            snapshots: Interner::new(),
            histories: Interner::new(),
            copies: Interner::new(),
            lock_files: Interner::new(),
        };
        model.lock_files.number((Words::default(), Snapshots::default()));
        model
    }

    pub(crate) fn keeps(&self, rule: LeftOut) -> bool {
        self.options.keeps(rule)
    }

    /// A new database: transaction 1 in slot 0.
    pub(crate) fn first_state(&mut self) -> State {
        let tree = Tree { root_value: 4, leaf_value: 4, history: self.histories.number((0, 4)) };
        let leaf_content = self.disk.content_id(Content::Leaf { birth: 1, value: 4 });
        let root_content = self.disk.content_id(Content::Root { birth: 1, value: 4, leaf: 1 });
        let log_start = self.options.bounds.records_per_page;
        let snapshot = Snapshot {
            id: 1,
            wants_durable: true,
            is_logged: true,
            leaf: 1,
            root_content,
            leaf_content,
            root_birth: 1,
            leaf_birth: 1,
            tree,
            log_end: log_start,
            sealed: 1,
            sealed_end: log_start,
            ..Snapshot::default()
        };
        let meta = self.meta_of(&snapshot);
        let zeros = self.disk.place_id(KeyPosition::durable(ZEROS));
        let mut places = [zeros; PLACES];
        for (place, content) in [(0, root_content), (1, leaf_content), (SLOTS, meta)] {
            places[place] = self.disk.place_id(KeyPosition::durable(content));
        }
        let mut snapshots = Snapshots::default();
        snapshots.push(self.snapshots.number(snapshot));
        State {
            places,
            snapshots,
            unpublished: [(0, 0); 3],
            phase: Phase::Open,
            words: opened_words(&snapshot, 0, log_start, 1),
            writer: Writer::Idle,
            syncer: Syncer::Idle,
            checkpointer: Checkpointer::Idle,
            reader: Reader::None,
            log_description: Description::Sound,
            checkpoint_description: Description::Sound,
            failure: Failure::None,
            is_other_area_used: false,
            is_poisoned: false,
            lock_file_copy: 0,
            life: 0,
            acknowledged: 1,
            kept: 0,
            commits: 0,
            power_losses: 0,
            kills: 0,
            failed_writes: 0,
            growths: 0,
        }
    }

    // ---- pages ----

    pub(crate) fn place(&self, state: &State, at: usize) -> &KeyPosition {
        self.disk.place(state.places[at])
    }

    pub(crate) fn cache(&self, state: &State, at: usize) -> ContentId {
        self.place(state, at).cache
    }

    pub(crate) fn change(&mut self, state: &mut State, at: usize, change: Change) {
        state.places[at] = self.disk.changed(state.places[at], change);
    }

    pub(crate) fn store(&mut self, state: &mut State, at: usize, content: ContentId) {
        self.change(state, at, Change::Store(content));
    }

    pub(crate) fn redirty(&mut self, state: &mut State, at: usize) {
        self.store(state, at, self.cache(state, at));
    }

    /// Does this to every page.
    pub(crate) fn change_all(&mut self, state: &mut State, change: Change) {
        for at in 0..PLACES {
            self.change(state, at, change);
        }
    }

    pub(crate) fn abandon_barriers(&mut self, state: &mut State) {
        self.change_all(state, Change::AbandonBarrier(Barrier::Log));
        self.change_all(state, Change::AbandonBarrier(Barrier::Checkpoint));
    }

    pub(crate) fn tearing(&self, at: usize) -> Tearing {
        match at {
            _ if at < SLOTS || at == LENGTH => Tearing::None,
            _ if at < RINGS => Tearing::Whole,
            _ if self.options.bounds.torn == Torn::Sectors => Tearing::Sectors,
            _ => Tearing::Whole,
        }
    }

    pub(crate) fn meta_in(&self, state: &State, slot: u8) -> Option<Meta> {
        self.disk.meta(self.cache(state, SLOTS + usize::from(slot)))
    }

    pub(crate) fn meta_of(&mut self, snapshot: &Snapshot) -> ContentId {
        let &Snapshot { id, root, leaf, root_content, leaf_content, tree, log_end, chain, ring, .. } =
            snapshot;
        let log_start = log_end;
        self.disk.content_id(Content::Meta(Meta {
            id,
            root,
            leaf,
            root_content,
            leaf_content,
            tree,
            log_start,
            chain,
            ring,
        }))
    }

    // ---- snapshots ----

    pub(crate) fn all_snapshots(&self, state: &State) -> impl DoubleEndedIterator<Item = Snapshot> + '_ {
        let snapshots = state.snapshots;
        (0..snapshots.as_slice().len()).map(move |at| *self.snapshots.get(snapshots.as_slice()[at]))
    }

    pub(crate) fn snapshot(&self, state: &State, id: Id) -> Snapshot {
        let found = self.all_snapshots(state).rev().find(|snapshot| snapshot.id == id);
        found.unwrap_or_else(|| panic!("snapshot {id} is forgotten: {:?}, {:?}", state.words, state.writer))
    }

    pub(crate) fn newest(&self, state: &State) -> Snapshot {
        self.snapshot(state, state.words.newest)
    }

    pub(crate) fn get(&self, id: SnapshotId) -> Snapshot {
        *self.snapshots.get(id)
    }

    pub(crate) fn history(&mut self, tree: Tree, value: u8) -> u16 {
        self.histories.number((tree.history, value))
    }

    /// Whether all pages of a snapshot are what its transaction stored.
    pub(crate) fn is_intact(&self, state: &State, snapshot: &Snapshot) -> bool {
        snapshot.pages().iter().all(|&(page, content)| self.cache(state, usize::from(page)) == content)
    }

    /// Whether a durable commit is above `after`.
    pub(crate) fn is_durable_commit_above(&self, state: &State, after: Id) -> bool {
        self.all_snapshots(state).any(|snapshot| snapshot.wants_durable && snapshot.id > after)
    }

    /// Raises visible. A reader may see the snapshot at once, and with it the durable commits in it.
    pub(crate) fn raise_visible_to(&self, state: &mut State, visible: Id) {
        state.words.visible = state.words.visible.max(visible);
        let seen = self
            .all_snapshots(state)
            .filter(|s| s.wants_durable && s.id <= state.words.visible)
            .map(|s| s.id);
        state.acknowledged = state.acknowledged.max(seen.max().unwrap_or(0));
    }

    // ---- barriers ----

    /// A process that was told of a failed write stores the poison word, and all close the database. Each one at work
    /// looks at that word after its barrier, so none goes on.
    pub(crate) fn poison(&mut self, state: &State, steps: &mut Steps) {
        let mut next = *state;
        if self.keeps(LeftOut::PoisonLookedAt) {
            self.close(&mut next);
        } else {
            if state.syncer == Syncer::StepOutcome {
                next.syncer = Syncer::Idle;
            }
            if state.checkpointer == Checkpointer::StepOutcome {
                next.checkpointer = Checkpointer::Idle;
            }
            next.is_poisoned = true;
        }
        steps.add(next, || "the database is poisoned: all close it".into());
    }

    /// No process has the database open any more.
    pub(crate) fn close(&mut self, state: &mut State) {
        if state.phase == Phase::Open {
            self.note_unpublished(state);
            let acknowledged = state.acknowledged;
            state.snapshots.retain(|id| self.snapshots.get(id).id >= acknowledged);
            forget_unpublished(state, acknowledged);
        }
        self.abandon_barriers(state);
        state.phase = Phase::Closed;
        state.words = Words::default();
        state.writer = Writer::Idle;
        state.syncer = Syncer::Idle;
        state.checkpointer = Checkpointer::Idle;
        state.reader = Reader::None;
        state.is_poisoned = false;
        state.log_description = Description::Sound;
        state.checkpoint_description = Description::Sound;
    }

    /// If the writer has stored its record, the transaction may be found although it is not newest.
    pub(crate) fn note_unpublished(&mut self, state: &mut State) {
        if let Writer::Recorded(id) | Writer::Announced(id) = state.writer {
            let snapshot = self.get(id);
            let entry = (snapshot.id, snapshot.tree.history);
            if snapshot.is_logged && !state.unpublished.contains(&entry) {
                let free = state.unpublished.iter_mut().find(|entry| entry.0 == 0);
                *free.expect("few writers die") = entry;
                state.unpublished.sort_unstable_by(|a, b| b.cmp(a));
            }
        }
    }
}

pub(crate) fn forget_unpublished(state: &mut State, up_to: Id) {
    for entry in &mut state.unpublished {
        if entry.0 <= up_to {
            *entry = (0, 0);
        }
    }
    state.unpublished.sort_unstable_by(|a, b| b.cmp(a));
}

/// The words of a database that has just been opened at a snapshot.
pub(crate) fn opened_words(snapshot: &Snapshot, slot: u8, log_start: u8, checkpointed: Id) -> Words {
    Words {
        newest: snapshot.id,
        visible: snapshot.id,
        durable: snapshot.id,
        synced: snapshot.log_end,
        checkpointed,
        slot,
        log_start,
        ..Words::default()
    }
}
