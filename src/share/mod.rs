//! What all users of one database share: where the transactions stand ([`heads`]) and who reads what
//! ([`readers`]). Plain atomic words over shared memory: a process may be killed between any two
//! stores and leaves nothing that another one could wait for.
//!
//! | words | content |
//! |---|---|
//! | 0..64 | heads, a cache line each |
//! | 64..2112 | snapshot descriptors: a ring of 256, a cache line each |
//! | 2112.. | reader slots, a cache line each |

pub(crate) mod heads;
pub(crate) mod readers;

use crate::sys::SharedWords;

/// Words in a cache line of 64 bytes.
const LINE: usize = 8;
const HEADS_AT: usize = 0;
const RING_AT: usize = 8 * LINE;
/// Snapshots whose descriptors are kept. Head is never this far above visible.
pub(crate) const RING_LEN: usize = 256;
const READERS_AT: usize = RING_AT + RING_LEN * LINE;
/// How many read transactions there can be at one time.
pub(crate) const READER_SLOTS: usize = 16384;

/// Words of shared memory that a database needs: 1.02 MiB, touched only as far as it is used.
pub(crate) const WORD_COUNT: usize = READERS_AT + READER_SLOTS * LINE;

/// The shared memory of one open database.
pub(crate) struct Shared {
    memory: SharedWords,
}

impl Shared {
    pub(crate) fn new(memory: SharedWords) -> Shared {
        assert!(memory.words().len() >= WORD_COUNT);
        Shared { memory }
    }
}
