//! The named snapshots of a file, as entries of the free log.
//!
//! A transaction that gives or drops a name has an entry for that, right before its delta. When the log begins again,
//! an entry with all names follows the base, unless there are none: it has them as the transaction left them that
//! writes the base, and takes the place of that one's own entry.
//!
//! | entry | fields, all LEB128 except the bytes of a name |
//! |---|---|
//! | all | 3, transaction, number of living names, *them*, number of dropped ones, *them* |
//! | given | 4, transaction, *a living name*, created in this transaction |
//! | dropped | 5, transaction, length of the name, its bytes |
//! | living name | length, its bytes, transaction - created, created - snapshot - 1, length in pages, *catalog* |
//! | catalog | depth, root page, entries |
//! | dropped name | transaction - dropped, dropped - created - 1, created - snapshot - 1 |
//!
//! Invariants:
//! - I5: any bytes give an entry whose numbers are in order, or [`crate::Error::Corrupt`]: snapshot < created <
//!   dropped, none above the transaction; names ascend, and are text of 1 to [`MAX_SNAPSHOT_NAME_LEN`] bytes; a root
//!   lies within the snapshot's length. Memory is in proportion to the input.

use super::{ALL_NAMES, FIRST_PAGE, NAME_DROPPED, NAME_GIVEN, take_length, take_number};
use crate::base::bytes::push_varint;
use crate::base::{PageNumber, TransactionId};
use crate::error::{Error, Result, corrupt};
use crate::format::tree_root::{MAX_DEPTH, TreeRoot};

/// The longest name of a snapshot, in bytes.
pub(crate) const MAX_SNAPSHOT_NAME_LEN: usize = 255;

/// A snapshot that has a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NamedSnapshot {
    pub(crate) name: String,
    /// The transaction that left this state.
    pub(crate) id: TransactionId,
    /// The transaction that gave it the name.
    pub(crate) created: TransactionId,
    pub(crate) length_pages: u32,
    pub(crate) catalog: TreeRoot,
}

/// A snapshot whose name has been dropped, and which a thread that found the name may be about to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DroppedSnapshot {
    pub(crate) id: TransactionId,
    pub(crate) created: TransactionId,
    /// The transaction that dropped the name.
    pub(crate) dropped: TransactionId,
}

/// An entry of names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum NamesEntry {
    /// All names, as transaction `id` left them.
    All {
        id: TransactionId,
        /// Ascending by name.
        living: Vec<NamedSnapshot>,
        dropped: Vec<DroppedSnapshot>,
    },
    /// The transaction that created it has given this name.
    Given(NamedSnapshot),
    /// Transaction `id` has dropped this name.
    Dropped { id: TransactionId, name: String },
}

impl NamesEntry {
    /// The transaction that has left this.
    pub(crate) fn id(&self) -> TransactionId {
        match self {
            NamesEntry::All { id, .. } | NamesEntry::Dropped { id, .. } => *id,
            NamesEntry::Given(named) => named.created,
        }
    }
}

/// The bytes of an entry.
pub(crate) fn encode_names(entry: &NamesEntry) -> Vec<u8> {
    let mut out = Vec::new();
    let tag = match entry {
        NamesEntry::All { .. } => ALL_NAMES,
        NamesEntry::Given(_) => NAME_GIVEN,
        NamesEntry::Dropped { .. } => NAME_DROPPED,
    };
    push_varint(&mut out, tag);
    push_varint(&mut out, entry.id().0);
    match entry {
        NamesEntry::All { id, living, dropped } => {
            push_varint(&mut out, living.len() as u64);
            living.iter().for_each(|named| push_living(&mut out, named, *id));
            push_varint(&mut out, dropped.len() as u64);
            for DroppedSnapshot { id: snapshot, created, dropped } in dropped {
                push_distance(&mut out, *dropped, *id, 0);
                push_distance(&mut out, *created, *dropped, 1);
                push_distance(&mut out, *snapshot, *created, 1);
            }
        }
        NamesEntry::Given(named) => push_living(&mut out, named, named.created),
        NamesEntry::Dropped { name, .. } => push_name(&mut out, name),
    }
    out
}

fn push_living(out: &mut Vec<u8>, named: &NamedSnapshot, newest: TransactionId) {
    let NamedSnapshot { name, id, created, length_pages, catalog } = named;
    push_name(out, name);
    push_distance(out, *created, newest, 0);
    push_distance(out, *id, *created, 1);
    push_varint(out, u64::from(*length_pages));
    push_varint(out, u64::from(catalog.depth));
    push_varint(out, u64::from(catalog.page.0));
    push_varint(out, catalog.entries);
}

fn push_name(out: &mut Vec<u8>, name: &str) {
    push_varint(out, name.len() as u64);
    out.extend_from_slice(name.as_bytes());
}

/// Appends how far `earlier` is before `later`, less what it is at least.
fn push_distance(out: &mut Vec<u8>, earlier: TransactionId, later: TransactionId, least: u64) {
    assert!(earlier.0 + least <= later.0, "transactions are in order");
    push_varint(out, later.0 - earlier.0 - least);
}

/// Takes the fields of the entry that begins with `tag`.
pub(super) fn take_names(tag: u64, input: &mut &[u8]) -> Result<NamesEntry> {
    let id = TransactionId(take_number(input)?);
    match tag {
        ALL_NAMES => take_all(input, id),
        NAME_GIVEN => {
            let named = take_living(input, id)?;
            match named.created == id {
                true => Ok(NamesEntry::Given(named)),
                false => Err(corrupt(None, "creation of a named snapshot", id, named.created)),
            }
        }
        _ => Ok(NamesEntry::Dropped { id, name: take_name(input)? }),
    }
}

fn take_all(input: &mut &[u8], id: TransactionId) -> Result<NamesEntry> {
    let mut living: Vec<NamedSnapshot> = Vec::new();
    for _ in 0..take_count(input)? {
        let named = take_living(input, id)?;
        if living.last().is_some_and(|last| last.name >= named.name) {
            let found = format_args!("{:?} after {:?}", named.name, living[living.len() - 1].name);
            return Err(corrupt(None, "names of snapshots", "ascending names", found));
        }
        living.push(named);
    }
    let mut dropped = Vec::new();
    for _ in 0..take_count(input)? {
        let at = take_earlier(input, id, 0)?;
        let created = take_earlier(input, at, 1)?;
        dropped.push(DroppedSnapshot { id: take_earlier(input, created, 1)?, created, dropped: at });
    }
    Ok(NamesEntry::All { id, living, dropped })
}

fn take_name(input: &mut &[u8]) -> Result<String> {
    let length = take_number(input)?;
    let bytes = usize::try_from(length).ok().filter(|length| (1..=MAX_SNAPSHOT_NAME_LEN).contains(length));
    let Some((name, rest)) = bytes.and_then(|length| input.split_at_checked(length)) else {
        let expected = format_args!("1 to {MAX_SNAPSHOT_NAME_LEN} bytes");
        return Err(corrupt(None, "name of a snapshot", expected, length));
    };
    *input = rest;
    let name = std::str::from_utf8(name);
    name.map(str::to_owned).map_err(|error| corrupt(None, "name of a snapshot", "UTF-8", error))
}

fn take_living(input: &mut &[u8], newest: TransactionId) -> Result<NamedSnapshot> {
    let name = take_name(input)?;
    let created = take_earlier(input, newest, 0)?;
    let id = take_earlier(input, created, 1)?;
    let length_pages = take_length(input)?;
    let (depth, page, entries) = (take_number(input)?, take_number(input)?, take_number(input)?);
    let is_inside = depth == 0 || (u64::from(FIRST_PAGE)..u64::from(length_pages)).contains(&page);
    if depth > u64::from(MAX_DEPTH) || !is_inside || page > u64::from(PageNumber::LIMIT) {
        let expected = format_args!("a depth of at most {MAX_DEPTH}, a page in {FIRST_PAGE}..{length_pages}");
        let found = format_args!("{depth}, page {page}");
        return Err(corrupt(None, "catalog of a named snapshot", expected, found));
    }
    let catalog = TreeRoot { page: PageNumber(page as u32), depth: depth as u8, entries };
    Ok(NamedSnapshot { name, id, created, length_pages, catalog })
}

/// Takes a transaction that is before `later` by `least` at least, and positive.
fn take_earlier(input: &mut &[u8], later: TransactionId, least: u64) -> Result<TransactionId> {
    let distance = take_number(input)?;
    let earlier = later.0.checked_sub(least).and_then(|later| later.checked_sub(distance));
    earlier.filter(|&earlier| earlier > 0).map(TransactionId).ok_or_else(|| bad_order(later, distance))
}

#[cold]
fn bad_order(later: TransactionId, distance: u64) -> Error {
    let expected = format_args!("less than {later} transactions");
    corrupt(None, "age of a named snapshot", expected, distance)
}

/// Takes a number of items, each of which has three bytes at least.
fn take_count(input: &mut &[u8]) -> Result<u64> {
    let count = take_number(input)?;
    let most = (input.len() / 3) as u64;
    match count <= most {
        true => Ok(count),
        false => Err(corrupt(None, "named snapshots", format_args!("at most {most}"), count)),
    }
}

#[cfg(test)]
mod tests;
