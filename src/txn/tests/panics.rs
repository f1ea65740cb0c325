//! Panics in the middle of a transaction: the writer lock is released, and nothing half-done is believed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::fixture::{Engine, Entries, new_image, put, put_all};
use crate::base::TransactionId;
use crate::error::{Error, Result};
use crate::txn::bulk::BulkLoader;
use crate::txn::commit::Durability;

fn entries(count: u16, length: usize, byte: u8) -> Entries {
    (0..count).map(|number| (number.to_le_bytes().to_vec(), vec![byte; length])).collect()
}

fn panics<T>(work: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(work)).is_err()
}

fn commit_after_panic(engine: &Engine, number: u8) -> Result<TransactionId> {
    engine.commit(&entries(5, 50, number), Durability::Lazy)
}

#[test]
fn a_panic_while_pages_are_stored_undoes_the_transaction_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapleaf");
    let [engine, other] = [(); 2].map(|()| Engine::share(&path).unwrap());
    let mut before = entries(100, 100, 0);
    engine.commit(&before, Durability::Durable).unwrap();
    let mut panics_met = 0;
    for call in 0.. {
        engine.checkpoint().unwrap(); // so that the next commit makes none
        engine.panic_in_store(call);
        if !panics(|| engine.commit(&entries(100, 100, 1), Durability::Lazy)) {
            engine.log().fault = None;
            break;
        }
        panics_met += 1;
        assert_eq!(engine.read().unwrap().1, before, "it never happened");
        engine.assert_clean();
        // By this handle, and by another one.
        for handle in [&engine, &other] {
            commit_after_panic(handle, call as u8).unwrap();
            before.extend(entries(5, 50, call as u8));
            handle.assert_clean();
        }
    }
    assert!(panics_met > 1, "pages are stored, then the record");
}

#[test]
fn a_transaction_with_a_panic_in_it_can_only_be_aborted() {
    type Half = fn(&Engine, &crate::txn::write::Transaction);
    let spill: Half = |_, tx| put_all(tx, &entries(3000, 400, 2)).unwrap();
    let large: Half = |_, tx| _ = tx.store_value(&[7; 300_000]).unwrap();
    let load: Half = |_, tx| {
        let mut table = tx
            .create_table("loaded", crate::format::catalog::TableKind::Table, String::new(), String::new())
            .unwrap();
        let loaded = tx.guard_whole(|| {
            let mut loader = BulkLoader::new(tx, &mut table)?;
            entries(3000, 400, 2).iter().try_for_each(|(key, value)| loader.insert(key, value))?;
            loader.finish()
        });
        loaded.unwrap();
    };
    for half in [spill, large, load] {
        let engine = Engine::open(&new_image(), 64 << 10).unwrap();
        let before = entries(300, 100, 0);
        let id = engine.commit(&before, Durability::Durable).unwrap();
        let tx = engine.begin().unwrap();
        put(&tx, b"a", b"whole").unwrap();
        engine.panic_in_store(0);
        assert!(panics(|| half(&engine, &tx)));
        assert!(matches!(put(&tx, b"b", b"more"), Err(Error::TransactionFailed)));
        assert!(matches!(tx.publish(Durability::Lazy), Err(Error::TransactionFailed)));
        assert_eq!(engine.read().unwrap(), (id, before));
        engine.assert_clean();
        commit_after_panic(&engine, 9).unwrap();
        engine.assert_clean();
    }
}
