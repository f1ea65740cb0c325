//! Copies of a snapshot: [`copy_to_file`], [`copy_to_writer`], [`compact_to_file`]. Increments, which have the
//! changes since an older copy and are restored onto it: [`increment_to_file`], [`increment_to_writer`],
//! [`restore()`].
//!
//! A copy needs the snapshot's trees, and nothing else. A reader protects them (I1), so writers go on meanwhile. The
//! snapshot may be old, and its meta page and free log overwritten: the copy gets a new meta page and a new free log
//! ([`Plan`]). Pages that the trees do not use are free, and no page is retired, because no process reads the copy
//! yet.
//!
//! The meta page is in slot 0, and slot 1 is empty. It names no ring: the first commit takes one. The file gets its
//! name only after one sync of all of it. The meta has the snapshot's transaction id, so that no page is younger, and
//! an identity of its own, because the copy is another database. If the copy replaces the original, no redo record of
//! the original fits it.
//!
//! Invariants:
//! - Every page is verified, with its checksum, before the first byte of a copy is stored.
//! - A new file gets its name when it is complete and durable. A file is never replaced.
//! - A new file can be read only by users that may read the original ([`Rights`](crate::sys::Rights)).

mod changes;
mod compact;
mod increment;
mod lineage;
mod plan;
mod restore;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

pub(crate) use self::compact::compact_to_file;
pub(crate) use self::increment::{increment_to_file, increment_to_writer};
pub(crate) use self::restore::transaction_of_backup;
pub use self::restore::{Restored, restore};

use crate::base::{PageNumber, TransactionId};
use crate::copy::plan::{Part, Plan};
use crate::error::{Error, Result};
use crate::sys;
use crate::txn::read::SnapshotReader;

/// What a copy or an increment contains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Copied {
    /// The transaction that an increment begins with; `None` for a copy.
    pub since: Option<TransactionId>,
    /// The transaction that it ends with.
    pub transaction: TransactionId,
    /// The number of pages in it.
    pub pages: u32,
    /// Its length, in bytes.
    pub bytes: u64,
    /// Whether an increment may follow it. It is `false` for a compacting copy, and if `transaction` was in no
    /// checkpoint and the handle may not make one, because a loss of power may undo it, or put its entries into other
    /// pages.
    pub may_be_followed: bool,
}

impl Copied {
    fn of(plan: &Plan, may_be_followed: bool) -> Copied {
        let pages = (plan.length() / plan.page_size as u64) as u32;
        Copied { since: None, transaction: plan.transaction(), pages, bytes: plan.length(), may_be_followed }
    }
}

/// The length of one write to a stream.
const PIECE_BYTES: usize = 1 << 20;

/// Returns an error if the file is shorter than the snapshot, or longer than this handle has mapped. To access a part
/// that was cut off would end the process with SIGBUS.
fn check_length(reader: &SnapshotReader) -> Result<()> {
    let (pages, length_pages) = (reader.pages(), reader.snapshot.length_pages);
    let expected = PageNumber(length_pages).offset(pages.page_size);
    let found = pages.storage.refresh_length().map_err(pages.io_error("examine"))?;
    if found < expected {
        return Err(Error::Truncated { path: pages.path.clone(), expected, found });
    }
    match length_pages > pages.limit_pages() {
        true => Err(pages.mapping_too_small(length_pages)),
        false => Ok(()),
    }
}

fn plan_of(reader: &SnapshotReader) -> Result<Plan> {
    check_length(reader)?;
    let id = reader.snapshot.id;
    let identity = match reader.is_checkpointed() {
        true => lineage::identity_of_copy(&reader.identity(), id)?,
        false => lineage::new_identity()?,
    };
    Plan::of(reader.pages(), &reader.snapshot, id, identity)
}

/// Copies the snapshot to a new file.
pub(crate) fn copy_to_file(reader: &SnapshotReader, path: &Path) -> Result<Copied> {
    reader.check_not_forked()?;
    let plan = plan_of(reader)?;
    let storage = &reader.pages().storage;
    let fill = |file: &File| {
        sys::reserve_space(file, plan.length())?;
        for run in &plan.used {
            let length = u64::from(run.count) * plan.page_size as u64;
            storage.copy_out(run.first.offset(plan.page_size), length, file)?;
        }
        plan.store_around(file)
    };
    let copying = |source| Error::io("copy the database to", path, source);
    sys::create_file_with(path, reader.pages().rights()?, fill).map_err(copying)?;
    Ok(Copied::of(&plan, reader.is_checkpointed()))
}

/// Writes a copy of the snapshot, from its first byte to its last.
pub(crate) fn copy_to_writer(reader: &SnapshotReader, writer: &mut impl Write) -> Result<Copied> {
    reader.check_not_forked()?;
    let plan = plan_of(reader)?;
    write_all(&plan, reader, writer)
        .map_err(|source| Error::io("write a copy of", &reader.pages().path, source))?;
    Ok(Copied::of(&plan, reader.is_checkpointed()))
}

fn write_all(plan: &Plan, reader: &SnapshotReader, writer: &mut impl Write) -> io::Result<()> {
    let page_size = plan.page_size;
    writer.write_all(&plan.meta_pages)?;
    let mut at = plan.meta_pages.len() as u64;
    for part in plan.parts() {
        let first = part.first().offset(page_size);
        write_zeros(writer, first - at)?;
        at = first;
        match part {
            Part::Log(_, page) => {
                writer.write_all(page)?;
                at += page.len() as u64;
            }
            Part::Used(run) => {
                let end = at + u64::from(run.count) * page_size as u64;
                while at < end {
                    let piece = PIECE_BYTES.min((end - at) as usize);
                    let bytes = reader.pages().storage.mapping().slice(at, piece);
                    writer.write_all(bytes.ok_or(io::ErrorKind::UnexpectedEof)?)?;
                    at += piece as u64;
                }
            }
        }
    }
    writer.flush()
}

fn write_zeros(writer: &mut impl Write, count: u64) -> io::Result<()> {
    let zeros = vec![0; PIECE_BYTES.min(count as usize)];
    let mut left = count;
    while left > 0 {
        let piece = left.min(zeros.len() as u64);
        writer.write_all(&zeros[..piece as usize])?;
        left -= piece;
    }
    Ok(())
}
