//! The public face: databases, transactions, tables, iterators. No logic of its own beyond types.

mod bulk;
mod compaction;
mod copies;
mod iter;
mod options;
mod raw;
mod read;
mod stats;
mod ticket;
mod watch;
mod write;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::bulk::BulkLoad;
pub use self::compaction::Compaction;
pub use self::iter::{OwnedRange, Range};
pub use self::options::{AccessPattern, OpenOptions};
pub use self::read::{OwnedTable, ReadTxn, TableRef};
pub use self::stats::Stats;
pub use self::ticket::PendingCommit;
pub use self::watch::Watch;
pub use self::write::{TableInfo, TableMut, WriteTxn};

use crate::check::{self, CheckReport, PageCounts, PageUse};
use crate::error::Result;
use crate::txn::commit::Durability;
use crate::txn::database::DbHandle;
use crate::txn::file_locks::Wait;
use crate::txn::read::SnapshotReader;
use crate::txn::reader_info::ReaderInfo;
use crate::txn::write::Transaction;

/// The types of a table, in what is of no size.
type Types<K, V> = std::marker::PhantomData<(fn() -> Box<K>, fn() -> Box<V>)>;

/// An open database: a handle that can be cloned, sent and shared.
///
/// All clones speak of the same open database, which is closed when the last of them, and the last transaction
/// begun from them, is dropped. A thread that begins many read transactions is fastest with a
/// clone of its own: then it shares no cache line with the others.
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
/// Opening is safe, in Rust's sense, although the file is mapped into memory, on these terms:
///
/// - The file belongs to mapleaf while it is open. Whatever goes through this library keeps to the locks.
///   Another program that writes into the file, or cuts it, while it is open breaks the terms: slices
///   may then change under their readers, and touching a page that is gone ends the process (SIGBUS).
/// - Wrong bytes never become wrong memory accesses: whatever a file contains, hostile or damaged, reading it
///   gives values or [`Error::Corrupt`](crate::Error::Corrupt).
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
    /// Opens the database at `path` with the default options; creates it if there is no such file.
    ///
    /// # Errors
    ///
    /// - [`Error::Io`](crate::Error::Io) if the system refuses: no permission, no folder, a directory.
    /// - [`Error::NotADatabase`](crate::Error::NotADatabase) if there is a file that mapleaf did not write.
    /// - [`Error::NewerFormat`](crate::Error::NewerFormat), [`Error::Truncated`](crate::Error::Truncated),
    ///   [`Error::Corrupt`](crate::Error::Corrupt) if the file cannot be used.
    /// - [`Error::Replaced`](crate::Error::Replaced) if other handles use the file with another lock file,
    ///   or its lock file with another file: one of the two was removed or replaced while they were open.
    /// - [`Error::InUse`](crate::Error::InUse) if others have it open and this one may not write the lock file.
    /// - [`Error::TooManyHandles`](crate::Error::TooManyHandles) if it is open 1024 times, in all processes.
    pub fn open(path: impl AsRef<Path>) -> Result<Db> {
        Db::options().open(path)
    }

    /// OpenOptions, to open or create a database in another way than the default.
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

    /// A new database in memory, which is gone when it is closed. Threads share it; other processes do not.
    ///
    /// ```
    /// let db = mapleaf::Db::in_memory()?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn in_memory() -> Result<Db> {
        Db::options().in_memory()
    }

    /// Begins a write transaction, once no other one is open: there is one at a time, in all processes. So a
    /// thread that has one open, and begins another, waits for ever. Those who wait have their turns in the order in
    /// which they came: the threads of a handle, and the handles of all processes.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`](crate::Error::ReadOnly), [`Error::Poisoned`](crate::Error::Poisoned) after a failed
    /// sync, [`Error::Truncated`](crate::Error::Truncated) if somebody has cut the file,
    /// [`Error::Replaced`](crate::Error::Replaced) if another file has its name or that of the lock file by now,
    /// [`Error::HeldOff`](crate::Error::HeldOff) if for five seconds a process reads the file that may not write the
    /// lock file,
    /// [`Error::Forked`](crate::Error::Forked) in a forked child.
    pub fn write(&self) -> Result<WriteTxn> {
        let transaction = Transaction::begin(&self.handle, Wait::Forever)?;
        Ok(WriteTxn::new(transaction.expect("without a deadline it waits until the seat is free")))
    }

    /// Begins a write transaction if no other one is open, and nobody waits for one; `None` otherwise. Errors are those
    /// of [`Db::write`].
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

    /// Begins a write transaction, if it is this one's turn within `timeout`; `None` if not. While it waits it has its
    /// place among those who wait, as with [`Db::write`]; but it notices a millisecond late that its turn has
    /// come, if another process had it before. Errors are those of [`Db::write`], with
    /// [`Error::HeldOff`](crate::Error::HeldOff) also after a shorter timeout.
    pub fn write_timeout(&self, timeout: Duration) -> Result<Option<WriteTxn>> {
        let deadline = Instant::now().checked_add(timeout);
        let wait = deadline.map_or(Wait::Forever, Wait::Until);
        Ok(Transaction::begin(&self.handle, wait)?.map(WriteTxn::new))
    }

    /// Runs `work` in a write transaction: commits durably if it answers `Ok`, aborts otherwise. Errors are those of
    /// `work`, of [`Db::write`] and of [`WriteTxn::commit`].
    ///
    /// ```
    /// use mapleaf::{Db, Error, Table};
    /// const HITS: Table<u64, u64> = Table::new("hits");
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| { tx.table(&HITS)?.insert(7, 1)?; Ok(()) })?;
    ///
    /// let refused = db.update(|tx| {
    ///     tx.table(&HITS)?.clear()?;
    ///     Err::<(), _>(Error::TransactionFailed)
    /// });
    /// assert!(refused.is_err());
    /// assert_eq!(db.read()?.table(&HITS)?.get(7)?, Some(1));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn update<T>(&self, work: impl FnOnce(&WriteTxn) -> Result<T>) -> Result<T> {
        let tx = self.write()?;
        let value = work(&tx)?;
        tx.commit_with(Durability::Durable)?;
        Ok(value)
    }

    /// Begins a read transaction: a snapshot that does not change. Never waits, and nobody waits for it.
    ///
    /// A snapshot keeps the pages that it alone still needs from being used again; end it when it is not
    /// needed any more.
    ///
    /// # Errors
    ///
    /// [`Error::ReadersFull`](crate::Error::ReadersFull) if there are 16384 read transactions already, in all
    /// processes; [`Error::Forked`](crate::Error::Forked) in a forked child.
    #[inline]
    pub fn read(&self) -> Result<ReadTxn> {
        Ok(ReadTxn::new(SnapshotReader::begin(&self.handle)?))
    }

    /// Runs `work` in a read transaction.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
    /// let hits = db.view(|rx| rx.table(&HITS)?.get(7))?;
    /// assert_eq!(hits, Some(1));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn view<T>(&self, work: impl FnOnce(&ReadTxn) -> Result<T>) -> Result<T> {
        work(&self.read()?)
    }

    /// Makes every commit up to now durable: those with [`Durability::Lazy`], and deferred ones.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) if the sync fails, and [`Error::Poisoned`](crate::Error::Poisoned) from
    /// then on: what is on the disk is unknown until the database is opened again.
    pub fn sync(&self) -> Result<()> {
        let core = &self.handle.core;
        core.check_writable()?;
        core.sync_everything()?;
        core.bury_dead_and_cut();
        Ok(())
    }

    /// Sizes and positions of the database, now.
    ///
    /// ```
    /// let db = mapleaf::Db::in_memory()?;
    /// let stats = db.stats()?;
    /// assert_eq!((stats.tables, stats.readers), (0, 0));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn stats(&self) -> Result<Stats> {
        Stats::of(self)
    }

    /// Live read transactions, in all processes, the oldest snapshot first: who keeps pages from being used again. The
    /// last entry may be of readers that are not seen, and keep writers from writing
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

    /// Sleeps until a transaction newer than `after` is visible, by whatever process; answers the newest
    /// visible one. `None` if there is none within `timeout`; without a timeout it waits for as long as it takes.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`](crate::Error::Poisoned) after a failed sync, for then nobody commits any more;
    /// [`Error::Forked`](crate::Error::Forked) in a forked child.
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
    /// assert_eq!(db.wait_for_commit(seen, None)?, Some(seen + 1));
    /// # writer.join().unwrap()?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn wait_for_commit(&self, after: u64, timeout: Option<Duration>) -> Result<Option<u64>> {
        watch::wait_for_commit(
            &self.handle.core,
            after,
            timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
        )
    }

    /// An iterator over commits from now on, in whatever process they are made. See [`Watch`]. What is committed
    /// between reading and this call is not told: for that there is [`Db::watch_from`].
    pub fn watch(&self) -> Watch {
        self.watch_from(self.handle.core.shared.visible().0)
    }

    /// An iterator over commits newer than transaction `after`: with the id of what has been read, nothing is missed
    /// between reading and watching. If there is a newer one already, the first item is there at once.
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
    /// // What is committed here, by whomever, is an item of `commits`.
    /// commits.next().transpose()?;
    /// colour = db.view(|rx| Ok(rx.table(&SETTINGS)?.get("colour")?.map(str::to_owned)))?;
    /// assert_eq!(colour.as_deref(), Some("green"));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn watch_from(&self, after: u64) -> Watch {
        Watch::new(&self.handle, after)
    }

    /// Checks the whole database: every page, every checksum, every order and count, and that each page of the file
    /// is exactly one of reachable, retired or free. Reads the file once. Writers wait meanwhile; readers
    /// do not. A handle that was opened read-only makes nobody wait: it checks a snapshot, as a reader.
    ///
    /// # Errors
    ///
    /// Damage is what the report is for. An error means that checking itself could not be done. With a read-only
    /// handle that is [`Error::Io`](crate::Error::Io), with [`TimedOut`](std::io::ErrorKind::TimedOut), while the
    /// newest commit is not synced and nobody is there to do it, after a process was killed: the next writer does it.
    ///
    /// ```
    /// let db = mapleaf::Db::in_memory()?;
    /// let report = db.check()?;
    /// assert!(report.is_clean(), "{:?}", report.problems());
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn check(&self) -> Result<CheckReport> {
        self.check_with(|_| {})
    }

    /// As [`Db::check`]; `progress` is called for each page or run of pages that has been found, with the counts so far
    /// and the file's total.
    ///
    /// ```
    /// let db = mapleaf::Db::in_memory()?;
    /// let report = db.check_with(|so_far| println!("{} leaves of {} pages", so_far.leaves, so_far.total))?;
    /// assert!(report.is_clean());
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn check_with(&self, mut progress: impl FnMut(&PageCounts)) -> Result<CheckReport> {
        check::check(&self.handle.core, &mut |_, counts| progress(counts))
    }

    /// As [`Db::check`]; `each` is told what each page is used for: pages of trees in the order of their keys, then
    /// those of free space. In a sound file it hears of every page once; of one that is damaged or lost it does not
    /// hear.
    ///
    /// ```
    /// use mapleaf::{Db, PageRole, Table};
    /// const HITS: Table<u64, u64> = Table::new("hits");
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| (0..1000).try_for_each(|key| tx.table(&HITS)?.insert(key, 0).map(drop)))?;
    /// let (mut leaves, mut pages) = (0, 0);
    /// let report = db.check_pages(|page| {
    ///     pages += page.count;
    ///     leaves += u32::from(page.role == PageRole::Leaf && page.table == Some("hits"));
    /// })?;
    /// assert_eq!((leaves, pages), (report.counts().leaves - 1, report.counts().total)); // one leaf is the catalog's
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn check_pages(&self, mut each: impl FnMut(&PageUse<'_>)) -> Result<CheckReport> {
        check::check(&self.handle.core, &mut |page, _| each(page))
    }

    /// Makes every commit durable and lets go of this handle. The file is closed when the last handle and transaction
    /// are gone; that too makes every commit durable, but cannot answer an error.
    ///
    /// # Errors
    ///
    /// Those of [`Db::sync`]; none if the database was opened for reading only.
    pub fn close(self) -> Result<()> {
        if self.handle.core.settings.read_only { Ok(()) } else { self.sync() }
    }

    /// Bytes in a page of this database.
    pub fn page_size(&self) -> usize {
        self.handle.core.pages.page_size
    }

    /// The longest key that a table of this database can hold, encoded, in bytes: half a page less 64.
    pub fn max_key_len(&self) -> usize {
        crate::format::page::max_key_len(self.page_size())
    }

    /// Tells the system how the file is going to be read from now on. See [`AccessPattern`].
    pub fn set_access_pattern(&self, pattern: AccessPattern) -> Result<()> {
        options::advise(&self.handle.core, pattern)
    }
}
