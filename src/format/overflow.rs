//! The overflow extent: one large value on adjacent pages, after a single header.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 18 | 2 | zero |
//! | 20 | 4 | pages in the extent |
//! | 24 | 8 | length of the value |
//! | 32 | | the value, then zeros to the end of the last page |
//!
//! Invariant (I5): lengths from a header are compared to each other and to the slice before they are used.

use crate::base::bytes::{get_u32, get_u64, put_u32, put_u64};
use crate::error::{Result, corrupt};
use crate::format::page::{self, HEADER_LEN, PageKind};
use crate::sys;

const PAGE_COUNT: usize = 20;
const VALUE_LEN: usize = 24;

/// The longest value, in bytes.
pub(crate) const MAX_VALUE_LEN: u64 = u32::MAX as u64;

/// How many pages a value of `value_len` bytes, at most [`MAX_VALUE_LEN`], takes.
pub(crate) fn page_count(page_size: usize, value_len: u64) -> u32 {
    debug_assert!(value_len <= MAX_VALUE_LEN);
    (HEADER_LEN as u64 + value_len).div_ceil(page_size as u64) as u32
}

/// An extent for a value of `value_len` bytes, at most [`MAX_VALUE_LEN`]; the value is still all zeros.
pub(crate) fn new_run(page_size: usize, value_len: u64) -> Result<Box<[u8]>> {
    let pages = page_count(page_size, value_len);
    let mut run = sys::zeroed(pages as usize * page_size)?;
    run[..HEADER_LEN].copy_from_slice(&new_header(page_size, value_len));
    Ok(run)
}

/// The header of an extent for a value of `value_len` bytes, before it is sealed.
pub(crate) fn new_header(page_size: usize, value_len: u64) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    page::init(&mut header, PageKind::Overflow, 0);
    put_u32(&mut header, PAGE_COUNT, page_count(page_size, value_len));
    put_u64(&mut header, VALUE_LEN, value_len);
    header
}

/// The length of the value, from the header in the first page of its extent.
pub(crate) fn value_len(first_page: &[u8]) -> u64 {
    get_u64(first_page, VALUE_LEN)
}

/// Checks the header in the first page of an extent, whose other pages need not be there. Returns how many pages the
/// whole extent has.
pub(crate) fn checked_page_count(first_page: &[u8], page_size: usize) -> Result<u32> {
    let number = Some(page::number(first_page).0);
    if page::kind(first_page) != Some(PageKind::Overflow) {
        return Err(corrupt(number, "page kind", "3 (overflow)", first_page[16]));
    }
    let value_len = value_len(first_page);
    if value_len > MAX_VALUE_LEN {
        return Err(corrupt(number, "length of a value", format_args!("at most {MAX_VALUE_LEN}"), value_len));
    }
    let (expected, found) = (page_count(page_size, value_len), get_u32(first_page, PAGE_COUNT));
    if found != expected {
        return Err(corrupt(number, "pages of an overflow run", expected, found));
    }
    Ok(found)
}

/// Checks the header of a whole extent against the slice.
pub(crate) fn verify_run(run: &[u8], page_size: usize) -> Result<()> {
    let pages = checked_page_count(run, page_size)?;
    if run.len() != pages as usize * page_size {
        let expected = pages as usize * page_size;
        return Err(corrupt(Some(page::number(run).0), "bytes of an overflow run", expected, run.len()));
    }
    Ok(())
}

/// The value. According to the leaf it has `expected_len` bytes.
pub(crate) fn value(run: &[u8], expected_len: u64) -> Result<&[u8]> {
    let found = get_u64(run, VALUE_LEN);
    if found != expected_len {
        return Err(corrupt(Some(page::number(run).0), "length of a value", expected_len, found));
    }
    let end = usize::try_from(found).ok().and_then(|length| length.checked_add(HEADER_LEN));
    end.and_then(|end| run.get(HEADER_LEN..end)).ok_or_else(|| {
        corrupt(Some(page::number(run).0), "length of a value", format_args!("below {}", run.len()), found)
    })
}

/// The mutable value of an extent made by [`new_run`].
pub(crate) fn value_mut(run: &mut [u8]) -> &mut [u8] {
    let end = HEADER_LEN + get_u64(run, VALUE_LEN) as usize;
    &mut run[HEADER_LEN..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_with_its_value() {
        let page_size = page::MIN_PAGE_SIZE;
        for value_len in [0, 1, page_size - HEADER_LEN, page_size - HEADER_LEN + 1, 3 * page_size] {
            let mut run = new_run(page_size, value_len as u64).unwrap();
            assert_eq!(run.len() / page_size, (value_len + HEADER_LEN).div_ceil(page_size));
            value_mut(&mut run).fill(7);
            verify_run(&run, page_size).unwrap();
            assert_eq!(value(&run, value_len as u64).unwrap(), vec![7; value_len]);
            assert!(value(&run, value_len as u64 + 1).is_err(), "the leaf says otherwise");
        }
    }

    #[test]
    fn a_header_that_contradicts_itself_or_the_slice_is_refused() {
        let page_size = page::MIN_PAGE_SIZE;
        let run = new_run(page_size, 10_000).unwrap();
        assert!(verify_run(&run[..2 * page_size], page_size).is_err());
        for (at, byte) in [(16, 1), (PAGE_COUNT, 9), (VALUE_LEN, 9), (VALUE_LEN + 1, 255), (VALUE_LEN + 6, 1)]
        {
            let mut damaged = run.clone();
            damaged[at] = byte;
            let refused = verify_run(&damaged, page_size).is_err() || value(&damaged, 10_000).is_err();
            assert!(refused, "byte {at}");
        }
    }
}
