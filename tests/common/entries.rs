//! A table of small and large values that changes at random, and what it holds.

use std::collections::BTreeMap;

use mapleaf::{ReadTxn, Table, WriteTxn};

use super::Random;

pub(crate) const ENTRIES: Table<u64, [u8]> = Table::new("entries");

pub(crate) type Contents = BTreeMap<u64, Vec<u8>>;

pub(crate) fn contents(rx: &ReadTxn) -> Contents {
    let table = rx.table(&ENTRIES).unwrap();
    table.iter().map(|entry| entry.map(|(key, value)| (key, value.to_vec())).unwrap()).collect()
}

/// Changes some entries: small values, and large ones on overflow pages.
pub(crate) fn change(tx: &WriteTxn, random: &mut Random, count: u64) -> mapleaf::Result<()> {
    let mut table = tx.table(&ENTRIES)?;
    for _ in 0..count {
        let key = random.next() % 5000;
        let length = match random.next() % 60 {
            0 => 9000,
            1 => 50_000,
            _ => random.next() % 300,
        };
        match random.next() % 3 {
            0 => _ = table.remove(key)?,
            _ => _ = table.insert(key, vec![key as u8; length as usize])?,
        }
    }
    Ok(())
}
