//! Loading free space from its log: a base, and then each delta in order.
//!
//! Invariants:
//! - I5: any bytes give a state that keeps the invariants of [`Space`], or [`crate::Error::Corrupt`].
//! - The loaded state holds the same pages as the writer's state when it wrote the newest delta. Some that the writer
//!   had reclaimed by the interval rule (I2) are still retired until the loader reclaims too. So a page that a delta
//!   takes may be retired here.
//!
//! Loading costs O(n log n) for n extents in the log.

use super::Space;
use crate::base::{Extent, TransactionId};
use crate::error::{Result, corrupt};
use crate::format::free_log::{self, Base, Delta, Entry, RetiredRun};

impl Space {
    /// Loads the state that transaction `head` left, from the bytes of the whole log, oldest first: a base, and then
    /// deltas and names.
    pub(crate) fn load(log: &[u8], head: TransactionId) -> Result<Space> {
        let mut entries = free_log::entries(log);
        let mut space = match entries.next().transpose()? {
            Some(Entry::Base(base)) => Space::from_base(base, head)?,
            Some(_) => return Err(misplaced("a base at its beginning", "another entry")),
            None => return Err(misplaced("a base at its beginning", "nothing")),
        };
        let mut newest = None;
        for entry in entries {
            let delta = match entry? {
                Entry::Delta(delta) => delta,
                Entry::Names(names) if names.id() > head => {
                    return Err(misplaced("no names of a transaction that has not happened", "some"));
                }
                Entry::Names(names) => {
                    space.apply_names(names)?;
                    continue;
                }
                Entry::Base(_) => return Err(misplaced("one base, at its beginning", "another base")),
            };
            if newest.is_some_and(|newest| newest >= delta.id) {
                return Err(misplaced("deltas in the order of their transactions", "another order"));
            }
            if delta.id > head {
                return Err(misplaced("no delta of a transaction that has not happened", "one"));
            }
            newest = Some(delta.id);
            space.apply(&delta)?;
        }
        Ok(space)
    }

    fn from_base(base: Base, head: TransactionId) -> Result<Space> {
        let mut space = Space::new(base.length_pages);
        space.free.insert_all(base.free)?;
        for retired in base.retired {
            if retired.death > head {
                return Err(misplaced("no death in a transaction that has not happened", "one"));
            }
            space.add_retired(retired)?;
        }
        Ok(space)
    }

    /// Applies the delta of another transaction, from the log or from another process, which directly follows the
    /// last transaction in this state. No transaction may be in progress here. After an error, the state must be
    /// dropped.
    pub(crate) fn apply(&mut self, delta: &Delta) -> Result<()> {
        assert!(self.taken.is_empty() && self.retiring.is_empty(), "no transaction is in progress");
        if delta.length_pages > self.length_pages {
            self.grow(delta.length_pages);
        }
        for &run in &delta.taken {
            self.remove_unused(run)?;
        }
        for &(run, birth) in &delta.retired {
            self.add_retired(RetiredRun { run, birth, death: delta.id })?;
        }
        if delta.length_pages < self.length_pages {
            let cut = Extent::new(delta.length_pages, self.length_pages - delta.length_pages);
            self.remove_unused(cut)?;
            self.length_pages = delta.length_pages;
        }
        self.length_pages_before = self.length_pages;
        Ok(())
    }

    /// Removes `run` from the free and the retired pages, piece by piece.
    fn remove_unused(&mut self, run: Extent) -> Result<()> {
        let mut first = run.first.0;
        while first < run.end() {
            let piece_up_to = |end: u32| Extent::new(first, end.min(run.end()) - first);
            let piece = if let Some(free) = self.free.containing(first) {
                let piece = piece_up_to(free.end());
                self.free.take_exact(piece)?;
                piece
            } else if let Some(retired) = self.retired.containing(first) {
                let piece = piece_up_to(retired.run.end());
                self.retired.take(piece)?;
                piece
            } else {
                return Err(corrupt(Some(first), "page taken by a transaction", "free or retired", "in use"));
            };
            first = piece.end();
        }
        Ok(())
    }
}

#[cold]
fn misplaced(expected: &str, found: &str) -> crate::Error {
    corrupt(None, "order of the free-space log", expected, found)
}

#[cfg(test)]
mod tests;
