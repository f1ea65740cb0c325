//! The explorer on mapleaf itself, and on mistakes that are made on purpose.

mod mixed;
mod survives;
