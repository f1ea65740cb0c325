//! The increment: what has changed from one transaction to another, as a stream of bytes.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic: `mapleafi` |
//! | 8 | 4 | version of this layout: 2; 1 if no page can be of a later format version than 1 |
//! | 12 | 4 | page size, in bytes |
//! | 16 | 16 | identity of the database from which it was made |
//! | 32 | 8 | first transaction: that of the copy to which it is applied |
//! | 40 | 8 | last transaction |
//! | 48 | 4 | length of the file, in pages: no page of the increment lies after it |
//! | 52 | 4 | catalog: root page |
//! | 56 | 8 | catalog: entries |
//! | 64 | 1 | catalog: depth |
//! | 65 | 1 | flags: 1 if another increment may follow |
//! | 66 | 2 | zero |
//! | 68 | 4 | number of pages kept |
//! | 72 | 4 | number of runs |
//! | 76 | 4 | CRC-32 of the bytes before |
//! | 80 | 8 each | pages kept: number (4), checksum (4) |
//! | | | runs: first page (4), number of pages (4), the pages |
//! | | 4 | CRC-32 of all from offset 80 to here |
//!
//! *Runs* are the pages that were born after the first transaction and are in use in the last one. *Kept* pages are
//! not younger than the first transaction, and pages of the runs refer to them.
//!
//! Invariant (I5): a header that [`IncrementHeader::decode`] returns has a correct checksum, a known version and page
//! size, transactions in order, and a length and a root within limits.

use crate::base::bytes::{get_u32, get_u64, put_u32, put_u64};
use crate::base::checksum::checksum;
use crate::base::{PageNumber, TransactionId};
use crate::error::{Error, Result};
use crate::format::meta::{Identity, META_PAGES};
use crate::format::page::is_page_size;
use crate::format::tree_root::TreeRoot;

pub(crate) const MAGIC: &[u8; 8] = b"mapleafi";
pub(crate) const HEADER_LEN: usize = 80;
/// Two numbers: of a kept page, or at the beginning of a run.
pub(crate) const PAIR_LEN: usize = 8;
const VERSION: u32 = 2;
/// The same layout, with pages of the first format version.
const FIRST_VERSION: u32 = 1;
const FLAG_MAY_BE_FOLLOWED: u8 = 1;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct IncrementHeader {
    pub(crate) page_size: usize,
    pub(crate) origin: Identity,
    pub(crate) since: TransactionId,
    pub(crate) id: TransactionId,
    pub(crate) length_pages: u32,
    pub(crate) catalog: TreeRoot,
    pub(crate) may_be_followed: bool,
    pub(crate) kept_count: u32,
    pub(crate) run_count: u32,
}

#[cold]
fn bad(problem: impl Into<String>) -> Error {
    Error::BadIncrement { problem: problem.into() }
}

/// Two numbers, as they are stored.
pub(crate) fn encode_pair(first: u32, second: u32) -> [u8; PAIR_LEN] {
    let mut bytes = [0; PAIR_LEN];
    put_u32(&mut bytes, 0, first);
    put_u32(&mut bytes, 4, second);
    bytes
}

impl IncrementHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(MAGIC);
        put_u32(&mut bytes, 8, VERSION);
        put_u32(&mut bytes, 12, self.page_size as u32);
        bytes[16..32].copy_from_slice(&self.origin);
        put_u64(&mut bytes, 32, self.since.0);
        put_u64(&mut bytes, 40, self.id.0);
        put_u32(&mut bytes, 48, self.length_pages);
        put_u32(&mut bytes, 52, self.catalog.page.0);
        put_u64(&mut bytes, 56, self.catalog.entries);
        bytes[64] = self.catalog.depth;
        bytes[65] = if self.may_be_followed { FLAG_MAY_BE_FOLLOWED } else { 0 };
        put_u32(&mut bytes, 68, self.kept_count);
        put_u32(&mut bytes, 72, self.run_count);
        let sum = checksum(&bytes[..HEADER_LEN - 4]);
        put_u32(&mut bytes, HEADER_LEN - 4, sum);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_LEN]) -> Result<IncrementHeader> {
        if &bytes[..8] != MAGIC {
            return Err(bad("it is no increment: it does not begin as one"));
        }
        if checksum(&bytes[..HEADER_LEN - 4]) != get_u32(bytes, HEADER_LEN - 4) {
            return Err(bad("the checksum of its header is wrong"));
        }
        let version = get_u32(bytes, 8);
        if !(FIRST_VERSION..=VERSION).contains(&version) {
            return Err(bad(format!("it has version {version}, this library reads up to {VERSION}")));
        }
        let header = IncrementHeader {
            page_size: get_u32(bytes, 12) as usize,
            origin: bytes[16..32].try_into().expect("16 bytes"),
            since: TransactionId(get_u64(bytes, 32)),
            id: TransactionId(get_u64(bytes, 40)),
            length_pages: get_u32(bytes, 48),
            catalog: TreeRoot {
                page: PageNumber(get_u32(bytes, 52)),
                entries: get_u64(bytes, 56),
                depth: bytes[64],
            },
            may_be_followed: bytes[65] & FLAG_MAY_BE_FOLLOWED != 0,
            kept_count: get_u32(bytes, 68),
            run_count: get_u32(bytes, 72),
        };
        let are_lengths_right = is_page_size(header.page_size)
            && (META_PAGES..=PageNumber::LIMIT).contains(&header.length_pages)
            && (header.catalog.depth == 0
                || (META_PAGES..header.length_pages).contains(&header.catalog.page.0));
        let are_ids_right =
            header.since.0 > 0 && header.since <= header.id && header.id <= TransactionId::MAX;
        if !are_lengths_right || !are_ids_right {
            return Err(bad("its header has numbers that cannot be"));
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> IncrementHeader {
        IncrementHeader {
            page_size: 4096,
            origin: *b"0123456789abcdef",
            since: TransactionId(7),
            id: TransactionId(9),
            length_pages: 100,
            catalog: TreeRoot { page: PageNumber(12), depth: 1, entries: 3 },
            may_be_followed: true,
            kept_count: 5,
            run_count: 6,
        }
    }

    #[test]
    fn header_round_trip_and_every_flipped_bit() {
        let bytes = sample().encode();
        assert_eq!(IncrementHeader::decode(&bytes).unwrap(), sample());
        for bit in 0..HEADER_LEN * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(IncrementHeader::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn forged_header_is_refused() {
        let forged: [fn(&mut IncrementHeader); 6] = [
            |header| header.page_size = 5000,
            |header| header.length_pages = 1,
            |header| header.length_pages = u32::MAX,
            |header| header.catalog.page = PageNumber(100),
            |header| header.since = TransactionId(10),
            |header| header.id = TransactionId(u64::MAX),
        ];
        for change in forged {
            let mut header = sample();
            change(&mut header);
            assert!(matches!(IncrementHeader::decode(&header.encode()), Err(Error::BadIncrement { .. })));
        }
    }
}
