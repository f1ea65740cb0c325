//! Bounds of ranges of keys, compared.

use std::cmp::Ordering;
use std::ops::{Bound, Deref};

/// Returns the one of two lower bounds that excludes more.
pub(crate) fn later_start<B: Deref<Target = [u8]>>(a: Bound<B>, b: Bound<B>) -> Bound<B> {
    stricter(a, b, Ordering::Greater)
}

/// Returns the one of two upper bounds that excludes more.
pub(crate) fn earlier_end<B: Deref<Target = [u8]>>(a: Bound<B>, b: Bound<B>) -> Bound<B> {
    stricter(a, b, Ordering::Less)
}

/// Returns the one of two bounds that excludes more. Of two keys it is the one that compares with the other as
/// `order` says.
fn stricter<B: Deref<Target = [u8]>>(a: Bound<B>, b: Bound<B>, order: Ordering) -> Bound<B> {
    let is_first = match (key_of(&a), key_of(&b)) {
        (None, _) => false,
        (_, None) => true,
        (Some(key), Some(other)) if key == other => is_excluded(&a),
        (Some(key), Some(other)) => key.cmp(other) == order,
    };
    if is_first { a } else { b }
}

fn key_of<B: Deref<Target = [u8]>>(bound: &Bound<B>) -> Option<&[u8]> {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => Some(key),
        Bound::Unbounded => None,
    }
}

fn is_excluded<B>(bound: &Bound<B>) -> bool {
    matches!(bound, Bound::Excluded(_))
}

#[cfg(test)]
mod tests {
    use std::ops::Bound::{Excluded, Included, Unbounded};

    use super::*;

    #[test]
    fn the_bound_that_excludes_more() {
        let (a, b) = (&b"a"[..], &b"b"[..]);
        assert_eq!(later_start(Included(a), Included(b)), Included(b));
        assert_eq!(later_start(Excluded(a), Included(a)), Excluded(a));
        assert_eq!(later_start(Included(a), Excluded(a)), Excluded(a));
        assert_eq!(later_start(Unbounded, Included(a)), Included(a));
        assert_eq!(later_start(Included(a), Unbounded), Included(a));
        assert_eq!(earlier_end(Included(b), Included(a)), Included(a));
        assert_eq!(earlier_end(Included(b), Excluded(b)), Excluded(b));
        assert_eq!(earlier_end(Unbounded, Excluded(b)), Excluded(b));
        assert_eq!(earlier_end::<&[u8]>(Unbounded, Unbounded), Unbounded);
    }
}
