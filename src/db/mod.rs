//! The public interface: databases, transactions, tables, iterators. It adds types to what `txn` does, and no logic.

mod bulk;
mod checking;
mod compaction;
mod copies;
mod counting;
mod cursor;
mod entry;
mod extraction;
mod iter;
pub(crate) mod multimap;
mod options;
pub(crate) mod raw;
mod read;
mod removal;
mod retype;
mod savepoint;
mod snapshots;
mod stats;
mod suspended;
mod table_info;
mod ticket;
mod update;
mod view;
mod watch;
#[cfg(feature = "async")]
mod watch_stream;
mod write;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::bulk::BulkLoad;
pub use self::checking::CheckOptions;
pub use self::compaction::Compaction;
pub use self::copies::CopyOptions;
pub use self::counting::SplitRange;
pub use self::cursor::{Cursor, CursorMut};
pub use self::entry::{Entry, OccupiedEntry, VacantEntry};
pub use self::extraction::{Drain, ExtractIf};
pub use self::iter::{OwnedRange, Range};
pub use self::multimap::{MultimapKeys, MultimapMut, MultimapRange, MultimapRef, PairLoad, Values};
pub use self::options::{AccessPattern, OpenOptions};
pub use self::read::{OwnedTable, ReadTxn, TableRef};
pub use self::savepoint::Savepoint;
pub use self::stats::Stats;
pub use self::suspended::SuspendedTxn;
pub use self::table_info::TableInfo;
pub use self::ticket::PendingCommit;
pub use self::update::UpdateOptions;
pub use self::view::{UncommittedTable, UncommittedView};
pub use self::watch::{Watch, WatchStopper};
#[cfg(feature = "async")]
pub use self::watch_stream::WatchStream;
pub use self::write::{TableMut, WriteTxn};

use crate::base::TransactionId;
use crate::check::CheckReport;
use crate::error::Result;
use crate::txn::database::DbHandle;
use crate::txn::file_locks::Wait;
use crate::txn::read::SnapshotReader;
use crate::txn::reader_info::ReaderInfo;
use crate::txn::write::Transaction;
use crate::types::{Key, Value};

/// An entry as a read returns it.
type FoundEntry<'a, K, V> = (<K as Key>::Owned, <V as Value>::Ref<'a>);

/// Marks a struct of no size with the types of a table.
type Types<K, V> = std::marker::PhantomData<(fn() -> Box<K>, fn() -> Box<V>)>;

/// An open database: a handle that can be cloned, sent and shared.
///
/// All clones share one open database. It is closed when the last clone, and the last transaction begun from one, is
/// dropped. A thread that begins many read transactions is fastest with its own clone, which shares no cache line
/// with the others.
///
/// ```
/// use mapleaf::{Db, Table};
///
/// const CAPITALS: Table<str, str> = Table::new("capitals");
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("world.mapleaf");
/// let db = Db::open(&path)?;
/// db.update(|tx| {
///     let mut capitals = tx.table(&CAPITALS)?;
///     capitals.insert("France", "Paris")?;
///     capitals.insert("Japan", "Tokyo")?;
///     Ok(())
/// })?;
///
/// let rx = db.read()?;
/// assert_eq!(rx.table(&CAPITALS)?.get("Japan")?, Some("Tokyo"));
/// # Ok::<(), mapleaf::Error>(())
/// ```
///
/// # What makes this safe
///
/// The file is mapped into memory, and opening it is nevertheless a safe function, on these terms:
///
/// - The file belongs to mapleaf while it is open. Every process that uses this library keeps to the locks. Another
///   program that writes to the file or truncates it while it is open breaks the terms: slices may then change while
///   they are borrowed, and a read of a page that is gone ends the process (SIGBUS).
/// - Wrong bytes never become wrong memory accesses: reading a hostile or damaged file returns values or
///   [`Error::Corrupt`](crate::Error::Corrupt).
#[derive(Debug)]
pub struct Db {
    pub(crate) handle: Arc<DbHandle>,
}

impl Clone for Db {
    fn clone(&self) -> Db {
        Db { handle: Arc::new(DbHandle::clone(&self.handle)) }
    }
}

impl fmt::Debug for DbHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DbHandle").field("path", &self.core.pages.path).finish_non_exhaustive()
    }
}

impl Db {
    /// Opens the database at `path` with the default options, and creates it if there is no file there.
    ///
    /// Beside the database stands its lock file, `PATH-lock`, through which processes share it.
    ///
    /// # Errors
    ///
    /// - [`Error::Io`](crate::Error::Io) if the system refuses: no permission, no such folder, a directory.
    /// - [`Error::NotADatabase`](crate::Error::NotADatabase) if mapleaf did not write the file.
    /// - [`Error::NewerFormat`](crate::Error::NewerFormat), [`Error::Truncated`](crate::Error::Truncated),
    ///   [`Error::Corrupt`](crate::Error::Corrupt) if the file cannot be used.
    /// - [`Error::Replaced`](crate::Error::Replaced) if the data file or the lock file was removed or replaced while
    ///   other handles had it open.
    /// - [`Error::InUse`](crate::Error::InUse) if other handles have it open and this process has no permission to
    ///   write the lock file.
    /// - [`Error::TooManyHandles`](crate::Error::TooManyHandles) if it is already open 1024 times, in all processes.
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("app.mapleaf");
    /// let db = mapleaf::Db::open(&path)?;
    /// assert!(path.exists());
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Db> {
        Db::options().open(path)
    }

    /// Returns the default [`OpenOptions`], with which a database is opened in another way than by [`Db::open`].
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("app.mapleaf");
    /// let db = mapleaf::Db::options().page_size(16384).open(&path)?;
    /// assert_eq!(db.page_size(), 16384);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn options() -> OpenOptions {
        OpenOptions::default()
    }

    /// Creates a database in memory, which is gone when it is closed. Threads can share it, processes cannot.
    ///
    /// ```
    /// let db = mapleaf::Db::in_memory()?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn in_memory() -> Result<Db> {
        Db::options().in_memory()
    }

    /// Begins a write transaction. There is one at a time, in all processes, and this call waits until no other is
    /// open, or until [`OpenOptions::write_timeout`]. The threads of a handle, and the handles of all processes, begin
    /// in the order in which they called.
    ///
    /// A thread that already has a write transaction open would wait for itself. This is detected: while a thread has
    /// a [`WriteTxn`], or runs the closure of [`Db::update`] or of a check, every call that would wait for the writer
    /// lock of the same database returns [`Error::WriteInProgress`](crate::Error::WriteInProgress) at once. It does
    /// not matter by which handle of this process the database was opened. What is not detected is a thread that waits
    /// for another thread or process which waits for it in turn: that wait ends with the timeout, if there is one.
    ///
    /// # Errors
    ///
    /// - [`Error::WriteInProgress`](crate::Error::WriteInProgress) if this thread would wait for itself.
    /// - [`Error::WriteTimedOut`](crate::Error::WriteTimedOut) if others still write at the timeout of the options.
    /// - [`Error::ReadOnly`](crate::Error::ReadOnly) if the database was opened read-only.
    /// - [`Error::Poisoned`](crate::Error::Poisoned) after a failed sync.
    /// - [`Error::Truncated`](crate::Error::Truncated) if another program has truncated the file.
    /// - [`Error::Replaced`](crate::Error::Replaced) if the data file or the lock file was removed or replaced.
    /// - [`Error::HeldOff`](crate::Error::HeldOff) if, for five seconds, a process that has no permission to write
    ///   the lock file reads the database.
    /// - [`Error::Forked`](crate::Error::Forked) in a forked child.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// let tx = db.write()?;
    /// tx.table(&HITS)?.insert(7, 1)?;
    /// tx.commit()?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn write(&self) -> Result<WriteTxn> {
        Ok(WriteTxn::new(Transaction::begin_within(&self.handle, None)?))
    }

    /// Begins a write transaction, without waiting. Returns `None` if another is open or waited for, also if it is one
    /// of this thread.
    ///
    /// # Errors
    ///
    /// Those of [`Db::write`], except those of a wait.
    ///
    /// ```
    /// # let db = mapleaf::Db::in_memory()?;
    /// let first = db.write()?;
    /// assert!(db.try_write()?.is_none());
    /// first.abort();
    /// assert!(db.try_write()?.is_some());
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn try_write(&self) -> Result<Option<WriteTxn>> {
        Ok(Transaction::begin(&self.handle, Wait::No)?.map(WriteTxn::new))
    }

    /// Begins a write transaction, and waits for at most `timeout`. Returns `None` if others still write then. A thread
    /// that would wait for itself gets an error at once.
    ///
    /// It waits in the same order as [`Db::write`]. If another process wrote before it, it begins up to a millisecond
    /// late.
    ///
    /// # Errors
    ///
    /// Those of [`Db::write`]. A `timeout` below five seconds also shortens the wait before
    /// [`Error::HeldOff`](crate::Error::HeldOff).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let db = mapleaf::Db::in_memory()?;
    /// let first = db.write()?;
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| assert!(db.write_timeout(Duration::from_millis(1)).unwrap().is_none()));
    /// });
    /// # first.abort();
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn write_timeout(&self, timeout: Duration) -> Result<Option<WriteTxn>> {
        Ok(Transaction::begin(&self.handle, Wait::within(Some(timeout)))?.map(WriteTxn::new))
    }

    /// Begins a read transaction: a snapshot that does not change. It waits for no writer, and no writer waits for
    /// it.
    ///
    /// Pages that only this snapshot needs cannot be reused before it ends. End it when it is no longer needed.
    ///
    /// # Errors
    ///
    /// - [`Error::ReadersFull`](crate::Error::ReadersFull) if there are already 16384 read transactions, in all
    ///   processes.
    /// - [`Error::Forked`](crate::Error::Forked) in a forked child.
    ///
    /// ```
    /// # let db = mapleaf::Db::in_memory()?;
    /// let rx = db.read()?;
    /// assert_eq!(rx.tables()?.len(), 0);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    #[inline]
    pub fn read(&self) -> Result<ReadTxn> {
        Ok(ReadTxn::new(SnapshotReader::begin(&self.handle)?))
    }

    /// Makes all earlier commits durable, including deferred ones and those with
    /// [`Durability::Lazy`](crate::Durability::Lazy).
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) if the sync fails. From then on, writes return
    /// [`Error::Poisoned`](crate::Error::Poisoned): what is on the disk is unknown until the database is opened
    /// again.
    ///
    /// ```
    /// # use mapleaf::{Db, Durability, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// let tx = db.write()?;
    /// tx.table(&HITS)?.insert(7, 1)?;
    /// let id = tx.commit_with(Durability::Lazy)?;
    /// db.sync()?;
    /// assert_eq!(db.stats()?.durable, id);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn sync(&self) -> Result<()> {
        let core = &self.handle.core;
        core.check_writable()?;
        core.sync_everything()?;
        core.bury_dead_and_cut();
        Ok(())
    }

    /// Makes a checkpoint: all that has been committed becomes durable in the database's pages, and the redo log is
    /// empty after it. That happens by itself from time to time, and when the last handle is closed. It is useful
    /// before the file is copied by other means while the database is open, and before measurements.
    ///
    /// # Errors
    ///
    /// Those of [`Db::sync`].
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
    /// db.checkpoint()?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn checkpoint(&self) -> Result<()> {
        let core = &self.handle.core;
        core.check_writable()?;
        core.checkpoint_everything()?;
        core.bury_dead_and_cut();
        Ok(())
    }

    /// Returns the current sizes and transaction ids of the database.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`](crate::Error::Forked) in a forked child.
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const HITS: Table<u64, u64> = Table::new("hits");
    ///
    /// let db = Db::in_memory()?;
    /// let stats = db.stats()?;
    /// assert_eq!((stats.tables, stats.readers), (0, 0));
    /// db.update(|tx| tx.table(&HITS)?.insert(7, 1))?; // the first commit takes a ring for the log, and checkpoints it
    /// db.update(|tx| tx.table(&HITS)?.insert(8, 1))?;
    /// let stats = db.stats()?;
    /// assert_eq!((stats.log_bytes, stats.log_used_bytes), (65536, 4096)); // one record, which has a block to itself
    /// assert!(stats.checkpointed < stats.durable);
    /// db.checkpoint()?;
    /// assert_eq!((db.stats()?.log_used_bytes, db.stats()?.checkpointed), (0, stats.durable));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn stats(&self) -> Result<Stats> {
        Stats::of(self)
    }

    /// Returns the live read transactions of all processes, the oldest snapshot first. They prevent pages from being
    /// reused. The last entry may stand for readers that have no slot and prevent all writing
    /// ([`ReaderInfo::holds_off_writers`]).
    ///
    /// ```
    /// let db = mapleaf::Db::in_memory()?;
    /// let rx = db.read()?;
    /// let readers = db.readers()?;
    /// assert_eq!(readers.len(), 1);
    /// assert_eq!((readers[0].pid, readers[0].snapshot), (std::process::id(), rx.id()));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn readers(&self) -> Result<Vec<ReaderInfo>> {
        self.handle.core.readers()
    }

    /// Sleeps until a transaction newer than `after`, of any process, is visible, and returns the id of the newest
    /// visible transaction. Returns `None` if there is none within `timeout`. Without a timeout it waits without
    /// limit.
    ///
    /// # Errors
    ///
    /// - [`Error::Poisoned`](crate::Error::Poisoned) after a failed sync, because no process can commit then.
    /// - [`Error::WriteInProgress`](crate::Error::WriteInProgress) if there is no timeout, and this thread has a write
    ///   transaction open, without whose end there can be no such commit.
    /// - [`Error::Forked`](crate::Error::Forked) in a forked child.
    ///
    /// ```
    /// use std::time::Duration;
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// let db = Db::in_memory()?;
    /// let seen = db.read()?.id();
    /// assert_eq!(db.wait_for_commit(seen, Some(Duration::from_millis(1)))?, None);
    ///
    /// let other = db.clone();
    /// let writer = std::thread::spawn(move || other.update(|tx| tx.table(&HITS)?.insert(1, 1)));
    /// assert!(db.wait_for_commit(seen, None)? > Some(seen));
    /// # writer.join().unwrap()?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn wait_for_commit(
        &self,
        after: TransactionId,
        timeout: Option<Duration>,
    ) -> Result<Option<TransactionId>> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        if deadline.is_none() {
            watch::check_may_come(&self.handle.core, after)?;
        }
        self.handle.core.wait_for_commit(after, deadline, || false)
    }

    /// Returns an iterator over future commits, of any process. See [`Watch`]. It misses commits between an earlier
    /// read transaction and this call; [`Db::watch_from`] does not.
    pub fn watch(&self) -> Watch {
        self.watch_from(self.handle.core.shared.visible())
    }

    /// Returns an iterator over commits newer than transaction `after`, of any process. With the id of the read
    /// transaction that was used before, it misses no commit. If there is already a newer commit, the first item is
    /// available at once.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const SETTINGS: Table<str, str> = Table::new("settings");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&SETTINGS)?.insert("colour", "red"))?;
    /// let rx = db.read()?;
    /// let mut colour = rx.table(&SETTINGS)?.get("colour")?.map(str::to_owned);
    /// let mut commits = db.watch_from(rx.id());
    /// # db.update(|tx| tx.table(&SETTINGS)?.insert("colour", "green"))?;
    /// // A commit at this point, by any process, is an item of `commits`.
    /// commits.next().transpose()?;
    /// colour = db.view(|rx| Ok(rx.table(&SETTINGS)?.get("colour")?.map(str::to_owned)))?;
    /// assert_eq!(colour.as_deref(), Some("green"));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn watch_from(&self, after: TransactionId) -> Watch {
        Watch::new(&self.handle, after)
    }

    /// Checks the whole database: every page, checksum, order of keys and count, and that each page of the file is
    /// exactly one of reachable, free log, redo log, retired or free. It reads the file once. Writers wait meanwhile,
    /// readers do not. With a read-only handle it checks a snapshot instead, and no process waits.
    ///
    /// # Errors
    ///
    /// Damage is in the report. An error means that the check could not be done. It is one of those of [`Db::write`] if
    /// other transactions write. With a read-only handle, it is
    /// [`Error::Io`](crate::Error::Io) with [`TimedOut`](std::io::ErrorKind::TimedOut) if a process was killed before
    /// the newest commit was synced, and no other process has synced it; the next writer does.
    ///
    /// ```
    /// let db = mapleaf::Db::in_memory()?;
    /// let report = db.check()?;
    /// assert!(report.is_clean(), "{:?}", report.problems());
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn check(&self) -> Result<CheckReport> {
        self.check_options().check()
    }

    /// Returns a check that shows on its way what it finds: for a progress bar, or a map of the file. See
    /// [`CheckOptions`].
    pub fn check_options(&self) -> CheckOptions<'_> {
        CheckOptions::new(self)
    }

    /// Makes every commit durable and drops this handle. The file is closed when the last clone and transaction are
    /// dropped. A drop also makes every commit durable, but cannot return an error.
    ///
    /// # Errors
    ///
    /// Those of [`Db::sync`]. There are none if the database was opened read-only.
    pub fn close(self) -> Result<()> {
        if self.handle.core.is_read_only() { Ok(()) } else { self.sync() }
    }

    /// Returns the size of a page, in bytes.
    pub fn page_size(&self) -> usize {
        self.handle.core.pages.page_size
    }

    /// Returns the maximum encoded length of a key, in bytes: half a page less 64.
    pub fn max_key_len(&self) -> usize {
        crate::format::page::max_key_len(self.page_size())
    }

    /// Advises the system how the file will be read from now on. See [`AccessPattern`].
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) if the system refuses.
    pub fn set_access_pattern(&self, pattern: AccessPattern) -> Result<()> {
        options::advise(&self.handle.core, pattern)
    }
}
