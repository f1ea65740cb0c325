//! Named snapshots.

use crate::base::TransactionId;
use crate::db::{Db, ReadTxn, WriteTxn};
use crate::error::Result;
use crate::txn::named::{self, SnapshotInfo};
use crate::txn::read::SnapshotReader;

impl Db {
    /// Gives the newest committed state of the database a name, under which it can be read until the name is dropped:
    /// by all processes, and after any end of a process or loss of power. Returns the newest transaction that the
    /// snapshot contains.
    ///
    /// This copies nothing. It is a durable transaction of its own, which makes a checkpoint, so that lazy commits
    /// before it are durable as well. From then on the pages that the snapshot needs are not used again: as others are
    /// written, the file grows by as much as would otherwise have become free ([`Db::snapshots`] shows it). A snapshot
    /// concerns this file: copies, increments and [`salvage`](crate::salvage()) have no names.
    ///
    /// While the file has names, or dropped some a short time ago, versions of mapleaf that do not know them refuse it.
    ///
    /// # Errors
    ///
    /// - [`Error::SnapshotExists`](crate::Error::SnapshotExists) if the name is taken.
    /// - [`Error::SnapshotNameLength`](crate::Error::SnapshotNameLength) if it is empty or has more than 255 bytes.
    /// - Those of [`Db::write`] and of [`WriteTxn::commit`].
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const PRICES: Table<str, u64> = Table::new("prices");
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| tx.table(&PRICES)?.insert("apples", 3))?;
    /// db.create_snapshot("before the sale")?;
    /// db.update(|tx| tx.table(&PRICES)?.insert("apples", 2))?;
    ///
    /// let before = db.read_at("before the sale")?;
    /// assert_eq!(before.table(&PRICES)?.get("apples")?, Some(3));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn create_snapshot(&self, name: &str) -> Result<TransactionId> {
        named::create_snapshot(&self.handle, name)
    }

    /// Returns all named snapshots, in the order of their names, with what each keeps from being used again. It reads
    /// the description of free space, and no other page. While a transaction is in progress, and with a read-only
    /// handle, the numbers of pages are those of the last checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Forked`](crate::Error::Forked),
    /// [`Error::ReadersFull`](crate::Error::ReadersFull).
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// let db = Db::in_memory()?;
    /// db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
    /// let id = db.create_snapshot("monday")?;
    /// assert_eq!(db.snapshots()?[0].pinned_pages, 0, "it has the pages that the newest transaction has");
    ///
    /// db.update(|tx| tx.table(&HITS)?.insert(7, 2))?;
    /// let monday = &db.snapshots()?[0];
    /// assert_eq!((monday.name.as_str(), monday.transaction), ("monday", id));
    /// assert_eq!(monday.pinned_pages, 2); // the table's only page, and the catalog's
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        self.handle.core.named_snapshots()
    }

    /// Begins a read transaction in a named snapshot. Its [`id`](ReadTxn::id) is that of the newest transaction that
    /// the snapshot contains. It can be used as any other one, and goes on if the name is dropped.
    ///
    /// It takes time in proportion to the description of free space, which is far longer than [`Db::read`] takes.
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotNotFound`](crate::Error::SnapshotNotFound) if there is no such name,
    /// [`Error::SnapshotNameLength`](crate::Error::SnapshotNameLength) if there can be none, and those of [`Db::read`];
    /// [`Error::Corrupt`](crate::Error::Corrupt) if the description of free space is damaged.
    ///
    /// ```
    /// use mapleaf::{Db, Error};
    ///
    /// let db = Db::in_memory()?;
    /// let id = db.create_snapshot("empty")?;
    /// assert_eq!(db.read_at("empty")?.id(), id);
    /// assert!(matches!(db.read_at("full"), Err(Error::SnapshotNotFound { .. })));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn read_at(&self, name: &str) -> Result<ReadTxn> {
        Ok(ReadTxn::new(SnapshotReader::begin_named(&self.handle, name)?))
    }

    /// Drops the name of a snapshot, durably. Returns whether there was one. Pages that only this snapshot needed are
    /// free from then on, or when the last reader of it ends.
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotNameLength`](crate::Error::SnapshotNameLength), and those of [`Db::write`] and of
    /// [`WriteTxn::commit`].
    ///
    /// ```
    /// let db = mapleaf::Db::in_memory()?;
    /// db.create_snapshot("monday")?;
    /// assert!(db.drop_snapshot("monday")?);
    /// assert!(!db.drop_snapshot("monday")?);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn drop_snapshot(&self, name: &str) -> Result<bool> {
        named::drop_snapshot(&self.handle, name)
    }
}

impl WriteTxn {
    /// Makes the tables those of a named snapshot, in this transaction: its commit makes them visible, and an abort, or
    /// [going back to a savepoint](WriteTxn::rollback_to), undoes this. The name stays, and so do all others.
    ///
    /// Tables that have changed since the snapshot are written again as a whole, in the order of their keys; tables
    /// that have not are left as they are. So it takes time and space in proportion to the changed tables. The
    /// transaction is not in the redo log: its commit waits for a checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotNotFound`](crate::Error::SnapshotNotFound),
    /// [`Error::SnapshotNameLength`](crate::Error::SnapshotNameLength), and
    /// [`Error::TableInUse`](crate::Error::TableInUse) if a table is open: the transaction goes on. After any other
    /// error it can only be aborted, or go back to a savepoint.
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const PRICES: Table<str, u64> = Table::new("prices");
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| tx.table(&PRICES)?.insert("apples", 3))?;
    /// db.create_snapshot("before the sale")?;
    /// db.update(|tx| tx.table(&PRICES)?.clear())?;
    ///
    /// db.update(|tx| tx.restore_snapshot("before the sale"))?;
    /// assert_eq!(db.read()?.table(&PRICES)?.get("apples")?, Some(3));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn restore_snapshot(&self, name: &str) -> Result<()> {
        self.transaction.restore_snapshot(name)
    }
}
