//! The options that choose a range of keys.

use std::ops::Bound;

use clap::Args;

use crate::notation::Notation;
use crate::outcome::Failure;

/// Which entries.
#[derive(Args)]
pub(crate) struct RangeArgs {
    /// Only keys from this one on; of tuples, also the first elements.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    from: Option<String>,
    /// Only keys before this one; of tuples, also the first elements.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    to: Option<String>,
    /// Only keys that begin with this; of tuples, the first elements as a JSON array.
    #[arg(long, value_name = "KEY")]
    prefix: Option<String>,
}

/// A range of stored keys.
type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

impl RangeArgs {
    pub(crate) fn is_all(&self) -> bool {
        self.from.is_none() && self.to.is_none() && self.prefix.is_none()
    }

    /// Returns the bounds of the keys for which all given options hold.
    pub(crate) fn bounds(&self, notation: &Notation) -> Result<Bounds, Failure> {
        let bound = |word: &Option<String>| word.as_ref().map(|word| notation.read_bound(word)).transpose();
        let (from, to) = (bound(&self.from)?, bound(&self.to)?);
        let prefix = self.prefix.as_ref().map(|word| notation.read_prefix(word)).transpose()?;
        let end = prefix.clone().and_then(end_of_prefix);
        let first = from.into_iter().chain(prefix).max();
        let last = to.into_iter().chain(end).min();
        Ok((first.map_or(Bound::Unbounded, Bound::Included), last.map_or(Bound::Unbounded, Bound::Excluded)))
    }
}

/// The smallest key after all that begin with `prefix`, if there can be one.
fn end_of_prefix(mut prefix: Vec<u8>) -> Option<Vec<u8>> {
    while let Some(last) = prefix.pop() {
        if last < 0xff {
            prefix.push(last + 1);
            return Some(prefix);
        }
    }
    None
}
