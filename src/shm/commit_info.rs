//! What a commit leaves to the next writer and to the checkpointer, whichever process they are in.
//!
//! An *area* holds what the meta will say of free space. There are two: a commit fills the one that newest does not
//! use, and its descriptor says which. So a writer that is killed while it fills one has touched nothing that any
//! process reads.
//!
//! Invariant: the id in the first word is stored last, and cleared first. A reader of an area compares it
//! before and after, so what it has read is whole, and of the transaction that it asked for.
//!
//! The fields between the two stores of the id are stored with release. A load that finds one of them, and acquires,
//! has seen the id cleared, and so does the second load of the id, which comes later. (An older field belongs to the
//! id before it was cleared, as the first load found it.) Sequentially consistent stores of some hundred words would
//! be as many locked instructions.

use std::sync::atomic::Ordering::{Release, SeqCst};

use super::{AREA_LEN, AREAS_AT, IS_SMALL, SharedMemory, load_bytes, store_bytes};
use crate::base::{PageNumber, TransactionId};
use crate::format::meta::TAIL_LIMIT;
use crate::sys::atomic::AtomicU64;

/// Words of an area before the bytes of the log's tail.
const AREA_HEAD: usize = 8;

/// Free space, as a transaction left it, for the meta.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct SpaceState {
    /// The newest page of the free log; 0 if the whole log is in the tail.
    pub(crate) log_page: PageNumber,
    pub(crate) log_tail: Vec<u8>,
    pub(crate) free_pages: u32,
    pub(crate) retired_pages: u32,
    /// Whether the log has names of snapshots.
    pub(crate) has_names: bool,
}

impl SharedMemory {
    /// Stores the state of free space after transaction `id` in area 0 or 1.
    pub(super) fn store_space(&self, area: usize, id: TransactionId, space: &SpaceState) {
        let words = self.words(AREAS_AT + area * AREA_LEN, AREA_LEN);
        const { assert!(IS_SMALL || TAIL_LIMIT <= (AREA_LEN - AREA_HEAD) * 8) };
        assert!(space.log_tail.len() <= TAIL_LIMIT, "the tail of the log obeys its limit");
        words[0].store(0, SeqCst);
        words[1].store(u64::from(space.log_page.0), Release);
        words[2].store(space.log_tail.len() as u64, Release);
        words[3].store(u64::from(space.free_pages), Release);
        words[4].store(u64::from(space.retired_pages), Release);
        words[5].store(u64::from(space.has_names), Release);
        store_bytes(&words[AREA_HEAD..], &space.log_tail);
        words[0].store(id.0, SeqCst);
    }

    /// The state of free space after transaction `id`. Returns `None` if the area holds another transaction's by now.
    pub(super) fn load_space(&self, area: usize, id: TransactionId) -> Option<SpaceState> {
        let words = self.words(AREAS_AT + area * AREA_LEN, AREA_LEN);
        whole(&words[0], id, || {
            let tail_len =
                usize::try_from(words[2].load(SeqCst)).ok().filter(|&length| length <= TAIL_LIMIT)?;
            Some(SpaceState {
                log_page: PageNumber(words[1].load(SeqCst) as u32),
                log_tail: load_bytes(&words[AREA_HEAD..], tail_len),
                free_pages: words[3].load(SeqCst) as u32,
                retired_pages: words[4].load(SeqCst) as u32,
                has_names: words[5].load(SeqCst) != 0,
            })
        })
    }
}

/// What `load` returns, if the stamp shows that it is whole and of transaction `id`.
fn whole<T>(stamp: &AtomicU64, id: TransactionId, load: impl FnOnce() -> Option<T>) -> Option<T> {
    let before = stamp.load(SeqCst);
    let value = load();
    let after = stamp.load(SeqCst);
    value.filter(|_| before == id.0 && after == id.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::WORD_COUNT;
    use crate::sys::SharedWords;

    fn shared() -> SharedMemory {
        SharedMemory::new(SharedWords::anonymous(WORD_COUNT).unwrap())
    }

    #[test]
    fn areas_come_back_whole_or_not_at_all() {
        let shared = shared();
        let id = TransactionId(7);
        let space = SpaceState {
            log_page: PageNumber(9),
            log_tail: (0..=255).collect(),
            free_pages: 3,
            retired_pages: 4,
            has_names: true,
        };
        shared.store_space(1, id, &space);
        assert_eq!(shared.load_space(1, id), Some(space));
        assert_eq!(shared.load_space(1, TransactionId(8)), None);
        assert_eq!(shared.load_space(0, id), None);
    }

    #[test]
    fn noise_is_a_value_or_nothing() {
        let shared = shared();
        for (at, word) in shared.words(AREAS_AT, 2 * AREA_LEN).iter().enumerate() {
            word.store((at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15), SeqCst);
        }
        let stamp = TransactionId(shared.word(AREAS_AT).load(SeqCst));
        assert_eq!(shared.load_space(0, stamp), None, "a tail longer than its limit");
        shared.word(AREAS_AT + 2).store(TAIL_LIMIT as u64, SeqCst);
        assert!(shared.load_space(0, stamp).is_some_and(|space| space.log_tail.len() == TAIL_LIMIT));
    }
}
