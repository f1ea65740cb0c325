//! How long this process may make a file: `ulimit -f`.
//!
//! What is stored beyond that limit ends the process by SIGXFSZ, unless the application has chosen otherwise; that
//! choice is its own, and a signal that is blocked for the moment would cost two system calls more. So the limit is
//! asked for before each store, allocation and change of length: 0.1 µs beside the store's 1 µs and more. The case of
//! a thread that lowers the limit between the question and the store is not covered.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;

/// The system's own error if a file may not have `end` bytes.
pub(super) fn check_file_size(end: u64) -> io::Result<()> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the call fills in `limit`, which lives through it.
    if unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, limit.as_mut_ptr()) } != 0 {
        return Ok(());
    }
    // SAFETY: the call has succeeded.
    let limit = unsafe { limit.assume_init() }.rlim_cur;
    match limit != libc::RLIM_INFINITY && end > limit {
        true => Err(io::Error::from_raw_os_error(libc::EFBIG)),
        false => Ok(()),
    }
}
