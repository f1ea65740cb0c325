//! Transactions that run a closure: they commit if it succeeds.

use std::time::Duration;

use crate::db::{Db, ReadTxn, WriteTxn};
use crate::error::{Error, Result};
use crate::txn::commit::Durability;
use crate::txn::write::Transaction;

/// How a closure is run in a write transaction. Made by [`Db::update_options`].
///
/// ```
/// use std::time::Duration;
/// use mapleaf::{Db, Durability, Table};
/// const HITS: Table<u64, u64> = Table::new("hits");
///
/// let db = Db::in_memory()?;
/// db.update_options()
///     .timeout(Duration::from_secs(1))
///     .durability(Durability::Lazy)
///     .update(|tx| tx.table(&HITS)?.insert(7, 1))?;
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `update` is called"]
pub struct UpdateOptions<'db> {
    db: &'db Db,
    timeout: Option<Duration>,
    durability: Durability,
}

impl UpdateOptions<'_> {
    /// Sets how long to wait for other write transactions. After that, `update` returns [`Error::WriteTimedOut`]. By
    /// default it waits as long as [`OpenOptions::write_timeout`](crate::OpenOptions::write_timeout) allows.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets how the transaction is committed: durably by default. See [`Durability`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Runs `work` as [`Db::update`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Db::update`].
    pub fn update<T>(&self, work: impl FnOnce(&mut WriteTxn) -> Result<T>) -> Result<T> {
        self.try_update(work)
    }

    /// Runs `work` as [`Db::try_update`] does, with errors of the caller's own.
    ///
    /// # Errors
    ///
    /// Those of [`Db::try_update`].
    pub fn try_update<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut WriteTxn) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut tx = WriteTxn::new(Transaction::begin_within(&self.db.handle, self.timeout)?);
        let value = work(&mut tx)?;
        tx.commit_with(self.durability)?;
        Ok(value)
    }
}

impl Db {
    /// Runs `work` in a write transaction, commits durably if it returns `Ok`, and aborts otherwise.
    ///
    /// The errors of `work` are mapleaf's. For errors of your own there is [`Db::try_update`].
    ///
    /// # Errors
    ///
    /// Those of `work`, of [`Db::write`] and of [`WriteTxn::commit`].
    ///
    /// ```
    /// use mapleaf::{Db, Error, Table};
    /// const HITS: Table<u64, u64> = Table::new("hits");
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| { tx.table(&HITS)?.insert(7, 1)?; Ok(()) })?;
    ///
    /// let refused = db.update(|tx| {
    ///     tx.table(&HITS)?.clear()?;
    ///     Err::<(), _>(Error::TransactionFailed)
    /// });
    /// assert!(refused.is_err());
    /// assert_eq!(db.read()?.table(&HITS)?.get(7)?, Some(1));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn update<T>(&self, work: impl FnOnce(&mut WriteTxn) -> Result<T>) -> Result<T> {
        self.try_update(work)
    }

    /// Runs `work` in a write transaction as [`Db::update`] does, with errors of any type that mapleaf's [`Error`]
    /// converts to. As in [`Iterator::try_for_each`], `try` means that `work` may fail in its own way. It waits for
    /// other writers.
    ///
    /// Only an `Err` aborts. A failure inside `Ok`, such as `Ok(Err(..))`, commits what was done before it.
    ///
    /// If the compiler asks for the type of the error, end the closure with `Ok::<_, MyError>(..)`. For mapleaf's own
    /// errors this is never necessary with [`Db::update`].
    ///
    /// # Errors
    ///
    /// Those of `work`, of [`Db::write`] and of [`WriteTxn::commit`].
    ///
    /// ```
    /// use mapleaf::{Db, Table};
    /// const BALANCES: Table<str, u64> = Table::new("balances");
    ///
    /// #[derive(Debug)]
    /// enum TransferError {
    ///     Database(mapleaf::Error),
    ///     NotEnough { missing: u64 },
    /// }
    ///
    /// impl From<mapleaf::Error> for TransferError {
    ///     fn from(error: mapleaf::Error) -> TransferError {
    ///         TransferError::Database(error)
    ///     }
    /// }
    ///
    /// fn transfer(db: &Db, from: &str, to: &str, amount: u64) -> Result<(), TransferError> {
    ///     db.try_update(|tx| {
    ///         let mut balances = tx.table(&BALANCES)?;
    ///         let target = balances.get(to)?.unwrap_or(0);
    ///         balances.insert(to, target + amount)?;
    ///         let source = balances.get(from)?.unwrap_or(0);
    ///         let rest = source.checked_sub(amount);
    ///         balances.insert(from, rest.ok_or(TransferError::NotEnough { missing: amount - source })?)?;
    ///         Ok(())
    ///     })
    /// }
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| tx.table(&BALANCES)?.insert("ada", 10))?;
    /// let refused = transfer(&db, "ada", "bob", 12);
    /// assert!(matches!(refused, Err(TransferError::NotEnough { missing: 2 })));
    /// assert_eq!(db.view(|rx| rx.table(&BALANCES)?.get("bob"))?, None, "what had been done is undone");
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn try_update<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut WriteTxn) -> Result<T, E>,
    ) -> Result<T, E> {
        self.update_options().try_update(work)
    }

    /// Returns the options with which a closure is run in a write transaction in another way than by [`Db::update`].
    pub fn update_options(&self) -> UpdateOptions<'_> {
        UpdateOptions { db: self, timeout: None, durability: Durability::Durable }
    }

    /// Runs `work` in a read transaction, and returns its result.
    ///
    /// The errors of `work` are mapleaf's. For errors of your own there is [`Db::try_view`].
    ///
    /// # Errors
    ///
    /// Those of `work` and of [`Db::read`].
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// # const HITS: Table<u64, u64> = Table::new("hits");
    /// # let db = Db::in_memory()?;
    /// # db.update(|tx| tx.table(&HITS)?.insert(7, 1))?;
    /// let hits = db.view(|rx| rx.table(&HITS)?.get(7))?;
    /// assert_eq!(hits, Some(1));
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn view<T>(&self, work: impl FnOnce(&ReadTxn) -> Result<T>) -> Result<T> {
        work(&self.read()?)
    }

    /// Runs `work` in a read transaction as [`Db::view`] does, with errors of any type that mapleaf's [`Error`]
    /// converts to.
    ///
    /// # Errors
    ///
    /// Those of `work` and of [`Db::read`].
    ///
    /// ```
    /// # use mapleaf::{Db, Table};
    /// const SETTINGS: Table<str, str> = Table::new("settings");
    ///
    /// fn port(db: &Db) -> Result<u16, Box<dyn std::error::Error>> {
    ///     db.try_view(|rx| {
    ///         let settings = rx.table(&SETTINGS)?;
    ///         Ok(settings.get("port")?.ok_or("no port is set")?.parse()?)
    ///     })
    /// }
    ///
    /// let db = Db::in_memory()?;
    /// db.update(|tx| tx.table(&SETTINGS)?.insert("port", "8080"))?;
    /// assert_eq!(port(&db).unwrap(), 8080);
    /// # Ok::<(), mapleaf::Error>(())
    /// ```
    pub fn try_view<T, E: From<Error>>(&self, work: impl FnOnce(&ReadTxn) -> Result<T, E>) -> Result<T, E> {
        work(&self.read()?)
    }
}
