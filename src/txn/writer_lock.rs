//! The right of one thread of a handle to write: first come, first served.
//!
//! Invariants:
//! - The writer's state is in the seat, or with one thread, which gives it back however its work ends ([`WriterGuard`],
//!   `Transaction::drop`). If that was a panic, what it knew of free space is not believed any more.
//! - Threads that wait stand in a queue. When the state comes back the first is woken and takes it, and nobody else
//!   does. Who gives up leaves the queue; the first gives up only while the state is not there.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::shm::reader_table::LiveReader;
use crate::txn::database::Database;
use crate::txn::file_locks::Wait;
use crate::txn::free_space::WriterFreeSpace;

/// What only the writer needs; it goes from one write transaction to the next.
#[derive(Default)]
pub(crate) struct WriterState {
    /// Free space and its log, as of the newest transaction that this handle has written or seen; loaded by the
    /// first one that needs a page.
    pub(crate) log: Option<WriterFreeSpace>,
    /// Write transactions that have begun, for which readers are looked after now and then.
    pub(crate) transactions: u64,
    /// How often the file's end could not be cut off because a reader is in the way.
    pub(crate) cuts_put_off: u64,
    /// Readers that were too old, of which the application has been told.
    pub(crate) reported_readers: Vec<LiveReader>,
}

/// Where the writer's state is while nobody writes, and where the threads of a handle wait for it.
pub(crate) struct WriterLock {
    queue: Mutex<Queue>,
}

struct Queue {
    state: Option<Box<WriterState>>,
    /// Each thread that waits sleeps on one of its own.
    waiting: VecDeque<Arc<Condvar>>,
}

impl Queue {
    fn place_of(&self, thread: &Arc<Condvar>) -> Option<usize> {
        self.waiting.iter().position(|other| Arc::ptr_eq(other, thread))
    }
}

impl WriterLock {
    pub(crate) fn new() -> WriterLock {
        WriterLock { queue: Mutex::new(Queue { state: Some(Box::default()), waiting: VecDeque::new() }) }
    }

    /// The state, once it is there and all who came before have had it; `None` if patience comes to its end.
    pub(super) fn take(&self, wait: Wait) -> Option<Box<WriterState>> {
        let mut queue = self.queue.lock();
        if queue.waiting.is_empty() && queue.state.is_some() {
            return queue.state.take();
        }
        if let Wait::No = wait {
            return None;
        }
        let own = Arc::new(Condvar::new());
        queue.waiting.push_back(Arc::clone(&own));
        let mut is_over = false;
        while !is_over && (queue.place_of(&own) != Some(0) || queue.state.is_none()) {
            match wait {
                Wait::Until(deadline) => is_over = own.wait_until(&mut queue, deadline).timed_out(),
                Wait::No | Wait::Forever => own.wait(&mut queue),
            }
        }
        let place = queue.place_of(&own);
        queue.waiting.retain(|other| !Arc::ptr_eq(other, &own));
        // If the state is there the first has been woken for it: it takes it, though its time may be over.
        if place == Some(0) { queue.state.take() } else { None }
    }

    pub(super) fn give_back(&self, state: Box<WriterState>) {
        let mut queue = self.queue.lock();
        queue.state = Some(state);
        if let Some(first) = queue.waiting.front() {
            first.notify_one();
        }
    }

    /// How many threads wait.
    #[cfg(test)]
    pub(crate) fn queue_len(&self) -> usize {
        self.queue.lock().waiting.len()
    }
}

/// The seat and the writer's turn, taken: given back when this is dropped.
pub(crate) struct WriterGuard<'a> {
    core: &'a Database,
    /// There until it is given back, or to a transaction.
    state: Option<Box<WriterState>>,
}

impl<'a> WriterGuard<'a> {
    pub(super) fn new(core: &'a Database, state: Box<WriterState>) -> WriterGuard<'a> {
        WriterGuard { core, state: Some(state) }
    }

    /// For whoever gives it back by [`Database::unlock_writer`].
    pub(super) fn into_state(mut self) -> Box<WriterState> {
        self.state.take().expect("it is here until now")
    }
}

impl Deref for WriterGuard<'_> {
    type Target = WriterState;

    fn deref(&self) -> &WriterState {
        self.state.as_ref().expect("it is here until it is given back")
    }
}

impl DerefMut for WriterGuard<'_> {
    fn deref_mut(&mut self) -> &mut WriterState {
        self.state.as_mut().expect("it is here until it is given back")
    }
}

impl Drop for WriterGuard<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.state.take() {
            self.core.unlock_writer(state);
        }
    }
}
