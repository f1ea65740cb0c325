//! Savepoints after which something fails: the transaction goes back, goes on, and commits what it should.

use super::fixture::{Engine, Entries, PAGE, TABLE, new_image, put, put_all};
use crate::error::{Error, Result};
use crate::format::catalog::TableKind;
use crate::sim::Fault;
use crate::txn::commit::Durability;
use crate::txn::write::Transaction;

fn entries(numbers: std::ops::Range<u16>, length: usize, byte: u8) -> Entries {
    numbers.map(|number| (number.to_be_bytes().to_vec(), vec![byte; length])).collect()
}

/// Changes of all kinds, with spills, in a transaction that may hold four pages.
fn change_much(tx: &Transaction) -> Result<()> {
    put_all(tx, &entries(200..500, 300, 3))?;
    put(tx, b"large", &[4; 300_000])?;
    put(tx, b"overflow", &[5; 3 * PAGE])?;
    let table = tx.create_table("other", TableKind::Table, String::new(), String::new())?;
    tx.return_table(table);
    tx.rename_table(TABLE, "renamed")?;
    put_all(tx, &entries(0..100, 100, 6))?;
    tx.drop_table("renamed").map(drop)
}

/// Makes changes, a savepoint, and more changes, of which one fails; goes back, and commits other changes.
fn fail_and_go_on(fault: Fault, after: usize) -> bool {
    let engine = Engine::open(&new_image(), 4 * PAGE).unwrap();
    let mut expected = entries(0..300, 200, 1);
    engine.commit(&expected, Durability::Durable).unwrap();

    let mut tx = engine.begin().unwrap();
    put_all(&tx, &entries(100..400, 250, 2)).unwrap();
    expected.extend(entries(100..400, 250, 2));
    let savepoint = tx.savepoint().unwrap();
    engine.fail(fault, after);
    let result = change_much(&tx);
    let met = engine.log().fault.is_none();
    assert_eq!(result.is_err(), met, "{fault:?} {after}: {result:?}");
    engine.log().fault = None;

    tx.roll_back_to(savepoint).unwrap();
    put_all(&tx, &entries(50..150, 220, 7)).unwrap();
    expected.extend(entries(50..150, 220, 7));
    tx.commit(Durability::Durable).unwrap();
    assert_eq!(engine.read().unwrap().1, expected);
    engine.assert_clean();
    let reopened = engine.reopen(); // the record is replayed
    assert_eq!(reopened.read().unwrap().1, expected);
    reopened.assert_clean();
    met
}

#[test]
fn a_store_that_fails_after_a_savepoint_is_undone_by_going_back() {
    let failed = (0..).step_by(7).take_while(|&after| fail_and_go_on(Fault::Store, after)).count();
    assert!(failed > 5, "{failed}: the changes spill");
}

#[test]
fn after_a_panic_inside_a_change_going_back_is_refused() {
    let engine = Engine::open(&new_image(), 4 * PAGE).unwrap();
    let mut tx = engine.begin().unwrap();
    put(&tx, b"a", b"1").unwrap();
    let savepoint = tx.savepoint().unwrap();
    engine.panic_in_store(0);
    let change = std::panic::AssertUnwindSafe(|| put_all(&tx, &entries(0..300, 300, 1)));
    assert!(std::panic::catch_unwind(change).is_err());
    assert!(matches!(tx.roll_back_to(savepoint), Err(Error::TransactionFailed)));
    assert!(matches!(put(&tx, b"b", b"2"), Err(Error::TransactionFailed)));
    drop(tx);
    engine.commit(&entries(0..10, 100, 2), Durability::Durable).unwrap();
    engine.assert_clean();
}

#[test]
fn a_transaction_without_room_goes_back_and_commits() {
    // The file can grow no more: what comes after the savepoint does not fit.
    let engine = Engine::open(&new_image(), 4 * PAGE).unwrap();
    let expected = entries(0..300, 200, 1);
    let mut tx = engine.begin().unwrap();
    put_all(&tx, &expected).unwrap();
    let savepoint = tx.savepoint().unwrap();
    engine.fail(Fault::Grow, 0);
    let mut large = (0..1000_u16).map(|number| put(&tx, &number.to_le_bytes(), &[9; 40_000]));
    assert!(large.any(|put| put.is_err()));
    drop(large);
    tx.roll_back_to(savepoint).unwrap();
    tx.release_savepoint(savepoint).unwrap();
    tx.commit(Durability::Durable).unwrap();
    assert_eq!(engine.read().unwrap().1, expected);
    engine.assert_clean();
}

#[test]
fn pages_stored_after_a_savepoint_are_used_again_while_it_lives() {
    let length_after = |makes_savepoint: bool| {
        let engine = Engine::open(&new_image(), 4 * PAGE).unwrap();
        let mut tx = engine.begin().unwrap();
        let savepoint = makes_savepoint.then(|| tx.savepoint().unwrap());
        for round in 0..40 {
            put_all(&tx, &entries(0..300, 300, round)).unwrap();
        }
        if let Some(savepoint) = savepoint {
            tx.release_savepoint(savepoint).unwrap();
        }
        tx.commit(Durability::Durable).unwrap();
        engine.assert_clean();
        engine.image().len()
    };
    let (with, without) = (length_after(true), length_after(false));
    assert!(with <= without + without / 4, "{with} {without}");
}
