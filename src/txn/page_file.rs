//! The pages of the open file: read in place, checked the first time they are touched, stored in extents.
//!
//! Invariants:
//! - I5: a page number from the file is checked against the snapshot's length before it is followed.
//! - With [`Verify::FirstTouch`] a page is returned only after this handle has once computed or compared the checksum
//!   of a page of that number. What another process stores under the number later is not compared again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::base::{Extent, PageNumber, TransactionId};
use crate::error::{Error, Result, corrupt};
use crate::format::meta::{META_PAGES, Meta, slot_offset};
use crate::format::overflow;
use crate::format::page::{self, PageHeader, PageKind};
use crate::shm::watermarks::Snapshot;
use crate::sys::{LINE_BYTES, Mapping, Rights, SharedWords, Storage, pieces};
use crate::tree::pages::{PageSource, SealedPages};

/// Cache lines that header, heads and slots of a usual leaf take.
const HEAD_LINES: usize = 3;

/// From this many bytes on, an extent goes to the disk piece by piece while it is stored.
const WRITE_BACK_BYTES: usize = 4 << 20;
const WRITE_BACK_PIECE_BYTES: usize = 1 << 20;

/// What precedes a checkpoint writes the file to the disk in about this many pieces, of at least and at most this much.
const GENTLE_PIECES: u64 = 512;
const MIN_GENTLE_PIECE_BYTES: u64 = 128 << 10;
const MAX_GENTLE_PIECE_BYTES: u64 = 4 << 20;

/// When the checksums of pages are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Verify {
    /// The first time that a page, by its number, is touched through this handle.
    #[default]
    FirstTouch,
    /// Each time: for debugging.
    Always,
    /// Never, except in recovery and by `check`.
    Never,
}

pub(crate) struct PageFile {
    pub(crate) storage: Box<dyn Storage>,
    /// The mapping of the storage.
    mapping: Arc<Mapping>,
    pub(crate) page_size: usize,
    pub(crate) path: PathBuf,
    verify: Verify,
    /// A bit for each page that the file can ever have, set once its checksum is known to be right.
    verified: SharedWords,
    barriers: AtomicU64,
    written_bytes: AtomicU64,
    /// See [`PageFile::check_layer`].
    has_layers: bool,
    current_snapshot: AtomicU64,
}

impl PageFile {
    pub(crate) fn new(
        storage: Box<dyn Storage>,
        page_size: usize,
        path: &Path,
        verify: Verify,
    ) -> Result<PageFile> {
        let page_count = storage.mapping().reserved_length() / page_size as u64;
        let words = page_count.min(u64::from(PageNumber::LIMIT)).div_ceil(64) as usize;
        let verified =
            SharedWords::anonymous(words).map_err(|source| Error::io("reserve memory for", path, source))?;
        Ok(PageFile {
            mapping: Arc::clone(storage.mapping()),
            has_layers: storage.has_layers(),
            current_snapshot: AtomicU64::new(0),
            storage,
            page_size,
            path: path.to_owned(),
            verify,
            verified,
            barriers: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
        })
    }

    /// On overlayfs: returns an error if the mapping is of a file that is no longer the one that is written. Every
    /// transaction that changes anything writes the catalog's root, so a snapshot whose root is in the mapping is in
    /// it as a whole: the lower layer does not change. Nothing of a new snapshot is touched before this has returned;
    /// an old one stays readable, because both files have it.
    #[inline]
    pub(crate) fn check_layer(&self, snapshot: &Snapshot) -> Result<()> {
        if self.has_layers { self.compare_layers(snapshot) } else { Ok(()) }
    }

    #[cold]
    fn compare_layers(&self, snapshot: &Snapshot) -> Result<()> {
        if self.current_snapshot.load(Relaxed) == snapshot.id.0 || snapshot.catalog.depth == 0 {
            return Ok(());
        }
        let offset = snapshot.catalog.page.offset(self.page_size);
        let is_current = self.storage.is_mapping_current(&self.path, offset, self.page_size);
        if !is_current.map_err(self.io_error("compare the mapping with"))? {
            let problem = "a writer has come, and overlayfs has copied the file for it into the upper layer";
            return Err(Error::Replaced { path: self.path.clone(), problem });
        }
        self.current_snapshot.store(snapshot.id.0, Relaxed);
        Ok(())
    }

    pub(crate) fn io_error(&self, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::io(action, &self.path, source)
    }

    /// The rights that files made from this one get.
    pub(crate) fn rights(&self) -> Result<Rights> {
        self.storage.rights().map_err(self.io_error("examine"))
    }

    /// The error for a file that has, or is to have, `length_pages` pages, more than this handle has mapped.
    #[cold]
    pub(crate) fn mapping_too_small(&self, length_pages: u32) -> Error {
        Error::MappingTooSmall {
            path: self.path.clone(),
            needed: PageNumber(length_pages).offset(self.page_size),
            mapped: self.mapping.reserved_length(),
        }
    }

    /// How many pages the file can have, at most.
    pub(crate) fn limit_pages(&self) -> u32 {
        let pages = self.mapping.reserved_length() / self.page_size as u64;
        pages.min(u64::from(PageNumber::LIMIT)) as u32
    }

    /// Pages that the file is known to have.
    pub(crate) fn existing_pages(&self) -> u32 {
        let pages = self.mapping.mapped_length() / self.page_size as u64;
        pages.min(u64::from(PageNumber::LIMIT)) as u32
    }

    /// A leaf or branch page of a snapshot that is `length_pages` long.
    #[inline(always)]
    pub(crate) fn page(&self, number: PageNumber, length_pages: u32) -> Result<&[u8]> {
        if (META_PAGES..length_pages).contains(&number.0)
            && let Some(bytes) = self.mapping.slice(number.offset(self.page_size), self.page_size)
            && self.is_verified(number)
        {
            return Ok(bytes);
        }
        self.page_not_seen_before(number, length_pages)
    }

    #[cold]
    #[inline(never)]
    fn page_not_seen_before(&self, number: PageNumber, length_pages: u32) -> Result<&[u8]> {
        let bytes = self.bytes(Extent { first: number, count: 1 }, length_pages)?;
        if !self.is_verified(number) {
            self.verify(number, bytes)?;
        }
        Ok(bytes)
    }

    /// Prefetches the first cache lines of a page.
    #[inline(always)]
    fn prefetch_lines(&self, number: PageNumber, lines: usize) {
        self.mapping.prefetch(number.offset(self.page_size), lines);
    }

    /// A whole overflow extent.
    pub(crate) fn overflow(&self, first: PageNumber, length_pages: u32) -> Result<&[u8]> {
        let head = self.bytes(Extent { first, count: 1 }, length_pages)?;
        let count = overflow::checked_page_count(head, self.page_size)?;
        let run = self.bytes(Extent { first, count }, length_pages)?;
        if !self.is_verified(first) {
            self.verify(first, run)?;
        }
        overflow::verify_run(run, self.page_size)?;
        Ok(run)
    }

    /// The header of a page, or of an overflow extent, not verified.
    pub(crate) fn header(&self, first: PageNumber, length_pages: u32) -> Result<&[u8]> {
        let page = self.bytes(Extent { first, count: 1 }, length_pages)?;
        Ok(&page[..page::HEADER_LEN])
    }

    /// How many pages the overflow extent at `first` has; reads only its header.
    pub(crate) fn overflow_page_count(&self, first: PageNumber, length_pages: u32) -> Result<u32> {
        let head = self.bytes(Extent { first, count: 1 }, length_pages)?;
        let count = overflow::checked_page_count(head, self.page_size)?;
        self.bytes(Extent { first, count }, length_pages).map(|_| count)
    }

    /// Brings pages into memory. Returns how many of them were not there.
    pub(crate) fn bring_in(&self, run: Extent, length_pages: u32) -> Result<u64> {
        self.bytes(run, length_pages)?;
        let start = run.first.offset(self.page_size);
        let end = start + u64::from(run.count) * self.page_size as u64;
        let pages_read = self.mapping.bring_in(start..end).map_err(self.io_error("read ahead in"))?;
        Ok(pages_read.div_ceil(self.page_size as u64))
    }

    #[inline]
    fn bytes(&self, run: Extent, length_pages: u32) -> Result<&[u8]> {
        let inside = run.first.0 >= META_PAGES
            && run.first.0 < length_pages
            && run.count <= length_pages - run.first.0;
        let (offset, length) = (run.first.offset(self.page_size), run.count as usize * self.page_size);
        match self.mapping.slice(offset, length) {
            Some(bytes) if inside => Ok(bytes),
            _ => self.bytes_of_longer_file(run, length_pages, inside),
        }
    }

    /// Another process may have made the file longer since this handle last asked for the length.
    #[cold]
    fn bytes_of_longer_file(&self, run: Extent, length_pages: u32, inside: bool) -> Result<&[u8]> {
        let (offset, length) = (run.first.offset(self.page_size), run.count as usize * self.page_size);
        if inside {
            self.storage.refresh_length().map_err(self.io_error("examine"))?;
            if let Some(bytes) = self.mapping.slice(offset, length) {
                return Ok(bytes);
            }
            // The snapshot is sound, and this handle cannot see all of it.
            if length_pages > self.limit_pages() {
                return Err(self.mapping_too_small(length_pages));
            }
        }
        Err(outside(run, length_pages))
    }

    #[inline(always)]
    fn is_verified(&self, number: PageNumber) -> bool {
        let word = self.verified.words()[number.0 as usize / 64].load(Relaxed);
        word >> (number.0 % 64) & 1 != 0
    }

    fn set_verified(&self, number: PageNumber) {
        if self.verify != Verify::Always {
            self.verified.words()[number.0 as usize / 64].fetch_or(1 << (number.0 % 64), Relaxed);
        }
    }

    #[cold]
    fn verify(&self, number: PageNumber, bytes: &[u8]) -> Result<()> {
        if self.verify != Verify::Never {
            page::verify(bytes, number)?;
        }
        self.set_verified(number);
        Ok(())
    }

    /// Compares the checksum of a page, or of the overflow extent that begins there, whatever the options say.
    /// Returns its header and its length in pages.
    pub(crate) fn verify_unit(&self, first: PageNumber, length_pages: u32) -> Result<(PageHeader, u32)> {
        let head = self.bytes(Extent { first, count: 1 }, length_pages)?;
        let count = match page::kind(head) {
            Some(PageKind::Overflow) => overflow::checked_page_count(head, self.page_size)?,
            _ => 1,
        };
        let header = page::verify(self.bytes(Extent { first, count }, length_pages)?, first)?;
        Ok((header, count))
    }

    /// The birth in the header of a page that has been verified.
    pub(crate) fn birth_of(&self, number: PageNumber, length_pages: u32) -> Result<TransactionId> {
        Ok(page::birth(self.bytes(Extent { first: number, count: 1 }, length_pages)?))
    }

    /// Stores finished pages, in as few writes as their numbers allow. Leaves `sealed` sorted by number.
    pub(crate) fn store(&self, sealed: &mut [SealedPages]) -> Result<()> {
        self.store_runs(sealed, |first, buffers| self.store_run("write pages to", first, buffers))
    }

    /// The same for pages after which others will be stored soon: the disk begins to write these at once.
    pub(crate) fn store_ahead(&self, sealed: &mut [SealedPages]) -> Result<()> {
        self.store_runs(sealed, |first, buffers| {
            let offset = first.offset(self.page_size);
            self.write("write pages to", offset, buffers)?;
            self.storage.start_write_back(offset, total_length(buffers) as u64);
            Ok(())
        })
    }

    fn store_runs(
        &self,
        sealed: &mut [SealedPages],
        store_run: impl Fn(PageNumber, &[&[u8]]) -> Result<()>,
    ) -> Result<()> {
        sealed.sort_unstable_by_key(|pages| pages.first);
        let follows = |a: &SealedPages, b: &SealedPages| {
            a.first.offset(self.page_size) + a.bytes.len() as u64 == b.first.offset(self.page_size)
        };
        for run in sealed.chunk_by(follows) {
            let buffers: Vec<&[u8]> = run.iter().map(|pages| &pages.bytes[..]).collect();
            store_run(run[0].first, &buffers)?;
        }
        sealed.iter().for_each(|pages| self.set_verified(pages.first));
        Ok(())
    }

    /// Stores an overflow extent whose bytes lie in several places.
    pub(crate) fn store_parts(&self, first: PageNumber, parts: &[&[u8]]) -> Result<()> {
        self.store_run("write a large value to", first, parts)?;
        self.set_verified(first);
        Ok(())
    }

    /// Stores buffers one after the other, beginning at `first`. If they are long, the disk writes one piece while
    /// the next is copied; otherwise the barrier to come would wait for all of it. (If they are short this does not
    /// pay: then the time of a barrier depends on the number of requests rather than on that of bytes.)
    fn store_run(&self, action: &'static str, first: PageNumber, buffers: &[&[u8]]) -> Result<()> {
        let offset = first.offset(self.page_size);
        if total_length(buffers) < WRITE_BACK_BYTES {
            return self.write(action, offset, buffers);
        }
        for (at, piece) in pieces(offset, buffers, WRITE_BACK_PIECE_BYTES) {
            self.write(action, at, &piece)?;
            self.storage.start_write_back(at, total_length(&piece) as u64);
        }
        Ok(())
    }

    /// The meta in a slot, if there is one. Read by a system call: what changes is never borrowed (I1).
    pub(crate) fn read_meta(&self, slot: usize) -> Result<Option<Meta>> {
        let mut bytes = vec![0; self.page_size];
        let offset = slot_offset(slot, self.page_size);
        self.storage.read(offset, &mut bytes).map_err(self.io_error("read a meta page of"))?;
        Ok(Meta::decode(&bytes, slot as u32).ok())
    }

    /// Stores an encoded meta in a slot.
    pub(crate) fn store_meta(&self, slot: usize, meta: &[u8]) -> Result<()> {
        self.write("write a meta page to", slot_offset(slot, self.page_size), &[meta])
    }

    /// Stores `buffers` one after the other.
    pub(crate) fn write(&self, action: &'static str, offset: u64, buffers: &[&[u8]]) -> Result<()> {
        self.written_bytes.fetch_add(total_length(buffers) as u64, Relaxed);
        self.storage.write(offset, buffers).map_err(self.io_error(action))
    }

    /// Barriers so far.
    pub(crate) fn barrier_count(&self) -> u64 {
        self.barriers.load(Relaxed)
    }

    /// Bytes of pages and metas that have been stored so far.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Relaxed)
    }

    /// Cuts the file to `length_pages`. No reader may see a page beyond that.
    pub(crate) fn truncate(&self, length_pages: u32) -> Result<()> {
        let to = u64::from(length_pages) * self.page_size as u64;
        self.storage.truncate(to).map_err(self.io_error("truncate"))
    }

    /// Writes most of what has been stored to the disk, before a checkpoint makes it durable: piece by piece, so that a
    /// sync of the log that comes meanwhile waits for one piece, and not for all that the checkpoint has to write. Ends
    /// early if `is_urgent`.
    pub(crate) fn write_back_in_pieces(&self, is_urgent: impl Fn() -> bool) {
        let length = self.mapping.mapped_length();
        let piece = (length / GENTLE_PIECES).clamp(MIN_GENTLE_PIECE_BYTES, MAX_GENTLE_PIECE_BYTES);
        let mut at = 0;
        while at < length && !is_urgent() {
            self.storage.write_back(at, piece.min(length - at));
            at += piece;
        }
    }

    /// Makes what has been stored in `length` bytes from `offset` on durable: one `msync` (I4).
    pub(crate) fn barrier_over(&self, offset: u64, length: u64) -> Result<()> {
        self.barriers.fetch_add(1, Relaxed);
        self.storage.barrier_over(offset, length).map_err(self.io_error("sync"))
    }

    /// The same for the meta page of a slot.
    pub(crate) fn barrier_over_slot(&self, slot: usize) -> Result<()> {
        self.barrier_over(slot_offset(slot, self.page_size), self.page_size as u64)
    }

    /// Makes all that has been stored durable, and the file's length.
    pub(crate) fn barrier_with_length(&self) -> Result<()> {
        self.barriers.fetch_add(1, Relaxed);
        self.storage.barrier_with_length().map_err(self.io_error("sync"))
    }

    /// The same for a checkpoint: through a description of its own (L12).
    pub(crate) fn checkpoint_barrier(&self) -> Result<()> {
        self.barriers.fetch_add(1, Relaxed);
        self.storage.checkpoint_barrier().map_err(self.io_error("sync"))
    }
}

fn total_length(buffers: &[&[u8]]) -> usize {
    buffers.iter().map(|buffer| buffer.len()).sum()
}

#[cold]
fn outside(run: Extent, length_pages: u32) -> Error {
    corrupt(
        Some(run.first.0),
        "page reference",
        format_args!("pages within {META_PAGES}..{length_pages}"),
        run,
    )
}

/// All pages that exist: a write transaction, which has the newest of them, reads these.
impl PageSource for PageFile {
    fn page_size(&self) -> usize {
        self.page_size
    }

    fn page_count(&self) -> u32 {
        self.existing_pages()
    }

    fn page(&self, number: PageNumber) -> Result<&[u8]> {
        PageFile::page(self, number, self.existing_pages())
    }

    fn overflow(&self, first: PageNumber) -> Result<&[u8]> {
        PageFile::overflow(self, first, self.existing_pages())
    }

    fn overflow_page_count(&self, first: PageNumber) -> Result<u32> {
        PageFile::overflow_page_count(self, first, self.existing_pages())
    }

    #[inline(always)]
    fn prefetch(&self, number: PageNumber) {
        self.prefetch_lines(number, HEAD_LINES);
        self.mapping.prefetch(number.offset(self.page_size) + (self.page_size - LINE_BYTES) as u64, 1);
    }

    fn prefetch_whole(&self, number: PageNumber) {
        self.prefetch_lines(number, self.page_size / LINE_BYTES);
    }

    fn peek(&self, number: PageNumber) -> &[u8] {
        self.mapping.slice(number.offset(self.page_size), self.page_size).unwrap_or(&[])
    }
}
