//! The contents of leaves and branches.

use super::anatomy::{Branch, CatalogEntry, Child, Content, Leaf, LeafEntry, StoredValue};
use crate::error::{Corruption, Error, Result};
use crate::format;
use crate::format::branch::BranchView;
use crate::format::catalog::{TableEntryView, decode_name};
use crate::format::leaf::{LeafValue, LeafView};
use crate::format::node::{HEAD_LEN, NodeView, slots_start};
use crate::format::page::{self, HEADER_LEN};
use crate::tree::node_check::{KeyBounds, check_node};

/// The length of a slot, and of a child's page number.
const CELL_LEN: usize = 4;

/// Returns the items that can be read, and adds a problem for each that cannot.
fn readable<T>(results: impl Iterator<Item = Result<T>>, problems: &mut Vec<Corruption>) -> Result<Vec<T>> {
    let mut found = Vec::new();
    for result in results {
        match result {
            Ok(item) => found.push(item),
            // check_node may have reported it already.
            Err(Error::Corrupt(problem)) if !problems.contains(&problem) => problems.push(*problem),
            Err(Error::Corrupt(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

pub(super) fn leaf(bytes: &[u8], page_count: u32, problems: &mut Vec<Corruption>) -> Result<Content> {
    let leaf = LeafView::new(bytes)?;
    check_counts(bytes, leaf.count(), page::level(bytes) == 0, problems);
    let places = (0..leaf.count()).map(|index| leaf.entry_range(index)).collect();
    check_node(bytes, &leaf, places, KeyBounds::default(), &mut |problem| problems.push(problem))?;
    let slots = slots_start::<false>(leaf.count());
    let entry = |index: usize| {
        let (key, value) = leaf.entry(index)?;
        let value = match value {
            LeafValue::Inline(bytes) => StoredValue::Inline(bytes.to_vec()),
            LeafValue::Overflow { first, length } => StoredValue::Overflow { first: first.0, length },
        };
        Ok(LeafEntry {
            head_at: HEADER_LEN + index * HEAD_LEN,
            slot_at: (!leaf.is_dense()).then_some(slots + index * CELL_LEN),
            heap: leaf.entry_range(index)?,
            key: key.to_vec(),
            value,
        })
    };
    let entries = readable((0..leaf.count()).map(entry), problems)?;
    let tables: Option<Vec<CatalogEntry>> = entries.iter().map(|entry| table(entry, page_count)).collect();
    Ok(Content::Leaf(Leaf {
        prefix: leaf.prefix().to_vec(),
        entries,
        tables: tables.unwrap_or_default(),
        gap_bytes: format::leaf::gap_len(bytes),
    }))
}

/// Returns the table that the entry describes, if it can be an entry of the catalog.
fn table(entry: &LeafEntry, page_count: u32) -> Option<CatalogEntry> {
    let StoredValue::Inline(bytes) = &entry.value else { return None };
    let view = TableEntryView::by_chance(&entry.key, bytes, page_count)?;
    Some(CatalogEntry {
        name: decode_name(&entry.key).ok()?.to_owned(),
        root: view.root.page.0,
        depth: view.root.depth,
        entries: view.root.entries,
        key_type: view.key_type.to_owned(),
        value_type: view.value_type.to_owned(),
    })
}

pub(super) fn branch(bytes: &[u8], problems: &mut Vec<Corruption>) -> Result<Content> {
    let branch = BranchView::new(bytes)?;
    check_counts(bytes, branch.count(), page::level(bytes) > 0, problems);
    let places = (0..branch.count()).map(|index| branch.entry_range(index)).collect();
    check_node(bytes, &branch, places, KeyBounds::default(), &mut |problem| problems.push(problem))?;
    let children_at = HEADER_LEN + branch.count() * HEAD_LEN;
    let child = |index: usize| {
        let separator = match index.checked_sub(1) {
            Some(left) => Some(branch.key(left)?.to_vec()),
            None => None,
        };
        Ok(Child { at: children_at + index * CELL_LEN, page: branch.child(index)?.0, separator })
    };
    let children = readable((0..branch.child_count()).map(child), problems)?;
    Ok(Content::Branch(Branch {
        prefix: branch.prefix().to_vec(),
        children,
        gap_bytes: format::branch::gap_len(bytes),
    }))
}

fn check_counts(bytes: &[u8], count: usize, is_level_right: bool, problems: &mut Vec<Corruption>) {
    let mut note = |what, expected: &str, found: String| {
        let page = Some(page::number(bytes).0);
        problems.push(Corruption { page, what, expected: expected.to_owned(), found });
    };
    if count == 0 {
        note("keys in a page", "at least 1", count.to_string());
    }
    if !is_level_right {
        note("level", "0 in a leaf, more in a branch", page::level(bytes).to_string());
    }
}
