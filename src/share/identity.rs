//! Whose memory this is. A lock file that is stale is never believed: it says which boot of the system it is from,
//! which data file it belongs to, and it is complete only if its last word, stored last, says so.
//!
//! A lock file begins with [`FIRST_BYTES`] from the moment it has its name, and at every moment after that: what begins
//! otherwise was not made by mapleaf, and is not written to ([`check_lock_file`]).
//!
//! Who is first (nobody else is present) compares this, and then the durable record on the disk, and the pages that are
//! newer, with what heads and deltas say. If anything differs, all is made anew from recovery; otherwise what
//! killed processes left, lazy commits included, is kept (R8).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering::SeqCst;

use super::{IDENTITY_AT, Shared, WORD_COUNT};
use crate::base::bytes::get_u64;
use crate::sys::FileIdentity;

/// Changes whenever the layout of the shared memory does, or the version of the format, which those who have the
/// database open do not look at again: processes of different versions exclude each other.
const VERSION: u64 = 0x6d61_706c_6561_6604;
const COMPLETE: usize = IDENTITY_AT + 8;
/// A database read by read-only handles alone, so far: recovery has chosen a record but stored nothing.
const UNRECOVERED: usize = IDENTITY_AT + 9;

/// What a new lock file begins with: the version, in the order of the machine's own bytes, as a word in memory has them.
pub(crate) const FIRST_BYTES: [u8; 8] = VERSION.to_le().to_le_bytes();
/// All but the version, which is the least byte.
const MAGIC: Range<usize> = if cfg!(target_endian = "big") { 0..7 } else { 1..8 };

/// An error if a lock file was not made by this version of mapleaf, or another. An empty file is nobody's; earlier
/// versions may have left zeros alone.
pub(crate) fn check_lock_file(file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut bytes = vec![0; length.min(FIRST_BYTES.len() as u64) as usize];
    file.read_exact_at(&mut bytes, 0)?;
    if bytes.get(MAGIC) == Some(&FIRST_BYTES[MAGIC]) {
        return Ok(());
    }
    let is_zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
    if is_zero(&bytes) && length <= (WORD_COUNT * size_of::<u64>()) as u64 {
        bytes.resize(length as usize, 0);
        file.read_exact_at(&mut bytes, 0)?;
        if is_zero(&bytes) {
            return Ok(());
        }
    }
    let problem = "it is not a lock file of mapleaf, and was left as it is; \
                   move it away, or give the database another name";
    Err(io::Error::new(io::ErrorKind::InvalidData, problem))
}

/// What the shared memory must belong to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SharedIdentity {
    pub(crate) boot: [u8; 16],
    pub(crate) file: FileIdentity,
    /// The database's own identity, from its records.
    pub(crate) database: [u8; 16],
}

impl SharedIdentity {
    /// Whether memory of this identity can be told from that of an earlier boot. If the system does not say which boot
    /// this is, what a lock file on the disk says is believed only while somebody alive vouches for it.
    pub(crate) fn names_boot(&self) -> bool {
        self.boot != [0; 16]
    }

    fn words(&self) -> [u64; 8] {
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

impl Shared {
    /// Whether the memory is complete, and belongs to `identity`.
    pub(crate) fn belongs_to(&self, identity: &SharedIdentity) -> bool {
        let words = identity.words();
        let same = self
            .words(IDENTITY_AT, words.len())
            .iter()
            .zip(words)
            .all(|(word, own)| word.load(SeqCst) == own);
        same && self.word(COMPLETE).load(SeqCst) == 1
    }

    /// Forgets everything but whose file this is: zeros, for the first to fill in.
    pub(crate) fn clear(&self) {
        self.word(COMPLETE).store(0, SeqCst);
        for (at, word) in self.memory.words().iter().enumerate() {
            let cleared = if at == IDENTITY_AT { VERSION } else { 0 };
            // A word that is right is only looked at, so that untouched memory stays untouched.
            if word.load(SeqCst) != cleared {
                word.store(cleared, SeqCst);
            }
        }
    }

    /// The memory is complete, and others may join.
    pub(crate) fn complete(&self, identity: &SharedIdentity) {
        for (word, own) in self.words(IDENTITY_AT, 8).iter().zip(identity.words()) {
            word.store(own, SeqCst);
        }
        self.word(COMPLETE).store(1, SeqCst);
    }

    pub(crate) fn is_unrecovered(&self) -> bool {
        self.word(UNRECOVERED).load(SeqCst) != 0
    }

    pub(crate) fn set_unrecovered(&self, unrecovered: bool) {
        self.word(UNRECOVERED).store(u64::from(unrecovered), SeqCst);
    }
}
