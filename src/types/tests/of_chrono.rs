//! chrono's types: order, extremes, fixed bytes.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::exact::{hostile_key, hostile_value, round_trip};
use super::golden::{check_key, check_value};
use super::order::check;
use super::*;

fn nanos() -> impl Strategy<Value = u32> + Clone {
    prop_oneof![Just(0), Just(1), Just(999_999_999), 0..1_000_000_000u32]
}

fn dates() -> impl Strategy<Value = NaiveDate> + Clone {
    let days = prop_oneof![-3..3i32, -90_000_000..90_000_000, Just(i32::MIN), Just(i32::MAX)];
    days.prop_map(|days| match days {
        i32::MIN => NaiveDate::MIN,
        i32::MAX => NaiveDate::MAX,
        _ => NaiveDate::from_num_days_from_ce_opt(719_163 + days).unwrap(),
    })
}

fn times() -> impl Strategy<Value = NaiveTime> + Clone {
    let seconds = prop_oneof![Just(0u32), Just(59), Just(86_399), 0..86_400u32];
    (seconds, nanos(), any::<bool>()).prop_map(|(second, nanos, is_leap)| {
        let leap = if is_leap && second % 60 == 59 { 1_000_000_000 } else { 0 };
        NaiveTime::from_num_seconds_from_midnight_opt(second, nanos + leap).unwrap()
    })
}

fn datetimes() -> impl Strategy<Value = NaiveDateTime> + Clone {
    (dates(), times()).prop_map(|(date, time)| date.and_time(time))
}

fn instants() -> impl Strategy<Value = DateTime<Utc>> + Clone {
    datetimes().prop_map(|time| time.and_utc())
}

fn deltas() -> impl Strategy<Value = TimeDelta> + Clone {
    let seconds = prop_oneof![-2..2i64, any::<i64>()];
    (seconds, nanos()).prop_map(|(seconds, nanos)| {
        let outermost = if seconds < 0 { TimeDelta::MIN } else { TimeDelta::MAX };
        TimeDelta::new(seconds, nanos).unwrap_or(outermost)
    })
}

#[test]
fn order() {
    check(dates());
    check(times());
    check(datetimes());
    check(instants());
    check(deltas());
}

#[test]
fn values_come_back() {
    round_trip((dates(), times(), datetimes(), instants(), deltas()));
    round_trip(prop::collection::vec(instants(), 0..4));
}

#[test]
fn hostile_bytes() {
    hostile_key::<(NaiveDate, NaiveTime)>();
    hostile_key::<NaiveDateTime>();
    hostile_key::<DateTime<Utc>>();
    hostile_key::<TimeDelta>();
    hostile_value::<(NaiveDate, NaiveTime)>();
    hostile_value::<NaiveDateTime>();
    hostile_value::<DateTime<Utc>>();
    hostile_value::<TimeDelta>();
}

#[test]
fn bytes_and_names_are_fixed() {
    let instant = DateTime::from_timestamp(-1, 500_000_000).unwrap();
    check_key::<DateTime<Utc>>(instant, "7fffffffffffffff1dcd6500");
    check_value::<DateTime<Utc>>(instant, "ffffffffffffffff0065cd1d");
    let date = NaiveDate::from_ymd_opt(1970, 1, 3).unwrap();
    check_key::<NaiveDate>(date, "80000002");
    check_value::<NaiveDate>(date, "02000000");
    let time = NaiveTime::from_hms_nano_opt(1, 0, 1, 7).unwrap();
    check_key::<NaiveTime>(time, "00000e1100000007");
    check_key::<NaiveDateTime>(date.and_time(time), "8000000200000e1100000007");
    check_key::<TimeDelta>(TimeDelta::new(-2, 999_999_999).unwrap(), "7fffffffffffffff7fffffff");
    check_value::<TimeDelta>(TimeDelta::new(-2, 999_999_999).unwrap(), "ffffffffffffffffffffffff");
    let names = [
        <DateTime<Utc> as Key>::type_name(),
        <NaiveDate as Value>::type_name(),
        <NaiveTime as Key>::type_name(),
        <NaiveDateTime as Value>::type_name(),
        <TimeDelta as Key>::type_name(),
    ];
    assert_eq!(names, ["timestamp", "date", "time", "datetime", "signedduration"]);
}

#[test]
fn what_chrono_has_not() {
    let leap = value_bytes::<(u32, u32)>((58, 1_000_000_000));
    assert!(<NaiveTime as Value>::decode(&leap).is_err());
    assert!(<NaiveTime as Value>::decode(&value_bytes::<(u32, u32)>((59, 1_000_000_000))).is_ok());
    assert!(<NaiveDate as Value>::decode(&i32::MAX.to_le_bytes()).is_err());
    assert!(<NaiveDate as Value>::decode(&i32::MIN.to_le_bytes()).is_err());
    for parts in [(1, -1), (-1, 1), (0, 1_000_000_000), (i64::MIN, -1), (i64::MAX, 0), (0, i32::MIN)] {
        assert!(<TimeDelta as Value>::decode(&value_bytes::<(i64, i32)>(parts)).is_err(), "{parts:?}");
    }
}
