//! Windows: databases in memory. What files need is not there yet: docs/PLATFORMS.md has the list. Each function that
//! would use a file returns an error that says so.

pub(super) mod files;
#[path = "../portable/futex.rs"]
pub(crate) mod futex;
pub(super) mod mapping;
mod memory;
pub(crate) mod platform;
pub(super) mod shared;
pub(super) mod storage;
#[cfg(test)]
mod tests;

pub(crate) use files::Locks;
pub(crate) use memory::Memory;
