//! A cursor that stands on an entry, or where one was, and steps in both directions.
//!
//! It owns its place and no reference to the tree: each movement gets the nodes and the tree's top. Between movements
//! the tree may change, if [`EntryCursor::forget_path`] is called: the cursor then finds its place again by its key.
//! Otherwise a step goes on from the path of the one before.
//!
//! Invariants:
//! - A movement that fails moves nothing. One that succeeds returns where it leads ([`Landing`]), and the caller says
//!   whether to go there ([`EntryCursor::land`]).
//! - I5: the key of each step is beyond that of the step before, or it is damage. So a walk in one direction ends,
//!   whatever pages refer to each other, and whatever is changed on the way.

use std::cmp::Ordering;
use std::ops::Bound;

use crate::base::KeyBuf;
use crate::error::{Error, Result, corrupt};
use crate::format::node::NodeView;
use crate::tree::count::entry_at;
use crate::tree::cursor::{End, Path, descend, to_next_leaf, to_previous_leaf};
use crate::tree::nodes::{LeafCount, Nodes, TreeTop, leaf_at};

/// Where a cursor stands.
#[derive(Clone, Debug)]
enum Place {
    /// Before the first entry.
    Start,
    /// On the entry with this key. The path leads to it, unless the tree may have changed since.
    Entry(KeyBuf, Option<Path>),
    /// Where an entry with this key would be. There is none.
    Gap(KeyBuf),
    /// After the last entry.
    End,
}

/// A cursor over the entries of one tree.
#[derive(Clone, Debug)]
pub(crate) struct EntryCursor {
    place: Place,
}

/// A movement of a cursor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Movement<'k> {
    First,
    Last,
    Next,
    Previous,
    /// Nowhere: to the entry on which it stands.
    Stay,
    /// To the first entry within a lower bound.
    Seek(Bound<&'k [u8]>),
    /// To the last entry within an upper bound.
    SeekBack(Bound<&'k [u8]>),
    /// To the entry of a key, or where it would be.
    Exact(&'k [u8]),
    /// After the last entry.
    End,
}

/// Where a movement leads.
#[must_use = "the cursor has not moved yet"]
pub(crate) struct Landing<'a> {
    goal: Goal,
    entry: Option<(KeyBuf, &'a [u8])>,
}

#[derive(Debug)]
enum Goal {
    Place(Place),
    /// The entry with this key and index, in the same leaf as the one on which the cursor stands.
    Beside(KeyBuf, usize),
}

impl<'a> Landing<'a> {
    fn nowhere(place: Place) -> Landing<'a> {
        Landing { goal: Goal::Place(place), entry: None }
    }

    /// The entry there, if there is one.
    pub(crate) fn take_entry(&mut self) -> Option<(KeyBuf, &'a [u8])> {
        self.entry.take()
    }
}

impl EntryCursor {
    /// A cursor before the first entry.
    pub(crate) fn new() -> EntryCursor {
        EntryCursor { place: Place::Start }
    }

    /// The key of the entry on which the cursor stands.
    pub(crate) fn key(&self) -> Option<&KeyBuf> {
        match &self.place {
            Place::Entry(key, _) => Some(key),
            _ => None,
        }
    }

    /// Goes where a movement leads.
    pub(crate) fn land(&mut self, landing: Landing<'_>) {
        match (landing.goal, &mut self.place) {
            (Goal::Place(place), here) => *here = place,
            (Goal::Beside(key, index), Place::Entry(here, Some(path))) => {
                (*here, path.leaf.index) = (key, index);
            }
            (Goal::Beside(key, _), here) => *here = Place::Entry(key, None),
        }
    }

    /// Says that the tree may have changed.
    pub(crate) fn forget_path(&mut self) {
        if let Place::Entry(_, path) = &mut self.place {
            *path = None;
        }
    }

    /// Says that the entry on which the cursor stands is gone.
    pub(crate) fn forget_entry(&mut self) {
        if let Place::Entry(key, _) = &self.place {
            self.place = Place::Gap(key.clone());
        }
    }

    /// Says that the cursor stands on the entry of `key`.
    pub(crate) fn stand_on(&mut self, key: &[u8]) {
        self.place = Place::Entry(KeyBuf::from(key), None);
    }

    /// Where `movement` leads, in the tree at `top` as it is now.
    pub(crate) fn find<'a>(
        &self,
        nodes: impl Nodes<'a>,
        top: TreeTop,
        movement: Movement<'_>,
    ) -> Result<Landing<'a>> {
        match movement {
            Movement::First => seek(nodes, top, Bound::Unbounded, End::Front),
            Movement::Last => seek(nodes, top, Bound::Unbounded, End::Back),
            Movement::Seek(bound) => seek(nodes, top, bound, End::Front),
            Movement::SeekBack(bound) => seek(nodes, top, bound, End::Back),
            Movement::Exact(key) => exact(nodes, top, key),
            Movement::Stay => self.stay(nodes, top),
            Movement::End => Ok(Landing::nowhere(Place::End)),
            Movement::Next => match &self.place {
                Place::Start => seek(nodes, top, Bound::Unbounded, End::Front),
                Place::End => Ok(Landing::nowhere(Place::End)),
                Place::Entry(key, Some(path)) => step(nodes, path, key, End::Front),
                Place::Entry(key, None) | Place::Gap(key) => {
                    seek(nodes, top, Bound::Excluded(key), End::Front)
                }
            },
            Movement::Previous => match &self.place {
                Place::Start => Ok(Landing::nowhere(Place::Start)),
                Place::End => seek(nodes, top, Bound::Unbounded, End::Back),
                Place::Entry(key, Some(path)) => step(nodes, path, key, End::Back),
                Place::Entry(key, None) | Place::Gap(key) => {
                    seek(nodes, top, Bound::Excluded(key), End::Back)
                }
            },
        }
    }

    fn stay<'a>(&self, nodes: impl Nodes<'a>, top: TreeTop) -> Result<Landing<'a>> {
        match &self.place {
            Place::Entry(key, Some(path)) => {
                let (_, value) = entry_at(nodes, leaf_at(nodes, path.leaf.node)?, path.leaf.index)?;
                let goal = Goal::Beside(key.clone(), path.leaf.index);
                Ok(Landing { goal, entry: Some((key.clone(), value)) })
            }
            Place::Entry(key, None) => {
                let landing = exact(nodes, top, key)?;
                // What was found once is found again, unless keys are out of order.
                if landing.entry.is_some() { Ok(landing) } else { Err(out_of_order()) }
            }
            other => Ok(Landing::nowhere(other.clone())),
        }
    }
}

/// The entry of `key`, or the gap where it would be.
fn exact<'a>(nodes: impl Nodes<'a>, top: TreeTop, key: &[u8]) -> Result<Landing<'a>> {
    let landing = seek(nodes, top, Bound::Included(key), End::Front)?;
    match &landing.entry {
        Some((found, _)) if **found == *key => Ok(landing),
        _ => Ok(Landing::nowhere(Place::Gap(KeyBuf::from(key)))),
    }
}

/// The first entry within a lower bound, or the last within an upper one.
fn seek<'a>(nodes: impl Nodes<'a>, top: TreeTop, bound: Bound<&[u8]>, end: End) -> Result<Landing<'a>> {
    if top.depth == 0 {
        return Ok(Landing::nowhere(beyond(end)));
    }
    let path = descend(nodes, top, &bound.map(KeyBuf::from), end, end)?;
    let key = match bound {
        Bound::Included(key) | Bound::Excluded(key) => Some(key),
        Bound::Unbounded => None,
    };
    settle(nodes, path, key, matches!(bound, Bound::Included(_)), end)
}

/// The entry beside that of `path`, whose key is `key`.
fn step<'a>(nodes: impl Nodes<'a>, path: &Path, key: &KeyBuf, end: End) -> Result<Landing<'a>> {
    let leaf = leaf_at(nodes, path.leaf.node)?;
    let index = match end {
        End::Front => Some(path.leaf.index + 1).filter(|&index| index < leaf.count()),
        End::Back => path.leaf.index.checked_sub(1),
    };
    let Some(index) = index else {
        let mut path = path.clone();
        path.leaf.index += usize::from(end == End::Front);
        return settle(nodes, path, Some(key), false, end);
    };
    let entry = entry_at(nodes, leaf, index)?;
    check_order(&entry.0, Some(key), false, end)?;
    Ok(Landing { goal: Goal::Beside(entry.0.clone(), index), entry: Some(entry) })
}

/// The entry before which `path` stands, or, from the back, after which it stands. Its key must be beyond `limit`.
fn settle<'a>(
    nodes: impl Nodes<'a>,
    mut path: Path,
    limit: Option<&[u8]>,
    is_limit_included: bool,
    end: End,
) -> Result<Landing<'a>> {
    let mut leaf = leaf_at(nodes, path.leaf.node)?;
    let is_used_up = match end {
        End::Front => path.leaf.index >= leaf.count(),
        End::Back => path.leaf.index == 0,
    };
    if is_used_up {
        let leaves = &mut LeafCount::default();
        let has_more = match end {
            End::Front => to_next_leaf(nodes, &mut path, leaves)?,
            End::Back => to_previous_leaf(nodes, &mut path, leaves)?,
        };
        if !has_more {
            return Ok(Landing::nowhere(beyond(end)));
        }
        leaf = leaf_at(nodes, path.leaf.node)?;
    }
    path.leaf.index -= usize::from(end == End::Back);
    let entry = entry_at(nodes, leaf, path.leaf.index)?;
    check_order(&entry.0, limit, is_limit_included, end)?;
    Ok(Landing { goal: Goal::Place(Place::Entry(entry.0.clone(), Some(path))), entry: Some(entry) })
}

/// Checks that `key` is beyond `limit` as seen from `end`.
fn check_order(key: &[u8], limit: Option<&[u8]>, is_limit_included: bool, end: End) -> Result<()> {
    let expected = if end == End::Front { Ordering::Greater } else { Ordering::Less };
    let is_beyond = |limit: &[u8]| match key.cmp(limit) {
        Ordering::Equal => is_limit_included,
        order => order == expected,
    };
    if limit.is_none_or(is_beyond) { Ok(()) } else { Err(out_of_order()) }
}

fn beyond(end: End) -> Place {
    match end {
        End::Front => Place::End,
        End::Back => Place::Start,
    }
}

#[cold]
fn out_of_order() -> Error {
    corrupt(None, "order of the keys", "ascending", "otherwise")
}
