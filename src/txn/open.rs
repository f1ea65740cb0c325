//! Opening and creating: locks, the file, recovery, and the shared state at its start.
//!
//! Invariants:
//! - A new file appears under its name only when it is complete and durable (`sys::create_file`).
//! - One handle at a time holds the open lock. The first, when no other is open, recovers ([`crate::txn::recover`]); a
//!   later one joins what it finds, or is refused. A lock file that is stale, foreign or half-made is never believed.
//! - A handle is the first only if no other is seen on the data file, nor on the lock file. If handles use one of the
//!   two with another partner, a newcomer is refused: it would clear the memory of live handles.
//! - Nothing is changed before the file is known to be a mapleaf database in a known format.
//! - The file's name is durable before a commit can be: recovery, which comes before the first commit through a lock
//!   file, syncs the folder. So it does not matter whether the process that gave the file its name has done that.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result};
use crate::format::meta::{FORMAT_VERSION, Identity, META_PAGES, MIN_BLOCK, Meta, RedoStart};
use crate::format::page::{MAX_PAGE_SIZE, MIN_PAGE_SIZE, is_page_size};
use crate::format::tree_root::TreeRoot;
use crate::shm::owner::{FIRST_BYTES, SharedOwner, check_lock_file};
use crate::shm::{FIRST_WORD_COUNT, SharedMemory, WORD_COUNT};
use crate::space::Space;
use crate::space::save::FreeLog;
use crate::sys::{
    self, Access, Advice, FileStorage, ForkMark, LockFile, Locks, Reservation, Rights, SharedWords, Storage,
    WriteMode, status_at,
};
use crate::txn::database::{Database, DbHandle, FIRST_TRANSACTION, Settings};
use crate::txn::file_locks::{self, FileLocks, Others, Wait};
use crate::txn::not_a_database::no_meta_page;
use crate::txn::page_file::{PageFile, Verify};
use crate::txn::recover::{Recovery, Slots, SlotsError, read_slots};
use crate::txn::sync_state::SyncState;
use crate::txn::write::Transaction;
use crate::txn::writer_lock::WriterLock;

/// How often the files may be replaced while they are opened. On a file system that gives a file another inode number
/// each time that it is asked, they always seem to be replaced.
const OPEN_TRIES: u32 = 100;

const ANOTHER_DATA_FILE: &str = "handles that are open use its lock file with another file";

/// How often a path is resolved before opening gives up on it as always changing.
const FIND_TRIES: usize = 8;

/// How an attempt to open ends that meets no error.
pub(super) enum Outcome {
    Opened(Arc<DbHandle>),
    /// A file was removed or replaced meanwhile.
    FilesChanged,
    /// The log must be replayed first, which a read-only handle may not do in the file.
    LogToReplay,
}

/// How to open: the options, with their defaults filled in.
#[derive(Clone, Debug)]
pub(crate) struct OpenSettings {
    /// `None`: the file's own, 4096 for a new one.
    pub(crate) page_size: Option<usize>,
    pub(crate) create: bool,
    /// The mode of a new file, as for `open`. `None`: 0666.
    pub(crate) mode: Option<u32>,
    pub(crate) write_mode: WriteMode,
    pub(crate) verify: Verify,
    /// Also allows a file system that other machines may use.
    pub(crate) any_file_system: bool,
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
        if let Some(max_size) = self.settings.max_size.filter(|&max_size| max_size < least) {
            return invalid(format!("max_size is {max_size} bytes; it must be {least} at least"));
        }
        if let Some(mode) = self.mode.filter(|mode| mode & !0o666 != 0 || mode & 0o600 != 0o600) {
            return invalid(format!(
                "mode is {mode:o}; it must let the owner read and write, and must not let others do more than that"
            ));
        }
        Ok(())
    }

    /// The rights of a new file.
    fn rights_of_new(&self) -> Rights {
        self.mode.map_or_else(Rights::default, Rights::new)
    }

    fn access(&self) -> Access {
        if self.settings.read_only { Access::ReadOnly } else { Access::ReadWrite }
    }

    /// Opens the database at `path`, which is created if it does not exist.
    pub(crate) fn open(&self, path: &Path) -> Result<Arc<DbHandle>> {
        self.check()?;
        let (path, rights) = &self.find(path)?;
        let mut has_recovered = false;
        for _ in 0..OPEN_TRIES {
            let lock = match self.open_lock_file(path, *rights) {
                Err(error) if self.settings.read_only && keeps_from_being_seen(&error) => {
                    return self.open_unseen(path);
                }
                // Neither file exists, nor can be created: the user knows the database, not the lock file.
                Err(source) if !path.exists() && LockFile::path_for(path).symlink_metadata().is_err() => {
                    return Err(Error::io("create", path, source));
                }
                other => other.map_err(lock_file_error(path, "open"))?,
            };
            match self.open_with(path, lock) {
                // The lock file exists, but the disk is too full for its content, or locks need more than the file.
                Err(Error::Io { source, .. })
                    if self.settings.read_only
                        && (is_full(&source) || source.kind() == ErrorKind::PermissionDenied) =>
                {
                    return self.open_unseen(path);
                }
                Ok(Outcome::Opened(handle)) => return Ok(handle),
                Ok(Outcome::FilesChanged) => {}
                // Once: what a damaged file is recovered to may be no state that a reader accepts.
                Ok(Outcome::LogToReplay) if !has_recovered && self.recover_if_permitted(path) => {
                    has_recovered = true;
                }
                Ok(Outcome::LogToReplay) => match self.open_private(path) {
                    Err(Error::InUse { .. }) => {} // a handle has come that may write, and replays the log
                    other => return other,
                },
                Err(error) => return Err(error),
            }
        }
        Err(Error::Replaced {
            path: path.to_owned(),
            problem: "each time it is opened another file has its name",
        })
    }

    /// Recovers the database for a handle that only reads, if the process may write it. Otherwise each such handle
    /// would replay the log for itself, and hold writers off.
    fn recover_if_permitted(&self, path: &Path) -> bool {
        let mut writing = self.clone();
        (writing.create, writing.settings.read_only) = (false, false);
        writing.open(path).is_ok()
    }

    /// The file that `path` means, by a path without links, and its rights: it is a database, so it may have a lock
    /// file beside it. If it does not exist, the path and the rights that it is to have. The path is resolved once:
    /// one file has one lock file, by whatever link it is opened, and wherever links and the process go later.
    fn find(&self, path: &Path) -> Result<(PathBuf, Rights)> {
        let io_error = |action| move |source| Error::io(action, path, source);
        for _ in 0..FIND_TRIES {
            // This uses the path as it is: the system has rules about whose links it follows. Nothing is mapped: the
            // file may be no database, and to map it for writing fills its holes.
            let opened = FileStorage::open(path, self.access(), WriteMode::Syscall, Reservation::Nothing);
            let storage = match opened.and_then(|storage| self.check_file_system(storage)) {
                Ok(storage) => Some(storage),
                Err(error) if error.kind() == ErrorKind::NotFound && self.may_create() => None,
                Err(error) => return Err(io_error("open")(error)),
            };
            if let Some(storage) = &storage {
                let is_to_be_filled =
                    self.may_create() && storage.file_length().is_ok_and(|length| length == 0);
                if !is_to_be_filled {
                    read_slots(storage).map_err(|error| explain(error, storage, path))?;
                }
            }
            let action = if storage.is_some() { "find" } else { "create" };
            let resolved = sys::resolve(path).map_err(io_error(action))?;
            if storage.is_none() && !self.any_file_system {
                sys::check_folder_of(&resolved).map_err(io_error(action))?; // before a lock file is created there
            }
            match (storage, status_at(&resolved)) {
                (Some(storage), Ok(found)) if found.identity == storage.identity() => {
                    let rights = Rights::of(storage.file()).map_err(io_error("examine"))?;
                    return Ok((resolved, rights));
                }
                (None, Err(error)) if error.kind() == ErrorKind::NotFound => {
                    return Ok((resolved, self.rights_of_new()));
                }
                _ => {} // a link was switched, or the file came or went
            }
        }
        Err(Error::Replaced { path: path.to_owned(), problem: "each time another file has its name" })
    }

    fn may_create(&self) -> bool {
        self.create && !self.settings.read_only
    }

    /// Opens the lock file, and creates it if there is none. Only a process that may write the database creates it:
    /// the file belongs to its creator, and other users, the database's owner among them, have the rights to it that
    /// the mode of the database gives them.
    fn open_lock_file(&self, path: &Path, rights: Rights) -> std::io::Result<LockFile> {
        if self.settings.read_only && !rights.is_own() && !sys::may_write(path) {
            return LockFile::open(path, rights);
        }
        LockFile::open_or_create(path, rights, &FIRST_BYTES)
    }

    /// Makes a database of an empty file that is to become `path` and that no other process can open, and opens it.
    pub(crate) fn create_in(&self, file: &File, path: &Path) -> Result<Arc<DbHandle>> {
        self.check()?;
        let io_error = |source| Error::io("create", path, source);
        sys::store_at(file, 0, &self.first_pages(new_identity()?)?).map_err(io_error)?;
        let file = file.try_clone().map_err(io_error)?;
        let storage = FileStorage::of_file(file, Access::ReadWrite, self.settings.max_size);
        self.start_unshared(Box::new(storage.map_err(io_error)?), path)
    }

    /// Opens, holding the open lock.
    fn open_with(&self, path: &Path, lock: LockFile) -> Result<Outcome> {
        let io_error = |action| move |source| Error::io(action, path, source);
        let locking = |source| lock_file_error(path, "lock")(source);
        file_locks::lock_open(&lock).map_err(locking)?;
        lock.file().and_then(check_lock_file).map_err(locking)?;
        if self.may_create() {
            self.create_if_missing(path, &lock)?;
        }
        let mut storage = self.open_storage(path).map_err(io_error("open"))?;
        let rights = Rights::of(storage.file()).map_err(io_error("examine"))?;
        lock.set_rights(rights).map_err(locking)?;
        match storage.open_for_checkpoints(path).and_then(|()| storage.open_for_locks(path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Outcome::FilesChanged),
            data => self.join(path, lock, data.map_err(io_error("open"))?, Box::new(storage)),
        }
    }

    /// Creates the database file, unless it has contents. The open lock is held.
    fn create_if_missing(&self, path: &Path, lock: &LockFile) -> Result<()> {
        let io_error = |source| Error::io("create", path, source);
        let is_empty = match sys::is_empty_file(path) {
            Ok(false) => return Ok(()),
            Ok(true) => true, // of `touch` or `mktemp`, for instance
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(io_error(error)),
        };
        if file_locks::is_lock_file_in_use(lock).map_err(lock_file_error(path, "lock"))? {
            return Err(Error::Replaced { path: path.to_owned(), problem: ANOTHER_DATA_FILE });
        }
        let pages = self.first_pages(new_identity()?)?;
        let created = match is_empty {
            true => {
                let file = File::open(path).map_err(io_error)?;
                let rights = Rights::of(&file).map_err(io_error)?;
                sys::create_over_empty_file(path, rights, &[&pages])
            }
            false => sys::create_file(path, self.rights_of_new(), &[&pages]),
        };
        match created {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(io_error(error)),
            _ => Ok(()),
        }
    }

    /// The rest of opening: `data` is the file of `storage`. The caller holds the open lock.
    pub(super) fn join(
        &self,
        path: &Path,
        lock: LockFile,
        data: Locks,
        storage: Box<dyn Storage>,
    ) -> Result<Outcome> {
        let locking = |source| lock_file_error(path, "lock")(source);
        let locks = FileLocks::enter(lock, data).map_err(locking)?;
        // From here on a handle that comes by another lock file sees this one.
        if locks.check_names(path).is_err() {
            return Ok(Outcome::FilesChanged);
        }
        let is_alone = match locks.others().map_err(locking)? {
            Others::None => true,
            Others::UseBothFiles => false,
            Others::UseAnotherLockFile => return Err(another_lock_file(path)),
            Others::UseAnotherDataFile => {
                return Err(Error::Replaced { path: path.to_owned(), problem: ANOTHER_DATA_FILE });
            }
        };
        let memory = match locks.lock_file().open_memory() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Outcome::FilesChanged),
            memory => memory.map_err(lock_file_error(path, "open"))?,
        };
        let words = SharedWords::of_file(memory, FIRST_WORD_COUNT, WORD_COUNT, is_alone)
            .map_err(lock_file_error(path, "map"))?;
        let Some(handle) = self.start(storage, path, SharedMemory::new(words), Some(locks), is_alone)? else {
            return Ok(Outcome::LogToReplay);
        };
        let locks = handle.core.locks.as_ref().expect("it was given to the database");
        file_locks::unlock_open(locks.lock_file()).map_err(locking)?;
        Ok(Outcome::Opened(handle))
    }

    /// Opens for reading where no lock file can be written: on a read-only file system, or without permission. Other
    /// handles do not see such a reader. So it holds writers off as long as it is open, and is refused while another
    /// handle has the database open.
    fn open_unseen(&self, path: &Path) -> Result<Arc<DbHandle>> {
        let io_error = |action| move |source| Error::io(action, path, source);
        let mut storage = self.open_storage(path).map_err(io_error("open"))?;
        keep_others_out(&mut storage, path)?;
        match self.start_unshared_if_read(Box::new(storage), path)? {
            Some(handle) => Ok(handle),
            None => self.open_private(path),
        }
    }

    /// Opens for reading after a crash, when no handle has come yet that may write: replays the log into memory of this
    /// handle. It holds writers off, and others do not see it.
    fn open_private(&self, path: &Path) -> Result<Arc<DbHandle>> {
        let io_error = |action| move |source| Error::io(action, path, source);
        let storage = self.open_storage(path).map_err(io_error("open"))?;
        let held = hold_others_off(&storage, path)?;
        let private = storage.into_private(held, self.settings.max_size).map_err(io_error("map"))?;
        self.start_unshared(Box::new(private), path)
    }

    /// Opens a new database in memory.
    pub(crate) fn open_in_memory(&self) -> Result<Arc<DbHandle>> {
        self.check()?;
        let path = Path::new("(memory)");
        let io_error = |action| move |source| Error::io(action, path, source);
        let storage =
            FileStorage::in_memory(self.write_mode, self.settings.max_size).map_err(io_error("create"))?;
        let pages = self.first_pages(new_identity()?)?;
        storage.grow(0, pages.len() as u64, false).map_err(io_error("make room in"))?;
        storage.write(0, &[&pages]).map_err(io_error("write"))?;
        self.start_unshared(Box::new(storage), path)
    }

    fn open_storage(&self, path: &Path) -> std::io::Result<FileStorage> {
        FileStorage::open(path, self.access(), self.write_mode, self.settings.max_size)
            .and_then(|storage| self.check_file_system(storage))
    }

    fn check_file_system(&self, storage: FileStorage) -> std::io::Result<FileStorage> {
        if !self.any_file_system {
            storage.check_file_system()?;
        }
        Ok(storage)
    }

    /// The meta pages of a new database: one meta, and an empty slot.
    pub(crate) fn first_pages(&self, identity: Identity) -> Result<Vec<u8>> {
        let page_size = self.page_size.unwrap_or(MIN_PAGE_SIZE);
        let log = FreeLog::new(&Space::new(META_PAGES));
        let record = Meta {
            page_size,
            identity,
            id: FIRST_TRANSACTION,
            length_pages: META_PAGES,
            free_pages: 0,
            retired_pages: 0,
            catalog: TreeRoot::default(),
            log_page: log.newest_page(),
            log_tail: log.tail().to_vec(),
            redo: RedoStart { block: MIN_BLOCK, ..RedoStart::default() },
            listed: Vec::new(),
            digest: 0,
            version: FORMAT_VERSION,
        };
        let mut pages = record.encode();
        pages.resize(META_PAGES as usize * page_size, 0);
        Ok(pages)
    }

    /// Recovers a database that this handle has for itself.
    pub(crate) fn start_unshared(&self, storage: Box<dyn Storage>, path: &Path) -> Result<Arc<DbHandle>> {
        self.start_unshared_if_read(storage, path)?.ok_or(Error::ReadOnly)
    }

    /// The same. Returns `None` if the log must be replayed first, which a read-only handle may not do in the file.
    fn start_unshared_if_read(
        &self,
        storage: Box<dyn Storage>,
        path: &Path,
    ) -> Result<Option<Arc<DbHandle>>> {
        let io_error = |source| Error::io("reserve memory for", path, source);
        let words = SharedWords::anonymous(WORD_COUNT).map_err(io_error)?;
        self.start(storage, path, SharedMemory::new(words), None, true)
    }

    /// The pages of a file whose meta pages say that they have `page_size` bytes.
    fn page_file(&self, storage: Box<dyn Storage>, page_size: usize, path: &Path) -> Result<PageFile> {
        if let Some(requested) = self.page_size.filter(|&size| size != page_size) {
            return Err(Error::PageSizeMismatch { requested, found: page_size });
        }
        let pages = PageFile::new(storage, page_size, path, self.verify)?;
        // Recovery reads single pages at scattered places: without this, each read brings its neighbours along.
        pages.storage.mapping().advise(Advice::Random).map_err(pages.io_error("advise on"))?;
        Ok(pages)
    }

    /// Joins the handles that share the database. The first one sets the shared state to what recovery finds. Returns
    /// `None` if the log must be replayed first, which a read-only handle may not do in the file.
    fn start(
        &self,
        storage: Box<dyn Storage>,
        path: &Path,
        shared: SharedMemory,
        locks: Option<FileLocks>,
        is_alone: bool,
    ) -> Result<Option<Arc<DbHandle>>> {
        let slots: Slots = read_slots(&*storage).map_err(|error| explain(error, &*storage, path))?;
        let database = slots.identity();
        let pages = self.page_file(storage, slots.page_size, path)?;
        let file = pages.storage.identity();
        let boot = match locks {
            Some(_) => sys::boot_id().map_err(pages.io_error("ask for the boot id to open"))?,
            None => [0; 16], // no other process reads this memory
        };
        let identity = SharedOwner { boot, file, database };
        let recovery = self.begin_recovery(slots, &pages, &shared, locks.as_ref(), (&identity, is_alone))?;
        if recovery.is_some() && self.settings.read_only && !pages.storage.is_private() {
            return Ok(None);
        }
        let newest = shared.newest_snapshot()?;
        // L3. The file was opened before newest is read here. So bytes that others stored before the opening belong to
        // newest, to transactions before it, or to a transaction that is being written.
        let inherited = if is_alone { newest.id } else { shared.next_id() };
        if is_alone && pages.existing_pages() > newest.length_pages && shared.shrunk_in().is_none() {
            shared.set_shrunk_in(Some(newest.id)); // a crash has left the file longer: its end may be cut off
        }
        let handle = match &locks {
            Some(locks) => shared.join(locks.lock_file().locks())?,
            None => shared.join_alone(),
        };
        let fork = ForkMark::new().map_err(pages.io_error("reserve memory for"))?;
        let handle = Arc::new(DbHandle::new(Database {
            pages,
            shared,
            handle,
            identity: database,
            settings: self.settings,
            is_read_only: AtomicBool::new(self.settings.read_only && recovery.is_none()),
            inherited,
            block: sys::system_page_size().max(MIN_BLOCK as usize) as u64,
            opened_at: newest.id,
            writer_lock: WriterLock::new(),
            sync: SyncState::default(),
            has_many_pinned: AtomicBool::new(false),
            has_retired_many: AtomicBool::new(false),
            checkpoint_count: AtomicU64::new(0),
            fork,
            reader_limit: OnceLock::new(),
            locks,
        }));
        if let Some(recovery) = recovery {
            finish_recovery(&handle, &recovery)?;
            handle.core.is_read_only.store(self.settings.read_only, Relaxed);
        }
        Ok(Some(handle))
    }

    /// Sets `shared` to the state of the newest meta, unless other handles have done that. Returns what is still to be
    /// replayed.
    fn begin_recovery(
        &self,
        slots: Slots,
        pages: &PageFile,
        shared: &SharedMemory,
        locks: Option<&FileLocks>,
        (identity, is_alone): (&SharedOwner, bool),
    ) -> Result<Option<Recovery>> {
        let is_ours = shared.belongs_to(identity);
        if !is_alone && !is_ours {
            return Err(another_lock_file(&pages.path));
        }
        if !is_alone && (self.settings.read_only || !shared.is_unrecovered()) {
            return Ok(None);
        }
        // Only readers have been here, so recovery finds what they found; unless a handle has been killed that had
        // published its replay. Others go on from that (R8), and make the checkpoint before they write (L9).
        if !is_alone && shared.newest_id() > shared.checkpointed() {
            shared.set_unrecovered(false);
            return Ok(None);
        }
        let may_be_closed = is_alone && is_ours && shared.is_of_boot(identity);
        let recovery = slots.choose_state(pages, may_be_closed.then_some(shared))?;
        let must_replay = recovery.must_replay(&self.settings);
        if must_replay && self.settings.read_only && !pages.storage.is_private() {
            return Ok(Some(recovery)); // nothing is changed
        }
        if is_alone && locks.is_some() {
            shared.clear(); // memory that is not in a lock file is new, and zero
        }
        // Before recovery: once that has ended beside readers, no later handle would sync the folder.
        if let Some(locks) = locks.filter(|_| !self.settings.read_only && !recovery.is_as_closed()) {
            locks.sync_name(&pages.path).map_err(pages.io_error("sync the folder of"))?;
        }
        recovery.begin(pages, shared, (self.settings.read_only, must_replay))?;
        shared.complete(identity);
        if !must_replay {
            pages.storage.acknowledged(recovery.newest());
        }
        Ok(Some(recovery).filter(|_| must_replay))
    }
}

/// Replays the log, as one transaction, and makes a checkpoint of it, before any other handle gets in.
fn finish_recovery(handle: &Arc<DbHandle>, recovery: &Recovery) -> Result<()> {
    let core = &handle.core;
    // A reader that replays the log for itself has pages that this recovery is to replace. One recovery takes none of
    // them; but the next one could, if this one is killed.
    let writer = match recovery.log().is_some_and(|log| !log.is_empty()) {
        true => core.lock_writer(Wait::Forever)?.expect("it waits as long as it takes"),
        false => core.lock_writer_alone(),
    };
    let transaction = Transaction::begin_with(handle, writer.into_state())?;
    let log = core.shared.newest_log()?;
    transaction.replay(recovery.log(), log)?;
    core.shared.set_unrecovered(false);
    core.checkpoint_through(core.shared.newest_id())?;
    core.wait_durable(core.shared.newest_id())?;
    core.pages.storage.acknowledged(recovery.newest());
    Ok(())
}

/// Opens a file to be read by system calls, whatever is in it and whether other processes have it open or not.
pub(crate) fn open_to_read(path: &Path) -> Result<FileStorage> {
    open_as_it_is(path, Reservation::Nothing)
}

/// Opens a file that no other handle has open, to be read as it is, whatever is in it. No handle writes to it until
/// it is closed.
pub(crate) fn open_alone(path: &Path, reservation: Reservation) -> Result<FileStorage> {
    let mut storage = open_as_it_is(path, reservation)?;
    keep_others_out(&mut storage, path)?;
    Ok(storage)
}

fn open_as_it_is(path: &Path, reservation: Reservation) -> Result<FileStorage> {
    let opening = |source| Error::io("open", path, source);
    FileStorage::open(path, Access::ReadOnly, WriteMode::Syscall, reservation).map_err(opening)
}

/// Holds writers off while the file is open. Returns an error if another handle has it open.
fn keep_others_out(storage: &mut FileStorage, path: &Path) -> Result<()> {
    let held = hold_others_off(storage, path)?;
    storage.hold(held);
    Ok(())
}

/// The same, as long as what is returned is kept.
fn hold_others_off(storage: &FileStorage, path: &Path) -> Result<Locks> {
    let locking = |source| Error::io("lock", path, source);
    let lock = storage.open_for_locks(path).map_err(locking)?;
    let is_held = file_locks::try_hold_off_writers(&lock).map_err(locking)?;
    if !is_held || !file_locks::is_nobody_present(&lock).map_err(locking)? {
        return Err(Error::InUse { path: path.to_owned() });
    }
    Ok(lock)
}

/// Whether a reader that gets this error for its lock file is to read without one: there is none, and none can be
/// made, or it may not be written. Any other error, for instance that all descriptors are in use, does not mean that.
fn keeps_from_being_seen(error: &std::io::Error) -> bool {
    let is_refused = matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::InvalidFilename
    );
    is_refused || is_full(error)
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

fn another_lock_file(path: &Path) -> Error {
    let path = LockFile::path_for(path);
    Error::Replaced { path, problem: Locks::OCCUPIED }
}

fn lock_file_error(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::io(action, LockFile::path_for(path), source)
}

fn new_identity() -> Result<Identity> {
    sys::random_bytes().map_err(|source| Error::io("get random bytes from", "the system", source))
}

fn explain(error: SlotsError, storage: &dyn Storage, path: &Path) -> Error {
    match error {
        SlotsError::Io(source) => Error::io("read", path, source),
        SlotsError::Short { expected, found } => Error::Truncated { path: path.to_owned(), expected, found },
        SlotsError::Newer(error) => error,
        SlotsError::NoMeta => no_meta_page(storage, path),
    }
}
