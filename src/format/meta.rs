//! The meta page: the description of a checkpoint, in one of two slots (pages 0 and 1).
//!
//! Invariants:
//! - A meta is stored when all pages of its snapshot are durable, and counts if its CRC is right: nothing is assumed
//!   about the order in which parts of a slot reach the disk (L8).
//! - The slot that holds the last durable meta is never written.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic: `mapleaf` and a zero byte |
//! | 8 | 4 | CRC-32 of bytes 12 up to the meta's length |
//! | 12 | 4 | length of the meta, in bytes: 128 and the free log's tail |
//! | 16 | 4 | format version: 3; 4 if the free log has names of snapshots |
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
//! | 76 | 4 | free pages |
//! | 80 | 4 | retired pages |
//! | 84 | 4 | redo log: checksum of the record that ends at the log start, 0 if there was none |
//! | 88 | 8 | redo log: log start |
//! | 96 | 8 | ring: position in the log of its first byte |
//! | 104 | 4 | ring: first page; 0 without a ring |
//! | 108 | 4 | ring: pages |
//! | 112 | 4 | redo log: block, in bytes |
//! | 116 | 12 | zero |
//! | 128 | | the free log's tail |
//!
//! Metas of formats 1 and 2 are read as well: their recovery ([`crate::txn::recover`]) needs the pages that they list,
//! which need not have been durable when the meta was stored.
//!
//! | offset | bytes | field of formats 1 and 2, where it differs |
//! |---|---|---|
//! | 76 | 4 | number of listed extents |
//! | 80 | 4 | digest: CRC-32 of the checksums (4 bytes each) of the listed pages, in ascending order |
//! | 84 | 4 | free pages |
//! | 88 | 4 | retired pages |
//! | 92 | 4 | zero |
//! | 96 | 8 each | listed extents: first page, count; ascending |
//! | | | the free log's tail |

use crate::base::bytes::{get_u32, get_u64, put_u32, put_u64};
use crate::base::checksum::checksum;
use crate::base::mutation::{Mutation, is_mutated};
use crate::base::{Extent, Lsn, PageNumber, TransactionId};
use crate::error::{Error, Result, corrupt};
use crate::format::page::{MAX_PAGE_SIZE, MIN_PAGE_SIZE, is_page_size};
use crate::format::ring::Ring;
use crate::format::tree_root::TreeRoot;

pub(crate) const MAGIC: &[u8; 8] = b"mapleaf\0";
const FIXED_LEN: usize = 128;
/// The same in formats 1 and 2.
const OLD_FIXED_LEN: usize = 96;
const RUN_LEN: usize = 8;

/// The format that this library writes.
pub(crate) const FORMAT_VERSION: u32 = 3;
/// The same while the free log has names of snapshots: an older library would use their pages again. It is the newest
/// format that this library reads.
pub(crate) const FORMAT_VERSION_WITH_NAMES: u32 = 4;
/// The last format without a redo log.
const OLD_FORMAT_VERSION: u32 = 2;

/// The smallest block of the redo log, in bytes.
pub(crate) const MIN_BLOCK: u32 = 4096;

/// The pages at the beginning of the file that hold the two slots.
pub(crate) const META_PAGES: u32 = 2;

/// The longest tail of the free log that a meta holds; a longer one moves to pages of its own.
pub(crate) const TAIL_LIMIT: usize = 3488;
const _: () = assert!(FIXED_LEN + TAIL_LIMIT <= MIN_PAGE_SIZE);

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
    pub(crate) redo: RedoStart,
    /// Pages that need not be durable, with a digest of their checksums: in formats 1 and 2 only.
    pub(crate) listed: Vec<Extent>,
    pub(crate) digest: u32,
    pub(crate) version: u32,
}

/// Where replay begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct RedoStart {
    /// `None` if the file has no ring.
    pub(crate) ring: Option<Ring>,
    pub(crate) log_start: Lsn,
    /// The checksum of the record that ends at the log start.
    pub(crate) chain: u32,
    /// What a write that is cut short may take away as a whole, in bytes.
    pub(crate) block: u32,
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
    /// The meta as it is stored. It fits a page if the tail obeys [`TAIL_LIMIT`].
    pub(crate) fn encode(&self) -> Vec<u8> {
        let length = FIXED_LEN + self.log_tail.len();
        assert!(length <= self.page_size, "a meta of {length} bytes does not fit its page");
        let mut bytes = vec![0u8; length];
        bytes[..8].copy_from_slice(MAGIC);
        put_u32(&mut bytes, 12, length as u32);
        put_u32(&mut bytes, 16, self.version.max(FORMAT_VERSION));
        put_u32(&mut bytes, 20, self.page_size as u32);
        bytes[24..40].copy_from_slice(&self.identity);
        put_u64(&mut bytes, 40, self.id.0);
        put_u32(&mut bytes, 48, self.length_pages);
        put_u32(&mut bytes, 52, self.catalog.page.0);
        put_u64(&mut bytes, 56, self.catalog.entries);
        bytes[64] = self.catalog.depth;
        put_u32(&mut bytes, 68, self.log_page.0);
        put_u32(&mut bytes, 72, self.log_tail.len() as u32);
        put_u32(&mut bytes, 76, self.free_pages);
        put_u32(&mut bytes, 80, self.retired_pages);
        put_u32(&mut bytes, 84, self.redo.chain);
        put_u64(&mut bytes, 88, self.redo.log_start.0);
        if let Some(ring) = self.redo.ring {
            put_u64(&mut bytes, 96, ring.base.0);
            put_u32(&mut bytes, 104, ring.first.0);
            put_u32(&mut bytes, 108, ring.pages);
        }
        put_u32(&mut bytes, 112, self.redo.block);
        bytes[FIXED_LEN..].copy_from_slice(&self.log_tail);
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
        if slot.len() < OLD_FIXED_LEN || &slot[..8] != MAGIC {
            return Err(wrong("meta magic", "mapleaf".into(), "other bytes".into()));
        }
        let length = get_u32(slot, 12) as usize;
        if length < OLD_FIXED_LEN || length > slot.len() {
            let expected = format!("{OLD_FIXED_LEN} to {}", slot.len());
            return Err(wrong("meta length", expected, length.to_string()));
        }
        let found = checksum(&slot[12..length]);
        if found != get_u32(slot, 8) && !is_mutated(Mutation::MetaChecksumNotCompared) {
            return Err(wrong("meta checksum", format!("{:08x}", get_u32(slot, 8)), format!("{found:08x}")));
        }
        // The checksum is right, but a hostile writer can have written any content.
        let version = get_u32(slot, 16);
        if version > FORMAT_VERSION_WITH_NAMES {
            return Err(Error::NewerFormat { found: version, supported: FORMAT_VERSION_WITH_NAMES });
        }
        let page_size = get_u32(slot, 20) as usize;
        if version == 0 || !is_page_size(page_size) || length > page_size {
            let found = format!("{version}, {page_size}");
            return Err(wrong("meta version and page size", "known ones".into(), found));
        }
        let is_old = version <= OLD_FORMAT_VERSION;
        let run_count = if is_old { get_u32(slot, 76) as usize } else { 0 };
        let (fixed_len, tail_len) =
            (if is_old { OLD_FIXED_LEN } else { FIXED_LEN }, get_u32(slot, 72) as usize);
        if run_count.checked_mul(RUN_LEN).and_then(|n| n.checked_add(fixed_len + tail_len)) != Some(length) {
            let found = format!("{run_count} extents, tail {tail_len}");
            return Err(wrong("parts of the meta", format!("{length} bytes"), found));
        }
        if tail_len > TAIL_LIMIT {
            let expected = format!("at most {TAIL_LIMIT} bytes");
            return Err(wrong("tail of the free log", expected, tail_len.to_string()));
        }
        let (unused_at, redo) = match is_old {
            true => (84, RedoStart { block: MIN_BLOCK, ..RedoStart::default() }),
            false => (76, decode_redo(slot)),
        };
        let meta = Meta {
            page_size,
            identity: slot[24..40].try_into().expect("16 bytes"),
            id: TransactionId(get_u64(slot, 40)),
            length_pages: get_u32(slot, 48),
            free_pages: get_u32(slot, unused_at),
            retired_pages: get_u32(slot, unused_at + 4),
            catalog: TreeRoot {
                page: PageNumber(get_u32(slot, 52)),
                entries: get_u64(slot, 56),
                depth: slot[64],
            },
            log_page: PageNumber(get_u32(slot, 68)),
            log_tail: slot[length - tail_len..length].to_vec(),
            redo,
            listed: (0..run_count)
                .map(|i| OLD_FIXED_LEN + i * RUN_LEN)
                .map(|at| Extent::new(get_u32(slot, at), get_u32(slot, at + 4)))
                .collect(),
            digest: if is_old { get_u32(slot, 80) } else { 0 },
            version,
        };
        meta.check_numbers(slot_number)?;
        meta.check_redo(slot_number)?;
        Ok(meta)
    }

    /// Checks the numbers that replay starts from.
    fn check_redo(&self, slot_number: u32) -> Result<()> {
        let RedoStart { ring, log_start, block, .. } = self.redo;
        let wrong = |what, expected: &str, found: &dyn std::fmt::Debug| {
            corrupt(Some(slot_number), what, expected, format_args!("{found:?}"))
        };
        if !(block.is_power_of_two() && (MIN_BLOCK..=MAX_PAGE_SIZE as u32).contains(&block)) {
            return Err(wrong("block of the redo log", "a power of two from 4096 to 65536", &block));
        }
        if !log_start.0.is_multiple_of(8) || log_start > Lsn::LIMIT {
            return Err(wrong("log start", "a multiple of 8 below 2^62", &log_start));
        }
        let Some(ring) = ring else { return Ok(()) };
        let end = ring.first.0.checked_add(ring.pages);
        let is_inside = ring.first.0 >= META_PAGES && end.is_some_and(|end| end <= self.length_pages);
        // Only an extent inside the file has an end in 32 bits.
        let has_other = |page: PageNumber| is_inside && ring.extent().contains(page);
        let is_other = self.catalog.depth > 0 && has_other(self.catalog.page)
            || self.log_page.0 != 0 && has_other(self.log_page);
        let is_whole = ring.has_whole_blocks(self.page_size, u64::from(block));
        if !is_inside || is_other || !is_whole || ring.pages > 1 << 31 {
            return Err(wrong("ring of the redo log", "an extent of its own, of whole blocks", &ring));
        }
        if !ring.base.0.is_multiple_of(u64::from(block)) || ring.base > log_start {
            return Err(wrong("base of the ring", "a multiple of the block up to the log start", &ring.base));
        }
        Ok(())
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

fn decode_redo(slot: &[u8]) -> RedoStart {
    let first = PageNumber(get_u32(slot, 104));
    let ring = Ring { first, pages: get_u32(slot, 108), base: Lsn(get_u64(slot, 96)) };
    RedoStart {
        ring: Some(ring).filter(|ring| ring.first.0 != 0),
        log_start: Lsn(get_u64(slot, 88)),
        chain: get_u32(slot, 84),
        block: get_u32(slot, 112),
    }
}

/// The length in bytes that a meta with these first bytes declares; `None` if they are not the beginning of a meta.
pub(crate) fn declared_length(bytes: &[u8]) -> Option<usize> {
    let is_record = bytes.len() >= OLD_FIXED_LEN && bytes.starts_with(MAGIC);
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
            redo: RedoStart {
                ring: Some(Ring { first: PageNumber(100), pages: 64, base: Lsn(8192) }),
                log_start: Lsn(9000),
                chain: 0x1234,
                block: 4096,
            },
            listed: Vec::new(),
            digest: 0,
            version: FORMAT_VERSION,
        }
    }

    #[test]
    fn round_trip_also_at_the_limits() {
        for (ring, tail) in [(sample().redo.ring, 0), (None, 100), (sample().redo.ring, TAIL_LIMIT)] {
            let meta = Meta {
                redo: RedoStart { ring, ..sample().redo },
                length_pages: 100_000,
                log_tail: vec![1; tail],
                ..sample()
            };
            let bytes = meta.encode();
            assert!(bytes.len() <= 4096);
            assert_eq!(Meta::decode(&bytes, 0).unwrap(), meta);
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
        put_u32(&mut bytes, 16, FORMAT_VERSION_WITH_NAMES + 1);
        let sum = checksum(&bytes[12..]);
        put_u32(&mut bytes, 8, sum);
        assert!(matches!(Meta::decode(&bytes, 0), Err(Error::NewerFormat { found: 5, supported: 4 })));
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
        let ring = |first, pages, base| Some(Ring { first: PageNumber(first), pages, base: Lsn(base) });
        let forged_ring = |ring| {
            let mut record = sample();
            record.redo.ring = ring;
            Meta::decode(&record.encode(), 0)
        };
        assert!(forged_ring(ring(100, 64, 8192)).is_ok());
        assert!(forged_ring(ring(999, 64, 8192)).is_err());
        assert!(forged_ring(ring(4, 64, 8192)).is_err(), "over the catalog");
        assert!(forged_ring(ring(900, u32::MAX, 8192)).is_err());
        assert!(forged_ring(ring(4, u32::MAX, 8192)).is_err(), "no end in 32 bits");
        assert!(forged_ring(ring(1, 64, 8192)).is_err());
        assert!(forged_ring(ring(100, 3, 8192)).is_err(), "too short");
        assert!(forged_ring(ring(100, 64, 8193)).is_err());
        assert!(forged_ring(ring(100, 64, 12288)).is_err(), "above the log start");
        assert!(forged(|r| r.redo.log_start = Lsn(9001)).is_err());
        assert!(forged(|r| r.redo.log_start = Lsn(u64::MAX - 7)).is_err());
        assert!(forged(|r| r.redo.block = 0).is_err());
        assert!(forged(|r| r.length_pages = 1).is_err());
        assert!(forged(|r| r.id = TransactionId(u64::MAX)).is_err());
        let long_tail = |r: &mut Meta| (r.page_size, r.log_tail) = (65536, vec![0; TAIL_LIMIT + 1]);
        assert!(forged(long_tail).is_err());
    }
}
