//! Tests of the typed layer.

mod exact;
mod golden;
#[cfg(feature = "chrono")]
mod of_chrono;
#[cfg(feature = "jiff")]
mod of_jiff;
#[cfg(feature = "uuid")]
mod of_uuid;
mod order;
mod owned_keys;
mod samples;
#[cfg(feature = "messagepack")]
mod serde_changes;
#[cfg(feature = "serde")]
mod serde_compact;
#[cfg(feature = "messagepack")]
mod serde_named;
mod shapes;

use super::*;

/// A whole key's encoding.
fn key_bytes<K: Key + ?Sized>(key: impl EncodeKey<K>) -> Vec<u8> {
    key.encode_key().to_vec()
}

/// A whole value's encoding.
fn value_bytes<V: Value + ?Sized>(value: impl EncodeValue<V>) -> Vec<u8> {
    value.encode_value().expect("none of the values tested with this can fail to encode").to_vec()
}
