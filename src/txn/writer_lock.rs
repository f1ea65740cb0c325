//! The writer lock among the threads of one handle: first come, first served.
//!
//! Invariants:
//! - The writer's state is in the lock, or with one thread, which returns it however its work ends (`WriterGuard`,
//!   `Transaction::drop`). If that was a panic, what the state knew of free space is discarded.
//! - Threads that wait stand in a queue. When the state comes back only the first is woken, and takes it. A thread
//!   that gives up leaves the queue; the first gives up only while the state is not there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::shm::reader_table::LiveReader;
use crate::txn::file_locks::Wait;
use crate::txn::free_space::WriterFreeSpace;

/// What only the writer needs; passed from one write transaction to the next.
#[derive(Default)]
pub(crate) struct WriterState {
    /// Free space and its log, as of the newest transaction that this handle has written or seen. The first
    /// transaction that needs a page loads it.
    pub(crate) log: Option<WriterFreeSpace>,
    /// Write transactions that have begun: every so often one reaps and reports readers.
    pub(crate) transactions: u64,
    /// When a transaction last compared the names and lengths of the files, and how often the data file had been cut by
    /// then ([`SharedMemory::cuts`](crate::shm::SharedMemory::cuts)).
    pub(crate) files_checked: Option<(Instant, u64)>,
    /// How often the file's end could not be cut off because a reader was in the way.
    pub(crate) cuts_put_off: u64,
    /// Readers that were too old and have been reported to the application.
    pub(crate) reported_readers: Vec<LiveReader>,
}

/// Holds the writer's state while no thread writes, and the queue of threads that wait for it.
pub(crate) struct WriterLock {
    queue: Mutex<Queue>,
}

struct Queue {
    state: Option<Box<WriterState>>,
    /// Each thread that waits sleeps on a condition variable of its own.
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

    /// Takes the state, once it is there and all threads that came before have had it. Returns `None` if the wait is
    /// over first.
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
        // If the state is there, the first has been woken for it and takes it, even if its time is over.
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
