//! Opening: from what the disk holds to the state that all acknowledged commits have made. Mirrors
//! [`crate::txn::commit`].
//!
//! The steps, each of which may be cut short by a crash and is then done again from the first:
//!
//! 1. **Read** both metas. If there is none, the file is no mapleaf database, or both slots are damaged. **Choose** the
//!    newest.
//! 2. **Read the log** from where that meta says, to the first record that is not right.
//! 3. **Store again** the meta (L6): after a failed barrier, or the end of a process, what was just read may be in the
//!    page cache only, clean and not on the disk. **Erase** the other slot, unless it holds an older meta. Zeros are
//!    stored even over zeros, which may be in the page cache only. **Barrier**.
//! 4. **Replay** the log's records, if there are any, as one transaction, into pages that the chosen snapshot does not
//!    need ([`crate::txn::replay`]). It has no record of its own: the log begins again above all that was ever stored
//!    in the ring (L5).
//! 5. **Checkpoint** it: pages and length, barrier; meta, barrier. Only then does any other handle get in.
//!
//! A handle that is alone believes nothing that a lock file says of transactions (L13). Lazy commits are in the log,
//! whose bytes the page cache of killed processes has. Steps 3 to 5 are left out if the handle that was the last has
//! left the file checkpointed, with an empty log, and the lock file says so: then there is nothing to store.
//!
//! Reads two metas and the log; the whole snapshot only if one of the metas is damaged (`verify_births`). A database
//! opened read-only stops after step 2: it may not write. If the log has records it replays them for itself
//! ([`crate::txn::open`]).
//!
//! A meta of format 1 or 2 lists pages that need not be durable. It is chosen only if all of these verify, as their
//! digest shows; they are stored again in step 3. The first checkpoint stores a meta of this format.

use crate::base::bytes::get_u32;
use crate::base::mutation::{Mutation, is_mutated};
use crate::base::{Extent, PageNumber, TransactionId};
use crate::error::{Error, Result, corrupt};
use crate::format::meta::{
    self, FORMAT_VERSION_WITH_NAMES, Identity, META_PAGES, Meta, RedoStart, candidate_page_sizes, slot_offset,
};
use crate::format::page::{MAX_PAGE_SIZE, MIN_PAGE_SIZE, is_page_size};
use crate::format::redo::reader::LogPlace;
use crate::shm::SharedMemory;
use crate::shm::commit_info::SpaceState;
use crate::shm::watermarks::{CommittedState, LogState, Snapshot, first_id_after};
use crate::sys::Storage;
use crate::tree::newer::{NewerPages, walk_newer};
use crate::txn::database::Settings;
use crate::txn::page_file::PageFile;
use crate::txn::redirty;
use crate::txn::replay::FoundLog;

/// How often the slots are read before they are taken to hold no meta.
const READ_TRIES: u64 = 4;

/// A meta, as it was found.
#[derive(Clone, Debug)]
struct Found {
    slot: usize,
    meta: Meta,
}

/// What the two slots hold.
pub(crate) struct Slots {
    pub(crate) page_size: usize,
    /// Newest first.
    found: Vec<Found>,
}

/// Step 1. Others may be syncing meanwhile: if what is read makes no sense it is read again, a few times.
pub(crate) fn read_slots(storage: &dyn Storage) -> Result<Slots, SlotsError> {
    let mut tries = 1;
    loop {
        match read_slots_once(storage) {
            Err(SlotsError::NoMeta) if tries < READ_TRIES => {
                std::thread::sleep(std::time::Duration::from_millis(tries));
                tries += 1;
            }
            other => return other,
        }
    }
}

/// The good metas of a file of which nothing else need be right, newest first; none if there are none.
pub(crate) fn read_metas(storage: &dyn Storage) -> Result<Vec<Meta>> {
    let length = storage.file_length().unwrap_or(0);
    let decode = |slot: usize, page_size: usize| -> Result<Option<Meta>> {
        let offset = slot_offset(slot, page_size);
        let mut bytes = vec![0; length.saturating_sub(offset).min(MAX_PAGE_SIZE as u64) as usize];
        let read = storage.read(offset, &mut bytes).ok();
        match read.map(|()| Meta::decode(&bytes, slot as u32)) {
            Some(Err(error @ Error::NewerFormat { .. })) => Err(error),
            Some(Ok(meta)) if slot == 0 || meta.page_size == page_size => Ok(Some(meta)),
            _ => Ok(None),
        }
    };
    let first = decode(0, MIN_PAGE_SIZE)?;
    let page_size = first.as_ref().map(|meta| meta.page_size);
    let mut metas: Vec<Meta> = first.into_iter().collect();
    for candidate in candidate_page_sizes().filter(|&size| page_size.is_none_or(|known| known == size)) {
        metas.extend(decode(1, candidate)?);
    }
    metas.sort_by_key(|meta| std::cmp::Reverse(meta.id));
    Ok(metas)
}

fn read_slots_once(storage: &dyn Storage) -> Result<Slots, SlotsError> {
    let length = storage.file_length().map_err(SlotsError::Io)?;
    let read = |offset: u64| read_slot(storage, offset, length);
    let first_bytes = read(0)?;
    let first = match Meta::decode(&first_bytes, 0) {
        Err(error @ Error::NewerFormat { .. }) => return Err(SlotsError::Newer(error)),
        other => other,
    };
    if let Ok(meta) = &first {
        let page_size = meta.page_size;
        let second_bytes = read(slot_offset(1, page_size))?;
        let second = Meta::decode(&second_bytes, 1);
        if let Err(error @ Error::NewerFormat { .. }) = second {
            return Err(SlotsError::Newer(error)); // a newer library's commit, which must not be erased
        }
        let found = [first.ok(), second.ok().filter(|second| second.page_size == page_size)];
        return Ok(Slots::new(page_size, found));
    }
    for page_size in candidate_page_sizes() {
        match Meta::decode(&read(slot_offset(1, page_size))?, 1) {
            Ok(meta) if meta.page_size == page_size => {
                return Ok(Slots::new(page_size, [None, Some(meta)]));
            }
            Err(error @ Error::NewerFormat { .. }) => return Err(SlotsError::Newer(error)),
            _ => {}
        }
    }
    let expected = u64::from(META_PAGES) * declared_page_size(&first_bytes) as u64;
    if first_bytes.starts_with(meta::MAGIC) && length < expected {
        return Err(SlotsError::Short { expected, found: length });
    }
    Err(SlotsError::NoMeta)
}

/// The bytes of the meta page at `offset`: those of the smallest page, or as many more as they say that it has.
fn read_slot(storage: &dyn Storage, offset: u64, file_length: u64) -> Result<Vec<u8>, SlotsError> {
    let exist = file_length.saturating_sub(offset).min(MAX_PAGE_SIZE as u64) as usize;
    let read = |length: usize| {
        let mut bytes = vec![0; length.min(exist)];
        storage.read(offset, &mut bytes).map_err(SlotsError::Io)?;
        Ok(bytes)
    };
    let bytes = read(MIN_PAGE_SIZE)?;
    match meta::declared_length(&bytes) {
        Some(length) if length > bytes.len() => read(length),
        _ => Ok(bytes),
    }
}

/// The page size that the bytes of a damaged meta page give; the smallest if they give none.
fn declared_page_size(meta: &[u8]) -> usize {
    let declared = meta.get(20..24).map_or(0, |bytes| get_u32(bytes, 0) as usize);
    if is_page_size(declared) { declared } else { MIN_PAGE_SIZE }
}

/// Why no meta could be read.
pub(crate) enum SlotsError {
    Io(std::io::Error),
    /// The file is a mapleaf database, and has been cut within its meta pages.
    Short {
        expected: u64,
        found: u64,
    },
    /// A newer version of the library wrote the file.
    Newer(Error),
    /// The file is not a mapleaf database, or both its meta pages are damaged.
    NoMeta,
}

impl Slots {
    fn new(page_size: usize, metas: [Option<Meta>; 2]) -> Slots {
        let mut found: Vec<Found> = metas
            .into_iter()
            .enumerate()
            .filter_map(|(slot, meta)| Some(Found { slot, meta: meta? }))
            .collect();
        found.sort_by_key(|found| std::cmp::Reverse(found.meta.id));
        Slots { page_size, found }
    }

    /// The identity of the database.
    pub(crate) fn identity(&self) -> Identity {
        self.newest().identity
    }

    fn newest(&self) -> &Meta {
        &self.found.first().expect("read_slots has found a meta").meta
    }

    /// Whether the newest meta is the one that the handle which closed `shared` has made durable, and the other slot
    /// has an older one, or none. Then there is nothing to store again and nothing to erase (L6): that was done, and
    /// no barrier has failed since.
    fn is_as_closed(&self, shared: &SharedMemory, pages: &PageFile) -> bool {
        let Found { slot, meta } = &self.found[0];
        shared.is_closed()
            && !shared.is_poisoned()
            && (*slot, meta.id) == (shared.checkpoint_slot(), shared.checkpointed())
            && Meta::checksum_of(&meta.encode()) == shared.slot_checksum(*slot)
            && (self.found.len() == 2 || reads_as_zeros(pages, 1 - slot))
    }

    /// Steps 1 and 2.
    /// `closed` is the memory that the handle may have closed which was the last, in this boot.
    pub(crate) fn choose_state(self, pages: &PageFile, closed: Option<&SharedMemory>) -> Result<Recovery> {
        let is_as_closed = closed.is_some_and(|shared| self.is_as_closed(shared, pages));
        let greatest_id = self.newest().id;
        let index = self.choose(pages)?;
        let has_older_meta = index == 0 && self.found.len() == 2;
        let Found { slot, meta } = self.found[index].clone();
        if self.found.len() == 1 && !is_as_closed && !reads_as_zeros(pages, 1 - slot) {
            verify_births(pages, &meta)?;
        }
        let mut log =
            LogPlace::of_meta(&meta).map(|(place, start)| FoundLog::read(pages, place, start)).transpose()?;
        if is_mutated(Mutation::LogNotReplayed) {
            log = log.map(|log| FoundLog { end: log.start, ..log });
        }
        Ok(Recovery { slot, meta, greatest_id, has_older_meta, is_as_closed, log })
    }

    /// The newest meta whose listed pages verify.
    fn choose(&self, pages: &PageFile) -> Result<usize> {
        let mut first_error = None;
        for (index, Found { meta, .. }) in self.found.iter().enumerate() {
            check_length(pages, meta)?;
            match verify_listed(pages, meta) {
                Ok(()) if is_mutated(Mutation::OlderMetaChosen) && index + 1 < self.found.len() => {}
                Ok(()) => return Ok(index),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.expect("read_slots has found a meta"))
    }
}

/// What recovery has found, and is to begin from.
pub(crate) struct Recovery {
    slot: usize,
    meta: Meta,
    /// The greatest id in either meta.
    greatest_id: TransactionId,
    /// Whether the other slot has an older meta, which may stay.
    has_older_meta: bool,
    /// There is nothing to store.
    is_as_closed: bool,
    log: Option<FoundLog>,
}

impl Recovery {
    /// Whether step 4 is to be done. A log that has no records may still have stale ones further on, which the disk had
    /// before those ahead of them: if the same records were appended again, stale ones would continue them. So the log
    /// begins again (L5), unless the last handle has closed it. A read-only handle appends nothing. A handle that wants
    /// no ring gives it up here.
    pub(crate) fn must_replay(&self, settings: &Settings) -> bool {
        let begins_again = !self.is_as_closed || settings.log_size == 0;
        self.log.as_ref().is_some_and(|log| !log.is_empty() || !settings.read_only && begins_again)
    }

    pub(crate) fn log(&self) -> Option<&FoundLog> {
        self.log.as_ref()
    }

    /// The newest transaction that the file has.
    pub(crate) fn newest(&self) -> TransactionId {
        self.log.map_or(self.meta.id, |log| log.end.last)
    }

    /// Whether the chosen snapshot is durable without step 3.
    pub(crate) fn is_as_closed(&self) -> bool {
        self.is_as_closed
    }

    /// Step 3, and sets `shared` to the chosen snapshot. `must_replay`: steps 4 and 5 follow.
    pub(crate) fn begin(
        &self,
        pages: &PageFile,
        shared: &SharedMemory,
        (read_only, must_replay): (bool, bool),
    ) -> Result<()> {
        let Recovery { slot, meta, .. } = self;
        // Read-only handles that were here first read what they chose. Going back would take it from under them.
        let joined = Some(shared.newest_id()).filter(|id| id.0 != 0);
        if let Some(joined) = joined.filter(|&joined| joined != meta.id) {
            let expected = format_args!("of transaction {joined}, which readers have open");
            return Err(corrupt(None, "newest good meta page", expected, meta.id));
        }
        let mut encoded = vec![0; pages.page_size];
        let offset = slot_offset(*slot, pages.page_size);
        pages.storage.read(offset, &mut encoded).map_err(pages.io_error("read a meta page of"))?;
        if Meta::decode(&encoded, *slot as u32)? != *meta {
            return Err(corrupt(Some(*slot as u32), "meta page", "the bytes that were chosen", "others"));
        }
        if !read_only && !self.is_as_closed {
            self.store_again(pages, &encoded)?;
        }
        let newest = state_of(meta);
        if joined.is_none() {
            let first_id = match is_mutated(Mutation::IdUsedAgain) {
                true => meta.id.next(),
                false => first_id_after(meta.id, self.greatest_id.max(self.newest())),
            };
            shared.start_at(&newest, *slot, first_id);
        }
        shared.set_slot_checksum(*slot, Meta::checksum_of(&encoded));
        // Until the replay is published: a handle that comes after a kill, or an error, recovers again.
        shared.set_unrecovered(must_replay || read_only && !self.is_as_closed);
        shared.set_shrunk_in(None);
        Ok(())
    }

    fn store_again(&self, pages: &PageFile, encoded: &[u8]) -> Result<()> {
        if !is_mutated(Mutation::NotStoredAgain) {
            redirty::meta(pages, self.slot, &self.meta, encoded)?;
        }
        let other = 1 - self.slot;
        if !self.has_older_meta {
            pages.store_meta(other, &vec![0; pages.page_size])?;
        }
        if is_mutated(Mutation::RecoveryBarrierSkipped) {
            return Ok(());
        }
        pages.barrier_with_length()
    }
}

/// The state that a meta describes.
pub(crate) fn state_of(meta: &Meta) -> CommittedState {
    let RedoStart { ring, log_start, chain, .. } = meta.redo;
    CommittedState {
        snapshot: Snapshot { id: meta.id, length_pages: meta.length_pages, catalog: meta.catalog },
        space: SpaceState {
            log_page: meta.log_page,
            log_tail: meta.log_tail.clone(),
            free_pages: meta.free_pages,
            retired_pages: meta.retired_pages,
            has_names: meta.version == FORMAT_VERSION_WITH_NAMES,
        },
        log: LogState {
            ring,
            end: log_start,
            chain,
            unlogged: TransactionId(0),
            sealed: meta.id,
            sealed_end: log_start,
        },
    }
}

/// Whether the page cache has zeros in a slot. What the disk has there is another matter.
fn reads_as_zeros(pages: &PageFile, slot: usize) -> bool {
    let bytes = pages.storage.mapping().slice(slot_offset(slot, pages.page_size), pages.page_size);
    bytes.is_some_and(|bytes| bytes.iter().all(|&byte| byte == 0))
}

/// A longer file is durable before a meta names its length: so a file that is too short has been cut.
fn check_length(pages: &PageFile, meta: &Meta) -> Result<()> {
    let expected = u64::from(meta.length_pages) * pages.page_size as u64;
    let found = pages.storage.mapping().mapped_length();
    if found < expected {
        return Err(Error::Truncated { path: pages.path.clone(), expected, found });
    }
    Ok(())
}

/// Returns an error if a page of the snapshot is younger than its meta.
///
/// Asked if the other slot is damaged. It may have a meta that was torn by a crash: then all pages of this snapshot
/// were protected (L1). Or it had a newer meta, which has been damaged since: then pages that only this snapshot has
/// may have been used again, with right checksums.
fn verify_births(pages: &PageFile, meta: &Meta) -> Result<()> {
    walk_newer(pages, &meta.catalog, TransactionId(0), &mut NotYounger { pages, meta })
}

struct NotYounger<'a> {
    pages: &'a PageFile,
    meta: &'a Meta,
}

impl NewerPages for NotYounger<'_> {
    fn page(&mut self, run: Extent) -> Result<()> {
        let (header, _) = self.pages.verify_unit(run.first, self.meta.length_pages)?;
        if header.birth <= self.meta.id {
            return Ok(());
        }
        let expected = format_args!("{} or older, as no newer meta page is right", self.meta.id);
        Err(corrupt(Some(run.first.0), "birth of a page of the last checkpoint", expected, header.birth))
    }
}

/// Compares the checksums of all listed pages, and the digest of them.
fn verify_listed(pages: &PageFile, meta: &Meta) -> Result<()> {
    let mut checksums = Vec::new();
    for run in &meta.listed {
        let mut next = run.first.0;
        while next < run.end() {
            let (header, count) = pages.verify_unit(PageNumber(next), meta.length_pages)?;
            if count > run.end() - next {
                return Err(corrupt(
                    Some(next),
                    "listed extent",
                    run,
                    format_args!("{count} pages from {next}"),
                ));
            }
            checksums.push(header.checksum);
            next += count;
        }
    }
    let found = meta::digest(checksums);
    if !meta.listed.is_empty() && found != meta.digest {
        let expected = format_args!("{:08x}", meta.digest);
        return Err(corrupt(None, "digest of the listed pages", expected, format_args!("{found:08x}")));
    }
    Ok(())
}
