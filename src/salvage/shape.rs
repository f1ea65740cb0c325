//! Whether bytes can be a key or value of a type, by the type's name in the catalog. This is used only to tell tables
//! apart: a type that is not known here fits all bytes.

use std::str;

use crate::format::multimap::{COUNTER, COUNTER_COUNT, PAIR, decode_count};

/// Returns whether `bytes` can be an encoding of the type with this name.
pub(super) fn fits(type_name: &str, bytes: &[u8]) -> bool {
    match type_name {
        "u8" | "i8" => bytes.len() == 1,
        "u16" | "i16" => bytes.len() == 2,
        "u32" | "i32" | "f32" => bytes.len() == 4,
        "u64" | "i64" | "f64" => bytes.len() == 8,
        "u128" | "i128" | "ipv6addr" => bytes.len() == 16,
        "ipv4addr" => bytes.len() == 4,
        "duration" | "systemtime" => bytes.len() == 12,
        "socketaddrv4" => bytes.len() == 6,
        "socketaddrv6" => bytes.len() == 26,
        "ipaddr" => matches!((bytes.first(), bytes.len()), (Some(4), 5) | (Some(6), 17)),
        "socketaddr" => matches!((bytes.first(), bytes.len()), (Some(4), 7) | (Some(6), 27)),
        "bool" => matches!(bytes, [0 | 1]),
        "char" => bytes.len() == 4,
        "()" => bytes.is_empty(),
        "str" => str::from_utf8(bytes).is_ok(),
        _ => match type_name.strip_prefix("nonzero<").and_then(|rest| rest.strip_suffix('>')) {
            Some(number) => fits(number, bytes),
            None => fits_array(type_name, bytes).unwrap_or(true),
        },
    }
}

/// Returns whether an entry can be one of a multimap table.
pub(super) fn fits_multimap(key: &[u8], value: &[u8]) -> bool {
    match key {
        COUNTER_COUNT | [COUNTER, ..] => decode_count(value).is_ok(),
        [PAIR, ..] => value.is_empty(),
        _ => false,
    }
}

/// Returns whether the bytes fit `[u8;N]`, or `None` if the type is not of this form.
fn fits_array(type_name: &str, bytes: &[u8]) -> Option<bool> {
    let length: usize = type_name.strip_prefix("[u8;")?.strip_suffix(']')?.parse().ok()?;
    Some(bytes.len() == length)
}
