//! Runs come out in the order of their keys, whatever these look like.

use super::*;
use crate::sim::Random;

/// Keys that are alike in one way or the other: at the beginning, up to a padding of zeros, altogether.
fn some_key(kind: usize, random: &mut Random) -> Vec<u8> {
    let number = random.next();
    match kind {
        0 => number.to_le_bytes().to_vec(),
        1 => number.to_le_bytes()[..random.below(9)].to_vec(),
        2 => [&[5; 50][..], &(number as u16).to_le_bytes(), &[6; 21][..random.below(22)]].concat(),
        3 => [&vec![random.below(2) as u8; random.below(30)][..], &vec![0; random.below(20)]].concat(),
        4 => [b"one of two beginnings/", b"the other of these two"][random.below(2)].to_vec(),
        5 => vec![7; random.below(700)],
        _ => some_key(random.below(6), random),
    }
}

#[test]
fn entries_come_out_in_order_and_of_equal_keys_the_last() {
    let mut run = SortBuffer::default();
    for seed in 0..if cfg!(miri) { 7 } else { 140 } {
        let mut random = Random::new(seed);
        let count = [0, 1, 2, FEW + 1, 100, 3000][random.below(if cfg!(miri) { 5 } else { 6 })];
        let mut keys: Vec<Vec<u8>> = (0..count).map(|_| some_key(seed as usize % 7, &mut random)).collect();
        if random.one_in(5) {
            keys.sort();
        }
        let mut expected = std::collections::BTreeMap::new();
        run.clear();
        for (number, key) in keys.into_iter().enumerate() {
            run.push(&key, &number.to_le_bytes()[..number % 9]).unwrap();
            expected.insert(key, number.to_le_bytes()[..number % 9].to_vec());
        }
        run.sort();
        let mut found = Vec::new();
        run.for_each(|key, value| {
            found.push((key.to_vec(), value.to_vec()));
            Ok::<(), ()>(())
        })
        .unwrap();
        assert!(found == expected.into_iter().collect::<Vec<_>>(), "seed {seed}");
    }
}
