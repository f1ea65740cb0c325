//! Who has the database open: a member for each open handle, in whatever process.
//!
//! Invariants:
//! - I7: a member is alive exactly as long as its byte of the lock file is locked. The kernel frees the lock
//!   when the process dies, in whatever PID namespace; process ids are shown to people and decide nothing.
//! - Whoever clears up after a member holds that byte meanwhile: so a member is cleared up once at a time, and
//!   its place is not taken by a newcomer before that is done. (One thread of a handle does so at a time: the one
//!   whose turn it is to write, or that is opening it. Threads of one handle do not exclude each other here.)

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering::SeqCst;

use super::{LINE, MEMBER_COUNT, MEMBERS_AT, Shared};
use crate::error::{Error, Result};
use crate::sys::{LockKind, try_lock_range, unlock_range};

/// Where the bytes of the members begin in the lock file. Locks may lie far behind a file's end.
const MEMBER_BYTES: u64 = 1 << 40;
/// The bytes of all members.
pub(crate) const MEMBERS: Range<u64> = MEMBER_BYTES..MEMBER_BYTES + MEMBER_COUNT as u64;

/// A handle's place among the members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Member(pub(super) usize);

impl Member {
    fn byte(self) -> Range<u64> {
        let at = MEMBER_BYTES + self.0 as u64;
        at..at + 1
    }
}

impl Shared {
    /// Takes a place among the members. It is kept until `lock_file` is closed, whose description no other handle may
    /// use.
    pub(crate) fn join(&self, lock_file: &File) -> Result<Member> {
        for member in (0..MEMBER_COUNT).map(Member) {
            if try_lock_range(lock_file, LockKind::Exclusive, member.byte()).map_err(cannot_lock)? {
                self.clear_up(member)?;
                self.word(MEMBERS_AT + member.0 * LINE).store(u64::from(std::process::id()), SeqCst);
                return Ok(member);
            }
        }
        Err(Error::HandlesFull { limit: MEMBER_COUNT })
    }

    /// The only member of a database that nobody shares.
    pub(crate) fn join_alone(&self) -> Member {
        self.word(MEMBERS_AT).store(u64::from(std::process::id()), SeqCst);
        Member(0)
    }

    /// The process that a member said it was in.
    pub(crate) fn pid(&self, member: Member) -> u32 {
        self.word(MEMBERS_AT + member.0 * LINE).load(SeqCst) as u32
    }

    /// Clears up after members that died: their snapshots are no longer protected. Costs a system call for each
    /// other member.
    pub(crate) fn reap_dead_readers(&self, own: Member, lock_file: &File) -> Result<()> {
        let others = (0..MEMBER_COUNT).map(Member).filter(|&member| member != own && self.pid(member) != 0);
        for member in others {
            if try_lock_range(lock_file, LockKind::Exclusive, member.byte()).map_err(cannot_lock)? {
                let cleared = self.clear_up(member);
                unlock_range(lock_file, member.byte()).map_err(cannot_lock)?;
                cleared?;
            }
        }
        Ok(())
    }

    /// A handle leaves: its place is free when its lock file is closed.
    pub(crate) fn leave(&self, member: Member) {
        // What cannot be freed now is freed by the next handle that takes the place.
        let _ = self.clear_up(member);
    }

    /// Frees what a member has left that is dead, or whose place has just been taken.
    fn clear_up(&self, member: Member) -> Result<()> {
        self.free_slots_of(member)?;
        self.word(MEMBERS_AT + member.0 * LINE).store(0, SeqCst);
        Ok(())
    }
}

fn cannot_lock(source: io::Error) -> Error {
    Error::Io { action: "lock", path: "the lock file".into(), source }
}
