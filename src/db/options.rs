//! OpenOptions for opening.

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

/// How the file is going to be read: what the system is told of it (`madvise`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AccessPattern {
    /// Lookups here and there: nothing is read ahead, so that memory holds what was asked for. The default.
    #[default]
    Random,
    /// The system's own mixture.
    Normal,
    /// Scans: much is read ahead.
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
    /// Bytes in a page: a power of two from 4096 (the default) to 65536. Fixed when the file is created; for
    /// a file that is there, a size that differs from its own is
    /// [`Error::PageSizeMismatch`](crate::Error::PageSizeMismatch).
    ///
    /// Larger pages hold longer keys and make trees flatter; smaller ones make small commits cheaper.
    pub fn page_size(mut self, bytes: usize) -> OpenOptions {
        self.settings.page_size = Some(bytes);
        self
    }

    /// Opens for reading only: no data file is created or written. Works on a read-only file system too, and without
    /// permission to write the lock file; but there such a reader cannot be seen by others. So it cannot be there while
    /// they have the database open, and keeps them from writing while it is.
    pub fn read_only(mut self, read_only: bool) -> OpenOptions {
        self.settings.settings.read_only = read_only;
        self
    }

    /// Whether a file that is not there is created (the default) or an error.
    pub fn create(mut self, create: bool) -> OpenOptions {
        self.settings.create = create;
        self
    }

    /// The mode of a file that is created, as `open` takes it: 0666 by default, of which the system takes the bits that
    /// the process's umask forbids. It must let the owner read and write (0600), and has no other bits than those for
    /// reading and writing. A file that is there keeps its own.
    ///
    /// What is made beside or from a database has the mode of the database's file: the lock file, copies, increments,
    /// restored and salvaged databases. If root makes it, it also has the file's owner and group. If a user makes it to
    /// whom the file does not belong, and who cannot give it to the file's group, the mode gives the less.
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

    /// How commits store their pages. See [`WriteMode`].
    pub fn write_mode(mut self, mode: WriteMode) -> OpenOptions {
        self.settings.write_mode = mode;
        self
    }

    /// When checksums are compared. See [`Verify`].
    pub fn verify(mut self, verify: Verify) -> OpenOptions {
        self.settings.verify = verify;
        self
    }

    /// Bytes that the file may grow to through this handle, 1 MiB at least. What would grow beyond is
    /// [`Error::Full`](crate::Error::Full).
    ///
    /// The handle reserves as much address space, which costs no memory. By default it reserves 1 TiB if few databases
    /// are open in the process (their reservations are below 32 TiB), 64 GiB while they are below 96 TiB, and 1 GiB
    /// after that; but at least four times the file's length. So a thousand databases leave addresses to the program.
    /// Where the system refuses as much, half of it is tried, and so on. A file that would outgrow the reservation, or
    /// that another handle has made longer than it, is
    /// [`Error::MappingTooSmall`](crate::Error::MappingTooSmall): opened again, the handle reserves more.
    pub fn max_size(mut self, bytes: u64) -> OpenOptions {
        self.settings.settings.max_size = Some(bytes);
        self
    }

    /// Allows a database on a file system that other machines, or a server, may use too: NFS, SMB, 9p, FUSE and the
    /// like, which are refused otherwise. There it must be open on one machine only, and the file system must keep
    /// mappings and stores of this machine in step (9p without a cache does not): otherwise values are wrong without an
    /// error. What a sync is worth there is the server's matter.
    pub fn any_file_system(mut self, allowed: bool) -> OpenOptions {
        self.settings.any_file_system = allowed;
        self
    }

    /// Bytes of changed pages that a write transaction may hold in memory, about: by default an eighth of the memory
    /// that the system or the process's control groups give it, and 64 MiB at least; 256 MiB where the system does not
    /// say. A larger transaction stores some of its pages before it commits, and a page that it changes again after
    /// that is stored again: changes in random order become several times slower beyond this. A bulk load
    /// ([`TableMut::bulk_load`](crate::TableMut::bulk_load)) holds up to half as much of entries besides.
    pub fn dirty_memory(mut self, bytes: usize) -> OpenOptions {
        self.settings.settings.dirty_memory = Some(bytes);
        self
    }

    /// How the file is going to be read. See [`AccessPattern`].
    pub fn access_pattern(mut self, pattern: AccessPattern) -> OpenOptions {
        self.access_pattern = pattern;
        self
    }

    /// Asks the system to map the file with huge pages where it can: fewer misses in the processor's address cache, for
    /// large files that are mostly read. Off by default. Where it cannot, this does nothing.
    pub fn huge_pages(mut self, huge_pages: bool) -> OpenOptions {
        self.huge_pages = huge_pages;
        self
    }

    /// Has `callback` called with each reader, of any process, that has been reading for longer than `max_age`:
    /// once for each, by a thread that begins a write transaction, before its turn to write. What to do is the
    /// application's to decide: mapleaf never takes pages from under a reader that lives. The callback may use the
    /// database, and write to it. A panic in it is a panic of `write`, and leaves the database as it was.
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

    /// Opens the database at `path`. See [`Db::open`] for the errors; and
    /// [`Error::InvalidOption`](crate::Error::InvalidOption), if an option has a value that cannot be used.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Db> {
        self.finish(self.settings.open(path.as_ref())?)
    }

    /// Makes a database in memory.
    pub fn in_memory(&self) -> Result<Db> {
        self.finish(self.settings.open_in_memory()?)
    }

    /// Opens the database in a simulated file. No thread works for it.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn open_simulated(&self, storage: Box<dyn Storage>) -> Result<Db> {
        let mut settings = self.settings.clone();
        settings.settings.syncs_in_background = false;
        self.finish(settings.start_unshared(storage, Path::new("(simulated)"))?)
    }

    /// How a database with these options is opened and created.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn open_settings(&self) -> &OpenSettings {
        &self.settings
    }

    fn finish(&self, mut core: Database) -> Result<Db> {
        core.reader_limit = self.reader_limit.clone();
        advise(&core, self.access_pattern)?;
        if self.huge_pages {
            let mapping = core.pages.storage.mapping();
            match mapping.huge_pages(true) {
                Err(error) if error.kind() == ErrorKind::Unsupported => {}
                other => other.map_err(core.pages.io_error("ask for huge pages for"))?,
            }
        }
        Ok(Db { handle: Arc::new(DbHandle::new(core)) })
    }
}
