//! Opening: from what the disk holds to the state that the newest good record describes. Mirrors [`crate::txn::commit`].
//!
//! The steps, each of which may be cut short by a crash and is then done again from the first:
//!
//! 1. **Read** both records. None: it is no database of ours, or both slots are damaged.
//! 2. **Choose** the newest whose listed pages all verify: their digest says that the barrier which stored the record
//!    stored the pages too. (A record that lists none had its pages durable before.)
//! 3. **Store again** the record and every page it lists (R7): after a failed sync, or the end of a process, what
//!    we have just read may be in the page cache only, clean and not on the disk.
//! 4. **Erase** a rejected record (R9), so that it can never be believed after its pages have been used again.
//! 5. **One barrier**, always. Then the snapshot is durable, and visible (I3).
//! 6. New transactions get ids above every id seen, the rejected record's too (R9; no two records with one id).
//!
//! Only who comes first, when nobody else has the database open, recovers; and not even he, if those who had it open
//! before left their shared memory in order (R8): see [`Slots::is_as_left`].
//!
//! Reads two records and the pages of the last commits, never the whole file (I4). A database opened read-only
//! stops after step 2: it may not write. The first handle that may goes on.

use crate::base::PageNumber;
use crate::base::bytes::get_u32;
use crate::error::{Error, Result, corrupt};
use crate::format::page;
use crate::format::page::{MAX_PAGE_SIZE, MIN_PAGE_SIZE, is_page_size};
use crate::format::record::{self, Identity, RECORD_PAGES, Record, candidate_page_sizes, slot_offset};
use crate::share::Shared;
use crate::share::handover::SpaceState;
use crate::share::heads::{Head, Snapshot, first_id_after};
use crate::sys::Storage;
use crate::txn::page_file::PageFile;

/// A record, as it was found.
#[derive(Clone, Debug)]
struct Found {
    slot: usize,
    record: Record,
}

/// What the two slots hold.
pub(crate) struct Slots {
    pub(crate) page_size: usize,
    found: Vec<Found>,
    /// A slot that holds neither a record nor zeros.
    has_damage: bool,
}

/// Step 1.
pub(crate) fn read_slots(storage: &dyn Storage) -> Result<Slots, SlotsError> {
    let length = storage.file_length().map_err(SlotsError::Io)?;
    let read = |offset: u64| -> Result<Vec<u8>, SlotsError> {
        let mut bytes = vec![0; length.saturating_sub(offset).min(MAX_PAGE_SIZE as u64) as usize];
        storage.read(offset, &mut bytes).map_err(SlotsError::Io)?;
        Ok(bytes)
    };
    let first_bytes = read(0)?;
    let first = match Record::decode(&first_bytes, 0) {
        Err(error @ Error::NewerFormat { .. }) => return Err(SlotsError::Unusable(error)),
        other => other,
    };
    if let Ok(record) = &first {
        let page_size = record.page_size;
        let second_bytes = read(slot_offset(1, page_size))?;
        let second = Record::decode(&second_bytes, 1);
        if let Err(error @ Error::NewerFormat { .. }) = second {
            return Err(SlotsError::Unusable(error)); // a newer library's commit, which is not to be erased
        }
        let is_zero = second_bytes.iter().take(page_size).all(|&byte| byte == 0);
        let found = [first.ok(), second.ok().filter(|second| second.page_size == page_size)];
        let has_damage = found[1].is_none() && !is_zero;
        return Ok(Slots::new(page_size, found, has_damage));
    }
    for page_size in candidate_page_sizes() {
        match Record::decode(&read(slot_offset(1, page_size))?, 1) {
            Ok(record) if record.page_size == page_size => {
                return Ok(Slots::new(page_size, [None, Some(record)], true));
            }
            Err(error @ Error::NewerFormat { .. }) => return Err(SlotsError::Unusable(error)),
            _ => {}
        }
    }
    let is_ours = first_bytes.starts_with(record::MAGIC);
    let expected = u64::from(RECORD_PAGES) * declared_page_size(&first_bytes) as u64;
    match first {
        Err(_) if is_ours && length < expected => Err(SlotsError::Short { expected, found: length }),
        Err(error) if is_ours => Err(SlotsError::Unusable(error)),
        _ if length == 0 => Err(SlotsError::Foreign("it is empty".into())),
        _ => Err(SlotsError::Foreign(format!("it has {length} bytes, but no record of one"))),
    }
}

/// The page size that the bytes of a damaged record speak of; the smallest if they speak of none.
fn declared_page_size(record: &[u8]) -> usize {
    let declared = record.get(20..24).map_or(0, |bytes| get_u32(bytes, 0) as usize);
    if is_page_size(declared) { declared } else { MIN_PAGE_SIZE }
}

/// Why no record could be read.
pub(crate) enum SlotsError {
    Io(std::io::Error),
    /// The file is ours, and has been cut within its records.
    Short {
        expected: u64,
        found: u64,
    },
    /// The file is ours, and cannot be used.
    Unusable(Error),
    /// The file is not ours; what it is instead.
    Foreign(String),
}

impl Slots {
    fn new(page_size: usize, records: [Option<Record>; 2], has_damage: bool) -> Slots {
        let mut found: Vec<Found> = records
            .into_iter()
            .enumerate()
            .filter_map(|(slot, record)| Some(Found { slot, record: record? }))
            .collect();
        found.sort_by_key(|found| std::cmp::Reverse(found.record.id));
        Slots { page_size, found, has_damage }
    }

    /// The identity of the database.
    pub(crate) fn identity(&self) -> Identity {
        self.newest().identity
    }

    fn newest(&self) -> &Record {
        &self.found.first().expect("read_slots has found a record").record
    }

    /// Whether the file is as those who used `shared` left it, all of whom are gone: not poisoned, recovered, the
    /// durable record in its place, the file as long as the head needs, and the head's own catalog in it. Then what they
    /// have committed is in the page cache, lazy commits included, and going on from there loses nothing (R8).
    ///
    /// (A backup put into the place of the file may have the durable record, and not the lazy commits after it. But every
    /// commit stores a new root of the catalog, and no other transaction stores one of its birth.)
    pub(crate) fn is_as_left(&self, shared: &Shared, pages: &PageFile) -> bool {
        let durable = (shared.durable_slot(), shared.durable());
        let is_there = self.found.iter().any(|found| (found.slot, found.record.id) == durable);
        let head = shared.snapshot(shared.head_id());
        let is_whole = head.is_some_and(|head| {
            head.length_pages <= pages.existing_pages()
                && (head.id == durable.1 || has_own_catalog(pages, &head).unwrap_or(false))
        });
        is_there && is_whole && !shared.is_poisoned() && !shared.is_unrecovered()
    }

    /// Steps 2 to 6: sets `shared` to what is found.
    pub(crate) fn recover(self, pages: &PageFile, shared: &Shared, read_only: bool) -> Result<()> {
        let greatest_id = self.newest().id;
        let index = self.choose(pages)?;
        let Found { slot, record } = self.found[index].clone();
        if !read_only {
            store_again(pages, slot, &record)?;
            if index > 0 || self.has_damage {
                pages.store_record(1 - slot, &vec![0; self.page_size])?;
            }
            pages.barrier()?;
        }
        let head = Head {
            snapshot: Snapshot { id: record.id, length_pages: record.length_pages, catalog: record.catalog },
            space: SpaceState {
                log_page: record.log_page,
                log_tail: record.log_tail,
                free_pages: record.free_pages,
                retired_pages: record.retired_pages,
            },
        };
        shared.start_at(&head, slot, first_id_after(record.id, greatest_id));
        shared.set_unrecovered(read_only);
        // A file that is longer than its record was left so by a crash: its end may be cut off.
        let is_longer = pages.existing_pages() > record.length_pages;
        shared.set_shrunk_in(is_longer.then_some(record.id));
        Ok(())
    }

    /// The newest record whose listed pages verify.
    fn choose(&self, pages: &PageFile) -> Result<usize> {
        let mut first_error = None;
        for (index, Found { record, .. }) in self.found.iter().enumerate() {
            check_length(pages, record)?;
            match verify_listed(pages, record) {
                Ok(()) => return Ok(index),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.expect("read_slots has found a record"))
    }
}

/// Whether the root of the catalog is whole, and was stored by that very transaction.
fn has_own_catalog(pages: &PageFile, head: &Snapshot) -> Result<bool> {
    let root = head.catalog.page;
    if root.0 == 0 {
        return Ok(true); // there are no tables, and so no page to look at
    }
    pages.verify_unit(root, head.length_pages)?;
    Ok(page::birth(pages.page(root, head.length_pages)?) == head.id)
}

/// A longer file is durable before a record speaks of it: so a file that is too short has been cut.
fn check_length(pages: &PageFile, record: &Record) -> Result<()> {
    let expected = u64::from(record.length_pages) * pages.page_size as u64;
    let found = pages.storage.mapping().mapped_length();
    if found < expected {
        return Err(Error::Truncated { path: pages.path.clone(), expected, found });
    }
    Ok(())
}

/// Compares the checksums of all listed pages, and the digest of them.
fn verify_listed(pages: &PageFile, record: &Record) -> Result<()> {
    let mut checksums = Vec::new();
    for run in &record.listed {
        let mut next = run.first.0;
        while next < run.end() {
            let (_, count, checksum) = pages.verify_unit(PageNumber(next), record.length_pages)?;
            if count > run.end() - next {
                return Err(corrupt(
                    Some(next),
                    "listed run",
                    run,
                    format_args!("{count} pages from {next}"),
                ));
            }
            checksums.push(checksum);
            next += count;
        }
    }
    let found = record::digest(checksums);
    if !record.listed.is_empty() && found != record.digest {
        let expected = format_args!("{:08x}", record.digest);
        return Err(corrupt(None, "digest of the listed pages", expected, format_args!("{found:08x}")));
    }
    Ok(())
}

/// Step 3.
fn store_again(pages: &PageFile, slot: usize, record: &Record) -> Result<()> {
    for run in &record.listed {
        let offset = run.first.offset(pages.page_size);
        let mut bytes = vec![0; run.count as usize * pages.page_size];
        pages.storage.read(offset, &mut bytes).map_err(pages.io_error("read"))?;
        pages.storage.write(offset, &[&bytes]).map_err(pages.io_error("write pages to"))?;
    }
    pages.store_record(slot, &record.encode())
}
