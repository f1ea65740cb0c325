//! Opening: from what the disk holds to the state that the newest good record describes. Mirrors
//! [`crate::txn::commit`].
//!
//! The steps, each of which may be cut short by a crash and is then done again from the first:
//!
//! 1. **Read** both records. None: it is no database of ours, or both slots are damaged.
//! 2. **Choose** the newest whose listed pages all verify: their digest says that the barrier which stored the record
//!    stored the pages too. (A record that lists none had its pages durable before.)
//! 3. **Store again** the record and every page it lists (R7): after a failed sync, or the end of a process, what
//!    we have just read may be in the page cache only, clean and not on the disk.
//! 4. **Erase** the other slot (R9), unless it holds an older record: a rejected record could be believed after its
//!    pages have been used again. Zeros are stored even over zeros, which may be in the page cache only, after
//!    an erasing whose barrier failed.
//! 5. **One barrier**, always. Then the snapshot is durable, and visible (I3).
//! 6. New transactions get ids above every id seen, the rejected record's too (R9; no two records with one id).
//!
//! Reads two records and the pages of the last commits, never the whole file (I4). A database opened read-only
//! stops after step 2: it may not write, and nobody else is writing.

use crate::base::{PageNumber, TransactionId};
use crate::error::{Error, Result, corrupt};
use crate::format::page::MAX_PAGE_SIZE;
use crate::format::record::{self, Record, candidate_page_sizes, slot_offset};
use crate::share::heads::first_id_after;
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
    /// Newest first.
    found: Vec<Found>,
}

/// The state that recovery has found and, unless the database is read-only, made durable.
pub(crate) struct Recovered {
    pub(crate) record: Record,
    pub(crate) slot: usize,
    pub(crate) next_id: TransactionId,
    /// Pages read to verify what the record lists.
    pub(crate) verified_pages: u32,
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
        let second = match Record::decode(&second_bytes, 1) {
            // Written since by a later version: what the first slot holds is not the newest state.
            Err(error @ Error::NewerFormat { .. }) => return Err(SlotsError::Unusable(error)),
            other => other,
        };
        let found = [first.ok(), second.ok().filter(|second| second.page_size == page_size)];
        return Ok(Slots::new(page_size, found));
    }
    for page_size in candidate_page_sizes() {
        match Record::decode(&read(slot_offset(1, page_size))?, 1) {
            Ok(record) if record.page_size == page_size => {
                return Ok(Slots::new(page_size, [None, Some(record)]));
            }
            Err(error @ Error::NewerFormat { .. }) => return Err(SlotsError::Unusable(error)),
            _ => {}
        }
    }
    let is_ours = first_bytes.starts_with(record::MAGIC);
    match first {
        Err(error) if is_ours => Err(SlotsError::Unusable(error)),
        _ if length == 0 => Err(SlotsError::Foreign("it is empty".into())),
        _ => Err(SlotsError::Foreign(format!("it has {length} bytes, but no record of one"))),
    }
}

/// Why no record could be read.
pub(crate) enum SlotsError {
    Io(std::io::Error),
    /// The file is ours, and cannot be used.
    Unusable(Error),
    /// The file is not ours; what it is instead.
    Foreign(String),
}

impl Slots {
    fn new(page_size: usize, records: [Option<Record>; 2]) -> Slots {
        let mut found: Vec<Found> = records
            .into_iter()
            .enumerate()
            .filter_map(|(slot, record)| Some(Found { slot, record: record? }))
            .collect();
        found.sort_by_key(|found| std::cmp::Reverse(found.record.id));
        Slots { page_size, found }
    }

    /// Steps 2 to 6.
    pub(crate) fn recover(self, pages: &PageFile, read_only: bool) -> Result<Recovered> {
        let newest_id = self.found.first().map_or(TransactionId(0), |found| found.record.id);
        let (index, verified_pages) = self.choose(pages)?;
        let Found { slot, record } = self.found[index].clone();
        let next_id = first_id_after(record.id, newest_id);
        if !read_only {
            store_again(pages, slot, &record)?;
            let has_older_record = index == 0 && self.found.len() == 2;
            if !has_older_record {
                pages.store_record(1 - slot, &vec![0; self.page_size])?;
            }
            pages.barrier()?;
        }
        Ok(Recovered { record, slot, next_id, verified_pages })
    }

    /// The newest record whose listed pages verify, and how many pages were read to know it.
    fn choose(&self, pages: &PageFile) -> Result<(usize, u32)> {
        let mut first_error = None;
        let mut read_pages = 0;
        for (index, Found { record, .. }) in self.found.iter().enumerate() {
            check_length(pages, record)?;
            match verify_listed(pages, record, &mut read_pages) {
                Ok(()) => return Ok((index, read_pages)),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.expect("read_slots has found a record"))
    }
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
fn verify_listed(pages: &PageFile, record: &Record, read_pages: &mut u32) -> Result<()> {
    let mut checksums = Vec::new();
    for run in &record.listed {
        let mut next = run.first.0;
        while next < run.end() {
            let (_, count, checksum) = pages.verify_unit(PageNumber(next), record.length_pages)?;
            *read_pages += count;
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
