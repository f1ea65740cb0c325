//! Every byte of the file: pure functions on slices. Nothing here knows a file, a tree or a transaction.
//!
//! Invariants (docs/ARCHITECTURE.md):
//! - I5: no content of a slice makes a function of this room panic, loop or read out of bounds. Views
//!   check what they take from the slice and answer [`crate::Error::Corrupt`].

pub(crate) mod branch;
pub(crate) mod catalog;
pub(crate) mod dense_leaf;
pub(crate) mod entry;
pub(crate) mod free_log;
mod heads;
pub(crate) mod increment;
pub(crate) mod leaf;
pub(crate) mod meta;
pub(crate) mod node;
pub(crate) mod node_tables;
pub(crate) mod overflow;
pub(crate) mod page;
pub(crate) mod tree_root;
