//! Write transactions that go from one thread to another.

use std::fmt;

use crate::db::write::WriteTxn;
use crate::txn::write::Transaction;

/// A write transaction that can be sent to another thread. It goes on with [`SuspendedTxn::resume`]. Made by
/// [`WriteTxn::suspend`].
///
/// It holds the writer lock, but no thread counts as its owner: the thread that suspended it can wait for it, by
/// beginning another transaction. A suspended transaction that is dropped changes nothing.
#[must_use = "a transaction that is dropped without a commit changes nothing"]
pub struct SuspendedTxn {
    transaction: Transaction,
}

impl SuspendedTxn {
    /// Goes on with the transaction in the current thread.
    pub fn resume(self) -> WriteTxn {
        WriteTxn::new(self.transaction)
    }
}

impl fmt::Debug for SuspendedTxn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SuspendedTxn").field("id", &self.transaction.id).finish_non_exhaustive()
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<SuspendedTxn>();
};

impl WriteTxn {
    /// Makes of this a transaction that can be sent to another thread and goes on there.
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// let tx = db.write()?;
    /// tx.table(&HITS)?.insert(1, 10)?;
    /// let suspended = tx.suspend();
    /// let other = std::thread::spawn(move || {
    ///     let tx = suspended.resume();
    ///     tx.table(&HITS)?.insert(2, 20)?;
    ///     tx.commit()
    /// });
    /// db.write()?.abort(); // waits until the other thread has released the writer lock
    /// other.join().unwrap()?;
    /// assert_eq!(db.read()?.table(&HITS)?.len(), 2);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn suspend(self) -> SuspendedTxn {
        drop(self.mark);
        SuspendedTxn { transaction: self.transaction }
    }
}
