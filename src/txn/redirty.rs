//! Storing again what is in the page cache already: the same bytes over themselves, so that the next barrier writes
//! them.
//!
//! After a failed sync the kernel marks pages clean that are not on the disk, and reports that once to each open file
//! that was open at the first report. A file that is opened later gets no report, and its barriers write nothing. So
//! - R7: recovery stores again the meta that it chooses, and the pages that the meta lists;
//! - R4: the next syncer does the same with the meta of a sync whose process died in it;
//! - R10: a handle that begins to sync stores again what is not durable and was stored before it opened the file.
//!
//! Invariants:
//! - Only pages of protected snapshots are stored again: no process stores anything else to them meanwhile, and
//!   readers find the same bytes before, after and in between.
//! - Each is verified first. If one does not verify it is lost, and that is an error.

use crate::base::{Extent, TransactionId};
use crate::error::{Result, corrupt};
use crate::format::free_log;
use crate::format::meta::Meta;
use crate::shm::watermarks::CommittedState;
use crate::tree::newer::{NewerPages, walk_newer};
use crate::txn::page_file::PageFile;
use crate::txn::unsynced_pages::UnsyncedPages;

/// The most memory that storing again takes, in bytes, however long an extent is.
const PIECE_BYTES: usize = 1 << 20;

/// Stores again a meta and the pages that it lists, which have been verified.
pub(crate) fn record(pages: &PageFile, slot: usize, record: &Meta) -> Result<()> {
    record.listed.iter().try_for_each(|&run| store(pages, run))?;
    pages.store_record(slot, &record.encode())
}

/// Stores again the pages of `newest` born after `durable`, up to `through`. `fresh` has all that were born after
/// `durable`, if they are known; otherwise they are found in the trees and the log.
pub(crate) fn pages_of(
    pages: &PageFile,
    newest: &CommittedState,
    durable: TransactionId,
    through: TransactionId,
    fresh: Option<&UnsyncedPages>,
) -> Result<()> {
    let length_pages = newest.snapshot.length_pages;
    let mut doubtful = Doubtful { pages, length_pages, through };
    if let Some(units) = fresh.and_then(UnsyncedPages::units) {
        return units.into_iter().try_for_each(|(run, checksum)| doubtful.store(run, Some(checksum)));
    }
    let log = free_log::read_chain(newest.space.log_page, &[], |number| pages.page(number, length_pages))?;
    for (first, _) in log.pages.into_iter().take_while(|&(_, birth)| birth > durable) {
        doubtful.store(Extent { first, count: 1 }, None)?;
    }
    walk_newer(pages, &newest.snapshot.catalog, durable, &mut doubtful)
}

/// Stores again the pages that it is given.
struct Doubtful<'a> {
    pages: &'a PageFile,
    length_pages: u32,
    /// Pages that were born later are left out.
    through: TransactionId,
}

impl Doubtful<'_> {
    /// Stores again a page or an overflow extent, if its checksum is right, and the expected one.
    fn store(&mut self, run: Extent, expected: Option<u32>) -> Result<()> {
        let (header, count) = self.pages.verify_unit(run.first, self.length_pages)?;
        let found = (count, header.checksum);
        let expected = (run.count, expected.unwrap_or(header.checksum));
        if found != expected {
            let show = |(count, checksum): (u32, u32)| format!("{count} pages with checksum {checksum:08x}");
            return Err(corrupt(Some(run.first.0), "page not durable yet", show(expected), show(found)));
        }
        if header.birth > self.through { Ok(()) } else { store(self.pages, run) }
    }
}

impl NewerPages for Doubtful<'_> {
    fn page(&mut self, run: Extent) -> Result<()> {
        self.store(run, None)
    }
}

/// Stores pages over themselves, piece by piece.
fn store(pages: &PageFile, run: Extent) -> Result<()> {
    let bytes = run.count as usize * pages.page_size;
    let mut piece = vec![0; bytes.min(PIECE_BYTES)];
    let mut at = 0;
    while at < bytes {
        let piece_len = piece.len().min(bytes - at);
        let piece = &mut piece[..piece_len];
        let offset = run.first.offset(pages.page_size) + at as u64;
        pages.storage.read(offset, piece).map_err(pages.io_error("read"))?;
        pages.write("write pages to", offset, &[piece])?;
        at += piece_len;
    }
    Ok(())
}
