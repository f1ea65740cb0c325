//! What leaves and branches have in common. Each file uses only those listed before it.

mod heads;
mod layout;

mod entry;
mod view;

mod edit;

pub(crate) use self::entry::Entry;
pub(crate) use self::heads::HEAD_LEN;
pub(crate) use self::layout::{
    capacity, has_overflow, key_count, prefetch_all, prefetch_ends, set_has_overflow, slots_start,
};
pub(crate) use self::view::{NodeView, Position};

pub(super) use self::edit::{build, insert_cell, insert_key, remove_keys, replace_key, shorten_heap};
pub(super) use self::heads::{bytes_of_head, head_of, heads_below, padded_head};
pub(super) use self::layout::{
    COUNT, FLAGS, LEAF_LEAD, PREFIX_LEN, Slot, bad_offset, cell_len, dead_bytes, gap_len, heap_len,
    heap_range, init, init_header, overfull, table_len, used_bytes,
};
pub(super) use self::view::{Node, no_such_key, position_beside_all, search_equal};
