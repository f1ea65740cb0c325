//! Ends of ranges: keys, and the first elements of keys.
//!
//! Invariant: the first elements of a tuple encode to bytes with which exactly the keys begin that begin with these
//! elements. Such keys are adjacent.

use std::ops::Bound;

use super::{EncodeKey, Encoded, Encoder, Key, KeyPosition};

/// An end of a range of keys of type `K`: a key, or the first elements of keys that are tuples.
///
/// First elements stand for all keys that begin with them. As an end that is included (`("b",)..`, `..=("b",)`), all of
/// these keys are in the range; as one that is excluded (`..("b",)`), none is. The two ends of a range have one type.
///
/// ```
/// use mapleaf::{Db, Table};
/// const VISITS: Table<(String, u32), u64> = Table::new("visits"); // (page, day) -> count
///
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     let keys = [("a", 1), ("b", 1), ("b", 2), ("c", 1)];
///     tx.table(&VISITS)?.insert_many(keys.map(|key| (key, 7)))
/// })?;
///
/// let rx = db.read()?;
/// let visits = rx.table(&VISITS)?;
/// assert_eq!(visits.range(("b",)..).count(), 3);
/// assert_eq!(visits.range(("a",)..("b",)).count(), 1);
/// assert_eq!(visits.range(("a",)..=("b",)).count(), 3);
/// assert_eq!(visits.range(("b", 2)..).count(), 2);
/// # Ok::<(), mapleaf::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a key of type `{K}` nor the first elements of one",
    label = "not a key of this table"
)]
pub trait KeyBound<K: Key + ?Sized> {
    /// Returns the encoded key, or the encoded first elements.
    fn encode_bound(&self) -> EncodedBound<'_>;

    /// Returns the bytes with which the entries of these keys begin in a multimap table, after a byte of the table's
    /// own: their encoding in [`KeyPosition::Inner`].
    fn encode_inner_bound(&self) -> Encoded<'_>;
}

/// What a [`KeyBound`] encodes to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EncodedBound<'a> {
    /// A whole key.
    Key(Encoded<'a>),
    /// The bytes with which keys begin.
    Prefix(Encoded<'a>),
}

impl<K: Key + ?Sized, Q: EncodeKey<K>> KeyBound<K> for Q {
    #[inline]
    fn encode_bound(&self) -> EncodedBound<'_> {
        EncodedBound::Key(self.encode_key())
    }

    fn encode_inner_bound(&self) -> Encoded<'_> {
        let mut encoder = Encoder::new();
        self.encode_key_into(&mut encoder, KeyPosition::Inner);
        encoder.finish()
    }
}

/// Returns the start of a range; `None` if no key is after it.
#[inline]
pub(crate) fn encode_start<K: Key + ?Sized, Q: KeyBound<K>>(start: Bound<&Q>) -> Option<Bound<Encoded<'_>>> {
    Some(match start.map(Q::encode_bound) {
        Bound::Included(EncodedBound::Key(key) | EncodedBound::Prefix(key)) => Bound::Included(key),
        Bound::Excluded(EncodedBound::Key(key)) => Bound::Excluded(key),
        Bound::Excluded(EncodedBound::Prefix(prefix)) => Bound::Included(prefix_upper_bound(&prefix)?.into()),
        Bound::Unbounded => Bound::Unbounded,
    })
}

/// Returns the end of a range.
#[inline]
pub(crate) fn encode_end<K: Key + ?Sized, Q: KeyBound<K>>(end: Bound<&Q>) -> Bound<Encoded<'_>> {
    match end.map(Q::encode_bound) {
        Bound::Included(EncodedBound::Key(key)) => Bound::Included(key),
        Bound::Included(EncodedBound::Prefix(prefix)) => end_of_prefix(&prefix),
        Bound::Excluded(EncodedBound::Key(key) | EncodedBound::Prefix(key)) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

/// Returns the end of the keys that begin with `prefix`.
pub(crate) fn end_of_prefix(prefix: &[u8]) -> Bound<Encoded<'static>> {
    prefix_upper_bound(prefix).map_or(Bound::Unbounded, |end| Bound::Excluded(end.into()))
}

/// Returns the smallest byte string that is greater than every one that begins with `prefix`, if there is one.
pub(super) fn prefix_upper_bound(prefix: &[u8]) -> Option<Vec<u8>> {
    // Trailing FF bytes cannot be incremented. The bound is that of the prefix without them.
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut bound = prefix[..=last].to_vec();
    bound[last] += 1;
    Some(bound)
}
