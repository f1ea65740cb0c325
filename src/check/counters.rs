//! Verifies the counters of a multimap table (M1 and M2 of `format/multimap.rs`).
//!
//! Invariant: no page is read more often than for each counter that is there, however they are forged: the ranges of
//! keys that are counted are disjoint, because no counter's key is the beginning of another's.

use std::ops::Bound;

use crate::error::{Corruption, Result};
use crate::format::multimap::{COUNTER, COUNTER_COUNT, PAIR, decode_count};
use crate::tree::multimap::{count_values, counter_count};
use crate::tree::pages::{PageSource, TreeRoot};
use crate::tree::{RangeCursor, TreeTop};

/// Calls `problem` for each counter that is wrong, and if there are entries that are none of a multimap table.
pub(super) fn verify_counters(
    source: &impl PageSource,
    root: &TreeRoot,
    problem: &mut dyn FnMut(Corruption),
) -> Result<()> {
    let top = TreeTop::from(root);
    let mut wrong = |what, expected: String, found: String| {
        problem(Corruption { page: None, what, expected, found });
    };
    let (first, end) = ([COUNTER], [PAIR + 1]);
    let before = RangeCursor::new(top, Bound::Unbounded, Bound::Excluded(&first));
    let after = RangeCursor::new(top, Bound::Included(&end), Bound::Unbounded);
    for mut others in [before, after] {
        while let Some((key, _)) = others.next(source)? {
            if *key != *COUNTER_COUNT {
                wrong(
                    "entry of a multimap table",
                    "a counter or a pair".into(),
                    format!("{:02x?}", &key[..]),
                );
                break; // one is enough
            }
        }
    }
    let mut counters = 0u64;
    let mut last: Option<Vec<u8>> = None;
    let mut cursor = RangeCursor::new(top, Bound::Included(&first), Bound::Excluded(&[PAIR]));
    while let Some((key, value)) = cursor.next(source)? {
        counters += 1;
        let shown = format!("{:02x?}", &key[1..]);
        if last.as_ref().is_some_and(|last| key.starts_with(last)) {
            wrong(
                "counter of a multimap table",
                format!("a key of its own, not {shown}"),
                "part of a key".into(),
            );
            continue;
        }
        let (found, expected) = (decode_count(value)?, count_values(source, top, &key[1..])?);
        if found != expected {
            wrong("counter of a multimap table", format!("{expected} for key {shown}"), found.to_string());
        }
        last = Some(key.to_vec());
    }
    let found = counter_count(source, top)?;
    if found != (counters > 0).then_some(counters) {
        wrong(
            "number of counters of a multimap table",
            counters.to_string(),
            found.map_or("none".into(), |found| found.to_string()),
        );
    }
    Ok(())
}
