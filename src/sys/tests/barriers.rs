//! Barriers: what they cover, and through which description the system tells of a failed write.

use super::*;
use crate::sys::Storage;
use std::io::{ErrorKind, Write};

const PAGE: u64 = 65536; // no system has longer pages
const LENGTH: u64 = 4 * PAGE;

/// A file of `LENGTH` bytes that has both descriptions.
fn storage_with_both(path: &Path, mode: WriteMode) -> FileStorage {
    let mut storage = storage_of(path, LENGTH as usize, mode);
    storage.open_for_checkpoints(path).unwrap();
    storage
}

#[test]
fn barriers_cover_ranges_at_any_offset() {
    for mode in BOTH_MODES {
        let folder = folder();
        let storage = storage_with_both(&folder.path().join("data"), mode);
        for offset in [0, 1, PAGE - 1, PAGE, LENGTH - 1] {
            storage.write(offset, &[b"x"]).unwrap();
            storage.barrier_over(offset, 1).unwrap();
        }
        storage.barrier_over(PAGE + 1, 0).unwrap();
        storage.barrier_over(0, LENGTH).unwrap();
        storage.checkpoint_barrier().unwrap();
    }
}

#[test]
fn a_range_beyond_the_mapping_is_refused_and_is_no_failed_barrier() {
    let folder = folder();
    let path = folder.path().join("data");
    std::fs::write(&path, [1; 4096]).unwrap();
    let storage = FileStorage::open(&path, Access::ReadWrite, WriteMode::Syscall, 1 << 20).unwrap();
    let mapped = storage.mapping().reserved_length();
    for (offset, length) in [(mapped, 1), (1, mapped), (u64::MAX, 1), (1, u64::MAX)] {
        assert_eq!(storage.barrier_over(offset, length).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    storage.barrier_over(0, mapped).unwrap();
}

#[test]
fn barriers_need_a_file_that_was_opened_for_writing_except_in_memory() {
    let folder = folder();
    let path = folder.path().join("data");
    std::fs::write(&path, [1; 4096]).unwrap();
    let mut storage = FileStorage::open(&path, Access::ReadOnly, WriteMode::Syscall, TEBIBYTE).unwrap();
    storage.open_for_checkpoints(&path).unwrap();
    for result in [storage.barrier_over(0, 1), storage.checkpoint_barrier()] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
    for mode in BOTH_MODES {
        let storage = FileStorage::in_memory(mode, TEBIBYTE).unwrap();
        storage.barrier_over(0, 1).unwrap();
        storage.checkpoint_barrier().unwrap();
    }
}

#[test]
fn another_file_of_that_name_is_not_opened_for_checkpoints() {
    let folder = folder();
    let path = folder.path().join("data");
    let mut storage = storage_of(&path, 4096, WriteMode::Syscall);
    std::fs::rename(&path, folder.path().join("moved")).unwrap();
    assert_eq!(storage.open_for_checkpoints(&path).unwrap_err().kind(), ErrorKind::NotFound);
    std::fs::write(&path, [0; 4096]).unwrap();
    assert_eq!(storage.open_for_checkpoints(&path).unwrap_err().kind(), ErrorKind::NotFound);
    storage.checkpoint_barrier().unwrap(); // through the description that there is
}

/// An ext4 in a sparse file on a tmpfs: while that is full, blocks cannot be written that the sparse file has not.
/// (They must have been written once: docs/DURABILITY.md, Limits.)
struct FailingDisk {
    below: tempfile::TempDir,
    mounted: tempfile::TempDir,
}

impl FailingDisk {
    /// `None`, and a note in the test's output, where mounting is not permitted.
    fn mount() -> Option<FailingDisk> {
        let disk = FailingDisk { below: folder(), mounted: folder() };
        let image = disk.image();
        let mut tmpfs = Command::new("mount");
        tmpfs.args(["-t", "tmpfs", "-o", "size=8m", "mapleaf-test"]).arg(disk.below.path());
        let is_mounted = succeeds(&mut tmpfs) && {
            std::fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
            // With a journal the file system would stop altogether.
            succeeds(
                Command::new("mkfs.ext4").args(["-q", "-F", "-b", "4096", "-O", "^has_journal"]).arg(&image),
            ) && succeeds(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(disk.mounted.path()))
        };
        if !is_mounted {
            println!("skipped: a failing disk cannot be mounted here");
        }
        is_mounted.then_some(disk)
    }

    fn image(&self) -> PathBuf {
        self.below.path().join("image")
    }

    /// A file in which the first page and the last two are dirty, and only the first one can be written.
    fn storage(&self, mode: WriteMode) -> FileStorage {
        const MARK: u8 = 0xb7;
        let path = self.mounted.path().join("data");
        let mut file = std::fs::File::create(&path).unwrap();
        for byte in [0, 0, MARK, MARK] {
            // One call each: what one call stores may become a large folio, which is written as a whole.
            file.write_all(&[byte; PAGE as usize]).unwrap();
        }
        file.sync_all().unwrap();
        let image = std::fs::read(self.image()).unwrap();
        let is_marked = |block: &[u8]| block.iter().all(|&byte| byte == MARK);
        let blocks = image.chunks(4096).enumerate();
        let marked: Vec<usize> = blocks.filter(|(_, block)| is_marked(block)).map(|(at, _)| at).collect();
        assert_eq!(marked.len() as u64, 2 * PAGE / 4096);
        for run in marked.chunk_by(|a, b| a + 1 == *b) {
            let (offset, length) = ((run[0] * 4096).to_string(), (run.len() * 4096).to_string());
            let mut punch = Command::new("fallocate");
            assert!(succeeds(punch.args(["-p", "-o", &offset, "-l", &length]).arg(self.image())));
        }
        let mut filler = std::fs::File::create(self.below.path().join("filler")).unwrap();
        for piece in [64 << 10, 4 << 10] {
            while filler.write_all(&vec![1; piece]).is_ok() {}
        }
        let mut storage = FileStorage::open(&path, Access::ReadWrite, mode, TEBIBYTE).unwrap();
        storage.open_for_checkpoints(&path).unwrap();
        // A loop device takes a write that is cut short for a whole one, so none may begin in a block that there is.
        for page in [0, 2, 3] {
            storage.write(page * PAGE, &[&[1; PAGE as usize]]).unwrap();
        }
        storage
    }

    fn make_space(&self) {
        std::fs::remove_file(self.below.path().join("filler")).unwrap();
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        for mounted in [&self.mounted, &self.below] {
            let _ = Command::new("umount").arg("-l").arg(mounted.path()).status();
        }
    }
}

#[test]
fn a_barrier_writes_its_range_only_and_both_descriptions_are_told_of_a_failure() {
    if !IS_LINUX {
        return; // there a barrier is of the whole file
    }
    for mode in BOTH_MODES {
        let Some(disk) = FailingDisk::mount() else { return };
        let storage = disk.storage(mode);
        storage.barrier_over(0, PAGE).unwrap();
        storage.barrier_over(2 * PAGE, PAGE).unwrap_err();
        disk.make_space();
        storage.write(0, &[&[2; LENGTH as usize]]).unwrap();
        // Nothing fails any more: these errors are those of the barrier before.
        for _ in 0..2 {
            storage.barrier_over(0, 1).unwrap_err();
            storage.barrier(LENGTH).unwrap_err();
            storage.checkpoint_barrier().unwrap_err();
        }
        let other = FileStorage::open(
            &disk.mounted.path().join("data"),
            Access::ReadWrite,
            WriteMode::Syscall,
            TEBIBYTE,
        );
        other.unwrap().barrier(LENGTH).unwrap();
    }
}

#[test]
fn a_failed_checkpoint_fails_the_next_barrier_over_any_range() {
    for mode in BOTH_MODES {
        let Some(disk) = FailingDisk::mount() else { return };
        let storage = disk.storage(mode);
        storage.checkpoint_barrier().unwrap_err();
        disk.make_space();
        storage.write(0, &[&[2; LENGTH as usize]]).unwrap();
        for _ in 0..2 {
            storage.checkpoint_barrier().unwrap_err();
            storage.barrier_over(0, 1).unwrap_err();
        }
    }
}
