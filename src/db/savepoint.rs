//! Savepoints and nested transactions.

use crate::base::SavepointId;
use crate::db::write::WriteTxn;
use crate::error::{Error, Result};

/// A state of a write transaction that it can go back to. Made by [`WriteTxn::savepoint`].
///
/// It belongs to its transaction, and ends with it. It also ends when the transaction goes back to an earlier
/// savepoint, or releases this one or an earlier one. A savepoint that has ended gives [`Error::NoSuchSavepoint`], and
/// nothing else happens. Dropping the value does nothing: the transaction keeps the savepoint.
#[derive(Debug)]
#[must_use = "a savepoint that is never gone back to costs memory until it is released"]
pub struct Savepoint {
    id: SavepointId,
}

impl WriteTxn {
    /// Makes a savepoint of what the transaction has done so far. Tables may be open, and stay usable. What an
    /// extraction ([`TableMut::extract_if`](crate::TableMut::extract_if)) that is under way removes later counts as
    /// done after it.
    ///
    /// This takes constant time, apart from the counters of multimap tables that were changed and are closed, which are
    /// brought up to date. A slice of a value that is held across it
    /// ([`TableMut::insert_reserve`](crate::TableMut::insert_reserve)) belongs to what was done before: what is written
    /// to it later is not undone.
    ///
    /// After a savepoint, the first change of each page in memory keeps the page's earlier content,
    /// and large transactions, which store pages early, use none of the pages that they had stored before the savepoint
    /// again. So a savepoint takes at most as much memory as the transaction's changed pages took when it was made
    /// ([`OpenOptions::dirty_memory`](crate::OpenOptions::dirty_memory) at most), and file space until it ends. A
    /// transaction that makes many savepoints should [release](WriteTxn::release) those that it no longer needs.
    ///
    /// # Errors
    ///
    /// [`Error::TransactionFailed`]; [`Error::SavepointInChange`] in the closure of a bulk load or of `retain`.
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const STOCK: Table<str, u64> = Table::new("stock");
    ///
    /// let db = Db::in_memory()?;
    /// let mut tx = db.write()?;
    /// tx.table(&STOCK)?.insert("apples", 3)?;
    ///
    /// let savepoint = tx.savepoint()?;
    /// tx.table(&STOCK)?.clear()?;
    /// tx.rename_table("stock", "old stock")?;
    /// tx.rollback_to(&savepoint)?;
    ///
    /// tx.table(&STOCK)?.insert("pears", 5)?;
    /// tx.commit()?;
    /// assert_eq!(db.read()?.table(&STOCK)?.len(), 2);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn savepoint(&self) -> Result<Savepoint> {
        Ok(Savepoint { id: self.transaction.savepoint()? })
    }

    /// Undoes all that the transaction has done since `savepoint`: changes of entries, bulk loads, tables that were
    /// created, dropped, renamed or cleared. The savepoint stays, so the transaction can go back to it again; later
    /// savepoints end.
    ///
    /// The time that this takes depends on what it undoes, and not on what the transaction has done before. A
    /// transaction in which a change has failed half-way ([`Error::TransactionFailed`]) is usable again.
    ///
    /// No table can be open meanwhile: the compiler refuses it.
    ///
    /// ```compile_fail
    /// # use mapleaf::{Db, Table};
    /// # const STOCK: Table<str, u64> = Table::new("stock");
    /// # let db = Db::in_memory().unwrap();
    /// let mut tx = db.write().unwrap();
    /// let mut stock = tx.table(&STOCK).unwrap();
    /// let savepoint = tx.savepoint().unwrap(); // this is allowed
    /// stock.insert("apples", 3).unwrap();
    /// tx.rollback_to(&savepoint).unwrap(); // does not compile: `stock` borrows from `tx`
    /// stock.len();
    /// ```
    ///
    /// # Errors
    ///
    /// These change nothing, and the transaction goes on: [`Error::NoSuchSavepoint`] if the savepoint has ended or is
    /// of another transaction; [`Error::TableInUse`] if an open table was leaked (`mem::forget`).
    ///
    /// [`Error::TransactionFailed`] if a change has panicked inside mapleaf, and [`Error::Corrupt`] if page numbers
    /// turn out to be damaged: the transaction can then only be aborted.
    pub fn rollback_to(&mut self, savepoint: &Savepoint) -> Result<()> {
        self.transaction.roll_back_to(savepoint.id)
    }

    /// Gives up a savepoint, and all later ones, and keeps the changes. This frees the memory and the file space that
    /// going back would have needed. A commit does it by itself.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchSavepoint`], as [`WriteTxn::rollback_to`] has it, and [`Error::TransactionFailed`].
    ///
    /// ```
    /// # use mapleaf::{Db, Error, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// let mut tx = db.write()?;
    /// for batch in 0..10 {
    ///     let savepoint = tx.savepoint()?;
    ///     tx.table(&HITS)?.insert_many((0..100).map(|hit| (batch * 100 + hit, 1)))?;
    ///     match batch % 3 {
    ///         0 => tx.rollback_to(&savepoint)?,
    ///         _ => tx.release(savepoint)?,
    ///     }
    /// }
    /// tx.commit()?;
    /// assert_eq!(db.read()?.table(&HITS)?.len(), 600);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        self.transaction.release_savepoint(savepoint.id)
    }

    /// Runs `work` in a nested transaction: if it returns an error or panics, what it has done is undone, and this
    /// transaction goes on as it was. Nested transactions can be nested, to any depth.
    ///
    /// The errors of `work` may be of any type that mapleaf's [`Error`] converts to, as in
    /// [`Db::try_update`](crate::Db::try_update). What `work` does becomes durable with the commit of the outermost
    /// transaction. Savepoints that `work` makes end with it. It costs what a [savepoint](WriteTxn::savepoint) costs.
    ///
    /// # Errors
    ///
    /// Those of `work`, and of [`WriteTxn::savepoint`] and [`WriteTxn::release`]. If a change in `work` has failed
    /// half-way and `work` returns `Ok` nevertheless, all of it is undone, with [`Error::TransactionFailed`]. If
    /// something cannot be undone ([`WriteTxn::rollback_to`] says what), this transaction fails, too.
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const NAMES: Table<u64, str> = Table::new("names");
    /// const BY_NAME: Table<str, u64> = Table::new("by name");
    ///
    /// #[derive(Debug)]
    /// enum AddError {
    ///     Database(mapleaf::Error),
    ///     Taken,
    /// }
    ///
    /// impl From<mapleaf::Error> for AddError {
    ///     fn from(error: mapleaf::Error) -> AddError {
    ///         AddError::Database(error)
    ///     }
    /// }
    ///
    /// let db = Db::in_memory()?;
    /// let refused = db.update(|tx| {
    ///     let mut refused = 0;
    ///     for (number, name) in [(1, "ada"), (2, "bob"), (3, "ada")] {
    ///         let added = tx.nested(|tx| {
    ///             tx.table(&NAMES)?.insert(number, name)?;
    ///             match tx.table(&BY_NAME)?.insert(name, number)? {
    ///                 true => Ok(()),
    ///                 false => Err(AddError::Taken),
    ///             }
    ///         });
    ///         match added {
    ///             Ok(()) => {}
    ///             Err(AddError::Taken) => refused += 1,
    ///             Err(AddError::Database(error)) => return Err(error),
    ///         }
    ///     }
    ///     Ok(refused)
    /// })?;
    /// assert_eq!(refused, 1);
    /// assert_eq!(db.read()?.table(&NAMES)?.len(), 2);
    /// assert_eq!(db.read()?.table(&BY_NAME)?.get("ada")?, Some(1));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn nested<T, E: From<Error>>(
        &mut self,
        work: impl FnOnce(&mut WriteTxn) -> Result<T, E>,
    ) -> Result<T, E> {
        let savepoint = self.savepoint()?;
        let nested = Nested { tx: self, savepoint: savepoint.id };
        let value = work(nested.tx)?;
        nested.keep()?;
        Ok(value)
    }
}

/// A nested transaction that has not come to its end: dropped, it is undone.
struct Nested<'a> {
    tx: &'a mut WriteTxn,
    savepoint: SavepointId,
}

impl Nested<'_> {
    fn keep(self) -> Result<()> {
        self.tx.transaction.release_savepoint(self.savepoint)?; // an error drops `self`
        std::mem::forget(self);
        Ok(())
    }

    fn undo(&mut self) -> Result<()> {
        self.tx.transaction.roll_back_to(self.savepoint)?;
        self.tx.transaction.release_savepoint(self.savepoint)
    }
}

impl Drop for Nested<'_> {
    fn drop(&mut self) {
        if self.undo().is_err() {
            self.tx.transaction.fail();
        }
    }
}
