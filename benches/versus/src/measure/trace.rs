//! Reading what `strace -f` wrote.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::run::MARK;

/// The system calls between two marks.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Unit {
    /// How many of each name, from all threads.
    pub calls: BTreeMap<String, u64>,
    /// What all writes together have written.
    pub bytes_written: u64,
}

const WRITES: [&str; 5] = ["write", "writev", "pwrite64", "pwritev", "pwritev2"];

/// The units of work in a trace, in order.
pub fn read(trace: &str) -> Result<Vec<Unit>> {
    let mut units = Vec::new();
    let mut open: Option<Unit> = None;
    for line in trace.lines() {
        if line.contains(&format!("\"{MARK}-begin")) {
            open = Some(Unit::default());
        } else if line.contains(&format!("\"{MARK}-end")) {
            units.push(open.take().context("a unit ends that has not begun")?);
        } else if let (Some(unit), Some(call)) = (&mut open, parse(line)) {
            *unit.calls.entry(call.name.to_owned()).or_default() += 1;
            if WRITES.contains(&call.name) {
                unit.bytes_written += call.result.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
            }
        }
    }
    Ok(units)
}

struct Call<'a> {
    name: &'a str,
    result: Option<i64>,
}

/// A call, on the line on which it ends. The line on which an interrupted one begins is none.
fn parse(line: &str) -> Option<Call<'_>> {
    let text = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
    if text.ends_with("<unfinished ...>") {
        return None;
    }
    let name = match text.strip_prefix("<... ") {
        Some(resumed) => resumed.split(' ').next()?,
        None => text.split_once('(')?.0,
    };
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let result = text.rsplit_once("= ").map(|(_, result)| result.split(' ').next().unwrap_or(""));
    is_name.then(|| Call { name, result: result.and_then(|result| result.parse().ok()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_calls_and_bytes_between_marks() {
        let trace = r#"
7 pwritev(4, [{iov_base="x", iov_len=1}], 1, 0) = 1
7 statx(AT_FDCWD, "/versus-mark-begin-durable", AT_STATX_SYNC_AS_STAT, STATX_ALL, 0x7ffc) = -1 ENOENT (No such file)
7 pwritev(4, [{iov_base="8\334= "..., iov_len=4096}, {iov_base=""..., iov_len=4096}], 2, 12288) = 8192
7 msync(0x7f00, 4096, MS_SYNC <unfinished ...>
8 futex(0x7f, FUTEX_WAKE_PRIVATE, 1) = 0
7 <... msync resumed>)            = 0
7 statx(AT_FDCWD, "/versus-mark-end-durable", AT_STATX_SYNC_AS_STAT, STATX_ALL, 0x7ffc) = -1 ENOENT (No such file)
7 +++ exited with 0 +++
"#;
        let units = read(trace).unwrap();
        let calls =
            [("futex", 1), ("msync", 1), ("pwritev", 1)].map(|(name, count)| (name.to_owned(), count));
        assert_eq!(units, [Unit { calls: BTreeMap::from(calls), bytes_written: 8192 }]);
    }
}
