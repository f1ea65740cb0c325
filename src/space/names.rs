//! Named snapshots: which pages they keep, and for how long.
//!
//! A name is created by one transaction and dropped by another. Between the two, its snapshot is protected. After that
//! it stays protected as long as a snapshot is that has the name, because a thread which has found the name there may
//! be about to read (docs/SHARING.md, *Named snapshots*).
//!
//! Invariants:
//! - The pages of a living name's snapshot are not reclaimed, whichever process reclaims: each process learns the names
//!   with free space, from the same log.
//! - Those of a dropped name are not reclaimed while one of the *protected* snapshots lies in `created..dropped`: the
//!   interval rule (I2) again. When none does, no thread can come to read it any more: a reader finds names in the
//!   checkpoint, which only rises. So the dropped name can be forgotten.
//! - A name is changed by a transaction that changes nothing else. Its abort undoes the change.

use super::Space;
use crate::base::TransactionId;
use crate::base::mutation::{Mutation, is_mutated};
use crate::error::{Result, corrupt};
use crate::format::free_log::RetiredRun;
use crate::format::free_log::names::{DroppedSnapshot, NamedSnapshot, NamesEntry};

/// About the maximum length of a name's fields in the log, apart from the name, in bytes.
const FIELDS_LEN: usize = 50;

/// The names of snapshots.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Ascending by name.
    living: Vec<NamedSnapshot>,
    dropped: Vec<DroppedSnapshot>,
}

impl Names {
    /// The living names, ascending.
    pub(crate) fn living(&self) -> &[NamedSnapshot] {
        &self.living
    }

    /// The snapshot with this name.
    pub(crate) fn find(&self, name: &str) -> Option<&NamedSnapshot> {
        place(&self.living, name).ok().map(|at| &self.living[at])
    }

    /// Whether there is no name, and none has been dropped a moment ago.
    pub(crate) fn is_empty(&self) -> bool {
        self.living.is_empty() && self.dropped.is_empty()
    }

    /// Whether a living name's snapshot needs the extent.
    pub(crate) fn need(&self, retired: &RetiredRun) -> bool {
        self.living.iter().any(|named| (retired.birth..retired.death).contains(&named.id))
    }

    /// The `protected` snapshots, ascending, and those that the names protect.
    fn protect(&self, protected: &[TransactionId]) -> Vec<TransactionId> {
        let mut all = protected.to_vec();
        if !is_mutated(Mutation::NamesNotProtected) {
            all.extend(self.living.iter().map(|named| named.id));
        }
        all.extend(
            self.dropped.iter().filter(|dropped| is_held(dropped, protected)).map(|dropped| dropped.id),
        );
        all.sort_unstable();
        all.dedup();
        all
    }

    /// About how long an entry of all names is at most, in bytes.
    pub(super) fn max_len(&self) -> usize {
        let names: usize = self.living.iter().map(|named| named.name.len() + FIELDS_LEN).sum();
        names + self.dropped.len() * FIELDS_LEN
    }
}

/// Where a name is, or would be.
fn place(living: &[NamedSnapshot], name: &str) -> std::result::Result<usize, usize> {
    living.binary_search_by(|named| named.name.as_str().cmp(name))
}

/// Whether a protected snapshot has the name that was dropped.
fn is_held(dropped: &DroppedSnapshot, protected: &[TransactionId]) -> bool {
    !is_mutated(Mutation::DroppedNameForgotten)
        && protected.iter().any(|id| (dropped.created..dropped.dropped).contains(id))
}

impl Space {
    /// The names of snapshots, those of the transaction in progress included.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Gives a snapshot a name, in the transaction in progress. The name must be free.
    pub(crate) fn add_name(&mut self, named: NamedSnapshot) -> Result<()> {
        self.change_names(NamesEntry::Given(named))
    }

    /// Drops a name, in transaction `id`, which is in progress. Returns whether there was one.
    pub(crate) fn drop_name(&mut self, name: &str, id: TransactionId) -> Result<bool> {
        if self.names.find(name).is_none() {
            return Ok(false);
        }
        self.change_names(NamesEntry::Dropped { id, name: name.to_owned() })?;
        Ok(true)
    }

    fn change_names(&mut self, change: NamesEntry) -> Result<()> {
        self.names_before.get_or_insert_with(|| Box::new(self.names.clone()));
        self.name_changes.push(change.clone());
        self.apply_names(change)
    }

    /// Applies what another transaction has done to the names, from the log.
    pub(crate) fn apply_names(&mut self, entry: NamesEntry) -> Result<()> {
        let Names { living, dropped: all_dropped } = &mut self.names;
        match entry {
            NamesEntry::All { living, dropped, .. } => self.names = Names { living, dropped },
            NamesEntry::Given(named) => match place(living, &named.name) {
                Err(at) => living.insert(at, named),
                Ok(_) => return Err(misplaced("a name that is free", &named.name)),
            },
            NamesEntry::Dropped { id: dropped, name } => match place(living, &name) {
                Ok(at) if living[at].created < dropped => {
                    let NamedSnapshot { id, created, .. } = living.remove(at);
                    all_dropped.push(DroppedSnapshot { id, created, dropped });
                }
                _ => return Err(misplaced("a name that was given before", &name)),
            },
        }
        Ok(())
    }

    /// The `protected` snapshots, ascending, and those that the names protect besides.
    pub(crate) fn protected_with_names(&self, protected: &[TransactionId]) -> Vec<TransactionId> {
        self.names.protect(protected)
    }

    /// Pages that `snapshot` keeps from being reused, and neither a name nor a smaller protected snapshot does, as of
    /// the last [`Space::reclaim`] with these `protected` snapshots.
    pub(crate) fn pinned_by_reader(&self, snapshot: TransactionId, protected: &[TransactionId]) -> u32 {
        if self.names.is_empty() {
            return self.retired.pinned_by(snapshot);
        }
        let is_pinned = |retired: &RetiredRun| {
            let first = protected.iter().find(|id| (retired.birth..retired.death).contains(id));
            first == Some(&snapshot) && !self.names.need(retired)
        };
        self.retired.iter().filter(is_pinned).map(|retired| retired.run.count).sum()
    }

    /// For each living name, ascending: retired pages that its snapshot needs, and those of them that no other named
    /// one does.
    pub(crate) fn pins_of_names(&self) -> Vec<(u32, u32)> {
        let living = &self.names.living;
        let mut by_id: Vec<usize> = (0..living.len()).collect();
        by_id.sort_unstable_by_key(|&index| living[index].id);
        let mut pins = vec![(0, 0); living.len()];
        for retired in self.retired.iter().filter(|_| !living.is_empty()) {
            let first = by_id.partition_point(|&index| living[index].id < retired.birth);
            let end = by_id.partition_point(|&index| living[index].id < retired.death);
            for &index in &by_id[first..end] {
                pins[index].0 += retired.run.count;
                pins[index].1 += if end - first == 1 { retired.run.count } else { 0 };
            }
        }
        pins
    }

    /// Retired pages that named snapshots need.
    pub(crate) fn pinned_by_names(&self) -> u32 {
        let is_needed = |retired: &RetiredRun| self.names.need(retired);
        self.retired.iter().filter(is_needed).map(|retired| retired.run.count).sum()
    }

    /// What transaction `id`, which is in progress, adds to the log: what it has done to the names; all names, if the
    /// log begins again.
    pub(super) fn names_for_log(&self, id: TransactionId, begins_again: bool) -> Vec<NamesEntry> {
        let Names { living, dropped } = &self.names;
        match begins_again {
            true if self.names.is_empty() => Vec::new(),
            true => vec![NamesEntry::All { id, living: living.clone(), dropped: dropped.clone() }],
            false => self.name_changes.clone(),
        }
    }

    /// Forgets dropped names whose snapshots no thread can come to read.
    pub(super) fn forget_dropped_names(&mut self, protected: &[TransactionId]) {
        self.names.dropped.retain(|dropped| is_held(dropped, protected));
    }

    pub(super) fn abort_names(&mut self) {
        self.name_changes.clear();
        if let Some(before) = self.names_before.take() {
            self.names = *before;
        }
    }
}

#[cold]
fn misplaced(expected: &str, name: &str) -> crate::Error {
    corrupt(None, "names of snapshots in the free-space log", expected, format_args!("{name:?}"))
}

#[cfg(test)]
mod tests;
