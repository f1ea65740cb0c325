//! The commit: from frames in memory to a durable snapshot that readers see.
//!
//! The steps, and what a crash, a kill or an error at each leaves (docs/DURABILITY.md has the whole argument):
//!
//! 1. **Number** the frames of every changed table, then of the catalog, bottom-up and in key order.
//! 2. **Log** what that took from free space and what it retired.
//! 3. **Store** the pages, in few extents. Up to here only pages that no protected snapshot needs have been touched
//!    (I1, R1): whatever happens, the transaction never happened.
//! 4. **Publish**: if both files still have their names, newest advances (R8). Now it has happened, for every later
//!    transaction; a lazy commit over durable ones is visible at once (R3).
//! 5. **Release the writer lock.** Other writers go on while this one waits.
//! 6. **Sync**, or wait for the thread that syncs: the meta, one barrier, durable, visible ([`crate::txn::sync`]). An
//!    error here poisons the database (I6); what is on the disk decides at the next recovery. At last the names are
//!    compared once more: a commit to a file without a name is not acknowledged.

use std::sync::Arc;

use crate::base::TransactionId;
use crate::base::mutation::{Mutation, is_mutated};
use crate::error::{Result, corrupt};
use crate::format::meta::TAIL_LIMIT;
use crate::format::page;
use crate::shm::commit_info::CommitDelta;
use crate::shm::watermarks::{CommittedState, Snapshot};
use crate::space::Space;
use crate::space::save::{FreeLog, LogLimits};
use crate::tree::NewValue;
use crate::tree::pages::SealedPages;
use crate::txn::allocation::Numbers;
use crate::txn::database::Database;
use crate::txn::free_space::load_free_space;
use crate::txn::unsynced_pages::UnsyncedPages;
use crate::txn::write::{OpenTable, Parts, Transaction, add_all, retire_all};

/// When a commit returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Durability {
    /// When the transaction, and all before it, survive loss of power.
    #[default]
    Durable,
    /// When the transaction is visible. It survives the end of the process, and becomes durable with the
    /// next durable commit, `sync` or close; loss of power before that may undo it, newest first.
    Lazy,
}

impl Transaction {
    /// Commits, and returns once the transaction is visible: with [`Durability::Durable`], once it is durable.
    pub(crate) fn commit(self, durability: Durability) -> Result<TransactionId> {
        let handle = Arc::clone(&self.handle);
        let id = self.publish(durability)?;
        match durability {
            Durability::Durable if is_mutated(Mutation::CommitDoesNotWait) => {}
            Durability::Durable => {
                handle.core.wait_durable(id)?;
                handle.core.cut_free_tail();
            }
            Durability::Lazy => handle.core.wait_visible(id)?,
        }
        if durability == Durability::Durable {
            handle.core.pages.storage.acknowledged(id);
        }
        Ok(id)
    }

    /// Steps 1 to 5. A transaction that changed nothing leaves no trace: its id is that of newest.
    pub(crate) fn publish(mut self, durability: Durability) -> Result<TransactionId> {
        self.check_usable()?;
        self.core().check_writable()?;
        self.check_tables_are_back()?;
        let parts = self.parts();
        if !parts.has_changes() {
            return Ok(parts.base.id);
        }
        parts.core.make_room_for_descriptor()?;
        let id = parts.id;
        let (snapshot, log) = parts.store()?;
        Parts::check_before_publishing(self.core(), &self.base, id)?;
        self.parts().advance_newest(snapshot, log, durability);
        self.unlock_writer();
        Ok(id)
    }
}

impl Parts<'_> {
    fn has_changes(&self) -> bool {
        let tables = self.tables.values().flatten();
        self.cut_to.is_some()
            || self.catalog.is_changed_from(&self.base.catalog)
            || tables.into_iter().any(|table| table.is_changed())
    }

    /// Steps 1 to 3.
    fn store(self) -> Result<(Snapshot, FreeLog)> {
        let Parts { core, id, base, state, catalog, tables, stored, cut_to } = self;
        let pages = &core.pages;
        let log = load_free_space(&core.pages, &core.shared, &mut state.log, base)?;
        // A table that ends empty, as it began, may have stored pages meanwhile, and given them up again.
        for table in tables.values_mut().flatten() {
            retire_all(&mut log.space, stored, table.tree.take_retired(), id)?;
        }
        let mut changed: Vec<&mut Box<OpenTable>> =
            tables.values_mut().flatten().filter(|table| table.is_changed()).collect();

        // Every entry that will change is inserted into the catalog once before anything is numbered, so that all
        // pages of this commit are known; the numbers then replace it in place.
        for table in &changed {
            catalog.insert(pages, table.name.as_bytes(), NewValue::Bytes(&table.entry.encode()))?;
        }
        retire_all(&mut log.space, stored, catalog.take_retired(), id)?;

        let tables_count: usize = changed.iter().map(|table| table.tree.dirty_page_count()).sum();
        let mut numbers = Numbers::plan(core, &mut log.space, tables_count + catalog.dirty_page_count())?;
        let mut sealed: Vec<SealedPages> = Vec::new();
        for table in &mut changed {
            table.tree.seal(&mut numbers, &mut sealed)?;
            table.entry.root = table.tree.root();
            catalog.insert(pages, table.name.as_bytes(), NewValue::Bytes(&table.entry.encode()))?;
        }
        catalog.seal(&mut numbers, &mut sealed)?;
        numbers.finish()?;

        match cut_to {
            Some(length_pages) => log.space.shrink(length_pages)?,
            None => shrink(&mut log.space, pages.page_size)?,
        }
        let limits = LogLimits { page_size: pages.page_size, tail_len: TAIL_LIMIT };
        let mut saved =
            log.space.save(&log.log, id, limits, |space, count| core.grow(space, count, count))?;
        for (first, mut bytes) in saved.pages.drain(..) {
            let checksum = page::seal(&mut bytes, first, id);
            sealed.push(SealedPages { first, checksum, bytes });
        }
        pages.store(&mut sealed)?;
        if is_mutated(Mutation::SpilledNotListed) {
            *stored = UnsyncedPages::default();
        }
        add_all(stored, &sealed, pages.page_size);
        let snapshot = Snapshot { id, length_pages: log.space.length_pages(), catalog: catalog.root() };
        Ok((snapshot, saved.log))
    }

    /// Step 4, before it changes anything: a file may be removed or replaced at any moment, and a transaction that
    /// would be committed to a file without a name must never happen.
    fn check_before_publishing(core: &Database, base: &Snapshot, id: TransactionId) -> Result<()> {
        core.check_names()?;
        let shared = &core.shared;
        if shared.newest_id() != base.id || shared.next_id() != id || shared.ring_is_full() {
            // This process holds the writer lock: so a program that does not take the locks has stored there.
            let expected =
                format_args!("transaction {} as newest, {id} as the next, with room for it", base.id);
            let found = format_args!(
                "{}, {}, and {} visible",
                shared.newest_id(),
                shared.next_id(),
                shared.visible()
            );
            return Err(corrupt(None, "lock file", expected, found));
        }
        Ok(())
    }

    /// Step 4. Nothing here can fail.
    fn advance_newest(self, snapshot: Snapshot, saved: FreeLog, durability: Durability) {
        let log = self.state.log.as_mut().expect("it was loaded to store the pages");
        let retired = log.space.delta(self.id).retired.into_iter().map(|(run, _)| run).collect();
        let delta = self.stored.units().map(|stored| CommitDelta { stored, retired });
        let newest = CommittedState { snapshot, space: log.state_with(&saved) };
        log.committed(saved, self.id);
        let shared = &self.core.shared;
        if snapshot.length_pages < self.base.length_pages {
            shared.set_shrunk_in(Some(self.id));
        }
        shared.advance_newest(&newest, delta.as_ref(), durability == Durability::Durable);
        if let Some(delta) = delta {
            self.core.sync.remember(self.id, delta);
        }
    }
}

/// Gives up a large free end: the meta will say that the file is shorter, and [`Database::cut_free_tail`] cuts it
/// when no reader can see its end any more. The thresholds are well above what growth leaves free, so that the file
/// does not grow and shrink in turn.
fn shrink(space: &mut Space, page_size: usize) -> Result<()> {
    let Some(tail) = space.free_tail() else { return Ok(()) };
    let tail_bytes = u64::from(tail.count) * page_size as u64;
    let is_large = tail_bytes >= 8 << 20 && tail.count >= space.length_pages() / 8;
    let is_most = tail_bytes >= 1 << 18 && tail.count >= space.length_pages() / 2;
    if is_large || is_most { space.shrink(tail.first.0) } else { Ok(()) }
}
