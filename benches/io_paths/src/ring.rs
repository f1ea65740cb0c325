//! Reads through io_uring, several at a time.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;

use anyhow::{Result, ensure};
use io_uring::{IoUring, opcode, types};

pub struct Ring {
    ring: IoUring,
    buffers: Vec<Vec<u8>>,
}

impl Ring {
    /// A ring with so many reads of at most `length` bytes at a time.
    pub fn new(depth: usize, length: usize) -> Result<Ring> {
        let ring = IoUring::new(depth as u32)?;
        Ok(Ring { ring, buffers: (0..depth).map(|_| vec![0; length]).collect() })
    }

    /// Reads a buffer's length at each of `offsets`, and hands each to `see` when it is there, in any order.
    pub fn read(&mut self, file: &File, offsets: &[u64], mut see: impl FnMut(&[u8])) -> Result<()> {
        let mut free: Vec<usize> = (0..self.buffers.len()).collect();
        let (mut submitted, mut done) = (0, 0);
        while done < offsets.len() {
            while submitted < offsets.len() {
                let Some(index) = free.pop() else { break };
                let buffer = &mut self.buffers[index];
                let descriptor = types::Fd(file.as_raw_fd());
                let read = opcode::Read::new(descriptor, buffer.as_mut_ptr(), buffer.len() as u32);
                let read = read.offset(offsets[submitted]).build().user_data(index as u64);
                // SAFETY: the buffer is this ring's, has the length that is given, and is neither touched nor freed
                // until its read has completed or, after an error, been cancelled (see `drop`).
                unsafe { self.ring.submission().push(&read)? };
                submitted += 1;
            }
            self.ring.submit_and_wait(1)?;
            let completed: Vec<(u64, i32)> =
                self.ring.completion().map(|entry| (entry.user_data(), entry.result())).collect();
            for (index, result) in completed {
                let buffer = &self.buffers[index as usize];
                ensure!(result == buffer.len() as i32, "a read through io_uring gave {result}");
                see(buffer);
                free.push(index as usize);
                done += 1;
            }
        }
        Ok(())
    }
}

impl Drop for Ring {
    /// Waits for reads that an error has left under way: they write into the buffers.
    fn drop(&mut self) {
        drop(self.ring.submitter().register_sync_cancel(None, types::CancelBuilder::any()));
    }
}
