//! Which database a copy was made of, and as of which transaction: what tells onto what an increment may be restored.
//!
//! A copy is another database, and has an identity of its own: half of it by chance, so that no two copies are taken
//! for each other, and half of it a mark, which is computed from the identity of the database that it was made of and
//! from the transaction. Who has both computes the mark anew, and compares. (Other identities are by chance as a whole:
//! one in 2^64 has a given mark.)
//!
//! Only a copy of a durable transaction is marked. Loss of power can undo others, and their ids are given again.

use crate::base::TransactionId;
use crate::error::{Error, Result};
use crate::format::meta::Identity;
use crate::sys;

const MARK_AT: usize = 8;

/// An identity of a database that is nobody's copy.
pub(super) fn new_identity() -> Result<Identity> {
    sys::random_bytes().map_err(|source| Error::Io {
        action: "get random bytes from",
        path: "the system".into(),
        source,
    })
}

/// The identity of a copy of `origin` as of transaction `id`.
pub(super) fn identity_of_copy(origin: &Identity, id: TransactionId) -> Result<Identity> {
    let mut identity = new_identity()?;
    identity[MARK_AT..].copy_from_slice(&mark(origin, id));
    Ok(identity)
}

/// Whether a database with this identity, at transaction `id`, has the pages of `origin` at that transaction: it is
/// `origin` itself, or a copy.
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
