//! The integration tests that share one process: what a user of the library may rely on.
//!
//! One binary links once. Tests that must not share a process with others, because they count memory, or are run by
//! name with features of their own, have binaries beside this one.

#[path = "../common/mod.rs"]
mod common;

mod bad_input;
mod basic;
mod bulk_load;
mod check;
mod checkpoints;
mod compaction;
mod copy;
mod cursors;
mod disk_full;
mod docs;
mod entries;
mod errors;
mod exclusion;
mod failing_disk;
mod files;
mod golden;
mod increments;
mod inspect;
mod layering;
mod limits;
mod model;
mod multimap;
mod reading;
mod rejected_record;
mod salvage;
mod savepoints;
mod sharing;
mod snapshots;
mod threads;
mod torture;
mod traps;
mod waiting;
