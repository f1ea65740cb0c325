//! The simulated storage: a file in memory that logs every call, and fails where a fault is injected.
//!
//! Invariants:
//! - Callers see what the real storage would show them: this *is* the real storage, over memory.
//! - Every change is in the log before the next call begins. From the log, [`Disk`](super::disk::Disk) computes what
//!   a loss of power may leave.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Weak};
use std::thread::ThreadId;

use parking_lot::{Mutex, MutexGuard};

use super::disk::{Description, Event};
use crate::base::TransactionId;
use crate::format::meta::MAGIC;
use crate::sys::calls::before_call;
use crate::sys::{FileIdentity, FileStorage, Mapping, Reservation, Storage, WriteMode};

/// A failure of the storage, without a loss of power.
///
/// A fault hits one call, between opening and closing the database, or in a recovery.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// A store fails half-way with an error of the device.
    Store,
    /// A store fails half-way because the disk is full.
    StoreNoSpace,
    /// A sync fails. What it should have made durable is clean in the page cache, and may not be on the disk. If it
    /// should have made the file's length durable, that may not be on the disk either. The next sync through the file's
    /// other description fails in the same way: the system tells each of the two once.
    Barrier,
    /// The disk is full when the file grows, and stays full until the end.
    Grow,
    /// A cut of the file fails.
    Cut,
    /// A read fails. The database makes read calls when it is opened, for the meta pages and the pages that it stores
    /// again.
    Read,
    /// One bit of a meta page is wrong when it is read, and right when it is read again.
    FlippedBit,
}

impl Fault {
    /// All kinds of faults.
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

/// A file that is made equal to an image is compared with it in pieces of this length.
const PIECE_BYTES: usize = 4096;

/// What was done to a storage, and what fails next.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) events: Vec<Event>,
    /// The fault, and how many calls that it can hit succeed before it does. The calls after it succeed again, except
    /// that a full disk stays full until this is cleared.
    pub(crate) fault: Option<(Fault, usize)>,
    pub(crate) faults_met: usize,
    /// Which descriptions have not been told yet of a failed write.
    untold: [bool; 2],
    /// Whether a store panics instead of failing.
    pub(crate) store_panics: bool,
    /// The work to do during the next barrier,
    pub(crate) meanwhile: Option<Box<dyn FnOnce() + Send>>,
    /// and the thread that is doing it.
    meanwhile_in: Option<ThreadId>,
    /// The ranges whose write-back was started, and how many events came before. They are not events: a disk may
    /// write anything at any time.
    pub(crate) write_backs: Vec<(Range<u64>, usize)>,
    /// How many calls there were that read, store, or make the file longer.
    pub(crate) reads: usize,
    pub(crate) stores: usize,
    pub(crate) grows: usize,
    /// A barrier locks this, so a test that holds the lock delays it.
    pub(crate) barrier_gate: Arc<Mutex<()>>,
    pub(crate) barriers_begun: usize,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("events", &self.events.len()).finish_non_exhaustive()
    }
}

/// Sets the work to do during the next barrier of a storage. Does nothing once the storage is gone.
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
    /// Returns how many barriers have succeeded.
    #[cfg(test)]
    pub(crate) fn barriers(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::BarrierEnds(_))).count()
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
    /// `Some` until the storage is dropped.
    inner: Option<FileStorage>,
    /// The options with which the file in memory was made; `None` for a file that the caller made.
    made_as: Option<(WriteMode, Reservation)>,
    log: Arc<Mutex<Log>>,
}

std::thread_local! {
    /// The file of the last storage. An exploration needs one after the other, and making a file costs more than
    /// using it.
    static LAST: RefCell<Option<((WriteMode, Reservation), FileStorage)>> = const { RefCell::new(None) };
}

impl SimulatedStorage {
    /// Returns a storage that contains `image`.
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

    /// Returns a storage that logs what is done to `inner`.
    #[cfg(test)]
    pub(crate) fn over(inner: FileStorage) -> SimulatedStorage {
        SimulatedStorage { inner: Some(inner), made_as: None, log: Arc::default() }
    }

    /// Returns the log, which may outlive the storage.
    pub(crate) fn log(&self) -> Arc<Mutex<Log>> {
        Arc::clone(&self.log)
    }

    fn inner(&self) -> &FileStorage {
        self.inner.as_ref().expect("the file is there until the storage is dropped")
    }

    /// Runs a barrier for `range`, in bytes, and for the length of the file if `with_length` is set.
    fn sync(&self, through: Description, range: Range<u64>, with_length: bool) -> io::Result<()> {
        self.mapping().check_covers(range.end)?;
        let gate = {
            let mut log = self.log.lock();
            log.barriers_begun += 1;
            Arc::clone(&log.barrier_gate)
        };
        drop(gate.lock());
        let mut log = self.log.lock();
        log.events.push(Event::BarrierBegins { through, range });
        let fails = log.meet(&[Fault::Barrier]).is_some();
        if let Some(meanwhile) = log.meanwhile.take() {
            log.meanwhile_in = Some(std::thread::current().id());
            drop(log);
            let while_it_runs = MeanwhileRuns(&self.log);
            let ended = catch_unwind(AssertUnwindSafe(meanwhile));
            drop(while_it_runs);
            if let Err(payload) = ended
                && !payload.is::<HeldUp>()
            {
                resume_unwind(payload);
            }
            log = self.log.lock();
        }
        let is_told = std::mem::take(&mut log.untold[through as usize]);
        log.untold[through.other() as usize] |= fails;
        if fails || is_told {
            log.events.push(Event::BarrierFails(through));
            return Err(device_error());
        }
        if with_length {
            log.events.push(Event::LengthSynced(through));
        }
        log.events.push(Event::BarrierEnds(through));
        Ok(())
    }

    /// Stores the first half of `bytes`, as a call does that fails half-way.
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
            // This fails in a thread that is ending, which needs no file.
            let _ = LAST.try_with(|last| *last.borrow_mut() = Some((made_as, inner)));
        }
    }
}

/// Stores the pieces of `image` that differ from the file: one state is much like the one before.
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
        log.stores += 1;
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
            // Within the fixed part of the meta page.
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
        self.sync(Description::Log, 0..length, false)
    }

    fn barrier_with_length(&self) -> io::Result<()> {
        before_call();
        self.sync(Description::Log, 0..self.file_length()?, true)
    }

    fn barrier_over(&self, offset: u64, length: u64) -> io::Result<()> {
        before_call();
        self.sync(Description::Log, offset..offset.saturating_add(length), false)
    }

    fn checkpoint_barrier(&self) -> io::Result<()> {
        before_call();
        self.sync(Description::Checkpoint, 0..self.file_length()?, true)
    }

    fn grow(&self, from: u64, to: u64, zero: bool) -> io::Result<()> {
        before_call();
        let mut log = self.log.lock();
        log.grows += 1;
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

    fn about_to_be_held_up(&self) {
        if self.log.lock().meanwhile_in == Some(std::thread::current().id()) {
            resume_unwind(Box::new(HeldUp));
        }
    }

    fn about_to_wait(&self) {
        let waits_for_itself = self.log.lock().meanwhile_in == Some(std::thread::current().id());
        assert!(
            !waits_for_itself,
            "work during a barrier waits for that barrier, which would never end: \
             commit with commit_deferred instead"
        );
    }
}

/// Ends work during a barrier that has to wait for the writer lock, or for a checkpoint, and so for that barrier: its
/// transaction is aborted.
struct HeldUp;

/// Clears the mark of the thread that does the work during a barrier, even if that panics.
struct MeanwhileRuns<'a>(&'a Mutex<Log>);

impl Drop for MeanwhileRuns<'_> {
    fn drop(&mut self) {
        self.0.lock().meanwhile_in = None;
    }
}
