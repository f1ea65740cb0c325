//! The format of every page of the file, as pure functions on slices: no file, tree or transaction appears here.
//!
//! Invariants (docs/ARCHITECTURE.md):
//! - I5: no content of a slice makes a function of this room panic, loop or read out of bounds. Views check what
//!   they take from the slice and return [`crate::Error::Corrupt`].

pub(crate) mod branch;
pub(crate) mod catalog;
mod file_kind;
pub(crate) mod free_log;
pub(crate) mod increment;
pub(crate) mod leaf;
pub(crate) mod meta;
pub(crate) mod multimap;
pub(crate) mod node;
pub(crate) mod overflow;
pub(crate) mod page;
pub(crate) mod redo;
pub(crate) mod ring;
pub(crate) mod tree_root;
