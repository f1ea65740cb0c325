//! Pictures of files and of trees.

pub(crate) mod file_map;
pub(crate) mod page_classes;
pub(crate) mod svg;
pub(crate) mod tree_shape;
