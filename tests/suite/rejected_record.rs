//! Recovery falls back to the older meta, and the database stays usable: the public interface, on a damaged copy.
use std::path::Path;

use mapleaf::{Db, Durability, Error, Table};

const NUMBERS: Table<u64, u64> = Table::new("numbers");
const PAGE_SIZE: usize = 4096;

fn get_u32(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn id_in_slot(file: &[u8], slot: usize) -> u64 {
    let at = slot * PAGE_SIZE + 40;
    u64::from_le_bytes(file[at..at + 8].try_into().unwrap())
}

/// A durable commit, `lazy_commits` more, and another durable one, of whose record the file at `path` lacks the first
/// block: what loss of power in its barrier may leave.
fn torn_commit_after(path: &Path, lazy_commits: u64) {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.mapleaf");
    let db = Db::open(&whole).unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(0, 1)).unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(0, 1)).unwrap();
    for n in 0..lazy_commits {
        let tx = db.write().unwrap();
        tx.table(&NUMBERS).unwrap().insert(1, n).unwrap();
        tx.commit_with(Durability::Lazy).unwrap();
    }
    let before = std::fs::read(&whole).unwrap();
    db.update(|tx| tx.table(&NUMBERS)?.insert(0, 2)).unwrap();
    let mut file = std::fs::read(&whole).unwrap();
    let newest = usize::from(id_in_slot(&file, 1) > id_in_slot(&file, 0)) * PAGE_SIZE;
    let (ring, pages) = (get_u32(&file, newest + 104) * PAGE_SIZE, get_u32(&file, newest + 108));
    assert!(pages > 0, "there is a log");
    let ring = ring..ring + pages * PAGE_SIZE;
    file[ring.clone()].copy_from_slice(&before[ring]);
    std::fs::write(path, file).unwrap();
}

#[test]
fn ids_go_on_after_a_record_that_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    for lazy_commits in [0, 1, 2, 100, 253, 254] {
        torn_commit_after(&path, lazy_commits);
        let db = Db::open(&path).unwrap();
        let recovered = db.read().unwrap().id();
        let rx = db.read().unwrap();
        assert_eq!(rx.table(&NUMBERS).unwrap().get(0).unwrap(), Some(1));
        let lazy = rx.table(&NUMBERS).unwrap().get(1).unwrap();
        assert_eq!(lazy, lazy_commits.checked_sub(1), "lazy commits are in the log");
        drop(rx);
        for n in 0..300 {
            let tx = db.write().unwrap();
            assert!(tx.id() > recovered);
            tx.table(&NUMBERS).unwrap().insert(2, n).unwrap();
            tx.commit_with(if n % 7 == 0 { Durability::Durable } else { Durability::Lazy }).unwrap();
        }
        assert!(db.check().unwrap().is_clean());
        db.close().unwrap();
        let db = Db::open(&path).unwrap();
        assert_eq!(db.read().unwrap().table(&NUMBERS).unwrap().get(2).unwrap(), Some(299));
        assert!(db.check().unwrap().is_clean());
    }
}

#[test]
fn deferred_commits_over_a_jump_of_ids_do_not_overwrite_what_readers_start_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    torn_commit_after(&path, 253); // so that an early commit has the visible snapshot's place in the ring
    let db = Db::open(&path).unwrap();
    let mut tickets = Vec::new();
    for n in 0..600 {
        let tx = db.write().unwrap();
        tx.table(&NUMBERS).unwrap().insert(2, n).unwrap();
        tickets.push(tx.commit_deferred().unwrap());
        assert_eq!(db.read().unwrap().table(&NUMBERS).unwrap().get(0).unwrap(), Some(1));
    }
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    assert!(db.check().unwrap().is_clean());
}

/// A later version has committed with a newer format, whichever slot it got: the older record is not to be
/// taken for the newest, and nothing is to be erased.
#[test]
fn newer_format_in_either_slot_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    for newer_slot in 0..2 {
        let _ = std::fs::remove_file(&path);
        let db = Db::open(&path).unwrap();
        for n in 0..2 {
            db.update(|tx| tx.table(&NUMBERS)?.insert(0, n)).unwrap();
        }
        db.close().unwrap();
        let mut file = std::fs::read(&path).unwrap();
        let at = newer_slot * PAGE_SIZE;
        let length = get_u32(&file, at + 12);
        file[at + 16] = 200;
        let sum = crc32fast::hash(&file[at + 12..at + length]);
        file[at + 8..at + 12].copy_from_slice(&sum.to_le_bytes());
        std::fs::write(&path, &file).unwrap();
        let result = Db::open(&path);
        assert!(
            matches!(result, Err(Error::NewerFormat { found: 200, .. })),
            "slot {newer_slot}: {result:?}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), file, "the file is as it was");
    }
}

/// What a transaction has stored early and given up again is free, though the table is as it was.
#[test]
fn pages_of_a_table_that_ends_as_it_began_are_not_lost() {
    const LARGE: Table<u64, [u8]> = Table::new("large");
    let db = Db::in_memory().unwrap();
    for _ in 0..3 {
        db.update(|tx| {
            let mut large = tx.table(&LARGE)?;
            large.insert(1, vec![7; 300 << 10])?;
            assert!(large.remove(1)?);
            tx.table(&NUMBERS)?.insert(0, 1)
        })
        .unwrap();
        let report = db.check().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}
