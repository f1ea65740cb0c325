//! System calls and signals: a handler that interrupts a call must not keep the call from doing its work.
//!
//! - A call that only waits, or moves bytes, is repeated ([`retry`]): what was done stays done, and the handler runs
//!   meanwhile.
//! - A call that must not be repeated, or would never end if it were, is not interrupted at all ([`uninterrupted`]).
#![allow(unsafe_code)]

use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::ptr;

/// Repeats a system call that a signal has interrupted.
pub(super) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Runs `call` with the signals of this thread held back until it has returned, except those that cannot be (SIGKILL,
/// SIGSTOP, and faults of the thread's own).
pub(super) fn uninterrupted<T>(call: impl FnOnce() -> T) -> T {
    let _held_back = HeldBack::new();
    call()
}

/// The signals that the thread had held back before.
struct HeldBack(MaybeUninit<libc::sigset_t>);

impl HeldBack {
    fn new() -> HeldBack {
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::zeroed());
        // SAFETY: sigfillset fills `all` in, and pthread_sigmask reads it and fills in `before`; both live through the
        // calls, which cannot fail with these arguments.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        }
        HeldBack(before)
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        // SAFETY: the set was filled in by pthread_sigmask, and lives through the call.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, self.0.as_ptr(), ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering::SeqCst;

    static HANDLED: AtomicU32 = AtomicU32::new(0);

    extern "C" fn handler(_: libc::c_int) {
        HANDLED.fetch_add(1, SeqCst);
    }

    /// Sends this thread a signal, and then sleeps for a moment. Returns 0 if the sleep was not interrupted, and how
    /// many signals have been handled.
    fn signal_and_sleep() -> (libc::c_int, u32) {
        let time = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        // SAFETY: raise has no preconditions; the time lives through the call.
        unsafe {
            libc::raise(libc::SIGUSR2);
            (libc::nanosleep(&raw const time, ptr::null_mut()), HANDLED.load(SeqCst))
        }
    }

    #[test]
    fn a_signal_waits_for_the_end_of_what_is_not_interrupted() {
        // SAFETY: zeros are a valid sigaction, without SA_RESTART; the handler only counts.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as extern "C" fn(libc::c_int) as usize;
            assert_eq!(libc::sigaction(libc::SIGUSR2, &raw const action, ptr::null_mut()), 0);
        }
        assert_eq!(uninterrupted(|| uninterrupted(signal_and_sleep)), (0, 0));
        assert_eq!(HANDLED.load(SeqCst), 1, "it has come by now");
        assert_eq!(signal_and_sleep().1, 2, "signals come at once again");
        let panics = std::panic::catch_unwind(|| uninterrupted(|| std::panic::resume_unwind(Box::new(()))));
        assert!(panics.is_err());
        assert_eq!(signal_and_sleep().1, 3, "also after a panic");
    }

    #[test]
    fn what_was_interrupted_is_repeated() {
        let mut left = 3;
        let result = retry(|| {
            left -= 1;
            if left > 0 { Err(ErrorKind::Interrupted.into()) } else { Ok(left) }
        });
        assert_eq!(result.unwrap(), 0);
    }
}
