//! A table that a write transaction has opened: its tree, and its entry in the catalog.

use crate::base::TransactionId;
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
    /// The key of an entry whose value the caller may still be filling in: its record has the value when that ends.
    pub(super) reserved: Option<Vec<u8>>,
    /// In a multimap table: what its counters do not know yet.
    pub(super) value_counts: ValueCounts,
}

impl OpenTable {
    pub(super) fn new(
        name: &str,
        entry: TableEntry,
        transaction: TransactionId,
        page_size: usize,
    ) -> Box<OpenTable> {
        let tree = TreeMut::new(&entry.root, transaction, page_size);
        Box::new(OpenTable {
            name: name.to_owned(),
            tree,
            entry,
            is_stored_as_it_grows: false,
            reserved: None,
            value_counts: ValueCounts::default(),
        })
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
