//! Going back: a tree that is changed after a savepoint keeps the state before the change in a [`Level`].
//!
//! The levels are labelled with savepoints, in the order in which these were made. A tree that has not changed between
//! two savepoints has one level for both, with the label of the later one if it was changed after both.
//!
//! Invariants:
//! - The level with the label of a savepoint, or the next one above it, has the tree's state at that savepoint.
//! - Pages that were retired before the newest level began stay in `retired` ([`TreeMut::take_retired`]), so that going
//!   back only cuts off the rest. What has been taken from there since is free space's to undo.

use crate::base::SavepointId;
use crate::tree::level::Level;
use crate::tree::tree_mut::TreeMut;

impl TreeMut {
    /// The savepoint before which the newest level has the state.
    #[inline]
    pub(crate) fn level(&self) -> SavepointId {
        self.level
    }

    /// How many levels there are.
    pub(crate) fn level_count(&self) -> usize {
        self.levels.len()
    }

    /// Bytes of memory that the changes take, with what the levels have saved.
    pub(crate) fn held_bytes(&self) -> usize {
        self.dirty_bytes() + self.frames.saved_bytes()
    }

    /// Begins a level for `savepoint`, the newest one. The tree has not changed since the savepoint.
    pub(crate) fn begin_level(&mut self, savepoint: SavepointId) {
        self.levels.push(Level {
            savepoint,
            top: self.top,
            entries: self.entries,
            retired_count: self.retired.len(),
            is_only_appended: self.is_only_appended,
        });
        self.frames.begin_level();
        self.note_level();
    }

    /// Goes back to the state at `savepoint`. The levels from it on end.
    pub(crate) fn roll_back(&mut self, savepoint: SavepointId) {
        while let Some(level) = self.levels.pop_if(|level| level.savepoint >= savepoint) {
            self.frames.roll_back_level();
            (self.top, self.entries, self.is_only_appended) =
                (level.top, level.entries, level.is_only_appended);
            self.retired.truncate(level.retired_count);
            (self.is_path_to_end, self.room_left) = (false, 0);
        }
        self.note_level();
    }

    /// Gives up the levels of `savepoint` and of all later ones. `before` is the savepoint that is the newest then.
    pub(crate) fn release_levels(&mut self, savepoint: SavepointId, before: SavepointId) {
        while let Some(mut level) = self.levels.pop_if(|level| level.savepoint >= savepoint) {
            if self.levels.last().is_none_or(|last| last.savepoint < before) && before != SavepointId::NONE {
                // The tree has not changed between the two savepoints.
                level.savepoint = before;
                self.levels.push(level);
                break;
            }
            self.frames.merge_level();
        }
        self.note_level();
    }

    fn note_level(&mut self) {
        self.level = self.levels.last().map_or(SavepointId::NONE, |level| level.savepoint);
    }
}
