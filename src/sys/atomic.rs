//! The atomic word that processes share, and the fence: those of the standard library. In an exploration (`--cfg loom`,
//! see docs/TESTING.md) they are loom's, which tries every order that the language's memory model allows.

#![cfg_attr(all(test, loom), allow(unsafe_code))]

#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::atomic::{AtomicU64, fence};

#[cfg(all(test, loom))]
pub(crate) use explored::{AtomicU64, Watched, fence};

#[cfg(all(test, loom))]
mod explored {
    pub(crate) use loom::sync::atomic::fence;
    use std::sync::atomic::Ordering::{self, SeqCst};

    /// Loom takes a sequentially consistent access for an acquiring or releasing one, but knows such fences. With a
    /// fence before each sequentially consistent access these are sequentially consistent among themselves, as
    /// the language has it. Weaker accesses are explored as they stand.
    #[derive(Debug)]
    pub(crate) struct AtomicU64(loom::sync::atomic::AtomicU64);

    fn before(order: Ordering) {
        if order == SeqCst {
            fence(SeqCst);
        }
    }

    /// Bytes of a page: what two threads touch at one time, one of them storing, is a violation.
    pub(crate) struct Watched {
        value: loom::sync::atomic::AtomicU64,
        touched: loom::cell::UnsafeCell<()>,
    }

    // SAFETY: the cell has no content; its use is only watched.
    unsafe impl Sync for Watched {}

    impl Watched {
        pub(crate) fn new(value: u64) -> Watched {
            let value = loom::sync::atomic::AtomicU64::new(value);
            Watched { value, touched: loom::cell::UnsafeCell::new(()) }
        }

        pub(crate) fn load(&self) -> u64 {
            self.touched.with(|_| self.value.load(Ordering::Relaxed))
        }

        pub(crate) fn store(&self, value: u64) {
            self.touched.with_mut(|_| self.value.store(value, Ordering::Relaxed));
        }
    }

    impl AtomicU64 {
        pub(crate) fn new(value: u64) -> AtomicU64 {
            AtomicU64(loom::sync::atomic::AtomicU64::new(value))
        }

        pub(crate) fn load(&self, order: Ordering) -> u64 {
            before(order);
            self.0.load(order)
        }

        pub(crate) fn store(&self, value: u64, order: Ordering) {
            before(order);
            self.0.store(value, order);
        }

        pub(crate) fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
            before(order);
            self.0.fetch_max(value, order)
        }

        pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
            before(order);
            self.0.fetch_add(value, order)
        }

        pub(crate) fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
            before(order);
            self.0.fetch_sub(value, order)
        }

        pub(crate) fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
            before(order);
            self.0.fetch_or(value, order)
        }

        pub(crate) fn compare_exchange(
            &self,
            current: u64,
            new: u64,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u64, u64> {
            before(success);
            self.0.compare_exchange(current, new, success, failure)
        }
    }
}
