//! `std::collections::BTreeMap` in memory: what a Rust program holds against any store. It has no transactions, no
//! file, and an allocation for each key and each value.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use anyhow::Result;

use super::Order;
use super::peer::{Peer, Reader, Writer};

type Entries = BTreeMap<Box<[u8]>, Box<[u8]>>;

#[derive(Default)]
pub struct StdMap(RwLock<Entries>);

impl Peer for StdMap {
    type Reader<'a> = RwLockReadGuard<'a, Entries>;
    type Writer<'a> = RwLockWriteGuard<'a, Entries>;

    fn read<T>(&self, work: impl FnOnce(&Self::Reader<'_>) -> Result<T>) -> Result<T> {
        work(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, _: Order, work: impl FnOnce(&mut Self::Writer<'_>) -> Result<()>) -> Result<()> {
        work(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn begin_and_end(&self) -> Result<()> {
        Ok(())
    }
}

impl Reader for RwLockReadGuard<'_, Entries> {
    fn get(&self, key: &[u8], mut see: impl FnMut(&[u8])) -> Result<()> {
        (**self).get(key).into_iter().for_each(|value| see(value));
        Ok(())
    }

    fn walk(&self, first: &[u8], limit: usize, mut see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        let range = (Bound::Included(first), Bound::Unbounded);
        self.range::<[u8], _>(range).take(limit).for_each(|(key, value)| see(key, value));
        Ok(())
    }

    fn walk_back(&self, mut see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        self.iter().rev().for_each(|(key, value)| see(key, value));
        Ok(())
    }
}

impl Writer for RwLockWriteGuard<'_, Entries> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.insert(key.into(), value.into());
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<bool> {
        Ok((**self).remove(key).is_some())
    }
}
