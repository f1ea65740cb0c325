//! Memory whose addresses are reserved at once, and which is there as far as it has been asked for.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::ptr::{self, NonNull};

const MEM_COMMIT: u32 = 0x1000;
const MEM_RESERVE: u32 = 0x2000;
const MEM_RELEASE: u32 = 0x8000;
const PAGE_NOACCESS: u32 = 1;
const PAGE_READWRITE: u32 = 4;

#[link(name = "kernel32")]
// SAFETY: these are the system's declarations of these functions.
unsafe extern "system" {
    fn VirtualAlloc(address: *mut c_void, size: usize, kind: u32, protection: u32) -> *mut c_void;
    fn VirtualFree(address: *mut c_void, size: usize, kind: u32) -> i32;
}

/// A range of addresses.
pub(crate) struct Memory {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: it is memory that this struct owns; how it is used is up to its user.
unsafe impl Send for Memory {}
// SAFETY: as for Send.
unsafe impl Sync for Memory {}

impl Memory {
    /// Reserves `length` addresses, none of which may be touched yet.
    pub(crate) fn reserve(length: usize) -> io::Result<Memory> {
        // SAFETY: the system chooses new addresses.
        let start = unsafe { VirtualAlloc(ptr::null_mut(), length, MEM_RESERVE, PAGE_NOACCESS) };
        match NonNull::new(start.cast()) {
            Some(start) => Ok(Memory { start, length }),
            None => Err(io::Error::last_os_error()),
        }
    }

    /// Makes the first `length` bytes exist; new ones are zeros.
    pub(crate) fn commit(&self, length: usize) -> io::Result<()> {
        if length == 0 || length > self.length {
            return if length == 0 { Ok(()) } else { Err(io::ErrorKind::OutOfMemory.into()) };
        }
        // SAFETY: the range is within what was reserved. What exists already is left as it is.
        let start = unsafe { VirtualAlloc(self.start.as_ptr().cast(), length, MEM_COMMIT, PAGE_READWRITE) };
        if start.is_null() { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    pub(crate) fn as_mut_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the range was reserved in one call, and is not used again.
        unsafe { VirtualFree(self.start.as_ptr().cast(), 0, MEM_RELEASE) };
    }
}
