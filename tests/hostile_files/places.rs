//! What finds and changes places in a table, done to one that may be damaged: counts, samples, cuts, cursors, entries,
//! extraction.

use mapleaf::{CursorMut, Error, TableMut, TableRef};

use crate::exercise::{Context, Exercise, touch};

impl Exercise<'_> {
    /// A count is no more than there is room for, and cuts are of one range.
    pub(crate) fn read_places(&mut self, table: TableRef<'_, [u8], [u8]>, room: u64) {
        let context = Context::Reading;
        let probes = self.probes;
        let (lower, upper) = (self.random.pick(probes), self.random.pick(probes));
        let range = &lower[..]..=&upper[..];
        if let Some(count) = self.value(context, table.count(range.clone())) {
            assert!(count <= room, "{count} entries in a range, and room for {room}");
        }
        self.value(context, table.estimate(range.clone()));
        let n = self.random.next() % table.len().max(1);
        let nth = table.nth(n).map(|entry| entry.map(|(_, value)| touch(value)));
        self.value(context, nth);
        for count in [1, 200] {
            let sample = table.sample(count, self.random.next());
            if let Some(sample) = self.value(context, sample) {
                assert!(sample.len() == count || table.is_empty());
                let sum: usize = sample.iter().map(|(_, value)| touch(value)).sum();
                std::hint::black_box(sum);
            }
        }
        for parts in [0, 3, usize::MAX] {
            if let Some(parts) = self.value(context, table.split_range(range.clone(), parts)) {
                assert!(!parts.is_empty() && parts.len() as u64 <= room);
            }
        }
        let mut cursor = table.cursor();
        self.value(context, cursor.seek(&lower[..]).map(drop));
        let is_forward = self.random.one_in(2);
        for steps in 0.. {
            assert!(steps <= room + 1, "a cursor takes more than {room} steps");
            let step = if is_forward { cursor.next() } else { cursor.previous() };
            let step = step.map(|entry| entry.map(|(_, value)| touch(value)));
            if self.value(context, step).flatten().is_none() {
                break;
            }
        }
        self.value(context, cursor.current().map(drop));
        self.value(context, cursor.seek_exact(&upper[..]).map(drop));
        self.value(context, cursor.seek_before(&upper[..]).map(drop));
    }

    pub(crate) fn change_places(
        &mut self,
        table: &mut TableMut<'_, [u8], [u8]>,
        (key, value): (&[u8], &[u8]),
        room: &mut u64,
    ) {
        let context = Context::Writing;
        match self.random.below(7) {
            0 => {
                let inserted = table.entry(key).and_then(|entry| entry.or_insert(value).map(drop));
                self.value(context, inserted);
            }
            1 => {
                let changed =
                    table.update(key, |old| old.is_none_or(|old| old.len() % 2 == 0).then_some(value));
                self.value(context, changed);
            }
            2 => {
                let filled = table.get_mut(key).map(|value| value.map(|value| value.fill(7)));
                self.value(context, filled);
            }
            3 => match table.append(key, value) {
                Err(Error::KeyOutOfOrder { .. }) => {}
                appended => drop(self.value(context, appended)),
            },
            4 => {
                let mut count = 0;
                let most = *room;
                for entry in table.extract_if(key.., |key, _| key.last().is_none_or(|&byte| byte % 3 != 0)) {
                    count += 1;
                    assert!(count <= most, "more than {most} entries are extracted");
                    if self.value(context, entry).is_none() {
                        break;
                    }
                }
            }
            5 => {
                let mut drain = table.drain(..key);
                for _ in 0..self.random.below(200) {
                    let Some(entry) = drain.next() else { break };
                    if self.value(context, entry).is_none() {
                        break;
                    }
                }
            }
            _ => self.change_by_cursor(table.cursor_mut(), (key, value), *room),
        }
    }

    /// Goes to a key and on from there, and changes much of what it meets. Each is met once.
    fn change_by_cursor(
        &mut self,
        mut cursor: CursorMut<'_, [u8], [u8]>,
        (key, value): (&[u8], &[u8]),
        room: u64,
    ) {
        let context = Context::Writing;
        self.value(context, cursor.seek(key).map(drop));
        let value = &value[..value.len().min(100)];
        for steps in 0.. {
            assert!(steps <= room, "a cursor takes more than {room} steps");
            let changed = match self.random.below(4) {
                0 => cursor.remove(),
                1 => cursor.replace(value),
                _ => Ok(true),
            };
            let step = cursor.next().map(|entry| entry.is_some());
            if self.value(context, changed).is_none() || self.value(context, step) != Some(true) {
                break;
            }
        }
        self.value(context, cursor.insert(key, value));
        match cursor.insert_here([key, &b"+"[..]].concat(), value) {
            Err(Error::KeyOutOfOrder { .. }) => {}
            inserted => drop(self.value(context, inserted)),
        }
    }
}
