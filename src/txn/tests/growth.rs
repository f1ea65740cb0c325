//! Which bytes fill a longer file.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::fixture::{new_image, options, put};
use super::hooked::Hooked;
use crate::sys::{FileStorage, Storage, WriteMode};
use crate::txn::commit::Durability;
use crate::txn::file_locks::Wait;
use crate::txn::write::Transaction;

#[test]
fn only_those_who_take_little_find_zeros_in_a_longer_file() {
    let image = new_image();
    let inner = FileStorage::in_memory(WriteMode::Syscall, 64 << 20).unwrap();
    inner.grow(0, image.len() as u64, false).unwrap();
    inner.write(0, &[&image]).unwrap();
    let growths = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&growths);
    let storage = Hooked {
        inner,
        on_read: Box::new(|_| ()),
        on_barrier: Box::new(|| ()),
        on_growth: Box::new(move |zero| log.lock().push(zero)),
    };
    let mut options = options(1 << 20);
    options.settings.log_size = 64 << 10; // a longer ring is much
    let handle = options.start_unshared(Box::new(storage), Path::new("(memory)")).unwrap();
    let mut next_key = 0u32;
    let mut growths_of = |value_len: usize, count: u32| {
        for _ in 0..count {
            let tx = Transaction::begin(&handle, Wait::Forever).unwrap().expect("no deadline");
            put(&tx, &next_key.to_be_bytes(), &vec![1; value_len]).unwrap();
            tx.commit(Durability::Durable).unwrap();
            next_key += 1;
        }
        std::mem::take(&mut *growths.lock())
    };
    let small = growths_of(3000, 100);
    assert!(small.len() > 1 && small.iter().all(|&zero| zero), "{small:?}");
    // However little of it is missing at the file's end.
    let large = growths_of(300_000, 40);
    assert!(large.len() > 3 && large.iter().all(|&zero| !zero), "{large:?}");
    // The room that is left is used first.
    let small = growths_of(30_000, 200);
    assert!(small.len() > 1 && small.iter().all(|&zero| zero), "{small:?}");
}
