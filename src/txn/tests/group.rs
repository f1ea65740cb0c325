//! Group commit: how many barriers commits of several threads take.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::fixture::{new_image, options, put};
use super::hooked::Hooked;
use crate::sys::{FileStorage, Storage, WriteMode};
use crate::txn::commit::Durability;
use crate::txn::file_locks::Wait;
use crate::txn::write::Transaction;

/// The number of barriers for `commits` durable commits of each of `threads`, over a disk whose barriers take far
/// longer than commits do.
fn barriers_for(threads: u8, commits: u8) -> u32 {
    let image = new_image();
    let inner = FileStorage::in_memory(WriteMode::Syscall, 64 << 20).unwrap();
    inner.grow(0, image.len() as u64, false).unwrap();
    inner.write(0, &[&image]).unwrap();
    let barriers = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&barriers);
    let on_barrier = Box::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(40));
    });
    let storage = Hooked { inner, on_read: Box::new(|_| ()), on_barrier, on_growth: Box::new(|_| ()) };
    let handle = options(1 << 20).start_unshared(Box::new(storage), Path::new("(slow)")).unwrap();
    for _ in 0..3 {
        // Neither file nor ring need grow after this, and the ring has room for all commits.
        let tx = Transaction::begin(&handle, Wait::Forever).unwrap().expect("no deadline");
        put(&tx, b"long", &[0; 400_000]).unwrap();
        tx.commit(Durability::Durable).unwrap();
    }
    let before = barriers.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let handle = &handle;
            scope.spawn(move || {
                for commit in 0..commits {
                    let tx = Transaction::begin(handle, Wait::Forever).unwrap().expect("no deadline");
                    put(&tx, &[thread], &[commit]).unwrap();
                    tx.commit(Durability::Durable).unwrap();
                }
            });
        }
    });
    barriers.load(Ordering::Relaxed) - before
}

#[test]
fn threads_that_commit_again_and_again_share_their_barriers() {
    assert_eq!(barriers_for(1, 5), 5);
    for threads in [2, 4] {
        // As many as the commits of one thread, if each sync waits for all; nearly twice that, if groups alternate.
        let barriers = barriers_for(threads, 20);
        assert!(barriers <= 30, "{barriers} barriers for 20 commits of each of {threads} threads");
    }
}
