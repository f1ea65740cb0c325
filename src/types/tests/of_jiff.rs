//! jiff's types: order, extremes, fixed bytes; those of chrono have the same.

use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::exact::{hostile_key, hostile_value, round_trip};
use super::golden::{check_key, check_value};
use super::order::check;
use super::*;

fn nanos() -> impl Strategy<Value = i32> + Clone {
    prop_oneof![Just(0), Just(1), Just(999_999_999), 0..1_000_000_000i32]
}

fn instants() -> impl Strategy<Value = Timestamp> + Clone {
    let (min, max) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    let seconds = prop_oneof![-2..2i64, Just(min), Just(max), min..=max];
    (seconds, nanos()).prop_map(|(second, nanos)| Timestamp::new(second, nanos).unwrap())
}

fn dates() -> impl Strategy<Value = Date> + Clone {
    prop_oneof![
        Just(Date::MIN),
        Just(Date::MAX),
        (-9999..=9999i16, 1..=12i8, 1..=28i8).prop_map(|(year, month, day)| Date::constant(year, month, day)),
        (1969..=1970i16, 1..=31i8).prop_map(|(year, day)| Date::constant(year, 12, day)),
    ]
}

fn times() -> impl Strategy<Value = Time> + Clone {
    let parts = (0..24i8, 0..60i8, 0..60i8, nanos());
    prop_oneof![
        Just(Time::MAX),
        parts.prop_map(|(hour, minute, second, nanos)| Time::new(hour, minute, second, nanos).unwrap())
    ]
}

fn datetimes() -> impl Strategy<Value = DateTime> + Clone {
    (dates(), times()).prop_map(|(date, time)| date.to_datetime(time))
}

fn durations() -> impl Strategy<Value = SignedDuration> + Clone {
    let seconds = prop_oneof![-2..2i64, any::<i64>()];
    prop_oneof![
        Just(SignedDuration::MIN),
        Just(SignedDuration::MAX),
        (seconds, nanos()).prop_map(|(seconds, nanos)| SignedDuration::new(seconds, nanos)),
    ]
}

#[test]
fn order() {
    check(dates());
    check(times());
    check(datetimes());
    check(instants());
    check(durations());
}

#[test]
fn values_come_back() {
    round_trip((dates(), times(), datetimes(), instants(), durations()));
    round_trip(prop::collection::vec(instants(), 0..4));
}

#[test]
fn hostile_bytes() {
    hostile_key::<(Date, Time)>();
    hostile_key::<DateTime>();
    hostile_key::<Timestamp>();
    hostile_key::<SignedDuration>();
    hostile_value::<(Date, Time)>();
    hostile_value::<DateTime>();
    hostile_value::<Timestamp>();
    hostile_value::<SignedDuration>();
}

#[test]
fn bytes_and_names_are_fixed() {
    let instant = Timestamp::new(-1, 500_000_000).unwrap();
    check_key::<Timestamp>(instant, "7fffffffffffffff1dcd6500");
    check_value::<Timestamp>(instant, "ffffffffffffffff0065cd1d");
    let date = Date::constant(1970, 1, 3);
    check_key::<Date>(date, "80000002");
    check_value::<Date>(date, "02000000");
    let time = Time::constant(1, 0, 1, 7);
    check_key::<Time>(time, "00000e1100000007");
    check_key::<DateTime>(date.to_datetime(time), "8000000200000e1100000007");
    check_key::<SignedDuration>(SignedDuration::new(-1, -1), "7fffffffffffffff7fffffff");
    check_value::<SignedDuration>(SignedDuration::new(-1, -1), "ffffffffffffffffffffffff");
    let names = [
        <Timestamp as Key>::type_name(),
        <Date as Value>::type_name(),
        <Time as Key>::type_name(),
        <DateTime as Value>::type_name(),
        <SignedDuration as Key>::type_name(),
    ];
    assert_eq!(names, ["timestamp", "date", "time", "datetime", "signedduration"]);
}

#[test]
fn what_jiff_has_not() {
    assert!(<Time as Value>::decode(&value_bytes::<(u32, u32)>((59, 1_000_000_000))).is_err());
    assert!(<Time as Value>::decode(&value_bytes::<(u32, u32)>((86_400, 0))).is_err());
    assert!(<Time as Value>::decode(&value_bytes::<(u32, u32)>((u32::MAX, 0))).is_err());
    assert!(<Date as Value>::decode(&i32::MAX.to_le_bytes()).is_err());
    assert!(<Date as Value>::decode(&i32::MIN.to_le_bytes()).is_err());
    assert!(<Timestamp as Value>::decode(&value_bytes::<(i64, u32)>((0, 1_000_000_000))).is_err());
    assert!(<Timestamp as Value>::decode(&value_bytes::<(i64, u32)>((i64::MIN, 7))).is_err());
    for parts in [(1, -1), (-1, 1), (0, 1_000_000_000), (0, i32::MIN)] {
        assert!(<SignedDuration as Value>::decode(&value_bytes::<(i64, i32)>(parts)).is_err(), "{parts:?}");
    }
}
