//! Sleeping on a shared word until a thread of any process wakes the sleepers (futex(2)).
//!
//! Invariant: a sleeper that finds the word changed does not sleep. So a waker changes the word first.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Sleeps while the low half of `word` is `expected`, for `longest` at most, and perhaps for less.
pub(crate) fn wait(word: &AtomicU64, expected: u32, longest: Duration) {
    let time = libc::timespec {
        tv_sec: longest.as_secs().min(1 << 30) as _,
        tv_nsec: libc::c_long::from(longest.subsec_nanos() as i32),
    };
    // SAFETY: the word is aligned, alive and shared for as long as it is borrowed, and the time lives through the
    // call. Whatever the call returns, the caller loads the word again.
    unsafe { libc::syscall(libc::SYS_futex, low_half(word), libc::FUTEX_WAIT, expected, &raw const time) };
}

/// Wakes all threads that sleep on `word`.
pub(crate) fn wake_all(word: &AtomicU64) {
    // SAFETY: as in `wait`. A failure means that no thread slept.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            low_half(word),
            libc::FUTEX_WAKE,
            i32::MAX,
            ptr::null::<libc::timespec>(),
        )
    };
}

/// The 32 bits that the kernel compares: the low half of the word.
fn low_half(word: &AtomicU64) -> *const u32 {
    let start: *const u32 = word.as_ptr().cast_const().cast();
    // The half that comes first in memory is the low one on little-endian machines only.
    start.wrapping_add(usize::from(cfg!(target_endian = "big")))
}
