//! Opening and creating: locks, the file, recovery, and the shared state at its start.
//!
//! Invariants:
//! - A new file appears under its name only when it is complete and durable (`sys::create_file`).
//! - Whoever may write holds the lock file exclusively, so nobody else has the database open.
//! - Nothing is changed before the file is known to be a database of ours, in a format that we know.

use std::io::ErrorKind;
use std::path::Path;

use parking_lot::Mutex;

use crate::base::TransactionId;
use crate::error::{Error, Result};
use crate::format::page::{MAX_PAGE_SIZE, MIN_PAGE_SIZE, is_page_size};
use crate::format::record::{Identity, RECORD_PAGES, Record};
use crate::format::table_root::TreeRoot;
use crate::share::heads::Snapshot;
use crate::share::{Shared, WORD_COUNT};
use crate::space::Space;
use crate::space::save::FreeLog;
use crate::sys::{self, Access, Advice, FileStorage, LockFile, LockKind, SharedWords, Storage, WriteMode};
use crate::txn::core::{Core, Head, Settings, WriterSeat, WriterState};
use crate::txn::fresh_pages::FreshPages;
use crate::txn::log::LogEnd;
use crate::txn::page_file::{PageFile, Verify};
use crate::txn::recover::{Recovered, Slots, SlotsError, read_slots};
use crate::txn::sync::SyncDesk;

/// How to open: the options, with their defaults filled in.
#[derive(Clone, Debug)]
pub(crate) struct OpenSettings {
    /// `None`: the file's own, 4096 for a new one.
    pub(crate) page_size: Option<usize>,
    pub(crate) create: bool,
    pub(crate) write_mode: WriteMode,
    pub(crate) verify: Verify,
    pub(crate) settings: Settings,
}

impl OpenSettings {
    fn check(&self) -> Result<()> {
        let invalid = |problem: String| Err(Error::InvalidOption { problem });
        if let Some(size) = self.page_size.filter(|&size| !is_page_size(size)) {
            return invalid(format!(
                "page_size is {size}; it must be a power of two from {MIN_PAGE_SIZE} to {MAX_PAGE_SIZE} bytes"
            ));
        }
        let least = (MAX_PAGE_SIZE * 16) as u64;
        if self.settings.max_size < least {
            return invalid(format!(
                "max_size is {} bytes; it must be {least} at least",
                self.settings.max_size
            ));
        }
        Ok(())
    }

    fn access(&self) -> Access {
        if self.settings.read_only { Access::ReadOnly } else { Access::ReadWrite }
    }

    /// Opens the database at `path`, which is created if it is not there.
    pub(crate) fn open(&self, path: &Path) -> Result<Core> {
        self.check()?;
        let io_error = |action| move |source| Error::Io { action, path: path.to_owned(), source };
        // A file that is not ours gets no lock file beside it.
        let exists = match self.open_storage(path) {
            Ok(storage) => read_slots(&storage).map(|_| true).map_err(|error| explain(error, path))?,
            Err(error) if error.kind() == ErrorKind::NotFound && self.create && !self.settings.read_only => {
                false
            }
            Err(error) => return Err(io_error("open")(error)),
        };
        let lock = self.lock(path)?;
        if !exists {
            match sys::create_file(path, &[&self.first_pages()?]) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(io_error("create")(error));
                }
                _ => {}
            }
        }
        let storage = self.open_storage(path).map_err(io_error("open"))?;
        self.start(Box::new(storage), path, lock)
    }

    /// A database in memory.
    pub(crate) fn open_in_memory(&self) -> Result<Core> {
        self.check()?;
        let path = Path::new("(memory)");
        let io_error = |action| move |source| Error::Io { action, path: path.to_owned(), source };
        let storage =
            FileStorage::in_memory(self.write_mode, self.settings.max_size).map_err(io_error("create"))?;
        let pages = self.first_pages()?;
        storage.grow(0, pages.len() as u64, false).map_err(io_error("make room in"))?;
        storage.write(0, &[&pages]).map_err(io_error("write"))?;
        self.start(Box::new(storage), path, None)
    }

    fn open_storage(&self, path: &Path) -> std::io::Result<FileStorage> {
        FileStorage::open(path, self.access(), self.write_mode, self.settings.max_size)
    }

    /// Locks out whoever may not be there at the same time: for a writer everybody, for a reader writers.
    fn lock(&self, path: &Path) -> Result<Option<LockFile>> {
        let lock = match LockFile::open(path) {
            // Where no lock file can be made nobody can be writing with one either: a read-only file system.
            Err(_) if self.settings.read_only => return Ok(None),
            other => other,
        };
        let kind = if self.settings.read_only { LockKind::Shared } else { LockKind::Exclusive };
        let io_error = |source| Error::Io { action: "lock", path: LockFile::path_for(path), source };
        let lock = lock.map_err(io_error)?;
        match lock.try_lock(kind).map_err(io_error)? {
            true => Ok(Some(lock)),
            false => Err(Error::InUse { path: path.to_owned() }),
        }
    }

    /// The record pages of a new database: one record, and an empty slot.
    pub(super) fn first_pages(&self) -> Result<Vec<u8>> {
        let page_size = self.page_size.unwrap_or(MIN_PAGE_SIZE);
        let log = LogEnd::from(&FreeLog::new(&Space::new(RECORD_PAGES)));
        let record = Record {
            page_size,
            identity: new_identity()?,
            id: TransactionId(1),
            length_pages: RECORD_PAGES,
            free_pages: 0,
            retired_pages: 0,
            catalog: TreeRoot::default(),
            log_page: log.page,
            log_tail: log.tail,
            listed: Vec::new(),
            digest: 0,
        };
        let mut pages = record.encode();
        pages.resize(RECORD_PAGES as usize * page_size, 0);
        Ok(pages)
    }

    /// Recovers, and sets the shared state to what was recovered.
    pub(super) fn start(
        &self,
        storage: Box<dyn Storage>,
        path: &Path,
        lock: Option<LockFile>,
    ) -> Result<Core> {
        let slots: Slots = read_slots(&*storage).map_err(|error| explain(error, path))?;
        if let Some(requested) = self.page_size.filter(|&size| size != slots.page_size) {
            return Err(Error::PageSizeMismatch { requested, found: slots.page_size });
        }
        let pages = PageFile::new(storage, slots.page_size, path, self.verify)?;
        // Recovery looks at single pages here and there: without this, each brings what is read ahead along.
        pages.storage.mapping().advise(Advice::Random).map_err(pages.io_error("advise on"))?;
        let Recovered { record, slot, next_id, .. } = slots.recover(&pages, self.settings.read_only)?;
        let words = SharedWords::anonymous(WORD_COUNT).map_err(pages.io_error("share memory for"))?;
        let shared = Shared::new(words);
        let snapshot = Snapshot { id: record.id, length_pages: record.length_pages, catalog: record.catalog };
        shared.start_at(&snapshot);
        // A file that is longer than its record was left so by a crash: its end may be cut off.
        let shrunk_in = (pages.existing_pages() > record.length_pages).then_some(record.id);
        let log = LogEnd { page: record.log_page, tail: record.log_tail };
        Ok(Core {
            pages,
            shared,
            identity: record.identity,
            settings: self.settings,
            seat: WriterSeat::new(WriterState { log: None, next_id, shrunk_in }),
            head: Mutex::new(Head {
                snapshot,
                log,
                fresh: FreshPages::default(),
                free_pages: record.free_pages,
                retired_pages: record.retired_pages,
            }),
            sync: SyncDesk::new(slot),
            lock,
        })
    }
}

fn new_identity() -> Result<Identity> {
    sys::random_bytes().map_err(|source| Error::Io {
        action: "get random bytes from",
        path: "the system".into(),
        source,
    })
}

fn explain(error: SlotsError, path: &Path) -> Error {
    match error {
        SlotsError::Io(source) => Error::Io { action: "read", path: path.to_owned(), source },
        SlotsError::Unusable(error) => error,
        SlotsError::Foreign(found) => Error::NotADatabase { path: path.to_owned(), found },
    }
}
