//! The parts of a copy: the pages that the snapshot uses, and a meta page and a free log that describe them.

use std::fs::File;
use std::io;
use std::ops::Bound;

use crate::base::{Extent, PageNumber, PageSet, TransactionId};
use crate::check::{VerifyingSource, verify_tree};
use crate::error::{Error, Result};
use crate::format::catalog::{TableEntry, decode_name};
use crate::format::free_log::{self, Base, FIRST_PAGE};
use crate::format::meta::{FORMAT_VERSION, Identity, META_PAGES, MIN_BLOCK, Meta, RedoStart, TAIL_LIMIT};
use crate::format::page;
use crate::shm::watermarks::Snapshot;
use crate::space::Space;
use crate::space::save::{FreeLog, LogLimits};
use crate::sys;
use crate::tree::RangeCursor;
use crate::txn::page_file::PageFile;

pub(super) struct Plan {
    pub(super) page_size: usize,
    /// Pages of trees, ascending.
    pub(super) used: Vec<Extent>,
    /// Pages of the free log, sealed. Their numbers are of pages that the snapshot does not use.
    log_pages: Vec<(PageNumber, Box<[u8]>)>,
    /// Both meta pages.
    pub(super) meta_pages: Vec<u8>,
    length_pages: u32,
    transaction: TransactionId,
}

impl Plan {
    /// Verifies a snapshot, and plans its copy: as transaction `id`, which is not older than the snapshot, of a
    /// database with `identity`.
    pub(super) fn of(
        pages: &PageFile,
        snapshot: &Snapshot,
        id: TransactionId,
        identity: Identity,
    ) -> Result<Plan> {
        let page_size = pages.page_size;
        let used: Vec<Extent> = verified_pages(pages, snapshot)?.runs_from(PageNumber(FIRST_PAGE)).collect();
        let mut space = Space::load(&free_log::encode_base(&base(&used)), id)?;
        let limits = LogLimits { page_size, tail_len: TAIL_LIMIT };
        let saved = space.save(&FreeLog::new(&space), id, limits, |space, count| {
            let length_pages = space.length_pages().saturating_add(count);
            if length_pages > PageNumber::LIMIT {
                return Err(Error::Full { max_size: u64::from(PageNumber::LIMIT) * page_size as u64 });
            }
            space.grow(length_pages);
            Ok(())
        })?;
        let mut log_pages = saved.pages;
        log_pages.iter_mut().for_each(|(number, bytes)| _ = page::seal(bytes, *number, id));
        let meta = Meta {
            page_size,
            identity,
            id,
            length_pages: space.length_pages(),
            free_pages: space.free().page_count(),
            retired_pages: 0,
            catalog: snapshot.catalog,
            log_page: saved.log.newest_page(),
            log_tail: saved.log.tail().to_vec(),
            redo: RedoStart { block: MIN_BLOCK, ..RedoStart::default() },
            listed: Vec::new(),
            digest: 0,
            version: FORMAT_VERSION,
        };
        let mut meta_pages = meta.encode();
        meta_pages.resize(META_PAGES as usize * page_size, 0);
        Ok(Plan {
            page_size,
            used,
            log_pages,
            meta_pages,
            length_pages: space.length_pages(),
            transaction: id,
        })
    }

    /// Returns the transaction of the copy.
    pub(super) fn transaction(&self) -> TransactionId {
        self.transaction
    }

    /// Returns the length of the copy, in bytes.
    pub(super) fn length(&self) -> u64 {
        PageNumber(self.length_pages).offset(self.page_size)
    }

    /// Returns all parts after the meta pages, ascending.
    pub(super) fn parts(&self) -> Vec<Part<'_>> {
        let log = self.log_pages.iter().map(|(number, bytes)| Part::Log(*number, bytes));
        let mut parts: Vec<Part<'_>> = self.used.iter().map(|&run| Part::Used(run)).chain(log).collect();
        parts.sort_by_key(Part::first);
        parts
    }

    /// Stores the meta pages and the free log. The caller stores the used pages.
    pub(super) fn store_around(&self, file: &File) -> io::Result<()> {
        for (number, bytes) in &self.log_pages {
            sys::store_at(file, number.offset(self.page_size), bytes)?;
        }
        sys::store_at(file, 0, &self.meta_pages)
    }
}

/// Reads and verifies every page that the snapshot uses, and returns their set.
fn verified_pages(pages: &PageFile, snapshot: &Snapshot) -> Result<PageSet> {
    let source = VerifyingSource { pages, length_pages: snapshot.length_pages };
    let mut seen = PageSet::new(snapshot.length_pages)?;
    verify_tree(&source, &snapshot.catalog, snapshot.id, &mut seen, &mut |_| {})?;
    let mut tables = RangeCursor::new(&snapshot.catalog, Bound::Unbounded, Bound::Unbounded);
    while let Some((name, entry)) = tables.next(&source)? {
        decode_name(&name)?;
        verify_tree(&source, &TableEntry::decode(entry)?.root, snapshot.id, &mut seen, &mut |_| {})?;
    }
    Ok(seen)
}

/// Returns the free space of a file that ends with the last of the `used` pages.
fn base(used: &[Extent]) -> Base {
    let mut end = FIRST_PAGE;
    let mut free = Vec::new();
    for run in used {
        if run.first.0 > end {
            free.push(Extent::new(end, run.first.0 - end));
        }
        end = run.end();
    }
    Base { length_pages: end, free, retired: Vec::new() }
}

/// A part of the file after the meta pages that is not free.
pub(super) enum Part<'a> {
    Used(Extent),
    Log(PageNumber, &'a [u8]),
}

impl Part<'_> {
    pub(super) fn first(&self) -> PageNumber {
        match self {
            Part::Used(run) => run.first,
            Part::Log(number, _) => *number,
        }
    }

    pub(super) fn page_count(&self) -> u32 {
        match self {
            Part::Used(run) => run.count,
            Part::Log(..) => 1,
        }
    }
}
