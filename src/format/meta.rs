//! The meta page: the description of a commit, in one of two slots (pages 0 and 1).
//!
//! Invariants:
//! - A meta is valid only if its CRC *and* the digest of the pages that it lists are right: nothing is assumed about
//!   the order in which parts of a slot, or pages, reach the disk (I3, I4).
//! - The slot that holds the last durable meta is never written.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic: `mapleaf` and a zero byte |
//! | 8 | 4 | CRC-32 of bytes 12 up to the meta's length |
//! | 12 | 4 | length of the meta, in bytes |
//! | 16 | 4 | format version |
//! | 20 | 4 | page size, in bytes |
//! | 24 | 16 | identity of the file: random, made at its creation |
//! | 40 | 8 | transaction id |
//! | 48 | 4 | length of the file, in pages |
//! | 52 | 4 | catalog: root page |
//! | 56 | 8 | catalog: entries |
//! | 64 | 1 | catalog: depth |
//! | 65 | 3 | zero |
//! | 68 | 4 | free log: its newest page, 0 if there is none |
//! | 72 | 4 | length of the free log's tail, in bytes |
//! | 76 | 4 | number of listed extents |
//! | 80 | 4 | digest: CRC-32 of the checksums (4 bytes each) of the listed pages, in ascending order |
//! | 84 | 4 | free pages |
//! | 88 | 4 | retired pages |
//! | 92 | 4 | zero |
//! | 96 | 8 each | listed extents: first page, count; ascending |
//! | | | the free log's tail |
//!
//! It lists the pages that are new since the last durable meta (R6). A meta whose pages became durable by a barrier
//! of their own, before it was stored, lists none.

use crate::base::bytes::{get_u32, get_u64, put_u32, put_u64};
use crate::base::checksum::checksum;
use crate::base::mutation::{Mutation, is_mutated};
use crate::base::{Extent, PageNumber, TransactionId};
use crate::error::{Error, Result, corrupt};
use crate::format::page::{MAX_PAGE_SIZE, MIN_PAGE_SIZE, is_page_size};
use crate::format::tree_root::TreeRoot;

pub(crate) const MAGIC: &[u8; 8] = b"mapleaf\0";
const FIXED_LEN: usize = 96;
const RUN_LEN: usize = 8;

/// The format that this library writes, and the newest that it reads.
pub(crate) const FORMAT_VERSION: u32 = 2;

/// The pages at the beginning of the file that hold the two slots.
pub(crate) const META_PAGES: u32 = 2;

/// The longest tail of the free log that a meta holds; a longer one moves to pages of its own. This leaves room for a
/// list of at least 64 extents in the smallest page.
pub(crate) const TAIL_LIMIT: usize = MIN_PAGE_SIZE - FIXED_LEN - 64 * RUN_LEN;

/// The identity of a file: random, made at its creation.
pub(crate) type Identity = [u8; 16];

/// The contents of a meta page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Meta {
    pub(crate) page_size: usize,
    pub(crate) identity: Identity,
    pub(crate) id: TransactionId,
    pub(crate) length_pages: u32,
    /// These two are for statistics only.
    pub(crate) free_pages: u32,
    pub(crate) retired_pages: u32,
    pub(crate) catalog: TreeRoot,
    /// The newest page of the free log; 0 if all of it is in the tail.
    pub(crate) log_page: PageNumber,
    pub(crate) log_tail: Vec<u8>,
    pub(crate) listed: Vec<Extent>,
    pub(crate) digest: u32,
}

/// How many extents a meta can list besides a tail of `tail_len` bytes.
pub(crate) fn list_capacity(page_size: usize, tail_len: usize) -> usize {
    (page_size - FIXED_LEN - tail_len) / RUN_LEN
}

/// Where slot 0 or 1 lies in the file.
pub(crate) fn slot_offset(slot: usize, page_size: usize) -> u64 {
    (slot * page_size) as u64
}

/// The digest of pages whose checksums are `checksums`, in ascending order of the pages.
pub(crate) fn digest(checksums: impl IntoIterator<Item = u32>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for sum in checksums {
        hasher.update(&sum.to_le_bytes());
    }
    hasher.finalize()
}

impl Meta {
    /// The meta as it is stored. It fits a page if the list and the tail obey [`list_capacity`] and
    /// [`TAIL_LIMIT`].
    pub(crate) fn encode(&self) -> Vec<u8> {
        let length = FIXED_LEN + self.listed.len() * RUN_LEN + self.log_tail.len();
        assert!(length <= self.page_size, "a record of {length} bytes does not fit its page");
        let mut bytes = vec![0u8; length];
        bytes[..8].copy_from_slice(MAGIC);
        put_u32(&mut bytes, 12, length as u32);
        put_u32(&mut bytes, 16, FORMAT_VERSION);
        put_u32(&mut bytes, 20, self.page_size as u32);
        bytes[24..40].copy_from_slice(&self.identity);
        put_u64(&mut bytes, 40, self.id.0);
        put_u32(&mut bytes, 48, self.length_pages);
        put_u32(&mut bytes, 52, self.catalog.page.0);
        put_u64(&mut bytes, 56, self.catalog.entries);
        bytes[64] = self.catalog.depth;
        put_u32(&mut bytes, 68, self.log_page.0);
        put_u32(&mut bytes, 72, self.log_tail.len() as u32);
        put_u32(&mut bytes, 76, self.listed.len() as u32);
        put_u32(&mut bytes, 80, self.digest);
        put_u32(&mut bytes, 84, self.free_pages);
        put_u32(&mut bytes, 88, self.retired_pages);
        let mut at = FIXED_LEN;
        for run in &self.listed {
            put_u32(&mut bytes, at, run.first.0);
            put_u32(&mut bytes, at + 4, run.count);
            at += RUN_LEN;
        }
        bytes[at..].copy_from_slice(&self.log_tail);
        let sum = checksum(&bytes[12..]);
        put_u32(&mut bytes, 8, sum);
        bytes
    }

    /// The checksum in a meta from [`Meta::encode`].
    pub(crate) fn checksum_of(encoded: &[u8]) -> u32 {
        get_u32(encoded, 8)
    }

    /// The checksum of the meta in `slot`, over the length it declares; `None` if that length is impossible. `slot`
    /// holds at least the fixed part.
    pub(crate) fn checksum_in(slot: &[u8]) -> Option<u32> {
        slot.get(12..get_u32(slot, 12) as usize).map(checksum)
    }

    /// Reads the meta in `slot`: the bytes of a meta page, or as many of them as the file or the meta has.
    pub(crate) fn decode(slot: &[u8], slot_number: u32) -> Result<Meta> {
        let wrong = |what, expected: String, found: String| corrupt(Some(slot_number), what, expected, found);
        if slot.len() < FIXED_LEN || &slot[..8] != MAGIC {
            return Err(wrong("record magic", "mapleaf".into(), "other bytes".into()));
        }
        let length = get_u32(slot, 12) as usize;
        if length < FIXED_LEN || length > slot.len() {
            return Err(wrong("record length", format!("{FIXED_LEN} to {}", slot.len()), length.to_string()));
        }
        let found = checksum(&slot[12..length]);
        if found != get_u32(slot, 8) && !is_mutated(Mutation::RecordChecksumNotCompared) {
            return Err(wrong(
                "record checksum",
                format!("{:08x}", get_u32(slot, 8)),
                format!("{found:08x}"),
            ));
        }
        // The checksum is right, but a hostile writer can have written any content.
        let version = get_u32(slot, 16);
        if version > FORMAT_VERSION {
            return Err(Error::NewerFormat { found: version, supported: FORMAT_VERSION });
        }
        let page_size = get_u32(slot, 20) as usize;
        if version == 0 || !is_page_size(page_size) || length > page_size {
            return Err(wrong(
                "record version and page size",
                "known ones".into(),
                format!("{version}, {page_size}"),
            ));
        }
        let (run_count, tail_len) = (get_u32(slot, 76) as usize, get_u32(slot, 72) as usize);
        if run_count.checked_mul(RUN_LEN).and_then(|n| n.checked_add(FIXED_LEN + tail_len)) != Some(length) {
            return Err(wrong(
                "record parts",
                format!("{length} bytes"),
                format!("{run_count} runs, tail {tail_len}"),
            ));
        }
        if tail_len > TAIL_LIMIT {
            return Err(wrong(
                "tail of the free log",
                format!("at most {TAIL_LIMIT} bytes"),
                tail_len.to_string(),
            ));
        }
        let record = Meta {
            page_size,
            identity: slot[24..40].try_into().expect("16 bytes"),
            id: TransactionId(get_u64(slot, 40)),
            length_pages: get_u32(slot, 48),
            free_pages: get_u32(slot, 84),
            retired_pages: get_u32(slot, 88),
            catalog: TreeRoot {
                page: PageNumber(get_u32(slot, 52)),
                entries: get_u64(slot, 56),
                depth: slot[64],
            },
            log_page: PageNumber(get_u32(slot, 68)),
            log_tail: slot[length - tail_len..length].to_vec(),
            listed: (0..run_count)
                .map(|i| FIXED_LEN + i * RUN_LEN)
                .map(|at| Extent::new(get_u32(slot, at), get_u32(slot, at + 4)))
                .collect(),
            digest: get_u32(slot, 80),
        };
        record.check_numbers(slot_number)?;
        Ok(record)
    }

    /// Checks that every page the meta names lies in the file, after the two slots.
    fn check_numbers(&self, slot_number: u32) -> Result<()> {
        let wrong = |what, found: u32| {
            corrupt(
                Some(slot_number),
                what,
                format_args!("within {META_PAGES}..{}", self.length_pages),
                found,
            )
        };
        if self.length_pages < META_PAGES || self.length_pages > PageNumber::LIMIT {
            return Err(wrong("file length in pages", self.length_pages));
        }
        let within = |page: PageNumber| (META_PAGES..self.length_pages).contains(&page.0);
        if self.catalog.depth > 0 && !within(self.catalog.page) {
            return Err(wrong("catalog root", self.catalog.page.0));
        }
        if self.log_page.0 != 0 && !within(self.log_page) {
            return Err(wrong("free log page", self.log_page.0));
        }
        if self.id.0 == 0 || self.id.0 > TransactionId::MAX.0 {
            return Err(corrupt(Some(slot_number), "transaction id", "a positive number", self.id));
        }
        let mut end = META_PAGES;
        for run in &self.listed {
            let run_end = run.first.0.checked_add(run.count);
            if run.count == 0 || run.first.0 < end || run_end.is_none_or(|e| e > self.length_pages) {
                return Err(wrong("listed run", run.first.0));
            }
            end = run.end();
        }
        Ok(())
    }
}

/// The length in bytes that a meta with these first bytes declares; `None` if they are not the beginning of a meta.
pub(crate) fn declared_length(bytes: &[u8]) -> Option<usize> {
    let is_record = bytes.len() >= FIXED_LEN && bytes.starts_with(MAGIC);
    is_record.then(|| get_u32(bytes, 12) as usize)
}

/// The page sizes to try when looking for slot 1 of a file whose slot 0 is unreadable.
pub(crate) fn candidate_page_sizes() -> impl Iterator<Item = usize> {
    std::iter::successors(Some(MIN_PAGE_SIZE), |size| Some(size * 2))
        .take_while(|&size| size <= MAX_PAGE_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Meta {
        Meta {
            page_size: 4096,
            identity: *b"0123456789abcdef",
            id: TransactionId(77),
            length_pages: 1000,
            free_pages: 10,
            retired_pages: 20,
            catalog: TreeRoot { page: PageNumber(12), depth: 1, entries: 3 },
            log_page: PageNumber(9),
            log_tail: vec![5; 100],
            listed: vec![Extent::new(2, 3), Extent::new(12, 1)],
            digest: 0x1234,
        }
    }

    #[test]
    fn round_trip_also_at_the_limits() {
        for (runs, tail) in [(0, 0), (2, 100), (64, TAIL_LIMIT), (list_capacity(4096, 0), 0)] {
            let record = Meta {
                listed: (0..runs as u32).map(|i| Extent::new(2 + i * 2, 1)).collect(),
                length_pages: 100_000,
                log_tail: vec![1; tail],
                ..sample()
            };
            let bytes = record.encode();
            assert!(bytes.len() <= 4096);
            assert_eq!(Meta::decode(&bytes, 0).unwrap(), record);
        }
    }

    #[test]
    fn torn_or_half_written_record_is_refused() {
        let bytes = sample().encode();
        for cut in 0..bytes.len() {
            assert!(Meta::decode(&bytes[..cut], 0).is_err(), "cut at {cut}");
            let mut torn = bytes.clone();
            torn[cut..].fill(0);
            assert!(torn == bytes || Meta::decode(&torn, 0).is_err(), "zeros from {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Meta::decode(&flipped, 0).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn newer_format_is_named() {
        let mut bytes = sample().encode();
        put_u32(&mut bytes, 16, FORMAT_VERSION + 1);
        let sum = checksum(&bytes[12..]);
        put_u32(&mut bytes, 8, sum);
        assert!(matches!(Meta::decode(&bytes, 0), Err(Error::NewerFormat { found: 3, supported: 2 })));
    }

    #[test]
    fn forged_record_with_right_checksum_names_no_page_outside() {
        let forged = |change: fn(&mut Meta)| {
            let mut record = sample();
            change(&mut record);
            Meta::decode(&record.encode(), 0)
        };
        assert!(forged(|r| r.catalog.page = PageNumber(1000)).is_err());
        assert!(forged(|r| r.catalog.page = PageNumber(1)).is_err());
        assert!(forged(|r| r.log_page = PageNumber(u32::MAX)).is_err());
        assert!(forged(|r| r.listed[1] = Extent::new(999, 2)).is_err());
        assert!(forged(|r| r.listed[1] = Extent::new(4, 1)).is_err());
        assert!(forged(|r| r.listed[1] = Extent::new(900, u32::MAX)).is_err());
        assert!(forged(|r| r.length_pages = 1).is_err());
        assert!(forged(|r| r.id = TransactionId(u64::MAX)).is_err());
        let long_tail = |r: &mut Meta| (r.page_size, r.log_tail) = (65536, vec![0; TAIL_LIMIT + 1]);
        assert!(forged(long_tail).is_err());
    }
}
