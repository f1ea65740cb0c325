//! A hint to the processor that memory is about to be read.
#![allow(unsafe_code)]

/// A cache line.
pub(crate) const LINE_BYTES: usize = 64;

/// Prefetches the cache line of `bytes[offset]`, whether or not there is such a byte: finding out would cost more than
/// the hint.
#[inline(always)]
pub(crate) fn prefetch(bytes: &[u8], offset: usize) {
    prefetch_at(bytes.as_ptr().wrapping_add(offset));
}

/// Prefetches the cache line at `address`, if there is memory.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn prefetch_at(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: the instruction is part of every x86_64 processor (SSE), affects speed only, and does nothing at an
    // address where nothing may be read; so no address is wrong (I5).
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
}

/// Does nothing: this processor gets no hint.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) fn prefetch_at(_: *const u8) {}
