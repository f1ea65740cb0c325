//! The real storage: a file, or memory that behaves as one.
//!
//! Invariants:
//! - Every byte below the mapping's known length is allocated on the disk (I6), file systems that copy on
//!   write excepted (see [`WriteMode`]).
//! - The known length is lowered before the file is cut, and `grow` raises it only when the file is longer. A thread
//!   that changes it, or asks the system for it, holds `length_lock`, for a moment and never while growing (I8): so
//!   none can put back an older value.
//! - The two write modes differ in one function, `store`.
//! - A barrier is exactly one `msync` (I4); one that includes the length is an `fdatasync` (L8). Except on Linux, each
//!   is both.
//! - Syncs through one open file description take turns, and after one has failed each later one fails too (I6): the
//!   system reports a failed write to a description once only. An error of starting write-back counts as one of a sync.
//! - Barriers of checkpoints have a description of their own (L12), which a file has that other handles may open.
#![allow(unsafe_code)]

use super::address_space::{Reservation, Reserved, reserve};
use super::calls::before_call;
use super::copy;
use super::file_system;
use super::gather;
use super::lock::open_again;
use super::mapping::Mapping;
use super::pieces::{copy_into, end_of};
use super::private_storage::PrivateStorage;
use super::rights::Rights;
use super::signals::uninterrupted;
use super::size_limit::check_file_size;
use super::storage::{Access, FileIdentity, FileStatus, Storage, WriteMode};
use super::system::Locks;
use super::system::platform::{self, SYNCS_ARE_ONE, status_of};
use memmap2::MmapOptions;
use parking_lot::Mutex;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// Zeros are written in pieces of this many bytes.
const ZERO_PIECE_BYTES: usize = 1 << 20;

/// A file, its mapping for reading and, in [`WriteMode::Mapped`], its mapping for writing.
pub(crate) struct FileStorage {
    file: File,
    identity: FileIdentity,
    mapping: Arc<Mapping>,
    access: Access,
    /// There exactly in [`WriteMode::Mapped`] with [`Access::ReadWrite`].
    writable: Option<Reserved>,
    /// False for memory, where there is nothing to sync.
    outlives_power: bool,
    /// Opened for reading on overlayfs, so that the mapping may be of the lower layer for good.
    has_layers: bool,
    length_lock: Mutex<()>,
    /// The syncs through `file` and the mapping.
    syncs: Syncs,
    /// There if [`FileStorage::open_for_checkpoints`] opened it.
    checkpoints: Option<CheckpointFile>,
    /// What keeps others out as long as the file is open.
    held: Option<Locks>,
}

/// The file, opened once more for the barriers of checkpoints.
struct CheckpointFile {
    file: File,
    syncs: Syncs,
}

/// The syncs through one open file description.
#[derive(Default)]
struct Syncs {
    /// Held during a sync. Says whether one has failed.
    has_failed: Mutex<bool>,
}

impl Syncs {
    /// Runs `sync`, unless an earlier one has failed.
    fn run(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut has_failed = self.has_failed.lock();
        let result = match *has_failed {
            true => Err(io::Error::other("an earlier sync has failed")),
            // One that a signal has ended could not be repeated: an error that the system tells once only may have been
            // lost with it.
            false => uninterrupted(sync),
        };
        *has_failed = result.is_err();
        result
    }
}

impl FileStorage {
    /// Opens an existing file; `reservation` is how far it may grow (see [`Mapping`]).
    pub(crate) fn open(
        path: &Path,
        access: Access,
        write_mode: WriteMode,
        reservation: impl Into<Reservation>,
    ) -> io::Result<FileStorage> {
        before_call();
        let file = options(access).open(path)?;
        let kind = file.metadata()?.file_type();
        if kind.is_dir() {
            return Err(io::Error::new(ErrorKind::IsADirectory, "it is a directory, not a file"));
        }
        if !kind.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
        }
        FileStorage::over(file, access, write_mode, reservation.into(), true)
    }

    /// An empty storage in memory. It has no name, and is gone when the last handle is.
    pub(crate) fn in_memory(
        write_mode: WriteMode,
        reservation: impl Into<Reservation>,
    ) -> io::Result<FileStorage> {
        FileStorage::over(platform::memory_file()?, Access::ReadWrite, write_mode, reservation.into(), false)
    }

    /// A file that no other handle knows; `reservation` is how far it may grow.
    pub(crate) fn of_file(
        file: File,
        access: Access,
        reservation: impl Into<Reservation>,
    ) -> io::Result<FileStorage> {
        FileStorage::over(file, access, WriteMode::Syscall, reservation.into(), true)
    }

    fn over(
        file: File,
        access: Access,
        write_mode: WriteMode,
        reservation: Reservation,
        outlives_power: bool,
    ) -> io::Result<FileStorage> {
        let FileStatus { identity, length } = status_of(&file)?;
        let has_layers = access == Access::ReadOnly && file_system::has_layers(&file)?;
        check_file_size(0)?; // so that the stores to come compare with what the limit is now
        let mut writable = None;
        if write_mode == WriteMode::Mapped && access == Access::ReadWrite {
            fill_holes(&file, length)?;
            writable = Some(reserve(length, reservation.bytes_for(length), |bytes| {
                MmapOptions::new().len(bytes).map_raw(&file)
            })?);
        }
        // The file must not outgrow the smaller of the two mappings.
        let reservation =
            writable.as_ref().map_or(reservation, |memory| Reservation::Bytes(memory.len() as u64));
        let mapping = Arc::new(Mapping::new(&file, length, reservation)?);
        Ok(FileStorage {
            file,
            identity,
            mapping,
            access,
            writable,
            outlives_power,
            has_layers,
            length_lock: Mutex::new(()),
            syncs: Syncs::default(),
            checkpoints: None,
            held: None,
        })
    }

    /// An error that names the file system if a database cannot be there.
    pub(crate) fn check_file_system(&self) -> io::Result<()> {
        file_system::check_open_file(&self.file)
    }

    /// The open file. It is mapped: locks belong to a description of their own.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Opens the same file once more, for locks. `ErrorKind::NotFound` if another one, or none, is at `path` by now.
    pub(crate) fn open_for_locks(&self, path: &Path) -> io::Result<Locks> {
        Locks::new(path, || open_again(|| options(self.access).open(path), &self.file))
    }

    /// Opens the same file once more, for the barriers of checkpoints; does nothing if the file was opened for reading
    /// only. `ErrorKind::NotFound` if another one, or none, is at `path` by now. Without this call these barriers go
    /// through the description of the other ones, which is right for a file that no other handle knows, and whose
    /// barriers never run at once.
    pub(crate) fn open_for_checkpoints(&mut self, path: &Path) -> io::Result<()> {
        if self.access == Access::ReadWrite {
            before_call();
            let file = open_again(|| options(self.access).open(path), &self.file)?;
            self.checkpoints = Some(CheckpointFile { file, syncs: Syncs::default() });
        }
        Ok(())
    }

    /// The same file for one that may not write it, which replays what it stores privately. `held` keeps writers out.
    pub(crate) fn into_private(
        self,
        held: Locks,
        reservation: impl Into<Reservation>,
    ) -> io::Result<PrivateStorage> {
        PrivateStorage::new(self.file, held, reservation)
    }

    /// Keeps a lock until the storage is dropped.
    pub(crate) fn hold(&mut self, lock: Locks) {
        self.held = Some(lock);
    }

    /// The difference between the write modes. The caller has seen to it that the range is allocated.
    fn store(&self, offset: u64, buffers: &[&[u8]]) -> io::Result<()> {
        match &self.writable {
            None => gather::write_all_at(&self.file, offset, buffers),
            // SAFETY: the mapping may be written. No reference to the target exists: references are made through the
            // other mapping only, to pages that are visible, and those are never written (I1).
            Some(memory) => unsafe { copy_into(memory.as_mut_ptr(), memory.len() as u64, offset, buffers) },
        }
    }

    /// Makes the file longer, all of it allocated.
    fn extend(&self, from: u64, to: u64, zero: bool) -> io::Result<()> {
        check_file_size(to)?;
        match platform::allocate(&self.file, from, to) {
            // Where nothing can be allocated ahead, writing zeros is what makes the blocks exist.
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                write_zeros(from, to, |at, piece| gather::write_all_at(&self.file, at, &[piece]))?;
            }
            Err(error) => return Err(error),
            // In the mode's own way: `pwrite` in large pieces would make large folios, and each of the stores
            // through a mapping that follow would dirty a whole one.
            Ok(()) if zero => write_zeros(from, to, |at, piece| self.store(at, &[piece]))?,
            Ok(()) => {}
        }
        Ok(())
    }

    /// Sets the file's length, which is greater, to `length`.
    fn cut(&self, length: u64) -> io::Result<()> {
        let _lock = self.length_lock.lock();
        let known_before = self.mapping.mapped_length();
        self.mapping.set_mapped_length(length.min(known_before));
        self.file.set_len(length).inspect_err(|_| self.mapping.set_mapped_length(known_before))
    }

    fn check_writable(&self) -> io::Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => {
                Err(io::Error::new(ErrorKind::PermissionDenied, "the file was opened for reading only"))
            }
        }
    }
}

impl Storage for FileStorage {
    fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    fn write(&self, offset: u64, buffers: &[&[u8]]) -> io::Result<()> {
        self.check_writable()?;
        let end = end_of(offset, buffers)?;
        let limit = self.mapping.mapped_length();
        if end > limit {
            let problem = format!("a write up to byte {end} of a file that has grown to {limit} only");
            return Err(io::Error::new(ErrorKind::InvalidInput, problem));
        }
        self.store(offset, buffers)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn copy_out(&self, offset: u64, length: u64, to: &File) -> io::Result<()> {
        check_file_size(offset.saturating_add(length))?;
        let done = platform::copy_file_range(&self.file, offset, length, to)?;
        copy::copy_mapped(&self.mapping, offset + done, length - done, to)
    }

    /// An error is one of a sync: what could not be written may be clean by now, and no sync may tell of it again.
    fn start_write_back(&self, offset: u64, length: u64) {
        if self.outlives_power && platform::start_write_back(&self.file, offset, length).is_err() {
            *self.syncs.has_failed.lock() = true;
        }
    }

    /// The system tells the description of checkpoints of an error here, and tells it no more. So this counts as one of
    /// its barriers, and none of them runs meanwhile: after an error here each of them fails.
    fn write_back(&self, offset: u64, length: u64) {
        if let Some(CheckpointFile { file, syncs }) = &self.checkpoints {
            let _ = syncs.run(|| platform::write_back(file, offset, length));
        }
    }

    fn barrier(&self, length: u64) -> io::Result<()> {
        self.barrier_over(0, length)
    }

    fn barrier_with_length(&self) -> io::Result<()> {
        if !self.outlives_power {
            return Ok(());
        }
        self.check_writable()?;
        self.syncs.run(|| {
            if !SYNCS_ARE_ONE {
                self.mapping.flush(0, self.mapping.mapped_length())?; // what any process has stored through one
            }
            self.file.sync_data()
        })
    }

    fn barrier_over(&self, offset: u64, length: u64) -> io::Result<()> {
        if !self.outlives_power {
            return Ok(());
        }
        self.check_writable()?;
        self.mapping.check_covers(offset.saturating_add(length))?; // not a sync that has failed
        self.syncs.run(|| {
            self.mapping.flush(offset, length)?;
            if SYNCS_ARE_ONE { Ok(()) } else { self.file.sync_data() }
        })
    }

    fn checkpoint_barrier(&self) -> io::Result<()> {
        let Some(checkpoints) = &self.checkpoints else { return self.barrier_with_length() };
        if !SYNCS_ARE_ONE {
            // An error is told to the description that the mapping was made through.
            self.barrier(self.mapping.mapped_length())?;
        }
        checkpoints.syncs.run(|| checkpoints.file.sync_data())
    }

    fn grow(&self, from: u64, to: u64, zero: bool) -> io::Result<()> {
        self.check_writable()?;
        if to > self.mapping.reserved_length() {
            let problem = format!("{to} bytes, {} are reserved", self.mapping.reserved_length());
            return Err(io::Error::new(ErrorKind::FileTooLarge, problem));
        }
        if to <= from {
            return Ok(());
        }
        let length_before = self.file_length()?;
        if let Err(error) = self.extend(from.min(length_before), to, zero) {
            // If even this fails the file stays longer than anybody knows, which does no harm.
            let _ = self.cut(length_before);
            return Err(error);
        }
        let _lock = self.length_lock.lock();
        self.mapping.raise_mapped_length(to);
        Ok(())
    }

    fn truncate(&self, to: u64) -> io::Result<()> {
        self.check_writable()?;
        match self.file_length()? {
            length if length > to => self.cut(to),
            _ => Ok(()),
        }
    }

    fn file_length(&self) -> io::Result<u64> {
        Ok(status_of(&self.file)?.length)
    }

    fn refresh_length(&self) -> io::Result<u64> {
        let _lock = self.length_lock.lock();
        let length = self.file_length()?;
        self.mapping.set_mapped_length(length);
        Ok(length)
    }

    fn refresh_length_at(&self, path: &Path) -> Option<u64> {
        let _lock = self.length_lock.lock();
        let found = platform::status_at(path).ok().filter(|found| found.identity == self.identity)?;
        self.mapping.set_mapped_length(found.length);
        Some(found.length)
    }

    fn is_mapping_current(&self, path: &Path, offset: u64, length: usize) -> io::Result<bool> {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let mut expected = vec![0; length];
        match file.read_exact_at(&mut expected, offset) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        Ok(self.mapping.copy_of(offset, length)?.is_some_and(|mapped| mapped == expected))
    }

    fn has_layers(&self) -> bool {
        self.has_layers
    }

    fn identity(&self) -> FileIdentity {
        self.identity
    }

    fn rights(&self) -> io::Result<Rights> {
        if self.outlives_power { Rights::of(&self.file) } else { Ok(Rights::default()) }
    }
}

fn options(access: Access) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(access == Access::ReadWrite);
    // A pipe of that name would otherwise keep us waiting for its other end. std adds O_CLOEXEC.
    options.custom_flags(libc::O_NONBLOCK);
    options
}

/// Allocates what a sparse copy of the file has left out, so that no store meets a hole.
fn fill_holes(file: &File, length: u64) -> io::Result<()> {
    if fs2::FileExt::allocated_size(file)? >= length {
        return Ok(());
    }
    check_file_size(length)?;
    platform::allocate(file, 0, length).map_err(|error| match error.kind() {
        ErrorKind::Unsupported => io::Error::new(
            ErrorKind::Unsupported,
            "the file has holes, which its file system cannot fill ahead; use WriteMode::Syscall",
        ),
        _ => error,
    })
}

/// Calls `store` for zeros over `from..to`, piece by piece.
fn write_zeros(from: u64, to: u64, store: impl Fn(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let zeros = vec![0; ZERO_PIECE_BYTES.min((to - from) as usize)];
    let mut at = from;
    while at < to {
        let piece = &zeros[..zeros.len().min((to - at) as usize)];
        store(at, piece)?;
        at += piece.len() as u64;
    }
    Ok(())
}
