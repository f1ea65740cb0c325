//! The root of a tree: stored in the catalog for each table, and in the meta page for the catalog itself.

use crate::base::PageNumber;

/// More levels than any tree has: with two children to each branch, they would take more pages than a file can have.
pub(crate) const MAX_DEPTH: u8 = 32;

/// The root of a tree: all that is needed to read it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct TreeRoot {
    /// The root page; meaningless while `depth` is 0.
    pub(crate) page: PageNumber,
    /// Levels: 0 empty, 1 a single leaf.
    pub(crate) depth: u8,
    /// Entries in the whole tree.
    pub(crate) entries: u64,
}
