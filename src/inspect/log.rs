//! The contents of meta pages and of the log of free space.

use std::ops::Range;

use super::anatomy::{Content, LogEntry};
use crate::base::Extent;
use crate::format::free_log::names::NamesEntry;
use crate::format::free_log::{self, Entry};
use crate::format::meta::Meta;

pub(super) fn meta_content(meta: &Meta) -> Content {
    let redo_log = meta.redo.ring.map(|ring| ring.first.0..ring.extent().end());
    // The tail begins with an entry, because it moves to pages as a whole.
    Content::Meta { redo_log, listed: ranges(&meta.listed), log: entries_from(&meta.log_tail, 0) }
}

/// Returns the entries that begin at byte `start` of the log or after it, up to the first incomplete one.
pub(super) fn entries_from(log: &[u8], start: usize) -> Vec<LogEntry> {
    let mut entries = free_log::entries(log);
    let mut found = Vec::new();
    loop {
        let begin = log.len() - entries.bytes_left();
        match entries.next() {
            Some(Ok(entry)) if begin >= start => found.push(describe(&entry)),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return found,
        }
    }
}

fn describe(entry: &Entry) -> LogEntry {
    match entry {
        Entry::Base(base) => LogEntry::Base {
            length_pages: base.length_pages,
            free: ranges(&base.free),
            retired: base
                .retired
                .iter()
                .map(|retired| (range(retired.run), retired.birth, retired.death))
                .collect(),
        },
        Entry::Delta(delta) => LogEntry::Delta {
            transaction: delta.id,
            length_pages: delta.length_pages,
            taken: ranges(&delta.taken),
            retired: delta.retired.iter().map(|&(run, birth)| (range(run), birth)).collect(),
        },
        Entry::Names(NamesEntry::All { id, living, dropped }) => LogEntry::Snapshots {
            transaction: *id,
            named: living.iter().map(|named| (named.name.clone(), named.id)).collect(),
            dropped: dropped.iter().map(|dropped| (dropped.id, dropped.dropped)).collect(),
        },
        Entry::Names(NamesEntry::Given(named)) => LogEntry::SnapshotNamed {
            transaction: named.created,
            name: named.name.clone(),
            snapshot: named.id,
        },
        Entry::Names(NamesEntry::Dropped { id, name }) => {
            LogEntry::SnapshotDropped { transaction: *id, name: name.clone() }
        }
    }
}

fn ranges(runs: &[Extent]) -> Vec<Range<u32>> {
    runs.iter().copied().map(range).collect()
}

fn range(run: Extent) -> Range<u32> {
    run.first.0..run.end()
}
