//! How many addresses the mapping of a file takes.
//!
//! A mapping is never moved while its file grows, so it reserves addresses for what the file may become. Addresses cost
//! no memory, but a process has 128 TiB of them (47 bits on x86-64), for all its databases and everything else.
//!
//! Invariants:
//! - With the usual reservation a thousand databases of one process leave a quarter of the addresses to the program.
//! - A reservation is at least as long as its file.
//! - Where the system refuses, half is tried, and so on; then half once more, so that the process keeps some.

use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use super::page_size::system_page_size;
use super::system::Memory;

const TEBIBYTE: u64 = 1 << 40;
/// More than any system can reserve, and far from any overflow.
const MAX_BYTES: u64 = (isize::MAX / 2) as u64;

/// While the mappings of this process have reserved fewer bytes than the first number, the next usual one reserves as
/// many as the second: the first 32 databases 1 TiB each, the next 1024 64 GiB each.
const DEFAULT_STEPS: [(u64, u64); 2] = [(32 * TEBIBYTE, TEBIBYTE), (96 * TEBIBYTE, TEBIBYTE / 16)];
/// After that.
const MIN_USUAL_BYTES: u64 = TEBIBYTE / 1024;
/// A usual reservation is at least this many times as long as its file.
const GROWTH_FACTOR: u64 = 4;

/// Bytes that all mappings of files in this process have reserved.
static RESERVED_BYTES: AtomicU64 = AtomicU64::new(0);

/// How many bytes of addresses a file gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reservation {
    /// What leaves addresses to other databases and to the program.
    Usual,
    /// This many.
    Bytes(u64),
    /// None: the file is read by system calls alone, and may be longer than there are addresses.
    Nothing,
}

impl Reservation {
    /// Bytes for a file of `length` bytes, before the system is asked.
    pub(super) fn bytes_for(self, length: u64) -> u64 {
        match self {
            Reservation::Usual => {
                usual_bytes(RESERVED_BYTES.load(Ordering::Relaxed)).max(length.saturating_mul(GROWTH_FACTOR))
            }
            Reservation::Bytes(bytes) => bytes.max(length),
            Reservation::Nothing => 0,
        }
    }
}

impl From<u64> for Reservation {
    fn from(bytes: u64) -> Reservation {
        Reservation::Bytes(bytes)
    }
}

/// From `Options::max_size`.
impl From<Option<u64>> for Reservation {
    fn from(max_size: Option<u64>) -> Reservation {
        max_size.map_or(Reservation::Usual, Reservation::Bytes)
    }
}

fn usual_bytes(reserved_bytes: u64) -> u64 {
    let step = DEFAULT_STEPS.iter().find(|(limit, _)| reserved_bytes < *limit);
    step.map_or(MIN_USUAL_BYTES, |&(_, bytes)| bytes)
}

/// A mapping whose length counts among the process's reserved bytes as long as it lives.
pub(super) struct Reserved(Memory);

impl Reserved {
    fn new(memory: Memory) -> Reserved {
        RESERVED_BYTES.fetch_add(memory.len() as u64, Ordering::Relaxed);
        Reserved(memory)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        RESERVED_BYTES.fetch_sub(self.0.len() as u64, Ordering::Relaxed);
    }
}

impl Deref for Reserved {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        &self.0
    }
}

/// Calls `map` with `reserve_bytes`, halved until the system agrees, and then once more; but not below `length`. Both
/// are rounded up to whole pages of the system.
pub(super) fn reserve(
    length: u64,
    reserve_bytes: u64,
    map: impl Fn(usize) -> io::Result<Memory>,
) -> io::Result<Reserved> {
    let least = round_to_system_pages(length.max(1))?;
    let mut bytes = round_to_system_pages(reserve_bytes.min(MAX_BYTES))?.max(least);
    let mut is_refused = false;
    loop {
        match map(bytes) {
            Err(_) if bytes > least => {
                bytes = round_to_system_pages(bytes as u64 / 2)?.max(least);
                is_refused = true;
            }
            // Once more by half: what is left may be needed for anything else.
            Ok(memory) if is_refused && bytes > least => {
                drop(memory);
                return map(round_to_system_pages(bytes as u64 / 2)?.max(least)).map(Reserved::new);
            }
            result => return result.map(Reserved::new),
        }
    }
}

fn round_to_system_pages(bytes: u64) -> io::Result<usize> {
    let rounded = bytes.checked_next_multiple_of(system_page_size() as u64);
    // Pointer arithmetic is defined for distances up to isize::MAX only.
    let fits = rounded.and_then(|bytes| isize::try_from(bytes).ok());
    fits.map(|bytes| bytes as usize).ok_or_else(|| {
        io::Error::new(io::ErrorKind::FileTooLarge, "the file is longer than this process's address space")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_usual_reservations_leave_addresses_to_the_program() {
        let mut reserved = 0;
        let mut sizes = Vec::new();
        for _ in 0..1024 {
            sizes.push(usual_bytes(reserved));
            reserved += sizes.last().unwrap();
        }
        assert_eq!(sizes[..32], [TEBIBYTE; 32]);
        assert!(sizes.iter().all(|&bytes| bytes >= 64 << 30));
        assert!(reserved <= 96 * TEBIBYTE, "of 128");
        assert_eq!(usual_bytes(100 * TEBIBYTE), 1 << 30);
    }

    #[test]
    fn a_long_file_has_room_to_grow_however_many_are_open() {
        assert!(Reservation::Usual.bytes_for(5 * TEBIBYTE) >= 20 * TEBIBYTE);
        assert_eq!(Reservation::Bytes(1 << 20).bytes_for(3 << 20), 3 << 20);
    }
}
