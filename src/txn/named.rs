//! Named snapshots: created, dropped, found.
//!
//! A name refers to pages of this file. So it is kept with free space, in the free log, and not in the catalog, whose
//! pages copies take over byte by byte. `create` names newest, N, in a transaction C of its own, which changes nothing
//! else: the trees of C are those of N. `drop` is a transaction D of its own. C and D are not in the redo log (L9).
//! They are checkpointed before they return, and before any other transaction begins.
//!
//! # Why a name leads to the right pages
//!
//! - **After a crash.** The free log of a checkpoint has exactly the names that were created and not dropped up to it.
//!   When it was durable, so were the pages of all these names: those of C, which are N's, by the barrier of the
//!   checkpoint of C. Replay, which puts content into other pages, begins after the checkpoint. It knows the names from
//!   the checkpoint's free log and takes none of their pages ([`crate::space::names`]).
//! - **A kill or a power cut at each line of `create`.** Before C is published there is nothing. After that the next
//!   writer, or the same, checkpoints C first (L9), and the name is there; or recovery finds the checkpoint before C,
//!   and the name never was. Until C is checkpointed N is protected as newest, or by the name. A reader finds a name
//!   only in a checkpoint: so no name is seen that a power cut takes back.
//! - **A kill or a power cut at each line of `drop`.** Until D is checkpointed, recovery may find the checkpoint before
//!   it, where the name lives. That checkpoint is a protected snapshot in `C..D`, so N's pages stay (the interval rule
//!   of dropped names).
//! - **Each writer knows the names.** It brings free space up to newest before it takes a page, in whatever process,
//!   and the names with it. A page that N needs was in use until C, so that no writer can have freed it before it
//!   knew C.
//!
//! # Why a reader finds it protected
//!
//! A reader of a name claims one slot of the reader table. It stores the checkpoint, K, in the slot, and finds that
//! the checkpoint is still K. A scan of the protected snapshots loads the checkpoint before the slots: so it finds K in
//! one or the other. K's meta and K's free log are thus there to be read, and they have the name N: C <= K, and D > K
//! whenever it is dropped. Then the reader stores N in the same slot, in place of K. A scan reads the slot's word once.
//! If it finds K, N is protected, since it lives or since K lies in `C..D`. If it finds N, N is protected by itself.
//! There is no moment in which the slot has neither; with a second slot there would be one, because a scan reads one
//! slot after the other. Killed at any line, the reader leaves K or N in a slot of its handle, which is freed as any
//! dead reader's is.
//!
//! N's length is not believed alone: the file may have become shorter since. But it was never cut below a page that N
//! needs, and while N stands in the slot nothing is cut that was given up after N. So the reader compares its page
//! numbers with the shorter one of the lengths of N and of K.

use std::sync::Arc;

use crate::base::TransactionId;
use crate::error::{Error, Result, corrupt};
use crate::format::free_log::names::{MAX_SNAPSHOT_NAME_LEN, NamedSnapshot};
use crate::shm::reader_table::ReaderSlot;
use crate::shm::watermarks::{CommittedState, Snapshot};
use crate::space::Space;
use crate::txn::commit::Durability;
use crate::txn::database::{Database, DbHandle};
use crate::txn::file_locks::Wait;
use crate::txn::free_space::{WriterFreeSpace, load_free_space};
use crate::txn::recover::state_of;
use crate::txn::write::Transaction;

/// How often a checkpoint may be made between finding one and reading its meta.
const MAX_TRIES: usize = 1000;

/// A named snapshot, and what it keeps: see [`Db::snapshots`](crate::Db::snapshots).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SnapshotInfo {
    /// Its name.
    pub name: String,
    /// The newest transaction that it contains.
    pub transaction: TransactionId,
    /// Pages that this snapshot needs and the newest transaction does not: they cannot be used again. Other named
    /// snapshots may need some of them, too.
    pub pinned_pages: u32,
    /// The same in bytes.
    pub pinned_bytes: u64,
    /// Those of the pages that no other named snapshot needs: what dropping this one gives back, once no reader needs
    /// them either.
    pub own_pages: u32,
    /// The same in bytes.
    pub own_bytes: u64,
}

/// The checkpointed state, protected by a reader slot until this is dropped.
pub(super) struct CheckpointReader<'a> {
    core: &'a Database,
    /// Present until another takes it over.
    slot: Option<ReaderSlot>,
    state: CommittedState,
}

impl Drop for CheckpointReader<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take().filter(|_| !self.core.fork.is_inherited()) {
            self.core.shared.end_read(slot);
        }
    }
}

impl CheckpointReader<'_> {
    /// Protects `id` in place of the checkpoint, which has its name. Returns the slot, which the caller ends.
    fn move_to(mut self, id: TransactionId) -> ReaderSlot {
        let slot = self.slot.take().expect("it is here until now");
        self.core.shared.move_read(self.core.handle, slot, id);
        slot
    }

    /// Free space as of the checkpoint, with the names.
    fn space(&self) -> Result<Space> {
        Ok(WriterFreeSpace::load(&self.core.pages, &self.state)?.space)
    }
}

impl Database {
    /// Begins to read the named snapshot: it is protected until the slot is given back.
    pub(crate) fn begin_read_named(&self, name: &str) -> Result<(ReaderSlot, Snapshot)> {
        check_name(name)?;
        self.begin_found(self.read_checkpoint()?, name)
    }

    /// The second half: the checkpoint is protected.
    pub(super) fn begin_found(
        &self,
        checkpoint: CheckpointReader<'_>,
        name: &str,
    ) -> Result<(ReaderSlot, Snapshot)> {
        let space = checkpoint.space()?;
        let named = space.names().find(name).ok_or_else(|| not_found(name))?;
        let length_pages = named.length_pages.min(checkpoint.state.snapshot.length_pages);
        let snapshot = Snapshot { id: named.id, length_pages, catalog: named.catalog };
        Ok((checkpoint.move_to(named.id), snapshot))
    }

    /// All named snapshots, ascending by name, with what they keep: as of newest if no process writes, else as of the
    /// last checkpoint.
    pub(crate) fn named_snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        self.check_not_forked()?;
        let guard = if self.is_read_only() { None } else { self.lock_writer(Wait::No)? };
        let Some(mut guard) = guard else {
            return Ok(self.infos(&self.read_checkpoint()?.space()?, self.shared.checkpointed()));
        };
        self.pages.storage.refresh_length().map_err(self.pages.io_error("examine"))?;
        let newest = self.shared.newest_snapshot()?;
        let log = load_free_space(&self.pages, &self.shared, &mut guard.log, &newest)?;
        Ok(self.infos(&log.space, self.shared.checkpointed()))
    }

    /// How many named snapshots the last checkpoint has, and how many retired pages they need.
    pub(crate) fn counts_of_names(&self) -> Result<(usize, u32)> {
        let space = self.read_checkpoint()?.space()?;
        Ok((space.names().living().len(), space.pinned_by_names()))
    }

    /// What the names of `space` keep. A name that is not checkpointed yet is not shown: it may never have been.
    fn infos(&self, space: &Space, checkpointed: TransactionId) -> Vec<SnapshotInfo> {
        let page_bytes = |pages: u32| u64::from(pages) * self.pages.page_size as u64;
        let is_durable = |named: &&NamedSnapshot| named.created <= checkpointed;
        let pins = space.pins_of_names();
        let named = space.names().living().iter().zip(pins).filter(|(named, _)| is_durable(named));
        named
            .map(|(named, (pinned_pages, own_pages))| SnapshotInfo {
                name: named.name.clone(),
                transaction: named.id,
                pinned_pages,
                pinned_bytes: page_bytes(pinned_pages),
                own_pages,
                own_bytes: page_bytes(own_pages),
            })
            .collect()
    }

    /// Protects the checkpointed snapshot, and reads its meta.
    pub(super) fn read_checkpoint(&self) -> Result<CheckpointReader<'_>> {
        self.check_not_forked()?;
        for _ in 0..MAX_TRIES {
            let (slot, id, meta_slot) = self.shared.begin_read_checkpoint(self.handle)?;
            let meta = self.pages.read_meta(meta_slot);
            // If two checkpoints have been made meanwhile, the slot has another meta, or half of one.
            let Ok(Some(meta)) = meta.as_ref().map(|meta| meta.as_ref().filter(|meta| meta.id == id)) else {
                self.shared.end_read(slot);
                meta?;
                continue;
            };
            let reader = CheckpointReader { core: self, slot: Some(slot), state: state_of(meta) };
            self.reach(reader.state.snapshot.length_pages)?;
            self.pages.check_layer(&reader.state.snapshot)?;
            return Ok(reader);
        }
        let expected = format_args!("of transaction {}", self.shared.checkpointed());
        Err(corrupt(Some(self.shared.checkpoint_slot() as u32), "meta page", expected, "another, or none"))
    }
}

/// Names newest. Returns its transaction.
pub(crate) fn create_snapshot(handle: &Arc<DbHandle>, name: &str) -> Result<TransactionId> {
    check_name(name)?;
    let transaction = Transaction::begin_within(handle, None)?;
    let (created, base) = (transaction.id, transaction.base);
    transaction.with_space(|space| {
        if space.names().find(name).is_some() {
            return Err(Error::SnapshotExists { name: name.to_owned() });
        }
        // A file that is full keeps its reserve, so that the name can be dropped.
        handle.core.make_room_for_log(space, 1)?;
        let Snapshot { id, length_pages, catalog } = base;
        space.add_name(NamedSnapshot { name: name.to_owned(), id, created, length_pages, catalog })
    })?;
    commit_names(transaction)?;
    Ok(base.id)
}

/// Drops a name. Returns whether there was one.
pub(crate) fn drop_snapshot(handle: &Arc<DbHandle>, name: &str) -> Result<bool> {
    check_name(name)?;
    let transaction = Transaction::begin_within(handle, None)?;
    let is_dropped = transaction.with_space(|space| space.drop_name(name, transaction.id))?;
    if is_dropped {
        commit_names(transaction)?;
    }
    Ok(is_dropped)
}

fn commit_names(transaction: Transaction) -> Result<()> {
    transaction.change_names();
    let handle = Arc::clone(&transaction.handle);
    let id = transaction.commit(Durability::Durable)?;
    handle.core.checkpoint_through(id)
}

/// Checks the length of a snapshot's name.
fn check_name(name: &str) -> Result<()> {
    match name.len() {
        1..=MAX_SNAPSHOT_NAME_LEN => Ok(()),
        length => Err(Error::SnapshotNameLength { length, limit: MAX_SNAPSHOT_NAME_LEN }),
    }
}

#[cold]
fn not_found(name: &str) -> Error {
    Error::SnapshotNotFound { name: name.to_owned() }
}
