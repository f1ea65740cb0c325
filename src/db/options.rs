//! How a database is opened.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::db::Db;
use crate::error::Result;
#[cfg(any(test, feature = "sim"))]
use crate::sys::Storage;
use crate::sys::{Advice, WriteMode};
use crate::txn::database::{Database, DbHandle, Settings};
use crate::txn::open::OpenSettings;
use crate::txn::page_file::Verify;
use crate::txn::reader_info::{ReaderInfo, ReaderLimit};

/// How long the redo log may become by default, in bytes.
const DEFAULT_LOG_SIZE: u64 = 64 << 20;

/// How the file will be read: the advice that mapleaf gives to the system (`madvise`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum AccessPattern {
    /// Scattered lookups. The system reads nothing ahead, so memory holds only what was used. The default.
    #[default]
    Random,
    /// The system's own default.
    Normal,
    /// Scans. The system reads far ahead.
    Sequential,
}

pub(super) fn advise(core: &Database, pattern: AccessPattern) -> Result<()> {
    let advice = match pattern {
        AccessPattern::Random => Advice::Random,
        AccessPattern::Normal => Advice::Normal,
        AccessPattern::Sequential => Advice::Sequential,
    };
    core.pages.storage.mapping().advise(advice).map_err(core.pages.io_error("advise on"))
}

/// How to open or create a database. Made by [`Db::options`].
///
/// ```
/// use mapleaf::{Db, Verify};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.mapleaf");
/// let db = Db::options()
///     .page_size(8192)
///     .max_size(1 << 36)
///     .verify(Verify::FirstTouch)
///     .open(&path)?;
/// # drop(db);
/// let db = Db::options().read_only(true).open(&path)?;
/// assert!(db.write().is_err());
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `open` is called"]
pub struct OpenOptions {
    settings: OpenSettings,
    access_pattern: AccessPattern,
    huge_pages: bool,
    reader_limit: Option<ReaderLimit>,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions {
            settings: OpenSettings {
                page_size: None,
                create: true,
                mode: None,
                write_mode: WriteMode::default(),
                verify: Verify::default(),
                any_file_system: false,
                settings: Settings {
                    read_only: false,
                    dirty_memory: None,
                    max_size: None,
                    log_size: DEFAULT_LOG_SIZE,
                    write_timeout: None,
                    syncs_in_background: true,
                },
            },
            access_pattern: AccessPattern::default(),
            huge_pages: false,
            reader_limit: None,
        }
    }
}

impl OpenOptions {
    /// Sets the size of a page, in bytes: a power of two from 4096 (the default) to 65536. It is fixed when the file
    /// is created. Opening an existing file with another size returns
    /// [`Error::PageSizeMismatch`](crate::Error::PageSizeMismatch).
    ///
    /// Larger pages hold longer keys and make trees flatter. Smaller ones make small commits cheaper.
    pub fn page_size(mut self, bytes: usize) -> OpenOptions {
        self.settings.page_size = Some(bytes);
        self
    }

    /// Opens the database for reading only. The data file is neither created nor written; except that after a crash, if
    /// this is the first handle and the process may write the file, the redo log is replayed, as any other handle would
    /// do it. A process that may not write the file replays the log in its own memory.
    ///
    /// This also works on a read-only file system, and without permission to write the lock file. But other processes
    /// cannot see a reader that does not write the lock file. It therefore cannot open a database that others have
    /// open, and no process can write while it has the database open. The same holds for the first reader after a
    /// crash, which replays the redo log in its own memory.
    pub fn read_only(mut self, read_only: bool) -> OpenOptions {
        self.settings.settings.read_only = read_only;
        self
    }

    /// Sets whether a missing or empty file becomes a database (the default) or is an error.
    pub fn create(mut self, create: bool) -> OpenOptions {
        self.settings.create = create;
        self
    }

    /// Sets the mode of a file that is created, as for `open(2)`: 0666 by default. The system removes the bits of the
    /// process's umask. The mode must allow the owner to read and write (0600), and may have no bits other than those
    /// for reading and writing. An existing file keeps its mode.
    ///
    /// Every file that is made beside or from a database gets the mode of the data file: the lock file, copies,
    /// increments, restored and salvaged databases. If root makes the file, it also gets the data file's owner and
    /// group. If a user who does not own the data file makes it, and cannot give it to the data file's group, the
    /// mode is reduced accordingly.
    ///
    /// ```
    /// use std::os::unix::fs::PermissionsExt;
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("private.mapleaf");
    /// let db = mapleaf::Db::options().mode(0o600).open(&path)?;
    /// assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn mode(mut self, mode: u32) -> OpenOptions {
        self.settings.mode = Some(mode);
        self
    }

    /// Sets how commits store their pages. See [`WriteMode`].
    pub fn write_mode(mut self, mode: WriteMode) -> OpenOptions {
        self.settings.write_mode = mode;
        self
    }

    /// Sets when checksums are verified. See [`Verify`].
    pub fn verify(mut self, verify: Verify) -> OpenOptions {
        self.settings.verify = verify;
        self
    }

    /// Sets the maximum length to which this handle lets the file grow, in bytes: 1 MiB at least. A change that needs
    /// more returns [`Error::Full`](crate::Error::Full).
    ///
    /// The handle reserves that much address space, which costs no memory. Without this option it reserves 1 TiB
    /// while the process's reservations are below 32 TiB, 64 GiB while they are below 96 TiB, and 1 GiB after that,
    /// but at least four times the file's length. A thousand open databases thus leave addresses to the program.
    /// Where the system refuses, the handle tries half of it, and so on. If the file outgrows the reservation, the
    /// handle returns [`Error::MappingTooSmall`](crate::Error::MappingTooSmall), and a new opening reserves more.
    pub fn max_size(mut self, bytes: u64) -> OpenOptions {
        self.settings.settings.max_size = Some(bytes);
        self
    }

    /// Allows a database on a file system that other machines or a server may also use, such as NFS, SMB, 9p or FUSE.
    /// They are refused otherwise.
    ///
    /// The database must then be open on one machine only, and the file system must keep this machine's mappings and
    /// writes coherent (9p without a cache does not). Otherwise values are wrong, without an error. Whether a sync is
    /// durable depends on the server.
    pub fn any_file_system(mut self, allowed: bool) -> OpenOptions {
        self.settings.any_file_system = allowed;
        self
    }

    /// Sets how many bytes of changed pages a write transaction holds in memory, approximately. The default is an
    /// eighth of the memory that the system or the process's control groups allow, and 64 MiB at least; it is 256 MiB
    /// where the system does not report its memory.
    ///
    /// A larger transaction stores some of its pages before it commits, and stores a page again if it changes it
    /// again. Beyond this size, changes in random order therefore become several times slower. A bulk load
    /// ([`TableMut::bulk_load`](crate::TableMut::bulk_load)) also holds entries of up to half this size.
    pub fn dirty_memory(mut self, bytes: usize) -> OpenOptions {
        self.settings.settings.dirty_memory = Some(bytes);
        self
    }

    /// Sets how long [`Db::write`], [`Db::update`], [`Db::check`], [`Db::compact`] and [`Db::shrink`] wait for other
    /// write transactions. After that they return [`Error::WriteTimedOut`](crate::Error::WriteTimedOut). By default
    /// they wait for any time.
    ///
    /// [`Db::write_timeout`] and [`UpdateOptions::timeout`](crate::UpdateOptions::timeout) set the timeout of one call.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mapleaf::{Db, Error};
    ///
    /// let db = Db::options().write_timeout(Duration::from_millis(1)).in_memory()?;
    /// let first = db.write()?;
    /// std::thread::scope(|scope| {
    ///     let second = scope.spawn(|| db.update(|_| Ok(()))).join().unwrap();
    ///     assert!(matches!(second, Err(Error::WriteTimedOut { .. })));
    /// });
    /// # first.abort();
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn write_timeout(mut self, timeout: Duration) -> OpenOptions {
        self.settings.settings.write_timeout = Some(timeout);
        self
    }

    /// Sets how the file will be read. See [`AccessPattern`].
    pub fn access_pattern(mut self, pattern: AccessPattern) -> OpenOptions {
        self.access_pattern = pattern;
        self
    }

    /// Asks the system to map the file with huge pages. Large files that are mostly read then cause fewer misses in
    /// the processor's address cache. Off by default. Where the system cannot do it, this has no effect.
    pub fn huge_pages(mut self, huge_pages: bool) -> OpenOptions {
        self.huge_pages = huge_pages;
        self
    }

    /// Sets how long the redo log may become, in bytes: 64 MiB by default. The log lies in the data file. It is short
    /// at first, and grows with the file and with what is committed between two checkpoints.
    ///
    /// With 0 there is no log: each commit waits until all pages that have changed are durable, a lazy one too. That
    /// makes small commits slower, and the file smaller. A database that has a log keeps it until it is opened by a
    /// single handle whose log size is 0.
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// let db = mapleaf::Db::options().log_size(4 << 20).open(folder.path().join("small.mapleaf"))?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn log_size(mut self, bytes: u64) -> OpenOptions {
        self.settings.settings.log_size = bytes;
        self
    }

    /// Sets a callback for stale readers: it is called once with each reader, of any process, that has been reading
    /// for longer than `max_age`. A thread that begins a write transaction calls it before it takes the writer lock.
    ///
    /// The application decides what to do: mapleaf never reuses pages that a live reader needs. The callback may read
    /// and write the database. A panic in it propagates out of `write` and leaves the database unchanged.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let db = mapleaf::Db::options()
    ///     .on_stale_reader(Duration::from_secs(60), |reader| {
    ///         eprintln!("process {} has been reading for {:?}", reader.pid, reader.age);
    ///     })
    ///     .in_memory()?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn on_stale_reader(
        mut self,
        max_age: Duration,
        callback: impl Fn(&ReaderInfo) + Send + Sync + 'static,
    ) -> OpenOptions {
        self.reader_limit = Some(ReaderLimit { max_age, callback: Arc::new(callback) });
        self
    }

    /// Opens or creates the database at `path`.
    ///
    /// # Errors
    ///
    /// Those of [`Db::open`]; [`Error::InvalidOption`](crate::Error::InvalidOption) if an option has an invalid
    /// value; [`Error::PageSizeMismatch`](crate::Error::PageSizeMismatch).
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Db> {
        self.finish(self.settings.open(path.as_ref())?)
    }

    /// Creates a database in memory. See [`Db::in_memory`].
    pub fn in_memory(&self) -> Result<Db> {
        self.finish(self.settings.open_in_memory()?)
    }

    /// Opens the database in a simulated file, without a helper thread.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn open_simulated(&self, storage: Box<dyn Storage>) -> Result<Db> {
        let mut settings = self.settings.clone();
        settings.settings.syncs_in_background = false;
        self.finish(settings.start_unshared(storage, Path::new("(simulated)"))?)
    }

    /// Returns the settings with which a database is opened and created.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn open_settings(&self) -> &OpenSettings {
        &self.settings
    }

    fn finish(&self, handle: Arc<DbHandle>) -> Result<Db> {
        let core = &handle.core;
        if let Some(limit) = &self.reader_limit {
            let _ = core.reader_limit.set(limit.clone()); // it is set once, here
        }
        advise(core, self.access_pattern)?;
        if self.huge_pages {
            let mapping = core.pages.storage.mapping();
            match mapping.huge_pages(true) {
                Err(error) if error.kind() == ErrorKind::Unsupported => {}
                other => other.map_err(core.pages.io_error("ask for huge pages for"))?,
            }
        }
        Ok(Db { handle })
    }
}
