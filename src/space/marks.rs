//! Marks: what the transaction in progress can go back to.
//!
//! A mark belongs to a savepoint. Going back to it must give the pages of the trees as they were at the savepoint, and
//! these trees may refer to pages that the transaction has itself taken and stored before. Such a page may be released
//! after the savepoint. If it were free then, it could be taken and overwritten while the savepoint still needs it.
//!
//! Invariants:
//! - Each page in `taken` is in `taken` of exactly one mark, the newest one when it was taken; or in none, if there was
//!   no mark.
//! - A page is freed at once only if the newest mark has taken it, so that no state to go back to refers to it.
//!   Otherwise it is in `kept` of the newest mark, and still taken.
//! - What was retired after a mark stands behind `retiring_count` in `retiring`. No such page is reclaimed meanwhile:
//!   newest, which the transaction builds on, needs it.

use super::free_extents::FreeExtents;
use super::{Conflict, Space};
use crate::base::{Extent, SavepointId};
use crate::error::Result;

/// A state of free space, as the changes since.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    savepoint: SavepointId,
    /// Taken since, and not released.
    taken: FreeExtents,
    /// Taken before, and released since.
    kept: Vec<Extent>,
    /// How much had been retired.
    retiring_count: usize,
}

impl Mark {
    pub(super) fn note_taken(&mut self, run: Extent) {
        self.taken.insert(run).expect("what was free was not taken");
    }
}

impl Space {
    /// The savepoint of the newest mark.
    pub(crate) fn marked(&self) -> SavepointId {
        self.marks.last().map_or(SavepointId::NONE, |mark| mark.savepoint)
    }

    /// Makes a mark for `savepoint`, the newest one. The caller has changed nothing since the savepoint.
    pub(crate) fn mark(&mut self, savepoint: SavepointId) {
        let retiring_count = self.retiring.len();
        self.marks.push(Mark { savepoint, taken: FreeExtents::default(), kept: Vec::new(), retiring_count });
    }

    /// If `run`, which is released, was taken before the newest mark: keeps it for the mark.
    pub(super) fn is_kept_for_mark(&mut self, run: Extent) -> Result<bool> {
        let Some(mark) = self.marks.last_mut() else { return Ok(false) };
        if mark.taken.take_exact(run).is_ok() {
            return Ok(false);
        }
        let holder = self.taken.containing(run.first.0);
        if holder.is_none_or(|holder| holder.end() < run.end()) || mark.taken.overlaps(run) {
            let (expected, found) = ("taken by the transaction", "not taken, or not all of it");
            return Err(Conflict { run, expected, found }.into());
        }
        mark.kept.push(run);
        Ok(true)
    }

    /// Goes back to the state at `savepoint`. The mark goes with all later ones.
    pub(crate) fn roll_back(&mut self, savepoint: SavepointId) -> Result<()> {
        while let Some(mark) = self.marks.pop_if(|mark| mark.savepoint >= savepoint) {
            for run in mark.taken.iter() {
                self.taken.take_exact(run)?;
                self.free.insert(run)?;
            }
            for retired in self.retiring.drain(mark.retiring_count..) {
                self.retired.take(retired.run)?;
            }
        }
        Ok(())
    }

    /// Gives up the marks of `savepoint` and of all later ones. `before` is the savepoint that is the newest then.
    pub(crate) fn release_marks(&mut self, savepoint: SavepointId, before: SavepointId) -> Result<()> {
        while let Some(mut mark) = self.marks.pop_if(|mark| mark.savepoint >= savepoint) {
            if self.marked() < before {
                // Nothing has changed between the two savepoints.
                mark.savepoint = before;
                self.marks.push(mark);
                return Ok(());
            }
            if let Some(last) = self.marks.last_mut() {
                last.taken.insert_all(mark.taken.iter().collect())?;
            }
            for run in mark.kept {
                self.release(run)?;
            }
        }
        Ok(())
    }
}
