//! Which writer locks the current thread holds, so that it does not wait for itself.
//!
//! A thread that waits for a writer lock while it holds it would wait for ever. So each public holder of the lock (a
//! `WriteTxn`, a check) has a [`WriterMark`] for as long as it holds the lock, and a wait for it begins with a look at
//! the marks of the thread.
//!
//! Invariants:
//! - A mark is in the list of its thread exactly while it exists. It is not `Send`, and so is no holder: a transaction
//!   that is to go to another thread gives up its mark first (`WriteTxn::suspend`). So a mark never says that a thread
//!   holds a lock which another thread holds by now.
//! - Handles of one file have one writer lock, and so one [`WriterLockId`].
//! - A forked child has the list of the thread that forked, but not the locks: what another process has marked does
//!   not count.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::MutexGuard;

use crate::sys::{FileIdentity, ForkMark};

/// Which writer lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WriterLockId {
    /// That of all handles of a file.
    OfFile(FileIdentity),
    /// That of the threads of one handle, which no other handle shares: the handle's address.
    OfHandle(usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Held {
    lock: WriterLockId,
    process: ForkMark,
}

thread_local! {
    /// Mostly none or one.
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
}

/// Says that the current thread holds a writer lock, until it is dropped.
pub(crate) struct WriterMark {
    held: Held,
    /// Like the guard of a mutex, a mark is not `Send`.
    not_send: PhantomData<MutexGuard<'static, ()>>,
}

impl WriterMark {
    /// `process` is the mark of the handle whose writer lock it is.
    pub(crate) fn new(lock: WriterLockId, process: ForkMark) -> WriterMark {
        let held = Held { lock, process };
        // At the end of a thread its list may be gone. A transaction that begins then is not marked.
        let _ = HELD.try_with(|list| list.borrow_mut().push(held));
        WriterMark { held, not_send: PhantomData }
    }
}

impl Drop for WriterMark {
    fn drop(&mut self) {
        let _ = HELD.try_with(|list| {
            let mut list = list.borrow_mut();
            if let Some(index) = list.iter().rposition(|held| *held == self.held) {
                list.swap_remove(index);
            }
        });
    }
}

/// Returns whether the current thread holds this writer lock.
pub(crate) fn is_held(lock: WriterLockId) -> bool {
    let is_it = |held: &Held| held.lock == lock && !held.process.is_inherited();
    HELD.try_with(|list| list.borrow().iter().any(is_it)).unwrap_or(false)
}
