//! Dates and times of jiff, in UTC or without a zone. docs/VALUES.md has their ranges.
//!
//! Encodings, the same as those of chrono's types of the same name: `Timestamp` as `(i64, u32)`, the whole seconds
//! since 1970, rounded down, and the nanoseconds after them; `civil::Date` as `i32`, the days since 1970; `civil::Time`
//! as `(u32, u32)`, the seconds since midnight and the nanoseconds after them; `civil::DateTime` as `(i32, u32, u32)`,
//! its date and its time; `SignedDuration` as `(i64, i32)`, the whole seconds, rounded toward zero, and the nanoseconds
//! after them, of the same sign.

use std::borrow::Cow;

use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Timestamp};

use super::represented::{NANOS_PER_SECOND, represented};
use super::{Element, EncodeKey, EncodeValue, Encoder, Key, KeyPosition, KeyReader, Value, decode_error};
use crate::Result;

const EPOCH: Date = Date::constant(1970, 1, 1);
const SECONDS_PER_DAY: i64 = 86_400;

represented! {
    Timestamp: "timestamp", as (i64, u32),
        |time| match (time.as_second(), time.subsec_nanosecond()) {
            (second, nanos @ 0..) => (second, nanos.unsigned_abs()),
            (second, nanos) => (second - 1, NANOS_PER_SECOND - nanos.unsigned_abs()),
        },
        |parts| nanoseconds(parts.1).and_then(|nanos| Timestamp::new(parts.0, nanos).ok()),
        "jiff has no such time, or its nanoseconds are a second or more";
    Date: "date", as i32, |date| days(date), |days| date(days), "jiff has no such date";
    Time: "time", as (u32, u32),
        |time| (seconds(time), time.subsec_nanosecond().unsigned_abs()),
        |parts| time(parts.0, parts.1),
        "jiff has no such time of day";
    DateTime: "datetime", as (i32, u32, u32),
        |time| (days(time.date()), seconds(time.time()), time.subsec_nanosecond().unsigned_abs()),
        |parts| date(parts.0).zip(time(parts.1, parts.2)).map(|(date, time)| date.to_datetime(time)),
        "jiff has no such date or time of day";
    SignedDuration: "signedduration", as (i64, i32),
        |duration| (duration.as_secs(), duration.subsec_nanos()),
        |parts| duration(parts),
        "its nanoseconds are a second or more, or of another sign";
}

fn nanoseconds(nanos: u32) -> Option<i32> {
    i32::try_from(nanos).ok().filter(|_| nanos < NANOS_PER_SECOND)
}

/// The days since 1970, which are fewer than four million in both directions.
fn days(date: Date) -> i32 {
    (date.duration_since(EPOCH).as_secs() / SECONDS_PER_DAY) as i32
}

fn date(days: i32) -> Option<Date> {
    EPOCH.checked_add(SignedDuration::from_secs(i64::from(days) * SECONDS_PER_DAY)).ok()
}

fn seconds(time: Time) -> u32 {
    let [hour, minute, second] =
        [time.hour(), time.minute(), time.second()].map(|part| u32::from(part.unsigned_abs()));
    hour * 3600 + minute * 60 + second
}

fn time(seconds: u32, nanos: u32) -> Option<Time> {
    let hour = i8::try_from(seconds / 3600).ok()?;
    let (minute, second) = ((seconds / 60 % 60) as i8, (seconds % 60) as i8);
    Time::new(hour, minute, second, nanoseconds(nanos)?).ok()
}

fn duration((seconds, nanos): (i64, i32)) -> Option<SignedDuration> {
    let has_one_sign = seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0);
    let is_whole = has_one_sign && nanos.unsigned_abs() < NANOS_PER_SECOND;
    is_whole.then(|| SignedDuration::new(seconds, nanos))
}

impl Element for Timestamp {}
impl Element for Date {}
impl Element for Time {}
impl Element for DateTime {}
impl Element for SignedDuration {}
