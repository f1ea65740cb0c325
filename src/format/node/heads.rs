//! The heads of a page's keys: how they are made and searched.
//!
//! A search guesses the place of a head from the first and the last one, as if those between were spread evenly, and
//! compares the few heads around that place at once. If keys are random, it mostly ends there and has touched three
//! or four lines of the heads; a binary search would wait for one line after the other. Otherwise it continues as a
//! binary search on one side of the guess.
//!
//! Invariant: I5: whatever the heads are, in order or not, the result is at most how many there are.

use std::hint::select_unpredictable;

/// Length of a head, in bytes.
pub(crate) const HEAD_LEN: usize = 4;
/// This many heads around a guess are compared at once: for random keys they suffice nine times in ten.
const WINDOW: usize = 8;

/// The head of a suffix: its first 4 bytes as an integer with the same order.
#[inline(always)]
pub(crate) fn head_of(suffix: &[u8]) -> u32 {
    match suffix.first_chunk::<HEAD_LEN>() {
        Some(&[b0, b1, b2, b3]) => u32::from_le_bytes([b3, b2, b1, b0]),
        None => {
            let byte = |at: usize| suffix.get(at).copied().unwrap_or(0);
            u32::from_le_bytes([0, byte(2), byte(1), byte(0)])
        }
    }
}

/// The head that a page has for a suffix of `suffix_len` bytes. Bytes after the suffix become zeros whatever the page
/// has there (I5), so heads have the order of the keys made from them.
#[inline(always)]
pub(crate) fn padded_head(head: [u8; HEAD_LEN], suffix_len: usize) -> u32 {
    let padding = 8 * HEAD_LEN.saturating_sub(suffix_len) as u32;
    u32::from_le_bytes(head) & u32::MAX.checked_shl(padding).unwrap_or(0)
}

/// The bytes of the key that a page stores as `head`, padding included.
#[inline(always)]
pub(crate) fn bytes_of_head(head: [u8; HEAD_LEN]) -> [u8; HEAD_LEN] {
    // Not by bytes: that would be four loads.
    u32::from_le_bytes(head).swap_bytes().to_le_bytes()
}

/// How many of the ascending `heads` are below `head`.
#[inline(always)]
pub(crate) fn heads_below(heads: &[[u8; HEAD_LEN]], head: u32) -> usize {
    heads_below_guessing(heads, head, |_| ())
}

/// As [`heads_below`]. Calls `on_guess` with the guess, if there is one, before the heads there are read.
#[inline(always)]
pub(crate) fn heads_below_guessing(
    heads: &[[u8; HEAD_LEN]],
    head: u32,
    on_guess: impl FnOnce(usize),
) -> usize {
    let Some((start, window)) = window_around_guess(heads, head) else { return search_binary(heads, head) };
    on_guess(start + WINDOW / 2);
    let below = count_below(window, head);
    let goes_on_before = below == 0 && start > 0;
    let goes_on_after = below == WINDOW && start + WINDOW < heads.len();
    if goes_on_before || goes_on_after {
        return search_beside(heads, head, start, goes_on_after);
    }
    start + below
}

/// The heads around the place where `head` is likely to be, and where they begin; `None` if there are too few.
#[inline(always)]
fn window_around_guess(heads: &[[u8; HEAD_LEN]], head: u32) -> Option<(usize, &[[u8; HEAD_LEN]; WINDOW])> {
    let last_start = heads.len().checked_sub(WINDOW)?;
    let (first, last) = (u32::from_le_bytes(*heads.first()?), u32::from_le_bytes(*heads.last()?));
    let span = u64::from(last.wrapping_sub(first)) + 1;
    let guess = u64::from(head.saturating_sub(first)) * heads.len() as u64 / span;
    let start = (guess as usize).saturating_sub(WINDOW / 2).min(last_start);
    Some((start, heads.get(start..)?.first_chunk()?))
}

#[inline(always)]
fn count_below(window: &[[u8; HEAD_LEN]; WINDOW], head: u32) -> usize {
    // Four counts side by side, as a vector register has them.
    let mut counts = [0u32; 4];
    for quad in window.as_chunks::<4>().0 {
        for (count, other) in counts.iter_mut().zip(quad) {
            *count += u32::from(u32::from_le_bytes(*other) < head);
        }
    }
    counts.iter().sum::<u32>() as usize
}

/// Continues before the window that begins at `start`, or after it.
#[inline(never)]
fn search_beside(heads: &[[u8; HEAD_LEN]], head: u32, start: usize, is_after: bool) -> usize {
    if is_after {
        let from = start + WINDOW;
        from + search_binary(&heads[from..], head)
    } else {
        search_binary(&heads[..start], head)
    }
}

/// A binary search whose only branch is its loop.
#[inline(always)]
fn search_binary(heads: &[[u8; HEAD_LEN]], head: u32) -> usize {
    let is_below = |at: usize| u32::from_le_bytes(heads[at]) < head;
    if heads.is_empty() {
        return 0;
    }
    let mut base = 0;
    let mut size = heads.len();
    while size > 1 {
        let half = size / 2;
        base = select_unpredictable(is_below(base + half), base + half, base);
        size -= half;
    }
    base + usize::from(is_below(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heads that are spread evenly, crowded at either end, in two crowds far apart, and all equal.
    fn spreads(count: u32) -> impl Iterator<Item = Vec<u32>> {
        let spreads: [fn(u32, u32) -> u32; 6] = [
            |at, count| (u64::from(at) * u64::from(u32::MAX) / u64::from(count.max(1))) as u32,
            |at, _| at * at * 2,
            |at, count| u32::MAX - (count - at) * (count - at),
            |at, count| if at < count / 3 { at } else { u32::MAX - count + at },
            |_, _| 7,
            |at, _| at / 3,
        ];
        spreads.into_iter().map(move |head| (0..count).map(|at| head(at, count)).collect())
    }

    #[test]
    fn search_finds_what_counting_finds_however_heads_are_spread() {
        let counts =
            if cfg!(miri) { vec![0, 1, 7, 8, 9, 40] } else { (0..70).chain([185, 338, 2000]).collect() };
        for heads in counts.into_iter().flat_map(spreads) {
            let bytes: Vec<[u8; HEAD_LEN]> = heads.iter().map(|head| head.to_le_bytes()).collect();
            let near = heads.iter().flat_map(|head| [head.wrapping_sub(1), *head, head.wrapping_add(1)]);
            for head in near.chain([0, 1, 1 << 31, u32::MAX]) {
                let expected = heads.iter().filter(|other| **other < head).count();
                assert_eq!(heads_below(&bytes, head), expected, "{head} among {heads:?}");
            }
        }
    }

    #[test]
    fn heads_in_disorder_give_a_place_among_them() {
        for heads in spreads(50) {
            let bytes: Vec<[u8; HEAD_LEN]> = heads.iter().rev().map(|head| head.to_le_bytes()).collect();
            for head in heads.iter().copied().chain([0, u32::MAX]) {
                assert!(heads_below(&bytes, head) <= bytes.len());
            }
        }
    }
}
