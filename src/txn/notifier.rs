//! The asynchronous tasks that wait for a commit of an opened database, and the one thread that wakes them, however
//! many there are.
//!
//! Invariants:
//! - No wake-up is lost. A task leaves its waker first, and looks for a commit after that; the thread sees a commit
//!   first, and takes the wakers after that. After a failed sync the thread ends, since a task that looks after that
//!   finds the failure.
//! - Wakers run, and are dropped, while no lock of this file is held: they are the code of others, and may drop the
//!   last reference to a task, and with it a stream that comes back here.
//! - The thread is there only while a task is listed. [`Notifier::remove`] returns after it has ended, so it does not
//!   keep the database open. One case is an exception: a waker that runs on the thread itself drops the last task.
//!   Then the thread ends next.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

/// A waiting task: the waker that it has left.
#[derive(Default)]
pub(crate) struct WaitingTask {
    waker: Mutex<Option<Waker>>,
}

impl WaitingTask {
    /// Leaves a waker, in place of an older one.
    pub(crate) fn leave(&self, waker: &Waker) {
        let mut left = self.waker.lock();
        if left.as_ref().is_some_and(|left| left.will_wake(waker)) {
            return;
        }
        let older = left.replace(waker.clone());
        drop(left);
        drop(older);
    }

    /// Wakes the task, if it has left a waker since it was woken last.
    pub(crate) fn wake(&self) {
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[derive(Default)]
pub(crate) struct Notifier {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By their addresses.
    tasks: BTreeMap<usize, Arc<WaitingTask>>,
    thread: Option<NotifierThread>,
}

struct NotifierThread {
    is_stopped: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Notifier {
    /// Lists a task, and starts the thread, with `run`, if there is none. `run` waits for commits, and calls
    /// [`Notifier::wake_all`] after each, until the flag is set.
    pub(crate) fn add(
        &self,
        task: &Arc<WaitingTask>,
        run: impl FnOnce(&AtomicBool) + Send + 'static,
    ) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.thread.is_none() {
            let is_stopped = Arc::new(AtomicBool::new(false));
            let of_thread = Arc::clone(&is_stopped);
            let builder = thread::Builder::new().name("mapleaf-watch".into());
            let thread = builder.spawn(move || run(&of_thread))?;
            state.thread = Some(NotifierThread { is_stopped, thread });
        }
        state.tasks.insert(Arc::as_ptr(task).addr(), Arc::clone(task));
        Ok(())
    }

    /// Removes a task from the list. If it was the last one, stops the thread: `wake_thread` makes it test its flag.
    pub(crate) fn remove(&self, task: &Arc<WaitingTask>, wake_thread: impl FnOnce()) {
        let mut state = self.state.lock();
        state.tasks.remove(&Arc::as_ptr(task).addr());
        let thread = if state.tasks.is_empty() { state.thread.take() } else { None };
        drop(state);
        let Some(NotifierThread { is_stopped, thread }) = thread else { return };
        is_stopped.store(true, Ordering::SeqCst);
        wake_thread();
        if thread.thread().id() != thread::current().id() {
            // It panics only if a waker does; then the panic has been printed.
            let _ = thread.join();
        }
    }

    /// Wakes every task that has left a waker.
    pub(crate) fn wake_all(&self) {
        let tasks: Vec<Arc<WaitingTask>> = self.state.lock().tasks.values().map(Arc::clone).collect();
        tasks.iter().for_each(|task| task.wake());
    }
}
