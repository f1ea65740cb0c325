//! mapleaf: an embedded, memory-mapped, ordered, transactional key-value store.
#![allow(dead_code)]

mod error;

mod base;
mod sys;

mod format;
mod space;
mod tree;

mod share;
mod txn;

mod types;

pub use error::{Corruption, Error, Result};
