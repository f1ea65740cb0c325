//! One open database: the file, the shared heads, the writer's seat, the syncer's desk.
//!
//! Who holds what:
//! - [`Core`] is the database. [`Owner`] keeps it open, with its helper thread; [`Handle`] is what a `Db` and the
//!   transactions begun from it hold. Each `Db` clone has a handle of its own, so that threads which
//!   have a clone each share no reference count either (I8).
//! - The seat ([`WriterSeat`]) belongs to one write transaction at a time; free space and the free log go with it.
//! - `head` is locked for moments: by a writer that publishes, and by the syncer that takes its target.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::base::TransactionId;
use crate::error::{Error, Result};
use crate::format::record::Identity;
use crate::share::Shared;
use crate::share::heads::Snapshot;
use crate::sys::LockFile;
use crate::txn::fresh_pages::FreshPages;
use crate::txn::log::{LogEnd, WriterLog};
use crate::txn::page_file::PageFile;
use crate::txn::sync::SyncDesk;

/// The database, as long as anything of it is open.
pub(crate) struct Core {
    pub(crate) pages: PageFile,
    pub(crate) shared: Shared,
    pub(crate) identity: Identity,
    pub(crate) settings: Settings,
    pub(crate) seat: WriterSeat,
    pub(crate) head: Mutex<Head>,
    pub(crate) sync: SyncDesk,
    /// Keeps others out, or with a read-only database writers. Last: released when all else is closed.
    pub(crate) lock: Option<LockFile>,
}

/// Options that matter after opening.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) read_only: bool,
    /// Bytes of unwritten pages that a transaction may hold before it spills.
    pub(crate) dirty_memory: usize,
    pub(crate) max_size: u64,
}

/// What the newest transaction left: the next one builds on it, a sync makes it durable.
pub(crate) struct Head {
    pub(crate) snapshot: Snapshot,
    pub(crate) log: LogEnd,
    pub(crate) fresh: FreshPages,
    /// As the transaction left them.
    pub(crate) free_pages: u32,
    pub(crate) retired_pages: u32,
}

/// What only the writer needs; it goes from one write transaction to the next.
pub(crate) struct WriterState {
    /// Free space and the pages of its log; loaded by the first transaction that needs a page.
    pub(crate) log: Option<WriterLog>,
    /// The id of the next transaction: above every id that recovery saw (R9).
    pub(crate) next_id: TransactionId,
    /// The newest transaction that made the file shorter, until its end has been cut off.
    pub(crate) shrunk_in: Option<TransactionId>,
}

/// The right to write, which one transaction has at a time.
pub(crate) struct WriterSeat {
    state: Mutex<Option<Box<WriterState>>>,
    given_back: Condvar,
}

impl WriterSeat {
    pub(crate) fn new(state: WriterState) -> WriterSeat {
        WriterSeat { state: Mutex::new(Some(Box::new(state))), given_back: Condvar::new() }
    }

    /// Takes the seat, waiting for it until `deadline`, or for as long as it takes.
    pub(crate) fn take(&self, deadline: Option<Instant>) -> Option<Box<WriterState>> {
        let mut state = self.state.lock();
        loop {
            if let Some(taken) = state.take() {
                return Some(taken);
            }
            match deadline {
                None => self.given_back.wait(&mut state),
                Some(deadline) => {
                    if self.given_back.wait_until(&mut state, deadline).timed_out() {
                        return state.take();
                    }
                }
            }
        }
    }

    /// Takes the seat if it is free.
    pub(crate) fn try_take(&self) -> Option<Box<WriterState>> {
        self.state.lock().take()
    }

    pub(crate) fn give_back(&self, state: Box<WriterState>) {
        *self.state.lock() = Some(state);
        self.given_back.notify_one();
    }
}

impl Core {
    /// An error if writing is out of the question.
    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.settings.read_only {
            return Err(Error::ReadOnly);
        }
        if self.shared.is_poisoned() {
            return Err(Error::Poisoned);
        }
        Ok(())
    }

    /// An error if somebody has cut the file under us. Costs a system call, so only writers ask.
    pub(crate) fn check_file_is_whole(&self) -> Result<()> {
        let expected = self.pages.storage.mapping().mapped_length();
        let found = self.pages.storage.file_length().map_err(self.pages.io_error("examine"))?;
        if found < expected {
            return Err(Error::Truncated { path: self.pages.path.clone(), expected, found });
        }
        Ok(())
    }

    /// Cuts off what the newest transactions have given up at the end of the file, if no snapshot that is
    /// protected is from before they did, and no writer is at work.
    ///
    /// Every protected snapshot is then at most as long as the head; so no reader, however hostile the page
    /// that it follows, can touch a page behind the new end.
    pub(crate) fn cut_free_tail(&self) {
        if self.shared.is_poisoned() || self.pages.existing_pages() <= self.head.lock().snapshot.length_pages
        {
            return;
        }
        let Some(mut state) = self.seat.try_take() else { return };
        if let Some(shrunk_in) = state.shrunk_in {
            let length_pages = self.head.lock().snapshot.length_pages;
            let is_unseen = self.shared.protected().first().is_some_and(|&oldest| oldest >= shrunk_in);
            // A failure leaves the file longer than it need be, and is tried again.
            if is_unseen && self.pages.truncate(length_pages).is_ok() {
                state.shrunk_in = None;
                state.log = state.log.take().filter(|log| log.space.length_pages() == length_pages);
            }
        }
        self.seat.give_back(state);
    }
}

impl Drop for Core {
    /// Lazy commits become durable by closing. Whoever wants to know whether that went well calls `Db::close`.
    fn drop(&mut self) {
        if !self.settings.read_only {
            let _ = self.sync_everything();
            self.cut_free_tail();
        }
    }
}

/// Keeps the database open, and its helper thread running.
pub(crate) struct Owner {
    core: Arc<Core>,
    helper: Mutex<Option<JoinHandle<()>>>,
}

impl Owner {
    /// Sees to it that deferred commits are synced though nobody waits for them yet.
    pub(crate) fn start_helper(&self) -> Result<()> {
        let mut helper = self.helper.lock();
        if helper.is_none() {
            let core = Arc::clone(&self.core);
            let thread = std::thread::Builder::new()
                .name("mapleaf-sync".into())
                .spawn(move || core.sync_deferred_commits())
                .map_err(self.core.pages.io_error("start the sync thread of"))?;
            *helper = Some(thread);
        }
        Ok(())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(helper) = self.helper.get_mut().take() {
            self.core.sync.close();
            // It panics only if there is a bug; then the panic has been printed, and closing goes on.
            let _ = helper.join();
        }
    }
}

/// What a `Db` holds, and with it each transaction that was begun there.
pub(crate) struct Handle {
    pub(crate) core: Arc<Core>,
    pub(crate) owner: Arc<Owner>,
}

impl Handle {
    pub(crate) fn new(core: Core) -> Handle {
        let core = Arc::new(core);
        let owner = Arc::new(Owner { core: Arc::clone(&core), helper: Mutex::new(None) });
        Handle { core, owner }
    }

    /// Another handle of the same database.
    pub(crate) fn another(&self) -> Handle {
        Handle { core: Arc::clone(&self.core), owner: Arc::clone(&self.owner) }
    }
}
