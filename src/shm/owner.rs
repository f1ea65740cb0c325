//! Which data file this memory belongs to, and from which boot of the system it is. It is complete only if its last
//! word, stored last, says so.
//!
//! A lock file begins with [`FIRST_BYTES`] from the moment it has its name, and at every moment after that. A file
//! that begins otherwise was not made by mapleaf, and is not written to ([`check_lock_file`]).
//!
//! - While other handles are open, their locks prove that they share this kernel. The memory must belong to the data
//!   file; the boot does not matter, because a container may have a boot id of its own.
//! - A handle that is alone makes the memory again, and believes nothing that it says (L13), except one thing.
//! - Memory that the last handle has *closed*, with all that was committed checkpointed and visible, says which meta
//!   the last checkpoint has stored, in this boot. So that meta need not be stored again. All else follows from the
//!   meta. So a lock file that is not in use is one page long.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering::SeqCst;

use super::{IDENTITY_AT, RING_AT, SharedMemory, WORD_COUNT};
use crate::base::bytes::get_u64;
use crate::sys::{FileIdentity, read_at};

/// Changes whenever the layout of the shared memory does, or the version of the format, which handles that have the
/// database open do not read again: processes of different versions exclude each other.
const VERSION: u64 = 0x6d61_706c_6561_6607;
const IDENTITY_LEN: usize = 8;
/// The words that name the boot.
const BOOT: Range<usize> = 1..3;
const COMPLETE: usize = IDENTITY_AT + IDENTITY_LEN;
/// Set while recovery has chosen a meta, and has not gone on: only read-only handles have had the database, or the one
/// that was to replay the log has not published that.
const UNRECOVERED: usize = IDENTITY_AT + 9;
/// No handle uses the memory, and all that was committed is durable.
const CLOSED: usize = IDENTITY_AT + 10;
/// Words of closed memory: one page, which has this word and the watermarks.
const CLOSED_WORD_COUNT: usize = 512;
const _: () = assert!(CLOSED_WORD_COUNT >= RING_AT);

/// What a new lock file begins with: the version, its bytes in the machine's own order, as they are in memory.
pub(crate) const FIRST_BYTES: [u8; 8] = VERSION.to_le().to_le_bytes();
/// All but the version, which is the least byte.
const MAGIC: Range<usize> = if cfg!(target_endian = "big") { 0..7 } else { 1..8 };

/// Returns an error if a lock file was not made by this or another version of mapleaf. An empty file is accepted, and
/// so is one of zeros, which earlier versions may have left.
pub(crate) fn check_lock_file(file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut bytes = vec![0; length.min(FIRST_BYTES.len() as u64) as usize];
    read_at(file, 0, &mut bytes)?;
    if bytes.get(MAGIC) == Some(&FIRST_BYTES[MAGIC]) {
        return Ok(());
    }
    let is_zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
    if is_zero(&bytes) && length <= (WORD_COUNT * size_of::<u64>()) as u64 {
        bytes.resize(length as usize, 0);
        read_at(file, 0, &mut bytes)?;
        if is_zero(&bytes) {
            return Ok(());
        }
    }
    let problem = "it is not a lock file of mapleaf, and was left as it is; \
                   move it away, or give the database another name";
    Err(io::Error::new(io::ErrorKind::InvalidData, problem))
}

/// The owner of the shared memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SharedOwner {
    pub(crate) boot: [u8; 16],
    pub(crate) file: FileIdentity,
    /// The database's own identity, from its metas.
    pub(crate) database: [u8; 16],
}

impl SharedOwner {
    fn words(&self) -> [u64; IDENTITY_LEN] {
        [
            VERSION,
            get_u64(&self.boot, 0),
            get_u64(&self.boot, 8),
            self.file.device,
            self.file.inode,
            get_u64(&self.database, 0),
            get_u64(&self.database, 8),
            WORD_COUNT as u64,
        ]
    }
}

impl SharedMemory {
    /// Whether the memory is complete, and belongs to the database and the file of `identity`, whatever the boot.
    pub(crate) fn belongs_to(&self, identity: &SharedOwner) -> bool {
        let words = identity.words();
        let is_same = |at: usize| BOOT.contains(&at) || self.word(IDENTITY_AT + at).load(SeqCst) == words[at];
        (0..IDENTITY_LEN).all(is_same) && self.word(COMPLETE).load(SeqCst) == 1
    }

    /// Whether the memory is known to be from the boot of `identity`. If the system does not say which boot this is,
    /// it is not: memory that no process has open may then be from an earlier boot.
    pub(crate) fn is_of_boot(&self, identity: &SharedOwner) -> bool {
        let words = identity.words();
        identity.boot != [0; 16]
            && BOOT.clone().all(|at| self.word(IDENTITY_AT + at).load(SeqCst) == words[at])
    }

    /// Forgets everything except the layout: the words are zeros, for the first handle to fill in.
    pub(crate) fn clear(&self) {
        self.word(COMPLETE).store(0, SeqCst);
        for (at, word) in self.memory.words().iter().enumerate() {
            let cleared = if at == IDENTITY_AT { VERSION } else { 0 };
            // A word that is right is only read, so that untouched memory stays untouched.
            if word.load(SeqCst) != cleared {
                word.store(cleared, SeqCst);
            }
        }
    }

    /// Marks the memory as complete: other handles may join.
    pub(crate) fn complete(&self, identity: &SharedOwner) {
        for (word, own) in self.words(IDENTITY_AT, IDENTITY_LEN).iter().zip(identity.words()) {
            word.store(own, SeqCst);
        }
        self.word(COMPLETE).store(1, SeqCst);
    }

    /// Marks the memory as closed, unless it has something that the data file does not have, and, if `cuts`, cuts it
    /// to its first page. The caller holds the open lock, and no other handle is alive: any that comes waits for the
    /// open lock, and makes the memory long before it reads it. A kill at any step leaves memory that is long, closed
    /// or not, or one page of it.
    pub(crate) fn close(&self, cuts: bool) -> io::Result<()> {
        // Another handle that was closing may have been here since this one gave its place up.
        if !self.memory.are_there()? {
            return Ok(());
        }
        let newest = self.newest_id();
        let is_at_rest = !self.is_poisoned()
            && !self.has_target()
            && self.left_checkpoint_target().is_none()
            && !self.may_have_orphan()
            && self.checkpointed() == newest
            && self.newest_log().is_ok_and(|log| log.end == self.log_start())
            && self.durable() == newest
            && self.visible() == newest;
        if !is_at_rest {
            return Ok(());
        }
        match self.is_unrecovered() {
            true => self.word(COMPLETE).store(0, SeqCst), // the next handle recovers
            false => self.word(CLOSED).store(1, SeqCst),
        }
        if cuts { self.memory.cut(CLOSED_WORD_COUNT) } else { Ok(()) }
    }

    /// Whether the memory was closed, and has to be made from the meta.
    pub(crate) fn is_closed(&self) -> bool {
        self.word(CLOSED).load(SeqCst) != 0
    }

    pub(crate) fn is_unrecovered(&self) -> bool {
        self.word(UNRECOVERED).load(SeqCst) != 0
    }

    pub(crate) fn set_unrecovered(&self, unrecovered: bool) {
        self.word(UNRECOVERED).store(u64::from(unrecovered), SeqCst);
    }
}
