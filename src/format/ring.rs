//! The ring of pages that the redo log lies in: from a position in the log to offsets in the file.
//!
//! Invariants (docs/DURABILITY.md):
//! - L4: position `lsn` lies in the ring at `(lsn - base) % length`. A ring does not change its length, and its base is
//!   a multiple of the block, as its length is.
//! - L7: no byte of the block that holds the log start, or of those after it, is overwritten.

use std::ops::Range;

use crate::base::{Extent, Lsn, PageNumber};

/// A ring has this many blocks at least.
pub(crate) const MIN_BLOCKS: u64 = 4;

/// A ring of at least one page. `base` is the position of its first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ring {
    pub(crate) first: PageNumber,
    pub(crate) pages: u32,
    pub(crate) base: Lsn,
}

impl Ring {
    pub(crate) fn extent(self) -> Extent {
        Extent { first: self.first, count: self.pages }
    }

    pub(crate) fn length_bytes(self, page_size: usize) -> u64 {
        u64::from(self.pages) * page_size as u64
    }

    /// Whether the log can lie in the ring with blocks of this length. A ring from a system with shorter pages may be
    /// too short.
    pub(crate) fn has_whole_blocks(self, page_size: usize, block: u64) -> bool {
        let length = self.length_bytes(page_size);
        length.is_multiple_of(block) && length >= MIN_BLOCKS * block
    }

    /// The length of the longest record: a quarter of the ring, and a number of 32 bits.
    pub(crate) fn max_record_len(self, page_size: usize) -> usize {
        (self.length_bytes(page_size) / 4).min(u64::from(u32::MAX)) as usize
    }

    /// The position that no record may go beyond while the log begins at `log_start` (L7). `block` is in bytes.
    pub(crate) fn limit(self, log_start: Lsn, page_size: usize, block: u64) -> Lsn {
        log_start.round_down(block).plus(self.length_bytes(page_size))
    }

    /// Whether a record that ends at `end` may be stored while the log begins at `log_start` (L7).
    pub(crate) fn has_room(self, end: Lsn, log_start: Lsn, page_size: usize, block: u64) -> bool {
        end <= self.limit(log_start, page_size, block)
    }

    /// Returns where in the file the bytes `from..to` of the log lie: none, one, or two ranges of offsets, in the order
    /// of the log. `from` is not below the base, and the bytes are at most as many as the ring has.
    pub(crate) fn byte_ranges(
        self,
        from: Lsn,
        to: Lsn,
        page_size: usize,
    ) -> impl Iterator<Item = Range<u64>> + use<> {
        let length = self.length_bytes(page_size);
        let (at, bytes) = (from.since(self.base) % length, to.since(from));
        debug_assert!(from >= self.base && bytes <= length);
        let before_end = bytes.min(length - at);
        let start = self.first.offset(page_size);
        [start + at..start + at + before_end, start..start + (bytes - before_end)]
            .into_iter()
            .filter(|range| !range.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;
    const BLOCK: u64 = 4096;
    const LENGTH: u64 = 4 * PAGE as u64;
    const RING: Ring = Ring { first: PageNumber(10), pages: 4, base: Lsn(3 * LENGTH + BLOCK) };

    /// Where the bytes lie: offsets from the ring's first byte, and lengths.
    fn ranges(from: u64, bytes: u64) -> Vec<(u64, u64)> {
        let from = RING.base.plus(from);
        let ranges = RING.byte_ranges(from, from.plus(bytes), PAGE);
        ranges.map(|range| (range.start - 10 * PAGE as u64, range.end - range.start)).collect()
    }

    #[test]
    fn positions_go_round_and_round() {
        assert_eq!(ranges(0, 0), []);
        assert_eq!(ranges(0, 8), [(0, 8)]);
        assert_eq!(ranges(0, LENGTH), [(0, LENGTH)]);
        assert_eq!(ranges(LENGTH - 8, 8), [(LENGTH - 8, 8)]);
        assert_eq!(ranges(LENGTH - 8, 24), [(LENGTH - 8, 8), (0, 16)]);
        assert_eq!(ranges(LENGTH, 8), [(0, 8)]);
        assert_eq!(ranges(5 * LENGTH + 8, LENGTH), [(8, LENGTH - 8), (0, 8)]);
        assert_eq!(RING.extent(), Extent::new(10, 4));
    }

    #[test]
    fn every_byte_of_the_log_has_one_place() {
        for from in (0..2 * LENGTH).step_by(8) {
            assert_eq!(ranges(from, LENGTH).iter().map(|&(_, bytes)| bytes).sum::<u64>(), LENGTH);
            let (at, bytes) = *ranges(from, 16).last().unwrap();
            assert_eq!(at + bytes - 8, ranges(from + 8, 8)[0].0);
        }
    }

    #[test]
    fn the_block_of_the_log_start_is_not_overwritten() {
        let log_start = RING.base.plus(2 * BLOCK + 512);
        let limit = RING.base.plus(2 * BLOCK + LENGTH);
        assert_eq!(RING.limit(log_start, PAGE, BLOCK), limit);
        assert!(RING.has_room(limit, log_start, PAGE, BLOCK));
        assert!(!RING.has_room(limit.plus(1), log_start, PAGE, BLOCK));
        assert!(RING.has_room(limit.plus(1), log_start.round_up(BLOCK), PAGE, BLOCK));
    }

    #[test]
    fn a_ring_has_whole_blocks() {
        assert!(RING.has_whole_blocks(PAGE, BLOCK));
        assert!(!RING.has_whole_blocks(PAGE, 2 * BLOCK), "too few");
        assert!(Ring { pages: 8, ..RING }.has_whole_blocks(PAGE, 2 * BLOCK));
        assert!(!Ring { pages: 9, ..RING }.has_whole_blocks(PAGE, 2 * BLOCK), "half a block");
    }

    #[test]
    fn the_longest_record_is_a_quarter_of_the_ring() {
        assert_eq!(RING.max_record_len(PAGE), PAGE);
        let huge = Ring { pages: PageNumber::LIMIT, ..RING };
        assert_eq!(huge.max_record_len(65536), u32::MAX as usize);
    }
}
