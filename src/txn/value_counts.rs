//! By how much the numbers of values have changed, for the keys of a multimap table whose counters have not followed.
//!
//! Invariant: a key is in the map, or is the last one, or both; its change is the sum of both.

use std::collections::HashMap;

use crate::base::KeyBuf;

/// Changes of this many keys are settled together at the latest.
const MAX_KEYS: usize = 1 << 16;

/// Changes of numbers of values, by encoded key.
#[derive(Clone, Default)]
pub(crate) struct ValueCounts {
    changes: HashMap<Box<[u8]>, i64>,
    /// The key that has changed last, which is not in the map: consecutive changes often have the same key.
    last: Option<(KeyBuf, i64)>,
}

impl ValueCounts {
    /// Adds a change of the number of an encoded key's values.
    #[inline]
    pub(super) fn add(&mut self, key: &[u8], change: i64) {
        match &mut self.last {
            Some((last, sum)) if **last == *key => *sum += change,
            _ => self.add_of_another(key, change),
        }
    }

    fn add_of_another(&mut self, key: &[u8], change: i64) {
        if let Some((last, sum)) = self.last.replace((KeyBuf::from(key), change)) {
            match self.changes.get_mut(&*last) {
                Some(change) => *change += sum,
                None => drop(self.changes.insert(last.to_vec().into_boxed_slice(), sum)),
            }
        }
    }

    /// What has been added up for an encoded key.
    pub(super) fn change_of(&self, key: &[u8]) -> i64 {
        let last = self.last.as_ref().filter(|(last, _)| **last == *key).map_or(0, |(_, sum)| *sum);
        last + self.changes.get(key).copied().unwrap_or(0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last.is_none() && self.changes.is_empty()
    }

    /// Whether they are to be settled before more are added.
    pub(super) fn is_full(&self) -> bool {
        self.changes.len() >= MAX_KEYS
    }

    /// Takes all changes that are not 0, in the order of their keys.
    pub(super) fn take(&mut self) -> Vec<(Box<[u8]>, i64)> {
        self.add_of_another(&[], 0);
        self.last = None;
        let mut changes: Vec<_> = self.changes.drain().filter(|(_, change)| *change != 0).collect();
        changes.sort_unstable();
        changes
    }
}
