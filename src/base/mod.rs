//! The vocabulary of every layer: identifiers, little-endian bytes, the checksum, owned keys, sets of
//! pages, pseudorandom numbers.

pub(crate) mod bounds;
pub(crate) mod bytes;
pub(crate) mod checksum;
pub(crate) mod ids;
pub(crate) mod key_buf;
pub(crate) mod key_start;
#[cfg_attr(not(any(test, feature = "sim")), allow(dead_code, reason = "the simulation uses the rest"))]
pub(crate) mod mutation;
pub(crate) mod page_set;
#[cfg(test)]
pub(crate) mod property;
pub(crate) mod random;

pub use ids::TransactionId;
pub(crate) use ids::{ChildRef, Extent, Lsn, PageNumber, SavepointId};
pub(crate) use key_buf::{ApartKey, KeyBuf};
pub(crate) use key_start::KeyStart;
pub(crate) use page_set::PageSet;
pub(crate) use random::SplitMix64;
