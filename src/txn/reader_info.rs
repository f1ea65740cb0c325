//! What is reported of a reader, and what to do about readers that are too old.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::base::TransactionId;

/// A live read transaction, in this process or another.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ReaderInfo {
    /// The process's own id: in another PID namespace it has another number. 0 if it holds writers off and is not in
    /// the reader table.
    pub pid: u32,
    /// The transaction whose state it reads.
    pub snapshot: TransactionId,
    /// How long it has been reading, to some milliseconds.
    pub age: Duration,
    /// Retired pages that only this snapshot needs, and no older one: they come back when it ends. `None` if that is
    /// not known at present, because a transaction is writing or the database was opened read-only.
    pub pinned_pages: Option<u32>,
    /// Whether it keeps writers from writing as long as it has the database open: a reader that may not write the
    /// lock file, or a process that rescues or restores from the file. All such readers share one entry: their
    /// number, processes and ages are not known.
    pub holds_off_writers: bool,
}

/// What to do about readers that are older than they should be.
#[derive(Clone)]
pub(crate) struct ReaderLimit {
    pub(crate) max_age: Duration,
    pub(crate) callback: Arc<dyn Fn(&ReaderInfo) + Send + Sync>,
}

impl fmt::Debug for ReaderLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReaderLimit").field("max_age", &self.max_age).finish_non_exhaustive()
    }
}
