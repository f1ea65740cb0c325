//! Savepoints: states of a write transaction that it can go back to.
//!
//! A savepoint costs nothing by itself. What is changed after it keeps its earlier state, at the first change:
//!
//! | what | what it keeps | where |
//! |---|---|---|
//! | a table's tree, the catalog | root, count, how many pages were retired; of each frame that changes, its bytes | a *level* ([`TreeMut::begin_level`]) |
//! | a table | its name and types, the reserved entry, uncounted values; if it is dropped, itself | `OpenTable`, [`SavepointStack`] |
//! | free space | what has been taken, released and retired since | a *mark* ([`Space::mark`]) |
//! | the redo record | how long it was | [`SavepointStack`] |
//!
//! Levels and marks are made lazily, because the tree of an open table is with its `TableMut`. A level has the label of
//! the newest savepoint. A tree whose newest level has an older label has not changed since the newest savepoint:
//! before its next change ([`Transaction::keep_for_savepoint`]) it begins a level, whose state is that at the
//! savepoint. Going back and releasing are done at once for everything: they borrow the transaction mutably, so that no
//! table is open.
//!
//! # Why going back is right
//!
//! Let S be the savepoint.
//!
//! - **Trees.** The state of a tree is its root and what the root leads to: frames and pages. A frame that existed at S
//!   was saved before its first change, and its index was given to no other frame. Younger frames are dropped. So all
//!   frames are as they were, even if a change has ended half-way.
//! - **Pages.** A page that the tree referred to at S was either in the snapshot that the transaction builds on, or the
//!   transaction had stored it (spilled it) before S. The first kind no writer overwrites (I1). The second kind is
//!   taken by the transaction, and while S exists is not free, even after the tree has stopped using it: a page is
//!   freed at once only if it was taken after the *newest* savepoint. Without that rule a spill after S could store
//!   another page there.
//! - **Free space.** What was taken after S is referred to only by what is undone, and is free again. What was retired
//!   after S is in use again. Pages that were retired before S stay with their tree until the commit, or wait in free
//!   space, and are untouched. So each page remains exactly one of free, taken, retired and in use. The file stays as
//!   long as it has become.
//! - **The redo record** has the operations in the order in which they were made (L5), so its prefix up to S is what
//!   leads to the state at S. An entry whose value the caller was filling in at S is logged after going back, as it
//!   would have been after S. If the record has become too long after S, its prefix is still there.
//!
//! A crash or a kill at any time leaves nothing: the transaction has published nothing, and its pages are free in the
//! state that others load (I1). What a commit publishes after going back is what a transaction would have published
//! that never made the changes, except for the choice of pages.
//!
//! Releasing S keeps the present state. Levels and marks of S go to the savepoint before it, or are dropped. Pages that
//! only S needed are free from then on.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::base::SavepointId;
use crate::error::{Error, Result};
use crate::tree::TreeMut;
use crate::txn::open_table::OpenTable;
use crate::txn::savepoint_stack::{LiveSavepoint, SavepointStack};
use crate::txn::write::{Condition, Transaction};

/// The id of the next savepoint of this process. So a savepoint of another transaction is never taken for one of this.
static NEXT_ID: AtomicU64 = AtomicU64::new(SavepointId::NONE.0 + 1);

impl Transaction {
    /// Makes a savepoint of the present state. Tables may be open.
    pub(crate) fn savepoint(&self) -> Result<SavepointId> {
        self.check_usable()?;
        if self.whole_changes.get() > 0 {
            return Err(Error::SavepointInChange);
        }
        self.settle_closed_tables()?;
        let id = SavepointId(NEXT_ID.fetch_add(1, Relaxed));
        let mut record = self.record.borrow_mut();
        let position = record.position();
        record.keep_up_to(Some(&position));
        self.savepoints.borrow_mut().live.push(LiveSavepoint { id, record: position });
        self.newest_savepoint.set(id);
        Ok(id)
    }

    /// Goes back to the state at a savepoint, which stays. Later savepoints go. Afterwards the transaction is usable,
    /// unless a change of it has panicked.
    pub(crate) fn roll_back_to(&mut self, savepoint: SavepointId) -> Result<()> {
        self.core().check_not_forked()?;
        let index = self.index_of(savepoint)?;
        if self.condition.get() == Condition::Changing {
            return Err(Error::TransactionFailed);
        }
        self.check_tables_are_back()?;
        // An error in the middle, which takes damage, leaves only abort.
        self.condition.set(Condition::Changing);
        self.catalog.get_mut().roll_back(savepoint);
        self.roll_back_tables(savepoint);
        if let Some(log) = self.writer.get_mut().as_mut().and_then(|state| state.log.as_mut()) {
            log.space.roll_back(savepoint)?;
        }
        let SavepointStack { live, .. } = self.savepoints.get_mut();
        live.truncate(index + 1);
        let record = self.record.get_mut();
        record.truncate(&live[index].record);
        record.keep_up_to(Some(&live[index].record));
        self.newest_savepoint.set(savepoint);
        self.condition.set(Condition::Usable);
        Ok(())
    }

    fn roll_back_tables(&mut self, savepoint: SavepointId) {
        let tables = self.tables.get_mut();
        let mut changed: Vec<Box<OpenTable>> = Vec::new();
        tables.retain(|_, table| {
            let is_changed = table.as_ref().is_some_and(|table| table.may_have_changed_since(savepoint));
            if is_changed {
                changed.extend(table.take());
            }
            !is_changed
        });
        let dropped = &mut self.savepoints.get_mut().dropped;
        while let Some((_, table)) = dropped.pop_if(|(after, _)| *after >= savepoint) {
            changed.push(table);
        }
        for mut table in changed {
            if table.opened_after < savepoint {
                table.roll_back(savepoint);
                tables.insert(table.name.clone(), Some(table));
            }
        }
    }

    /// Gives up a savepoint and all later ones, and keeps the changes.
    pub(crate) fn release_savepoint(&mut self, savepoint: SavepointId) -> Result<()> {
        let index = self.index_of(savepoint)?;
        self.check_usable()?;
        let SavepointStack { live, dropped } = self.savepoints.get_mut();
        live.truncate(index);
        let before = live.last();
        self.record.get_mut().keep_up_to(before.map(|before| &before.record));
        let before = before.map_or(SavepointId::NONE, |before| before.id);
        self.newest_savepoint.set(before);
        self.catalog.get_mut().release_levels(savepoint, before);
        for table in self.tables.get_mut().values_mut().flatten() {
            table.release_levels(savepoint, before);
        }
        for (after, table) in dropped.iter_mut() {
            table.release_levels(savepoint, before);
            *after = before.min(*after);
        }
        let unneeded = if before == SavepointId::NONE { std::mem::take(dropped) } else { Vec::new() };
        // Pages that are not released if this fails would be lost.
        self.condition.set(Condition::Changing);
        if let Some(log) = self.writer.get_mut().as_mut().and_then(|state| state.log.as_mut()) {
            log.space.release_marks(savepoint, before)?;
        }
        self.condition.set(Condition::Usable);
        for (_, mut table) in unneeded {
            self.guard(|| self.retire(&mut table.tree))?;
        }
        Ok(())
    }

    /// The same for all savepoints: before the commit.
    pub(super) fn release_all_savepoints(&mut self) -> Result<()> {
        let oldest = self.savepoints.get_mut().live.first().map(|oldest| oldest.id);
        oldest.map_or(Ok(()), |oldest| self.release_savepoint(oldest))
    }

    fn index_of(&self, savepoint: SavepointId) -> Result<usize> {
        let savepoints = self.savepoints.borrow();
        savepoints.live.binary_search_by_key(&savepoint, |live| live.id).map_err(|_| Error::NoSuchSavepoint)
    }

    /// Called before a table changes: its state may have to be kept for the newest savepoint.
    #[inline]
    pub(super) fn keep_for_savepoint(&self, table: &mut OpenTable) {
        if table.tree.level() != self.newest_savepoint.get() {
            table.begin_level(self.newest_savepoint.get());
        }
    }

    /// The same for the catalog.
    pub(super) fn keep_tree_for_savepoint(&self, tree: &mut TreeMut) {
        if tree.level() != self.newest_savepoint.get() {
            tree.begin_level(self.newest_savepoint.get());
        }
    }

    /// Keeps a table that was dropped, if a savepoint may need it. If not, nothing of it is left.
    pub(super) fn keep_dropped(&self, table: Box<OpenTable>) {
        let newest = self.newest_savepoint.get();
        if table.opened_after < newest {
            self.savepoints.borrow_mut().dropped.push((newest, table));
        }
    }
}
