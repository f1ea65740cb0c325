//! Replay: the operations of redo records become changes of a transaction again.
//!
//! Invariants:
//! - L5: replay depends on nothing that is not in the records: no page numbers, no lengths, no time.
//! - A record with a right checksum whose operations do not fit the tables is damage. Going on without it would take
//!   back acknowledged commits: it is an error.
//! - L2: the transaction of an orphaned record has happened. The next writer replays it as a transaction before its
//!   own, and publishes it; the record stays where it is. If that fails, that writer gets the error, and the record
//!   stays.

use crate::base::Lsn;
use crate::error::{Error, Result, corrupt};
use crate::format::redo::operation::Operation;
use crate::format::redo::reader::{LogPlace, LogReader};
use crate::format::redo::record::{LogEnd, Record};
use crate::shm::watermarks::LogState;
use crate::txn::page_file::PageFile;
use crate::txn::redo_log::log_reader;
use crate::txn::write::Transaction;

/// What replay finds in a log, before anything is changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundLog {
    pub(crate) place: LogPlace,
    pub(crate) start: LogEnd,
    /// Where the last record ends that is right.
    pub(crate) end: LogEnd,
}

impl FoundLog {
    /// Reads the log that begins at `start`, to where it ends.
    pub(crate) fn read(pages: &PageFile, place: LogPlace, start: LogEnd) -> Result<FoundLog> {
        let mut reader = log_reader(pages, place, start);
        while reader.next_record()?.is_some() {}
        Ok(FoundLog { place, start, end: reader.end() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.end == self.start
    }

    /// Where the log goes on after recovery: above all that was ever stored in the ring (L5).
    pub(crate) fn restart(&self) -> Lsn {
        let LogPlace { ring, page_size, block, .. } = self.place;
        self.start.lsn.plus(ring.length_bytes(page_size)).round_up(block)
    }

    fn reader<'a>(
        &self,
        pages: &'a PageFile,
    ) -> LogReader<impl FnMut(u64, &mut [u8]) -> Result<()> + use<'a>> {
        log_reader(pages, self.place, self.start)
    }
}

impl Transaction {
    /// Makes the changes of all records of `log` again, and publishes them as one transaction.
    pub(super) fn replay(mut self, found: Option<&FoundLog>, log: LogState) -> Result<()> {
        self.leave_unlogged();
        let mut restart = log.end.round_up(self.core().block);
        let mut chain = log.chain;
        if let Some(found) = found {
            let handle = std::sync::Arc::clone(&self.handle);
            let mut reader = found.reader(&handle.core.pages);
            while let Some(record) = reader.next_record()? {
                self.apply_record(&record)?;
            }
            restart = found.restart();
            chain = found.end.chain;
        }
        self.parts().publish_replayed(LogState { chain, ..log }, restart)?;
        self.unlock_writer();
        Ok(())
    }

    /// Completes what a writer that has died has left, and ends. Returns the transaction itself if there is no whole
    /// record.
    pub(super) fn complete_orphan(mut self) -> Result<Option<Transaction>> {
        let newest = self.core().shared.newest()?;
        self.core().check_log(&newest)?;
        let block = self.core().block;
        let end = newest.log.end_after(newest.snapshot.id, self.core());
        let found = self.core().with_orphan(&newest, |record| {
            self.apply_record(record)?;
            let end = end.after(record.bytes().len(), record.checksum(), record.seals(), block);
            Ok((newest.log.after(&end, record.seals()), record.seals()))
        })?;
        match found {
            Some((log, seals)) => {
                self.parts().publish_orphan(log, seals)?;
                self.unlock_writer();
                Ok(None)
            }
            None => {
                let base = self.base.id;
                self.core().shared.set_appending(base);
                Ok(Some(self))
            }
        }
    }

    fn apply_record(&self, record: &Record<'_>) -> Result<()> {
        for operation in record.operations() {
            let (table, operation) = operation?;
            self.apply(table, operation).map_err(|error| match error {
                Error::TableNotFound { .. } | Error::TableExists { .. } | Error::TableNameTooLong { .. } => {
                    let found = format_args!("{error} (LSN {})", record.lsn());
                    corrupt(None, "operation in the redo log", "one that fits the tables", found)
                }
                other => other,
            })?;
        }
        Ok(())
    }

    /// Makes a change again. If it does not fit the tables, that is an error, and nothing else has changed.
    pub(crate) fn apply(&self, name: &str, operation: Operation<'_>) -> Result<()> {
        match operation {
            Operation::Create { kind, key_type, value_type } => {
                if self.table_entry(name)?.is_some() {
                    return Err(Error::TableExists { name: name.to_owned() });
                }
                let table = self.create_table(name, kind, key_type.to_owned(), value_type.to_owned())?;
                self.return_table(table);
                return Ok(());
            }
            Operation::Drop => {
                return match self.drop_table(name)? {
                    true => Ok(()),
                    false => Err(Error::TableNotFound { name: name.to_owned() }),
                };
            }
            Operation::Rename { to } => return self.rename_table(name, to),
            Operation::Retype { key_type, value_type } => {
                return self.retype_table(name, key_type, value_type);
            }
            _ => {}
        }
        let Some(mut table) = self.take_table(name)? else {
            return Err(Error::TableNotFound { name: name.to_owned() });
        };
        let unexpected =
            |expected, found: String| corrupt(None, "operation in the redo log", expected, found);
        let changed = match operation {
            Operation::Put { key, value } => self.insert(&mut table, key, value).map(drop),
            Operation::Delete { key } => match self.remove(&mut table, key) {
                Ok(false) => Err(unexpected("an entry to delete", format!("none in table {name:?}"))),
                other => other.map(drop),
            },
            Operation::Clear => self.clear(&mut table).map(drop),
            Operation::RemoveRange { lower, upper, removed } => {
                match self.remove_range(&mut table, lower, upper) {
                    Ok(found) if found != removed => {
                        Err(unexpected("as many entries in a range as were removed", found.to_string()))
                    }
                    other => other.map(drop),
                }
            }
            Operation::Create { .. } | Operation::Drop => Ok(()),
            Operation::Rename { .. } | Operation::Retype { .. } => Ok(()),
        };
        self.return_table(table);
        changed.map_err(|error| match error {
            Error::KeyTooLong { .. } | Error::ValueTooLarge { .. } => {
                unexpected("an entry that fits a page", error.to_string())
            }
            other => other,
        })
    }
}
