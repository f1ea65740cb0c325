//! Writes and reads MessagePack, by `rmp-serde`, with what a type's evolution needs: structs are maps from the names
//! of their fields, and enums go by the names of their variants.
//!
//! It counts as a human-readable format. What serde collects of a value before it knows its type, for `tag`,
//! `untagged` and `flatten`, always counts as one: types that have two forms, such as addresses and UUIDs, would be
//! written there in the one and read in the other.

use rmp_serde::{Deserializer, Serializer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::MAX_DEPTH;
use super::problem::Problem;

pub(super) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), Problem> {
    let mut serializer = Serializer::new(out).with_struct_map().with_human_readable();
    value.serialize(&mut serializer).map_err(|error| Problem(error.to_string()))
}

/// Reads a value that all of `bytes` are.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut rest = bytes;
    let mut deserializer = Deserializer::new(&mut rest).with_human_readable();
    deserializer.set_max_depth(MAX_DEPTH);
    let value = T::deserialize(&mut deserializer).map_err(|error| Problem(error.to_string()))?;
    match rest.len() {
        0 => Ok(value),
        extra => Err(Problem(format!("{extra} bytes too many"))),
    }
}
