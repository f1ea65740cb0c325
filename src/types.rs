//! Typed keys and values.
