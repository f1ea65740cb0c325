//! Iterators over the pairs, the keys, and the values of one key of a multimap table.
//!
//! Invariant: as with [`Range`](crate::Range), an error does not move an iterator.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::ops::Bound;

use crate::base::KeyBuf;
use crate::db::Types;
use crate::db::iter::{EntrySource, fold_to_first_error};
use crate::error::{Error, Result};
use crate::format::multimap::{end_of_prefix, pair_content};
use crate::tree::{End, OpenLeaf, RangeCursor, TreeTop};
use crate::types::{Key, decode_key, decode_pair, decode_pair_key, decode_pair_value};

/// Where an iterator over pairs is.
#[derive(Clone)]
struct PairCursor<'a> {
    source: EntrySource<'a>,
    cursor: RangeCursor,
    open: OpenLeaf<'a>,
}

impl<'a> PairCursor<'a> {
    /// Steps over a pair, which `decode` makes an item. If it cannot, the step is taken back.
    #[inline(always)]
    fn step<T>(&mut self, end: End, decode: impl FnOnce(KeyBuf) -> Result<T>) -> Option<Result<T>> {
        let found = match end {
            End::Front => self.cursor.next_in(self.source, &mut self.open),
            End::Back => self.cursor.next_back_in(self.source, &mut self.open),
        };
        match found {
            Ok(Some((pair, _))) => match decode(pair) {
                Ok(item) => Some(Ok(item)),
                Err(error) => Some(Err(self.stay(end, error))),
            },
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }

    #[cold]
    fn stay(&mut self, end: End, error: Error) -> Error {
        self.cursor.step_back(end);
        error
    }

    fn seek(&mut self, end: End, bound: Bound<&[u8]>) {
        self.open = OpenLeaf::default();
        self.cursor.seek(end, bound);
    }
}

/// How far the range of a cursor over the values of a key goes.
#[derive(Clone, Copy, PartialEq)]
enum Reach {
    /// As far as the values.
    Bounded,
    /// On after the values: an end would take another descent, and is not needed until the back is asked for.
    Open,
    /// The cursor has gone past the last value.
    Passed,
}

/// A double-ended iterator over the values of one key of a multimap table, in their order. Each item is a `Result`.
/// Errors are as with [`Range`](crate::Range). Made by [`MultimapRef::get`](crate::MultimapRef::get).
#[must_use = "iterators are lazy"]
pub struct Values<'a, V: ?Sized> {
    pairs: PairCursor<'a>,
    /// What stands before the value in a pair.
    prefix: KeyBuf,
    reach: Reach,
    types: Types<V, V>,
}

impl<'a, V: Key + ?Sized> Values<'a, V> {
    #[inline]
    pub(super) fn new(source: EntrySource<'a>, cursor: RangeCursor, prefix: &[u8]) -> Values<'a, V> {
        let pairs = PairCursor { source, cursor, open: OpenLeaf::default() };
        Values { pairs, prefix: KeyBuf::from(prefix), reach: Reach::Bounded, types: PhantomData }
    }

    /// All values of the key.
    #[inline]
    pub(super) fn all(source: EntrySource<'a>, top: TreeTop, prefix: &[u8]) -> Values<'a, V> {
        let cursor = RangeCursor::new(top, Bound::Included(prefix), Bound::Unbounded);
        Values { reach: Reach::Open, ..Values::new(source, cursor, prefix) }
    }

    #[inline(always)]
    fn step(&mut self, end: End) -> Option<Result<V::Owned>> {
        if self.reach == Reach::Open && end == End::Back {
            self.bound();
        }
        let prefix = &self.prefix;
        match self.reach {
            Reach::Open => {}
            Reach::Bounded => {
                return self.pairs.step(end, |pair| decode_pair_value::<V>(&pair, prefix.len()));
            }
            Reach::Passed => return None,
        }
        let found = self.pairs.step(end, |pair| match pair.strip_prefix(&**prefix) {
            Some(value) => decode_key::<V>(value).map(Some),
            None => Ok(None),
        });
        match found? {
            Ok(Some(value)) => Some(Ok(value)),
            Ok(None) => {
                self.reach = Reach::Passed;
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// Ends the cursor's range after the values of the key.
    #[cold]
    fn bound(&mut self) {
        self.reach = Reach::Bounded;
        self.pairs.seek(End::Back, Bound::Excluded(&end_of_prefix(&self.prefix)));
    }
}

/// A double-ended iterator over the pairs of a multimap table, in the order of keys and then values. Each item is a
/// `Result`. Errors are as with [`Range`](crate::Range). Made by
/// [`MultimapRef::range`](crate::MultimapRef::range) and [`MultimapRef::iter`](crate::MultimapRef::iter).
#[must_use = "iterators are lazy"]
pub struct MultimapRange<'a, K: ?Sized, V: ?Sized> {
    pairs: PairCursor<'a>,
    types: Types<K, V>,
}

impl<'a, K: Key + ?Sized, V: Key + ?Sized> MultimapRange<'a, K, V> {
    pub(super) fn new(source: EntrySource<'a>, cursor: RangeCursor) -> MultimapRange<'a, K, V> {
        let pairs = PairCursor { source, cursor, open: OpenLeaf::default() };
        MultimapRange { pairs, types: PhantomData }
    }
}

/// A double-ended iterator over the keys of a multimap table, each of them once. Each item is a `Result`. Errors are as
/// with [`Range`](crate::Range). Made by [`MultimapRef::keys`](crate::MultimapRef::keys).
///
/// It skips the other values of a key: a few by walking over them, many by one descent of the tree.
#[must_use = "iterators are lazy"]
pub struct MultimapKeys<'a, K: ?Sized> {
    pairs: PairCursor<'a>,
    /// The beginnings of the pairs of the keys that were last returned from the front and from the back.
    last: [Option<KeyBuf>; 2],
    types: Types<K, K>,
}

/// How many pairs of one key are walked over before the next key is sought.
const MAX_WALKED: usize = 8;

impl<'a, K: Key + ?Sized> MultimapKeys<'a, K> {
    pub(super) fn new(source: EntrySource<'a>, cursor: RangeCursor) -> MultimapKeys<'a, K> {
        let pairs = PairCursor { source, cursor, open: OpenLeaf::default() };
        MultimapKeys { pairs, last: [None, None], types: PhantomData }
    }

    /// Steps to the next key from `end`. What both ends have returned meets in the pairs of one key.
    fn step(&mut self, end: End) -> Option<Result<K::Owned>> {
        let (own, other) = if end == End::Front { (0, 1) } else { (1, 0) };
        let mut walked = 0;
        loop {
            let [own_last, other_last] = [&self.last[own], &self.last[other]];
            let begins_with = |pair: &[u8], last: &Option<KeyBuf>| {
                last.as_ref().is_some_and(|prefix| pair.starts_with(prefix))
            };
            let found = self.pairs.step(end, |pair| {
                if begins_with(&pair, own_last) {
                    return Ok(Found::Same);
                }
                if begins_with(&pair, other_last) {
                    return Ok(Found::End);
                }
                let (key, key_len) = decode_pair_key::<K>(pair_content(&pair)?)?;
                Ok(Found::Key(key, KeyBuf::from(&pair[..=key_len])))
            });
            match found? {
                Ok(Found::Key(key, prefix)) => {
                    self.last[own] = Some(prefix);
                    return Some(Ok(key));
                }
                Ok(Found::End) => {
                    self.pairs.stay(end, Error::TransactionFailed);
                    return None;
                }
                Ok(Found::Same) if walked < MAX_WALKED => walked += 1,
                Ok(Found::Same) => self.skip(end, own),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Goes past the pairs of the key that was returned last.
    fn skip(&mut self, end: End, own: usize) {
        let Some(prefix) = &self.last[own] else { return };
        match end {
            End::Front => self.pairs.seek(end, Bound::Included(&end_of_prefix(prefix))),
            End::Back => self.pairs.seek(end, Bound::Excluded(prefix)),
        }
    }
}

/// A pair that an iterator over keys has met.
enum Found<K> {
    /// One of the key that it returned last.
    Same,
    /// One of the key that the other end returned last.
    End,
    /// The first of another key, and the beginning of that key's pairs.
    Key(K, KeyBuf),
}

/// Implements the traits of a double-ended iterator: what it is, its item, and a step.
macro_rules! pair_iterator {
    ([$($generics:tt)*] $name:ident<$($parameter:tt),*>, $item:ty, |$iterator:ident, $end:ident| $step:expr) => {
        impl<$($generics)*> Iterator for $name<$($parameter),*> {
            type Item = Result<$item>;

            #[inline(always)]
            fn next(&mut self) -> Option<Self::Item> {
                let ($iterator, $end) = (self, End::Front);
                $step
            }

            fn fold<A, F: FnMut(A, Self::Item) -> A>(mut self, start: A, add: F) -> A {
                fold_to_first_error(|| self.next(), start, add)
            }
        }

        impl<$($generics)*> DoubleEndedIterator for $name<$($parameter),*> {
            #[inline(always)]
            fn next_back(&mut self) -> Option<Self::Item> {
                let ($iterator, $end) = (self, End::Back);
                $step
            }

            fn rfold<A, F: FnMut(A, Self::Item) -> A>(mut self, start: A, add: F) -> A {
                fold_to_first_error(|| self.next_back(), start, add)
            }
        }

        impl<$($generics)*> FusedIterator for $name<$($parameter),*> {}
    };
}

pair_iterator!(['a, V: Key + ?Sized] Values<'a, V>, V::Owned, |values, end| values.step(end));
pair_iterator!(['a, K: Key + ?Sized, V: Key + ?Sized] MultimapRange<'a, K, V>, (K::Owned, V::Owned), |range, end| {
    range.pairs.step(end, |pair| decode_pair::<K, V>(pair_content(&pair)?))
});
pair_iterator!(['a, K: Key + ?Sized] MultimapKeys<'a, K>, K::Owned, |keys, end| keys.step(end));

impl<V: ?Sized> Clone for Values<'_, V> {
    fn clone(&self) -> Self {
        Values {
            pairs: self.pairs.clone(),
            prefix: self.prefix.clone(),
            reach: self.reach,
            types: PhantomData,
        }
    }
}

impl<K: ?Sized, V: ?Sized> Clone for MultimapRange<'_, K, V> {
    fn clone(&self) -> Self {
        MultimapRange { pairs: self.pairs.clone(), types: PhantomData }
    }
}

impl<K: ?Sized> Clone for MultimapKeys<'_, K> {
    fn clone(&self) -> Self {
        MultimapKeys { pairs: self.pairs.clone(), last: self.last.clone(), types: PhantomData }
    }
}

impl<V: ?Sized> fmt::Debug for Values<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").finish_non_exhaustive()
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for MultimapRange<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultimapRange").finish_non_exhaustive()
    }
}

impl<K: ?Sized> fmt::Debug for MultimapKeys<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultimapKeys").finish_non_exhaustive()
    }
}
