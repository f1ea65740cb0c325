//! The redo log: records of logical changes, one for each transaction, as pure functions on bytes.
//!
//! A record begins at a log sequence number that is a multiple of 8, and goes on at the ring's beginning where the ring
//! ends. What lies between the end of a record and the beginning of the next one is undefined.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | CRC-32 of: the identity of the file (16 bytes), the chain (4), bytes 4 up to the length |
//! | 4 | 4 | length, in bytes |
//! | 8 | 8 | LSN of its first byte |
//! | 16 | 8 | transaction id |
//! | 24 | 1 | kind: 1 changes, 2 no change; 3 prepare and 4 decide are reserved |
//! | 25 | 1 | flags: 1 seals |
//! | 26 | 2 | zero |
//! | 28 | 4 | number of operations; 0 unless the kind is 1 |
//! | 32 | | kind 1: operations, in the order in which they were made; otherwise nothing |
//!
//! | opcode | operation | fields |
//! |---|---|---|
//! | 1 | table: those that follow concern it | varint length, name |
//! | 2 | create the table | varint length, key type's name; varint length, value type's name |
//! | 3 | drop it | |
//! | 4 | rename it | varint length, new name |
//! | 5 | clear it | |
//! | 6 | put | varint length, key; varint length, value |
//! | 8 | delete | varint length, key |
//! | 9 | remove a range | bounds (1); varint length, lower key; varint length, upper key; varint, entries removed |
//! | 10 | give it other types | varint length, key type's name; varint length, value type's name |
//! | 11 | create it as a multimap table | as 2 |
//!
//! The byte of bounds has the lower one in bits 0 and 1 and the upper one in bits 2 and 3: 0 unbounded, 1 included, 2
//! excluded. The key of a bound that is absent is empty.
//!
//! Invariants:
//! - L5: a record is accepted only if its LSN and id are the next ones, and its checksum is right, which the identity
//!   of the file and the checksum of the record before (the *chain*) are part of.
//! - I5: no bytes make these functions panic or take more memory than one record has, forged checksums included. A
//!   header that is not right ends the log. A wrong operation in a record with a right checksum is
//!   [`crate::Error::Corrupt`]: without it, acknowledged commits would be lost silently.

pub(crate) mod operation;
pub(crate) mod reader;
pub(crate) mod record;
