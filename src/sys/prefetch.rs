//! A hint to the processor that memory is about to be read.
#![allow(unsafe_code)]

/// Starts bringing the cache line of `bytes[offset]` near. Does nothing if there is no such byte.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn prefetch(bytes: &[u8], offset: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    if let Some(byte) = bytes.get(offset) {
        // SAFETY: prefetching has no effect but on speed, and the address is that of a byte that exists. The
        // instruction is part of every x86_64 processor (SSE).
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()) };
    }
}

/// This processor gets no hint.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(crate) fn prefetch(_: &[u8], _: usize) {}
