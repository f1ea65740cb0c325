//! A storage that reports its calls.

use std::io;
use std::sync::Arc;

use crate::sys::{FileIdentity, FileStorage, Mapping, Storage};

/// A storage, and hooks before it reads that many bytes, before a barrier, and before it grows, with zeros or not.
pub(super) struct Hooked {
    pub(super) inner: FileStorage,
    pub(super) on_read: Box<dyn Fn(usize) + Send + Sync>,
    pub(super) on_barrier: Box<dyn Fn() + Send + Sync>,
    pub(super) on_growth: Box<dyn Fn(bool) + Send + Sync>,
}

impl Storage for Hooked {
    fn mapping(&self) -> &Arc<Mapping> {
        self.inner.mapping()
    }

    fn write(&self, offset: u64, buffers: &[&[u8]]) -> io::Result<()> {
        self.inner.write(offset, buffers)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (self.on_read)(buffer.len());
        self.inner.read(offset, buffer)
    }

    fn barrier(&self, length: u64) -> io::Result<()> {
        (self.on_barrier)();
        self.inner.barrier(length)
    }

    fn barrier_with_length(&self) -> io::Result<()> {
        (self.on_barrier)();
        self.inner.barrier_with_length()
    }

    fn barrier_over(&self, offset: u64, length: u64) -> io::Result<()> {
        (self.on_barrier)();
        self.inner.barrier_over(offset, length)
    }

    fn checkpoint_barrier(&self) -> io::Result<()> {
        (self.on_barrier)();
        self.inner.checkpoint_barrier()
    }

    fn grow(&self, from: u64, to: u64, zero: bool) -> io::Result<()> {
        (self.on_growth)(zero);
        self.inner.grow(from, to, zero)
    }

    fn truncate(&self, to: u64) -> io::Result<()> {
        self.inner.truncate(to)
    }

    fn file_length(&self) -> io::Result<u64> {
        self.inner.file_length()
    }

    fn refresh_length(&self) -> io::Result<u64> {
        self.inner.refresh_length()
    }

    fn identity(&self) -> FileIdentity {
        self.inner.identity()
    }
}
