//! mapleaf: an embedded, memory-mapped, ordered, transactional key-value store.

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

pub mod inspect;

mod db;
mod types;

#[cfg(any(test, feature = "sim"))]
pub mod sim;

pub use check::{CheckReport, PageCounts, PageRole, PageUse};
pub use copy::{Increment, restore};
pub use db::{
    AccessPattern, BulkLoad, Compaction, Db, OpenOptions, OwnedRange, OwnedTable, PendingCommit, Range,
    ReadTxn, Stats, TableInfo, TableMut, TableRef, Watch, WriteTxn,
};
pub use error::{Corruption, Error, Result};
pub use salvage::{LostEntry, SalvageOptions, SalvageReport, SalvagedTable, salvage, salvage_with};
pub use sys::WriteMode;
pub use txn::commit::Durability;
pub use txn::compaction::CompactionProgress;
pub use txn::page_file::Verify;
pub use txn::prefetch::Prefetched;
pub use txn::reader_info::ReaderInfo;
#[cfg(feature = "messagepack")]
pub use types::MessagePack;
#[cfg(feature = "serde")]
pub use types::Serde;
pub use types::{
    Element, EncodeKey, EncodeValue, Encoded, Encoder, Key, KeyBytes, KeyPosition, KeyPrefix, KeyRange,
    KeyReader, KeyStr, Table, Value,
};

/// The programs in the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// So are those in the guide.
#[cfg(doctest)]
#[doc = include_str!("../docs/GUIDE.md")]
struct Guide;

/// And those about values of one's own types.
#[cfg(all(doctest, feature = "messagepack"))]
#[doc = include_str!("../docs/VALUES.md")]
struct OwnValues;
