//! Multimap tables in transactions: opening, reading, iterating, changing.

mod iter;
mod open;
mod raw;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use self::iter::{MultimapKeys, MultimapRange, Values};
pub use self::raw::{RawMultimapMut, RawMultimapRef, create_multimap, raw_multimap, raw_multimap_mut};
pub use self::read::MultimapRef;
pub use self::write::{MultimapMut, PairLoad};
