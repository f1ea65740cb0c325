//! A storage in memory that keeps a journal of its calls, and a small client of the transactions below the
//! public interface.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::base::TransactionId;
use crate::error::Result;
use crate::format::table_root::TableEntry;
use crate::sys::{Access, FileIdentity, FileStorage, LockFile, Mapping, Storage, WriteMode, sync_failure};
use crate::tree::{NewValue, RangeCursor, get};
use crate::txn::commit::Durability;
use crate::txn::core::{Handle, Settings};
use crate::txn::open::OpenSettings;
use crate::txn::page_file::Verify;
use crate::txn::read::SnapshotReader;
use crate::txn::turns::{self, Patience};
use crate::txn::write::Transaction;

pub(super) const PAGE: usize = 4096;
const MAX_SIZE: u64 = 64 << 20;

/// Something that a storage was asked for.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Write {
        offset: u64,
        bytes: Vec<u8>,
    },
    /// What was stored up to here is what the next [`Call::Barrier`] makes durable.
    BarrierBegins,
    Barrier,
    Grow {
        from: u64,
        to: u64,
        zero: bool,
    },
    Truncate {
        to: u64,
    },
}

/// The calls that can be made to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    Write,
    Barrier,
    /// No space: an error that leaves everything as it was.
    Grow,
    /// The sync that makes a longer file durable.
    GrowSync,
    Truncate,
}

#[derive(Default)]
pub(super) struct Journal {
    pub(super) calls: Vec<Call>,
    /// How many more calls of that kind go well before one fails; those after it go well again, but a disk that
    /// is full stays full until this is cleared.
    pub(super) fault: Option<(Fault, usize)>,
    pub(super) faults_met: usize,
    /// What others do while the next barrier is under way.
    pub(super) meanwhile: Option<Box<dyn FnOnce() + Send>>,
    /// A barrier locks this; so it waits for whoever has it.
    pub(super) barrier_gate: Arc<Mutex<()>>,
    /// How many barriers have begun.
    pub(super) barriers_begun: usize,
}

impl Journal {
    fn meet(&mut self, kinds: &[Fault]) -> Option<Fault> {
        let (fault, left) = self.fault.as_mut().filter(|(fault, _)| kinds.contains(fault))?;
        if *left > 0 {
            *left -= 1;
            return None;
        }
        let fault = *fault;
        if fault != Fault::Grow {
            self.fault = None; // a full disk stays full
        }
        self.faults_met += 1;
        Some(fault)
    }

    pub(super) fn barriers(&self) -> usize {
        self.calls.iter().filter(|call| matches!(call, Call::Barrier)).count()
    }
}

pub(super) struct JournalingStorage {
    inner: FileStorage,
    journal: Arc<Mutex<Journal>>,
}

fn no_space() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "injected: no space")
}

fn device_error() -> io::Error {
    io::Error::other("injected: the device failed")
}

impl Storage for JournalingStorage {
    fn mapping(&self) -> &Mapping {
        self.inner.mapping()
    }

    fn write(&self, offset: u64, buffers: &[&[u8]]) -> io::Result<()> {
        let mut journal = self.journal.lock();
        let mut bytes = buffers.concat();
        let fault = journal.meet(&[Fault::Write]);
        if fault.is_some() {
            bytes.truncate(bytes.len() / 2); // what fails may have been done in part
        }
        self.inner.write(offset, &[&bytes])?;
        journal.calls.push(Call::Write { offset, bytes });
        fault.map_or(Ok(()), |_| Err(device_error()))
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, buffer)
    }

    fn barrier(&self, length: u64) -> io::Result<()> {
        let gate = {
            let mut journal = self.journal.lock();
            journal.barriers_begun += 1;
            Arc::clone(&journal.barrier_gate)
        };
        drop(gate.lock());
        let mut journal = self.journal.lock();
        if journal.meet(&[Fault::Barrier]).is_some() {
            return Err(sync_failure(device_error()));
        }
        assert_eq!(length, self.inner.mapping().mapped_length(), "a barrier is for all that is stored");
        journal.calls.push(Call::BarrierBegins);
        if let Some(meanwhile) = journal.meanwhile.take() {
            drop(journal);
            meanwhile();
            journal = self.journal.lock();
        }
        journal.calls.push(Call::Barrier);
        Ok(())
    }

    fn grow(&self, from: u64, to: u64, zero: bool) -> io::Result<()> {
        let mut journal = self.journal.lock();
        match journal.meet(&[Fault::Grow, Fault::GrowSync]) {
            Some(Fault::GrowSync) => return Err(sync_failure(device_error())),
            Some(_) => return Err(no_space()),
            None => {}
        }
        self.inner.grow(from, to, zero)?;
        journal.calls.push(Call::Grow { from, to, zero });
        Ok(())
    }

    fn truncate(&self, to: u64) -> io::Result<()> {
        let mut journal = self.journal.lock();
        if journal.meet(&[Fault::Truncate]).is_some() {
            return Err(device_error());
        }
        self.inner.truncate(to)?;
        journal.calls.push(Call::Truncate { to });
        Ok(())
    }

    fn file_length(&self) -> io::Result<u64> {
        self.inner.file_length()
    }

    fn refresh_length(&self) -> io::Result<u64> {
        self.inner.refresh_length()
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        self.inner.identity()
    }
}

/// The entries of the one table.
pub(super) type Entries = BTreeMap<Vec<u8>, Vec<u8>>;
const TABLE: &str = "entries";

pub(super) fn options(dirty_memory: usize) -> OpenSettings {
    OpenSettings {
        page_size: Some(PAGE),
        create: true,
        write_mode: WriteMode::Syscall,
        verify: Verify::FirstTouch,
        settings: Settings { read_only: false, dirty_memory, max_size: MAX_SIZE },
    }
}

/// The bytes of a new database.
pub(super) fn new_image() -> Vec<u8> {
    options(0).first_pages().unwrap()
}

/// An open database over a [`JournalingStorage`].
pub(super) struct Engine {
    pub(super) handle: Arc<Handle>,
    /// What it was opened with.
    pub(super) start: Vec<u8>,
    journal: Arc<Mutex<Journal>>,
}

impl Engine {
    pub(super) fn new() -> Engine {
        Engine::open(&new_image(), 256 << 20).unwrap()
    }

    pub(super) fn open(image: &[u8], dirty_memory: usize) -> Result<Engine> {
        Engine::open_with_fault(image, dirty_memory, None).0
    }

    /// Opens `image`. The journal begins behind it; with `fault` some call of recovery's may fail.
    pub(super) fn open_with_fault(
        image: &[u8],
        dirty_memory: usize,
        fault: Option<(Fault, usize)>,
    ) -> (Result<Engine>, Arc<Mutex<Journal>>) {
        let inner = FileStorage::in_memory(WriteMode::Syscall, MAX_SIZE).unwrap();
        inner.grow(0, image.len() as u64, false).unwrap();
        inner.write(0, &[image]).unwrap();
        let journal = Arc::new(Mutex::new(Journal { fault, ..Journal::default() }));
        let storage = JournalingStorage { inner, journal: Arc::clone(&journal) };
        let core = options(dirty_memory).start_unshared(Box::new(storage), Path::new("(journal)"));
        let engine = core.map(|core| Engine {
            handle: Arc::new(Handle::new(core)),
            start: image.to_vec(),
            journal: Arc::clone(&journal),
        });
        (engine, journal)
    }

    /// Opens the file at `path` together with all others who do: as another process would.
    pub(super) fn share(path: &Path) -> Result<Engine> {
        let lock = LockFile::open(path).unwrap();
        turns::close_gate(&lock).unwrap();
        if !path.exists() {
            std::fs::write(path, new_image()).unwrap();
        }
        let inner = FileStorage::open(path, Access::ReadWrite, WriteMode::Syscall, MAX_SIZE).unwrap();
        let data = inner.file().try_clone().unwrap();
        let journal = Arc::new(Mutex::new(Journal::default()));
        let storage = JournalingStorage { inner, journal: Arc::clone(&journal) };
        let core = options(256 << 20).join(path, lock, data, Box::new(storage))?;
        let core = core.expect("nobody removes the lock file");
        Ok(Engine { handle: Arc::new(Handle::new(core)), start: Vec::new(), journal })
    }

    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock()
    }

    /// The journal, to outlive the engine.
    pub(super) fn keep_journal(&self) -> Arc<Mutex<Journal>> {
        Arc::clone(&self.journal)
    }

    /// Lets the `after`-th call of a kind from now on fail, counted from 0.
    pub(super) fn fail(&self, fault: Fault, after: usize) {
        self.journal().fault = Some((fault, after));
    }

    pub(super) fn begin(&self) -> Result<Transaction> {
        Ok(Transaction::begin(&self.handle, Patience::Forever)?.expect("no deadline"))
    }

    pub(super) fn commit(&self, changes: &Entries, durability: Durability) -> Result<TransactionId> {
        let tx = self.begin()?;
        put_all(&tx, changes)?;
        tx.commit(durability)
    }

    /// What a reader who begins now sees, and as of which transaction.
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
        let report = crate::check::check(&self.handle.core).unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

pub(super) fn entries_of(reader: &SnapshotReader) -> Result<Entries> {
    let Some(entry) = get(reader, &reader.snapshot.catalog, TABLE.as_bytes())? else {
        return Ok(Entries::new());
    };
    let root = TableEntry::decode(entry)?.root;
    let mut cursor = RangeCursor::new(&root, Bound::Unbounded, Bound::Unbounded);
    let mut entries = Entries::new();
    while let Some((key, value)) = cursor.next(reader)? {
        entries.insert(key.to_vec(), value.to_vec());
    }
    Ok(entries)
}

fn with_table<T>(
    tx: &Transaction,
    work: impl FnOnce(&mut crate::txn::write::OpenTable) -> Result<T>,
) -> Result<T> {
    let mut table = match tx.take_table(TABLE)? {
        Some(table) => table,
        None => tx.create_table(TABLE, "[u8]".into(), "[u8]".into())?,
    };
    let result = tx.spill_if_needed(&mut table).and_then(|()| work(&mut table));
    tx.return_table(table);
    tx.guard(result)
}

pub(super) fn put(tx: &Transaction, key: &[u8], value: &[u8]) -> Result<()> {
    with_table(tx, |table| {
        let pages = &tx.core().pages;
        if tx.is_stored_directly(value.len()) {
            let first = tx.store_value(value)?;
            table.tree.insert(pages, key, NewValue::Stored { first, length: value.len() as u64 })?;
        } else {
            table.tree.insert(pages, key, NewValue::Bytes(value))?;
        }
        Ok(())
    })
}

pub(super) fn put_all(tx: &Transaction, entries: &Entries) -> Result<()> {
    entries.iter().try_for_each(|(key, value)| put(tx, key, value))
}

pub(super) fn remove(tx: &Transaction, key: &[u8]) -> Result<()> {
    with_table(tx, |table| table.tree.remove(&tx.core().pages, key).map(|_| ()))
}

pub(super) fn clear(tx: &Transaction) -> Result<()> {
    with_table(tx, |table| table.tree.clear(&tx.core().pages))
}

/// Numbers that look random and depend on the seed only (splitmix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}
