//! The B+tree: search, cursors, insertion, deletion, balance. It reaches pages through two traits and depends on no
//! file and no transaction, so it runs on a `Vec` of pages in tests and under Miri.
//!
//! Reading (`get`, `cursor`, `entry_cursor`, `leaves`, `count`, `sample`, `split`, `walk`, `newer`) is written against
//! [`nodes::Nodes`]: finished pages alone, or a write transaction's frames over them. Changing is [`TreeMut`]'s:
//! `tree_mut` (state, insertion), `remove`, `balance` (over `items`), `redistribute`, `move_down`, `seal`,
//! `savepoints`.

mod balance;
mod count;
pub(crate) mod cursor;
pub(crate) mod entry_cursor;
mod frames;
pub(crate) mod get;
mod items;
mod leaves;
mod level;
pub(crate) mod move_down;
pub(crate) mod multimap;
pub(crate) mod newer;
pub(crate) mod node_check;
pub(crate) mod nodes;
pub(crate) mod pages;
mod redistribute;
mod remove;
mod sample;
mod savepoints;
mod seal;
mod split;
mod tree_mut;
pub(crate) mod walk;

#[cfg(test)]
mod tests;

#[allow(unused_imports)]
pub(crate) use {
    count::{Bounds, count_range, entry_of_rank, estimate_range},
    cursor::{End, OpenLeaf, RangeCursor},
    entry_cursor::{EntryCursor, Landing, Movement},
    frames::FramesOverPages,
    get::{get, get_many},
    leaves::Leaves,
    nodes::{Nodes, TreeTop},
    sample::sample,
    split::boundaries,
    tree_mut::{NewValue, TreeMut},
    walk::{VisitedPages, Visitor, walk},
};
