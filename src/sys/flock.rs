//! Locks on whole files (`flock`), which belong to an open file description.
#![cfg_attr(target_vendor = "apple", allow(dead_code, reason = "locks are of another kind there"))]

use super::calls::before_call;
use super::signals::retry;
use fs2::FileExt;
use std::fs::File;
use std::io::{self, ErrorKind};

/// Which other locks a lock excludes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LockKind {
    /// Exclusive ones.
    Shared,
    /// All others.
    Exclusive,
}

/// Locks a whole file, once it is free.
pub(crate) fn lock(file: &File, kind: LockKind) -> io::Result<()> {
    retry(|| match kind {
        LockKind::Shared => FileExt::lock_shared(file),
        LockKind::Exclusive => FileExt::lock_exclusive(file),
    })
}

/// Locks a whole file if that is possible at once. Returns `false` if not.
pub(crate) fn try_lock(file: &File, kind: LockKind) -> io::Result<bool> {
    before_call();
    let result = retry(|| match kind {
        LockKind::Shared => FileExt::try_lock_shared(file),
        LockKind::Exclusive => FileExt::try_lock_exclusive(file),
    });
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Frees a whole-file lock.
pub(crate) fn unlock(file: &File) -> io::Result<()> {
    retry(|| FileExt::unlock(file))
}
