//! Tests of the tree as a whole, on pages in memory.

mod counting;
mod hostile;
mod model;
mod scan;
mod shape;
mod store;
