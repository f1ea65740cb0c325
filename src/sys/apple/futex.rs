//! Sleeping on a shared word until a thread of any process wakes the sleepers (`os_sync_wait_on_address`).
//!
//! The functions are there from macOS 14.4 on, so they are looked for when they are first needed. Where they are not,
//! each sleep is short.
//!
//! Invariant: a sleeper that finds the word changed does not sleep. So a waker changes the word first.
#![allow(unsafe_code)]

use super::naps;
use std::ffi::{CStr, c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Bytes of the word that are compared.
const COMPARED_BYTES: usize = 4;
/// Of both functions: the word is shared with other processes.
const SHARED: u32 = 1;
const CLOCK_MACH_ABSOLUTE_TIME: u32 = 32;

// SAFETY: the pointer must lead to a word that lives through the call.
type WaitFunction = unsafe extern "C" fn(*mut c_void, u64, usize, u32, u32, u64) -> c_int;
// SAFETY: as above.
type WakeFunction = unsafe extern "C" fn(*mut c_void, usize, u32) -> c_int;

fn functions() -> Option<(WaitFunction, WakeFunction)> {
    static FUNCTIONS: OnceLock<Option<(WaitFunction, WakeFunction)>> = OnceLock::new();
    *FUNCTIONS.get_or_init(|| {
        let wait = find(c"os_sync_wait_on_address_with_timeout")?;
        let wake = find(c"os_sync_wake_by_address_all")?;
        // SAFETY: these are functions of the system's library, with the types that its headers give them.
        Some(unsafe {
            (
                std::mem::transmute_copy::<*mut c_void, WaitFunction>(&wait),
                std::mem::transmute_copy::<*mut c_void, WakeFunction>(&wake),
            )
        })
    })
}

fn find(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name is a C string that lives through the call.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// Sleeps while the low half of `word` is `expected`, for `longest` at most, and perhaps for less.
pub(crate) fn wait(word: &AtomicU64, expected: u32, longest: Duration) {
    let Some((wait, _)) = functions() else { return naps::wait(word, expected, longest) };
    let nanoseconds = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX).max(1);
    // SAFETY: the word is aligned, alive and shared for as long as it is borrowed. All of these systems are
    // little-endian: the low half comes first. Whatever the call returns, the caller loads the word again.
    unsafe {
        wait(
            word.as_ptr().cast(),
            u64::from(expected),
            COMPARED_BYTES,
            SHARED,
            CLOCK_MACH_ABSOLUTE_TIME,
            nanoseconds,
        )
    };
}

/// Wakes all threads that sleep on `word`.
pub(crate) fn wake_all(word: &AtomicU64) {
    if let Some((_, wake)) = functions() {
        // SAFETY: as in `wait`. A failure means that no thread slept.
        unsafe { wake(word.as_ptr().cast(), COMPARED_BYTES, SHARED) };
    }
}
