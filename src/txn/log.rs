//! Free space in memory, and where its log stands in the file.
//!
//! Invariant: what the log says up to a commit is the state of [`Space`] after it. (Runs that became free by
//! the interval rule, I2, are not logged: whoever loads the log applies the rule himself.)

use crate::base::PageNumber;
use crate::error::{Result, corrupt};
use crate::format::free_log;
use crate::space::Space;
use crate::space::save::FreeLog;
use crate::txn::page_file::PageFile;

/// Where the log ends: what a record says of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogEnd {
    /// The newest page; 0 if the whole log is in the tail.
    pub(crate) page: PageNumber,
    pub(crate) tail: Vec<u8>,
}

impl From<&FreeLog> for LogEnd {
    fn from(log: &FreeLog) -> LogEnd {
        LogEnd { page: log.newest_page(), tail: log.tail().to_vec() }
    }
}

/// What the writer knows of free space.
pub(crate) struct WriterLog {
    pub(crate) space: Space,
    pub(crate) log: FreeLog,
}

impl WriterLog {
    /// Reads the log that ends at `end`, of a head that is `length_pages` long.
    pub(crate) fn load(pages: &PageFile, end: &LogEnd, length_pages: u32) -> Result<WriterLog> {
        let read = |number| pages.page(number, length_pages);
        let chain = free_log::read_chain(end.page, &end.tail, read)?;
        let space = Space::load(&chain.bytes)?;
        if space.length_pages() != length_pages {
            return Err(corrupt(None, "length in the free log", length_pages, space.length_pages()));
        }
        Ok(WriterLog { log: FreeLog::from_chain(&chain, &end.tail), space })
    }
}
