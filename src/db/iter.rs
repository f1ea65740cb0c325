//! Iterators over the entries of a table.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Bound;
use std::sync::Arc;

use crate::base::bounds::{earlier_end, later_start};
use crate::base::{ChildRef, KeyBuf, PageNumber};
use crate::db::{OwnedTable, ReadTxn, TableMut, TableRef, Types};
use crate::error::{Error, Result};
use crate::sys;
use crate::tree::nodes::{Nodes, TreeTop};
use crate::tree::{End, FramesOverPages, OpenLeaf, RangeCursor};
use crate::txn::page_file::PageFile;
use crate::txn::read::SnapshotReader;
use crate::types::{
    Encoded, Key, KeyBound, KeyBytes, KeyPrefix, KeyRange, Value, encode_end, encode_start, end_of_prefix,
};

/// Where an iterator reads its pages from.
#[derive(Clone, Copy)]
pub(super) enum EntrySource<'a> {
    Snapshot(&'a SnapshotReader),
    Transaction(FramesOverPages<'a, PageFile>),
    /// Nothing may be read: each item is this error.
    Refused(Refusal),
}

/// Why nothing may be read through a transaction.
#[derive(Clone, Copy)]
pub(super) enum Refusal {
    Forked,
    TransactionFailed,
}

impl From<Refusal> for Error {
    #[cold]
    fn from(refusal: Refusal) -> Error {
        match refusal {
            Refusal::Forked => Error::Forked,
            Refusal::TransactionFailed => Error::TransactionFailed,
        }
    }
}

impl<'a> Nodes<'a> for EntrySource<'a> {
    #[inline]
    fn node(self, at: ChildRef) -> Result<&'a [u8]> {
        match self {
            EntrySource::Snapshot(reader) => reader.node(at),
            EntrySource::Transaction(frames) => frames.node(at),
            EntrySource::Refused(refusal) => Err(refusal.into()),
        }
    }

    fn overflow_run(self, at: ChildRef) -> Result<&'a [u8]> {
        match self {
            EntrySource::Snapshot(reader) => reader.overflow_run(at),
            EntrySource::Transaction(frames) => frames.overflow_run(at),
            EntrySource::Refused(refusal) => Err(refusal.into()),
        }
    }

    fn most_nodes(self) -> usize {
        match self {
            EntrySource::Snapshot(reader) => reader.most_nodes(),
            EntrySource::Transaction(frames) => frames.most_nodes(),
            EntrySource::Refused(_) => 0,
        }
    }

    fn prefetch(self, at: ChildRef) {
        match self {
            EntrySource::Snapshot(reader) => Nodes::prefetch(reader, at),
            EntrySource::Transaction(frames) => frames.prefetch(at),
            EntrySource::Refused(_) => {}
        }
    }

    fn peek(self, at: ChildRef) -> &'a [u8] {
        match self {
            EntrySource::Snapshot(reader) => Nodes::peek(reader, at),
            EntrySource::Transaction(frames) => frames.peek(at),
            EntrySource::Refused(_) => &[],
        }
    }
}

/// A double-ended iterator over entries in the order of their keys. Each item is a `Result`: a page may be damaged,
/// or an entry may not be of the table's types. Making one cannot fail. In a forked child, or after a change of the
/// transaction failed, the first item is the error.
///
/// **An error does not move the iterator.** The next call, from either end, reads the same entry again and returns
/// the same error, never `None` as if there were no more entries. A loop must therefore stop at the first error, as
/// `?` does. The methods that consume the iterator, such as `count`, `last` and `for_each`, stop there: the error is
/// their last item.
///
/// Values are borrowed in place. Keys are assembled from their page; short keys need no allocation.
///
/// ```
/// use mapleaf::{Db, Table};
/// const WORDS: Table<str, u64> = Table::new("words");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     let mut words = tx.table(&WORDS)?;
///     for (count, word) in ["ant", "bee", "cat", "dog"].into_iter().enumerate() {
///         words.insert(word, count as u64)?;
///     }
///     Ok(())
/// })?;
/// let rx = db.read()?;
/// let words = rx.table(&WORDS)?;
/// let mut found = Vec::new();
/// for entry in words.range("b".."d").rev() {
///     let (word, count) = entry?;
///     found.push((word.to_string(), count));
/// }
/// assert_eq!(found, [("cat".to_string(), 2), ("bee".to_string(), 1)]);
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[must_use = "iterators are lazy"]
pub struct Range<'a, K: ?Sized, V: ?Sized> {
    source: EntrySource<'a>,
    cursor: RangeCursor,
    open: OpenLeaf<'a>,
    types: Types<K, V>,
}

impl<'a, K: Key + ?Sized, V: Value + ?Sized> Range<'a, K, V> {
    #[inline]
    pub(super) fn new(source: EntrySource<'a>, cursor: RangeCursor) -> Range<'a, K, V> {
        Range { source, cursor, open: OpenLeaf::default(), types: PhantomData }
    }

    /// An iterator each of whose items is an error.
    #[cold]
    pub(super) fn refused(refusal: Refusal) -> Range<'a, K, V> {
        // A tree with a root, so that a node is asked for, which gives the error.
        let top = TreeTop { node: ChildRef::to_page(PageNumber(0)), depth: 1 };
        let cursor = RangeCursor::new(top, Bound::Unbounded, Bound::Unbounded);
        Range::new(EntrySource::Refused(refusal), cursor)
    }

    /// Goes to `key`: the next entry from the front is the first whose key is `key` or greater. This may skip entries
    /// or go back to earlier ones, within the range that the iterator was made with, and never past the entries that
    /// [`next_back`](DoubleEndedIterator::next_back) has returned. The next step descends the tree once, whatever the
    /// distance. If keys are tuples, `key` may be the first elements of one.
    ///
    /// An iterator that has ended, or returns an error, goes on at `key`.
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const VISITS: Table<(String, u32), u64> = Table::new("visits"); // (page, day) -> count
    ///
    /// let db = Db::in_memory()?;
    /// let keys = [("about", 1), ("about", 2), ("home", 1), ("home", 2), ("news", 9)];
    /// db.update(|tx| tx.table(&VISITS)?.insert_many(keys.map(|key| (key, 1))))?;
    ///
    /// // The pages, one entry of each: after each, all its other entries are skipped.
    /// let rx = db.read()?;
    /// let mut entries = rx.table(&VISITS)?.iter();
    /// let mut pages = Vec::new();
    /// while let Some(entry) = entries.next() {
    ///     let ((page, _), _) = entry?;
    ///     entries.seek((&page, u32::MAX));
    ///     pages.push(page);
    /// }
    /// assert_eq!(pages, ["about", "home", "news"]);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn seek(&mut self, key: impl KeyBound<K>) {
        self.open = OpenLeaf::default();
        seek_front(&mut self.cursor, &key);
    }

    /// Goes to `key` from the back: the next entry from the back is the last whose key is `key` or smaller. Otherwise
    /// as [`Range::seek`].
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&HITS)?.insert_many((0..100).map(|key| (key, 0))))?;
    /// let rx = db.read()?;
    /// let mut hits = rx.table(&HITS)?.iter();
    /// hits.seek_back(70);
    /// assert_eq!(hits.next_back().transpose()?, Some((70, 0)));
    /// assert_eq!(hits.next_back().transpose()?, Some((69, 0)));
    /// assert_eq!(hits.next().transpose()?, Some((0, 0)));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn seek_back(&mut self, key: impl KeyBound<K>) {
        self.open = OpenLeaf::default();
        seek_back(&mut self.cursor, &key);
    }

    /// Steps back to an entry that cannot be decoded, and returns the error.
    #[cold]
    fn stay(&mut self, end: End, error: Error) -> Option<Result<(K::Owned, V::Ref<'a>)>> {
        self.cursor.step_back(end);
        Some(Err(error))
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for Range<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Range").finish_non_exhaustive()
    }
}

impl<K: ?Sized, V: ?Sized> Clone for Range<'_, K, V> {
    fn clone(&self) -> Self {
        Range { source: self.source, cursor: self.cursor.clone(), open: self.open, types: PhantomData }
    }
}

#[inline(always)]
pub(super) fn decode_entry<'a, K: Key + ?Sized, V: Value + ?Sized>(
    key: KeyBuf,
    value: &'a [u8],
) -> Result<(K::Owned, V::Ref<'a>)> {
    K::decode(KeyBytes::from(key)).and_then(|key| Ok((key, V::decode(value)?)))
}

/// Decodes an entry, and copies its value.
pub(super) fn decode_owned_entry<K: Key + ?Sized, V: Value + ?Sized>(
    key: KeyBuf,
    value: &[u8],
) -> Result<(K::Owned, V::Owned)> {
    Ok((K::decode(KeyBytes::from(key))?, decode_owned::<V>(value)?))
}

/// Decodes a value, and copies it. A large one may be more than there is memory for.
pub(super) fn decode_owned<V: Value + ?Sized>(value: &[u8]) -> Result<V::Owned> {
    sys::check_room(value.len())?;
    Ok(V::into_owned(V::decode(value)?))
}

/// All entries, as `iter` returns them.
///
/// ```
/// # use mapleaf::{Db, Table};
/// # const HITS: Table<str, u64> = Table::new("hits");
/// # let db = Db::in_memory()?;
/// # db.update(|tx| tx.table(&HITS)?.insert("ada", 1))?;
/// let rx = db.read()?;
/// for entry in &rx.table(&HITS)? {
///     let (name, count) = entry?;
///     assert_eq!((&*name, count), ("ada", 1));
/// }
/// # Ok::<(), mapleaf::Error>(())
/// ```
impl<'tx, K: Key + ?Sized, V: Value + ?Sized> IntoIterator for &TableRef<'tx, K, V> {
    type Item = Result<(K::Owned, V::Ref<'tx>)>;
    type IntoIter = Range<'tx, K, V>;

    fn into_iter(self) -> Range<'tx, K, V> {
        self.iter()
    }
}

/// All entries, as `iter` returns them.
impl<'tx, K: Key + ?Sized, V: Value + ?Sized> IntoIterator for TableRef<'tx, K, V> {
    type Item = Result<(K::Owned, V::Ref<'tx>)>;
    type IntoIter = Range<'tx, K, V>;

    fn into_iter(self) -> Range<'tx, K, V> {
        self.iter()
    }
}

/// All entries, as `iter` returns them.
impl<'a, K: Key + ?Sized, V: Value + ?Sized> IntoIterator for &'a TableMut<'_, K, V> {
    type Item = Result<(K::Owned, V::Ref<'a>)>;
    type IntoIter = Range<'a, K, V>;

    fn into_iter(self) -> Range<'a, K, V> {
        self.iter()
    }
}

/// All entries, as `iter` returns them.
impl<K: Key + ?Sized, V: Value + ?Sized> IntoIterator for &OwnedTable<K, V> {
    type Item = Result<(K::Owned, V::Owned)>;
    type IntoIter = OwnedRange<K, V>;

    fn into_iter(self) -> OwnedRange<K, V> {
        self.iter()
    }
}

/// Consumes an iterator that does not move on an error, up to its first error.
pub(super) fn fold_to_first_error<T, A>(
    mut next: impl FnMut() -> Option<Result<T>>,
    start: A,
    mut add: impl FnMut(A, Result<T>) -> A,
) -> A {
    let mut sum = start;
    while let Some(item) = next() {
        let is_error = item.is_err();
        sum = add(sum, item);
        if is_error {
            break;
        }
    }
    sum
}

impl<'a, K: Key + ?Sized, V: Value + ?Sized> Iterator for Range<'a, K, V> {
    type Item = Result<(K::Owned, V::Ref<'a>)>;

    #[inline(always)] // an item that is returned through memory takes 1.5 times as long
    fn next(&mut self) -> Option<Self::Item> {
        match self.cursor.next_in(self.source, &mut self.open) {
            Ok(Some((key, value))) => match decode_entry::<K, V>(key, value) {
                Ok(entry) => Some(Ok(entry)),
                Err(error) => self.stay(End::Front, error),
            },
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }

    fn fold<A, F: FnMut(A, Self::Item) -> A>(mut self, start: A, add: F) -> A {
        fold_to_first_error(|| self.next(), start, add)
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> DoubleEndedIterator for Range<'_, K, V> {
    #[inline(always)]
    fn next_back(&mut self) -> Option<Self::Item> {
        match self.cursor.next_back_in(self.source, &mut self.open) {
            Ok(Some((key, value))) => match decode_entry::<K, V>(key, value) {
                Ok(entry) => Some(Ok(entry)),
                Err(error) => self.stay(End::Back, error),
            },
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }

    fn rfold<A, F: FnMut(A, Self::Item) -> A>(mut self, start: A, add: F) -> A {
        fold_to_first_error(|| self.next_back(), start, add)
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> std::iter::FusedIterator for Range<'_, K, V> {}

/// An iterator over entries that keeps its transaction alive, and so borrows from nothing. Its values are owned. An
/// error does not move it, as with [`Range`]. Made by [`OwnedTable`](crate::OwnedTable).
#[must_use = "iterators are lazy"]
pub struct OwnedRange<K: ?Sized, V: ?Sized> {
    transaction: Arc<ReadTxn>,
    cursor: RangeCursor,
    types: Types<K, V>,
}

impl<K: Key + ?Sized, V: Value + ?Sized> OwnedRange<K, V> {
    pub(super) fn new(transaction: Arc<ReadTxn>, cursor: RangeCursor) -> OwnedRange<K, V> {
        OwnedRange { transaction, cursor, types: PhantomData }
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> OwnedRange<K, V> {
    /// Goes to `key`. See [`Range::seek`].
    pub fn seek(&mut self, key: impl KeyBound<K>) {
        seek_front(&mut self.cursor, &key);
    }

    /// Goes to `key` from the back. See [`Range::seek_back`].
    pub fn seek_back(&mut self, key: impl KeyBound<K>) {
        seek_back(&mut self.cursor, &key);
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for OwnedRange<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedRange").finish_non_exhaustive()
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> Iterator for OwnedRange<K, V> {
    type Item = Result<(K::Owned, V::Owned)>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.transaction.reader();
        if let Err(error) = reader.check_not_forked() {
            return Some(Err(error));
        }
        match self.cursor.next(reader) {
            Ok(Some((key, value))) => match decode_owned_entry::<K, V>(key, value) {
                Ok(entry) => Some(Ok(entry)),
                Err(error) => {
                    self.cursor.step_back(End::Front);
                    Some(Err(error))
                }
            },
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }

    fn fold<A, F: FnMut(A, Self::Item) -> A>(mut self, start: A, add: F) -> A {
        fold_to_first_error(|| self.next(), start, add)
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> DoubleEndedIterator for OwnedRange<K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let reader = self.transaction.reader();
        if let Err(error) = reader.check_not_forked() {
            return Some(Err(error));
        }
        match self.cursor.next_back(reader) {
            Ok(Some((key, value))) => match decode_owned_entry::<K, V>(key, value) {
                Ok(entry) => Some(Ok(entry)),
                Err(error) => {
                    self.cursor.step_back(End::Back);
                    Some(Err(error))
                }
            },
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }

    fn rfold<A, F: FnMut(A, Self::Item) -> A>(mut self, start: A, add: F) -> A {
        fold_to_first_error(|| self.next_back(), start, add)
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> std::iter::FusedIterator for OwnedRange<K, V> {}

fn seek_front<K: Key + ?Sized>(cursor: &mut RangeCursor, key: &impl KeyBound<K>) {
    let start =
        encode_start(Bound::Included(key)).expect("a bound that is included excludes no key from its own on");
    cursor.seek(End::Front, start.as_ref().map(|key| &**key));
}

fn seek_back<K: Key + ?Sized>(cursor: &mut RangeCursor, key: &impl KeyBound<K>) {
    cursor.seek(End::Back, encode_end(Bound::Included(key)).as_ref().map(|key| &**key));
}

/// Returns a cursor over the entries between encoded bounds.
#[inline]
pub(super) fn range_cursor(
    top: impl Into<TreeTop>,
    (lower, upper): (Bound<Encoded<'_>>, Bound<Encoded<'_>>),
) -> RangeCursor {
    let lower = lower.as_ref().map(|key| &**key);
    let upper = upper.as_ref().map(|key| &**key);
    RangeCursor::new(top, lower, upper)
}

/// Returns the bounds of the keys in `range` that begin with `prefix`.
pub(super) fn prefix_range_bounds<'a, K: Key + ?Sized>(
    prefix: &'a impl KeyPrefix<K>,
    range: &'a impl KeyRange<K>,
) -> (Bound<Encoded<'a>>, Bound<Encoded<'a>>) {
    let (first, end) = prefix_bounds(prefix);
    let (lower, upper) = range.encode_range();
    (later_start(first, lower), earlier_end(end, upper))
}

/// Returns the bounds of all keys that begin with `prefix`.
pub(super) fn prefix_bounds<K: Key + ?Sized, P: KeyPrefix<K>>(
    prefix: &P,
) -> (Bound<Encoded<'_>>, Bound<Encoded<'_>>) {
    let lower = prefix.encode_prefix();
    let upper = end_of_prefix(&lower);
    (Bound::Included(lower), upper)
}
