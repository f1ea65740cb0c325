//! Sleeping on a shared word, where the system cannot wake sleepers through one: short sleeps.

use crate::sys::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Longer naps make waking late, shorter ones cost more.
const NAP: Duration = Duration::from_millis(2);

/// Sleeps while the low half of `word` is `expected`, for `longest` at most, and perhaps for less.
pub(crate) fn wait(word: &AtomicU64, expected: u32, longest: Duration) {
    if word.load(SeqCst) as u32 == expected {
        std::thread::sleep(longest.min(NAP));
    }
}

/// Does nothing: the threads that sleep on the word wake by themselves.
pub(crate) fn wake_all(_: &AtomicU64) {}
