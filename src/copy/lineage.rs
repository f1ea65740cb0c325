//! Which database and transaction a copy was made of, which decides whether an increment may be restored onto it.
//!
//! A copy is another database, and has an identity of its own. One half is random, so that no two copies have the
//! same identity. The other half is a mark: a hash of the identity of the original and of the transaction. An
//! increment has both, so the mark can be computed again and compared. (Other identities are random as a whole; one
//! in 2^64 has a given mark.)
//!
//! Only a copy of a checkpointed transaction is marked. A loss of power can undo other transactions, and their ids are
//! then given out again; and when the redo log is replayed, entries of durable ones come into other pages.

use crate::base::TransactionId;
use crate::error::{Error, Result};
use crate::format::meta::Identity;
use crate::sys;

const MARK_AT: usize = 8;

/// Returns a random identity, for a database that is not a copy.
pub(super) fn new_identity() -> Result<Identity> {
    sys::random_bytes().map_err(|source| Error::io("get random bytes from", "the system", source))
}

/// Returns an identity for a copy of `origin` at transaction `id`.
pub(super) fn identity_of_copy(origin: &Identity, id: TransactionId) -> Result<Identity> {
    let mut identity = new_identity()?;
    identity[MARK_AT..].copy_from_slice(&mark(origin, id));
    Ok(identity)
}

/// Returns whether a database with this identity, at transaction `id`, has the pages of `origin` at that transaction:
/// whether it is `origin` itself, or a copy.
pub(super) fn has_pages_of(identity: &Identity, origin: &Identity, id: TransactionId) -> bool {
    identity == origin || identity[MARK_AT..] == mark(origin, id)
}

/// FNV-1a, with the bits mixed at the end.
fn mark(origin: &Identity, id: TransactionId) -> [u8; 8] {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in origin.iter().chain(&id.0.to_le_bytes()) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (hash ^ (hash >> 31)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_known_by_origin_and_transaction() {
        let (origin, other) = ([7; 16], [8; 16]);
        let copy = identity_of_copy(&origin, TransactionId(5)).unwrap();
        assert!(
            has_pages_of(&copy, &origin, TransactionId(5))
                && has_pages_of(&origin, &origin, TransactionId(5))
        );
        assert!(
            !has_pages_of(&copy, &origin, TransactionId(6)) && !has_pages_of(&copy, &other, TransactionId(5))
        );
        assert_ne!(copy, identity_of_copy(&origin, TransactionId(5)).unwrap());
    }
}
