//! The operating system: mapping, file, locks, shared memory. All `unsafe` code of the crate is here.
