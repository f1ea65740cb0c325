//! Iterators over the entries of a table.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Bound;
use std::sync::Arc;

use crate::base::{ChildRef, KeyBuf};
use crate::db::{ReadTxn, Types};
use crate::error::Result;
use crate::tree::nodes::{Nodes, TreeTop};
use crate::tree::{FramesOverPages, OpenLeaf, RangeCursor};
use crate::txn::page_file::PageFile;
use crate::txn::read::SnapshotReader;
use crate::types::{Encoded, Key, KeyBytes, KeyPrefix, Value, decode_key, prefix_upper_bound};

/// Where an iterator finds its pages.
#[derive(Clone, Copy)]
pub(super) enum EntrySource<'a> {
    Snapshot(&'a SnapshotReader),
    Transaction(FramesOverPages<'a, PageFile>),
}

impl<'a> Nodes<'a> for EntrySource<'a> {
    #[inline]
    fn node(self, at: ChildRef) -> Result<&'a [u8]> {
        match self {
            EntrySource::Snapshot(reader) => reader.node(at),
            EntrySource::Transaction(frames) => frames.node(at),
        }
    }

    fn overflow_run(self, at: ChildRef) -> Result<&'a [u8]> {
        match self {
            EntrySource::Snapshot(reader) => reader.overflow_run(at),
            EntrySource::Transaction(frames) => frames.overflow_run(at),
        }
    }

    fn most_nodes(self) -> usize {
        match self {
            EntrySource::Snapshot(reader) => reader.most_nodes(),
            EntrySource::Transaction(frames) => frames.most_nodes(),
        }
    }

    fn prefetch(self, at: ChildRef) {
        match self {
            EntrySource::Snapshot(reader) => Nodes::prefetch(reader, at),
            EntrySource::Transaction(frames) => frames.prefetch(at),
        }
    }

    fn prefetch_whole(self, at: ChildRef) {
        match self {
            EntrySource::Snapshot(reader) => Nodes::prefetch_whole(reader, at),
            EntrySource::Transaction(frames) => frames.prefetch_whole(at),
        }
    }
}

/// A double-ended iterator over entries in the order of their keys. Each item is a `Result`: reading a page may
/// find it damaged, and then the iterator has ended.
///
/// Values are borrowed in place. Keys are put together from their page, without an allocation while they
/// are short.
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
/// for entry in words.range("b".."d")?.rev() {
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
fn decode_entry<'a, K: Key + ?Sized, V: Value + ?Sized>(
    entry: Result<Option<(KeyBuf, &'a [u8])>>,
) -> Option<Result<(K::Out, V::Ref<'a>)>> {
    match entry {
        Ok(Some((key, value))) => {
            Some(K::decode(KeyBytes::from(key)).and_then(|key| Ok((key, V::decode(value)?))))
        }
        Ok(None) => None,
        Err(error) => Some(Err(error)),
    }
}

/// Whether the keys are such as a processor holds in its registers. Others would only be moved about more often.
const fn is_small<K: Key + ?Sized>() -> bool {
    size_of::<K::Out>() <= 16
}

#[inline(always)]
fn decode_word<'a, K: Key + ?Sized, V: Value + ?Sized>(
    key: &[u8],
    value: &'a [u8],
) -> Result<(K::Out, V::Ref<'a>)> {
    Ok((decode_key::<K>(key)?, V::decode(value)?))
}

impl<'a, K: Key + ?Sized, V: Value + ?Sized> Iterator for Range<'a, K, V> {
    type Item = Result<(K::Out, V::Ref<'a>)>;

    #[inline(always)] // an item that is handed over in memory takes half as long again
    fn next(&mut self) -> Option<Self::Item> {
        if is_small::<K>()
            && let Some((key, key_len, value)) = self.cursor.next_word(&self.open)
        {
            return Some(decode_word::<K, V>(&key[..key_len], value));
        }
        decode_entry::<K, V>(self.cursor.next_in(self.source, &mut self.open))
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> DoubleEndedIterator for Range<'_, K, V> {
    #[inline(always)]
    fn next_back(&mut self) -> Option<Self::Item> {
        if is_small::<K>()
            && let Some((key, key_len, value)) = self.cursor.next_word_back(&self.open)
        {
            return Some(decode_word::<K, V>(&key[..key_len], value));
        }
        decode_entry::<K, V>(self.cursor.next_back_in(self.source, &mut self.open))
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> std::iter::FusedIterator for Range<'_, K, V> {}

/// An iterator that keeps its transaction alive, and so borrows from nothing. Its values are owned.
/// Made by [`OwnedTable`](crate::OwnedTable).
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

    fn own(entry: Option<Result<(K::Out, V::Ref<'_>)>>) -> Option<Result<(K::Out, V::Owned)>> {
        entry.map(|entry| entry.map(|(key, value)| (key, V::into_owned(value))))
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for OwnedRange<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedRange").finish_non_exhaustive()
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> Iterator for OwnedRange<K, V> {
    type Item = Result<(K::Out, V::Owned)>;

    fn next(&mut self) -> Option<Self::Item> {
        Self::own(decode_entry::<K, V>(self.cursor.next(self.transaction.reader())))
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> DoubleEndedIterator for OwnedRange<K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        Self::own(decode_entry::<K, V>(self.cursor.next_back(self.transaction.reader())))
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> std::iter::FusedIterator for OwnedRange<K, V> {}

/// A cursor over encoded bounds.
#[inline]
pub(super) fn range_cursor(
    top: impl Into<TreeTop>,
    (lower, upper): (Bound<Encoded<'_>>, Bound<Encoded<'_>>),
) -> RangeCursor {
    let lower = lower.as_ref().map(|key| &**key);
    let upper = upper.as_ref().map(|key| &**key);
    RangeCursor::new(top, lower, upper)
}

/// The bounds of all keys that begin with `prefix`.
pub(super) fn prefix_bounds<K: Key + ?Sized, P: KeyPrefix<K>>(
    prefix: &P,
) -> (Bound<Encoded<'_>>, Bound<Encoded<'_>>) {
    let lower = prefix.encode_prefix();
    let upper = match prefix_upper_bound(&lower) {
        Some(upper) => Bound::Excluded(Encoded::from(upper)),
        None => Bound::Unbounded,
    };
    (Bound::Included(lower), upper)
}
