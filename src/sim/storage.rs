//! The simulated storage: a file in memory that writes down every call, and fails where it is told to.
//!
//! Invariants:
//! - What callers see is what the real storage would show them: it *is* the real storage, over memory.
//! - Every change is in the log before the next call begins; from the log, [`Disk`](super::disk::Disk) tells what
//!   a loss of power may leave.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::thread::ThreadId;

use parking_lot::{Mutex, MutexGuard};

use super::disk::Event;
use crate::base::TransactionId;
use crate::format::meta::MAGIC;
use crate::sys::calls::before_call;
use crate::sys::{FileIdentity, FileStorage, Mapping, Reservation, Storage, WriteMode};

/// What can go wrong with a storage that does not lose power.
///
/// It befalls one call, in a life, from opening to closing, or in a recovery.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// Storing ends half-way with an error of the device.
    Store,
    /// Storing ends half-way because the disk is full.
    StoreNoSpace,
    /// A sync fails. What it was to make durable is clean in the page cache, and may not be on the disk; nor may the
    /// file's length, if it was to make that durable.
    Barrier,
    /// The disk is full when the file is to grow, and stays so until the end.
    Grow,
    /// Cutting the file fails.
    Cut,
    /// Reading fails. The database reads by calls when it is opened: records, and the pages that it stores again.
    Read,
    /// One bit of a record is wrong when it is read, and right when it is read again.
    FlippedBit,
}

impl Fault {
    /// All of them.
    pub const ALL: &'static [Fault] = &[
        Fault::Store,
        Fault::StoreNoSpace,
        Fault::Barrier,
        Fault::Grow,
        Fault::Cut,
        Fault::Read,
        Fault::FlippedBit,
    ];
}

/// What is compared at once when a file is made to hold an image.
const PIECE_BYTES: usize = 4096;

/// What has been done to a storage, and what is to go wrong.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) events: Vec<Event>,
    /// How many more calls that the fault can befall go well before it does. Those after it go well again, but a disk
    /// that is full stays full until this is cleared.
    pub(crate) fault: Option<(Fault, usize)>,
    pub(crate) faults_met: usize,
    /// Storing panics where it would fail.
    pub(crate) store_panics: bool,
    /// What others do while the next barrier is under way,
    pub(crate) meanwhile: Option<Box<dyn FnOnce() + Send>>,
    /// and the thread that is doing it.
    meanwhile_in: Option<ThreadId>,
    /// What the disk was asked to begin with, and how many events there had been. No event of its own: a disk may
    /// write anything at any time.
    pub(crate) write_backs: Vec<(Range<u64>, usize)>,
    /// How often something was read.
    pub(crate) reads: usize,
    /// A barrier locks this; so it waits for whoever has it.
    pub(crate) barrier_gate: Arc<Mutex<()>>,
    pub(crate) barriers_begun: usize,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("events", &self.events.len()).finish_non_exhaustive()
    }
}

/// Sets work to be done during the next barrier of a storage, for as long as the storage exists.
#[derive(Debug, Clone)]
pub(super) struct BarrierWork {
    log: Weak<Mutex<Log>>,
}

impl BarrierWork {
    pub(super) fn new(log: &Arc<Mutex<Log>>) -> BarrierWork {
        BarrierWork { log: Arc::downgrade(log) }
    }

    pub(super) fn set(&self, work: Box<dyn FnOnce() + Send>) {
        if let Some(log) = self.log.upgrade() {
            log.lock().meanwhile = Some(work);
        }
    }
}

impl Log {
    /// How many barriers have succeeded.
    #[cfg(test)]
    pub(crate) fn barriers(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::BarrierEnds)).count()
    }

    fn meet(&mut self, kinds: &[Fault]) -> Option<Fault> {
        let (fault, left) = self.fault.as_mut().filter(|(fault, _)| kinds.contains(fault))?;
        if *left > 0 {
            *left -= 1;
            return None;
        }
        let fault = *fault;
        if fault != Fault::Grow {
            self.fault = None;
        }
        self.faults_met += 1;
        Some(fault)
    }
}

pub(crate) struct SimulatedStorage {
    /// There until the storage is dropped.
    inner: Option<FileStorage>,
    /// How the file in memory was made; `None` if it was given.
    made_as: Option<(WriteMode, Reservation)>,
    log: Arc<Mutex<Log>>,
}

std::thread_local! {
    /// The file of the last storage: an exploration needs one after the other, and making one costs more than
    /// using it.
    static LAST: RefCell<Option<((WriteMode, Reservation), FileStorage)>> = const { RefCell::new(None) };
}

impl SimulatedStorage {
    /// A file that holds `image`.
    pub(crate) fn new(
        image: &[u8],
        write_mode: WriteMode,
        reservation: impl Into<Reservation>,
    ) -> io::Result<SimulatedStorage> {
        let made_as = (write_mode, reservation.into());
        let last = LAST.take().filter(|(last, _)| *last == made_as);
        let inner = match last {
            Some((_, inner)) => inner,
            None => FileStorage::in_memory(write_mode, made_as.1)?,
        };
        let (length, wanted) = (inner.file_length()?, image.len() as u64);
        match length > wanted {
            true => inner.truncate(wanted)?,
            false => inner.grow(length, wanted, false)?,
        }
        make_equal(&inner, image)?;
        Ok(SimulatedStorage { inner: Some(inner), made_as: Some(made_as), log: Arc::default() })
    }

    /// Writes down what is done to `inner`.
    #[cfg(test)]
    pub(crate) fn over(inner: FileStorage) -> SimulatedStorage {
        SimulatedStorage { inner: Some(inner), made_as: None, log: Arc::default() }
    }

    /// The log, which outlives the storage.
    pub(crate) fn log(&self) -> Arc<Mutex<Log>> {
        Arc::clone(&self.log)
    }

    fn inner(&self) -> &FileStorage {
        self.inner.as_ref().expect("it is there until the storage is dropped")
    }

    /// A barrier for the first `length` bytes, which ends with `also`.
    fn sync(&self, length: u64, also: &[Event]) -> io::Result<()> {
        self.mapping().check_covers(length)?;
        let gate = {
            let mut log = self.log.lock();
            log.barriers_begun += 1;
            Arc::clone(&log.barrier_gate)
        };
        drop(gate.lock());
        let mut log = self.log.lock();
        log.events.push(Event::BarrierBegins { length });
        let fails = log.meet(&[Fault::Barrier]).is_some();
        if let Some(meanwhile) = log.meanwhile.take() {
            log.meanwhile_in = Some(std::thread::current().id());
            drop(log);
            let while_it_runs = MeanwhileRuns(&self.log);
            meanwhile();
            drop(while_it_runs);
            log = self.log.lock();
        }
        if fails {
            log.events.push(Event::BarrierFails);
            return Err(device_error());
        }
        log.events.extend_from_slice(also);
        log.events.push(Event::BarrierEnds);
        Ok(())
    }

    /// The part of `bytes` that is stored although the call fails: sectors, as far as it came.
    fn store_half(&self, log: &mut MutexGuard<'_, Log>, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let half = &bytes[..bytes.len() / 2];
        self.inner().write(offset, &[half])?;
        log.events.push(Event::Store { offset, bytes: half.into() });
        Ok(())
    }
}

impl Drop for SimulatedStorage {
    fn drop(&mut self) {
        if let (Some(made_as), Some(inner)) = (self.made_as, self.inner.take()) {
            // A thread that is about to end needs none.
            let _ = LAST.try_with(|last| *last.borrow_mut() = Some((made_as, inner)));
        }
    }
}

/// Stores those pieces of `image` that the file has not: one state is much like the one before.
fn make_equal(file: &FileStorage, image: &[u8]) -> io::Result<()> {
    let there = file.mapping().slice(0, image.len()).unwrap_or(&[]);
    let pieces =
        image.chunks(PIECE_BYTES).zip(there.chunks(PIECE_BYTES).map(Some).chain(std::iter::repeat(None)));
    let differs =
        |(number, (new, old)): (usize, (&[u8], Option<&[u8]>))| (old != Some(new)).then_some(number);
    let different: Vec<usize> = pieces.enumerate().filter_map(differs).collect();
    for run in different.chunk_by(|a, b| a + 1 == *b) {
        let bytes = run[0] * PIECE_BYTES..((run[run.len() - 1] + 1) * PIECE_BYTES).min(image.len());
        file.write(bytes.start as u64, &[&image[bytes]])?;
    }
    Ok(())
}

fn no_space() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "simulated: no space")
}

fn device_error() -> io::Error {
    io::Error::other("simulated: the device failed")
}

impl Storage for SimulatedStorage {
    fn mapping(&self) -> &Arc<Mapping> {
        self.inner().mapping()
    }

    fn write(&self, offset: u64, buffers: &[&[u8]]) -> io::Result<()> {
        before_call();
        let mut log = self.log.lock();
        let bytes = buffers.concat();
        if let Some(fault) = log.meet(&[Fault::Store, Fault::StoreNoSpace]) {
            self.store_half(&mut log, offset, &bytes)?;
            assert!(!log.store_panics, "injected");
            return Err(if fault == Fault::Store { device_error() } else { no_space() });
        }
        self.inner().write(offset, &[&bytes])?;
        log.events.push(Event::Store { offset, bytes: bytes.into() });
        Ok(())
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        before_call();
        let mut log = self.log.lock();
        log.reads += 1;
        if log.meet(&[Fault::Read]).is_some() {
            return Err(device_error());
        }
        self.inner().read(offset, buffer)?;
        if buffer.starts_with(MAGIC) && log.meet(&[Fault::FlippedBit]).is_some() {
            // Within the fixed part of the record.
            let at = (offset as usize / 7 + 17) % buffer.len().min(96);
            buffer[at] ^= 4;
        }
        Ok(())
    }

    fn start_write_back(&self, offset: u64, length: u64) {
        let mut log = self.log.lock();
        let events = log.events.len();
        log.write_backs.push((offset..offset + length, events));
    }

    fn barrier(&self, length: u64) -> io::Result<()> {
        before_call();
        self.sync(length, &[])
    }

    fn barrier_with_length(&self) -> io::Result<()> {
        before_call();
        self.sync(self.file_length()?, &[Event::LengthSynced])
    }

    fn grow(&self, from: u64, to: u64, zero: bool) -> io::Result<()> {
        before_call();
        let mut log = self.log.lock();
        if log.meet(&[Fault::Grow]).is_some() {
            return Err(no_space());
        }
        let length_before = self.inner().file_length()?;
        self.inner().grow(from, to, zero)?;
        if to > length_before {
            log.events.push(Event::Lengthened { to });
        }
        if zero && from < length_before {
            let bytes = vec![0; (to.min(length_before) - from) as usize];
            log.events.push(Event::Store { offset: from, bytes: bytes.into() });
        }
        Ok(())
    }

    fn truncate(&self, to: u64) -> io::Result<()> {
        before_call();
        let mut log = self.log.lock();
        if log.meet(&[Fault::Cut]).is_some() {
            return Err(device_error());
        }
        if to < self.inner().file_length()? {
            self.inner().truncate(to)?;
            log.events.push(Event::Cut { to });
        }
        Ok(())
    }

    fn file_length(&self) -> io::Result<u64> {
        self.inner().file_length()
    }

    fn refresh_length(&self) -> io::Result<u64> {
        self.inner().refresh_length()
    }

    fn identity(&self) -> FileIdentity {
        self.inner().identity()
    }

    fn acknowledged(&self, id: TransactionId) {
        self.log.lock().events.push(Event::Acknowledged(id));
    }

    fn about_to_wait(&self) {
        let waits_for_itself = self.log.lock().meanwhile_in == Some(std::thread::current().id());
        assert!(
            !waits_for_itself,
            "what is done during a barrier waits for that barrier, and would do so for ever: \
             only commit_deferred does not wait"
        );
    }
}

/// What is to be done during a barrier is being done.
struct MeanwhileRuns<'a>(&'a Mutex<Log>);

impl Drop for MeanwhileRuns<'_> {
    fn drop(&mut self) {
        self.0.lock().meanwhile_in = None;
    }
}
