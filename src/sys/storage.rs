//! The storage seam: everything that reaches the database file, as one trait.
//!
//! Invariants it keeps for the layers above, whatever the implementation:
//! - what `write` stored is seen at once through the mapping, by every process;
//! - one barrier is one `msync` (I4), and all that was stored before it in its range is then durable (I3);
//! - barriers of checkpoints go through an open file description of their own (L12): the system reports a failed
//!   write to each description once, whatever range was asked for, so two barriers that run at once must not share one;
//! - `grow` reserves space before it is used, so a full disk is an error here and nowhere later (I6).

use super::copy;
use super::mapping::Mapping;
use super::rights::Rights;
use crate::base::TransactionId;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// How a commit stores its pages, and its record in the redo log. The same barriers follow.
///
/// `Syscall` is right nearly everywhere. Measured on Linux 6.18 with ext4, for commits of 1000 pages of
/// 4 KiB, a stored page costs 0.6 µs plus 1.9 µs in the sync with `Syscall`, against 1.75 µs (the page
/// fault) plus 3.1 µs with `Mapped`. Since Linux 6.16 the difference can be far larger: the cache holds files
/// in large folios, one store through a mapping dirties its whole folio, and scattered stores have been
/// seen to write 250 times their own size. `pwrite` into the same folio writes its own blocks only.
///
/// `Mapped` can win where a system call is dear (some sandboxes and user-space file systems) and on `tmpfs`
/// once the pages are mapped. Measure both, on the machine and file system in question.
///
/// With `Mapped`, a store into a hole of the file while the disk is full would end the process with
/// SIGBUS. That is prevented by never having a hole below the file's length: growth allocates every
/// block beforehand, and opening a file that was copied sparsely fills its holes, or fails. A file system that
/// copies on write (btrfs, ZFS, a reflinked file on XFS) needs new space even for blocks that are
/// allocated, and cannot promise this: use `Syscall` there, which returns an error.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum WriteMode {
    /// Pages are stored by `pwritev`, in runs.
    #[default]
    Syscall,
    /// Pages are stored by copying memory through a second, writable mapping.
    Mapped,
}

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    ReadOnly,
    ReadWrite,
}

/// In which order pages will be touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Advice {
    /// Read some pages around the one touched.
    Normal,
    /// Read the one page only.
    Random,
    /// Read far ahead.
    Sequential,
}

/// Which file this is, however many names it has: device and inode.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct FileIdentity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// What the system says of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileStatus {
    pub(crate) identity: FileIdentity,
    /// In bytes.
    pub(crate) length: u64,
}

/// The database file.
pub(crate) trait Storage: Send + Sync {
    /// The mapping that pages are read through, for whoever reads much to keep: a call of this costs as much as a
    /// lookup in it.
    fn mapping(&self) -> &Arc<Mapping>;

    /// Stores `buffers` one after the other from `offset` on: all of them, or an error. The range must
    /// lie within the known length of the file (`grow` comes first).
    fn write(&self, offset: u64, buffers: &[&[u8]]) -> io::Result<()>;

    /// Copies bytes out of the file. For what may change while it is read (meta pages, the redo log): a reference
    /// into the mapping is allowed only to bytes that are immutable while visible (I1).
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Copies `length` bytes from `offset` on to the same place in another file. They must be bytes that do not change
    /// (I1).
    fn copy_out(&self, offset: u64, length: u64, to: &File) -> io::Result<()> {
        copy::copy_mapped(self.mapping(), offset, length, to)
    }

    /// Asks the system to begin writing to the disk what has been stored in `length` bytes from `offset` on, for the
    /// next barrier would wait for that. Nothing can be relied on: not that it begins, not that it ends, no order.
    /// An error that this meets is one of the next sync.
    fn start_write_back(&self, _offset: u64, _length: u64) {}

    /// Writes to the disk what has been stored in `length` bytes from `offset` on, and waits for that, so that the next
    /// [`Storage::checkpoint_barrier`] has less to write. Nothing is durable after it. An error that this meets is one
    /// of that barrier.
    fn write_back(&self, _offset: u64, _length: u64) {}

    /// Makes all that has been stored in `0..length` durable, with exactly one `msync`.
    /// After an error the database must be poisoned; the call is never repeated (I6). It is never a part: more than the
    /// mapping has is an error too, which the caller avoids by looking before.
    #[cfg_attr(windows, allow(dead_code, reason = "only files need it"))]
    fn barrier(&self, length: u64) -> io::Result<()>;

    /// The same for the whole file, and makes its length durable too: one `fdatasync`.
    fn barrier_with_length(&self) -> io::Result<()>;

    /// Makes durable what has been stored in `length` bytes from `offset` on, and in the rest of the system's pages
    /// that they lie in, with one `msync` of that range: what is dirty elsewhere is not written. It goes through the
    /// same description as [`Storage::barrier`], and after an error of either, both fail.
    fn barrier_over(&self, offset: u64, length: u64) -> io::Result<()>;

    /// Makes the whole file and its length durable, with one `fdatasync` through the description that belongs to
    /// checkpoints. After an error each later call fails, too. The other barriers go on: the system tells their
    /// description itself.
    fn checkpoint_barrier(&self) -> io::Result<()>;

    /// Extends the file from `from` to `to` bytes, all of them allocated, and with `zero` also written
    /// once (which saves the commits that fill them a write of the file system's own each). The new length is known to
    /// the mapping when this returns, and not durable before [`Storage::barrier_with_length`]. A file that is longer
    /// already is never cut.
    ///
    /// After an error the file has its old length, and the same handle can go on once there is space.
    fn grow(&self, from: u64, to: u64, zero: bool) -> io::Result<()>;

    /// Cuts the file to `to` bytes. Nobody, in any process, may hold or take a slice beyond.
    fn truncate(&self, to: u64) -> io::Result<()>;

    /// The file's length, asked of the system.
    fn file_length(&self) -> io::Result<u64>;

    /// Asks the system for the file's length and makes it known to the mapping: another process may have
    /// grown the file, or cut it. Answers the length.
    fn refresh_length(&self) -> io::Result<u64>;

    /// The same, if `path` leads to this file: one question to the system answers both. `None`, and nothing is changed,
    /// if it does not, or if files of this kind have no names.
    fn refresh_length_at(&self, _path: &Path) -> Option<u64> {
        None
    }

    /// Whether `length` bytes from `offset` on, which are those of a page that does not change (I1), are in the mapping
    /// what they are in the file that `path` leads to now. Asked where [`Storage::has_layers`], for each snapshot.
    fn is_mapping_current(&self, _path: &Path, _offset: u64, _length: usize) -> io::Result<bool> {
        Ok(true)
    }

    /// Whether another file may take the place of the one that is mapped, and keep its identity (overlayfs).
    fn has_layers(&self) -> bool {
        false
    }

    /// Whether what is stored is seen by this handle alone.
    fn is_private(&self) -> bool {
        false
    }

    /// Device and inode of the open file.
    fn identity(&self) -> FileIdentity;

    /// Who may use what is made from the file.
    fn rights(&self) -> io::Result<Rights> {
        Ok(Rights::default())
    }

    /// The thread is about to wait for the writer lock, or to make a checkpoint. A simulated storage ends the work of a
    /// thread that could not go on before a barrier in progress has ended.
    fn about_to_be_held_up(&self) {}

    /// Whoever committed transaction `id` is about to be told that it, and all before it, are durable. A simulated
    /// disk writes that down; to a real one it means nothing.
    fn acknowledged(&self, _id: TransactionId) {}

    /// The calling thread is about to wait for another of its process. In a simulation there is no other: what would
    /// be waited for is what the thread itself is in the middle of, and that is said. To a real storage it means
    /// nothing.
    fn about_to_wait(&self) {}
}
