//! Times and addresses: in JSON they are text. The library encodes and decodes them.
//!
//! A duration is its seconds ("1.5"), a time is that of RFC 3339 in UTC ("2026-01-01T12:00:00.5Z"), an address is what
//! Rust writes. What has no such form (a year of five digits, an address with flow information) is shown as it is
//! stored.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mapleaf::{EncodeKey, EncodeValue, Key, KeyBytes, Value};

use super::role::Role;

const SECONDS_PER_DAY: u64 = 86_400;

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum OfStd {
    Duration,
    Time,
    Ipv4,
    Ipv6,
    Ip,
    SocketV4,
    SocketV6,
    Socket,
}

const NAMES: [(&str, OfStd); 8] = [
    ("duration", OfStd::Duration),
    ("systemtime", OfStd::Time),
    ("ipv4addr", OfStd::Ipv4),
    ("ipv6addr", OfStd::Ipv6),
    ("ipaddr", OfStd::Ip),
    ("socketaddrv4", OfStd::SocketV4),
    ("socketaddrv6", OfStd::SocketV6),
    ("socketaddr", OfStd::Socket),
];

impl OfStd {
    pub(super) fn parse(name: &str) -> Option<OfStd> {
        NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, kind)| kind)
    }

    pub(super) fn name(self) -> &'static str {
        NAMES.into_iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    pub(super) fn fixed_size(self) -> Option<usize> {
        match self {
            OfStd::Duration | OfStd::Time => Some(12),
            OfStd::Ipv4 => Some(4),
            OfStd::Ipv6 => Some(16),
            OfStd::SocketV4 => Some(6),
            OfStd::SocketV6 => Some(26),
            OfStd::Ip | OfStd::Socket => None,
        }
    }

    /// Reads one off the front of `rest`, as text.
    pub(super) fn read(self, rest: &mut &[u8], role: Role) -> Option<String> {
        let size = match (self, rest.first()) {
            (OfStd::Ip, Some(4)) => 5,
            (OfStd::Ip, Some(6)) => 17,
            (OfStd::Socket, Some(4)) => 7,
            (OfStd::Socket, Some(6)) => 27,
            _ => self.fixed_size()?,
        };
        let bytes = take(rest, size)?;
        match self {
            OfStd::Duration => decode::<Duration>(bytes, role).map(seconds),
            OfStd::Time => decode::<SystemTime>(bytes, role).and_then(date),
            OfStd::Ipv4 => address::<Ipv4Addr>(bytes, role),
            OfStd::Ipv6 => address::<Ipv6Addr>(bytes, role),
            OfStd::Ip => address::<IpAddr>(bytes, role),
            OfStd::SocketV4 => address::<SocketAddrV4>(bytes, role),
            OfStd::SocketV6 => address::<SocketAddrV6>(bytes, role),
            OfStd::Socket => address::<SocketAddr>(bytes, role),
        }
    }

    /// What is stored of a text.
    pub(super) fn encode(self, text: &str, role: Role) -> Option<Vec<u8>> {
        match self {
            OfStd::Duration => encode(parse_seconds(text)?, role),
            OfStd::Time => encode(parse_date(text)?, role),
            OfStd::Ipv4 => encode(text.parse::<Ipv4Addr>().ok()?, role),
            OfStd::Ipv6 => encode(text.parse::<Ipv6Addr>().ok()?, role),
            OfStd::Ip => encode(text.parse::<IpAddr>().ok()?, role),
            OfStd::SocketV4 => encode(text.parse::<SocketAddrV4>().ok()?, role),
            OfStd::SocketV6 => encode(text.parse::<SocketAddrV6>().ok()?, role),
            OfStd::Socket => encode(text.parse::<SocketAddr>().ok()?, role),
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

/// The date and time in UTC, of the years 0 to 9999.
fn date(time: SystemTime) -> Option<String> {
    let start = date_of(0, 1, 1)?;
    let since = time.duration_since(start).ok()?;
    let (mut days, second) = (since.as_secs() / SECONDS_PER_DAY, since.as_secs() % SECONDS_PER_DAY);
    let mut year = 0;
    // 400 years are always as long.
    let cycles = days / 146_097;
    days %= 146_097;
    year += cycles * 400;
    while days >= days_in_year(year) {
        days -= days_in_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_in_month(year, month) {
        days -= days_in_month(year, month);
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = fraction(since.subsec_nanos());
    (year <= 9999)
        .then(|| format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z", days + 1))
}

fn parse_date(text: &str) -> Option<SystemTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut parts = date.split('-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let (hour, rest) = time.split_once(':')?;
    let (minute, second) = rest.split_once(':')?;
    let (hour, minute) = (hour.parse::<u64>().ok()?, minute.parse::<u64>().ok()?);
    let second = parse_seconds(second)?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second.as_secs() > 59 {
        return None;
    }
    date_of(year, month, day)?.checked_add(Duration::from_secs(hour * 3600 + minute * 60) + second)
}

/// The beginning of a day, by the Gregorian calendar.
fn date_of(year: u64, month: u64, day: u64) -> Option<SystemTime> {
    if year > 9999 || !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let days = (0..year).map(days_in_year).sum::<u64>()
        + (1..month).map(|month| days_in_month(year, month)).sum::<u64>()
        + (day - 1);
    // 719,528 days lie between the beginnings of the years 0 and 1970.
    let day = |count: u64| Duration::from_secs(count * SECONDS_PER_DAY);
    UNIX_EPOCH.checked_sub(day(719_528))?.checked_add(day(days))
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
            assert_eq!(date(time).as_deref(), Some(text));
            assert_eq!(parse_date(text), Some(time));
        }
        let before = UNIX_EPOCH - Duration::new(1, 500_000_000);
        assert_eq!(date(before).as_deref(), Some("1969-12-31T23:59:58.5Z"));
        assert_eq!(parse_date("1969-12-31T23:59:58.5Z"), Some(before));
        assert_eq!(date(UNIX_EPOCH + Duration::from_secs(253_402_300_800)), None);
        for text in
            ["2026-02-29T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00"]
        {
            assert_eq!(parse_date(text), None, "{text}");
        }
        assert_eq!(parse_seconds("1.5"), Some(Duration::new(1, 500_000_000)));
        assert!(
            ["", "1.", ".5", "-1", "1.0000000000", "1.+5"].iter().all(|text| parse_seconds(text).is_none())
        );
    }
}
