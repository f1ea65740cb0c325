//! Loads in ascending order store what they have finished; others wait for their commit, or for a lack of memory.

use super::fixture::{Engine, put};
use crate::sim::Random;
use crate::sim::disk::Event;
use crate::txn::commit::Durability;
use crate::txn::write::Transaction;

/// Some 11 MB of leaves.
const COUNT: u32 = 55_000;

fn stored_bytes(engine: &Engine) -> usize {
    let length_of = |event: &Event| if let Event::Store { bytes, .. } = event { bytes.len() } else { 0 };
    engine.log().events.iter().map(length_of).sum()
}

/// Inserts entries with these numbers as keys. Returns how many bytes were stored before the commit, and in all.
fn load(numbers: &[u32], change: impl FnOnce(&Transaction)) -> [usize; 2] {
    let engine = Engine::new();
    engine.log().events.clear();
    let tx = engine.begin().unwrap();
    change(&tx);
    let put_number = |&number: &u32| put(&tx, &number.to_be_bytes(), &[number as u8; 170]).unwrap();
    numbers.iter().for_each(put_number);
    let before = stored_bytes(&engine);
    tx.commit(Durability::Durable).unwrap();
    let (_, entries) = engine.read().unwrap();
    for number in numbers {
        assert_eq!(
            entries.get(&number.to_be_bytes()[..]).map(Vec::as_slice),
            Some(&[*number as u8; 170][..])
        );
    }
    engine.assert_clean();
    [before, stored_bytes(&engine)]
}

#[test]
fn ascending_loads_store_what_they_have_finished_and_nothing_twice() {
    let ascending: Vec<u32> = (0..COUNT).collect();
    let [before, all] = load(&ascending, |_| ());
    assert!(before > 8 << 20, "{before} bytes before the commit");

    let mut shuffled = ascending.clone();
    let mut random = Random::new(1);
    (1..shuffled.len()).for_each(|at| shuffled.swap(at, random.below(at + 1)));
    assert_eq!(load(&shuffled, |_| ())[0], 0, "it is not known which leaves are finished");

    let [before, at_once] = load(&ascending, |tx| {
        put(tx, &[1, 0], b"then").unwrap();
        put(tx, &[1, 0], b"now").unwrap();
    });
    assert_eq!(before, 0, "an entry was changed");
    assert!(all < at_once + at_once / 100, "{all} bytes stored, {at_once} at once");
}
