//! Free space in memory, and where its log stands in the file.
//!
//! Invariants:
//! - What the log says up to a commit is the state of [`Space`] after it. (Extents that became free by the interval
//!   rule, I2, are not logged: each reader of the log applies the rule itself.)
//! - A writer whose knowledge is older than newest reads what has been added to the log since, in whatever process.
//!   If it cannot find out what that is, it loads the whole log. Either way it then has newest's state.
//! - The log may have begun again meanwhile, and a page that was its newest may be a page of it again, with other
//!   content. So a page is the one that the writer knows only if it has the birth that the writer knows.

use std::collections::HashSet;

use crate::base::{Extent, PageNumber, TransactionId};
use crate::error::{Result, corrupt};
use crate::format::free_log::names::NamesEntry;
use crate::format::free_log::{self, Delta, Entry};
use crate::format::page;
use crate::format::ring::Ring;
use crate::shm::SharedMemory;
use crate::shm::commit_info::SpaceState;
use crate::shm::watermarks::{CommittedState, Snapshot};
use crate::space::Space;
use crate::space::save::FreeLog;
use crate::txn::page_file::PageFile;

/// What the writer knows of free space, as transaction `id` left it.
pub(crate) struct WriterFreeSpace {
    pub(crate) space: Space,
    pub(crate) log: FreeLog,
    id: TransactionId,
}

impl WriterFreeSpace {
    /// Reads the log of `newest`.
    pub(crate) fn load(pages: &PageFile, newest: &CommittedState) -> Result<WriterFreeSpace> {
        let loaded =
            WriterFreeSpace::load_from(newest, |number| pages.page(number, newest.snapshot.length_pages))?;
        loaded.check_ring(newest)?;
        Ok(loaded)
    }

    /// Returns an error if pages of the ring are said to be free: a tree would be stored over the log, and a meta that
    /// names both is none.
    fn check_ring(&self, newest: &CommittedState) -> Result<()> {
        let Some(ring) = newest.log.ring.map(Ring::extent) else { return Ok(()) };
        let overlaps = |run: Extent| run.first.0 < ring.end() && ring.first.0 < run.end();
        let is_inside =
            ring.first.0.checked_add(ring.count).is_some_and(|end| end <= self.space.length_pages());
        match !is_inside
            || self.space.free().overlaps(ring)
            || self.space.retired().iter().any(|retired| overlaps(retired.run))
        {
            true => Err(corrupt(
                None,
                "ring of the redo log",
                "pages that are not free",
                format_args!("{ring:?}"),
            )),
            false => Ok(()),
        }
    }

    /// Loads the log of `newest`, whose pages `read` returns, verified.
    pub(crate) fn load_from<'a>(
        newest: &CommittedState,
        read: impl FnMut(PageNumber) -> Result<&'a [u8]>,
    ) -> Result<WriterFreeSpace> {
        let length_pages = newest.snapshot.length_pages;
        let SpaceState { log_page, log_tail, .. } = &newest.space;
        let chain = free_log::read_chain(*log_page, log_tail, read)?;
        let space = Space::load(&chain.bytes, newest.snapshot.id)?;
        if space.length_pages() != length_pages {
            return Err(corrupt(None, "length in the free log", length_pages, space.length_pages()));
        }
        let log = FreeLog::from_chain(&chain, log_tail, !space.names().is_empty());
        Ok(WriterFreeSpace { log, space, id: newest.snapshot.id })
    }

    /// Whether this is what transaction `id` has left.
    pub(crate) fn is_of(&self, id: TransactionId) -> bool {
        self.id == id
    }

    /// Whether the file is still as long as this state says.
    pub(crate) fn is_there(&self, pages: &PageFile) -> bool {
        self.space.length_pages() <= pages.existing_pages()
    }

    /// Applies what others have committed up to `newest`. Returns `None` if what was added to the log does not show
    /// that. Damage is one reason: loading the whole log reports it.
    pub(crate) fn catch_up(mut self, pages: &PageFile, newest: &CommittedState) -> Option<WriterFreeSpace> {
        let newer = self.newer_entries(pages, newest).ok()??;
        for delta in newer.deltas {
            if delta.id != self.id.next() {
                return None;
            }
            self.space.apply(&delta).ok()?;
            self.id = delta.id;
        }
        self.log.append(newer.pages, &newest.space.log_tail, !newer.names.is_empty());
        for names in newer.names {
            self.space.apply_names(names).ok()?;
        }
        let is_there =
            self.id == newest.snapshot.id && self.space.length_pages() == newest.snapshot.length_pages;
        is_there.then_some(self)
    }

    /// What has been added to the log since transaction `self.id`. Returns `None` if the log has begun again.
    fn newer_entries(&self, pages: &PageFile, newest: &CommittedState) -> Result<Option<Newer>> {
        let (mut added, mut payloads, mut seen) =
            (Vec::new(), vec![&newest.space.log_tail[..]], HashSet::new());
        let newest_known = self.log.pages().last().copied();
        let mut number = newest.space.log_page;
        while number != PageNumber(0) {
            let bytes = pages.page(number, newest.snapshot.length_pages)?;
            if newest_known == Some((number, page::birth(bytes))) {
                break;
            }
            if !seen.insert(number) {
                return Ok(None);
            }
            let log_page = free_log::read_page(bytes)?;
            added.push((number, page::birth(bytes)));
            payloads.push(log_page.payload);
            number = log_page.previous;
        }
        if number == PageNumber(0) && newest_known.is_some() {
            return Ok(None);
        }
        added.reverse();
        payloads.reverse();
        let (mut deltas, mut names) = (Vec::new(), Vec::new());
        for entry in free_log::entries(&payloads.concat()) {
            match entry? {
                Entry::Delta(delta) if delta.id > self.id => deltas.push(delta),
                Entry::Names(newer) if newer.id() > self.id => names.push(newer),
                Entry::Delta(_) | Entry::Base(_) | Entry::Names(_) => {}
            }
        }
        Ok(Some(Newer { pages: added, deltas, names }))
    }

    /// Notes that transaction `newest` has happened, with `saved` as its log.
    pub(crate) fn committed(&mut self, saved: FreeLog, newest: TransactionId) {
        self.log = saved;
        self.space.commit();
        self.id = newest;
    }

    /// The state of free space for the meta.
    pub(crate) fn state_with(&self, saved: &FreeLog) -> SpaceState {
        SpaceState {
            log_page: saved.newest_page(),
            log_tail: saved.tail().to_vec(),
            free_pages: self.space.free().page_count(),
            retired_pages: self.space.retired().page_count(),
            has_names: saved.has_names(),
        }
    }
}

/// What has been added to a log: pages, oldest first, with their births, and the deltas and changes of names in them.
struct Newer {
    pages: Vec<(PageNumber, TransactionId)>,
    deltas: Vec<Delta>,
    names: Vec<NamesEntry>,
}

/// Free space and its log as of `base`: loaded, or brought up to what others have committed since. `base` is newest,
/// and stays newest, because the caller holds the writer lock.
pub(crate) fn load_free_space<'a>(
    pages: &PageFile,
    shared: &SharedMemory,
    known: &'a mut Option<WriterFreeSpace>,
    base: &Snapshot,
) -> Result<&'a mut WriterFreeSpace> {
    let own = match known.take() {
        // An aborted transaction of this handle may have made the file longer, and another process cut it again.
        Some(log) if log.is_of(base.id) => Some(log).filter(|log| log.is_there(pages)),
        Some(log) => log.catch_up(pages, &shared.newest()?),
        None => None,
    };
    let log = match own {
        Some(log) => log,
        None => WriterFreeSpace::load(pages, &shared.newest()?)?,
    };
    Ok(known.insert(log))
}
