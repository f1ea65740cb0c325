//! A table that a write transaction has opened: its tree, and its entry in the catalog.

use crate::base::{SavepointId, TransactionId};
use crate::format::catalog::TableEntry;
use crate::tree::TreeMut;
use crate::txn::value_counts::ValueCounts;

/// Changed pages, in bytes, of a table whose entries were only appended, before they are stored: all but a few of
/// them will not change any more.
const APPENDED_BYTES: usize = 8 << 20;
/// The same once that has begun: so the memory that is used again and again stays in the processor's cache.
const NEXT_APPENDED_BYTES: usize = 1 << 20;

/// A table in a write transaction.
pub(crate) struct OpenTable {
    pub(crate) name: String,
    pub(crate) tree: TreeMut,
    /// The table's entry in the catalog.
    pub(crate) entry: TableEntry,
    /// Whether pages were stored early because entries were only appended.
    pub(super) is_stored_as_it_grows: bool,
    /// The key of an entry whose value the caller may still be filling in or changing: its record has the value when
    /// that ends.
    pub(super) reserved: Option<Vec<u8>>,
    /// In a multimap table: what its counters do not know yet.
    pub(super) value_counts: ValueCounts,
    /// The newest savepoint that there was when it was opened: at that one, and before, it was not open.
    pub(super) opened_after: SavepointId,
    /// The states to go back to: as many as the tree has levels.
    levels: Vec<TableLevel>,
}

/// The state of a table at a savepoint, except its tree.
struct TableLevel {
    name: String,
    entry: TableEntry,
    is_stored_as_it_grows: bool,
    reserved: Option<Vec<u8>>,
    value_counts: ValueCounts,
}

impl OpenTable {
    pub(super) fn new(
        name: &str,
        entry: TableEntry,
        transaction: TransactionId,
        page_size: usize,
        opened_after: SavepointId,
    ) -> Box<OpenTable> {
        let tree = TreeMut::new(&entry.root, transaction, page_size);
        Box::new(OpenTable {
            name: name.to_owned(),
            tree,
            entry,
            is_stored_as_it_grows: false,
            reserved: None,
            value_counts: ValueCounts::default(),
            opened_after,
            levels: Vec::new(),
        })
    }

    /// Makes the present state one to go back to, for `savepoint`, the newest one.
    pub(super) fn begin_level(&mut self, savepoint: SavepointId) {
        self.levels.push(TableLevel {
            name: self.name.clone(),
            entry: self.entry.clone(),
            is_stored_as_it_grows: self.is_stored_as_it_grows,
            reserved: self.reserved.clone(),
            value_counts: self.value_counts.clone(),
        });
        self.tree.begin_level(savepoint);
    }

    /// Whether it differs from what it was at `savepoint`, or was not open then.
    pub(super) fn may_have_changed_since(&self, savepoint: SavepointId) -> bool {
        self.opened_after >= savepoint || self.tree.level() >= savepoint
    }

    /// Goes back to the state at `savepoint`, when it was open.
    pub(super) fn roll_back(&mut self, savepoint: SavepointId) {
        self.tree.roll_back(savepoint);
        if let Some(level) = self.levels.drain(self.tree.level_count()..).next() {
            (self.name, self.entry, self.reserved) = (level.name, level.entry, level.reserved);
            (self.is_stored_as_it_grows, self.value_counts) =
                (level.is_stored_as_it_grows, level.value_counts);
        }
    }

    /// Gives up the states of `savepoint` and of all later ones. `before` is the savepoint that is the newest then.
    pub(super) fn release_levels(&mut self, savepoint: SavepointId, before: SavepointId) {
        self.tree.release_levels(savepoint, before);
        self.levels.truncate(self.tree.level_count());
    }

    /// Whether most of its changed pages will not change any more, and are worth storing.
    pub(super) fn has_finished_pages(&self) -> bool {
        let enough = if self.is_stored_as_it_grows { NEXT_APPENDED_BYTES } else { APPENDED_BYTES };
        self.tree.is_only_appended() && self.tree.dirty_bytes() > enough
    }

    /// Whether the table differs from its entry in the catalog.
    pub(crate) fn is_changed(&self) -> bool {
        self.tree.is_changed_from(&self.entry.root)
    }
}
