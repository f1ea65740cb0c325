//! Leaves whose branch is lost: finds the table to which each belongs.
//!
//! A leaf does not name its table. But all its keys are between two separators of the branch that referred to it, it
//! is not younger than that branch, and its keys and values have the table's types. If this holds for the gaps of one
//! table only, the leaf belongs to that table. A leaf that may belong to several goes to an extra table.
//!
//! If the free log can be read, it is known which pages are in use, and only their leaves are considered. If not, an
//! unreferenced leaf may also be an old copy, which was replaced, of any table whose types fit. Then the types must
//! fit one table only, and if two leaves have the same key, the younger leaf is taken.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::base::{PageNumber, TransactionId};
use crate::format::catalog::TableKind;
use crate::format::leaf::{LeafValue, LeafView};
use crate::format::node::NodeView;
use crate::salvage::scan::{Scan, Stray};
use crate::salvage::shape::{fits, fits_multimap};
use crate::salvage::state::{Orphan, State, Table};
use crate::salvage::survey::{Piece, Tree};
use crate::tree::nodes::view;

/// If more tables than this have gaps, no leaf is given to one of them: comparing each leaf with all would take too
/// long.
const MAX_TABLES_COMPARED: usize = 256;
/// The maximum number of extra tables. Each can contain only leaves with disjoint ranges of keys.
const MAX_EXTRA_TABLES: usize = 100;

/// How many leaves were used in which way.
#[derive(Default)]
pub(super) struct Adopted {
    /// Given to their tables.
    pub(super) attributed: u64,
    /// Put into extra tables.
    pub(super) unattributed: u64,
    /// Left out, probably old copies.
    pub(super) left_out: u64,
}

/// Gives each stray leaf to its table, or to an extra one.
pub(super) fn adopt(state: &mut State<'_>, scan: &Scan, is_live_known: bool) -> Adopted {
    let mut leaves: Vec<Stray> = scan.strays.iter().filter(|stray| stray.level == 0).copied().collect();
    leaves.sort_by_key(|stray| (Reverse(stray.birth), stray.number));
    let gapped: Vec<usize> =
        (0..state.tables.len()).filter(|&index| !state.tables[index].tree.gaps.is_empty()).collect();
    let mut extra: Vec<ExtraTable> = Vec::new();
    let mut adopted = Adopted::default();
    for stray in leaves {
        if !state.survey.seen.insert(PageNumber(stray.number)) {
            continue;
        }
        let Ok(page) = state.survey.source.tree_page(PageNumber(stray.number)) else { continue };
        let Ok(leaf) = view::<LeafView<'_>>(&page, 0) else { continue };
        let (Ok(first), Ok(last)) = (leaf.key(0), leaf.key(leaf.count() - 1)) else { continue };
        let (first, last) = (first.to_vec(), last.to_vec());
        let mut orphan = Orphan { number: stray.number, first, last, gap: 0 };
        if orphan.first > orphan.last {
            continue;
        }
        match owner(state, &gapped, &leaf, &orphan, stray.birth, is_live_known) {
            Owner::Table(index, gap) => {
                orphan.gap = gap;
                state.tables[index].orphans.push(orphan);
                adopted.attributed += 1;
            }
            Owner::Unknown if put_into(&mut extra, orphan) => adopted.unattributed += 1,
            Owner::Unknown | Owner::None => adopted.left_out += 1,
        }
    }
    for table in extra {
        state.add_unknown(Tree::default());
        state.tables.last_mut().expect("it was just added").orphans = table.leaves;
    }
    adopted
}

enum Owner {
    /// The index of the table, and of the gap in it.
    Table(usize, usize),
    /// Several tables are possible.
    Unknown,
    /// No table: the leaf is an old copy.
    None,
}

fn owner(
    state: &State<'_>,
    gapped: &[usize],
    leaf: &LeafView<'_>,
    orphan: &Orphan,
    birth: TransactionId,
    is_live_known: bool,
) -> Owner {
    if gapped.len() > MAX_TABLES_COMPARED {
        return Owner::Unknown;
    }
    let mut owner = Owner::None;
    for &index in gapped {
        let table = &state.tables[index];
        let gap = gap_of(&table.tree, orphan).filter(|&gap| birth <= table.tree.gaps[gap].newest);
        if let Some(gap) = gap.filter(|_| fits_types(leaf, table)) {
            owner = match owner {
                Owner::None => Owner::Table(index, gap),
                _ => Owner::Unknown,
            };
        }
    }
    let is_perhaps_of_another = |mine: usize| {
        let others = state.tables.iter().enumerate().filter(|&(index, _)| index != mine);
        others.take(MAX_TABLES_COMPARED).any(|(_, table)| fits_types(leaf, table))
    };
    match owner {
        Owner::Table(index, _) if !is_live_known && is_perhaps_of_another(index) => Owner::Unknown,
        Owner::None if is_live_known || state.is_catalog_hidden => Owner::Unknown,
        other => other,
    }
}

/// Returns the gap that contains all keys of the leaf.
fn gap_of(tree: &Tree, orphan: &Orphan) -> Option<usize> {
    let is_at_most = |bound: &Option<Vec<u8>>| bound.as_ref().is_none_or(|lower| *lower <= orphan.first);
    let is_above = |bound: &Option<Vec<u8>>| bound.as_ref().is_none_or(|upper| orphan.last < *upper);
    let index = tree.gaps.partition_point(|gap| is_at_most(&gap.lower)).checked_sub(1)?;
    is_above(&tree.gaps[index].upper).then_some(index)
}

fn fits_types(leaf: &LeafView<'_>, table: &Table) -> bool {
    (0..leaf.count()).all(|index| match leaf.entry(index) {
        Ok((key, LeafValue::Inline(value))) if table.kind == TableKind::Multimap => {
            fits_multimap(&key, value)
        }
        Ok((key, LeafValue::Inline(value))) => fits(&table.key_type, &key) && fits(&table.value_type, value),
        Ok((key, LeafValue::Overflow { .. })) => fits(&table.key_type, &key),
        Err(_) => true,
    })
}

/// A table of leaves whose own table is not known. Their ranges are disjoint, so that no key occurs twice.
#[derive(Default)]
struct ExtraTable {
    /// First key to last.
    ranges: BTreeMap<Vec<u8>, Vec<u8>>,
    leaves: Vec<Orphan>,
}

impl ExtraTable {
    fn add(&mut self, orphan: &Orphan) -> bool {
        let before = self.ranges.range(..=orphan.last.clone()).next_back();
        if before.is_some_and(|(_, last)| *last >= orphan.first) {
            return false;
        }
        self.ranges.insert(orphan.first.clone(), orphan.last.clone());
        self.leaves.push(orphan.clone());
        true
    }
}

/// Puts a leaf into the first extra table that has room for it. Returns `false` if there would be too many tables.
fn put_into(extra: &mut Vec<ExtraTable>, orphan: Orphan) -> bool {
    if extra.iter_mut().any(|table| table.add(&orphan)) {
        return true;
    }
    let may_grow = extra.len() < MAX_EXTRA_TABLES;
    if may_grow {
        let mut table = ExtraTable::default();
        table.add(&orphan);
        extra.push(table);
    }
    may_grow
}

/// Returns the leaves of a table in the order in which they are written. In place of each gap are the leaves that
/// belong there, youngest first.
pub(super) fn in_order(table: &mut Table) -> Vec<Step> {
    let mut by_gap: Vec<Vec<Orphan>> = vec![Vec::new(); table.tree.gaps.len().max(1)];
    for orphan in table.orphans.drain(..) {
        by_gap[orphan.gap].push(orphan);
    }
    let mut steps = Vec::new();
    for piece in std::mem::take(&mut table.tree.pieces) {
        steps.push(match piece {
            Piece::Leaf(number) => Step::Leaf(number),
            Piece::Gap(gap) => Step::Orphans(std::mem::take(&mut by_gap[gap])),
        });
    }
    steps.extend(by_gap.into_iter().filter(|orphans| !orphans.is_empty()).map(Step::Orphans));
    steps
}

/// What is written next.
pub(super) enum Step {
    Leaf(PageNumber),
    Orphans(Vec<Orphan>),
}
