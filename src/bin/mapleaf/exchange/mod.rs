//! Tables as text: what `dump` writes and `load` reads.

pub(crate) mod foreign;
pub(crate) mod format;
pub(crate) mod input_lines;
pub(crate) mod lmdb;
pub(crate) mod lmdb_order;
pub(crate) mod loader;
