//! Storing again what is in the page cache already: the same bytes over themselves, so that the next barrier writes
//! them.
//!
//! After a failed sync the kernel marks pages clean that are not on the disk, and reports that once to each open file
//! that was open at the first report. A file that is opened later gets no report, and its barriers write nothing. So
//! - L6: recovery stores again the meta that it chooses;
//! - L3: a handle that makes a checkpoint stores again what is not checkpointed and was stored before it opened the
//!   file. (The log's bytes are stored again by [`crate::txn::redo_log`].)
//!
//! Invariants:
//! - Only pages of protected snapshots are stored again: no process stores anything else to them meanwhile, and
//!   readers find the same bytes before, after and in between.
//! - Each is verified first. If one does not verify it is lost, and that is an error. So it is if its birth is not that
//!   of the transaction that took it ([`Births`]), or if such a page is found where an older one is expected: the page
//!   cache has dropped it, and shows what was in its place before.

use crate::base::{Extent, PageNumber, TransactionId};
use crate::error::{Result, corrupt};
use crate::format::free_log;
use crate::format::meta::Meta;
use crate::shm::watermarks::CommittedState;
use crate::space::births::Births;
use crate::tree::newer::{NewerPages, walk_newer};
use crate::txn::page_file::PageFile;

/// The most memory that storing again takes, in bytes, however long an extent is.
const PIECE_BYTES: usize = 1 << 20;

/// Stores again a meta, and the pages that one of an old format lists, which have been verified.
pub(crate) fn meta(pages: &PageFile, slot: usize, meta: &Meta, bytes: &[u8]) -> Result<()> {
    meta.listed.iter().try_for_each(|&run| store(pages, run))?;
    pages.store_meta(slot, bytes)
}

/// Stores again the pages of `newest` born after `checkpointed`, up to `through`. `first_id`: the first id of this
/// session.
pub(crate) fn pages_of(
    pages: &PageFile,
    newest: &CommittedState,
    checkpointed: TransactionId,
    through: TransactionId,
    first_id: TransactionId,
) -> Result<()> {
    let length_pages = newest.snapshot.length_pages;
    let (log_page, log_tail) = (newest.space.log_page, &newest.space.log_tail);
    let log = free_log::read_chain(log_page, log_tail, |number| pages.page(number, length_pages))?;
    let births = Births::read(&log.bytes, newest.snapshot.id, checkpointed, first_id)?;
    let mut doubtful = Doubtful { pages, length_pages, through, births };
    for (first, _) in log.pages.into_iter().take_while(|&(_, birth)| birth > checkpointed) {
        doubtful.page(Extent { first, count: 1 })?;
    }
    walk_newer(pages, &newest.snapshot.catalog, checkpointed, &mut doubtful)
}

/// Stores again the pages that it is given.
struct Doubtful<'a> {
    pages: &'a PageFile,
    length_pages: u32,
    /// Pages that were born later are left out.
    through: TransactionId,
    births: Births,
}

impl NewerPages for Doubtful<'_> {
    fn page(&mut self, run: Extent) -> Result<()> {
        let (header, count) = self.pages.verify_unit(run.first, self.length_pages)?;
        if count != run.count {
            let (expected, found) = (format_args!("{} pages", run.count), format_args!("{count} pages"));
            return Err(corrupt(Some(run.first.0), "page not durable yet", expected, found));
        }
        self.births.check(run.first, header.birth)?;
        if header.birth > self.through { Ok(()) } else { store(self.pages, run) }
    }

    fn older_page(&mut self, number: PageNumber) -> Result<()> {
        self.births.check(number, self.pages.birth_of(number, self.length_pages)?)
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
