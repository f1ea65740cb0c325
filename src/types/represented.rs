//! Types of std that are stored as numbers, or tuples of numbers.
//!
//! Encodings: `usize` and `isize` as `u64` and `i64`, so that a file does not depend on the machine; `NonZero` as its
//! number; `Duration` as `(u64, u32)`, its whole seconds and the nanoseconds after them; `SystemTime` as `(i64,
//! u32)`, the whole seconds since 1970, rounded down, and the nanoseconds after them; an IP address as its number; a
//! socket address as `(address, port)`, of version 6 as `(address, port, flow information, scope)`.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::num::NonZero;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{EncodeKey, EncodeValue, Encoder, Key, KeyPosition, KeyReader, Value, decode_error};
use crate::Result;

pub(super) const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// `$type`, called `$name`, is stored as a `$stored`: `$to` makes it of a value, and `$from` makes an optional value
/// of it. If there is none, `$problem` says why.
macro_rules! represented {
    ($(
        $type:ty: $name:expr, as $stored:ty, |$value:ident| $to:expr, |$read:ident| $from:expr, $problem:literal;
    )*) => {$(
        impl Key for $type {
            type Owned = $type;

            fn type_name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }

            #[inline]
            fn read(reader: &mut KeyReader<'_>, place: KeyPosition) -> Result<$type> {
                let $read = <$stored as Key>::read(reader, place)?;
                $from.ok_or_else(|| decode_error($name, $problem))
            }
        }

        impl EncodeKey<$type> for $type {
            #[inline]
            fn encode_key_into(&self, encoder: &mut Encoder, place: KeyPosition) {
                let $value = *self;
                EncodeKey::<$stored>::encode_key_into(&$to, encoder, place);
            }
        }

        impl Value for $type {
            type Ref<'a> = $type;
            type Owned = $type;
            const FIXED_SIZE: Option<usize> = <$stored as Value>::FIXED_SIZE;

            fn type_name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }

            #[inline]
            fn decode(bytes: &[u8]) -> Result<$type> {
                let $read = <$stored as Value>::decode(bytes)?;
                $from.ok_or_else(|| decode_error($name, $problem))
            }

            #[inline]
            fn into_owned(value: $type) -> $type {
                value
            }
        }

        impl EncodeValue<$type> for $type {
            #[inline]
            fn encode_value_into(&self, encoder: &mut Encoder) -> Result<()> {
                let $value = *self;
                EncodeValue::<$stored>::encode_value_into(&$to, encoder)
            }
        }
    )*};
}

#[cfg_attr(
    not(any(feature = "chrono", feature = "jiff")),
    expect(unused_imports, reason = "of features' types")
)]
pub(super) use represented;

represented! {
    usize: "u64", as u64, |number| number as u64, |number| usize::try_from(number).ok(),
        "the number is too large for a `usize` of this machine";
    isize: "i64", as i64, |number| number as i64, |number| isize::try_from(number).ok(),
        "the number is too large for an `isize` of this machine";
    Duration: "duration", as (u64, u32),
        |duration| (duration.as_secs(), duration.subsec_nanos()),
        |parts| duration(parts),
        "the nanoseconds are a second or more";
    SystemTime: "systemtime", as (i64, u32),
        |time| since_epoch(time),
        |parts| time(parts),
        "the nanoseconds are a second or more, or this system has no such time";
    Ipv4Addr: "ipv4addr", as u32, |address| address.to_bits(), |bits| Some(Ipv4Addr::from_bits(bits)), "";
    Ipv6Addr: "ipv6addr", as u128, |address| address.to_bits(), |bits| Some(Ipv6Addr::from_bits(bits)), "";
    SocketAddrV4: "socketaddrv4", as (Ipv4Addr, u16),
        |address| (*address.ip(), address.port()),
        |parts| Some(SocketAddrV4::new(parts.0, parts.1)),
        "";
    SocketAddrV6: "socketaddrv6", as (Ipv6Addr, u16, u32, u32),
        |address| (*address.ip(), address.port(), address.flowinfo(), address.scope_id()),
        |parts| Some(SocketAddrV6::new(parts.0, parts.1, parts.2, parts.3)),
        "";
}

macro_rules! non_zero {
    ($($integer:ident $name:literal;)*) => {
        represented! {$(
            NonZero<$integer>: $name, as $integer, |number| number.get(), |number| NonZero::new(number), "it is zero";
        )*}
    };
}

non_zero! {
    u8 "nonzero<u8>";
    u16 "nonzero<u16>";
    u32 "nonzero<u32>";
    u64 "nonzero<u64>";
    u128 "nonzero<u128>";
    usize "nonzero<u64>";
    i8 "nonzero<i8>";
    i16 "nonzero<i16>";
    i32 "nonzero<i32>";
    i64 "nonzero<i64>";
    i128 "nonzero<i128>";
    isize "nonzero<i64>";
}

fn duration((seconds, nanos): (u64, u32)) -> Option<Duration> {
    (nanos < NANOS_PER_SECOND).then(|| Duration::new(seconds, nanos))
}

/// The whole seconds since 1970, rounded down, and the nanoseconds after them.
fn since_epoch(time: SystemTime) -> (i64, u32) {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (after.as_secs() as i64, after.subsec_nanos()),
        Err(error) => {
            let before = error.duration();
            match before.subsec_nanos() {
                0 => (0i64.wrapping_sub_unsigned(before.as_secs()), 0),
                nanos => ((-1i64).wrapping_sub_unsigned(before.as_secs()), NANOS_PER_SECOND - nanos),
            }
        }
    }
}

fn time((seconds, nanos): (i64, u32)) -> Option<SystemTime> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let second = match seconds {
        0.. => UNIX_EPOCH.checked_add(whole)?,
        _ => UNIX_EPOCH.checked_sub(whole)?,
    };
    second.checked_add(duration((0, nanos))?)
}
