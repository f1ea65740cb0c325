//! What tests do between two calls of the system: each call that opening, a commit or a sync makes on the two files
//! passes here first.

#[cfg(test)]
use std::cell::RefCell;

#[cfg(test)]
std::thread_local! {
    static BEFORE_CALL: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

/// Runs a test's work, if there is any. The caller makes a system call next.
#[inline(always)]
#[cfg_attr(windows, allow(dead_code, reason = "no file can be opened"))]
pub(crate) fn before_call() {
    #[cfg(test)]
    if let Some(mut work) = BEFORE_CALL.take() {
        work();
        BEFORE_CALL.set(Some(work));
    }
}

/// Makes this thread run `work` before each call; `None` ends that.
#[cfg(test)]
pub(crate) fn set_before_call(work: Option<Box<dyn FnMut()>>) {
    BEFORE_CALL.set(work);
}
