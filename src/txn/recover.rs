//! Opening: from what the disk holds to the state that the newest good meta describes. Mirrors
//! [`crate::txn::commit`].
//!
//! The steps, each of which may be cut short by a crash and is then done again from the first:
//!
//! 1. **Read** both metas. If there is none, the file is no mapleaf database, or both slots are damaged.
//! 2. **Choose** the newest whose listed pages all verify: their digest shows that the barrier which stored the meta
//!    stored the pages too. (A meta that lists none had its pages durable before.)
//! 3. **Store again** the meta and every page it lists (R7): after a failed sync, or the end of a process, what was
//!    just read may be in the page cache only, clean and not on the disk.
//! 4. **Erase** the other slot (R9), unless it holds an older meta: a rejected meta could be believed after its pages
//!    have been used again. Zeros are stored even over zeros, which may be in the page cache only, after an erasing
//!    whose barrier failed.
//! 5. **One barrier**, always. Then the snapshot is durable, and visible (I3).
//! 6. New transactions get ids above every id seen, the rejected meta's too (R9; no two metas with one id).
//!
//! Only a handle that is alone recovers, and it does not if the handles before it left shared memory that the file
//! confirms (R8): see [`Slots::is_as_left`].
//!
//! Reads two metas and the pages of the last commits, never the whole file (I4). A database opened read-only stops
//! after step 2: it may not write. The first handle that may write goes on.

use crate::base::PageNumber;
use crate::base::bytes::get_u32;
use crate::base::mutation::{Mutation, is_mutated};
use crate::error::{Error, Result, corrupt};
use crate::format::meta::{self, Identity, META_PAGES, Meta, candidate_page_sizes, slot_offset};
use crate::format::page::{MAX_PAGE_SIZE, MIN_PAGE_SIZE, is_page_size};
use crate::shm::SharedMemory;
use crate::shm::watermarks::first_id_after;
use crate::sys::Storage;
use crate::txn::left_state;
use crate::txn::page_file::PageFile;
use crate::txn::redirty;

/// How often the slots are read before they are taken to hold no meta.
const READ_TRIES: u64 = 4;

/// A meta, as it was found.
#[derive(Clone, Debug)]
struct Found {
    slot: usize,
    record: Meta,
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
pub(crate) fn read_records(storage: &dyn Storage) -> Result<Vec<Meta>> {
    let length = storage.file_length().unwrap_or(0);
    let decode = |slot: usize, page_size: usize| -> Result<Option<Meta>> {
        let offset = slot_offset(slot, page_size);
        let mut bytes = vec![0; length.saturating_sub(offset).min(MAX_PAGE_SIZE as u64) as usize];
        let read = storage.read(offset, &mut bytes).ok();
        match read.map(|()| Meta::decode(&bytes, slot as u32)) {
            Some(Err(error @ Error::NewerFormat { .. })) => Err(error),
            Some(Ok(record)) if slot == 0 || record.page_size == page_size => Ok(Some(record)),
            _ => Ok(None),
        }
    };
    let first = decode(0, MIN_PAGE_SIZE)?;
    let page_size = first.as_ref().map(|record| record.page_size);
    let mut records: Vec<Meta> = first.into_iter().collect();
    for candidate in candidate_page_sizes().filter(|&size| page_size.is_none_or(|known| known == size)) {
        records.extend(decode(1, candidate)?);
    }
    records.sort_by_key(|record| std::cmp::Reverse(record.id));
    Ok(records)
}

fn read_slots_once(storage: &dyn Storage) -> Result<Slots, SlotsError> {
    let length = storage.file_length().map_err(SlotsError::Io)?;
    let read = |offset: u64| read_slot(storage, offset, length);
    let first_bytes = read(0)?;
    let first = match Meta::decode(&first_bytes, 0) {
        Err(error @ Error::NewerFormat { .. }) => return Err(SlotsError::Newer(error)),
        other => other,
    };
    if let Ok(record) = &first {
        let page_size = record.page_size;
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
            Ok(record) if record.page_size == page_size => {
                return Ok(Slots::new(page_size, [None, Some(record)]));
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
fn declared_page_size(record: &[u8]) -> usize {
    let declared = record.get(20..24).map_or(0, |bytes| get_u32(bytes, 0) as usize);
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
    fn new(page_size: usize, records: [Option<Meta>; 2]) -> Slots {
        let mut found: Vec<Found> = records
            .into_iter()
            .enumerate()
            .filter_map(|(slot, record)| Some(Found { slot, record: record? }))
            .collect();
        found.sort_by_key(|found| std::cmp::Reverse(found.record.id));
        Slots { page_size, found }
    }

    /// The identity of the database.
    pub(crate) fn identity(&self) -> Identity {
        self.newest().identity
    }

    fn newest(&self) -> &Meta {
        &self.found.first().expect("read_slots has found a meta").record
    }

    /// Whether the file has all that `shared` says, whose users are all gone, and nothing newer. Then what they have
    /// committed is in the page cache, lazy commits included, and going on from there loses nothing (R8).
    ///
    /// The lock file describes a page cache that may be gone: the file system was mounted again, or the volume put
    /// back as it had been. The data file may also have been put back over itself, with the same inode. So nothing of
    /// the lock file is believed except what the data file confirms.
    pub(crate) fn is_as_left(&self, shared: &SharedMemory, pages: &PageFile) -> bool {
        let is_in_order = !shared.is_closed()
            && shared.ids_are_in_order()
            && shared.has_reader_table()
            && !shared.is_poisoned()
            && !shared.is_unrecovered();
        let Some(durable) = self.durable_record(shared).filter(|_| is_in_order) else { return false };
        shared.head_as_left().is_some_and(|newest| left_state::is_in_file(&newest, durable, shared, pages))
    }

    /// The meta of the transaction that is durable by `shared`, if it is there and no meta is newer: the other slot
    /// may have an older one, or that of a sync whose process was killed.
    fn durable_record(&self, shared: &SharedMemory) -> Option<&Meta> {
        let (slot, durable) = (shared.durable_slot(), shared.durable());
        let is_known = |found: &&Found| {
            let Found { slot: found_slot, record } = found;
            let is_stored_last = Meta::checksum_of(&record.encode()) == shared.slot_checksum(*found_slot);
            match *found_slot == slot {
                true => record.id == durable && is_stored_last,
                false => record.id < durable || shared.left_target() == Some(record.id) && is_stored_last,
            }
        };
        let known: Vec<&Found> = self.found.iter().filter(is_known).collect();
        let durable = known.iter().find(|found| found.slot == slot)?;
        (known.len() == self.found.len()).then_some(&durable.record)
    }

    /// Whether the newest meta is the one that the handle which closed `shared` knew to be durable, and the other
    /// slot has an older one, or none. Then there is nothing to store again (R7) and nothing to erase (R9): that was
    /// done, and no sync has failed since.
    pub(crate) fn is_as_closed(&self, shared: &SharedMemory, pages: &PageFile) -> bool {
        let Found { slot, record } = &self.found[0];
        shared.is_closed()
            && !shared.is_poisoned()
            && self.durable_record(shared).is_some_and(|durable| durable.id == record.id)
            && (self.found.len() == 2 || reads_as_zeros(pages, 1 - slot))
    }

    /// Steps 2 to 6: sets `shared` to what is found. Steps 3 to 5 are skipped if the newest meta is known to be
    /// durable.
    pub(crate) fn recover(
        self,
        pages: &PageFile,
        shared: &SharedMemory,
        read_only: bool,
        is_newest_durable: bool,
    ) -> Result<()> {
        let greatest_id = self.newest().id;
        let index = match is_newest_durable {
            // A page of it that does not verify is damage, not a commit that was cut short: it is met when it is read.
            true => check_length(pages, self.newest()).map(|()| 0)?,
            false => self.choose(pages)?,
        };
        let Found { slot, record } = self.found[index].clone();
        // Read-only handles that were here first read what they chose. Going back would take it from under them.
        let joined = Some(shared.newest_id()).filter(|id| id.0 != 0);
        if let Some(joined) = joined.filter(|&joined| joined != record.id) {
            let expected = format_args!("of transaction {joined}, which readers have open");
            return Err(corrupt(None, "newest good meta page", expected, record.id));
        }
        if !read_only && !is_newest_durable {
            if !is_mutated(Mutation::NotStoredAgain) {
                redirty::record(pages, slot, &record)?;
            }
            let has_older_record = index == 0 && self.found.len() == 2;
            let is_spared = is_mutated(Mutation::RejectedNotErased)
                || is_mutated(Mutation::ZerosNotStoredOverZeros) && reads_as_zeros(pages, 1 - slot);
            if !has_older_record && !is_spared {
                pages.store_record(1 - slot, &vec![0; self.page_size])?;
            }
            if !is_mutated(Mutation::RecoveryBarrierSkipped) {
                let synced = pages.barrier(record.length_pages);
                if !is_mutated(Mutation::RecoveryFailureIgnored) {
                    synced?;
                }
            }
        }
        let checksum = Meta::checksum_of(&record.encode());
        let newest = left_state::state_of(&record);
        if joined.is_none() {
            let first_id = match is_mutated(Mutation::IdUsedAgain) {
                true => record.id.next(),
                false => first_id_after(record.id, greatest_id),
            };
            shared.start_at(&newest, slot, first_id);
        }
        shared.set_slot_checksum(slot, checksum);
        shared.set_unrecovered(read_only && !is_newest_durable);
        shared.set_shrunk_in(None);
        Ok(())
    }

    /// The newest meta whose listed pages verify.
    fn choose(&self, pages: &PageFile) -> Result<usize> {
        let mut first_error = None;
        for (index, Found { record, .. }) in self.found.iter().enumerate() {
            check_length(pages, record)?;
            match verify_listed(pages, record) {
                Err(_) if is_mutated(Mutation::ListedNotVerified) => return Ok(index),
                Ok(()) if is_mutated(Mutation::OlderRecordChosen) && index + 1 < self.found.len() => {}
                Ok(()) => return Ok(index),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.expect("read_slots has found a meta"))
    }
}

/// Whether the page cache has zeros in a slot. What the disk has there is another matter.
fn reads_as_zeros(pages: &PageFile, slot: usize) -> bool {
    let bytes = pages.storage.mapping().slice(slot_offset(slot, pages.page_size), pages.page_size);
    bytes.is_some_and(|bytes| bytes.iter().all(|&byte| byte == 0))
}

/// A longer file is durable before a meta names its length: so a file that is too short has been cut.
fn check_length(pages: &PageFile, record: &Meta) -> Result<()> {
    let expected = u64::from(record.length_pages) * pages.page_size as u64;
    let found = pages.storage.mapping().mapped_length();
    if found < expected {
        return Err(Error::Truncated { path: pages.path.clone(), expected, found });
    }
    Ok(())
}

/// Compares the checksums of all listed pages, and the digest of them.
pub(super) fn verify_listed(pages: &PageFile, record: &Meta) -> Result<()> {
    let mut checksums = Vec::new();
    for run in &record.listed {
        let mut next = run.first.0;
        while next < run.end() {
            let (header, count) = pages.verify_unit(PageNumber(next), record.length_pages)?;
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
    let is_right = found == record.digest || is_mutated(Mutation::DigestNotCompared);
    if !record.listed.is_empty() && !is_right {
        let expected = format_args!("{:08x}", record.digest);
        return Err(corrupt(None, "digest of the listed pages", expected, format_args!("{found:08x}")));
    }
    Ok(())
}
