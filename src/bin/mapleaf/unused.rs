//! Pages that the newest transaction does not use. `stat` and `map` tell them apart in the same way.

use std::io::ErrorKind;

use mapleaf::admin::{self, PageRole, PageUse};
use mapleaf::{Db, Error, Stats, TransactionId};

use crate::outcome::Failure;

/// What such a page is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unused {
    /// No snapshot needs it: the next commit may use it.
    Free,
    /// The snapshot of the last checkpoint needs it, until the next one.
    Retired,
    /// A reader's snapshot needs it.
    Pinned,
}

/// The snapshots that are being read.
#[derive(Default)]
pub(crate) struct ReadSnapshots(Vec<TransactionId>);

impl ReadSnapshots {
    pub(crate) fn of(db: &Db) -> Result<ReadSnapshots, Failure> {
        Ok(ReadSnapshots(db.readers()?.iter().map(|reader| reader.snapshot).collect()))
    }

    /// `None` if the page is used.
    pub(crate) fn classify(&self, page: &PageUse<'_>) -> Option<Unused> {
        match page.role {
            PageRole::Free | PageRole::Retired { is_needed: false, .. } => Some(Unused::Free),
            PageRole::Retired { death, .. } => {
                let life = page.birth.unwrap_or_default()..death;
                let is_read = self.0.iter().any(|snapshot| life.contains(snapshot));
                Some(if is_read { Unused::Pinned } else { Unused::Retired })
            }
            _ => None,
        }
    }
}

/// How many pages the newest transaction does not use.
#[derive(Clone, Copy, Default)]
pub(crate) struct UnusedCounts {
    pub(crate) free: u32,
    /// Those that a snapshot needs, pinned ones among them.
    pub(crate) retired: u32,
    pub(crate) pinned: u32,
}

impl UnusedCounts {
    /// Reads the pages that describe free space, and no others. If no process is left to sync the newest transaction,
    /// after a kill, the counts are those of `stats`.
    pub(crate) fn of(db: &Db, stats: &Stats) -> Result<UnusedCounts, Failure> {
        let snapshots = ReadSnapshots::of(db)?;
        let mut counts = UnusedCounts::default();
        let counted = admin::unused_pages(db, |page| match snapshots.classify(page) {
            Some(Unused::Free) => counts.free += page.count,
            Some(Unused::Retired) => counts.retired += page.count,
            Some(Unused::Pinned) => {
                counts.retired += page.count;
                counts.pinned += page.count;
            }
            None => {}
        });
        match counted {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::TimedOut => {
                Ok(UnusedCounts { free: stats.free_pages, retired: stats.retired_pages, pinned: 0 })
            }
            other => Ok(other.map(|()| counts)?),
        }
    }
}
