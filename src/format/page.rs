//! The header that begins every page except the two meta pages.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | CRC-32 of all that follows in the page (in an overflow extent: in the whole extent) |
//! | 4 | 4 | page number |
//! | 8 | 8 | birth: the transaction that wrote the page |
//! | 16 | 1 | kind: 1 leaf, 2 branch, 3 overflow, 4 free log |
//! | 17 | 1 | level: 0 in a leaf, one more than its children in a branch |
//! | 18 | 2 | leaf: entries; branch: separators (children less one) |
//! | 20 | 2 | bytes of the key prefix that all keys of the page share |
//! | 22 | 2 | bytes of the heap, dead ones included; in a dense leaf, length of each value |
//! | 24 | 2 | dead bytes in the heap; in a dense leaf, length of each suffix |
//! | 26 | 2 | flags: bit 0, a value here, or below this branch, may lie on overflow pages; bit 1, a dense leaf |
//! | 28 | 4 | zero; in a dense leaf, its last head |
//!
//! An overflow extent has one header, in its first page. From offset 18 on it has: 2 bytes zero, 4 bytes pages in the
//! extent, 8 bytes length of the value. A free-log page has from offset 18 on: 2 bytes flags, 4 bytes number of the
//! page before it in the chain, 4 bytes length of its entries, 4 bytes zero.
//! All integers are little-endian.

use std::ops::Range;

use crate::base::bytes::{get_u16, get_u32, get_u64, put_u32, put_u64};
use crate::base::checksum::{checksum, checksum_of_parts};
use crate::base::{PageNumber, TransactionId};
use crate::error::{Result, corrupt};
use crate::sys::prefetch;

pub(crate) use crate::sys::LINE_BYTES;

/// Length of the header, in bytes.
pub(crate) const HEADER_LEN: usize = 32;

/// The smallest page size, and the default.
pub(crate) const MIN_PAGE_SIZE: usize = 4096;
/// The largest page size.
pub(crate) const MAX_PAGE_SIZE: usize = 65536;

/// What a page holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum PageKind {
    Leaf = 1,
    Branch = 2,
    Overflow = 3,
    FreeLog = 4,
}

/// The fields common to all kinds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PageHeader {
    pub(crate) checksum: u32,
    pub(crate) number: PageNumber,
    pub(crate) birth: TransactionId,
    pub(crate) kind: PageKind,
    pub(crate) level: u8,
}

/// Whether `size` can be a page size.
pub(crate) fn is_page_size(size: usize) -> bool {
    size.is_power_of_two() && (MIN_PAGE_SIZE..=MAX_PAGE_SIZE).contains(&size)
}

/// The longest key that a file with pages of `page_size` bytes can hold: a leaf holds at least two
/// entries and a branch at least two separators, however long their keys are.
pub(crate) const fn max_key_len(page_size: usize) -> usize {
    page_size / 2 - 64
}

/// The page number in the header, to name the page in errors.
#[inline]
pub(crate) fn number(page: &[u8]) -> PageNumber {
    PageNumber(get_u32(page, 4))
}

/// The transaction that wrote the page.
#[inline]
pub(crate) fn birth(page: &[u8]) -> TransactionId {
    TransactionId(get_u64(page, 8))
}

/// The stored checksum.
#[inline]
pub(crate) fn stored_checksum(page: &[u8]) -> u32 {
    get_u32(page, 0)
}

/// The kind, if it is a known one.
#[inline]
pub(crate) fn kind(page: &[u8]) -> Option<PageKind> {
    match page[16] {
        1 => Some(PageKind::Leaf),
        2 => Some(PageKind::Branch),
        3 => Some(PageKind::Overflow),
        4 => Some(PageKind::FreeLog),
        _ => None,
    }
}

/// The level: 0 for a leaf.
#[inline]
pub(crate) fn level(page: &[u8]) -> u8 {
    page[17]
}

/// Begins a header in a zeroed page. Number, birth and checksum come with [`seal`].
pub(crate) fn init(page: &mut [u8], kind: PageKind, level: u8) {
    page[16] = kind as u8;
    page[17] = level;
}

/// Prefetches a part of a page, line by line. A page of the file begins at a line.
#[inline]
pub(crate) fn prefetch_range(page: &[u8], range: Range<usize>) {
    let lines = range.start / LINE_BYTES..range.end.div_ceil(LINE_BYTES);
    lines.for_each(|line| prefetch(page, line * LINE_BYTES));
}

/// Prefetches `lines` cache lines of a page, from the one with the number `first` on.
#[inline(always)]
pub(crate) fn prefetch_lines(page: &[u8], first: usize, lines: usize) {
    for line in first..first + lines {
        prefetch(page, line * LINE_BYTES);
    }
}

/// Completes a page, or a whole overflow extent, before it is stored: number, birth, checksum. Returns the checksum.
pub(crate) fn seal(page: &mut [u8], number: PageNumber, birth: TransactionId) -> u32 {
    seal_parts(page, &[], number, birth)
}

/// As [`seal`], for an extent whose first bytes are in `head`, header included, and the others in `rest`.
pub(crate) fn seal_parts(head: &mut [u8], rest: &[&[u8]], number: PageNumber, birth: TransactionId) -> u32 {
    put_u32(head, 4, number.0);
    put_u64(head, 8, birth.0);
    let sum = checksum_of_parts(std::iter::once(&head[4..]).chain(rest.iter().copied()));
    put_u32(head, 0, sum);
    sum
}

/// Checks that `page` (or a whole overflow extent) is page `expected`, of a known kind, with the right checksum.
pub(crate) fn verify(page: &[u8], expected: PageNumber) -> Result<PageHeader> {
    let at = Some(expected.0);
    let found = checksum(&page[4..]);
    if found != stored_checksum(page) {
        return Err(corrupt(
            at,
            "checksum",
            format_args!("{:08x}", stored_checksum(page)),
            format_args!("{found:08x}"),
        ));
    }
    if number(page) != expected {
        return Err(corrupt(at, "page number", expected, number(page)));
    }
    let kind = kind(page).ok_or_else(|| corrupt(at, "page kind", "1 to 4", page[16]))?;
    Ok(PageHeader { checksum: found, number: expected, birth: birth(page), kind, level: level(page) })
}

/// The 16-bit field of the header at `at`.
#[inline]
pub(crate) fn field_u16(page: &[u8], at: usize) -> usize {
    usize::from(get_u16(page, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_page_verifies_and_each_flipped_bit_is_found() {
        let mut page = vec![0u8; MIN_PAGE_SIZE];
        init(&mut page, PageKind::Leaf, 0);
        page[100] = 7;
        let sum = seal(&mut page, PageNumber(9), TransactionId(3));
        let header = verify(&page, PageNumber(9)).unwrap();
        assert_eq!((header.checksum, header.birth, header.kind), (sum, TransactionId(3), PageKind::Leaf));
        // Miri is slow at checksums.
        let step = if cfg!(miri) { 4001 } else { 61 };
        for bit in (0..MIN_PAGE_SIZE * 8).step_by(step) {
            page[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&page, PageNumber(9)).is_err(), "bit {bit}");
            page[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(verify(&page, PageNumber(8)).is_err(), "another page's number");
    }
}
