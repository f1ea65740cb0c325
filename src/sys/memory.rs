//! Memory: how much of it this process may use, and large pieces of it, which the system may refuse.
//!
//! Only Linux reports how much there is, in text files: the system's memory, and the limits of the control groups that
//! the process is in, of either version. A container sees its own limit at the root of its groups.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed};
use std::fs;
use std::path::{Path, PathBuf};
use std::ptr;

use crate::error::{Error, Result};

/// Returns `length` zeros, or [`Error::OutOfMemory`]: for lengths that a caller or a file chooses, for which
/// `vec![0; length]` would end the process. The system provides the memory as it is touched.
pub(crate) fn zeroed(length: usize) -> Result<Box<[u8]>> {
    let refused = || Error::OutOfMemory { bytes: length as u64 };
    let layout = Layout::array::<u8>(length).map_err(|_| refused())?;
    if length == 0 {
        return Ok(Box::default());
    }
    // SAFETY: the layout is not empty.
    let start = unsafe { alloc_zeroed(layout) };
    if start.is_null() {
        return Err(refused());
    }
    // SAFETY: the memory was allocated as `Box<[u8]>` allocates it, by the global allocator with the layout of `length`
    // bytes; zeros are bytes, and nothing else owns them.
    Ok(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(start, length)) })
}

/// Returns [`Error::OutOfMemory`] if the system has no memory for `length` bytes at this moment: for a length that a
/// caller or a file chooses, before an allocation that cannot fail. Lengths that every program allocates are not tried.
pub(crate) fn check_room(length: usize) -> Result<()> {
    const MAX_USUAL_LEN: usize = 1 << 20;
    if length <= MAX_USUAL_LEN { Ok(()) } else { zeroed(length).map(drop) }
}

/// Bytes of memory, if the system reports how many.
pub(crate) fn memory_bytes() -> Option<u64> {
    let total = total_in(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits =
        limit_files(&groups).into_iter().filter_map(|path| limit_in(&fs::read_to_string(path).ok()?));
    Some(limits.fold(total, u64::min))
}

fn total_in(meminfo: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The files with the limits of the groups in `/proc/self/cgroup`, and of all groups around them.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let (folder, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = Path::new(group.trim_start_matches('/'));
        files.extend(group.ancestors().map(|group| Path::new(folder).join(group).join(file)));
    }
    files
}

/// `None` if there is no limit.
fn limit_in(file: &str) -> Option<u64> {
    file.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_there_or_an_error() {
        assert!(zeroed(0).unwrap().is_empty());
        assert_eq!(zeroed(10_000).unwrap()[..], [0; 10_000]);
        for absurd in [isize::MAX as usize, usize::MAX] {
            assert!(matches!(zeroed(absurd), Err(Error::OutOfMemory { .. })));
        }
    }

    #[test]
    fn total_is_read_in_kibibytes() {
        assert_eq!(total_in("Other: 1 kB\nMemTotal:       24576 kB\nMemFree: 7 kB\n"), Some(24 << 20));
        assert_eq!(total_in("MemTotal: many kB\n"), None);
        assert_eq!(total_in("MemTotal: 18446744073709551615 kB\n"), None);
        assert_eq!(total_in(""), None);
    }

    #[test]
    #[cfg(unix)]
    fn limits_of_groups_around_count_too() {
        let names = |groups: &str| -> Vec<String> {
            limit_files(groups).iter().map(|path| path.display().to_string()).collect()
        };
        assert_eq!(
            names("0::/app/worker\n"),
            [
                "/sys/fs/cgroup/app/worker/memory.max",
                "/sys/fs/cgroup/app/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            names("5:cpu,memory:/box\n4:memoryless:/box\nnonsense\n"),
            [
                "/sys/fs/cgroup/memory/box/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes"
            ]
        );
        assert_eq!((limit_in("max\n"), limit_in("1048576\n")), (None, Some(1 << 20)));
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[cfg_attr(miri, ignore = "asks the real system")]
    fn linux_says_how_much_memory_there_is() {
        assert!(memory_bytes().is_some_and(|bytes| bytes > 16 << 20));
    }
}
