//! A transaction that moves pages down makes no file longer.

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
