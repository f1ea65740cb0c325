//! Numbers as people write and read them.

use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};

/// For people: "1.5 MiB".
pub(crate) fn bytes(count: u64) -> String {
    HumanBytes(count).to_string()
}

/// For people: "1,500".
pub(crate) fn count(count: u64) -> String {
    HumanCount(count).to_string()
}

/// For people: "1 page", "1,500 pages".
pub(crate) fn pages_text(pages: u64) -> String {
    if pages == 1 { "1 page".to_owned() } else { format!("{} pages", count(pages)) }
}

/// For people: "1 entry", "1,500 entries".
pub(crate) fn entries_text(entries: u64) -> String {
    if entries == 1 { "1 entry".to_owned() } else { format!("{} entries", count(entries)) }
}

/// How many a second.
pub(crate) fn rate(done: u64, time: Duration) -> u64 {
    (done as f64 / time.as_secs_f64().max(1e-6)) as u64
}

/// A number of seconds, as an option has it: "0.5".
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A page size, as an option has it: "16384".
pub(crate) fn parse_page_size(text: &str) -> Result<usize, String> {
    let size = text.parse().ok().filter(|size| [4096, 8192, 16384, 32768, 65536].contains(size));
    size.ok_or_else(|| "a page has 4096, 8192, 16384, 32768 or 65536 bytes".to_owned())
}
