//! Tables of both kinds as keys and values: what a multimap table stores is split and joined here.

use std::borrow::Cow;
use std::ops::Bound;

use mapleaf::admin::{self, RawMultimapMut};
use mapleaf::{KeyBytes, Range, ReadTxn, TableInfo, TableKind, Values};

use crate::outcome::{Failure, wrong};
use crate::types::Type;

/// A range of stored keys.
pub(crate) type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// A key as it is alone, and a value.
pub(crate) type Entry<'a> = (KeyBytes, Cow<'a, [u8]>);

/// The entries of a table of either kind, in order, from both ends. In a multimap table, each pair is one.
pub(crate) enum Entries<'a> {
    Table(Range<'a, [u8], [u8]>),
    Multimap(Values<'a, [u8]>, Type),
}

impl<'a> Entries<'a> {
    /// The entries whose keys are within `bounds`.
    pub(crate) fn of(rx: &'a ReadTxn, table: &TableInfo, bounds: Bounds) -> Result<Entries<'a>, Failure> {
        Ok(match table.kind {
            TableKind::Multimap => {
                let key_type = Type::of_name(&table.key_type);
                let bounds = pair_bounds(&key_type, bounds);
                Entries::Multimap(admin::raw_multimap(rx, &table.name)?.pairs(bounds), key_type)
            }
            _ => Entries::Table(admin::raw_table(rx, &table.name)?.range(bounds)),
        })
    }

    /// All entries.
    pub(crate) fn all(rx: &'a ReadTxn, table: &TableInfo) -> Result<Entries<'a>, Failure> {
        Entries::of(rx, table, (Bound::Unbounded, Bound::Unbounded))
    }

    fn next_of(&mut self, is_back: bool) -> Option<mapleaf::Result<Entry<'a>>> {
        match self {
            Entries::Table(range) => {
                let entry = if is_back { range.next_back() } else { range.next() };
                entry.map(|entry| entry.map(|(key, value)| (key, Cow::Borrowed(value))))
            }
            Entries::Multimap(pairs, key_type) => {
                let pair = if is_back { pairs.next_back() } else { pairs.next() };
                pair.map(|pair| pair.map(|pair| split(key_type, pair)))
            }
        }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = mapleaf::Result<Entry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_of(false)
    }
}

impl DoubleEndedIterator for Entries<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.next_of(true)
    }
}

/// A pair whose key this program cannot tell from its value is shown as a key.
fn split<'a>(key_type: &Type, pair: KeyBytes) -> Entry<'a> {
    let parts = key_type.split_pair(&pair).map(|(key, value)| (KeyBytes::from(key), value.to_vec()));
    parts.map_or((pair, Cow::Borrowed(&[])), |(key, value)| (key, Cow::Owned(value)))
}

fn pair_bounds(key_type: &Type, (lower, upper): Bounds) -> Bounds {
    let bound = |key: Vec<u8>| key_type.bound_before_value(&key);
    (lower.map(bound), upper.map(bound))
}

/// A key of a multimap table as it stands before a value.
pub(crate) fn before_value(key_type: &Type, key: &[u8]) -> Result<Vec<u8>, Failure> {
    key_type.before_value(key).ok_or_else(|| match key_type {
        Type::Other => wrong(
            "this program does not know the type of the keys, so not where they end in a multimap table",
        ),
        known => wrong(format!("the key is not an encoding of {known}")),
    })
}

/// The pairs of one key, with the key alone left out.
pub(crate) fn range_of_key(key: &[u8]) -> Bounds {
    let mut end = key.to_vec();
    while end.last() == Some(&0xff) {
        end.pop();
    }
    let upper = match end.last_mut() {
        Some(last) => {
            *last += 1;
            Bound::Excluded(end)
        }
        None => Bound::Unbounded,
    };
    (Bound::Included(key.to_vec()), upper)
}

/// Removes the pairs whose keys are within `bounds`. Returns their number.
pub(crate) fn remove_range(
    table: &mut RawMultimapMut<'_>,
    key_type: &Type,
    bounds: Bounds,
) -> Result<u64, Failure> {
    let (mut lower, upper) = pair_bounds(key_type, bounds);
    let mut removed = 0;
    loop {
        let Some(pair) = table.pairs((lower.clone(), upper.clone())).next().transpose()? else {
            return Ok(removed);
        };
        let (key, _) =
            key_type.split_pair(&pair).ok_or_else(|| wrong("a pair that does not begin with a key"))?;
        let key = before_value(key_type, &key)?;
        removed += table.remove_all(&key)?;
        lower = Bound::Included(key);
    }
}
