//! Waiting for commits of any process, in an asynchronous task.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::base::TransactionId;
use crate::db::watch::{Stop, Watch, WatchStopper};
use crate::error::Result;
use crate::txn::database::DbHandle;

/// A stream of commits of any process, for any asynchronous runtime. Its items are those of a [`Watch`]. Made by
/// [`Watch::into_stream`].
///
/// The streams of an opened database share one thread, which waits for commits and wakes their tasks. It starts when
/// the first stream has to wait, and ends with the last stream.
///
/// Dropping a stream is safe at any time, and misses nothing: to go on later, begin with
/// [`Db::watch_from`](crate::Db::watch_from) and the last item.
#[must_use = "streams do nothing unless polled"]
pub struct WatchStream {
    handle: Arc<DbHandle>,
    after: TransactionId,
    stop: Arc<Stop>,
    /// Whether the task is listed among those to be woken: once the stream has had to wait.
    is_listed: bool,
}

impl Watch {
    /// Turns the iterator into a stream. Its stoppers end the stream.
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # fn block_on<T>(task: impl Future<Output = T>) -> T {
    /// #     struct Unpark(std::thread::Thread);
    /// #     impl std::task::Wake for Unpark {
    /// #         fn wake(self: std::sync::Arc<Self>) { self.0.unpark(); }
    /// #     }
    /// #     let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    /// #     let mut task = std::pin::pin!(task);
    /// #     loop {
    /// #         match task.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
    /// #             std::task::Poll::Ready(value) => return value,
    /// #             std::task::Poll::Pending => std::thread::park(),
    /// #         }
    /// #     }
    /// # }
    /// # block_on(async {
    /// let db = Db::in_memory()?;
    /// let mut commits = db.watch().into_stream();
    /// # let other = db.clone();
    /// # let writer = std::thread::spawn(move || other.update(|tx| tx.table(&HITS)?.insert(7, 1)));
    /// // Another process commits.
    /// let newest = commits.next().await.unwrap()?;
    /// assert_eq!(db.read()?.id(), newest);
    /// # writer.join().unwrap()?;
    /// # Ok::<(), mapleaf::Error>(())
    /// # })?;
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn into_stream(self) -> WatchStream {
        WatchStream { handle: self.handle, after: self.after, stop: self.stop, is_listed: false }
    }
}

impl WatchStream {
    /// Returns the next item; `None` once the stream has been stopped. The same as `next` of the crate `futures`,
    /// without that crate.
    ///
    /// # Errors
    ///
    /// Those of [`Db::wait_for_commit`](crate::Db::wait_for_commit), and [`Error::Io`](crate::Error::Io) if the
    /// system has no thread left.
    pub async fn next(&mut self) -> Option<Result<TransactionId>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Returns a handle by which another thread or task ends this stream.
    pub fn stopper(&self) -> WatchStopper {
        WatchStopper::new(&self.handle, &self.stop)
    }

    /// Returns the next item if it can be returned without waiting.
    fn ready_item(&mut self) -> Poll<Option<Result<TransactionId>>> {
        if self.stop.is_stopped() {
            return Poll::Ready(None);
        }
        match self.handle.core.commit_after(self.after) {
            Ok(None) => Poll::Pending,
            Ok(Some(newest)) => {
                self.after = newest;
                Poll::Ready(Some(Ok(newest)))
            }
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }
}

impl Stream for WatchStream {
    type Item = Result<TransactionId>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<TransactionId>>> {
        let item = self.ready_item();
        if item.is_ready() {
            return item;
        }
        if !self.is_listed {
            if let Err(error) = self.handle.add_waiting_task(&self.stop.task) {
                return Poll::Ready(Some(Err(error)));
            }
            self.is_listed = true;
        }
        self.stop.task.leave(context.waker());
        // What came before the waker was there has woken nothing.
        self.ready_item()
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        if self.is_listed {
            self.handle.remove_waiting_task(&self.stop.task);
        }
    }
}

impl fmt::Debug for WatchStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchStream").field("after", &self.after.0).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
