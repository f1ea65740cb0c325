//! What all users of one database share, in every process: where the transactions stand ([`watermarks`]), what the
//! next writer and the next checkpointer must know ([`commit_info`]), which handles are open ([`handles`]), and which
//! snapshots they read ([`reader_table`]). It is plain atomic words over shared memory: a process may be killed
//! between any two stores and leaves nothing that another one could wait for.
//!
//! | words | content |
//! |---|---|
//! | 0..16 | the owner of the memory: version, boot, data file; whether it is complete ([`owner`]) |
//! | 64..192 | watermarks, those that are often written in cache lines of their own ([`watermarks`]) |
//! | 192..4288 | snapshot descriptors: a ring of 256, two cache lines each ([`watermarks`]) |
//! | 4288..5344 | free space, as a writer leaves it to the next one: two areas of 528 words ([`commit_info`]) |
//! | 5344..13536 | handles: 1024, a cache line each ([`handles`]) |
//! | 13536.. | reader slots, a cache line each: 1024 blocks of 16 ([`reader_table`]) |

pub(crate) mod commit_info;
pub(crate) mod handles;
#[cfg(all(test, loom))]
mod loom;
pub(crate) mod owner;
pub(crate) mod reader_table;
pub(crate) mod watermarks;

use std::sync::atomic::Ordering::{Release, SeqCst};

use crate::sys::SharedWords;
use crate::sys::atomic::AtomicU64;

/// For an exploration (docs/TESTING.md) a few places of each kind suffice.
const IS_SMALL: bool = cfg!(all(test, loom));
/// Words in a cache line of 64 bytes.
const LINE: usize = 8;
const IDENTITY_AT: usize = 0;
const WATERMARKS_AT: usize = 64;
const RING_AT: usize = 192;
/// How many snapshots have their descriptors kept. Newest is never this far above visible.
pub(crate) const RING_LEN: usize = if IS_SMALL { 8 } else { 256 };
/// Words of a descriptor. What readers need is in its first cache line.
const DESCRIPTOR_LEN: usize = 2 * LINE;
const AREAS_AT: usize = RING_AT + RING_LEN * DESCRIPTOR_LEN;
const AREA_LEN: usize = if IS_SMALL { 9 } else { 528 };
const HANDLES_AT: usize = AREAS_AT + 2 * AREA_LEN;
/// How many handles there can be at one time, in all processes.
pub(crate) const HANDLE_COUNT: usize = if IS_SMALL { 2 } else { 1024 };
const READERS_AT: usize = HANDLES_AT + HANDLE_COUNT * LINE;
/// The reader table grows and shrinks by blocks.
const BLOCK_COUNT: usize = if IS_SMALL { 3 } else { 1024 };
/// Reader slots in a block.
const BLOCK_LEN: usize = if IS_SMALL { 1 } else { 16 };
/// How many read transactions there can be at one time.
pub(crate) const READER_SLOTS: usize = BLOCK_COUNT * BLOCK_LEN;

/// Words of shared memory that a database can need: 1.2 MB.
pub(crate) const WORD_COUNT: usize = READERS_AT + READER_SLOTS * LINE;
/// Words that there are at first, with slots for 128 readers: 116 kB.
pub(crate) const FIRST_WORD_COUNT: usize = READERS_AT + (if IS_SMALL { 3 } else { 8 }) * BLOCK_LEN * LINE;

const _: () = assert!(IS_SMALL || AREAS_AT == 4288 && HANDLES_AT == 5344);
const _: () = assert!(IS_SMALL || READERS_AT == 13536 && READERS_AT.is_multiple_of(LINE));

/// Steps of the protocol that an exploration leaves out, to see that it then finds a violation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// A reader loads visible again, after it has published its slot.
    LookAgain,
    /// The readers are scanned after visible has been read.
    ReadersLast,
    /// The target is cleared after visible has been raised.
    TargetLast,
    /// Newest is read again after it was declared the target.
    NewestAgain,
    /// Pending is announced before newest advances.
    PendingFirst,
    /// Ending a read transaction is ordered after its reading.
    EndAfterReading,
    /// A reader checks whether its slot's block is open after it has claimed the slot.
    OpenAfterClaim,
    /// A block is closed before its slots are checked, and left out of the scan after that.
    CloseFirst,
    /// Reaping frees the slots of the dead handle only.
    OwnSlotsOnly,
    /// A checkpoint's target is cleared after checkpointed has been raised.
    #[cfg(all(test, loom))]
    CheckpointTargetLast,
    /// The log start moves while the checkpointer has the syncer lock.
    #[cfg(all(test, loom))]
    LogStartInTurn,
    /// A record is stored only where it overwrites none from the log start on.
    #[cfg(all(test, loom))]
    RoomInLog,
}

#[cfg(not(all(test, loom)))]
const fn is_left_out(_: Step) -> bool {
    false
}

#[cfg(all(test, loom))]
use loom::is_left_out;

/// The shared memory of one open database.
pub(crate) struct SharedMemory {
    memory: SharedWords,
}

impl SharedMemory {
    pub(crate) fn new(memory: SharedWords) -> SharedMemory {
        assert!(memory.words().len() >= FIRST_WORD_COUNT);
        SharedMemory { memory }
    }

    #[inline]
    fn word(&self, at: usize) -> &AtomicU64 {
        &self.memory.words()[at]
    }

    /// Gives a test what any process can do that may write the lock file.
    #[cfg(test)]
    pub(crate) fn scribble(&self, at: usize, value: u64) {
        self.word(at).store(value, SeqCst);
    }

    #[inline]
    fn words(&self, at: usize, count: usize) -> &[AtomicU64] {
        &self.memory.words()[at..at + count]
    }
}

/// Stores bytes in words, little-endian. There is room for them.
fn store_bytes(words: &[AtomicU64], bytes: &[u8]) {
    let (chunks, rest) = bytes.as_chunks::<8>();
    for (word, &chunk) in words.iter().zip(chunks) {
        word.store(u64::from_le_bytes(chunk), Release);
    }
    if let Some(word) = words.get(chunks.len()).filter(|_| !rest.is_empty()) {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        word.store(u64::from_le_bytes(last), Release);
    }
}

/// Loads `length` bytes, or all if there are fewer.
fn load_bytes(words: &[AtomicU64], length: usize) -> Vec<u8> {
    let words = &words[..length.div_ceil(8).min(words.len())];
    let mut bytes = vec![0; words.len() * 8];
    for (place, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *place = word.load(SeqCst).to_le_bytes();
    }
    bytes.truncate(length);
    bytes
}
