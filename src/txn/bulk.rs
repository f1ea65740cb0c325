//! A bulk load: entries in any order are sorted in memory, run by run, and inserted into the tree in the order of
//! keys.
//!
//! Inserting entries in order costs a fraction of what it costs in disorder: one leaf after the other is filled, and
//! none is touched again. After all that is in the table leaves become full, and are stored as one extent, while the
//! load goes on.
//!
//! Entries that come in order are neither sorted nor kept: once keys have ascended through [`FIRST_PIECE`] bytes,
//! entries go to the tree as they come, until one does not ascend.
//!
//! Invariants:
//! - A load that has not ended, because of an error or a panic, has inserted an unknown part of its entries: the
//!   caller runs it in [`Transaction::guard_whole`], so that only abort works then. An entry that was refused (its
//!   key is too long) is not inserted, and the load goes on.
//! - Of two entries with one key the later one is inserted later: a run is inserted before the next one begins, and
//!   an entry that goes to the tree as it comes goes there only when no run waits.

use std::marker::PhantomData;

use crate::base::bytes::{get_u16, put_u16};
use crate::error::Result;
use crate::tree::NewValue;
use crate::txn::open_table::OpenTable;
use crate::txn::sorter::SortBuffer;
use crate::txn::write::Transaction;

/// Keys that ascend through this many bytes are expected to go on ascending.
const FIRST_PIECE: usize = 1 << 20;

/// Keys that came in disorder are expected to do so again: leaves keep one part in this many free, so that the next
/// such entries do not split each leaf that they go to. InnoDB does the same in indexes that it builds.
const ROOM_DIVISOR: usize = 16;

/// What becomes of an entry when its time has come.
pub(crate) trait Insertion {
    /// Inserts it into the tree.
    fn insert(transaction: &Transaction, table: &mut OpenTable, key: &[u8], value: &[u8]) -> Result<()>;
}

/// Entries of a table.
pub(crate) struct Entries;

impl Insertion for Entries {
    /// Most entries go to the end of the last leaf, which exists: these need only the tree, since they change nothing
    /// else.
    #[inline]
    fn insert(transaction: &Transaction, table: &mut OpenTable, key: &[u8], value: &[u8]) -> Result<()> {
        if transaction.append(table, key, value)? {
            return Ok(());
        }
        transaction.insert(table, key, value).map(drop)
    }
}

/// Pairs of a multimap table. While a pair waits, its value is the length of the key in it.
pub(crate) struct Pairs;

impl Insertion for Pairs {
    #[inline]
    fn insert(transaction: &Transaction, table: &mut OpenTable, pair: &[u8], key_len: &[u8]) -> Result<()> {
        transaction.append_pair(table, pair, usize::from(get_u16(key_len, 0)))
    }
}

/// A bulk load of one table.
pub(crate) struct BulkLoader<'a, I = Entries> {
    transaction: &'a Transaction,
    table: &'a mut OpenTable,
    run: SortBuffer,
    /// While entries go to the tree as they come: the key of the last one.
    last: Option<Vec<u8>>,
    entries_before: u64,
    insertion: PhantomData<I>,
}

impl<'a> BulkLoader<'a> {
    pub(crate) fn new(transaction: &'a Transaction, table: &'a mut OpenTable) -> Result<BulkLoader<'a>> {
        BulkLoader::begin(transaction, table)
    }
}

impl<'a> BulkLoader<'a, Pairs> {
    /// A load of a multimap table.
    pub(crate) fn of_pairs(
        transaction: &'a Transaction,
        table: &'a mut OpenTable,
    ) -> Result<BulkLoader<'a, Pairs>> {
        BulkLoader::begin(transaction, table)
    }

    /// Inserts a pair, whose key has the `key_len` bytes after the first, now or later.
    #[inline]
    pub(crate) fn insert_pair(&mut self, pair: &[u8], key_len: usize) -> Result<()> {
        let mut bytes = [0; 2];
        put_u16(&mut bytes, 0, key_len.try_into().unwrap_or(u16::MAX)); // a longer one is refused
        self.insert(pair, &bytes)
    }
}

impl<'a, I: Insertion> BulkLoader<'a, I> {
    fn begin(transaction: &'a Transaction, table: &'a mut OpenTable) -> Result<BulkLoader<'a, I>> {
        transaction.check_usable()?;
        transaction.keep_for_savepoint(table);
        let entries_before = table.tree.len();
        let run = SortBuffer::default();
        Ok(BulkLoader { transaction, table, run, last: None, entries_before, insertion: PhantomData })
    }

    /// Inserts an entry, now or later.
    #[inline]
    pub(crate) fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.table.tree.check_limits(key, &NewValue::Bytes(value))?;
        if let Some(last) = &mut self.last {
            if last.as_slice() <= key {
                last.clear();
                last.extend_from_slice(key);
                return self.insert_now(key, value);
            }
            self.last = None;
        }
        let memory = SortBuffer::entry_len(key, value);
        let is_too_large = self.transaction.is_stored_directly(value.len()) || !self.may_hold(memory);
        if is_too_large || !self.may_hold(self.run.memory() + memory) {
            self.insert_run()?;
        }
        if is_too_large {
            return self.insert_now(key, value);
        }
        self.run.push(key, value)?;
        if self.run.is_ascending() && self.run.memory() >= FIRST_PIECE {
            let last = self.run.last_key().to_vec();
            self.insert_run()?;
            self.last = Some(last);
        }
        Ok(())
    }

    /// Inserts what is still waiting. Returns how many of all keys are new.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.insert_run()?;
        self.transaction.check_usable()?;
        Ok(self.table.tree.len().saturating_sub(self.entries_before))
    }

    /// Whether a run may take this many bytes of memory: half of what may be held, because the pages that it changes
    /// need memory too.
    fn may_hold(&self, bytes: usize) -> bool {
        self.transaction.may_hold(bytes.saturating_mul(2))
    }

    fn insert_now(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        I::insert(self.transaction, self.table, key, value).inspect_err(|_| self.transaction.fail())
    }

    fn insert_run(&mut self) -> Result<()> {
        self.run.sort();
        let BulkLoader { transaction, table, run, .. } = self;
        if !run.is_ascending() {
            table.tree.leave_room(transaction.core().pages.page_size / ROOM_DIVISOR);
        }
        let inserted = run.for_each(|key, value| I::insert(transaction, table, key, value));
        table.tree.leave_room(0);
        run.clear();
        inserted.inspect_err(|_| transaction.fail())
    }
}
