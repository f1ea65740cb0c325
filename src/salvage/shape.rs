//! Whether bytes can be a key or value of a type, by the type's name in the catalog. This is used only to tell tables
//! apart: a type that is not known here fits all bytes.

use std::str;

use crate::format::multimap::{COUNTER, COUNTER_COUNT, PAIR, decode_count};

/// Returns whether `bytes` can be an encoding of the type with this name.
pub(super) fn fits(type_name: &str, bytes: &[u8]) -> bool {
    match type_name {
        "ipaddr" => matches!((bytes.first(), bytes.len()), (Some(4), 5) | (Some(6), 17)),
        "socketaddr" => matches!((bytes.first(), bytes.len()), (Some(4), 7) | (Some(6), 27)),
        "bool" => matches!(bytes, [0 | 1]),
        "str" => str::from_utf8(bytes).is_ok(),
        "nocase" => str::from_utf8(bytes).is_ok() && !bytes.iter().any(u8::is_ascii_uppercase),
        _ => fixed_len(type_name).is_none_or(|length| bytes.len() == length),
    }
}

/// The length of each encoding of the type, if that follows from its name.
fn fixed_len(type_name: &str) -> Option<usize> {
    let within = |open: &str, close: &str| type_name.strip_prefix(open)?.strip_suffix(close);
    match type_name {
        "()" => Some(0),
        "u8" | "i8" | "bool" => Some(1),
        "u16" | "i16" => Some(2),
        "u32" | "i32" | "f32" | "char" | "ipv4addr" | "date" => Some(4),
        "socketaddrv4" => Some(6),
        "u64" | "i64" | "f64" | "time" => Some(8),
        "duration" | "signedduration" | "systemtime" | "timestamp" | "datetime" => Some(12),
        "u128" | "i128" | "ipv6addr" | "uuid" => Some(16),
        "socketaddrv6" => Some(26),
        _ => match (within("[u8;", "]"), within("nonzero<", ">").or(within("reverse<", ">"))) {
            (Some(length), _) => length.parse().ok(),
            (None, Some(inner)) => fixed_len(inner),
            (None, None) => fixed_len(only_field(type_name)?),
        },
    }
}

/// The type of the only field of a struct such as `UserId(u64)`.
fn only_field(type_name: &str) -> Option<&str> {
    let (name, field) = type_name.strip_suffix(')')?.split_once('(')?;
    (!name.is_empty() && !field.contains(',')).then_some(field)
}

/// Returns whether an entry can be one of a multimap table.
pub(super) fn fits_multimap(key: &[u8], value: &[u8]) -> bool {
    match key {
        COUNTER_COUNT | [COUNTER, ..] => decode_count(value).is_ok(),
        [PAIR, ..] => value.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_follow_from_names() {
        let lengths = [
            ("u64", Some(8)),
            ("()", Some(0)),
            ("uuid", Some(16)),
            ("timestamp", Some(12)),
            ("[u8;7]", Some(7)),
            ("[u16;7]", None),
            ("nonzero<u32>", Some(4)),
            ("reverse<u64>", Some(8)),
            ("reverse<str>", None),
            ("UserId(reverse<u64>)", Some(8)),
            ("Outer(UserId(uuid))", Some(16)),
            ("Marker()", None),
            ("(u64)", None),
            ("Pair(u8,u8)", None),
            ("Visit{page:str}", None),
            ("Event[0:Id(u64)]", None),
            ("serde", None),
        ];
        for (name, length) in lengths {
            assert_eq!(fixed_len(name), length, "{name}");
        }
        assert!(fits("nocase", b"ada") && !fits("nocase", b"Ada") && !fits("nocase", &[0xff]));
        assert!(fits("reverse<bool>", &[0xff]) && !fits("bool", &[0xff]) && fits("serde", &[7]));
        assert!(fits("UserId(u64)", &[0; 8]) && !fits("UserId(u64)", &[0; 7]));
    }
}
