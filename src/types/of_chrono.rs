//! Dates and times of chrono, in UTC or without a zone. docs/VALUES.md has their ranges.
//!
//! Encodings, the same as those of jiff's types of the same name: `DateTime<Utc>` as `(i64, u32)`, the whole seconds
//! since 1970, rounded down, and the nanoseconds after them; `NaiveDate` as `i32`, the days since 1970; `NaiveTime` as
//! `(u32, u32)`, the seconds since midnight and the nanoseconds after them, a second or more in a leap second;
//! `NaiveDateTime` as `(i32, u32, u32)`, its date and its time; `TimeDelta` as `(i64, i32)`, the whole seconds, rounded
//! toward zero, and the nanoseconds after them, of the same sign.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};

use super::represented::{NANOS_PER_SECOND, represented};
use super::{Element, EncodeKey, EncodeValue, Encoder, Key, KeyPosition, KeyReader, Value, decode_error};
use crate::Result;

/// Days from the day before the year 1, as chrono counts them, to 1970.
const EPOCH_DAY: i32 = 719_163;

represented! {
    DateTime<Utc>: "timestamp", as (i64, u32),
        |time| (time.timestamp(), time.timestamp_subsec_nanos()),
        |parts| DateTime::from_timestamp(parts.0, parts.1),
        "chrono has no such time, or its nanoseconds are a second or more";
    NaiveDate: "date", as i32,
        |date| date.num_days_from_ce() - EPOCH_DAY,
        |days| date(days),
        "chrono has no such date";
    NaiveTime: "time", as (u32, u32),
        |time| (time.num_seconds_from_midnight(), time.nanosecond()),
        |parts| NaiveTime::from_num_seconds_from_midnight_opt(parts.0, parts.1),
        "a day has no such time";
    NaiveDateTime: "datetime", as (i32, u32, u32),
        |time| {
            let days = time.date().num_days_from_ce() - EPOCH_DAY;
            (days, time.num_seconds_from_midnight(), time.nanosecond())
        },
        |parts| {
            let time = NaiveTime::from_num_seconds_from_midnight_opt(parts.1, parts.2);
            date(parts.0).zip(time).map(|(date, time)| date.and_time(time))
        },
        "chrono has no such date, or a day no such time";
    TimeDelta: "signedduration", as (i64, i32),
        |delta| (delta.num_seconds(), delta.subsec_nanos()),
        |parts| delta(parts),
        "it is outside of chrono's range, or its nanoseconds are a second or more, or of another sign";
}

fn date(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(days.checked_add(EPOCH_DAY)?)
}

fn delta((seconds, nanos): (i64, i32)) -> Option<TimeDelta> {
    let has_one_sign = seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0);
    match nanos {
        _ if !has_one_sign || nanos.unsigned_abs() >= NANOS_PER_SECOND => None,
        0.. => TimeDelta::new(seconds, nanos.unsigned_abs()),
        _ => TimeDelta::new(seconds.checked_sub(1)?, NANOS_PER_SECOND - nanos.unsigned_abs()),
    }
}

impl Element for DateTime<Utc> {}
impl Element for NaiveDate {}
impl Element for NaiveTime {}
impl Element for NaiveDateTime {}
impl Element for TimeDelta {}
