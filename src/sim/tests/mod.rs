//! The explorer on mapleaf itself, and on mistakes that are made on purpose.

mod batches;
mod compaction;
mod cut;
mod disk;
mod explorer;
mod mixed;
mod multimap;
mod mutations;
mod named;
mod storage;
mod survives;
mod traps;
