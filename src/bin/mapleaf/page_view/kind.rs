//! The name of what a page is.

use mapleaf::admin::{Anatomy, Content};

/// What a page is, in a word or two.
pub(super) fn kind_of(page: &Anatomy) -> &'static str {
    match (&page.content, page.kind) {
        (Content::Leaf(leaf), _) if !leaf.tables.is_empty() => "leaf of the catalog",
        (Content::Empty, Some(_)) => "erased meta page",
        (Content::Empty, None) => "zeros",
        (_, Some(kind)) => kind,
        (_, None) => "nothing known: inside a large value, or damaged",
    }
}
