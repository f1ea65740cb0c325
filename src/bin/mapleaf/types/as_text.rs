//! Times, addresses and UUIDs: in JSON they are text. The library encodes and decodes them.
//!
//! A duration is its seconds ("1.5", "-1.5"), a time is that of RFC 3339 in UTC ("2026-01-01T12:00:00.5Z"), without "Z"
//! if it has no zone, an address is what Rust writes. What has no such form (a year of five digits, a leap second, an
//! address with flow information) is shown as it is stored.
//!
//! The types of uuid, chrono and jiff are known by their stored form, so the program needs none of these crates.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mapleaf::{EncodeKey, EncodeValue, Key, KeyBytes, Value};

use super::role::Role;
use crate::escape::{from_hex, to_hex};

const SECONDS_PER_DAY: u64 = 86_400;
/// Between the beginnings of the years 0 and 1970.
const DAYS_BEFORE_1970: i64 = 719_528;

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum AsText {
    Duration,
    /// Of both signs.
    SignedDuration,
    Time,
    /// The same, of chrono or jiff.
    Timestamp,
    Date,
    TimeOfDay,
    DateTime,
    Uuid,
    Ipv4,
    Ipv6,
    Ip,
    SocketV4,
    SocketV6,
    Socket,
}

const NAMES: [(&str, AsText); 14] = [
    ("duration", AsText::Duration),
    ("signedduration", AsText::SignedDuration),
    ("systemtime", AsText::Time),
    ("timestamp", AsText::Timestamp),
    ("date", AsText::Date),
    ("time", AsText::TimeOfDay),
    ("datetime", AsText::DateTime),
    ("uuid", AsText::Uuid),
    ("ipv4addr", AsText::Ipv4),
    ("ipv6addr", AsText::Ipv6),
    ("ipaddr", AsText::Ip),
    ("socketaddrv4", AsText::SocketV4),
    ("socketaddrv6", AsText::SocketV6),
    ("socketaddr", AsText::Socket),
];

impl AsText {
    pub(super) fn parse(name: &str) -> Option<AsText> {
        NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, kind)| kind)
    }

    pub(super) fn name(self) -> &'static str {
        NAMES.into_iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    pub(super) fn fixed_size(self) -> Option<usize> {
        match self {
            AsText::Duration
            | AsText::SignedDuration
            | AsText::Time
            | AsText::Timestamp
            | AsText::DateTime => Some(12),
            AsText::TimeOfDay => Some(8),
            AsText::Ipv4 | AsText::Date => Some(4),
            AsText::Ipv6 | AsText::Uuid => Some(16),
            AsText::SocketV4 => Some(6),
            AsText::SocketV6 => Some(26),
            AsText::Ip | AsText::Socket => None,
        }
    }

    /// Reads one off the front of `rest`, as text.
    pub(super) fn read(self, rest: &mut &[u8], role: Role) -> Option<String> {
        let size = match (self, rest.first()) {
            (AsText::Ip, Some(4)) => 5,
            (AsText::Ip, Some(6)) => 17,
            (AsText::Socket, Some(4)) => 7,
            (AsText::Socket, Some(6)) => 27,
            _ => self.fixed_size()?,
        };
        let bytes = take(rest, size)?;
        match self {
            AsText::Duration => decode::<Duration>(bytes, role).map(seconds),
            AsText::SignedDuration => decode::<(i64, i32)>(bytes, role).and_then(signed_seconds),
            AsText::Time | AsText::Timestamp => decode::<SystemTime>(bytes, role).and_then(date_and_time),
            AsText::Date => decode::<i32>(bytes, role).and_then(date),
            AsText::TimeOfDay => decode::<(u32, u32)>(bytes, role).and_then(time_of_day),
            AsText::DateTime => {
                let (days, seconds, nanos) = decode::<(i32, u32, u32)>(bytes, role)?;
                date(days).zip(time_of_day((seconds, nanos))).map(|(date, time)| format!("{date}T{time}"))
            }
            AsText::Uuid => Some(uuid(bytes)),
            AsText::Ipv4 => address::<Ipv4Addr>(bytes, role),
            AsText::Ipv6 => address::<Ipv6Addr>(bytes, role),
            AsText::Ip => address::<IpAddr>(bytes, role),
            AsText::SocketV4 => address::<SocketAddrV4>(bytes, role),
            AsText::SocketV6 => address::<SocketAddrV6>(bytes, role),
            AsText::Socket => address::<SocketAddr>(bytes, role),
        }
    }

    /// What is stored of a text.
    pub(super) fn encode(self, text: &str, role: Role) -> Option<Vec<u8>> {
        match self {
            AsText::Duration => encode(parse_seconds(text)?, role),
            AsText::SignedDuration => encode(parse_signed_seconds(text)?, role),
            AsText::Time | AsText::Timestamp => encode(parse_date_and_time(text)?, role),
            AsText::Date => encode(parse_date(text)?, role),
            AsText::TimeOfDay => encode(parse_time_of_day(text)?, role),
            AsText::DateTime => {
                let (date, time) = text.split_once('T')?;
                let (seconds, nanos) = parse_time_of_day(time)?;
                encode((parse_date(date)?, seconds, nanos), role)
            }
            AsText::Uuid => parse_uuid(text),
            AsText::Ipv4 => encode(text.parse::<Ipv4Addr>().ok()?, role),
            AsText::Ipv6 => encode(text.parse::<Ipv6Addr>().ok()?, role),
            AsText::Ip => encode(text.parse::<IpAddr>().ok()?, role),
            AsText::SocketV4 => encode(text.parse::<SocketAddrV4>().ok()?, role),
            AsText::SocketV6 => encode(text.parse::<SocketAddrV6>().ok()?, role),
            AsText::Socket => encode(text.parse::<SocketAddr>().ok()?, role),
        }
    }
}

/// Takes bytes off the front of `rest`.
pub(super) fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}

fn decode<T: Key<Owned = T> + for<'a> Value<Ref<'a> = T>>(bytes: &[u8], role: Role) -> Option<T> {
    match role {
        Role::Key => <T as Key>::decode(KeyBytes::from(bytes)).ok(),
        Role::Value => <T as Value>::decode(bytes).ok(),
    }
}

fn encode<T: Key + Value + EncodeKey<T> + EncodeValue<T>>(value: T, role: Role) -> Option<Vec<u8>> {
    match role {
        Role::Key => Some(value.encode_key().to_vec()),
        Role::Value => value.encode_value().ok().map(|bytes| bytes.to_vec()),
    }
}

/// The address as text, if the text says all of it.
fn address<T>(bytes: &[u8], role: Role) -> Option<String>
where
    T: Key<Owned = T> + for<'a> Value<Ref<'a> = T> + Display + FromStr + PartialEq,
{
    let address: T = decode(bytes, role)?;
    let text = address.to_string();
    (text.parse::<T>().ok()? == address).then_some(text)
}

fn seconds(duration: Duration) -> String {
    format!("{}{}", duration.as_secs(), fraction(duration.subsec_nanos()))
}

fn fraction(nanos: u32) -> String {
    match nanos {
        0 => String::new(),
        _ => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    }
}

fn parse_seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !(1..=9).contains(&fraction.len())
        || !(whole.to_owned() + fraction).bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let nanos = fraction.parse::<u32>().ok()? * 10u32.pow(9 - fraction.len() as u32);
    Some(Duration::new(whole.parse().ok()?, nanos))
}

fn signed_seconds((seconds, nanos): (i64, i32)) -> Option<String> {
    let duration = Duration::new(seconds.unsigned_abs(), nanos.unsigned_abs());
    let has_one_sign = seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0);
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    let is_whole = has_one_sign && nanos.unsigned_abs() < 1_000_000_000;
    is_whole.then(|| format!("{sign}{}", self::seconds(duration)))
}

fn parse_signed_seconds(text: &str) -> Option<(i64, i32)> {
    let (is_negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let duration = parse_seconds(digits)?;
    let nanos = duration.subsec_nanos() as i32;
    match is_negative {
        true => Some((0i64.checked_sub_unsigned(duration.as_secs())?, -nanos)),
        false => Some((i64::try_from(duration.as_secs()).ok()?, nanos)),
    }
}

/// The date and time in UTC, of the years 0 to 9999.
fn date_and_time(time: SystemTime) -> Option<String> {
    let since = time.duration_since(year_zero()?).ok()?;
    let days = (since.as_secs() / SECONDS_PER_DAY) as i64 - DAYS_BEFORE_1970;
    let date = date(i32::try_from(days).ok()?)?;
    let time = time_of_day(((since.as_secs() % SECONDS_PER_DAY) as u32, since.subsec_nanos()))?;
    Some(format!("{date}T{time}Z"))
}

/// The date that is a number of days after 1970-01-01, of the years 0 to 9999.
fn date(days: i32) -> Option<String> {
    let mut days = u64::try_from(i64::from(days) + DAYS_BEFORE_1970).ok()?;
    // 400 years are always as long.
    let mut year = days / 146_097 * 400;
    days %= 146_097;
    while days >= days_in_year(year) {
        days -= days_in_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_in_month(year, month) {
        days -= days_in_month(year, month);
        month += 1;
    }
    (year <= 9999).then(|| format!("{year:04}-{month:02}-{:02}", days + 1))
}

/// Seconds since midnight, and nanoseconds after them, which are fewer than a second.
fn time_of_day((second, nanos): (u32, u32)) -> Option<String> {
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let is_time = hour < 24 && nanos < 1_000_000_000;
    is_time.then(|| format!("{hour:02}:{minute:02}:{second:02}{}", fraction(nanos)))
}

fn parse_date_and_time(text: &str) -> Option<SystemTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (days, (seconds, nanos)) = (parse_date(date)?, parse_time_of_day(time)?);
    let days = (i64::from(days) + DAYS_BEFORE_1970).unsigned_abs();
    let time = Duration::new(days * SECONDS_PER_DAY + u64::from(seconds), nanos);
    year_zero()?.checked_add(time)
}

/// Returns the days from 1970-01-01 to a date of the years 0 to 9999.
fn parse_date(text: &str) -> Option<i32> {
    let mut parts = text.split('-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let days = days_to(year, month, day).filter(|_| parts.next().is_none())?;
    i32::try_from(days as i64 - DAYS_BEFORE_1970).ok()
}

/// Returns the seconds since midnight, and the nanoseconds after them.
fn parse_time_of_day(text: &str) -> Option<(u32, u32)> {
    let (hour, rest) = text.split_once(':')?;
    let (minute, second) = rest.split_once(':')?;
    let (hour, minute) = (hour.parse::<u32>().ok()?, minute.parse::<u32>().ok()?);
    let second = parse_seconds(second)?;
    let is_time = hour < 24 && minute < 60 && second.as_secs() < 60;
    is_time.then(|| (hour * 3600 + minute * 60 + second.as_secs() as u32, second.subsec_nanos()))
}

/// Digits in groups of 8, 4, 4, 4 and 12.
fn uuid(bytes: &[u8]) -> String {
    let digits = to_hex(bytes);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

fn parse_uuid(text: &str) -> Option<Vec<u8>> {
    let bytes = from_hex(text.replace('-', "").as_bytes()).ok()?;
    (bytes.len() == 16).then_some(bytes)
}

/// The beginning of the year 0.
fn year_zero() -> Option<SystemTime> {
    UNIX_EPOCH.checked_sub(Duration::from_secs(DAYS_BEFORE_1970.unsigned_abs() * SECONDS_PER_DAY))
}

/// Returns the days from the beginning of the year 0 to a day, by the Gregorian calendar.
fn days_to(year: u64, month: u64, day: u64) -> Option<u64> {
    if year > 9999 || !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let months = (1..month).map(|month| days_in_month(year, month)).sum::<u64>();
    Some((0..year).map(days_in_year).sum::<u64>() + months + day - 1)
}

fn days_in_year(year: u64) -> u64 {
    (1..=12).map(|month| days_in_month(year, month)).sum()
}

fn days_in_month(year: u64, month: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // As `date -u -d @SECONDS` has them.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_767_225_600, "2026-01-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(date_and_time(time).as_deref(), Some(text));
            assert_eq!(parse_date_and_time(text), Some(time));
        }
        let before = UNIX_EPOCH - Duration::new(1, 500_000_000);
        assert_eq!(date_and_time(before).as_deref(), Some("1969-12-31T23:59:58.5Z"));
        assert_eq!(parse_date_and_time("1969-12-31T23:59:58.5Z"), Some(before));
        assert_eq!(date_and_time(UNIX_EPOCH + Duration::from_secs(253_402_300_800)), None);
        for text in
            ["2026-02-29T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00"]
        {
            assert_eq!(parse_date_and_time(text), None, "{text}");
        }
        assert_eq!(parse_seconds("1.5"), Some(Duration::new(1, 500_000_000)));
        assert!(
            ["", "1.", ".5", "-1", "1.0000000000", "1.+5"].iter().all(|text| parse_seconds(text).is_none())
        );
    }
    /// Their bytes are those that the library's tests fix: `types::tests::of_chrono`, `of_jiff` and `of_uuid`.
    #[test]
    fn times_of_other_crates() {
        let both = |kind: AsText, key: &str, value: &str, text: &str| {
            for (digits, role) in [(key, Role::Key), (value, Role::Value)] {
                let bytes = from_hex(digits.as_bytes()).unwrap();
                assert_eq!(kind.read(&mut &bytes[..], role).as_deref(), Some(text));
                assert_eq!(kind.encode(text, role), Some(bytes), "{text}");
            }
        };
        let half_a_second_before = ("7fffffffffffffff1dcd6500", "ffffffffffffffff0065cd1d");
        both(AsText::Timestamp, half_a_second_before.0, half_a_second_before.1, "1969-12-31T23:59:59.5Z");
        both(AsText::Date, "80000002", "02000000", "1970-01-03");
        both(AsText::Date, "7fffffff", "ffffffff", "1969-12-31");
        both(AsText::TimeOfDay, "00000e1100000007", "110e000007000000", "01:00:01.000000007");
        let datetime = ("8000000200000e1100000007", "02000000110e000007000000");
        both(AsText::DateTime, datetime.0, datetime.1, "1970-01-03T01:00:01.000000007");
        let before_zero = ("7fffffffffffffff7fffffff", "ffffffffffffffffffffffff");
        both(AsText::SignedDuration, before_zero.0, before_zero.1, "-1.000000001");
        let digits = "01923456789a7bcd8ef0123456789abc";
        both(AsText::Uuid, digits, digits, "01923456-789a-7bcd-8ef0-123456789abc");
        // Of different signs, a leap second, and a year beyond those that have four digits.
        assert_eq!(
            AsText::SignedDuration.read(&mut &[1, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255][..], Role::Value),
            None
        );
        assert_eq!(AsText::TimeOfDay.read(&mut &[59, 0, 0, 0, 0, 202, 154, 59][..], Role::Value), None);
        assert_eq!(AsText::Date.read(&mut &i32::MAX.to_le_bytes()[..], Role::Value), None);
        for text in ["1970-13-01", "1970-1-1-1", "x", ""] {
            assert_eq!(AsText::Date.encode(text, Role::Key), None, "{text}");
        }
        assert_eq!(AsText::SignedDuration.encode("9223372036854775808", Role::Key), None);
        assert_eq!(AsText::Uuid.encode("01923456", Role::Key), None);
    }
}
