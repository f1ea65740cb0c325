//! Restores increments onto an older copy, to a new file, which is a copy of the newer transaction.
//!
//! The old copy is only read. The new file begins with its contents; the pages of each increment are then stored over
//! that, each at its number. Then every page of the trees is verified, and a meta page and a free log are made for
//! them, as for any copy ([`Plan`]). Pages that the trees do not use become zeros. So the result is the same as that
//! of a copy of the snapshot made at that time.
//!
//! Why the pages fit together: a page of the newer snapshot that is not in the increment is not younger than the
//! increment's first transaction. So it was in use at that transaction, at the same number and with the same bytes
//! (`changes`). The old copy has it, if it is a copy of that database at that transaction. This is checked twice: its
//! identity has the mark of that copy, or is the database's own (`lineage`), and its newest meta page is that
//! transaction's. In addition, each such page that a page of the increment refers to must have the same checksum.
//!
//! What this cannot detect: a file that was set back to an older state, not by a copy of ours, and written to again.
//! It has the same identity, and gives ids out a second time. Of an increment from either history, only the pages
//! directly below its own are compared.
//!
//! Invariants:
//! - The old copy does not change. The new file gets its name when it is complete, verified and durable.
//! - I5: each number of an increment is compared with the length in its header before it is used. The checksum at its
//!   end is compared before the file gets its name.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::base::bytes::get_u32;
use crate::base::{Extent, PageNumber, TransactionId};
use crate::copy::PIECE_BYTES;
use crate::copy::lineage::{has_pages_of, identity_of_copy, new_identity};
use crate::copy::plan::Plan;
use crate::error::{Error, Result};
use crate::format::increment::{HEADER_LEN, IncrementHeader, PAIR_LEN};
use crate::format::meta::{Identity, META_PAGES};
use crate::format::page;
use crate::shm::watermarks::Snapshot;
use crate::sys::{self, Access, FileStorage, Reservation, Rights, Storage};
use crate::txn::not_a_database::no_meta_page;
use crate::txn::open::{open_alone, open_to_read};
use crate::txn::page_file::{PageFile, Verify};
use crate::txn::recover::read_metas;

/// What [`restore`] made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Restored {
    /// The transaction of the new database.
    pub transaction: TransactionId,
    /// The length of its file, in bytes.
    pub bytes: u64,
}

/// Restores increments onto the copy at `base`, to a new database at `path`.
///
/// The increments are read one after the other. Each must begin with the transaction that the copy, or the increment
/// before it, ends with. The copy must be made by [`ReadTxn::copy`](crate::ReadTxn::copy) and not written
/// to since, or by an earlier `restore`;
/// or it is the database itself, as it was then. It is only read, and no process may have it open.
///
/// The new database is the same as a copy of the newest increment's transaction: another database, complete, verified
/// and durable when this returns. There must be no file at `path`.
///
/// # Errors
///
/// - [`Error::WrongBase`] if the copy is of another database or transaction, or was written to since. (This does not
///   detect every database whose file was set back to an earlier state, for instance by a snapshot of the volume.
///   After that, begin with a new copy.)
/// - [`Error::BadIncrement`] if an increment is damaged, incomplete, or not an increment.
/// - [`Error::InUse`] if a process has the copy open; [`Error::NotADatabase`] if it is not a database.
/// - [`Error::Corrupt`] for the first damaged page.
/// - [`Error::Io`].
///
/// After an error there is no new file.
///
/// ```
/// use mapleaf::{Db, Table, restore};
/// const HITS: Table<u64, u64> = Table::new("hits");
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let file = |name| folder.path().join(name);
/// let db = Db::open(file("app.mapleaf"))?;
/// db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
/// let sunday = db.read()?;
/// sunday.copy().to_path(file("sunday.mapleaf"))?;
///
/// db.update(|tx| tx.table(&HITS)?.insert(7, 2))?;
/// let mut monday = Vec::new();
/// db.read()?.copy().since(sunday.id()).to_writer(&mut monday)?;
///
/// restore(file("sunday.mapleaf"), [&monday[..]], file("monday.mapleaf"))?;
/// let restored = Db::open(file("monday.mapleaf"))?;
/// assert_eq!(restored.read()?.table(&HITS)?.get(7)?, Some(2));
/// # Ok::<(), mapleaf::Error>(())
/// ```
pub fn restore<R: Read>(
    base: impl AsRef<Path>,
    increments: impl IntoIterator<Item = R>,
    path: impl AsRef<Path>,
) -> Result<Restored> {
    let (base_path, path) = (base.as_ref(), path.as_ref());
    let (base, state) = open_base(base_path)?;
    let mut result = Err(Error::BadIncrement { problem: "there is no increment".into() });
    let rights = Rights::of(base.file()).map_err(examining(base_path))?;
    let created = sys::create_file_with(path, rights, |file| {
        let mut target = Target { file, state, base_path };
        result = target.restore(&base, increments);
        if result.is_ok() { Ok(()) } else { Err(ErrorKind::Other.into()) }
    });
    match created {
        // This error only says that `restore` failed, which `result` explains.
        Err(error) if result.is_ok() || error.kind() != ErrorKind::Other => {
            Err(Error::io("restore to", path, error))
        }
        _ => result,
    }
}

fn examining(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::io("examine", path, source)
}

/// The transaction of a file, and its database.
pub(super) struct State {
    pub(super) page_size: usize,
    pub(super) identity: Identity,
    pub(super) snapshot: Snapshot,
}

/// Opens a copy for reading; no process may have it open.
pub(super) fn open_base(path: &Path) -> Result<(FileStorage, State)> {
    let storage = open_alone(path, Reservation::Bytes(0))?;
    let metas = read_metas(&storage)?;
    let Some(meta) = metas.first() else {
        return Err(no_meta_page(&storage, path));
    };
    let snapshot = Snapshot { id: meta.id, length_pages: meta.length_pages, catalog: meta.catalog };
    let state = State { page_size: meta.page_size, identity: meta.identity, snapshot };
    let expected = PageNumber(meta.length_pages).offset(meta.page_size);
    let found = storage.file_length().map_err(examining(path))?;
    if found < expected {
        return Err(Error::Truncated { path: path.to_owned(), expected, found });
    }
    Ok((storage, state))
}

/// The new file, and the state that it contains so far.
struct Target<'a> {
    file: &'a File,
    state: State,
    base_path: &'a Path,
}

impl Target<'_> {
    fn restore<R: Read>(
        &mut self,
        base: &FileStorage,
        increments: impl IntoIterator<Item = R>,
    ) -> Result<Restored> {
        let length = PageNumber(self.state.snapshot.length_pages).offset(self.state.page_size);
        let after_metas = PageNumber(META_PAGES).offset(self.state.page_size);
        sys::set_length(self.file, length).map_err(storing)?;
        base.copy_out(after_metas, length - after_metas, self.file).map_err(storing)?;
        for increment in increments {
            self.apply(increment)?;
        }
        self.complete()
    }

    /// Stores the pages of an increment.
    fn apply(&mut self, stream: impl Read) -> Result<()> {
        let mut stream = Stream { stream, hasher: crc32fast::Hasher::new() };
        let mut header = [0; HEADER_LEN];
        stream.read(&mut header)?;
        let header = IncrementHeader::decode(&header)?;
        stream.hasher = crc32fast::Hasher::new();
        self.check_base(&header)?;
        for _ in 0..header.kept_count {
            let (number, checksum) = stream.pair()?;
            self.check_kept(PageNumber(number), checksum)?;
        }
        let length = PageNumber(header.length_pages.max(self.state.snapshot.length_pages));
        sys::set_length(self.file, length.offset(header.page_size)).map_err(storing)?;
        for _ in 0..header.run_count {
            let (first, count) = stream.pair()?;
            let run = Extent { first: PageNumber(first), count };
            let is_inside =
                first >= META_PAGES && first < header.length_pages && count <= header.length_pages - first;
            if !is_inside {
                return Err(bad(format!("it has pages outside {META_PAGES}..{length}")));
            }
            self.store_run(run, &mut stream)?;
        }
        let expected = std::mem::take(&mut stream.hasher).finalize();
        let mut checksum = [0; 4];
        stream.read(&mut checksum)?;
        if get_u32(&checksum, 0) != expected {
            return Err(bad("its checksum is wrong"));
        }
        self.state.snapshot =
            Snapshot { id: header.id, length_pages: header.length_pages, catalog: header.catalog };
        self.state.identity = match header.may_be_followed {
            true => identity_of_copy(&header.origin, header.id)?,
            false => new_identity()?,
        };
        Ok(())
    }

    fn check_base(&self, header: &IncrementHeader) -> Result<()> {
        let State { page_size, identity, snapshot } = &self.state;
        let since = header.since;
        if header.page_size != *page_size {
            return Err(Error::PageSizeMismatch { requested: header.page_size, found: *page_size });
        }
        if snapshot.id != since {
            let found = format!(
                "the increment begins with transaction {since}, but the copy ends with {}",
                snapshot.id
            );
            return Err(self.wrong_base(found));
        }
        if !has_pages_of(identity, &header.origin, since) {
            return Err(self.wrong_base("the increment was made of another database".into()));
        }
        Ok(())
    }

    /// Compares a page that the increment refers to with the checksum that it had when the increment was made.
    fn check_kept(&self, number: PageNumber, checksum: u32) -> Result<()> {
        let mut header = [0; page::HEADER_LEN];
        let is_inside = (META_PAGES..self.state.snapshot.length_pages).contains(&number.0);
        let is_same = is_inside
            && sys::read_at(self.file, number.offset(self.state.page_size), &mut header).is_ok()
            && page::number(&header) == number
            && page::stored_checksum(&header) == checksum;
        match is_same {
            true => Ok(()),
            false => {
                Err(self
                    .wrong_base(format!("page {number} differs from that page in the increment's database")))
            }
        }
    }

    #[cold]
    fn wrong_base(&self, problem: String) -> Error {
        Error::WrongBase { path: self.base_path.to_owned(), problem }
    }

    fn store_run(&self, run: Extent, stream: &mut Stream<impl Read>) -> Result<()> {
        let (mut at, mut left) =
            (run.first.offset(self.state.page_size), u64::from(run.count) * self.state.page_size as u64);
        let mut buffer = vec![0; left.min(PIECE_BYTES as u64) as usize];
        while left > 0 {
            let piece = &mut buffer[..left.min(PIECE_BYTES as u64) as usize];
            stream.read(piece)?;
            sys::store_at(self.file, at, piece).map_err(storing)?;
            at += piece.len() as u64;
            left -= piece.len() as u64;
        }
        Ok(())
    }

    /// Verifies all pages, stores the meta page and the free log, and fills unused pages with zeros.
    fn complete(&mut self) -> Result<Restored> {
        let State { page_size, identity, snapshot } = self.state;
        let file = self.file.try_clone().map_err(storing)?;
        let storage = FileStorage::of_file(file, Access::ReadOnly, 0).map_err(storing)?;
        let pages = PageFile::new(Box::new(storage), page_size, self.base_path, Verify::Always)?;
        let plan = Plan::of(&pages, &snapshot, snapshot.id, identity)?;
        drop(pages);
        let zero = |from: u64, to: u64| -> io::Result<()> {
            let zeros = vec![0; PIECE_BYTES.min((to - from) as usize)];
            let mut at = from;
            while at < to {
                let piece = &zeros[..zeros.len().min((to - at) as usize)];
                sys::store_at(self.file, at, piece)?;
                at += piece.len() as u64;
            }
            Ok(())
        };
        let store = || -> io::Result<()> {
            let mut end = PageNumber(META_PAGES).offset(page_size);
            for part in plan.parts() {
                let first = part.first().offset(page_size);
                zero(end, first)?;
                end = first + u64::from(part.page_count()) * page_size as u64;
            }
            sys::set_length(self.file, plan.length())?;
            plan.store_around(self.file)
        };
        store().map_err(storing)?;
        Ok(Restored { transaction: snapshot.id, bytes: plan.length() })
    }
}

/// An increment that is being read, with the checksum of the part read so far.
struct Stream<R> {
    stream: R,
    hasher: crc32fast::Hasher,
}

impl<R: Read> Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.stream.read_exact(buffer).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => bad("it ends too early"),
            _ => Error::io("read an increment from", "the stream", source),
        })?;
        self.hasher.update(buffer);
        Ok(())
    }

    fn pair(&mut self) -> Result<(u32, u32)> {
        let mut pair = [0; PAIR_LEN];
        self.read(&mut pair)?;
        Ok((get_u32(&pair, 0), get_u32(&pair, 4)))
    }
}

#[cold]
fn bad(problem: impl Into<String>) -> Error {
    Error::BadIncrement { problem: problem.into() }
}

#[cold]
fn storing(source: io::Error) -> Error {
    Error::io("restore to", "the new file", source)
}

/// Returns the transaction of the copy or increment at `path`, if an increment of the database `origin` can follow
/// it.
pub(crate) fn transaction_of_backup(path: &Path, origin: &Identity) -> Result<TransactionId> {
    let wrong = |problem: &str| Error::WrongBase { path: path.to_owned(), problem: problem.into() };
    let mut header = [0; HEADER_LEN];
    let storage = open_to_read(path)?;
    if sys::read_at(storage.file(), 0, &mut header).is_ok()
        && header.starts_with(crate::format::increment::MAGIC)
    {
        let header = IncrementHeader::decode(&header)?;
        return match (header.origin == *origin, header.may_be_followed) {
            (true, true) => Ok(header.id),
            (true, false) => Err(wrong("its transaction was not in a checkpoint when it was made")),
            (false, _) => Err(wrong("it was made of another database")),
        };
    }
    drop(storage);
    let (_, State { identity, snapshot, .. }) = open_base(path)?;
    match identity != *origin && has_pages_of(&identity, origin, snapshot.id) {
        true => Ok(snapshot.id),
        false => Err(wrong(
            "it is not a copy of this database, or it is a compacting copy, or it was written to, or its transaction \
             was not in a checkpoint when it was made",
        )),
    }
}
