//! The options that choose a range of keys.

use std::ops::Bound;

use clap::Args;

use crate::notation::Notation;
use crate::outcome::Failure;
use crate::types::Role;

/// Which entries.
#[derive(Args)]
pub(crate) struct RangeArgs {
    /// Only keys from this one on.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    from: Option<String>,
    /// Only keys before this one.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    to: Option<String>,
    /// Only keys that begin with this; of tuples, the first elements as a JSON array.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["from", "to"])]
    prefix: Option<String>,
}

/// A range of stored keys.
type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

impl RangeArgs {
    pub(crate) fn is_all(&self) -> bool {
        self.from.is_none() && self.to.is_none() && self.prefix.is_none()
    }

    pub(crate) fn bounds(&self, notation: &Notation) -> Result<Bounds, Failure> {
        if let Some(prefix) = &self.prefix {
            let prefix = notation.read_prefix(prefix)?;
            return Ok((Bound::Included(prefix.clone()), behind_prefix(prefix)));
        }
        let bound = |word: &Option<String>, make: fn(Vec<u8>) -> Bound<Vec<u8>>| match word {
            Some(word) => notation.read(word.as_bytes(), Role::Key).map(make),
            None => Ok(Bound::Unbounded),
        };
        Ok((bound(&self.from, Bound::Included)?, bound(&self.to, Bound::Excluded)?))
    }
}

/// The end of the keys that begin with `prefix`.
fn behind_prefix(mut prefix: Vec<u8>) -> Bound<Vec<u8>> {
    while let Some(last) = prefix.pop() {
        if last < 0xff {
            prefix.push(last + 1);
            return Bound::Excluded(prefix);
        }
    }
    Bound::Unbounded
}
