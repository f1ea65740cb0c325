//! A disk that logs each write and each flush, in order. From the log, every state can be made that the disk might have
//! had if the power had failed.
//!
//! It is a file in a file system of its own, which the test process serves over `/dev/fuse`; a loop device makes a
//! disk of it, and sends on what the file system above writes and flushes. One thread serves requests one after the
//! other, and logs each before it replies. A second file, `acknowledged`, takes output: what is written to it is logged
//! in the same order, so that the log shows which flushes came before which acknowledgement.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

/// What the disk was asked to do, or what was written to the other file.
pub(crate) enum Entry {
    Write { at: usize, bytes: Vec<u8> },
    Flush,
    Output(Vec<u8>),
}

/// The disk, which is gone when it is [`finished`](BlockLog::finish).
pub(crate) struct BlockLog {
    mounted: PathBuf,
    server: Option<JoinHandle<Vec<Entry>>>,
}

pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

impl BlockLog {
    /// A disk that holds `image`, in the directory `mounted`; `None` where the system does not permit it.
    pub(crate) fn mount(mounted: &Path, image: Vec<u8>) -> Option<BlockLog> {
        let fuse = File::options().read(true).write(true).open("/dev/fuse").ok()?;
        // `mount` passes on the descriptor that it is given: its standard input.
        let mut mount = Command::new("mount");
        mount.args(["-i", "-t", "fuse", "-o", "fd=0,rootmode=40000,user_id=0,group_id=0", "block-log"]);
        if !succeeds(mount.arg(mounted).stdin(fuse.try_clone().ok()?)) {
            return None;
        }
        let server = std::thread::spawn(move || Server { fuse, image, output: 0, log: Vec::new() }.serve());
        Some(BlockLog { mounted: mounted.to_owned(), server: Some(server) })
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.mounted.join("disk")
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.mounted.join("acknowledged")
    }

    /// Ends it. Returns everything that happened.
    pub(crate) fn finish(mut self) -> Vec<Entry> {
        assert!(succeeds(Command::new("umount").arg(&self.mounted)), "the disk is still in use");
        self.server.take().unwrap().join().unwrap()
    }
}

impl Drop for BlockLog {
    fn drop(&mut self) {
        if self.server.is_some() {
            let _ = Command::new("umount").arg("-l").arg(&self.mounted).status();
        }
    }
}

// The kernel's requests (linux/fuse.h), as far as this needs them.
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const SETATTR: u32 = 4;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const FSYNC: u32 = 20;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;

/// Nothing of the file is cached above the loop device.
const FOPEN_DIRECT_IO: u32 = 1;
/// Writes of more than a page, up to `MOST_PAGES`.
const BIG_WRITES: u32 = 1 << 5;
const MAX_PAGES: u32 = 1 << 22;
const MOST_PAGES: u32 = 256;
const LONGEST_REQUEST: usize = (MOST_PAGES as usize + 1) * 4096;

const ROOT: u64 = 1;
const DISK: u64 = 2;
const OUTPUT: u64 = 3;

/// Fields of a request, or of a reply, one after the other.
struct Fields(Vec<u8>);

impl Fields {
    fn of(numbers: &[u64]) -> Fields {
        Fields(numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
    }

    fn short(mut self, numbers: &[u32]) -> Fields {
        self.0.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        self
    }

    fn and(mut self, more: Fields) -> Fields {
        self.0.extend(more.0);
        self
    }
}

fn short_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn long_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

struct Server {
    fuse: File,
    image: Vec<u8>,
    /// The length of the other file.
    output: u64,
    log: Vec<Entry>,
}

impl Server {
    fn serve(mut self) -> Vec<Entry> {
        let mut request = vec![0; LONGEST_REQUEST];
        loop {
            let length = match self.fuse.read(&mut request) {
                Ok(length) => length,
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return self.log, // unmounted
                // A request was interrupted before it could be read.
                Err(error) if [ErrorKind::NotFound, ErrorKind::Interrupted].contains(&error.kind()) => {
                    continue;
                }
                Err(error) => panic!("/dev/fuse: {error}"),
            };
            let (kind, unique, node) = (short_at(&request, 4), long_at(&request, 8), long_at(&request, 16));
            if [FORGET, BATCH_FORGET, INTERRUPT].contains(&kind) {
                continue; // there is no reply
            }
            let (error, body) = match self.answer(kind, node, &request[40..length]) {
                Ok(body) => (0, body.0),
                Err(error) => (-error, Vec::new()),
            };
            let head =
                Fields(Vec::new()).short(&[16 + body.len() as u32, error as u32]).and(Fields::of(&[unique]));
            // The process that asked may be gone.
            let _ = self.fuse.write(&[head.0, body].concat());
        }
    }

    fn answer(&mut self, kind: u32, node: u64, body: &[u8]) -> Result<Fields, i32> {
        Ok(match kind {
            INIT => {
                let wanted = short_at(body, 12) & (BIG_WRITES | MAX_PAGES);
                let longest_write = MOST_PAGES * 4096;
                // Version, read ahead, flags, requests in the background, longest write, granularity of times, pages.
                let numbers =
                    [7, 31, 0, wanted, 12 | 10 << 16, longest_write, 1, MOST_PAGES, 0, 0, 0, 0, 0, 0, 0, 0];
                Fields(Vec::new()).short(&numbers)
            }
            LOOKUP => {
                let node = match body {
                    b"disk\0" => DISK,
                    b"acknowledged\0" => OUTPUT,
                    _ => return Err(libc::ENOENT),
                };
                Fields::of(&[node, 0, 0, 0]).short(&[0, 0]).and(self.attributes(node))
            }
            GETATTR | SETATTR => Fields::of(&[0]).short(&[0, 0]).and(self.attributes(node)),
            OPEN => Fields::of(&[node]).short(&[FOPEN_DIRECT_IO, 0]),
            READ if node == DISK => {
                let start = (long_at(body, 8) as usize).min(self.image.len());
                let end = (start + short_at(body, 16) as usize).min(self.image.len());
                Fields(self.image[start..end].to_vec())
            }
            WRITE => {
                let (at, length) = (long_at(body, 8) as usize, short_at(body, 16));
                let bytes = body[40..40 + length as usize].to_vec();
                if node == DISK {
                    self.image[at..at + bytes.len()].copy_from_slice(&bytes);
                    self.log.push(Entry::Write { at, bytes });
                } else {
                    self.output += u64::from(length);
                    self.log.push(Entry::Output(bytes));
                }
                Fields(Vec::new()).short(&[length, 0])
            }
            FSYNC => {
                if node == DISK {
                    self.log.push(Entry::Flush);
                }
                Fields(Vec::new())
            }
            STATFS => Fields(vec![0; 80]),
            RELEASE | FLUSH => Fields(Vec::new()),
            _ => return Err(libc::ENOSYS),
        })
    }

    fn attributes(&self, node: u64) -> Fields {
        let (mode, length) = match node {
            ROOT => (libc::S_IFDIR | 0o700, 0),
            DISK => (libc::S_IFREG | 0o600, self.image.len() as u64),
            _ => (libc::S_IFREG | 0o600, self.output),
        };
        // Inode, length, blocks, three times; their nanoseconds, mode, links, owner, group, device, block size, flags.
        Fields::of(&[node, length, length / 512, 0, 0, 0]).short(&[0, 0, 0, mode, 1, 0, 0, 0, 4096, 0])
    }
}
