//! Reads the damaged file, page by page, and verifies each page each time.
//!
//! Invariants:
//! - Nothing is written, and no file is created beside it. The only lock is a shared one on the file itself, which
//!   needs no right to write and makes writers wait. If other processes have the file open, it is refused: it may
//!   change meanwhile, and their lazy commits are only in their shared memory.
//! - Bytes are read by system calls, never through a mapping. A sector that cannot be read, or a file that is cut
//!   meanwhile, is an error of one page, not a signal.
//! - I5: each page number, count and length from the file is compared with the file's length before it is used.

use std::path::{Path, PathBuf};

use crate::base::{ChildRef, Extent, PageNumber, TransactionId};
use crate::error::{Error, Result, corrupt};
use crate::format::free_log;
use crate::format::meta::{META_PAGES, Meta, candidate_page_sizes};
use crate::format::overflow::{self, MAX_VALUE_LEN};
use crate::format::page::{self, HEADER_LEN, PageKind};
use crate::space::Space;
use crate::sys::{self, FileStorage, Reservation, Rights, Storage};
use crate::txn::not_a_database::not_a_database;
use crate::txn::open::open_alone;
use crate::txn::recover::read_metas;

/// This many good pages prove a page size.
const PROOF: u32 = 16;

/// The file that is salvaged.
pub(super) struct Source {
    storage: FileStorage,
    path: PathBuf,
    pub(super) page_size: usize,
    /// The number of whole pages in the file.
    pub(super) page_count: u32,
}

/// A page of a tree, verified.
pub(super) type Page = Box<[u8]>;

impl Source {
    /// Opens the file, finds its page size, and returns the good meta pages too, newest first.
    pub(super) fn open(path: &Path, page_size: Option<usize>) -> Result<(Source, Vec<Meta>)> {
        let storage = open_alone(path, Reservation::Nothing)?;
        let metas = read_metas(&storage)?;
        let examining = |source| Error::io("examine", path, source);
        let length = storage.file_length().map_err(examining)?;
        let mut source = Source { storage, path: path.to_owned(), page_size: 0, page_count: 0 };
        let found = metas.first().map(|meta| meta.page_size);
        if let (Some(requested), Some(found)) = (page_size, found)
            && requested != found
        {
            return Err(Error::PageSizeMismatch { requested, found });
        }
        let known = page_size.or(found).or_else(|| source.guess_page_size(length));
        source.page_size = known.ok_or_else(|| source.nothing_found())?;
        source.page_count = page_count(length, source.page_size);
        Ok((source, metas))
    }

    /// Returns the error for a file in which no part of a database was found.
    pub(super) fn nothing_found(&self) -> Error {
        let found = "it has neither a good meta page nor any page with the right checksum";
        not_a_database(&self.storage, &self.path, found)
    }

    /// Returns the mode, owner and group of the file.
    pub(super) fn rights(&self) -> Result<Rights> {
        Rights::of(self.storage.file()).map_err(|source| Error::io("examine", &self.path, source))
    }

    /// Returns the page size with which the most pages verify, out of the first [`PROOF`] good ones.
    fn guess_page_size(&mut self, length: u64) -> Option<usize> {
        let mut best = (0, None);
        for page_size in candidate_page_sizes() {
            (self.page_size, self.page_count) = (page_size, page_count(length, page_size));
            let pages = (META_PAGES..self.page_count).map(PageNumber);
            let is_good = |&number: &PageNumber| {
                self.looks_like_a_page(number)
                    && self.any_page(number).is_ok_and(|page| page::kind(&page).is_some())
            };
            let good = pages.filter(is_good).take(PROOF as usize).count();
            if good > best.0 {
                best = (good, Some(page_size));
            }
        }
        best.1
    }

    /// Returns whether the header has the page's own number and a known kind, which most bytes that are not a page do
    /// not.
    fn looks_like_a_page(&self, number: PageNumber) -> bool {
        let mut header = [0; HEADER_LEN];
        self.read(number.offset(self.page_size), &mut header, number).is_ok()
            && page::number(&header) == number
            && page::kind(&header).is_some()
    }

    fn read(&self, offset: u64, buffer: &mut [u8], page: PageNumber) -> Result<()> {
        let unreadable = |error| corrupt(Some(page.0), "reading the page", "its bytes", error);
        self.storage.read(offset, buffer).map_err(unreadable)
    }

    /// Reads bytes of the redo log's ring.
    pub(super) fn read_log(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.read(offset, buffer, PageNumber((offset / self.page_size as u64) as u32))
    }

    fn check_inside(&self, run: Extent) -> Result<()> {
        let is_inside = run.first.0 >= META_PAGES
            && run.first.0 < self.page_count
            && run.count <= self.page_count - run.first.0;
        if is_inside {
            return Ok(());
        }
        let expected = format_args!("pages within {META_PAGES}..{}, all that the file has", self.page_count);
        let found = format_args!("{} from {}", run.count, run.first);
        Err(corrupt(Some(run.first.0), "page reference", expected, found))
    }

    /// Returns the bytes of an extent, not verified.
    fn bytes(&self, run: Extent) -> Result<Vec<u8>> {
        self.check_inside(run)?;
        let mut bytes = sys::zeroed(run.count as usize * self.page_size)?;
        self.read(run.first.offset(self.page_size), &mut bytes, run.first)?;
        Ok(bytes.into_vec())
    }

    /// Returns a page of any kind except overflow, whose checksum covers more than the page.
    fn any_page(&self, number: PageNumber) -> Result<Page> {
        let bytes = self.bytes(Extent { first: number, count: 1 })?;
        let header = page::verify(&bytes, number)?;
        if header.kind == PageKind::Overflow {
            let found = "the beginning of an overflow run";
            return Err(corrupt(Some(number.0), "page kind", "leaf, branch or free log", found));
        }
        Ok(bytes.into_boxed_slice())
    }

    /// Returns a leaf or branch.
    pub(super) fn tree_page(&self, number: PageNumber) -> Result<Page> {
        let page = self.any_page(number)?;
        match page::kind(&page) {
            Some(PageKind::Leaf | PageKind::Branch) => Ok(page),
            _ => Err(corrupt(Some(number.0), "page kind", "leaf or branch", page[16])),
        }
    }

    /// Returns a leaf or branch if there is one at `number`. This is for a scan of all pages.
    pub(super) fn tree_page_by_chance(&self, number: PageNumber) -> Option<Page> {
        let mut header = [0; HEADER_LEN];
        self.read(number.offset(self.page_size), &mut header, number).ok()?;
        let is_one = matches!(page::kind(&header), Some(PageKind::Leaf | PageKind::Branch));
        if is_one && page::number(&header) == number { self.tree_page(number).ok() } else { None }
    }

    /// Returns the extent of a large value to which a leaf refers.
    pub(super) fn run_of_value(&self, first: ChildRef, length: u64) -> Result<Extent> {
        if length > MAX_VALUE_LEN {
            let expected = format_args!("at most {MAX_VALUE_LEN}");
            return Err(corrupt(Some(first.0), "length of a value", expected, length));
        }
        let run = Extent::new(first.0, overflow::page_count(self.page_size, length));
        self.check_inside(run)?;
        Ok(run)
    }

    /// Reads and verifies an overflow extent, written by transaction `newest` or before.
    pub(super) fn overflow_run(&self, run: Extent, newest: TransactionId) -> Result<Vec<u8>> {
        let bytes = self.bytes(run)?;
        let found = overflow::checked_page_count(&bytes, self.page_size)?;
        if found != run.count {
            return Err(corrupt(Some(run.first.0), "pages of an overflow run", run.count, found));
        }
        page::verify(&bytes, run.first)?;
        if page::birth(&bytes) > newest {
            let expected = format_args!("at most {newest}");
            return Err(corrupt(Some(run.first.0), "birth", expected, page::birth(&bytes)));
        }
        Ok(bytes)
    }

    /// Returns the free space at `meta`.
    pub(super) fn space(&self, meta: &Meta) -> Result<Space> {
        let chain = free_log::read_chain(meta.log_page, &meta.log_tail, |number| self.any_page(number))?;
        Space::load(&chain.bytes, meta.id)
    }
}

fn page_count(length: u64, page_size: usize) -> u32 {
    (length / page_size as u64).min(u64::from(PageNumber::LIMIT)) as u32
}
