//! What workers print: a line `ACK n`, or `ACK worker n` where there are several, for each commit that is durable. All
//! earlier commits of the worker are durable too.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

/// The last commit that each worker has acknowledged.
pub(crate) type Acknowledged = BTreeMap<u64, u64>;

/// Prints that commit `number` is durable, in one piece, so that lines of processes that share an output stay lines.
pub(crate) fn acknowledge(worker: Option<u64>, number: u64) -> io::Result<()> {
    let line = match worker {
        None => format!("ACK {number}\n"),
        Some(worker) => format!("ACK {worker} {number}\n"),
    };
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}

/// Worker and number of a line, without its end. A console may have other lines, or an acknowledgement that another
/// message broke in two: they are none.
fn parse(line: &str) -> Option<(u64, u64)> {
    let mut numbers = line.trim_end().strip_prefix("ACK ")?.split(' ').map(str::parse);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(number)), None, None) => Some((0, number)),
        (Some(Ok(worker)), Some(Ok(number)), None) => Some((worker, number)),
        _ => None,
    }
}

/// Reads to the end. The last line counts only if it is whole: the beginning of `ACK 12 7` would be another one.
pub(crate) fn read(mut from: impl BufRead, mut each: impl FnMut(u64, u64)) -> io::Result<()> {
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        if let Some((worker, number)) =
            line.strip_suffix(b"\n").and_then(|line| parse(str::from_utf8(line).ok()?))
        {
            each(worker, number);
        }
        line.clear();
    }
    Ok(())
}

/// Keeps the greatest number of each worker.
pub(crate) fn raise(acknowledged: &mut Acknowledged, worker: u64, number: u64) {
    let last = acknowledged.entry(worker).or_default();
    *last = number.max(*last);
}
