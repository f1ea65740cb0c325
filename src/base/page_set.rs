//! A set of pages of a file of known length.
//!
//! Invariant: one bit for each page of the file, so the memory it takes is a fixed share of the file's size (1/32768
//! with pages of 4 KiB), whatever the pages refer to. The file chooses that size, so the system may refuse it.

use crate::base::{Extent, PageNumber};
use crate::error::{Error, Result};

/// Some pages of a file.
#[derive(Clone, Debug)]
pub(crate) struct PageSet {
    words: Vec<u64>,
    length_pages: u32,
}

impl PageSet {
    /// No page of a file of `length_pages` pages. Returns [`Error::OutOfMemory`] if the system has no memory for it.
    pub(crate) fn new(length_pages: u32) -> Result<PageSet> {
        let count = length_pages.div_ceil(64) as usize;
        let mut words = Vec::new();
        words.try_reserve_exact(count).map_err(|_| Error::OutOfMemory { bytes: 8 * count as u64 })?;
        words.resize(count, 0);
        Ok(PageSet { words, length_pages })
    }

    /// The length of the file, in pages.
    pub(crate) fn length_pages(&self) -> u32 {
        self.length_pages
    }

    /// Adds a page. Returns `false` if the set already contains it, or the file does not.
    pub(crate) fn insert(&mut self, page: PageNumber) -> bool {
        let is_new = page.0 < self.length_pages && !self.contains(page);
        if is_new {
            self.words[page.0 as usize / 64] |= 1 << (page.0 % 64);
        }
        is_new
    }

    /// Takes a page out again.
    pub(crate) fn remove(&mut self, page: PageNumber) {
        if let Some(word) = self.words.get_mut(page.0 as usize / 64) {
            *word &= !(1 << (page.0 % 64));
        }
    }

    /// Adds those pages of `run` that the file has.
    pub(crate) fn insert_run(&mut self, run: Extent) {
        let end = run.first.0.saturating_add(run.count).min(self.length_pages);
        for page in run.first.0..end {
            self.insert(PageNumber(page));
        }
    }

    /// Whether `page` is in.
    pub(crate) fn contains(&self, page: PageNumber) -> bool {
        let word = self.words.get(page.0 as usize / 64);
        word.is_some_and(|word| word >> (page.0 % 64) & 1 != 0)
    }

    /// The pages in the set, from `first` on, as ascending extents that do not touch.
    pub(crate) fn runs_from(&self, first: PageNumber) -> impl Iterator<Item = Extent> + '_ {
        let mut next = first.0;
        std::iter::from_fn(move || {
            let start = self.next_page(next, true)?;
            next = self.next_page(start, false).unwrap_or(self.length_pages);
            Some(Extent::new(start, next - start))
        })
    }

    /// The first page from `from` on that is in the set, or that is not. It searches by words, because a forged
    /// length or a mostly free file has very many pages.
    fn next_page(&self, from: u32, is_in: bool) -> Option<u32> {
        let wanted = |word: u64| if is_in { word } else { !word };
        let mut index = from as usize / 64;
        let mut word = wanted(*self.words.get(index)?) & (u64::MAX << (from % 64));
        while word == 0 {
            index += 1;
            word = wanted(*self.words.get(index)?);
        }
        let page = index as u32 * 64 + word.trailing_zeros();
        Some(page).filter(|&page| page < self.length_pages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_go_in_once_and_come_out_as_runs() {
        let mut pages = PageSet::new(130).unwrap();
        for page in [2, 3, 63, 64, 65, 129] {
            assert!(pages.insert(PageNumber(page)));
            assert!(!pages.insert(PageNumber(page)), "{page} is in already");
        }
        assert!(!pages.insert(PageNumber(130)) && !pages.contains(PageNumber(130)), "behind the end");
        assert!(!pages.contains(PageNumber(u32::MAX)));
        pages.insert_run(Extent::new(127, u32::MAX));
        let runs: Vec<Extent> = pages.runs_from(PageNumber(3)).collect();
        assert_eq!(runs, [Extent::new(3, 1), Extent::new(63, 3), Extent::new(127, 3)]);
        pages.remove(PageNumber(64));
        pages.remove(PageNumber(u32::MAX));
        assert_eq!(pages.runs_from(PageNumber(4)).next(), Some(Extent::new(63, 1)));
        assert_eq!(PageSet::new(0).unwrap().runs_from(PageNumber(0)).count(), 0);
        let full = |length: u32| {
            let mut pages = PageSet::new(length).unwrap();
            pages.insert_run(Extent::new(0, length));
            pages.runs_from(PageNumber(1)).collect::<Vec<Extent>>()
        };
        assert_eq!(full(64), [Extent::new(1, 63)]);
        assert_eq!(full(65), [Extent::new(1, 64)]);
    }
}
