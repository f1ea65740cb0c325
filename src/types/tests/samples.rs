//! Strategies whose values collide, share beginnings and lie at the edges far more often than chance has it.

use proptest::prelude::*;

/// Bytes that the escaping treats apart, and some that it does not.
pub(super) fn byte() -> impl Strategy<Value = u8> + Clone {
    prop_oneof![3 => Just(0u8), 2 => Just(1), 1 => Just(2), 2 => Just(0xfe), 3 => Just(0xff), 1 => any::<u8>()]
}

pub(super) fn bytes() -> impl Strategy<Value = Vec<u8>> + Clone {
    prop::collection::vec(byte(), 0..7)
}

pub(super) fn text() -> impl Strategy<Value = String> + Clone {
    let character = prop_oneof![
        3 => Just('\0'),
        2 => Just('\u{1}'),
        2 => Just('a'),
        1 => Just('\u{7f}'),
        1 => Just('\u{ff}'),
        1 => Just('\u{ffff}'),
        1 => Just('\u{10ffff}'),
        1 => any::<char>(),
    ];
    prop::collection::vec(character, 0..7).prop_map(String::from_iter)
}

/// Long enough to leave the inline buffers.
pub(super) fn any_length() -> impl Strategy<Value = Vec<u8>> + Clone {
    prop_oneof![bytes(), prop::collection::vec(byte(), 30..50)]
}

/// What a hostile file may hold: noise that looks like encodings.
pub(super) fn noise() -> impl Strategy<Value = Vec<u8>> + Clone {
    let word = prop_oneof![byte().boxed(), (0u8..12).boxed(), Just(b'a').boxed(), Just(0x80).boxed()];
    prop::collection::vec(word, 0..24)
}

macro_rules! numbers {
    ($($number:ident)*) => {$(
        pub(super) fn $number() -> impl Strategy<Value = $number> + Clone {
            prop_oneof![
                any::<$number>(),
                ($number::MIN)..=($number::MIN + 2),
                ($number::MAX - 2)..=($number::MAX),
                // Around zero, if it is signed; around the middle, if not.
                ($number::MIN / 2 + $number::MAX / 2 - 1)..=($number::MIN / 2 + $number::MAX / 2 + 2),
            ]
        }
    )*};
}

numbers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

pub(super) fn f64() -> impl Strategy<Value = f64> + Clone {
    let special = [0.0, 1.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::INFINITY, f64::NAN];
    let special = special.into_iter().flat_map(|number| [number, -number]).collect::<Vec<_>>();
    prop_oneof![prop::sample::select(special), any::<u64>().prop_map(f64::from_bits)]
}

pub(super) fn f32() -> impl Strategy<Value = f32> + Clone {
    let special = [0.0, 1.0, f32::MIN_POSITIVE, 1e-45, f32::MAX, f32::INFINITY, f32::NAN];
    let special = special.into_iter().flat_map(|number| [number, -number]).collect::<Vec<_>>();
    prop_oneof![prop::sample::select(special), any::<u32>().prop_map(f32::from_bits)]
}
