//! One leaf or branch, verified beyond what its reading needs: order of keys, layout of the heap.

use std::ops::Range;

use crate::error::{Corruption, Error, Result};
use crate::format::node::NodeView;
use crate::format::page;

/// What the separators above say of a node's keys; nothing, where there are none.
#[derive(Clone, Copy, Default)]
pub(crate) struct KeyBounds<'a> {
    pub(crate) lower: Option<&'a [u8]>,
    pub(crate) upper: Option<&'a [u8]>,
}

/// Tells `report` of everything that is wrong with the node in `page`: keys ascend, are as long as keys may be, and
/// lie within `bounds`; entries lie in the heap, side by side, and their bytes and the dead ones are all there are.
/// `entries` is where they are, as the slots say. The only errors are those that are no damage.
pub(crate) fn check_node<'a>(
    page: &'a [u8],
    node: &impl NodeView<'a>,
    entries: Result<Vec<Range<usize>>>,
    bounds: KeyBounds<'_>,
    report: &mut dyn FnMut(Corruption),
) -> Result<()> {
    let header = node.check_header();
    for result in [header, check_keys(page, node, bounds, report), check_heap(page, node, entries, report)] {
        match result {
            Err(Error::Corrupt(problem)) => report(*problem),
            other => other?,
        }
    }
    Ok(())
}

fn problem(page: &[u8], what: &'static str, expected: String, found: String) -> Corruption {
    Corruption { page: Some(page::number(page).0), what, expected, found }
}

fn check_keys<'a>(
    page: &'a [u8],
    node: &impl NodeView<'a>,
    bounds: KeyBounds<'_>,
    report: &mut dyn FnMut(Corruption),
) -> Result<()> {
    let limit = page::max_key_len(page.len());
    let mut before: Option<Vec<u8>> = None;
    for index in 0..node.count() {
        let key = node.key(index)?.to_vec();
        let is_above = before.as_ref().is_none_or(|before| *before < key);
        if !is_above || !node.is_padded(index)? {
            report(problem(page, "order of keys", "ascending".into(), format!("not at key {index}")));
        }
        if key.len() > limit {
            report(problem(page, "length of a key", format!("at most {limit}"), key.len().to_string()));
        }
        if bounds.lower.is_some_and(|lower| key[..] < *lower)
            || bounds.upper.is_some_and(|upper| key[..] >= *upper)
        {
            let expected = "within the separators above".into();
            report(problem(page, "range of keys", expected, format!("key {index} is outside")));
        }
        before = Some(key);
    }
    Ok(())
}

fn check_heap<'a>(
    page: &'a [u8],
    node: &impl NodeView<'a>,
    entries: Result<Vec<Range<usize>>>,
    report: &mut dyn FnMut(Corruption),
) -> Result<()> {
    let mut ranges = entries?;
    let heap = node.heap();
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by_key(|range| range.start);
    let mut end = heap.start;
    let mut live = 0;
    for range in ranges {
        if range.start < end || range.end > heap.end {
            let (expected, found) = (format!("within {end} to {}", heap.end), format!("{range:?}"));
            report(problem(page, "place of an entry", expected, found));
        }
        end = range.end.max(end);
        live += range.len();
    }
    if live + node.dead_bytes() != heap.len() {
        let found = format!("{live} live, {} dead", node.dead_bytes());
        report(problem(page, "bytes in the heap", heap.len().to_string(), found));
    }
    Ok(())
}
