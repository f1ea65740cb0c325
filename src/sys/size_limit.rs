//! How long this process may make a file: `ulimit -f`.
//!
//! A store beyond that limit ends the process by SIGXFSZ, unless the application has chosen otherwise. That choice is
//! the application's, and blocking the signal would cost each store two system calls. So the limit is compared first.
//! The system call that returns it takes half a microsecond, a tenth of a small commit that waits for no disk.
//! Therefore it is made when a file is opened, grows, is copied or changes its length, and a store compares with the
//! last result; a store beyond that makes the call again. One case is not covered: a limit that is lowered below what
//! a file has already, before the next such call.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};

/// The last result; 0 before the first one.
static LIMIT_BYTES: AtomicU64 = AtomicU64::new(0);

/// Returns the system's own error if a file may not have `end` bytes.
pub(super) fn check_file_size(end: u64) -> io::Result<()> {
    let limit = limit_bytes();
    LIMIT_BYTES.store(limit, Ordering::Relaxed);
    match end > limit {
        true => Err(io::Error::from_raw_os_error(libc::EFBIG)),
        false => Ok(()),
    }
}

/// The same for a store that ends at `end`, mostly without a system call.
pub(super) fn check_store(end: u64) -> io::Result<()> {
    if end <= LIMIT_BYTES.load(Ordering::Relaxed) { Ok(()) } else { check_file_size(end) }
}

fn limit_bytes() -> u64 {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the call fills in `limit`, which lives through it.
    if unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, limit.as_mut_ptr()) } != 0 {
        return u64::MAX;
    }
    // SAFETY: the call has succeeded.
    let limit = unsafe { limit.assume_init() }.rlim_cur;
    #[allow(clippy::unnecessary_cast, reason = "not on all systems it is this integer")]
    match limit == libc::RLIM_INFINITY {
        true => u64::MAX,
        false => limit as u64,
    }
}
