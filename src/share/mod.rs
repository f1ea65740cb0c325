//! What processes share: heads, reader table, poison.
