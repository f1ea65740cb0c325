//! How many entries a range has, the entry of a rank, random entries, and ranges of equal size: what is found by the
//! shape of the tree. Tables of read and of write transactions have the same methods.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Bound;

use crate::base::KeyBuf;
use crate::db::FoundEntry;
use crate::db::iter::{EntrySource, decode_entry};
use crate::db::read::TableRef;
use crate::db::view::UncommittedTable;
use crate::db::write::TableMut;
use crate::error::Result;
use crate::tree::nodes::TreeTop;
use crate::tree::{boundaries, count_range, entry_of_rank, estimate_range, sample};
use crate::txn::view::TreeView;
use crate::types::{Encoded, Key, KeyRange, Value};

/// A table as these methods read it.
struct Shape<'a> {
    source: EntrySource<'a>,
    top: TreeTop,
    entries: u64,
}

/// A part of a table: one of the ranges that [`TableRef::split`] returns. Every method that takes a range takes it. It
/// borrows nothing, and can be sent to another thread.
pub struct SplitRange<K: ?Sized> {
    lower: Bound<KeyBuf>,
    upper: Bound<KeyBuf>,
    types: PhantomData<fn() -> Box<K>>,
}

impl<K: ?Sized> Clone for SplitRange<K> {
    fn clone(&self) -> Self {
        SplitRange { lower: self.lower.clone(), upper: self.upper.clone(), types: PhantomData }
    }
}

impl<K: ?Sized> fmt::Debug for SplitRange<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SplitRange").field(&self.lower).field(&self.upper).finish()
    }
}

impl<K: Key + ?Sized> KeyRange<K> for SplitRange<K> {
    fn encode_range(&self) -> (Bound<Encoded<'_>>, Bound<Encoded<'_>>) {
        (
            self.lower.as_ref().map(|key| Encoded::borrowed(key)),
            self.upper.as_ref().map(|key| Encoded::borrowed(key)),
        )
    }
}

impl<'a> Shape<'a> {
    fn count<K: Key + ?Sized>(&self, range: &impl KeyRange<K>) -> Result<u64> {
        let range = range.encode_range();
        match slices(&range) {
            (Bound::Unbounded, Bound::Unbounded) => Ok(self.entries),
            bounds => count_range(self.source, self.top, bounds),
        }
    }

    fn estimate<K: Key + ?Sized>(&self, range: &impl KeyRange<K>) -> Result<u64> {
        estimate_range(self.source, self.top, self.entries, slices(&range.encode_range()))
    }

    fn nth<K: Key + ?Sized, V: Value + ?Sized>(&self, n: u64) -> Result<Option<FoundEntry<'a, K, V>>> {
        let entry = entry_of_rank(self.source, self.top, self.entries, n)?;
        entry.map(|(key, value)| decode_entry::<K, V>(key, value)).transpose()
    }

    fn sample<K: Key + ?Sized, V: Value + ?Sized>(
        &self,
        count: usize,
        seed: u64,
    ) -> Result<Vec<FoundEntry<'a, K, V>>> {
        let entries = sample(self.source, self.top, self.entries, count, seed)?;
        entries.into_iter().map(|(key, value)| decode_entry::<K, V>(key, value)).collect()
    }

    fn split<K: Key + ?Sized>(&self, range: &impl KeyRange<K>, parts: usize) -> Result<Vec<SplitRange<K>>> {
        let range = range.encode_range();
        let (lower, upper) = slices(&range);
        let mut ranges = Vec::new();
        let mut lower = lower.map(KeyBuf::from);
        for key in boundaries(self.source, self.top, slices(&range), parts)? {
            let start = std::mem::replace(&mut lower, Bound::Included(key.clone()));
            ranges.push(SplitRange { lower: start, upper: Bound::Excluded(key), types: PhantomData });
        }
        ranges.push(SplitRange { lower, upper: upper.map(KeyBuf::from), types: PhantomData });
        Ok(ranges)
    }
}

fn slices<'a>(
    (lower, upper): &'a (Bound<Encoded<'_>>, Bound<Encoded<'_>>),
) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
    (lower.as_ref().map(|key| &**key), upper.as_ref().map(|key| &**key))
}

impl<'tx, K: Key + ?Sized, V: Value + ?Sized> TableRef<'tx, K, V> {
    fn shape(&self) -> Result<Shape<'tx>> {
        self.reader.check_not_forked()?;
        let source = EntrySource::Snapshot(self.reader);
        Ok(Shape { source, top: (&self.root).into(), entries: self.root.entries })
    }

    /// Returns the number of entries whose keys are in `range`.
    ///
    /// It goes from leaf to leaf and adds up the counts in their headers. No entry is decoded, and no value is read: a
    /// million entries of 150 bytes take about a millisecond once their pages are in memory. `count(..)` takes
    /// constant time, as [`len`](TableRef::len). For a number that need not be exact there is
    /// [`estimate`](TableRef::estimate).
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const EVENTS: Table<u64, str> = Table::new("events"); // time -> what
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| tx.table(&EVENTS)?.insert_many((0..10_000).map(|time| (time, "an event"))))?;
    ///
    /// let rx = db.read()?;
    /// let events = rx.table(&EVENTS)?;
    /// assert_eq!(events.count(2_000..5_000)?, 3_000);
    /// assert_eq!(events.count(9_990..)?, 10);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    #[doc(alias = "range_count")]
    pub fn count(&self, range: impl KeyRange<K>) -> Result<u64> {
        self.shape()?.count(&range)
    }

    /// Returns about how many entries have keys in `range`, by a few dozen pages at most, however long the range is:
    /// for instance to choose between two indexes.
    ///
    /// The number is exact if all of the range lies in one leaf, or if few leaves lie between its ends; and for `..`.
    /// Otherwise up to eight subtrees in each group of whole ones are looked into, and the others taken to be like
    /// them. The result is usually within a tenth of the truth; it has no bound on its error, because entries may be
    /// large in one place and small in another. It is never more than [`len`](TableRef::len).
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const EVENTS: Table<u64, str> = Table::new("events"); // time -> what
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| tx.table(&EVENTS)?.insert_many((0..100_000).map(|time| (time, "an event"))))?;
    ///
    /// let rx = db.read()?;
    /// let events = rx.table(&EVENTS)?;
    /// assert_eq!(events.estimate(20..50)?, 30);
    /// let about = events.estimate(20_000..50_000)?;
    /// assert!((27_000..33_000).contains(&about), "{about}");
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    #[doc(alias = "mdbx_estimate_range")]
    pub fn estimate(&self, range: impl KeyRange<K>) -> Result<u64> {
        self.shape()?.estimate(&range)
    }

    /// Returns the entry before which `n` others are: `nth(0)` is the first one. Returns `None` if the table has no
    /// more than `n` entries.
    ///
    /// The file's branches have no counts, because each insertion would have to change them up to the root. So this
    /// goes from leaf to leaf and reads their headers, as [`count`](TableRef::count) does, from whichever end of the
    /// table is nearer.
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const TIMES: Table<u64, str> = Table::new("times"); // microseconds -> request
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| tx.table(&TIMES)?.insert_many((0..1000).map(|time| (time * time, "GET"))))?;
    ///
    /// let rx = db.read()?;
    /// let times = rx.table(&TIMES)?;
    /// let median = times.nth(times.len() / 2)?;
    /// assert_eq!(median, Some((250_000, "GET")));
    /// assert_eq!(times.nth(1000)?, None);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn nth(&self, n: u64) -> Result<Option<(K::Owned, V::Ref<'tx>)>> {
        self.shape()?.nth::<K, V>(n)
    }

    /// Returns `count` entries that are chosen at random, each independently and each exactly as likely as any other,
    /// in random order. The same entry may be among them more than once. Of an empty table there are none.
    ///
    /// The same `seed` chooses the same entries of the same snapshot. For others each time, take the time or a number
    /// from the system.
    ///
    /// A small sample of a large table costs for each entry some walks down the tree that begin again (Olken and
    /// Rotem, "Random sampling from B+ trees", VLDB 1989): typically 20 to 50 page reads. A sample that is large
    /// compared to the table is found in one walk over the headers of all leaves.
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const USERS: Table<u64, str> = Table::new("users");
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| tx.table(&USERS)?.insert_many((0..10_000).map(|id| (id, "a name"))))?;
    ///
    /// let rx = db.read()?;
    /// let sample = rx.table(&USERS)?.sample(400, 17)?;
    /// let mean = sample.iter().map(|(id, _)| id).sum::<u64>() / 400;
    /// assert!((4_000..6_000).contains(&mean), "{mean}");
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    #[doc(alias = "random")]
    pub fn sample(&self, count: usize, seed: u64) -> Result<Vec<(K::Owned, V::Ref<'tx>)>> {
        self.shape()?.sample::<K, V>(count, seed)
    }

    /// Cuts the table into `n` ranges of about equal size, for threads that each scan one. It is
    /// [`split_range`](TableRef::split_range) of the whole table.
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const SIZES: Table<u64, u64> = Table::new("sizes");
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| tx.table(&SIZES)?.insert_many((0..100_000).map(|file| (file, 2 * file))))?;
    ///
    /// // A table is `Copy`, and can be read by any number of threads.
    /// let rx = db.read()?;
    /// let sizes = rx.table(&SIZES)?;
    /// let total = std::thread::scope(|scope| {
    ///     let sum = |part| sizes.range(part).try_fold(0, |sum, entry| Ok(sum + entry?.1));
    ///     let threads: Vec<_> = sizes.split(4)?.into_iter().map(|part| scope.spawn(move || sum(part))).collect();
    ///     threads.into_iter().map(|thread| thread.join().unwrap()).sum::<mapleaf::Result<u64>>()
    /// })?;
    /// assert_eq!(total, 99_999 * 100_000);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn split(&self, n: usize) -> Result<Vec<SplitRange<K>>> {
        self.split_range(.., n)
    }

    /// Cuts `range` into `n` ranges of about equal size, which are in order, disjoint, and together `range`. There are
    /// fewer if it has fewer entries, and one at least; 0 counts as 1.
    ///
    /// It reads the branches of the tree's upper levels, down to the first one with eight nodes for each part, and
    /// cuts between nodes: so the parts have about the same number of pages. If even the leaves are fewer, their
    /// entries are counted, and the parts are equal to within one entry.
    ///
    /// The ranges are keys only, and belong to no snapshot: another transaction, or another process of the same
    /// program, can scan them too.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const SIZES: Table<u64, u64> = Table::new("sizes");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&SIZES)?.insert_many((0..1000).map(|file| (file, 0))))?;
    /// let rx = db.read()?;
    /// let sizes = rx.table(&SIZES)?;
    /// let parts = sizes.split_range(100..400, 3)?;
    /// let counts: Result<Vec<u64>, _> = parts.iter().map(|part| sizes.count(part)).collect();
    /// assert_eq!(counts?, [100, 100, 100]);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn split_range(&self, range: impl KeyRange<K>, n: usize) -> Result<Vec<SplitRange<K>>> {
        self.shape()?.split(&range, n)
    }
}

impl<'tx, K: Key + ?Sized, V: Value + ?Sized> UncommittedTable<'tx, K, V> {
    fn shape(&self) -> Result<Shape<'tx>> {
        self.check()?;
        let TreeView { nodes, top, entries } = self.tree;
        Ok(Shape { source: EntrySource::Transaction(nodes), top, entries })
    }

    /// Returns the number of entries whose keys are in `range`. See [`TableRef::count`].
    pub fn count(&self, range: impl KeyRange<K>) -> Result<u64> {
        self.shape()?.count(&range)
    }

    /// Returns about how many entries have keys in `range`. See [`TableRef::estimate`].
    pub fn estimate(&self, range: impl KeyRange<K>) -> Result<u64> {
        self.shape()?.estimate(&range)
    }

    /// Returns the entry before which `n` others are. See [`TableRef::nth`].
    pub fn nth(&self, n: u64) -> Result<Option<(K::Owned, V::Ref<'tx>)>> {
        self.shape()?.nth::<K, V>(n)
    }

    /// Returns `count` entries that are chosen at random. See [`TableRef::sample`].
    pub fn sample(&self, count: usize, seed: u64) -> Result<Vec<(K::Owned, V::Ref<'tx>)>> {
        self.shape()?.sample::<K, V>(count, seed)
    }

    /// Cuts the table into `n` ranges of about equal size, for threads that each scan one. See [`TableRef::split`].
    pub fn split(&self, n: usize) -> Result<Vec<SplitRange<K>>> {
        self.split_range(.., n)
    }

    /// Cuts `range` into `n` ranges of about equal size. See [`TableRef::split_range`].
    pub fn split_range(&self, range: impl KeyRange<K>, n: usize) -> Result<Vec<SplitRange<K>>> {
        self.shape()?.split(&range, n)
    }
}

impl<K: Key + ?Sized, V: Value + ?Sized> TableMut<'_, K, V> {
    fn shape(&self) -> Result<Shape<'_>> {
        self.transaction.check_usable()?;
        let tree = &self.open().tree;
        let source = EntrySource::Transaction(tree.nodes(self.pages()));
        Ok(Shape { source, top: tree.top(), entries: tree.len() })
    }

    /// Returns the number of entries whose keys are in `range`. See [`TableRef::count`].
    pub fn count(&self, range: impl KeyRange<K>) -> Result<u64> {
        self.shape()?.count(&range)
    }

    /// Returns about how many entries have keys in `range`. See [`TableRef::estimate`].
    pub fn estimate(&self, range: impl KeyRange<K>) -> Result<u64> {
        self.shape()?.estimate(&range)
    }

    /// Returns the entry before which `n` others are. See [`TableRef::nth`].
    pub fn nth(&self, n: u64) -> Result<Option<(K::Owned, V::Ref<'_>)>> {
        self.shape()?.nth::<K, V>(n)
    }

    /// Returns `count` entries that are chosen at random. See [`TableRef::sample`].
    pub fn sample(&self, count: usize, seed: u64) -> Result<Vec<(K::Owned, V::Ref<'_>)>> {
        self.shape()?.sample::<K, V>(count, seed)
    }

    /// Cuts the table into `n` ranges of about equal size. See [`TableRef::split`].
    pub fn split(&self, n: usize) -> Result<Vec<SplitRange<K>>> {
        self.split_range(.., n)
    }

    /// Cuts `range` into `n` ranges of about equal size. See [`TableRef::split_range`].
    pub fn split_range(&self, range: impl KeyRange<K>, n: usize) -> Result<Vec<SplitRange<K>>> {
        self.shape()?.split(&range, n)
    }
}
