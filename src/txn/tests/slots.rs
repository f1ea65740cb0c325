//! Reading the two metas: whole, whatever their page size, and no more of the file than that takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fixture::options;
use super::hooked::Hooked;
use crate::base::{Extent, TransactionId};
use crate::format::meta::{Meta, slot_offset};
use crate::format::page::MAX_PAGE_SIZE;
use crate::sys::{FileStorage, Storage, WriteMode};
use crate::txn::recover::read_slots;

/// A file of `page_size` whose metas, of transactions 1 and 2, list `run_count` extents each; and how many bytes of
/// it have been read by system calls.
fn file_of(page_size: usize, run_count: u32) -> (Hooked, Arc<AtomicUsize>) {
    let mut settings = options(0);
    settings.page_size = Some(page_size);
    let first_pages = settings.first_pages([7; 16]).unwrap();
    let inner = FileStorage::in_memory(WriteMode::Syscall, 64 << 20).unwrap();
    inner.grow(0, (4 * MAX_PAGE_SIZE) as u64, false).unwrap();
    inner.write(0, &[&first_pages]).unwrap();
    let mut record = Meta::decode(&first_pages, 0).unwrap();
    record.listed = (0..run_count).map(|number| Extent::new(2 + 2 * number, 1)).collect();
    record.length_pages = 2 + 2 * run_count;
    for slot in 0..2 {
        record.id = TransactionId(1 + slot as u64);
        inner.write(slot_offset(slot, page_size), &[&record.encode()]).unwrap();
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
