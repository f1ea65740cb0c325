//! A small client of the transactions below the public interface, over a simulated storage.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::base::{PageNumber, TransactionId};
use crate::error::Result;
use crate::format::catalog::{TableEntry, TableKind};
use crate::shm::owner::FIRST_BYTES;
use crate::shm::watermarks::LogState;
use crate::sim::Fault;
use crate::sim::disk::{Disk, Event};
use crate::sim::storage::{Log, SimulatedStorage};
use crate::sys::{Access, FileStorage, LockFile, Rights, WriteMode};
use crate::tree::{RangeCursor, get};
use crate::txn::commit::Durability;
use crate::txn::database::{DbHandle, Settings};
use crate::txn::file_locks::{self, Wait};
use crate::txn::open::{OpenSettings, Outcome};
use crate::txn::page_file::Verify;
use crate::txn::read::SnapshotReader;
use crate::txn::write::Transaction;

pub(super) const PAGE: usize = 4096;
const MAX_SIZE: u64 = 64 << 20;

/// The entries of the one table.
pub(super) type Entries = BTreeMap<Vec<u8>, Vec<u8>>;
pub(super) const TABLE: &str = "entries";

pub(super) fn options(dirty_memory: usize) -> OpenSettings {
    OpenSettings {
        page_size: Some(PAGE),
        create: true,
        mode: None,
        write_mode: WriteMode::Syscall,
        verify: Verify::FirstTouch,
        any_file_system: false,
        settings: Settings {
            read_only: false,
            dirty_memory: Some(dirty_memory),
            max_size: Some(MAX_SIZE),
            log_size: 1 << 20,
            write_timeout: None,
            syncs_in_background: false, // so that calls come in one order
        },
    }
}

/// The bytes of a new database.
pub(super) fn new_image() -> Vec<u8> {
    options(0).first_pages([7; 16]).unwrap()
}

/// An open database over a [`SimulatedStorage`].
pub(super) struct Engine {
    pub(super) handle: Arc<DbHandle>,
    /// The settings that it was opened with.
    pub(super) start: Vec<u8>,
    log: Arc<Mutex<Log>>,
}

impl Engine {
    pub(super) fn new() -> Engine {
        Engine::open(&new_image(), 256 << 20).unwrap()
    }

    pub(super) fn open(image: &[u8], dirty_memory: usize) -> Result<Engine> {
        Engine::start(image, &options(dirty_memory), None).0
    }

    /// Opens `image` with rings of at most `log_size` bytes.
    pub(super) fn open_with_log(image: &[u8], log_size: u64) -> Result<Engine> {
        let mut options = options(256 << 20);
        options.settings.log_size = log_size;
        Engine::start(image, &options, None).0
    }

    /// Opens `image`. The log begins after it; with `fault` some call of recovery may fail.
    pub(super) fn open_with_fault(
        image: &[u8],
        dirty_memory: usize,
        fault: Option<(Fault, usize)>,
    ) -> (Result<Engine>, Arc<Mutex<Log>>) {
        Engine::start(image, &options(dirty_memory), fault)
    }

    fn start(
        image: &[u8],
        options: &OpenSettings,
        fault: Option<(Fault, usize)>,
    ) -> (Result<Engine>, Arc<Mutex<Log>>) {
        let storage = SimulatedStorage::new(image, WriteMode::Syscall, MAX_SIZE).unwrap();
        let log = storage.log();
        log.lock().fault = fault;
        let handle = options.start_unshared(Box::new(storage), Path::new("(simulated)"));
        let engine = handle.map(|handle| Engine { handle, start: image.to_vec(), log: Arc::clone(&log) });
        (engine, log)
    }

    /// Opens what the page cache has, as after the death of the process.
    pub(super) fn reopen(&self) -> Engine {
        Engine::open(&self.image(), 256 << 20).unwrap()
    }

    /// Opens the file at `path` together with all others that do: as another process would.
    pub(super) fn share(path: &Path) -> Result<Engine> {
        let lock = LockFile::open_or_create(path, Rights::default(), &FIRST_BYTES).unwrap();
        file_locks::lock_open(&lock).unwrap();
        if !path.exists() {
            std::fs::write(path, new_image()).unwrap();
        }
        let inner = FileStorage::open(path, Access::ReadWrite, WriteMode::Syscall, MAX_SIZE).unwrap();
        let data = inner.open_for_locks(path).unwrap();
        let storage = SimulatedStorage::over(inner);
        let log = storage.log();
        let Outcome::Opened(handle) = options(256 << 20).join(path, lock, data, Box::new(storage))? else {
            panic!("the lock file is never removed");
        };
        Ok(Engine { handle, start: Vec::new(), log })
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock()
    }

    /// The log, to outlive the engine.
    pub(super) fn keep_log(&self) -> Arc<Mutex<Log>> {
        Arc::clone(&self.log)
    }

    /// Lets the `after`-th call of a kind from now on fail, counted from 0.
    pub(super) fn fail(&self, fault: Fault, after: usize) {
        self.log().fault = Some((fault, after));
    }

    /// Lets the `after`-th store from now on panic, as a bug would.
    pub(super) fn panic_in_store(&self, after: usize) {
        self.fail(Fault::Store, after);
        self.log().store_panics = true;
    }

    pub(super) fn begin(&self) -> Result<Transaction> {
        Ok(Transaction::begin(&self.handle, Wait::Forever)?.expect("no deadline"))
    }

    pub(super) fn commit(&self, changes: &Entries, durability: Durability) -> Result<TransactionId> {
        let tx = self.begin()?;
        put_all(&tx, changes)?;
        tx.commit(durability)
    }

    /// Commits, and returns when the transaction is newest: nothing is synced, and no checkpoint follows.
    pub(super) fn publish(&self, changes: &Entries, durability: Durability) -> Result<TransactionId> {
        let tx = self.begin()?;
        put_all(&tx, changes)?;
        tx.publish(durability)
    }

    pub(super) fn checkpoint(&self) -> Result<()> {
        let core = &self.handle.core;
        core.checkpoint_through(core.shared.newest_id())
    }

    /// Where the redo log stands after newest.
    pub(super) fn redo(&self) -> LogState {
        self.handle.core.shared.newest_log().unwrap()
    }

    /// The stores to the ring from event `after` on: their offsets and lengths.
    pub(super) fn ring_stores(&self, after: usize) -> Vec<(usize, usize)> {
        let ring = self.redo().ring.expect("there is a ring").extent();
        let offsets = ring.first.offset(PAGE)..PageNumber(ring.end()).offset(PAGE);
        let log = self.log();
        let stores = log.events[after..].iter().filter_map(|event| match event {
            Event::Store { offset, bytes } if offsets.contains(offset) => {
                Some((*offset as usize, bytes.len()))
            }
            _ => None,
        });
        stores.collect()
    }

    /// What a reader that begins now sees, and as of which transaction.
    pub(super) fn read(&self) -> Result<(TransactionId, Entries)> {
        let reader = SnapshotReader::begin(&self.handle)?;
        Ok((reader.snapshot.id, entries_of(&reader)?))
    }

    /// All bytes of the file, as this process sees them.
    pub(super) fn image(&self) -> Vec<u8> {
        let storage = &self.handle.core.pages.storage;
        let mut bytes = vec![0; storage.file_length().unwrap() as usize];
        storage.read(0, &mut bytes).unwrap();
        bytes
    }

    #[track_caller]
    pub(super) fn assert_clean(&self) {
        let report = crate::check::check(&self.handle.core, &mut |_, _| {}).unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

pub(super) fn entries_of(reader: &SnapshotReader) -> Result<Entries> {
    match get(reader, &reader.snapshot.catalog, TABLE.as_bytes())? {
        Some(entry) => entries_of_table(reader, entry).map(|(_, entries)| entries),
        None => Ok(Entries::new()),
    }
}

/// The types and the entries of the table that has this entry in the catalog.
pub(super) fn entries_of_table(reader: &SnapshotReader, entry: &[u8]) -> Result<(String, Entries)> {
    let TableEntry { root, key_type, .. } = TableEntry::decode(entry)?;
    let mut cursor = RangeCursor::new(&root, Bound::Unbounded, Bound::Unbounded);
    let mut entries = Entries::new();
    while let Some((key, value)) = cursor.next(reader)? {
        entries.insert(key.to_vec(), value.to_vec());
    }
    Ok((key_type, entries))
}

fn with_table<T>(
    tx: &Transaction,
    work: impl FnOnce(&mut crate::txn::open_table::OpenTable) -> Result<T>,
) -> Result<T> {
    let mut table = match tx.take_table(TABLE)? {
        Some(table) => table,
        None => tx.create_table(TABLE, TableKind::Table, "[u8]".into(), "[u8]".into())?,
    };
    let result = work(&mut table);
    tx.return_table(table);
    result
}

pub(super) fn put(tx: &Transaction, key: &[u8], value: &[u8]) -> Result<()> {
    with_table(tx, |table| tx.insert(table, key, value).map(drop))
}

pub(super) fn put_all(tx: &Transaction, entries: &Entries) -> Result<()> {
    entries.iter().try_for_each(|(key, value)| put(tx, key, value))
}

pub(super) fn clear(tx: &Transaction) -> Result<()> {
    with_table(tx, |table| tx.clear(table).map(drop))
}

pub(super) fn disk(image: &[u8]) -> Disk {
    Disk::new(image.to_vec(), WriteMode::Syscall)
}
