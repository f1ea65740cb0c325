//! Entries that are removed and returned one after the other: all of a range, or those that a closure chooses.
//!
//! An extraction goes from leaf to leaf. The entries of a leaf that it has returned are removed together, when it goes
//! on to the next leaf or is dropped. So a leaf is changed and balanced once, and an extraction that is dropped
//! half-way has removed what it has returned and nothing else.
//!
//! Invariants:
//! - While an extraction lives nothing else changes its table, so that the indexes of the leaf stay right.
//! - Whatever has been returned is removed, or the transaction has failed. (An extraction that is leaked has not
//!   removed what it has returned of its last leaf.)
//! - An error moves nothing: the next step finds the same error.
//! - I5: each leaf that is gone on to has been found by its first key that was removed before, so that no leaf is met
//!   without end.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::{Bound, Range};

use crate::base::{ChildRef, KeyBuf};
use crate::db::Types;
use crate::db::iter::decode_owned;
use crate::db::write::TableMut;
use crate::error::Result;
use crate::format::node::NodeView;
use crate::tree::RangeCursor;
use crate::tree::nodes::{leaf_at, resolve};
use crate::txn::open_table::OpenTable;
use crate::txn::write::Transaction;
use crate::types::{Key, KeyBytes, KeyRange, Value};

/// The way of an extraction through a table.
struct Extraction<'a, K: ?Sized, V: ?Sized> {
    transaction: &'a Transaction,
    open: &'a mut OpenTable,
    lower: Bound<KeyBuf>,
    upper: Bound<KeyBuf>,
    /// Where the next leaf is; none if the tree has changed since.
    cursor: Option<RangeCursor>,
    leaf: Option<OpenLeaf>,
    has_ended: bool,
    types: Types<K, V>,
}

/// The leaf that an extraction is in.
struct OpenLeaf {
    at: ChildRef,
    /// The indexes of its entries that are still to be looked at.
    left: Range<usize>,
    /// Those of the entries that have been returned, and the first and the last key of each range.
    removed: Vec<Range<usize>>,
    keys: Vec<(KeyBuf, KeyBuf)>,
}

impl<K: Key + ?Sized, V: Value + ?Sized> Extraction<'_, K, V> {
    fn next(
        &mut self,
        is_chosen: &mut impl FnMut(&K::Owned, V::Ref<'_>) -> bool,
    ) -> Result<Option<(K::Owned, V::Owned)>> {
        while !self.has_ended {
            self.transaction.check_usable()?;
            if let Some(entry) = self.next_in_leaf(is_chosen)? {
                return Ok(Some(entry));
            }
            self.leave_leaf()?;
            let nodes = self.open.tree.nodes(&self.transaction.core().pages);
            let cursor = self.cursor.get_or_insert_with(|| {
                let (lower, upper) = (self.lower.as_ref(), self.upper.as_ref());
                self.open.tree.range(lower.map(|key| &**key), upper.map(|key| &**key))
            });
            let found = cursor.next_leaf(nodes)?.map(|(_, indexes)| indexes);
            self.leaf = cursor.front_leaf().zip(found).map(|(at, left)| OpenLeaf {
                at,
                left,
                removed: Vec::new(),
                keys: Vec::new(),
            });
            self.has_ended = self.leaf.is_none();
        }
        Ok(None)
    }

    /// The next chosen entry of the leaf.
    fn next_in_leaf(
        &mut self,
        is_chosen: &mut impl FnMut(&K::Owned, V::Ref<'_>) -> bool,
    ) -> Result<Option<(K::Owned, V::Owned)>> {
        let Some(OpenLeaf { at, left, removed, keys }) = &mut self.leaf else { return Ok(None) };
        let nodes = self.open.tree.nodes(&self.transaction.core().pages);
        while left.start < left.end {
            let index = left.start;
            let (key, value) = leaf_at(nodes, *at)?.entry(index)?;
            let value = resolve(nodes, value)?;
            let owned_key = K::decode(KeyBytes::from(key.clone()))?;
            if !is_chosen(&owned_key, V::decode(value)?) {
                left.start += 1;
                continue;
            }
            let entry = (owned_key, decode_owned::<V>(value)?);
            left.start += 1;
            match (removed.last_mut(), keys.last_mut()) {
                (Some(range), Some((_, last))) if range.end == index => (range.end, *last) = (index + 1, key),
                _ => {
                    removed.push(index..index + 1);
                    keys.push((key.clone(), key));
                }
            }
            return Ok(Some(entry));
        }
        Ok(None)
    }

    /// Removes what has been returned of the leaf, and goes on after it.
    fn leave_leaf(&mut self) -> Result<()> {
        let Some(OpenLeaf { at, left, removed, keys }) = self.leaf.take() else { return Ok(()) };
        if removed.is_empty() {
            return Ok(());
        }
        self.cursor = None;
        // What has been returned is out of the caller's sight: it may not be in the table after all.
        let failed = |error| {
            self.transaction.fail();
            error
        };
        let nodes = self.open.tree.nodes(&self.transaction.core().pages);
        let last = leaf_at(nodes, at).and_then(|leaf| leaf.key(left.end - 1)).map_err(failed)?;
        self.transaction.remove_some(self.open, &removed, &keys).map_err(failed)?;
        self.lower = Bound::Excluded(last);
        Ok(())
    }
}

impl<'tx, K: Key + ?Sized, V: Value + ?Sized> TableMut<'tx, K, V> {
    fn extraction(&mut self, range: &impl KeyRange<K>) -> Extraction<'_, K, V> {
        let (lower, upper) = range.encode_range();
        let (lower, upper) = (lower.map(|key| KeyBuf::from(&*key)), upper.map(|key| KeyBuf::from(&*key)));
        let (transaction, types) = (self.transaction, self.types);
        let (cursor, leaf, has_ended) = (None, None, false);
        Extraction { transaction, open: self.open_mut(), lower, upper, cursor, leaf, has_ended, types }
    }

    /// Returns an iterator that removes the entries of `range` for which `is_chosen` returns `true`, and yields them,
    /// in ascending order. It is like std's `BTreeMap::extract_if`.
    ///
    /// It works as it is iterated. Entries that it has not come to when it is dropped remain. The entries of a leaf
    /// that it has yielded are removed together: so this is about as fast as [`retain`](TableMut::retain). If it is
    /// leaked (`mem::forget`), some entries of one leaf that it has yielded may remain.
    ///
    /// `is_chosen` gets each key by reference, because the iterator yields it. It may read and change other tables.
    ///
    /// # Errors
    ///
    /// Each item is a `Result`. An entry that cannot be read or decoded remains, and is the same error in the next
    /// step, as with [`Range`](crate::Range). If the removal of what has been yielded fails, also when the iterator is
    /// dropped, the transaction can only be aborted.
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const JOBS: Table<u64, str> = Table::new("jobs"); // time at which it is due -> what
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| {
    ///     let mut jobs = tx.table(&JOBS)?;
    ///     jobs.insert_many([(10, "mail"), (20, "backup"), (30, "mail"), (40, "mail")])?;
    ///     let mails: Result<Vec<_>, _> = jobs.extract_if(..=30, |_, job| job == "mail").collect();
    ///     assert_eq!(mails?, [(10, "mail".to_string()), (30, "mail".to_string())]);
    ///     assert_eq!(jobs.len(), 2);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn extract_if<F: FnMut(&K::Owned, V::Ref<'_>) -> bool>(
        &mut self,
        range: impl KeyRange<K>,
        is_chosen: F,
    ) -> ExtractIf<'_, K, V, F> {
        ExtractIf { extraction: self.extraction(&range), is_chosen }
    }

    /// Returns an iterator that removes all entries of `range`, and yields them, in ascending order.
    ///
    /// When it is dropped, it removes the rest of the range, whole subtrees at a time and without reading entries, as
    /// std's `Vec::drain` does. To keep the rest, use [`extract_if`](TableMut::extract_if). If it is leaked
    /// (`mem::forget`), the rest remains, and so may some entries of one leaf that it has yielded.
    ///
    /// # Errors
    ///
    /// Those of [`extract_if`](TableMut::extract_if).
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const QUEUE: Table<u64, str> = Table::new("queue");
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| {
    ///     let mut queue = tx.table(&QUEUE)?;
    ///     queue.insert_many([(1, "a"), (2, "b"), (3, "c"), (4, "d")])?;
    ///     let mut drain = queue.drain(2..);
    ///     assert_eq!(drain.next().transpose()?, Some((2, "b".to_string())));
    ///     drop(drain);
    ///     assert_eq!(queue.len(), 1, "the rest of the range is gone");
    ///     Ok(())
    /// })?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn drain(&mut self, range: impl KeyRange<K>) -> Drain<'_, K, V> {
        Drain { extraction: self.extraction(&range) }
    }
}

/// An iterator that removes the entries that a closure chooses. Made by [`TableMut::extract_if`].
#[must_use = "iterators are lazy: nothing is removed until it is iterated"]
pub struct ExtractIf<'a, K: Key + ?Sized, V: Value + ?Sized, F> {
    extraction: Extraction<'a, K, V>,
    is_chosen: F,
}

/// An iterator that removes the entries of a range. Made by [`TableMut::drain`].
pub struct Drain<'a, K: Key + ?Sized, V: Value + ?Sized> {
    extraction: Extraction<'a, K, V>,
}

impl<K: Key + ?Sized, V: Value + ?Sized, F> fmt::Debug for ExtractIf<'_, K, V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtractIf").finish_non_exhaustive()
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> fmt::Debug for Drain<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").finish_non_exhaustive()
    }
}

impl<K, V, F> Iterator for ExtractIf<'_, K, V, F>
where
    K: Key + ?Sized,
    V: Value + ?Sized,
    F: FnMut(&K::Owned, V::Ref<'_>) -> bool,
{
    type Item = Result<(K::Owned, V::Owned)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.extraction.next(&mut self.is_chosen).transpose()
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> Iterator for Drain<'_, K, V> {
    type Item = Result<(K::Owned, V::Owned)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.extraction.next(&mut |_, _| true).transpose()
    }
}

impl<K, V, F> FusedIterator for ExtractIf<'_, K, V, F>
where
    K: Key + ?Sized,
    V: Value + ?Sized,
    F: FnMut(&K::Owned, V::Ref<'_>) -> bool,
{
}

impl<K: Key + ?Sized, V: Value + ?Sized> FusedIterator for Drain<'_, K, V> {}

impl<K: Key + ?Sized, V: Value + ?Sized, F> Drop for ExtractIf<'_, K, V, F> {
    fn drop(&mut self) {
        let _ = self.extraction.leave_leaf(); // an error has failed the transaction, and its commit says so
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> Drop for Drain<'_, K, V> {
    fn drop(&mut self) {
        let lower = self.extraction.lower.clone(); // before the rest of the leaf
        let has_ended = self.extraction.has_ended;
        if self.extraction.leave_leaf().is_err() || has_ended {
            return;
        }
        let Extraction { transaction, open, upper, .. } = &mut self.extraction;
        let bounds = (lower.as_ref().map(|key| &**key), upper.as_ref().map(|key| &**key));
        if transaction.remove_range(open, bounds.0, bounds.1).is_err() {
            transaction.fail();
        }
    }
}
