//! Transactions over a storage that logs every call, fails where a test says so, and can lose power.

#![allow(clippy::big_endian_bytes, reason = "keys whose bytes order as the numbers do")]

mod appended;
mod ceiling;
mod checkpoints;
mod doubt;
mod faults;
mod file_locks;
mod fixture;
mod group;
mod growth;
mod hooked;
mod large_commits;
mod left_state;
mod mistakes;
mod named;
mod names;
mod orphans;
mod panics;
mod power_cut;
mod replay;
mod savepoints;
mod sharing;
mod slots;
mod write_back;
