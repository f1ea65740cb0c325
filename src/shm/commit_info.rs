//! What a commit leaves to the next writer and to the syncer, whichever process they are in.
//!
//! - An *area* holds what the meta will say of free space. There are two: a commit fills the one that newest does not
//!   use, and its descriptor says which. So a writer that is killed while it fills one has touched nothing that any
//!   process reads.
//! - A *delta* holds the pages that a commit stored, with their checksums, and those that it retired. From the deltas
//!   after the durable meta the syncer makes the list of R6. A commit too large for its place leaves it empty, and in
//!   a ring that has gone round it has another commit's; then the sync takes two barriers, unless the syncer's own
//!   handle remembers the delta.
//!
//! Invariant: the id in the first word is stored last, and cleared first. A reader of an area or a delta compares it
//! before and after, so what it has read is whole, and of the transaction that it asked for.
//!
//! The fields between the two stores of the id are stored with release. A load that finds one of them, and acquires,
//! has seen the id cleared, and so does the second load of the id, which comes later. (An older field belongs to the
//! id before it was cleared, as the first load found it.) Sequentially consistent stores of some hundred words would
//! be as many locked instructions.

use std::sync::atomic::Ordering::{Release, SeqCst};

use super::{
    AREA_LEN, AREAS_AT, DELTA_LEN, DELTAS_AT, IS_SMALL, RING_LEN, SharedMemory, load_bytes, store_bytes,
};
use crate::base::bytes::{get_u32, put_u32};
use crate::base::checksum::checksum_of_parts;
use crate::base::{Extent, PageNumber, TransactionId};
use crate::format::free_log::FIRST_PAGE;
use crate::format::meta::TAIL_LIMIT;
use crate::sys::atomic::AtomicU64;

/// Words of an area before the bytes of the log's tail.
const AREA_HEAD: usize = 8;
/// Words of a delta before its entries.
const DELTA_HEAD: usize = 2;
const STORED_LEN: usize = 12;
const RETIRED_LEN: usize = 8;
const DELTA_ROOM: usize = (DELTA_LEN - DELTA_HEAD) * 8;

/// Free space, as a transaction left it, for the meta.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct SpaceState {
    /// The newest page of the free log; 0 if the whole log is in the tail.
    pub(crate) log_page: PageNumber,
    pub(crate) log_tail: Vec<u8>,
    pub(crate) free_pages: u32,
    pub(crate) retired_pages: u32,
}

/// What a commit did to the pages of the file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct CommitDelta {
    /// Pages, or overflow extents, and their checksums.
    pub(crate) stored: Vec<(Extent, u32)>,
    pub(crate) retired: Vec<Extent>,
}

impl CommitDelta {
    /// The words to be shared, if there is room for them.
    pub(super) fn encode(&self) -> Option<EncodedDelta> {
        let length = self.stored.len() * STORED_LEN + self.retired.len() * RETIRED_LEN;
        if length > DELTA_ROOM {
            return None;
        }
        let mut bytes = vec![0; length];
        let mut at = 0;
        let mut put = |value: u32| {
            put_u32(&mut bytes, at, value);
            at += 4;
        };
        for &(run, checksum) in &self.stored {
            [run.first.0, run.count, checksum].into_iter().for_each(&mut put);
        }
        for run in &self.retired {
            [run.first.0, run.count].into_iter().for_each(&mut put);
        }
        Some(EncodedDelta { stored_count: self.stored.len(), bytes })
    }
}

/// A delta as it is shared.
pub(super) struct EncodedDelta {
    stored_count: usize,
    bytes: Vec<u8>,
}

impl EncodedDelta {
    /// Never 0, which a descriptor has for a commit that left no delta.
    pub(super) fn checksum(&self) -> u64 {
        let count = (self.stored_count as u64).to_le_bytes();
        1 << 32 | u64::from(checksum_of_parts([&count[..], &self.bytes]))
    }

    /// Returns `None` if these cannot be extents of a file: the lock file was scribbled on.
    fn decode(&self) -> Option<CommitDelta> {
        let (stored, retired) = self.bytes.split_at_checked(self.stored_count.checked_mul(STORED_LEN)?)?;
        let run = |bytes: &[u8]| {
            let (first, count) = (get_u32(bytes, 0), get_u32(bytes, 4));
            let end = first.checked_add(count)?;
            (first >= FIRST_PAGE && count > 0 && end <= PageNumber::LIMIT).then(|| Extent::new(first, count))
        };
        let unit = |bytes: &[u8]| Some((run(bytes)?, get_u32(bytes, 8)));
        Some(CommitDelta {
            stored: stored.chunks_exact(STORED_LEN).map(unit).collect::<Option<_>>()?,
            retired: retired.chunks_exact(RETIRED_LEN).map(run).collect::<Option<_>>()?,
        })
    }
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
            })
        })
    }

    fn delta(&self, id: TransactionId) -> &[AtomicU64] {
        self.words(DELTAS_AT + (id.0 % RING_LEN as u64) as usize * DELTA_LEN, DELTA_LEN)
    }

    /// Stores what transaction `id` did, if there is room for that.
    pub(super) fn store_delta(&self, id: TransactionId, delta: Option<&EncodedDelta>) {
        let words = self.delta(id);
        words[0].store(0, SeqCst);
        if let Some(EncodedDelta { stored_count, bytes }) = delta {
            words[1].store(*stored_count as u64 | (bytes.len() as u64) << 32, Release);
            store_bytes(&words[DELTA_HEAD..], bytes);
            words[0].store(id.0, SeqCst);
        }
    }

    /// What transaction `id`, which has happened, did. Returns `None` if that is no longer known, was too much, or is
    /// not what the descriptor says.
    pub(crate) fn load_delta(&self, id: TransactionId) -> Option<CommitDelta> {
        let words = self.delta(id);
        let encoded = whole(&words[0], id, || {
            let lengths = words[1].load(SeqCst);
            let bytes = load_bytes(&words[DELTA_HEAD..], (lengths >> 32) as usize);
            Some(EncodedDelta { stored_count: lengths as u32 as usize, bytes })
        })?;
        let descriptor = self.descriptor(id);
        let expected = whole(&descriptor[0], id, || Some(descriptor[6].load(SeqCst)))?;
        if encoded.checksum() == expected { encoded.decode() } else { None }
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
    fn areas_and_deltas_come_back_whole_or_not_at_all() {
        let shared = shared();
        let id = TransactionId(7);
        let space = SpaceState {
            log_page: PageNumber(9),
            log_tail: (0..=255).collect(),
            free_pages: 3,
            retired_pages: 4,
        };
        shared.store_space(1, id, &space);
        assert_eq!(shared.load_space(1, id), Some(space));
        assert_eq!(shared.load_space(1, TransactionId(8)), None);
        assert_eq!(shared.load_space(0, id), None);

        let delta = CommitDelta {
            stored: vec![(Extent::new(2, 1), 77), (Extent::new(3, 5), 78)],
            retired: vec![Extent::new(100, 1)],
        };
        let store = |delta: &CommitDelta| {
            let encoded = delta.encode();
            shared.descriptor(id)[6].store(encoded.as_ref().map_or(0, EncodedDelta::checksum), SeqCst);
            shared.descriptor(id)[0].store(id.0, SeqCst);
            shared.store_delta(id, encoded.as_ref());
        };
        store(&delta);
        assert_eq!(shared.load_delta(id), Some(delta.clone()));
        shared.descriptor(id)[6].fetch_xor(1, SeqCst);
        assert_eq!(shared.load_delta(id), None, "of another time than its descriptor");
        assert_eq!(shared.load_delta(TransactionId(7 + RING_LEN as u64)), None, "the same place, another id");
        let large = CommitDelta { stored: vec![(Extent::new(2, 1), 0); 1000], retired: Vec::new() };
        store(&large);
        assert_eq!(shared.load_delta(id), None, "too large to be shared");
    }

    #[test]
    fn noise_is_a_value_or_nothing() {
        // Under Miri some places of the ring suffice: a store takes milliseconds there.
        const PLACES: usize = if cfg!(miri) { 4 } else { RING_LEN };
        let shared = shared();
        let words = shared.words(AREAS_AT, DELTAS_AT - AREAS_AT + PLACES * DELTA_LEN);
        for (at, word) in words.iter().enumerate() {
            word.store((at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15), SeqCst);
        }
        for id in (0..PLACES as u64).map(TransactionId) {
            // The noise after it is taken for what was stored.
            shared.delta(id)[0].store(id.0, SeqCst);
            shared.descriptor(id)[0].store(id.0, SeqCst);
            let lengths = shared.delta(id)[1].load(SeqCst);
            let bytes = load_bytes(&shared.delta(id)[DELTA_HEAD..], (lengths >> 32) as usize);
            for stored_count in [lengths as u32 as usize, 0, bytes.len() / STORED_LEN] {
                let noise = EncodedDelta { stored_count, bytes: bytes.clone() };
                shared.descriptor(id)[6].store(noise.checksum(), SeqCst);
                shared.delta(id)[1].store(stored_count as u64 | lengths >> 32 << 32, SeqCst);
                let _ = shared.load_delta(id);
            }
        }
        let stamp = TransactionId(shared.word(AREAS_AT).load(SeqCst));
        assert_eq!(shared.load_space(0, stamp), None, "a tail longer than its limit");
        shared.word(AREAS_AT + 2).store(TAIL_LIMIT as u64, SeqCst);
        assert!(shared.load_space(0, stamp).is_some_and(|space| space.log_tail.len() == TAIL_LIMIT));
    }
}
