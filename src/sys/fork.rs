//! What a forked child finds: a mark that says it is one, and none of its parent's locks.
//!
//! A child shares the open file descriptions of its parent, and the kernel frees the locks of a description when the
//! last descriptor of it is closed *and* the last mapping made through it is gone. So a child that lives on would keep
//! the locks, the presence and the readers of a parent that was killed. Therefore
//!
//! - a description that has locks is a [`LockDescription`]: nothing is mapped through it, no descriptor is duplicated
//!   from it, and handlers of `pthread_atfork` close it in every child that `fork` makes;
//! - the registry of these is locked while one is opened or closed, and while the process forks. So a child finds
//!   every descriptor that it has inherited, and closes no number that means something else;
//! - in the child a closed description gives an error in place of its descriptor, and its owner does not close the
//!   number once more: by then another file may have it.
//!
//! The handlers run after `fork` only. `exec` closes the descriptors (`O_CLOEXEC`), and `posix_spawn` and `vfork` are
//! followed by it. A child that was made by the bare `clone` system call and lives on without `exec` keeps copies of
//! the locks. It still finds the mark, and does not unlock what its parent has locked.
#![allow(unsafe_code)]

use super::page_size::system_page_size;
use super::system::unlock_all;
use memmap2::{MmapOptions, MmapRaw};
use std::cell::Cell;
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the handlers of a fork need. Locked by them from before the fork until after it.
struct Registry {
    /// A word that is 0 in a child until the child opens a database itself; none before the first database is opened.
    mark: Option<&'static AtomicU64>,
    /// How many processes have set the mark, each forked from the one before it.
    generation: u64,
    /// The open lock descriptions of this process. In a child, also those that it has closed.
    descriptions: Vec<Arc<Inherited>>,
}

/// What a child must know of a lock description.
#[derive(Debug)]
struct Inherited {
    descriptor: libc::c_int,
    /// False in a child that has closed the descriptor.
    is_open: AtomicBool,
}

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { mark: None, generation: 0, descriptions: Vec::new() });

thread_local! {
    /// The registry, locked while this thread forks.
    static FORKING: Cell<Option<ManuallyDrop<MutexGuard<'static, Registry>>>> = const { Cell::new(None) };
}

/// Locked for a few system calls at most.
fn lock_registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The registry, with the mark made and the handlers installed.
fn registry() -> io::Result<MutexGuard<'static, Registry>> {
    let mut registry = lock_registry();
    if registry.mark.is_none() {
        let memory: MmapRaw = MmapOptions::new().len(system_page_size()).map_anon()?.into();
        wipe_on_fork(&memory);
        // SAFETY: the three handlers are functions of this program.
        match unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(in_child)) } {
            0 => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
        let word = ManuallyDrop::new(memory).as_mut_ptr().cast::<AtomicU64>();
        // SAFETY: the memory is a page long, starts on one, is never unmapped, may be written, and is touched as an
        // atomic only.
        registry.mark = Some(unsafe { &*word });
    }
    Ok(registry)
}

extern "C" fn before_fork() {
    FORKING.set(Some(ManuallyDrop::new(lock_registry())));
}

extern "C" fn after_fork() {
    FORKING.take().map(ManuallyDrop::into_inner);
}

/// Does only what is safe in a child of a process with threads: no allocation, and no lock except the one that the
/// thread has.
extern "C" fn in_child() {
    let Some(registry) = FORKING.take().map(ManuallyDrop::into_inner) else { return };
    if let Some(mark) = registry.mark {
        mark.store(0, Relaxed); // where the kernel does not wipe it
    }
    for inherited in &registry.descriptions {
        if inherited.is_open.swap(false, SeqCst) {
            // SAFETY: the descriptor was open when the process forked, since the registry was locked, and belongs to a
            // `LockDescription`, which treats it as closed from now on. No other thread runs in this process.
            unsafe { libc::close(inherited.descriptor) };
        }
    }
}

/// Makes the kernel wipe the memory in each child, however the child is made (Linux 4.14).
fn wipe_on_fork(memory: &MmapRaw) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: the range is exactly the private anonymous mapping that `memory` owns.
    unsafe {
        libc::madvise(memory.as_mut_ptr().cast(), memory.len(), libc::MADV_WIPEONFORK)
    };
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = memory;
}

/// A mark of the process that opened a database, which shows whether this process is a child of it. Process ids do not:
/// a child in another PID namespace may have the number of its parent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForkMark {
    word: &'static AtomicU64,
    generation: u64,
}

impl PartialEq for ForkMark {
    fn eq(&self, other: &ForkMark) -> bool {
        self.generation == other.generation // there is one word
    }
}

impl Eq for ForkMark {}

impl ForkMark {
    pub(crate) fn new() -> io::Result<ForkMark> {
        let mut registry = registry()?;
        let word = registry.mark.expect("it was just made");
        if word.load(Relaxed) == 0 {
            registry.generation += 1;
            word.store(registry.generation, Relaxed);
        }
        Ok(ForkMark { word, generation: word.load(Relaxed) })
    }

    /// Whether this process has inherited the mark from one that forked.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        self.word.load(Relaxed) != self.generation
    }
}

/// An open file description for locks, which no forked child keeps. They are free when this is dropped.
#[derive(Debug)]
pub(crate) struct LockDescription {
    file: ManuallyDrop<File>,
    inherited: Arc<Inherited>,
    mark: ForkMark,
}

impl LockDescription {
    /// `open` opens the file, and keeps no other descriptor of that description.
    pub(crate) fn new(open: impl FnOnce() -> io::Result<File>) -> io::Result<LockDescription> {
        let mark = ForkMark::new()?;
        let mut registry = registry()?;
        let file = ManuallyDrop::new(open()?);
        let inherited = Arc::new(Inherited { descriptor: file.as_raw_fd(), is_open: AtomicBool::new(true) });
        registry.descriptions.push(Arc::clone(&inherited));
        Ok(LockDescription { file, inherited, mark })
    }

    /// Whether this process has inherited the description from one that forked.
    pub(super) fn is_inherited(&self) -> bool {
        self.mark.is_inherited()
    }

    /// The open file, to lock and to examine. Returns an error in a forked child.
    pub(crate) fn file(&self) -> io::Result<&File> {
        match self.inherited.is_open.load(SeqCst) {
            true => Ok(&self.file),
            false => Err(io::Error::other("the locks belong to the parent of this forked process")),
        }
    }
}

impl Drop for LockDescription {
    fn drop(&mut self) {
        let is_ours = !self.is_inherited();
        if is_ours {
            // A child that is between `vfork` and `exec`, or was made by the bare `clone`, has copies of the
            // descriptor.
            unlock_all(&self.file);
        }
        // In a child of the bare `clone` the registry may be locked by a thread that is not there.
        let mut registry = is_ours.then(lock_registry);
        if let Some(registry) = &mut registry {
            registry.descriptions.retain(|other| !Arc::ptr_eq(other, &self.inherited));
        }
        if self.inherited.is_open.swap(false, SeqCst) {
            // SAFETY: the file is not used again.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}

#[cfg(test)]
mod tests;
