//! The pairs of a multimap table, and its counters, in a write transaction.
//!
//! A change of a pair does not change its key's counter at once: the transaction adds the changes of each key up, and
//! settles them with the counters in one pass, in the order of the keys: before the commit, or when it holds those of
//! many keys.
//!
//! Invariants (those of `format/multimap.rs`, until and after a pass):
//! - A key's counter in the tree and what is added up for it make the number of its pairs. A key without a counter
//!   needs nothing added up: its pairs are counted in the pass, if at all.
//! - A savepoint begins with a pass, except for a table that is open: what is added up for that is copied.
//! - A pass that fails has changed some counters: then the transaction can only be aborted.
//! - Each change of a counter is an operation of the redo log, as that of any entry is. Replay makes the same tree,
//!   and adds up nothing.

use std::ops::Bound;

use crate::base::SplitMix64;
use crate::base::checksum::checksum;
use crate::error::{Result, corrupt};
use crate::format::multimap::{
    COUNTER, COUNTER_COUNT, MAX_UNCOUNTED, PAIR, counter_key, encode_count, end_of_prefix, pair_prefix,
};
use crate::tree::multimap::{self, count_values, counter, counter_count};
use crate::txn::open_table::OpenTable;
use crate::txn::value_counts::ValueCounts;
use crate::txn::write::Transaction;

/// A key without a counter to which a pass adds this many values, or more, is counted.
const SURELY_COUNTED: u64 = 16;

impl Transaction {
    /// Inserts a pair, whose key has the `key_len` bytes after the first. Returns whether it is new.
    pub(crate) fn insert_pair(&self, table: &mut OpenTable, pair: &[u8], key_len: usize) -> Result<bool> {
        let is_new = self.insert(table, pair, &[])?;
        if is_new {
            self.count(table, &pair[1..=key_len], 1)?;
        }
        Ok(is_new)
    }

    /// Inserts a pair that is likely to come after all others.
    #[inline]
    pub(super) fn append_pair(&self, table: &mut OpenTable, pair: &[u8], key_len: usize) -> Result<()> {
        match self.append(table, pair, &[])? {
            true => self.count(table, &pair[1..=key_len], 1),
            false => self.insert_pair(table, pair, key_len).map(drop),
        }
    }

    /// Removes a pair, whose key has the `key_len` bytes after the first. Returns whether it was there.
    pub(crate) fn remove_pair(&self, table: &mut OpenTable, pair: &[u8], key_len: usize) -> Result<bool> {
        let is_removed = self.remove(table, pair)?;
        if is_removed {
            self.count(table, &pair[1..=key_len], -1)?;
        }
        Ok(is_removed)
    }

    /// Removes all pairs of an encoded key. Returns their number.
    pub(crate) fn remove_pairs_of(&self, table: &mut OpenTable, key: &[u8]) -> Result<u64> {
        let prefix = pair_prefix(key);
        let removed =
            self.remove_range(table, Bound::Included(&prefix), Bound::Excluded(&end_of_prefix(&prefix)))?;
        if removed > 0 {
            self.count(table, key, -(removed as i64))?;
        }
        Ok(removed)
    }

    /// Removes all pairs. Returns their number.
    pub(crate) fn clear_pairs(&self, table: &mut OpenTable) -> Result<u64> {
        let pairs = self.pair_count(table)?;
        self.clear(table)?;
        table.value_counts = ValueCounts::default();
        Ok(pairs)
    }

    /// Returns the number of pairs.
    pub(crate) fn pair_count(&self, table: &OpenTable) -> Result<u64> {
        let tree = &table.tree;
        multimap::pair_count(tree.nodes(&self.core().pages), tree.top(), tree.len())
    }

    /// Returns the number of an encoded key's values.
    pub(crate) fn value_count(&self, table: &OpenTable, key: &[u8]) -> Result<u64> {
        let (nodes, top) = (table.tree.nodes(&self.core().pages), table.tree.top());
        match counter(nodes, top, key)? {
            Some(count) => sum(count, table.value_counts.change_of(key)),
            None => count_values(nodes, top, key),
        }
    }

    fn count(&self, table: &mut OpenTable, key: &[u8], change: i64) -> Result<()> {
        table.value_counts.add(key, change);
        match table.value_counts.is_full() {
            true => self.settle_value_counts(table),
            false => Ok(()),
        }
    }

    /// Brings the counters up to what has been added up.
    pub(super) fn settle_value_counts(&self, table: &mut OpenTable) -> Result<()> {
        if table.value_counts.is_empty() {
            return Ok(());
        }
        self.keep_for_savepoint(table);
        self.guard_whole(|| {
            let changes = table.value_counts.take();
            let before = counter_count(table.tree.nodes(&self.core().pages), table.tree.top())?.unwrap_or(0);
            let mut counters = before;
            for (key, change) in changes {
                self.settle_key(table, &key, change, &mut counters)?;
            }
            match counters {
                _ if counters == before => Ok(()),
                0 => self.remove(table, COUNTER_COUNT).map(drop),
                _ => self.insert(table, COUNTER_COUNT, &encode_count(counters)).map(drop),
            }
        })
    }

    /// Makes all counters of a table right, whatever they are, and removes what is no entry of a multimap table. A
    /// counter that is missing is not made: it is not known where the keys end.
    pub(crate) fn recount_values(&self, name: &str) -> Result<()> {
        let Some(mut table) = self.take_table(name)? else { return Ok(()) };
        let counted = self.guard_whole(|| self.recount_values_of(&mut table));
        self.return_table(table);
        counted
    }

    fn recount_values_of(&self, table: &mut OpenTable) -> Result<()> {
        let (first, end) = ([COUNTER], [PAIR + 1]);
        self.remove_range(table, Bound::Unbounded, Bound::Excluded(&first))?;
        self.remove_range(table, Bound::Included(&end), Bound::Unbounded)?;
        let mut counters = 0;
        let mut last = first.to_vec(); // the last right counter: no other begins with it
        let mut after = Bound::Included(first.to_vec());
        loop {
            let lower = after.as_ref().map(|key| &key[..]);
            let mut cursor = table.tree.range(lower, Bound::Excluded(&[PAIR]));
            let Some((key, _)) = cursor.next(table.tree.nodes(&self.core().pages))? else { break };
            let is_part = counters > 0 && key.starts_with(&last);
            let nodes = table.tree.nodes(&self.core().pages);
            let count = if is_part { 0 } else { count_values(nodes, table.tree.top(), &key[1..])? };
            if count > MAX_UNCOUNTED {
                self.insert(table, &key, &encode_count(count))?;
                counters += 1;
                last = key.to_vec();
            } else {
                self.remove(table, &key)?;
            }
            after = Bound::Excluded(key.to_vec());
        }
        if counters > 0 {
            self.insert(table, COUNTER_COUNT, &encode_count(counters))?;
        }
        Ok(())
    }

    fn settle_key(&self, table: &mut OpenTable, key: &[u8], change: i64, counters: &mut u64) -> Result<()> {
        let (nodes, top) = (table.tree.nodes(&self.core().pages), table.tree.top());
        let old = if *counters == 0 { None } else { counter(nodes, top, key)? };
        let new = match old {
            Some(count) => sum(count, change)?,
            None if is_worth_counting(key, change, table.tree.len()) => count_values(nodes, top, key)?,
            None => return Ok(()),
        };
        match (old, new > MAX_UNCOUNTED) {
            (None, false) => {}
            (_, true) => {
                let is_new = self.insert(table, &counter_key(key), &encode_count(new))?;
                *counters = sum(*counters, is_new.into())?; // the old number comes from the file
            }
            (Some(_), false) => {
                *counters -= u64::from(self.remove(table, &counter_key(key))?);
            }
        }
        Ok(())
    }
}

/// Whether the values of a key that has no counter are counted, because it may have got more than [`MAX_UNCOUNTED`].
/// If few values have been added, that is left to chance: counting costs a descent, as an insertion does, and most keys
/// have few values. So a key that grows by single values gets its counter soon after it is due, not at once.
fn is_worth_counting(key: &[u8], change: i64, entries: u64) -> bool {
    let mut random = SplitMix64::new(entries ^ u64::from(checksum(key)));
    change > 0 && change.unsigned_abs() > random.below(SURELY_COUNTED)
}

fn sum(count: u64, change: i64) -> Result<u64> {
    count.checked_add_signed(change).ok_or_else(|| {
        corrupt(
            None,
            "counter of a multimap table",
            format_args!("at least {}", change.unsigned_abs()),
            count,
        )
    })
}
