//! One open database: the file, the shared memory, the writer lock, the group commit.
//!
//! - [`Database`] is the database, as one handle has opened it. [`Owner`] keeps it open, with its helper thread.
//!   [`DbHandle`] is what a `Db` and the transactions begun from it hold. Each `Db` clone has one of its own, so that
//!   threads which have a clone each share no reference count (I8).
//! - Among the threads of a handle one write transaction at a time holds the writer lock
//!   ([`crate::txn::writer_lock`]); among handles and processes, [`FileLocks`] has it. What the writer knows of free
//!   space stays with the lock.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::base::TransactionId;
use crate::base::mutation::{Mutation, is_mutated};
use crate::error::{Error, Result};
use crate::format::meta::Identity;
use crate::shm::SharedMemory;
use crate::shm::handles::HandleNumber;
use crate::shm::watermarks::Snapshot;
use crate::sys::ForkMark;
use crate::txn::file_locks::{FileLocks, Wait};
#[cfg(feature = "async")]
use crate::txn::notifier::Notifier;
use crate::txn::page_file::PageFile;
use crate::txn::reader_info::ReaderLimit;
use crate::txn::sync_state::SyncState;
use crate::txn::writer_lock::{WriterLock, WriterState};
use crate::txn::writer_mark::{self, WriterLockId};

/// Cuts put off between two that reap dead readers, which costs a system call for each other handle.
const CUTS_BETWEEN_BURIALS: u64 = 16;
/// How long a writer waits for readers that hold it off and that are not in the shared memory.
const HELD_OFF_PATIENCE: Duration = Duration::from_secs(5);

/// For how long a lazy commit relies on an earlier one's look at the names and lengths of the files, which costs four
/// system calls. Unit tests look each time, so that they can change the files at each call.
const FILES_CHECKED_FOR: Duration = Duration::from_millis(if cfg!(test) { 0 } else { 10 });

/// The database, as long as anything of it is open.
pub(crate) struct Database {
    pub(crate) pages: PageFile,
    pub(crate) shared: SharedMemory,
    pub(crate) handle: HandleNumber,
    pub(crate) identity: Identity,
    pub(crate) settings: Settings,
    /// Not yet while a handle replays the log for itself that is going to be read-only.
    pub(crate) is_read_only: AtomicBool,
    /// The newest transaction of which bytes may have been stored before this handle opened the file: its barriers do
    /// not answer for those (L3).
    pub(crate) inherited: TransactionId,
    /// What a write that is cut short may take away as a whole, in bytes: the log's records are laid out by it.
    pub(crate) block: u64,
    /// Newest, when this handle was opened.
    pub(crate) opened_at: TransactionId,
    pub(crate) writer_lock: WriterLock,
    pub(crate) sync: SyncState,
    /// Whether many pages are retired and not free because the checkpoint is old; and whether one transaction has
    /// retired many.
    pub(crate) has_many_pinned: AtomicBool,
    pub(crate) has_retired_many: AtomicBool,
    /// How many checkpoints this handle has made: a statistic.
    pub(crate) checkpoint_count: AtomicU64,
    pub(crate) fork: ForkMark,
    pub(crate) reader_limit: OnceLock<ReaderLimit>,
    /// `None` if the database cannot be shared: it is in memory, or no process can write. Last: the locks are
    /// released when all else is closed.
    pub(crate) locks: Option<FileLocks>,
}

/// OpenOptions that matter after opening.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) read_only: bool,
    /// Bytes of unwritten pages that a transaction may hold before it spills; by default a part of the memory there
    /// is.
    pub(crate) dirty_memory: Option<usize>,
    /// `None`: as far as the addresses reach that the file's mapping has reserved.
    pub(crate) max_size: Option<u64>,
    /// The longest ring of the redo log, in bytes. 0: there is none, and each commit waits for a checkpoint.
    pub(crate) log_size: u64,
    /// How long calls without a timeout of their own wait for the writer lock. `None`: for any time.
    pub(crate) write_timeout: Option<Duration>,
    /// Whether a thread syncs deferred commits. Without it the first thread that waits does.
    pub(crate) syncs_in_background: bool,
}

impl Database {
    /// Returns an error if writing is impossible.
    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check_not_forked()?;
        if self.is_read_only() {
            return Err(Error::ReadOnly);
        }
        if self.shared.is_poisoned() {
            return Err(Error::Poisoned);
        }
        Ok(())
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.is_read_only.load(Relaxed)
    }

    #[inline]
    pub(crate) fn check_not_forked(&self) -> Result<()> {
        if self.fork.is_inherited() { Err(Error::Forked) } else { Ok(()) }
    }

    /// Takes the writer lock, among threads and then among handles. Returns `None` if the wait is over first, and an
    /// error if the thread would wait for itself.
    pub(crate) fn lock_writer(&self, wait: Wait) -> Result<Option<WriterGuard<'_>>> {
        self.check_not_forked()?;
        if !matches!(wait, Wait::No) && writer_mark::is_held(self.writer_lock_id()) {
            return Err(Error::WriteInProgress);
        }
        let taken = match (self.writer_lock.take(Wait::No), wait) {
            (None, Wait::Until(_) | Wait::Forever) => {
                self.pages.storage.about_to_be_held_up();
                self.writer_lock.take(wait)
            }
            (at_once, _) => at_once,
        };
        let Some(state) = taken else { return Ok(None) };
        match self.locks.as_ref().map_or(Ok(true), |locks| self.lock_writer_among_handles(locks, wait)) {
            Ok(true) => Ok(Some(WriterGuard::new(self, state))),
            other => {
                self.writer_lock.give_back(state);
                other.map(|_| None)
            }
        }
    }

    /// Takes the writer lock for recovery. No other handle is present, and none gets in before recovery ends: so no
    /// lock among handles is needed, which a reader that replays for itself would hold off.
    pub(super) fn lock_writer_alone(&self) -> WriterGuard<'_> {
        let state = self.writer_lock.take(Wait::No).expect("no other thread has the handle yet");
        WriterGuard::new(self, state)
    }

    /// The error for a wait for the writer lock that is over.
    pub(crate) fn write_timed_out(&self, timeout: Option<Duration>) -> Error {
        Error::WriteTimedOut { path: self.pages.path.clone(), timeout: timeout.unwrap_or_default() }
    }

    /// Which writer lock [`Database::lock_writer`] takes. `self` must not move from now on.
    pub(crate) fn writer_lock_id(&self) -> WriterLockId {
        match &self.locks {
            Some(locks) => WriterLockId::OfFile(locks.data_identity()),
            None => WriterLockId::OfHandle(std::ptr::from_ref(self).addr()),
        }
    }

    /// Takes the writer lock among handles. Returns `false` if the wait is over first, and an error if a reader that
    /// is not in the shared memory holds writers off until then, or for [`HELD_OFF_PATIENCE`]: such a reader may stay
    /// for any time.
    fn lock_writer_among_handles(&self, locks: &FileLocks, wait: Wait) -> Result<bool> {
        let locking = || self.pages.io_error("lock");
        if locks.lock_writer(&self.shared, Wait::No).map_err(locking())? {
            return Ok(true);
        }
        if let Wait::No = wait {
            return Ok(false);
        }
        if !locks.wait_while_held_off(wait.at_most(HELD_OFF_PATIENCE)).map_err(locking())? {
            return Err(Error::HeldOff { path: self.pages.path.clone() });
        }
        locks.lock_writer(&self.shared, wait).map_err(locking())
    }

    pub(crate) fn unlock_writer(&self, mut state: Box<WriterState>) {
        // A child that was forked in the middle of a transaction must not release its parent's lock. Another thread
        // of the parent may also have held the mutex of the writer lock then, which no thread releases in the child.
        if self.fork.is_inherited() {
            return;
        }
        if std::thread::panicking() {
            state.log = None; // it may be half changed: it is loaded again when it is needed
        }
        if let Some(locks) = &self.locks {
            locks.unlock_writer();
        }
        self.writer_lock.give_back(state);
    }

    /// Returns an error if the data file or the lock file, of which `base` is the newest, has been cut or replaced.
    /// This costs system calls, so only writers call it.
    pub(crate) fn check_files(&self, base: &Snapshot) -> Result<()> {
        self.check_reach(base.length_pages)?;
        let storage = &self.pages.storage;
        // If the data file's name still leads there, it gives the length as well.
        let length_by_name = self.locks.as_ref().and_then(|_| storage.refresh_length_at(&self.pages.path));
        let found = match length_by_name {
            Some(length) => length,
            None => storage.refresh_length().map_err(self.pages.io_error("examine"))?,
        };
        let expected = u64::from(base.length_pages) * self.pages.page_size as u64;
        if found < expected {
            return Err(Error::Truncated { path: self.pages.path.clone(), expected, found });
        }
        match &self.locks {
            Some(locks) if length_by_name.is_some() => locks.check_lock_name(),
            Some(locks) => locks.check_names(&self.pages.path),
            None => Ok(()),
        }
    }

    /// The same when a transaction begins, unless one has done so a moment ago.
    pub(super) fn check_files_now_and_then(&self, state: &mut WriterState, base: &Snapshot) -> Result<()> {
        if self.has_checked_files(state) && base.length_pages <= self.pages.existing_pages() {
            return Ok(());
        }
        let now = Instant::now();
        self.check_files(base)?;
        state.files_checked = Some((now, self.shared.cuts()));
        Ok(())
    }

    /// Whether a transaction has compared the names and lengths of the files a moment ago ([`FILES_CHECKED_FOR`]), and
    /// no handle has cut the data file since. The caller holds the writer lock, without which no handle does that.
    pub(super) fn has_checked_files(&self, state: &WriterState) -> bool {
        let is_recent =
            |&(at, cuts): &(Instant, u64)| cuts == self.shared.cuts() && at.elapsed() < FILES_CHECKED_FOR;
        state.files_checked.as_ref().is_some_and(is_recent)
    }

    /// Returns `Error::Replaced` if one of the two files has lost its name. Called before newest advances, and before a
    /// durable commit is acknowledged: a name may be lost at any moment, and what is committed to a file without one is
    /// lost with the last handle. Only a lazy commit right after another relies on that one's look.
    pub(crate) fn check_names(&self) -> Result<()> {
        self.locks.as_ref().map_or(Ok(()), |locks| locks.check_names(&self.pages.path))
    }

    /// Returns [`Error::MappingTooSmall`] if another handle, with more reserved addresses, has made the file longer
    /// than this one has mapped.
    pub(crate) fn check_reach(&self, length_pages: u32) -> Result<()> {
        match length_pages > self.pages.limit_pages() {
            true => Err(self.pages.mapping_too_small(length_pages)),
            false => Ok(()),
        }
    }

    /// Ensures that a barrier reaches all of a snapshot of this length. Another handle may have made the file longer
    /// since this one last asked how long it is. The same error if it is longer than this one has mapped.
    pub(super) fn reach(&self, length_pages: u32) -> Result<()> {
        self.check_reach(length_pages)?;
        if length_pages > self.pages.existing_pages() {
            self.pages.storage.refresh_length().map_err(self.pages.io_error("examine"))?;
        }
        Ok(())
    }

    /// Releases snapshots pinned by dead readers. The caller must hold the writer lock.
    pub(crate) fn reap_dead_readers(&self) -> Result<()> {
        let Some(locks) = &self.locks else { return Ok(()) };
        self.shared.reap_dead_readers(self.handle, locks.lock_file().locks())
    }

    /// Cuts off what the newest transactions have given up at the end of the file, if no protected snapshot is from
    /// before they did, and no thread writes.
    ///
    /// Every protected snapshot is then at most as long as newest. So no reader, even in a hostile file, can touch a
    /// page beyond the new end.
    ///
    /// A reader that is in the way may be dead. A commit reaps only now and then, because while a live reader is in
    /// the way it would have to reap each time.
    pub(crate) fn cut_free_tail(&self) {
        self.cut_free_tail_if(|put_off| put_off.is_multiple_of(CUTS_BETWEEN_BURIALS));
    }

    /// The same, and reaps dead readers if one is in the way: for callers that come rarely.
    pub(crate) fn bury_dead_and_cut(&self) {
        self.cut_free_tail_if(|_| true);
    }

    /// `looks` decides whether dead readers are reaped, by how often the cut has been put off.
    fn cut_free_tail_if(&self, looks: impl Fn(u64) -> bool) {
        if self.shared.is_poisoned() || self.shared.shrunk_in().is_none() {
            return;
        }
        let Ok(Some(mut seat)) = self.lock_writer(Wait::No) else { return };
        let (Some(shrunk_in), Ok(newest)) = (self.shared.shrunk_in(), self.shared.newest()) else { return };
        let length_pages = newest.snapshot.length_pages;
        let is_unseen_by =
            |protected: Vec<TransactionId>| protected.first().is_some_and(|&oldest| oldest >= shrunk_in);
        let is_unseen = || self.shared.protected().is_ok_and(is_unseen_by);
        let mut may_cut = is_unseen() || is_mutated(Mutation::CutTooEarly);
        if !may_cut {
            // If reaping fails, the file stays longer than necessary, as when cutting fails; both are tried again.
            may_cut = looks(seat.cuts_put_off) && self.reap_dead_readers().is_ok() && is_unseen();
            seat.cuts_put_off += 1;
        }
        if !may_cut {
            return;
        }
        self.shared.announce_cut(); // first: a kill after the cut leaves it announced
        if self.pages.truncate(length_pages).is_ok() {
            self.shared.set_shrunk_in(None);
            seat.log = seat.log.take().filter(|log| log.space.length_pages() == length_pages);
        }
    }
}

/// Holds the writer lock, among threads and among handles; dropping it releases both.
pub(crate) struct WriterGuard<'a> {
    core: &'a Database,
    /// Present until it is given back, or passed to a transaction.
    state: Option<Box<WriterState>>,
}

impl<'a> WriterGuard<'a> {
    pub(super) fn new(core: &'a Database, state: Box<WriterState>) -> WriterGuard<'a> {
        WriterGuard { core, state: Some(state) }
    }

    /// Passes the state to a caller that gives it back by [`Database::unlock_writer`].
    pub(super) fn into_state(mut self) -> Box<WriterState> {
        self.state.take().expect("it is here until now")
    }
}

impl Deref for WriterGuard<'_> {
    type Target = WriterState;

    fn deref(&self) -> &WriterState {
        self.state.as_ref().expect("it is here until it is given back")
    }
}

impl DerefMut for WriterGuard<'_> {
    fn deref_mut(&mut self) -> &mut WriterState {
        self.state.as_mut().expect("it is here until it is given back")
    }
}

impl Drop for WriterGuard<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.state.take() {
            self.core.unlock_writer(state);
        }
    }
}

impl Drop for Database {
    /// Lazy commits become durable by closing. `Db::close` returns whether that went well. The last handle makes a
    /// checkpoint, so that the closed file needs no log.
    fn drop(&mut self) {
        if self.fork.is_inherited() {
            return; // everything here belongs to the parent
        }
        if !self.is_read_only() {
            if self.locks.is_some() {
                let _ = self.sync_everything();
            }
            self.bury_dead_and_cut();
        }
        // From here on this handle must not touch the shared memory, unless it is the last.
        self.shared.leave(self.handle);
        let is_last = self.locks.as_ref().is_none_or(|locks| locks.leave(self.handle).unwrap_or(false));
        if !is_last {
            return;
        }
        if !self.is_read_only() && self.checkpoint_everything().is_ok() {
            self.cut_free_tail_if(|_| false);
        }
        // Cutting the lock file takes milliseconds, which only a handle pays that has waited for the disk anyway. A
        // failure leaves the lock file longer than necessary.
        if self.locks.is_some() {
            let _ = self.shared.close(self.shared.newest_id() > self.opened_at);
        }
    }
}

/// Keeps the database open, and its helper thread running.
pub(crate) struct Owner {
    core: Arc<Database>,
    helper: Mutex<Option<JoinHandle<()>>>,
    /// The thread that makes a checkpoint, or that has made the last one.
    checkpointer: Mutex<Option<JoinHandle<()>>>,
    /// Wakes tasks that wait for commits.
    #[cfg(feature = "async")]
    pub(crate) notifier: Arc<Notifier>,
}

impl Owner {
    /// Starts the thread that syncs deferred commits for which no thread waits yet.
    pub(crate) fn start_helper(&self) -> Result<()> {
        let mut helper = self.helper.lock();
        if helper.is_none() && self.core.settings.syncs_in_background {
            let core = Arc::clone(&self.core);
            let thread = std::thread::Builder::new()
                .name("mapleaf-sync".into())
                .spawn(move || core.sync_deferred_commits())
                .map_err(self.core.pages.io_error("start the sync thread of"))?;
            *helper = Some(thread);
        }
        Ok(())
    }

    /// Makes a checkpoint if one is due: in a thread of its own, or, in a database without threads, in this one.
    pub(crate) fn checkpoint_if_due(&self) {
        if !self.core.is_checkpoint_due() || self.core.shared.is_poisoned() {
            return;
        }
        let core = Arc::clone(&self.core);
        let has_thread = self.core.settings.syncs_in_background;
        let checkpoint = move || {
            if has_thread {
                core.write_ahead_of_checkpoint();
            }
            // An error is one of the next commit: the database is poisoned, or the ring becomes full.
            let _ = core.checkpoint_through(core.shared.newest_id());
            core.cut_free_tail();
        };
        if !has_thread {
            return checkpoint();
        }
        let Some(mut checkpointer) = self.checkpointer.try_lock() else { return };
        if checkpointer.as_ref().is_none_or(JoinHandle::is_finished) {
            // Without a thread, the commit that finds the ring full makes the checkpoint.
            *checkpointer =
                std::thread::Builder::new().name("mapleaf-checkpoint".into()).spawn(checkpoint).ok();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.core.fork.is_inherited() {
            return; // the thread was not forked
        }
        self.core.sync.close();
        if let Some(helper) = self.helper.get_mut().take() {
            // It panics only if there is a bug; then the panic has been printed, and closing goes on.
            let _ = helper.join();
        }
        if let Some(checkpointer) = self.checkpointer.get_mut().take() {
            let _ = checkpointer.join();
        }
    }
}

/// What a `Db` holds, and so does each transaction that was begun from it.
pub(crate) struct DbHandle {
    pub(crate) core: Arc<Database>,
    pub(crate) owner: Arc<Owner>,
}

impl DbHandle {
    pub(crate) fn new(core: Database) -> DbHandle {
        let core = Arc::new(core);
        let owner = Arc::new(Owner {
            core: Arc::clone(&core),
            helper: Mutex::new(None),
            checkpointer: Mutex::new(None),
            #[cfg(feature = "async")]
            notifier: Arc::default(),
        });
        DbHandle { core, owner }
    }
}

impl Clone for DbHandle {
    /// The same opening, with reference counts of its own.
    fn clone(&self) -> DbHandle {
        DbHandle { core: Arc::clone(&self.core), owner: Arc::clone(&self.owner) }
    }
}

/// The first transaction of a database.
pub(crate) const FIRST_TRANSACTION: TransactionId = TransactionId(1);
