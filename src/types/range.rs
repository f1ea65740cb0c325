//! Ranges of keys, in any of Rust's notations.

use std::ops::{Bound, Range, RangeBounds, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use super::{Encoded, Key, KeyBound, encode_end, encode_start};

/// A value that can be given as a range of keys of type `K`: any of Rust's ranges, or a pair of [`Bound`]s. Its ends
/// are anything that stands for a key ([`EncodeKey`](crate::EncodeKey)), or, if keys are tuples, for the first elements
/// of one ([`KeyBound`]).
///
/// A range whose start is greater than its end is empty. It is not an error and does not panic.
///
/// ```
/// use mapleaf::{Db, Table};
///
/// const USERS: Table<str, u64> = Table::new("users");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     let mut users = tx.table(&USERS)?;
///     for (name, born) in [("ada", 1815), ("bob", 1920), ("eve", 1978)] {
///         users.insert(name, &born)?;
///     }
///     Ok(())
/// })?;
///
/// let rx = db.read()?;
/// let users = rx.table(&USERS)?;
/// assert_eq!(users.range("a".."c").count(), 2);
/// assert_eq!(users.range(.."bob").count(), 1);
/// assert_eq!(users.range(..="bob").count(), 2);
/// assert_eq!(users.range(String::from("bob")..).count(), 2);
/// assert_eq!(users.range(..).count(), 3);
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a range of keys of type `{K}`",
    label = "not a range of keys of this table"
)]
pub trait KeyRange<K: Key + ?Sized> {
    /// Returns the encoded bounds of the range.
    fn encode_range(&self) -> (Bound<Encoded<'_>>, Bound<Encoded<'_>>);
}

impl<K: Key + ?Sized> KeyRange<K> for RangeFull {
    fn encode_range(&self) -> (Bound<Encoded<'_>>, Bound<Encoded<'_>>) {
        (Bound::Unbounded, Bound::Unbounded)
    }
}

impl<K: Key + ?Sized, R: KeyRange<K> + ?Sized> KeyRange<K> for &R {
    #[inline]
    fn encode_range(&self) -> (Bound<Encoded<'_>>, Bound<Encoded<'_>>) {
        (**self).encode_range()
    }
}

/// A value that can be given as a range of keys of type `K` of a multimap table: what is a [`KeyRange`] of Rust's
/// notations, with ends of the same kinds.
///
/// ```
/// use mapleaf::{Db, MultimapTable};
///
/// const TAGS: MultimapTable<str, u64> = MultimapTable::new("tags");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| tx.multimap(&TAGS)?.insert_many([("a", 1), ("b", 2), ("b", 3), ("c", 4)]))?;
/// let rx = db.read()?;
/// assert_eq!(rx.multimap(&TAGS)?.range("a"..="b").count(), 3);
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a range of keys of type `{K}` of a multimap table",
    label = "not a range of keys of this table"
)]
pub trait PairRange<K: Key + ?Sized> {
    /// Returns the bounds in the encoding of [`KeyBound::encode_inner_bound`]. Each of them stands for all entries that
    /// begin with it.
    fn encode_inner_range(&self) -> (Bound<Encoded<'_>>, Bound<Encoded<'_>>);
}

impl<K: Key + ?Sized> PairRange<K> for RangeFull {
    fn encode_inner_range(&self) -> (Bound<Encoded<'_>>, Bound<Encoded<'_>>) {
        (Bound::Unbounded, Bound::Unbounded)
    }
}

impl<K: Key + ?Sized, R: PairRange<K> + ?Sized> PairRange<K> for &R {
    fn encode_inner_range(&self) -> (Bound<Encoded<'_>>, Bound<Encoded<'_>>) {
        (**self).encode_inner_range()
    }
}

/// An empty range: no key is before the empty one.
fn no_keys() -> (Bound<Encoded<'static>>, Bound<Encoded<'static>>) {
    (Bound::Unbounded, Bound::Excluded(Encoded::borrowed(&[])))
}

macro_rules! key_ranges {
    ($($range:ty)*) => {$(
        impl<K: Key + ?Sized, Q: KeyBound<K>> KeyRange<K> for $range {
            #[inline]
            fn encode_range(&self) -> (Bound<Encoded<'_>>, Bound<Encoded<'_>>) {
                match encode_start(RangeBounds::<Q>::start_bound(self)) {
                    Some(start) => (start, encode_end(RangeBounds::<Q>::end_bound(self))),
                    None => no_keys(),
                }
            }
        }

        impl<K: Key + ?Sized, Q: KeyBound<K>> PairRange<K> for $range {
            fn encode_inner_range(&self) -> (Bound<Encoded<'_>>, Bound<Encoded<'_>>) {
                let start = RangeBounds::<Q>::start_bound(self).map(Q::encode_inner_bound);
                (start, RangeBounds::<Q>::end_bound(self).map(Q::encode_inner_bound))
            }
        }
    )*};
}

key_ranges!(Range<Q> RangeInclusive<Q> RangeFrom<Q> RangeTo<Q> RangeToInclusive<Q> (Bound<Q>, Bound<Q>));
