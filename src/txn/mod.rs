//! Transactions: snapshots, reading, writing, commit, recovery.
//!
//! Reading order: [`database`] (the state of a handle), [`read`], [`write`], [`commit`] (the protocol), [`sync`],
//! [`checkpoint`], [`recover`] (the mirror image of [`commit`]), [`replay`], [`savepoint`], [`bulk`] and [`sorter`]
//! (many entries at once), then what serves them: [`redo_log`], [`group_commit`], [`writer_lock`], [`file_locks`],
//! [`page_file`], [`allocation`], [`free_space`], [`redirty`].

pub(crate) mod database;
pub(crate) mod open;
pub(crate) mod page_file;
pub(crate) mod read;
pub(crate) mod recover;
pub(crate) mod writer_lock;

mod checkpoint;
pub(crate) mod commit;
pub(crate) mod compaction;
mod group_commit;
pub(crate) mod named;
pub(crate) mod open_table;
mod pairs;
mod restore_snapshot;
mod savepoint;
mod savepoint_stack;
pub(crate) mod sync;
pub(crate) mod sync_state;
mod tables;
mod turns;
pub(crate) mod write;

pub(crate) mod bulk;
mod sorter;

pub(crate) mod allocation;
pub(crate) mod building;
pub(crate) mod file_locks;
pub(crate) mod free_space;
pub(crate) mod not_a_database;
#[cfg(feature = "async")]
pub(crate) mod notifier;
pub(crate) mod prefetch;
pub(crate) mod reader_info;
pub(crate) mod readers;
pub(crate) mod redirty;
pub(crate) mod redo_log;
pub(crate) mod replay;
mod value_counts;
pub(crate) mod view;
pub(crate) mod watch;
pub(crate) mod writer_mark;

#[cfg(test)]
mod tests;
