//! What an engine has to be able to do, and the whole batches that follow from it. The batches are compiled for each
//! engine on its own, so that no call within the clock goes through a table of functions.

use anyhow::{Result, ensure};

use super::{Counts, Depth, Order, Store};
use crate::workload::{Digest, Keys, Room, Values};

/// A read transaction with the table open.
pub trait Reader {
    /// Hands the value of `key` to `see`, if there is one.
    fn get(&self, key: &[u8], see: impl FnMut(&[u8])) -> Result<()>;

    /// The same for each of `keys`, in their order, all at once if the engine can.
    fn get_group(&self, keys: Keys<'_>, mut see: impl FnMut(&[u8])) -> Result<()> {
        keys.iter().try_for_each(|key| self.get(key, &mut see))
    }

    /// Hands `limit` entries to `see`, upward from the key `first`. An empty `first` is before all keys.
    fn walk(&self, first: &[u8], limit: usize, see: impl FnMut(&[u8], &[u8])) -> Result<()>;

    /// Hands the `count` entries to `see` whose keys begin with `prefix`. An engine without such a walk counts.
    fn walk_prefix(&self, prefix: &[u8], count: usize, see: impl FnMut(&[u8], &[u8])) -> Result<()> {
        self.walk(prefix, count, see)
    }

    /// Hands all entries to `see`, downward.
    fn walk_back(&self, see: impl FnMut(&[u8], &[u8])) -> Result<()>;
}

/// A write transaction with the table open.
pub trait Writer {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Whether the key was there.
    fn remove(&mut self, key: &[u8]) -> Result<bool>;
}

/// An engine's open database, with one table.
pub trait Peer: Send + Sync {
    type Reader<'a>: Reader;
    type Writer<'a>: Writer;

    /// A read transaction around `work`.
    fn read<T>(&self, work: impl FnOnce(&Self::Reader<'_>) -> Result<T>) -> Result<T>;

    /// A write transaction around `work`, with a commit at its end. `order` is that of the keys that `work` puts in.
    fn write(&self, order: Order, work: impl FnOnce(&mut Self::Writer<'_>) -> Result<()>) -> Result<()>;

    /// Puts all `keys` in, in one transaction, in the way that the engine has for many at once.
    fn load(&self, keys: Keys<'_>, values: Values, order: Order) -> Result<()> {
        put_all(self, keys, values, order)
    }

    /// A read transaction in which nothing is done.
    fn begin_and_end(&self) -> Result<()>;

    fn counts(&self) -> Result<Counts> {
        Ok(Counts::default())
    }
}

const GROUP: usize = 16;

fn put_all<P: Peer + ?Sized>(peer: &P, keys: Keys<'_>, values: Values, order: Order) -> Result<()> {
    let mut room: Room = [0; _];
    peer.write(order, |writer| keys.iter().try_for_each(|key| writer.put(key, values.of(key, &mut room))))
}

impl<P: Peer> Store for P {
    fn load(&self, keys: Keys<'_>, values: Values, order: Order) -> Result<()> {
        Peer::load(self, keys, values, order)
    }

    fn put_all(&self, keys: Keys<'_>, values: Values) -> Result<()> {
        put_all(self, keys, values, Order::Random)
    }

    fn append_all(&self, keys: Keys<'_>, values: Values) -> Result<()> {
        put_all(self, keys, values, Order::Sorted)
    }

    fn put_each(&self, keys: Keys<'_>, values: Values) -> Result<()> {
        let mut room: Room = [0; _];
        for key in keys.iter() {
            self.write(Order::Random, |writer| writer.put(key, values.of(key, &mut room)))?;
        }
        Ok(())
    }

    fn remove_all(&self, keys: Keys<'_>) -> Result<()> {
        self.write(Order::Random, |writer| {
            for key in keys.iter() {
                ensure!(writer.remove(key)?, "a key that was to be removed is not there");
            }
            Ok(())
        })
    }

    fn get_each(&self, keys: Keys<'_>) -> Result<Digest> {
        let mut digest = Digest::default();
        self.read(|reader| keys.iter().try_for_each(|key| reader.get(key, |value| digest.add(value))))?;
        Ok(digest)
    }

    fn get_in_groups(&self, keys: Keys<'_>) -> Result<Digest> {
        let mut digest = Digest::default();
        self.read(|reader| {
            keys.chunks(GROUP).try_for_each(|group| reader.get_group(group, |value| digest.add(value)))
        })?;
        Ok(digest)
    }

    fn begin_and_get_each(&self, keys: Keys<'_>) -> Result<Digest> {
        let mut digest = Digest::default();
        for key in keys.iter() {
            self.read(|reader| reader.get(key, |value| digest.add(value)))?;
        }
        Ok(digest)
    }

    fn read_again(&self, keys: Keys<'_>, step: &mut dyn FnMut(Digest) -> Result<bool>) -> Result<()> {
        self.read(|reader| {
            loop {
                let mut digest = Digest::default();
                for key in keys.iter() {
                    reader.get(key, |value| digest.add_whole(value))?;
                }
                if !step(digest)? {
                    return Ok(());
                }
            }
        })
    }

    fn begin_and_end(&self, count: u64) -> Result<Digest> {
        (0..count).try_for_each(|_| Peer::begin_and_end(self))?;
        Ok(Digest { count, ..Digest::default() })
    }

    fn ranges(&self, firsts: Keys<'_>, limit: usize) -> Result<Digest> {
        let mut digest = Digest::default();
        self.read(|reader| {
            firsts.iter().try_for_each(|first| {
                reader.walk(first, limit, |key, value| Depth::Ends.take(&mut digest, key, value))
            })
        })?;
        Ok(digest)
    }

    fn prefixes(&self, prefixes: Keys<'_>, count: usize) -> Result<Digest> {
        let mut digest = Digest::default();
        self.read(|reader| {
            prefixes.iter().try_for_each(|prefix| {
                reader.walk_prefix(prefix, count, |key, value| Depth::Ends.take(&mut digest, key, value))
            })
        })?;
        Ok(digest)
    }

    fn scan(&self, first: &[u8], limit: usize, depth: Depth) -> Result<Digest> {
        let mut digest = Digest::default();
        self.read(|reader| reader.walk(first, limit, |key, value| depth.take(&mut digest, key, value)))?;
        Ok(digest)
    }

    fn scan_back(&self) -> Result<Digest> {
        let mut digest = Digest::default();
        self.read(|reader| reader.walk_back(|key, value| Depth::Ends.take(&mut digest, key, value)))?;
        Ok(digest)
    }

    fn counts(&self) -> Result<Counts> {
        Peer::counts(self)
    }
}
