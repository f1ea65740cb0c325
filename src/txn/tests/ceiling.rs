//! A transaction that moves pages down never makes the file longer.

use super::fixture::{Engine, Entries, put};
use crate::error::Error;
use crate::txn::commit::Durability;

#[test]
fn transaction_with_a_ceiling_is_refused_a_longer_file() {
    let engine = Engine::new();
    let entries: Entries = (0..200u8).map(|key| (vec![key], vec![key; 100])).collect();
    engine.commit(&entries, Durability::Durable).unwrap();
    let core = &engine.handle.core;
    let before = core.pages.existing_pages();
    let large = vec![7; before as usize * core.pages.page_size];
    let write = |has_ceiling: bool| {
        let tx = engine.begin()?;
        tx.with_space(|space| {
            let ceiling = space.length_pages();
            if has_ceiling {
                space.set_ceiling(ceiling);
            }
            Ok(())
        })?;
        put(&tx, b"large", &large)?;
        tx.commit(Durability::Durable).map(drop)
    };
    assert!(matches!(write(true), Err(Error::Full { .. })));
    assert_eq!(core.pages.existing_pages(), before);
    assert_eq!(engine.read().unwrap().1, entries);
    // The next one has none.
    write(false).unwrap();
    assert!(core.pages.existing_pages() > before);
    engine.assert_clean();
}

/// Enough pages are free, but not below the ceiling: what is missing is not a negative number.
#[test]
fn free_pages_above_the_ceiling_are_no_room() {
    let engine = Engine::new();
    let entries: Entries = (0..200u8).map(|key| (vec![key], vec![key; 100])).collect();
    engine.commit(&entries, Durability::Durable).unwrap();
    engine.commit(&Entries::from([(b"large".to_vec(), vec![7; 200_000])]), Durability::Durable).unwrap();
    engine.commit(&Entries::from([(b"large".to_vec(), vec![7; 1])]), Durability::Durable).unwrap();
    engine.commit(&entries, Durability::Durable).unwrap(); // the 50 pages are free now
    for value_len in [1000, 100_000] {
        let tx = engine.begin().unwrap();
        tx.with_space(|space| {
            space.set_ceiling(3);
            Ok(())
        })
        .unwrap();
        let result = put(&tx, b"key", &vec![1; value_len]).and_then(|_| tx.commit(Durability::Durable));
        assert!(matches!(result, Err(Error::Full { .. })), "{result:?}");
    }
    engine.assert_clean();
}
