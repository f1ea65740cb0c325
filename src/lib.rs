//! mapleaf is an embedded, memory-mapped, ordered, transactional key-value store.
//!
//! A database is one file, a copy-on-write B+tree. Programs read it in place through a memory mapping, so a lookup
//! copies nothing. One transaction writes at a time; any number read meanwhile, in any number of processes, and no
//! reader waits for a writer or a writer for a reader.
//!
//! # A first program
//!
//! ```
//! use mapleaf::{Db, Table};
//!
//! const CAPITALS: Table<str, str> = Table::new("capitals");
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("world.mapleaf");
//! let db = Db::open(&path)?; // created if there is no file
//!
//! db.update(|tx| {
//!     let mut capitals = tx.table(&CAPITALS)?;
//!     capitals.insert("France", "Paris")?;
//!     capitals.insert("Japan", "Tokyo")?;
//!     capitals.insert("Peru", "Lima")?;
//!     Ok(())
//! })?; // returns when the changes are durable
//!
//! let rx = db.read()?; // a snapshot: later writes do not change it
//! let capitals = rx.table(&CAPITALS)?;
//! assert_eq!(capitals.get("Japan")?, Some("Tokyo")); // borrowed from the file
//! for entry in capitals.range("G"..) {
//!     let (country, capital) = entry?;
//!     println!("{country}: {capital}");
//! }
//! # Ok::<(), mapleaf::Error>(())
//! ```
//!
//! # The parts
//!
//! - A [`Db`] is an open database. It can be cloned and shared by threads. [`Db::open`] opens it with the default
//!   options, and [`OpenOptions`] with others.
//! - A [`Table`] is a name with the types of its keys and values. A database has any number of tables.
//! - A [`MultimapTable`] has any number of values for each key, in order.
//! - A [`WriteTxn`] changes several tables at once, and commits all changes or none. [`Db::update`] begins and
//!   commits one. [`Durability`] and [`WriteTxn::commit_deferred`] choose when a commit returns.
//! - A [`ReadTxn`] is a snapshot of all tables. It does not change, is `Send` and `Sync`, and ends when it is
//!   dropped. Pages that it needs are not reused before that.
//! - [`TableMut`] and [`TableRef`] are tables in a transaction: `get`, `range`, `prefix`, `insert`, `remove` and
//!   more.
//! - [`Key`] and [`Value`] are the traits of what can be stored. They are implemented for numbers, text, bytes,
//!   tuples, options, vectors and more, and can be implemented for your own types. Keys sort as their Rust values do.
//! - Every fallible function returns [`Error`]. Its text says what was expected, what was found, and what to do.
//!
//! # Guarantees
//!
//! - **Durability**: after a durable commit returns, the transaction and all earlier ones survive loss of power.
//! - **Atomicity**: after a crash, each transaction is there entirely or not at all, and none without those before
//!   it.
//! - **Isolation**: writers run one after the other; a reader sees the state that exactly one of them left.
//! - **Recovery**: opening finds the last durable state. A process that is killed loses no commit and damages
//!   nothing.
//! - **Damage**: a damaged or hostile file returns values or [`Error::Corrupt`]. It causes no panic and no wrong
//!   memory access. Every page has a checksum. [`Db::check`] verifies a whole file, and [`salvage()`] rescues what
//!   can be read.
//!
//! [`Db`] says what the program must guarantee in return: that nothing else writes to the file.
//!
//! # Limits
//!
//! - A key has at most half a page less 64 bytes ([`Db::max_key_len`]): 1984 with the default pages of 4 KiB. A value
//!   has at most 4 GiB - 1.
//! - A file has at most 2^31 pages: 8 TiB with pages of 4 KiB.
//! - At one time, all processes together can have one write transaction, 16384 read transactions, and a file open
//!   1024 times.
//! - Linux on x86-64 is the tested platform; the README has a table of others. Network file systems are refused
//!   (see [`OpenOptions::any_file_system`]).
//!
//! # Cargo features
//!
//! None is on by default.
//!
//! - `derive`: `#[derive(mapleaf::Key, mapleaf::Value)]` for structs and enums of your own.
//! - `serde`: values of any serde type in a compact format, as `Serde<T>`.
//! - `messagepack`: values of any serde type with the names of their fields, as `MessagePack<T>`. Includes `serde`.
//! - `uuid`, `chrono`, `jiff`: keys and values of these crates' types: `Uuid`, and dates and times in UTC or without
//!   a zone.
//! - `async`: waiting for commits in asynchronous tasks, as `WatchStream`.
//! - `sim`: the module `sim`, a simulated disk that explores what crashes do to your program.
//! - `cli`: the command-line program `mapleaf`.
//!
//! # More
//!
//! - Many entries at once: [`TableMut::insert_many`], [`TableMut::bulk_load`].
//! - Changing what is there: [`TableMut::entry`], [`TableMut::update`], [`TableMut::extract_if`],
//!   [`TableMut::cursor_mut`].
//! - Counting, sampling, and parts for parallel scans: [`TableRef::count`], [`TableRef::sample`], [`TableRef::split`].
//! - States of the database that keep a name: [`Db::create_snapshot`], [`Db::read_at`].
//! - Undoing a part of a transaction: [`WriteTxn::savepoint`], [`WriteTxn::nested`].
//! - Reading what is not committed yet by many threads: [`WriteTxn::view`].
//! - Copies and backups: [`ReadTxn::copy`], [`restore`].
//! - Waiting for commits of other processes: [`Db::watch`], [`Db::wait_for_commit`].
//! - A shorter file: [`Db::compact`], [`Db::shrink`].
//! - Tables as bytes, pages and their contents, for tools: [`admin`].
//!
//! In the repository, `docs/GUIDE.md` explains how to use mapleaf chapter by chapter, `docs/VALUES.md` how to store
//! your own types, and `docs/ARCHITECTURE.md` how it works.

mod error;

mod base;
mod sys;

mod format;
mod space;
mod tree;

mod shm;
mod txn;

mod check;
mod copy;
mod salvage;

mod inspect;

mod db;
mod types;

pub mod admin;

#[cfg(any(test, feature = "sim"))]
pub mod sim;

pub use base::TransactionId;
pub use check::{CheckReport, PageCounts};
pub use copy::{Copied, Restored, restore};
#[cfg(feature = "async")]
pub use db::WatchStream;
pub use db::{
    AccessPattern, BulkLoad, CheckOptions, Compaction, CopyOptions, Cursor, CursorMut, Db, Drain, Entry,
    ExtractIf, MultimapKeys, MultimapMut, MultimapRange, MultimapRef, OccupiedEntry, OpenOptions, OwnedRange,
    OwnedTable, PairLoad, PendingCommit, Range, ReadTxn, Savepoint, SplitRange, Stats, SuspendedTxn,
    TableInfo, TableMut, TableRef, UncommittedTable, UncommittedView, UpdateOptions, VacantEntry, Values,
    Watch, WatchStopper, WriteTxn,
};
pub use error::{Corruption, Error, FileKind, Result};
pub use format::catalog::TableKind;
#[cfg(feature = "derive")]
pub use mapleaf_derive::{Element, Key, Value};
pub use salvage::{LostEntry, SalvageOptions, SalvageReport, SalvagedTable, salvage, salvage_with};
pub use sys::WriteMode;
pub use txn::commit::Durability;
pub use txn::compaction::CompactionProgress;
pub use txn::named::SnapshotInfo;
pub use txn::page_file::Verify;
pub use txn::prefetch::Prefetched;
pub use txn::reader_info::ReaderInfo;
#[cfg(feature = "messagepack")]
pub use types::MessagePack;
#[cfg(feature = "serde")]
pub use types::Serde;
#[cfg(feature = "derive")]
#[doc(hidden)]
pub use types::derive_support;
pub use types::{
    BytesFromEnd, Element, EncodeKey, EncodeValue, Encoded, EncodedBound, Encoder, Key, KeyBound, KeyBytes,
    KeyPosition, KeyPrefix, KeyRange, KeyReader, KeyStr, MultimapTable, NoCase, PairRange, Table, Value,
};

/// Runs the programs of the README as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Runs the programs of the guide as tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/GUIDE.md")]
struct Guide;

/// Runs the programs of VALUES.md as tests.
#[cfg(all(doctest, feature = "derive", feature = "messagepack", feature = "uuid", feature = "jiff"))]
#[doc = include_str!("../docs/VALUES.md")]
struct OwnValues;
