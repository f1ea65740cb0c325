//! The B+tree: search, cursors, insertion, deletion, balance. Knows pages through two traits; knows no
//! file and no transaction, so that it runs on a `Vec` of pages in tests and under Miri.

pub(crate) mod cursor;
pub(crate) mod get;
pub(crate) mod nodes;
pub(crate) mod pages;

pub(crate) use cursor::RangeCursor;
pub(crate) use get::{get, get_many};
