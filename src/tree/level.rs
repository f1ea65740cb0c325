//! What a tree must have to go back to an earlier state: the old content of what has changed since, and nothing else.
//!
//! Invariant: a frame that existed when a level began (`had`) is in `saved` with its content of that time, or has not
//! changed since.

use crate::base::SavepointId;
use crate::tree::nodes::TreeTop;

/// The state of a tree at a savepoint, except its frames.
pub(super) struct Level {
    pub(super) savepoint: SavepointId,
    pub(super) top: TreeTop,
    pub(super) entries: u64,
    pub(super) retired_count: usize,
    pub(super) is_only_appended: bool,
}

/// The state of a tree's frames at a savepoint, as what has changed since.
pub(super) struct FramesLevel {
    /// Frames below this index existed, except those in `vacant`.
    pub(super) slot_count: usize,
    pub(super) vacant: Vec<u32>,
    pub(super) page_count: usize,
    pub(super) saved: Vec<(u32, Box<[u8]>)>,
    /// One bit for each frame: whether it is in `saved`. Empty until there is one.
    is_saved: Vec<u64>,
}

impl FramesLevel {
    pub(super) fn new(slot_count: usize, vacant: Vec<u32>, page_count: usize) -> FramesLevel {
        FramesLevel { slot_count, vacant, page_count, saved: Vec::new(), is_saved: Vec::new() }
    }

    /// Whether a frame with this index may have existed, so that no other gets its index.
    pub(super) fn had(&self, index: u32) -> bool {
        (index as usize) < self.slot_count
    }

    /// Whether a frame that exists must be saved before it changes.
    pub(super) fn lacks(&self, index: u32) -> bool {
        let word = self.is_saved.get(index as usize / 64);
        self.had(index) && word.is_none_or(|word| word >> (index % 64) & 1 == 0)
    }

    /// Saves a frame that it lacks.
    pub(super) fn save(&mut self, index: u32, bytes: Box<[u8]>) {
        if self.is_saved.is_empty() {
            self.is_saved.resize(self.slot_count.div_ceil(64), 0);
        }
        self.is_saved[index as usize / 64] |= 1 << (index % 64);
        self.saved.push((index, bytes));
    }
}
