//! Strategies whose values collide, share beginnings and lie at the edges far more often than chance has it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::NonZero;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// Text whose letters often differ in case only.
pub(super) fn cased() -> impl Strategy<Value = String> + Clone {
    let character = prop::sample::select(vec!['\0', '@', 'A', 'a', 'Z', 'z', '[', 'É', 'é', '\u{10ffff}']);
    prop::collection::vec(character, 0..5).prop_map(String::from_iter)
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

numbers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

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

pub(super) fn non_zero() -> impl Strategy<Value = (NonZero<u8>, NonZero<i64>, NonZero<isize>)> + Clone {
    let parts = (u8(), i64(), isize());
    parts.prop_filter_map("zero", |(a, b, c)| Some((NonZero::new(a)?, NonZero::new(b)?, NonZero::new(c)?)))
}

pub(super) fn duration() -> impl Strategy<Value = Duration> + Clone {
    let nanos = prop_oneof![Just(0), Just(1), Just(999_999_999), 0..1_000_000_000u32];
    (u64(), nanos).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos))
}

/// Times on both sides of 1970, near to it and far.
pub(super) fn time() -> impl Strategy<Value = SystemTime> + Clone {
    let seconds = prop_oneof![0..3u64, 0..1u64 << 40, Just(i64::MAX as u64)];
    (seconds, duration(), any::<bool>()).prop_filter_map("no time", |(seconds, nanos, is_before)| {
        let distance = Duration::new(seconds, nanos.subsec_nanos());
        if is_before { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) }
    })
}

pub(super) fn ip() -> impl Strategy<Value = IpAddr> + Clone {
    let v4 = u32().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
    let v6 = u128().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)));
    prop_oneof![v4, v6]
}

pub(super) fn socket() -> impl Strategy<Value = SocketAddr> + Clone {
    (ip(), u16(), u32(), u32()).prop_map(|(ip, port, flow, scope)| match ip {
        IpAddr::V4(ip) => SocketAddrV4::new(ip, port).into(),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, flow, scope).into(),
    })
}
