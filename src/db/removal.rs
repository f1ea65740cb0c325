//! Removals of many entries: those that a closure chooses, those of a range, all.

use std::ops::{Bound, Range};

use crate::base::KeyBuf;
use crate::db::iter::prefix_bounds;
use crate::db::write::TableMut;
use crate::error::{Error, Result};
use crate::format::node::NodeView;
use crate::tree::nodes::resolve;
use crate::types::{Encoded, Key, KeyBytes, KeyPrefix, KeyRange, Value};

/// Entries of one leaf that are to be removed.
struct Doomed {
    ranges: Vec<Range<usize>>,
    /// The first and the last key of each range.
    keys: Vec<(KeyBuf, KeyBuf)>,
    /// The key of the leaf's last entry, removed or not.
    last: KeyBuf,
}

impl<K: Key + ?Sized, V: Value + ?Sized> TableMut<'_, K, V> {
    /// Removes every entry for which `keep` returns `false`. Returns the number of removed entries.
    ///
    /// `keep` may read and change other tables of the transaction.
    ///
    /// # Errors
    ///
    /// If an entry cannot be read or decoded, or if `keep` panics, only some of the entries may have been removed.
    /// The transaction can then only be aborted, and every later call returns [`Error::TransactionFailed`].
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// const SESSIONS: Table<str, u64> = Table::new("sessions");
    /// # let db = Db::in_memory()?;
    /// db.update(|tx| {
    ///     let mut sessions = tx.table(&SESSIONS)?;
    ///     sessions.insert("ada", 1815)?;
    ///     sessions.insert("bob", 1985)?;
    ///     assert_eq!(sessions.retain(|_, last_seen| last_seen > 1900)?, 1);
    ///     assert_eq!(sessions.get("ada")?, None);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn retain(&mut self, mut keep: impl FnMut(K::Owned, V::Ref<'_>) -> bool) -> Result<u64> {
        self.try_retain(|key, value| Ok(keep(key, value)))
    }

    /// Removes every entry for which `keep` returns `Ok(false)`, as [`retain`](TableMut::retain) does, and stops at the
    /// first error that `keep` returns. The error may be of any type that mapleaf's [`Error`] converts to.
    ///
    /// # Errors
    ///
    /// Those of `keep` and of [`retain`](TableMut::retain). After any of them only some of the entries may have been
    /// removed. The transaction can then only be aborted, and every later call returns [`Error::TransactionFailed`].
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const DATES: Table<u64, str> = Table::new("dates");
    ///
    /// fn remove_before(year: u16, db: &Db) -> Result<u64, Box<dyn std::error::Error>> {
    ///     db.try_update(|tx| {
    ///         tx.table(&DATES)?.try_retain(|_, date| {
    ///             let (found, _) = date.split_once('-').ok_or("a date without a year")?;
    ///             Ok(found.parse::<u16>()? >= year)
    ///         })
    ///     })
    /// }
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| tx.table(&DATES)?.insert_many([(1, "1815-12-10"), (2, "1912-06-23")]))?;
    /// assert_eq!(remove_before(1900, &db).unwrap(), 1);
    /// db.update(|tx| tx.table(&DATES)?.insert_many([(3, "1789-07-14"), (4, "yesterday")]))?;
    /// assert!(remove_before(1900, &db).is_err());
    /// assert_eq!(db.read()?.table(&DATES)?.len(), 3, "nothing was removed");
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn try_retain<E: From<Error>>(
        &mut self,
        keep: impl FnMut(K::Owned, V::Ref<'_>) -> Result<bool, E>,
    ) -> Result<u64, E> {
        let transaction = self.transaction;
        transaction.guard_whole(|| self.retain_unguarded(keep))
    }

    fn retain_unguarded<E: From<Error>>(
        &mut self,
        mut keep: impl FnMut(K::Owned, V::Ref<'_>) -> Result<bool, E>,
    ) -> Result<u64, E> {
        let mut removed = 0;
        let mut after = Bound::Unbounded;
        while let Some(Doomed { ranges, keys, last }) = self.next_doomed(after, &mut keep)? {
            self.transaction.remove_some(self.open_mut(), &ranges, &keys)?;
            removed += ranges.iter().map(|range| range.len() as u64).sum::<u64>();
            after = Bound::Excluded(last);
        }
        Ok(removed)
    }

    /// Asks `keep` for one leaf after the other, until there is one with entries to be removed.
    fn next_doomed<E: From<Error>>(
        &self,
        after: Bound<KeyBuf>,
        keep: &mut impl FnMut(K::Owned, V::Ref<'_>) -> Result<bool, E>,
    ) -> Result<Option<Doomed>, E> {
        self.transaction.check_usable()?;
        let tree = &self.open().tree;
        let nodes = tree.nodes(self.pages());
        let mut cursor = tree.range(after.as_ref().map(|key| &**key), Bound::Unbounded);
        while let Some((leaf, indexes)) = cursor.next_leaf(nodes)? {
            let mut ranges: Vec<Range<usize>> = Vec::new();
            for index in indexes.clone() {
                let (key, value) = leaf.entry(index)?;
                if keep(K::decode(KeyBytes::from(key))?, V::decode(resolve(nodes, value)?)?)? {
                    continue;
                }
                match ranges.last_mut() {
                    Some(range) if range.end == index => range.end += 1,
                    _ => ranges.push(index..index + 1),
                }
            }
            if !ranges.is_empty() {
                let keys = ranges.iter().map(|range| Ok((leaf.key(range.start)?, leaf.key(range.end - 1)?)));
                let keys = keys.collect::<Result<Vec<_>>>()?;
                return Ok(Some(Doomed { ranges, keys, last: leaf.key(indexes.end - 1)? }));
            }
        }
        Ok(None)
    }

    /// Removes all entries whose keys are in `range`, whole subtrees at a time. Returns the number of removed
    /// entries.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// const EVENTS: Table<u64, str> = Table::new("events");
    /// # let db = Db::in_memory()?;
    /// db.update(|tx| {
    ///     let mut events = tx.table(&EVENTS)?;
    ///     for time in 0..1000 {
    ///         events.insert(time, "something happened")?;
    ///     }
    ///     assert_eq!(events.remove_range(..900)?, 900);
    ///     assert_eq!(events.len(), 100);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn remove_range(&mut self, range: impl KeyRange<K>) -> Result<u64> {
        self.remove_between(range.encode_range())
    }

    /// Removes all entries whose keys begin with `prefix`, whole subtrees at a time. Returns the number of removed
    /// entries.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// const SESSIONS: Table<(u64, String), u64> = Table::new("sessions"); // (user, token) -> time
    /// # let db = Db::in_memory()?;
    /// db.update(|tx| {
    ///     let mut sessions = tx.table(&SESSIONS)?;
    ///     sessions.insert_many([((1, "a"), 10), ((1, "b"), 20), ((2, "c"), 30)])?;
    ///     assert_eq!(sessions.remove_prefix((1,))?, 2);
    ///     assert_eq!(sessions.len(), 1);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    #[doc(alias = "delete_prefix")]
    pub fn remove_prefix(&mut self, prefix: impl KeyPrefix<K>) -> Result<u64> {
        self.remove_between(prefix_bounds(&prefix))
    }

    fn remove_between(&mut self, (lower, upper): (Bound<Encoded<'_>>, Bound<Encoded<'_>>)) -> Result<u64> {
        let (lower, upper) = (lower.as_ref().map(|key| &**key), upper.as_ref().map(|key| &**key));
        self.transaction.remove_range(self.open_mut(), lower, upper)
    }

    /// Removes all entries. Returns their number.
    pub fn clear(&mut self) -> Result<u64> {
        self.transaction.clear(self.open_mut())
    }
}
