//! Reading the two metas: whole, whatever their page size, and no more of the file than that takes. Metas of formats 1
//! and 2 too: these are made by hand here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fixture::{Engine, Entries, PAGE, new_image, options};
use super::hooked::Hooked;
use crate::base::bytes::{put_u32, put_u64};
use crate::base::checksum::checksum;
use crate::base::{Extent, PageNumber, TransactionId};
use crate::format::meta::{FORMAT_VERSION, MAGIC, Meta, digest, slot_offset};
use crate::format::page::{self, MAX_PAGE_SIZE};
use crate::sys::{FileStorage, Storage, WriteMode};
use crate::txn::commit::Durability;
use crate::txn::recover::read_slots;

/// The bytes of `meta` in format 1 or 2, with the pages that it lists and their digest.
fn in_old_format(meta: &Meta, version: u32, listed: &[Extent], digest: u32) -> Vec<u8> {
    let mut bytes = vec![0; 96 + 8 * listed.len() + meta.log_tail.len()];
    let length = bytes.len() as u32;
    bytes[..8].copy_from_slice(MAGIC);
    put_u32(&mut bytes, 12, length);
    put_u32(&mut bytes, 16, version);
    put_u32(&mut bytes, 20, meta.page_size as u32);
    bytes[24..40].copy_from_slice(&meta.identity);
    put_u64(&mut bytes, 40, meta.id.0);
    put_u32(&mut bytes, 48, meta.length_pages);
    put_u32(&mut bytes, 52, meta.catalog.page.0);
    put_u64(&mut bytes, 56, meta.catalog.entries);
    bytes[64] = meta.catalog.depth;
    put_u32(&mut bytes, 68, meta.log_page.0);
    put_u32(&mut bytes, 72, meta.log_tail.len() as u32);
    put_u32(&mut bytes, 76, listed.len() as u32);
    put_u32(&mut bytes, 80, digest);
    put_u32(&mut bytes, 84, meta.free_pages);
    put_u32(&mut bytes, 88, meta.retired_pages);
    for (at, run) in listed.iter().enumerate() {
        put_u32(&mut bytes, 96 + 8 * at, run.first.0);
        put_u32(&mut bytes, 100 + 8 * at, run.count);
    }
    bytes[96 + 8 * listed.len()..].copy_from_slice(&meta.log_tail);
    let sum = checksum(&bytes[12..]);
    put_u32(&mut bytes, 8, sum);
    bytes
}

/// A file of `page_size` with metas of transactions 1 and 2, in format 2 if they list extents; and how many bytes of it
/// have been read by system calls.
fn file_of(page_size: usize, run_count: u32) -> (Hooked, Arc<AtomicUsize>) {
    let mut settings = options(0);
    settings.page_size = Some(page_size);
    let first_pages = settings.first_pages([7; 16]).unwrap();
    let inner = FileStorage::in_memory(WriteMode::Syscall, 64 << 20).unwrap();
    inner.grow(0, (4 * MAX_PAGE_SIZE) as u64, false).unwrap();
    inner.write(0, &[&first_pages]).unwrap();
    let mut record = Meta::decode(&first_pages, 0).unwrap();
    let listed: Vec<Extent> = (0..run_count).map(|number| Extent::new(2 + 2 * number, 1)).collect();
    record.length_pages = 2 + 2 * run_count;
    for slot in 0..2 {
        record.id = TransactionId(1 + slot as u64);
        let bytes = if run_count == 0 { record.encode() } else { in_old_format(&record, 2, &listed, 0) };
        inner.write(slot_offset(slot, page_size), &[&bytes]).unwrap();
    }
    let bytes_read = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&bytes_read);
    let on_read = Box::new(move |bytes| {
        counter.fetch_add(bytes, Ordering::Relaxed);
    });
    (Hooked { inner, on_read, on_barrier: Box::new(|| ()), on_growth: Box::new(|_| ()) }, bytes_read)
}

#[test]
fn records_are_read_whole_and_little_else() {
    for (page_size, run_count, bytes) in [
        (4096, 0, 2 * 4096),
        (4096, 300, 2 * 4096),
        (65536, 0, 2 * 4096),
        (65536, 2000, 2 * (4096 + 96 + 2000 * 8)),
    ] {
        let (file, bytes_read) = file_of(page_size, run_count);
        let Ok(slots) = read_slots(&file) else { panic!("there are two metas") };
        assert_eq!(slots.page_size, page_size);
        let read = bytes_read.load(Ordering::Relaxed);
        let tail = 2 * 64; // of the free log, in a meta
        assert!((bytes..=bytes + tail).contains(&read), "{read} bytes, not {bytes}");

        // The second meta alone is found too.
        file.inner.write(0, &[&[0; 4096]]).unwrap();
        let Ok(slots) = read_slots(&file) else { panic!("there is a meta") };
        assert_eq!(slots.page_size, page_size);
        file.inner.write(slot_offset(1, page_size), &[&[0; 4096]]).unwrap();
        assert!(read_slots(&file).is_err());
    }
}

/// A file without a ring, whose newest meta lists pages that need not be durable.
struct Old {
    image: Vec<u8>,
    states: [Entries; 2],
    newest: Meta,
    slot: usize,
}

impl Old {
    fn new(version: u32) -> Old {
        let engine = Engine::open_with_log(&new_image(), 0).unwrap();
        let states = [1, 2].map(|value| {
            let entries: Entries = (0..90).map(|key| (vec![key], vec![value; 200])).collect();
            engine.commit(&entries, Durability::Durable).unwrap();
            entries
        });
        let slot = engine.handle.core.shared.checkpoint_slot();
        let [newest, older] = [slot, 1 - slot]
            .map(|slot| engine.handle.core.pages.read_meta(slot).unwrap().expect("there are two metas"));
        let mut old = Old { image: engine.image(), states, newest, slot };
        old.store(1 - slot, &in_old_format(&older, version, &[], 0));
        let root = old.newest.catalog.page;
        let sum = page::verify(old.page(root), root).unwrap().checksum;
        let listed = [Extent { first: root, count: 1 }];
        old.store(slot, &in_old_format(&old.newest, version, &listed, digest([sum])));
        old
    }

    fn store(&mut self, slot: usize, meta: &[u8]) {
        self.image[slot * PAGE..][..PAGE].fill(0);
        self.image[slot * PAGE..][..meta.len()].copy_from_slice(meta);
    }

    fn page(&self, number: PageNumber) -> &[u8] {
        &self.image[number.offset(PAGE) as usize..][..PAGE]
    }

    /// Opens it, and returns what it has. It becomes a file of the new format.
    #[track_caller]
    fn recovered(&self) -> Entries {
        let engine = Engine::open(&self.image, 256 << 20).unwrap();
        let mut found = engine.read().unwrap().1;
        engine.assert_clean();
        let before = found.clone();
        let more = Entries::from([(b"more".to_vec(), vec![3; 300])]);
        engine.commit(&more, Durability::Durable).unwrap();
        engine.commit(&more, Durability::Durable).unwrap();
        found.extend(more);
        let (shared, pages) = (&engine.handle.core.shared, &engine.handle.core.pages);
        let meta = pages.read_meta(shared.checkpoint_slot()).unwrap().unwrap();
        assert!(meta.version == FORMAT_VERSION && meta.redo.ring.is_some());
        assert!(shared.newest_id() > self.newest.id);
        let again = engine.reopen();
        assert!(again.read().unwrap().1 == found);
        again.assert_clean();
        before
    }
}

#[test]
fn files_of_old_formats_are_recovered_by_their_lists_and_become_new() {
    for version in [1, 2] {
        assert!(Old::new(version).recovered() == Old::new(version).states[1]);

        let mut old = Old::new(version);
        let at = old.newest.catalog.page.offset(PAGE) as usize + PAGE / 2;
        old.image[at] ^= 1;
        assert!(old.recovered() == old.states[0], "a listed page does not verify");

        let mut old = Old::new(version);
        let root = old.newest.catalog.page;
        let sum = page::verify(old.page(root), root).unwrap().checksum;
        let listed = [Extent { first: root, count: 1 }];
        let wrong = in_old_format(&old.newest, version, &listed, digest([sum ^ 1]));
        old.store(old.slot, &wrong);
        assert!(old.recovered() == old.states[0], "the digest is of other pages");

        let cut = old.newest.length_pages as usize * PAGE - 1;
        assert!(Engine::open(&old.image[..cut], 0).is_err(), "the file is too short");
    }
}
