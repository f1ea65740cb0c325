//! Noticing that this is a forked child, without asking the system.
//!
//! Invariant: the mark reads 1 in the process that made it, and 0 in a child: the kernel wipes its page there
//! (`MADV_WIPEONFORK`, Linux 4.14). Where it cannot, the process id is asked for.
#![allow(unsafe_code)]

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::mapping::system_page_size;
use memmap2::{MmapOptions, MmapRaw};
use std::io;

/// A mark of the process that opened a database.
pub(crate) struct ForkMark {
    memory: MmapRaw,
    /// The process id, if the page is not wiped.
    pid: Option<u32>,
}

impl ForkMark {
    pub(crate) fn new() -> io::Result<ForkMark> {
        let memory: MmapRaw = MmapOptions::new().len(system_page_size()).map_anon()?.into();
        let is_wiped = wipe_on_fork(&memory);
        let mark = ForkMark { memory, pid: (!is_wiped).then(std::process::id) };
        mark.word().store(1, Relaxed);
        Ok(mark)
    }

    /// Whether this process has inherited the mark from one that forked.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        match self.pid {
            None => self.word().load(Relaxed) == 0,
            Some(pid) => std::process::id() != pid,
        }
    }

    #[inline]
    fn word(&self) -> &AtomicU64 {
        // SAFETY: the memory is a page long, starts on one, lives as long as `self`, may be written, and is touched as
        // an atomic only.
        unsafe { &*self.memory.as_mut_ptr().cast::<AtomicU64>() }
    }
}

#[cfg(target_os = "linux")]
fn wipe_on_fork(memory: &MmapRaw) -> bool {
    // SAFETY: the range is exactly the private anonymous mapping that `memory` owns.
    unsafe { libc::madvise(memory.as_mut_ptr().cast(), memory.len(), libc::MADV_WIPEONFORK) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn wipe_on_fork(_: &MmapRaw) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forked_child_knows_that_it_is_one() {
        let mark = ForkMark::new().unwrap();
        assert!(!mark.is_inherited());
        // SAFETY: the child only reads a word and leaves by _exit, which is async-signal-safe.
        let status = unsafe {
            let child = libc::fork();
            assert!(child >= 0);
            if child == 0 {
                libc::_exit(if mark.is_inherited() { 7 } else { 1 });
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            status
        };
        assert_eq!(libc::WEXITSTATUS(status), 7);
        assert!(!mark.is_inherited());
    }
}
