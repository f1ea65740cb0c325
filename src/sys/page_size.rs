//! The size of the system's pages, which is not the database's.
#![allow(unsafe_code)]

/// The size of a page of the system, in bytes.
pub(crate) fn system_page_size() -> usize {
    // SAFETY: sysconf reads a constant; it has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).expect("the system knows its page size")
}
