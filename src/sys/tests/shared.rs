//! Shared words, and the small facts about the machine.

use super::*;
use crate::sys::{SharedWords, boot_id, random_bytes};
use std::sync::atomic::Ordering::SeqCst;

#[test]
fn anonymous_words_are_zero_and_shared_by_threads() {
    let words = SharedWords::anonymous(4 << 20).unwrap();
    assert_eq!(words.words().len(), 4 << 20);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let words = &words;
            scope.spawn(move || {
                for word in &words.words()[..1000] {
                    word.fetch_add(thread, SeqCst);
                }
            });
        }
    });
    assert!(words.words()[..1000].iter().all(|word| word.load(SeqCst) == 6));
    assert!(words.words()[1000..].iter().step_by(1000).all(|word| word.load(SeqCst) == 0));
}

#[test]
fn words_of_a_file_are_shared_by_its_mappings_and_outlive_them() {
    let folder = folder();
    let lock_file = lock_file_of(&folder.path().join("data"));
    let words = SharedWords::of_file(lock_file.open_memory().unwrap(), 1000, 5000, true).unwrap();
    // Where nothing can be allocated later, all of it is stored at once.
    let length = if IS_LINUX { 8000 } else { 40000 };
    assert_eq!(lock_file.file().unwrap().metadata().unwrap().len(), length);
    assert!(words.words().iter().all(|word| word.load(SeqCst) == 0));
    let other_file = lock_file_of(&folder.path().join("data"));
    let longer = SharedWords::of_file(other_file.open_memory().unwrap(), 5000, 5000, true).unwrap();
    words.words()[999].store(42, SeqCst);
    assert_eq!(longer.words()[999].load(SeqCst), 42);
    longer.words()[4999].store(43, SeqCst);
    assert_eq!(words.words().len(), length as usize / 8);
    assert!(words.has(5000).unwrap(), "the other one has made the file longer");
    assert_eq!(words.words()[4999].load(SeqCst), 43);
    assert!(words.grow(6000).is_err(), "no more than was asked for at first");
    drop((words, longer));
    let again = SharedWords::of_file(lock_file.open_memory().unwrap(), 5000, 5000, true).unwrap();
    assert_eq!(again.words()[4999].load(SeqCst), 43);
    assert_eq!(again.words()[999].load(SeqCst), 42);
}

#[test]
fn a_full_disk_is_an_error_when_words_are_mapped() {
    let Some(disk) = TinyDisk::mount() else { return };
    let lock_file = lock_file_of(&disk.path("data"));
    disk.fill();
    let error = SharedWords::of_file(lock_file.open_memory().unwrap(), 1000, 5000, true).err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

#[test]
fn the_boot_has_a_number_that_stays() {
    assert_eq!(boot_id().unwrap(), boot_id().unwrap());
    if IS_LINUX && Path::new("/proc/sys/kernel/random/boot_id").exists() {
        assert_ne!(boot_id().unwrap(), [0; 16]);
    }
}

#[test]
fn random_bytes_differ() {
    assert_ne!(random_bytes::<16>().unwrap(), random_bytes::<16>().unwrap());
}
