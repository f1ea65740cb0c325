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
    /// A named snapshot needs it.
    Named,
    /// A reader's snapshot needs it, and no named one.
    Pinned,
}

/// The snapshots that are being read, and those that have a name.
#[derive(Default)]
pub(crate) struct KeptSnapshots {
    read: Vec<TransactionId>,
    named: Vec<TransactionId>,
}

impl KeptSnapshots {
    pub(crate) fn of(db: &Db) -> Result<KeptSnapshots, Failure> {
        Ok(KeptSnapshots {
            read: db.readers()?.iter().map(|reader| reader.snapshot).collect(),
            named: db.snapshots()?.iter().map(|named| named.transaction).collect(),
        })
    }

    /// `None` if the page is used.
    pub(crate) fn classify(&self, page: &PageUse<'_>) -> Option<Unused> {
        match page.role {
            PageRole::Free | PageRole::Retired { is_needed: false, .. } => Some(Unused::Free),
            PageRole::Retired { death, .. } => {
                let life = page.birth.unwrap_or_default()..death;
                let is_among = |ids: &[TransactionId]| ids.iter().any(|snapshot| life.contains(snapshot));
                Some(match (is_among(&self.named), is_among(&self.read)) {
                    (true, _) => Unused::Named,
                    (false, true) => Unused::Pinned,
                    (false, false) => Unused::Retired,
                })
            }
            _ => None,
        }
    }
}

/// How many pages the newest transaction does not use.
#[derive(Clone, Copy, Default)]
pub(crate) struct UnusedCounts {
    pub(crate) free: u32,
    /// Those that a snapshot needs, pinned and named ones among them.
    pub(crate) retired: u32,
    pub(crate) pinned: u32,
    pub(crate) named: u32,
}

impl UnusedCounts {
    /// Reads the pages that describe free space, and no others. If no process is left to sync the newest transaction,
    /// after a kill, the counts are those of `stats`.
    pub(crate) fn of(db: &Db, stats: &Stats) -> Result<UnusedCounts, Failure> {
        let snapshots = KeptSnapshots::of(db)?;
        let mut counts = UnusedCounts::default();
        let counted = admin::unused_pages(db, |page| match snapshots.classify(page) {
            Some(Unused::Free) => counts.free += page.count,
            Some(Unused::Retired) => counts.retired += page.count,
            Some(Unused::Pinned) => {
                counts.retired += page.count;
                counts.pinned += page.count;
            }
            Some(Unused::Named) => {
                counts.retired += page.count;
                counts.named += page.count;
            }
            None => {}
        });
        match counted {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::TimedOut => {
                let named = stats.named_snapshot_pages;
                Ok(UnusedCounts { free: stats.free_pages, retired: stats.retired_pages, pinned: 0, named })
            }
            other => Ok(other.map(|()| counts)?),
        }
    }
}
